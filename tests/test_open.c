/* SPDX-License-Identifier: 0BSD */
/* Opening as a client: bad servers, and what comes behind a good answer (RFC 6455, section 4.1). */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define UPGRADE "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: %s\r\n"

/* --- nobody there --- */

START_TEST(a_name_that_does_not_exist_is_enoent)
{
	FILE *stream;
	int error;

	peer_count_begin();
	stream = ws_fopen("ws://no-such-host.invalid/", "r+");
	error = errno;
	ck_assert_ptr_null(stream);
	/* Without any name server the resolver can't know better than "try again". */
	ck_assert_msg(error == ENOENT || error == EAGAIN, "%s: %s", strerror(error), ws_last_error()->text);
	duo_check_failure(error, 0);
	peer_count_end();
}
END_TEST

START_TEST(a_port_nobody_listens_on_is_refused)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	char url[64];
	int holder;

	peer_count_begin();
	/* Bound and not listening: nobody else can have the port meanwhile. */
	holder = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(holder, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(holder, (struct sockaddr *)&address, &size), 0);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
	duo_expect_failure(url, "r+", NULL, ECONNREFUSED);
	close(holder);
	peer_count_end();
}
END_TEST

START_TEST(a_silent_server_is_given_up)
{
	struct ws_options options = WS_OPTIONS_INIT;
	unsigned port;
	char url[64];
	int listener;

	peer_count_begin();
	listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	options.handshake_timeout_ms = 150;
	duo_expect_failure(url, "r+", &options, ETIMEDOUT);
	close(listener);
	peer_count_end();
}
END_TEST

/* Fill the queue of a listener until its kernel leaves a connection unanswered. Returns how many descriptors. */
static int fill_backlog(unsigned port, int *descriptors, int most)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd made = { -1, POLLOUT, 0 };
	int count;

	for (count = 0; count < most; count++) {
		made.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(made.fd, 0);
		descriptors[count] = made.fd;
		if (connect(made.fd, (struct sockaddr *)&address, sizeof address) != 0 && poll(&made, 1, 50) == 0)
			return count + 1;
	}
	return count;
}

START_TEST(a_connection_nobody_answers_is_given_up)
{
	struct ws_options options = WS_OPTIONS_INIT;
	int listener, descriptors[16], count, i;
	unsigned port;
	char url[64];

	peer_count_begin();
	listener = peer_listen(&port);
	ck_assert_int_eq(listen(listener, 0), 0);
	count = fill_backlog(port, descriptors, COUNT(descriptors));
	ck_assert_msg(count < COUNT(descriptors), "the queue never filled");
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	options.connect_timeout_ms = 150;
	duo_expect_failure(url, "r+", &options, ETIMEDOUT);
	for (i = 0; i < count; i++)
		close(descriptors[i]);
	close(listener);
	peer_count_end();
}
END_TEST

/* --- answers --- */

enum way { AT_ONCE, BYTE_BY_BYTE };

struct server {
	const char *format;		/* of the answer, %s = the accept value */
	const char *tail;		/* behind it, in the same packet */
	size_t tail_bytes;
	enum way way;
	bool wait;			/* for the client to go, before TCP ends */
	int listener;
	unsigned port;
	char *request;
	int fd;				/* left open for the test if not wait */
};

/* peer_serve_answer over a pair of sockets: its answer as bytes, to be sent in any way. */
static size_t make_answer(const char *request, const char *format, char *out, size_t size)
{
	int pair[2];
	size_t got;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer_send(pair[1], request, strlen(request));
	free(peer_serve_answer(pair[0], format));
	close(pair[0]);
	got = peer_recv(pair[1], out, size);
	close(pair[1]);
	return got;
}

static char *read_request(int fd)
{
	size_t size = 0;
	char *request = calloc(1, 16385);

	ck_assert_ptr_nonnull(request);
	while (size < 16384 && peer_recv(fd, request + size, 1) == 1) {
		size++;
		if (size >= 4 && memcmp(request + size - 4, "\r\n\r\n", 4) == 0)
			return request;
	}
	ck_abort_msg("no request came");
}

static void *serve(void *argument)
{
	struct server *server = argument;
	char answer[32768];
	size_t size, i;

	server->fd = peer_accept(server->listener);
	server->request = read_request(server->fd);
	size = make_answer(server->request, server->format, answer, sizeof answer - server->tail_bytes);
	if (server->tail_bytes > 0)
		memcpy(answer + size, server->tail, server->tail_bytes);
	size += server->tail_bytes;
	if (server->way == AT_ONCE)
		peer_try_send(server->fd, answer, size);
	for (i = 0; server->way == BYTE_BY_BYTE && i < size && peer_try_send(server->fd, answer + i, 1); i++)
		;
	if (server->wait) {
		/* The client may be gone already: then there is nothing to shut down. */
		shutdown(server->fd, SHUT_WR);
		while (!peer_at_end(server->fd))
			;
		close(server->fd);
	}
	return NULL;
}

static FILE *open_against(struct server *server, const struct ws_options *options)
{
	pthread_t thread;
	FILE *stream;
	char url[64];
	int error;

	server->listener = peer_listen(&server->port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/chat?x=1", server->port);
	peer_thread(&thread, serve, server);
	errno = 0;
	stream = ws_fopen_with(url, "r+", options);
	error = errno;
	peer_join(thread);
	close(server->listener);
	free(server->request);
	errno = error;
	return stream;
}

#define STATUS(line, error, status) { "HTTP/1.1 " line "\r\nContent-Length: 3\r\n\r\nno\n", error, status }
#define BROKEN(answer) { answer, EPROTO, 101 }

static const struct {
	const char *format;
	int error, http_status;
} bad_answers[] = {
	STATUS("200 OK", ECONNABORTED, 200),
	STATUS("301 Moved Permanently\r\nLocation: ws://127.0.0.1:1/", ECONNABORTED, 301),
	STATUS("302 Found\r\nLocation: /elsewhere", ECONNABORTED, 302),
	STATUS("400 Bad Request", ECONNABORTED, 400),
	STATUS("404 Not Found", ECONNABORTED, 404),
	STATUS("426 Upgrade Required", ECONNABORTED, 426),
	STATUS("500 Internal Server Error", ECONNABORTED, 500),
	STATUS("503 ", ECONNABORTED, 503),
	STATUS("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", EACCES, 401),
	STATUS("403 Forbidden", EACCES, 403),
	STATUS("407 Proxy Authentication Required", EACCES, 407),
	BROKEN(UPGRADE "\r\n"),
	BROKEN(UPGRADE "Sec-WebSocket-Accept: \r\n\r\n"),
	BROKEN(UPGRADE "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
	BROKEN(UPGRADE "Sec-WebSocket-Accept: x%s\r\n\r\n"),
	BROKEN(UPGRADE "Sec-WebSocket-Accept: %1$s\r\nSec-WebSocket-Accept: %1$s\r\n\r\n"),
	BROKEN(UPGRADE ACCEPT "Sec-WebSocket-Protocol: unasked\r\n\r\n"),
	BROKEN(UPGRADE ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
	BROKEN("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" ACCEPT "\r\n"),
	BROKEN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" ACCEPT "\r\n"),
	BROKEN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n"),
	BROKEN("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: close\r\n" ACCEPT "\r\n"),
	BROKEN("HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ACCEPT "\r\n"),
};

static void expect_bad_answer(const char *format, enum way way, int error, int http_status)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct server server = { format, "", 0, way, true, -1, 0, NULL, -1 };
	FILE *stream;
	int got;

	options.max_header_bytes = 1024;
	stream = open_against(&server, &options);
	got = errno;
	ck_assert_msg(stream == NULL, "opened by: %s", format);
	ck_assert_msg(got == error, "%s (%s) for: %s", strerror(got), ws_last_error()->text, format);
	duo_check_failure(error, http_status);
}

START_TEST(an_answer_that_opens_nothing_is_an_error)
{
	peer_count_begin();
	expect_bad_answer(bad_answers[_i].format, AT_ONCE, bad_answers[_i].error, bad_answers[_i].http_status);
	expect_bad_answer(bad_answers[_i].format, BYTE_BY_BYTE, bad_answers[_i].error, bad_answers[_i].http_status);
	peer_count_end();
}
END_TEST

#define TEXT_100 "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
#define TEXT_1000 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100

/* No whole header block: the status is nothing to go by. */
static const char *const garbage[] = {
	"",
	"H",
	"HTTP/1.1 101",
	UPGRADE,
	UPGRADE ACCEPT,
	UPGRADE ACCEPT "\r",
	"SSH-2.0-OpenSSH_9.2p1\r\n",
	"\x16\x03\x01\x02" "garbage\x01\x02\x03\xff\xfe\r\n\r\n",
	"\r\n\r\n",
	"HTTP/1.1 1x1 Switching Protocols\r\n\r\n",
	"HTTP/1.1 1010 Switching Protocols\r\n\r\n",
	"HTTP/2 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n" "Sec-WebSocket-Accept: %s\n\n",
	UPGRADE "no colon\r\n\r\n",
	UPGRADE "Bad Name: x\r\n\r\n",
	UPGRADE "X: folded\r\n line\r\n" ACCEPT "\r\n",
	UPGRADE "X: y\x01z\r\n" ACCEPT "\r\n",
	UPGRADE ACCEPT "X-Long: " TEXT_1000 "\r\n\r\n",
};

static void expect_garbage(const char *format, enum way way)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct server server = { format, "", 0, way, true, -1, 0, NULL, -1 };
	FILE *stream;
	int got;

	options.max_header_bytes = 1024;
	stream = open_against(&server, &options);
	got = errno;
	ck_assert_msg(stream == NULL, "opened by: %s", format);
	ck_assert_msg(got == EPROTO, "%s (%s) for: %s", strerror(got), ws_last_error()->text, format);
	duo_check_failure(EPROTO, ws_last_error()->http_status);
}

START_TEST(an_answer_that_is_none_is_an_error)
{
	peer_count_begin();
	expect_garbage(garbage[_i], AT_ONCE);
	expect_garbage(garbage[_i], BYTE_BY_BYTE);
	peer_count_end();
}
END_TEST

START_TEST(a_server_that_never_ends_its_answer_is_given_up)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct server server = { UPGRADE "X: ", "", 0, AT_ONCE, false, -1, 0, NULL, -1 };

	peer_count_begin();
	options.handshake_timeout_ms = 150;
	ck_assert_ptr_null(open_against(&server, &options));
	duo_check_failure(ETIMEDOUT, 0);
	close(server.fd);
	peer_count_end();
}
END_TEST

/* A reset before any answer: the connection broke, whatever was to be said on it. */
static void *reset_at_once(void *argument)
{
	int fd = peer_accept(*(int *)argument);

	free(read_request(fd));
	peer_reset(fd);
	return NULL;
}

START_TEST(a_server_that_resets_is_an_error)
{
	pthread_t thread;
	int listener, error;
	unsigned port;
	char url[64];

	peer_count_begin();
	listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&thread, reset_at_once, &listener);
	errno = 0;
	ck_assert_ptr_null(ws_fopen(url, "r+"));
	error = errno;
	peer_join(thread);
	ck_assert_msg(error == ECONNRESET || error == EPROTO, "%s: %s", strerror(error), ws_last_error()->text);
	duo_check_failure(error, 0);
	close(listener);
	peer_count_end();
}
END_TEST

/* --- good answers --- */

struct finisher {
	int fd;
	unsigned code;
};

static void *finish(void *argument)
{
	struct finisher *finisher = argument;

	finisher->code = peer_read_until_close(finisher->fd, NULL, NULL);
	close(finisher->fd);
	return NULL;
}

/* The peer has sent its Close: fclose sends ours and must be satisfied. */
static void close_both(FILE *stream, int fd)
{
	struct finisher finisher = { fd, 0 };
	pthread_t thread;

	peer_thread(&thread, finish, &finisher);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	ck_assert_uint_eq(finisher.code, 1000);
}

static const char *const good_answers[] = {
	UPGRADE ACCEPT "\r\n",
	"HTTP/1.1 101 \r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n" "sec-websocket-accept:%s\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade:\t websocket \t\r\nConnection: keep-alive\r\n"
	"Connection: upgrade\r\n" ACCEPT "X-Empty:\r\nX-Latin: caf\xe9\r\n\r\n",
};

/* A message and the Close in the packet of the answer: the connection may be over before the opener has returned. */
static void open_with_tail(const char *format, enum way way)
{
	static const char tail[] = "\x82\x05hello\x88\x02\x03\xe8";
	struct server server = { format, tail, sizeof tail - 1, way, false, -1, 0, NULL, -1 };
	char data[16];
	FILE *stream = open_against(&server, NULL);

	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	ck_assert_uint_eq(fread(data, 1, sizeof data, stream), 5);
	ck_assert_mem_eq(data, "hello", 5);
	ck_assert_int_ne(feof(stream), 0);
	ck_assert_int_eq(ferror(stream), 0);
	close_both(stream, server.fd);
}

START_TEST(what_comes_right_behind_the_answer_is_not_lost)
{
	peer_count_begin();
	open_with_tail(good_answers[_i], AT_ONCE);
	open_with_tail(good_answers[_i], BYTE_BY_BYTE);
	peer_count_end();
}
END_TEST

/* As much behind the answer as its packet takes, and megabytes more while the opener may still be on its way. */
static void *serve_much(void *argument)
{
	struct server *server = argument;
	uint8_t block[65536];
	int i;

	memset(block, 'm', sizeof block);
	server->wait = false;
	serve(server);
	for (i = 0; i < 128; i++)
		peer_frame(server->fd, PEER_BINARY, false, block, sizeof block);
	peer_close(server->fd, false, 1000, NULL);
	peer_read_until_close(server->fd, NULL, NULL);
	close(server->fd);
	return NULL;
}

START_TEST(much_right_behind_the_answer_is_not_lost)
{
	static char tail[4 + 20000], data[65536];
	struct server server = { UPGRADE ACCEPT "\r\n", tail, sizeof tail, AT_ONCE, false, -1, 0, NULL, -1 };
	size_t got, total = 0;
	pthread_t thread;
	FILE *stream;
	char url[64];

	peer_count_begin();
	memset(tail, 'm', sizeof tail);
	memcpy(tail, "\x82\x7e\x4e\x20", 4);
	server.listener = peer_listen(&server.port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", server.port);
	peer_thread(&thread, serve_much, &server);
	stream = ws_fopen(url, "r");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	while ((got = fread(data, 1, sizeof data, stream)) > 0) {
		ck_assert_ptr_null(memchr(data, '\x82', got));
		total += got;
	}
	ck_assert_int_eq(ferror(stream), 0);
	ck_assert_uint_eq(total, 20000 + 128 * 65536);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	close(server.listener);
	free(server.request);
	peer_count_end();
}
END_TEST

/* --- what the request says --- */

static bool has_line(const char *request, const char *line)
{
	char text[256];

	snprintf(text, sizeof text, "\r\n%s\r\n", line);
	return strcasestr(request, text) != NULL;
}

static void *serve_and_say_goodbye(void *argument)
{
	struct server *server = argument;

	server->fd = peer_accept(server->listener);
	server->request = peer_serve_answer(server->fd, server->format);
	peer_close(server->fd, false, 1000, NULL);
	peer_read_until_close(server->fd, NULL, NULL);
	close(server->fd);
	return NULL;
}

START_TEST(the_request_says_what_the_options_ask_for)
{
	static const char *const subprotocols[] = { "first", "second", NULL };
	static const char *const headers[] = { "X-One: 1", "X-Two: a b", NULL };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	struct server server = { UPGRADE ACCEPT "Sec-WebSocket-Protocol: second\r\nX-Answer: here\r\n\r\n", "", 0,
	    AT_ONCE, false, -1, 0, NULL, -1 };
	pthread_t thread;
	FILE *stream;
	char url[64], host[64];

	peer_count_begin();
	server.listener = peer_listen(&server.port);
	snprintf(url, sizeof url, "ws://LocalHost:%u/chat?x=%%20&y", server.port);
	options.subprotocols = subprotocols;
	options.headers = headers;
	options.origin = "https://example.org";
	options.user_agent = "tester/1";
	peer_thread(&thread, serve_and_say_goodbye, &server);
	stream = ws_fopen_with(url, "r+", &options);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_str_eq(status.subprotocol, "second");
	ck_assert_int_eq(status.http_status, 101);
	ck_assert_str_eq(ws_header(stream, "x-answer"), "here");
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
	snprintf(host, sizeof host, "Host: localhost:%u", server.port);
	ck_assert_int_eq(strncmp(server.request, "GET /chat?x=%20&y HTTP/1.1\r\n", 28), 0);
	ck_assert(has_line(server.request, host));
	ck_assert(has_line(server.request, "Upgrade: websocket"));
	ck_assert(has_line(server.request, "Connection: Upgrade"));
	ck_assert(has_line(server.request, "Sec-WebSocket-Version: 13"));
	ck_assert(has_line(server.request, "Sec-WebSocket-Protocol: first, second"));
	ck_assert(has_line(server.request, "Origin: https://example.org"));
	ck_assert(has_line(server.request, "User-Agent: tester/1"));
	ck_assert(has_line(server.request, "X-One: 1"));
	ck_assert(has_line(server.request, "X-Two: a b"));
	ck_assert_ptr_null(strcasestr(server.request, "Sec-WebSocket-Extensions"));
	free(server.request);
	close(server.listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open");
	TCase *tcase = tcase_create("client");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_name_that_does_not_exist_is_enoent);
	tcase_add_test(tcase, a_port_nobody_listens_on_is_refused);
	tcase_add_test(tcase, a_silent_server_is_given_up);
	tcase_add_test(tcase, a_connection_nobody_answers_is_given_up);
	tcase_add_loop_test(tcase, an_answer_that_opens_nothing_is_an_error, 0, COUNT(bad_answers));
	tcase_add_loop_test(tcase, an_answer_that_is_none_is_an_error, 0, COUNT(garbage));
	tcase_add_test(tcase, a_server_that_never_ends_its_answer_is_given_up);
	tcase_add_test(tcase, a_server_that_resets_is_an_error);
	tcase_add_loop_test(tcase, what_comes_right_behind_the_answer_is_not_lost, 0, COUNT(good_answers));
	tcase_add_test(tcase, much_right_behind_the_answer_is_not_lost);
	tcase_add_test(tcase, the_request_says_what_the_options_ask_for);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
