/* SPDX-License-Identifier: 0BSD */
/* ws_listen and ws_accept: the helper thread accepts connections and does their handshakes; then they are queued. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind.h"
#include "cookie.h"
#include "deflate.h"
#include "opener.h"
#include "service.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

/* Handshakes under way at once; with one more the oldest is cut, so that silent clients keep nobody out. */
#define PENDING_MAX 1024

/* A connection that no program has yet. It is in one of the listener's two lists. */
struct waiting {
	struct waiting *previous, *next;	/* [K] */
	struct ws_listener *listener;	/* [I] */
	struct wsf_stream *stream;	/* [I] one reference */
	bool opened;			/* [K] in ready, not in pending */
	bool removed;			/* [K] in no list: whoever removed it frees it */
};

struct list {
	struct waiting *first, *last;
	unsigned count;
};

/* Legend: [I] immutable once ws_listen returns, [K] the listener's lock. */
struct ws_listener {
	struct wsf_service *service;	/* [I] */
	struct wsf_link *link;		/* [I] */
	struct wsf_options *options;	/* [I] */
	char *url, *path;		/* [I] path NULL = every one is served */
	char *socket;			/* [I] the local socket's path, or NULL */
	bool secure;			/* [I] */
	struct wsf_bound bound;		/* [I] */
	pthread_mutex_t lock;
	struct wsf_tls_context *tls_context;	/* [K] for connections to come; NULL = plain */
	struct wsf_event event;		/* ready, closing, over, closed, acceptors changed */
	struct list pending, ready;	/* [K] handshake under way; done */
	unsigned acceptors;		/* [K] threads in ws_accept */
	bool paused;			/* [K] the socket is not watched until wsf_service_resume */
	bool closing;			/* [K] ws_listener_close was called */
	bool over, closed;		/* [K] no connections come any more; the helper knows nothing of it any more */
};

static void append(struct list *list, struct waiting *waiting)
{
	waiting->previous = list->last;
	waiting->next = NULL;
	if (list->last != NULL)
		list->last->next = waiting;
	else
		list->first = waiting;
	list->last = waiting;
	list->count++;
}

static void unlink_waiting(struct list *list, struct waiting *waiting)
{
	if (waiting->previous != NULL)
		waiting->previous->next = waiting->next;
	else
		list->first = waiting->next;
	if (waiting->next != NULL)
		waiting->next->previous = waiting->previous;
	else
		list->last = waiting->previous;
	list->count--;
}

/* --- the helper thread --- */

static void stream_opened(void *user, struct wsf_stream *stream)
{
	struct waiting *waiting = user;
	struct ws_listener *listener = waiting->listener;

	(void)stream;
	pthread_mutex_lock(&listener->lock);
	waiting->opened = true;
	if (!waiting->removed) {
		unlink_waiting(&listener->pending, waiting);
		append(&listener->ready, waiting);
		wsf_event_notify(&listener->event);
	}
	pthread_mutex_unlock(&listener->lock);
}

static void stream_failed(void *user, struct wsf_stream *stream)
{
	struct waiting *waiting = user;
	struct ws_listener *listener = waiting->listener;
	bool removed;

	pthread_mutex_lock(&listener->lock);
	removed = waiting->removed;
	if (!removed)
		unlink_waiting(&listener->pending, waiting);
	pthread_mutex_unlock(&listener->lock);
	if (removed)
		return;
	free(waiting);
	wsf_stream_unref(stream);
}

static struct waiting *waiting_new(struct ws_listener *listener, int fd)
{
	struct waiting *waiting = calloc(1, sizeof *waiting);
	const struct wsf_stream_setup setup = {
		.role = WSF_SERVER,
		.options = listener->options,
		.path = listener->path,
		.owner = { .opened = stream_opened, .failed = stream_failed, .user = waiting },
		.handshake_deadline_ns = wsf_deadline_ns(wsf_options_get(listener->options)->handshake_timeout_ms),
		.fd = fd,
		.local_path = listener->socket,
	};

	if (waiting == NULL)
		return NULL;
	waiting->listener = listener;
	if (wsf_stream_create(&waiting->stream, &setup) != 0) {
		free(waiting);
		return NULL;
	}
	return waiting;
}

/* The beginning of TLS with a client; *tls stays NULL for a plain listener. */
static int start_tls(struct ws_listener *listener, struct wsf_tls **tls)
{
	struct wsf_tls_context *context = NULL;
	int rv = 0;

	*tls = NULL;
	pthread_mutex_lock(&listener->lock);
	if (listener->tls_context != NULL)
		context = wsf_tls_context_ref(listener->tls_context);
	pthread_mutex_unlock(&listener->lock);
	if (context != NULL)
		rv = wsf_tls_create(tls, context, NULL, NULL);
	wsf_tls_context_unref(context);
	return rv;
}

static bool incoming(void *user, int fd)
{
	struct ws_listener *listener = user;
	struct waiting *waiting;
	struct wsf_stream *oldest = NULL;
	struct wsf_tls *tls;
	int on = 1;
	bool go_on;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	waiting = start_tls(listener, &tls) == 0 ? waiting_new(listener, fd) : NULL;
	if (waiting == NULL) {
		/* Out of memory: this connection is refused, the listener goes on. */
		wsf_tls_free(tls);
		close(fd);
		return true;
	}
	pthread_mutex_lock(&listener->lock);
	append(&listener->pending, waiting);
	if (listener->pending.count > PENDING_MAX)
		oldest = wsf_stream_ref(listener->pending.first->stream);
	go_on = listener->ready.count < (unsigned)wsf_options_get(listener->options)->backlog;
	listener->paused = !go_on;
	pthread_mutex_unlock(&listener->lock);
	if (oldest != NULL) {
		wsf_stream_cut(oldest);
		wsf_stream_unref(oldest);
	}
	if (wsf_service_adopt(listener->service, fd, tls, waiting->stream) != 0) {
		wsf_tls_free(tls);
		close(fd);
		stream_failed(waiting, waiting->stream);
	}
	return go_on;
}

static void listener_over(void *user, bool last)
{
	struct ws_listener *listener = user;

	pthread_mutex_lock(&listener->lock);
	listener->over = true;
	listener->closed = last;
	wsf_event_notify(&listener->event);
	pthread_mutex_unlock(&listener->lock);
}

static const struct wsf_listen_ops listen_ops = { .incoming = incoming, .over = listener_over };

/* --- ws_listen --- */

static int set_texts(struct ws_listener *listener, const struct wsf_url *url)
{
	const char *path = wsf_options_get(listener->options)->path;

	if (path == NULL && strcmp(url->target, "/") != 0)
		path = url->target;
	if (path != NULL && (listener->path = strdup(path)) == NULL)
		return -ENOMEM;
	if (url->socket != NULL && (listener->socket = strdup(url->socket)) == NULL)
		return -ENOMEM;
	listener->url = wsf_url_format(url, listener->bound.port, path != NULL ? path : "/");
	return listener->url != NULL ? 0 : -ENOMEM;
}

static void listener_free(struct ws_listener *listener)
{
	pthread_mutex_destroy(&listener->lock);
	wsf_event_destroy(&listener->event);
	wsf_options_unref(listener->options);
	wsf_tls_context_unref(listener->tls_context);
	free(listener->socket);
	free(listener->path);
	free(listener->url);
	free(listener);
}

static struct ws_listener *listener_new(struct wsf_options *options)
{
	struct ws_listener *listener = calloc(1, sizeof *listener);

	if (listener == NULL)
		return NULL;
	pthread_mutex_init(&listener->lock, NULL);
	wsf_event_init(&listener->event);
	listener->options = wsf_options_ref(options);
	return listener;
}

static int start_listener(const struct wsf_url *url, struct wsf_options *options, struct ws_listener **out,
    struct wsf_failure *failure)
{
	struct ws_listener *listener = listener_new(options);
	int rv = 0;

	if (listener == NULL)
		return wsf_fail(failure, ENOMEM, "out of memory");
	listener->secure = url->secure;
	if (url->secure)
		rv = wsf_tls_server_context(&listener->tls_context, wsf_options_get(options), failure);
	if (rv == 0)
		rv = wsf_bind(&listener->bound, url, wsf_options_get(options), failure);
	if (rv != 0) {
		listener_free(listener);
		return rv;
	}
	rv = set_texts(listener, url);
	if (rv == 0 && (rv = wsf_service_acquire(&listener->service,
	    wsf_options_get(options)->helper_threads)) == 0 &&
	    (rv = wsf_service_listen(listener->service, listener->bound.fd, &listen_ops, listener,
	    &listener->link)) != 0)
		wsf_service_release(listener->service);
	if (rv != 0) {
		wsf_bound_clear(&listener->bound);
		close(listener->bound.fd);
		listener_free(listener);
		return wsf_fail_errno(failure, -rv, "cannot start the listener");
	}
	*out = listener;
	return 0;
}

static int check_use(const struct wsf_url *url, const struct ws_options *values, struct wsf_failure *failure)
{
	if (url->userinfo != NULL || strchr(url->target, '?') != NULL)
		return wsf_fail(failure, EINVAL, "a listener's URL has no user and no query");
	if (values->compression == WS_COMPRESSION_ON && !wsf_deflate_available())
		return wsf_fail(failure, EPROTONOSUPPORT, "compression: this build has none");
	return 0;
}

static int listen_url(const char *text, const struct ws_options *options_in, struct ws_listener **listener,
    struct wsf_failure *failure)
{
	struct wsf_options *options;
	struct wsf_url url;
	char reason[sizeof failure->text];
	int rv = wsf_options_copy(&options, options_in, failure);

	if (rv != 0)
		return rv;
	rv = wsf_url_parse(&url, text, WSF_URL_LISTEN, reason, sizeof reason);
	if (rv != 0) {
		wsf_fail(failure, -rv, "%s", reason);
	} else {
		rv = check_use(&url, wsf_options_get(options), failure);
		if (rv == 0)
			rv = start_listener(&url, options, listener, failure);
		wsf_url_clear(&url);
	}
	wsf_options_unref(options);
	return rv;
}

struct ws_listener *ws_listen(const char *url, const struct ws_options *options)
{
	struct wsf_failure failure = { 0 };
	struct ws_listener *listener = NULL;

	if (listen_url(url, options, &listener, &failure) != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return listener;
}

int ws_listener_reload(struct ws_listener *listener)
{
	struct wsf_failure failure = { 0 };
	struct wsf_tls_context *context, *before;

	if (listener == NULL)
		wsf_fail(&failure, EINVAL, "no listener");
	else if (listener->secure &&
	    wsf_tls_server_context(&context, wsf_options_get(listener->options), &failure) == 0) {
		pthread_mutex_lock(&listener->lock);
		before = listener->tls_context;
		listener->tls_context = context;
		pthread_mutex_unlock(&listener->lock);
		wsf_tls_context_unref(before);
	}
	if (failure.error == 0)
		return 0;
	wsf_opener_failed(&failure);
	return -1;
}

const char *ws_listener_url(const struct ws_listener *listener)
{
	return listener->url;
}

/* --- ws_accept --- */

/* Take the first one that is ready. Returns 0, -EINTR, -EBADF. */
static int next_stream(struct ws_listener *listener, struct wsf_stream **stream)
{
	struct waiting *waiting;
	unsigned seen;
	int rv = 0;

	pthread_mutex_lock(&listener->lock);
	listener->acceptors++;
	while (!listener->closing && !listener->over && listener->ready.count == 0 && rv == 0) {
		seen = wsf_event_seen(&listener->event);
		pthread_mutex_unlock(&listener->lock);
		rv = wsf_event_wait(&listener->event, seen, WSF_NO_DEADLINE);
		pthread_mutex_lock(&listener->lock);
	}
	if (listener->closing || (listener->over && listener->ready.count == 0)) {
		rv = -EBADF;
	} else if ((waiting = listener->ready.first) != NULL) {
		unlink_waiting(&listener->ready, waiting);
		*stream = waiting->stream;
		free(waiting);
		if (listener->paused)
			wsf_service_resume(listener->link);
		listener->paused = false;
		rv = 0;
	}
	if (--listener->acceptors == 0 && listener->closing)
		wsf_event_notify(&listener->event);
	pthread_mutex_unlock(&listener->lock);
	return rv;
}

static int accept_files(struct ws_listener *listener, const char *mode_text, bool pair, struct wsf_files *files,
    struct wsf_failure *failure)
{
	struct wsf_service *service;
	struct wsf_stream *stream = NULL;
	struct wsf_mode mode;
	int rv;

	if (listener == NULL)
		return wsf_fail(failure, EINVAL, "no listener");
	if ((rv = wsf_mode_parse(&mode, mode_text, failure)) != 0)
		return rv;
	rv = wsf_files_create(files, &mode, pair, wsf_options_get(listener->options)->stdio_buffer_bytes);
	if (rv != 0)
		return wsf_fail_errno(failure, -rv, "cannot make a stream");
	/* The listener keeps the service running until there is a stream that does. */
	service = listener->service;
	wsf_service_share(service);
	if ((rv = next_stream(listener, &stream)) != 0) {
		wsf_service_release(service);
		wsf_files_drop(files);
		return wsf_fail_errno(failure, -rv, "cannot accept");
	}
	wsf_stream_take(stream, &mode, wsf_service_leave, service);
	wsf_files_bind(files, stream);
	return 0;
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

/* --- ws_listener_close --- */

static void wait_closed_locked(struct ws_listener *listener)
{
	unsigned seen;

	while (!listener->closed || listener->acceptors > 0) {
		seen = wsf_event_seen(&listener->event);
		pthread_mutex_unlock(&listener->lock);
		(void)wsf_event_wait(&listener->event, seen, WSF_NO_DEADLINE);
		pthread_mutex_lock(&listener->lock);
	}
}

/* What nobody accepted: told 1001 where it is open, cut where it is not. */
static void turn_away_all_locked(struct ws_listener *listener)
{
	struct waiting *waiting;
	struct list *list;
	bool opened;

	for (;;) {
		list = listener->ready.first != NULL ? &listener->ready : &listener->pending;
		waiting = list->first;
		if (waiting == NULL)
			return;
		unlink_waiting(list, waiting);
		waiting->removed = true;
		opened = waiting->opened;
		pthread_mutex_unlock(&listener->lock);
		if (opened)
			wsf_stream_turn_away(waiting->stream, 1001);
		wsf_stream_discard(waiting->stream);
		free(waiting);
		pthread_mutex_lock(&listener->lock);
	}
}

int ws_listener_close(struct ws_listener *listener)
{
	struct wsf_service *service;

	if (listener == NULL)
		return 0;
	pthread_mutex_lock(&listener->lock);
	listener->closing = true;
	wsf_event_notify(&listener->event);
	pthread_mutex_unlock(&listener->lock);
	/* As long as the socket is open, its file can't be taken for another's. */
	wsf_bound_clear(&listener->bound);
	wsf_service_end(listener->link);
	pthread_mutex_lock(&listener->lock);
	wait_closed_locked(listener);
	turn_away_all_locked(listener);
	pthread_mutex_unlock(&listener->lock);
	service = listener->service;
	wsf_service_free(listener->link);
	listener_free(listener);
	wsf_service_release(service);
	return 0;
}
