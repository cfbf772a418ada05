/* SPDX-License-Identifier: 0BSD */
/*
 * A process of its own, process_child, that uses the library as any program would, and whose life is the matter of a
 * test: how it exits, forks, is killed. It is started with the name of a scenario and talks to the test by lines on its
 * standard input and output. Its connections are to raw peers (peer.h) or to the library in the test's process. Called
 * in the test's thread; everything asserts (Check).
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

struct child {
	pid_t pid;
	int in, out;			/* its standard input and output; -1 = closed by the test */
};

/* The program named, in the directory of this one; arguments end with NULL. */
void child_run(struct child *child, const char *program, const char *const *arguments);
/* Lines that it says. */
void child_expect(struct child *child, const char *text);
void child_read(struct child *child, char line[300]);
/* It says nothing more: it and all that it left behind are gone. */
void child_expect_silence(struct child *child);
void child_tell(struct child *child, const char *text);
/* Wait for its end, and close the pipes. */
void child_exits(struct child *child, int code);
void child_dies(struct child *child, int number);
bool child_lives(struct child *child);

/* --- and a raw peer for each connection that it opens --- */

#define MEETING_MAX 64

struct meeting {
	struct child child;
	enum wire_role role;		/* of the library, in the child */
	int listener;			/* of the peers, -1 = the child listens */
	unsigned port;
	int receive_bytes;		/* the peers' SO_RCVBUF, 0 = the system's */
	int peer[MEETING_MAX];		/* -1 = closed by the test */
	unsigned count;
};

/* Start the scenario with the peers' URL, or "listen", and option, which may be NULL; no connection yet. */
void meeting_begin(struct meeting *meeting, enum wire_role role, const char *scenario, const char *option,
    int peer_receive_bytes);
/* The next connection: a number. */
unsigned meeting_join(struct meeting *meeting);
/* All of it for scenarios with one connection. */
void meeting_open(struct meeting *meeting, enum wire_role role, const char *scenario, const char *option,
    int peer_receive_bytes);
void meeting_end(struct meeting *meeting);

void meeting_say(struct meeting *meeting, unsigned number, const char *text);
/* The Close must come, with this code, behind exactly this text. */
void meeting_expect_close(struct meeting *meeting, unsigned number, unsigned code, const char *text);
/* The same for size bytes of the pattern (wire.h). */
void meeting_expect_pattern(struct meeting *meeting, unsigned number, unsigned code, size_t size);
/* Answer the Close with 1000, and end TCP in the order of the roles; no reset. */
void meeting_answer(struct meeting *meeting, unsigned number);
/* TCP must end behind exactly this text, without a Close. */
void meeting_expect_cut(struct meeting *meeting, unsigned number, const char *text);
/* The same behind a prefix of the pattern; its length. */
size_t meeting_expect_cut_pattern(struct meeting *meeting, unsigned number);

#endif
