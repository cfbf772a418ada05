/* SPDX-License-Identifier: 0BSD */
/* fclose, freopen, and the end of the process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libc_table.h"

static void closes(struct scene *scene)
{
	int rv;

	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	rv = fclose(scene->file);
	tell(scene, "fclose %d, ", rv);
	tell(scene, "closes %u, ", scene->record->closes);
	tell_output(scene);
}

/* Whether fclose's own flush has to be over in close_timeout_ms. */
static void flush_of_close_is_bounded(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	(void)fflush(scene->file);
	tell(scene, "%u of %u", scene->record->bounded_writes, scene->record->writes);
	(void)fputs("two", scene->file);
	(void)fclose(scene->file);
	tell(scene, ", fclose: %u of %u", scene->record->bounded_writes, scene->record->writes);
}

static void close_fails(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	scene->stream->close_error = ETIMEDOUT;
	errno = 0;
	tell_rv(scene, "fclose", fclose(scene->file));
	tell(scene, ", closes %u", scene->record->closes);
}

static void flush_of_close_fails(struct scene *scene)
{
	scene_open(scene, "w", 1024, "");
	scene->stream->write_error = ENOMEM;
	(void)fputs("one", scene->file);
	errno = 0;
	tell_rv(scene, "fclose", fclose(scene->file));
	tell(scene, ", closes %u", scene->record->closes);
}

static void closes_with_input_left(struct scene *scene)
{
	scene_open(scene, "r+", 1024, "one\ntwo\n");
	tell_line(scene);
	errno = 0;
	tell(scene, ", ");
	tell_rv(scene, "fclose", fclose(scene->file));
	tell(scene, ", closes %u", scene->record->closes);
}

static void closes_a_pair(struct scene *scene)
{
	scene_open_pair(scene, "one\n");
	(void)fputs("A", scene->other);
	tell_line(scene);
	errno = 0;
	tell(scene, ", ");
	tell_rv(scene, "fclose", fclose(scene->other));
	tell(scene, ", ");
	tell_output(scene);
	tell(scene, ", shutdowns %u, closes %u, ", scene->record->shutdowns, scene->record->closes);
	tell_rv(scene, "fclose", fclose(scene->file));
	tell(scene, ", closes %u", scene->record->closes);
}

static void is_reopened(struct scene *scene)
{
#if defined(__GLIBC__)
	/* It ends the process, on any stream of fopencookie(3). */
	tell(scene, "not tried");
#else
	FILE *file;

	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	file = freopen("/dev/null", "w", scene->file);
	tell(scene, "%s, ", file == NULL ? "NULL" : "a FILE");
	tell_output(scene);
	tell(scene, ", closes %u", scene->record->closes);
#endif
}

/* --- the process --- */

/* Waits for it. Whatever it has written can be seen here. */
static void tell_child(struct scene *scene, pid_t pid)
{
	int status;

	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		tell(scene, "no child");
	else
		tell(scene, "status %d, ", status);
	tell_output(scene);
	tell(scene, ", shutdowns %u, endings %u, closes %u", scene->record->shutdowns, scene->record->endings,
	    scene->record->closes);
}

static void end_with_output(struct scene *scene, void (*end)(int status))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		scene_open(scene, "w", 1024, "");
		(void)fputs("one", scene->file);
		end(0);
	}
	tell_child(scene, pid);
}

static void process_exits(struct scene *scene)
{
	end_with_output(scene, exit);
}

static void process_exits_at_once(struct scene *scene)
{
	end_with_output(scene, _exit);
}

/* The stream is the parent's: what was buffered goes out once, and from there. */
static void forked_child_exits(struct scene *scene)
{
	pid_t pid;

	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exit(0);
	tell_child(scene, pid);
	tell_rv(scene, ", fclose", fclose(scene->file));
	tell(scene, ", ");
	tell_output(scene);
}

static void forked_child_closes(struct scene *scene)
{
	pid_t pid;

	scene_open(scene, "w", 1024, "");
	(void)fputs("one", scene->file);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		errno = 0;
		_exit(fclose(scene->file) == EOF && errno == EBADF ? 0 : 1);
	}
	tell_child(scene, pid);
}

const struct libc_case libc_ending_cases[] = {
	{ "fclose", closes, { "fclose 0, closes 1, sent one" } },
	{ "writes with a time limit", flush_of_close_is_bounded,
	    { "0 of 1, fclose: 1 of 2", NULL, "0 of 1, fclose: 0 of 2" } },
	{ "fclose that fails", close_fails, { "fclose ETIMEDOUT, closes 1" } },
	{ "fclose whose flush fails", flush_of_close_fails, { "fclose ENOMEM, closes 1" } },
	{ "fclose with input left", closes_with_input_left, { "one, fclose 0, closes 1" } },
	{ "fclose of a pair", closes_a_pair,
	    { "one, fclose 0, sent A, shutdowns 1, closes 0, fclose 0, closes 1" } },
	{ "freopen", is_reopened, { "not tried", NULL, "NULL, sent one, closes 1" } },
	{ "exit without fclose", process_exits, { "status 0, sent one, shutdowns 1, endings 1, closes 0" } },
	{ "_exit without fclose", process_exits_at_once, { "status 0, sent , shutdowns 0, endings 0, closes 0" } },
	{ "exit of a forked child", forked_child_exits,
	    { "status 0, sent , shutdowns 0, endings 0, closes 0, fclose 0, sent one" } },
	{ "fclose in a forked child", forked_child_closes,
	    { "status 0, sent , shutdowns 0, endings 0, closes 0" } },
	{ NULL, NULL, { NULL } },
};
