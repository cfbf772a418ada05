/* SPDX-License-Identifier: 0BSD */
/*
 * The opening request of a stream whose handshake libwebsockets has done: so that ws_header(3) and ws_status(3) tell
 * the same as of any other, and what is wrong with it is judged in one place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach_lws.h"

/* Nobody answers to it: any will do where libwebsockets tells none. */
#define SOME_KEY "AAAAAAAAAAAAAAAAAAAAAA=="
#define VALUE_MAX 4096

struct text {
	char *data;
	size_t size, limit;
};

/* Returns whether it fits. */
static bool add(struct text *text, const char *data, size_t size)
{
	if (size > text->limit - text->size)
		return false;
	memcpy(text->data + text->size, data, size);
	text->size += size;
	return true;
}

static bool add_string(struct text *text, const char *string)
{
	return add(text, string, strlen(string));
}

/* A whole line, or nothing. */
static void add_field(struct text *text, const char *name, size_t name_bytes, const char *value)
{
	size_t before = text->size;

	if (!add(text, name, name_bytes) || !add_string(text, ": ") || !add_string(text, value) ||
	    !add_string(text, "\r\n"))
		text->size = before;
}

static bool printable(const char *value)
{
	for (; *value != '\0'; value++)
		if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

/* What libwebsockets has of a token, "" = nothing. Returns whether there is something that can be used. */
static bool value_of(struct lws *wsi, enum lws_token_indexes token, char value[VALUE_MAX])
{
	value[0] = '\0';
	if (lws_hdr_total_length(wsi, token) <= 0 || lws_hdr_copy(wsi, value, VALUE_MAX, token) <= 0)
		return false;
	return printable(value);
}

/* --- the request line --- */

/* libwebsockets has decoded it. */
static void add_escaped(struct text *text, const char *part, const char *reserved)
{
	char escape[4];

	for (; *part != '\0'; part++) {
		if ((unsigned char)*part > ' ' && (unsigned char)*part < 0x7f &&
		    strchr("\"#%<>\\^`{|}", *part) == NULL && strchr(reserved, *part) == NULL) {
			(void)add(text, part, 1);
		} else {
			snprintf(escape, sizeof escape, "%%%02X", (unsigned char)*part);
			(void)add(text, escape, 3);
		}
	}
}

static void add_target(struct text *text, struct lws *wsi, bool client)
{
	char value[VALUE_MAX];

	(void)add_string(text, "GET ");
	/* A server's answer tells none, and the client's own is gone by now. */
	if (!client && (value_of(wsi, WSI_TOKEN_GET_URI, value)
#if defined(LWS_WITH_HTTP2)
	    || value_of(wsi, WSI_TOKEN_HTTP_COLON_PATH, value)
#endif
	    ) && value[0] == '/')
		add_escaped(text, value, "?");
	else
		(void)add_string(text, "/");
	if (!client && value_of(wsi, WSI_TOKEN_HTTP_URI_ARGS, value)) {
		(void)add_string(text, "?");
		add_escaped(text, value, "");
	}
	(void)add_string(text, " HTTP/1.1\r\n");
}

static void add_host(struct text *text, struct lws *wsi, bool client)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:[]";
	char value[VALUE_MAX];
	bool known = !client && (value_of(wsi, WSI_TOKEN_HOST, value)
#if defined(LWS_WITH_HTTP2)
	    || value_of(wsi, WSI_TOKEN_HTTP_COLON_AUTHORITY, value)
#endif
	    );

	if (!known || value[strspn(value, good)] != '\0')
		snprintf(value, sizeof value, "localhost");
	add_field(text, "Host", 4, value);
}

/* --- the other fields --- */

/* Whether a field's name is to be copied: not what is written here already, and nothing that announces a body. */
static bool copied(const char *name, size_t size)
{
	static const char *const left_out[] = { "host", "upgrade", "connection", "sec-websocket-version",
		"sec-websocket-key", "content-length", "transfer-encoding" };
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	if (size == 0 || strspn(name, good) < size)
		return false;
	for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
		if (strlen(left_out[i]) == size && strncmp(left_out[i], name, size) == 0)
			return false;
	return true;
}

static void add_known_fields(struct text *text, struct lws *wsi)
{
	char value[VALUE_MAX];
	const char *name;
	size_t size;

	for (int token = 0; token < WSI_TOKEN_COUNT; token++) {
		name = (const char *)lws_token_to_string((enum lws_token_indexes)token);
		size = name != NULL ? strlen(name) : 0;
		/* The others are parts of the request line, or of HTTP/2's. */
		if (size < 2 || name[size - 1] != ':' || !copied(name, size - 1))
			continue;
		if (value_of(wsi, (enum lws_token_indexes)token, value))
			add_field(text, name, size - 1, value);
	}
}

#if defined(LWS_WITH_CUSTOM_HEADERS) && LWS_LIBRARY_VERSION_NUMBER >= 4003000

struct custom {
	struct text *text;
	struct lws *wsi;
};

static void add_custom(const char *name, int name_bytes, void *opaque)
{
	const struct custom *custom = opaque;
	char value[VALUE_MAX];
	size_t size = name_bytes > 0 ? (size_t)name_bytes : 0;

	if (lws_hdr_custom_copy(custom->wsi, value, sizeof value, name, name_bytes) < 0 || !printable(value))
		return;
	if (size > 0 && name[size - 1] == ':')
		size--;
	if (copied(name, size))
		add_field(custom->text, name, size, value);
}

static void add_custom_fields(struct text *text, struct lws *wsi)
{
	struct custom custom = { text, wsi };

	(void)lws_hdr_custom_name_foreach(wsi, add_custom, &custom);
}

#else

static void add_custom_fields(struct text *text, struct lws *wsi)
{
	(void)text;
	(void)wsi;
}

#endif

char *wsf_attach_request(struct lws *wsi, bool client, size_t *size)
{
	static const char fixed[] = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
	/* What comes first always fits. */
	struct text text = { .data = malloc(WSF_REQUEST_MAX), .limit = WSF_REQUEST_MAX - 2 };
	char value[VALUE_MAX];

	if (text.data == NULL)
		return NULL;
	add_target(&text, wsi, client);
	add_host(&text, wsi, client);
	(void)add_string(&text, fixed);
	if (client || !value_of(wsi, WSI_TOKEN_KEY, value) || strlen(value) != strlen(SOME_KEY))
		snprintf(value, sizeof value, SOME_KEY);
	add_field(&text, "Sec-WebSocket-Key", 17, value);
	add_known_fields(&text, wsi);
	add_custom_fields(&text, wsi);
	memcpy(text.data + text.size, "\r\n", 2);
	*size = text.size + 2;
	return text.data;
}
