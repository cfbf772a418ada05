/* SPDX-License-Identifier: 0BSD */
/* Memory that runs out at each request in turn, over a connection's whole life. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <check.h>

#include "fault_scene.h"
#include "fault_sweep.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define OURS (1U << FAULT_OWN | 1U << FAULT_ZLIB | 1U << FAULT_SYSTEM)
#define BULK 200000

static char local_url[64];

static const struct one {
	const char *name;
	struct scene scene;
} scenes[] = {
	{ "a stream", { .url = "ws://127.0.0.1:0/", .bytes = BULK } },
	{ "a stream by name, half-closed", { .url = "ws://localhost:0/", .halves = true, .stop = true } },
	{ "a stream that is asked", { .url = "ws://127.0.0.1:0/", .ask = true, .stop = true } },
	{ "a pair", { .url = "ws://127.0.0.1:0/", .how = SCENE_PAIR, .bytes = BULK } },
	{ "a pair that is asked", { .url = "ws://127.0.0.1:0/", .how = SCENE_PAIR, .ask = true, .halves = true } },
	{ "a local socket", { .url = local_url, .bytes = BULK } },
	{ "through an HTTP proxy", { .url = "ws://127.0.0.1:0/", .proxy = SCENE_HTTP } },
	{ "through a SOCKS proxy", { .url = "ws://127.0.0.1:0/", .proxy = SCENE_SOCKS } },
	{ "over a descriptor", { .url = "ws://localhost/", .how = SCENE_FDOPEN, .bytes = BULK } },
	{ "as a descriptor", { .url = "ws://127.0.0.1:0/", .how = SCENE_SOCKET } },
	{ "compressed", { .url = "ws://127.0.0.1:0/", .compress = true, .bytes = BULK } },
};

static void run(int i, struct fault_memory_plan plan, bool bystander)
{
	const struct sweep sweep = { .name = scenes[i].name, .scene = scene_run, .argument = &scenes[i].scene,
		.plan = plan, .bystander = bystander };

	snprintf(local_url, sizeof local_url, "ws+unix:///tmp/wsfile-fault-%ld", (long)getpid());
	ck_assert_uint_gt(sweep_run(&sweep), 0);
}

START_TEST(one_request_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS }, false);
}
END_TEST

START_TEST(one_request_refused_beside_another_stream)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS }, true);
}
END_TEST

START_TEST(all_later_requests_of_the_program_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS, .who = FAULT_PROGRAM, .lasting = true }, true);
}
END_TEST

START_TEST(all_later_requests_of_helpers_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS, .who = FAULT_HELPERS, .lasting = true }, true);
}
END_TEST

START_TEST(all_later_requests_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS, .lasting = true }, false);
}
END_TEST

static const struct scene plain = { .url = "ws://127.0.0.1:0/", .how = SCENE_STREAM };

START_TEST(one_request_of_libwebsockets_refused)
{
	const struct sweep sweep = { .name = "libwebsockets", .scene = scene_run, .argument = &plain,
		.plan = { .kinds = 1U << FAULT_LWS }, .leaking = 1U << FAULT_LWS };

	ck_assert_uint_gt(sweep_run(&sweep), 0);
}
END_TEST

START_TEST(all_later_requests_of_libwebsockets_refused)
{
	const struct sweep sweep = { .name = "libwebsockets", .scene = scene_run, .argument = &plain,
		.plan = { .kinds = 1U << FAULT_LWS, .lasting = true }, .leaking = 1U << FAULT_LWS };

	ck_assert_uint_gt(sweep_run(&sweep), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_memory");
	TCase *tcase;

	fault_memory_begin();
	tcase = sweep_case(suite, "once");
	tcase_add_loop_test(tcase, one_request_refused, 0, COUNT(scenes));
	tcase_add_loop_test(tcase, one_request_refused_beside_another_stream, 0, COUNT(scenes));
	tcase = sweep_case(suite, "lasting");
	tcase_add_loop_test(tcase, all_later_requests_refused, 0, COUNT(scenes));
	tcase_add_loop_test(tcase, all_later_requests_of_the_program_refused, 0, COUNT(scenes));
	tcase_add_loop_test(tcase, all_later_requests_of_helpers_refused, 0, COUNT(scenes));
	tcase = sweep_case(suite, "engine");
	tcase_add_test(tcase, one_request_of_libwebsockets_refused);
	tcase_add_test(tcase, all_later_requests_of_libwebsockets_refused);
	return sweep_main(suite);
}
