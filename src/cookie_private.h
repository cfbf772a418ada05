/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of a cookie, shared by cookie.c (what the C library calls), cookie_buffer.c (stdio's buffers) and
 * control.c (what the program calls besides) only. Called from the program's threads.
 */
#ifndef WSF_COOKIE_PRIVATE_H
#define WSF_COOKIE_PRIVATE_H

#include <stdatomic.h>
#include <stdio.h>

#include "stream.h"

/* Of stdio's buffer: whether its pages may be there, and it was used since somebody looked. */
enum wsf_warmth { WSF_COLD, WSF_WARM, WSF_USED };

struct wsf_cookie {
	struct wsf_cookie *next;	/* in its bucket */
	FILE *file;
	struct wsf_stream *stream;	/* NULL before bind */
	atomic_uint *halves;		/* of a pair: FILEs that are open, shared by both; NULL = the only one */
	unsigned generation;		/* the process that opened it: wsf_process_generation */
	int64_t closing_until_ns;	/* fclose is under way, and has to be over then; 0 = it is not */
	char *buffer;			/* stdio's: it ignores a size without one (glibc) */
	_Atomic(const void *) user;	/* the thread whose read or write was the last */
	uint32_t mapped_kib;		/* of buffer, 0 = malloc'd or none */
	uint16_t place;			/* in the queue of warm buffers, under its lock */
	atomic_uchar warmth;		/* enum wsf_warmth */
	bool reads : 1, writes : 1;
	bool ended;			/* at exit: nothing is left to be done with it; apart, as the next */
	bool just_sought;		/* no read or write since the last seek; apart: written without a lock */
};

/* --- cookie_registry.c --- */

/* Its FILE is there, and leads to it from now on; until it is unregistered, at fclose. */
void wsf_cookie_register(struct wsf_cookie *cookie);
/* It has this stream from now on, also at exit. */
void wsf_cookie_bind(struct wsf_cookie *cookie, struct wsf_stream *stream);
void wsf_cookie_unregister(struct wsf_cookie *cookie);
/* NULL with errno EBADF where the FILE is none of ours, or none of this process'. */
struct wsf_cookie *wsf_cookie_find(FILE *file);
/* Whether this process has it from its parent: the stream is the parent's alone, and is not to be touched. */
bool wsf_cookie_inherited(const struct wsf_cookie *cookie);
/* What stdio holds that was written and not flushed. The FILE is locked. */
size_t wsf_stdio_unflushed(FILE *file);

/* --- cookie.c --- */

/* The read cookie: at least one byte, 0 = EOF, -1 with errno. The FILE is locked. */
ssize_t wsf_cookie_read(struct wsf_cookie *cookie, char *buffer, size_t size, enum wsf_read_kind kind);

/* As wsf_stream_write_some. The FILE is locked and flushed. */
ssize_t wsf_cookie_write_some(struct wsf_cookie *cookie, const void *buffer, size_t size);

/* --- cookie_buffer.c --- */

/* Before there is a FILE. Returns 0 or -ENOMEM. */
int wsf_cookie_buffer_create(struct wsf_cookie *cookie, size_t size);
/* When the FILE has it. */
void wsf_cookie_buffer_bind(struct wsf_cookie *cookie);
void wsf_cookie_buffer_free(struct wsf_cookie *cookie);
/* Each read and write begins with it: stdio's buffer is used from here on, and another one may become cold. */
void wsf_cookie_warm_up(struct wsf_cookie *cookie);
/* Before the FILE goes. */
void wsf_cookie_forget_warm(struct wsf_cookie *cookie);

#endif
