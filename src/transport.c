/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>

#include "lock.h"
#include "transport.h"
#include "wait.h"

/* The record of a close_notify: 5 of a header, an alert of 2, and at most 24 of what authenticates it. */
#define NOTIFY_BYTES 31

/* Between looks at whether TLS can send again. */
#define STALL_MS 10

ssize_t wsf_transport_send(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_transport *transport = opaque;

	return transport->tls == NULL ? wsf_socket_send(&transport->socket, iov, count) :
	    wsf_tls_send(transport->tls, &transport->socket, iov, count);
}

ssize_t wsf_transport_receive(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_transport *transport = opaque;

	return transport->tls == NULL ? wsf_socket_receive(&transport->socket, iov, count) :
	    wsf_tls_receive(transport->tls, &transport->socket, iov, count);
}

ssize_t wsf_transport_receive_wait(void *opaque, const struct iovec *iov, int count, int64_t until_ns)
{
	struct wsf_transport *transport = opaque;
	int rv;

	if (transport->tls == NULL)
		return wsf_socket_receive_wait(&transport->socket, iov, count, until_ns);
	/* What TLS has already is not in the socket: nothing would tell of it. */
	if (wsf_tls_drained(transport->tls) &&
	    (rv = wsf_socket_wait_readable(&transport->socket, until_ns)) < 0)
		return rv;
	return wsf_tls_receive(transport->tls, &transport->socket, iov, count);
}

int wsf_transport_flush(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return transport->tls == NULL ? 0 : wsf_tls_flush(transport->tls, &transport->socket);
}

int wsf_transport_wait_writable(void *opaque, int64_t deadline_ns)
{
	struct wsf_transport *transport = opaque;
	int left_ms;

	if (!wsf_transport_stalled(transport))
		return wsf_socket_wait_writable(&transport->socket, deadline_ns);
	/* What is missing is received by another thread, and this is too rare for more than looking again. */
	left_ms = wsf_deadline_left_ms(deadline_ns);
	if (left_ms == 0)
		return -ETIMEDOUT;
	wsf_assert_may_wait();
	poll(NULL, 0, left_ms < 0 || left_ms > STALL_MS ? STALL_MS : left_ms);
	return 0;
}

bool wsf_transport_at_end(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return transport->tls == NULL ? wsf_socket_at_end(&transport->socket) :
	    wsf_tls_at_end(transport->tls, &transport->socket);
}

bool wsf_transport_arrived(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return wsf_transport_pending(opaque) || wsf_socket_arrived(&transport->socket);
}

bool wsf_transport_acknowledged(void *opaque, bool finished)
{
	struct wsf_transport *transport = opaque;

	/* Of what came behind our last word: the end of TCP, and at most so much of a close_notify. */
	return wsf_socket_unacknowledged(&transport->socket) <=
	    (!finished ? 0 : transport->tls != NULL ? NOTIFY_BYTES + 1 : 1);
}

void wsf_transport_watch(void *opaque, int interval_ms)
{
	struct wsf_transport *transport = opaque;

	wsf_socket_watch(&transport->socket, interval_ms);
}

size_t wsf_transport_unsent(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return transport->tls == NULL ? 0 : wsf_tls_unsent(transport->tls);
}

bool wsf_transport_stalled(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return transport->tls != NULL && wsf_tls_stalled(transport->tls);
}

bool wsf_transport_pending(void *opaque)
{
	struct wsf_transport *transport = opaque;

	return transport->tls != NULL && wsf_tls_pending(transport->tls);
}

void wsf_transport_finish(void *opaque)
{
	struct wsf_transport *transport = opaque;

	if (transport->tls != NULL)
		wsf_tls_finish(transport->tls, &transport->socket);
	wsf_socket_finish(&transport->socket);
}

void wsf_transport_idle(void *opaque)
{
	struct wsf_transport *transport = opaque;

	if (transport->tls != NULL)
		wsf_tls_idle(transport->tls);
}

bool wsf_transport_failure(void *opaque, struct wsf_failure *failure)
{
	struct wsf_transport *transport = opaque;

	return transport->tls != NULL && wsf_tls_failure(transport->tls, failure);
}

void wsf_transport_status(void *opaque, struct ws_status *status)
{
	struct wsf_transport *transport = opaque;

	if (transport->tls != NULL)
		wsf_tls_status(transport->tls, status);
}
