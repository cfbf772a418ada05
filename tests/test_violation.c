/* SPDX-License-Identifier: 0BSD */
/* What a peer may not send: the Close that answers it, the errno, and that the data before it comes first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

struct violation {
	const char *name;
	void (*send)(struct wire *wire);
	unsigned code;
	int error;
	bool text_is_data;
	uint64_t max_message_bytes;
};

/* --- framing: RFC 6455, section 5 --- */

static void reserved_data_opcode(struct wire *wire)
{
	wire_frame(wire, 0x83, "x", 1);
}

static void reserved_control_opcode(struct wire *wire)
{
	wire_frame(wire, 0x8b, "x", 1);
}

static void rsv1(struct wire *wire)
{
	wire_frame(wire, PEER_BINARY | 0x40, "x", 1);
}

static void rsv3(struct wire *wire)
{
	wire_frame(wire, PEER_PING | 0x10, "x", 1);
}

static void wrong_masking(struct wire *wire)
{
	peer_frame(wire->peer, PEER_BINARY, !wire->peer_masks, "x", 1);
}

static void wrong_masking_of_a_close(struct wire *wire)
{
	peer_close(wire->peer, !wire->peer_masks, 1000, "");
}

static void continuation_of_nothing(struct wire *wire)
{
	wire_frame(wire, 0x80, "x", 1);
}

static void message_in_a_message(struct wire *wire)
{
	wire_frame(wire, 0x02, "", 0);
	wire_frame(wire, PEER_BINARY, "x", 1);
}

static void fragmented_ping(struct wire *wire)
{
	wire_frame(wire, 0x09, "x", 1);
}

static void fragmented_close(struct wire *wire)
{
	wire_frame(wire, 0x08, "\x03\xe8", 2);
}

static void long_ping(struct wire *wire)
{
	static const char payload[126];

	wire_frame(wire, PEER_PING, payload, sizeof payload);
}

static void long_close(struct wire *wire)
{
	uint8_t payload[126];

	memset(payload, 'x', sizeof payload);
	payload[0] = 0x03;
	payload[1] = 0xe8;
	wire_frame(wire, PEER_CLOSE, payload, sizeof payload);
}

static void length_not_shortest_of_16_bits(struct wire *wire)
{
	uint8_t byte1 = wire->peer_masks ? 0xfe : 0x7e;
	uint8_t head[] = { PEER_BINARY, byte1, 0, 125, 1, 2, 3, 4 };

	peer_send(wire->peer, head, sizeof head);
}

static void length_not_shortest_of_64_bits(struct wire *wire)
{
	uint8_t byte1 = wire->peer_masks ? 0xff : 0x7f;
	uint8_t head[] = { PEER_BINARY, byte1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4 };

	peer_send(wire->peer, head, sizeof head);
}

static void length_of_64_bits(struct wire *wire)
{
	uint8_t byte1 = wire->peer_masks ? 0xff : 0x7f;
	uint8_t head[] = { PEER_BINARY, byte1, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 };

	peer_send(wire->peer, head, sizeof head);
}

/* --- the Close itself: sections 5.5.1 and 7.4 --- */

static void close_of_one_byte(struct wire *wire)
{
	wire_frame(wire, PEER_CLOSE, "\x03", 1);
}

static void close_code_999(struct wire *wire)
{
	wire_goodbye(wire, 999, "");
}

static void close_code_1004(struct wire *wire)
{
	wire_goodbye(wire, 1004, "");
}

static void close_code_1005(struct wire *wire)
{
	wire_goodbye(wire, 1005, "");
}

static void close_code_1006(struct wire *wire)
{
	wire_goodbye(wire, 1006, "");
}

static void close_code_1015(struct wire *wire)
{
	wire_goodbye(wire, 1015, "");
}

static void close_code_2999(struct wire *wire)
{
	wire_goodbye(wire, 2999, "");
}

static void close_code_5000(struct wire *wire)
{
	wire_goodbye(wire, 5000, "");
}

static void reason_that_is_no_utf8(struct wire *wire)
{
	wire_goodbye(wire, 1000, "\xff");
}

static void reason_that_is_cut(struct wire *wire)
{
	wire_goodbye(wire, 1000, "caf\xc3");
}

/* --- text --- */

static void text(struct wire *wire)
{
	wire_frame(wire, PEER_TEXT, "text\n", 5);
}

static void empty_text(struct wire *wire)
{
	wire_frame(wire, PEER_TEXT, "", 0);
}

static void text_in_fragments(struct wire *wire)
{
	wire_frame(wire, 0x01, "te", 2);
	wire_frame(wire, 0x80, "xt", 2);
}

static void text_that_is_no_utf8(struct wire *wire)
{
	wire_frame(wire, PEER_TEXT, "\xc0\xaf", 2);
}

static void text_that_ends_in_a_character(struct wire *wire)
{
	wire_frame(wire, PEER_TEXT, "\xe2\x82", 2);
}

/* --- size --- */

static void long_message(struct wire *wire)
{
	static const char payload[1001];

	wire_frame(wire, PEER_BINARY, payload, sizeof payload);
}

static void long_message_in_fragments(struct wire *wire)
{
	uint8_t head[14];

	wire_frame(wire, 0x02, "", 0);
	/* Its header alone is enough. */
	peer_send(wire->peer, head, peer_frame_head(head, 0x80, wire->peer_masks, 1001));
}

/* Only an abnormal Close may leave a message unfinished: a clean end must not pass a part for the whole. */
static void close_in_a_message(struct wire *wire)
{
	wire_frame(wire, 0x02, "", 0);
	wire_goodbye(wire, 1000, "");
}

static void close_without_code_in_a_message(struct wire *wire)
{
	wire_frame(wire, 0x02, "", 0);
	wire_goodbye(wire, 0, "");
}

#define PROTOCOL(name) { #name, name, 1002, EPROTO, false, 0 }

static const struct violation violations[] = {
	PROTOCOL(reserved_data_opcode),
	PROTOCOL(reserved_control_opcode),
	PROTOCOL(rsv1),
	PROTOCOL(rsv3),
	PROTOCOL(wrong_masking),
	PROTOCOL(wrong_masking_of_a_close),
	PROTOCOL(continuation_of_nothing),
	PROTOCOL(message_in_a_message),
	PROTOCOL(fragmented_ping),
	PROTOCOL(fragmented_close),
	PROTOCOL(long_ping),
	PROTOCOL(long_close),
	PROTOCOL(length_not_shortest_of_16_bits),
	PROTOCOL(length_not_shortest_of_64_bits),
	PROTOCOL(length_of_64_bits),
	PROTOCOL(close_in_a_message),
	PROTOCOL(close_without_code_in_a_message),
	PROTOCOL(close_of_one_byte),
	PROTOCOL(close_code_999),
	PROTOCOL(close_code_1004),
	PROTOCOL(close_code_1005),
	PROTOCOL(close_code_1006),
	PROTOCOL(close_code_1015),
	PROTOCOL(close_code_2999),
	PROTOCOL(close_code_5000),
	{ "reason_that_is_no_utf8", reason_that_is_no_utf8, 1007, EILSEQ, false, 0 },
	{ "reason_that_is_cut", reason_that_is_cut, 1007, EILSEQ, false, 0 },
	{ "text", text, 1003, EBADMSG, false, 0 },
	{ "empty_text", empty_text, 1003, EBADMSG, false, 0 },
	{ "text_in_fragments", text_in_fragments, 1003, EBADMSG, false, 0 },
	{ "text_that_is_no_utf8", text_that_is_no_utf8, 1007, EILSEQ, true, 0 },
	{ "text_that_ends_in_a_character", text_that_ends_in_a_character, 1007, EILSEQ, true, 0 },
	{ "long_message", long_message, 1009, EMSGSIZE, false, 1000 },
	{ "long_message_in_fragments", long_message_in_fragments, 1009, EMSGSIZE, false, 1000 },
};

#define VIOLATIONS ((int)(sizeof violations / sizeof violations[0]))

/* What of a bad message was good may come before the error; nothing else may. */
static void skip_the_messages_start(FILE *stream, const struct violation *violation)
{
	int byte, count = 0;

	if (violation->error != EILSEQ && violation->error != EMSGSIZE)
		return;
	while ((byte = fgetc(stream)) != EOF)
		count++;
	ck_assert_int_le(count, 1000);
}

/* _i: role, then the violation */
START_TEST(violation_is_answered_and_read_behind_the_data)
{
	const struct violation *violation = &violations[_i % VIOLATIONS];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	struct wire wire;

	options.on_text = violation->text_is_data ? WS_TEXT_BYTES : WS_TEXT_REJECT;
	options.max_message_bytes = violation->max_message_bytes;
	wire_open(&wire, (enum wire_role)(_i / VIOLATIONS), "r+", &options, 0);
	wire_say(&wire, "one\ntwo\n");
	violation->send(&wire);
	ck_assert_msg(peer_read_until_close(wire.peer, NULL, NULL) == violation->code, "%s", violation->name);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	skip_the_messages_start(wire.stream, violation);
	wire_expect_end(wire.stream, violation->error);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(status.close_code_sent, violation->code);
	ck_assert_int_eq(status.error, violation->error);
	ck_assert_str_ne(status.error_text, "");
	ck_assert(!status.clean);
	wire_expect_unwritable(wire.stream, EPIPE);
	peer_fin(wire.peer);
	ck_assert(peer_at_end(wire.peer));
	wire_fclose(&wire, violation->error);
	wire_end(&wire);
}
END_TEST

/* A peer that neither answers nor goes does not hold fclose for ever. */
START_TEST(after_a_violation_the_peer_is_waited_for_only_so_long)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.close_timeout_ms = 50;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	rsv1(&wire);
	wire_expect_end(wire.stream, EPROTO);
	wire_fclose(&wire, EPROTO);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1002);
	wire_end(&wire);
}
END_TEST

/* A peer that goes on sending behind its error still gets to read why: no reset overtakes the Close. */
START_TEST(close_reaches_a_peer_that_goes_on_sending)
{
	static const uint8_t zeros[65536];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	text(&wire);
	for (int i = 0; i < 32; i++)
		wire_frame(&wire, PEER_BINARY, zeros, sizeof zeros);
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1003);
	peer_fin(wire.peer);
	wire_expect_end(wire.stream, EBADMSG);
	wire_fclose(&wire, EBADMSG);
	wire_end(&wire);
}
END_TEST

START_TEST(messages_up_to_the_limit_pass)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;
	uint8_t payload[1000], back[2001];

	options.max_message_bytes = sizeof payload;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_pattern(0, payload, sizeof payload);
	wire_frame(&wire, PEER_BINARY, payload, sizeof payload);
	wire_frame(&wire, 0x02, payload, 500);
	wire_frame(&wire, 0x80, payload + 500, 500);
	wire_goodbye(&wire, 1000, "");
	ck_assert_uint_eq(fread(back, 1, sizeof back, wire.stream), 2 * sizeof payload);
	ck_assert_mem_eq(back, payload, sizeof payload);
	ck_assert_mem_eq(back + 1000, payload, sizeof payload);
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(accepted_text_is_data)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.on_text = WS_TEXT_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	/* A character over two fragments, and text and binary in turn. */
	wire_frame(&wire, 0x01, "caf\xc3", 4);
	wire_frame(&wire, PEER_PING, "hi", 2);
	wire_frame(&wire, 0x80, "\xa9\n", 2);
	wire_say(&wire, "\xff\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "caf\xc3\xa9\n");
	wire_expect_line(wire.stream, "\xff\n");
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("violation");
	TCase *tcase = wire_case(suite, "violations"), *good = wire_case(suite, "what is allowed");

	tcase_add_loop_test(tcase, violation_is_answered_and_read_behind_the_data, 0, WIRE_ROLES * VIOLATIONS);
	tcase_add_loop_test(tcase, after_a_violation_the_peer_is_waited_for_only_so_long, 0, WIRE_ROLES);
	tcase_add_loop_test(tcase, close_reaches_a_peer_that_goes_on_sending, 0, WIRE_ROLES);
	tcase_add_loop_test(good, messages_up_to_the_limit_pass, 0, WIRE_ROLES);
	tcase_add_loop_test(good, accepted_text_is_data, 0, WIRE_ROLES);
	return wire_run(suite);
}
