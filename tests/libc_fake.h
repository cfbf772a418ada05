/* SPDX-License-Identifier: 0BSD */
/*
 * A stream in memory, in place of src/stream.h's, so that the stdio layer can be tried with a C library for which there
 * is neither OpenSSL nor libwebsockets. Its rules are the stream's: an end is sticky, a read's EINTR is not, a failed
 * write is final, only what was read last into stdio's buffer can be un-read.
 */
#ifndef LIBC_FAKE_H
#define LIBC_FAKE_H

#include "cookie.h"

#define FAKE_OUTPUT_MAX 400000

/* What became of it. It is in memory shared with other processes, and outlives the stream. */
struct fake_record {
	char output[FAKE_OUTPUT_MAX];
	size_t output_bytes;
	unsigned writes, empty_writes, bounded_writes, reads, unreads, shutdowns, closes, endings;
	size_t longest_write;
	size_t read_sizes[8];		/* asked for, of the first reads */
};

struct wsf_stream {
	unsigned references;
	struct fake_record *record;
	const char *input;		/* what comes, all of it at once but for chunk */
	size_t input_bytes, taken, kept;
	size_t chunk;			/* what one read gives at most, 0 = what there is */
	int end;			/* behind the input: 0 = EOF, else an errno */
	int once;			/* errno of one read, where the input so far is taken; 0 = none */
	size_t once_at;
	int write_error;		/* errno of the write that goes beyond room, 0 = none does */
	size_t room;
	bool write_failed;
	int close_error;
};

struct wsf_stream *fake_create(struct fake_record *record, const char *input, size_t input_bytes);

#endif
