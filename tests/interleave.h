/* SPDX-License-Identifier: 0BSD */
/*
 * Runs threads as coroutines, one at a time, and explores every choice of who runs next: a depth-first search over
 * schedules, each run from the start, that ends a run where its state was met before. The library under test is linked
 * with ld's --wrap, so that its mutexes, events, clock and memory are the ones of interleave.c. It knows no streams.
 *
 * A point is a place where another thread may run: before a lock is taken, a wait, a system call. What a thread does
 * between two points is one step. Only where it matters: a step is any number of locks taken, at most one other access
 * to what is shared, then locks let go (Lipton's reduction). So data must be used under its lock only, which
 * ThreadSanitizer checks, and locks be taken in one order, which is checked here (rank).
 */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IL_THREADS_MAX 6
#define IL_ANY_PREEMPTIONS 1000
#define IL_NEVER INT64_MAX

struct il_thread {
	const char *name;
	void (*run)(void);
	bool late;			/* does not run before il_loud */
	bool daemon;			/* need not end */
};

struct il_plan {
	const char *name;
	struct il_thread threads[IL_THREADS_MAX];
	int preemptions;		/* at most so many times another runs though the running thread could go on */
	int early;			/* at most so many times the clock moves though a thread could go on */
	/* All called by the engine, without points inside. */
	void (*begin)(void);		/* before each run */
	void (*end)(void);		/* behind each that came to its end */
	uint64_t (*shared)(const void *mutex);	/* hash of what it guards; NULL = of all that is shared */
	int64_t (*next_deadline)(void);	/* of timers other than the threads' own waits, or IL_NEVER */
	int (*rank)(const void *mutex);	/* locks are taken in rising order */
	void (*unlocked)(const void *mutex);
};

struct il_result {
	uint64_t runs, states, steps;	/* steps: taken for the first time, without those of repeated beginnings */
	unsigned longest;		/* steps of the longest run */
	bool failed;
	char text[7000];		/* of a failure: what, and the schedule; Check takes no more than 8192 */
};

void il_explore(const struct il_plan *plan, struct il_result *result);

/* --- for what runs inside --- */

/* Which of the threads runs. */
int il_self(void);
/* Before il_loud nothing is explored: threads run one after the other, in their order. */
void il_loud(void);
/* A point. what is a literal. Behind a deadline (IL_NEVER = none) it goes on though not ready; returns whether it is */
void il_point(const char *what);
bool il_wait(const char *what, bool (*ready)(const void *), const void *argument, int64_t deadline_ns);
/* One of count, each of them. */
unsigned il_choose(const char *what, unsigned count);
/* From here on the thread's own state is this value and nothing else: states that differ only in the past are one. */
void il_forget(uint64_t own);
/* Something the thread learned otherwise than under a lock. */
void il_note(uint64_t value);
/* Ends the run, and the search. */
_Noreturn void il_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t il_now_ns(void);
/* How much of it passed while nobody could do anything but wait. */
int64_t il_idle_ns(void);
/* Of a block that the library has from malloc; 0 = freed. */
size_t il_block_bytes(const void *data);

static inline uint64_t il_mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 29) ^ (hash >> 51);
}

uint64_t il_mix_bytes(uint64_t hash, const void *data, size_t size);

#endif
