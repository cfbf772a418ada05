/* SPDX-License-Identifier: 0BSD */
/* Between the search (interleave.c) and what replaces the library's own (interleave_wrap.c). */
#ifndef INTERLEAVE_PRIVATE_H
#define INTERLEAVE_PRIVATE_H

#include <setjmp.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "interleave.h"
#include "lock.h"
#include "wait.h"

struct thread {
	ucontext_t context;
	char *stack;
	const char *name;
	void (*run)(void);
	bool late, daemon, done;
	const char *what;		/* where it is, or goes on */
	const void *mutex;		/* that it takes there */
	bool (*ready)(const void *);	/* NULL = always */
	const void *argument;
	int64_t deadline_ns;
	uint64_t own;			/* hash of its own state: of what it saw since il_forget */
	struct wsf_event *event;	/* whose count it read */
	unsigned event_seen;
	bool past;			/* of this step: behind the one access that others see */
	int held;			/* locks */
	int rank[4];			/* of each */
#ifndef NDEBUG
	struct wsf_locks locks;		/* the library's own record of them, while another thread runs */
#endif
};

struct engine {
	const struct il_plan *plan;
	struct thread threads[IL_THREADS_MAX + 1];
	bool running;
	jmp_buf outside;		/* for a failure outside of the threads */
};

extern struct engine il;

/* A point where a lock is taken, or any other. */
bool il_point_at(const char *what, const void *mutex, bool (*ready)(const void *), const void *argument,
    int64_t deadline_ns);

void il_memory_reset(void);
/* At a run's end: everything was freed, and nothing written to behind that. */
void il_memory_check(void);

#endif
