/* SPDX-License-Identifier: 0BSD */
/* Pings, theirs and ours; and keepalive: peers that are silent, that only answer, and that wait for us. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"
#include "witness.h"

#define expect_errno(call, value, error) \
	do { \
		errno = 0; \
		ck_assert_msg((call) == (value), #call " did not return " #value); \
		ck_assert_msg(errno == (error), #call ": %s, not %s", strerror(errno), strerror(error)); \
	} while (0)

static void open_watched(struct wire *wire, int role, const char *mode, struct ws_options *options,
    struct witness *witness)
{
	witness_init(witness);
	options->observer = witness_tell;
	options->observer_user = witness;
	wire_open(wire, (enum wire_role)role, mode, options, 0);
}

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
	ck_assert_uint_eq(wire->close_code, 1000);
	wire_end(wire);
}

static void expect_frame(struct wire *wire, unsigned byte0, const void *payload, size_t size)
{
	struct peer_frame frame;

	ck_assert(peer_read_frame(wire->peer, &frame));
	ck_assert_uint_eq(frame.byte0, byte0);
	ck_assert(frame.masked != wire->peer_masks);
	ck_assert_uint_eq(frame.size, size);
	if (size > 0)
		ck_assert_mem_eq(frame.payload, payload, size);
	peer_frame_clear(&frame);
}

/* --- ours --- */

START_TEST(ping_goes_out_and_its_pong_is_told_with_its_time)
{
	static const uint8_t bytes[3] = { 0, 1, 255 };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	static struct witness witness;
	const struct seen *pong;
	struct wire wire;

	open_watched(&wire, _i, "r+", &options, &witness);
	ck_assert_int_eq(ws_ping(wire.stream, bytes, sizeof bytes), 0);
	expect_frame(&wire, PEER_PING, bytes, sizeof bytes);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(status.round_trip_us, 0);
	wire_frame(&wire, PEER_PONG, bytes, sizeof bytes);
	pong = witness_wait(&witness, WS_EVENT_PONG, 0);
	ck_assert_uint_eq(pong->payload_bytes, 3);
	ck_assert_mem_eq(pong->payload, bytes, 3);
	ck_assert_int_ge(pong->round_trip_us, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(status.round_trip_us, (uint64_t)pong->round_trip_us);
	ck_assert_uint_eq(pong->stream_id, status.id);
	/* One that nobody asked for. */
	wire_frame(&wire, PEER_PONG, "hello", 5);
	pong = witness_wait(&witness, WS_EVENT_PONG, 1);
	ck_assert_mem_eq(pong->payload, "hello", 5);
	ck_assert_int_eq(pong->round_trip_us, -1);
	/* Without payload, and with the longest. */
	ck_assert_int_eq(ws_ping(wire.stream, NULL, 0), 0);
	expect_frame(&wire, PEER_PING, "", 0);
	wire_frame(&wire, PEER_PONG, "", 0);
	pong = witness_wait(&witness, WS_EVENT_PONG, 2);
	ck_assert_uint_eq(pong->payload_bytes, 0);
	ck_assert_int_ge(pong->round_trip_us, 0);
	end_well(&wire);
	ck_assert(witness_end(&witness)->clean);
}
END_TEST

START_TEST(longest_ping_goes_and_a_longer_one_does_not)
{
	uint8_t payload[126];
	struct wire wire;

	wire_pattern(0, payload, sizeof payload);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	expect_errno(ws_ping(wire.stream, payload, 126), -1, EMSGSIZE);
	ck_assert_int_eq(ws_ping(wire.stream, payload, 125), 0);
	expect_frame(&wire, PEER_PING, payload, 125);
	end_well(&wire);
}
END_TEST

START_TEST(ping_goes_behind_what_was_sent_and_the_last_of_several_may_be_answered)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static struct witness witness;
	const struct seen *pong;
	struct wire wire;

	open_watched(&wire, _i, "r+", &options, &witness);
	ck_assert_int_ge(fputs("data", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(ws_ping(wire.stream, "a", 1), 0);
	ck_assert_int_eq(ws_ping(wire.stream, "b", 1), 0);
	expect_frame(&wire, PEER_BINARY, "data", 4);
	expect_frame(&wire, PEER_PING, "a", 1);
	expect_frame(&wire, PEER_PING, "b", 1);
	wire_frame(&wire, PEER_PONG, "b", 1);
	pong = witness_wait(&witness, WS_EVENT_PONG, 0);
	ck_assert_int_ge(pong->round_trip_us, 0);
	end_well(&wire);
	(void)witness_end(&witness);
}
END_TEST

START_TEST(ping_works_from_a_stream_that_does_not_write)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	ck_assert_int_eq(ws_ping(wire.stream, "x", 1), 0);
	expect_frame(&wire, PEER_PING, "x", 1);
	end_well(&wire);
}
END_TEST

START_TEST(no_ping_behind_our_close)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	expect_errno(ws_ping(wire.stream, "x", 1), -1, EPIPE);
	wire_finish(&wire, 1000);
	wire_finished(&wire);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	expect_errno(ws_ping(wire.stream, "x", 1), -1, EPIPE);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

START_TEST(without_room_a_ping_says_so_and_never_blocks)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t payload[125] = { 0 };
	uint64_t pings = 0, seen = 0;
	struct peer_frame frame;
	struct wire wire;

	options.send_buffer_bytes = 4096;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 4096);
	while (ws_ping(wire.stream, payload, sizeof payload) == 0)
		ck_assert_uint_lt(++pings, 1 << 20);
	ck_assert_int_eq(errno, EAGAIN);
	/* All that were taken arrive, and a Close behind them. */
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	for (;;) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		if (frame.byte0 != PEER_PING)
			break;
		peer_frame_clear(&frame);
		seen++;
	}
	ck_assert_uint_eq(peer_close_code(&frame), 1000);
	peer_frame_clear(&frame);
	ck_assert_uint_ge(seen, pings);
	wire_goodbye(&wire, 1000, "");
	wire_end_tcp(&wire);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

struct pinger {
	FILE *stream;
	atomic_bool stop;
	unsigned sent;
};

static void *ping_on(void *argument)
{
	struct pinger *pinger = argument;

	while (!atomic_load(&pinger->stop))
		if (ws_ping(pinger->stream, "ping", 4) == 0)
			pinger->sent++;
	return NULL;
}

/* Any thread may, while another one is inside a read and holds the stream's lock. */
START_TEST(another_thread_pings_while_one_is_blocked_reading)
{
	struct pinger pinger = { .sent = 0 };
	struct peer_frame frame;
	pthread_t thread;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	pinger.stream = wire.stream;
	flockfile(wire.stream);
	peer_thread(&thread, ping_on, &pinger);
	for (int i = 0; i < 100; i++) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PING);
		peer_frame_clear(&frame);
	}
	funlockfile(wire.stream);
	atomic_store(&pinger.stop, true);
	peer_join(thread);
	end_well(&wire);
}
END_TEST

/* --- theirs --- */

START_TEST(their_ping_is_told_and_answered)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static struct witness witness;
	const struct seen *ping;
	struct wire wire;

	open_watched(&wire, _i, "r+", &options, &witness);
	wire_frame(&wire, PEER_PING, "\1\2\3", 3);
	expect_frame(&wire, PEER_PONG, "\1\2\3", 3);
	ping = witness_wait(&witness, WS_EVENT_PING, 0);
	ck_assert_uint_eq(ping->payload_bytes, 3);
	ck_assert_mem_eq(ping->payload, "\1\2\3", 3);
	end_well(&wire);
	(void)witness_end(&witness);
}
END_TEST

/* The program does nothing at all with its stream. _i / 2: with unread data before each ping. */
START_TEST(pings_are_answered_while_the_program_is_elsewhere)
{
	struct wire wire;
	char payload[16];

	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, 0);
	for (int i = 0; i < 200; i++) {
		if (_i / 2 == 1)
			wire_say(&wire, "unread");
		snprintf(payload, sizeof payload, "%d", i);
		wire_frame(&wire, PEER_PING, payload, strlen(payload));
		expect_frame(&wire, PEER_PONG, payload, strlen(payload));
	}
	end_well(&wire);
}
END_TEST

static void lift_descriptor_limit(rlim_t least)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < least) {
		limit.rlim_cur = least < limit.rlim_max ? least : limit.rlim_max;
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	}
	ck_assert_msg(limit.rlim_cur >= least, "no more than %llu descriptors may be open",
	    (unsigned long long)limit.rlim_cur);
}

#define MANY 1000

START_TEST(a_thousand_idle_streams_answer_each_ping)
{
	static FILE *streams[MANY];
	static int peers[MANY];
	struct ws_listener *listener;
	struct peer_frame frame;
	char payload[16];
	unsigned port;

	lift_descriptor_limit(2 * MANY + 100);
	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	for (int i = 0; i < MANY; i++) {
		peers[i] = peer_connect(port);
		peer_client_handshake(peers[i], port, "/", "");
		streams[i] = ws_accept(listener, "r+");
		ck_assert_ptr_nonnull(streams[i]);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < MANY; i++) {
			snprintf(payload, sizeof payload, "%d %d", round, i);
			peer_frame(peers[i], PEER_PING, true, payload, strlen(payload));
		}
		for (int i = 0; i < MANY; i++) {
			snprintf(payload, sizeof payload, "%d %d", round, i);
			if (!peer_read_frame(peers[i], &frame) || frame.byte0 != PEER_PONG ||
			    strcmp((char *)frame.payload, payload) != 0)
				ck_abort_msg("connection %d has no right answer", i);
			peer_frame_clear(&frame);
		}
	}
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(ws_abort(streams[i]), 0);
		expect_errno(fclose(streams[i]), EOF, ECONNABORTED);
		close(peers[i]);
	}
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

/* --- keepalive --- */

/* _i / 2: the program is in a read, or elsewhere. */
START_TEST(a_silent_peer_gets_a_ping_and_then_close_1011)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	static struct witness witness;
	struct peer_frame frame;
	const struct seen *closed;
	unsigned pings = 0;
	struct wire wire;

	options.ping_interval_ms = 100;
	open_watched(&wire, _i % 2, "r+", &options, &witness);
	if (_i / 2 == 0)
		wire_expect_end(wire.stream, ETIMEDOUT);
	for (;;) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		if (frame.byte0 != PEER_PING)
			break;
		peer_frame_clear(&frame);
		pings++;
	}
	/* One, unless this machine is so busy that the library asks again. */
	ck_assert_uint_ge(pings, 1);
	ck_assert_uint_eq(frame.byte0, PEER_CLOSE);
	ck_assert_uint_eq(peer_close_code(&frame), 1011);
	peer_frame_clear(&frame);
	/* It does not wait for an answer that won't come. */
	ck_assert(peer_at_end(wire.peer));
	wire_expect_end(wire.stream, ETIMEDOUT);
	ck_assert_int_eq(witness_wait(&witness, WS_EVENT_TRANSPORT_ERROR, 0)->error, ETIMEDOUT);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.error, ETIMEDOUT);
	ck_assert_uint_eq(status.close_code_sent, 1011);
	wire_expect_unwritable(wire.stream, EPIPE);
	wire_fclose(&wire, ETIMEDOUT);
	closed = witness_end(&witness);
	ck_assert(!closed->clean);
	ck_assert_int_eq(closed->error, ETIMEDOUT);
	ck_assert_uint_eq(closed->code_sent, 1011);
	wire_end(&wire);
}
END_TEST

/* The interval is long enough for this machine at its busiest. */
START_TEST(a_peer_that_only_answers_stays)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static struct witness witness;
	struct peer_frame frame;
	struct wire wire;

	options.ping_interval_ms = 1000;
	open_watched(&wire, _i, "r+", &options, &witness);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PING);
		wire_frame(&wire, PEER_PONG, frame.payload, (size_t)frame.size);
		peer_frame_clear(&frame);
		ck_assert_int_ge(witness_wait(&witness, WS_EVENT_PONG, i)->round_trip_us, 0);
	}
	ck_assert_uint_eq(witness_count(&witness, WS_EVENT_TRANSPORT_ERROR), 0);
	end_well(&wire);
	ck_assert(witness_end(&witness)->clean);
}
END_TEST

#define UNREAD_BYTES 1000000

static uint8_t unread[UNREAD_BYTES];

static void *say_much_and_close(void *argument)
{
	struct wire *wire = argument;

	wire_frame(wire, PEER_BINARY, unread, sizeof unread);
	wire_goodbye(wire, 1000, "");
	return NULL;
}

/*
 * The peer has much to say and is not silent: it is we who do not take it. Intervals pass, and nothing happens; no
 * number of them is too many.
 */
START_TEST(no_failure_while_the_program_does_not_read)
{
	static uint8_t back[UNREAD_BYTES];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	pthread_t thread;
	struct wire wire;

	wire_pattern(0, unread, sizeof unread);
	options.recv_buffer_bytes = 4096;
	options.ping_interval_ms = 500;
	options.stdio_buffer_bytes = 1024;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	peer_thread(&thread, say_much_and_close, &wire);
	wire_wait_received(wire.stream, 2000);
	nanosleep(&(struct timespec){ .tv_sec = 1, .tv_nsec = 600000000 }, NULL);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.error, 0);
	errno = 0;
	ck_assert_msg(fread(back, 1, sizeof back, wire.stream) == sizeof back, "%s", strerror(errno));
	ck_assert(wire_pattern_matches(0, back, sizeof back));
	wire_expect_end(wire.stream, 0);
	peer_join(thread);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* _i / 2: off by -1, or the interval is longer than this test. */
START_TEST(without_keepalive_silence_is_golden)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct peer_frame frame;
	struct wire wire;

	options.ping_interval_ms = _i / 2 == 0 ? -1 : 2147483647;
	options.read_timeout_ms = 300;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, 0);
	expect_errno(fgetc(wire.stream), EOF, ETIMEDOUT);
	clearerr(wire.stream);
	wire_say(&wire, "still here\n");
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, -1), 0);
	wire_expect_line(wire.stream, "still here\n");
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	/* The first frame of all is our Close. */
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_CLOSE);
	peer_frame_clear(&frame);
	wire_goodbye(&wire, 1000, "");
	wire_end_tcp(&wire);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

/* An interval of traffic is no interval of silence: a byte now and then keeps the ping away, or answers it. */
START_TEST(a_peer_that_trickles_stays)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.ping_interval_ms = 1000;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	for (int i = 0; i < 25; i++) {
		wire_say(&wire, "x\n");
		wire_expect_line(wire.stream, "x\n");
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	end_well(&wire);
}
END_TEST

/* In a process of its own: it stops this one for a while. */
static pid_t stop_for(int seconds)
{
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		kill(self, SIGSTOP);
		sleep((unsigned)seconds);
		kill(self, SIGCONT);
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	return pid;
}

/* Nobody is taken for dead who was not asked: the time in which we were not there is not the peer's silence. */
START_TEST(a_stopped_process_asks_before_it_gives_up)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static struct witness witness;
	struct peer_frame frame;
	struct wire wire;
	pid_t stopper;

	options.ping_interval_ms = 1000;
	open_watched(&wire, _i, "r+", &options, &witness);
	stopper = stop_for(3);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PING);
	wire_frame(&wire, PEER_PONG, frame.payload, (size_t)frame.size);
	peer_frame_clear(&frame);
	(void)witness_wait(&witness, WS_EVENT_PONG, 0);
	ck_assert_int_eq(waitpid(stopper, NULL, 0), stopper);
	end_well(&wire);
	ck_assert(witness_end(&witness)->clean);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ping");
	TCase *ours = wire_case(suite, "ours"), *theirs = wire_case(suite, "theirs");
	TCase *keepalive = wire_case(suite, "keepalive");

	tcase_add_loop_test(ours, ping_goes_out_and_its_pong_is_told_with_its_time, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, longest_ping_goes_and_a_longer_one_does_not, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, ping_goes_behind_what_was_sent_and_the_last_of_several_may_be_answered, 0,
	    WIRE_ROLES);
	tcase_add_loop_test(ours, ping_works_from_a_stream_that_does_not_write, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, no_ping_behind_our_close, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, without_room_a_ping_says_so_and_never_blocks, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, another_thread_pings_while_one_is_blocked_reading, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, their_ping_is_told_and_answered, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, pings_are_answered_while_the_program_is_elsewhere, 0, WIRE_ROLES * 2);
	tcase_add_test(theirs, a_thousand_idle_streams_answer_each_ping);
	tcase_add_loop_test(keepalive, a_silent_peer_gets_a_ping_and_then_close_1011, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(keepalive, a_peer_that_only_answers_stays, 0, WIRE_ROLES);
	tcase_add_loop_test(keepalive, a_stopped_process_asks_before_it_gives_up, 0, WIRE_ROLES);
	tcase_add_loop_test(keepalive, a_peer_that_trickles_stays, 0, WIRE_ROLES);
	tcase_add_loop_test(keepalive, no_failure_while_the_program_does_not_read, 0, WIRE_ROLES);
	tcase_add_loop_test(keepalive, without_keepalive_silence_is_golden, 0, WIRE_ROLES * 2);
	return wire_run(suite);
}
