/* SPDX-License-Identifier: 0BSD */
/* The observing thread: its life, and whose turn it is. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "cancel.h"
#include "observe_private.h"
#include "process.h"

/* Guards the current thread and its users. */
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wsf_observing *current;

static _Thread_local const struct wsf_observing *self;

bool wsf_observing_is_self(const struct wsf_observing *thread)
{
	return self == thread;
}

/* --- whose turn it is --- */

static void append_locked(struct wsf_observing *thread, struct wsf_observed *observed)
{
	observed->queue_next = NULL;
	observed->queue_at = thread->queue_tail;
	*thread->queue_tail = observed;
	thread->queue_tail = &observed->queue_next;
}

void wsf_observing_put_locked(struct wsf_observed *observed)
{
	/* A stream that is being served is looked at again when that is done. */
	if (observed->queue_at != NULL || observed->serving)
		return;
	append_locked(observed->thread, observed);
	wsf_event_notify(&observed->thread->work);
}

void wsf_observing_remove_locked(struct wsf_observed *observed)
{
	if (observed->queue_at == NULL)
		return;
	*observed->queue_at = observed->queue_next;
	if (observed->queue_next != NULL)
		observed->queue_next->queue_at = observed->queue_at;
	else
		observed->thread->queue_tail = observed->queue_at;
	observed->queue_at = NULL;
}

/* Ended by one of its own observers. The thread is let go last: later may come to observers, too. */
static void finish(struct wsf_observed *observed)
{
	struct wsf_observing *thread = observed->thread;
	void (*later)(void *) = observed->later;
	void *argument = observed->argument;

	wsf_observed_free(observed);
	if (later != NULL)
		later(argument);
	wsf_observing_release(thread);
}

/* One event of the stream whose turn it is; with more, it has to queue again. */
static void turn_locked(struct wsf_observing *thread)
{
	struct wsf_observed *observed = thread->queue;

	wsf_observing_remove_locked(observed);
	wsf_observed_serve_locked(observed);
	if (wsf_observed_work_locked(observed)) {
		append_locked(thread, observed);
	} else if (observed->ended) {
		wsf_unlock(&thread->lock, WSF_RANK_OBSERVING);
		finish(observed);
		wsf_lock(&thread->lock, WSF_RANK_OBSERVING);
	} else {
		/* With the lock held: whoever waits frees it. */
		wsf_event_notify(&observed->quiet);
	}
}

/* --- life --- */

static void observing_free(struct wsf_observing *thread)
{
	wsf_event_destroy(&thread->work);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

static void *observing_main(void *argument)
{
	struct wsf_observing *thread = argument;
	bool by_itself;
	unsigned seen;

	self = thread;
	(void)wsf_cancel_off();
	wsf_lock(&thread->lock, WSF_RANK_OBSERVING);
	while (thread->queue != NULL || !thread->ending) {
		if (thread->queue != NULL) {
			turn_locked(thread);
			continue;
		}
		seen = wsf_event_seen(&thread->work);
		wsf_unlock(&thread->lock, WSF_RANK_OBSERVING);
		(void)wsf_event_wait(&thread->work, seen, WSF_NO_DEADLINE);
		wsf_lock(&thread->lock, WSF_RANK_OBSERVING);
	}
	by_itself = thread->by_itself;
	wsf_unlock(&thread->lock, WSF_RANK_OBSERVING);
	if (by_itself)
		observing_free(thread);
	return NULL;
}

static int observing_start(struct wsf_observing **out)
{
	struct wsf_observing *thread = calloc(1, sizeof *thread);
	sigset_t all, before;
	int rv;

	if (thread == NULL)
		return -ENOMEM;
	if (wsf_event_init(&thread->work) != 0) {
		free(thread);
		return -ENOMEM;
	}
	pthread_mutex_init(&thread->lock, NULL);
	thread->queue_tail = &thread->queue;
	/* The thread takes no signals: they are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rv = pthread_create(&thread->thread, NULL, observing_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rv != 0) {
		observing_free(thread);
		return rv == ENOMEM ? -ENOMEM : -EAGAIN;
	}
	*out = thread;
	return 0;
}

int wsf_observing_acquire(struct wsf_observing **thread)
{
	int rv = 0;

	wsf_lock(&life_lock, WSF_RANK_OBSERVERS);
	if (current == NULL)
		rv = observing_start(&current);
	if (rv == 0) {
		current->users++;
		*thread = current;
	}
	wsf_unlock(&life_lock, WSF_RANK_OBSERVERS);
	return rv;
}

void wsf_observing_release(struct wsf_observing *thread)
{
	pthread_t id;
	bool last;

	wsf_lock(&life_lock, WSF_RANK_OBSERVERS);
	last = --thread->users == 0;
	if (last && current == thread)
		current = NULL;
	id = thread->thread;
	wsf_unlock(&life_lock, WSF_RANK_OBSERVERS);
	if (!last)
		return;
	wsf_lock(&thread->lock, WSF_RANK_OBSERVING);
	thread->ending = true;
	thread->by_itself = wsf_observing_is_self(thread);
	wsf_event_notify(&thread->work);
	wsf_unlock(&thread->lock, WSF_RANK_OBSERVING);
	if (wsf_observing_is_self(thread)) {
		pthread_detach(id);
		return;
	}
	wsf_assert_may_wait();
	pthread_join(id, NULL);
	observing_free(thread);
}

/* --- the process --- */

static void before_fork(void)
{
	wsf_lock_to_fork(&life_lock);
}

static void in_parent(void)
{
	wsf_unlock_forked(&life_lock);
}

static void in_child(void)
{
	current = NULL;
	wsf_unlock_forked(&life_lock);
}

static const struct wsf_process_part part = {
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_OBSERVE, &part);
}
