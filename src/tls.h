/* SPDX-License-Identifier: 0BSD */
/*
 * TLS as a filter between a socket and a stream: plain bytes in, cipher bytes out, and back, with OpenSSL; and the
 * contexts that hold certificates, keys, trust and sessions. It knows sockets and options, no streams and no
 * WebSockets. Contexts are made in the program's thread; a connection is used by any thread, its own lock serialises
 * them.
 */
#ifndef WSF_TLS_H
#define WSF_TLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "errmap.h"
#include "socket.h"
#include "wsfile.h"

/* --- contexts (tls_context.c): immutable, shared by reference; any thread --- */

struct wsf_tls_context;

/*
 * A client's context for these options, with what the files hold now. Contexts are kept for the process's life, so that
 * files are not read and sessions not negotiated anew for each connection; a file that has changed since makes a new
 * one. Returns 0 or, with the failure filled, which names the file: -EKEYREJECTED (no certificate or key in it, wrong
 * password, key and certificate don't match, …), -ENOENT, -EACCES and kin, -ENOMEM.
 */
int wsf_tls_client_context(struct wsf_tls_context **context, const struct ws_options *values,
    struct wsf_failure *failure);
/* A listener's, never shared; the same errors, and -EINVAL without cert_file. */
int wsf_tls_server_context(struct wsf_tls_context **context, const struct ws_options *values,
    struct wsf_failure *failure);
struct wsf_tls_context *wsf_tls_context_ref(struct wsf_tls_context *context);
void wsf_tls_context_unref(struct wsf_tls_context *context);

/* --- one connection (tls.c) --- */

struct wsf_tls;

/*
 * A connection at its beginning; the context gets one more reference. Client: name is the host to ask for and to check,
 * a name or an address; session_key, such as "host:port", names the server whose sessions may be resumed. Server: both
 * NULL. Returns 0 or -ENOMEM, -EINVAL (name).
 */
int wsf_tls_create(struct wsf_tls **tls, struct wsf_tls_context *context, const char *name, const char *session_key);
/*
 * Cipher bytes that were received before, and come before what the socket gives; copied. Once, before anything else.
 * Returns 0 or -ENOMEM.
 */
int wsf_tls_feed(struct wsf_tls *tls, const void *data, size_t size);
/* NULL does nothing. The socket is not closed. */
void wsf_tls_free(struct wsf_tls *tls);

/*
 * Client, in the program's thread: the whole TLS handshake over a connected, non-blocking socket. Returns 0, or with
 * the failure filled -EKEYREJECTED (a certificate, theirs or ours), -EPROTO (no TLS, or nothing in common), -ECONNRESET
 * (cut), -ETIMEDOUT, -EINTR, -ENOMEM.
 */
int wsf_tls_connect(struct wsf_tls *tls, int fd, int64_t deadline_ns, struct wsf_failure *failure);

/*
 * As the operations of the same name in struct wsf_stream_ops, over this socket. A server's handshake happens inside
 * receive. What the socket does not take of a record is kept, and send says -EAGAIN until it has gone.
 */
ssize_t wsf_tls_send(struct wsf_tls *tls, struct wsf_socket *socket, const struct iovec *iov, int count);
ssize_t wsf_tls_receive(struct wsf_tls *tls, struct wsf_socket *socket, const struct iovec *iov, int count);
/* Whether all that send took, and what TLS itself has to say, is with the kernel: 0, -EAGAIN, or another error. */
int wsf_tls_flush(struct wsf_tls *tls, struct wsf_socket *socket);
/*
 * Whether sending waits until more is received: the rest of a message of TLS's own. flush says -EAGAIN once behind it.
 */
bool wsf_tls_stalled(struct wsf_tls *tls);
/* Cipher bytes that the kernel has not taken. */
size_t wsf_tls_unsent(struct wsf_tls *tls);
bool wsf_tls_at_end(struct wsf_tls *tls, struct wsf_socket *socket);
/* close_notify; the socket's own end is the caller's. */
void wsf_tls_finish(struct wsf_tls *tls, struct wsf_socket *socket);
/* Give memory back that is not in use; it comes again when needed. */
void wsf_tls_idle(struct wsf_tls *tls);
/* Whether receive may give something though the socket has nothing. */
bool wsf_tls_pending(struct wsf_tls *tls);
/* Whether the last receive took all there was: the next had better wait for the socket first. */
bool wsf_tls_drained(struct wsf_tls *tls);
/* Why the last send or receive failed, where TLS knows more than errno: returns whether the failure was filled. */
bool wsf_tls_failure(struct wsf_tls *tls, struct wsf_failure *failure);
/* Fill the members tls_… of a status. */
void wsf_tls_status(struct wsf_tls *tls, struct ws_status *status);

#endif
