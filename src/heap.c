/* SPDX-License-Identifier: 0BSD */
/* Fredman, Sedgewick, Sleator, Tarjan: The pairing heap, 1986. */
#include <stdbool.h>
#include <stddef.h>

#include "heap.h"

/* Two trees become one; either may be NULL. */
static struct wsf_heap_node *merge(struct wsf_heap_node *a, struct wsf_heap_node *b)
{
	struct wsf_heap_node *less, *more;

	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	less = a->key <= b->key ? a : b;
	more = less == a ? b : a;
	more->next = less->child;
	if (more->next != NULL)
		more->next->previous = more;
	more->previous = less;
	less->child = more;
	return less;
}

/* A row of siblings becomes one tree: in pairs, then, from the last pair on, one after the other. */
static struct wsf_heap_node *merge_all(struct wsf_heap_node *first)
{
	struct wsf_heap_node *pairs = NULL, *tree = NULL, *a, *b;

	while (first != NULL) {
		a = first;
		b = a->next;
		first = b != NULL ? b->next : NULL;
		a->next = a->previous = NULL;
		if (b != NULL)
			b->next = b->previous = NULL;
		a = merge(a, b);
		a->next = pairs;
		pairs = a;
	}
	while ((a = pairs) != NULL) {
		pairs = a->next;
		a->next = NULL;
		tree = merge(tree, a);
	}
	return tree;
}

void wsf_heap_remove(struct wsf_heap *heap, struct wsf_heap_node *node)
{
	struct wsf_heap_node *below;

	if (node != heap->root && node->previous == NULL)
		return;
	below = merge_all(node->child);
	if (node == heap->root) {
		heap->root = below;
	} else {
		if (node->previous->child == node)
			node->previous->child = node->next;
		else
			node->previous->next = node->next;
		if (node->next != NULL)
			node->next->previous = node->previous;
		heap->root = merge(heap->root, below);
	}
	node->child = node->next = node->previous = NULL;
}

void wsf_heap_put(struct wsf_heap *heap, struct wsf_heap_node *node, int64_t key)
{
	bool in = heap->root == node || node->previous != NULL;

	if (in && node->key == key)
		return;
	wsf_heap_remove(heap, node);
	node->key = key;
	heap->root = merge(heap->root, node);
}
