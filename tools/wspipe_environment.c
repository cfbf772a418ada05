/* SPDX-License-Identifier: 0BSD */
/*
 * The environment of a command: what wspipe itself has, without all that could pass for the request's, and the
 * variables of CGI, RFC 3875. Names of variables come from here alone, so that no client can choose one, and HTTP_PROXY
 * never comes from a request.
 */
#include "wspipe_exec.h"

#include <stdlib.h>
#include <string.h>

#include <wsfile.h>

extern char **environ;

/* Without Authorization, as section 4.1.18 of RFC 3875 wants it. */
static const char *const headers[] = {
	"Accept", "Accept-Language", "Cookie", "Forwarded", "From", "Host", "Origin", "Referer",
	"Sec-WebSocket-Protocol", "User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	"X-Real-IP", "X-Request-ID",
};

/* Inherited ones are not passed on; a "*" stands for any rest. */
static const char *const reserved[] = {
	"HTTP_*", "HTTPS", "REMOTE_*", "SERVER_*", "GATEWAY_INTERFACE", "REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME",
	"PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING", "CONTENT_LENGTH", "CONTENT_TYPE", "AUTH_TYPE", "WS_*",
	"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
};

/* All texts in one piece of memory, each behind the other. */
struct block {
	FILE *out;
	char *text;
	size_t size, count;
};

static bool is_reserved(const char *variable)
{
	size_t length = strcspn(variable, "=");

	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
		size_t size = strlen(reserved[i]);
		if (reserved[i][size - 1] == '*' ? strncmp(variable, reserved[i], size - 1) == 0 :
		    size == length && strncmp(variable, reserved[i], size) == 0)
			return true;
	}
	return false;
}

static void add(struct block *block, const char *name, const char *value)
{
	fprintf(block->out, "%s=%s", name, value);
	fputc('\0', block->out);
	block->count++;
}

static void add_part(struct block *block, const char *name, const char *value, size_t size)
{
	fprintf(block->out, "%s=%.*s", name, (int)size, value);
	fputc('\0', block->out);
	block->count++;
}

/* "127.0.0.1:80" or "[::1]:80" as two; that of a local socket has no port. */
static void add_address(struct block *block, const char *address_name, const char *port_name, const char *address)
{
	const char *port = strrchr(address, ':');
	size_t size;

	if (strncmp(address, "unix:", 5) == 0 || !port) {
		add(block, address_name, address);
		return;
	}
	size = (size_t)(port - address);
	if (size > 1 && *address == '[')
		add_part(block, address_name, address + 1, size - 2);
	else
		add_part(block, address_name, address, size);
	add(block, port_name, port + 1);
}

static void add_headers(struct block *block, FILE *half)
{
	char name[64];

	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		const char *value = ws_header(half, headers[i]);
		if (!value)
			continue;
		snprintf(name, sizeof name, "HTTP_%s", headers[i]);
		for (char *c = name; *c != '\0'; c++)
			*c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
		add(block, name, value);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoded. Returns false for what is not encoded well, or would end the text early. */
static bool add_path(struct block *block, const char *path, size_t size)
{
	fputs("PATH_INFO=", block->out);
	for (size_t i = 0; i < size; i++) {
		int value = (unsigned char)path[i];
		if (path[i] == '%') {
			int high = i + 1 < size ? hex_digit(path[i + 1]) : -1;
			int low = i + 2 < size ? hex_digit(path[i + 2]) : -1;
			value = high < 0 || low < 0 ? 0 : high * 16 + low;
			i += 2;
		}
		if (value == 0)
			return false;
		fputc(value, block->out);
	}
	fputc('\0', block->out);
	block->count++;
	return true;
}

/* What the client asked for. Returns NULL, or what is wrong with it. */
static const char *add_request(struct block *block, const struct ws_status *status)
{
	const char *host = strstr(status->url, "://"), *target, *query, *port;
	size_t path_size, host_size;

	if (strlen(status->url) >= sizeof status->url - 1)
		return "the URL is too long for a command";
	host = host ? host + 3 : status->url;
	target = host + strcspn(host, "/?");
	query = strchr(target, '?');
	path_size = query ? (size_t)(query - target) : strlen(target);
	host_size = (size_t)(target - host);
	port = memrchr(host, ':', host_size);
	if (port && !memchr(port, ']', host_size - (size_t)(port - host)))
		host_size = (size_t)(port - host);
	add_part(block, "SERVER_NAME", host, host_size);
	add(block, "SCRIPT_NAME", "");
	add(block, "REQUEST_URI", target);
	add(block, "QUERY_STRING", query ? query + 1 : "");
	return add_path(block, target, path_size) ? NULL : "the path is too odd for a command";
}

static void add_connection(struct block *block, const struct ws_status *status)
{
	char software[64];

	snprintf(software, sizeof software, "wsfile/%s", ws_version());
	add(block, "SERVER_SOFTWARE", software);
	add(block, "SERVER_PROTOCOL", "HTTP/1.1");
	add(block, "GATEWAY_INTERFACE", "CGI/1.1");
	add(block, "REQUEST_METHOD", "GET");
	add_address(block, "SERVER_ADDR", "SERVER_PORT", status->local_address);
	add_address(block, "REMOTE_ADDR", "REMOTE_PORT", status->peer_address);
	if (*status->subprotocol != '\0')
		add(block, "WS_SUBPROTOCOL", status->subprotocol);
	if (*status->tls_version == '\0')
		return;
	add(block, "HTTPS", "on");
	add(block, "WS_TLS_VERSION", status->tls_version);
	add(block, "WS_TLS_CIPHER", status->tls_cipher);
	/* One that may be cut could be taken for somebody else's. */
	if (*status->tls_peer != '\0' && strlen(status->tls_peer) < sizeof status->tls_peer - 1)
		add(block, "WS_TLS_PEER", status->tls_peer);
}

/* Pointers, the NULL behind them, and the texts, in one piece. */
static char **arrange(const struct block *block)
{
	char **list = malloc((block->count + 1) * sizeof *list + block->size);
	char *text;

	if (!list)
		return NULL;
	text = (char *)&list[block->count + 1];
	memcpy(text, block->text, block->size);
	for (size_t i = 0; i < block->count; i++, text += strlen(text) + 1)
		list[i] = text;
	list[block->count] = NULL;
	return list;
}

char **wspipe_environment_make(FILE *half, const char **error)
{
	struct ws_status status = WS_STATUS_INIT;
	struct block block = { .text = NULL };
	char **list = NULL;

	*error = NULL;
	block.out = open_memstream(&block.text, &block.size);
	if (!block.out)
		return NULL;
	for (char **variable = environ; *variable; variable++) {
		if (is_reserved(*variable))
			continue;
		fputs(*variable, block.out);
		fputc('\0', block.out);
		block.count++;
	}
	if (ws_status(half, &status) == 0) {
		add_connection(&block, &status);
		*error = add_request(&block, &status);
	}
	add_headers(&block, half);
	if (fclose(block.out) == 0 && !*error)
		list = arrange(&block);
	free(block.text);
	return list;
}
