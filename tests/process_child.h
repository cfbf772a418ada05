/* SPDX-License-Identifier: 0BSD */
/*
 * The process that child.h starts: process_child SCENARIO URL [OPTION]. It uses only the public interface and no Check,
 * as its life is what is looked at. A URL of "listen" has it listen, and say where. What must not be ends it with
 * status 70 and a line on standard error.
 */
#ifndef PROCESS_CHILD_H
#define PROCESS_CHILD_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsfile.h>

#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			child_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

struct scenario {
	const char *name;
	int (*run)(const char *url, const char *option);	/* what it returns, main does */
};

extern const struct scenario exit_scenarios[], fork_scenarios[];	/* name NULL = the end */
/* Of the first: what its constructor has to do. */
void early_scenario(const char *name, const char *url);

__attribute__((noreturn, format(printf, 3, 4)))
void child_fail(const char *file, int line, const char *format, ...);

/* To the test, and from it, without stdio, whose buffers a fork would copy. */
void say(const char *text);
void await(const char *text);
int multiplier(void);			/* of time limits: CK_TIMEOUT_MULTIPLIER */
/* The next connection of this URL; options may be NULL. */
FILE *open_end(const char *url, const char *mode, const struct ws_options *options);
void open_pair_end(const char *url, const struct ws_options *options, FILE *half[2]);
void start_thread(pthread_t *thread, void *(*body)(void *), void *argument);
/* Until another thread is inside a call on this stream. */
void wait_locked(FILE *stream);
unsigned count_threads(void);
void fill_pattern(uint64_t offset, uint8_t *out, size_t size);	/* as wire_pattern */
#define MUCH_BYTES ((size_t)16 << 20)	/* more than all kernel buffers take */
uint8_t *much_pattern(void);

#endif
