/* SPDX-License-Identifier: 0BSD */
/*
 * Frame headers: decoded in pieces and as a whole, against a reading of RFC 6455, section 5.2, that is written down
 * field by field; and encoded again. The first byte chooses the pieces, the rest is what comes on the wire.
 */
#include <errno.h>

#include "frame.h"
#include "fuzz.h"

#define PAYLOAD_TAKEN_MAX 40u	/* of each frame: a length without its payload would end the input */

enum verdict { GOOD, BAD, MORE };

/* What the bytes are worth; *used only where they are good. */
static enum verdict expected(const uint8_t *at, size_t size, struct wsf_frame *frame, size_t *used)
{
	static const bool known[16] = { [0] = true, [1] = true, [2] = true, [8] = true, [9] = true, [10] = true };
	unsigned length_bytes, mark;

	if (size < 1)
		return MORE;
	*frame = (struct wsf_frame){ .fin = at[0] >> 7, .rsv = at[0] >> 4 & 7, .opcode = at[0] & 15 };
	if (!known[frame->opcode] || (frame->opcode >= 8 && !frame->fin))
		return BAD;
	if (size < 2)
		return MORE;
	frame->masked = at[1] >> 7;
	mark = at[1] & 127;
	if (frame->opcode >= 8 && mark > 125)
		return BAD;
	length_bytes = mark == 126 ? 2 : mark == 127 ? 8 : 0;
	if (size < 2 + length_bytes)
		return MORE;
	frame->payload_bytes = length_bytes == 0 ? mark : 0;
	for (unsigned i = 0; i < length_bytes; i++)
		frame->payload_bytes = frame->payload_bytes * 256 + at[2 + i];
	if ((mark == 126 && frame->payload_bytes < 126) || (mark == 127 && frame->payload_bytes < 65536) ||
	    frame->payload_bytes > INT64_MAX)
		return BAD;
	*used = 2 + length_bytes + (frame->masked ? 4 : 0);
	if (size < *used)
		return MORE;
	if (frame->masked)
		memcpy(frame->key, at + *used - 4, 4);
	return GOOD;
}

static bool same(const struct wsf_frame *a, const struct wsf_frame *b)
{
	return a->fin == b->fin && a->rsv == b->rsv && a->opcode == b->opcode && a->masked == b->masked &&
	    a->payload_bytes == b->payload_bytes && (!a->masked || memcmp(a->key, b->key, sizeof(a->key)) == 0);
}

/* Returns the verdict on one header, given in pieces; *used = of all of them. */
static enum verdict decode(struct fuzz_lot *lot, const uint8_t *at, size_t size, struct wsf_frame *frame, size_t *used)
{
	struct wsf_frame_decoder decoder = { .have = 0 };
	const char *reason = NULL;
	size_t taken;
	int rv = 0;

	*used = 0;
	while (rv == 0 && *used < size) {
		size_t n = fuzz_piece(lot, size - *used);
		uint8_t *piece = fuzz_copy(at + *used, n);

		rv = wsf_frame_decode(&decoder, piece, n, &taken, frame, &reason);
		free(piece);
		REQUIRE(taken <= n && (rv != 0 || taken == n));
		*used += taken;
	}
	REQUIRE(rv == 0 || rv == 1 || rv == -EPROTO);
	REQUIRE(rv >= 0 || (reason != NULL && fuzz_one_line(reason, 100)));
	REQUIRE(rv != 1 || decoder.have == 0);
	return rv == 1 ? GOOD : rv == 0 ? MORE : BAD;
}

static void check_encoding(const struct wsf_frame *frame, const uint8_t *at, size_t used)
{
	uint8_t *header = fuzz_memory(WSF_FRAME_HEADER_MAX);

	REQUIRE(wsf_frame_encode(header, frame) == used);
	REQUIRE(memcmp(header, at, used) == 0);
	free(header);
}

/* RFC 6455, sections 7.4.1 and 7.4.2, and what IANA has registered since. */
static void check_code(unsigned code)
{
	bool reserved = code == 1004 || code == 1005 || code == 1006 || code == 1015;
	bool known = (code >= 1000 && code <= 1014 && !reserved) || (code >= 3000 && code < 5000);

	REQUIRE(wsf_close_code_valid(code) == known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size }, code = in;
	struct fuzz_lot lot = fuzz_lot(fuzz_byte(&in));

	check_code(fuzz_number(&code, 2));
	while (in.left > 0) {
		struct wsf_frame frame, want;
		size_t used, want_used = 0, payload;
		enum verdict verdict = decode(&lot, in.at, in.left, &frame, &used);

		REQUIRE(verdict == expected(in.at, in.left, &want, &want_used));
		if (verdict != GOOD)
			return 0;
		REQUIRE(used == want_used && same(&frame, &want));
		check_encoding(&frame, in.at, used);
		fuzz_bytes(&in, &used);
		payload = frame.payload_bytes < PAYLOAD_TAKEN_MAX ? (size_t)frame.payload_bytes : PAYLOAD_TAKEN_MAX;
		fuzz_bytes(&in, &payload);
	}
	return 0;
}
