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
/* A reader that has not read for so long no longer answers pings and Closes: the helper takes receiving back. */
#define READER_IDLE_NS INT64_C(50000000)

int64_t wsf_stream_take_back_locked(struct wsf_stream *stream, int64_t now, bool *taken_back)
{
	*taken_back = false;
	if (stream->receive_owner != WSF_OWNER_READER || stream->gone || stream->fin_received)
		return WSF_NO_DEADLINE;
	if (now < stream->last_read_ns + READER_IDLE_NS)
		return stream->last_read_ns + READER_IDLE_NS;
	if (stream->reading) {
		/* It may block for hours: it says so when it leaves. */
		stream->watched = false;
		return WSF_NO_DEADLINE;
	}
	stream->receive_owner = WSF_OWNER_HELPER;
	*taken_back = true;
	return WSF_NO_DEADLINE;
}

/* What a received Close or fault starts needs the helper's timer. */
static void tell_helper(struct wsf_stream *stream, bool end)
{
	bool timer;

	pthread_mutex_lock(&stream->lock);
	timer = !stream->gone && (stream->close_received || stream->failure.error != 0);
	pthread_mutex_unlock(&stream->lock);
	if (end)
		stream->ops->end(stream->link);
	else if (timer)
		stream->ops->want_timer(stream->link);
}

/* The connection is over and received bytes are left: nothing there means that they are all taken. */
static void pull_rest(struct wsf_stream *stream, struct wsf_receive *receive)
{
	int rv = wsf_stream_receive_once(stream, receive);
	bool ended;

	pthread_mutex_lock(&stream->lock);
	ended = stream->receive_ended;
	pthread_mutex_unlock(&stream->lock);
	if (rv == -ENOMEM || (rv == -EAGAIN && !ended))
		(void)wsf_stream_transport_ended(stream, rv == -ENOMEM ? ENOMEM : ECONNRESET);
}

void wsf_stream_pull_rest(struct wsf_stream *stream)
{
	uint8_t scratch[PULL_BYTES];
	struct wsf_receive receive = { .scratch = scratch, .scratch_bytes = sizeof scratch };

	pull_rest(stream, &receive);
}

/* Wait for something to receive. Returns 0, -EINTR, -ETIMEDOUT. */
static int wait_readable(struct wsf_stream *stream, int64_t deadline)
{
	int rv = stream->ops->wait_readable(stream->link, deadline);

	stream->drained = false;
	if (rv == -EINTR || rv == -ETIMEDOUT)
		return rv;
	/* The socket tells an error only once. */
	if (rv < 0 && wsf_stream_transport_ended(stream, -rv))
		tell_helper(stream, true);
	return 0;
}

/* As the owner of receiving: take what there is, or wait once. Returns as wait_readable; *direct_bytes went there. */
static int pull(struct wsf_stream *stream, struct iovec direct, int64_t deadline, size_t *direct_bytes)
{
	uint8_t scratch[PULL_BYTES];
	struct wsf_receive receive = { .direct = direct, .scratch = scratch, .scratch_bytes = sizeof scratch };
	int rv = -EAGAIN;

	if (!stream->drained)
		rv = wsf_stream_receive_once(stream, &receive);
	if (rv == -ENOMEM)
		wsf_stream_receive_no_memory(stream);
	if (rv == -EAGAIN)
		return wait_readable(stream, deadline);
	/* What is decoded later or was received by TLS already is not in the socket: nothing would tell of it. */
	stream->drained = receive.moved_bytes < receive.asked_bytes && !wsf_stream_holds(stream) &&
	    !stream->ops->pending(stream->link);
	*direct_bytes = receive.sink.bytes < direct.iov_len ? receive.sink.bytes : direct.iov_len;
	tell_helper(stream, rv == 0);
	return 0;
}

/* Copy out of the ring; the stream lock is let go meanwhile. */
static size_t drain_locked(struct wsf_stream *stream, uint8_t *out, size_t size, bool keep)
{
	struct iovec span[2];
	int count = wsf_ring_read_span(&stream->receive_ring, size, span);
	size_t copied = 0;

	stream->draining = true;
	pthread_mutex_unlock(&stream->lock);
	for (int i = 0; i < count; i++) {
		memcpy(out + copied, span[i].iov_base, span[i].iov_len);
		copied += span[i].iov_len;
	}
	pthread_mutex_lock(&stream->lock);
	stream->draining = false;
	wsf_ring_consume(&stream->receive_ring, copied, keep ? copied : 0);
	stream->received_since_sweep = true;
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
	return stream->receive_owner != WSF_OWNER_READER;
}

/* What a reader gets when the ring is empty: 1 = wait. */
static int end_state_locked(const struct wsf_stream *stream)
{
	if (stream->failure.error != 0)
		return -stream->failure.error;
	if (stream->close_received)
		return 0;
	if (stream->receive_owner == WSF_OWNER_HELPER && stream->gone)
		return -ECONNRESET;
	return 1;
}

/* Wait for the helper, and ask it to hand receiving over meanwhile. */
static int wait_helper_locked(struct wsf_stream *stream, int64_t deadline)
{
	bool resume = resume_due_locked(stream), ask = stream->receive_owner == WSF_OWNER_HELPER;
	unsigned seen = wsf_event_seen(&stream->receive_event);
	int rv;

	if (ask)
		stream->receive_owner = WSF_OWNER_ASKED;
	pthread_mutex_unlock(&stream->lock);
	if (resume)
		stream->ops->want_read(stream->link);
	if (ask)
		stream->ops->want_hand_over(stream->link);
	rv = wsf_event_wait(&stream->receive_event, seen, deadline);
	pthread_mutex_lock(&stream->lock);
	return rv;
}

/* Until there is something in the ring, or was received directly, or an end. Returns as end_state, or an error. */
static int wait_bytes_locked(struct wsf_stream *stream, struct iovec direct, size_t *direct_bytes)
{
	int64_t deadline = WSF_NO_DEADLINE;
	int rv = 0, state = 1;

	while (wsf_ring_used(&stream->receive_ring) == 0 && *direct_bytes == 0 &&
	    (state = end_state_locked(stream)) == 1) {
		if (rv != 0)
			return rv;
		if (deadline == WSF_NO_DEADLINE)
			deadline = wsf_deadline_ns(stream->values->read_timeout_ms);
		if (stream->receive_owner != WSF_OWNER_READER) {
			rv = wait_helper_locked(stream, deadline);
		} else if (stream->gone) {
			pthread_mutex_unlock(&stream->lock);
			wsf_stream_pull_rest(stream);
			pthread_mutex_lock(&stream->lock);
		} else {
			pthread_mutex_unlock(&stream->lock);
			rv = pull(stream, direct, deadline, direct_bytes);
			pthread_mutex_lock(&stream->lock);
		}
	}
	return state;
}

static ssize_t read_once_locked(struct wsf_stream *stream, void *buffer, size_t size, bool keep)
{
	/* What is kept has to be in the ring; a short read is cheaper from there, with what comes behind it. */
	struct iovec direct = { buffer, keep || size < WSF_IN_PLACE_MIN ? 0 : size };
	size_t direct_bytes = 0;
	int rv;

	/* stdio reads only when its own buffer is empty: what was read before can't be un-read any more. */
	if (stream->filling)
		wsf_ring_consume(&stream->receive_ring, 0, 0);
	else
		wsf_ring_forget(&stream->receive_ring);
	rv = wait_bytes_locked(stream, direct, &direct_bytes);
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
	pthread_mutex_lock(&stream->lock);
	stream->reading = true;
	do {
		n = read_once_locked(stream, (uint8_t *)buffer + done, size - done, kind == WSF_READ_KEEP);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && kind == WSF_READ_ALL && done < size);
	stream->reading = false;
	stream->last_read_ns = wsf_now_ns();
	watch = stream->receive_owner == WSF_OWNER_READER && !stream->watched && !stream->gone;
	if (watch)
		stream->watched = true;
	resume = resume_due_locked(stream);
	pthread_mutex_unlock(&stream->lock);
	if (watch)
		stream->ops->want_timer(stream->link);
	if (resume)
		stream->ops->want_read(stream->link);
	return done > 0 ? (ssize_t)done : n;
}

int wsf_stream_unread(struct wsf_stream *stream, size_t size)
{
	int rv;

	pthread_mutex_lock(&stream->lock);
	rv = wsf_ring_unread(&stream->receive_ring, size);
	pthread_mutex_unlock(&stream->lock);
	return rv;
}

void wsf_stream_stop_reading(struct wsf_stream *stream)
{
	bool resume;

	pthread_mutex_lock(&stream->lock);
	stream->discarding = true;
	resume = !stream->gone && !stream->fin_received &&
	    (stream->paused || stream->receive_owner != WSF_OWNER_HELPER);
	if (!stream->gone)
		stream->receive_owner = WSF_OWNER_HELPER;
	if (resume)
		stream->paused = false;
	pthread_mutex_unlock(&stream->lock);
	if (resume)
		stream->ops->want_read(stream->link);
}
