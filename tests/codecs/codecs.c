/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "codecs.h"

enum wire_role case_role(int i)
{
	return (enum wire_role)(i / PIECES);
}

size_t case_piece(int i)
{
	return (size_t)(i % PIECES + 1);
}

void say_in_pieces(struct wire *wire, const void *data, size_t size, size_t piece)
{
	const char *bytes = data;

	for (size_t n; size > 0; bytes += n, size -= n) {
		n = size < piece ? size : piece;
		wire_frame(wire, PEER_BINARY, bytes, n);
	}
}

void say_and_end(struct wire *wire, const void *data, size_t size, size_t piece, enum ending how)
{
	say_in_pieces(wire, data, size, piece);
	/* What a kernel holds when a reset comes is lost, and that is not what is tested. */
	wire_wait_received(wire->stream, size);
	if (how == GOODBYE)
		wire_goodbye(wire, 1000, "");
	else if (how == FIN)
		peer_fin(wire->peer);
	else {
		peer_reset(wire->peer);
		wire->peer = -1;
	}
}

int ending_error(enum ending how)
{
	return how == GOODBYE ? 0 : ECONNRESET;
}

void close_behind(struct wire *wire, enum ending how)
{
	if (how == GOODBYE)
		wire_finish(wire, WIRE_NO_ANSWER);
	wire_fclose(wire, ending_error(how));
	if (how == GOODBYE)
		wire_finished(wire);
	wire_end(wire);
}

struct tireless {
	int fd;
	bool mask;
	uint8_t bytes[4096];
};
static struct tireless tireless;
static pthread_t tireless_thread;

static void *go_on(void *argument)
{
	struct tireless *peer = argument;

	while (peer_try_frame(peer->fd, PEER_BINARY, peer->mask, peer->bytes, sizeof peer->bytes))
		;
	return NULL;
}

void say_for_ever(struct wire *wire, unsigned char byte)
{
	tireless.fd = wire->peer;
	tireless.mask = wire->peer_masks;
	memset(tireless.bytes, byte, sizeof tireless.bytes);
	peer_thread(&tireless_thread, go_on, &tireless);
}

void cut_off(struct wire *wire, uint64_t limit)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_int_eq(ws_status(wire->stream, &status), 0);
	ck_assert_uint_le(status.bytes_received, limit);
	ck_assert_int_eq(ws_abort(wire->stream), 0);
	wire_fclose(wire, ECONNABORTED);
	peer_join(tireless_thread);
	wire_end(wire);
}

void expect_answer(const struct wire *wire, const void *data, size_t size)
{
	ck_assert_uint_eq(wire->size, size);
	ck_assert_mem_eq(wire->data, data, size);
}
