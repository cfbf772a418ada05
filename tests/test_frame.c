/* SPDX-License-Identifier: 0BSD */
/* The header of a frame: what is encoded, and what the decoder takes and refuses. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "frame.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define KEY "\x37\xfa\x21\x3d"

/* The header of a final binary frame for each boundary of the payload length. */
static const struct {
	uint64_t payload_bytes;
	size_t size;			/* unmasked */
	const char *unmasked, *masked;
} lengths[] = {
	{ 0, 2, "\x82\x00", "\x82\x80" KEY },
	{ 1, 2, "\x82\x01", "\x82\x81" KEY },
	{ 125, 2, "\x82\x7d", "\x82\xfd" KEY },
	{ 126, 4, "\x82\x7e\x00\x7e", "\x82\xfe\x00\x7e" KEY },
	{ 127, 4, "\x82\x7e\x00\x7f", "\x82\xfe\x00\x7f" KEY },
	{ 256, 4, "\x82\x7e\x01\x00", "\x82\xfe\x01\x00" KEY },
	{ 65535, 4, "\x82\x7e\xff\xff", "\x82\xfe\xff\xff" KEY },
	{ 65536, 10, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00" KEY },
	{ 0xffffffff, 10, "\x82\x7f\x00\x00\x00\x00\xff\xff\xff\xff",
	"\x82\xff\x00\x00\x00\x00\xff\xff\xff\xff" KEY },
	{ 0x100000000, 10, "\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00",
	"\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00" KEY },
	{ 0x0123456789abcdef, 10, "\x82\x7f\x01\x23\x45\x67\x89\xab\xcd\xef",
	    "\x82\xff\x01\x23\x45\x67\x89\xab\xcd\xef" KEY },
	{ INT64_MAX, 10, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY },
};

static struct wsf_frame binary_frame(uint64_t payload_bytes, bool masked)
{
	struct wsf_frame frame = {
		.fin = true, .opcode = WSF_BINARY, .masked = masked, .payload_bytes = payload_bytes,
	};

	if (masked)
		memcpy(frame.key, KEY, 4);
	return frame;
}

static void check_equal(const struct wsf_frame *got, const struct wsf_frame *expected)
{
	ck_assert_int_eq(got->fin, expected->fin);
	ck_assert_uint_eq(got->rsv, expected->rsv);
	ck_assert_uint_eq(got->opcode, expected->opcode);
	ck_assert_int_eq(got->masked, expected->masked);
	ck_assert_uint_eq(got->payload_bytes, expected->payload_bytes);
	if (expected->masked)
		ck_assert_mem_eq(got->key, expected->key, 4);
}

/* In three pieces cut at first and second, with payload bytes behind that must stay. */
static void check_decode(const char *header, size_t size, size_t first, size_t second, const struct wsf_frame *expected)
{
	struct wsf_frame_decoder decoder = { 0 };
	struct wsf_frame frame;
	const char *reason = NULL;
	uint8_t bytes[WSF_FRAME_HEADER_MAX + 3];
	size_t used;

	memcpy(bytes, header, size);
	memset(bytes + size, 0xff, 3);
	if (first < size) {
		ck_assert_int_eq(wsf_frame_decode(&decoder, bytes, first, &used, &frame, &reason), 0);
		ck_assert_uint_eq(used, first);
	} else {
		second = first = 0;
	}
	if (second < size) {
		ck_assert_int_eq(wsf_frame_decode(&decoder, bytes + first, second - first, &used, &frame, &reason), 0);
		ck_assert_uint_eq(used, second - first);
	} else {
		second = first;
	}
	memset(&frame, 0xa5, sizeof(frame));
	ck_assert_int_eq(wsf_frame_decode(&decoder, bytes + second, size + 3 - second, &used, &frame, &reason), 1);
	ck_assert_uint_eq(used, size - second);
	check_equal(&frame, expected);
	ck_assert_ptr_null(reason);
	/* The decoder starts anew. */
	ck_assert_int_eq(wsf_frame_decode(&decoder, header, size, &used, &frame, &reason), 1);
	ck_assert_uint_eq(used, size);
	check_equal(&frame, expected);
}

START_TEST(every_length_is_encoded_in_its_shortest_form)
{
	uint8_t out[WSF_FRAME_HEADER_MAX + 2];
	struct wsf_frame frame = binary_frame(lengths[_i].payload_bytes, false);

	memset(out, 0xee, sizeof(out));
	ck_assert_uint_eq(wsf_frame_encode(out, &frame), lengths[_i].size);
	ck_assert_mem_eq(out, lengths[_i].unmasked, lengths[_i].size);
	ck_assert_uint_eq(out[lengths[_i].size], 0xee);

	frame = binary_frame(lengths[_i].payload_bytes, true);
	memset(out, 0xee, sizeof(out));
	ck_assert_uint_eq(wsf_frame_encode(out, &frame), lengths[_i].size + 4);
	ck_assert_mem_eq(out, lengths[_i].masked, lengths[_i].size + 4);
	ck_assert_uint_eq(out[lengths[_i].size + 4], 0xee);
}
END_TEST

START_TEST(every_length_is_decoded_however_it_is_split)
{
	struct wsf_frame unmasked = binary_frame(lengths[_i].payload_bytes, false);
	struct wsf_frame masked = binary_frame(lengths[_i].payload_bytes, true);
	size_t size = lengths[_i].size;

	for (size_t first = 0; first <= size + 4; first++) {
		for (size_t second = first; second <= size + 4; second++) {
			if (second <= size)
				check_decode(lengths[_i].unmasked, size, first, second, &unmasked);
			check_decode(lengths[_i].masked, size + 4, first, second, &masked);
		}
	}
}
END_TEST

START_TEST(a_byte_at_a_time_gives_the_same_frame)
{
	struct wsf_frame expected = binary_frame(lengths[_i].payload_bytes, true);
	struct wsf_frame_decoder decoder = { 0 };
	struct wsf_frame frame;
	const char *reason;
	size_t size = lengths[_i].size + 4, used;

	for (size_t i = 0; i < size; i++) {
		int rv = wsf_frame_decode(&decoder, lengths[_i].masked + i, 1, &used, &frame, &reason);

		ck_assert_int_eq(rv, i == size - 1);
		ck_assert_uint_eq(used, 1);
	}
	check_equal(&frame, &expected);
}
END_TEST

/* refused_at: bytes after which the refusal must come, with no byte more. */
static const struct {
	const char *header;
	size_t size, refused_at;
	const char *reason;
} refused[] = {
	{ "\x83\x00", 2, 1, "reserved opcode" }, { "\x84\x00", 2, 1, "reserved opcode" },
	{ "\x85\x00", 2, 1, "reserved opcode" }, { "\x86\x00", 2, 1, "reserved opcode" },
	{ "\x87\x00", 2, 1, "reserved opcode" }, { "\x8b\x00", 2, 1, "reserved opcode" },
	{ "\x8c\x00", 2, 1, "reserved opcode" }, { "\x8d\x00", 2, 1, "reserved opcode" },
	{ "\x8e\x00", 2, 1, "reserved opcode" }, { "\x8f\x00", 2, 1, "reserved opcode" },
	{ "\x03\x00", 2, 1, "reserved opcode" }, { "\x0f\x00", 2, 1, "reserved opcode" },
	{ "\xf3\x00", 2, 1, "reserved opcode" },
	{ "\x08\x00", 2, 1, "fragmented control frame" }, { "\x09\x85" KEY, 6, 1, "fragmented control frame" },
	{ "\x0a\x00", 2, 1, "fragmented control frame" },
	{ "\x88\x7e\x00\x7e", 4, 2, "control frame over 125 bytes" },
	{ "\x89\xfe\x00\x7e" KEY, 8, 2, "control frame over 125 bytes" },
	{ "\x8a\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10, 2, "control frame over 125 bytes" },
	{ "\x89\xff\x00\x00\x00\x00\x00\x01\x00\x00" KEY, 14, 2, "control frame over 125 bytes" },
	{ "\x82\x7e\x00\x00", 4, 4, "frame length not in its shortest form" },
	{ "\x82\x7e\x00\x7d", 4, 4, "frame length not in its shortest form" },
	{ "\x82\xfe\x00\x7d" KEY, 8, 4, "frame length not in its shortest form" },
	{ "\x01\x7f\x00\x00\x00\x00\x00\x00\x00\x00", 10, 10, "frame length not in its shortest form" },
	{ "\x01\x7f\x00\x00\x00\x00\x00\x00\x00\x7d", 10, 10, "frame length not in its shortest form" },
	{ "\x02\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10, 10, "frame length not in its shortest form" },
	{ "\x00\xff\x00\x00\x00\x00\x00\x00\xff\xff" KEY, 14, 10, "frame length not in its shortest form" },
	{ "\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10, 10, "frame length over 63 bits" },
	{ "\x82\x7f\x80\x00\x00\x00\x00\x01\x00\x00", 10, 10, "frame length over 63 bits" },
	{ "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" KEY, 14, 10, "frame length over 63 bits" },
};

START_TEST(a_bad_header_is_refused_as_soon_as_it_can_be)
{
	size_t size = refused[_i].size, at = refused[_i].refused_at, used;

	for (size_t cut = 0; cut < at; cut++) {
		struct wsf_frame_decoder decoder = { 0 };
		struct wsf_frame frame;
		const char *reason = NULL;

		ck_assert_int_eq(wsf_frame_decode(&decoder, refused[_i].header, cut, &used, &frame, &reason), 0);
		ck_assert_uint_eq(used, cut);
		ck_assert_ptr_null(reason);
		ck_assert_int_eq(
		    wsf_frame_decode(&decoder, refused[_i].header + cut, at - cut, &used, &frame, &reason), -EPROTO);
		ck_assert_str_eq(reason, refused[_i].reason);
		/* And stays refused. */
		ck_assert_int_eq(
		    wsf_frame_decode(&decoder, refused[_i].header + at, size - at, &used, &frame, &reason), -EPROTO);
		ck_assert_uint_eq(used, 0);
	}
}
END_TEST

START_TEST(flags_and_opcodes_pass_both_ways)
{
	static const uint8_t opcodes[] = { WSF_CONTINUATION, WSF_TEXT, WSF_BINARY, WSF_CLOSE, WSF_PING, WSF_PONG };

	for (size_t i = 0; i < COUNT(opcodes); i++) {
		for (unsigned bits = 0; bits < 32; bits++) {
			struct wsf_frame frame = {
				.fin = (bits & 16) != 0 || wsf_opcode_is_control(opcodes[i]),
				.rsv = bits & 7, .opcode = opcodes[i], .masked = (bits & 8) != 0,
				.key = { 1, 2, 3, 4 }, .payload_bytes = 100 + bits % 26,
			};
			uint8_t header[WSF_FRAME_HEADER_MAX];
			size_t size = wsf_frame_encode(header, &frame);

			ck_assert_uint_eq(header[0], (frame.fin ? 0x80U : 0U) | (bits & 7) << 4 | opcodes[i]);
			check_decode((const char *)header, size, 1, 1, &frame);
		}
	}
}
END_TEST

START_TEST(no_bytes_need_more)
{
	struct wsf_frame_decoder decoder = { 0 };
	struct wsf_frame frame;
	const char *reason;
	size_t used = 9;

	ck_assert_int_eq(wsf_frame_decode(&decoder, NULL, 0, &used, &frame, &reason), 0);
	ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(control_opcodes_are_told_from_data)
{
	ck_assert(!wsf_opcode_is_control(WSF_CONTINUATION));
	ck_assert(!wsf_opcode_is_control(WSF_TEXT));
	ck_assert(!wsf_opcode_is_control(WSF_BINARY));
	ck_assert(wsf_opcode_is_control(WSF_CLOSE));
	ck_assert(wsf_opcode_is_control(WSF_PING));
	ck_assert(wsf_opcode_is_control(WSF_PONG));
}
END_TEST

START_TEST(close_codes_from_a_peer_are_judged)
{
	static const struct { unsigned first, last; } ranges[] = { { 1000, 1003 }, { 1007, 1014 }, { 3000, 4999 } };

	for (unsigned code = 0; code <= 70000; code++) {
		bool expected = false;

		for (size_t i = 0; i < COUNT(ranges); i++)
			expected = expected || (code >= ranges[i].first && code <= ranges[i].last);
		if (wsf_close_code_valid(code) != expected)
			ck_abort_msg("close code %u", code);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tcase = tcase_create("frame");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, every_length_is_encoded_in_its_shortest_form, 0, COUNT(lengths));
	tcase_add_loop_test(tcase, every_length_is_decoded_however_it_is_split, 0, COUNT(lengths));
	tcase_add_loop_test(tcase, a_byte_at_a_time_gives_the_same_frame, 0, COUNT(lengths));
	tcase_add_loop_test(tcase, a_bad_header_is_refused_as_soon_as_it_can_be, 0, COUNT(refused));
	tcase_add_test(tcase, flags_and_opcodes_pass_both_ways);
	tcase_add_test(tcase, no_bytes_need_more);
	tcase_add_test(tcase, control_opcodes_are_told_from_data);
	tcase_add_test(tcase, close_codes_from_a_peer_are_judged);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
