/* SPDX-License-Identifier: 0BSD */
/*
 * A bounded byte ring of a power-of-two size whose storage comes with the first byte, as little as is needed while that
 * is little, and can be given back when it is empty. Bytes just read can stay, to be un-read. It knows no lock: the
 * stream calls it with its own held, and copies in and out of the spans without, one producer and one consumer at a
 * time; but storage that can still grow may only be copied out of with the lock held.
 */
#ifndef WSF_RING_H
#define WSF_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct wsf_ring {
	uint8_t *data;			/* NULL = no storage now */
	size_t storage_bytes;		/* a power of two, at most the capacity; 0 = none */
	size_t capacity_bytes;		/* a power of two */
	uint64_t written, read, kept;	/* positions, kept <= read <= written <= kept + storage */
};

/* capacity_bytes is rounded up to a power of two. No storage yet. */
void wsf_ring_init(struct wsf_ring *ring, size_t capacity_bytes);
void wsf_ring_clear(struct wsf_ring *ring);

/* Get storage for size more bytes, or for as many as there is room for. Returns 0 or -ENOMEM. */
int wsf_ring_reserve(struct wsf_ring *ring, size_t size);
/* Whether the storage may move when more is reserved. */
bool wsf_ring_may_grow(const struct wsf_ring *ring);
/*
 * Give the storage back if nothing is to be read, but for what is kept. Nobody may be using a span. Returns whether
 * nothing more can be given back.
 */
bool wsf_ring_release(struct wsf_ring *ring);

size_t wsf_ring_used(const struct wsf_ring *ring);	/* to be read */
size_t wsf_ring_room(const struct wsf_ring *ring);	/* to be written */

/*
 * The next bytes to read, or room to write that was reserved, at most size: one or two pieces. Returns how many pieces
 * (0 to 2).
 */
int wsf_ring_read_span(const struct wsf_ring *ring, size_t size, struct iovec span[2]);
int wsf_ring_write_span(const struct wsf_ring *ring, size_t size, struct iovec span[2]);

/* size bytes written into, or read out of, the spans. consume keeps the last keep_bytes read for unread. */
void wsf_ring_commit(struct wsf_ring *ring, size_t size);
void wsf_ring_consume(struct wsf_ring *ring, size_t size, size_t keep_bytes);
/* Make the last size bytes read readable again. Returns 0 or -ESPIPE (not kept). */
int wsf_ring_unread(struct wsf_ring *ring, size_t size);
/*
 * Nothing needs to be kept any more; an empty ring starts again at its storage's start (cache, page use), so nobody may
 * be using a span.
 */
void wsf_ring_forget(struct wsf_ring *ring);

#endif
