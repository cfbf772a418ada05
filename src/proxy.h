/* SPDX-License-Identifier: 0BSD */
/*
 * Which proxy leads to a URL, by the option or by the environment as curl reads it. It knows no sockets and does not
 * read the environment by itself. Called by the opener, in the program's thread.
 */
#ifndef WSF_PROXY_H
#define WSF_PROXY_H

#include <stddef.h>

#include "url.h"

enum wsf_proxy_kind { WSF_PROXY_NONE, WSF_PROXY_HTTP, WSF_PROXY_SOCKS5 };

struct wsf_proxy {
	enum wsf_proxy_kind kind;
	char *host;			/* name or address, IPv6 without brackets; NULL for NONE */
	unsigned port;
	char *userinfo;			/* percent-decoded "user:password", always with its ":", or NULL */
};

/*
 * option as in ws_options: a proxy's URL, "" = none, NULL = from the environment, which lookup reads as getenv(3) does.
 * There, for wss the first that is set of wss_proxy, https_proxy, all_proxy counts, for ws of ws_proxy, http_proxy,
 * all_proxy, each in lower case first, then in upper case (but never HTTP_PROXY, which a CGI client can set), and
 * no_proxy or NO_PROXY: a list by commas or blanks of "*", names that stand for themselves and all below them (a
 * leading or trailing dot does not count), addresses, and networks in CIDR notation. An empty variable is not set. A
 * local socket has no proxy. A URL without scheme is http's; socks5h stands for socks5; the default port is 1080 for
 * both, as curl's; behind it at most a "/" may stand.
 *
 * Returns 0, or with a one-line reason that shows no secret and names the variable -EINVAL, -EPROTONOSUPPORT (another
 * scheme, such as https, socks4), -ENOMEM; the proxy is cleared then. Free with wsf_proxy_clear.
 */
int wsf_proxy_choose(struct wsf_proxy *proxy, const struct wsf_url *url, const char *option,
    char *(*lookup)(const char *name), char *reason, size_t reason_bytes);
/* Wipes the secret. */
void wsf_proxy_clear(struct wsf_proxy *proxy);

#endif
