/* SPDX-License-Identifier: 0BSD */
/* The rows of the close table of ws_fopen(3), each with the library as client and as server: _i counts the roles. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <check.h>

#include "wire.h"

static void expect_status(FILE *stream, unsigned sent, unsigned received, bool clean, int error)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_uint_eq(status.close_code_sent, sent);
	ck_assert_uint_eq(status.close_code_received, received);
	ck_assert_int_eq(status.clean, clean);
	ck_assert_int_eq(status.error, error);
	ck_assert_int_eq(status.error_text[0] != '\0', error != 0);
}

/* --- we close first --- */

START_TEST(fclose_sends_all_and_returns_a_receipt)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fputs("hello\n", wire.stream);
	fputs("world\n", wire.stream);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello\nworld\n");
	wire_end(&wire);
}
END_TEST

START_TEST(fclose_without_any_data_is_clean)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i / 3), _i % 3 == 0 ? "r" : _i % 3 == 1 ? "w" : "r+", NULL, 0);
	wire_finish(&wire, 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_ptr_null(wire.data);
	wire_end(&wire);
}
END_TEST

static void *send_much_and_finish(void *argument)
{
	struct wire *wire = argument;
	static const uint8_t zeros[65536];

	wire->close_code = peer_read_until_close(wire->peer, NULL, NULL);
	for (int i = 0; i < 64; i++)
		wire_frame(wire, PEER_BINARY, zeros, sizeof zeros);
	wire_goodbye(wire, 1000, "");
	wire_end_tcp(wire);
	return NULL;
}

START_TEST(fclose_discards_what_still_arrives)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	peer_thread(&thread, send_much_and_finish, &wire);
	wire_fclose(&wire, 0);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	wire_end(&wire);
}
END_TEST

START_TEST(unread_input_does_not_spoil_the_receipt)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.recv_buffer_bytes = 4096;
	options.stdio_buffer_bytes = 512;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_say(&wire, "one\ntwo\n");
	wire_expect_line(wire.stream, "one\n");
	for (int i = 0; i < 100; i++)
		wire_say(&wire, "a line of many that nobody is going to read, far more than the buffer is made for\n");
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	wire_end(&wire);
}
END_TEST

static void *close_in_thread(void *argument)
{
	wire_fclose(argument, 0);
	return NULL;
}

/* RFC 6455, section 7.1.1: the server ends TCP first. That the library does so as a server, wire_end_tcp insists on. */
START_TEST(client_waits_for_the_server_to_end_tcp)
{
	struct wire wire;
	struct pollfd readable = { .events = POLLIN };
	pthread_t thread;

	wire_open(&wire, LIBRARY_IS_CLIENT, "r+", NULL, 0);
	peer_thread(&thread, close_in_thread, &wire);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1000);
	wire_goodbye(&wire, 1000, "");
	readable.fd = wire.peer;
	ck_assert_msg(poll(&readable, 1, 50) == 0, "the client ended TCP before the server");
	peer_fin(wire.peer);
	ck_assert(!peer_was_reset(wire.peer));
	peer_join(thread);
	wire_end(&wire);
}
END_TEST

START_TEST(the_peers_close_is_the_receipt_even_if_tcp_stays)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;
	pthread_t thread;

	options.close_timeout_ms = 1000;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	peer_thread(&thread, close_in_thread, &wire);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1000);
	wire_goodbye(&wire, 1000, "");
	peer_join(thread);
	wire_end(&wire);
}
END_TEST

START_TEST(peer_that_never_answers_a_close_times_out)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.close_timeout_ms = 50;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	fputs("hello", wire.stream);
	wire_fclose(&wire, ETIMEDOUT);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, &wire.data, &wire.size), 1000);
	ck_assert_str_eq((char *)wire.data, "hello");
	ck_assert(peer_at_end(wire.peer));
	wire_end(&wire);
}
END_TEST

START_TEST(close_timeout_of_0_does_not_wait)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.close_timeout_ms = 0;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_fclose(&wire, ETIMEDOUT);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

enum spoil { SPOIL_FIN, SPOIL_RESET, SPOIL_FRAME, SPOILS };

static void *spoil_the_close(void *argument)
{
	struct wire *wire = argument;

	wire->close_code = peer_read_until_close(wire->peer, &wire->data, &wire->size);
	if (wire->answer == SPOIL_FRAME) {
		wire_frame(wire, 0x83, "", 0);
		wire_end_tcp(wire);
	} else if (wire->answer == SPOIL_FIN) {
		peer_fin(wire->peer);
	} else {
		peer_reset(wire->peer);
		wire->peer = -1;
	}
	return NULL;
}

START_TEST(our_close_that_is_not_answered_in_order_is_no_receipt)
{
	static const int errors[] = { ECONNRESET, ECONNRESET, EPROTO };
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)(_i / SPOILS), "r+", NULL, 0);
	fputs("hello", wire.stream);
	wire.answer = _i % SPOILS;
	peer_thread(&thread, spoil_the_close, &wire);
	wire_fclose(&wire, errors[_i % SPOILS]);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello");
	wire_end(&wire);
}
END_TEST

/* --- the peer closes first --- */

static const unsigned gentle_codes[] = { 1000, 1001, 0 };

START_TEST(peers_close_is_eof_and_we_may_still_answer)
{
	unsigned code = gentle_codes[_i % 3], received = code != 0 ? code : 1005;
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i / 3), "r+", NULL, 0);
	wire_say(&wire, "one\ntwo\n");
	wire_goodbye(&wire, code, "done, r\xc3\xa9union");
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	wire_expect_end(wire.stream, 0);
	expect_status(wire.stream, 0, received, false, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_str_eq(status.close_reason_received, code != 0 ? "done, r\xc3\xa9union" : "");
	ck_assert_int_eq(status.state, WS_STATE_CLOSING);
	ck_assert_int_gt(fputs("answer", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	wire_expect_end(wire.stream, 0);
	fputs(" and more", wire.stream);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "answer and more");
	wire_end(&wire);
}
END_TEST

START_TEST(ws_shutdown_answers_the_peers_close)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	fputs("answer", wire.stream);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1001, "leaving"), 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_finished(&wire);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	expect_status(wire.stream, 1001, 1000, true, 0);
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, 0);
	ck_assert_uint_eq(wire.close_code, 1001);
	ck_assert_str_eq((char *)wire.data, "answer");
	wire_end(&wire);
}
END_TEST

static void *reset_behind_the_close(void *argument)
{
	struct wire *wire = argument;

	wire->close_code = peer_read_until_close(wire->peer, NULL, NULL);
	peer_reset(wire->peer);
	wire->peer = -1;
	return NULL;
}

START_TEST(reset_behind_our_answering_close_is_no_receipt)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	fputs("answer", wire.stream);
	peer_thread(&thread, reset_behind_the_close, &wire);
	wire_fclose(&wire, ECONNRESET);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	wire_end(&wire);
}
END_TEST

#ifdef TCP_USER_TIMEOUT
/* The kernel of the library's end is to give up soon where the peer takes nothing: ETIMEDOUT, as after a cut cable. */
static void give_up_soon(const struct wire *wire)
{
	struct sockaddr_in peer, other;
	socklen_t size = sizeof peer;
	unsigned limit_ms = 100;
	int found = 0;

	ck_assert_int_eq(getsockname(wire->peer, (struct sockaddr *)&peer, &size), 0);
	for (int fd = 0; fd < 1024; fd++) {
		size = sizeof other;
		if (getpeername(fd, (struct sockaddr *)&other, &size) != 0 || other.sin_family != AF_INET ||
		    other.sin_port != peer.sin_port)
			continue;
		ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms), 0);
		found++;
	}
	ck_assert_int_eq(found, 1);
}

/* More than the peer's kernel takes, less than ours. */
static void write_what_stays(const struct wire *wire)
{
	static const uint8_t zeros[100000];

	ck_assert_uint_eq(fwrite(zeros, 1, sizeof zeros, wire->stream), sizeof zeros);
	ck_assert_int_eq(fflush(wire->stream), 0);
}

START_TEST(tcp_that_gives_up_behind_our_answering_close_is_no_receipt)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.close_timeout_ms = -1;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 4096);
	give_up_soon(&wire);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	write_what_stays(&wire);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

START_TEST(tcp_that_gives_up_is_no_time_limit_of_a_read)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 4096);
	give_up_soon(&wire);
	write_what_stays(&wire);
	wire_expect_end(wire.stream, ECONNRESET);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST
#endif

/*
 * Until the library has seen all that is in the kernel: it has one thread, which looks at every connection in each
 * turn, so it has when a second answer comes on another one.
 */
static void wait_for_turns(struct wire *other)
{
	struct peer_frame frame;

	for (int i = 0; i < 3; i++) {
		wire_frame(other, PEER_PING, "", 0);
		ck_assert(peer_read_frame(other->peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PONG);
		peer_frame_clear(&frame);
	}
}

/* _i: role, then whether the program had written, then FIN or RST */
START_TEST(tcp_that_ends_before_our_close_is_a_receipt_only_for_nothing)
{
	bool wrote = _i % 2 == 1;
	struct peer_frame frame;
	struct wire wire, other;

	wire_open(&other, LIBRARY_IS_CLIENT, "r+", NULL, 0);
	wire_open(&wire, (enum wire_role)(_i / 4), "r+", NULL, 0);
	if (wrote) {
		fputs("hello", wire.stream);
		ck_assert_int_eq(fflush(wire.stream), 0);
		ck_assert(peer_read_frame(wire.peer, &frame));
		peer_frame_clear(&frame);
	}
	wire_say(&wire, "one\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "one\n");
	wire_expect_end(wire.stream, 0);
	if (_i / 2 % 2 == 0) {
		peer_fin(wire.peer);
		peer_wait_sent(wire.peer);
	} else {
		peer_reset(wire.peer);
		wire.peer = -1;
	}
	wait_for_turns(&other);
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, wrote ? ECONNRESET : 0);
	wire_end(&wire);
	wire_finish(&other, 1000);
	wire_fclose(&other, 0);
	wire_finished(&other);
	wire_end(&other);
}
END_TEST

/* _i: role, then code */
START_TEST(another_valid_code_is_echoed_and_read_as_an_error)
{
	static const unsigned codes[] = { 1011, 4000, 3000, 1008, 1014 };
	unsigned code = codes[_i % 5];
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i / 5), "r+", NULL, 0);
	wire_say(&wire, "one\ntwo\n");
	wire_goodbye(&wire, code, "trouble");
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, code);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	wire_expect_end(wire.stream, ECONNABORTED);
	expect_status(wire.stream, code, code, false, ECONNABORTED);
	wire_expect_unwritable(wire.stream, EPIPE);
	wire_fclose(&wire, ECONNABORTED);
	wire_end(&wire);
}
END_TEST

/* --- linger --- */

/* Both what has a linger of 0 and what cannot write: the peer gets its answer while nothing has been read here. */
START_TEST(close_is_answered_at_once)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;
	bool reader = _i % 2 == 1;

	options.linger_ms = reader ? 60000 : 0;
	wire_open(&wire, (enum wire_role)(_i / 2), reader ? "r" : "r+", &options, 0);
	wire_say(&wire, "one\ntwo\n");
	wire_goodbye(&wire, 1001, "");
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	wire_expect_end(wire.stream, 0);
	if (reader) {
		wire_fclose(&wire, 0);
	} else {
		wire_expect_unwritable(wire.stream, EPIPE);
		wire_fclose(&wire, EPIPE);
	}
	wire_end(&wire);
}
END_TEST

START_TEST(when_the_linger_ends_our_close_goes_out)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.linger_ms = 30;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_say(&wire, "one\n");
	wire_goodbye(&wire, 1000, "");
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_finished(&wire);
	/* Not 1000: the program never said that it was done. */
	ck_assert_uint_eq(wire.close_code, 1011);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_end(wire.stream, 0);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	expect_status(wire.stream, 1011, 1000, true, 0);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

/* Reading takes longer than the linger; every pause is far shorter, and the answer still comes through. */
START_TEST(each_read_restarts_the_linger)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.linger_ms = 700;
	options.stdio_buffer_bytes = 0;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_say(&wire, "0123456789");
	wire_goodbye(&wire, 1000, "");
	for (int i = 0; i < 10; i++) {
		poll(NULL, 0, 90);
		ck_assert_int_eq(fgetc(wire.stream), '0' + i);
	}
	wire_expect_end(wire.stream, 0);
	expect_status(wire.stream, 0, 1000, false, 0);
	ck_assert_int_gt(fputs("answer", wire.stream), 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_str_eq((char *)wire.data, "answer");
	wire_end(&wire);
}
END_TEST

/* The same of who is answering: writing it takes longer than the linger. */
START_TEST(each_write_restarts_the_linger)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.linger_ms = 700;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	for (int i = 0; i < 10; i++) {
		poll(NULL, 0, 90);
		ck_assert_int_eq(putc('0' + i, wire.stream), '0' + i);
		ck_assert_int_eq(fflush(wire.stream), 0);
	}
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_str_eq((char *)wire.data, "0123456789");
	ck_assert_uint_eq(wire.close_code, 1000);
	wire_end(&wire);
}
END_TEST

/* --- the writer that cannot read --- */

START_TEST(write_stream_discards_what_arrives)
{
	static const uint8_t zeros[65536];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "w", NULL, 0);
	for (int i = 0; i < 160; i++)
		wire_frame(&wire, PEER_BINARY, zeros, sizeof zeros);
	wire_goodbye(&wire, 1000, "");
	wire_finish(&wire, WIRE_NO_ANSWER);
	ck_assert_int_gt(fputs("hello", wire.stream), 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello");
	wire_end(&wire);
}
END_TEST

/* --- TCP ends without a Close --- */

/* _i: role, then FIN or RST */
START_TEST(end_of_tcp_without_a_close_is_an_error_behind_all_data)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)(_i / 2), "r+", NULL, 0);
	wire_say(&wire, "one\ntwo\nhal");
	peer_wait_sent(wire.peer);
	if (_i % 2 == 0) {
		peer_fin(wire.peer);
	} else {
		peer_reset(wire.peer);
		wire.peer = -1;
	}
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	for (const char *next = "hal"; *next != '\0'; next++)
		ck_assert_int_eq(fgetc(wire.stream), *next);
	wire_expect_end(wire.stream, ECONNRESET);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	expect_status(wire.stream, 0, 0, false, ECONNRESET);
	wire_expect_unwritable(wire.stream, EPIPE);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/*
 * Whoever finds the reset first, fclose's own Close or the library's thread, which reads nothing while it is paused:
 * what the kernel still holds decides. _i: role, then whether a Close is in it; nothing was written that could be lost.
 */
START_TEST(reset_of_a_stream_that_is_paused_is_told_by_fclose)
{
	static const uint8_t zeros[32768];
	struct ws_options options = WS_OPTIONS_INIT;
	bool closes = _i % 2 == 1;
	struct wire wire;

	options.recv_buffer_bytes = 4096;
	options.stdio_buffer_bytes = 1024;
	for (int i = 0; i < 20; i++) {
		wire_open(&wire, (enum wire_role)(_i / 2), "r+", &options, 0);
		wire_frame(&wire, PEER_BINARY, zeros, sizeof zeros);
		if (closes)
			wire_goodbye(&wire, 1000, "");
		wire_wait_received(wire.stream, 1024);
		peer_wait_sent(wire.peer);
		peer_reset(wire.peer);
		wire.peer = -1;
		wire_fclose(&wire, closes ? 0 : ECONNRESET);
		wire_end(&wire);
	}
}
END_TEST

/* A frame that is cut is delivered as far as it came. _i: role, then inside the header or the payload */
START_TEST(cut_frame_is_an_error)
{
	uint8_t frame[14 + 4] = { 0 };
	bool in_payload = _i % 2 == 1;
	struct wire wire;
	size_t head;

	wire_open(&wire, (enum wire_role)(_i / 2), "r+", NULL, 0);
	wire_say(&wire, "one\n");
	head = peer_frame_head(frame, PEER_BINARY, wire.peer_masks, 70000);
	/* Zeros, which look like the key itself when masked. */
	if (wire.peer_masks)
		memcpy(frame + head, frame + head - 4, 4);
	peer_send(wire.peer, frame, in_payload ? head + 3 : head - 1);
	peer_fin(wire.peer);
	wire_expect_line(wire.stream, "one\n");
	for (int i = 0; in_payload && i < 3; i++)
		ck_assert_int_eq(fgetc(wire.stream), 0);
	wire_expect_end(wire.stream, ECONNRESET);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("close");
	TCase *ours = wire_case(suite, "we close first"), *theirs = wire_case(suite, "the peer closes first");

	tcase_add_loop_test(ours, fclose_sends_all_and_returns_a_receipt, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, fclose_without_any_data_is_clean, 0, WIRE_ROLES * 3);
	tcase_add_loop_test(ours, fclose_discards_what_still_arrives, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, unread_input_does_not_spoil_the_receipt, 0, WIRE_ROLES);
	tcase_add_test(ours, client_waits_for_the_server_to_end_tcp);
	tcase_add_loop_test(ours, the_peers_close_is_the_receipt_even_if_tcp_stays, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, peer_that_never_answers_a_close_times_out, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, close_timeout_of_0_does_not_wait, 0, WIRE_ROLES);
	tcase_add_loop_test(ours, our_close_that_is_not_answered_in_order_is_no_receipt, 0, WIRE_ROLES * SPOILS);

	tcase_add_loop_test(theirs, peers_close_is_eof_and_we_may_still_answer, 0, WIRE_ROLES * 3);
	tcase_add_loop_test(theirs, ws_shutdown_answers_the_peers_close, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, reset_behind_our_answering_close_is_no_receipt, 0, WIRE_ROLES);
#ifdef TCP_USER_TIMEOUT
	tcase_add_loop_test(theirs, tcp_that_gives_up_behind_our_answering_close_is_no_receipt, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, tcp_that_gives_up_is_no_time_limit_of_a_read, 0, WIRE_ROLES);
#endif
	tcase_add_loop_test(theirs, tcp_that_ends_before_our_close_is_a_receipt_only_for_nothing, 0, WIRE_ROLES * 4);
	tcase_add_loop_test(theirs, another_valid_code_is_echoed_and_read_as_an_error, 0, WIRE_ROLES * 5);
	tcase_add_loop_test(theirs, close_is_answered_at_once, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(theirs, when_the_linger_ends_our_close_goes_out, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, each_read_restarts_the_linger, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, each_write_restarts_the_linger, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, write_stream_discards_what_arrives, 0, WIRE_ROLES);
	tcase_add_loop_test(theirs, end_of_tcp_without_a_close_is_an_error_behind_all_data, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(theirs, reset_of_a_stream_that_is_paused_is_told_by_fclose, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(theirs, cut_frame_is_an_error, 0, WIRE_ROLES * 2);

	return wire_run(suite);
}
