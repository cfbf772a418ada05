/* SPDX-License-Identifier: 0BSD */
/*
 * One connection between the library, in either role, and a peer's script in a process of its own. Everything here
 * fails the running test where it does not succeed. Used by the interop tests, in the test's thread and in those it
 * starts.
 */
#ifndef WSF_TESTS_PARTY_H
#define WSF_TESTS_PARTY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "wsfile.h"

/* Exit status of a test whose peer is not on this machine. */
#define PARTY_SKIPPED 77
#define PARTY_SETTINGS_MAX 4

struct party {
	bool library_is_server;
	FILE *half[2];
	struct ws_listener *listener;
	FILE *port;			/* the peer's standard output, where it is the server */
	pid_t pid;
	pthread_t watch;
};

/* name: "node" or "python", with its script in directory. False = it is not on this machine, and it was said so. */
bool party_find(const char *name, const char *directory);

/* settings: of the script, ends with NULL, at most PARTY_SETTINGS_MAX; NULL = none. Behind scenario its arguments. */
void party_open(struct party *party, bool library_is_server, const struct ws_options *options,
    const char *const *settings, const char *scenario, const char *first, const char *second, const char *third);
/* error: of the last fclose, 0 = it must succeed. The peer, too, must be satisfied. */
void party_end(struct party *party, int error);

/* What write_all writes: total of the bytes that name stands for, the same ones on both sides. */
struct party_writing {
	FILE *stream;
	const char *name;
	size_t total;
};

/* A thread's function; argument: a struct party_writing. */
void *party_write(void *argument);
/* The next total bytes must be those of name. */
void party_expect(FILE *stream, const char *name, size_t total);
/* The stream ends here: EOF (0) or error, with the peer's code and reason (NULL = any). */
void party_expect_end(FILE *stream, int error, unsigned code, const char *reason);

#endif
