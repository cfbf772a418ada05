/* SPDX-License-Identifier: 0BSD */
/* What the comparisons with plain OpenSSL share. Called in a process of its own. */
#ifndef WSBENCH_TLS_H
#define WSBENCH_TLS_H

#include <openssl/ssl.h>

/* Contexts that do what a wss stream's do: one cipher, verification of name and chain by the client. */
SSL_CTX *bench_server_context(void);
SSL_CTX *bench_client_context(void);
/* A connection over a connected, blocking socket, before its handshake. */
SSL *bench_ssl(SSL_CTX *ctx, int fd);
_Noreturn void bench_die_tls(const char *what);

#endif
