/* SPDX-License-Identifier: 0BSD */
/* Writing: in every buffering, of every length, and what a write that fails leaves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "libc_table.h"
#include "wsfile.h"

static void tell_writes(struct scene *scene)
{
	tell(scene, "%u writes, ", scene->record->writes);
	tell_output(scene);
}

static void fully_buffered(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	(void)fputs("one\n", scene->file);
	(void)fputs("two", scene->file);
	tell(scene, "%u writes, pending %zu, ", scene->record->writes, ws_unsent(scene->file));
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, ", %u writes", scene->record->writes);
}

static void line_buffered(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	tell_rv(scene, "setvbuf", setvbuf(scene->file, NULL, _IOLBF, BUFSIZ));
	(void)fputs("on", scene->file);
	(void)fputs("e\n", scene->file);
	(void)fputs("two", scene->file);
	tell(scene, ", ");
	tell_writes(scene);
}

static void line_buffered_by_fputc(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	setvbuf(scene->file, NULL, _IOLBF, BUFSIZ);
	for (const char *c = "one\ntwo"; *c != '\0'; c++)
		fputc(*c, scene->file);
	tell_writes(scene);
}

static void unbuffered(struct scene *scene)
{
	scene_open(scene, "w", 0, "");
	(void)fputs("one", scene->file);
	fputc('!', scene->file);
	(void)fprintf(scene->file, "%d-%d", 1, 2);
	tell_writes(scene);
}

static void setvbuf_unbuffers(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	tell_rv(scene, "setvbuf", setvbuf(scene->file, NULL, _IONBF, 0));
	(void)fputs("one", scene->file);
	(void)fputs("two", scene->file);
	tell(scene, ", ");
	tell_writes(scene);
}

static void own_buffer(struct scene *scene)
{
	static char buffer[100];

	scene_open(scene, "w", 1024, "");
	tell_rv(scene, "setvbuf", setvbuf(scene->file, buffer, _IOFBF, sizeof buffer));
	for (int i = 0; i < 1000; i++)
		fputc('x', scene->file);
	tell_rv(scene, ", fflush", fflush(scene->file));
	tell(scene, ", %zu bytes, longest %zu", scene->record->output_bytes, scene->record->longest_write);
}

static void every_length(struct scene *scene)
{
	static const size_t parts[] = { 1, 1023, 1024, 1025, 65535, 65536, 65537, 100000, 3 };
	static char data[400000];
	size_t done = 0;

	fill_pattern(data, sizeof data);
	scene_open(scene, "w", 1024, "");
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		if (fwrite(data + done, 1, parts[i], scene->file) != parts[i]) {
			tell(scene, "short at %zu", done);
			return;
		}
		done += parts[i];
	}
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, ", %s", scene->record->output_bytes == done && pattern_holds(scene->record->output, done) ?
	    "all" : "damaged");
}

static void long_write_is_passed_on(struct scene *scene)
{
	static char data[70000];

	scene_open(scene, "w", 1024, "");
	fputc('x', scene->file);
	(void)fwrite(data, 1, sizeof data, scene->file);
	tell(scene, "longest %s", scene->record->longest_write >= 65536 ? "as it was" : "cut");
}

/* A write of nothing must not become a message: the stream sends none for it. */
static void nothing_is_written(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	(void)fwrite("x", 1, 0, scene->file);
	(void)fputs("", scene->file);
	(void)fflush(scene->file);
	tell(scene, "%u of 0, ", scene->record->empty_writes);
	fputc('x', scene->file);
	(void)fflush(scene->file);
	tell(scene, "%u of 0, %u", scene->record->empty_writes, scene->record->writes);
}

static void flushes_all(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	tell_rv(scene, "fflush", fflush(NULL));
	tell(scene, ", ");
	tell_output(scene);
}

static void writing_on_r(struct scene *scene)
{
	int c;

	scene_open(scene, "r", 1024, "one\n");
	errno = EDOM;
	c = fputc('x', scene->file);
	if (c != EOF)
		c = fflush(scene->file);
	tell(scene, "%s %s ", c == EOF ? "EOF" : "?", error_name(errno));
	tell_flags(scene);
	clearerr(scene->file);
	tell(scene, ", clearerr: ");
	tell_line(scene);
}

static void wide_writing(struct scene *scene)
{
	int rv;

	scene_open(scene, "w", 1024, "");
	tell(scene, "%s", fwide(scene->file, 1) > 0 ? "wide" : "bytes");
	errno = EDOM;
	rv = fputws(L"one", scene->file);
	tell(scene, ", fputws %s, ", rv < 0 ? error_name(errno) : "0");
	(void)fflush(scene->file);
	tell_output(scene);
}

static void write_some_flushes_first(struct scene *scene)
{
	ssize_t n;

	scene_open(scene, "w", 100, "");
	(void)fputs("one ", scene->file);
	tell(scene, "writable %zu, ", ws_writable(scene->file));
	n = ws_write_some(scene->file, "two", 3);
	tell(scene, "%zd, ", n);
	tell_output(scene);
}

/* --- a write fails --- */

static void failed_write_is_final(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	scene->stream->write_error = ETIMEDOUT;
	(void)fputs("hello ", scene->file);
	errno = 0;
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, " ");
	tell_flags(scene);
	clearerr(scene->file);
	(void)fputs("world", scene->file);
	errno = 0;
	tell_rv(scene, ", fflush", fflush(scene->file));
	tell(scene, ", ");
	tell_output(scene);
}

static void failed_unbuffered_write(struct scene *scene)
{
	int rv;

	scene_open(scene, "w", 0, "");
	scene->stream->write_error = ETIMEDOUT;
	errno = 0;
	rv = fputs("hello", scene->file);
	tell(scene, "fputs %s ", rv == EOF ? error_name(errno) : "0");
	tell_flags(scene);
}

static void failed_fprintf(struct scene *scene)
{
	int rv;

	scene_open(scene, "w", 0, "");
	scene->stream->write_error = ETIMEDOUT;
	errno = 0;
	rv = fprintf(scene->file, "%s", "hello");
	tell(scene, "fprintf %s", rv < 0 ? error_name(errno) : "0");
}

static void failed_long_write(struct scene *scene)
{
	static char data[70000];
	size_t n;

	scene_open(scene, "w", 1024, "");
	scene->stream->write_error = ETIMEDOUT;
	(void)fputs("hello", scene->file);
	errno = 0;
	n = fwrite(data, 1, sizeof data, scene->file);
	tell(scene, "fwrite %s %s ", n == 0 ? "0" : n < sizeof data ? "some" : "too much", error_name(errno));
	tell_flags(scene);
}

/* --- why the shim is as it is: cookies that break its rules, without the library --- */

struct raw {
	char output[200];
	size_t output_bytes;
	ssize_t next;			/* what the next write returns without taking anything; 1 = takes half */
};

static ssize_t raw_write(struct raw *raw, const char *buffer, size_t size)
{
	ssize_t next = raw->next;

	raw->next = 2;
	if (next <= 0) {
		errno = ETIMEDOUT;
		return next;
	}
	size = next == 1 ? size / 2 : size;
	if (size > sizeof raw->output - raw->output_bytes)
		size = sizeof raw->output - raw->output_bytes;
	memcpy(raw->output + raw->output_bytes, buffer, size);
	raw->output_bytes += size;
	return (ssize_t)size;
}

#if defined(WSF_FUNOPEN)

static int raw_fun_write(void *cookie, const char *buffer, int size)
{
	return (int)raw_write(cookie, buffer, (size_t)size);
}

static FILE *raw_open(struct raw *raw)
{
	return funopen(raw, NULL, raw_fun_write, NULL, NULL);
}

#else

static ssize_t raw_cookie_write(void *cookie, const char *buffer, size_t size)
{
	return raw_write(cookie, buffer, size);
}

static FILE *raw_open(struct raw *raw)
{
	const cookie_io_functions_t functions = { .write = raw_cookie_write };

	return fopencookie(raw, "w", functions);
}

#endif

static void raw_case(struct scene *scene, ssize_t next)
{
	struct raw *raw = calloc(1, sizeof *raw);

	raw->next = next;
	scene->file = raw_open(raw);
	(void)fputs("hello ", scene->file);
	errno = 0;
	tell_rv(scene, "fflush", fflush(scene->file));
	tell(scene, " ");
	tell_flags(scene);
	clearerr(scene->file);
	(void)fputs("world", scene->file);
	errno = 0;
	tell_rv(scene, ", fflush", fflush(scene->file));
	tell(scene, ", sent %.*s", (int)raw->output_bytes, raw->output);
}

static void raw_write_that_fails_once(struct scene *scene)
{
	raw_case(scene, -1);
}

static void raw_write_that_returns_0_once(struct scene *scene)
{
	raw_case(scene, 0);
}

static void raw_short_write(struct scene *scene)
{
	raw_case(scene, 1);
}

const struct libc_case libc_writing_cases[] = {
	{ "fully buffered", fully_buffered, { "0 writes, pending 7, fflush 0, 1 writes" } },
	{ "line-buffered", line_buffered,
	    { "setvbuf 0, 1 writes, sent one\n", NULL, "setvbuf 0, 2 writes, sent one\n" } },
	{ "line-buffered, fputc", line_buffered_by_fputc,
	    { "1 writes, sent one\n", NULL, "2 writes, sent one\n" } },
	{ "unbuffered", unbuffered, { "3 writes, sent one!1-2" } },
	{ "setvbuf _IONBF, then writing", setvbuf_unbuffers, { "setvbuf 0, 2 writes, sent onetwo" } },
	{ "setvbuf with a buffer of 100, then writing", own_buffer,
	    { "setvbuf 0, fflush 0, 1000 bytes, longest 100", NULL, "setvbuf 0, fflush 0, 1000 bytes, longest 92" } },
	{ "fwrites of every length", every_length, { "fflush 0, all" } },
	{ "a fwrite of 70000, buffer of 1024", long_write_is_passed_on, { "longest as it was" } },
	{ "writes of nothing that reach the cookie", nothing_is_written,
	    { "0 of 0, 0 of 0, 1", NULL, "0 of 0, 1 of 0, 1" } },
	{ "fflush(NULL)", flushes_all, { "fflush 0, sent one" } },
	{ "writing on r", writing_on_r,
	    { "EOF EBADF ferror, clearerr: one", NULL, "EOF EDOM ferror, clearerr: one" } },
	{ "wide characters, writing", wide_writing, { "bytes, fputws EDOM, sent ", NULL, "wide, fputws 0, sent one" } },
	{ "ws_write_some behind fputs", write_some_flushes_first, { "writable 996, 3, sent one two" } },
	{ "a write fails", failed_write_is_final, { "fflush ETIMEDOUT ferror, fflush EPIPE, sent " } },
	{ "an unbuffered write fails", failed_unbuffered_write, { "fputs ETIMEDOUT ferror" } },
	{ "an unbuffered fprintf fails", failed_fprintf, { "fprintf ETIMEDOUT" } },
	{ "a long fwrite fails", failed_long_write,
	    { "fwrite some ETIMEDOUT ferror", NULL, "fwrite 0 ETIMEDOUT ferror" } },
	{ "a cookie without the library fails once with -1", raw_write_that_fails_once,
	    { "fflush ETIMEDOUT ferror, fflush 0, sent world" } },
	{ "the same with 0", raw_write_that_returns_0_once,
	    { "fflush ETIMEDOUT ferror, fflush 0, sent world", NULL, "fflush 0 no ferror, fflush 0, sent world" } },
	{ "the same, takes half", raw_short_write,
	    { "fflush 0 ferror, fflush 0, sent helworld", NULL, "fflush 0 no ferror, fflush 0, sent helworld" } },
	{ NULL, NULL, { NULL } },
};
