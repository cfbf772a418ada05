/* SPDX-License-Identifier: 0BSD */
/* JSON lines, as ws_codecs(7) shows them. */
#include <stdlib.h>

#include "codecs.h"

/* The example itself, with a name for its main that a test program can have. */
#define main adder_main
int adder_main(int argc, char *argv[]);
#include "example_adder.h"
#undef main

static char buffer[LINE_MAX_BYTES];

static void expect_value(FILE *stream, json_t *expected)
{
	json_error_t error;
	json_t *value;

	ck_assert_int_eq(read_value(stream, buffer, sizeof buffer, &value, &error), 1);
	ck_assert_msg(value != NULL, "%s", error.text);
	ck_assert(json_equal(value, expected));
	json_decref(value);
}

static void expect_no_value(FILE *stream, int error)
{
	json_error_t fault;
	json_t *value;

	ck_assert_int_eq(read_value(stream, buffer, sizeof buffer, &value, &fault), error == 0 ? 0 : -1);
	ck_assert(error == 0 || errno == error);
}

/* A value with every character that a byte can be, control characters and NUL among them. */
static json_t *every_byte(void)
{
	char text[2 * 256];
	size_t size = 0;

	for (int c = 0; c < 256; c++) {
		if (c >= 0x80)
			text[size++] = (char)(0xc0 | c >> 6);
		text[size++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
	}
	return json_stringn(text, size);
}

/* _i: role and size of the pieces */
START_TEST(values_in_small_pieces_come_whole)
{
	json_t *values[] = { every_byte(), json_pack("{s:[i,b,n], s:{}}", "a", 1, 1, "b"), json_string(""),
		json_null(), json_array() };
	const size_t count = sizeof values / sizeof values[0];
	char *encoded = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&encoded, &size);
	struct wire wire;

	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(write_value(out, values[i]), 0);
	fclose(out);
	wire_open(&wire, case_role(_i), "r+", NULL, 0);
	say_and_end(&wire, encoded, size, case_piece(_i), GOODBYE);
	for (size_t i = 0; i < count; i++) {
		expect_value(wire.stream, values[i]);
		json_decref(values[i]);
	}
	expect_no_value(wire.stream, 0);
	close_behind(&wire, GOODBYE);
	free(encoded);
}
END_TEST

/* _i: role and size of the pieces. 12 of 123 would be a value, too. */
START_TEST(a_part_of_a_line_never_passes_for_a_line)
{
	json_t *number = json_integer(123);

	for (int how = GOODBYE; how < ENDINGS; how++)
		for (size_t size = 0; size <= 8; size++) {
			struct wire wire;

			wire_open(&wire, case_role(_i), "r+", NULL, 0);
			say_and_end(&wire, "123\n123\n", size, case_piece(_i), (enum ending)how);
			for (size_t i = 0; i < size / 4; i++)
				expect_value(wire.stream, number);
			if (how == GOODBYE && size % 4 != 0)
				expect_no_value(wire.stream, EPROTO);
			else
				expect_no_value(wire.stream, ending_error((enum ending)how));
			close_behind(&wire, (enum ending)how);
		}
	json_decref(number);
}
END_TEST

/* _i: role */
START_TEST(a_line_without_an_end_is_refused)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.recv_buffer_bytes = 65536;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	say_for_ever(&wire, ' ');
	ck_assert_int_eq(serve(wire.stream), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	cut_off(&wire, LINE_MAX_BYTES + 1 + options.recv_buffer_bytes + options.stdio_buffer_bytes);
}
END_TEST

/* What the peer gets from serve for lines, its Close right behind them. To be freed. */
static char *answers_to(enum wire_role role, const char *lines, size_t size, size_t piece)
{
	struct wire wire;

	wire_open(&wire, role, "r+", NULL, 0);
	say_and_end(&wire, lines, size, piece, GOODBYE);
	wire_finish(&wire, WIRE_NO_ANSWER);
	ck_assert_int_eq(serve(wire.stream), 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_ptr_nonnull(wire.data);
	char *answers = strndup((char *)wire.data, wire.size);
	wire_end(&wire);
	return answers;
}

/* _i: role and size of the pieces */
START_TEST(a_peer_that_closes_behind_its_questions_gets_every_answer)
{
	const char *questions = "{\"id\": 7, \"numbers\": [1, 2, 3]}\n{oops\n\n[]\n{\"numbers\":[0.5]}\n";
	char *answers = answers_to(case_role(_i), questions, strlen(questions), case_piece(_i));
	json_error_t error;
	char *line, *rest = answers;
	int n = 0;

	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		json_t *answer = json_loads(line, 0, &error);

		ck_assert_msg(answer != NULL, "%s: %s", line, error.text);
		if (n == 0)
			ck_assert_str_eq(line, "{\"id\":7,\"sum\":6.0}");
		else if (n == 4)
			ck_assert_str_eq(line, "{\"id\":null,\"sum\":0.5}");
		else
			ck_assert_ptr_nonnull(json_object_get(answer, "error"));
		json_decref(answer);
		n++;
	}
	ck_assert_int_eq(n, 5);
	free(answers);
}
END_TEST

/* _i: role */
START_TEST(a_line_that_is_no_json_is_answered_and_the_next_one_too)
{
	const size_t brackets = LINE_MAX_BYTES;
	char *lines = malloc(2 * 256 + brackets + 2), *answers;
	size_t size = 0, count = 0;

	ck_assert_ptr_nonnull(lines);
	for (int c = 0; c < 256; c++)
		if (c != '\n') {
			lines[size++] = (char)c;
			lines[size++] = '\n';
		}
	memset(lines + size, '[', brackets);
	size += brackets;
	lines[size++] = '\n';
	answers = answers_to((enum wire_role)_i, lines, size, 1000);
	for (const char *next = answers; (next = strchr(next, '\n')) != NULL; next++)
		count++;
	ck_assert_uint_eq(count, 256);
	free(answers);
	free(lines);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("codec: JSON lines");
	TCase *tc = wire_case(suite, "adder");

	tcase_add_loop_test(tc, values_in_small_pieces_come_whole, 0, CASES);
	tcase_add_loop_test(tc, a_part_of_a_line_never_passes_for_a_line, 0, CASES);
	tcase_add_loop_test(tc, a_line_without_an_end_is_refused, 0, WIRE_ROLES);
	tcase_add_loop_test(tc, a_peer_that_closes_behind_its_questions_gets_every_answer, 0, CASES);
	tcase_add_loop_test(tc, a_line_that_is_no_json_is_answered_and_the_next_one_too, 0, WIRE_ROLES);
	return wire_run(suite);
}
