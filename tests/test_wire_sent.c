/* SPDX-License-Identifier: 0BSD */
/* What the library puts on the wire: masks, frame lengths, texts (RFC 6455, sections 5.3, 5.4 and 5.6). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

static void end_after(struct duo *duo)
{
	duo_finish(duo);
	ck_assert_int_eq(duo->error, 0);
	ck_assert_uint_eq(duo->code, 1000);
	duo_clear(&duo->received);
}

static void expect_frame(struct duo *duo, unsigned byte0, const char *payload)
{
	struct duo_frame frame;

	duo_read_frame(duo, &frame);
	ck_assert_uint_eq(frame.byte0, byte0);
	ck_assert_uint_eq(frame.payload.size, strlen(payload));
	ck_assert_mem_eq(frame.payload.data, payload, frame.payload.size);
	duo_clear(&frame.payload);
}

/* --- masks --- */

START_TEST(each_frame_of_a_client_has_a_key_of_its_own)
{
	enum { FRAMES = 32 };
	uint8_t keys[FRAMES][4];
	struct duo_frame frame;
	struct duo duo;
	int i, j;

	peer_count_begin();
	duo_open(&duo, false, "r+", NULL);
	for (i = 0; i < FRAMES; i++) {
		fputs("the same text", duo.stream);
		ck_assert_int_eq(fflush(duo.stream), 0);
		duo_read_frame(&duo, &frame);
		ck_assert_uint_eq(frame.byte0, 0x82);
		ck_assert_uint_eq(frame.payload.size, 13);
		ck_assert_mem_eq(frame.payload.data, "the same text", 13);
		memcpy(keys[i], frame.key, 4);
		for (j = 0; j < i; j++)
			ck_assert_mem_ne(keys[i], keys[j], 4);
		duo_clear(&frame.payload);
	}
	end_after(&duo);
	peer_count_end();
}
END_TEST

START_TEST(a_server_masks_nothing)
{
	struct duo duo;

	peer_count_begin();
	duo_open(&duo, true, "r+", NULL);
	fputs("bare", duo.stream);
	ck_assert_int_eq(fflush(duo.stream), 0);
	expect_frame(&duo, 0x82, "bare");
	end_after(&duo);
	peer_count_end();
}
END_TEST

/* --- lengths of frames --- */

static void keep_to_frame_length(bool library_is_server, size_t most, size_t total)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *sent = malloc(total);
	struct duo_bytes got = { NULL, 0, 0 };
	struct duo_frame frame;
	struct duo duo;
	size_t i;

	ck_assert_ptr_nonnull(sent);
	for (i = 0; i < total; i++)
		sent[i] = (uint8_t)(i * 31 + i / 253);
	options.max_frame_bytes = most;
	duo_open(&duo, library_is_server, "r+", &options);
	ck_assert_uint_eq(fwrite(sent, 1, total, duo.stream), total);
	ck_assert_int_eq(fflush(duo.stream), 0);
	while (got.size < total) {
		duo_read_frame(&duo, &frame);
		ck_assert_uint_eq(frame.byte0, 0x82);
		ck_assert_uint_le(frame.payload.size, most);
		ck_assert_uint_gt(frame.payload.size, 0);
		duo_append(&got, frame.payload.data, frame.payload.size);
		duo_clear(&frame.payload);
	}
	ck_assert_uint_eq(got.size, total);
	ck_assert_mem_eq(got.data, sent, total);
	end_after(&duo);
	duo_clear(&got);
	free(sent);
}

START_TEST(no_frame_is_longer_than_max_frame_bytes)
{
	static const struct {
		size_t most, total;
	} cases[] = { { 1, 300 }, { 125, 5000 }, { 126, 5000 }, { 1000, 100000 }, { 65535, 150000 }, { 65536, 150000 },
		{ 100000, 150000 } };

	peer_count_begin();
	keep_to_frame_length(false, cases[_i].most, cases[_i].total);
	keep_to_frame_length(true, cases[_i].most, cases[_i].total);
	peer_count_end();
}
END_TEST

/* --- texts --- */

static bool is_utf8(const uint8_t *in, size_t size)
{
	size_t i = 0, more;
	unsigned long point, least;

	while (i < size) {
		more = in[i] < 0x80 ? 0 : in[i] >> 5 == 6 ? 1 : in[i] >> 4 == 14 ? 2 : in[i] >> 3 == 30 ? 3 : 9;
		if (more > size - i - 1)
			return false;
		least = more == 3 ? 0x10000 : more == 2 ? 0x800 : more == 1 ? 0x80 : 0;
		point = more == 0 ? in[i] : in[i] & (0x3fu >> more);
		for (i++; more > 0; more--, i++) {
			if (in[i] >> 6 != 2)
				return false;
			point = point << 6 | (in[i] & 0x3fu);
		}
		if (point < least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
			return false;
	}
	return true;
}

static void open_text(struct duo *duo, bool library_is_server, bool by_mode, size_t max_frame_bytes)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.text_frames = !by_mode;
	if (max_frame_bytes != 0)
		options.max_frame_bytes = max_frame_bytes;
	duo_open(duo, library_is_server, by_mode ? "r+t" : "r+", &options);
}

static void send_text(bool library_is_server, bool by_mode)
{
	struct duo duo;

	open_text(&duo, library_is_server, by_mode, 0);
	fputs("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x91\x8b", duo.stream);
	ck_assert_int_eq(fflush(duo.stream), 0);
	expect_frame(&duo, 0x81, "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x91\x8b");
	fputs("plain", duo.stream);
	ck_assert_int_eq(fflush(duo.stream), 0);
	expect_frame(&duo, 0x81, "plain");
	end_after(&duo);
}

START_TEST(text_goes_out_in_text_frames)
{
	peer_count_begin();
	send_text(false, false);
	send_text(false, true);
	send_text(true, false);
	send_text(true, true);
	peer_count_end();
}
END_TEST

/* Every prefix flushed on its own: the frames come as the library likes, but each is a valid text. */
static void split_text(bool library_is_server)
{
	static const char text[] = "a\xc3\xa9" "b\xe2\x82\xac" "c\xf0\x9f\x91\x8b" "d\xf0\x9f\x91\x8b\xc3\xa9";
	struct duo_bytes got = { NULL, 0, 0 };
	struct duo_frame frame;
	struct duo duo;
	size_t i;

	open_text(&duo, library_is_server, false, 0);
	for (i = 0; i < sizeof text - 1; i++) {
		ck_assert_int_eq(fputc(text[i], duo.stream), (unsigned char)text[i]);
		ck_assert_int_eq(fflush(duo.stream), 0);
	}
	while (got.size < sizeof text - 1) {
		duo_read_frame(&duo, &frame);
		ck_assert_uint_eq(frame.byte0, 0x81);
		ck_assert(is_utf8(frame.payload.data, frame.payload.size));
		duo_append(&got, frame.payload.data, frame.payload.size);
		duo_clear(&frame.payload);
	}
	ck_assert_uint_eq(got.size, sizeof text - 1);
	ck_assert_mem_eq(got.data, text, sizeof text - 1);
	end_after(&duo);
	duo_clear(&got);
}

START_TEST(a_character_split_over_flushes_is_held_together)
{
	peer_count_begin();
	split_text(false);
	split_text(true);
	peer_count_end();
}
END_TEST

/* Frames shorter than the text, at every offset into its characters. */
static void cut_text(bool library_is_server, size_t most)
{
	struct duo_bytes sent = { NULL, 0, 0 }, got = { NULL, 0, 0 };
	struct duo_frame frame;
	struct duo duo;
	int i;

	for (i = 0; i < 500; i++)
		duo_append(&sent, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x8b", 10);
	open_text(&duo, library_is_server, false, most);
	ck_assert_uint_eq(fwrite(sent.data, 1, sent.size, duo.stream), sent.size);
	ck_assert_int_eq(fflush(duo.stream), 0);
	while (got.size < sent.size) {
		duo_read_frame(&duo, &frame);
		ck_assert_uint_eq(frame.byte0, 0x81);
		ck_assert_uint_le(frame.payload.size, most);
		ck_assert(is_utf8(frame.payload.data, frame.payload.size));
		duo_append(&got, frame.payload.data, frame.payload.size);
		duo_clear(&frame.payload);
	}
	ck_assert_uint_eq(got.size, sent.size);
	ck_assert_mem_eq(got.data, sent.data, sent.size);
	end_after(&duo);
	duo_clear(&sent);
	duo_clear(&got);
}

START_TEST(text_is_cut_only_between_characters)
{
	peer_count_begin();
	cut_text(false, (size_t)_i);
	cut_text(true, (size_t)_i);
	peer_count_end();
}
END_TEST

static const char *const bad_texts[] = { "\xff", "ab\377cd", "\xc3(", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80" };

static void refuse_text(const char *text, bool library_is_server)
{
	struct duo duo;
	int error;

	open_text(&duo, library_is_server, false, 0);
	fputs("good", duo.stream);
	ck_assert_int_eq(fflush(duo.stream), 0);
	expect_frame(&duo, 0x81, "good");
	errno = 0;
	error = fputs(text, duo.stream) == EOF || fflush(duo.stream) == EOF ? errno : 0;
	ck_assert_msg(error == EILSEQ, "the write got %s", strerror(error));
	clearerr(duo.stream);
	errno = 0;
	error = fputs("more", duo.stream) == EOF || fflush(duo.stream) == EOF ? errno : 0;
	ck_assert_msg(error == EPIPE, "the write after it got %s", strerror(error));
	duo_finish(&duo);
	ck_assert_msg(duo.error == EILSEQ, "fclose got %s", strerror(duo.error));
	ck_assert_uint_eq(duo.code, 1011);
	/* What was good of the refused text may have gone out, but nothing else. */
	ck_assert(is_utf8(duo.received.data, duo.received.size));
	ck_assert_uint_le(duo.received.size, strlen(text));
	if (duo.received.size > 0)
		ck_assert_mem_eq(duo.received.data, text, duo.received.size);
	duo_clear(&duo.received);
}

START_TEST(a_text_that_is_not_utf8_is_refused_for_good)
{
	peer_count_begin();
	refuse_text(bad_texts[_i], false);
	refuse_text(bad_texts[_i], true);
	peer_count_end();
}
END_TEST

/* The rest never came: what was written is no text, and the peer must not take it for a whole one. */
static void leave_half(bool library_is_server)
{
	struct duo duo;

	open_text(&duo, library_is_server, false, 0);
	fputs("ab\xe2\x82", duo.stream);
	ck_assert_int_eq(fflush(duo.stream), 0);
	expect_frame(&duo, 0x81, "ab");
	duo_finish(&duo);
	ck_assert_msg(duo.error == EILSEQ, "fclose got %s", strerror(duo.error));
	ck_assert_uint_eq(duo.code, 1011);
	ck_assert_uint_eq(duo.received.size, 0);
	duo_clear(&duo.received);
}

START_TEST(half_a_character_at_the_end_is_an_error)
{
	peer_count_begin();
	leave_half(false);
	leave_half(true);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_sent");
	TCase *tcase = tcase_create("sent");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, each_frame_of_a_client_has_a_key_of_its_own);
	tcase_add_test(tcase, a_server_masks_nothing);
	tcase_add_loop_test(tcase, no_frame_is_longer_than_max_frame_bytes, 0, 7);
	tcase_add_test(tcase, text_goes_out_in_text_frames);
	tcase_add_test(tcase, a_character_split_over_flushes_is_held_together);
	tcase_add_loop_test(tcase, text_is_cut_only_between_characters, 4, 14);
	tcase_add_loop_test(tcase, a_text_that_is_not_utf8_is_refused_for_good, 0,
	    (int)(sizeof bad_texts / sizeof bad_texts[0]));
	tcase_add_test(tcase, half_a_character_at_the_end_is_an_error);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
