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
	struct wsf_event unused;	/* users became 0 */
};

void wsf_socket_init(struct wsf_socket *socket, int fd);
int wsf_socket_fd(const struct wsf_socket *socket);
void wsf_socket_set_blocking(const struct wsf_socket *socket);

/* As struct wsf_stream_ops; the argument is a struct wsf_socket. */
ssize_t wsf_socket_send(void *socket, const struct iovec *iov, int count);
ssize_t wsf_socket_receive(void *socket, const struct iovec *iov, int count);
ssize_t wsf_socket_receive_wait(void *socket, const struct iovec *iov, int count, int64_t until_ns);
int wsf_socket_wait_writable(void *socket, int64_t deadline_ns);
/* Block until there is something to receive: 0 (look), -EINTR, -ETIMEDOUT, or the error that ended TCP. */
int wsf_socket_wait_readable(struct wsf_socket *socket, int64_t deadline_ns);
bool wsf_socket_at_end(void *socket);
bool wsf_socket_arrived(void *socket);
/* Bytes sent that the other end's system has not acknowledged; our FIN counts as one. 0 where that can't be known. */
size_t wsf_socket_unacknowledged(struct wsf_socket *socket);
/* TCP's own keepalive, where it can be set: broken when nothing came for two intervals. In whole seconds. */
void wsf_socket_watch(struct wsf_socket *socket, int interval_ms);
void wsf_socket_finish(void *socket);

/* Close the descriptor, if that was not done, once no thread uses it; blocked ones wake. Any one thread. */
void wsf_socket_close(struct wsf_socket *socket);
/* Nobody uses it any more. The descriptor is not closed. */
void wsf_socket_destroy(struct wsf_socket *socket);

#endif
