/* SPDX-License-Identifier: 0BSD */
/* Both ends of the tests in tests/front, in one program. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "front.h"

/* splitmix64: eight bytes of a job. */
static uint64_t word_of(uint64_t job, uint64_t index)
{
	uint64_t x = (job << 40) + index + UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void front_fill(uint64_t job, uint64_t offset, unsigned char *bytes, size_t count)
{
	uint64_t word = word_of(job, offset / 8);

	for (size_t i = 0; i < count; i++) {
		uint64_t at = offset + i;

		if (at % 8 == 0)
			word = word_of(job, at / 8);
		bytes[i] = (unsigned char)(word >> (at % 8 * 8));
	}
}

size_t front_match(uint64_t job, uint64_t offset, const unsigned char *bytes, size_t count)
{
	unsigned char expected[4096];
	size_t done = 0;

	while (done < count) {
		size_t step = count - done < sizeof expected ? count - done : sizeof expected;

		front_fill(job, offset + done, expected, step);
		for (size_t i = 0; i < step; i++) {
			if (bytes[done + i] != expected[i])
				return done + i;
		}
		done += step;
	}
	return count;
}

void front_say(const char *format, ...)
{
	va_list arguments;

	flockfile(stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	funlockfile(stdout);
}

int main(int argc, char *argv[])
{
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return front_serve(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "load") == 0)
		return front_load(argc - 2, argv + 2);
	fprintf(stderr, "usage: front serve URL NAME [drain|finish|at-once]\n"
			"       front load URL CA-FILE SHORT LONG\n");
	return 2;
}
