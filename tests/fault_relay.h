/* SPDX-License-Identifier: 0BSD */
/*
 * A proxy on loopback for one connection: HTTP CONNECT or SOCKS5, then bytes both ways. It asks for no memory but its
 * own object, and gives up without a word. Called from the test's thread.
 */
#ifndef FAULT_RELAY_H
#define FAULT_RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct relay;

struct relay *relay_start(bool socks);
void relay_url(const struct relay *relay, char *out, size_t size);
/* NULL does nothing. */
void relay_end(struct relay *relay);

#endif
