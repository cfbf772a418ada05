/* SPDX-License-Identifier: 0BSD */
/*
 * What test_kill.c, the survivor, and kill_victim.c, the process that is killed, have to agree on: what they do, and
 * the bytes that go either way.
 */
#ifndef KILL_H
#define KILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KILL_MOST_BYTES 300000		/* of a victim that closes */

enum kill_kind {
	KILL_OPENING,			/* while it opens, or soon after: it only writes */
	KILL_BULK,			/* as much as goes, both ways at once, by pairs */
	KILL_SMALL,			/* the same in small messages */
	KILL_ECHO,			/* it sends back what it gets */
	KILL_SENT,			/* it tells how much the kernel has taken */
	KILL_CLOSING,			/* it writes something and closes */
	KILL_ANSWERING,			/* the survivor closes first; it reads all, answers and closes */
	KILL_KINDS
};

/* Byte number offset of either direction. */
static inline uint8_t kill_byte(uint64_t offset)
{
	return (uint8_t)(offset * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static inline void kill_fill(uint64_t offset, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = kill_byte(offset + i);
}

static inline bool kill_matches(uint64_t offset, const uint8_t *in, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (in[i] != kill_byte(offset + i))
			return false;
	return true;
}

/* A number below limit; state is not 0. */
static inline uint32_t kill_random(uint64_t *state, uint32_t limit)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32) % limit;
}

#endif
