/* SPDX-License-Identifier: 0BSD */
/* The ring of bytes. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "ring.h"

/* A plain array of every byte ever written, and the positions in it. */
#define HISTORY 400000

struct model {
	uint8_t *bytes;
	size_t written, read, kept, capacity;
};

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static size_t span_size(const struct iovec *span, int pieces)
{
	size_t size = 0;

	for (int i = 0; i < pieces; i++)
		size += span[i].iov_len;
	return size;
}

static void check_within(const struct wsf_ring *ring, const struct iovec *span, int pieces)
{
	for (int i = 0; i < pieces; i++) {
		const uint8_t *start = span[i].iov_base;

		ck_assert_uint_gt(span[i].iov_len, 0);
		ck_assert(start >= ring->data);
		ck_assert(start + span[i].iov_len <= ring->data + ring->storage_bytes);
	}
	if (pieces == 2)
		ck_assert_ptr_eq(span[1].iov_base, ring->data);
}

static size_t put(struct wsf_ring *ring, const uint8_t *bytes, size_t size)
{
	struct iovec span[2];
	int pieces = wsf_ring_write_span(ring, size, span);
	size_t done = 0;

	check_within(ring, span, pieces);
	for (int i = 0; i < pieces; i++) {
		memcpy(span[i].iov_base, bytes + done, span[i].iov_len);
		done += span[i].iov_len;
	}
	wsf_ring_commit(ring, done);
	return done;
}

/* Compare with expected what can be read, and consume it. */
static size_t take(struct wsf_ring *ring, const uint8_t *expected, size_t size, size_t keep)
{
	struct iovec span[2];
	int pieces = wsf_ring_read_span(ring, size, span);
	size_t done = 0;

	check_within(ring, span, pieces);
	for (int i = 0; i < pieces; i++) {
		ck_assert_mem_eq(span[i].iov_base, expected + done, span[i].iov_len);
		done += span[i].iov_len;
	}
	wsf_ring_consume(ring, done, keep);
	return done;
}

static void check_same(const struct wsf_ring *ring, const struct model *model)
{
	struct iovec span[2];

	ck_assert_uint_eq(wsf_ring_used(ring), model->written - model->read);
	ck_assert_uint_eq(wsf_ring_room(ring), model->capacity - (model->written - model->kept));
	ck_assert_uint_eq(ring->read - ring->kept, model->read - model->kept);
	if (ring->data) {
		ck_assert_uint_eq(span_size(span, wsf_ring_read_span(ring, SIZE_MAX, span)), wsf_ring_used(ring));
		ck_assert_uint_eq(span_size(span, wsf_ring_write_span(ring, SIZE_MAX, span)),
		    ring->storage_bytes - (model->written - model->kept));
	}
}

static void model_write(struct wsf_ring *ring, struct model *model, size_t size, uint32_t *seed)
{
	size_t room = model->capacity - (model->written - model->kept);
	size_t expected = size < room ? size : room;

	ck_assert_int_eq(wsf_ring_reserve(ring, size), 0);
	for (size_t i = 0; i < expected; i++)
		model->bytes[model->written + i] = (uint8_t)next_random(seed);
	ck_assert_uint_eq(put(ring, model->bytes + model->written, size > expected ? expected : size), expected);
	model->written += expected;
}

static void model_read(struct wsf_ring *ring, struct model *model, size_t size, size_t keep)
{
	size_t used = model->written - model->read;
	size_t expected = size < used ? size : used;
	size_t kept;

	ck_assert_uint_eq(take(ring, model->bytes + model->read, size, keep), expected);
	model->read += expected;
	kept = model->read > keep ? model->read - keep : 0;
	if (kept > model->kept)
		model->kept = kept;
}

static void model_unread(struct wsf_ring *ring, struct model *model, size_t size)
{
	if (size > model->read - model->kept) {
		ck_assert_int_eq(wsf_ring_unread(ring, size), -ESPIPE);
		return;
	}
	ck_assert_int_eq(wsf_ring_unread(ring, size), 0);
	model->read -= size;
}

static void model_forget(struct wsf_ring *ring, struct model *model)
{
	wsf_ring_forget(ring);
	model->kept = model->read;
	if (model->read == model->written) {
		ck_assert_uint_eq(ring->written, 0);
		ck_assert_uint_eq(ring->read, 0);
		ck_assert_uint_eq(ring->kept, 0);
	}
}

static void model_release(struct wsf_ring *ring, const struct model *model)
{
	bool had = ring->data != NULL;
	bool free_now = model->written == model->read;
	size_t kept = model->read - model->kept;

	ck_assert_int_eq(wsf_ring_release(ring), free_now || !had);
	ck_assert_int_eq(ring->data == NULL, (free_now && kept == 0) || !had);
	if (free_now && kept > 0)
		ck_assert(ring->storage_bytes < 2 * kept || ring->storage_bytes <= 64);
}

static const size_t capacities[] = { 1, 2, 16, 64, 1024, 8192 };

START_TEST(behaves_as_a_plain_array)
{
	struct model model = { .bytes = malloc(HISTORY), .capacity = capacities[_i] };
	uint32_t seed = 2463534242U + (uint32_t)_i;
	struct wsf_ring ring;

	ck_assert_ptr_nonnull(model.bytes);
	wsf_ring_init(&ring, model.capacity);
	for (unsigned step = 0; step < 60000 && model.written + model.capacity < HISTORY; step++) {
		size_t size = next_random(&seed) % (model.capacity + model.capacity / 4 + 2);
		size_t keep = next_random(&seed) % (model.capacity + 1);
		uint32_t choice = next_random(&seed) % 16;

		if (choice < 6)
			model_write(&ring, &model, size, &seed);
		else if (choice < 12)
			model_read(&ring, &model, size, choice < 8 ? 0 : keep);
		else if (choice == 12)
			model_unread(&ring, &model, size);
		else if (choice == 13)
			model_unread(&ring, &model, model.read - model.kept);
		else if (choice == 14)
			model_forget(&ring, &model);
		else
			model_release(&ring, &model);
		check_same(&ring, &model);
	}
	ck_assert_uint_gt(model.written, 10 * model.capacity);
	wsf_ring_clear(&ring);
	free(model.bytes);
}
END_TEST

START_TEST(capacity_is_rounded_up_to_a_power_of_two)
{
	static const struct { size_t asked, got; } table[] = {
		{ 0, 1 }, { 1, 1 }, { 2, 2 }, { 3, 4 }, { 4096, 4096 }, { 4097, 8192 },
		{ (size_t)1 << 30, (size_t)1 << 30 }, { SIZE_MAX, SIZE_MAX / 2 + 1 },
	};
	struct wsf_ring ring;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		wsf_ring_init(&ring, table[i].asked);
		ck_assert_uint_eq(ring.capacity_bytes, table[i].got);
		ck_assert_uint_eq(wsf_ring_room(&ring), table[i].got);
		ck_assert_uint_eq(wsf_ring_used(&ring), 0);
		ck_assert_ptr_null(ring.data);
	}
}
END_TEST

START_TEST(no_span_without_storage)
{
	struct wsf_ring ring;
	struct iovec span[2];

	wsf_ring_init(&ring, 64);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 10, span), 0);
	ck_assert_int_eq(wsf_ring_read_span(&ring, 10, span), 0);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 0, span), 0);
	ck_assert_int_eq(wsf_ring_read_span(&ring, 10, span), 0);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 10, span), 1);
	ck_assert_uint_eq(span[0].iov_len, 10);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(spans_wrap_in_two_pieces)
{
	struct wsf_ring ring;
	struct iovec span[2];

	wsf_ring_init(&ring, 16);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	ck_assert_uint_eq(put(&ring, (const uint8_t *)"abcdefghijkl", 12), 12);
	ck_assert_uint_eq(take(&ring, (const uint8_t *)"abcdefghij", 10, 0), 10);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 100, span), 2);
	ck_assert_uint_eq(span[0].iov_len, 4);
	ck_assert_uint_eq(span[1].iov_len, 10);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 4, span), 1);
	ck_assert_uint_eq(put(&ring, (const uint8_t *)"0123456789ABCD", 14), 14);
	ck_assert_uint_eq(wsf_ring_room(&ring), 0);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 1, span), 0);
	ck_assert_int_eq(wsf_ring_read_span(&ring, 100, span), 2);
	ck_assert_uint_eq(span[0].iov_len, 6);
	ck_assert_uint_eq(span[1].iov_len, 10);
	ck_assert_uint_eq(take(&ring, (const uint8_t *)"kl0123456789ABCD", 16, 0), 16);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(kept_bytes_take_room_and_can_be_unread)
{
	struct wsf_ring ring;

	wsf_ring_init(&ring, 8);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	put(&ring, (const uint8_t *)"abcdefgh", 8);
	take(&ring, (const uint8_t *)"abcdef", 6, 4);
	ck_assert_uint_eq(wsf_ring_room(&ring), 2);
	ck_assert_int_eq(wsf_ring_unread(&ring, 5), -ESPIPE);
	ck_assert_uint_eq(wsf_ring_used(&ring), 2);
	ck_assert_int_eq(wsf_ring_unread(&ring, 4), 0);
	ck_assert_int_eq(wsf_ring_unread(&ring, 1), -ESPIPE);
	ck_assert_int_eq(wsf_ring_unread(&ring, 0), 0);
	take(&ring, (const uint8_t *)"cdefgh", 6, 4);
	ck_assert_uint_eq(wsf_ring_room(&ring), 4);
	ck_assert_int_eq(wsf_ring_unread(&ring, 4), 0);
	take(&ring, (const uint8_t *)"efgh", 4, 0);
	ck_assert_int_eq(wsf_ring_unread(&ring, 1), -ESPIPE);
	wsf_ring_clear(&ring);
}
END_TEST

/* Room given back may be overwritten: a larger keep_bytes later can't claim it again. */
START_TEST(keeping_never_goes_backwards)
{
	struct wsf_ring ring;

	wsf_ring_init(&ring, 8);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	put(&ring, (const uint8_t *)"abcdef", 6);
	take(&ring, (const uint8_t *)"abcd", 4, 0);
	take(&ring, (const uint8_t *)"e", 1, 8);
	ck_assert_uint_eq(wsf_ring_room(&ring), 6);
	ck_assert_int_eq(wsf_ring_unread(&ring, 2), -ESPIPE);
	ck_assert_int_eq(wsf_ring_unread(&ring, 1), 0);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(forget_starts_an_empty_ring_again_and_keeps_a_full_one)
{
	struct wsf_ring ring;
	struct iovec span[2];

	wsf_ring_init(&ring, 8);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	put(&ring, (const uint8_t *)"abcdef", 6);
	take(&ring, (const uint8_t *)"abc", 3, 3);
	wsf_ring_forget(&ring);
	ck_assert_uint_eq(wsf_ring_room(&ring), 5);
	ck_assert_int_eq(wsf_ring_unread(&ring, 1), -ESPIPE);
	take(&ring, (const uint8_t *)"def", 3, 3);
	wsf_ring_forget(&ring);
	ck_assert_uint_eq(wsf_ring_room(&ring), 8);
	ck_assert_int_eq(wsf_ring_write_span(&ring, 8, span), 1);
	ck_assert_ptr_eq(span[0].iov_base, ring.data);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(storage_goes_when_nothing_is_used_and_what_is_kept_stays)
{
	struct wsf_ring ring;

	wsf_ring_init(&ring, 8);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	put(&ring, (const uint8_t *)"abc", 3);
	ck_assert(!wsf_ring_release(&ring));
	take(&ring, (const uint8_t *)"abc", 3, 3);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_uint_eq(wsf_ring_room(&ring), 5);
	ck_assert_int_eq(wsf_ring_unread(&ring, 4), -ESPIPE);
	ck_assert_int_eq(wsf_ring_unread(&ring, 2), 0);
	take(&ring, (const uint8_t *)"bc", 2, 1);
	/* Kept bytes on both sides of the storage's end. */
	ck_assert_uint_eq(put(&ring, (const uint8_t *)"defghij", 7), 7);
	take(&ring, (const uint8_t *)"defghij", 7, 7);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_int_eq(wsf_ring_unread(&ring, 7), 0);
	take(&ring, (const uint8_t *)"defghij", 7, 0);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_ptr_null(ring.data);
	ck_assert_uint_eq(wsf_ring_room(&ring), 8);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	ck_assert_uint_eq(put(&ring, (const uint8_t *)"12345678", 8), 8);
	take(&ring, (const uint8_t *)"12345678", 8, 0);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(storage_is_as_small_as_what_is_needed_and_grows)
{
	uint8_t bytes[4096];
	struct wsf_ring ring;

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 7);
	wsf_ring_init(&ring, 1 << 20);
	ck_assert_int_eq(wsf_ring_reserve(&ring, 40), 0);
	ck_assert_uint_eq(ring.storage_bytes, 64);
	ck_assert(wsf_ring_may_grow(&ring));
	put(&ring, bytes, 40);
	take(&ring, bytes, 30, 0);
	/* Both sides of the storage's end, and then of a larger one's. */
	ck_assert_int_eq(wsf_ring_reserve(&ring, 54), 0);
	ck_assert_uint_eq(ring.storage_bytes, 64);
	put(&ring, bytes + 40, 54);
	ck_assert_int_eq(wsf_ring_reserve(&ring, 100), 0);
	ck_assert_uint_eq(ring.storage_bytes, 256);
	put(&ring, bytes + 94, 100);
	take(&ring, bytes + 30, 164, 100);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_uint_eq(ring.storage_bytes, 128);
	ck_assert_int_eq(wsf_ring_unread(&ring, 100), 0);
	ck_assert_int_eq(wsf_ring_reserve(&ring, 4000), 0);
	ck_assert_uint_eq(ring.storage_bytes, ring.capacity_bytes);
	ck_assert(!wsf_ring_may_grow(&ring));
	put(&ring, bytes, 4000);
	take(&ring, bytes + 94, 100, 0);
	take(&ring, bytes, 4000, 0);
	ck_assert(wsf_ring_release(&ring));
	ck_assert_ptr_null(ring.data);
	wsf_ring_clear(&ring);
}
END_TEST

START_TEST(reserve_twice_keeps_the_storage)
{
	struct wsf_ring ring;
	uint8_t *data;

	wsf_ring_init(&ring, 8);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	data = ring.data;
	put(&ring, (const uint8_t *)"abc", 3);
	ck_assert_int_eq(wsf_ring_reserve(&ring, SIZE_MAX), 0);
	ck_assert_ptr_eq(ring.data, data);
	take(&ring, (const uint8_t *)"abc", 3, 0);
	wsf_ring_clear(&ring);
	wsf_ring_clear(&ring);
	wsf_ring_clear(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tcase = tcase_create("ring");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, behaves_as_a_plain_array, 0, sizeof(capacities) / sizeof(*capacities));
	tcase_add_test(tcase, capacity_is_rounded_up_to_a_power_of_two);
	tcase_add_test(tcase, no_span_without_storage);
	tcase_add_test(tcase, spans_wrap_in_two_pieces);
	tcase_add_test(tcase, kept_bytes_take_room_and_can_be_unread);
	tcase_add_test(tcase, keeping_never_goes_backwards);
	tcase_add_test(tcase, forget_starts_an_empty_ring_again_and_keeps_a_full_one);
	tcase_add_test(tcase, storage_goes_when_nothing_is_used_and_what_is_kept_stays);
	tcase_add_test(tcase, storage_is_as_small_as_what_is_needed_and_grows);
	tcase_add_test(tcase, reserve_twice_keeps_the_storage);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
