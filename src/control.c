/* SPDX-License-Identifier: 0BSD */
/* The public functions that work on a FILE of ours, beside stdio's own: its status and its end. */
#include <errno.h>
#include <string.h>

#include "cancel.h"
#include "control_private.h"
#include "errmap.h"
#include "utf8.h"
#include "wait.h"
#include "wsfile.h"

int wsf_hold(struct wsf_held *held, FILE *file, enum wsf_half half)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);

	if (cookie == NULL)
		return -EBADF;
	/* Before the lock: another thread may have it, and wait for this one. */
	if (wsf_stream_observing(cookie->stream))
		return -EDEADLK;
	held->cookie = cookie;
	held->cancel = wsf_cancel_off();
	/* Before it is looked at: its bits are changed under the lock. */
	flockfile(file);
	if ((half == WSF_READ_HALF && !cookie->reads) || (half == WSF_WRITE_HALF && !cookie->writes)) {
		wsf_let_go(held);
		return -EBADF;
	}
	return 0;
}

void wsf_let_go(const struct wsf_held *held)
{
	funlockfile(held->cookie->file);
	wsf_cancel_back(held->cancel);
}

int wsf_returned(int rv)
{
	if (rv >= 0)
		return 0;
	errno = -rv;
	return -1;
}

static bool reason_valid(const char *reason)
{
	struct wsf_utf8 utf8 = { 0 };
	size_t size = strlen(reason);

	return size <= WSF_REASON_MAX && wsf_utf8_feed(&utf8, reason, size) && wsf_utf8_complete(&utf8);
}

static int flush_held(const struct wsf_held *held)
{
	return held->cookie->writes && fflush(held->cookie->file) != 0 ? -errno : 0;
}

int ws_shutdown(FILE *file, unsigned code, const char *reason)
{
	struct wsf_held held;
	int rv = wsf_hold(&held, file, WSF_ANY_HALF);

	if (rv == 0) {
		if (!wsf_close_code_sendable(code) || (reason != NULL && !reason_valid(reason)))
			rv = -EINVAL;
		else if ((rv = flush_held(&held)) == 0)
			rv = wsf_stream_shutdown(held.cookie->stream, code, reason);
		wsf_let_go(&held);
	}
	return wsf_returned(rv);
}

int ws_drain(FILE *file, int timeout_ms)
{
	struct wsf_held held;
	int rv = wsf_hold(&held, file, WSF_WRITE_HALF);

	if (rv == 0) {
		if (timeout_ms < -1)
			rv = -EINVAL;
		else if ((rv = flush_held(&held)) == 0)
			rv = wsf_stream_drain(held.cookie->stream, wsf_deadline_ns(timeout_ms));
		wsf_let_go(&held);
	}
	return wsf_returned(rv);
}

/* Without the FILE's lock: whoever has it may be blocked, and this is what ends that. */
int ws_abort(FILE *file)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	int cancel;

	if (cookie == NULL)
		return -1;
	cancel = wsf_cancel_off();
	wsf_stream_abort(cookie->stream);
	wsf_cancel_back(cancel);
	return 0;
}

int ws_status(FILE *file, struct ws_status *status)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);

	if (cookie == NULL)
		return -1;
	if (status == NULL || wsf_stream_status(cookie->stream, status) != 0) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

const char *ws_header(FILE *file, const char *name)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	const char *value;

	if (cookie == NULL)
		return NULL;
	value = name != NULL ? wsf_stream_header(cookie->stream, name) : NULL;
	if (value == NULL)
		errno = ENOENT;
	return value;
}
