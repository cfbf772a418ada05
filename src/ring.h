/* SPDX-License-Identifier: 0BSD */
/*
 * A bounded byte ring of a power-of-two size whose storage comes with the first byte and can be given back when it is
 * empty. Bytes just read can stay, to be un-read. It knows no lock: the stream calls it with its own held, and copies
 * in and out of the spans without, one producer and one consumer at a time.
 */
#ifndef WSF_RING_H
#define WSF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct wsf_ring {
	uint8_t *data;			/* NULL = no storage now */
	uint8_t *saved;			/* without storage: a copy of the bytes kept, from position 0 on; NULL = none */
	size_t capacity_bytes;		/* a power of two */
	uint64_t written, read, kept;	/* positions, kept <= read <= written <= kept + capacity */
};

/* capacity_bytes is rounded up to a power of two. No storage yet. */
void wsf_ring_init(struct wsf_ring *ring, size_t capacity_bytes);
void wsf_ring_clear(struct wsf_ring *ring);

/* Get the storage if there is none. Returns 0 or -ENOMEM. */
int wsf_ring_reserve(struct wsf_ring *ring);
/*
 * Give the storage back if nothing is to be read; what is kept is copied aside. Nobody may be using a span. Returns
 * whether there is no storage now.
 */
bool wsf_ring_release(struct wsf_ring *ring);

size_t wsf_ring_used(const struct wsf_ring *ring);	/* to be read */
size_t wsf_ring_room(const struct wsf_ring *ring);	/* to be written */

/* The next bytes to read, or room to write, at most size: one or two pieces. Returns how many pieces (0 to 2). */
int wsf_ring_read_span(const struct wsf_ring *ring, size_t size, struct iovec span[2]);
int wsf_ring_write_span(const struct wsf_ring *ring, size_t size, struct iovec span[2]);

/* size bytes written into, or read out of, the spans. consume keeps the last keep_bytes read for unread. */
void wsf_ring_commit(struct wsf_ring *ring, size_t size);
void wsf_ring_consume(struct wsf_ring *ring, size_t size, size_t keep_bytes);
/* Make the last size bytes read readable again. Returns 0, -ESPIPE (not kept) or -ENOMEM. */
int wsf_ring_unread(struct wsf_ring *ring, size_t size);
/*
 * Nothing needs to be kept any more; an empty ring starts again at its storage's start (cache, page use), so nobody may
 * be using a span.
 */
void wsf_ring_forget(struct wsf_ring *ring);

#endif
