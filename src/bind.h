/* SPDX-License-Identifier: 0BSD */
/*
 * A listening socket for a URL: TCP or local. It knows no WebSockets. Called by the listener, in the program's thread.
 */
#ifndef WSF_BIND_H
#define WSF_BIND_H

#include <stdbool.h>
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

	/* of a listening socket that was there already */
	bool inherited;
	char *host;			/* numeric, or NULL */
	bool ipv6;			/* host is one */
	char *socket;			/* of a local socket, "@name" = abstract; or NULL */
	int status_flags, fd_flags;	/* the descriptor's, as they were */
};

/*
 * Bind and listen as url (WSF_URL_LISTEN) and values (connect_timeout_ms for the name, reuse_port, socket_mode) say. A
 * local socket's file gets socket_mode's permissions, no wider at any moment; a stale one (a socket that refuses
 * connections) is replaced; one that is in use, or that is no socket, is -EADDRINUSE. Returns 0, or a negative errno
 * with the failure filled; then nothing is left behind, and bound needs no clearing. With values->listen_fd that one is
 * taken, whatever url says.
 */
int wsf_bind(struct wsf_bound *bound, const struct wsf_url *url, const struct ws_options *values,
    struct wsf_failure *failure);
/*
 * Remove the local socket's file, if it is still ours, and free. The descriptor is not closed here, and must not have
 * been: while it is open, no other file can get that inode.
 */
void wsf_bound_clear(struct wsf_bound *bound);
/* For an opener that fails behind wsf_bind: the same, and closes the descriptor, or gives it back as it was. */
void wsf_bound_drop(struct wsf_bound *bound);

/* --- bind_inherited.c, of use to bind.c alone --- */

/*
 * A stream socket that listens, of TCP or local; from now on it is non-blocking and close-on-exec. Its file is nobody's
 * of ours. Returns 0, -EBADF, -ENOTSOCK, -EINVAL, -ENOMEM with the failure filled and the descriptor as it was.
 */
int wsf_bind_inherited(struct wsf_bound *bound, int fd, struct wsf_failure *failure);
void wsf_bound_give_back(struct wsf_bound *bound);

#endif
