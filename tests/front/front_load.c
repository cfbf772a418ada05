/* SPDX-License-Identifier: 0BSD */
/*
 * A client that keeps a number of streams busy until its standard input ends: SHORT threads do one job after the other,
 * LONG threads one that ends only then. A stream that the server closes before its job is done is no failure: the job
 * goes on from the last byte that came back, on a new stream. Nor is one that breaks before anything came back: the
 * server turned it away, and the test knows whether it may.
 *
 * Lines: "open JOB FROM SERVER", "done JOB FROM SENT ECHOED CODE SERVER ok" or, for ok, what went wrong; "failed JOB
 * FROM why" where a stream could not be opened; and each line of its standard input, in order with the others.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsfile.h>

#include "front.h"

#define CHUNK_BYTES 16384
/* Sent and not come back yet, at most. */
#define WINDOW_BYTES 65536
#define THREADS_MAX 256

static struct {
	const char *url, *ca_file;
	atomic_ullong jobs;
	atomic_bool finishing, failed;
} load;

/* One stream's share of a job. */
struct part {
	uint64_t job, from;
	uint64_t size;		/* where the job ends */
	uint64_t sent, echoed;
	bool endless;		/* until finishing */
	bool writing;
	const char *wrong;	/* NULL = nothing */
};

static bool has_more(const struct part *part)
{
	if (!part->writing || part->from + part->sent >= part->size)
		return false;
	return !part->endless || !atomic_load(&load.finishing);
}

static void write_chunk(FILE *stream, struct part *part)
{
	unsigned char bytes[CHUNK_BYTES];
	uint64_t left = part->size - part->from - part->sent;
	/* Of many sizes, odd ones too. */
	size_t count = 1 + (size_t)((part->job * 7919 + part->sent) % CHUNK_BYTES);
	ssize_t n;

	if (count > left)
		count = (size_t)left;
	front_fill(part->job, part->from + part->sent, bytes, count);
	n = ws_write_some(stream, bytes, count);
	if (n > 0)
		part->sent += (uint64_t)n;
	else
		part->writing = false;	/* why, the reader is told */
}

/* Returns whether the stream goes on. */
static bool read_chunk(FILE *stream, struct part *part)
{
	unsigned char bytes[CHUNK_BYTES];
	ssize_t n = ws_read_some(stream, bytes, sizeof bytes);

	if (n == -1)
		part->wrong = strerror(errno);
	if (n <= 0)
		return false;
	if (front_match(part->job, part->from + part->echoed, bytes, (size_t)n) != (size_t)n)
		part->wrong = "other bytes came back";
	part->echoed += (uint64_t)n;
	if (part->echoed > part->sent)
		part->wrong = "more came back than was sent";
	return part->wrong == NULL;
}

static FILE *open_part(const struct part *part)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char url[512];
	FILE *stream;

	options.ca_file = load.ca_file;
	options.proxy = "";
	options.connect_timeout_ms = options.handshake_timeout_ms = PATIENCE_MS;
	options.close_timeout_ms = options.linger_ms = PATIENCE_MS;
	snprintf(url, sizeof url, "%s?job=%" PRIu64 "&from=%" PRIu64, load.url, part->job, part->from);
	stream = ws_fopen_with(url, "r+", &options);
	if (stream == NULL)
		front_say("failed %" PRIu64 " %" PRIu64 " %s", part->job, part->from, ws_last_error()->text);
	return stream;
}

/* Returns false if it could not go on: no stream, or one that broke when something had come back already. */
static bool run_part(struct part *part)
{
	struct ws_status status = WS_STATUS_INIT;
	FILE *stream = open_part(part);
	const char *header;
	char server[64];
	bool on = true;

	if (stream == NULL)
		return false;
	header = ws_header(stream, "X-Served-By");
	snprintf(server, sizeof server, "%s", header != NULL ? header : "-");
	front_say("open %" PRIu64 " %" PRIu64 " %s", part->job, part->from, server);
	while (on) {
		bool more = has_more(part);	/* may change at any time */

		if (more && part->sent - part->echoed < WINDOW_BYTES)
			write_chunk(stream, part);
		else if (part->echoed < part->sent)
			on = read_chunk(stream, part);
		else
			on = more;
	}
	if (ws_status(stream, &status) == -1)
		part->wrong = "no status";
	if (fclose(stream) == EOF && part->wrong == NULL)
		part->wrong = strerror(errno);
	front_say("done %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %s %s", part->job, part->from, part->sent,
		  part->echoed, status.close_code_received, server, part->wrong != NULL ? part->wrong : "ok");
	return part->wrong == NULL || part->echoed == 0;
}

static void *work(void *argument)
{
	bool endless = argument != NULL;

	do {
		uint64_t job = atomic_fetch_add(&load.jobs, 1) + 1, from = 0;
		uint64_t size = endless ? UINT64_MAX : 20000 + job * 104729 % 300000;

		do {
			struct part part = { job, from, size, 0, 0, endless, true, NULL };

			if (!run_part(&part)) {
				atomic_store(&load.failed, true);
				return NULL;
			}
			from += part.echoed;
		} while (endless ? !atomic_load(&load.finishing) : from < size);
	} while (!atomic_load(&load.finishing));
	return NULL;
}

int front_load(int argc, char *argv[])
{
	pthread_t threads[THREADS_MAX];
	char line[256];
	long shorts, count;

	if (argc != 4)
		return 2;
	shorts = strtol(argv[2], NULL, 10);
	count = shorts + strtol(argv[3], NULL, 10);
	if (shorts < 0 || count < 1 || count > THREADS_MAX)
		return 2;
	load.url = argv[0];
	load.ca_file = argv[1];
	for (long i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, work, i < shorts ? NULL : &load) != 0)
			return 1;
	}
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		front_say("%s", line);
	}
	atomic_store(&load.finishing, true);
	for (long i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&load.failed) ? 1 : 0;
}
