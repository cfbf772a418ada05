/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of the room options: options.c (copy, references, modes) and options_check.c (which values are allowed).
 */
#ifndef WSF_OPTIONS_PRIVATE_H
#define WSF_OPTIONS_PRIVATE_H

#include "options.h"

/* Judge the values, and round the buffers up. Returns 0 or -EINVAL with the failure's text naming the field. */
int wsf_options_check(struct ws_options *values, struct wsf_failure *failure);

#endif
