/* SPDX-License-Identifier: 0BSD */
#include "url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PORT 65535u
#define MAX_HOST_BYTES 255u	/* RFC 1035, section 2.3.4 */
#define SHOWN_SCHEME_BYTES 32

/* A stretch of the URL's text: from start up to, not including, end. */
struct span {
	const char *start;
	const char *end;
};

/*
 * A reason names nothing of the text but its scheme: where a URL is malformed, what looks like a host or a port may be
 * half of a password.
 */
static int refuse(char *reason, size_t reason_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *reason, size_t reason_bytes, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, reason_bytes, format, arguments);
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

static size_t span_bytes(struct span span)
{
	return (size_t)(span.end - span.start);
}

static const char *span_find(struct span span, char c)
{
	return memchr(span.start, c, span_bytes(span));
}

static bool span_equals(struct span span, const char *lower_text)
{
	if (span_bytes(span) != strlen(lower_text))
		return false;
	for (size_t i = 0; i < span_bytes(span); i++) {
		if (ascii_lower(span.start[i]) != lower_text[i])
			return false;
	}
	return true;
}

static char *span_copy_lower(struct span span)
{
	char *copy = strndup(span.start, span_bytes(span));

	if (copy == NULL)
		return NULL;
	for (char *p = copy; *p != '\0'; p++)
		*p = ascii_lower(*p);
	return copy;
}

static bool is_scheme(struct span span)
{
	if (span.start == span.end || !is_alnum(*span.start) || is_digit(*span.start))
		return false;
	for (const char *p = span.start; p < span.end; p++) {
		if (!is_alnum(*p) && strchr("+-.", *p) == NULL)
			return false;
	}
	return true;
}

/* Judges the scheme, and sets *rest behind the "//". */
static int parse_scheme(struct wsf_url *url, const char *text, const char **rest, char *reason, size_t reason_bytes)
{
	const char *colon = strchr(text, ':');
	struct span scheme = {text, colon != NULL ? colon : text};

	if (!is_scheme(scheme))
		return refuse(reason, reason_bytes, "the URL does not begin with ws:// or wss://");
	if (span_equals(scheme, "ws+unix") || span_equals(scheme, "wss+unix")) {
		refuse(reason, reason_bytes, "the URL's scheme %.*s is not supported",
		    (int)span_bytes(scheme), scheme.start);
		return -EPROTONOSUPPORT;
	}
	/* Without the slashes what stands before the colon may be the user of "user:password@host". */
	if (strncmp(scheme.end, "://", 3) != 0)
		return refuse(reason, reason_bytes, "the URL does not begin with ws:// or wss://");
	url->secure = span_equals(scheme, "wss");
	if (!url->secure && !span_equals(scheme, "ws")) {
		int shown = span_bytes(scheme) > SHOWN_SCHEME_BYTES ? SHOWN_SCHEME_BYTES : (int)span_bytes(scheme);

		return refuse(reason, reason_bytes, "the URL's scheme is %.*s, not ws or wss", shown, scheme.start);
	}
	*rest = scheme.end + 3;
	return 0;
}

static int hex_digit(char c)
{
	char lower = ascii_lower(c);

	if (is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* RFC 3986, section 2.1. An escaped colon in the user is refused: it would read as its end. */
static int decode_userinfo(char *out, struct span in, char *reason, size_t reason_bytes)
{
	bool in_user = true;

	for (const char *p = in.start; p < in.end; p++) {
		int value = (unsigned char)*p;

		if (*p == '%') {
			int high = in.end - p > 2 ? hex_digit(p[1]) : -1;
			int low = in.end - p > 2 ? hex_digit(p[2]) : -1;

			if (high < 0 || low < 0)
				return refuse(reason, reason_bytes, "the URL's user or password has a bad %%-escape");
			value = high * 16 + low;
			p += 2;
			if (value < 0x20 || value == 0x7f)
				return refuse(reason, reason_bytes,
				    "the URL's user or password has an escaped control character");
			if (value == ':' && in_user)
				return refuse(reason, reason_bytes, "the URL's user has an escaped colon");
		} else if (*p == ':') {
			in_user = false;
		}
		*out++ = (char)value;
	}
	*out = '\0';
	return 0;
}

static int parse_userinfo(struct wsf_url *url, struct span in, char *reason, size_t reason_bytes)
{
	if (in.start == in.end)
		return 0;
	url->userinfo = malloc(span_bytes(in) + 1);
	if (url->userinfo == NULL)
		return -ENOMEM;
	return decode_userinfo(url->userinfo, in, reason, reason_bytes);
}

static int parse_port(struct wsf_url *url, struct span digits, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	unsigned port = 0;

	if (digits.start == digits.end) {	/* "host:" means the default (RFC 3986, section 3.2.3) */
		url->port = url->secure ? 443 : 80;
		return 0;
	}
	for (const char *p = digits.start; p < digits.end; p++) {
		if (!is_digit(*p))
			return refuse(reason, reason_bytes, "the URL's port is not a number");
		port = port * 10 + (unsigned)(*p - '0');
		if (port > MAX_PORT)
			return refuse(reason, reason_bytes, "the URL's port is above 65535");
	}
	if (port == 0 && use == WSF_URL_CONNECT)
		return refuse(reason, reason_bytes, "the URL's port is 0");
	url->port = port;
	return 0;
}

static int check_host(const struct wsf_url *url, char *reason, size_t reason_bytes)
{
	unsigned char address[16];

	if (url->ipv6) {
		if (inet_pton(AF_INET6, url->host, address) != 1)
			return refuse(reason, reason_bytes, "the URL's host in brackets is not an IPv6 address");
		return 0;
	}
	if (*url->host == '\0')
		return refuse(reason, reason_bytes, "the URL has no host");
	if (strlen(url->host) > MAX_HOST_BYTES)
		return refuse(reason, reason_bytes, "the URL's host is longer than 255 bytes");
	for (const char *p = url->host; *p != '\0'; p++) {
		if (!is_alnum(*p) && strchr("-._~", *p) == NULL)
			return refuse(reason, reason_bytes, "the URL's host has a character that no host name has");
	}
	return 0;
}

static int parse_host_port(struct wsf_url *url, struct span in, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	struct span host = in, port = {in.end, in.end};
	const char *behind;
	int rv;

	url->ipv6 = in.start < in.end && *in.start == '[';
	if (url->ipv6) {
		host.start++;
		host.end = span_find(in, ']');
		if (host.end == NULL)
			return refuse(reason, reason_bytes, "the URL's host has a [ without a ]");
		behind = host.end + 1;
	} else {
		const char *colon = span_find(in, ':');

		host.end = colon != NULL ? colon : in.end;
		behind = host.end;
	}
	if (behind < in.end) {
		if (*behind != ':')
			return refuse(reason, reason_bytes, "the URL's host has text behind its ]");
		port.start = behind + 1;
	}
	url->host = span_copy_lower(host);
	if (url->host == NULL)
		return -ENOMEM;
	rv = check_host(url, reason, reason_bytes);
	return rv != 0 ? rv : parse_port(url, port, use, reason, reason_bytes);
}

static int parse_authority(struct wsf_url *url, struct span in, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	const char *at = span_find(in, '@');
	struct span host_port = {at != NULL ? at + 1 : in.start, in.end};
	int rv;

	if (at != NULL) {
		struct span userinfo = {in.start, at};

		/* Readers disagree on which of two @ counts: such a URL could name another host than it seems to. */
		if (span_find(host_port, '@') != NULL)
			return refuse(reason, reason_bytes, "the URL has more than one @ before its path");
		rv = parse_userinfo(url, userinfo, reason, reason_bytes);
		if (rv != 0)
			return rv;
	}
	return parse_host_port(url, host_port, use, reason, reason_bytes);
}

static int parse_target(struct wsf_url *url, const char *text)
{
	size_t length = strlen(text);
	size_t slash = *text != '/' ? 1 : 0;

	url->target = malloc(length + slash + 1);
	if (url->target == NULL)
		return -ENOMEM;
	url->target[0] = '/';
	memcpy(url->target + slash, text, length + 1);
	return 0;
}

static int check_characters(const char *text, char *reason, size_t reason_bytes)
{
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= ' ' || c > '~')
			return refuse(reason, reason_bytes, "byte %zu of the URL is a space, a control character or "
			    "not ASCII", (size_t)(p - text) + 1);
	}
	return 0;
}

static int parse(struct wsf_url *url, const char *text, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	struct span authority = {NULL, NULL};
	int rv;

	if (text == NULL || *text == '\0')
		return refuse(reason, reason_bytes, "the URL is empty");
	rv = check_characters(text, reason, reason_bytes);
	if (rv != 0)
		return rv;
	rv = parse_scheme(url, text, &authority.start, reason, reason_bytes);
	if (rv != 0)
		return rv;
	if (strchr(authority.start, '#') != NULL)
		return refuse(reason, reason_bytes, "the URL has a fragment (#), which a WebSocket URL can't have");
	authority.end = authority.start + strcspn(authority.start, "/?");
	rv = parse_authority(url, authority, use, reason, reason_bytes);
	return rv != 0 ? rv : parse_target(url, authority.end);
}

int wsf_url_parse(struct wsf_url *url, const char *text, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	int rv;

	memset(url, 0, sizeof(*url));
	if (reason_bytes > 0)
		reason[0] = '\0';
	rv = parse(url, text, use, reason, reason_bytes);
	if (rv == -ENOMEM)
		refuse(reason, reason_bytes, "out of memory");
	if (rv != 0)
		wsf_url_clear(url);
	return rv;
}

void wsf_url_clear(struct wsf_url *url)
{
	if (url == NULL)
		return;
	free(url->userinfo);
	free(url->host);
	free(url->target);
	memset(url, 0, sizeof(*url));
}

int wsf_url_path(const char *target, char *path, size_t path_bytes)
{
	size_t length = strcspn(target, "?");

	if (length >= path_bytes || length > 0x7fffffff)
		return -ENAMETOOLONG;
	memcpy(path, target, length);
	path[length] = '\0';
	return (int)length;
}

int wsf_url_host_header(const struct wsf_url *url, char *out, size_t out_bytes)
{
	const char *open = url->ipv6 ? "[" : "", *close = url->ipv6 ? "]" : "";
	unsigned standard = url->secure ? 443 : 80;
	int length;

	if (url->port == standard)
		length = snprintf(out, out_bytes, "%s%s%s", open, url->host, close);
	else
		length = snprintf(out, out_bytes, "%s%s%s:%u", open, url->host, close, url->port);
	return length < 0 || (size_t)length >= out_bytes ? -ENAMETOOLONG : 0;
}
