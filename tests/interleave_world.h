/* SPDX-License-Identifier: 0BSD */
/*
 * What is around the library in a test under interleave.h: a kernel with one TCP connection (interleave_kernel.c, in
 * place of the system calls) and an event loop (interleave_engine.c, in place of what uses libwebsockets and epoll).
 */
#ifndef INTERLEAVE_WORLD_H
#define INTERLEAVE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_FD 5000			/* the first descriptor of the connection */
#define WORLD_FDS 8
#define WORLD_BYTES 65536

struct world {
	uint8_t in[WORLD_BYTES], out[WORLD_BYTES];	/* from the peer, to it */
	size_t in_bytes, in_taken, out_bytes;
	size_t out_room;		/* how far out_bytes may go before the peer takes some */
	bool in_end, in_reset;		/* behind in: FIN; RST */
	bool reset_told;
	bool out_end;			/* FIN, or everything is closed */
	bool shut;			/* shutdown(SHUT_RDWR) */
	bool open[WORLD_FDS];		/* descriptors of it */
	bool blocking;
	void (*receiving)(void);	/* told before bytes are taken */
};

extern struct world world;

void world_reset(void);
uint64_t world_hash(void);
/* As poll(2). */
int world_events(void);

bool world_is_open(int fd);

/* --- interleave_engine.c --- */

void world_loop_reset(void);
uint64_t world_loop_hash(void);
/* When it looks without an event, IL_NEVER = not. */
int64_t world_loop_deadline_ns(void);
/* How often it looked. */
unsigned world_loop_turns(void);

#endif
