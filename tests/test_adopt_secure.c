/* SPDX-License-Identifier: 0BSD */
/* ws_fdopen with TLS, and with the library at both ends of one socket. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "duet.h"
#include "joined.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* --- the library with itself --- */

struct clients_part {
	int fd;
	const struct ws_options *options;
	FILE *stream;
	int error;
};

static void *open_client(void *argument)
{
	struct clients_part *part = argument;

	part->stream = ws_fdopen(part->fd, "r+", WS_ROLE_CLIENT, part->options);
	part->error = part->stream != NULL ? 0 : errno;
	return NULL;
}

static struct ws_options server_options(const char *url)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key");

	options.url = url;
	return options;
}

static struct ws_options client_options(const char *url)
{
	struct ws_options options = tls_client_options();

	options.url = url;
	return options;
}

/* A duet over one connection; initial_bytes of what the client sends are read by the test and handed in. */
static void open_duet(struct duet *duet, const struct joined *joined, const struct ws_options *server,
    const struct ws_options *client, size_t initial_bytes)
{
	struct clients_part part = { joined->peer, client, NULL, 0 };
	struct ws_options options = *server;
	char *initial = malloc(initial_bytes + 1);
	pthread_t thread;

	*duet = (struct duet){ 0 };
	peer_thread(&thread, open_client, &part);
	ck_assert_ptr_nonnull(initial);
	ck_assert_uint_eq(peer_recv(joined->fd, initial, initial_bytes), initial_bytes);
	options.initial_bytes = initial;
	options.initial_size = initial_bytes;
	duet->server = ws_fdopen(joined->fd, "r+", WS_ROLE_SERVER, &options);
	ck_assert_msg(duet->server != NULL, "%s", ws_last_error()->text);
	free(initial);
	peer_join(thread);
	ck_assert_msg(part.stream != NULL, "%s", strerror(part.error));
	duet->client = part.stream;
}

/* _i: plain or TLS, and the kind of socket */
START_TEST(both_ends_of_a_socket_are_streams)
{
	const char *url = _i % 2 == 0 ? "ws://localhost/a" : "wss://localhost/a";
	struct ws_options server = server_options(url), client = client_options(url);
	struct ws_status status = WS_STATUS_INIT;
	struct joined joined;
	struct duet duet;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i / 2));
	open_duet(&duet, &joined, &server, &client, 0);
	ck_assert_int_eq(ws_status(duet.server, &status), 0);
	ck_assert_str_eq(status.tls_version, _i % 2 == 0 ? "" : "TLSv1.3");
	duet_greet(&duet);
	duet_pass_bytes(&duet);
	duet_alternate(&duet, 200);
	duet_carry(&duet, 0, DUET_NOISE, 3 << 20, 100000);
	duet_carry(&duet, 1, DUET_NOISE, 3 << 20, 100000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* --- first bytes --- */

/* How long the client's first record is: it waits behind that. */
static size_t hello_bytes(int fd)
{
	uint8_t head[5];

	ck_assert_int_eq(recv(fd, head, sizeof head, MSG_PEEK | MSG_WAITALL), (int)sizeof head);
	return sizeof head + (size_t)head[3] * 256 + head[4];
}

struct raw_client {
	int fd;
	int version;
	struct tls_peer peer;
};

static void *open_raw_client(void *argument)
{
	struct raw_client *client = argument;
	const struct tls_setup setup = { .max_version = client->version };

	tls_peer_open(&client->peer, client->fd, false, &setup);
	tls_peer_client_handshake(&client->peer, "localhost", "/", "");
	return NULL;
}

static void *finish_raw_client(void *argument)
{
	struct raw_client *client = argument;

	ck_assert_uint_eq(tls_peer_finish(&client->peer, NULL, NULL), 1000);
	return NULL;
}

/* A ClientHello of which the program has read some: so many eighths, and extra. */
static void serve_split(int version, size_t eighths, size_t extra)
{
	struct ws_options options = server_options("wss://localhost/");
	struct raw_client client = { .version = version };
	struct ws_status status = WS_STATUS_INIT;
	struct joined joined;
	pthread_t thread;
	char initial[4096];
	FILE *stream;

	joined_open(&joined, JOINED_PAIR);
	client.fd = joined.peer;
	peer_thread(&thread, open_raw_client, &client);
	options.initial_size = hello_bytes(joined.fd) * eighths / 8 + extra;
	options.initial_bytes = initial;
	ck_assert_uint_le(options.initial_size, sizeof initial);
	ck_assert_uint_eq(peer_recv(joined.fd, initial, options.initial_size), options.initial_size);
	stream = ws_fdopen(joined.fd, "r+", WS_ROLE_SERVER, &options);
	ck_assert_msg(stream != NULL, "%zu bytes: %s", options.initial_size, ws_last_error()->text);
	memset(initial, '#', sizeof initial);
	peer_join(thread);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_str_eq(status.tls_version, version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
	tls_peer_frame(&client.peer, PEER_BINARY, "hello\n", 6);
	wire_expect_line(stream, "hello\n");
	peer_thread(&thread, finish_raw_client, &client);
	tls_wire_fclose(&stream, 0);
	peer_join(thread);
	tls_peer_clear(&client.peer);
}

START_TEST(first_bytes_are_cipher_bytes)
{
	peer_count_begin();
	for (size_t extra = 0; extra < 8; extra++)
		serve_split(_i, 0, extra);
	for (size_t eighths = 1; eighths <= 8; eighths++)
		serve_split(_i, eighths, 0);
	peer_count_end();
}
END_TEST

/* The request and what follows it, plain, with the library at both ends: the client sends its request only. */
START_TEST(first_bytes_of_our_own_client_are_taken)
{
	struct ws_options server = server_options("ws://localhost/"), client = client_options("ws://localhost/");
	struct joined joined;
	struct duet duet;

	peer_count_begin();
	for (size_t size = 0; size <= 100; size += 10) {
		joined_open(&joined, JOINED_TCP);
		open_duet(&duet, &joined, &server, &client, size);
		duet_greet(&duet);
		duet_close(&duet);
	}
	peer_count_end();
}
END_TEST

/* --- failures: the descriptor stays the caller's --- */

static void expect_failure(int fd, enum ws_role role, const struct ws_options *options, int error, const char *words)
{
	struct joined_fd before;

	joined_note(&before, fd);
	errno = 0;
	ck_assert_ptr_null(ws_fdopen(fd, "r+", role, options));
	ck_assert_msg(errno == error, "%s: %s", strerror(errno), ws_last_error()->text);
	tls_check_failure(error, words);
	joined_is_the_callers(&before);
}

START_TEST(http_in_place_of_tls_is_told_so)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct ws_options options = server_options("wss://localhost/");
	struct joined joined;
	char answer[64];

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	/* _i: as first bytes, or from the socket */
	if (_i == 0) {
		options.initial_bytes = request;
		options.initial_size = sizeof request - 1;
	} else {
		peer_send(joined.peer, request, sizeof request - 1);
	}
	expect_failure(joined.fd, WS_ROLE_SERVER, &options, EPROTO, "HTTP in place of TLS");
	ck_assert_uint_eq(peer_recv(joined.peer, answer, 24), 24);
	ck_assert_int_eq(memcmp(answer, "HTTP/1.1 400 Bad Request", 24), 0);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* _i: the client, the server before and behind the first bytes */
START_TEST(silence_in_the_tls_handshake_is_etimedout)
{
	struct ws_options options = _i == 0 ? client_options("wss://localhost/") : server_options("wss://localhost/");
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.handshake_timeout_ms = 30;
	if (_i == 2) {
		options.initial_bytes = "\x16\x03\x01\x02";
		options.initial_size = 4;
	}
	expect_failure(joined.fd, _i == 0 ? WS_ROLE_CLIENT : WS_ROLE_SERVER, &options, ETIMEDOUT, "");
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* Both ends say so, and each has its descriptor still. */
static void both_fail(const struct ws_options *server, int server_error, const struct ws_options *client,
    int client_error)
{
	struct clients_part part = { .options = client };
	struct joined_fd before;
	struct joined joined;
	pthread_t thread;

	joined_open(&joined, JOINED_PAIR);
	part.fd = joined.peer;
	joined_note(&before, joined.peer);
	peer_thread(&thread, open_client, &part);
	expect_failure(joined.fd, WS_ROLE_SERVER, server, server_error, "");
	peer_join(thread);
	ck_assert_ptr_null(part.stream);
	ck_assert_int_eq(part.error, client_error);
	joined_is_the_callers(&before);
	close(joined.fd);
	close(joined.peer);
}

START_TEST(a_certificate_for_another_name_is_refused)
{
	struct ws_options server = server_options("wss://localhost/"), client = client_options("wss://wrong.example/");

	peer_count_begin();
	both_fail(&server, EKEYREJECTED, &client, EKEYREJECTED);
	peer_count_end();
}
END_TEST

START_TEST(a_refusal_goes_through_tls)
{
	struct ws_options server = server_options("wss://localhost/chat"), client = client_options("wss://localhost/");

	peer_count_begin();
	server.handshake_timeout_ms = -1;
	server.close_timeout_ms = INT_MAX;
	both_fail(&server, EPROTO, &client, ECONNABORTED);
	ck_assert_int_eq(ws_last_error()->http_status, 404);
	peer_count_end();
}
END_TEST

START_TEST(files_are_read_before_anything_is_sent)
{
	struct ws_options options = _i == 0 ? client_options("wss://localhost/") : server_options("wss://localhost/");
	struct joined joined;
	char byte;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	if (_i == 0)
		options.ca_file = pki_file("missing.pem");
	else
		options.cert_file = pki_file("missing.pem");
	expect_failure(joined.fd, _i == 0 ? WS_ROLE_CLIENT : WS_ROLE_SERVER, &options, ENOENT, "missing.pem");
	ck_assert_int_eq(recv(joined.peer, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("adopt_secure");
	TCase *tcase = wire_case(suite, "streams");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, both_ends_of_a_socket_are_streams, 0, 2 * JOINED_KINDS);
	tcase_add_loop_test(tcase, first_bytes_are_cipher_bytes, TLS1_2_VERSION, TLS1_3_VERSION + 1);
	tcase_add_test(tcase, first_bytes_of_our_own_client_are_taken);
	tcase = wire_case(suite, "failures");
	tcase_add_loop_test(tcase, http_in_place_of_tls_is_told_so, 0, 2);
	tcase_add_loop_test(tcase, silence_in_the_tls_handshake_is_etimedout, 0, 3);
	tcase_add_test(tcase, a_certificate_for_another_name_is_refused);
	tcase_add_test(tcase, a_refusal_goes_through_tls);
	tcase_add_loop_test(tcase, files_are_read_before_anything_is_sent, 0, 2);
	result = wire_run(suite);
	pki_end();
	return result;
}
