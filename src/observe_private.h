/* SPDX-License-Identifier: 0BSD */
/*
 * What the two halves of the room share: a stream's observers and waiting events (observe.c), and the thread that
 * delivers them (observe_thread.c). It knows what observe.h knows. Called as observe.h says.
 *
 * [I] immutable after creation, [O] lock of the observing thread, which guards all of its streams, [T] written by the
 * observing thread with that lock held, so that it may read without, [G] life lock.
 *
 * The life lock is held while a thread starts, not while one is joined. lock.h has the order of locks.
 */
#ifndef WSF_OBSERVE_PRIVATE_H
#define WSF_OBSERVE_PRIVATE_H

#include <pthread.h>

#include "lock.h"
#include "observe.h"
#include "wait.h"

#define WSF_EVENT_TYPES 8

struct wsf_watcher {
	struct wsf_watcher *next;	/* [O] */
	ws_observer *observer;		/* [I] */
	void *user;			/* [I] */
	unsigned mask;			/* [O] 0 = removed during its call */
	unsigned missed;		/* [O] wanted, left out, and not reported yet */
	bool closed;			/* [O] was told CLOSED */
	uint64_t since[WSF_EVENT_TYPES];	/* [O] for each bit of mask: of events with a higher number */
};

/* An event that waits, and behind it what it points to. */
struct wsf_told {
	struct wsf_told *next;		/* [O] */
	uint64_t number;		/* [I] */
	struct ws_event event;		/* [I] */
	char storage[];
};

struct wsf_observed {
	struct wsf_observing *thread;	/* [I] */
	uint64_t stream_id;		/* [I] */
	struct wsf_watcher *watchers;	/* [O] in order of their coming */
	struct wsf_told *first;		/* [O] */
	struct wsf_told **last;		/* [O] where the next one goes */
	unsigned pings;			/* [O] pings and pongs among them */
	uint64_t number;		/* [O] of the event told last */

	/* CLOSED comes behind all others, and to late comers: it is kept, not queued */
	bool closed;			/* [O] was told */
	struct ws_event closed_event;	/* [O] then [I] */
	char closed_received[124], closed_sent[124], closed_text[240];	/* as closed_event */

	/* delivery */
	struct wsf_observed *queue_next;	/* [O] */
	struct wsf_observed **queue_at;	/* [O] what points to it in the thread's queue; NULL = not there */
	bool serving;			/* [T] */
	struct wsf_watcher *running;	/* [T] it is being called. It stays in the list for as long */
	unsigned calls;			/* [T] that have returned */
	struct wsf_event quiet;		/* a call has returned, or nothing is left to deliver */
	bool ended;			/* [T] from inside; then: */
	void (*later)(void *argument);	/* [T] */
	void *argument;			/* [T] */
};

struct wsf_observing {
	pthread_t thread;		/* [I] */
	unsigned users;			/* [G] streams */
	pthread_mutex_t lock;
	struct wsf_observed *queue;	/* [O] streams with something to deliver */
	struct wsf_observed **queue_tail;	/* [O] */
	bool ending;			/* [O] */
	bool by_itself;			/* [O] nobody joins it */
	struct wsf_event work;
};

/* --- observe.c --- */

bool wsf_observed_work_locked(const struct wsf_observed *observed);
/* Deliver the next event to all who want it. The lock is let go meanwhile. */
void wsf_observed_serve_locked(struct wsf_observed *observed);
void wsf_observed_free(struct wsf_observed *observed);

/* --- observe_thread.c --- */

/* The running one, or a new one, with one more user. Returns 0, -ENOMEM, -EAGAIN. */
int wsf_observing_acquire(struct wsf_observing **thread);
/* The last one ends it, and waits for that unless this is the thread itself. */
void wsf_observing_release(struct wsf_observing *thread);
bool wsf_observing_is_self(const struct wsf_observing *thread);
void wsf_observing_put_locked(struct wsf_observed *observed);
void wsf_observing_remove_locked(struct wsf_observed *observed);

#endif
