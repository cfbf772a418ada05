/* SPDX-License-Identifier: 0BSD */
/*
 * A program that runs libwebsockets itself: a context with a vhost on a port of the system's choice, and a thread that
 * serves it. One protocol is the library's (ws_listen_lws), named SITE_PROTOCOL; the other has tasks for the service
 * thread. Called from the test's thread; everything asserts (Check).
 */
#ifndef SITE_H
#define SITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wsfile_lws.h"

#define SITE_PROTOCOL "bytes"

struct site {
	struct ws_listener *listener;
	struct lws_context *context;
	struct lws_protocols protocols[3];
	unsigned port;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	void (*task)(void *);		/* under lock; NULL = none */
	void *argument;
};

/* Options may be NULL. */
void site_open(struct site *site, const struct ws_options *options);
/* The same, and libwebsockets accepts permessage-deflate. Returns whether it can. */
bool site_open_deflating(struct site *site, const struct ws_options *options);
/* End the thread, the context stays. */
void site_stop(struct site *site);
/* Destroy the context, when the thread has ended. */
void site_destroy(struct site *site);
/* All that is left: thread, context, listener. */
void site_close(struct site *site);

/* Run a task on the service thread, and wait until it is done. */
void site_run(struct site *site, void (*task)(void *), void *argument);
/* Have the context open a connection to a server there; it comes out of ws_accept. */
void site_connect(struct site *site, unsigned port);
/* The next stream. */
FILE *site_accept(struct site *site, const char *mode);
/* A raw peer that has opened a connection under the protocol. */
int site_peer(struct site *site, int receive_bytes);
/* The library's own client. */
FILE *site_client(struct site *site, const char *mode, const struct ws_options *options);

#endif
