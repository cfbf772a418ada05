/* SPDX-License-Identifier: 0BSD */
/* Section 12 of the strictness suite: messages under permessage-deflate, RFC 7692, 6 and 7.2. */
#include "strict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "duet.h"

#define OFFER "permessage-deflate"
#define DEFAULTS { 15, 15, false, false }

/* --- messages to and fro --- */

struct talk {
	enum duet_kind kind;
	size_t size, cut;		/* of each message; of a fragment, 0 = none */
	unsigned count;
	bool text;
};

static void put_deflated(struct strict_peer *peer, const struct talk *talk, const struct duo_bytes *data,
    struct duo_bytes *wire)
{
	struct duo_bytes out = { NULL, 0, 0 };
	struct duo_piece piece = { .byte0 = 0x40u | (talk->text ? 1 : 2) };
	size_t part;

	strict_deflate(peer->codec, data, &out);
	for (size_t done = 0; done < out.size; done += part) {
		part = talk->cut > 0 && talk->cut < out.size - done ? talk->cut : out.size - done;
		piece.byte0 |= part == out.size - done ? 0x80u : 0;
		piece.payload = (const char *)out.data + done;
		piece.size = part;
		duo_put(wire, !peer->tls.server, &piece);
		piece.byte0 = 0;
	}
	duo_clear(&out);
}

static void say_goodbye(struct strict_peer *peer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8");
	struct duo_bytes wire = { NULL, 0, 0 }, unused = { NULL, 0, 0 };

	strict_put_step(&goodbye, !peer->tls.server, &wire, &unused);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	duo_clear(&wire);
}

/* Each message is back before the next one goes. */
static void send_and_wait(struct strict_peer *peer)
{
	const struct talk *talk = peer->argument;
	struct duo_bytes wire = { NULL, 0, 0 }, data = { malloc(talk->size), talk->size, talk->size };

	strict_handshake(peer, NULL);
	for (unsigned i = 0; i < talk->count; i++) {
		wire.size = peer->data.size = 0;
		duet_fill(talk->kind, 0, (uint64_t)i * talk->size, data.data, talk->size);
		put_deflated(peer, talk, &data, &wire);
		strict_send_in(peer, &wire, STRICT_WHOLE);
		while (peer->data.size < data.size)
			strict_insist(strict_take_frame(peer) && peer->code == 0, "the echo of message %u ends", i);
		strict_insist(peer->data.size == data.size && memcmp(peer->data.data, data.data, data.size) == 0,
		    "the echo of message %u is another", i);
	}
	say_goodbye(peer);
	strict_take_to_close(peer);
	strict_take_end(peer, true);
	duo_clear(&wire);
	duo_clear(&data);
}

static void run_talk(const char *section, int row, const char *what, struct talk *talk)
{
	static const struct strict_deflate defaults = DEFAULTS;
	struct ws_options options = strict_options();
	struct strict_peer peer = { .text = talk->text, .extensions = OFFER };
	struct strict_link link;
	FILE *stream;

	strict_case_begin(section, row, what, "RFC 7692, 7.2");
	options.compression = WS_COMPRESSION_ON;
	options.max_inflate_ratio = 0;
	options.on_text = WS_TEXT_BYTES;
	strict_listen(&link, &options);
	peer.codec = strict_codec_new(&defaults);
	strict_begin(&peer, &link, send_and_wait, talk);
	stream = strict_stream(&link, talk->text ? "r+t" : "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_echo(stream, talk->size);
	strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	strict_join(&peer);
	strict_insist(peer.code == 1000, "the library's Close has %u", peer.code);
	strict_clear(&peer);
	strict_unlisten(&link);
	strict_case_end();
}

static const size_t sizes[] = { 1, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072 };
static const struct {
	enum duet_kind kind;
	const char *name;
} kinds[] = { { DUET_NOISE, "noise" }, { DUET_TEXT, "text" }, { DUET_ZEROS, "zeros" }, { DUET_MIXED, "a mixture" } };

static unsigned messages(void)
{
	return strict.thorough ? 1000 : 10;
}

/* _i: size, then the kind */
START_TEST(deflated_messages_go_to_and_fro)
{
	struct talk talk = { kinds[_i % 4].kind, sizes[_i / 4], 0, messages(), false };
	char what[64];

	snprintf(what, sizeof what, "messages of %zu bytes of %s", talk.size, kinds[_i % 4].name);
	run_talk("12.1", _i, what, &talk);
}
END_TEST

static const size_t cuts[] = { 1, 7, 125, 126, 1024, 32768 };

/* _i: size of a fragment, then the kind */
START_TEST(deflated_fragments_go_to_and_fro)
{
	struct talk talk = { kinds[_i % 4].kind, 16384, cuts[_i / 4], 3, false };
	char what[96];

	snprintf(what, sizeof what, "messages of 16384 bytes of %s, in fragments of %zu", kinds[_i % 4].name, talk.cut);
	run_talk("12.2", _i, what, &talk);
}
END_TEST

static const size_t text_sizes[] = { 4096, 8192, 65536, 131072 };

START_TEST(deflated_texts_go_to_and_fro)
{
	struct talk talk = { DUET_TEXT, text_sizes[_i / 2], _i % 2 == 0 ? 0 : 100, messages(), true };
	char what[64];

	snprintf(what, sizeof what, "texts of %zu bytes%s", talk.size, _i % 2 == 0 ? "" : ", in fragments");
	run_talk("12.3", _i, what, &talk);
}
END_TEST

/* --- frames --- */

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define EXAMPLES "RFC 7692, 7.2.3"
#define BITS "RFC 7692, 6: RSV1 is of a message's first frame alone; RFC 6455, 5.2"
#define DEFLATE "RFC 7692, 7.2.2; RFC 1951, 3.2"
#define OVER(what, error_code, limit, ...) \
	{ what, "RFC 6455, 7.4.1: 1009; 10.4", error_code, EMSGSIZE, { __VA_ARGS__ }, .extensions = OFFER, \
	.deflate = DEFAULTS, .max_message_bytes = limit }
#define GOOD(what, source, ...) \
	{ what, source, 1000, 0, { __VA_ARGS__ }, .extensions = OFFER, .deflate = DEFAULTS }
#define GOOD_TEXT(what, source, ...) \
	{ what, source, 1000, 0, { __VA_ARGS__ }, .on_text = WS_TEXT_BYTES, .echo_text = true, .extensions = OFFER, \
	.deflate = DEFAULTS }
#define BROKEN(what, source, ...) \
	{ what, source, 1002, EPROTO, { __VA_ARGS__ }, .extensions = OFFER, .deflate = DEFAULTS }
#define NO_DEFLATE(what, ...) \
	{ what, DEFLATE, 1007, EPROTO, { __VA_ARGS__ }, .extensions = OFFER, .deflate = DEFAULTS }
#define NO_TEXT(what, ...) \
	{ what, "RFC 6455, 8.1", 1007, EILSEQ, { __VA_ARGS__ }, .on_text = WS_TEXT_BYTES, .extensions = OFFER, \
	.deflate = DEFAULTS }
#define NOTHING(byte0, bytes) DEFLATED(byte0, bytes, "")

static const struct strict_frames frames[] = {
	GOOD("one block", EXAMPLES ".1", DEFLATED(0xc2, HELLO, "Hello")),
	GOOD("one block in two fragments", EXAMPLES ".1", NOTHING(0x42, "\xf2\x48\xcd"), DEFLATED(0x80,
	    "\xc9\xc9\x07\x00",
	    "Hello")),
	GOOD("a block that uses the window before", EXAMPLES ".2", DEFLATED(0xc2, HELLO, "Hello"),
	    DEFLATED(0xc2, "\xf2\x00\x11\x00\x00", "Hello")),
	GOOD("a block without compression", EXAMPLES ".3", DEFLATED(0xc2,
	    "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
	    "Hello")),
	GOOD("a block with BFINAL", EXAMPLES ".4", DEFLATED(0xc2, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello")),
	GOOD("a block with BFINAL, and more messages", EXAMPLES ".4", DEFLATED(0xc2,
	    "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"), DEFLATED(0xc2, HELLO, "Hello"),
	    DEFLATED(0xc2, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"), P(0x82, "plain")),
	GOOD("two blocks", EXAMPLES ".5", DEFLATED(0xc2, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
	    "Hello")),
	GOOD("an empty message", EXAMPLES ".6", NOTHING(0xc2, "\x00"), DEFLATED(0xc2, HELLO, "Hello")),
	GOOD("an empty message of a fixed block", EXAMPLES ".6", NOTHING(0xc2, "\x02\x00"), DEFLATED(0xc2, HELLO,
	    "Hello")),
	GOOD("a message that is not deflated", "RFC 7692, 6", P(0x82, "plain")),
	GOOD("deflated and not, in turn", "RFC 7692, 6", DEFLATED(0xc2, HELLO, "Hello"), P(0x82, "plain"),
	    DEFLATED(0xc2, "\xf2\x00\x11\x00\x00", "Hello"), P(0x82, ""), NOTHING(0xc2, "\x00")),
	GOOD("empty fragments around it", "RFC 7692, 6", NOTHING(0x42, ""), NOTHING(0x00, ""), NOTHING(0x00,
	    "\xf2\x48\xcd"),
	    NOTHING(0x00, ""), DEFLATED(0x00, "\xc9\xc9\x07\x00", "Hello"), NOTHING(0x80, "")),
	GOOD("pings between its fragments", "RFC 7692, 6", NOTHING(0x42, "\xf2\x48\xcd"), AWAIT("one"),
	    NOTHING(0x00, "\xc9"), AWAIT("two"), DEFLATED(0x80, "\xc9\x07\x00", "Hello")),
	GOOD("a Close behind it", "RFC 6455, 5.5.1", DEFLATED(0xc2, HELLO, "Hello"), P(0x88, "\x03\xe8")),
	GOOD_TEXT("a text", EXAMPLES ".1", DEFLATED(0xc1, HELLO, "Hello")),
	GOOD_TEXT("a text beyond ASCII, of which a fragment is half a character", "RFC 6455, 5.6",
	    NOTHING(0x41, "\x00\x03\x00\xfc\xff\xe2"), DEFLATED(0x80, "\x82\xac\x00", "\xe2\x82\xac")),
	BROKEN("RSV1 on the last fragment too", BITS, DEFLATED(0x42, "\xf2\x48\xcd", "He"),
	    NOTHING(0xc0, "\xc9\xc9\x07\x00")),
	BROKEN("RSV1 on a middle fragment", BITS, NOTHING(0x42, ""), NOTHING(0x40, HELLO)),
	BROKEN("RSV1 on a fragment of what is not deflated", BITS, P(0x02, "a"), NOTHING(0xc0, HELLO)),
	BROKEN("RSV1 on a ping", BITS, P(0x82, "before"), LOST(0xc9, "x")),
	BROKEN("RSV1 on an empty ping", BITS, P(0x82, "before"), LOST(0xc9, "")),
	BROKEN("RSV1 on a pong", BITS, P(0x82, "before"), LOST(0xca, "x")),
	BROKEN("RSV1 on a Close", BITS, P(0x82, "before"), LOST(0xc8, "\x03\xe8")),
	BROKEN("RSV1 on a ping between fragments", BITS, NOTHING(0x42, ""), LOST(0xc9, "")),
	BROKEN("RSV2", BITS, P(0x82, "before"), LOST(0xa2, "x")),
	BROKEN("RSV3", BITS, P(0x82, "before"), LOST(0x92, "x")),
	BROKEN("RSV1 and RSV2", BITS, P(0x82, "before"), NOTHING(0xe2, HELLO)),
	BROKEN("RSV1 and RSV3", BITS, P(0x82, "before"), NOTHING(0xd2, HELLO)),
	BROKEN("all three", BITS, P(0x82, "before"), NOTHING(0xf2, HELLO)),
	BROKEN("RSV1 with a reserved opcode", BITS, P(0x82, "before"), LOST(0xc3, HELLO)),
	BROKEN("a deflated message inside another", "RFC 6455, 5.4", NOTHING(0x42, ""), NOTHING(0xc2, HELLO)),
	BROKEN("a Close inside a deflated message", "half a message is no clean end", NOTHING(0x42, ""),
	    P(0x88, "\x03\xe8")),
	NO_DEFLATE("a block of type 3", DEFLATED(0xc2, HELLO, "Hello"), NOTHING(0xc2, "\x06\x00")),
	NO_DEFLATE("a last block of type 3", NOTHING(0xc2, "\x07\x00")),
	NO_DEFLATE("a stored block whose lengths differ", NOTHING(0xc2, "\x00\x05\x00\x00\x00Hello\x00")),
	NO_DEFLATE("the same over two fragments", NOTHING(0x42, "\x00\x05\x00"), NOTHING(0x80, "\x00\x00Hello\x00")),
	NO_DEFLATE("a distance before the beginning", NOTHING(0xc2, "\x02\x02\x00")),
	NO_DEFLATE("codes that are none", NOTHING(0xc2, "\x04\xff\xff\xff\xff\xff\xff\xff")),
	NO_DEFLATE("a message that ends inside a block", DEFLATED(0xc2, "\x00\x08\x00\xf7\xffHe", "He\0\0\xff\xff")),
	NO_DEFLATE("a message that ends inside a code", DEFLATED(0xc2, "\x4a", "`")),
	NO_TEXT("a text that is not UTF-8", DEFLATED(0xc1, "\x00\x03\x00\xfc\xff" "a\xff" "b\x00", "a")),
	NO_TEXT("a text that ends inside a character", DEFLATED(0xc1, "\x00\x02\x00\xfd\xff" "a\xc3\x00", "a\xc3")),
	{ "a text where only bytes are wanted", "RFC 6455, 7.4.1: 1003", 1003, EBADMSG, { P(0x82, "a"),
	    NOTHING(0xc1, HELLO) }, .extensions = OFFER, .deflate = DEFAULTS },
	{ "just the limit", "RFC 6455, 10.4", 1000, 0, { DEFLATED(0xc2, HELLO, "Hello"), DEFLATED(0xc2, HELLO, "Hello"),
	    P(0x82, "Hello") }, .extensions = OFFER, .deflate = DEFAULTS, .max_message_bytes = 5 },
	OVER("one byte over the limit", 1009, 4, DEFLATED(0xc2, HELLO, "Hell")),
	OVER("one byte over the limit, in fragments", 1009, 4, NOTHING(0x42, "\xf2\x48\xcd"), DEFLATED(0x80,
	    "\xc9\xc9\x07\x00", "Hell")),
};

START_TEST(a_deflated_frame_is_good_or_refused)
{
	strict_run_frames("12.4", _i, &frames[_i]);
}
END_TEST

/* --- what is more than was agreed or allowed --- */

static const struct cheat {
	const char *text, *source;
	const char *extensions;		/* with CLIENT or SERVER for the peer's own */
	struct strict_deflate real;
	size_t size;			/* of each of two messages, which are alike */
	enum duet_kind kind;
	unsigned max_inflate_ratio;
	uint64_t max_message_bytes;
	unsigned code;
	int error;
	size_t least_bytes, most_bytes;	/* that the stream gives */
} cheats[] = {
	{ "a window that was to be forgotten", "RFC 7692, 7.1.1", "permessage-deflate; %s_no_context_takeover",
	    { 15, 15, false, false }, 1000, DUET_NOISE, 0, 0, 1007, EPROTO, 1000, 1010 },
	{ "what grows beyond its ratio", "RFC 7692, 8", "permessage-deflate", DEFAULTS, 1 << 20, DUET_ZEROS, 200, 0,
	    1009,
	    EMSGSIZE, 65536, 1 << 20 },
	{ "what grows beyond the limit", "RFC 7692, 8", "permessage-deflate", DEFAULTS, 1 << 20, DUET_ZEROS, 0, 100000,
	    1009, EMSGSIZE, 100000, 100000 },
	{ "what may grow as it likes", "RFC 7692, 8", "permessage-deflate", DEFAULTS, 1 << 20, DUET_ZEROS, 0, 0, 1000,
	    0,
	    2 << 20, 2 << 20 },
};

static void send_two(struct strict_peer *peer)
{
	const struct cheat *cheat = peer->argument;
	const struct talk talk = { cheat->kind, cheat->size, 0, 2, false };
	struct duo_bytes wire = { NULL, 0, 0 }, data = { malloc(cheat->size), cheat->size, cheat->size };

	strict_handshake(peer, NULL);
	duet_fill(cheat->kind, 0, 0, data.data, data.size);
	put_deflated(peer, &talk, &data, &wire);
	put_deflated(peer, &talk, &data, &wire);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	if (cheat->error == 0)
		say_goodbye(peer);
	strict_take_to_close(peer);
	strict_take_end(peer, cheat->error == 0);
	duo_clear(&wire);
	duo_clear(&data);
}

START_TEST(what_was_agreed_is_kept)
{
	const struct cheat *cheat = &cheats[_i];
	struct ws_options options = strict_options();
	struct duo_bytes got = { NULL, 0, 0 };
	struct strict_peer peer = { .text = false };
	struct strict_link link;
	char extensions[128];
	FILE *stream;
	int error;

	strict_case_begin("12.5", _i, cheat->text, cheat->source);
	options.compression = WS_COMPRESSION_ON;
	options.max_inflate_ratio = cheat->max_inflate_ratio;
	options.max_message_bytes = cheat->max_message_bytes;
	snprintf(extensions, sizeof extensions, cheat->extensions,
	    strict.role == LIBRARY_IS_CLIENT ? "server" : "client");
	peer.extensions = extensions;
	peer.codec = strict_codec_new(&cheat->real);
	strict_listen(&link, &options);
	strict_begin(&peer, &link, send_two, (void *)(uintptr_t)cheat);
	stream = strict_stream(&link, "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	error = duo_read(stream, &got);
	strict_insist(error == cheat->error, "the reader got %s", strerror(error));
	strict_insist(got.size >= cheat->least_bytes && got.size <= cheat->most_bytes, "read %zu bytes", got.size);
	strict_insist((fclose(stream) == 0) == (cheat->error == 0), "fclose: %s", strerror(errno));
	strict_join(&peer);
	strict_insist(peer.code == cheat->code, "the library's Close has %u", peer.code);
	duo_clear(&got);
	strict_clear(&peer);
	strict_unlisten(&link);
	strict_case_end();
}
END_TEST

void strict_add_deflate(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "12");

	tcase_add_loop_test(tcase, deflated_messages_go_to_and_fro, 0, 4 * STRICT_COUNT(sizes));
	tcase_add_loop_test(tcase, deflated_fragments_go_to_and_fro, 0, 4 * STRICT_COUNT(cuts));
	tcase_add_loop_test(tcase, deflated_texts_go_to_and_fro, 0, 2 * STRICT_COUNT(text_sizes));
	tcase_add_loop_test(tcase, a_deflated_frame_is_good_or_refused, 0, STRICT_COUNT(frames));
	tcase_add_loop_test(tcase, what_was_agreed_is_kept, 0, STRICT_COUNT(cheats));
}
