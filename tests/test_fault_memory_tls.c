/* SPDX-License-Identifier: 0BSD */
/* Memory that runs out at each request in turn, over TLS: the library's requests, then OpenSSL's own. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <check.h>

#include "fault_scene.h"
#include "fault_sweep.h"
#include "pki.h"
#include "tls_private.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define OURS (1U << FAULT_OWN | 1U << FAULT_ZLIB | 1U << FAULT_SYSTEM)
/* It keeps room for errors a thread once had, and more of its own: that is not counted where it is refused. */
#define OPENSSL (1U << FAULT_OPENSSL)
/* OpenSSL asks thousands of times: every so many-th in the normal run, all of them with WSF_FAULTS=all. */
#define STRIDE 61
/* The first of them; in the others it is asked in the same places. */
#define OPENSSL_SCENES 3

static char local_url[64];

static const struct one {
	const char *name;
	struct scene scene;
} scenes[] = {
	{ "wss", { .url = "wss://127.0.0.1:0/", .bytes = 100000, .stop = true } },
	{ "wss through a proxy", { .url = "wss://127.0.0.1:0/", .proxy = SCENE_HTTP, .ask = true } },
	{ "wss over a descriptor", { .url = "wss://localhost/", .how = SCENE_FDOPEN } },
	{ "wss, a pair", { .url = "wss://127.0.0.1:0/", .how = SCENE_PAIR, .halves = true } },
	{ "wss over a local socket", { .url = local_url, .compress = true } },
};

/* A certificate that nobody trusts. */
static const struct scene strange = { .url = "wss://127.0.0.1:0/", .strange = true };

static void run(int i, struct fault_memory_plan plan, bool bystander)
{
	const struct sweep sweep = { .name = scenes[i].name, .scene = scene_run, .argument = &scenes[i].scene,
		.plan = plan, .stride = (plan.kinds & OPENSSL) != 0 ? STRIDE : 1, .bystander = bystander,
		.leaking = plan.kinds & OPENSSL, .forget = wsf_tls_cache_clear };

	snprintf(local_url, sizeof local_url, "wss+unix:///tmp/wsfile-fault-tls-%ld", (long)getpid());
	ck_assert_uint_gt(sweep_run(&sweep), 0);
}

START_TEST(one_request_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS }, true);
}
END_TEST

START_TEST(all_later_requests_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OURS, .lasting = true }, false);
}
END_TEST

START_TEST(one_request_of_openssl_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OPENSSL }, false);
}
END_TEST

START_TEST(all_later_requests_of_openssl_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OPENSSL, .lasting = true }, true);
}
END_TEST

START_TEST(all_later_requests_of_openssl_for_helpers_refused)
{
	run(_i, (struct fault_memory_plan){ .kinds = OPENSSL, .who = FAULT_HELPERS, .lasting = true }, true);
}
END_TEST

START_TEST(no_lack_of_memory_lets_a_bad_certificate_in)
{
	const struct sweep sweep = { .name = "a certificate nobody trusts", .scene = scene_run, .argument = &strange,
		.plan = { .kinds = OPENSSL | OURS, .lasting = _i == 1 }, .stride = STRIDE / 2,
		.leaking = OPENSSL, .forget = wsf_tls_cache_clear, .fails = true };

	ck_assert_uint_gt(sweep_run(&sweep), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_memory_tls");
	TCase *tcase;
	int rv;

	fault_memory_begin();
	pki_begin();
	tcase = sweep_case(suite, "library");
	tcase_add_loop_test(tcase, one_request_refused, 0, COUNT(scenes));
	tcase_add_loop_test(tcase, all_later_requests_refused, 0, COUNT(scenes));
	tcase = sweep_case(suite, "openssl");
	tcase_add_loop_test(tcase, one_request_of_openssl_refused, 0, OPENSSL_SCENES);
	tcase_add_loop_test(tcase, all_later_requests_of_openssl_refused, 0, OPENSSL_SCENES);
	tcase_add_loop_test(tcase, all_later_requests_of_openssl_for_helpers_refused, 0, OPENSSL_SCENES);
	tcase_add_loop_test(tcase, no_lack_of_memory_lets_a_bad_certificate_in, 0, 2);
	rv = sweep_main(suite);
	pki_end();
	return rv;
}
