/* SPDX-License-Identifier: 0BSD */
/*
 * An event counter that threads wait on, and deadlines on the monotonic clock. It knows no stream. A wait is a futex on
 * Linux, because pthread_cond_wait never returns EINTR and a blocked read has to. Called from any thread.
 */
#ifndef WSF_WAIT_H
#define WSF_WAIT_H

#include <stdatomic.h>
#include <stdint.h>

#ifndef __linux__
#include <pthread.h>
#endif

#define WSF_NO_DEADLINE INT64_MAX

struct wsf_event {
	atomic_uint count;		/* [A] changes with each notify */
	atomic_uint waiters;		/* [A] */
#ifndef __linux__
	pthread_mutex_t mutex;
	pthread_cond_t condition;
#endif
};

int wsf_event_init(struct wsf_event *event);
void wsf_event_destroy(struct wsf_event *event);

/*
 * Read the counter while holding the lock that guards the condition, release the lock, then wait: a notify made in
 * between ends the wait at once. Returns 0 (perhaps for no reason: check again), -ETIMEDOUT, or -EINTR after a signal
 * handler; without a deadline a handler with SA_RESTART does not end the wait.
 */
unsigned wsf_event_seen(struct wsf_event *event);
int wsf_event_wait(struct wsf_event *event, unsigned seen, int64_t deadline_ns);
/* Wake every waiter. */
void wsf_event_notify(struct wsf_event *event);

int64_t wsf_now_ns(void);
/* The same clock as it was a few milliseconds ago at most, for much less. */
int64_t wsf_coarse_ns(void);
/* The moment timeout_ms from now; -1 = WSF_NO_DEADLINE. */
int64_t wsf_deadline_ns(int timeout_ms);
/* For poll(2): milliseconds left, rounded up, 0 when past, -1 without a deadline. */
int wsf_deadline_left_ms(int64_t deadline_ns);

#endif
