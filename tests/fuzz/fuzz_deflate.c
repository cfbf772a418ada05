/* SPDX-License-Identifier: 0BSD */
/*
 * permessage-deflate. The first byte chooses: what came is inflated, in two ways that differ in the pieces it comes in
 * and the room it finds, with the same result, and never more than the limit; or what the program wrote is deflated and
 * inflated again, to the same. Then a byte for the windows and one for the limits, one for the pieces, and messages:
 * two bytes that tell how long each is.
 */
#include <errno.h>

#include "deflate.h"
#include "fuzz.h"

#define MESSAGES_MAX 40
#define FREE_BYTES 65536u
#define BYTE_BECOMES_MAX 1032u	/* four matches of 258 bytes, of two bits each */
#define PLAIN_MAX (1u << 18)	/* of all messages of an input: not to wait for long */
#define SMALL_ROOM_UP_TO 3000u	/* the same */

static struct wsf_deflate_params read_params(struct fuzz_input *in)
{
	static const unsigned ratios[] = { 200, 0, 1, 2, 20, 1032, 5, 3 };
	unsigned windows = fuzz_byte(in), limits = fuzz_byte(in);

	return (struct wsf_deflate_params){
		.on = true, .send_window_bits = 8 + (int)(windows & 7), .recv_window_bits = 8 + (int)(windows & 7),
		.send_no_context_takeover = (windows & 8) != 0, .recv_no_context_takeover = (windows & 8) != 0,
		.level = 1 + (int)((windows >> 4) % 9), .max_ratio = ratios[limits & 7],
	};
}

/* --- inflating --- */

struct result {
	struct fuzz_buffer plain;
	int rv;			/* of the last call */
	unsigned messages;	/* that were done */
};

/* Room for 1 byte up to many, of just its size. Returns as wsf_deflate_inflate. */
static int inflate_once(struct wsf_deflate *deflate, struct fuzz_lot *room_lot, const uint8_t *in, size_t size,
    bool last, size_t *used, struct result *result)
{
	size_t more = result->plain.size > SMALL_ROOM_UP_TO ? 4096 : 0, put;
	size_t room = fuzz_piece(room_lot, 1 + fuzz_draw(room_lot, 20000)) + fuzz_draw(room_lot, (uint32_t)more + 1);
	uint8_t *out = fuzz_memory(room), *piece = fuzz_copy(in, size);
	int rv = wsf_deflate_inflate(deflate, piece, size, last, used, out, room, &put);

	REQUIRE(*used <= size && put <= room);
	REQUIRE(rv == 0 || rv == 1 || rv == -EPROTO || rv == -EMSGSIZE);
	REQUIRE(rv != 1 || (last && *used == size));
	REQUIRE(rv != 0 || *used == size || put == room);
	fuzz_put(&result->plain, out, put);
	free(piece);
	free(out);
	/* Neither more was taken nor given: the caller would turn in circles. */
	REQUIRE(rv != 0 || *used > 0 || put > 0 || (size == 0 && !last));
	return rv;
}

/* One message whole. */
static int inflate_message(struct wsf_deflate *deflate, struct fuzz_lot *lot, struct fuzz_lot *room_lot,
    const uint8_t *in, size_t size, struct result *result)
{
	size_t done = 0, used, piece;
	int rv = 0;

	do {
		piece = fuzz_piece(lot, size - done);
		for (bool first = true; rv == 0 && (first || piece > 0 || done == size); first = false) {
			rv = inflate_once(deflate, room_lot, in + done, piece, done + piece == size, &used, result);
			done += used;
			piece -= used;
			if (result->plain.size > PLAIN_MAX)
				return -ERANGE;
		}
	} while (rv == 0);
	return rv;
}

static void inflate_all(const struct wsf_deflate_params *params, uint32_t seed, struct fuzz_input in,
    struct result *result)
{
	struct wsf_deflate deflate = { .params = *params };
	struct fuzz_lot lot = fuzz_lot(seed), room_lot = fuzz_lot(seed * 3 + 1);
	uint64_t limit;

	memset(result, 0, sizeof(*result));
	for (result->rv = 1; result->rv == 1 && in.left > 0 && result->messages < MESSAGES_MAX;) {
		size_t size = fuzz_number(&in, 2) & 0xfff, before = result->plain.size;
		const uint8_t *bytes = fuzz_bytes(&in, &size);

		result->rv = inflate_message(&deflate, &lot, &room_lot, bytes, size, result);
		result->messages += result->rv == 1;
		/* Behind the limit may be what one byte became, and then no more. */
		limit = (uint64_t)size * params->max_ratio;
		limit = (limit > FREE_BYTES ? limit : FREE_BYTES) + BYTE_BECOMES_MAX;
		REQUIRE(params->max_ratio == 0 || result->plain.size - before <= limit);
		REQUIRE(result->rv != -EMSGSIZE || result->plain.size - before > FREE_BYTES);
	}
	wsf_deflate_clear(&deflate);
}

static void check_inflating(struct fuzz_input *in)
{
	struct wsf_deflate_params params = read_params(in);
	uint32_t seed = fuzz_byte(in);
	struct result one, other;

	inflate_all(&params, seed, *in, &one);
	inflate_all(&params, seed + 256, *in, &other);
	/*
	 * Where an input stopped for being long, it need not have been at the same byte. And a distance over a window
	 * that is not the largest zlib refuses only where what it leads to is not in the room of the same call.
	 */
	if (one.rv != -ERANGE && other.rv != -ERANGE && params.recv_window_bits == 15) {
		REQUIRE(one.rv == other.rv && one.messages == other.messages);
		REQUIRE(fuzz_same(&one.plain, &other.plain));
	}
	fuzz_buffer_clear(&one.plain);
	fuzz_buffer_clear(&other.plain);
}

/* --- deflating --- */

/* Bytes that are repeated, so that a short input is a long message; the input's own in between. */
static void read_message(struct fuzz_input *in, struct fuzz_buffer *message)
{
	unsigned how = fuzz_byte(in);
	size_t size = fuzz_number(in, 1 + (how & 1)), times = (how & 2) != 0 ? 1 + fuzz_byte(in) * 4u : 1;
	const uint8_t *bytes = fuzz_bytes(in, &size);
	struct fuzz_lot noise = fuzz_lot(how);

	noise.state = how;
	message->size = 0;
	for (size_t i = 0; i < times && message->size < PLAIN_MAX / 8; i++)
		fuzz_put(message, bytes, size);
	/* What does not get shorter. */
	for (size_t i = 0; (how & 4) != 0 && i < message->size; i++)
		message->data[i] = (uint8_t)(message->data[i] + fuzz_draw(&noise, 256));
}

/* In up to three pieces, one of which may be empty. */
static int deflate_message(struct wsf_deflate *deflate, struct fuzz_lot *lot, const struct fuzz_buffer *message,
    const uint8_t **out, size_t *out_bytes)
{
	uint8_t *copy = fuzz_copy(message->data, message->size);
	size_t first = fuzz_draw(lot, (uint32_t)message->size + 1);
	size_t second = fuzz_draw(lot, (uint32_t)(message->size - first) + 1);
	const struct iovec in[3] = {
		{ copy, first }, { copy + first, second }, { copy + first + second, message->size - first - second },
	};
	int rv = wsf_deflate_message(deflate, in, 3, out, out_bytes);

	free(copy);
	return rv;
}

static void check_round_trip(struct fuzz_input *in)
{
	struct wsf_deflate_params params = read_params(in);
	struct fuzz_lot lot = fuzz_lot(fuzz_byte(in)), room_lot = lot;
	struct wsf_deflate sender = { .params = params }, receiver = { .params = params };
	struct fuzz_buffer message = { 0 };
	size_t total = 0;

	receiver.params.max_ratio = 0;
	for (int i = 0; i < MESSAGES_MAX && in->left > 0 && total < PLAIN_MAX; i++) {
		struct result result = { .rv = 0 };
		const uint8_t *out = NULL;
		size_t out_bytes = 0;
		int rv;

		read_message(in, &message);
		total += message.size;
		rv = deflate_message(&sender, &lot, &message, &out, &out_bytes);
		REQUIRE(rv == 0 || (rv == -EOPNOTSUPP &&
		    (params.send_window_bits == 8 || params.send_no_context_takeover)));
		if (rv == 0) {
			uint8_t *wire = fuzz_copy(out, out_bytes);

			REQUIRE(inflate_message(&receiver, &lot, &room_lot, wire, out_bytes, &result) == 1);
			REQUIRE(fuzz_same(&result.plain, &message));
			free(wire);
			fuzz_buffer_clear(&result.plain);
		}
		if (fuzz_draw(&lot, 4) == 0)
			wsf_deflate_idle(&sender);
	}
	fuzz_buffer_clear(&message);
	wsf_deflate_clear(&sender);
	wsf_deflate_clear(&receiver);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };

	if (!wsf_deflate_available())
		return 0;
	if (fuzz_byte(&in) % 2 == 0)
		check_inflating(&in);
	else
		check_round_trip(&in);
	return 0;
}
