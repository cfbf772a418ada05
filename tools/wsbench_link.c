/* SPDX-License-Identifier: 0BSD */
#include "wsbench.h"

#define ROUND_TRIP_BYTES 64

void bench_put(struct bench_link *link, const void *data, size_t size)
{
	link->transport->put(link, data, size);
	link->transport->flush(link);
}

void bench_get(struct bench_link *link, void *data, size_t size)
{
	if (link->transport->get(link, data, size) != size)
		bench_die("reading: the end came too early");
}

void bench_put_mark(struct bench_link *link)
{
	bench_put(link, "A", 1);
}

void bench_get_mark(struct bench_link *link)
{
	char mark;

	bench_get(link, &mark, 1);
	if (mark != 'A')
		bench_die("reading: something else was sent");
}

void bench_round_trips_ask(struct bench_link *link, double *times, size_t count)
{
	char answer[ROUND_TRIP_BYTES];

	for (size_t i = 0; i < count; i++) {
		double begin = bench_now();
		bench_put(link, bench_sent, sizeof answer);
		bench_get(link, answer, sizeof answer);
		times[i] = bench_now() - begin;
	}
	bench_median(times, count);
}

void bench_round_trips_serve(struct bench_link *link, size_t count)
{
	char question[ROUND_TRIP_BYTES];

	for (size_t i = 0; i < count; i++) {
		bench_get(link, question, sizeof question);
		bench_put(link, question, sizeof question);
	}
}
