/* SPDX-License-Identifier: 0BSD */
/* What a program does with a FILE *: every way to read and write, in turn, buffered in every way, positioned. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "wire.h"

/* The peer says goodbye, answers nothing more, and has read wire->data when this returns. */
static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
	ck_assert_uint_eq(wire->close_code, 1000);
}

static const size_t stdio_buffers[] = { 65536, 4096, 1, 0 };
#define STDIO_BUFFERS 4

static void open_with_buffer(struct wire *wire, int i)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.stdio_buffer_bytes = stdio_buffers[i % STDIO_BUFFERS];
	wire_open(wire, (enum wire_role)(i / STDIO_BUFFERS), "r+", &options, 0);
}

/* --- reading and writing in turn --- */

#define TURNS 10000
#define LINES_A_FRAME 7

static void *say_lines(void *argument)
{
	struct wire *wire = argument;
	char lines[LINES_A_FRAME * 32];

	for (int next = 0; next < TURNS;) {
		size_t size = 0;

		for (int i = 0; i < LINES_A_FRAME && next < TURNS; i++)
			size += (size_t)snprintf(lines + size, sizeof lines - size, "line %d\n", next++);
		wire_frame(wire, PEER_BINARY, lines, size);
	}
	return NULL;
}

/* _i: role, then whether the portable idiom stands between */
START_TEST(fgets_and_fprintf_alternate_and_nothing_is_lost)
{
	char line[64], expected[64];
	pthread_t sender;
	struct wire wire;
	char *next;

	wire_open(&wire, (enum wire_role)(_i / 2), "r+", NULL, 0);
	peer_thread(&sender, say_lines, &wire);
	for (int i = 0; i < TURNS; i++) {
		if (fgets(line, sizeof line, wire.stream) == NULL)
			ck_abort_msg("no line %d: %s", i, strerror(errno));
		snprintf(expected, sizeof expected, "line %d\n", i);
		if (strcmp(line, expected) != 0)
			ck_abort_msg("line %d is %s", i, line);
		if (_i % 2 == 1 && fseek(wire.stream, 0, SEEK_CUR) != 0)
			ck_abort_msg("fseek at line %d: %s", i, strerror(errno));
		if (fprintf(wire.stream, "answer %d\n", i) < 0)
			ck_abort_msg("no answer %d: %s", i, strerror(errno));
		if (_i % 2 == 1 && fflush(wire.stream) != 0)
			ck_abort_msg("fflush at line %d: %s", i, strerror(errno));
	}
	peer_join(sender);
	end_well(&wire);
	next = (char *)wire.data;
	for (int i = 0; i < TURNS; i++) {
		size_t length = (size_t)snprintf(expected, sizeof expected, "answer %d\n", i);

		if (strncmp(next, expected, length) != 0)
			ck_abort_msg("answer %d is wrong", i);
		next += length;
	}
	ck_assert_str_eq(next, "");
	wire_end(&wire);
}
END_TEST

START_TEST(switching_works_with_every_buffer)
{
	struct wire wire;
	char word[16];

	open_with_buffer(&wire, _i);
	wire_say(&wire, "one two three four\nfive\n");
	ck_assert_int_eq(fscanf(wire.stream, "%15s", word), 1);
	ck_assert_str_eq(word, "one");
	ck_assert_int_gt(fputs("1", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_eq(fscanf(wire.stream, "%15s", word), 1);
	ck_assert_str_eq(word, "two");
	ck_assert_int_eq(fgetc(wire.stream), ' ');
	ck_assert_int_eq(fputc('2', wire.stream), '2');
	ck_assert_int_eq(fseek(wire.stream, 0, SEEK_CUR), 0);
	wire_expect_line(wire.stream, "three four\n");
	ck_assert_int_eq(fseek(wire.stream, 0, SEEK_CUR), 0);
	ck_assert_int_eq(fputc('3', wire.stream), '3');
	ck_assert_int_eq(fflush(wire.stream), 0);
	wire_expect_line(wire.stream, "five\n");
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "123");
	wire_end(&wire);
}
END_TEST

/* More was received than stdio's buffer holds: what it gives back and what is still in the library stay in order. */
START_TEST(unread_input_of_many_buffers_stays_in_order)
{
	static uint8_t data[300000], back[300000];
	size_t done = 0, step = 1;
	struct wire wire;

	open_with_buffer(&wire, _i);
	wire_pattern(0, data, sizeof data);
	wire_frame(&wire, PEER_BINARY, data, sizeof data);
	while (done < sizeof back) {
		size_t part = sizeof back - done < step ? sizeof back - done : step;

		if (fread(back + done, 1, part, wire.stream) != part)
			ck_abort_msg("fread behind %zu: %s", done, strerror(errno));
		done += part;
		step = step * 5 % 9973 + 1;
		if (fputc('.', wire.stream) == EOF || fflush(wire.stream) != 0)
			ck_abort_msg("fputc behind %zu: %s", done, strerror(errno));
	}
	ck_assert_mem_eq(back, data, sizeof data);
	end_well(&wire);
	ck_assert_uint_eq(strspn((char *)wire.data, "."), wire.size);
	wire_end(&wire);
}
END_TEST

/* --- positioning --- */

static void expect_not_seekable(FILE *stream)
{
	static const struct {
		long offset;
		int whence;
	} seeks[] = {
		{ 0, SEEK_SET }, { 3, SEEK_SET }, { 0, SEEK_END }, { -1, SEEK_END }, { 1, SEEK_CUR }, { -1, SEEK_CUR },
	};

	for (size_t i = 0; i < sizeof seeks / sizeof seeks[0]; i++) {
		errno = 0;
		ck_assert_msg(fseek(stream, seeks[i].offset, seeks[i].whence) == -1 && errno == ESPIPE,
		    "fseek %ld, %d: %s", seeks[i].offset, seeks[i].whence, strerror(errno));
	}
}

START_TEST(no_other_seek_succeeds_or_loses_anything)
{
	struct wire wire;

	open_with_buffer(&wire, _i);
	expect_not_seekable(wire.stream);
	wire_say(&wire, "one\ntwo\nthree\nfour\n");
	wire_expect_line(wire.stream, "one\n");
	expect_not_seekable(wire.stream);
	wire_expect_line(wire.stream, "two\n");
	ck_assert_int_eq(fseek(wire.stream, 0, SEEK_CUR), 0);
	expect_not_seekable(wire.stream);
	wire_expect_line(wire.stream, "three\n");
	ck_assert_int_gt(fputs("written", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	expect_not_seekable(wire.stream);
	wire_expect_line(wire.stream, "four\n");
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "written");
	wire_end(&wire);
}
END_TEST

START_TEST(ftell_changes_nothing)
{
	struct wire wire;

	open_with_buffer(&wire, _i);
	ftell(wire.stream);
	wire_say(&wire, "one\ntwo\nthree\n");
	wire_expect_line(wire.stream, "one\n");
	ftell(wire.stream);
	wire_expect_line(wire.stream, "two\n");
	fputs("wri", wire.stream);
	ftell(wire.stream);
	fputs("tten", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ftell(wire.stream);
	wire_expect_line(wire.stream, "three\n");
	ck_assert(!ferror(wire.stream));
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "written");
	wire_end(&wire);
}
END_TEST

/* --- ungetc --- */

START_TEST(ungetc_works_as_on_any_stream)
{
	struct wire wire;

	open_with_buffer(&wire, _i);
	wire_say(&wire, "abc\ndef\n");
	ck_assert_int_eq(fgetc(wire.stream), 'a');
	ck_assert_int_eq(ungetc('a', wire.stream), 'a');
	wire_expect_line(wire.stream, "abc\n");
	ck_assert_int_eq(ungetc('X', wire.stream), 'X');
	wire_expect_line(wire.stream, "Xdef\n");
	wire_goodbye(&wire, 1000, "");
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert_int_eq(ungetc('Y', wire.stream), 'Y');
	ck_assert(!feof(wire.stream));
	ck_assert_int_eq(fgetc(wire.stream), 'Y');
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* A byte that was read and pushed back is input again, also behind a write, and where stdio's buffer begins or ends. */
START_TEST(pushed_back_input_survives_a_write_at_every_place)
{
	struct ws_options options = WS_OPTIONS_INIT;
	static uint8_t data[256], byte;
	struct wire wire;

	options.stdio_buffer_bytes = 64;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_pattern(0, data, sizeof data);
	wire_frame(&wire, PEER_BINARY, data, sizeof data);
	for (size_t i = 0; i < sizeof data; i++) {
		int next = fgetc(wire.stream);

		ck_assert_msg(next == data[i], "byte %zu is %d, not %d", i, next, data[i]);
		/* Every seventh, so that the buffer is aligned to all places in turn. */
		if (i % 7 != 6 && i % 64 != 63)
			continue;
		ck_assert_int_eq(ungetc(next, wire.stream), next);
		ck_assert_int_eq(fputc('.', wire.stream), '.');
		ck_assert_int_eq(fflush(wire.stream), 0);
		ck_assert_uint_eq(fread(&byte, 1, 1, wire.stream), 1);
		ck_assert_msg(byte == data[i], "byte %zu is %d, not %d, behind the write", i, byte, data[i]);
	}
	end_well(&wire);
	ck_assert_uint_eq(strspn((char *)wire.data, "."), wire.size);
	wire_end(&wire);
}
END_TEST

/* --- buffering --- */

static void expect_frame(struct wire *wire, const char *text)
{
	struct peer_frame frame;

	ck_assert(peer_read_frame(wire->peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_BINARY);
	ck_assert(frame.masked != wire->peer_masks);
	ck_assert_str_eq((char *)frame.payload, text);
	peer_frame_clear(&frame);
}

START_TEST(unbuffered_stream_sends_at_once)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(setvbuf(wire.stream, NULL, _IONBF, 0), 0);
	fputs("one", wire.stream);
	expect_frame(&wire, "one");
	fputs("two", wire.stream);
	expect_frame(&wire, "two");
	wire_say(&wire, "a\nb\n");
	wire_expect_line(wire.stream, "a\n");
	fputc('3', wire.stream);
	expect_frame(&wire, "3");
	wire_expect_line(wire.stream, "b\n");
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(line_buffered_stream_sends_lines)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(setvbuf(wire.stream, NULL, _IOLBF, BUFSIZ), 0);
	fputs("on", wire.stream);
	fputs("e\n", wire.stream);
	expect_frame(&wire, "one\n");
	wire_say(&wire, "a\nb\n");
	wire_expect_line(wire.stream, "a\n");
	fputs("two\n", wire.stream);
	expect_frame(&wire, "two\n");
	wire_expect_line(wire.stream, "b\n");
	fputs("thr", wire.stream);
	fputs("ee\n", wire.stream);
	expect_frame(&wire, "three\n");
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(fully_buffered_stream_takes_the_programs_buffer)
{
	static char buffer[100];
	char expected[1001];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(setvbuf(wire.stream, buffer, _IOFBF, sizeof buffer), 0);
	for (int i = 0; i < 1000; i++) {
		expected[i] = (char)('a' + i % 26);
		ck_assert_int_eq(fputc(expected[i], wire.stream), expected[i]);
	}
	expected[1000] = '\0';
	ck_assert_int_eq(fflush(wire.stream), 0);
	wire_frame(&wire, PEER_BINARY, expected, 1000);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(fgetc(wire.stream), expected[i]);
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, expected);
	wire_end(&wire);
}
END_TEST

/* Unread input is given back also when the program's own buffer is larger than the library's. */
START_TEST(programs_larger_buffer_can_be_unread)
{
	static char buffer[200000];
	static uint8_t data[150000], back[150000];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(setvbuf(wire.stream, buffer, _IOFBF, sizeof buffer), 0);
	wire_pattern(0, data, sizeof data);
	wire_frame(&wire, PEER_BINARY, data, sizeof data);
	wire_wait_received(wire.stream, sizeof data);
	for (size_t done = 0; done < sizeof back; done += 10000) {
		ck_assert_uint_eq(fread(back + done, 1, 10000, wire.stream), 10000);
		ck_assert_int_eq(fputc('.', wire.stream), '.');
		ck_assert_int_eq(fflush(wire.stream), 0);
	}
	ck_assert_mem_eq(back, data, sizeof data);
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "...............");
	wire_end(&wire);
}
END_TEST

/* --- every way to read --- */

START_TEST(lines_records_and_numbers_are_read)
{
	char *line = NULL, word[16];
	size_t capacity = 0;
	int number;
	struct wire wire;

	open_with_buffer(&wire, _i);
	wire_say(&wire, "first li");
	wire_say(&wire, "ne\n\nrecord;17 ");
	wire_say(&wire, "2");
	wire_say(&wire, "3 word\nlast without newline");
	wire_goodbye(&wire, 1000, "");
	ck_assert_int_eq(getline(&line, &capacity, wire.stream), 11);
	ck_assert_str_eq(line, "first line\n");
	ck_assert_int_eq(getline(&line, &capacity, wire.stream), 1);
	ck_assert_int_eq(getdelim(&line, &capacity, ';', wire.stream), 7);
	ck_assert_str_eq(line, "record;");
	ck_assert_int_eq(fscanf(wire.stream, "%d", &number), 1);
	ck_assert_int_eq(number, 17);
	ck_assert_int_eq(fscanf(wire.stream, "%d %15[a-z]", &number, word), 2);
	ck_assert_int_eq(number, 23);
	ck_assert_str_eq(word, "word");
	ck_assert_int_eq(fgetc(wire.stream), '\n');
	ck_assert_int_eq(getline(&line, &capacity, wire.stream), 20);
	ck_assert_str_eq(line, "last without newline");
	ck_assert_int_eq(getline(&line, &capacity, wire.stream), -1);
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	free(line);
	wire_end(&wire);
}
END_TEST

START_TEST(wide_characters_work_or_are_refused)
{
	wchar_t wide[16];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "one\n");
	/* glibc makes every cookie stream a byte stream. */
	if (fwide(wire.stream, 1) > 0) {
		ck_assert_ptr_nonnull(fgetws(wide, 16, wire.stream));
		ck_assert_int_eq(wcscmp(wide, L"one\n"), 0);
	} else {
		wire_expect_line(wire.stream, "one\n");
	}
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

/* --- every size of a write --- */

static void write_pattern(FILE *stream, uint64_t *offset, size_t size)
{
	uint8_t *data = malloc(size);

	ck_assert_ptr_nonnull(data);
	wire_pattern(*offset, data, size);
	ck_assert_uint_eq(fwrite(data, 1, size, stream), size);
	*offset += size;
	free(data);
}

START_TEST(writes_of_every_size_arrive)
{
	static const size_t sizes[] = { 1, 125, 126, 4095, 65535, 65536, 65537, (size_t)1 << 20, (size_t)16 << 20, 3 };
	uint64_t offset = 0;
	struct wire wire;

	open_with_buffer(&wire, _i);
	wire_finish(&wire, 1000);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		write_pattern(wire.stream, &offset, sizes[i]);
		if (i % 2 == 1)
			ck_assert_int_eq(fflush(wire.stream), 0);
	}
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.size, offset);
	ck_assert(wire_pattern_matches(0, wire.data, wire.size));
	wire_end(&wire);
}
END_TEST

START_TEST(frames_are_no_longer_than_asked_for_and_masked_by_role)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint64_t offset = 0, got = 0;
	struct peer_frame frame;
	struct wire wire;

	options.max_frame_bytes = 1000;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	write_pattern(wire.stream, &offset, 100000);
	ck_assert_int_eq(fflush(wire.stream), 0);
	while (got < offset) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_BINARY);
		ck_assert(frame.masked != wire.peer_masks);
		ck_assert_uint_le(frame.size, 1000);
		ck_assert_uint_gt(frame.size, 0);
		ck_assert(wire_pattern_matches(got, frame.payload, (size_t)frame.size));
		got += frame.size;
		peer_frame_clear(&frame);
	}
	ck_assert_uint_eq(got, offset);
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

/* --- modes --- */

START_TEST(writing_on_r_is_ebadf_and_reading_goes_on)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	wire_expect_unwritable(wire.stream, EBADF);
	clearerr(wire.stream);
	wire_say(&wire, "one\n");
	wire_expect_line(wire.stream, "one\n");
	wire_expect_unwritable(wire.stream, EBADF);
	end_well(&wire);
	ck_assert_ptr_null(wire.data);
	wire_end(&wire);
}
END_TEST

START_TEST(reading_on_w_is_ebadf_and_writing_goes_on)
{
	struct wire wire;
	char byte;

	wire_open(&wire, (enum wire_role)_i, "w", NULL, 0);
	wire_say(&wire, "one\n");
	errno = 0;
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert_int_eq(errno, EBADF);
	ck_assert(!feof(wire.stream));
	errno = 0;
	ck_assert_int_eq(ws_read_some(wire.stream, &byte, 1), -1);
	ck_assert_int_eq(errno, EBADF);
	clearerr(wire.stream);
	fputs("hello", wire.stream);
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "hello");
	wire_end(&wire);
}
END_TEST

START_TEST(there_is_no_descriptor)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "w+be", NULL, 0);
	errno = 0;
	ck_assert_int_eq(fileno(wire.stream), -1);
	ck_assert_int_eq(errno, EBADF);
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stdio");
	TCase *turns = wire_case(suite, "in turn"), *places = wire_case(suite, "positioning");
	TCase *buffers = wire_case(suite, "buffering"), *data = wire_case(suite, "data");
	TCase *modes = wire_case(suite, "modes");

	tcase_add_loop_test(turns, fgets_and_fprintf_alternate_and_nothing_is_lost, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(turns, switching_works_with_every_buffer, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(turns, unread_input_of_many_buffers_stays_in_order, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(places, no_other_seek_succeeds_or_loses_anything, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(places, ftell_changes_nothing, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(places, ungetc_works_as_on_any_stream, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(places, pushed_back_input_survives_a_write_at_every_place, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, unbuffered_stream_sends_at_once, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, line_buffered_stream_sends_lines, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, fully_buffered_stream_takes_the_programs_buffer, 0, WIRE_ROLES);
	tcase_add_loop_test(buffers, programs_larger_buffer_can_be_unread, 0, WIRE_ROLES);
	tcase_add_loop_test(data, lines_records_and_numbers_are_read, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(data, wide_characters_work_or_are_refused, 0, WIRE_ROLES);
	tcase_add_loop_test(data, writes_of_every_size_arrive, 0, WIRE_ROLES * STDIO_BUFFERS);
	tcase_add_loop_test(data, frames_are_no_longer_than_asked_for_and_masked_by_role, 0, WIRE_ROLES);
	tcase_add_loop_test(modes, writing_on_r_is_ebadf_and_reading_goes_on, 0, WIRE_ROLES);
	tcase_add_loop_test(modes, reading_on_w_is_ebadf_and_writing_goes_on, 0, WIRE_ROLES);
	tcase_add_loop_test(modes, there_is_no_descriptor, 0, WIRE_ROLES);
	return wire_run(suite);
}
