/* SPDX-License-Identifier: 0BSD */
/* Waiting: notifications, deadlines, signals. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "wait.h"

#define WAITERS 16
#define SIGNALS 50
#define HOUR_MS 3600000

static atomic_uint handled;

static void handler(int number)
{
	(void)number;
	atomic_fetch_add(&handled, 1);
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
}

/* --- one waiting thread --- */

struct waiter {
	pthread_t thread;
	struct wsf_event *event;
	int64_t deadline_ns;
	atomic_int tid;			/* 0 = not running yet */
	atomic_bool returned;
	int rv;
};

/* A wait may end for no reason; only what the test is about counts. */
static void *wait_once(void *argument)
{
	struct waiter *waiter = argument;
	unsigned seen = wsf_event_seen(waiter->event);

#ifdef __linux__
	atomic_store(&waiter->tid, gettid());
#else
	atomic_store(&waiter->tid, 1);
#endif
	do
		waiter->rv = wsf_event_wait(waiter->event, seen, waiter->deadline_ns);
	while (waiter->rv == 0 && wsf_event_seen(waiter->event) == seen);
	atomic_store(&waiter->returned, true);
	return NULL;
}

static void start(struct waiter *waiter, struct wsf_event *event, int64_t deadline_ns)
{
	memset(waiter, 0, sizeof(*waiter));
	waiter->event = event;
	waiter->deadline_ns = deadline_ns;
	ck_assert_int_eq(pthread_create(&waiter->thread, NULL, wait_once, waiter), 0);
	while (atomic_load(&waiter->tid) == 0)
		sched_yield();
}

static void join(struct waiter *waiter)
{
	ck_assert_int_eq(pthread_join(waiter->thread, NULL), 0);
}

/* --- counting --- */

START_TEST(a_notify_before_the_wait_ends_it_at_once)
{
	struct wsf_event event;
	unsigned seen;

	ck_assert_int_eq(wsf_event_init(&event), 0);
	seen = wsf_event_seen(&event);
	wsf_event_notify(&event);
	ck_assert_uint_ne(wsf_event_seen(&event), seen);
	ck_assert_int_eq(wsf_event_wait(&event, seen, WSF_NO_DEADLINE), 0);
	/* What was missed before is no reason to wait for the deadline. */
	ck_assert_int_eq(wsf_event_wait(&event, seen, wsf_deadline_ns(HOUR_MS)), 0);
	wsf_event_destroy(&event);
}
END_TEST

START_TEST(a_deadline_in_the_past_ends_the_wait)
{
	const int64_t deadlines[] = { 0, 1, wsf_now_ns() - 1, wsf_deadline_ns(0), wsf_deadline_ns(1) };
	struct wsf_event event;

	ck_assert_int_eq(wsf_event_init(&event), 0);
	wsf_event_notify(&event);
	for (size_t i = 0; i < sizeof(deadlines) / sizeof(*deadlines); i++) {
		int rv;

		do
			rv = wsf_event_wait(&event, wsf_event_seen(&event), deadlines[i]);
		while (rv == 0);
		ck_assert_int_eq(rv, -ETIMEDOUT);
		ck_assert_int_ge(wsf_now_ns(), deadlines[i]);
	}
	wsf_event_destroy(&event);
}
END_TEST

START_TEST(one_notify_wakes_every_waiter)
{
	struct waiter waiters[WAITERS];
	struct wsf_event event;

	ck_assert_int_eq(wsf_event_init(&event), 0);
	for (size_t i = 0; i < WAITERS; i++)
		start(&waiters[i], &event, i % 2 == 0 ? WSF_NO_DEADLINE : wsf_deadline_ns(HOUR_MS));
#ifdef __linux__
	while (atomic_load(&event.waiters) < WAITERS)
		sched_yield();
#endif
	wsf_event_notify(&event);
	for (size_t i = 0; i < WAITERS; i++) {
		join(&waiters[i]);
		ck_assert_int_eq(waiters[i].rv, 0);
	}
	ck_assert_uint_eq(atomic_load(&event.waiters), 0);
	wsf_event_destroy(&event);
}
END_TEST

/* Each side waits for the other's count: a notify lost between reading the counter and waiting would hang this. */
struct exchange {
	struct wsf_event event;
	pthread_mutex_t lock;
	unsigned turn;
};

#define TURNS 20000

static void take_turns(struct exchange *exchange, unsigned parity)
{
	pthread_mutex_lock(&exchange->lock);
	while (exchange->turn < TURNS) {
		if (exchange->turn % 2 == parity) {
			exchange->turn++;
			wsf_event_notify(&exchange->event);
		} else {
			unsigned seen = wsf_event_seen(&exchange->event);

			pthread_mutex_unlock(&exchange->lock);
			ck_assert_int_eq(wsf_event_wait(&exchange->event, seen, WSF_NO_DEADLINE), 0);
			pthread_mutex_lock(&exchange->lock);
		}
	}
	pthread_mutex_unlock(&exchange->lock);
}

static void *take_odd_turns(void *argument)
{
	take_turns(argument, 1);
	return NULL;
}

START_TEST(no_notify_is_lost)
{
	struct exchange exchange = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread;

	ck_assert_int_eq(wsf_event_init(&exchange.event), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, take_odd_turns, &exchange), 0);
	take_turns(&exchange, 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(exchange.turn, TURNS);
	wsf_event_destroy(&exchange.event);
}
END_TEST

/* --- signals --- */

#ifdef __linux__

START_TEST(a_handler_ends_the_wait)
{
	/* With SA_RESTART a wait without a deadline goes on, so that is not among these. */
	const int64_t deadline_ns = _i == 0 ? WSF_NO_DEADLINE : wsf_deadline_ns(HOUR_MS);
	struct wsf_event event;
	struct waiter waiter;

	handle(0);
	ck_assert_int_eq(wsf_event_init(&event), 0);
	start(&waiter, &event, deadline_ns);
	/* A signal that comes before the system call has no effect on it: the next one has. */
	while (!atomic_load(&waiter.returned)) {
		ck_assert_int_eq(pthread_kill(waiter.thread, SIGUSR1), 0);
		sched_yield();
	}
	join(&waiter);
	ck_assert_int_eq(waiter.rv, -EINTR);
	ck_assert_uint_gt(atomic_load(&handled), 0);
	ck_assert_uint_eq(atomic_load(&event.waiters), 0);
	wsf_event_destroy(&event);
}
END_TEST

/* Of /proc/self/task/TID/status, the text behind mark. */
static void read_status(int tid, const char *mark, char *out, size_t size)
{
	char path[64], text[4096];
	const char *found;
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	if (file == NULL)
		ck_abort_msg("the waiting thread is gone");
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	found = strstr(text, mark);
	if (found == NULL)
		ck_abort_msg("no \"%s\" in %s", mark, path);
	snprintf(out, size, "%s", found + strlen(mark));
}

static bool is_asleep(int tid)
{
	char state[2];

	read_status(tid, "State:\t", state, sizeof(state));
	return *state == 'S';
}

/* The signal has not been taken yet. A count in the handler would not do: ThreadSanitizer calls handlers later. */
static bool is_pending(int tid)
{
	char pending[17];

	read_status(tid, "SigPnd:\t", pending, sizeof(pending));
	return (strtoull(pending, NULL, 16) >> (SIGUSR1 - 1) & 1) != 0;
}

START_TEST(a_handler_with_sa_restart_does_not_end_a_wait_without_a_deadline)
{
	struct wsf_event event;
	struct waiter waiter;

	handle(SA_RESTART);
	ck_assert_int_eq(wsf_event_init(&event), 0);
	start(&waiter, &event, WSF_NO_DEADLINE);
	while (atomic_load(&event.waiters) == 0)
		sched_yield();
	for (unsigned i = 0; i < SIGNALS; i++) {
		while (!is_asleep(atomic_load(&waiter.tid)))
			sched_yield();
		ck_assert_int_eq(pthread_kill(waiter.thread, SIGUSR1), 0);
		while (is_pending(atomic_load(&waiter.tid)))
			sched_yield();
	}
	wsf_event_notify(&event);
	join(&waiter);
	ck_assert_int_eq(waiter.rv, 0);
	wsf_event_destroy(&event);
}
END_TEST

#endif

/* --- deadlines --- */

START_TEST(deadlines_lie_as_far_ahead_as_they_should)
{
	int64_t before = wsf_now_ns(), deadline = wsf_deadline_ns(HOUR_MS), after = wsf_now_ns();

	ck_assert_int_gt(before, 0);
	ck_assert_int_ge(after, before);
	ck_assert_int_ge(deadline, before + INT64_C(1000000) * HOUR_MS);
	ck_assert_int_le(deadline, after + INT64_C(1000000) * HOUR_MS);
	ck_assert_int_ge(wsf_deadline_ns(INT_MAX), before + INT64_C(1000000) * INT_MAX);
	ck_assert(wsf_deadline_ns(-1) == WSF_NO_DEADLINE);
}
END_TEST

START_TEST(what_is_left_of_a_deadline_suits_poll)
{
	int left;

	ck_assert_int_eq(wsf_deadline_left_ms(WSF_NO_DEADLINE), -1);
	ck_assert_int_eq(wsf_deadline_left_ms(0), 0);
	ck_assert_int_eq(wsf_deadline_left_ms(wsf_now_ns()), 0);
	ck_assert_int_eq(wsf_deadline_left_ms(WSF_NO_DEADLINE - 1), INT_MAX);
	/* Rounded up: a poll for it never ends before the deadline, and never spins in its last millisecond. */
	left = wsf_deadline_left_ms(wsf_deadline_ns(HOUR_MS));
	ck_assert_int_gt(left, 0);
	ck_assert_int_le(left, HOUR_MS);
	for (int64_t deadline = wsf_deadline_ns(2); (left = wsf_deadline_left_ms(deadline)) != 0;)
		ck_assert_int_le(left, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wait");
	TCase *tcase = tcase_create("wait");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_notify_before_the_wait_ends_it_at_once);
	tcase_add_test(tcase, a_deadline_in_the_past_ends_the_wait);
	tcase_add_test(tcase, one_notify_wakes_every_waiter);
	tcase_add_test(tcase, no_notify_is_lost);
#ifdef __linux__
	tcase_add_loop_test(tcase, a_handler_ends_the_wait, 0, 2);
	tcase_add_test(tcase, a_handler_with_sa_restart_does_not_end_a_wait_without_a_deadline);
#endif
	tcase_add_test(tcase, deadlines_lie_as_far_ahead_as_they_should);
	tcase_add_test(tcase, what_is_left_of_a_deadline_suits_poll);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
