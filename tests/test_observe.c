/* SPDX-License-Identifier: 0BSD */
/* Observers without a stream: order, masks, removal, what is left out. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "observe.h"
#include "wire.h"

#define SEEN_MAX 512
#define STREAM_ID 42

/* --- what fails on purpose: the build wraps malloc where the linker can --- */

static atomic_bool no_memory;

#ifdef WRAP_MALLOC
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return atomic_load(&no_memory) ? NULL : __real_malloc(size);
}
#endif

/* --- one observer and what it saw --- */

struct seen {
	enum ws_event_type type;
	unsigned missed;
	int number;			/* of a ping or pong; -1 = it has none */
	struct ws_event event;		/* its pointers are gone */
};

struct watch {
	struct wsf_observed *observed;
	sem_t entered, gate;		/* of a blocking one, at its first event */
	bool blocks;
	void (*act)(struct watch *watch, const struct ws_event *event);	/* at each event */
	struct watch *other;
	void *argument;
	pthread_t thread;		/* that called */
	atomic_int calls;
	atomic_bool left;		/* the blocked call is about to return */
	struct seen seen[SEEN_MAX];
};

static void watch_init(struct watch *watch, struct wsf_observed *observed)
{
	memset(watch, 0, sizeof *watch);
	watch->observed = observed;
	ck_assert_int_eq(sem_init(&watch->entered, 0, 0), 0);
	ck_assert_int_eq(sem_init(&watch->gate, 0, 0), 0);
}

static void pass(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		ck_assert_int_eq(errno, EINTR);
}

static void observer(const struct ws_event *event, void *user)
{
	struct watch *watch = user;
	int call = atomic_load(&watch->calls);
	struct seen *seen = &watch->seen[call];

	ck_assert_int_lt(call, SEEN_MAX);
	ck_assert_uint_eq(event->size, sizeof *event);
	seen->type = event->type;
	seen->missed = event->missed;
	seen->event = *event;
	seen->number = -1;
	if (event->payload_bytes == sizeof seen->number)
		memcpy(&seen->number, event->payload, sizeof seen->number);
	watch->thread = pthread_self();
	atomic_store(&watch->calls, call + 1);
	if (watch->blocks && call == 0) {
		sem_post(&watch->entered);
		pass(&watch->gate);
	}
	if (watch->act != NULL)
		watch->act(watch, event);
	atomic_store(&watch->left, true);
}

static struct wsf_observed *create(void)
{
	struct wsf_observed *observed = NULL;

	ck_assert_int_eq(wsf_observed_create(&observed, STREAM_ID), 0);
	ck_assert_ptr_nonnull(observed);
	return observed;
}

static void add(struct watch *watch, unsigned mask)
{
	ck_assert_int_eq(wsf_observed_add(watch->observed, mask, observer, watch), 0);
}

static void tell(struct wsf_observed *observed, enum ws_event_type type)
{
	struct ws_event event = { .type = type };

	wsf_observed_tell(observed, &event);
}

static void tell_number(struct wsf_observed *observed, enum ws_event_type type, int number)
{
	struct ws_event event = { .type = type, .payload = &number, .payload_bytes = sizeof number };

	wsf_observed_tell(observed, &event);
	number = -2;
}

static void end(struct wsf_observed *observed)
{
	ck_assert(!wsf_observed_end(observed, NULL, NULL));
}

/* Hold the observing thread in a stream's observer until unblock. */
static void block(struct watch *watch, struct wsf_observed *observed)
{
	watch_init(watch, observed);
	watch->blocks = true;
	add(watch, WS_EVENT_OPEN);
	tell(observed, WS_EVENT_OPEN);
	pass(&watch->entered);
}

static void unblock(struct watch *watch)
{
	sem_post(&watch->gate);
}

/* --- threads --- */

/* Until that thread sleeps in the kernel, or has done what it was to do. Elsewhere: until it has had its chance. */
static void wait_asleep(int tid, const atomic_bool *done)
{
#ifdef __linux__
	char path[64], text[256], state = 'R', *name_end;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	while (state != 'S' && !atomic_load(done)) {
		file = fopen(path, "r");
		if (file == NULL)
			break;
		name_end = fgets(text, sizeof text, file) != NULL ? strrchr(text, ')') : NULL;
		state = name_end != NULL ? name_end[2] : 'R';
		fclose(file);
		sched_yield();
	}
#else
	(void)tid;
	for (int i = 0; i < 10000 && !atomic_load(done); i++)
		sched_yield();
#endif
}

/* Every test leaves as many threads as it found. */
static TCase *observe_case(Suite *suite, const char *name)
{
	TCase *tcase = wire_case(suite, name);

	tcase_add_checked_fixture(tcase, peer_count_begin, peer_count_end);
	return tcase;
}

/* --- order, copies, masks --- */

START_TEST(events_come_in_order_with_closed_last)
{
	static const enum ws_event_type types[] = { WS_EVENT_OPEN, WS_EVENT_PING, WS_EVENT_PONG, WS_EVENT_PING,
		WS_EVENT_TEXT_REJECTED, WS_EVENT_PROTOCOL_ERROR, WS_EVENT_TRANSPORT_ERROR, WS_EVENT_CLOSE_RECEIVED,
		WS_EVENT_CLOSED };
	int count = sizeof types / sizeof types[0];
	struct wsf_observed *observed = create();
	struct watch watch;

	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	for (int i = 0; i < count; i++)
		tell_number(observed, types[i], i);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), count);
	for (int i = 0; i < count; i++) {
		ck_assert_int_eq(watch.seen[i].type, types[i]);
		ck_assert_uint_eq(watch.seen[i].missed, 0);
		ck_assert_uint_eq(watch.seen[i].event.stream_id, STREAM_ID);
		if (types[i] != WS_EVENT_CLOSED)
			ck_assert_int_eq(watch.seen[i].number, i);
	}
	ck_assert(!pthread_equal(watch.thread, pthread_self()));
}
END_TEST

static const char long_text[] =
    "one line on an error that goes on, and on, and on, and on, and on, and on, and on, and on, and on, and on, "
    "and on, and on, and on, and on, and on, and on, and on, and on, and on, and on, and on";

static void check_everything(struct watch *watch, const struct ws_event *event)
{
	bool closed = event->type == WS_EVENT_CLOSED;

	(void)watch;
	ck_assert_str_eq(event->close_reason_received, "theirs");
	ck_assert_str_eq(event->close_reason_sent, "ours");
	ck_assert_uint_eq(event->close_code_received, 3001);
	ck_assert_uint_eq(event->close_code_sent, 3002);
	ck_assert_int_eq(event->round_trip_us, 77);
	ck_assert_int_eq(event->error, EPROTO);
	ck_assert(event->clean);
	if (closed) {
		ck_assert_uint_lt(strlen(event->text), sizeof long_text);
		ck_assert_mem_eq(event->text, long_text, strlen(event->text));
		ck_assert_uint_ge(strlen(event->text), 150);
	} else {
		ck_assert_str_eq(event->text, long_text);
		ck_assert_uint_eq(event->payload_bytes, 7);
		ck_assert_mem_eq(event->payload, "pay\0load", 7);
	}
}

START_TEST(all_that_an_event_points_to_is_copied)
{
	char received[] = "theirs", sent[] = "ours", text[sizeof long_text], payload[] = "pay\0load";
	struct ws_event event = { .close_code_received = 3001, .close_code_sent = 3002, .round_trip_us = 77,
		.error = EPROTO, .clean = true, .close_reason_received = received, .close_reason_sent = sent,
		.text = text, .payload = payload, .payload_bytes = 7 };
	struct wsf_observed *observed = create();
	struct watch blocker, watch;

	memcpy(text, long_text, sizeof text);
	block(&blocker, observed);
	watch_init(&watch, observed);
	watch.act = check_everything;
	add(&watch, WS_EVENT_ALL);
	event.type = WS_EVENT_PONG;
	wsf_observed_tell(observed, &event);
	event.type = WS_EVENT_CLOSED;
	wsf_observed_tell(observed, &event);
	memset(received, 'x', sizeof received - 1);
	memset(sent, 'x', sizeof sent - 1);
	memset(text, 'x', sizeof text - 1);
	memset(payload, 'x', sizeof payload - 1);
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 2);
}
END_TEST

static void check_nothing(struct watch *watch, const struct ws_event *event)
{
	(void)watch;
	ck_assert_str_eq(event->close_reason_received, "");
	ck_assert_str_eq(event->close_reason_sent, "");
	ck_assert_str_eq(event->text, "");
	ck_assert_uint_eq(event->payload_bytes, 0);
	ck_assert((event->payload != NULL) == (event->type == WS_EVENT_PING));
}

START_TEST(members_that_say_nothing_are_empty_strings)
{
	struct wsf_observed *observed = create();
	struct watch watch;

	watch_init(&watch, observed);
	watch.act = check_nothing;
	add(&watch, WS_EVENT_ALL);
	tell(observed, WS_EVENT_OPEN);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 3);
}
END_TEST

/* _i: the bit. */
START_TEST(mask_selects_what_is_told)
{
	struct wsf_observed *observed = create();
	struct watch watch;

	watch_init(&watch, observed);
	add(&watch, 1U << _i);
	for (unsigned type = 1; type <= WS_EVENT_CLOSED; type <<= 1)
		tell(observed, type);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
	ck_assert_uint_eq(watch.seen[0].type, 1U << _i);
}
END_TEST

START_TEST(several_observers_are_each_told)
{
	struct wsf_observed *observed = create();
	static struct watch watches[20];

	for (int i = 0; i < 20; i++) {
		watch_init(&watches[i], observed);
		add(&watches[i], i % 2 == 0 ? WS_EVENT_ALL : WS_EVENT_PONG | WS_EVENT_CLOSED);
	}
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_PONG);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(atomic_load(&watches[i].calls), i % 2 == 0 ? 3 : 2);
}
END_TEST

START_TEST(new_mask_counts_for_what_is_told_from_then_on)
{
	struct wsf_observed *observed = create();
	struct watch blocker, watch;

	block(&blocker, observed);
	watch_init(&watch, observed);
	add(&watch, WS_EVENT_PING);
	tell_number(observed, WS_EVENT_PING, 0);
	add(&blocker, WS_EVENT_ALL);
	tell_number(observed, WS_EVENT_PONG, 1);
	add(&watch, WS_EVENT_PING | WS_EVENT_PONG);
	tell_number(observed, WS_EVENT_PONG, 2);
	add(&watch, WS_EVENT_PONG);
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
	ck_assert_int_eq(watch.seen[0].number, 2);
	ck_assert_int_eq(atomic_load(&blocker.calls), 3);
}
END_TEST

START_TEST(observer_is_not_told_what_was_before_it)
{
	struct wsf_observed *observed = create();
	struct watch blocker, watch;

	block(&blocker, observed);
	add(&blocker, WS_EVENT_ALL);
	tell_number(observed, WS_EVENT_PING, 0);
	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	tell_number(observed, WS_EVENT_PING, 1);
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
	ck_assert_int_eq(watch.seen[0].number, 1);
	ck_assert_int_eq(atomic_load(&blocker.calls), 3);
}
END_TEST

/* The blocked stream's own queue is full; the other one's only event is next. */
START_TEST(streams_take_turns)
{
	struct wsf_observed *busy = create(), *quiet = create();
	struct watch blocker, watch;

	block(&blocker, busy);
	add(&blocker, WS_EVENT_ALL);
	for (int i = 0; i < 10; i++)
		tell_number(busy, WS_EVENT_PING, i);
	watch_init(&watch, quiet);
	watch.blocks = true;
	add(&watch, WS_EVENT_ALL);
	tell(quiet, WS_EVENT_PING);
	unblock(&blocker);
	pass(&watch.entered);
	ck_assert_int_eq(atomic_load(&blocker.calls), 1);
	unblock(&watch);
	end(busy);
	end(quiet);
	ck_assert_int_eq(atomic_load(&blocker.calls), 11);
}
END_TEST

/* --- removal --- */

static void remove_self(struct watch *watch, const struct ws_event *event)
{
	(void)event;
	ck_assert(wsf_observed_inside(watch->observed));
	ck_assert_int_eq(wsf_observed_add(watch->observed, 0, observer, watch), 0);
	ck_assert_int_eq(wsf_observed_add(watch->observed, 0, observer, watch), -ENOENT);
}

static void remove_other(struct watch *watch, const struct ws_event *event)
{
	(void)event;
	ck_assert_int_eq(wsf_observed_add(watch->other->observed, 0, observer, watch->other), 0);
	watch->act = NULL;
}

static void add_self_again(struct watch *watch, const struct ws_event *event)
{
	remove_self(watch, event);
	add(watch, WS_EVENT_PONG | WS_EVENT_CLOSED);
	watch->act = NULL;
}

START_TEST(removal_from_inside_is_at_once)
{
	struct wsf_observed *observed = create();
	struct watch watch, last;

	watch_init(&watch, observed);
	watch_init(&last, observed);
	watch.act = remove_self;
	add(&watch, WS_EVENT_ALL);
	add(&last, WS_EVENT_ALL);
	ck_assert(!wsf_observed_inside(observed));
	for (int i = 0; i < 5; i++)
		tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
	ck_assert_int_eq(atomic_load(&last.calls), 6);
}
END_TEST

/* _i: whether the other one is before or behind. */
START_TEST(removal_of_another_from_inside_is_at_once)
{
	struct wsf_observed *observed = create();
	struct watch watch, other;

	watch_init(&watch, observed);
	watch_init(&other, observed);
	watch.act = remove_other;
	watch.other = &other;
	add(_i == 0 ? &watch : &other, WS_EVENT_ALL);
	add(_i == 0 ? &other : &watch, WS_EVENT_ALL);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 2);
	ck_assert_int_eq(atomic_load(&other.calls), _i == 0 ? 0 : 1);
}
END_TEST

START_TEST(removed_and_added_again_from_inside_is_a_new_one)
{
	struct wsf_observed *observed = create();
	struct watch watch;

	watch_init(&watch, observed);
	watch.act = add_self_again;
	add(&watch, WS_EVENT_ALL);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 2);
	ck_assert_int_eq(watch.seen[1].type, WS_EVENT_CLOSED);
}
END_TEST

struct remover {
	struct watch *watch;
	atomic_int tid;
	atomic_bool done;
	bool left;
};

static void *remove_it(void *argument)
{
	struct remover *remover = argument;

#ifdef __linux__
	atomic_store(&remover->tid, gettid());
#else
	atomic_store(&remover->tid, 1);
#endif
	ck_assert_int_eq(wsf_observed_add(remover->watch->observed, 0, observer, remover->watch), 0);
	remover->left = atomic_load(&remover->watch->left);
	atomic_store(&remover->done, true);
	return NULL;
}

START_TEST(removal_from_outside_waits_for_the_call_under_way)
{
	struct wsf_observed *observed = create();
	struct remover remover = { .done = false };
	struct watch blocker;
	pthread_t thread;

	block(&blocker, observed);
	add(&blocker, WS_EVENT_ALL);
	tell(observed, WS_EVENT_PING);
	remover.watch = &blocker;
	peer_thread(&thread, remove_it, &remover);
	while (atomic_load(&remover.tid) == 0)
		sched_yield();
	wait_asleep(atomic_load(&remover.tid), &remover.done);
	ck_assert(!atomic_load(&remover.done));
	unblock(&blocker);
	peer_join(thread);
	ck_assert(remover.left);
	tell(observed, WS_EVENT_PING);
	end(observed);
	ck_assert_int_eq(atomic_load(&blocker.calls), 1);
}
END_TEST

START_TEST(removal_of_one_does_not_wait_for_another)
{
	struct wsf_observed *observed = create();
	struct watch blocker, watch;

	block(&blocker, observed);
	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	tell(observed, WS_EVENT_PING);
	add(&watch, 0);
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 0);
}
END_TEST

static void other_observer(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
	ck_abort_msg("is not to be called");
}

START_TEST(removing_what_is_not_there_is_ENOENT)
{
	struct wsf_observed *observed = create();
	struct watch watch, other;

	watch_init(&watch, observed);
	watch_init(&other, observed);
	ck_assert_int_eq(wsf_observed_add(observed, 0, observer, &watch), -ENOENT);
	add(&watch, WS_EVENT_ALL);
	add(&watch, WS_EVENT_CLOSED);
	ck_assert_int_eq(wsf_observed_add(observed, 0, observer, &other), -ENOENT);
	ck_assert_int_eq(wsf_observed_add(observed, 0, other_observer, &watch), -ENOENT);
	add(&watch, 0);
	ck_assert_int_eq(wsf_observed_add(observed, 0, observer, &watch), -ENOENT);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 0);
}
END_TEST

/* --- the bound --- */

START_TEST(oldest_pings_are_left_out_and_counted)
{
	const int told = WSF_EVENTS_MAX + 36;
	struct wsf_observed *observed = create();
	struct watch blocker, watch, states;

	block(&blocker, observed);
	watch_init(&watch, observed);
	watch_init(&states, observed);
	add(&watch, WS_EVENT_ALL);
	add(&states, WS_EVENT_ALL & ~(unsigned)(WS_EVENT_PING | WS_EVENT_PONG));
	for (int i = 0; i < told; i++)
		tell_number(observed, i % 2 == 0 ? WS_EVENT_PING : WS_EVENT_PONG, i);
	tell(observed, WS_EVENT_CLOSE_RECEIVED);
	tell(observed, WS_EVENT_CLOSED);
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), WSF_EVENTS_MAX + 2);
	for (int i = 0; i < WSF_EVENTS_MAX; i++) {
		ck_assert_int_eq(watch.seen[i].number, told - WSF_EVENTS_MAX + i);
		ck_assert_uint_eq(watch.seen[i].missed, i == 0 ? 36 : 0);
	}
	ck_assert_int_eq(watch.seen[WSF_EVENTS_MAX].type, WS_EVENT_CLOSE_RECEIVED);
	ck_assert_uint_eq(watch.seen[WSF_EVENTS_MAX].missed, 0);
	ck_assert_int_eq(watch.seen[WSF_EVENTS_MAX + 1].type, WS_EVENT_CLOSED);
	/* It wants none of those that were left out. */
	ck_assert_int_eq(atomic_load(&states.calls), 2);
	ck_assert_uint_eq(states.seen[0].missed, 0);
}
END_TEST

START_TEST(events_of_state_are_never_left_out)
{
	static const enum ws_event_type states[] = { WS_EVENT_TEXT_REJECTED, WS_EVENT_PROTOCOL_ERROR,
		WS_EVENT_TRANSPORT_ERROR, WS_EVENT_CLOSE_RECEIVED };
	struct wsf_observed *observed = create();
	struct watch blocker, watch;
	int found = 0;

	block(&blocker, observed);
	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	for (int i = 0; i < 4 * WSF_EVENTS_MAX; i++) {
		tell_number(observed, WS_EVENT_PING, i);
		if (i % WSF_EVENTS_MAX == 0)
			tell(observed, states[i / WSF_EVENTS_MAX]);
	}
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), WSF_EVENTS_MAX + 4);
	for (int i = 0; i < WSF_EVENTS_MAX + 4; i++) {
		if (watch.seen[i].type != WS_EVENT_PING)
			ck_assert_int_eq(watch.seen[i].type, states[found++]);
	}
	ck_assert_int_eq(found, 4);
	ck_assert_uint_eq(watch.seen[0].missed, 3 * WSF_EVENTS_MAX);
}
END_TEST

#ifdef WRAP_MALLOC
START_TEST(without_memory_events_are_left_out_but_closed_is_told)
{
	struct wsf_observed *observed = create();
	struct watch blocker, watch;

	block(&blocker, observed);
	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	atomic_store(&no_memory, true);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_TEXT_REJECTED);
	if (_i == 0) {
		tell(observed, WS_EVENT_CLOSED);
		atomic_store(&no_memory, false);
	} else {
		atomic_store(&no_memory, false);
		tell(observed, WS_EVENT_PONG);
		tell(observed, WS_EVENT_CLOSED);
	}
	unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), _i == 0 ? 1 : 2);
	ck_assert_int_eq(watch.seen[0].type, _i == 0 ? WS_EVENT_CLOSED : WS_EVENT_PONG);
	ck_assert_uint_eq(watch.seen[0].missed, 2);
	ck_assert_int_eq(watch.seen[_i].type, WS_EVENT_CLOSED);
}
END_TEST
#endif

/* --- CLOSED --- */

START_TEST(closed_is_told_once_and_nothing_behind_it)
{
	struct wsf_observed *observed = create();
	struct watch watch;

	watch_init(&watch, observed);
	add(&watch, WS_EVENT_ALL);
	tell_number(observed, WS_EVENT_PING, 1);
	tell(observed, WS_EVENT_CLOSED);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	tell(observed, WS_EVENT_TRANSPORT_ERROR);
	while (atomic_load(&watch.calls) < 2)
		sched_yield();
	add(&watch, WS_EVENT_PING);
	add(&watch, WS_EVENT_ALL);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 2);
	ck_assert_int_eq(watch.seen[0].number, 1);
	ck_assert_int_eq(watch.seen[1].type, WS_EVENT_CLOSED);
}
END_TEST

/* _i: whether earlier events still wait. */
START_TEST(who_comes_behind_closed_is_told_that_alone)
{
	struct wsf_observed *observed = create();
	struct watch blocker, late, deaf;

	block(&blocker, observed);
	watch_init(&deaf, observed);
	add(&deaf, WS_EVENT_PING);
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	if (_i == 0)
		unblock(&blocker);
	watch_init(&late, observed);
	add(&late, WS_EVENT_ALL);
	/* This one is there already, and wants it only now. */
	add(&deaf, WS_EVENT_PING | WS_EVENT_CLOSED);
	if (_i == 1)
		unblock(&blocker);
	end(observed);
	ck_assert_int_eq(atomic_load(&late.calls), 1);
	ck_assert_int_eq(late.seen[0].type, WS_EVENT_CLOSED);
	ck_assert_int_eq(atomic_load(&deaf.calls), 2);
	ck_assert_int_eq(deaf.seen[1].type, WS_EVENT_CLOSED);
	ck_assert_int_eq(atomic_load(&blocker.calls), 1);
}
END_TEST

static void add_other(struct watch *watch, const struct ws_event *event)
{
	(void)event;
	add(watch->other, WS_EVENT_ALL);
	watch->act = NULL;
}

START_TEST(who_is_added_from_inside_closed_is_told_it)
{
	struct wsf_observed *observed = create();
	struct watch watch, other;

	watch_init(&watch, observed);
	watch_init(&other, observed);
	watch.act = add_other;
	watch.other = &other;
	add(&watch, WS_EVENT_CLOSED);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
	ck_assert_int_eq(atomic_load(&other.calls), 1);
}
END_TEST

/* --- the end --- */

struct closing {
	struct watch *watch;
	sem_t done;
	pthread_t thread;
	bool inside, left;
	int calls;
};

static struct closing closing;

static void closed_later(void *argument)
{
	struct closing *it = argument;

	it->thread = pthread_self();
	it->left = atomic_load(&it->watch->left);
	it->calls = atomic_load(&it->watch->calls);
	sem_post(&it->done);
}

static void end_self(struct watch *watch, const struct ws_event *event)
{
	if (event->type == WS_EVENT_TEXT_REJECTED) {
		tell(watch->observed, WS_EVENT_TRANSPORT_ERROR);
		tell(watch->observed, WS_EVENT_CLOSED);
		ck_assert(wsf_observed_end(watch->observed, closed_later, &closing));
		atomic_store(&watch->left, false);
	}
}

static void closing_init(struct watch *watch)
{
	memset(&closing, 0, sizeof closing);
	closing.watch = watch;
	ck_assert_int_eq(sem_init(&closing.done, 0, 0), 0);
}

/* _i: whether it is the last stream, or another one stays. */
START_TEST(end_from_inside_does_the_rest_later)
{
	struct wsf_observed *observed = create(), *other = _i == 1 ? create() : NULL;
	struct watch watch;

	watch_init(&watch, observed);
	closing_init(&watch);
	watch.act = end_self;
	add(&watch, WS_EVENT_ALL);
	tell(observed, WS_EVENT_TEXT_REJECTED);
	pass(&closing.done);
	ck_assert(closing.left);
	ck_assert_int_eq(closing.calls, 3);
	ck_assert_int_eq(watch.seen[1].type, WS_EVENT_TRANSPORT_ERROR);
	ck_assert_int_eq(watch.seen[2].type, WS_EVENT_CLOSED);
	ck_assert(pthread_equal(closing.thread, watch.thread));
	/* Another thread may start while that one ends. */
	if (_i == 0)
		other = create();
	watch_init(&watch, other);
	add(&watch, WS_EVENT_ALL);
	tell(other, WS_EVENT_CLOSED);
	end(other);
	ck_assert_int_eq(atomic_load(&watch.calls), 1);
}
END_TEST

static void end_other(struct watch *watch, const struct ws_event *event)
{
	struct watch *other = watch->other;

	(void)event;
	ck_assert(!wsf_observed_inside(other->observed));
	tell(other->observed, WS_EVENT_PING);
	tell(other->observed, WS_EVENT_CLOSED);
	ck_assert(!wsf_observed_end(other->observed, NULL, NULL));
	ck_assert(wsf_observed_inside(watch->observed));
	ck_assert_int_eq(other->seen[atomic_load(&other->calls) - 1].type, WS_EVENT_CLOSED);
	watch->act = NULL;
}

/* Its events are delivered before the end returns, though the observing thread is busy with this. */
START_TEST(observer_of_one_stream_ends_another)
{
	struct wsf_observed *one = create(), *two = create(), *three = create();
	struct watch watch, second, third;

	watch_init(&watch, one);
	watch_init(&second, two);
	watch_init(&third, three);
	watch.act = second.act = end_other;
	watch.other = &second;
	second.other = &third;
	add(&watch, WS_EVENT_ALL);
	add(&second, WS_EVENT_ALL);
	add(&third, WS_EVENT_ALL);
	tell(one, WS_EVENT_OPEN);
	tell(one, WS_EVENT_CLOSED);
	end(one);
	ck_assert_int_eq(atomic_load(&watch.calls), 2);
	ck_assert_int_eq(atomic_load(&second.calls), 2);
	ck_assert_int_eq(atomic_load(&third.calls), 2);
}
END_TEST

static void check_signals(struct watch *watch, const struct ws_event *event)
{
	sigset_t blocked;

	(void)event;
	(void)watch;
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
	for (int number = 1; number < 32; number++)
		ck_assert(number == SIGKILL || number == SIGSTOP || sigismember(&blocked, number) == 1);
}

START_TEST(one_thread_serves_all_takes_no_signal_and_ends_with_the_last)
{
	struct wsf_observed *observed[50];
	static struct watch watches[50];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++) {
			observed[i] = create();
			watch_init(&watches[i], observed[i]);
			watches[i].act = check_signals;
			add(&watches[i], WS_EVENT_ALL);
			tell(observed[i], WS_EVENT_CLOSED);
		}
		for (int i = 0; i < 50; i++)
			end(observed[i]);
		for (int i = 0; i < 50; i++)
			ck_assert(pthread_equal(watches[i].thread, watches[0].thread));
	}
}
END_TEST

START_TEST(nothing_is_a_stream_without_observers)
{
	struct wsf_observed *observed = create();

	ck_assert(!wsf_observed_inside(NULL));
	ck_assert(!wsf_observed_end(NULL, NULL, NULL));
	tell(observed, WS_EVENT_PING);
	tell(observed, WS_EVENT_CLOSED);
	end(observed);
}
END_TEST

/* --- many --- */

#define MANY_THREADS 8
#define MANY_ROUNDS 60
#define MANY_PINGS 20

struct crowd {
	struct wsf_observed *observed;
	atomic_int left;		/* removals that found their observer */
};

static void ignore(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

static void *open_and_close_streams(void *argument)
{
	struct watch *watch = argument;
	struct wsf_observed *observed;

	for (int round = 0; round < MANY_ROUNDS; round++) {
		observed = create();
		watch_init(watch, observed);
		add(watch, WS_EVENT_ALL);
		ck_assert_int_eq(wsf_observed_add(observed, WS_EVENT_PING, ignore, NULL), 0);
		for (int i = 0; i < MANY_PINGS; i++)
			tell_number(observed, WS_EVENT_PING, i);
		ck_assert_int_eq(wsf_observed_add(observed, 0, ignore, NULL), 0);
		tell(observed, WS_EVENT_CLOSED);
		end(observed);
		ck_assert_int_eq(atomic_load(&watch->calls), MANY_PINGS + 1);
		for (int i = 0; i < MANY_PINGS; i++)
			ck_assert_int_eq(watch->seen[i].number, i);
	}
	return NULL;
}

START_TEST(many_streams_from_many_threads)
{
	static struct watch watches[MANY_THREADS];
	pthread_t threads[MANY_THREADS];

	for (int i = 0; i < MANY_THREADS; i++)
		peer_thread(&threads[i], open_and_close_streams, &watches[i]);
	for (int i = 0; i < MANY_THREADS; i++)
		peer_join(threads[i]);
}
END_TEST

static void *tell_and_come_and_go(void *argument)
{
	struct crowd *crowd = argument;
	struct watch watch;

	watch_init(&watch, crowd->observed);
	for (int i = 0; i < 50; i++) {
		add(&watch, WS_EVENT_PING | WS_EVENT_CLOSED);
		tell_number(crowd->observed, i % 3 == 0 ? WS_EVENT_PONG : WS_EVENT_PING, i);
		ck_assert_int_eq(wsf_observed_add(crowd->observed, 0, observer, &watch), 0);
		/* Nobody calls it now: the thread sanitizer would see a race here. */
		memset(watch.seen, 0, sizeof watch.seen);
		atomic_store(&watch.calls, 0);
		atomic_fetch_add(&crowd->left, 1);
	}
	return NULL;
}

START_TEST(many_threads_tell_one_stream_and_come_and_go)
{
	struct crowd crowd = { .observed = create() };
	pthread_t threads[MANY_THREADS];
	struct watch watch;

	watch_init(&watch, crowd.observed);
	add(&watch, WS_EVENT_PONG | WS_EVENT_CLOSED);
	for (int i = 0; i < MANY_THREADS; i++)
		peer_thread(&threads[i], tell_and_come_and_go, &crowd);
	for (int i = 0; i < MANY_THREADS; i++)
		peer_join(threads[i]);
	tell(crowd.observed, WS_EVENT_CLOSED);
	end(crowd.observed);
	ck_assert_int_eq(atomic_load(&crowd.left), 50 * MANY_THREADS);
	ck_assert_int_eq(watch.seen[atomic_load(&watch.calls) - 1].type, WS_EVENT_CLOSED);
}
END_TEST

static void end_for(struct watch *watch, const struct ws_event *event)
{
	(void)event;
	ck_assert(wsf_observed_end(watch->observed, closed_later, watch->argument));
}

/* Each stream is closed from inside; the last one's thread, which nobody joins, ends while others start. */
static void *close_streams_from_inside(void *argument)
{
	struct watch *watch = argument;
	struct closing mine;

	for (int round = 0; round < MANY_ROUNDS; round++) {
		memset(&mine, 0, sizeof mine);
		mine.watch = watch;
		ck_assert_int_eq(sem_init(&mine.done, 0, 0), 0);
		watch_init(watch, create());
		watch->act = end_for;
		watch->argument = &mine;
		add(watch, WS_EVENT_PING);
		tell(watch->observed, WS_EVENT_PING);
		pass(&mine.done);
		ck_assert_int_eq(mine.calls, 1);
	}
	return NULL;
}

/* _i: several threads, or one, so that each stream is the last one. */
START_TEST(streams_closed_from_inside_end_their_threads)
{
	static struct watch watches[MANY_THREADS];
	pthread_t threads[MANY_THREADS];
	int count = _i == 0 ? 1 : MANY_THREADS;

	for (int i = 0; i < count; i++)
		peer_thread(&threads[i], close_streams_from_inside, &watches[i]);
	for (int i = 0; i < count; i++)
		peer_join(threads[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("observe");
	TCase *events = observe_case(suite, "events"), *removal = observe_case(suite, "removal");
	TCase *bound = observe_case(suite, "bound"), *closed = observe_case(suite, "closed");
	TCase *ends = observe_case(suite, "ends"), *many = observe_case(suite, "many");

	tcase_add_test(events, events_come_in_order_with_closed_last);
	tcase_add_test(events, all_that_an_event_points_to_is_copied);
	tcase_add_test(events, members_that_say_nothing_are_empty_strings);
	tcase_add_loop_test(events, mask_selects_what_is_told, 0, 8);
	tcase_add_test(events, several_observers_are_each_told);
	tcase_add_test(events, new_mask_counts_for_what_is_told_from_then_on);
	tcase_add_test(events, observer_is_not_told_what_was_before_it);
	tcase_add_test(events, streams_take_turns);
	tcase_add_test(removal, removal_from_inside_is_at_once);
	tcase_add_loop_test(removal, removal_of_another_from_inside_is_at_once, 0, 2);
	tcase_add_test(removal, removed_and_added_again_from_inside_is_a_new_one);
	tcase_add_test(removal, removal_from_outside_waits_for_the_call_under_way);
	tcase_add_test(removal, removal_of_one_does_not_wait_for_another);
	tcase_add_test(removal, removing_what_is_not_there_is_ENOENT);
	tcase_add_test(bound, oldest_pings_are_left_out_and_counted);
	tcase_add_test(bound, events_of_state_are_never_left_out);
#ifdef WRAP_MALLOC
	tcase_add_loop_test(bound, without_memory_events_are_left_out_but_closed_is_told, 0, 2);
#endif
	tcase_add_test(closed, closed_is_told_once_and_nothing_behind_it);
	tcase_add_loop_test(closed, who_comes_behind_closed_is_told_that_alone, 0, 2);
	tcase_add_test(closed, who_is_added_from_inside_closed_is_told_it);
	tcase_add_loop_test(ends, end_from_inside_does_the_rest_later, 0, 2);
	tcase_add_test(ends, observer_of_one_stream_ends_another);
	tcase_add_test(ends, one_thread_serves_all_takes_no_signal_and_ends_with_the_last);
	tcase_add_test(ends, nothing_is_a_stream_without_observers);
	tcase_add_test(many, many_streams_from_many_threads);
	tcase_add_test(many, many_threads_tell_one_stream_and_come_and_go);
	tcase_add_loop_test(many, streams_closed_from_inside_end_their_threads, 0, 2);
	return wire_run(suite);
}
