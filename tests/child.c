/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

#define ARGUMENTS_MAX 8

extern char **environ;

#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* --- the process --- */

void child_run(struct child *child, const char *program, const char *const *arguments)
{
	const char *self = wire_program(), *slash = strrchr(self, '/');
	char path[4200], *argv[ARGUMENTS_MAX + 2] = { path };
	posix_spawn_file_actions_t actions;
	int in[2], out[2], error;

	insist(slash != NULL, "%s", self);
	snprintf(path, sizeof path, "%.*s/%s", (int)(slash - self), self, program);
	for (int i = 0; arguments[i] != NULL; i++) {
		insist(i < ARGUMENTS_MAX, "too many arguments");
		argv[i + 1] = (char *)(uintptr_t)arguments[i];
	}
	insist(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	error = posix_spawn(&child->pid, path, &actions, NULL, argv, environ);
	insist(error == 0, "%s: %s", path, strerror(error));
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	child->in = in[1];
	child->out = out[0];
}

/* Returns whether there was a line. */
static bool read_line(struct child *child, char line[300])
{
	size_t used = 0;
	ssize_t n = 0;

	while (used < 299 && ((n = read(child->out, line + used, 1)) == 1 || (n < 0 && errno == EINTR)))
		if (n == 1 && line[used++] == '\n')
			break;
	insist(n >= 0, "the child's output: %s", strerror(errno));
	line[used] = '\0';
	if (used > 0 && line[used - 1] == '\n')
		line[used - 1] = '\0';
	return n == 1;
}

void child_read(struct child *child, char line[300])
{
	insist(read_line(child, line), "the child says no more, but \"%s\"", line);
}

void child_expect(struct child *child, const char *text)
{
	char line[300];

	insist(read_line(child, line), "the child ended before it said \"%s\"", text);
	ck_assert_str_eq(line, text);
}

void child_expect_silence(struct child *child)
{
	char line[300];

	insist(!read_line(child, line) && line[0] == '\0', "the child said \"%s\"", line);
}

void child_tell(struct child *child, const char *text)
{
	char line[300];
	int size = snprintf(line, sizeof line, "%s\n", text);

	insist(write(child->in, line, (size_t)size) == size, "the child's input: %s", strerror(errno));
}

static int reap(struct child *child)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(child->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	insist(pid == child->pid, "waitpid: %s", strerror(errno));
	if (child->in >= 0)
		close(child->in);
	if (child->out >= 0)
		close(child->out);
	child->in = child->out = -1;
	return status;
}

void child_exits(struct child *child, int code)
{
	int status = reap(child);

	insist(WIFEXITED(status) && WEXITSTATUS(status) == code, "the child's status is %#x, not %#x",
	    (unsigned)status, (unsigned)code << 8);
}

void child_dies(struct child *child, int number)
{
	int status = reap(child);

	insist(WIFSIGNALED(status) && WTERMSIG(status) == number, "the child's status is %#x, not signal %d",
	    (unsigned)status, number);
}

bool child_lives(struct child *child)
{
	siginfo_t info = { .si_pid = 0 };

	insist(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0, "waitid: %s",
	    strerror(errno));
	return info.si_pid == 0;
}

/* --- its connections --- */

void meeting_begin(struct meeting *meeting, enum wire_role role, const char *scenario, const char *option,
    int peer_receive_bytes)
{
	char url[64] = "listen", line[300];
	const char *arguments[] = { scenario, url, option, NULL };

	peer_count_begin();
	*meeting = (struct meeting){ .role = role, .listener = -1, .receive_bytes = peer_receive_bytes };
	if (role == LIBRARY_IS_CLIENT) {
		meeting->listener = peer_listen_sized(&meeting->port, peer_receive_bytes);
		snprintf(url, sizeof url, "ws://127.0.0.1:%u/", meeting->port);
	}
	child_run(&meeting->child, "process_child", arguments);
	if (role == LIBRARY_IS_SERVER) {
		child_read(&meeting->child, line);
		meeting->port = peer_url_port(line);
	}
}

unsigned meeting_join(struct meeting *meeting)
{
	int fd;

	insist(meeting->count < MEETING_MAX, "too many peers");
	if (meeting->role == LIBRARY_IS_CLIENT) {
		fd = peer_accept(meeting->listener);
		free(peer_serve_handshake(fd));
	} else {
		fd = peer_connect_sized(meeting->port, meeting->receive_bytes);
		peer_client_handshake(fd, meeting->port, "/", "");
	}
	meeting->peer[meeting->count] = fd;
	return meeting->count++;
}

void meeting_open(struct meeting *meeting, enum wire_role role, const char *scenario, const char *option,
    int peer_receive_bytes)
{
	meeting_begin(meeting, role, scenario, option, peer_receive_bytes);
	(void)meeting_join(meeting);
}

void meeting_end(struct meeting *meeting)
{
	for (unsigned i = 0; i < meeting->count; i++)
		if (meeting->peer[i] >= 0)
			close(meeting->peer[i]);
	if (meeting->listener >= 0)
		close(meeting->listener);
	peer_count_end();
}

void meeting_say(struct meeting *meeting, unsigned number, const char *text)
{
	peer_frame(meeting->peer[number], PEER_BINARY, meeting->role == LIBRARY_IS_SERVER, text, strlen(text));
}

static void expect_text(const uint8_t *data, size_t size, const char *text)
{
	insist(size == strlen(text) && (size == 0 || memcmp(data, text, size) == 0), "%zu bytes came, \"%.60s\"", size,
	    size > 0 ? (const char *)data : "");
}

void meeting_expect_close(struct meeting *meeting, unsigned number, unsigned code, const char *text)
{
	uint8_t *data = NULL;
	size_t size = 0;
	unsigned got = peer_read_until_close(meeting->peer[number], &data, &size);

	expect_text(data, size, text);
	free(data);
	ck_assert_uint_eq(got, code);
}

void meeting_expect_pattern(struct meeting *meeting, unsigned number, unsigned code, size_t size)
{
	uint8_t *data = NULL;
	size_t done = 0;
	unsigned got = peer_read_until_close(meeting->peer[number], &data, &done);

	insist(done == size && wire_pattern_matches(0, data, size), "%zu bytes came, not %zu, or other ones", done,
	    size);
	free(data);
	ck_assert_uint_eq(got, code);
}

void meeting_answer(struct meeting *meeting, unsigned number)
{
	int fd = meeting->peer[number];
	char byte;

	peer_close(fd, meeting->role == LIBRARY_IS_SERVER, 1000, "");
	if (meeting->role == LIBRARY_IS_CLIENT)
		peer_fin(fd);
	insist(recv(fd, &byte, 1, 0) == 0, "no orderly end behind the Close");
	/* A server waits for that. */
	if (meeting->role == LIBRARY_IS_SERVER)
		peer_fin(fd);
}

void meeting_expect_cut(struct meeting *meeting, unsigned number, const char *text)
{
	meeting_expect_close(meeting, number, 0, text);
}

size_t meeting_expect_cut_pattern(struct meeting *meeting, unsigned number)
{
	uint8_t *data = NULL;
	size_t size = 0;

	ck_assert_uint_eq(peer_read_until_close(meeting->peer[number], &data, &size), 0);
	insist(size == 0 || wire_pattern_matches(0, data, size), "other bytes than were written");
	free(data);
	return size;
}
