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

/* For a pong and a Close, behind a ping. */
#define PONG_ROOM (2 * WSF_CONTROL_FRAME_MAX)

void wsf_stream_init_send(struct wsf_stream *stream)
{
	wsf_ring_init(&stream->send_ring, stream->values->send_buffer_bytes);
}

int wsf_stream_reserve_locked(struct wsf_stream *stream, size_t size)
{
	stream->sent_since_sweep = true;
	wsf_stream_warm(stream);
	return wsf_ring_reserve(&stream->send_ring, size);
}

/* Copy into the ring, masked if key is given; there is room. offset counts the payload before. */
void wsf_stream_put_locked(struct wsf_stream *stream, const void *data, size_t size, const uint8_t *key,
    uint64_t offset)
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

	if (size > 0 && wsf_stream_reserve_locked(stream, (size_t)size) == 0)
		wsf_stream_put_locked(stream, frame, (size_t)size, NULL, 0);
}

static bool may_put_pong(const struct wsf_stream *stream)
{
	return !stream->close_put && wsf_ring_room(&stream->send_ring) >= PONG_ROOM;
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
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		stream->close_flushed = true;
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		wsf_stream_settle_locked(stream);
	} else if (stream->refused && !stream->refusal_out) {
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		stream->refusal_out = true;
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		wsf_stream_settle_locked(stream);
	}
}

bool wsf_stream_has_room_locked(const struct wsf_stream *stream, size_t size)
{
	return wsf_ring_room(&stream->send_ring) >= size + WSF_CONTROL_ROOM;
}

/*
 * Nothing can be sent any more. The receiving side finds the end of TCP by itself, behind all bytes that came; but
 * where it is TLS that failed, for want of memory as it may be, the socket has no end to show to either side.
 */
void wsf_stream_send_failed_locked(struct wsf_stream *stream)
{
	struct wsf_failure failure = { 0 };
	bool ours;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->reset = true;
	atomic_store(&stream->cut, true);
	ours = stream->ops->failure(stream->link, &failure);
	if (ours && !stream->close_received)
		wsf_stream_fail_locked(stream, failure.error, failure.text, WS_EVENT_TRANSPORT_ERROR);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_show_writable_locked(stream);
	if (ours)
		stream->ops->end(stream->link);
}

/* Returns 0 = the ring is empty, -EAGAIN, or -EPIPE: the connection is over. */
static int flush_ring(struct wsf_stream *stream)
{
	struct iovec span[2];
	ssize_t sent;
	int count, rv;

	wsf_assert_locked(&stream->transmit_lock, WSF_RANK_TRANSMIT);
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
			wsf_stream_send_failed_locked(stream);
			return -EPIPE;
		}
		wsf_ring_consume(&stream->send_ring, (size_t)sent, 0);
	}
	wsf_ring_forget(&stream->send_ring);
	rv = stream->ops->flush(stream->link);
	if (rv == -EAGAIN)
		return -EAGAIN;
	if (rv < 0) {
		wsf_stream_send_failed_locked(stream);
		return -EPIPE;
	}
	flushed(stream);
	return 0;
}

int wsf_stream_flush_locked(struct wsf_stream *stream)
{
	int rv = flush_ring(stream);

	wsf_stream_show_writable_locked(stream);
	return rv;
}

void wsf_stream_ask_helper_locked(struct wsf_stream *stream)
{
	/* Stalled: whoever receives what is missing asks then. */
	if (stream->write_asked || stream->writer_waiting || stream->ops->stalled(stream->link))
		return;
	stream->write_asked = true;
	stream->ops->want_write(stream->link);
}

void wsf_stream_push_locked(struct wsf_stream *stream)
{
	if (wsf_stream_flush_locked(stream) == -EAGAIN)
		wsf_stream_ask_helper_locked(stream);
}

void wsf_stream_writable(struct wsf_stream *stream)
{
	wsf_stream_lock_transmit(stream);
	/* Storage that waited for the socket; or for a service to tell of it. */
	wsf_stream_warm(stream);
	stream->write_asked = false;
	if (!stream->writer_waiting)
		wsf_stream_push_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

int wsf_stream_put_raw_locked(struct wsf_stream *stream, const void *data, size_t size)
{
	wsf_assert_locked(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	if (size > stream->send_ring.capacity_bytes) {
		/* Nothing was sent yet: the ring may grow for the headers the program added. */
		wsf_ring_clear(&stream->send_ring);
		wsf_ring_init(&stream->send_ring, size);
	}
	if (wsf_stream_reserve_locked(stream, size) != 0)
		return -ENOMEM;
	wsf_stream_put_locked(stream, data, size, NULL, 0);
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

	wsf_assert_locked(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	if (stream->close_put)
		return;
	/* The last ping is answered before: nothing may follow the Close. */
	put_pong_due(stream);
	size = wsf_endpoint_close_frame(&stream->endpoint, code, reason, frame);
	stream->close_put = true;
	if (size < 0 || wsf_stream_reserve_locked(stream, (size_t)size) != 0) {
		/* The peer learns from the end of TCP, without a Close, that this is no clean end. */
		stream->ops->end(stream->link);
		return;
	}
	wsf_stream_put_locked(stream, frame, (size_t)size, NULL, 0);
	wsf_stream_show_writable_locked(stream);
	/* No ping may follow, and the program may go on reading for as long as the peer lives. */
	if (stream->ops->watch != NULL && stream->values->ping_interval_ms > 0)
		stream->ops->watch(stream->link, stream->values->ping_interval_ms);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	/* Nobody receives any more behind the peer's Close, so its end of TCP may be there unseen. */
	end = stream->close_received && stream->ops->at_end(stream->link);
	stream->fin_early |= end;
	stream->close_code_sent = code;
	stream->close_reason_sent = reason != NULL ? strndup(reason, WSF_REASON_MAX) : NULL;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (end && stream->ops->pending(stream->link))
		stream->ops->want_read(stream->link);
	wsf_stream_push_locked(stream);
}

int wsf_stream_put_ping_locked(struct wsf_stream *stream, const void *payload, size_t payload_bytes)
{
	uint8_t frame[WSF_CONTROL_FRAME_MAX];
	int size;

	if (!wsf_stream_has_room_locked(stream, 0))
		return -EAGAIN;
	size = wsf_endpoint_control_frame(&stream->endpoint, WSF_PING, payload, payload_bytes, frame);
	if (size < 0 || (size = wsf_stream_reserve_locked(stream, (size_t)size) != 0 ? -ENOMEM : size) < 0)
		return size;
	wsf_stream_put_locked(stream, frame, (size_t)size, NULL, 0);
	wsf_stream_push_locked(stream);
	return 0;
}

int wsf_stream_write_state_locked(const struct wsf_stream *stream)
{
	if (atomic_load(&stream->aborted))
		return -ECONNABORTED;
	if (stream->close_put || stream->write_failure != 0 || atomic_load(&stream->cut))
		return -EPIPE;
	return 0;
}

int wsf_stream_wait_writable_locked(struct wsf_stream *stream, int64_t until_ns)
{
	int rv;

	stream->writer_waiting = true;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	rv = stream->ops->wait_writable(stream->link, until_ns);
	wsf_lock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	stream->writer_waiting = false;
	return rv;
}
