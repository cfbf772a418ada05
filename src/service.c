/* SPDX-License-Identifier: 0BSD */
/*
 * libwebsockets is used for what it is good at: the event loop, adopted descriptors, timers, the wake-up from other
 * threads. Streams and listeners are adopted in its raw-file role, which reports events and leaves receiving and
 * accepting to us: the raw-skt role of 4.1 reads a full service buffer whether or not the ring has room, hides how TCP
 * ended, and its listening role spins when descriptors run out.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "service.h"
#include "service_private.h"
#include "transport.h"
#include "wait.h"

#define SCRATCH_BYTES (256 * 1024)
#define SWEEP_US LWS_US_PER_SEC
/* A listener out of descriptors tries again. */
#define ACCEPT_RETRY_US (100 * LWS_US_PER_MS)
#define ACCEPTS_PER_TURN 64

/* Bits of a link's commands. */
enum { ADOPT = 1, WRITE = 2, READ = 4, TIMER = 8, END = 16, HAND_OVER = 32, ADOPT_AGAIN = 64 };

/*
 * From 5.0 on libwebsockets closes a raw file with 0 bytes to read before it calls us: a socket at TCP's end, or one
 * that a reader has just emptied. So it gets a duplicate to close, and another while the connection is not over.
 */
#define CLOSES_EMPTY (LWS_LIBRARY_VERSION_MAJOR >= 5)

struct wsf_link {
	struct wsf_transport transport;	/* first: what the stream's operations use without libwebsockets */
	struct wsf_service *service;	/* [I] */
	struct wsf_loop *loop;		/* [I] the service's */
	struct wsf_commands commands;
	struct wsf_stream *stream;	/* [I] NULL for a listener */
	const struct wsf_listen_ops *listen_ops;	/* [I] */
	void *user;			/* [I] */
	struct lws *wsi;		/* [H] NULL before adoption and when gone */
	bool doubled;			/* [H] what libwebsockets has is a duplicate */
	bool closing;			/* [H] nothing more may be asked of libwebsockets for it */
	bool more;			/* [H] closing, and received bytes are left */
	bool ending;			/* [H] it ends because we say so: nothing is left to read */
	lws_sorted_usec_list_t timer;	/* [H] */
	lws_dll2_t listed;		/* [H] in the loop's streams */
};

/* Legend of both: service_private.h; [H] where nothing is said. */
struct wsf_loop {
	struct lws_context *context;	/* [I] once ready */
	struct lws_vhost *vhost;	/* [I] once ready */
	uint8_t *scratch;
	lws_dll2_owner_t streams;
	lws_sorted_usec_list_t sweep;
	bool sweeping, stopping;
	struct wsf_link *writing;	/* whose writable callback runs */
};

static bool on_helper(const struct wsf_service *service)
{
	return pthread_equal(pthread_self(), service->thread);
}

/* From any thread. */
static void command(struct wsf_link *link, unsigned bits)
{
	wsf_service_command(link->service, &link->commands, bits);
}

/* --- a stream's operations --- */

static void link_want_write(void *opaque)
{
	struct wsf_link *link = opaque;

	/* libwebsockets 4.1 forgets a request made inside the writable callback of the raw-file role. */
	if (on_helper(link->service) && link->wsi != NULL && link->loop->writing != link)
		lws_callback_on_writable(link->wsi);
	else
		command(link, WRITE);
}

static void link_want_read(void *opaque)
{
	command(opaque, READ);
}

static void link_want_hand_over(void *opaque)
{
	command(opaque, HAND_OVER);
}

static void link_want_timer(void *opaque)
{
	command(opaque, TIMER);
}

static void link_end(void *opaque)
{
	command(opaque, END);
}

static void timer_fired(lws_sorted_usec_list_t *timer)
{
	struct wsf_link *link = lws_container_of(timer, struct wsf_link, timer);

	if (link->stream != NULL)
		wsf_stream_timer(link->stream);
	else if (link->wsi != NULL)
		lws_rx_flow_control(link->wsi, 1);
}

static void link_set_timer(void *opaque, int64_t deadline_ns)
{
	struct wsf_link *link = opaque;
	int64_t left_us;

	if (link->closing || link->wsi == NULL)
		return;
	if (deadline_ns == WSF_NO_DEADLINE) {
		lws_sul_cancel(&link->timer);
		return;
	}
	left_us = (deadline_ns - wsf_now_ns()) / 1000 + 1;
	lws_sul_schedule(link->loop->context, 0, &link->timer, timer_fired, left_us > 1 ? left_us : 1);
}

static void link_free(void *opaque)
{
	struct wsf_link *link = opaque;

	wsf_tls_free(link->transport.tls);
	wsf_socket_close(&link->transport.socket);
	free(link);
}

static const struct wsf_stream_ops stream_ops = {
	.send = wsf_transport_send,
	.receive = wsf_transport_receive,
	.wait_writable = wsf_transport_wait_writable,
	.wait_readable = wsf_transport_wait_readable,
	.at_end = wsf_transport_at_end,
	.flush = wsf_transport_flush,
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
	.end = link_end,
	.set_timer = link_set_timer,
	.free = link_free,
};

/* --- idle memory --- */

static void sweep_fired(lws_sorted_usec_list_t *sweep)
{
	struct wsf_loop *loop = lws_container_of(sweep, struct wsf_loop, sweep);
	bool again = false;

	for (lws_dll2_t *at = lws_dll2_get_head(&loop->streams); at != NULL; at = at->next)
		again |= wsf_stream_release_idle(lws_container_of(at, struct wsf_link, listed)->stream);
	loop->sweeping = again;
	if (again)
		lws_sul_schedule(loop->context, 0, &loop->sweep, sweep_fired, SWEEP_US);
}

static void start_sweeping(struct wsf_loop *loop)
{
	if (loop->sweeping)
		return;
	loop->sweeping = true;
	lws_sul_schedule(loop->context, 0, &loop->sweep, sweep_fired, SWEEP_US);
}

/* --- the helper thread --- */

/* Whether only a duplicate ends, and perhaps not the connection. */
static bool comes_back(const struct wsf_link *link)
{
	return link->doubled && !link->ending && !link->loop->stopping;
}

/* The descriptor is about to be closed by libwebsockets, or could not be adopted. */
static void link_closing(struct wsf_link *link, bool close_fd)
{
	if (link->closing)
		return;
	link->closing = true;
	lws_sul_cancel(&link->timer);
	link->wsi = NULL;
	if (!comes_back(link))
		link->more = wsf_socket_detach(&link->transport.socket, !link->ending && link->stream != NULL,
		    close_fd || link->doubled);
}

/* The descriptor is closed. */
static void link_gone(struct wsf_link *link)
{
	if (!link->closing)
		return;
	if (comes_back(link)) {
		command(link, ADOPT_AGAIN);
	} else if (link->stream == NULL) {
		link->listen_ops->closed(link->user);
	} else {
		lws_dll2_remove(&link->listed);
		wsf_stream_gone(link->stream, link->more);
	}
}

/* The socket is ours alone. */
static void link_over(struct wsf_link *link, bool ending)
{
	link->ending = ending;
	link->closing = link->doubled = false;
	link_closing(link, true);
	link_gone(link);
}

static void adopt(struct wsf_link *link)
{
	lws_adopt_desc_t info = {
		.vh = link->loop->vhost,
		.type = LWS_ADOPT_RAW_FILE_DESC,
		.vh_prot_name = "wsfile",
		.opaque = link,
	};
	int copy = CLOSES_EMPTY && link->stream != NULL ? wsf_socket_duplicate(&link->transport.socket) : -1;

	link->closing = false;
	link->doubled = copy >= 0;
	info.fd.filefd = link->doubled ? copy : wsf_socket_fd(&link->transport.socket);
	link->wsi = lws_adopt_descriptor_vhost_via_info(&info);
	if (link->wsi == NULL) {
		if (link->doubled)
			close(copy);
		link_over(link, true);
	} else if (link->stream != NULL) {
		/* libwebsockets made it non-blocking; a reader that waits for the socket itself blocks in it. */
		wsf_socket_set_blocking(&link->transport.socket);
		if (lws_dll2_is_detached(&link->listed))
			lws_dll2_add_head(&link->listed, &link->loop->streams);
		start_sweeping(link->loop);
		wsf_stream_timer(link->stream);
		wsf_stream_writable(link->stream);
	}
}

static void adopt_again(struct wsf_link *link)
{
	enum wsf_next next = wsf_stream_readable(link->stream, link->loop->scratch, SCRATCH_BYTES);

	if (next == WSF_NEXT_END || wsf_socket_hung_up(&link->transport.socket))
		link_over(link, next == WSF_NEXT_END);
	else
		adopt(link);
	if (link->closing)
		return;
	if (next == WSF_NEXT_PAUSE)
		lws_rx_flow_control(link->wsi, 0);
	else if (wsf_stream_pending(link->stream))
		command(link, READ);
}

static void end(struct wsf_link *link)
{
	link->ending = true;
	lws_set_timeout(link->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/* Returns whether the connection is to be closed. */
static bool read_stream(struct wsf_link *link)
{
	enum wsf_next next = wsf_stream_readable(link->stream, link->loop->scratch, SCRATCH_BYTES);

	start_sweeping(link->loop);
	if (next == WSF_NEXT_PAUSE)
		lws_rx_flow_control(link->wsi, 0);
	else if (next == WSF_NEXT_GO && wsf_stream_pending(link->stream))
		command(link, READ);	/* the socket may have nothing to show for it */
	return next == WSF_NEXT_END;
}

static void resume(struct wsf_link *link)
{
	lws_rx_flow_control(link->wsi, 1);
	if (link->stream != NULL && wsf_stream_pending(link->stream) && read_stream(link))
		end(link);
}

void wsf_loop_carry_out(struct wsf_commands *queued, unsigned commands)
{
	struct wsf_link *link = lws_container_of(queued, struct wsf_link, commands);

	if ((commands & ADOPT) != 0)
		adopt(link);
	if ((commands & ADOPT_AGAIN) != 0)
		adopt_again(link);
	if (!link->closing && (commands & READ) != 0)
		resume(link);
	/* Behind READ: whoever asks for this asks later. */
	if (!link->closing && (commands & HAND_OVER) != 0 && wsf_stream_hand_over(link->stream)) {
		lws_rx_flow_control(link->wsi, 0);
		wsf_stream_timer(link->stream);
	}
	if (!link->closing && (commands & WRITE) != 0)
		lws_callback_on_writable(link->wsi);
	if (!link->closing && link->stream != NULL && (commands & (TIMER | READ | WRITE)) != 0)
		start_sweeping(link->loop);
	if (!link->closing && link->stream != NULL && (commands & TIMER) != 0)
		wsf_stream_timer(link->stream);
	if (!link->closing && (commands & END) != 0)
		end(link);
}

static int stream_readable(struct wsf_link *link)
{
	if (!read_stream(link))
		return 0;
	link->ending = true;
	return -1;
}

static int listener_readable(struct wsf_link *link)
{
	int fd;

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		fd = accept4(wsf_socket_fd(&link->transport.socket), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			if (link->listen_ops->incoming(link->user, fd))
				continue;
			lws_rx_flow_control(link->wsi, 0);
			return 0;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The connection stays in the backlog; without this pause poll would report it at once. */
			lws_rx_flow_control(link->wsi, 0);
			lws_sul_schedule(link->loop->context, 0, &link->timer, timer_fired, ACCEPT_RETRY_US);
			return 0;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		/* Everything else concerns one connection that is over already (accept(2)). */
	}
	return 0;
}

static int stream_writable(struct wsf_link *link)
{
	link->loop->writing = link;
	wsf_stream_writable(link->stream);
	link->loop->writing = NULL;
	return 0;
}

static int lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	struct wsf_link *link;

	(void)user;
	(void)in;
	(void)size;
	switch (reason) {
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		(void)wsf_service_drain(lws_context_user(lws_get_context(wsi)));
		return 0;
	case LWS_CALLBACK_RAW_RX_FILE:
		link = lws_get_opaque_user_data(wsi);
		return link->stream != NULL ? stream_readable(link) : listener_readable(link);
	case LWS_CALLBACK_RAW_WRITEABLE_FILE:
		return stream_writable(lws_get_opaque_user_data(wsi));
	case LWS_CALLBACK_RAW_CLOSE_FILE:
		link_closing(lws_get_opaque_user_data(wsi), false);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		/* That of the context's own wake-up pipe comes without a link. */
		link = lws_get_opaque_user_data(wsi);
		if (link != NULL)
			link_gone(link);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "wsfile", .callback = lws_callback },
	{ 0 },
};

/* --- life of the loop --- */

/* libwebsockets prints to standard error unless told not to; a program that chose levels of its own keeps them. */
static void silence(void)
{
	if (lwsl_visible(LLL_ERR) && lwsl_visible(LLL_WARN) && lwsl_visible(LLL_NOTICE) && !lwsl_visible(LLL_INFO))
		lws_set_log_level(0, NULL);
}

struct wsf_loop *wsf_loop_new(void)
{
	struct wsf_loop *loop = calloc(1, sizeof *loop);

	if (loop == NULL || (loop->scratch = malloc(SCRATCH_BYTES)) == NULL) {
		free(loop);
		return NULL;
	}
	silence();
	return loop;
}

void wsf_loop_free(struct wsf_loop *loop)
{
	if (loop != NULL)
		free(loop->scratch);
	free(loop);
}

int wsf_loop_start(struct wsf_loop *loop, struct wsf_service *service)
{
	const struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.user = service,
		.vhost_name = "wsfile",
	};
	struct sigaction pipe_action;

	/* lws_create_context sets SIGPIPE to be ignored: that is the program's to decide. */
	sigaction(SIGPIPE, NULL, &pipe_action);
	loop->context = lws_create_context(&info);
	sigaction(SIGPIPE, &pipe_action, NULL);
	if (loop->context == NULL)
		return -ENOMEM;
	loop->vhost = lws_get_vhost_by_name(loop->context, "wsfile");
	return loop->vhost != NULL ? 0 : -ENOMEM;
}

bool wsf_loop_turn(struct wsf_loop *loop)
{
	return lws_service(loop->context, 0) >= 0;
}

void wsf_loop_stop(struct wsf_loop *loop)
{
	if (loop->context == NULL)
		return;
	loop->stopping = true;
	lws_sul_cancel(&loop->sweep);
	lws_context_destroy(loop->context);
}

void wsf_loop_wake(struct wsf_loop *loop)
{
	lws_cancel_service(loop->context);
}

/* --- handing over --- */

static struct wsf_link *link_new(struct wsf_service *service, int fd)
{
	struct wsf_link *link = calloc(1, sizeof *link);

	if (link == NULL)
		return NULL;
	wsf_socket_init(&link->transport.socket, fd);
	link->service = service;
	link->loop = service->loop;
	return link;
}

int wsf_service_adopt(struct wsf_service *service, int fd, struct wsf_tls *tls, struct wsf_stream *stream)
{
	struct wsf_link *link = link_new(service, fd);

	if (link == NULL)
		return -ENOMEM;
	link->transport.tls = tls;
	link->stream = stream;
	link->commands.stream = stream;
	wsf_stream_attach(stream, &stream_ops, link);
	if (on_helper(service))
		adopt(link);
	else
		command(link, ADOPT);
	return 0;
}

int wsf_service_listen(struct wsf_service *service, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **out)
{
	struct wsf_link *link = link_new(service, fd);

	if (link == NULL)
		return -ENOMEM;
	link->listen_ops = ops;
	link->user = user;
	*out = link;
	command(link, ADOPT);
	return 0;
}

void wsf_service_resume(struct wsf_link *link)
{
	command(link, READ);
}

void wsf_service_end(struct wsf_link *link)
{
	command(link, END);
}

void wsf_service_free(struct wsf_link *link)
{
	link_free(link);
}
