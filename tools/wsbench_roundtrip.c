/* SPDX-License-Identifier: 0BSD */
/* Question and answer of 64 bytes, one after the other: where both ends run matters more than anything else. */
#include "wsbench.h"

#include <stdlib.h>

#define WARM_UP 100

enum place { UNPINNED, ONE_CORE, TWO_CORES };

struct trips {
	enum place place;
	size_t count;
};

/* --- the two ends --- */

/* Before the library starts a thread, which is pinned with this one. */
static void begin(struct bench_end *end, bool listener)
{
	const struct trips *trips = end->parameters;

	if (trips->place != UNPINNED)
		bench_pin(trips->place == TWO_CORES && !listener);
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	const struct trips *trips = end->parameters;
	struct bench_link link;

	end->transport->accept(port, &link, SHAPE_DEFAULT);
	bench_round_trips_serve(&link, WARM_UP + trips->count);
	end->transport->close(&link);
}

static void run_client(struct bench_end *end, const char *address)
{
	const struct trips *trips = end->parameters;
	double *times = bench_allocate(WARM_UP + trips->count, sizeof *times), start;
	struct bench_link link;

	end->transport->connect(address, &link, SHAPE_DEFAULT);
	bench_round_trips_ask(&link, times, WARM_UP);
	start = bench_now();
	bench_round_trips_ask(&link, times, trips->count);
	end->figures[2] = (double)trips->count / (bench_now() - start);
	end->figures[0] = times[trips->count / 2] * 1e6;
	end->figures[1] = times[trips->count * 99 / 100] * 1e6;
	end->transport->close(&link);
	free(times);
}

/* --- the group --- */

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	unsigned cores = bench_cores();

	(void)settings;
	(void)class;
	if (cores == 0)
		bench_row_set(&rows[0], UNPINNED, 0, "unpinned", "where the system likes");
	else
		bench_row_set(&rows[0], ONE_CORE, 0, "one_core", "both ends on one core");
	if (cores > 1)
		bench_row_set(&rows[1], TWO_CORES, 0, "two_cores", "each end on its own core");
	return cores > 1 ? 2 : 1;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct trips trips = { (enum place)row->variant, settings->quick ? 1000 : 10000 };
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &trips, .begin = begin,
		.listener = run_listener, .client = run_client,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	for (size_t i = 0; i < 3; i++)
		values[i] = figures.client[i];
}

const struct bench_group bench_round_trips = {
	.key = "round_trips", .option = "round-trips", .title = "Round trips of 64 bytes",
	.columns = { { "p50_us", "p50 us", 1, true }, { "p99_us", "p99 us", 1, false },
	    { "per_s", "per second", 0, false } },
	.rows = rows, .measure = measure,
};
