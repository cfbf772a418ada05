/* SPDX-License-Identifier: 0BSD */
/*
 * Connections on their way to ws_accept, whose handshakes are done by whoever feeds them, and those that are open: they
 * are counted, and told when the listener stops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "listener_private.h"
#include "process.h"

/* Handshakes under way at once; with one more the oldest is cut, so that silent clients keep nobody out. */
#define PENDING_MAX 1024
/* So long a handshake may take before it has to give way to others where descriptors have run out. */
#define HANDSHAKE_NS INT64_C(500000000)

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

/* Half of the descriptors are for what is open, and for the rest of the program. */
static unsigned most_pending(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 2 > PENDING_MAX)
		return PENDING_MAX;
	return limit.rlim_cur / 2 > 0 ? (unsigned)(limit.rlim_cur / 2) : 1;
}

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
	listener->generation = wsf_process_generation();
	listener->ops = ops;
	listener->source = source;
	listener->options = wsf_options_ref(options);
	listener->most_pending = most_pending();
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

bool wsf_listener_inherited(const struct ws_listener *listener)
{
	return listener->generation != wsf_process_generation();
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

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	full = most != 0 && listener->open >= most;
	/* Or it has just been dropped. */
	ending = connection->place != PENDING || listener->ending;
	connection->counted = !full && !ending;
	if (connection->counted)
		listener->open++;
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	if (full || ending) {
		admission->reason = full ? "too many connections" : "the server is going away";
		return 503;
	}
	status = wsf_stream_authorize(stream, admission);
	if (status != 101) {
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
		uncount_locked(connection);
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	}
	return status;
}

static void stream_opened(void *user, struct wsf_stream *stream)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;
	bool ending;

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	ending = listener->ending;
	if (connection->place == PENDING) {
		wsf_connection_move_locked(connection, ending ? TURNED_AWAY : READY);
		wsf_listener_changed_locked(listener);
	}
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	if (ending)
		wsf_stream_turn_away(stream, WSF_GOING_AWAY);
}

static void over_locked(struct wsf_connection *connection)
{
	struct ws_listener *listener = connection->listener;

	uncount_locked(connection);
	connection->ended = true;
	/* Its descriptor may be what was missing. */
	if (listener->exhausted && !listener->paused && !listener->ending && !listener->over)
		listener->ops->resume(listener->source);
	listener->exhausted = false;
	if (listener->ending)
		wsf_event_notify(&listener->event);
}

/* Before it was opened: its observers have nothing to be told, so that nobody waits for them. */
static void stream_failed(void *user, struct wsf_stream *stream)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	over_locked(connection);
	wsf_connection_remove_locked(connection);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	wsf_connection_free(connection);
	wsf_stream_unref(stream);
}

static void stream_ended(void *user, struct wsf_stream *stream)
{
	struct wsf_connection *connection = user;
	struct ws_listener *listener = connection->listener;
	enum wsf_place place;

	(void)stream;
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	place = connection->place;
	over_locked(connection);
	if (place == TURNED_AWAY)
		wsf_connection_move_locked(connection, OVER);
	else if (place != READY)
		wsf_connection_remove_locked(connection);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	if (place == ACCEPTED || place == TOLD)
		wsf_connection_free(connection);
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
		.failed = stream_failed,
		.ended = stream_ended,
		.user = connection,
	};
	if ((rv = wsf_stream_create(&connection->stream, setup)) != 0) {
		free(connection);
		return rv;
	}
	connection->listener = listener;
	connection->since_ns = wsf_now_ns();
	atomic_fetch_add(&listener->refs, 1);
	*out = connection;
	return 0;
}

/*
 * The oldest of those whose handshakes are not done, with a reference, to be cut; NULL = none. The next call finds
 * another one: many may come before the first is gone. Who is let in already and about to be open is spared, as nobody
 * but its observers' thread could let go of it then.
 */
static struct wsf_stream *drop_oldest_locked(struct ws_listener *listener, int64_t before_ns)
{
	struct wsf_connection *oldest = listener->lists[PENDING].first;

	while (oldest != NULL && oldest->counted)
		oldest = oldest->next;
	if (oldest == NULL || oldest->since_ns > before_ns)
		return NULL;
	wsf_connection_move_locked(oldest, TURNED_AWAY);
	return wsf_stream_ref(oldest->stream);
}

static void cut(struct wsf_stream *stream)
{
	if (stream == NULL)
		return;
	wsf_stream_cut(stream);
	wsf_stream_unref(stream);
}

void wsf_listener_exhausted(struct ws_listener *listener)
{
	struct wsf_stream *oldest;

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	listener->exhausted = true;
	/* It is tried again soon. */
	oldest = drop_oldest_locked(listener, wsf_now_ns() - HANDSHAKE_NS);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	cut(oldest);
}

int wsf_listener_put(struct ws_listener *listener, struct wsf_stream_setup *setup, struct wsf_stream **stream)
{
	struct wsf_connection *connection;
	struct wsf_stream *oldest = NULL;
	bool ending;
	int rv = connection_new(&connection, listener, setup);

	if (rv != 0)
		return rv;
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	ending = listener->ending;
	if (!ending)
		append_locked(connection, PENDING);
	if (listener->lists[PENDING].count > listener->most_pending)
		oldest = drop_oldest_locked(listener, INT64_MAX);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
	cut(oldest);
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

	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	full = listener->lists[READY].count >= (unsigned)wsf_options_get(listener->options)->backlog;
	listener->paused = full;
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
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
		wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
		wsf_stream_let_go(stream);
		wsf_stream_unref(stream);
		wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	}
}

void wsf_listener_over(struct ws_listener *listener, bool last)
{
	wsf_lock(&listener->lock, WSF_RANK_LISTENER);
	if (last)
		cut_pending_locked(listener);
	listener->over = true;
	listener->closed = last;
	wsf_listener_changed_locked(listener);
	wsf_unlock(&listener->lock, WSF_RANK_LISTENER);
}
