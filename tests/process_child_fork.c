/* SPDX-License-Identifier: 0BSD */
/* A process that forks with streams open. What the other ends must see is in test_fork.c. */
#include "process_child.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

extern char **environ;

static pid_t fork_here(void)
{
	pid_t pid = fork();

	insist(pid >= 0, "fork");
	if (pid == 0)
		alarm((unsigned)(30 * multiplier()));
	return pid;
}

static void expect_exit(pid_t pid, int code)
{
	int status;

	insist(waitpid(pid, &status, 0) == pid, "waitpid");
	insist(WIFEXITED(status) && WEXITSTATUS(status) == code,
	    "the forked process ended with %#x, not %d", (unsigned)status, code);
}

/* --- what such a process does with what it has inherited --- */

static void expect_dead_close(FILE *stream)
{
	errno = 0;
	insist(fclose(stream) == EOF && errno == EBADF, "fclose of an inherited stream");
}

/* Does something with the stream, and ends; option begins with what. */
static int misuse(FILE *stream, const char *option)
{
	char *arguments[] = { (char *)"true", NULL };

	if (strncmp(option, "return", 6) == 0)
		return 0;
	if (strncmp(option, "_exit", 5) == 0)
		_exit(0);
	if (strncmp(option, "fclose", 6) == 0)
		expect_dead_close(stream);
	if (strncmp(option, "fflush", 6) == 0) {
		errno = 0;
		insist(fflush(stream) == EOF && errno == EBADF, "fflush of an inherited stream");
	}
	if (strncmp(option, "flush all", 9) == 0)
		(void)fflush(NULL);
	if (strncmp(option, "fputs", 5) == 0)
		insist(fputs("the child's", stream) == EOF || fflush(stream) == EOF, "a write passes");
	if (strncmp(option, "execve", 6) == 0)
		execve("/bin/true", arguments, environ);
	if (strncmp(option, "abort", 5) == 0)
		abort();
	exit(0);
}

/* option: that, and behind a comma an authority's file. The peer has sent two lines before. */
static int run_misuse(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	const char *comma = strchr(option, ',');
	char line[32];
	FILE *stream;
	int status;
	pid_t pid;

	options.ca_file = comma != NULL ? comma + 1 : NULL;
	stream = open_end(url, "r+", &options);
	insist(fgets(line, sizeof line, stream) != NULL && strcmp(line, "one\n") == 0, "fgets");
	insist(fputs("the parent's ", stream) >= 0, "fputs");
	pid = fork_here();
	if (pid == 0)
		return misuse(stream, option);
	insist(waitpid(pid, &status, 0) == pid, "waitpid");
	insist(WIFEXITED(status) ? WEXITSTATUS(status) != 70 : WTERMSIG(status) == SIGABRT, "the forked process: %#x",
	    (unsigned)status);
	insist(fflush(stream) == 0, "fflush");
	insist(fgets(line, sizeof line, stream) != NULL && strcmp(line, "two\n") == 0, "fgets");
	insist(fputs("bytes", stream) >= 0, "fputs");
	insist(fclose(stream) == 0, "fclose");
	return 0;
}

static void see_nothing(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

#define expect_dead(call, value) \
	do { \
		errno = 0; \
		insist((call) == (value) && errno == EBADF, "%s", #call); \
	} while (0)

static void check_dead_stream(FILE *stream)
{
	struct ws_status status = WS_STATUS_INIT;
	char bytes[4] = "abc";

	expect_dead(fgetc(stream), EOF);
	insist(ferror(stream) && !feof(stream), "a read is no error");
	clearerr(stream);
	expect_dead(fputs("x", stream) == EOF ? EOF : fflush(stream), EOF);
	clearerr(stream);
	expect_dead(ws_shutdown(stream, 1000, NULL), -1);
	expect_dead(ws_abort(stream), -1);
	expect_dead(ws_drain(stream, 0), -1);
	expect_dead(ws_ping(stream, "x", 1), -1);
	expect_dead(ws_read_some(stream, bytes, sizeof bytes), -1);
	expect_dead(ws_write_some(stream, bytes, sizeof bytes), -1);
	expect_dead(ws_pollfd(stream, POLLIN), -1);
	expect_dead(ws_pollfd(stream, POLLOUT), -1);
	expect_dead(ws_readable(stream), 0);
	expect_dead(ws_writable(stream), 0);
	expect_dead(ws_set_timeouts(stream, -1, -1), -1);
	expect_dead(ws_set_nonblocking(stream, true), -1);
	expect_dead(ws_observe(stream, WS_EVENT_ALL, see_nothing, NULL), -1);
	expect_dead(ws_status(stream, &status), -1);
	expect_dead(ws_header(stream, "Upgrade"), NULL);
	expect_dead_close(stream);
}

static void check_dead_listener(struct ws_listener *listener)
{
	FILE *half[2];

	expect_dead(ws_accept(listener, "r+"), NULL);
	expect_dead(ws_accept_pair(listener, half), -1);
	expect_dead(ws_listener_pollfd(listener), -1);
	expect_dead(ws_listener_reload(listener), -1);
	expect_dead(ws_listener_stop(listener, 0), -1);
	insist(strncmp(ws_listener_url(listener), "ws://", 5) == 0, "ws_listener_url");
	(void)ws_listener_close(listener);
}

/* Two halves besides, and a listener; then all of it goes on. */
static int run_dead(const char *url, const char *option)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	FILE *stream, *half[2], *accepted, *client;
	pid_t pid;

	(void)option;
	insist(listener != NULL, "%s", ws_last_error()->text);
	stream = open_end(url, "r+", NULL);
	open_pair_end(url, NULL, half);
	insist(ws_pollfd(stream, POLLIN) >= 0 && ws_listener_pollfd(listener) >= 0, "ws_pollfd");
	insist(ws_observe(stream, WS_EVENT_ALL, see_nothing, NULL) == 0, "ws_observe");
	pid = fork_here();
	if (pid == 0) {
		check_dead_stream(stream);
		expect_dead(fgetc(half[0]), EOF);
		expect_dead(ws_write_some(half[1], "x", 1), -1);
		expect_dead_close(half[1]);
		expect_dead_close(half[0]);
		check_dead_listener(listener);
		exit(0);
	}
	expect_exit(pid, 0);
	insist(fputs("stream", stream) >= 0 && fclose(stream) == 0, "fclose");
	insist(fputs("half", half[1]) >= 0 && fclose(half[1]) == 0 && fclose(half[0]) == 0, "fclose");
	client = ws_fopen(ws_listener_url(listener), "r+");
	insist(client != NULL, "%s", ws_last_error()->text);
	accepted = ws_accept(listener, "r+");
	insist(accepted != NULL, "%s", ws_last_error()->text);
	insist(ws_shutdown(client, 1000, NULL) == 0 && fclose(accepted) == 0 && fclose(client) == 0, "fclose");
	return ws_listener_close(listener);
}

/* --- a forked process that lives on --- */

/* Until the test has closed this process's standard input, which its parent reads. */
static void wait_for_the_test(void)
{
	struct pollfd input = { .fd = 0 };

	while (poll(&input, 1, -1) != 1 || (input.revents & POLLHUP) == 0)
		;
}

static int run_outlived(const char *url, const char *option)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	FILE *stream;

	insist(listener != NULL, "%s", ws_last_error()->text);
	stream = open_end(url, "r+", NULL);
	say(ws_listener_url(listener));
	if (fork_here() == 0) {
		say("forked");
		wait_for_the_test();
		say("the forked process ends");
		_exit(0);
	}
	await("go");
	if (strcmp(option, "kill") == 0)
		raise(SIGKILL);
	if (strcmp(option, "abort") == 0)
		insist(ws_abort(stream) == 0, "ws_abort");
	if (strcmp(option, "exit") == 0)
		exit(0);
	(void)fclose(stream);
	insist(ws_listener_close(listener) == 0, "ws_listener_close");
	say("closed");
	wait_for_the_test();
	return 0;
}

/* --- streams and listeners of its own --- */

static void *close_it(void *stream)
{
	insist(fclose(stream) == 0, "fclose");
	return NULL;
}

/* A connection with itself, in both directions. */
static void talk_to_itself(void)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	FILE *client, *server;
	pthread_t thread;
	char line[32];

	insist(listener != NULL, "%s", ws_last_error()->text);
	client = ws_fopen(ws_listener_url(listener), "r+");
	insist(client != NULL, "%s", ws_last_error()->text);
	server = ws_accept(listener, "r+");
	insist(server != NULL, "%s", ws_last_error()->text);
	insist(fputs("question\n", client) >= 0 && fflush(client) == 0, "fputs");
	insist(fgets(line, sizeof line, server) != NULL && strcmp(line, "question\n") == 0, "fgets");
	insist(fputs("answer\n", server) >= 0 && fflush(server) == 0, "fputs");
	insist(fgets(line, sizeof line, client) != NULL && strcmp(line, "answer\n") == 0, "fgets");
	start_thread(&thread, close_it, client);
	close_it(server);
	pthread_join(thread, NULL);
	insist(ws_listener_close(listener) == 0, "ws_listener_close");
}

static int use_own(const char *url, const char *option, FILE *inherited)
{
	FILE *own = open_end(url, "r+", NULL);
	char line[32];

	insist(fputs("the child's ", own) >= 0 && fflush(own) == 0, "fputs");
	insist(fgets(line, sizeof line, own) != NULL && strcmp(line, "go\n") == 0, "fgets");
	talk_to_itself();
	insist(fputs("own", own) >= 0, "fputs");
	if (strcmp(option, "fclose") == 0) {
		insist(fclose(own) == 0, "fclose");
		expect_dead_close(inherited);
	}
	exit(0);
}

static int run_own(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);
	pid_t pid;

	insist(fputs("the parent's ", stream) >= 0, "fputs");
	pid = fork_here();
	if (pid == 0)
		return use_own(url, option, stream);
	expect_exit(pid, 0);
	insist(fputs("own", stream) >= 0 && fclose(stream) == 0, "fclose");
	return 0;
}

/* The parent ends first, as in daemon(3). */
static int run_daemon(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL), *own;

	(void)option;
	insist(fputs("the parent's", stream) >= 0, "fputs");
	if (fork_here() != 0)
		return 0;
	own = open_end(url, "r+", NULL);
	await("go");
	insist(fputs("the child's", own) >= 0, "fputs");
	return 0;
}

static int run_grandchild(const char *url, const char *option)
{
	FILE *first = open_end(url, "r+", NULL), *second, *third;
	pid_t pid = fork_here(), grandchild;

	(void)option;
	insist(fputs("first", first) >= 0, "fputs");
	if (pid != 0) {
		expect_exit(pid, 0);
		insist(fclose(first) == 0, "fclose");
		return 0;
	}
	second = open_end(url, "r+", NULL);
	insist(fputs("second", second) >= 0, "fputs");
	grandchild = fork_here();
	if (grandchild != 0) {
		expect_exit(grandchild, 0);
		return 0;
	}
	expect_dead_close(first);
	expect_dead(fgetc(second), EOF);
	third = open_end(url, "r+", NULL);
	insist(fputs("third", third) >= 0, "fputs");
	return 0;
}

static int send_messages(FILE *stream)
{
	for (int i = 0; i < 50; i++)
		insist(fputc('x', stream) == 'x' && fflush(stream) == 0, "fputc");
	return fclose(stream);
}

/* Four streams: of this process, one from before the fork and one from behind it, and of its child and grandchild. */
static int run_keys(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);
	pid_t pid = fork_here(), grandchild;
	int rv;

	(void)option;
	if (pid == 0) {
		grandchild = fork_here();
		rv = send_messages(open_end(url, "r+", NULL));
		if (grandchild != 0)
			expect_exit(grandchild, 0);
		exit(rv == 0 ? 0 : 1);
	}
	insist(send_messages(open_end(url, "r+", NULL)) == 0 && send_messages(stream) == 0, "fclose");
	expect_exit(pid, 0);
	return 0;
}

/* --- in the midst of everything --- */

static struct ws_listener *busy_listener;
static atomic_bool stop;

static void *serve_lines(void *argument)
{
	char line[64];
	FILE *stream;

	(void)argument;
	while ((stream = ws_accept(busy_listener, "r+")) != NULL) {
		while (fgets(line, sizeof line, stream) != NULL)
			insist(fputs(line, stream) >= 0 && fflush(stream) == 0, "fputs");
		insist(feof(stream), "the server reads an error");
		insist(fclose(stream) == 0, "fclose");
	}
	return NULL;
}

static void *ask_lines(void *argument)
{
	char sent[64], got[64];
	FILE *stream;
	unsigned i;

	for (unsigned round = 0; !atomic_load(&stop); round++) {
		stream = ws_fopen(ws_listener_url(busy_listener), "r+");
		insist(stream != NULL, "%s", ws_last_error()->text);
		for (i = 0; i < 20 && !atomic_load(&stop); i++) {
			snprintf(sent, sizeof sent, "thread %d, round %u, line %u\n", (int)(intptr_t)argument, round,
			    i);
			insist(fputs(sent, stream) >= 0 && fflush(stream) == 0, "fputs");
			insist(fgets(got, sizeof got, stream) != NULL && strcmp(got, sent) == 0, "fgets");
		}
		insist(fclose(stream) == 0, "fclose");
	}
	return NULL;
}

/* option: how many forks */
static int run_busy_fork(const char *url, const char *option)
{
	enum { THREADS = 4 };
	long forks = strtol(option, NULL, 10);
	pthread_t threads[2 * THREADS];
	pid_t pid;

	(void)url;
	busy_listener = ws_listen("ws://127.0.0.1:0/", NULL);
	insist(busy_listener != NULL, "%s", ws_last_error()->text);
	for (int i = 0; i < THREADS; i++) {
		start_thread(&threads[i], ask_lines, (void *)(intptr_t)i);
		start_thread(&threads[THREADS + i], serve_lines, NULL);
	}
	for (long i = 0; i < forks; i++) {
		pid = fork_here();
		if (pid == 0) {
			talk_to_itself();
			if (i % 2 == 0)
				_exit(0);
			exit(0);
		}
		expect_exit(pid, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* A thread that is about to accept again has to find the listener. */
	insist(ws_listener_stop(busy_listener, -1) == 0, "ws_listener_stop");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[THREADS + i], NULL);
	insist(ws_listener_close(busy_listener) == 0, "ws_listener_close");
	return 0;
}

static void *read_go(void *stream)
{
	char line[32];

	insist(fgets(line, sizeof line, stream) != NULL && strcmp(line, "go\n") == 0, "fgets");
	return NULL;
}

static void *write_all(void *stream)
{
	insist(fwrite(much_pattern(), 1, MUCH_BYTES, stream) == MUCH_BYTES, "fwrite");
	return NULL;
}

static void *accept_nobody(void *listener)
{
	insist(ws_accept(listener, "r+") == NULL && errno == EBADF, "ws_accept");
	return NULL;
}

/* Other threads are blocked in a read, with stdio's lock held, in a write, and in ws_accept. */
static int run_blocked_fork(const char *url, const char *option)
{
	FILE *reader = open_end(url, "r+", NULL), *writer = open_end(url, "r+", NULL);
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	pthread_t threads[3];
	pid_t pid;

	(void)option;
	start_thread(&threads[0], read_go, reader);
	start_thread(&threads[1], write_all, writer);
	start_thread(&threads[2], accept_nobody, listener);
	wait_locked(reader);
	wait_locked(writer);
	pid = fork_here();
	if (pid == 0) {
		expect_dead_close(reader);
		talk_to_itself();
		/* writer is left to exit. */
		exit(0);
	}
	expect_exit(pid, 0);
	say("forked");
	insist(ws_listener_close(listener) == 0, "ws_listener_close");
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	insist(fclose(reader) == 0 && fclose(writer) == 0, "fclose");
	return 0;
}

/* --- from inside --- */

static void fork_at_ping(const struct ws_event *event, void *user)
{
	pid_t pid;

	(void)user;
	if (event->type != WS_EVENT_PING)
		return;
	pid = fork_here();
	if (pid == 0) {
		talk_to_itself();
		exit(0);
	}
	expect_exit(pid, 0);
	say("forked");
}

static int run_observer_fork(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	(void)option;
	options.observer = fork_at_ping;
	stream = open_end(url, "r+", &options);
	(void)read_go(stream);
	insist(fputs("done", stream) >= 0 && fclose(stream) == 0, "fclose");
	return 0;
}

/* --- other ways to start a process --- */

#define COUNT_SOCKETS "ls -l /proc/self/fd | grep -c -E 'socket|anon_inode'"

static void run_in(const char *how)
{
	char *arguments[] = { (char *)"sh", (char *)"-c", (char *)(uintptr_t)COUNT_SOCKETS, NULL };
	pid_t pid = -1;

	if (strcmp(how, "system") == 0) {
		insist(system(COUNT_SOCKETS) >= 0, "system");
		return;
	}
	if (strcmp(how, "posix_spawn") == 0)
		insist(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0, "posix_spawn");
	else
		pid = strcmp(how, "vfork") == 0 ? vfork() : fork();
	if (pid == 0) {
		execve("/bin/sh", arguments, environ);
		_exit(127);
	}
	insist(pid > 0 && waitpid(pid, NULL, 0) == pid, "%s", how);
}

/* option: how. The peers see that nothing happened. */
static int run_started(const char *url, const char *option)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	FILE *stream = open_end(url, "r+", NULL), *command;
	char line[32];

	insist(listener != NULL && ws_listener_pollfd(listener) >= 0, "ws_listener_pollfd");
	insist(ws_pollfd(stream, POLLIN) >= 0 && ws_pollfd(stream, POLLOUT) >= 0, "ws_pollfd");
	insist(ws_observe(stream, WS_EVENT_ALL, see_nothing, NULL) == 0, "ws_observe");
	insist(ws_socket(url, NULL) >= 0, "%s", ws_last_error()->text);
	insist(fputs("whole", stream) >= 0, "fputs");
	if (strcmp(option, "popen") == 0) {
		command = popen(COUNT_SOCKETS, "r");
		insist(command != NULL && fgets(line, sizeof line, command) != NULL, "popen");
		line[strcspn(line, "\n")] = '\0';
		say(line);
		pclose(command);
	} else {
		run_in(option);
	}
	insist(fclose(stream) == 0, "fclose");
	return ws_listener_close(listener);
}

/* The descriptor is the program's, and so its child's. */
static int run_descriptor_fork(const char *url, const char *option)
{
	int fd = ws_socket(url, NULL);
	char line[4];
	pid_t pid;

	(void)option;
	insist(fd >= 0, "%s", ws_last_error()->text);
	pid = fork_here();
	if (pid == 0) {
		insist(write(fd, "child, ", 7) == 7, "write");
		insist(read(fd, line, 3) == 3 && memcmp(line, "go\n", 3) == 0, "read");
		exit(0);
	}
	expect_exit(pid, 0);
	insist(write(fd, "parent", 6) == 6 && close(fd) == 0, "write");
	await("end");
	return 0;
}

const struct scenario fork_scenarios[] = {
	{ "misuse", run_misuse }, { "dead", run_dead }, { "outlived", run_outlived }, { "own", run_own },
	{ "daemon", run_daemon }, { "grandchild", run_grandchild }, { "keys", run_keys },
	{ "busy_fork", run_busy_fork }, { "blocked_fork", run_blocked_fork }, { "observer_fork", run_observer_fork },
	{ "started", run_started }, { "descriptor_fork", run_descriptor_fork }, { NULL, NULL },
};
