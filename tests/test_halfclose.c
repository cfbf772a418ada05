/* SPDX-License-Identifier: 0BSD */
/* One direction closed and the other going on: ws_shutdown(3), and the halves of a pair. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

/* --- ws_shutdown --- */

START_TEST(shutdown_sends_data_and_close_and_reading_goes_on)
{
	struct ws_status status = WS_STATUS_INIT;
	struct peer_frame frame;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fputs("question\n", wire.stream);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, "that was all"), 0);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_BINARY);
	ck_assert_str_eq((char *)frame.payload, "question\n");
	peer_frame_clear(&frame);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(peer_close_code(&frame), 1000);
	ck_assert_str_eq((char *)frame.payload + 2, "that was all");
	peer_frame_clear(&frame);

	wire_say(&wire, "first\n");
	wire_expect_line(wire.stream, "first\n");
	wire_expect_unwritable(wire.stream, EPIPE);
	errno = 0;
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), -1);
	ck_assert_int_eq(errno, EPIPE);
	clearerr(wire.stream);
	wire_say(&wire, "second\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "second\n");
	wire_expect_end(wire.stream, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_str_eq(status.close_reason_sent, "that was all");
	ck_assert_uint_eq(status.close_code_sent, 1000);
	ck_assert_uint_eq(status.bytes_sent, 9);
	wire_end_tcp(&wire);
	/* A write had failed, and fclose repeats it. */
	wire_fclose(&wire, EPIPE);
	wire_end(&wire);
}
END_TEST

/* _i: role, then whether the program reads to the end before fclose */
START_TEST(fclose_after_shutdown_is_a_receipt)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i / 2), "r+", NULL, 0);
	fputs("question\n", wire.stream);
	ck_assert_int_eq(ws_shutdown(wire.stream, 4001, NULL), 0);
	wire_say(&wire, "answer\n");
	wire_finish(&wire, 1000);
	if (_i % 2 == 1) {
		wire_expect_line(wire.stream, "answer\n");
		wire_expect_end(wire.stream, 0);
	}
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 4001);
	ck_assert_str_eq((char *)wire.data, "question\n");
	wire_end(&wire);
}
END_TEST

START_TEST(shutdown_takes_every_code_that_may_be_sent)
{
	static const unsigned codes[] = { 1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999 };
	char reason[124];
	struct wire wire;

	memset(reason, 'r', sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	wire_open(&wire, (enum wire_role)(_i / 12), "r+", NULL, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, codes[_i % 12], reason), 0);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, codes[_i % 12]);
	wire_end(&wire);
}
END_TEST

START_TEST(shutdown_refuses_bad_codes_and_reasons_and_changes_nothing)
{
	static const unsigned codes[] = { 0, 999, 1002, 1004, 1005, 1006, 1012, 1015, 2999, 5000, 65536 + 1000 };
	char reason[125];
	struct wire wire;

	memset(reason, 'r', sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fputs("hello", wire.stream);
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		errno = 0;
		ck_assert_msg(ws_shutdown(wire.stream, codes[i], NULL) == -1 && errno == EINVAL, "%u", codes[i]);
	}
	errno = 0;
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, reason), -1);
	ck_assert_int_eq(errno, EINVAL);
	errno = 0;
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, "\xc3"), -1);
	ck_assert_int_eq(errno, EINVAL);
	fputs(", world", wire.stream);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello, world");
	wire_end(&wire);
}
END_TEST

START_TEST(shutdown_of_a_stream_that_reads_closes_at_once)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1000);
	wire_say(&wire, "late\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "late\n");
	wire_expect_end(wire.stream, 0);
	wire_end_tcp(&wire);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

START_TEST(shutdown_after_the_end_is_epipe)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_expect_end(wire.stream, ECONNRESET);
	errno = 0;
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), -1);
	ck_assert_int_eq(errno, EPIPE);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/* The library at both ends: the server answers only when it has the whole question. */
static void *reverse_lines(void *argument)
{
	struct ws_listener *listener = argument;
	FILE *stream = ws_accept(listener, "r+");
	static char lines[1000][16];
	int count = 0;

	ck_assert_ptr_nonnull(stream);
	while (count < 1000 && fgets(lines[count], sizeof lines[count], stream) != NULL)
		count++;
	ck_assert_int_eq(count, 1000);
	wire_expect_end(stream, 0);
	while (count > 0)
		fputs(lines[--count], stream);
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

START_TEST(half_close_works_between_two_ends_of_the_library)
{
	struct ws_listener *listener;
	pthread_t thread;
	char line[32];
	FILE *stream;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	peer_thread(&thread, reverse_lines, listener);
	stream = ws_fopen(ws_listener_url(listener), "r+");
	ck_assert_ptr_nonnull(stream);
	for (int i = 0; i < 1000; i++)
		fprintf(stream, "line %d\n", i);
	ck_assert_int_eq(ws_shutdown(stream, 1000, NULL), 0);
	for (int i = 999; i >= 0; i--) {
		snprintf(line, sizeof line, "line %d\n", i);
		wire_expect_line(stream, line);
	}
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- pairs --- */

START_TEST(closing_the_write_half_is_a_half_close)
{
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	fputs("question\n", wire.half[1]);
	wire_fclose_half(&wire, 1, 0);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, &wire.data, &wire.size), 1000);
	ck_assert_str_eq((char *)wire.data, "question\n");
	wire_say(&wire, "answer\n");
	wire_expect_line(wire.half[0], "answer\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.half[0], 0);
	wire_end_tcp(&wire);
	wire_fclose_half(&wire, 0, 0);
	wire_end(&wire);
}
END_TEST

START_TEST(closing_the_read_half_discards_and_writing_goes_on)
{
	static const uint8_t zeros[65536];
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	wire_say(&wire, "one\ntwo\n");
	wire_expect_line(wire.half[0], "one\n");
	wire_fclose_half(&wire, 0, 0);
	for (int i = 0; i < 160; i++)
		wire_frame(&wire, PEER_BINARY, zeros, sizeof zeros);
	fputs("still here", wire.half[1]);
	wire_finish(&wire, 1000);
	wire_fclose_half(&wire, 1, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "still here");
	wire_end(&wire);
}
END_TEST

/* _i: role, then which half is closed first */
START_TEST(the_half_closed_last_gives_the_verdict_of_a_reset)
{
	int first = _i % 2;
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)(_i / 2), NULL, 0);
	fputs("hello", wire.half[1]);
	wire_fclose_half(&wire, first, 0);
	if (first == 0)
		ck_assert_int_eq(fflush(wire.half[1]), 0);
	else
		ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1000);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_fclose_half(&wire, 1 - first, ECONNRESET);
	wire_end(&wire);
}
END_TEST

START_TEST(the_half_closed_last_gives_the_verdict_of_a_code)
{
	int first = _i % 2;
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)(_i / 2), NULL, 0);
	wire_goodbye(&wire, 1011, "");
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_expect_end(wire.half[0], ECONNABORTED);
	wire_fclose_half(&wire, first, 0);
	wire_fclose_half(&wire, 1 - first, ECONNABORTED);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1011);
	wire_end(&wire);
}
END_TEST

/* RFC 6455, section 5.5.1: who answers a Close typically echoes its code. That is no word about the peer. */
START_TEST(own_code_coming_back_is_a_clean_end)
{
	static const unsigned codes[] = { 1000, 1001, 1011, 3000, 4000, 4999 };
	struct ws_status status = WS_STATUS_INIT;
	unsigned code = codes[_i / 2];
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, code, "bye"), 0);
	wire_finish(&wire, (int)code);
	wire_expect_end(wire.stream, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert(status.clean);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, code);
	wire_end(&wire);
}
END_TEST

START_TEST(shutdown_takes_either_half)
{
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)(_i / 2), NULL, 0);
	fputs("hello", wire.half[1]);
	ck_assert_int_eq(fflush(wire.half[1]), 0);
	ck_assert_int_eq(ws_shutdown(wire.half[_i % 2], 1001, "bye"), 0);
	wire_finish(&wire, 1000);
	wire_expect_end(wire.half[0], 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ws_status(wire.half[i], &status), 0);
		ck_assert_uint_eq(status.close_code_sent, 1001);
	}
	wire_fclose_half(&wire, 1, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1001);
	ck_assert_str_eq((char *)wire.data, "hello");
	wire_end(&wire);
}
END_TEST

#define PAIR_BYTES ((uint64_t)16 << 20)

static void *write_all(void *argument)
{
	FILE *stream = argument;
	uint8_t block[50000];

	for (uint64_t done = 0; done < PAIR_BYTES;) {
		size_t size = PAIR_BYTES - done < sizeof block ? (size_t)(PAIR_BYTES - done) : sizeof block;

		wire_pattern(done, block, size);
		if (fwrite(block, 1, size, stream) != size)
			ck_abort_msg("fwrite after %llu: %s", (unsigned long long)done, strerror(errno));
		done += size;
	}
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

static void read_all(FILE *stream)
{
	uint8_t block[40000];
	uint64_t done = 0;
	size_t size;

	while ((size = fread(block, 1, sizeof block, stream)) > 0) {
		if (!wire_pattern_matches(done, block, size))
			ck_abort_msg("wrong bytes behind %llu", (unsigned long long)done);
		done += size;
	}
	ck_assert_uint_eq(done, PAIR_BYTES);
	wire_expect_end(stream, 0);
}

static void *serve_pair(void *argument)
{
	FILE *half[2];
	pthread_t writer;

	ck_assert_int_eq(ws_accept_pair(argument, half), 0);
	peer_thread(&writer, write_all, half[1]);
	read_all(half[0]);
	peer_join(writer);
	ck_assert_int_eq(fclose(half[0]), 0);
	return NULL;
}

START_TEST(pairs_move_both_ways_at_once)
{
	struct ws_listener *listener;
	pthread_t server, writer;
	FILE *half[2];

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	peer_thread(&server, serve_pair, listener);
	ck_assert_int_eq(ws_fopen_pair(ws_listener_url(listener), NULL, half), 0);
	peer_thread(&writer, write_all, half[1]);
	read_all(half[0]);
	peer_join(writer);
	ck_assert_int_eq(fclose(half[0]), 0);
	peer_join(server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("halfclose");
	TCase *shutdown = wire_case(suite, "shutdown"), *pair = wire_case(suite, "pair");

	tcase_add_loop_test(shutdown, shutdown_sends_data_and_close_and_reading_goes_on, 0, WIRE_ROLES);
	tcase_add_loop_test(shutdown, fclose_after_shutdown_is_a_receipt, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(shutdown, shutdown_takes_every_code_that_may_be_sent, 0, WIRE_ROLES * 12);
	tcase_add_loop_test(shutdown, own_code_coming_back_is_a_clean_end, 0, WIRE_ROLES * 6);
	tcase_add_loop_test(shutdown, shutdown_refuses_bad_codes_and_reasons_and_changes_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(shutdown, shutdown_of_a_stream_that_reads_closes_at_once, 0, WIRE_ROLES);
	tcase_add_loop_test(shutdown, shutdown_after_the_end_is_epipe, 0, WIRE_ROLES);
	tcase_add_test(shutdown, half_close_works_between_two_ends_of_the_library);

	tcase_add_loop_test(pair, closing_the_write_half_is_a_half_close, 0, WIRE_ROLES);
	tcase_add_loop_test(pair, closing_the_read_half_discards_and_writing_goes_on, 0, WIRE_ROLES);
	tcase_add_loop_test(pair, the_half_closed_last_gives_the_verdict_of_a_reset, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(pair, the_half_closed_last_gives_the_verdict_of_a_code, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(pair, shutdown_takes_either_half, 0, WIRE_ROLES * 2);
	tcase_add_test(pair, pairs_move_both_ways_at_once);
	return wire_run(suite);
}
