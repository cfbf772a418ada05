/* SPDX-License-Identifier: 0BSD */
/*
 * One table of what each C library makes of a stream: a case does something and tells what came of it as text, and the
 * text is compared with what is expected of this library. No Check: it is not built for every one of them.
 */
#ifndef LIBC_TABLE_H
#define LIBC_TABLE_H

#include "libc_fake.h"

enum libc { LIBC_GLIBC, LIBC_LIBBSD, LIBC_MUSL, LIBC_COUNT };

/* A case under way; each is a process of its own. */
struct scene {
	struct wsf_stream *stream;
	struct fake_record *record;
	FILE *file;
	FILE *other;			/* of a pair: the writing half */
	char *result;
	size_t result_bytes;
};

#define RESULT_MAX 300

struct libc_case {
	const char *name;
	void (*run)(struct scene *scene);
	const char *expected[LIBC_COUNT];	/* NULL = as the one before */
};

extern const struct libc_case libc_reading_cases[], libc_turning_cases[], libc_writing_cases[], libc_ending_cases[];

/* The FILE over a stream with this input; bytes of stdio's buffer, 0 = unbuffered. */
void scene_open(struct scene *scene, const char *mode, size_t buffer_bytes, const char *input);
void scene_open_bytes(struct scene *scene, const char *mode, size_t buffer_bytes, const char *input, size_t size);
void scene_open_pair(struct scene *scene, const char *input);

/* Add to the result. */
void tell(struct scene *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *error_name(int error);
/* The next line of input, without its newline, or why there is none. */
void tell_line(struct scene *scene);
/* What was written so far. */
void tell_output(struct scene *scene);
/* "0", or the errno of a call that returned something else. */
void tell_rv(struct scene *scene, const char *what, int rv);
void tell_flags(struct scene *scene);

/* Bytes that know their place. */
void fill_pattern(char *out, size_t size);
bool pattern_holds(const char *in, size_t size);

#endif
