/* SPDX-License-Identifier: 0BSD */
/*
 * The plain bytes of a TLS 1.3 connection of this process, read from what passed on the wire: as much as whole records
 * give. The program is linked so that SSL_CTX_new has the traffic secrets logged, and that no session is resumed. It
 * knows no sockets.
 */
#ifndef FAULT_KEYS_H
#define FAULT_KEYS_H

#include <stdbool.h>

#include "bytes.h"

/*
 * wire is what passed in one direction, hello what the client sent. plain gets the application's data, start where its
 * first record begins (0 = none did), notified whether close_notify came.
 */
void fault_keys_read(const struct bytes *wire, const struct bytes *hello, bool from_client, struct bytes *plain,
    size_t *start, bool *notified);
/* Forget the secrets of that connection; NULL = all. */
void fault_keys_forget(const struct bytes *hello);

#endif
