/* SPDX-License-Identifier: 0BSD */
/*
 * In place of service_lws.c and service_poller.c: an event loop that knows the one connection. As there, a wake-up and
 * the sockets' events of a turn come in either order, and which events there are is seen when they are taken.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "interleave.h"
#include "interleave_world.h"
#include "service_private.h"

struct wsf_engine {
	struct wsf_helper *helper;
	int64_t alarm_ns;
	bool woken;
};

static struct {
	struct wsf_engine engine;
	void *owner;			/* of the connection, NULL = not watched at all */
	unsigned watched;
	unsigned turns;
} loop;

void world_loop_reset(void)
{
	memset(&loop, 0, sizeof loop);
	loop.engine.alarm_ns = IL_NEVER;
}

uint64_t world_loop_hash(void)
{
	uint64_t hash = il_mix((uint64_t)loop.engine.alarm_ns, (uint64_t)loop.engine.woken);

	return il_mix(hash, (uint64_t)loop.watched << 1 | (loop.owner != NULL));
}

int64_t world_loop_deadline_ns(void)
{
	return loop.engine.alarm_ns > il_now_ns() ? loop.engine.alarm_ns : IL_NEVER;
}

unsigned world_loop_turns(void)
{
	return loop.turns;
}

/* --- the poller --- */

static unsigned events(void)
{
	int there = loop.owner != NULL ? world_events() : 0;
	unsigned what = (there & POLLIN) != 0 ? WSF_POLL_READ : 0;

	what |= (there & POLLOUT) != 0 ? WSF_POLL_WRITE : 0;
	return (what & loop.watched) | ((there & POLLHUP) != 0 ? WSF_POLL_OVER : 0);
}

int wsf_poller_open(void)
{
	return 0;
}

int wsf_poller_add(int poller, int fd, unsigned what, void *owner)
{
	(void)poller;
	if (loop.owner != NULL || !world_is_open(fd))
		il_fail("watched twice, or not open");
	loop.owner = owner;
	loop.watched = what;
	return 0;
}

int wsf_poller_change(int poller, int fd, unsigned before, unsigned what, void *owner)
{
	(void)poller;
	if (loop.owner != (before != 0 ? owner : NULL) || before != loop.watched || !world_is_open(fd))
		il_fail("changed what is not watched so");
	il_point("watch for others");
	loop.owner = what != 0 ? owner : NULL;
	loop.watched = what;
	return 0;
}

void wsf_poller_remove(int poller, int fd)
{
	(void)poller;
	if (!world_is_open(fd))
		il_fail("removed what is not open");
	loop.owner = NULL;
	loop.watched = 0;
}

int wsf_poller_take(int poller, struct wsf_poll_event taken[WSF_POLL_EVENTS_MAX])
{
	(void)poller;
	il_point("take events");
	taken[0] = (struct wsf_poll_event){ loop.owner, events() };
	il_note(taken[0].what);
	return taken[0].what != 0;
}

/* --- the loop --- */

struct wsf_engine *wsf_engine_new(void)
{
	return &loop.engine;
}

void wsf_engine_free(struct wsf_engine *engine)
{
	(void)engine;
}

int wsf_engine_start(struct wsf_engine *engine, struct wsf_helper *helper, int poller)
{
	(void)poller;
	engine->helper = helper;
	return 0;
}

void wsf_engine_stop(struct wsf_engine *engine)
{
	(void)engine;
	if (loop.owner != NULL)
		il_fail("the helper ends before the connection");
}

static bool something(const void *unused)
{
	(void)unused;
	return loop.engine.woken || events() != 0;
}

static void serve_wake_up(struct wsf_engine *engine)
{
	engine->woken = false;
	(void)wsf_helper_drain(engine->helper);
}

void wsf_engine_turn(struct wsf_engine *engine)
{
	bool woken, sockets, wake_up_last = false;

	/* Of the loop, not of the past: all that the helper's thread knows is in its structures. */
	il_forget(0);
	loop.turns++;
	(void)il_wait("look for events", something, NULL, engine->alarm_ns);
	if (engine->alarm_ns <= il_now_ns())
		engine->alarm_ns = IL_NEVER;
	woken = engine->woken;
	sockets = events() != 0;
	il_note((uint64_t)sockets * 2 + woken);
	if (woken && sockets)
		wake_up_last = il_choose("order of events", 2) != 0;
	if (woken && !wake_up_last)
		serve_wake_up(engine);
	if (sockets)
		wsf_helper_serve(engine->helper);
	if (woken && wake_up_last)
		serve_wake_up(engine);
}

void wsf_engine_set_alarm(struct wsf_engine *engine, int64_t deadline_ns)
{
	engine->alarm_ns = deadline_ns == WSF_NO_DEADLINE ? IL_NEVER : deadline_ns;
}

void wsf_engine_wake(struct wsf_engine *engine)
{
	engine->woken = true;
}
