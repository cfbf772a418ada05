/* SPDX-License-Identifier: 0BSD */
/* What goes wrong all the time: calls that are interrupted or do half, clocks that are set, too few descriptors. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "fault_scene.h"
#include "fault_sweep.h"
#include "peer.h"
#include "pki.h"
#include "tls_private.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define BYTES 3000
#define DAY_NS (INT64_C(86400) * 1000000000)
#define TICK_NS 2000000
#define LIMIT_STEPS 50

static const struct scene scenes[] = {
	{ .url = "ws://localhost:0/", .ask = true, .stop = true, .bytes = BYTES },
	{ .url = "ws://127.0.0.1:0/", .how = SCENE_PAIR, .halves = true, .compress = true, .bytes = BYTES },
	{ .url = "wss://127.0.0.1:0/", .proxy = SCENE_SOCKS, .bytes = BYTES },
	{ .url = "wss://localhost/", .how = SCENE_FDOPEN, .bytes = BYTES },
};

static unsigned long run(int i, struct sweep sweep)
{
	sweep.argument = &scenes[i];
	sweep.forget = wsf_tls_cache_clear;
	if (sweep.scene == NULL)
		sweep.scene = scene_run;
	return sweep_run(&sweep);
}

/* --- calls --- */

#define BYTES_BOTH (FAULT_BIT(FAULT_SEND) | FAULT_BIT(FAULT_RECV))

static const struct storm {
	const char *name;
	struct fault_system_plan plan;
} storms[] = {
	{ "a byte is sent at a time", { .calls = FAULT_BIT(FAULT_SEND), .most = 1 } },
	{ "a byte is received at a time", { .calls = FAULT_BIT(FAULT_RECV), .most = 1 } },
	{ "three bytes, and nothing each third time",
	    { .calls = BYTES_BOTH, .most = 3, .error = EAGAIN, .every = 3 } },
	{ "every second send is interrupted", { .calls = FAULT_BIT(FAULT_SEND), .error = EINTR, .every = 2 } },
	{ "every second send finds no room", { .calls = FAULT_BIT(FAULT_SEND), .error = EAGAIN, .every = 2 } },
	{ "every second send finds no memory", { .calls = FAULT_BIT(FAULT_SEND), .error = ENOBUFS, .every = 2 } },
	/* Not every second: who looks first, and then receives, would never get anything. */
	{ "every third receive finds nothing", { .calls = FAULT_BIT(FAULT_RECV), .error = EAGAIN, .every = 3 } },
	{ "the helpers' every second call is interrupted",
	    { .calls = BYTES_BOTH | FAULT_BIT(FAULT_ACCEPT) | FAULT_BIT(FAULT_EPOLL_WAIT) | FAULT_BIT(FAULT_POLL),
	    .error = EINTR, .every = 2, .who = FAULT_HELPERS } },
	{ "every second accept finds no descriptor",
	    { .calls = FAULT_BIT(FAULT_ACCEPT), .error = EMFILE, .every = 2 } },
	{ "every second accept finds a connection gone",
	    { .calls = FAULT_BIT(FAULT_ACCEPT), .error = ECONNABORTED, .every = 2 } },
};

START_TEST(nobody_notices)
{
	const struct storm *storm = &storms[_i];

	for (int i = 0; i < COUNT(scenes); i++) {
		/* With a proxy, opening says so. */
		if (scenes[i].proxy != SCENE_DIRECT && storm->plan.error == ENOBUFS)
			continue;
		run(i, (struct sweep){ .name = storm->name, .system = &storm->plan, .harmless = true, .runs = 2 });
	}
}
END_TEST

/* A part of a frame is out when memory runs out. */
START_TEST(memory_runs_out_inside_a_frame)
{
	static const struct fault_system_plan slow = { .calls = FAULT_BIT(FAULT_SEND), .most = 3, .error = EAGAIN,
		.every = 2 };

	ck_assert_uint_gt(run(_i, (struct sweep){ .name = "memory, three bytes at a time", .besides = &slow,
	    .plan = { .kinds = 1U << FAULT_OWN, .lasting = true } }), 0);
}
END_TEST

/* --- a listener without descriptors --- */

static void *open_client(void *url)
{
	fault_memory_spare();
	return ws_fopen(url, "r+");
}

static void close_pair(FILE *client, FILE *server)
{
	ck_assert_int_eq(ws_shutdown(client, 1000, NULL), 0);
	ck_assert_int_eq(fgetc(server), EOF);
	ck_assert_int_eq(ws_shutdown(server, 1000, NULL), 0);
	ck_assert_int_eq(fgetc(client), EOF);
	ck_assert_int_eq(fclose(server), 0);
	ck_assert_int_eq(fclose(client), 0);
}

static void greet(FILE *from, FILE *to)
{
	ck_assert(fputs("hello\n", from) >= 0 && fflush(from) == 0);
	wire_expect_line(to, "hello\n");
}

/* _i: which error */
START_TEST(a_listener_goes_on_when_there_are_descriptors_again)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM };
	const struct fault_system_plan plan = { .calls = FAULT_BIT(FAULT_ACCEPT), .error = errors[_i],
		.lasting = true };
	struct ws_listener *listener;
	FILE *before[2], *server;
	pthread_t thread;
	void *client;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	before[0] = ws_fopen(ws_listener_url(listener), "r+");
	before[1] = ws_accept(listener, "r+");
	fault_system_arm(&plan, 1);
	peer_thread(&thread, open_client, (void *)(uintptr_t)ws_listener_url(listener));
	while (fault_system_strikes() < 3) {
		greet(before[0], before[1]);
		nanosleep(&(struct timespec){ .tv_nsec = TICK_NS }, NULL);
	}
	fault_system_disarm(NULL);
	server = ws_accept(listener, "r+");
	ck_assert_int_eq(pthread_join(thread, &client), 0);
	ck_assert(client != NULL && server != NULL);
	greet(client, server);
	greet(before[1], before[0]);
	close_pair(client, server);
	close_pair(before[0], before[1]);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

/* --- the limit of descriptors --- */

/* The first runs have nothing to bear: what they leave is what every run leaves. */
#define FREE_RUNS 4

static atomic_uint runs;
static rlim_t limit;			/* of the next run, 0 = none */

static void limited_scene(const void *argument)
{
	struct rlimit before, less;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	less = before;
	less.rlim_cur = limit != 0 && atomic_fetch_add(&runs, 1) >= FREE_RUNS ? limit++ : before.rlim_cur;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
	scene_run(argument);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* From none that is free to more than are needed, one more each time. */
START_TEST(too_few_descriptors_are_an_error_and_no_more)
{
	static const struct fault_system_plan plan = { .error = EMFILE };
	static const struct scene few[] = {
		{ .url = "ws://127.0.0.1:0/", .ask = true },
		{ .url = "wss://127.0.0.1:0/", .how = SCENE_PAIR },
		{ .url = "ws://127.0.0.1:0/", .how = SCENE_SOCKET },
	};
	struct sweep sweep = { .name = "descriptors", .scene = limited_scene, .argument = &few[_i], .system = &plan,
		.runs = LIMIT_STEPS, .forget = wsf_tls_cache_clear };
	int first = dup(0);

	ck_assert_int_ge(first, 0);
	close(first);
	atomic_store(&runs, 0);
	limit = (rlim_t)first;
	sweep_run(&sweep);
	limit = 0;
	sweep.runs = 1;
	sweep.harmless = true;
	sweep_run(&sweep);
}
END_TEST

/* --- clocks --- */

static atomic_bool stop_clocks;

struct ticking {
	long interval_ns;
	int64_t monotonic_ns, real_ns;	/* each tick; the real-time clock goes there and back */
};

static void counted_scene(const void *argument)
{
	atomic_fetch_add(&runs, 1);
	scene_run(argument);
}

static void *tick(void *argument)
{
	const struct ticking *ticking = argument;
	int64_t monotonic_ns = 0, real_ns = 0;

	fault_memory_spare();
	for (int i = 1; !atomic_load(&stop_clocks); i++) {
		if (atomic_load(&runs) > FREE_RUNS) {
			monotonic_ns += ticking->monotonic_ns;
			real_ns = ticking->real_ns * (i % 3 - 1);
			fault_system_set_clocks(monotonic_ns, real_ns);
		}
		nanosleep(&(struct timespec){ .tv_nsec = ticking->interval_ns }, NULL);
	}
	return NULL;
}

static void run_with_clocks(int i, struct ticking *ticking, bool harmless)
{
	static const struct fault_system_plan late = { .error = ETIMEDOUT };
	pthread_t thread;

	atomic_store(&stop_clocks, false);
	atomic_store(&runs, 0);
	peer_thread(&thread, tick, ticking);
	run(i, (struct sweep){ .name = "clocks", .scene = counted_scene, .system = &late, .harmless = harmless,
	    .runs = 10 });
	atomic_store(&stop_clocks, true);
	sweep_join(thread);
	fault_system_set_clocks(0, 0);
}

START_TEST(the_time_of_day_may_be_set)
{
	run_with_clocks(_i, &(struct ticking){ TICK_NS, 0, DAY_NS }, true);
}
END_TEST

/* All limits pass at once; what is lost by that is told. */
START_TEST(days_pass_at_once)
{
	run_with_clocks(_i, &(struct ticking){ 10 * TICK_NS, DAY_NS, 0 }, false);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_steady");
	TCase *tcase;
	int rv;

	fault_memory_begin();
	pki_begin();
	tcase = sweep_case(suite, "storms");
	tcase_add_loop_test(tcase, nobody_notices, 0, COUNT(storms));
	tcase_add_loop_test(tcase, memory_runs_out_inside_a_frame, 0, COUNT(scenes));
	tcase = sweep_case(suite, "descriptors");
	tcase_add_loop_test(tcase, a_listener_goes_on_when_there_are_descriptors_again, 0, 4);
	tcase_add_loop_test(tcase, too_few_descriptors_are_an_error_and_no_more, 0, 3);
	tcase = sweep_case(suite, "clocks");
	tcase_add_loop_test(tcase, the_time_of_day_may_be_set, 0, COUNT(scenes));
	tcase_add_loop_test(tcase, days_pass_at_once, 0, COUNT(scenes));
	rv = sweep_main(suite);
	pki_end();
	return rv;
}
