/* SPDX-License-Identifier: 0BSD */
/*
 * The pieces of --exec: a command's process, and what it finds in its environment. They know nothing of how bytes move.
 * Called by wspipe_exec.c in the thread of a connection, and by wspipe_signal.c where that is said.
 */
#ifndef WSPIPE_EXEC_H
#define WSPIPE_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* --- wspipe_child.c --- */

struct wspipe_child;

/*
 * Runs command by sh(1), with input and output as its standard input and output, as the leader of a process group. A
 * byte is written to bell when it has ended. Returns 0 or an errno.
 */
int wspipe_child_start(struct wspipe_child **child, char *command, char **environment, int input, int output, int bell);
/* -1 = it runs, 0 = it ended well, 1 = it did not, for the reason in text. */
int wspipe_child_result(struct wspipe_child *child, char *text, size_t size);
/* To its process group, from any thread. */
void wspipe_child_kill(struct wspipe_child *child, int signal_number);
/* The child is not the caller's any more; it may run on. */
void wspipe_child_release(struct wspipe_child *child);

/* --- wspipe_environment.c --- */

/*
 * The environment of the command that serves this stream, as one block for free(3). NULL with *error: what is wrong
 * with the request, or NULL = no memory.
 */
char **wspipe_environment_make(FILE *half, const char **error);

#endif
