/* SPDX-License-Identifier: 0BSD */
/*
 * One connection with the library at one end, in either role, and a raw peer (peer.h) at the other, so that a test is
 * written once and runs for both roles. Called from the test's thread.
 */
#ifndef WIRE_H
#define WIRE_H

#include <check.h>

#include "peer.h"
#include "wsfile.h"

enum wire_role { LIBRARY_IS_CLIENT, LIBRARY_IS_SERVER, WIRE_ROLES };

struct wire {
	enum wire_role role;
	FILE *stream;			/* or half, never both */
	FILE *half[2];
	int peer;			/* -1 = closed by the test */
	bool peer_masks;
	struct ws_listener *listener;	/* library's, or NULL */
	int peer_listener;		/* peer's, or -1 */

	/* wire_finish */
	pthread_t thread;
	int answer;
	unsigned close_code;		/* what the peer read: the code, 0 = the end of TCP came first */
	uint8_t *data;			/* and all data before it, a NUL behind; NULL = none */
	size_t size;
};

/* Options may be NULL. peer_receive_bytes is the peer's SO_RCVBUF, 0 = the system's. */
void wire_open(struct wire *wire, enum wire_role role, const char *mode, const struct ws_options *options,
    int peer_receive_bytes);
void wire_open_pair(struct wire *wire, enum wire_role role, const struct ws_options *options, int peer_receive_bytes);
/* Close the peer and the listener; the streams are the test's. Ends with peer_count_end, as wire_open began. */
void wire_end(struct wire *wire);

/* The peer sends. */
void wire_say(struct wire *wire, const char *text);	/* one binary message */
void wire_frame(struct wire *wire, unsigned byte0, const void *payload, size_t size);
void wire_goodbye(struct wire *wire, unsigned code, const char *reason);	/* Close; code 0 = empty */

/*
 * In a thread, the peer reads until the Close, answers with a Close (answer >= 0: that code, 0 = empty; or
 * WIRE_NO_ANSWER, when it sent its own before) and ends TCP in the order of its role. finished waits for that.
 */
#define WIRE_NO_ANSWER (-1)
void wire_finish(struct wire *wire, int answer);
void wire_finished(struct wire *wire);
/* The orderly end of TCP after both Closes, as the peer's role wants it: a server first, a client behind the server. */
void wire_end_tcp(struct wire *wire);

/* fclose: error 0 insists on 0, else on EOF with that errno. */
void wire_fclose(struct wire *wire, int error);
void wire_fclose_half(struct wire *wire, int which, int error);
/* The path of this program, to be executed again: under valgrind "/proc/self/exe" is valgrind itself. */
const char *wire_program(void);
/* The next line must be text. */
void wire_expect_line(FILE *stream, const char *text);
/* The next read must be EOF, again and again (error 0), or that error, again and again even after clearerr. */
void wire_expect_end(FILE *stream, int error);
/* Write and flush must fail with error. */
void wire_expect_unwritable(FILE *stream, int error);
/* Wait until ws_status says so; size counts all payload from the beginning. */
void wire_wait_state(FILE *stream, enum ws_state state);
void wire_wait_received(FILE *stream, uint64_t size);

/* A pattern that knows its place: byte number offset + i of it. */
void wire_pattern(uint64_t offset, void *out, size_t size);
bool wire_pattern_matches(uint64_t offset, const void *in, size_t size);

/* A test case with its timeout; run the suite and return what main returns. */
TCase *wire_case(Suite *suite, const char *name);
int wire_run(Suite *suite);

#endif
