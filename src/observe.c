/* SPDX-License-Identifier: 0BSD */
/* What stdio can't carry, told to those who want to know. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cancel.h"
#include "observe_private.h"
#include "process.h"

/* --- life --- */

int wsf_observed_create(struct wsf_observed **out, uint64_t stream_id)
{
	struct wsf_observed *observed = calloc(1, sizeof *observed);
	int rv;

	if (observed == NULL)
		return -ENOMEM;
	observed->stream_id = stream_id;
	observed->last = &observed->first;
	rv = wsf_event_init(&observed->quiet);
	if (rv == 0) {
		rv = wsf_observing_acquire(&observed->thread);
		if (rv != 0)
			wsf_event_destroy(&observed->quiet);
	}
	if (rv != 0)
		free(observed);
	else
		*out = observed;
	return rv;
}

void wsf_observed_free(struct wsf_observed *observed)
{
	struct wsf_watcher *watcher;

	while ((watcher = observed->watchers) != NULL) {
		observed->watchers = watcher->next;
		free(watcher);
	}
	wsf_event_destroy(&observed->quiet);
	free(observed);
}

bool wsf_observed_inside(const struct wsf_observed *observed)
{
	return observed != NULL && wsf_observing_is_self(observed->thread) && observed->running != NULL;
}

static void wait_quiet_locked(struct wsf_observed *observed)
{
	unsigned seen = wsf_event_seen(&observed->quiet);

	wsf_unlock(&observed->thread->lock, WSF_RANK_OBSERVING);
	(void)wsf_event_wait(&observed->quiet, seen, WSF_NO_DEADLINE);
	wsf_lock(&observed->thread->lock, WSF_RANK_OBSERVING);
}

/* Have all delivered, by the observing thread, or here if this is it: an observer of another stream ends this one. */
static void empty_locked(struct wsf_observed *observed)
{
	if (wsf_observing_is_self(observed->thread)) {
		while (wsf_observed_work_locked(observed))
			wsf_observed_serve_locked(observed);
		wsf_observing_remove_locked(observed);
		return;
	}
	while (observed->queue_at != NULL || observed->serving)
		wait_quiet_locked(observed);
}

bool wsf_observed_end(struct wsf_observed *observed, void (*later)(void *argument), void *argument)
{
	struct wsf_observing *thread;
	int cancel;
	bool inside;

	if (observed == NULL)
		return false;
	inside = wsf_observed_inside(observed);
	thread = observed->thread;
	cancel = wsf_cancel_off();
	wsf_lock(&thread->lock, WSF_RANK_OBSERVING);
	if (inside) {
		observed->ended = true;
		observed->later = later;
		observed->argument = argument;
	} else {
		empty_locked(observed);
	}
	wsf_unlock(&thread->lock, WSF_RANK_OBSERVING);
	if (!inside) {
		wsf_observed_free(observed);
		wsf_observing_release(thread);
	}
	wsf_cancel_back(cancel);
	return inside;
}

/* --- who wants what --- */

static unsigned bit_number(unsigned type)
{
	unsigned number = 0;

	while ((type >>= 1) != 0)
		number++;
	return number;
}

static bool wants_locked(const struct wsf_watcher *watcher, unsigned type, uint64_t number)
{
	return (watcher->mask & type) != 0 && number > watcher->since[bit_number(type)];
}

static bool wants_closed_locked(const struct wsf_watcher *watcher)
{
	return (watcher->mask & WS_EVENT_CLOSED) != 0 && !watcher->closed;
}

bool wsf_observed_work_locked(const struct wsf_observed *observed)
{
	const struct wsf_watcher *watcher = observed->watchers;

	if (observed->first != NULL || !observed->closed)
		return observed->first != NULL;
	while (watcher != NULL && !wants_closed_locked(watcher))
		watcher = watcher->next;
	return watcher != NULL;
}

/* "From now on" is exact: what was told before a bit was in the mask is not delivered though it may still wait. */
static void set_mask_locked(struct wsf_observed *observed, struct wsf_watcher *watcher, unsigned mask)
{
	for (unsigned i = 0; i < WSF_EVENT_TYPES; i++) {
		if ((mask & ~watcher->mask & 1U << i) != 0)
			watcher->since[i] = observed->number;
	}
	watcher->mask = mask;
	if (wsf_observed_work_locked(observed))
		wsf_observing_put_locked(observed);
}

static void unlink_watcher_locked(struct wsf_observed *observed, struct wsf_watcher *watcher)
{
	struct wsf_watcher **at = &observed->watchers;

	while (*at != watcher)
		at = &(*at)->next;
	*at = watcher->next;
	free(watcher);
}

static void remove_locked(struct wsf_observed *observed, struct wsf_watcher *watcher)
{
	unsigned calls = observed->calls;

	if (observed->running != watcher) {
		unlink_watcher_locked(observed, watcher);
		return;
	}
	/* The thread unlinks it behind the call. */
	watcher->mask = 0;
	if (!wsf_observing_is_self(observed->thread)) {
		while (observed->calls == calls)
			wait_quiet_locked(observed);
	}
}

static int append_locked(struct wsf_observed *observed, unsigned mask, ws_observer *observer, void *user)
{
	struct wsf_watcher *watcher = calloc(1, sizeof *watcher), **at = &observed->watchers;

	if (watcher == NULL)
		return -ENOMEM;
	watcher->observer = observer;
	watcher->user = user;
	while (*at != NULL)
		at = &(*at)->next;
	*at = watcher;
	set_mask_locked(observed, watcher, mask);
	return 0;
}

int wsf_observed_add(struct wsf_observed *observed, unsigned mask, ws_observer *observer, void *user)
{
	int cancel = wsf_cancel_off(), rv = 0;
	struct wsf_watcher *watcher;

	wsf_lock(&observed->thread->lock, WSF_RANK_OBSERVING);
	watcher = observed->watchers;
	while (watcher != NULL && (watcher->mask == 0 || watcher->observer != observer || watcher->user != user))
		watcher = watcher->next;
	if (watcher != NULL && mask == 0)
		remove_locked(observed, watcher);
	else if (watcher != NULL)
		set_mask_locked(observed, watcher, mask);
	else
		rv = mask == 0 ? -ENOENT : append_locked(observed, mask, observer, user);
	wsf_unlock(&observed->thread->lock, WSF_RANK_OBSERVING);
	wsf_cancel_back(cancel);
	return rv;
}

/* --- telling --- */

static bool is_ping(const struct ws_event *event)
{
	return event->type == WS_EVENT_PING || event->type == WS_EVENT_PONG;
}

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static const void *keep(char **at, const void *data, size_t size)
{
	char *kept = *at;

	if (size > 0)
		memcpy(kept, data, size);
	*at += size;
	return kept;
}

static struct wsf_told *told_new(const struct ws_event *event)
{
	const char *received = or_empty(event->close_reason_received), *sent = or_empty(event->close_reason_sent);
	const char *text = or_empty(event->text);
	size_t received_bytes = strlen(received) + 1, sent_bytes = strlen(sent) + 1, text_bytes = strlen(text) + 1;
	struct wsf_told *told;
	char *at;

	told = malloc(sizeof *told + event->payload_bytes + received_bytes + sent_bytes + text_bytes);
	if (told == NULL)
		return NULL;
	at = told->storage;
	told->event = *event;
	told->event.close_reason_received = keep(&at, received, received_bytes);
	told->event.close_reason_sent = keep(&at, sent, sent_bytes);
	told->event.text = keep(&at, text, text_bytes);
	/* Not NULL where it is empty, so that an observer can hand it on to memcpy and its kin. */
	if (is_ping(event) || event->payload_bytes > 0)
		told->event.payload = keep(&at, event->payload, event->payload_bytes);
	return told;
}

static void leave_out_locked(struct wsf_observed *observed, unsigned type, uint64_t number)
{
	for (struct wsf_watcher *watcher = observed->watchers; watcher != NULL; watcher = watcher->next) {
		if (wants_locked(watcher, type, number) && watcher->missed < UINT_MAX)
			watcher->missed++;
	}
}

static struct wsf_told *take_locked(struct wsf_observed *observed, struct wsf_told **at)
{
	struct wsf_told *told = *at;

	*at = told->next;
	if (told->next == NULL)
		observed->last = at;
	if (is_ping(&told->event))
		observed->pings--;
	return told;
}

static void make_room_locked(struct wsf_observed *observed)
{
	struct wsf_told **at = &observed->first, *oldest;

	if (observed->pings < WSF_EVENTS_MAX)
		return;
	while (!is_ping(&(*at)->event))
		at = &(*at)->next;
	oldest = take_locked(observed, at);
	leave_out_locked(observed, oldest->event.type, oldest->number);
	free(oldest);
}

static void queue_locked(struct wsf_observed *observed, const struct ws_event *event)
{
	struct wsf_told *told;

	observed->number++;
	told = told_new(event);
	if (told == NULL) {
		leave_out_locked(observed, event->type, observed->number);
		return;
	}
	told->next = NULL;
	told->number = observed->number;
	told->event.size = sizeof told->event;
	told->event.stream_id = observed->stream_id;
	if (is_ping(event)) {
		make_room_locked(observed);
		observed->pings++;
	}
	*observed->last = told;
	observed->last = &told->next;
	wsf_observing_put_locked(observed);
}

static const char *keep_cut(char *out, size_t size, const char *text)
{
	size_t length = strnlen(or_empty(text), size - 1);

	memcpy(out, or_empty(text), length);
	out[length] = '\0';
	return out;
}

static void close_locked(struct wsf_observed *observed, const struct ws_event *event)
{
	struct ws_event *closed = &observed->closed_event;

	*closed = *event;
	closed->size = sizeof *closed;
	closed->stream_id = observed->stream_id;
	closed->payload = NULL;
	closed->payload_bytes = 0;
	closed->close_reason_received =
	    keep_cut(observed->closed_received, sizeof observed->closed_received, event->close_reason_received);
	closed->close_reason_sent =
	    keep_cut(observed->closed_sent, sizeof observed->closed_sent, event->close_reason_sent);
	closed->text = keep_cut(observed->closed_text, sizeof observed->closed_text, event->text);
	observed->closed = true;
	if (wsf_observed_work_locked(observed))
		wsf_observing_put_locked(observed);
}

static bool wanted_locked(const struct wsf_observed *observed, unsigned type)
{
	const struct wsf_watcher *watcher = observed->watchers;

	while (watcher != NULL && (watcher->mask & type) == 0)
		watcher = watcher->next;
	return watcher != NULL;
}

void wsf_observed_tell(struct wsf_observed *observed, const struct ws_event *event)
{
	wsf_lock(&observed->thread->lock, WSF_RANK_OBSERVING);
	if (!observed->closed) {
		if (event->type == WS_EVENT_CLOSED)
			close_locked(observed, event);
		else if (wanted_locked(observed, event->type))
			queue_locked(observed, event);
	}
	wsf_unlock(&observed->thread->lock, WSF_RANK_OBSERVING);
}

/* --- delivering --- */

static void call_locked(struct wsf_observed *observed, struct wsf_watcher *watcher, const struct ws_event *event)
{
	struct ws_event told = *event;

	told.missed = watcher->missed;
	watcher->missed = 0;
	observed->running = watcher;
	wsf_unlock(&observed->thread->lock, WSF_RANK_OBSERVING);
	wsf_assert_unlocked();
	/* Behind exit, what the program made for its observers may be gone. */
	if (!wsf_process_over())
		watcher->observer(&told, watcher->user);
	wsf_lock(&observed->thread->lock, WSF_RANK_OBSERVING);
	observed->running = NULL;
	observed->calls++;
	wsf_event_notify(&observed->quiet);
}

/* The list may change during a call, but the one that is called stays in it until then. */
static void deliver_locked(struct wsf_observed *observed, const struct ws_event *event, uint64_t number)
{
	bool closed = event->type == WS_EVENT_CLOSED;
	struct wsf_watcher *watcher, *next;

	for (watcher = observed->watchers; watcher != NULL; watcher = next) {
		if (closed ? wants_closed_locked(watcher) : wants_locked(watcher, event->type, number)) {
			watcher->closed |= closed;
			call_locked(observed, watcher, event);
		}
		next = watcher->next;
		if (watcher->mask == 0)
			unlink_watcher_locked(observed, watcher);
	}
}

void wsf_observed_serve_locked(struct wsf_observed *observed)
{
	struct wsf_told *told;

	observed->serving = true;
	if (observed->first != NULL) {
		told = take_locked(observed, &observed->first);
		deliver_locked(observed, &told->event, told->number);
		free(told);
	} else if (observed->closed) {
		deliver_locked(observed, &observed->closed_event, 0);
	}
	observed->serving = false;
}

/* --- openings --- */

void wsf_observe_failure(const struct ws_options *options, int error, const char *text)
{
	struct ws_event event = { .type = WS_EVENT_TRANSPORT_ERROR, .error = error, .text = text };
	struct wsf_observed *observed;

	if (options->observer == NULL || options->observer_mask == 0 || wsf_observed_create(&observed, 0) != 0)
		return;
	if (wsf_observed_add(observed, options->observer_mask, options->observer, options->observer_user) == 0) {
		wsf_observed_tell(observed, &event);
		event.type = WS_EVENT_CLOSED;
		wsf_observed_tell(observed, &event);
	}
	(void)wsf_observed_end(observed, NULL, NULL);
}
