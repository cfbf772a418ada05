/* SPDX-License-Identifier: 0BSD */
/* What the program takes out of a listener, and how it learns that there is something. */
#include <errno.h>
#include <stdio.h>

#include "cancel.h"
#include "cookie.h"
#include "listener_private.h"
#include "opener.h"

/* It is the program's from now on. */
static struct wsf_stream *take_locked(struct ws_listener *listener, struct wsf_connection *connection)
{
	struct wsf_stream *stream = connection->stream;

	if (connection->ended) {
		wsf_connection_remove_locked(connection);
		wsf_connection_free(connection);
	} else {
		wsf_connection_move_locked(connection, ACCEPTED);
	}
	wsf_listener_raise_locked(listener);
	if (listener->paused)
		listener->ops->resume(listener->source);
	listener->paused = false;
	return stream;
}

void wsf_listener_leave_locked(struct ws_listener *listener)
{
	listener->users--;
	if (listener->ending)
		wsf_event_notify(&listener->event);
}

/* Take the first one that is ready. Returns 0, -EINTR, -EBADF. */
static int next_stream(struct ws_listener *listener, struct wsf_stream **stream)
{
	const struct wsf_connections *ready = &listener->lists[READY];
	unsigned seen;
	int rv = 0;

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	while (!listener->ending && !listener->over && ready->count == 0 && rv == 0) {
		seen = wsf_event_seen(&listener->event);
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		rv = wsf_event_wait(&listener->event, seen, WSF_NO_DEADLINE);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
	if (listener->ending || (listener->over && ready->count == 0)) {
		rv = -EBADF;
	} else if (ready->count > 0) {
		*stream = take_locked(listener, ready->first);
		rv = 0;
	}
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	return rv;
}

/* Counted in users: the listener and its source stay. */
static int accept_as(struct ws_listener *listener, const struct wsf_mode *mode, bool pair, struct wsf_files *files,
    struct wsf_failure *failure)
{
	const struct wsf_listener_ops *ops = listener->ops;
	struct wsf_stream *stream = NULL;
	void *shared;
	int rv;

	rv = wsf_files_create(files, mode, pair, wsf_options_get(listener->options)->stdio_buffer_bytes);
	if (rv != 0)
		return wsf_fail_errno(failure, -rv, "cannot make a stream");
	shared = ops->share != NULL ? ops->share(listener->source) : NULL;
	if ((rv = next_stream(listener, &stream)) != 0) {
		if (ops->share != NULL)
			ops->leave(shared);
		wsf_files_drop(files);
		return wsf_fail_errno(failure, -rv, "cannot accept");
	}
	wsf_stream_take(stream, mode, ops->leave, shared);
	wsf_files_bind(files, stream);
	return 0;
}

static int accept_files(struct ws_listener *listener, const char *mode_text, bool pair, struct wsf_files *files,
    struct wsf_failure *failure)
{
	struct wsf_mode mode;
	int cancel, rv;

	if (listener == NULL)
		return wsf_fail(failure, EINVAL, "no listener");
	if (wsf_listener_inherited(listener))
		return wsf_fail(failure, EBADF, "the listener is of the process that forked this one");
	cancel = wsf_cancel_off();
	/* First of all: whoever closes the listener can't tell a call that blocks from one that soon will. */
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	listener->users++;
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	rv = wsf_mode_parse(&mode, mode_text, failure);
	if (rv == 0)
		rv = accept_as(listener, &mode, pair, files, failure);
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	wsf_listener_leave_locked(listener);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	wsf_cancel_back(cancel);
	return rv;
}

FILE *ws_accept(struct ws_listener *listener, const char *mode)
{
	struct wsf_failure failure = { 0 };
	struct wsf_files files;

	if (accept_files(listener, mode, false, &files, &failure) != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return files.file[0];
}

int ws_accept_pair(struct ws_listener *listener, FILE *half[2])
{
	struct wsf_failure failure = { 0 };
	struct wsf_files files;

	if (half == NULL)
		wsf_fail(&failure, EINVAL, "no place for the two streams");
	else if (accept_files(listener, "r+", true, &files, &failure) == 0) {
		half[0] = files.file[0];
		half[1] = files.file[1];
		return 0;
	}
	wsf_opener_failed(&failure);
	return -1;
}

int ws_listener_pollfd(struct ws_listener *listener)
{
	int rv = 0, fd = -1, cancel;

	if (listener == NULL || wsf_listener_inherited(listener)) {
		errno = listener == NULL ? EINVAL : EBADF;
		return -1;
	}
	cancel = wsf_cancel_off();
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	if (listener->pollfd.fd < 0)
		rv = wsf_pollfd_open(&listener->pollfd);
	if (rv == 0) {
		wsf_listener_raise_locked(listener);
		fd = listener->pollfd.fd;
	}
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	wsf_cancel_back(cancel);
	if (rv != 0)
		errno = -rv;
	return fd;
}
