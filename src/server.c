/* SPDX-License-Identifier: 0BSD */
/* ws_listen: a listener whose connections come out of a socket; the helper threads accept them. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind.h"
#include "cancel.h"
#include "deflate.h"
#include "listener.h"
#include "lock.h"
#include "opener.h"
#include "process.h"
#include "service.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

/* The source of a listener. Legend: [I] immutable once ws_listen returns, [K] its lock, innermost. */
struct server {
	struct ws_listener *listener;	/* [I] */
	struct wsf_service *service;	/* [I] */
	struct wsf_link *link;		/* [I] */
	struct wsf_options *options;	/* [I] */
	char *path;			/* [I] NULL = every one is served */
	char *socket;			/* [I] the local socket's path, or NULL */
	bool secure;			/* [I] */
	struct wsf_bound bound;		/* [I] */
	pthread_mutex_t lock;
	struct wsf_tls_context *tls_context;	/* [K] for connections to come; NULL = plain */
};

/* --- the helper thread --- */

/* The beginning of TLS with a client; *tls stays NULL for a plain listener. */
static int start_tls(struct server *server, struct wsf_tls **tls)
{
	struct wsf_tls_context *context = NULL;
	int rv = 0;

	*tls = NULL;
	wsf_lock(&server->lock, WSF_RANK_SERVER);
	if (server->tls_context != NULL)
		context = wsf_tls_context_ref(server->tls_context);
	wsf_unlock(&server->lock, WSF_RANK_SERVER);
	if (context != NULL)
		rv = wsf_tls_create(tls, context, NULL, NULL);
	wsf_tls_context_unref(context);
	return rv;
}

static int put_stream(struct server *server, int fd, struct wsf_tls *tls)
{
	struct wsf_stream_setup setup = {
		.role = WSF_SERVER,
		.path = server->path,
		.handshake_deadline_ns = wsf_deadline_ns(wsf_options_get(server->options)->handshake_timeout_ms),
		.fd = fd,
		.local_path = server->socket,
	};
	struct wsf_stream *stream;
	int rv = wsf_listener_put(server->listener, &setup, &stream);

	if (rv == 0 && (rv = wsf_service_adopt(server->service, fd, tls, stream)) != 0)
		setup.owner.failed(setup.owner.user, stream);
	return rv;
}

static bool incoming(void *user, int fd)
{
	struct server *server = user;
	struct wsf_tls *tls;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (start_tls(server, &tls) != 0 || put_stream(server, fd, tls) != 0) {
		/* Out of memory: this connection is refused, the listener goes on. */
		wsf_tls_free(tls);
		wsf_process_close(fd);
	}
	return !wsf_listener_full(server->listener);
}

static void exhausted(void *user)
{
	struct server *server = user;

	wsf_listener_exhausted(server->listener);
}

static void over(void *user, bool last)
{
	struct server *server = user;

	wsf_listener_over(server->listener, last);
}

static const struct wsf_listen_ops listen_ops = { .incoming = incoming, .exhausted = exhausted, .over = over };

/* --- what the listener asks for --- */

static void server_resume(void *source)
{
	struct server *server = source;

	wsf_service_resume(server->link);
}

static void server_end(void *source)
{
	struct server *server = source;

	/* As long as the socket is open, its file can't be taken for another's. */
	wsf_bound_clear(&server->bound);
	wsf_service_end(server->link);
}

static void server_drop(struct server *server)
{
	pthread_mutex_destroy(&server->lock);
	wsf_options_unref(server->options);
	wsf_tls_context_unref(server->tls_context);
	free(server->socket);
	free(server->path);
	free(server);
}

static void server_free(void *source)
{
	struct server *server = source;
	struct wsf_service *service = server->service;

	wsf_service_free(server->link);
	server_drop(server);
	wsf_service_release(service);
}

static void *server_share(void *source)
{
	struct server *server = source;

	wsf_service_share(server->service);
	return server->service;
}

static const struct wsf_listener_ops server_ops = {
	.resume = server_resume,
	.end = server_end,
	.free = server_free,
	.share = server_share,
	.leave = wsf_service_leave,
};

/* --- ws_listen --- */

static int set_texts(struct server *server, const struct wsf_url *url, char **text)
{
	const char *path = wsf_options_get(server->options)->path;
	const struct wsf_bound *bound = &server->bound;
	struct wsf_url shown = *url;

	if (bound->inherited) {
		shown.host = bound->host;
		shown.ipv6 = bound->ipv6;
		shown.socket = bound->socket;
	}
	if (path == NULL && strcmp(url->target, "/") != 0)
		path = url->target;
	if (path != NULL && (server->path = strdup(path)) == NULL)
		return -ENOMEM;
	if (shown.socket != NULL && (server->socket = strdup(shown.socket)) == NULL)
		return -ENOMEM;
	*text = wsf_url_format(&shown, bound->port, path != NULL ? path : "/");
	return *text != NULL ? 0 : -ENOMEM;
}

static struct server *server_new(struct wsf_options *options)
{
	struct server *server = calloc(1, sizeof *server);

	if (server == NULL)
		return NULL;
	pthread_mutex_init(&server->lock, NULL);
	server->options = wsf_options_ref(options);
	return server;
}

/* Its socket is bound. Returns 0 or a negative errno. */
static int start_service(struct server *server, const struct wsf_url *url)
{
	char *text = NULL;
	int rv = set_texts(server, url, &text);

	if (rv == 0)
		rv = wsf_listener_create(&server->listener, server->options, text, &server_ops, server);
	free(text);
	if (rv != 0)
		return rv;
	rv = wsf_service_acquire(&server->service, wsf_options_get(server->options)->helper_threads);
	if (rv == 0 && (rv = wsf_service_listen(server->service, server->bound.fd, &listen_ops, server,
	    &server->link)) != 0)
		wsf_service_release(server->service);
	if (rv != 0)
		wsf_listener_drop(server->listener);
	return rv;
}

static int start_listener(const struct wsf_url *url, struct wsf_options *options, struct ws_listener **out,
    struct wsf_failure *failure)
{
	struct server *server = server_new(options);
	int rv = 0;

	if (server == NULL)
		return wsf_fail(failure, ENOMEM, "out of memory");
	server->secure = url->secure;
	if (url->secure)
		rv = wsf_tls_server_context(&server->tls_context, wsf_options_get(options), failure);
	if (rv == 0)
		rv = wsf_bind(&server->bound, url, wsf_options_get(options), failure);
	if (rv != 0) {
		server_drop(server);
		return rv;
	}
	rv = start_service(server, url);
	if (rv != 0) {
		wsf_bound_drop(&server->bound);
		server_drop(server);
		return wsf_fail_errno(failure, -rv, "cannot start the listener");
	}
	*out = server->listener;
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
	int cancel = wsf_cancel_off(), rv = listen_url(url, options, &listener, &failure);

	wsf_cancel_back(cancel);
	if (rv != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return listener;
}

int ws_listener_reload(struct ws_listener *listener)
{
	struct server *server = wsf_listener_source(listener, &server_ops);
	struct wsf_failure failure = { 0 };
	struct wsf_tls_context *context, *before;
	int cancel = wsf_cancel_off();

	if (listener == NULL)
		wsf_fail(&failure, EINVAL, "no listener");
	else if (wsf_listener_inherited(listener))
		wsf_fail(&failure, EBADF, "the listener is of the process that forked this one");
	else if (server != NULL && server->secure &&
	    wsf_tls_server_context(&context, wsf_options_get(server->options), &failure) == 0) {
		wsf_lock(&server->lock, WSF_RANK_SERVER);
		before = server->tls_context;
		server->tls_context = context;
		wsf_unlock(&server->lock, WSF_RANK_SERVER);
		wsf_tls_context_unref(before);
	}
	wsf_cancel_back(cancel);
	if (failure.error == 0)
		return 0;
	wsf_opener_failed(&failure);
	return -1;
}
