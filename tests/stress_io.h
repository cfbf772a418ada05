/* SPDX-License-Identifier: 0BSD */
/* Bytes of a session, in every way the library has to send and receive them: stress_io.c, for stress_end.c. */
#ifndef STRESS_IO_H
#define STRESS_IO_H

#include "stress.h"

#define CHUNK 20000

/* Send so many more. Returns whether all of that worked; if not, nothing more is to be sent. */
bool give(struct work *work, uint64_t bytes);
bool flush(struct work *work);
/* Receive so many more, and check them. Returns whether they came; if not, the reason is in end->reading. */
bool take(struct work *work, uint64_t bytes);
/* Both at once, never blocking but in poll: all that is to be sent, then a Close; to the peer's end. */
void give_and_take(struct work *work);
/* The same with the descriptor of ws_socket. */
void give_and_take_fd(struct work *work);
/* What was received is what the peer sends. */
void check(struct work *work, const void *data, size_t size);

#endif
