/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "mask.h"

void wsf_endpoint_init(struct wsf_endpoint *endpoint, const struct wsf_endpoint_config *config)
{
	memset(endpoint, 0, sizeof *endpoint);
	endpoint->config = *config;
	wsf_http_init(&endpoint->http, config->role == WSF_CLIENT ? WSF_HTTP_RESPONSE : WSF_HTTP_REQUEST,
	    config->max_header_bytes);
}

void wsf_endpoint_clear(struct wsf_endpoint *endpoint)
{
	wsf_http_clear(&endpoint->http);
}

static void fault(struct wsf_endpoint *endpoint, struct wsf_events *events, int error, unsigned code, const char *text)
{
	endpoint->phase = WSF_PHASE_DONE;
	events->fault = error;
	events->fault_code = code;
	snprintf(events->text, sizeof events->text, "%s", text);
}

/* --- opening handshake --- */

int wsf_endpoint_request(struct wsf_endpoint *endpoint, char **request, size_t *size)
{
	char key[WSF_KEY_TEXT_BYTES];
	const struct wsf_http_upgrade upgrade = {
		.host = endpoint->config.host,
		.target = endpoint->config.target,
		.key = key,
		.origin = endpoint->config.origin,
		.user_agent = endpoint->config.user_agent,
		.subprotocols = endpoint->config.subprotocols,
		.headers = endpoint->config.headers,
	};
	int rv;

	if ((rv = wsf_crypto_key(key)) != 0 || (rv = wsf_crypto_accept(key, endpoint->accept)) != 0)
		return rv;
	*request = wsf_http_format_upgrade(&upgrade, size);
	return *request != NULL ? 0 : -ENOMEM;
}

static void set_subprotocol(struct wsf_endpoint *endpoint, const char *subprotocol)
{
	snprintf(endpoint->subprotocol, sizeof endpoint->subprotocol, "%s", subprotocol != NULL ? subprotocol : "");
}

static void answer_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const char *subprotocol;
	char reason[sizeof events->text];
	int rv;

	events->http_status = endpoint->http.status;
	rv = wsf_http_check_answer(&endpoint->http, endpoint->accept, endpoint->config.subprotocols, &subprotocol,
	    reason, sizeof reason);
	if (rv < 0) {
		fault(endpoint, events, -rv, 0, reason);
		return;
	}
	set_subprotocol(endpoint, subprotocol);
	endpoint->phase = WSF_PHASE_HEADER;
	events->opened = true;
}

static void refuse(struct wsf_endpoint *endpoint, struct wsf_events *events, int status, const char *reason)
{
	events->http_status = status;
	events->answer = wsf_http_format_refusal(status, reason, &events->answer_bytes);
	fault(endpoint, events, EPROTO, 0, reason);
}

static void request_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_http_rules rules = {
		.path = endpoint->config.path,
		.allowed_origins = endpoint->config.allowed_origins,
		.subprotocols = endpoint->config.subprotocols,
	};
	const char *subprotocol, *reason, *key = wsf_http_field(&endpoint->http, "Sec-WebSocket-Key");
	int status = wsf_http_check_request(&endpoint->http, &rules, &subprotocol, &reason);

	if (status == 101 && !wsf_crypto_key_valid(key)) {
		status = 400;
		reason = "Sec-WebSocket-Key is not the base64 of 16 bytes";
	}
	if (status != 101) {
		refuse(endpoint, events, status, reason);
		return;
	}
	if (wsf_crypto_accept(key, endpoint->accept) != 0) {
		refuse(endpoint, events, 500, "no cryptography to be had");
		return;
	}
	events->answer =
	    wsf_http_format_accept(endpoint->accept, subprotocol, endpoint->config.headers, &events->answer_bytes);
	if (events->answer == NULL) {
		fault(endpoint, events, ENOMEM, 0, "out of memory");
		return;
	}
	set_subprotocol(endpoint, subprotocol);
	endpoint->phase = WSF_PHASE_HEADER;
	events->http_status = 101;
	events->opened = true;
}

static size_t take_handshake(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_events *events)
{
	const char *reason = "";
	size_t used = 0;
	int rv = wsf_http_feed(&endpoint->http, in, size, &used, &reason);

	if (rv == 1) {
		if (endpoint->config.role == WSF_CLIENT)
			answer_arrived(endpoint, events);
		else
			request_arrived(endpoint, events);
	} else if (rv < 0 && endpoint->config.role == WSF_SERVER && rv != -ENOMEM) {
		refuse(endpoint, events, rv == -EMSGSIZE ? 431 : 400, reason);
	} else if (rv < 0) {
		fault(endpoint, events, rv == -ENOMEM ? ENOMEM : EPROTO, 0, reason);
	}
	return used;
}

/* --- receiving half --- */

/* RFC 6455, sections 5.1, 5.2, 5.4, 5.5: what the header alone can break, given the state of the connection. */
static void check_header(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_frame *frame = &endpoint->frame;
	uint64_t limit = endpoint->config.max_message_bytes;

	if (frame->rsv != 0)
		fault(endpoint, events, EPROTO, 1002, "a reserved bit is set");
	else if (frame->masked && endpoint->config.role == WSF_CLIENT)
		fault(endpoint, events, EPROTO, 1002, "the server masked a frame");
	else if (!frame->masked && endpoint->config.role == WSF_SERVER)
		fault(endpoint, events, EPROTO, 1002, "the client did not mask a frame");
	else if (wsf_opcode_is_control(frame->opcode))
		return;
	else if (frame->opcode == WSF_CONTINUATION && !endpoint->in_message)
		fault(endpoint, events, EPROTO, 1002, "a continuation without a message");
	else if (frame->opcode != WSF_CONTINUATION && endpoint->in_message)
		fault(endpoint, events, EPROTO, 1002, "a new message inside a fragmented one");
	else if (frame->opcode == WSF_TEXT && !endpoint->config.text_is_data)
		fault(endpoint, events, EBADMSG, 1003, "a text message");
	else if (limit != 0 &&
	    (endpoint->message_bytes > limit || frame->payload_bytes > limit - endpoint->message_bytes))
		fault(endpoint, events, EMSGSIZE, 1009, "a message over the limit");
}

static void message_frame_done(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	endpoint->phase = WSF_PHASE_HEADER;
	if (!endpoint->frame.fin)
		return;
	endpoint->in_message = false;
	endpoint->message_bytes = 0;
	if (endpoint->message_is_text && !wsf_utf8_complete(&endpoint->utf8))
		fault(endpoint, events, EILSEQ, 1007, "a text message that ends inside a character");
	else
		endpoint->messages_received++;
}

static void close_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const uint8_t *payload = endpoint->control;
	size_t size = (size_t)endpoint->frame.payload_bytes;
	struct wsf_utf8 utf8 = { 0 };
	unsigned code = WSF_NO_CODE;

	events->close_reason[0] = '\0';
	if (size == 1) {
		fault(endpoint, events, EPROTO, 1002, "a Close with one byte of payload");
		return;
	}
	if (size >= 2) {
		code = (unsigned)payload[0] << 8 | payload[1];
		if (!wsf_close_code_valid(code)) {
			fault(endpoint, events, EPROTO, 1002, "a Close with a code that may not be sent");
			return;
		}
		if (!wsf_utf8_feed(&utf8, payload + 2, size - 2) || !wsf_utf8_complete(&utf8)) {
			fault(endpoint, events, EILSEQ, 1007, "a Close whose reason is not UTF-8");
			return;
		}
		memcpy(events->close_reason, payload + 2, size - 2);
		events->close_reason[size - 2] = '\0';
	}
	/* RFC 6455 lets a Close come between fragments; a stream must not take half a message for the whole. */
	if (endpoint->in_message && (code == 1000 || code == 1001 || code == WSF_NO_CODE)) {
		fault(endpoint, events, EPROTO, 1002, "a Close inside an unfinished message");
		return;
	}
	events->close = true;
	events->close_code = code;
	endpoint->phase = WSF_PHASE_DONE;
}

static void control_done(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	endpoint->phase = WSF_PHASE_HEADER;
	if (endpoint->frame.opcode == WSF_CLOSE) {
		close_arrived(endpoint, events);
	} else if (endpoint->frame.opcode == WSF_PING) {
		events->ping = true;
		events->ping_bytes = (uint8_t)endpoint->frame.payload_bytes;
		memcpy(events->ping_payload, endpoint->control, events->ping_bytes);
	}
}

static size_t take_header(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_events *events)
{
	const char *reason = "";
	size_t used = 0;
	int rv = wsf_frame_decode(&endpoint->decoder, in, size, &used, &endpoint->frame, &reason);

	if (rv < 0) {
		fault(endpoint, events, EPROTO, 1002, reason);
		return used;
	}
	if (rv == 0)
		return used;
	endpoint->frame_done = 0;
	endpoint->phase = wsf_opcode_is_control(endpoint->frame.opcode) ? WSF_PHASE_CONTROL : WSF_PHASE_PAYLOAD;
	check_header(endpoint, events);
	if (endpoint->phase == WSF_PHASE_DONE)
		return used;
	if (endpoint->phase == WSF_PHASE_PAYLOAD) {
		if (endpoint->frame.opcode != WSF_CONTINUATION) {
			endpoint->in_message = true;
			endpoint->message_is_text = endpoint->frame.opcode == WSF_TEXT;
			endpoint->utf8 = (struct wsf_utf8){ 0 };
		}
		endpoint->message_bytes += endpoint->frame.payload_bytes;
		if (endpoint->frame.payload_bytes == 0)
			message_frame_done(endpoint, events);
	} else if (endpoint->frame.payload_bytes == 0) {
		control_done(endpoint, events);
	}
	return used;
}

static size_t take_control(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_events *events)
{
	size_t left = (size_t)(endpoint->frame.payload_bytes - endpoint->frame_done);
	size_t n = size < left ? size : left;
	uint8_t *out = endpoint->control + endpoint->frame_done;

	if (endpoint->frame.masked)
		wsf_mask_copy(out, in, n, endpoint->frame.key, endpoint->frame_done);
	else
		memcpy(out, in, n);
	endpoint->frame_done += n;
	if (endpoint->frame_done == endpoint->frame.payload_bytes)
		control_done(endpoint, events);
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
	fault(endpoint, events, EILSEQ, 1007, "a text message that is not UTF-8");
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

static uint8_t *sink_span(struct wsf_sink *sink, size_t *room)
{
	size_t skip = sink->bytes;
	int i = 0;

	for (; i < 2 && skip >= sink->span[i].iov_len; i++)
		skip -= sink->span[i].iov_len;
	*room = sink->span[i].iov_len - skip;
	return (uint8_t *)sink->span[i].iov_base + skip;
}

static size_t take_payload(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events)
{
	uint64_t left = endpoint->frame.payload_bytes - endpoint->frame_done;
	uint8_t scratch[4096], *out;
	size_t room, good, n = size < left ? size : (size_t)left;

	if (sink->discard) {
		out = scratch;
		room = sizeof scratch;
	} else {
		out = sink_span(sink, &room);
	}
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

void wsf_endpoint_receive(struct wsf_endpoint *endpoint, const void *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events)
{
	const uint8_t *p = in;
	size_t used;

	while (size > 0 && endpoint->phase != WSF_PHASE_DONE) {
		switch (endpoint->phase) {
		case WSF_PHASE_HANDSHAKE:
			used = take_handshake(endpoint, p, size, events);
			break;
		case WSF_PHASE_HEADER:
			used = take_header(endpoint, p, size, events);
			break;
		case WSF_PHASE_CONTROL:
			used = take_control(endpoint, p, size, events);
			break;
		default:
			used = take_payload(endpoint, p, size, sink, events);
			break;
		}
		p += used;
		size -= used;
	}
}

uint64_t wsf_endpoint_payload_left(const struct wsf_endpoint *endpoint)
{
	return endpoint->phase == WSF_PHASE_PAYLOAD ? endpoint->frame.payload_bytes - endpoint->frame_done : 0;
}

size_t wsf_endpoint_received(struct wsf_endpoint *endpoint, void *data, size_t size, struct wsf_events *events)
{
	if (endpoint->frame.masked)
		wsf_mask_copy(data, data, size, endpoint->frame.key, endpoint->frame_done);
	return payload_taken(endpoint, data, size, events);
}

/* --- sending half --- */

static int finish_header(struct wsf_endpoint *endpoint, struct wsf_frame *frame, uint8_t header[WSF_FRAME_HEADER_MAX],
    size_t *header_bytes)
{
	int rv;

	frame->fin = true;
	frame->masked = endpoint->config.role == WSF_CLIENT;
	if (frame->masked && (rv = wsf_crypto_mask_key(&endpoint->keys, frame->key)) != 0)
		return rv;
	*header_bytes = wsf_frame_encode(header, frame);
	return 0;
}

int wsf_endpoint_start_frame(struct wsf_endpoint *endpoint, size_t payload_bytes, struct wsf_frame_start *start)
{
	struct wsf_frame frame = {
		.opcode = endpoint->config.text_frames ? WSF_TEXT : WSF_BINARY,
		.payload_bytes = payload_bytes,
	};
	size_t header_bytes;
	int rv = finish_header(endpoint, &frame, start->header, &header_bytes);

	if (rv != 0)
		return rv;
	start->header_bytes = (uint8_t)header_bytes;
	start->masked = frame.masked;
	memcpy(start->key, frame.key, sizeof start->key);
	return 0;
}

static int next_text(struct wsf_endpoint *endpoint, const uint8_t *data, size_t n, struct wsf_message *message)
{
	size_t lead;

	if (!wsf_utf8_feed(&endpoint->sent_utf8, data, n))
		return -EILSEQ;
	message->used_bytes = n;
	/* Nothing of a character that started before data counts as its tail. */
	lead = n - wsf_utf8_incomplete_tail(data, n);
	if (lead == n && !wsf_utf8_complete(&endpoint->sent_utf8)) {
		memcpy(endpoint->held + endpoint->held_bytes, data, n);
		endpoint->held_bytes = (uint8_t)(endpoint->held_bytes + n);
		return 0;
	}
	memcpy(message->prefix, endpoint->held, endpoint->held_bytes);
	message->prefix_bytes = endpoint->held_bytes;
	message->take_bytes = lead;
	endpoint->held_bytes = (uint8_t)(n - lead);
	memcpy(endpoint->held, data + lead, n - lead);
	return 0;
}

int wsf_endpoint_next_message(struct wsf_endpoint *endpoint, const void *data, size_t size, struct wsf_message *message)
{
	size_t limit = endpoint->config.max_frame_bytes;

	message->prefix_bytes = 0;
	message->take_bytes = 0;
	if (endpoint->config.text_frames) {
		/* Room for a whole character; less than that is held, so something of the data always fits. */
		if (limit < sizeof endpoint->held)
			limit = sizeof endpoint->held;
		limit -= endpoint->held_bytes;
		return next_text(endpoint, data, size < limit ? size : limit, message);
	}
	message->take_bytes = message->used_bytes = size < limit ? size : limit;
	return 0;
}

bool wsf_endpoint_holds_text(const struct wsf_endpoint *endpoint)
{
	return endpoint->held_bytes != 0;
}

int wsf_endpoint_control_frame(struct wsf_endpoint *endpoint, enum wsf_opcode opcode, const void *payload, size_t size,
    uint8_t out[WSF_CONTROL_FRAME_MAX])
{
	struct wsf_frame frame = { .opcode = (uint8_t)opcode, .payload_bytes = size };
	size_t header_bytes;
	int rv = finish_header(endpoint, &frame, out, &header_bytes);

	if (rv != 0)
		return rv;
	if (size == 0)
		return (int)header_bytes;
	if (frame.masked)
		wsf_mask_copy(out + header_bytes, payload, size, frame.key, 0);
	else
		memcpy(out + header_bytes, payload, size);
	return (int)(header_bytes + size);
}

int wsf_endpoint_close_frame(struct wsf_endpoint *endpoint, unsigned code, const char *reason,
    uint8_t out[WSF_CONTROL_FRAME_MAX])
{
	uint8_t payload[WSF_CONTROL_PAYLOAD_MAX];
	size_t reason_bytes = reason != NULL ? strlen(reason) : 0;

	if (code == WSF_NO_CODE)
		return wsf_endpoint_control_frame(endpoint, WSF_CLOSE, NULL, 0, out);
	if (reason_bytes > WSF_REASON_MAX)
		reason_bytes = WSF_REASON_MAX;
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	if (reason_bytes > 0)
		memcpy(payload + 2, reason, reason_bytes);
	return wsf_endpoint_control_frame(endpoint, WSF_CLOSE, payload, reason_bytes + 2, out);
}
