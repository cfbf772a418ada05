/* SPDX-License-Identifier: 0BSD */
/*
 * The cases that the Rust crate ws_stream_tungstenite tests on its byte streams, here as stdio does them. Where the
 * crate tells of an error beside the stream, the reader gets it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
	ck_assert_uint_eq(wire->close_code, 1000);
}

/* --- both ends ours --- */

static void *send_two_lines(void *argument)
{
	FILE *stream = ws_accept(argument, "r+");

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_gt(fputs("A line\n", stream), 0);
	ck_assert_int_gt(fputs("A second line\n", stream), 0);
	ck_assert_int_eq(ws_shutdown(stream, 1000, NULL), 0);
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

START_TEST(two_lines_then_close_and_both_sides_see_eof)
{
	struct ws_listener *listener;
	pthread_t thread;
	FILE *stream;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	peer_thread(&thread, send_two_lines, listener);
	stream = ws_fopen(ws_listener_url(listener), "r+");
	ck_assert_ptr_nonnull(stream);
	wire_expect_line(stream, "A line\n");
	wire_expect_line(stream, "A second line\n");
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- lines --- */

struct reader {
	FILE *stream;
	atomic_bool done;
	char line[64];
};

static void *read_line(void *argument)
{
	struct reader *reader = argument;

	ck_assert_ptr_nonnull(fgets(reader->line, sizeof reader->line, reader->stream));
	atomic_store(&reader->done, true);
	return NULL;
}

START_TEST(half_a_line_waits_and_then_completes)
{
	struct reader reader = { .done = false };
	pthread_t thread;
	struct wire wire;

	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	reader.stream = wire.half[0];
	peer_thread(&thread, read_line, &reader);
	wire_say(&wire, "A li");
	/* It was received, as the other half can tell, and is no line. */
	wire_wait_received(wire.half[1], 4);
	ck_assert(!atomic_load(&reader.done));
	wire_say(&wire, "ne\n");
	peer_join(thread);
	ck_assert_str_eq(reader.line, "A line\n");
	wire_finish(&wire, 1000);
	wire_fclose_half(&wire, 1, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* --- pings --- */

START_TEST(ping_is_answered_and_never_in_the_data)
{
	struct peer_frame frame;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_frame(&wire, 0x02, "A li", 4);
	wire_frame(&wire, PEER_PING, "in the middle", 13);
	wire_frame(&wire, 0x80, "ne\n", 3);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	ck_assert(frame.masked != wire.peer_masks);
	ck_assert_str_eq((char *)frame.payload, "in the middle");
	peer_frame_clear(&frame);
	wire_frame(&wire, PEER_PING, "", 0);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	ck_assert_uint_eq(frame.size, 0);
	peer_frame_clear(&frame);
	wire_frame(&wire, PEER_PONG, "nobody asked", 12);
	wire_expect_line(wire.stream, "A line\n");
	end_well(&wire);
	ck_assert_ptr_null(wire.data);
	wire_end(&wire);
}
END_TEST

START_TEST(largest_ping_is_answered)
{
	uint8_t payload[125];
	struct peer_frame frame;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	wire_pattern(0, payload, sizeof payload);
	wire_frame(&wire, PEER_PING, payload, sizeof payload);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	ck_assert_uint_eq(frame.size, sizeof payload);
	ck_assert_mem_eq(frame.payload, payload, sizeof payload);
	peer_frame_clear(&frame);
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

static void expect_fault(struct wire *wire, unsigned code, int error)
{
	wire_expect_line(wire->stream, "before\n");
	wire_expect_end(wire->stream, error);
	ck_assert_uint_eq(peer_read_until_close(wire->peer, NULL, NULL), code);
	peer_fin(wire->peer);
	wire_fclose(wire, error);
	wire_end(wire);
}

START_TEST(ping_of_126_bytes_is_a_protocol_error)
{
	static const uint8_t payload[126];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "before\n");
	wire_frame(&wire, PEER_PING, payload, sizeof payload);
	expect_fault(&wire, 1002, EPROTO);
}
END_TEST

START_TEST(text_message_is_refused)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "before\n");
	wire_frame(&wire, PEER_TEXT, "after\n", 6);
	expect_fault(&wire, 1003, EBADMSG);
}
END_TEST

/* --- buffers --- */

static void *say_two_long_messages(void *argument)
{
	static uint8_t data[200000];
	struct wire *wire = argument;

	wire_pattern(0, data, sizeof data);
	wire_frame(wire, PEER_BINARY, data, 100000);
	wire_frame(wire, PEER_BINARY, data + 100000, 100000);
	wire_goodbye(wire, 1000, "");
	return NULL;
}

START_TEST(two_messages_larger_than_the_buffer_wait_and_are_no_error)
{
	static uint8_t back[200001];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	pthread_t thread;
	struct wire wire;

	options.recv_buffer_bytes = 4096;
	options.stdio_buffer_bytes = 1024;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	peer_thread(&thread, say_two_long_messages, &wire);
	back[0] = (uint8_t)fgetc(wire.stream);
	ck_assert(wire_pattern_matches(0, back, 1));
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_lt(status.bytes_received, 100000);
	ck_assert_uint_eq(fread(back, 1, sizeof back, wire.stream), 199999);
	ck_assert(wire_pattern_matches(1, back, 199999));
	wire_expect_end(wire.stream, 0);
	peer_join(thread);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(a_full_send_queue_waits_and_is_no_error)
{
	struct ws_options options = WS_OPTIONS_INIT;
	size_t size = (size_t)8 << 20;
	uint8_t *data = malloc(size);
	struct wire wire;

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, size);
	options.send_buffer_bytes = 4096;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 32768);
	wire_finish(&wire, 1000);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_uint_eq(wire.size, size);
	ck_assert(wire_pattern_matches(0, wire.data, size));
	free(data);
	wire_end(&wire);
}
END_TEST

static void *end_when_read(void *argument)
{
	struct wire *wire = argument;

	/* Our Close is behind all that the stream has queued; the peer sends its own before it reads any of it. */
	wire_goodbye(wire, 1000, "");
	wire_finish(wire, WIRE_NO_ANSWER);
	wire_finished(wire);
	return NULL;
}

START_TEST(close_behind_a_full_send_queue_completes)
{
	size_t size = (size_t)8 << 20;
	uint8_t *data = malloc(size);
	pthread_t thread;
	struct wire wire;

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, size);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 32768);
	peer_thread(&thread, end_when_read, &wire);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	wire_fclose(&wire, 0);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_uint_eq(wire.size, size);
	ck_assert(wire_pattern_matches(0, wire.data, size));
	free(data);
	wire_end(&wire);
}
END_TEST

/* _i: role, with or without stdio's buffer, then the size of each read against a message of 60 bytes. */
START_TEST(reads_into_exact_smaller_and_bigger_buffers)
{
	static const size_t sizes[] = { 60, 30, 7, 1, 61, 100, 6000 };
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t data[6000], back[6000];
	size_t done = 0, count;
	struct wire wire;

	options.stdio_buffer_bytes = _i % 14 < 7 ? 65536 : 0;
	wire_open(&wire, (enum wire_role)(_i / 14), "r+", &options, 0);
	wire_pattern(0, data, sizeof data);
	for (size_t i = 0; i < sizeof data; i += 60)
		wire_frame(&wire, PEER_BINARY, data + i, 60);
	wire_goodbye(&wire, 1000, "");
	while (done < sizeof back) {
		size_t part = sizes[_i % 7];

		if (part > sizeof back - done)
			part = sizeof back - done;
		count = fread(back + done, 1, part, wire.stream);
		ck_assert_uint_eq(count, part);
		done += count;
	}
	ck_assert_mem_eq(back, data, sizeof data);
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* --- nothing --- */

START_TEST(empty_messages_are_skipped)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "");
	wire_say(&wire, "A li");
	wire_say(&wire, "");
	wire_frame(&wire, 0x02, "", 0);
	wire_frame(&wire, 0x00, "ne", 2);
	wire_frame(&wire, 0x80, "", 0);
	wire_say(&wire, "\n");
	wire_say(&wire, "");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "A line\n");
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(write_of_length_0_sends_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct peer_frame frame;
	struct wire wire;

	options.stdio_buffer_bytes = _i % 2 == 0 ? 65536 : 0;
	wire_open(&wire, (enum wire_role)(_i / 2), "r+", &options, 0);
	ck_assert_uint_eq(fwrite("x", 1, 0, wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_ge(fputs("", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(fprintf(wire.stream, "%s", ""), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_gt(fputs("x", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	/* One data frame and the Close, and nothing else. */
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_BINARY);
	ck_assert_str_eq((char *)frame.payload, "x");
	peer_frame_clear(&frame);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(peer_close_code(&frame), 1000);
	peer_frame_clear(&frame);
	wire_goodbye(&wire, 1000, "");
	wire_end_tcp(&wire);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

/* --- ends --- */

START_TEST(error_that_follows_data_comes_after_the_data)
{
	static uint8_t data[500000], back[500001];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_pattern(0, data, sizeof data);
	wire_frame(&wire, PEER_BINARY, data, sizeof data);
	wire_frame(&wire, PEER_TEXT, "text", 4);
	/* The error is known before any of the data has been read. */
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1003);
	ck_assert_uint_eq(fread(back, 1, sizeof back, wire.stream), sizeof data);
	ck_assert_mem_eq(back, data, sizeof data);
	wire_expect_end(wire.stream, EBADMSG);
	peer_fin(wire.peer);
	wire_fclose(&wire, EBADMSG);
	wire_end(&wire);
}
END_TEST

START_TEST(eof_repeats)
{
	char line[16];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "A line\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "A line\n");
	for (int i = 0; i < 5; i++) {
		ck_assert_ptr_null(fgets(line, sizeof line, wire.stream));
		ck_assert(feof(wire.stream) && !ferror(wire.stream));
		ck_assert_int_eq(fgetc(wire.stream), EOF);
		wire_expect_end(wire.stream, 0);
	}
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crate");
	TCase *lines = wire_case(suite, "lines"), *control = wire_case(suite, "control");
	TCase *buffers = wire_case(suite, "buffers"), *ends = wire_case(suite, "ends");

	tcase_add_test(lines, two_lines_then_close_and_both_sides_see_eof);
	tcase_add_loop_test(lines, half_a_line_waits_and_then_completes, 0, WIRE_ROLES);
	tcase_add_loop_test(control, ping_is_answered_and_never_in_the_data, 0, WIRE_ROLES);
	tcase_add_loop_test(control, largest_ping_is_answered, 0, WIRE_ROLES);
	tcase_add_loop_test(control, ping_of_126_bytes_is_a_protocol_error, 0, WIRE_ROLES);
	tcase_add_loop_test(control, text_message_is_refused, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, two_messages_larger_than_the_buffer_wait_and_are_no_error, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, a_full_send_queue_waits_and_is_no_error, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, close_behind_a_full_send_queue_completes, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, reads_into_exact_smaller_and_bigger_buffers, 0, WIRE_ROLES * 14);
	tcase_add_loop_test(ends, empty_messages_are_skipped, 0, WIRE_ROLES);
	tcase_add_loop_test(ends, write_of_length_0_sends_nothing, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(ends, error_that_follows_data_comes_after_the_data, 0, WIRE_ROLES);
	tcase_add_loop_test(ends, eof_repeats, 0, WIRE_ROLES);
	return wire_run(suite);
}
