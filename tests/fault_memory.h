/* SPDX-License-Identifier: 0BSD */
/*
 * Memory that runs out on purpose: what the library, libwebsockets, OpenSSL and zlib ask for is counted, and the n-th
 * request is refused, or that and all later ones. The build has the linker wrap the functions. It knows no stream. All
 * of it may be called from any thread but the arming, which is the test's own.
 */
#ifndef FAULT_MEMORY_H
#define FAULT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Who asks. FAULT_SYSTEM: what the C library makes for us, a FILE, a thread, a list of addresses. */
enum fault_kind { FAULT_OWN, FAULT_LWS, FAULT_OPENSSL, FAULT_ZLIB, FAULT_SYSTEM, FAULT_KINDS };

/* In which thread. The library's own are all those that did not call fault_memory_mine. */
enum fault_who { FAULT_ANYBODY, FAULT_HELPERS, FAULT_PROGRAM };

struct fault_memory_plan {
	unsigned kinds;			/* bits 1 << enum fault_kind */
	enum fault_who who;
	bool lasting;			/* the n-th and all later ones, until disarmed */
};

/* Before anything else of OpenSSL or libwebsockets is called; from main. */
void fault_memory_begin(void);
/* This thread is the program's. */
void fault_memory_mine(void);
/* Nothing this thread asks for is counted or refused between the two; they nest. */
void fault_memory_spare(void);
void fault_memory_spare_end(void);
bool fault_memory_is_mine(void);
bool fault_memory_is_spared(void);

/* From now on. n = 0: only count. */
void fault_memory_arm(const struct fault_memory_plan *plan, unsigned long n);
/* Returns how many were refused; *requests: how many there were. */
unsigned long fault_memory_disarm(unsigned long *requests);
/* Whether this thread was refused something since the last call. */
bool fault_memory_struck_here(void);
/* Where the first one was refused, on standard error. */
void fault_memory_show_strike(void);
/* How many blocks and mappings there are, of these kinds. */
size_t fault_memory_blocks(unsigned kinds);
/* Those that are there and were made since the last arming, on standard error. */
void fault_memory_show_blocks(void);

#endif
