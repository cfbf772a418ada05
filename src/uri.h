/* SPDX-License-Identifier: 0BSD */
/*
 * What the URLs of WebSockets and of proxies have in common, from the generic syntax of RFC 3986: scheme, escapes and
 * authority. It knows no scheme by name and does not resolve. Called by the rooms that read URLs, in the program's
 * thread.
 */
#ifndef WSF_URI_H
#define WSF_URI_H

#include <stdbool.h>
#include <stddef.h>

/* A stretch of a text: from start up to, not including, end. */
struct wsf_span {
	const char *start;
	const char *end;
};

/* Where a reason is to go, and what it calls the text, such as "the URL". */
struct wsf_uri_reason {
	const char *subject;
	char *text;
	size_t text_bytes;
};

/*
 * Put the subject and what is said of it, cut to fit. Returns -EINVAL. A reason names nothing of the text but its
 * scheme: where a URL is malformed, what looks like a host or a port may be half of a password.
 */
int wsf_uri_refuse(const struct wsf_uri_reason *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));

size_t wsf_span_bytes(struct wsf_span span);
/* The first c in the span, or NULL. */
const char *wsf_span_find(struct wsf_span span, char c);
/* Whether the span is lower_text, case ignored. */
bool wsf_span_equals(struct wsf_span span, const char *lower_text);

/* 0, or -EINVAL with the reason: a text of a URL has only the bytes 33 to 126, and at least one. NULL has none. */
int wsf_uri_check(const char *text, const struct wsf_uri_reason *reason);
/* Whether text begins with a scheme and "://"; then *scheme is the scheme, *rest what follows the slashes. */
bool wsf_uri_scheme(const char *text, struct wsf_span *scheme, const char **rest);
/* The byte at *at, an escape decoded, and *at moved behind it; -1 = a bad escape. */
int wsf_uri_take(const char **at, const char *end);
/* Whether text can be a host that stands without brackets: a name or an IPv4 address, of 1 to 255 bytes. */
bool wsf_uri_name_valid(const char *text);

/* [user[:password]@]host[:port] */
struct wsf_authority {
	char *userinfo;			/* decoded, always with a ":"; NULL = none. A secret: free with wsf_wipe_free */
	char *host;			/* lower case, IPv6 without its brackets */
	unsigned port;			/* the default where there is none */
	bool ipv6;			/* host came in brackets */
};

/* Returns 0, -EINVAL with the reason, or -ENOMEM; then nothing is kept. */
int wsf_authority_parse(struct wsf_authority *authority, struct wsf_span in, unsigned default_port, bool zero_allowed,
    const struct wsf_uri_reason *reason);

#endif
