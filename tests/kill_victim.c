/* SPDX-License-Identifier: 0BSD */
/*
 * The process that test_kill.c kills: kill_victim KIND URL SEED CERTIFICATE KEY AUTHORITY. A URL with port 0 is one to
 * listen at. It reports on standard output, one line at a time: "url URL", "start", "sent BYTES", "closing BYTES". Only
 * the public interface, and no Check.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsfile.h>

#include "kill.h"

static enum kill_kind kind;
static uint64_t seed;

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "victim: %s: %s; %s\n", what, strerror(errno), ws_last_error()->text);
	_exit(3);
}

/* Not by stdio: a line is either with the kernel or not. */
static void report(const char *what, const char *value)
{
	char line[300];
	int size = snprintf(line, sizeof line, "%s%s%s\n", what, value != NULL ? " " : "", value != NULL ? value : "");

	if (write(1, line, (size_t)size) != size)
		give_up("write");
}

static void report_bytes(const char *what, uint64_t bytes)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
	report(what, text);
}

/* The survivor's word comes before it is killed. */
static void start(FILE *reader)
{
	if (kind == KILL_OPENING)
		return;
	if (fgetc(reader) != 'g')
		give_up("no greeting");
	report("start", NULL);
}

/* --- what it does; it never returns from what has no end --- */

static void *write_for_ever(void *stream)
{
	static uint8_t block[65536];
	uint64_t offset = 0, state = seed;
	size_t size;

	for (;;) {
		size = kind == KILL_SMALL ? 1 + kill_random(&state, 200) : 1 + kill_random(&state, sizeof block);
		kill_fill(offset, block, size);
		if (fwrite(block, 1, size, stream) != size || (kind == KILL_SMALL && fflush(stream) != 0))
			give_up("fwrite");
		offset += size;
	}
	return NULL;
}

/* Until the end, which has to be EOF. */
static uint64_t read_all(FILE *stream)
{
	static uint8_t block[65536];
	uint64_t offset = 0;
	size_t size;

	while ((size = fread(block, 1, sizeof block, stream)) > 0) {
		if (!kill_matches(offset, block, size))
			give_up("other bytes than were sent");
		offset += size;
	}
	if (ferror(stream))
		give_up("fread");
	return offset;
}

static void exchange(FILE *half[2])
{
	pthread_t thread;

	start(half[0]);
	if (pthread_create(&thread, NULL, write_for_ever, half[1]) != 0)
		give_up("pthread_create");
	read_all(half[0]);
}

static void echo(FILE *stream)
{
	char block[4096];
	ssize_t size;

	while ((size = ws_read_some(stream, block, sizeof block)) > 0)
		if (fwrite(block, 1, (size_t)size, stream) != (size_t)size || fflush(stream) != 0)
			give_up("fwrite");
	give_up("no more to echo");
}

static void write_and_tell(FILE *stream)
{
	static uint8_t block[20000];
	uint64_t offset = 0, state = seed;
	size_t size;

	for (;;) {
		size = 1 + kill_random(&state, sizeof block);
		kill_fill(offset, block, size);
		if (fwrite(block, 1, size, stream) != size || ws_drain(stream, -1) != 0)
			give_up("ws_drain");
		offset += size;
		report_bytes("sent", offset);
	}
}

static void write_and_close(FILE *stream)
{
	static uint8_t block[KILL_MOST_BYTES];
	uint64_t state = seed;
	size_t size = kill_random(&state, 2) == 0 ? kill_random(&state, 300) : kill_random(&state, sizeof block);

	kill_fill(0, block, size);
	if (fwrite(block, 1, size, stream) != size)
		give_up("fwrite");
	report_bytes("closing", size);
	if (fclose(stream) != 0)
		give_up("fclose");
}

static void act(FILE *stream)
{
	if (kind != KILL_OPENING)
		start(stream);
	switch (kind) {
	case KILL_ECHO:
		echo(stream);
		break;
	case KILL_SENT:
		write_and_tell(stream);
		break;
	case KILL_ANSWERING:
		read_all(stream);
		/* fall through */
	case KILL_CLOSING:
		write_and_close(stream);
		break;
	default:
		write_for_ever(stream);
	}
}

/* --- opening --- */

static struct ws_listener *listen_at(const char *url, const struct ws_options *options)
{
	struct ws_listener *listener = ws_listen(url, options);

	if (listener == NULL)
		give_up(url);
	report("url", ws_listener_url(listener));
	return listener;
}

int main(int argc, char *argv[])
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener = NULL;
	FILE *half[2], *stream;
	bool pair, secure;

	alarm(100);
	if (argc != 7)
		return 2;
	kind = (enum kill_kind)strtoul(argv[1], NULL, 10);
	seed = strtoull(argv[3], NULL, 10);
	secure = strncmp(argv[2], "wss", 3) == 0;
	pair = kind == KILL_BULK || kind == KILL_SMALL;
	if (strstr(argv[2], ":0/") != NULL) {
		options.cert_file = secure ? argv[4] : NULL;
		options.key_file = secure ? argv[5] : NULL;
		listener = listen_at(argv[2], &options);
	} else {
		options.ca_file = secure ? argv[6] : NULL;
	}
	if (kind == KILL_OPENING)
		report("start", NULL);
	if (pair) {
		if ((listener != NULL ? ws_accept_pair(listener, half) : ws_fopen_pair(argv[2], &options, half)) != 0)
			give_up("pair");
		exchange(half);
	} else {
		stream = listener != NULL ? ws_accept(listener, "r+") : ws_fopen_with(argv[2], "r+", &options);
		if (stream == NULL)
			give_up("open");
		act(stream);
	}
	for (;;)
		pause();
}
