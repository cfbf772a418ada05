/* SPDX-License-Identifier: 0BSD */
/*
 * What endpoint.c (the receiving half) and endpoint_open.c (the opening handshake) share. It knows what the endpoint
 * knows. Called from the thread that owns receiving.
 */
#ifndef WSF_ENDPOINT_PRIVATE_H
#define WSF_ENDPOINT_PRIVATE_H

#include "endpoint.h"

/* Nothing counts any more; code is the Close to send for it, 0 = none. */
void wsf_endpoint_fault(struct wsf_endpoint *endpoint, struct wsf_events *events, int error, unsigned code,
    const char *text);
/* Returns how many bytes were taken. */
size_t wsf_endpoint_take_handshake(struct wsf_endpoint *endpoint, const uint8_t *in, size_t size,
    struct wsf_events *events);

#endif
