/* SPDX-License-Identifier: 0BSD */
/*
 * The two halves of the service: service_thread.c, which is the thread's life and the queue of commands to it, and
 * service.c, which is the event loop. Only the latter knows libwebsockets.
 */
#ifndef WSF_SERVICE_PRIVATE_H
#define WSF_SERVICE_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>

#include "service.h"
#include "wait.h"

struct wsf_loop;

/* Legend: [I] immutable after the start, [Q] queue lock, [G] life lock, [H] helper thread. */

/* One socket's commands, in the queue while there are any. */
struct wsf_commands {
	struct wsf_stream *stream;	/* [I] one more reference while queued; NULL for a listener */
	unsigned bits;			/* [Q] */
	struct wsf_commands *next;	/* [Q] */
};

struct wsf_service {
	pthread_t thread;		/* [I] */
	unsigned users;			/* [G] */
	struct wsf_loop *loop;		/* [I] */
	struct wsf_event ready;
	int start_error;		/* [I] once ready */
	struct wsf_event stopping;	/* count: 1 = the loop shall end */

	pthread_mutex_t queue_lock;
	struct wsf_commands *queue, **queue_tail;	/* [Q] */
	bool woken;			/* [Q] wsf_loop_wake was called and not served yet */
};

/* --- service_thread.c --- */

/* Any thread: have the bits carried out by the helper. */
void wsf_service_command(struct wsf_service *service, struct wsf_commands *commands, unsigned bits);
/*
 * Helper thread, after a wake-up: carry out the whole queue. Returns whether more was asked for meanwhile, which
 * another wake-up follows for.
 */
bool wsf_service_drain(struct wsf_service *service);

/* --- service.c; all but new, free and wake on the helper thread --- */

struct wsf_loop *wsf_loop_new(void);
void wsf_loop_free(struct wsf_loop *loop);
/* Returns 0 or -ENOMEM; wsf_loop_stop follows either way. */
int wsf_loop_start(struct wsf_loop *loop, struct wsf_service *service);
void wsf_loop_stop(struct wsf_loop *loop);
/* Wait for events and handle them. Returns false when the loop is broken. */
bool wsf_loop_turn(struct wsf_loop *loop);
/* Any thread, while the loop runs: wsf_service_drain is called soon. */
void wsf_loop_wake(struct wsf_loop *loop);
void wsf_loop_carry_out(struct wsf_commands *commands, unsigned bits);

#endif
