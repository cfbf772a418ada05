/* SPDX-License-Identifier: 0BSD */
#include "wsbench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

const char *bench_who = "";
char bench_sent[MAX_MESSAGE];

_Noreturn void bench_die(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "wsbench: %s%s\n", bench_who, text);
	bench_certificate_remove();
	_exit(1);
}

void *bench_allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		bench_die("%s", strerror(errno));
	return memory;
}

/* --- time --- */

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

void bench_sleep(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9) };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (isnan(values[i]))
			return NAN;
	qsort(values, count, sizeof *values, compare);
	return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* --- memory --- */

/* Linux counts pages for each processor and adds up later in statm; this file is exact. */
double bench_resident_bytes(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	double kib = NAN;

	if (!file)
		return NAN;
	while (isnan(kib) && fgets(line, sizeof line, file))
		if (strncmp(line, "Rss:", 4) == 0)
			kib = strtod(line + 4, NULL);
	fclose(file);
	return kib * 1024;
}

double bench_peak_bytes(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
#ifdef __APPLE__
	return (double)use.ru_maxrss;
#else
	return (double)use.ru_maxrss * 1024;
#endif
}

/* --- processors --- */

#ifdef __linux__
unsigned bench_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 0;
}

void bench_pin(unsigned core)
{
	cpu_set_t set, one;
	size_t cpu = 0;

	if (sched_getaffinity(0, sizeof set, &set) != 0)
		bench_die("sched_getaffinity: %s", strerror(errno));
	while (!CPU_ISSET(cpu, &set) || core-- > 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one) != 0)
		bench_die("sched_setaffinity: %s", strerror(errno));
}
#else
unsigned bench_cores(void)
{
	return 0;
}

void bench_pin(unsigned core)
{
	(void)core;
}
#endif

/* --- descriptors --- */

void bench_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		/* Where the hard limit is none, the system may have one all the same. */
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
			limit.rlim_cur = 10240;
			setrlimit(RLIMIT_NOFILE, &limit);
		}
	}
}

double bench_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	return limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur;
}

unsigned bench_open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}
