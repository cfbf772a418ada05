/* SPDX-License-Identifier: 0BSD */
/*
 * Streams over the connections of a program that runs libwebsockets itself: ws_listen_lws, ws_lws_protocol, and the
 * listener's source behind them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach_lws.h"
#include "opener.h"

/* --- the hub's life --- */

void wsf_hub_ref(struct wsf_hub *hub)
{
	atomic_fetch_add(&hub->refs, 1);
}

void wsf_hub_unref(struct wsf_hub *hub)
{
	if (atomic_fetch_sub(&hub->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&hub->feed_lock);
	pthread_mutex_destroy(&hub->queue_lock);
	wsf_options_unref(hub->options);
	free((char *)(uintptr_t)hub->protocol.name);
	free(hub);
}

static struct wsf_hub *hub_new(const char *name, struct wsf_options *options)
{
	struct wsf_hub *hub = calloc(1, sizeof *hub);
	char *copy = strdup(name);

	if (hub == NULL || copy == NULL) {
		free(copy);
		free(hub);
		return NULL;
	}
	atomic_init(&hub->refs, 1);
	atomic_init(&hub->vhosts, 0);
	atomic_init(&hub->full, false);
	pthread_mutex_init(&hub->feed_lock, NULL);
	pthread_mutex_init(&hub->queue_lock, NULL);
	hub->queue_end = &hub->queue;
	hub->options = wsf_options_ref(options);
	hub->protocol = (struct lws_protocols){
		.name = copy,
		.callback = wsf_hub_callback,
		.rx_buffer_size = WSF_CHUNK_MAX,
		.user = hub,
		/* What it sends at once: it keeps the rest itself, and then does not answer a Close. */
		.tx_packet_size = WSF_PIECE_MAX + LWS_PRE,
	};
	return hub;
}

/* --- the listener's source --- */

/* The listener's lock is held. */
static void hub_resume(void *source)
{
	struct wsf_hub *hub = source;

	atomic_store(&hub->full, false);
}

static void hub_end(void *source)
{
	struct wsf_hub *hub = source;
	struct ws_listener *listener;

	wsf_lock(&hub->feed_lock, WSF_RANK_FEED);
	listener = hub->listener;
	hub->listener = NULL;
	wsf_unlock(&hub->feed_lock, WSF_RANK_FEED);
	wsf_listener_over(listener, true);
}

static void hub_free(void *source)
{
	wsf_hub_unref(source);
}

static const struct wsf_listener_ops hub_ops = { .resume = hub_resume, .end = hub_end, .free = hub_free };

/* --- public --- */

/* Of the opening, only libwebsockets and the program decide; and a late answer to a Close is more than its role can. */
static int copy_options(struct wsf_options **options, const char *name, const struct ws_options *in,
    struct wsf_failure *failure)
{
	static const struct ws_options defaults = WS_OPTIONS_INIT;
	static const char *const any[] = { "*", NULL };
	const char *const subprotocols[] = { name, NULL };
	struct ws_options values = defaults;
	struct wsf_options *checked;
	int rv;

	/* First as they are, so that what is wrong is told, and a shorter struct is filled up. */
	if ((rv = wsf_options_copy(&checked, in, failure)) != 0)
		return rv;
	values = *wsf_options_get(checked);
	values.subprotocols = subprotocols;
	values.headers = NULL;
	values.max_header_bytes = WSF_REQUEST_MAX;
	values.allowed_origins = any;
	values.path = NULL;
	values.authorize = NULL;
	values.max_connections = 0;
	values.compression = WS_COMPRESSION_OFF;
	values.linger_ms = 0;
	rv = wsf_options_copy(options, &values, failure);
	wsf_options_unref(checked);
	return rv;
}

static int listen_lws(const char *name, const struct ws_options *in, struct ws_listener **listener,
    struct wsf_failure *failure)
{
	struct wsf_options *options;
	struct wsf_hub *hub;
	int rv;

	if (name == NULL || name[0] == '\0')
		return wsf_fail(failure, EINVAL, "no protocol name");
	if ((rv = copy_options(&options, name, in, failure)) != 0)
		return rv;
	hub = hub_new(name, options);
	rv = hub != NULL ? wsf_listener_create(listener, options, "", &hub_ops, hub) : -ENOMEM;
	wsf_options_unref(options);
	if (rv == 0) {
		hub->listener = *listener;
		return 0;
	}
	if (hub != NULL)
		wsf_hub_unref(hub);
	return wsf_fail(failure, ENOMEM, "out of memory");
}

struct ws_listener *ws_listen_lws(const char *protocol_name, const struct ws_options *options)
{
	struct wsf_failure failure = { 0 };
	struct ws_listener *listener = NULL;

	if (listen_lws(protocol_name, options, &listener, &failure) != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return listener;
}

const struct lws_protocols *ws_lws_protocol(struct ws_listener *listener)
{
	struct wsf_hub *hub = wsf_listener_source(listener, &hub_ops);

	if (hub == NULL) {
		errno = EINVAL;
		return NULL;
	}
	return &hub->protocol;
}
