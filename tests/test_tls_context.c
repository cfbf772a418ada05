/* SPDX-License-Identifier: 0BSD */
/* The error queue is looked at by a call that OpenSSL 3 deprecates, and 1.1.1 needs. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <openssl/pem.h>

#include "pki.h"
#include "tls_private.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define CONTEXTS 16			/* that the cache keeps */

static const char *file(const char *name)
{
	return name != NULL ? pki_file(name) : NULL;
}

static struct wsf_tls_context *client(const struct ws_options *options)
{
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };
	int rv = wsf_tls_client_context(&context, options, &failure);

	ck_assert_msg(rv == 0, "%s", failure.text);
	ck_assert_int_eq(failure.error, 0);
	return context;
}

/* Whether the same context comes again. */
static bool is_kept(struct wsf_tls_context *context, const struct ws_options *options)
{
	struct wsf_tls_context *again = client(options);

	wsf_tls_context_unref(again);
	return again == context;
}

static void copy(const char *from, const char *to)
{
	char buffer[65536];
	FILE *in = fopen(pki_file(from), "r"), *out = fopen(pki_file(to), "w");
	size_t size;

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(out);
	size = fread(buffer, 1, sizeof(buffer), in);
	ck_assert_uint_eq(fwrite(buffer, 1, size, out), size);
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

/* --- files --- */

static const struct bad {
	const char *ca_file, *ca_dir, *cert_file, *key_file, *password;
	int error;
	const char *words[2];
} bad_files[] = {
	{ "missing.pem", NULL, NULL, NULL, NULL, ENOENT, { "ca_file", "missing.pem" } },
	{ "cadir", NULL, NULL, NULL, NULL, EISDIR, { "ca_file", "cadir" } },
	{ "empty.pem", NULL, NULL, NULL, NULL, EKEYREJECTED, { "ca_file", "no certificate in it" } },
	{ "server.key", NULL, NULL, NULL, NULL, EKEYREJECTED, { "ca_file", "no certificate in it" } },
	{ "garbage.pem", NULL, NULL, NULL, NULL, EKEYREJECTED, { "cannot use ca_file", "garbage.pem" } },
	{ NULL, "missing", NULL, NULL, NULL, ENOENT, { "ca_dir", "missing" } },
	{ NULL, "ca.pem", NULL, NULL, NULL, ENOTDIR, { "ca_dir", "ca.pem" } },
	{ NULL, NULL, "missing.pem", "server.key", NULL, ENOENT, { "cert_file", "missing.pem" } },
	{ NULL, NULL, "cadir", "server.key", NULL, EISDIR, { "cert_file", "cadir" } },
	{ NULL, NULL, "empty.pem", "server.key", NULL, EKEYREJECTED, { "cert_file", "no certificate in it" } },
	{ NULL, NULL, "garbage.pem", "server.key", NULL, EKEYREJECTED, { "cannot use cert_file", "garbage.pem" } },
	{ NULL, NULL, "server.pem", "missing.key", NULL, ENOENT, { "key_file", "missing.key" } },
	{ NULL, NULL, "server.pem", "cadir", NULL, EISDIR, { "key_file", "cadir" } },
	{ NULL, NULL, "server.pem", "empty.pem", NULL, EKEYREJECTED, { "key_file", "no private key in it" } },
	{ NULL, NULL, "server.pem", NULL, NULL, EKEYREJECTED, { "cert_file", "no private key in it" } },
	{ NULL, NULL, "server.pem", "other.key", NULL, EKEYREJECTED, { "other.key", "not that of the certificate" } },
	{ NULL, NULL, "server.pem", "rsa.key", NULL, EKEYREJECTED, { "rsa.key", "not that of the certificate" } },
	{ NULL, NULL, "server.pem", "locked.key", NULL, EKEYREJECTED, { "locked.key", "needs a password" } },
	{ NULL, NULL, "server.pem", "locked.key", "", EKEYREJECTED, { "locked.key", "is wrong" } },
	{ NULL, NULL, "server.pem", "locked.key", "s3cr3t", EKEYREJECTED, { "locked.key", "is wrong" } },
	{ NULL, NULL, NULL, "server.key", NULL, EINVAL, { "cert_file", "" } },
};

static void expect_failure(const struct bad *bad, bool server)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };
	int rv;

	options.ca_file = file(bad->ca_file);
	options.ca_dir = file(bad->ca_dir);
	options.cert_file = file(bad->cert_file);
	options.key_file = file(bad->key_file);
	options.key_password = bad->password;
	if (server && options.cert_file == NULL && options.key_file == NULL) {
		options.cert_file = file("server.pem");
		options.key_file = file("server.key");
	}
	rv = server ? wsf_tls_server_context(&context, &options, &failure) :
	    wsf_tls_client_context(&context, &options, &failure);
	ck_assert_int_eq(rv, -bad->error);
	ck_assert_int_eq(failure.error, bad->error);
	ck_assert_ptr_null(context);
	for (size_t i = 0; i < COUNT(bad->words); i++)
		ck_assert_msg(strstr(failure.text, bad->words[i]) != NULL, "%s", failure.text);
	ck_assert_msg(strstr(failure.text, "s3cr3t") == NULL, "%s", failure.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(bad_files_are_named_when_the_context_is_made)
{
	expect_failure(&bad_files[_i], false);
	expect_failure(&bad_files[_i], true);
}
END_TEST

START_TEST(a_broken_further_certificate_fails_the_listener)
{
	const struct ws_certificate further[] = {
		{ file("other.pem"), file("other.key") }, { file("wild.pem"), file("wrong.key") }, { NULL, NULL },
	};
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };

	options.cert_file = file("server.pem");
	options.key_file = file("server.key");
	options.certificates = further;
	ck_assert_int_eq(wsf_tls_server_context(&context, &options, &failure), -EKEYREJECTED);
	ck_assert_ptr_nonnull(strstr(failure.text, "wrong.key"));
}
END_TEST

START_TEST(a_listener_needs_a_certificate)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };

	ck_assert_int_eq(wsf_tls_server_context(&context, &options, &failure), -EINVAL);
	ck_assert_ptr_nonnull(strstr(failure.text, "cert_file"));
}
END_TEST

/* The superuser may read everything: become somebody else, for whom the directory is closed, too. */
START_TEST(an_unreadable_file_is_eacces)
{
	const struct bad bad = { NULL, NULL, "server.pem", "closed.key", NULL, EACCES, { "_file", "" } };
	uid_t self = geteuid();

	copy("server.key", "closed.key");
	ck_assert_int_eq(chmod(pki_file("closed.key"), 0), 0);
	if (self == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	expect_failure(&bad, false);
	expect_failure(&bad, true);
	ck_assert_int_eq(seteuid(self), 0);
}
END_TEST

START_TEST(good_files_of_every_kind_are_taken)
{
	static const struct {
		const char *cert, *key, *password;
		size_t chain;
	} cases[] = {
		{ "server.pem", "server.key", NULL, 1 },
		{ "server.pem", "server.key", "not needed", 1 },
		{ "short.pem", "server.key", NULL, 0 },
		{ "both.pem", NULL, NULL, 1 },
		{ "server.pem", "locked.key", "secret", 1 },
		{ "rsa.pem", "rsa.key", NULL, 1 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ws_options options = WS_OPTIONS_INIT;
		struct wsf_tls_context *context = NULL;
		struct wsf_failure failure = { 0 };
		STACK_OF(X509) *chain = NULL;

		options.cert_file = file(cases[i].cert);
		options.key_file = file(cases[i].key);
		options.key_password = cases[i].password;
		options.ca_file = file("ca.pem");
		options.ca_dir = file("cadir");
		ck_assert_msg(wsf_tls_server_context(&context, &options, &failure) == 0, "%s", failure.text);
		ck_assert_int_eq(SSL_CTX_get0_chain_certs(context->ctx, &chain), 1);
		ck_assert_int_eq(chain != NULL ? sk_X509_num(chain) : 0, (int)cases[i].chain);
		wsf_tls_context_unref(context);
		wsf_tls_context_unref(client(&options));
	}
}
END_TEST

/* --- the program's error queue --- */

START_TEST(the_programs_errors_stay_in_the_queue)
{
	struct ws_options options = WS_OPTIONS_INIT;
	const struct bad *bad = &bad_files[4];
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };
	const char *data;
	int flags;

	/* It is the oldest that SSL_get_error and most programs look at. */
	for (int round = 0; round < 2; round++) {
		BIO *none = BIO_new_file(pki_file("missing"), "r");

		ck_assert_ptr_null(none);
		ERR_add_error_data(1, "the program's own");
		options.ca_file = file(round == 0 ? bad->ca_file : "ca.pem");
		ck_assert_int_eq(wsf_tls_client_context(&context, &options, &failure), round == 0 ? -bad->error : 0);
		ck_assert_int_eq(ERR_GET_LIB(ERR_peek_error()), ERR_LIB_SYS);
		ck_assert_int_eq(ERR_GET_REASON(ERR_peek_error()), ENOENT);
		ERR_get_error();
		ck_assert_int_eq(ERR_GET_LIB(ERR_peek_error_line_data(NULL, NULL, &data, &flags)), ERR_LIB_BIO);
		ck_assert_str_eq(data, "the program's own");
		ERR_get_error();
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	wsf_tls_context_unref(context);
}
END_TEST

/* --- pins --- */

static X509 *certificate(const char *name)
{
	FILE *in = fopen(pki_file(name), "r");
	X509 *read;

	ck_assert_ptr_nonnull(in);
	read = PEM_read_X509(in, NULL, NULL, NULL);
	fclose(in);
	ck_assert_ptr_nonnull(read);
	return read;
}

static void read_pin(const char *name, char pin[64])
{
	FILE *in = fopen(pki_file(name), "r");

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(fgets(pin, 64, in));
	pin[strcspn(pin, "\n")] = '\0';
	fclose(in);
}

START_TEST(one_of_the_pins_has_to_match)
{
	char server[64], other[64], prefixed[80];
	const char *const one[] = { server, NULL }, *const two[] = { other, prefixed, NULL };
	X509 *right = certificate("server.pem"), *wrong = certificate("client.pem");
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context;

	read_pin("server.pin", server);
	read_pin("other.pin", other);
	snprintf(prefixed, sizeof(prefixed), "sha256//%s", server);
	context = client(&options);
	ck_assert(wsf_tls_pins_match(context, wrong));
	ck_assert(wsf_tls_pins_match(context, NULL));
	wsf_tls_context_unref(context);
	for (int i = 0; i < 2; i++) {
		options.pin_sha256 = i == 0 ? one : two;
		context = client(&options);
		ck_assert(wsf_tls_pins_match(context, right));
		ck_assert(!wsf_tls_pins_match(context, wrong));
		ck_assert(!wsf_tls_pins_match(context, NULL));
		wsf_tls_context_unref(context);
	}
	X509_free(right);
	X509_free(wrong);
}
END_TEST

START_TEST(a_client_may_lack_a_pinned_certificate_where_none_is_needed)
{
	char pin[64];
	const char *const pins[] = { pin, NULL };
	struct ws_options options = WS_OPTIONS_INIT;

	read_pin("client.pin", pin);
	options.cert_file = file("server.pem");
	options.key_file = file("server.key");
	options.pin_sha256 = pins;
	for (enum ws_verify verify = WS_VERIFY_ON; verify <= WS_VERIFY_OFF; verify++) {
		struct wsf_tls_context *context = NULL;
		struct wsf_failure failure = { 0 };

		options.verify = verify;
		ck_assert_int_eq(wsf_tls_server_context(&context, &options, &failure), 0);
		ck_assert_int_eq(wsf_tls_pins_match(context, NULL), verify == WS_VERIFY_IF_GIVEN);
		ck_assert_int_eq(SSL_CTX_get_verify_mode(context->ctx), verify == WS_VERIFY_IF_GIVEN ?
		    SSL_VERIFY_PEER : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
		wsf_tls_context_unref(context);
	}
}
END_TEST

START_TEST(what_is_no_pin_is_refused)
{
	static const char *const texts[] = {
		"", "sha256//", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "sha1//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_A=", " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *const pins[] = { texts[i], NULL };
		struct ws_options options = WS_OPTIONS_INIT;
		struct wsf_tls_context *context = NULL;
		struct wsf_failure failure = { 0 };

		options.pin_sha256 = pins;
		ck_assert_int_eq(wsf_tls_client_context(&context, &options, &failure), -EINVAL);
		ck_assert_ptr_nonnull(strstr(failure.text, "pin_sha256"));
	}
}
END_TEST

/* --- the cache --- */

START_TEST(the_same_options_give_the_same_context)
{
	char pin[64];
	const char *const pins[] = { pin, NULL };
	struct ws_options base = WS_OPTIONS_INIT, changed;
	struct wsf_tls_context *context;

	read_pin("server.pin", pin);
	base.ca_file = file("ca.pem");
	context = client(&base);
	ck_assert(is_kept(context, &base));
	changed = base;
	changed.user_agent = "of no concern";
	ck_assert(is_kept(context, &changed));
	for (int i = 0; i < 8; i++) {
		changed = base;
		switch (i) {
		case 0: changed.ca_file = file("ca2.pem"); break;
		case 1: changed.ca_dir = file("cadir"); break;
		case 2: changed.ca_file = NULL; break;
		case 3: changed.verify = WS_VERIFY_OFF; break;
		case 4: changed.min_tls = WS_TLS_1_3; break;
		case 5: changed.server_name = "other.example"; break;
		case 6: changed.pin_sha256 = pins; break;
		default: changed.cert_file = file("both.pem"); break;
		}
		ck_assert_msg(!is_kept(context, &changed), "option %d", i);
	}
	ck_assert(is_kept(context, &base));
	wsf_tls_context_unref(context);
}
END_TEST

START_TEST(a_cached_context_does_not_open_a_key_without_its_password)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };

	options.cert_file = file("server.pem");
	options.key_file = file("locked.key");
	options.key_password = "secret";
	context = client(&options);
	ck_assert(is_kept(context, &options));
	wsf_tls_context_unref(context);
	options.key_password = "secrets";
	ck_assert_int_eq(wsf_tls_client_context(&context, &options, &failure), -EKEYREJECTED);
	options.key_password = NULL;
	ck_assert_int_eq(wsf_tls_client_context(&context, &options, &failure), -EKEYREJECTED);
}
END_TEST

START_TEST(a_file_that_has_changed_makes_a_new_context)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *first, *second, *none = NULL;
	struct wsf_failure failure = { 0 };

	copy("ca.pem", "changing.pem");
	options.ca_file = file("changing.pem");
	first = client(&options);
	copy("ca.pem", "new.pem");
	ck_assert_int_eq(rename(pki_file("new.pem"), pki_file("changing.pem")), 0);
	second = client(&options);
	ck_assert_ptr_ne(first, second);
	copy("empty.pem", "changing.pem");
	ck_assert_int_eq(wsf_tls_client_context(&none, &options, &failure), -EKEYREJECTED);
	ck_assert_int_eq(unlink(pki_file("changing.pem")), 0);
	ck_assert_int_eq(wsf_tls_client_context(&none, &options, &failure), -ENOENT);
	ck_assert_ptr_null(none);
	wsf_tls_context_unref(first);
	wsf_tls_context_unref(second);
}
END_TEST

START_TEST(the_systems_store_is_looked_at_anew)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *first;

	ck_assert_int_eq(setenv(X509_get_default_cert_file_env(), file("ca.pem"), 1), 0);
	first = client(&options);
	ck_assert(is_kept(first, &options));
	ck_assert_int_eq(sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(first->ctx))), 1);
	ck_assert_int_eq(setenv(X509_get_default_cert_file_env(), file("ca2.pem"), 1), 0);
	ck_assert(!is_kept(first, &options));
	wsf_tls_context_unref(first);
}
END_TEST

START_TEST(the_cache_drops_what_was_used_longest_ago)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *first, *second;
	char name[32];

	options.ca_file = file("ca.pem");
	options.server_name = "first.example";
	first = client(&options);
	options.server_name = "second.example";
	second = client(&options);
	for (int i = 0; i < CONTEXTS - 1; i++) {
		snprintf(name, sizeof(name), "%d.example", i);
		options.server_name = name;
		wsf_tls_context_unref(client(&options));
		options.server_name = "first.example";
		ck_assert(is_kept(first, &options));
	}
	options.server_name = "second.example";
	ck_assert(!is_kept(second, &options));
	wsf_tls_context_unref(first);
	wsf_tls_context_unref(second);
}
END_TEST

static void *get_context(void *user)
{
	const struct ws_options *options = user;

	return client(options);
}

START_TEST(threads_and_children_share_one_context)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context, *other;
	pthread_t threads[4];
	void *result;
	int status;
	pid_t child;

	options.ca_file = file("ca.pem");
	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, get_context, &options), 0);
	context = client(&options);
	for (size_t i = 0; i < COUNT(threads); i++) {
		ck_assert_int_eq(pthread_join(threads[i], &result), 0);
		ck_assert_ptr_eq(result, context);
		wsf_tls_context_unref(result);
	}
	options.server_name = "other.example";
	other = client(&options);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(is_kept(other, &options) && wsf_tls_session_take(other, "none") == NULL ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert(is_kept(other, &options));
	wsf_tls_context_unref(context);
	wsf_tls_context_unref(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls_context");
	TCase *tcase = tcase_create("core");
	SRunner *runner;
	int failed;

	pki_begin();
	tcase_add_loop_test(tcase, bad_files_are_named_when_the_context_is_made, 0, (int)COUNT(bad_files));
	tcase_add_test(tcase, a_broken_further_certificate_fails_the_listener);
	tcase_add_test(tcase, a_listener_needs_a_certificate);
	tcase_add_test(tcase, an_unreadable_file_is_eacces);
	tcase_add_test(tcase, good_files_of_every_kind_are_taken);
	tcase_add_test(tcase, the_programs_errors_stay_in_the_queue);
	tcase_add_test(tcase, one_of_the_pins_has_to_match);
	tcase_add_test(tcase, a_client_may_lack_a_pinned_certificate_where_none_is_needed);
	tcase_add_test(tcase, what_is_no_pin_is_refused);
	tcase_add_test(tcase, the_same_options_give_the_same_context);
	tcase_add_test(tcase, a_cached_context_does_not_open_a_key_without_its_password);
	tcase_add_test(tcase, a_file_that_has_changed_makes_a_new_context);
	tcase_add_test(tcase, the_systems_store_is_looked_at_anew);
	tcase_add_test(tcase, the_cache_drops_what_was_used_longest_ago);
	tcase_add_test(tcase, threads_and_children_share_one_context);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pki_end();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
