/* SPDX-License-Identifier: 0BSD */
/*
 * The buffers of FILEs that are not in use give their pages back, and only those: whatever a program has left in one,
 * by whichever of stdio's ways, is there when it comes back.
 */
#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif

#include "peer.h"
#include "wsfile.h"

/* So long they stay resident, and more than so many; see cookie_buffer.c. */
#define WARM_NS 5000000
#define PAIRS 24
#define BUFFER_BYTES 32768

#if defined(__GLIBC__) && defined(__linux__)
#define COOLS 1
#else
#define COOLS 0
#endif

struct pair {
	FILE *near, *far;
};

static struct ws_listener *listener;
static struct pair others[PAIRS], subject;

static void open_pair(struct pair *pair)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.stdio_buffer_bytes = BUFFER_BYTES;
	pair->near = ws_fopen_with(ws_listener_url(listener), "r+", &options);
	ck_assert_msg(pair->near != NULL, "%s", ws_last_error()->text);
	pair->far = ws_accept(listener, "r+");
	ck_assert_msg(pair->far != NULL, "%s", ws_last_error()->text);
}

static void *close_it(void *stream)
{
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

static void close_pair(struct pair *pair)
{
	pthread_t thread;

	peer_thread(&thread, close_it, pair->far);
	ck_assert_int_eq(fclose(pair->near), 0);
	peer_join(thread);
}

static void open_all(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.stdio_buffer_bytes = BUFFER_BYTES;
	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	open_pair(&subject);
	for (int i = 0; i < PAIRS; i++)
		open_pair(&others[i]);
}

static void close_all(void)
{
	close_pair(&subject);
	for (int i = 0; i < PAIRS; i++)
		close_pair(&others[i]);
	ws_listener_close(listener);
	peer_count_end();
}

static void say(FILE *from, const char *text)
{
	ck_assert_int_ne(fputs(text, from), EOF);
	ck_assert_int_eq(fflush(from), 0);
}

static void hear(FILE *to, const char *text)
{
	char heard[64];
	size_t size = strlen(text);

	ck_assert_uint_eq(fread(heard, 1, size, to), size);
	ck_assert_mem_eq(heard, text, size);
}

static void talk(const struct pair *pair)
{
	say(pair->near, "question");
	hear(pair->far, "question");
	say(pair->far, "answer");
	hear(pair->near, "answer");
}

/*
 * New streams come, until every other one that was not used for a while has been looked at twice: what can go has gone
 * then.
 */
static void go_round(void)
{
	const struct timespec while_ago = { .tv_nsec = WARM_NS + WARM_NS / 10 };

	for (int look = 0; look < 2; look++) {
		nanosleep(&while_ago, NULL);
		for (int i = 0; i < PAIRS; i++) {
			close_pair(&others[i]);
			open_pair(&others[i]);
			talk(&others[i]);
		}
	}
}

#if COOLS
static bool is_resident(const void *buffer)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	unsigned char resident = 0;

	ck_assert_int_eq(mincore((void *)((uintptr_t)buffer & ~(page - 1)), page, &resident), 0);
	return (resident & 1) != 0;
}
#endif

static void expect_resident(const FILE *file, bool resident)
{
#if COOLS
	ck_assert_int_eq(is_resident(file->_IO_buf_base), resident);
#else
	(void)file;
	(void)resident;
#endif
}

START_TEST(a_buffer_that_is_not_used_goes_and_comes_again)
{
	open_all();
	for (int round = 0; round < 3; round++) {
		talk(&subject);
		expect_resident(subject.near, true);
		expect_resident(subject.far, true);
		go_round();
		expect_resident(subject.near, false);
		expect_resident(subject.far, false);
	}
	close_all();
}
END_TEST

START_TEST(what_was_not_read_yet_stays)
{
	char line[64];

	open_all();
	say(subject.far, "first\nsecond\nthird\n");
	ck_assert_ptr_nonnull(fgets(line, sizeof line, subject.near));
	go_round();
	ck_assert_ptr_nonnull(fgets(line, sizeof line, subject.near));
	ck_assert_str_eq(line, "second\n");
	go_round();
	/* And can be given back for a write in between. */
	say(subject.near, "question");
	hear(subject.far, "question");
	go_round();
	ck_assert_ptr_nonnull(fgets(line, sizeof line, subject.near));
	ck_assert_str_eq(line, "third\n");
	close_all();
}
END_TEST

START_TEST(what_was_not_flushed_yet_stays)
{
	open_all();
	talk(&subject);
	fputs("half of ", subject.near);
	go_round();
	fputs("a message", subject.near);
	go_round();
	ck_assert_int_eq(fflush(subject.near), 0);
	hear(subject.far, "half of a message");
	close_all();
}
END_TEST

/* _i: how many are pushed back; one fits where it was read, several have a place of their own */
START_TEST(what_was_pushed_back_stays)
{
	open_all();
	say(subject.far, "ab");
	hear(subject.near, "ab");
	for (int i = 0; i < _i; i++)
		ck_assert_int_eq(ungetc('0' + i, subject.near), '0' + i);
	go_round();
	for (int i = _i; i-- > 0;)
		ck_assert_int_eq(getc(subject.near), '0' + i);
	say(subject.far, "c");
	hear(subject.near, "c");
	close_all();
}
END_TEST

/* stdio goes back to its buffer only with the next read. */
START_TEST(what_lies_behind_what_was_pushed_back_stays)
{
	open_all();
	say(subject.far, "abc");
	hear(subject.near, "ab");
	ck_assert_int_eq(ungetc('x', subject.near), 'x');
	ck_assert_int_eq(getc(subject.near), 'x');
	go_round();
	hear(subject.near, "c");
	close_all();
}
END_TEST

START_TEST(a_buffer_of_the_programs_own_is_not_touched)
{
	static _Alignas(65536) char own[65536];
	char line[64];

	open_all();
	ck_assert_int_eq(setvbuf(subject.near, own, _IOFBF, sizeof own), 0);
	say(subject.far, "one\ntwo\n");
	ck_assert_ptr_nonnull(fgets(line, sizeof line, subject.near));
	ck_assert_ptr_nonnull(fgets(line, sizeof line, subject.near));
	go_round();
	ck_assert_mem_eq(own, "one\ntwo\n", 8);
	talk(&subject);
	close_all();
}
END_TEST

START_TEST(a_locked_buffer_stays)
{
	open_all();
	talk(&subject);
	flockfile(subject.near);
	go_round();
	expect_resident(subject.near, true);
	expect_resident(subject.far, false);
	funlockfile(subject.near);
	talk(&subject);
	go_round();
	expect_resident(subject.near, false);
	close_all();
}
END_TEST

#ifdef __linux__
START_TEST(a_buffer_that_its_user_locks_stays)
{
	open_all();
	talk(&subject);
	__fsetlocking(subject.near, FSETLOCKING_BYCALLER);
	go_round();
	expect_resident(subject.near, true);
	__fsetlocking(subject.near, FSETLOCKING_INTERNAL);
	talk(&subject);
	go_round();
	expect_resident(subject.near, false);
	close_all();
}
END_TEST
#endif

START_TEST(a_closed_one_is_forgotten)
{
	open_all();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PAIRS; i += 3) {
			talk(&others[i]);
			close_pair(&others[i]);
			open_pair(&others[i]);
		}
		go_round();
	}
	close_all();
}
END_TEST

/* --- threads --- */

#define THREADS 4
#define ROUNDS 40

static void unlocked_say(FILE *from, const char *text)
{
	flockfile(from);
	for (; *text != '\0'; text++)
		ck_assert_int_ne(putc_unlocked(*text, from), EOF);
	funlockfile(from);
	ck_assert_int_eq(fflush(from), 0);
}

static void unlocked_hear(FILE *to, const char *text)
{
	flockfile(to);
	for (; *text != '\0'; text++)
		ck_assert_int_eq(getc_unlocked(to), *text);
	funlockfile(to);
}

/* One that comes looks at the others. */
static void renew(struct pair *pair)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	close_pair(pair);
	pthread_mutex_lock(&lock);
	open_pair(pair);
	pthread_mutex_unlock(&lock);
}

/* Some are used often, others not for a while. */
static void *talk_on(void *argument)
{
	const struct timespec moment = { .tv_nsec = WARM_NS / 5 };
	struct pair *pairs = argument;

	for (int round = 0; round < ROUNDS; round++) {
		nanosleep(&moment, NULL);
		renew(&pairs[0]);
		for (int i = 0; i < PAIRS / THREADS; i += 1 + round % 4) {
			unlocked_say(pairs[i].near, "question, answer");
			hear(pairs[i].far, "question");
			fputs("an", pairs[i].far);
		}
		for (int i = 0; i < PAIRS / THREADS; i += 1 + round % 4) {
			hear(pairs[i].far, ", answer");
			say(pairs[i].far, "swer");
			unlocked_hear(pairs[i].near, "answer");
		}
	}
	return NULL;
}

START_TEST(threads_do_not_disturb_each_other)
{
	pthread_t threads[THREADS];

	open_all();
	for (int i = 0; i < THREADS; i++)
		peer_thread(&threads[i], talk_on, &others[i * (PAIRS / THREADS)]);
	for (int i = 0; i < THREADS; i++)
		peer_join(threads[i]);
	go_round();
	close_all();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("warm");
	TCase *tcase = tcase_create("buffers");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_buffer_that_is_not_used_goes_and_comes_again);
	tcase_add_test(tcase, what_was_not_read_yet_stays);
	tcase_add_test(tcase, what_was_not_flushed_yet_stays);
	tcase_add_loop_test(tcase, what_was_pushed_back_stays, 1, 3);
	tcase_add_test(tcase, what_lies_behind_what_was_pushed_back_stays);
	tcase_add_test(tcase, a_buffer_of_the_programs_own_is_not_touched);
	tcase_add_test(tcase, a_locked_buffer_stays);
#ifdef __linux__
	tcase_add_test(tcase, a_buffer_that_its_user_locks_stays);
#endif
	tcase_add_test(tcase, a_closed_one_is_forgotten);
	tcase_add_test(tcase, threads_do_not_disturb_each_other);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
