/* SPDX-License-Identifier: 0BSD */
#include <string.h>

#include "utf8.h"

#define HIGH_BITS 0x8080808080808080U

/* Past a run of ASCII: four words, a word, a byte at a time. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
	uint64_t words[4];

	for (; (size_t)(end - at) >= sizeof(words); at += sizeof(words)) {
		memcpy(words, at, sizeof(words));
		if ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS)
			break;
	}
	for (; (size_t)(end - at) >= sizeof(*words); at += sizeof(*words)) {
		memcpy(words, at, sizeof(*words));
		if (*words & HIGH_BITS)
			break;
	}
	while (at < end && *at < 0x80)
		at++;
	return at;
}

/*
 * RFC 3629, section 4: the first byte tells the length, and bounds the second where an overlong form, a surrogate or a
 * value over U+10FFFF would begin.
 */
static bool start_character(struct wsf_utf8 *state, uint8_t byte)
{
	state->low = 0x80;
	state->high = 0xbf;
	if (byte >= 0xc2 && byte <= 0xdf) {
		state->need = 1;
	} else if (byte >= 0xe0 && byte <= 0xef) {
		state->need = 2;
		if (byte == 0xe0)
			state->low = 0xa0;
		else if (byte == 0xed)
			state->high = 0x9f;
	} else if (byte >= 0xf0 && byte <= 0xf4) {
		state->need = 3;
		if (byte == 0xf0)
			state->low = 0x90;
		else if (byte == 0xf4)
			state->high = 0x8f;
	} else {
		return false;
	}
	return true;
}

static bool continue_character(struct wsf_utf8 *state, uint8_t byte)
{
	if (byte < state->low || byte > state->high)
		return false;
	state->need--;
	state->low = 0x80;
	state->high = 0xbf;
	return true;
}

bool wsf_utf8_feed(struct wsf_utf8 *state, const void *in, size_t size)
{
	const uint8_t *at = in;
	const uint8_t *end = at + size;
	struct wsf_utf8 now = *state;

	while (at < end) {
		if (now.need > 0) {
			if (!continue_character(&now, *at++))
				return false;
		} else if (*at < 0x80) {
			at = skip_ascii(at, end);
		} else if (!start_character(&now, *at++)) {
			return false;
		}
	}
	*state = now;
	return true;
}

bool wsf_utf8_complete(const struct wsf_utf8 *state)
{
	return state->need == 0;
}

static unsigned length_by_first_byte(uint8_t byte)
{
	if (byte >= 0xf0)
		return 4;
	if (byte >= 0xe0)
		return 3;
	return byte >= 0xc0 ? 2 : 1;
}

size_t wsf_utf8_incomplete_tail(const void *in, size_t size)
{
	const uint8_t *bytes = in;

	for (size_t back = 1; back <= 3 && back <= size; back++) {
		uint8_t byte = bytes[size - back];

		if ((byte & 0xc0) != 0x80)
			return length_by_first_byte(byte) > back ? back : 0;
	}
	return 0;
}
