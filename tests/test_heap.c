/* SPDX-License-Identifier: 0BSD */
/* The heap of timers. */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "heap.h"

#define NODES 200
#define STEPS 20000

static uint32_t next_number(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

START_TEST(an_empty_heap_has_no_root)
{
	struct wsf_heap heap = { 0 };
	struct wsf_heap_node node = { 0 };

	wsf_heap_remove(&heap, &node);
	ck_assert_ptr_null(heap.root);
	wsf_heap_put(&heap, &node, 5);
	ck_assert_ptr_eq(heap.root, &node);
	wsf_heap_put(&heap, &node, 7);
	ck_assert_ptr_eq(heap.root, &node);
	ck_assert_int_eq(node.key, 7);
	wsf_heap_remove(&heap, &node);
	wsf_heap_remove(&heap, &node);
	ck_assert_ptr_null(heap.root);
}
END_TEST

static void check_root(const struct wsf_heap *heap, const struct wsf_heap_node *nodes, const bool *in)
{
	const struct wsf_heap_node *least = NULL;

	for (int i = 0; i < NODES; i++)
		if (in[i] && (least == NULL || nodes[i].key < least->key))
			least = &nodes[i];
	ck_assert((heap->root == NULL) == (least == NULL));
	if (least != NULL)
		ck_assert_int_eq(heap->root->key, least->key);
}

START_TEST(the_root_is_the_least_whatever_comes_and_goes)
{
	static struct wsf_heap_node nodes[NODES];
	static bool in[NODES];
	struct wsf_heap heap = { 0 };
	uint32_t state = (uint32_t)_i;

	for (int step = 0; step < STEPS; step++) {
		uint32_t i = next_number(&state) % NODES, what = next_number(&state) % 4;

		if (what == 3 && heap.root != NULL) {
			in[heap.root - nodes] = false;
			wsf_heap_remove(&heap, heap.root);
		} else if (what == 2) {
			in[i] = false;
			wsf_heap_remove(&heap, &nodes[i]);
		} else {
			in[i] = true;
			wsf_heap_put(&heap, &nodes[i], (int64_t)(next_number(&state) % 1000) - 500);
		}
		check_root(&heap, nodes, in);
	}
}
END_TEST

START_TEST(keys_come_out_in_order)
{
	static struct wsf_heap_node nodes[STEPS];
	struct wsf_heap heap = { 0 };
	uint32_t state = 1;
	int64_t last = INT64_MIN;

	for (int i = 0; i < STEPS; i++)
		wsf_heap_put(&heap, &nodes[i], i % 2 == 0 ? (int64_t)next_number(&state) : i);
	for (int i = 0; i < STEPS; i++) {
		ck_assert_ptr_nonnull(heap.root);
		ck_assert(heap.root->key >= last);
		last = heap.root->key;
		wsf_heap_remove(&heap, heap.root);
	}
	ck_assert_ptr_null(heap.root);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap");
	TCase *tcase = tcase_create("heap");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, an_empty_heap_has_no_root);
	tcase_add_loop_test(tcase, the_root_is_the_least_whatever_comes_and_goes, 0, 8);
	tcase_add_test(tcase, keys_come_out_in_order);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
