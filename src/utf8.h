/* SPDX-License-Identifier: 0BSD */
/*
 * Incremental UTF-8 validation (RFC 3629): a text may come in any pieces. It knows nothing of messages. Called from
 * whichever thread moves the bytes.
 */
#ifndef WSF_UTF8_H
#define WSF_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised = between characters. */
struct wsf_utf8 {
	uint8_t need;		/* continuation bytes still to come */
	uint8_t low, high;	/* bounds of the next one */
};

/*
 * Validate size more bytes. Returns false at the first byte that no valid text can have there. ASCII runs go a word at
 * a time.
 */
bool wsf_utf8_feed(struct wsf_utf8 *state, const void *in, size_t size);
/* Whether the text may end here. */
bool wsf_utf8_complete(const struct wsf_utf8 *state);
/* Bytes at the end of in (0 to 3) that start a character not complete yet; in must be valid up to there. */
size_t wsf_utf8_incomplete_tail(const void *in, size_t size);

#endif
