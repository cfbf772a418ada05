/* SPDX-License-Identifier: 0BSD */
/* Length-prefixed records, as ws_codecs(7) shows them. */
#include <stdatomic.h>

#include "codecs.h"

/* The example itself, with a name for its main that a test program can have. */
#define main mirror_main
int mirror_main(int argc, char *argv[]);
#include "example_mirror.h"
#undef main

/* The most that anything in this process has asked malloc for. */
static atomic_size_t largest;

#ifdef WRAP_MALLOC
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	size_t before = atomic_load(&largest);

	while (size > before && !atomic_compare_exchange_weak(&largest, &before, size))
		;
	return __real_malloc(size);
}
#endif

static void expect_record(FILE *stream, const void *record, size_t size)
{
	unsigned char *bytes;
	size_t length;

	ck_assert_int_eq(read_record(stream, &bytes, &length), 1);
	ck_assert_uint_eq(length, size);
	ck_assert_mem_eq(bytes, record, size);
	free(bytes);
}

static void expect_no_record(FILE *stream, int error)
{
	unsigned char *bytes = NULL;
	size_t length;

	ck_assert_int_eq(read_record(stream, &bytes, &length), error == 0 ? 0 : -1);
	ck_assert(error == 0 || errno == error);
	ck_assert_ptr_null(bytes);
}

/* _i: role and size of the pieces */
START_TEST(records_in_small_pieces_come_whole)
{
	unsigned char bytes[256], encoded[1024];
	FILE *out = fmemopen(encoded, sizeof encoded, "w");
	struct wire wire;

	for (int c = 0; c < 256; c++)
		bytes[c] = (unsigned char)c;
	ck_assert_int_eq(write_record(out, bytes, 0), 0);
	ck_assert_int_eq(write_record(out, bytes, sizeof bytes), 0);
	ck_assert_int_eq(write_record(out, bytes, 1), 0);
	ck_assert_int_eq(write_record(out, bytes, 0), 0);
	ck_assert_int_eq(fflush(out), 0);
	ck_assert_mem_eq(encoded, "\0\0\0\0\0\0\1\0", 8);
	wire_open(&wire, case_role(_i), "r+", NULL, 0);
	say_and_end(&wire, encoded, (size_t)ftell(out), case_piece(_i), GOODBYE);
	fclose(out);
	expect_record(wire.stream, bytes, 0);
	expect_record(wire.stream, bytes, sizeof bytes);
	expect_record(wire.stream, bytes, 1);
	expect_record(wire.stream, bytes, 0);
	expect_no_record(wire.stream, 0);
	close_behind(&wire, GOODBYE);
}
END_TEST

/* _i: role and size of the pieces */
START_TEST(a_part_of_a_record_never_passes_for_a_record)
{
	static const char encoded[] = "\0\0\0\2ab\0\0\0\0";	/* and the NUL behind it begins a third */

	for (int how = GOODBYE; how < ENDINGS; how++)
		for (size_t size = 0; size <= sizeof encoded; size++) {
			struct wire wire;

			wire_open(&wire, case_role(_i), "r+", NULL, 0);
			say_and_end(&wire, encoded, size, case_piece(_i), (enum ending)how);
			if (size >= 6)
				expect_record(wire.stream, "ab", 2);
			if (size >= 10)
				expect_record(wire.stream, "", 0);
			if (how == GOODBYE && size != 0 && size != 6 && size != 10)
				expect_no_record(wire.stream, EPROTO);
			else
				expect_no_record(wire.stream, ending_error((enum ending)how));
			expect_no_record(wire.stream, ending_error((enum ending)how));
			close_behind(&wire, (enum ending)how);
		}
}
END_TEST

/* _i: role and size of the pieces */
START_TEST(a_length_over_the_maximum_is_refused_and_nothing_allocated)
{
	static const unsigned char heads[][4] = {
		{ 0x00, 0x10, 0x00, 0x01 }, { 0x7f, 0xff, 0xff, 0xff }, { 0x80, 0, 0, 0 }, { 0xff, 0xff, 0xff, 0xff } };

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		struct ws_options options = WS_OPTIONS_INIT;
		struct wire wire;

		options.recv_buffer_bytes = 65536;	/* not to be taken for a record's */
		options.send_buffer_bytes = 65536;
		wire_open(&wire, case_role(_i), "r+", &options, 0);
		atomic_store(&largest, 0);
		say_in_pieces(&wire, heads[i], sizeof heads[i], case_piece(_i));
		expect_no_record(wire.stream, EMSGSIZE);
		ck_assert_uint_lt(atomic_load(&largest), RECORD_MAX);
		ck_assert_int_eq(ws_shutdown(wire.stream, 1009, "record too long"), 0);
		wire_finish(&wire, 1009);
		wire_fclose(&wire, 0);
		wire_finished(&wire);
		ck_assert_uint_eq(wire.close_code, 1009);
		wire_end(&wire);
	}
}
END_TEST

/* _i: role */
START_TEST(the_longest_record_comes_whole)
{
	static unsigned char record[RECORD_MAX + 1];
	char *encoded = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&encoded, &size);
	struct wire wire;

	wire_pattern(0, record, sizeof record);
	ck_assert_int_eq(write_record(out, record, RECORD_MAX + 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(write_record(out, record, RECORD_MAX), 0);
	fclose(out);
	ck_assert_uint_eq(size, RECORD_MAX + 4);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
#ifdef WRAP_MALLOC
	atomic_store(&largest, 0);	/* the check above can fail */
#else
	atomic_store(&largest, RECORD_MAX + 1);
#endif
	say_in_pieces(&wire, encoded, size, 60000);
	expect_record(wire.stream, record, RECORD_MAX);
	ck_assert_uint_ge(atomic_load(&largest), RECORD_MAX);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	free(encoded);
}
END_TEST

/* _i: role and size of the pieces */
START_TEST(a_peer_that_closes_behind_its_questions_gets_every_answer)
{
	static const char questions[] = "\0\0\0\3abc\0\0\0\0\0\0\0\4\0\1\2\xff";
	static const char answers[] = "\0\0\0\3cba\0\0\0\0\0\0\0\4\xff\2\1";	/* a NUL behind it */
	struct wire wire;

	wire_open(&wire, case_role(_i), "r+", NULL, 0);
	say_and_end(&wire, questions, sizeof questions - 1, case_piece(_i), GOODBYE);
	ck_assert_int_eq(serve(wire.stream), 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	expect_answer(&wire, answers, sizeof answers);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("codec: length-prefixed records");
	TCase *tc = wire_case(suite, "mirror");

	tcase_add_loop_test(tc, records_in_small_pieces_come_whole, 0, CASES);
	tcase_add_loop_test(tc, a_part_of_a_record_never_passes_for_a_record, 0, CASES);
	tcase_add_loop_test(tc, a_length_over_the_maximum_is_refused_and_nothing_allocated, 0, CASES);
	tcase_add_loop_test(tc, the_longest_record_comes_whole, 0, WIRE_ROLES);
	tcase_add_loop_test(tc, a_peer_that_closes_behind_its_questions_gets_every_answer, 0, CASES);
	return wire_run(suite);
}
