/* SPDX-License-Identifier: 0BSD */
/*
 * Threads that are cancelled inside calls of the library, and streams that are opened again and again: nothing is left
 * held, broken or behind. A cancelled reader is in test_blocked.c.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pki.h"
#include "wire.h"

#define SMALL_BYTES 32768
#define MUCH_BYTES ((size_t)16 << 20)

static void wait_a_moment(long us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

/* Until another thread is inside a call on this stream. */
static void wait_locked(FILE *stream)
{
	while (ftrylockfile(stream) == 0) {
		funlockfile(stream);
		wait_a_moment(500);
	}
}

/* --- a stream that others go on using --- */

static uint8_t *much(void)
{
	uint8_t *data = malloc(MUCH_BYTES);

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, MUCH_BYTES);
	return data;
}

static uint8_t *all;

static void *write_all(void *stream)
{
	(void)fwrite(all, 1, MUCH_BYTES, stream);
	pthread_testcancel();
	return NULL;
}

START_TEST(a_cancelled_writer_writes_all)
{
	struct wire wire;
	pthread_t thread;
	void *value;

	all = much();
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, SMALL_BYTES);
	peer_thread(&thread, write_all, wire.stream);
	wait_locked(wire.stream);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	wire_finish(&wire, 1000);
	ck_assert_int_ge(fputs("more", wire.stream), 0);
	ck_assert_int_eq(pthread_join(thread, &value), 0);
	ck_assert_ptr_eq(value, PTHREAD_CANCELED);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.size, MUCH_BYTES + 4);
	ck_assert(wire_pattern_matches(0, wire.data, MUCH_BYTES));
	ck_assert_mem_eq(wire.data + MUCH_BYTES, "more", 4);
	free(all);
	wire_end(&wire);
}
END_TEST

static void *drain(void *stream)
{
	(void)ws_drain(stream, -1);
	return NULL;
}

static void *write_some(void *stream)
{
	/* The kernel may have found room for a little more since. */
	while (ws_write_some(stream, "s", 1) > 0)
		pthread_testcancel();
	return NULL;
}

static void *(*const blocked_calls[])(void *stream) = { drain, write_some, write_all };

/* Everything is full; once the peer reads, whatever became of that call, the stream can be closed. */
START_TEST(a_cancelled_call_leaves_a_stream_that_can_be_closed)
{
	void *(*call)(void *) = blocked_calls[_i / 2];
	struct wire wire;
	pthread_t thread;
	size_t done = 0;
	ssize_t n;

	all = much();
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, SMALL_BYTES);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	while ((n = ws_write_some(wire.stream, all + done, MUCH_BYTES - done)) > 0)
		done += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, false), 0);
	peer_thread(&thread, call, wire.stream);
	wait_locked(wire.stream);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	wire_finish(&wire, 1000);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_ge(wire.size, done);
	ck_assert(wire_pattern_matches(0, wire.data, done));
	free(all);
	wire_end(&wire);
}
END_TEST

static void *read_some(void *stream)
{
	char byte;

	(void)ws_read_some(stream, &byte, 1);
	return NULL;
}

START_TEST(a_cancelled_read_some_leaves_nothing_behind)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	peer_thread(&thread, read_some, wire.stream);
	wait_locked(wire.stream);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	wire_say(&wire, "xnext\n");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wire_expect_line(wire.stream, "next\n");
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

static void *ping(void *stream)
{
	for (;;) {
		(void)ws_ping(stream, "x", 1);
		(void)ws_set_nonblocking(stream, false);
		pthread_testcancel();
	}
	return NULL;
}

/* Calls that don't take stdio's lock. */
START_TEST(a_cancelled_ping_leaves_nothing_locked)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_finish(&wire, 1000);
	for (long round = 0; round < 50; round++) {
		peer_thread(&thread, ping, wire.stream);
		wait_a_moment(round % 10 * 100);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

static void *close_it(void *stream)
{
	(void)fclose(stream);
	return NULL;
}

/* The peer answers once the thread has been cancelled. */
START_TEST(a_cancelled_fclose_frees_all)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_ge(fputs("whole", wire.stream), 0);
	peer_thread(&thread, close_it, wire.stream);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, &wire.data, &wire.size), 1000);
	ck_assert_str_eq((char *)wire.data, "whole");
	ck_assert_int_eq(pthread_cancel(thread), 0);
	wire_goodbye(&wire, 1000, "");
	wire_end_tcp(&wire);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wire_end(&wire);
}
END_TEST

/* --- opening and accepting --- */

struct opener {
	const char *url;
	struct ws_listener *listener;
	const struct ws_options *options;
	FILE *stream, *half[2];
	int fd;
};

static void *open_stream(void *argument)
{
	struct opener *opener = argument;

	opener->stream = ws_fopen_with(opener->url, "r+", opener->options);
	return NULL;
}

static void *open_pair(void *argument)
{
	struct opener *opener = argument;

	(void)ws_fopen_pair(opener->url, opener->options, opener->half);
	return NULL;
}

static void *open_descriptor(void *argument)
{
	struct opener *opener = argument;

	opener->fd = ws_socket(opener->url, opener->options);
	return NULL;
}

static void *(*const openers[])(void *) = { open_stream, open_pair, open_descriptor };

/* What came of it, if the thread has it. */
static void close_opened(struct opener *opener)
{
	if (opener->stream != NULL)
		(void)fclose(opener->stream);
	for (int i = 0; i < 2; i++)
		if (opener->half[i] != NULL)
			(void)fclose(opener->half[i]);
	if (opener->fd >= 0)
		ck_assert_int_eq(close(opener->fd), 0);
}

/*
 * The opener, then where it waits: for TCP (a full backlog takes none), for TLS, for HTTP, or nowhere for long. Nothing
 * is left that is not the program's.
 */
START_TEST(a_cancelled_opening_leaves_nothing_behind)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct opener opener = { .options = &options, .fd = -1 };
	int listener, filler = -1, fd = -1, stage = _i % 4;
	pthread_t thread;
	char url[64];
	unsigned port;

	peer_count_begin();
	options.connect_timeout_ms = options.handshake_timeout_ms = 500;
	options.close_timeout_ms = 100;
	options.ca_file = pki_file("ca.pem");
	listener = peer_listen(&port);
	if (stage == 0) {
		ck_assert_int_eq(listen(listener, 0), 0);
		filler = peer_connect(port);
	}
	snprintf(url, sizeof url, "%s://127.0.0.1:%u/", stage == 1 ? "wss" : "ws", port);
	opener.url = url;
	peer_thread(&thread, openers[_i / 4], &opener);
	if (stage != 0)
		fd = peer_accept(listener);
	if (stage == 3)
		free(peer_serve_handshake(fd));
	else
		wait_a_moment(20000);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	close_opened(&opener);
	if (fd >= 0)
		ck_assert_int_eq(close(fd), 0);
	if (filler >= 0)
		ck_assert_int_eq(close(filler), 0);
	ck_assert_int_eq(close(listener), 0);
	peer_count_end();
}
END_TEST

static void *accept_stream(void *argument)
{
	struct opener *opener = argument;

	opener->stream = ws_accept(opener->listener, "r+");
	return NULL;
}

/* The connection is the thread's, or the next one's who asks. */
START_TEST(a_cancelled_accept_loses_no_connection)
{
	struct opener opener = { .fd = -1 };
	pthread_t thread;
	unsigned port;
	int fd;

	peer_count_begin();
	opener.listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(opener.listener);
	port = peer_url_port(ws_listener_url(opener.listener));
	for (long round = 0; round < 20; round++) {
		opener.stream = NULL;
		peer_thread(&thread, accept_stream, &opener);
		wait_a_moment(round % 5 * 1000);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		fd = peer_connect(port);
		peer_client_handshake(fd, port, "/", "");
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		if (opener.stream == NULL)
			opener.stream = ws_accept(opener.listener, "r+");
		ck_assert_ptr_nonnull(opener.stream);
		peer_close(fd, true, 1000, "");
		peer_fin(fd);
		ck_assert_int_eq(fclose(opener.stream), 0);
		ck_assert_int_eq(close(fd), 0);
	}
	ck_assert_int_eq(ws_listener_close(opener.listener), 0);
	peer_count_end();
}
END_TEST

static void *stop_listener(void *listener)
{
	(void)ws_listener_stop(listener, -1);
	return NULL;
}

START_TEST(a_cancelled_stop_leaves_a_listener_that_can_be_closed)
{
	struct wire wire;
	pthread_t thread;

	wire_open(&wire, LIBRARY_IS_SERVER, "r+", NULL, 0);
	peer_thread(&thread, stop_listener, wire.listener);
	/* It has begun. */
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1001);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	wire_goodbye(&wire, 1001, "");
	peer_fin(wire.peer);
	wire_fclose(&wire, 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	wire_end(&wire);
}
END_TEST

static void *listen_and_close(void *argument)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	int state;

	(void)argument;
	options.cert_file = pki_file("server.pem");
	options.key_file = pki_file("server.key");
	for (;;) {
		listener = ws_listen("wss://127.0.0.1:0/", &options);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		if (listener != NULL)
			(void)ws_listener_reload(listener);
		(void)ws_listener_close(listener);
		pthread_setcancelstate(state, NULL);
		pthread_testcancel();
	}
	return NULL;
}

/* In the midst of all that it opens: files, sockets, threads. */
START_TEST(a_cancelled_listen_leaves_nothing_behind)
{
	pthread_t thread;

	(void)pki_file("server.pem");
	peer_count_begin();
	for (long round = 0; round < 30; round++) {
		peer_thread(&thread, listen_and_close, NULL);
		wait_a_moment(round * 300);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	peer_count_end();
}
END_TEST

/* --- again and again --- */

/* The helper threads end with the last stream, and others start with the next. */
START_TEST(streams_come_and_go_and_leave_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.helper_threads = (unsigned)_i / 2 + 1;
	for (int round = 0; round < 100; round++) {
		wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, 0);
		ck_assert(fputs("again", wire.stream) >= 0);
		wire_finish(&wire, 1000);
		wire_fclose(&wire, 0);
		wire_finished(&wire);
		ck_assert_str_eq((char *)wire.data, "again");
		wire_end(&wire);
	}
}
END_TEST

static void *come_and_go(void *url)
{
	FILE *stream;

	for (int round = 0; round < 50; round++) {
		stream = ws_fopen(url, "r+");
		if (stream == NULL)
			ck_abort_msg("%s", ws_last_error()->text);
		if (fclose(stream) != 0)
			ck_abort_msg("fclose: %s", strerror(errno));
	}
	return NULL;
}

/* A raw server, one connection after the other: the library is used by clients alone, so its service ends often. */
static void *serve_closes(void *listener)
{
	for (int i = 0; i < 4 * 50; i++) {
		int fd = peer_accept(*(int *)listener);

		free(peer_serve_handshake(fd));
		if (peer_read_until_close(fd, NULL, NULL) != 1000)
			ck_abort_msg("no Close");
		peer_close(fd, false, 1000, "");
		close(fd);
	}
	return NULL;
}

START_TEST(service_starts_and_ends_in_many_threads)
{
	pthread_t server, threads[4];
	char url[64];
	unsigned port;
	int listener;

	peer_count_begin();
	listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&server, serve_closes, &listener);
	for (int i = 0; i < 4; i++)
		peer_thread(&threads[i], come_and_go, url);
	for (int i = 0; i < 4; i++)
		peer_join(threads[i]);
	peer_join(server);
	ck_assert_int_eq(close(listener), 0);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cancel");
	TCase *streams = wire_case(suite, "streams"), *opening = wire_case(suite, "opening"),
	    *again = wire_case(suite, "again");
	int status;

	tcase_add_loop_test(streams, a_cancelled_writer_writes_all, 0, WIRE_ROLES);
	tcase_add_loop_test(streams, a_cancelled_call_leaves_a_stream_that_can_be_closed, 0, WIRE_ROLES * 3);
	tcase_add_loop_test(streams, a_cancelled_read_some_leaves_nothing_behind, 0, WIRE_ROLES);
	tcase_add_loop_test(streams, a_cancelled_ping_leaves_nothing_locked, 0, WIRE_ROLES);
	tcase_add_loop_test(streams, a_cancelled_fclose_frees_all, 0, WIRE_ROLES);

	tcase_add_loop_test(opening, a_cancelled_opening_leaves_nothing_behind, 0, 3 * 4);
	tcase_add_test(opening, a_cancelled_accept_loses_no_connection);
	tcase_add_test(opening, a_cancelled_stop_leaves_a_listener_that_can_be_closed);
	tcase_add_test(opening, a_cancelled_listen_leaves_nothing_behind);

	tcase_add_loop_test(again, streams_come_and_go_and_leave_nothing, 0, WIRE_ROLES * 2);
	tcase_add_test(again, service_starts_and_ends_in_many_threads);
	pki_begin();
	status = wire_run(suite);
	pki_end();
	return status;
}
