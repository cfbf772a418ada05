/* SPDX-License-Identifier: 0BSD */
/* What happened against what may happen: the close table of ws_fopen(3), for each direction of a session. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void note(struct end *end, enum operation operation, uint64_t size, int64_t result, int error)
{
	unsigned place;

	atomic_fetch_add_explicit(&shared->operations[operation], 1, memory_order_relaxed);
	if (end == NULL)
		return;
	/* Both halves of a pair write here. */
	while (atomic_flag_test_and_set_explicit(&end->noting, memory_order_acquire))
		sched_yield();
	place = end->entries++ % LOG_MAX;
	end->log[place] = (struct entry){ (uint8_t)operation, error, (int64_t)size, result };
	atomic_flag_clear_explicit(&end->noting, memory_order_release);
	atomic_store_explicit(&end->since_ns, now_ns(), memory_order_relaxed);
}

static void print_end(const struct end *end, enum side side)
{
	static const char *const readings[] = { "reading", "EOF", "error", "all it wanted", "quit" };
	unsigned count = end->entries, first = count > LOG_MAX ? count - LOG_MAX : 0;

	fprintf(stderr, "  %s: %s; wrote %" PRIu64 ", flushed %" PRIu64 ", write error %s; got %" PRIu64 ", %s%s%s;",
	    side == CLIENT ? "client" : "server", end->attached ? "was there" : "never came", end->wrote, end->flushed,
	    end->write_error != 0 ? strerror(end->write_error) : "none", end->got, readings[end->reading],
	    end->read_error != 0 ? ": " : "", end->read_error != 0 ? strerror(end->read_error) : "");
	fprintf(stderr, "%s%s%s verdict %s; %u events\n", end->said_bye ? " closed;" : "",
	    end->said_code ? " closed with a code;" : "", end->aborted ? " aborted;" : "",
	    !end->has_verdict ? "none" : end->verdict == 0 ? "0" : strerror(end->verdict), end->events);
	for (unsigned i = first; i < count; i++) {
		const struct entry *entry = &end->log[i % LOG_MAX];

		fprintf(stderr, "    %u: %s %" PRId64 " = %" PRId64 "%s%s\n", i,
		    operation_name((enum operation)entry->operation), entry->size, entry->result,
		    entry->error != 0 ? ", " : "", entry->error != 0 ? strerror(entry->error) : "");
	}
}

void violation(const struct record *record, uint64_t session, const char *format, ...)
{
	struct plan plan = plan_of(session);
	va_list arguments;

	/* The first one only. */
	if (atomic_exchange(&shared->failed, true))
		for (;;)
			pause();
	fprintf(stderr, "wsstress: VIOLATION, seed %" PRIu64 ", session %" PRIu64 ": ", settings.seed, session);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n  %s, fault: %s at %" PRIu64 "%s%s%s%s;", shape_name(plan.shape), fault_name(plan.fault),
	    plan.fault_at, plan.secure ? ", wss" : "", plan.compressed ? ", compressed" : "",
	    plan.text ? ", text" : "", plan.churn ? ", listener comes and goes" : "");
	fprintf(stderr, " client sends %" PRIu64 ", server %" PRIu64 ", in %u rounds\n", plan.bytes[CLIENT],
	    plan.bytes[SERVER], plan.rounds);
	if (record != NULL) {
		print_end(&record->end[CLIENT], CLIENT);
		print_end(&record->end[SERVER], SERVER);
	}
	fflush(stderr);
	if (getenv("WSSTRESS_ABORT") != NULL)
		abort();
	_exit(1);
}

bool is_disturbed(const struct plan *plan)
{
	return plan->churn || settings.faulty ||
	    (plan->fault != NO_FAULT && plan->fault != QUIT_CLIENT && plan->fault != QUIT_SERVER);
}

static bool may_be(int error)
{
	return error == ECONNABORTED || error == ECONNRESET || error == EPIPE || error == ETIMEDOUT;
}

/* What from sent, and to received. */
static void judge_direction(const struct record *record, uint64_t session, enum side side, const struct plan *plan)
{
	const struct end *from = &record->end[side], *to = &record->end[1 - side];
	const char *who = side == CLIENT ? "client to server" : "server to client";

	if (to->got > plan->bytes[side])
		violation(record, session, "%s: more arrived than is ever sent", who);
	if (to->reading == READ_EOF && plan->churn) {
		/* A listener that stops closes our side behind what was flushed by then. */
		if (to->got < from->flushed)
			violation(record, session, "%s: end of file, and not all that was flushed", who);
	} else if (to->reading == READ_EOF && !to->said_code) {
		/* (Who closes with such a code gets it back at once: ws_fopen(3) says that it is only the answer.) */
		/* Who has nothing to say may have opened for reading alone: the peer's Close is answered at once. */
		if (!from->attached || from->write_error != 0 || (!from->said_bye && plan->bytes[side] > 0) ||
		    to->got != from->wrote)
			violation(record, session, "%s: end of file, and not all that was written", who);
		if (from->said_code)
			violation(record, session, "%s: end of file in place of an error", who);
	}
	if (from->has_verdict && from->verdict == 0 && !to->aborted && to->attached && to->reading != READ_QUIT &&
	    (to->got != from->wrote || (to->reading == READ_ERROR && from->wrote > 0)) && !from->said_code)
		violation(record, session, "%s: fclose was 0, and not all arrived", who);
	if (to->reading == READ_ERROR && (!is_disturbed(plan) || !may_be(to->read_error)))
		violation(record, session, "%s: a reading error that nothing explains", who);
	if (from->write_error != 0 && (!is_disturbed(plan) || !may_be(from->write_error)))
		violation(record, session, "%s: a writing error that nothing explains", who);
	if (from->has_verdict && from->verdict != 0 && (!is_disturbed(plan) || !may_be(from->verdict)))
		violation(record, session, "%s: a verdict that nothing explains", who);
	if (plan->fault == NO_FAULT && !is_disturbed(plan) && to->got != plan->bytes[side])
		violation(record, session, "%s: not all of a quiet session", who);
}

static void judge_events(const struct record *record, uint64_t session, const struct end *end)
{
	if (end->event_behind_closed || end->closed_events > 1)
		violation(record, session, "an event behind the last one");
	if (end->events > 0 && end->closed_events == 0)
		violation(record, session, "closed, and no event says so");
}

void judge(const struct record *record, uint64_t session)
{
	struct plan plan = plan_of(session);
	bool good = true;

	for (int i = 0; i < SIDES; i++) {
		judge_direction(record, session, (enum side)i, &plan);
		judge_events(record, session, &record->end[i]);
		good = good && (!record->end[i].has_verdict || record->end[i].verdict == 0);
		atomic_fetch_add(&shared->bytes, record->end[i].got);
	}
	if (!is_disturbed(&plan) && !record->end[SERVER].attached)
		violation(record, session, "a quiet session, and nobody to serve it");
	atomic_fetch_add(&shared->sessions[plan.fault], 1);
	atomic_fetch_add(&shared->shapes[plan.shape], 1);
	atomic_fetch_add(good ? &shared->clean : &shared->disturbed, 1);
}
