/* SPDX-License-Identifier: 0BSD */
/*
 * The helper threads: each one watches the sockets of its streams and listeners with a libwebsockets context of its
 * own, keeps their timers and is woken by other threads. They know no frames, URLs or FILEs; a stream or listener is
 * called on one helper thread only, always the same. The openers call the service from the program's threads; of
 * libwebsockets only lws_cancel_service is called from those.
 */
#ifndef WSF_SERVICE_H
#define WSF_SERVICE_H

#include <stdbool.h>

#include "stream.h"

struct wsf_service;
struct wsf_tls;
struct wsf_link;			/* one socket */

/*
 * The running service, started if there is none, with one more user and at least so many helper threads, at most 64;
 * 0 = what the environment's WSFILE_HELPERS says, or one. They become more while it runs, and fewer only when it ends.
 * Returns 0 or a negative errno. The last release ends the helper threads and waits for them: not to be called on one.
 */
int wsf_service_acquire(struct wsf_service **service, unsigned helpers);
/* One more user of a service that runs. */
void wsf_service_share(struct wsf_service *service);
void wsf_service_release(struct wsf_service *service);
/* The same, as a stream calls it when the program has closed it (wsf_stream_take). */
void wsf_service_leave(void *service);

/*
 * Hand a connected socket to the helper with the fewest streams, for a stream, with TLS over it unless tls is NULL. Any
 * thread. Returns 0: the service closes fd, frees tls and the stream is told by wsf_stream_gone, whatever happens; or
 * -ENOMEM: fd and tls are still the caller's.
 */
int wsf_service_adopt(struct wsf_service *service, int fd, struct wsf_tls *tls, struct wsf_stream *stream);

/* Called on the listener's helper thread, no lock held. */
struct wsf_listen_ops {
	/* A connection. Takes over fd. false = pause until wsf_service_resume. */
	bool (*incoming)(void *user, int fd);
	/* There is one, and no descriptor for it: tried again soon, or upon wsf_service_resume. */
	void (*exhausted)(void *user);
	/*
	 * No more connections come, and the socket is closed: it broke, or wsf_service_end was called. Behind the
	 * latter it is called once more, as the last of all.
	 */
	void (*over)(void *user, bool last);
};

/* Hand a listening, non-blocking socket to the helper. As wsf_service_adopt. */
int wsf_service_listen(struct wsf_service *service, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **link);
void wsf_service_resume(struct wsf_link *link);		/* any thread */
void wsf_service_end(struct wsf_link *link);		/* any thread; then over is, as the last */
void wsf_service_free(struct wsf_link *link);		/* a listener's link, after the last call */

#endif
