/* SPDX-License-Identifier: 0BSD */
/*
 * wsbench: what a wsfile FILE * costs against a plain TCP FILE *, or over TLS against OpenSSL alone, on this machine.
 *
 * Each round runs every job first over one and then over the other, so that both meet the same weather; the figures are
 * medians over the rounds, and the ratio is the median of the ratios within a round. Each run is two fresh processes,
 * forked from one that never uses the library. The client keeps the time, from its first byte, which the listener waits
 * for, to the last one it gets: where it only sends, an answer of one byte. CPU is user and system time of both ends.
 */
#include "wsbench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <wsfile.h>

static const char *const job_names[JOBS] = { "client to listener", "listener to client", "echo, both ways at once" };
static const char *const job_keys[JOBS] = { "c2s", "s2c", "echo" };

const char *bench_who = "";
char bench_sent[BLOCK];
char bench_received[BLOCK];

struct settings {
	uint64_t mib;
	unsigned rounds;
	double handshake_seconds;
	bool plain, tls, handshakes, json;
};

/* Two transports side by side: what there was before, and ours. */
enum side { THEIRS, OURS, SIDES };

struct series {
	double rate[SIDES][MAX_ROUNDS];		/* MB/s */
	double cpu[SIDES][MAX_ROUNDS];		/* s/GiB */
	double ratio[MAX_ROUNDS];
};

struct comparison {
	const char *json_name;
	const struct transport *side[SIDES];
	struct series series[JOBS];
};

static struct comparison plain = { .json_name = "jobs", .side = { &bench_tcp, &bench_ws } };
static struct comparison tls = { .json_name = "tls_jobs", .side = { &bench_openssl, &bench_wss } };

_Noreturn void bench_die(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "wsbench: %s%s\n", bench_who, text);
	bench_certificate_remove();
	_exit(1);
}

double bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double bench_cpu(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	    (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

void bench_announce(int fd, const char *text)
{
	char address[ADDRESS_SIZE] = "";

	snprintf(address, sizeof address, "%s", text);
	if (write(fd, address, sizeof address) != sizeof address)
		bench_die("pipe: %s", strerror(errno));
	close(fd);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare);
	return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* --- the two processes of a run --- */

struct task {
	const struct transport *transport;
	enum job job;
	uint64_t bytes;
};

static _Noreturn void listener_process(const struct task *task, int announcement, int pipe_end)
{
	struct result result = { 0, 0 };

	bench_who = "listener: ";
	task->transport->run_listener(task->job, task->bytes, announcement, &result);
	_exit(write(pipe_end, &result, sizeof result) == sizeof result ? 0 : 1);
}

static _Noreturn void client_process(const struct task *task, const char *address, int pipe_end)
{
	struct result result = { 0, 0 };

	bench_who = "client: ";
	task->transport->run_client(task->job, task->bytes, address, &result);
	_exit(write(pipe_end, &result, sizeof result) == sizeof result ? 0 : 1);
}

static void make_pipe(int ends[2])
{
	if (pipe(ends) != 0)
		bench_die("pipe: %s", strerror(errno));
}

static bool run_pair(const struct task *task, pid_t pids[2], struct result results[2])
{
	int address_pipe[2], listener_pipe[2], client_pipe[2];
	char address[ADDRESS_SIZE] = "";
	bool ok;

	make_pipe(address_pipe);
	make_pipe(listener_pipe);
	pids[0] = fork();
	if (pids[0] == 0)
		listener_process(task, address_pipe[1], listener_pipe[1]);
	close(address_pipe[1]);
	close(listener_pipe[1]);
	ok = pids[0] > 0 && read(address_pipe[0], address, sizeof address) == sizeof address;
	close(address_pipe[0]);
	make_pipe(client_pipe);
	pids[1] = ok ? fork() : -1;
	if (pids[1] == 0)
		client_process(task, address, client_pipe[1]);
	close(client_pipe[1]);
	ok = ok && pids[1] > 0 && read(client_pipe[0], &results[1], sizeof *results) == sizeof *results &&
	    read(listener_pipe[0], &results[0], sizeof *results) == sizeof *results;
	close(client_pipe[0]);
	close(listener_pipe[0]);
	return ok;
}

static struct result run(const struct task *task)
{
	pid_t pids[2] = { -1, -1 };
	struct result results[2];
	bool ok = run_pair(task, pids, results);

	for (size_t i = 0; i < 2; i++) {
		if (pids[i] <= 0)
			continue;
		if (!ok)
			kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	if (!ok)
		bench_die("%s with %s failed", job_names[task->job], task->transport->title);
	return (struct result){ results[1].seconds, results[0].cpu_seconds + results[1].cpu_seconds };
}

/* --- rounds and report --- */

static void run_round(struct comparison *comparison, const struct settings *settings, unsigned round)
{
	uint64_t bytes = settings->mib << 20;

	for (int job = 0; job < JOBS; job++) {
		struct series *s = &comparison->series[job];
		for (int side = 0; side < SIDES; side++) {
			struct result result = run(&(struct task){ comparison->side[side], (enum job)job, bytes });
			s->rate[side][round] = (double)bytes / 1e6 / result.seconds;
			s->cpu[side][round] = result.cpu_seconds / ((double)bytes / (double)(1 << 30));
		}
		s->ratio[round] = s->rate[OURS][round] / s->rate[THEIRS][round];
	}
}

static void print_table(struct comparison *comparison, unsigned rounds)
{
	printf("%-26s %21s %21s\n", "", comparison->side[THEIRS]->title, comparison->side[OURS]->title);
	printf("%-26s %10s %10s %10s %10s %8s\n", "", "MB/s", "CPU s/GiB", "MB/s", "CPU s/GiB", "ratio");
	for (int job = 0; job < JOBS; job++) {
		struct series *s = &comparison->series[job];
		printf("%-26s %10.0f %10.2f %10.0f %10.2f %8.2f\n", job_names[job],
		    bench_median(s->rate[THEIRS], rounds), bench_median(s->cpu[THEIRS], rounds),
		    bench_median(s->rate[OURS], rounds), bench_median(s->cpu[OURS], rounds),
		    bench_median(s->ratio, rounds));
	}
}

static void print_json(struct comparison *comparison, unsigned rounds)
{
	const char *theirs = comparison->side[THEIRS]->key, *ours = comparison->side[OURS]->key;

	printf(", \"%s\": {", comparison->json_name);
	for (int job = 0; job < JOBS; job++) {
		struct series *s = &comparison->series[job];
		printf("%s\"%s\": {\"%s_mb_s\": %.1f, \"%s_cpu_s_gib\": %.3f, \"%s_mb_s\": %.1f, "
		    "\"%s_cpu_s_gib\": %.3f, \"ratio\": %.3f}", job > 0 ? ", " : "", job_keys[job],
		    theirs, bench_median(s->rate[THEIRS], rounds), theirs, bench_median(s->cpu[THEIRS], rounds),
		    ours, bench_median(s->rate[OURS], rounds), ours, bench_median(s->cpu[OURS], rounds),
		    bench_median(s->ratio, rounds));
	}
	printf("}");
}

static void report(const struct settings *settings, struct handshake_rates *rates)
{
	if (settings->json)
		printf("{\"version\": \"%s\", \"mib\": %llu, \"rounds\": %u", ws_version(),
		    (unsigned long long)settings->mib, settings->rounds);
	else if (settings->plain || settings->tls)
		printf("%u rounds of %llu MiB in blocks of 64 KiB, two processes on 127.0.0.1; medians\n",
		    settings->rounds, (unsigned long long)settings->mib);
	if (settings->plain)
		(settings->json ? print_json : print_table)(&plain, settings->rounds);
	if (settings->tls)
		(settings->json ? print_json : print_table)(&tls, settings->rounds);
	if (rates)
		bench_handshakes_print(rates, settings->rounds, settings->handshake_seconds, settings->json);
	if (settings->json)
		printf("}\n");
}

/* --- the command line --- */

static bool parse_number(const char *text, unsigned long max, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value > 0 && *value <= max;
}

static const char usage[] =
    "usage: wsbench [--plain] [--tls] [--handshakes] [--mib N] [--rounds N] [--quick] [--json]\n"
    "  --plain        ws against TCP       } both, unless one of the three is given\n"
    "  --tls          wss against OpenSSL  }\n"
    "  --handshakes   TLS handshakes a second\n"
    "  --mib N        volume of each run, 256\n"
    "  --rounds N     5\n"
    "  --quick        --mib 64 --rounds 3, and handshakes for a third of the time\n"
    "  --json         one line for programs\n";

static void parse(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "plain", no_argument, NULL, 'p' }, { "tls", no_argument, NULL, 't' },
		{ "handshakes", no_argument, NULL, 's' }, { "mib", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' }, { "quick", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
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
			settings->handshake_seconds = 0.5;
		} else if (opt == 'p' || opt == 't' || opt == 's' || opt == 'j') {
			*(opt == 'p' ? &settings->plain : opt == 't' ? &settings->tls :
			    opt == 's' ? &settings->handshakes : &settings->json) = true;
		} else {
			fputs(usage, opt == 'h' ? stdout : stderr);
			exit(opt == 'h' ? 0 : 2);
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!settings->plain && !settings->tls && !settings->handshakes)
		settings->plain = settings->tls = true;
}

int main(int argc, char **argv)
{
	struct settings settings = { .mib = 256, .rounds = 5, .handshake_seconds = 1.5 };
	struct handshake_rates *rates = NULL;

	parse(&settings, argc, argv);
	memset(bench_sent, 'x', sizeof bench_sent);
	if (settings.tls || settings.handshakes)
		bench_certificate_make();
	if (settings.handshakes)
		rates = bench_handshakes_new();
	for (unsigned round = 0; round < settings.rounds; round++) {
		if (settings.plain)
			run_round(&plain, &settings, round);
		if (settings.tls)
			run_round(&tls, &settings, round);
		if (rates)
			bench_handshakes_run(rates, round, settings.handshake_seconds);
	}
	report(&settings, rates);
	free(rates);
	bench_certificate_remove();
	return 0;
}
