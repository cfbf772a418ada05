/* SPDX-License-Identifier: 0BSD */
/* What a stream tells of itself: its status and the peer's headers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "stream_private.h"

struct wsf_joined {
	struct wsf_joined *next;
	char *value;
	char name[];
};

/* A client's end of a local socket has no name of its own. */
static char *format_local(const char *path)
{
	static const char scheme[] = "unix:";
	size_t size = sizeof scheme + strlen(path);
	char *text = malloc(size);

	if (text != NULL)
		snprintf(text, size, "%s%s", scheme, path);
	return text;
}

/* As the kernel tells it: not always with a NUL behind it, and behind one where it is abstract. */
static char *format_unix(const struct sockaddr_un *address, size_t size)
{
	const size_t before = offsetof(struct sockaddr_un, sun_path);
	char path[sizeof address->sun_path + 1] = "";
	size_t length = size > before ? size - before : 0;

	memcpy(path, address->sun_path, length < sizeof address->sun_path ? length : sizeof address->sun_path);
	if (path[0] == '\0' && path[1] != '\0')
		path[0] = '@';
	return format_local(path);
}

/* Returns a malloc'd text, or NULL: not known, or no memory. */
static char *format_address(const struct sockaddr_storage *address, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "", whole[sizeof text + 8];

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		snprintf(whole, sizeof whole, "%s:%u", text, (unsigned)ntohs(in->sin_port));
		return strdup(whole);
	}
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		snprintf(whole, sizeof whole, "[%s]:%u", text, (unsigned)ntohs(in6->sin6_port));
		return strdup(whole);
	}
	if (address->ss_family == AF_UNIX)
		return format_unix((const struct sockaddr_un *)(const void *)address, size);
	return NULL;
}

void wsf_stream_find_addresses(struct wsf_stream *stream, int fd, const char *local_path)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof address;

	if (local_path != NULL) {
		stream->local_address = format_local(stream->role == WSF_SERVER ? local_path : "");
		stream->peer_address = format_local(stream->role == WSF_CLIENT ? local_path : "");
		return;
	}
	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		stream->local_address = format_address(&address, size);
	size = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &size) == 0)
		stream->peer_address = format_address(&address, size);
}

static enum ws_state state_locked(const struct wsf_stream *stream)
{
	if (stream->gone || stream->error != 0)
		return WS_STATE_CLOSED;
	return stream->close_received || stream->close_code_sent != 0 ? WS_STATE_CLOSING : WS_STATE_OPEN;
}

static void fill_text(char *out, size_t out_bytes, const char *text)
{
	snprintf(out, out_bytes, "%s", text != NULL ? text : "");
}

bool wsf_stream_clean_locked(const struct wsf_stream *stream)
{
	return stream->close_flushed && stream->close_received && stream->error == 0 && stream->write_failure == 0;
}

int wsf_stream_error_locked(const struct wsf_stream *stream, const char **text)
{
	/* EPIPE says only that something else ended the writing: that comes first. */
	if (stream->write_failure != 0 && (stream->write_failure != EPIPE || stream->error == 0)) {
		*text = "a write failed";
		if (stream->write_failure == stream->error && stream->error_text != NULL)
			*text = stream->error_text;
		return stream->write_failure;
	}
	*text = stream->error != 0 && stream->error_text == NULL ? strerror(stream->error) : stream->error_text;
	return stream->error;
}

/* Both locks held. */
static void fill_status_locked(const struct wsf_stream *stream, struct ws_status *status)
{
	const char *text;

	status->state = state_locked(stream);
	status->clean = wsf_stream_clean_locked(stream);
	status->error = wsf_stream_error_locked(stream, &text);
	fill_text(status->error_text, sizeof status->error_text, text);
	status->close_code_sent = stream->close_code_sent;
	status->close_code_received = stream->close_code_received;
	fill_text(status->close_reason_sent, sizeof status->close_reason_sent, stream->close_reason_sent);
	fill_text(status->close_reason_received, sizeof status->close_reason_received, stream->close_reason_received);
	status->http_status = stream->http_status;
	fill_text(status->local_address, sizeof status->local_address, stream->local_address);
	fill_text(status->peer_address, sizeof status->peer_address, stream->peer_address);
	status->bytes_received = stream->bytes_received;
	status->bytes_sent = stream->bytes_sent;
	status->messages_received = stream->messages_received;
	status->messages_sent = stream->messages_sent;
	status->id = stream->id;
	status->round_trip_us = stream->round_trip_us;
}

/* A server's is what the client asked for, as far as it says; the header block is immutable once it is open. */
static void fill_url(const struct wsf_stream *stream, struct ws_status *status)
{
	const struct wsf_http *http = &stream->endpoint.http;
	const char *host = stream->strings[0], *target = stream->strings[1];

	if (stream->role == WSF_SERVER) {
		host = wsf_http_field(http, "Host");
		target = wsf_http_target(http);
	}
	if (host != NULL && target != NULL)
		snprintf(status->url, sizeof status->url, "%s://%s%s", status->tls_version[0] != '\0' ? "wss" : "ws",
		    host, target);
}

_Static_assert(WSF_EXTENSIONS_MAX <= sizeof(((struct ws_status *)0)->extensions), "what is agreed fits");

int wsf_stream_status(struct wsf_stream *stream, struct ws_status *status)
{
	struct ws_status full = WS_STATUS_INIT;
	size_t size = status->size;

	if (size < offsetof(struct ws_status, clean) || size > sizeof full)
		return -EINVAL;
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	fill_status_locked(stream, &full);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	fill_text(full.subprotocol, sizeof full.subprotocol, stream->endpoint.subprotocol);
	fill_text(full.extensions, sizeof full.extensions, stream->endpoint.extensions);
	full.compressed = stream->endpoint.extensions != NULL;
	stream->ops->status(stream->link, &full);
	fill_url(stream, &full);
	full.size = size;
	memcpy(status, &full, size);
	return 0;
}

/* All values of that name in one string; immutable, since the header block is. */
static struct wsf_joined *join(const struct wsf_http *http, const char *name)
{
	size_t size = strlen(name) + 1;
	struct wsf_joined *joined = malloc(sizeof *joined + size);
	const char *value;
	FILE *out;

	if (joined == NULL)
		return NULL;
	memcpy(joined->name, name, size);
	joined->value = NULL;
	out = open_memstream(&joined->value, &size);
	for (size_t n = 0; out != NULL && (value = wsf_http_field_at(http, name, n)) != NULL; n++)
		fputs(n > 0 ? ", " : "", out), fputs(value, out);
	if (out == NULL || fclose(out) != 0) {
		free(joined->value);
		free(joined);
		return NULL;
	}
	return joined;
}

const char *wsf_stream_header(struct wsf_stream *stream, const char *name)
{
	const struct wsf_http *http = &stream->endpoint.http;
	struct wsf_joined *joined;

	if (wsf_http_field_count(http, name) <= 1)
		return wsf_http_field(http, name);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	for (joined = stream->joined; joined != NULL && strcasecmp(joined->name, name) != 0;)
		joined = joined->next;
	if (joined == NULL && (joined = join(http, name)) != NULL) {
		joined->next = stream->joined;
		stream->joined = joined;
	}
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return joined != NULL ? joined->value : NULL;
}

void wsf_stream_free_joined(struct wsf_stream *stream)
{
	struct wsf_joined *joined;

	while ((joined = stream->joined) != NULL) {
		stream->joined = joined->next;
		free(joined->value);
		free(joined);
	}
}
