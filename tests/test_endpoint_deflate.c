/* SPDX-License-Identifier: 0BSD */
/* The endpoint with permessage-deflate: agreed on, received in any pieces and into any room, and sent. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "bytes.h"
#include "endpoint.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define PIECES_MAX 9
#define FREE_BYTES 65536

#define BINARY 0x82
#define BINARY_FIRST 0x02
#define TEXT 0x81
#define RSV1 0x40
#define DEFLATED (BINARY | RSV1)
#define DEFLATED_FIRST (BINARY_FIRST | RSV1)
#define DEFLATED_TEXT (TEXT | RSV1)
#define DEFLATED_TEXT_FIRST (0x01 | RSV1)
#define MIDDLE 0x00
#define LAST 0x80
#define CLOSE 0x88
#define PING 0x89

/* RFC 7692, section 7.2.3: "Hello", and once more with what is in the window; and blocks with the text as it is. */
#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define HELLO_AGAIN "\xf2\x00\x11\x00\x00"
#define STORED_2(text) "\x00\x02\x00\xfd\xff" text "\x00"
#define STORED_3(text) "\x00\x03\x00\xfc\xff" text "\x00"
#define STORED_4(text) "\x00\x04\x00\xfb\xff" text "\x00"

static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static const struct wsf_deflate_params defaults = {
	.on = true, .send_window_bits = 15, .recv_window_bits = 15, .level = 6, .max_ratio = 200,
};

/* --- frames --- */

static void put_frame(struct bytes *wire, unsigned byte0, bool masked, const void *payload, size_t size)
{
	uint8_t head[10] = { (uint8_t)byte0, masked ? 0x80 : 0 };
	size_t extended = size < 126 ? 0 : size < 65536 ? 2 : 8, start;

	head[1] = (uint8_t)(head[1] | (extended == 0 ? size : extended == 2 ? 126 : 127));
	for (size_t i = 0; i < extended; i++)
		head[2 + i] = (uint8_t)((uint64_t)size >> 8 * (extended - 1 - i));
	put(wire, head, 2 + extended);
	if (masked)
		put(wire, key, sizeof(key));
	start = wire->size;
	put(wire, payload, size);
	for (size_t i = 0; masked && i < size; i++)
		wire->data[start + i] ^= key[i % 4];
}

/* --- one endpoint that is fed --- */

struct end {
	struct wsf_endpoint endpoint;
	struct wsf_events events;
	struct bytes payload;
};

static void end_init(struct end *end, enum wsf_role role, bool text_is_data, uint64_t max_message_bytes,
    const struct wsf_deflate_params *params)
{
	const struct wsf_endpoint_config config = {
		.role = role, .max_header_bytes = 16384, .text_is_data = text_is_data,
		.max_message_bytes = max_message_bytes, .max_frame_bytes = 65536,
	};

	memset(end, 0, sizeof(*end));
	wsf_endpoint_init(&end->endpoint, &config);
	end->endpoint.phase = WSF_PHASE_HEADER;
	end->endpoint.deflate.params = *params;
	put(&end->payload, "", 0);
}

static void end_clear(struct end *end)
{
	wsf_endpoint_clear(&end->endpoint);
	free(end->payload.data);
}

/* How the bytes come, and where they go. */
struct way {
	size_t piece_bytes;		/* fed at once, at most; 0 = all */
	size_t room_bytes;		/* of the sink, 0 = discard */
	bool any;			/* anything up to these, by lot */
};

static size_t up_to(size_t most, bool any, uint32_t *state)
{
	return any ? next_number(state) % most + 1 : most;
}

/* One call, with room in three spans, each of just its size. Returns what was taken. */
static size_t feed_once(struct end *end, const uint8_t *bytes, size_t size, size_t room, uint32_t *state)
{
	uint8_t *in = malloc(size > 0 ? size : 1);
	size_t first = next_number(state) % (room + 1), second = next_number(state) % (room - first + 1), used, left;
	const size_t sizes[3] = { first, second, room - first - second };
	struct wsf_sink sink = { .discard = room == 0 };

	if (in == NULL)
		ck_abort_msg("out of memory");
	if (size > 0)
		memcpy(in, bytes, size);
	for (int i = 0; i < 3 && room > 0; i++) {
		sink.span[i].iov_base = malloc(sizes[i] > 0 ? sizes[i] : 1);
		sink.span[i].iov_len = sizes[i];
		if (sink.span[i].iov_base == NULL)
			ck_abort_msg("out of memory");
	}
	used = wsf_endpoint_receive(&end->endpoint, size > 0 ? in : NULL, size, &sink, &end->events);
	if (used > size || sink.bytes > room)
		ck_abort_msg("%zu of %zu bytes into %zu of %zu", used, size, sink.bytes, room);
	if ((used < size || wsf_endpoint_pending(&end->endpoint)) && sink.bytes < room)
		ck_abort_msg("stopped at %zu of %zu bytes with %zu of %zu filled", used, size, sink.bytes, room);
	if (room == 0 && (used < size || wsf_endpoint_pending(&end->endpoint)))
		ck_abort_msg("stopped at %zu of %zu bytes, discarding", used, size);
	left = sink.bytes;
	for (int i = 0; i < 3 && room > 0; i++) {
		size_t n = left < sizes[i] ? left : sizes[i];

		put(&end->payload, sink.span[i].iov_base, n);
		left -= n;
		free(sink.span[i].iov_base);
	}
	free(in);
	return used;
}

/* As the stream does: all of a piece, with new room as often as that takes. */
static void feed_piece(struct end *end, const uint8_t *bytes, size_t size, const struct way *way, uint32_t *state)
{
	do {
		size_t room = way->room_bytes > 0 ? up_to(way->room_bytes, way->any, state) : 0;
		size_t used = feed_once(end, bytes, size, room, state);

		bytes += used;
		size -= used;
	} while (size > 0 || wsf_endpoint_pending(&end->endpoint));
}

static void feed(struct end *end, const struct bytes *wire, const struct way *way)
{
	uint32_t state = (uint32_t)(way->piece_bytes * 31 + way->room_bytes);
	size_t used = 0;

	while (used < wire->size) {
		size_t n = way->piece_bytes > 0 ? up_to(way->piece_bytes, way->any, &state) : wire->size;

		if (n > wire->size - used)
			n = wire->size - used;
		feed_piece(end, wire->data + used, n, way, &state);
		used += n;
	}
}

/* --- what each sequence of frames gives --- */

struct piece {
	unsigned byte0;			/* FIN, RSV, opcode; 0 with bytes NULL = no more */
	const char *bytes;
	size_t size;
};

#define F(byte0, text) { byte0, text, sizeof(text) - 1 }

struct row {
	const char *name;
	struct piece pieces[PIECES_MAX];
	bool not_agreed, no_context_takeover;
	uint64_t max_message_bytes;
	/* what comes of it */
	const char *payload;
	uint64_t messages;
	const char *ping;
	unsigned close_code;
	int fault;
	unsigned fault_code;
};

static const struct row rows[] = {
	{ "a deflated message", { F(DEFLATED, HELLO) }, .payload = "Hello", .messages = 1 },
	{ "deflated messages with one context, others between",
	    { F(DEFLATED, HELLO), F(BINARY, ", "), F(DEFLATED, HELLO_AGAIN), F(PING, "p"), F(TEXT, "!") },
	    .payload = "Hello, Hello!", .messages = 4, .ping = "p" },
	{ "fragments of a deflated message, control frames between",
	    { F(DEFLATED_FIRST, "\xf2"), F(PING, "1"), F(MIDDLE, "\x48\xcd\xc9"), F(MIDDLE, ""), F(PING, "2"),
	    F(LAST, "\xc9\x07\x00"), F(DEFLATED, HELLO_AGAIN), F(CLOSE, "\x03\xe8") },
	    .payload = "HelloHello", .messages = 2, .ping = "2", .close_code = 1000 },
	{ "empty first and last fragments", { F(DEFLATED_FIRST, ""), F(MIDDLE, HELLO), F(LAST, ""), F(BINARY, "x") },
	    .payload = "Hellox", .messages = 2 },
	{ "an empty deflated message", { F(DEFLATED, "\x00"), F(DEFLATED, HELLO) }, .payload = "Hello", .messages = 2 },
	{ "deflated messages without any byte",
	    { F(DEFLATED, ""), F(DEFLATED, HELLO), F(DEFLATED_FIRST, ""), F(LAST, ""), F(DEFLATED, HELLO_AGAIN) },
	    .payload = "HelloHello", .messages = 4 },
	{ "a final block", { F(DEFLATED, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), F(DEFLATED, HELLO_AGAIN) },
	    .payload = "HelloHello", .messages = 2 },
	{ "a deflated text", { F(DEFLATED_TEXT, STORED_3("\xe2\x82\xac")) }, .payload = "\xe2\x82\xac", .messages = 1 },
	{ "a character over deflated fragments", { F(DEFLATED_TEXT_FIRST, "\x00\x03\x00\xfc\xff\xe2"),
	    F(PING, "\xff"), F(MIDDLE, "\x82"), F(LAST, "\xac\x00") }, .payload = "\xe2\x82\xac", .messages = 1,
	    .ping = "\xff" },
	{ "bytes that are no UTF-8 in a deflated binary message", { F(DEFLATED, STORED_2("\xff\xc0")) },
	    .payload = "\xff\xc0", .messages = 1 },
	/* reserved bits: RFC 7692, section 6 */
	{ "RSV1 that is not agreed", { F(BINARY, "a"), F(DEFLATED, HELLO) }, .not_agreed = true, .payload = "a",
	    .messages = 1, .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a continuation", { F(DEFLATED_FIRST, HELLO), F(LAST | RSV1, "") }, .payload = "Hello",
	    .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a continuation only", { F(BINARY_FIRST, "a"), F(LAST | RSV1, HELLO) }, .payload = "a",
	    .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a ping", { F(PING | RSV1, "") }, .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a Close", { F(CLOSE | RSV1, "\x03\xe8") }, .fault = EPROTO, .fault_code = 1002 },
	{ "RSV2", { F(BINARY | 0x20, "a") }, .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 and RSV3", { F(DEFLATED | 0x10, HELLO) }, .fault = EPROTO, .fault_code = 1002 },
	/* order of frames, as without */
	{ "a deflated message inside a fragmented one", { F(BINARY_FIRST, "a"), F(DEFLATED, HELLO) }, .payload = "a",
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a Close inside a deflated message", { F(DEFLATED_FIRST, HELLO), F(CLOSE, "\x03\xe8") }, .payload = "Hello",
	    .fault = EPROTO, .fault_code = 1002 },
	/* no deflate */
	{ "what is not deflate", { F(DEFLATED, HELLO), F(DEFLATED, "\x07"), F(BINARY, "x") }, .payload = "Hello",
	    .messages = 1, .fault = EPROTO, .fault_code = 1007 },
	{ "what is not deflate behind what is", { F(DEFLATED_FIRST, "\xf2\x48\x05\x00\x00\x00\xff\xff"), F(PING, "p"),
	    F(LAST, "\x07") }, .payload = "He", .ping = "p", .fault = EPROTO, .fault_code = 1007 },
	{ "a message that ends inside a block", { F(DEFLATED, "\x00\x20\x00\xdf\xff"), F(BINARY, "x") },
	    .payload = NULL, .fault = EPROTO, .fault_code = 1007 },
	{ "a context that is not taken over", { F(DEFLATED, HELLO), F(DEFLATED, HELLO_AGAIN) },
	    .no_context_takeover = true, .payload = "HelloH", .messages = 1, .fault = EPROTO, .fault_code = 1007 },
	{ "messages that need no context", { F(DEFLATED, HELLO), F(DEFLATED, HELLO) }, .no_context_takeover = true,
	    .payload = "HelloHello", .messages = 2 },
	/* text */
	{ "a deflated text that is not UTF-8", { F(DEFLATED_TEXT, STORED_4("ab\xff" "c")), F(BINARY, "x") },
	    .payload = "ab", .fault = EILSEQ, .fault_code = 1007 },
	{ "a deflated text that ends inside a character", { F(DEFLATED_TEXT, STORED_2("a\xe2")), F(BINARY, "x") },
	    .payload = "a\xe2", .fault = EILSEQ, .fault_code = 1007 },
	{ "no UTF-8 before what is not deflate", { F(DEFLATED_TEXT, "\x00\x02\x00\xfd\xff" "a\xff\x07") },
	    .payload = "a", .fault = EILSEQ, .fault_code = 1007 },
	/* the limit is for what came out */
	{ "a deflated message of just the limit", { F(DEFLATED, HELLO), F(DEFLATED, HELLO_AGAIN) },
	    .max_message_bytes = 5, .payload = "HelloHello", .messages = 2 },
	{ "a deflated message over the limit", { F(DEFLATED, HELLO), F(BINARY, "x") }, .max_message_bytes = 4,
	    .payload = "Hell", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "deflated fragments over the limit", { F(DEFLATED_FIRST, "\xf2\x48\xcd"), F(MIDDLE, "\xc9\xc9"),
	    F(LAST, "\x07\x00") }, .max_message_bytes = 3, .payload = "Hel", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "the limit before what is not deflate", { F(DEFLATED, "\x00\x02\x00\xfd\xff" "ab\x07") },
	    .max_message_bytes = 1, .payload = "a", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "what is not deflate at the limit", { F(DEFLATED, "\x00\x02\x00\xfd\xff" "ab\x07") },
	    .max_message_bytes = 2, .payload = "ab", .fault = EPROTO, .fault_code = 1007 },
	{ "the limit before no UTF-8", { F(DEFLATED_TEXT, STORED_3("ab\xff")) }, .max_message_bytes = 2,
	    .payload = "ab", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "a message over the limit that was not deflated", { F(DEFLATED, HELLO), F(BINARY, "123456") },
	    .max_message_bytes = 5, .payload = "Hello", .messages = 1, .fault = EMSGSIZE, .fault_code = 1009 },
};

static void check_row(const struct row *row, const struct end *end, const struct way *way)
{
	const struct wsf_events *events = &end->events;
	const char *payload = row->payload != NULL ? row->payload : "";
	size_t size = strlen(payload);
	bool right = events->ping == (row->ping != NULL) && events->close == (row->close_code != 0) &&
	    events->close_code == row->close_code && events->fault == row->fault &&
	    events->fault_code == row->fault_code && (events->text[0] != '\0') == (row->fault != 0) &&
	    end->endpoint.messages_received == row->messages;

	/* Without a payload it is that of a block cut off, and nobody's business. */
	if (row->payload != NULL || row->fault == 0)
		right = right && end->endpoint.bytes_received == size &&
		    end->payload.size == (way->room_bytes > 0 ? size : 0) &&
		    memcmp(end->payload.data, payload, end->payload.size) == 0;
	if (right && events->ping)
		right = events->ping_bytes == strlen(row->ping) &&
		    memcmp(events->ping_payload, row->ping, events->ping_bytes) == 0;
	if (!right)
		ck_abort_msg("%s, by %zu into %zu: \"%.*s\", %llu messages, fault %d, Close %u: %s", row->name,
		    way->piece_bytes, way->room_bytes, (int)end->payload.size, (const char *)end->payload.data,
		    (unsigned long long)end->endpoint.messages_received, events->fault, events->fault_code,
		    events->text);
	if (wsf_endpoint_pending(&end->endpoint))
		ck_abort_msg("%s: something is pending at the end", row->name);
}

static void run_row(const struct row *row, enum wsf_role role, const struct bytes *wire, const struct way *way)
{
	struct wsf_deflate_params params = defaults;
	struct end end;

	params.on = !row->not_agreed;
	params.recv_no_context_takeover = row->no_context_takeover;
	end_init(&end, role, true, row->max_message_bytes, &params);
	feed(&end, wire, way);
	check_row(row, &end, way);
	end_clear(&end);
}

START_TEST(frames_give_the_same_however_they_come_and_into_any_room)
{
	static const enum wsf_role roles[] = { WSF_CLIENT, WSF_SERVER };
	static const size_t rooms[] = { 0, 1, 2, 3, 5, 9, 15 };
	const struct row *row = &rows[_i];

	for (size_t r = 0; r < COUNT(roles); r++) {
		struct bytes wire = { 0 };

		for (const struct piece *piece = row->pieces; piece->bytes != NULL; piece++)
			put_frame(&wire, piece->byte0, roles[r] == WSF_SERVER, piece->bytes, piece->size);
		for (size_t piece = 0; piece <= wire.size; piece++) {
			for (size_t i = 0; i < COUNT(rooms); i++) {
				run_row(row, roles[r], &wire, &(struct way){ piece, rooms[i], false });
				run_row(row, roles[r], &wire, &(struct way){ piece > 0 ? piece : 1, rooms[i], true });
			}
		}
		free(wire.data);
	}
}
END_TEST

/* --- long ones --- */

/* The other end of the wire. */
struct sender {
	struct wsf_deflate deflate;
	bool masked;
	uint32_t state;
	struct bytes wire, data;
	uint64_t messages;
};

static void put_content(struct sender *sender, int kind, size_t size)
{
	static const char words[] = "messages of a byte stream come in frames and nobody sees them ";

	for (size_t i = 0; i < size; i++) {
		uint8_t byte = kind == 0 ? '0' : kind == 1 ? (uint8_t)words[i % (sizeof(words) - 1)] :
		    (uint8_t)(' ' + next_number(&sender->state) % 95);

		if (kind == 1 && next_number(&sender->state) % 20 == 0)
			byte = '_';
		put(&sender->data, &byte, 1);
	}
}

/* One message, deflated or not, in up to four frames with pings between. */
static void put_message(struct sender *sender, bool deflated, bool text, int kind, size_t size)
{
	size_t start = sender->data.size, left, fragments = next_number(&sender->state) % 4, n;
	unsigned byte0 = (text ? 0x01u : 0x02u) | (deflated ? RSV1 : 0u);
	const uint8_t *payload;

	put_content(sender, kind, size);
	payload = sender->data.data + start;
	left = size;
	if (deflated) {
		const struct iovec in = { (void *)payload, size };

		if (wsf_deflate_message(&sender->deflate, &in, 1, &payload, &left) != 0)
			byte0 &= ~(unsigned)RSV1;
	}
	for (; fragments > 0; fragments--) {
		n = next_number(&sender->state) % (left + 1);
		put_frame(&sender->wire, byte0, sender->masked, payload, n);
		if (next_number(&sender->state) % 2 == 0)
			put_frame(&sender->wire, PING, sender->masked, "between", 7);
		payload += n;
		left -= n;
		byte0 = 0;
	}
	put_frame(&sender->wire, byte0 | 0x80, sender->masked, payload, left);
	sender->messages++;
}

static void converse(struct sender *sender, bool text, size_t longest)
{
	put(&sender->data, "", 0);
	for (int i = 0; i < 40; i++) {
		size_t size = next_number(&sender->state) % (i % 4 == 0 ? longest : 200);

		put_message(sender, i % 5 != 0, text, i % 3, size);
	}
	put_frame(&sender->wire, CLOSE, sender->masked, "\x03\xe8" "end", 5);
}

static const struct {
	int bits;
	bool no_context_takeover, text, masked;
} conversations[] = {
	{ 15, false, false, true },
	{ 15, false, true, false },
	{ 15, true, true, true },
	{ 9, false, true, true },
	{ 9, true, false, false },
	{ 12, false, false, false },
};

static const struct way long_ways[] = {
	{ 0, 1000000, false }, { 0, 0, false }, { 1, 100000, false }, { 1, 0, false }, { 1000, 1000, true },
	{ 100, 5000, true }, { 10000, 100, true }, { 0, 1, false }, { 0, 65536, true }, { 70000, 4097, false },
	{ 3, 3, true }, { 5000, 0, true },
};

START_TEST(long_messages_come_whole_in_any_pieces_into_any_room)
{
	struct wsf_deflate_params params = defaults;
	struct sender sender = { .masked = conversations[_i].masked, .state = 99 };

	params.send_window_bits = params.recv_window_bits = conversations[_i].bits;
	params.send_no_context_takeover = params.recv_no_context_takeover = conversations[_i].no_context_takeover;
	sender.deflate.params = params;
	converse(&sender, conversations[_i].text, 20000);
	for (size_t w = 0; w < COUNT(long_ways); w++) {
		bool discarded = long_ways[w].room_bytes == 0;
		struct end end;

		end_init(&end, sender.masked ? WSF_SERVER : WSF_CLIENT, true, 60000, &params);
		feed(&end, &sender.wire, &long_ways[w]);
		if (end.events.fault != 0)
			ck_abort_msg("way %zu: %s", w, end.events.text);
		ck_assert_uint_eq(end.endpoint.messages_received, sender.messages);
		ck_assert_uint_eq(end.endpoint.bytes_received, sender.data.size);
		ck_assert_uint_eq(end.payload.size, discarded ? 0 : sender.data.size);
		ck_assert(memcmp(end.payload.data, sender.data.data, end.payload.size) == 0);
		ck_assert(end.events.ping && end.events.close);
		end_clear(&end);
	}
	wsf_deflate_clear(&sender.deflate);
	free(sender.wire.data);
	free(sender.data.data);
}
END_TEST

/* Whatever comes of a damaged wire, it is the same for each way. Returns whether it is a fault. */
static bool check_damaged(const struct bytes *wire, uint64_t max_message_bytes, unsigned max_ratio, const char *what,
    size_t at)
{
	static const struct way ways[] = { { 1, 7, true }, { 0, 0, false }, { 900, 300, true }, { 17, 100000, true } };
	struct wsf_deflate_params params = defaults;
	struct end whole, end;
	bool fault;

	params.max_ratio = max_ratio;
	end_init(&whole, WSF_CLIENT, true, max_message_bytes, &params);
	feed(&whole, wire, &(struct way){ 0, 10000000, false });
	for (size_t w = 0; w < COUNT(ways); w++) {
		const struct wsf_events *e = &whole.events, *g = &end.events;
		bool same;

		end_init(&end, WSF_CLIENT, true, max_message_bytes, &params);
		feed(&end, wire, &ways[w]);
		same = g->fault == e->fault && g->fault_code == e->fault_code && strcmp(g->text, e->text) == 0 &&
		    g->close == e->close && g->close_code == e->close_code && g->ping == e->ping &&
		    end.endpoint.messages_received == whole.endpoint.messages_received &&
		    end.endpoint.bytes_received == whole.endpoint.bytes_received;
		if (same && ways[w].room_bytes > 0)
			same = end.payload.size == whole.payload.size &&
			    memcmp(end.payload.data, whole.payload.data, end.payload.size) == 0;
		if (!same)
			ck_abort_msg("%s %zu, way %zu: fault %d behind %llu bytes, not %d behind %llu: %s", what, at, w,
			    g->fault, (unsigned long long)end.endpoint.bytes_received, e->fault,
			    (unsigned long long)whole.endpoint.bytes_received, g->text);
		end_clear(&end);
	}
	fault = whole.events.fault != 0;
	end_clear(&whole);
	return fault;
}

START_TEST(damage_is_found_at_the_same_byte_however_it_comes)
{
	struct sender sender = { .deflate.params = defaults, .state = 4242 };
	size_t faults = 0;

	converse(&sender, true, 3000);
	for (int i = 0; i < 100; i++) {
		struct bytes wire = { 0 };
		size_t at = next_number(&sender.state) % sender.wire.size;

		put(&wire, sender.wire.data, sender.wire.size);
		wire.data[at] ^= (uint8_t)(1u << next_number(&sender.state) % 8);
		faults += check_damaged(&wire, i % 3 == 0 ? 2000 : 0, i % 2 == 0 ? 1 : 200, "damage at", at);
		free(wire.data);
	}
	ck_assert_uint_gt(faults, 30);
	wsf_deflate_clear(&sender.deflate);
	free(sender.wire.data);
	free(sender.data.data);
}
END_TEST

START_TEST(a_bomb_is_1009_at_the_same_byte_however_it_comes)
{
	static const unsigned ratios[] = { 1, 10, 200, 900 };
	struct sender sender = { .deflate.params = defaults, .state = 5 };
	struct end end;

	put(&sender.data, "", 0);
	put_message(&sender, true, true, 1, 5000);
	put_message(&sender, true, true, 0, 2000000);
	for (size_t i = 0; i < COUNT(ratios); i++) {
		struct wsf_deflate_params params = defaults;

		params.max_ratio = ratios[i];
		ck_assert(check_damaged(&sender.wire, 0, ratios[i], "ratio", ratios[i]));
		end_init(&end, WSF_CLIENT, true, 0, &params);
		feed(&end, &sender.wire, &(struct way){ 0, 65536, false });
		ck_assert_int_eq(end.events.fault, EMSGSIZE);
		ck_assert_uint_eq(end.events.fault_code, 1009);
		ck_assert_uint_gt(end.payload.size, 5000 + FREE_BYTES);
		ck_assert_uint_lt(end.payload.size, 5000 + FREE_BYTES + 1032 + ratios[i] * sender.wire.size);
		ck_assert_uint_eq(end.endpoint.messages_received, 1);
		end_clear(&end);
	}
	ck_assert(check_damaged(&sender.wire, 100000, 0, "limit", 100000));
	end_init(&end, WSF_CLIENT, true, 100000, &(struct wsf_deflate_params){ .on = true, .recv_window_bits = 15 });
	feed(&end, &sender.wire, &(struct way){ 0, 4096, false });
	ck_assert_int_eq(end.events.fault, EMSGSIZE);
	ck_assert_uint_eq(end.payload.size, 5000 + 100000);
	end_clear(&end);
	wsf_deflate_clear(&sender.deflate);
	free(sender.wire.data);
	free(sender.data.data);
}
END_TEST

/* --- room --- */

START_TEST(what_finds_no_room_waits)
{
	uint8_t room[64];
	struct wsf_sink sink = { .span = { { room, 2 } } };
	struct bytes wire = { 0 };
	uint32_t state = 1;
	struct end end;
	size_t used;

	put_frame(&wire, DEFLATED, false, HELLO, sizeof(HELLO) - 1);
	put_frame(&wire, BINARY, false, "abc", 3);
	end_init(&end, WSF_CLIENT, false, 0, &defaults);
	used = wsf_endpoint_receive(&end.endpoint, wire.data, wire.size, &sink, &end.events);
	ck_assert_uint_eq(sink.bytes, 2);
	ck_assert_mem_eq(room, "He", 2);
	ck_assert(wsf_endpoint_pending(&end.endpoint));
	ck_assert_uint_lt(used, wire.size);
	/* No room, no progress, no harm. */
	sink = (struct wsf_sink){ .span = { { room, 0 } } };
	ck_assert_uint_eq(wsf_endpoint_receive(&end.endpoint, NULL, 0, &sink, &end.events), 0);
	ck_assert_uint_eq(
	    wsf_endpoint_receive(&end.endpoint, wire.data + used, wire.size - used, &sink, &end.events), 0);
	ck_assert(wsf_endpoint_pending(&end.endpoint));
	/* A message that was not deflated finds what the one before left. */
	used += feed_once(&end, wire.data + used, wire.size - used, 5, &state);
	ck_assert_uint_eq(used, wire.size - 1);
	ck_assert(!wsf_endpoint_pending(&end.endpoint));
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 1);
	used += feed_once(&end, wire.data + used, wire.size - used, 1, &state);
	ck_assert_uint_eq(used, wire.size);
	ck_assert_uint_eq(end.payload.size, 6);
	ck_assert_mem_eq(end.payload.data, "lloabc", 6);
	ck_assert_uint_eq(end.endpoint.messages_received, 2);
	end_clear(&end);
	free(wire.data);
}
END_TEST

START_TEST(deflated_payload_is_never_received_in_place)
{
	struct bytes wire = { 0 };
	uint32_t state = 1;
	struct end end;

	put_frame(&wire, DEFLATED_FIRST, false, "\xf2\x48\xcd", 3);
	put_frame(&wire, LAST, false, "\xc9\xc9\x07\x00", 4);
	put_frame(&wire, BINARY, false, "abc", 3);
	end_init(&end, WSF_CLIENT, false, 0, &defaults);
	for (size_t i = 0; i < wire.size; i++) {
		size_t left = i >= 13 && i < wire.size ? wire.size - i : 0;

		ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), left);
		feed_once(&end, wire.data + i, 1, 64, &state);
	}
	ck_assert_uint_eq(end.payload.size, 8);
	ck_assert_mem_eq(end.payload.data, "Helloabc", 8);
	end_clear(&end);
	free(wire.data);
}
END_TEST

/* --- sent --- */

static void put_sent(struct bytes *wire, struct wsf_endpoint *from, const struct wsf_message *message, const char *data)
{
	struct wsf_frame_start start;
	const uint8_t *out;
	size_t out_bytes;

	ck_assert_int_eq(wsf_endpoint_deflate(from, message, data, &out, &out_bytes), 0);
	ck_assert_int_eq(wsf_endpoint_start_frame(from, out_bytes, true, &start), 0);
	put(wire, start.header, start.header_bytes);
	for (size_t i = 0; i < out_bytes; i++) {
		const uint8_t byte = (uint8_t)(out[i] ^ (start.masked ? start.key[i % 4] : 0));

		put(wire, &byte, 1);
	}
}

/* A character that two writes share goes in front of the second message. */
START_TEST(what_one_role_deflates_the_other_understands)
{
	static const char *const writes[] = { "gr\xc3", "\xbcn, gr\xc3\xbcn, gr\xc3\xbcn", "gr\xc3\xbcn, gr\xc3\xbcn" };
	const char *expected = "gr\xc3\xbcn, gr\xc3\xbcn, gr\xc3\xbcngr\xc3\xbcn, gr\xc3\xbcn";
	const enum wsf_role role = _i == 0 ? WSF_CLIENT : WSF_SERVER;
	struct bytes wire = { 0 };
	struct end from, to;

	end_init(&from, role, true, 0, &defaults);
	end_init(&to, role == WSF_CLIENT ? WSF_SERVER : WSF_CLIENT, true, 0, &defaults);
	from.endpoint.text_frames = true;
	ck_assert(wsf_endpoint_deflates(&from.endpoint));
	for (size_t i = 0; i < COUNT(writes); i++) {
		size_t start = wire.size;
		struct wsf_message message;

		ck_assert_int_eq(
		    wsf_endpoint_next_message(&from.endpoint, writes[i], strlen(writes[i]), &message), 0);
		ck_assert_uint_eq(message.prefix_bytes, i == 1 ? 1 : 0);
		put_sent(&wire, &from.endpoint, &message, writes[i]);
		ck_assert_uint_eq(wire.data[start], DEFLATED_TEXT);
		wsf_endpoint_idle(&from.endpoint);
	}
	feed(&to, &wire, &(struct way){ 0, 100, false });
	ck_assert_int_eq(to.events.fault, 0);
	ck_assert_uint_eq(to.endpoint.messages_received, COUNT(writes));
	ck_assert_uint_eq(to.payload.size, strlen(expected));
	ck_assert_mem_eq(to.payload.data, expected, to.payload.size);
	end_clear(&from);
	end_clear(&to);
	free(wire.data);
}
END_TEST

START_TEST(nothing_is_deflated_that_can_not_be)
{
	struct wsf_deflate_params params = defaults;
	const struct wsf_message message = { .take_bytes = 4, .used_bytes = 4 };
	const uint8_t *out;
	size_t out_bytes;
	struct end end;

	for (int i = 0; i < 2; i++) {
		params.on = i == 0;
		params.send_window_bits = i == 0 ? 8 : 15;
		end_init(&end, WSF_SERVER, false, 0, &params);
		ck_assert(!wsf_endpoint_deflates(&end.endpoint));
		ck_assert_int_eq(wsf_endpoint_deflate(&end.endpoint, &message, "aaaa", &out, &out_bytes), -EOPNOTSUPP);
		wsf_endpoint_idle(&end.endpoint);
		end_clear(&end);
	}
}
END_TEST

/* --- agreed in the handshake --- */

static void end_open(struct end *end, enum wsf_role role, const struct wsf_deflate_params *wanted)
{
	const struct wsf_endpoint_config config = {
		.role = role, .max_header_bytes = 16384, .host = "h", .target = "/", .deflate = *wanted,
		.authorization = "Basic dTpw", .max_frame_bytes = 65536,
	};

	memset(end, 0, sizeof(*end));
	wsf_endpoint_init(&end->endpoint, &config);
	put(&end->payload, "", 0);
}

static const struct {
	bool client_on, server_on;
	int client_send, client_recv, server_send, server_recv;
	const char *extensions;
} handshakes[] = {
	{ true, true, 15, 15, 15, 15, "permessage-deflate" },
	{ true, true, 12, 11, 10, 9,
	    "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9" },
	{ true, true, 9, 15, 15, 15, "permessage-deflate; client_max_window_bits=9" },
	{ true, false, 15, 15, 15, 15, "" },
	{ false, true, 15, 15, 15, 15, "" },
	{ false, false, 15, 15, 15, 15, "" },
};

/* Client to server and back, in one context each. */
static void exchange(struct end *from, struct end *to)
{
	const struct wsf_message message = { .take_bytes = 26, .used_bytes = 26 };
	struct bytes wire = { 0 };

	for (int i = 0; i < 2; i++)
		put_sent(&wire, &from->endpoint, &message, "abcabcabcabcabcabcabcabcab");
	feed(to, &wire, &(struct way){ 0, 100, false });
	ck_assert_int_eq(to->events.fault, 0);
	ck_assert_uint_eq(to->payload.size, 52);
	ck_assert_mem_eq(to->payload.data, "abcabcabcabcabcabcabcabcababcabc", 32);
	free(wire.data);
}

START_TEST(both_roles_agree_and_understand_each_other)
{
	struct wsf_deflate_params client_params = defaults, server_params = defaults;
	const char *extensions = handshakes[_i].extensions;
	struct bytes request = { 0 }, answer = { 0 };
	struct end client, server;
	char *text;
	size_t size;

	client_params.on = handshakes[_i].client_on;
	client_params.send_window_bits = handshakes[_i].client_send;
	client_params.recv_window_bits = handshakes[_i].client_recv;
	server_params.on = handshakes[_i].server_on;
	server_params.send_window_bits = handshakes[_i].server_send;
	server_params.recv_window_bits = handshakes[_i].server_recv;
	end_open(&client, WSF_CLIENT, &client_params);
	end_open(&server, WSF_SERVER, &server_params);
	ck_assert_int_eq(wsf_endpoint_request(&client.endpoint, &text, &size), 0);
	ck_assert_ptr_nonnull(strstr(text, "\r\nAuthorization: Basic dTpw\r\n"));
	ck_assert_int_eq(strstr(text, "\r\nSec-WebSocket-Extensions: permessage-deflate; ") != NULL, client_params.on);
	put(&request, text, size);
	free(text);
	feed(&server, &request, &(struct way){ 7, 10, false });
	ck_assert(server.events.opened);
	put(&answer, server.events.answer, server.events.answer_bytes);
	ck_assert_int_eq(strstr(server.events.answer, "Sec-WebSocket-Extensions: ") != NULL, *extensions != '\0');
	feed(&client, &answer, &(struct way){ 5, 10, false });
	ck_assert(client.events.opened);
	ck_assert_pstr_eq(client.endpoint.extensions, extensions[0] != '\0' ? extensions : NULL);
	ck_assert_pstr_eq(server.endpoint.extensions, extensions[0] != '\0' ? extensions : NULL);
	ck_assert_int_eq(wsf_endpoint_deflates(&client.endpoint), *extensions != '\0');
	ck_assert_int_eq(wsf_endpoint_deflates(&server.endpoint), *extensions != '\0');
	if (*extensions != '\0') {
		exchange(&client, &server);
		exchange(&server, &client);
	}
	free(server.events.answer);
	end_clear(&client);
	end_clear(&server);
	free(request.data);
	free(answer.data);
}
END_TEST

static const struct {
	bool on;
	const char *answer;
} bad_answers[] = {
	{ false, "permessage-deflate" },
	{ false, "" },
	{ true, "x-other" },
	{ true, "permessage-deflate; client_max_window_bits=16" },
	{ true, "permessage-deflate, permessage-deflate" },
};

START_TEST(an_answer_that_was_not_offered_is_refused)
{
	struct wsf_deflate_params params = defaults;
	struct bytes answer = { 0 };
	char text[512];
	struct end end;
	int size;

	params.on = bad_answers[_i].on;
	end_open(&end, WSF_CLIENT, &params);
	size = snprintf(text, sizeof(text), "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: %s\r\n\r\n", end.endpoint.opening->accept,
	    bad_answers[_i].answer);
	put(&answer, text, (size_t)size);
	feed(&end, &answer, &(struct way){ 0, 10, false });
	ck_assert(!end.events.opened);
	ck_assert_int_eq(end.events.fault, EPROTO);
	ck_assert_uint_eq(end.events.fault_code, 0);
	ck_assert_str_ne(end.events.text, "");
	ck_assert(!wsf_endpoint_deflates(&end.endpoint));
	end_clear(&end);
	free(answer.data);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, frames_give_the_same_however_they_come_and_into_any_room, 0, COUNT(rows));
	tcase_add_loop_test(tcase, long_messages_come_whole_in_any_pieces_into_any_room, 0, COUNT(conversations));
	tcase_add_test(tcase, damage_is_found_at_the_same_byte_however_it_comes);
	tcase_add_test(tcase, a_bomb_is_1009_at_the_same_byte_however_it_comes);
	tcase_add_test(tcase, what_finds_no_room_waits);
	tcase_add_test(tcase, deflated_payload_is_never_received_in_place);
	tcase_add_loop_test(tcase, what_one_role_deflates_the_other_understands, 0, 2);
	tcase_add_loop_test(tcase, both_roles_agree_and_understand_each_other, 0, COUNT(handshakes));
}

int main(void)
{
	Suite *suite = suite_create("endpoint_deflate");
	TCase *tcase = tcase_create("endpoint_deflate");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	if (wsf_deflate_available())
		add_tests(tcase);
	tcase_add_test(tcase, nothing_is_deflated_that_can_not_be);
	tcase_add_loop_test(tcase, an_answer_that_was_not_offered_is_refused, 0, COUNT(bad_answers));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
