/* SPDX-License-Identifier: 0BSD */
/*
 * The cases of the Rust crate ws_stream_tungstenite that need its observers: ping_pong, protocol_error, send_text,
 * send_text_backpressure, close. There the error is told beside the stream alone; here the reader gets it, too. And a
 * pair that moves much each way at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "duet.h"
#include "wire.h"
#include "witness.h"

static struct witness witness;

static struct ws_options watched(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	witness_init(&witness);
	options.observer = witness_tell;
	options.observer_user = &witness;
	return options;
}

/* The crate's client sends a ping and closes at once; the pong comes before the Close, and the server reads EOF. */
START_TEST(ping_pong)
{
	struct ws_options options = watched();
	struct peer_frame frame;
	const struct seen *ping;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_frame(&wire, PEER_PING, "\1\2\3", 3);
	wire_goodbye(&wire, 0, "");
	wire_expect_end(wire.stream, 0);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	ck_assert_uint_eq(frame.size, 3);
	ck_assert_mem_eq(frame.payload, "\1\2\3", 3);
	peer_frame_clear(&frame);
	ping = witness_wait(&witness, WS_EVENT_PING, 0);
	ck_assert_uint_eq(ping->payload_bytes, 3);
	ck_assert_mem_eq(ping->payload, "\1\2\3", 3);
	ck_assert_uint_eq(witness_wait(&witness, WS_EVENT_CLOSE_RECEIVED, 0)->code_received, 1005);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert(witness_end(&witness)->clean);
	ck_assert_uint_eq(witness_count(&witness, WS_EVENT_OPEN), 1);
	wire_end(&wire);
}
END_TEST

static void expect_fault(struct wire *wire, unsigned code, int error)
{
	const struct seen *closed;

	wire_expect_end(wire->stream, error);
	/* The client's own Close behind the fault changes nothing. */
	(void)peer_try_frame(wire->peer, PEER_CLOSE, wire->peer_masks, "", 0);
	ck_assert_uint_eq(peer_read_until_close(wire->peer, NULL, NULL), code);
	peer_fin(wire->peer);
	wire_fclose(wire, error);
	closed = witness_end(&witness);
	ck_assert(!closed->clean);
	ck_assert_uint_eq(closed->code_sent, code);
	ck_assert_int_eq(closed->error, error);
	ck_assert_str_ne(closed->text, "");
	ck_assert_ptr_null(strchr(closed->text, '\n'));
	wire_end(wire);
}

START_TEST(protocol_error)
{
	static const uint8_t payload[126] = { 1 };
	struct ws_options options = watched();
	const struct seen *fault;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_frame(&wire, PEER_PING, payload, sizeof payload);
	fault = witness_wait(&witness, WS_EVENT_PROTOCOL_ERROR, 0);
	ck_assert_int_eq(fault->error, EPROTO);
	ck_assert_str_ne(fault->text, "");
	expect_fault(&wire, 1002, EPROTO);
	ck_assert_uint_eq(witness_count(&witness, WS_EVENT_PROTOCOL_ERROR), 1);
	ck_assert_uint_eq(witness_count(&witness, WS_EVENT_PING), 0);
}
END_TEST

START_TEST(send_text)
{
	struct ws_options options = watched();
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_frame(&wire, PEER_TEXT, "Hi", 2);
	(void)witness_wait(&witness, WS_EVENT_TEXT_REJECTED, 0);
	expect_fault(&wire, 1003, EBADMSG);
	ck_assert_uint_eq(witness_count(&witness, WS_EVENT_TEXT_REJECTED), 1);
}
END_TEST

#define MUCH_BYTES ((size_t)16 << 20)	/* more than all kernel buffers take */

struct writer {
	FILE *half;
	uint8_t *data;
	int error;
};

static void *write_much(void *argument)
{
	struct writer *writer = argument;

	errno = 0;
	if (fwrite(writer->data, 1, MUCH_BYTES, writer->half) < MUCH_BYTES)
		writer->error = errno;
	return NULL;
}

/* Until what was sent stays the same for a while: the peer does not read, so it is full, or the machine is busy. */
static void wait_full(FILE *half)
{
	struct ws_status status = WS_STATUS_INIT;
	uint64_t before;

	do {
		before = status.bytes_sent;
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		ck_assert_int_eq(ws_status(half, &status), 0);
	} while (status.bytes_sent == 0 || status.bytes_sent != before);
}

/*
 * The send queue is full when the text comes. The Close that answers it goes behind what is queued, as soon as the peer
 * reads; what does not fit any more fails.
 */
START_TEST(send_text_backpressure)
{
	struct ws_options options = watched();
	struct writer writer = { .error = 0 };
	uint8_t *data = NULL;
	pthread_t thread;
	struct wire wire;
	size_t size = 0;

	options.send_buffer_bytes = 65536;
	wire_open_pair(&wire, (enum wire_role)_i, &options, 32768);
	writer.half = wire.half[1];
	writer.data = malloc(MUCH_BYTES);
	ck_assert_ptr_nonnull(writer.data);
	wire_pattern(0, writer.data, MUCH_BYTES);
	peer_thread(&thread, write_much, &writer);
	wait_full(wire.half[0]);
	wire_frame(&wire, PEER_TEXT, "Text from client", 16);
	(void)witness_wait(&witness, WS_EVENT_TEXT_REJECTED, 0);
	wire_expect_end(wire.half[0], EBADMSG);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, &data, &size), 1003);
	ck_assert_uint_lt(size, MUCH_BYTES);
	ck_assert(wire_pattern_matches(0, data, size));
	peer_fin(wire.peer);
	peer_join(thread);
	ck_assert_msg(writer.error == EPIPE, "%s", strerror(writer.error));
	(void)fclose(wire.half[1]);
	wire_fclose_half(&wire, 0, EBADMSG);
	ck_assert_int_eq(witness_end(&witness)->error, EBADMSG);
	free(data);
	free(writer.data);
	wire_end(&wire);
}
END_TEST

/*
 * The crate's example races its wait for the other side's Close against one second. Here that is the read's timeout:
 * the program is told, and can wait on or give up.
 */
START_TEST(close_can_be_waited_for_again)
{
	struct ws_options options = watched();
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, "that was all"), 0);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, 20, -1), 0);
	errno = 0;
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert(ferror(wire.stream) && errno == ETIMEDOUT);
	clearerr(wire.stream);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, -1), 0);
	wire_finish(&wire, 1000);
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert(witness_end(&witness)->clean);
	wire_end(&wire);
}
END_TEST

START_TEST(close_that_is_not_answered_is_given_up)
{
	struct ws_options options = watched();
	const struct seen *closed;
	struct wire wire;

	options.read_timeout_ms = 20;
	options.close_timeout_ms = 20;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	errno = 0;
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert(ferror(wire.stream) && errno == ETIMEDOUT);
	wire_fclose(&wire, ETIMEDOUT);
	closed = witness_end(&witness);
	ck_assert(!closed->clean);
	ck_assert_uint_eq(closed->code_sent, 1000);
	ck_assert_uint_eq(closed->code_received, 0);
	wire_end(&wire);
}
END_TEST

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define EACH_WAY_BYTES ((uint64_t)32 << 20)
#else
#define EACH_WAY_BYTES ((uint64_t)256 << 20)
#endif

/* WSF_TEST_EACH_WAY_MIB: so much instead, by hand. */
START_TEST(a_pair_moves_much_each_way_at_once)
{
	const char *mib = getenv("WSF_TEST_EACH_WAY_MIB");
	uint64_t bytes = mib != NULL ? (uint64_t)strtoul(mib, NULL, 10) << 20 : EACH_WAY_BYTES;
	struct duet duet;

	peer_count_begin();
	duet_open_pairs(&duet, "ws://127.0.0.1:0/", NULL, NULL);
	duet_exchange(&duet, DUET_NOISE, bytes, 65536);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crate_observer");
	TCase *events = wire_case(suite, "events"), *close = wire_case(suite, "close");
	TCase *bulk = wire_case(suite, "bulk");

	tcase_add_loop_test(events, ping_pong, 0, WIRE_ROLES);
	tcase_add_loop_test(events, protocol_error, 0, WIRE_ROLES);
	tcase_add_loop_test(events, send_text, 0, WIRE_ROLES);
	tcase_add_loop_test(events, send_text_backpressure, 0, WIRE_ROLES);
	tcase_add_loop_test(close, close_can_be_waited_for_again, 0, WIRE_ROLES);
	tcase_add_loop_test(close, close_that_is_not_answered_is_given_up, 0, WIRE_ROLES);
	tcase_set_timeout(bulk, 120);
	tcase_add_test(bulk, a_pair_moves_much_each_way_at_once);
	return wire_run(suite);
}
