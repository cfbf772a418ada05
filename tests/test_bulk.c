/* SPDX-License-Identifier: 0BSD */
/*
 * A peer that sends 64 MiB and its Close and is gone at once: every byte arrives, then EOF. With a reader that is slow,
 * and with one that begins only when the stream has stopped taking data.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire.h"

#define BULK_BYTES ((uint64_t)64 << 20)
#define FRAME_BYTES ((size_t)1 << 20)

enum departure { CLOSE_THEN_GONE, CLOSE_THEN_RESET, FIN_ONLY, RESET_ONLY };

struct sender {
	const struct wire *wire;
	uint64_t bytes;
	enum departure departure;
	pthread_t thread;
};

static void *send_all_and_leave(void *argument)
{
	struct sender *sender = argument;
	int fd = sender->wire->peer;
	bool mask = sender->wire->peer_masks;
	uint8_t *block = malloc(FRAME_BYTES);

	ck_assert_ptr_nonnull(block);
	for (uint64_t done = 0; done < sender->bytes; done += FRAME_BYTES) {
		wire_pattern(done, block, FRAME_BYTES);
		peer_frame(fd, PEER_BINARY, mask, block, FRAME_BYTES);
	}
	free(block);
	if (sender->departure == CLOSE_THEN_GONE || sender->departure == CLOSE_THEN_RESET)
		peer_close(fd, mask, 1000, "");
	if (sender->departure == CLOSE_THEN_GONE || sender->departure == FIN_ONLY) {
		ck_assert_int_eq(close(fd), 0);
	} else {
		/* A reset destroys what is unsent; what the other kernel has it can't. */
		peer_wait_sent(fd);
		peer_reset(fd);
	}
	return NULL;
}

static void start_sender(struct sender *sender, const struct wire *wire, uint64_t bytes, enum departure departure)
{
	*sender = (struct sender){ .wire = wire, .bytes = bytes, .departure = departure };
	peer_thread(&sender->thread, send_all_and_leave, sender);
}

static void join_sender(struct sender *sender, struct wire *wire)
{
	peer_join(sender->thread);
	wire->peer = -1;
}

static uint64_t read_checked(FILE *stream, bool slow)
{
	static uint8_t block[16384];
	uint64_t done = 0;
	size_t count;

	while ((count = fread(block, 1, sizeof block, stream)) > 0) {
		if (!wire_pattern_matches(done, block, count))
			ck_abort_msg("wrong bytes behind %llu", (unsigned long long)done);
		done += count;
		if (slow && done % FRAME_BYTES == 0)
			poll(NULL, 0, 2);
	}
	return done;
}

/* _i: role, departure, then whether reading begins only when the stream has stopped taking data */
START_TEST(all_of_64_mib_arrives_though_the_peer_is_gone)
{
	enum departure departure = _i / 2 % 2 == 0 ? CLOSE_THEN_GONE : CLOSE_THEN_RESET;
	bool paused = _i % 2 == 1;
	struct ws_options options = WS_OPTIONS_INIT;
	struct sender sender;
	struct wire wire;

	options.linger_ms = 20000;
	if (paused)
		options.recv_buffer_bytes = 262144;
	wire_open(&wire, (enum wire_role)(_i / 4), "r+", &options, 0);
	start_sender(&sender, &wire, BULK_BYTES, departure);
	if (paused)
		peer_wait_blocked(wire.peer);
	ck_assert_uint_eq(read_checked(wire.stream, !paused), BULK_BYTES);
	join_sender(&sender, &wire);
	/* The Close came: that TCP was reset behind it may be told or not, but then as what it is. */
	if (departure == CLOSE_THEN_GONE || !ferror(wire.stream)) {
		wire_expect_end(wire.stream, 0);
		wire_fclose(&wire, 0);
	} else {
		wire_expect_end(wire.stream, ECONNRESET);
		wire_fclose(&wire, ECONNRESET);
	}
	wire_end(&wire);
}
END_TEST

/* Without the Close it is an error, however much came. _i: role, departure, then a fast or a slow reader */
START_TEST(all_that_was_sent_arrives_before_the_error)
{
	uint64_t sent = 8 * FRAME_BYTES;
	struct ws_options options = WS_OPTIONS_INIT;
	struct sender sender;
	struct wire wire;

	options.recv_buffer_bytes = 65536;
	options.stdio_buffer_bytes = 16384;
	wire_open(&wire, (enum wire_role)(_i / 4), "r+", &options, 0);
	start_sender(&sender, &wire, sent, _i / 2 % 2 == 0 ? FIN_ONLY : RESET_ONLY);
	ck_assert_uint_eq(read_checked(wire.stream, _i % 2 == 1), sent);
	wire_expect_end(wire.stream, ECONNRESET);
	join_sender(&sender, &wire);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bulk");
	TCase *tcase = wire_case(suite, "bulk");

	tcase_add_loop_test(tcase, all_of_64_mib_arrives_though_the_peer_is_gone, 0, WIRE_ROLES * 4);
	tcase_add_loop_test(tcase, all_that_was_sent_arrives_before_the_error, 0, WIRE_ROLES * 4);
	return wire_run(suite);
}
