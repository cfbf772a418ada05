/* SPDX-License-Identifier: 0BSD */
/*
 * Whether a secret is still somewhere in the process's memory, freed or not; the stacks are not looked at. So that the
 * search doesn't find itself, a secret is written down masked: secret_reveal gives it, secret_copies counts it. Linux
 * only: elsewhere secret_searchable is false.
 */
#ifndef WSF_TESTS_SECRETS_H
#define WSF_TESTS_SECRETS_H

#include <stdbool.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memcheck.h"

#define SECRET_BYTES 32
#define SECRET_MASK 0x55
/* ThreadSanitizer reserves terabytes. */
#define SECRET_MAX_MAPPING_BYTES ((uintptr_t)64 << 20)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
/* AddressSanitizer can have stacks anywhere. */
#ifdef __SANITIZE_ADDRESS__
#define SECRET_STACKS_APART false
#else
#define SECRET_STACKS_APART true
#endif

/* Not under valgrind, either, which would object to what was never written. */
static inline bool secret_searchable(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	bool searchable = maps != NULL && SECRET_STACKS_APART && !under_valgrind();

	if (maps != NULL)
		fclose(maps);
	return searchable;
}

/* A secret of SECRET_BYTES lower-case letters and digits and a NUL, another for each seed. */
static inline void secret_reveal(unsigned seed, char out[SECRET_BYTES + 1])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz012345";

	for (size_t i = 0; i < SECRET_BYTES; i++) {
		seed = seed * 1103515245u + 12345u;
		out[i] = alphabet[seed >> 16 & 31];
	}
	out[SECRET_BYTES] = '\0';
}

/*
 * Freed memory is what this is about: no sanitizer is to object. Allocators write over the beginning of what is freed,
 * so that only the secret's second half is looked for.
 */
__attribute__((no_sanitize("address", "thread", "undefined"))) static inline size_t secret_count_in(const char *start,
    const char *end, const char *masked)
{
	const char first = (char)(masked[SECRET_BYTES / 2] ^ SECRET_MASK);
	size_t copies = 0;

	for (const char *p = start; p + SECRET_BYTES / 2 <= end; p++) {
		size_t i = 0;

		if (*p != first)
			continue;
		while (i < SECRET_BYTES / 2 && (p[i] ^ SECRET_MASK) == masked[SECRET_BYTES / 2 + i])
			i++;
		copies += i == SECRET_BYTES / 2;
	}
	return copies;
}

static inline size_t secret_copies(unsigned seed)
{
	char masked[SECRET_BYTES + 1], line[512], rights[5];
	FILE *maps = fopen("/proc/self/maps", "r");
	uintptr_t start, end;
	size_t copies = 0;

	secret_reveal(seed, masked);
	for (size_t i = 0; i < SECRET_BYTES; i++)
		masked[i] ^= SECRET_MASK;
	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &start, &end, rights) != 3)
			continue;
		if (strncmp(rights, "rw", 2) != 0 || strstr(line, "[stack") != NULL ||
		    end - start > SECRET_MAX_MAPPING_BYTES)
			continue;
		copies += secret_count_in((const char *)start, (const char *)end, masked);
	}
	if (maps != NULL)
		fclose(maps);
	return copies;
}

#endif
