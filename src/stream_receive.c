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
/* One call moves at most so much, so that a fast peer can't keep the helper from the other streams. */
#define TURN_BYTES (1024 * 1024)
#define TURN_RECEIVES 16

static uint64_t pause_room(const struct wsf_stream *stream)
{
	return stream->receive_ring.capacity_bytes / 4;
}

/* --- what the endpoint found --- */

/*
 * In this and the next one the transmit lock is held from before the program can see the end until our answer is put:
 * an fclose in between must not send its own Close first.
 */
static void peer_failed(struct wsf_stream *stream, const struct wsf_events *events)
{
	pthread_mutex_lock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	stream->failure.http_status = events->http_status;
	wsf_stream_fail_locked(stream, events->fault, events->text);
	pthread_mutex_unlock(&stream->lock);
	if (events->fault_code != 0)
		wsf_stream_put_close_locked(stream, events->fault_code, events->text);
	wsf_stream_settle_locked(stream);
	pthread_mutex_unlock(&stream->transmit_lock);
}

/*
 * The answer goes at once where the program can't write or said so, or on an error code; else when the program closes.
 */
static void close_arrived(struct wsf_stream *stream, const struct wsf_events *events)
{
	unsigned answer = 0;
	char text[sizeof stream->failure.text];

	pthread_mutex_lock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	stream->close_received = true;
	stream->answered_us = stream->close_flushed;
	stream->close_code_received = events->close_code;
	snprintf(stream->close_reason_received, sizeof stream->close_reason_received, "%s", events->close_reason);
	stream->linger_from_ns = wsf_now_ns();
	/* Our own code coming back is the answer of RFC 6455, section 5.5.1, and no word about the peer. */
	if (wsf_errno_from_close(events->close_code) != 0 &&
	    !(stream->close_flushed && events->close_code == stream->close_code_sent)) {
		snprintf(text, sizeof text, "the peer closed with %u (%s)%s%s", events->close_code,
		    wsf_close_code_name(events->close_code), events->close_reason[0] != '\0' ? ": " : "",
		    events->close_reason);
		wsf_stream_fail_locked(stream, wsf_errno_from_close(events->close_code), text);
		answer = events->close_code;
	} else if (stream->taken && (!stream->program_writes || stream->values->linger_ms == 0)) {
		answer = 1000;
	}
	wsf_event_notify(&stream->receive_event);
	pthread_mutex_unlock(&stream->lock);
	if (answer != 0)
		wsf_stream_put_close_locked(stream, answer, NULL);
	wsf_stream_settle_locked(stream);
	pthread_mutex_unlock(&stream->transmit_lock);
}

static void opened(struct wsf_stream *stream)
{
	pthread_mutex_lock(&stream->transmit_lock);
	wsf_stream_forget_request(stream);
	pthread_mutex_unlock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	stream->opened = true;
	stream->failure.http_status = 101;
	wsf_event_notify(&stream->state_event);
	pthread_mutex_unlock(&stream->lock);
	if (stream->owner.opened != NULL)
		stream->owner.opened(stream->owner.user, stream);
}

static void answer(struct wsf_stream *stream, struct wsf_events *events)
{
	int rv;

	pthread_mutex_lock(&stream->transmit_lock);
	rv = wsf_stream_put_raw_locked(stream, events->answer, events->answer_bytes);
	stream->refused = events->fault != 0;
	if (rv == 0)
		wsf_stream_push_locked(stream);
	else
		stream->ops->end(stream->link);
	pthread_mutex_unlock(&stream->transmit_lock);
	free(events->answer);
	events->answer = NULL;
}

static void act(struct wsf_stream *stream, struct wsf_events *events)
{
	if (events->answer != NULL)
		answer(stream, events);
	if (events->opened)
		opened(stream);
	if (events->ping) {
		pthread_mutex_lock(&stream->transmit_lock);
		wsf_stream_put_pong_locked(stream, events->ping_payload, events->ping_bytes);
		pthread_mutex_unlock(&stream->transmit_lock);
	}
	if (events->close)
		close_arrived(stream, events);
	if (events->fault != 0)
		peer_failed(stream, events);
}

/* --- one receive --- */

/* Take hold of the ring's room. Returns -EAGAIN when there is too little and the stream pauses, -ENOMEM. */
static int take_room_locked(struct wsf_stream *stream, struct wsf_receive *receive)
{
	struct wsf_ring *ring = &stream->receive_ring;
	size_t room = wsf_ring_room(ring);

	if (stream->opened && room < pause_room(stream)) {
		stream->paused = true;
		return -EAGAIN;
	}
	if (wsf_ring_reserve(ring) != 0)
		return -ENOMEM;
	if (wsf_ring_used(ring) == 0 && room == ring->capacity_bytes)
		wsf_ring_forget(ring);
	stream->filling = true;
	if (receive->direct.iov_len > 0) {
		receive->sink.span[0] = receive->direct;
		wsf_ring_write_span(ring, room, &receive->sink.span[1]);
	} else {
		wsf_ring_write_span(ring, room, receive->sink.span);
	}
	return 0;
}

static int prepare(struct wsf_stream *stream, struct wsf_receive *receive)
{
	uint64_t left = wsf_endpoint_payload_left(&stream->endpoint);
	size_t room;
	int rv = 0;

	pthread_mutex_lock(&stream->lock);
	receive->sink.discard = stream->discarding;
	if (!stream->discarding)
		rv = take_room_locked(stream, receive);
	room = wsf_ring_room(&stream->receive_ring);
	pthread_mutex_unlock(&stream->lock);
	if (stream->endpoint.deflate.params.on && receive->scratch_bytes > HELD_MAX_BYTES)
		receive->scratch_bytes = HELD_MAX_BYTES;
	if (rv != 0 || receive->sink.discard)
		return rv;
	if (receive->scratch_bytes > room)
		receive->scratch_bytes = room;
	if (left >= WSF_IN_PLACE_MIN) {
		room = receive->direct.iov_len > 0 ? receive->direct.iov_len : room - LOOKAHEAD_BYTES;
		receive->in_place_bytes = left < room ? (size_t)left : room;
		receive->scratch_bytes = LOOKAHEAD_BYTES;
	}
	return 0;
}

static void lay_out(struct wsf_receive *receive)
{
	size_t left = receive->in_place_bytes, n;

	for (int i = 0; i < 3 && left > 0; i++) {
		n = receive->sink.span[i].iov_len < left ? receive->sink.span[i].iov_len : left;
		receive->iov[receive->count++] = (struct iovec){ receive->sink.span[i].iov_base, n };
		left -= n;
	}
	receive->iov[receive->count++] = (struct iovec){ receive->scratch, receive->scratch_bytes };
	receive->asked_bytes = receive->in_place_bytes + receive->scratch_bytes;
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
		events->fault = ENOMEM;
		events->fault_code = 1011;
		snprintf(events->text, sizeof events->text, "out of memory for received data");
		stream->endpoint.phase = WSF_PHASE_DONE;
		return;
	}
	memcpy(stream->held, receive->scratch + used, size - used);
	stream->held_start = 0;
	stream->held_bytes = size - used;
}

bool wsf_stream_holds(const struct wsf_stream *stream)
{
	return stream->held_bytes > 0 || wsf_endpoint_pending(&stream->endpoint);
}

/* Go on with what was kept aside, in place of a receive. */
static void decode_held(struct wsf_stream *stream, struct wsf_receive *receive, struct wsf_events *events)
{
	const uint8_t *held = stream->held != NULL ? stream->held + stream->held_start : NULL;
	size_t used = wsf_endpoint_receive(&stream->endpoint, held, stream->held_bytes, &receive->sink, events);

	stream->held_start += used;
	stream->held_bytes -= used;
	if (stream->endpoint.phase == WSF_PHASE_DONE)
		stream->held_bytes = 0;
	if (stream->held_bytes == 0) {
		free(stream->held);
		stream->held = NULL;
	}
}

static void decode(struct wsf_stream *stream, struct wsf_receive *receive, struct wsf_events *events)
{
	size_t received = receive->moved_bytes, n;

	for (int i = 0; i < receive->count && received > 0; i++) {
		n = received < receive->iov[i].iov_len ? received : receive->iov[i].iov_len;
		received -= n;
		if (i == receive->count - 1) {
			decode_scratch(stream, receive, n, events);
		} else if (stream->endpoint.phase == WSF_PHASE_PAYLOAD) {
			receive->sink.bytes +=
			    wsf_endpoint_received(&stream->endpoint, receive->iov[i].iov_base, n, events);
		}
	}
}

static void commit(struct wsf_stream *stream, const struct wsf_receive *receive)
{
	size_t moved = receive->sink.bytes, direct = receive->direct.iov_len;
	size_t bytes = moved > direct ? moved - direct : 0;
	bool was_empty;

	pthread_mutex_lock(&stream->lock);
	stream->filling = false;
	stream->received_since_sweep = true;
	stream->bytes_received = stream->endpoint.bytes_received;
	stream->messages_received = stream->endpoint.messages_received;
	if (!receive->sink.discard && bytes > 0 && !stream->discarding) {
		was_empty = wsf_ring_used(&stream->receive_ring) == 0;
		wsf_ring_commit(&stream->receive_ring, bytes);
		if (was_empty)
			wsf_event_notify(&stream->receive_event);
	}
	pthread_mutex_unlock(&stream->lock);
}

/* TLS may know more than that the connection broke. */
static void transport_failed_locked(struct wsf_stream *stream, int error)
{
	struct wsf_failure failure = { 0 };

	if (error == 0 || !stream->ops->failure(stream->link, &failure))
		wsf_fail(&failure, ECONNRESET,
		    error == 0 ? "the connection ended without a Close" : "the connection broke");
	wsf_stream_fail_locked(stream, failure.error, failure.text);
}

bool wsf_stream_transport_ended(struct wsf_stream *stream, int error)
{
	bool end = true, finish;

	/* A Close that is just leaving has left before this end, if only by a moment: let its sender note that. */
	pthread_mutex_lock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	stream->receive_ended = true;
	if (error == 0 && !stream->fin_received) {
		stream->fin_received = true;
		stream->fin_early |= !stream->close_flushed;
	} else if (error != 0) {
		stream->reset = true;
		atomic_store(&stream->cut, true);
	}
	if (!stream->opened && error == 0) {
		wsf_stream_fail_locked(stream, EPROTO, "the peer ended the connection inside the handshake");
	} else if (!stream->close_received) {
		transport_failed_locked(stream, error);
		atomic_store(&stream->cut, true);
	} else if (error == 0 && !stream->close_flushed && stream->failure.error == 0) {
		/* The peer's Close came: our side may still be answering, so stop reading only. */
		stream->paused = true;
		end = false;
	}
	finish = error == 0 && stream->close_flushed && !stream->finished;
	pthread_mutex_unlock(&stream->lock);
	if (finish) {
		/* Both have said goodbye: TLS may, too. */
		stream->finished = true;
		stream->ops->finish(stream->link);
	}
	pthread_mutex_unlock(&stream->transmit_lock);
	return end;
}

int wsf_stream_receive_once(struct wsf_stream *stream, struct wsf_receive *receive)
{
	bool held = wsf_stream_holds(stream);
	struct wsf_events events;
	ssize_t received = 1;
	int rv;

	if ((rv = prepare(stream, receive)) != 0)
		return rv;
	lay_out(receive);
	if (!held)
		received = stream->ops->receive(stream->link, receive->iov, receive->count);
	events.answer = NULL;
	events.opened = events.ping = events.close = false;
	events.fault = 0;
	events.http_status = 0;
	if (held) {
		receive->asked_bytes = 0;
		decode_held(stream, receive, &events);
	} else if (received > 0) {
		receive->moved_bytes = (size_t)received;
		decode(stream, receive, &events);
	}
	commit(stream, receive);
	/* TLS may have something of its own to send. */
	if (!held && stream->ops->flush(stream->link) == -EAGAIN)
		stream->ops->want_write(stream->link);
	if (received == -EAGAIN)
		return -EAGAIN;
	if (received <= 0)
		return wsf_stream_transport_ended(stream, (int)-received) ? 0 : -EAGAIN;
	act(stream, &events);
	return 1;
}

void wsf_stream_receive_no_memory(struct wsf_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	wsf_stream_fail_locked(stream, ENOMEM, "out of memory for received data");
	pthread_mutex_unlock(&stream->lock);
}

/* --- the helper thread --- */

/* Whether the helper is the one to receive, and may go on. */
static bool helper_receives(struct wsf_stream *stream)
{
	bool helper;

	pthread_mutex_lock(&stream->lock);
	helper = stream->receive_owner != WSF_OWNER_READER;
	pthread_mutex_unlock(&stream->lock);
	return helper;
}

static bool fault_before_open(struct wsf_stream *stream)
{
	bool fault;

	pthread_mutex_lock(&stream->lock);
	fault = !stream->opened && stream->failure.error != 0;
	pthread_mutex_unlock(&stream->lock);
	return fault;
}

enum wsf_next wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes)
{
	size_t moved = 0, turns = 0;
	uint64_t until;
	bool paused;
	int rv = 1;

	if (!helper_receives(stream))
		return WSF_NEXT_PAUSE;
	until = stream->endpoint.bytes_received + TURN_BYTES;
	while (rv == 1 && moved < TURN_BYTES && stream->endpoint.bytes_received < until && turns++ < TURN_RECEIVES) {
		struct wsf_receive receive = { .scratch = scratch, .scratch_bytes = scratch_bytes };

		rv = wsf_stream_receive_once(stream, &receive);
		moved += receive.moved_bytes;
	}
	if (rv == -ENOMEM) {
		wsf_stream_receive_no_memory(stream);
		rv = 0;
	}
	if (fault_before_open(stream) && stream->role == WSF_CLIENT)
		rv = 0;
	wsf_stream_timer(stream);
	pthread_mutex_lock(&stream->lock);
	paused = stream->paused;
	pthread_mutex_unlock(&stream->lock);
	return rv == 0 ? WSF_NEXT_END : paused ? WSF_NEXT_PAUSE : WSF_NEXT_GO;
}

bool wsf_stream_pending(struct wsf_stream *stream)
{
	bool may;

	pthread_mutex_lock(&stream->lock);
	may = stream->receive_owner != WSF_OWNER_READER && !stream->paused && !stream->receive_ended;
	pthread_mutex_unlock(&stream->lock);
	return may && (wsf_stream_holds(stream) || stream->ops->pending(stream->link));
}

bool wsf_stream_hand_over(struct wsf_stream *stream)
{
	bool asked;

	pthread_mutex_lock(&stream->lock);
	asked = stream->receive_owner == WSF_OWNER_ASKED && !stream->gone;
	if (asked) {
		stream->receive_owner = WSF_OWNER_READER;
		stream->drained = false;
		stream->watched = true;
		stream->last_read_ns = wsf_now_ns();
		wsf_event_notify(&stream->receive_event);
	}
	pthread_mutex_unlock(&stream->lock);
	return asked;
}
