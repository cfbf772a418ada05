/* SPDX-License-Identifier: 0BSD */
/*
 * The library against other people's WebSockets, in both roles: "test_interop node|python DIRECTORY", where DIRECTORY
 * has the peers' scripts. Exit 77: that peer is not on this machine.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <openssl/evp.h>

#include "peer.h"
#include "wsfile.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define TOTAL_BYTES ((size_t)64 << 20)
#define SKIPPED 77

static const char *interpreter;
static char script[4096];

/* --- the other side's process --- */

struct party {
	bool library_is_server;
	FILE *half[2];
	struct ws_listener *listener;
	FILE *port;			/* the peer's standard output, where it is the server */
	pid_t pid;
	pthread_t watch;
};

static pid_t start(const char *const *arguments, int out)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	/* It must not outlive a test that failed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(126);
	if (out >= 0 && dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	execvp(arguments[0], (char *const *)arguments);
	_exit(127);
}

/* A peer that fails fails the test at once, whatever the test waits for then. */
static void *watch(void *argument)
{
	const struct party *party = argument;
	int status;

	while (waitpid(party->pid, &status, 0) < 0)
		ck_assert_int_eq(errno, EINTR);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		ck_abort_msg("the peer failed: wait status 0x%x", (unsigned)status);
	return NULL;
}

/* arguments: interpreter, script, then room for role and URL, the scenario and its arguments, NULL. */
static void connect_to_peer(struct party *party, const char **arguments, const struct ws_options *options)
{
	unsigned port;
	int out[2];
	char url[64];

	ck_assert_int_eq(pipe(out), 0);
	arguments[2] = "server";
	arguments[3] = "-";
	party->pid = start(arguments, out[1]);
	peer_thread(&party->watch, watch, party);
	close(out[1]);
	party->port = fdopen(out[0], "r");
	ck_assert_ptr_nonnull(party->port);
	ck_assert_msg(fscanf(party->port, "%u", &port) == 1, "the peer did not start");
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	ck_assert_msg(ws_fopen_pair(url, options, party->half) == 0, "%s", ws_last_error()->text);
}

static void wait_for_peer(struct party *party, const char **arguments, const struct ws_options *options)
{
	party->listener = ws_listen("ws://127.0.0.1:0/", options);
	ck_assert_msg(party->listener != NULL, "%s", ws_last_error()->text);
	arguments[2] = "client";
	arguments[3] = ws_listener_url(party->listener);
	party->pid = start(arguments, -1);
	peer_thread(&party->watch, watch, party);
	ck_assert_msg(ws_accept_pair(party->listener, party->half) == 0, "%s", ws_last_error()->text);
}

static void party_open(struct party *party, bool library_is_server, const struct ws_options *options,
    const char *scenario, const char *first, const char *second, const char *third)
{
	const char *arguments[] = { interpreter, script, NULL, NULL, scenario, first, second, third, NULL };

	peer_count_begin();
	memset(party, 0, sizeof *party);
	party->library_is_server = library_is_server;
	if (library_is_server)
		wait_for_peer(party, arguments, options);
	else
		connect_to_peer(party, arguments, options);
}

/* error: of the last fclose, 0 = it must succeed. The peer, too, must be satisfied. */
static void party_end(struct party *party, int error)
{
	int got;

	fclose(party->half[1]);
	errno = 0;
	got = fclose(party->half[0]) == 0 ? 0 : errno;
	ck_assert_msg(got == error, "fclose: %s", strerror(got));
	peer_join(party->watch);
	ws_listener_close(party->listener);
	if (party->port != NULL)
		fclose(party->port);
	peer_count_end();
}

/* --- data --- */

/* The same bytes on both sides, from a name. */
static uint8_t *bytes_of(const char *name, size_t size)
{
	uint8_t *bytes = malloc(size);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	ck_assert(bytes != NULL && context != NULL);
	ck_assert_int_eq(EVP_DigestInit_ex(context, EVP_shake128(), NULL), 1);
	ck_assert_int_eq(EVP_DigestUpdate(context, name, strlen(name)), 1);
	ck_assert_int_eq(EVP_DigestFinalXOF(context, bytes, size), 1);
	EVP_MD_CTX_free(context);
	return bytes;
}

struct writing {
	FILE *stream;
	const char *name;
	size_t total;
};

static void *write_all(void *argument)
{
	static const size_t sizes[] = { 1, 100, 4096, 65536, 70001, 300000, 2000000 };
	const struct writing *writing = argument;
	uint8_t *bytes = bytes_of(writing->name, writing->total);
	size_t done, part, i;

	for (i = 0, done = 0; done < writing->total; i++, done += part) {
		part = sizes[i % 7] < writing->total - done ? sizes[i % 7] : writing->total - done;
		if (fwrite(bytes + done, 1, part, writing->stream) != part)
			ck_abort_msg("fwrite at %zu: %s", done, strerror(errno));
	}
	ck_assert_int_eq(fflush(writing->stream), 0);
	free(bytes);
	return NULL;
}

/* The next total bytes must be those of name. */
static void expect_bytes(FILE *stream, const char *name, size_t total)
{
	uint8_t *want = bytes_of(name, total), *got = malloc(1 << 20);
	size_t done, part;

	ck_assert_ptr_nonnull(got);
	for (done = 0; done < total; done += part) {
		part = total - done < 1 << 20 ? total - done : 1 << 20;
		errno = 0;
		if (fread(got, 1, part, stream) != part)
			ck_abort_msg("fread at %zu: %s", done, feof(stream) ? "EOF" : strerror(errno));
		if (memcmp(got, want + done, part) != 0)
			ck_abort_msg("wrong bytes behind %zu", done);
	}
	free(want);
	free(got);
}

/* The stream ends here: EOF (0) or error, with the peer's code and reason. */
static void expect_end(FILE *stream, int error, unsigned code, const char *reason)
{
	struct ws_status status = WS_STATUS_INIT;

	errno = 0;
	ck_assert_int_eq(fgetc(stream), EOF);
	ck_assert_msg(ferror(stream) ? errno == error : error == 0, "the reader got %s", strerror(errno));
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_uint_eq(status.close_code_received, code);
	if (reason != NULL)
		ck_assert_str_eq(status.close_reason_received, reason);
}

/* --- tests: _i & 1 is the library's role --- */

START_TEST(megabytes_go_both_ways_and_we_close)
{
	struct party party;
	struct writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, "transfer", "library", NULL, NULL);
	writing = (struct writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, write_all, &writing);
	expect_bytes(party.half[0], "peer", TOTAL_BYTES);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, "library is done"), 0);
	expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(megabytes_go_both_ways_and_the_peer_closes)
{
	struct party party;
	struct writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, "transfer", "peer", NULL, NULL);
	writing = (struct writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, write_all, &writing);
	expect_bytes(party.half[0], "peer", TOTAL_BYTES);
	expect_end(party.half[0], 0, 1000, "peer is done");
	peer_join(thread);
	party_end(&party, 0);
}
END_TEST

struct close_case {
	unsigned code;			/* 0 = none */
	const char *reason;
	int error;			/* of our reader, where the peer closes */
	unsigned answer;		/* what the peer sees then */
};

static const struct close_case closes[] = {
	{ 1000, "", 0, 1000 },
	{ 1000, "done", 0, 1000 },
	{ 1001, "going away", 0, 1000 },
	{ 1003, "unsupported", ECONNABORTED, 1003 },
	{ 1008, "policy", ECONNABORTED, 1008 },
	{ 1011, "crash", ECONNABORTED, 1011 },
	{ 3000, "registered", ECONNABORTED, 3000 },
	{ 4999, "private \xe2\x82\xac", ECONNABORTED, 4999 },
};

/* The peer answers with the same code: that is no failure of its side. */
START_TEST(our_close_arrives_with_code_and_reason)
{
	const struct close_case *one = &closes[_i / 2];
	struct party party;
	char code[16];

	snprintf(code, sizeof code, "%u", one->code);
	party_open(&party, _i & 1, NULL, "closed", code, one->reason, NULL);
	ck_assert_int_eq(ws_shutdown(party.half[1], one->code, one->reason), 0);
	expect_end(party.half[0], 0, one->code, NULL);
	party_end(&party, 0);
}
END_TEST

static void peer_closes(const struct close_case *one, bool library_is_server)
{
	struct party party;
	char code[16], answer[16], data[6];

	snprintf(code, sizeof code, "%u", one->code);
	snprintf(answer, sizeof answer, "%u", one->answer);
	party_open(&party, library_is_server, NULL, "close", code, one->reason, answer);
	ck_assert_uint_eq(fread(data, 1, sizeof data, party.half[0]), sizeof data);
	ck_assert_mem_eq(data, "before", sizeof data);
	expect_end(party.half[0], one->error, one->code != 0 ? one->code : 1005, one->reason);
	party_end(&party, one->error);
}

START_TEST(the_peers_close_arrives_with_code_and_reason)
{
	peer_closes(&closes[_i / 2], _i & 1);
}
END_TEST

START_TEST(texts_go_both_ways)
{
	static const char want[] = "plain" "gr\xc3\xbc\xc3\x9f dich" "\xe2\x82\xac" "\xf0\x9f\x91\x8b" "caf\xc3\xa9 "
	    "\xf0\x9f\x98\x80 \xe4\xbd\xa0\xe5\xa5\xbd" "\xf0\x9f\x91\x8b!";
	struct ws_options options = WS_OPTIONS_INIT;
	struct party party;
	char got[sizeof want];

	options.text_frames = true;
	options.on_text = WS_TEXT_BYTES;
	party_open(&party, _i & 1, &options, "text", NULL, NULL, NULL);
	ck_assert_uint_eq(fread(got, 1, sizeof want - 1, party.half[0]), sizeof want - 1);
	ck_assert_mem_eq(got, want, sizeof want - 1);
	fputs("h\xc3\xa9llo ", party.half[1]);
	ck_assert_int_eq(fflush(party.half[1]), 0);
	fputs("\xe2\x82\xac \xf0\x9f", party.half[1]);
	ck_assert_int_eq(fflush(party.half[1]), 0);
	fputs("\x91\x8b", party.half[1]);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, NULL), 0);
	expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(an_answer_computed_after_the_peers_close_arrives)
{
	struct party party;
	struct writing writing;

	party_open(&party, _i & 1, NULL, "late", NULL, NULL, NULL);
	expect_bytes(party.half[0], "question", 1048576);
	expect_end(party.half[0], 0, 1000, "that was all");
	writing = (struct writing){ party.half[1], "answer", 1048576 };
	write_all(&writing);
	party_end(&party, 0);
}
END_TEST

/* --- Node alone: its streams, and a Close without a code --- */

START_TEST(a_node_stream_echoes)
{
	struct party party;
	struct writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, "echo", NULL, NULL, NULL);
	writing = (struct writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, write_all, &writing);
	expect_bytes(party.half[0], "library", TOTAL_BYTES);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, "library is done"), 0);
	expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(a_node_stream_ends)
{
	struct party party;

	party_open(&party, _i & 1, NULL, "source", NULL, NULL, NULL);
	expect_bytes(party.half[0], "peer", TOTAL_BYTES);
	expect_end(party.half[0], 0, 1005, "");
	party_end(&party, 0);
}
END_TEST

START_TEST(a_close_without_a_code_is_clean)
{
	static const struct close_case none = { 0, "", 0, 1000 };

	peer_closes(&none, _i & 1);
}
END_TEST

/* --- which peer --- */

static bool has_peer(const char *program, const char *option, const char *text)
{
	const char *const arguments[] = { program, option, text, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* What it says about a missing module is no news. */
		if (freopen("/dev/null", "w", stderr) != NULL)
			execvp(program, (char *const *)arguments);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool find_peer(const char *name, const char *directory)
{
	bool node = strcmp(name, "node") == 0;
	int size = snprintf(script, sizeof script, "%s/peer.%s", directory, node ? "js" : "py");

	if (size < 0 || (size_t)size >= sizeof script || access(script, R_OK) != 0) {
		fprintf(stderr, "test_interop: no script %s\n", script);
		exit(2);
	}
	if (node) {
		/* Where Debian keeps its modules. */
		setenv("NODE_PATH", "/usr/share/nodejs", 0);
		interpreter = "node";
		return has_peer(interpreter, "-e", "require('ws')");
	}
	interpreter = "python3";
	if (has_peer(interpreter, "-c", "import websockets"))
		return true;
	interpreter = "/usr/bin/python3";
	return has_peer(interpreter, "-c", "import websockets");
}

static void add_tests(TCase *tcase, bool node)
{
	tcase_add_loop_test(tcase, megabytes_go_both_ways_and_we_close, 0, 2);
	tcase_add_loop_test(tcase, megabytes_go_both_ways_and_the_peer_closes, 0, 2);
	tcase_add_loop_test(tcase, our_close_arrives_with_code_and_reason, 0, 2 * COUNT(closes));
	tcase_add_loop_test(tcase, the_peers_close_arrives_with_code_and_reason, 0, 2 * COUNT(closes));
	tcase_add_loop_test(tcase, texts_go_both_ways, 0, 2);
	tcase_add_loop_test(tcase, an_answer_computed_after_the_peers_close_arrives, 0, 2);
	if (!node)
		return;
	tcase_add_loop_test(tcase, a_node_stream_echoes, 0, 2);
	tcase_add_loop_test(tcase, a_node_stream_ends, 0, 2);
	tcase_add_loop_test(tcase, a_close_without_a_code_is_clean, 0, 2);
}

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failed;

	if (argc != 3 || (strcmp(argv[1], "node") != 0 && strcmp(argv[1], "python") != 0)) {
		fprintf(stderr, "usage: test_interop node|python DIRECTORY\n");
		return 2;
	}
	if (!find_peer(argv[1], argv[2])) {
		printf("SKIPPED: no %s\n", strcmp(argv[1], "node") == 0 ? "node with ws" : "python3 with websockets");
		return SKIPPED;
	}
	suite = suite_create(argv[1]);
	tcase = tcase_create("interop");
	runner = srunner_create(suite);
	tcase_set_timeout(tcase, 120);
	add_tests(tcase, strcmp(argv[1], "node") == 0);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
