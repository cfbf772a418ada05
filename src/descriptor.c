/* SPDX-License-Identifier: 0BSD */
/*
 * ws_socket: a stream behind a descriptor of its own. Two threads move the bytes, as the program's would with a stream:
 * each blocks where the other side has no room, so what is slow at one end is slow at the other.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "cancel.h"
#include "descriptor_pair.h"
#include "dial.h"
#include "lock.h"
#include "opener.h"
#include "process.h"
#include "wait.h"

#define BUFFER_BYTES 65536
/* The buffers are not on it; OpenSSL and the stream's reader are. */
#define STACK_BYTES 262144
/* While the peer takes nothing: how often to look whether the program has closed its end. */
#define LOOK_MS 250

/* At exit: how often to look whether all is sent. */
#define EXIT_LOOK_MS 10

/*
 * Legend: [I] immutable, [C] the collector's, [D] the deliverer's until it has ended, [A] atomic, [K] the lock of the
 * list.
 */
struct descriptor {
	struct descriptor *next, **before;	/* [K] */
	bool closing;			/* [K] the pair is there no more, or soon will not be */
	bool ended;			/* [K] at exit: all is done that can be done */
	atomic_bool ending;		/* [A] the process ends: what the program has written by now is the last */
	struct wsf_stream *stream;	/* [I] */
	struct wsf_pair pair;		/* [I] */
	int write_timeout_ms;		/* [I] */
	int64_t ending_ns;		/* [I] how long the end may take at exit */
	pthread_t deliverer;		/* [I] once the collector runs, which joins it */
	atomic_bool delivered;		/* [A] the deliverer is about to end */
	bool broken;			/* [D] the program must not take what it was given for all */
	int64_t until_ns;		/* [C] when the closing has to be over: the program has closed its end */
	uint8_t down[BUFFER_BYTES];	/* [D] */
	uint8_t up[BUFFER_BYTES];	/* [C] */
};

/* --- those there are --- */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct descriptor *list;

static void enlist(struct descriptor *d)
{
	wsf_lock(&list_lock, WSF_RANK_PAIRS);
	d->next = list;
	d->before = &list;
	if (list != NULL)
		list->before = &d->next;
	list = d;
	wsf_unlock(&list_lock, WSF_RANK_PAIRS);
}

static void strike_out(struct descriptor *d)
{
	wsf_lock(&list_lock, WSF_RANK_PAIRS);
	*d->before = d->next;
	if (d->next != NULL)
		d->next->before = d->before;
	wsf_unlock(&list_lock, WSF_RANK_PAIRS);
}

/* --- from the peer to the program --- */

/* Something was not sent: then our Close says so, and the program must not be told that all is well. */
static bool write_failed(const struct descriptor *d)
{
	struct ws_status status = WS_STATUS_INIT;

	(void)wsf_stream_status(d->stream, &status);
	return status.close_code_sent != 0 && status.close_code_sent != 1000;
}

static void *deliver(void *argument)
{
	struct descriptor *d = argument;
	ssize_t n;

	do {
		n = wsf_stream_read(d->stream, d->down, sizeof d->down, WSF_READ_SOME);
		if (n > 0 && wsf_pair_give(&d->pair, d->down, (size_t)n) != 0) {
			wsf_stream_stop_reading(d->stream);
			n = 0;
		}
	} while (n > 0 || n == -EINTR);
	d->broken = n < 0 || write_failed(d);
	if (!d->broken)
		wsf_pair_give_end(&d->pair);
	atomic_store(&d->delivered, true);
	wsf_pair_wake(&d->pair);
	return NULL;
}

/* --- from the program to the peer --- */

/* From its closing on there is a limit, as for fclose. */
static void notice_closing(struct descriptor *d)
{
	if (d->until_ns == WSF_NO_DEADLINE && wsf_pair_over(&d->pair))
		d->until_ns = wsf_stream_closing_until_ns(d->stream);
}

static int send_up(struct descriptor *d, size_t size)
{
	int64_t give_up_ns = wsf_deadline_ns(d->write_timeout_ms), until_ns;
	size_t done = 0, unsent = SIZE_MAX, before;
	ssize_t n;

	while (done < size) {
		n = wsf_stream_write_some(d->stream, d->up + done, size - done);
		if (n > 0) {
			done += (size_t)n;
			give_up_ns = wsf_deadline_ns(d->write_timeout_ms);
		} else if (n == -ETIMEDOUT) {
			notice_closing(d);
			before = unsent;
			unsent = wsf_stream_unsent_bytes(d->stream);
			if (unsent < before)
				give_up_ns = wsf_deadline_ns(d->write_timeout_ms);
			until_ns = give_up_ns < d->until_ns ? give_up_ns : d->until_ns;
			/* This one ends the write side. */
			if (wsf_now_ns() >= until_ns)
				return (int)wsf_stream_write(d->stream, d->up + done, size - done, until_ns);
		} else if (n != -EINTR) {
			return (int)n;
		}
	}
	return 0;
}

/* Until the program writes no more, or nothing can be sent any more. */
static int collect_all(struct descriptor *d)
{
	ssize_t n;
	int rv;

	for (;;) {
		n = wsf_pair_take(&d->pair, d->up, sizeof d->up);
		if (n > 0) {
			if ((rv = send_up(d, (size_t)n)) < 0)
				return rv;
		} else if (n == 0) {
			rv = wsf_stream_shutdown(d->stream, 1000, NULL);
			/* A Close may be out already: linger_ms was over. */
			return rv == -EPIPE ? 0 : rv;
		} else if (n != -EAGAIN) {
			return (int)n;
		} else if (atomic_load(&d->delivered) && d->broken) {
			return -EPIPE;
		} else if (atomic_load(&d->ending)) {
			return -ECANCELED;
		} else {
			wsf_pair_wait(&d->pair, WSF_NO_DEADLINE);
		}
	}
}

static void await_delivery(struct descriptor *d)
{
	while (!atomic_load(&d->delivered)) {
		notice_closing(d);
		if (wsf_now_ns() >= d->until_ns)
			wsf_stream_abort(d->stream);
		wsf_pair_wait(&d->pair, wsf_now_ns() >= d->until_ns ? WSF_NO_DEADLINE : d->until_ns);
	}
	wsf_assert_may_wait();
	pthread_join(d->deliverer, NULL);
}

/* The process ends, and nobody knows whether the program, or a child of it, had more to say: the peer gets an error. */
static void end_with_process(struct descriptor *d)
{
	struct wsf_stream *ending = NULL;

	(void)wsf_stream_shutdown(d->stream, 1011, "the process has ended");
	wsf_stream_end_later(d->stream, wsf_now_ns() + d->ending_ns, &ending);
	wsf_stream_end_all(ending);
	/* Else it is blocked, as the program does not read. */
	if (atomic_load(&d->delivered))
		pthread_join(d->deliverer, NULL);
	wsf_lock(&list_lock, WSF_RANK_PAIRS);
	d->ended = true;
	wsf_unlock(&list_lock, WSF_RANK_PAIRS);
}

static void *collect(void *argument)
{
	struct descriptor *d = argument;
	int rv = collect_all(d);

	if (rv == -ECANCELED) {
		end_with_process(d);
		return NULL;
	}
	if (rv < 0) {
		wsf_pair_refuse(&d->pair);
		/* Where it was reading that failed, the peer does not know yet that something is missing. */
		(void)wsf_stream_shutdown(d->stream, 1011, "write failed");
	}
	await_delivery(d);
	wsf_lock(&list_lock, WSF_RANK_PAIRS);
	d->closing = true;
	wsf_unlock(&list_lock, WSF_RANK_PAIRS);
	wsf_pair_close(&d->pair, d->broken);
	if (d->until_ns == WSF_NO_DEADLINE)
		d->until_ns = wsf_stream_closing_until_ns(d->stream);
	(void)wsf_stream_close(d->stream, d->until_ns);
	strike_out(d);
	free(d);
	return NULL;
}

/* --- the process --- */

static void before_fork(void)
{
	wsf_lock_to_fork(&list_lock);
}

static void in_parent(void)
{
	wsf_unlock_forked(&list_lock);
}

static void in_child(void)
{
	list = NULL;
	wsf_unlock_forked(&list_lock);
}

/* Has all be told that the process ends. Returns whether one has more to do, in time. */
static bool tell_all(int64_t start_ns)
{
	bool more = false;

	wsf_lock(&list_lock, WSF_RANK_PAIRS);
	for (struct descriptor *d = list; d != NULL; d = d->next) {
		if (!d->closing && !atomic_exchange(&d->ending, true))
			wsf_pair_wake(&d->pair);
		more |= !d->ended && wsf_now_ns() < start_ns + d->ending_ns;
	}
	wsf_unlock(&list_lock, WSF_RANK_PAIRS);
	return more;
}

static void end(void)
{
	int64_t start_ns = wsf_process_over_ns();

	while (!wsf_stream_authorizing() && tell_all(start_ns))
		(void)poll(NULL, 0, EXIT_LOOK_MS);
}

static const struct wsf_process_part part = {
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
	.end = end,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_DESCRIPTOR, &part);
}

/* --- life --- */

static int start_thread(pthread_t *thread, int detach_state, void *(*body)(void *), struct descriptor *d)
{
	pthread_attr_t attr;
	int rv = pthread_attr_init(&attr);

	if (rv != 0)
		return -rv;
	pthread_attr_setdetachstate(&attr, detach_state);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rv = pthread_create(thread, &attr, body, d);
	/* Thread-local data, which may be much, lies there, too, with glibc. */
	if (rv == EINVAL) {
		pthread_attr_destroy(&attr);
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, detach_state);
		rv = pthread_create(thread, &attr, body, d);
	}
	pthread_attr_destroy(&attr);
	return -rv;
}

/* The collector frees all, when it has ended. On failure nothing runs any more. */
static int start_threads(struct descriptor *d)
{
	sigset_t all, before;
	pthread_t collector;
	int rv;

	/* They take no signals: those are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	enlist(d);
	rv = start_thread(&d->deliverer, PTHREAD_CREATE_JOINABLE, deliver, d);
	if (rv == 0 && (rv = start_thread(&collector, PTHREAD_CREATE_DETACHED, collect, d)) != 0) {
		wsf_stream_abort(d->stream);
		pthread_join(d->deliverer, NULL);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rv != 0)
		strike_out(d);
	return rv;
}

static int open_stream(struct descriptor *d, struct wsf_dialing *dialing, struct wsf_failure *failure)
{
	const struct wsf_mode mode = { .read = true, .write = true, .stdio = "r+" };
	int rv = wsf_dialing_open(dialing, &mode, &d->stream, failure);

	if (rv != 0)
		return rv;
	d->write_timeout_ms = wsf_options_get(dialing->options)->write_timeout_ms;
	d->ending_ns = wsf_stream_ending_ns(d->stream);
	/* A blocked read of ours is none of the program's. */
	wsf_stream_set_timeouts(d->stream, -1, LOOK_MS);
	rv = start_threads(d);
	if (rv != 0) {
		wsf_stream_cut(d->stream);
		(void)wsf_stream_close(d->stream, 0);
		return wsf_fail_errno(failure, -rv, "cannot start the threads that move the bytes");
	}
	return 0;
}

static int open_descriptor(struct wsf_dialing *dialing, int *fd, struct wsf_failure *failure)
{
	struct descriptor *d = malloc(sizeof *d);
	int rv;

	if (d == NULL)
		return wsf_fail(failure, ENOMEM, "out of memory");
	atomic_init(&d->delivered, false);
	atomic_init(&d->ending, false);
	d->closing = d->ended = false;
	d->broken = false;
	d->until_ns = WSF_NO_DEADLINE;
	rv = wsf_pair_open(&d->pair, fd);
	if (rv != 0) {
		wsf_fail_errno(failure, -rv, "cannot make a pair of sockets");
	} else if ((rv = open_stream(d, dialing, failure)) != 0) {
		wsf_process_close(*fd);
		wsf_pair_close(&d->pair, true);
	}
	if (rv != 0)
		free(d);
	return rv;
}

int ws_socket(const char *url, const struct ws_options *options)
{
	struct wsf_failure failure = { 0 };
	struct wsf_dialing dialing;
	int fd, cancel = wsf_cancel_off(), rv = wsf_dialing_begin(&dialing, url, options, &failure);

	if (rv == 0) {
		rv = open_descriptor(&dialing, &fd, &failure);
		wsf_dialing_end(&dialing);
	}
	wsf_cancel_back(cancel);
	if (rv != 0) {
		wsf_opener_failed(&failure);
		return -1;
	}
	return fd;
}
