/* SPDX-License-Identifier: 0BSD */
/*
 * Many streams between the two processes. The listener may get them in another order than they were opened in, so each
 * tells its index first. The client says all of these before it waits for an answer, and the listener answers one after
 * the other: so neither waits for the other in another order.
 */
#include "wsbench.h"

#include <stdlib.h>
#include <string.h>

#define GREETING_BYTES 64
/* Opened behind the first and before the rest, to see how many descriptors one takes. */
#define TRIAL 8
#define SPARE_DESCRIPTORS 32

/* --- the client --- */

static bool fits(const struct bench_many *many, unsigned open_before, size_t count)
{
	unsigned open = bench_open_descriptors();
	double each = (double)(open - open_before) / TRIAL;
	double needed = open + each * (double)(count - many->count) + SPARE_DESCRIPTORS;

	if (needed <= bench_descriptors())
		return true;
	fprintf(stderr, "wsbench: skipped: %zu streams with %s need %.0f descriptors and RLIMIT_NOFILE is %.0f\n",
	    count, many->end->transport->title, needed, bench_descriptors());
	return false;
}

static void connect_until(struct bench_many *many, size_t count)
{
	for (; many->count < count; many->count++)
		many->end->transport->connect(many->address, &many->links[many->count], SHAPE_DEFAULT);
}

static void greet(struct bench_many *many, size_t first)
{
	char greeting[GREETING_BYTES] = "", answer[GREETING_BYTES];

	for (size_t i = first; i < many->count; i++) {
		memcpy(greeting, &i, sizeof i);
		bench_put(&many->links[i], greeting, sizeof greeting);
	}
	for (size_t i = first; i < many->count; i++) {
		memcpy(greeting, &i, sizeof i);
		bench_get(&many->links[i], answer, sizeof answer);
		if (memcmp(answer, greeting, sizeof answer) != 0)
			bench_die("stream %zu has the answer of another one", i);
	}
}

static bool grow_client(struct bench_many *many, size_t count)
{
	size_t first = many->count;
	double begin = bench_now();
	bool good = true;

	connect_until(many, first + 1);
	if (count - first > TRIAL) {
		unsigned open = bench_open_descriptors();
		connect_until(many, first + 1 + TRIAL);
		good = fits(many, open, count);
		bench_tell(many->end, good ? 'y' : 'n');
	}
	if (!good)
		return false;
	connect_until(many, count);
	bench_await(many->end, 'a');
	many->open_seconds = bench_now() - begin;
	greet(many, first);
	return true;
}

/* --- the listener --- */

static void accept_until(struct bench_many *many, size_t count)
{
	for (; many->count < count; many->count++)
		many->end->transport->accept(many->port, &many->links[many->count], SHAPE_DEFAULT);
}

static void answer(struct bench_many *many, size_t first)
{
	struct bench_link *fresh = bench_allocate(many->count - first, sizeof *fresh);

	memcpy(fresh, &many->links[first], (many->count - first) * sizeof *fresh);
	memset(&many->links[first], 0, (many->count - first) * sizeof *fresh);
	for (size_t i = 0; i < many->count - first; i++) {
		char greeting[GREETING_BYTES];
		size_t index;
		bench_get(&fresh[i], greeting, sizeof greeting);
		memcpy(&index, greeting, sizeof index);
		if (index < first || index >= many->count || many->links[index].transport)
			bench_die("a stream says that it is number %zu", index);
		many->links[index] = fresh[i];
		bench_put(&fresh[i], greeting, sizeof greeting);
	}
	free(fresh);
}

static bool grow_listener(struct bench_many *many, size_t count)
{
	size_t first = many->count;

	if (count - first > TRIAL) {
		accept_until(many, first + 1 + TRIAL);
		if (bench_hear(many->end) != 'y')
			return false;
	}
	accept_until(many, count);
	bench_tell(many->end, 'a');
	answer(many, first);
	return true;
}

/* --- both --- */

bool bench_many_grow(struct bench_many *many, size_t count)
{
	struct bench_link *links = realloc(many->links, count * sizeof *links);

	if (!links)
		bench_die("no memory for %zu streams", count);
	many->links = links;
	return (many->port ? grow_listener : grow_client)(many, count);
}

/* In the same order at both ends: a close waits for the other end's. */
void bench_many_close(struct bench_many *many)
{
	for (size_t i = 0; i < many->count; i++)
		many->end->transport->close(&many->links[i]);
	free(many->links);
	many->links = NULL;
	many->count = 0;
}
