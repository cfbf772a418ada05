/* SPDX-License-Identifier: 0BSD */
/*
 * The library at both ends of one connection, and data that goes both ways at once and is checked byte for byte. URLs
 * and options are only handed on. Called from the test's thread; everything asserts (Check).
 */
#ifndef DUET_H
#define DUET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wsfile.h"

struct duet {
	struct ws_listener *listener;
	FILE *client, *server;		/* one stream at each end, or */
	FILE *client_half[2], *server_half[2];	/* a pair */
};

/* Options may be NULL. The client opens the listener's own URL. */
void duet_open(struct duet *duet, const char *url, const struct ws_options *listener, const struct ws_options *client,
    const char *mode);
void duet_open_pairs(struct duet *duet, const char *url, const struct ws_options *listener,
    const struct ws_options *client);
/* The same over a listener that is there already; it stays the caller's. */
void duet_join(struct duet *duet, struct ws_listener *listener, const char *url, const struct ws_options *client,
    const char *mode);
/* fclose all, both ends at once: each must succeed. Then the listener is closed, if it is the duet's own. */
void duet_close(struct duet *duet);

/* One line from each end to the other. */
void duet_greet(struct duet *duet);
/* Bytes by turns, each flushed and read before the next. */
void duet_pass_bytes(struct duet *duet);
/* The client reads lines and answers each, with others unread behind it; so its FILE turns round each time. */
void duet_alternate(struct duet *duet, int lines);

enum duet_kind { DUET_NOISE, DUET_TEXT, DUET_ZEROS, DUET_MIXED };

/* Bytes offset to offset + size of one end's data. DUET_TEXT is valid UTF-8 at every multiple of 4096. */
void duet_fill(enum duet_kind kind, unsigned end, uint64_t offset, void *out, size_t size);

/*
 * In a thread of each half, bytes both ways at once; write sizes vary up to most. Both ends half-close and see EOF. For
 * a duet of pairs.
 */
void duet_exchange(struct duet *duet, enum duet_kind kind, uint64_t bytes, size_t most);
/* From one end (0 = the client) to the other, by streams: written and flushed in a thread, read here. */
void duet_carry(struct duet *duet, unsigned end, enum duet_kind kind, uint64_t bytes, size_t most);

#endif
