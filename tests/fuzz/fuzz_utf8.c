/* SPDX-License-Identifier: 0BSD */
/*
 * UTF-8 in pieces, against a straight reading of RFC 3629 that takes the text as a whole. The first byte chooses the
 * pieces, the rest is the text.
 */
#include "fuzz.h"
#include "utf8.h"

/* The length of the character at the start, 0 = none can be there; *whole = all of it is there. */
static size_t character(const uint8_t *text, size_t size, bool *whole)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80 ? 1 : (text[0] & 0xe0) == 0xc0 ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 :
	    (text[0] & 0xf8) == 0xf0 ? 4 : 0, have;
	uint32_t low, high;

	if (length == 0)
		return 0;
	low = high = length == 1 ? text[0] : text[0] & (0xffu >> (length + 1));
	for (have = 1; have < length && have < size; have++) {
		if ((text[have] & 0xc0) != 0x80)
			return 0;
		low = high = low << 6 | (text[have] & 0x3f);
	}
	*whole = have == length;
	for (; have < length; have++) {
		low = low << 6;
		high = high << 6 | 0x3f;
	}
	/* Every character that it can still become is one of these. */
	if (high < least[length] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
		return 0;
	return length;
}

/* How much of the text is in order; *tail of it starts a character that is not complete. */
static size_t valid_bytes(const uint8_t *text, size_t size, size_t *tail)
{
	size_t at = 0, length;
	bool whole = true;

	*tail = 0;
	while (at < size && (length = character(text + at, size - at, &whole)) > 0) {
		if (!whole) {
			*tail = size - at;
			return size;
		}
		at += length;
	}
	/* Up to the byte that can't follow: what is before it could have been a start. */
	for (size_t more = 1; at + more <= size; more++) {
		if (character(text + at, more, &whole) == 0)
			return at + more - 1;
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct fuzz_lot lot = fuzz_lot(fuzz_byte(&in));
	struct wsf_utf8 state = { 0 };
	size_t tail, valid = valid_bytes(in.at, in.left, &tail), at = 0, total = in.left;

	while (at < total) {
		size_t n = fuzz_piece(&lot, total - at);
		uint8_t *piece = fuzz_copy(in.at + at, n);
		bool good = wsf_utf8_feed(&state, piece, n);

		free(piece);
		REQUIRE(good == (at + n <= valid));
		if (!good)
			return 0;
		at += n;
	}
	REQUIRE(wsf_utf8_complete(&state) == (tail == 0));
	if (total > 0)
		REQUIRE(wsf_utf8_incomplete_tail(in.at, total) == tail);
	return 0;
}
