/* SPDX-License-Identifier: 0BSD */
/*
 * A process is killed, with SIGKILL, at a random moment; this one, at the other end, must get an error behind a prefix
 * of what was sent, and never EOF, but for a victim that had closed. Several at a time, so that there is some load.
 *
 * usage: test_kill [ROUNDS [SEED]]. One seed gives one order of kinds and moments; what they meet is up to the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kill.h"
#include "memcheck.h"
#include "pki.h"
#include "wire.h"

#define LANES 4
#define PARTS 10			/* test cases, each with its part of the rounds */
#define ROUNDS 500
#define NOTHING UINT64_MAX

extern char **environ;

/* ck_assert writes a mark to Check's pipe on success too. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

static unsigned rounds = ROUNDS;
static uint64_t first_seed = 20111201;
static char victim_path[4200];
static const char *certificate, *key, *authority;

struct lane {
	pthread_t thread;
	unsigned number, rounds;
	uint64_t random;
	struct ws_listener *listener[2];	/* ws, wss */
	unsigned kinds[KILL_KINDS], errors, ends;
};

struct round {
	struct lane *lane;
	enum kill_kind kind;
	bool secure, victim_listens;
	uint64_t seed;
	char text[100];				/* for a message */

	pid_t pid;
	int reports;				/* the victim's standard output */
	char url[300];
	pthread_t killer;
	bool by_time;				/* that is: */
	unsigned wait_us;			/* from its start, or */
	uint64_t kill_at;			/* when that much has come of it; NOTHING = by time */
	atomic_bool killed;
	uint64_t told_sent, told_closing;	/* NOTHING = it did not */

	uint64_t wrote, got;
	int error;				/* of the read, 0 = EOF */
	struct ws_status status;
};

/* --- the victim --- */

static void start_victim(struct round *round)
{
	char kind[12], seed[24], url[300];
	char *arguments[] = { victim_path, kind, url, seed, (char *)(uintptr_t)certificate, (char *)(uintptr_t)key,
		(char *)(uintptr_t)authority, NULL };
	posix_spawn_file_actions_t actions;
	int pipes[2], error;

	snprintf(kind, sizeof kind, "%d", (int)round->kind);
	snprintf(seed, sizeof seed, "%" PRIu64, round->seed);
	if (round->victim_listens)
		snprintf(url, sizeof url, "%s://127.0.0.1:0/", round->secure ? "wss" : "ws");
	else
		snprintf(url, sizeof url, "%s", ws_listener_url(round->lane->listener[round->secure]));
	insist(pipe2(pipes, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], 1);
	error = posix_spawn(&round->pid, victim_path, &actions, NULL, arguments, environ);
	insist(error == 0, "%s: %s", victim_path, strerror(error));
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	round->reports = pipes[0];
}

static void kill_now(struct round *round)
{
	if (!atomic_exchange(&round->killed, true))
		insist(kill(round->pid, SIGKILL) == 0, "kill: %s", strerror(errno));
}

/* false: it is dead. Byte by byte, as others may take over. */
static bool read_report(struct round *round, char line[300])
{
	size_t used = 0;
	ssize_t n;

	do
		n = read(round->reports, line + used, 1);
	while (((n == 1 && line[used++] != '\n') || (n < 0 && errno == EINTR)) && used < 299);
	insist(n >= 0, "reports: %s", strerror(errno));
	line[used] = '\0';
	if (n == 1)
		line[used - 1] = '\0';
	return n == 1;
}

static void *killer(void *argument)
{
	struct round *round = argument;
	bool waits = round->by_time;
	char line[300], *number;
	int status;

	while (read_report(round, line)) {
		number = strchr(line, ' ');
		if (strncmp(line, "sent ", 5) == 0)
			round->told_sent = strtoull(number, NULL, 10);
		else if (strncmp(line, "closing ", 8) == 0)
			round->told_closing = strtoull(number, NULL, 10);
		/* A closing is what such a victim is to be killed in. */
		if (waits && strncmp(line, round->kind >= KILL_CLOSING ? "closing" : "start", 5) == 0) {
			waits = false;
			nanosleep(&(struct timespec){ .tv_nsec = (long)round->wait_us * 1000 }, NULL);
			kill_now(round);
		}
	}
	insist(waitpid(round->pid, &status, 0) == round->pid, "waitpid: %s", strerror(errno));
	insist(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: the victim's status is %#x", round->text,
	    (unsigned)status);
	close(round->reports);
	return NULL;
}

/* --- this end --- */

static void open_streams(struct round *round, FILE *half[2])
{
	bool pair = round->kind == KILL_BULK || round->kind == KILL_SMALL;
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener = round->lane->listener[round->secure];
	bool open;

	options.ca_file = round->secure ? authority : NULL;
	if (pair) {
		open = round->victim_listens ? ws_fopen_pair(round->url, &options, half) == 0 :
		    ws_accept_pair(listener, half) == 0;
	} else {
		half[0] = half[1] = round->victim_listens ? ws_fopen_with(round->url, "r+", &options) :
		    ws_accept(listener, "r+");
		open = half[0] != NULL;
	}
	insist(open, "%s: %s", round->text, ws_last_error()->text);
	insist(fputc('g', half[1]) == 'g' && fflush(half[1]) == 0, "%s: greeting: %s", round->text, strerror(errno));
}

static void *write_on(void *argument)
{
	uint8_t block[16384];
	FILE *stream = ((void **)argument)[0];
	struct round *round = ((void **)argument)[1];
	uint64_t state = round->seed, offset = 0;
	size_t size;

	do {
		size = 1 + kill_random(&state, round->kind == KILL_SMALL ? 200 : sizeof block);
		kill_fill(offset, block, size);
		offset += size;
	} while (fwrite(block, 1, size, stream) == size && (round->kind != KILL_SMALL || fflush(stream) == 0));
	insist(errno == EPIPE, "%s: writing ends with %s", round->text, strerror(errno));
	return NULL;
}

/* To the end, or to the moment, which the end had better not precede. */
static void read_on(struct round *round, FILE *stream)
{
	uint8_t block[16384];
	ssize_t n;

	for (;;) {
		if (round->got >= round->kill_at)
			kill_now(round);
		errno = 0;
		n = ws_read_some(stream, block, sizeof block);
		if (n <= 0)
			break;
		insist(kill_matches(round->got, block, (size_t)n), "%s: other bytes than were sent", round->text);
		round->got += (uint64_t)n;
	}
	round->error = n < 0 ? errno : 0;
	/* By stdio, too, and for good. */
	clearerr(stream);
	errno = 0;
	insist(fgetc(stream) == EOF &&
	    (n < 0 ? ferror(stream) && !feof(stream) && errno == round->error : feof(stream)),
	    "%s: %s, then %s, feof %d", round->text, strerror(round->error), strerror(errno), feof(stream));
	if (round->kill_at != NOTHING)
		kill_now(round);
}

static void echo_on(struct round *round, FILE *stream)
{
	uint8_t block[300], back[300];
	uint64_t state = round->seed;
	size_t size, n;

	do {
		if (round->got >= round->kill_at)
			kill_now(round);
		size = 1 + kill_random(&state, sizeof block);
		kill_fill(round->wrote, block, size);
		if (fwrite(block, 1, size, stream) != size || fflush(stream) != 0)
			break;
		round->wrote += size;
		n = fread(back, 1, size, stream);
		insist(memcmp(back, block, n) == 0, "%s: other bytes than were sent", round->text);
		round->got += n;
	} while (n == size);
	round->kill_at = round->kill_at != NOTHING ? 0 : NOTHING;
	read_on(round, stream);
}

static void say_and_shut_down(struct round *round, FILE *stream)
{
	static const size_t most = KILL_MOST_BYTES;
	uint8_t *block = malloc(most);
	uint64_t state = round->seed + 1;

	round->wrote = kill_random(&state, most);
	kill_fill(0, block, round->wrote);
	/* It has been started and is only killed when it has begun to answer, or by our reading. */
	insist(fwrite(block, 1, round->wrote, stream) == round->wrote && ws_shutdown(stream, 1000, NULL) == 0,
	    "%s: %s", round->text, strerror(errno));
	free(block);
}

/* --- the oracle --- */

/* Whole: what the victim wrote before it began to close has come. */
static void check_end(const struct round *round)
{
	bool whole = round->told_closing != NOTHING && round->got == round->told_closing &&
	    round->status.close_code_received == 1000;

	insist(round->error == 0 ? whole : round->error == ECONNRESET, "%s: %s behind %" PRIu64 " bytes, Close %u, "
	    "it was closing at %" PRId64, round->text, round->error == 0 ? "EOF" : strerror(round->error), round->got,
	    round->status.close_code_received, (int64_t)round->told_closing);
	insist(round->told_closing == NOTHING || round->got <= round->told_closing, "%s: too much came", round->text);
	/* TLS may have sent the client what it never read: then what it had sent itself may be lost. */
	if (round->kind == KILL_SENT && !round->secure)
		insist(round->got >= round->told_sent, "%s: %" PRIu64 " bytes were sent, %" PRIu64 " came", round->text,
		    round->told_sent, round->got);
}

/* fclose() == 0 is a receipt: the victim had read all, or there was nothing to be read. */
static void check_close(const struct round *round, int result, int error)
{
	bool may_succeed = round->error == 0;

	insist(result == 0 ? may_succeed : error == ECONNRESET, "%s: fclose: %d, %s", round->text, result,
	    result == 0 ? "a receipt" : strerror(error));
}

static void close_streams(struct round *round, FILE *half[2])
{
	int result;

	if (half[1] != half[0])
		(void)fclose(half[1]);
	errno = 0;
	result = fclose(half[0]);
	check_close(round, result, errno);
}

/* --- rounds --- */

static void meet(struct round *round)
{
	void *writer[2] = { NULL, round };
	pthread_t thread;
	FILE *half[2];

	open_streams(round, half);
	writer[0] = half[1];
	if (half[1] != half[0])
		peer_thread(&thread, write_on, writer);
	if (round->kind == KILL_ANSWERING)
		say_and_shut_down(round, half[0]);
	if (round->kind == KILL_ECHO)
		echo_on(round, half[0]);
	else
		read_on(round, half[0]);
	if (half[1] != half[0])
		peer_join(thread);
	insist(ws_status(half[0], &round->status) == 0, "ws_status: %s", strerror(errno));
	peer_join(round->killer);
	check_end(round);
	close_streams(round, half);
}

static void read_one_stream(struct round *round, FILE *stream)
{
	int result;

	round->got = 0;
	read_on(round, stream);
	insist(ws_status(stream, &round->status) == 0, "ws_status: %s", strerror(errno));
	check_end(round);
	errno = 0;
	result = fclose(stream);
	check_close(round, result, errno);
}

/* The listener's owner: whatever became of the victim, the next connection is as good as ever. */
static void meet_at_listener(struct round *round)
{
	struct ws_listener *listener = round->lane->listener[round->secure];
	struct ws_options options = WS_OPTIONS_INIT;
	char url[300];
	FILE *client, *server;

	/* Where the listener has not heard of it: that there is no stream is as good as an error. */
	round->error = ECONNRESET;
	peer_join(round->killer);
	options.ca_file = round->secure ? authority : NULL;
	snprintf(url, sizeof url, "%sgood", ws_listener_url(listener));
	client = ws_fopen_with(url, "r+", &options);
	insist(client != NULL, "%s: %s", round->text, ws_last_error()->text);
	for (;;) {
		server = ws_accept(listener, "r+");
		insist(server != NULL, "%s: %s", round->text, ws_last_error()->text);
		insist(ws_status(server, &round->status) == 0, "ws_status: %s", strerror(errno));
		if (strstr(round->status.url, "/good") != NULL)
			break;
		read_one_stream(round, server);
	}
	insist(ws_shutdown(client, 1000, NULL) == 0, "ws_shutdown: %s", strerror(errno));
	insist(fclose(server) == 0 && fclose(client) == 0, "fclose: %s", strerror(errno));
}

static void meet_at_victim(struct round *round)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	options.ca_file = round->secure ? authority : NULL;
	stream = ws_fopen_with(round->url, "r+", &options);
	if (stream == NULL) {
		/* EPROTO: the end of TCP is no answer to a request. */
		insist(errno == ECONNRESET || errno == ECONNREFUSED || errno == EPROTO, "%s: %s, %s", round->text,
		    strerror(errno), ws_last_error()->text);
		round->error = errno;
	} else {
		read_one_stream(round, stream);
	}
	peer_join(round->killer);
}

/* Short times and long ones alike; a few bytes and many alike. */
static uint32_t some(uint64_t *random, uint32_t bits)
{
	return kill_random(random, UINT32_C(1) << (1 + kill_random(random, bits)));
}

static void run_round(struct lane *lane, unsigned number)
{
	struct round round = { .lane = lane, .kill_at = NOTHING, .told_sent = 0, .told_closing = NOTHING,
		.status = WS_STATUS_INIT };
	char line[300];

	round.kind = (enum kill_kind)(number % KILL_KINDS);
	round.victim_listens = number / KILL_KINDS % 2 == 1;
	round.secure = number / KILL_KINDS / 2 % 2 == 1;
	round.seed = ((uint64_t)kill_random(&lane->random, 1u << 31) << 16) + number + 1;
	if (round.kind != KILL_OPENING && kill_random(&lane->random, 2) == 0)
		round.kill_at = some(&lane->random, round.kind < KILL_CLOSING ? 21 : 17);
	round.wait_us = some(&lane->random, 14);
	snprintf(round.text, sizeof round.text, "round %u, kind %d, %s, the victim %s, at %" PRId64 " bytes or %u us",
	    number, (int)round.kind, round.secure ? "wss" : "ws", round.victim_listens ? "listens" : "connects",
	    (int64_t)round.kill_at, round.wait_us);
	start_victim(&round);
	if (round.victim_listens) {
		insist(read_report(&round, line) && strncmp(line, "url ", 4) == 0, "%s: %s", round.text, line);
		snprintf(round.url, sizeof round.url, "%s", line + 4);
	}
	round.by_time = round.kill_at == NOTHING;
	peer_thread(&round.killer, killer, &round);
	if (round.kind != KILL_OPENING)
		meet(&round);
	else if (round.victim_listens)
		meet_at_victim(&round);
	else
		meet_at_listener(&round);
	lane->kinds[round.kind]++;
	if (round.error == 0)
		lane->ends++;
	else
		lane->errors++;
}

static void *run_lane(void *argument)
{
	struct lane *lane = argument;

	for (unsigned i = 0; i < lane->rounds; i++)
		run_round(lane, lane->number + i * LANES);
	return NULL;
}

/* In the directory of this program. */
static void find_victim(void)
{
	const char *program = wire_program(), *slash = strrchr(program, '/');

	ck_assert_ptr_nonnull(slash);
	snprintf(victim_path, sizeof victim_path, "%.*s/kill_victim", (int)(slash - program), program);
	certificate = pki_file("server.pem");
	key = pki_file("server.key");
	authority = pki_file("ca.pem");
}

static void open_listeners(struct lane *lane)
{
	struct ws_options options = WS_OPTIONS_INIT;

	lane->listener[0] = ws_listen("ws://127.0.0.1:0/", &options);
	options.cert_file = certificate;
	options.key_file = key;
	lane->listener[1] = ws_listen("wss://127.0.0.1:0/", &options);
	insist(lane->listener[0] != NULL && lane->listener[1] != NULL, "%s", ws_last_error()->text);
}

START_TEST(killed_process_is_an_error_and_never_eof)
{
	unsigned first = rounds * (unsigned)_i / PARTS, end = rounds * ((unsigned)_i + 1) / PARTS, errors = 0, ends = 0;
	struct lane lanes[LANES] = { 0 };

	find_victim();
	peer_count_begin();
	for (unsigned i = 0; i < LANES; i++) {
		lanes[i].number = first + i;
		lanes[i].rounds = first + i < end ? (end - first - i + LANES - 1) / LANES : 0;
		lanes[i].random = first_seed * 1000 + lanes[i].number + 1;
		open_listeners(&lanes[i]);
		peer_thread(&lanes[i].thread, run_lane, &lanes[i]);
	}
	for (unsigned i = 0; i < LANES; i++) {
		pthread_join(lanes[i].thread, NULL);
		ws_listener_close(lanes[i].listener[0]);
		ws_listener_close(lanes[i].listener[1]);
		errors += lanes[i].errors;
		ends += lanes[i].ends;
	}
	printf("rounds %u to %u: %u errors, %u whole ends behind a closing\n", first, end, errors, ends);
	fflush(stdout);
	ck_assert_uint_eq(errors + ends, end - first);
	peer_count_end();
}
END_TEST

int main(int argc, char *argv[])
{
	Suite *suite = suite_create("kill");
	TCase *process = wire_case(suite, "process");
	int status;

	if (under_valgrind())
		rounds = 60;
	if (argc > 1)
		rounds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	tcase_set_timeout(process, 60.0 + rounds / 10.0);
	tcase_add_loop_test(process, killed_process_is_an_error_and_never_eof, 0, PARTS);
	pki_begin();
	status = wire_run(suite);
	pki_end();
	return status;
}
