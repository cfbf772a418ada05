/* SPDX-License-Identifier: 0BSD */
/*
 * Both ends of a connection, from the request on: what one program writes, in any pieces, as text or not, deflated or
 * not, the other reads, however the bytes come and whatever the room; pings and the Close arrive as they were sent; and
 * neither end finds fault with the other.
 *
 * The input: a byte for what client and server want, one each for their permessage-deflate, one for the longest frame,
 * one for the pieces; then what is done: a byte that tells by which end and what, and what belongs to it.
 */
#include <errno.h>

#include "endpoint.h"
#include "fuzz.h"
#include "mask.h"

#define STEPS_MAX 60
#define WRITTEN_MAX 60000u		/* in all */
#define DEFLATE_SLACK(size) ((size) / 32 + 64)	/* the stream relies on that, see stream_write.c */

struct end {
	struct wsf_endpoint endpoint;
	bool failed;			/* it wrote text that is none: its writing is over */
	bool closed;			/* its Close was sent */
	uint64_t messages;		/* sent */
	struct fuzz_buffer sent, got;	/* what was let out of what the program wrote; what the other's wrote */
	struct wsf_utf8 utf8;		/* of all that was written */
};

struct link {
	struct end ends[2];		/* [0] is the client */
	struct fuzz_lot lot, room_lot;
	size_t written_bytes;
};

/* --- the bytes between them --- */

static void prepare(struct wsf_events *events)
{
	memset(events, 0xa5, sizeof(*events));
	events->answer = NULL;
	events->opened = events->ping = events->close = false;
	events->control_count = 0;
	events->fault = events->http_status = 0;
}

/* Into room of just its size. Returns how many were taken. */
static size_t receive(struct link *link, struct end *end, const uint8_t *at, size_t size, struct wsf_events *events)
{
	size_t room = fuzz_piece(&link->room_lot, 1 + fuzz_draw(&link->room_lot, 5000)), used;
	uint8_t *piece, *place;
	struct wsf_sink sink;

	if (size > 300)
		room += fuzz_draw(&link->room_lot, 3000);
	place = fuzz_memory(room);
	piece = fuzz_copy(at, size);
	sink = (struct wsf_sink){ .span = { { place, room } } };
	prepare(events);
	used = wsf_endpoint_receive(&end->endpoint, piece, size, &sink, events);
	REQUIRE(events->fault == 0 && (used == size || sink.bytes == room));
	fuzz_put(&end->got, place, sink.bytes);
	free(piece);
	free(place);
	return used;
}

/* Frames, of which the last is what is looked for: its events stay. */
static void deliver(struct link *link, struct end *end, const struct fuzz_buffer *wire, struct wsf_events *last)
{
	size_t at = 0;

	prepare(last);
	while (at < wire->size || wsf_endpoint_pending(&end->endpoint)) {
		size_t left = wire->size - at, n = fuzz_piece(&link->lot, left);

		if (left > 2000 && n < 50)
			n += 700;
		at += receive(link, end, wire->data + at, n, last);
		REQUIRE(last->answer == NULL && !last->opened);
	}
}

/* --- opening --- */

static struct wsf_deflate_params wanted(unsigned choice)
{
	static const int bits[] = { 15, 9, 12, 10 };

	return (struct wsf_deflate_params){
		.on = (choice & 128) == 0, .level = (choice & 64) != 0 ? 1 : 6, .max_ratio = 0,
		.send_window_bits = bits[choice & 3], .recv_window_bits = bits[choice >> 2 & 3],
		.send_no_context_takeover = (choice & 16) != 0, .recv_no_context_takeover = (choice & 32) != 0,
	};
}

static void check_agreement(const struct wsf_endpoint *client, const struct wsf_endpoint *server)
{
	const struct wsf_deflate_params *one = &client->deflate.params, *other = &server->deflate.params;

	REQUIRE(one->on == other->on && (client->subprotocol == NULL) == (server->subprotocol == NULL));
	REQUIRE(client->subprotocol == NULL || strcmp(client->subprotocol, server->subprotocol) == 0);
	REQUIRE((client->extensions == NULL) == (server->extensions == NULL));
	REQUIRE(client->extensions == NULL || strcmp(client->extensions, server->extensions) == 0);
	if (!one->on)
		return;
	REQUIRE(one->send_window_bits <= other->recv_window_bits && other->send_window_bits <= one->recv_window_bits);
	REQUIRE(one->send_no_context_takeover || !other->recv_no_context_takeover);
	REQUIRE(other->send_no_context_takeover || !one->recv_no_context_takeover);
}

static void shake_hands(struct link *link)
{
	struct end *client = &link->ends[0], *server = &link->ends[1];
	struct fuzz_buffer wire = { 0 };
	struct wsf_events events;
	char *request;
	size_t size, at = 0;

	REQUIRE(wsf_endpoint_request(&client->endpoint, &request, &size) == 0);
	fuzz_put(&wire, request, size);
	free(request);
	while (at < wire.size)
		at += receive(link, server, wire.data + at, fuzz_piece(&link->lot, wire.size - at), &events);
	REQUIRE(events.opened && events.http_status == 101 && events.answer != NULL);
	wire.size = at = 0;
	fuzz_put(&wire, events.answer, events.answer_bytes);
	free(events.answer);
	while (at < wire.size)
		at += receive(link, client, wire.data + at, fuzz_piece(&link->lot, wire.size - at), &events);
	REQUIRE(events.opened && events.http_status == 101 && events.answer == NULL);
	check_agreement(&client->endpoint, &server->endpoint);
	fuzz_buffer_clear(&wire);
}

static void open_both(struct link *link, struct fuzz_input *in)
{
	static const char *const subprotocols[] = { "chat", "superchat", NULL };
	static const size_t frames[] = { 65536, 1, 7, 126, 300, 4, 20000, 127 };
	unsigned how = fuzz_byte(in), client = fuzz_byte(in), server = fuzz_byte(in), longest = fuzz_byte(in);
	struct wsf_endpoint_config config = {
		.role = WSF_CLIENT, .max_header_bytes = 4096, .host = "h", .target = "/", .text_is_data = true,
		.subprotocols = (how & 1) != 0 ? subprotocols : NULL, .deflate = wanted(client),
		.text_frames = (how & 2) != 0, .max_frame_bytes = frames[longest & 7],
	};

	memset(link, 0, sizeof(*link));
	link->lot = fuzz_lot(fuzz_byte(in));
	link->room_lot = fuzz_lot(link->lot.state);
	fuzz_repeat_randomness();
	REQUIRE(wsf_endpoint_init(&link->ends[0].endpoint, &config) == 0);
	config.role = WSF_SERVER;
	config.subprotocols = (how & 4) != 0 ? subprotocols + 1 : NULL;
	config.text_frames = (how & 8) != 0;
	config.deflate = wanted(server);
	config.max_frame_bytes = frames[longest >> 3 & 7];
	REQUIRE(wsf_endpoint_init(&link->ends[1].endpoint, &config) == 0);
	shake_hands(link);
}

/* --- what they do --- */

static void put_frame(struct fuzz_buffer *wire, const struct wsf_frame_start *start, const void *payload, size_t size,
    size_t offset)
{
	uint8_t *place;

	fuzz_put(wire, payload, size);
	place = wire->data + wire->size - size;
	if (start->masked && size > 0)
		wsf_mask_copy(place, place, size, start->key, offset);
}

/* As the stream does it. */
static void put_message(struct end *end, const struct wsf_message *message, const uint8_t *data,
    struct fuzz_buffer *wire)
{
	size_t plain_bytes = message->prefix_bytes + message->take_bytes, out_bytes = plain_bytes;
	struct wsf_frame_start start;
	const uint8_t *out = NULL;
	int rv = -EOPNOTSUPP;

	if (wsf_endpoint_deflates(&end->endpoint))
		rv = wsf_endpoint_deflate(&end->endpoint, message, data, &out, &out_bytes);
	REQUIRE(rv == 0 || rv == -EOPNOTSUPP);
	if (rv != 0)
		out_bytes = plain_bytes;
	REQUIRE(out_bytes <= plain_bytes + DEFLATE_SLACK(plain_bytes));
	REQUIRE(wsf_endpoint_start_frame(&end->endpoint, out_bytes, rv == 0, &start) == 0);
	fuzz_put(wire, start.header, start.header_bytes);
	if (rv == 0) {
		put_frame(wire, &start, out, out_bytes, 0);
	} else {
		put_frame(wire, &start, message->prefix, message->prefix_bytes, 0);
		put_frame(wire, &start, data, message->take_bytes, message->prefix_bytes);
	}
	fuzz_put(&end->sent, message->prefix, message->prefix_bytes);
	fuzz_put(&end->sent, data, message->take_bytes);
	end->messages++;
}

/* Messages until all of it is used. Text that can't be is refused where the program writes it, and not before. */
static void write_all(struct end *end, const uint8_t *data, size_t size, struct fuzz_buffer *wire)
{
	bool text = end->endpoint.text_frames, valid = !text || wsf_utf8_feed(&end->utf8, data, size);
	struct wsf_message message;
	size_t done = 0, longest = end->endpoint.max_frame_bytes;
	int rv = 0;

	while (done < size) {
		rv = wsf_endpoint_next_message(&end->endpoint, data + done, size - done, &message);
		if (rv != 0)
			break;
		REQUIRE(message.used_bytes > 0 && message.used_bytes <= size - done);
		REQUIRE(message.take_bytes <= message.used_bytes);
		REQUIRE(message.prefix_bytes + message.take_bytes <= (text && longest < 4 ? 4 : longest));
		if (message.prefix_bytes + message.take_bytes > 0)
			put_message(end, &message, data + done, wire);
		done += message.used_bytes;
	}
	REQUIRE(rv == (valid ? 0 : -EILSEQ));
	end->failed = rv != 0;
	REQUIRE(!valid || !text || wsf_endpoint_holds_text(&end->endpoint) == !wsf_utf8_complete(&end->utf8));
}

static void do_write(struct link *link, struct end *end, struct end *other, unsigned how, struct fuzz_input *in)
{
	size_t size = fuzz_byte(in), times = (how & 8) != 0 ? 1 + fuzz_byte(in) : 1;
	const uint8_t *bytes = fuzz_bytes(in, &size);
	struct fuzz_buffer data = { 0 }, wire = { 0 };
	struct wsf_events events;
	size_t done = 0;

	for (size_t i = 0; i < times && link->written_bytes < WRITTEN_MAX; i++) {
		fuzz_put(&data, bytes, size);
		link->written_bytes += size;
	}
	while (done < data.size && !end->failed) {
		size_t n = (how & 16) != 0 ? fuzz_piece(&link->lot, data.size - done) : data.size;
		uint8_t *piece;

		if (data.size > 3000 && n < 100)
			n = data.size - done < 700 ? data.size - done : 700;
		piece = fuzz_copy(data.data + done, n);
		write_all(end, piece, n, &wire);
		free(piece);
		done += n;
	}
	deliver(link, other, &wire, &events);
	REQUIRE(events.control_count == 0 && !events.close);
	REQUIRE(fuzz_same(&other->got, &end->sent) && other->endpoint.messages_received == end->messages);
	fuzz_buffer_clear(&data);
	fuzz_buffer_clear(&wire);
}

static void do_control(struct link *link, struct end *end, struct end *other, enum wsf_opcode opcode,
    struct fuzz_input *in)
{
	size_t size = fuzz_byte(in) % (WSF_CONTROL_PAYLOAD_MAX + 1);
	const uint8_t *payload = fuzz_bytes(in, &size);
	uint8_t *copy = fuzz_copy(payload, size), *frame = fuzz_memory(WSF_CONTROL_FRAME_MAX);
	int frame_bytes = wsf_endpoint_control_frame(&end->endpoint, opcode, copy, size, frame);
	struct fuzz_buffer wire = { 0 };
	struct wsf_events events;

	REQUIRE(frame_bytes > 0 && frame_bytes <= WSF_CONTROL_FRAME_MAX);
	fuzz_put(&wire, frame, (size_t)frame_bytes);
	deliver(link, other, &wire, &events);
	REQUIRE(events.control_count == 1 && events.ping == (opcode == WSF_PING));
	REQUIRE(events.controls[0].pong == (opcode == WSF_PONG) && events.controls[0].size == size);
	REQUIRE(memcmp(events.controls[0].payload, copy, size) == 0);
	free(copy);
	free(frame);
	fuzz_buffer_clear(&wire);
}

/* A reason that is not UTF-8, or one that is cut inside a character, is the program's to avoid; ws_shutdown does. */
static void do_close(struct link *link, struct end *end, struct end *other, struct fuzz_input *in)
{
	unsigned code = fuzz_number(in, 2);
	char *reason = fuzz_line(in), *frame = fuzz_memory(WSF_CONTROL_FRAME_MAX);
	struct wsf_utf8 utf8 = { 0 };
	struct fuzz_buffer wire = { 0 };
	struct wsf_events events;
	size_t size = strlen(reason);
	int frame_bytes;

	if (!wsf_close_code_valid(code))
		code = WSF_NO_CODE;
	if (size > WSF_REASON_MAX || !wsf_utf8_feed(&utf8, reason, size) || !wsf_utf8_complete(&utf8))
		reason[0] = '\0';
	frame_bytes = wsf_endpoint_close_frame(&end->endpoint, code, reason, (uint8_t *)frame);
	REQUIRE(frame_bytes > 0 && frame_bytes <= WSF_CONTROL_FRAME_MAX);
	fuzz_put(&wire, frame, (size_t)frame_bytes);
	deliver(link, other, &wire, &events);
	REQUIRE(events.close && events.close_code == code);
	REQUIRE(strcmp(events.close_reason, code == WSF_NO_CODE ? "" : reason) == 0);
	end->closed = true;
	free(reason);
	free(frame);
	fuzz_buffer_clear(&wire);
}

static void step(struct link *link, struct fuzz_input *in)
{
	unsigned how = fuzz_byte(in);
	struct end *end = &link->ends[how & 1], *other = &link->ends[(how & 1) ^ 1];

	if (end->closed)
		return;
	switch (how >> 5) {
	case 0:
		do_control(link, end, other, WSF_PING, in);
		break;
	case 1:
		do_control(link, end, other, WSF_PONG, in);
		break;
	case 2:
		wsf_endpoint_idle(&end->endpoint);
		break;
	case 7:
		if ((how & 2) != 0)
			do_close(link, end, other, in);
		break;
	default:
		if (!end->failed)
			do_write(link, end, other, how, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct link link;

	open_both(&link, &in);
	for (int i = 0; i < STEPS_MAX && in.left > 0; i++)
		step(&link, &in);
	for (int i = 0; i < 2; i++) {
		wsf_endpoint_clear(&link.ends[i].endpoint);
		fuzz_buffer_clear(&link.ends[i].sent);
		fuzz_buffer_clear(&link.ends[i].got);
	}
	return 0;
}
