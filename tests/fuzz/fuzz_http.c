/* SPDX-License-Identifier: 0BSD */
/*
 * Header blocks, in pieces and as a whole, and what is made of them. The first line of the input has a character each
 * for the kind of block (0 = a request, 1 = an answer to ours, 2 = a proxy's answer), the limit, the pieces, what is
 * served or offered, and permessage-deflate; the second is an allowed origin; the block follows. Beside what pieces may
 * not change: what is parsed can be written down again and is the same then; and our own answer to a request is one
 * that our own client takes, where it is for a client like ours.
 */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "deflate.h"
#include "fuzz.h"
#include "http.h"

#define REASON_BYTES 160

struct options {
	enum wsf_http_kind kind;
	size_t limit_bytes;
	uint32_t seed;
	unsigned rules, deflate;
	char *origin;
};

static const char *const subprotocols[] = { "chat", "superchat", NULL };

static struct options read_options(struct fuzz_input *in)
{
	static const size_t limits[] = { 16384, 1024, 300, 256 };
	char *line = fuzz_line(in);
	size_t length = strlen(line);
	struct options options = {
		.kind = length > 0 && line[0] % 4 != 0 ? WSF_HTTP_RESPONSE : WSF_HTTP_REQUEST,
		.limit_bytes = limits[length > 1 ? line[1] & 3 : 0],
		.seed = length > 2 ? (uint8_t)line[2] : 0,
		.rules = length > 3 ? (uint8_t)line[3] : 0,
		.deflate = length > 4 ? (uint8_t)line[4] : 0,
		.origin = fuzz_line(in),
	};

	free(line);
	return options;
}

static struct wsf_deflate_params deflate_params(unsigned choice)
{
	static const int bits[] = { 15, 12, 9, 15 };

	return (struct wsf_deflate_params){
		.on = (choice & 1) != 0, .send_window_bits = bits[choice >> 1 & 3],
		.recv_window_bits = bits[choice >> 3 & 3], .send_no_context_takeover = (choice & 32) != 0,
		.recv_no_context_takeover = (choice & 64) != 0, .level = 6, .max_ratio = 200,
	};
}

/* Returns what the last call did, and how much was taken. */
static int feed(struct wsf_http *http, struct fuzz_lot *lot, const uint8_t *at, size_t size, size_t *used,
    const char **reason)
{
	int rv = 0;

	*used = 0;
	while (rv == 0 && *used < size) {
		size_t n = lot != NULL ? fuzz_piece(lot, size - *used) : size, taken;
		uint8_t *piece = fuzz_copy(at + *used, n);

		rv = wsf_http_feed(http, piece, n, &taken, reason);
		free(piece);
		REQUIRE(taken <= n && (rv != 0 || taken == n));
		*used += taken;
	}
	return rv;
}

static void parse_whole(struct wsf_http *http, enum wsf_http_kind kind, const void *text, size_t size)
{
	const char *reason = NULL;
	size_t used;

	wsf_http_init(http, kind, 1 << 20);
	REQUIRE(feed(http, NULL, text, size, &used, &reason) == 1);
	REQUIRE(used <= size);
}

static bool same_piece(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void check_same(const struct wsf_http *a, const struct wsf_http *b)
{
	struct wsf_http_field one = { 0 }, other = { 0 };

	REQUIRE(a->complete == b->complete && a->field_count == b->field_count && a->status == b->status);
	REQUIRE(a->minor_version == b->minor_version);
	REQUIRE(same_piece(wsf_http_method(a), wsf_http_method(b)));
	REQUIRE(same_piece(wsf_http_target(a), wsf_http_target(b)));
	REQUIRE(same_piece(wsf_http_phrase(a), wsf_http_phrase(b)));
	while (wsf_http_next_field(a, &one)) {
		REQUIRE(wsf_http_next_field(b, &other));
		REQUIRE(strcmp(one.name, other.name) == 0 && strcmp(one.value, other.value) == 0);
	}
	REQUIRE(!wsf_http_next_field(b, &other));
}

static void put_text(struct fuzz_buffer *out, const char *text)
{
	fuzz_put(out, text, strlen(text));
}

/* As text, and parsed again, it is the same block. */
static void check_again(const struct wsf_http *http)
{
	struct wsf_http_field field = { 0 };
	struct fuzz_buffer text = { 0 };
	struct wsf_http again;
	char line[40];
	size_t count = 0;

	snprintf(line, sizeof(line), "HTTP/1.%d", http->minor_version);
	if (http->kind == WSF_HTTP_REQUEST) {
		put_text(&text, wsf_http_method(http));
		put_text(&text, " ");
		put_text(&text, wsf_http_target(http));
		put_text(&text, " ");
		put_text(&text, line);
	} else {
		snprintf(line, sizeof(line), "HTTP/1.%d %d ", http->minor_version, http->status);
		put_text(&text, line);
		put_text(&text, wsf_http_phrase(http));
	}
	put_text(&text, "\r\n");
	while (wsf_http_next_field(http, &field)) {
		REQUIRE(wsf_http_token_valid(field.name) && wsf_http_value_valid(field.value));
		REQUIRE(wsf_http_field(http, field.name) != NULL && wsf_http_field_count(http, field.name) > 0);
		put_text(&text, field.name);
		put_text(&text, ": ");
		put_text(&text, field.value);
		put_text(&text, "\r\n");
		count++;
	}
	REQUIRE(count == http->field_count && count <= WSF_HTTP_MAX_FIELDS);
	put_text(&text, "\r\n");
	parse_whole(&again, (enum wsf_http_kind)http->kind, text.data, text.size);
	check_same(http, &again);
	wsf_http_clear(&again);
	fuzz_buffer_clear(&text);
}

/* --- a request --- */

/* What must not differ between an Origin and the Host where nothing else is allowed; ports aside. */
static void check_same_host(const char *origin, const char *host)
{
	const char *in_origin = strstr(origin, "://");
	size_t length;

	REQUIRE(in_origin != NULL && strncasecmp(origin, "http", 4) == 0);
	in_origin += 3;
	if (*in_origin == '[' || *host == '[') {
		REQUIRE(*in_origin == *host);	/* addresses have many spellings */
		return;
	}
	length = strcspn(in_origin, ":");
	REQUIRE(length > 0 && length == strcspn(host, ":") && strncasecmp(in_origin, host, length) == 0);
}

/* What every request that is let in must have. */
static void check_let_in(const struct wsf_http *http, const struct wsf_http_rules *rules, const char *subprotocol)
{
	const char *origin = wsf_http_field(http, "Origin"), *target = wsf_http_target(http);
	size_t path_bytes = strcspn(target, "?");

	REQUIRE(strcmp(wsf_http_method(http), "GET") == 0 && http->minor_version >= 1);
	REQUIRE(wsf_http_field_count(http, "Host") == 1 && wsf_http_field_count(http, "Sec-WebSocket-Key") == 1);
	REQUIRE(wsf_http_field_count(http, "Sec-WebSocket-Version") == 1);
	REQUIRE(strlen(wsf_http_field(http, "Sec-WebSocket-Key")) == 24);
	REQUIRE(strcmp(wsf_http_field(http, "Sec-WebSocket-Version"), "13") == 0);
	REQUIRE(wsf_http_field(http, "Transfer-Encoding") == NULL && wsf_http_field_count(http, "Origin") <= 1);
	REQUIRE(target[0] == '/' && strchr(target, '#') == NULL);
	REQUIRE(rules->path == NULL ||
	    (path_bytes == strlen(rules->path) && memcmp(target, rules->path, path_bytes) == 0));
	REQUIRE(subprotocol == NULL || wsf_http_field(http, "Sec-WebSocket-Protocol") != NULL);
	if (origin != NULL && rules->allowed_origins == NULL)
		check_same_host(origin, wsf_http_field(http, "Host"));
}

/* A client that had asked for the same takes our answer. */
static void check_accept(const struct wsf_http *request, const char *subprotocol, unsigned choice)
{
	struct wsf_deflate_params ours = deflate_params(choice), agreed, theirs = ours, client;
	static const char *const more[] = { "X-More: 1", NULL };
	char extensions[WSF_EXTENSIONS_MAX], again[WSF_EXTENSIONS_MAX], reason[REASON_BYTES];
	struct wsf_http answer;
	const char *chosen, *refusal = NULL;
	size_t size;
	char *text;

	wsf_deflate_choose(request, &ours, &agreed, extensions);
	REQUIRE(agreed.on == (extensions[0] != '\0') && strlen(extensions) < sizeof(extensions));
	REQUIRE(agreed.send_window_bits >= 8 && agreed.send_window_bits <= ours.send_window_bits);
	REQUIRE(agreed.recv_window_bits >= 8 && agreed.recv_window_bits <= ours.recv_window_bits);
	text = wsf_http_format_accept(FUZZ_ACCEPT, subprotocol, extensions, more, NULL, &size);
	REQUIRE(text != NULL && size == strlen(text));
	parse_whole(&answer, WSF_HTTP_RESPONSE, text, size);
	REQUIRE(wsf_http_check_answer(&answer, FUZZ_ACCEPT, subprotocols, &chosen, reason, sizeof(reason)) == 0);
	REQUIRE(same_piece(chosen, subprotocol));
	/* One that asked for the least would have to take anything. */
	theirs.send_window_bits = theirs.recv_window_bits = 15;
	theirs.send_no_context_takeover = theirs.recv_no_context_takeover = false;
	REQUIRE(wsf_deflate_check_answer(&answer, &theirs, &client, again, &refusal) == 0);
	REQUIRE(client.on == agreed.on && strcmp(again, extensions) == 0);
	if (client.on) {
		REQUIRE(client.recv_window_bits >= agreed.send_window_bits);
		REQUIRE(client.send_window_bits <= agreed.recv_window_bits);
		REQUIRE(client.recv_no_context_takeover == agreed.send_no_context_takeover);
		REQUIRE(!agreed.recv_no_context_takeover || client.send_no_context_takeover);
	}
	wsf_http_clear(&answer);
	free(text);
}

static void check_refusal(int status, const char *reason)
{
	static const char *const headers[] = { "Retry-After: 1", NULL };
	struct wsf_http answer;
	char number[24];
	size_t size;
	char *text = wsf_http_format_refusal(status, reason, headers, &size);

	REQUIRE(text != NULL && size == strlen(text) && reason[0] != '\0');
	parse_whole(&answer, WSF_HTTP_RESPONSE, text, size);
	snprintf(number, sizeof(number), "%zu", strlen(strstr(text, "\r\n\r\n") + 4));
	REQUIRE(answer.status == status && strcmp(wsf_http_field(&answer, "Content-Length"), number) == 0);
	REQUIRE(wsf_http_has_token(&answer, "Connection", "close") && wsf_http_field(&answer, "Retry-After") != NULL);
	wsf_http_clear(&answer);
	free(text);
}

static void check_request(const struct wsf_http *http, const struct options *options)
{
	const char *const allowed[] = { options->origin, NULL };
	const struct wsf_http_rules rules = {
		.path = (options->rules & 1) != 0 ? "/chat" : NULL,
		.allowed_origins = wsf_http_origin_valid(options->origin) ? allowed : NULL,
		.subprotocols = (options->rules & 2) != 0 ? subprotocols : NULL,
	};
	const char *subprotocol, *reason;
	int status = wsf_http_check_request(http, &rules, &subprotocol, &reason);

	REQUIRE(fuzz_one_line(reason, REASON_BYTES));
	if (status == 101) {
		check_let_in(http, &rules, subprotocol);
		check_accept(http, subprotocol, options->deflate);
	} else {
		REQUIRE(status >= 400 && status <= 426 && subprotocol == NULL);
		check_refusal(status, reason);
	}
}

/* --- an answer --- */

static void check_realm(const struct wsf_http *http, size_t room)
{
	char *realm = fuzz_memory(room), whole[300];

	wsf_http_realm(http, realm, room);
	wsf_http_realm(http, whole, sizeof(whole));
	REQUIRE(http->status == 401 || http->status == 407 || whole[0] == '\0');
	if (room > 0) {
		REQUIRE(memchr(realm, 0, room) != NULL);
		REQUIRE(strncmp(realm, whole, room - 1) == 0);
	}
	free(realm);
}

static void check_answer(const struct wsf_http *http, const struct options *options)
{
	struct wsf_deflate_params wanted = deflate_params(options->deflate), agreed;
	const char *subprotocol, *refusal = NULL;
	char reason[REASON_BYTES] = "", extensions[WSF_EXTENSIONS_MAX];
	int rv = wsf_http_check_answer(http, FUZZ_ACCEPT, (options->rules & 2) != 0 ? subprotocols : NULL,
	    &subprotocol, reason, sizeof(reason));

	check_realm(http, options->rules % 80);
	REQUIRE(rv == 0 || rv == -EPROTO || (http->status != 101 && (rv == -EACCES || rv == -ECONNABORTED)));
	if (rv != 0) {
		REQUIRE(reason[0] != '\0' && fuzz_one_line(reason, sizeof(reason)));
		return;
	}
	REQUIRE(http->status == 101 && strcmp(wsf_http_field(http, "Sec-WebSocket-Accept"), FUZZ_ACCEPT) == 0);
	REQUIRE(same_piece(subprotocol, wsf_http_field(http, "Sec-WebSocket-Protocol")));
	rv = wsf_deflate_check_answer(http, &wanted, &agreed, extensions, &refusal);
	REQUIRE(rv == 0 || (rv == -EPROTO && fuzz_one_line(refusal, REASON_BYTES)));
	if (rv != 0 || !agreed.on)
		return;
	REQUIRE(wanted.on && extensions[0] != '\0');
	REQUIRE(agreed.send_window_bits >= 8 && agreed.send_window_bits <= wanted.send_window_bits);
	REQUIRE(agreed.recv_window_bits >= 8 && agreed.recv_window_bits <= wanted.recv_window_bits);
	REQUIRE(agreed.recv_no_context_takeover || !wanted.recv_no_context_takeover);
}

/* A "Name: value" line of the program's, and whether it may be sent. */
static void check_line(const char *line)
{
	if (!wsf_http_line_valid(line))
		return;
	REQUIRE(strpbrk(line, "\r\n") == NULL && strchr(line, ':') != NULL);
	REQUIRE(wsf_http_line_reserved(line) || !wsf_http_line_names(line, "Host"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct options options = read_options(&in);
	struct fuzz_lot lot = fuzz_lot(options.seed);
	struct wsf_http whole, pieces;
	const char *reason = NULL, *other = NULL;
	size_t used, other_used;
	int rv;

	wsf_http_init(&whole, options.kind, options.limit_bytes);
	wsf_http_init(&pieces, options.kind, options.limit_bytes);
	rv = feed(&whole, NULL, in.at, in.left, &used, &reason);
	REQUIRE(feed(&pieces, &lot, in.at, in.left, &other_used, &other) == rv);
	REQUIRE(used == other_used && used <= options.limit_bytes && same_piece(reason, other));
	REQUIRE(rv == 0 || rv == 1 || rv == -EPROTO || rv == -EMSGSIZE);
	check_same(&whole, &pieces);
	if (rv < 0) {
		REQUIRE(fuzz_one_line(reason, REASON_BYTES));
		REQUIRE(wsf_http_feed(&whole, "\r\n", 2, &used, &reason) == rv && used == 0);
	} else if (rv == 1) {
		REQUIRE(used >= 4 && memcmp(in.at + used - 4, "\r\n\r\n", 4) == 0);
		check_again(&pieces);
		(options.kind == WSF_HTTP_REQUEST ? check_request : check_answer)(&pieces, &options);
	}
	check_line(options.origin);
	wsf_http_clear(&whole);
	wsf_http_clear(&pieces);
	free(options.origin);
	return 0;
}
