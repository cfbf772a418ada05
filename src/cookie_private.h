/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of a cookie, shared by cookie.c (what the C library calls) and control.c (what the program calls besides)
 * only. Called from the program's threads.
 */
#ifndef WSF_COOKIE_PRIVATE_H
#define WSF_COOKIE_PRIVATE_H

#include <stdatomic.h>
#include <stdio.h>

#include "stream.h"

struct wsf_cookie {
	struct wsf_cookie *next;	/* in its bucket */
	FILE *file;
	struct wsf_stream *stream;	/* NULL before bind */
	atomic_uint *halves;		/* FILEs of the stream that are open, shared by both */
	bool reads, writes;
	int64_t closing_until_ns;	/* fclose is under way, and has to be over then; 0 = it is not */
	bool just_sought;		/* nothing was read or written since the last seek */
	char *buffer;			/* stdio's: it ignores a size without one (glibc) */
};

/* NULL with errno EBADF where the FILE is none of ours. */
struct wsf_cookie *wsf_cookie_find(FILE *file);

/* The read cookie: at least one byte, 0 = EOF, -1 with errno. The FILE is locked. */
ssize_t wsf_cookie_read(struct wsf_cookie *cookie, char *buffer, size_t size, enum wsf_read_kind kind);

#endif
