/* SPDX-License-Identifier: 0BSD */
/*
 * ws_pollfd(3) is exact: after each step the descriptor is readable if, and only if, the operation would not block.
 * What a step brings is waited for with poll(2) itself; what must not have come is looked for at once.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"
#include "wire.h"

#define GIVE_UP_MS 20000
#define SMALL_BYTES 32768		/* the peer's SO_RCVBUF where it is to be full soon */
#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* ck_assert writes a mark to Check's pipe on success too: far too slow for each piece of a bulk transfer. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* --- the descriptor --- */

static bool poll_one(int fd, int timeout_ms)
{
	struct pollfd one = { .fd = fd, .events = POLLIN };
	int count;

	do
		count = poll(&one, 1, timeout_ms);
	while (count < 0 && errno == EINTR);
	insist(count >= 0 && (one.revents & ~POLLIN) == 0, "poll: %d, revents %#x", count, (unsigned)one.revents);
	return count == 1;
}

static bool is_ready(int fd)
{
	return poll_one(fd, 0);
}

static void wait_ready(int fd)
{
	insist(poll_one(fd, GIVE_UP_MS), "the descriptor stays silent");
}

static int open_pollfd(FILE *stream, short events)
{
	int fd;

	ck_assert_int_eq(ws_set_nonblocking(stream, true), 0);
	errno = 0;
	fd = ws_pollfd(stream, events);
	ck_assert_msg(fd >= 0, "ws_pollfd: %s", strerror(errno));
	ck_assert_int_eq(ws_pollfd(stream, events), fd);
	return fd;
}

/* --- reading --- */

/* Nothing is there: the descriptor, the count and the read say so. */
static void expect_nothing(FILE *stream, int fd)
{
	char byte;

	for (int i = 0; i < 2; i++) {
		insist(!is_ready(fd), "the descriptor is readable, and nothing is there");
		insist(ws_readable(stream) == 0, "%zu bytes are said to be readable", ws_readable(stream));
		errno = 0;
		insist(ws_read_some(stream, &byte, 1) == -1 && errno == EAGAIN, "not EAGAIN but %s", strerror(errno));
	}
	insist(!is_ready(fd), "a read that got EAGAIN left the descriptor readable");
}

/* Exactly text is there, of which size bytes are read. Returns what follows. */
static const char *expect_read(FILE *stream, int fd, const char *text, size_t size)
{
	char buffer[64] = "";

	insist(is_ready(fd), "the descriptor is silent before \"%s\"", text);
	insist(ws_readable(stream) == strlen(text), "%zu bytes are said to be readable of \"%s\"", ws_readable(stream),
	    text);
	ck_assert_int_eq(ws_read_some(stream, buffer, size), (ssize_t)size);
	insist(strncmp(buffer, text, size) == 0, "\"%s\", not \"%s\"", buffer, text);
	return text + size;
}

/* At the end each read returns at once, again and again, and the descriptor stays readable. */
static void expect_end(FILE *stream, int fd, int error)
{
	char byte;
	ssize_t n;

	for (int i = 0; i < 3; i++) {
		wait_ready(fd);
		errno = 0;
		n = ws_read_some(stream, &byte, 1);
		insist(n == (error == 0 ? 0 : -1) && errno == error, "%zd, %s, not %s", n, strerror(errno),
		    strerror(error));
		insist(is_ready(fd), "the end left the descriptor silent");
		ck_assert_uint_eq(ws_readable(stream), 0);
	}
}

static void say_and_wait(struct wire *wire, int fd, const char *text, uint64_t total)
{
	wire_say(wire, text);
	wait_ready(fd);
	wire_wait_received(wire->stream, total);
}

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
	wire_end(wire);
}

START_TEST(readable_while_bytes_are_there)
{
	const char *left = "abcdef";
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	expect_nothing(wire.stream, fd);
	say_and_wait(&wire, fd, left, 6);
	left = expect_read(wire.stream, fd, left, 1);
	left = expect_read(wire.stream, fd, left, 3);
	(void)expect_read(wire.stream, fd, left, 2);
	expect_nothing(wire.stream, fd);
	/* Frames without data are none. */
	wire_say(&wire, "");
	wire_frame(&wire, PEER_PING, "x", 1);
	wire_frame(&wire, PEER_PONG, "x", 1);
	wire_frame(&wire, 0x02, "", 0);
	wire_frame(&wire, 0x80, "g", 1);
	wait_ready(fd);
	(void)expect_read(wire.stream, fd, "g", 1);
	expect_nothing(wire.stream, fd);
	end_well(&wire);
}
END_TEST

START_TEST(frames_without_data_do_not_wake)
{
	struct peer_frame frame;
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	for (int i = 0; i < 20; i++) {
		wire_say(&wire, "");
		wire_frame(&wire, PEER_PING, "x", 1);
		/* Its answer shows that both were received. */
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PONG);
		peer_frame_clear(&frame);
		expect_nothing(wire.stream, fd);
	}
	end_well(&wire);
}
END_TEST

/* The descriptor is asked for when everything is there, or over, already. */
START_TEST(made_late_it_knows_what_is_there)
{
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "abc");
	wire_wait_received(wire.stream, 3);
	fd = open_pollfd(wire.stream, POLLIN);
	(void)expect_read(wire.stream, fd, "abc", 3);
	expect_nothing(wire.stream, fd);
	end_well(&wire);

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_goodbye(&wire, 1000, "");
	wire_wait_state(wire.stream, WS_STATE_CLOSING);
	fd = open_pollfd(wire.stream, POLLIN);
	ck_assert(is_ready(fd));
	expect_end(wire.stream, fd, 0);
	fd = open_pollfd(wire.stream, POLLOUT);
	ck_assert(is_ready(fd));
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* What stdio has read ahead is not in the descriptor, but in the count. */
START_TEST(stdios_buffer_counts_only_in_ws_readable)
{
	char buffer[8];
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	say_and_wait(&wire, fd, "abcdef", 6);
	ck_assert_int_eq(fgetc(wire.stream), 'a');
	ck_assert(!is_ready(fd));
	ck_assert_uint_eq(ws_readable(wire.stream), 5);
	say_and_wait(&wire, fd, "ghi", 9);
	ck_assert_uint_eq(ws_readable(wire.stream), 8);
	ck_assert_int_eq(ws_read_some(wire.stream, buffer, 2), 2);
	ck_assert_uint_eq(ws_readable(wire.stream), 6);
	ck_assert_int_eq(ws_read_some(wire.stream, buffer + 2, 6), 3);
	ck_assert_mem_eq(buffer, "bcdef", 5);
	(void)expect_read(wire.stream, fd, "ghi", 3);
	expect_nothing(wire.stream, fd);
	say_and_wait(&wire, fd, "jk", 11);
	ck_assert_int_eq(fgetc(wire.stream), 'j');
	ck_assert_int_eq(ungetc('j', wire.stream), 'j');
	ck_assert_uint_eq(ws_readable(wire.stream), 2);
	ck_assert(!is_ready(fd));
	ck_assert_int_eq(fgetc(wire.stream), 'j');
	ck_assert_int_eq(fgetc(wire.stream), 'k');
	expect_nothing(wire.stream, fd);
	end_well(&wire);
}
END_TEST

#ifdef __GLIBC__
/* glibc gives back what it has read ahead when a write that follows is flushed. */
START_TEST(unread_input_makes_it_readable_again)
{
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	say_and_wait(&wire, fd, "abcdef", 6);
	ck_assert_int_eq(fgetc(wire.stream), 'a');
	ck_assert(!is_ready(fd));
	ck_assert_int_ge(fputs("x", wire.stream), 0);
	/* In between it is stdio's still. */
	ck_assert_uint_eq(ws_readable(wire.stream), 5);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert(is_ready(fd));
	(void)expect_read(wire.stream, fd, "bcdef", 5);
	expect_nothing(wire.stream, fd);
	say_and_wait(&wire, fd, "gh", 8);
	ck_assert_int_eq(fgetc(wire.stream), 'g');
	ck_assert_int_eq(fseek(wire.stream, 0, SEEK_CUR), 0);
	ck_assert_uint_eq(ws_readable(wire.stream), 1);
	/* Wherever it is now, the two together say that there is something. */
	ck_assert_int_eq(fgetc(wire.stream), 'h');
	expect_nothing(wire.stream, fd);
	end_well(&wire);
}
END_TEST
#endif

static const struct end {
	unsigned close_code;		/* 0 = TCP ends without */
	bool reset, bad;
	int error;
} ends[] = {
	{ 1000, false, false, 0 },
	{ 1001, false, false, 0 },
	{ 4000, false, false, ECONNABORTED },
	{ 0, false, false, ECONNRESET },
	{ 0, true, false, ECONNRESET },
	{ 0, false, true, EPROTO },
};

/* _i: role, with a byte before it or not, and how it ends. */
START_TEST(an_end_is_readable_and_stays_so)
{
	const struct end *one = &ends[_i / 4];
	bool byte_before = _i / 2 % 2 == 1;
	struct wire wire;
	int fd, out;

	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	out = open_pollfd(wire.stream, POLLOUT);
	ck_assert_int_ne(fd, out);
	ck_assert(is_ready(out));
	expect_nothing(wire.stream, fd);
	if (byte_before)
		say_and_wait(&wire, fd, "a", 1);
	if (one->close_code != 0)
		wire_goodbye(&wire, one->close_code, "");
	else if (one->bad)
		wire_frame(&wire, 0x83, "", 0);
	else if (!one->reset)
		peer_fin(wire.peer);
	else
		peer_reset(wire.peer);
	wire.peer = one->reset ? -1 : wire.peer;
	if (byte_before)
		(void)expect_read(wire.stream, fd, "a", 1);
	expect_end(wire.stream, fd, one->error);
	/* An end, or room: either way a write would not wait. */
	wait_ready(out);
	if (one->error != 0)
		ck_assert_int_eq(ws_write_some(wire.stream, "x", 1), -1);
	if (one->error == 0) {
		wire_finish(&wire, WIRE_NO_ANSWER);
		wire_fclose(&wire, 0);
		wire_finished(&wire);
	} else {
		if (one->close_code != 0 || one->bad) {
			(void)peer_read_until_close(wire.peer, NULL, NULL);
			peer_fin(wire.peer);
		}
		wire_fclose(&wire, one->error);
	}
	wire_end(&wire);
}
END_TEST

START_TEST(after_our_close_reading_goes_on_and_writing_is_over)
{
	struct wire wire;
	int fd, out;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	out = open_pollfd(wire.stream, POLLOUT);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	expect_nothing(wire.stream, fd);
	ck_assert(is_ready(out));
	errno = 0;
	ck_assert_int_eq(ws_write_some(wire.stream, "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert(is_ready(out));
	say_and_wait(&wire, fd, "abc", 3);
	(void)expect_read(wire.stream, fd, "abc", 3);
	expect_nothing(wire.stream, fd);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1000);
	wire_goodbye(&wire, 1000, "");
	expect_end(wire.stream, fd, 0);
	wire_end_tcp(&wire);
	wire_fclose(&wire, 0);
	wire_end(&wire);
}
END_TEST

static void *echo_bytes(void *argument)
{
	struct wire *wire = argument;
	struct peer_frame frame;
	bool go_on = true;

	while (go_on && peer_read_frame(wire->peer, &frame)) {
		go_on = frame.byte0 == PEER_BINARY && frame.payload[0] != '.';
		wire_frame(wire, PEER_BINARY, frame.payload, (size_t)frame.size);
		peer_frame_clear(&frame);
	}
	return NULL;
}

/* Blocking reads have taken receiving over; _i / 2: before the descriptor is made, or with one there. */
START_TEST(a_reader_that_received_by_itself_leaves_it_exact)
{
	pthread_t thread;
	struct wire wire;
	int fd = -1;

	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, 0);
	if (_i / 2 == 1)
		fd = open_pollfd(wire.stream, POLLIN);
	peer_thread(&thread, echo_bytes, &wire);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, false), 0);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(fputc('a' + i % 26, wire.stream), 'a' + i % 26);
		ck_assert_int_eq(fflush(wire.stream), 0);
		ck_assert_int_eq(fgetc(wire.stream), 'a' + i % 26);
		if (fd >= 0)
			ck_assert(!is_ready(fd));
	}
	fd = open_pollfd(wire.stream, POLLIN);
	expect_nothing(wire.stream, fd);
	ck_assert_int_eq(ws_write_some(wire.stream, ".", 1), 1);
	wait_ready(fd);
	peer_join(thread);
	(void)expect_read(wire.stream, fd, ".", 1);
	expect_nothing(wire.stream, fd);
	wire_goodbye(&wire, 1000, "");
	expect_end(wire.stream, fd, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* --- much data, read as it comes --- */

/*
 * Ready means that a read gets something; EAGAIN means that it was silent, and that it will be ready again, as more is
 * to come.
 */
static void read_exactly(FILE *stream, int fd, uint64_t size, bool (*right)(uint64_t offset, const void *, size_t))
{
	uint8_t buffer[20000];
	uint32_t lot = 12345;
	uint64_t done = 0;

	while (done < size) {
		size_t want, readable = ws_readable(stream);
		bool ready = is_ready(fd);
		ssize_t n;

		lot = lot * 1664525 + 1013904223;
		want = (lot >> 8) % 3 == 0 ? sizeof buffer : 1 + (lot >> 10) % 700;
		errno = 0;
		n = ws_read_some(stream, buffer, want);
		insist(n > 0 || (n == -1 && errno == EAGAIN), "%zd, %s", n, strerror(errno));
		insist(n > 0 || !ready, "readable, and EAGAIN, behind %llu", (unsigned long long)done);
		insist(n > 0 || readable == 0, "%zu bytes said to be readable, and EAGAIN", readable);
		insist(readable == 0 || ready, "silent though %zu bytes are readable", readable);
		if (n < 0) {
			wait_ready(fd);
			continue;
		}
		insist(right(done, buffer, (size_t)n), "wrong bytes behind %llu", (unsigned long long)done);
		done += (uint64_t)n;
	}
	expect_nothing(stream, fd);
}

#define BULK_BYTES ((uint64_t)6 << 20)

static void *say_bulk(void *argument)
{
	static const size_t sizes[] = { 1, 100, 9000, 3, 70000, 4096, 60 };
	struct wire *wire = argument;
	uint8_t *data = malloc(70000);
	uint64_t done = 0;

	insist(data != NULL, "out of memory");
	for (int i = 0; done < BULK_BYTES; i++) {
		size_t size = sizes[i % COUNT(sizes)];

		if (size > BULK_BYTES - done)
			size = (size_t)(BULK_BYTES - done);
		wire_pattern(done, data, size);
		peer_frame(wire->peer, PEER_BINARY, wire->peer_masks, data, size);
		done += size;
	}
	free(data);
	return NULL;
}

/* _i: role, and how large the ring is: with a small one receiving is paused again and again. */
START_TEST(much_data_is_read_without_a_wrong_word)
{
	static const size_t sizes[] = { 4096, 65536, 1048576 };
	struct ws_options options = WS_OPTIONS_INIT;
	pthread_t thread;
	struct wire wire;
	int fd;

	options.recv_buffer_bytes = sizes[_i / 2];
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, 0);
	fd = open_pollfd(wire.stream, POLLIN);
	peer_thread(&thread, say_bulk, &wire);
	read_exactly(wire.stream, fd, BULK_BYTES, wire_pattern_matches);
	peer_join(thread);
	end_well(&wire);
}
END_TEST

/* --- writing --- */

/*
 * Write until there is no room and the descriptor stays silent: the kernel's buffers are full then, too. While it is
 * silent for a moment only, as they take some more, this goes on. Returns how many bytes went.
 */
static uint64_t fill(FILE *stream, int out, uint64_t offset, size_t most)
{
	uint8_t *data = malloc(most);
	uint64_t done = 0;

	insist(data != NULL, "out of memory");
	do {
		for (;;) {
			bool ready = is_ready(out);
			ssize_t n;

			wire_pattern(offset + done, data, most);
			errno = 0;
			n = ws_write_some(stream, data, most);
			insist(n > 0 || (n == -1 && errno == EAGAIN), "%zd, %s", n, strerror(errno));
			if (n < 0) {
				insist(!ready, "ready, and EAGAIN, behind %llu", (unsigned long long)done);
				break;
			}
			done += (uint64_t)n;
		}
	} while (poll_one(out, 30));
	free(data);
	return done;
}

static void expect_no_room(FILE *stream, int out)
{
	for (int i = 0; i < 2; i++) {
		ck_assert(!is_ready(out));
		ck_assert_uint_eq(ws_writable(stream), 0);
		errno = 0;
		ck_assert_int_eq(ws_write_some(stream, "x", 1), -1);
		ck_assert_int_eq(errno, EAGAIN);
	}
	ck_assert_uint_gt(ws_unsent(stream), 0);
}

/* _i: role, how much is written at a time. */
START_TEST(writable_while_there_is_room)
{
	static const size_t most[] = { 100, 5000, 300000 };
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t more[100];
	struct wire wire;
	uint64_t done;
	int out;

	options.send_buffer_bytes = 65536;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, SMALL_BYTES);
	out = open_pollfd(wire.stream, POLLOUT);
	ck_assert(is_ready(out));
	ck_assert_uint_gt(ws_writable(wire.stream), 0);
	done = fill(wire.stream, out, 0, most[_i / 2]);
	expect_no_room(wire.stream, out);
	/* The peer reads: there is room again, and in the end all of it. */
	wire_finish(&wire, 1000);
	wait_ready(out);
	ck_assert_int_eq(ws_drain(wire.stream, -1), 0);
	ck_assert(is_ready(out));
	ck_assert_uint_eq(ws_unsent(wire.stream), 0);
	ck_assert_uint_gt(ws_writable(wire.stream), 0);
	wire_pattern(done, more, sizeof more);
	ck_assert_int_eq(ws_write_some(wire.stream, more, sizeof more), sizeof more);
	done += sizeof more;
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.size, done);
	ck_assert(wire_pattern_matches(0, wire.data, wire.size));
	wire_end(&wire);
}
END_TEST

/* _i: role, and what ends it while the ring is full. */
START_TEST(an_end_makes_a_full_stream_writable)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;
	int out, how = _i / 2;

	options.send_buffer_bytes = 65536;
	options.close_timeout_ms = 50;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, SMALL_BYTES);
	out = open_pollfd(wire.stream, POLLOUT);
	(void)fill(wire.stream, out, 0, 10000);
	expect_no_room(wire.stream, out);
	if (how == 0) {
		peer_reset(wire.peer);
		wire.peer = -1;
	} else if (how == 1) {
		wire_goodbye(&wire, 4000, "");
	} else if (how == 2) {
		ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	} else {
		ck_assert_int_eq(ws_abort(wire.stream), 0);
	}
	wait_ready(out);
	for (int i = 0; i < 3; i++) {
		errno = 0;
		ck_assert_int_eq(ws_write_some(wire.stream, "x", 1), -1);
		ck_assert_int_eq(errno, how == 3 ? ECONNABORTED : EPIPE);
		ck_assert(is_ready(out));
	}
	ck_assert_int_eq(fclose(wire.stream), EOF);
	wire_end(&wire);
}
END_TEST

static void *read_slowly(void *argument)
{
	struct wire *wire = argument;
	struct peer_frame frame;
	uint64_t done = 0;

	while (done < BULK_BYTES) {
		insist(peer_read_frame(wire->peer, &frame), "TCP ended behind %llu", (unsigned long long)done);
		insist(wire_pattern_matches(done, frame.payload, (size_t)frame.size), "wrong bytes behind %llu",
		    (unsigned long long)done);
		done += frame.size;
		peer_frame_clear(&frame);
	}
	insist(done == BULK_BYTES, "too many bytes");
	return NULL;
}

/* The peer reads all the while: ready is room, and EAGAIN is followed by room. */
START_TEST(much_data_is_written_without_a_wrong_word)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = malloc((size_t)BULK_BYTES);
	uint64_t done = 0;
	pthread_t thread;
	struct wire wire;
	int out;

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, (size_t)BULK_BYTES);
	options.send_buffer_bytes = _i / 2 == 0 ? 4096 : 65536;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, SMALL_BYTES);
	out = open_pollfd(wire.stream, POLLOUT);
	peer_thread(&thread, read_slowly, &wire);
	while (done < BULK_BYTES) {
		bool ready = is_ready(out);
		size_t want = done % 7 == 0 ? (size_t)(BULK_BYTES - done) : 1 + (size_t)(done % 3000);
		ssize_t n;

		if (want > BULK_BYTES - done)
			want = (size_t)(BULK_BYTES - done);
		errno = 0;
		n = ws_write_some(wire.stream, data + done, want);
		insist(n > 0 || (n == -1 && errno == EAGAIN), "%zd, %s", n, strerror(errno));
		insist(n > 0 || !ready, "ready, and EAGAIN, behind %llu", (unsigned long long)done);
		if (n > 0)
			done += (uint64_t)n;
		else
			wait_ready(out);
	}
	peer_join(thread);
	ck_assert_int_eq(ws_drain(wire.stream, -1), 0);
	ck_assert(is_ready(out));
	free(data);
	end_well(&wire);
}
END_TEST

/* --- pairs and one-way streams --- */

static void expect_no_pollfd(FILE *stream, short events, int error)
{
	errno = 0;
	ck_assert_int_eq(ws_pollfd(stream, events), -1);
	ck_assert_int_eq(errno, error);
}

START_TEST(each_half_has_its_own_direction)
{
	struct wire wire;
	int fd, out;

	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	expect_no_pollfd(wire.half[1], POLLIN, EBADF);
	expect_no_pollfd(wire.half[0], POLLOUT, EBADF);
	fd = open_pollfd(wire.half[0], POLLIN);
	out = open_pollfd(wire.half[1], POLLOUT);
	expect_nothing(wire.half[0], fd);
	ck_assert(is_ready(out));
	wire_say(&wire, "abc");
	wait_ready(fd);
	(void)expect_read(wire.half[0], fd, "abc", 3);
	expect_nothing(wire.half[0], fd);
	wire_finish(&wire, 1000);
	/* The half's Close is answered: then the other one reads EOF. */
	wire_fclose_half(&wire, 1, 0);
	expect_end(wire.half[0], fd, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(a_one_way_stream_has_one_descriptor)
{
	struct wire wire;
	int fd;

	wire_open(&wire, (enum wire_role)_i, "r", NULL, 0);
	expect_no_pollfd(wire.stream, POLLOUT, EBADF);
	fd = open_pollfd(wire.stream, POLLIN);
	expect_nothing(wire.stream, fd);
	end_well(&wire);
	wire_open(&wire, (enum wire_role)_i, "w", NULL, 0);
	expect_no_pollfd(wire.stream, POLLIN, EBADF);
	fd = open_pollfd(wire.stream, POLLOUT);
	ck_assert(is_ready(fd));
	/* What it discards makes nobody readable. */
	wire_say(&wire, "abc");
	wire_wait_received(wire.stream, 3);
	ck_assert(is_ready(fd));
	end_well(&wire);
}
END_TEST

/* --- TLS, and compressed: the bytes that the socket shows are others --- */

static bool duet_matches(uint64_t offset, const void *in, size_t size)
{
	static uint8_t right[20000];

	duet_fill(DUET_MIXED, 0, offset, right, size);
	return memcmp(right, in, size) == 0;
}

struct carrier {
	FILE *stream;
	uint64_t bytes;
};

/* Without blocking: ready means room, and behind EAGAIN there will be some. */
static void *write_mixed(void *argument)
{
	struct carrier *carrier = argument;
	int out = open_pollfd(carrier->stream, POLLOUT);
	uint8_t *block = malloc(65536);

	insist(block != NULL, "out of memory");
	for (uint64_t done = 0; done < carrier->bytes; done += 65536) {
		duet_fill(DUET_MIXED, 0, done, block, 65536);
		for (size_t part = 0; part < 65536;) {
			bool ready = is_ready(out);
			ssize_t n;

			errno = 0;
			n = ws_write_some(carrier->stream, block + part, 65536 - part);
			insist(n > 0 || (n == -1 && errno == EAGAIN), "%zd, %s", n, strerror(errno));
			insist(n > 0 || !ready, "ready, and EAGAIN, behind %llu", (unsigned long long)(done + part));
			if (n > 0)
				part += (size_t)n;
			else
				wait_ready(out);
		}
	}
	insist(ws_drain(carrier->stream, -1) == 0, "ws_drain: %s", strerror(errno));
	insist(is_ready(out), "silent though all is out");
	free(block);
	return NULL;
}

static void say(FILE *stream, const char *text)
{
	ck_assert(fputs(text, stream) >= 0 && fflush(stream) == 0);
}

static void check_duet(FILE *reader, FILE *writer, uint64_t bytes)
{
	struct carrier carrier = { writer, bytes };
	int fd = open_pollfd(reader, POLLIN);
	pthread_t thread;

	expect_nothing(reader, fd);
	say(writer, "abcdef");
	wait_ready(fd);
	wire_wait_received(reader, 6);
	(void)expect_read(reader, fd, expect_read(reader, fd, "abcdef", 4), 2);
	expect_nothing(reader, fd);
	peer_thread(&thread, write_mixed, &carrier);
	read_exactly(reader, fd, bytes, duet_matches);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(writer, 1000, NULL), 0);
	expect_end(reader, fd, 0);
}

/* _i: which end reads, TLS or not, compressed or not, and the size of the ring. */
START_TEST(other_layers_leave_it_exact)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	bool tls = _i / 2 % 2 == 1, compressed = _i / 4 % 2 == 1;
	struct duet duet;

	peer_count_begin();
	listener.recv_buffer_bytes = client.recv_buffer_bytes = _i / 8 == 0 ? 4096 : 262144;
	listener.send_buffer_bytes = client.send_buffer_bytes = _i / 8 == 0 ? 8192 : 65536;
	listener.max_inflate_ratio = client.max_inflate_ratio = 0;
	listener.compression = client.compression = compressed ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
	if (!tls) {
		listener.cert_file = listener.key_file = NULL;
		client.ca_file = NULL;
	}
	duet_open(&duet, tls ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &listener, &client, "r+");
	if (_i % 2 == 0)
		check_duet(duet.client, duet.server, (uint64_t)2 << 20);
	else
		check_duet(duet.server, duet.client, (uint64_t)2 << 20);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steer_poll");
	TCase *reading = wire_case(suite, "reading"), *writing = wire_case(suite, "writing");
	TCase *halves = wire_case(suite, "halves"), *layers = wire_case(suite, "layers");
	int result;

	pki_begin();
	tcase_add_loop_test(reading, readable_while_bytes_are_there, 0, WIRE_ROLES);
	tcase_add_loop_test(reading, frames_without_data_do_not_wake, 0, WIRE_ROLES);
	tcase_add_loop_test(reading, made_late_it_knows_what_is_there, 0, WIRE_ROLES);
	tcase_add_loop_test(reading, stdios_buffer_counts_only_in_ws_readable, 0, WIRE_ROLES);
#ifdef __GLIBC__
	tcase_add_loop_test(reading, unread_input_makes_it_readable_again, 0, WIRE_ROLES);
#endif
	tcase_add_loop_test(reading, an_end_is_readable_and_stays_so, 0, 4 * COUNT(ends));
	tcase_add_loop_test(reading, after_our_close_reading_goes_on_and_writing_is_over, 0, WIRE_ROLES);
	tcase_add_loop_test(reading, a_reader_that_received_by_itself_leaves_it_exact, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(reading, much_data_is_read_without_a_wrong_word, 0, WIRE_ROLES * 3);
	tcase_add_loop_test(writing, writable_while_there_is_room, 0, WIRE_ROLES * 3);
	tcase_add_loop_test(writing, an_end_makes_a_full_stream_writable, 0, WIRE_ROLES * 4);
	tcase_add_loop_test(writing, much_data_is_written_without_a_wrong_word, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(halves, each_half_has_its_own_direction, 0, WIRE_ROLES);
	tcase_add_loop_test(halves, a_one_way_stream_has_one_descriptor, 0, WIRE_ROLES);
	tcase_add_loop_test(layers, other_layers_leave_it_exact, 0, 16);
	result = wire_run(suite);
	pki_end();
	return result;
}
