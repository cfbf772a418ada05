/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <time.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "lock.h"
#include "wait.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

int64_t wsf_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t wsf_coarse_ns(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
#else
	return wsf_now_ns();
#endif
}

int64_t wsf_deadline_ns(int timeout_ms)
{
	return timeout_ms < 0 ? WSF_NO_DEADLINE : wsf_now_ns() + timeout_ms * NS_PER_MS;
}

int wsf_deadline_left_ms(int64_t deadline_ns)
{
	int64_t left_ns;

	if (deadline_ns == WSF_NO_DEADLINE)
		return -1;
	left_ns = deadline_ns - wsf_now_ns();
	if (left_ns <= 0)
		return 0;
	left_ns = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
	return left_ns > INT_MAX ? INT_MAX : (int)left_ns;
}

unsigned wsf_event_seen(struct wsf_event *event)
{
	return atomic_load(&event->count);
}

#ifdef __linux__

/* On 32 bits with a 64-bit time_t the first futex call would read half of the time. */
#ifdef SYS_futex_time64
#define FUTEX_WITH_TIME (sizeof(time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex)
#else
#define FUTEX_WITH_TIME SYS_futex
#endif

int wsf_event_init(struct wsf_event *event)
{
	atomic_init(&event->count, 0);
	atomic_init(&event->waiters, 0);
	return 0;
}

void wsf_event_destroy(struct wsf_event *event)
{
	(void)event;
}

int wsf_event_wait(struct wsf_event *event, unsigned seen, int64_t deadline_ns)
{
	struct timespec until;
	long rv;
	int error;

	wsf_assert_may_wait();
	if (deadline_ns != WSF_NO_DEADLINE) {
		until.tv_sec = (time_t)(deadline_ns / NS_PER_S);
		until.tv_nsec = (long)(deadline_ns % NS_PER_S);
	}
	atomic_fetch_add(&event->waiters, 1);
	rv = syscall(FUTEX_WITH_TIME, &event->count, FUTEX_WAIT_BITSET_PRIVATE, seen,
	    deadline_ns == WSF_NO_DEADLINE ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
	error = rv < 0 ? errno : 0;
	atomic_fetch_sub(&event->waiters, 1);
	return error == ETIMEDOUT || error == EINTR ? -error : 0;
}

void wsf_event_notify(struct wsf_event *event)
{
	atomic_fetch_add(&event->count, 1);
	if (atomic_load(&event->waiters) > 0)
		syscall(SYS_futex, &event->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#else

int wsf_event_init(struct wsf_event *event)
{
	atomic_init(&event->count, 0);
	atomic_init(&event->waiters, 0);
	if (pthread_mutex_init(&event->mutex, NULL) != 0)
		return -ENOMEM;
	if (pthread_cond_init(&event->condition, NULL) != 0) {
		pthread_mutex_destroy(&event->mutex);
		return -ENOMEM;
	}
	return 0;
}

void wsf_event_destroy(struct wsf_event *event)
{
	pthread_cond_destroy(&event->condition);
	pthread_mutex_destroy(&event->mutex);
}

/* pthread_cond_timedwait takes the real-time clock where pthread_condattr_setclock is missing (macOS): convert. */
int wsf_event_wait(struct wsf_event *event, unsigned seen, int64_t deadline_ns)
{
	struct timespec until;
	int64_t real_ns;
	int rv = 0;

	wsf_assert_may_wait();
	pthread_mutex_lock(&event->mutex);
	if (atomic_load(&event->count) == seen) {
		if (deadline_ns == WSF_NO_DEADLINE) {
			pthread_cond_wait(&event->condition, &event->mutex);
		} else {
			clock_gettime(CLOCK_REALTIME, &until);
			real_ns = (int64_t)until.tv_sec * NS_PER_S + until.tv_nsec + deadline_ns - wsf_now_ns();
			until.tv_sec = (time_t)(real_ns / NS_PER_S);
			until.tv_nsec = (long)(real_ns % NS_PER_S);
			rv = pthread_cond_timedwait(&event->condition, &event->mutex, &until);
		}
	}
	pthread_mutex_unlock(&event->mutex);
	return rv == ETIMEDOUT ? -ETIMEDOUT : 0;
}

void wsf_event_notify(struct wsf_event *event)
{
	pthread_mutex_lock(&event->mutex);
	atomic_fetch_add(&event->count, 1);
	pthread_cond_broadcast(&event->condition);
	pthread_mutex_unlock(&event->mutex);
}

#endif
