/* SPDX-License-Identifier: 0BSD */
/*
 * What libwebsockets calls, on the service thread. Its ws role answers a Close at once and tells nobody of the answer
 * to its own, so our Closes are written like any other frame: then it goes on receiving, and the peer's Close comes as
 * one that the peer began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "attach_lws.h"
#include "process.h"

/* So much is sent, at most, behind the peer's Close: what the stream held then. */
#define LAST_MAX(options) (wsf_options_get(options)->send_buffer_bytes + WSF_WIRE_OUT_BYTES)
#define BACKGROUND_MS 5000
/* Not a number that the program may have closed to get another file there. */
#define LEAST_FD 3

/* --- a connection comes --- */

/* Whether there is a place for it. */
static bool accepts(struct wsf_hub *hub)
{
	bool open;

	wsf_lock(&hub->feed_lock, WSF_RANK_FEED);
	open = hub->listener != NULL;
	wsf_unlock(&hub->feed_lock, WSF_RANK_FEED);
	return open && !atomic_load(&hub->full);
}

static int feed_listener(struct wsf_link *link, struct ws_listener *listener)
{
	struct lws *network = lws_get_network_wsi(link->wsi);
	struct wsf_stream_setup setup = {
		.role = WSF_SERVER,
		.handshake_deadline_ns = WSF_NO_DEADLINE,
		.fd = lws_get_socket_fd(network != NULL ? network : link->wsi),
	};
	struct wsf_stream *stream;
	int rv = wsf_listener_put(listener, &setup, &stream);

	if (rv != 0)
		return rv;
	rv = wsf_wire_attach(&link->wire, stream, link->request, link->request_bytes);
	if (rv != 0)
		setup.owner.failed(setup.owner.user, stream);
	return rv;
}

/* Returns 0, or -1: libwebsockets closes it. */
static int established(struct wsf_link *link)
{
	struct wsf_hub *hub = link->hub;
	int rv = -EBADF;

	wsf_lock(&hub->feed_lock, WSF_RANK_FEED);
	if (hub->listener != NULL)
		rv = feed_listener(link, hub->listener);
	wsf_unlock(&hub->feed_lock, WSF_RANK_FEED);
	free(link->request);
	link->request = NULL;
	if (rv != 0) {
		lws_set_wsi_user(link->wsi, NULL);
		wsf_link_drop(link);
		return -1;
	}
	lws_set_wsi_user(link->wsi, link);
#if !defined(LWS_WITHOUT_EXTENSIONS)
	/* Sets nothing: only asks. */
	link->deflates = lws_set_extension_option(link->wsi, "permessage-deflate", NULL, NULL) == 0;
#endif
	wsf_link_serve(link);
	wsf_lock(&hub->feed_lock, WSF_RANK_FEED);
	/* In this order, as hub->full may become false any moment behind. */
	atomic_store(&hub->full, true);
	if (hub->listener == NULL || !wsf_listener_full(hub->listener))
		atomic_store(&hub->full, false);
	wsf_unlock(&hub->feed_lock, WSF_RANK_FEED);
	return 0;
}

static int server_established(struct wsf_hub *hub, struct lws *wsi)
{
	struct wsf_link *link = wsf_link_new(hub, wsi, false);

	return link != NULL ? established(link) : -1;
}

/* Its header fields are gone when it is established. */
static int client_answered(struct wsf_hub *hub, struct lws *wsi)
{
	return accepts(hub) && wsf_link_new(hub, wsi, true) != NULL ? 0 : -1;
}

static int client_established(struct wsf_hub *hub, struct lws *wsi)
{
	struct wsf_link *link = wsf_link_find(hub, wsi);

	return link != NULL && link->request != NULL ? established(link) : -1;
}

/* --- an established connection --- */

static int broke(struct wsf_link *link, int error, const char *text)
{
	wsf_wire_end(&link->wire, error, text, -1, 0);
	wsf_link_drop(link);
	return -1;
}

static int received(struct wsf_link *link, uint8_t opcode, const void *data, size_t size)
{
	int rv;

	if (link->ending)
		return 0;
	if (opcode == WSF_PONG)
		rv = wsf_wire_put(&link->wire, WSF_PONG, true, data, size);
	else
		rv = wsf_wire_put_chunk(&link->wire, !lws_frame_is_binary(link->wsi), lws_is_final_fragment(link->wsi),
		    data, size);
	if (rv != 0)
		return broke(link, -rv, rv == -ENOMEM ? "out of memory for received data" :
		    "more came at once than can be kept: compressed, or over HTTP/2");
	link->receiving = true;
	wsf_link_serve(link);
	link->receiving = false;
	return 0;
}

static int writable(struct wsf_link *link)
{
	struct wsf_piece piece;

	/* It sends what it has kept before it asks for more. */
	link->written = false;
	wsf_wire_sent(&link->wire, false);
	if (wsf_wire_next(&link->wire, &piece) && wsf_link_write(link, &piece) != 0)
		return broke(link, ECONNRESET, "");
	wsf_link_serve(link);
	if (!wsf_link_may_write(link) || lws_partial_buffered(link->wsi) != 0 || wsf_wire_next(&link->wire, &piece))
		lws_callback_on_writable(link->wsi);
	return 0;
}

/*
 * The peer's Close is in the wire. All that the stream has is sent now, and its own Close: libwebsockets sends no more
 * behind this.
 */
static void send_last(struct wsf_link *link)
{
	size_t left = LAST_MAX(link->hub->options);
	struct wsf_piece piece;

	/* It does not receive as long as its deflater holds something. */
	link->written = false;
	wsf_link_serve(link);
	while (!link->close_sent && wsf_link_may_write(link) && wsf_wire_next(&link->wire, &piece) &&
	    piece.bytes <= left) {
		left -= piece.bytes;
		if (wsf_link_write(link, &piece) != 0)
			return;
		wsf_link_serve(link);
	}
}

/*
 * Whether the peer has got what came before our Close, only the end of its side of TCP tells, and libwebsockets does
 * not wait for that. A second descriptor keeps the socket for whoever closes the stream.
 */
static int keep_socket(struct lws *wsi)
{
	if (lws_get_network_wsi(wsi) != wsi)
		return -1;
	return WSF_OWNED(fcntl(lws_get_socket_fd(wsi), F_DUPFD_CLOEXEC, LEAST_FD));
}

static int peer_closed(struct wsf_link *link, const void *data, size_t size)
{
	int close_ms = wsf_options_get(link->hub->options)->close_timeout_ms, fin_fd = -1;
	bool first = !link->close_sent, answered;

	if (link->ending)
		return 0;
	if (wsf_wire_put(&link->wire, WSF_CLOSE, true, data, size) != 0)
		return broke(link, ENOMEM, "out of memory for received data");
	send_last(link);
	answered = link->close_sent;
	if (first && answered)
		fin_fd = keep_socket(link->wsi);
	wsf_wire_end(&link->wire, ECONNRESET, "", fin_fd, close_ms >= 0 ? close_ms : BACKGROUND_MS);
	wsf_link_drop(link);
	/* Without an answer of ours, it sends one. */
	return answered ? -1 : 0;
}

/* What libwebsockets had against the peer, where it says so. */
static void closed(struct wsf_link *link, bool server)
{
	char text[128] = "";
	const unsigned char *payload = lws_get_close_payload(link->wsi);
	int size = server ? lws_get_close_length(link->wsi) : 0, error = ECONNRESET;

	if (size >= 2) {
		error = ((unsigned)payload[0] << 8 | payload[1]) == 1007 ? EILSEQ : EPROTO;
		snprintf(text, sizeof text, "libwebsockets: %.*s", size - 2, (const char *)payload + 2);
	}
	wsf_wire_end(&link->wire, error, text, -1, 0);
	wsf_link_drop(link);
}

/* --- the callback --- */

static int link_event(struct wsf_link *link, enum lws_callback_reasons reason, void *in, size_t size)
{
	if (link == NULL)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return received(link, WSF_BINARY, in, size);
	case LWS_CALLBACK_RECEIVE_PONG:
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		return received(link, WSF_PONG, in, size);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		return peer_closed(link, in, size);
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return writable(link);
	default:
		closed(link, reason == LWS_CALLBACK_CLOSED);
		return 0;
	}
}

static int hub_event(struct wsf_hub *hub, struct lws *wsi, enum lws_callback_reasons reason)
{
	struct wsf_link *link;

	switch (reason) {
	case LWS_CALLBACK_PROTOCOL_INIT:
		wsf_hub_ref(hub);
		atomic_fetch_add(&hub->vhosts, 1);
		return 0;
	case LWS_CALLBACK_PROTOCOL_DESTROY:
		if (atomic_load(&hub->vhosts) > 0) {
			atomic_fetch_sub(&hub->vhosts, 1);
			wsf_hub_unref(hub);
		}
		return 0;
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return accepts(hub) ? 0 : 1;
	case LWS_CALLBACK_ESTABLISHED:
		return server_established(hub, wsi);
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
		return client_answered(hub, wsi);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		return client_established(hub, wsi);
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		wsf_link_serve_queued(hub, lws_get_context(wsi));
		return 0;
	default:	/* a client's connection that came to nothing, or ended */
		link = wsf_link_find(hub, wsi);
		if (link != NULL && link->request != NULL)
			wsf_link_drop(link);
		else if (link != NULL)
			closed(link, false);
		return 0;
	}
}

int wsf_hub_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	switch (reason) {
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_RECEIVE_PONG:
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_CLOSED:
		return link_event(user, reason, in, size);
	case LWS_CALLBACK_PROTOCOL_INIT:
	case LWS_CALLBACK_PROTOCOL_DESTROY:
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		return hub_event(lws_get_protocol(wsi)->user, wsi, reason);
	default:
		/* As the first of its vhost, it is also asked for what no protocol is. */
		return lws_callback_http_dummy(wsi, reason, user, in, size);
	}
}
