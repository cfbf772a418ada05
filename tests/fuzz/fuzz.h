/* SPDX-License-Identifier: 0BSD */
/*
 * What the fuzz targets share: how an input is read and cut, what must hold, and a source of randomness that has none,
 * so that a run can be repeated. Each target's LLVMFuzzerTestOneInput takes one input; libFuzzer calls it with what it
 * makes up, replay.c with what is in the source tree.
 */
#ifndef WSF_TESTS_FUZZ_H
#define WSF_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* Ends the process where it does not hold. */
#define REQUIRE(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* The key of RFC 6455, section 1.3, is what a client is made to use here, and the answer must have this. */
#define FUZZ_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define FUZZ_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Mixed into every choice that is not the input's own: one input can be cut in many ways. libFuzzer leaves it 0. */
extern uint32_t fuzz_variation;

_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* Never NULL: the process ends where there is no memory. size may be 0. */
void *fuzz_memory(size_t size);
/* Of just this size, so that a byte too far is noticed. */
void *fuzz_copy(const void *data, size_t size);

/* --- an input, from its start --- */

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* 0 where there is nothing left. */
uint8_t fuzz_byte(struct fuzz_input *in);
uint32_t fuzz_number(struct fuzz_input *in, size_t bytes);
/* The next size bytes or those that are left, which *size says then. */
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *size);
/* Up to a newline, which goes with it, or the end, as a string without what follows a NUL; the caller's. */
char *fuzz_line(struct fuzz_input *in);
/* All that is left, as a string; the caller's. */
char *fuzz_rest(struct fuzz_input *in);

/* --- pieces by lot --- */

struct fuzz_lot {
	uint32_t state;
	unsigned kind;
};

struct fuzz_lot fuzz_lot(uint32_t seed);
uint32_t fuzz_draw(struct fuzz_lot *lot, uint32_t below);
/* How large the next piece of left bytes is: 1 to left. A lot draws whole, single, few, or any numbers of bytes. */
size_t fuzz_piece(struct fuzz_lot *lot, size_t left);

/* --- bytes put together --- */

/* Zero-initialised = none; data is free's. */
struct fuzz_buffer {
	uint8_t *data;
	size_t size, capacity;
};

void fuzz_put(struct fuzz_buffer *buffer, const void *data, size_t size);
bool fuzz_same(const struct fuzz_buffer *a, const struct fuzz_buffer *b);
void fuzz_buffer_clear(struct fuzz_buffer *buffer);

/* --- what is said of an input --- */

/* One line that a terminal shows, ended within size bytes. */
bool fuzz_one_line(const char *text, size_t size);

/* From here on the same random bytes come again. Called for each input. */
void fuzz_repeat_randomness(void);

#endif
