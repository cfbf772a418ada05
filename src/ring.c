/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ring.h"

/* From this size on the storage is a mapping of its own: given back, it reaches the system, whatever malloc does. */
#define MAPPED_MIN 65536
/* Storage up to the largest is just what is needed; beyond, it is the whole capacity. */
#define SMALL_MIN 64
#define SMALL_MAX 2048

static uint8_t *get_storage(size_t size)
{
	void *data;

	if (size < MAPPED_MIN)
		return malloc(size);
	data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return data != MAP_FAILED ? data : NULL;
}

static void give_back(uint8_t *data, size_t size)
{
	if (size < MAPPED_MIN)
		free(data);
	else if (data != NULL)
		munmap(data, size);
}

void wsf_ring_init(struct wsf_ring *ring, size_t capacity_bytes)
{
	size_t capacity = 1;

	while (capacity < capacity_bytes && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	*ring = (struct wsf_ring){ .capacity_bytes = capacity };
}

void wsf_ring_clear(struct wsf_ring *ring)
{
	if (!ring)
		return;
	give_back(ring->data, ring->storage_bytes);
	ring->data = NULL;
	ring->storage_bytes = 0;
	ring->written = ring->read = ring->kept = 0;
}

size_t wsf_ring_used(const struct wsf_ring *ring)
{
	return (size_t)(ring->written - ring->read);
}

size_t wsf_ring_room(const struct wsf_ring *ring)
{
	return ring->capacity_bytes - (size_t)(ring->written - ring->kept);
}

static int span_at(const struct wsf_ring *ring, uint64_t position, size_t size, struct iovec span[2])
{
	size_t start = (size_t)position & (ring->storage_bytes - 1);
	size_t until_wrap = ring->storage_bytes - start;

	if (size == 0 || !ring->data)
		return 0;
	span[0] = (struct iovec){ ring->data + start, size < until_wrap ? size : until_wrap };
	if (size <= until_wrap)
		return 1;
	span[1] = (struct iovec){ ring->data, size - until_wrap };
	return 2;
}

/* Other storage, with everything that is kept or to be read. Returns false without memory. */
static bool move_to(struct wsf_ring *ring, size_t storage_bytes)
{
	struct wsf_ring to = *ring;
	struct iovec from[2], piece[2];
	uint64_t at = ring->kept;
	const uint8_t *data;
	int count, pieces;

	to.storage_bytes = storage_bytes;
	to.data = get_storage(storage_bytes);
	if (!to.data)
		return false;
	count = span_at(ring, at, (size_t)(ring->written - at), from);
	for (int i = 0; i < count; i++) {
		data = from[i].iov_base;
		pieces = span_at(&to, at, from[i].iov_len, piece);
		for (int j = 0; j < pieces; j++) {
			memcpy(piece[j].iov_base, data, piece[j].iov_len);
			data += piece[j].iov_len;
		}
		at += from[i].iov_len;
	}
	give_back(ring->data, ring->storage_bytes);
	*ring = to;
	return true;
}

static size_t least_storage(size_t needed)
{
	size_t bytes = SMALL_MIN;

	while (bytes < needed)
		bytes *= 2;
	return bytes;
}

int wsf_ring_reserve(struct wsf_ring *ring, size_t size)
{
	size_t room = wsf_ring_room(ring);
	size_t needed = (size_t)(ring->written - ring->kept) + (size < room ? size : room), bytes;

	if (ring->storage_bytes >= needed)
		return 0;
	bytes = needed <= SMALL_MAX ? least_storage(needed) : ring->capacity_bytes;
	return move_to(ring, bytes < ring->capacity_bytes ? bytes : ring->capacity_bytes) ? 0 : -ENOMEM;
}

bool wsf_ring_may_grow(const struct wsf_ring *ring)
{
	return ring->storage_bytes < ring->capacity_bytes;
}

bool wsf_ring_release(struct wsf_ring *ring)
{
	size_t kept = (size_t)(ring->read - ring->kept), least = least_storage(kept);

	if (!ring->data)
		return true;
	if (ring->read != ring->written)
		return false;
	if (kept > 0)
		return ring->storage_bytes <= least || move_to(ring, least);
	wsf_ring_clear(ring);
	return true;
}

int wsf_ring_read_span(const struct wsf_ring *ring, size_t size, struct iovec span[2])
{
	size_t used = wsf_ring_used(ring);

	return span_at(ring, ring->read, size < used ? size : used, span);
}

int wsf_ring_write_span(const struct wsf_ring *ring, size_t size, struct iovec span[2])
{
	size_t room = ring->storage_bytes - (size_t)(ring->written - ring->kept);

	return span_at(ring, ring->written, size < room ? size : room, span);
}

void wsf_ring_commit(struct wsf_ring *ring, size_t size)
{
	ring->written += size;
}

void wsf_ring_consume(struct wsf_ring *ring, size_t size, size_t keep_bytes)
{
	ring->read += size;
	/* Never backwards: what was given up may be overwritten already. */
	if (ring->read - ring->kept > keep_bytes)
		ring->kept = ring->read - keep_bytes;
}

int wsf_ring_unread(struct wsf_ring *ring, size_t size)
{
	if (size == 0)
		return 0;
	if (size > ring->read - ring->kept)
		return -ESPIPE;
	ring->read -= size;
	return 0;
}

void wsf_ring_forget(struct wsf_ring *ring)
{
	ring->kept = ring->read;
	if (ring->read == ring->written)
		ring->written = ring->read = ring->kept = 0;
}
