/* SPDX-License-Identifier: 0BSD */
/*
 * What a stream sends and receives through: a socket, with TLS over it or not. It knows sockets and the filter, no
 * streams. Its functions are the data half of struct wsf_stream_ops; the service adds the half that needs its thread.
 */
#ifndef WSF_TRANSPORT_H
#define WSF_TRANSPORT_H

#include "socket.h"
#include "tls.h"

struct wsf_transport {
	struct wsf_socket socket;
	struct wsf_tls *tls;		/* NULL = plain; freed with the transport */
};

/* As struct wsf_stream_ops; the argument is a struct wsf_transport. */
ssize_t wsf_transport_send(void *transport, const struct iovec *iov, int count);
ssize_t wsf_transport_receive(void *transport, const struct iovec *iov, int count);
ssize_t wsf_transport_receive_wait(void *transport, const struct iovec *iov, int count, int64_t until_ns);
int wsf_transport_flush(void *transport);
int wsf_transport_wait_writable(void *transport, int64_t deadline_ns);
bool wsf_transport_at_end(void *transport);
bool wsf_transport_arrived(void *transport);
bool wsf_transport_acknowledged(void *transport, bool finished);
void wsf_transport_watch(void *transport, int interval_ms);
size_t wsf_transport_unsent(void *transport);
bool wsf_transport_stalled(void *transport);
bool wsf_transport_pending(void *transport);
void wsf_transport_finish(void *transport);
void wsf_transport_idle(void *transport);
bool wsf_transport_failure(void *transport, struct wsf_failure *failure);
void wsf_transport_status(void *transport, struct ws_status *status);

#endif
