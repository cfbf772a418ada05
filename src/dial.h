/* SPDX-License-Identifier: 0BSD */
/*
 * From a URL to an open stream: proxy, connection, TLS, opening handshake, redirects. It knows no stdio. Called by the
 * client's openers, in the program's thread, which it blocks.
 */
#ifndef WSF_DIAL_H
#define WSF_DIAL_H

#include "errmap.h"
#include "options.h"
#include "service.h"
#include "stream.h"
#include "url.h"

/*
 * Open a client's stream, with a reference for the caller. Whatever comes of it, secrets in the options are wiped.
 * Returns 0, or a negative errno with the failure filled.
 */
int wsf_dial(struct wsf_service *service, const struct wsf_url *url, struct wsf_options *options,
    struct wsf_stream **stream, struct wsf_failure *failure);
/*
 * The same over a connected, non-blocking socket, with the initial bytes of the options before it: TLS and the opening
 * handshake only, and a redirect is a failure. Takes over fd, which is closed on failure.
 */
int wsf_dial_over(struct wsf_service *service, int fd, const struct wsf_url *url, struct wsf_options *options,
    struct wsf_stream **stream, struct wsf_failure *failure);

/* What an opener has when all but the connection is there, so that what else can fail is done in between. */
struct wsf_dialing {
	struct wsf_options *options;
	struct wsf_url url;
	struct wsf_service *service;	/* NULL = the stream's now */
};

/* Both return 0, or a negative errno with the failure filled. */
int wsf_dialing_begin(struct wsf_dialing *dialing, const char *url, const struct ws_options *options,
    struct wsf_failure *failure);
/* wsf_dial, and the stream is the program's: wsf_stream_close lets the service go, too. */
int wsf_dialing_open(struct wsf_dialing *dialing, const struct wsf_mode *mode, struct wsf_stream **stream,
    struct wsf_failure *failure);
/* After a begin that returned 0, whatever came of it. */
void wsf_dialing_end(struct wsf_dialing *dialing);

#endif
