/* SPDX-License-Identifier: 0BSD */
/*
 * The hand-over of receiving between the helper thread and the program's reader (stream_private.h), explored: the
 * library's own stream, service and socket code under interleave.h, every schedule within the bounds that stand with
 * each scenario. In all of them: no two threads receive, nor one that does not own receiving; every byte is read once
 * and in order, up to the end that the peer made; everybody's wait ends; nothing is used behind its end, or left over.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "interleave.h"
#include "interleave_world.h"
#include "service_private.h"
#include "stream_private.h"

#define MS INT64_C(1000000)
#define CLOSE_MS 5000
#define RECV_BUFFER 4096
#define HELPER 1				/* the second thread */

struct scenario {
	const char *name;
	void (*program)(void), (*peer)(void), (*other)(void);
	bool reads, writes;
	bool layered;			/* something like TLS takes all from the socket and gives it in pieces */
	size_t ring_bytes;		/* 0 = RECV_BUFFER */
	int read_timeout_ms;
	size_t pongs;			/* the absent program comes back behind so many; 0 = behind our Close */
	int preemptions, early;
	unsigned changes;		/* of the owner, that have to be seen */
};

/* What the threads have done so far. */
static struct {
	size_t peer_sent, read;		/* payload bytes */
	unsigned peer_at, program_at, other_at;
	int receiver;			/* the thread that receives, + 1 */
	bool answered, other_done;
	uint8_t layer[64];		/* of a layered scenario: taken from the socket, not yet received */
	size_t layer_start, layer_bytes;
	size_t out_bytes, pongs, awaited;	/* that the peer got: payload, pongs, those it waited for */
	size_t parsed;
	unsigned close_code;		/* that the peer got, 0 = none */
	enum wsf_receive_owner owner;
	void *(*helper_start)(void *);
	bool helper_done;
	struct wsf_helper *helper;
	struct wsf_stream *stream;
} now;

/* Of the owner, in any of the schedules: bit from * 3 + to. */
static unsigned seen_changes;
#define CHANGE(from, to) (1u << (WSF_OWNER_##from * 3 + WSF_OWNER_##to))
#define HANDED_OVER (CHANGE(HELPER, ASKED) | CHANGE(ASKED, READER))
#define TAKEN_BACK (HANDED_OVER | CHANGE(READER, HELPER))

static const struct scenario *scenario;
static int asked_preemptions = -1, asked_early = -1, asked_scenario = -1;
static struct wsf_options *options;

/* --- what is shared --- */

static uint64_t mix_ring(uint64_t hash, const struct wsf_ring *ring)
{
	size_t bytes = (size_t)(ring->written - ring->kept);
	size_t mask = ring->storage_bytes - 1;

	hash = il_mix(il_mix(il_mix(hash, ring->written), ring->read), ring->kept);
	hash = il_mix(hash, ring->storage_bytes);
	for (size_t i = 0; i < bytes && ring->data != NULL && bytes <= mask + 1; i++)
		hash = il_mix(hash, ring->data[(ring->kept + i) & mask]);
	return hash;
}

#define MIX_FROM_TO(hash, object, from, to) \
	il_mix_bytes(hash, &(object)->from, (size_t)((const char *)&(object)->to - (const char *)&(object)->from))

/* The events' counts only grow: whether a thread has seen the last one is part of that thread's state. */
static uint64_t stream_hash(void)
{
	const struct wsf_stream *stream = now.stream;
	uint64_t hash = 1;

	if (stream == NULL || il_block_bytes(stream) == 0)
		return 0;
	hash = il_mix(hash, atomic_load(&stream->refs));
	hash = il_mix(hash, (uint64_t)stream->endpoint.phase);
	hash = MIX_FROM_TO(hash, stream, endpoint.decoder, transmit_lock);
	hash = mix_ring(il_mix_bytes(hash, &stream->transmit_lock, 8), &stream->send_ring);
	hash = MIX_FROM_TO(hash, stream, pong, lock);
	hash = mix_ring(il_mix_bytes(hash, &stream->lock, 8), &stream->receive_ring);
	return MIX_FROM_TO(hash, stream, filling, joined);
}

/* The link: what follows the transport is the helper's. */
static uint64_t link_hash(uint64_t hash)
{
	const struct wsf_link *link;

	if (now.stream == NULL || il_block_bytes(now.stream) == 0 || (link = now.stream->link) == NULL ||
	    il_block_bytes(link) == 0)
		return hash;
	hash = il_mix(hash, (uint64_t)atomic_load(&link->transport.socket.fd));
	hash = il_mix(hash, atomic_load(&link->transport.socket.users));
	return il_mix_bytes(hash, &link->helper, sizeof *link - offsetof(struct wsf_link, helper));
}

static uint64_t helper_hash(void)
{
	const struct wsf_helper *helper = now.helper;

	if (helper == NULL || il_block_bytes(helper) == 0)
		return 2;
	return il_mix_bytes(atomic_load(&helper->stopping.count), &helper->poller,
	    sizeof *helper - offsetof(struct wsf_helper, poller));
}

static uint64_t shared(const void *mutex)
{
	uint64_t hash;

	if (mutex != NULL && now.stream != NULL && mutex != &now.stream->lock && mutex != &now.stream->transmit_lock)
		return link_hash(helper_hash());
	if (mutex != NULL)
		return stream_hash();
	hash = il_mix(link_hash(stream_hash()), helper_hash());
	hash = il_mix(il_mix(hash, world_hash()), world_loop_hash());
	return il_mix_bytes(hash, &now, sizeof now);
}

static int rank(const void *mutex)
{
	if (now.stream == NULL)
		return 3;
	return mutex == &now.stream->transmit_lock ? 1 : mutex == &now.stream->lock ? 2 : 3;
}

/* Taking bytes from the socket, decoding them and putting them into the ring is one thing, done by the owner. */
static void receiving(void)
{
	enum wsf_receive_owner owner = now.stream->receive_owner;

	if (now.receiver != 0 && now.receiver != il_self() + 1)
		il_fail("two threads receive");
	if ((owner == WSF_OWNER_READER) == (il_self() == HELPER))
		il_fail("a thread receives that does not own receiving");
	now.receiver = il_self() + 1;
}

/* Whether the thread that runs may make this change: the legend in stream_private.h. */
static bool in_legend(enum wsf_receive_owner from, enum wsf_receive_owner to)
{
	const struct wsf_stream *stream = now.stream;
	bool helper = il_self() == HELPER;

	if (helper && stream->gone)
		return to != WSF_OWNER_ASKED;
	if (to == WSF_OWNER_ASKED)
		return !helper && from == WSF_OWNER_HELPER && stream->reading;
	if (to == WSF_OWNER_READER)
		return helper && from == WSF_OWNER_ASKED;
	if (!helper)
		return stream->discarding;
	return !stream->reading && stream->pulls == stream->pulls_seen && il_now_ns() >= stream->look_ns;
}

static void unlocked(const void *mutex)
{
	enum wsf_receive_owner owner;

	if (now.stream == NULL || mutex != &now.stream->lock)
		return;
	owner = now.stream->receive_owner;
	if (owner != now.owner && !in_legend(now.owner, owner))
		il_fail("receiving goes from %d to %d against the legend", now.owner, owner);
	if (owner != now.owner)
		seen_changes |= 1u << (now.owner * 3 + owner);
	now.owner = owner;
}

/* Where it ends: the helper's whole turn, or one receive of the program's. */
enum wsf_next __wrap_wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes);
int __wrap_wsf_stream_receive_locked(struct wsf_stream *stream, struct wsf_receive *receive);
enum wsf_next __real_wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes);
int __real_wsf_stream_receive_locked(struct wsf_stream *stream, struct wsf_receive *receive);

static void received(void)
{
	if (now.receiver == il_self() + 1)
		now.receiver = 0;
}

enum wsf_next __wrap_wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes)
{
	enum wsf_next next = __real_wsf_stream_readable(stream, scratch, scratch_bytes);

	received();
	return next;
}

int __wrap_wsf_stream_receive_locked(struct wsf_stream *stream, struct wsf_receive *receive)
{
	int rv = __real_wsf_stream_receive_locked(stream, receive);

	received();
	return rv;
}

/* --- a layer between socket and stream, which the socket shows nothing of --- */

#define LAYER_PIECE 3

ssize_t __wrap_wsf_transport_receive(void *transport, const struct iovec *iov, int count);
ssize_t __wrap_wsf_transport_receive_wait(void *transport, const struct iovec *iov, int count, int64_t until_ns);
bool __wrap_wsf_transport_pending(void *transport);
ssize_t __real_wsf_transport_receive_wait(void *transport, const struct iovec *iov, int count, int64_t until_ns);
ssize_t __real_wsf_transport_receive(void *transport, const struct iovec *iov, int count);
bool __real_wsf_transport_pending(void *transport);

static ssize_t give_piece(const struct iovec *iov, int count)
{
	size_t done = 0, n;

	for (int i = 0; i < count && done < LAYER_PIECE && now.layer_bytes > 0; i++) {
		n = iov[i].iov_len < LAYER_PIECE - done ? iov[i].iov_len : LAYER_PIECE - done;
		n = n < now.layer_bytes ? n : now.layer_bytes;
		memcpy(iov[i].iov_base, now.layer + now.layer_start, n);
		now.layer_start += n;
		now.layer_bytes -= n;
		done += n;
	}
	return (ssize_t)done;
}

static ssize_t receive_layered(void *transport, const struct iovec *iov, int count, bool wait, int64_t until_ns)
{
	struct iovec all = { now.layer, sizeof now.layer };
	ssize_t n;

	receiving();
	if (now.layer_bytes == 0) {
		n = wait ? __real_wsf_transport_receive_wait(transport, &all, 1, until_ns) :
		    __real_wsf_transport_receive(transport, &all, 1);
		if (n <= 0)
			return n;
		now.layer_start = 0;
		now.layer_bytes = (size_t)n;
	}
	return give_piece(iov, count);
}

ssize_t __wrap_wsf_transport_receive(void *transport, const struct iovec *iov, int count)
{
	return scenario->layered ? receive_layered(transport, iov, count, false, 0) :
	    __real_wsf_transport_receive(transport, iov, count);
}

ssize_t __wrap_wsf_transport_receive_wait(void *transport, const struct iovec *iov, int count, int64_t until_ns)
{
	return scenario->layered ? receive_layered(transport, iov, count, true, until_ns) :
	    __real_wsf_transport_receive_wait(transport, iov, count, until_ns);
}

bool __wrap_wsf_transport_pending(void *transport)
{
	return scenario->layered ? now.layer_bytes > 0 : __real_wsf_transport_pending(transport);
}

/* --- the peer: it masks with zeros --- */

static uint8_t byte_at(size_t position)
{
	return (uint8_t)(position * 7 + position / 251 + 1);
}

static void put(const uint8_t *data, size_t size)
{
	if (size > sizeof world.in - world.in_bytes)
		il_fail("the peer sends too much");
	memcpy(world.in + world.in_bytes, data, size);
	world.in_bytes += size;
}

static void put_frame(uint8_t first, const uint8_t *payload, size_t size)
{
	uint8_t header[8] = { first, (uint8_t)(0x80 | size) };

	if (size < 126) {
		put(header, 6);
	} else {
		header[1] = 0x80 | 126;
		header[2] = (uint8_t)(size >> 8);
		header[3] = (uint8_t)size;
		put(header, 8);
	}
	put(payload, size);
}

static void peer_step(const char *what)
{
	il_forget(++now.peer_at);
	il_point(what);
}

static void put_data(size_t size)
{
	uint8_t payload[16384];

	for (size_t i = 0; i < size; i++)
		payload[i] = byte_at(now.peer_sent + i);
	put_frame(0x82, payload, size);
	now.peer_sent += size;
}

/* A long frame in two pieces. */
static void peer_sends_split(size_t size, size_t first)
{
	size_t end;

	peer_step("peer sends a part");
	put_data(size);
	end = world.in_bytes;
	world.in_bytes = end - size + first;
	peer_step("peer sends the rest");
	world.in_bytes = end;
}

static void peer_sends(size_t size)
{
	peer_step("peer sends");
	put_data(size);
}

static void peer_pings(void)
{
	peer_step("peer pings");
	put_frame(0x89, (const uint8_t *)"p", 1);
}

static void put_close(void)
{
	put_frame(0x88, (const uint8_t *)"\x03\xe8", 2);
}

static void peer_closes(void)
{
	peer_step("peer closes");
	put_close();
}

static void peer_ends(void)
{
	peer_step("peer ends TCP");
	world.in_end = true;
}

static void peer_resets(void)
{
	peer_step("peer resets TCP");
	world.in_reset = true;
}

/* What came from the library: whole frames, not masked. */
static void parse(void)
{
	const uint8_t *at;
	size_t size;

	for (;;) {
		at = world.out + now.parsed;
		if (world.out_bytes < now.parsed + 2 || world.out_bytes < now.parsed + 2 + (size = at[1]))
			return;
		if (at[1] >= 126)
			il_fail("a long or masked frame came out");
		if (now.close_code != 0)
			il_fail("a frame came out behind the Close");
		for (size_t i = 0; at[0] == 0x82 && i < size; i++)
			if (at[2 + i] != byte_at(now.out_bytes + i))
				il_fail("other bytes came out than were written");
		now.out_bytes += at[0] == 0x82 ? size : 0;
		now.pongs += at[0] == 0x8A;
		if (at[0] == 0x88)
			now.close_code = size >= 2 ? (unsigned)at[2] << 8 | at[3] : 1005;
		now.parsed += 2 + size;
	}
}

static bool got_pong(const void *count)
{
	parse();
	return now.pongs >= *(const size_t *)count;
}

static void peer_awaits_pong(size_t count)
{
	il_forget(++now.peer_at);
	(void)il_wait("peer awaits a pong", got_pong, &count, IL_NEVER);
	now.answered = ++now.awaited == scenario->pongs;
}

static bool got_close(const void *unused)
{
	(void)unused;
	parse();
	return now.close_code != 0 || world.out_end;
}

static void peer_awaits_close(void)
{
	il_forget(++now.peer_at);
	(void)il_wait("peer awaits a Close", got_close, NULL, IL_NEVER);
	if (now.close_code == 0)
		il_fail("TCP ended without our Close");
	now.answered = true;
}

static bool got_end(const void *unused)
{
	(void)unused;
	return world.out_end;
}

/* The ordinary end: both Closes, then the server's FIN, then ours. */
static void peer_says_goodbye(void)
{
	peer_closes();
	peer_awaits_close();
	il_forget(++now.peer_at);
	(void)il_wait("peer awaits the end", got_end, NULL, IL_NEVER);
	peer_ends();
}

/* --- the program --- */

static void forget_program(void)
{
	il_forget(il_mix(++now.program_at, now.read));
}

/* Returns as wsf_stream_read; what was read is what the peer sent. */
static ssize_t program_reads(size_t size, enum wsf_read_kind kind)
{
	static uint8_t buffer[16384];
	ssize_t n;

	forget_program();
	n = wsf_stream_read(now.stream, buffer, size, kind);
	for (ssize_t i = 0; i < n; i++)
		if (buffer[i] != byte_at(now.read + (size_t)i))
			il_fail("byte %zu that was read is another than was sent", now.read + (size_t)i);
	if (n > 0)
		now.read += (size_t)n;
	if (now.read > now.peer_sent)
		il_fail("more was read than was sent");
	return n;
}

static void program_reads_to(ssize_t end, size_t size, enum wsf_read_kind kind)
{
	ssize_t n;

	do
		n = program_reads(size, kind);
	while (n > 0);
	if (n != end)
		il_fail("a read gave %zd in place of %zd", n, end);
	if (now.read != now.peer_sent)
		il_fail("only %zu of %zu bytes were read before the end", now.read, now.peer_sent);
}

static bool answered(const void *unused)
{
	(void)unused;
	return now.answered;
}

/* It comes back only when somebody else has answered the peer. */
static void program_is_elsewhere(void)
{
	forget_program();
	(void)il_wait("elsewhere", answered, NULL, IL_NEVER);
}

/* Returns as wsf_stream_close. It waits for others, never for time to pass. */
static int program_closes(void)
{
	int64_t idle_ns = il_idle_ns();
	int rv;

	forget_program();
	rv = wsf_stream_close(now.stream, il_now_ns() + CLOSE_MS * MS);
	if (il_idle_ns() != idle_ns)
		il_fail("close waits for time to pass");
	return rv;
}

static void expect_close(int expected)
{
	int64_t began = il_now_ns();
	int rv = program_closes();

	/* Time may pass while the others could have answered. */
	if (rv != expected && !(rv == -ETIMEDOUT && il_now_ns() >= began + CLOSE_MS * MS))
		il_fail("close gave %d in place of %d", rv, expected);
}

/* --- the helper: service_thread.c starts it, and waits for its end --- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
bool __wrap_wsf_helper_is_self(const struct wsf_helper *helper);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	(void)attributes;
	memset(thread, 0, sizeof *thread);
	now.helper_start = start;
	now.helper = argument;
	return 0;
}

static bool helper_made(const void *unused)
{
	(void)unused;
	return now.helper_start != NULL;
}

static void helper_main(void)
{
	(void)il_wait("be made", helper_made, NULL, IL_NEVER);
	now.helper_start(now.helper);
	now.helper_done = true;
}

static bool helper_done(const void *unused)
{
	(void)unused;
	return now.helper_done;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	(void)thread;
	(void)result;
	(void)il_wait("join", helper_done, NULL, IL_NEVER);
	return 0;
}

/* Its own answer is thread-local, and here all threads are one. */
bool __wrap_wsf_helper_is_self(const struct wsf_helper *helper)
{
	(void)helper;
	return il_self() == HELPER;
}

static void stop_helper(void *helper)
{
	wsf_helper_stop(helper);
}

static bool turned(const void *turns)
{
	return world_loop_turns() >= *(const unsigned *)turns;
}

static void program_main(void)
{
	const struct wsf_stream_setup setup = { .role = WSF_SERVER, .options = options, .fd = -1,
	    .handshake_deadline_ns = WSF_NO_DEADLINE };
	const struct wsf_mode mode = { .read = scenario->reads, .write = scenario->writes };
	struct wsf_helper *helper;
	unsigned turns;

	if (wsf_helper_start(&helper) != 0)
		il_fail("no helper");
	if (wsf_stream_create(&now.stream, &setup) != 0)
		il_fail("no stream");
	/* As behind the handshake. */
	now.stream->opened = true;
	now.stream->endpoint.phase = WSF_PHASE_HEADER;
	if (wsf_link_adopt(helper, WORLD_FD, NULL, now.stream) != 0)
		il_fail("not adopted");
	turns = world_loop_turns() + 1;
	(void)il_wait("adopted", turned, &turns, IL_NEVER);
	wsf_stream_take(now.stream, &mode, stop_helper, helper);
	il_loud();
	scenario->program();
}

/* --- scenarios --- */

static void read_all_then_close(void)
{
	program_reads_to(0, 3, WSF_READ_KEEP);
	expect_close(0);
}

static void send_and_say_goodbye(void)
{
	peer_sends(2);
	peer_sends(3);
	peer_says_goodbye();
}

/* Between two reads the program is elsewhere for long: only the helper can answer then. */
static void read_go_and_read(void)
{
	(void)program_reads(3, WSF_READ_FILL);
	program_is_elsewhere();
	program_reads_to(0, 3, WSF_READ_FILL);
	expect_close(0);
}

static void ping_the_absent(void)
{
	peer_sends(1);
	peer_pings();
	peer_awaits_pong(1);
	peer_sends(2);
	peer_says_goodbye();
}

/* The program is elsewhere for longer than linger_ms: our Close has to come by itself. */
static void close_on_the_absent(void)
{
	peer_sends(1);
	peer_says_goodbye();
}

static void ping_the_reader(void)
{
	peer_pings();
	peer_awaits_pong(1);
	peer_sends(1);
	peer_pings();
	peer_awaits_pong(2);
	peer_says_goodbye();
}

static void read_then_stop(void)
{
	(void)program_reads(3, WSF_READ_KEEP);
	forget_program();
	wsf_stream_stop_reading(now.stream);
	program_is_elsewhere();
	expect_close(0);
}

static void send_and_ping_the_deaf(void)
{
	peer_sends(1);
	peer_sends(2);
	peer_pings();
	peer_awaits_pong(1);
	peer_says_goodbye();
}

static void close_unread(void)
{
	(void)program_reads(1, WSF_READ_KEEP);
	expect_close(0);
}

static void send_until_closed(void)
{
	peer_sends(2);
	peer_sends(1);
	peer_awaits_close();
	peer_says_goodbye();
}

static void read_to_reset(void)
{
	program_reads_to(-ECONNRESET, 3, WSF_READ_SOME);
	expect_close(-ECONNRESET);
}

static void send_and_end(void)
{
	peer_sends(2);
	peer_sends(1);
	peer_ends();
}

static void send_and_reset(void)
{
	peer_sends(2);
	peer_sends(1);
	peer_resets();
}

/* The peer lets go at once: TCP hangs up as soon as our Close is out, with bytes left to be read, or not. */
static void send_close_and_end(void)
{
	peer_sends(2);
	peer_closes();
	peer_ends();
}

static void read_all_and_close_after_end(void)
{
	int rv;

	program_reads_to(0, 1, WSF_READ_SOME);
	rv = program_closes();
	if (rv != 0 && rv != -ETIMEDOUT)
		il_fail("close gave %d", rv);
}

static void read_with_timeout(void)
{
	ssize_t n;

	do
		n = program_reads(3, WSF_READ_SOME);
	while (n > 0 || n == -ETIMEDOUT);
	if (n != 0 || now.read != now.peer_sent)
		il_fail("a read gave %zd behind %zu of %zu bytes", n, now.read, now.peer_sent);
	expect_close(0);
}

static void send_late(void)
{
	peer_sends(1);
	il_forget(++now.peer_at);
	(void)il_wait("peer sleeps", answered, NULL, il_now_ns() + 30 * MS);
	peer_sends(1);
	peer_says_goodbye();
}

/* More than the ring holds: receiving pauses, and goes on when it was read. */
static void send_more_than_fits(void)
{
	for (int i = 0; i < 3; i++)
		peer_sends(1900);
	peer_says_goodbye();
}

static void send_more_and_ping(void)
{
	for (int i = 0; i < 3; i++)
		peer_sends(1900);
	for (size_t i = 1; i <= 2; i++) {
		peer_pings();
		peer_awaits_pong(i);
	}
	peer_says_goodbye();
}

static void read_more_and_go(void)
{
	while (now.read < (size_t)3 * 1900)
		(void)program_reads(1500, WSF_READ_SOME);
	program_is_elsewhere();
	program_reads_to(0, 3, WSF_READ_SOME);
	expect_close(0);
}

static void read_in_pieces(void)
{
	program_reads_to(0, 1500, WSF_READ_KEEP);
	expect_close(0);
}

static void read_much(void)
{
	program_reads_to(0, 1800, WSF_READ_SOME);
	expect_close(0);
}

/* Straight into the program's memory, and what does not fit into the ring. */
static void send_long_frames(void)
{
	peer_sends_split(9000, 100);
	peer_sends(2);
	peer_says_goodbye();
}

/* A ring that is copied from and received into without the lock. */
static void send_to_large_ring(void)
{
	peer_sends(6000);
	peer_sends_split(9000, 500);
	peer_sends(3000);
	peer_says_goodbye();
}

static void read_large_ring(void)
{
	program_reads_to(0, 5000, WSF_READ_KEEP);
	expect_close(0);
}

/* The rest of a frame comes when idle storage was given back twice. */
static void send_rest_late(void)
{
	peer_step("peer sends a part");
	put_data(9000);
	world.in_bytes -= 8000;
	il_forget(++now.peer_at);
	(void)il_wait("peer sleeps", answered, NULL, il_now_ns() + 200 * MS);
	world.in_bytes += 8000;
	peer_says_goodbye();
}

/* Everything that a ring holds, and then nothing to be read. */
static void fill_and_ping(void)
{
	peer_sends(1900);
	peer_sends(1900);
	for (size_t i = 1; i <= 2; i++) {
		peer_pings();
		peer_awaits_pong(i);
	}
	peer_says_goodbye();
}

static void empty_and_go(void)
{
	while (now.read < (size_t)2 * 1900)
		(void)program_reads(1500, WSF_READ_SOME);
	program_is_elsewhere();
	program_reads_to(0, 3, WSF_READ_SOME);
	expect_close(0);
}

static void keep_all_and_go(void)
{
	while (now.read < (size_t)2 * 1900)
		(void)program_reads(RECV_BUFFER, WSF_READ_FILL);
	program_is_elsewhere();
	program_reads_to(0, 3, WSF_READ_FILL);
	expect_close(0);
}

/* More than the helper receives in a turn, with a ping behind, and the socket shows nothing of it. */
static void layer_and_ping(void)
{
	peer_step("peer sends and pings");
	put_data(44);
	put_frame(0x89, (const uint8_t *)"p", 1);
	peer_awaits_pong(1);
	peer_says_goodbye();
}

static void read_directly(void)
{
	(void)program_reads(8500, WSF_READ_ALL);
	if (now.read != 8500)
		il_fail("a read of all stopped at %zu", now.read);
	program_reads_to(0, 8192, WSF_READ_SOME);
	expect_close(0);
}

/* A frame comes in pieces, a control frame between two of a message. */
static void send_in_pieces(void)
{
	static const uint8_t start[] = { 0x02, 0x82, 0, 0, 0, 0, 1 }, end[] = { 0x80, 0x80, 0, 0, 0, 0 };

	peer_step("peer sends half a frame");
	put(start, sizeof start);
	now.peer_sent = 2;
	peer_step("peer sends the other half");
	put((const uint8_t[]){ byte_at(1) }, 1);
	peer_pings();
	peer_step("peer ends the message");
	put(end, sizeof end);
	peer_awaits_pong(1);
	peer_says_goodbye();
}

static void forget_other(void)
{
	il_forget(++now.other_at);
}

static void write_twice(void)
{
	uint8_t data[30];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = byte_at(i);
	forget_other();
	if (wsf_stream_write(now.stream, data, 20, WSF_NO_DEADLINE) != 20)
		il_fail("a write failed");
	forget_other();
	if (wsf_stream_write(now.stream, data + 20, 10, WSF_NO_DEADLINE) != 10)
		il_fail("a write failed");
	now.other_done = true;
}

static bool other_done(const void *unused)
{
	(void)unused;
	return now.other_done;
}

static void read_beside_the_writer(void)
{
	program_reads_to(0, 3, WSF_READ_KEEP);
	forget_program();
	(void)il_wait("join the writer", other_done, NULL, IL_NEVER);
	expect_close(0);
}

static bool got_everything(const void *unused)
{
	(void)unused;
	parse();
	if (world.out_room < now.parsed + 16)
		world.out_room = now.parsed + 16;
	return now.out_bytes == 30;
}

/* Takes what was written bit by bit, and pings meanwhile. */
static void take_slowly(void)
{
	peer_step("peer makes room for 16");
	world.out_room = 16;
	peer_pings();
	peer_step("peer makes room for 32");
	world.out_room = 32;
	peer_sends(1);
	peer_step("peer makes room");
	world.out_room = sizeof world.out;
	il_forget(++now.peer_at);
	(void)il_wait("peer awaits everything", got_everything, NULL, IL_NEVER);
	peer_awaits_pong(1);
	peer_says_goodbye();
}

/* ws_abort while the reader is blocked, or elsewhere. */
static void read_to_the_cut(void)
{
	ssize_t n;

	do
		n = program_reads(3, WSF_READ_SOME);
	while (n > 0);
	if (n >= 0)
		il_fail("the cut read as the end");
	forget_program();
	(void)il_wait("join the cutter", other_done, NULL, IL_NEVER);
	if (program_closes() == 0)
		il_fail("close gave 0");
}

static void cut(void)
{
	forget_other();
	wsf_stream_cut(now.stream);
	now.other_done = true;
}

static void send_two(void)
{
	peer_sends(2);
	peer_sends(1);
}

/* The other half of a pair closes its side while this one reads. */
static void shut_down(void)
{
	int rv;

	forget_other();
	rv = wsf_stream_shutdown(now.stream, 1000, NULL);
	/* The peer's Close came long ago, or TCP is over: it was answered. */
	if (rv != 0 && rv != -EPIPE)
		il_fail("shutdown gave %d", rv);
	now.other_done = true;
}

static const struct scenario scenarios[] = {
	{ .name = "read to the end", .program = read_all_then_close, .peer = send_and_say_goodbye,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "ping while the program is elsewhere", .program = read_go_and_read, .peer = ping_the_absent,
	  .pongs = 1, .reads = true, .writes = true, .preemptions = 2, .early = 2,
	  .changes = TAKEN_BACK },
	{ .name = "Close while the program is elsewhere", .program = read_go_and_read, .peer = close_on_the_absent,
	  .reads = true, .writes = true, .preemptions = 2, .early = 2,
	  .changes = TAKEN_BACK },
	{ .name = "Close while a program that only reads is elsewhere", .program = read_go_and_read,
	  .peer = close_on_the_absent, .reads = true, .preemptions = 2, .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "ping while the program reads", .program = read_all_then_close, .peer = ping_the_reader,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "reading ends", .program = read_then_stop, .peer = send_and_ping_the_deaf,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "close before the end", .program = close_unread, .peer = send_until_closed,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "TCP ends without a Close", .program = read_to_reset, .peer = send_and_end,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "TCP is reset", .program = read_to_reset, .peer = send_and_reset,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "Close and the end of TCP at once", .program = read_all_and_close_after_end,
	  .peer = send_close_and_end, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "Close and the end of TCP at once, to a program that only reads",
	  .program = read_all_and_close_after_end, .peer = send_close_and_end,
	  .reads = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "reads that time out", .program = read_with_timeout, .peer = send_late,
	  .reads = true, .writes = true, .read_timeout_ms = 20, .preemptions = 2, .early = 2,
	  .changes = HANDED_OVER },
	{ .name = "more than the ring holds", .program = read_in_pieces, .peer = send_more_than_fits,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "more than the ring holds, not kept", .program = read_much, .peer = send_more_than_fits,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "more than the ring holds, then pings", .program = read_more_and_go, .peer = send_more_and_ping,
	  .pongs = 2, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "straight to the reader", .program = read_directly, .peer = send_long_frames,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "frames in pieces", .program = read_all_then_close, .peer = send_in_pieces,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "through a layer", .program = read_all_then_close, .peer = send_and_say_goodbye,
	  .reads = true, .writes = true, .layered = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "through a layer, while the program is elsewhere", .program = read_go_and_read,
	  .peer = ping_the_absent, .pongs = 1, .reads = true, .writes = true, .layered = true, .preemptions = 2,
	  .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "through a layer, a long way", .program = read_go_and_read, .peer = layer_and_ping, .pongs = 1,
	  .reads = true, .writes = true, .layered = true, .preemptions = 1, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "a large ring", .program = read_large_ring, .peer = send_to_large_ring, .ring_bytes = 16384,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "storage given back meanwhile", .program = read_large_ring, .peer = send_rest_late,
	  .ring_bytes = 16384, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "the ring is filled and emptied, then pings", .program = empty_and_go, .peer = fill_and_ping,
	  .pongs = 2, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = TAKEN_BACK },
	{ .name = "all of the ring is kept, then pings", .program = keep_all_and_go, .peer = fill_and_ping,
	  .pongs = 2, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "a writer beside the reader", .program = read_beside_the_writer, .peer = take_slowly,
	  .other = write_twice, .reads = true, .writes = true, .preemptions = 1, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "cut while reading", .program = read_to_the_cut, .peer = send_two, .other = cut,
	  .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
	{ .name = "shut down while reading", .program = read_beside_the_writer, .peer = send_and_say_goodbye,
	  .other = shut_down, .reads = true, .writes = true, .preemptions = 2, .early = 1,
	  .changes = HANDED_OVER },
};

/* --- running them --- */

static void begin(void)
{
	memset(&now, 0, sizeof now);
	world_reset();
	world_loop_reset();
	world.receiving = receiving;
}

static void end(void)
{
	for (int i = 0; i < WORLD_FDS; i++)
		if (world.open[i])
			il_fail("a descriptor stays open");
}

static void make_options(void)
{
	struct ws_options values = WS_OPTIONS_INIT;
	struct wsf_failure failure = { 0 };

	values.send_buffer_bytes = RECV_BUFFER;
	values.recv_buffer_bytes = scenario->ring_bytes != 0 ? scenario->ring_bytes : RECV_BUFFER;
	values.read_timeout_ms = scenario->read_timeout_ms != 0 ? scenario->read_timeout_ms : -1;
	values.linger_ms = 1000;
	ck_assert_int_eq(wsf_options_copy(&options, &values, &failure), 0);
}

static const char *explore(const struct scenario *which, struct il_result *result)
{
	struct il_plan plan = {
		.name = which->name,
		.threads = {
			{ "program", program_main, false, false },
			{ "helper", helper_main, false, false },
			{ "peer", which->peer, true, false },
			{ "other", which->other, true, false },
		},
		.preemptions = asked_preemptions >= 0 ? asked_preemptions : which->preemptions,
		.early = asked_early >= 0 ? asked_early : which->early,
		.begin = begin,
		.end = end,
		.shared = shared,
		.next_deadline = world_loop_deadline_ns,
		.rank = rank,
		.unlocked = unlocked,
	};

	scenario = which;
	seen_changes = 0;
	make_options();
	il_explore(&plan, result);
	wsf_options_unref(options);
	if (!result->failed && (seen_changes & which->changes) != which->changes)
		return "the owner of receiving does not change as it could";
	return result->failed ? result->text : NULL;
}

START_TEST(every_schedule_of_a_scenario_is_right)
{
	static struct il_result result;
	const char *text;

	if (asked_scenario >= 0 && asked_scenario != _i)
		return;
	text = explore(&scenarios[_i], &result);
	printf("%s: %llu schedules, %llu states, %llu steps, the longest %u\n", scenarios[_i].name,
	    (unsigned long long)result.runs, (unsigned long long)result.states, (unsigned long long)result.steps,
	    result.longest);
	fflush(stdout);
	/* Check takes no text as long as a schedule may be. */
	if (text != NULL)
		fprintf(stderr, "%s: %s\n", scenarios[_i].name, text);
	ck_assert(text == NULL);
}
END_TEST

/* By hand: test_handover [PREEMPTIONS [EARLY [SCENARIO]]], for other bounds; 1000 preemptions are any number. */
int main(int argc, char **argv)
{
	Suite *suite = suite_create("handover");
	TCase *tcase = tcase_create("handover");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (argc > 1)
		asked_preemptions = (int)strtol(argv[1], NULL, 10);
	if (argc > 2)
		asked_early = (int)strtol(argv[2], NULL, 10);
	if (argc > 3)
		asked_scenario = (int)strtol(argv[3], NULL, 10);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, every_schedule_of_a_scenario_is_right, 0,
	    (int)(sizeof scenarios / sizeof scenarios[0]));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
