/* SPDX-License-Identifier: 0BSD */
/*
 * What tools/instructions.py runs under callgrind: the library's paths of reading and writing, each a fixed amount of
 * data, several times. What counts is inside the functions counted_…, in the thread that calls them. At the end of each
 * round round_ends() prints what it was:
 *
 *	name unit units
 *
 * The other end is a process of its own and not slowed down: no counted write meets a full socket, no counted read an
 * empty one (but for "turn"), and the reader receives by itself. So the counts are those of the path, not of the
 * moment.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "count_peer.h"
#include "pki.h"
#include "wsfile.h"

#define ROUNDS 7
#define LINE_BYTES 64
/* That are sent at once. */
#define MESSAGES ((size_t)1000)
#define TURNS_BEFORE 64
/* Read at a connection's beginning. */
#define WARM_BYTES ((size_t)16777216)

static char block[65536];

/* --- what is counted: one call each, as a function of its own that callgrind finds --- */

#define COUNTED __attribute__((noinline)) static

typedef void counted(FILE *stream, size_t chunk);

COUNTED void counted_write(FILE *stream, size_t chunk)
{
	count_insist(fwrite(block, 1, chunk, stream) == chunk, "fwrite");
}

COUNTED void counted_write_flushed(FILE *stream, size_t chunk)
{
	count_insist(fwrite(block, 1, chunk, stream) == chunk && fflush(stream) == 0, "fwrite, fflush");
}

COUNTED void counted_read(FILE *stream, size_t chunk)
{
	count_insist(fread(block, 1, chunk, stream) == chunk, "fread");
}

/* Past stdio's buffer, which fread of the GNU C library is not for a FILE of this kind. */
COUNTED void counted_read_some(FILE *stream, size_t chunk)
{
	for (size_t done = 0; done < chunk;) {
		ssize_t n = ws_read_some(stream, block, chunk - done);

		count_insist(n > 0, "ws_read_some");
		done += (size_t)n;
	}
}

COUNTED void counted_getline(FILE *stream, size_t chunk)
{
	static char *line;
	static size_t size;

	count_insist(getline(&line, &size, stream) == (ssize_t)chunk, "getline");
}

COUNTED void counted_turn(FILE *stream, size_t chunk)
{
	count_insist(fwrite(block, 1, chunk, stream) == chunk && fflush(stream) == 0 &&
	    fread(block, 1, chunk, stream) == chunk, "a message and its echo");
}

COUNTED void counted_flush(FILE *stream)
{
	count_insist(fflush(stream) == 0, "fflush");
}

/* --- what is not --- */

/* A reader that has waited a few times receives by itself from then on. */
static void turn(struct count_peer *peer, size_t turns)
{
	char text[LINE_BYTES] = "";

	count_peer_order(peer, COUNT_ECHO, turns * LINE_BYTES, LINE_BYTES);
	for (size_t i = 0; i < turns; i++)
		count_insist(fwrite(text, 1, sizeof text, peer->stream) == sizeof text &&
		    fflush(peer->stream) == 0 && fread(text, 1, sizeof text, peer->stream) == sizeof text, "echo");
}

/* The kernel lets more and more be on its way, up to its limit. */
static void warm_up(struct count_peer *peer)
{
	count_peer_order(peer, COUNT_SOURCE, WARM_BYTES, sizeof block);
	for (size_t done = 0; done < WARM_BYTES; done += sizeof block)
		count_insist(fread(block, 1, sizeof block, peer->stream) == sizeof block, "fread");
	count_peer_wait(peer);
}

/* --- paths --- */

struct path {
	const char *name;
	counted *step;
	size_t chunk, calls;		/* of a round, which fits into the sockets' buffers */
	const char *unit;
	size_t units;			/* a round has */
	enum count_task task;
	bool secure;			/* counted over TLS, too */
};

static const struct path paths[] = {
	{ "write-64k", counted_write, 65536, 16, "MiB", 1, COUNT_SINK, true },
	{ "write-1k", counted_write, 1024, 1024, "MiB", 1, COUNT_SINK, true },
	{ "write-64-flushed", counted_write_flushed, LINE_BYTES, 1000, "1000", 1, COUNT_SINK, false },
	{ "read-some-64k", counted_read_some, 65536, 16, "MiB", 1, COUNT_SOURCE, true },
	{ "read-64k", counted_read, 65536, 16, "MiB", 1, COUNT_SOURCE, true },
	{ "read-1k", counted_read, 1024, 1024, "MiB", 1, COUNT_SOURCE, true },
	{ "read-64-messages", counted_read, LINE_BYTES, 4000, "1000", 4, COUNT_SOURCE_FLUSHED, false },
	{ "getline-64", counted_getline, LINE_BYTES, 16384, "MiB", 1, COUNT_SOURCE, false },
	{ "turn-64", counted_turn, LINE_BYTES, 1000, "1000", 1, COUNT_ECHO, false },
};

/* As a function of its own, too. */
COUNTED void round_ends(const char *line)
{
	puts(line);
	fflush(stdout);
}

static void write_round(struct count_peer *peer, const struct path *path, const char *line)
{
	count_peer_order(peer, COUNT_SINK, path->calls * path->chunk, 0);
	for (size_t i = 0; i < path->calls; i++)
		path->step(peer->stream, path->chunk);
	counted_flush(peer->stream);
	round_ends(line);
	count_peer_wait(peer);
}

static void turn_round(struct count_peer *peer, const struct path *path, const char *line)
{
	turn(peer, TURNS_BEFORE);
	count_peer_order(peer, COUNT_ECHO, path->calls * path->chunk, path->chunk);
	for (size_t i = 0; i < path->calls; i++)
		path->step(peer->stream, path->chunk);
	round_ends(line);
}

/*
 * Block by block, each when it is all there: so the number of receives, and where one cuts a TLS record, does not
 * depend on the moment.
 */
static void read_round(struct count_peer *peer, const struct path *path, const char *line)
{
	bool messages = path->task == COUNT_SOURCE_FLUSHED;
	size_t size = messages ? MESSAGES * path->chunk : sizeof block, calls = size / path->chunk;

	turn(peer, TURNS_BEFORE);
	for (size_t i = 0; i < path->calls; i++) {
		if (i % calls == 0) {
			count_peer_order(peer, path->task, size, messages ? path->chunk : size);
			count_peer_wait(peer);
		}
		path->step(peer->stream, path->chunk);
	}
	round_ends(line);
}

static void count_path(struct count_peer *peer, const struct path *path, bool secure)
{
	char line[128];

	snprintf(line, sizeof line, "%s.%s.%s %s %zu", secure ? "wss" : "ws", peer->we_serve ? "server" : "client",
	    path->name, path->unit, path->units);
	for (int i = 0; i < ROUNDS; i++) {
		if (path->task == COUNT_SINK)
			write_round(peer, path, line);
		else if (path->task == COUNT_ECHO)
			turn_round(peer, path, line);
		else
			read_round(peer, path, line);
	}
}

static void count_connection(const char *program, bool we_serve, bool secure)
{
	struct count_peer peer;

	count_peer_open(&peer, program, we_serve, secure ? pki_file("server.pem") : NULL,
	    secure ? pki_file("server.key") : NULL);
	warm_up(&peer);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (paths[i].secure || !secure)
			count_path(&peer, &paths[i], secure);
	count_peer_close(&peer);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--peer") == 0)
		return count_peer_main(argc, argv);
	pki_begin();
	for (int i = 0; i < 4; i++)
		count_connection(argv[0], i % 2 == 1, i >= 2);
	pki_end();
	return EXIT_SUCCESS;
}
