/* SPDX-License-Identifier: 0BSD */
/*
 * A network that fails at every byte of a short session, in both directions, for both ends; and one that only splits,
 * merges and delays. What each end may see of it, fault_table.c knows. WSF_FAULTS=all in the environment leaves no byte
 * out, which takes some minutes.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fault_keys.h"
#include "fault_table.h"
#include "peer.h"
#include "pki.h"
#include "tls_wire.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define COMPLAINTS_MAX 10
#define FRAME_BYTES 16
#define WORKERS_MAX 64

/* Sanitizers look for other things than a byte. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COARSER 5
#else
#define COARSER 1
#endif

#ifdef FAULT_ZLIB
#define COMPRESSION true
#else
#define COMPRESSION false
#endif

static const struct fault_script scripts[] = {
	{ "the client closes first", { "r5 w7 r40 p w50 e", "w5 r7 w40 p r50" }, TO_CLIENT },
	{ "the server closes first", { "r5 w7 w40 p r50", "w5 r7 r40 p w50 e" }, TO_SERVER },
	{ "the client half-closes", { "r5 w7 e w50", "w5 r7 w40 s e" }, TO_CLIENT },
	{ "the server half-closes", { "r5 w7 w40 s e", "w5 r7 e w50" }, TO_SERVER },
	{ "both close at once", { "r5 w50", "w5 w40" }, -1 },
};

static const struct action {
	const char *name;
	enum fault_kind ahead, behind;
} actions[] = {
	{ "resets of both ends", FAULT_RESET, FAULT_RESET },
	{ "FINs to the receiver alone", FAULT_FIN, FAULT_PASS },
	{ "FINs to both ends", FAULT_FIN, FAULT_FIN },
	{ "resets of the receiver, FINs to the sender", FAULT_RESET, FAULT_FIN },
	{ "FINs to the receiver, resets of the sender", FAULT_FIN, FAULT_RESET },
	{ "stalls of one direction", FAULT_STALL, FAULT_PASS },
	{ "stalls of both", FAULT_STALL, FAULT_STALL },
};

/* Of all tests, which are processes of their own. */
static struct totals {
	atomic_uint sessions, faults, complaints, relayed, points[COUNT(actions)][2];
} *totals;

struct point {
	const struct fault_script *script;
	enum fault_flow flow;
	size_t at;
};

/* Where the directions of a session begin behind the handshake, and end. */
struct extent {
	size_t start[FAULT_FLOWS], end[FAULT_FLOWS];
};

struct sweep {
	const struct action *action;	/* NULL = none */
	const struct fault_pace *pace;	/* of each direction; NULL = at once */
	bool secure, compressed, hurried;
	struct ws_options client, listener;

	struct point *points;
	unsigned count;
	atomic_uint next, complaints;
	pthread_mutex_t lock;		/* of what is printed */
};

/* --- one sweep --- */

static void set_options(struct sweep *sweep)
{
	sweep->listener = sweep->secure ? tls_listener_options("server.pem", "server.key") :
	    (struct ws_options)WS_OPTIONS_INIT;
	sweep->client = sweep->secure ? tls_client_options() : (struct ws_options)WS_OPTIONS_INIT;
	sweep->client.proxy = "";
	for (int i = 0; i < 2; i++) {
		struct ws_options *options = i == 0 ? &sweep->client : &sweep->listener;

		options->compression = sweep->compressed ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
		options->max_frame_bytes = FRAME_BYTES;
		/* What is not hurried has no way out of a hang but the test's own time limit. */
		options->connect_timeout_ms = options->handshake_timeout_ms =
		    !sweep->hurried ? -1 : sweep->secure ? 400 : 120;
		options->close_timeout_ms = sweep->hurried ? 120 : -1;
		options->linger_ms = sweep->hurried ? 120 : -1;
		options->ping_interval_ms = sweep->hurried ? 40 : -1;
		/* Behind our Close there are no pings, and who reads on has this. */
		options->read_timeout_ms = sweep->hurried ? 200 : -1;
	}
}

static void report(struct sweep *sweep, const struct fault_session *session, const struct fault_verdict *verdict)
{
	char text[2048];

	fault_describe(session, text, sizeof text);
	pthread_mutex_lock(&sweep->lock);
	if (atomic_fetch_add(&sweep->complaints, 1) < COMPLAINTS_MAX)
		fprintf(stderr, "%s%s  outside the table:\n%s\n", sweep->compressed ? "compressed, " : "", text,
		    verdict->complaints);
	pthread_mutex_unlock(&sweep->lock);
}

static bool run_point(struct sweep *sweep, struct fault_worker *worker, const struct point *point,
    struct extent *extent)
{
	struct fault_session session = { .script = point->script, .secure = sweep->secure, .hurried = sweep->hurried,
		.plan = { .flow = point->flow, .at = point->at } };
	struct fault_verdict verdict;

	if (sweep->action != NULL) {
		session.plan.ahead = sweep->action->ahead;
		session.plan.behind = sweep->action->behind;
	}
	for (int i = 0; sweep->pace != NULL && i < FAULT_FLOWS; i++)
		session.plan.pace[i] = sweep->pace[i];
	fault_session_run(worker, &session);
	fault_judge(&session, &verdict);
	for (enum fault_flow flow = 0; extent != NULL && flow < FAULT_FLOWS; flow++) {
		extent->start[flow] = session.data_start[flow];
		extent->end[flow] = session.records[flow].passed.size;
	}
	atomic_fetch_add(&totals->sessions, 1);
	if (session.fired) {
		atomic_fetch_add(&totals->faults, 1);
		atomic_fetch_add(&totals->points[sweep->action - actions][sweep->secure], 1);
	}
	atomic_fetch_add(&totals->relayed, verdict.relayed);
	if (!verdict.good)
		report(sweep, &session, &verdict);
	fault_session_clear(&session);
	return session.fired;
}

#define ATTEMPTS 4

static void *work(void *argument)
{
	struct sweep *sweep = argument;
	struct fault_worker worker;
	unsigned i;

	fault_worker_start(&worker, sweep->secure, &sweep->client, &sweep->listener);
	while ((i = atomic_fetch_add(&sweep->next, 1)) < sweep->count &&
	    atomic_load(&sweep->complaints) < COMPLAINTS_MAX) {
		/* Short time limits may have passed before the byte was reached. */
		for (int tries = 0; !run_point(sweep, &worker, &sweep->points[i], NULL) && sweep->hurried; tries++)
			if (tries == ATTEMPTS)
				break;
	}
	fault_worker_stop(&worker);
	return NULL;
}

static void run_workers(struct sweep *sweep, int workers)
{
	pthread_t threads[WORKERS_MAX];

	for (int i = 0; i < workers; i++)
		peer_thread(&threads[i], work, sweep);
	for (int i = 0; i < workers; i++)
		peer_join(threads[i]);
}

/* As a session shows that nothing is done to, however long it takes. */
static struct extent measure(struct sweep *sweep, const struct fault_script *script)
{
	struct point never = { script, TO_SERVER, FAULT_NEVER };
	struct extent extent = { { 0 }, { 0 } };
	struct fault_worker worker;

	fault_worker_start(&worker, sweep->secure, &sweep->client, &sweep->listener);
	run_point(sweep, &worker, &never, &extent);
	fault_worker_stop(&worker);
	return extent;
}

static void add_point(struct sweep *sweep, const struct fault_script *script, enum fault_flow flow, size_t at)
{
	if ((sweep->count & (sweep->count - 1)) == 0)
		sweep->points = realloc(sweep->points, (sweep->count + 1) * 2 * sizeof *sweep->points);
	if (sweep->points == NULL)
		ck_abort_msg("out of memory");
	sweep->points[sweep->count++] = (struct point){ script, flow, at };
}

static bool leave_nothing_out(void)
{
	const char *value = getenv("WSF_FAULTS");

	return value != NULL && strcmp(value, "all") == 0;
}

static void begin_sweep(struct sweep *sweep)
{
	peer_count_begin();
	pthread_mutex_init(&sweep->lock, NULL);
	set_options(sweep);
}

static void end_sweep(struct sweep *sweep)
{
	fault_keys_forget(NULL);
	free(sweep->points);
	pthread_mutex_destroy(&sweep->lock);
	peer_count_end();
	atomic_fetch_add(&totals->complaints, atomic_load(&sweep->complaints));
	ck_assert_msg(atomic_load(&sweep->complaints) == 0, "%u of %u sessions were outside the close table",
	    atomic_load(&sweep->complaints), sweep->count);
}

/* Signatures have not always the same length. */
#define SLACK_BYTES 4

/* Every head_step-th byte of the first script's handshake, and every step-th of all that follows; from the first-th. */
static void sweep_all(struct sweep *sweep, size_t first, size_t head_step, size_t step)
{
	size_t slack = sweep->secure ? SLACK_BYTES : 0;

	head_step *= COARSER;
	step *= COARSER;
	if (leave_nothing_out())
		head_step = step = 1;
	begin_sweep(sweep);
	for (const struct fault_script *script = scripts; script < scripts + COUNT(scripts); script++) {
		struct extent extent = measure(sweep, script);

		for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++) {
			size_t start = extent.start[flow] - slack, end = extent.end[flow] + slack;

			for (size_t at = first % head_step; script == scripts && at < start; at += head_step)
				add_point(sweep, script, flow, at);
			/* Another one in each script, so that all have their turn. */
			for (size_t at = start + first++ % step; at <= end; at += step)
				add_point(sweep, script, flow, at);
		}
	}
	sweep->hurried = sweep->action->ahead == FAULT_STALL;
	set_options(sweep);
	/* Where time limits have to pass, all wait at once. */
	run_workers(sweep, !sweep->hurried ? 4 : sweep->secure ? WORKERS_MAX / 4 : WORKERS_MAX);
	end_sweep(sweep);
}

/* --- the tests --- */

/* _i: action */
START_TEST(every_byte_of_a_plain_session)
{
	struct sweep sweep = { .action = &actions[_i] };

	sweep_all(&sweep, 0, 1, 1);
}
END_TEST

START_TEST(every_byte_of_a_compressed_session)
{
	struct sweep sweep = { .action = &actions[_i], .compressed = true };

	sweep_all(&sweep, (size_t)_i, 31, sweep.action->ahead == FAULT_STALL ? 3 : 1);
}
END_TEST

/* What is in a record counts when all of it is there, so each is hit, and most of their bytes are not. */
START_TEST(every_record_of_a_secure_session)
{
	struct sweep sweep = { .action = &actions[_i], .secure = true };
	bool stall = sweep.action->ahead == FAULT_STALL;

	sweep_all(&sweep, (size_t)_i, stall ? 101 : 31, stall ? 19 : 7);
}
END_TEST

/* --- what only takes its time --- */

static const struct pace {
	const char *name;
	struct fault_pace flows[FAULT_FLOWS];
} paces[] = {
	{ "single bytes", { { .piece_bytes = 1, .gap_us = 20 }, { .piece_bytes = 1, .gap_us = 20 } } },
	{ "single bytes to the server, blocks to the client", { { .piece_bytes = 1 }, { .quiet_us = 3000 } } },
	{ "single bytes to the client, blocks to the server", { { .quiet_us = 3000 }, { .piece_bytes = 1 } } },
	{ "merged", { { .quiet_us = 4000 }, { .quiet_us = 4000 } } },
	{ "delayed", { { .gap_us = 5000 }, { .gap_us = 5000 } } },
	{ "one direction long behind the other", { { .gap_us = 20000 }, { 0 } } },
	{ "the other direction long behind", { { 0 }, { .gap_us = 20000 } } },
	{ "bursts", { { .quiet_us = 100, .jitter_us = 6000 }, { .quiet_us = 100, .jitter_us = 6000 } } },
	{ "pieces", { { .piece_bytes = 7, .jitter_us = 600 }, { .piece_bytes = 5, .jitter_us = 600 } } },
};

/* _i: pace, then plain, compressed, secure, or both */
START_TEST(a_slow_network_loses_nothing)
{
	struct sweep sweep = { .pace = paces[_i % COUNT(paces)].flows };
	int kind = _i / COUNT(paces);

	sweep.compressed = COMPRESSION && kind % 2 == 1;
	sweep.secure = kind / 2 == 1;
	begin_sweep(&sweep);
	/* Alone: OpenSSL notes things in certificates at their first use, in a way that ThreadSanitizer can't see. */
	(void)measure(&sweep, scripts);
	for (int i = 0; i < COUNT(scripts); i++)
		add_point(&sweep, &scripts[i], TO_SERVER, FAULT_NEVER);
	run_workers(&sweep, COUNT(scripts));
	end_sweep(&sweep);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("faults_network");
	TCase *slow = wire_case(suite, "slow"), *plain = wire_case(suite, "plain");
	TCase *compressed = wire_case(suite, "compressed"), *secure = wire_case(suite, "secure");
	TCase *cases[] = { slow, plain, compressed, secure };
	int result;

	totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED)
		return EXIT_FAILURE;
	for (int i = 0; leave_nothing_out() && i < COUNT(cases); i++)
		tcase_set_timeout(cases[i], 3600);
	pki_begin();
	tcase_add_loop_test(slow, a_slow_network_loses_nothing, 0, COUNT(paces) * 4);
	tcase_add_loop_test(plain, every_byte_of_a_plain_session, 0, COUNT(actions));
	if (COMPRESSION)
		tcase_add_loop_test(compressed, every_byte_of_a_compressed_session, 0, COUNT(actions));
	tcase_add_loop_test(secure, every_record_of_a_secure_session, 0, COUNT(actions));
	result = wire_run(suite);
	pki_end();
	printf("%u sessions, %u faults, %u outside the close table; %u receipts on a relay's word\n",
	    atomic_load(&totals->sessions), atomic_load(&totals->faults), atomic_load(&totals->complaints),
	    atomic_load(&totals->relayed));
	return result;
}
