/* SPDX-License-Identifier: 0BSD */
/*
 * A listener: the queue of connections between whoever feeds them and ws_accept. It knows no sockets and no service;
 * where its connections come from is a table of operations of its source. The source calls this from the thread that
 * feeds the streams, the program from any.
 */
#ifndef WSF_LISTENER_H
#define WSF_LISTENER_H

#include <stdbool.h>

#include "options.h"
#include "stream.h"
#include "wsfile.h"

/* What a listener asks of its source. */
struct wsf_listener_ops {
	/* Any thread, the listener's lock held: connections are wanted again, after wsf_listener_full or _exhausted. */
	void (*resume)(void *source);
	/*
	 * A program's thread, once, no lock held: no connection may come any more. wsf_listener_over follows as the
	 * last call for this listener, in whichever thread, perhaps before this returns.
	 */
	void (*end)(void *source);
	/* A program's thread: nothing is called any more but leave. */
	void (*free)(void *source);
	/*
	 * What has to go on while a program has a stream it accepted: share returns it, with one more user, and leave
	 * is called in the program's thread when the stream is closed. Both NULL = nothing.
	 */
	void *(*share)(void *source);
	void (*leave)(void *shared);
};

/* url is copied, options get one more reference. Returns 0 or -ENOMEM. */
int wsf_listener_create(struct ws_listener **listener, struct wsf_options *options, const char *url,
    const struct wsf_listener_ops *ops, void *source);
/* For an opener that fails behind the former: nothing was put in, and the source is not told. NULL does nothing. */
void wsf_listener_drop(struct ws_listener *listener);
/* Whether this process has it from its parent: it is the parent's alone. */
bool wsf_listener_inherited(const struct ws_listener *listener);
/* Its source, if that is of these operations, else NULL. */
void *wsf_listener_source(const struct ws_listener *listener, const struct wsf_listener_ops *ops);

/*
 * A new connection: makes the stream, whose options and owner are filled in here, and keeps it until its handshake is
 * done (owner.opened), then until it is accepted. The caller attaches a transport next; if it can't, it calls
 * setup->owner.failed(setup->owner.user, stream). Returns 0, or a negative errno as wsf_stream_create, or -ECANCELED
 * where the listener ends.
 */
int wsf_listener_put(struct ws_listener *listener, struct wsf_stream_setup *setup, struct wsf_stream **stream);
/* Whether enough of them wait: then no more are wanted until ops->resume. Behind each wsf_listener_put. */
bool wsf_listener_full(struct ws_listener *listener);
/* A connection can't be taken for want of descriptors: the oldest whose handshake is not done gives way, if any. */
void wsf_listener_exhausted(struct ws_listener *listener);
/* No connections come any more: the source broke, or ended. last = behind ops->end, and nothing is called any more. */
void wsf_listener_over(struct ws_listener *listener, bool last);

#endif
