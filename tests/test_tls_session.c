/* SPDX-License-Identifier: 0BSD */
/* A client's TLS sessions: kept, taken, dropped, and never one that was refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "pki.h"
#include "tls_pair.h"

/* --- the store --- */

/* Of TLS 1.2, seconds old, with an identifier. */
static SSL_SESSION *session(unsigned char id, long age, long timeout)
{
	SSL_SESSION *made = SSL_SESSION_new();

	ck_assert_ptr_nonnull(made);
	ck_assert_int_eq(SSL_SESSION_set_protocol_version(made, TLS1_2_VERSION), 1);
	ck_assert_int_eq(SSL_SESSION_set1_id(made, &id, 1), 1);
	SSL_SESSION_set_time(made, (long)time(NULL) - age);
	SSL_SESSION_set_timeout(made, timeout);
	return made;
}

/* The identifier of the session that would be taken, 0 = none. */
static unsigned taken(struct wsf_tls_context *context, const char *key)
{
	SSL_SESSION *found = wsf_tls_session_take(context, key);
	unsigned size = 0, id = 0;

	if (found != NULL) {
		id = *SSL_SESSION_get_id(found, &size);
		ck_assert_uint_eq(size, 1);
		SSL_SESSION_free(found);
	}
	return id;
}

static struct wsf_tls_context *client(const char *server_name)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context;

	options.ca_file = pki_file("ca.pem");
	options.server_name = server_name;
	context = pair_context(&options, false);
	wsf_tls_sessions_clear(context);	/* of another test in this process */
	return context;
}

START_TEST(the_newest_session_of_a_server_is_taken)
{
	struct wsf_tls_context *context = client("newest");

	ck_assert_uint_eq(taken(context, "a:443"), 0);
	wsf_tls_session_put(context, "a:443", session(1, 0, 1000));
	ck_assert_uint_eq(taken(context, "a:443"), 1);
	ck_assert_uint_eq(taken(context, "a:443"), 1);
	ck_assert_uint_eq(taken(context, "a:4433"), 0);
	ck_assert_uint_eq(taken(context, "A:443"), 0);
	wsf_tls_session_put(context, "a:443", session(2, 0, 1000));
	ck_assert_uint_eq(taken(context, "a:443"), 2);
	wsf_tls_sessions_clear(context);
	ck_assert_uint_eq(taken(context, "a:443"), 0);
	wsf_tls_context_unref(context);
}
END_TEST

START_TEST(a_session_that_is_over_is_not_taken)
{
	struct wsf_tls_context *context = client("over");

	wsf_tls_session_put(context, "a:443", session(1, 0, 1000));
	wsf_tls_session_put(context, "a:443", session(2, 2000, 1000));
	ck_assert_uint_eq(taken(context, "a:443"), 1);
	/* One from the future is of a clock that was set back: its age is unknown. */
	wsf_tls_session_put(context, "b:443", session(3, -2000, 1000));
	ck_assert_uint_eq(taken(context, "b:443"), 0);
	wsf_tls_context_unref(context);
}
END_TEST

/* The third drops the first, which is seen when the two newer ones are over. */
START_TEST(a_server_has_two_sessions)
{
	struct wsf_tls_context *context = client("two");

	wsf_tls_session_put(context, "a:443", session(1, 0, 1000));
	wsf_tls_session_put(context, "a:443", session(2, 2000, 1000));
	ck_assert_uint_eq(taken(context, "a:443"), 1);
	wsf_tls_session_put(context, "a:443", session(3, 2000, 1000));
	wsf_tls_session_put(context, "a:443", session(4, 2000, 1000));
	ck_assert_uint_eq(taken(context, "a:443"), 0);
	wsf_tls_context_unref(context);
}
END_TEST

START_TEST(the_servers_used_longest_ago_are_dropped)
{
	struct wsf_tls_context *context = client("dropped");
	char key[32];

	wsf_tls_session_put(context, "first", session(1, 0, 1000));
	wsf_tls_session_put(context, "second", session(2, 0, 1000));
	for (int i = 0; i < WSF_TLS_SESSION_KEYS - 2; i++) {
		snprintf(key, sizeof(key), "server%d", i);
		wsf_tls_session_put(context, key, session(3, 0, 1000));
	}
	ck_assert_uint_eq(taken(context, "first"), 1);
	wsf_tls_session_put(context, "last", session(4, 0, 1000));
	ck_assert_uint_eq(taken(context, "first"), 1);
	ck_assert_uint_eq(taken(context, "second"), 0);
	ck_assert_uint_eq(taken(context, "last"), 4);
	wsf_tls_context_unref(context);
}
END_TEST

/* --- connections --- */

/* Whether a connection of this version, with what the store has for key, was a resumed one. */
static bool connect_once(struct wsf_tls_context *context, struct wsf_tls_context *server, int version, const char *key)
{
	struct wsf_tls_session_owner owner = { context, key };
	SSL_SESSION *known = wsf_tls_session_take(context, key);
	struct pair pair;
	bool resumed;

	pair_open(&pair, context->ctx, server->ctx, "localhost");
	SSL_set_max_proto_version(pair.client.ssl, version);
	wsf_tls_session_attach(pair.client.ssl, &owner);
	if (known != NULL)
		ck_assert_int_eq(SSL_set_session(pair.client.ssl, known), 1);
	SSL_SESSION_free(known);
	pair_run(&pair);
	ck_assert_msg(pair.client.done && pair.server.done, "%s", pair.client.failure.text);
	resumed = SSL_session_reused(pair.client.ssl) == 1;
	ck_assert_int_eq(SSL_session_reused(pair.server.ssl), resumed);
	ck_assert_int_eq(SSL_get_verify_result(pair.client.ssl), X509_V_OK);
	pair_close(&pair);
	return resumed;
}

START_TEST(the_second_connection_is_resumed)
{
	int version = _i == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
	struct ws_options options = pair_options("server.pem", "server.key");
	struct wsf_tls_context *server = pair_context(&options, true), *other = pair_context(&options, true);
	struct wsf_tls_context *context = client("localhost");

	ck_assert(!connect_once(context, server, version, "server:443"));
	ck_assert(connect_once(context, server, version, "server:443"));
	ck_assert(connect_once(context, server, version, "server:443"));
	ck_assert(!connect_once(context, server, version, "another:443"));
	/* Another server, such as the same one with new keys, does not know it. */
	ck_assert(!connect_once(context, other, version, "server:443"));
	ck_assert(connect_once(context, other, version, "server:443"));
	wsf_tls_context_unref(context);
	wsf_tls_context_unref(server);
	wsf_tls_context_unref(other);
}
END_TEST

/* OpenSSL's server sends two: each is to be had once. */
START_TEST(a_ticket_of_tls_1_3_is_used_once)
{
	struct ws_options options = pair_options("server.pem", "server.key");
	struct wsf_tls_context *server = pair_context(&options, true), *context = client("localhost");
	SSL_SESSION *first, *second;

	ck_assert(!connect_once(context, server, TLS1_3_VERSION, "server:443"));
	first = wsf_tls_session_take(context, "server:443");
	second = wsf_tls_session_take(context, "server:443");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_ne(first, second);
	ck_assert_ptr_null(wsf_tls_session_take(context, "server:443"));
	ck_assert_ptr_null(context->sessions);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
	wsf_tls_context_unref(context);
	wsf_tls_context_unref(server);
}
END_TEST

START_TEST(a_session_without_an_owner_is_not_kept)
{
	struct ws_options options = pair_options("server.pem", "server.key");
	struct wsf_tls_context *server = pair_context(&options, true), *context = client("localhost");
	struct wsf_tls_session_owner owner = { context, "server:443" };
	struct pair pair;

	for (int i = 0; i < 2; i++) {
		pair_open(&pair, context->ctx, server->ctx, "localhost");
		if (i == 1) {
			wsf_tls_session_attach(pair.client.ssl, &owner);
			wsf_tls_session_attach(pair.client.ssl, NULL);
		}
		pair_run(&pair);
		ck_assert(pair.client.done);
		ck_assert_ptr_null(context->sessions);
		pair_close(&pair);
	}
	wsf_tls_context_unref(context);
	wsf_tls_context_unref(server);
}
END_TEST

static const struct refused {
	const char *cert, *key;
	enum ws_verify verify;
	bool pinned;			/* server.pin */
	bool kept;
} refused_cases[] = {
	{ "server.pem", "server.key", WS_VERIFY_ON, true, true },
	{ "rsa.pem", "rsa.key", WS_VERIFY_ON, true, false },
	{ "rsa.pem", "rsa.key", WS_VERIFY_OFF, true, false },
	{ "expired.pem", "expired.key", WS_VERIFY_ON, false, false },
	{ "expired.pem", "expired.key", WS_VERIFY_OFF, false, true },
};

START_TEST(sessions_of_refused_servers_are_not_kept)
{
	const struct refused *test = &refused_cases[_i];
	char pin[64];
	const char *const pins[] = { pin, NULL };
	FILE *in = fopen(pki_file("server.pin"), "r");

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(fgets(pin, sizeof(pin), in));
	fclose(in);
	pin[strcspn(pin, "\n")] = '\0';
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct ws_options theirs = pair_options(test->cert, test->key), ours = WS_OPTIONS_INIT;
		struct wsf_tls_context *server = pair_context(&theirs, true), *context;
		struct wsf_tls_session_owner owner;
		struct pair pair;

		ours.ca_file = pki_file("ca.pem");
		ours.verify = test->verify;
		ours.pin_sha256 = test->pinned ? pins : NULL;
		context = pair_context(&ours, false);
		wsf_tls_sessions_clear(context);
		owner = (struct wsf_tls_session_owner){ context, "server:443" };
		pair_open(&pair, context->ctx, server->ctx, "localhost");
		SSL_set_max_proto_version(pair.client.ssl, version);
		wsf_tls_session_attach(pair.client.ssl, &owner);
		pair_run(&pair);
		ck_assert_int_eq(context->sessions != NULL, test->kept);
		pair_close(&pair);
		wsf_tls_context_unref(context);
		wsf_tls_context_unref(server);
	}
}
END_TEST

static Suite *session_suite(void)
{
	Suite *suite = suite_create("tls_session");
	TCase *tcase = tcase_create("core");

	tcase_add_test(tcase, the_newest_session_of_a_server_is_taken);
	tcase_add_test(tcase, a_session_that_is_over_is_not_taken);
	tcase_add_test(tcase, a_server_has_two_sessions);
	tcase_add_test(tcase, the_servers_used_longest_ago_are_dropped);
	tcase_add_loop_test(tcase, the_second_connection_is_resumed, 0, 2);
	tcase_add_test(tcase, a_ticket_of_tls_1_3_is_used_once);
	tcase_add_test(tcase, a_session_without_an_owner_is_not_kept);
	tcase_add_loop_test(tcase, sessions_of_refused_servers_are_not_kept, 0,
	    (int)(sizeof(refused_cases) / sizeof(*refused_cases)));
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner;
	int failed;

	pki_begin();
	runner = srunner_create(session_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pki_end();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
