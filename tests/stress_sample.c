/* SPDX-License-Identifier: 0BSD */
/*
 * What both processes hold, once a minute, while no session runs: so the figures can be compared to the last one.
 * Descriptors and threads have to be equal. Memory in use may differ by what the library keeps on purpose, as TLS
 * sessions, and what is resident by how malloc's arenas and the cached stacks of ended threads are filled.
 */
#include <dirent.h>
#include <malloc.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define QUIET_MS 120000
#define HEAP_TOLERANCE_KIB 64
#define RESIDENT_TOLERANCE_KIB 2048

static struct sample first[SIDES];
static unsigned samples;

unsigned count_entries(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned count = 0;

	while (dir != NULL && readdir(dir) != NULL)
		count++;
	if (dir != NULL)
		closedir(dir);
	/* Without "." and "..", and what was open to count them. */
	return count - 2 - (strcmp(directory, "/proc/self/fd") == 0);
}

static unsigned anonymous_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned kib = 0;
	char line[256];

	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "RssAnon: %u kB", &kib) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return kib;
}

void sample_self(struct sample *sample)
{
	struct mallinfo2 info;

	malloc_trim(0);
	info = mallinfo2();
	sample->descriptors = count_entries("/proc/self/fd");
	sample->threads = count_entries("/proc/self/task");
	sample->heap_kib = (unsigned)((info.uordblks + info.hblkhd) / 1024);
	sample->resident_kib = anonymous_kib();
}

/* In the server's process. */
void answer_sample(void)
{
	if (atomic_load(&shared->sample_asked) == atomic_load(&shared->sample_answered))
		return;
	sample_self(&shared->sample[SERVER]);
	atomic_store(&shared->sample_answered, atomic_load(&shared->sample_asked));
}

static void rest(long ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static bool is_quiet(void)
{
	for (unsigned i = 0; i < settings.streams; i++)
		if (!atomic_load(&shared->idle[i]))
			return false;
	return atomic_load(&shared->serving) == 0 && atomic_load(&shared->holding);
}

static void become_quiet(void)
{
	atomic_store(&shared->paused, true);
	for (int i = 0; i < QUIET_MS / 10 && !is_quiet(); i++)
		rest(10);
	if (!is_quiet())
		violation(NULL, 0, "sessions do not end: %u are served", atomic_load(&shared->serving));
	/* Threads that nobody joins, as those of ws_socket, may still be on their way out. */
	rest(2000);
}

static void print_sample(unsigned minute)
{
	if (samples == 0)
		printf("        |        client                    |        server\n"
		    " minute |   fds threads  heap KiB  RSS KiB |   fds threads  heap KiB  RSS KiB |"
		    "   clean  errors      MiB\n");
	printf("%7u", minute);
	for (int i = 0; i < SIDES; i++)
		printf(" | %5u %7u %9u %8u", shared->sample[i].descriptors, shared->sample[i].threads,
		    shared->sample[i].heap_kib, shared->sample[i].resident_kib);
	printf(" | %7llu %7llu %8llu\n", atomic_load(&shared->clean), atomic_load(&shared->disturbed),
	    atomic_load(&shared->bytes) >> 20);
	fflush(stdout);
}

void take_sample(unsigned minute)
{
	become_quiet();
	sample_self(&shared->sample[CLIENT]);
	atomic_fetch_add(&shared->sample_asked, 1);
	for (int i = 0; i < QUIET_MS / 10; i++) {
		if (atomic_load(&shared->sample_asked) == atomic_load(&shared->sample_answered))
			break;
		rest(10);
	}
	print_sample(minute);
	if (samples++ == 0)
		memcpy(first, shared->sample, sizeof first);
	atomic_store(&shared->paused, false);
}

static bool grown(unsigned before, unsigned now, unsigned tolerance)
{
	return now > before + tolerance;
}

bool samples_are_flat(void)
{
	static const char *const names[] = { "client", "server" };
	bool flat = samples > 1;

	for (int i = 0; i < SIDES; i++) {
		const struct sample *now = &shared->sample[i];

		if (now->descriptors != first[i].descriptors || now->threads != first[i].threads ||
		    grown(first[i].heap_kib, now->heap_kib, HEAP_TOLERANCE_KIB) ||
		    grown(first[i].resident_kib, now->resident_kib, RESIDENT_TOLERANCE_KIB)) {
			printf("%s: NOT FLAT\n", names[i]);
			flat = false;
		}
	}
	printf("last sample against the first: descriptors and threads equal, heap within %u KiB, "
	    "resident within %u KiB: %s\n", HEAP_TOLERANCE_KIB, RESIDENT_TOLERANCE_KIB, flat ? "yes" : "NO");
	return flat;
}
