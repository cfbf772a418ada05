/* SPDX-License-Identifier: 0BSD */
#include "fault_sweep.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "peer.h"
#include "wire.h"

#define WATCHDOG_S 20			/* for one run, times CK_TIMEOUT_MULTIPLIER */
#define SLOW_NS INT64_C(700000000)
#define CLEAN_RUNS 3
#define QUIET_TRIES 10000
#define ACCEPT_TRIES 400
#define ACCEPT_LOOK_NS 50000000
#define PART_MAX 65536
#define ERRORS 134

static struct {
	const struct sweep *sweep;
	unsigned long n;
	FILE *client, *server;		/* the bystander's */
	struct ws_listener *listener;
	unsigned lines;
	unsigned long runs, struck;
	atomic_uint failed[SWEEP_OPS], counts[SWEEP_OPS][ERRORS];
} now;

static const char *const op_names[] = { "listen", "open", "accept", "read", "write", "close", "ask" };

static const char *who(void)
{
	enum fault_who who = now.sweep->system != NULL ? now.sweep->system->who : now.sweep->plan.who;

	return who == FAULT_ANYBODY ? "anybody" : who == FAULT_HELPERS ? "helpers" : "the program";
}

void sweep_show(void)
{
	if (now.sweep == NULL)
		return;
	/* Check wants memory, too. */
	fault_memory_disarm(NULL);
	fault_system_disarm(NULL);
	fprintf(stderr, "%s: request %lu%s, by %s; it was asked for here:\n", now.sweep->name, now.n,
	    now.sweep->plan.lasting ? " and later ones" : "", who());
	fault_memory_show_strike();
	fault_system_show_strike();
}

static bool verbose(void)
{
	return getenv("WSF_FAULTS") != NULL;
}

static bool all(void)
{
	const char *text = getenv("WSF_FAULTS");

	return text != NULL && strcmp(text, "all") == 0;
}

static unsigned times(void)
{
	const char *text = getenv("CK_TIMEOUT_MULTIPLIER");
	long value = text != NULL ? strtol(text, NULL, 10) : 1;

	return value > 1 ? (unsigned)value : 1;
}

static int64_t clock_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

void sweep_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
	fault_memory_spare();
	peer_thread(thread, body, argument);
	fault_memory_spare_end();
}

void sweep_join(pthread_t thread)
{
	fault_memory_spare();
	peer_join(thread);
	fault_memory_spare_end();
}

/* --- the bystander --- */

static void pass_line(FILE *from, FILE *to)
{
	char sent[32], got[32];

	snprintf(sent, sizeof sent, "line %u\n", now.lines++);
	sweep_insist(fputs(sent, from) >= 0 && fflush(from) == 0, "the bystander can't write: %s", strerror(errno));
	errno = 0;
	sweep_insist(fgets(got, sizeof got, to) != NULL, "the bystander can't read: feof %d, %s", feof(to),
	    strerror(errno));
	sweep_insist(strcmp(sent, got) == 0, "the bystander reads %s", got);
}

static void open_bystander(void)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;

	options.ping_interval_ms = -1;
	now.listener = ws_listen("ws://127.0.0.1:0/", &options);
	sweep_insist(now.listener != NULL, "%s", ws_last_error()->text);
	now.client = ws_fopen_with(ws_listener_url(now.listener), "r+", &options);
	sweep_insist(now.client != NULL, "%s", ws_last_error()->text);
	now.server = ws_accept(now.listener, "r+");
	sweep_insist(now.server != NULL, "%s", ws_last_error()->text);
	/* The helper's first masking key makes a random generator of its own, which stays. */
	sweep_insist(ws_ping(now.server, NULL, 0) == 0, "ping: %s", strerror(errno));
	for (int i = 0; i < QUIET_TRIES && status.round_trip_us == 0; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
		ws_status(now.server, &status);
	}
}

static void *close_client(void *stream)
{
	fault_memory_mine();
	sweep_insist(fclose(stream) == 0, "the bystander's fclose: %s", strerror(errno));
	return NULL;
}

static void close_bystander(void)
{
	pthread_t thread;

	sweep_thread(&thread, close_client, now.client);
	sweep_insist(fclose(now.server) == 0, "the bystander's fclose: %s", strerror(errno));
	sweep_join(thread);
	ws_listener_close(now.listener);
}

static void look_at_bystander(void)
{
	if (!now.sweep->bystander)
		return;
	pass_line(now.client, now.server);
	pass_line(now.server, now.client);
}

/* --- the sweep --- */

static void out_of_time(int signal_number)
{
	(void)signal_number;
	sweep_show();
	fprintf(stderr, "it hangs\n");
	abort();
}

static void look(int signal_number)
{
	(void)signal_number;
}

/* Threads of the library's own may still be about to give something back. */
static size_t quiet_blocks(size_t most)
{
	unsigned kinds = (1U << FAULT_KINDS) - 1 - now.sweep->leaking;

	if (now.sweep->forget != NULL)
		now.sweep->forget();
	OPENSSL_thread_stop();
	for (int i = 0; i < QUIET_TRIES && fault_memory_blocks(kinds) > most; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	return fault_memory_blocks(kinds);
}

/* Returns whether a request was refused. */
static bool run_once(unsigned long n, size_t most, size_t *blocks, unsigned long *requests)
{
	int64_t before = clock_ns();
	unsigned long struck;

	now.n = n;
	now.runs++;
	alarm(WATCHDOG_S * times());
	fault_memory_spare();
	peer_count_begin();
	fault_memory_spare_end();
	if (now.sweep->besides != NULL)
		fault_system_arm(now.sweep->besides, 0);
	if (now.sweep->system != NULL)
		fault_system_arm(now.sweep->system, n);
	else
		fault_memory_arm(&now.sweep->plan, n);
	now.sweep->scene(now.sweep->argument);
	if (now.sweep->besides != NULL)
		fault_system_disarm(NULL);
	struck = now.sweep->system != NULL ? fault_system_disarm(requests) : fault_memory_disarm(requests);
	now.struck += struck;
	look_at_bystander();
	if (verbose() && clock_ns() - before > SLOW_NS) {
		fprintf(stderr, "slow: %d ms\n", (int)((clock_ns() - before) / 1000000));
		sweep_show();
	}
	fault_memory_spare();
	peer_count_end();
	fault_memory_spare_end();
	*blocks = quiet_blocks(most);
	alarm(0);
	return struck > 0;
}

static void show_figures(unsigned long requests)
{
	fprintf(stderr, "%s%s, %s%s: %lu requests, %lu runs;", now.sweep->name,
	    now.sweep->bystander ? " beside another" : "",
	    who(), now.sweep->plan.lasting ? ", lasting" : "", requests, now.runs);
	for (int op = 0; op < SWEEP_OPS; op++)
		for (int error = 0; error < ERRORS; error++)
			if (now.counts[op][error] > 0)
				fprintf(stderr, " %s %s %u", op_names[op], strerrorname_np(error),
				    now.counts[op][error]);
	fprintf(stderr, "\n");
}

/* In the case's own process: Check has handlers, too. */
static void set_handlers(void)
{
	struct sigaction action = { .sa_handler = out_of_time };

	sigaction(SIGALRM, &action, NULL);
	action.sa_handler = look;
	sigaction(SIGUSR2, &action, NULL);
}

unsigned long sweep_run(const struct sweep *sweep)
{
	unsigned long stride = sweep->stride > 0 && !all() ? sweep->stride : 1, requests = 0;
	struct sweep clean = *sweep;
	size_t most = 0, blocks;

	clean.plan = (struct fault_memory_plan){ 0 };
	clean.besides = NULL;
	if (sweep->system != NULL && sweep->system->calls != 0)
		clean.system = NULL;
	memset(&now, 0, sizeof now);
	now.sweep = sweep;
	set_handlers();
	if (sweep->bystander)
		open_bystander();
	now.sweep = &clean;
	for (int i = 0; i < CLEAN_RUNS; i++) {
		run_once(0, SIZE_MAX, &blocks, NULL);
		most = blocks > most ? blocks : most;
	}
	now.sweep = sweep;
	run_once(0, SIZE_MAX, &blocks, &requests);
	most = blocks > most ? blocks : most;
	for (int op = 0; op < SWEEP_OPS; op++)
		sweep_insist(sweep->fails || now.failed[op] == 0, "%s fails without a fault", op_names[op]);
	for (unsigned long n = 1; (run_once(n, most, &blocks, NULL) && sweep->runs == 0) || n < sweep->runs;
	    n += stride) {
		if (blocks > most)
			fault_memory_show_blocks();
		sweep_insist(blocks <= most, "%zu blocks before, %zu after", most, blocks);
	}
	if (sweep->bystander)
		close_bystander();
	if (verbose())
		show_figures(requests);
	now.sweep = NULL;
	return now.struck;
}

/* --- one connection --- */

/* A server without memory says 500, or cuts. There may be no memory here to say so, either. */
static bool was_refused(void)
{
	const char *text = ws_last_error()->text;

	return ws_last_error()->http_status == 500 ||
	    strcmp(text, "the peer ended the connection inside the handshake") == 0 ||
	    strcmp(text, strerror(EPROTO)) == 0;
}

/* What a call says may be what the operation says. */
static bool is_system(enum sweep_op op, int error)
{
	const struct fault_system_plan *plan = now.sweep->system;

	/* No call fails, but time or a limit of the process is what is wrong. */
	if (plan != NULL && plan->calls == 0 && (error == plan->error || (op == SWEEP_OPEN && error == ETIMEDOUT)))
		return true;
	return plan != NULL && op != SWEEP_CLOSE && (op != SWEEP_READ || error != ETIMEDOUT) &&
	    (error == plan->error || (plan->eai != 0 && error == (plan->eai == EAI_AGAIN ? EAGAIN : ENOENT)));
}

void sweep_begin_op(void)
{
	(void)fault_memory_struck_here();
}

/* OpenSSL has many a word for it: most of its functions don't say why they failed. */
static bool is_openssl(enum sweep_op op, int error)
{
	if (now.sweep->fails)
		return error == EKEYREJECTED || error == EPROTO || error == EIO || error == EINVAL;
	return (now.sweep->plan.kinds & 1U << FAULT_OPENSSL) != 0 && op != SWEEP_WRITE &&
	    (error == EKEYREJECTED || error == EPROTO || error == EIO || error == EINVAL);
}

void sweep_failed(enum sweep_op op, int error)
{
	static const struct {
		enum sweep_op op;
		int error;
	} allowed[] = {
		{ SWEEP_LISTEN, ENOMEM }, { SWEEP_LISTEN, EAGAIN },
		{ SWEEP_OPEN, ENOMEM }, { SWEEP_OPEN, EAGAIN }, { SWEEP_OPEN, ECONNRESET },
		{ SWEEP_OPEN, EPROTO }, { SWEEP_OPEN, ECONNABORTED },
		{ SWEEP_ACCEPT, ENOMEM }, { SWEEP_ACCEPT, EINTR },
		{ SWEEP_READ, ENOMEM }, { SWEEP_READ, ECONNRESET }, { SWEEP_READ, ECONNABORTED },
		{ SWEEP_WRITE, ENOMEM }, { SWEEP_WRITE, EPIPE },
		{ SWEEP_CLOSE, ENOMEM }, { SWEEP_CLOSE, ECONNRESET }, { SWEEP_CLOSE, ECONNABORTED },
		{ SWEEP_ASK, ENOMEM }, { SWEEP_ASK, EPIPE }, { SWEEP_ASK, EAGAIN },
	};
	bool good = is_openssl(op, error) || is_system(op, error);
	bool here = fault_memory_struck_here() && !now.sweep->plan.lasting;

	atomic_fetch_add(&now.failed[op], 1);
	if (error >= 0 && error < ERRORS)
		atomic_fetch_add(&now.counts[op][error], 1);
	for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && !good; i++)
		good = allowed[i].op == op && allowed[i].error == error &&
		    (op != SWEEP_OPEN || (error != EPROTO && error != ECONNABORTED) || was_refused());
	/* Who is refused once says so, but for what only finds a connection that has ended by that. */
	if (good && here && op != SWEEP_CLOSE && op != SWEEP_ASK && op != SWEEP_READ && !is_openssl(op, error))
		good = error == ENOMEM || error == EAGAIN;
	if (good && !now.sweep->harmless)
		return;
	sweep_show();
	ck_abort_msg("%s says %s: %s", op_names[op], strerror(error), ws_last_error()->text);
}

static bool is_over(FILE *client)
{
	struct ws_status status = WS_STATUS_INIT;

	return client == NULL || ws_status(client, &status) != 0 || status.state == WS_STATE_CLOSED;
}

bool sweep_accept(struct ws_listener *listener, FILE *client, const char *mode, FILE **one, FILE *pair[2])
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec often = { { 0, ACCEPT_LOOK_NS }, { 0, ACCEPT_LOOK_NS } };
	timer_t timer;
	bool good = false, over = false;
	int error = 0;

	sweep_insist(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
	    timer_settime(timer, 0, &often, NULL) == 0, "timer: %s", strerror(errno));
	sweep_begin_op();
	for (int i = 0; i < ACCEPT_TRIES && !good && !over && (error == 0 || error == EINTR); i++) {
		over = i > 0 && is_over(client);
		good = pair != NULL ? ws_accept_pair(listener, pair) == 0 :
		    (*one = ws_accept(listener, mode)) != NULL;
		error = errno;
	}
	timer_delete(timer);
	if (!good)
		sweep_failed(SWEEP_ACCEPT, error);
	return good;
}

void sweep_write(struct sweep_flow *flow, size_t size)
{
	static uint8_t data[PART_MAX];

	if (flow->out == NULL || flow->in == NULL || flow->write_error != 0)
		return;
	while (size > 0 && flow->write_error == 0) {
		size_t part = size < sizeof data ? size : sizeof data;

		sweep_begin_op();
		wire_pattern(flow->tried, data, part);
		flow->tried += part;
		size -= part;
		if (fwrite(data, 1, part, flow->out) != part || fflush(flow->out) != 0) {
			flow->write_error = errno;
			sweep_failed(SWEEP_WRITE, flow->write_error);
		}
	}
}

static void end_reading(struct sweep_flow *flow)
{
	int error = errno;

	flow->ended = true;
	flow->whole = feof(flow->in) && !ferror(flow->in);
	if (!flow->whole)
		sweep_failed(SWEEP_READ, error);
}

void sweep_read(struct sweep_flow *flow, size_t size)
{
	static uint8_t data[PART_MAX];

	if (flow->out == NULL || flow->in == NULL)
		return;
	while (size > 0 && !flow->ended) {
		size_t part = size < sizeof data ? size : sizeof data, got;

		/* What writing to the same FILE said. */
		clearerr(flow->in);
		sweep_begin_op();
		errno = 0;
		got = fread(data, 1, part, flow->in);
		/* An interrupted read is no end. */
		if (got < part && !(ferror(flow->in) && (errno == EINTR || errno == EAGAIN)))
			end_reading(flow);
		sweep_insist(wire_pattern_matches(flow->got, data, got), "wrong bytes behind %llu",
		    (unsigned long long)flow->got);
		flow->got += got;
		size -= got < size ? got : size;
	}
}

void sweep_read_to_end(struct sweep_flow *flow)
{
	while (flow->out != NULL && flow->in != NULL && !flow->ended)
		sweep_read(flow, 1000);
}

void sweep_check(const struct sweep_flow *flow, const struct sweep_flow *back)
{
	sweep_insist(flow->got <= flow->tried, "%llu bytes of %llu", (unsigned long long)flow->got,
	    (unsigned long long)flow->tried);
	/* Who could not write has said 1011, and what comes back is an answer to that. */
	if (flow->whole && back->write_error != ENOMEM)
		sweep_insist(flow->write_error == 0 && flow->got == flow->tried, "EOF behind %llu of %llu%s",
		    (unsigned long long)flow->got, (unsigned long long)flow->tried,
		    flow->write_error != 0 ? ", and a write failed" : "");
}

bool sweep_fclose(FILE *stream)
{
	if (stream == NULL)
		return false;
	sweep_begin_op();
	errno = 0;
	if (fclose(stream) == 0)
		return true;
	sweep_failed(SWEEP_CLOSE, errno);
	return false;
}

/* --- Check --- */

int sweep_main(Suite *suite)
{
	return wire_run(suite);
}

TCase *sweep_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, all() ? 3600 : 120);
	suite_add_tcase(suite, tcase);
	return tcase;
}
