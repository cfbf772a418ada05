/* SPDX-License-Identifier: 0BSD */
/* What the library accepts and what it sends: fragments, pings, texts, limits, masks (RFC 6455, sections 5 and 8). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define P DUO_PIECE
#define FINE(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1000, 0, WS_TEXT_REJECT, 0 }

static const struct duo_case messages[] = {
	FINE("one message", "hello", P(0x82, "hello")),
	FINE("nothing but the Close", "", P(0x8a, "")),
	FINE("messages in a row", "abc", P(0x82, "a"), P(0x82, "b"), P(0x82, "c")),
	FINE("an empty message", "ab", P(0x82, "a"), P(0x82, ""), P(0x82, "b")),
	FINE("125 bytes", DUO_TEXT_125, P(0x82, DUO_TEXT_125)),
	FINE("126 bytes", DUO_TEXT_125 "x", P(0x82, DUO_TEXT_125 "x")),
	FINE("two fragments", "abcd", P(0x02, "ab"), P(0x80, "cd")),
	FINE("empty fragments", "ab", P(0x02, ""), P(0x00, "a"), P(0x00, ""), P(0x00, "b"), P(0x80, "")),
	FINE("only empty fragments", "", P(0x02, ""), P(0x00, ""), P(0x80, "")),
	FINE("a pong between fragments", "abcd", P(0x02, "ab"), P(0x8a, "unasked"), P(0x80, "cd")),
	FINE("an empty pong and a full one", "ab", P(0x8a, ""), P(0x82, "ab"), P(0x8a, DUO_TEXT_125)),
	FINE("bytes that are no UTF-8", "\xff\xc3(\x80", P(0x82, "\xff\xc3(\x80")),
};

START_TEST(a_valid_message_is_delivered)
{
	duo_run(&messages[_i]);
}
END_TEST

#define TEXT(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1000, 0, WS_TEXT_BYTES, 0 }
#define BAD_TEXT(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1007, EILSEQ, WS_TEXT_BYTES, 0 }

static const struct duo_case texts[] = {
	TEXT("a text", "hello", P(0x81, "hello")),
	TEXT("an empty text", "", P(0x81, "")),
	TEXT("characters of each length", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x8b",
	    P(0x81, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x8b")),
	TEXT("the last characters of each length", "\x7f\xdf\xbf\xef\xbf\xbf\xf4\x8f\xbf\xbf",
	    P(0x81, "\x7f\xdf\xbf\xef\xbf\xbf\xf4\x8f\xbf\xbf")),
	TEXT("a character over two fragments", "\xc3\xa9", P(0x01, "\xc3"), P(0x80, "\xa9")),
	TEXT("a character over four fragments", "\xf0\x9f\x91\x8b", P(0x01, "\xf0"), P(0x00, "\x9f"), P(0x00, "\x91"),
	    P(0x80, "\x8b")),
	TEXT("a character around an empty fragment and a pong", "\xe2\x82\xac", P(0x01, "\xe2\x82"), P(0x00, ""),
	    P(0x8a, "\xff"), P(0x80, "\xac")),
	TEXT("binary and text mixed", "a\xff" "b\xc3\xa9", P(0x82, "a"), P(0x82, "\xff"), P(0x81, "b"), P(0x01, "\xc3"),
	    P(0x80, "\xa9")),
	TEXT("half a character, binary, then a text", "\xc3" "a", P(0x82, "\xc3"), P(0x81, "a")),
	BAD_TEXT("a byte that UTF-8 never has", "ok" "ab", P(0x81, "ok"), P(0x81, "ab\xff" "cd")),
	BAD_TEXT("a bad byte in the first fragment of a message that goes on", "ab", P(0x01, "ab\xfe" "cd")),
	BAD_TEXT("a lone continuation byte", "", P(0x81, "\x80")),
	BAD_TEXT("a character broken off", "a\xc3", P(0x81, "a\xc3(")),
	BAD_TEXT("a character broken off by a fragment", "a\xc3", P(0x01, "a\xc3"), P(0x80, "(")),
	BAD_TEXT("an overlong slash", "", P(0x81, "\xc0\xaf")),
	BAD_TEXT("an overlong slash in three bytes", "\xe0", P(0x81, "\xe0\x80\xaf")),
	BAD_TEXT("a surrogate", "\xed", P(0x81, "\xed\xa0\x80")),
	BAD_TEXT("beyond U+10FFFF", "\xf4", P(0x81, "\xf4\x90\x80\x80")),
	BAD_TEXT("half a character at the end", "a\xc3", P(0x81, "a\xc3")),
	BAD_TEXT("half a character at the end of the last fragment", "a\xe2\x82", P(0x01, "a\xe2"), P(0x80, "\x82")),
	BAD_TEXT("half a character, then an empty last fragment", "\xe2\x82", P(0x01, "\xe2\x82"), P(0x80, "")),
	BAD_TEXT("half a character, completed by the next message", "\xc3", P(0x81, "\xc3"), P(0x81, "\xa9")),
	{ "a binary inside a text", { P(0x01, "ab"), P(0x82, "cd"), DUO_END }, "ab", 1002, EPROTO, WS_TEXT_BYTES, 0 },
	{ "a text inside a binary", { P(0x02, "ab"), P(0x81, "cd"), DUO_END }, "ab", 1002, EPROTO, WS_TEXT_BYTES, 0 },
};

START_TEST(a_text_is_bytes_when_asked_for)
{
	duo_run(&texts[_i]);
}
END_TEST

#define WITHIN(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1000, 0, WS_TEXT_BYTES, 10 }
#define OVER(name, data, ...) { name, { __VA_ARGS__, DUO_END }, data, 1009, EMSGSIZE, WS_TEXT_BYTES, 10 }

static const struct duo_case limits[] = {
	WITHIN("just the limit", "0123456789", P(0x82, "0123456789")),
	WITHIN("the limit, message after message", "01234567890123456789", P(0x82, "0123456789"),
	    P(0x82, "0123456789")),
	WITHIN("the limit in fragments", "0123456789", P(0x02, "012"), P(0x00, "3456"), P(0x80, "789")),
	WITHIN("the limit, then an empty fragment", "0123456789", P(0x02, "0123456789"), P(0x00, ""), P(0x80, "")),
	WITHIN("the limit in fragments, twice", "01234567890123456789", P(0x02, "01234"), P(0x80, "56789"),
	    P(0x02, "01234"), P(0x80, "56789")),
	WITHIN("control frames do not count", "0123456789", P(0x02, "01234"), P(0x8a, DUO_TEXT_125), P(0x80, "56789")),
	WITHIN("a text at the limit", "0123456789", P(0x81, "0123456789")),
	OVER("one byte more", "", P(0x82, "0123456789a")),
	OVER("one byte more, in the second message", "0123456789", P(0x82, "0123456789"), P(0x82, "0123456789a")),
	OVER("one byte more, in fragments", "01234", P(0x02, "01234"), P(0x80, "567890")),
	OVER("one byte more, in the last of many", "0123456789", P(0x02, "01234"), P(0x00, "56789"), P(0x80, "a")),
	OVER("one byte more, in a text", "", P(0x81, "0123456789a")),
	OVER("2^63 - 1, behind a fragment", "01234", P(0x02, "01234"), DUO_DECLARED(0x80, "x", DUO_64, INT64_MAX)),
};

START_TEST(a_message_over_the_limit_is_refused_with_1009)
{
	duo_run(&limits[_i]);
}
END_TEST

/* No byte of the message itself is sent: what is refused is the header. */
static void refuse_header(bool library_is_server)
{
	static const struct duo_piece header = DUO_DECLARED(0x82, "", DUO_64, UINT64_C(1) << 40);
	struct ws_options options = WS_OPTIONS_INIT;
	struct duo_bytes got = { NULL, 0, 0 };
	struct duo duo;

	options.max_message_bytes = (UINT64_C(1) << 40) - 1;
	duo_open(&duo, library_is_server, "r+", &options);
	duo_send_piece(&duo, &header);
	duo.peer_closed = true;
	ck_assert_int_eq(duo_read(duo.stream, &got), EMSGSIZE);
	ck_assert_uint_eq(got.size, 0);
	duo_finish(&duo);
	ck_assert_uint_eq(duo.code, 1009);
	ck_assert_int_eq(duo.error, EMSGSIZE);
	duo_clear(&duo.received);
}

START_TEST(a_message_over_the_limit_is_refused_from_its_header_on)
{
	peer_count_begin();
	refuse_header(false);
	refuse_header(true);
	peer_count_end();
}
END_TEST

/* --- many fragments --- */

static void many_fragments(bool library_is_server, bool one_at_a_time)
{
	enum { PIECES = 2000 };
	struct duo_bytes sent = { NULL, 0, 0 }, want = { NULL, 0, 0 }, got = { NULL, 0, 0 };
	struct duo_piece piece = DUO_PIECE(0x02, "");
	struct duo duo;
	char text[16];
	int i;

	for (i = 0; i < PIECES; i++) {
		snprintf(text, sizeof text, "%d,", i);
		piece.byte0 = (i == 0 ? 0x02u : 0x00u) | (i == PIECES - 1 ? 0x80u : 0x00u);
		piece.payload = text;
		piece.size = i % 3 == 0 ? 0 : strlen(text);
		duo_put(&sent, library_is_server, &piece);
		duo_append(&want, text, piece.size);
	}
	duo_open(&duo, library_is_server, "r+", NULL);
	duo_send(&duo, &sent, one_at_a_time);
	peer_close(duo.fd, library_is_server, 1000, NULL);
	duo.peer_closed = true;
	ck_assert_int_eq(duo_read(duo.stream, &got), 0);
	ck_assert_uint_eq(got.size, want.size);
	ck_assert_mem_eq(got.data, want.data, want.size);
	duo_finish(&duo);
	ck_assert_int_eq(duo.error, 0);
	duo_clear(&sent);
	duo_clear(&want);
	duo_clear(&got);
	duo_clear(&duo.received);
}

START_TEST(a_message_of_many_fragments_is_whole)
{
	peer_count_begin();
	many_fragments(false, false);
	many_fragments(false, true);
	many_fragments(true, false);
	many_fragments(true, true);
	peer_count_end();
}
END_TEST

/* --- pings --- */

static void expect_pong(struct duo *duo, const char *payload, size_t size)
{
	struct duo_frame frame;

	duo_read_frame(duo, &frame);
	ck_assert_uint_eq(frame.byte0, 0x8a);
	ck_assert_uint_eq(frame.payload.size, size);
	ck_assert_mem_eq(frame.payload.data, payload, size);
	duo_clear(&frame.payload);
}

static void end_in_peace(struct duo *duo, const char *data)
{
	struct duo_bytes got = { NULL, 0, 0 };

	peer_close(duo->fd, duo->library_is_server, 1000, NULL);
	duo->peer_closed = true;
	ck_assert_int_eq(duo_read(duo->stream, &got), 0);
	ck_assert_uint_eq(got.size, strlen(data));
	if (got.size > 0)
		ck_assert_mem_eq(got.data, data, got.size);
	duo_finish(duo);
	ck_assert_int_eq(duo->error, 0);
	ck_assert_uint_eq(duo->code, 1000);
	duo_clear(&got);
	duo_clear(&duo->received);
}

static void answer_pings(bool library_is_server, bool one_at_a_time)
{
	static const struct duo_piece empty = P(0x89, ""), full = P(0x89, DUO_TEXT_125), start = P(0x02, "ab"),
	    middle = P(0x89, "mid"), go_on = P(0x00, "cd"), unasked = P(0x8a, "unasked"), end = P(0x80, "ef");
	struct duo_bytes bytes = { NULL, 0, 0 };
	struct duo duo;

	duo_open(&duo, library_is_server, "r+", NULL);
	duo_put(&bytes, library_is_server, &empty);
	duo_send(&duo, &bytes, one_at_a_time);
	expect_pong(&duo, "", 0);
	duo_clear(&bytes);
	duo_put(&bytes, library_is_server, &full);
	duo_send(&duo, &bytes, one_at_a_time);
	expect_pong(&duo, DUO_TEXT_125, 125);
	duo_clear(&bytes);
	duo_put(&bytes, library_is_server, &start);
	duo_put(&bytes, library_is_server, &middle);
	duo_put(&bytes, library_is_server, &go_on);
	duo_put(&bytes, library_is_server, &unasked);
	duo_send(&duo, &bytes, one_at_a_time);
	expect_pong(&duo, "mid", 3);
	duo_clear(&bytes);
	duo_put(&bytes, library_is_server, &empty);
	duo_put(&bytes, library_is_server, &end);
	duo_send(&duo, &bytes, one_at_a_time);
	expect_pong(&duo, "", 0);
	duo_clear(&bytes);
	end_in_peace(&duo, "abcdef");
}

START_TEST(a_ping_is_answered_and_never_in_the_data)
{
	peer_count_begin();
	answer_pings(false, false);
	answer_pings(false, true);
	answer_pings(true, false);
	answer_pings(true, true);
	peer_count_end();
}
END_TEST

/* Each is answered, or overtaken by a later one: the answers are a rising sequence that ends with the last. */
static void many_pings(bool library_is_server, bool one_at_a_time)
{
	enum { PINGS = 1000 };
	struct duo_piece ping = P(0x89, "");
	struct duo_bytes bytes = { NULL, 0, 0 };
	struct duo_frame frame;
	struct duo duo;
	char text[16], *end;
	long i, last = -1;

	duo_open(&duo, library_is_server, "r+", NULL);
	for (i = 0; i < PINGS; i++) {
		snprintf(text, sizeof text, "%ld", i);
		ping.payload = text;
		ping.size = strlen(text);
		duo_put(&bytes, library_is_server, &ping);
	}
	duo_send(&duo, &bytes, one_at_a_time);
	while (last != PINGS - 1) {
		duo_read_frame(&duo, &frame);
		ck_assert_uint_eq(frame.byte0, 0x8a);
		i = strtol((const char *)frame.payload.data, &end, 10);
		ck_assert_ptr_eq(end, (const char *)frame.payload.data + frame.payload.size);
		ck_assert_int_gt(i, last);
		last = i;
		duo_clear(&frame.payload);
	}
	duo_clear(&bytes);
	end_in_peace(&duo, "");
}

START_TEST(of_many_pings_the_last_is_always_answered)
{
	peer_count_begin();
	many_pings(false, false);
	many_pings(false, true);
	many_pings(true, false);
	many_pings(true, true);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_data");
	TCase *tcase = tcase_create("accepted");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_valid_message_is_delivered, 0, COUNT(messages));
	tcase_add_loop_test(tcase, a_text_is_bytes_when_asked_for, 0, COUNT(texts));
	tcase_add_loop_test(tcase, a_message_over_the_limit_is_refused_with_1009, 0, COUNT(limits));
	tcase_add_test(tcase, a_message_over_the_limit_is_refused_from_its_header_on);
	tcase_add_test(tcase, a_message_of_many_fragments_is_whole);
	tcase_add_test(tcase, a_ping_is_answered_and_never_in_the_data);
	tcase_add_test(tcase, of_many_pings_the_last_is_always_answered);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
