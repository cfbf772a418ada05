/* SPDX-License-Identifier: 0BSD */
/* Connections per second: open and close, with nothing between; one after another, or by several threads. */
#include "wsbench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MAX_THREADS 4
/* All together: a closed connection keeps its port for a while, and there are some 28,000. */
#define MAX_CONNECTIONS 20000u

struct opening {
	unsigned threads;
	double seconds;
};

struct crew {
	struct bench_end *end;
	struct bench_port *port;
	const char *address;
	double until;
	atomic_uint count;
};

static void *serve(void *argument)
{
	struct crew *crew = argument;
	struct bench_link link;
	char byte;

	for (;;) {
		crew->end->transport->accept(crew->port, &link, SHAPE_DEFAULT);
		if (crew->end->transport->get(&link, &byte, 1) != 0)
			bench_die("reading: something was sent");
		crew->end->transport->close(&link);
	}
	return NULL;
}

static void *ask(void *argument)
{
	const struct transport *transport = ((struct crew *)argument)->end->transport;
	struct crew *crew = argument;
	struct bench_link link;

	do {
		transport->connect(crew->address, &link, SHAPE_DEFAULT);
		transport->close(&link);
	} while (atomic_fetch_add(&crew->count, 1) < MAX_CONNECTIONS && bench_now() < crew->until);
	return NULL;
}

static void run_crew(struct crew *crew, void *(*work)(void *))
{
	const struct opening *opening = crew->end->parameters;
	pthread_t threads[MAX_THREADS];

	for (unsigned i = 0; i < opening->threads; i++)
		if (pthread_create(&threads[i], NULL, work, crew) != 0)
			bench_die("no thread");
	for (unsigned i = 0; i < opening->threads; i++)
		pthread_join(threads[i], NULL);
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	struct crew crew = { .end = end, .port = port };

	run_crew(&crew, serve);
}

static void run_client(struct bench_end *end, const char *address)
{
	const struct opening *opening = end->parameters;
	struct crew crew = { .end = end, .address = address };
	double begin = bench_now();

	crew.until = begin + opening->seconds;
	run_crew(&crew, ask);
	end->figures[0] = atomic_load(&crew.count) / (bench_now() - begin);
}

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	(void)settings;
	(void)class;
	bench_row_set(&rows[0], 1, 0, "one_by_one", "one after another");
	bench_row_set(&rows[1], MAX_THREADS, 0, "threads_4", "4 threads at each end");
	return 2;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct opening opening = { row->variant, settings->quick ? 0.1 : 0.5 };
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &opening, .listener = run_listener,
		.client = run_client, .endless = true,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = figures.client[0];
}

const struct bench_group bench_connections = {
	.key = "connections", .option = "connections", .title = "Connections: open and close (TLS: resumed)",
	.columns = { { "per_s", "per second", 0, true } }, .rows = rows, .measure = measure,
};
