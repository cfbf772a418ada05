/* SPDX-License-Identifier: 0BSD */
/* The receiving half of the endpoint: what each sequence of frames gives, in both roles, however the bytes come. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "endpoint.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define WIRE_MAX 1024
#define PIECES_MAX 8

static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };

enum kind {
	END,				/* of a row's pieces */
	FRAME,				/* a whole frame, masked as the role demands */
	WRONGLY_MASKED,			/* a frame masked as the other role's */
	HEADER,				/* header bytes as given; only masking is added as the role demands */
};

struct piece {
	enum kind kind;
	unsigned byte0;			/* FIN, RSV, opcode */
	const char *bytes;
	size_t size;
};

#define F(byte0, text) { FRAME, byte0, text, sizeof(text) - 1 }
#define WRONG(byte0, text) { WRONGLY_MASKED, byte0, text, sizeof(text) - 1 }
#define H(bytes) { HEADER, 0, bytes, sizeof(bytes) - 1 }

#define BINARY 0x82
#define BINARY_FIRST 0x02
#define TEXT 0x81
#define TEXT_FIRST 0x01
#define MIDDLE 0x00
#define LAST 0x80
#define CLOSE 0x88
#define PING 0x89
#define PONG 0x8a

#define TWENTY_FIVE "abcdefghijklmnopqrstuvwxy"
#define REASON_123 TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE "abcdefghijklmnopqrstu\xc3\xbc"
#define PING_125 TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE TWENTY_FIVE

struct row {
	const char *name;
	struct piece pieces[PIECES_MAX];
	bool text_is_data;
	uint64_t max_message_bytes;
	/* what comes of it; no payload here has a NUL */
	const char *payload;
	uint64_t messages;		/* complete ones, before a fault, too */
	const char *ping;		/* NULL = none */
	unsigned close_code;		/* 0 = no Close */
	const char *reason;
	int fault;
	unsigned fault_code;
};

static const struct row rows[] = {
	/* data */
	{ "one message", { F(BINARY, "hello") }, .payload = "hello", .messages = 1 },
	{ "empty messages count and give nothing", { F(BINARY, ""), F(BINARY, "x"), F(BINARY, "") }, .payload = "x",
	    .messages = 3 },
	{ "fragments", { F(BINARY_FIRST, "ab"), F(MIDDLE, ""), F(MIDDLE, "cd"), F(LAST, "ef") }, .payload = "abcdef",
	    .messages = 1 },
	{ "empty first and last fragments", { F(BINARY_FIRST, ""), F(MIDDLE, "ab"), F(LAST, "") }, .payload = "ab",
	    .messages = 1 },
	{ "an unfinished message", { F(BINARY_FIRST, "ab"), F(MIDDLE, "c") }, .payload = "abc" },
	{ "a length of two bytes", { F(BINARY, PING_125 TWENTY_FIVE) }, .payload = PING_125 TWENTY_FIVE,
	    .messages = 1 },
	{ "bytes that are no UTF-8 in a binary message", { F(BINARY, "\xff\xc0"), F(TEXT, "a"), F(BINARY, "\xed\xa0") },
	    .text_is_data = true, .payload = "\xff\xc0" "a\xed\xa0", .messages = 3 },
	/* control frames */
	{ "control frames between fragments",
	    { F(BINARY_FIRST, "ab"), F(PING, "p1"), F(MIDDLE, "cd"), F(PONG, "q"), F(PING, "p2"), F(LAST, "ef") },
	    .payload = "abcdef", .messages = 1, .ping = "p2" },
	{ "the last of several pings wins", { F(PING, "one"), F(PING, "second"), F(PING, "3") }, .ping = "3" },
	{ "an empty ping wins over an earlier one", { F(PING, "one"), F(PING, "") }, .ping = "" },
	{ "the longest ping", { F(PING, PING_125), F(BINARY, "x") }, .payload = "x", .messages = 1, .ping = PING_125 },
	{ "a pong is nothing", { F(PONG, "p"), F(PONG, ""), F(BINARY, "x") }, .payload = "x", .messages = 1 },
	/* Close */
	{ "a Close with code and reason", { F(CLOSE, "\x03\xe8" "bye") }, .close_code = 1000, .reason = "bye" },
	{ "a Close with code only", { F(BINARY, "x"), F(CLOSE, "\x03\xe9") }, .payload = "x", .messages = 1,
	    .close_code = 1001, .reason = "" },
	{ "a Close without code", { F(CLOSE, "") }, .close_code = 1005, .reason = "" },
	{ "a private code", { F(CLOSE, "\x13\x87\xe2\x82\xac") }, .close_code = 4999, .reason = "\xe2\x82\xac" },
	{ "the longest reason", { F(CLOSE, "\x03\xf3" REASON_123) }, .close_code = 1011, .reason = REASON_123 },
	{ "nothing after a Close counts",
	    { F(BINARY, "a"), F(CLOSE, "\x03\xe8" "1"), F(BINARY, "b"), F(PING, "p"), F(CLOSE, "\x03\xe9" "2"),
	    F(0xff, "") }, .payload = "a", .messages = 1, .close_code = 1000, .reason = "1" },
	{ "a Close inside a fragmented message", { F(BINARY_FIRST, "ab"), F(CLOSE, "\x03\xe8") }, .payload = "ab",
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a Close inside a character", { F(TEXT_FIRST, "a\xe2"), F(CLOSE, "") }, .text_is_data = true,
	    .payload = "a\xe2", .fault = EPROTO, .fault_code = 1002 },
	{ "an abnormal Close inside a message", { F(BINARY_FIRST, "ab"), F(CLOSE, "\x03\xf3") }, .payload = "ab",
	    .close_code = 1011, .reason = "" },
	{ "a ping before a Close", { F(PING, "p"), F(CLOSE, "\x03\xe8") }, .ping = "p", .close_code = 1000,
	    .reason = "" },
	/* accepted text */
	{ "a text message", { F(TEXT, "gr\xc3\xbcn"), F(TEXT, "\xf0\x9f\x98\x80") }, .text_is_data = true,
	    .payload = "gr\xc3\xbcn\xf0\x9f\x98\x80", .messages = 2 },
	{ "a character over fragments", { F(TEXT_FIRST, "\xf0"), F(MIDDLE, "\x9f"), F(PING, "\xff"), F(MIDDLE, ""),
	    F(LAST, "\x98\x80") }, .text_is_data = true, .payload = "\xf0\x9f\x98\x80", .messages = 1, .ping = "\xff" },
	/* RFC 6455, sections 5.2 and 5.5 */
	{ "RSV1", { F(BINARY, "a"), F(0xc2, "b") }, .payload = "a", .messages = 1,
	    .fault = EPROTO, .fault_code = 1002 },
	{ "RSV2", { F(BINARY, "a"), F(0xa2, "b") }, .payload = "a", .messages = 1,
	    .fault = EPROTO, .fault_code = 1002 },
	{ "RSV3", { F(BINARY, "a"), F(0x92, "b") }, .payload = "a", .messages = 1,
	    .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a ping", { F(0xc9, "b") }, .fault = EPROTO, .fault_code = 1002 },
	{ "RSV1 of a Close", { F(0xc8, "\x03\xe8") }, .fault = EPROTO, .fault_code = 1002 },
	{ "reserved opcode 3", { F(BINARY, "a"), F(0x83, "b") }, .payload = "a", .messages = 1,
	    .fault = EPROTO, .fault_code = 1002 },
	{ "reserved opcode 7", { F(0x87, "") }, .fault = EPROTO, .fault_code = 1002 },
	{ "reserved opcode 11", { F(0x8b, "") }, .fault = EPROTO, .fault_code = 1002 },
	{ "reserved opcode 15", { F(0x8f, "") }, .fault = EPROTO, .fault_code = 1002 },
	{ "a fragmented ping", { F(0x09, "p") }, .fault = EPROTO, .fault_code = 1002 },
	{ "a fragmented Close", { F(0x08, "\x03\xe8") }, .fault = EPROTO, .fault_code = 1002 },
	{ "a ping of 126 bytes", { F(PING, "ok"), F(PING, PING_125 "z") }, .ping = "ok", .fault = EPROTO,
	    .fault_code = 1002 },
	{ "a length of two bytes that fits in one", { F(BINARY, "a"), H("\x82\x7e\x00\x7d") }, .payload = "a",
	    .messages = 1, .fault = EPROTO, .fault_code = 1002 },
	{ "a length of eight bytes that fits in two", { H("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff") },
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a length of 64 bits", { H("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00") }, .fault = EPROTO,
	    .fault_code = 1002 },
	{ "the wrong masking", { F(BINARY, "a"), WRONG(BINARY, "b") }, .payload = "a", .messages = 1, .fault = EPROTO,
	    .fault_code = 1002 },
	{ "the wrong masking of a ping", { WRONG(PING, "") }, .fault = EPROTO, .fault_code = 1002 },
	{ "the wrong masking of a Close", { WRONG(CLOSE, "\x03\xe8") }, .fault = EPROTO, .fault_code = 1002 },
	/* section 5.4 */
	{ "a continuation without a message", { F(LAST, "a") }, .fault = EPROTO, .fault_code = 1002 },
	{ "a continuation that is not the last, without a message", { F(MIDDLE, "") }, .fault = EPROTO,
	    .fault_code = 1002 },
	{ "a continuation behind a whole message", { F(BINARY, "a"), F(LAST, "b") }, .payload = "a", .messages = 1,
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a continuation behind a fragmented message", { F(BINARY_FIRST, "a"), F(LAST, "b"), F(LAST, "c") },
	    .payload = "ab", .messages = 1, .fault = EPROTO, .fault_code = 1002 },
	{ "a message inside a fragmented one", { F(BINARY_FIRST, "ab"), F(BINARY, "cd") }, .payload = "ab",
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a first fragment inside a fragmented message", { F(BINARY_FIRST, ""), F(BINARY_FIRST, "cd") },
	    .fault = EPROTO, .fault_code = 1002 },
	{ "a text inside a binary message", { F(BINARY_FIRST, "ab"), F(TEXT, "c") }, .text_is_data = true,
	    .payload = "ab", .fault = EPROTO, .fault_code = 1002 },
	{ "a ping, then a violation", { F(PING, "p"), F(BINARY, "a"), F(LAST, "") }, .payload = "a", .messages = 1,
	    .ping = "p", .fault = EPROTO, .fault_code = 1002 },
	{ "nothing after a violation counts",
	    { F(BINARY, "a"), F(0x83, ""), F(BINARY, "b"), F(PING, "p"), F(CLOSE, "\x03\xe8") }, .payload = "a",
	    .messages = 1, .fault = EPROTO, .fault_code = 1002 },
	/* section 5.5.1 */
	{ "a Close of one byte", { F(CLOSE, "\x03") }, .fault = EPROTO, .fault_code = 1002 },
	{ "a Close with a code that is never sent", { F(BINARY, "a"), F(CLOSE, "\x03\xed" "why") }, .payload = "a",
	    .messages = 1, .fault = EPROTO, .fault_code = 1002 },
	{ "a Close with a reason that is not UTF-8", { F(BINARY, "a"), F(CLOSE, "\x03\xe8" "b\xff") }, .payload = "a",
	    .messages = 1, .fault = EILSEQ, .fault_code = 1007 },
	{ "a Close with a reason that ends inside a character", { F(CLOSE, "\x03\xe8" "b\xe2\x82") }, .fault = EILSEQ,
	    .fault_code = 1007 },
	/* text where it is not accepted */
	{ "a text message, not accepted", { F(BINARY, "a"), F(TEXT, "b") }, .payload = "a", .messages = 1,
	    .fault = EBADMSG, .fault_code = 1003 },
	{ "an empty text message, not accepted", { F(TEXT, "") }, .fault = EBADMSG, .fault_code = 1003 },
	{ "a fragment of text, not accepted", { F(TEXT_FIRST, "a"), F(LAST, "b") }, .fault = EBADMSG,
	    .fault_code = 1003 },
	/* text that is none: what is before the first bad byte is delivered, and not a byte more */
	{ "a bad byte", { F(TEXT, "ab\xff" "cd") }, .text_is_data = true, .payload = "ab", .fault = EILSEQ,
	    .fault_code = 1007 },
	{ "a bad first byte", { F(TEXT, "\x80" "ab") }, .text_is_data = true, .fault = EILSEQ, .fault_code = 1007 },
	{ "a bad last byte", { F(TEXT, "ab\xc0"), F(TEXT, "c") }, .text_is_data = true, .payload = "ab",
	    .fault = EILSEQ, .fault_code = 1007 },
	{ "a bad byte in a later fragment", { F(TEXT_FIRST, "ab"), F(PING, "p"), F(LAST, "c\xff" "d") },
	    .text_is_data = true, .payload = "abc", .ping = "p", .fault = EILSEQ, .fault_code = 1007 },
	{ "a bad byte inside a character", { F(TEXT, "a\xe2\x82" "bc") }, .text_is_data = true, .payload = "a\xe2\x82",
	    .fault = EILSEQ, .fault_code = 1007 },
	{ "a bad byte inside a character over fragments", { F(TEXT_FIRST, "a\xf0\x9f"), F(LAST, "\x98" "b") },
	    .text_is_data = true, .payload = "a\xf0\x9f\x98", .fault = EILSEQ, .fault_code = 1007 },
	{ "a surrogate", { F(TEXT, "a\xed\xa0\x80") }, .text_is_data = true, .payload = "a\xed", .fault = EILSEQ,
	    .fault_code = 1007 },
	{ "a text that ends inside a character", { F(BINARY, "a"), F(TEXT, "b\xe2\x82"), F(BINARY, "c") },
	    .text_is_data = true, .payload = "ab\xe2\x82", .messages = 1, .fault = EILSEQ, .fault_code = 1007 },
	{ "fragments that end inside a character", { F(TEXT_FIRST, "b\xe2"), F(LAST, "") }, .text_is_data = true,
	    .payload = "b\xe2", .fault = EILSEQ, .fault_code = 1007 },
	{ "a character over two messages", { F(TEXT, "\xc3"), F(TEXT, "\xbc") }, .text_is_data = true,
	    .payload = "\xc3", .fault = EILSEQ, .fault_code = 1007 },
	/* the limit */
	{ "a message of just the limit", { F(BINARY, "hello"), F(BINARY, "hello") }, .max_message_bytes = 5,
	    .payload = "hellohello", .messages = 2 },
	{ "a message one over the limit", { F(BINARY, "hello"), F(BINARY, "hello!") }, .max_message_bytes = 5,
	    .payload = "hello", .messages = 1, .fault = EMSGSIZE, .fault_code = 1009 },
	{ "fragments of just the limit",
	    { F(BINARY_FIRST, "hel"), F(PING, "ping!!"), F(MIDDLE, "lo"), F(MIDDLE, ""), F(LAST, ""), F(BINARY, "x") },
	    .max_message_bytes = 5, .payload = "hellox", .messages = 2, .ping = "ping!!" },
	{ "fragments one over the limit", { F(BINARY_FIRST, "hel"), F(MIDDLE, "lo"), F(LAST, "!") },
	    .max_message_bytes = 5, .payload = "hello", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "a long first fragment", { F(BINARY_FIRST, "hello!") }, .max_message_bytes = 5, .fault = EMSGSIZE,
	    .fault_code = 1009 },
	{ "the longest length there is, over the limit", { H("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff") },
	    .max_message_bytes = INT64_MAX - 1, .fault = EMSGSIZE, .fault_code = 1009 },
	{ "lengths whose sum has 64 bits", { F(BINARY_FIRST, "a"), H("\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff") },
	    .max_message_bytes = INT64_MAX, .payload = "a", .fault = EMSGSIZE, .fault_code = 1009 },
	{ "a limit of one byte", { F(BINARY, "a"), F(BINARY, ""), F(BINARY, "bc") }, .max_message_bytes = 1,
	    .payload = "a", .messages = 2, .fault = EMSGSIZE, .fault_code = 1009 },
	{ "a text over the limit", { F(TEXT, "a\xff") }, .text_is_data = true, .max_message_bytes = 1,
	    .fault = EMSGSIZE, .fault_code = 1009 },
};

/* --- wires --- */

struct wire {
	uint8_t *bytes;
	size_t size, capacity;
};

static void put(struct wire *wire, const void *bytes, size_t size)
{
	if (wire->bytes == NULL || wire->capacity - wire->size < size) {
		wire->capacity = (wire->size + size + 1) * 2;
		wire->bytes = realloc(wire->bytes, wire->capacity);
		ck_assert_ptr_nonnull(wire->bytes);
	}
	if (size > 0)
		memcpy(wire->bytes + wire->size, bytes, size);
	wire->size += size;
}

static void put_frame(struct wire *wire, unsigned byte0, bool masked, const void *payload, size_t size)
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
		wire->bytes[start + i] ^= key[i % 4];
}

static void put_piece(struct wire *wire, const struct piece *piece, bool masked)
{
	size_t start = wire->size;

	if (piece->kind != HEADER) {
		put_frame(wire, piece->byte0, masked == (piece->kind == FRAME), piece->bytes, piece->size);
		return;
	}
	put(wire, piece->bytes, piece->size);
	if (masked) {
		wire->bytes[start + 1] |= 0x80;
		put(wire, key, sizeof(key));
	}
}

/* --- one endpoint that is fed --- */

struct end {
	struct wsf_endpoint endpoint;
	struct wsf_events events;
	uint8_t *payload;		/* a NUL behind it */
	size_t payload_bytes;
};

static void end_init(struct end *end, enum wsf_role role, bool text_is_data, uint64_t max_message_bytes, size_t room)
{
	const struct wsf_endpoint_config config = {
		.role = role, .max_header_bytes = 16384, .text_is_data = text_is_data,
		.max_message_bytes = max_message_bytes,
	};

	memset(end, 0, sizeof(*end));
	wsf_endpoint_init(&end->endpoint, &config);
	end->endpoint.phase = WSF_PHASE_HEADER;
	end->payload = calloc(room + 1, 1);
	ck_assert_ptr_nonnull(end->payload);
}

static void end_clear(struct end *end)
{
	ck_assert_ptr_null(end->events.answer);
	wsf_endpoint_clear(&end->endpoint);
	free(end->payload);
}

static void keep(struct end *end, const void *payload, size_t size)
{
	if (size > 0)
		memcpy(end->payload + end->payload_bytes, payload, size);
	end->payload_bytes += size;
}

/* Every buffer is of just the size that is allowed, so that a step beside it is seen by the tools. */
static void *exact(const void *bytes, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	ck_assert_ptr_nonnull(copy);
	if (bytes != NULL && size > 0)
		memcpy(copy, bytes, size);
	return copy;
}

/* Feed with room in two spans, the first of first bytes. */
static void feed_spans(struct end *end, const uint8_t *bytes, size_t size, size_t first)
{
	uint8_t *in = exact(bytes, size);
	struct wsf_sink sink = {
		.span = { { exact(NULL, first), first }, { exact(NULL, size - first), size - first } },
	};

	ck_assert_uint_eq(wsf_endpoint_receive(&end->endpoint, in, size, &sink, &end->events), size);
	free(in);
	ck_assert_uint_le(sink.bytes, size);
	keep(end, sink.span[0].iov_base, sink.bytes < first ? sink.bytes : first);
	if (sink.bytes > first)
		keep(end, sink.span[1].iov_base, sink.bytes - first);
	free(sink.span[0].iov_base);
	free(sink.span[1].iov_base);
}

static void feed(struct end *end, const uint8_t *bytes, size_t size)
{
	feed_spans(end, bytes, size, size);
}

static void feed_discarding(struct end *end, const uint8_t *bytes, size_t size)
{
	struct wsf_sink sink = { .discard = true };

	ck_assert_uint_eq(wsf_endpoint_receive(&end->endpoint, bytes, size, &sink, &end->events), size);
	ck_assert_uint_eq(sink.bytes, 0);
}

/* Payload in place, at most step bytes at a time, all else fed. */
static void feed_in_place(struct end *end, const uint8_t *bytes, size_t size, size_t step)
{
	while (size > 0) {
		uint64_t left = wsf_endpoint_payload_left(&end->endpoint);
		size_t n = left < size ? (size_t)left : size, good;
		uint8_t *data;

		if (n > step)
			n = step;
		if (n == 0) {
			feed(end, bytes++, 1);
			size--;
			continue;
		}
		data = exact(bytes, n);
		good = wsf_endpoint_received(&end->endpoint, data, n, &end->events);
		ck_assert_uint_le(good, n);
		keep(end, data, good);
		free(data);
		bytes += n;
		size -= n;
	}
}

static void check_row(const struct row *row, const struct end *end, bool discarded, const char *how, size_t at)
{
	const struct wsf_events *events = &end->events;
	const char *payload = row->payload != NULL ? row->payload : "";
	size_t size = strlen(payload);

	if (end->payload_bytes != (discarded ? 0 : size) || memcmp(end->payload, payload, end->payload_bytes) != 0)
		ck_abort_msg("%s, %s %zu: payload is \"%s\"", row->name, how, at, (const char *)end->payload);
	if (end->endpoint.bytes_received != size)
		ck_abort_msg("%s, %s %zu: counted %llu bytes", row->name, how, at,
		    (unsigned long long)end->endpoint.bytes_received);
	if (end->endpoint.messages_received != row->messages)
		ck_abort_msg("%s, %s %zu: %llu messages", row->name, how, at,
		    (unsigned long long)end->endpoint.messages_received);
	if (events->ping != (row->ping != NULL))
		ck_abort_msg("%s, %s %zu: ping is %d", row->name, how, at, events->ping);
	if (events->ping && (events->ping_bytes != strlen(row->ping) ||
	    memcmp(events->ping_payload, row->ping, events->ping_bytes) != 0))
		ck_abort_msg("%s, %s %zu: a ping of %u bytes", row->name, how, at, events->ping_bytes);
	if (events->close != (row->close_code != 0) || events->close_code != row->close_code)
		ck_abort_msg("%s, %s %zu: Close code %u", row->name, how, at, events->close_code);
	if (events->close && strcmp(events->close_reason, row->reason) != 0)
		ck_abort_msg("%s, %s %zu: reason \"%s\"", row->name, how, at, events->close_reason);
	if (events->fault != row->fault || events->fault_code != row->fault_code)
		ck_abort_msg("%s, %s %zu: fault %d, Close %u: %s", row->name, how, at, events->fault,
		    events->fault_code, events->text);
	if ((events->text[0] != '\0') != (row->fault != 0) || strchr(events->text, '\n') != NULL)
		ck_abort_msg("%s, %s %zu: the text is \"%s\"", row->name, how, at, events->text);
	if (events->opened || events->http_status != 0)
		ck_abort_msg("%s, %s %zu: a handshake", row->name, how, at);
}

enum way { AT_ONCE, IN_TWO, BYTE_BY_BYTE, TWO_SPANS, IN_PLACE, DISCARDED, DISCARDED_IN_TWO, WAYS };

static const char *const way_names[WAYS] = {
	"at once", "cut at", "byte by byte", "spans of", "in place by", "discarded", "discarded and cut at",
};

static void run(const struct row *row, enum wsf_role role, const struct wire *wire, enum way way, size_t at)
{
	struct end end;

	end_init(&end, role, row->text_is_data, row->max_message_bytes, wire->size);
	switch (way) {
	case IN_TWO:
		feed(&end, wire->bytes, at);
		feed(&end, wire->bytes + at, wire->size - at);
		break;
	case BYTE_BY_BYTE:
		for (size_t i = 0; i < wire->size; i++)
			feed(&end, wire->bytes + i, 1);
		break;
	case TWO_SPANS:
		feed_spans(&end, wire->bytes, wire->size, at);
		break;
	case IN_PLACE:
		feed_in_place(&end, wire->bytes, wire->size, at + 1);
		break;
	case DISCARDED:
		feed_discarding(&end, wire->bytes, wire->size);
		break;
	case DISCARDED_IN_TWO:
		feed_discarding(&end, wire->bytes, at);
		feed_discarding(&end, wire->bytes + at, wire->size - at);
		break;
	default:
		feed(&end, wire->bytes, wire->size);
		break;
	}
	check_row(row, &end, way == DISCARDED || way == DISCARDED_IN_TWO, way_names[way], at);
	end_clear(&end);
}

START_TEST(frames_give_the_same_however_they_come)
{
	static const enum wsf_role roles[] = { WSF_CLIENT, WSF_SERVER };
	const struct row *row = &rows[_i];

	for (size_t r = 0; r < COUNT(roles); r++) {
		struct wire wire = { 0 };

		for (const struct piece *piece = row->pieces; piece->kind != END; piece++)
			put_piece(&wire, piece, roles[r] == WSF_SERVER);
		ck_assert_uint_lt(wire.size, WIRE_MAX);
		run(row, roles[r], &wire, AT_ONCE, 0);
		run(row, roles[r], &wire, BYTE_BY_BYTE, 0);
		run(row, roles[r], &wire, DISCARDED, 0);
		for (size_t at = 0; at <= wire.size; at++) {
			run(row, roles[r], &wire, IN_TWO, at);
			run(row, roles[r], &wire, TWO_SPANS, at);
			run(row, roles[r], &wire, IN_PLACE, at);
			run(row, roles[r], &wire, DISCARDED_IN_TWO, at);
		}
		free(wire.bytes);
	}
}
END_TEST

/* --- bytes of RFC 6455, section 5.7 --- */

static const struct {
	enum wsf_role role;
	const char *bytes;
	size_t size;
	const char *payload;
	const char *ping;
} examples[] = {
	{ WSF_CLIENT, "\x81\x05\x48\x65\x6c\x6c\x6f", 7, "Hello", NULL },
	{ WSF_SERVER, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "Hello", NULL },
	{ WSF_CLIENT, "\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", 9, "Hello", NULL },
	{ WSF_CLIENT, "\x89\x05\x48\x65\x6c\x6c\x6f", 7, "", "Hello" },
	{ WSF_SERVER, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "", NULL },
};

START_TEST(the_examples_of_the_rfc_are_understood)
{
	struct end end;

	end_init(&end, examples[_i].role, true, 0, examples[_i].size);
	feed(&end, (const uint8_t *)examples[_i].bytes, examples[_i].size);
	ck_assert_str_eq((const char *)end.payload, examples[_i].payload);
	ck_assert_int_eq(end.events.fault, 0);
	ck_assert_int_eq(end.events.ping, examples[_i].ping != NULL);
	if (end.events.ping) {
		ck_assert_uint_eq(end.events.ping_bytes, strlen(examples[_i].ping));
		ck_assert_mem_eq(end.events.ping_payload, examples[_i].ping, end.events.ping_bytes);
	}
	end_clear(&end);
}
END_TEST

START_TEST(every_close_code_is_judged)
{
	for (unsigned i = 0; i <= 5100; i++) {
		const unsigned code = i < 5100 ? i : 0xffff;
		const uint8_t payload[] = { (uint8_t)(code >> 8), (uint8_t)code, 'w' };
		bool valid = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
		    (code >= 3000 && code <= 4999);
		struct wire wire = { 0 };
		struct end end;

		put_frame(&wire, CLOSE, true, payload, sizeof(payload));
		end_init(&end, WSF_SERVER, false, 0, wire.size);
		feed(&end, wire.bytes, wire.size);
		if (end.events.close != valid || end.events.close_code != (valid ? code : 0) ||
		    end.events.fault != (valid ? 0 : EPROTO) || end.events.fault_code != (valid ? 0 : 1002))
			ck_abort_msg("code %u: %u, fault %d", code, end.events.close_code, end.events.fault);
		end_clear(&end);
		free(wire.bytes);
	}
}
END_TEST

START_TEST(payload_left_is_what_certainly_is_data)
{
	const struct wsf_endpoint_config config = { .role = WSF_CLIENT, .max_header_bytes = 16384 };
	struct wsf_endpoint fresh;
	struct end end;

	wsf_endpoint_init(&fresh, &config);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&fresh), 0);
	wsf_endpoint_clear(&fresh);

	end_init(&end, WSF_CLIENT, false, 0, 64);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 0);
	feed(&end, (const uint8_t *)"\x02", 1);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 0);
	feed(&end, (const uint8_t *)"\x05", 1);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 5);
	feed(&end, (const uint8_t *)"abc", 3);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 2);
	feed(&end, (const uint8_t *)"de\x89\x03", 4);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 0);
	feed(&end, (const uint8_t *)"p", 1);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 0);
	feed(&end, (const uint8_t *)"qr\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), INT64_MAX);
	feed(&end, (const uint8_t *)"f", 1);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), INT64_MAX - 1);
	ck_assert_str_eq((const char *)end.payload, "abcdef");
	end_clear(&end);

	end_init(&end, WSF_CLIENT, true, 0, 64);
	feed(&end, (const uint8_t *)"\x81\x05" "a\xff", 4);
	ck_assert_int_eq(end.events.fault, EILSEQ);
	ck_assert_uint_eq(wsf_endpoint_payload_left(&end.endpoint), 0);
	end_clear(&end);
}
END_TEST

/* --- long ones --- */

static uint32_t next_number(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Messages of many lengths, some in fragments with pings between. They carry ASCII, so that it is text, too. */
static void put_many(struct wire *wire, struct wire *data, bool masked, bool text, uint32_t *state)
{
	static const size_t sizes[] = { 0, 1, 7, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, 70001 };

	put(data, "", 0);
	for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
		size_t size = sizes[i % COUNT(sizes)], start = data->size;
		size_t cut = i < COUNT(sizes) ? size : next_number(state) % (size + 1);

		for (size_t k = 0; k < size; k++) {
			const uint8_t byte = (uint8_t)(' ' + next_number(state) % 95);

			put(data, &byte, 1);
		}
		put_frame(wire, (text ? TEXT_FIRST : BINARY_FIRST) | (i < COUNT(sizes) ? 0x80 : 0), masked,
		    data->bytes + start, cut);
		if (i < COUNT(sizes))
			continue;
		put_frame(wire, PING, masked, "ping", 4);
		put_frame(wire, LAST, masked, data->bytes + start + cut, size - cut);
	}
	put_frame(wire, CLOSE, masked, "\x03\xe8" "end", 5);
}

static void feed_many(struct end *end, const struct wire *wire, int way, uint32_t *state)
{
	size_t used = 0;

	while (used < wire->size) {
		size_t n = next_number(state) % (way == 0 ? 9000 : 300) + 1;

		if (n > wire->size - used)
			n = wire->size - used;
		if (way == 2)
			feed_in_place(end, wire->bytes + used, n, n);
		else if (way == 3)
			feed_discarding(end, wire->bytes + used, n);
		else
			feed_spans(end, wire->bytes + used, n, next_number(state) % (n + 1));
		used += n;
	}
}

START_TEST(long_messages_come_whole_in_any_pieces)
{
	const enum wsf_role role = _i & 1 ? WSF_SERVER : WSF_CLIENT;
	const bool text = (_i & 2) != 0;
	uint32_t state = 20240229u + (uint32_t)_i;
	struct wire wire = { 0 }, data = { 0 };

	put_many(&wire, &data, role == WSF_SERVER, text, &state);
	for (int way = 0; way < 4; way++) {
		struct end end;

		end_init(&end, role, text, 70001, data.size);
		feed_many(&end, &wire, way, &state);
		ck_assert_int_eq(end.events.fault, 0);
		ck_assert_uint_eq(end.endpoint.messages_received, 24);
		ck_assert_uint_eq(end.endpoint.bytes_received, data.size);
		ck_assert_uint_eq(end.payload_bytes, way == 3 ? 0 : data.size);
		ck_assert(memcmp(end.payload, data.bytes, end.payload_bytes) == 0);
		ck_assert(end.events.ping);
		ck_assert_uint_eq(end.events.close_code, 1000);
		ck_assert_str_eq(end.events.close_reason, "end");
		end_clear(&end);
	}
	free(wire.bytes);
	free(data.bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint_rules");
	TCase *tcase = tcase_create("endpoint_rules");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, frames_give_the_same_however_they_come, 0, COUNT(rows));
	tcase_add_loop_test(tcase, the_examples_of_the_rfc_are_understood, 0, COUNT(examples));
	tcase_add_test(tcase, every_close_code_is_judged);
	tcase_add_test(tcase, payload_left_is_what_certainly_is_data);
	tcase_add_loop_test(tcase, long_messages_come_whole_in_any_pieces, 0, 4);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
