/* SPDX-License-Identifier: 0BSD */
/* UTF-8, validated in pieces of any size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "utf8.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define TEXT(literal) { (literal), sizeof(literal) - 1 }

struct text {
	const char *bytes;
	size_t size;
};

/* Complete texts: the first and last character of each row of RFC 3629, section 4, and what lies beside gaps. */
static const struct text valid[] = {
	TEXT(""), TEXT("\0"), TEXT("\x7f"), TEXT("\xc2\x80"), TEXT("\xdf\xbf"), TEXT("\xe0\xa0\x80"),
	TEXT("\xe0\xbf\xbf"), TEXT("\xe1\x80\x80"), TEXT("\xec\xbf\xbf"), TEXT("\xed\x80\x80"), TEXT("\xed\x9f\xbf"),
	TEXT("\xee\x80\x80"), TEXT("\xef\xbf\xbd"), TEXT("\xef\xbf\xbe"), TEXT("\xef\xbf\xbf"),
	TEXT("\xf0\x90\x80\x80"), TEXT("\xf0\xbf\xbf\xbf"), TEXT("\xf1\x80\x80\x80"), TEXT("\xf3\xbf\xbf\xbf"),
	TEXT("\xf4\x80\x80\x80"), TEXT("\xf4\x8f\xbf\xbf"), TEXT("\xef\xbb\xbf" "byte order mark"),
	TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"), TEXT("a\xf0\x9f\x98\x80z\xe2\x82\xac\xc3\xa9."),
	TEXT("a run of ASCII that is longer than four words \xc3\xa9 and then another one, just as long as that"),
	TEXT("12345678\xe2\x82\xac" "12345678"),
};

/* The byte at index bad is the first that can't stand there. */
static const struct {
	struct text text;
	size_t bad;
} invalid[] = {
	{ TEXT("\x80"), 0 }, { TEXT("\xbf"), 0 }, { TEXT("\xfe"), 0 }, { TEXT("\xff"), 0 },
	{ TEXT("\xc0\x80"), 0 }, { TEXT("\xc1\xbf"), 0 }, { TEXT("\xf5\x80\x80\x80"), 0 },
	{ TEXT("\xf8\x88\x80\x80\x80"), 0 }, { TEXT("\xfc\x84\x80\x80\x80\x80"), 0 },
	/* overlong */
	{ TEXT("\xe0\x80\x80"), 1 }, { TEXT("\xe0\x9f\xbf"), 1 }, { TEXT("\xf0\x80\x80\x80"), 1 },
	{ TEXT("\xf0\x8f\xbf\xbf"), 1 },
	/* surrogates */
	{ TEXT("\xed\xa0\x80"), 1 }, { TEXT("\xed\xad\xbf"), 1 }, { TEXT("\xed\xbf\xbf"), 1 },
	/* over U+10FFFF */
	{ TEXT("\xf4\x90\x80\x80"), 1 }, { TEXT("\xf4\xbf\xbf\xbf"), 1 },
	/* a character cut short by another byte, below and above the continuation bytes */
	{ TEXT("\xc2\x7f"), 1 }, { TEXT("\xc2\xc0"), 1 }, { TEXT("\xc3("), 1 }, { TEXT("\xe1\x7f\x80"), 1 },
	{ TEXT("\xe1\xc0\x80"), 1 }, { TEXT("\xe1\x80\x7f"), 2 }, { TEXT("\xe1\x80\xc0"), 2 },
	{ TEXT("\xf1\x80\x80\x7f"), 3 }, { TEXT("\xf1\x80\x80\xc0"), 3 }, { TEXT("\xf1\x80\xff"), 2 },
	{ TEXT("\xc3\xa9\x80"), 2 }, { TEXT("\xe2\x82\xac\x80"), 3 },
	{ TEXT("0123456789abcdef0123456789abcdef0123456789\x80"), 42 },
	{ TEXT("01234567\xff" "9abcdef0123456789abcdef01234567"), 8 },
	{ TEXT("0123456\x80" "89abcdef"), 7 },
};

static const struct text incomplete[] = {
	TEXT("\xc2"), TEXT("\xe0"), TEXT("\xe0\xa0"), TEXT("\xed\x9f"), TEXT("\xf0"), TEXT("\xf0\x90"),
	TEXT("\xf0\x90\x80"),
	TEXT("\xf4\x8f\xbf"), TEXT("plain text, and then \xe2\x82"),
};

START_TEST(valid_text_is_accepted_however_it_is_split)
{
	const struct text *text = &valid[_i];

	for (size_t first = 0; first <= text->size; first++) {
		for (size_t second = first; second <= text->size; second++) {
			struct wsf_utf8 state = { 0 };

			ck_assert(wsf_utf8_feed(&state, text->bytes, first));
			ck_assert(wsf_utf8_feed(&state, text->bytes + first, second - first));
			ck_assert(wsf_utf8_feed(&state, text->bytes + second, text->size - second));
			ck_assert(wsf_utf8_complete(&state));
		}
	}
}
END_TEST

START_TEST(invalid_text_is_refused_at_its_first_bad_byte)
{
	const struct text *text = &invalid[_i].text;
	size_t bad = invalid[_i].bad;

	for (size_t first = 0; first <= bad; first++) {
		for (size_t second = first; second <= bad; second++) {
			struct wsf_utf8 state = { 0 };

			ck_assert(wsf_utf8_feed(&state, text->bytes, first));
			ck_assert(wsf_utf8_feed(&state, text->bytes + first, second - first));
			ck_assert(wsf_utf8_feed(&state, text->bytes + second, bad - second));
			ck_assert(!wsf_utf8_feed(&state, text->bytes + bad, text->size - bad));
		}
	}
}
END_TEST

START_TEST(an_unfinished_character_is_valid_so_far_but_not_complete)
{
	const struct text *text = &incomplete[_i];
	struct wsf_utf8 state = { 0 };

	ck_assert(wsf_utf8_feed(&state, text->bytes, text->size));
	ck_assert(!wsf_utf8_complete(&state));
	ck_assert(wsf_utf8_feed(&state, "", 0));
	ck_assert(!wsf_utf8_complete(&state));
	ck_assert(!wsf_utf8_feed(&state, "a", 1));
}
END_TEST

/* Independent of the state machine: by arithmetic on the code point. */
static bool decodes(const uint8_t *bytes, size_t size)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t point = bytes[0];
	size_t length = point < 0x80 ? 1 : point < 0xc0 ? 0 : point < 0xe0 ? 2 : point < 0xf0 ? 3 : 4;

	if (point > 0xf7 || length == 0 || length != size)
		return false;
	if (length > 1)
		point &= 0x7fU >> length;
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return false;
		point = point << 6 | (bytes[i] & 0x3fU);
	}
	return point >= least[length] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static void check_character(const uint8_t *bytes, size_t size)
{
	struct wsf_utf8 state = { 0 };
	bool accepted = wsf_utf8_feed(&state, bytes, size) && wsf_utf8_complete(&state);
	bool expected = decodes(bytes, size);

	/* Two characters in a row are a text, too. */
	for (size_t cut = 1; cut < size && !expected; cut++)
		expected = decodes(bytes, cut) && decodes(bytes + cut, size - cut);
	if (accepted != expected)
		ck_abort_msg("%02x %02x %02x %02x of %zu", bytes[0], bytes[1], bytes[2], bytes[3], size);
}

START_TEST(every_pair_of_bytes_is_judged_as_by_arithmetic)
{
	for (unsigned pair = 0; pair < 0x10000; pair++) {
		uint8_t bytes[4] = { (uint8_t)(pair >> 8), (uint8_t)pair, 0, 0 };

		check_character(bytes, 2);
	}
}
END_TEST

START_TEST(every_long_character_is_judged_as_by_arithmetic)
{
	static const uint8_t edges[] = { 0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbe, 0xbf, 0xc0, 0xff };

	for (unsigned start = 0xe0; start <= 0xff; start++) {
		for (unsigned second = 0; second <= 0xff; second++) {
			for (size_t third = 0; third < COUNT(edges); third++) {
				uint8_t bytes[4] = { (uint8_t)start, (uint8_t)second, edges[third], 0 };

				if (start < 0xf0)
					check_character(bytes, 3);
				for (size_t fourth = 0; start >= 0xf0 && fourth < COUNT(edges); fourth++) {
					bytes[3] = edges[fourth];
					check_character(bytes, 4);
				}
			}
		}
	}
}
END_TEST

START_TEST(a_bad_byte_anywhere_in_a_long_ascii_run_is_found)
{
	char text[100];

	for (size_t bad = 0; bad < sizeof(text); bad++) {
		struct wsf_utf8 state = { 0 };

		memset(text, 'a', sizeof(text));
		ck_assert(wsf_utf8_feed(&state, text, sizeof(text)));
		text[bad] = (char)0x80;
		ck_assert(!wsf_utf8_feed(&state, text, sizeof(text)));
	}
}
END_TEST

START_TEST(the_incomplete_tail_is_measured)
{
	static const struct {
		struct text text;
		size_t tail;
	} table[] = {
		{ TEXT(""), 0 }, { TEXT("a"), 0 }, { TEXT("abcdef"), 0 }, { TEXT("\xc3\xa9"), 0 },
		{ TEXT("\xe2\x82\xac"), 0 },
		{ TEXT("\xf0\x9f\x98\x80"), 0 }, { TEXT("\xc3"), 1 }, { TEXT("a\xc3"), 1 }, { TEXT("\xe2"), 1 },
		{ TEXT("\xe2\x82"), 2 }, { TEXT("abc\xe2\x82"), 2 }, { TEXT("\xf0"), 1 }, { TEXT("\xf0\x9f"), 2 },
		{ TEXT("\xf0\x9f\x98"), 3 }, { TEXT("\xc3\xa9\xf0\x9f\x98"), 3 }, { TEXT("\xf0\x9f\x98\x80\xc3"), 1 },
		{ TEXT("\xc3\xa9" "a"), 0 },
	};

	for (size_t i = 0; i < COUNT(table); i++)
		ck_assert_uint_eq(wsf_utf8_incomplete_tail(table[i].text.bytes, table[i].text.size), table[i].tail);
}
END_TEST

START_TEST(text_without_its_incomplete_tail_is_complete)
{
	const struct text *text = &valid[_i];

	for (size_t size = 0; size <= text->size; size++) {
		size_t tail = wsf_utf8_incomplete_tail(text->bytes, size);
		struct wsf_utf8 state = { 0 };

		ck_assert_uint_le(tail, size);
		ck_assert(wsf_utf8_feed(&state, text->bytes, size));
		ck_assert_int_eq(tail == 0, wsf_utf8_complete(&state));
		state = (struct wsf_utf8){ 0 };
		ck_assert(wsf_utf8_feed(&state, text->bytes, size - tail));
		ck_assert(wsf_utf8_complete(&state));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("utf8");
	TCase *tcase = tcase_create("utf8");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, valid_text_is_accepted_however_it_is_split, 0, COUNT(valid));
	tcase_add_loop_test(tcase, invalid_text_is_refused_at_its_first_bad_byte, 0, COUNT(invalid));
	tcase_add_loop_test(tcase, an_unfinished_character_is_valid_so_far_but_not_complete, 0, COUNT(incomplete));
	tcase_add_test(tcase, every_pair_of_bytes_is_judged_as_by_arithmetic);
	tcase_add_test(tcase, every_long_character_is_judged_as_by_arithmetic);
	tcase_add_test(tcase, a_bad_byte_anywhere_in_a_long_ascii_run_is_found);
	tcase_add_test(tcase, the_incomplete_tail_is_measured);
	tcase_add_loop_test(tcase, text_without_its_incomplete_tail_is_complete, 0, COUNT(valid));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
