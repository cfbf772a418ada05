/* SPDX-License-Identifier: 0BSD */
#include "process_child.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

#include "memcheck.h"

#define LIMIT_S 40

static struct ws_listener *listener;

/* LeakSanitizer asks. To leave streams and all that belongs to them behind is what this program is for. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

void child_fail(const char *file, int line, const char *format, ...)
{
	char text[500];
	va_list arguments;
	int saved = errno;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	dprintf(2, "process %ld: %s:%d: %s (%s)\n", (long)getpid(), file, line, text, strerror(saved));
	_exit(70);
}

void say(const char *text)
{
	char line[300];
	int size = snprintf(line, sizeof line, "%s\n", text);

	insist(write(1, line, (size_t)size) == size, "write");
}

void await(const char *text)
{
	char line[300];
	size_t used = 0;
	ssize_t n;

	do
		n = read(0, line + used, 1);
	while (((n == 1 && line[used++] != '\n') || (n < 0 && errno == EINTR)) && used < sizeof line);
	insist(n == 1, "the test ended before it said \"%s\"", text);
	line[used - 1] = '\0';
	insist(strcmp(line, text) == 0, "the test said \"%s\", not \"%s\"", line, text);
}

int multiplier(void)
{
	const char *text = getenv("CK_TIMEOUT_MULTIPLIER");
	long times = text != NULL ? strtol(text, NULL, 10) : 1;

	return times > 1 && times < 100 ? (int)times : 1;
}

static struct ws_listener *listen_here(const struct ws_options *options)
{
	if (listener != NULL)
		return listener;
	listener = ws_listen("ws://127.0.0.1:0/", options);
	insist(listener != NULL, "%s", ws_last_error()->text);
	say(ws_listener_url(listener));
	return listener;
}

FILE *open_end(const char *url, const char *mode, const struct ws_options *options)
{
	FILE *stream = strcmp(url, "listen") == 0 ? ws_accept(listen_here(options), mode) :
	    ws_fopen_with(url, mode, options);

	insist(stream != NULL, "%s: %s", url, ws_last_error()->text);
	return stream;
}

void open_pair_end(const char *url, const struct ws_options *options, FILE *half[2])
{
	int rv = strcmp(url, "listen") == 0 ? ws_accept_pair(listen_here(options), half) :
	    ws_fopen_pair(url, options, half);

	insist(rv == 0, "%s: %s", url, ws_last_error()->text);
}

void start_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
	insist(pthread_create(thread, NULL, body, argument) == 0, "pthread_create");
}

void wait_locked(FILE *stream)
{
	while (ftrylockfile(stream) == 0) {
		funlockfile(stream);
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
}

unsigned count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	insist(directory != NULL, "/proc/self/task");
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

/* --- the pattern of wire.c, once more: this program does not know the tests' libraries --- */

#define PERIOD 65521

static uint8_t table[PERIOD];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
	uint32_t state = 2463534242;

	for (size_t i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		table[i] = (uint8_t)(state >> 11);
	}
}

void fill_pattern(uint64_t offset, uint8_t *out, size_t size)
{
	pthread_once(&table_once, fill_table);
	for (size_t i = 0; i < size; i++)
		out[i] = table[(offset + i) % PERIOD];
}

uint8_t *much_pattern(void)
{
	uint8_t *data = malloc(MUCH_BYTES);

	insist(data != NULL, "out of memory");
	fill_pattern(0, data, MUCH_BYTES);
	return data;
}

/* --- */

/* glibc hands a constructor what main gets. */
__attribute__((constructor)) static void early(int argc, char *argv[])
{
	if (argc >= 3)
		early_scenario(argv[1], argv[2]);
}

int main(int argc, char *argv[])
{
	const struct scenario *const tables[] = { exit_scenarios, fork_scenarios };

	alarm((unsigned)(LIMIT_S * multiplier()));
	memcheck_leaks_are_meant();
	insist(argc >= 3, "usage: process_child SCENARIO URL [OPTION]");
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		for (const struct scenario *one = tables[i]; one->name != NULL; one++)
			if (strcmp(one->name, argv[1]) == 0)
				return one->run(argv[2], argc > 3 ? argv[3] : "");
	insist(false, "no scenario \"%s\"", argv[1]);
	return 2;
}
