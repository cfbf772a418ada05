/* SPDX-License-Identifier: 0BSD */
/* Reading: every way to, pushed back bytes, ends and errors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "libc_table.h"
#include "wsfile.h"

static void lines_and_numbers(struct scene *scene)
{
	char *line = NULL, word[16];
	size_t capacity = 0;
	ssize_t n;
	int number = 0;

	scene_open(scene, "r", 16, "first line\n\nrecord;17 23 word\nlast");
	scene->stream->chunk = 5;
	n = getline(&line, &capacity, scene->file);
	tell(scene, "%zd", n);
	n = getline(&line, &capacity, scene->file);
	tell(scene, " %zd", n);
	n = getdelim(&line, &capacity, ';', scene->file);
	tell(scene, " %zd", n);
	n = fscanf(scene->file, "%d", &number);
	tell(scene, " %d", number);
	n = fscanf(scene->file, "%d %15[a-z]", &number, word);
	tell(scene, " %d %s %d", number, n == 2 ? word : "?", fgetc(scene->file));
	n = getline(&line, &capacity, scene->file);
	tell(scene, " %s", n == 4 ? line : "?");
	n = getline(&line, &capacity, scene->file);
	tell(scene, " %zd ", n);
	tell_flags(scene);
	free(line);
}

/* In one piece and in pieces, through stdio's buffer and past it. */
static void long_freads(struct scene *scene)
{
	static const size_t parts[] = { 1, 100, 1024, 1025, 70000, 3, 30000 };
	static char data[200000], back[200000];
	size_t done = 0;

	fill_pattern(data, sizeof data);
	scene_open_bytes(scene, "r", 1024, data, sizeof data);
	scene->stream->chunk = 7777;
	for (size_t i = 0; done < sizeof data; i++) {
		size_t part = parts[i % (sizeof parts / sizeof parts[0])];

		if (part > sizeof data - done)
			part = sizeof data - done;
		if (fread(back + done, 1, part, scene->file) != part) {
			tell(scene, "short at %zu", done);
			return;
		}
		done += part;
	}
	tell(scene, "%s", memcmp(back, data, sizeof data) == 0 ? "all" : "damaged");
}

/* Whether a long fread is received in place, and how it is cut. */
static void sizes_asked_for(struct scene *scene)
{
	static char data[10000], back[10000];

	scene_open_bytes(scene, "r", 1024, data, sizeof data);
	(void)fread(back, 1, 1, scene->file);
	(void)fread(back, 1, 5000, scene->file);
	for (unsigned i = 0; i < scene->record->reads && i < 8; i++)
		tell(scene, i == 0 ? "%zu" : " %zu", scene->record->read_sizes[i]);
}

static void unbuffered_reads(struct scene *scene)
{
	scene_open(scene, "r", 0, "one\ntwo\n");
	tell_line(scene);
	tell(scene, ", ahead %zu, ", ws_readable(scene->file) - wsf_stream_readable_bytes(scene->stream));
	tell_line(scene);
}

static void setvbuf_unbuffers(struct scene *scene)
{
	scene_open(scene, "r", 1024, "one\ntwo\n");
	tell_rv(scene, "setvbuf", setvbuf(scene->file, NULL, _IONBF, 0));
	tell(scene, ", ");
	tell_line(scene);
	tell(scene, ", ahead %zu, ", ws_readable(scene->file) - wsf_stream_readable_bytes(scene->stream));
	tell_line(scene);
}

static void own_buffer(struct scene *scene)
{
	static char buffer[100], data[1000], back[1000];

	fill_pattern(data, sizeof data);
	scene_open_bytes(scene, "r", 1024, data, sizeof data);
	tell_rv(scene, "setvbuf", setvbuf(scene->file, buffer, _IOFBF, sizeof buffer));
	for (size_t i = 0; i < sizeof back; i++)
		back[i] = (char)fgetc(scene->file);
	tell(scene, ", %s, first read %zu", pattern_holds(back, sizeof back) ? "all" : "damaged",
	    scene->record->read_sizes[0]);
}

static void tiny_buffer(struct scene *scene)
{
	scene_open(scene, "r+", 4, "one\ntwo\n");
	tell_line(scene);
	tell_rv(scene, ", fseek", fseek(scene->file, 0, SEEK_CUR));
	tell(scene, ", ");
	tell_line(scene);
	tell(scene, ", first read %zu", scene->record->read_sizes[0]);
}

/* --- pushed back --- */

static void ungetc_of_what_was_read(struct scene *scene)
{
	scene_open(scene, "r", 1024, "abc\ndef\n");
	tell(scene, "%c", fgetc(scene->file));
	tell(scene, " %d ", ungetc('a', scene->file) == 'a');
	tell_line(scene);
	tell(scene, " %d ", ungetc('X', scene->file) == 'X');
	tell_line(scene);
}

static void ungetc_before_reading(struct scene *scene)
{
	scene_open(scene, "r", 1024, "abc\n");
	tell(scene, "%d ", ungetc('X', scene->file) == 'X');
	tell_line(scene);
}

static void ungetc_at_the_end(struct scene *scene)
{
	int c = fgetc((scene_open(scene, "r", 1024, ""), scene->file));

	tell(scene, "%s", c == EOF ? "EOF" : "?");
	tell(scene, " %d ", ungetc('Y', scene->file) == 'Y');
	tell_flags(scene);
	tell(scene, " %c", fgetc(scene->file));
	c = fgetc(scene->file);
	tell(scene, " %s", c == EOF ? "EOF" : "?");
}

/* ISO C promises one. */
static void ungetc_of_many(struct scene *scene)
{
	int n = 0;

	scene_open(scene, "r", 1024, "abc\n");
	while (n < 100 && ungetc('0' + n % 10, scene->file) != EOF)
		n++;
	tell(scene, "%s", n >= 100 ? "100" : n >= 8 ? "8" : n >= 1 ? "1" : "0");
}

static void ungetc_unbuffered(struct scene *scene)
{
	scene_open(scene, "r", 0, "abc\n");
	tell(scene, "%c", fgetc(scene->file));
	tell(scene, " %d ", ungetc('a', scene->file) == 'a');
	tell_line(scene);
}

/* --- ends and errors --- */

/* The stream's own end is for good. Here more comes behind it, to see what stdio does by itself. */
static void end_is_sticky_in_stdio(struct scene *scene)
{
	int c;

	scene_open_bytes(scene, "r", 1024, "ab", 1);
	(void)fgetc(scene->file);
	c = fgetc(scene->file);
	scene->stream->input_bytes = 2;
	tell(scene, "%s", c == EOF ? "EOF" : "?");
	c = fgetc(scene->file);
	tell(scene, " %s", c == EOF ? "EOF" : "b");
	clearerr(scene->file);
	c = fgetc(scene->file);
	tell(scene, ", clearerr: %s", c == EOF ? "EOF" : "b");
}

static void error_behind_data(struct scene *scene)
{
	scene_open(scene, "r", 1024, "one\n");
	scene->stream->end = ECONNRESET;
	tell_line(scene);
	tell(scene, " ");
	tell_line(scene);
	tell(scene, " ");
	tell_flags(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
}

static void open_interrupted(struct scene *scene, const char *input, size_t at)
{
	scene_open(scene, "r", 1024, input);
	scene->stream->once = EINTR;
	scene->stream->once_at = at;
}

static void interrupted_before_a_byte(struct scene *scene)
{
	open_interrupted(scene, "line\n", 0);
	tell_line(scene);
	tell(scene, " ");
	tell_flags(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
}

static void interrupted_fgets(struct scene *scene)
{
	open_interrupted(scene, "a line\n", 2);
	tell_line(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
}

static void interrupted_fscanf(struct scene *scene)
{
	char word[16] = "";
	int n;

	open_interrupted(scene, "word\n", 2);
	n = fscanf(scene->file, "%15s", word);
	tell(scene, "%d %s ", n, word);
	tell_flags(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
}

static void interrupted_getline(struct scene *scene)
{
	char *line = NULL;
	size_t capacity = 0;
	ssize_t n;

	open_interrupted(scene, "a line\n", 2);
	n = getline(&line, &capacity, scene->file);
	tell(scene, "%zd ", n);
	tell_flags(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
	free(line);
}

static void interrupted_fread(struct scene *scene)
{
	char buffer[8] = "";
	size_t n;

	open_interrupted(scene, "a line\n", 2);
	n = fread(buffer, 1, 7, scene->file);
	tell(scene, "%zu ", n);
	tell_flags(scene);
	clearerr(scene->file);
	n += fread(buffer + n, 1, 7 - n, scene->file);
	tell(scene, ", clearerr: %s", n == 7 && strcmp(buffer, "a line\n") == 0 ? "all" : "lost");
}

static void reading_on_w(struct scene *scene)
{
	int c;

	scene_open(scene, "w", 1024, "");
	errno = EDOM;
	c = fgetc(scene->file);
	tell(scene, "%s %s ", c == EOF ? "EOF" : "?", error_name(errno));
	tell_flags(scene);
}

/* --- wide characters --- */

static void wide_reading(struct scene *scene)
{
	wchar_t line[16];
	int wide;

	scene_open(scene, "r", 1024, "one\n");
	wide = fwide(scene->file, 1);
	/* glibc's fgetws ends the process on any stream of fopencookie(3). */
	if (wide <= 0) {
		tell(scene, "%s, ", wide < 0 ? "bytes" : "neither");
		tell_line(scene);
		return;
	}
	tell(scene, "wide, fgetws %s", fgetws(line, 16, scene->file) == NULL ? error_name(errno) :
	    wcscmp(line, L"one\n") == 0 ? "one" : "?");
}

/* --- in step with stdio --- */

static void read_some_takes_what_stdio_has(struct scene *scene)
{
	char buffer[32];
	ssize_t n;

	scene_open(scene, "r", 1024, "one\ntwo three");
	tell_line(scene);
	tell(scene, ", readable %zu", ws_readable(scene->file));
	n = ws_read_some(scene->file, buffer, 3);
	tell(scene, ", %.*s", n < 0 ? 0 : (int)n, buffer);
	ungetc('X', scene->file);
	n = ws_read_some(scene->file, buffer, sizeof buffer);
	tell(scene, ", %.*s", n < 0 ? 0 : (int)n, buffer);
	n = ws_read_some(scene->file, buffer, sizeof buffer);
	tell(scene, ", %zd ", n);
	tell_flags(scene);
}

const struct libc_case libc_reading_cases[] = {
	{ "lines, records and numbers", lines_and_numbers, { "11 1 7 17 23 word 10 last -1 no ferror feof" } },
	{ "freads of every length", long_freads, { "all" } },
	{ "fgetc, then fread of 5000, buffer of 1024: reads asked for", sizes_asked_for,
	    { "1024 1024 1024 1024 1024", NULL, "1016 3984 1016" } },
	{ "unbuffered reading", unbuffered_reads, { "one, ahead 0, two" } },
	{ "setvbuf _IONBF, then reading", setvbuf_unbuffers, { "setvbuf 0, one, ahead 0, two" } },
	{ "setvbuf with a buffer of 100, then reading", own_buffer, { "setvbuf 0, all, first read 100", NULL,
	    "setvbuf 0, all, first read 92" } },
	{ "a buffer of 4", tiny_buffer,
	    { "one, fseek 0, two, first read 4", NULL, "one, fseek 0, two, first read 1024" } },
	{ "ungetc of what was read, and of something else", ungetc_of_what_was_read, { "a 1 abc 1 Xdef" } },
	{ "ungetc before anything was read", ungetc_before_reading, { "1 Xabc" } },
	{ "ungetc at the end", ungetc_at_the_end, { "EOF 1 no ferror Y EOF" } },
	{ "ungetc, how often in a row", ungetc_of_many, { "100" } },
	{ "ungetc on an unbuffered stream", ungetc_unbuffered, { "a 1 abc" } },
	{ "EOF, then more input", end_is_sticky_in_stdio, { "EOF EOF, clearerr: b" } },
	{ "an error behind a line", error_behind_data, { "one ECONNRESET ferror, clearerr: ECONNRESET" } },
	{ "EINTR before a line", interrupted_before_a_byte, { "EINTR ferror, clearerr: line" } },
	{ "EINTR inside fgets", interrupted_fgets, { "EINTR, clearerr: line" } },
	{ "EINTR inside getline", interrupted_getline,
	    { "2 ferror, clearerr: line", NULL, "-1 ferror, clearerr: line" } },
	{ "EINTR inside fscanf", interrupted_fscanf, { "1 wo ferror, clearerr: rd" } },
	{ "EINTR inside fread", interrupted_fread, { "2 ferror, clearerr: all" } },
	{ "reading on w", reading_on_w, { "EOF EBADF ferror", NULL, "EOF EDOM ferror" } },
	{ "wide characters, reading", wide_reading, { "bytes, one", NULL, "wide, fgetws one" } },
	{ "ws_read_some behind fgets and ungetc", read_some_takes_what_stdio_has,
	    { "one, readable 9, two, X, 6 no ferror", NULL, "one, readable 9, two, X three, 0 no ferror feof" } },
	{ NULL, NULL, { NULL } },
};
