/* SPDX-License-Identifier: 0BSD */
/*
 * Splits a WebSocket URL into the parts a connection needs. It knows no sockets and no options, and does not resolve.
 * Called by the openers, in the program's thread.
 */
#ifndef WSF_URL_H
#define WSF_URL_H

#include <stdbool.h>
#include <stddef.h>

enum wsf_url_use { WSF_URL_CONNECT, WSF_URL_LISTEN };

struct wsf_url {
	bool secure;		/* wss */
	char *userinfo;		/* percent-decoded "user:password" or NULL */
	char *host;		/* name or address, IPv6 without brackets, lower case */
	unsigned port;		/* 0 only for WSF_URL_LISTEN */
	char *target;		/* path and query as sent, at least "/" */
	bool ipv6;		/* host came in brackets */
};

/*
 * Parse text. Returns 0, or -EINVAL with a one-line reason in reason, -EPROTONOSUPPORT for ws+unix and wss+unix,
 * -ENOMEM. On success the caller frees with wsf_url_clear; on failure url is cleared. The reason never shows userinfo.
 * A fragment is EINVAL (RFC 6455, section 3); a space, a control character or a byte above 126 anywhere, too.
 */
int wsf_url_parse(struct wsf_url *url, const char *text, enum wsf_url_use use, char *reason, size_t reason_bytes);
void wsf_url_clear(struct wsf_url *url);

/* The path of a target, without query, into path: the length, or -ENAMETOOLONG. Nothing is decoded. */
int wsf_url_path(const char *target, char *path, size_t path_bytes);

/*
 * The Host header's text, "host", "host:port" (the port only where it is not the scheme's default) or "[v6]:port".
 * Returns 0, or -ENAMETOOLONG.
 */
int wsf_url_host_header(const struct wsf_url *url, char *out, size_t out_bytes);

#endif
