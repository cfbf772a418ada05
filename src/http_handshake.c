/* SPDX-License-Identifier: 0BSD */
/* The opening handshake's messages: what is sent, and what the peer's header block is worth. */
#include "http_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

char *wsf_http_format_upgrade(const struct wsf_http_upgrade *upgrade, size_t *size)
{
	struct wsf_http_text text = {0};
	const char *const *subprotocols = upgrade->subprotocols;

	wsf_http_append(&text, "GET ");
	wsf_http_append(&text, upgrade->target);
	wsf_http_append(&text, " HTTP/1.1\r\n");
	wsf_http_append_field(&text, "Host", upgrade->host);
	wsf_http_append_field(&text, "Upgrade", "websocket");
	wsf_http_append_field(&text, "Connection", "Upgrade");
	wsf_http_append_field(&text, "Sec-WebSocket-Key", upgrade->key);
	wsf_http_append_field(&text, "Sec-WebSocket-Version", "13");
	if (subprotocols != NULL && subprotocols[0] != NULL) {
		wsf_http_append(&text, "Sec-WebSocket-Protocol: ");
		for (size_t i = 0; subprotocols[i] != NULL; i++) {
			wsf_http_append(&text, i > 0 ? ", " : "");
			wsf_http_append(&text, subprotocols[i]);
		}
		wsf_http_append(&text, "\r\n");
	}
	if (upgrade->origin != NULL && *upgrade->origin != '\0')
		wsf_http_append_field(&text, "Origin", upgrade->origin);
	if (upgrade->user_agent != NULL && *upgrade->user_agent != '\0')
		wsf_http_append_field(&text, "User-Agent", upgrade->user_agent);
	if (upgrade->authorization != NULL)
		wsf_http_append_field(&text, "Authorization", upgrade->authorization);
	if (upgrade->extensions != NULL && *upgrade->extensions != '\0')
		wsf_http_append_field(&text, "Sec-WebSocket-Extensions", upgrade->extensions);
	wsf_http_append_lines(&text, upgrade->headers);
	wsf_http_append(&text, "\r\n");
	return wsf_http_finish(&text, size);
}

/* A phrase and a realm are the peer's: only what a terminal shows as one line gets into the reason. */
static int judge_status(const struct wsf_http *http, char *reason, size_t reason_bytes)
{
	bool denied = http->status == 401 || http->status == 403 || http->status == 407;
	bool redirect = http->status >= 300 && http->status <= 399;
	const char *phrase = wsf_http_phrase(http);
	char realm[64] = "";
	size_t length;

	if (denied)
		wsf_http_realm(http, realm, sizeof(realm));
	snprintf(reason, reason_bytes, "the server answered %d%s%.48s%s%s%s%s", http->status,
	    *phrase != '\0' ? " " : "", phrase, *realm != '\0' ? " (realm \"" : "", realm,
	    *realm != '\0' ? "\")" : "", redirect ? ", a redirect" : "");
	length = reason_bytes > 0 ? strlen(reason) : 0;
	for (size_t i = 0; i < length; i++) {
		if (reason[i] < ' ' || reason[i] > '~')
			reason[i] = '?';
	}
	return denied ? -EACCES : -ECONNABORTED;
}

static bool announces_body(const struct wsf_http *http)
{
	struct wsf_http_field field = { 0 };

	while (wsf_http_next_field(http, &field)) {
		if (wsf_http_equal_fold(field.name, "Transfer-Encoding") ||
		    (wsf_http_equal_fold(field.name, "Content-Length") && strcmp(field.value, "0") != 0))
			return true;
	}
	return wsf_http_field_count(http, "Content-Length") > 1;
}

static const char *answer_fault(const struct wsf_http *http, const char *accept)
{
	const char *upgrade = wsf_http_field(http, "Upgrade"), *value = wsf_http_field(http, "Sec-WebSocket-Accept");

	if (http->minor_version < 1)
		return "the server's answer is HTTP/1.0";
	if (wsf_http_field_count(http, "Upgrade") != 1 || !wsf_http_equal_fold(upgrade, "websocket"))
		return "the server's answer has no \"Upgrade: websocket\"";
	if (!wsf_http_has_token(http, "Connection", "upgrade"))
		return "the server's answer has no \"Connection: Upgrade\"";
	if (!wsf_http_tokens_valid(http, "Connection"))
		return "the Connection header of the server's answer is malformed";
	/* RFC 9110, section 8.6, and RFC 9112, section 6.1, forbid both: who believes them reads frames as a body. */
	if (announces_body(http))
		return "the server's answer announces a body";
	if (value == NULL)
		return "the server's answer has no Sec-WebSocket-Accept";
	if (wsf_http_field_count(http, "Sec-WebSocket-Accept") > 1)
		return "the server's answer has more than one Sec-WebSocket-Accept";
	if (strcmp(value, accept) != 0)
		return "the server's Sec-WebSocket-Accept is wrong";
	if (wsf_http_field_count(http, "Sec-WebSocket-Protocol") > 1)
		return "the server chose more than one subprotocol";
	return NULL;
}

int wsf_http_check_answer(const struct wsf_http *http, const char *accept, const char *const *offered,
    const char **subprotocol, char *reason, size_t reason_bytes)
{
	const char *fault, *chosen;

	*subprotocol = NULL;
	if (http->status != 101)
		return judge_status(http, reason, reason_bytes);
	fault = answer_fault(http, accept);
	chosen = wsf_http_field(http, "Sec-WebSocket-Protocol");
	if (fault == NULL && chosen != NULL) {
		while (offered != NULL && *offered != NULL && strcmp(*offered, chosen) != 0)
			offered++;
		if (offered == NULL || *offered == NULL)
			fault = "the server chose a subprotocol that was not offered";
	}
	if (fault != NULL) {
		snprintf(reason, reason_bytes, "%s", fault);
		return -EPROTO;
	}
	*subprotocol = chosen != NULL ? *offered : NULL;
	return 0;
}

/* base64 of 16 bytes; the bits behind them may be anything (RFC 4648, section 3.5) */
static bool key_valid(const char *key)
{
	size_t length = 0;

	while (wsf_http_is_alnum(key[length]) || key[length] == '+' || key[length] == '/')
		length++;
	return length == 22 && strcmp(key + length, "==") == 0;
}

static bool path_served(const char *target, const char *path)
{
	size_t length = strcspn(target, "?");

	return path == NULL || (length == strlen(path) && memcmp(target, path, length) == 0);
}

static int judge_http(const struct wsf_http *http, const struct wsf_http_rules *rules, const char **reason)
{
	const char *target = wsf_http_target(http);
	int status = 400;

	if (http->minor_version < 1) {
		*reason = "HTTP/1.1 is needed";
	} else if (strcmp(wsf_http_method(http), "GET") != 0) {
		*reason = "the method is not GET";
		status = 405;
	} else if (*target != '/' || strchr(target, '#') != NULL) {
		*reason = "the target is not an absolute path";
	} else if (wsf_http_field_count(http, "Host") != 1) {
		*reason = "one Host header is needed";
	} else if (!wsf_http_authority_valid(wsf_http_field(http, "Host"))) {
		*reason = "the Host header is malformed";
	} else if (announces_body(http)) {
		*reason = "a request with a body";
	} else if (!path_served(target, rules->path)) {
		*reason = "nothing is served at this path";
		status = 404;
	} else {
		status = 101;
	}
	return status;
}

static int judge_websocket(const struct wsf_http *http, const struct wsf_http_rules *rules, const char **reason)
{
	const char *key = wsf_http_field(http, "Sec-WebSocket-Key");
	const char *version = wsf_http_field(http, "Sec-WebSocket-Version");
	int status = 400;

	if (!wsf_http_has_token(http, "Upgrade", "websocket") || !wsf_http_has_token(http, "Connection", "upgrade")) {
		*reason = "this is a WebSocket server";
		status = 426;
	} else if (!wsf_http_tokens_valid(http, "Connection")) {
		*reason = "the Connection header is malformed";
	} else if (wsf_http_field_count(http, "Sec-WebSocket-Version") > 1) {
		*reason = "more than one Sec-WebSocket-Version";
	} else if (version == NULL || strcmp(version, "13") != 0) {
		*reason = "the WebSocket version is not 13";
		status = 426;
	} else if (key == NULL || wsf_http_field_count(http, "Sec-WebSocket-Key") > 1 || !key_valid(key)) {
		*reason = "one Sec-WebSocket-Key of 16 bytes in base64 is needed";
	} else if (!wsf_http_tokens_unique(http, "Sec-WebSocket-Protocol")) {
		*reason = "Sec-WebSocket-Protocol is malformed";
	} else if (!wsf_http_extensions_valid(http)) {
		*reason = "Sec-WebSocket-Extensions is malformed";
	} else if (!wsf_http_origin_allowed(http, rules->allowed_origins)) {
		*reason = "the origin is not allowed";
		status = 403;
	} else {
		status = 101;
	}
	return status;
}

int wsf_http_check_request(const struct wsf_http *http, const struct wsf_http_rules *rules, const char **subprotocol,
    const char **reason)
{
	int status;

	*subprotocol = NULL;
	*reason = "";
	status = judge_http(http, rules, reason);
	if (status == 101)
		status = judge_websocket(http, rules, reason);
	if (status != 101)
		return status;
	for (const char *const *ours = rules->subprotocols; ours != NULL && *ours != NULL; ours++) {
		if (wsf_http_lists_have(http, "Sec-WebSocket-Protocol", *ours, false)) {
			*subprotocol = *ours;
			break;
		}
	}
	return 101;
}

char *wsf_http_format_accept(const char *accept, const char *subprotocol, const char *extensions,
    const char *const *headers, const char *const *more, size_t *size)
{
	struct wsf_http_text text = {0};

	wsf_http_append(&text, "HTTP/1.1 101 Switching Protocols\r\n");
	wsf_http_append_field(&text, "Upgrade", "websocket");
	wsf_http_append_field(&text, "Connection", "Upgrade");
	wsf_http_append_field(&text, "Sec-WebSocket-Accept", accept);
	if (subprotocol != NULL)
		wsf_http_append_field(&text, "Sec-WebSocket-Protocol", subprotocol);
	if (extensions != NULL && *extensions != '\0')
		wsf_http_append_field(&text, "Sec-WebSocket-Extensions", extensions);
	wsf_http_append_lines(&text, headers);
	wsf_http_append_lines(&text, more);
	wsf_http_append(&text, "\r\n");
	return wsf_http_finish(&text, size);
}

static const char *status_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
	    {400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"},
	    {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
	    {409, "Conflict"}, {410, "Gone"}, {421, "Misdirected Request"}, {426, "Upgrade Required"},
	    {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
	    {451, "Unavailable For Legal Reasons"}, {500, "Internal Server Error"}, {501, "Not Implemented"},
	    {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Refused";
}

static bool lines_name(const char *const *lines, const char *name)
{
	for (; lines != NULL && *lines != NULL; lines++) {
		if (wsf_http_line_names(*lines, name))
			return true;
	}
	return false;
}

char *wsf_http_format_refusal(int status, const char *reason, const char *const *headers, size_t *size)
{
	struct wsf_http_text text = {0};
	char number[24];

	if (reason == NULL)
		reason = status_phrase(status);
	snprintf(number, sizeof(number), "%d ", status);
	wsf_http_append(&text, "HTTP/1.1 ");
	wsf_http_append(&text, number);
	wsf_http_append(&text, status_phrase(status));
	wsf_http_append(&text, "\r\n");
	wsf_http_append_field(&text, "Connection", "close");
	if (!lines_name(headers, "Content-Type"))
		wsf_http_append_field(&text, "Content-Type", "text/plain");
	snprintf(number, sizeof(number), "%zu", strlen(reason) + 1);
	wsf_http_append_field(&text, "Content-Length", number);
	if (status == 426) {
		wsf_http_append_field(&text, "Upgrade", "websocket");
		wsf_http_append_field(&text, "Sec-WebSocket-Version", "13");
	}
	if (status == 405 && !lines_name(headers, "Allow"))
		wsf_http_append_field(&text, "Allow", "GET");
	wsf_http_append_lines(&text, headers);
	wsf_http_append(&text, "\r\n");
	wsf_http_append(&text, reason);
	wsf_http_append(&text, "\n");
	return wsf_http_finish(&text, size);
}
