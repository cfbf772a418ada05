/* SPDX-License-Identifier: 0BSD */
/*
 * wsbench: what a wsfile FILE * costs against a plain TCP FILE *, or over TLS against OpenSSL alone, on this machine.
 *
 * Each round runs every row first over one and then over the other, so that both meet the same weather; the figures
 * are medians over the rounds, and the ratio is the median of the ratios within a round. CPU is user and system time of
 * both ends. Nothing is asserted about time: only what is broken ends it early.
 */
#include "wsbench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <wsfile.h>

#define PROGRESS_S 5.0

static const struct bench_group *const groups[] = {
	&bench_bulk, &bench_sweep, &bench_messages, &bench_round_trips, &bench_connections, &bench_handshakes,
	&bench_memory, &bench_scale, &bench_transfer, &bench_fairness,
};

#define GROUPS (sizeof groups / sizeof *groups)

static const struct bench_class classes[] = {
	{ "plain", "ws against TCP", { &bench_tcp, &bench_ws }, false },
	{ "tls", "wss against OpenSSL", { &bench_openssl, &bench_wss }, true },
};

#define CLASSES (sizeof classes / sizeof *classes)

struct plan {
	struct settings settings;
	bool group[GROUPS], class[CLASSES];
	struct bench_table *tables[CLASSES][GROUPS];	/* NULL = not asked for */
};

/* --- the command line --- */

static const char usage[] =
    "usage: wsbench [group ...] [option ...]\n"
    "Compares a wsfile FILE * with a plain TCP FILE *, and over TLS with SSL_write\n"
    "and SSL_read, between two processes on 127.0.0.1.\n"
    "groups; all of them unless some are named:\n"
    "  --bulk           blocks of 64 KiB and of 1 KiB, both directions, and an echo\n"
    "  --sweep          flushed messages of 64 bytes to 16 MiB, both directions\n"
    "  --messages       flushed messages of 64 bytes, one way\n"
    "  --round-trips    of 64 bytes, both ends on one core and on two\n"
    "  --connections    open and close, one after another and by 4 threads\n"
    "  --handshakes     of TLS, full and resumed\n"
    "  --memory         of 1,000 idle connections\n"
    "  --scale          1 to 10,000 open streams, 2,000 over TLS: opening, memory,\n"
    "                   CPU while idle, a round trip beside them; with all: to 1,000\n"
    "  --streams N      N streams that all move data at once, checksummed at both\n"
    "                   ends; with all: 1,000, 200 over TLS\n"
    "  --fairness       a slow reader among 1,000 fast ones, 200 over TLS\n"
    "options:\n"
    "  --plain          ws against TCP only\n"
    "  --tls            wss against OpenSSL only\n"
    "  --mib N          volume of a run of --bulk, 256; with 1 KiB a quarter of it\n"
    "  --stream-mib N   volume of each stream of --streams, 1\n"
    "  --rounds N       5\n"
    "  --quick          little of everything, in 1 round: whether it works\n"
    "  --json           one line for programs\n"
    "  --help           this text\n"
    "Exit status: 0, 1 when something is broken, 2 for a bad command line.\n";

static _Noreturn void refuse(void)
{
	fputs(usage, stderr);
	exit(2);
}

static unsigned long number(const char *text, unsigned long max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value == 0 || value > max)
		refuse();
	return value;
}

enum { GROUP = 256, PLAIN = GROUP + GROUPS, TLS, MIB, STREAM_MIB, ROUNDS, QUICK, JSON, HELP };

static void take_option(struct plan *plan, int option, const char *argument)
{
	struct settings *settings = &plan->settings;

	if (option >= GROUP && option < PLAIN) {
		plan->group[option - GROUP] = true;
		if (argument)
			settings->stream_count = number(argument, 1000000);
		return;
	}
	switch (option) {
	case PLAIN:
	case TLS:
		plan->class[option - PLAIN] = true;
		break;
	case MIB:
		settings->mib = number(argument, 1 << 20);
		break;
	case STREAM_MIB:
		settings->stream_mib = number(argument, 1 << 20);
		break;
	case ROUNDS:
		settings->rounds = (unsigned)number(argument, MAX_ROUNDS);
		break;
	case QUICK:
		settings->quick = true;
		break;
	case JSON:
		settings->json = true;
		break;
	case HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		refuse();
	}
}

/* Sets all where none is set, and returns whether it did. */
static bool default_to_all(bool *chosen, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (chosen[i])
			return false;
	memset(chosen, true, count * sizeof *chosen);
	return true;
}

static void parse(struct plan *plan, int argc, char **argv)
{
	struct option options[GROUPS + 9] = {
		{ "plain", no_argument, NULL, PLAIN }, { "tls", no_argument, NULL, TLS },
		{ "mib", required_argument, NULL, MIB }, { "stream-mib", required_argument, NULL, STREAM_MIB },
		{ "rounds", required_argument, NULL, ROUNDS }, { "quick", no_argument, NULL, QUICK },
		{ "json", no_argument, NULL, JSON }, { "help", no_argument, NULL, HELP },
	};
	struct settings *settings = &plan->settings;
	int option;

	for (size_t i = 0; i < GROUPS; i++)
		options[8 + i] = (struct option){
			groups[i]->option, groups[i] == &bench_transfer ? required_argument : no_argument, NULL,
			GROUP + (int)i,
		};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		take_option(plan, option, optarg);
	if (optind != argc)
		refuse();
	settings->all = default_to_all(plan->group, GROUPS);
	default_to_all(plan->class, CLASSES);
	settings->rounds = settings->rounds > 0 ? settings->rounds : settings->quick ? 1 : 5;
	settings->mib = settings->mib > 0 ? settings->mib : settings->quick ? 16 : 256;
	settings->stream_mib = settings->stream_mib > 0 ? settings->stream_mib : 1;
}

/* --- rounds and report --- */

static void make_tables(struct plan *plan)
{
	bool any = false;

	for (size_t class = 0; class < CLASSES; class++)
		for (size_t group = 0; group < GROUPS; group++) {
			bool possible = classes[class].secure || !groups[group]->secure_only;
			if (!plan->class[class] || !plan->group[group] || !possible)
				continue;
			plan->tables[class][group] = bench_table_new(groups[group], &classes[class], &plan->settings);
			any = true;
		}
	if (!any)
		refuse();
}

/* A word now and then where it takes long. */
static void progress(const struct plan *plan, unsigned round, size_t group, size_t class)
{
	static double last;
	double now = bench_now();

	if (last > 0 && now - last >= PROGRESS_S)
		fprintf(stderr, "wsbench: round %u of %u, %s, %s\n", round + 1, plan->settings.rounds,
		    groups[group]->key, classes[class].title);
	if (last <= 0 || now - last >= PROGRESS_S)
		last = now;
}

static void run_round(struct plan *plan, unsigned round)
{
	for (size_t group = 0; group < GROUPS; group++)
		for (size_t class = 0; class < CLASSES; class++) {
			if (!plan->tables[class][group])
				continue;
			progress(plan, round, group, class);
			bench_table_run(plan->tables[class][group], round);
		}
}

static void print_tables(struct plan *plan)
{
	printf("wsfile %s: %u round%s, two processes on 127.0.0.1; medians\n", ws_version(), plan->settings.rounds,
	    plan->settings.rounds == 1 ? "" : "s");
	for (size_t group = 0; group < GROUPS; group++)
		for (size_t class = 0; class < CLASSES; class++)
			if (plan->tables[class][group])
				bench_table_print(plan->tables[class][group]);
}

static void print_json(struct plan *plan)
{
	printf("{\"version\": \"%s\", \"rounds\": %u, \"mib\": %llu, \"stream_mib\": %llu, \"quick\": %s", ws_version(),
	    plan->settings.rounds, (unsigned long long)plan->settings.mib,
	    (unsigned long long)plan->settings.stream_mib, plan->settings.quick ? "true" : "false");
	for (size_t class = 0; class < CLASSES; class++) {
		bool first = true;
		for (size_t group = 0; group < GROUPS; group++) {
			if (!plan->tables[class][group])
				continue;
			if (first)
				printf(", \"%s\": {", classes[class].key);
			else
				printf(", ");
			bench_table_print_json(plan->tables[class][group]);
			first = false;
		}
		printf("%s", first ? "" : "}");
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct plan plan = { .settings = { .rounds = 0 } };

	parse(&plan, argc, argv);
	memset(bench_sent, 'x', sizeof bench_sent);
	bench_raise_descriptors();
	make_tables(&plan);
	if (plan.class[1])
		bench_certificate_make();
	for (unsigned round = 0; round < plan.settings.rounds; round++)
		run_round(&plan, round);
	(plan.settings.json ? print_json : print_tables)(&plan);
	for (size_t class = 0; class < CLASSES; class++)
		for (size_t group = 0; group < GROUPS; group++)
			if (plan.tables[class][group])
				bench_table_free(plan.tables[class][group]);
	bench_certificate_remove();
	return 0;
}
