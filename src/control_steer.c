/* SPDX-License-Identifier: 0BSD */
/* Limits, readiness, pings and observers of a FILE of ours. */
#include <errno.h>
#include <poll.h>

#include "cancel.h"
#include "control_private.h"
#include "wsfile.h"

int ws_pollfd(FILE *file, short events)
{
	struct wsf_held held;
	int rv;

	if (events != POLLIN && events != POLLOUT)
		return wsf_returned(-EINVAL);
	rv = wsf_hold(&held, file, events == POLLIN ? WSF_READ_HALF : WSF_WRITE_HALF);
	if (rv == 0) {
		rv = wsf_stream_pollfd(held.cookie->stream, events == POLLOUT);
		wsf_let_go(&held);
	}
	return rv < 0 ? wsf_returned(rv) : rv;
}

size_t ws_readable(FILE *file)
{
	struct wsf_held held;
	int rv = wsf_hold(&held, file, WSF_READ_HALF);
	size_t bytes;

	if (rv != 0) {
		(void)wsf_returned(rv);
		return 0;
	}
	bytes = wsf_stdio_unread(file) + wsf_stream_readable_bytes(held.cookie->stream);
	wsf_let_go(&held);
	return bytes;
}

size_t ws_writable(FILE *file)
{
	struct wsf_held held;
	int rv = wsf_hold(&held, file, WSF_WRITE_HALF);
	size_t bytes, unflushed;

	if (rv != 0) {
		(void)wsf_returned(rv);
		return 0;
	}
	unflushed = wsf_stdio_unflushed(file);
	bytes = wsf_stream_writable_bytes(held.cookie->stream);
	wsf_let_go(&held);
	return bytes > unflushed ? bytes - unflushed : 0;
}

size_t ws_unsent(FILE *file)
{
	struct wsf_held held;
	int rv = wsf_hold(&held, file, WSF_WRITE_HALF);
	size_t bytes;

	if (rv != 0) {
		(void)wsf_returned(rv);
		return 0;
	}
	bytes = wsf_stdio_unflushed(file) + wsf_stream_unsent_bytes(held.cookie->stream);
	wsf_let_go(&held);
	return bytes;
}

/* None of those below takes the FILE's lock: a thread that is blocked has it. */

int ws_set_timeouts(FILE *file, int read_ms, int write_ms)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	int cancel;

	if (cookie == NULL)
		return -1;
	if (read_ms < -1 || write_ms < -1)
		return wsf_returned(-EINVAL);
	cancel = wsf_cancel_off();
	wsf_stream_set_timeouts(cookie->stream, read_ms, write_ms);
	wsf_cancel_back(cancel);
	return 0;
}

int ws_set_nonblocking(FILE *file, bool on)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	int cancel;

	if (cookie == NULL)
		return -1;
	cancel = wsf_cancel_off();
	wsf_stream_set_nonblocking(cookie->stream, on);
	wsf_cancel_back(cancel);
	return 0;
}

int ws_ping(FILE *file, const void *payload, size_t size)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	int cancel, rv;

	if (cookie == NULL)
		return -1;
	if (size > WSF_CONTROL_PAYLOAD_MAX)
		return wsf_returned(-EMSGSIZE);
	if (payload == NULL && size > 0)
		return wsf_returned(-EINVAL);
	cancel = wsf_cancel_off();
	rv = wsf_stream_ping(cookie->stream, payload, size);
	wsf_cancel_back(cancel);
	return wsf_returned(rv);
}

int ws_observe(FILE *file, unsigned mask, ws_observer *observer, void *user)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);

	if (cookie == NULL)
		return -1;
	if (observer == NULL || (mask & ~WS_EVENT_ALL) != 0)
		return wsf_returned(-EINVAL);
	return wsf_returned(wsf_stream_observe(cookie->stream, mask, observer, user));
}
