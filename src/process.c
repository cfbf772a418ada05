/* SPDX-License-Identifier: 0BSD */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lock.h"
#include "process.h"
#include "wait.h"

#define PASS_MS 20

static const struct wsf_process_part *parts[WSF_PROCESS_RANKS];
static atomic_uint generation;
static atomic_bool over;
static int64_t over_ns;			/* written before it */

/*
 * The gate. A read-write lock would do, but glibc's knows its writer by the thread's number, which is another one in
 * the child, and there it could not be let go. lock: held by a fork while it is closed.
 */
static struct {
	pthread_mutex_t lock;
	atomic_bool closed;
	atomic_uint inside;
	struct wsf_event left;		/* while it is closed, somebody has come out */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- the gate --- */

static void leave_gate(void)
{
	atomic_fetch_sub(&gate.inside, 1);
	if (atomic_load(&gate.closed))
		wsf_event_notify(&gate.left);
}

/*
 * Not for ever: fflush(NULL) comes here with the C library's lock of all FILEs, which the fork waits for behind ours.
 */
static bool await_open(void)
{
	for (int i = 0; i < PASS_MS; i++) {
		if (pthread_mutex_trylock(&gate.lock) == 0) {
			wsf_unlock_forked(&gate.lock);
			return true;
		}
		(void)poll(NULL, 0, 1);
	}
	return false;
}

/* Either the fork sees this one inside, or this one sees the gate closed. */
void wsf_process_enter(void)
{
	for (;;) {
		atomic_fetch_add(&gate.inside, 1);
		if (!atomic_load(&gate.closed))
			return;
		leave_gate();
		if (!await_open()) {
			atomic_fetch_add(&gate.inside, 1);
			return;
		}
	}
}

void wsf_process_leave(void)
{
	leave_gate();
}

static void close_gate(void)
{
	unsigned seen;

	wsf_lock_to_fork(&gate.lock);
	atomic_store(&gate.closed, true);
	for (;;) {
		seen = wsf_event_seen(&gate.left);
		if (atomic_load(&gate.inside) == 0)
			return;
		(void)wsf_event_wait(&gate.left, seen, WSF_NO_DEADLINE);
	}
}

static void open_gate(void)
{
	atomic_store(&gate.closed, false);
	wsf_unlock_forked(&gate.lock);
}

/* --- fork --- */

static void before_fork(void)
{
	for (int i = 0; i < WSF_PROCESS_RANKS; i++) {
		if (i == WSF_PROCESS_GATE)
			close_gate();
		else if (parts[i] != NULL && parts[i]->before_fork != NULL)
			parts[i]->before_fork();
	}
	wsf_process_descriptors_before_fork();
}

static void in_parent(void)
{
	wsf_process_descriptors_in_parent();
	for (int i = WSF_PROCESS_RANKS - 1; i >= 0; i--) {
		if (i == WSF_PROCESS_GATE)
			open_gate();
		else if (parts[i] != NULL && parts[i]->in_parent != NULL)
			parts[i]->in_parent();
	}
}

static void in_child(void)
{
	atomic_fetch_add(&generation, 1);
	wsf_process_descriptors_in_child();
	/* Threads that are not here may have been about to turn back. */
	atomic_store(&gate.inside, 0);
	for (int i = WSF_PROCESS_RANKS - 1; i >= 0; i--) {
		if (i == WSF_PROCESS_GATE)
			open_gate();
		else if (parts[i] != NULL && parts[i]->in_child != NULL)
			parts[i]->in_child();
	}
}

__attribute__((constructor)) static void watch_forks(void)
{
	wsf_event_init(&gate.left);
	pthread_atfork(before_fork, in_parent, in_child);
}

unsigned wsf_process_generation(void)
{
	return atomic_load(&generation);
}

/* --- exit --- */

/* Behind every handler and destructor of the program, which may use streams as ever. */
__attribute__((destructor(101))) static void end_all(void)
{
	over_ns = wsf_now_ns();
	atomic_store(&over, true);
	for (int i = 0; i < WSF_PROCESS_RANKS; i++)
		if (parts[i] != NULL && parts[i]->end != NULL)
			parts[i]->end();
}

bool wsf_process_over(void)
{
	return atomic_load(&over);
}

int64_t wsf_process_over_ns(void)
{
	return over_ns;
}

void wsf_process_join(enum wsf_process_rank rank, const struct wsf_process_part *part)
{
	parts[rank] = part;
}
