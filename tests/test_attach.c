/* SPDX-License-Identifier: 0BSD */
/* Streams over the connections of a program's own libwebsockets: what they are, and that they carry every byte. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "site.h"
#include "wire.h"

/* --- what comes out of ws_accept --- */

START_TEST(a_served_connection_is_a_stream)
{
	struct ws_status status = WS_STATUS_INIT;
	struct site site;
	FILE *client, *server;

	site_open(&site, NULL);
	client = site_client(&site, "r+", NULL);
	server = site_accept(&site, "r+");
	fputs("question\n", client);
	ck_assert_int_eq(fflush(client), 0);
	wire_expect_line(server, "question\n");
	fputs("answer\n", server);
	ck_assert_int_eq(fflush(server), 0);
	wire_expect_line(client, "answer\n");
	ck_assert_int_eq(ws_status(client, &status), 0);
	ck_assert_str_eq(status.subprotocol, SITE_PROTOCOL);
	ck_assert_int_eq(ws_shutdown(client, 1000, NULL), 0);
	wire_expect_end(server, 0);
	ck_assert_int_eq(ws_status(server, &status), 0);
	ck_assert_uint_eq(status.close_code_received, 1000);
	ck_assert_uint_eq(status.bytes_received, 9);
	ck_assert_uint_eq(status.bytes_sent, 7);
	wire_expect_end(client, 0);
	ck_assert_int_eq(fclose(client), 0);
	ck_assert_msg(fclose(server) == 0, "%s", strerror(errno));
	site_close(&site);
}
END_TEST

START_TEST(the_handshake_is_told)
{
	struct ws_status status = WS_STATUS_INIT;
	struct site site;
	char address[32];
	FILE *server;
	int peer;

	site_open(&site, NULL);
	peer = site_peer(&site, 0);
	server = site_accept(&site, "r+");
	ck_assert_str_eq(ws_header(server, "Origin"), "http://example.org");
	ck_assert_str_eq(ws_header(server, "user-agent"), "raw");
	ck_assert_str_eq(ws_header(server, "Sec-WebSocket-Protocol"), SITE_PROTOCOL);
	snprintf(address, sizeof address, "127.0.0.1:%u", site.port);
	ck_assert_str_eq(ws_header(server, "Host"), address);
	ck_assert_int_eq(ws_status(server, &status), 0);
	ck_assert_str_eq(status.subprotocol, SITE_PROTOCOL);
	ck_assert_str_eq(status.local_address, address);
	ck_assert_int_eq(strncmp(status.peer_address, "127.0.0.1:", 10), 0);
	ck_assert_int_eq(status.http_status, 101);
	peer_reset(peer);
	ck_assert_int_eq(fclose(server), EOF);
	site_close(&site);
}
END_TEST

START_TEST(a_connection_the_program_opens_is_a_stream)
{
	struct ws_options options = WS_OPTIONS_INIT;
	const char *const subprotocols[] = { SITE_PROTOCOL, NULL };
	const char *const headers[] = { "Server: wsfile's own", NULL };
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	FILE *ours, *theirs;
	struct site site;

	site_open(&site, NULL);
	options.subprotocols = subprotocols;
	options.headers = headers;
	options.allowed_origins = (const char *const[]){ "*", NULL };
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	site_connect(&site, peer_url_port(ws_listener_url(listener)));
	theirs = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(theirs);
	ours = site_accept(&site, "r+");
	ck_assert_int_eq(ws_status(ours, &status), 0);
	ck_assert_str_eq(status.subprotocol, SITE_PROTOCOL);
	ck_assert_str_eq(ws_header(ours, "Server"), "wsfile's own");
	fputs("question\n", ours);
	ck_assert_int_eq(fflush(ours), 0);
	wire_expect_line(theirs, "question\n");
	fputs("answer\n", theirs);
	ck_assert_int_eq(ws_shutdown(theirs, 1000, NULL), 0);
	wire_expect_line(ours, "answer\n");
	wire_expect_end(ours, 0);
	ck_assert_msg(fclose(ours) == 0, "%s", strerror(errno));
	ck_assert_msg(fclose(theirs) == 0, "%s", strerror(errno));
	ck_assert_int_eq(ws_listener_close(listener), 0);
	site_close(&site);
}
END_TEST

static const char *const no_answers[] = {
	"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Protocol: " SITE_PROTOCOL "\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Protocol: " SITE_PROTOCOL "\r\nSec-WebSocket-Extensions: none-such\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
};

/* The last of them comes to nothing when the context is destroyed. */
START_TEST(a_connection_the_program_can_not_open_is_none)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct site site;
	unsigned port;
	int server, peer;

	site_open(&site, NULL);
	server = peer_listen(&port);
	site_connect(&site, port);
	peer = peer_accept(server);
	free(peer_serve_answer(peer, no_answers[_i]));
	if (_i < 4)
		ck_assert(peer_at_end(peer));
	poll_fd.fd = ws_listener_pollfd(site.listener);
	ck_assert_int_ge(poll_fd.fd, 0);
	ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
	site_stop(&site);
	site_destroy(&site);
	close(peer);
	close(server);
	site_close(&site);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
	static const char *const names[] = { NULL, "", "two words", "a,b" };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		errno = 0;
		ck_assert_ptr_null(ws_listen_lws(names[i], NULL));
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_str_ne(ws_last_error()->text, "");
	}
	options.recv_buffer_bytes = 1;
	ck_assert_ptr_null(ws_listen_lws(SITE_PROTOCOL, &options));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_nonnull(strstr(ws_last_error()->text, "recv_buffer_bytes"));
	errno = 0;
	ck_assert_ptr_null(ws_lws_protocol(NULL));
	ck_assert_int_eq(errno, EINVAL);
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	errno = 0;
	ck_assert_ptr_null(ws_lws_protocol(listener));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(ws_listener_close(listener), 0);
}
END_TEST

/* --- bytes --- */

struct stretch {
	FILE *stream;
	uint64_t size;
	size_t most;
	pthread_t thread;
};

static void *write_pattern(void *argument)
{
	struct stretch *stretch = argument;
	uint64_t done = 0;
	uint8_t *buffer = malloc(stretch->most);
	size_t n;

	ck_assert_ptr_nonnull(buffer);
	for (unsigned i = 0; done < stretch->size; i++) {
		n = 1 + (size_t)(i * 7919) % stretch->most;
		n = n < stretch->size - done ? n : (size_t)(stretch->size - done);
		wire_pattern(done, buffer, n);
		ck_assert_msg(fwrite(buffer, 1, n, stretch->stream) == n, "%s", strerror(errno));
		if (i % 16 == 0)
			ck_assert_msg(fflush(stretch->stream) == 0, "%s", strerror(errno));
		done += n;
	}
	ck_assert_msg(fflush(stretch->stream) == 0, "%s", strerror(errno));
	free(buffer);
	return NULL;
}

static void read_pattern(FILE *stream, uint64_t size, size_t most)
{
	uint8_t *buffer = malloc(most);
	uint64_t done = 0;
	size_t n, want;

	ck_assert_ptr_nonnull(buffer);
	while (done < size) {
		want = most < size - done ? most : (size_t)(size - done);
		n = fread(buffer, 1, want, stream);
		ck_assert_msg(n == want, "%zu of %zu bytes at %llu: %s", n, want, (unsigned long long)done,
		    strerror(errno));
		ck_assert(wire_pattern_matches(done, buffer, n));
		done += n;
	}
	free(buffer);
}

static void *echo(void *argument)
{
	FILE **half = argument;
	uint8_t buffer[30000];
	ssize_t n;

	while ((n = ws_read_some(half[0], buffer, sizeof buffer)) > 0) {
		ck_assert_msg(fwrite(buffer, 1, (size_t)n, half[1]) == (size_t)n, "%s", strerror(errno));
		ck_assert_msg(fflush(half[1]) == 0, "%s", strerror(errno));
	}
	ck_assert_msg(n == 0, "%s", strerror(errno));
	return NULL;
}

static const size_t most_table[] = { 100, 5000, 300000 };

/* _i: how long the writes are; more than all buffers between the ends hold. */
START_TEST(every_byte_comes_back)
{
	struct stretch stretch = { .size = _i == 0 ? 2 << 20 : 24 << 20, .most = most_table[_i] };
	FILE *client[2], *server[2];
	const char *const subprotocols[] = { SITE_PROTOCOL, NULL };
	struct ws_options options = WS_OPTIONS_INIT;
	pthread_t echoing;
	struct site site;
	char url[64];

	site_open(&site, NULL);
	options.subprotocols = subprotocols;
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", site.port);
	ck_assert_int_eq(ws_fopen_pair(url, &options, client), 0);
	ck_assert_int_eq(ws_accept_pair(site.listener, server), 0);
	peer_thread(&echoing, echo, server);
	stretch.stream = client[1];
	peer_thread(&stretch.thread, write_pattern, &stretch);
	read_pattern(client[0], stretch.size, stretch.most);
	peer_join(stretch.thread);
	ck_assert_int_eq(fclose(client[1]), 0);
	wire_expect_end(client[0], 0);
	peer_join(echoing);
	ck_assert_int_eq(fclose(client[0]), 0);
	ck_assert_int_eq(fclose(server[1]), 0);
	ck_assert_msg(fclose(server[0]) == 0, "%s", strerror(errno));
	site_close(&site);
}
END_TEST

/*
 * A server of libwebsockets 5.0 ends a connection when what it has received at once inflates to more than two of its
 * buffers for that, of 1024 bytes.
 */
#if LWS_LIBRARY_VERSION_NUMBER >= 5000000
#define INFLATES_LITTLE true
#else
#define INFLATES_LITTLE false
#endif

/* libwebsockets deflates itself, and reads what it was given later than it says. */
START_TEST(every_byte_comes_back_compressed)
{
	struct stretch stretch = { .size = 3 << 20, .most = most_table[_i] };
	FILE *client[2], *server[2];
	const char *const subprotocols[] = { SITE_PROTOCOL, NULL };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	pthread_t echoing;
	struct site site;
	char url[64];

	if (!site_open_deflating(&site, NULL))
		return;
	options.subprotocols = subprotocols;
	options.compression = WS_COMPRESSION_ON;
	if (INFLATES_LITTLE)
		options.max_frame_bytes = 2000;
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", site.port);
	ck_assert_msg(ws_fopen_pair(url, &options, client) == 0, "%s", ws_last_error()->text);
	ck_assert_int_eq(ws_status(client[0], &status), 0);
	ck_assert(status.compressed);
	ck_assert_int_eq(ws_accept_pair(site.listener, server), 0);
	peer_thread(&echoing, echo, server);
	stretch.stream = client[1];
	peer_thread(&stretch.thread, write_pattern, &stretch);
	read_pattern(client[0], stretch.size, stretch.most);
	peer_join(stretch.thread);
	ck_assert_int_eq(fclose(client[1]), 0);
	wire_expect_end(client[0], 0);
	peer_join(echoing);
	ck_assert_int_eq(fclose(client[0]), 0);
	ck_assert_int_eq(fclose(server[1]), 0);
	ck_assert_msg(fclose(server[0]) == 0, "%s", strerror(errno));
	site_close(&site);
}
END_TEST

/* A kilobyte that becomes many: they are all read, or there is an error, and never an end before them. */
START_TEST(a_long_inflated_message_is_whole_or_an_error)
{
	static uint8_t zeros[100000], back[sizeof zeros];
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *client, *server;
	struct site site;
	bool whole;
	size_t n;

	if (!site_open_deflating(&site, NULL))
		return;
	options.compression = WS_COMPRESSION_ON;
	client = site_client(&site, "r+", &options);
	server = site_accept(&site, "r+");
	n = fwrite(zeros, 1, sizeof zeros, client);
	ck_assert(n == sizeof zeros || INFLATES_LITTLE);
	ck_assert(fflush(client) == 0 || INFLATES_LITTLE);
	errno = 0;
	n = fread(back, 1, sizeof back, server);
	whole = n == sizeof back;
	ck_assert_msg(whole != INFLATES_LITTLE, "%zu bytes: %s", n, strerror(errno));
	ck_assert_msg(whole || (ferror(server) && !feof(server) && errno == ECONNRESET), "%zu bytes: %s", n,
	    strerror(errno));
	if (!whole)
		wire_expect_end(client, ECONNRESET);
	ck_assert_int_eq(fclose(client) == 0, whole);
	ck_assert_int_eq(fclose(server) == 0, whole);
	site_close(&site);
}
END_TEST

static void *write_and_close(void *argument)
{
	struct stretch *stretch = argument;

	write_pattern(stretch);
	ck_assert_msg(fclose(stretch->stream) == 0, "%s", strerror(errno));
	return NULL;
}

/* One way each, without an answer: fclose is the receipt. _i: 0 = from the attached end. */
START_TEST(fclose_is_a_receipt)
{
	struct stretch stretch = { .size = 16 << 20, .most = 70000 };
	FILE *client, *server, *reader;
	struct site site;

	site_open(&site, NULL);
	client = site_client(&site, "r+", NULL);
	server = site_accept(&site, "r+");
	stretch.stream = _i == 0 ? server : client;
	reader = _i == 0 ? client : server;
	peer_thread(&stretch.thread, write_and_close, &stretch);
	read_pattern(reader, stretch.size, 50000);
	wire_expect_end(reader, 0);
	ck_assert_msg(fclose(reader) == 0, "%s", strerror(errno));
	peer_join(stretch.thread);
	site_close(&site);
}
END_TEST

#define STREAMS 12

START_TEST(streams_do_not_mix)
{
	struct stretch stretch[STREAMS];
	FILE *server[STREAMS], *client[STREAMS];
	struct site site;

	site_open(&site, NULL);
	for (int i = 0; i < STREAMS; i++) {
		client[i] = site_client(&site, "r+", NULL);
		server[i] = site_accept(&site, "r+");
		stretch[i] = (struct stretch){ .stream = i % 2 == 0 ? server[i] : client[i], .size = 700000,
		    .most = 3000 };
		fprintf(i % 2 == 0 ? server[i] : client[i], "%d\n", i);
		peer_thread(&stretch[i].thread, write_and_close, &stretch[i]);
	}
	for (int i = STREAMS - 1; i >= 0; i--) {
		FILE *reader = i % 2 == 0 ? client[i] : server[i];
		char line[16];

		snprintf(line, sizeof line, "%d\n", i);
		wire_expect_line(reader, line);
		read_pattern(reader, stretch[i].size, 4096);
		wire_expect_end(reader, 0);
		ck_assert_msg(fclose(reader) == 0, "%s", strerror(errno));
		peer_join(stretch[i].thread);
	}
	site_close(&site);
}
END_TEST

START_TEST(text_goes_both_ways)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct peer_frame frame;
	struct site site;
	FILE *server;
	int peer;

	options.on_text = WS_TEXT_BYTES;
	options.text_frames = true;
	site_open(&site, &options);
	peer = site_peer(&site, 0);
	server = site_accept(&site, "r+");
	peer_frame(peer, PEER_TEXT, true, "gr\xc3\xbc\xc3\x9f\n", 7);
	wire_expect_line(server, "gr\xc3\xbc\xc3\x9f\n");
	/* In fragments, and one without anything. */
	peer_frame(peer, 0x01, true, "a\xc3", 2);
	peer_frame(peer, 0x00, true, "", 0);
	peer_frame(peer, 0x80, true, "\xbc\n", 2);
	wire_expect_line(server, "a\xc3\xbc\n");
	fputs("z\xc3\xbcrich", server);
	ck_assert_int_eq(fflush(server), 0);
	ck_assert(peer_read_frame(peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_TEXT);
	ck_assert_str_eq((char *)frame.payload, "z\xc3\xbcrich");
	peer_frame_clear(&frame);
	peer_close(peer, true, 1000, NULL);
	ck_assert_uint_eq(peer_read_until_close(peer, NULL, NULL), 1000);
	peer_fin(peer);
	ck_assert_msg(fclose(server) == 0, "%s", strerror(errno));
	ck_assert_int_eq(close(peer), 0);
	site_close(&site);
}
END_TEST

/* --- backpressure --- */

static void *send_until_reset(void *argument)
{
	int peer = *(int *)argument;
	uint8_t *data = malloc(1 << 20);
	uint64_t done = 0;

	ck_assert_ptr_nonnull(data);
	for (int i = 0; i < 40; i++) {
		wire_pattern(done, data, 1 << 20);
		if (!peer_try_frame(peer, PEER_BINARY, true, data, 1 << 20))
			break;
		done += 1 << 20;
	}
	peer_close(peer, true, 1000, NULL);
	peer_fin(peer);
	free(data);
	return NULL;
}

/* The peer is held up, and nothing is lost when the program reads at last; another stream goes on meanwhile. */
START_TEST(an_unread_stream_holds_up_its_peer_alone)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	FILE *server, *other, *client;
	pthread_t sending;
	struct site site;
	int peer;

	options.recv_buffer_bytes = 65536;
	site_open(&site, &options);
	peer = site_peer(&site, 0);
	server = site_accept(&site, "r+");
	peer_thread(&sending, send_until_reset, &peer);
	peer_wait_blocked(peer);
	ck_assert_int_eq(ws_status(server, &status), 0);
	ck_assert_uint_le(status.bytes_received, 65536);
	client = site_client(&site, "r+", NULL);
	other = site_accept(&site, "r+");
	fputs("on\n", client);
	ck_assert_int_eq(fflush(client), 0);
	wire_expect_line(other, "on\n");
	read_pattern(server, UINT64_C(40) << 20, 100000);
	wire_expect_end(server, 0);
	peer_join(sending);
	ck_assert_int_eq(fclose(server), 0);
	ck_assert_int_eq(close(peer), 0);
	ck_assert_int_eq(ws_shutdown(client, 1000, NULL), 0);
	wire_expect_end(other, 0);
	ck_assert_int_eq(fclose(other), 0);
	ck_assert_int_eq(fclose(client), 0);
	site_close(&site);
}
END_TEST

START_TEST(a_peer_that_does_not_read_holds_up_the_writer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static uint8_t data[1 << 20];
	struct site site;
	size_t n = 0;
	FILE *server;
	int peer;

	options.write_timeout_ms = 300;
	options.close_timeout_ms = 300;
	site_open(&site, &options);
	peer = site_peer(&site, 4096);
	server = site_accept(&site, "r+");
	for (int i = 0; i < 100 && n == (size_t)i; i++) {
		errno = 0;
		n += fwrite(data, sizeof data, 1, server);
	}
	ck_assert_msg(n < 100, "nothing holds it up");
	ck_assert_int_eq(errno, ETIMEDOUT);
	errno = 0;
	ck_assert_int_eq(fclose(server), EOF);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert_int_eq(close(peer), 0);
	site_close(&site);
}
END_TEST

/* Both ends write more than fits anywhere before they read. */
START_TEST(both_directions_can_be_full_at_once)
{
	struct stretch up = { .size = 12 << 20, .most = 65536 }, down = { .size = 12 << 20, .most = 65536 };
	FILE *client[2], *server[2];
	const char *const subprotocols[] = { SITE_PROTOCOL, NULL };
	struct ws_options options = WS_OPTIONS_INIT;
	struct site site;
	char url[64];

	site_open(&site, NULL);
	options.subprotocols = subprotocols;
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", site.port);
	ck_assert_int_eq(ws_fopen_pair(url, &options, client), 0);
	ck_assert_int_eq(ws_accept_pair(site.listener, server), 0);
	up.stream = client[1];
	down.stream = server[1];
	peer_thread(&up.thread, write_pattern, &up);
	peer_thread(&down.thread, write_pattern, &down);
	read_pattern(server[0], up.size, 10000);
	read_pattern(client[0], down.size, 10000);
	peer_join(up.thread);
	peer_join(down.thread);
	ck_assert_int_eq(fclose(client[1]), 0);
	wire_expect_end(server[0], 0);
	ck_assert_int_eq(fclose(server[1]), 0);
	ck_assert_msg(fclose(server[0]) == 0, "%s", strerror(errno));
	ck_assert_msg(fclose(client[0]) == 0, "%s", strerror(errno));
	site_close(&site);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("attach");
	TCase *tcase = wire_case(suite, "accept");

	tcase_add_test(tcase, a_served_connection_is_a_stream);
	tcase_add_test(tcase, the_handshake_is_told);
	tcase_add_test(tcase, a_connection_the_program_opens_is_a_stream);
	tcase_add_loop_test(tcase, a_connection_the_program_can_not_open_is_none, 0, 5);
	tcase_add_test(tcase, bad_arguments_are_refused);
	tcase = wire_case(suite, "bytes");
	tcase_add_loop_test(tcase, every_byte_comes_back, 0, 3);
	tcase_add_loop_test(tcase, every_byte_comes_back_compressed, 0, 3);
	tcase_add_test(tcase, a_long_inflated_message_is_whole_or_an_error);
	tcase_add_loop_test(tcase, fclose_is_a_receipt, 0, 2);
	tcase_add_test(tcase, streams_do_not_mix);
	tcase_add_test(tcase, text_goes_both_ways);
	tcase = wire_case(suite, "backpressure");
	tcase_add_test(tcase, an_unread_stream_holds_up_its_peer_alone);
	tcase_add_test(tcase, a_peer_that_does_not_read_holds_up_the_writer);
	tcase_add_test(tcase, both_directions_can_be_full_at_once);
	return wire_run(suite);
}
