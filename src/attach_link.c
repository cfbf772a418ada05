/* SPDX-License-Identifier: 0BSD */
/* One connection of libwebsockets: how other threads reach its service thread, and what that does for the stream. */
#include <stdlib.h>

#include "attach_lws.h"
#include "cancel.h"

/* It has this between its public values, from 4.1 to 5.0; lws-write.h says that it is there, and not what it is. */
#define WRITE_CLOSE ((enum lws_write_protocol)4)
#define SWEEP_US 500000

static struct wsf_link *link_of(struct wsf_wire *wire)
{
	return (struct wsf_link *)wire;
}

/* --- other threads --- */

static void wake(struct wsf_wire *wire)
{
	struct wsf_link *link = link_of(wire);
	struct wsf_hub *hub = link->hub;
	int cancel = wsf_cancel_off();

	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	if (link->context != NULL && !link->queued) {
		link->queued = true;
		link->queue_next = NULL;
		*hub->queue_end = link;
		hub->queue_end = &link->queue_next;
		/* As long as it has the connection, it has the context. */
		lws_cancel_service(link->context);
	}
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	wsf_cancel_back(cancel);
}

static void unqueue_locked(struct wsf_hub *hub, struct wsf_link *link)
{
	struct wsf_link **at = &hub->queue;

	while (*at != NULL && *at != link)
		at = &(*at)->queue_next;
	if (*at == NULL)
		return;
	*at = link->queue_next;
	if (hub->queue_end == &link->queue_next)
		hub->queue_end = at;
	link->queued = false;
}

/* --- a link's life --- */

static void free_link(struct wsf_wire *wire)
{
	struct wsf_link *link = link_of(wire);

	wsf_hub_unref(link->hub);
	free(link->request);
	free(link->buffer);
	free(link);
}

struct wsf_link *wsf_link_new(struct wsf_hub *hub, struct lws *wsi, bool client)
{
	struct wsf_link *link = calloc(1, sizeof *link);

	if (link == NULL)
		return NULL;
	wsf_wire_init(&link->wire, wake, free_link);
	wsf_hub_ref(hub);
	link->hub = hub;
	link->wsi = wsi;
	link->timer_ns = WSF_NO_DEADLINE;
	link->request = wsf_attach_request(wsi, client, &link->request_bytes);
	if (link->request == NULL) {
		wsf_wire_unref(&link->wire);
		return NULL;
	}
	link->context = lws_get_context(wsi);
	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	link->next = hub->links;
	if (link->next != NULL)
		link->next->previous = link;
	hub->links = link;
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	return link;
}

void wsf_link_drop(struct wsf_link *link)
{
	struct wsf_hub *hub = link->hub;

	lws_sul_cancel(&link->timer);
	lws_sul_cancel(&link->sweep);
	lws_sul_cancel(&link->stop);
	if (link->request == NULL)
		lws_set_wsi_user(link->wsi, NULL);
	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	unqueue_locked(hub, link);
	if (link->previous != NULL)
		link->previous->next = link->next;
	else
		hub->links = link->next;
	if (link->next != NULL)
		link->next->previous = link->previous;
	link->context = NULL;
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	link->wsi = NULL;
	wsf_wire_unref(&link->wire);
}

struct wsf_link *wsf_link_find(struct wsf_hub *hub, const struct lws *wsi)
{
	struct wsf_link *link;

	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	for (link = hub->links; link != NULL && link->wsi != wsi;)
		link = link->next;
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	return link;
}

/* --- what the stream wants --- */

static void timer_fired(lws_sorted_usec_list_t *timer)
{
	struct wsf_link *link = lws_container_of(timer, struct wsf_link, timer);

	link->timer_ns = WSF_NO_DEADLINE;
	wsf_wire_want(&link->wire, WSF_WIRE_TIMER);
	wsf_link_serve(link);
}

static void schedule_timer(struct wsf_link *link)
{
	int64_t due_ns = link->wire.timer_ns, left_us;

	if (due_ns == link->timer_ns)
		return;
	link->timer_ns = due_ns;
	lws_sul_cancel(&link->timer);
	left_us = due_ns != WSF_NO_DEADLINE ? (due_ns - wsf_now_ns()) / 1000 + 1 : 0;
	if (due_ns != WSF_NO_DEADLINE)
		lws_sul_schedule(lws_get_context(link->wsi), lws_get_tsi(link->wsi), &link->timer, timer_fired,
		    left_us > 0 ? left_us : 1);
}

static void schedule_sweep(struct wsf_link *link);

static void sweep_fired(lws_sorted_usec_list_t *sweep)
{
	struct wsf_link *link = lws_container_of(sweep, struct wsf_link, sweep);

	bool again = wsf_wire_sweep(&link->wire);

	link->sweeping = false;
	if (link->buffer != NULL && link->written) {
		/* Once it asks for more, it has done with this. */
		lws_callback_on_writable(link->wsi);
		again = true;
	} else {
		free(link->buffer);
		link->buffer = NULL;
		link->buffer_bytes = 0;
	}
	if (again)
		schedule_sweep(link);
}

static void schedule_sweep(struct wsf_link *link)
{
	if (!link->sweeping)
		lws_sul_schedule(lws_get_context(link->wsi), lws_get_tsi(link->wsi), &link->sweep, sweep_fired,
		    SWEEP_US);
	link->sweeping = true;
}

static void stop_fired(lws_sorted_usec_list_t *stop)
{
	wsf_link_serve(lws_container_of(stop, struct wsf_link, stop));
}

/* Room behind what libwebsockets puts in front. */
static uint8_t *get_buffer(struct wsf_link *link, size_t size)
{
	if (link->buffer == NULL || link->buffer_bytes < size) {
		free(link->buffer);
		link->buffer = malloc(LWS_PRE + size);
		link->buffer_bytes = size;
	}
	return link->buffer != NULL ? link->buffer + LWS_PRE : NULL;
}

bool wsf_link_may_write(const struct wsf_link *link)
{
	return !link->deflates || !link->written;
}

int wsf_link_write(struct wsf_link *link, const struct wsf_piece *piece)
{
	uint8_t *buffer = get_buffer(link, piece->bytes);
	int type = piece->opcode == WSF_TEXT ? LWS_WRITE_TEXT : piece->opcode == WSF_BINARY ? LWS_WRITE_BINARY :
	    piece->opcode == WSF_CONTINUATION ? LWS_WRITE_CONTINUATION : piece->opcode == WSF_PING ? LWS_WRITE_PING :
	    piece->opcode == WSF_PONG ? LWS_WRITE_PONG : (int)WRITE_CLOSE;
	int written;

	if (buffer == NULL)
		return -1;
	wsf_wire_take(&link->wire, piece, buffer);
	link->written = true;
	schedule_sweep(link);
	if (!piece->fin)
		type |= LWS_WRITE_NO_FIN;
	written = lws_write(link->wsi, buffer, piece->bytes, (enum lws_write_protocol)type);
	link->close_sent |= piece->opcode == WSF_CLOSE;
	wsf_wire_sent(&link->wire, lws_partial_buffered(link->wsi) != 0);
	return written < 0 ? -1 : 0;
}

/* The stream has let go: what it sent before goes out as far as the socket takes it, and the connection is closed. */
static void end_link(struct wsf_link *link)
{
	struct wsf_piece piece;
	int rv = 0;

	link->ending = true;
	while (rv == 0 && wsf_link_may_write(link) && lws_partial_buffered(link->wsi) == 0 &&
	    wsf_wire_next(&link->wire, &piece))
		rv = wsf_link_write(link, &piece);
	lws_set_timeout(link->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

static void stop_or_go(struct wsf_link *link)
{
	bool full = wsf_wire_full(&link->wire);

	if (full == link->stopped)
		return;
	/*
	 * Stopped in the middle of what is being inflated, libwebsockets leaves the rest of it where the next thing is
	 * received: so not before it has done with all it has.
	 */
	if (full && link->deflates && link->receiving) {
		lws_sul_schedule(lws_get_context(link->wsi), lws_get_tsi(link->wsi), &link->stop, stop_fired, 1);
		return;
	}
	link->stopped = full;
	lws_rx_flow_control(link->wsi, !full);
}

void wsf_link_serve(struct wsf_link *link)
{
	unsigned left = wsf_wire_serve(&link->wire);

	if (link->ending)
		return;
	if ((left & WSF_WIRE_END) != 0) {
		end_link(link);
		return;
	}
	if ((left & WSF_WIRE_SEND) != 0)
		lws_callback_on_writable(link->wsi);
	if ((left & WSF_WIRE_SWEEP) != 0)
		schedule_sweep(link);
	schedule_timer(link);
	stop_or_go(link);
}

/* A context may have several service threads, and then each connection has one of them. */
static bool is_ours(struct wsf_link *link, struct lws_context *context)
{
	return link->context == context && (lws_get_count_threads(context) == 1 ||
	    atomic_load(&link->wire.server) == wsf_wire_this_thread());
}

/* The next whose stream wants something, with a reference; NULL = none of this thread. */
static struct wsf_link *next_queued(struct wsf_hub *hub, struct lws_context *context)
{
	struct wsf_link *link;

	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	for (link = hub->queue; link != NULL && !is_ours(link, context);)
		link = link->queue_next;
	if (link != NULL) {
		unqueue_locked(hub, link);
		wsf_wire_ref(&link->wire);
	}
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	return link;
}

/* Whoever comes back while this goes on has woken the thread again: the sockets have their turn before. */
void wsf_link_serve_queued(struct wsf_hub *hub, struct lws_context *context)
{
	struct wsf_link *link;
	unsigned count = 0;

	wsf_lock(&hub->queue_lock, WSF_RANK_HUB);
	for (link = hub->queue; link != NULL; link = link->queue_next)
		count++;
	wsf_unlock(&hub->queue_lock, WSF_RANK_HUB);
	while (count-- > 0 && (link = next_queued(hub, context)) != NULL) {
		if (link->wsi != NULL)
			wsf_link_serve(link);
		wsf_wire_unref(&link->wire);
	}
}
