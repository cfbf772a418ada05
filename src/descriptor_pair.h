/* SPDX-License-Identifier: 0BSD */
/*
 * A connected pair of local sockets: one for the program, the other ours, which can end with an error. It knows no
 * stream. Opened by the program's thread; then one thread of the descriptor's gives, and one takes, waits and closes.
 *
 * What the program reads when our end is closed has to be ECONNRESET, unless the peer said goodbye: also when its child
 * has the descriptor and this process is killed. Linux has that error for a local socket whose other end is closed with
 * something unread. So there is always one byte unread in ours: at first one of our own, later the last one that the
 * program wrote and we have seen already. Only an orderly end takes it out.
 *
 * TCP over loopback can be reset, too, but that is not enough. Measured on Linux 6.18: a write takes the error away
 * from the reader, who may be another process and sees the end of file then. And a program that closes with something
 * unread loses what it wrote and we have not received: 3.8 of 3.9 MB, which a local socket has all delivered.
 */
#ifndef WSF_DESCRIPTOR_PAIR_H
#define WSF_DESCRIPTOR_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct wsf_pair {
	int fd;				/* ours */
	int poller;			/* epoll: fd can always be read, so only changes are of interest */
};

/* *theirs is the program's. Returns 0 or a negative errno; -EPROTONOSUPPORT where there is no such pair. */
int wsf_pair_open(struct wsf_pair *pair, int *theirs);
/* Give the program data; blocks. Returns 0, or -EPIPE: it reads no more. */
int wsf_pair_give(const struct wsf_pair *pair, const void *data, size_t size);
/* The end of file, behind what was given. */
void wsf_pair_give_end(const struct wsf_pair *pair);

/* What the program wrote: at least one byte, 0 = it writes no more, -EAGAIN = nothing now, -EIO. size is not 0. */
ssize_t wsf_pair_take(const struct wsf_pair *pair, void *buffer, size_t size);
/* The program's writes fail from now on. */
void wsf_pair_refuse(const struct wsf_pair *pair);
/* Whether neither direction is open: the program has closed its end, or each was ended. */
bool wsf_pair_over(const struct wsf_pair *pair);
/* Block until something has changed since the last call. */
void wsf_pair_wait(const struct wsf_pair *pair, int64_t until_ns);
/* Another thread: have that return. */
void wsf_pair_wake(const struct wsf_pair *pair);
/* Broken: the program reads ECONNRESET behind what was given. */
void wsf_pair_close(struct wsf_pair *pair, bool broken);

#endif
