/* SPDX-License-Identifier: 0BSD */
/*
 * A TCP connection to a name: look-up within a time limit, then the addresses in the order and with the stagger of RFC
 * 8305; or a local socket. It knows no WebSockets. Called from the program's thread, which it blocks.
 */
#ifndef WSF_CONNECT_H
#define WSF_CONNECT_H

#include <stdint.h>

#include "errmap.h"

struct addrinfo;

/*
 * Resolve host (a name or a numeric address) to stream-socket addresses; passive = to listen on. Returns 0, -ENOENT and
 * its kin, -ETIMEDOUT, -EINTR. Free with wsf_resolve_free.
 */
int wsf_resolve(const char *host, unsigned port, int passive, int64_t deadline_ns, struct addrinfo **addresses,
    struct wsf_failure *failure);
void wsf_resolve_free(struct addrinfo *addresses);

/* A connected, non-blocking socket with TCP_NODELAY, or a negative errno. */
int wsf_connect(const char *host, unsigned port, int64_t deadline_ns, struct wsf_failure *failure);

struct sockaddr_un;

/*
 * The address of a local socket: its path, or "@name" for an abstract one. Returns its length, or -ENAMETOOLONG,
 * -EPROTONOSUPPORT (abstract, not on Linux), -EINVAL (no path).
 */
int wsf_local_address(const char *path, struct sockaddr_un *address);
/* A connected, non-blocking local socket, or a negative errno. While the listener's queue is full, it tries again. */
int wsf_connect_local(const char *path, int64_t deadline_ns, struct wsf_failure *failure);

#endif
