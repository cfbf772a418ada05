/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of the room tls: tls_context.c (contexts from options), tls_files.c (certificates and keys from files),
 * tls_cache.c (a process's client contexts), tls_session.c (a client's sessions), tls_error.c (what went wrong, in
 * words), tls_queue.c (OpenSSL's error queue) and tls.c (one connection). OpenSSL's types stay here.
 */
#ifndef WSF_TLS_PRIVATE_H
#define WSF_TLS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lock.h"
#include "tls.h"

#ifndef EKEYREJECTED	/* outside Linux */
#define EKEYREJECTED EACCES
#endif

#define WSF_PIN_BYTES 32

/* Legend: [I] immutable after creation, [S] its session lock, [A] atomic. */
struct wsf_tls_context {
	atomic_uint refs;		/* [A] */
	bool server;			/* [I] */
	SSL_CTX *ctx;			/* [I] a server's default certificate */
	SSL_CTX **named;		/* [I] server: by the names in their certificates, named_count of them */
	size_t named_count;		/* [I] */
	bool verify;			/* [I] the other end's certificate has to be good */
	bool optional;			/* [I] server: a client may do without one, pinned or not */
	unsigned char (*pins)[WSF_PIN_BYTES];	/* [I] */
	size_t pin_count;		/* [I] */
	char *server_name;		/* [I] client: in place of the URL's host, or NULL */
	pthread_mutex_t session_lock;
	struct wsf_tls_session *sessions;	/* [S] newest first, bounded */
};

/* --- tls_context.c --- */

/* A new context, as of wsf_tls_client_context or wsf_tls_server_context, but for the cache. */
int wsf_tls_context_build(struct wsf_tls_context **context, const struct ws_options *values, bool server,
    struct wsf_failure *failure);
/*
 * Whether the other end's certificate has one of the pinned keys; true where none is pinned. certificate is NULL where
 * none was shown: good enough where that is allowed.
 */
bool wsf_tls_pins_match(const struct wsf_tls_context *context, X509 *certificate);
/* The SHA-256 of its SubjectPublicKeyInfo. Returns 0, -ENOMEM or -EIO. */
int wsf_tls_pin_of(X509 *certificate, unsigned char pin[WSF_PIN_BYTES]);

/* --- tls_cache.c --- */

/* Let go of the client contexts that are kept, and of their sessions. */
void wsf_tls_cache_clear(void);

/* --- tls_files.c: all return 0 or a negative errno with the failure filled --- */

/* key_file may be NULL: in cert_file. Nobody is asked for a password: NULL and an encrypted key is an error. */
int wsf_tls_use_certificate(SSL_CTX *ctx, const struct ws_certificate *files, const char *password,
    struct wsf_failure *failure);
/* The roots in ca_file and ca_dir, either may be NULL; a server tells its clients their names. */
int wsf_tls_use_roots(SSL_CTX *ctx, const char *ca_file, const char *ca_dir, bool server, struct wsf_failure *failure);

/* --- tls_session.c: tickets of TLS 1.3 are used once (RFC 8446, appendix C.4), older sessions while they live --- */

#define WSF_TLS_SESSION_KEYS 64		/* in a context, the least recently used is dropped */
#define WSF_TLS_SESSIONS_A_KEY 2	/* the newest */

/* Whose sessions the ones of a connection are. */
struct wsf_tls_session_owner {
	struct wsf_tls_context *context;
	const char *key;
};

/* Have a client's new sessions come to the owners of its connections. */
void wsf_tls_session_watch(SSL_CTX *ctx);
/*
 * Keep the sessions that ssl gets from now on, if the server's certificate passed; owner stays the caller's and
 * outlives ssl. NULL = keep none, as before the first call.
 */
void wsf_tls_session_attach(SSL *ssl, struct wsf_tls_session_owner *owner);
/* Keep a session for key; takes over the reference. */
void wsf_tls_session_put(struct wsf_tls_context *context, const char *key, SSL_SESSION *session);
/* A session for key that has not expired, with a reference for the caller, or NULL. */
SSL_SESSION *wsf_tls_session_take(struct wsf_tls_context *context, const char *key);
void wsf_tls_sessions_clear(struct wsf_tls_context *context);

/* --- tls_queue.c --- */

/*
 * OpenSSL's error queue belongs to the program's thread, but a mark does not protect it: SSL_do_handshake and the
 * readers of certificates empty it, and SSL_get_error takes what the program left there for its own. So around each
 * use:
 *	struct wsf_tls_errors *errors = wsf_tls_errors_aside();
 *	…
 *	wsf_tls_errors_back(errors);
 * aside leaves the queue empty, NULL = it was; back empties it, and puts there what was put aside.
 */
struct wsf_tls_errors;
struct wsf_tls_errors *wsf_tls_errors_aside(void);
void wsf_tls_errors_back(struct wsf_tls_errors *errors);

/* --- tls_error.c --- */

/* A verify callback that changes nothing: it notes which certificate was refused, for wsf_tls_explain. */
int wsf_tls_note_refusal(int good, X509_STORE_CTX *verification);

/*
 * The handshake or the connection failed: what the thread's error queue, the verification's result and the certificate
 * say, as a failure: EKEYREJECTED, EPROTO, ECONNRESET (cut without a close_notify) or ENOMEM, and one line such as
 *   the certificate for "wrong.example" is refused: hostname mismatch (subject "CN=right.example")
 *   the other end refused our certificate: tlsv13 alert certificate required
 *   the other end does not speak TLS: wrong version number
 * name is what was asked for, NULL on a server. Empties the queue, which has to have nothing of the program's: see
 * wsf_tls_errors_aside. Returns -failure->error.
 */
int wsf_tls_explain(struct wsf_failure *failure, const SSL *ssl, const char *name);
/* The handshake was good, but the other end's key is none of the pinned ones: EKEYREJECTED, with the key's pin. */
int wsf_tls_explain_pin(struct wsf_failure *failure, const SSL *ssl, const char *name);
/* What the queue says about a file that could not be used: EKEYREJECTED, or the system's errno. Empties the queue. */
int wsf_tls_explain_file(struct wsf_failure *failure, const char *what, const char *file);
/* The end of a path, for a text where it has to leave room for the reason. */
const char *wsf_tls_path_tail(const char *path);
/* The certificate's subject on one line, for people, cut to fit. */
void wsf_tls_subject(X509 *certificate, char *out, size_t out_bytes);

/* --- one connection --- */

/* Legend: [I] immutable after creation, [S] under lock, [A] atomic. */
struct wsf_tls {
	struct wsf_tls_context *context;	/* [I] */
	struct wsf_tls_session_owner owner;	/* [I] */
	unsigned generation;		/* [I] the process that made it */
	char *name, *session_key;	/* [I] client */
	pthread_mutex_t lock;
	SSL *ssl;			/* [S] */
	struct wsf_socket *socket;	/* [S] of the call under way */
	struct wsf_tls_errors *errors;	/* [S] the thread's, put aside by the call under way */
	uint8_t *out;			/* [S] cipher bytes the socket has not taken yet */
	size_t out_start, out_end, out_capacity;	/* [S] */
	uint8_t *in;			/* [S] cipher bytes that come before the socket's; NULL = none any more */
	size_t in_start, in_end;	/* [S] */
	bool established;		/* [S] the handshake is done */
	bool http;			/* [S] server: what came first was HTTP */
	bool emptied;			/* [S] in this call: the socket had less than was asked for */
	bool begun;			/* [S] something was received */
	size_t taken_bytes;		/* [S] in this call: cipher bytes from the socket */
	unsigned messages;		/* [S] of the handshake's kind since the last data */
	bool ended;			/* [S] the socket is at its end */
	bool notified;			/* [S] our close_notify is sent */
	int socket_error;		/* [S] negative errno, 0 = none: a socket tells only once */
	int send_error;			/* [S] as told to a send */
	struct wsf_failure failure;	/* [S] what TLS has against it; final */
	atomic_bool more;		/* [A] another receive gives something, whether or not the socket does */
	atomic_bool drained;		/* [A] the last receive took all there was, of the socket's, too */
	atomic_bool stalled;		/* [A] sending waits for the rest of a message of TLS's own */
	bool resumed;			/* [S] it did, and something came */
};

/* --- tls.c --- */

/* Every call begins with the lock, the socket, and the thread's own errors put aside; and ends with them put back. */
void wsf_tls_enter(struct wsf_tls *tls, struct wsf_socket *sock);
void wsf_tls_leave(struct wsf_tls *tls);
/* An operation of OpenSSL gave nothing: 0 = the end, -EAGAIN, or another negative errno. */
int wsf_tls_outcome(struct wsf_tls *tls);

/*
 * --- tls_bio.c ---
 *
 * OpenSSL reads and writes through a BIO of ours that is as good as a memory BIO, without its copies: cipher bytes are
 * received straight into OpenSSL's buffer, and gathered behind one another to be sent at once. What the socket does not
 * take stays here, so that OpenSSL is never left with half a record to try again.
 */
BIO *wsf_tls_new_bio(struct wsf_tls *tls);
/* Count the other end's key updates, tickets and requests behind the handshake: so many without data are an attack. */
void wsf_tls_count_messages(struct wsf_tls *tls);
/* Cipher bytes that the socket has not taken. */
size_t wsf_tls_owed(const struct wsf_tls *tls);
/* Send them. Returns 0 = all is with the kernel, -EAGAIN, or another negative errno. */
int wsf_tls_flush_out(struct wsf_tls *tls);
/* Give their memory back if it holds none, and is small or the connection idle. */
void wsf_tls_release_out(struct wsf_tls *tls, bool idle);

/* --- tls_handshake.c --- */

/* Client: what to ask for and to check. Returns 0, -ENOMEM, -EINVAL (name). */
int wsf_tls_set_up_client(struct wsf_tls *tls, const char *name, const char *session_key);
/* Go on with the handshake. Returns 0 = done, -EAGAIN, or another negative errno, with the failure. */
int wsf_tls_shake_hands(struct wsf_tls *tls);

#endif
