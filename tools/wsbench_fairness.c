/* SPDX-License-Identifier: 0BSD */
/*
 * Many streams, with a thread for each at both ends: the client asks, the listener answers with 16 KiB, as fast as both
 * can. Then one more stream is sent to without end, whose reader takes little: what do the others still get, and do all
 * get the same? Without the questions a thread would go on for as long as the scheduler lets it, and the scheduler's
 * fairness would be measured.
 */
#include "wsbench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PIECE 16384
#define STACK_BYTES 262144
#define SLOW_BYTES 4096
#define SLOW_PAUSE_S 0.05
#define SLOW 0				/* the index of the stream */

struct crowd {
	size_t fast;
	double seconds;
};

struct reader {
	struct bench_link *link;
	atomic_uint_fast64_t bytes;
	uint64_t before;		/* bytes when the phase began */
};

static void start(void *(*work)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, work, argument) != 0)
		bench_die("no more threads");
	pthread_attr_destroy(&attributes);
}

/* --- the listener; it sends until it is killed --- */

static void *answer_for_ever(void *argument)
{
	for (;;) {
		bench_get_mark(argument);
		bench_put(argument, bench_sent, PIECE);
	}
	return NULL;
}

static void *send_for_ever(void *argument)
{
	for (;;)
		bench_put(argument, bench_sent, PIECE);
	return NULL;
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	const struct crowd *crowd = end->parameters;
	struct bench_many many = { .end = end, .port = port };

	if (!bench_many_grow(&many, 1 + crowd->fast))
		return;
	for (size_t i = 0; i < many.count; i++)
		if (i != SLOW)
			start(answer_for_ever, &many.links[i]);
	bench_await(end, 's');
	send_for_ever(&many.links[SLOW]);
}

/* --- the client --- */

static void *ask_for_ever(void *argument)
{
	struct reader *reader = argument;
	char piece[PIECE];

	for (;;) {
		bench_put_mark(reader->link);
		bench_get(reader->link, piece, sizeof piece);
		atomic_fetch_add_explicit(&reader->bytes, sizeof piece, memory_order_relaxed);
	}
	return NULL;
}

static void *read_slowly(void *argument)
{
	char piece[SLOW_BYTES];

	for (;;) {
		bench_get(argument, piece, sizeof piece);
		bench_sleep(SLOW_PAUSE_S);
	}
	return NULL;
}

/* What each stream got in this time, in bytes. Returns the rate of all, in MB/s. */
static double watch(struct reader *readers, size_t count, double seconds, double *bytes)
{
	double begin = bench_now(), sum = 0;

	for (size_t i = 0; i < count; i++)
		readers[i].before = atomic_load(&readers[i].bytes);
	bench_sleep(seconds);
	for (size_t i = 0; i < count; i++) {
		bytes[i] = (double)(atomic_load(&readers[i].bytes) - readers[i].before);
		sum += bytes[i];
	}
	return sum / 1e6 / (bench_now() - begin);
}

static void run_client(struct bench_end *end, const char *address)
{
	const struct crowd *crowd = end->parameters;
	struct bench_many many = { .end = end, .address = address };
	/* The threads run on until the process is killed, so this is not freed. */
	struct reader *readers = bench_allocate(crowd->fast, sizeof *readers);
	double *bytes = bench_allocate(crowd->fast, sizeof *bytes);

	if (!bench_many_grow(&many, 1 + crowd->fast))
		return;
	for (size_t i = 0; i < crowd->fast; i++) {
		readers[i].link = &many.links[1 + i];
		start(ask_for_ever, &readers[i]);
	}
	bench_sleep(crowd->seconds / 2);
	end->figures[0] = watch(readers, crowd->fast, crowd->seconds, bytes);
	start(read_slowly, &many.links[SLOW]);
	bench_tell(end, 's');
	bench_sleep(crowd->seconds / 4);
	end->figures[1] = watch(readers, crowd->fast, crowd->seconds, bytes);
	end->figures[3] = bench_median(bytes, crowd->fast);
	end->figures[2] = bytes[0];
	end->figures[4] = bytes[crowd->fast - 1];
}

/* --- the group --- */

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	size_t fast = settings->quick ? 20 : class->secure ? 200 : 1000;
	char title[48];

	snprintf(title, sizeof title, "%zu fast, 1 slow", fast);
	bench_row_set(&rows[0], 0, fast, "slow_reader", title);
	return 1;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct crowd crowd = { row->number, settings->quick ? 0.25 : 3 };
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &crowd, .listener = run_listener,
		.client = run_client, .endless = true,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = figures.client[0];
	values[1] = figures.client[1];
	values[2] = figures.client[1] / figures.client[0];
	for (size_t i = 0; i < 3; i++)
		values[3 + i] = figures.client[2 + i] / 1024;
}

const struct bench_group bench_fairness = {
	.key = "fairness", .option = "fairness", .title = "A slow reader among fast ones, and what each of these got",
	.columns = { { "alone_mb_s", "MB/s without", 0, true }, { "mb_s", "MB/s with", 0, true },
	    { "kept", "with/without", 2, false }, { "min_kib", "min KiB", 0, false },
	    { "median_kib", "median KiB", 0, false }, { "max_kib", "max KiB", 0, false } },
	.rows = rows, .measure = measure,
};
