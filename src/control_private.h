/* SPDX-License-Identifier: 0BSD */
/*
 * What control.c (a stream's status and its end), control_some.c (reading and writing what there is) and
 * control_steer.c (limits, readiness, pings, observers) share. It knows what the cookie knows. Called from the
 * program's threads.
 */
#ifndef WSF_CONTROL_PRIVATE_H
#define WSF_CONTROL_PRIVATE_H

#include "cookie_private.h"

/* The FILE, locked; no lock may be left behind by a cancelled thread. */
struct wsf_held {
	struct wsf_cookie *cookie;
	int cancel;
};

enum wsf_half { WSF_ANY_HALF, WSF_READ_HALF, WSF_WRITE_HALF };

/*
 * Lock a FILE that is one of ours and goes in this direction. Returns 0, -EBADF, or -EDEADLK: inside one of its
 * observers.
 */
int wsf_hold(struct wsf_held *held, FILE *file, enum wsf_half half);
void wsf_let_go(const struct wsf_held *held);
/* As a public function returns: 0, or -1 with errno set, where rv is a negative errno. */
int wsf_returned(int rv);

/* --- control_some.c --- */

/* What stdio holds that was read and not consumed. The FILE is locked. */
size_t wsf_stdio_unread(FILE *file);

#endif
