/* SPDX-License-Identifier: 0BSD */
/* What an idle stream costs: its rings' memory is given back, and what it does afterwards is as before. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "peer.h"
#include "wsfile.h"

#define STREAMS 16
#define RING_BYTES ((size_t)4 << 20)
#define WAIT_MS 20000

/* Pages that the process has mapped, of whatever kind. */
static size_t mapped_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages;

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return (size_t)pages * 4096;
}

static bool wait_mapped_at_most(size_t bytes)
{
	const struct timespec moment = { .tv_nsec = 50000000 };

	for (int waited = 0; waited < WAIT_MS; waited += 50) {
		if (mapped_bytes() <= bytes)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static void say_and_hear(FILE *from, FILE *to, uint8_t *data, size_t size)
{
	uint8_t *heard = malloc(size);

	ck_assert_ptr_nonnull(heard);
	ck_assert_uint_eq(fwrite(data, 1, size, from), size);
	ck_assert_int_eq(fflush(from), 0);
	ck_assert_uint_eq(fread(heard, 1, size, to), size);
	ck_assert_mem_eq(heard, data, size);
	free(heard);
}

static void *close_it(void *stream)
{
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

START_TEST(an_idle_stream_gives_its_rings_back_and_works_on)
{
	static uint8_t data[100000];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	FILE *near[STREAMS], *far[STREAMS];
	pthread_t thread;
	size_t idle, busy, now;

	peer_count_begin();
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	options.recv_buffer_bytes = options.send_buffer_bytes = RING_BYTES;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	idle = mapped_bytes();
	for (int i = 0; i < STREAMS; i++) {
		near[i] = ws_fopen_with(ws_listener_url(listener), "r+", &options);
		ck_assert_ptr_nonnull(near[i]);
		far[i] = ws_accept(listener, "r+");
		ck_assert_ptr_nonnull(far[i]);
	}
	/* Two rounds: what was given back comes again. */
	for (int round = 0; round < 2; round++) {
		busy = 0;
		for (int i = 0; i < STREAMS; i++) {
			say_and_hear(near[i], far[i], data, sizeof data);
			say_and_hear(far[i], near[i], data, sizeof data);
			now = mapped_bytes();
			busy = now > busy ? now : busy;
		}
		/* Those of the first streams may be given back already. */
		ck_assert_msg(busy > idle + RING_BYTES, "no ring in use: %zu, then %zu", idle, busy);
		ck_assert_msg(wait_mapped_at_most(idle + STREAMS * RING_BYTES / 2),
		    "%zu bytes mapped idle, %zu busy, %zu after", idle, busy, mapped_bytes());
	}
	for (int i = 0; i < STREAMS; i++) {
		peer_thread(&thread, close_it, far[i]);
		ck_assert_int_eq(fclose(near[i]), 0);
		peer_join(thread);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(what_nobody_will_read_is_given_back)
{
	static uint8_t data[100000];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct ws_status status = WS_STATUS_INIT;
	FILE *near[STREAMS][2], *far[STREAMS];
	pthread_t thread;
	size_t idle;

	peer_count_begin();
	options.recv_buffer_bytes = RING_BYTES;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	idle = mapped_bytes();
	for (int i = 0; i < STREAMS; i++) {
		ck_assert_int_eq(ws_fopen_pair(ws_listener_url(listener), &options, near[i]), 0);
		far[i] = ws_accept(listener, "r+");
		ck_assert_ptr_nonnull(far[i]);
		ck_assert_uint_eq(fwrite(data, 1, sizeof data, far[i]), sizeof data);
		ck_assert_int_eq(fflush(far[i]), 0);
		do
			ck_assert_int_eq(ws_status(near[i][1], &status), 0);
		while (status.bytes_received < sizeof data);
	}
	ck_assert_uint_gt(mapped_bytes(), idle + STREAMS * RING_BYTES / 2);
	/* Long enough for the helper to have looked in vain, and not to look again by itself. */
	poll(NULL, 0, 300);
	for (int i = 0; i < STREAMS; i++)
		ck_assert_int_eq(fclose(near[i][0]), 0);
	ck_assert(wait_mapped_at_most(idle + STREAMS * RING_BYTES / 2));
	for (int i = 0; i < STREAMS; i++) {
		peer_thread(&thread, close_it, far[i]);
		ck_assert_int_eq(fclose(near[i][1]), 0);
		peer_join(thread);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

#if defined(__GLIBC__) && defined(__linux__)
static void *read_line(void *stream)
{
	char line[16];

	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	return NULL;
}

static bool wait_gone(const void *page)
{
	const struct timespec moment = { .tv_nsec = 50000000 };
	unsigned char resident;

	for (int waited = 0; waited < WAIT_MS; waited += 50) {
		ck_assert_int_eq(mincore((void *)(uintptr_t)page, 1, &resident), 0);
		if ((resident & 1) == 0)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

START_TEST(a_reader_that_comes_late_gives_its_buffer_back)
{
	const struct timespec while_elsewhere = { .tv_nsec = 400000000 };
	struct ws_listener *listener;
	FILE *near, *far;
	pthread_t thread;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	near = ws_fopen(ws_listener_url(listener), "r+");
	ck_assert_ptr_nonnull(near);
	far = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(far);
	ck_assert_int_gt(fputs("first\n", far), 0);
	ck_assert_int_eq(fflush(far), 0);
	read_line(near);
	/* All else is given back meanwhile, and nobody looks any more. */
	nanosleep(&while_elsewhere, NULL);
	peer_thread(&thread, read_line, near);
	ck_assert(wait_gone(near->_IO_buf_base));
	ck_assert_int_gt(fputs("second\n", far), 0);
	ck_assert_int_eq(fflush(far), 0);
	peer_join(thread);
	peer_thread(&thread, close_it, far);
	ck_assert_int_eq(fclose(near), 0);
	peer_join(thread);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST
#endif

int main(void)
{
	Suite *suite = suite_create("idle");
	TCase *tcase = tcase_create("memory");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, an_idle_stream_gives_its_rings_back_and_works_on);
	tcase_add_test(tcase, what_nobody_will_read_is_given_back);
#if defined(__GLIBC__) && defined(__linux__)
	tcase_add_test(tcase, a_reader_that_comes_late_gives_its_buffer_back);
#endif
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
