/* SPDX-License-Identifier: 0BSD */
/*
 * A raw TLS peer for the tests: OpenSSL of its own over the blocking sockets of peer.h, in either role, with the few
 * lines of WebSocket that peer.h has for plain sockets; it can misbehave and shares no code with the library.
 * Everything asserts (Check) on a local failure, but for the calls named try. One thread at a time uses a peer.
 */
#ifndef TLS_PEER_H
#define TLS_PEER_H

#include <openssl/ssl.h>

#include "peer.h"

/* How a peer opens. Zero-initialised = TLS 1.2 to 1.3, no certificate, no check of the other end. */
struct tls_setup {
	bool plain;			/* no TLS at all: the functions below work on the bare socket */
	const char *cert_file, *key_file;	/* PEM; the certificate may be followed by its chain */
	const char *ca_file;		/* the other end's certificate is checked against it; a server asks for one */
	bool demand;			/* server with ca_file: a client without a certificate is refused */
	int min_version, max_version;	/* TLS1_VERSION to TLS1_3_VERSION; 0 = 1.2 and 1.3 */
	const char *ciphers;		/* of TLS 1.2 and below; NULL = OpenSSL's */
	const char *alpn;		/* one protocol: a client offers it, a server insists on it; NULL = none */
	bool alpn_unasked;		/* server: answer alpn, whatever was offered */
	const char *server_name;	/* client: the name to ask for, NULL = none */
	bool renegotiation;		/* let the other end renegotiate */
	size_t cut_after_bytes;		/* TCP ends when so many bytes have been sent, 0 = never */
	bool byte_by_byte;		/* each byte is a packet of its own */
	SSL_CTX *context;		/* one of tls_context, to be used again; NULL = a new one */
	SSL_SESSION *session;		/* client: to be resumed; NULL = none */
};

struct tls_peer {
	int fd;				/* -1 = closed */
	bool server;
	SSL *ssl;			/* NULL = plain */
	size_t left_bytes;		/* until the cut, SIZE_MAX = no cut */
	bool byte_by_byte;
	unsigned key_updates;		/* received */
	int hesitate_ms;		/* answers to requests are sent when the other end has been silent so long */
	char error[256];		/* why the handshake failed */
};

/* A context for several peers, to be freed with SSL_CTX_free. */
SSL_CTX *tls_context(bool server, const struct tls_setup *setup);

/* The TLS handshake over a connected socket, which is the peer's from now on. False = it failed, and error says why. */
bool tls_peer_try_open(struct tls_peer *peer, int fd, bool server, const struct tls_setup *setup);
void tls_peer_open(struct tls_peer *peer, int fd, bool server, const struct tls_setup *setup);
/* Close the socket, without a close_notify, and free. */
void tls_peer_clear(struct tls_peer *peer);

bool tls_peer_try_send(struct tls_peer *peer, const void *data, size_t size);
void tls_peer_send(struct tls_peer *peer, const void *data, size_t size);
/* Exactly size, or fewer at the end. */
size_t tls_peer_recv(struct tls_peer *peer, void *data, size_t size);

/* What ends the other side's data. */
enum tls_end { TLS_END_NOTIFIED, TLS_END_CUT, TLS_END_ERROR };
/* Discard all data up to the end. A plain peer knows only TLS_END_CUT. */
enum tls_end tls_peer_end(struct tls_peer *peer);
void tls_peer_notify(struct tls_peer *peer);	/* close_notify */
void tls_peer_fin(struct tls_peer *peer);	/* TCP's end, with no close_notify by itself */

/* TLS 1.3: a KeyUpdate now, and with both a wish for one in return. */
void tls_peer_key_update(struct tls_peer *peer, bool both);
/* TLS 1.2: ask for a renegotiation. True = the other end went along. */
bool tls_peer_renegotiate(struct tls_peer *peer);

/* --- as the functions of the same names in peer.h --- */
char *tls_peer_serve_handshake(struct tls_peer *peer);
char *tls_peer_serve_answer(struct tls_peer *peer, const char *format);
void tls_peer_client_handshake(struct tls_peer *peer, const char *host, const char *target, const char *extra);
char *tls_peer_client_raw(struct tls_peer *peer, const char *text, size_t size);
void tls_peer_frame(struct tls_peer *peer, unsigned byte0, const void *payload, size_t size);
bool tls_peer_try_frame(struct tls_peer *peer, unsigned byte0, const void *payload, size_t size);
void tls_peer_close(struct tls_peer *peer, unsigned code, const char *reason);
bool tls_peer_read_frame(struct tls_peer *peer, struct peer_frame *frame);
unsigned tls_peer_read_until_close(struct tls_peer *peer, uint8_t **data, size_t *size);
/* As a well-behaved peer: read until the Close, answer it with 1000, close_notify and FIN; then wait for the end. */
unsigned tls_peer_finish(struct tls_peer *peer, uint8_t **data, size_t *size);

/* --- a server in a thread: one connection --- */
struct tls_server {
	const struct tls_setup *setup;
	void (*body)(struct tls_server *server);	/* after TLS's handshake; NULL = WebSocket's, and finish */
	void *argument;			/* body's own */
	int listener;
	unsigned port;
	pthread_t thread;
	struct tls_peer peer;
	bool opened;			/* the TLS handshake succeeded */
	unsigned close_code;		/* body NULL: what tls_peer_finish returned, and the data */
	uint8_t *data;
	size_t size;
};

/* The members setup, body and argument are set; the others are filled. */
void tls_server_start(struct tls_server *server);
void tls_server_join(struct tls_server *server);	/* wait for the thread */
void tls_server_clear(struct tls_server *server);	/* join where it was not, and free */

#endif
