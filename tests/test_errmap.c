/* SPDX-License-Identifier: 0BSD */
/* What went wrong, in words and as an errno; close codes and their names. */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "errmap.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

START_TEST(a_failure_is_filled_and_its_negative_errno_returned)
{
	struct wsf_failure failure = { .error = EIO, .http_status = 404, .text = "something older and longer" };

	ck_assert_int_eq(wsf_fail(&failure, EINVAL, "port %d of %s", 70000, "host"), -EINVAL);
	ck_assert_int_eq(failure.error, EINVAL);
	ck_assert_int_eq(failure.http_status, 404);
	ck_assert_str_eq(failure.text, "port 70000 of host");
}
END_TEST

START_TEST(strerror_stands_behind_the_text)
{
	struct wsf_failure failure = { .http_status = 101 };
	char expected[200];

	snprintf(expected, sizeof(expected), "connect to port 80: %s", strerror(ECONNREFUSED));
	ck_assert_int_eq(wsf_fail_errno(&failure, ECONNREFUSED, "connect to port %d", 80), -ECONNREFUSED);
	ck_assert_int_eq(failure.error, ECONNREFUSED);
	ck_assert_int_eq(failure.http_status, 101);
	ck_assert_str_eq(failure.text, expected);
}
END_TEST

START_TEST(an_unknown_errno_still_gives_a_text)
{
	struct wsf_failure failure = { 0 };

	ck_assert_int_eq(wsf_fail_errno(&failure, 99999, "x"), -99999);
	ck_assert_ptr_nonnull(strstr(failure.text, "99999"));
	ck_assert_int_eq(strncmp(failure.text, "x: ", 3), 0);
}
END_TEST

START_TEST(the_text_is_one_line_of_valid_utf8)
{
	static const struct { const char *in, *out; } table[] = {
		{ "", "" },
		{ "plain ~ text", "plain ~ text" },
		{ "a\r\nb\tc", "a??b?c" },
		{ "\x01\x1b[31mred\x7f", "??[31mred?" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xff\xfe", "??" },
		{ "\xc3(", "?(" },
		{ "\xc3", "?" },
		{ "\xe2\x82", "??" },
		{ "\xc2\x9b" "31m", "??31m" },		/* U+009B, a terminal's CSI */
		{ "\xc2\x80 \xc2\x9f \xc2\xa0", "?? ?? \xc2\xa0" },
		{ "\x9b", "?" },
		{ "\xed\xa0\x80", "???" },
	};
	struct wsf_failure failure = { 0 };

	for (size_t i = 0; i < COUNT(table); i++) {
		wsf_fail(&failure, EPROTO, "%s", table[i].in);
		ck_assert_str_eq(failure.text, table[i].out);
	}
}
END_TEST

START_TEST(a_long_text_is_cut_and_stays_valid)
{
	struct wsf_failure failure = { 0 };
	char text[400];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	wsf_fail(&failure, EPROTO, "%s", text);
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
	ck_assert_mem_eq(failure.text, text, sizeof(failure.text) - 1);
	wsf_fail_errno(&failure, EPROTO, "%s", text);
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
	/* The cut falls into a character. */
	memcpy(text + sizeof(failure.text) - 2, "\xc3\xa9", 2);
	wsf_fail(&failure, EPROTO, "%s", text);
	ck_assert_uint_eq(strlen(failure.text), sizeof(failure.text) - 1);
	ck_assert_int_eq(failure.text[sizeof(failure.text) - 2], '?');
}
END_TEST

START_TEST(an_argument_may_be_the_failure_itself)
{
	struct wsf_failure failure = { 0 };

	wsf_fail(&failure, EPROTO, "inner");
	wsf_fail(&failure, ECONNRESET, "outer: %s", failure.text);
	ck_assert_str_eq(failure.text, "outer: inner");
	ck_assert_int_eq(failure.error, ECONNRESET);
}
END_TEST

START_TEST(getaddrinfo_codes_become_errnos)
{
	static const struct { int code, saved, expected; } table[] = {
		{ 0, EPERM, 0 }, { EAI_NONAME, 0, ENOENT }, { EAI_AGAIN, 0, EAGAIN }, { EAI_MEMORY, 0, ENOMEM },
		{ EAI_SYSTEM, EMFILE, EMFILE }, { EAI_SYSTEM, 0, EIO }, { EAI_FAIL, EPERM, EIO },
		{ EAI_FAMILY, 0, EAFNOSUPPORT }, { EAI_BADFLAGS, 0, EINVAL }, { EAI_SERVICE, 0, EINVAL },
		{ EAI_SOCKTYPE, 0, EINVAL }, { EAI_OVERFLOW, 0, ENAMETOOLONG }, { INT_MAX, EPERM, EIO },
#ifdef EAI_NODATA
		{ EAI_NODATA, 0, ENOENT },
#endif
#ifdef EAI_ADDRFAMILY
		{ EAI_ADDRFAMILY, 0, ENOENT },
#endif
	};

	for (size_t i = 0; i < COUNT(table); i++)
		ck_assert_int_eq(wsf_errno_from_gai(table[i].code, table[i].saved), table[i].expected);
}
END_TEST

START_TEST(only_1000_1001_and_none_end_without_an_error)
{
	for (unsigned code = 1000; code <= 4999; code++) {
		int expected = code == 1000 || code == 1001 || code == 1005 ? 0 : ECONNABORTED;

		ck_assert_int_eq(wsf_errno_from_close(code), expected);
	}
}
END_TEST

START_TEST(close_codes_have_their_registered_names)
{
	static const struct { unsigned code; const char *name; } table[] = {
		{ 1000, "normal closure" }, { 1001, "going away" }, { 1002, "protocol error" },
		{ 1003, "unsupported data" },
		{ 1005, "no status received" }, { 1006, "abnormal closure" }, { 1007, "invalid frame payload data" },
		{ 1008, "policy violation" }, { 1009, "message too big" }, { 1010, "mandatory extension" },
		{ 1011, "internal error" }, { 1012, "service restart" }, { 1013, "try again later" },
		{ 1014, "bad gateway" },
		{ 1015, "TLS handshake" }, { 3000, "unauthorized" }, { 3003, "forbidden" }, { 3008, "timeout" },
		{ 0, "unknown" }, { 999, "unknown" }, { 1016, "unknown" }, { 3001, "unknown" }, { 4999, "unknown" },
		{ UINT_MAX, "unknown" },
	};

	for (size_t i = 0; i < COUNT(table); i++)
		ck_assert_str_eq(wsf_close_code_name(table[i].code), table[i].name);
}
END_TEST

START_TEST(sendable_close_codes_are_as_documented)
{
	static const struct { unsigned first, last; } ranges[] = {
		{ 1000, 1001 }, { 1003, 1003 }, { 1007, 1011 }, { 3000, 4999 },
	};

	for (unsigned code = 0; code <= 70000; code++) {
		bool expected = false;

		for (size_t i = 0; i < COUNT(ranges); i++)
			expected = expected || (code >= ranges[i].first && code <= ranges[i].last);
		if (wsf_close_code_sendable(code) != expected)
			ck_abort_msg("close code %u", code);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("errmap");
	TCase *tcase = tcase_create("errmap");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, a_failure_is_filled_and_its_negative_errno_returned);
	tcase_add_test(tcase, strerror_stands_behind_the_text);
	tcase_add_test(tcase, an_unknown_errno_still_gives_a_text);
	tcase_add_test(tcase, the_text_is_one_line_of_valid_utf8);
	tcase_add_test(tcase, a_long_text_is_cut_and_stays_valid);
	tcase_add_test(tcase, an_argument_may_be_the_failure_itself);
	tcase_add_test(tcase, getaddrinfo_codes_become_errnos);
	tcase_add_test(tcase, only_1000_1001_and_none_end_without_an_error);
	tcase_add_test(tcase, close_codes_have_their_registered_names);
	tcase_add_test(tcase, sendable_close_codes_are_as_documented);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
