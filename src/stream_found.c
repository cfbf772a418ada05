/* SPDX-License-Identifier: 0BSD */
/* What the endpoint found in what was received, besides data: the opening, pings, pongs, the peer's Close, faults. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_private.h"

/*
 * In this and the next one the transmit lock is held from before the program can see the end until our answer is put:
 * an fclose in between must not send its own Close first.
 */
static void peer_failed(struct wsf_stream *stream, const struct wsf_events *events)
{
	bool is_open;

	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	is_open = stream->opened;
	stream->http_status = events->http_status;
	wsf_stream_fail_locked(stream, events->fault, events->text,
	    events->fault == EBADMSG ? WS_EVENT_TEXT_REJECTED : WS_EVENT_PROTOCOL_ERROR);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (is_open && events->fault_code != 0)
		wsf_stream_put_close_locked(stream, events->fault_code, events->text);
	else if (!is_open && !stream->refused)
		stream->ops->end(stream->link);	/* no memory for an answer, and a frame would be none */
	wsf_stream_settle_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

/*
 * The answer goes at once where the program can't write or said so, or on an error code; else when the program closes.
 */
static void close_arrived(struct wsf_stream *stream, const struct wsf_events *events)
{
	unsigned answer = 0;
	char text[sizeof ((struct wsf_failure *)0)->text];

	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->close_received = true;
	atomic_store(&stream->may_linger, true);
	stream->answered_us = wsf_stream_acknowledged_locked(stream);
	stream->close_code_received = events->close_code;
	if (events->close_reason[0] != '\0')
		stream->close_reason_received = strdup(events->close_reason);
	stream->linger_from_ns = wsf_now_ns();
	wsf_stream_tell_locked(stream, &(struct ws_event){ .type = WS_EVENT_CLOSE_RECEIVED,
	    .close_code_received = events->close_code, .close_reason_received = events->close_reason });
	/* Our own code coming back is the answer of RFC 6455, section 5.5.1, and no word about the peer. */
	if (wsf_errno_from_close(events->close_code) != 0 &&
	    !(stream->close_flushed && events->close_code == stream->close_code_sent)) {
		snprintf(text, sizeof text, "the peer closed with %u (%s)%s%s", events->close_code,
		    wsf_close_code_name(events->close_code), events->close_reason[0] != '\0' ? ": " : "",
		    events->close_reason);
		wsf_stream_fail_locked(stream, wsf_errno_from_close(events->close_code), text, 0);
		answer = events->close_code;
	} else if (stream->taken && (!stream->program_writes || stream->values->linger_ms == 0)) {
		answer = 1000;
	}
	wsf_stream_read_changed_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	/* As in wsf_stream_shutdown. */
	if (answer == 1000 && stream->write_parted)
		wsf_stream_write_failed_locked(stream, EPIPE);
	else if (answer != 0)
		wsf_stream_put_close_locked(stream, answer, NULL);
	wsf_stream_settle_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

static void opened(struct wsf_stream *stream)
{
	wsf_stream_lock_transmit(stream);
	wsf_stream_forget_request(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->opened = true;
	stream->http_status = 101;
	wsf_stream_start_alive_locked(stream);
	wsf_stream_tell_locked(stream, &(struct ws_event){ .type = WS_EVENT_OPEN });
	wsf_event_notify(&stream->state_event);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (stream->owner.opened != NULL)
		stream->owner.opened(stream->owner.user, stream);
}

static void answer(struct wsf_stream *stream, struct wsf_events *events)
{
	int rv;

	wsf_stream_lock_transmit(stream);
	rv = wsf_stream_put_raw_locked(stream, events->answer, events->answer_bytes);
	stream->refused = events->fault != 0;
	if (rv == 0)
		wsf_stream_push_locked(stream);
	else
		stream->ops->end(stream->link);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	free(events->answer);
	events->answer = NULL;
}

static void pings_and_pongs(struct wsf_stream *stream, const struct wsf_events *events)
{
	struct ws_event event = { 0 };

	if (events->ping) {
		wsf_stream_lock_transmit(stream);
		wsf_stream_put_pong_locked(stream, events->ping_payload, events->ping_bytes);
		wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	}
	for (unsigned i = 0; i < events->control_count; i++) {
		const struct wsf_control *control = &events->controls[i];

		event.type = control->pong ? WS_EVENT_PONG : WS_EVENT_PING;
		event.payload = control->payload;
		event.payload_bytes = control->size;
		event.round_trip_us = control->pong ?
		    wsf_stream_pong_arrived(stream, control->payload, control->size) : 0;
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		wsf_stream_tell_locked(stream, &event);
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	}
}

void wsf_stream_act(struct wsf_stream *stream, struct wsf_events *events)
{
	if (events->answer != NULL)
		answer(stream, events);
	if (events->opened)
		opened(stream);
	if (events->control_count > 0)
		pings_and_pongs(stream, events);
	if (events->close)
		close_arrived(stream, events);
	if (events->fault != 0)
		peer_failed(stream, events);
}
