/* SPDX-License-Identifier: 0BSD */
/*
 * So many streams open at the same time, each after one echo of 64 bytes: how fast they open, what they hold, what they
 * cost while nothing happens, and whether a further one, on which questions are asked and answered, notices them.
 */
#include "wsbench.h"

#include <math.h>
#include <stdlib.h>

/* Fewer say nothing about one: memory comes in pages. */
#define MEMORY_COUNT 100
#define SETTLE_S 2.5

struct scale {
	size_t count, trips;
	double settle_seconds, idle_seconds;
};

/* What both ends do alike; figures: memory, CPU while idle. Returns false when it does not fit. */
static bool stand(struct bench_many *many)
{
	struct bench_end *end = many->end;
	const struct scale *scale = end->parameters;
	double memory, cpu;

	bench_many_grow(many, 1);
	memory = bench_resident_bytes();
	if (!bench_many_grow(many, 1 + scale->count))
		return false;
	bench_sleep(scale->settle_seconds);
	if (scale->count >= MEMORY_COUNT)
		end->figures[0] = (bench_resident_bytes() - memory) / (double)scale->count;
	cpu = bench_cpu();
	bench_sleep(scale->idle_seconds);
	end->figures[1] = (bench_cpu() - cpu) / scale->idle_seconds * 1e3;
	return true;
}

/* On one core, as far as the program's own threads go: where the system puts them would be measured else. */
static void meet(void)
{
	if (bench_cores() > 0)
		bench_pin(0);
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	struct bench_many many = { .end = end, .port = port };
	const struct scale *scale = end->parameters;

	if (!stand(&many))
		return;
	meet();
	bench_round_trips_serve(&many.links[0], scale->trips);
	bench_many_close(&many);
}

static void run_client(struct bench_end *end, const char *address)
{
	struct bench_many many = { .end = end, .address = address };
	const struct scale *scale = end->parameters;
	double *times = bench_allocate(scale->trips, sizeof *times);

	if (stand(&many)) {
		meet();
		bench_round_trips_ask(&many.links[0], times, scale->trips);
		end->figures[2] = times[scale->trips / 2] * 1e6;
		end->figures[3] = (double)scale->count / many.open_seconds;
		bench_many_close(&many);
	}
	free(times);
}

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	size_t most = settings->quick ? 100 : settings->all ? 1000 : class->secure ? 2000 : 10000, count = 0;

	for (size_t streams = 1; streams < most * 10; streams *= 10) {
		char key[32], title[48];
		size_t number = streams < most ? streams : most;
		snprintf(key, sizeof key, "streams_%zu", number);
		snprintf(title, sizeof title, number == 1 ? "1 idle stream" : "%zu idle streams", number);
		bench_row_set(&rows[count++], 0, number, key, title);
	}
	return count;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct scale scale = {
		.count = row->number, .trips = settings->quick ? 200 : 2000,
		.settle_seconds = transport->settles ? settings->quick ? 0.2 : SETTLE_S : 0,
		.idle_seconds = settings->quick ? 0.2 : 1,
	};
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &scale, .listener = run_listener,
		.client = run_client, .seconds = (double)row->number / 5,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = figures.client[3];
	values[1] = figures.listener[0];
	values[2] = figures.client[0];
	values[3] = figures.listener[1] + figures.client[1];
	values[4] = figures.client[2];
}

const struct bench_group bench_scale = {
	.key = "scale", .option = "scale", .title = "Open streams, idle, and one that is not",
	.columns = { { "open_per_s", "opened/s", 0, true }, { "listener_bytes", "listener B", 0, true },
	    { "client_bytes", "client B", 0, true }, { "idle_cpu_ms_s", "idle ms/s", 2, false },
	    { "p50_us", "trip p50 us", 1, true } },
	.rows = rows, .measure = measure,
};
