/* SPDX-License-Identifier: 0BSD */
/* The wire as the stream's transport. Called by the stream, in any thread. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "attach_private.h"

static ssize_t wire_send(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_wire *wire = opaque;
	size_t size = 0, room, n, moved = 0;
	int rv = 0;

	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	room = wsf_ring_room(&wire->out);
	if (wire->over)
		rv = -EPIPE;
	else if (wsf_ring_reserve(&wire->out, size < room ? size : room) != 0)
		rv = -ENOMEM;
	for (int i = 0; i < count && rv == 0; i++) {
		n = iov[i].iov_len < room - moved ? iov[i].iov_len : room - moved;
		wsf_wire_put_locked(&wire->out, iov[i].iov_base, n);
		moved += n;
	}
	wire->cut_short = moved < size;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	if (moved > 0)
		wsf_wire_want(wire, WSF_WIRE_SEND);
	return rv != 0 ? rv : moved > 0 || size == 0 ? (ssize_t)moved : -EAGAIN;
}

/* Where only the socket's end is still waited for, as fclose(3) does, in its thread. As receive: -EAGAIN = in vain. */
static int await_fin(int fd, int64_t until_ns)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint8_t discarded[4096];
	ssize_t n;

	wsf_assert_may_wait();
	for (;;) {
		n = recv(fd, discarded, sizeof discarded, MSG_DONTWAIT);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (wsf_now_ns() >= until_ns)
			return -EAGAIN;
		if (n < 0)
			poll(&poll_fd, 1, wsf_deadline_left_ms(until_ns));
	}
}

static ssize_t wire_receive(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_wire *wire = opaque;
	size_t left, n, moved = 0;
	int rv, fin_fd = -1;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	left = wsf_ring_used(&wire->in);
	rv = !wire->over || wire->fin_fd >= 0 ? -EAGAIN : -wire->error;
	/* Not on the thread that serves other connections, too. */
	if (left == 0 && atomic_load(&wire->server) != wsf_wire_this_thread())
		fin_fd = wire->fin_fd;
	for (int i = 0; i < count && left > 0; i++) {
		n = iov[i].iov_len < left ? iov[i].iov_len : left;
		wsf_wire_get_locked(&wire->in, iov[i].iov_base, n);
		moved += n;
		left -= n;
	}
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return moved > 0 ? (ssize_t)moved : fin_fd >= 0 ? await_fin(fin_fd, wire->fin_until_ns) : rv;
}

static ssize_t wire_receive_wait(void *opaque, const struct iovec *iov, int count, int64_t until_ns)
{
	/* Receiving is never handed over, so nobody waits for it here. */
	(void)until_ns;
	return wire_receive(opaque, iov, count);
}

static int wire_wait_writable(void *opaque, int64_t deadline_ns)
{
	struct wsf_wire *wire = opaque;
	unsigned seen;
	bool may;
	int rv = 0;

	do {
		wsf_lock(&wire->lock, WSF_RANK_WIRE);
		may = wsf_wire_may_send_locked(wire);
		seen = wsf_event_seen(&wire->event);
		wsf_unlock(&wire->lock, WSF_RANK_WIRE);
		if (!may && atomic_load(&wire->server) == wsf_wire_this_thread())
			return -EDEADLK;
		if (!may)
			rv = wsf_event_wait(&wire->event, seen, deadline_ns);
	} while (!may && rv == 0);
	return may ? 0 : rv;
}

static bool wire_deadlocks(void *opaque)
{
	struct wsf_wire *wire = opaque;
	bool over;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	over = wire->over;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return !over && atomic_load(&wire->server) == wsf_wire_this_thread();
}

static bool wire_at_end(void *opaque)
{
	(void)opaque;
	return false;
}

static int wire_flush(void *opaque)
{
	struct wsf_wire *wire = opaque;
	int rv;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	rv = wsf_wire_flushed_locked(wire) ? 0 : wire->over ? -EPIPE : -EAGAIN;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return rv;
}

static size_t wire_unsent(void *opaque)
{
	struct wsf_wire *wire = opaque;
	size_t bytes;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	bytes = wsf_ring_used(&wire->out) + wire->choked_bytes;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return bytes;
}

static bool wire_stalled(void *opaque)
{
	(void)opaque;
	return false;
}

static bool wire_pending(void *opaque)
{
	struct wsf_wire *wire = opaque;
	bool pending;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	pending = wsf_ring_used(&wire->in) > 0;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return pending;
}

static void wire_finish(void *opaque)
{
	/* libwebsockets ends TCP by itself once both Closes are there. */
	(void)opaque;
}

static void wire_idle(void *opaque)
{
	struct wsf_wire *wire = opaque;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	(void)wsf_ring_release(&wire->in);
	(void)wsf_ring_release(&wire->out);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
}

static bool wire_failure(void *opaque, struct wsf_failure *failure)
{
	struct wsf_wire *wire = opaque;
	bool known;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	known = wire->text[0] != '\0';
	if (known)
		wsf_fail(failure, wire->error, "%s", wire->text);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return known;
}

static void wire_status(void *opaque, struct ws_status *status)
{
	(void)opaque;
	(void)status;
}

static void wire_want_write(void *opaque)
{
	wsf_wire_want(opaque, WSF_WIRE_WRITE);
}

static void wire_want_read(void *opaque)
{
	wsf_wire_want(opaque, WSF_WIRE_READ);
}

static void wire_want_hand_over(void *opaque)
{
	/* Only the service thread may receive. */
	(void)opaque;
}

static void wire_want_timer(void *opaque)
{
	wsf_wire_want(opaque, WSF_WIRE_TIMER);
}

static void wire_want_sweep(void *opaque)
{
	wsf_wire_want(opaque, WSF_WIRE_SWEEP);
}

static void wire_want_end(void *opaque)
{
	wsf_wire_want(opaque, WSF_WIRE_END);
}

static void wire_set_timer(void *opaque, int64_t deadline_ns)
{
	struct wsf_wire *wire = opaque;

	wire->timer_ns = deadline_ns;
}

static void wire_free(void *opaque)
{
	wsf_wire_unref(opaque);
}

/* The stream goes at once; what waits to be sent is left to the service thread, should there still be one. */
static void wire_let_go(void *opaque)
{
	struct wsf_wire *wire = opaque;
	struct wsf_stream *stream;

	/* From inside a callback of the listener: it goes when that has returned. */
	if (wsf_wire_is_served(wire)) {
		wsf_wire_want(wire, WSF_WIRE_END);
		return;
	}
	wsf_lock(&wire->call_lock, WSF_RANK_CALL);
	stream = wire->stream;
	wire->stream = NULL;
	wsf_unlock(&wire->call_lock, WSF_RANK_CALL);
	if (stream == NULL)
		return;
	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	wsf_wire_over_locked(wire);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	wsf_wire_want(wire, WSF_WIRE_END);
	wsf_stream_gone(stream, false);
}

const struct wsf_stream_ops wsf_wire_ops = {
	.send = wire_send,
	.receive = wire_receive,
	.receive_wait = wire_receive_wait,
	.wait_writable = wire_wait_writable,
	.at_end = wire_at_end,
	.arrived = wire_pending,
	.flush = wire_flush,
	.unsent = wire_unsent,
	.stalled = wire_stalled,
	.pending = wire_pending,
	.finish = wire_finish,
	.idle = wire_idle,
	.failure = wire_failure,
	.status = wire_status,
	.want_write = wire_want_write,
	.want_read = wire_want_read,
	.want_hand_over = wire_want_hand_over,
	.want_timer = wire_want_timer,
	.want_sweep = wire_want_sweep,
	.end = wire_want_end,
	.let_go = wire_let_go,
	.deadlocks = wire_deadlocks,
	.set_timer = wire_set_timer,
	.free = wire_free,
};
