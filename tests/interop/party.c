/* SPDX-License-Identifier: 0BSD */
#include "party.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <openssl/evp.h>

#include "../peer.h"

/* Interpreter, script, settings, role, URL, scenario and its three, NULL. */
#define ARGUMENTS_MAX (2 + PARTY_SETTINGS_MAX + 6 + 1)
#define BLOCK_BYTES 65536

static const char *interpreter;
static char script[4096];

/* --- the other side's process --- */

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

/* arguments: role is where the role and behind it the URL have to be. */
static void connect_to_peer(struct party *party, const char **arguments, const char **role,
    const struct ws_options *options)
{
	unsigned port;
	int out[2];
	char url[64];

	ck_assert_int_eq(pipe(out), 0);
	role[0] = "server";
	role[1] = "-";
	party->pid = start(arguments, out[1]);
	peer_thread(&party->watch, watch, party);
	close(out[1]);
	party->port = fdopen(out[0], "r");
	ck_assert_ptr_nonnull(party->port);
	ck_assert_msg(fscanf(party->port, "%u", &port) == 1, "the peer did not start");
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	ck_assert_msg(ws_fopen_pair(url, options, party->half) == 0, "%s", ws_last_error()->text);
}

static void wait_for_peer(struct party *party, const char **arguments, const char **role,
    const struct ws_options *options)
{
	party->listener = ws_listen("ws://127.0.0.1:0/", options);
	ck_assert_msg(party->listener != NULL, "%s", ws_last_error()->text);
	role[0] = "client";
	role[1] = ws_listener_url(party->listener);
	party->pid = start(arguments, -1);
	peer_thread(&party->watch, watch, party);
	ck_assert_msg(ws_accept_pair(party->listener, party->half) == 0, "%s", ws_last_error()->text);
}

void party_open(struct party *party, bool library_is_server, const struct ws_options *options,
    const char *const *settings, const char *scenario, const char *first, const char *second, const char *third)
{
	const char *arguments[ARGUMENTS_MAX] = { interpreter, script };
	const char **role = arguments + 2;

	for (; settings != NULL && *settings != NULL; settings++) {
		ck_assert_int_lt(role - arguments, 2 + PARTY_SETTINGS_MAX);
		*role++ = *settings;
	}
	role[2] = scenario;
	role[3] = first;
	role[4] = second;
	role[5] = third;
	peer_count_begin();
	memset(party, 0, sizeof *party);
	party->library_is_server = library_is_server;
	if (library_is_server)
		wait_for_peer(party, arguments, role, options);
	else
		connect_to_peer(party, arguments, role, options);
}

void party_end(struct party *party, int error)
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

/* The peers' scripts make them in the same way. Every second block can be compressed. */
static uint8_t *bytes_of(const char *name, size_t size)
{
	static const char letters[] = "etaoin shrdlucm\n";
	uint8_t *bytes = malloc(size);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	ck_assert(bytes != NULL && context != NULL);
	ck_assert_int_eq(EVP_DigestInit_ex(context, EVP_shake128(), NULL), 1);
	ck_assert_int_eq(EVP_DigestUpdate(context, name, strlen(name)), 1);
	ck_assert_int_eq(EVP_DigestFinalXOF(context, bytes, size), 1);
	EVP_MD_CTX_free(context);
	for (size_t i = 0; i < size; i++)
		if (i / BLOCK_BYTES % 2 != 0)
			bytes[i] = (uint8_t)letters[bytes[i] & 15];
	return bytes;
}

void *party_write(void *argument)
{
	static const size_t sizes[] = { 1, 100, 4096, 65536, 70001, 300000, 2000000 };
	const struct party_writing *writing = argument;
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

void party_expect(FILE *stream, const char *name, size_t total)
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

void party_expect_end(FILE *stream, int error, unsigned code, const char *reason)
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

static bool find(const char *name, const char *directory)
{
	bool node = strcmp(name, "node") == 0;
	int size = snprintf(script, sizeof script, "%s/peer.%s", directory, node ? "js" : "py");

	if (size < 0 || (size_t)size >= sizeof script || access(script, R_OK) != 0) {
		fprintf(stderr, "no script %s\n", script);
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

bool party_find(const char *name, const char *directory)
{
	if (find(name, directory))
		return true;
	printf("SKIPPED: no %s\n", strcmp(name, "node") == 0 ? "node with ws" : "python3 with websockets");
	return false;
}
