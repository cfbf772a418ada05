/* SPDX-License-Identifier: 0BSD */
/*
 * A listening socket for a URL: TCP or local. It knows no WebSockets. Called by the listener, in the program's thread.
 */
#ifndef WSF_BIND_H
#define WSF_BIND_H

#include <stdint.h>
#include <sys/types.h>

#include "errmap.h"
#include "url.h"
#include "wsfile.h"

struct wsf_bound {
	int fd;				/* listening, non-blocking, close-on-exec */
	unsigned port;			/* the one bound; 0 for a local socket */
	char *path;			/* absolute, of a local socket that has a file; NULL = none */
	dev_t device;			/* of that file, so that nobody else's is ever removed */
	ino_t inode;
};

/*
 * Bind and listen as url (WSF_URL_LISTEN) and values (connect_timeout_ms for the name, reuse_port, socket_mode) say. A
 * local socket's file gets socket_mode's permissions, no wider at any moment; a stale one (a socket that refuses
 * connections) is replaced; one that is in use, or that is no socket, is -EADDRINUSE. Returns 0, or a negative errno
 * with the failure filled; then nothing is left behind, and bound needs no clearing.
 */
int wsf_bind(struct wsf_bound *bound, const struct wsf_url *url, const struct ws_options *values,
    struct wsf_failure *failure);
/*
 * Remove the local socket's file, if it is still ours, and free. The descriptor is not closed here, and must not have
 * been: while it is open, no other file can get that inode.
 */
void wsf_bound_clear(struct wsf_bound *bound);

#endif
