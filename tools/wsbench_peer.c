/* SPDX-License-Identifier: 0BSD */
/*
 * wsbench-peer: one end of a benchmark run, as a process of its own, so that programs in other languages can be timed
 * beside it. All peers of such a comparison have this command line; the one that drives them starts a server, waits for
 * READY, starts a client, and reads a RESULT line of each. With TLS=1 in the environment it is wss, and CERT and KEY
 * name the server's files.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <wsfile.h>

#define BLOCK_BYTES 65536
#define ROUND_TRIP_BYTES 64
/* The memory of idle connections is counted from here on: what comes once is there by then. */
#define IDLE_BASE 10

struct peer {
	const char *port, *mode;
	long long total;		/* bytes, round trips, or connections */
	size_t chunk_bytes;		/* of a write */
	bool secure;
};

struct span {
	double seconds, user, system;
};

static char sent[1 << 20], received[BLOCK_BYTES];

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "wsbench-peer: %s: %s\n", what, why);
	exit(1);
}

/* --- clocks --- */

static double seconds_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct span now(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (struct span){
		.seconds = seconds_now(),
		.user = (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6,
		.system = (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6,
	};
}

static long resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, resident = 0;

	if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2)
		die("/proc/self/statm", "cannot be read");
	fclose(file);
	return resident * sysconf(_SC_PAGESIZE);
}

static void report(const char *role, struct span from)
{
	struct span to = now();

	printf("RESULT role=%s secs=%.6f user=%.4f sys=%.4f\n", role, to.seconds - from.seconds, to.user - from.user,
	    to.system - from.system);
}

/* --- data --- */

static void put(FILE *stream, size_t size)
{
	if (fwrite(sent, 1, size, stream) != size)
		die("writing", strerror(errno));
}

static void flush(FILE *stream)
{
	if (fflush(stream) != 0)
		die("writing", strerror(errno));
}

static void get(FILE *stream, size_t size)
{
	if (fread(received, 1, size, stream) != size)
		die("reading", ferror(stream) ? strerror(errno) : "the end came too early");
}

static void put_all(const struct peer *peer, FILE *stream)
{
	for (long long done = 0; done < peer->total; done += (long long)peer->chunk_bytes)
		put(stream, peer->chunk_bytes);
	flush(stream);
}

static void get_all(const struct peer *peer, FILE *stream)
{
	for (long long left = peer->total; left > 0; left -= BLOCK_BYTES)
		get(stream, left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES);
}

static void put_mark(FILE *stream)
{
	put(stream, 1);
	flush(stream);
}

/* --- the server --- */

static struct ws_listener *start(const struct peer *peer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	char url[64];

	snprintf(url, sizeof url, "%s://127.0.0.1:%s/", peer->secure ? "wss" : "ws", peer->port);
	if (peer->secure) {
		options.cert_file = getenv("CERT");
		options.key_file = getenv("KEY");
	}
	listener = ws_listen(url, &options);
	if (listener == NULL)
		die("listening", ws_last_error()->text);
	printf("READY %s\n", ws_listener_url(listener));
	fflush(stdout);
	return listener;
}

static FILE *next_stream(struct ws_listener *listener)
{
	FILE *stream = ws_accept(listener, "r+");

	if (stream == NULL)
		die("accepting", ws_last_error()->text);
	return stream;
}

/* Held to the end of the process, so that closing them is not waited for. */
static FILE **streams;

static void hold_idle(const struct peer *peer, struct ws_listener *listener)
{
	long before = 0;

	streams = calloc((size_t)peer->total, sizeof *streams);
	if (streams == NULL)
		die("memory", strerror(errno));
	for (long long i = 0; i < peer->total; i++) {
		streams[i] = next_stream(listener);
		get(streams[i], ROUND_TRIP_BYTES);
		put(streams[i], ROUND_TRIP_BYTES);
		flush(streams[i]);
		if (i == IDLE_BASE - 1)
			before = resident_bytes();
	}
	printf("RESULT role=server idle_bytes=%.0f\n",
	    (double)(resident_bytes() - before) / (double)(peer->total - IDLE_BASE));
	fflush(stdout);
	_exit(0);
}

static void serve(const struct peer *peer)
{
	struct ws_listener *listener = start(peer);
	struct span from;
	FILE *stream;

	if (strcmp(peer->mode, "idle") == 0)
		hold_idle(peer, listener);
	stream = next_stream(listener);
	from = now();
	if (strcmp(peer->mode, "c2s") == 0) {
		get_all(peer, stream);
		put_mark(stream);
	} else if (strcmp(peer->mode, "s2c") == 0) {
		put_all(peer, stream);
		get(stream, 1);
	} else {
		for (long long i = 0; i < peer->total; i++) {
			get(stream, ROUND_TRIP_BYTES);
			put(stream, ROUND_TRIP_BYTES);
			flush(stream);
		}
	}
	report("server", from);
	if (fclose(stream) != 0)
		die("closing", strerror(errno));
	ws_listener_close(listener);
}

/* --- the client --- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void time_round_trips(const struct peer *peer, FILE *stream)
{
	double *times = calloc((size_t)peer->total, sizeof *times), begin;
	struct span from = now(), to;

	if (times == NULL)
		die("memory", strerror(errno));
	for (long long i = 0; i < peer->total; i++) {
		begin = seconds_now();
		put(stream, ROUND_TRIP_BYTES);
		flush(stream);
		get(stream, ROUND_TRIP_BYTES);
		times[i] = seconds_now() - begin;
	}
	to = now();
	qsort(times, (size_t)peer->total, sizeof *times, compare);
	printf("RESULT role=client secs=%.6f rate=%.1f p50us=%.2f p99us=%.2f user=%.4f sys=%.4f\n",
	    to.seconds - from.seconds, (double)peer->total / (to.seconds - from.seconds),
	    times[peer->total / 2] * 1e6, times[peer->total * 99 / 100] * 1e6,
	    to.user - from.user, to.system - from.system);
	free(times);
}

static void ask(const struct peer *peer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct span from;
	char url[64];
	FILE *stream;

	snprintf(url, sizeof url, "%s://127.0.0.1:%s/", peer->secure ? "wss" : "ws", peer->port);
	options.verify = peer->secure ? WS_VERIFY_OFF : WS_VERIFY_ON;
	stream = ws_fopen_with(url, "r+", &options);
	if (stream == NULL)
		die("opening", ws_last_error()->text);
	from = now();
	if (strcmp(peer->mode, "c2s") == 0) {
		put_all(peer, stream);
		get(stream, 1);
		report("client", from);
	} else if (strcmp(peer->mode, "s2c") == 0) {
		get_all(peer, stream);
		report("client", from);
		put_mark(stream);
	} else {
		time_round_trips(peer, stream);
	}
	if (fclose(stream) != 0)
		die("closing", strerror(errno));
}

/* --- the command line --- */

static const char usage[] =
    "usage: wsbench-peer server|client PORT c2s|s2c|pp|idle TOTAL CHUNK\n"
    "  c2s, s2c   TOTAL bytes from client to server or back, in writes of CHUNK bytes\n"
    "  pp         TOTAL round trips of 64 bytes\n"
    "  idle       server: memory of TOTAL connections, each after one echo of 64 bytes\n"
    "The server prints READY and its URL first; PORT 0: the system chooses one.\n"
    "environment: TLS=1 for wss; then the server needs CERT and KEY\n";

static bool parse(struct peer *peer, int argc, char **argv)
{
	static const char *const modes[] = { "c2s", "s2c", "pp", "idle" };
	const char *tls = getenv("TLS");
	bool known = false;

	if (argc != 6 || (strcmp(argv[1], "server") != 0 && strcmp(argv[1], "client") != 0))
		return false;
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		known |= strcmp(argv[3], modes[i]) == 0;
	*peer = (struct peer){
		.port = argv[2],
		.mode = argv[3],
		.total = strtoll(argv[4], NULL, 10),
		.chunk_bytes = strtoul(argv[5], NULL, 10),
		.secure = tls != NULL && strcmp(tls, "1") == 0,
	};
	return known && peer->chunk_bytes > 0 && peer->chunk_bytes <= sizeof sent &&
	    peer->total > (strcmp(peer->mode, "idle") == 0 ? IDLE_BASE : 0) &&
	    !(strcmp(argv[1], "client") == 0 && strcmp(peer->mode, "idle") == 0);
}

int main(int argc, char **argv)
{
	struct peer peer;

	if (!parse(&peer, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	memset(sent, 'x', sizeof sent);
	if (strcmp(argv[1], "server") == 0)
		serve(&peer);
	else
		ask(&peer);
	return 0;
}
