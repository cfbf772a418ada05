/* SPDX-License-Identifier: 0BSD */
/*
 * A descriptor that poll(2) finds readable while a condition holds: an eventfd, or a pipe where there is none. It knows
 * no stream. Its owner calls it from any thread, under a lock of its own.
 */
#ifndef WSF_POLLFD_H
#define WSF_POLLFD_H

#include <stdbool.h>

struct wsf_pollfd {
	int fd;				/* what is polled; -1 = none */
	int write_fd;			/* the other end; fd itself where that is an eventfd */
	bool raised;
};

#define WSF_POLLFD_NONE { -1, -1, false }

/* Not raised. Returns 0, -EMFILE, -ENFILE, -ENOMEM. */
int wsf_pollfd_open(struct wsf_pollfd *pollfd);
/* Does nothing where there is none, or where it is so already. */
void wsf_pollfd_set(struct wsf_pollfd *pollfd, bool raised);
void wsf_pollfd_close(struct wsf_pollfd *pollfd);

#endif
