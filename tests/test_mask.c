/* SPDX-License-Identifier: 0BSD */
/* Masking, by every path, at every alignment. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "mask.h"

#define GUARD 32
#define LONGEST 300
#define ROOM (LONGEST + 2 * GUARD + 16)

static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static void naive(uint8_t *out, const uint8_t *in, size_t size, uint64_t offset)
{
	for (size_t i = 0; i < size; i++)
		out[i] = in[i] ^ key[(offset + i) % 4];
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 167 + seed);
}

/* Every byte of the buffer, the guards around the output included. */
static void check_copy(size_t size, uint64_t offset, unsigned in_shift, unsigned out_shift)
{
	_Alignas(64) uint8_t in[ROOM], out[ROOM], in_before[ROOM], expected[ROOM];
	uint8_t *to = out + GUARD + out_shift;

	fill(in, sizeof(in), 1);
	memcpy(in_before, in, sizeof(in));
	fill(out, sizeof(out), 99);
	memcpy(expected, out, sizeof(out));
	naive(expected + GUARD + out_shift, in + GUARD + in_shift, size, offset);
	wsf_mask_copy(to, in + GUARD + in_shift, size, key, offset);
	if (memcmp(out, expected, sizeof(out)) != 0 || memcmp(in, in_before, sizeof(in)) != 0)
		ck_abort_msg("size %zu, offset %u, shifts %u and %u", size, (unsigned)offset, in_shift, out_shift);
}

static void check_in_place(size_t size, uint64_t offset, unsigned shift)
{
	_Alignas(64) uint8_t bytes[ROOM], expected[ROOM];
	uint8_t *to = bytes + GUARD + shift;

	fill(bytes, sizeof(bytes), 7);
	memcpy(expected, bytes, sizeof(bytes));
	naive(expected + GUARD + shift, to, size, offset);
	wsf_mask_copy(to, to, size, key, offset);
	if (memcmp(bytes, expected, sizeof(bytes)) != 0)
		ck_abort_msg("size %zu, offset %u, shift %u, in place", size, (unsigned)offset, shift);
}

START_TEST(copy_equals_a_byte_loop_and_leaves_the_rest_alone)
{
	for (size_t size = 0; size <= LONGEST; size++) {
		for (unsigned offset = 0; offset < 8; offset++) {
			for (unsigned shift = 0; shift < 8; shift++) {
				check_copy(size, offset, shift, (shift * 5 + 3) % 8);
				check_copy(size, offset, shift, shift);
			}
		}
	}
}
END_TEST

START_TEST(in_place_equals_a_byte_loop_and_leaves_the_rest_alone)
{
	for (size_t size = 0; size <= LONGEST; size++) {
		for (unsigned offset = 0; offset < 8; offset++) {
			for (unsigned shift = 0; shift < 8; shift++)
				check_in_place(size, offset, shift);
		}
	}
}
END_TEST

/* Long enough for the aligned start, at every alignment of the output within a cache line. */
START_TEST(long_copies_equal_a_byte_loop_at_every_alignment)
{
	size_t size = 5000;
	uint8_t *in = malloc(size + 64), *out = malloc(size + 128), *expected = malloc(size + 128);

	ck_assert(in && out && expected);
	fill(in, size + 64, 3);
	for (unsigned shift = 0; shift < 64; shift++) {
		size_t part = size - shift * 7U;

		memset(out, 0xee, size + 128);
		memset(expected, 0xee, size + 128);
		naive(expected + 32 + shift, in + 63 - shift, part, shift);
		wsf_mask_copy(out + 32 + shift, in + 63 - shift, part, key, shift);
		ck_assert_mem_eq(out, expected, size + 128);
		naive(expected + 32 + shift, out + 32 + shift, part, shift + 1);
		wsf_mask_copy(out + 32 + shift, out + 32 + shift, part, key, shift + 1);
		ck_assert_mem_eq(out, expected, size + 128);
	}
	free(in);
	free(out);
	free(expected);
}
END_TEST

START_TEST(only_the_low_two_bits_of_the_offset_count)
{
	static const uint64_t offsets[] = { 4, 1ULL << 32, (1ULL << 63) + 4, UINT64_MAX - 3 };
	uint8_t in[70], out[70], expected[70];

	fill(in, sizeof(in), 5);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
		for (unsigned low = 0; low < 4; low++) {
			naive(expected, in, sizeof(in), low);
			wsf_mask_copy(out, in, sizeof(in), key, offsets[i] + low);
			ck_assert_mem_eq(out, expected, sizeof(out));
		}
	}
}
END_TEST

/* RFC 6455, section 5.7: a single-frame masked text message. */
START_TEST(the_example_of_the_rfc)
{
	static const uint8_t masked[] = { 0x7f, 0x9f, 0x4d, 0x51, 0x58 };
	uint8_t out[5];

	wsf_mask_copy(out, masked, sizeof(masked), key, 0);
	ck_assert_mem_eq(out, "Hello", 5);
}
END_TEST

START_TEST(pieces_equal_the_whole)
{
	uint8_t in[200], whole[200], pieces[200];

	fill(in, sizeof(in), 11);
	wsf_mask_copy(whole, in, sizeof(in), key, 0);
	for (size_t cut = 0; cut <= sizeof(in); cut++) {
		memset(pieces, 0, sizeof(pieces));
		wsf_mask_copy(pieces, in, cut, key, 0);
		wsf_mask_copy(pieces + cut, in + cut, sizeof(in) - cut, key, cut);
		ck_assert_mem_eq(pieces, whole, sizeof(whole));
	}
}
END_TEST

START_TEST(size_zero_touches_nothing)
{
	wsf_mask_copy(NULL, NULL, 0, key, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mask");
	TCase *tcase = tcase_create("mask");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, copy_equals_a_byte_loop_and_leaves_the_rest_alone);
	tcase_add_test(tcase, in_place_equals_a_byte_loop_and_leaves_the_rest_alone);
	tcase_add_test(tcase, long_copies_equal_a_byte_loop_at_every_alignment);
	tcase_add_test(tcase, only_the_low_two_bits_of_the_offset_count);
	tcase_add_test(tcase, the_example_of_the_rfc);
	tcase_add_test(tcase, pieces_equal_the_whole);
	tcase_add_test(tcase, size_zero_touches_nothing);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
