/* SPDX-License-Identifier: 0BSD */
/*
 * What the library refuses on the wire, and what it makes of each Close, in both roles (RFC 6455, sections 5, 7 and 8).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "peer.h"
#include "duo.h"

#define BEFORE DUO_PIECE(0x82, "before")
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define REFUSED(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1002, EPROTO, WS_TEXT_REJECT, 0 }
#define BAD(name, byte0) REFUSED(name, "before", BEFORE, DUO_PIECE(byte0, "x"))

static const struct duo_case violations[] = {
	BAD("RSV1", 0xc2),
	BAD("RSV2", 0xa2),
	BAD("RSV3", 0x92),
	BAD("all three RSV bits", 0xf2),
	BAD("RSV1 on a ping", 0xc9),
	BAD("RSV2 on a pong", 0xaa),
	REFUSED("RSV3 on a Close", "before", BEFORE, DUO_PIECE(0x98, "\x03\xe8")),
	REFUSED("RSV1 on a continuation", "beforeab", BEFORE, DUO_PIECE(0x02, "ab"), DUO_PIECE(0xc0, "cd")),
	BAD("opcode 3", 0x83),
	BAD("opcode 4", 0x84),
	BAD("opcode 5", 0x85),
	BAD("opcode 6", 0x86),
	BAD("opcode 7", 0x87),
	BAD("opcode 3, a fragment", 0x03),
	BAD("opcode 11", 0x8b),
	BAD("opcode 12", 0x8c),
	BAD("opcode 13", 0x8d),
	BAD("opcode 14", 0x8e),
	BAD("opcode 15", 0x8f),
	REFUSED("a Close in fragments", "before", BEFORE, DUO_PIECE(0x08, "\x03\xe8")),
	BAD("a ping in fragments", 0x09),
	BAD("a pong in fragments", 0x0a),
	REFUSED("a Close of 126 bytes", "before", BEFORE, DUO_PIECE(0x88, DUO_TEXT_125 "x")),
	REFUSED("a ping of 126 bytes", "before", BEFORE, DUO_PIECE(0x89, DUO_TEXT_125 "x")),
	REFUSED("a pong of 126 bytes", "before", BEFORE, DUO_PIECE(0x8a, DUO_TEXT_125 "x")),
	REFUSED("a ping of 65536 bytes", "before", BEFORE, DUO_DECLARED(0x89, "x", DUO_64, 65536)),
	REFUSED("a Close of 2^62 bytes", "before", BEFORE, DUO_DECLARED(0x88, "x", DUO_64, UINT64_C(1) << 62)),
	REFUSED("a ping with its length in 16 bits", "before", BEFORE, DUO_FORM(0x89, "hello", DUO_16)),
	REFUSED("a pong with its length in 64 bits", "before", BEFORE, DUO_FORM(0x8a, "hello", DUO_64)),
	REFUSED("a continuation at the start", "", DUO_PIECE(0x80, "x")),
	BAD("a continuation behind a message", 0x80),
	BAD("a continuation that goes on, behind a message", 0x00),
	REFUSED("a continuation behind a fragmented message", "abcd", DUO_PIECE(0x02, "ab"), DUO_PIECE(0x80, "cd"),
	    DUO_PIECE(0x80, "ef")),
	REFUSED("a message inside a message", "ab", DUO_PIECE(0x02, "ab"), DUO_PIECE(0x82, "cd")),
	REFUSED("a fragmented message inside a message", "ab", DUO_PIECE(0x02, "ab"), DUO_PIECE(0x02, "cd")),
	REFUSED("a text inside a message", "ab", DUO_PIECE(0x02, "ab"), DUO_PIECE(0x81, "cd")),
	REFUSED("an empty message inside a message", "ab", DUO_PIECE(0x02, "ab"), DUO_PIECE(0x82, "")),
	REFUSED("wrong masking", "before", BEFORE, DUO_WRONG_MASK(0x82, "abcdefgh")),
	REFUSED("wrong masking of a continuation", "ab", DUO_PIECE(0x02, "ab"), DUO_WRONG_MASK(0x80, "cd")),
	REFUSED("wrong masking of an empty frame", "before", BEFORE, DUO_WRONG_MASK(0x82, "")),
	REFUSED("wrong masking of a ping", "before", BEFORE, DUO_WRONG_MASK(0x89, "abcdefgh")),
	REFUSED("wrong masking of a pong", "before", BEFORE, DUO_WRONG_MASK(0x8a, "")),
	REFUSED("wrong masking of a Close", "before", BEFORE, DUO_WRONG_MASK(0x88, "\x03\xe8")),
	REFUSED("0 in 16 bits", "before", BEFORE, DUO_FORM(0x82, "", DUO_16)),
	REFUSED("125 in 16 bits", "before", BEFORE, DUO_FORM(0x82, DUO_TEXT_125, DUO_16)),
	REFUSED("0 in 64 bits", "before", BEFORE, DUO_FORM(0x82, "", DUO_64)),
	REFUSED("126 in 64 bits", "before", BEFORE, DUO_FORM(0x82, DUO_TEXT_125 "x", DUO_64)),
	REFUSED("65535 in 64 bits", "before", BEFORE, DUO_DECLARED(0x82, "x", DUO_64, 65535)),
	REFUSED("a length of 2^63", "before", BEFORE, DUO_DECLARED(0x82, "x", DUO_64, UINT64_C(1) << 63)),
	REFUSED("a length of 2^64 - 1", "before", BEFORE, DUO_DECLARED(0x82, "x", DUO_64, UINT64_MAX)),
	BAD("a Close with one byte", 0x88),
	REFUSED("a fault behind a ping", "before", BEFORE, DUO_PIECE(0x89, "ping"), DUO_PIECE(0x83, "x")),
};

START_TEST(a_violation_is_refused_with_1002)
{
	duo_run(&violations[_i]);
}
END_TEST

#define CLOSE(name, payload, code, error) \
	{ name, { BEFORE, DUO_PIECE(0x88, payload), DUO_END }, "before", code, error, WS_TEXT_REJECT, 0 }
#define BAD_CODE(name, payload) CLOSE(name, payload, 1002, EPROTO)
#define BAD_REASON(name, payload) CLOSE(name, payload, 1007, EILSEQ)

static const struct duo_case bad_closes[] = {
	BAD_CODE("0", "\x00\x00"),
	BAD_CODE("1", "\x00\x01"),
	BAD_CODE("999", "\x03\xe7"),
	BAD_CODE("1004", "\x03\xec"),
	BAD_CODE("1005", "\x03\xed"),
	BAD_CODE("1006", "\x03\xee"),
	BAD_CODE("1015", "\x03\xf7"),
	BAD_CODE("1016", "\x03\xf8"),
	BAD_CODE("1100", "\x04\x4c"),
	BAD_CODE("2000", "\x07\xd0"),
	BAD_CODE("2999", "\x0b\xb7"),
	BAD_CODE("5000", "\x13\x88"),
	BAD_CODE("65535", "\xff\xff"),
	BAD_CODE("1005 with a reason", "\x03\xed" "why"),
	BAD_REASON("a byte that UTF-8 never has", "\x03\xe8" "a\xff"),
	BAD_REASON("half a character", "\x03\xe8" "a\xc3"),
	BAD_REASON("a lone continuation byte", "\x03\xe8" "\x80"),
	BAD_REASON("an overlong slash", "\x03\xe8" "\xc0\xaf"),
	BAD_REASON("a surrogate", "\x03\xe8" "\xed\xa0\x80"),
	BAD_REASON("beyond U+10FFFF", "\x0f\xa0" "\xf4\x90\x80\x80"),
};

START_TEST(a_close_with_a_bad_payload_is_refused)
{
	duo_run(&bad_closes[_i]);
}
END_TEST

static const struct duo_case texts_unwanted[] = {
	{ "a text", { BEFORE, DUO_PIECE(0x81, "text"), DUO_END }, "before", 1003, EBADMSG, WS_TEXT_REJECT, 0 },
	{ "an empty text", { BEFORE, DUO_PIECE(0x81, ""), DUO_END }, "before", 1003, EBADMSG, WS_TEXT_REJECT, 0 },
	{ "the start of a text", { BEFORE, DUO_PIECE(0x01, "te"), DUO_END }, "before", 1003, EBADMSG,
	    WS_TEXT_REJECT, 0 },
	{ "a text at the start", { DUO_PIECE(0x81, "text"), DUO_END }, "", 1003, EBADMSG, WS_TEXT_REJECT, 0 },
	{ "a wrongly masked text", { BEFORE, DUO_WRONG_MASK(0x81, "text"), DUO_END }, "before", 1002, EPROTO,
	    WS_TEXT_REJECT, 0 },
};

START_TEST(a_text_is_refused_with_1003)
{
	duo_run(&texts_unwanted[_i]);
}
END_TEST

/* --- valid Closes --- */

struct close_case {
	unsigned code;			/* 0 = empty payload */
	const char *reason;
	int error;			/* of our reader and of fclose */
	unsigned answer;
};

static const struct close_case closes[] = {
	{ 0, NULL, 0, 1000 },
	{ 1000, NULL, 0, 1000 },
	{ 1000, "done", 0, 1000 },
	{ 1000, DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 "abcdefghijklmnopqrstuvw", 0, 1000 },
	{ 1000, "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x91\x8b", 0, 1000 },
	{ 1001, "going away", 0, 1000 },
	{ 1002, "you broke it", ECONNABORTED, 1002 },
	{ 1003, NULL, ECONNABORTED, 1003 },
	{ 1007, NULL, ECONNABORTED, 1007 },
	{ 1008, "policy", ECONNABORTED, 1008 },
	{ 1009, NULL, ECONNABORTED, 1009 },
	{ 1010, NULL, ECONNABORTED, 1010 },
	{ 1011, "crash", ECONNABORTED, 1011 },
	{ 1012, NULL, ECONNABORTED, 1012 },
	{ 1013, NULL, ECONNABORTED, 1013 },
	{ 1014, NULL, ECONNABORTED, 1014 },
	{ 3000, "registered", ECONNABORTED, 3000 },
	{ 3999, NULL, ECONNABORTED, 3999 },
	{ 4000, NULL, ECONNABORTED, 4000 },
	{ 4999, "private", ECONNABORTED, 4999 },
};

static void answer_close(const struct close_case *one, bool library_is_server, bool late_data)
{
	static const char late[] = "\x82\x04late\x83\x01x";	/* data, then garbage: nothing behind a Close counts */
	struct ws_status status = WS_STATUS_INIT;
	struct duo_bytes got = { NULL, 0, 0 };
	struct duo duo;
	int error;

	duo_open(&duo, library_is_server, "r+", NULL);
	duo_send_piece(&duo, &(struct duo_piece)BEFORE);
	peer_close(duo.fd, library_is_server, one->code, one->reason);
	if (late_data)
		peer_try_send(duo.fd, late, sizeof late - 1);
	duo.peer_closed = true;
	error = duo_read(duo.stream, &got);
	ck_assert_msg(error == one->error, "%u: the reader got %s", one->code, strerror(error));
	ck_assert_uint_eq(got.size, 6);
	ck_assert_mem_eq(got.data, "before", 6);
	ck_assert_int_eq(ws_status(duo.stream, &status), 0);
	ck_assert_uint_eq(status.close_code_received, one->code != 0 ? one->code : 1005);
	ck_assert_str_eq(status.close_reason_received, one->reason != NULL ? one->reason : "");
	ck_assert_int_ne(status.state, WS_STATE_OPEN);
	duo_finish(&duo);
	ck_assert_msg(duo.code == one->answer, "%u was answered with %u", one->code, duo.code);
	ck_assert_msg(duo.error == one->error, "%u: fclose got %s", one->code, strerror(duo.error));
	ck_assert_uint_eq(duo.received.size, 0);
	duo_clear(&got);
	duo_clear(&duo.received);
}

START_TEST(a_valid_close_is_answered_as_the_table_says)
{
	peer_count_begin();
	answer_close(&closes[_i], false, false);
	answer_close(&closes[_i], true, false);
	peer_count_end();
}
END_TEST

START_TEST(what_follows_the_close_is_ignored)
{
	peer_count_begin();
	answer_close(&closes[_i], false, true);
	answer_close(&closes[_i], true, true);
	peer_count_end();
}
END_TEST

/* --- on a stream that the program does not read --- */

static void refuse_on_writer(bool library_is_server)
{
	static const struct duo_piece fault = DUO_PIECE(0x83, "x");
	struct duo duo;
	int error;

	duo_open(&duo, library_is_server, "w", NULL);
	duo_send_piece(&duo, &(struct duo_piece)BEFORE);
	duo_send_piece(&duo, &fault);
	duo.peer_closed = true;
	/* The Close that the peer sees says that the fault was noticed: from here on no write may succeed. */
	duo.code = peer_read_until_close(duo.fd, NULL, NULL);
	ck_assert_uint_eq(duo.code, 1002);
	errno = 0;
	error = fputs("too late", duo.stream) == EOF || fflush(duo.stream) == EOF ? errno : 0;
	ck_assert_msg(error == EPIPE, "the write got %s", strerror(error));
	duo_finish(&duo);
	ck_assert_msg(duo.error == EPROTO, "fclose got %s", strerror(duo.error));
	duo_clear(&duo.received);
}

START_TEST(a_violation_ends_a_stream_that_is_only_written)
{
	peer_count_begin();
	refuse_on_writer(false);
	refuse_on_writer(true);
	peer_count_end();
}
END_TEST

/* --- declared lengths --- */

static long resident_kib(void)
{
	unsigned long pages, resident;
	FILE *statm = fopen("/proc/self/statm", "r");

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%lu %lu", &pages, &resident), 2);
	fclose(statm);
	return (long)resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void declare_much(bool library_is_server)
{
	static char sent[262144], got[sizeof sent + 1];
	struct duo_piece piece = { 0x82, sent, sizeof sent, DUO_64, UINT64_C(1) << 62, false };
	struct duo duo;
	long before;
	size_t i;

	for (i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7 + i / 251);
	duo_open(&duo, library_is_server, "r+", NULL);
	before = resident_kib();
	duo_send_piece(&duo, &piece);
	ck_assert_uint_eq(fread(got, 1, sizeof sent, duo.stream), sizeof sent);
	ck_assert_mem_eq(got, sent, sizeof sent);
	ck_assert_int_lt(resident_kib() - before, 32 * 1024);
	peer_fin(duo.fd);
	errno = 0;
	ck_assert_uint_eq(fread(got, 1, 1, duo.stream), 0);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_ne(ferror(duo.stream), 0);
	duo.peer_closed = true;
	duo_finish(&duo);
	ck_assert_int_eq(duo.error, ECONNRESET);
	duo_clear(&duo.received);
}

START_TEST(a_huge_declared_length_allocates_nothing)
{
	peer_count_begin();
	declare_much(false);
	declare_much(true);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = tcase_create("refused");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_violation_is_refused_with_1002, 0, COUNT(violations));
	tcase_add_loop_test(tcase, a_close_with_a_bad_payload_is_refused, 0, COUNT(bad_closes));
	tcase_add_loop_test(tcase, a_text_is_refused_with_1003, 0, COUNT(texts_unwanted));
	tcase_add_loop_test(tcase, a_valid_close_is_answered_as_the_table_says, 0, COUNT(closes));
	tcase_add_loop_test(tcase, what_follows_the_close_is_ignored, 0, COUNT(closes));
	tcase_add_test(tcase, a_violation_ends_a_stream_that_is_only_written);
	tcase_add_test(tcase, a_huge_declared_length_allocates_nothing);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
