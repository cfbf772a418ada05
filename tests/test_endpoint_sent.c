/* SPDX-License-Identifier: 0BSD */
/* The sending half of the endpoint: frames of both roles, and how what is written is cut into messages. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "endpoint.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct wsf_endpoint_config client_config = {
	.role = WSF_CLIENT, .max_header_bytes = 1024, .max_frame_bytes = 65536,
};
static const struct wsf_endpoint_config server_config = {
	.role = WSF_SERVER, .max_header_bytes = 1024, .max_frame_bytes = 65536,
};

/* --- frames that are sent --- */

static const struct {
	size_t payload_bytes;
	size_t size;			/* unmasked */
	const char *rest;		/* behind the first byte, unmasked */
} starts[] = {
	{ 0, 2, "\x00" },
	{ 5, 2, "\x05" },
	{ 125, 2, "\x7d" },
	{ 126, 4, "\x7e\x00\x7e" },
	{ 65535, 4, "\x7e\xff\xff" },
	{ 65536, 10, "\x7f\x00\x00\x00\x00\x00\x01\x00\x00" },
	{ (size_t)1 << 30, 10, "\x7f\x00\x00\x00\x00\x40\x00\x00\x00" },
};

START_TEST(a_frame_starts_as_its_role_and_type_demand)
{
	for (int variant = 0; variant < 4; variant++) {
		const bool masked = (variant & 1) != 0, text = (variant & 2) != 0;
		struct wsf_endpoint_config config = masked ? client_config : server_config;
		uint8_t expected[WSF_FRAME_HEADER_MAX] = { text ? 0x81 : 0x82 };
		struct wsf_frame_start start;
		struct wsf_endpoint endpoint;
		size_t size = starts[_i].size;

		config.text_frames = text;
		wsf_endpoint_init(&endpoint, &config);
		memset(&start, 0xa5, sizeof(start));
		ck_assert_int_eq(wsf_endpoint_start_frame(&endpoint, starts[_i].payload_bytes, false, &start), 0);
		memcpy(expected + 1, starts[_i].rest, size - 1);
		ck_assert_int_eq(start.masked, masked);
		if (masked) {
			expected[1] |= 0x80;
			memcpy(expected + size, start.key, 4);
		}
		ck_assert_uint_eq(start.header_bytes, size + (masked ? 4 : 0));
		ck_assert_mem_eq(start.header, expected, start.header_bytes);
		wsf_endpoint_clear(&endpoint);
	}
}
END_TEST

/* RFC 6455, section 5.3: a fresh key for each frame. 64 random ones that repeat are one in two million. */
START_TEST(each_frame_has_a_key_of_its_own)
{
	uint8_t keys[64][4], out[WSF_CONTROL_FRAME_MAX];
	struct wsf_frame_start start;
	struct wsf_endpoint endpoint;

	wsf_endpoint_init(&endpoint, &client_config);
	for (size_t i = 0; i < COUNT(keys); i++) {
		if (i % 2 == 0) {
			ck_assert_int_eq(wsf_endpoint_start_frame(&endpoint, 1, false, &start), 0);
			memcpy(keys[i], start.key, 4);
		} else {
			ck_assert_int_eq(wsf_endpoint_control_frame(&endpoint, WSF_PING, NULL, 0, out), 6);
			memcpy(keys[i], out + 2, 4);
		}
		for (size_t k = 0; k < i; k++)
			ck_assert_mem_ne(keys[i], keys[k], 4);
	}
	wsf_endpoint_clear(&endpoint);
}
END_TEST

/* A whole control frame, against its own unmasked form. */
static void check_control(const uint8_t *out, int size, bool masked, unsigned byte0, const void *payload, size_t n)
{
	const uint8_t *key = out + 2, *body = out + (masked ? 6 : 2);
	uint8_t plain[WSF_CONTROL_PAYLOAD_MAX + 1];

	ck_assert_int_eq(size, (int)((masked ? 6 : 2) + n));
	ck_assert_uint_eq(out[0], byte0);
	ck_assert_uint_eq(out[1], (masked ? 0x80 : 0) | n);
	for (size_t i = 0; i < n; i++)
		plain[i] = masked ? body[i] ^ key[i % 4] : body[i];
	if (n > 0)
		ck_assert_mem_eq(plain, payload, n);
}

START_TEST(control_frames_carry_their_payload)
{
	const bool masked = _i != 0;
	uint8_t payload[WSF_CONTROL_PAYLOAD_MAX], *out = malloc(WSF_CONTROL_FRAME_MAX);
	struct wsf_endpoint endpoint;
	int size;

	ck_assert_ptr_nonnull(out);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	wsf_endpoint_init(&endpoint, masked ? &client_config : &server_config);
	for (size_t n = 0; n <= sizeof(payload); n++) {
		size = wsf_endpoint_control_frame(&endpoint, WSF_PONG, n > 0 ? payload : NULL, n, out);
		check_control(out, size, masked, 0x8a, payload, n);
	}
	size = wsf_endpoint_control_frame(&endpoint, WSF_PING, payload, 3, out);
	check_control(out, size, masked, 0x89, payload, 3);
	wsf_endpoint_clear(&endpoint);
	free(out);
}
END_TEST

START_TEST(a_close_carries_code_and_reason)
{
	const bool masked = _i != 0;
	char longest[WSF_REASON_MAX + 1], payload[2 + WSF_REASON_MAX] = "\x0f\xa0";
	uint8_t out[WSF_CONTROL_FRAME_MAX];
	struct wsf_endpoint endpoint;
	int size;

	wsf_endpoint_init(&endpoint, masked ? &client_config : &server_config);
	size = wsf_endpoint_close_frame(&endpoint, 1000, NULL, out);
	check_control(out, size, masked, 0x88, "\x03\xe8", 2);
	size = wsf_endpoint_close_frame(&endpoint, 1001, "", out);
	check_control(out, size, masked, 0x88, "\x03\xe9", 2);
	size = wsf_endpoint_close_frame(&endpoint, 1011, "gr\xc3\xbcn", out);
	check_control(out, size, masked, 0x88, "\x03\xf3gr\xc3\xbcn", 7);
	size = wsf_endpoint_close_frame(&endpoint, WSF_NO_CODE, NULL, out);
	check_control(out, size, masked, 0x88, NULL, 0);
	memset(longest, 'r', WSF_REASON_MAX);
	longest[WSF_REASON_MAX] = '\0';
	memcpy(payload + 2, longest, WSF_REASON_MAX);
	size = wsf_endpoint_close_frame(&endpoint, 4000, longest, out);
	check_control(out, size, masked, 0x88, payload, sizeof(payload));
	wsf_endpoint_clear(&endpoint);
}
END_TEST

/* --- messages cut out of what is written --- */

START_TEST(bytes_are_cut_at_the_longest_frame)
{
	static const size_t limits[] = { 1, 2, 7, 99, 100, 101, 65536 };
	const uint8_t data[100] = { 0xff, 0xc0, 0x80 };

	for (size_t l = 0; l < COUNT(limits); l++) {
		struct wsf_endpoint_config config = server_config;
		struct wsf_endpoint endpoint;
		struct wsf_message message;

		config.max_frame_bytes = limits[l];
		wsf_endpoint_init(&endpoint, &config);
		for (size_t left = sizeof(data); left > 0; left -= message.used_bytes) {
			size_t expected = left < limits[l] ? left : limits[l];

			ck_assert_int_eq(wsf_endpoint_next_message(&endpoint, data + sizeof(data) - left, left,
			    &message), 0);
			ck_assert_uint_eq(message.prefix_bytes, 0);
			ck_assert_uint_eq(message.take_bytes, expected);
			ck_assert_uint_eq(message.used_bytes, expected);
		}
		ck_assert(!wsf_endpoint_holds_text(&endpoint));
		wsf_endpoint_clear(&endpoint);
	}
}
END_TEST

struct sender {
	struct wsf_endpoint endpoint;
	size_t limit;
	char text[256];			/* all messages */
	size_t text_bytes, messages;
};

static void sender_init(struct sender *sender, size_t max_frame_bytes)
{
	struct wsf_endpoint_config config = client_config;

	memset(sender, 0, sizeof(*sender));
	config.text_frames = true;
	config.max_frame_bytes = max_frame_bytes;
	/* A character is never cut, so no limit is below its four bytes. */
	sender->limit = max_frame_bytes < 4 ? 4 : max_frame_bytes;
	wsf_endpoint_init(&sender->endpoint, &config);
}

/* Write as the stream does: message by message until all is used. */
static int send_text(struct sender *sender, const char *data, size_t size)
{
	struct wsf_message message;
	struct wsf_utf8 utf8;
	size_t bytes;
	int rv;

	while (size > 0) {
		char *text = sender->text + sender->text_bytes;

		rv = wsf_endpoint_next_message(&sender->endpoint, data, size, &message);
		if (rv != 0)
			return rv;
		bytes = message.prefix_bytes + message.take_bytes;
		if (message.used_bytes == 0 || message.used_bytes > size || message.take_bytes > message.used_bytes)
			ck_abort_msg("of %zu bytes %zu are used, %zu sent", size, message.used_bytes,
			    message.take_bytes);
		if (message.prefix_bytes > sizeof(message.prefix) || bytes > sender->limit)
			ck_abort_msg("%zu and %zu bytes, over %zu", message.prefix_bytes, message.take_bytes,
			    sender->limit);
		ck_assert_uint_le(bytes, sizeof(sender->text) - sender->text_bytes);
		memcpy(text, message.prefix, message.prefix_bytes);
		memcpy(text + message.prefix_bytes, data, message.take_bytes);
		utf8 = (struct wsf_utf8){ 0 };
		if (!wsf_utf8_feed(&utf8, text, bytes) || !wsf_utf8_complete(&utf8))
			ck_abort_msg("a message of %zu bytes that is no text, at %zu", bytes, sender->text_bytes);
		sender->text_bytes += bytes;
		sender->messages += bytes > 0;
		data += message.used_bytes;
		size -= message.used_bytes;
	}
	return 0;
}

static const char sample[] =
    "a\xc3\xbc" "b\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9" "cdefghijk\xf4\x8f\xbf\xbf\xe2\x82\xac!";
static const size_t text_limits[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, sizeof(sample), 65536 };

/* Written in three pieces, cut everywhere. */
START_TEST(text_stays_whole_characters_however_it_is_written)
{
	const size_t size = sizeof(sample) - 1;

	for (size_t first = 0; first <= size; first++) {
		for (size_t second = first; second <= size; second++) {
			struct wsf_utf8 utf8 = { 0 };
			struct sender sender;

			sender_init(&sender, text_limits[_i]);
			ck_assert_int_eq(send_text(&sender, sample, first), 0);
			ck_assert(wsf_utf8_feed(&utf8, sample, first));
			ck_assert_int_eq(wsf_endpoint_holds_text(&sender.endpoint), !wsf_utf8_complete(&utf8));
			/* Only what belongs to a character that is not whole is held back. */
			ck_assert_uint_eq(sender.text_bytes, first - wsf_utf8_incomplete_tail(sample, first));
			ck_assert_int_eq(send_text(&sender, sample + first, second - first), 0);
			ck_assert_int_eq(send_text(&sender, sample + second, size - second), 0);
			ck_assert(!wsf_endpoint_holds_text(&sender.endpoint));
			ck_assert_uint_eq(sender.text_bytes, size);
			ck_assert_mem_eq(sender.text, sample, size);
			wsf_endpoint_clear(&sender.endpoint);
		}
	}
}
END_TEST

START_TEST(text_written_byte_by_byte_is_a_message_a_character)
{
	struct sender sender;

	sender_init(&sender, text_limits[_i]);
	for (size_t i = 0; i < sizeof(sample) - 1; i++)
		ck_assert_int_eq(send_text(&sender, sample + i, 1), 0);
	ck_assert_uint_eq(sender.text_bytes, sizeof(sample) - 1);
	ck_assert_mem_eq(sender.text, sample, sizeof(sample) - 1);
	ck_assert_uint_eq(sender.messages, 18);
	wsf_endpoint_clear(&sender.endpoint);
}
END_TEST

START_TEST(text_that_fits_is_one_message)
{
	struct sender sender;

	sender_init(&sender, sizeof(sample) - 1);
	ck_assert_int_eq(send_text(&sender, sample, sizeof(sample) - 1), 0);
	ck_assert_uint_eq(sender.messages, 1);
	wsf_endpoint_clear(&sender.endpoint);
}
END_TEST

static const char *const not_text[] = {
	"ab\xff", "\x80", "\xc0\x80", "\xc3" "a", "a\xe2\x82" "b", "\xe2\x82\xe2", "\xed\xa0\x80", "\xf0\x8f\x80\x80",
	"\xf0\x9f\x98" "a", "\xf4\x90\x80\x80", "\xf8",
};

START_TEST(what_is_no_text_is_refused_however_it_is_written)
{
	const char *data = not_text[_i];
	const size_t size = strlen(data);

	for (size_t l = 0; l < COUNT(text_limits); l++) {
		for (size_t at = 0; at < size; at++) {
			struct sender sender;
			int rv;

			sender_init(&sender, text_limits[l]);
			rv = send_text(&sender, data, at);
			if (rv == 0)
				rv = send_text(&sender, data + at, size - at);
			ck_assert_int_eq(rv, -EILSEQ);
			/* Nothing but valid text was sent, and that in order. */
			ck_assert_uint_lt(sender.text_bytes, size);
			ck_assert_int_eq(memcmp(sender.text, data, sender.text_bytes), 0);
			wsf_endpoint_clear(&sender.endpoint);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint_sent");
	TCase *tcase = tcase_create("endpoint_sent");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_frame_starts_as_its_role_and_type_demand, 0, COUNT(starts));
	tcase_add_test(tcase, each_frame_has_a_key_of_its_own);
	tcase_add_loop_test(tcase, control_frames_carry_their_payload, 0, 2);
	tcase_add_loop_test(tcase, a_close_carries_code_and_reason, 0, 2);
	tcase_add_test(tcase, bytes_are_cut_at_the_longest_frame);
	tcase_add_loop_test(tcase, text_stays_whole_characters_however_it_is_written, 0, COUNT(text_limits));
	tcase_add_loop_test(tcase, text_written_byte_by_byte_is_a_message_a_character, 0, COUNT(text_limits));
	tcase_add_test(tcase, text_that_fits_is_one_message);
	tcase_add_loop_test(tcase, what_is_no_text_is_refused_however_it_is_written, 0, COUNT(not_text));
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
