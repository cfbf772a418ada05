/* SPDX-License-Identifier: 0BSD */
/*
 * One short session of a client and a listener of the library with a fault proxy between them: what each end does, and
 * what came of it. It judges nothing. A worker is used by one thread, and has one more for the server's end and one for
 * the proxy.
 */
#ifndef FAULT_SESSION_H
#define FAULT_SESSION_H

#include "fault_proxy.h"
#include "fault_view.h"
#include "wsfile.h"

/*
 * What the ends do, step by step: wN = write and flush N bytes, rN = read N, p = ping, s = ws_shutdown with 1000, e =
 * read to the end. fclose comes last. A step that fails is followed by reading to the end.
 */
struct fault_script {
	const char *name;
	const char *steps[FAULT_FLOWS];	/* of the end that this direction leads to */
	int first;			/* the end that closes while the other waits for that; -1 = both at once */
};

/* What an end lived to see. */
struct fault_end {
	bool opened;			/* a client's ws_fopen, a server's ws_accept */
	bool stale;			/* the server got another session's stream */
	int open_error;
	size_t wrote_bytes;		/* by writes that succeeded */
	size_t tried_bytes;
	int write_error;		/* 0 = none failed */
	size_t read_bytes;
	bool wrong;			/* and not what the peer wrote there */
	bool read_to_the_end;
	int read_error;			/* of it: 0 = EOF */
	bool gave_up;			/* that is no end, but the time limit of a read */
	bool unsteady;			/* another read said something else */
	int probe_error;		/* of a write behind a read's error, 0 = it passed */
	int close_error;		/* 0 = fclose returned 0 */
};

struct fault_session {
	const struct fault_script *script;
	struct fault_plan plan;
	bool secure;
	bool hurried;			/* the ends have short time limits, which may pass by themselves */

	struct fault_end ends[FAULT_FLOWS];
	bool fired;
	const struct fault_record *records;	/* the proxy's */
	struct fault_view views[FAULT_FLOWS];	/* of what passed in that direction */
	size_t data_start[FAULT_FLOWS];	/* where in them what follows the handshake begins; with TLS, the request */
};

struct fault_worker {
	const struct ws_options *client_options, *listener_options;
	bool secure;
	struct ws_listener *listener;
	struct fault_proxy proxy;
	unsigned number;		/* of the session */
	int over;			/* readable when the client has done */
	bool renew;			/* the listener may have a connection of a session that is over */
	struct fault_session *session;
};

/* The options must stay. */
void fault_worker_start(struct fault_worker *worker, bool secure, const struct ws_options *client,
    const struct ws_options *listener);
void fault_worker_stop(struct fault_worker *worker);

/* script, plan, secure and hurried are given, the rest is filled. */
void fault_session_run(struct fault_worker *worker, struct fault_session *session);
void fault_session_clear(struct fault_session *session);

/* The bytes that the end writes to which flow leads not. */
uint8_t fault_byte(enum fault_flow flow, size_t offset);

#endif
