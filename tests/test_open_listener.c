/* SPDX-License-Identifier: 0BSD */
/* Opening as a listener: what is served, what is refused and with which status (RFC 6455, section 4.2). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define HOST "Host: 127.0.0.1\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define GOOD "GET / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION

static struct ws_listener *listen_at(const char *url, const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener = ws_listen(url, options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

/* The status of an answer, 0 = TCP ended without one. */
static int status_of(const char *answer)
{
	char *end;
	long status;

	if (*answer == '\0')
		return 0;
	ck_assert_msg(strncmp(answer, "HTTP/1.1 ", 9) == 0, "answered: %s", answer);
	status = strtol(answer + 9, &end, 10);
	ck_assert_msg(end == answer + 12 && *end == ' ', "answered: %s", answer);
	return (int)status;
}

/* Send a request and return the answer, to be freed; the client is gone afterwards. */
static char *ask(unsigned port, const char *request, bool one_at_a_time)
{
	int fd = peer_connect(port);
	size_t i, size = strlen(request);
	char *answer;

	for (i = 0; one_at_a_time && i < size && peer_try_send(fd, request + i, 1); i++)
		;
	answer = one_at_a_time ? peer_client_raw(fd, "", 0) : peer_client_raw(fd, request, size);
	close(fd);
	return answer;
}

static void expect_status(unsigned port, const char *request, int status, const char *line)
{
	char *answer;
	int way;

	for (way = 0; way < 2; way++) {
		answer = ask(port, request, way == 1);
		ck_assert_msg(status_of(answer) == status, "not %d: %s\nfor: %s", status, answer, request);
		ck_assert_msg(line == NULL || strcasestr(answer, line) != NULL, "no %s: %s", line, answer);
		free(answer);
	}
}

/* The listener still does its work: a line goes there and back. */
static void expect_service(struct ws_listener *listener, const char *url)
{
	FILE *client = ws_fopen(url, "r+"), *server;
	char line[64];

	ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
	fputs("hello\n", client);
	ck_assert_int_eq(fflush(client), 0);
	/* Those that left right behind a good handshake are still to be accepted. */
	for (;;) {
		server = ws_accept(listener, "r+");
		ck_assert_msg(server != NULL, "%s", ws_last_error()->text);
		if (fgets(line, sizeof line, server) != NULL)
			break;
		ck_assert_int_ne(fclose(server), 0);
	}
	ck_assert_str_eq(line, "hello\n");
	fputs("there\n", server);
	ck_assert_int_eq(fflush(server), 0);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, client));
	ck_assert_str_eq(line, "there\n");
	duo_close_both(client, server);
}

/* --- listening itself --- */

static void expect_no_listener(const char *url, const struct ws_options *options, int error)
{
	struct ws_listener *listener;
	int got;

	errno = 0;
	listener = ws_listen(url, options);
	got = errno;
	ck_assert_msg(listener == NULL, "%s was opened", url);
	ck_assert_msg(got == error, "%s: %s: %s", url, strerror(got), ws_last_error()->text);
	duo_check_failure(error, 0);
}

START_TEST(a_listener_that_can_not_be_is_an_error)
{
	static const char *const headers[] = { "X: y\r\nInjected: 1", NULL };
	struct ws_options options = WS_OPTIONS_INIT;

	peer_count_begin();
	expect_no_listener(NULL, NULL, EINVAL);
	expect_no_listener("", NULL, EINVAL);
	expect_no_listener("127.0.0.1:0", NULL, EINVAL);
	expect_no_listener("http://127.0.0.1:0/", NULL, EINVAL);
	expect_no_listener("ws://127.0.0.1:65536/", NULL, EINVAL);
	expect_no_listener("ws://127.0.0.1:0/path?query", NULL, EINVAL);
	expect_no_listener("ws://user@127.0.0.1:0/", NULL, EINVAL);
	expect_no_listener("wss://127.0.0.1:0/", NULL, EINVAL);	/* no certificate */
	expect_no_listener("ws://192.0.2.1:0/", NULL, EADDRNOTAVAIL);
	options.backlog = 0;
	expect_no_listener("ws://127.0.0.1:0/", &options, EINVAL);
	options.backlog = 4097;
	expect_no_listener("ws://127.0.0.1:0/", &options, EINVAL);
	options.backlog = 128;
	options.path = "no slash";
	expect_no_listener("ws://127.0.0.1:0/", &options, EINVAL);
	options.path = NULL;
	options.headers = headers;
	expect_no_listener("ws://127.0.0.1:0/", &options, EINVAL);
	peer_count_end();
}
END_TEST

START_TEST(a_taken_port_is_eaddrinuse)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener, *second;
	unsigned port;
	char url[64];
	int fd;

	peer_count_begin();
	fd = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	expect_no_listener(url, NULL, EADDRINUSE);
	close(fd);
	listener = listen_at("ws://127.0.0.1:0/", NULL, &port);
	expect_no_listener(ws_listener_url(listener), NULL, EADDRINUSE);
	expect_service(listener, ws_listener_url(listener));
	ck_assert_int_eq(ws_listener_close(listener), 0);
	options.reuse_port = true;
	listener = listen_at("ws://127.0.0.1:0/", &options, &port);
	second = ws_listen(ws_listener_url(listener), &options);
	ck_assert_msg(second != NULL, "%s", ws_last_error()->text);
	ws_listener_close(listener);
	expect_service(second, ws_listener_url(second));
	ws_listener_close(second);
	ck_assert_int_eq(ws_listener_close(NULL), 0);
	peer_count_end();
}
END_TEST

static void listen_on(const char *url, const char *prefix)
{
	struct ws_listener *listener = ws_listen(url, NULL);

	ck_assert_msg(listener != NULL, "%s: %s", url, ws_last_error()->text);
	ck_assert_msg(strncmp(ws_listener_url(listener), prefix, strlen(prefix)) == 0, "%s", ws_listener_url(listener));
	ck_assert_ptr_null(strstr(ws_listener_url(listener), ":0/"));
	expect_service(listener, ws_listener_url(listener));
	ws_listener_close(listener);
}

START_TEST(an_address_or_a_name_can_be_listened_on)
{
	struct ws_listener *listener;
	int error;

	peer_count_begin();
	listen_on("ws://127.0.0.1:0/", "ws://127.0.0.1:");
	listen_on("ws://localhost:0/", "ws://localhost:");
	listener = ws_listen("ws://[::1]:0/", NULL);
	error = errno;
	if (listener == NULL) {
		ck_assert_msg(error == EADDRNOTAVAIL || error == EAFNOSUPPORT, "%s", ws_last_error()->text);
		fprintf(stderr, "SKIPPED: no IPv6 on this machine\n");
	} else {
		ws_listener_close(listener);
		listen_on("ws://[::1]:0/path", "ws://[::1]:");
	}
	peer_count_end();
}
END_TEST

/* --- requests --- */

static const struct {
	const char *request;
	int status;
	const char *line;		/* in the answer */
} requests[] = {
	{ GOOD "\r\n", 101, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" },
	{ "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nUPGRADE: foo, WebSocket\r\nconnection: keep-alive,upgrade\r\n" KEY
	    VERSION "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 101, NULL },
	{ "GET /any/path?x=1 HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 101, NULL },
	{ "GET / HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE KEY KEY VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: \r\n" VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n" VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n" VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n" VERSION "\r\n", 400,
	    NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh\r\n" VERSION "\r\n", 400,
	    NULL },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE KEY "Sec-WebSocket-Version: 12\r\n\r\n", 426,
	    "Sec-WebSocket-Version: 13\r\n" },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426,
	    "Sec-WebSocket-Version: 13\r\n" },
	{ "GET / HTTP/1.1\r\n" HOST UPGRADE KEY "\r\n", 426, "Sec-WebSocket-Version: 13\r\n" },
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", 426, "Upgrade: websocket\r\n" },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\n" KEY VERSION "\r\n", 426, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n" KEY VERSION "\r\n", 426, NULL },
	{ "GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION "\r\n", 426, NULL },
	{ "POST / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 405, "Allow: GET\r\n" },
	{ "HEAD / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 405, NULL },
	{ "get / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 405, NULL },
	{ "GET / HTTP/1.0\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/2.0\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET http://127.0.0.1/ HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET * HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET  / HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET / HTTP/1.1 \r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ "GET /\r\n" HOST UPGRADE KEY VERSION "\r\n", 400, NULL },
	{ GOOD "Content-Length: 5\r\n\r\nhello", 400, NULL },
	{ GOOD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, NULL },
	{ GOOD "no colon\r\n\r\n", 400, NULL },
	{ GOOD "Space : before the colon\r\n\r\n", 400, NULL },
	{ GOOD ": no name\r\n\r\n", 400, NULL },
	{ GOOD "X: folded\r\n line\r\n\r\n", 400, NULL },
	{ GOOD "X: bare\rreturn\r\n\r\n", 400, NULL },
	{ GOOD "X: control\x01\r\n\r\n", 400, NULL },
	{ "GET / HTTP/1.1\nHost: 127.0.0.1\n\n", 400, NULL },
	{ "\x16\x03\x01\x02" "hello over TLS\r\n\r\n", 400, NULL },
	{ "SSH-2.0-OpenSSH_9.2p1\r\n\r\n\r\n", 400, NULL },
};

START_TEST(a_request_gets_the_status_it_deserves)
{
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	listener = listen_at("ws://127.0.0.1:0/", NULL, &port);
	expect_status(port, requests[_i].request, requests[_i].status, requests[_i].line);
	expect_service(listener, ws_listener_url(listener));
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_header_block_over_the_limit_is_431)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	char request[4096], filler[2048];
	unsigned port;
	int room;

	peer_count_begin();
	options.max_header_bytes = 1024;
	listener = listen_at("ws://127.0.0.1:0/", &options, &port);
	memset(filler, 'x', sizeof filler);
	filler[sizeof filler - 1] = '\0';
	snprintf(request, sizeof request, GOOD "X: %s\r\n\r\n", filler);
	expect_status(port, request, 431, NULL);
	/* The limit itself is allowed, one byte more is not. */
	room = 1024 - (int)strlen(GOOD "X: \r\n\r\n");
	snprintf(request, sizeof request, GOOD "X: %.*s\r\n\r\n", room, filler);
	ck_assert_uint_eq(strlen(request), 1024);
	expect_status(port, request, 101, NULL);
	snprintf(request, sizeof request, GOOD "X: %.*s\r\n\r\n", room + 1, filler);
	expect_status(port, request, 431, NULL);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* A client that leaves in the middle of its request harms nobody. */
START_TEST(a_request_cut_in_the_middle_is_forgotten)
{
	static const char start[] = "GET / HTTP/1.1\r\nHost: 127";
	struct ws_listener *listener;
	unsigned port;
	int fd, i;

	peer_count_begin();
	listener = listen_at("ws://127.0.0.1:0/", NULL, &port);
	for (i = 0; i < 6; i++) {
		fd = peer_connect(port);
		if (i % 3 != 0)
			peer_send(fd, start, sizeof start - 1);
		if (i % 2 == 0)
			peer_reset(fd);
		else
			close(fd);
	}
	expect_service(listener, ws_listener_url(listener));
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const struct {
	const char *url_path, *option, *target;
	int status;
} paths[] = {
	{ "/", NULL, "/", 101 },
	{ "/", NULL, "/anything?at=all", 101 },
	{ "", NULL, "/anything", 101 },
	{ "/chat", NULL, "/chat", 101 },
	{ "/chat", NULL, "/chat?", 101 },
	{ "/chat", NULL, "/chat?x=1&y=/", 101 },
	{ "/chat", NULL, "/", 404 },
	{ "/chat", NULL, "/chat/", 404 },
	{ "/chat", NULL, "/chats", 404 },
	{ "/chat", NULL, "/cha", 404 },
	{ "/chat", NULL, "/Chat", 404 },
	{ "/chat", NULL, "/x?/chat", 404 },
	{ "/", "/only", "/only?x", 101 },
	{ "/", "/only", "/", 404 },
	{ "/chat", "/only", "/chat", 404 },
};

START_TEST(only_the_path_is_served)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	char url[64], request[1024];
	unsigned port;

	peer_count_begin();
	options.path = paths[_i].option;
	snprintf(url, sizeof url, "ws://127.0.0.1:0%s", paths[_i].url_path);
	listener = listen_at(url, &options, &port);
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST UPGRADE KEY VERSION "\r\n", paths[_i].target);
	expect_status(port, request, paths[_i].status, NULL);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const struct {
	const char *const allowed[3];
	const char *host, *origin;	/* printf-like: the port */
	int status;
} origins[] = {
	{ { NULL }, "127.0.0.1:%u", "http://127.0.0.1:%u", 101 },
	{ { NULL }, "127.0.0.1:%u", "https://127.0.0.1:%u", 101 },
	{ { NULL }, "example.org", "http://example.org", 101 },
	{ { NULL }, "example.org:80", "http://example.org", 101 },
	{ { NULL }, "Example.org", "http://example.ORG:80", 101 },
	{ { NULL }, "127.0.0.1:%u", "http://127.0.0.1:1", 403 },
	{ { NULL }, "127.0.0.1:%u", "http://127.0.0.1", 403 },
	{ { NULL }, "127.0.0.1:%u", "http://localhost:%u", 403 },
	{ { NULL }, "127.0.0.1:%u", "http://evil.example", 403 },
	{ { NULL }, "127.0.0.1:%u", "http://127.0.0.1:%u.evil.example", 403 },
	{ { NULL }, "127.0.0.1:%u", "http://evil.example/127.0.0.1:%u", 403 },
	{ { NULL }, "127.0.0.1:%u", "null", 403 },
	{ { NULL }, "127.0.0.1:%u", "", 403 },
	{ { "https://good.example", NULL }, "127.0.0.1:%u", "https://good.example", 101 },
	{ { "https://first.example", "https://good.example", NULL }, "127.0.0.1:%u", "https://good.example", 101 },
	{ { "https://good.example", NULL }, "127.0.0.1:%u", "http://good.example", 403 },
	{ { "https://good.example", NULL }, "127.0.0.1:%u", "https://good.example.evil", 403 },
	{ { "https://good.example", NULL }, "127.0.0.1:%u", "http://127.0.0.1:%u", 403 },
	{ { "https://good.example", NULL }, "127.0.0.1:%u", "null", 403 },
	{ { "null", NULL }, "127.0.0.1:%u", "null", 101 },
	{ { "*", NULL }, "127.0.0.1:%u", "http://evil.example", 101 },
	{ { "*", NULL }, "127.0.0.1:%u", "null", 101 },
};

START_TEST(only_allowed_origins_are_served)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	char host[128], origin[128], request[1024];
	unsigned port;

	peer_count_begin();
	options.allowed_origins = origins[_i].allowed[0] != NULL ? origins[_i].allowed : NULL;
	listener = listen_at("ws://127.0.0.1:0/", &options, &port);
	snprintf(host, sizeof host, origins[_i].host, port);
	snprintf(origin, sizeof origin, origins[_i].origin, port);
	snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n" UPGRADE KEY VERSION "\r\n",
	    host, origin);
	expect_status(port, request, origins[_i].status, NULL);
	/* No Origin at all is no browser: served whatever the list says. */
	snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n" UPGRADE KEY VERSION "\r\n", host);
	expect_status(port, request, 101, NULL);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open_listener");
	TCase *tcase = tcase_create("requests");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_listener_that_can_not_be_is_an_error);
	tcase_add_test(tcase, a_taken_port_is_eaddrinuse);
	tcase_add_test(tcase, an_address_or_a_name_can_be_listened_on);
	tcase_add_loop_test(tcase, a_request_gets_the_status_it_deserves, 0, COUNT(requests));
	tcase_add_test(tcase, a_header_block_over_the_limit_is_431);
	tcase_add_test(tcase, a_request_cut_in_the_middle_is_forgotten);
	tcase_add_loop_test(tcase, only_the_path_is_served, 0, COUNT(paths));
	tcase_add_loop_test(tcase, only_allowed_origins_are_served, 0, COUNT(origins));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
