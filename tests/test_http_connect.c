/* SPDX-License-Identifier: 0BSD */
/* CONNECT to a proxy, and the realm that an answer names. */
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "http.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define LIMIT 4096

/* --- the request --- */

START_TEST(a_connect_request_has_what_it_needs_and_no_more)
{
	static const struct {
		const char *authority, *user_agent, *authorization, *text;
	} cases[] = {
		{ "example.org:443", NULL, NULL, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n" },
		{ "example.org:443", "", NULL, "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n" },
		{ "[::1]:80", "wsfile/1", NULL,
		    "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\nUser-Agent: wsfile/1\r\n\r\n" },
		{ "h:1", NULL, "Basic dTpw",
		    "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: Basic dTpw\r\n\r\n" },
		{ "h:1", "a b", "Basic dTpw",
		    "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nUser-Agent: a b\r\nProxy-Authorization: Basic dTpw\r\n\r\n" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t size = 12345;
		char *text = wsf_http_format_connect(cases[i].authority, cases[i].user_agent, cases[i].authorization,
		    &size);

		ck_assert_ptr_nonnull(text);
		ck_assert_str_eq(text, cases[i].text);
		ck_assert_uint_eq(size, strlen(text));
		free(text);
	}
}
END_TEST

START_TEST(our_parser_takes_our_request)
{
	struct wsf_http http;
	const char *reason = NULL;
	size_t size, used;
	char *text = wsf_http_format_connect("example.org:443", "wsfile/1", "Basic dTpw", &size);

	ck_assert_ptr_nonnull(text);
	wsf_http_init(&http, WSF_HTTP_REQUEST, LIMIT);
	ck_assert_int_eq(wsf_http_feed(&http, text, size, &used, &reason), 1);
	ck_assert_uint_eq(used, size);
	ck_assert_str_eq(wsf_http_method(&http), "CONNECT");
	ck_assert_str_eq(wsf_http_target(&http), "example.org:443");
	ck_assert_uint_eq(http.field_count, 3);
	ck_assert_str_eq(wsf_http_field(&http, "Proxy-Authorization"), "Basic dTpw");
	wsf_http_clear(&http);
	free(text);
}
END_TEST

/* --- the realm --- */

static void feed(struct wsf_http *http, const char *text)
{
	const char *reason = NULL;
	size_t used;

	wsf_http_init(http, WSF_HTTP_RESPONSE, LIMIT);
	ck_assert_int_eq(wsf_http_feed(http, text, strlen(text), &used, &reason), 1);
}

/* From storage that ends where out ends, so that a sanitizer sees a write behind it. */
static char *realm_of(const char *block, size_t out_bytes)
{
	struct wsf_http http;
	char *out = malloc(out_bytes);

	ck_assert_ptr_nonnull(out);
	memset(out, 'x', out_bytes);
	feed(&http, block);
	wsf_http_realm(&http, out, out_bytes);
	ck_assert_ptr_nonnull(memchr(out, '\0', out_bytes));
	wsf_http_clear(&http);
	return out;
}

#define S401 "HTTP/1.1 401 Unauthorized\r\n"
#define S407 "HTTP/1.1 407 Proxy Authentication Required\r\n"
#define W "WWW-Authenticate: "
#define P "Proxy-Authenticate: "
#define E "\r\n"

START_TEST(the_realm_is_found_and_unquoted)
{
	static const struct {
		const char *block, *realm;
	} cases[] = {
		{ S401 W "Basic realm=\"a \\\"b\\\"\"" E E, "a \"b\"" },
		{ S401 W "Digest realm=x, nonce=\"n\"" E E, "x" },
		{ S401 W "Digest nonce=\"n\",realm=x" E E, "x" },
		{ S401 W "Basic realm=\"\\\\\"" E E, "\\" },
		{ S401 W "basic\tREALM = \"r\" , charset=\"UTF-8\"" E E, "r" },
		{ S401 W "Basic realm=\"one, two=three\"" E E, "one, two=three" },
		{ S401 "www-authenticate: Basic realm=\"lower\"" E E, "lower" },
		{ S407 P "Basic realm=\"the proxy\"" E E, "the proxy" },
		/* several challenges, several fields: the first that names one */
		{ S401 W "Negotiate, Basic realm=\"second\"" E E, "second" },
		{ S401 W "Negotiate YWJj==, Basic realm=\"token68\"" E E, "token68" },
		{ S401 W "Negotiate YWJj== , Basic realm=\"blank\"" E E, "blank" },
		{ S401 W "Basic realm=\"first\", Digest realm=\"second\"" E E, "first" },
		{ S401 W "Negotiate" E W "Basic realm=\"other field\"" E E, "other field" },
		{ S401 W "Basic realm=\"\", Digest realm=\"not empty\"" E E, "not empty" },
		{ S401 W "Basic realm=, Digest realm=\"given\"" E E, "given" },
		{ S401 W ",, , Basic ,realm=r,," E E, "r" },
		/* what only looks like one */
		{ S401 W "Digest nonce=\"realm=\\\"no\\\"\", realm=yes" E E, "yes" },
		{ S401 W "Digest nonce=\"realm=no\"" E E, "" },
		{ S401 W "Digest xrealm=no, realmx=no" E E, "" },
		{ S401 W "Digest nonce=realm" E E, "" },
		{ S401 W "realm" E E, "" },
		{ S401 W "Basic" E E, "" },
		{ S401 W E E, "" },
		{ S401 E, "" },
		/* malformed: to the end, and not beyond */
		{ S401 W "Basic realm=\"open" E E, "open" },
		{ S401 W "Basic realm=\"open\\" E E, "open\\" },
		{ S401 W "Basic realm=\"" E E, "" },
		{ S401 W "Basic realm=" E E, "" },
		{ S401 W "=\"\"=,=\"=" E E, "" },
		/* the other field, another status */
		{ S401 P "Basic realm=\"r\"" E E, "" },
		{ S407 W "Basic realm=\"r\"" E E, "" },
		{ "HTTP/1.1 403 No" E W "Basic realm=\"r\"" E P "Basic realm=\"r\"" E E, "" },
		{ "HTTP/1.1 200 OK" E W "Basic realm=\"r\"" E P "Basic realm=\"r\"" E E, "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *realm = realm_of(cases[i].block, 128);

		ck_assert_msg(strcmp(realm, cases[i].realm) == 0, "%s: \"%s\", not \"%s\"", cases[i].block, realm,
		    cases[i].realm);
		free(realm);
	}
}
END_TEST

START_TEST(a_long_realm_is_cut_to_fit)
{
	static const char block[] = S401 W "Basic realm=\"abc\\\"def\"" E E, whole[] = "abc\"def";

	for (size_t out_bytes = 1; out_bytes <= sizeof whole + 1; out_bytes++) {
		char *realm = realm_of(block, out_bytes);
		size_t length = out_bytes - 1 < strlen(whole) ? out_bytes - 1 : strlen(whole);

		ck_assert_uint_eq(strlen(realm), length);
		ck_assert_mem_eq(realm, whole, length);
		free(realm);
	}
}
END_TEST

START_TEST(an_unfinished_answer_names_no_realm)
{
	static const char text[] = S401 W "Basic realm=\"r\"" E;
	const char *reason = NULL;
	char out[8] = "before", untouched = 'u';
	struct wsf_http http;
	size_t used;

	wsf_http_init(&http, WSF_HTTP_RESPONSE, LIMIT);
	ck_assert_int_eq(wsf_http_feed(&http, text, strlen(text), &used, &reason), 0);
	wsf_http_realm(&http, out, sizeof out);
	ck_assert_str_eq(out, "");
	wsf_http_realm(&http, &untouched, 0);
	ck_assert_int_eq(untouched, 'u');
	wsf_http_clear(&http);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http_connect");
	TCase *request = tcase_create("request"), *realm = tcase_create("realm");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, request);
	suite_add_tcase(suite, realm);
	tcase_add_test(request, a_connect_request_has_what_it_needs_and_no_more);
	tcase_add_test(request, our_parser_takes_our_request);
	tcase_add_test(realm, the_realm_is_found_and_unquoted);
	tcase_add_test(realm, a_long_realm_is_cut_to_fit);
	tcase_add_test(realm, an_unfinished_answer_names_no_realm);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
