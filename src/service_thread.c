/* SPDX-License-Identifier: 0BSD */
/* A helper thread: its life, how other threads tell it what to do, its timers. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cancel.h"
#include "process.h"
#include "service_private.h"

#define SWEEP_NS INT64_C(50000000)
/* Sweeping takes at most one part in so many of a processor's time, but is not put off for longer than this. */
#define SWEEP_SHARE 100
#define SWEEP_MOST_NS INT64_C(1000000000)
/* At exit: a helper may be inside a callback of the program's, which waits for what is no more. */
#define END_NS INT64_C(1000000000)

static _Thread_local const struct wsf_helper *self;

bool wsf_helper_is_self(const struct wsf_helper *helper)
{
	return self == helper;
}

/* --- commands --- */

static void wake_locked(struct wsf_helper *helper)
{
	int cancel;

	if (helper->woken || helper->ended)
		return;
	helper->woken = true;
	cancel = wsf_cancel_off();
	wsf_engine_wake(helper->engine);
	wsf_cancel_back(cancel);
}

void wsf_helper_command(struct wsf_link *link, unsigned bits)
{
	struct wsf_helper *helper = link->helper;

	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	if (link->commands == 0) {
		if (link->stream != NULL)
			wsf_stream_ref(link->stream);
		link->queued_next = NULL;
		*helper->queue_tail = link;
		helper->queue_tail = &link->queued_next;
		wake_locked(helper);
	}
	link->commands |= (uint8_t)bits;
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
}

/* Wake-ups coalesce: take the whole queue; what is asked for meanwhile waits until the sockets have had their turn. */
bool wsf_helper_drain(struct wsf_helper *helper)
{
	bool more;
	struct wsf_link *link, *next;
	struct wsf_stream *stream;
	unsigned bits;

	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	helper->woken = false;
	if (helper->sweeping && helper->sweep_ns == WSF_NO_DEADLINE)
		helper->sweep_ns = wsf_now_ns() + SWEEP_NS;
	link = helper->queue;
	helper->queue = NULL;
	helper->queue_tail = &helper->queue;
	for (; link != NULL; link = next) {
		next = link->queued_next;
		bits = link->commands;
		link->commands = 0;
		stream = link->stream;
		wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
		wsf_link_carry_out(link, bits);
		/* May free the link; a listener's is freed by its owner, after the last call. */
		wsf_stream_unref(stream);
		wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	}
	more = helper->queue != NULL;
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
	return more;
}

/* --- sockets --- */

void wsf_helper_serve(struct wsf_helper *helper)
{
	struct wsf_poll_event events[WSF_POLL_EVENTS_MAX];

	helper->event_count = wsf_poller_take(helper->poller, events);
	helper->events = events;
	while (helper->event_count > 0) {
		struct wsf_poll_event event = *helper->events++;

		helper->event_count--;
		/* NULL: over since. */
		if (event.owner != NULL)
			wsf_link_event(event.owner, event.what);
	}
	helper->events = NULL;
}

/* --- warm links: those whose streams hold storage that may come to be idle --- */

static void append_warm_locked(struct wsf_helper *helper, struct wsf_link *link)
{
	atomic_store(&link->warm, true);
	link->warm_next = NULL;
	link->warm_previous = helper->warm_last;
	if (helper->warm_last != NULL)
		helper->warm_last->warm_next = link;
	else
		helper->warm = link;
	helper->warm_last = link;
	helper->warm_count++;
}

static void unlink_warm_locked(struct wsf_helper *helper, struct wsf_link *link)
{
	if (link->warm_previous != NULL)
		link->warm_previous->warm_next = link->warm_next;
	else
		helper->warm = link->warm_next;
	if (link->warm_next != NULL)
		link->warm_next->warm_previous = link->warm_previous;
	else
		helper->warm_last = link->warm_previous;
	helper->warm_count--;
}

void wsf_helper_warm(struct wsf_link *link)
{
	struct wsf_helper *helper = link->helper;

	if (atomic_load(&link->warm))
		return;
	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	if (!atomic_load(&link->warm)) {
		append_warm_locked(helper, link);
		if (!helper->sweeping) {
			helper->sweeping = true;
			wake_locked(helper);
		}
	}
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
}

void wsf_helper_cold(struct wsf_link *link)
{
	struct wsf_helper *helper = link->helper;

	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	if (atomic_exchange(&link->warm, true))
		unlink_warm_locked(helper, link);
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
}

/* Not the time of day: a thread that has to wait for a processor has not worked. */
static int64_t worked_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t sweep_interval_ns(int64_t took_ns)
{
	int64_t interval_ns = took_ns * SWEEP_SHARE;

	return interval_ns < SWEEP_NS ? SWEEP_NS : interval_ns > SWEEP_MOST_NS ? SWEEP_MOST_NS : interval_ns;
}

/*
 * Each warm link once. It leaves the list before its stream is looked at: whoever takes storage after that look finds
 * it cold, and puts it back.
 */
static void sweep(struct wsf_helper *helper)
{
	int64_t before_ns = worked_ns();
	struct wsf_link *link;
	unsigned left;

	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	for (left = helper->warm_count; left > 0 && (link = helper->warm) != NULL; left--) {
		unlink_warm_locked(helper, link);
		atomic_store(&link->warm, false);
		wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
		if (wsf_stream_release_idle(link->stream))
			wsf_helper_warm(link);
		wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	}
	helper->sweeping = helper->warm != NULL;
	helper->sweep_ns = !helper->sweeping ? WSF_NO_DEADLINE :
	    wsf_now_ns() + sweep_interval_ns(worked_ns() - before_ns);
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
}

/* --- timers --- */

void wsf_helper_set_timer(struct wsf_link *link, int64_t deadline_ns)
{
	struct wsf_helper *helper = link->helper;

	if (deadline_ns == WSF_NO_DEADLINE)
		wsf_heap_remove(&helper->timers, &link->timer);
	else	/* not in this turn again */
		wsf_heap_put(&helper->timers, &link->timer,
		    deadline_ns > helper->turn_ns ? deadline_ns : helper->turn_ns + 1);
}

static struct wsf_link *link_of(struct wsf_heap_node *timer)
{
	return (struct wsf_link *)(void *)((char *)timer - offsetof(struct wsf_link, timer));
}

/* What is due, then the alarm for what comes next. */
static void run_timers(struct wsf_helper *helper)
{
	struct wsf_heap_node *first;
	int64_t next;

	if (helper->timers.root != NULL || helper->sweep_ns != WSF_NO_DEADLINE)
		helper->turn_ns = wsf_now_ns();
	while ((first = helper->timers.root) != NULL && first->key <= helper->turn_ns) {
		wsf_heap_remove(&helper->timers, first);
		wsf_link_timer(link_of(first));
	}
	if (helper->sweep_ns <= helper->turn_ns)
		sweep(helper);
	next = first != NULL && first->key < helper->sweep_ns ? first->key : helper->sweep_ns;
	if (next != helper->alarm_ns)
		wsf_engine_set_alarm(helper->engine, next);
	helper->alarm_ns = next;
}

/* --- life --- */

static int begin(struct wsf_helper *helper)
{
	int rv;

	helper->poller = wsf_poller_open();
	if (helper->poller < 0)
		return helper->poller;
	rv = wsf_engine_start(helper->engine, helper, helper->poller);
	if (rv != 0)
		wsf_process_close(helper->poller);
	return rv;
}

static void *helper_main(void *argument)
{
	struct wsf_helper *helper = argument;

	self = helper;
	helper->start_error = begin(helper);
	wsf_event_notify(&helper->ready);
	if (helper->start_error == 0) {
		while (wsf_event_seen(&helper->stopping) == 0) {
			run_timers(helper);
			wsf_engine_turn(helper->engine);
		}
	}
	/* Takes the queue lock: behind the last wake-up. */
	while (wsf_helper_drain(helper))
		;
	if (helper->start_error == 0)
		wsf_process_disown(helper->poller);
	wsf_engine_stop(helper->engine);
	wsf_event_notify(&helper->done);
	return NULL;
}

static void helper_free(struct wsf_helper *helper)
{
	wsf_event_destroy(&helper->ready);
	wsf_event_destroy(&helper->stopping);
	wsf_event_destroy(&helper->done);
	pthread_mutex_destroy(&helper->queue_lock);
	wsf_engine_free(helper->engine);
	free(helper->scratch);
	free(helper);
}

static struct wsf_helper *helper_new(void)
{
	struct wsf_helper *helper = calloc(1, sizeof *helper);

	if (helper == NULL)
		return NULL;
	wsf_event_init(&helper->ready);
	wsf_event_init(&helper->stopping);
	wsf_event_init(&helper->done);
	pthread_mutex_init(&helper->queue_lock, NULL);
	helper->queue_tail = &helper->queue;
	helper->alarm_ns = helper->sweep_ns = WSF_NO_DEADLINE;
	helper->engine = wsf_engine_new();
	helper->scratch = malloc(WSF_SCRATCH_BYTES);
	if (helper->engine != NULL && helper->scratch != NULL)
		return helper;
	helper_free(helper);
	return NULL;
}

int wsf_helper_start(struct wsf_helper **out)
{
	struct wsf_helper *helper = helper_new();
	sigset_t all, before;
	int rv;

	if (helper == NULL)
		return -ENOMEM;
	/* The helper takes no signals: they are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rv = -pthread_create(&helper->thread, NULL, helper_main, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rv == 0) {
		while (wsf_event_seen(&helper->ready) == 0)
			(void)wsf_event_wait(&helper->ready, 0, WSF_NO_DEADLINE);
		rv = helper->start_error;
		if (rv != 0)
			pthread_join(helper->thread, NULL);
	}
	if (rv != 0)
		helper_free(helper);
	else
		*out = helper;
	return rv;
}

static void tell_to_stop(struct wsf_helper *helper)
{
	/* The lock keeps the helper from stopping the engine before it is woken. */
	wsf_lock(&helper->queue_lock, WSF_RANK_HELPER);
	wsf_event_notify(&helper->stopping);
	wsf_engine_wake(helper->engine);
	helper->ended = true;
	wsf_unlock(&helper->queue_lock, WSF_RANK_HELPER);
}

void wsf_helper_end(struct wsf_helper *helper)
{
	int64_t until_ns = wsf_now_ns() + END_NS;

	if (wsf_helper_is_self(helper))
		return;
	tell_to_stop(helper);
	while (wsf_event_seen(&helper->done) == 0)
		if (wsf_event_wait(&helper->done, 0, until_ns) == -ETIMEDOUT)
			return;
	pthread_join(helper->thread, NULL);
}

void wsf_helper_stop(struct wsf_helper *helper)
{
	tell_to_stop(helper);
	wsf_assert_may_wait();
	pthread_join(helper->thread, NULL);
	helper_free(helper);
}
