/* SPDX-License-Identifier: 0BSD */
/* Reading and writing in turn on one stream, and the functions that ask for positions. */
#include <errno.h>
#include <string.h>

#include "libc_table.h"

/* Between a line that is read, with more behind it, and a write. */
static void turn(struct scene *scene, int (*between)(FILE *file))
{
	tell_line(scene);
	if (between != NULL) {
		errno = 0;
		tell(scene, ", ");
		tell_rv(scene, "rv", between(scene->file));
	}
	(void)fputs("A", scene->file);
	errno = 0;
	if (fflush(scene->file) != 0)
		tell(scene, ", fflush %s", error_name(errno));
	tell(scene, ", ");
	tell_output(scene);
	tell(scene, ", ");
	tell_line(scene);
}

static int fseek_here(FILE *file)
{
	return fseek(file, 0, SEEK_CUR);
}

static int fseek_here_twice(FILE *file)
{
	return fseek(file, 0, SEEK_CUR) == 0 ? fseek(file, 0, SEEK_CUR) : -1;
}

static void turns_without_anything(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	turn(scene, NULL);
}

static void turns_with_fseek(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	turn(scene, fseek_here);
}

static void turns_with_two_fseeks(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	turn(scene, fseek_here_twice);
}

static void turns_with_fflush(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	turn(scene, fflush);
}

static void turns_unbuffered(struct scene *scene)
{
	scene_open(scene, "r+", 0, "one\ntwo\n");
	turn(scene, NULL);
}

static void turns_unbuffered_with_fseek(struct scene *scene)
{
	scene_open(scene, "r+", 0, "one\ntwo\n");
	turn(scene, fseek_here);
}

static void turns_behind_ungetc(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	ungetc(fgetc(scene->file), scene->file);
	tell_rv(scene, "fseek", fseek(scene->file, 0, SEEK_CUR));
	(void)fputs("A", scene->file);
	tell(scene, ", ");
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, ", ");
	tell_line(scene);
}

static void turns_behind_ungetc_without_fseek(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	ungetc(fgetc(scene->file), scene->file);
	(void)fputs("A", scene->file);
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, ", ");
	tell_line(scene);
}

/* What was pushed back is no input of the stream's: ISO C has a positioning function discard it. */
static void turns_behind_ungetc_of_another(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	(void)fgetc(scene->file);
	ungetc('X', scene->file);
	errno = 0;
	tell_rv(scene, "fseek", fseek(scene->file, 0, SEEK_CUR));
	tell(scene, ", ");
	tell_line(scene);
}

static void turns_unbuffered_behind_ungetc(struct scene *scene)
{
	scene_open(scene, "r+", 0, "one\ntwo\n");
	ungetc(fgetc(scene->file), scene->file);
	errno = 0;
	tell_rv(scene, "fseek", fseek(scene->file, 0, SEEK_CUR));
	tell(scene, ", ");
	tell_line(scene);
}

static void turns_at_the_end(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "");
	tell_line(scene);
	(void)fputs("A", scene->file);
	tell(scene, ", ");
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, ", ");
	tell_output(scene);
}

/* ISO C wants fflush between: what comes without it. */
static void reads_behind_a_write(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\n");
	(void)fputs("A", scene->file);
	tell_line(scene);
	tell(scene, ", ");
	tell_output(scene);
}

static void many_turns(struct scene *scene)
{
	static char input[20000], line[64];
	size_t size = 0;
	int i, lost = 0;

	for (i = 0; i < 1000; i++)
		size += (size_t)snprintf(input + size, sizeof input - size, "line %d\n", i);
	scene_open(scene, "r+", 256, input);
	scene->stream->chunk = 100;
	for (i = 0; i < 1000; i++) {
		char expected[64];

		snprintf(expected, sizeof expected, "line %d\n", i);
		if (fgets(line, sizeof line, scene->file) == NULL || strcmp(line, expected) != 0 ||
		    fseek(scene->file, 0, SEEK_CUR) != 0 || fputc('.', scene->file) == EOF || fflush(scene->file) != 0)
			lost++;
	}
	tell(scene, "%d wrong, %zu sent", lost, scene->record->output_bytes);
}

static void a_fread_of_more_than_the_buffer_then_a_write(struct scene *scene)
{
	static char data[10000], back[10000];
	size_t n;

	fill_pattern(data, sizeof data);
	scene_open_bytes(scene, "r+", 1024, data, sizeof data);
	n = fread(back, 1, 5000, scene->file);
	errno = 0;
	tell_rv(scene, "fseek", fseek(scene->file, 0, SEEK_CUR));
	(void)fputs("A", scene->file);
	tell(scene, ", ");
	tell_rv(scene, "fflush", fflush(scene->file));
	n += fread(back + n, 1, 5000, scene->file);
	tell(scene, ", %s", n == sizeof back && memcmp(back, data, sizeof back) == 0 ? "all" : "lost");
}

/* --- positions --- */

static void other_seeks(struct scene *scene)
{
	static const struct {
		long offset;
		int whence;
	} seeks[] = { { 0, SEEK_SET }, { 3, SEEK_SET }, { 0, SEEK_END }, { 1, SEEK_CUR }, { -1, SEEK_CUR } };

	scene_open(scene, "r+", 1024, "one\ntwo\n");
	tell_line(scene);
	for (size_t i = 0; i < sizeof seeks / sizeof seeks[0]; i++) {
		errno = 0;
		tell(scene, ", ");
		tell_rv(scene, i == 0 ? "fseek" : "", fseek(scene->file, seeks[i].offset, seeks[i].whence));
	}
	tell(scene, ", ");
	tell_line(scene);
}

static void rewinds(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	scene->stream->once = EINTR;
	tell_line(scene);
	tell(scene, " ");
	tell_flags(scene);
	errno = 0;
	rewind(scene->file);
	tell(scene, ", %s ", error_name(errno));
	tell_flags(scene);
	tell(scene, ", ");
	tell_line(scene);
	rewind(scene->file);
	tell(scene, ", ");
	tell_line(scene);
}

static void tells(struct scene *scene)
{
	long before, behind;

	scene_open(scene, "r+", 1024, "one\ntwo\nthree\n");
	errno = 0;
	before = ftell(scene->file);
	tell_line(scene);
	behind = ftell(scene->file);
	tell(scene, ", ftell %s, %s, ", before == -1 ? error_name(errno) : "a number", behind == -1 ?
	    error_name(errno) : behind == before ? "the same" : "another");
	tell_line(scene);
	(void)fputs("A", scene->file);
	(void)ftell(scene->file);
	tell_rv(scene, ", fflush", fflush(scene->file));
	tell(scene, ", ");
	tell_output(scene);
}

static void gets_a_position(struct scene *scene)
{
	fpos_t position;
	int rv;

	scene_open(scene, "r+", 1024, "one\ntwo\nthree\n");
	tell_line(scene);
	errno = 0;
	rv = fgetpos(scene->file, &position);
	tell_rv(scene, ", fgetpos", rv);
	tell(scene, ", ");
	tell_line(scene);
	errno = 0;
	if (rv == 0)
		tell_rv(scene, ", fsetpos", fsetpos(scene->file, &position));
	tell(scene, ", ");
	tell_line(scene);
}

static void has_no_descriptor(struct scene *scene)
{
	int fd;

	scene_open(scene, "r+", 1024, "");
	errno = 0;
	fd = fileno(scene->file);
	tell(scene, "%d %s", fd, error_name(errno));
}

const struct libc_case libc_turning_cases[] = {
	{ "input left, then a write", turns_without_anything, { "one, sent A, two", NULL, "one, sent A, EOF" } },
	{ "input left, fseek, a write", turns_with_fseek, { "one, rv 0, sent A, two" } },
	{ "input left, fseek twice, a write", turns_with_two_fseeks, { "one, rv 0, sent A, two" } },
	{ "input left, fflush, a write", turns_with_fflush, { "one, rv 0, sent A, two" } },
	{ "unbuffered: input left, then a write", turns_unbuffered, { "one, sent A, two" } },
	{ "unbuffered: input left, fseek, a write", turns_unbuffered_with_fseek, { "one, rv 0, sent A, two" } },
	{ "ungetc, fseek, a write", turns_behind_ungetc, { "fseek 0, fflush 0, one" } },
	{ "ungetc, then a write", turns_behind_ungetc_without_fseek, { "fflush 0, one", NULL, "fflush 0, EOF" } },
	{ "ungetc of another byte, fseek", turns_behind_ungetc_of_another,
	    { "fseek ESPIPE, ne", NULL, "fseek 0, one" } },
	{ "unbuffered: ungetc, fseek", turns_unbuffered_behind_ungetc, { "fseek 0, one" } },
	{ "EOF, then a write", turns_at_the_end, { "EOF, fflush 0, sent A" } },
	{ "a write, then reading", reads_behind_a_write, { "one, sent A" } },
	{ "a thousand turns with fseek", many_turns, { "0 wrong, 1000 sent" } },
	{ "fread past the buffer, fseek, a write", a_fread_of_more_than_the_buffer_then_a_write,
	    { "fseek 0, fflush 0, all" } },
	{ "other seeks", other_seeks, { "one, fseek ESPIPE,  ESPIPE,  ESPIPE,  ESPIPE,  ESPIPE, two" } },
	{ "rewind", rewinds, { "EINTR ferror, ESPIPE no ferror, one, two" } },
	{ "ftell", tells, { "one, ftell a number, ESPIPE, two, fflush 0, sent A" } },
	{ "fgetpos and fsetpos", gets_a_position, { "one, fgetpos ESPIPE, two, three" } },
	{ "fileno", has_no_descriptor, { "-1 EBADF" } },
	{ NULL, NULL, { NULL } },
};
