/* SPDX-License-Identifier: 0BSD */
/*
 * Which process this is: what must not be used twice, a nonce or a masking key, is not to be shared with a forked
 * child. It knows nothing else. Called from any thread.
 */
#ifndef WSF_PROCESS_H
#define WSF_PROCESS_H

/* How many forks lie between the process that loaded the library and this one. No system call. */
unsigned wsf_process_generation(void);

#endif
