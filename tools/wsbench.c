/* SPDX-License-Identifier: 0BSD */
/*
 * wsbench: what a wsfile FILE * costs against a plain TCP FILE * on this machine, now.
 *
 * Each round runs every job over TCP and then over wsfile, so that both meet the same weather; the figures are medians
 * over the rounds, and the ratio is the median of the ratios within a round. Each run is two fresh processes, forked
 * from one that never uses the library. The client keeps the time, from its first byte, which the listener waits for,
 * to the last one it gets: where it only sends, an answer of one byte. CPU is user and system time of both ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <wsfile.h>

#define BLOCK 65536
#define MAX_ROUNDS 1000

enum transport { TCP, WS, TRANSPORTS };
enum job { C2S, S2C, ECHO, JOBS };

static const char *const job_names[JOBS] = { "client to listener", "listener to client", "echo, both ways at once" };
static const char *const job_keys[JOBS] = { "c2s", "s2c", "echo" };

struct settings {
	uint64_t mib;
	unsigned rounds;
	bool json;
};

struct result {
	double seconds, cpu_seconds;
};

/* The two streams of one end; the same one twice when it is "r+". */
struct end {
	FILE *in, *out;
};

static char received[BLOCK];
static char sent[BLOCK];
static const char *who = "";

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "wsbench: %s%s\n", who, text);
	_exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_now(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* --- opening: address is a port for TCP, a URL for wsfile --- */

#define ADDRESS_SIZE 64

static void wrap_socket(int fd, struct end *end)
{
	int copy = dup(fd), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	end->in = fdopen(fd, "r");
	end->out = copy >= 0 ? fdopen(copy, "w") : NULL;
	if (!end->in || !end->out)
		die("fdopen: %s", strerror(errno));
	setvbuf(end->in, NULL, _IOFBF, BLOCK);
	setvbuf(end->out, NULL, _IOFBF, BLOCK);
}

static void announce(int fd, const char *text)
{
	char address[ADDRESS_SIZE] = "";

	snprintf(address, sizeof address, "%s", text);
	if (write(fd, address, sizeof address) != sizeof address)
		die("pipe: %s", strerror(errno));
	close(fd);
}

static void listen_tcp(int announcement, struct end *end)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	char port[8];
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0)
		die("listening: %s", strerror(errno));
	snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
	announce(announcement, port);
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept: %s", strerror(errno));
	close(listener);
	wrap_socket(fd, end);
}

static void connect_tcp(const char *port, struct end *end)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		die("connecting: %s", strerror(errno));
	wrap_socket(fd, end);
}

/* One direction at a time is a job for one ordinary stream, both at once for a pair. */
static void open_ws(enum job job, struct ws_listener *listener, const char *url, struct end *end)
{
	FILE *half[2] = { NULL, NULL };

	if (job == ECHO) {
		if ((listener ? ws_accept_pair(listener, half) : ws_fopen_pair(url, NULL, half)) != 0)
			die("%s", ws_last_error()->text);
	} else {
		half[0] = half[1] = listener ? ws_accept(listener, "r+") : ws_fopen(url, "r+");
		if (!half[0])
			die("%s", ws_last_error()->text);
	}
	*end = (struct end){ .in = half[0], .out = half[1] };
}

static struct ws_listener *listen_ws(enum job job, int announcement, struct end *end)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);

	if (!listener)
		die("%s", ws_last_error()->text);
	announce(announcement, ws_listener_url(listener));
	open_ws(job, listener, NULL, end);
	return listener;
}

static void close_end(struct end *end)
{
	if (end->out != end->in && fclose(end->out) != 0)
		die("closing: %s", strerror(errno));
	if (fclose(end->in) != 0)
		die("closing: %s", strerror(errno));
}

/* --- the jobs --- */

static void put(struct end *end, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		if (fwrite(sent, 1, BLOCK, end->out) != BLOCK)
			die("writing: %s", strerror(errno));
	if (fflush(end->out) != 0)
		die("writing: %s", strerror(errno));
}

static void get(struct end *end, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		if (fread(received, 1, BLOCK, end->in) != BLOCK)
			die("reading: %s", ferror(end->in) ? strerror(errno) : "the end came too early");
}

static void put_mark(struct end *end)
{
	if (putc('A', end->out) == EOF || fflush(end->out) != 0)
		die("writing: %s", strerror(errno));
}

static void get_mark(struct end *end)
{
	if (getc(end->in) != 'A')
		die("reading: %s", ferror(end->in) ? strerror(errno) : "the end came too early");
}

static void run_listener(enum job job, struct end *end, uint64_t bytes)
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
			if (fwrite(received, 1, BLOCK, end->out) != BLOCK)
				die("writing: %s", strerror(errno));
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

static double run_client(enum job job, struct end *end, uint64_t bytes)
{
	struct putting putting = { .end = end, .bytes = bytes };
	pthread_t thread;
	double begin = now(), seconds;

	switch (job) {
	case C2S:
		put(end, bytes);
		get_mark(end);
		return now() - begin;
	case S2C:
		put_mark(end);
		get(end, bytes);
		seconds = now() - begin;
		put_mark(end);
		return seconds;
	default:
		if (pthread_create(&thread, NULL, run_putting, &putting) != 0)
			die("no thread");
		get(end, bytes);
		seconds = now() - begin;
		pthread_join(thread, NULL);
		return seconds;
	}
}

/* --- the two processes of a run --- */

static _Noreturn void listener_process(enum transport transport, enum job job, uint64_t bytes, const int pipe_end[2])
{
	struct ws_listener *listener = NULL;
	struct result result = { 0, 0 };
	struct end end;

	who = "listener: ";
	if (transport == TCP)
		listen_tcp(pipe_end[0], &end);
	else
		listener = listen_ws(job, pipe_end[0], &end);
	double cpu = cpu_now();
	run_listener(job, &end, bytes);
	result.cpu_seconds = cpu_now() - cpu;
	close_end(&end);
	ws_listener_close(listener);
	_exit(write(pipe_end[1], &result, sizeof result) == sizeof result ? 0 : 1);
}

static _Noreturn void client_process(enum transport transport, enum job job, uint64_t bytes, const char *address,
    int pipe_end)
{
	struct result result;
	struct end end;

	who = "client: ";
	if (transport == TCP)
		connect_tcp(address, &end);
	else
		open_ws(job, NULL, address, &end);
	double cpu = cpu_now();
	result.seconds = run_client(job, &end, bytes);
	result.cpu_seconds = cpu_now() - cpu;
	close_end(&end);
	_exit(write(pipe_end, &result, sizeof result) == sizeof result ? 0 : 1);
}

static void make_pipe(int ends[2])
{
	if (pipe(ends) != 0)
		die("pipe: %s", strerror(errno));
}

static bool run_pair(enum transport transport, enum job job, uint64_t bytes, pid_t pids[2], struct result results[2])
{
	int address_pipe[2], listener_pipe[2], client_pipe[2];
	char address[ADDRESS_SIZE] = "";
	bool ok;

	make_pipe(address_pipe);
	make_pipe(listener_pipe);
	pids[0] = fork();
	if (pids[0] == 0)
		listener_process(transport, job, bytes, (const int[2]){ address_pipe[1], listener_pipe[1] });
	close(address_pipe[1]);
	close(listener_pipe[1]);
	ok = pids[0] > 0 && read(address_pipe[0], address, sizeof address) == sizeof address;
	close(address_pipe[0]);
	make_pipe(client_pipe);
	pids[1] = ok ? fork() : -1;
	if (pids[1] == 0)
		client_process(transport, job, bytes, address, client_pipe[1]);
	close(client_pipe[1]);
	ok = ok && pids[1] > 0 && read(client_pipe[0], &results[1], sizeof *results) == sizeof *results &&
	    read(listener_pipe[0], &results[0], sizeof *results) == sizeof *results;
	close(client_pipe[0]);
	close(listener_pipe[0]);
	return ok;
}

static struct result run(enum transport transport, enum job job, uint64_t bytes)
{
	pid_t pids[2] = { -1, -1 };
	struct result results[2];
	bool ok = run_pair(transport, job, bytes, pids, results);

	for (size_t i = 0; i < 2; i++) {
		if (pids[i] <= 0)
			continue;
		if (!ok)
			kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	if (!ok)
		die("%s over %s failed", job_names[job], transport == TCP ? "TCP" : "wsfile");
	return (struct result){ results[1].seconds, results[0].cpu_seconds + results[1].cpu_seconds };
}

/* --- rounds and report --- */

struct series {
	double rate[TRANSPORTS][MAX_ROUNDS];	/* MB/s */
	double cpu[TRANSPORTS][MAX_ROUNDS];	/* s/GiB */
	double ratio[MAX_ROUNDS];
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare);
	return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void run_round(struct series *series, const struct settings *settings, unsigned round)
{
	uint64_t bytes = settings->mib << 20;

	for (int job = 0; job < JOBS; job++) {
		struct series *s = &series[job];
		for (int transport = 0; transport < TRANSPORTS; transport++) {
			struct result result = run((enum transport)transport, (enum job)job, bytes);
			s->rate[transport][round] = (double)bytes / 1e6 / result.seconds;
			s->cpu[transport][round] = result.cpu_seconds / ((double)bytes / (double)(1 << 30));
		}
		s->ratio[round] = s->rate[WS][round] / s->rate[TCP][round];
	}
}

static void print_table(struct series *series, const struct settings *settings)
{
	printf("%u rounds of %llu MiB in blocks of 64 KiB, two processes on 127.0.0.1; medians\n", settings->rounds,
	    (unsigned long long)settings->mib);
	printf("%-26s %21s %21s\n", "", "TCP FILE *", "wsfile FILE *");
	printf("%-26s %10s %10s %10s %10s %8s\n", "", "MB/s", "CPU s/GiB", "MB/s", "CPU s/GiB", "ratio");
	for (int job = 0; job < JOBS; job++) {
		struct series *s = &series[job];
		printf("%-26s %10.0f %10.2f %10.0f %10.2f %8.2f\n", job_names[job],
		    median(s->rate[TCP], settings->rounds), median(s->cpu[TCP], settings->rounds),
		    median(s->rate[WS], settings->rounds), median(s->cpu[WS], settings->rounds),
		    median(s->ratio, settings->rounds));
	}
}

static void print_json(struct series *series, const struct settings *settings)
{
	printf("{\"version\": \"%s\", \"mib\": %llu, \"rounds\": %u, \"jobs\": {", ws_version(),
	    (unsigned long long)settings->mib, settings->rounds);
	for (int job = 0; job < JOBS; job++) {
		struct series *s = &series[job];
		printf("%s\"%s\": {\"tcp_mb_s\": %.1f, \"tcp_cpu_s_gib\": %.3f, \"wsfile_mb_s\": %.1f, "
		    "\"wsfile_cpu_s_gib\": %.3f, \"ratio\": %.3f}", job > 0 ? ", " : "", job_keys[job],
		    median(s->rate[TCP], settings->rounds), median(s->cpu[TCP], settings->rounds),
		    median(s->rate[WS], settings->rounds), median(s->cpu[WS], settings->rounds),
		    median(s->ratio, settings->rounds));
	}
	printf("}}\n");
}

static bool parse_number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value > 0 && *value <= max;
}

static const char usage[] =
    "usage: wsbench [--mib N] [--rounds N] [--quick] [--json]\n"
    "  --mib N      volume of each run, 256\n"
    "  --rounds N   5\n"
    "  --quick      --mib 64 --rounds 3\n"
    "  --json       one line for programs\n";

static bool parse(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "mib", required_argument, NULL, 'm' }, { "rounds", required_argument, NULL, 'r' },
		{ "quick", no_argument, NULL, 'q' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	unsigned long value = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'm' && parse_number(optarg, 1 << 20, &value)) {
			settings->mib = value;
		} else if (opt == 'r' && parse_number(optarg, MAX_ROUNDS, &value)) {
			settings->rounds = (unsigned)value;
		} else if (opt == 'q') {
			settings->mib = 64;
			settings->rounds = 3;
		} else if (opt == 'j') {
			settings->json = true;
		} else {
			fputs(usage, opt == 'h' ? stdout : stderr);
			exit(opt == 'h' ? 0 : 2);
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	static struct series series[JOBS];
	struct settings settings = { .mib = 256, .rounds = 5 };

	if (!parse(&settings, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	memset(sent, 'x', sizeof sent);
	for (unsigned round = 0; round < settings.rounds; round++)
		run_round(series, &settings, round);
	if (settings.json)
		print_json(series, &settings);
	else
		print_table(series, &settings);
	return 0;
}
