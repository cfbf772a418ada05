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

static void format_address(const struct sockaddr_storage *address, char *out, size_t out_bytes)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		snprintf(out, out_bytes, "%s:%u", text, (unsigned)ntohs(in->sin_port));
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		snprintf(out, out_bytes, "[%s]:%u", text, (unsigned)ntohs(in6->sin6_port));
	}
}

void wsf_stream_find_addresses(struct wsf_stream *stream, int fd, const char *local_path)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof address;

	if (local_path != NULL) {
		/* A client's end has no name of its own. */
		snprintf(stream->local_address, sizeof stream->local_address, "unix:%s",
		    stream->role == WSF_SERVER ? local_path : "");
		snprintf(stream->peer_address, sizeof stream->peer_address, "unix:%s",
		    stream->role == WSF_CLIENT ? local_path : "");
		return;
	}
	if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
		format_address(&address, stream->local_address, sizeof stream->local_address);
	size = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &size) == 0)
		format_address(&address, stream->peer_address, sizeof stream->peer_address);
}

static enum ws_state state_locked(const struct wsf_stream *stream)
{
	if (stream->gone || stream->failure.error != 0)
		return WS_STATE_CLOSED;
	return stream->close_received || stream->close_code_sent != 0 ? WS_STATE_CLOSING : WS_STATE_OPEN;
}

static void fill_status_locked(const struct wsf_stream *stream, struct ws_status *status)
{
	status->state = state_locked(stream);
	status->clean = stream->close_flushed && stream->close_received && stream->failure.error == 0 &&
	    stream->write_failure == 0;
	status->error = stream->write_failure != 0 ? stream->write_failure : stream->failure.error;
	status->close_code_sent = stream->close_code_sent;
	status->close_code_received = stream->close_code_received;
	memcpy(status->close_reason_sent, stream->close_reason_sent, sizeof stream->close_reason_sent);
	memcpy(status->close_reason_received, stream->close_reason_received, sizeof stream->close_reason_received);
	if (stream->failure.error != 0)
		snprintf(status->error_text, sizeof status->error_text, "%.159s", stream->failure.text);
	else if (stream->write_failure != 0)
		snprintf(status->error_text, sizeof status->error_text, "a write failed");
	status->http_status = stream->failure.http_status;
	memcpy(status->local_address, stream->local_address, sizeof stream->local_address);
	memcpy(status->peer_address, stream->peer_address, sizeof stream->peer_address);
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
	pthread_mutex_lock(&stream->lock);
	fill_status_locked(stream, &full);
	pthread_mutex_unlock(&stream->lock);
	if (stream->endpoint.subprotocol != NULL)
		snprintf(full.subprotocol, sizeof full.subprotocol, "%s", stream->endpoint.subprotocol);
	full.compressed = stream->endpoint.extensions != NULL;
	if (full.compressed)
		snprintf(full.extensions, sizeof full.extensions, "%s", stream->endpoint.extensions);
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
