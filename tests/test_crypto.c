/* SPDX-License-Identifier: 0BSD */
/* The failing random source below is set by a call that OpenSSL 3 deprecates. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "crypto.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define KEYS_A_BLOCK (sizeof(((struct wsf_mask_keys *)0)->block) / 4)

/* The first is the example of RFC 6455, section 1.3; the others come from another implementation (Python's hashlib). */
START_TEST(accept_values_are_as_in_rfc_6455)
{
	static const struct {
		const char *key, *accept;
	} cases[] = {
		{"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		{"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
		{"AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="},
		{"", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char accept[WSF_ACCEPT_TEXT_BYTES];

		ck_assert_int_eq(wsf_crypto_accept(cases[i].key, accept), 0);
		ck_assert_str_eq(accept, cases[i].accept);
	}
}
END_TEST

START_TEST(keys_decode_to_16_bytes_and_differ)
{
	char last[WSF_KEY_TEXT_BYTES] = "";

	for (int i = 0; i < 200; i++) {
		char key[WSF_KEY_TEXT_BYTES];
		unsigned char decoded[18];

		memset(key, '?', sizeof(key));
		ck_assert_int_eq(wsf_crypto_key(key), 0);
		ck_assert_uint_eq(strlen(key), 24);
		ck_assert_str_eq(key + 22, "==");
		/* EVP_DecodeBlock counts the two padding bytes. */
		ck_assert_int_eq(EVP_DecodeBlock(decoded, (const unsigned char *)key, 24), 18);
		ck_assert_str_ne(key, last);
		memcpy(last, key, sizeof(last));
	}
}
END_TEST

static void take(struct wsf_mask_keys *keys, uint8_t (*out)[4], size_t count)
{
	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(wsf_crypto_mask_key(keys, out[i]), 0);
}

START_TEST(mask_keys_differ_and_are_refilled_at_the_end_of_a_block)
{
	struct wsf_mask_keys keys = {0};
	uint8_t taken[4 * KEYS_A_BLOCK][4];
	size_t equal = 0;

	take(&keys, taken, COUNT(taken));
	for (size_t i = 0; i < COUNT(taken); i++) {
		for (size_t j = 0; j < i; j++)
			equal += memcmp(taken[i], taken[j], 4) == 0;
	}
	/* Two of 256 random keys are equal once in 130,000 runs, two pairs once in 10^10. */
	ck_assert_uint_le(equal, 1);
}
END_TEST

START_TEST(a_block_serves_each_of_its_bytes_once)
{
	struct wsf_mask_keys keys = {0};
	uint8_t taken[KEYS_A_BLOCK][4], block[sizeof(keys.block)];

	take(&keys, taken, 1);
	memcpy(block, keys.block, sizeof(block));
	take(&keys, taken + 1, KEYS_A_BLOCK - 1);
	ck_assert_mem_eq(taken, block, sizeof(block));
	ck_assert_mem_eq(keys.block, block, sizeof(block));
	ck_assert_uint_eq(keys.left_bytes, 0);
	take(&keys, taken, 1);
	ck_assert_mem_ne(keys.block, block, sizeof(block));
}
END_TEST

START_TEST(a_store_in_a_forked_child_is_refilled)
{
	struct wsf_mask_keys keys = {0};
	uint8_t ours[KEYS_A_BLOCK - 1][4], theirs[KEYS_A_BLOCK - 1][4];
	size_t equal = 0;
	int ends[2], status;
	pid_t child;

	take(&keys, ours, 1);
	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool done = true;

		for (size_t i = 0; i < COUNT(theirs); i++)
			done = done && wsf_crypto_mask_key(&keys, theirs[i]) == 0;
		done = done && write(ends[1], theirs, sizeof(theirs)) == (ssize_t)sizeof(theirs);
		_exit(done ? 0 : 1);
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], theirs, sizeof(theirs)), (ssize_t)sizeof(theirs));
	close(ends[0]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	take(&keys, ours, COUNT(ours));
	/* Each pair is equal by chance once in 2^32. */
	for (size_t i = 0; i < COUNT(ours); i++)
		equal += memcmp(ours[i], theirs[i], 4) == 0;
	ck_assert_uint_le(equal, 1);
}
END_TEST

START_TEST(a_parent_keeps_its_block_over_a_fork)
{
	struct wsf_mask_keys keys = {0};
	uint8_t first[4], block[sizeof(keys.block)], next[4];
	pid_t child;
	int status;

	ck_assert_int_eq(wsf_crypto_mask_key(&keys, first), 0);
	memcpy(block, keys.block, sizeof(block));
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(wsf_crypto_mask_key(&keys, next) == 0 && memcmp(keys.block, block, sizeof(block)) != 0 ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(wsf_crypto_mask_key(&keys, next), 0);
	ck_assert_mem_eq(next, block + 4, 4);
}
END_TEST

static int no_random_bytes(unsigned char *out, int size)
{
	(void)out;
	(void)size;
	ERR_raise(ERR_LIB_RAND, ERR_R_INTERNAL_ERROR);
	return 0;
}

static int no_random_status(void)
{
	return 0;
}

START_TEST(without_randomness_there_are_no_keys_and_no_trace_in_the_error_queue)
{
	static const RAND_METHOD none = {NULL, no_random_bytes, NULL, NULL, no_random_bytes, no_random_status};
	struct wsf_mask_keys keys = {0};
	char key[WSF_KEY_TEXT_BYTES];
	uint8_t mask[4];

	ck_assert_int_eq(RAND_set_rand_method(&none), 1);
	ERR_clear_error();
	ck_assert_int_eq(wsf_crypto_key(key), -EIO);
	ck_assert_int_eq(wsf_crypto_mask_key(&keys, mask), -EIO);
	ck_assert_int_eq(wsf_crypto_mask_key(&keys, mask), -EIO);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	ck_assert_int_eq(RAND_set_rand_method(NULL), 1);
	ck_assert_int_eq(wsf_crypto_mask_key(&keys, mask), 0);
}
END_TEST

START_TEST(without_sha1_there_is_no_accept_value_and_no_trace_in_the_error_queue)
{
	char accept[WSF_ACCEPT_TEXT_BYTES];

	ck_assert_int_eq(EVP_set_default_properties(NULL, "provider=none-such"), 1);
	ERR_clear_error();
	ck_assert_int_eq(wsf_crypto_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), -EIO);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	ck_assert_int_eq(EVP_set_default_properties(NULL, ""), 1);
	ck_assert_int_eq(wsf_crypto_accept("dGhlIHNhbXBsZSBub25jZQ==", accept), 0);
}
END_TEST

static Suite *crypto_suite(void)
{
	Suite *suite = suite_create("crypto");
	TCase *tcase = tcase_create("crypto");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, accept_values_are_as_in_rfc_6455);
	tcase_add_test(tcase, keys_decode_to_16_bytes_and_differ);
	tcase_add_test(tcase, mask_keys_differ_and_are_refilled_at_the_end_of_a_block);
	tcase_add_test(tcase, a_block_serves_each_of_its_bytes_once);
	tcase_add_test(tcase, a_store_in_a_forked_child_is_refilled);
	tcase_add_test(tcase, a_parent_keeps_its_block_over_a_fork);
	tcase_add_test(tcase, without_randomness_there_are_no_keys_and_no_trace_in_the_error_queue);
	tcase_add_test(tcase, without_sha1_there_is_no_accept_value_and_no_trace_in_the_error_queue);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(crypto_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
