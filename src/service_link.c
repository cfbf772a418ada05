/* SPDX-License-Identifier: 0BSD */
/*
 * One socket, of a stream or of a listener. Receiving and accepting are ours and not libwebsockets': its raw-skt role
 * reads a full service buffer whether or not the ring has room and hides how TCP ended, and its listening role spins
 * when descriptors run out.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "process.h"
#include "service_private.h"

/* A listener out of descriptors tries again. */
#define ACCEPT_RETRY_NS INT64_C(100000000)
#define ACCEPTS_PER_TURN 64

struct listener {
	struct wsf_link link;		/* first */
	const struct wsf_listen_ops *ops;	/* [I] */
	void *user;			/* [I] */
};

static struct listener *listener_of(struct wsf_link *link)
{
	return (struct listener *)link;
}

static enum wsf_load load_of(const struct wsf_link *link)
{
	return link->stream != NULL ? WSF_LOAD_STREAMS : WSF_LOAD_LISTENERS;
}

/* --- a stream's operations --- */

static void link_want_write(void *opaque)
{
	struct wsf_link *link = opaque;

	if (wsf_helper_is_self(link->helper) && link->helper->busy == link)
		link->wanted |= WSF_POLL_WRITE;
	else
		wsf_helper_command(link, WSF_WRITE);
}

static void link_want_read(void *opaque)
{
	wsf_helper_command(opaque, WSF_READ);
}

static void link_want_hand_over(void *opaque)
{
	wsf_helper_command(opaque, WSF_HAND_OVER);
}

static void link_want_timer(void *opaque)
{
	wsf_helper_command(opaque, WSF_TIMER);
}

static void link_want_sweep(void *opaque)
{
	wsf_helper_warm(opaque);
}

static void link_end(void *opaque)
{
	wsf_helper_command(opaque, WSF_END);
}

static void link_set_timer(void *opaque, int64_t deadline_ns)
{
	struct wsf_link *link = opaque;

	if (!link->over)
		wsf_helper_set_timer(link, deadline_ns);
}

static void link_free(void *opaque)
{
	struct wsf_link *link = opaque;

	wsf_tls_free(link->transport.tls);
	wsf_socket_close(&link->transport.socket);
	wsf_socket_destroy(&link->transport.socket);
	free(link);
}

static const struct wsf_stream_ops stream_ops = {
	.send = wsf_transport_send,
	.receive = wsf_transport_receive,
	.wait_writable = wsf_transport_wait_writable,
	.receive_wait = wsf_transport_receive_wait,
	.at_end = wsf_transport_at_end,
	.arrived = wsf_transport_arrived,
	.acknowledged = wsf_transport_acknowledged,
	.watch = wsf_transport_watch,
	.flush = wsf_transport_flush,
	.unsent = wsf_transport_unsent,
	.stalled = wsf_transport_stalled,
	.pending = wsf_transport_pending,
	.finish = wsf_transport_finish,
	.idle = wsf_transport_idle,
	.failure = wsf_transport_failure,
	.status = wsf_transport_status,
	.want_write = link_want_write,
	.want_read = link_want_read,
	.want_hand_over = link_want_hand_over,
	.want_timer = link_want_timer,
	.want_sweep = link_want_sweep,
	.end = link_end,
	.set_timer = link_set_timer,
	.free = link_free,
};

/* --- looking after one link --- */

static void enter(struct wsf_link *link)
{
	link->helper->busy = link;
}

/* One word to the poller for all that changed meanwhile. */
static void leave(struct wsf_link *link)
{
	link->helper->busy = NULL;
	if (link->wanted == link->watched)
		return;
	if (wsf_poller_change(link->helper->poller, wsf_socket_fd(&link->transport.socket), link->watched, link->wanted,
	    link) == 0)
		link->watched = link->wanted;
	else if (link->stream == NULL)	/* out of memory: a listener tries again */
		wsf_helper_set_timer(link, wsf_now_ns() + ACCEPT_RETRY_NS);
	else	/* better no connection than one that nobody watches */
		wsf_helper_command(link, WSF_END);
}

/* No event of this turn is for it any more. */
static void forget_events(const struct wsf_link *link)
{
	struct wsf_helper *helper = link->helper;

	for (int i = 0; i < helper->event_count; i++)
		if (helper->events[i].owner == link)
			helper->events[i].owner = NULL;
}

/*
 * The connection is over, or the listener ends. With more, what was received and not read stays in the socket, which
 * is open until the stream is freed. The link may be freed when this returns.
 */
static void link_over(struct wsf_link *link, bool more)
{
	struct wsf_helper *helper = link->helper;

	link->over = true;
	helper->busy = NULL;
	wsf_helper_cold(link);
	wsf_helper_set_timer(link, WSF_NO_DEADLINE);
	wsf_poller_remove(helper->poller, wsf_socket_fd(&link->transport.socket));
	forget_events(link);
	atomic_fetch_sub(&helper->load[load_of(link)], 1);
	if (!more)
		wsf_socket_close(&link->transport.socket);
	if (link->stream == NULL)
		listener_of(link)->ops->over(listener_of(link)->user, false);
	else
		wsf_stream_gone(link->stream, more);
}

/* Returns whether the connection is to be closed. */
static bool read_stream(struct wsf_link *link)
{
	enum wsf_next next = wsf_stream_readable(link->stream, link->helper->scratch, WSF_SCRATCH_BYTES);

	if (next == WSF_NEXT_PAUSE)
		link->wanted &= (uint8_t)~WSF_POLL_READ;
	else if (next == WSF_NEXT_GO && wsf_stream_pending(link->stream))
		wsf_helper_command(link, WSF_READ);	/* the socket may have nothing to show for it */
	return next == WSF_NEXT_END;
}

/* --- commands --- */

static void adopt(struct wsf_link *link)
{
	enter(link);
	/* A reader that waits for the socket itself blocks in it. */
	if (link->stream != NULL)
		wsf_socket_set_blocking(&link->transport.socket);
	link->wanted = link->watched = WSF_POLL_READ | WSF_POLL_OVER;
	if (wsf_poller_add(link->helper->poller, wsf_socket_fd(&link->transport.socket), link->watched, link) != 0) {
		link->watched = 0;
		/* A listener tries again. */
		if (link->stream != NULL) {
			link_over(link, false);
			return;
		}
	}
	if (link->stream != NULL) {
		wsf_stream_timer(link->stream);
		wsf_stream_writable(link->stream);
		/* Received before it came here: the socket tells nothing of it. */
		if (wsf_stream_pending(link->stream))
			wsf_helper_command(link, WSF_READ);
	}
	leave(link);
}

/* Returns whether the connection is to be closed. */
static bool resume(struct wsf_link *link)
{
	link->wanted |= WSF_POLL_READ | WSF_POLL_OVER;
	return link->stream != NULL && wsf_stream_pending(link->stream) && read_stream(link);
}

static void carry_out_stream(struct wsf_link *link, unsigned commands)
{
	/* Behind READ: whoever asks for this asks later. */
	if ((commands & WSF_HAND_OVER) != 0 && wsf_stream_hand_over(link->stream)) {
		/* Whoever receives learns of the end. */
		link->wanted &= (uint8_t)~(WSF_POLL_READ | WSF_POLL_OVER);
		wsf_stream_timer(link->stream);
	}
	if ((commands & WSF_WRITE) != 0)
		link->wanted |= WSF_POLL_WRITE;
	if ((commands & WSF_TIMER) != 0)
		wsf_stream_timer(link->stream);
}

static void carry_out(struct wsf_link *link, unsigned commands)
{
	bool end = (commands & WSF_END) != 0;

	enter(link);
	if ((commands & WSF_READ) != 0)
		end |= resume(link);
	if (link->stream != NULL)
		carry_out_stream(link, commands);
	if (end)
		link_over(link, false);
	else
		leave(link);
}

void wsf_link_carry_out(struct wsf_link *link, unsigned commands)
{
	if ((commands & WSF_ADOPT) != 0)
		adopt(link);
	if (!link->over)
		carry_out(link, commands);
	/* A listener may be over long since; its owner frees it now, when it is in no queue any more. */
	if ((commands & WSF_END) != 0 && link->stream == NULL)
		listener_of(link)->ops->over(listener_of(link)->user, true);
}

/* --- events --- */

static void accept_again(struct wsf_link *link)
{
	/* The connection stays in the backlog; without this pause it would be reported at once. */
	link->wanted &= (uint8_t)~WSF_POLL_READ;
	wsf_helper_set_timer(link, wsf_now_ns() + ACCEPT_RETRY_NS);
}

static void accept_all(struct wsf_link *link)
{
	int fd;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		fd = WSF_OWNED(accept4(wsf_socket_fd(&link->transport.socket), NULL, NULL, SOCK_CLOEXEC));
		if (fd >= 0) {
			if (listener_of(link)->ops->incoming(listener_of(link)->user, fd)) {
				enter(link);
				continue;
			}
			link->wanted &= (uint8_t)~WSF_POLL_READ;
			return;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_again(link);
			listener_of(link)->ops->exhausted(listener_of(link)->user);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* Everything else concerns one connection that is over already (accept(2)). */
	}
}

void wsf_link_event(struct wsf_link *link, unsigned what)
{
	enter(link);
	if ((what & WSF_POLL_WRITE) != 0) {
		link->wanted &= (uint8_t)~WSF_POLL_WRITE;
		wsf_stream_writable(link->stream);
	}
	if ((what & WSF_POLL_READ) != 0 && link->stream == NULL) {
		accept_all(link);
	} else if ((what & WSF_POLL_READ) != 0) {
		if (read_stream(link)) {
			link_over(link, false);
			return;
		}
	} else if ((what & WSF_POLL_OVER) != 0) {
		link_over(link, link->stream != NULL);
		return;
	}
	leave(link);
}

void wsf_link_timer(struct wsf_link *link)
{
	enter(link);
	if (link->stream != NULL)
		wsf_stream_timer(link->stream);
	else
		link->wanted |= WSF_POLL_READ;
	leave(link);
}

/* --- handing over --- */

static void link_init(struct wsf_link *link, struct wsf_helper *helper, int fd, struct wsf_stream *stream)
{
	wsf_socket_init(&link->transport.socket, fd);
	link->helper = helper;
	link->stream = stream;
	atomic_fetch_add(&helper->load[load_of(link)], 1);
}

int wsf_link_adopt(struct wsf_helper *helper, int fd, struct wsf_tls *tls, struct wsf_stream *stream)
{
	struct wsf_link *link = calloc(1, sizeof *link);

	if (link == NULL)
		return -ENOMEM;
	link_init(link, helper, fd, stream);
	link->transport.tls = tls;
	wsf_stream_attach(stream, &stream_ops, link);
	if (wsf_helper_is_self(helper))
		adopt(link);
	else
		wsf_helper_command(link, WSF_ADOPT);
	return 0;
}

int wsf_link_listen(struct wsf_helper *helper, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **out)
{
	struct listener *listener = calloc(1, sizeof *listener);

	if (listener == NULL)
		return -ENOMEM;
	link_init(&listener->link, helper, fd, NULL);
	listener->ops = ops;
	listener->user = user;
	*out = &listener->link;
	wsf_helper_command(&listener->link, WSF_ADOPT);
	return 0;
}

void wsf_service_resume(struct wsf_link *link)
{
	wsf_helper_command(link, WSF_READ);
}

void wsf_service_end(struct wsf_link *link)
{
	wsf_helper_command(link, WSF_END);
}

void wsf_service_free(struct wsf_link *link)
{
	link_free(link);
}
