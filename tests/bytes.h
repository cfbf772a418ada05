/* SPDX-License-Identifier: 0BSD */
/* Bytes that are put together piece by piece, and numbers by lot, the same in each run. */
#ifndef WSF_TESTS_BYTES_H
#define WSF_TESTS_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

/* Zero-initialised = none; data is free's. */
struct bytes {
	uint8_t *data;
	size_t size, capacity;
};

/* Afterwards data is never NULL, even if size is 0. */
static inline void put(struct bytes *bytes, const void *data, size_t size)
{
	if (bytes->data == NULL || bytes->capacity - bytes->size < size) {
		bytes->capacity = (bytes->size + size + 1) * 2;
		bytes->data = realloc(bytes->data, bytes->capacity);
		if (bytes->data == NULL)
			ck_abort_msg("out of memory");
	}
	if (size > 0)
		memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

static inline uint32_t next_number(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

#endif
