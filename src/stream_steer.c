/* SPDX-License-Identifier: 0BSD */
/* What a program steers and asks beside reading and writing: readiness, limits, draining, the cut. */
#include <errno.h>

#include "stream_private.h"

/* --- readiness --- */

/* Exactly when a read in non-blocking mode does not say -EAGAIN; what is left behind a connection's end counts, too. */
static bool read_ready_locked(const struct wsf_stream *stream)
{
	return wsf_ring_used(&stream->receive_ring) > 0 || stream->gone || atomic_load(&stream->aborted) ||
	    wsf_stream_end_state_locked(stream) != 1;
}

void wsf_stream_read_changed_locked(struct wsf_stream *stream)
{
	wsf_stream_show_readable_locked(stream);
	wsf_event_notify(&stream->receive_event);
}

void wsf_stream_set_readable_locked(struct wsf_stream *stream)
{
	wsf_assert_locked(&stream->lock, WSF_RANK_STREAM);
	wsf_pollfd_set(&stream->readable_fd, read_ready_locked(stream));
}

void wsf_stream_set_writable_locked(struct wsf_stream *stream)
{
	wsf_assert_locked(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_pollfd_set(&stream->writable_fd,
	    wsf_stream_write_state_locked(stream) != 0 || wsf_stream_room_locked(stream) > 0);
}

bool wsf_stream_leave_receiving_locked(struct wsf_stream *stream)
{
	if (stream->receive_owner != WSF_OWNER_READER || stream->reading || stream->gone || stream->fin_received)
		return false;
	stream->receive_owner = WSF_OWNER_HELPER;
	return true;
}

static int readable_pollfd(struct wsf_stream *stream)
{
	bool resume = false;
	int rv = 0, fd;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (stream->readable_fd.fd < 0 && (rv = wsf_pollfd_open(&stream->readable_fd)) == 0) {
		resume = wsf_stream_leave_receiving_locked(stream);
		wsf_pollfd_set(&stream->readable_fd, read_ready_locked(stream));
	}
	fd = stream->readable_fd.fd;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (resume)
		stream->ops->want_read(stream->link);
	return rv == 0 ? fd : rv;
}

static int writable_pollfd(struct wsf_stream *stream)
{
	int rv = 0, fd;

	wsf_stream_lock_transmit(stream);
	if (stream->writable_fd.fd < 0 && (rv = wsf_pollfd_open(&stream->writable_fd)) == 0)
		wsf_stream_show_writable_locked(stream);
	fd = stream->writable_fd.fd;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv == 0 ? fd : rv;
}

int wsf_stream_pollfd(struct wsf_stream *stream, bool writing)
{
	return writing ? writable_pollfd(stream) : readable_pollfd(stream);
}

size_t wsf_stream_readable_bytes(struct wsf_stream *stream)
{
	size_t bytes;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	bytes = atomic_load(&stream->aborted) ? 0 : wsf_ring_used(&stream->receive_ring);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return bytes;
}

size_t wsf_stream_writable_bytes(struct wsf_stream *stream)
{
	size_t bytes;

	wsf_stream_lock_transmit(stream);
	bytes = wsf_stream_write_state_locked(stream) != 0 ? 0 : wsf_stream_room_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return bytes;
}

size_t wsf_stream_unsent_bytes(struct wsf_stream *stream)
{
	size_t bytes;

	wsf_stream_lock_transmit(stream);
	bytes = wsf_ring_used(&stream->send_ring) + stream->ops->unsent(stream->link);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return bytes;
}

/* --- limits --- */

void wsf_stream_set_nonblocking(struct wsf_stream *stream, bool on)
{
	bool resume;

	atomic_store(&stream->nonblocking, on);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	resume = on && wsf_stream_leave_receiving_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (resume)
		stream->ops->want_read(stream->link);
}

void wsf_stream_set_timeouts(struct wsf_stream *stream, int read_ms, int write_ms)
{
	atomic_store(&stream->read_timeout_ms, read_ms);
	atomic_store(&stream->write_timeout_ms, write_ms);
}

/* --- draining, cutting --- */

int wsf_stream_drain(struct wsf_stream *stream, int64_t until_ns)
{
	int rv;

	wsf_stream_lock_transmit(stream);
	stream->writer_drains = true;
	while ((rv = wsf_stream_flush_locked(stream)) == -EAGAIN &&
	    (rv = wsf_stream_wait_writable_locked(stream, until_ns)) == 0)
		;
	stream->writer_drains = false;
	/* The connection is over, and had everything before. */
	if (rv == -EPIPE && stream->close_flushed && !atomic_load(&stream->aborted))
		rv = 0;
	if (rv == -ETIMEDOUT || rv == -EINTR)
		wsf_stream_ask_helper_locked(stream);
	else if (rv == -EPIPE && atomic_load(&stream->aborted))
		rv = -ECONNABORTED;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv;
}

void wsf_stream_abort(struct wsf_stream *stream)
{
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	atomic_store(&stream->aborted, true);
	atomic_store(&stream->cut, true);
	wsf_stream_fail_locked(stream, ECONNABORTED, "the program aborted the connection", WS_EVENT_TRANSPORT_ERROR);
	/* What was left to be received is not wanted any more. */
	if (stream->gone)
		wsf_stream_tell_closed_locked(stream);
	wsf_event_notify(&stream->state_event);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_show_writable_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	stream->ops->end(stream->link);
}
