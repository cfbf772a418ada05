/* SPDX-License-Identifier: 0BSD */
/* The order of locks is kept: who breaks it is stopped there. With NDEBUG nobody is, and nothing is tested. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lock.h"
#include "wait.h"

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;

static void stream_then_transmit(void)
{
	wsf_lock(&one, WSF_RANK_STREAM);
	wsf_lock(&other, WSF_RANK_TRANSMIT);
}

static void two_of_one_rank(void)
{
	wsf_lock(&one, WSF_RANK_STREAM);
	wsf_lock(&other, WSF_RANK_STREAM);
}

static void the_same_twice(void)
{
	wsf_lock(&one, WSF_RANK_STREAM);
	wsf_lock(&one, WSF_RANK_STREAM);
}

static void below_one_of_two(void)
{
	wsf_lock(&one, WSF_RANK_LISTENER);
	wsf_lock(&other, WSF_RANK_WIRE);
	wsf_unlock(&one, WSF_RANK_LISTENER);
	wsf_lock(&one, WSF_RANK_LISTENER);
}

static void unlock_what_is_not_held(void)
{
	wsf_unlock(&one, WSF_RANK_STREAM);
}

static void unlock_another_of_the_rank(void)
{
	wsf_lock(&one, WSF_RANK_STREAM);
	wsf_unlock(&other, WSF_RANK_STREAM);
}

static void unlock_as_another_rank(void)
{
	wsf_lock(&one, WSF_RANK_STREAM);
	wsf_unlock(&one, WSF_RANK_TRANSMIT);
}

static void wait_with_a_lock_held(void)
{
	struct wsf_event event;

	ck_assert_int_eq(wsf_event_init(&event), 0);
	wsf_lock(&one, WSF_RANK_STREAM);
	(void)wsf_event_wait(&event, wsf_event_seen(&event), wsf_deadline_ns(0));
}

static void call_the_program_with_the_life_lock_held(void)
{
	wsf_lock(&one, WSF_RANK_LIFE);
	wsf_assert_unlocked();
}

static void *lock_other(void *unused)
{
	wsf_lock(&other, WSF_RANK_STREAM);
	return unused;
}

static void need_what_another_thread_holds(void)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, lock_other, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wsf_assert_locked(&other, WSF_RANK_STREAM);
}

static const struct {
	const char *name;
	void (*run)(void);
} breaches[] = {
	{ "stream, then transmit", stream_then_transmit },
	{ "two of one rank", two_of_one_rank },
	{ "the same twice", the_same_twice },
	{ "below one of two", below_one_of_two },
	{ "unlock what is not held", unlock_what_is_not_held },
	{ "unlock another of the rank", unlock_another_of_the_rank },
	{ "unlock as another rank", unlock_as_another_rank },
	{ "wait with a lock held", wait_with_a_lock_held },
	{ "call the program with the life lock held", call_the_program_with_the_life_lock_held },
	{ "need what another thread holds", need_what_another_thread_holds },
};
#define BREACHES (sizeof breaches / sizeof breaches[0])

START_TEST(a_breach_is_stopped)
{
#ifndef NDEBUG
	const struct rlimit none = { 0, 0 };

	/* What assert prints would look like a failure. */
	ck_assert_int_eq(setrlimit(RLIMIT_CORE, &none), 0);
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	breaches[_i].run();
	ck_abort_msg("%s: went on", breaches[_i].name);
#else
	(void)breaches;
	raise(SIGABRT);
#endif
}
END_TEST

START_TEST(rising_ranks_are_in_order)
{
	static pthread_mutex_t locks[WSF_RANKS];

	for (int i = 0; i < WSF_RANKS; i++) {
		ck_assert_int_eq(pthread_mutex_init(&locks[i], NULL), 0);
		wsf_lock(&locks[i], (enum wsf_rank)i);
		wsf_assert_locked(&locks[i], (enum wsf_rank)i);
	}
	/* In any order. */
	for (int i = 0; i < WSF_RANKS; i += 2)
		wsf_unlock(&locks[i], (enum wsf_rank)i);
	for (int i = 1; i < WSF_RANKS; i += 2)
		wsf_unlock(&locks[i], (enum wsf_rank)i);
	wsf_assert_unlocked();
	wsf_lock(&locks[0], WSF_RANK_LIFE);
	wsf_assert_may_wait();
	wsf_unlock(&locks[0], WSF_RANK_LIFE);
}
END_TEST

START_TEST(each_thread_has_its_own)
{
	pthread_t thread;

	wsf_lock(&one, WSF_RANK_PAIRS);
	ck_assert_int_eq(pthread_create(&thread, NULL, lock_other, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wsf_unlock(&one, WSF_RANK_PAIRS);
	wsf_assert_unlocked();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lock");
	TCase *tcase = tcase_create("order");
	SRunner *runner;
	int failed;

	tcase_add_loop_test_raise_signal(tcase, a_breach_is_stopped, SIGABRT, 0, (int)BREACHES);
	tcase_add_test(tcase, rising_ranks_are_in_order);
	tcase_add_test(tcase, each_thread_has_its_own);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
