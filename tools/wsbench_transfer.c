/* SPDX-License-Identifier: 0BSD */
/*
 * Many streams that all move data at the same time, checksummed at both ends. A few threads at each end serve the
 * streams in turn, a piece of each, and thread n at one end has the same streams as thread n at the other, in the same
 * order. So whatever a receiver waits for is what its sender sends next, and neither waits for ever. A sender goes on
 * to the next piece when the receiver has this one of every stream, which bounds what is on its way.
 */
#include "wsbench.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define PIECE 32768

enum direction { C2S, S2C };

struct transfer {
	enum direction direction;
	size_t streams;
	uint64_t pieces;		/* of each stream */
};

struct worker {
	struct bench_many *many;
	const struct transfer *transfer;
	size_t number;
	uint64_t *sums;			/* of all streams; each has one worker */
	uint64_t words[PIECE / sizeof(uint64_t)];
};

/* --- data and their sum --- */

/* No two pieces are alike, so one in another's place is seen. */
static void fill(struct worker *worker, size_t stream, uint64_t piece)
{
	uint64_t x = ((uint64_t)stream << 32 | piece) * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < PIECE / sizeof x; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		worker->words[i] = x;
	}
}

/* FNV-1a, a word at a time, and turned so that high bits reach low ones. */
static void add(struct worker *worker, size_t stream)
{
	uint64_t sum = worker->sums[stream];

	for (size_t i = 0; i < PIECE / sizeof sum; i++) {
		sum = (sum ^ worker->words[i]) * UINT64_C(0x100000001b3);
		sum = sum << 29 | sum >> 35;
	}
	worker->sums[stream] = sum;
}

static void compare(const struct worker *worker, size_t stream, uint64_t theirs)
{
	if (worker->sums[stream] != theirs)
		bench_die("stream %zu: the checksums of both ends differ", stream);
}

/* --- the workers --- */

static void send_streams(struct worker *worker)
{
	struct bench_link *links = worker->many->links;
	size_t count = worker->transfer->streams;
	uint64_t theirs;

	for (uint64_t piece = 0; piece < worker->transfer->pieces; piece++) {
		for (size_t i = worker->number; i < count; i += THREADS) {
			fill(worker, i, piece);
			add(worker, i);
			bench_put(&links[i], worker->words, PIECE);
		}
		bench_get_mark(&links[worker->number]);
	}
	for (size_t i = worker->number; i < count; i += THREADS)
		bench_put(&links[i], &worker->sums[i], sizeof *worker->sums);
	for (size_t i = worker->number; i < count; i += THREADS) {
		bench_get(&links[i], &theirs, sizeof theirs);
		compare(worker, i, theirs);
	}
}

static void receive_streams(struct worker *worker)
{
	struct bench_link *links = worker->many->links;
	size_t count = worker->transfer->streams;
	uint64_t theirs;

	for (uint64_t piece = 0; piece < worker->transfer->pieces; piece++) {
		for (size_t i = worker->number; i < count; i += THREADS) {
			bench_get(&links[i], worker->words, PIECE);
			add(worker, i);
		}
		bench_put_mark(&links[worker->number]);
	}
	for (size_t i = worker->number; i < count; i += THREADS) {
		bench_get(&links[i], &theirs, sizeof theirs);
		compare(worker, i, theirs);
		bench_put(&links[i], &worker->sums[i], sizeof *worker->sums);
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	bool client = worker->many->port == NULL;

	if (worker->number >= worker->transfer->streams)
		return NULL;
	if (client == (worker->transfer->direction == C2S))
		send_streams(worker);
	else
		receive_streams(worker);
	return NULL;
}

/* Figures: memory, CPU, time. */
static void move(struct bench_many *many)
{
	struct bench_end *end = many->end;
	const struct transfer *transfer = end->parameters;
	double memory = bench_resident_bytes(), cpu, begin;
	struct worker *workers = bench_allocate(THREADS, sizeof *workers);
	uint64_t *sums = bench_allocate(transfer->streams, sizeof *sums);
	pthread_t threads[THREADS];

	if (bench_many_grow(many, transfer->streams)) {
		begin = bench_now();
		cpu = bench_cpu();
		for (size_t i = 0; i < THREADS; i++) {
			workers[i] = (struct worker){ .many = many, .transfer = transfer, .number = i, .sums = sums };
			if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
				bench_die("no thread");
		}
		for (size_t i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		end->figures[2] = bench_now() - begin;
		end->figures[1] = bench_cpu() - cpu;
		end->figures[0] = (bench_peak_bytes() - memory) / (double)transfer->streams;
		bench_many_close(many);
	}
	free(workers);
	free(sums);
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	struct bench_many many = { .end = end, .port = port };

	move(&many);
}

static void run_client(struct bench_end *end, const char *address)
{
	struct bench_many many = { .end = end, .address = address };

	move(&many);
}

/* --- the group --- */

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	size_t streams = settings->stream_count > 0 ? settings->stream_count :
	    settings->quick ? 50 : class->secure ? 200 : 1000;
	char title[48];

	snprintf(title, sizeof title, "client to listener, %zu", streams);
	bench_row_set(&rows[0], C2S, streams, "c2s", title);
	snprintf(title, sizeof title, "listener to client, %zu", streams);
	bench_row_set(&rows[1], S2C, streams, "s2c", title);
	return 2;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct transfer transfer = {
		(enum direction)row->variant, row->number, (settings->stream_mib << 20) / PIECE,
	};
	double bytes = (double)transfer.streams * (double)transfer.pieces * PIECE;
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &transfer, .listener = run_listener,
		.client = run_client, .seconds = bytes / 1e7 + (double)transfer.streams / 5,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = bytes / 1e6 / figures.client[2];
	values[1] = (figures.listener[1] + figures.client[1]) / (bytes / (1 << 30));
	values[2] = figures.listener[0];
	values[3] = figures.client[0];
}

const struct bench_group bench_transfer = {
	.key = "transfer", .option = "streams", .title = "Streams that all move data at once, checksummed at both ends",
	.columns = { { "mb_s", "MB/s", 0, true }, { "cpu_s_gib", "CPU s/GiB", 2, false },
	    { "listener_peak_bytes", "lst. peak B", 0, true }, { "client_peak_bytes", "clt. peak B", 0, true } },
	.rows = rows, .measure = measure,
};
