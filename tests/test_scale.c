/* SPDX-License-Identifier: 0BSD */
/*
 * Many streams in one process, both ends of each: every byte arrives, one that nobody reads holds up no other, pings
 * are answered on all, idle ones are cheap, and all of them close in any order. The environment's WSF_TEST_STREAMS and
 * WSF_TEST_STREAM_BYTES make it more: connections (a fifth as many with TLS), and bytes over each.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bytes.h"
#include "memcheck.h"
#include "pki.h"
#include "wire.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define WORKERS 4
#define PIECE_BYTES ((size_t)16384)
#define RING_BYTES ((size_t)65536)
/* More than all buffers between two ends hold while nobody reads. */
#define SLOW_BYTES ((uint64_t)16 << 20)
/* Of one end that is idle: generous, so that only a ring or a buffer that is kept breaks it. */
#define IDLE_BYTES 16384
#define IDLE_SECURE_BYTES 65536
#define IDLE_WAIT_MS 20000
#define PING_ROUNDS 5
/* Descriptors that are no streams'. */
#define SPARE_DESCRIPTORS 64

/* ck_assert writes a mark to Check's pipe on success too: far too slow for a bulk transfer. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* --- how many --- */

static size_t from_environment(const char *name, size_t usual)
{
	const char *text = getenv(name);

	return text != NULL ? (size_t)strtoul(text, NULL, 10) : usual;
}

static size_t stream_count(bool secure)
{
	size_t plain = from_environment("WSF_TEST_STREAMS", under_valgrind() ? 50 : SANITIZED ? 150 : 500);

	return secure ? plain / 5 : plain;
}

static size_t stream_bytes(void)
{
	return from_environment("WSF_TEST_STREAM_BYTES", 65536);
}

static void raise_descriptor_limit(size_t connections)
{
	struct rlimit limit;
	size_t needed = 2 * connections + SPARE_DESCRIPTORS;

	insist(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit: %s", strerror(errno));
	insist(limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= needed,
	    "%zu connections need %zu descriptors, and the hard limit is %llu", connections, needed,
	    (unsigned long long)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	insist(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit: %s", strerror(errno));
}

/* --- a crowd of connections --- */

struct crowd {
	struct ws_listener *listener;
	size_t count;
	FILE **end[2];			/* client, server */
};

static struct ws_options crowd_options(bool secure)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.linger_ms = 0;
	if (secure) {
		options.cert_file = pki_file("server.pem");
		options.key_file = pki_file("server.key");
	}
	return options;
}

static void crowd_open(struct crowd *crowd, size_t count, bool secure, const struct ws_options *listener)
{
	struct ws_options client = *listener;

	raise_descriptor_limit(count);
	*crowd = (struct crowd){ .count = count };
	client.cert_file = client.key_file = NULL;
	client.ca_file = secure ? pki_file("ca.pem") : NULL;
	crowd->listener = ws_listen(secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", listener);
	insist(crowd->listener != NULL, "%s", ws_last_error()->text);
	for (int end = 0; end < 2; end++)
		insist((crowd->end[end] = calloc(count, sizeof(FILE *))) != NULL, "out of memory");
	for (size_t i = 0; i < count; i++) {
		crowd->end[0][i] = ws_fopen_with(ws_listener_url(crowd->listener), "r+", &client);
		insist(crowd->end[0][i] != NULL, "stream %zu: %s", i, ws_last_error()->text);
		crowd->end[1][i] = ws_accept(crowd->listener, "r+");
		insist(crowd->end[1][i] != NULL, "stream %zu: %s", i, ws_last_error()->text);
	}
}

/* In a new order each time. */
static void shuffle(FILE **streams, size_t count, uint32_t state)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = next_number(&state) % i;
		FILE *other = streams[j];

		streams[j] = streams[i - 1];
		streams[i - 1] = other;
	}
}

struct closer {
	FILE **streams;
	size_t count;
};

static void *close_all(void *argument)
{
	struct closer *closer = argument;

	for (size_t i = 0; i < closer->count; i++)
		insist(fclose(closer->streams[i]) == 0, "fclose of stream %zu: %s", i, strerror(errno));
	return NULL;
}

/* Both ends of each, in any order, in some threads. linger_ms is 0: each end answers a Close while it is still open. */
static void crowd_close(struct crowd *crowd, size_t threads)
{
	size_t all = 2 * crowd->count, share = (all + threads - 1) / threads;
	FILE **streams = calloc(all, sizeof *streams);
	struct closer closer[WORKERS];
	pthread_t thread[WORKERS];

	insist(streams != NULL && threads <= WORKERS, "out of memory");
	for (int end = 0; end < 2; end++) {
		memcpy(streams + (size_t)end * crowd->count, crowd->end[end], crowd->count * sizeof *streams);
		free(crowd->end[end]);
	}
	shuffle(streams, all, (uint32_t)(all + threads));
	for (size_t i = 0, at = 0; i < threads; i++, at += closer[i - 1].count) {
		closer[i] = (struct closer){ streams + at, all - at < share ? all - at : share };
		peer_thread(&thread[i], close_all, &closer[i]);
	}
	for (size_t i = 0; i < threads; i++)
		peer_join(thread[i]);
	free(streams);
	ck_assert_int_eq(ws_listener_close(crowd->listener), 0);
}

/* --- data over all of them --- */

/* Stream i is written at one end by one worker and read at the other by the next. */
struct exchange {
	struct crowd *crowd;
	uint64_t bytes;
	uint64_t from;			/* so that no two exchanges are alike */
	pthread_t thread[WORKERS];
};

struct worker {
	struct exchange *exchange;
	size_t number;
};

static uint64_t place(const struct exchange *exchange, size_t stream, uint64_t done)
{
	return exchange->from + stream * 7919 + done;
}

static void write_piece(const struct exchange *exchange, size_t stream, uint64_t done, size_t size)
{
	FILE *file = exchange->crowd->end[stream % 2][stream];
	uint8_t piece[PIECE_BYTES];

	wire_pattern(place(exchange, stream, done), piece, size);
	insist(fwrite(piece, 1, size, file) == size && fflush(file) == 0, "stream %zu: %s", stream, strerror(errno));
}

static void read_piece(const struct exchange *exchange, size_t stream, uint64_t done, size_t size)
{
	FILE *file = exchange->crowd->end[1 - stream % 2][stream];
	uint8_t piece[PIECE_BYTES];
	size_t count = fread(piece, 1, size, file);

	insist(count == size, "stream %zu: %zu bytes in place of %zu: %s", stream, count, size, strerror(errno));
	insist(wire_pattern_matches(place(exchange, stream, done), piece, size), "stream %zu: wrong bytes behind %llu",
	    stream, (unsigned long long)done);
}

/*
 * A piece to each of its streams, then one from each of the next worker's. Two pieces are on their way at most, so that
 * no write waits for a reader.
 */
static void *work(void *argument)
{
	struct worker *worker = argument;
	const struct exchange *exchange = worker->exchange;

	for (uint64_t done = 0; done < exchange->bytes; done += PIECE_BYTES) {
		uint64_t left = exchange->bytes - done;
		size_t size = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

		for (size_t i = worker->number; i < exchange->crowd->count; i += WORKERS)
			write_piece(exchange, i, done, size);
		for (size_t i = (worker->number + 1) % WORKERS; i < exchange->crowd->count; i += WORKERS)
			read_piece(exchange, i, done, size);
	}
	return NULL;
}

static void exchange(struct crowd *crowd, uint64_t bytes, uint64_t from)
{
	struct exchange exchange = { .crowd = crowd, .bytes = bytes, .from = from };
	struct worker worker[WORKERS];

	for (size_t i = 0; i < WORKERS; i++) {
		worker[i] = (struct worker){ &exchange, i };
		peer_thread(&exchange.thread[i], work, &worker[i]);
	}
	for (size_t i = 0; i < WORKERS; i++)
		peer_join(exchange.thread[i]);
}

/* _i: whether with TLS */
START_TEST(every_byte_of_many_streams_arrives)
{
	struct ws_options options = crowd_options(_i == 1);
	struct crowd crowd;

	peer_count_begin();
	options.recv_buffer_bytes = options.send_buffer_bytes = RING_BYTES;
	crowd_open(&crowd, stream_count(_i == 1), _i == 1, &options);
	exchange(&crowd, stream_bytes(), 0);
	crowd_close(&crowd, WORKERS);
	peer_count_end();
}
END_TEST

/* _i: whether with TLS, then in one thread or several */
START_TEST(all_close_in_any_order)
{
	struct ws_options options = crowd_options(_i / 2 == 1);
	struct crowd crowd;

	peer_count_begin();
	crowd_open(&crowd, stream_count(_i / 2 == 1), _i / 2 == 1, &options);
	crowd_close(&crowd, _i % 2 == 0 ? 1 : WORKERS);
	peer_count_end();
}
END_TEST

/* --- one that nobody reads --- */

struct slow {
	FILE *stream;
	atomic_uint_fast64_t written;
};

static void *write_slow(void *argument)
{
	struct slow *slow = argument;
	uint8_t piece[PIECE_BYTES];

	for (uint64_t done = 0; done < SLOW_BYTES; done += sizeof piece) {
		wire_pattern(done, piece, sizeof piece);
		insist(fwrite(piece, 1, sizeof piece, slow->stream) == sizeof piece, "fwrite: %s", strerror(errno));
		atomic_store(&slow->written, done + sizeof piece);
	}
	insist(fflush(slow->stream) == 0, "fflush: %s", strerror(errno));
	return NULL;
}

static void read_slow(FILE *stream)
{
	uint8_t piece[PIECE_BYTES];

	for (uint64_t done = 0; done < SLOW_BYTES; done += sizeof piece) {
		insist(fread(piece, 1, sizeof piece, stream) == sizeof piece, "fread: %s", strerror(errno));
		insist(wire_pattern_matches(done, piece, sizeof piece), "wrong bytes behind %llu",
		    (unsigned long long)done);
	}
}

/* _i: whether with TLS, then which end is slow */
START_TEST(all_others_complete_while_one_is_not_read)
{
	static const struct timespec moment = { .tv_nsec = 1000000 };
	struct ws_options options = crowd_options(_i / 2 == 1);
	size_t reader = (size_t)_i % 2;
	struct slow slow = { .written = 0 };
	struct crowd crowd;
	pthread_t thread;
	FILE *unread;

	peer_count_begin();
	options.recv_buffer_bytes = options.send_buffer_bytes = RING_BYTES;
	crowd_open(&crowd, stream_count(_i / 2 == 1) / 2, _i / 2 == 1, &options);
	crowd.count--;
	unread = crowd.end[reader][crowd.count];
	slow.stream = crowd.end[1 - reader][crowd.count];
	peer_thread(&thread, write_slow, &slow);
	while (atomic_load(&slow.written) < 2 * RING_BYTES)
		nanosleep(&moment, NULL);
	exchange(&crowd, stream_bytes(), 1);
	insist(atomic_load(&slow.written) < SLOW_BYTES, "all was written, with nobody who read");
	read_slow(unread);
	peer_join(thread);
	crowd.count++;
	crowd_close(&crowd, WORKERS);
	peer_count_end();
}
END_TEST

/* --- pings --- */

struct busy {
	struct crowd crowd;
	atomic_bool stop;
	atomic_uint rounds;
};

static void *be_busy(void *argument)
{
	struct busy *busy = argument;

	while (!atomic_load(&busy->stop)) {
		exchange(&busy->crowd, stream_bytes(), 2 + atomic_load(&busy->rounds));
		atomic_fetch_add(&busy->rounds, 1);
	}
	return NULL;
}

static void ping_all(struct wire *idle, size_t count, int round)
{
	struct peer_frame frame;
	char payload[48];

	for (size_t i = 0; i < count; i++) {
		snprintf(payload, sizeof payload, "%zu in round %d", i, round);
		wire_frame(&idle[i], PEER_PING, payload, strlen(payload));
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(payload, sizeof payload, "%zu in round %d", i, round);
		insist(peer_read_frame(idle[i].peer, &frame) && frame.byte0 == PEER_PONG &&
		    strcmp((char *)frame.payload, payload) == 0, "no pong of stream %zu, round %d", i, round);
		peer_frame_clear(&frame);
	}
}

/* In both roles. Half of them have been read: their reader may receive by itself, and is elsewhere now. */
static void open_idle(struct wire *idle, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		wire_open(&idle[i], (enum wire_role)(i % WIRE_ROLES), "r+", NULL, 0);
		if (i / WIRE_ROLES % 2 == 0) {
			wire_say(&idle[i], "a line\n");
			wire_expect_line(idle[i].stream, "a line\n");
		}
	}
}

static void close_idle(struct wire *idle, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		wire_finish(&idle[i], 1000);
		wire_fclose(&idle[i], 0);
		wire_finished(&idle[i]);
		ck_assert_uint_eq(idle[i].close_code, 1000);
		wire_end(&idle[i]);
	}
}

START_TEST(pings_are_answered_on_all_idle_streams_while_others_are_busy)
{
	size_t count = stream_count(true);
	struct ws_options options = crowd_options(false);
	struct wire *idle = calloc(count, sizeof *idle);
	struct busy busy = { .stop = false };
	pthread_t thread;

	insist(idle != NULL, "out of memory");
	peer_count_begin();
	options.recv_buffer_bytes = options.send_buffer_bytes = RING_BYTES;
	crowd_open(&busy.crowd, count, false, &options);
	open_idle(idle, count);
	peer_thread(&thread, be_busy, &busy);
	for (int round = 0; round < PING_ROUNDS || atomic_load(&busy.rounds) < 2; round++)
		ping_all(idle, count, round);
	atomic_store(&busy.stop, true);
	peer_join(thread);
	close_idle(idle, count);
	crowd_close(&busy.crowd, WORKERS);
	free(idle);
	peer_count_end();
}
END_TEST

/* --- memory --- */

static size_t resident_bytes(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	ck_assert_ptr_nonnull(statm);
	ck_assert_int_eq(fscanf(statm, "%*u %lu", &pages), 1);
	fclose(statm);
	return (size_t)pages * 4096;
}

/* _i: whether with TLS. Each has been used before it is idle: a line each way. */
START_TEST(idle_streams_hold_little_memory)
{
	static const struct timespec moment = { .tv_nsec = 50000000 };
	struct ws_options options = crowd_options(_i == 1);
	size_t ends = 2 * stream_count(_i == 1), most = ends * (_i == 1 ? IDLE_SECURE_BYTES : IDLE_BYTES), before, now;
	struct crowd crowd;

	peer_count_begin();
	/* What the process and the helper have once and for all. */
	crowd_open(&crowd, 2, _i == 1, &options);
	before = resident_bytes();
	crowd_close(&crowd, 1);
	crowd_open(&crowd, ends / 2, _i == 1, &options);
	for (size_t i = 0; i < ends; i++) {
		FILE *from = crowd.end[i % 2][i / 2], *to = crowd.end[1 - i % 2][i / 2];

		insist(fputs("a line\n", from) >= 0 && fflush(from) == 0, "%s", strerror(errno));
		wire_expect_line(to, "a line\n");
	}
	/* What was in use is given back after a while. */
	for (int waited_ms = 0; (now = resident_bytes()) > before + most && waited_ms < IDLE_WAIT_MS; waited_ms += 50)
		nanosleep(&moment, NULL);
	ck_assert_msg(now <= before + most, "%zu bytes for each of %zu ends", (now - before) / ends, ends);
	crowd_close(&crowd, WORKERS);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scale");
	TCase *tcase = wire_case(suite, "scale");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, every_byte_of_many_streams_arrives, 0, 2);
	tcase_add_loop_test(tcase, all_close_in_any_order, 0, 4);
	tcase_add_loop_test(tcase, all_others_complete_while_one_is_not_read, 0, 4);
	tcase_add_test(tcase, pings_are_answered_on_all_idle_streams_while_others_are_busy);
	/* A checker's own memory is not the library's. */
	if (!SANITIZED && !under_valgrind())
		tcase_add_loop_test(tcase, idle_streams_hold_little_memory, 0, 2);
	result = wire_run(suite);
	pki_end();
	return result;
}
