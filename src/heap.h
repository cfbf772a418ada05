/* SPDX-License-Identifier: 0BSD */
/*
 * A pairing heap of deadlines. Its nodes are part of what waits, so that nothing is allocated and nothing can fail; it
 * knows no clock and no lock. The service's helper threads call it, each its own heap.
 */
#ifndef WSF_HEAP_H
#define WSF_HEAP_H

#include <stdint.h>

/* All zero = in no heap. */
struct wsf_heap_node {
	int64_t key;
	struct wsf_heap_node *child, *next, *previous;	/* previous: the sibling before, or the parent */
};

struct wsf_heap {
	struct wsf_heap_node *root;	/* the least key; NULL = empty */
};

/* Put in, or give another key: constant time where the node is new or the key the same, else as wsf_heap_remove. */
void wsf_heap_put(struct wsf_heap *heap, struct wsf_heap_node *node, int64_t key);
/* Take out, if it is in: logarithmic time on average. */
void wsf_heap_remove(struct wsf_heap *heap, struct wsf_heap_node *node);

#endif
