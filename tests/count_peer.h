/* SPDX-License-Identifier: 0BSD */
/*
 * The other end of a connection whose cost is counted (count_paths.c), as a process of its own, so that nothing it does
 * is in the figures. It does what it is told over a pipe. Called from the counting program's only thread; every failure
 * ends that program.
 */
#ifndef COUNT_PEER_H
#define COUNT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum count_task {
	COUNT_SINK,			/* read size bytes */
	COUNT_SOURCE,			/* write size bytes in pieces of chunk; every 64th byte is a newline */
	COUNT_SOURCE_FLUSHED,		/* the same, each piece a message */
	COUNT_ECHO,			/* read chunk bytes, write and flush them; until size bytes */
};

struct count_peer {
	pid_t pid;
	int orders, answers;
	FILE *stream;			/* our end, "r+" */
	bool we_serve;
};

/*
 * Start program, which is this one, as the peer; either end is the server. cert_file and key_file: NULL = no TLS.
 */
void count_peer_open(struct count_peer *peer, const char *program, bool we_serve, const char *cert_file,
    const char *key_file);
/* Both ends fclose, and the peer's process ends. */
void count_peer_close(struct count_peer *peer);
/* Have it begin with a task, and wait until it is done with it, which only COUNT_ECHO does not tell. */
void count_peer_order(struct count_peer *peer, enum count_task task, size_t size, size_t chunk);
void count_peer_wait(struct count_peer *peer);

/* The peer's own main: the arguments that count_peer_open gives. */
int count_peer_main(int argc, char **argv);

/* Print what and strerror(errno), and end the program, unless good. */
void count_insist(bool good, const char *what);

#endif
