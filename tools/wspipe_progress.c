/* SPDX-License-Identifier: 0BSD */
/* --progress: what pv(1) shows, for both directions, twice a second; or with --json an event each second. */
#include "wspipe_print.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 500
#define JSON_INTERVAL_MS 1000

/* The rate shown is that of so many intervals. */
#define SAMPLES 4

#define LEAST_BAR 10

static atomic_uint_fast64_t sent, received;

struct sample {
	double seconds;
	uint64_t bytes;
};

static struct {
	bool running;			/* main thread's */
	int stop[2];
	pthread_t thread;
	struct timespec begin;
	uint64_t size;			/* 0 = not known */
	bool size_is_sent;		/* it is that of standard input */
	struct sample samples[SAMPLES];	/* the thread's; [0] is the oldest */
} progress = { .stop = { -1, -1 } };

/* What is to be told at one moment. The rates are those of the direction that has carried more. */
struct view {
	uint64_t sent, received, done;
	double seconds, rate, average;
};

void wspipe_count_sent(size_t size)
{
	atomic_fetch_add_explicit(&sent, size, memory_order_relaxed);
}

void wspipe_count_received(size_t size)
{
	atomic_fetch_add_explicit(&received, size, memory_order_relaxed);
}

uint64_t wspipe_sent(void)
{
	return atomic_load_explicit(&sent, memory_order_relaxed);
}

uint64_t wspipe_received(void)
{
	return atomic_load_explicit(&received, memory_order_relaxed);
}

static void look(struct view *view)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	*view = (struct view){ .sent = wspipe_sent(), .received = wspipe_received() };
	view->done = view->sent > view->received || (progress.size > 0 && progress.size_is_sent) ? view->sent :
	    view->received;
	view->seconds = (double)(now.tv_sec - progress.begin.tv_sec) +
	    (double)(now.tv_nsec - progress.begin.tv_nsec) / 1e9;
	view->average = view->seconds > 0 ? (double)view->done / view->seconds : 0;
	double span = view->seconds - progress.samples[0].seconds;
	uint64_t before = progress.samples[0].bytes;
	view->rate = span > 0 && view->done > before ? (double)(view->done - before) / span : 0;
	memmove(progress.samples, progress.samples + 1, (SAMPLES - 1) * sizeof *progress.samples);
	progress.samples[SAMPLES - 1] = (struct sample){ view->seconds, view->done };
}

/* --- a line --- */

/* Three digits at least: "9.77KiB", "1023MiB". */
static const char *format_bytes(char text[32], double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;

	while (bytes >= 1023.5 && unit + 1 < sizeof units / sizeof *units) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 32, "%.*f%s", unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2, bytes, units[unit]);
	return text;
}

static const char *format_time(char text[32], double seconds)
{
	unsigned long whole = seconds < 3600.0 * 1000000 ? (unsigned long)seconds : 0;

	snprintf(text, 32, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
	return text;
}

/* In the order in which they stand. The bar takes what is left. */
enum { COUNTS, ELAPSED, RATE, AVERAGE, BAR, PERCENT, REST, PARTS };

struct line {
	char parts[PARTS][64];
	size_t bar;			/* its columns, 0 = there is none */
};

static double share(const struct view *view)
{
	return (double)view->done / (double)progress.size;
}

static void fill_line(struct line *line, const struct view *view)
{
	char a[32], b[32];

	snprintf(line->parts[COUNTS], 64, "sent %s received %s", format_bytes(a, (double)view->sent),
	    format_bytes(b, (double)view->received));
	snprintf(line->parts[ELAPSED], 64, "%s", format_time(a, view->seconds));
	snprintf(line->parts[RATE], 64, "[%s/s]", format_bytes(a, view->rate));
	snprintf(line->parts[AVERAGE], 64, "(%s/s)", format_bytes(a, view->average));
	if (progress.size == 0)
		return;
	line->bar = LEAST_BAR;
	snprintf(line->parts[PERCENT], 64, "%3.0f%%", share(view) < 10 ? (double)(long)(share(view) * 100) : 999);
	if (view->done < progress.size && view->average > 0)
		snprintf(line->parts[REST], 64, "ETA %s",
		    format_time(a, (double)(progress.size - view->done) / view->average));
}

static size_t width_of(const struct line *line)
{
	size_t width = line->bar > 0 ? line->bar + 1 : 0;

	for (size_t i = 0; i < PARTS; i++)
		if (*line->parts[i] != '\0')
			width += strlen(line->parts[i]) + 1;
	return width > 0 ? width - 1 : 0;
}

/* What can be done without is left out where it does not fit. */
static void fit(struct line *line, size_t columns)
{
	static const int spare[] = { AVERAGE, BAR, RATE, REST, ELAPSED, PERCENT };

	for (size_t i = 0; i < sizeof spare / sizeof *spare && width_of(line) > columns; i++) {
		*line->parts[spare[i]] = '\0';
		if (spare[i] == BAR)
			line->bar = 0;
	}
	if (line->bar > 0)
		line->bar += columns - width_of(line);
	if (line->bar > 64)
		line->bar = 64;
}

static void add(char *text, size_t size, const char *part)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s%s", length > 0 ? " " : "", part);
}

static void add_bar(char *text, size_t size, size_t columns, double part)
{
	char bar[80] = "[";
	size_t room = columns - 2, full = part >= 1 ? room : (size_t)((double)room * part);

	memset(bar + 1, ' ', room);
	memset(bar + 1, '=', full);
	if (full < room)
		bar[1 + full] = '>';
	memcpy(bar + 1 + room, "]", 2);
	add(text, size, bar);
}

static size_t terminal_columns(void)
{
	struct winsize size;

	/* The last column is left alone: some terminals go on to the next line there. */
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79;
}

static void show_line(const struct view *view)
{
	struct line line = { .bar = 0 };
	size_t columns = terminal_columns();
	char text[512] = "";

	fill_line(&line, view);
	fit(&line, columns);
	for (size_t i = 0; i < PARTS; i++) {
		if (i == BAR && line.bar > 0)
			add_bar(text, sizeof text, line.bar, share(view));
		else if (*line.parts[i] != '\0')
			add(text, sizeof text, line.parts[i]);
	}
	if (columns < sizeof text)
		text[columns] = '\0';
	wspipe_status_show(text, false);
}

static void show_summary(const struct view *view)
{
	char text[160], a[32], b[32], c[32], d[32];

	snprintf(text, sizeof text, "sent %s, received %s, %s/s, %s", format_bytes(a, (double)view->sent),
	    format_bytes(b, (double)view->received), format_bytes(c, view->average), format_time(d, view->seconds));
	wspipe_status_show(text, true);
}

static void print_event(const struct view *view)
{
	struct wspipe_json json;

	wspipe_json_begin(&json, "progress");
	wspipe_json_number(&json, "sent", view->sent);
	wspipe_json_number(&json, "received", view->received);
	wspipe_json_real(&json, "seconds", view->seconds);
	wspipe_json_number(&json, "rate", (uint64_t)view->rate);
	wspipe_json_number(&json, "average", (uint64_t)view->average);
	if (progress.size > 0)
		wspipe_json_number(&json, "size", progress.size);
	wspipe_json_end(&json, false);
}

/* --- the thread --- */

static void *show_progress(void *unused)
{
	struct pollfd stop = { .fd = progress.stop[0], .events = POLLIN };
	bool json = wspipe_prints_json();
	struct view view;

	(void)unused;
	while (poll(&stop, 1, json ? JSON_INTERVAL_MS : INTERVAL_MS) == 0) {
		look(&view);
		if (json)
			print_event(&view);
		else
			show_line(&view);
	}
	return NULL;
}

void wspipe_progress_start(uint64_t size, bool size_is_sent)
{
	if (progress.running || (!wspipe_prints_json() && !isatty(STDERR_FILENO)) ||
	    pipe2(progress.stop, O_CLOEXEC) != 0)
		return;
	progress.size = size;
	progress.size_is_sent = size_is_sent;
	clock_gettime(CLOCK_MONOTONIC, &progress.begin);
	progress.running = pthread_create(&progress.thread, NULL, show_progress, NULL) == 0;
}

void wspipe_progress_stop(void)
{
	struct view view;

	if (!progress.running)
		return;
	close(progress.stop[1]);
	pthread_join(progress.thread, NULL);
	close(progress.stop[0]);
	look(&view);
	if (wspipe_prints_json())
		print_event(&view);
	else
		show_summary(&view);
	progress.running = false;
}
