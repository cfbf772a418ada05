/* SPDX-License-Identifier: 0BSD */
/* What a stream tells of itself: its status and the peer's headers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "stream_private.h"

struct wsf_joined {
	struct wsf_joined *next;
	char *value;
	char name[];
};

/* Returns a malloc'd text, or NULL: not known, or no memory. */
static char *format_address(const struct sockaddr_storage *address)
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
	return NULL;
}

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
		stream->local_address = format_address(&address);
	size = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &size) == 0)
		stream->peer_address = format_address(&address);
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

/* Both locks held. */
static void fill_status_locked(const struct wsf_stream *stream, struct ws_status *status)
{
	status->state = state_locked(stream);
	status->clean = stream->close_flushed && stream->close_received && stream->error == 0 &&
	    stream->write_failure == 0;
	status->error = stream->write_failure != 0 ? stream->write_failure : stream->error;
	status->close_code_sent = stream->close_code_sent;
	status->close_code_received = stream->close_code_received;
	fill_text(status->close_reason_sent, sizeof status->close_reason_sent, stream->close_reason_sent);
	fill_text(status->close_reason_received, sizeof status->close_reason_received, stream->close_reason_received);
	if (stream->error != 0)
		fill_text(status->error_text, sizeof status->error_text,
		    stream->error_text != NULL ? stream->error_text : strerror(stream->error));
	else if (stream->write_failure != 0)
		snprintf(status->error_text, sizeof status->error_text, "a write failed");
	status->http_status = stream->http_status;
	fill_text(status->local_address, sizeof status->local_address, stream->local_address);
	fill_text(status->peer_address, sizeof status->peer_address, stream->peer_address);
	status->bytes_received = stream->bytes_received;
	status->bytes_sent = stream->bytes_sent;
	status->messages_received = stream->messages_received;
	status->messages_sent = stream->messages_sent;
}

_Static_assert(WSF_EXTENSIONS_MAX <= sizeof(((struct ws_status *)0)->extensions), "what is agreed fits");

int wsf_stream_status(struct wsf_stream *stream, struct ws_status *status)
{
	struct ws_status full = WS_STATUS_INIT;
	size_t size = status->size;

	if (size < offsetof(struct ws_status, clean) || size > sizeof full)
		return -EINVAL;
	pthread_mutex_lock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	fill_status_locked(stream, &full);
	pthread_mutex_unlock(&stream->lock);
	pthread_mutex_unlock(&stream->transmit_lock);
	fill_text(full.subprotocol, sizeof full.subprotocol, stream->endpoint.subprotocol);
	fill_text(full.extensions, sizeof full.extensions, stream->endpoint.extensions);
	full.compressed = stream->endpoint.extensions != NULL;
	stream->ops->status(stream->link, &full);
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
	pthread_mutex_lock(&stream->lock);
	for (joined = stream->joined; joined != NULL && strcasecmp(joined->name, name) != 0;)
		joined = joined->next;
	if (joined == NULL && (joined = join(http, name)) != NULL) {
		joined->next = stream->joined;
		stream->joined = joined;
	}
	pthread_mutex_unlock(&stream->lock);
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
