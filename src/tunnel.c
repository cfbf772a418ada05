/* SPDX-License-Identifier: 0BSD */
#include "tunnel_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "lock.h"
#include "wait.h"

static int fail_closed(const struct wsf_tunnel_call *call)
{
	return wsf_fail(call->failure, ECONNRESET, WSF_TUNNEL_PROXY " closed the connection instead of answering",
	    WSF_TUNNEL_PROXY_ARGUMENTS(call));
}

static int fail_errno(const struct wsf_tunnel_call *call, int error)
{
	switch (error) {
	case EPIPE:
	case ECONNRESET:
		return fail_closed(call);
	case EINTR:
		return wsf_fail(call->failure, EINTR, "interrupted by a signal while waiting for the proxy %s port %u",
		    WSF_TUNNEL_PROXY_ARGUMENTS(call));
	case ETIMEDOUT:
		return wsf_fail(call->failure, ETIMEDOUT, WSF_TUNNEL_PROXY " took too long to answer",
		    WSF_TUNNEL_PROXY_ARGUMENTS(call));
	default:
		return wsf_fail_errno(call->failure, error, WSF_TUNNEL_PROXY, WSF_TUNNEL_PROXY_ARGUMENTS(call));
	}
}

static int wait_for(const struct wsf_tunnel_call *call, short events)
{
	struct pollfd pollfd = { .fd = call->fd, .events = events };
	int rv;

	wsf_assert_may_wait();
	do {
		rv = poll(&pollfd, 1, wsf_deadline_left_ms(call->deadline_ns));
		if (rv < 0)
			return fail_errno(call, errno);
		if (rv == 0 && wsf_deadline_left_ms(call->deadline_ns) == 0)
			return fail_errno(call, ETIMEDOUT);
	} while (rv == 0);
	return 0;
}

/* Whether a failed call is to be made again: *rv is 0 then, or the failure to return. */
static bool is_retry(const struct wsf_tunnel_call *call, short events, int *rv)
{
	if (errno == EINTR)
		return true;
	*rv = errno == EAGAIN || errno == EWOULDBLOCK ? wait_for(call, events) : fail_errno(call, errno);
	return *rv == 0;
}

int wsf_tunnel_send(const struct wsf_tunnel_call *call, const void *data, size_t size)
{
	const char *next = data;
	int rv = 0;

	while (size > 0) {
		ssize_t sent = send(call->fd, next, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0) {
			next += sent;
			size -= (size_t)sent;
		} else if (!is_retry(call, POLLOUT, &rv)) {
			return rv;
		}
	}
	return 0;
}

/* At least one byte. */
static ssize_t receive_some(const struct wsf_tunnel_call *call, void *data, size_t size, int flags)
{
	ssize_t got;
	int rv = 0;

	for (;;) {
		got = recv(call->fd, data, size, flags | MSG_DONTWAIT);
		if (got > 0)
			return got;
		if (got == 0)
			return fail_closed(call);
		if (!is_retry(call, POLLIN, &rv))
			return rv;
	}
}

int wsf_tunnel_receive(const struct wsf_tunnel_call *call, void *data, size_t size)
{
	char *next = data;

	while (size > 0) {
		ssize_t got = receive_some(call, next, size, 0);

		if (got < 0)
			return (int)got;
		next += got;
		size -= (size_t)got;
	}
	return 0;
}

ssize_t wsf_tunnel_peek(const struct wsf_tunnel_call *call, void *data, size_t size)
{
	return receive_some(call, data, size, MSG_PEEK);
}

int wsf_tunnel_check_end(const struct wsf_tunnel_call *call)
{
	char byte;

	if (recv(call->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return 0;
	return wsf_fail(call->failure, EPROTO, WSF_TUNNEL_PROXY " sent something behind its answer",
	    WSF_TUNNEL_PROXY_ARGUMENTS(call));
}

int wsf_tunnel(int fd, const struct wsf_proxy *proxy, const struct wsf_url *url, const char *user_agent,
    size_t max_header_bytes, int64_t deadline_ns, struct wsf_failure *failure)
{
	const struct wsf_tunnel_call call = { fd, proxy, url, user_agent, max_header_bytes, deadline_ns, failure };

	switch (proxy->kind) {
	case WSF_PROXY_HTTP:
		return wsf_tunnel_http(&call);
	case WSF_PROXY_SOCKS5:
		return wsf_tunnel_socks(&call);
	default:
		return 0;
	}
}
