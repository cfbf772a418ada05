/* SPDX-License-Identifier: 0BSD */
/* The opening handshake: the request, and what is made of the peer's header block. */
#include <errno.h>
#include <stdio.h>
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

/*
 * RFC 9110, section 15.2: any number of 1xx may come before the answer itself, asked for or not; together they are no
 * longer than one header block may be.
 */
static bool skip_interim(struct wsf_http *http)
{
	size_t left_bytes = http->limit_bytes - http->used_bytes;

	if (http->status >= 200 || http->status == 101 || http->minor_version < 1)
		return false;
	wsf_http_clear(http);
	wsf_http_init(http, WSF_HTTP_RESPONSE, left_bytes);
	return true;
}

static void answer_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_endpoint_config *config = &endpoint->opening->config;
	const char *subprotocol, *refusal = "out of memory";
	char reason[sizeof events->text], extensions[WSF_EXTENSIONS_MAX];
	int rv;

	if (skip_interim(&endpoint->http))
		return;
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

static void refuse(struct wsf_endpoint *endpoint, struct wsf_events *events, int status,
    const struct wsf_admission *admission)
{
	const char *reason = admission->reason != NULL ? admission->reason : "the request is refused";
	char line[sizeof events->text];

	events->http_status = status;
	events->answer = wsf_http_format_refusal(status, admission->reason, admission->headers, &events->answer_bytes);
	/* A program's reason may be a page of text; this is one line. */
	snprintf(line, sizeof line, "%.*s", (int)strcspn(reason, "\r\n"), reason);
	wsf_endpoint_fault(endpoint, events, EPROTO, 0, line);
}

/* Agreed: in memory that lives as long as the endpoint. Returns 0 or -ENOMEM. */
static int set_subprotocol(struct wsf_endpoint *endpoint, const char *subprotocol)
{
	const char *const *ours = endpoint->opening->config.subprotocols;

	if (subprotocol == NULL)
		return 0;
	while (ours != NULL && *ours != NULL && strcmp(*ours, subprotocol) != 0)
		ours++;
	if (ours != NULL && *ours != NULL) {
		endpoint->subprotocol = *ours;
		return 0;
	}
	endpoint->subprotocol = endpoint->admitted = strdup(subprotocol);
	return endpoint->admitted != NULL ? 0 : -ENOMEM;
}

static void let_in(struct wsf_endpoint *endpoint, struct wsf_events *events, struct wsf_admission *admission)
{
	const struct wsf_endpoint_config *config = &endpoint->opening->config;
	char accept[WSF_ACCEPT_TEXT_BYTES], extensions[WSF_EXTENSIONS_MAX];

	if (wsf_crypto_accept(wsf_http_field(&endpoint->http, "Sec-WebSocket-Key"), accept) != 0) {
		admission->reason = "no cryptography to be had";
		refuse(endpoint, events, 500, admission);
		return;
	}
	wsf_deflate_choose(&endpoint->http, &config->deflate, &endpoint->deflate.params, extensions);
	if (set_extensions(endpoint, extensions) == 0 && set_subprotocol(endpoint, admission->subprotocol) == 0)
		events->answer = wsf_http_format_accept(accept, endpoint->subprotocol, extensions, config->headers,
		    admission->headers, &events->answer_bytes);
	if (events->answer == NULL) {
		wsf_endpoint_fault(endpoint, events, ENOMEM, 0, "out of memory");
		return;
	}
	events->http_status = 101;
	opened(endpoint, events, endpoint->subprotocol);
}

static void request_arrived(struct wsf_endpoint *endpoint, struct wsf_events *events)
{
	const struct wsf_endpoint_config *config = &endpoint->opening->config;
	const struct wsf_http_rules rules = {
		.path = config->path,
		.allowed_origins = config->allowed_origins,
		.subprotocols = config->subprotocols,
	};
	struct wsf_admission admission = { .http = &endpoint->http };
	int status = wsf_http_check_request(&endpoint->http, &rules, &admission.subprotocol, &admission.reason);

	if (status == 101 && config->admit != NULL)
		status = config->admit(config->admit_user, &admission);
	if (status == 101)
		let_in(endpoint, events, &admission);
	else
		refuse(endpoint, events, status, &admission);
	free(admission.memory);
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
		refuse(endpoint, events, rv == -EMSGSIZE ? 431 : 400, &(struct wsf_admission){ .reason = reason });
	} else if (rv < 0) {
		wsf_endpoint_fault(endpoint, events, rv == -ENOMEM ? ENOMEM : EPROTO, 0,
		    tls ? "the server speaks TLS at this port: use wss" : reason);
	}
	return used;
}
