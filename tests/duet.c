/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "duet.h"
#include "peer.h"

#define BLOCK_BYTES 4096

/* ck_assert writes a mark to Check's pipe on success too: far too slow for a bulk transfer. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* --- opening and closing --- */

static struct ws_listener *listen_at(const char *url, const struct ws_options *options)
{
	struct ws_listener *listener = ws_listen(url, options);

	insist(listener != NULL, "%s: %s", url, ws_last_error()->text);
	return listener;
}

void duet_join(struct duet *duet, struct ws_listener *listener, const char *url, const struct ws_options *client,
    const char *mode)
{
	*duet = (struct duet){ 0 };
	duet->client = ws_fopen_with(url != NULL ? url : ws_listener_url(listener), mode, client);
	insist(duet->client != NULL, "%s: %s", ws_listener_url(listener), ws_last_error()->text);
	duet->server = ws_accept(listener, mode);
	insist(duet->server != NULL, "%s", ws_last_error()->text);
}

void duet_open(struct duet *duet, const char *url, const struct ws_options *listener, const struct ws_options *client,
    const char *mode)
{
	struct ws_listener *own = listen_at(url, listener);

	duet_join(duet, own, NULL, client, mode);
	duet->listener = own;
}

void duet_open_pairs(struct duet *duet, const char *url, const struct ws_options *listener,
    const struct ws_options *client)
{
	*duet = (struct duet){ .listener = listen_at(url, listener) };
	insist(ws_fopen_pair(ws_listener_url(duet->listener), client, duet->client_half) == 0, "%s",
	    ws_last_error()->text);
	insist(ws_accept_pair(duet->listener, duet->server_half) == 0, "%s", ws_last_error()->text);
}

static void *close_stream(void *stream)
{
	if (stream != NULL)
		insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	return NULL;
}

static void close_both(FILE *one, FILE *other)
{
	pthread_t thread;

	peer_thread(&thread, close_stream, one);
	close_stream(other);
	peer_join(thread);
}

void duet_close(struct duet *duet)
{
	close_both(duet->client, duet->server);
	close_both(duet->client_half[1], duet->server_half[1]);
	close_both(duet->client_half[0], duet->server_half[0]);
	ck_assert_int_eq(ws_listener_close(duet->listener), 0);
	*duet = (struct duet){ 0 };
}

static void pass_line(FILE *from, FILE *to, const char *text)
{
	char line[64];

	insist(fputs(text, from) >= 0 && fflush(from) == 0, "cannot write: %s", strerror(errno));
	errno = 0;
	insist(fgets(line, sizeof line, to) != NULL, "cannot read: feof %d, %s", feof(to), strerror(errno));
	ck_assert_str_eq(line, text);
}

void duet_greet(struct duet *duet)
{
	pass_line(duet->client, duet->server, "how do you do\n");
	pass_line(duet->server, duet->client, "how do you do?\n");
}

void duet_pass_bytes(struct duet *duet)
{
	for (int i = 0; i < 2000; i++) {
		FILE *from = i % 2 == 0 ? duet->client : duet->server, *to = i % 2 == 0 ? duet->server : duet->client;

		insist(fputc(i % 251, from) != EOF && fflush(from) == 0 && fgetc(to) == i % 251, "byte %d: %s", i,
		    strerror(errno));
	}
}

static void expect_line(FILE *from, const char *word, int number)
{
	char line[64], right[64];

	ck_assert_ptr_nonnull(fgets(line, sizeof line, from));
	snprintf(right, sizeof right, "%s %d\n", word, number);
	ck_assert_str_eq(line, right);
}

void duet_alternate(struct duet *duet, int lines)
{
	for (int i = 0; i < lines; i++)
		fprintf(duet->server, "line %d\n", i);
	ck_assert_int_eq(fflush(duet->server), 0);
	for (int i = 0; i < lines; i++) {
		expect_line(duet->client, "line", i);
		ck_assert_int_gt(fprintf(duet->client, "got %d\n", i), 0);
		if (i % 7 == 0)
			ck_assert_int_eq(fflush(duet->client), 0);
	}
	ck_assert_int_eq(fflush(duet->client), 0);
	for (int i = 0; i < lines; i++)
		expect_line(duet->server, "got", i);
}

/* --- data --- */

static uint32_t next_number(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void fill_noise(uint32_t state, uint8_t out[BLOCK_BYTES])
{
	for (size_t i = 0; i < BLOCK_BYTES; i += 4) {
		uint32_t number = next_number(&state);

		memcpy(out + i, &number, 4);
	}
}

/* Lines of 32 bytes, with characters of one to four. */
static void fill_text(uint32_t state, uint8_t out[BLOCK_BYTES])
{
	for (size_t i = 0; i < BLOCK_BYTES; i += 32) {
		char line[40];

		snprintf(line, sizeof line, "line %06u r\xc3\xa9sum\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 .\n",
		    next_number(&state) % 1000000);
		memcpy(out + i, line, 32);
	}
}

static void fill_block(enum duet_kind kind, uint32_t state, uint8_t out[BLOCK_BYTES])
{
	if (kind == DUET_MIXED)
		kind = (enum duet_kind)(state / 7 % DUET_MIXED);
	if (kind == DUET_NOISE)
		fill_noise(state, out);
	else if (kind == DUET_TEXT)
		fill_text(state, out);
	else
		memset(out, 0, BLOCK_BYTES);
}

void duet_fill(enum duet_kind kind, unsigned end, uint64_t offset, void *out, size_t size)
{
	uint8_t block[BLOCK_BYTES], *next = out;

	while (size > 0) {
		size_t start = (size_t)(offset % BLOCK_BYTES), part = BLOCK_BYTES - start;

		if (part > size)
			part = size;
		fill_block(kind, (uint32_t)(offset / BLOCK_BYTES) * 2654435761u + end * 977 + 12345, block);
		memcpy(next, block + start, part);
		next += part;
		offset += part;
		size -= part;
	}
}

struct flow {
	FILE *stream;
	enum duet_kind kind;
	unsigned end;			/* whose data */
	uint64_t bytes;
	size_t most;
	bool to_the_end;		/* half-close, and see EOF */
	pthread_t thread;
};

/* Now a byte, now a few, now most: message and record boundaries fall everywhere. */
static size_t vary(uint32_t *state, const struct flow *flow, uint64_t left)
{
	static const size_t divisors[] = { 1, 1, 2, 3, 17, 1000 };
	size_t size = flow->most / divisors[next_number(state) % 6];

	size = size > 0 ? size - next_number(state) % (size / 4 + 1) : 1;
	return size < left ? size : (size_t)left;
}

static void *write_flow(void *argument)
{
	struct flow *flow = argument;
	uint32_t state = 4711;
	uint8_t *block = malloc(flow->most);

	insist(block != NULL, "out of memory");
	for (uint64_t done = 0; done < flow->bytes;) {
		size_t size = vary(&state, flow, flow->bytes - done);

		duet_fill(flow->kind, flow->end, done, block, size);
		insist(fwrite(block, 1, size, flow->stream) == size, "cannot write: %s", strerror(errno));
		done += size;
	}
	free(block);
	insist(fflush(flow->stream) == 0, "cannot flush: %s", strerror(errno));
	if (flow->to_the_end)
		insist(ws_shutdown(flow->stream, 1000, NULL) == 0, "ws_shutdown: %s", strerror(errno));
	return NULL;
}

static void *read_flow(void *argument)
{
	struct flow *flow = argument;
	uint8_t got[16384], right[16384];
	uint64_t done = 0;

	while (done < flow->bytes) {
		size_t want = flow->bytes - done < sizeof got ? (size_t)(flow->bytes - done) : sizeof got;

		errno = 0;
		insist(fread(got, 1, want, flow->stream) == want, "behind %llu: feof %d, %s",
		    (unsigned long long)done, feof(flow->stream), strerror(errno));
		duet_fill(flow->kind, flow->end, done, right, want);
		insist(memcmp(got, right, want) == 0, "wrong bytes behind %llu", (unsigned long long)done);
		done += want;
	}
	if (flow->to_the_end)
		insist(fgetc(flow->stream) == EOF && feof(flow->stream) && !ferror(flow->stream), "no EOF: %s",
		    strerror(errno));
	return NULL;
}

void duet_exchange(struct duet *duet, enum duet_kind kind, uint64_t bytes, size_t most)
{
	struct flow flows[4] = {
		{ .stream = duet->client_half[1], .end = 0 },
		{ .stream = duet->server_half[0], .end = 0 },
		{ .stream = duet->server_half[1], .end = 1 },
		{ .stream = duet->client_half[0], .end = 1 },
	};

	for (int i = 0; i < 4; i++) {
		flows[i].kind = kind;
		flows[i].bytes = bytes;
		flows[i].most = most;
		flows[i].to_the_end = true;
		peer_thread(&flows[i].thread, i % 2 == 0 ? write_flow : read_flow, &flows[i]);
	}
	for (int i = 0; i < 4; i++)
		peer_join(flows[i].thread);
}

void duet_carry(struct duet *duet, unsigned end, enum duet_kind kind, uint64_t bytes, size_t most)
{
	struct flow writer = { .stream = end == 0 ? duet->client : duet->server, .kind = kind, .end = end,
		.bytes = bytes, .most = most };
	struct flow reader = writer;

	reader.stream = end == 0 ? duet->server : duet->client;
	peer_thread(&writer.thread, write_flow, &writer);
	read_flow(&reader);
	peer_join(writer.thread);
}
