/* SPDX-License-Identifier: 0BSD */
/*
 * What the openers share: this thread's last error, and how a failure becomes errno. It knows no connections. Called
 * from the program's threads.
 */
#ifndef WSF_OPENER_H
#define WSF_OPENER_H

#include "errmap.h"

/* Set this thread's last error and errno. */
void wsf_opener_failed(const struct wsf_failure *failure);

#endif
