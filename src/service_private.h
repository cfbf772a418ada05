/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of the service: service.c (the running group of helpers, and which of them a socket goes to),
 * service_thread.c (a helper thread: its life, the queue of commands to it, its timers), service_link.c (a socket),
 * service_poller.c (a helper's sockets in one descriptor) and service_lws.c, the only file that knows libwebsockets.
 */
#ifndef WSF_SERVICE_PRIVATE_H
#define WSF_SERVICE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "heap.h"
#include "lock.h"
#include "service.h"
#include "service_poller.h"
#include "transport.h"
#include "wait.h"

#define WSF_SCRATCH_BYTES (256 * 1024)

struct wsf_engine;			/* a libwebsockets context */
struct wsf_helper;

/*
 * Legend: [I] immutable after creation, [Q] the helper's queue lock, [G] life lock, [H] the helper's thread, [A]
 * atomic.
 */

/* Bits of a link's commands. */
enum { WSF_ADOPT = 1, WSF_WRITE = 2, WSF_READ = 4, WSF_TIMER = 8, WSF_END = 16, WSF_HAND_OVER = 32 };

/* There may be tens of thousands: every byte counts. */
struct wsf_link {
	struct wsf_transport transport;	/* first: what the stream's operations use without the helper */
	struct wsf_helper *helper;	/* [I] */
	struct wsf_stream *stream;	/* [I] NULL for a listener; one more reference while commands are queued */
	struct wsf_link *queued_next;	/* [Q] */
	struct wsf_link *warm_next, *warm_previous;	/* [Q] */
	struct wsf_heap_node timer;	/* [H] */
	uint8_t commands;		/* [Q] */
	atomic_bool warm;		/* [A] written [Q]: in the list of warm links, or over */
	uint8_t wanted, watched;	/* [H] WSF_POLL bits: as it shall be watched, as the poller does */
	bool over;			/* [H] */
};

/* What a helper is counted by. */
enum wsf_load { WSF_LOAD_LISTENERS, WSF_LOAD_STREAMS, WSF_LOADS };

struct wsf_helper {
	pthread_t thread;		/* [I] for who joins it */
	struct wsf_engine *engine;	/* [I] */
	struct wsf_event ready;
	int start_error;		/* [I] once ready */
	struct wsf_event stopping;	/* count: 1 = the thread shall end */
	struct wsf_event done;		/* count: 1 = it has */
	atomic_uint load[WSF_LOADS];	/* [A] */

	int poller;			/* [H] */
	uint8_t *scratch;		/* [H] */
	struct wsf_link *busy;		/* [H] what is being looked after: the poller is told when that is done */
	struct wsf_poll_event *events;	/* [H] those of this turn that still come */
	int event_count;		/* [H] */
	struct wsf_heap timers;		/* [H] */
	int64_t turn_ns;		/* [H] when timers were looked at last */
	int64_t alarm_ns;		/* [H] what the engine's alarm is set to */
	int64_t sweep_ns;		/* [H] WSF_NO_DEADLINE while no link is warm */

	pthread_mutex_t queue_lock;
	struct wsf_link *queue, **queue_tail;	/* [Q] */
	bool woken;			/* [Q] the engine was woken and has not served that yet */
	bool ended;			/* [Q] the engine may be there no more */
	struct wsf_link *warm, *warm_last;	/* [Q] */
	unsigned warm_count;		/* [Q] */
	bool sweeping;			/* [Q] sweep_ns is set, or the helper is awake to set it */
};

/* --- service_thread.c --- */

/* Returns 0, or a negative errno with nothing left behind. */
int wsf_helper_start(struct wsf_helper **helper);
/* At exit: has the thread end, and waits for that for a while. What is left to do stays undone. Not on itself. */
void wsf_helper_end(struct wsf_helper *helper);
/* The same, and frees. */
void wsf_helper_stop(struct wsf_helper *helper);
/* Whether this is its thread. */
bool wsf_helper_is_self(const struct wsf_helper *helper);
/* Any thread: have the bits carried out by the helper. */
void wsf_helper_command(struct wsf_link *link, unsigned bits);
/* Any thread: the link's storage is looked at until it is given back. */
void wsf_helper_warm(struct wsf_link *link);
/* The helper's thread: never again, from now on. */
void wsf_helper_cold(struct wsf_link *link);
/* The helper's thread. The link's timer, WSF_NO_DEADLINE = none. */
void wsf_helper_set_timer(struct wsf_link *link, int64_t deadline_ns);
/*
 * Called by the engine in the helper's thread: after a wake-up, and when the poller has events. drain returns whether
 * more was asked for meanwhile, which another wake-up follows for.
 */
bool wsf_helper_drain(struct wsf_helper *helper);
void wsf_helper_serve(struct wsf_helper *helper);

/* --- service_link.c --- */

/* As wsf_service_adopt and wsf_service_listen, for that helper. */
int wsf_link_adopt(struct wsf_helper *helper, int fd, struct wsf_tls *tls, struct wsf_stream *stream);
int wsf_link_listen(struct wsf_helper *helper, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **link);
/* The helper's thread; the link may be freed when they return, unless the caller has a reference to its stream. */
void wsf_link_carry_out(struct wsf_link *link, unsigned commands);
void wsf_link_event(struct wsf_link *link, unsigned what);
void wsf_link_timer(struct wsf_link *link);

/* --- service_lws.c; all but new, free and wake in the helper's thread --- */

struct wsf_engine *wsf_engine_new(void);
void wsf_engine_free(struct wsf_engine *engine);
/* Returns 0, and has taken over the poller; or a negative errno, and wsf_engine_stop follows either way. */
int wsf_engine_start(struct wsf_engine *engine, struct wsf_helper *helper, int poller);
void wsf_engine_stop(struct wsf_engine *engine);
/* Wait for events, the alarm or a wake-up, and handle them. */
void wsf_engine_turn(struct wsf_engine *engine);
/* The next turn ends then at the latest; WSF_NO_DEADLINE = whenever. */
void wsf_engine_set_alarm(struct wsf_engine *engine, int64_t deadline_ns);
/* Any thread, while the engine runs: wsf_helper_drain is called soon. */
void wsf_engine_wake(struct wsf_engine *engine);

#endif
