/* SPDX-License-Identifier: 0BSD */
/*
 * As wire.h, over TLS: one connection with the library at one end, in either role, and a raw TLS peer (tls_peer.h) at
 * the other. The certificates are those of pki.h. Called from the test's thread.
 */
#ifndef TLS_WIRE_H
#define TLS_WIRE_H

#include "tls_peer.h"
#include "wire.h"

struct tls_wire {
	enum wire_role role;		/* the library's */
	FILE *stream;			/* or half, never both */
	FILE *half[2];
	struct ws_listener *listener;	/* the library's, or NULL */
	struct tls_server server;	/* the peer's, where it is one */
	struct tls_peer client;		/* the peer, where it is a client */
	struct tls_peer *peer;		/* whichever it is */

	/* tls_wire_finish */
	pthread_t thread;
	unsigned close_code;
	uint8_t *data;
	size_t size;
};

/*
 * setup and options may be NULL. What they leave open is filled in: certificates, keys and trust, so that the peer's
 * certificate is good and the peer checks none.
 */
void tls_wire_open(struct tls_wire *wire, enum wire_role role, const char *mode, const struct tls_setup *setup,
    const struct ws_options *options);
void tls_wire_open_pair(struct tls_wire *wire, enum wire_role role, const struct tls_setup *setup,
    const struct ws_options *options);
/* Close the peer and the listener; the streams are the test's. */
void tls_wire_end(struct tls_wire *wire);

void tls_wire_say(struct tls_wire *wire, const char *text);	/* one binary message of the peer's */
/* tls_peer_finish in a thread, and its end. */
void tls_wire_finish(struct tls_wire *wire);
void tls_wire_finished(struct tls_wire *wire);
/* fclose: error 0 insists on 0, else on EOF with that errno. */
void tls_wire_fclose(FILE **stream, int error);

/* WS_OPTIONS_INIT, with a listener's server certificate, or a client's trust in it. */
struct ws_options tls_listener_options(const char *cert_name, const char *key_name);
struct ws_options tls_client_options(void);

/* "scheme://host:port/" with the port of another URL. Lives until the next call. */
const char *tls_url(const char *scheme, const char *host, unsigned port);

/* At any port of 127.0.0.1. */
struct ws_listener *tls_listen(const struct ws_options *options, unsigned *port);
/*
 * The next that ws_accept gives is a client of ours; it finds that word in the certificate's subject (NULL = any), and
 * both can talk.
 */
void tls_expect_service(struct ws_listener *listener, const struct ws_options *client, const char *subject);

/* The last opener failed with error, its text is one line, and has each of words, separated by "|". */
void tls_check_failure(int error, const char *words);
void tls_expect_refusal(const char *url, const struct ws_options *options, int error, const char *words);

#endif
