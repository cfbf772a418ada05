/* SPDX-License-Identifier: 0BSD */
#include "url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uri.h"
#include "wipe.h"

#define MAX_SOCKET_BYTES 107u	/* sun_path of Linux, less its NUL */
#define SHOWN_SCHEME_BYTES 32

static const struct scheme {
	const char *name;
	bool secure, local;
} schemes[] = {{"ws", false, false}, {"wss", true, false}, {"ws+unix", false, true}, {"wss+unix", true, true}};

/* NULL, with the reason, where text begins with none of them. */
static const struct scheme *find_scheme(const char *text, const char **rest, const struct wsf_uri_reason *reason)
{
	struct wsf_span scheme;
	int shown;

	if (!wsf_uri_scheme(text, &scheme, rest)) {
		wsf_uri_refuse(reason, " does not begin with ws:// or wss://");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		if (wsf_span_equals(scheme, schemes[i].name))
			return &schemes[i];
	}
	shown = wsf_span_bytes(scheme) > SHOWN_SCHEME_BYTES ? SHOWN_SCHEME_BYTES : (int)wsf_span_bytes(scheme);
	wsf_uri_refuse(reason, "'s scheme is %.*s, not ws or wss", shown, scheme.start);
	return NULL;
}

static unsigned standard_port(const struct wsf_url *url)
{
	return url->secure ? 443 : 80;
}

static int parse_target(struct wsf_url *url, const char *text)
{
	size_t length = strlen(text);
	size_t slash = *text != '/' ? 1 : 0;

	url->target = malloc(length + slash + 1);
	if (url->target == NULL)
		return -ENOMEM;
	url->target[0] = '/';
	memcpy(url->target + slash, text, length + 1);
	return 0;
}

static int parse_network(struct wsf_url *url, const char *rest, enum wsf_url_use use,
    const struct wsf_uri_reason *reason)
{
	struct wsf_span in = {rest, rest + strcspn(rest, "/?")};
	struct wsf_authority authority;
	int rv = wsf_authority_parse(&authority, in, standard_port(url), use == WSF_URL_LISTEN, reason);

	if (rv != 0)
		return rv;
	url->userinfo = authority.userinfo;
	url->host = authority.host;
	url->port = authority.port;
	url->ipv6 = authority.ipv6;
	return parse_target(url, in.end);
}

static int decode_socket(struct wsf_url *url, struct wsf_span in, const struct wsf_uri_reason *reason)
{
	size_t length = 0;

	url->socket = malloc(wsf_span_bytes(in) + 1);
	if (url->socket == NULL)
		return -ENOMEM;
	for (const char *p = in.start; p < in.end;) {
		int value = wsf_uri_take(&p, in.end);

		if (value < 0)
			return wsf_uri_refuse(reason, "'s socket has a bad %%-escape");
		if (value == 0)
			return wsf_uri_refuse(reason, "'s socket has an escaped NUL");
		url->socket[length++] = (char)value;
	}
	url->socket[length] = '\0';
	if (length == 0 || strcmp(url->socket, "@") == 0)
		return wsf_uri_refuse(reason, " names no socket");
	if (length > MAX_SOCKET_BYTES)
		return wsf_uri_refuse(reason, "'s socket is longer than %u bytes", MAX_SOCKET_BYTES);
	return 0;
}

/* There is no authority: an @ is of the path, and so no secret. */
static int parse_local(struct wsf_url *url, const char *rest, const struct wsf_uri_reason *reason)
{
	struct wsf_span path = {rest, rest + strcspn(rest, ":?")};
	const char *target = path.end;
	int rv;

	if (*target == ':' && *++target != '/')
		return wsf_uri_refuse(reason, "'s path, behind the : that ends the socket, does not begin with /");
	rv = decode_socket(url, path, reason);
	if (rv != 0)
		return rv;
	url->port = standard_port(url);
	url->host = strdup("localhost");
	if (url->host == NULL)
		return -ENOMEM;
	return parse_target(url, target);
}

static int parse(struct wsf_url *url, const char *text, enum wsf_url_use use, const struct wsf_uri_reason *reason)
{
	const struct scheme *scheme;
	const char *rest;
	int rv = wsf_uri_check(text, reason);

	if (rv != 0)
		return rv;
	scheme = find_scheme(text, &rest, reason);
	if (scheme == NULL)
		return -EINVAL;
	if (strchr(rest, '#') != NULL)
		return wsf_uri_refuse(reason, " has a fragment (#), which a WebSocket URL can't have");
	url->secure = scheme->secure;
	return scheme->local ? parse_local(url, rest, reason) : parse_network(url, rest, use, reason);
}

int wsf_url_parse(struct wsf_url *url, const char *text, enum wsf_url_use use, char *reason, size_t reason_bytes)
{
	const struct wsf_uri_reason where = {"the URL", reason, reason_bytes};
	int rv;

	memset(url, 0, sizeof(*url));
	if (reason_bytes > 0)
		reason[0] = '\0';
	rv = parse(url, text, use, &where);
	if (rv == -ENOMEM)
		snprintf(reason, reason_bytes, "out of memory");
	if (rv != 0)
		wsf_url_clear(url);
	return rv;
}

void wsf_url_clear(struct wsf_url *url)
{
	if (url == NULL)
		return;
	wsf_wipe_free(url->userinfo);
	free(url->socket);
	free(url->host);
	free(url->target);
	memset(url, 0, sizeof(*url));
}

int wsf_url_host_header(const struct wsf_url *url, char *out, size_t out_bytes)
{
	const char *open = url->ipv6 ? "[" : "", *close = url->ipv6 ? "]" : "";
	int length;

	if (url->port == standard_port(url))
		length = snprintf(out, out_bytes, "%s%s%s", open, url->host, close);
	else
		length = snprintf(out, out_bytes, "%s%s%s:%u", open, url->host, close, url->port);
	return length < 0 || (size_t)length >= out_bytes ? -ENAMETOOLONG : 0;
}
