/* SPDX-License-Identifier: 0BSD */
/* Sections 1 to 5 of the strictness suite: framing, pings, reserved bits, reserved opcodes, fragments. */
#include "strict.h"

#include <errno.h>

/* --- 1.1: lengths --- */

#define LENGTH(bytes, words) \
	FINE("binary of " words, "RFC 6455, 5.2 and 5.6", FILL(0x82, bytes)), \
	{ "text of " words, "RFC 6455, 5.2 and 5.6", 1000, 0, { FILL(0x81, bytes) }, .on_text = WS_TEXT_BYTES, \
	    .echo_text = true }

static const struct strict_frames lengths[] = {
	FINE("nothing but a Close", "RFC 6455, 5.5.1", P(0x88, "\x03\xe8")),
	FINE("an empty binary", "RFC 6455, 5.2: a length of 0 is valid", P(0x82, "")),
	FINE("empty binaries around another", "RFC 6455, 5.2", P(0x82, ""), P(0x82, "x"), P(0x82, "")),
	TEXT("an empty text", "RFC 6455, 5.2", P(0x81, "")),
	TEXT("empty texts around another", "RFC 6455, 5.2", P(0x81, ""), P(0x81, "x"), P(0x81, "")),
	FINE("bytes of every kind", "RFC 6455, 5.6", P(0x82, "\0\r\n\x1a\x7f\x80\xff\xfe\0")),
	LENGTH(1, "1 byte"),
	LENGTH(2, "2 bytes"),
	LENGTH(124, "124 bytes"),
	LENGTH(125, "125 bytes, the last length of 7 bits"),
	LENGTH(126, "126 bytes, the first length of 16 bits"),
	LENGTH(127, "127 bytes"),
	LENGTH(128, "128 bytes"),
	LENGTH(255, "255 bytes"),
	LENGTH(256, "256 bytes"),
	LENGTH(4096, "4096 bytes"),
	LENGTH(65534, "65534 bytes"),
	LENGTH(65535, "65535 bytes, the last length of 16 bits"),
	LENGTH(65536, "65536 bytes, the first length of 64 bits"),
	LENGTH(65537, "65537 bytes"),
	LENGTH(131072, "131072 bytes"),
	FINE("a hundred messages of 125 bytes", "RFC 6455, 5.2", FILL_TIMES(100, 0x82, 125)),
	FINE("a hundred messages of 126 bytes", "RFC 6455, 5.2", FILL_TIMES(100, 0x82, 126)),
	FINE("three messages of 65535 bytes", "RFC 6455, 5.2", FILL_TIMES(3, 0x82, 65535)),
	FINE("a thousand empty messages", "RFC 6455, 5.2", P(0x82, "a"), TIMES(1000, 0x82, ""), P(0x82, "b")),
	REFUSED("a text where only bytes are wanted", "RFC 6455, 7.4.1: 1003", P(0x82, "a"), LOST(0x81, "text")),
	REFUSED("an empty text where only bytes are wanted", "RFC 6455, 7.4.1: 1003", P(0x82, "a"), LOST(0x81, "")),
	REFUSED("a text in fragments where only bytes are wanted", "RFC 6455, 7.4.1: 1003", P(0x82, "a"),
	    LOST(0x01, "te"), LOST(0x80, "xt")),
	REFUSED("a bad text where only bytes are wanted", "RFC 6455, 7.4.1: 1003", LOST(0x81, "\xff")),
};

START_TEST(lengths_of_every_form)
{
	strict_run_frames("1.1", _i, &lengths[_i]);
}
END_TEST

/* --- 1.2: how a length is written, and who masks --- */

#define SHORTEST "RFC 6455, 5.2: the minimal number of bytes MUST be used"
#define HIGH_BIT "RFC 6455, 5.2: the most significant bit MUST be 0"
#define MASKED "RFC 6455, 5.1: a client masks, a server does not"
#define WRONG_MASK(byte0, text) { .piece = DUO_WRONG_MASK(byte0, text), .lost = true }

static const struct strict_frames headers[] = {
	BREAKS("0 in 16 bits", SHORTEST, P(0x82, "before"), FORM(0x82, "", DUO_16)),
	BREAKS("1 in 16 bits", SHORTEST, P(0x82, "before"), FORM(0x82, "x", DUO_16)),
	BREAKS("125 in 16 bits", SHORTEST, P(0x82, "before"), FORM(0x82, DUO_TEXT_125, DUO_16)),
	BREAKS("0 in 64 bits", SHORTEST, P(0x82, "before"), FORM(0x82, "", DUO_64)),
	BREAKS("1 in 64 bits", SHORTEST, P(0x82, "before"), FORM(0x82, "x", DUO_64)),
	BREAKS("125 in 64 bits", SHORTEST, P(0x82, "before"), FORM(0x82, DUO_TEXT_125, DUO_64)),
	BREAKS("126 in 64 bits", SHORTEST, P(0x82, "before"), FORM(0x82, DUO_TEXT_125 "x", DUO_64)),
	BREAKS_AT_ONCE("65535 in 64 bits", SHORTEST, DECLARED(0x82, "", DUO_64, 65535)),
	BREAKS("1 in 16 bits, of a continuation", SHORTEST, P(0x02, "before"), FORM(0x80, "x", DUO_16)),
	BREAKS("1 in 16 bits, of an unfinished message", SHORTEST, P(0x82, "before"), FORM(0x02, "x", DUO_16)),
	BREAKS("a ping's length in 16 bits", "RFC 6455, 5.5", P(0x82, "before"), FORM(0x89, "x", DUO_16)),
	BREAKS("a Close's length in 64 bits", "RFC 6455, 5.5", P(0x82, "before"), FORM(0x88, "\x03\xe8", DUO_64)),
	BREAKS_AT_ONCE("2^63", HIGH_BIT, P(0x82, "before"), DECLARED(0x82, "", DUO_64, UINT64_C(1) << 63)),
	BREAKS_AT_ONCE("2^64 - 1", HIGH_BIT, P(0x82, "before"), DECLARED(0x82, "", DUO_64, UINT64_MAX)),
	BREAKS_AT_ONCE("2^63 + 5, with 5 bytes behind", HIGH_BIT, DECLARED(0x82, "hello", DUO_64,
	    (UINT64_C(1) << 63) + 5)),
	BREAKS("data with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x82, "x")),
	BREAKS("the first frame with the other side's mask bit", MASKED, WRONG_MASK(0x82, "hello")),
	BREAKS("an empty message with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x82, "")),
	BREAKS("a continuation with the other side's mask bit", MASKED, P(0x02, "before"), WRONG_MASK(0x80, "x")),
	BREAKS("a ping with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x89, "x")),
	BREAKS("an empty ping with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x89, "")),
	BREAKS("a pong with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x8a, "x")),
	BREAKS("a Close with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x88, "\x03\xe8")),
	BREAKS("an empty Close with the other side's mask bit", MASKED, P(0x82, "before"), WRONG_MASK(0x88, "")),
};

START_TEST(headers_are_as_they_must)
{
	strict_run_frames("1.2", _i, &headers[_i]);
}
END_TEST

/* --- 2: pings and pongs --- */

#define PINGS "RFC 6455, 5.5.2"
#define PONGS "RFC 6455, 5.5.3"
#define CONTROL "RFC 6455, 5.5: at most 125 bytes, never fragmented"

static const struct strict_frames pings[] = {
	FINE("an empty ping", PINGS, AWAIT("")),
	FINE("a ping with a payload", PINGS, AWAIT("payload")),
	FINE("a ping with bytes that are no text", PINGS, AWAIT("\0\xff\xfe\xfd\xfc\xfb\0\xff")),
	FINE("a ping of 124 bytes", PINGS, { .piece = { PEER_PING, DUO_TEXT_125, 124, DUO_SHORTEST, 0, false },
	    .await = true }),
	FINE("a ping of 125 bytes", PINGS, AWAIT(DUO_TEXT_125)),
	BREAKS("a ping of 126 bytes", CONTROL, P(0x82, "before"), P(0x89, DUO_TEXT_125 "x")),
	BREAKS("a ping of 65536 bytes", CONTROL, P(0x82, "before"), { .piece = DUO_PIECE(0x89, ""),
	    .fill_bytes = 65536, .lost = true }),
	BREAKS_AT_ONCE("a ping that declares 126 bytes", CONTROL, DECLARED(0x89, "", DUO_16, 126)),
	BREAKS("a ping with FIN 0", CONTROL, P(0x82, "before"), P(0x09, "x")),
	BREAKS("a ping with FIN 0, continued", CONTROL, P(0x82, "before"), P(0x09, "x"), LOST(0x80, "y")),
	FINE("eight pings, each awaited", PINGS, AWAIT("1"), AWAIT("2"), AWAIT("3"), AWAIT("4"), AWAIT("5"),
	    AWAIT("6"), AWAIT("7"), AWAIT("8")),
	FINE("ten pings in a row", "RFC 6455, 5.5.3: the latest may do", TIMES(9, 0x89, "again"), P(0x89, "last")),
	FINE("a thousand pings in a row", "RFC 6455, 5.5.3", TIMES(999, 0x89, "again"), AWAIT("last")),
	FINE("pings between messages", PINGS, P(0x82, "a"), AWAIT("one"), P(0x82, "b"), AWAIT("two"), P(0x82, "c")),
	FINE("pings between fragments", "RFC 6455, 5.4 and 5.5", P(0x02, "a"), AWAIT("one"), P(0x00, "b"),
	    AWAIT("two"), P(0x80, "c")),
	FINE("a ping before a ping's answer counts", PINGS, P(0x89, ""), P(0x89, "x"), AWAIT("y")),
	FINE("a ping right before the Close", PINGS, P(0x82, "data"), P(0x89, "last")),
	FINE("a ping behind the Close", "RFC 6455, 5.5.1 and 5.5.2: no answer any more", P(0x82, "a"),
	    P(0x88, "\x03\xe8"), LOST(0x89, "late")),
	FINE("a pong that nobody asked for", PONGS, P(0x8a, "")),
	FINE("a pong with a payload that nobody asked for", PONGS, P(0x8a, "payload"), P(0x82, "data")),
	FINE("a pong of 125 bytes", PONGS, P(0x8a, DUO_TEXT_125), P(0x82, "data")),
	FINE("a pong, then a ping", PONGS, P(0x8a, "unasked"), AWAIT("ping")),
	FINE("a hundred pongs between fragments", PONGS, P(0x02, "a"), TIMES(100, 0x8a, "x"), P(0x80, "b")),
	BREAKS("a pong of 126 bytes", CONTROL, P(0x82, "before"), P(0x8a, DUO_TEXT_125 "x")),
	BREAKS("a pong with FIN 0", CONTROL, P(0x82, "before"), P(0x0a, "x")),
	BREAKS("a ping with FIN 0 between fragments", CONTROL, P(0x02, "before"), P(0x09, "x"), LOST(0x80, "y")),
};

START_TEST(pings_are_answered)
{
	strict_run_frames("2", _i, &pings[_i]);
}
END_TEST

/* --- 3: reserved bits --- */

#define RESERVED_BITS 7
#define RESERVED "RFC 6455, 5.2: RSV1, RSV2, RSV3 MUST be 0"

static const struct {
	const char *text;
	unsigned byte0;
	unsigned before;		/* the frame before it: 0x82, or 0x02 for a continuation */
	const char *payload;
	size_t size;
} carriers[] = {
	{ "a binary", 0x82, 0x82, "x", 1 },
	{ "an empty binary", 0x82, 0x82, "", 0 },
	{ "a text", 0x81, 0x82, "x", 1 },
	{ "the first fragment", 0x02, 0x82, "x", 1 },
	{ "a middle fragment", 0x00, 0x02, "x", 1 },
	{ "the last fragment", 0x80, 0x02, "x", 1 },
	{ "a ping", 0x89, 0x82, "x", 1 },
	{ "a ping between fragments", 0x89, 0x02, "", 0 },
	{ "a pong", 0x8a, 0x82, "x", 1 },
	{ "a Close", 0x88, 0x82, "\x03\xe8", 2 },
	{ "an empty Close", 0x88, 0x82, "", 0 },
};

/* _i: carrier, then the bits */
START_TEST(reserved_bits_are_refused)
{
	int carrier = _i / RESERVED_BITS;
	unsigned bits = (unsigned)(_i % RESERVED_BITS + 1) << 4;
	struct strict_frames one = BREAKS(NULL, RESERVED, P(0x82, "before"), LOST(0, ""));
	char text[64];

	snprintf(text, sizeof text, "bits 0x%02x in %s", bits, carriers[carrier].text);
	one.text = text;
	one.on_text = WS_TEXT_BYTES;
	one.steps[0].piece.byte0 = carriers[carrier].before;
	one.steps[1].piece.byte0 = carriers[carrier].byte0 | bits;
	one.steps[1].piece.payload = carriers[carrier].payload;
	one.steps[1].piece.size = carriers[carrier].size;
	strict_run_frames("3", _i, &one);
}
END_TEST

/* --- 4: reserved opcodes --- */

static const unsigned opcodes[] = { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 };

static const struct {
	const char *text;
	unsigned fin, before;
	const char *payload;
	size_t size;
} shapes[] = {
	{ "without payload", 0x80, 0x82, "", 0 },
	{ "with a payload", 0x80, 0x82, "x", 1 },
	{ "of 126 bytes", 0x80, 0x82, DUO_TEXT_125 "x", 126 },
	{ "with FIN 0", 0x00, 0x82, "x", 1 },
	{ "between fragments", 0x80, 0x02, "x", 1 },
};

/* _i: opcode, then the shape */
START_TEST(reserved_opcodes_are_refused)
{
	int shape = _i % STRICT_COUNT(shapes);
	unsigned opcode = opcodes[_i / STRICT_COUNT(shapes)];
	struct strict_frames one = BREAKS(NULL, "RFC 6455, 5.2 and 11.8", P(0x82, "before"), LOST(0, ""));
	char text[64];

	snprintf(text, sizeof text, "opcode %u %s", opcode, shapes[shape].text);
	one.text = text;
	one.steps[0].piece.byte0 = shapes[shape].before;
	one.steps[1].piece.byte0 = shapes[shape].fin | opcode;
	one.steps[1].piece.payload = shapes[shape].payload;
	one.steps[1].piece.size = shapes[shape].size;
	strict_run_frames("4", _i, &one);
}
END_TEST

/* --- 5: fragments --- */

#define FRAGMENTS "RFC 6455, 5.4"
#define INTERLEAVED "RFC 6455, 5.4: fragments of messages MUST NOT be interleaved"
#define NOTHING_TO_CONTINUE "RFC 6455, 5.4: a continuation continues a message"

static const struct strict_frames fragments[] = {
	FINE("two fragments", FRAGMENTS, P(0x02, "one"), P(0x80, "two")),
	FINE("three fragments", FRAGMENTS, P(0x02, "one"), P(0x00, "two"), P(0x80, "three")),
	FINE("an empty first fragment", FRAGMENTS, P(0x02, ""), P(0x80, "two")),
	FINE("an empty last fragment", FRAGMENTS, P(0x02, "one"), P(0x80, "")),
	FINE("an empty middle fragment", FRAGMENTS, P(0x02, "one"), P(0x00, ""), P(0x80, "three")),
	FINE("only empty fragments", FRAGMENTS, P(0x02, ""), P(0x00, ""), P(0x80, "")),
	FINE("a thousand empty fragments", FRAGMENTS, P(0x02, "a"), TIMES(1000, 0x00, ""), P(0x80, "b")),
	FINE("a thousand fragments of one byte", FRAGMENTS, P(0x02, "a"), TIMES(1000, 0x00, "x"), P(0x80, "b")),
	FINE("fragments of 125, 126 and 65536 bytes", FRAGMENTS, FILL_CUT(0x82, 400, 125), FILL_CUT(0x82, 400, 126),
	    FILL_CUT(0x82, 140000, 65536)),
	TEXT("a text in two fragments", FRAGMENTS, P(0x01, "one"), P(0x80, "two")),
	TEXT("a text in empty fragments", FRAGMENTS, P(0x01, ""), P(0x00, ""), P(0x80, "")),
	TEXT("a text between binaries", FRAGMENTS, P(0x82, "a"), P(0x01, "b"), P(0x80, "c"), P(0x02, "d"),
	    P(0x80, "e")),
	FINE("a ping between fragments", FRAGMENTS, P(0x02, "a"), AWAIT("ping"), P(0x80, "b")),
	FINE("a pong between fragments", FRAGMENTS, P(0x02, "a"), P(0x8a, "pong"), P(0x80, "b")),
	FINE("a ping around an empty fragment", FRAGMENTS, P(0x02, ""), AWAIT(""), P(0x00, ""), AWAIT(""), P(0x80, "")),
	FINE("fragmented messages in a row", FRAGMENTS, P(0x02, "a"), P(0x80, "b"), P(0x02, "c"), P(0x80, "d"),
	    P(0x82, "e")),
	BREAKS("a lone continuation", NOTHING_TO_CONTINUE, LOST(0x80, "x")),
	BREAKS("a lone empty continuation", NOTHING_TO_CONTINUE, LOST(0x80, "")),
	BREAKS("a lone continuation with FIN 0", NOTHING_TO_CONTINUE, LOST(0x00, "x")),
	BREAKS("a continuation behind a whole message", NOTHING_TO_CONTINUE, P(0x82, "a"), LOST(0x80, "x")),
	BREAKS("a continuation behind a whole message, with FIN 0", NOTHING_TO_CONTINUE, P(0x82, "a"),
	    LOST(0x00, "x")),
	BREAKS("a continuation behind a fragmented message", NOTHING_TO_CONTINUE, P(0x02, "a"), P(0x80, "b"),
	    LOST(0x80, "x")),
	BREAKS("a continuation with FIN 0 behind a fragmented message", NOTHING_TO_CONTINUE, P(0x02, "a"),
	    P(0x80, "b"), LOST(0x00, "x"), LOST(0x80, "y")),
	BREAKS("a lone continuation behind a ping", NOTHING_TO_CONTINUE, P(0x89, "x"), LOST(0x80, "x")),
	BREAKS("a binary inside a message", INTERLEAVED, P(0x02, "a"), LOST(0x82, "x")),
	BREAKS("an empty binary inside a message", INTERLEAVED, P(0x02, "a"), LOST(0x82, "")),
	BREAKS("a binary that begins inside a message", INTERLEAVED, P(0x02, "a"), LOST(0x02, "x"), LOST(0x80, "y")),
	BREAKS("a binary behind fragments and a ping", INTERLEAVED, P(0x02, "a"), P(0x89, "ping"), P(0x00, "b"),
	    LOST(0x82, "x")),
	BREAKS("a binary inside an empty message", INTERLEAVED, P(0x02, ""), LOST(0x82, "x")),
	{ "a text inside a binary", INTERLEAVED, 1002, EPROTO, { P(0x02, "a"), LOST(0x81, "x") },
	    .on_text = WS_TEXT_BYTES },
	{ "a binary inside a text", INTERLEAVED, 1002, EPROTO, { P(0x01, "a"), LOST(0x82, "x") },
	    .on_text = WS_TEXT_BYTES },
	{ "a text inside a text", INTERLEAVED, 1002, EPROTO, { P(0x01, "a"), LOST(0x01, "x") },
	    .on_text = WS_TEXT_BYTES },
	{ "a text inside a binary where only bytes are wanted", INTERLEAVED, 1002, EPROTO,
	    { P(0x02, "a"), LOST(0x81, "x") }, .on_text = WS_TEXT_REJECT },
	BREAKS_AT_ONCE("a continuation of which only the header comes", NOTHING_TO_CONTINUE,
	    DECLARED(0x80, "", DUO_SHORTEST, 100)),
	BREAKS_AT_ONCE("a binary inside a message, of which only the header comes", INTERLEAVED, P(0x02, "a"),
	    DECLARED(0x82, "", DUO_SHORTEST, 100)),
};

START_TEST(fragments_make_a_message)
{
	strict_run_frames("5", _i, &fragments[_i]);
}
END_TEST

void strict_add_framing(Suite *suite)
{
	tcase_add_loop_test(strict_tcase(suite, "1.1"), lengths_of_every_form, 0, STRICT_COUNT(lengths));
	tcase_add_loop_test(strict_tcase(suite, "1.2"), headers_are_as_they_must, 0, STRICT_COUNT(headers));
	tcase_add_loop_test(strict_tcase(suite, "2"), pings_are_answered, 0, STRICT_COUNT(pings));
	tcase_add_loop_test(strict_tcase(suite, "3"), reserved_bits_are_refused, 0,
	    STRICT_COUNT(carriers) * RESERVED_BITS);
	tcase_add_loop_test(strict_tcase(suite, "4"), reserved_opcodes_are_refused, 0,
	    STRICT_COUNT(opcodes) * STRICT_COUNT(shapes));
	tcase_add_loop_test(strict_tcase(suite, "5"), fragments_make_a_message, 0, STRICT_COUNT(fragments));
}
