/* SPDX-License-Identifier: 0BSD */
/*
 * One socket's descriptor, shared by the helper thread, which closes it, and the threads that send, receive and poll on
 * it. It knows no libwebsockets and no stream. A descriptor is only closed when no thread is using it: its number would
 * be another file's soon.
 */
#ifndef WSF_SOCKET_H
#define WSF_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "wait.h"

struct wsf_socket {
	atomic_int fd;			/* [A] -1 = none any more */
	atomic_uint users;		/* [A] calls on fd under way */
	bool detached;			/* helper thread: fd is a duplicate of our own */
	struct wsf_event unused;	/* users became 0 */
};

void wsf_socket_init(struct wsf_socket *socket, int fd);
int wsf_socket_fd(const struct wsf_socket *socket);
void wsf_socket_set_blocking(const struct wsf_socket *socket);

/* As struct wsf_stream_ops; the argument is a struct wsf_socket. */
ssize_t wsf_socket_send(void *socket, const struct iovec *iov, int count);
ssize_t wsf_socket_receive(void *socket, const struct iovec *iov, int count);
int wsf_socket_wait_writable(void *socket, int64_t deadline_ns);
int wsf_socket_wait_readable(void *socket, int64_t deadline_ns);
bool wsf_socket_at_end(void *socket);
void wsf_socket_finish(void *socket);

/*
 * The descriptor is about to be closed by its owner (or here, with close_fd). With keep, received bytes stay readable
 * through a duplicate; returns whether they do. Waits until no thread uses the old descriptor; blocked ones wake.
 */
bool wsf_socket_detach(struct wsf_socket *socket, bool keep, bool close_fd);
/* Another descriptor of the same socket, the caller's, or -1. */
int wsf_socket_duplicate(const struct wsf_socket *socket);
/* Whether both directions are at their end, so that nothing can be sent. */
bool wsf_socket_hung_up(const struct wsf_socket *socket);
/* Close the duplicate, if there is one. */
void wsf_socket_close(struct wsf_socket *socket);

#endif
