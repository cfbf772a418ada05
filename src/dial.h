/* SPDX-License-Identifier: 0BSD */
/*
 * From a URL to an open stream: proxy, connection, TLS, opening handshake, redirects. It knows no stdio. Called by the
 * client's opener, in the program's thread, which it blocks.
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

#endif
