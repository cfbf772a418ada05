/* SPDX-License-Identifier: 0BSD */
/* A connection handed to programs that know nothing of it, and to forked processes. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "descriptor.h"
#include "memcheck.h"

extern char **environ;

/* Run a shell's command with these as its standard input and output, and as 9. */
static pid_t run_with(const char *command, int in, int out, int nine)
{
	char *arguments[] = { (char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;

	ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
	ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, in, 0), 0);
	ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, out, 1), 0);
	if (nine >= 0)
		ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, nine, 9), 0);
	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", &actions, NULL, arguments, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static pid_t run(const char *command, int in, int out)
{
	return run_with(command, in, out, -1);
}

static void expect_exit(pid_t pid, int code)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", (unsigned)status);
}

/* The peer sends input and Close; the command has it as its input, and its output comes back, behind it our Close. */
static uint8_t *filter(const char *command, const void *input, size_t input_bytes, size_t *output_bytes)
{
	struct line line;
	uint8_t *output = NULL;
	pid_t pid;

	line_open(&line, NULL, 0);
	pid = run(command, line.fd, line.fd);
	line_close_fd(&line);
	peer_frame(line.peer, PEER_BINARY, false, input, input_bytes);
	peer_close(line.peer, false, 1000, "");
	ck_assert_uint_eq(peer_read_until_close(line.peer, &output, output_bytes), 1000);
	expect_exit(pid, 0);
	line_end(&line);
	return output;
}

START_TEST(sort_has_it_as_input_and_output)
{
	size_t size;
	uint8_t *output = filter("exec sort", "b\nc\na\n", 6, &size);

	ck_assert_str_eq((char *)output, "a\nb\nc\n");
	free(output);
}
END_TEST

START_TEST(gzip_packs_and_unpacks)
{
	size_t size = 1 << 20, packed_bytes, unpacked_bytes;
	uint8_t *data = malloc(size), *packed, *unpacked;

	wire_pattern(0, data, size);
	packed = filter("exec gzip -c", data, size, &packed_bytes);
	unpacked = filter("exec gzip -dc", packed, packed_bytes, &unpacked_bytes);
	ck_assert_uint_eq(unpacked_bytes, size);
	ck_assert(memcmp(unpacked, data, size) == 0);
	free(unpacked);
	free(packed);
	free(data);
}
END_TEST

/* It answers while it is still being talked to. */
START_TEST(cat_sends_everything_back)
{
	struct peer_frame frame;
	struct line line;
	char text[32], got[32];
	size_t done;
	pid_t pid;

	line_open(&line, NULL, 0);
	pid = run("exec cat", line.fd, line.fd);
	line_close_fd(&line);
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof text, "line %d\n", i);
		line_say(&line, text);
		for (done = 0; done < strlen(text); peer_frame_clear(&frame)) {
			ck_assert(peer_read_frame(line.peer, &frame));
			memcpy(got + done, frame.payload, frame.size);
			done += frame.size;
		}
		ck_assert(memcmp(got, text, done) == 0);
	}
	peer_close(line.peer, false, 1000, "");
	line_expect_close(&line, 1000, "", false);
	expect_exit(pid, 0);
	line_end(&line);
}
END_TEST

/* As ssh's ProxyCommand does: two processes share it, and the program talks to them by pipes. */
START_TEST(two_processes_copy_both_ways)
{
	int in[2], out[2];
	struct line line;
	pid_t pid;

	line_open(&line, NULL, 0);
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	pid = run_with("cat <&9 9>&- & exec cat >&9", in[0], out[1], line.fd);
	line_close_fd(&line);
	ck_assert_int_eq(close(in[0]), 0);
	ck_assert_int_eq(close(out[1]), 0);
	ck_assert_int_eq(write(in[1], "request\n", 8), 8);
	ck_assert_int_eq(close(in[1]), 0);
	line_say(&line, "response\n");
	line_expect(out[0], "response\n");
	expect_exit(pid, 0);
	peer_close(line.peer, false, 1000, "");
	line_expect_end(out[0], 0);
	line_expect_close(&line, 1000, "request\n", false);
	ck_assert_int_eq(close(out[0]), 0);
	line_end(&line);
}
END_TEST

START_TEST(child_that_reads_no_further_is_no_error)
{
	struct line line;
	uint8_t *noise = calloc(1, 1 << 20);
	pid_t pid;

	line_open(&line, NULL, 0);
	pid = run("head -n 1 >/dev/null; echo found", line.fd, line.fd);
	line_close_fd(&line);
	line_say(&line, "needle\n");
	peer_frame(line.peer, PEER_BINARY, false, noise, 1 << 20);
	line_expect_close(&line, 1000, "found\n", true);
	expect_exit(pid, 0);
	free(noise);
	line_end(&line);
}
END_TEST

START_TEST(connection_that_breaks_is_an_error_to_the_child)
{
	struct line line;
	int out[2];
	pid_t pid;

	line_open(&line, NULL, 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	pid = run("exec cat 2>/dev/null", line.fd, out[1]);
	line_close_fd(&line);
	ck_assert_int_eq(close(out[1]), 0);
	line_say(&line, "a part");
	line_expect(out[0], "a part");
	peer_reset(line.peer);
	line.peer = -1;
	line_expect_end(out[0], 0);
	expect_exit(pid, 1);
	ck_assert_int_eq(close(out[0]), 0);
	line_end(&line);
}
END_TEST

/* --- the process that opened it --- */

/* Opens a connection and has a cat read it into out, which tells its status, too. ready is closed when that runs. */
static void open_for_cat(const char *url, int out, int ready, bool exits)
{
	int fd;

	memcheck_leaks_are_meant();
	fd = ws_socket(url, NULL);
	if (fd < 0)
		_exit(2);
	run("cat 2>/dev/null; echo \"status $?\"", fd, out);
	close(ready);
	if (exits)
		exit(0);
	for (;;)
		pause();
}

/* _i: the process is killed; it exits and has closed nothing */
START_TEST(end_of_the_process_is_no_end_of_file_for_its_child)
{
	struct line line = { .fd = -1 };
	int out[2], ready[2], status;
	char url[64], byte;
	unsigned port;
	pid_t pid;

	peer_count_begin();
	line.listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(ready[0]);
		close(out[0]);
		open_for_cat(url, out[1], ready[1], _i == 1);
	}
	ck_assert_int_eq(close(out[1]), 0);
	ck_assert_int_eq(close(ready[1]), 0);
	line_serve(&line);
	line_say(&line, "a part\n");
	ck_assert_int_eq(read(ready[0], &byte, 1), 0);
	if (_i == 0) {
		line_expect(out[0], "a part\n");
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		line_expect(out[0], "status 1\n");
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (_i == 1) {
		/* It may have ended before that came. */
		ck_assert_int_eq(status, 0);
		while (read(out[0], &byte, 1) == 1 && byte != 's')
			;
		line_expect(out[0], "tatus 1\n");
	}
	line_expect_end(out[0], 0);
	/* At exit nobody knows whether the child had more to say. */
	ck_assert_uint_eq(peer_read_until_close(line.peer, NULL, NULL), _i == 0 ? 0 : 1011);
	ck_assert_int_eq(close(out[0]), 0);
	ck_assert_int_eq(close(ready[0]), 0);
	line_end(&line);
}
END_TEST

/* _i: it breaks; the program closes it */
START_TEST(forked_process_does_not_hold_it_open)
{
	struct line line;
	int stay[2];
	char byte;
	pid_t pid;

	line_open(&line, NULL, 0);
	ck_assert_int_eq(pipe2(stay, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		memcheck_leaks_are_meant();
		close(stay[1]);
		close(line.peer);
		if (_i == 1)
			close(line.fd);
		_exit(read(stay[0], &byte, 1) == 0 ? 0 : 1);
	}
	if (_i == 0) {
		peer_reset(line.peer);
		line.peer = -1;
		line_expect_end(line.fd, ECONNRESET);
	} else {
		line_close_fd(&line);
		line_expect_close(&line, 1000, "", true);
	}
	ck_assert_int_eq(close(stay[1]), 0);
	ck_assert_int_eq(close(stay[0]), 0);
	expect_exit(pid, 0);
	line_end(&line);
}
END_TEST

/* --- signals --- */

static volatile sig_atomic_t seen;
static pthread_t main_thread;

static void on_signal(int number)
{
	(void)number;
	if (pthread_equal(pthread_self(), main_thread))
		seen++;
	else
		_exit(3);
}

START_TEST(signals_are_the_programs)
{
	struct line line;

	signal(SIGUSR1, on_signal);
	main_thread = pthread_self();
	line_open(&line, NULL, 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(kill(getpid(), SIGUSR1), 0);
		line_say(&line, "x");
		line_expect(line.fd, "x");
	}
	ck_assert_int_gt(seen, 0);
	/* The library's own writes to a program that has gone raise none, either. */
	line_say(&line, "unread");
	line_close_fd(&line);
	line_say(&line, "unread");
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptor_child");
	TCase *child = wire_case(suite, "child"), *process = wire_case(suite, "process");

	tcase_add_test(child, sort_has_it_as_input_and_output);
	tcase_add_test(child, gzip_packs_and_unpacks);
	tcase_add_test(child, cat_sends_everything_back);
	tcase_add_test(child, two_processes_copy_both_ways);
	tcase_add_test(child, child_that_reads_no_further_is_no_error);
	tcase_add_test(child, connection_that_breaks_is_an_error_to_the_child);

	tcase_add_loop_test(process, end_of_the_process_is_no_end_of_file_for_its_child, 0, 2);
	tcase_add_loop_test(process, forked_process_does_not_hold_it_open, 0, 2);
	tcase_add_test(process, signals_are_the_programs);
	return wire_run(suite);
}
