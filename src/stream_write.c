/* SPDX-License-Identifier: 0BSD */
/* The program's writing: messages cut out of what it writes, as frames into the ring or straight to the socket. */
#include <errno.h>
#include <string.h>

#include "mask.h"
#include "process.h"
#include "stream_private.h"

/* Payload of a frame that is sent faster as one piece, though it has to be copied for that. */
#define SHORT_MAX 2048
/* Once the ring is full, a frame this long, unmasked, is worth waiting until it is empty: it then goes out uncopied. */
#define DIRECT_MIN 16384
/* By how much deflating may make a message longer (small windows, data without a pattern). */
#define DEFLATE_SLACK(size) ((size) / 32 + 64)

/*
 * Each message costs its header, and its deflater may make it longer. A little room is as none: what a program writes
 * should not go out in crumbs.
 */
size_t wsf_stream_room_locked(const struct wsf_stream *stream)
{
	size_t room = wsf_ring_room(&stream->send_ring), limit = stream->endpoint.max_frame_bytes, cost, last, overhead;

	if (stream->endpoint.text_frames && limit < 4)
		limit = 4;
	cost = limit + WSF_FRAME_HEADER_MAX + DEFLATE_SLACK(limit);
	/* Of text, up to three bytes of a character are held back. */
	if (stream->endpoint.text_frames)
		limit -= 3;
	if (room < WSF_CONTROL_ROOM + stream->send_ring.capacity_bytes / 8)
		return 0;
	room -= WSF_CONTROL_ROOM;
	last = room % cost;
	overhead = last / 32 + 1 + WSF_FRAME_HEADER_MAX + DEFLATE_SLACK(0);
	return room / cost * limit + (last > overhead ? last - overhead : 0);
}

/* Wait until the ring has room for a frame of size bytes, or is empty. The transmit lock is let go meanwhile. */
static int wait_room(struct wsf_stream *stream, size_t size, bool empty)
{
	size_t before = wsf_ring_used(&stream->send_ring);
	int64_t deadline = WSF_NO_DEADLINE, until;
	int rv;

	for (;;) {
		rv = wsf_stream_flush_locked(stream);
		if (rv == -EPIPE || (rv = wsf_stream_write_state_locked(stream)) != 0)
			return rv;
		if (empty ? wsf_ring_used(&stream->send_ring) == 0 : wsf_stream_has_room_locked(stream, size))
			return 0;
		/* The time limit is for a wait without progress. */
		if (deadline == WSF_NO_DEADLINE || wsf_ring_used(&stream->send_ring) < before)
			deadline = wsf_deadline_ns(atomic_load(&stream->write_timeout_ms));
		before = wsf_ring_used(&stream->send_ring);
		until = deadline < stream->write_until_ns ? deadline : stream->write_until_ns;
		rv = wsf_stream_wait_writable_locked(stream, until);
		if (rv == -ETIMEDOUT || rv == -EDEADLK)
			return rv;
	}
}

/* What is put into a frame: two pieces, the first of them short. */
struct payload {
	struct iovec piece[2];
	bool deflated;
};

static size_t payload_bytes(const struct payload *payload)
{
	return payload->piece[0].iov_len + payload->piece[1].iov_len;
}

static int ring_frame(struct wsf_stream *stream, const struct wsf_frame_start *start, const struct payload *payload)
{
	const uint8_t *key = start->masked ? start->key : NULL;

	if (wsf_stream_reserve_locked(stream, start->header_bytes + payload_bytes(payload)) != 0)
		return -ENOMEM;
	wsf_stream_put_locked(stream, start->header, start->header_bytes, NULL, 0);
	if (payload->piece[0].iov_len > 0)
		wsf_stream_put_locked(stream, payload->piece[0].iov_base, payload->piece[0].iov_len, key, 0);
	wsf_stream_put_locked(stream, payload->piece[1].iov_base, payload->piece[1].iov_len, key,
	    payload->piece[0].iov_len);
	return 0;
}

/*
 * Nothing waits, and the frame is short: put together on the stack and sent as one piece. What the socket would not
 * take goes into the ring. Returns 1 = all was sent.
 */
static int short_frame(struct wsf_stream *stream, const struct wsf_frame_start *start, const struct payload *payload)
{
	uint8_t frame[WSF_FRAME_HEADER_MAX + SHORT_MAX];
	size_t size = start->header_bytes;
	ssize_t sent;

	/* Its deflater has storage. */
	stream->sent_since_sweep = true;
	if (payload->deflated)
		wsf_stream_warm(stream);
	memcpy(frame, start->header, sizeof start->header);
	for (int i = 0; i < 2; i++) {
		const struct iovec *piece = &payload->piece[i];

		if (piece->iov_len == 0)
			continue;
		if (start->masked)
			wsf_mask_copy(frame + size, piece->iov_base, piece->iov_len, start->key,
			    size - start->header_bytes);
		else
			memcpy(frame + size, piece->iov_base, piece->iov_len);
		size += piece->iov_len;
	}
	sent = stream->ops->send(stream->link, &(struct iovec){ frame, size }, 1);
	if (sent == (ssize_t)size)
		return 1;
	if (sent == -EAGAIN)
		sent = 0;
	if (sent >= 0 && wsf_stream_reserve_locked(stream, size - (size_t)sent) == 0) {
		wsf_stream_put_locked(stream, frame + sent, size - (size_t)sent, NULL, 0);
		return 0;
	}
	if (sent == 0)
		return -ENOMEM;
	wsf_stream_send_failed_locked(stream);
	if (sent < 0)
		return -EPIPE;
	/* A part is out, and the rest has no place: the peer must not wait for it. */
	stream->ops->end(stream->link);
	return -ENOMEM;
}

/* Unmasked and nothing waits: out of the caller's memory. What the socket would not take goes into the ring. */
static int direct_frame(struct wsf_stream *stream, const struct wsf_frame_start *start, const struct payload *payload)
{
	struct iovec iov[3] = {
		{ (void *)start->header, start->header_bytes },
		payload->piece[0],
		payload->piece[1],
	};
	ssize_t sent;
	size_t skip;

	/* Storage first: once a part is out, the rest must have a place. */
	if (wsf_stream_reserve_locked(stream, start->header_bytes + payload_bytes(payload)) != 0)
		return -ENOMEM;
	sent = stream->ops->send(stream->link, iov, 3);
	if (sent == -EAGAIN)
		sent = 0;
	if (sent < 0) {
		wsf_stream_send_failed_locked(stream);
		return -EPIPE;
	}
	for (int i = 0; i < 3; i++) {
		skip = (size_t)sent < iov[i].iov_len ? (size_t)sent : iov[i].iov_len;
		sent -= (ssize_t)skip;
		if (iov[i].iov_len > skip)
			wsf_stream_put_locked(stream, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip,
			    NULL, 0);
	}
	return 0;
}

/* The message's payload, deflated where that is agreed. */
static int make_payload(struct wsf_stream *stream, const struct wsf_message *message, const uint8_t *data,
    struct payload *payload)
{
	const uint8_t *out;
	size_t out_bytes;
	int rv = -EOPNOTSUPP;

	if (wsf_endpoint_deflates(&stream->endpoint))
		rv = wsf_endpoint_deflate(&stream->endpoint, message, data, &out, &out_bytes);
	payload->deflated = rv == 0;
	if (rv == 0) {
		payload->piece[0] = (struct iovec){ NULL, 0 };
		payload->piece[1] = (struct iovec){ (void *)(uintptr_t)out, out_bytes };
	} else if (rv == -EOPNOTSUPP) {
		payload->piece[0] = (struct iovec){ (void *)(uintptr_t)message->prefix, message->prefix_bytes };
		payload->piece[1] = (struct iovec){ (void *)(uintptr_t)data, message->take_bytes };
		rv = 0;
	}
	return rv;
}

static int write_message(struct wsf_stream *stream, const struct wsf_message *message, const uint8_t *data)
{
	size_t plain_bytes = message->prefix_bytes + message->take_bytes;
	size_t frame_bytes = plain_bytes + WSF_FRAME_HEADER_MAX + DEFLATE_SLACK(plain_bytes);
	bool direct = stream->role == WSF_SERVER && plain_bytes >= DIRECT_MIN;
	struct wsf_frame_start start;
	struct payload payload;
	int rv;

	if (wsf_ring_used(&stream->send_ring) != 0 && wsf_stream_flush_locked(stream) == -EPIPE)
		return -EPIPE;
	/* Room first: what is deflated can't be taken back. */
	if (!wsf_stream_has_room_locked(stream, frame_bytes) && (rv = wait_room(stream, frame_bytes, direct)) != 0)
		return rv;
	if ((rv = make_payload(stream, message, data, &payload)) != 0)
		return rv;
	rv = wsf_endpoint_start_frame(&stream->endpoint, payload_bytes(&payload), payload.deflated, &start);
	if (rv != 0)
		return rv;
	if (wsf_ring_used(&stream->send_ring) != 0)
		rv = ring_frame(stream, &start, &payload);
	else if (payload_bytes(&payload) <= SHORT_MAX)
		rv = short_frame(stream, &start, &payload);
	else if (start.masked)
		rv = ring_frame(stream, &start, &payload);
	else
		rv = direct_frame(stream, &start, &payload);
	if (rv == 0)
		rv = wsf_stream_flush_locked(stream);
	return rv == 1 || rv == -EAGAIN ? 0 : rv;
}

/* A failed write is final: a hole never passes for a whole (see ws_fopen(3)). */
void wsf_stream_write_failed_locked(struct wsf_stream *stream, int error)
{
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (stream->write_failure == 0)
		stream->write_failure = error;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_put_close_locked(stream, 1011, "write failed");
	/* Who is still in that write waits for the socket: a peer that reads nothing must not keep it there. */
	if (stream->writer_waiting)
		wsf_stream_bound_closing(stream);
}

/*
 * Between two messages of one write. A lock is not fair: who unlocks and locks again is nearly always the first. What
 * the others do they do as in wsf_stream_wait_writable_locked.
 */
static void let_others_in(struct wsf_stream *stream)
{
	unsigned seen;

	if (atomic_load(&stream->transmit_wanted) == 0)
		return;
	stream->writer_yields = stream->writer_waiting = stream->write_parted = true;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	for (;;) {
		seen = wsf_event_seen(&stream->transmit_had);
		if (atomic_load(&stream->transmit_wanted) == 0)
			break;
		(void)wsf_event_wait(&stream->transmit_had, seen, WSF_NO_DEADLINE);
	}
	wsf_lock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	stream->writer_yields = stream->writer_waiting = stream->write_parted = false;
}

static int write_all(struct wsf_stream *stream, const uint8_t *data, size_t size)
{
	struct wsf_message message;
	size_t half = stream->send_ring.capacity_bytes / 2, n, done = 0;
	int rv;

	while (done < size) {
		if (done > 0)
			let_others_in(stream);
		if ((rv = wsf_stream_write_state_locked(stream)) != 0)
			return rv;
		n = size - done < half ? size - done : half;
		if ((rv = wsf_endpoint_next_message(&stream->endpoint, data + done, n, &message)) != 0)
			return rv;
		if (message.prefix_bytes + message.take_bytes > 0) {
			stream->write_parted = done > 0;
			rv = write_message(stream, &message, data + done);
			stream->write_parted = false;
			if (rv != 0)
				return rv;
			stream->bytes_sent += message.prefix_bytes + message.take_bytes;
			stream->messages_sent++;
		}
		done += message.used_bytes;
	}
	return 0;
}

/* What ended a write: the end of the connection, but for what the program did and for want of memory. */
static int why_not_sent(struct wsf_stream *stream)
{
	struct wsf_failure failure = { 0 };

	if (atomic_load(&stream->aborted))
		return -ECONNABORTED;
	if (stream->write_failure == 0 && stream->ops->failure(stream->link, &failure) && failure.error == ENOMEM)
		return -ENOMEM;
	return -EPIPE;
}

/* What is left goes by the helper; a failure is final. */
static void finish_write(struct wsf_stream *stream, int *rv)
{
	if (*rv == -EPIPE)
		*rv = why_not_sent(stream);
	if (atomic_load(&stream->may_linger)) {
		/* Who is still answering is not cut off between two writes: the part would pass for the whole. */
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		stream->linger_from_ns = wsf_now_ns();
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	}
	if (*rv != 0)
		wsf_stream_write_failed_locked(stream, -*rv);
	/* Also behind a failure: nobody was asked to send the rest while this thread would. */
	if (wsf_ring_used(&stream->send_ring) != 0 || stream->ops->flush(stream->link) == -EAGAIN)
		wsf_stream_ask_helper_locked(stream);
	wsf_stream_show_writable_locked(stream);
}

ssize_t wsf_stream_write(struct wsf_stream *stream, const void *buffer, size_t size, int64_t until_ns)
{
	int rv;

	if (size == 0)
		return 0;
	wsf_lock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	stream->write_until_ns = until_ns;
	rv = wsf_stream_observing(stream) && !wsf_process_over() ? -EDEADLK : write_all(stream, buffer, size);
	finish_write(stream, &rv);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv == 0 ? (ssize_t)size : rv;
}

/* Until something can be written. Returns how much, or a negative errno. */
static ssize_t wait_some(struct wsf_stream *stream)
{
	int64_t until = WSF_NO_DEADLINE;
	size_t room;
	bool helper;
	int rv;

	for (;;) {
		if ((rv = wsf_stream_write_state_locked(stream)) != 0)
			return rv;
		/* A full socket takes a little before it shows: what the helper finds counts, as ws_pollfd(3) says. */
		helper = atomic_load(&stream->nonblocking) && stream->write_asked;
		if (wsf_ring_used(&stream->send_ring) != 0 && !helper && wsf_stream_flush_locked(stream) == -EPIPE)
			continue;	/* the state says why */
		if ((room = wsf_stream_room_locked(stream)) > 0)
			return (ssize_t)room;
		if (atomic_load(&stream->nonblocking))
			return -EAGAIN;
		if (until == WSF_NO_DEADLINE)
			until = wsf_deadline_ns(atomic_load(&stream->write_timeout_ms));
		if ((rv = wsf_stream_wait_writable_locked(stream, until)) != 0)
			return rv;
	}
}

ssize_t wsf_stream_write_some(struct wsf_stream *stream, const void *buffer, size_t size)
{
	ssize_t room;
	int rv;

	if (size == 0)
		return 0;
	if (wsf_stream_observing(stream))
		return -EDEADLK;
	wsf_lock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	room = wait_some(stream);
	if (room > 0) {
		size = size < (size_t)room ? size : (size_t)room;
		stream->write_until_ns = WSF_NO_DEADLINE;
		rv = write_all(stream, buffer, size);
		finish_write(stream, &rv);
		room = rv == 0 ? (ssize_t)size : rv;
	} else if (wsf_ring_used(&stream->send_ring) != 0) {
		wsf_stream_ask_helper_locked(stream);
	}
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return room;
}
