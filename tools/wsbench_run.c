/* SPDX-License-Identifier: 0BSD */
/*
 * The two processes of a measurement, forked from one that never uses the library. The main process gets the
 * listener's address and the figures of both through pipes; the two ends have a socket to meet at, beside the
 * connections that are measured.
 */
#include "wsbench.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define LIMIT_S 120.0

enum { LISTENER, CLIENT, ENDS };

struct run {
	const struct bench_job *job;
	pid_t pids[ENDS];		/* 0 = not running */
	int reports[ENDS];		/* -1 = closed */
	int control[ENDS];
	double until;
};

/* --- in the two processes --- */

static void send_report(int fd, const void *data, size_t size)
{
	if (write(fd, data, size) != (ssize_t)size)
		bench_die("pipe: %s", strerror(errno));
}

static struct bench_end make_end(const struct run *run, int which)
{
	struct bench_end end = {
		.transport = run->job->transport, .parameters = run->job->parameters, .control = run->control[which],
	};

	for (size_t i = 0; i < FIGURES; i++)
		end.figures[i] = NAN;
#ifdef __linux__
	/* Some ends never end by themselves. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	/* OpenSSL by itself writes to a socket that the other end has closed. */
	signal(SIGPIPE, SIG_IGN);
	bench_who = which == LISTENER ? "listener: " : "client: ";
	if (run->job->begin)
		run->job->begin(&end, which == LISTENER);
	return end;
}

static _Noreturn void finish(const struct run *run, const struct bench_end *end, int report)
{
	send_report(report, end->figures, sizeof end->figures);
	while (run->job->endless)
		pause();
	_exit(0);
}

static _Noreturn void listener_process(const struct run *run, int report)
{
	struct bench_end end = make_end(run, LISTENER);
	char address[ADDRESS_SIZE] = "";
	struct bench_port port = { .fd = -1 };

	end.transport->listen(&port, address);
	send_report(report, address, sizeof address);
	run->job->listener(&end, &port);
	end.transport->unlisten(&port);
	finish(run, &end, report);
}

static _Noreturn void client_process(const struct run *run, const char *address, int report)
{
	struct bench_end end = make_end(run, CLIENT);

	run->job->client(&end, address);
	finish(run, &end, report);
}

void bench_tell(struct bench_end *end, char word)
{
	if (send(end->control, &word, 1, 0) != 1)
		bench_die("the other end is gone: %s", strerror(errno));
}

char bench_hear(struct bench_end *end)
{
	char word;
	ssize_t n;

	do
		n = recv(end->control, &word, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		bench_die("the other end is gone");
	return word;
}

void bench_await(struct bench_end *end, char word)
{
	if (bench_hear(end) != word)
		bench_die("the other end does something else");
}

/* --- in the main process --- */

static _Noreturn void fail(struct run *run, const char *why)
{
	for (int i = 0; i < ENDS; i++) {
		if (run->pids[i] <= 0)
			continue;
		kill(run->pids[i], SIGKILL);
		waitpid(run->pids[i], NULL, 0);
	}
	bench_die("%s with %s: %s", run->job->name, run->job->transport->title, why);
}

static void start(struct run *run, int which, const char *address)
{
	int ends[2];

	if (pipe(ends) != 0)
		fail(run, strerror(errno));
	run->pids[which] = fork();
	if (run->pids[which] < 0)
		fail(run, strerror(errno));
	if (run->pids[which] == 0) {
		close(ends[0]);
		if (which == LISTENER) {
			close(run->control[CLIENT]);
			listener_process(run, ends[1]);
		}
		client_process(run, address, ends[1]);
	}
	close(ends[1]);
	close(run->control[which]);
	run->reports[which] = ends[0];
}

/* Written at once by the other side, so read at once. */
static void get_report(struct run *run, int which, void *data, size_t size)
{
	if (read(run->reports[which], data, size) != (ssize_t)size)
		fail(run, which == LISTENER ? "the listener failed" : "the client failed");
}

/* Both ends' figures as they come: where one fails, the other may wait for ever. */
static void get_figures(struct run *run, struct bench_figures *figures)
{
	struct pollfd waiting[ENDS] = {
		{ .fd = run->reports[LISTENER], .events = POLLIN }, { .fd = run->reports[CLIENT], .events = POLLIN },
	};
	bool done = false;

	while (!done) {
		double left = run->until - bench_now();
		if (left <= 0 || poll(waiting, ENDS, (int)(left * 1e3) + 1) == 0)
			fail(run, "it does not end");
		for (int i = 0; i < ENDS; i++) {
			if (waiting[i].fd < 0 || waiting[i].revents == 0)
				continue;
			get_report(run, i, i == LISTENER ? figures->listener : figures->client,
			    sizeof figures->listener);
			waiting[i].fd = -1;
		}
		done = waiting[CLIENT].fd < 0 && (waiting[LISTENER].fd < 0 || run->job->endless);
	}
}

static void reap(struct run *run, int which)
{
	int status = 0;
	pid_t pid = run->pids[which];

	close(run->reports[which]);
	run->pids[which] = 0;
	waitpid(pid, &status, 0);
	if (!run->job->endless && status != 0)
		fail(run, which == LISTENER ? "the listener did not end well" : "the client did not end well");
}

/* Both are made to stand still first: neither shall see the other vanish. */
static void kill_both(const struct run *run)
{
	for (int i = 0; i < ENDS; i++) {
		kill(run->pids[i], SIGSTOP);
		waitpid(run->pids[i], NULL, WUNTRACED);
	}
	for (int i = 0; i < ENDS; i++)
		kill(run->pids[i], SIGKILL);
}

void bench_run(const struct bench_job *job, struct bench_figures *figures)
{
	struct run run = { .job = job, .reports = { -1, -1 }, .until = bench_now() + LIMIT_S + job->seconds };
	char address[ADDRESS_SIZE];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, run.control) != 0)
		fail(&run, strerror(errno));
	start(&run, LISTENER, NULL);
	get_report(&run, LISTENER, address, sizeof address);
	start(&run, CLIENT, address);
	get_figures(&run, figures);
	if (job->endless)
		kill_both(&run);
	reap(&run, LISTENER);
	reap(&run, CLIENT);
}
