/* SPDX-License-Identifier: 0BSD */
#include "http_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512
#define LIMIT_MAX_BYTES (UINT32_MAX / 4)

enum state {
	STATE_METHOD,
	STATE_TARGET,
	STATE_REQUEST_VERSION,
	STATE_RESPONSE_VERSION,
	STATE_STATUS,
	STATE_PHRASE,
	STATE_START_LF,
	STATE_LINE,
	STATE_NAME,
	STATE_VALUE,
	STATE_VALUE_LF,
	STATE_LAST_LF,
	STATE_DONE,
};

static const char not_http[] = "not an HTTP/1.1 start line";
static const char bad_control[] = "a control character in an HTTP header";
static const char bare_cr[] = "a CR without its LF in an HTTP header";

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* tchar of RFC 9110, section 5.6.2 */
static bool is_token_char(char c)
{
	return wsf_http_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* field-vchar, space and tab of RFC 9110, section 5.5; bytes above 127 are opaque */
static bool is_value_char(char c)
{
	unsigned char u = (unsigned char)c;

	return c == '\t' || (u >= ' ' && u != 0x7f);
}

void wsf_http_init(struct wsf_http *http, enum wsf_http_kind kind, size_t limit_bytes)
{
	memset(http, 0, sizeof(*http));
	http->kind = (uint8_t)kind;
	http->limit_bytes = limit_bytes < LIMIT_MAX_BYTES ? (uint32_t)limit_bytes : LIMIT_MAX_BYTES;
	http->state = kind == WSF_HTTP_REQUEST ? STATE_METHOD : STATE_RESPONSE_VERSION;
}

void wsf_http_clear(struct wsf_http *http)
{
	if (http == NULL)
		return;
	free(http->block);
	memset(http, 0, sizeof(*http));
}

static int enter(struct wsf_http *http, enum state state)
{
	http->state = (uint8_t)state;
	http->matched_bytes = 0;
	return 0;
}

static int refuse(struct wsf_http *http, int error, const char *reason)
{
	http->error = error;
	http->reason = reason;
	return error;
}

/* The next byte of "HTTP/1.x"; *whole once x is there. */
static int take_version(struct wsf_http *http, char c, bool *whole)
{
	static const char prefix[] = "HTTP/1.";
	uint32_t at = http->matched_bytes++;

	*whole = false;
	if (at < strlen(prefix))
		return c == prefix[at] ? 0 : refuse(http, -EPROTO, not_http);
	if (!wsf_http_is_digit(c))
		return refuse(http, -EPROTO, not_http);
	http->minor_version = (uint8_t)(c - '0');
	*whole = true;
	return 0;
}

static int take_request_line(struct wsf_http *http, char c)
{
	bool whole;

	switch (http->state) {
	case STATE_METHOD:
		if (c == ' ' && http->matched_bytes > 0)
			return enter(http, STATE_TARGET);
		http->matched_bytes++;
		return is_token_char(c) ? 0 : refuse(http, -EPROTO, not_http);
	case STATE_TARGET:
		if (c == ' ' && http->matched_bytes > 0)
			return enter(http, STATE_REQUEST_VERSION);
		http->matched_bytes++;
		return c > ' ' && c <= '~' ? 0 : refuse(http, -EPROTO, not_http);
	default:
		if (http->matched_bytes == strlen("HTTP/1.1"))
			return c == '\r' ? enter(http, STATE_START_LF) : refuse(http, -EPROTO, not_http);
		return take_version(http, c, &whole);
	}
}

static int take_status_line(struct wsf_http *http, char c)
{
	bool whole;

	switch (http->state) {
	case STATE_RESPONSE_VERSION:
		if (http->matched_bytes == strlen("HTTP/1.1"))
			return c == ' ' ? enter(http, STATE_STATUS) : refuse(http, -EPROTO, not_http);
		return take_version(http, c, &whole);
	case STATE_STATUS:
		if (http->matched_bytes == 3) {
			/* Servers do leave out the space before an empty phrase. */
			if (c == '\r')
				return enter(http, STATE_START_LF);
			return c == ' ' ? enter(http, STATE_PHRASE) : refuse(http, -EPROTO, not_http);
		}
		if (!wsf_http_is_digit(c) || (http->matched_bytes == 0 && c == '0'))
			return refuse(http, -EPROTO, not_http);
		http->matched_bytes++;
		http->status = (uint16_t)(http->status * 10 + (c - '0'));
		return 0;
	default:
		if (c == '\r')
			return enter(http, STATE_START_LF);
		return is_value_char(c) ? 0 : refuse(http, -EPROTO, not_http);
	}
}

static int take_line_start(struct wsf_http *http, char c)
{
	if (c == '\r')
		return enter(http, STATE_LAST_LF);
	if (is_blank(c))
		return refuse(http, -EPROTO, "a folded line in an HTTP header");
	if (c == ':')
		return refuse(http, -EPROTO, "an HTTP header field without a name");
	if (!is_token_char(c))
		return refuse(http, -EPROTO, "a bad character in the name of an HTTP header field");
	if (http->field_count == WSF_HTTP_MAX_FIELDS)
		return refuse(http, -EMSGSIZE, "too many HTTP header fields");
	http->field_count++;
	return enter(http, STATE_NAME);
}

static int take_field(struct wsf_http *http, char c)
{
	switch (http->state) {
	case STATE_LINE:
		return take_line_start(http, c);
	case STATE_NAME:
		if (c == ':')
			return enter(http, STATE_VALUE);
		if (is_blank(c))
			return refuse(http, -EPROTO, "a space in or behind the name of an HTTP header field");
		if (is_token_char(c))
			return 0;
		return refuse(http, -EPROTO, "a bad character in the name of an HTTP header field");
	default:
		if (c == '\r')
			return enter(http, STATE_VALUE_LF);
		return is_value_char(c) ? 0 : refuse(http, -EPROTO, bad_control);
	}
}

static int take_byte(struct wsf_http *http, char c)
{
	switch (http->state) {
	case STATE_METHOD:
	case STATE_TARGET:
	case STATE_REQUEST_VERSION:
		return take_request_line(http, c);
	case STATE_RESPONSE_VERSION:
	case STATE_STATUS:
	case STATE_PHRASE:
		return take_status_line(http, c);
	case STATE_START_LF:
	case STATE_VALUE_LF:
		return c == '\n' ? enter(http, STATE_LINE) : refuse(http, -EPROTO, bare_cr);
	case STATE_LAST_LF:
		return c == '\n' ? enter(http, STATE_DONE) : refuse(http, -EPROTO, bare_cr);
	default:
		return take_field(http, c);
	}
}

/* Room for one more byte and a NUL. Doubling keeps the copying linear. */
static int reserve(struct wsf_http *http)
{
	uint32_t bytes = http->block_bytes == 0 ? FIRST_BYTES : http->block_bytes * 2;
	char *block;

	if (http->used_bytes + 1 < http->block_bytes)
		return 0;
	block = realloc(http->block, bytes);
	if (block == NULL)
		return refuse(http, -ENOMEM, "out of memory");
	http->block = block;
	http->block_bytes = bytes;
	return 0;
}

/* Ends a piece at the first delimiter from start on, and returns what follows. */
static char *cut(char *start, char delimiter)
{
	char *end = strchr(start, delimiter);

	*end = '\0';
	return end + 1;
}

/* Ends the line and returns the start of the next one. */
static char *cut_line(char *line)
{
	return cut(line, '\r') + 1;
}

static char *trim(char *value)
{
	size_t length;

	while (is_blank(*value))
		value++;
	length = strlen(value);
	while (length > 0 && is_blank(value[length - 1]))
		length--;
	value[length] = '\0';
	return value;
}

/* Put a piece behind those before; it never lies before that place, so the first byte goes first. */
static char *put(char *out, const char *piece)
{
	do
		*out++ = *piece;
	while (*piece++ != '\0');
	return out;
}

static char *put_start_line(const struct wsf_http *http, char *out, char *line)
{
	char *target;

	if (http->kind == WSF_HTTP_REQUEST) {
		target = cut(line, ' ');
		cut(target, ' ');
		return put(put(out, line), target);
	}
	line += strlen("HTTP/1.1 101");
	return put(out, *line == '\0' ? line : line + 1);
}

/* The block holds only what the states let through, so every delimiter is there. Returns the size of the pieces. */
static uint32_t split_block(struct wsf_http *http)
{
	char *line = http->block, *out = http->block, *next, *value;

	http->block[http->used_bytes] = '\0';
	next = cut_line(line);
	out = put_start_line(http, out, line);
	for (unsigned i = 0; i < http->field_count; i++) {
		line = next;
		next = cut_line(line);
		value = trim(cut(line, ':'));
		out = put(put(out, line), value);
	}
	http->complete = true;
	return (uint32_t)(out - http->block);
}

/* It stays as long as the connection: in memory of its size. A new piece, so that the next one finds the old. */
static void shrink(struct wsf_http *http, uint32_t bytes)
{
	char *block = malloc(bytes);

	if (block == NULL)
		return;
	memcpy(block, http->block, bytes);
	free(http->block);
	http->block = block;
	http->block_bytes = bytes;
}

static int feed(struct wsf_http *http, const char *in, size_t size, size_t *used)
{
	int rv;

	for (size_t i = 0; i < size && http->state != STATE_DONE; i++) {
		if (http->used_bytes >= http->limit_bytes)
			return refuse(http, -EMSGSIZE, "the HTTP header block is too large");
		rv = take_byte(http, in[i]);
		if (rv == 0)
			rv = reserve(http);
		if (rv != 0)
			return rv;
		http->block[http->used_bytes++] = in[i];
		*used = i + 1;
	}
	if (http->state != STATE_DONE)
		return 0;
	shrink(http, split_block(http));
	return 1;
}

int wsf_http_feed(struct wsf_http *http, const void *in, size_t size, size_t *used, const char **reason)
{
	int rv;

	*used = 0;
	if (http->complete)
		return 1;
	rv = http->error != 0 ? http->error : feed(http, in, size, used);
	if (rv < 0)
		*reason = http->reason;
	return rv;
}

static const char *behind(const char *piece)
{
	return piece + strlen(piece) + 1;
}

static bool is_complete(const struct wsf_http *http, enum wsf_http_kind kind)
{
	return http->complete && http->kind == kind;
}

const char *wsf_http_method(const struct wsf_http *http)
{
	return is_complete(http, WSF_HTTP_REQUEST) ? http->block : NULL;
}

const char *wsf_http_target(const struct wsf_http *http)
{
	return is_complete(http, WSF_HTTP_REQUEST) ? behind(http->block) : NULL;
}

const char *wsf_http_phrase(const struct wsf_http *http)
{
	return is_complete(http, WSF_HTTP_RESPONSE) ? http->block : NULL;
}

bool wsf_http_next_field(const struct wsf_http *http, struct wsf_http_field *field)
{
	if (!http->complete || field->number == http->field_count)
		return false;
	if (field->number++ > 0)
		field->name = behind(field->value);
	else
		field->name = behind(http->kind == WSF_HTTP_REQUEST ? behind(http->block) : http->block);
	field->value = behind(field->name);
	return true;
}

size_t wsf_http_field_count(const struct wsf_http *http, const char *name)
{
	struct wsf_http_field field = { 0 };
	size_t count = 0;

	while (wsf_http_next_field(http, &field))
		count += wsf_http_equal_fold(field.name, name);
	return count;
}

const char *wsf_http_field_at(const struct wsf_http *http, const char *name, size_t index)
{
	struct wsf_http_field field = { 0 };

	while (wsf_http_next_field(http, &field)) {
		if (wsf_http_equal_fold(field.name, name) && index-- == 0)
			return field.value;
	}
	return NULL;
}

const char *wsf_http_field(const struct wsf_http *http, const char *name)
{
	return wsf_http_field_at(http, name, 0);
}

/* Whether token is an element of one list; empty elements are skipped (RFC 9110, section 5.6.1). */
static bool list_has(const char *list, const char *token, bool fold)
{
	size_t token_bytes = strlen(token);

	while (*list != '\0') {
		size_t length = strcspn(list, ","), skipped = strspn(list, " \t");
		const char *next = list + length + (list[length] == ',');

		if (skipped < length) {
			list += skipped;
			length -= skipped;
			while (is_blank(list[length - 1]))
				length--;
			if (length == token_bytes && wsf_http_equal_bytes(list, token, length, fold))
				return true;
		}
		list = next;
	}
	return false;
}

bool wsf_http_lists_have(const struct wsf_http *http, const char *name, const char *token, bool fold)
{
	struct wsf_http_field field = { 0 };

	while (wsf_http_next_field(http, &field)) {
		if (wsf_http_equal_fold(field.name, name) && list_has(field.value, token, fold))
			return true;
	}
	return false;
}

bool wsf_http_has_token(const struct wsf_http *http, const char *name, const char *token)
{
	return wsf_http_lists_have(http, name, token, true);
}

static bool all_value_chars(const char *text)
{
	while (is_value_char(*text))
		text++;
	return *text == '\0';
}

bool wsf_http_value_valid(const char *value)
{
	if (value == NULL || !all_value_chars(value))
		return false;
	return *value == '\0' || (!is_blank(*value) && !is_blank(value[strlen(value) - 1]));
}

size_t wsf_http_token_length(const char *text)
{
	size_t length = 0;

	while (is_token_char(text[length]))
		length++;
	return length;
}

bool wsf_http_token_valid(const char *token)
{
	return token != NULL && *token != '\0' && token[wsf_http_token_length(token)] == '\0';
}

bool wsf_http_line_valid(const char *line)
{
	size_t length = line != NULL ? wsf_http_token_length(line) : 0;

	return length > 0 && line[length] == ':' && all_value_chars(line + length + 1);
}

bool wsf_http_line_names(const char *line, const char *name)
{
	size_t length = wsf_http_token_length(line);

	return line[length] == ':' && length == strlen(name) && wsf_http_equal_bytes(line, name, length, true);
}

bool wsf_http_line_reserved(const char *line)
{
	static const char *const names[] = {"Host", "Upgrade", "Connection", "Origin", "User-Agent", "Content-Length",
	    "Transfer-Encoding", "Trailer", "TE"};
	static const char prefix[] = "Sec-WebSocket-";
	size_t length = wsf_http_token_length(line);

	if (length >= strlen(prefix) && wsf_http_equal_bytes(line, prefix, strlen(prefix), true))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (length == strlen(names[i]) && wsf_http_equal_bytes(line, names[i], length, true))
			return true;
	}
	return false;
}
