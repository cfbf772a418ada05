/* SPDX-License-Identifier: 0BSD */
/*
 * --exec: a command serves one connection. Two threads: the feeder carries what the peer sends to the command's
 * standard input, the caller carries its standard output to the peer and decides when all is over. The caller hears of
 * what happens elsewhere by a bell, a pipe: from the feeder, from the library, and when the command has ended.
 */
#include "wspipe_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wspipe.h"

#define NEVER INT64_MAX

/* A program closes its output when it exits, which then takes a moment still. */
#define LEAST_EXIT_MS 1000

/* [I] immutable while there are two threads, [C] the caller's, [F] the feeder's, [L] the lock's, [A] atomic. */
struct job {
	const struct wspipe_config *config;	/* [I] */
	FILE *half[2];			/* [I] */
	struct wspipe_child *child;	/* [I] */
	int bell[2];			/* [I] */
	int drop[2];			/* [I] a pipe; [1] is closed: the feeder gives the command nothing more */
	char *block;			/* [C] */
	int output;			/* [C] the command's standard output, -1 = at its end */
	int write_error;		/* [C] errno of the stream */
	bool muted;			/* [C] the server stops: output has no way any more */
	bool deaf;			/* [C] the command has closed its standard input */
	bool terminated;		/* [C] the peer is gone, and the command has been told */
	int64_t deadline_ms;		/* [C] of a command that has no use any more */
	pthread_mutex_t lock;
	int input;			/* [L] the command's standard input, -1 = closed. The feeder writes to it */
	bool input_ended;		/* [L] the feeder has done with it */
	bool caller_closes;		/* [L] it is the caller who closes it */
	int read_error;			/* [F] errno of the stream; the caller's behind the feeder's end */
	atomic_bool fed;		/* [A] the feeder has ended */
	atomic_bool gone;		/* [A] the peer is */
	bool over;			/* [L] the command has ended, or may run on alone: it is not to be killed */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * From any thread. When it returns the command has got its signal, whoever sent it: that comes before the end of input,
 * as a part must not be taken for the whole.
 */
static void lose_peer(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	if (!job->over && !atomic_exchange(&job->gone, true)) {
		wspipe_child_kill(job->child, SIGTERM);
		wspipe_ring(job->bell[1]);
	}
	pthread_mutex_unlock(&job->lock);
}

/* --- the feeder --- */

/* Returns false when the command takes no more. */
static bool give(struct job *job, int input, const char *data, size_t size)
{
	struct pollfd fds[2] = {
		{ .fd = job->drop[0], .events = POLLIN },
		{ .fd = input, .events = POLLOUT },
	};

	while (size > 0) {
		ssize_t n = write(input, data, size);
		if (n > 0) {
			data += n;
			size -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (poll(fds, 2, -1) > 0 && fds[0].revents != 0)
			return false;
	}
	return true;
}

static void end_input(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	if (!job->caller_closes && job->input >= 0) {
		close(job->input);
		job->input = -1;
	}
	job->input_ended = true;
	pthread_mutex_unlock(&job->lock);
	wspipe_ring(job->bell[1]);
}

/* What the command does not take is dropped: the peer's Close is behind it. */
static void *feed(void *argument)
{
	struct job *job = argument;
	char *block = malloc(WSPIPE_BLOCK);
	int input = job->input;
	bool taken = true;
	ssize_t size = -1;

	while (block && (size = wspipe_receive(job->half, block)) > 0) {
		wspipe_count_received((size_t)size);
		if (!taken)
			continue;
		taken = give(job, input, block, (size_t)size);
		if (!taken)
			end_input(job);
	}
	if (size < 0) {
		job->read_error = errno;
		lose_peer(job);
	}
	if (taken)
		end_input(job);
	free(block);
	atomic_store(&job->fed, true);
	wspipe_ring(job->bell[1]);
	return NULL;
}

/* --- the caller --- */

static void close_pipe_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_output(struct job *job)
{
	close_pipe_end(&job->output);
	pthread_mutex_lock(&job->lock);
	job->caller_closes = true;
	pthread_mutex_unlock(&job->lock);
}

static void note_write_error(struct job *job, int error)
{
	if (wspipe_cut_short(error)) {
		job->muted = true;
		return;
	}
	job->write_error = error;
	lose_peer(job);
}

/* Once the command writes no more, what it has written goes out before any waiting. */
static void relay(struct job *job)
{
	struct pollfd more = { .fd = job->output, .events = POLLIN };
	ssize_t size = read(job->output, job->block, WSPIPE_BLOCK);
	bool dropped = job->muted || atomic_load(&job->gone);

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (size <= 0) {
		if (!dropped && !wspipe_flush(job->half))
			note_write_error(job, errno);
		end_output(job);
		return;
	}
	if (dropped)
		return;
	if (!wspipe_send(job->half, job->block, (size_t)size) ||
	    (poll(&more, 1, 0) == 0 && !wspipe_flush(job->half)))
		note_write_error(job, errno);
	else
		wspipe_count_sent((size_t)size);
}

static void start_deadline(struct job *job, int least_ms)
{
	int grace_ms = job->config->kill_after_ms;

	job->deadline_ms = grace_ms < 0 ? NEVER : now_ms() + (grace_ms > least_ms ? grace_ms : least_ms);
}

static void terminate(struct job *job)
{
	job->terminated = true;
	start_deadline(job, 0);
	close_pipe_end(&job->drop[1]);
	wspipe_shutdown(job->half, 1011, NULL);
}

/* Behind the end of output: whether the command gets nothing more either. */
static bool input_is_over(struct job *job)
{
	bool ended;

	pthread_mutex_lock(&job->lock);
	ended = job->input_ended;
	if (ended)
		close_pipe_end(&job->input);
	pthread_mutex_unlock(&job->lock);
	return ended || job->deaf;
}

/*
 * A command whose output is at its end may still want its input, as "cat >file" does, and its exit status counts. When
 * it gets no input either, it has a time to end, and then may run on alone.
 */
static bool is_over(struct job *job)
{
	char text[WSPIPE_LINE];

	if (atomic_load(&job->gone) && !job->terminated)
		terminate(job);
	if (job->output >= 0 && !job->terminated)
		return false;
	if (job->output < 0 && wspipe_child_result(job->child, text, sizeof text) >= 0)
		return true;
	if (job->output < 0 && input_is_over(job) && job->deadline_ms == NEVER)
		start_deadline(job, LEAST_EXIT_MS);
	if (now_ms() < job->deadline_ms)
		return false;
	if (job->terminated)
		wspipe_child_kill(job->child, SIGKILL);
	return true;
}

static int wait_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - now_ms();

	if (deadline_ms == NEVER)
		return -1;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

static void hear(const struct job *job)
{
	char bytes[64];

	while (read(job->bell[0], bytes, sizeof bytes) > 0)
		;
}

static void serve_command(struct job *job)
{
	do {
		/* The input belongs to the feeder as long as there is output. Without events it only tells an error. */
		struct pollfd fds[3] = {
			{ .fd = job->bell[0], .events = POLLIN },
			{ .fd = job->output, .events = POLLIN },
			{ .fd = job->output < 0 && !job->deaf ? job->input : -1 },
		};
		if (poll(fds, 3, wait_ms(job->deadline_ms)) <= 0)
			continue;
		if (fds[0].revents != 0)
			hear(job);
		if (fds[1].revents != 0)
			relay(job);
		job->deaf = job->deaf || fds[2].revents != 0;
	} while (!is_over(job));
	pthread_mutex_lock(&job->lock);
	job->over = true;
	pthread_mutex_unlock(&job->lock);
}

static void send_close(struct job *job, struct wspipe_verdict *verdict)
{
	char text[64];
	bool failed = wspipe_child_result(job->child, text, sizeof text) > 0;

	if (job->terminated)
		return;
	if (failed)
		wspipe_verdict_set(verdict, 0, "command", text);
	if (!wspipe_shutdown(job->half, failed ? 1011 : job->config->close_code,
	        failed ? text : job->config->close_reason))
		note_write_error(job, errno);
}

/* The peer has its time to close, too. */
static void wait_for_feeder(struct job *job, pthread_t thread)
{
	int timeout_ms = job->config->options.close_timeout_ms;
	int64_t deadline_ms = timeout_ms < 0 ? NEVER : now_ms() + timeout_ms;
	struct pollfd bell = { .fd = job->bell[0], .events = POLLIN };

	close_pipe_end(&job->drop[1]);
	while (!atomic_load(&job->fed)) {
		if (now_ms() >= deadline_ms) {
			ws_abort(job->half[0]);
			break;
		}
		if (poll(&bell, 1, wait_ms(deadline_ms)) > 0)
			hear(job);
	}
	pthread_join(thread, NULL);
}

static void sum_up(struct job *job, struct wspipe_verdict *verdict)
{
	if (job->read_error != 0)
		wspipe_explain_read(job->half[0], job->read_error, verdict);
	else if (job->write_error != 0)
		wspipe_explain_write(job->half[0], job->write_error, verdict);
	else if (job->terminated)
		wspipe_explain(job->half[0], ECONNRESET, verdict);
}

/* --- beginning and end --- */

static void observe(const struct ws_event *event, void *user)
{
	if (event->type != WS_EVENT_CLOSED || (!event->clean && !wspipe_cut_short(event->error)))
		lose_peer(user);
}

/* Returns false with errno. *child_input and *child_output are the command's ends. */
static bool open_pipes(struct job *job, int *child_input, int *child_output)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	job->block = malloc(WSPIPE_BLOCK);
	if (!job->block || pipe2(job->bell, O_CLOEXEC | O_NONBLOCK) != 0 || pipe2(job->drop, O_CLOEXEC) != 0 ||
	    pipe2(in, O_CLOEXEC) != 0)
		return false;
	*child_input = in[0];
	job->input = in[1];
	if (pipe2(out, O_CLOEXEC) != 0)
		return false;
	*child_output = out[1];
	job->output = out[0];
	/* A command that reads nothing must not keep the feeder. The command's own end goes on blocking. */
	return fcntl(job->input, F_SETFL, O_NONBLOCK) == 0;
}

/* Returns false when there is no command; why stands in verdict. */
static bool start_command(struct job *job, struct wspipe_verdict *verdict)
{
	const char *wrong;
	char **environment = wspipe_environment_make(job->half[0], &wrong);
	int input = -1, output = -1, error = 0;

	if (!environment) {
		wspipe_verdict_set(verdict, wrong ? 0 : ENOMEM, "", wrong);
		wspipe_shutdown(job->half, wrong ? 1008 : 1011, wrong);
		return false;
	}
	if (!open_pipes(job, &input, &output))
		error = errno;
	else
		error = wspipe_child_start(&job->child, job->config->exec, environment, input, output, job->bell[1]);
	close_pipe_end(&input);
	close_pipe_end(&output);
	free(environment);
	if (error == 0)
		return true;
	wspipe_verdict_set(verdict, error, "the command could not be started", NULL);
	wspipe_shutdown(job->half, 1011, "the command could not be started");
	return false;
}

static void run(struct job *job, struct wspipe_verdict *verdict)
{
	pthread_t thread;
	int error;

	ws_observe(job->half[0], WS_EVENT_PROTOCOL_ERROR | WS_EVENT_TRANSPORT_ERROR | WS_EVENT_CLOSED, observe, job);
	error = pthread_create(&thread, NULL, feed, job);
	if (error == 0) {
		serve_command(job);
		send_close(job, verdict);
		wait_for_feeder(job, thread);
		sum_up(job, verdict);
	} else {
		wspipe_verdict_set(verdict, error, "", NULL);
		wspipe_child_kill(job->child, SIGTERM);
		wspipe_shutdown(job->half, 1011, NULL);
	}
	ws_observe(job->half[0], 0, observe, job);
}

void wspipe_exec(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict)
{
	struct job job = {
		.config = config, .half = { half[0], half[1] }, .bell = { -1, -1 }, .drop = { -1, -1 },
		.input = -1, .output = -1, .deadline_ms = NEVER, .lock = PTHREAD_MUTEX_INITIALIZER,
	};

	wspipe_note_peer(half[0], verdict);
	if (start_command(&job, verdict)) {
		run(&job, verdict);
		wspipe_child_release(job.child);
	}
	close_pipe_end(&job.input);
	close_pipe_end(&job.output);
	for (size_t i = 0; i < 2; i++) {
		close_pipe_end(&job.bell[i]);
		close_pipe_end(&job.drop[i]);
	}
	free(job.block);
	pthread_mutex_destroy(&job.lock);
	wspipe_close_halves(half, verdict);
}
