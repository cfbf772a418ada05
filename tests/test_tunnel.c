/* SPDX-License-Identifier: 0BSD */
/* The way through a proxy, HTTP and SOCKS5, with one that answers everything that it may and may not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "connect.h"
#include "peer.h"
#include "tunnel.h"
#include "wait.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define LIMIT 16384
#define HOUR_MS 3600000
#define SOON_MS 50
#define STEPS 8

#define USER "user:secret"
#define BASIC "dXNlcjpzZWNyZXQ="

/* --- a proxy that keeps to a script --- */

enum what { NOTHING_MORE, EXPECT, SAY, DRIP, FIN, RESET };

struct step {
	enum what what;
	const char *bytes;
	size_t size;
};

#define STEP(what, text) { what, text, sizeof(text) - 1 }
#define JUST(what) { what, NULL, 0 }

struct script {
	const char *name;
	struct step steps[STEPS];
	int error;			/* that the tunnel fails with, 0 = it opens */
	const char *text;		/* in the failure's text */
	const char *userinfo, *user_agent;
	int http_status;
	const char *host;		/* NULL = example.org */
	unsigned port;			/* 0 = 443 */
	size_t max_header_bytes;	/* 0 = LIMIT */
	int timeout_ms;			/* 0 = an hour */
};

struct proxy {
	const struct script *script;
	int listener;
	unsigned port;
	pthread_t thread;
};

static void expect(int fd, const struct script *script, const struct step *step)
{
	char *got = malloc(step->size);
	size_t size;

	ck_assert_ptr_nonnull(got);
	size = peer_recv(fd, got, step->size);
	ck_assert_msg(size == step->size && memcmp(got, step->bytes, size) == 0, "%s: the request is: %.*s",
	    script->name, (int)size, got);
	free(got);
}

/* Returns false when the script has closed fd. */
static bool play(int fd, const struct script *script, const struct step *step)
{
	switch (step->what) {
	case EXPECT:
		expect(fd, script, step);
		return true;
	case SAY:
		peer_try_send(fd, step->bytes, step->size);
		return true;
	case DRIP:
		for (size_t i = 0; i < step->size && peer_try_send(fd, step->bytes + i, 1); i++)
			peer_wait_sent(fd);
		return true;
	case FIN:
		peer_fin(fd);
		return true;
	case RESET:
		peer_reset(fd);
		return false;
	default:
		return true;
	}
}

/* Behind the script an open tunnel echoes four bytes, and nothing that the script doesn't have may have been sent. */
static void *serve(void *argument)
{
	struct proxy *proxy = argument;
	const struct script *script = proxy->script;
	int fd = peer_accept(proxy->listener);
	char echo[4];

	for (size_t i = 0; i < STEPS && script->steps[i].what != NOTHING_MORE; i++) {
		if (!play(fd, script, &script->steps[i]))
			return NULL;
	}
	if (script->error == 0) {
		ck_assert_uint_eq(peer_recv(fd, echo, sizeof echo), sizeof echo);
		peer_send(fd, echo, sizeof echo);
	}
	ck_assert_msg(peer_at_end(fd), "%s: more was sent than the script has", script->name);
	close(fd);
	return NULL;
}

/* The client's end. */
static int connect_to(unsigned port)
{
	struct wsf_failure failure = { 0 };
	int fd = wsf_connect("127.0.0.1", port, wsf_deadline_ns(HOUR_MS), &failure);

	ck_assert_msg(fd >= 0, "%s", failure.text);
	return fd;
}

/* The proxy acts only once the connection stands: a reset is not to be one of connecting. Returns the client's end. */
static int proxy_start(struct proxy *proxy, const struct script *script)
{
	int fd;

	proxy->script = script;
	proxy->listener = peer_listen(&proxy->port);
	fd = connect_to(proxy->port);
	peer_thread(&proxy->thread, serve, proxy);
	return fd;
}

static void proxy_end(struct proxy *proxy)
{
	peer_join(proxy->thread);
	close(proxy->listener);
}

/* --- the tunnel's end --- */

static int open_tunnel(int fd, unsigned port, enum wsf_proxy_kind kind, const struct script *script,
    struct wsf_failure *failure)
{
	char proxy_host[] = "127.0.0.1", standard_host[] = "example.org", target[] = "/";
	struct wsf_proxy proxy = { .kind = kind, .host = proxy_host, .port = port };
	struct wsf_url url = { .secure = true, .host = standard_host, .target = target };
	char *userinfo = script->userinfo != NULL ? strdup(script->userinfo) : NULL;
	char *host = script->host != NULL ? strdup(script->host) : NULL;
	int rv;

	proxy.userinfo = userinfo;
	if (host != NULL)
		url.host = host;
	url.port = script->port != 0 ? script->port : 443;
	url.ipv6 = strchr(url.host, ':') != NULL;
	rv = wsf_tunnel(fd, &proxy, &url, script->user_agent,
	    script->max_header_bytes != 0 ? script->max_header_bytes : LIMIT,
	    wsf_deadline_ns(script->timeout_ms != 0 ? script->timeout_ms : HOUR_MS), failure);
	free(userinfo);
	free(host);
	return rv;
}

static void check_failure(const struct script *script, const struct wsf_failure *failure)
{
	ck_assert_int_eq(failure->error, script->error);
	ck_assert_int_eq(failure->http_status, script->http_status);
	ck_assert_msg(strstr(failure->text, script->text) != NULL, "%s: \"%s\" is not in: %s", script->name,
	    script->text, failure->text);
	/* Where nothing was sent, the proxy is not to blame. */
	ck_assert_msg(strstr(failure->text, "the proxy 127.0.0.1 port ") != NULL || script->error == EINVAL,
	    "%s: %s", script->name, failure->text);
	ck_assert_ptr_null(strstr(failure->text, "secret"));
	ck_assert_ptr_null(strstr(failure->text, BASIC));
}

static void check_echo(int fd)
{
	char echo[4] = "";

	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
	peer_send(fd, "ping", 4);
	ck_assert_uint_eq(peer_recv(fd, echo, sizeof echo), sizeof echo);
	ck_assert_mem_eq(echo, "ping", 4);
}

static void run(enum wsf_proxy_kind kind, const struct script *script)
{
	struct wsf_failure failure = { 0 };
	struct proxy proxy;
	int fd, rv;

	peer_count_begin();
	fd = proxy_start(&proxy, script);
	rv = open_tunnel(fd, proxy.port, kind, script, &failure);
	ck_assert_msg(rv == -script->error, "%s: %d (%s), not %d", script->name, rv, failure.text, -script->error);
	if (rv == 0)
		check_echo(fd);
	else
		check_failure(script, &failure);
	close(fd);
	proxy_end(&proxy);
	peer_count_end();
}

/* --- HTTP --- */

#define ASK "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n"
#define ASKED STEP(EXPECT, ASK "\r\n")
#define ASKED_WITH_USER STEP(EXPECT, ASK "Proxy-Authorization: Basic " BASIC "\r\n\r\n")
#define OK "HTTP/1.1 200 OK\r\n\r\n"
#define E "\r\n"

static const struct script http_scripts[] = {
	{ .name = "plain", { ASKED, STEP(SAY, OK) } },
	{ .name = "byte by byte", { ASKED, STEP(DRIP, OK) } },
	{ .name = "HTTP/1.0", { ASKED, STEP(SAY, "HTTP/1.0 200 Connection established\r\nProxy-agent: x/1\r\n\r\n") } },
	{ .name = "no phrase", { ASKED, STEP(SAY, "HTTP/1.1 200\r\n\r\n") } },
	{ .name = "another success", { ASKED, STEP(SAY, "HTTP/1.1 299 Fine\r\n\r\n") } },
	{ .name = "a body's length, which has no meaning here",
	    { ASKED, STEP(SAY, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") } },
	{ .name = "interim answers",
	    { ASKED, STEP(SAY, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" OK) } },
	{ .name = "an interim answer byte by byte", { ASKED, STEP(DRIP, "HTTP/1.1 102 Processing\r\n\r\n" OK) } },
	{ .name = "user", { ASKED_WITH_USER, STEP(SAY, OK) }, .userinfo = USER },
	{ .name = "user agent",
	    { STEP(EXPECT, ASK "User-Agent: wsfile/1\r\n\r\n"), STEP(SAY, OK) }, .user_agent = "wsfile/1" },
	{ .name = "no user agent", { ASKED, STEP(SAY, OK) }, .user_agent = "" },
	{ .name = "both",
	    { STEP(EXPECT, ASK "User-Agent: a b\r\nProxy-Authorization: Basic " BASIC "\r\n\r\n"), STEP(SAY, OK) },
	    .user_agent = "a b", .userinfo = USER },
	{ .name = "IPv4",
	    { STEP(EXPECT, "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"), STEP(SAY, OK) },
	    .host = "192.0.2.1", .port = 80 },
	{ .name = "IPv6", { STEP(EXPECT, "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n"),
	    STEP(SAY, OK) }, .host = "2001:db8::1", .port = 8443 },

	{ .name = "407",
	    { ASKED, STEP(SAY, "HTTP/1.1 407 Authentication\r\nProxy-Authenticate: Basic realm=\"a \\\"b\\\"\"\r\n"
	    "Content-Length: 4\r\n\r\nbody") }, EACCES, "asks for a user and password: HTTP 407, realm \"a \"b\"\"",
	    .http_status = 407 },
	{ .name = "407 without a realm",
	    { ASKED, STEP(SAY, "HTTP/1.1 407 X\r\n\r\n") }, EACCES, "HTTP 407", .http_status = 407 },
	{ .name = "407 for our user",
	    { ASKED_WITH_USER, STEP(SAY, "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=r\r\n\r\n") },
	    EACCES, "refused the user and password: HTTP 407, realm \"r\"", .userinfo = USER, .http_status = 407 },
	{ .name = "401", { ASKED, STEP(SAY, "HTTP/1.1 401 Who\r\n\r\n") }, EACCES, "HTTP 401 Who", .http_status = 401 },
	{ .name = "403",
	    { ASKED, STEP(SAY, "HTTP/1.0 403 Filtered\r\n\r\nno") }, EACCES, "HTTP 403 Filtered", .http_status = 403 },
	{ .name = "502",
	    { ASKED, STEP(SAY, "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>") }, ECONNABORTED, "HTTP 502 Bad Gateway",
	    .http_status = 502 },
	{ .name = "502 and the end",
	    { ASKED, STEP(SAY, "HTTP/1.1 502 Bad\r\n\r\n"), JUST(FIN) }, ECONNABORTED, "HTTP 502 Bad",
	    .http_status = 502 },
	{ .name = "a redirect",
	    { ASKED, STEP(SAY, "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n") }, ECONNABORTED, "HTTP 302",
	    .http_status = 302 },
	{ .name = "101",
	    { ASKED, STEP(SAY, "HTTP/1.1 101 Switching\r\n\r\n") }, ECONNABORTED, "HTTP 101", .http_status = 101 },

	{ .name = "bytes behind the answer", { ASKED, STEP(SAY, OK "x") }, EPROTO, "behind its answer" },
	{ .name = "a second answer", { ASKED, STEP(SAY, OK OK) }, EPROTO, "behind its answer" },
	{ .name = "not HTTP", { ASKED, STEP(SAY, "SSH-2.0-x\r\n") }, EPROTO, "not an HTTP/1.1 start line" },
	{ .name = "SOCKS", { ASKED, STEP(SAY, "\5\377") }, EPROTO, "did not answer as an HTTP proxy" },
	{ .name = "TLS", { ASKED, STEP(SAY, "\25\3\1\0\2\2\26") }, EPROTO, "did not answer as an HTTP proxy" },
	{ .name = "a bad header", { ASKED, STEP(SAY, "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n") }, EPROTO, "header field" },

	{ .name = "the end at once", { JUST(FIN), STEP(EXPECT, ASK "\r\n") }, ECONNRESET, "closed the connection" },
	{ .name = "the end in place of an answer", { ASKED, JUST(FIN) }, ECONNRESET, "closed the connection" },
	{ .name = "the end inside the answer", { ASKED, STEP(SAY, "HTTP/1.1 200 OK\r\n"), JUST(FIN) }, ECONNRESET,
	    "closed the connection" },
	{ .name = "a reset at once", { JUST(RESET) }, ECONNRESET, "closed the connection" },
	{ .name = "a reset in place of an answer", { ASKED, JUST(RESET) }, ECONNRESET, "closed the connection" },
	{ .name = "a reset inside the answer", { ASKED, STEP(SAY, "HTTP/1.1 2"), JUST(RESET) }, ECONNRESET,
	    "closed the connection" },
	{ .name = "silence", { ASKED }, ETIMEDOUT, "took too long", .timeout_ms = SOON_MS },
	{ .name = "silence inside the answer",
	    { ASKED, STEP(SAY, "HTTP/1.1 200 OK\r\nA: ") }, ETIMEDOUT, "took too long",
	    .timeout_ms = SOON_MS },
	{ .name = "silence behind an interim answer", { ASKED, STEP(SAY, "HTTP/1.1 100 Continue\r\n\r\n") }, ETIMEDOUT,
	    "took too long", .timeout_ms = SOON_MS },
};

START_TEST(an_http_proxy_is_asked_and_its_answer_judged)
{
	run(WSF_PROXY_HTTP, &http_scripts[_i]);
}
END_TEST

/* An answer of size bytes in all. */
static char *padded_answer(size_t size)
{
	static const char start[] = "HTTP/1.1 200 OK\r\nA: ", end[] = "\r\n\r\n";
	char *text = malloc(size + 2);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_gt(size, strlen(start) + strlen(end));
	memcpy(text, start, strlen(start));
	memset(text + strlen(start), 'a', size - strlen(start));
	memcpy(text + size - strlen(end), end, strlen(end));
	text[size] = 'x';
	text[size + 1] = '\0';
	return text;
}

static void run_padded(size_t size, size_t extra, size_t max_header_bytes, int error, const char *text)
{
	char *answer = padded_answer(size);
	const struct script script = { .name = "padded", { ASKED, { SAY, answer, size + extra } }, error, text,
	    .max_header_bytes = max_header_bytes };

	run(WSF_PROXY_HTTP, &script);
	free(answer);
}

START_TEST(an_answer_of_max_header_bytes_is_taken_and_one_byte_more_is_not)
{
	const size_t sizes[] = { 256, 2047, 2048, 2049, 4096, 16384 };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		run_padded(sizes[i], 0, sizes[i], 0, NULL);
		run_padded(sizes[i], 0, sizes[i] - 1, EPROTO, "too large");
		run_padded(sizes[i], 1, sizes[i], EPROTO, "behind its answer");
	}
	run_padded(65536, 0, LIMIT, EPROTO, "too large");
}
END_TEST

START_TEST(interim_answers_count_towards_max_header_bytes)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct script script = { .name = "interim", { ASKED, STEP(SAY, "HTTP/1.1 100 Continue\r\n\r\n" OK) },
	    .max_header_bytes = strlen(interim) + strlen(OK) };

	run(WSF_PROXY_HTTP, &script);
	script.max_header_bytes--;
	script.error = EPROTO;
	script.text = "too large";
	run(WSF_PROXY_HTTP, &script);
	/* Nothing is left for the answer. */
	script.max_header_bytes = strlen(interim);
	run(WSF_PROXY_HTTP, &script);
}
END_TEST

/* Until the other end is gone. */
static void *send_interim_answers(void *argument)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct proxy *proxy = argument;
	int fd = peer_accept(proxy->listener);

	while (peer_try_send(fd, interim, strlen(interim)))
		continue;
	close(fd);
	return NULL;
}

START_TEST(interim_answers_without_end_are_refused)
{
	static const struct script script = { .name = "interim answers" };
	struct wsf_failure failure = { 0 };
	struct proxy proxy;
	int fd;

	proxy.listener = peer_listen(&proxy.port);
	peer_thread(&proxy.thread, send_interim_answers, &proxy);
	fd = connect_to(proxy.port);
	ck_assert_int_eq(open_tunnel(fd, proxy.port, WSF_PROXY_HTTP, &script, &failure), -EPROTO);
	close(fd);
	proxy_end(&proxy);
}
END_TEST

START_TEST(what_is_behind_the_answer_stays_in_the_socket)
{
	static const struct script script = { .name = "extra", { ASKED, STEP(SAY, OK "extra") }, EPROTO, "" };
	struct wsf_failure failure = { 0 };
	struct proxy proxy;
	char rest[16];
	int fd;

	fd = proxy_start(&proxy, &script);
	ck_assert_int_eq(open_tunnel(fd, proxy.port, WSF_PROXY_HTTP, &script, &failure), -EPROTO);
	ck_assert_int_eq(recv(fd, rest, sizeof rest, MSG_DONTWAIT), 5);
	ck_assert_mem_eq(rest, "extra", 5);
	close(fd);
	proxy_end(&proxy);
}
END_TEST

START_TEST(a_phrase_reaches_the_text_as_one_line)
{
	static const struct script script = { .name = "phrase",
	    { ASKED, STEP(SAY, "HTTP/1.1 500 a\tb\302\205c\377\r\n\r\n") },
	    ECONNABORTED, "HTTP 500 a?b??c?", .http_status = 500 };

	run(WSF_PROXY_HTTP, &script);
}
END_TEST

START_TEST(a_name_that_dns_can_not_have_is_refused_unsent)
{
	char host[257];
	struct script script = { .name = "long name", { JUST(NOTHING_MORE) }, EINVAL, "longer than 255", .host = host };

	memset(host, 'a', sizeof host);
	host[sizeof host - 1] = '\0';
	run(WSF_PROXY_SOCKS5, &script);
	host[255] = 'b';
	memset(host + 255, '\0', 2);
	ck_assert_uint_eq(strlen(host), 255);
	script.timeout_ms = SOON_MS;
	script.error = ETIMEDOUT;
	script.text = "took too long";
	script.steps[0] = (struct step)STEP(EXPECT, "\5\1\0");
	run(WSF_PROXY_SOCKS5, &script);
}
END_TEST

/* --- SOCKS5 --- */

#define HELLO STEP(EXPECT, "\5\1\0")
#define HELLO_WITH_USER STEP(EXPECT, "\5\2\0\2")
#define NO_USER_NEEDED STEP(SAY, "\5\0")
#define USER_NEEDED STEP(SAY, "\5\2")
#define USER_SENT STEP(EXPECT, "\1\4user\6secret")
#define USER_FINE STEP(SAY, "\1\0")
#define WANT STEP(EXPECT, "\5\1\0\3\13example.org\1\273")
#define DONE "\5\0\0\1\300\0\2\1\37\220"

static const struct script socks_scripts[] = {
	{ .name = "plain", { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, DONE) } },
	{ .name = "byte by byte", { HELLO, STEP(DRIP, "\5\0"), WANT, STEP(DRIP, DONE) } },
	{ .name = "bound to an IPv6 address", { HELLO, NO_USER_NEEDED, WANT,
	    STEP(SAY, "\5\0\0\4" "0123456789abcdef" "\37\220") } },
	{ .name = "bound to a name", { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\5\0\0\3\5proxy\37\220") } },
	{ .name = "bound to an empty name", { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\5\0\0\3\0\37\220") } },
	{ .name = "a user who is not needed",
	    { HELLO_WITH_USER, NO_USER_NEEDED, WANT, STEP(SAY, DONE) }, .userinfo = USER },
	{ .name = "user",
	    { HELLO_WITH_USER, USER_NEEDED, USER_SENT, USER_FINE, WANT, STEP(SAY, DONE) }, .userinfo = USER },
	{ .name = "user, byte by byte", { HELLO_WITH_USER, STEP(DRIP, "\5\2"), USER_SENT, STEP(DRIP, "\1\0"), WANT,
	    STEP(DRIP, DONE) }, .userinfo = USER },
	{ .name = "SOCKS's version for the authentication's",
	    { HELLO_WITH_USER, USER_NEEDED, USER_SENT, STEP(SAY, "\5\0"), WANT,
	    STEP(SAY, DONE) }, .userinfo = USER },
	{ .name = "no password",
	    { HELLO_WITH_USER, USER_NEEDED, STEP(EXPECT, "\1\4user\0"), USER_FINE, WANT, STEP(SAY, DONE) },
	    .userinfo = "user" },
	{ .name = "a colon in the password",
	    { HELLO_WITH_USER, USER_NEEDED, STEP(EXPECT, "\1\1u\3:p:"), USER_FINE, WANT,
	    STEP(SAY, DONE) }, .userinfo = "u::p:" },
	{ .name = "IPv4", { HELLO, NO_USER_NEEDED, STEP(EXPECT, "\5\1\0\1\300\0\2\1\0\120"), STEP(SAY, DONE) },
	    .host = "192.0.2.1", .port = 80 },
	{ .name = "IPv6", { HELLO, NO_USER_NEEDED,
	    STEP(EXPECT, "\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\40\373"), STEP(SAY, DONE) },
	    .host = "2001:db8::1", .port = 8443 },

	{ .name = "a user is needed", { HELLO, STEP(SAY, "\5\377") }, EACCES, "asks for a user and password" },
	{ .name = "our user is not wanted",
	    { HELLO_WITH_USER, STEP(SAY, "\5\377") }, EACCES, "accepts no user and password",
	    .userinfo = USER },
	{ .name = "wrong password", { HELLO_WITH_USER, USER_NEEDED, USER_SENT, STEP(SAY, "\1\1") }, EACCES,
	    "refused the user and password", .userinfo = USER },
	{ .name = "wrong password and the end",
	    { HELLO_WITH_USER, USER_NEEDED, USER_SENT, STEP(SAY, "\1\377"), JUST(FIN) },
	    EACCES, "refused the user and password", .userinfo = USER },
	{ .name = "a user we don't have", { HELLO, USER_NEEDED }, EPROTO, "not offered" },
	{ .name = "GSSAPI", { HELLO_WITH_USER, STEP(SAY, "\5\1") }, EPROTO, "not offered", .userinfo = USER },
	{ .name = "SOCKS4", { HELLO, STEP(SAY, "\0\133\0\0\0\0\0\0") }, EPROTO, "another version" },
	{ .name = "HTTP",
	    { HELLO, STEP(SAY, "HTTP/1.1 400 Bad Request\r\n\r\n") }, EPROTO, "did not answer as a SOCKS5 proxy" },
	{ .name = "another version in the reply",
	    { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\4\0\0\1\0\0\0\0\0\0") }, EPROTO,
	    "another version" },
	{ .name = "an unknown address", { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\5\0\0\2\0\0\0\0\0\0") }, EPROTO,
	    "type of address" },
	{ .name = "a byte behind the reply",
	    { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, DONE "x") }, EPROTO, "behind its answer" },

	{ .name = "the end at once", { HELLO, JUST(FIN) }, ECONNRESET, "closed the connection" },
	{ .name = "the end inside the method",
	    { HELLO, STEP(SAY, "\5"), JUST(FIN) }, ECONNRESET, "closed the connection" },
	{ .name = "the end in place of the reply", { HELLO, NO_USER_NEEDED, WANT, JUST(FIN) }, ECONNRESET,
	    "closed the connection" },
	{ .name = "the end inside the reply",
	    { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\5\0\0\1\0\0"), JUST(FIN) }, ECONNRESET,
	    "closed the connection" },
	{ .name = "a reset", { HELLO, NO_USER_NEEDED, WANT, JUST(RESET) }, ECONNRESET, "closed the connection" },
	{ .name = "silence", { HELLO }, ETIMEDOUT, "took too long", .timeout_ms = SOON_MS },
	{ .name = "silence on the user", { HELLO_WITH_USER, USER_NEEDED, USER_SENT }, ETIMEDOUT, "took too long",
	    .userinfo = USER, .timeout_ms = SOON_MS },
	{ .name = "silence in place of the reply", { HELLO, NO_USER_NEEDED, WANT }, ETIMEDOUT, "took too long",
	    .timeout_ms = SOON_MS },
	{ .name = "silence inside the reply", { HELLO, NO_USER_NEEDED, WANT, STEP(SAY, "\5\0\0\3\5prox") }, ETIMEDOUT,
	    "took too long", .timeout_ms = SOON_MS },
};

START_TEST(a_socks5_proxy_is_asked_and_its_answer_judged)
{
	run(WSF_PROXY_SOCKS5, &socks_scripts[_i]);
}
END_TEST

static const struct {
	unsigned char reply;
	int error;
	const char *text;
} replies[] = {
	{ 1, ECONNABORTED, "general failure" },
	{ 2, EACCES, "not allowed by its rules" },
	{ 3, ENETUNREACH, "network unreachable" },
	{ 4, EHOSTUNREACH, "host unreachable" },
	{ 5, ECONNREFUSED, "example.org port 443: connection refused" },
	{ 6, EHOSTUNREACH, "TTL expired" },
	{ 7, ECONNABORTED, "command not supported" },
	{ 8, ECONNABORTED, "address type not supported" },
	{ 9, ECONNABORTED, "reply 9" },
	{ 255, ECONNABORTED, "reply 255" },
};

/* With the rest of the reply, and without. */
START_TEST(each_socks5_reply_has_its_error)
{
	char reply[10] = { 5, 0, 0, 1 };
	struct script script = { .name = "reply",
	    { HELLO, NO_USER_NEEDED, WANT, { SAY, reply, sizeof reply }, JUST(FIN) },
	    replies[_i].error, replies[_i].text };

	reply[1] = (char)replies[_i].reply;
	run(WSF_PROXY_SOCKS5, &script);
	script.steps[3].size = 2;
	run(WSF_PROXY_SOCKS5, &script);
}
END_TEST

START_TEST(a_user_or_password_over_255_bytes_is_refused_unsent)
{
	char userinfo[2 * 256 + 2];
	struct script script = { .name = "long user", { JUST(NOTHING_MORE) }, EINVAL, "longer than 255",
	    .userinfo = userinfo };

	memset(userinfo, 'u', sizeof userinfo);
	userinfo[256] = ':';
	userinfo[257] = '\0';
	run(WSF_PROXY_SOCKS5, &script);
	memset(userinfo, 'p', sizeof userinfo);
	userinfo[0] = ':';
	userinfo[257] = '\0';
	run(WSF_PROXY_SOCKS5, &script);
}
END_TEST

START_TEST(the_longest_user_password_and_name_are_sent_whole)
{
	char userinfo[2 * 255 + 2], host[256], sent[3 + 2 * 255], wanted[5 + 255 + 2] = { 5, 1, 0, 3, (char)255 };
	const struct script script = { .name = "longest", { HELLO_WITH_USER, USER_NEEDED, { EXPECT, sent, sizeof sent },
	    USER_FINE, { EXPECT, wanted, sizeof wanted }, STEP(SAY, DONE) }, .userinfo = userinfo, .host = host };

	memset(userinfo, 'u', 255);
	userinfo[255] = ':';
	memset(userinfo + 256, 'p', 255);
	userinfo[511] = '\0';
	memset(host, 'h', 255);
	host[255] = '\0';
	sent[0] = 1;
	sent[1] = (char)255;
	memset(sent + 2, 'u', 255);
	sent[257] = (char)255;
	memset(sent + 258, 'p', 255);
	memset(wanted + 5, 'h', 255);
	wanted[260] = 1;
	wanted[261] = (char)187;
	run(WSF_PROXY_SOCKS5, &script);
}
END_TEST

/* --- both --- */

static const enum wsf_proxy_kind kinds[] = { WSF_PROXY_HTTP, WSF_PROXY_SOCKS5 };

START_TEST(a_deadline_in_the_past_ends_it_without_an_answer)
{
	static const struct script script = { .name = "past", .error = ETIMEDOUT };
	char host[] = "127.0.0.1", target[] = "/";
	struct wsf_url url = { .host = host, .port = 80, .target = target };
	struct wsf_failure failure = { 0 };
	struct wsf_proxy proxy = { .kind = kinds[_i], .host = host };
	unsigned port;
	int listener = peer_listen(&port), fd = connect_to(port);

	proxy.port = port;
	ck_assert_int_eq(wsf_tunnel(fd, &proxy, &url, NULL, LIMIT, wsf_now_ns() - 1, &failure), -script.error);
	ck_assert_int_eq(failure.error, ETIMEDOUT);
	close(fd);
	close(listener);
}
END_TEST

/* A write behind our own end of the stream raises SIGPIPE, if anything does: it would kill this process. */
START_TEST(a_closed_connection_raises_no_signal)
{
	static const struct script script = { .name = "closed" };
	struct wsf_failure failure = { 0 };
	unsigned port;
	int listener = peer_listen(&port), fd = connect_to(port);

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert_int_eq(open_tunnel(fd, port, kinds[_i], &script, &failure), -ECONNRESET);
	close(fd);
	close(listener);
}
END_TEST

struct caller {
	pthread_t thread;
	int fd;
	unsigned port;
	enum wsf_proxy_kind kind;
	struct wsf_failure failure;
	int rv;
	atomic_bool returned;
};

static void *call(void *argument)
{
	static const struct script script = { .name = "interrupted" };
	struct caller *caller = argument;

	caller->rv = open_tunnel(caller->fd, caller->port, caller->kind, &script, &caller->failure);
	atomic_store(&caller->returned, true);
	return NULL;
}

static void handler(int number)
{
	(void)number;
}

START_TEST(a_signal_handler_interrupts_it)
{
	struct sigaction action = { .sa_handler = handler };
	struct caller caller = { .kind = kinds[_i] };
	int listener = peer_listen(&caller.port);

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	caller.fd = connect_to(caller.port);
	peer_thread(&caller.thread, call, &caller);
	/* A signal that comes before the system call has no effect on it: the next one has. */
	while (!atomic_load(&caller.returned)) {
		ck_assert_int_eq(pthread_kill(caller.thread, SIGUSR1), 0);
		sched_yield();
	}
	peer_join(caller.thread);
	ck_assert_int_eq(caller.rv, -EINTR);
	ck_assert_int_eq(caller.failure.error, EINTR);
	ck_assert_ptr_nonnull(strstr(caller.failure.text, "interrupted by a signal"));
	close(caller.fd);
	close(listener);
}
END_TEST

/* Far more than the sockets between hold. */
#define LONG_BYTES (16u << 20)

static char *long_agent(void)
{
	char *agent = malloc(LONG_BYTES + 1);

	ck_assert_ptr_nonnull(agent);
	memset(agent, 'a', LONG_BYTES);
	agent[LONG_BYTES] = '\0';
	return agent;
}

START_TEST(a_request_waits_for_room_until_the_deadline)
{
	char *agent = long_agent();
	struct script script = { .name = "long", .user_agent = agent, .timeout_ms = SOON_MS };
	struct wsf_failure failure = { 0 };
	unsigned port;
	int listener = peer_listen_sized(&port, 4096), fd = connect_to(port);

	ck_assert_int_eq(open_tunnel(fd, port, WSF_PROXY_HTTP, &script, &failure), -ETIMEDOUT);
	close(fd);
	close(listener);
	free(agent);
}
END_TEST

START_TEST(a_long_request_is_sent_whole)
{
	static const char head[] = ASK "User-Agent: ", tail[] = "\r\n\r\n";
	char *agent = long_agent();
	const struct script script = { .name = "long",
	    { STEP(EXPECT, ASK "User-Agent: "), { EXPECT, agent, LONG_BYTES },
	    STEP(EXPECT, "\r\n\r\n"), STEP(SAY, OK) }, .user_agent = agent };

	ck_assert_uint_eq(script.steps[0].size, strlen(head));
	ck_assert_uint_eq(script.steps[2].size, strlen(tail));
	run(WSF_PROXY_HTTP, &script);
	free(agent);
}
END_TEST

START_TEST(no_proxy_needs_nothing)
{
	static const struct script script = { .name = "none" };
	struct wsf_failure failure = { 0 };

	ck_assert_int_eq(open_tunnel(-1, 1, WSF_PROXY_NONE, &script, &failure), 0);
	ck_assert_int_eq(failure.error, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tunnel");
	TCase *http = tcase_create("http"), *socks = tcase_create("socks"), *both = tcase_create("both");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(http, an_http_proxy_is_asked_and_its_answer_judged, 0, (int)COUNT(http_scripts));
	tcase_add_test(http, an_answer_of_max_header_bytes_is_taken_and_one_byte_more_is_not);
	tcase_add_test(http, interim_answers_count_towards_max_header_bytes);
	tcase_add_test(http, interim_answers_without_end_are_refused);
	tcase_add_test(http, what_is_behind_the_answer_stays_in_the_socket);
	tcase_add_test(http, a_phrase_reaches_the_text_as_one_line);
	tcase_add_test(http, a_request_waits_for_room_until_the_deadline);
	tcase_add_test(http, a_long_request_is_sent_whole);
	tcase_add_loop_test(socks, a_socks5_proxy_is_asked_and_its_answer_judged, 0, (int)COUNT(socks_scripts));
	tcase_add_loop_test(socks, each_socks5_reply_has_its_error, 0, (int)COUNT(replies));
	tcase_add_test(socks, a_user_or_password_over_255_bytes_is_refused_unsent);
	tcase_add_test(socks, the_longest_user_password_and_name_are_sent_whole);
	tcase_add_test(socks, a_name_that_dns_can_not_have_is_refused_unsent);
	tcase_add_loop_test(both, a_deadline_in_the_past_ends_it_without_an_answer, 0, (int)COUNT(kinds));
	tcase_add_loop_test(both, a_closed_connection_raises_no_signal, 0, (int)COUNT(kinds));
	tcase_add_loop_test(both, a_signal_handler_interrupts_it, 0, (int)COUNT(kinds));
	tcase_add_test(both, no_proxy_needs_nothing);
	for (size_t i = 0; i < 3; i++) {
		TCase *tcase = i == 0 ? http : i == 1 ? socks : both;

		tcase_set_timeout(tcase, 60);
		suite_add_tcase(suite, tcase);
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
