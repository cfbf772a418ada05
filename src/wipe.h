/* SPDX-License-Identifier: 0BSD */
/*
 * Taking secrets out of memory. It knows nothing. Called by whoever held a secret, from any thread.
 */
#ifndef WSF_WIPE_H
#define WSF_WIPE_H

#include <stddef.h>

void wsf_wipe(void *data, size_t size);
/* Free a string whose text was a secret; NULL does nothing. */
void wsf_wipe_free(char *text);

#endif
