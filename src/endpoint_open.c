/* SPDX-License-Identifier: 0BSD */
/* The opening handshake: the request, and what is made of the peer's header block. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint_private.h"

int wsf_endpoint_request(struct wsf_endpoint *endpoint, char **request, size_t *size)
{
	char key[WSF_KEY_TEXT_BYTES], extensions[WSF_EXTENSIONS_MAX];
	struct wsf_endpoint_config *config = &endpoint->opening->config;
	const struct wsf_http_upgrade upgrade = {
		.host = config->host,
		.target = config->target,
		.key = key,
		.origin = config->origin,
		.user_agent = config->user_agent,
		.subprotocols = config->subprotocols,
		.authorization = config->authorization,
		.extensions = extensions,
		.headers = config->headers,
	};
	int rv;

	config->authorization = NULL;
	config->headers = NULL;
	wsf_deflate_offer(&config->deflate, extensions);
	if ((rv = wsf_crypto_key(key)) != 0 || (rv = wsf_crypto_accept(key, endpoint->opening->accept)) != 0)
		return rv;
	*request = wsf_http_format_upgrade(&upgrade, size);
	return *request != NULL ? 0 : -ENOMEM;
}

static void opened(struct wsf_endpoint *endpoint, struct wsf_events *events, const char *subprotocol)
{
	endpoint->subprotocol = subprotocol;
	free(endpoint->opening);
	endpoint->opening = NULL;
	endpoint->phase = WSF_PHASE_HEADER;
	events->opened = true;
}

/* What is agreed, "" = nothing. Returns 0 or -ENOMEM. */
static int set_extensions(struct wsf_endpoint *endpoint, const char *extensions)
{
	if (extensions[0] == '\0')
		return 0;
	endpoint->extensions = strdup(extensions);
	return endpoint->extensions != NULL ? 0 : -ENOMEM;
}

static void answer_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_endpoint_config *config = &endpoint->opening->config;
	const char *subprotocol, *refusal = "out of memory";
	char reason[sizeof events->text], extensions[WSF_EXTENSIONS_MAX];
	int rv;

	events->http_status = endpoint->http.status;
	rv = wsf_http_check_answer(&endpoint->http, endpoint->opening->accept, config->subprotocols, &subprotocol,
	    reason, sizeof reason);
	if (rv < 0) {
		wsf_endpoint_fault(endpoint, events, -rv, 0, reason);
		return;
	}
	rv = wsf_deflate_check_answer(&endpoint->http, &config->deflate, &endpoint->deflate.params, extensions,
	    &refusal);
	if (rv == 0)
		rv = set_extensions(endpoint, extensions);
	if (rv < 0)
		wsf_endpoint_fault(endpoint, events, -rv, 0, refusal);
	else
		opened(endpoint, events, subprotocol);
}

static void refuse(struct wsf_endpoint *endpoint, struct wsf_events *events, int status, const char *reason)
{
	events->http_status = status;
	events->answer = wsf_http_format_refusal(status, reason, &events->answer_bytes);
	wsf_endpoint_fault(endpoint, events, EPROTO, 0, reason);
}

static void request_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_endpoint_config *config = &endpoint->opening->config;
	const struct wsf_http_rules rules = {
		.path = config->path,
		.allowed_origins = config->allowed_origins,
		.subprotocols = config->subprotocols,
	};
	const char *subprotocol, *reason, *key = wsf_http_field(&endpoint->http, "Sec-WebSocket-Key");
	char accept[WSF_ACCEPT_TEXT_BYTES], extensions[WSF_EXTENSIONS_MAX];
	int status = wsf_http_check_request(&endpoint->http, &rules, &subprotocol, &reason);

	if (status != 101) {
		refuse(endpoint, events, status, reason);
		return;
	}
	if (wsf_crypto_accept(key, accept) != 0) {
		refuse(endpoint, events, 500, "no cryptography to be had");
		return;
	}
	wsf_deflate_choose(&endpoint->http, &config->deflate, &endpoint->deflate.params, extensions);
	if (set_extensions(endpoint, extensions) == 0)
		events->answer = wsf_http_format_accept(accept, subprotocol, extensions, config->headers,
		    &events->answer_bytes);
	if (events->answer == NULL) {
		wsf_endpoint_fault(endpoint, events, ENOMEM, 0, "out of memory");
		return;
	}
	events->http_status = 101;
	opened(endpoint, events, subprotocol);
}

size_t wsf_endpoint_take_handshake(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size,
    struct wsf_events *events)
{
	/* An alert (RFC 8446, section 5.1): the answer of many a TLS server to what is no TLS. */
	bool tls = endpoint->http.used_bytes == 0 && size > 0 && in[0] == 0x15;
	const char *reason = "";
	size_t used = 0;
	int rv = wsf_http_feed(&endpoint->http, in, size, &used, &reason);

	if (rv == 1) {
		if (endpoint->role == WSF_CLIENT)
			answer_arrived(endpoint, events);
		else
			request_arrived(endpoint, events);
	} else if (rv < 0 && endpoint->role == WSF_SERVER && rv != -ENOMEM) {
		refuse(endpoint, events, rv == -EMSGSIZE ? 431 : 400, reason);
	} else if (rv < 0) {
		wsf_endpoint_fault(endpoint, events, rv == -ENOMEM ? ENOMEM : EPROTO, 0,
		    tls ? "the server speaks TLS at this port: use wss" : reason);
	}
	return used;
}
