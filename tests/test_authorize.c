/* SPDX-License-Identifier: 0BSD */
/* Who is let in: what the program is shown of a request, and what its answer does. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define HEAD " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define GOOD "GET /" HEAD "\r\n"

/* What the callback does, and what it has seen. */
struct gate {
	int status;
	const char *subprotocol, *reason;
	const char *const *headers;
	bool choose_last;		/* of the subprotocols asked for, by the pointer it was shown with */

	atomic_int asked;
	pthread_t thread;
	char seen[2048];
	struct ws_listener *listener;	/* to be stopped from inside; NULL = none */
	int stop_rv, stop_error;
};

static void add(struct gate *gate, const char *name, const char *value)
{
	size_t length = strlen(gate->seen);

	snprintf(gate->seen + length, sizeof gate->seen - length, "%s=%s\n", name, value != NULL ? value : "(none)");
}

static int decide(const struct ws_request *request, struct ws_response *response, void *user)
{
	struct gate *gate = user;

	gate->thread = pthread_self();
	gate->seen[0] = '\0';
	add(gate, "path", request->path);
	add(gate, "query", request->query);
	add(gate, "origin", request->origin);
	add(gate, "peer", request->peer_address);
	add(gate, "tls", request->tls_peer);
	add(gate, "x-token", request->header(request, "x-ToKeN"));
	add(gate, "absent", request->header(request, "Absent"));
	add(gate, "nothing", request->header(request, NULL));
	for (int i = 0; request->subprotocols[i] != NULL; i++) {
		add(gate, "subprotocol", request->subprotocols[i]);
		if (gate->choose_last)
			response->subprotocol = request->subprotocols[i];
	}
	if (request->size != sizeof *request || response->size != sizeof *response || response->headers != NULL ||
	    response->reason != NULL)
		add(gate, "not", "as the header says");
	if (gate->listener != NULL) {
		errno = 0;
		gate->stop_rv = ws_listener_stop(gate->listener, -1);
		gate->stop_error = errno;
	}
	if (!gate->choose_last)
		response->subprotocol = gate->subprotocol;
	response->headers = gate->headers;
	response->reason = gate->reason;
	atomic_fetch_add(&gate->asked, 1);
	return gate->status;
}

static struct ws_options options_of(struct gate *gate)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.authorize = decide;
	options.authorize_user = gate;
	return options;
}

static struct ws_listener *listen_to(const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

static char *ask(unsigned port, const char *request)
{
	int fd = peer_connect(port);
	char *answer = peer_client_raw(fd, request, strlen(request));

	close(fd);
	return answer;
}

static void expect_start(const char *answer, int status)
{
	char start[32];

	snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
	ck_assert_msg(strncmp(answer, start, strlen(start)) == 0, "not %d: %s", status, answer);
}

/* --- what is shown --- */

static const struct {
	const char *target, *more, *seen;	/* seen has %s for the peer's address */
} shown[] = {
	{ "/", "", "path=/\nquery=(none)\norigin=(none)\npeer=%s\ntls=\nx-token=(none)\nabsent=(none)\n"
	    "nothing=(none)\n" },
	{ "/a%20b/c?x=1&y=?2", "X-Token: t 1\r\nX-Token: second\r\nOrigin: http://h\r\n",
	    "path=/a%%20b/c\nquery=x=1&y=?2\norigin=http://h\npeer=%s\ntls=\nx-token=t 1\nabsent=(none)\n"
	    "nothing=(none)\n" },
	{ "/p?", "Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Protocol:\tv1 ,,v2\r\n",
	    "path=/p\nquery=\norigin=(none)\npeer=%s\ntls=\nx-token=(none)\nabsent=(none)\nnothing=(none)\n"
	    "subprotocol=chat\nsubprotocol=superchat\nsubprotocol=v1\nsubprotocol=v2\n" },
	{ "/", "Sec-WebSocket-Protocol: ,, ok ,\t, x\r\n",
	    "path=/\nquery=(none)\norigin=(none)\npeer=%s\ntls=\nx-token=(none)\nabsent=(none)\nnothing=(none)\n"
	    "subprotocol=ok\nsubprotocol=x\n" },
};

START_TEST(the_request_is_shown_as_it_came)
{
	struct gate gate = { .status = 0 };
	struct ws_options options = options_of(&gate);
	struct sockaddr_in own;
	socklen_t size = sizeof own;
	struct ws_listener *listener;
	char request[1024], peer[64], seen[1024];
	unsigned port;
	int fd;

	peer_count_begin();
	listener = listen_to(&options, &port);
	fd = peer_connect(port);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
	snprintf(peer, sizeof peer, "127.0.0.1:%u", ntohs(own.sin_port));
	snprintf(seen, sizeof seen, shown[_i].seen, peer);
	snprintf(request, sizeof request, "GET %s" HEAD "%s\r\n", shown[_i].target, shown[_i].more);
	free(peer_client_raw(fd, request, strlen(request)));
	ck_assert_str_eq(gate.seen, seen);
	ck_assert_int_eq(atomic_load(&gate.asked), 1);
	ck_assert(!pthread_equal(gate.thread, pthread_self()));
	close(fd);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* 128 of them are as many as a request may have. */
START_TEST(every_subprotocol_of_a_full_block_is_shown)
{
	struct gate gate = { .status = 0, .choose_last = true };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *request = malloc(20000), *answer;
	unsigned port;
	size_t size;

	peer_count_begin();
	ck_assert_ptr_nonnull(request);
	size = (size_t)snprintf(request, 20000, "GET /" HEAD);
	for (int line = 0; line < 8; line++) {
		size += (size_t)snprintf(request + size, 20000 - size, "Sec-WebSocket-Protocol: ");
		for (int i = 0; i < 16 - line / 7; i++)
			size += (size_t)snprintf(request + size, 20000 - size, "%0100d,", 16 * line + i);
		size += (size_t)snprintf(request + size, 20000 - size, "%s\r\n", line == 7 ? "last" : "");
	}
	snprintf(request + size, 20000 - size, "\r\n");
	listener = listen_to(&options, &port);
	answer = ask(port, request);
	expect_start(answer, 101);
	ck_assert_ptr_nonnull(strstr(answer, "\r\nSec-WebSocket-Protocol: last\r\n"));
	free(answer);
	free(request);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const char *const not_in_order[] = {
	"GET /other" HEAD "\r\n",
	"GET /" HEAD "Origin: http://evil.example\r\n\r\n",
	"POST /" HEAD "\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"nonsense\r\n\r\n",
};

START_TEST(only_requests_in_order_are_asked_about)
{
	struct gate gate = { .status = 0 };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	options.path = "/";
	listener = listen_to(&options, &port);
	free(ask(port, not_in_order[_i]));
	free(ask(port, GOOD));
	ck_assert_int_eq(atomic_load(&gate.asked), 1);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- let in --- */

START_TEST(the_chosen_subprotocol_and_headers_are_in_the_answer)
{
	static const char *const more[] = { "Set-Cookie: a=b", "X-Empty:", NULL };
	static const char *const always[] = { "X-Always: 1", NULL }, *const ours[] = { "b", NULL };
	static const char *const asked[] = { "a", "b", "c", NULL };
	struct gate gate = { .status = 0, .headers = more };
	struct ws_options options = options_of(&gate), client_options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	FILE *client, *server;
	unsigned port;

	peer_count_begin();
	/* Chosen by the pointer shown, by text of the program's own, and not at all. */
	gate.choose_last = _i == 0;
	gate.subprotocol = _i == 1 ? "a" : NULL;
	gate.reason = "of no use here";
	options.headers = always;
	options.subprotocols = ours;
	client_options.subprotocols = asked;
	listener = listen_to(&options, &port);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &client_options);
	ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
	server = ws_accept(listener, "r+");
	ck_assert_msg(server != NULL, "%s", ws_last_error()->text);
	ck_assert_int_eq(ws_status(server, &status), 0);
	ck_assert_str_eq(status.subprotocol, _i == 0 ? "c" : _i == 1 ? "a" : "b");
	ck_assert_int_eq(ws_status(client, &status), 0);
	ck_assert_str_eq(status.subprotocol, _i == 0 ? "c" : _i == 1 ? "a" : "b");
	ck_assert_str_eq(ws_header(client, "Set-Cookie"), "a=b");
	ck_assert_str_eq(ws_header(client, "X-Empty"), "");
	ck_assert_str_eq(ws_header(client, "X-Always"), "1");
	duo_close_both(client, server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- refused --- */

static const struct {
	int status;
	const char *reason, *line, *body;
} refusals[] = {
	{ 400, NULL, "HTTP/1.1 400 Bad Request\r\n", "\r\n\r\nBad Request\n" },
	{ 401, "who are you?", "HTTP/1.1 401 Unauthorized\r\n", "\r\n\r\nwho are you?\n" },
	{ 403, "", "HTTP/1.1 403 Forbidden\r\n", "\r\n\r\n\n" },
	{ 404, "two\r\n\r\nlines", "HTTP/1.1 404 Not Found\r\n", "\r\n\r\ntwo\r\n\r\nlines\n" },
	{ 418, NULL, "HTTP/1.1 418 Refused\r\n", "\r\n\r\nRefused\n" },
	{ 429, "later", "HTTP/1.1 429 Too Many Requests\r\n", "\r\n\r\nlater\n" },
	{ 500, "broken", "HTTP/1.1 500 Internal Server Error\r\n", "\r\n\r\nbroken\n" },
	{ 599, "odd", "HTTP/1.1 599 Refused\r\n", "\r\n\r\nodd\n" },
};

START_TEST(a_refusal_has_the_status_and_the_text)
{
	struct gate gate = { .status = refusals[_i].status, .reason = refusals[_i].reason };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer, length[64];
	const char *body = strstr(refusals[_i].body, "\r\n\r\n") + 4;
	unsigned port;

	peer_count_begin();
	/* What is not asked for does not matter where the answer is no. */
	gate.subprotocol = "unasked";
	listener = listen_to(&options, &port);
	answer = ask(port, GOOD);
	ck_assert_msg(strncmp(answer, refusals[_i].line, strlen(refusals[_i].line)) == 0, "%s", answer);
	ck_assert_str_eq(strstr(answer, "\r\n\r\n"), refusals[_i].body);
	snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body));
	ck_assert_ptr_nonnull(strstr(answer, length));
	ck_assert_ptr_nonnull(strstr(answer, "\r\nConnection: close\r\n"));
	free(answer);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_refusal_has_the_headers)
{
	static const char *const headers[] = { "WWW-Authenticate: Basic realm=\"it\"", "content-type: text/html",
		"Retry-After: 7", NULL };
	struct gate gate = { .status = 401, .headers = headers };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer;
	unsigned port;

	peer_count_begin();
	listener = listen_to(&options, &port);
	answer = ask(port, GOOD);
	expect_start(answer, 401);
	for (int i = 0; headers[i] != NULL; i++)
		ck_assert_ptr_nonnull(strstr(answer, headers[i]));
	ck_assert_ptr_null(strstr(answer, "text/plain"));
	free(answer);
	ck_assert_ptr_null(ws_fopen(ws_listener_url(listener), "r+"));
	duo_check_failure(EACCES, 401);
	ck_assert_ptr_nonnull(strstr(ws_last_error()->text, "realm \"it\""));
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_long_text_comes_whole)
{
	enum { BYTES = 60000 };
	struct gate gate = { .status = 403 };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer, *text = malloc(BYTES + 1);
	unsigned port;

	peer_count_begin();
	ck_assert_ptr_nonnull(text);
	memset(text, 'x', BYTES);
	text[BYTES] = '\0';
	gate.reason = text;
	options.send_buffer_bytes = 4096;
	listener = listen_to(&options, &port);
	answer = ask(port, GOOD);
	expect_start(answer, 403);
	ck_assert_uint_eq(strlen(strstr(answer, "\r\n\r\n")), 4 + BYTES + 1);
	free(answer);
	free(text);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(who_is_refused_takes_no_place)
{
	struct gate gate = { .status = 403 };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	int refused[4], client;
	unsigned port;
	FILE *stream;
	char *answer;

	peer_count_begin();
	options.max_connections = 1;
	listener = listen_to(&options, &port);
	/* They stay, and don't read what they are told. */
	for (int i = 0; i < 4; i++) {
		refused[i] = peer_connect(port);
		peer_send(refused[i], GOOD, strlen(GOOD));
		ck_assert_int_gt(recv(refused[i], &(char){ 0 }, 1, MSG_PEEK), 0);
	}
	ck_assert_int_eq(atomic_load(&gate.asked), 4);
	gate.status = 0;
	client = peer_connect(port);
	peer_client_handshake(client, port, "/", "");
	/* Nobody is asked about those there is no place for. */
	answer = ask(port, GOOD);
	expect_start(answer, 503);
	free(answer);
	ck_assert_int_eq(atomic_load(&gate.asked), 5);
	stream = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(stream);
	peer_close(client, true, 1000, "");
	peer_fin(client);
	ck_assert_int_eq(fclose(stream), 0);
	for (int i = 0; i < 4; i++)
		close(refused[i]);
	close(client);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- a program's mistakes --- */

static const int no_statuses[] = { 1, -1, 100, 101, 200, 302, 399, 600, 40300 };

START_TEST(any_other_number_is_500)
{
	static const char *const headers[] = { "X-Secret: 1", NULL };
	struct gate gate = { .status = no_statuses[_i], .reason = "secret", .headers = headers };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer;
	unsigned port;

	peer_count_begin();
	listener = listen_to(&options, &port);
	answer = ask(port, GOOD);
	expect_start(answer, 500);
	ck_assert_ptr_null(strcasestr(answer, "secret"));
	free(answer);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const char *const bad_headers[] = {
	"X-Evil: a\r\nSet-Cookie: evil=1", "X-Evil: a\nb", "X-Evil: a\rb", "X-Evil: a\x01", "X-Evil\r\n: a", "X-Evil",
	"X Evil: a", ": evil", "", "Sec-WebSocket-Accept: evil", "Sec-WebSocket-Protocol: evil",
	"sec-websocket-extensions: evil", "Connection: evil", "Upgrade: evil", "Content-Length: 0",
	"Transfer-Encoding: evil",
};

START_TEST(a_bad_header_is_500_and_never_sent)
{
	const char *const headers[] = { "X-Good: evil", bad_headers[_i / 2], NULL };
	struct gate gate = { .status = _i % 2 == 0 ? 0 : 403, .headers = headers, .reason = "evil" };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer;
	unsigned port;

	peer_count_begin();
	listener = listen_to(&options, &port);
	answer = ask(port, GOOD);
	expect_start(answer, 500);
	ck_assert_ptr_null(strcasestr(answer, "evil"));
	free(answer);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const struct {
	const char *asked, *chosen;
} unasked[] = {
	{ "", "chat" }, { "Sec-WebSocket-Protocol: a, b\r\n", "chat" }, { "Sec-WebSocket-Protocol: a, b\r\n", "A" },
	{ "Sec-WebSocket-Protocol: a, b\r\n", "a, b" }, { "Sec-WebSocket-Protocol: a, b\r\n", "" },
	{ "Sec-WebSocket-Protocol: a, b\r\n", "a\r\nX: y" },
};

START_TEST(a_subprotocol_that_was_not_asked_for_is_500)
{
	static const char *const ours[] = { "chat", NULL };
	struct gate gate = { .status = 0, .subprotocol = unasked[_i].chosen };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	char *answer, request[512];
	unsigned port;

	peer_count_begin();
	options.subprotocols = ours;
	listener = listen_to(&options, &port);
	snprintf(request, sizeof request, "GET /" HEAD "%s\r\n", unasked[_i].asked);
	answer = ask(port, request);
	expect_start(answer, 500);
	free(answer);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- from inside --- */

START_TEST(a_listener_can_be_stopped_from_inside)
{
	struct gate gate = { .status = _i == 0 ? 0 : 403 };
	struct ws_options options = options_of(&gate);
	struct ws_listener *listener;
	unsigned port;
	char *answer;
	int fd;

	peer_count_begin();
	listener = listen_to(&options, &port);
	gate.listener = listener;
	fd = peer_connect(port);
	answer = peer_client_raw(fd, GOOD, strlen(GOOD));
	/* Its own connection is one that is left. */
	ck_assert_int_eq(gate.stop_rv, -1);
	ck_assert_int_eq(gate.stop_error, ETIMEDOUT);
	/* Cut, or told so. */
	ck_assert_msg(*answer == '\0' || strncmp(answer, _i == 0 ? "HTTP/1.1 101 " : "HTTP/1.1 403 ", 13) == 0, "%s",
	    answer);
	free(answer);
	close(fd);
	ck_assert_ptr_null(ws_accept(listener, "r+"));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(ws_listener_stop(listener, -1), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- without a listener --- */

START_TEST(a_connection_handed_in_is_asked_about_too)
{
	struct gate gate = { .status = _i == 0 ? 0 : 403, .reason = "not you" };
	struct ws_options options = options_of(&gate);
	int pair[2];
	FILE *stream;
	char *answer;

	peer_count_begin();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	peer_send(pair[1], GOOD, strlen(GOOD));
	stream = ws_fdopen(pair[0], "r+", WS_ROLE_SERVER, &options);
	ck_assert_int_eq(atomic_load(&gate.asked), 1);
	if (_i == 0) {
		ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
		answer = peer_client_raw(pair[1], "", 0);
		expect_start(answer, 101);
		peer_close(pair[1], true, 1000, "");
		peer_fin(pair[1]);
		ck_assert_int_eq(fclose(stream), 0);
	} else {
		ck_assert_ptr_null(stream);
		ck_assert_int_eq(ws_last_error()->http_status, 403);
		close(pair[0]);
		answer = peer_client_raw(pair[1], "", 0);
		expect_start(answer, 403);
		ck_assert_ptr_nonnull(strstr(answer, "not you"));
	}
	free(answer);
	close(pair[1]);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("authorize");
	TCase *tcase = wire_case(suite, "shown");

	tcase_add_loop_test(tcase, the_request_is_shown_as_it_came, 0, COUNT(shown));
	tcase_add_test(tcase, every_subprotocol_of_a_full_block_is_shown);
	tcase_add_loop_test(tcase, only_requests_in_order_are_asked_about, 0, COUNT(not_in_order));
	tcase = wire_case(suite, "let_in");
	tcase_add_loop_test(tcase, the_chosen_subprotocol_and_headers_are_in_the_answer, 0, 3);
	tcase = wire_case(suite, "refused");
	tcase_add_loop_test(tcase, a_refusal_has_the_status_and_the_text, 0, COUNT(refusals));
	tcase_add_test(tcase, a_refusal_has_the_headers);
	tcase_add_test(tcase, a_long_text_comes_whole);
	tcase_add_test(tcase, who_is_refused_takes_no_place);
	tcase = wire_case(suite, "mistakes");
	tcase_add_loop_test(tcase, any_other_number_is_500, 0, COUNT(no_statuses));
	tcase_add_loop_test(tcase, a_bad_header_is_500_and_never_sent, 0, 2 * COUNT(bad_headers));
	tcase_add_loop_test(tcase, a_subprotocol_that_was_not_asked_for_is_500, 0, COUNT(unasked));
	tcase = wire_case(suite, "inside");
	tcase_add_loop_test(tcase, a_listener_can_be_stopped_from_inside, 0, 2);
	tcase = wire_case(suite, "handed_in");
	tcase_add_loop_test(tcase, a_connection_handed_in_is_asked_about_too, 0, 2);
	return wire_run(suite);
}
