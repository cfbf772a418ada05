/* SPDX-License-Identifier: 0BSD */
/* The sending half: messages cut out of what is written, deflated where that is agreed, and frames. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "mask.h"

static int finish_header(struct wsf_endpoint *endpoint, struct wsf_frame *frame, uint8_t header[WSF_FRAME_HEADER_MAX],
    size_t *header_bytes)
{
	int rv;

	frame->fin = true;
	frame->masked = endpoint->role == WSF_CLIENT;
	if (frame->masked && endpoint->keys == NULL && (endpoint->keys = calloc(1, sizeof *endpoint->keys)) == NULL)
		return -ENOMEM;
	if (frame->masked && (rv = wsf_crypto_mask_key(endpoint->keys, frame->key)) != 0)
		return rv;
	*header_bytes = wsf_frame_encode(header, frame);
	return 0;
}

bool wsf_endpoint_deflates(const struct wsf_endpoint *endpoint)
{
	/* zlib can't compress for less. */
	return endpoint->deflate.params.on && endpoint->deflate.params.send_window_bits >= 9;
}

int wsf_endpoint_deflate(struct wsf_endpoint *endpoint, const struct wsf_message *message, const void *data,
    const uint8_t **out, size_t *out_bytes)
{
	const struct iovec in[2] = {
		{ (void *)message->prefix, message->prefix_bytes },
		{ (void *)data, message->take_bytes },
	};

	if (!endpoint->deflate.params.on)
		return -EOPNOTSUPP;
	return wsf_deflate_message(&endpoint->deflate, in, 2, out, out_bytes);
}

void wsf_endpoint_idle(struct wsf_endpoint *endpoint)
{
	wsf_deflate_idle(&endpoint->deflate);
}

int wsf_endpoint_start_frame(struct wsf_endpoint *endpoint, size_t payload_bytes, bool deflated,
    struct wsf_frame_start *start)
{
	struct wsf_frame frame = {
		.rsv = deflated ? WSF_RSV1 : 0,
		.opcode = endpoint->text_frames ? WSF_TEXT : WSF_BINARY,
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
	size_t limit = endpoint->max_frame_bytes;

	message->prefix_bytes = 0;
	message->take_bytes = 0;
	if (endpoint->text_frames) {
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
