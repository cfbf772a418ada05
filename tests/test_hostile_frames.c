/* SPDX-License-Identifier: 0BSD */
/*
 * Peers that are let in and then want all there is: floods of what costs them little, lengths that promise much,
 * bytes that come now and then, and peers that never read. What is held stays bounded, other streams go on, and every
 * wait has its end. WSF_TEST_HOSTILE makes the floods so many times as long.
 */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "hostile.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define ROUND_BYTES 65536
#define ROUNDS 128			/* of a flood: 8 MiB */
#define EXCHANGES 50
/* How far a flood may come during one exchange of the good stream: the helper sees to both; measured: 0 to 5. */
#define ROUNDS_AN_EXCHANGE 100
/* Of what becomes a thousand times as much; measured: below 1. */
#define BOMB_ROUNDS_AN_EXCHANGE 20
/* Of the library's processor time for each byte of a flood; measured: 3 to 30 ns. */
#define NS_A_BYTE 2000
/* What floods may add to the memory: the stream's own rings and buffers, with much to spare, and nothing that grows. */
#define FLOOD_BYTES ((size_t)8 << 20)

static struct ws_listener *listen_aside(void)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	return listener;
}

static struct ws_options quick_options(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.close_timeout_ms = 200;
	return options;
}

/* --- floods --- */

static const struct {
	const char *name;
	int first;			/* a frame before, with one byte; -1 = none */
	unsigned byte0;
	size_t size;			/* of the payload */
} floods[] = {
	{ "empty pings", -1, PEER_PING, 0 },
	{ "pings of one byte", -1, PEER_PING, 1 },
	{ "long pings", -1, PEER_PING, 125 },
	{ "empty pongs", -1, PEER_PONG, 0 },
	{ "long pongs", -1, PEER_PONG, 125 },
	{ "empty messages", -1, PEER_BINARY, 0 },
	{ "messages of one byte", -1, PEER_BINARY, 1 },
	{ "fragments of one byte", 0x02, 0x00, 1 },
	{ "empty fragments", 0x02, 0x00, 0 },
	{ "pings between fragments", 0x02, PEER_PING, 3 },
};

/* As many of the frame as fit; returns the size. */
static size_t fill_round(uint8_t round[ROUND_BYTES], unsigned byte0, bool mask, size_t payload_bytes)
{
	uint8_t head[14];
	size_t head_bytes = peer_frame_head(head, byte0, mask, payload_bytes), used = 0;

	while (used + head_bytes + payload_bytes <= ROUND_BYTES) {
		memcpy(round + used, head, head_bytes);
		memset(round + used + head_bytes, 'x', payload_bytes);
		used += head_bytes + payload_bytes;
	}
	return used;
}

/* The program reads what there is. */
static void *read_all(void *argument)
{
	char bytes[65536];

	while (fread(bytes, 1, sizeof bytes, argument) == sizeof bytes)
		;
	return NULL;
}

static void expect_progress(struct flood *flood, const char *name, unsigned most_rounds)
{
	struct ws_listener *aside = listen_aside();
	struct good good;
	uint64_t before, passed;

	good_open(&good, aside, NULL);
	flood_wait(flood, 1);
	before = atomic_load(&flood->rounds);
	good_exchange(&good, EXCHANGES);
	passed = atomic_load(&flood->rounds) - before;
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%s: %.2f rounds an exchange\n", name, (double)passed / EXCHANGES);
	insist(passed <= (uint64_t)EXCHANGES * most_rounds, "%s: %llu rounds for %d exchanges", name,
	    (unsigned long long)passed, EXCHANGES);
	insist(!atomic_load(&flood->refused), "%s: cut", name);
	good_close(&good);
	ws_listener_close(aside);
}

/* _i: the flood, the role, and whether the peer reads what comes back */
START_TEST(a_flood_is_borne_and_others_go_on)
{
	int kind = _i / 4;
	const char *name = floods[kind].name;
	uint64_t least = hostile_share(ROUNDS) * hostile_factor(), rounds;
	int64_t cpu;
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .reads = (_i & 1) != 0, .most_rounds = UINT64_MAX };
	struct ws_options options = quick_options();
	struct wire wire;
	pthread_t reader;
	size_t before;

	wire_open(&wire, (_i & 2) != 0 ? LIBRARY_IS_CLIENT : LIBRARY_IS_SERVER, "r", &options, 0);
	if (floods[kind].first >= 0)
		wire_frame(&wire, (unsigned)floods[kind].first, "x", 1);
	flood.fd = wire.peer;
	flood.size = fill_round(round, floods[kind].byte0, wire.peer_masks, floods[kind].size);
	peer_thread(&reader, read_all, wire.stream);
	before = hostile_resident();
	cpu = hostile_cpu_ns();
	flood_begin(&flood);
	expect_progress(&flood, name, ROUNDS_AN_EXCHANGE);
	flood_wait(&flood, least);
	rounds = atomic_load(&flood.rounds);
	flood_end(&flood);
	cpu = hostile_cpu_ns() - cpu;
	hostile_expect_resident(before + FLOOD_BYTES, name);
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%s: %llu rounds, %.1f ns a byte\n", name, (unsigned long long)rounds,
		    (double)cpu / (double)(rounds * flood.size));
	insist(cpu / (int64_t)(rounds * flood.size) < NS_A_BYTE, "%s: %lld ns of processor time a byte", name,
	    (long long)(cpu / (int64_t)(rounds * flood.size)));
	peer_reset(wire.peer);
	wire.peer = -1;
	peer_join(reader);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/* A message of 65536 zeros, so that no limit on growth forbids it. The mask is 0. */
static const uint8_t bomb[6 + 79] = { 0xc2, 0x80 | 79, 0, 0, 0, 0,
	0xec, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, [6 + 77] = 0x6a };

/* _i: whether the program reads, or all of it is thrown away */
START_TEST(compression_bombs_are_borne_and_others_go_on)
{
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .reads = true, .most_rounds = UINT64_MAX };
	struct ws_options options = quick_options();
	struct ws_listener *listener;
	pthread_t reader;
	unsigned port;
	FILE *stream;
	size_t before;

	peer_count_begin();
	options.compression = WS_COMPRESSION_ON;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	if (listener == NULL && errno == EPROTONOSUPPORT)
		return;
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	flood.fd = peer_connect(port);
	peer_client_handshake(flood.fd, port, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
	stream = ws_accept(listener, _i == 1 ? "r" : "w");
	ck_assert_ptr_nonnull(stream);
	for (; flood.size + sizeof bomb <= ROUND_BYTES; flood.size += sizeof bomb)
		memcpy(round + flood.size, bomb, sizeof bomb);
	before = hostile_resident();
	if (_i == 1)
		peer_thread(&reader, read_all, stream);
	flood_begin(&flood);
	expect_progress(&flood, "bombs", BOMB_ROUNDS_AN_EXCHANGE);
	flood_end(&flood);
	hostile_expect_resident(before + FLOOD_BYTES, "bombs");
	peer_reset(flood.fd);
	if (_i == 1)
		peer_join(reader);
	ck_assert_int_eq(fclose(stream), EOF);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* A flood keeps a reader busy, and gives it nothing. */
START_TEST(a_read_times_out_amid_a_flood)
{
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .reads = true, .most_rounds = UINT64_MAX };
	struct ws_options options = quick_options();
	struct wire wire;

	options.read_timeout_ms = 300;
	wire_open(&wire, (enum wire_role)_i, "r", &options, 0);
	flood.fd = wire.peer;
	flood.size = fill_round(round, PEER_PING, wire.peer_masks, 0);
	flood_begin(&flood);
	flood_wait(&flood, 1);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(fgetc(wire.stream), EOF);
		ck_assert_msg(errno == ETIMEDOUT, "%s", strerror(errno));
		clearerr(wire.stream);
	}
	flood_end(&flood);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/* --- observers --- */

struct slow {
	sem_t go;
	atomic_uint told, missed, closed;
};

static void observe_slowly(const struct ws_event *event, void *user)
{
	struct slow *slow = user;

	sem_wait(&slow->go);
	sem_post(&slow->go);
	atomic_fetch_add(&slow->told, 1);
	atomic_fetch_add(&slow->missed, event->missed);
	if (event->type == WS_EVENT_CLOSED)
		atomic_fetch_add(&slow->closed, 1);
}

START_TEST(a_flood_of_pings_waits_for_a_slow_observer_in_bounded_memory)
{
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .reads = true, .most_rounds = ROUNDS };
	struct ws_options options = quick_options();
	struct slow slow = { .told = 0 };
	struct wire wire;
	size_t before;

	sem_init(&slow.go, 0, 0);
	options.observer = observe_slowly;
	options.observer_user = &slow;
	wire_open(&wire, (enum wire_role)_i, "w", &options, 0);
	before = hostile_heap();
	flood.fd = wire.peer;
	flood.size = fill_round(round, PEER_PING, wire.peer_masks, 125);
	flood_begin(&flood);
	flood_wait(&flood, flood.most_rounds);
	flood_end(&flood);
	/* Behind them all. */
	wire_say(&wire, "x");
	wire_wait_received(wire.stream, 1);
	hostile_expect_heap(before + 262144, "events that wait");
	sem_post(&slow.go);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_fclose(&wire, ECONNRESET);
	ck_assert_uint_eq(atomic_load(&slow.closed), 1);
	/* OPEN, 64 pings, one that was being told, and the end. */
	ck_assert_uint_gt(atomic_load(&slow.missed), 0);
	wire_end(&wire);
	sem_destroy(&slow.go);
}
END_TEST

/* --- lengths --- */

static const uint64_t lengths[] = { 1 << 20, (uint64_t)1 << 32, (uint64_t)1 << 62, INT64_MAX };

/* Nothing is allocated for what is only announced. */
START_TEST(a_declared_length_costs_nothing)
{
	enum { STREAMS = 20 };
	struct ws_options options = quick_options();
	size_t before_heap, before_resident;
	struct wire wires[STREAMS];
	uint8_t head[14];

	for (int i = 0; i < STREAMS; i++)
		wire_open(&wires[i], (enum wire_role)(_i % 2), "r", &options, 0);
	before_heap = hostile_heap();
	before_resident = hostile_resident();
	for (int i = 0; i < STREAMS; i++) {
		peer_send(wires[i].peer, head, peer_frame_head(head, PEER_BINARY, wires[i].peer_masks,
		    lengths[_i / 2]));
		peer_send(wires[i].peer, "first", 5);
		wire_wait_received(wires[i].stream, 5);
	}
	hostile_expect_heap(before_heap + 65536, "declared lengths");
	hostile_expect_resident(before_resident + (size_t)STREAMS * 65536, "declared lengths");
	for (int i = 0; i < STREAMS; i++) {
		peer_reset(wires[i].peer);
		wires[i].peer = -1;
		wire_fclose(&wires[i], ECONNRESET);
	}
	for (int i = STREAMS - 1; i >= 0; i--)
		wire_end(&wires[i]);
}
END_TEST

/* --- slow ones --- */

/* One byte of a frame now and then: the program's own limit ends the wait, and nothing is lost. */
START_TEST(a_frame_that_trickles_holds_up_nobody)
{
	static const uint8_t plain[] = { 0x82, 126, 0, 126 }, masked[] = { 0x82, 0xfe, 0, 126, 0, 0, 0, 0 };
	struct ws_options options = quick_options();
	struct ws_listener *aside;
	struct wire wire;
	struct good good;
	const uint8_t *head;
	size_t size;

	options.read_timeout_ms = 20;
	wire_open(&wire, (enum wire_role)_i, "r", &options, 0);
	aside = listen_aside();
	good_open(&good, aside, NULL);
	head = wire.peer_masks ? masked : plain;
	size = wire.peer_masks ? sizeof masked : sizeof plain;
	for (size_t i = 0; i < size; i++) {
		peer_send(wire.peer, head + i, 1);
		ck_assert_int_eq(fgetc(wire.stream), EOF);
		ck_assert_msg(errno == ETIMEDOUT, "%s", strerror(errno));
		clearerr(wire.stream);
		good_exchange(&good, 3);
	}
	ws_set_timeouts(wire.stream, -1, -1);
	for (int i = 0; i < 126; i++) {
		peer_send(wire.peer, "x", 1);
		ck_assert_int_eq(fgetc(wire.stream), 'x');
	}
	good_close(&good);
	ws_listener_close(aside);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

/* --- peers that never read --- */

static void fill(FILE *stream)
{
	static char block[65536];

	while (fwrite(block, 1, sizeof block, stream) == sizeof block && fflush(stream) == 0)
		;
}

/* _i: the role; then what ends the write: its time limit, or that the peer is silent. */
START_TEST(a_peer_that_never_reads_ends_the_write)
{
	struct ws_options options = quick_options();
	bool keepalive = _i / 2 == 1;
	struct wire wire;
	size_t before;

	if (keepalive)
		options.ping_interval_ms = 200;
	else
		options.write_timeout_ms = 200;
	wire_open(&wire, (enum wire_role)(_i % 2), "w", &options, 4096);
	before = hostile_resident();
	errno = 0;
	fill(wire.stream);
	ck_assert_msg(errno == ETIMEDOUT || (keepalive && errno == EPIPE), "%s", strerror(errno));
	ck_assert_uint_le(ws_unsent(wire.stream), options.send_buffer_bytes + options.stdio_buffer_bytes);
	hostile_expect_resident(before + FLOOD_BYTES, "what was not read");
	wire_fclose(&wire, ETIMEDOUT);
	wire_end(&wire);
}
END_TEST

/* It does not read, but it pings: our answers are kept to the last one. */
START_TEST(pongs_that_nobody_reads_stay_within_the_buffer)
{
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .most_rounds = hostile_share(ROUNDS) };
	struct ws_options options = quick_options();
	struct wire wire;

	options.send_buffer_bytes = 4096;
	wire_open(&wire, (enum wire_role)_i, "w", &options, 4096);
	flood.fd = wire.peer;
	flood.size = fill_round(round, PEER_PING, wire.peer_masks, 125);
	flood_begin(&flood);
	flood_wait(&flood, flood.most_rounds);
	ck_assert_uint_le(ws_unsent(wire.stream), 4096);
	ck_assert_msg(!atomic_load(&flood.refused), "cut");
	flood_end(&flood);
	wire_fclose(&wire, ETIMEDOUT);
	wire_end(&wire);
}
END_TEST

/* fclose, with a full buffer and a peer that reads nothing and pings on. */
START_TEST(fclose_ends_in_time_whatever_the_peer_does)
{
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .most_rounds = UINT64_MAX };
	struct ws_options options = quick_options();
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", &options, 4096);
	ws_set_nonblocking(wire.stream, true);
	while (ws_write_some(wire.stream, round, sizeof round) > 0)
		;
	flood.fd = wire.peer;
	flood.size = fill_round(round, PEER_PING, wire.peer_masks, 125);
	flood_begin(&flood);
	flood_wait(&flood, 1);
	wire_fclose(&wire, ETIMEDOUT);
	flood_end(&flood);
	wire_end(&wire);
}
END_TEST

/* --- a long write --- */

struct writer {
	FILE *stream;
	uint8_t *data;
	size_t size;
	atomic_bool done;
};

static void *write_long(void *argument)
{
	struct writer *writer = argument;

	insist(fwrite(writer->data, 1, writer->size, writer->stream) == writer->size, "%s", strerror(errno));
	insist(fflush(writer->stream) == 0, "%s", strerror(errno));
	atomic_store(&writer->done, true);
	return NULL;
}

/*
 * A peer that reads as fast as it gets: the writer never waits for it, and compresses for long. The helper thread has
 * to answer its pings all the same, and has others to look after.
 */
START_TEST(a_long_write_holds_up_nobody)
{
	struct ws_options options = quick_options();
	static uint8_t round[ROUND_BYTES];
	struct flood flood = { .block = round, .reads = true, .most_rounds = UINT64_MAX };
	/* Nobody instruments zlib. */
	struct writer writer = { .size = (HOSTILE_SANITIZED ? 24 : hostile_share(24)) << 20 };
	struct ws_listener *listener, *aside;
	unsigned port, exchanges = 0;
	pthread_t thread;
	struct good good;

	peer_count_begin();
	options.compression = WS_COMPRESSION_ON;
	options.compression_level = 9;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	if (listener == NULL && errno == EPROTONOSUPPORT)
		return;
	ck_assert_ptr_nonnull(listener);
	aside = listen_aside();
	good_open(&good, aside, NULL);
	port = peer_url_port(ws_listener_url(listener));
	flood.fd = peer_connect(port);
	peer_client_handshake(flood.fd, port, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
	writer.stream = ws_accept(listener, "w");
	ck_assert_ptr_nonnull(writer.stream);
	writer.data = malloc(writer.size);
	ck_assert_ptr_nonnull(writer.data);
	wire_pattern(0, writer.data, writer.size);
	flood.size = peer_frame_head(round, PEER_PING, true, 0);
	flood_begin(&flood);
	peer_thread(&thread, write_long, &writer);
	while (!atomic_load(&writer.done)) {
		good_exchange(&good, 1);
		exchanges++;
	}
	peer_join(thread);
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%u exchanges\n", exchanges);
	ck_assert_msg(exchanges >= 5, "only %u exchanges during a long write", exchanges);
	flood_end(&flood);
	peer_reset(flood.fd);
	ck_assert_int_eq(fclose(writer.stream), EOF);
	free(writer.data);
	good_close(&good);
	ws_listener_close(listener);
	ws_listener_close(aside);
	peer_count_end();
}
END_TEST

static void *fill_until_cut_off(void *argument)
{
	errno = 0;
	fill(argument);
	insist(errno == EPIPE, "%s", strerror(errno));
	return NULL;
}

/* _i: the role; then whether the peer reads in the end. */
START_TEST(a_write_that_linger_cuts_off_ends)
{
	struct ws_options options = quick_options();
	struct ws_status status = WS_STATUS_INIT;
	bool reads = _i / 2 == 1;
	struct wire wire;
	pthread_t writer;

	/* More than the socket takes at once: the helper has to send the rest. */
	options.send_buffer_bytes = 8 << 20;
	options.linger_ms = 200;
	if (reads)
		options.close_timeout_ms = 60000;
	wire_open(&wire, (enum wire_role)(_i % 2), "w", &options, 4096);
	wire_goodbye(&wire, 1000, "");
	peer_thread(&writer, fill_until_cut_off, wire.stream);
	while (status.close_code_sent != 1011) {
		ck_assert_int_eq(ws_status(wire.stream, &status), 0);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	if (reads)
		wire_finish(&wire, WIRE_NO_ANSWER);
	peer_join(writer);
	wire_fclose(&wire, EPIPE);
	if (reads) {
		wire_finished(&wire);
		ck_assert_uint_eq(wire.close_code, 1011);
	}
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_frames");
	TCase *flood = wire_case(suite, "floods"), *slow = wire_case(suite, "slow");
	TCase *never = wire_case(suite, "never_read"), *writes = wire_case(suite, "long_write");

	tcase_add_loop_test(flood, a_flood_is_borne_and_others_go_on, 0, 4 * COUNT(floods));
	tcase_add_loop_test(flood, compression_bombs_are_borne_and_others_go_on, 0, 2);
	tcase_add_loop_test(flood, a_read_times_out_amid_a_flood, 0, WIRE_ROLES);
	tcase_add_loop_test(flood, a_flood_of_pings_waits_for_a_slow_observer_in_bounded_memory, 0, WIRE_ROLES);
	tcase_add_loop_test(slow, a_declared_length_costs_nothing, 0, WIRE_ROLES * COUNT(lengths));
	tcase_add_loop_test(slow, a_frame_that_trickles_holds_up_nobody, 0, WIRE_ROLES);
	tcase_add_loop_test(never, a_peer_that_never_reads_ends_the_write, 0, 2 * WIRE_ROLES);
	tcase_add_loop_test(never, pongs_that_nobody_reads_stay_within_the_buffer, 0, WIRE_ROLES);
	tcase_add_loop_test(never, fclose_ends_in_time_whatever_the_peer_does, 0, WIRE_ROLES);
	tcase_add_test(writes, a_long_write_holds_up_nobody);
	tcase_add_loop_test(writes, a_write_that_linger_cuts_off_ends, 0, 2 * WIRE_ROLES);
	return wire_run(suite);
}
