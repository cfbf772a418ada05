/* SPDX-License-Identifier: 0BSD */
/*
 * Connections on their way to ws_accept, whose handshakes are done by whoever feeds them, and those that are open: they
 * are counted, and told when the listener stops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "listener_private.h"

/* Handshakes under way at once; with one more the oldest is cut, so that silent clients keep nobody out. */
#define PENDING_MAX 1024

static void append_locked(struct wsf_connection *connection, enum wsf_place place)
{
	struct wsf_connections *list = &connection->listener->lists[place];

	connection->place = place;
	connection->previous = list->last;
	connection->next = NULL;
	if (list->last != NULL)
		list->last->next = connection;
	else
		list->first = connection;
	list->last = connection;
	list->count++;
}

void wsf_connection_remove_locked(struct wsf_connection *connection)
{
	struct wsf_connections *list = &connection->listener->lists[connection->place];

	if (connection->previous != NULL)
		connection->previous->next = connection->next;
	else
		list->first = connection->next;
	if (connection->next != NULL)
		connection->next->previous = connection->previous;
	else
		list->last = connection->previous;
	list->count--;
}

void wsf_connection_move_locked(struct wsf_connection *connection, enum wsf_place place)
{
	wsf_connection_remove_locked(connection);
	append_locked(connection, place);
}

void wsf_listener_raise_locked(struct ws_listener *listener)
{
	wsf_pollfd_set(&listener->pollfd, listener->lists[READY].count > 0 || listener->ending || listener->over);
}

void wsf_listener_changed_locked(struct ws_listener *listener)
{
	wsf_listener_raise_locked(listener);
	wsf_event_notify(&listener->event);
}

/* --- life --- */

int wsf_listener_create(struct ws_listener **out, struct wsf_options *options, const char *url,
    const struct wsf_listener_ops *ops, void *source)
{
	struct ws_listener *listener = calloc(1, sizeof *listener);

	if (listener == NULL)
		return -ENOMEM;
	listener->url = strdup(url);
	if (listener->url == NULL) {
		free(listener);
		return -ENOMEM;
	}
	atomic_init(&listener->refs, 1);
	listener->ops = ops;
	listener->source = source;
	listener->options = wsf_options_ref(options);
	listener->pollfd = (struct wsf_pollfd)WSF_POLLFD_NONE;
	pthread_mutex_init(&listener->lock, NULL);
	wsf_event_init(&listener->event);
	*out = listener;
	return 0;
}

void wsf_listener_unref(struct ws_listener *listener)
{
	if (atomic_fetch_sub(&listener->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&listener->lock);
	wsf_event_destroy(&listener->event);
	wsf_options_unref(listener->options);
	free(listener->url);
	free(listener);
}

void wsf_listener_drop(struct ws_listener *listener)
{
	if (listener != NULL)
		wsf_listener_unref(listener);
}

void *wsf_listener_source(const struct ws_listener *listener, const struct wsf_listener_ops *ops)
{
	return listener != NULL && listener->ops == ops ? listener->source : NULL;
}

const char *ws_listener_url(const struct ws_listener *listener)
{
	return listener->url;
}

void wsf_connection_free(struct wsf_connection *connection)
{
	wsf_listener_unref(connection->listener);
	free(connection);
}

/* --- the thread that feeds a stream --- */

static void uncount_locked(struct wsf_connection *connection)
{
	if (connection->counted)
		connection->listener->open--;
	connection->counted = false;
}

/* Asked before it is open. The place is taken first: authorize is not troubled for those who find none. */
static int stream_admit(void *user, struct wsf_stream *stream, struct wsf_admission *admission)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;
	unsigned most = wsf_options_get(listener->options)->max_connections;
	bool full, ending;
	int status;

	pthread_mutex_lock(&listener->lock);
	full = most != 0 && listener->open >= most;
	ending = listener->ending;
	connection->counted = !full && !ending;
	if (connection->counted)
		listener->open++;
	pthread_mutex_unlock(&listener->lock);
	if (full || ending) {
		admission->reason = full ? "too many connections" : "the server is going away";
		return 503;
	}
	status = wsf_stream_authorize(stream, admission);
	if (status != 101) {
		pthread_mutex_lock(&listener->lock);
		uncount_locked(connection);
		pthread_mutex_unlock(&listener->lock);
	}
	return status;
}

static void stream_opened(void *user, struct wsf_stream *stream)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;
	bool ending;

	pthread_mutex_lock(&listener->lock);
	ending = listener->ending;
	if (connection->place == PENDING) {
		wsf_connection_move_locked(connection, ending ? TURNED_AWAY : READY);
		wsf_listener_changed_locked(listener);
	}
	pthread_mutex_unlock(&listener->lock);
	if (ending)
		wsf_stream_turn_away(stream, WSF_GOING_AWAY);
}

/* Before or after it was opened. */
static void stream_over(void *user, struct wsf_stream *stream)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;
	enum wsf_place place;

	pthread_mutex_lock(&listener->lock);
	place = connection->place;
	uncount_locked(connection);
	connection->ended = true;
	if (place == TURNED_AWAY)
		wsf_connection_move_locked(connection, OVER);
	else if (place != READY)
		wsf_connection_remove_locked(connection);
	if (listener->ending)
		wsf_event_notify(&listener->event);
	pthread_mutex_unlock(&listener->lock);
	if (place == READY || place == TURNED_AWAY)
		return;
	wsf_connection_free(connection);
	if (place != ACCEPTED && place != TOLD)
		wsf_stream_unref(stream);
}

static int connection_new(struct wsf_connection **out, struct ws_listener *listener, struct wsf_stream_setup *setup)
{
	struct wsf_connection *connection = calloc(1, sizeof *connection);
	int rv;

	if (connection == NULL)
		return -ENOMEM;
	setup->options = listener->options;
	setup->owner = (struct wsf_stream_owner){
		.admit = stream_admit,
		.opened = stream_opened,
		.failed = stream_over,
		.ended = stream_over,
		.user = connection,
	};
	if ((rv = wsf_stream_create(&connection->stream, setup)) != 0) {
		free(connection);
		return rv;
	}
	connection->listener = listener;
	atomic_fetch_add(&listener->refs, 1);
	*out = connection;
	return 0;
}

/*
 * The oldest of those whose handshakes are not done, if they are too many, with a reference. The next call finds
 * another one: many may come before the first is cut.
 */
static struct wsf_stream *drop_oldest_locked(struct ws_listener *listener)
{
	struct wsf_connection *oldest = listener->lists[PENDING].first;

	if (listener->lists[PENDING].count <= PENDING_MAX)
		return NULL;
	wsf_connection_move_locked(oldest, TURNED_AWAY);
	return wsf_stream_ref(oldest->stream);
}

int wsf_listener_put(struct ws_listener *listener, struct wsf_stream_setup *setup, struct wsf_stream **stream)
{
	struct wsf_connection *connection;
	struct wsf_stream *oldest;
	bool ending;
	int rv = connection_new(&connection, listener, setup);

	if (rv != 0)
		return rv;
	pthread_mutex_lock(&listener->lock);
	ending = listener->ending;
	if (!ending)
		append_locked(connection, PENDING);
	oldest = drop_oldest_locked(listener);
	pthread_mutex_unlock(&listener->lock);
	if (oldest != NULL) {
		wsf_stream_cut(oldest);
		wsf_stream_unref(oldest);
	}
	*stream = connection->stream;
	if (!ending)
		return 0;
	wsf_stream_unref(connection->stream);
	wsf_connection_free(connection);
	return -ECANCELED;
}

bool wsf_listener_full(struct ws_listener *listener)
{
	bool full;

	pthread_mutex_lock(&listener->lock);
	full = listener->lists[READY].count >= (unsigned)wsf_options_get(listener->options)->backlog;
	listener->paused = full;
	pthread_mutex_unlock(&listener->lock);
	return full;
}

/* Those whose handshakes are not done. Each has its transport by now. */
static void cut_pending_locked(struct ws_listener *listener)
{
	struct wsf_connection *connection;
	struct wsf_stream *stream;

	while ((connection = listener->lists[PENDING].first) != NULL) {
		wsf_connection_move_locked(connection, TURNED_AWAY);
		stream = wsf_stream_ref(connection->stream);
		pthread_mutex_unlock(&listener->lock);
		wsf_stream_let_go(stream);
		wsf_stream_unref(stream);
		pthread_mutex_lock(&listener->lock);
	}
}

void wsf_listener_over(struct ws_listener *listener, bool last)
{
	pthread_mutex_lock(&listener->lock);
	if (last)
		cut_pending_locked(listener);
	listener->over = true;
	listener->closed = last;
	wsf_listener_changed_locked(listener);
	pthread_mutex_unlock(&listener->lock);
}
