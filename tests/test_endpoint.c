/* SPDX-License-Identifier: 0BSD */
/* The endpoint's opening handshake, and both roles with each other; frames have test_endpoint_rules.c and _sent.c. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "endpoint.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define PAYLOAD_MAX 1024

/* RFC 6455, section 1.3 */
#define EXAMPLE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define EXAMPLE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define UPGRADE "Host: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define REQUEST "GET /chat HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Key: " EXAMPLE_KEY "\r\nSec-WebSocket-Version: 13\r\n"
#define ANSWER "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: " EXAMPLE_ACCEPT "\r\n"

static const char *const subprotocols[] = { "chat", "superchat", NULL };

static const struct wsf_endpoint_config client_config = {
	.role = WSF_CLIENT, .max_header_bytes = 1024, .host = "example.org:8080", .target = "/chat?x=1",
	.origin = "http://example.org", .user_agent = "tester/1", .subprotocols = subprotocols,
	.headers = (const char *const[]){ "X-One: 1", "X-Two: second value", NULL }, .max_frame_bytes = 65536,
};
static const struct wsf_endpoint_config server_config = {
	.role = WSF_SERVER, .max_header_bytes = 1024, .path = "/chat", .subprotocols = subprotocols,
	.headers = (const char *const[]){ "X-Answer: yes", NULL }, .max_frame_bytes = 65536,
};

/* --- one endpoint that is fed --- */

struct end {
	struct wsf_endpoint endpoint;
	struct wsf_events events;
	uint8_t payload[PAYLOAD_MAX];
	size_t payload_bytes;
};

static void feed(struct end *end, const void *bytes, size_t size)
{
	struct wsf_sink sink = { .span = { { end->payload + end->payload_bytes, size } } };
	uint8_t *in = malloc(size > 0 ? size : 1);

	ck_assert_uint_le(size, sizeof(end->payload) - end->payload_bytes);
	ck_assert_ptr_nonnull(in);
	memcpy(in, bytes, size);
	ck_assert_uint_eq(wsf_endpoint_receive(&end->endpoint, in, size, &sink, &end->events), size);
	free(in);
	end->payload_bytes += sink.bytes;
}

static void end_clear(struct end *end)
{
	free(end->events.answer);
	wsf_endpoint_clear(&end->endpoint);
}

/* A client that has sent the example's key. */
static void end_init(struct end *end, const struct wsf_endpoint_config *config)
{
	memset(end, 0, sizeof(*end));
	wsf_endpoint_init(&end->endpoint, config);
	memcpy(end->endpoint.opening->accept, EXAMPLE_ACCEPT, sizeof(EXAMPLE_ACCEPT));
}

static bool answer_has(const struct end *end, const char *text)
{
	return end->events.answer != NULL && strstr(end->events.answer, text) != NULL;
}

/* --- opening handshake --- */

static size_t occurrences(const char *text, const char *part)
{
	size_t n = 0;

	while ((text = strstr(text, part)) != NULL) {
		text++;
		n++;
	}
	return n;
}

/* RFC 6455, section 4.1 */
START_TEST(a_request_is_what_the_rfc_demands)
{
	static const char *const once[] = {
		"\r\nHost: example.org:8080\r\n", "\r\nUpgrade: websocket\r\n", "\r\nConnection: Upgrade\r\n",
		"\r\nSec-WebSocket-Version: 13\r\n", "\r\nSec-WebSocket-Key: ", "\r\nOrigin: http://example.org\r\n",
		"\r\nUser-Agent: tester/1\r\n", "\r\nSec-WebSocket-Protocol: chat, superchat\r\n", "\r\nX-One: 1\r\n",
		"\r\nX-Two: second value\r\n", "\r\n\r\n",
	};
	struct wsf_endpoint endpoint;
	const char *key, *start = "GET /chat?x=1 HTTP/1.1\r\n";
	char *request, copy[WSF_KEY_TEXT_BYTES] = "";
	size_t size;

	wsf_endpoint_init(&endpoint, &client_config);
	ck_assert_int_eq(wsf_endpoint_request(&endpoint, &request, &size), 0);
	ck_assert_uint_eq(size, strlen(request));
	ck_assert_int_eq(strncmp(request, start, strlen(start)), 0);
	for (size_t i = 0; i < COUNT(once); i++)
		if (occurrences(request, once[i]) != 1)
			ck_abort_msg("not once: %s", once[i]);
	ck_assert_str_eq(request + size - 4, "\r\n\r\n");
	ck_assert_ptr_null(strstr(request, "Sec-WebSocket-Extensions"));
	key = strstr(request, "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: ");
	ck_assert_uint_eq(strcspn(key, "\r"), sizeof(copy) - 1);
	memcpy(copy, key, sizeof(copy) - 1);
	ck_assert_str_eq(copy + sizeof(copy) - 3, "==");
	free(request);

	/* A nonce is for one connection. */
	ck_assert_int_eq(wsf_endpoint_request(&endpoint, &request, &size), 0);
	ck_assert_ptr_null(strstr(request, copy));
	free(request);
	wsf_endpoint_clear(&endpoint);
}
END_TEST

START_TEST(a_request_has_no_header_that_was_not_asked_for)
{
	const struct wsf_endpoint_config config = {
		.role = WSF_CLIENT, .max_header_bytes = 1024, .host = "h", .target = "/",
	};
	struct wsf_endpoint endpoint;
	char *request;
	size_t size;

	wsf_endpoint_init(&endpoint, &config);
	ck_assert_int_eq(wsf_endpoint_request(&endpoint, &request, &size), 0);
	ck_assert_ptr_null(strstr(request, "Origin"));
	ck_assert_ptr_null(strstr(request, "User-Agent"));
	ck_assert_ptr_null(strstr(request, "Sec-WebSocket-Protocol"));
	ck_assert_uint_eq(occurrences(request, "\r\n"), 7);
	free(request);
	wsf_endpoint_clear(&endpoint);
}
END_TEST

/* RFC 6455, section 1.2 */
START_TEST(the_example_of_the_rfc_is_accepted)
{
	struct wsf_endpoint_config config = server_config;
	struct end end;

	config.allowed_origins = (const char *const[]){ "http://example.com", NULL };
	end_init(&end, &config);
	feed(&end, REQUEST "Origin: http://example.com\r\nSec-WebSocket-Protocol: superchat, chat\r\n\r\n",
	    strlen(REQUEST "Origin: http://example.com\r\nSec-WebSocket-Protocol: superchat, chat\r\n\r\n"));
	ck_assert(end.events.opened);
	ck_assert_int_eq(end.events.fault, 0);
	ck_assert_int_eq(end.events.http_status, 101);
	ck_assert_uint_eq(end.events.answer_bytes, strlen(end.events.answer));
	ck_assert_int_eq(strncmp(end.events.answer, "HTTP/1.1 101 ", 13), 0);
	ck_assert(answer_has(&end, "\r\n" ACCEPT));
	ck_assert(answer_has(&end, "\r\nSec-WebSocket-Protocol: chat\r\n"));
	ck_assert(answer_has(&end, "\r\nX-Answer: yes\r\n"));
	ck_assert_str_eq(end.events.answer + end.events.answer_bytes - 4, "\r\n\r\n");
	ck_assert_str_eq(end.endpoint.subprotocol, "chat");
	end_clear(&end);
}
END_TEST

START_TEST(both_roles_open_with_each_other)
{
	struct end client, server;
	char *request;
	size_t size;

	end_init(&client, &client_config);
	end_init(&server, &server_config);
	server.endpoint.opening->config.allowed_origins = (const char *const[]){ "*", NULL };
	ck_assert_int_eq(wsf_endpoint_request(&client.endpoint, &request, &size), 0);
	feed(&server, request, size);
	free(request);
	ck_assert(server.events.opened);
	ck_assert_ptr_nonnull(server.events.answer);
	feed(&client, server.events.answer, server.events.answer_bytes);
	ck_assert(client.events.opened);
	ck_assert_int_eq(client.events.http_status, 101);
	ck_assert_int_eq(client.events.fault, 0);
	ck_assert_ptr_null(client.events.answer);
	ck_assert_str_eq(client.endpoint.subprotocol, "chat");
	ck_assert_str_eq(wsf_http_field(&client.endpoint.http, "x-answer"), "yes");
	ck_assert_str_eq(wsf_http_field(&server.endpoint.http, "x-two"), "second value");
	end_clear(&client);
	end_clear(&server);
}
END_TEST

START_TEST(each_connection_has_its_own_accept_value)
{
	struct end client, server;
	char *request;
	size_t size;

	end_init(&client, &client_config);
	end_init(&server, &server_config);
	server.endpoint.opening->config.allowed_origins = (const char *const[]){ "*", NULL };
	ck_assert_int_eq(wsf_endpoint_request(&client.endpoint, &request, &size), 0);
	feed(&server, request, size);
	free(request);
	/* The answer belongs to the first request, and a second one was sent. */
	ck_assert_int_eq(wsf_endpoint_request(&client.endpoint, &request, &size), 0);
	free(request);
	feed(&client, server.events.answer, server.events.answer_bytes);
	ck_assert(!client.events.opened);
	ck_assert_int_eq(client.events.fault, EPROTO);
	end_clear(&client);
	end_clear(&server);
}
END_TEST

static const struct {
	enum wsf_role role;
	const char *text;
	int http_status;
	int fault;
} refused[] = {
	{ WSF_SERVER, "POST /chat HTTP/1.1\r\n" UPGRADE "\r\n", 405, EPROTO },
	{ WSF_SERVER, "GET /other HTTP/1.1\r\n" UPGRADE "\r\n", 404, EPROTO },
	{ WSF_SERVER, "GET /chat HTTP/1.1\r\nHost: h\r\n\r\n", 426, EPROTO },
	{ WSF_SERVER, "GET /chat HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Key: " EXAMPLE_KEY "\r\n"
	    "Sec-WebSocket-Version: 8\r\n\r\n", 426, EPROTO },
	{ WSF_SERVER, "GET /chat HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Key: c2hvcnQ=\r\n"
	    "Sec-WebSocket-Version: 13\r\n\r\n", 400, EPROTO },
	{ WSF_SERVER, "GET /chat HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n", 400, EPROTO },
	{ WSF_SERVER, REQUEST "Origin: http://evil.example\r\n\r\n", 403, EPROTO },
	{ WSF_SERVER, "GET /chat HTTP/1.0\r\n" UPGRADE "\r\n", 400, EPROTO },
	{ WSF_SERVER, REQUEST "bare: lf\n\r\n", 400, EPROTO },
	{ WSF_SERVER, "\x16\x03\x01\x02", 400, EPROTO },
	{ WSF_CLIENT, "HTTP/1.1 401 Unauthorized\r\n\r\n", 401, EACCES },
	{ WSF_CLIENT, "HTTP/1.1 403 Forbidden\r\n\r\n", 403, EACCES },
	{ WSF_CLIENT, "HTTP/1.1 407 Proxy\r\n\r\n", 407, EACCES },
	{ WSF_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, ECONNABORTED },
	{ WSF_CLIENT, "HTTP/1.1 301 Moved\r\nLocation: ws://h/\r\n\r\n", 301, ECONNABORTED },
	{ WSF_CLIENT, "HTTP/1.1 404 Not Found\r\n\r\n", 404, ECONNABORTED },
	{ WSF_CLIENT, "HTTP/1.1 500\r\n\r\n", 500, ECONNABORTED },
	{ WSF_CLIENT, ANSWER "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n", 101, EPROTO },
	{ WSF_CLIENT, ANSWER "\r\n", 101, EPROTO },
	{ WSF_CLIENT, "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", 101, EPROTO },
	{ WSF_CLIENT, ANSWER ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n", 101, EPROTO },
	{ WSF_CLIENT, ANSWER ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101, EPROTO },
	{ WSF_CLIENT, "SSH-2.0-x\r\n", 0, EPROTO },
	{ WSF_CLIENT, ANSWER "bare: lf\n\r\n", 0, EPROTO },
};

/* A whole message behind it, that must not count; the bytes alone are no HTTP, so none belongs to the handshake. */
START_TEST(a_refusal_has_its_status_and_is_final)
{
	const struct wsf_endpoint_config *config = refused[_i].role == WSF_CLIENT ? &client_config : &server_config;
	struct end end;
	char start[32];

	end_init(&end, config);
	feed(&end, refused[_i].text, strlen(refused[_i].text));
	feed(&end, "\x82\x01x", 3);
	feed(&end, "\x82\x81\0\0\0\0x", 7);
	ck_assert(!end.events.opened);
	ck_assert_int_eq(end.events.fault, refused[_i].fault);
	ck_assert_uint_eq(end.events.fault_code, 0);
	ck_assert_int_eq(end.events.http_status, refused[_i].http_status);
	ck_assert_str_ne(end.events.text, "");
	ck_assert_ptr_null(strchr(end.events.text, '\n'));
	ck_assert_uint_eq(end.payload_bytes, 0);
	ck_assert_uint_eq(end.endpoint.messages_received, 0);
	if (refused[_i].role == WSF_CLIENT) {
		ck_assert_ptr_null(end.events.answer);
	} else {
		snprintf(start, sizeof(start), "HTTP/1.1 %d ", refused[_i].http_status);
		ck_assert_ptr_nonnull(end.events.answer);
		ck_assert_uint_eq(end.events.answer_bytes, strlen(end.events.answer));
		ck_assert_int_eq(strncmp(end.events.answer, start, strlen(start)), 0);
		ck_assert_int_eq(answer_has(&end, "\r\nSec-WebSocket-Version: 13\r\n"), refused[_i].http_status == 426);
	}
	end_clear(&end);
}
END_TEST

/* Header blocks of size bytes in all, the limit being 1024. */
static void feed_header_of(struct end *end, size_t size)
{
	const char *start = end->endpoint.role == WSF_CLIENT ? ANSWER ACCEPT "X: " : REQUEST "X: ";
	char *text = malloc(size);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', size);
	memcpy(text, start, strlen(start));
	memcpy(text + size - 4, "\r\n\r\n", 4);
	feed(end, text, size);
	free(text);
}

START_TEST(a_header_block_is_bounded)
{
	const struct wsf_endpoint_config *config = _i == 0 ? &client_config : &server_config;
	struct end end;

	end_init(&end, config);
	feed_header_of(&end, 1024);
	ck_assert(end.events.opened);
	ck_assert_int_eq(end.events.fault, 0);
	end_clear(&end);

	end_init(&end, config);
	end.endpoint.http.limit_bytes = 1023;
	feed_header_of(&end, 1024);
	ck_assert(!end.events.opened);
	ck_assert_int_eq(end.events.fault, EPROTO);
	ck_assert_uint_eq(end.events.fault_code, 0);
	ck_assert_int_eq(end.events.http_status, _i == 0 ? 0 : 431);
	ck_assert_int_eq(answer_has(&end, "HTTP/1.1 431 "), _i != 0);
	end_clear(&end);
}
END_TEST

/* --- however the handshake comes, with frames right behind it --- */

#define MASKED_ABC "\x82\x83\x01\x02\x03\x04" "`" "`" "`"	/* "abc" xor 1 2 3 */
#define W(role, text) { role, text, sizeof(text) - 1 }

static const struct {
	enum wsf_role role;
	const char *bytes;
	size_t size;
} wires[] = {
	W(WSF_SERVER, REQUEST "\r\n" MASKED_ABC "\x89\x81\0\0\0\0p" "\x88\x82\0\0\0\0\x03\xe8"),
	W(WSF_SERVER, REQUEST "\r\n" MASKED_ABC "\x82\x01x"),
	W(WSF_SERVER, REQUEST "\r\n"),
	W(WSF_SERVER, REQUEST "Origin: null\r\n\r\n" MASKED_ABC),
	W(WSF_SERVER, REQUEST " folded\r\n\r\n" MASKED_ABC),
	W(WSF_SERVER, "GET /chat HTTP/1.1\r\n" UPGRADE),
	W(WSF_CLIENT, ANSWER ACCEPT "\r\n\x82\x03" "abc\x89\x01p\x88\x05\x03\xe9" "bye"),
	W(WSF_CLIENT, ANSWER ACCEPT "Sec-WebSocket-Protocol: superchat\r\n\r\n\x02\x03" "abc\x89\0\x81\x01x"),
	W(WSF_CLIENT, ANSWER ACCEPT "X: \x01\r\n\r\n\x82\x03" "abc"),
	W(WSF_CLIENT, "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nabc"),
	W(WSF_CLIENT, "ICY 200 OK\r\n\r\n"),
};

static void check_same(const struct end *got, const struct end *expected, size_t at)
{
	const struct wsf_events *g = &got->events, *e = &expected->events;
	bool same = g->answer_bytes == e->answer_bytes && (g->answer != NULL) == (e->answer != NULL) &&
	    g->opened == e->opened && g->ping == e->ping && g->ping_bytes == e->ping_bytes &&
	    memcmp(g->ping_payload, e->ping_payload, g->ping_bytes) == 0 && g->close == e->close &&
	    g->close_code == e->close_code && strcmp(g->close_reason, e->close_reason) == 0 &&
	    g->fault == e->fault && g->fault_code == e->fault_code && g->http_status == e->http_status &&
	    strcmp(g->text, e->text) == 0;

	same = same && got->payload_bytes == expected->payload_bytes &&
	    memcmp(got->payload, expected->payload, got->payload_bytes) == 0 &&
	    got->endpoint.subprotocol == expected->endpoint.subprotocol;
	if (same && g->answer != NULL)
		same = memcmp(g->answer, e->answer, g->answer_bytes) == 0;
	if (!same)
		ck_abort_msg("cut at %zu: fault %d not %d, %zu not %zu bytes: %s", at, g->fault, e->fault,
		    got->payload_bytes, expected->payload_bytes, g->text);
}

START_TEST(a_handshake_gives_the_same_however_it_comes)
{
	const struct wsf_endpoint_config *config = wires[_i].role == WSF_CLIENT ? &client_config : &server_config;
	const char *bytes = wires[_i].bytes;
	size_t size = wires[_i].size;
	struct end whole, end;

	end_init(&whole, config);
	feed(&whole, bytes, size);
	if (whole.events.opened && size > strlen(bytes))
		ck_assert_mem_eq(whole.payload, "abc", 3);
	for (size_t at = 0; at <= size; at++) {
		end_init(&end, config);
		feed(&end, bytes, at);
		feed(&end, bytes + at, size - at);
		check_same(&end, &whole, at);
		end_clear(&end);
	}
	end_init(&end, config);
	for (size_t i = 0; i < size; i++)
		feed(&end, bytes + i, 1);
	check_same(&end, &whole, size);
	end_clear(&end);
	end_clear(&whole);
}
END_TEST

/* --- what one end sends, the other receives --- */

static void send_frame(struct end *from, struct end *to, const char *payload)
{
	struct wsf_frame_start start;
	size_t size = strlen(payload);
	char body[PAYLOAD_MAX];

	ck_assert_int_eq(wsf_endpoint_start_frame(&from->endpoint, size, false, &start), 0);
	for (size_t i = 0; i < size; i++)
		body[i] = (char)(payload[i] ^ (start.masked ? start.key[i % 4] : 0));
	feed(to, start.header, start.header_bytes);
	feed(to, body, size);
}

START_TEST(what_one_role_sends_the_other_understands)
{
	uint8_t out[WSF_CONTROL_FRAME_MAX];
	struct end from, to;
	int size;

	end_init(&from, _i == 0 ? &client_config : &server_config);
	end_init(&to, _i == 0 ? &server_config : &client_config);
	to.endpoint.phase = WSF_PHASE_HEADER;
	send_frame(&from, &to, "hello, ");
	size = wsf_endpoint_control_frame(&from.endpoint, WSF_PING, "ping", 4, out);
	feed(&to, out, (size_t)size);
	send_frame(&from, &to, "world");
	size = wsf_endpoint_close_frame(&from.endpoint, 1001, "going", out);
	feed(&to, out, (size_t)size);
	ck_assert_uint_eq(to.payload_bytes, strlen("hello, world"));
	ck_assert_mem_eq(to.payload, "hello, world", to.payload_bytes);
	ck_assert_uint_eq(to.endpoint.messages_received, 2);
	ck_assert(to.events.ping);
	ck_assert_uint_eq(to.events.ping_bytes, 4);
	ck_assert_mem_eq(to.events.ping_payload, "ping", 4);
	ck_assert(to.events.close);
	ck_assert_uint_eq(to.events.close_code, 1001);
	ck_assert_str_eq(to.events.close_reason, "going");
	ck_assert_int_eq(to.events.fault, 0);
	end_clear(&from);
	end_clear(&to);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint");
	TCase *tcase = tcase_create("endpoint");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, a_request_is_what_the_rfc_demands);
	tcase_add_test(tcase, a_request_has_no_header_that_was_not_asked_for);
	tcase_add_test(tcase, the_example_of_the_rfc_is_accepted);
	tcase_add_test(tcase, both_roles_open_with_each_other);
	tcase_add_test(tcase, each_connection_has_its_own_accept_value);
	tcase_add_loop_test(tcase, a_refusal_has_its_status_and_is_final, 0, COUNT(refused));
	tcase_add_loop_test(tcase, a_header_block_is_bounded, 0, 2);
	tcase_add_loop_test(tcase, a_handshake_gives_the_same_however_it_comes, 0, COUNT(wires));
	tcase_add_loop_test(tcase, what_one_role_sends_the_other_understands, 0, 2);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
