/* SPDX-License-Identifier: 0BSD */
/*
 * From the transport through the endpoint into the ring, or to the reader. Payload of a long frame is received straight
 * to its place; everything else goes through a buffer of the thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_private.h"

#define LOOKAHEAD_BYTES 512
/* Bytes of a deflated message that may have to be kept aside, as they become more than there is room for. */
#define HELD_MAX_BYTES 16384
/* The same where nobody reads, so that no full ring ends the turn: these can become a thousand times as many. */
#define DISCARD_MAX_BYTES 1024
/* One call moves at most so much, so that a fast peer can't keep the helper from the other streams. */
#define TURN_BYTES (1024 * 1024)
#define TURN_RECEIVES 16

static uint64_t pause_room(const struct wsf_stream *stream)
{
	return stream->receive_ring.capacity_bytes / 4;
}

/* The ring's part of the sink, for so many bytes. Returns 0 or -ENOMEM. */
static int open_sink_locked(struct wsf_stream *stream, struct wsf_receive *receive, size_t size)
{
	struct wsf_ring *ring = &stream->receive_ring;
	struct iovec *span = receive->sink.span;

	if (stream->filling)
		return 0;
	if (receive->direct.iov_len > 0)
		*span++ = receive->direct;
	receive->sink.discard = stream->discarding;
	if (receive->sink.discard)
		return 0;
	if (wsf_ring_used(ring) == 0 && wsf_ring_room(ring) == ring->capacity_bytes)
		wsf_ring_forget(ring);
	if (wsf_ring_reserve(ring, size) != 0)
		return -ENOMEM;
	stream->filling = true;
	wsf_ring_write_span(ring, size, span);
	return 0;
}

/* Which bytes are to come where. Returns 0, or -EAGAIN: the stream pauses. */
static int lay_out_locked(struct wsf_stream *stream, struct wsf_receive *receive)
{
	uint64_t payload = wsf_endpoint_payload_left(&stream->endpoint);
	size_t room = wsf_ring_room(&stream->receive_ring), in_place = 0, left, n;

	if (!stream->discarding && stream->opened && room < pause_room(stream)) {
		stream->paused = true;
		return -EAGAIN;
	}
	if (stream->endpoint.deflate.params.on && receive->scratch_bytes > HELD_MAX_BYTES)
		receive->scratch_bytes = stream->discarding ? DISCARD_MAX_BYTES : HELD_MAX_BYTES;
	else if (payload == 0 && wsf_endpoint_expects_long(&stream->endpoint, WSF_IN_PLACE_MIN))
		receive->scratch_bytes = LOOKAHEAD_BYTES;
	if (!stream->discarding && receive->scratch_bytes > room)
		receive->scratch_bytes = room;
	if (!stream->discarding && payload >= WSF_IN_PLACE_MIN) {
		if (receive->direct.iov_len > 0)
			receive->sink.span[0] = receive->direct;
		else if (open_sink_locked(stream, receive, room) != 0)
			payload = 0;
		in_place = receive->direct.iov_len > 0 ? receive->direct.iov_len : room - LOOKAHEAD_BYTES;
		in_place = payload < in_place ? (size_t)payload : in_place;
		receive->scratch_bytes = LOOKAHEAD_BYTES;
	}
	left = in_place;
	for (int i = 0; left > 0; i++) {
		n = receive->sink.span[i].iov_len < left ? receive->sink.span[i].iov_len : left;
		receive->iov[receive->count++] = (struct iovec){ receive->sink.span[i].iov_base, n };
		left -= n;
	}
	receive->iov[receive->count++] = (struct iovec){ receive->scratch, receive->scratch_bytes };
	return 0;
}

static void no_memory(struct wsf_stream *stream, struct wsf_events *events)
{
	events->fault = ENOMEM;
	events->fault_code = 1011;
	snprintf(events->text, sizeof events->text, "out of memory for received data");
	stream->endpoint.phase = WSF_PHASE_DONE;
}

/* Whether received bytes wait to be decoded. */
static bool holds(const struct wsf_stream *stream)
{
	return stream->held_bytes > 0 || wsf_endpoint_pending(&stream->endpoint);
}

/* What a deflated message has no room for yet is kept aside. */
static void decode_scratch(struct wsf_stream *stream, struct wsf_receive *receive, size_t size,
    struct wsf_events *events)
{
	size_t used = wsf_endpoint_receive(&stream->endpoint, receive->scratch, size, &receive->sink, events);

	if (used == size || stream->endpoint.phase == WSF_PHASE_DONE)
		return;
	stream->held = malloc(size - used);
	if (stream->held == NULL) {
		no_memory(stream, events);
		return;
	}
	memcpy(stream->held, receive->scratch + used, size - used);
	stream->held_start = 0;
	stream->held_bytes = size - used;
}

/* So much of what was kept aside can be decoded next. What is not deflated needs as much room. */
static size_t held_share_locked(const struct wsf_stream *stream)
{
	size_t room = wsf_ring_room(&stream->receive_ring);
	bool all = stream->discarding || stream->endpoint.deflate.params.on || stream->held_bytes < room;

	return all ? stream->held_bytes : room;
}

/* Go on with what was kept aside, in place of a receive. */
static void decode_held(struct wsf_stream *stream, struct wsf_receive *receive, size_t size,
    struct wsf_events *events)
{
	const uint8_t *held = stream->held != NULL ? stream->held + stream->held_start : NULL;
	size_t used = wsf_endpoint_receive(&stream->endpoint, held, size, &receive->sink, events);

	stream->held_start += used;
	stream->held_bytes -= used;
	if (stream->endpoint.phase == WSF_PHASE_DONE)
		stream->held_bytes = 0;
	if (stream->held_bytes == 0) {
		free(stream->held);
		stream->held = NULL;
	}
}

/* What came in its place. Returns how many bytes came through scratch, behind it. */
static size_t decode_in_place(struct wsf_stream *stream, struct wsf_receive *receive, struct wsf_events *events)
{
	size_t left = receive->moved_bytes, n;

	for (int i = 0; i < receive->count - 1 && left > 0; i++) {
		n = left < receive->iov[i].iov_len ? left : receive->iov[i].iov_len;
		left -= n;
		if (stream->endpoint.phase == WSF_PHASE_PAYLOAD)
			receive->sink.bytes +=
			    wsf_endpoint_received(&stream->endpoint, receive->iov[i].iov_base, n, events);
	}
	return left;
}

static void commit_locked(struct wsf_stream *stream, const struct wsf_receive *receive)
{
	size_t moved = receive->sink.bytes, direct = receive->direct.iov_len;
	size_t bytes = moved > direct ? moved - direct : 0;
	bool was_empty;

	stream->filling = false;
	stream->received_since_sweep = true;
	wsf_stream_warm(stream);
	stream->bytes_received = stream->endpoint.bytes_received;
	stream->messages_received = stream->endpoint.messages_received;
	if (receive->sink.discard || bytes == 0 || stream->discarding)
		return;
	was_empty = wsf_ring_used(&stream->receive_ring) == 0;
	wsf_ring_commit(&stream->receive_ring, bytes);
	if (was_empty)
		wsf_stream_read_changed_locked(stream);
}

/* Through the endpoint into the sink; with the lock while that is short, and without otherwise. */
static void take_in_locked(struct wsf_stream *stream, struct wsf_receive *receive, bool held,
    struct wsf_events *events)
{
	bool deflated = stream->endpoint.deflate.params.on;
	/* The opening handshake may ask the program, which is asked without a lock. */
	size_t size = held ? held_share_locked(stream) : receive->moved_bytes;
	bool quick = !deflated && size <= WSF_QUICK_BYTES && stream->opened;
	size_t room = wsf_ring_room(&stream->receive_ring);
	int rv = 0;

	if (!quick)
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (!held)
		size = decode_in_place(stream, receive, events);
	if (!quick)
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (held || size > 0)
		rv = open_sink_locked(stream, receive, deflated ? room : size);
	if (!quick)
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (rv != 0)
		no_memory(stream, events);
	else if (held)
		decode_held(stream, receive, size, events);
	else if (size > 0)
		decode_scratch(stream, receive, size, events);
	if (!quick)
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	commit_locked(stream, receive);
}

/* TLS may know more than that the connection broke. */
static void transport_failed_locked(struct wsf_stream *stream, int error)
{
	struct wsf_failure failure = { 0 };

	if (error == 0 || !stream->ops->failure(stream->link, &failure))
		wsf_fail(&failure, ECONNRESET,
		    error == 0 ? "the connection ended without a Close" : "the connection broke");
	wsf_stream_fail_locked(stream, failure.error, failure.text, WS_EVENT_TRANSPORT_ERROR);
}

bool wsf_stream_transport_ended(struct wsf_stream *stream, int error)
{
	bool end = true, finish;

	/* A Close that is just leaving has left before this end, if only by a moment: let its sender note that. */
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->receive_ended = true;
	if (error == 0 && !stream->fin_received) {
		stream->fin_received = true;
		stream->fin_early |= !wsf_stream_acknowledged_locked(stream);
	} else if (error != 0) {
		stream->reset = true;
		atomic_store(&stream->cut, true);
	}
	if (!stream->opened && error == 0) {
		wsf_stream_fail_locked(stream, EPROTO, "the peer ended the connection inside the handshake", 0);
	} else if (!stream->close_received) {
		transport_failed_locked(stream, error);
		atomic_store(&stream->cut, true);
	} else if (error == 0 && !stream->close_flushed && stream->error == 0) {
		/* The peer's Close came: our side may still be answering, so stop reading only. */
		stream->paused = true;
		end = false;
	}
	finish = error == 0 && stream->close_flushed && !stream->finished;
	if (stream->gone)
		wsf_stream_tell_closed_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_show_writable_locked(stream);
	if (finish) {
		/* Both have said goodbye: TLS may, too. */
		stream->finished = true;
		stream->ops->finish(stream->link);
	}
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return end;
}

static ssize_t receive_unlocked(struct wsf_stream *stream, const struct wsf_receive *receive)
{
	ssize_t received = receive->wait ?
	    stream->ops->receive_wait(stream->link, receive->iov, receive->count, receive->until_ns) :
	    stream->ops->receive(stream->link, receive->iov, receive->count);

	/* TLS may have something of its own to send. */
	if (stream->ops->flush(stream->link) == -EAGAIN)
		stream->ops->want_write(stream->link);
	return received;
}

int wsf_stream_receive_locked(struct wsf_stream *stream, struct wsf_receive *receive)
{
	bool held = holds(stream), end;
	struct wsf_events events;
	ssize_t received = 1;
	int rv;

	if ((rv = lay_out_locked(stream, receive)) != 0)
		return rv;
	if (!held) {
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		received = receive_unlocked(stream, receive);
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	}
	if (received <= 0) {
		stream->filling = false;
		if (received == -EAGAIN || received == -EINTR || received == -ETIMEDOUT)
			return (int)received;
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		end = wsf_stream_transport_ended(stream, (int)-received);
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		return end ? 0 : -EAGAIN;
	}
	wsf_stream_heard_locked(stream);
	events.answer = NULL;
	events.opened = events.ping = events.close = false;
	events.control_count = 0;
	events.fault = 0;
	events.http_status = 0;
	receive->moved_bytes = held ? 0 : (size_t)received;
	take_in_locked(stream, receive, held, &events);
	if (events.answer != NULL || events.opened || events.control_count > 0 || events.close || events.fault != 0) {
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		wsf_stream_act(stream, &events);
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	}
	return 1;
}

/* --- the helper thread --- */

static size_t asked_bytes(const struct wsf_receive *receive)
{
	size_t asked = 0;

	for (int i = 0; i < receive->count; i++)
		asked += receive->iov[i].iov_len;
	return asked;
}

enum wsf_next wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes)
{
	size_t moved = 0, turns = 0;
	uint64_t until;
	bool paused, emptied = false;
	int rv = 1;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (stream->receive_owner == WSF_OWNER_READER) {
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		return WSF_NEXT_PAUSE;
	}
	until = stream->endpoint.bytes_received + TURN_BYTES;
	while (rv == 1 && !emptied && moved < TURN_BYTES && stream->endpoint.bytes_received < until &&
	    turns++ < TURN_RECEIVES) {
		struct wsf_receive receive;

		wsf_receive_init(&receive, scratch, scratch_bytes);
		rv = wsf_stream_receive_locked(stream, &receive);
		moved += receive.moved_bytes;
		/* The socket tells of what comes later; what it does not tell of is asked for by wsf_stream_pending. */
		emptied = rv == 1 && receive.moved_bytes < asked_bytes(&receive) && !holds(stream);
	}
	/* A fault before it is open ends a client's connection. */
	if (!stream->opened && stream->error != 0 && stream->role == WSF_CLIENT)
		rv = 0;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_timer(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	paused = stream->paused;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return rv == 0 ? WSF_NEXT_END : paused ? WSF_NEXT_PAUSE : WSF_NEXT_GO;
}

bool wsf_stream_pending(struct wsf_stream *stream)
{
	bool may;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	may = stream->receive_owner != WSF_OWNER_READER && !stream->paused && !stream->receive_ended;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return may && (holds(stream) || stream->ops->pending(stream->link));
}

bool wsf_stream_hand_over(struct wsf_stream *stream)
{
	bool asked;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	asked = stream->receive_owner == WSF_OWNER_ASKED && !stream->gone;
	/* It left, and nobody would receive; or there is a descriptor that tells what the helper receives. */
	if (asked && (!stream->reading || stream->readable_fd.fd >= 0)) {
		stream->receive_owner = WSF_OWNER_HELPER;
		asked = false;
	}
	if (asked) {
		stream->receive_owner = WSF_OWNER_READER;
		stream->watched = true;
		wsf_stream_watch_reader_locked(stream, wsf_now_ns());
		wsf_event_notify(&stream->receive_event);
	}
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return asked;
}
