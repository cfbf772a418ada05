/* SPDX-License-Identifier: 0BSD */
/*
 * Both ends of a TLS connection in memory, with OpenSSL alone between our contexts, or those of a test: no sockets, no
 * threads. It uses the certificates of pki.h. Called by the tests, in the test's thread.
 */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include <stdbool.h>

#include "tls_private.h"

struct pair_end {
	SSL *ssl;
	const char *name;		/* that was asked for, NULL on a server */
	bool done;			/* the handshake */
	bool failed;			/* and this is why */
	struct wsf_failure failure;
};

struct pair {
	struct pair_end client, server;
};

/* pki_file, but for NULL. */
const char *pair_file(const char *name);
/* The defaults with a certificate and a key of pki.h; both may be NULL. */
struct ws_options pair_options(const char *cert, const char *key);
/* A context; that this fails is a failure of the test. */
struct wsf_tls_context *pair_context(const struct ws_options *options, bool server);

/* Nothing is said yet. The client asks for name and checks it; NULL = neither. */
void pair_open(struct pair *pair, SSL_CTX *client, SSL_CTX *server, const char *name);
/* Let one end go on; returns whether its handshake is done by this, or has failed. */
bool pair_step(struct pair_end *end);
/* Let both go on until neither has anything to say. */
void pair_run(struct pair *pair);
/* As of a connection that ended in order. */
void pair_close(struct pair *pair);

#endif
