/* SPDX-License-Identifier: 0BSD */
/*
 * The helper thread: one libwebsockets context that watches the sockets of streams and listeners, keeps their timers
 * and is woken by other threads. It knows no frames, URLs or FILEs; it calls streams and listeners on the helper thread
 * only. The openers call it from the program's threads; of libwebsockets only lws_cancel_service is called from those.
 */
#ifndef WSF_SERVICE_H
#define WSF_SERVICE_H

#include <stdbool.h>

#include "stream.h"

struct wsf_service;
struct wsf_tls;
struct wsf_link;			/* one socket */

/*
 * The running service, started if there is none, with one more user. Returns 0 or a negative errno. The last release
 * ends the helper thread and waits for it: not to be called on that thread.
 */
int wsf_service_acquire(struct wsf_service **service);
void wsf_service_release(struct wsf_service *service);
/* The same, as a stream calls it when the program has closed it (wsf_stream_take). */
void wsf_service_leave(void *service);

/*
 * Hand a connected, non-blocking socket to the helper, for a stream, with TLS over it unless tls is NULL. Any thread.
 * Returns 0: the service closes fd, frees tls and the stream is told by wsf_stream_gone, whatever happens; or -ENOMEM:
 * fd and tls are still the caller's.
 */
int wsf_service_adopt(struct wsf_service *service, int fd, struct wsf_tls *tls, struct wsf_stream *stream);

/* Called on the helper thread, no lock held. */
struct wsf_listen_ops {
	/* A connection. Takes over fd. false = pause until wsf_service_resume. */
	bool (*incoming)(void *user, int fd);
	/* Nothing more is called: the listening socket is closed. */
	void (*closed)(void *user);
};

/* Hand a listening, non-blocking socket to the helper. As wsf_service_adopt. */
int wsf_service_listen(struct wsf_service *service, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **link);
void wsf_service_resume(struct wsf_link *link);		/* any thread */
void wsf_service_end(struct wsf_link *link);		/* any thread; then closed is called */
void wsf_service_free(struct wsf_link *link);		/* a listener's link, after closed */

#endif
