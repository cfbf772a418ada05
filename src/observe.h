/* SPDX-License-Identifier: 0BSD */
/*
 * The observers of one stream, the events that wait for them, and the thread that calls all observers of the process.
 * It knows no streams and no service. Streams tell events from any thread, with any lock held; observers are called on
 * the observing thread, with none.
 *
 * Lock order: a stream's locks, then this room's, which is a leaf. None is held while an observer runs.
 */
#ifndef WSF_OBSERVE_H
#define WSF_OBSERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "wsfile.h"

/* Pings and pongs that wait for a slow observer; of more the oldest is left out. The others always have room. */
#define WSF_EVENTS_MAX 64

struct wsf_observed;

/*
 * For one stream. Starts the observing thread if there is none; it ends with the last of these. Returns 0, -ENOMEM, or
 * -EAGAIN (no thread to be had).
 */
int wsf_observed_create(struct wsf_observed **observed, uint64_t stream_id);
/*
 * As ws_observe(3): 0, -ENOENT, -ENOMEM. Who comes when CLOSED was told is told that alone. Removing waits for the call
 * that is under way, unless it is made from inside one.
 */
int wsf_observed_add(struct wsf_observed *observed, unsigned mask, ws_observer *observer, void *user);
/*
 * Queue an event, copied with all it points to; size, stream_id and missed are filled in. Never blocks. CLOSED is told
 * once, needs no memory, and nothing counts behind it; whatever else finds no memory is left out, and counted in
 * missed.
 */
void wsf_observed_tell(struct wsf_observed *observed, const struct ws_event *event);
/* Whether this is called from inside one of its observers. NULL: no. */
bool wsf_observed_inside(const struct wsf_observed *observed);
/*
 * Wait until every event was delivered, free, and end the thread with the last one. NULL does nothing. From inside one
 * of its observers it does not wait: the rest is done, then later(argument) called, when that one has returned; else
 * later is not called. Returns whether it did not wait. An observer of another stream may cause the last one to end:
 * the thread ends by itself then.
 */
bool wsf_observed_end(struct wsf_observed *observed, void (*later)(void *argument), void *argument);

/*
 * Tell the options' observer, if any, of a connection that could not be opened: TRANSPORT_ERROR, then CLOSED, of stream
 * 0, that never was. Waits until it was told. Without memory, or a thread, nothing is told.
 */
void wsf_observe_failure(const struct ws_options *options, int error, const char *text);

#endif
