/* SPDX-License-Identifier: 0BSD */
/*
 * Runs every case of the table (libc_table.h) with the C library this is built for. Standard output: name, tab, what
 * came of it, a line each. Exit status: 0 = all is as expected, 1 = it is not.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libc_table.h"

#define SECONDS_MAX 60			/* a case is done at once; under valgrind or a sanitizer it takes longer */

#if defined(WSF_FUNOPEN)
static const enum libc this_libc = LIBC_LIBBSD;
#elif defined(__GLIBC__)
static const enum libc this_libc = LIBC_GLIBC;
#else
static const enum libc this_libc = LIBC_MUSL;
#endif

/* --- what cases use --- */

static void give_up(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(3);
}

static void open_files(struct scene *scene, const char *mode, bool pair, size_t buffer_bytes)
{
	struct wsf_mode parsed = {
		.read = *mode == 'r' || mode[1] == '+', .write = *mode == 'w' || mode[1] == '+', .stdio = mode,
	};
	struct wsf_files files;

	if (scene->stream == NULL || wsf_files_create(&files, &parsed, pair, buffer_bytes) != 0)
		give_up("opening");
	wsf_files_bind(&files, scene->stream);
	scene->file = files.file[0];
	scene->other = files.file[1];
}

void scene_open_bytes(struct scene *scene, const char *mode, size_t buffer_bytes, const char *input, size_t size)
{
	scene->stream = fake_create(scene->record, input, size);
	open_files(scene, mode, false, buffer_bytes);
}

void scene_open(struct scene *scene, const char *mode, size_t buffer_bytes, const char *input)
{
	scene_open_bytes(scene, mode, buffer_bytes, input, strlen(input));
}

void scene_open_pair(struct scene *scene, const char *input)
{
	scene->stream = fake_create(scene->record, input, strlen(input));
	open_files(scene, "r+", true, 1024);
}

void tell(struct scene *scene, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(scene->result + scene->result_bytes, RESULT_MAX - scene->result_bytes, format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= RESULT_MAX - scene->result_bytes)
		give_up("the result is too long");
	scene->result_bytes += (size_t)n;
}

const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ 0, "0" }, { EBADF, "EBADF" }, { ESPIPE, "ESPIPE" }, { EPIPE, "EPIPE" }, { ETIMEDOUT, "ETIMEDOUT" },
		{ ECONNRESET, "ECONNRESET" }, { EINTR, "EINTR" }, { EINVAL, "EINVAL" }, { ENOMEM, "ENOMEM" },
		{ ECONNABORTED, "ECONNABORTED" }, { EDOM, "EDOM" },
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].error == error)
			return names[i].name;
	return strerror(error);
}

void tell_line(struct scene *scene)
{
	char line[200];

	errno = 0;
	if (fgets(line, sizeof line, scene->file) == NULL) {
		tell(scene, "%s", feof(scene->file) ? "EOF" : error_name(errno));
		return;
	}
	line[strcspn(line, "\n")] = '\0';
	tell(scene, "%s", line);
}

void tell_output(struct scene *scene)
{
	tell(scene, "sent %.*s", (int)scene->record->output_bytes, scene->record->output);
}

void tell_rv(struct scene *scene, const char *what, int rv)
{
	tell(scene, "%s %s", what, rv == 0 ? "0" : error_name(errno));
}

void tell_flags(struct scene *scene)
{
	tell(scene, "%s%s", ferror(scene->file) ? "ferror" : "no ferror", feof(scene->file) ? " feof" : "");
}

void fill_pattern(char *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (char)((i * 7 + i / 251) & 0x7f);
}

bool pattern_holds(const char *in, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (in[i] != (char)((i * 7 + i / 251) & 0x7f))
			return false;
	return true;
}

/* --- the table --- */

static const char *expected_of(const struct libc_case *one)
{
	int i = (int)this_libc;

	while (i > 0 && one->expected[i] == NULL)
		i--;
	return one->expected[i];
}

/* On one line, whatever is in it. */
static void print_result(const char *name, const char *result)
{
	printf("%s\t", name);
	for (; *result != '\0'; result++)
		if (*result == '\n')
			(void)fputs("\\n", stdout);
		else
			putchar(*result);
	putchar('\n');
}

static bool run_case(const struct libc_case *one, struct fake_record *record, char *result)
{
	struct scene scene = { .record = record, .result = result };
	const char *expected = expected_of(one);
	int status;
	pid_t pid;

	memset(record, 0, sizeof *record);
	memset(result, 0, RESULT_MAX);
	pid = fork();
	if (pid == -1)
		give_up("fork");
	if (pid == 0) {
		alarm(SECONDS_MAX);
		one->run(&scene);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			give_up("waitpid");
	print_result(one->name, result);
	if (status != 0)
		printf("FAIL: %s ended with status %#x\n", one->name, (unsigned)status);
	else if (strcmp(result, expected) != 0)
		printf("FAIL: %s: expected\t%s\n", one->name, expected);
	fflush(stdout);
	return status == 0 && strcmp(result, expected) == 0;
}

int main(void)
{
	static const struct libc_case *const tables[] = {
		libc_reading_cases, libc_turning_cases, libc_writing_cases, libc_ending_cases,
	};
	struct fake_record *record = mmap(NULL, sizeof *record + RESULT_MAX, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int run = 0, failed = 0;

	if (record == MAP_FAILED)
		give_up("mmap");
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		for (const struct libc_case *one = tables[i]; one->name != NULL; one++, run++)
			failed += run_case(one, record, (char *)(record + 1)) ? 0 : 1;
	fprintf(stderr, "%d cases, %d failed\n", run, failed);
	return failed > 0 || run == 0;
}
