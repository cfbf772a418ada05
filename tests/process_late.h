/* SPDX-License-Identifier: 0BSD */
/* Called when every exit handler of the library has run. */
#ifndef PROCESS_LATE_H
#define PROCESS_LATE_H

extern void (*process_late)(void);

#endif
