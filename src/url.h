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
	bool secure;		/* wss, wss+unix */
	char *userinfo;		/* percent-decoded "user:password", always with its ":", or NULL */
	char *socket;		/* ws+unix, wss+unix: the socket's path, percent-decoded, "@name" = abstract; or NULL */
	char *host;		/* name or address, IPv6 without brackets, lower case; "localhost" for a local socket */
	unsigned port;		/* 0 only for WSF_URL_LISTEN */
	char *target;		/* path and query as sent, at least "/" */
	bool ipv6;		/* host came in brackets */
};

/*
 * Parse text. Returns 0, or -EINVAL with a one-line reason in reason, or -ENOMEM. On success the caller frees with
 * wsf_url_clear, which wipes userinfo; on failure url is cleared. The reason never shows userinfo. A local socket's URL
 * is scheme "://" socket [":" path] ["?" query], path with its "/", which stands for an absent one. The socket is
 * absolute, relative, or "@name", of 1 to 107 bytes without NUL, its ":" and "?" percent-encoded; there is no userinfo,
 * and port is the scheme's default.
 * A fragment is EINVAL (RFC 6455, section 3); a space, a control character or a byte above 126 anywhere, too.
 */
int wsf_url_parse(struct wsf_url *url, const char *text, enum wsf_url_use use, char *reason, size_t reason_bytes);
void wsf_url_clear(struct wsf_url *url);

/*
 * The Host header's text, "host", "host:port" (the port only where it is not the scheme's default) or "[v6]:port".
 * Returns 0, or -ENAMETOOLONG.
 */
int wsf_url_host_header(const struct wsf_url *url, char *out, size_t out_bytes);

/*
 * The URL as text, without userinfo: with this port in place of its own (not for a local socket), and this target. A
 * local socket's path is percent-encoded where it has to be. malloc'd; NULL = no memory.
 */
char *wsf_url_format(const struct wsf_url *url, unsigned port, const char *target);

#endif
