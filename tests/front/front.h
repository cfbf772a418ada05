/* SPDX-License-Identifier: 0BSD */
/*
 * The two ends of the tests with a proxy between them. A job is a run of bytes made from its number, so that both ends
 * know each of them by its offset; a stream carries a part of a job and names job and offset in its URL. Neither end
 * judges the other: each prints what it saw, a line a stream, and the test compares.
 */
#ifndef FRONT_H
#define FRONT_H

#include <stddef.h>
#include <stdint.h>

/* Of every wait that something has to end: longer on a loaded machine than any good run takes. */
#define PATIENCE_MS 90000

void front_fill(uint64_t job, uint64_t offset, unsigned char *bytes, size_t count);

/* How many of the bytes, from the first on, are those of the job. */
size_t front_match(uint64_t job, uint64_t offset, const unsigned char *bytes, size_t count);

/* A line on standard output, at once and whole, whichever thread says it. */
__attribute__((format(printf, 1, 2))) void front_say(const char *format, ...);

int front_serve(int argc, char *argv[]);
int front_load(int argc, char *argv[]);

#endif
