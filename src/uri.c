/* SPDX-License-Identifier: 0BSD */
#include "uri.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wipe.h"

#define MAX_PORT 65535u
#define MAX_HOST_BYTES 255u	/* RFC 1035, section 2.3.4 */

int wsf_uri_refuse(const struct wsf_uri_reason *reason, const char *format, ...)
{
	size_t used = strlen(reason->subject);
	va_list arguments;

	snprintf(reason->text, reason->text_bytes, "%s", reason->subject);
	if (used >= reason->text_bytes)
		return -EINVAL;
	va_start(arguments, format);
	vsnprintf(reason->text + used, reason->text_bytes - used, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* The C library's classes depend on the program's locale; a URL's don't. */
static char ascii_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	char lower = ascii_lower(c);

	return is_digit(c) || (lower >= 'a' && lower <= 'z');
}

size_t wsf_span_bytes(struct wsf_span span)
{
	return (size_t)(span.end - span.start);
}

const char *wsf_span_find(struct wsf_span span, char c)
{
	return memchr(span.start, c, wsf_span_bytes(span));
}

bool wsf_span_equals(struct wsf_span span, const char *lower_text)
{
	if (wsf_span_bytes(span) != strlen(lower_text))
		return false;
	for (size_t i = 0; i < wsf_span_bytes(span); i++) {
		if (ascii_lower(span.start[i]) != lower_text[i])
			return false;
	}
	return true;
}

static char *span_copy_lower(struct wsf_span span)
{
	char *copy = strndup(span.start, wsf_span_bytes(span));

	if (copy == NULL)
		return NULL;
	for (char *p = copy; *p != '\0'; p++)
		*p = ascii_lower(*p);
	return copy;
}

int wsf_uri_check(const char *text, const struct wsf_uri_reason *reason)
{
	if (text == NULL || *text == '\0')
		return wsf_uri_refuse(reason, " is empty");
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= ' ' || c > '~')
			return wsf_uri_refuse(reason, "'s byte %zu is a space, a control character or not ASCII",
			    (size_t)(p - text) + 1);
	}
	return 0;
}

static bool is_scheme(struct wsf_span span)
{
	if (span.start == span.end || !is_alnum(*span.start) || is_digit(*span.start))
		return false;
	for (const char *p = span.start; p < span.end; p++) {
		if (!is_alnum(*p) && strchr("+-.", *p) == NULL)
			return false;
	}
	return true;
}

/* Without the slashes what stands before the colon may be the user of "user:password@host". */
bool wsf_uri_scheme(const char *text, struct wsf_span *scheme, const char **rest)
{
	const char *mark = strstr(text, "://");

	if (mark == NULL)
		return false;
	scheme->start = text;
	scheme->end = mark;
	*rest = mark + 3;
	return is_scheme(*scheme);
}

static int hex_digit(char c)
{
	char lower = ascii_lower(c);

	if (is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* RFC 3986, section 2.1 */
int wsf_uri_take(const char **at, const char *end)
{
	const char *p = *at;
	int high, low;

	if (*p != '%') {
		*at = p + 1;
		return (unsigned char)*p;
	}
	high = end - p > 2 ? hex_digit(p[1]) : -1;
	low = end - p > 2 ? hex_digit(p[2]) : -1;
	if (high < 0 || low < 0)
		return -1;
	*at = p + 3;
	return high * 16 + low;
}

/*
 * RFC 7617, section 2: no control characters, and the first colon ends the user, so that one in it can't be told. A
 * user alone has an empty password.
 */
static int decode_userinfo(char *out, struct wsf_span in, const struct wsf_uri_reason *reason)
{
	bool in_user = true;

	for (const char *p = in.start; p < in.end;) {
		bool escaped = *p == '%';
		int value = wsf_uri_take(&p, in.end);

		if (value < 0)
			return wsf_uri_refuse(reason, "'s user or password has a bad %%-escape");
		if (value < 0x20 || value == 0x7f)
			return wsf_uri_refuse(reason, "'s user or password has an escaped control character");
		if (value == ':' && escaped && in_user)
			return wsf_uri_refuse(reason, "'s user has an escaped colon");
		if (value == ':')
			in_user = false;
		*out++ = (char)value;
	}
	if (in_user)
		*out = ':';
	return 0;
}

/* The text is whole at every moment, so that it can be wiped. */
static int parse_userinfo(struct wsf_authority *authority, struct wsf_span in, const struct wsf_uri_reason *reason)
{
	if (in.start == in.end)
		return 0;
	authority->userinfo = calloc(1, wsf_span_bytes(in) + 2);
	if (authority->userinfo == NULL)
		return -ENOMEM;
	return decode_userinfo(authority->userinfo, in, reason);
}

static int parse_port(unsigned *port, struct wsf_span digits, bool zero_allowed, const struct wsf_uri_reason *reason)
{
	unsigned value = 0;

	if (digits.start == digits.end)	/* "host:" means the default (RFC 3986, section 3.2.3) */
		return 0;
	for (const char *p = digits.start; p < digits.end; p++) {
		if (!is_digit(*p))
			return wsf_uri_refuse(reason, "'s port is not a number");
		value = value * 10 + (unsigned)(*p - '0');
		if (value > MAX_PORT)
			return wsf_uri_refuse(reason, "'s port is above %u", MAX_PORT);
	}
	if (value == 0 && !zero_allowed)
		return wsf_uri_refuse(reason, "'s port is 0");
	*port = value;
	return 0;
}

static bool has_name_characters(const char *text)
{
	while (is_alnum(*text) || (*text != '\0' && strchr("-._~", *text) != NULL))
		text++;
	return *text == '\0';
}

bool wsf_uri_name_valid(const char *text)
{
	/* OpenSSL takes a name that begins with a dot for all names below it. */
	return *text != '\0' && *text != '.' && strlen(text) <= MAX_HOST_BYTES && has_name_characters(text);
}

static int check_host(const struct wsf_authority *authority, const struct wsf_uri_reason *reason)
{
	unsigned char address[16];

	if (authority->ipv6) {
		if (inet_pton(AF_INET6, authority->host, address) != 1)
			return wsf_uri_refuse(reason, "'s host in brackets is not an IPv6 address");
		return 0;
	}
	if (wsf_uri_name_valid(authority->host))
		return 0;
	if (*authority->host == '\0')
		return wsf_uri_refuse(reason, " has no host");
	if (strlen(authority->host) > MAX_HOST_BYTES)
		return wsf_uri_refuse(reason, "'s host is longer than %u bytes", MAX_HOST_BYTES);
	if (*authority->host == '.')
		return wsf_uri_refuse(reason, "'s host begins with a dot");
	return wsf_uri_refuse(reason, "'s host has a character that no host name has");
}

static int parse_host_port(struct wsf_authority *authority, struct wsf_span in, bool zero_allowed,
    const struct wsf_uri_reason *reason)
{
	struct wsf_span host = in, port = {in.end, in.end};
	const char *behind;
	int rv;

	authority->ipv6 = in.start < in.end && *in.start == '[';
	if (authority->ipv6) {
		host.start++;
		host.end = wsf_span_find(in, ']');
		if (host.end == NULL)
			return wsf_uri_refuse(reason, "'s host has a [ without a ]");
		behind = host.end + 1;
	} else {
		const char *colon = wsf_span_find(in, ':');

		host.end = colon != NULL ? colon : in.end;
		behind = host.end;
	}
	if (behind < in.end) {
		if (*behind != ':')
			return wsf_uri_refuse(reason, "'s host has text behind its ]");
		port.start = behind + 1;
	}
	authority->host = span_copy_lower(host);
	if (authority->host == NULL)
		return -ENOMEM;
	rv = check_host(authority, reason);
	return rv != 0 ? rv : parse_port(&authority->port, port, zero_allowed, reason);
}

static int parse(struct wsf_authority *authority, struct wsf_span in, bool zero_allowed,
    const struct wsf_uri_reason *reason)
{
	const char *at = wsf_span_find(in, '@');
	struct wsf_span host_port = {at != NULL ? at + 1 : in.start, in.end};
	int rv;

	if (at != NULL) {
		struct wsf_span userinfo = {in.start, at};

		/* Readers disagree on which of two @ counts: such a URL could name another host than it seems to. */
		if (wsf_span_find(host_port, '@') != NULL)
			return wsf_uri_refuse(reason, " has more than one @ before its path");
		rv = parse_userinfo(authority, userinfo, reason);
		if (rv != 0)
			return rv;
	}
	return parse_host_port(authority, host_port, zero_allowed, reason);
}

int wsf_authority_parse(struct wsf_authority *authority, struct wsf_span in, unsigned default_port, bool zero_allowed,
    const struct wsf_uri_reason *reason)
{
	int rv;

	*authority = (struct wsf_authority){.port = default_port};
	rv = parse(authority, in, zero_allowed, reason);
	if (rv != 0) {
		wsf_wipe_free(authority->userinfo);
		free(authority->host);
		memset(authority, 0, sizeof(*authority));
	}
	return rv;
}
