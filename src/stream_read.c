/* SPDX-License-Identifier: 0BSD */
/*
 * The program's reading: out of the ring while the helper receives, or receiving by itself once the helper has handed
 * that over, which saves a thread switch and a copy.
 */
#include <errno.h>
#include <string.h>

#include "stream_private.h"

/* Of a reader that receives by itself; the program's threads may have small stacks. */
#define PULL_BYTES 16384
/*
 * A reader that is elsewhere for longer no longer answers pings and Closes: the helper takes receiving back. It looks
 * twice in that time, which spares readers a look at the clock.
 */
#define READER_IDLE_NS INT64_C(50000000)

void wsf_stream_watch_reader_locked(struct wsf_stream *stream, int64_t now)
{
	stream->pulls_seen = stream->pulls;
	stream->look_ns = now + READER_IDLE_NS / 2;
}

int64_t wsf_stream_take_back_locked(struct wsf_stream *stream, int64_t now, bool *taken_back)
{
	*taken_back = false;
	if (stream->receive_owner != WSF_OWNER_READER || stream->gone || stream->fin_received)
		return WSF_NO_DEADLINE;
	if (now < stream->look_ns)
		return stream->look_ns;
	if (stream->pulls != stream->pulls_seen) {
		wsf_stream_watch_reader_locked(stream, now);
		return stream->look_ns;
	}
	if (stream->reading) {
		/* It may block for hours: it says so when it leaves. */
		stream->watched = false;
		return WSF_NO_DEADLINE;
	}
	stream->receive_owner = WSF_OWNER_HELPER;
	*taken_back = true;
	return WSF_NO_DEADLINE;
}

/* The connection is over and received bytes are left: nothing there means that they are all taken. */
void wsf_stream_pull_rest_locked(struct wsf_stream *stream)
{
	uint8_t scratch[PULL_BYTES];
	struct wsf_receive receive;
	int rv;

	wsf_receive_init(&receive, scratch, sizeof scratch);
	rv = wsf_stream_receive_locked(stream, &receive);
	if (rv != -EAGAIN || stream->receive_ended)
		return;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	(void)wsf_stream_transport_ended(stream, ECONNRESET);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
}

/* As the owner of receiving: wait for something. Returns 0, -EINTR or -ETIMEDOUT; *direct_bytes went there. */
static int pull_locked(struct wsf_stream *stream, struct iovec direct, int64_t deadline, size_t *direct_bytes)
{
	uint8_t scratch[PULL_BYTES];
	struct wsf_receive receive;
	int rv;

	wsf_receive_init(&receive, scratch, sizeof scratch);
	receive.direct = direct;
	receive.wait = true;
	receive.until_ns = deadline;
	rv = wsf_stream_receive_locked(stream, &receive);
	/* What is read out of the ring alone does not count: nobody would see a ping or a Close meanwhile. */
	stream->pulls++;
	if (rv == -EINTR || rv == -ETIMEDOUT)
		return rv;
	*direct_bytes = receive.sink.bytes < direct.iov_len ? receive.sink.bytes : direct.iov_len;
	/* What a received Close or fault starts needs the helper's timer. */
	if (rv == 0)
		stream->ops->end(stream->link);
	else if (!stream->gone && (stream->close_received || stream->error != 0))
		stream->ops->want_timer(stream->link);
	return 0;
}

/* Copy out of the ring; the stream lock is let go meanwhile if that takes long. */
static size_t drain_locked(struct wsf_stream *stream, uint8_t *out, size_t size, bool keep)
{
	struct iovec span[2];
	int count = wsf_ring_read_span(&stream->receive_ring, size, span);
	size_t copied = 0;
	bool quick = wsf_ring_used(&stream->receive_ring) <= WSF_QUICK_BYTES;
	bool unlock = !quick && !wsf_ring_may_grow(&stream->receive_ring);

	stream->draining = unlock;
	if (unlock)
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	for (int i = 0; i < count; i++) {
		memcpy(out + copied, span[i].iov_base, span[i].iov_len);
		copied += span[i].iov_len;
	}
	if (unlock)
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->draining = false;
	wsf_ring_consume(&stream->receive_ring, copied, keep ? copied : 0);
	stream->received_since_sweep = true;
	wsf_stream_warm(stream);
	if (stream->close_received)
		stream->linger_from_ns = wsf_now_ns();
	return copied;
}

/* Half of the ring is free again: so the socket is not paused and resumed for each read. */
static bool resume_due_locked(struct wsf_stream *stream)
{
	const struct wsf_ring *ring = &stream->receive_ring;

	if (!stream->paused || stream->fin_received || wsf_ring_room(ring) < ring->capacity_bytes / 2)
		return false;
	stream->paused = false;
	wsf_stream_heard_locked(stream);
	return stream->receive_owner != WSF_OWNER_READER;
}

int wsf_stream_end_state_locked(const struct wsf_stream *stream)
{
	if (stream->error != 0)
		return -stream->error;
	/* At exit, what came since was thrown away: no end of file for who still reads. */
	if (stream->close_received)
		return stream->discarding ? -ECANCELED : 0;
	if (stream->receive_owner == WSF_OWNER_HELPER && stream->gone)
		return -ECONNRESET;
	return 1;
}

/* Wait for the helper, and ask it to hand receiving over meanwhile. */
static int wait_helper_locked(struct wsf_stream *stream, int64_t deadline)
{
	bool resume = resume_due_locked(stream);
	bool ask = stream->receive_owner == WSF_OWNER_HELPER && stream->readable_fd.fd < 0;
	unsigned seen = wsf_event_seen(&stream->receive_event);
	int rv;

	if (ask)
		stream->receive_owner = WSF_OWNER_ASKED;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (resume)
		stream->ops->want_read(stream->link);
	if (ask)
		stream->ops->want_hand_over(stream->link);
	rv = wsf_stream_deadlocks(stream) ? -EDEADLK : wsf_event_wait(&stream->receive_event, seen, deadline);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	return rv;
}

/* Until there is something in the ring, or was received directly, or an end. Returns as end_state, or an error. */
static int wait_bytes_locked(struct wsf_stream *stream, struct iovec direct, size_t *direct_bytes)
{
	int64_t deadline = WSF_NO_DEADLINE;
	int rv = 0, state = 1;

	while (wsf_ring_used(&stream->receive_ring) == 0 && *direct_bytes == 0 &&
	    (state = wsf_stream_end_state_locked(stream)) == 1) {
		if (rv != 0)
			return rv;
		if (atomic_load(&stream->nonblocking) && !stream->gone)
			return -EAGAIN;
		if (deadline == WSF_NO_DEADLINE)
			deadline = wsf_deadline_ns(atomic_load(&stream->read_timeout_ms));
		else if (wsf_now_ns() >= deadline)
			return -ETIMEDOUT;	/* pings and empty frames may come without end */
		/* The last look may have been before it was known to be unused. */
		if (stream->unused_buffer.iov_len > 0)
			wsf_stream_warm(stream);
		if (stream->receive_owner != WSF_OWNER_READER)
			rv = wait_helper_locked(stream, deadline);
		else if (stream->gone)
			wsf_stream_pull_rest_locked(stream);
		else
			rv = pull_locked(stream, direct, deadline, direct_bytes);
	}
	return state;
}

static ssize_t read_once_locked(struct wsf_stream *stream, void *buffer, size_t size, enum wsf_read_kind kind)
{
	bool keep = kind == WSF_READ_KEEP || kind == WSF_READ_FILL;
	/* What is kept has to be in the ring; a short read is cheaper from there, with what comes behind it. */
	struct iovec direct = { buffer, keep || size < WSF_IN_PLACE_MIN ? 0 : size };
	size_t direct_bytes = 0;
	int rv;

	/* What is kept takes room from what comes: the ring must not pause for it while the program is elsewhere. */
	if (keep && size > stream->receive_ring.capacity_bytes / 2)
		size = stream->receive_ring.capacity_bytes / 2;
	/* stdio reads only when its own buffer is empty: what was read before can't be un-read any more. */
	if (stream->filling)
		wsf_ring_consume(&stream->receive_ring, 0, 0);
	else
		wsf_ring_forget(&stream->receive_ring);
	if (kind == WSF_READ_FILL)
		stream->unused_buffer = (struct iovec){ buffer, size };
	rv = wait_bytes_locked(stream, direct, &direct_bytes);
	stream->unused_buffer.iov_len = 0;
	if (atomic_load(&stream->aborted))
		return -ECONNABORTED;
	if (direct_bytes != 0)
		return (ssize_t)direct_bytes;
	if (wsf_ring_used(&stream->receive_ring) != 0)
		return (ssize_t)drain_locked(stream, buffer, size, keep);
	return rv;
}

ssize_t wsf_stream_read(struct wsf_stream *stream, void *buffer, size_t size, enum wsf_read_kind kind)
{
	size_t done = 0;
	bool resume, watch;
	ssize_t n;

	if (size == 0)
		return 0;
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	resume = atomic_load(&stream->nonblocking) && wsf_stream_leave_receiving_locked(stream);
	stream->reading = true;
	do {
		n = read_once_locked(stream, (uint8_t *)buffer + done, size - done, kind);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && kind == WSF_READ_ALL && done < size);
	stream->reading = false;
	watch = stream->receive_owner == WSF_OWNER_READER && !stream->watched && !stream->gone;
	if (watch)
		stream->watched = true;
	resume |= resume_due_locked(stream);
	wsf_stream_show_readable_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (watch)
		stream->ops->want_timer(stream->link);
	if (resume)
		stream->ops->want_read(stream->link);
	return done > 0 ? (ssize_t)done : n;
}

int wsf_stream_unread(struct wsf_stream *stream, size_t size)
{
	int rv;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	rv = wsf_ring_unread(&stream->receive_ring, size);
	wsf_stream_show_readable_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return rv;
}

void wsf_stream_stop_reading(struct wsf_stream *stream)
{
	bool resume;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->discarding = true;
	/* What is there can be given back from here on, and nothing may move any more that would ask for a look. */
	wsf_stream_warm(stream);
	/* At exit another thread may be inside a read: it goes on to the end. */
	resume = !stream->gone && !stream->fin_received &&
	    (stream->paused || (stream->receive_owner != WSF_OWNER_HELPER && !stream->reading));
	if (!stream->gone && !stream->reading)
		stream->receive_owner = WSF_OWNER_HELPER;
	if (resume)
		stream->paused = false;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (resume)
		stream->ops->want_read(stream->link);
}
