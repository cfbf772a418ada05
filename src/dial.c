/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "crypto.h"
#include "deflate.h"
#include "dial.h"
#include "observe.h"
#include "process.h"
#include "proxy.h"
#include "tls.h"
#include "tunnel.h"
#include "wait.h"
#include "wipe.h"

#define HOST_HEADER_MAX 300
/* A Location longer than half of this is refused: the other half is for what it is relative to. */
#define LOCATION_MAX 8192

/* One attempt; a redirect makes another. */
struct hop {
	struct wsf_service *service;
	struct wsf_options *options;
	const struct wsf_url *url;
	bool strange;			/* another host than the program named: it gets no secrets of ours */
	int fd;				/* connected already, or -1 */
};

/* --- authentication --- */

static char *bearer_value(const char *token)
{
	static const char scheme[] = "Bearer ";
	size_t size = sizeof scheme + strlen(token);
	char *value = malloc(size);

	if (value != NULL)
		snprintf(value, size, "%s%s", scheme, token);
	return value;
}

/* The Authorization header's value, a secret for the caller to free; NULL = none. */
static int make_authorization(const struct hop *hop, char **value, struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(hop->options);
	const char *userinfo = hop->url->userinfo != NULL ? hop->url->userinfo : values->userinfo;

	*value = NULL;
	if (hop->strange || (userinfo == NULL && values->bearer == NULL))
		return 0;
	*value = userinfo != NULL ? wsf_crypto_basic(userinfo) : bearer_value(values->bearer);
	return *value != NULL ? 0 : wsf_fail(failure, ENOMEM, "out of memory");
}

/* The options are consistent in themselves; the URL may name a user, too. */
static int check_authorization(const struct wsf_url *url, const struct ws_options *values,
    struct wsf_failure *failure)
{
	if (url->userinfo != NULL &&
	    (values->userinfo != NULL || values->bearer != NULL || wsf_options_name_authorization(values)))
		return wsf_fail(failure, EINVAL, "the URL names a user, and the options say who we are, too");
	return 0;
}

/* --- the way there --- */

/* Connect to the proxy, and have it connect to the host. */
static int connect_through(const struct wsf_proxy *proxy, const struct hop *hop, int64_t deadline_ns,
    struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(hop->options);
	int fd = wsf_connect(proxy->host, proxy->port, deadline_ns, failure), rv;
	char text[sizeof failure->text];

	if (fd < 0) {
		memcpy(text, failure->text, sizeof text);
		return wsf_fail(failure, -fd, "the proxy: %s", text);
	}
	rv = wsf_tunnel(fd, proxy, hop->url, values->user_agent, values->max_header_bytes, deadline_ns, failure);
	if (rv == 0)
		return fd;
	wsf_process_close(fd);
	return rv;
}

static int connect_hop(const struct hop *hop, int64_t deadline_ns, struct wsf_failure *failure)
{
	struct wsf_proxy proxy;
	char reason[sizeof failure->text];
	int rv;

	if (hop->fd >= 0)
		return hop->fd;
	if (hop->url->socket != NULL)
		return wsf_connect_local(hop->url->socket, deadline_ns, failure);
	rv = wsf_proxy_choose(&proxy, hop->url, wsf_options_get(hop->options)->proxy, getenv, reason, sizeof reason);
	if (rv != 0)
		return wsf_fail(failure, -rv, "%s", reason);
	if (proxy.kind == WSF_PROXY_NONE)
		rv = wsf_connect(hop->url->host, hop->url->port, deadline_ns, failure);
	else
		rv = connect_through(&proxy, hop, deadline_ns, failure);
	wsf_proxy_clear(&proxy);
	return rv;
}

/* Before anything is sent: what the files hold may be an error. *tls stays NULL for ws. */
static int prepare_tls(const struct hop *hop, struct wsf_tls **tls, struct wsf_failure *failure)
{
	struct ws_options values = *wsf_options_get(hop->options);
	struct wsf_tls_context *context;
	char key[HOST_HEADER_MAX];
	int rv;

	*tls = NULL;
	if (!hop->url->secure)
		return 0;
	if (hop->strange)
		values.cert_file = values.key_file = values.key_password = values.server_name = NULL;
	if ((rv = wsf_tls_client_context(&context, &values, failure)) != 0)
		return rv;
	/* The path of a local socket may read like a host. */
	if (hop->url->socket != NULL)
		snprintf(key, sizeof key, "unix:%s", hop->url->socket);
	else
		snprintf(key, sizeof key, "%s:%u", hop->url->host, hop->url->port);
	rv = wsf_tls_create(tls, context, hop->url->host, key);
	wsf_tls_context_unref(context);
	if (rv == 0 && hop->fd >= 0 && (rv = wsf_tls_feed(*tls, values.initial_bytes, values.initial_size)) != 0)
		wsf_tls_free(*tls);
	return rv == 0 ? 0 : wsf_fail_errno(failure, -rv, "cannot start TLS with %s", hop->url->host);
}

/* A connected socket, with TLS done, becomes a stream whose handshake is under way. On failure both are freed. */
static int start_stream(const struct hop *hop, int fd, struct wsf_tls *tls, int64_t deadline_ns,
    struct wsf_stream **stream, struct wsf_failure *failure)
{
	char host[HOST_HEADER_MAX], *authorization = NULL;
	struct wsf_stream_setup setup = {
		.role = WSF_CLIENT,
		.options = hop->options,
		.host = host,
		.target = hop->url->target,
		.bare = hop->strange,
		.handshake_deadline_ns = deadline_ns,
		.fd = fd,
		.local_path = hop->url->socket,
	};
	int rv = make_authorization(hop, &authorization, failure);

	if (hop->fd >= 0 && tls == NULL) {
		setup.initial = wsf_options_get(hop->options)->initial_bytes;
		setup.initial_bytes = wsf_options_get(hop->options)->initial_size;
	}
	if (rv == 0) {
		setup.authorization = authorization;
		rv = wsf_url_host_header(hop->url, host, sizeof host);
		if (rv == 0)
			rv = wsf_stream_create(stream, &setup);
		if (rv == 0 && (rv = wsf_service_adopt(hop->service, fd, tls, *stream)) != 0)
			wsf_stream_unref(*stream);
		if (rv != 0)
			wsf_fail_errno(failure, -rv, "cannot start the connection");
	}
	wsf_wipe_free(authorization);
	if (rv != 0) {
		wsf_tls_free(tls);
		wsf_process_close(fd);
	}
	return rv;
}

/* Returns 0 = open; or a negative errno: *stream may be there then, with an answer that was no 101. */
static int try_hop(const struct hop *hop, struct wsf_stream **stream, struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(hop->options);
	struct wsf_tls *tls;
	int64_t deadline_ns;
	int fd, rv = prepare_tls(hop, &tls, failure);

	*stream = NULL;
	if (rv != 0) {
		if (hop->fd >= 0)
			wsf_process_close(hop->fd);
		return rv;
	}
	fd = connect_hop(hop, wsf_deadline_ns(values->connect_timeout_ms), failure);
	if (fd < 0) {
		wsf_tls_free(tls);
		return fd;
	}
	deadline_ns = wsf_deadline_ns(values->handshake_timeout_ms);
	if (tls != NULL && (rv = wsf_tls_connect(tls, fd, deadline_ns, failure)) != 0) {
		wsf_tls_free(tls);
		wsf_process_close(fd);
		return rv;
	}
	if ((rv = start_stream(hop, fd, tls, deadline_ns, stream, failure)) != 0) {
		*stream = NULL;
		return rv;
	}
	return wsf_stream_wait_open(*stream, failure);
}

/* --- redirects --- */

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* RFC 3986, section 5.2.4, in place; text is an absolute path and perhaps a query. */
static void remove_dot_segments(char *text)
{
	char *in = text, *out = text, *end = text + strcspn(text, "?");
	size_t size;

	while (in < end) {
		size = 1 + strcspn(in + 1, "/?");
		if ((size == 2 && in[1] == '.') || (size == 3 && in[1] == '.' && in[2] == '.')) {
			while (size == 3 && out > text && *--out != '/')
				;
			in += size;
			if (in == end)
				*out++ = '/';
		} else {
			memmove(out, in, size);
			out += size;
			in += size;
		}
	}
	memmove(out, end, strlen(end) + 1);
}

/* The base's target with a relative reference in place of its last segment, or of its query. */
static int merge(const char *target, const char *reference, size_t reference_bytes, char *out, size_t out_bytes)
{
	size_t keep = strcspn(target, "?");
	int n;

	if (reference[0] == '/')
		keep = 0;
	else if (reference[0] != '?')
		while (keep > 0 && target[keep - 1] != '/')
			keep--;
	n = snprintf(out, out_bytes, "%.*s%.*s", (int)keep, target, (int)reference_bytes, reference);
	if (n <= 0 || (size_t)n >= out_bytes)
		return -EPROTO;
	remove_dot_segments(out);
	return 0;
}

/* The Location as a URL, where it is an absolute one (RFC 9110, section 10.2.2). Returns whether it is. */
static bool take_absolute(const struct wsf_url *base, const char *location, size_t size, char *out, size_t out_bytes)
{
	static const struct {
		const char *from, *to;
	} schemes[] = {
		{ "http:", "ws:" }, { "https:", "wss:" }, { "ws:", "ws:" }, { "wss:", "wss:" },
	};
	size_t length;

	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		length = strlen(schemes[i].from);
		if (size < length || strncasecmp(location, schemes[i].from, length) != 0)
			continue;
		snprintf(out, out_bytes, "%s%.*s", schemes[i].to, (int)(size - length), location + length);
		return true;
	}
	if (strncmp(location, "//", 2) != 0)
		return false;
	snprintf(out, out_bytes, "%s:%.*s", base->secure ? "wss" : "ws", (int)size, location);
	return true;
}

/* What Location says, relative to where we are, as a WebSocket URL (RFC 3986, section 5.2). */
static int resolve_location(const struct wsf_url *base, const char *location, char *out, size_t out_bytes)
{
	char host[HOST_HEADER_MAX];
	size_t size = strcspn(location, "#");
	int n;

	if (size == 0 || size > out_bytes / 2)
		return -EPROTO;
	if (take_absolute(base, location, size, out, out_bytes))
		return 0;
	/* Another scheme; or a local socket, whose peer has no URL to be relative to. */
	if (location[strcspn(location, ":/?#")] == ':' || base->socket != NULL ||
	    wsf_url_host_header(base, host, sizeof host) != 0)
		return -EPROTO;
	n = snprintf(out, out_bytes, "%s://%s", base->secure ? "wss" : "ws", host);
	if (n <= 0 || (size_t)n >= out_bytes)
		return -EPROTO;
	return merge(base->target, location, size, out + n, out_bytes - (size_t)n);
}

static bool same_place(const struct wsf_url *one, const struct wsf_url *other)
{
	return one->socket == NULL && other->socket == NULL && one->secure == other->secure &&
	    one->port == other->port && strcmp(one->host, other->host) == 0;
}

/* Where the answer sends us. Returns 0 with next filled, or a negative errno with the failure. */
static int next_url(const struct hop *hop, const char *location, struct wsf_url *next, struct wsf_failure *failure)
{
	char *text, reason[160];
	int rv;

	if (location == NULL)
		return wsf_fail(failure, EPROTO, "a redirect (%d) without a Location", failure->http_status);
	if ((text = malloc(LOCATION_MAX)) == NULL)
		return wsf_fail(failure, ENOMEM, "out of memory");
	rv = resolve_location(hop->url, location, text, LOCATION_MAX);
	if (rv == 0)
		rv = wsf_url_parse(next, text, WSF_URL_CONNECT, reason, sizeof reason);
	free(text);
	if (rv == -ENOMEM)
		return wsf_fail(failure, ENOMEM, "out of memory");
	if (rv != 0)
		return wsf_fail(failure, EPROTO, "a redirect (%d) to what is no WebSocket URL", failure->http_status);
	if (hop->url->secure && !next->secure) {
		wsf_url_clear(next);
		return wsf_fail(failure, EPROTO, "a redirect (%d) from wss to ws", failure->http_status);
	}
	/* What a server writes there is no secret that the program gave us. */
	wsf_wipe_free(next->userinfo);
	next->userinfo = NULL;
	return 0;
}

/*
 * Follow redirects. The user of the program's URL goes along as long as the place stays the same; behind the first
 * other place nothing secret is sent any more, not even back at the first.
 */
static int follow(struct hop *hop, struct wsf_stream **stream, struct wsf_failure *failure)
{
	const struct wsf_url *first = hop->url;
	struct wsf_url here = { 0 }, next;
	int left = wsf_options_get(hop->options)->max_redirects, rv;

	for (;; left--) {
		failure->http_status = 0;
		rv = try_hop(hop, stream, failure);
		if (rv == 0 || *stream == NULL)
			break;
		if (is_redirect(failure->http_status) && left > 0)
			rv = next_url(hop, wsf_stream_header(*stream, "Location"), &next, failure);
		else if (is_redirect(failure->http_status) && wsf_options_get(hop->options)->max_redirects > 0)
			rv = wsf_fail(failure, ECONNABORTED, "too many redirects");
		wsf_stream_discard(*stream);
		*stream = NULL;
		if (rv != 0)
			break;
		hop->strange |= !same_place(first, &next);
		if (!hop->strange && first->userinfo != NULL && (next.userinfo = strdup(first->userinfo)) == NULL) {
			wsf_url_clear(&next);
			rv = wsf_fail(failure, ENOMEM, "out of memory");
			break;
		}
		wsf_url_clear(&here);
		here = next;
		hop->url = &here;
	}
	wsf_url_clear(&here);
	return rv;
}

static int check_use(const struct wsf_url *url, const struct ws_options *values, struct wsf_failure *failure)
{
	int rv = check_authorization(url, values, failure);

	if (rv == 0 && values->compression == WS_COMPRESSION_ON && !wsf_deflate_available())
		rv = wsf_fail(failure, EPROTONOSUPPORT, "compression: this build has none");
	if (rv == 0 && values->verify == WS_VERIFY_IF_GIVEN)
		rv = wsf_fail(failure, EINVAL, "verify: WS_VERIFY_IF_GIVEN is for listeners");
	return rv;
}

int wsf_dial(struct wsf_service *service, const struct wsf_url *url, struct wsf_options *options,
    struct wsf_stream **stream, struct wsf_failure *failure)
{
	struct hop hop = { .service = service, .options = options, .url = url, .fd = -1 };
	const struct ws_options *values = wsf_options_get(options);
	int rv = check_use(url, values, failure);

	if (rv == 0) {
		rv = follow(&hop, stream, failure);
		/* The streams of the attempts told nothing: none of them was open. */
		if (rv != 0)
			wsf_observe_failure(values, -rv, failure->text);
	}
	wsf_options_forget_secrets(options);
	return rv;
}

int wsf_dial_over(struct wsf_service *service, int fd, const struct wsf_url *url, struct wsf_options *options,
    struct wsf_stream **stream, struct wsf_failure *failure)
{
	struct hop hop = { .service = service, .options = options, .url = url, .fd = fd };
	const struct ws_options *values = wsf_options_get(options);
	int rv = check_use(url, values, failure);

	if (rv != 0) {
		wsf_process_close(fd);
	} else if ((rv = try_hop(&hop, stream, failure)) != 0) {
		if (*stream != NULL)
			wsf_stream_discard(*stream);
		wsf_observe_failure(values, -rv, failure->text);
	}
	wsf_options_forget_secrets(options);
	return rv;
}
