/* SPDX-License-Identifier: 0BSD */
/* Streams: FILE *s over a TCP socket, and those of wsfile. One code runs the jobs over either. */
#include "wsbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wsfile.h>

/* The two streams of one end; the same one twice when it is "r+". */
struct end {
	FILE *in, *out;
};

/* --- opening --- */

static void wrap_socket(int fd, struct end *end)
{
	int copy = dup(fd);

	end->in = fdopen(fd, "r");
	end->out = copy >= 0 ? fdopen(copy, "w") : NULL;
	if (!end->in || !end->out)
		bench_die("fdopen: %s", strerror(errno));
	setvbuf(end->in, NULL, _IOFBF, BLOCK);
	setvbuf(end->out, NULL, _IOFBF, BLOCK);
}

static void listen_tcp(int announcement, struct end *end)
{
	char port[ADDRESS_SIZE];
	int listener = bench_listen(port, sizeof port);

	bench_announce(announcement, port);
	wrap_socket(bench_accept(listener), end);
	close(listener);
}

static void connect_tcp(const char *port, struct end *end)
{
	wrap_socket(bench_connect(port), end);
}

/* One direction at a time is a job for one ordinary stream, both at once for a pair. */
static void open_ws(enum job job, struct ws_listener *listener, const char *url, struct end *end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	FILE *half[2] = { NULL, NULL };
	bool secure = url && strncmp(url, "wss:", 4) == 0;

	options.ca_file = secure ? bench_certificate_file() : NULL;
	if (job == ECHO) {
		if ((listener ? ws_accept_pair(listener, half) : ws_fopen_pair(url, &options, half)) != 0)
			bench_die("%s", ws_last_error()->text);
	} else {
		half[0] = half[1] = listener ? ws_accept(listener, "r+") : ws_fopen_with(url, "r+", &options);
		if (!half[0])
			bench_die("%s", ws_last_error()->text);
	}
	ws_status(half[0], &status);
	if (secure && strcmp(status.tls_cipher, BENCH_CIPHER) != 0)
		bench_die("wsfile uses %s, which is no match for %s", status.tls_cipher, BENCH_CIPHER);
	*end = (struct end){ .in = half[0], .out = half[1] };
}

static struct ws_listener *listen_ws(enum job job, bool secure, int announcement, struct end *end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	options.cert_file = secure ? bench_certificate_file() : NULL;
	options.key_file = secure ? bench_key_file() : NULL;
	listener = ws_listen(secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &options);
	if (!listener)
		bench_die("%s", ws_last_error()->text);
	bench_announce(announcement, ws_listener_url(listener));
	open_ws(job, listener, NULL, end);
	return listener;
}

static void close_end(struct end *end)
{
	if (end->out != end->in && fclose(end->out) != 0)
		bench_die("closing: %s", strerror(errno));
	if (fclose(end->in) != 0)
		bench_die("closing: %s", strerror(errno));
}

/* --- the jobs --- */

static void put(struct end *end, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		if (fwrite(bench_sent, 1, BLOCK, end->out) != BLOCK)
			bench_die("writing: %s", strerror(errno));
	if (fflush(end->out) != 0)
		bench_die("writing: %s", strerror(errno));
}

static void get(struct end *end, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		if (fread(bench_received, 1, BLOCK, end->in) != BLOCK)
			bench_die("reading: %s", ferror(end->in) ? strerror(errno) : "the end came too early");
}

static void put_mark(struct end *end)
{
	if (putc('A', end->out) == EOF || fflush(end->out) != 0)
		bench_die("writing: %s", strerror(errno));
}

static void get_mark(struct end *end)
{
	if (getc(end->in) != 'A')
		bench_die("reading: %s", ferror(end->in) ? strerror(errno) : "the end came too early");
}

static void serve(enum job job, struct end *end, uint64_t bytes)
{
	switch (job) {
	case C2S:
		get(end, bytes);
		put_mark(end);
		break;
	case S2C:
		get_mark(end);
		put(end, bytes);
		get_mark(end);
		break;
	default:
		for (; bytes > 0; bytes -= BLOCK) {
			get(end, BLOCK);
			if (fwrite(bench_received, 1, BLOCK, end->out) != BLOCK)
				bench_die("writing: %s", strerror(errno));
		}
		put(end, 0);
	}
}

struct putting {
	struct end *end;
	uint64_t bytes;
};

static void *run_putting(void *argument)
{
	struct putting *putting = argument;

	put(putting->end, putting->bytes);
	return NULL;
}

static double ask(enum job job, struct end *end, uint64_t bytes)
{
	struct putting putting = { .end = end, .bytes = bytes };
	pthread_t thread;
	double begin = bench_now(), seconds;

	switch (job) {
	case C2S:
		put(end, bytes);
		get_mark(end);
		return bench_now() - begin;
	case S2C:
		put_mark(end);
		get(end, bytes);
		seconds = bench_now() - begin;
		put_mark(end);
		return seconds;
	default:
		if (pthread_create(&thread, NULL, run_putting, &putting) != 0)
			bench_die("no thread");
		get(end, bytes);
		seconds = bench_now() - begin;
		pthread_join(thread, NULL);
		return seconds;
	}
}

static void serve_measured(enum job job, struct end *end, uint64_t bytes, struct result *result)
{
	double cpu = bench_cpu();

	serve(job, end, bytes);
	result->cpu_seconds = bench_cpu() - cpu;
	close_end(end);
}

static void ask_measured(enum job job, struct end *end, uint64_t bytes, struct result *result)
{
	double cpu = bench_cpu();

	result->seconds = ask(job, end, bytes);
	result->cpu_seconds = bench_cpu() - cpu;
	close_end(end);
}

/* --- the transports --- */

static void run_tcp_listener(enum job job, uint64_t bytes, int announcement, struct result *result)
{
	struct end end;

	listen_tcp(announcement, &end);
	serve_measured(job, &end, bytes, result);
}

static void run_tcp_client(enum job job, uint64_t bytes, const char *address, struct result *result)
{
	struct end end;

	connect_tcp(address, &end);
	ask_measured(job, &end, bytes, result);
}

static void run_listener(enum job job, bool secure, uint64_t bytes, int announcement, struct result *result)
{
	struct end end;
	struct ws_listener *listener = listen_ws(job, secure, announcement, &end);

	serve_measured(job, &end, bytes, result);
	ws_listener_close(listener);
}

static void run_ws_listener(enum job job, uint64_t bytes, int announcement, struct result *result)
{
	run_listener(job, false, bytes, announcement, result);
}

static void run_wss_listener(enum job job, uint64_t bytes, int announcement, struct result *result)
{
	run_listener(job, true, bytes, announcement, result);
}

static void run_ws_client(enum job job, uint64_t bytes, const char *address, struct result *result)
{
	struct end end;

	open_ws(job, NULL, address, &end);
	ask_measured(job, &end, bytes, result);
}

const struct transport bench_tcp = { "TCP FILE *", "tcp", run_tcp_listener, run_tcp_client };
const struct transport bench_ws = { "wsfile FILE *", "wsfile", run_ws_listener, run_ws_client };
const struct transport bench_wss = { "wsfile FILE *, wss", "wsfile", run_wss_listener, run_ws_client };
