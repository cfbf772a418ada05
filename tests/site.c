/* SPDX-License-Identifier: 0BSD */
#include <check.h>
#include <string.h>

#include "peer.h"
#include "site.h"

static int task_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	struct site *site = lws_context_user(lws_get_context(wsi));

	if (reason != LWS_CALLBACK_EVENT_WAIT_CANCELLED)
		return lws_callback_http_dummy(wsi, reason, user, in, size);
	pthread_mutex_lock(&site->lock);
	if (site->task != NULL) {
		site->task(site->argument);
		site->task = NULL;
		pthread_cond_broadcast(&site->changed);
	}
	pthread_mutex_unlock(&site->lock);
	return 0;
}

static void *serve(void *argument)
{
	struct site *site = argument;

	while (!atomic_load(&site->stop))
		ck_assert_int_ge(lws_service(site->context, 0), 0);
	return NULL;
}

static void open_site(struct site *site, const struct ws_options *options, const struct lws_extension *extensions)
{
	struct lws_context_creation_info info = {
		.extensions = extensions,
		.protocols = site->protocols,
		.user = site,
		.vhost_name = "site",
		.iface = "127.0.0.1",
		.options = LWS_SERVER_OPTION_DISABLE_IPV6,
	};
	struct lws_vhost *vhost;

	peer_count_begin();
	lws_set_log_level(0, NULL);
	memset(site, 0, sizeof *site);
	pthread_mutex_init(&site->lock, NULL);
	pthread_cond_init(&site->changed, NULL);
	atomic_init(&site->stop, false);
	site->listener = ws_listen_lws(SITE_PROTOCOL, options);
	ck_assert_msg(site->listener != NULL, "%s", ws_last_error()->text);
	site->protocols[0] = (struct lws_protocols){ .name = "tasks", .callback = task_callback };
	site->protocols[1] = *ws_lws_protocol(site->listener);
	site->context = lws_create_context(&info);
	ck_assert_ptr_nonnull(site->context);
	vhost = lws_get_vhost_by_name(site->context, "site");
	ck_assert_ptr_nonnull(vhost);
	site->port = (unsigned)lws_get_vhost_listen_port(vhost);
	site->running = true;
	ck_assert_int_eq(pthread_create(&site->thread, NULL, serve, site), 0);
}

void site_open(struct site *site, const struct ws_options *options)
{
	open_site(site, options, NULL);
}

bool site_open_deflating(struct site *site, const struct ws_options *options)
{
#if defined(LWS_WITHOUT_EXTENSIONS)
	(void)site;
	(void)options;
	return false;
#else
	static const struct lws_extension extensions[] = {
		{ "permessage-deflate", lws_extension_callback_pm_deflate,
		    "permessage-deflate; client_no_context_takeover; client_max_window_bits" },
		{ NULL, NULL, NULL },
	};

	open_site(site, options, extensions);
	return true;
#endif
}

void site_stop(struct site *site)
{
	if (!site->running)
		return;
	atomic_store(&site->stop, true);
	lws_cancel_service(site->context);
	peer_join(site->thread);
	site->running = false;
}

void site_destroy(struct site *site)
{
	ck_assert(!site->running);
	if (site->context != NULL)
		lws_context_destroy(site->context);
	site->context = NULL;
}

void site_close(struct site *site)
{
	site_stop(site);
	site_destroy(site);
	ck_assert_int_eq(ws_listener_close(site->listener), 0);
	pthread_mutex_destroy(&site->lock);
	pthread_cond_destroy(&site->changed);
	peer_count_end();
}

void site_run(struct site *site, void (*task)(void *), void *argument)
{
	pthread_mutex_lock(&site->lock);
	site->argument = argument;
	site->task = task;
	lws_cancel_service(site->context);
	while (site->task != NULL)
		pthread_cond_wait(&site->changed, &site->lock);
	pthread_mutex_unlock(&site->lock);
}

struct way {
	struct lws_context *context;
	unsigned port;
};

static void connect_task(void *argument)
{
	const struct way *way = argument;
	const struct lws_client_connect_info info = {
		.context = way->context,
		.address = "127.0.0.1",
		.port = (int)way->port,
		.path = "/",
		.host = "127.0.0.1",
		.origin = "127.0.0.1",
		.protocol = SITE_PROTOCOL,
		.ietf_version_or_minus_one = -1,
	};

	ck_assert_ptr_nonnull(lws_client_connect_via_info(&info));
}

void site_connect(struct site *site, unsigned port)
{
	struct way way = { site->context, port };

	site_run(site, connect_task, &way);
}

FILE *site_accept(struct site *site, const char *mode)
{
	FILE *stream = ws_accept(site->listener, mode);

	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	return stream;
}

int site_peer(struct site *site, int receive_bytes)
{
	int fd = peer_connect_sized(site->port, receive_bytes);

	peer_client_handshake(fd, site->port, "/here?a=b", "Sec-WebSocket-Protocol: " SITE_PROTOCOL "\r\n"
	    "Origin: http://example.org\r\nUser-Agent: raw\r\n");
	return fd;
}

FILE *site_client(struct site *site, const char *mode, const struct ws_options *options)
{
	static const char *const offered[] = { SITE_PROTOCOL, NULL };
	static const struct ws_options defaults = WS_OPTIONS_INIT;
	struct ws_options own = options != NULL ? *options : defaults;
	FILE *stream;
	char url[64];

	own.subprotocols = offered;
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", site->port);
	stream = ws_fopen_with(url, mode, &own);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	return stream;
}
