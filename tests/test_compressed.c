/* SPDX-License-Identifier: 0BSD */
/* permessage-deflate with the library at both ends: every kind of agreement, and that a stream stays a stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "duet.h"
#include "peer.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define URL "ws://127.0.0.1:0/"

static struct ws_options deflating(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.compression = WS_COMPRESSION_ON;
	options.proxy = "";
	return options;
}

static void expect_agreed(FILE *stream, bool compressed)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_int_eq(status.compressed, compressed);
	if (compressed)
		ck_assert_msg(strncmp(status.extensions, "permessage-deflate", 18) == 0, "%s", status.extensions);
	else
		ck_assert_str_eq(status.extensions, "");
}

/* --- what is agreed --- */

/* Only where both want it: _i is who does. */
START_TEST(both_have_to_want_it)
{
	struct ws_options listener = deflating(), client = deflating();
	struct duet duet;

	peer_count_begin();
	if ((_i & 1) == 0)
		client.compression = WS_COMPRESSION_OFF;
	if ((_i & 2) == 0)
		listener.compression = WS_COMPRESSION_OFF;
	duet_open(&duet, URL, &listener, &client, "r+");
	expect_agreed(duet.client, _i == 3);
	expect_agreed(duet.server, _i == 3);
	ck_assert_int_eq(ws_header(duet.client, "Sec-WebSocket-Extensions") != NULL, _i == 3);
	ck_assert_int_eq(ws_header(duet.server, "Sec-WebSocket-Extensions") != NULL, (_i & 1) != 0);
	duet_greet(&duet);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

static const int bits[] = { 9, 12, 15 };

/* _i: each end's own window, small or not, and the four flags in turn; text or binary. */
START_TEST(every_agreement_carries_every_byte)
{
	struct ws_options listener = deflating(), client = deflating();
	bool text = _i % 2 == 1;
	int flags = _i / 2 % 16, windows = _i / 32;
	struct duet duet;

	peer_count_begin();
	client.send_window_bits = bits[windows % 3];
	client.recv_window_bits = bits[windows / 3];
	listener.recv_window_bits = windows % 2 == 0 ? 15 : 10;
	listener.send_window_bits = windows % 2 == 0 ? 11 : 15;
	client.send_no_context_takeover = (flags & 1) != 0;
	client.recv_no_context_takeover = (flags & 2) != 0;
	listener.send_no_context_takeover = (flags & 4) != 0;
	listener.recv_no_context_takeover = (flags & 8) != 0;
	client.on_text = listener.on_text = text ? WS_TEXT_BYTES : WS_TEXT_REJECT;
	duet_open(&duet, URL, &listener, &client, text ? "r+t" : "r+");
	expect_agreed(duet.client, true);
	expect_agreed(duet.server, true);
	duet_carry(&duet, 0, text ? DUET_TEXT : DUET_MIXED, 300000, 70000);
	duet_carry(&duet, 1, text ? DUET_TEXT : DUET_MIXED, 300000, 70000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(every_level_compresses)
{
	struct ws_options listener = deflating(), client = deflating();
	struct duet duet;

	peer_count_begin();
	client.compression_level = listener.compression_level = _i;
	duet_open(&duet, URL, &listener, &client, "r+");
	duet_carry(&duet, 0, DUET_TEXT, 200000, 50000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

static const struct bad {
	int level, send_bits, recv_bits;
	const char *words;
} bad[] = {
	{ 0, 15, 15, "compression_level" },
	{ 10, 15, 15, "compression_level" },
	{ 6, 8, 15, "send_window_bits" },
	{ 6, 16, 15, "send_window_bits" },
	{ 6, 15, 8, "recv_window_bits" },
	{ 6, 15, 16, "recv_window_bits" },
};

START_TEST(values_out_of_range_are_einval)
{
	struct ws_options options = deflating();

	options.compression_level = bad[_i].level;
	options.send_window_bits = bad[_i].send_bits;
	options.recv_window_bits = bad[_i].recv_bits;
	errno = 0;
	ck_assert_ptr_null(ws_fopen_with("ws://127.0.0.1:1/", "r", &options));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_msg(strstr(ws_last_error()->text, bad[_i].words) != NULL, "%s", ws_last_error()->text);
	errno = 0;
	ck_assert_ptr_null(ws_listen(URL, &options));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* --- much --- */

static const struct bulk {
	enum duet_kind kind;
	uint64_t bytes;
	size_t most, recv_bytes, send_bytes, frame_bytes;
} bulks[] = {
	{ DUET_TEXT, 16 << 20, 200000, 1048576, 262144, 65536 },
	{ DUET_NOISE, 16 << 20, 200000, 1048576, 262144, 65536 },
	{ DUET_ZEROS, 16 << 20, 1000000, 1048576, 262144, 65536 },
	{ DUET_MIXED, 4 << 20, 50000, 4096, 4096, 65536 },
	{ DUET_ZEROS, 4 << 20, 50000, 4096, 4096, 2048 },
	{ DUET_MIXED, 1 << 20, 3000, 65536, 65536, 100 },
};

START_TEST(much_goes_both_ways_at_once)
{
	const struct bulk *bulk = &bulks[_i];
	struct ws_options options = deflating();
	struct duet duet;

	peer_count_begin();
	options.recv_buffer_bytes = bulk->recv_bytes;
	options.send_buffer_bytes = bulk->send_bytes;
	options.max_frame_bytes = bulk->frame_bytes;
	options.compression_level = 1;
	/* A frame's worth of zeros grows by more. */
	options.max_inflate_ratio = 0;
	duet_open_pairs(&duet, URL, &options, &options);
	duet_exchange(&duet, bulk->kind, bulk->bytes, bulk->most);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* Half a megabyte into a ring of 4096 bytes, and out of it a byte at a time. */
START_TEST(a_slow_reader_with_a_small_ring_gets_everything)
{
	struct ws_options listener = deflating(), client = deflating();
	uint8_t *right = malloc(1 << 19);
	struct duet duet;

	peer_count_begin();
	ck_assert_ptr_nonnull(right);
	client.recv_buffer_bytes = 4096;
	client.stdio_buffer_bytes = 0;
	duet_open(&duet, URL, &listener, &client, "r+");
	duet_fill(DUET_TEXT, 1, 0, right, 1 << 19);
	ck_assert_uint_eq(fwrite(right, 1, 1 << 19, duet.server), 1 << 19);
	ck_assert_int_eq(ws_shutdown(duet.server, 1000, NULL), 0);
	for (int i = 0; i < 1 << 19; i++) {
		int byte = fgetc(duet.client);

		if (byte != right[i])
			ck_abort_msg("byte %d is %d: %s", i, byte, strerror(errno));
	}
	ck_assert_int_eq(fgetc(duet.client), EOF);
	ck_assert(feof(duet.client) && !ferror(duet.client));
	free(right);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* --- a stream like any other --- */

START_TEST(both_sides_half_close)
{
	struct ws_options options = deflating();
	char line[64];
	struct duet duet;
	int lines = 0;

	peer_count_begin();
	duet_open(&duet, URL, &options, &options, "r+");
	for (int i = 0; i < 3000; i++)
		fprintf(duet.client, "question %d\n", i);
	ck_assert_int_eq(ws_shutdown(duet.client, 1000, NULL), 0);
	while (fgets(line, sizeof line, duet.server) != NULL)
		lines++;
	ck_assert_int_eq(lines, 3000);
	ck_assert(feof(duet.server) && !ferror(duet.server));
	for (int i = 0; i < 3000; i++)
		fprintf(duet.server, "answer %d\n", i);
	ck_assert_int_eq(ws_shutdown(duet.server, 1000, NULL), 0);
	while (fgets(line, sizeof line, duet.client) != NULL)
		lines++;
	ck_assert_int_eq(lines, 6000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(unread_input_survives_a_write)
{
	struct ws_options options = deflating();
	struct duet duet;

	peer_count_begin();
	duet_open(&duet, URL, &options, &options, "r+");
	duet_alternate(&duet, 2000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* A byte for each message: each must be out when fflush returns, not held back by the compressor. */
START_TEST(each_flush_delivers)
{
	struct ws_options options = deflating();
	struct duet duet;

	peer_count_begin();
	options.send_no_context_takeover = _i == 1;
	duet_open(&duet, URL, &options, &options, "r+");
	duet_pass_bytes(&duet);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compressed");
	TCase *tcase = wire_case(suite, "compressed");

	tcase_add_loop_test(tcase, both_have_to_want_it, 0, 4);
	tcase_add_loop_test(tcase, every_agreement_carries_every_byte, 0, 9 * 16 * 2);
	tcase_add_loop_test(tcase, every_level_compresses, 1, 10);
	tcase_add_loop_test(tcase, values_out_of_range_are_einval, 0, COUNT(bad));
	tcase_add_loop_test(tcase, much_goes_both_ways_at_once, 0, COUNT(bulks));
	tcase_add_test(tcase, a_slow_reader_with_a_small_ring_gets_everything);
	tcase_add_test(tcase, both_sides_half_close);
	tcase_add_test(tcase, unread_input_survives_a_write);
	tcase_add_loop_test(tcase, each_flush_delivers, 0, 2);
	return wire_run(suite);
}
