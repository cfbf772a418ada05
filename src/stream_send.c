/* SPDX-License-Identifier: 0BSD */
/*
 * The sending half of a stream. Frames go into the send ring whole, or out of the caller's memory at once: so a control
 * frame can follow at any moment, and a write that fails leaves the wire at a frame boundary.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mask.h"
#include "stream_private.h"

/* Always left free by data, so that a pong and a Close fit behind it. */
#define CONTROL_ROOM (2 * WSF_CONTROL_FRAME_MAX)
/* Payload of a frame that is sent faster as one piece, though it has to be copied for that. */
#define SHORT_MAX 2048
/* Once the ring is full, a frame this long, unmasked, is worth waiting until it is empty: it then goes out uncopied. */
#define DIRECT_MIN 16384
/* By how much deflating may make a message longer (small windows, data without a pattern). */
#define DEFLATE_SLACK(size) ((size) / 32 + 64)

void wsf_stream_init_send(struct wsf_stream *stream)
{
	wsf_ring_init(&stream->send_ring, stream->values->send_buffer_bytes);
}

static int reserve(struct wsf_stream *stream, size_t size)
{
	stream->sent_since_sweep = true;
	wsf_stream_warm(stream);
	return wsf_ring_reserve(&stream->send_ring, size);
}

/* Copy into the ring, masked if key is given; there is room. offset counts the payload before. */
static void put(struct wsf_stream *stream, const void *data, size_t size, const uint8_t *key, uint64_t offset)
{
	struct iovec span[2];
	const uint8_t *p = data;
	int count = wsf_ring_write_span(&stream->send_ring, size, span);

	for (int i = 0; i < count; i++) {
		if (key != NULL)
			wsf_mask_copy(span[i].iov_base, p, span[i].iov_len, key, offset);
		else
			memcpy(span[i].iov_base, p, span[i].iov_len);
		p += span[i].iov_len;
		offset += span[i].iov_len;
	}
	wsf_ring_commit(&stream->send_ring, size);
}

static void put_pong(struct wsf_stream *stream, const void *payload, size_t payload_bytes)
{
	uint8_t frame[WSF_CONTROL_FRAME_MAX];
	int size = wsf_endpoint_control_frame(&stream->endpoint, WSF_PONG, payload, payload_bytes, frame);

	if (size > 0 && reserve(stream, (size_t)size) == 0)
		put(stream, frame, (size_t)size, NULL, 0);
}

static bool may_put_pong(const struct wsf_stream *stream)
{
	return !stream->close_put && wsf_ring_room(&stream->send_ring) >= CONTROL_ROOM;
}

static void put_pong_due(struct wsf_stream *stream)
{
	if (stream->pong == NULL || !may_put_pong(stream))
		return;
	put_pong(stream, stream->pong, stream->pong_bytes);
	free(stream->pong);
	stream->pong = NULL;
}

/* The ring is empty: if our last word was in it, it is out. */
static void flushed(struct wsf_stream *stream)
{
	if (stream->close_put && !stream->close_flushed) {
		pthread_mutex_lock(&stream->lock);
		stream->close_flushed = true;
		pthread_mutex_unlock(&stream->lock);
		wsf_stream_settle_locked(stream);
	} else if (stream->refused && !stream->refusal_out) {
		stream->refusal_out = true;
		wsf_stream_settle_locked(stream);
	}
}

/* Nothing can be sent any more. The receiving side finds the end by itself, behind all bytes that came. */
static void send_failed(struct wsf_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->reset = true;
	atomic_store(&stream->cut, true);
	pthread_mutex_unlock(&stream->lock);
}

/* Returns 0 = the ring is empty, -EAGAIN, or -EPIPE: the connection is over. */
static int flush(struct wsf_stream *stream)
{
	struct iovec span[2];
	ssize_t sent;
	int count, rv;

	wsf_assert_locked(&stream->transmit_lock);
	for (;;) {
		if (atomic_load(&stream->cut))
			return -EPIPE;
		put_pong_due(stream);
		count = wsf_ring_read_span(&stream->send_ring, SIZE_MAX, span);
		if (count == 0)
			break;
		sent = stream->ops->send(stream->link, span, count);
		if (sent == -EAGAIN)
			return -EAGAIN;
		if (sent < 0) {
			send_failed(stream);
			return -EPIPE;
		}
		wsf_ring_consume(&stream->send_ring, (size_t)sent, 0);
	}
	wsf_ring_forget(&stream->send_ring);
	rv = stream->ops->flush(stream->link);
	if (rv == -EAGAIN)
		return -EAGAIN;
	if (rv < 0) {
		send_failed(stream);
		return -EPIPE;
	}
	flushed(stream);
	return 0;
}

static void ask_helper(struct wsf_stream *stream)
{
	/* Stalled: whoever receives what is missing asks then. */
	if (stream->write_asked || stream->writer_waiting || stream->ops->stalled(stream->link))
		return;
	stream->write_asked = true;
	stream->ops->want_write(stream->link);
}

void wsf_stream_push_locked(struct wsf_stream *stream)
{
	if (flush(stream) == -EAGAIN)
		ask_helper(stream);
}

void wsf_stream_writable(struct wsf_stream *stream)
{
	pthread_mutex_lock(&stream->transmit_lock);
	/* Storage that waited for the socket; or for a service to tell of it. */
	wsf_stream_warm(stream);
	stream->write_asked = false;
	if (!stream->writer_waiting)
		wsf_stream_push_locked(stream);
	pthread_mutex_unlock(&stream->transmit_lock);
}

int wsf_stream_put_raw_locked(struct wsf_stream *stream, const void *data, size_t size)
{
	wsf_assert_locked(&stream->transmit_lock);
	if (size > stream->send_ring.capacity_bytes) {
		/* Nothing was sent yet: the ring may grow for the headers the program added. */
		wsf_ring_clear(&stream->send_ring);
		wsf_ring_init(&stream->send_ring, size);
	}
	if (reserve(stream, size) != 0)
		return -ENOMEM;
	put(stream, data, size, NULL, 0);
	return 0;
}

void wsf_stream_put_pong_locked(struct wsf_stream *stream, const void *payload, size_t size)
{
	/* Only the latest ping must be answered (RFC 6455, section 5.5.3). */
	free(stream->pong);
	stream->pong = NULL;
	if (may_put_pong(stream)) {
		put_pong(stream, payload, size);
	} else if (!stream->close_put && (stream->pong = malloc(size > 0 ? size : 1)) != NULL) {
		stream->pong_bytes = (uint8_t)size;
		memcpy(stream->pong, payload, size);
	}
	wsf_stream_push_locked(stream);
}

void wsf_stream_put_close_locked(struct wsf_stream *stream, unsigned code, const char *reason)
{
	uint8_t frame[WSF_CONTROL_FRAME_MAX];
	bool end;
	int size;

	wsf_assert_locked(&stream->transmit_lock);
	if (stream->close_put)
		return;
	/* The last ping is answered before: nothing may follow the Close. */
	put_pong_due(stream);
	size = wsf_endpoint_close_frame(&stream->endpoint, code, reason, frame);
	stream->close_put = true;
	if (size < 0 || reserve(stream, (size_t)size) != 0) {
		/* The peer learns from the end of TCP, without a Close, that this is no clean end. */
		stream->ops->end(stream->link);
		return;
	}
	put(stream, frame, (size_t)size, NULL, 0);
	pthread_mutex_lock(&stream->lock);
	/* Nobody receives any more behind the peer's Close, so its end of TCP may be there unseen. */
	end = stream->close_received && stream->ops->at_end(stream->link);
	stream->fin_early |= end;
	stream->close_code_sent = code;
	stream->close_reason_sent = reason != NULL ? strndup(reason, WSF_REASON_MAX) : NULL;
	pthread_mutex_unlock(&stream->lock);
	if (end && stream->ops->pending(stream->link))
		stream->ops->want_read(stream->link);
	wsf_stream_push_locked(stream);
}

/* Why nothing more may be written, or 0. */
static int write_state(const struct wsf_stream *stream)
{
	if (stream->close_put || stream->write_failure != 0 || atomic_load(&stream->cut))
		return -EPIPE;
	return 0;
}

static bool has_room(const struct wsf_stream *stream, size_t size)
{
	return wsf_ring_room(&stream->send_ring) >= size + CONTROL_ROOM;
}

/* Wait until the ring has room for a frame of size bytes, or is empty. The transmit lock is let go meanwhile. */
static int wait_room(struct wsf_stream *stream, size_t size, bool empty)
{
	size_t before = wsf_ring_used(&stream->send_ring);
	int64_t deadline = WSF_NO_DEADLINE, until;
	int rv;

	for (;;) {
		rv = flush(stream);
		if (rv == -EPIPE || (rv = write_state(stream)) != 0)
			return -EPIPE;
		if (empty ? wsf_ring_used(&stream->send_ring) == 0 : has_room(stream, size))
			return 0;
		/* The time limit is for a wait without progress. */
		if (deadline == WSF_NO_DEADLINE || wsf_ring_used(&stream->send_ring) < before)
			deadline = wsf_deadline_ns(stream->values->write_timeout_ms);
		before = wsf_ring_used(&stream->send_ring);
		stream->writer_waiting = true;
		pthread_mutex_unlock(&stream->transmit_lock);
		until = deadline < stream->write_until_ns ? deadline : stream->write_until_ns;
		rv = stream->ops->wait_writable(stream->link, until);
		pthread_mutex_lock(&stream->transmit_lock);
		stream->writer_waiting = false;
		if (rv == -ETIMEDOUT)
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

	if (reserve(stream, start->header_bytes + payload_bytes(payload)) != 0)
		return -ENOMEM;
	put(stream, start->header, start->header_bytes, NULL, 0);
	if (payload->piece[0].iov_len > 0)
		put(stream, payload->piece[0].iov_base, payload->piece[0].iov_len, key, 0);
	put(stream, payload->piece[1].iov_base, payload->piece[1].iov_len, key, payload->piece[0].iov_len);
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
	if (sent >= 0 && reserve(stream, size - (size_t)sent) == 0) {
		put(stream, frame + sent, size - (size_t)sent, NULL, 0);
		return 0;
	}
	if (sent == 0)
		return -ENOMEM;
	/* A part is out, and the rest has no place. */
	send_failed(stream);
	return sent > 0 ? -ENOMEM : -EPIPE;
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
	if (reserve(stream, start->header_bytes + payload_bytes(payload)) != 0)
		return -ENOMEM;
	sent = stream->ops->send(stream->link, iov, 3);
	if (sent == -EAGAIN)
		sent = 0;
	if (sent < 0) {
		send_failed(stream);
		return -EPIPE;
	}
	for (int i = 0; i < 3; i++) {
		skip = (size_t)sent < iov[i].iov_len ? (size_t)sent : iov[i].iov_len;
		sent -= (ssize_t)skip;
		if (iov[i].iov_len > skip)
			put(stream, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip, NULL, 0);
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

	if (wsf_ring_used(&stream->send_ring) != 0 && flush(stream) == -EPIPE)
		return -EPIPE;
	/* Room first: what is deflated can't be taken back. */
	if (!has_room(stream, frame_bytes) && (rv = wait_room(stream, frame_bytes, direct)) != 0)
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
		rv = flush(stream);
	return rv == 1 || rv == -EAGAIN ? 0 : rv;
}

/* A failed write is final: a hole never passes for a whole (see ws_fopen(3)). */
void wsf_stream_write_failed_locked(struct wsf_stream *stream, int error)
{
	pthread_mutex_lock(&stream->lock);
	if (stream->write_failure == 0)
		stream->write_failure = error;
	pthread_mutex_unlock(&stream->lock);
	wsf_stream_put_close_locked(stream, 1011, "write failed");
}

static int write_all(struct wsf_stream *stream, const uint8_t *data, size_t size)
{
	struct wsf_message message;
	size_t half = stream->send_ring.capacity_bytes / 2, n, done = 0;
	int rv;

	while (done < size) {
		if ((rv = write_state(stream)) != 0)
			return rv;
		n = size - done < half ? size - done : half;
		if ((rv = wsf_endpoint_next_message(&stream->endpoint, data + done, n, &message)) != 0)
			return rv;
		if (message.prefix_bytes + message.take_bytes > 0) {
			if ((rv = write_message(stream, &message, data + done)) != 0)
				return rv;
			stream->bytes_sent += message.prefix_bytes + message.take_bytes;
			stream->messages_sent++;
		}
		done += message.used_bytes;
	}
	return 0;
}

ssize_t wsf_stream_write(struct wsf_stream *stream, const void *buffer, size_t size, int64_t until_ns)
{
	int rv;

	if (size == 0)
		return 0;
	pthread_mutex_lock(&stream->transmit_lock);
	stream->write_until_ns = until_ns;
	rv = write_all(stream, buffer, size);
	if (rv == 0 && (wsf_ring_used(&stream->send_ring) != 0 || stream->ops->flush(stream->link) == -EAGAIN))
		ask_helper(stream);
	else if (rv != 0)
		wsf_stream_write_failed_locked(stream, -rv);
	pthread_mutex_unlock(&stream->transmit_lock);
	return rv == 0 ? (ssize_t)size : rv;
}
