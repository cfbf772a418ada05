/* SPDX-License-Identifier: 0BSD */
#include "wspipe.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

static atomic_uint_fast64_t sent, received;

static struct {
	pthread_mutex_t lock;
	bool running;			/* changed while no other thread prints */
	int stop[2];
	pthread_t thread;
	struct timespec begin;
} progress = { .lock = PTHREAD_MUTEX_INITIALIZER, .stop = { -1, -1 } };

void wspipe_count_sent(size_t size)
{
	atomic_fetch_add_explicit(&sent, size, memory_order_relaxed);
}

void wspipe_count_received(size_t size)
{
	atomic_fetch_add_explicit(&received, size, memory_order_relaxed);
}

/* C0 controls, DEL and the C1 controls in their UTF-8 form: what a terminal might obey. */
static void make_harmless(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

void wspipe_say(const char *prefix, const char *text)
{
	char line[2 * WSPIPE_LINE + 256];

	snprintf(line, sizeof line, "wspipe: %s%s%s", prefix, *prefix != '\0' ? ": " : "", text);
	make_harmless(line);
	pthread_mutex_lock(&progress.lock);
	fprintf(stderr, "%s%s\n", progress.running ? CLEAR_LINE : "", line);
	pthread_mutex_unlock(&progress.lock);
}

static void format_bytes(char *text, size_t size, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, size, "%.*f %s", unit == 0 ? 0 : 1, bytes, units[unit]);
}

static void print_status(const char *begin, const char *end)
{
	struct timespec now;
	char out[32], in[32], rate[32];
	uint64_t up = atomic_load_explicit(&sent, memory_order_relaxed);
	uint64_t down = atomic_load_explicit(&received, memory_order_relaxed);

	clock_gettime(CLOCK_MONOTONIC, &now);
	double seconds = (double)(now.tv_sec - progress.begin.tv_sec) +
	    (double)(now.tv_nsec - progress.begin.tv_nsec) / 1e9;
	unsigned long whole = (unsigned long)seconds;
	format_bytes(out, sizeof out, (double)up);
	format_bytes(in, sizeof in, (double)down);
	format_bytes(rate, sizeof rate, seconds > 0 ? (double)(up + down) / seconds : 0);
	fprintf(stderr, "%ssent %s, received %s, %s/s, %lu:%02lu:%02lu%s", begin, out, in, rate, whole / 3600,
	    whole / 60 % 60, whole % 60, end);
}

static void *show_progress(void *unused)
{
	struct pollfd stop = { .fd = progress.stop[0], .events = POLLIN };

	(void)unused;
	while (poll(&stop, 1, 500) == 0) {
		pthread_mutex_lock(&progress.lock);
		print_status("\r", "\033[K");
		pthread_mutex_unlock(&progress.lock);
	}
	return NULL;
}

void wspipe_progress_start(void)
{
	if (progress.running || !isatty(STDERR_FILENO) || pipe2(progress.stop, O_CLOEXEC) != 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &progress.begin);
	progress.running = pthread_create(&progress.thread, NULL, show_progress, NULL) == 0;
}

void wspipe_progress_stop(void)
{
	if (!progress.running)
		return;
	close(progress.stop[1]);
	pthread_join(progress.thread, NULL);
	close(progress.stop[0]);
	pthread_mutex_lock(&progress.lock);
	print_status(CLEAR_LINE, "\n");
	progress.running = false;
	pthread_mutex_unlock(&progress.lock);
}
