/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <string.h>

#include "frame.h"

#define FIN_BIT 0x80
#define MASK_BIT 0x80
#define LENGTH_BITS 0x7f
#define LENGTH_16 126
#define LENGTH_64 127

static void store_big_endian(uint8_t *out, uint64_t value, size_t size)
{
	while (size > 0) {
		out[--size] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t load_big_endian(const uint8_t *in, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | in[i];
	return value;
}

size_t wsf_frame_encode(uint8_t out[WSF_FRAME_HEADER_MAX], const struct wsf_frame *frame)
{
	uint8_t mask_bit = frame->masked ? MASK_BIT : 0;
	size_t size = 2;

	out[0] = (uint8_t)((frame->fin ? FIN_BIT : 0) | (frame->rsv & 7) << 4 | (frame->opcode & 0xf));
	if (frame->payload_bytes < LENGTH_16) {
		out[1] = (uint8_t)(mask_bit | frame->payload_bytes);
	} else if (frame->payload_bytes <= UINT16_MAX) {
		out[1] = mask_bit | LENGTH_16;
		store_big_endian(out + 2, frame->payload_bytes, 2);
		size += 2;
	} else {
		out[1] = mask_bit | LENGTH_64;
		store_big_endian(out + 2, frame->payload_bytes, 8);
		size += 8;
	}
	if (frame->masked) {
		memcpy(out + size, frame->key, sizeof(frame->key));
		size += sizeof(frame->key);
	}
	return size;
}

/* Bytes of the extended payload length; the first two bytes are there. */
static size_t extended_bytes(const uint8_t *header)
{
	switch (header[1] & LENGTH_BITS) {
	case LENGTH_16:
		return 2;
	case LENGTH_64:
		return 8;
	default:
		return 0;
	}
}

/* What can be told of the first byte alone. */
static const char *flaw_in_opcode(const uint8_t *header)
{
	unsigned opcode = header[0] & 0xf;

	if ((opcode > WSF_BINARY && opcode < WSF_CLOSE) || opcode > WSF_PONG)
		return "reserved opcode";
	if (wsf_opcode_is_control(opcode) && !(header[0] & FIN_BIT))
		return "fragmented control frame";
	return NULL;
}

/* RFC 6455, section 5.2: the minimal number of bytes must be used, and the most significant bit must be 0. */
static const char *flaw_in_length(const uint8_t *header, size_t extended)
{
	uint64_t length = load_big_endian(header + 2, extended);

	if (length >> 63)
		return "frame length over 63 bits";
	if (length < (extended == 2 ? LENGTH_16 : UINT16_MAX + 1))
		return "frame length not in its shortest form";
	return NULL;
}

/* The reason to refuse what there is of a header so far, or NULL; *goal is its size, or where to look again. */
static const char *examine(const uint8_t *header, size_t have, size_t *goal)
{
	const char *flaw = NULL;
	size_t extended;

	*goal = have + 1;
	if (have >= 1)
		flaw = flaw_in_opcode(header);
	if (flaw || have < 2)
		return flaw;
	if (wsf_opcode_is_control(header[0]) && (header[1] & LENGTH_BITS) > WSF_CONTROL_PAYLOAD_MAX)
		return "control frame over 125 bytes";
	extended = extended_bytes(header);
	*goal = 2 + extended;
	if (have < *goal)
		return NULL;
	if (header[1] & MASK_BIT)
		*goal += sizeof(((struct wsf_frame *)0)->key);
	return extended ? flaw_in_length(header, extended) : NULL;
}

static void fill(struct wsf_frame *frame, const uint8_t *header)
{
	size_t extended = extended_bytes(header);

	*frame = (struct wsf_frame){
		.fin = (header[0] & FIN_BIT) != 0,
		.rsv = header[0] >> 4 & 7,
		.opcode = header[0] & 0xf,
		.masked = (header[1] & MASK_BIT) != 0,
		.payload_bytes = extended ? load_big_endian(header + 2, extended) : header[1] & LENGTH_BITS,
	};
	if (frame->masked)
		memcpy(frame->key, header + 2 + extended, sizeof(frame->key));
}

int wsf_frame_decode(struct wsf_frame_decoder *decoder, const void *in, size_t size, size_t *used,
    struct wsf_frame *frame, const char **reason)
{
	const uint8_t *bytes = in;
	const char *flaw;
	size_t goal;

	/* Mostly it is there as a whole; and what is wrong is found out below, byte by byte. */
	if (decoder->have == 0 && size >= WSF_FRAME_HEADER_MAX && !examine(bytes, size, &goal)) {
		fill(frame, bytes);
		*used = goal;
		return 1;
	}
	*used = 0;
	for (;;) {
		size_t part;

		flaw = examine(decoder->header, decoder->have, &goal);
		if (flaw) {
			*reason = flaw;
			return -EPROTO;
		}
		if (decoder->have == goal)
			break;
		if (*used == size)
			return 0;
		part = goal - decoder->have;
		if (part > size - *used)
			part = size - *used;
		memcpy(decoder->header + decoder->have, bytes + *used, part);
		decoder->have = (uint8_t)(decoder->have + part);
		*used += part;
	}
	fill(frame, decoder->header);
	decoder->have = 0;
	return 1;
}

bool wsf_close_code_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
