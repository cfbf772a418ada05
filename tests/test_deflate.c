/* SPDX-License-Identifier: 0BSD */
/* permessage-deflate by itself: compressing and inflating, and the negotiation of both ends with each other. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "bytes.h"
#include "deflate.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define FREE_BYTES 65536

static const struct wsf_deflate_params defaults = {
	.on = true, .send_window_bits = 15, .recv_window_bits = 15, .level = 6, .max_ratio = 200,
};

/* --- content --- */

enum content { ZEROS, TEXT, NOISE, CONTENTS };

/* Something new each time, which the same message or the one before may have had. */
static void put_content(struct bytes *bytes, enum content content, size_t size, uint32_t *state)
{
	static const char *const words[] = {
		"a ", "web ", "socket ", "frame ", "carries ", "messages\n", "of ", "bytes ",
	};

	while (size > 0) {
		const uint8_t noise = content == NOISE ? (uint8_t)next_number(state) : 0;
		const char *word = words[next_number(state) % COUNT(words)];
		size_t n = content == TEXT ? strlen(word) : 1;

		if (n > size)
			n = size;
		put(bytes, content == TEXT ? (const void *)word : &noise, n);
		size -= n;
	}
}

/* --- a message through the inflater --- */

/* What became of it. */
struct result {
	int rv;				/* 1 = whole */
	struct bytes out;
};

/*
 * Pieces and rooms of at most so many bytes, 0 = all at once; every buffer is of just the size that is allowed. A
 * ck_assert that holds writes to a pipe: in loops only failures are told.
 */
static void inflate_message(struct wsf_deflate *deflate, const void *in, size_t size, size_t piece, size_t room,
    struct result *result)
{
	const uint8_t *p = in;

	result->rv = 0;
	if (piece == 0)
		piece = size;
	if (room == 0)
		room = 1 << 20;
	while (result->rv == 0) {
		size_t n = size < piece ? size : piece, used, made;
		uint8_t *from = malloc(n > 0 ? n : 1), *to = malloc(room);

		if (from == NULL || to == NULL)
			ck_abort_msg("out of memory");
		if (n > 0)
			memcpy(from, p, n);
		result->rv = wsf_deflate_inflate(deflate, from, n, n == size, &used, to, room, &made);
		if (used > n || made > room)
			ck_abort_msg("%zu of %zu bytes into %zu of %zu", used, n, made, room);
		put(&result->out, to, made);
		free(from);
		free(to);
		if (result->rv == 0 && used < n && made < room)
			ck_abort_msg("stopped with %zu bytes to go and room for %zu", n - used, room - made);
		if (result->rv == 0 && n == size && made < room)
			ck_abort_msg("no end behind the last byte");
		p += used;
		size -= used;
	}
	if (result->rv == 1)
		ck_assert_uint_eq(size, 0);
}

#define M(bytes) { bytes, sizeof(bytes) - 1 }

/* One after the other in one inflater. text NULL = refused. */
struct message {
	const char *bytes;
	size_t size;
};

static const struct {
	const char *name;
	struct message messages[4];
	const char *texts[4];
	bool no_context_takeover;
	int error;			/* of the last one */
} inflated[] = {
	/* RFC 7692, section 7.2.3 */
	{ "7.2.3.1", { M("\xf2\x48\xcd\xc9\xc9\x07\x00") }, { "Hello" }, false, 0 },
	{ "7.2.3.2", { M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M("\xf2\x00\x11\x00\x00") }, { "Hello", "Hello" }, false, 0 },
	{ "7.2.3.3", { M("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00") }, { "Hello" }, false, 0 },
	{ "7.2.3.4", { M("\xf3\x48\xcd\xc9\xc9\x07\x00\x00") }, { "Hello" }, false, 0 },
	{ "7.2.3.5", { M("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00") }, { "Hello" }, false, 0 },
	{ "7.2.3.6", { M("\x00"), M("\xf2\x48\xcd\xc9\xc9\x07\x00") }, { "", "Hello" }, false, 0 },
	/* what it leaves open */
	{ "a final block, and the window remains", { M("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), M("\xf2\x00\x11\x00\x00") },
	    { "Hello", "Hello" }, false, 0 },
	{ "blocks behind final ones", { M("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00") },
	    { "HelloHello" }, false, 0 },
	{ "a final block without the octet behind it", { M("\xf3\x48\xcd\xc9\xc9\x07\x00"), M("\xf2\x00\x11\x00\x00") },
	    { "Hello", "Hello" }, false, 0 },
	{ "a final stored block that ends with the tail", { M("\x01"), M("\xf2\x48\xcd\xc9\xc9\x07\x00") },
	    { "", "Hello" }, false, 0 },
	{ "no byte at all", { M(""), M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M(""), M("\xf2\x00\x11\x00\x00") },
	    { "", "Hello", "", "Hello" }, false, 0 },
	{ "each message for itself",
	    { M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M("\x00") },
	    { "Hello", "Hello", "" }, true, 0 },
	/* no deflate */
	{ "a reserved block type", { M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M("\x07") }, { "Hello", "" }, false, EPROTO },
	{ "a reserved block type behind data", { M("\xf2\x48\x05\x00\x00\x00\xff\xff\x07") }, { "He" }, false, EPROTO },
	{ "a distance before the start", { M("\xf2\x00\x11\x00\x00") }, { "H" }, false, EPROTO },
	{ "a distance into the message before",
	    { M("\xf2\x48\xcd\xc9\xc9\x07\x00"), M("\xf2\x00\x11\x00\x00") }, { "Hello", "H" }, true, EPROTO },
	{ "an end inside a block", { M("\xf2\x48\xcd") }, { NULL }, false, EPROTO },
	{ "an end inside a stored block", { M("\x00\x20\x00\xdf\xff" "Hello") }, { NULL }, false, EPROTO },
	{ "an end inside a stored block that takes the tail for data", { M("\x00\x09\x00\xf6\xff" "Hell") },
	    { NULL }, false, EPROTO },
	{ "a stored block with a wrong length", { M("\x00\x05\x00\xfa\xfe" "Hello") }, { "" }, false, EPROTO },
};

static void check_inflated(size_t row, size_t piece, size_t room)
{
	struct wsf_deflate deflate = { .params = defaults };
	const char *name = inflated[row].name;

	deflate.params.recv_no_context_takeover = inflated[row].no_context_takeover;
	for (size_t i = 0; i < 4 && inflated[row].messages[i].bytes != NULL; i++) {
		bool last = i == 3 || inflated[row].messages[i + 1].bytes == NULL;
		int wanted = last && inflated[row].error != 0 ? -inflated[row].error : 1;
		const char *text = inflated[row].texts[i];
		struct result result = { 0 };

		inflate_message(&deflate, inflated[row].messages[i].bytes, inflated[row].messages[i].size, piece, room,
		    &result);
		if (result.rv != wanted)
			ck_abort_msg("%s, message %zu by %zu and %zu: %d", name, i, piece, room, result.rv);
		if (text != NULL && (result.out.size != strlen(text) ||
		    memcmp(result.out.data, text, result.out.size) != 0))
			ck_abort_msg("%s, message %zu by %zu and %zu: \"%.*s\"", name, i, piece, room,
			    (int)result.out.size, (const char *)result.out.data);
		free(result.out.data);
	}
	wsf_deflate_clear(&deflate);
}

START_TEST(a_message_inflates_the_same_however_it_comes)
{
	for (size_t piece = 0; piece < 8; piece++) {
		for (size_t room = 0; room < 8; room++)
			check_inflated((size_t)_i, piece, room);
	}
}
END_TEST

/* --- there and back --- */

static const size_t sizes[] = { 0, 1, 2, 5, 100, 1000, 4096, 65535, 65536, 65537, 300000 };

static int deflate_message(struct wsf_deflate *deflate, const uint8_t *data, size_t size, const uint8_t **out,
    size_t *out_bytes)
{
	const struct iovec in[] = {
		{ (void *)data, size / 3 }, { (void *)data, 0 }, { (void *)(data + size / 3), size - size / 3 },
	};

	return wsf_deflate_message(deflate, in, COUNT(in), out, out_bytes);
}

/* All sizes, one after the other. What is not worth compressing is sent as it is, and no later message needs it. */
static void there_and_back(const struct wsf_deflate_params *params, enum content content)
{
	struct wsf_deflate from = { .params = *params }, to = { .params = *params };
	uint32_t state = 7;

	to.params.recv_window_bits = params->send_window_bits;
	to.params.recv_no_context_takeover = params->send_no_context_takeover;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct result result = { 0 };
		struct bytes data = { 0 };
		const uint8_t *out;
		size_t out_bytes;
		int rv;

		put(&data, "", 0);
		put_content(&data, content, sizes[i], &state);
		rv = deflate_message(&from, data.data, data.size, &out, &out_bytes);
		if (rv == 0) {
			inflate_message(&to, out, out_bytes, i % 2 * 1000, i % 3 * 777, &result);
			ck_assert_int_eq(result.rv, 1);
			ck_assert_uint_eq(result.out.size, data.size);
			ck_assert(memcmp(result.out.data, data.data, data.size) == 0);
			if (content != NOISE && data.size >= 1000)
				ck_assert_uint_lt(out_bytes, data.size / 2);
			ck_assert_uint_le(out_bytes, data.size + data.size / 48 + 16);
		} else {
			ck_assert_int_eq(rv, -EOPNOTSUPP);
			ck_assert(params->send_no_context_takeover && (content == NOISE || data.size < 100));
		}
		if (i % 4 == 3)
			wsf_deflate_idle(&from);
		free(result.out.data);
		free(data.data);
	}
	wsf_deflate_clear(&from);
	wsf_deflate_clear(&to);
}

START_TEST(what_is_deflated_inflates_to_the_same)
{
	static const int levels[] = { 1, 6, 9 };
	struct wsf_deflate_params params = defaults;

	params.send_window_bits = _i;
	params.max_ratio = 0;
	for (size_t level = 0; level < COUNT(levels); level++) {
		for (int content = 0; content < CONTENTS; content++) {
			params.level = levels[level];
			params.send_no_context_takeover = false;
			there_and_back(&params, (enum content)content);
			params.send_no_context_takeover = true;
			there_and_back(&params, (enum content)content);
		}
	}
}
END_TEST

START_TEST(a_message_like_the_one_before_is_short)
{
	struct wsf_deflate deflate = { .params = defaults };
	uint32_t state = 3;
	struct bytes data = { 0 };
	const uint8_t *out;
	size_t first, second;

	deflate.params.send_no_context_takeover = _i != 0;
	put_content(&data, TEXT, 2000, &state);
	ck_assert_int_eq(deflate_message(&deflate, data.data, data.size, &out, &first), 0);
	wsf_deflate_idle(&deflate);
	ck_assert_int_eq(deflate_message(&deflate, data.data, data.size, &out, &second), 0);
	if (_i == 0)
		ck_assert_uint_lt(second, first / 10);
	else
		ck_assert_uint_eq(second, first);
	wsf_deflate_clear(&deflate);
	free(data.data);
}
END_TEST

START_TEST(an_idle_deflater_gives_back_what_it_can)
{
	struct wsf_deflate deflate = { .params = defaults };
	const uint8_t *out;
	size_t out_bytes;

	wsf_deflate_idle(&deflate);
	ck_assert_ptr_null(deflate.deflater);
	deflate.params.send_no_context_takeover = true;
	ck_assert_int_eq(deflate_message(&deflate, (const uint8_t *)"aaaaaaaaaaaa", 12, &out, &out_bytes), 0);
	ck_assert_ptr_nonnull(deflate.deflater);
	wsf_deflate_idle(&deflate);
	ck_assert_ptr_null(deflate.deflater);
	wsf_deflate_clear(&deflate);
}
END_TEST

/* RFC 7692, section 7.1.2 allows 8 bits, and zlib does not. */
START_TEST(a_window_of_8_bits_is_only_inflated)
{
	struct wsf_deflate deflate = { .params = defaults };
	struct result result = { 0 };
	const uint8_t *out;
	size_t out_bytes;

	deflate.params.send_window_bits = deflate.params.recv_window_bits = 8;
	ck_assert_int_eq(deflate_message(&deflate, (const uint8_t *)"aaaaaaaaaaaa", 12, &out, &out_bytes), -EOPNOTSUPP);
	ck_assert_ptr_null(deflate.deflater);
	inflate_message(&deflate, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 0, 0, &result);
	ck_assert_int_eq(result.rv, 1);
	ck_assert_uint_eq(result.out.size, 5);
	free(result.out.data);
	wsf_deflate_clear(&deflate);
}
END_TEST

/* --- the ratio --- */

/* A message of zeros behind some noise. */
static void make_bomb(struct bytes *out, size_t noise, size_t zeros)
{
	struct wsf_deflate deflate = { .params = defaults };
	struct bytes data = { 0 };
	const uint8_t *bytes;
	uint32_t state = 1;
	size_t size;

	put_content(&data, NOISE, noise, &state);
	put_content(&data, ZEROS, zeros, &state);
	ck_assert_int_eq(deflate_message(&deflate, data.data, data.size, &bytes, &size), 0);
	put(out, bytes, size);
	wsf_deflate_clear(&deflate);
	free(data.data);
}

static const struct {
	size_t noise, zeros;
	unsigned max_ratio;
	int rv;
} bombs[] = {
	{ 0, FREE_BYTES, 1, 1 },
	{ 0, FREE_BYTES + 1, 1, -EMSGSIZE },
	{ 0, 3000000, 0, 1 },
	{ 0, 3000000, 1100, 1 },
	{ 0, 3000000, 900, -EMSGSIZE },
	{ 0, 3000000, 200, -EMSGSIZE },
	{ 0, 3000000, 1, -EMSGSIZE },
	{ 20000, 3000000, 200, 1 },
	{ 10000, 3000000, 200, -EMSGSIZE },
	{ 100000, 20000, 1, -EMSGSIZE },
	{ 100000, 20000, 2, 1 },
	{ 0, 3000000, 4294967295u, 1 },
};

START_TEST(a_bomb_is_stopped_at_the_same_byte_however_it_comes)
{
	static const size_t pieces[] = { 1, 2, 17, 1000 }, rooms[] = { 1, 100, 4096, 65536, 65537 };
	struct result whole = { 0 };
	struct bytes bomb = { 0 };

	make_bomb(&bomb, bombs[_i].noise, bombs[_i].zeros);
	for (size_t n = 0; n <= COUNT(pieces) * COUNT(rooms); n++) {
		size_t piece = n == 0 ? 0 : pieces[(n - 1) / COUNT(rooms)];
		size_t room = n == 0 ? 0 : rooms[(n - 1) % COUNT(rooms)];
		struct wsf_deflate deflate = { .params = defaults };
		struct result result = { 0 };

		/* All of it by single bytes is not worth the time. */
		if (room == 1 && bombs[_i].zeros > 1000000 && bombs[_i].rv == 1)
			continue;
		deflate.params.max_ratio = bombs[_i].max_ratio;
		inflate_message(&deflate, bomb.data, bomb.size, piece, room, &result);
		if (n == 0) {
			ck_assert_int_eq(result.rv, bombs[_i].rv);
			whole = result;
		} else if (result.rv != whole.rv || result.out.size != whole.out.size) {
			ck_abort_msg("by %zu and %zu: %d behind %zu bytes, not %d behind %zu", piece, room, result.rv,
			    result.out.size, whole.rv, whole.out.size);
		}
		if (n > 0)
			free(result.out.data);
		wsf_deflate_clear(&deflate);
	}
	if (bombs[_i].rv == 1) {
		ck_assert_uint_eq(whole.out.size, bombs[_i].noise + bombs[_i].zeros);
	} else {
		/* Not a byte is refused before the limit, and at most what one byte of deflate is too late. */
		ck_assert_uint_gt(whole.out.size, FREE_BYTES);
		ck_assert_uint_le(whole.out.size, FREE_BYTES + 1032 + (size_t)bombs[_i].max_ratio * bomb.size);
	}
	free(whole.out.data);
	free(bomb.data);
}
END_TEST

/* What ends every message, the tail, can be read as matches, too, where the last block is not complete. */
START_TEST(a_bomb_that_is_cut_short_becomes_no_longer_than_the_ratio_allows)
{
	struct bytes bomb = { 0 };
	size_t longest = 0;

	make_bomb(&bomb, 0, 200000);
	for (size_t size = 1; size < bomb.size; size++) {
		struct wsf_deflate deflate = { .params = defaults };
		struct result result = { 0 };

		inflate_message(&deflate, bomb.data, size, size % 3, size % 5 * 100, &result);
		ck_assert_int_ne(result.rv, 1);
		ck_assert_uint_le(result.out.size, FREE_BYTES + 1032);
		longest = result.out.size > longest ? result.out.size : longest;
		free(result.out.data);
		wsf_deflate_clear(&deflate);
	}
	ck_assert_uint_gt(longest, FREE_BYTES);
	free(bomb.data);
}
END_TEST

START_TEST(the_ratio_is_each_messages_own)
{
	struct wsf_deflate from = { .params = defaults }, to = { .params = defaults };
	uint8_t *zeros = calloc(1, FREE_BYTES);

	ck_assert_ptr_nonnull(zeros);
	to.params.max_ratio = 2;
	for (int i = 0; i < 10; i++) {
		struct result result = { 0 };
		const uint8_t *out;
		size_t out_bytes;

		ck_assert_int_eq(deflate_message(&from, zeros, FREE_BYTES, &out, &out_bytes), 0);
		inflate_message(&to, out, out_bytes, 0, 0, &result);
		ck_assert_int_eq(result.rv, 1);
		free(result.out.data);
	}
	wsf_deflate_clear(&from);
	wsf_deflate_clear(&to);
	free(zeros);
}
END_TEST

/* --- negotiation --- */

#define P "permessage-deflate"
#define SNC "server_no_context_takeover"
#define CNC "client_no_context_takeover"
#define SMW "server_max_window_bits"
#define CMW "client_max_window_bits"
#define FIELD "Sec-WebSocket-Extensions: "

/* fields: whole header lines. */
static void parse_fields(struct wsf_http *http, const char *fields)
{
	const char *parts[] = { "HTTP/1.1 101 x\r\n", fields, "\r\n" }, *reason = "";
	size_t used;
	int rv = 0;

	wsf_http_init(http, WSF_HTTP_RESPONSE, 65536);
	for (size_t i = 0; i < COUNT(parts); i++)
		rv = wsf_http_feed(http, parts[i], strlen(parts[i]), &used, &reason);
	if (rv != 1)
		ck_abort_msg("%s: %s", fields, reason);
}

static struct wsf_deflate_params want(int send_bits, int recv_bits, bool send_no, bool recv_no)
{
	struct wsf_deflate_params params = defaults;

	params.send_window_bits = send_bits;
	params.recv_window_bits = recv_bits;
	params.send_no_context_takeover = send_no;
	params.recv_no_context_takeover = recv_no;
	return params;
}

static const struct {
	int send_bits, recv_bits;
	bool send_no, recv_no;
	const char *offer;
} offers[] = {
	{ 15, 15, false, false, P "; " CMW },
	{ 15, 10, false, false, P "; " SMW "=10; " CMW },
	{ 9, 15, false, false, P "; " CMW "=9" },
	{ 15, 15, true, false, P "; " CNC "; " CMW },
	{ 15, 15, false, true, P "; " SNC "; " CMW },
	{ 14, 13, true, true, P "; " SNC "; " CNC "; " SMW "=13; " CMW "=14" },
};

START_TEST(an_offer_says_what_is_wanted)
{
	struct wsf_deflate_params params =
	    want(offers[_i].send_bits, offers[_i].recv_bits, offers[_i].send_no, offers[_i].recv_no);
	char out[WSF_EXTENSIONS_MAX];

	wsf_deflate_offer(&params, out);
	ck_assert_str_eq(out, offers[_i].offer);
	params.on = false;
	wsf_deflate_offer(&params, out);
	ck_assert_str_eq(out, "");
}
END_TEST

static const struct {
	const char *fields;
	/* wanted */
	int send_bits, recv_bits;
	bool send_no, recv_no;
	/* agreed, "" = nothing */
	const char *answer;
	int agreed_send_bits, agreed_recv_bits;
	bool agreed_send_no, agreed_recv_no;
} chosen[] = {
	{ "", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "\r\n", 15, 15, false, false, P, 15, 15, false, false },
	{ FIELD "  ,, x-other; a=b , \t" P ",\r\n", 15, 15, false, false, P, 15, 15, false, false },
	{ "X: y\r\n" FIELD "x\r\nsec-websocket-EXTENSIONS: y, " P "\r\n", 15, 15, false, false, P, 15, 15, false,
	    false },
	{ FIELD P "; " CMW "\r\n", 15, 15, false, false, P, 15, 15, false, false },
	/* our own wishes */
	{ FIELD P "; " CMW "\r\n", 10, 15, false, false, P "; " SMW "=10", 10, 15, false, false },
	{ FIELD P "; " CMW "\r\n", 15, 10, false, false, P "; " CMW "=10", 15, 10, false, false },
	{ FIELD P "\r\n", 15, 15, true, true, P "; " SNC "; " CNC, 15, 15, true, true },
	/* theirs */
	{ FIELD P "; " SMW "=12; " CMW "\r\n", 15, 15, false, false, P "; " SMW "=12", 12, 15, false, false },
	{ FIELD P ";" SMW "=15\r\n", 15, 15, false, false, P "; " SMW "=15", 15, 15, false, false },
	{ FIELD P ";" SMW "=15\r\n", 11, 15, false, false, P "; " SMW "=11", 11, 15, false, false },
	{ FIELD P "; " SMW "=8\r\n", 15, 15, false, false, P "; " SMW "=8", 8, 15, false, false },
	{ FIELD P "; " CMW "=12\r\n", 15, 15, false, false, P "; " CMW "=12", 15, 12, false, false },
	{ FIELD P "; " CMW "=12\r\n", 15, 10, false, false, P "; " CMW "=10", 15, 10, false, false },
	{ FIELD P "; " CMW "=8\r\n", 15, 10, false, false, P "; " CMW "=8", 15, 8, false, false },
	{ FIELD P "; " SNC "\r\n", 15, 15, false, false, P "; " SNC, 15, 15, true, false },
	{ FIELD P "; " CNC "\r\n", 15, 15, false, false, P "; " CNC, 15, 15, false, true },
	{ FIELD P ";\t" CNC " ;" SMW " = 10;" SNC ";" CMW "=11\r\n", 15, 15, false, false,
	    P "; " SNC "; " CNC "; " SMW "=10; " CMW "=11", 10, 11, true, true },
	/* quoted values are the same (RFC 6455, section 9.1) */
	{ FIELD P "; " SMW "=\"12\"; " CMW "=\"\\1\\3\"\r\n", 15, 15, false, false, P "; " SMW "=12; " CMW "=13",
	    12, 13, false, false },
	{ FIELD "x; a=\"q\\\", " P ", \"; b, " P "; " SMW "=9\r\n", 15, 15, false, false, P "; " SMW "=9", 9, 15, false,
	    false },
	/* the first that can be met */
	{ FIELD P "; " SMW "=11, " P "\r\n", 15, 15, false, false, P "; " SMW "=11", 11, 15, false, false },
	{ FIELD P "; unknown, " P "; " SNC "\r\n", 15, 15, false, false, P "; " SNC, 15, 15, true, false },
	{ FIELD P "; unknown\r\n" FIELD P "; " CNC "\r\n", 15, 15, false, false, P "; " CNC, 15, 15, false, true },
	{ FIELD P ", " P "; " CMW "\r\n", 15, 10, false, false, P "; " CMW "=10", 15, 10, false, false },
	/* none can */
	{ FIELD P "\r\n", 15, 10, false, false, "", 0, 0, false, false },
	{ FIELD P "; unknown=1\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SNC "=1\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " CNC "; " CNC "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SNC "; " SNC "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=7\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=16\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=09\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=100\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=1234567890123456789012\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"\"\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"10\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"10\\\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"10\\\"\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"1 0\"\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=\"10\"x\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " SMW "=10; " SMW "=10\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "; " CMW "; " CMW "=10\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P ";\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P ";;" SNC "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P " " SNC "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "=1\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD "; " P "\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD "\"" P "\"\r\n", 15, 15, false, false, "", 0, 0, false, false },
	{ FIELD P "x, x" P ", x-webkit-deflate-frame\r\n", 15, 15, false, false, "", 0, 0, false, false },
};

START_TEST(a_server_chooses_the_first_offer_it_can_meet)
{
	struct wsf_deflate_params agreed, wanted =
	    want(chosen[_i].send_bits, chosen[_i].recv_bits, chosen[_i].send_no, chosen[_i].recv_no);
	char out[WSF_EXTENSIONS_MAX] = "?";
	struct wsf_http http;

	parse_fields(&http, chosen[_i].fields);
	wsf_deflate_choose(&http, &wanted, &agreed, out);
	if (strcmp(out, chosen[_i].answer) != 0)
		ck_abort_msg("%s: %s", chosen[_i].fields, out);
	ck_assert_int_eq(agreed.on, *chosen[_i].answer != '\0');
	if (agreed.on) {
		ck_assert_int_eq(agreed.send_window_bits, chosen[_i].agreed_send_bits);
		ck_assert_int_eq(agreed.recv_window_bits, chosen[_i].agreed_recv_bits);
		ck_assert_int_eq(agreed.send_no_context_takeover, chosen[_i].agreed_send_no);
		ck_assert_int_eq(agreed.recv_no_context_takeover, chosen[_i].agreed_recv_no);
		ck_assert_int_eq(agreed.level, wanted.level);
		ck_assert_uint_eq(agreed.max_ratio, wanted.max_ratio);
	}
	wanted.on = false;
	wsf_deflate_choose(&http, &wanted, &agreed, out);
	ck_assert(!agreed.on);
	ck_assert_str_eq(out, "");
	wsf_http_clear(&http);
}
END_TEST

static const struct {
	const char *fields;
	/* wanted */
	int send_bits, recv_bits;
	bool send_no, recv_no;
	/* agreed; NULL = refused */
	const char *agreed;
	int agreed_send_bits, agreed_recv_bits;
	bool agreed_send_no, agreed_recv_no;
} answers[] = {
	{ "", 10, 10, true, true, "", 0, 0, false, false },
	{ FIELD P "\r\n", 15, 15, false, false, P, 15, 15, false, false },
	{ FIELD " , " P " ,\r\n", 15, 15, false, false, P, 15, 15, false, false },
	{ FIELD "\r\n" FIELD P "\r\n", 15, 15, false, false, P, 15, 15, false, false },
	{ FIELD P ";" SNC ";" CNC ";" SMW "=\"9\";" CMW "=8\r\n", 15, 15, false, false,
	    P "; " SNC "; " CNC "; " SMW "=9; " CMW "=8", 8, 9, true, true },
	{ FIELD P "; " CNC "\r\n", 15, 15, false, false, P "; " CNC, 15, 15, true, false },
	{ FIELD P "; " SNC "\r\n", 15, 15, false, false, P "; " SNC, 15, 15, false, true },
	{ FIELD P "\r\n", 15, 15, true, false, P, 15, 15, true, false },
	{ FIELD P "; " CMW "=12\r\n", 10, 15, false, false, P "; " CMW "=12", 10, 15, false, false },
	{ FIELD P "; " CMW "=9\r\n", 10, 15, false, false, P "; " CMW "=9", 9, 15, false, false },
	{ FIELD P "; " SMW "=10\r\n", 15, 10, false, false, P "; " SMW "=10", 15, 10, false, false },
	{ FIELD P "; " SMW "=8\r\n", 15, 10, false, false, P "; " SMW "=8", 15, 8, false, false },
	{ FIELD P "; " SNC "\r\n", 15, 15, false, true, P "; " SNC, 15, 15, false, true },
	/* what was asked is not kept to */
	{ FIELD P "; " SMW "=11\r\n", 15, 10, false, false, NULL, 0, 0, false, false },
	{ FIELD P "\r\n", 15, 10, false, false, NULL, 0, 0, false, false },
	{ FIELD P "\r\n", 15, 15, false, true, NULL, 0, 0, false, false },
	/* not offered, or not understood */
	{ FIELD "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD ",\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD "x\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P ", x\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P ", " P "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "\r\n" FIELD P "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " CMW "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " CMW "=7\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " CMW "=16\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " SMW "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " SMW "=010\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " SNC "=x\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; " CNC "; " CNC "\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P "; unknown\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P ";\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
	{ FIELD P " x\r\n", 15, 15, false, false, NULL, 0, 0, false, false },
};

START_TEST(an_answer_keeps_to_the_offer)
{
	struct wsf_deflate_params agreed, wanted =
	    want(answers[_i].send_bits, answers[_i].recv_bits, answers[_i].send_no, answers[_i].recv_no);
	char out[WSF_EXTENSIONS_MAX] = "?";
	const char *reason = NULL;
	struct wsf_http http;
	int rv;

	parse_fields(&http, answers[_i].fields);
	rv = wsf_deflate_check_answer(&http, &wanted, &agreed, out, &reason);
	if (rv != (answers[_i].agreed != NULL ? 0 : -EPROTO))
		ck_abort_msg("%s: %d", answers[_i].fields, rv);
	if (rv == 0) {
		ck_assert_str_eq(out, answers[_i].agreed);
		ck_assert_int_eq(agreed.on, *answers[_i].agreed != '\0');
	} else {
		ck_assert(!agreed.on);
		ck_assert_str_eq(out, "");
		ck_assert_ptr_nonnull(reason);
	}
	if (agreed.on) {
		ck_assert_int_eq(agreed.send_window_bits, answers[_i].agreed_send_bits);
		ck_assert_int_eq(agreed.recv_window_bits, answers[_i].agreed_recv_bits);
		ck_assert_int_eq(agreed.send_no_context_takeover, answers[_i].agreed_send_no);
		ck_assert_int_eq(agreed.recv_no_context_takeover, answers[_i].agreed_recv_no);
	}
	wsf_http_clear(&http);
}
END_TEST

START_TEST(nothing_offered_means_no_extension_at_all)
{
	static const char *const fields[] = { FIELD P "\r\n", FIELD "\r\n", FIELD "x\r\n" };
	struct wsf_deflate_params agreed, wanted = { 0 };
	char out[WSF_EXTENSIONS_MAX];
	const char *reason = NULL;
	struct wsf_http http;

	parse_fields(&http, "");
	ck_assert_int_eq(wsf_deflate_check_answer(&http, &wanted, &agreed, out, &reason), 0);
	ck_assert(!agreed.on);
	wsf_http_clear(&http);
	for (size_t i = 0; i < COUNT(fields); i++) {
		parse_fields(&http, fields[i]);
		ck_assert_int_eq(wsf_deflate_check_answer(&http, &wanted, &agreed, out, &reason), -EPROTO);
		ck_assert_str_eq(reason, "the server chose an extension, and none was offered");
		wsf_http_clear(&http);
	}
}
END_TEST

/* Every wish of both ends: either nothing is agreed, or both mean the same by it and nobody's wish is passed over. */
static void agree(const struct wsf_deflate_params *client, const struct wsf_deflate_params *server)
{
	struct wsf_deflate_params at_client, at_server;
	char offer[WSF_EXTENSIONS_MAX], answer[WSF_EXTENSIONS_MAX], text[WSF_EXTENSIONS_MAX], fields[256];
	const char *reason = "";
	struct wsf_http http;

	wsf_deflate_offer(client, offer);
	snprintf(fields, sizeof(fields), FIELD "%s\r\n", offer);
	parse_fields(&http, fields);
	wsf_deflate_choose(&http, server, &at_server, answer);
	wsf_http_clear(&http);
	snprintf(fields, sizeof(fields), FIELD "%s\r\n", answer);
	parse_fields(&http, fields);
	if (wsf_deflate_check_answer(&http, client, &at_client, text, &reason) != 0)
		ck_abort_msg("%s to %s: %s", answer, offer, reason);
	wsf_http_clear(&http);
	if (strcmp(text, answer) != 0 || !at_client.on || !at_server.on)
		ck_abort_msg("%s, then %s", answer, text);
	if (at_client.send_window_bits > at_server.recv_window_bits ||
	    at_server.send_window_bits > at_client.recv_window_bits ||
	    at_client.send_window_bits > client->send_window_bits ||
	    at_client.recv_window_bits > client->recv_window_bits ||
	    at_server.send_window_bits > server->send_window_bits ||
	    at_server.recv_window_bits > server->recv_window_bits)
		ck_abort_msg("%s to %s: windows", answer, offer);
	if (at_client.send_no_context_takeover < at_server.recv_no_context_takeover ||
	    at_server.send_no_context_takeover < at_client.recv_no_context_takeover ||
	    at_client.send_no_context_takeover < client->send_no_context_takeover ||
	    at_client.recv_no_context_takeover < client->recv_no_context_takeover ||
	    at_server.send_no_context_takeover < server->send_no_context_takeover ||
	    at_server.recv_no_context_takeover < server->recv_no_context_takeover)
		ck_abort_msg("%s to %s: context takeover", answer, offer);
}

START_TEST(our_own_ends_agree_whatever_they_want)
{
	static const int bits[] = { 9, 12, 15 };

	for (size_t i = 0; i < 3 * 3 * 3 * 3; i++) {
		for (unsigned no = 0; no < 16; no++) {
			struct wsf_deflate_params client = want(bits[i % 3], bits[i / 3 % 3], no & 1, (no & 2) != 0);
			struct wsf_deflate_params server =
			    want(bits[i / 9 % 3], bits[i / 27], (no & 4) != 0, (no & 8) != 0);

			agree(&client, &server);
		}
	}
}
END_TEST

/* --- a build without zlib --- */

START_TEST(without_zlib_nothing_is_offered_or_accepted)
{
	struct wsf_deflate deflate = { .params = defaults };
	struct wsf_deflate_params agreed;
	char out[WSF_EXTENSIONS_MAX];
	const char *reason = "";
	struct wsf_http http;
	const uint8_t *bytes;
	size_t size;

	wsf_deflate_offer(&defaults, out);
	ck_assert_str_eq(out, "");
	parse_fields(&http, FIELD P "\r\n");
	wsf_deflate_choose(&http, &defaults, &agreed, out);
	ck_assert(!agreed.on);
	ck_assert_str_eq(out, "");
	ck_assert_int_eq(wsf_deflate_check_answer(&http, &defaults, &agreed, out, &reason), -EPROTO);
	ck_assert_int_eq(deflate_message(&deflate, (const uint8_t *)"aaaa", 4, &bytes, &size), -EOPNOTSUPP);
	wsf_deflate_idle(&deflate);
	wsf_deflate_clear(&deflate);
	wsf_http_clear(&http);
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, a_message_inflates_the_same_however_it_comes, 0, COUNT(inflated));
	tcase_add_loop_test(tcase, what_is_deflated_inflates_to_the_same, 9, 16);
	tcase_add_loop_test(tcase, a_message_like_the_one_before_is_short, 0, 2);
	tcase_add_test(tcase, an_idle_deflater_gives_back_what_it_can);
	tcase_add_test(tcase, a_window_of_8_bits_is_only_inflated);
	tcase_add_loop_test(tcase, a_bomb_is_stopped_at_the_same_byte_however_it_comes, 0, COUNT(bombs));
	tcase_add_test(tcase, a_bomb_that_is_cut_short_becomes_no_longer_than_the_ratio_allows);
	tcase_add_test(tcase, the_ratio_is_each_messages_own);
	tcase_add_loop_test(tcase, an_offer_says_what_is_wanted, 0, COUNT(offers));
	tcase_add_loop_test(tcase, a_server_chooses_the_first_offer_it_can_meet, 0, COUNT(chosen));
	tcase_add_loop_test(tcase, an_answer_keeps_to_the_offer, 0, COUNT(answers));
	tcase_add_test(tcase, nothing_offered_means_no_extension_at_all);
	tcase_add_test(tcase, our_own_ends_agree_whatever_they_want);
}

int main(void)
{
	Suite *suite = suite_create("deflate");
	TCase *tcase = tcase_create("deflate");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	if (wsf_deflate_available())
		add_tests(tcase);
	else
		tcase_add_test(tcase, without_zlib_nothing_is_offered_or_accepted);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
