/* SPDX-License-Identifier: 0BSD */
/* How a listener ends: all at once, or waiting for what is open. */
#include <errno.h>

#include "cancel.h"
#include "listener_private.h"

/* What nobody accepted any more is told so; those whose handshakes are not done go in wsf_listener_over. */
static void turn_away_ready_locked(struct ws_listener *listener)
{
	struct wsf_connection *connection;
	struct wsf_stream *stream;

	while ((connection = listener->lists[READY].first) != NULL) {
		if (connection->ended) {
			wsf_connection_move_locked(connection, OVER);
			continue;
		}
		wsf_connection_move_locked(connection, TURNED_AWAY);
		stream = wsf_stream_ref(connection->stream);
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		wsf_stream_turn_away(stream, WSF_GOING_AWAY);
		wsf_stream_unref(stream);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
}

/* Waits for observers. */
static void discard_over_locked(struct ws_listener *listener)
{
	struct wsf_connection *connection;

	while ((connection = listener->lists[OVER].first) != NULL) {
		wsf_connection_remove_locked(connection);
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		wsf_stream_discard(connection->stream);
		wsf_connection_free(connection);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
}

static void tell_accepted_locked(struct ws_listener *listener)
{
	struct wsf_connection *connection;
	struct wsf_stream *stream;

	while ((connection = listener->lists[ACCEPTED].first) != NULL) {
		wsf_connection_move_locked(connection, TOLD);
		stream = wsf_stream_ref(connection->stream);
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		wsf_stream_shutdown(stream, WSF_GOING_AWAY, NULL);
		wsf_stream_unref(stream);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
}

/* No connection comes any more, and none that comes out of the lists does either. */
static void end_locked(struct ws_listener *listener)
{
	bool first = !listener->ending;

	listener->ending = true;
	wsf_listener_changed_locked(listener);
	if (first) {
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		listener->ops->end(listener->source);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
	turn_away_ready_locked(listener);
}

/* Connections that nobody accepts any more, and those that somebody did. */
static unsigned left_locked(const struct ws_listener *listener)
{
	return listener->lists[PENDING].count + listener->lists[READY].count + listener->lists[TURNED_AWAY].count;
}

static unsigned accepted_locked(const struct ws_listener *listener)
{
	return listener->lists[ACCEPTED].count + listener->lists[TOLD].count;
}

/* Whether one of them is over only when this thread goes on with something else. */
static bool deadlocks_locked(const struct ws_listener *listener)
{
	static const enum wsf_place places[] = { ACCEPTED, TOLD, TURNED_AWAY };

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		const struct wsf_connection *one = listener->lists[places[i]].first;

		for (; one != NULL; one = one->next) {
			if (wsf_stream_deadlocks(one->stream))
				return true;
		}
	}
	return false;
}

static int wait_locked(struct ws_listener *listener, int64_t deadline)
{
	unsigned seen = wsf_event_seen(&listener->event);
	int rv;

	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	rv = wsf_event_wait(&listener->event, seen, deadline);
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	return rv;
}

int ws_listener_stop(struct ws_listener *listener, int timeout_ms)
{
	/* The thread that asks authorize is one that the connections need to get over. */
	int64_t deadline = wsf_deadline_ns(wsf_stream_authorizing() ? 0 : timeout_ms);
	bool deadlock;
	int cancel, rv = 0;

	if (listener == NULL || timeout_ms < -1 || wsf_listener_inherited(listener)) {
		errno = listener != NULL && wsf_listener_inherited(listener) ? EBADF : EINVAL;
		return -1;
	}
	cancel = wsf_cancel_off();
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	listener->users++;
	end_locked(listener);
	tell_accepted_locked(listener);
	deadlock = timeout_ms != 0 && deadlocks_locked(listener);
	while (rv == 0 && (!listener->closed || left_locked(listener) + accepted_locked(listener) > 0))
		rv = listener->closing ? -ETIMEDOUT : deadlock ? -EDEADLK : wait_locked(listener, deadline);
	/* That the socket is closed too is waited for, but nothing that counts. */
	if (left_locked(listener) + accepted_locked(listener) == 0)
		rv = 0;
	wsf_listener_leave_locked(listener);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	wsf_cancel_back(cancel);
	if (rv == 0)
		return 0;
	errno = -rv;
	return -1;
}

int ws_listener_close(struct ws_listener *listener)
{
	int cancel;

	if (listener == NULL)
		return 0;
	if (wsf_listener_inherited(listener)) {
		errno = EBADF;
		return -1;
	}
	cancel = wsf_cancel_off();
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	listener->closing = true;
	end_locked(listener);
	while (listener->users > 0 || !listener->closed || left_locked(listener) > 0)
		(void)wait_locked(listener, WSF_NO_DEADLINE);
	discard_over_locked(listener);
	wsf_pollfd_close(&listener->pollfd);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	listener->ops->free(listener->source);
	wsf_listener_unref(listener);
	wsf_cancel_back(cancel);
	return 0;
}
