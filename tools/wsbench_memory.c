/* SPDX-License-Identifier: 0BSD */
/*
 * What an idle connection holds after one echo of 64 bytes: from 10 connections on, so that what comes once is not
 * counted.
 */
#include "wsbench.h"

#define BASE 10
#define SETTLE_S 2.5

struct idling {
	size_t count;
	double settle_seconds;
};

static void hold(struct bench_many *many)
{
	struct bench_end *end = many->end;
	const struct idling *idling = end->parameters;
	double before;

	if (!bench_many_grow(many, BASE))
		return;
	bench_sleep(idling->settle_seconds);
	before = bench_resident_bytes();
	if (!bench_many_grow(many, BASE + idling->count))
		return;
	bench_sleep(idling->settle_seconds);
	end->figures[0] = (bench_resident_bytes() - before) / (double)idling->count;
	bench_many_close(many);
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	struct bench_many many = { .end = end, .port = port };

	hold(&many);
}

static void run_client(struct bench_end *end, const char *address)
{
	struct bench_many many = { .end = end, .address = address };

	hold(&many);
}

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	char title[48];

	(void)class;
	snprintf(title, sizeof title, "%d idle connections", settings->quick ? 100 : 1000);
	bench_row_set(&rows[0], 0, settings->quick ? 100 : 1000, "idle", title);
	return 1;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct idling idling = { row->number, transport->settles ? settings->quick ? 0.2 : SETTLE_S : 0 };
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &idling, .listener = run_listener,
		.client = run_client,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = figures.listener[0];
	values[1] = figures.client[0];
}

const struct bench_group bench_memory = {
	.key = "memory", .option = "memory", .title = "Resident memory of an idle connection, in bytes",
	.columns = { { "listener_bytes", "listener", 0, true }, { "client_bytes", "client", 0, false } },
	.rows = rows, .measure = measure,
};
