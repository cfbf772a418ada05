/* SPDX-License-Identifier: 0BSD */
/*
 * Servers and proxies that never come to the point: answers without end, byte by byte, one redirect after another,
 * rubbish. Each opening fails, in time, and takes no more than it may.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "hostile.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
/* More than any buffer between the two ends, and than any limit. */
#define ENDLESS_BYTES ((size_t)64 << 20)
#define TRICKLE_BYTES 1000
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\n"
#define ANY_PORT "{port}"

struct server {
	const char *first, *again;	/* sent once, and then again and again; "{port}" in first is the server's */
	size_t again_bytes;
	bool trickles;			/* a byte now and then */
	int listener;
	unsigned port;
	atomic_bool stop;
	atomic_uint connections;
	atomic_size_t most_sent;	/* on one of them */
	pthread_t thread;
};

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

/* What of it was sent before the other end had gone. */
static size_t send_all(const struct server *server, int fd, const char *data, size_t size)
{
	size_t sent = 0, piece = server->trickles ? 1 : size;

	while (sent < size && peer_try_send(fd, data + sent, piece)) {
		sent += piece;
		if (server->trickles)
			pause_briefly();
	}
	return sent;
}

/* The other end gives up first: that is what is tested. */
static void serve_one(struct server *server, int fd)
{
	size_t most = server->trickles ? TRICKLE_BYTES : ENDLESS_BYTES, sent = 0, n;
	const char *port = strstr(server->first, ANY_PORT);
	char first[512], request[4096];

	(void)recv(fd, request, sizeof request, 0);
	if (port != NULL)
		snprintf(first, sizeof first, "%.*s%u%s", (int)(port - server->first), server->first, server->port,
		    port + sizeof ANY_PORT - 1);
	else
		snprintf(first, sizeof first, "%s", server->first);
	sent = send_all(server, fd, first, strlen(first));
	while (server->again_bytes > 0 && sent < most &&
	    (n = send_all(server, fd, server->again, server->again_bytes)) == server->again_bytes)
		sent += n;
	if (sent > atomic_load(&server->most_sent))
		atomic_store(&server->most_sent, sent);
	/* Nothing more comes, unless it has hung up. */
	while (recv(fd, request, sizeof request, 0) > 0)
		;
	close(fd);
}

static void *serve(void *argument)
{
	struct server *server = argument;
	struct pollfd pollfd = { .fd = server->listener, .events = POLLIN };

	while (!atomic_load(&server->stop)) {
		if (poll(&pollfd, 1, 20) != 1)
			continue;
		atomic_fetch_add(&server->connections, 1);
		serve_one(server, peer_accept(server->listener));
	}
	return NULL;
}

static void server_start(struct server *server)
{
	server->listener = peer_listen(&server->port);
	peer_thread(&server->thread, serve, server);
}

static void server_end(struct server *server)
{
	atomic_store(&server->stop, true);
	peer_join(server->thread);
	close(server->listener);
}

static void expect_refusal(const char *url, const struct ws_options *options, int error, int other)
{
	FILE *stream = ws_fopen_with(url, "r+", options);

	ck_assert_msg(stream == NULL, "it was opened");
	ck_assert_msg(errno == error || errno == other, "%s: %s", strerror(errno), ws_last_error()->text);
}

#define TEXT(text) text, sizeof text - 1

static const struct {
	const char *name, *scheme, *proxy;
	const char *first, *again;
	size_t again_bytes;
	int error, other;
} answers[] = {
	{ "header lines", "ws", NULL, SWITCH, TEXT("X-Line: abcdefghijklmnopqrstuvwxyz\r\n"), EPROTO, EPROTO },
	{ "one header line", "ws", NULL, SWITCH "X-Line: ", TEXT("abcdefghijklmnopqrstuvwxyz"), EPROTO, EPROTO },
	{ "a phrase", "ws", NULL, "HTTP/1.1 101 ", TEXT("abcdefghijklmnopqrstuvwxyz"), EPROTO, EPROTO },
	{ "interim answers", "ws", NULL, "", TEXT("HTTP/1.1 103 Early Hints\r\n\r\n"), EPROTO, EPROTO },
	{ "zeros", "ws", NULL, "", TEXT("\0\0\0\0\0\0\0\0"), EPROTO, EPROTO },
	{ "a body", "ws", NULL, "HTTP/1.1 200 OK\r\n\r\n", TEXT("abcdefghijklmnopqrstuvwxyz"), ECONNABORTED,
	    ECONNABORTED },
	{ "a Location", "ws", NULL, "HTTP/1.1 302 Found\r\nLocation: /", TEXT("abcdefghijklmnopqrstuvwxyz"), EPROTO,
	    EPROTO },
	{ "TLS alerts", "wss", NULL, "", TEXT("\x15\x03\x03\x00\x02\x01\x5a"), EPROTO, ECONNRESET },
	{ "TLS changes of ciphers", "wss", NULL, "", TEXT("\x14\x03\x03\x00\x01\x01"), EPROTO, ETIMEDOUT },
	{ "a TLS message", "wss", NULL, "\x16\x03\x03\x40", TEXT("\0\0\0\0\0\0\0\0"), EPROTO, ETIMEDOUT },
	{ "a proxy's header lines", "ws", "http", "HTTP/1.1 200 OK\r\n", TEXT("X-Line: abcdefghijklmnop\r\n"), EPROTO,
	    EPROTO },
	{ "a proxy's one line", "ws", "http", "HTTP/1.1 200 OK\r\nX: ", TEXT("abcdefghijklmnopqrstuvwxyz"), EPROTO,
	    EPROTO },
	{ "a proxy's interim answers", "ws", "http", "", TEXT("HTTP/1.1 100 Continue\r\n\r\n"), EPROTO, EPROTO },
	{ "a proxy's rubbish", "ws", "socks5", "", TEXT("\xff\xfe\xfd\xfc\xfb\xfa"), EPROTO, EPROTO },
	{ "SOCKS5 greetings", "ws", "socks5", "", TEXT("\x05\x01"), EPROTO, EACCES },
	{ "SOCKS5 answers", "ws", "socks5", "\x05", TEXT("\0\x05\0\0\x03\xff" "abcdefgh"), EPROTO, EPROTO },
};

/* _i: the answer, at once or byte by byte */
START_TEST(an_answer_without_end_is_given_up)
{
	const int kind = _i / 2;
	struct server server = { .first = answers[kind].first, .again = answers[kind].again,
		.again_bytes = answers[kind].again_bytes, .trickles = _i % 2 == 1 };
	struct ws_options options = WS_OPTIONS_INIT;
	char url[64], proxy[64];
	size_t before;

	peer_count_begin();
	server_start(&server);
	options.connect_timeout_ms = options.handshake_timeout_ms = server.trickles ? 300 : 3000;
	options.max_redirects = 3;
	options.verify = WS_VERIFY_OFF;
	options.proxy = "";
	if (answers[kind].proxy != NULL) {
		snprintf(proxy, sizeof proxy, "%s://127.0.0.1:%u", answers[kind].proxy, server.port);
		options.proxy = proxy;
		snprintf(url, sizeof url, "%s://host.invalid/", answers[kind].scheme);
	} else {
		snprintf(url, sizeof url, "%s://127.0.0.1:%u/", answers[kind].scheme, server.port);
	}
	before = hostile_resident();
	expect_refusal(url, &options, answers[kind].error, server.trickles ? ETIMEDOUT : answers[kind].other);
	hostile_expect_resident(before + ((size_t)8 << 20), answers[kind].name);
	server_end(&server);
	ck_assert_msg(atomic_load(&server.most_sent) < (server.trickles ? TRICKLE_BYTES : ENDLESS_BYTES),
	    "%s: all was taken", answers[kind].name);
	peer_count_end();
}
END_TEST

static const char *const circles[] = {
	"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n",
	"HTTP/1.1 307 Temporary Redirect\r\nLocation: ws://127.0.0.1:{port}/again\r\n\r\n",
	"HTTP/1.1 308 Permanent Redirect\r\nLocation: ?\r\n\r\n",
};

START_TEST(redirects_in_a_circle_come_to_an_end)
{
	struct server server = { .first = circles[_i], .again = "" };
	struct ws_options options = WS_OPTIONS_INIT;
	char url[64];

	peer_count_begin();
	server_start(&server);
	options.max_redirects = 20;
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", server.port);
	expect_refusal(url, &options, ECONNABORTED, ECONNABORTED);
	server_end(&server);
	ck_assert_uint_eq(atomic_load(&server.connections), 21);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_client");
	TCase *tcase = wire_case(suite, "servers");

	tcase_add_loop_test(tcase, an_answer_without_end_is_given_up, 0, 2 * COUNT(answers));
	tcase_add_loop_test(tcase, redirects_in_a_circle_come_to_an_end, 0, COUNT(circles));
	return wire_run(suite);
}
