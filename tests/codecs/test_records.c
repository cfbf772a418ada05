/* SPDX-License-Identifier: 0BSD */
/* Lines and NUL-delimited records, as ws_codecs(7) shows them. */
#include <stdlib.h>

#include "codecs.h"

/* The example itself, with a name for its main that a test program can have. */
#define main records_main
int records_main(int argc, char *argv[]);
#include "example_records.h"
#undef main

static const int delimiters[] = { '\n', '\0' };
#define DELIMITERS 2

static char buffer[RECORD_MAX + 1];

static void expect_record(FILE *stream, int delimiter, const char *record, size_t size)
{
	size_t length;

	ck_assert_int_eq(read_record(stream, delimiter, buffer, sizeof buffer, &length), 1);
	ck_assert_uint_eq(length, size);
	ck_assert_mem_eq(buffer, record, size);
	ck_assert_int_eq(buffer[size], 0);
}

static void expect_no_record(FILE *stream, int delimiter, int error)
{
	size_t length;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(read_record(stream, delimiter, buffer, sizeof buffer, &length), error == 0 ? 0 : -1);
		ck_assert(error == 0 || errno == error);
		if (error == EPROTO)	/* is told once: behind it the stream is at its end */
			error = 0;
	}
}

/* _i: role and size of the pieces, for each delimiter */
START_TEST(records_in_small_pieces_come_whole)
{
	char bytes[256], encoded[1024], longer[500];
	const int delimiter = delimiters[_i / CASES];
	FILE *out = fmemopen(encoded, sizeof encoded, "w");
	size_t count = 0, size;
	struct wire wire;

	for (int c = 0; c < 256; c++)
		if (c != delimiter)
			bytes[count++] = (char)c;
	ck_assert_uint_eq(count, 255);
	memset(longer, 'x', sizeof longer);
	ck_assert_int_eq(write_record(out, delimiter, "", 0), 0);
	ck_assert_int_eq(write_record(out, delimiter, bytes, count), 0);
	ck_assert_int_eq(write_record(out, delimiter, longer, sizeof longer), 0);
	ck_assert_int_eq(write_record(out, delimiter, "", 0), 0);
	size = (size_t)ftell(out);
	ck_assert_uint_eq(size, count + sizeof longer + 4);
	fclose(out);
	wire_open(&wire, case_role(_i % CASES), "r+", NULL, 0);
	say_and_end(&wire, encoded, size, case_piece(_i % CASES), GOODBYE);
	expect_record(wire.stream, delimiter, "", 0);
	expect_record(wire.stream, delimiter, bytes, count);
	expect_record(wire.stream, delimiter, longer, sizeof longer);
	expect_record(wire.stream, delimiter, "", 0);
	expect_no_record(wire.stream, delimiter, 0);
	close_behind(&wire, GOODBYE);
}
END_TEST

/* _i: role and size of the pieces */
START_TEST(a_part_of_a_record_never_passes_for_a_record)
{
	for (int how = GOODBYE; how < ENDINGS; how++)
		for (size_t size = 0; size <= 6; size++) {
			struct wire wire;

			wire_open(&wire, case_role(_i), "r+", NULL, 0);
			say_and_end(&wire, "ab\n\nc\n", size, case_piece(_i), (enum ending)how);
			if (size >= 3)
				expect_record(wire.stream, '\n', "ab", 2);
			if (size >= 4)
				expect_record(wire.stream, '\n', "", 0);
			if (size >= 6)
				expect_record(wire.stream, '\n', "c", 1);
			if (how == GOODBYE && size != 0 && size != 3 && size != 4 && size != 6)
				expect_no_record(wire.stream, '\n', EPROTO);
			else
				expect_no_record(wire.stream, '\n', ending_error((enum ending)how));
			close_behind(&wire, (enum ending)how);
		}
}
END_TEST

/* _i: role */
START_TEST(the_longest_record_is_read_and_one_without_an_end_is_refused)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static char longest[RECORD_MAX + 1];
	struct wire wire;
	size_t length;

	options.recv_buffer_bytes = 65536;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	memset(longest, 'l', RECORD_MAX);
	longest[RECORD_MAX] = '\n';
	wire_frame(&wire, PEER_BINARY, longest, sizeof longest);
	say_for_ever(&wire, 'e');
	expect_record(wire.stream, '\n', longest, RECORD_MAX);
	ck_assert_int_eq(read_record(wire.stream, '\n', buffer, sizeof buffer, &length), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	/* Two records were read, and so much more may wait in the buffers of the stream and of stdio. */
	cut_off(&wire, 2 * (RECORD_MAX + 1) + options.recv_buffer_bytes + options.stdio_buffer_bytes);
}
END_TEST

START_TEST(a_record_with_the_delimiter_inside_is_not_written)
{
	char out[16] = "";
	FILE *stream = fmemopen(out, sizeof out, "w");

	ck_assert_int_eq(write_record(stream, '\n', "a\nb", 3), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(write_record(stream, '\0', "a\0b", 3), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(write_record(stream, '\0', "a\nb", 3), 0);
	fclose(stream);
	ck_assert_mem_eq(out, "a\nb", 4);
}
END_TEST

/* _i: role and size of the pieces */
START_TEST(each_record_of_the_input_is_answered)
{
	char questions[] = "one\n\ntwo\n", *answers = NULL;
	FILE *input = fmemopen(questions, strlen(questions), "r");
	size_t size = 0;
	FILE *output = open_memstream(&answers, &size);
	struct wire wire;

	wire_open(&wire, case_role(_i), "r+", NULL, 0);
	say_in_pieces(&wire, "ONE\nnothing\nTWO\n", 16, case_piece(_i));
	ck_assert_int_eq(converse(input, output, wire.stream, '\n'), 0);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	expect_answer(&wire, questions, strlen(questions));
	wire_end(&wire);
	fclose(input);
	fclose(output);
	ck_assert_str_eq(answers, "ONE\nnothing\nTWO\n");
	free(answers);
}
END_TEST

/* _i: role */
START_TEST(goodbye_in_place_of_an_answer_is_an_error)
{
	char questions[] = "one\ntwo\n";
	FILE *input = fmemopen(questions, strlen(questions), "r");
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	say_and_end(&wire, "ONE\n", 4, 4, GOODBYE);
	ck_assert_int_eq(converse(input, stderr, wire.stream, '\n'), -1);
	ck_assert_int_eq(errno, EPIPE);
	close_behind(&wire, GOODBYE);
	fclose(input);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("codec: lines and NUL-delimited records");
	TCase *tc = wire_case(suite, "records");

	tcase_add_loop_test(tc, records_in_small_pieces_come_whole, 0, CASES * DELIMITERS);
	tcase_add_loop_test(tc, a_part_of_a_record_never_passes_for_a_record, 0, CASES);
	tcase_add_loop_test(tc, the_longest_record_is_read_and_one_without_an_end_is_refused, 0, WIRE_ROLES);
	tcase_add_test(tc, a_record_with_the_delimiter_inside_is_not_written);
	tcase_add_loop_test(tc, each_record_of_the_input_is_answered, 0, CASES);
	tcase_add_loop_test(tc, goodbye_in_place_of_an_answer_is_an_error, 0, WIRE_ROLES);
	return wire_run(suite);
}
