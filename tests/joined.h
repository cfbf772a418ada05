/* SPDX-License-Identifier: 0BSD */
/*
 * Two connected stream sockets of each kind, for ws_fdopen, and what is to be true of a descriptor behind it. Called
 * from the test's thread; everything asserts (Check).
 */
#ifndef JOINED_H
#define JOINED_H

enum joined_kind { JOINED_TCP, JOINED_UNIX, JOINED_PAIR, JOINED_KINDS };

struct joined {
	int fd, peer;			/* fd accepted the connection, where one of them did */
	char path[64];			/* JOINED_UNIX: what fd is bound to; the file is gone already */
};

/* Blocking sockets whose calls give up after 20 s. */
void joined_open(struct joined *joined, enum joined_kind kind);

#define JOINED_TARGET_MAX 128

/* A descriptor before ws_fdopen. */
struct joined_fd {
	int fd, flags, descriptor_flags;
	char target[JOINED_TARGET_MAX];	/* "socket:[17]" */
};

void joined_note(struct joined_fd *before, int fd);
/* It failed: the descriptor is open, of the same socket, with the same flags, and no other one is. */
void joined_is_the_callers(const struct joined_fd *before);
/* It did not: the socket has one descriptor, none of the standard streams' numbers, which no child inherits. */
void joined_is_the_streams(const struct joined_fd *before);

#endif
