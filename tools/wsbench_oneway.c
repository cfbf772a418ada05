/* SPDX-License-Identifier: 0BSD */
/*
 * Bytes on one connection: in bulk, in messages of many sizes, in small ones. The client keeps the time, from its first
 * byte, which the listener waits for, to the last one it gets: where it only sends, an answer of one byte.
 */
#include "wsbench.h"

#define SMALL_BYTES 64

enum direction { C2S, S2C, BOTH };

struct oneway {
	enum direction direction;
	bool flush;			/* after each write; and the reader takes message by message */
	size_t size;			/* of a write */
	uint64_t count;
};

struct outcome {
	double seconds, cpu_seconds;	/* of both ends */
};

/* --- the two ends --- */

static void send_all(const struct oneway *job, struct bench_link *link)
{
	const struct transport *transport = link->transport;

	for (uint64_t left = job->count; left > 0; left--) {
		transport->put(link, bench_sent, job->size);
		if (job->flush)
			transport->flush(link);
	}
	transport->flush(link);
}

static void receive_all(const struct oneway *job, struct bench_link *link)
{
	static char block[BLOCK];
	size_t step = job->flush && job->size < BLOCK ? job->size : BLOCK;

	for (uint64_t left = job->count * job->size; left > 0; left -= step) {
		if (left < step)
			step = (size_t)left;
		bench_get(link, block, step);
	}
}

static void echo_all(const struct oneway *job, struct bench_link *link)
{
	static char block[BLOCK];

	for (uint64_t left = job->count * job->size; left > 0; left -= BLOCK) {
		bench_get(link, block, BLOCK);
		link->transport->put(link, block, BLOCK);
	}
	link->transport->flush(link);
}

static void serve(const struct oneway *job, struct bench_link *link)
{
	switch (job->direction) {
	case C2S:
		receive_all(job, link);
		bench_put_mark(link);
		break;
	case S2C:
		bench_get_mark(link);
		send_all(job, link);
		bench_get_mark(link);
		break;
	default:
		echo_all(job, link);
	}
}

static double ask(const struct oneway *job, struct bench_link *link)
{
	double begin = bench_now(), seconds;

	switch (job->direction) {
	case C2S:
		send_all(job, link);
		bench_get_mark(link);
		return bench_now() - begin;
	case S2C:
		bench_put_mark(link);
		receive_all(job, link);
		seconds = bench_now() - begin;
		bench_put_mark(link);
		return seconds;
	default:
		link->transport->exchange(link, job->count * job->size);
		return bench_now() - begin;
	}
}

static enum shape shape_of(const struct oneway *job)
{
	return job->direction == BOTH ? SHAPE_PAIR : SHAPE_BULK;
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	const struct oneway *job = end->parameters;
	struct bench_link link;
	double cpu;

	end->transport->accept(port, &link, shape_of(job));
	cpu = bench_cpu();
	serve(job, &link);
	end->figures[0] = bench_cpu() - cpu;
	end->transport->close(&link);
}

static void run_client(struct bench_end *end, const char *address)
{
	const struct oneway *job = end->parameters;
	struct bench_link link;
	double cpu;

	end->transport->connect(address, &link, shape_of(job));
	cpu = bench_cpu();
	end->figures[1] = ask(job, &link);
	end->figures[0] = bench_cpu() - cpu;
	end->transport->close(&link);
}

static struct outcome run(const struct transport *transport, const struct bench_row *row, const struct oneway *oneway)
{
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = oneway, .listener = run_listener,
		.client = run_client, .seconds = (double)(oneway->count * oneway->size) / 1e7,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	return (struct outcome){ figures.client[1], figures.listener[0] + figures.client[0] };
}

/* --- in bulk --- */

static size_t bulk_rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	(void)settings;
	(void)class;
	bench_row_set(&rows[0], C2S, BLOCK, "c2s_64k", "client to listener, 64 KiB");
	bench_row_set(&rows[1], S2C, BLOCK, "s2c_64k", "listener to client, 64 KiB");
	bench_row_set(&rows[2], C2S, 1024, "c2s_1k", "client to listener, 1 KiB");
	bench_row_set(&rows[3], S2C, 1024, "s2c_1k", "listener to client, 1 KiB");
	bench_row_set(&rows[4], BOTH, BLOCK, "echo_64k", "echo, both ways at once");
	return 5;
}

static void measure_bulk(const struct settings *settings, const struct transport *transport,
    const struct bench_row *row, double values[])
{
	uint64_t bytes = settings->mib << (row->number < BLOCK ? 18 : 20);
	struct oneway job = { (enum direction)row->variant, false, row->number, bytes / row->number };
	struct outcome outcome = run(transport, row, &job);

	values[0] = (double)bytes / 1e6 / outcome.seconds;
	values[1] = outcome.cpu_seconds / ((double)bytes / (1 << 30));
}

const struct bench_group bench_bulk = {
	.key = "bulk", .option = "bulk", .title = "In bulk, by the size of a write (not flushed)",
	.columns = { { "mb_s", "MB/s", 0, true }, { "cpu_s_gib", "CPU s/GiB", 2, false } },
	.rows = bulk_rows, .measure = measure_bulk,
};

/* --- messages of all sizes --- */

static size_t sweep_rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	static const char *const sizes[] = {
		"64 B", "256 B", "1 KiB", "4 KiB", "16 KiB", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "16 MiB",
	};
	size_t count = 0;

	(void)settings;
	(void)class;
	for (unsigned direction = C2S; direction <= S2C; direction++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			size_t bytes = (size_t)SMALL_BYTES << (2 * i);
			char key[32], title[48];
			snprintf(key, sizeof key, "%s_%zu", direction == C2S ? "c2s" : "s2c", bytes);
			snprintf(title, sizeof title, "%s, %s",
			    direction == C2S ? "client to listener" : "listener to client", sizes[i]);
			bench_row_set(&rows[count++], direction, bytes, key, title);
		}
	return count;
}

/* As many as take about so long on a machine of these days. */
static uint64_t count_for(double seconds, size_t size)
{
	double count = seconds / (4e-6 + (double)size / 1.5e9);

	return count < 4 ? 4 : (uint64_t)count;
}

static void measure_sweep(const struct settings *settings, const struct transport *transport,
    const struct bench_row *row, double values[])
{
	uint64_t count = count_for(settings->quick ? 0.01 : 0.15, row->number);
	struct oneway job = { (enum direction)row->variant, true, row->number, count };
	struct outcome outcome = run(transport, row, &job);

	values[0] = (double)(count * row->number) / 1e6 / outcome.seconds;
	values[1] = outcome.cpu_seconds / (double)count * 1e6;
}

const struct bench_group bench_sweep = {
	.key = "sweep", .option = "sweep", .title = "Messages, each written and flushed, by size",
	.columns = { { "mb_s", "MB/s", 1, true }, { "cpu_us", "CPU us each", 2, false } },
	.rows = sweep_rows, .measure = measure_sweep,
};

/* --- small messages --- */

static size_t message_rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	(void)settings;
	(void)class;
	bench_row_set(&rows[0], C2S, SMALL_BYTES, "c2s", "client to listener");
	bench_row_set(&rows[1], S2C, SMALL_BYTES, "s2c", "listener to client");
	return 2;
}

static void measure_messages(const struct settings *settings, const struct transport *transport,
    const struct bench_row *row, double values[])
{
	struct oneway job = { (enum direction)row->variant, true, row->number, settings->quick ? 10000 : 200000 };
	struct outcome outcome = run(transport, row, &job);

	values[0] = (double)job.count / outcome.seconds;
	values[1] = outcome.cpu_seconds / (double)job.count * 1e6;
}

const struct bench_group bench_messages = {
	.key = "messages", .option = "messages", .title = "Small messages: 64 bytes one way, each flushed",
	.columns = { { "per_s", "per second", 0, true }, { "cpu_us", "CPU us each", 2, false } },
	.rows = message_rows, .measure = measure_messages,
};
