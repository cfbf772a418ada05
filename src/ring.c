/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ring.h"

/* From this size on the storage is a mapping of its own: given back, it reaches the system, whatever malloc does. */
#define MAPPED_MIN 65536

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
	give_back(ring->data, ring->capacity_bytes);
	free(ring->saved);
	ring->data = ring->saved = NULL;
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
	size_t start = (size_t)position & (ring->capacity_bytes - 1);
	size_t until_wrap = ring->capacity_bytes - start;

	if (size == 0 || !ring->data)
		return 0;
	span[0] = (struct iovec){ ring->data + start, size < until_wrap ? size : until_wrap };
	if (size <= until_wrap)
		return 1;
	span[1] = (struct iovec){ ring->data, size - until_wrap };
	return 2;
}

int wsf_ring_reserve(struct wsf_ring *ring)
{
	if (ring->data)
		return 0;
	ring->data = get_storage(ring->capacity_bytes);
	if (!ring->data)
		return -ENOMEM;
	if (ring->saved) {
		memcpy(ring->data, ring->saved, (size_t)ring->read);
		free(ring->saved);
		ring->saved = NULL;
	}
	return 0;
}

/* Copy what is kept aside, to where the storage will start again. Returns false without memory. */
static bool save_kept(struct wsf_ring *ring)
{
	size_t kept = (size_t)(ring->read - ring->kept), done = 0;
	struct iovec span[2];
	int count;

	if (kept > 0) {
		ring->saved = malloc(kept);
		if (!ring->saved)
			return false;
	}
	count = span_at(ring, ring->kept, kept, span);
	for (int i = 0; i < count; i++) {
		memcpy(ring->saved + done, span[i].iov_base, span[i].iov_len);
		done += span[i].iov_len;
	}
	ring->kept = 0;
	ring->read = ring->written = kept;
	return true;
}

bool wsf_ring_release(struct wsf_ring *ring)
{
	if (!ring->data)
		return true;
	if (ring->read != ring->written || !save_kept(ring))
		return false;
	give_back(ring->data, ring->capacity_bytes);
	ring->data = NULL;
	return true;
}

int wsf_ring_read_span(const struct wsf_ring *ring, size_t size, struct iovec span[2])
{
	size_t used = wsf_ring_used(ring);

	return span_at(ring, ring->read, size < used ? size : used, span);
}

int wsf_ring_write_span(const struct wsf_ring *ring, size_t size, struct iovec span[2])
{
	size_t room = wsf_ring_room(ring);

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
	if (wsf_ring_reserve(ring) != 0)
		return -ENOMEM;
	ring->read -= size;
	return 0;
}

void wsf_ring_forget(struct wsf_ring *ring)
{
	ring->kept = ring->read;
	free(ring->saved);
	ring->saved = NULL;
	if (ring->read == ring->written)
		ring->written = ring->read = ring->kept = 0;
}
