/* SPDX-License-Identifier: 0BSD */
/* One end of a session, from when it is open until it is closed. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "stress_io.h"

/* Called on the library's thread, and done when fclose returns. */
void observe(const struct ws_event *event, void *user)
{
	struct end *end = user;

	end->event_behind_closed |= end->closed_events > 0;
	end->events++;
	end->closed_events += event->type == WS_EVENT_CLOSED;
}

/* --- closing --- */

static void close_last(struct work *work, FILE *file)
{
	struct end *end = work->end;
	int rv, error;

	live_end(work->live);
	hold(file);
	let_go(file);
	if (end->reading == READING)
		end->reading = work->in == NULL || end->got == work->plan.bytes[1 - work->side] ?
		    READ_ENOUGH : READ_QUIT;
	/* Who was told that the connection broke says goodbye to nobody. */
	if (end->write_error == 0 && !end->said_code && end->reading != READ_ERROR)
		end->said_bye = true;
	rv = fclose(file);
	error = rv != 0 ? errno : 0;
	note(end, OP_CLOSE, 0, rv, error);
	if (error == 0)
		end->flushed = end->wrote;
	end->verdict = error;
	end->has_verdict = true;
}

static bool ends_with_code(const struct work *work)
{
	return work->plan.fault == (work->side == CLIENT ? CODE_CLIENT : CODE_SERVER) && work->out != NULL;
}

/* A Close, and reading to the peer's. Returns whether the Close could be sent. */
static bool shut_down(struct work *work)
{
	bool code = ends_with_code(work);
	int rv, error;

	if (code)
		work->end->said_code = true;
	else
		work->end->said_bye = true;
	hold(work->out);
	rv = ws_shutdown(work->out, code ? 3000 + (unsigned)draw(&work->random_out, 1000) : 1000,
	    code ? "on purpose" : NULL);
	error = rv != 0 ? errno : 0;
	let_go(work->out);
	note(work->end, OP_SHUTDOWN, code, rv, error);
	if (rv != 0) {
		work->end->write_error = error;
		work->end->said_code = work->end->said_bye = false;
	} else {
		work->end->flushed = work->end->wrote;
	}
	return rv == 0;
}

static void finish(struct work *work, bool good)
{
	FILE *file = work->in != NULL ? work->in : work->out;

	if (good && work->out != NULL && (work->plan.half_close[work->side] || ends_with_code(work)))
		good = shut_down(work);
	else
		good = good && work->out == NULL;
	if (good && work->in != NULL && work->end->reading == READING)
		(void)take(work, UINT64_MAX);
	close_last(work, file);
}

/* --- shapes --- */

static uint64_t share(uint64_t bytes, unsigned rounds, unsigned round)
{
	return round + 1 == rounds ? bytes - bytes / rounds * round : bytes / rounds;
}

static bool say(struct work *work, unsigned round)
{
	if (draw(&work->random_out, 4) == 0) {
		int rv;

		hold(work->out);
		rv = fseek(work->out, 0, SEEK_CUR);
		let_go(work->out);
		note(work->end, OP_SWITCH, 0, rv, rv != 0 ? errno : 0);
	}
	return give(work, share(work->plan.bytes[work->side], work->plan.rounds, round)) && flush(work);
}

static bool hear(struct work *work, unsigned round)
{
	return take(work, share(work->plan.bytes[1 - work->side], work->plan.rounds, round));
}

static bool take_turns(struct work *work)
{
	bool good = true;

	for (unsigned i = 0; good && i < work->plan.rounds; i++)
		good = work->side == CLIENT ? say(work, i) && hear(work, i) : hear(work, i) && say(work, i);
	return good;
}

static void *write_half(void *argument)
{
	struct work *work = argument;
	bool good = give(work, work->plan.bytes[work->side]) && flush(work);
	int rv;

	/* Where it can't close by itself, fclose of the last half does, or has. */
	if (good && (work->plan.half_close[work->side] || ends_with_code(work))) {
		(void)shut_down(work);
	} else if (good) {
		live_end(work->live);
		work->end->said_bye = true;
		rv = fclose(work->out);
		work->out = NULL;
		note(work->end, OP_CLOSE, 1, rv, rv != 0 ? errno : 0);
	}
	return NULL;
}

static void run_pair(struct work *work)
{
	FILE *in = work->in;
	pthread_t thread;
	int rv;

	if (pthread_create(&thread, NULL, write_half, work) != 0)
		violation(work->record, work->session, "no thread");
	(void)take(work, UINT64_MAX);
	if (work->end->reading == READ_QUIT) {
		/* What still comes is discarded: else both may wait for room for ever. */
		live_end(work->live);
		rv = fclose(in);
		in = NULL;
		note(work->end, OP_CLOSE, 0, rv, rv != 0 ? errno : 0);
	}
	pthread_join(thread, NULL);
	live_end(work->live);
	if (work->out != NULL && in != NULL) {
		rv = fclose(work->out);
		note(work->end, OP_CLOSE, 1, rv, rv != 0 ? errno : 0);
		if (rv != 0 && work->end->write_error == 0 && !work->end->said_bye && !work->end->said_code)
			work->end->write_error = errno;
	}
	if (in != NULL || work->out != NULL)
		close_last(work, in != NULL ? in : work->out);
}

static void run_descriptor(struct work *work)
{
	give_and_take_fd(work);
	if (work->end->reading == READING)
		work->end->reading = READ_QUIT;
	if (work->end->write_error == 0 && work->end->reading != READ_ERROR)
		work->end->said_bye = true;
	note(work->end, OP_CLOSE, 2, close(work->fd), 0);
}

static void set_limits(struct work *work)
{
	int read_ms = work->plan.short_reads[work->side] ? 1 : -1;
	int write_ms = work->plan.fault == SLOW_READER ? 20 : -1;

	if (ws_set_timeouts(work->in != NULL ? work->in : work->out, read_ms, write_ms) != 0)
		violation(work->record, work->session, "ws_set_timeouts: %s", strerror(errno));
	if (work->plan.shape == POLLED || (work->plan.shape == SOCKET && work->side == SERVER))
		(void)ws_set_nonblocking(work->in, true);
}

void run_end(struct work *work)
{
	work->end->attached = true;
	work->random = mix(mix(settings.seed, work->session), (uint64_t)work->side * 2 + 100);
	work->random_out = mix(work->random, 1);
	if (work->fd >= 0) {
		run_descriptor(work);
		return;
	}
	live_begin(work->live, work->in, work->out);
	set_limits(work);
	switch (work->plan.shape) {
	case DUPLEX:
		run_pair(work);
		return;
	case PUSH:
	case FETCH:
		if (work->side == (work->plan.shape == PUSH ? CLIENT : SERVER))
			finish(work, give(work, work->plan.bytes[work->side]));
		else
			finish(work, take(work, UINT64_MAX) || work->end->reading == READ_EOF);
		return;
	case POLLED:
	case SOCKET:
		give_and_take(work);
		close_last(work, work->in);
		return;
	default:
		finish(work, take_turns(work));
		return;
	}
}
