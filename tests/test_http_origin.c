/* SPDX-License-Identifier: 0BSD */
/* Whose pages may connect: patterns of origins, good and bad, and what they match (RFC 6454). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "http.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static const struct {
	const char *pattern;
	bool good;
} patterns[] = {
	{ "*", true }, { "null", true }, { "https://example.org", true }, { "https://example.org:8443", true },
	{ "https://*.example.org", true }, { "https://*.example.org:*", true }, { "https://example.org:*", true },
	{ "http://localhost:*", true }, { "http://127.0.0.1:*", true }, { "http://[::1]:*", true },
	{ "http://[2001:db8::7]:81", true }, { "https://*.org", true }, { "https://example.org.", true },
	{ "https://xn--bcher-kva.example", true }, { "app+x-1.y://host", true }, { "https://a_b.example", true },
	{ "", false }, { "**", false }, { "*.example.org", false }, { "*://example.org", false },
	{ "https://*", false }, { "https://*.", false }, { "https://*:443", false }, { "https://*.*.org", false },
	{ "https://a.*.org", false }, { "https://*a.example.org", false }, { "https://a*.example.org", false },
	{ "https://example.*", false }, { "https://*example.org", false }, { "https://.example.org", false },
	{ "https://*..example.org", false }, { "https://a..org", false }, { "https://.", false },
	{ "https://example.org..", false }, { "http*://example.org", false },
	{ "https://example.org:", false }, { "https://example.org:**", false }, { "https://example.org:*0", false },
	{ "https://example.org:8*", false }, { "https://example.org:0", false }, { "https://example.org:65536", false },
	{ "https://example.org:99999999999999999999", false }, { "https://example.org:-1", false },
	{ "https://example.org/", false }, { "https://example.org:*/", false }, { "https://user@example.org", false },
	{ "https://exa mple.org", false }, { "https://example.org ", false }, { " https://example.org", false },
	{ "https://example.org, https://example.com", false }, { "https://ex\xc3\xa4mple.org", false },
	{ "https://%65xample.org", false }, { "http://*.[::1]", false }, { "http://[*]", false },
	{ "http://[::1", false }, { "http://[::1]x", false }, { "http://[:::1]", false }, { "http://[1.2.3.4]", false },
	{ "http://[::1%25lo]", false }, { "http://[]", false }, { "http://::1", false },
	{ "http://[0:0:0:0:0:0:0:0:1]", false }, { "http://*.127.0.0.1", false }, { "http://*.1", false },
	{ "Null", false }, { "1http://a", false }, { "+a://b", false }, { "https:example.org", false },
};

START_TEST(a_pattern_is_good_or_refused)
{
	ck_assert_msg(wsf_http_origin_valid(patterns[_i].pattern) == patterns[_i].good, "%s", patterns[_i].pattern);
}
END_TEST

START_TEST(a_label_and_a_name_have_an_end)
{
	char text[512];

	snprintf(text, sizeof text, "https://%063d.example", 0);
	ck_assert(wsf_http_origin_valid(text));
	snprintf(text, sizeof text, "https://%064d.example", 0);
	ck_assert(!wsf_http_origin_valid(text));
	/* 253 bytes are a name, 254 are not. */
	snprintf(text, sizeof text, "https://%061d.%063d.%063d.%063da", 0, 0, 0, 0);
	text[strlen(text) - 1] = '\0';
	ck_assert_uint_eq(strlen(text), 8 + 253);
	ck_assert(wsf_http_origin_valid(text));
	snprintf(text, sizeof text, "https://%062d.%063d.%063d.%063d", 0, 0, 0, 0);
	ck_assert(!wsf_http_origin_valid(text));
}
END_TEST

static const struct {
	const char *pattern, *origin;
	bool allowed;
} matches[] = {
	{ "https://example.org", "https://example.org", true },
	{ "https://example.org", "HTTPS://EXAMPLE.ORG", true },
	{ "HTTPS://Example.Org", "https://example.org", true },
	{ "https://example.org", "https://example.org:443", true },
	{ "https://example.org:443", "https://example.org", true },
	{ "http://example.org:80", "http://example.org", true },
	{ "https://example.org", "https://example.org:8443", false },
	{ "https://example.org:8443", "https://example.org", false },
	{ "https://example.org", "http://example.org", false },
	{ "https://example.org", "https://example.org.evil.com", false },
	{ "https://example.org", "https://www.example.org", false },
	{ "https://example.org", "https://example.org.", false },
	{ "https://example.org", "https://example.org/", false },
	{ "https://example.org", "https://user@example.org", false },
	{ "https://example.org", "null", false },
	{ "https://example.org", "", false },
	{ "https://example.org", "https://example.org https://example.org", false },
	{ "https://example.org:*", "https://example.org", true },
	{ "https://example.org:*", "https://example.org:1", true },
	{ "https://example.org:*", "https://example.org:65535", true },
	{ "https://example.org:*", "https://example.org:65536", false },
	{ "https://example.org:*", "https://example.org:x", false },
	{ "https://example.org:*", "http://example.org:443", false },
	{ "https://example.org:*", "https://a.example.org:443", false },
	{ "https://*.example.org", "https://a.example.org", true },
	{ "https://*.example.org", "https://A.b-c.d_e.EXAMPLE.org", true },
	{ "https://*.example.org", "https://a.example.org:443", true },
	{ "https://*.example.org", "https://example.org", false },
	{ "https://*.example.org", "https://.example.org", false },
	{ "https://*.example.org", "https://a..example.org", false },
	{ "https://*.example.org", "https://..example.org", false },
	{ "https://*.example.org", "https://.a.example.org", false },
	{ "https://*.example.org", "https://aexample.org", false },
	{ "https://*.example.org", "https://evil.com#.example.org", false },
	{ "https://*.example.org", "https://evil.com/.example.org", false },
	{ "https://*.example.org", "https://evil.com:1.example.org", false },
	{ "https://*.example.org", "https://evil.com@a.example.org", false },
	{ "https://*.example.org", "https://a!b.example.org", false },
	{ "https://*.example.org", "https://*.example.org", false },
	{ "https://*.example.org", "https://a.example.org.evil.com", false },
	{ "https://*.example.org", "https://a.example.org:8443", false },
	{ "https://*.example.org", "http://a.example.org", false },
	{ "https://*.example.org:*", "https://a.b.example.org:8443", true },
	{ "https://*.example.org:*", "https://example.org:8443", false },
	{ "https://*.example.org:81", "https://a.example.org:81", true },
	{ "https://*.example.org:81", "https://a.example.org", false },
	{ "http://[::1]:*", "http://[::1]:3000", true },
	{ "http://[::1]", "http://[0:0:0:0:0:0:0:1]", true },
	{ "http://[2001:DB8::A]", "http://[2001:db8::a]:80", true },
	{ "http://[::1]", "http://[::2]", false },
	{ "http://[::1]", "http://::1", false },
	{ "http://127.0.0.1:*", "http://127.0.0.1:5173", true },
	{ "http://127.0.0.1:*", "http://127.0.0.10:5173", false },
	{ "null", "null", true }, { "null", "https://null", false }, { "null", "NULL", false },
	{ "*", "https://any.example:1", true }, { "*", "null", true }, { "*", "nonsense", true },
	{ "chrome-extension://abcdef", "chrome-extension://abcdef", true },
	{ "chrome-extension://abcdef", "chrome-extension://abcdef:1", false },
	{ "chrome-extension://abcdef:*", "chrome-extension://abcdef:1", true },
};

static bool let_in(const char *origin, const char *const *allowed)
{
	const struct wsf_http_rules rules = { .allowed_origins = allowed };
	const char *subprotocol, *reason;
	struct wsf_http http;
	char request[1024];
	size_t used;
	int status;

	snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: %s\r\n\r\n", origin);
	wsf_http_init(&http, WSF_HTTP_REQUEST, sizeof request);
	ck_assert_int_eq(wsf_http_feed(&http, request, strlen(request), &used, &reason), 1);
	status = wsf_http_check_request(&http, &rules, &subprotocol, &reason);
	ck_assert_msg(status == 101 || status == 403, "%d: %s", status, reason);
	wsf_http_clear(&http);
	return status == 101;
}

START_TEST(an_origin_is_what_the_pattern_says)
{
	const char *const alone[] = { matches[_i].pattern, NULL };
	const char *const last[] = { "https://other.example", "ftp://*.x.example:*", matches[_i].pattern, NULL };

	ck_assert(wsf_http_origin_valid(matches[_i].pattern));
	ck_assert_msg(let_in(matches[_i].origin, alone) == matches[_i].allowed, "%s and %s", matches[_i].pattern,
	    matches[_i].origin);
	ck_assert_msg(let_in(matches[_i].origin, last) == matches[_i].allowed, "%s and %s, last", matches[_i].pattern,
	    matches[_i].origin);
}
END_TEST

/* A list that was never checked is no way in. */
START_TEST(a_bad_pattern_matches_nothing)
{
	const char *const bad[] = { patterns[_i].pattern, NULL };

	if (!patterns[_i].good)
		ck_assert(!let_in(patterns[_i].pattern, bad));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("http_origin");
	TCase *tcase = tcase_create("patterns");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tcase, a_pattern_is_good_or_refused, 0, COUNT(patterns));
	tcase_add_test(tcase, a_label_and_a_name_have_an_end);
	tcase_add_loop_test(tcase, an_origin_is_what_the_pattern_says, 0, COUNT(matches));
	tcase_add_loop_test(tcase, a_bad_pattern_matches_nothing, 0, COUNT(patterns));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
