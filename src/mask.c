/* SPDX-License-Identifier: 0BSD */
#include <string.h>

#include "mask.h"

/* 16 bytes: one register of SSE2 and NEON. gcc keeps wider ones on the stack where the processor may lack them. */
typedef uint32_t vector __attribute__((vector_size(16)));

#define STRIDE (8 * sizeof(vector))

/* The ends of a payload, shorter than a vector. */
static void mask_short(uint8_t *to, const uint8_t *from, size_t size, uint32_t word)
{
	uint8_t key[sizeof(word)];

	for (; size >= sizeof(word); size -= sizeof(word)) {
		uint32_t block;

		memcpy(&block, from, sizeof(block));
		block ^= word;
		memcpy(to, &block, sizeof(block));
		to += sizeof(word);
		from += sizeof(word);
	}
	memcpy(key, &word, sizeof(word));
	for (size_t i = 0; i < size; i++)
		to[i] = from[i] ^ key[i];
}

static void mask_one(uint8_t *to, const uint8_t *from, vector key)
{
	vector block;

	memcpy(&block, from, sizeof(block));
	block ^= key;
	memcpy(to, &block, sizeof(block));
}

/* All loads come before the first store: the compiler can't tell that to and from don't overlap. */
static void mask_stride(uint8_t *to, const uint8_t *from, vector key)
{
	vector a, b, c, d, e, f, g, h;

	memcpy(&a, from, sizeof(a));
	memcpy(&b, from + 16, sizeof(b));
	memcpy(&c, from + 32, sizeof(c));
	memcpy(&d, from + 48, sizeof(d));
	memcpy(&e, from + 64, sizeof(e));
	memcpy(&f, from + 80, sizeof(f));
	memcpy(&g, from + 96, sizeof(g));
	memcpy(&h, from + 112, sizeof(h));
	a ^= key;
	b ^= key;
	c ^= key;
	d ^= key;
	e ^= key;
	f ^= key;
	g ^= key;
	h ^= key;
	memcpy(to, &a, sizeof(a));
	memcpy(to + 16, &b, sizeof(b));
	memcpy(to + 32, &c, sizeof(c));
	memcpy(to + 48, &d, sizeof(d));
	memcpy(to + 64, &e, sizeof(e));
	memcpy(to + 80, &f, sizeof(f));
	memcpy(to + 96, &g, sizeof(g));
	memcpy(to + 112, &h, sizeof(h));
}

static uint32_t turn(const uint8_t key[4], uint64_t offset)
{
	uint8_t turned[4];
	uint32_t word;

	for (unsigned i = 0; i < 4; i++)
		turned[i] = key[(offset + i) & 3];
	memcpy(&word, turned, sizeof(word));
	return word;
}

void wsf_mask_copy(void *out, const void *in, size_t size, const uint8_t key[4], uint64_t offset)
{
	uint8_t *to = out;
	const uint8_t *from = in;
	uint32_t word;
	vector key_vector;

	/* Stores that cross cache lines cost more than a short start. */
	if (size >= 4 * STRIDE) {
		size_t head = -(uintptr_t)to & (sizeof(vector) - 1);

		mask_short(to, from, head, turn(key, offset));
		offset += head;
		to += head;
		from += head;
		size -= head;
	}
	word = turn(key, offset);
	key_vector = (vector){ word, word, word, word };
	for (; size >= STRIDE; size -= STRIDE) {
		mask_stride(to, from, key_vector);
		to += STRIDE;
		from += STRIDE;
	}
	for (; size >= sizeof(vector); size -= sizeof(vector)) {
		mask_one(to, from, key_vector);
		to += sizeof(vector);
		from += sizeof(vector);
	}
	mask_short(to, from, size, word);
}
