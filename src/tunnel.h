/* SPDX-License-Identifier: 0BSD */
/*
 * Through a proxy to a host: HTTP CONNECT (RFC 9110, section 9.3.6) or SOCKS5 (RFC 1928, RFC 1929), over a connected
 * socket. It knows no WebSockets and no TLS. Called by the opener in the program's thread, which it blocks.
 */
#ifndef WSF_TUNNEL_H
#define WSF_TUNNEL_H

#include <stdint.h>

#include "errmap.h"
#include "proxy.h"
#include "url.h"

/*
 * Have the proxy at the other end of fd (non-blocking) connect to url's host and port; the name is resolved there.
 * Nothing behind the proxy's answer is read from fd. Returns 0, or with the failure filled, whose text names the proxy
 * and no secret: -EACCES (HTTP 401, 403, 407, the last with the realm in the text; SOCKS authentication or rules),
 * -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH (as SOCKS5 tells them), -ECONNABORTED (another HTTP status or SOCKS
 * reply), -EPROTO (no such answer; bytes behind the answer; over max_header_bytes), -ECONNRESET (ended before the
 * answer's end), -ETIMEDOUT, -EINTR, -EINVAL (a name over 255 bytes, a user or password over SOCKS5's 255), -ENOMEM.
 * http_status is set where HTTP refuses. fd stays the caller's.
 */
int wsf_tunnel(int fd, const struct wsf_proxy *proxy, const struct wsf_url *url, const char *user_agent,
    size_t max_header_bytes, int64_t deadline_ns, struct wsf_failure *failure);

#endif
