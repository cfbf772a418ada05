/* SPDX-License-Identifier: 0BSD */
/*
 * wsfile inside a program that runs libwebsockets itself: the only header that shows libwebsockets. The page ws_lws(3)
 * is the contract, and tells the limits of libwebsockets' own "ws" role.
 */
#ifndef WSFILE_LWS_H
#define WSFILE_LWS_H

#include <libwebsockets.h>

#include "wsfile.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A listener without a socket: each WebSocket connection that the program's own context serves, or opens as a client,
 * under protocol_name comes out of ws_accept(3). Of options only what concerns the stream counts, not its opening.
 * Freed by ws_listener_close(3), after the context: see ws_lws(3).
 *
 * Returns NULL with errno EINVAL (name, options), ENOMEM; see ws_last_error(3).
 */
WS_EXPORT struct ws_listener *ws_listen_lws(const char *protocol_name, const struct ws_options *options);

/*
 * The entry for the table of protocols of the program's vhosts, or of its client's context; it may be copied, and what
 * it points to lives as long as the listener. NULL with errno EINVAL where the listener is not of ws_listen_lws(3).
 */
WS_EXPORT const struct lws_protocols *ws_lws_protocol(struct ws_listener *listener);

#ifdef __cplusplus
}
#endif

#endif
