/* SPDX-License-Identifier: 0BSD */
/*
 * A process ends with streams open: by exit(3) they are closed as if by fclose(3), all at a time; whatever else ends
 * it, the other end must get an error. The processes are in process_child_exit.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "memcheck.h"
#include "pki.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define SMALL_BYTES 32768
#define MUCH_BYTES ((size_t)16 << 20)
#define ALL_TEXT "in the kernel, in the buffer"

static void close_well(struct meeting *meeting, unsigned number, const char *text)
{
	meeting_expect_close(meeting, number, 1000, text);
	meeting_answer(meeting, number);
}

/* --- exit --- */

static const char *const graceful[] = { "exit", "return", "thread" };

/* _i: role, then the way. The process waits for the peer's Close, and for the end of TCP. */
START_TEST(exit_flushes_and_closes)
{
	struct meeting meeting;
	char noise[50000] = { 0 };

	meeting_open(&meeting, (enum wire_role)(_i % 2), "written", graceful[_i / 2], 0);
	meeting_expect_close(&meeting, 0, 1000, ALL_TEXT);
	/* What a process that is gone would answer with a reset. */
	for (int i = 0; i < 20; i++)
		peer_frame(meeting.peer[0], PEER_BINARY, _i % 2 == LIBRARY_IS_SERVER, noise, sizeof noise);
	ck_assert(child_lives(&meeting.child));
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(exit_closes_both_halves)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "pair", "exit", 0);
	close_well(&meeting, 0, "by half");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(exit_waits_until_all_bytes_are_out)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "much", "return", SMALL_BYTES);
	meeting_expect_pattern(&meeting, 0, 1000, MUCH_BYTES);
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* 20 peers that never answer, 2 s each, would take 40 s one by one: the child's limit. */
START_TEST(exit_closes_all_at_a_time)
{
	enum { SILENT = 20, ALL = 30 };
	struct meeting meeting;
	char text[32], count[8];

	snprintf(count, sizeof count, "%d", ALL);
	meeting_begin(&meeting, (enum wire_role)_i, "many", count, 0);
	for (unsigned i = 0; i < ALL; i++)
		ck_assert_uint_eq(meeting_join(&meeting), i);
	for (unsigned i = SILENT; i < ALL; i++) {
		snprintf(text, sizeof text, "this is %u", i);
		close_well(&meeting, i, text);
	}
	child_exits(&meeting.child, 0);
	for (unsigned i = 0; i < SILENT; i++) {
		snprintf(text, sizeof text, "this is %u", i);
		meeting_expect_close(&meeting, i, 1000, text);
		ck_assert(peer_at_end(meeting.peer[i]));
	}
	meeting_end(&meeting);
}
END_TEST

/* The first one's time is over long before the second one's peer answers. */
START_TEST(a_stream_with_little_time_takes_none_from_the_others)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "unequal", NULL, 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	meeting_expect_close(&meeting, 0, 1000, "soon");
	meeting_expect_close(&meeting, 1, 1000, "late");
	usleep(100000);
	ck_assert(child_lives(&meeting.child));
	meeting_answer(&meeting, 1);
	ck_assert(peer_at_end(meeting.peer[0]));
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(what_cannot_be_sent_in_time_is_an_error_to_the_peer)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "stalled", NULL, SMALL_BYTES);
	child_exits(&meeting.child, 0);
	ck_assert_uint_gt(meeting_expect_cut_pattern(&meeting, 0), 0);
	meeting_end(&meeting);
}
END_TEST

/* _i: role, then a stream or a pair */
START_TEST(a_blocked_reader_is_no_hindrance)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)(_i % 2), _i < 2 ? "reader" : "pair_reader", "exit", 0);
	close_well(&meeting, 0, _i < 2 ? "before it reads" : "while it reads");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(a_close_beside_the_step_has_its_own_verdict)
{
	struct meeting meeting;

	meeting_begin(&meeting, (enum wire_role)_i, "beside", "exit", 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	close_well(&meeting, 0, "first");
	child_expect(&meeting.child, "closed");
	close_well(&meeting, 1, "second");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(a_blocked_write_that_cannot_end_is_an_error_to_the_peer)
{
	struct meeting meeting;
	size_t size;

	meeting_open(&meeting, (enum wire_role)_i, "writer", "300", SMALL_BYTES);
	child_expect(&meeting.child, "exits");
	child_exits(&meeting.child, 0);
	size = meeting_expect_cut_pattern(&meeting, 0);
	ck_assert_uint_lt(size, MUCH_BYTES);
	meeting_end(&meeting);
}
END_TEST

START_TEST(a_blocked_write_has_the_time_there_is)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "writer", "30000", SMALL_BYTES);
	child_expect(&meeting.child, "exits");
	meeting_expect_pattern(&meeting, 0, 1000, MUCH_BYTES);
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(a_failed_write_stays_one)
{
	struct meeting meeting;
	uint8_t *data = NULL;
	size_t size = 0;

	meeting_open(&meeting, (enum wire_role)_i, "failed", NULL, SMALL_BYTES);
	child_expect(&meeting.child, "failed");
	ck_assert_uint_eq(peer_read_until_close(meeting.peer[0], &data, &size), 1011);
	ck_assert(size < MUCH_BYTES && wire_pattern_matches(0, data, size));
	free(data);
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(a_close_that_was_sent_stays_the_only_one)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "shut_down", NULL, 0);
	meeting_expect_close(&meeting, 0, 4000, "the end");
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(an_aborted_stream_is_not_closed)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "aborted", NULL, 0);
	meeting_expect_cut(&meeting, 0, "in the kernel");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* The peer's Close came first: ours is the last word, and TCP ends. */
START_TEST(an_answer_is_sent_whole)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "answer", "exit", 0);
	meeting_say(&meeting, 0, "question");
	peer_close(meeting.peer[0], _i == LIBRARY_IS_SERVER, 1000, "");
	meeting_expect_close(&meeting, 0, 1000, "answer");
	if (_i == LIBRARY_IS_CLIENT)
		peer_fin(meeting.peer[0]);
	ck_assert(!peer_was_reset(meeting.peer[0]));
	peer_fin(meeting.peer[0]);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(nothing_is_left_behind_the_step)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "after", NULL, 0);
	close_well(&meeting, 0, "before");
	child_expect(&meeting.child, "threads 0");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* What the program wrote is sent, but it never said that this was all. */
START_TEST(a_descriptor_is_an_error_to_the_peer)
{
	struct meeting meeting;

	meeting_open(&meeting, LIBRARY_IS_CLIENT, "descriptor", _i == 0 ? "return" : "exit", 0);
	meeting_expect_pattern(&meeting, 0, 1011, 1 << 20);
	meeting_answer(&meeting, 0);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* --- from inside, and in the midst of other calls --- */

START_TEST(exit_in_an_observer_ends_the_process)
{
	struct meeting meeting;

	meeting_begin(&meeting, (enum wire_role)_i, "observer", NULL, 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	child_expect(&meeting.child, "ready");
	peer_frame(meeting.peer[1], PEER_PING, _i == LIBRARY_IS_SERVER, "now", 3);
	close_well(&meeting, 0, "other");
	child_exits(&meeting.child, 7);
	meeting_end(&meeting);
}
END_TEST

START_TEST(exit_in_an_authorize_callback_ends_the_process)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
	struct meeting meeting;
	int fd;

	meeting_begin(&meeting, LIBRARY_IS_SERVER, "authorize", NULL, 0);
	fd = peer_connect(meeting.port);
	peer_send(fd, request, sizeof request - 1);
	child_exits(&meeting.child, 5);
	close(fd);
	meeting_end(&meeting);
}
END_TEST

/* The second connection's handshake is never answered. */
START_TEST(exit_while_a_stream_is_opened)
{
	struct meeting meeting;
	int fd;

	meeting_open(&meeting, LIBRARY_IS_CLIENT, "opening", "exit", 0);
	fd = peer_accept(meeting.listener);
	child_tell(&meeting.child, "go");
	close_well(&meeting, 0, "meanwhile");
	child_exits(&meeting.child, 0);
	close(fd);
	meeting_end(&meeting);
}
END_TEST

START_TEST(exit_while_a_thread_accepts)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_SERVER, "accepting", "exit", 0);
	child_tell(&meeting.child, "go");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* _i: a moment */
START_TEST(exit_in_the_midst_of_everything)
{
	struct child child;
	char us[16];
	const char *arguments[] = { "busy", "none", us, NULL };

	peer_count_begin();
	snprintf(us, sizeof us, "%d", 1 << (_i + 6));
	child_run(&child, "process_child", arguments);
	child_exits(&child, 0);
	peer_count_end();
}
END_TEST

/* --- other ends of a process --- */

static const struct {
	const char *way;
	int number;			/* of a signal, 0 = it exits */
} graceless[] = { { "_exit", 0 }, { "quick_exit", 0 }, { "abort", SIGABRT }, { "term", SIGTERM }, { "kill", SIGKILL } };

static void expect_graceless_end(struct child *child, int way)
{
	if (graceless[way].number != 0)
		child_dies(child, graceless[way].number);
	else
		child_exits(child, 0);
}

START_TEST(any_other_end_sends_nothing)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)(_i % 2), "written", graceless[_i / 2].way, 0);
	meeting_expect_cut(&meeting, 0, "in the kernel, ");
	expect_graceless_end(&meeting.child, _i / 2);
	meeting_end(&meeting);
}
END_TEST

static void read_to_the_end(FILE *stream, const char *text, int error)
{
	char got[64] = "";
	size_t size;
	int saved;

	errno = 0;
	size = fread(got, 1, sizeof got - 1, stream);
	saved = errno;
	ck_assert_str_eq(got, text);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_msg(error == 0 ? feof(stream) && !ferror(stream) : ferror(stream) && !feof(stream) && saved == error,
	    "feof %d, %s", feof(stream), strerror(saved));
	wire_expect_end(stream, error);
}

/* The library at this end, too. _i: ws or wss, then the way: graceful, or not. */
START_TEST(library_tells_one_from_the_other)
{
	bool secure = _i % 2 == 1;
	int way = _i / 2, gentle = COUNT(graceful);
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	struct child child;
	char option[4200];
	const char *arguments[] = { "written", NULL, option, NULL };
	FILE *stream;

	peer_count_begin();
	options.cert_file = secure ? pki_file("server.pem") : NULL;
	options.key_file = secure ? pki_file("server.key") : NULL;
	listener = ws_listen(secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	arguments[1] = ws_listener_url(listener);
	snprintf(option, sizeof option, "%s%s%s", way < gentle ? graceful[way] : graceless[way - gentle].way,
	    secure ? "," : "", secure ? pki_file("ca.pem") : "");
	child_run(&child, "process_child", arguments);
	stream = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(stream);
	read_to_the_end(stream, way < gentle ? ALL_TEXT : "in the kernel, ", way < gentle ? 0 : ECONNRESET);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_uint_eq(status.close_code_received, way < gentle ? 1000 : 0);
	ck_assert_int_eq(fclose(stream), way < gentle ? 0 : EOF);
	if (way < gentle)
		child_exits(&child, 0);
	else
		expect_graceless_end(&child, way - gentle);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

/* --- before main and behind it --- */

/* _i: role, then what is done */
START_TEST(exit_handlers_use_streams)
{
	static const struct { const char *option, *text; } cases[] = {
		{ "write", "in main, at exit, unflushed" },
		{ "open", "opened at exit" },
		{ "close", "opened at exit" },
		{ "read", "question" },
	};
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)(_i % 2), "at_exit", cases[_i / 2].option, 0);
	if (strcmp(cases[_i / 2].option, "read") == 0)
		meeting_say(&meeting, 0, "answer\n");
	close_well(&meeting, 0, cases[_i / 2].text);
	if (strcmp(cases[_i / 2].option, "close") == 0)
		child_expect(&meeting.child, "closed");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(constructor_and_destructor_use_streams)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "early", NULL, 0);
	close_well(&meeting, 0, "early, in main, in a destructor");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exit");
	TCase *by_exit = wire_case(suite, "exit"), *inside = wire_case(suite, "inside"),
	    *other = wire_case(suite, "other"), *around = wire_case(suite, "around");
	int status;

	tcase_add_loop_test(by_exit, exit_flushes_and_closes, 0, WIRE_ROLES * COUNT(graceful));
	tcase_add_loop_test(by_exit, exit_closes_both_halves, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, exit_waits_until_all_bytes_are_out, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, exit_closes_all_at_a_time, 0, WIRE_ROLES);
	tcase_add_test(by_exit, a_stream_with_little_time_takes_none_from_the_others);
	tcase_add_loop_test(by_exit, what_cannot_be_sent_in_time_is_an_error_to_the_peer, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_blocked_reader_is_no_hindrance, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(by_exit, a_close_beside_the_step_has_its_own_verdict, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_blocked_write_that_cannot_end_is_an_error_to_the_peer, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_blocked_write_has_the_time_there_is, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_failed_write_stays_one, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_close_that_was_sent_stays_the_only_one, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, an_aborted_stream_is_not_closed, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, an_answer_is_sent_whole, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, nothing_is_left_behind_the_step, 0, WIRE_ROLES);
	tcase_add_loop_test(by_exit, a_descriptor_is_an_error_to_the_peer, 0, 2);

	tcase_add_loop_test(inside, exit_in_an_observer_ends_the_process, 0, WIRE_ROLES);
	tcase_add_test(inside, exit_in_an_authorize_callback_ends_the_process);
	tcase_add_test(inside, exit_while_a_stream_is_opened);
	tcase_add_test(inside, exit_while_a_thread_accepts);
	tcase_add_loop_test(inside, exit_in_the_midst_of_everything, 0, 12);

	/* Under valgrind the C library frees all of its own also in _exit, and flushes what stdio has. */
	if (!under_valgrind()) {
		tcase_add_loop_test(other, any_other_end_sends_nothing, 0, WIRE_ROLES * COUNT(graceless));
		tcase_add_loop_test(other, library_tells_one_from_the_other, 0,
		    2 * (COUNT(graceful) + COUNT(graceless)));
	}

	tcase_add_loop_test(around, exit_handlers_use_streams, 0, WIRE_ROLES * 4);
	tcase_add_loop_test(around, constructor_and_destructor_use_streams, 0, WIRE_ROLES);
	pki_begin();
	status = wire_run(suite);
	pki_end();
	return status;
}
