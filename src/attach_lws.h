/* SPDX-License-Identifier: 0BSD */
/*
 * Where the connections of a program's libwebsockets come in: the hub, one for each listener of ws_listen_lws(3), and
 * what of a connection only libwebsockets' thread may touch. Shared by attach.c (what the program calls), attach_lws.c
 * (what libwebsockets calls), attach_link.c and attach_request.c only.
 */
#ifndef WSF_ATTACH_LWS_H
#define WSF_ATTACH_LWS_H

#include "attach_private.h"
#include "listener.h"
#include "wsfile_lws.h"

/*
 * Legend: [I] immutable, [F] feed lock, [Q] queue lock, [A] atomic, [S] the service thread of the connection.
 * lock.h has their order.
 */
struct wsf_hub {
	atomic_uint refs;		/* [A] the listener's, each connection's, each vhost's */
	atomic_uint vhosts;		/* [A] that have the protocol */
	struct wsf_options *options;	/* [I] */
	struct lws_protocols protocol;	/* [I] */
	pthread_mutex_t feed_lock;
	struct ws_listener *listener;	/* [F] NULL = it is closed */
	atomic_bool full;		/* [A] enough connections wait to be accepted */
	pthread_mutex_t queue_lock;
	struct wsf_link *links;		/* [Q] all that libwebsockets knows */
	struct wsf_link *queue, **queue_end;	/* [Q] those whose wires are to be served */
};

struct wsf_link {
	struct wsf_wire wire;		/* first. libwebsockets' side holds a reference as long as there is a wsi */
	struct wsf_hub *hub;		/* [I] */
	struct wsf_link *previous, *next;	/* [Q] in links */
	struct wsf_link *queue_next;	/* [Q] */
	bool queued;			/* [Q] */
	struct lws_context *context;	/* [Q] NULL = libwebsockets has let go */
	struct lws *wsi;		/* [S] */
	char *request;			/* [S] of a client's connection that is not established yet; else NULL */
	size_t request_bytes;		/* [S] */
	lws_sorted_usec_list_t timer, sweep, stop;	/* [S] */
	int64_t timer_ns;		/* [S] as scheduled */
	bool sweeping;			/* [S] */
	uint8_t *buffer;		/* [S] what was written last: its deflater may still read it */
	size_t buffer_bytes;		/* [S] */
	bool deflates;			/* [S] libwebsockets' own permessage-deflate is agreed */
	bool written;			/* [S] since libwebsockets asked for more */
	bool stopped;			/* [S] flow control */
	bool receiving;			/* [S] inside what libwebsockets calls when something comes */
	bool close_sent;		/* [S] */
	bool ending;			/* [S] the stream has let go: the rest is sent, then it is closed */
};

#define WSF_REQUEST_MAX 65536

/* --- attach.c; any thread --- */

void wsf_hub_ref(struct wsf_hub *hub);
void wsf_hub_unref(struct wsf_hub *hub);

/* --- attach_link.c; the service thread --- */

/* NULL = no memory. Its request is there. */
struct wsf_link *wsf_link_new(struct wsf_hub *hub, struct lws *wsi, bool client);
/* libwebsockets has let go, or will not be asked any more. The stream has gone before. */
void wsf_link_drop(struct wsf_link *link);
/* A client's connection has the program's own user pointer at first. */
struct wsf_link *wsf_link_find(struct wsf_hub *hub, const struct lws *wsi);
/* Do what the stream wants, and have libwebsockets do what follows. */
void wsf_link_serve(struct wsf_link *link);
/* All of a context, on this thread, that another thread has asked for. */
void wsf_link_serve_queued(struct wsf_hub *hub, struct lws_context *context);
/*
 * Whether libwebsockets may be given something. Its deflater may hold some of a message, and read it, until it asks for
 * more: until then, nothing else may be written, not even a Close.
 */
bool wsf_link_may_write(const struct wsf_link *link);
/* One piece of what the stream sends. Returns 0 or -1: it can't go on. */
int wsf_link_write(struct wsf_link *link, const struct wsf_piece *piece);

/* --- attach_lws.c --- */

int wsf_hub_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size);

/* --- attach_request.c; the service thread --- */

/*
 * The request that would have opened the connection, out of what libwebsockets has of the handshake: the client's
 * header fields where it was asked, the server's where it has asked. malloc'd; fields beyond WSF_REQUEST_MAX bytes are
 * left out. NULL = no memory.
 */
char *wsf_attach_request(struct lws *wsi, bool client, size_t *size);

#endif
