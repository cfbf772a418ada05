/* SPDX-License-Identifier: 0BSD */
/* Streams in use, as other threads meet them: pings, status, observers, limits, aborts, at any moment until fclose. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

static void enter(struct live *live)
{
	while (atomic_flag_test_and_set_explicit(&live->busy, memory_order_acquire))
		sched_yield();
}

static void leave(struct live *live)
{
	atomic_flag_clear_explicit(&live->busy, memory_order_release);
}

void live_begin(struct live *live, FILE *in, FILE *out)
{
	enter(live);
	live->file[0] = in;
	live->file[1] = out;
	live->abort = false;
	live->users = 0;
	leave(live);
}

void live_end(struct live *live)
{
	unsigned users;

	enter(live);
	live->file[0] = live->file[1] = NULL;
	users = live->users;
	leave(live);
	while (users > 0) {
		usleep(200);
		enter(live);
		users = live->users;
		leave(live);
	}
}

void live_abort(struct live *live)
{
	enter(live);
	live->abort = true;
	leave(live);
}

static FILE *take(struct live *live, unsigned which, bool *abort)
{
	FILE *file;

	enter(live);
	file = live->file[which] != NULL ? live->file[which] : live->file[1 - which];
	*abort = live->abort;
	live->abort = false;
	if (file != NULL)
		live->users++;
	leave(live);
	return file;
}

static void give_back(struct live *live)
{
	enter(live);
	live->users--;
	leave(live);
}

static void nothing(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

static void count(enum operation operation)
{
	note(NULL, operation, 0, 0, 0);
}

/* All but the counts work without stdio's lock, and so beside whoever is blocked. */
static void use(FILE *file, uint64_t *random)
{
	struct ws_status status = WS_STATUS_INIT;

	switch (draw(random, 6)) {
	case 0:
		count(OP_PING);
		(void)ws_ping(file, "stress", (size_t)draw(random, 7));
		break;
	case 1:
		count(OP_STATUS);
		if (ws_status(file, &status) != 0)
			violation(NULL, 0, "ws_status of an open stream: %s", strerror(errno));
		break;
	case 2:
		count(OP_HEADER);
		(void)ws_header(file, "Sec-WebSocket-Extensions");
		break;
	case 3:
		count(OP_TIMEOUTS);
		if (ws_set_timeouts(file, 600000 + (int)draw(random, 1000), -1) != 0)
			violation(NULL, 0, "ws_set_timeouts of an open stream: %s", strerror(errno));
		break;
	case 4:
		count(OP_OBSERVE);
		if (ws_observe(file, WS_EVENT_PONG | WS_EVENT_PING, nothing, file) == 0)
			(void)ws_observe(file, 0, nothing, file);
		break;
	default:
		count(OP_COUNTS);
		hold(file);
		(void)ws_unsent(file);
		let_go(file);
		break;
	}
}

void *meddle(void *argument)
{
	uint64_t random = mix(settings.seed, *(uint64_t *)argument);
	const struct timespec rest = { .tv_nsec = settings.pause_ms > 0 ? 50000000 : 500000 };
	struct live *live;
	FILE *file;
	bool abort;

	while (!atomic_load(&shared->stop) && !atomic_load(&shared->failed)) {
		nanosleep(&rest, NULL);
		for (unsigned i = 0; i < settings.streams * SIDES; i++) {
			if (!own_side[i % SIDES])
				continue;
			live = &shared->record[i / SIDES].live[i % SIDES];
			file = take(live, (unsigned)draw(&random, 2), &abort);
			if (file == NULL)
				continue;
			if (abort) {
				count(OP_ABORT);
				if (ws_abort(file) != 0)
					violation(NULL, 0, "ws_abort of an open stream: %s", strerror(errno));
			} else if (draw(&random, settings.streams) == 0) {
				use(file, &random);
			}
			give_back(live);
		}
	}
	return NULL;
}
