/* SPDX-License-Identifier: 0BSD */
/* Section 6 of the strictness suite: UTF-8. */
#include "strict.h"

#include <errno.h>

#define BYTES(text) text, sizeof(text) - 1
#define GOOD(text, bytes) { text, BYTES(bytes), true, sizeof(bytes) - 1 }
#define BAD(text, bytes, good) { text, BYTES(bytes), false, good }
#define CUT(text, bytes) { text, BYTES(bytes), false, sizeof(bytes) - 1 }

static const struct strict_utf8 rows[] = {
	GOOD("nothing", ""),
	GOOD("ASCII", "plain text"),
	GOOD("control characters", "\x01\x09\x0a\x0d\x1b\x7f"),
	GOOD("several scripts", "Gr\xc3\xbc\xc3\x9f" "e, \xce\xba\xcf\x8c\xcf\x83\xce\xbc\xce\xb5, "
	    "\xe6\x97\xa5\xe6\x9c\xac, \xf0\x9f\x91\x8b"),
	GOOD("a NUL", "a\0b"),
	GOOD("U+007F", "\x7f"),
	GOOD("U+0080, the first of two bytes", "\xc2\x80"),
	GOOD("U+07FF, the last of two bytes", "\xdf\xbf"),
	GOOD("U+0800, the first of three bytes", "\xe0\xa0\x80"),
	GOOD("U+0FFF", "\xe0\xbf\xbf"),
	GOOD("U+1000", "\xe1\x80\x80"),
	GOOD("U+CFFF", "\xec\xbf\xbf"),
	GOOD("U+D7FF, the last before the surrogates", "\xed\x9f\xbf"),
	GOOD("U+E000, the first behind the surrogates", "\xee\x80\x80"),
	GOOD("U+FDD0, a noncharacter", "\xef\xb7\x90"),
	GOOD("U+FEFF, the byte order mark", "\xef\xbb\xbf"),
	GOOD("U+FFFD", "\xef\xbf\xbd"),
	GOOD("U+FFFE, a noncharacter", "\xef\xbf\xbe"),
	GOOD("U+FFFF, the last of three bytes", "\xef\xbf\xbf"),
	GOOD("U+10000, the first of four bytes", "\xf0\x90\x80\x80"),
	GOOD("U+1FFFE, a noncharacter", "\xf0\x9f\xbf\xbe"),
	GOOD("U+3FFFF, a noncharacter", "\xf0\xbf\xbf\xbf"),
	GOOD("U+40000", "\xf1\x80\x80\x80"),
	GOOD("U+FFFFF", "\xf3\xbf\xbf\xbf"),
	GOOD("U+100000", "\xf4\x80\x80\x80"),
	GOOD("U+10FFFF, the last of all", "\xf4\x8f\xbf\xbf"),
	GOOD("a letter and its marks", "a\xcc\x8a\xcc\xa3"),
	BAD("a lone continuation byte", "\x80", 0),
	BAD("the last continuation byte, alone", "\xbf", 0),
	BAD("continuation bytes behind text", "ok\x80\xbf\x80\xbf", 2),
	BAD("a continuation byte too many, of two", "\xc3\xa9\xa9", 2),
	BAD("a continuation byte too many, of three", "\xe2\x82\xac\xac", 3),
	BAD("a continuation byte too many, of four", "\xf0\x9f\x91\x8b\x8b", 4),
	BAD("two bytes, broken off by a letter", "\xc3(", 1),
	BAD("three bytes, broken off by a letter", "\xe2(", 1),
	BAD("three bytes, broken off by a letter in the end", "\xe2\x82(", 2),
	BAD("four bytes, broken off by a letter", "\xf0(", 1),
	BAD("four bytes, broken off by a letter in the middle", "\xf0\x9f(", 2),
	BAD("four bytes, broken off by a letter in the end", "\xf0\x9f\x91(", 3),
	BAD("two bytes, broken off by another first byte", "\xc3\xc3\xa9", 1),
	BAD("three bytes, broken off by another first byte", "\xe2\x82\xc3\xa9", 2),
	BAD("four bytes, broken off by another first byte", "\xf0\x9f\x91\xf0\x9f\x91\x8b", 3),
	BAD("an overlong NUL in two bytes", "\xc0\x80", 0),
	BAD("an overlong slash in two bytes", "\xc0\xaf", 0),
	BAD("the longest overlong form of two bytes", "\xc1\xbf", 0),
	BAD("an overlong NUL in three bytes", "\xe0\x80\x80", 1),
	BAD("an overlong slash in three bytes", "\xe0\x80\xaf", 1),
	BAD("the longest overlong form of three bytes", "\xe0\x9f\xbf", 1),
	BAD("an overlong NUL in four bytes", "\xf0\x80\x80\x80", 1),
	BAD("an overlong slash in four bytes", "\xf0\x80\x80\xaf", 1),
	BAD("the longest overlong form of four bytes", "\xf0\x8f\xbf\xbf", 1),
	BAD("an overlong slash in five bytes", "\xf8\x80\x80\x80\xaf", 0),
	BAD("an overlong slash in six bytes", "\xfc\x80\x80\x80\x80\xaf", 0),
	BAD("U+D800, the first surrogate", "\xed\xa0\x80", 1),
	BAD("U+DB7F", "\xed\xad\xbf", 1),
	BAD("U+DB80", "\xed\xae\x80", 1),
	BAD("U+DBFF, the last high surrogate", "\xed\xaf\xbf", 1),
	BAD("U+DC00, the first low surrogate", "\xed\xb0\x80", 1),
	BAD("U+DF80", "\xed\xbe\x80", 1),
	BAD("U+DFFF, the last surrogate", "\xed\xbf\xbf", 1),
	BAD("a pair of surrogates", "\xed\xa0\xbd\xed\xb1\x8b", 1),
	BAD("a surrogate behind text", "caf\xc3\xa9\xed\xa0\x80", 6),
	BAD("U+110000, beyond the last", "\xf4\x90\x80\x80", 1),
	BAD("U+13FFFF", "\xf4\xbf\xbf\xbf", 1),
	BAD("U+140000", "\xf5\x80\x80\x80", 0),
	BAD("U+1FFFFF", "\xf7\xbf\xbf\xbf", 0),
	BAD("the first of five bytes", "\xf8\x88\x80\x80\x80", 0),
	BAD("the last of five bytes", "\xfb\xbf\xbf\xbf\xbf", 0),
	BAD("the first of six bytes", "\xfc\x84\x80\x80\x80\x80", 0),
	BAD("the last of six bytes", "\xfd\xbf\xbf\xbf\xbf\xbf", 0),
	BAD("the byte FE", "\xfe", 0),
	BAD("the byte FF", "\xff", 0),
	BAD("UTF-16 with its mark", "\xfe\xff\0a", 0),
	BAD("Latin-1", "caf\xe9 noir", 4),
	CUT("one byte of two", "a\xc3"),
	CUT("one byte of three", "a\xe2"),
	CUT("two bytes of three", "a\xe2\x82"),
	CUT("one byte of four", "a\xf0"),
	CUT("two bytes of four", "a\xf0\x9f"),
	CUT("three bytes of four", "a\xf0\x9f\x91"),
	CUT("two bytes of the last character of all", "\xf4\x8f"),
	CUT("two bytes of the last before the surrogates", "\xed\x9f"),
};

int strict_utf8_count(void)
{
	return STRICT_COUNT(rows);
}

const struct strict_utf8 *strict_utf8_row(int row)
{
	return &rows[row];
}

/* The text of the row, behind another; cut_bytes as in a step. */
static struct strict_frames text_of(const struct strict_utf8 *row, size_t cut_bytes)
{
	struct strict_frames one = BAD_TEXT(row->text, "RFC 6455, 8.1 and 5.6; RFC 3629, 3 and 4", P(0x81, "before"),
	    LOST(0x81, ""));

	one.steps[1].piece.payload = row->bytes;
	one.steps[1].piece.size = row->size;
	one.steps[1].keep_bytes = row->good_bytes;
	one.steps[1].cut_bytes = cut_bytes;
	if (!row->valid)
		return one;
	one.code = 1000;
	one.error = 0;
	one.echo_text = true;
	return one;
}

START_TEST(a_text_is_valid_or_refused)
{
	const struct strict_frames one = text_of(&rows[_i], 0);

	strict_run_frames("6.1", _i, &one);
}
END_TEST

START_TEST(a_text_in_fragments_of_one_byte_is_valid_or_refused)
{
	const struct strict_frames one = text_of(&rows[_i], 1);

	strict_run_frames("6.2", _i, &one);
}
END_TEST

START_TEST(any_text_is_refused_where_only_bytes_are_wanted)
{
	struct strict_frames one = text_of(&rows[_i], 0);

	one.on_text = WS_TEXT_REJECT;
	one.source = "RFC 6455, 7.4.1: 1003";
	one.code = 1003;
	one.error = EBADMSG;
	one.echo_text = false;
	one.steps[0].piece.byte0 = 0x82;
	one.steps[1].lost = true;
	one.steps[1].keep_bytes = 0;
	strict_run_frames("6.3", _i, &one);
}
END_TEST

/* --- one by one --- */

/* _i: a first byte from 0x80 on. None of them is a whole character, and most begin none. */
START_TEST(no_byte_above_ascii_is_a_character)
{
	uint8_t byte = (uint8_t)(0x80 + _i);
	char text[32], bytes[1] = { (char)byte };
	const struct strict_utf8 row = { text, bytes, 1, false, byte >= 0xc2 && byte <= 0xf4 };
	struct strict_frames one;

	snprintf(text, sizeof text, "the byte %02X alone", byte);
	one = text_of(&row, 0);
	strict_run_frames("6.4", _i, &one);
}
END_TEST

/* _i: a first byte from 0xc2 to 0xf4, then whether the next is just below its range or just above. */
START_TEST(no_first_byte_is_continued_out_of_its_range)
{
	uint8_t byte = (uint8_t)(0xc2 + _i / 2);
	uint8_t below = byte == 0xe0 ? 0x9f : byte == 0xf0 ? 0x8f : 0x7f;
	uint8_t above = byte == 0xed ? 0xa0 : byte == 0xf4 ? 0x90 : 0xc0;
	char text[48], bytes[2] = { (char)byte, (char)(_i % 2 == 0 ? below : above) };
	const struct strict_utf8 row = { text, bytes, 2, false, 1 };
	struct strict_frames one;

	snprintf(text, sizeof text, "%02X behind %02X", (uint8_t)bytes[1], byte);
	one = text_of(&row, 0);
	strict_run_frames("6.5", _i, &one);
}
END_TEST

/* --- in several frames, and at once --- */

#define CHARACTERS "RFC 6455, 5.6: a fragment need not be UTF-8, the message must"
#define AT_ONCE "RFC 6455, 8.1, as soon as it can be told"

static const struct strict_frames texts[] = {
	TEXT("a character of two bytes over two fragments", CHARACTERS, P(0x01, "\xc3"), P(0x80, "\xa9")),
	TEXT("a character of three bytes over three fragments", CHARACTERS, P(0x01, "\xe2"), P(0x00, "\x82"),
	    P(0x80, "\xac")),
	TEXT("a character of four bytes over four fragments", CHARACTERS, P(0x01, "\xf0"), P(0x00, "\x9f"),
	    P(0x00, "\x91"), P(0x80, "\x8b")),
	TEXT("a character around empty fragments", CHARACTERS, P(0x01, "\xe2"), P(0x00, ""), P(0x00, "\x82"),
	    P(0x00, ""), P(0x00, "\xac"), P(0x80, "")),
	TEXT("a character around a ping that is no UTF-8", CHARACTERS, P(0x01, "\xe2\x82"), AWAIT("\xff\xfe"),
	    P(0x80, "\xac")),
	{ "a character around a binary of another message", CHARACTERS, 1007, EILSEQ,
	    { P(0x81, "\xc3"), LOST(0x82, "\xa9") }, .on_text = WS_TEXT_BYTES },
	{ "binaries are not looked at", "RFC 6455, 5.6", 1000, 0, { P(0x82, "\xff\xc0\x80\xed\xa0\x80"),
	    P(0x81, "text"), P(0x82, "\xc3"), P(0x81, "\xc3\xa9") }, .on_text = WS_TEXT_BYTES },
	BAD_TEXT("a character over two messages", CHARACTERS, P(0x81, "\xc3"), LOST(0x81, "\xa9")),
	BAD_TEXT("half a character, then an empty last fragment", CHARACTERS, P(0x01, "a\xe2\x82"), P(0x80, "")),
	BAD_TEXT("half a character, broken off by a fragment", CHARACTERS, P(0x01, "a\xe2\x82"), LOST(0x80, "b")),
	BAD_TEXT("a bad byte in the last of many fragments", CHARACTERS, P(0x01, "a"), TIMES(50, 0x00, "b\xc3\xa9"),
	    LOST(0x80, "\xff")),
	BAD_TEXT_AT_ONCE("a bad byte in a frame of which more is to come", AT_ONCE, P(0x81, "before"),
	    { .piece = DUO_DECLARED(0x81, "ab\xff", DUO_SHORTEST, 100), .lost = true, .keep_bytes = 2 }),
	BAD_TEXT_AT_ONCE("a bad first byte in a frame of which more is to come", AT_ONCE,
	    DECLARED(0x81, "\xc0", DUO_SHORTEST, 100)),
	BAD_TEXT_AT_ONCE("a surrogate, whose third byte is to come", AT_ONCE,
	    { .piece = DUO_DECLARED(0x81, "a\xed\xa0", DUO_SHORTEST, 100), .lost = true, .keep_bytes = 2 }),
	BAD_TEXT_AT_ONCE("beyond U+10FFFF, two bytes of it", AT_ONCE,
	    { .piece = DUO_DECLARED(0x81, "a\xf4\x90", DUO_SHORTEST, 100), .lost = true, .keep_bytes = 2 }),
	BAD_TEXT_AT_ONCE("an overlong form, two bytes of it", AT_ONCE,
	    { .piece = DUO_DECLARED(0x81, "a\xf0\x8f", DUO_SHORTEST, 100), .lost = true, .keep_bytes = 2 }),
	BAD_TEXT_AT_ONCE("a bad byte in a fragment, while others are to come", AT_ONCE, KEPT(0x01, "ab\xff" "cd", 2)),
	BAD_TEXT_AT_ONCE("a bad byte in the second fragment, while others are to come", AT_ONCE, P(0x01, "ab"),
	    KEPT(0x00, "c\xff", 1)),
	BAD_TEXT_AT_ONCE("a character broken off by a fragment, while others are to come", AT_ONCE, P(0x01, "ab\xc3"),
	    LOST(0x00, "c")),
	BAD_TEXT_AT_ONCE("a bad byte in a long frame, when it comes", AT_ONCE, FILL_TIMES(1, 0x81, 3000),
	    { .piece = DUO_DECLARED(0x81, DUO_TEXT_125 DUO_TEXT_125 "\xfe", DUO_64, 70000), .lost = true,
	    .keep_bytes = 250 }),
	TEXT("what is written goes out as whole characters", "RFC 6455, 5.6: a text message is UTF-8",
	    TIMES(24000, 0x81, "\xe6\x97\xa5\xf0\x9f\x91\x8b")),
	TEXT("a long text", "RFC 6455, 5.6", FILL(0x81, 300000), P(0x81, "\xc3\xa9")),
};

START_TEST(a_text_is_its_message)
{
	strict_run_frames("6.6", _i, &texts[_i]);
}
END_TEST

void strict_add_text(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "6");

	tcase_add_loop_test(tcase, a_text_is_valid_or_refused, 0, STRICT_COUNT(rows));
	tcase_add_loop_test(tcase, a_text_in_fragments_of_one_byte_is_valid_or_refused, 1, STRICT_COUNT(rows));
	tcase_add_loop_test(tcase, any_text_is_refused_where_only_bytes_are_wanted, 0, STRICT_COUNT(rows));
	tcase_add_loop_test(tcase, no_byte_above_ascii_is_a_character, 0, 128);
	tcase_add_loop_test(tcase, no_first_byte_is_continued_out_of_its_range, 0, 2 * (0xf4 - 0xc2 + 1));
	tcase_add_loop_test(tcase, a_text_is_its_message, 0, STRICT_COUNT(texts));
}
