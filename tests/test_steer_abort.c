/* SPDX-License-Identifier: 0BSD */
/* Cutting a stream from outside, what it tells of itself, and bad input to all that steers. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "steer.h"

/* --- aborting --- */

enum blocked_in { IN_FGETC, IN_READ_SOME, IN_FWRITE, IN_WRITE_SOME, IN_DRAIN, BLOCKED_KINDS };

struct blocked {
	FILE *stream;
	enum blocked_in in;
	uint8_t *data;
	atomic_int tid;
	int error;
};

static void *block(void *argument)
{
	struct blocked *blocked = argument;
	char byte;
	ssize_t n = 0;

	atomic_store(&blocked->tid, (int)gettid());
	errno = 0;
	switch (blocked->in) {
	case IN_FGETC:
		n = fgetc(blocked->stream) == EOF ? -1 : 0;
		break;
	case IN_READ_SOME:
		n = ws_read_some(blocked->stream, &byte, 1);
		break;
	case IN_FWRITE:
		n = fwrite(blocked->data, 1, MUCH_BYTES, blocked->stream) < MUCH_BYTES ? -1 : 0;
		break;
	case IN_WRITE_SOME:
		do
			n = ws_write_some(blocked->stream, blocked->data, 50000);
		while (n > 0);
		break;
	case IN_DRAIN:
	default:
		n = fwrite(blocked->data, 1, MUCH_BYTES * 3 / 4, blocked->stream) < MUCH_BYTES * 3 / 4 ? -1 : 0;
		if (n == 0)
			n = ws_drain(blocked->stream, -1);
		break;
	}
	blocked->error = n == -1 ? errno : 0;
	return NULL;
}

/* Until the thread sleeps; whether for good nobody can tell, but what follows holds either way. */
static void wait_asleep(struct blocked *blocked)
{
	char path[64], line[512], *state;
	FILE *file;

	for (int asleep = 0; asleep < 5;) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		if (atomic_load(&blocked->tid) == 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%d/stat", atomic_load(&blocked->tid));
		file = fopen(path, "re");
		if (file == NULL)
			return;
		state = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
		asleep = state != NULL && state[1] == ' ' && state[2] == 'S' ? asleep + 1 : 0;
		fclose(file);
	}
}

/* _i: role, and what is blocked. */
START_TEST(abort_ends_a_blocked_call)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct blocked blocked = { .in = (enum blocked_in)(_i / 2) };
	pthread_t thread;
	struct wire wire;
	char byte;

	options.send_buffer_bytes = blocked.in == IN_DRAIN ? MUCH_BYTES : RING_BYTES;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, SMALL_BYTES);
	blocked.stream = wire.stream;
	blocked.data = much();
	peer_thread(&thread, block, &blocked);
	wait_asleep(&blocked);
	ck_assert_int_eq(ws_abort(wire.stream), 0);
	peer_join(thread);
	ck_assert_msg(blocked.error == ECONNABORTED, "%s", strerror(blocked.error));
	/* And all later ones. */
	clearerr(wire.stream);
	expect_errno(ws_read_some(wire.stream, &byte, 1), -1, ECONNABORTED);
	wire_expect_end(wire.stream, ECONNABORTED);
	expect_errno(ws_write_some(wire.stream, "x", 1), -1, ECONNABORTED);
	wire_expect_unwritable(wire.stream, ECONNABORTED);
	ck_assert_int_eq(ws_abort(wire.stream), 0);
	wire_fclose(&wire, ECONNABORTED);
	/* A cut, not a Close. */
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 0);
	free(blocked.data);
	wire_end(&wire);
}
END_TEST

/* The lock of either half is somebody else's, and both come back. */
START_TEST(abort_ends_both_halves)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct blocked reader = { .in = IN_FGETC }, writer = { .in = IN_FWRITE };
	pthread_t threads[2];
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	wire_open_pair(&wire, (enum wire_role)(_i / 2), &options, SMALL_BYTES);
	reader.stream = wire.half[0];
	writer.stream = wire.half[1];
	writer.data = much();
	peer_thread(&threads[0], block, &reader);
	peer_thread(&threads[1], block, &writer);
	wait_asleep(&reader);
	wait_asleep(&writer);
	ck_assert_int_eq(ws_abort(wire.half[_i % 2]), 0);
	peer_join(threads[0]);
	peer_join(threads[1]);
	ck_assert_msg(reader.error == ECONNABORTED, "%s", strerror(reader.error));
	ck_assert_msg(writer.error == ECONNABORTED, "%s", strerror(writer.error));
	(void)fclose(wire.half[1]);
	wire_fclose_half(&wire, 0, ECONNABORTED);
	free(writer.data);
	wire_end(&wire);
}
END_TEST

START_TEST(abort_is_told_by_status)
{
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_ge(fputs("never sent", wire.stream), 0);
	ck_assert_int_eq(ws_abort(wire.stream), 0);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.error, ECONNABORTED);
	ck_assert_str_ne(status.error_text, "");
	ck_assert(!status.clean);
	ck_assert_uint_eq(status.close_code_received, 0);
	expect_errno(ws_shutdown(wire.stream, 1000, NULL), -1, ECONNABORTED);
	wire_fclose(&wire, ECONNABORTED);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 0);
	wire_end(&wire);
}
END_TEST

/* --- status --- */

START_TEST(status_tells_id_and_url)
{
	struct ws_status one = WS_STATUS_INIT, other = WS_STATUS_INIT;
	char expected[80];
	struct wire wire, second;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_open(&second, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_status(wire.stream, &one), 0);
	ck_assert_int_eq(ws_status(second.stream, &other), 0);
	ck_assert_uint_ge(one.id, 1);
	ck_assert_uint_ne(one.id, other.id);
	ck_assert_uint_eq(one.round_trip_us, 0);
	snprintf(expected, sizeof expected, "ws://%s/",
	    wire.role == LIBRARY_IS_CLIENT ? one.peer_address : one.local_address);
	ck_assert_str_eq(one.url, expected);
	end_well(&second);
	wire_end(&second);
	/* Both halves are one stream. */
	end_well(&wire);
	wire_end(&wire);
	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	ck_assert_int_eq(ws_status(wire.half[0], &one), 0);
	ck_assert_int_eq(ws_status(wire.half[1], &other), 0);
	ck_assert_uint_eq(one.id, other.id);
	wire_finish(&wire, 1000);
	wire_fclose_half(&wire, 1, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

static void *accept_and_close(void *argument)
{
	struct ws_status status = WS_STATUS_INIT;
	FILE *stream = ws_accept(argument, "r+");
	char expected[128];

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	snprintf(expected, sizeof expected, "ws://%s/path?query=1", status.local_address);
	ck_assert_str_eq(status.url, expected);
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

START_TEST(url_has_no_userinfo)
{
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	char url[256], expected[256];
	pthread_t thread;
	unsigned port;
	FILE *stream;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	snprintf(url, sizeof url, "ws://wanda:sesame@127.0.0.1:%u/path?query=1", port);
	snprintf(expected, sizeof expected, "ws://127.0.0.1:%u/path?query=1", port);
	peer_thread(&thread, accept_and_close, listener);
	stream = ws_fopen(url, "r+");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_str_eq(status.url, expected);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

/* A program of before: its struct ends earlier, and nothing is written behind it. */
START_TEST(status_of_an_older_size_is_filled_so_far)
{
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	status.size = offsetof(struct ws_status, id);
	status.id = 4711;
	memset(status.url, 'x', sizeof status.url);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.http_status, 101);
	ck_assert_uint_eq(status.id, 4711);
	ck_assert_int_eq(status.url[0], 'x');
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

/* --- bad input --- */

static void tell_nobody(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

static void expect_foreign(FILE *stream)
{
	char byte = 'x';

	expect_errno(ws_abort(stream), -1, EBADF);
	expect_errno(ws_drain(stream, 0), -1, EBADF);
	expect_errno(ws_ping(stream, "x", 1), -1, EBADF);
	expect_errno(ws_read_some(stream, &byte, 1), -1, EBADF);
	expect_errno(ws_write_some(stream, &byte, 1), -1, EBADF);
	expect_errno(ws_pollfd(stream, POLLIN), -1, EBADF);
	expect_errno(ws_pollfd(stream, POLLOUT), -1, EBADF);
	expect_errno(ws_readable(stream), 0, EBADF);
	expect_errno(ws_writable(stream), 0, EBADF);
	ck_assert_uint_eq(ws_unsent(stream), 0);
	expect_errno(ws_set_timeouts(stream, 1, 1), -1, EBADF);
	expect_errno(ws_set_nonblocking(stream, true), -1, EBADF);
	expect_errno(ws_shutdown(stream, 1000, NULL), -1, EBADF);
	expect_errno(ws_observe(stream, WS_EVENT_ALL, tell_nobody, NULL), -1, EBADF);
}

START_TEST(streams_that_are_not_ours_are_refused)
{
	FILE *file = tmpfile();
	uintptr_t closed;
	struct wire wire;

	ck_assert_ptr_nonnull(file);
	expect_foreign(file);
	expect_foreign(NULL);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	expect_foreign(file);
	expect_foreign(stdin);
	expect_foreign(NULL);
	closed = (uintptr_t)wire.stream;
	end_well(&wire);
	wire_end(&wire);
	/* Only its address is looked at. */
	expect_foreign((FILE *)closed);
	ck_assert_int_gt(fputs("fine", file), 0);
	rewind(file);
	ck_assert_int_eq(fgetc(file), 'f');
	ck_assert_int_eq(fclose(file), 0);
}
END_TEST

START_TEST(the_wrong_half_is_refused_and_unharmed)
{
	struct wire wire;
	char byte = 'x';

	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	for (int i = 0; i < 2; i++) {
		expect_errno(ws_read_some(wire.half[1], &byte, 1), -1, EBADF);
		expect_errno(ws_readable(wire.half[1]), 0, EBADF);
		expect_errno(ws_pollfd(wire.half[1], POLLIN), -1, EBADF);
		expect_errno(ws_write_some(wire.half[0], &byte, 1), -1, EBADF);
		expect_errno(ws_writable(wire.half[0]), 0, EBADF);
		expect_errno(ws_pollfd(wire.half[0], POLLOUT), -1, EBADF);
		expect_errno(ws_drain(wire.half[0], 0), -1, EBADF);
	}
	wire_say(&wire, "line\n");
	wire_expect_line(wire.half[0], "line\n");
	ck_assert_int_ge(fputs("fine", wire.half[1]), 0);
	wire_finish(&wire, 1000);
	wire_fclose_half(&wire, 1, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	ck_assert_str_eq((char *)wire.data, "fine");
	wire_end(&wire);
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
	static const uint8_t long_payload[200];
	static const short events[] = { 0, POLLIN | POLLOUT, POLLPRI, POLLERR, POLLHUP, POLLIN | POLLPRI, -1 };
	char long_reason[125];
	struct wire wire;

	memset(long_reason, 'r', 124);
	long_reason[124] = '\0';
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
		expect_errno(ws_pollfd(wire.stream, events[i]), -1, EINVAL);
	expect_errno(ws_ping(wire.stream, long_payload, 126), -1, EMSGSIZE);
	expect_errno(ws_ping(wire.stream, long_payload, SIZE_MAX), -1, EMSGSIZE);
	expect_errno(ws_ping(wire.stream, NULL, 1), -1, EINVAL);
	expect_errno(ws_shutdown(wire.stream, 1000, long_reason), -1, EINVAL);
	expect_errno(ws_shutdown(wire.stream, 1000, "caf\xc3"), -1, EINVAL);
	expect_errno(ws_shutdown(wire.stream, 1005, NULL), -1, EINVAL);
	expect_errno(ws_shutdown(wire.stream, 999, NULL), -1, EINVAL);
	expect_errno(ws_observe(wire.stream, WS_EVENT_ALL, NULL, NULL), -1, EINVAL);
	expect_errno(ws_observe(wire.stream, 0x100, tell_nobody, NULL), -1, EINVAL);
	expect_errno(ws_observe(wire.stream, 0, tell_nobody, NULL), -1, ENOENT);
	expect_errno(ws_set_timeouts(wire.stream, -5, 0), -1, EINVAL);
	expect_errno(ws_status(wire.stream, NULL), -1, EINVAL);
	wire_say(&wire, "line\n");
	wire_expect_line(wire.stream, "line\n");
	ck_assert_int_ge(fputs("fine", wire.stream), 0);
	end_well(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "fine");
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steer_abort");
	TCase *aborts = wire_case(suite, "aborts"), *status = wire_case(suite, "status");
	TCase *bad = wire_case(suite, "bad");

	tcase_add_loop_test(aborts, abort_ends_a_blocked_call, 0, WIRE_ROLES * BLOCKED_KINDS);
	tcase_add_loop_test(aborts, abort_ends_both_halves, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(aborts, abort_is_told_by_status, 0, WIRE_ROLES);
	tcase_add_loop_test(status, status_tells_id_and_url, 0, WIRE_ROLES);
	tcase_add_test(status, url_has_no_userinfo);
	tcase_add_loop_test(status, status_of_an_older_size_is_filled_so_far, 0, WIRE_ROLES);
	tcase_add_loop_test(bad, streams_that_are_not_ours_are_refused, 0, WIRE_ROLES);
	tcase_add_loop_test(bad, the_wrong_half_is_refused_and_unharmed, 0, WIRE_ROLES);
	tcase_add_loop_test(bad, bad_arguments_change_nothing, 0, WIRE_ROLES);
	return wire_run(suite);
}
