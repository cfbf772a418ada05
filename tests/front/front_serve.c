/* SPDX-License-Identifier: 0BSD */
/*
 * A server that sends back what comes, and stops gracefully on SIGTERM, in one of three ways:
 *   drain    new requests get 503, so that the proxy asks another process; who was let in is accepted; then
 *            ws_listener_stop, which tells every open stream 1001
 *   finish   as drain, but what is open goes on until its client ends it
 *   at-once  ws_listener_stop and nothing else
 *
 * Lines: "request TARGET host=… origin=… forwarded=…", "stopping OPEN",
 * "stream JOB FROM RECEIVED ECHOED CODE ok" or, for ok, what went wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <wsfile.h>

#include "front.h"

#define READ_BYTES 32768
#define ACCEPTORS 2

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ws_listener *listener;
	char served_by[64];
	bool draining;
	unsigned let_in;	/* by authorize */
	unsigned accepted;
	unsigned open;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static const char *or_none(const char *text)
{
	return text != NULL ? text : "-";
}

static int let_in(const struct ws_request *request, struct ws_response *response, void *user)
{
	static const char *headers[] = { server.served_by, NULL };
	bool draining;

	(void)user;
	pthread_mutex_lock(&server.lock);
	draining = server.draining;
	if (!draining)
		server.let_in++;
	pthread_mutex_unlock(&server.lock);
	if (draining) {
		response->reason = "this process is going away";
		return 503;
	}
	response->headers = headers;
	front_say("request %s?%s host=%s origin=%s forwarded=%s", request->path, or_none(request->query),
		  or_none(request->header(request, "Host")), or_none(request->origin),
		  or_none(request->header(request, "X-Forwarded-For")));
	return 0;
}

/* Returns how many of them went; fewer when our Close was sent already. */
static size_t send_back(FILE *stream, const unsigned char *bytes, size_t count)
{
	size_t done = 0;
	ssize_t n;

	while (done < count && (n = ws_write_some(stream, bytes + done, count - done)) > 0)
		done += (size_t)n;
	return done;
}

struct job {
	uint64_t number, from;
};

static struct job job_of(FILE *stream)
{
	struct ws_status status = WS_STATUS_INIT;
	struct job job = { 0, 0 };
	const char *query;

	if (ws_status(stream, &status) == 0 && (query = strchr(status.url, '?')) != NULL)
		(void)sscanf(query, "?job=%" SCNu64 "&from=%" SCNu64, &job.number, &job.from);
	return job;
}

static void *serve(void *argument)
{
	FILE *stream = argument;
	struct ws_status status = WS_STATUS_INIT;
	struct job job = job_of(stream);
	unsigned char bytes[READ_BYTES];
	uint64_t received = 0, echoed = 0;
	const char *wrong = "ok";
	bool writing = true;
	ssize_t n;

	while ((n = ws_read_some(stream, bytes, sizeof bytes)) > 0) {
		if (front_match(job.number, job.from + received, bytes, (size_t)n) != (size_t)n)
			wrong = "other bytes";
		received += (uint64_t)n;
		if (writing) {
			size_t sent = send_back(stream, bytes, (size_t)n);

			echoed += sent;
			writing = sent == (size_t)n;
		}
	}
	if (n == -1)
		wrong = strerror(errno);
	(void)ws_status(stream, &status);
	if (fclose(stream) == EOF && strcmp(wrong, "ok") == 0)
		wrong = strerror(errno);
	front_say("stream %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %s", job.number, job.from, received,
		  echoed, status.close_code_sent, wrong);
	pthread_mutex_lock(&server.lock);
	server.open--;
	pthread_cond_broadcast(&server.changed);
	pthread_mutex_unlock(&server.lock);
	return NULL;
}

static void *accept_all(void *argument)
{
	pthread_t thread;
	FILE *stream;

	(void)argument;
	while ((stream = ws_accept(server.listener, "r+")) != NULL) {
		pthread_mutex_lock(&server.lock);
		server.accepted++;
		server.open++;
		pthread_cond_broadcast(&server.changed);
		pthread_mutex_unlock(&server.lock);
		if (pthread_create(&thread, NULL, serve, stream) != 0) {
			front_say("no thread");
			serve(stream);
		} else {
			pthread_detach(thread);
		}
	}
	return NULL;
}

static bool all_accepted(void)
{
	return server.accepted == server.let_in;
}

static bool none_open(void)
{
	return server.open == 0;
}

/* Returns whether it came to be so. */
static bool wait_until(bool (*so)(void), int timeout_ms)
{
	struct timespec end;
	bool is;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += timeout_ms / 1000;
	pthread_mutex_lock(&server.lock);
	while (!(is = so()) && pthread_cond_timedwait(&server.changed, &server.lock, &end) == 0)
		;
	pthread_mutex_unlock(&server.lock);
	return is;
}

static int stop(const char *way)
{
	pthread_mutex_lock(&server.lock);
	front_say("stopping %u", server.open);
	server.draining = strcmp(way, "at-once") != 0;
	pthread_mutex_unlock(&server.lock);
	/* One that was let in and whose client left before it was accepted never comes. */
	if (strcmp(way, "at-once") != 0)
		(void)wait_until(all_accepted, 5000);
	if (strcmp(way, "finish") == 0 && !wait_until(none_open, PATIENCE_MS))
		front_say("streams do not end");
	if (ws_listener_stop(server.listener, PATIENCE_MS) == -1) {
		front_say("stop: %s", strerror(errno));
		return 1;
	}
	return wait_until(none_open, PATIENCE_MS) ? 0 : 1;
}

/* The test is over, however that came: it holds the other end. */
static void *end_with_input(void *argument)
{
	while (getchar() != EOF)
		;
	_exit(3);
	return argument;
}

int front_serve(int argc, char *argv[])
{
	struct ws_options options = WS_OPTIONS_INIT;
	const char *way = argc > 2 ? argv[2] : "drain";
	pthread_t acceptors[ACCEPTORS], watch;
	sigset_t term;
	int number, rv;

	if (argc < 2)
		return 2;
	snprintf(server.served_by, sizeof server.served_by, "X-Served-By: %s", argv[1]);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL);
	options.authorize = let_in;
	options.handshake_timeout_ms = options.close_timeout_ms = options.linger_ms = PATIENCE_MS;
	options.reuse_port = strcmp(way, "at-once") == 0;
	server.listener = ws_listen(argv[0], &options);
	if (server.listener == NULL) {
		fprintf(stderr, "%s\n", ws_last_error()->text);
		return 1;
	}
	for (int i = 0; i < ACCEPTORS; i++) {
		if (pthread_create(&acceptors[i], NULL, accept_all, NULL) != 0)
			return 1;
	}
	if (pthread_create(&watch, NULL, end_with_input, NULL) == 0)
		pthread_detach(watch);
	front_say("listening on %s", ws_listener_url(server.listener));
	sigwait(&term, &number);
	rv = stop(way);
	for (int i = 0; i < ACCEPTORS; i++)
		pthread_join(acceptors[i], NULL);
	ws_listener_close(server.listener);
	return rv;
}
