/* SPDX-License-Identifier: 0BSD */
/* What a stream tells beside its bytes: ws_read_some(3), ws_status(3), ws_header(3); and streams that are not ours. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
}

/* --- ws_read_some --- */

static void expect_some(FILE *stream, size_t size, const char *text)
{
	char buffer[64];
	ssize_t got;

	ck_assert_uint_le(size, sizeof buffer - 1);
	errno = 0;
	got = ws_read_some(stream, buffer, size);
	ck_assert_msg(got >= 0, "ws_read_some: %s", strerror(errno));
	buffer[got] = '\0';
	ck_assert_str_eq(buffer, text);
}

START_TEST(read_some_mixes_with_stdio)
{
	char byte;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "abcdef\nghi\n");
	wire_wait_received(wire.stream, 11);
	expect_some(wire.stream, 2, "ab");
	ck_assert_int_eq(fgetc(wire.stream), 'c');
	expect_some(wire.stream, 1, "d");
	ck_assert_int_eq(fgetc(wire.stream), 'e');
	ck_assert_int_eq(ungetc('e', wire.stream), 'e');
	expect_some(wire.stream, 1, "e");
	wire_expect_line(wire.stream, "f\n");
	ck_assert_int_eq(ungetc('X', wire.stream), 'X');
	expect_some(wire.stream, 1, "X");
	/* Behind a foreign byte it may take several calls. */
	expect_some(wire.stream, 1, "g");
	expect_some(wire.stream, 60, "hi\n");
	ck_assert_int_eq(ws_read_some(wire.stream, &byte, 0), 0);

	/* What is there, and no more than that. */
	wire_say(&wire, "jk");
	wire_wait_received(wire.stream, 13);
	expect_some(wire.stream, 60, "jk");
	wire_say(&wire, "lm\n");
	wire_expect_line(wire.stream, "lm\n");

	/* Between writes, too. */
	fputs("written", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	wire_say(&wire, "no");
	wire_wait_received(wire.stream, 18);
	expect_some(wire.stream, 1, "n");
	fputs(" twice", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	expect_some(wire.stream, 60, "o");
	wire_goodbye(&wire, 1000, "");
	expect_some(wire.stream, 60, "");
	expect_some(wire.stream, 60, "");
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_str_eq((char *)wire.data, "written twice");
	wire_end(&wire);
}
END_TEST

START_TEST(read_some_reports_errors_behind_the_data)
{
	char byte;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	wire_say(&wire, "a");
	peer_fin(wire.peer);
	expect_some(wire.stream, 1, "a");
	for (int i = 0; i < 3; i++) {
		errno = 0;
		ck_assert_int_eq(ws_read_some(wire.stream, &byte, 1), -1);
		ck_assert_int_eq(errno, ECONNRESET);
	}
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/* --- ws_status --- */

START_TEST(status_counts_and_follows_the_connection)
{
	struct ws_status status = WS_STATUS_INIT;
	char local[80];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.state, WS_STATE_OPEN);
	ck_assert_int_eq(status.error, 0);
	ck_assert_str_eq(status.error_text, "");
	ck_assert_int_eq(status.http_status, 101);
	ck_assert_str_eq(status.subprotocol, "");
	ck_assert_uint_eq(status.bytes_received, 0);
	ck_assert_uint_eq(status.bytes_sent, 0);
	snprintf(local, sizeof local, "%s", status.local_address);
	ck_assert_int_eq(strncmp(local, "127.0.0.1:", 10), 0);
	ck_assert_int_eq(strncmp(status.peer_address, "127.0.0.1:", 10), 0);
	ck_assert_str_ne(local, status.peer_address);

	wire_say(&wire, "one\n");
	wire_frame(&wire, 0x02, "tw", 2);
	wire_frame(&wire, 0x80, "o\n", 2);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	fputs("four", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(status.bytes_received, 8);
	ck_assert_uint_eq(status.messages_received, 2);
	ck_assert_uint_eq(status.bytes_sent, 4);
	ck_assert_uint_eq(status.messages_sent, 1);

	ck_assert_int_eq(ws_shutdown(wire.stream, 4000, "enough"), 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.state, WS_STATE_CLOSING);
	ck_assert_str_eq(status.close_reason_sent, "enough");
	ck_assert_uint_eq(status.close_code_received, 0);
	wire_finish(&wire, 1001);
	wire_finished(&wire);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert(status.clean);
	ck_assert_uint_eq(status.close_code_sent, 4000);
	ck_assert_uint_eq(status.close_code_received, 1001);
	ck_assert_str_eq(status.close_reason_received, "");
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

START_TEST(status_goes_by_its_size)
{
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	status.size = 0;
	errno = 0;
	ck_assert_int_eq(ws_status(wire.stream, &status), -1);
	ck_assert_int_eq(errno, EINVAL);
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

/* --- ws_header --- */

static void *answer_with_headers(void *argument)
{
	int *fd = argument;
	int listener = *fd;

	*fd = peer_accept(listener);
	free(peer_serve_answer(*fd, "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\n"
	    "X-Part: one\r\nSec-WebSocket-Accept: %s\r\nx-part:  two \r\nX-Empty:\r\n\r\n"));
	return NULL;
}

static void expect_headers(FILE *stream)
{
	const char *part = ws_header(stream, "x-PART");

	ck_assert_ptr_nonnull(part);
	ck_assert_str_eq(part, "one, two");
	ck_assert_str_eq(ws_header(stream, "X-Empty"), "");
	ck_assert_ptr_nonnull(ws_header(stream, "Connection"));
	errno = 0;
	ck_assert_ptr_null(ws_header(stream, "X-Par"));
	ck_assert_int_eq(errno, ENOENT);
	/* The string lives as long as the stream. */
	ck_assert_ptr_nonnull(ws_header(stream, "Upgrade"));
	ck_assert_str_eq(part, "one, two");
	ck_assert_str_eq(ws_header(stream, "X-Part"), "one, two");
}

static void finish_quickly(FILE *stream, int fd, bool library_is_server)
{
	struct wire wire = { .role = library_is_server ? LIBRARY_IS_SERVER : LIBRARY_IS_CLIENT, .stream = stream,
		.peer = fd, .peer_masks = library_is_server, .peer_listener = -1 };

	end_well(&wire);
	wire_end(&wire);
}

START_TEST(client_has_the_servers_headers)
{
	char url[64];
	unsigned port;
	int listener, fd;
	pthread_t thread;
	FILE *stream;

	peer_count_begin();
	fd = listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&thread, answer_with_headers, &fd);
	stream = ws_fopen(url, "r+");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	peer_join(thread);
	close(listener);
	expect_headers(stream);
	finish_quickly(stream, fd, false);
}
END_TEST

START_TEST(server_has_the_clients_headers)
{
	struct ws_listener *listener;
	unsigned port;
	FILE *stream;
	int fd;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	fd = peer_connect(port);
	peer_client_handshake(fd, port, "/path?query", "X-Part: one\r\nx-part:  two \r\nX-Empty:\r\n");
	stream = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	expect_headers(stream);
	finish_quickly(stream, fd, true);
}
END_TEST

/* --- not ours --- */

static void expect_foreign(FILE *stream)
{
	struct ws_status status = WS_STATUS_INIT;
	char byte;

	errno = 0;
	ck_assert_int_eq(ws_status(stream, &status), -1);
	ck_assert_int_eq(errno, EBADF);
	errno = 0;
	ck_assert_ptr_null(ws_header(stream, "Host"));
	ck_assert_int_eq(errno, EBADF);
	errno = 0;
	ck_assert_int_eq(ws_shutdown(stream, 1000, NULL), -1);
	ck_assert_int_eq(errno, EBADF);
	errno = 0;
	ck_assert_int_eq(ws_read_some(stream, &byte, 1), -1);
	ck_assert_int_eq(errno, EBADF);
}

START_TEST(streams_that_are_not_ours_are_refused_and_unharmed)
{
	FILE *file = tmpfile();
	struct wire wire;

	ck_assert_ptr_nonnull(file);
	expect_foreign(file);
	expect_foreign(stdin);
	expect_foreign(NULL);
	/* The same while there are streams of ours. */
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	expect_foreign(file);
	expect_foreign(stdin);
	expect_foreign(NULL);
	end_well(&wire);
	wire_end(&wire);
	ck_assert_int_gt(fputs("fine", file), 0);
	rewind(file);
	ck_assert_int_eq(fgetc(file), 'f');
	ck_assert_int_eq(fclose(file), 0);
}
END_TEST

START_TEST(names_and_version)
{
	ck_assert_str_eq(ws_version(), WSFILE_VERSION);
	ck_assert_str_eq(ws_close_code_name(1000), "normal closure");
	ck_assert_str_eq(ws_close_code_name(0), "unknown");
	ck_assert_str_eq(ws_close_code_name(4999), "unknown");
	ck_assert_str_ne(ws_close_code_name(1011), "unknown");
	ck_assert_ptr_nonnull(ws_last_error());
	ck_assert_int_eq(ws_last_error()->error, 0);
	ck_assert_str_eq(ws_last_error()->text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("status");
	TCase *some = wire_case(suite, "read_some"), *status = wire_case(suite, "status");

	tcase_add_loop_test(some, read_some_mixes_with_stdio, 0, WIRE_ROLES);
	tcase_add_loop_test(some, read_some_reports_errors_behind_the_data, 0, WIRE_ROLES);
	tcase_add_loop_test(status, status_counts_and_follows_the_connection, 0, WIRE_ROLES);
	tcase_add_loop_test(status, status_goes_by_its_size, 0, WIRE_ROLES);
	tcase_add_test(status, client_has_the_servers_headers);
	tcase_add_test(status, server_has_the_clients_headers);
	tcase_add_loop_test(status, streams_that_are_not_ours_are_refused_and_unharmed, 0, WIRE_ROLES);
	tcase_add_test(status, names_and_version);
	return wire_run(suite);
}
