/* SPDX-License-Identifier: 0BSD */
/*
 * A raw server (tls_peer.h) for one stream of the library, over ws or wss: it sends bytes in pieces and ends as it is
 * told, or takes what the stream sends. It knows no consumer. Called from the test's thread; all of it asserts (Check).
 */
#ifndef SENDER_H
#define SENDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tls_wire.h"

enum ending { END_GOODBYE, END_FIN, END_RESET };

/* Zero-initialised = nothing is sent, and the stream's Close is waited for. */
struct plan {
	const uint8_t *data;
	size_t size;
	size_t most;			/* bytes in a piece: 1 to this, by lot */
	bool paced;			/* each when the stream's reader has taken the one before */
	enum ending ending;
	size_t take_bytes;		/* with FIN or RESET: before that, so many bytes of payload have to come */

	/* Before the bytes behind live_at are sent, live_size bytes have to come from live_fd. 0 = no such wait. */
	size_t live_at;
	int live_fd;
	size_t live_size;
	char *live_data;		/* they come here */
};

struct sender {
	/* the test's, until sender_open */
	bool secure;
	bool descriptor;		/* fdopen over ws_socket in place of ws_fopen */
	size_t stdio_bytes;
	uint32_t lot;
	struct plan plan;

	FILE *stream;			/* the test's to close */
	atomic_bool abandoned;		/* the reader has returned: there is no pace any more */
	unsigned close_code;		/* of the stream's Close, 0 = TCP ended; when joined, as the next two */
	uint8_t *data;			/* what it sent */
	size_t size;

	/* private */
	struct tls_setup setup;
	struct tls_server server;
	struct wsf_stream *looked_at;	/* by the thread; NULL over a descriptor */
	pthread_t thread;
	size_t sent_bytes;
	unsigned fragments;		/* of the message that is under way */
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool sent;
};

/* Opens the stream, with mode "r" or "w", and starts to send. */
void sender_open(struct sender *sender, const char *mode);
/* Waits until all is sent: then the stream may be closed. */
void sender_sent(struct sender *sender);
/* When the stream is closed: the end of the server. data is the caller's. */
void sender_join(struct sender *sender);

#endif
