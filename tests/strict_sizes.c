/* SPDX-License-Identifier: 0BSD */
/* Section 9 of the strictness suite: long messages, many fragments, small pieces, many messages, limits. */
#include "strict.h"

#include <errno.h>
#include <string.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define ANY_LENGTH "RFC 6455, 5.2: a length of up to 63 bits"
#define ANY_CUT "RFC 6455, 5.4: fragments of any length"

/* --- 9.1 and 9.2: long messages; 9.3 and 9.4: in fragments; 9.5 and 9.6: in small pieces --- */

static const size_t long_sizes[] = { 64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB };
static const size_t cuts[] = { 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB };
static const size_t chops[] = { 64, 128, 256, 512, 1024, 1460, 2048, 16384 };

/* A message as text or not; what is text comes back as text. */
static void run_message(const char *section, int row, const char *what, const char *source, size_t size, size_t cut,
    size_t chop, bool text)
{
	struct strict_frames one = FINE(what, source, FILL(0x82, size));

	one.steps[0].cut_bytes = cut;
	one.chop_bytes = chop;
	if (text) {
		one.steps[0].piece.byte0 = 0x81;
		one.on_text = WS_TEXT_BYTES;
		one.echo_text = true;
	}
	strict_run_frames(section, row, &one);
}

/* _i: size, then whether it is text */
START_TEST(a_long_message_comes_whole)
{
	char what[64];

	snprintf(what, sizeof what, "a %s of %zu bytes", _i % 2 == 0 ? "binary" : "text", long_sizes[_i / 2]);
	run_message(_i % 2 == 0 ? "9.1" : "9.2", _i / 2, what, ANY_LENGTH, long_sizes[_i / 2], 0, 0, _i % 2 != 0);
}
END_TEST

START_TEST(a_message_in_many_fragments_comes_whole)
{
	char what[64];

	snprintf(what, sizeof what, "a %s of 4 MiB in fragments of %zu bytes", _i % 2 == 0 ? "binary" : "text",
	    cuts[_i / 2]);
	run_message(_i % 2 == 0 ? "9.3" : "9.4", _i / 2, what, ANY_CUT, 4 * MIB, cuts[_i / 2], 0, _i % 2 != 0);
}
END_TEST

START_TEST(a_message_in_small_pieces_comes_whole)
{
	char what[64];

	snprintf(what, sizeof what, "a %s of 256 KiB, sent in pieces of %zu bytes", _i % 2 == 0 ? "binary" : "text",
	    chops[_i / 2]);
	run_message(_i % 2 == 0 ? "9.5" : "9.6", _i / 2, what, "TCP has no boundaries", 256 * KIB, 0, chops[_i / 2],
	    _i % 2 != 0);
}
END_TEST

/* --- 9.7 and 9.8: messages that go to and fro --- */

static const size_t round_sizes[] = { 1, 16, 64, 125, 126, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB };

struct rounds {
	size_t size;
	unsigned count;
	bool text;
};

/* Each message is back before the next one goes. */
static void send_and_wait(struct strict_peer *peer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8");
	const struct rounds *rounds = peer->argument;
	const struct strict_step step = { .piece = DUO_PIECE(rounds->text ? 0x81u : 0x82u, ""),
		.fill_bytes = rounds->size };
	struct duo_bytes wire = { NULL, 0, 0 }, data = { NULL, 0, 0 };

	strict_handshake(peer, NULL);
	for (unsigned i = 0; i < rounds->count; i++) {
		wire.size = data.size = peer->data.size = 0;
		strict_put_step(&step, !peer->tls.server, &wire, &data);
		strict_send_in(peer, &wire, STRICT_WHOLE);
		while (peer->data.size < data.size)
			strict_insist(strict_take_frame(peer) && peer->code == 0, "the echo of message %u ends", i);
		strict_insist(peer->data.size == data.size && memcmp(peer->data.data, data.data, data.size) == 0,
		    "the echo of message %u is another", i);
	}
	wire.size = 0;
	strict_put_step(&goodbye, !peer->tls.server, &wire, &data);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	strict_take_to_close(peer);
	strict_take_end(peer, true);
	duo_clear(&wire);
	duo_clear(&data);
}

/* _i: size, then whether it is text */
START_TEST(messages_go_to_and_fro)
{
	struct rounds rounds = { round_sizes[_i / 2], strict.thorough ? 1000 : 100, _i % 2 != 0 };
	struct ws_options options = strict_options();
	struct strict_peer peer = { .text = rounds.text };
	struct strict_link link;
	FILE *stream;
	char what[64];

	snprintf(what, sizeof what, "%u %s of %zu bytes, one by one", rounds.count, rounds.text ? "texts" : "binaries",
	    rounds.size);
	strict_case_begin(rounds.text ? "9.8" : "9.7", _i / 2, what, ANY_LENGTH);
	options.on_text = WS_TEXT_BYTES;
	strict_listen(&link, &options);
	strict_begin(&peer, &link, send_and_wait, &rounds);
	stream = strict_stream(&link, rounds.text ? "r+t" : "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_echo(stream, rounds.size);
	strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	strict_join(&peer);
	strict_insist(peer.code == 1000, "the library's Close has %u", peer.code);
	strict_clear(&peer);
	strict_unlisten(&link);
	strict_case_end();
}
END_TEST

/* --- 9.9: limits --- */

#define WITHIN(text, ...) { text, "RFC 6455, 10.4", 1000, 0, { __VA_ARGS__ }, .max_message_bytes = 1000 }
#define OVER(text, ...) { text, "RFC 6455, 7.4.1: 1009; 10.4", 1009, EMSGSIZE, { __VA_ARGS__ }, \
	.max_message_bytes = 1000 }
#define OVER_AT_ONCE(text, ...) { text, "RFC 6455, 7.4.1: 1009; 10.4", 1009, EMSGSIZE, { __VA_ARGS__ }, \
	.max_message_bytes = 1000, .silent = true }
#define LOST_FILL(byte0, bytes) { .piece = DUO_PIECE(byte0, ""), .fill_bytes = bytes, .lost = true }

static const struct strict_frames limits[] = {
	WITHIN("just the limit", FILL(0x82, 1000)),
	WITHIN("the limit, again and again", FILL_TIMES(20, 0x82, 1000)),
	WITHIN("the limit in fragments", FILL_CUT(0x82, 1000, 100)),
	WITHIN("the limit in fragments, again and again", FILL_CUT(0x82, 1000, 100), FILL_CUT(0x82, 1000, 999)),
	WITHIN("the limit and empty fragments", FILL(0x02, 1000), P(0x00, ""), P(0x80, "")),
	WITHIN("the limit around pings", FILL(0x02, 999), AWAIT(DUO_TEXT_125), P(0x80, "x")),
	OVER("one byte more", P(0x82, "before"), LOST_FILL(0x82, 1001)),
	OVER("one byte more, in the last fragment", FILL(0x02, 1000), LOST(0x80, "x")),
	OVER("one byte more, in a fragment with FIN 0", FILL(0x02, 1000), LOST(0x00, "x")),
	OVER("one byte more, in many fragments", FILL_CUT(0x02, 999, 100), LOST(0x80, "xy")),
	OVER_AT_ONCE("a header alone", P(0x82, "before"), DECLARED(0x82, "", DUO_16, 1001)),
	OVER_AT_ONCE("2^40", P(0x82, "before"), DECLARED(0x82, "", DUO_64, UINT64_C(1) << 40)),
	OVER_AT_ONCE("2^63 - 1", P(0x82, "before"), DECLARED(0x82, "", DUO_64, INT64_MAX)),
	OVER_AT_ONCE("2^63 - 1 behind a fragment", P(0x02, "before"), DECLARED(0x80, "", DUO_64, INT64_MAX)),
};

START_TEST(a_limit_is_kept)
{
	strict_run_frames("9.9", _i, &limits[_i]);
}
END_TEST

/* --- 9.10: many --- */

static const struct strict_frames many[] = {
	FINE("20000 messages of one byte", ANY_LENGTH, TIMES(20000, 0x82, "x")),
	FINE("20000 empty messages", ANY_LENGTH, TIMES(20000, 0x82, ""), P(0x82, "x")),
	FINE("20000 fragments of one byte", ANY_CUT, P(0x02, "x"), TIMES(20000, 0x00, "x"), P(0x80, "x")),
	FINE("20000 empty fragments", ANY_CUT, P(0x02, "x"), TIMES(20000, 0x00, ""), P(0x80, "x")),
	FINE("20000 pings", "RFC 6455, 5.5.2 and 5.5.3", TIMES(20000, 0x89, "x"), AWAIT("last")),
	FINE("20000 pongs", "RFC 6455, 5.5.3", TIMES(20000, 0x8a, "x"), P(0x82, "x")),
	FINE("2000 messages of 4 KiB", ANY_LENGTH, FILL_TIMES(2000, 0x82, 4096)),
	FINE("2000 fragments of 30 bytes and a ping", ANY_CUT, FILL_CUT(0x02, 60000, 30), P(0x89, "x"), P(0x80, "y")),
};

START_TEST(many_are_as_good_as_one)
{
	strict_run_frames("9.10", _i, &many[_i]);
}
END_TEST

void strict_add_sizes(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "9");

	tcase_add_loop_test(tcase, a_long_message_comes_whole, 0, 2 * STRICT_COUNT(long_sizes));
	tcase_add_loop_test(tcase, a_message_in_many_fragments_comes_whole, 0, 2 * STRICT_COUNT(cuts));
	tcase_add_loop_test(tcase, a_message_in_small_pieces_comes_whole, 0, 2 * STRICT_COUNT(chops));
	tcase_add_loop_test(tcase, messages_go_to_and_fro, 0, 2 * STRICT_COUNT(round_sizes));
	tcase_add_loop_test(tcase, a_limit_is_kept, 0, STRICT_COUNT(limits));
	tcase_add_loop_test(tcase, many_are_as_good_as_one, 0, STRICT_COUNT(many));
}
