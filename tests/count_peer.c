/* SPDX-License-Identifier: 0BSD */
#include "count_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wsfile.h"

#define BLOCK_BYTES ((size_t)65536)
#define LINE_BYTES 64
#define URL_BYTES 128
#define PATIENCE_MS 60000

struct order {
	enum count_task task;
	size_t size, chunk;
};

void count_insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "count_paths: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void opened(const void *thing, const char *what)
{
	if (thing != NULL)
		return;
	fprintf(stderr, "count_paths: %s: %s\n", what, ws_last_error()->text);
	exit(EXIT_FAILURE);
}

/* One end is under valgrind, perhaps on a busy machine. */
static struct ws_options patient_options(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.handshake_timeout_ms = options.close_timeout_ms = PATIENCE_MS;
	return options;
}

static FILE *open_client(const char *url)
{
	struct ws_options options = patient_options();
	FILE *stream;

	options.verify = WS_VERIFY_OFF;
	stream = ws_fopen_with(url, "r+", &options);
	opened(stream, url);
	return stream;
}

static struct ws_listener *open_listener(const char *cert_file, const char *key_file)
{
	struct ws_options options = patient_options();
	const char *url = cert_file != NULL ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/";
	struct ws_listener *listener;

	options.cert_file = cert_file;
	options.key_file = key_file;
	listener = ws_listen(url, &options);
	opened(listener, url);
	return listener;
}

static FILE *accept_one(struct ws_listener *listener)
{
	FILE *stream = ws_accept(listener, "r+");

	opened(stream, "accept");
	count_insist(ws_listener_close(listener) == 0, "listener");
	return stream;
}

/* --- the counting program's side --- */

static void start(struct count_peer *peer, char *arguments[])
{
	int orders[2], answers[2];

	count_insist(pipe(orders) == 0 && pipe(answers) == 0, "pipe");
	peer->pid = fork();
	count_insist(peer->pid != -1, "fork");
	if (peer->pid == 0) {
		dup2(orders[0], STDIN_FILENO);
		dup2(answers[1], STDOUT_FILENO);
		close(orders[0]);
		close(orders[1]);
		close(answers[0]);
		close(answers[1]);
		execv(arguments[0], arguments);
		_exit(127);
	}
	close(orders[0]);
	close(answers[1]);
	peer->orders = orders[1];
	peer->answers = answers[0];
}

void count_peer_open(struct count_peer *peer, const char *program, bool we_serve, const char *cert_file,
    const char *key_file)
{
	struct ws_listener *listener = we_serve ? open_listener(cert_file, key_file) : NULL;
	char url[URL_BYTES] = "";
	char *arguments[] = {
		(char *)(uintptr_t)program,
		(char *)(uintptr_t)"--peer",
		(char *)(uintptr_t)(we_serve ? ws_listener_url(listener) : "listen"),
		(char *)(uintptr_t)(we_serve ? NULL : cert_file),
		(char *)(uintptr_t)(we_serve ? NULL : key_file),
		NULL,
	};

	peer->we_serve = we_serve;
	start(peer, arguments);
	if (!we_serve)
		count_insist(read(peer->answers, url, sizeof url - 1) > 0, "the peer's URL");
	peer->stream = we_serve ? accept_one(listener) : open_client(url);
}

void count_peer_close(struct count_peer *peer)
{
	int status;

	close(peer->orders);
	count_insist(fclose(peer->stream) == 0, "fclose");
	close(peer->answers);
	count_insist(waitpid(peer->pid, &status, 0) == peer->pid && status == 0, "the peer failed");
}

void count_peer_order(struct count_peer *peer, enum count_task task, size_t size, size_t chunk)
{
	struct order order = { .task = task, .size = size, .chunk = chunk };

	count_insist(write(peer->orders, &order, sizeof order) == (ssize_t)sizeof order, "order");
}

void count_peer_wait(struct count_peer *peer)
{
	char byte;

	count_insist(read(peer->answers, &byte, 1) == 1, "answer");
}

/* --- the peer's process --- */

static char block[BLOCK_BYTES];

static void do_sink(FILE *stream, size_t size)
{
	static char sink[BLOCK_BYTES];

	while (size > 0) {
		size_t part = size < sizeof sink ? size : sizeof sink;

		count_insist(fread(sink, 1, part, stream) == part, "peer: fread");
		size -= part;
	}
}

static void do_source(FILE *stream, size_t size, size_t chunk, bool flushed)
{
	for (size_t done = 0; done < size; done += chunk) {
		count_insist(fwrite(block, 1, chunk, stream) == chunk, "peer: fwrite");
		if (flushed)
			count_insist(fflush(stream) == 0, "peer: fflush");
	}
	count_insist(fflush(stream) == 0, "peer: fflush");
}

static void do_echo(FILE *stream, size_t size, size_t chunk)
{
	char text[LINE_BYTES];

	count_insist(chunk <= sizeof text, "peer: chunk");
	for (size_t done = 0; done < size; done += chunk)
		count_insist(fread(text, 1, chunk, stream) == chunk && fwrite(text, 1, chunk, stream) == chunk &&
		    fflush(stream) == 0, "peer: echo");
}

static void obey(FILE *stream, const struct order *order)
{
	switch (order->task) {
	case COUNT_SINK:
		do_sink(stream, order->size);
		break;
	case COUNT_SOURCE:
		do_source(stream, order->size, order->chunk, false);
		break;
	case COUNT_SOURCE_FLUSHED:
		do_source(stream, order->size, order->chunk, true);
		break;
	case COUNT_ECHO:
		do_echo(stream, order->size, order->chunk);
		return;
	}
	count_insist(write(STDOUT_FILENO, "", 1) == 1, "peer: answer");
}

static FILE *open_peer(int argc, char **argv)
{
	struct ws_listener *listener;
	const char *url;

	if (strcmp(argv[2], "listen") != 0)
		return open_client(argv[2]);
	listener = open_listener(argc > 4 ? argv[3] : NULL, argc > 4 ? argv[4] : NULL);
	url = ws_listener_url(listener);
	count_insist(write(STDOUT_FILENO, url, strlen(url)) == (ssize_t)strlen(url), "peer: URL");
	return accept_one(listener);
}

int count_peer_main(int argc, char **argv)
{
	FILE *stream = open_peer(argc, argv);
	struct order order;

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = i % LINE_BYTES == LINE_BYTES - 1 ? '\n' : 'x';
	while (read(STDIN_FILENO, &order, sizeof order) == (ssize_t)sizeof order)
		obey(stream, &order);
	count_insist(fclose(stream) == 0, "peer: fclose");
	return EXIT_SUCCESS;
}
