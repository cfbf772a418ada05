/* SPDX-License-Identifier: 0BSD */
/*
 * System calls of the library that fail on purpose, move less than they could, or tell another time. The build has the
 * linker wrap them; what libwebsockets and OpenSSL call themselves is not touched. It knows no stream, and takes from
 * fault_memory.h which threads are the program's and which are to be spared. Arming is the test's thread's own.
 */
#ifndef FAULT_SYSTEM_H
#define FAULT_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault_memory.h"

enum fault_call {
	FAULT_SOCKET, FAULT_CONNECT, FAULT_BIND, FAULT_LISTEN, FAULT_ACCEPT, FAULT_EPOLL_CREATE, FAULT_EPOLL_CTL,
	FAULT_EPOLL_WAIT, FAULT_EVENTFD, FAULT_SOCKETPAIR, FAULT_DUP, FAULT_GETADDRINFO, FAULT_SEND, FAULT_RECV,
	FAULT_POLL, FAULT_CALLS
};

#define FAULT_BIT(call) (1U << (call))

struct fault_system_plan {
	unsigned calls;			/* bits of enum fault_call */
	int error;			/* errno; with 0, and eai 0, nothing fails */
	int eai;			/* FAULT_GETADDRINFO: 0 = EAI_SYSTEM */
	enum fault_who who;
	unsigned every;			/* 0 = the n-th call fails; else each that many-th one does */
	bool lasting;			/* the n-th and all later ones */
	bool dead;			/* the socket is dead then, for both ends */
	size_t most;			/* bytes that a send or receive moves, 0 = as it likes */
};

void fault_system_arm(const struct fault_system_plan *plan, unsigned long n);
/* Returns how many failed; *calls: how many calls there were. */
unsigned long fault_system_disarm(unsigned long *calls);
/* How many have failed since the arming. */
unsigned long fault_system_strikes(void);
void fault_system_show_strike(void);
/* For fault_memory.c, which wraps it: what getaddrinfo is to return, 0 = what it likes. */
int fault_system_getaddrinfo(void);

/* From now on the library's monotonic clock, and its real-time clock, are so much ahead. */
void fault_system_set_clocks(int64_t monotonic_ns, int64_t real_ns);

#endif
