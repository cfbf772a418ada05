/* SPDX-License-Identifier: 0BSD */
/* What one consumer (legacy.h) makes of streams over ws and wss, beside what it makes of regular files. */
#include "legacy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "bytes.h"
#include "pki.h"
#include "sender.h"

#define FEW 12
#define MANY 2000
#define EVERY_VERDICT (WHOLE | REFUSED | CUT)

/* What a consumer said of some bytes. */
struct said {
	enum verdict verdict;
	char *text;
	size_t size;
};

static const char *const words[] = { [WHOLE] = "whole", [REFUSED] = "refused", [CUT] = "cut" };

/* --- samples, and regular files --- */

static struct bytes sample(int records)
{
	struct bytes bytes = { 0 };
	FILE *file = tmpfile();
	uint8_t part[4096];
	size_t size;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(consumer.write(file, records), 0);
	ck_assert_int_eq(fflush(file), 0);
	/* By its descriptor: the FILE may be one of wide characters. */
	ck_assert_int_eq((int)lseek(fileno(file), 0, SEEK_SET), 0);
	while ((size = (size_t)read(fileno(file), part, sizeof part)) > 0)
		put(&bytes, part, size);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_uint_gt(bytes.size, 0);
	return bytes;
}

static struct said ask(FILE *in)
{
	struct said said = { 0 };
	FILE *out = open_memstream(&said.text, &said.size);

	ck_assert_ptr_nonnull(out);
	said.verdict = consumer.read(in, out);
	ck_assert_int_eq(fclose(out), 0);
	return said;
}

static struct said ask_file(const uint8_t *data, size_t size)
{
	FILE *file = tmpfile();
	struct said said;

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	rewind(file);
	/* Orientation is decided once. */
	file = freopen(NULL, "r+", file);
	ck_assert_ptr_nonnull(file);
	said = ask(file);
	if (!consumer.closes)
		ck_assert_int_eq(fclose(file), 0);
	return said;
}

static void same(const struct said *one, const struct said *other)
{
	ck_assert_str_eq(words[one->verdict], words[other->verdict]);
	ck_assert_uint_eq(one->size, other->size);
	ck_assert_mem_eq(one->text, other->text, one->size + 1);
}

/* --- streams --- */

static struct sender new_sender(int secure, uint32_t lot)
{
	return (struct sender){ .secure = secure != 0, .descriptor = consumer.needs_descriptor, .stdio_bytes = 16384,
		.lot = lot };
}

static void close_stream(struct sender *sender, int error)
{
	if (!consumer.closes) {
		int result = fclose(sender->stream), got = errno;

		/* That of a descriptor knows nothing of the connection. */
		if (error != 0 && !sender->descriptor) {
			ck_assert_int_eq(result, EOF);
			ck_assert_int_eq(got, error);
		} else {
			ck_assert_msg(result == 0, "fclose: %s", strerror(got));
		}
	}
	sender_join(sender);
	ck_assert_uint_eq(sender->size, 0);
	free(sender->data);
}

/* The plan's bytes, to their polite end. */
static struct said ask_stream(struct sender *sender)
{
	struct said said;

	sender_open(sender, "r");
	said = ask(sender->stream);
	sender_sent(sender);
	close_stream(sender, 0);
	ck_assert_uint_eq(sender->close_code, 1000);
	return said;
}

static void pieces_are_as_a_file(int secure, int records, size_t most, bool paced, size_t stdio_bytes)
{
	struct bytes bytes = sample(records);
	struct said file = ask_file(bytes.data, bytes.size), stream;
	struct sender sender = new_sender(secure, (uint32_t)most + (uint32_t)stdio_bytes);

	ck_assert_str_eq(words[file.verdict], words[WHOLE]);
	ck_assert_uint_gt(file.size, (size_t)records);
	peer_count_begin();
	sender.stdio_bytes = stdio_bytes;
	sender.plan = (struct plan){ .data = bytes.data, .size = bytes.size, .most = most, .paced = paced };
	stream = ask_stream(&sender);
	same(&stream, &file);
	peer_count_end();
	free(stream.text);
	free(file.text);
	free(bytes.data);
}

START_TEST(few_bytes_at_a_time_are_as_a_file)
{
	pieces_are_as_a_file(_i, FEW, 7, true, 16384);
}
END_TEST

/* Every character of several bytes, every number and every length is cut in two at each of its bytes. */
START_TEST(single_bytes_are_as_a_file)
{
	pieces_are_as_a_file(_i, FEW, 1, true, 16384);
}
END_TEST

START_TEST(few_bytes_at_a_time_without_a_buffer_are_as_a_file)
{
	pieces_are_as_a_file(_i, FEW, 7, true, 0);
}
END_TEST

START_TEST(much_in_large_and_small_pieces_is_as_a_file)
{
	pieces_are_as_a_file(_i, MANY, 9000, false, 16384);
}
END_TEST

/* --- as it comes --- */

struct live {
	FILE *in, *out;
	enum verdict verdict;
};

static void *ask_live(void *argument)
{
	struct live *live = argument;

	live->verdict = consumer.read(live->in, live->out);
	ck_assert_int_eq(fclose(live->out), 0);
	return NULL;
}

START_TEST(a_record_is_there_when_its_last_byte_is)
{
	struct bytes one = sample(1), two = sample(2);
	struct said first = ask_file(one.data, one.size), both = ask_file(two.data, two.size);
	struct sender sender = new_sender(_i, 1);
	char *heard = calloc(1, both.size + 1);
	struct live live;
	pthread_t thread;
	int pipes[2];

	ck_assert_ptr_nonnull(heard);
	ck_assert_int_eq(pipe(pipes), 0);
	live.out = fdopen(pipes[1], "w");
	setvbuf(live.out, NULL, _IOLBF, BUFSIZ);
	/* What is written first is what is written of one alone, so the second can wait for it. */
	ck_assert_mem_eq(one.data, two.data, one.size);
	sender.plan = (struct plan){ .data = two.data, .size = two.size, .most = 7, .paced = true, .live_at = one.size,
		.live_fd = pipes[0], .live_size = first.size, .live_data = heard };
	sender_open(&sender, "r");
	live.in = sender.stream;
	peer_thread(&thread, ask_live, &live);
	peer_join(thread);
	sender_sent(&sender);
	close_stream(&sender, 0);
	ck_assert_str_eq(words[live.verdict], words[WHOLE]);
	ck_assert_int_eq((int)read(pipes[0], heard + first.size, both.size - first.size),
	    (int)(both.size - first.size));
	ck_assert_str_eq(heard, both.text);
	close(pipes[0]);
	free(heard);
	free(first.text);
	free(both.text);
	free(one.data);
	free(two.data);
}
END_TEST

/* --- the stream that does not end as it should --- */

/* Of what a file that is as short gave, a cut may have taken the last line, or what was kept back; nothing else. */
static void check_records(const struct said *stream, const struct said *file)
{
	size_t lines = file->size;

	ck_assert_uint_le(stream->size, file->size);
	ck_assert_mem_eq(stream->text, file->text, stream->size);
	if (!consumer.keeps_records)
		return;
	while (lines > 0 && (lines == file->size || file->text[lines - 1] != '\n'))
		lines--;
	ck_assert_uint_ge(stream->size, lines);
}

/* The error is there, and stays. */
static void check_error(FILE *stream, enum verdict verdict, bool is_descriptor)
{
	struct ws_status status = WS_STATUS_INIT;

	if (verdict != WHOLE)
		ck_assert(ferror(stream) != 0);
	if (is_descriptor)
		return;
	clearerr(stream);
	errno = 0;
	ck_assert_int_eq(getc(stream), EOF);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert(ferror(stream) && !feof(stream));
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_int_eq(status.error, ECONNRESET);
	ck_assert(!status.clean);
}

static enum verdict cut_at(int secure, const struct bytes *bytes, size_t at, enum ending ending)
{
	struct sender sender = new_sender(secure, (uint32_t)at);
	struct said stream, file = ask_file(bytes->data, at);
	enum verdict verdict;

	sender.plan = (struct plan){ .data = bytes->data, .size = at, .most = 300, .ending = ending };
	sender_open(&sender, "r");
	stream = ask(sender.stream);
	verdict = stream.verdict;
	sender_sent(&sender);
	if (!consumer.closes)
		check_error(sender.stream, verdict, sender.descriptor);
	close_stream(&sender, ECONNRESET);
	ck_assert_msg(verdict != WHOLE || (at == bytes->size && consumer.knows_its_end),
	    "%zu of %zu bytes were taken for the whole", at, bytes->size);
	ck_assert_msg((verdict & consumer.at_cut) != 0, "cut at %zu of %zu bytes: %s", at, bytes->size, words[verdict]);
	check_records(&stream, &file);
	free(stream.text);
	free(file.text);
	return verdict;
}

START_TEST(cut_is_an_error_wherever_it_is)
{
	struct bytes bytes = sample(FEW);
	const uint8_t *newline = memchr(bytes.data + bytes.size / 3, '\n', bytes.size - bytes.size / 3);
	size_t line = newline != NULL ? (size_t)(newline - bytes.data) : 2;
	/* Nothing; in the middle; before and behind the end of a line; all but the last byte; all but the goodbye. */
	size_t places[] = { 0, 1, bytes.size / 4, bytes.size / 3, line, line + 1, bytes.size / 2, bytes.size * 3 / 4,
		bytes.size - 1, bytes.size };
	unsigned seen = 0;

	peer_count_begin();
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		seen |= (unsigned)cut_at(_i, &bytes, places[i], END_FIN);
		seen |= (unsigned)cut_at(_i, &bytes, places[i], END_RESET);
	}
	ck_assert_msg(seen == consumer.at_cut, "seen %#x, said %#x", seen, consumer.at_cut);
	peer_count_end();
	free(bytes.data);
}
END_TEST

START_TEST(goodbye_in_the_middle_is_the_end_of_a_short_file)
{
	struct bytes bytes = sample(FEW);

	peer_count_begin();
	for (size_t part = 1; part < 4; part++) {
		struct sender sender = new_sender(_i, (uint32_t)part);
		struct said file = ask_file(bytes.data, bytes.size * part / 4), stream;

		sender.plan = (struct plan){ .data = bytes.data, .size = bytes.size * part / 4, .most = 100 };
		stream = ask_stream(&sender);
		same(&stream, &file);
		free(stream.text);
		free(file.text);
	}
	peer_count_end();
	free(bytes.data);
}
END_TEST

/* --- writing --- */

static void written_arrives(int secure, int records)
{
	struct bytes bytes = sample(records);
	struct sender sender = new_sender(secure, 1);

	peer_count_begin();
	sender_open(&sender, "w");
	ck_assert_int_eq(consumer.write(sender.stream, records), 0);
	ck_assert_msg(fclose(sender.stream) == 0, "fclose: %s", strerror(errno));
	sender_join(&sender);
	ck_assert_uint_eq(sender.close_code, 1000);
	ck_assert_uint_eq(sender.size, bytes.size);
	ck_assert_mem_eq(sender.data, bytes.data, bytes.size);
	peer_count_end();
	free(sender.data);
	free(bytes.data);
}

START_TEST(what_is_written_arrives_whole)
{
	written_arrives(_i, FEW);
	written_arrives(_i, MANY);
}
END_TEST

START_TEST(a_reader_that_vanishes_is_told_at_the_latest_by_fclose)
{
	struct sender sender = new_sender(_i, 1);
	int result, error;

	peer_count_begin();
	sender.plan = (struct plan){ .ending = END_RESET, .take_bytes = 1 };
	sender_open(&sender, "w");
	ck_assert_int_ge(consumer.write(sender.stream, MANY), -1);
	fflush(sender.stream);
	sender_sent(&sender);
	result = fclose(sender.stream);
	error = errno;
	sender_join(&sender);
	ck_assert_int_eq(result, EOF);
	ck_assert_msg(error == ECONNRESET || error == EPIPE, "fclose: %s", strerror(error));
	peer_count_end();
}
END_TEST

/* What its description says is what has been seen, and nothing that can't be is said. */
START_TEST(description_is_possible)
{
	ck_assert_uint_eq(consumer.at_cut & ~(unsigned)EVERY_VERDICT, 0);
	ck_assert(consumer.knows_its_end == ((consumer.at_cut & WHOLE) != 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("legacy");
	TCase *tcase = wire_case(suite, "consumer");
	int result;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, description_is_possible);
	tcase_add_loop_test(tcase, few_bytes_at_a_time_are_as_a_file, 0, 2);
	tcase_add_loop_test(tcase, single_bytes_are_as_a_file, 0, 2);
	tcase_add_loop_test(tcase, few_bytes_at_a_time_without_a_buffer_are_as_a_file, 0, 2);
	tcase_add_loop_test(tcase, much_in_large_and_small_pieces_is_as_a_file, 0, 2);
	if (consumer.live)
		tcase_add_loop_test(tcase, a_record_is_there_when_its_last_byte_is, 0, 2);
	tcase_add_loop_test(tcase, cut_is_an_error_wherever_it_is, 0, 2);
	tcase_add_loop_test(tcase, goodbye_in_the_middle_is_the_end_of_a_short_file, 0, 2);
	tcase_add_loop_test(tcase, what_is_written_arrives_whole, 0, 2);
	if (!consumer.needs_descriptor)
		tcase_add_loop_test(tcase, a_reader_that_vanishes_is_told_at_the_latest_by_fclose, 0, 2);
	pki_begin_server();
	result = wire_run(suite);
	pki_end();
	return result;
}
