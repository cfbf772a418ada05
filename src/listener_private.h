/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of the room listener: listener.c (life, and connections as they come and go), listener_accept.c (what the
 * program takes) and listener_stop.c (how it ends). See listener.h for who calls from which thread.
 */
#ifndef WSF_LISTENER_PRIVATE_H
#define WSF_LISTENER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "listener.h"
#include "lock.h"
#include "pollfd.h"
#include "wait.h"

#define WSF_GOING_AWAY 1001		/* RFC 6455, section 7.4.1 */

/*
 * Where a connection is: opening, open, a program's; the same when it has been told to go; and over, when only its
 * observers may have to be waited for, which the thread that feeds it must not do.
 */
enum wsf_place { PENDING, READY, ACCEPTED, TURNED_AWAY, TOLD, OVER, PLACES };

/* Legend: [I] immutable once put, [K] the listener's lock. It lives until the connection is over. */
struct wsf_connection {
	struct wsf_connection *previous, *next;	/* [K] */
	struct ws_listener *listener;	/* [I] one reference */
	struct wsf_stream *stream;	/* [I] one reference until it is accepted, then the transport's until it ends */
	enum wsf_place place;		/* [K] */
	int64_t since_ns;		/* [I] when it came */
	bool counted;			/* [K] one of max_connections */
	bool ended;			/* [K] over; only in READY, as there may be something to read */
};

struct wsf_connections {
	struct wsf_connection *first, *last;
	unsigned count;
};

/*
 * Legend: [I] immutable once the opener returns, [K] the listener's lock, [A] atomic. The memory stays until the last
 * connection is over, whatever else there was of the listener.
 */
struct ws_listener {
	atomic_uint refs;		/* [A] */
	unsigned generation;		/* [I] the process that opened it: wsf_process_generation */
	const struct wsf_listener_ops *ops;	/* [I] */
	void *source;			/* [I] */
	struct wsf_options *options;	/* [I] */
	char *url;			/* [I] */
	unsigned most_pending;		/* [I] handshakes under way at once */
	pthread_mutex_t lock;
	struct wsf_event event;		/* ready, ending, over, closed, users and connections changed */
	struct wsf_pollfd pollfd;	/* [K] raised while ws_accept would not block */
	struct wsf_connections lists[PLACES];	/* [K] */
	unsigned open;			/* [K] those counted */
	unsigned users;			/* [K] threads in ws_accept and ws_listener_stop */
	bool paused;			/* [K] no connection comes until ops->resume */
	bool exhausted;			/* [K] none comes for want of descriptors: ops->resume when one is free */
	bool ending;			/* [K] ws_listener_stop or _close was called */
	bool closing;			/* [K] ws_listener_close was called */
	bool over, closed;		/* [K] no connections come any more; the source knows nothing of it any more */
};

/* The listener's lock is held where a name says so. */

void wsf_connection_move_locked(struct wsf_connection *connection, enum wsf_place place);
/* Out of its list; wsf_connection_free follows, without the lock or with it. */
void wsf_connection_remove_locked(struct wsf_connection *connection);
/* Drops its reference to the listener, of which the caller has another. The stream is the caller's. */
void wsf_connection_free(struct wsf_connection *connection);

void wsf_listener_unref(struct ws_listener *listener);
/* Bring the pollfd up to date. */
void wsf_listener_raise_locked(struct ws_listener *listener);
/* The same, and wake who waits. */
void wsf_listener_changed_locked(struct ws_listener *listener);
/* A thread leaves that was counted in users. */
void wsf_listener_leave_locked(struct ws_listener *listener);

#endif
