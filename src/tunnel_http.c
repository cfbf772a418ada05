/* SPDX-License-Identifier: 0BSD */
/* HTTP CONNECT (RFC 9110, section 9.3.6). */
#include "tunnel_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto.h"
#include "http.h"
#include "wipe.h"

#define PEEK_BYTES 2048
#define REALM_BYTES 100
#define SHOWN_PHRASE_BYTES 80
/* A name of 255 bytes (RFC 1035), or an IPv6 address in brackets; a port. */
#define AUTHORITY_BYTES (255 + sizeof("[]:65535"))

static int send_request(const struct wsf_tunnel_call *call)
{
	bool ipv6 = strchr(call->url->host, ':') != NULL;
	char authority[AUTHORITY_BYTES], *basic = NULL, *request;
	size_t size;
	int rv = snprintf(authority, sizeof(authority), ipv6 ? "[%s]:%u" : "%s:%u", call->url->host, call->url->port);

	if (rv < 0 || (size_t)rv >= sizeof(authority))
		return wsf_fail(call->failure, EINVAL, "the host's name is longer than 255 bytes");
	if (call->proxy->userinfo != NULL && (basic = wsf_crypto_basic(call->proxy->userinfo)) == NULL)
		return wsf_fail(call->failure, ENOMEM, "out of memory");
	request = wsf_http_format_connect(authority, call->user_agent, basic, &size);
	wsf_wipe_free(basic);
	if (request == NULL)
		return wsf_fail(call->failure, ENOMEM, "out of memory");
	rv = wsf_tunnel_send(call, request, size);
	wsf_wipe_free(request);
	return rv;
}

static int fail_answer(const struct wsf_tunnel_call *call, int error, const char *reason)
{
	if (error == -ENOMEM)
		return wsf_fail(call->failure, ENOMEM, "out of memory");
	return wsf_fail(call->failure, EPROTO, WSF_TUNNEL_PROXY " did not answer as an HTTP proxy: %s",
	    WSF_TUNNEL_PROXY_ARGUMENTS(call), reason);
}

/* Looks before it takes: what is behind the block stays in the socket. */
static int receive_block(const struct wsf_tunnel_call *call, struct wsf_http *http)
{
	char bytes[PEEK_BYTES];
	const char *reason = "";
	size_t used;
	int fed, rv;

	do {
		ssize_t got = wsf_tunnel_peek(call, bytes, sizeof(bytes));

		if (got < 0)
			return (int)got;
		fed = wsf_http_feed(http, bytes, (size_t)got, &used, &reason);
		if (fed < 0)
			return fail_answer(call, fed, reason);
		if ((rv = wsf_tunnel_receive(call, bytes, used)) != 0)
			return rv;
	} while (fed == 0);
	return 0;
}

static int judge(const struct wsf_tunnel_call *call, const struct wsf_http *http)
{
	const char *phrase = wsf_http_phrase(http);
	char realm[REALM_BYTES];
	bool named;

	if (http->status >= 200 && http->status <= 299)
		return wsf_tunnel_check_end(call);
	call->failure->http_status = http->status;
	if (http->status == 407) {
		wsf_http_realm(http, realm, sizeof(realm));
		named = realm[0] != '\0';
		return wsf_fail(call->failure, EACCES, WSF_TUNNEL_PROXY " %s user and password: HTTP 407%s%s%s",
		    WSF_TUNNEL_PROXY_ARGUMENTS(call), call->proxy->userinfo != NULL ? "refused the" : "asks for a",
		    named ? ", realm \"" : "", realm, named ? "\"" : "");
	}
	return wsf_fail(call->failure, http->status == 401 || http->status == 403 ? EACCES : ECONNABORTED,
	    WSF_TUNNEL_PROXY " answered HTTP %d%s%.*s", WSF_TUNNEL_PROXY_ARGUMENTS(call), http->status,
	    *phrase != '\0' ? " " : "", SHOWN_PHRASE_BYTES, phrase);
}

/* Of an answer that is on its way (RFC 9110, section 15.2); a 101 would end HTTP, which CONNECT did not ask for. */
static bool is_interim(int status)
{
	return status >= 100 && status <= 199 && status != 101;
}

int wsf_tunnel_http(const struct wsf_tunnel_call *call)
{
	size_t left_bytes = call->max_header_bytes;
	struct wsf_http http;
	bool interim;
	int rv = send_request(call);

	if (rv != 0)
		return rv;
	do {
		wsf_http_init(&http, WSF_HTTP_RESPONSE, left_bytes);
		rv = receive_block(call, &http);
		interim = rv == 0 && is_interim(http.status);
		left_bytes -= http.used_bytes;
		if (rv == 0 && !interim)
			rv = judge(call, &http);
		wsf_http_clear(&http);
	} while (interim);
	return rv;
}
