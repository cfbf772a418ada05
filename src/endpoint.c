/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint_private.h"
#include "mask.h"

#define SCRATCH_BYTES 4096

int wsf_endpoint_init(struct wsf_endpoint *endpoint, const struct wsf_endpoint_config *config)
{
	memset(endpoint, 0, sizeof *endpoint);
	endpoint->role = config->role;
	endpoint->text_is_data = config->text_is_data;
	endpoint->text_frames = config->text_frames;
	endpoint->max_message_bytes = config->max_message_bytes;
	endpoint->max_frame_bytes = config->max_frame_bytes;
	endpoint->opening = calloc(1, sizeof *endpoint->opening);
	if (endpoint->opening == NULL)
		return -ENOMEM;
	endpoint->opening->config = *config;
	wsf_http_init(&endpoint->http, config->role == WSF_CLIENT ? WSF_HTTP_RESPONSE : WSF_HTTP_REQUEST,
	    config->max_header_bytes);
	return 0;
}

void wsf_endpoint_clear(struct wsf_endpoint *endpoint)
{
	wsf_http_clear(&endpoint->http);
	wsf_deflate_clear(&endpoint->deflate);
	free(endpoint->opening);
	free(endpoint->extensions);
	free(endpoint->admitted);
	free(endpoint->control);
	free(endpoint->keys);
}

void wsf_endpoint_fault(struct wsf_endpoint *endpoint, struct wsf_events *events, int error, unsigned code,
    const char *text)
{
	endpoint->phase = WSF_PHASE_DONE;
	events->fault = error;
	events->fault_code = code;
	snprintf(events->text, sizeof events->text, "%s", text);
}

/* --- receiving half --- */

/* Whether this data frame is of a deflated message: the first one says so (RFC 7692, section 6). */
static bool deflated_frame(const struct wsf_endpoint *endpoint)
{
	if (endpoint->frame.opcode == WSF_CONTINUATION)
		return endpoint->message_is_deflated;
	return (endpoint->frame.rsv & WSF_RSV1) != 0;
}

/*
 * RFC 6455, sections 5.1, 5.2, 5.4, 5.5; RFC 7692, section 6: what the header alone can break, given the state of the
 * connection.
 */
static void check_header(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_frame *frame = &endpoint->frame;
	uint64_t limit = endpoint->max_message_bytes;
	bool may_deflate = endpoint->deflate.params.on && (frame->opcode == WSF_TEXT || frame->opcode == WSF_BINARY);

	if ((frame->rsv & ~(may_deflate ? WSF_RSV1 : 0)) != 0)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a reserved bit is set");
	else if (frame->masked && endpoint->role == WSF_CLIENT)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "the server masked a frame");
	else if (!frame->masked && endpoint->role == WSF_SERVER)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "the client did not mask a frame");
	else if (wsf_opcode_is_control(frame->opcode))
		return;
	else if (frame->opcode == WSF_CONTINUATION && !endpoint->in_message)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a continuation without a message");
	else if (frame->opcode != WSF_CONTINUATION && endpoint->in_message)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a new message inside a fragmented one");
	else if (frame->opcode == WSF_TEXT && !endpoint->text_is_data)
		wsf_endpoint_fault(endpoint, events, EBADMSG, 1003, "a text message");
	else if (deflated_frame(endpoint))
		return;		/* what it becomes is counted when it is there */
	else if (limit != 0 &&
	    (endpoint->message_bytes > limit || frame->payload_bytes > limit - endpoint->message_bytes))
		wsf_endpoint_fault(endpoint, events, EMSGSIZE, 1009, "a message over the limit");
}

static void message_frame_done(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	endpoint->phase = WSF_PHASE_HEADER;
	if (!endpoint->frame.fin)
		return;
	endpoint->in_message = endpoint->message_is_deflated = false;
	endpoint->message_bytes = 0;
	if (endpoint->message_is_text && !wsf_utf8_complete(&endpoint->utf8))
		wsf_endpoint_fault(endpoint, events, EILSEQ, 1007, "a text message that ends inside a character");
	else
		endpoint->messages_received++;
}

static void close_arrived(struct wsf_endpoint *endpoint, const uint8_t *payload, struct wsf_events *events)
{
	size_t size = (size_t)endpoint->frame.payload_bytes;
	struct wsf_utf8 utf8 = { 0 };
	unsigned code = WSF_NO_CODE;

	events->close_reason[0] = '\0';
	if (size == 1) {
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a Close with one byte of payload");
		return;
	}
	if (size >= 2) {
		code = (unsigned)payload[0] << 8 | payload[1];
		if (!wsf_close_code_valid(code)) {
			wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a Close with a code that may not be sent");
			return;
		}
		if (!wsf_utf8_feed(&utf8, payload + 2, size - 2) || !wsf_utf8_complete(&utf8)) {
			wsf_endpoint_fault(endpoint, events, EILSEQ, 1007, "a Close whose reason is not UTF-8");
			return;
		}
		memcpy(events->close_reason, payload + 2, size - 2);
		events->close_reason[size - 2] = '\0';
	}
	/* RFC 6455 lets a Close come between fragments; a stream must not take half a message for the whole. */
	if (endpoint->in_message && (code == 1000 || code == 1001 || code == WSF_NO_CODE)) {
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, "a Close inside an unfinished message");
		return;
	}
	events->close = true;
	events->close_code = code;
	endpoint->phase = WSF_PHASE_DONE;
}

static void ping_or_pong(const struct wsf_endpoint *endpoint, const uint8_t *payload, struct wsf_events *events)
{
	struct wsf_control *control;

	if (events->control_count == WSF_CONTROLS_MAX)
		memmove(events->controls, events->controls + 1, --events->control_count * sizeof *events->controls);
	control = &events->controls[events->control_count++];
	control->pong = endpoint->frame.opcode == WSF_PONG;
	control->size = (uint8_t)endpoint->frame.payload_bytes;
	memcpy(control->payload, payload, control->size);
}

static void control_done(struct wsf_endpoint *endpoint, const uint8_t *payload, struct wsf_events *events)
{
	endpoint->phase = WSF_PHASE_HEADER;
	if (endpoint->frame.opcode == WSF_CLOSE) {
		close_arrived(endpoint, payload, events);
		return;
	}
	ping_or_pong(endpoint, payload, events);
	if (endpoint->frame.opcode == WSF_PING) {
		events->ping = true;
		events->ping_bytes = (uint8_t)endpoint->frame.payload_bytes;
		memcpy(events->ping_payload, payload, events->ping_bytes);
	}
}

static void data_frame_begins(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	endpoint->phase = WSF_PHASE_PAYLOAD;
	endpoint->message_is_deflated = deflated_frame(endpoint);
	if (endpoint->frame.opcode != WSF_CONTINUATION) {
		endpoint->in_message = true;
		endpoint->message_is_text = endpoint->frame.opcode == WSF_TEXT;
		endpoint->utf8 = (struct wsf_utf8){ 0 };
	}
	if (!endpoint->message_is_deflated)
		endpoint->message_bytes += endpoint->frame.payload_bytes;
	if (endpoint->frame.payload_bytes > 0)
		return;
	if (endpoint->message_is_deflated && endpoint->frame.fin)
		endpoint->pending = true;
	else
		message_frame_done(endpoint, events);
}

static size_t take_header(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_events *events)
{
	const char *reason = "";
	size_t used = 0;
	int rv = wsf_frame_decode(&endpoint->decoder, in, size, &used, &endpoint->frame, &reason);

	if (rv < 0) {
		wsf_endpoint_fault(endpoint, events, EPROTO, 1002, reason);
		return used;
	}
	if (rv == 0)
		return used;
	endpoint->frame_done = 0;
	check_header(endpoint, events);
	if (endpoint->phase == WSF_PHASE_DONE)
		return used;
	if (!wsf_opcode_is_control(endpoint->frame.opcode))
		data_frame_begins(endpoint, events);
	else if (endpoint->frame.payload_bytes > 0)
		endpoint->phase = WSF_PHASE_CONTROL;
	else
		control_done(endpoint, in, events);	/* which it has none of */
	return used;
}

static size_t take_control(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_events *events)
{
	size_t left = (size_t)(endpoint->frame.payload_bytes - endpoint->frame_done);
	size_t n = size < left ? size : left;
	uint8_t whole[WSF_CONTROL_PAYLOAD_MAX], *payload = whole;

	/* Nearly all come in one piece. */
	if (endpoint->frame_done == 0 && n < left)
		endpoint->control = malloc(WSF_CONTROL_PAYLOAD_MAX);
	if (endpoint->frame_done > 0 || n < left)
		payload = endpoint->control;
	if (payload == NULL) {
		wsf_endpoint_fault(endpoint, events, ENOMEM, 1011, "out of memory for a control frame");
		return n;
	}
	if (endpoint->frame.masked)
		wsf_mask_copy(payload + endpoint->frame_done, in, n, endpoint->frame.key, endpoint->frame_done);
	else
		memcpy(payload + endpoint->frame_done, in, n);
	endpoint->frame_done += n;
	if (n == left) {
		control_done(endpoint, payload, events);
		free(endpoint->control);
		endpoint->control = NULL;
	}
	return n;
}

/* How many of n bytes of text come before the first that can't be: only a text that is refused is looked at twice. */
static size_t valid_text(struct wsf_endpoint *endpoint, const uint8_t *data, size_t n, struct wsf_events *events)
{
	struct wsf_utf8 before = endpoint->utf8;
	size_t good = 0;

	if (wsf_utf8_feed(&endpoint->utf8, data, n))
		return n;
	while (good < n && wsf_utf8_feed(&before, data + good, 1))
		good++;
	wsf_endpoint_fault(endpoint, events, EILSEQ, 1007, "a text message that is not UTF-8");
	return good;
}

/* n payload bytes are in place, unmasked. Returns how many of them are to be delivered: those before a fault. */
static size_t payload_taken(struct wsf_endpoint *endpoint, const uint8_t *data, size_t n, struct wsf_events *events)
{
	size_t good = endpoint->message_is_text ? valid_text(endpoint, data, n, events) : n;

	endpoint->frame_done += good;
	endpoint->bytes_received += good;
	if (good == n && endpoint->frame_done == endpoint->frame.payload_bytes)
		message_frame_done(endpoint, events);
	return good;
}

/* Where the next payload goes, and how much of it can: in the sink, or if it discards in scratch. */
static uint8_t *sink_span(struct wsf_sink *sink, uint8_t scratch[SCRATCH_BYTES], size_t *room)
{
	size_t skip = sink->bytes;
	int i = 0;

	if (sink->discard) {
		*room = SCRATCH_BYTES;
		return scratch;
	}
	for (; i < 2 && skip >= sink->span[i].iov_len; i++)
		skip -= sink->span[i].iov_len;
	*room = sink->span[i].iov_len - skip;
	return (uint8_t *)sink->span[i].iov_base + skip;
}

static bool sink_full(const struct wsf_sink *sink)
{
	return !sink->discard &&
	    sink->bytes == sink->span[0].iov_len + sink->span[1].iov_len + sink->span[2].iov_len;
}

static size_t take_payload(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events)
{
	uint64_t left = endpoint->frame.payload_bytes - endpoint->frame_done;
	uint8_t scratch[SCRATCH_BYTES], *out;
	size_t room, good, n = size < left ? size : (size_t)left;

	out = sink_span(sink, scratch, &room);
	if (n > room)
		n = room;
	if (sink->discard && !endpoint->message_is_text)
		;	/* nobody looks at these bytes */
	else if (endpoint->frame.masked)
		wsf_mask_copy(out, in, n, endpoint->frame.key, endpoint->frame_done);
	else
		memcpy(out, in, n);
	good = payload_taken(endpoint, out, n, events);
	if (!sink->discard)
		sink->bytes += good;
	return n;
}

/* n bytes came out of the inflater. Returns how many of them are to be delivered: those before a fault. */
static size_t inflated(struct wsf_endpoint *endpoint, const uint8_t *data, size_t n, uint64_t limit_left,
    struct wsf_events *events)
{
	size_t fit = n < limit_left ? n : (size_t)limit_left;
	size_t good = endpoint->message_is_text ? valid_text(endpoint, data, fit, events) : fit;

	endpoint->message_bytes += good;
	endpoint->bytes_received += good;
	if (good == fit && fit < n)
		wsf_endpoint_fault(endpoint, events, EMSGSIZE, 1009, "a message over the limit");
	return good;
}

/* The inflater took all of the frame it was given and put all it had, or ran out of room, or failed. */
static void inflater_said(struct wsf_endpoint *endpoint, int rv, bool full, struct wsf_events *events)
{
	endpoint->pending = rv == 0 && full;
	if (rv == -EMSGSIZE)
		wsf_endpoint_fault(endpoint, events, EMSGSIZE, 1009,
		    "a compressed message that grows over max_inflate_ratio");
	else if (rv == -ENOMEM)
		wsf_endpoint_fault(endpoint, events, ENOMEM, 1011, "out of memory for a compressed message");
	else if (rv < 0)
		wsf_endpoint_fault(endpoint, events, EPROTO, 1007, "a compressed message that is not deflate");
	else if (rv == 1 || (!full && endpoint->frame_done == endpoint->frame.payload_bytes))
		message_frame_done(endpoint, events);
}

/* One byte over the limit is let out, so that the limit itself is no fault. */
static size_t take_deflated(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events)
{
	uint64_t left = endpoint->frame.payload_bytes - endpoint->frame_done;
	uint64_t limit = endpoint->max_message_bytes;
	uint8_t scratch[SCRATCH_BYTES], plain[SCRATCH_BYTES], *out;
	size_t room, used, put, good, n = size < left ? size : (size_t)left;
	bool last;
	int rv;

	out = sink_span(sink, scratch, &room);
	limit = limit != 0 ? limit - endpoint->message_bytes : UINT64_MAX;
	if (limit < room)
		room = (size_t)limit + 1;
	if (endpoint->frame.masked && n > 0) {
		if (n > sizeof plain)
			n = sizeof plain;
		wsf_mask_copy(plain, in, n, endpoint->frame.key, endpoint->frame_done);
		in = plain;
	}
	last = endpoint->frame.fin && n == left;
	rv = wsf_deflate_inflate(&endpoint->deflate, in, n, last, &used, out, room, &put);
	endpoint->frame_done += used;
	good = inflated(endpoint, out, put, limit, events);
	if (!sink->discard)
		sink->bytes += good;
	if (endpoint->phase != WSF_PHASE_DONE)
		inflater_said(endpoint, rv, put == room, events);
	return used;
}

size_t wsf_endpoint_receive(struct wsf_endpoint *endpoint, const void *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events)
{
	const uint8_t *p = in;
	size_t left = size, used;

	while ((left > 0 || endpoint->pending) && endpoint->phase != WSF_PHASE_DONE) {
		switch (endpoint->phase) {
		case WSF_PHASE_HANDSHAKE:
			used = wsf_endpoint_take_handshake(endpoint, p, left, events);
			break;
		case WSF_PHASE_HEADER:
			used = take_header(endpoint, p, left, events);
			break;
		case WSF_PHASE_CONTROL:
			used = take_control(endpoint, p, left, events);
			break;
		default:
			if (sink_full(sink))
				return size - left;
			used = endpoint->message_is_deflated ? take_deflated(endpoint, p, left, sink, events) :
			    take_payload(endpoint, p, left, sink, events);
			break;
		}
		if (used > 0)
			p += used;
		left -= used;
	}
	return endpoint->phase == WSF_PHASE_DONE ? size : size - left;
}

bool wsf_endpoint_pending(const struct wsf_endpoint *endpoint)
{
	return endpoint->pending && endpoint->phase == WSF_PHASE_PAYLOAD;
}

uint64_t wsf_endpoint_payload_left(const struct wsf_endpoint *endpoint)
{
	if (endpoint->phase != WSF_PHASE_PAYLOAD || endpoint->message_is_deflated)
		return 0;
	return endpoint->frame.payload_bytes - endpoint->frame_done;
}

bool wsf_endpoint_expects_long(const struct wsf_endpoint *endpoint, size_t size)
{
	return endpoint->phase == WSF_PHASE_HEADER && !endpoint->deflate.params.on &&
	    endpoint->frame.payload_bytes >= size;
}

size_t wsf_endpoint_received(struct wsf_endpoint *endpoint, void *data, size_t size, struct wsf_events *events)
{
	if (endpoint->frame.masked)
		wsf_mask_copy(data, data, size, endpoint->frame.key, endpoint->frame_done);
	return payload_taken(endpoint, data, size, events);
}
