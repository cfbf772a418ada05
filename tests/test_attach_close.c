/* SPDX-License-Identifier: 0BSD */
/* How streams over a program's own libwebsockets end: by either side, by the wire, by the program. */
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "site.h"
#include "wire.h"

/* One stream and the raw peer at its other end. */
struct end {
	struct site site;
	FILE *stream;
	int peer;
};

static void end_open(struct end *end, const struct ws_options *options)
{
	site_open(&end->site, options);
	end->peer = site_peer(&end->site, 0);
	end->stream = site_accept(&end->site, "r+");
}

static void end_fclose(struct end *end, int error)
{
	int result, saved;

	errno = 0;
	result = fclose(end->stream);
	saved = errno;
	ck_assert_msg(error == 0 ? result == 0 : result == EOF && saved == error, "fclose: %d, %s", result,
	    strerror(saved));
}

static void end_close(struct end *end)
{
	if (end->peer >= 0)
		ck_assert_int_eq(close(end->peer), 0);
	site_close(&end->site);
}

static void expect_line_at_peer(int peer, const char *line)
{
	struct peer_frame frame;

	ck_assert(peer_read_frame(peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_BINARY);
	ck_assert_str_eq((char *)frame.payload, line);
	peer_frame_clear(&frame);
}

/* --- we close first --- */

START_TEST(shutdown_sends_data_and_close_and_reading_goes_on)
{
	struct ws_status status = WS_STATUS_INIT;
	struct peer_frame frame;
	struct end end;

	end_open(&end, NULL);
	fputs("question\n", end.stream);
	ck_assert_int_eq(ws_shutdown(end.stream, 4321, "that was all"), 0);
	expect_line_at_peer(end.peer, "question\n");
	ck_assert(peer_read_frame(end.peer, &frame));
	ck_assert_uint_eq(peer_close_code(&frame), 4321);
	ck_assert_str_eq((char *)frame.payload + 2, "that was all");
	peer_frame_clear(&frame);
	wire_expect_unwritable(end.stream, EPIPE);
	/* What comes behind our own Close counts. */
	peer_frame(end.peer, PEER_BINARY, true, "late\n", 5);
	clearerr(end.stream);
	wire_expect_line(end.stream, "late\n");
	peer_close(end.peer, true, 4321, "bye");
	wire_expect_end(end.stream, 0);
	ck_assert_int_eq(ws_status(end.stream, &status), 0);
	ck_assert_uint_eq(status.close_code_sent, 4321);
	ck_assert_uint_eq(status.close_code_received, 4321);
	ck_assert_str_eq(status.close_reason_received, "bye");
	ck_assert(peer_at_end(end.peer));
	/* A write had failed, and fclose repeats it. */
	end_fclose(&end, EPIPE);
	end_close(&end);
}
END_TEST

static void *answer_close(void *argument)
{
	int peer = *(int *)argument;

	ck_assert_uint_eq(peer_read_until_close(peer, NULL, NULL), 1000);
	peer_close(peer, true, 1000, NULL);
	return NULL;
}

START_TEST(fclose_waits_for_the_answer)
{
	pthread_t thread;
	struct end end;

	end_open(&end, NULL);
	fputs("all\n", end.stream);
	peer_thread(&thread, answer_close, &end.peer);
	end_fclose(&end, 0);
	peer_join(thread);
	end_close(&end);
}
END_TEST

START_TEST(a_peer_that_never_answers_is_a_timeout)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct end end;

	options.close_timeout_ms = 100;
	end_open(&end, &options);
	fputs("all\n", end.stream);
	end_fclose(&end, ETIMEDOUT);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1000);
	end_close(&end);
}
END_TEST

START_TEST(a_silent_peer_gets_pings_and_then_close_1011)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct peer_frame frame;
	struct end end;

	options.ping_interval_ms = 100;
	end_open(&end, &options);
	ck_assert(peer_read_frame(end.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PING);
	while (frame.byte0 == PEER_PING) {
		peer_frame_clear(&frame);
		ck_assert(peer_read_frame(end.peer, &frame));
	}
	ck_assert_uint_eq(frame.byte0, PEER_CLOSE);
	ck_assert_uint_eq(peer_close_code(&frame), 1011);
	peer_frame_clear(&frame);
	wire_expect_end(end.stream, ETIMEDOUT);
	end_fclose(&end, ETIMEDOUT);
	end_close(&end);
}
END_TEST

/* --- the peer closes first --- */

static const struct {
	unsigned code, answer;
	int error;
} closes[] = {
	{ 1000, 1000, 0 }, { 1001, 1000, 0 }, { 0, 1000, 0 }, { 1011, 1011, ECONNABORTED },
	{ 4000, 4000, ECONNABORTED }, { 3999, 3999, ECONNABORTED },
};

START_TEST(a_close_of_the_peer_ends_reading)
{
	struct ws_status status = WS_STATUS_INIT;
	struct end end;

	end_open(&end, NULL);
	fputs("before\n", end.stream);
	ck_assert_int_eq(fflush(end.stream), 0);
	expect_line_at_peer(end.peer, "before\n");
	peer_frame(end.peer, PEER_BINARY, true, "last\n", 5);
	peer_close(end.peer, true, closes[_i].code, closes[_i].code != 0 ? "why" : NULL);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), closes[_i].answer);
	peer_fin(end.peer);
	wire_expect_line(end.stream, "last\n");
	wire_expect_end(end.stream, closes[_i].error);
	ck_assert_int_eq(ws_status(end.stream, &status), 0);
	ck_assert_uint_eq(status.close_code_received, closes[_i].code != 0 ? closes[_i].code : 1005);
	ck_assert_str_eq(status.close_reason_received, closes[_i].code != 0 ? "why" : "");
	/* Orderly behind both Closes, which is the receipt for what was written. */
	end_fclose(&end, closes[_i].error);
	end_close(&end);
}
END_TEST

START_TEST(a_close_without_the_end_of_tcp_is_no_receipt)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct end end;

	options.close_timeout_ms = 200;
	end_open(&end, &options);
	fputs("before\n", end.stream);
	ck_assert_int_eq(fflush(end.stream), 0);
	peer_close(end.peer, true, 1000, NULL);
	wire_expect_end(end.stream, 0);
	end_fclose(&end, ECONNRESET);
	end_close(&end);
}
END_TEST

/* What the stream holds when the Close comes still goes out. */
START_TEST(a_close_does_not_overtake_what_was_written)
{
	static uint8_t data[200000];
	struct peer_frame frame;
	struct end end;
	size_t got = 0;

	wire_pattern(0, data, sizeof data);
	end_open(&end, NULL);
	ck_assert_uint_eq(fwrite(data, 1, sizeof data, end.stream), sizeof data);
	ck_assert_int_eq(fflush(end.stream), 0);
	/* All of it has to be with the kernel: a send that libwebsockets keeps in part is lost with this. */
	ck_assert_int_eq(ws_drain(end.stream, -1), 0);
	peer_close(end.peer, true, 1000, NULL);
	while (peer_read_frame(end.peer, &frame) && frame.byte0 != PEER_CLOSE) {
		ck_assert(wire_pattern_matches(got, frame.payload, (size_t)frame.size));
		got += (size_t)frame.size;
		peer_frame_clear(&frame);
	}
	ck_assert_uint_eq(peer_close_code(&frame), 1000);
	peer_frame_clear(&frame);
	ck_assert_uint_eq(got, sizeof data);
	peer_fin(end.peer);
	wire_expect_end(end.stream, 0);
	end_fclose(&end, 0);
	end_close(&end);
}
END_TEST

START_TEST(a_close_before_ws_accept_is_not_lost)
{
	struct site site;
	FILE *stream;
	int peer;

	site_open(&site, NULL);
	peer = site_peer(&site, 0);
	peer_frame(peer, PEER_BINARY, true, "all\n", 4);
	peer_close(peer, true, 1000, NULL);
	ck_assert_uint_eq(peer_read_until_close(peer, NULL, NULL), 1000);
	ck_assert(peer_at_end(peer));
	stream = site_accept(&site, "r+");
	wire_expect_line(stream, "all\n");
	wire_expect_end(stream, 0);
	wire_expect_unwritable(stream, EPIPE);
	ck_assert_int_eq(fclose(stream), EOF);
	ck_assert_int_eq(close(peer), 0);
	site_close(&site);
}
END_TEST

/* --- the connection breaks --- */

START_TEST(a_cut_is_an_error_behind_all_bytes)
{
	struct end end;

	end_open(&end, NULL);
	peer_frame(end.peer, PEER_BINARY, true, "first\nsecond\n", 13);
	wire_expect_line(end.stream, "first\n");
	if (_i == 0) {
		peer_reset(end.peer);
		end.peer = -1;
	} else {
		peer_fin(end.peer);
	}
	wire_expect_line(end.stream, "second\n");
	wire_expect_end(end.stream, ECONNRESET);
	end_fclose(&end, ECONNRESET);
	end_close(&end);
}
END_TEST

START_TEST(what_the_peer_breaks_is_told)
{
	struct ws_status status = WS_STATUS_INIT;
	struct end end;

	end_open(&end, NULL);
	peer_frame(end.peer, PEER_BINARY, true, "good\n", 5);
	peer_frame(end.peer, 0x83, true, "reserved", 8);
	wire_expect_line(end.stream, "good\n");
	peer_fin(end.peer);
	wire_expect_end(end.stream, EPROTO);
	ck_assert_int_eq(ws_status(end.stream, &status), 0);
	ck_assert_ptr_nonnull(strstr(status.error_text, "libwebsockets"));
	end_fclose(&end, EPROTO);
	end_close(&end);
}
END_TEST

START_TEST(refused_text_closes_with_1003)
{
	struct end end;

	end_open(&end, NULL);
	peer_frame(end.peer, PEER_BINARY, true, "good\n", 5);
	peer_frame(end.peer, PEER_TEXT, true, "text\n", 5);
	wire_expect_line(end.stream, "good\n");
	wire_expect_end(end.stream, EBADMSG);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1003);
	peer_close(end.peer, true, 1003, NULL);
	end_fclose(&end, EBADMSG);
	end_close(&end);
}
END_TEST

START_TEST(a_message_over_the_limit_closes_with_1009)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static uint8_t data[30000];
	struct end end;

	options.max_message_bytes = 20000;
	end_open(&end, &options);
	peer_frame(end.peer, PEER_BINARY, true, data, sizeof data);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1009);
	peer_close(end.peer, true, 1009, NULL);
	while (getc(end.stream) != EOF)
		;
	wire_expect_end(end.stream, EMSGSIZE);
	end_fclose(&end, EMSGSIZE);
	end_close(&end);
}
END_TEST

static void *abort_stream(void *argument)
{
	ck_assert_int_eq(ws_abort(argument), 0);
	return NULL;
}

START_TEST(ws_abort_ends_a_blocked_read)
{
	pthread_t thread;
	struct end end;

	end_open(&end, NULL);
	peer_thread(&thread, abort_stream, end.stream);
	wire_expect_end(end.stream, ECONNABORTED);
	peer_join(thread);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 0);
	end_fclose(&end, ECONNABORTED);
	end_close(&end);
}
END_TEST

/* --- the program's context and listener --- */

static void *read_to_error(void *argument)
{
	wire_expect_end(argument, ECONNRESET);
	return NULL;
}

START_TEST(destroying_the_context_ends_its_streams)
{
	pthread_t thread;
	struct end end;

	end_open(&end, NULL);
	peer_thread(&thread, read_to_error, end.stream);
	site_stop(&end.site);
	site_destroy(&end.site);
	peer_join(thread);
	wire_expect_unwritable(end.stream, EPIPE);
	ck_assert_int_eq(fclose(end.stream), EOF);
	end_close(&end);
}
END_TEST

START_TEST(fclose_after_the_context_is_gone_frees)
{
	struct end end;

	end_open(&end, NULL);
	fputs("never sent", end.stream);
	site_stop(&end.site);
	site_destroy(&end.site);
	ck_assert_int_eq(fclose(end.stream), EOF);
	end_close(&end);
}
END_TEST

/* The context is there, and nobody serves it. */
START_TEST(fclose_is_bounded_when_nobody_serves)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct end end;

	options.close_timeout_ms = 100;
	end_open(&end, &options);
	site_stop(&end.site);
	fputs("never sent", end.stream);
	end_fclose(&end, ETIMEDOUT);
	end_close(&end);
}
END_TEST

START_TEST(a_listener_can_be_closed_before_the_context)
{
	struct site site;
	struct end end;
	char answer[512];
	int waiting, refused;

	end_open(&end, NULL);
	waiting = site_peer(&end.site, 0);
	/* Until it is in the queue: a third comes behind it. */
	refused = site_peer(&end.site, 0);
	ck_assert_int_eq(close(refused), 0);
	site = end.site;
	ck_assert_int_eq(ws_listener_close(end.site.listener), 0);
	end.site.listener = NULL;
	ck_assert_uint_eq(peer_read_until_close(waiting, NULL, NULL), 1001);
	ck_assert_int_eq(close(waiting), 0);
	refused = peer_connect(site.port);
	snprintf(answer, sizeof answer, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Protocol: " SITE_PROTOCOL "\r\n\r\n");
	peer_send(refused, answer, strlen(answer));
	ck_assert(peer_at_end(refused));
	ck_assert_int_eq(close(refused), 0);
	/* The one that was accepted goes on. */
	peer_frame(end.peer, PEER_BINARY, true, "still\n", 6);
	wire_expect_line(end.stream, "still\n");
	peer_close(end.peer, true, 1000, NULL);
	wire_expect_end(end.stream, 0);
	end_fclose(&end, 0);
	end_close(&end);
}
END_TEST

START_TEST(a_listener_closes_when_nobody_serves)
{
	struct site site;
	int peer;

	site_open(&site, NULL);
	peer = site_peer(&site, 0);
	site_stop(&site);
	ck_assert_int_eq(ws_listener_close(site.listener), 0);
	site.listener = NULL;
	ck_assert_int_eq(close(peer), 0);
	site_close(&site);
}
END_TEST

/* --- the service thread itself --- */

static void read_here(void *argument)
{
	errno = 0;
	ck_assert_int_eq(getc(argument), EOF);
	ck_assert_int_eq(errno, EDEADLK);
}

static void write_here(void *argument)
{
	static uint8_t data[1 << 20];
	size_t n = 1;

	errno = 0;
	for (int i = 0; i < 100 && n == 1; i++)
		n = fwrite(data, sizeof data, 1, argument);
	ck_assert_uint_ne(n, 1);
	ck_assert_int_eq(errno, EDEADLK);
}

static void fclose_here(void *argument)
{
	errno = 0;
	ck_assert_int_eq(fclose(argument), EOF);
	ck_assert_int_eq(errno, EDEADLK);
}

START_TEST(the_service_thread_never_waits_for_itself)
{
	struct end end;

	end_open(&end, NULL);
	site_run(&end.site, read_here, end.stream);
	clearerr(end.stream);
	peer_frame(end.peer, PEER_BINARY, true, "goes on\n", 8);
	wire_expect_line(end.stream, "goes on\n");
	site_run(&end.site, write_here, end.stream);
	site_run(&end.site, fclose_here, end.stream);
	end_close(&end);
}
END_TEST

static void stop_here(void *argument)
{
	errno = 0;
	ck_assert_int_eq(ws_listener_stop(argument, -1), -1);
	ck_assert_int_eq(errno, EDEADLK);
	ck_assert_int_eq(ws_listener_stop(argument, 0), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
}

static void close_here(void *argument)
{
	ck_assert_int_eq(ws_listener_close(argument), 0);
}

START_TEST(the_service_thread_may_end_the_listener)
{
	struct end end;
	int waiting, third;

	end_open(&end, NULL);
	waiting = site_peer(&end.site, 0);
	/* Until it is in the queue: a third comes behind it. */
	third = site_peer(&end.site, 0);
	if (_i == 0) {
		site_run(&end.site, stop_here, end.site.listener);
		ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1001);
	}
	site_run(&end.site, close_here, end.site.listener);
	end.site.listener = NULL;
	ck_assert_uint_eq(peer_read_until_close(waiting, NULL, NULL), 1001);
	ck_assert_int_eq(close(waiting), 0);
	ck_assert_int_eq(close(third), 0);
	peer_close(end.peer, true, 1000, NULL);
	wire_expect_end(end.stream, 0);
	peer_fin(end.peer);
	end_fclose(&end, 0);
	end_close(&end);
}
END_TEST

/* libwebsockets lets in what a stream refuses: its end must not depend on the service thread either. */
START_TEST(a_refused_request_does_not_hold_up_the_listener)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: [::\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Protocol: " SITE_PROTOCOL "\r\n\r\n";
	struct ws_options options = WS_OPTIONS_INIT;
	struct site site;
	int peer;

	options.close_timeout_ms = 60000;
	site_open(&site, &options);
	peer = peer_connect(site.port);
	free(peer_client_raw(peer, request, strlen(request)));
	if (_i == 0) {
		site_run(&site, close_here, site.listener);
	} else {
		site_stop(&site);
		ck_assert_int_eq(ws_listener_close(site.listener), 0);
	}
	site.listener = NULL;
	ck_assert_int_eq(close(peer), 0);
	site_close(&site);
}
END_TEST

static void read_there(void *argument)
{
	wire_expect_line(argument, "there already\n");
	fputs("answer\n", argument);
	ck_assert_int_eq(fflush(argument), 0);
}

START_TEST(the_service_thread_may_use_what_does_not_wait)
{
	struct end end;

	end_open(&end, NULL);
	peer_frame(end.peer, PEER_BINARY, true, "there already\n", 14);
	wire_wait_received(end.stream, 14);
	site_run(&end.site, read_there, end.stream);
	expect_line_at_peer(end.peer, "answer\n");
	peer_close(end.peer, true, 1000, NULL);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1000);
	peer_fin(end.peer);
	wire_wait_state(end.stream, WS_STATE_CLOSED);
	end_fclose(&end, 0);
	end_close(&end);
}
END_TEST

static void note_closed(const struct ws_event *event, void *user)
{
	if (event->type != WS_EVENT_CLOSED)
		return;
	ck_assert(event->clean);
	ck_assert_uint_eq(event->close_code_sent, 1000);
	sem_post(user);
}

/* _i: who closes first. */
START_TEST(a_good_end_is_told_before_fclose)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct timespec until;
	struct end end;
	sem_t closed;

	ck_assert_int_eq(sem_init(&closed, 0, 0), 0);
	options.observer = note_closed;
	options.observer_user = &closed;
	end_open(&end, &options);
	if (_i == 0)
		peer_close(end.peer, true, 1000, NULL);
	if (_i == 0)
		wire_expect_end(end.stream, 0);
	else
		ck_assert_int_eq(ws_shutdown(end.stream, 1000, NULL), 0);
	ck_assert_uint_eq(peer_read_until_close(end.peer, NULL, NULL), 1000);
	if (_i == 1)
		peer_close(end.peer, true, 1000, NULL);
	ck_assert(peer_at_end(end.peer));
	close(end.peer);
	end.peer = -1;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 15;
	ck_assert_msg(sem_timedwait(&closed, &until) == 0, "%s", strerror(errno));
	end_fclose(&end, 0);
	end_close(&end);
	ck_assert_int_eq(sem_trywait(&closed), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attach_close");
	TCase *tcase = wire_case(suite, "ours");

	tcase_add_test(tcase, shutdown_sends_data_and_close_and_reading_goes_on);
	tcase_add_test(tcase, fclose_waits_for_the_answer);
	tcase_add_test(tcase, a_peer_that_never_answers_is_a_timeout);
	tcase_add_test(tcase, a_silent_peer_gets_pings_and_then_close_1011);
	tcase_add_loop_test(tcase, a_good_end_is_told_before_fclose, 0, 2);
	tcase = wire_case(suite, "theirs");
	tcase_add_loop_test(tcase, a_close_of_the_peer_ends_reading, 0, (int)(sizeof closes / sizeof closes[0]));
	tcase_add_test(tcase, a_close_without_the_end_of_tcp_is_no_receipt);
	tcase_add_test(tcase, a_close_does_not_overtake_what_was_written);
	tcase_add_test(tcase, a_close_before_ws_accept_is_not_lost);
	tcase = wire_case(suite, "broken");
	tcase_add_loop_test(tcase, a_cut_is_an_error_behind_all_bytes, 0, 2);
	tcase_add_test(tcase, what_the_peer_breaks_is_told);
	tcase_add_test(tcase, refused_text_closes_with_1003);
	tcase_add_test(tcase, a_message_over_the_limit_closes_with_1009);
	tcase_add_test(tcase, ws_abort_ends_a_blocked_read);
	tcase = wire_case(suite, "context");
	tcase_add_test(tcase, destroying_the_context_ends_its_streams);
	tcase_add_test(tcase, fclose_after_the_context_is_gone_frees);
	tcase_add_test(tcase, fclose_is_bounded_when_nobody_serves);
	tcase_add_test(tcase, a_listener_can_be_closed_before_the_context);
	tcase_add_test(tcase, a_listener_closes_when_nobody_serves);
	tcase = wire_case(suite, "service thread");
	tcase_add_test(tcase, the_service_thread_never_waits_for_itself);
	tcase_add_loop_test(tcase, the_service_thread_may_end_the_listener, 0, 2);
	tcase_add_loop_test(tcase, a_refused_request_does_not_hold_up_the_listener, 0, 2);
	tcase_add_test(tcase, the_service_thread_may_use_what_does_not_wait);
	return wire_run(suite);
}
