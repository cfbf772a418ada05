/* SPDX-License-Identifier: 0BSD */
/* The opening handshake: what is sent, and what the parsers of both sides take and refuse. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "http.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define LIMIT 4096

#define GET "GET /chat HTTP/1.1\r\n"
#define HOST "Host: example.org\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT_VALUE "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define ACCEPT "Sec-WebSocket-Accept: " ACCEPT_VALUE "\r\n"
#define UPGRADED SWITCHING UPGRADE CONNECTION
#define ACCEPTED UPGRADED ACCEPT
#define END "\r\n"

static char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *text, ...)
{
	va_list arguments;
	char *out;

	va_start(arguments, text);
	ck_assert_int_ge(vasprintf(&out, text, arguments), 0);
	va_end(arguments);
	return out;
}

/* What came of feeding a text. */
struct result {
	int rv;
	size_t used;
	const char *reason;
};

/* These run for every split of every text, and a ck_assert that holds writes to a pipe: only failures are told. */
static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_block(const struct wsf_http *a, const struct wsf_http *b)
{
	struct wsf_http_field ours = { 0 }, theirs = { 0 };

	if (a->complete != b->complete || !a->complete)
		return a->complete == b->complete;
	if (!same_text(wsf_http_method(a), wsf_http_method(b)) ||
	    !same_text(wsf_http_target(a), wsf_http_target(b)) ||
	    !same_text(wsf_http_phrase(a), wsf_http_phrase(b)) || a->status != b->status ||
	    a->minor_version != b->minor_version || a->field_count != b->field_count)
		return false;
	while (wsf_http_next_field(a, &ours)) {
		if (!wsf_http_next_field(b, &theirs) || !same_text(ours.name, theirs.name) ||
		    !same_text(ours.value, theirs.value))
			return false;
	}
	return true;
}

/* From a copy that ends where the storage ends, so that a sanitizer sees a read behind it. */
static int feed_part(struct wsf_http *http, const char *in, size_t size, struct result *result)
{
	char *copy = malloc(size + 1), *part = copy + 1;
	size_t used = 12345;

	if (copy == NULL)
		ck_abort_msg("out of memory");
	memcpy(part, in, size);
	result->rv = wsf_http_feed(http, part, size, &used, &result->reason);
	free(copy);
	if (used > size || (result->rv == 0 && used != size))
		ck_abort_msg("%zu of %zu bytes used: \"%.*s\"", used, size, (int)size, in);
	result->used += used;
	return result->rv;
}

/* Fed in two parts at cut; with cut 0 whole; with cut -1 one byte at a time. */
static struct result feed_cut(struct wsf_http *http, enum wsf_http_kind kind, size_t limit, const char *in, size_t size,
    long cut)
{
	struct result result = {0, 0, NULL};

	wsf_http_init(http, kind, limit);
	if (cut < 0) {
		for (size_t i = 0; i < size && feed_part(http, in + i, 1, &result) == 0; i++)
			;
	} else if (feed_part(http, in, cut == 0 ? size : (size_t)cut, &result) == 0 && cut > 0) {
		feed_part(http, in + cut, size - (size_t)cut, &result);
	}
	return result;
}

/* Feeds the text whole, split at each place, and bytewise; all must agree. http is left complete where the text is. */
static int parse_bytes(struct wsf_http *http, enum wsf_http_kind kind, size_t limit, const char *in, size_t size,
    size_t *used, const char **reason)
{
	struct result whole = feed_cut(http, kind, limit, in, size, 0);

	for (long cut = -1; cut < (long)size; cut += cut < 0 ? 2 : 1) {
		struct wsf_http other;
		struct result result = feed_cut(&other, kind, limit, in, size, cut);

		if (result.rv != whole.rv || result.used != whole.used || !same_text(result.reason, whole.reason) ||
		    !same_block(&other, http))
			ck_abort_msg("cut at %ld: %d, %zu bytes of \"%s\"", cut, result.rv, result.used, in);
		wsf_http_clear(&other);
	}
	*used = whole.used;
	*reason = whole.reason;
	if (whole.rv < 0)
		ck_assert(whole.reason != NULL && *whole.reason != '\0' && strpbrk(whole.reason, "\r\n") == NULL);
	return whole.rv;
}

static void parse_good(struct wsf_http *http, enum wsf_http_kind kind, const char *text)
{
	const char *reason = NULL;
	size_t used;
	int rv = parse_bytes(http, kind, LIMIT, text, strlen(text), &used, &reason);

	ck_assert_msg(rv == 1, "%d, %s: \"%s\"", rv, reason != NULL ? reason : "", text);
	ck_assert_uint_eq(used, strlen(text));
}

/* The text is refused with rv, and no byte behind bad_at is needed for that. */
static void assert_refused(enum wsf_http_kind kind, size_t limit, const char *text, size_t size, size_t bad_at,
    int want)
{
	struct wsf_http http;
	const char *reason = NULL;
	size_t used;
	int rv = parse_bytes(&http, kind, limit, text, bad_at, &used, &reason);

	ck_assert_msg(rv == 0, "refused before byte %zu: \"%s\"", bad_at, text);
	wsf_http_clear(&http);
	rv = parse_bytes(&http, kind, limit, text, size, &used, &reason);
	ck_assert_msg(rv == want, "%d, %s: \"%s\"", rv, reason != NULL ? reason : "", text);
	ck_assert_msg(used == bad_at, "refused at byte %zu, not %zu: \"%s\"", used, bad_at, text);
	wsf_http_clear(&http);
}

START_TEST(a_request_is_taken_apart)
{
	static const char *const names[] = {"Host", "X", "Empty", "Blank", "Outer", "x", "!#$%&'*+-.^_`|~09Az"};
	struct wsf_http_field field = { 0 };
	struct wsf_http http;

	parse_good(&http, WSF_HTTP_REQUEST, "GET /a?b HTTP/1.1\r\nHost: h\r\nX:y\r\nEmpty:\r\nBlank: \t \r\n"
	    "Outer:\t  in ner\tvalue \t\r\nx: again: \"\xc3\xa9\x80\"\r\n!#$%&'*+-.^_`|~09Az: 1\r\n\r\n");
	ck_assert_str_eq(wsf_http_method(&http), "GET");
	ck_assert_str_eq(wsf_http_target(&http), "/a?b");
	ck_assert_int_eq(http.minor_version, 1);
	ck_assert_uint_eq(http.field_count, 7);
	for (unsigned i = 0; i < COUNT(names); i++) {
		ck_assert(wsf_http_next_field(&http, &field));
		ck_assert_str_eq(field.name, names[i]);
		ck_assert_uint_eq(field.number, i + 1);
	}
	ck_assert(!wsf_http_next_field(&http, &field));
	ck_assert_str_eq(wsf_http_field(&http, "host"), "h");
	ck_assert_str_eq(wsf_http_field(&http, "X"), "y");
	ck_assert_uint_eq(wsf_http_field_count(&http, "X"), 2);
	ck_assert_str_eq(wsf_http_field_at(&http, "X", 1), "again: \"\xc3\xa9\x80\"");
	ck_assert_str_eq(wsf_http_field(&http, "EMPTY"), "");
	ck_assert_str_eq(wsf_http_field(&http, "blank"), "");
	ck_assert_str_eq(wsf_http_field(&http, "outer"), "in ner\tvalue");
	ck_assert_str_eq(wsf_http_field(&http, "!#$%&'*+-.^_`|~09aZ"), "1");
	ck_assert_ptr_null(wsf_http_field(&http, "Hos"));
	ck_assert_ptr_null(wsf_http_field(&http, "Hostt"));
	ck_assert_uint_eq(wsf_http_field_count(&http, "nothing"), 0);
	wsf_http_clear(&http);
	ck_assert_ptr_null(wsf_http_field(&http, "host"));
	wsf_http_clear(&http);
	wsf_http_clear(NULL);
}
END_TEST

START_TEST(good_start_lines_are_understood)
{
	static const struct {
		enum wsf_http_kind kind;
		const char *text, *method, *target;
		int status;
		const char *phrase;
		int minor;
	} cases[] = {
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1\r\n\r\n", "GET", "/", 0, NULL, 1},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.0\r\n\r\n", "GET", "/", 0, NULL, 0},
		{WSF_HTTP_REQUEST, "get * HTTP/1.9\r\n\r\n", "get", "*", 0, NULL, 9},
		{WSF_HTTP_REQUEST, "CONNECT h:1 HTTP/1.1\r\n\r\n", "CONNECT", "h:1", 0, NULL, 1},
		{WSF_HTTP_REQUEST, "M-SEARCH http://h/~ HTTP/1.1\r\n\r\n", "M-SEARCH", "http://h/~", 0, NULL, 1},
		{WSF_HTTP_RESPONSE, SWITCHING END, NULL, NULL, 101, "Switching Protocols", 1},
		{WSF_HTTP_RESPONSE, "HTTP/1.0 200 OK\r\n\r\n", NULL, NULL, 200, "OK", 0},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 404 \r\n\r\n", NULL, NULL, 404, "", 1},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 500\r\n\r\n", NULL, NULL, 500, "", 1},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 999 a\tb \xe9\r\n\r\n", NULL, NULL, 999, "a\tb \xe9", 1},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct wsf_http http;

		parse_good(&http, cases[i].kind, cases[i].text);
		ck_assert_pstr_eq(wsf_http_method(&http), cases[i].method);
		ck_assert_pstr_eq(wsf_http_target(&http), cases[i].target);
		ck_assert_int_eq(http.status, cases[i].status);
		ck_assert_pstr_eq(wsf_http_phrase(&http), cases[i].phrase);
		ck_assert_int_eq(http.minor_version, cases[i].minor);
		ck_assert_uint_eq(http.field_count, 0);
		wsf_http_clear(&http);
	}
}
END_TEST

START_TEST(a_malformed_block_is_refused_at_its_first_bad_byte)
{
	static const struct {
		enum wsf_http_kind kind;
		const char *good, *bad;
	} cases[] = {
		/* start lines */
		{WSF_HTTP_REQUEST, "", "\r\nGET / HTTP/1.1\r\n\r\n"},
		{WSF_HTTP_REQUEST, "", " GET / HTTP/1.1\r\n\r\n"},
		{WSF_HTTP_REQUEST, "", "\nGET"},
		{WSF_HTTP_REQUEST, "GET", "\t/ HTTP/1.1\r\n\r\n"},
		{WSF_HTTP_REQUEST, "GET", "\r\n\r\n"},
		{WSF_HTTP_REQUEST, "GET", "\n"},
		{WSF_HTTP_REQUEST, "G", "(T / HTTP/1.1\r\n"},
		{WSF_HTTP_REQUEST, "GET ", " / HTTP/1.1\r\n\r\n"},
		{WSF_HTTP_REQUEST, "GET /", "\r\n\r\n"},
		{WSF_HTTP_REQUEST, "GET /", "\xc3\xa9 HTTP/1.1\r\n"},
		{WSF_HTTP_REQUEST, "GET / ", " HTTP/1.1\r\n"},
		{WSF_HTTP_REQUEST, "GET /a ", "b HTTP/1.1\r\n"},
		{WSF_HTTP_REQUEST, "GET / ", "http/1.1\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/", "2.0\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/", "0.9\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1", "\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.", "x\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1", "1\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1", " \r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1", "\nHost: h\n\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1\r", "Host: h\r\n"},
		{WSF_HTTP_REQUEST, "GET / HTTP/1.1\r", "\r\n"},
		{WSF_HTTP_RESPONSE, "", "\r\nHTTP/1.1 101\r\n\r\n"},
		{WSF_HTTP_RESPONSE, "H", "ttp/1.1 101 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/", "2 200\r\n\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1", "\t101 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1", "\r\n\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 ", " 101 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 ", "099 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 ", "-10 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 10", " x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 101", "1 x\r\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 101", "\n\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 101 x", "\n\n"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 101 x\r", "y\r\n"},
		/* other protocols */
		{WSF_HTTP_REQUEST, "PRI * HTTP/", "2.0\r\n\r\nSM\r\n\r\n"},
		{WSF_HTTP_REQUEST, "", "\x16\x03\x01\x02\x01\x01\x01\xfd\x03\x03"},	/* a TLS ClientHello */
		{WSF_HTTP_RESPONSE, "", "\x15\x03\x03\x02\x02\x28"},			/* a TLS alert */
		{WSF_HTTP_REQUEST, "SSH-2.0-OpenSSH_9.2", "\r\n"},
		{WSF_HTTP_RESPONSE, "", "SSH-2.0-OpenSSH_9.2\r\n"},
		{WSF_HTTP_RESPONSE, "", "220 mail.example.org ESMTP\r\n"},
		{WSF_HTTP_RESPONSE, "", "<html>\r\n"},
		{WSF_HTTP_REQUEST, "", "\x82\x05hello"},
		/* fields, in both directions */
		{WSF_HTTP_REQUEST, GET HOST, " folded: x\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET HOST, "\tfolded\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET, " Host: h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET, "\nHost: h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "Host", " : h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "Host", "\t: h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "Host", "\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "Host", "\n\r\n"},
		{WSF_HTTP_REQUEST, GET, ": h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET, "(x): h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET, "\xc3\xa9: h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "H", "\xc3\xa9: h\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "X: a", "\nY: b\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "X: a\r", "Y: b\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "X: a\r", "\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "X:\r", " a\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET "X: a", "\x7f\r\n\r\n"},
		{WSF_HTTP_REQUEST, GET HOST "\r", "\r\n"},
		{WSF_HTTP_REQUEST, GET HOST "\r", "X: a\r\n"},
		{WSF_HTTP_REQUEST, GET HOST, "\n"},
		{WSF_HTTP_RESPONSE, SWITCHING UPGRADE, " folded\r\n\r\n"},
		{WSF_HTTP_RESPONSE, SWITCHING, "\tfolded\r\n\r\n"},
		{WSF_HTTP_RESPONSE, SWITCHING "Upgrade", " : x\r\n\r\n"},
		{WSF_HTTP_RESPONSE, SWITCHING, ": x\r\n\r\n"},
		{WSF_HTTP_RESPONSE, SWITCHING "X: a", "\n\n"},
		{WSF_HTTP_RESPONSE, SWITCHING "X: a\r", "b"},
		{WSF_HTTP_RESPONSE, SWITCHING, "\n"},
		{WSF_HTTP_RESPONSE, SWITCHING "\r", "x"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = format("%s%s", cases[i].good, cases[i].bad);

		assert_refused(cases[i].kind, LIMIT, text, strlen(text), strlen(cases[i].good), -EPROTO);
		free(text);
	}
}
END_TEST

/* Every byte value, NUL among them, at a place where only some may stand. */
START_TEST(each_byte_is_allowed_only_where_rfc_9112_has_it)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const struct {
		enum wsf_http_kind kind;
		const char *before, *behind;
		const char *set;	/* allowed, or NULL: from first to 126, */
		unsigned first;
		bool tab, high;		/* and a tab, and 128 to 255 */
		const char *also;	/* ends the part: what follows then is judged elsewhere */
	} places[] = {
		{WSF_HTTP_REQUEST, "G", "T / HTTP/1.1\r\n\r\n", token, 0, false, false, " "},
		{WSF_HTTP_REQUEST, "GET /", "x HTTP/1.1\r\n\r\n", NULL, '!', false, false, " "},
		{WSF_HTTP_REQUEST, GET "X", "y: z\r\n\r\n", token, 0, false, false, ":"},
		{WSF_HTTP_REQUEST, GET, "y: z\r\n\r\n", token, 0, false, false, "\r"},
		{WSF_HTTP_REQUEST, GET "X: a", "b\r\n\r\n", NULL, ' ', true, true, "\r"},
		{WSF_HTTP_RESPONSE, "HTTP/1.1 200 a", "b\r\n\r\n", NULL, ' ', true, true, "\r"},
		{WSF_HTTP_RESPONSE, SWITCHING "X", "y: z\r\n\r\n", token, 0, false, false, ":"},
		{WSF_HTTP_RESPONSE, SWITCHING "X: a", "b\r\n\r\n", NULL, ' ', true, true, "\r"},
	};

	for (size_t i = 0; i < COUNT(places); i++) {
		for (unsigned byte = 0; byte < 256; byte++) {
			char *text = format("%s*%s", places[i].before, places[i].behind);
			size_t at = strlen(places[i].before), size = strlen(text);
			struct wsf_http http;
			const char *reason;
			size_t used;
			bool allowed;

			text[at] = (char)byte;
			if (places[i].set != NULL)
				allowed = byte != 0 && strchr(places[i].set, (int)byte) != NULL;
			else
				allowed = (byte >= places[i].first && byte < 127) || (byte == '\t' && places[i].tab) ||
				    (byte > 127 && places[i].high);
			if (byte == (unsigned char)*places[i].also)
				allowed = true;
			if (!allowed) {
				assert_refused(places[i].kind, LIMIT, text, size, at, -EPROTO);
			} else if (byte != (unsigned char)*places[i].also) {
				int rv = parse_bytes(&http, places[i].kind, LIMIT, text, size, &used, &reason);

				ck_assert_int_eq(rv, 1);
				ck_assert_uint_eq(used, size);
				wsf_http_clear(&http);
			}
			free(text);
		}
	}
}
END_TEST

START_TEST(a_refusal_names_the_fault)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"\x16\x03\x01", "not an HTTP/1.1 start line"},
		{"GET / HTTP/2.0", "not an HTTP/1.1 start line"},
		{GET HOST " x", "folded"},
		{GET "Host : h", "space"},
		{GET ": h", "without a name"},
		{GET "(", "bad character in the name"},
		{GET "X(", "bad character in the name"},
		{GET "X: \x01", "control character"},
		{GET "X: a\n", "control character"},
		{GET "X: a\rb", "CR without its LF"},
		{GET "\rb", "CR without its LF"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct wsf_http http;
		const char *reason = NULL, *text = cases[i].text;
		size_t used;
		int rv = parse_bytes(&http, WSF_HTTP_REQUEST, LIMIT, text, strlen(text), &used, &reason);

		ck_assert_int_eq(rv, -EPROTO);
		ck_assert_msg(strstr(reason, cases[i].reason) != NULL, "%s: %s", reason, text);
		wsf_http_clear(&http);
	}
}
END_TEST

START_TEST(an_unfinished_block_asks_for_more)
{
	static const char *const texts[] = {"", "G", "GET ", "GET / HTTP/1.1\r", GET, GET "H", GET "Host:",
	    GET HOST, GET HOST "\r"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct wsf_http http;
		const char *reason;
		size_t used;
		int rv = parse_bytes(&http, WSF_HTTP_REQUEST, LIMIT, texts[i], strlen(texts[i]), &used, &reason);

		ck_assert_int_eq(rv, 0);
		ck_assert(!http.complete);
		ck_assert_ptr_null(wsf_http_field(&http, "Host"));
		ck_assert_uint_eq(wsf_http_field_count(&http, "Host"), 0);
		ck_assert(!wsf_http_has_token(&http, "Host", "example.org"));
		wsf_http_clear(&http);
	}
}
END_TEST

START_TEST(not_one_byte_behind_the_block_is_taken)
{
	static const char tail[] = "\r\n\x82\x05hello";
	static const struct {
		enum wsf_http_kind kind;
		const char *block;
	} cases[] = {{WSF_HTTP_REQUEST, GET HOST END}, {WSF_HTTP_RESPONSE, SWITCHING UPGRADE END}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = format("%s%s", cases[i].block, tail);
		struct wsf_http http;
		const char *reason;
		size_t used;

		ck_assert_int_eq(parse_bytes(&http, cases[i].kind, LIMIT, text, strlen(text), &used, &reason), 1);
		ck_assert_uint_eq(used, strlen(cases[i].block));
		ck_assert_int_eq(wsf_http_feed(&http, tail, strlen(tail), &used, &reason), 1);
		ck_assert_uint_eq(used, 0);
		ck_assert_uint_eq(http.field_count, 1);
		wsf_http_clear(&http);
		free(text);
	}
}
END_TEST

START_TEST(a_refusal_is_final)
{
	struct wsf_http http;
	const char *first = NULL, *second = NULL;
	size_t used;

	wsf_http_init(&http, WSF_HTTP_REQUEST, LIMIT);
	ck_assert_int_eq(wsf_http_feed(&http, GET " x", strlen(GET) + 2, &used, &first), -EPROTO);
	ck_assert_int_eq(wsf_http_feed(&http, HOST END, strlen(HOST END), &used, &second), -EPROTO);
	ck_assert_uint_eq(used, 0);
	ck_assert_str_eq(first, second);
	ck_assert(!http.complete);
	wsf_http_clear(&http);
}
END_TEST

START_TEST(a_block_of_the_limit_is_taken_and_one_byte_more_is_not)
{
	static const char text[] = GET HOST END;
	size_t size = strlen(text);
	struct wsf_http http;
	const char *reason;
	size_t used;

	ck_assert_int_eq(parse_bytes(&http, WSF_HTTP_REQUEST, size, text, size, &used, &reason), 1);
	wsf_http_clear(&http);
	for (size_t limit = 0; limit < size; limit++)
		assert_refused(WSF_HTTP_REQUEST, limit, text, size, limit, -EMSGSIZE);
}
END_TEST

START_TEST(a_part_without_end_is_refused_at_the_limit)
{
	static const struct {
		enum wsf_http_kind kind;
		const char *before;
	} cases[] = {{WSF_HTTP_REQUEST, ""}, {WSF_HTTP_REQUEST, "GET /"}, {WSF_HTTP_REQUEST, GET},
	    {WSF_HTTP_REQUEST, GET "X: "}, {WSF_HTTP_RESPONSE, "HTTP/1.1 101 "},
	    {WSF_HTTP_RESPONSE, SWITCHING}, {WSF_HTTP_RESPONSE, SWITCHING "X: "}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[600];
		size_t before = strlen(cases[i].before);

		memset(text, 'a', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		memcpy(text, cases[i].before, before);
		assert_refused(cases[i].kind, 512, text, sizeof(text) - 1, 512, -EMSGSIZE);
	}
}
END_TEST

START_TEST(a_block_larger_than_the_first_storage_arrives_whole)
{
	size_t value_bytes = 1000000;
	char *value = malloc(value_bytes + 1), *text;
	struct wsf_http http;
	const char *reason;
	size_t used, at = 0;

	ck_assert_ptr_nonnull(value);
	for (size_t i = 0; i < value_bytes; i++)
		value[i] = (char)('a' + i % 26);
	value[value_bytes] = '\0';
	text = format("%sX: %s\r\n\r\n", GET HOST, value);
	wsf_http_init(&http, WSF_HTTP_REQUEST, 1048576);
	while (at < strlen(text)) {
		size_t size = strlen(text) - at < 1499 ? strlen(text) - at : 1499;

		ck_assert_int_ge(wsf_http_feed(&http, text + at, size, &used, &reason), 0);
		at += used;
		if (http.complete)
			break;
	}
	ck_assert(http.complete);
	ck_assert_str_eq(wsf_http_field(&http, "x"), value);
	ck_assert_str_eq(wsf_http_field(&http, "host"), "example.org");
	wsf_http_clear(&http);
	free(value);
	free(text);
}
END_TEST

START_TEST(as_many_fields_as_allowed_are_taken_and_one_more_is_not)
{
	char text[1024] = GET;
	size_t size = strlen(GET), used;
	struct wsf_http http;
	const char *reason;

	for (int i = 0; i < WSF_HTTP_MAX_FIELDS; i++, size += 4)
		memcpy(text + size, "a:\r\n", 4);
	memcpy(text + size, "\r\n", 3);
	ck_assert_int_eq(parse_bytes(&http, WSF_HTTP_REQUEST, LIMIT, text, size + 2, &used, &reason), 1);
	ck_assert_uint_eq(http.field_count, WSF_HTTP_MAX_FIELDS);
	wsf_http_clear(&http);
	memcpy(text + size, "a:\r\n\r\n", 7);
	assert_refused(WSF_HTTP_REQUEST, LIMIT, text, size + 6, size, -EMSGSIZE);
}
END_TEST

START_TEST(a_token_is_found_in_lists_whatever_their_commas_and_blanks)
{
	static const struct {
		const char *fields;
		bool found;
	} cases[] = {
		{"Connection: upgrade\r\n", true},
		{"connection: UpGrade\r\n", true},
		{"Connection: keep-alive, Upgrade\r\n", true},
		{"Connection: keep-alive,Upgrade,x\r\n", true},
		{"Connection: , ,\t,, upgrade ,\r\n", true},
		{"Connection:\tx\t,\tupgrade\t,y\r\n", true},
		{"Connection: ,upgrade\r\n", true},
		{"Connection: upgrade,\r\n", true},
		{"Connection: close\r\nX: y\r\nConnection: upgrade\r\n", true},
		{"", false},
		{"Connection:\r\n", false},
		{"Connection: ,\r\n", false},
		{"Connection: ,,, , \r\n", false},
		{"Connection: upgrad\r\n", false},
		{"Connection: upgrades\r\n", false},
		{"Connection: xupgrade\r\n", false},
		{"Connection: up grade\r\n", false},
		{"Connection: up,grade\r\n", false},
		{"Connection: upgrade x\r\n", false},
		{"Connection: upgrade;x\r\n", false},
		{"Connection: \"upgrade\"\r\n", false},
		{"Connection: up\r\nConnection: grade\r\n", false},
		{"X: upgrade\r\n", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = format("%s%s%s", GET, cases[i].fields, END);
		struct wsf_http http;
		bool found;

		parse_good(&http, WSF_HTTP_REQUEST, text);
		found = wsf_http_has_token(&http, "Connection", "upgrade");
		ck_assert_msg(found == cases[i].found, "%s", cases[i].fields);
		ck_assert(!wsf_http_has_token(&http, "Connection", ""));
		wsf_http_clear(&http);
		free(text);
	}
}
END_TEST

START_TEST(what_could_inject_a_header_is_no_value_token_or_line)
{
	static const struct {
		const char *text;
		bool value, token, line;
	} cases[] = {
		{NULL, false, false, false},
		{"", true, false, false},
		{"abc", true, true, false},
		{"!#$%&'*+-.^_`|~09azAZ", true, true, false},
		{"a b", true, false, false},
		{"a\tb", true, false, false},
		{" a", false, false, false},
		{"a ", false, false, false},
		{"\ta", false, false, false},
		{"a\t", false, false, false},
		{" ", false, false, false},
		{"\xc3\xa9", true, false, false},
		{"a,b", true, false, false},
		{"a/b", true, false, false},
		{"a\"b", true, false, false},
		{"a(b", true, false, false},
		{"Name: value", true, false, true},
		{"Name:value", true, false, true},
		{"Name:", true, false, true},
		{"Name: \xc3\xa9 a\tb:c", true, false, true},
		{"Name: value ", false, false, true},
		{"Name : value", true, false, false},
		{" Name: value", false, false, false},
		{"\tName: value", false, false, false},
		{": value", true, false, false},
		{"Na me: value", true, false, false},
		{"N\xc3\xa9: value", true, false, false},
		{"Name: value\r\nEvil: x", false, false, false},
		{"Name: value\r\n", false, false, false},
		{"Name: value\n", false, false, false},
		{"Name: value\r", false, false, false},
		{"Name\r\n: value", false, false, false},
		{"Name: a\nb", false, false, false},
		{"Name: a\rb", false, false, false},
		{"Name: a\x01", false, false, false},
		{"Name: a\x1b[m", false, false, false},
		{"Name: a\x7f", false, false, false},
		{"a\r", false, false, false},
		{"a\n", false, false, false},
		{"a\x7f", false, false, false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *shown = cases[i].text != NULL ? cases[i].text : "NULL";

		ck_assert_msg(wsf_http_value_valid(cases[i].text) == cases[i].value, "value \"%s\"", shown);
		ck_assert_msg(wsf_http_token_valid(cases[i].text) == cases[i].token, "token \"%s\"", shown);
		ck_assert_msg(wsf_http_line_valid(cases[i].text) == cases[i].line, "line \"%s\"", shown);
	}
}
END_TEST

START_TEST(fields_of_the_handshake_are_reserved)
{
	static const char *const reserved[] = {"Host: x", "host:x", "UPGRADE: x", "Connection: x", "Origin: x",
	    "User-Agent: x", "Content-Length: 0", "Transfer-Encoding: chunked", "Trailer: x", "TE: x",
	    "Sec-WebSocket-Key: x", "sec-websocket-accept: x", "Sec-WebSocket-Version:", "SEC-WEBSOCKET-PROTOCOL: x",
	    "Sec-WebSocket-Extensions: x", "Sec-WebSocket-Anything: x", "Host", "Host : x"};
	static const char *const free_to_use[] = {"Authorization: x", "Cookie: Host: x", "X-Host: x", "Hosts: x",
	    "Hos: x", "Sec-WebSocke: x", "Sec-Fetch-Mode: x", "X: Sec-WebSocket-Key: y", "Server: x", "T: x",
	    "TEA: x", ""};

	for (size_t i = 0; i < COUNT(reserved); i++)
		ck_assert_msg(wsf_http_line_reserved(reserved[i]), "%s", reserved[i]);
	for (size_t i = 0; i < COUNT(free_to_use); i++)
		ck_assert_msg(!wsf_http_line_reserved(free_to_use[i]), "%s", free_to_use[i]);
}
END_TEST

START_TEST(an_answer_is_judged_by_rfc_6455)
{
	static const char *const offered[] = {"chat", "superchat", NULL}, *const none[] = {NULL};
	static const struct {
		const char *text;
		const char *const *offered;
		int rv;
		const char *subprotocol, *reason;
	} cases[] = {
		{ACCEPTED END, NULL, 0, NULL, ""},
		{ACCEPTED END, offered, 0, NULL, ""},
		{"HTTP/1.1 101\r\nupgrade:WebSocket\r\nCONNECTION: x , upGRADE\r\nsec-websocket-accept:\t" ACCEPT_VALUE
		    " \r\nX: y\r\n\r\n", none, 0, NULL, ""},
		{ACCEPTED "Sec-WebSocket-Protocol: chat\r\n\r\n", offered, 0, "chat", ""},
		{ACCEPTED "sec-websocket-protocol:superchat\r\n\r\n", offered, 0, "superchat", ""},
		/* upgrade and connection */
		{"HTTP/1.0 101 x\r\n" UPGRADE CONNECTION ACCEPT END, NULL, -EPROTO, NULL, "HTTP/1.0"},
		{SWITCHING CONNECTION ACCEPT END, NULL, -EPROTO, NULL, "Upgrade: websocket"},
		{SWITCHING UPGRADE UPGRADE CONNECTION ACCEPT END, NULL, -EPROTO, NULL, "Upgrade: websocket"},
		{SWITCHING "Upgrade: h2c\r\n" CONNECTION ACCEPT END, NULL, -EPROTO, NULL, "Upgrade: websocket"},
		{SWITCHING "Upgrade: websocket, h2c\r\n" CONNECTION ACCEPT END, NULL, -EPROTO, NULL,
		    "Upgrade: websocket"},
		{SWITCHING "Upgrade:\r\n" CONNECTION ACCEPT END, NULL, -EPROTO, NULL, "Upgrade: websocket"},
		{SWITCHING UPGRADE ACCEPT END, NULL, -EPROTO, NULL, "Connection: Upgrade"},
		{SWITCHING UPGRADE "Connection: close\r\n" ACCEPT END, NULL, -EPROTO, NULL, "Connection: Upgrade"},
		/* the accept value */
		{UPGRADED END, NULL, -EPROTO, NULL, "no Sec-WebSocket-Accept"},
		{ACCEPTED ACCEPT END, NULL, -EPROTO, NULL, "more than one Sec-WebSocket-Accept"},
		{UPGRADED "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", NULL, -EPROTO, NULL,
		    "Accept is wrong"},
		{UPGRADED "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n", NULL, -EPROTO,
		    NULL, "Accept is wrong"},
		{UPGRADED "Sec-WebSocket-Accept: " ACCEPT_VALUE "x\r\n\r\n", NULL, -EPROTO, NULL,
		    "Accept is wrong"},
		{UPGRADED "Sec-WebSocket-Accept:\r\n\r\n", NULL, -EPROTO, NULL, "Accept is wrong"},
		{SWITCHING UPGRADE "Connection: Upgrade, @\r\n" ACCEPT END, NULL, -EPROTO, NULL, "is malformed"},
		/* what would be a body */
		{ACCEPTED "Content-Length: 0\r\n\r\n", NULL, 0, NULL, ""},
		{ACCEPTED "Content-Length: 5\r\n\r\n", NULL, -EPROTO, NULL, "a body"},
		{ACCEPTED "Transfer-Encoding: chunked\r\n\r\n", NULL, -EPROTO, NULL, "a body"},
		/* extensions are judged elsewhere */
		{ACCEPTED "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", NULL, 0, NULL, ""},
		/* subprotocols */
		{ACCEPTED "Sec-WebSocket-Protocol: chat\r\n\r\n", NULL, -EPROTO, NULL,
		    "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol: chat\r\n\r\n", none, -EPROTO, NULL,
		    "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol: other\r\n\r\n", offered, -EPROTO, NULL,
		    "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol: Chat\r\n\r\n", offered, -EPROTO, NULL,
		    "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n", offered, -EPROTO,
		    NULL, "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol:\r\n\r\n", offered, -EPROTO, NULL, "not offered"},
		{ACCEPTED "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n\r\n", offered,
		    -EPROTO, NULL, "more than one subprotocol"},
		/* other statuses, whatever the fields */
		{"HTTP/1.1 401 Unauthorized\r\n\r\n", NULL, -EACCES, NULL, "answered 401 Unauthorized"},
		{"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"staff\"\r\n\r\n", NULL, -EACCES, NULL,
		    "answered 401 Unauthorized (realm \"staff\")"},
		{"HTTP/1.1 401\r\nWWW-Authenticate: Basic realm=\"a\tb\xe9\"\r\n\r\n", NULL, -EACCES, NULL,
		    "answered 401 (realm \"a?b?\")"},
		{"HTTP/1.1 403 Forbidden\r\n\r\n", NULL, -EACCES, NULL, "answered 403 Forbidden"},
		{"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=out\r\n\r\n", NULL, -EACCES, NULL,
		    "answered 407 x (realm \"out\")"},
		{"HTTP/1.1 200 OK\r\n" UPGRADE CONNECTION ACCEPT END, NULL, -ECONNABORTED, NULL, "answered 200 OK"},
		{"HTTP/1.0 301 Moved\r\nLocation: /\r\n\r\n", NULL, -ECONNABORTED, NULL,
		    "answered 301 Moved, a redirect"},
		{"HTTP/1.1 399\r\n\r\n", NULL, -ECONNABORTED, NULL, "answered 399, a redirect"},
		{"HTTP/1.1 404 Not Found\r\n\r\n", NULL, -ECONNABORTED, NULL, "answered 404 Not Found"},
		{"HTTP/1.1 500\r\n\r\n", NULL, -ECONNABORTED, NULL, "answered 500"},
		{"HTTP/1.1 100 Continue\r\n\r\n", NULL, -ECONNABORTED, NULL, "answered 100"},
		{"HTTP/1.1 503 a\tb\xe9\r\n\r\n", NULL, -ECONNABORTED, NULL, "answered 503 a?b?"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *subprotocol = "?";
		char reason[200] = "";
		struct wsf_http http;
		int rv;

		parse_good(&http, WSF_HTTP_RESPONSE, cases[i].text);
		rv = wsf_http_check_answer(&http, ACCEPT_VALUE, cases[i].offered, &subprotocol, reason, sizeof(reason));
		ck_assert_msg(rv == cases[i].rv, "%d, %s: %s", rv, reason, cases[i].text);
		ck_assert_pstr_eq(subprotocol, cases[i].subprotocol);
		ck_assert_msg(strstr(reason, cases[i].reason) != NULL, "%s: %s", reason, cases[i].text);
		wsf_http_clear(&http);
	}
}
END_TEST

START_TEST(a_long_phrase_is_cut_to_the_reason)
{
	char reason[40], *text = format("HTTP/1.1 500 %0300d\r\n\r\n", 0);
	const char *subprotocol;
	struct wsf_http http;

	parse_good(&http, WSF_HTTP_RESPONSE, text);
	ck_assert_int_eq(wsf_http_check_answer(&http, "", NULL, &subprotocol, reason, sizeof(reason)), -ECONNABORTED);
	ck_assert_uint_eq(strlen(reason), sizeof(reason) - 1);
	ck_assert_int_eq(wsf_http_check_answer(&http, "", NULL, &subprotocol, NULL, 0), -ECONNABORTED);
	wsf_http_clear(&http);
	free(text);
}
END_TEST

START_TEST(a_long_phrase_leaves_room_for_the_realm)
{
	char reason[160], *text = format("HTTP/1.1 401 %0300d\r\nWWW-Authenticate: Basic realm=\"%080d\"\r\n\r\n",
	    0, 0);
	const char *subprotocol;
	struct wsf_http http;

	parse_good(&http, WSF_HTTP_RESPONSE, text);
	ck_assert_int_eq(wsf_http_check_answer(&http, "", NULL, &subprotocol, reason, sizeof(reason)), -EACCES);
	ck_assert_ptr_nonnull(strstr(reason, "000 (realm \"000"));
	ck_assert_str_eq(reason + strlen(reason) - 4, "00\")");
	wsf_http_clear(&http);
	free(text);
}
END_TEST

/* Judges the text under the rules; the status must be as wanted. */
static void assert_status(const char *text, const struct wsf_http_rules *rules, int want, const char *subprotocol)
{
	const char *chosen = "?", *reason = NULL;
	struct wsf_http http;
	int status;

	parse_good(&http, WSF_HTTP_REQUEST, text);
	status = wsf_http_check_request(&http, rules, &chosen, &reason);
	ck_assert_msg(status == want, "%d, %s: %s", status, reason, text);
	ck_assert_pstr_eq(chosen, subprotocol);
	ck_assert_ptr_nonnull(reason);
	ck_assert((*reason == '\0') == (want == 101));
	wsf_http_clear(&http);
}

START_TEST(a_request_is_judged_by_rfc_6455)
{
	static const struct wsf_http_rules rules = {NULL, NULL, NULL};
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{GET HOST UPGRADE CONNECTION KEY VERSION END, 101},
		{"GET / HTTP/1.1\r\nhost:h:80\r\nUPGRADE: h2c , WebSocket\r\nconnection:keep-alive,upgrade\r\n"
		    "sec-websocket-version:\t13 \r\nSEC-WEBSOCKET-KEY:AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", 101},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 0\r\n\r\n", 101},
		{"GET //x?y HTTP/1.2\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 101},
		/* 405 */
		{"POST /chat HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 405},
		{"get /chat HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 405},
		{"HEAD / HTTP/1.1\r\n" HOST END, 405},
		{"CONNECT h:80 HTTP/1.1\r\n" HOST END, 405},
		/* 400: the request itself */
		{"GET /chat HTTP/1.0\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{"GET http://h/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{"GET * HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{"GET chat HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{"GET /#a HTTP/1.1\r\n" HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{GET UPGRADE CONNECTION KEY VERSION END, 400},
		{GET HOST HOST UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host:\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: a b\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: a/b\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: u@h\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h:65536\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h:x\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: [::1\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: []\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: [:::]\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: [1:2:3:4:5:6:7:8:9]\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: [127.0.0.1]\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h%4\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h%zz\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h%2\r\n" UPGRADE CONNECTION KEY VERSION END, 400},
		{GET "Host: h%c3%A9\r\n" UPGRADE CONNECTION KEY VERSION END, 101},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 1\r\n\r\n", 400},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Content-Length:\r\n\r\n", 400},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
		{GET HOST UPGRADE CONNECTION KEY VERSION "Transfer-Encoding: chunked\r\n\r\n", 400},
		/* 400: the key */
		{GET HOST UPGRADE CONNECTION VERSION END, 400},
		{GET HOST UPGRADE CONNECTION KEY KEY VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key:\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==x\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAA==\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAA AAAAAAAAAAA==\r\n" VERSION END, 400},
		{GET HOST UPGRADE CONNECTION "Sec-WebSocket-Key: AAAAAAAAAA-AAAAAAAAAAA==\r\n" VERSION END, 400},
		/* 400: lists */
		{GET HOST UPGRADE "Connection: Upgrade, @\r\n" KEY VERSION END, 400},
		{GET HOST UPGRADE "Connection: keep alive, Upgrade\r\n" KEY VERSION END, 400},
		{GET HOST UPGRADE "Connection: ,Upgrade ,\r\n" KEY VERSION END, 101},
		/* 426 */
		{GET HOST END, 426},
		{GET HOST CONNECTION KEY VERSION END, 426},
		{GET HOST UPGRADE KEY VERSION END, 426},
		{GET HOST "Upgrade: h2c\r\n" CONNECTION KEY VERSION END, 426},
		{GET HOST "Upgrade: web socket\r\n" CONNECTION KEY VERSION END, 426},
		{GET HOST UPGRADE "Connection: close\r\n" KEY VERSION END, 426},
		{GET HOST UPGRADE CONNECTION KEY END, 426},
		{GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426},
		{GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 130\r\n\r\n", 426},
		{GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", 426},
		{GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version:\r\n\r\n", 426},
		{GET HOST UPGRADE CONNECTION KEY VERSION VERSION END, 400},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_status(cases[i].text, &rules, cases[i].status, NULL);
}
END_TEST

START_TEST(a_malformed_list_is_a_bad_request)
{
	static const struct wsf_http_rules rules = {NULL, NULL, NULL};
	static const struct {
		const char *name, *value;
		bool valid;
	} cases[] = {
		{"Protocol", "a", true}, {"Protocol", ", a ,,\tb,", true}, {"Protocol", "", false},
		{"Protocol", ", ,", false}, {"Protocol", "a b", false}, {"Protocol", "a;b", false},
		{"Protocol", "a, \"b\"", false}, {"Protocol", "a\xc3\xa9", false}, {"Protocol", "a, b, a", false},
		{"Protocol", "a, A", true}, {"Protocol", "a\r\nSec-WebSocket-Protocol: a", false},
		{"Protocol", "a\r\nSec-WebSocket-Protocol: ", true},
		{"Extensions", "a", true}, {"Extensions", "a;b , c ; d = e;\tf=\"g\"", true},
		{"Extensions", "a; b=\"c\\d\"", true}, {"Extensions", ",a,", true}, {"Extensions", "", false},
		{"Extensions", ",", false}, {"Extensions", "a b", false}, {"Extensions", "a;", false},
		{"Extensions", ";a", false}, {"Extensions", "a;;b", false}, {"Extensions", "a; =b", false},
		{"Extensions", "a; b=", false}, {"Extensions", "a; b=\"\"", false},
		{"Extensions", "a; b=\"c d\"", false}, {"Extensions", "a; b=\"c,d\"", false},
		{"Extensions", "a; b=\"c", false}, {"Extensions", "a; b=\"c\\", false},
		{"Extensions", "a; b=\"c\\\"", false}, {"Extensions", "a; b=\"\\\"\"", false},
		{"Extensions", "a; b=c=d", false}, {"Extensions", "a; b=\"c\"d", false},
		{"Extensions", "a/b", false}, {"Extensions", "a, b;", false},
		{"Extensions", "a\r\nSec-WebSocket-Extensions: b c", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = format("%sSec-WebSocket-%s: %s\r\n\r\n", GET HOST UPGRADE CONNECTION KEY VERSION,
		    cases[i].name, cases[i].value);

		assert_status(text, &rules, cases[i].valid ? 101 : 400, NULL);
		free(text);
	}
}
END_TEST

/* Each is compared with each: so there is a limit. */
START_TEST(subprotocols_beyond_128_are_a_bad_request)
{
	static const struct wsf_http_rules rules = {NULL, NULL, NULL};
	char list[1024] = "", *text;

	for (int i = 0; i < 129; i++) {
		if (i >= 128 - 1) {
			text = format("%sSec-WebSocket-Protocol: %sx\r\n\r\n", GET HOST UPGRADE CONNECTION KEY VERSION,
			    list);
			assert_status(text, &rules, i == 128 - 1 ? 101 : 400, NULL);
			free(text);
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%d,", i);
	}
}
END_TEST

START_TEST(only_the_path_of_the_rules_is_served)
{
	static const struct {
		const char *path, *target;
		int status;
	} cases[] = {
		{NULL, "/", 101}, {NULL, "/any?x", 101}, {"/", "/", 101}, {"/", "/?q", 101}, {"/", "/a", 404},
		{"/chat", "/chat", 101}, {"/chat", "/chat?q=/x", 101}, {"/chat", "/chat/", 404},
		{"/chat", "/chatt", 404}, {"/chat", "/cha", 404}, {"/chat", "/", 404}, {"/chat", "/CHAT", 404},
		{"/chat", "/%63hat", 404}, {"/chat", "/?/chat", 404},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct wsf_http_rules rules = {cases[i].path, NULL, NULL};
		char *text = format("GET %s HTTP/1.1\r\n%s", cases[i].target, HOST UPGRADE CONNECTION KEY VERSION END);

		assert_status(text, &rules, cases[i].status, NULL);
		free(text);
	}
}
END_TEST

START_TEST(the_default_origin_is_that_of_the_host_header)
{
	static const struct wsf_http_rules rules = {NULL, NULL, NULL};
	static const struct {
		const char *host, *origin;
		bool same;
	} cases[] = {
		{"h", "http://h", true},
		{"h", "https://h", true},
		{"Example.ORG", "http://example.org", true},
		{"example.org", "HTTP://EXAMPLE.org", true},
		{"h:80", "http://h", true},
		{"h", "http://h:80", true},
		{"h:", "http://h:", true},
		{"h:443", "https://h", true},
		{"h", "https://h:443", true},
		{"h:8080", "http://h:8080", true},
		{"h:8080", "https://h:8080", true},
		{"127.0.0.1:9000", "http://127.0.0.1:9000", true},
		{"[::1]", "http://[::1]", true},
		{"[::1]:8080", "http://[::1]:8080", true},
		{"[::1]:443", "https://[::1]", true},
		{"[2001:db8::A]", "http://[2001:DB8::a]:80", true},
		{"h", "http://x", false},
		{"h", "http://hh", false},
		{"hh", "http://h", false},
		{"h", "http://h.evil.org", false},
		{"h", "http://evil.org/h", false},
		{"h", "http://h@evil.org", false},
		{"h", "http://evil@h", false},
		{"h", "http://h:8080", false},
		{"h:8080", "http://h", false},
		{"h:80", "https://h", false},
		{"h:443", "http://h", false},
		{"h", "http://h:443", false},
		{"h", "https://h:80", false},
		{"h", "http://h/", false},
		{"h", "http://h:80x", false},
		{"h", "http://h:65616", false},
		{"h", "http://h:4294967376", false},
		{"h", "http://", false},
		{"h", "http:h", false},
		{"h", "h", false},
		{"h", "//h", false},
		{"h", "", false},
		{"h", "null", false},
		{"null", "null", false},
		{"h", "*", false},
		{"h", "ftp://h", false},
		{"h", "chrome-extension://h", false},
		{"h", "http://h http://h", false},
		{"h", "http://h, http://h", false},
		{"[::1]:8080", "http://[::1]:8081", false},
		{"[::1]", "http://[::2]", false},
		{"[::1]", "http://::1", false},
		{"[::1]", "http://[::1", false},
		{"h", "http://h\xc3\xa9", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = format("%sHost: %s\r\nOrigin: %s\r\n%s", GET, cases[i].host, cases[i].origin,
		    UPGRADE CONNECTION KEY VERSION END);

		assert_status(text, &rules, cases[i].same ? 101 : 403, NULL);
		free(text);
	}
	assert_status(GET HOST "Origin: http://example.org\r\nOrigin: http://example.org\r\n"
	    UPGRADE CONNECTION KEY VERSION END, &rules, 403, NULL);
}
END_TEST

START_TEST(named_origins_are_the_only_ones_where_there_are_any)
{
	static const char *const any[] = {"*", NULL}, *const none[] = {NULL}, *const with_null[] = {"null", NULL};
	static const char *const two[] = {"https://example.com", "http://localhost:3000", NULL};
	static const struct {
		const char *const *allowed;
		const char *origin;	/* NULL = no such field */
		int status;
	} cases[] = {
		{any, "http://evil.org", 101}, {any, "null", 101}, {any, "", 101}, {any, NULL, 101},
		{none, "http://example.org", 403}, {none, NULL, 101}, {two, "https://example.com", 101},
		{two, "http://localhost:3000", 101}, {two, "HTTPS://Example.COM", 101}, {two, NULL, 101},
		{two, "http://example.com", 403}, {two, "https://example.com:443", 101},
		{two, "https://example.com.evil.org", 403}, {two, "https://example.co", 403}, {two, "null", 403},
		{two, "http://example.org", 403}, {two, "https://example.com http://localhost:3000", 403},
		{with_null, "null", 101}, {with_null, "http://example.org", 403},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct wsf_http_rules rules = {NULL, cases[i].allowed, NULL};
		const char *origin = cases[i].origin;
		char *text = format("%s%s%s%s%s", GET HOST, origin != NULL ? "Origin: " : "",
		    origin != NULL ? origin : "", origin != NULL ? "\r\n" : "", UPGRADE CONNECTION KEY VERSION END);

		assert_status(text, &rules, cases[i].status, NULL);
		free(text);
	}
}
END_TEST

START_TEST(the_subprotocol_is_the_servers_best_that_the_client_offers)
{
	static const char *const ours[] = {"v2", "v1", NULL}, *const none[] = {NULL};
	static const struct {
		const char *const *ours;
		const char *fields, *chosen;
	} cases[] = {
		{ours, "", NULL},
		{NULL, "Sec-WebSocket-Protocol: v1\r\n", NULL},
		{none, "Sec-WebSocket-Protocol: v1\r\n", NULL},
		{ours, "Sec-WebSocket-Protocol: v1\r\n", "v1"},
		{ours, "Sec-WebSocket-Protocol: v1, v2\r\n", "v2"},
		{ours, "Sec-WebSocket-Protocol: v1\r\nsec-websocket-protocol: x,v2\r\n", "v2"},
		{ours, "Sec-WebSocket-Protocol: ,\t,v1 ,, x\r\n", "v1"},
		{ours, "Sec-WebSocket-Protocol: v3, v\r\n", NULL},
		{ours, "Sec-WebSocket-Protocol: V1\r\n", NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct wsf_http_rules rules = {NULL, NULL, cases[i].ours};
		char *text = format("%s%s%s", GET HOST UPGRADE CONNECTION KEY VERSION, cases[i].fields, END);

		assert_status(text, &rules, 101, cases[i].chosen);
		free(text);
	}
}
END_TEST

/* A text of ours is what was wanted, its length is right, and it is whole for our own parser. */
static void assert_text(char *text, size_t size, enum wsf_http_kind kind, const char *want)
{
	const char *body = strstr(want, "\r\n\r\n") + 4, *reason = NULL;
	struct wsf_http http;
	size_t used;

	ck_assert_ptr_nonnull(text);
	ck_assert_str_eq(text, want);
	ck_assert_uint_eq(size, strlen(want));
	ck_assert_int_eq(parse_bytes(&http, kind, LIMIT, text, size, &used, &reason), 1);
	ck_assert_uint_eq(used, (size_t)(body - want));
	wsf_http_clear(&http);
	free(text);
}

START_TEST(an_upgrade_request_has_every_field_it_needs_and_no_other)
{
	static const char *const subprotocols[] = {"chat", "superchat", NULL}, *const none[] = {NULL};
	static const char *const headers[] = {"Authorization: Basic x", "X:y", NULL};
	static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
	const struct wsf_http_upgrade full = {"h:81", "/a?b", key, "http://o", "wsfile/1", subprotocols, NULL, NULL,
	    headers};
	const struct wsf_http_upgrade bare = {"example.org", "/chat", key, NULL, NULL, NULL, NULL, NULL, NULL};
	const struct wsf_http_upgrade empty = {"example.org", "/chat", key, "", "", none, NULL, "", none};
	size_t size;
	char *text = wsf_http_format_upgrade(&full, &size);

	assert_text(text, size, WSF_HTTP_REQUEST, "GET /a?b HTTP/1.1\r\nHost: h:81\r\n" UPGRADE CONNECTION KEY VERSION
	    "Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://o\r\nUser-Agent: wsfile/1\r\n"
	    "Authorization: Basic x\r\nX:y\r\n\r\n");
	text = wsf_http_format_upgrade(&bare, &size);
	assert_text(text, size, WSF_HTTP_REQUEST, GET HOST UPGRADE CONNECTION KEY VERSION END);
	text = wsf_http_format_upgrade(&empty, &size);
	assert_text(text, size, WSF_HTTP_REQUEST, GET HOST UPGRADE CONNECTION KEY VERSION END);
}
END_TEST

START_TEST(a_long_target_is_sent_whole)
{
	char *target = format("/%0100000d", 0);
	const struct wsf_http_upgrade upgrade = {"h", target, "k", NULL, NULL, NULL, NULL, NULL, NULL};
	size_t size;
	char *text = wsf_http_format_upgrade(&upgrade, &size);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert_int_eq(strncmp(text + 4, target, strlen(target)), 0);
	ck_assert_str_eq(text + size - 4, "\r\n\r\n");
	free(text);
	free(target);
}
END_TEST

START_TEST(our_own_request_and_answer_satisfy_each_other)
{
	static const char *const offered[] = {"a", "b", NULL}, *const served[] = {"b", NULL};
	static const char *const any_header[] = {"X-Server: 1", NULL};
	const struct wsf_http_upgrade upgrade = {"[::1]:8080", "/p", "dGhlIHNhbXBsZSBub25jZQ==", "http://[::1]:8080",
	    "u", offered, "Basic YTpi", "x; y=1", NULL};
	const struct wsf_http_rules rules = {"/p", NULL, served};
	const char *chosen;
	char reason[200], *text;
	struct wsf_http http;
	size_t size;

	text = wsf_http_format_upgrade(&upgrade, &size);
	assert_status(text, &rules, 101, "b");
	parse_good(&http, WSF_HTTP_REQUEST, text);
	ck_assert_str_eq(wsf_http_field(&http, "Authorization"), "Basic YTpi");
	ck_assert_str_eq(wsf_http_field(&http, "Sec-WebSocket-Extensions"), "x; y=1");
	wsf_http_clear(&http);
	free(text);
	text = wsf_http_format_accept(ACCEPT_VALUE, "b", "x; y", any_header, NULL, &size);
	parse_good(&http, WSF_HTTP_RESPONSE, text);
	ck_assert_int_eq(wsf_http_check_answer(&http, ACCEPT_VALUE, offered, &chosen, reason, sizeof(reason)), 0);
	ck_assert_str_eq(chosen, "b");
	ck_assert_str_eq(wsf_http_field(&http, "x-server"), "1");
	ck_assert_str_eq(wsf_http_field(&http, "Sec-WebSocket-Extensions"), "x; y");
	wsf_http_clear(&http);
	free(text);
	for (int i = 0; i < 2; i++) {
		text = wsf_http_format_accept(ACCEPT_VALUE, NULL, i == 0 ? NULL : "", NULL, NULL, &size);
		assert_text(text, size, WSF_HTTP_RESPONSE, SWITCHING UPGRADE CONNECTION ACCEPT END);
	}
}
END_TEST

START_TEST(a_refusal_says_why_and_what_would_do)
{
	static const struct {
		int status;
		const char *line, *more;
	} cases[] = {
		{400, "400 Bad Request", ""},
		{403, "403 Forbidden", ""},
		{404, "404 Not Found", ""},
		{405, "405 Method Not Allowed", "Allow: GET\r\n"},
		{408, "408 Request Timeout", ""},
		{426, "426 Upgrade Required", UPGRADE VERSION},
		{431, "431 Request Header Fields Too Large", ""},
		{503, "503 Service Unavailable", ""},
		{499, "499 Refused", ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *want = format("HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: text/plain\r\n"
		    "Content-Length: 9\r\n%s\r\nthe text\n", cases[i].line, cases[i].more);
		size_t size;
		char *text = wsf_http_format_refusal(cases[i].status, "the text", NULL, &size);

		assert_text(text, size, WSF_HTTP_RESPONSE, want);
		free(want);
	}
}
END_TEST

static Suite *http_suite(void)
{
	Suite *suite = suite_create("http");
	TCase *parse = tcase_create("parse"), *judge = tcase_create("judge"), *text = tcase_create("text");

	tcase_set_timeout(parse, 50);
	tcase_set_timeout(judge, 50);
	tcase_set_timeout(text, 50);
	tcase_add_test(parse, a_request_is_taken_apart);
	tcase_add_test(parse, good_start_lines_are_understood);
	tcase_add_test(parse, a_malformed_block_is_refused_at_its_first_bad_byte);
	tcase_add_test(parse, each_byte_is_allowed_only_where_rfc_9112_has_it);
	tcase_add_test(parse, a_refusal_names_the_fault);
	tcase_add_test(parse, an_unfinished_block_asks_for_more);
	tcase_add_test(parse, not_one_byte_behind_the_block_is_taken);
	tcase_add_test(parse, a_refusal_is_final);
	tcase_add_test(parse, a_block_of_the_limit_is_taken_and_one_byte_more_is_not);
	tcase_add_test(parse, a_part_without_end_is_refused_at_the_limit);
	tcase_add_test(parse, a_block_larger_than_the_first_storage_arrives_whole);
	tcase_add_test(parse, as_many_fields_as_allowed_are_taken_and_one_more_is_not);
	tcase_add_test(parse, a_token_is_found_in_lists_whatever_their_commas_and_blanks);
	tcase_add_test(judge, what_could_inject_a_header_is_no_value_token_or_line);
	tcase_add_test(judge, fields_of_the_handshake_are_reserved);
	tcase_add_test(judge, an_answer_is_judged_by_rfc_6455);
	tcase_add_test(judge, a_long_phrase_is_cut_to_the_reason);
	tcase_add_test(judge, a_long_phrase_leaves_room_for_the_realm);
	tcase_add_test(judge, a_request_is_judged_by_rfc_6455);
	tcase_add_test(judge, a_malformed_list_is_a_bad_request);
	tcase_add_test(judge, subprotocols_beyond_128_are_a_bad_request);
	tcase_add_test(judge, only_the_path_of_the_rules_is_served);
	tcase_add_test(judge, the_default_origin_is_that_of_the_host_header);
	tcase_add_test(judge, named_origins_are_the_only_ones_where_there_are_any);
	tcase_add_test(judge, the_subprotocol_is_the_servers_best_that_the_client_offers);
	tcase_add_test(text, an_upgrade_request_has_every_field_it_needs_and_no_other);
	tcase_add_test(text, a_long_target_is_sent_whole);
	tcase_add_test(text, our_own_request_and_answer_satisfy_each_other);
	tcase_add_test(text, a_refusal_says_why_and_what_would_do);
	suite_add_tcase(suite, parse);
	suite_add_tcase(suite, judge);
	suite_add_tcase(suite, text);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(http_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
