/* SPDX-License-Identifier: 0BSD */
/*
 * This process' life: what fork(2) copies that must not be used twice, what exit(3) ends, and which descriptors are
 * ours. It knows none of the rooms that have a part in that: they join, each from a constructor, so before there is a
 * second thread. Called from any thread.
 */
#ifndef WSF_PROCESS_H
#define WSF_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* --- taking part --- */

/* In this order locks are taken before a fork and let go behind it, and in this order the rooms end. */
enum wsf_process_rank {
	WSF_PROCESS_OBSERVE,
	WSF_PROCESS_DESCRIPTOR,
	WSF_PROCESS_COOKIE,
	WSF_PROCESS_BUFFER,
	WSF_PROCESS_GATE,		/* wsf_process_enter; no part */
	WSF_PROCESS_TLS,
	WSF_PROCESS_SERVICE,
	WSF_PROCESS_RANKS,
};

/* Each may be NULL. */
struct wsf_process_part {
	void (*before_fork)(void);	/* take the locks that the child needs */
	void (*in_parent)(void);	/* let them go */
	void (*in_child)(void);		/* the same, and forget what is the parent's; no other thread is there */
	void (*end)(void);		/* exit(3): bring to an end what is open, in bounded time */
};

void wsf_process_join(enum wsf_process_rank rank, const struct wsf_process_part *part);
/* Whether exit(3) has come to us: nothing is opened any more, and no function of the program's is called. */
bool wsf_process_over(void);
/* Since when, once it has. */
int64_t wsf_process_over_ns(void);

/* How many forks lie between the process that loaded the library and this one. No system call. */
unsigned wsf_process_generation(void);

/*
 * Around calls into a library whose locks are not ours to take: a fork waits until nobody is in between, so that the
 * child finds none of them held; unless that takes long, as where the fork waits for something else. For moments only,
 * and not nested; any lock may be held but those that come behind the gate in a fork.
 */
void wsf_process_enter(void);
void wsf_process_leave(void);

/* --- descriptors, process_descriptors.c --- */

/*
 * Those that are the library's alone are closed in a forked child at once: as long as it had them, a peer would not
 * see its connection end, and a port would stay bound. WSF_OWNED(socket(…)) opens one, or returns -1 with errno, and a
 * fork sees it or there is none yet.
 */
#define WSF_OWNED(call) (wsf_process_begin_own(), wsf_process_end_own(call))

void wsf_process_begin_own(void);
int wsf_process_end_own(int fd);
/* One that is there already becomes ours, or is no more. */
void wsf_process_own(int fd);
void wsf_process_disown(int fd);
/* close(2), of any descriptor; it is not ours any more. errno is left as it was. */
void wsf_process_close(int fd);

/* For fork, the last of all locks. */
void wsf_process_descriptors_before_fork(void);
void wsf_process_descriptors_in_parent(void);
void wsf_process_descriptors_in_child(void);

#endif
