/* SPDX-License-Identifier: 0BSD */
/* permessage-deflate with a raw peer that has a zlib of its own: what is on the wire, and what must not be. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>
#include <zlib.h>

#include "duet.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define RSV1 0x40
#define CHUNK_BYTES 65536

/* --- a connection with the library in either role --- */

struct link {
	enum wire_role role;
	FILE *stream;
	struct ws_listener *listener;
	int listener_fd, fd;
	bool masks;			/* the peer */
	const char *answer;		/* of a peer that is a server: the extension's value */
	pthread_t thread;
	char *request;
};

static void *serve(void *argument)
{
	struct link *link = argument;
	char format[512];

	link->fd = peer_accept(link->listener_fd);
	snprintf(format, sizeof format, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %%s\r\n%s%s%s\r\n",
	    link->answer != NULL ? "Sec-WebSocket-Extensions: " : "", link->answer != NULL ? link->answer : "",
	    link->answer != NULL ? "\r\n" : "");
	link->request = peer_serve_answer(link->fd, format);
	return NULL;
}

/* extension: the peer's answer, or its offer; NULL = none. The stream is NULL where the opening fails. */
static void open_link(struct link *link, enum wire_role role, const struct ws_options *options, const char *extension)
{
	char text[512];
	unsigned port;

	peer_count_begin();
	*link = (struct link){ .role = role, .listener_fd = -1, .masks = role == LIBRARY_IS_SERVER,
		.answer = extension };
	if (role == LIBRARY_IS_SERVER) {
		link->listener = ws_listen("ws://127.0.0.1:0/", options);
		ck_assert_msg(link->listener != NULL, "%s", ws_last_error()->text);
		port = peer_url_port(ws_listener_url(link->listener));
		link->fd = peer_connect(port);
		snprintf(text, sizeof text, "%s%s%s", extension != NULL ? "Sec-WebSocket-Extensions: " : "",
		    extension != NULL ? extension : "", extension != NULL ? "\r\n" : "");
		peer_client_handshake(link->fd, port, "/", text);
		link->stream = ws_accept(link->listener, "r+");
		ck_assert_msg(link->stream != NULL, "%s", ws_last_error()->text);
		return;
	}
	link->listener_fd = peer_listen(&port);
	snprintf(text, sizeof text, "ws://127.0.0.1:%u/", port);
	peer_thread(&link->thread, serve, link);
	link->stream = ws_fopen_with(text, "r+", options);
	peer_join(link->thread);
}

static void end_link(struct link *link)
{
	close(link->fd);
	if (link->listener_fd >= 0)
		close(link->listener_fd);
	ws_listener_close(link->listener);
	free(link->request);
	peer_count_end();
}

static struct ws_options deflating(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.compression = WS_COMPRESSION_ON;
	options.proxy = "";
	return options;
}

/* The peer answers the library's Close and ends TCP, while fclose waits for that. */
static void *finish(void *argument)
{
	struct link *link = argument;

	peer_read_until_close(link->fd, NULL, NULL);
	peer_close(link->fd, link->masks, 1000, "");
	if (link->role == LIBRARY_IS_SERVER)
		peer_at_end(link->fd);
	peer_fin(link->fd);
	return NULL;
}

static void close_link(struct link *link)
{
	pthread_t thread;

	peer_thread(&thread, finish, link);
	ck_assert_msg(fclose(link->stream) == 0, "fclose: %s", strerror(errno));
	peer_join(thread);
	end_link(link);
}

/* The peer has seen a Close with code; the reader and fclose get error. */
static void fail_link(struct link *link, unsigned code, int error)
{
	wire_expect_end(link->stream, error);
	ck_assert_uint_eq(peer_read_until_close(link->fd, NULL, NULL), code);
	peer_fin(link->fd);
	errno = 0;
	ck_assert_int_eq(fclose(link->stream), EOF);
	ck_assert_int_eq(errno, error);
	end_link(link);
}

/* --- deflate as the peer does it --- */

static void begin_deflate(z_stream *z, int window_bits)
{
	*z = (z_stream){ 0 };
	ck_assert_int_eq(deflateInit2(z, 6, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
}

/* A message without its tail 00 00 ff ff; malloc'd. */
static uint8_t *deflate_message(z_stream *z, const void *data, size_t size, size_t *out_bytes)
{
	size_t capacity = deflateBound(z, size) + 64;
	uint8_t *out = malloc(capacity);

	ck_assert_ptr_nonnull(out);
	z->next_in = (Bytef *)(uintptr_t)data;
	z->avail_in = (uInt)size;
	z->next_out = out;
	z->avail_out = (uInt)capacity;
	ck_assert_int_eq(deflate(z, Z_SYNC_FLUSH), Z_OK);
	ck_assert_uint_eq(z->avail_in, 0);
	*out_bytes = capacity - z->avail_out - 4;
	ck_assert(memcmp(out + *out_bytes, "\0\0\xff\xff", 4) == 0);
	return out;
}

static void say_deflated(struct link *link, z_stream *z, const void *data, size_t size)
{
	size_t out_bytes;
	uint8_t *out = deflate_message(z, data, size, &out_bytes);

	peer_frame(link->fd, PEER_BINARY | RSV1, link->masks, out, out_bytes);
	free(out);
}

static void expect_bytes(FILE *stream, const void *right, size_t size)
{
	uint8_t *got = malloc(size);

	ck_assert_ptr_nonnull(got);
	errno = 0;
	if (fread(got, 1, size, stream) != size)
		ck_abort_msg("not %zu bytes: feof %d, %s", size, feof(stream), strerror(errno));
	ck_assert(memcmp(got, right, size) == 0);
	free(got);
}

/* --- what the library sends --- */

struct agreement {
	int peer_bits, library_bits;	/* of what each sends; 15 = not named */
	bool peer_resets, library_resets;	/* no_context_takeover */
};

static const struct agreement agreements[] = {
	{ 15, 15, false, false },
	{ 15, 9, false, false },
	{ 9, 15, false, false },
	{ 10, 11, true, false },
	{ 13, 12, false, true },
	{ 9, 9, true, true },
	{ 15, 15, true, true },
};

/* As an answer of a server that the peer is, or an offer of a client. Their own parameters are named by the role. */
static void describe(const struct agreement *agreement, bool peer_is_server, char *out, size_t out_bytes)
{
	const char *peer = peer_is_server ? "server" : "client", *library = peer_is_server ? "client" : "server";
	size_t used = (size_t)snprintf(out, out_bytes, "permessage-deflate");

	if (agreement->peer_bits < 15)
		used += (size_t)snprintf(out + used, out_bytes - used, "; %s_max_window_bits=%d", peer,
		    agreement->peer_bits);
	if (agreement->library_bits < 15)
		used += (size_t)snprintf(out + used, out_bytes - used, "; %s_max_window_bits=%d", library,
		    agreement->library_bits);
	if (agreement->peer_resets)
		used += (size_t)snprintf(out + used, out_bytes - used, "; %s_no_context_takeover", peer);
	if (agreement->library_resets)
		snprintf(out + used, out_bytes - used, "; %s_no_context_takeover", library);
}

/* Each message inflates in the agreed window, behind a reset where that is agreed. Appends to out. */
static void inflate_frame(z_stream *z, const struct peer_frame *frame, uint8_t *out, size_t room, size_t *used)
{
	static const uint8_t tail[4] = { 0, 0, 0xff, 0xff };
	int rv;

	z->next_out = out + *used;
	z->avail_out = (uInt)(room - *used);
	z->next_in = frame->payload;
	z->avail_in = (uInt)frame->size;
	rv = inflate(z, Z_SYNC_FLUSH);
	ck_assert_msg((rv == Z_OK || rv == Z_BUF_ERROR) && z->avail_in == 0, "inflate: %d, %s", rv,
	    z->msg != NULL ? z->msg : "");
	z->next_in = (Bytef *)(uintptr_t)tail;
	z->avail_in = sizeof tail;
	rv = inflate(z, Z_SYNC_FLUSH);
	ck_assert_msg((rv == Z_OK || rv == Z_BUF_ERROR) && z->avail_in == 0, "inflate: %d", rv);
	*used = room - z->avail_out;
}

static void *write_all(void *argument)
{
	static uint8_t block[200000];
	FILE *stream = argument;

	duet_fill(DUET_TEXT, 0, 0, block, sizeof block);
	if (fwrite(block, 1, sizeof block, stream) != sizeof block || fflush(stream) != 0)
		ck_abort_msg("cannot write: %s", strerror(errno));
	return NULL;
}

/* _i: the role, then the agreement. What comes is small, right, and keeps to the agreement; so does what goes. */
START_TEST(both_keep_to_what_is_agreed)
{
	const struct agreement *agreement = &agreements[_i / 2];
	enum wire_role role = (enum wire_role)(_i % 2);
	struct ws_options options = deflating();
	size_t used = 0, wire_bytes = 0, size = 200000;
	uint8_t *right = malloc(size), *got = malloc(size + 1);
	struct ws_status status = WS_STATUS_INIT;
	struct peer_frame frame;
	struct link link;
	pthread_t thread;
	char extension[256];
	z_stream in = { 0 }, out;

	ck_assert(right != NULL && got != NULL);
	describe(agreement, role == LIBRARY_IS_CLIENT, extension, sizeof extension);
	options.max_frame_bytes = 20000;
	open_link(&link, role, &options, extension);
	ck_assert_msg(link.stream != NULL, "%s: %s", extension, ws_last_error()->text);
	ck_assert_int_eq(ws_status(link.stream, &status), 0);
	ck_assert(status.compressed);
	duet_fill(DUET_TEXT, 0, 0, right, size);
	ck_assert_int_eq(inflateInit2(&in, -agreement->library_bits), Z_OK);
	peer_thread(&thread, write_all, link.stream);
	while (used < size) {
		ck_assert(peer_read_frame(link.fd, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_BINARY | RSV1);
		wire_bytes += (size_t)frame.size;
		inflate_frame(&in, &frame, got, size + 1, &used);
		if (agreement->library_resets)
			ck_assert_int_eq(inflateReset(&in), Z_OK);
		peer_frame_clear(&frame);
	}
	peer_join(thread);
	ck_assert_uint_eq(used, size);
	ck_assert(memcmp(got, right, size) == 0);
	ck_assert_uint_lt(wire_bytes, size / 2);
	begin_deflate(&out, agreement->peer_bits);
	for (int i = 0; i < 10; i++) {
		say_deflated(&link, &out, right + i * 20000, 20000);
		if (agreement->peer_resets)
			ck_assert_int_eq(deflateReset(&out), Z_OK);
		expect_bytes(link.stream, right + i * 20000, 20000);
	}
	inflateEnd(&in);
	deflateEnd(&out);
	free(right);
	free(got);
	close_link(&link);
}
END_TEST

/* --- what the library takes --- */

/* Cut anywhere, with RSV1 on the first frame only, pings between. _i: role, then bytes for each frame */
START_TEST(fragments_of_a_deflated_message_are_one)
{
	static const size_t parts[] = { 1, 7, 1000, 100000 };
	struct ws_options options = deflating();
	uint8_t right[30000], *message;
	size_t size, part = parts[_i / 2];
	struct link link;
	z_stream z;

	open_link(&link, (enum wire_role)(_i % 2), &options, "permessage-deflate");
	duet_fill(DUET_TEXT, 0, 0, right, sizeof right);
	begin_deflate(&z, 15);
	for (int round = 0; round < 3; round++) {
		message = deflate_message(&z, right, sizeof right, &size);
		for (size_t done = 0; done < size; done += part) {
			bool last = done + part >= size;
			unsigned byte0 = (done == 0 ? 0x02 | RSV1 : 0) | (last ? 0x80 : 0);

			peer_frame(link.fd, byte0, link.masks, message + done, last ? size - done : part);
			if (done % 97 == 0)
				peer_frame(link.fd, PEER_PING, link.masks, "", 0);
		}
		free(message);
		expect_bytes(link.stream, right, sizeof right);
	}
	deflateEnd(&z);
	close_link(&link);
}
END_TEST

static const struct odd {
	unsigned byte0;
	const char *payload;
	size_t size;
	const char *data;		/* what it comes to */
} odds[] = {
#define TEXT(text) text, sizeof(text) - 1
	/* RFC 7692, section 7.2.3: the examples "Hello", shared window, stored, BFINAL, two blocks, and empty */
	{ PEER_BINARY | RSV1, TEXT("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello" },
	{ PEER_BINARY | RSV1, TEXT("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello" },
	{ PEER_BINARY | RSV1, TEXT("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello" },
	{ PEER_BINARY | RSV1, TEXT("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello" },
	{ PEER_BINARY | RSV1, TEXT("\x00"), "" },
	{ PEER_BINARY | RSV1, TEXT("\x02\x00"), "" },
	/* a message may be sent as it is */
	{ PEER_BINARY, TEXT("as it is"), "as it is" },
	{ PEER_BINARY, TEXT(""), "" },
};

START_TEST(every_form_of_deflate_is_taken)
{
	const struct odd *odd = &odds[_i / 2];
	struct ws_options options = deflating();
	struct link link;
	z_stream z;

	open_link(&link, (enum wire_role)(_i % 2), &options, "permessage-deflate");
	for (int i = 0; i < 3; i++) {
		peer_frame(link.fd, odd->byte0, link.masks, odd->payload, odd->size);
		if (odd->data[0] != '\0')
			expect_bytes(link.stream, odd->data, strlen(odd->data));
	}
	begin_deflate(&z, 15);
	say_deflated(&link, &z, "and on\n", 7);
	deflateEnd(&z);
	wire_expect_line(link.stream, "and on\n");
	close_link(&link);
}
END_TEST

/* --- what must not be --- */

static const struct wrong {
	bool agreed;
	struct {
		unsigned byte0;
		const char *payload;
		size_t size;
	} frames[2];
	unsigned code;
} wrongs[] = {
	/* RSV1 without agreement; on a control frame; on a continuation; with another bit */
	{ false, { { PEER_BINARY | RSV1, TEXT("\xf2\x48\xcd\xc9\xc9\x07\x00") } }, 1002 },
	{ true, { { PEER_PING | RSV1, TEXT("") } }, 1002 },
	{ true, { { 0x02, TEXT("") }, { 0x80 | RSV1, TEXT("\x00") } }, 1002 },
	{ true, { { 0x02 | RSV1, TEXT("") }, { 0x80 | RSV1, TEXT("\x00") } }, 1002 },
	{ true, { { PEER_BINARY | RSV1 | 0x20, TEXT("\x00") } }, 1002 },
	{ true, { { PEER_BINARY | 0x10, TEXT("\x00") } }, 1002 },
	/* no deflate: a block of no type; a distance before the beginning; a wrong length; the same in two parts */
	{ true, { { PEER_BINARY | RSV1, TEXT("\xff\xff\xff\xff") } }, 1007 },
	{ true, { { PEER_BINARY | RSV1, TEXT("\x02\x02\x00") } }, 1007 },
	{ true, { { PEER_BINARY | RSV1, TEXT("\x00\x05\x00\x00\x00Hello\x00") } }, 1007 },
	{ true, { { 0x02 | RSV1, TEXT("\x00\x05\x00") }, { 0x80, TEXT("\x00\x00Hello\x00") } }, 1007 },
};

START_TEST(what_is_wrong_is_a_protocol_error)
{
	struct ws_options options = deflating();
	struct link link;

	open_link(&link, (enum wire_role)(_i % 2), &options, wrongs[_i / 2].agreed ? "permessage-deflate" : NULL);
	peer_frame(link.fd, PEER_BINARY, link.masks, "before", 6);
	for (int i = 0; i < 2 && wrongs[_i / 2].frames[i].payload != NULL; i++)
		peer_try_frame(link.fd, wrongs[_i / 2].frames[i].byte0, link.masks,
		    wrongs[_i / 2].frames[i].payload, wrongs[_i / 2].frames[i].size);
	expect_bytes(link.stream, "before", 6);
	fail_link(&link, wrongs[_i / 2].code, EPROTO);
}
END_TEST

static const char *const bad_answers[] = {
	"x-webkit-deflate-frame",
	"permessage-deflate, permessage-deflate",
	"permessage-deflate; unknown",
	"permessage-deflate; server_max_window_bits=7",
	"permessage-deflate; server_max_window_bits=16",
	"permessage-deflate; server_max_window_bits",
	"permessage-deflate; server_no_context_takeover=1",
	"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
	"permessage-deflate; client_max_window_bits=08",
	"permessage-deflate;",
};

START_TEST(an_answer_that_was_not_offered_is_refused)
{
	struct ws_options options = deflating();
	struct link link;

	errno = 0;
	open_link(&link, LIBRARY_IS_CLIENT, &options, bad_answers[_i]);
	ck_assert_msg(link.stream == NULL, "%s was accepted", bad_answers[_i]);
	ck_assert_int_eq(ws_last_error()->error, EPROTO);
	end_link(&link);
}
END_TEST

/* --- bombs --- */

#define BOMB_BYTES ((size_t)512 << 20)

/* Peak memory of the process so far. */
static size_t peak_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof line, file) != NULL)
		sscanf(line, "VmHWM: %lu", &kib);
	fclose(file);
	ck_assert_uint_gt(kib, 0);
	return kib;
}

struct bomb {
	struct link *link;
	size_t bytes;
};

/* One message of zeros, deflated a thousandfold, in frames of a chunk each; stops when the library has gone. */
static void *throw_bomb(void *argument)
{
	static uint8_t zeros[CHUNK_BYTES], out[CHUNK_BYTES];
	struct bomb *bomb = argument;
	bool first = true;
	z_stream z;

	begin_deflate(&z, 15);
	for (size_t done = 0; done < bomb->bytes;) {
		z.next_out = out;
		z.avail_out = sizeof out;
		while (done < bomb->bytes && z.avail_out == sizeof out) {
			z.next_in = zeros;
			z.avail_in = sizeof zeros;
			ck_assert_int_eq(deflate(&z, Z_SYNC_FLUSH), Z_OK);
			done += sizeof zeros;
		}
		if (!peer_try_frame(bomb->link->fd, first ? 0x02 | RSV1 : 0, bomb->link->masks, out,
		    sizeof out - z.avail_out))
			break;
		first = false;
	}
	/* A last, empty block, without its tail. */
	peer_try_frame(bomb->link->fd, 0x80, bomb->link->masks, "\x00", 1);
	deflateEnd(&z);
	return NULL;
}

/* _i: role, then by the ratio or by the message's own bound. */
START_TEST(a_bomb_is_refused_in_bounded_memory)
{
	struct ws_options options = deflating();
	struct link link;
	struct bomb bomb = { &link, BOMB_BYTES };
	uint8_t block[16384];
	size_t before, got = 0, count;
	pthread_t thread;

	if (_i / 2 == 1) {
		options.max_inflate_ratio = 0;
		options.max_message_bytes = 1000000;
	}
	open_link(&link, (enum wire_role)(_i % 2), &options, "permessage-deflate");
	before = peak_kib();
	peer_thread(&thread, throw_bomb, &bomb);
	while ((count = fread(block, 1, sizeof block, link.stream)) > 0)
		got += count;
	ck_assert_int_eq(ferror(link.stream) != 0, 1);
	ck_assert_uint_lt(got, 4 << 20);
	ck_assert_uint_lt(peak_kib() - before, 64 << 10);
	peer_join(thread);
	fail_link(&link, 1009, EMSGSIZE);
}
END_TEST

/* Without a bound it is only a long message: it streams through a small ring. */
START_TEST(a_long_message_streams_in_bounded_memory)
{
	struct ws_options options = deflating();
	struct link link;
	struct bomb bomb = { &link, BOMB_BYTES / 4 };
	uint8_t block[65536];
	size_t before, got = 0, count;
	pthread_t thread;

	options.max_inflate_ratio = 0;
	options.recv_buffer_bytes = 4096;
	open_link(&link, (enum wire_role)_i, &options, "permessage-deflate");
	before = peak_kib();
	peer_thread(&thread, throw_bomb, &bomb);
	while (got < bomb.bytes && (count = fread(block, 1, sizeof block, link.stream)) > 0) {
		if (block[0] != 0 || block[count - 1] != 0)
			ck_abort_msg("wrong bytes behind %zu", got);
		got += count;
	}
	ck_assert_uint_eq(got, bomb.bytes);
	ck_assert_uint_lt(peak_kib() - before, 64 << 10);
	peer_join(thread);
	close_link(&link);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compressed_peer");
	TCase *tcase = wire_case(suite, "compressed_peer");

	tcase_add_loop_test(tcase, both_keep_to_what_is_agreed, 0, COUNT(agreements) * 2);
	tcase_add_loop_test(tcase, fragments_of_a_deflated_message_are_one, 0, 8);
	tcase_add_loop_test(tcase, every_form_of_deflate_is_taken, 0, COUNT(odds) * 2);
	tcase_add_loop_test(tcase, what_is_wrong_is_a_protocol_error, 0, COUNT(wrongs) * 2);
	tcase_add_loop_test(tcase, an_answer_that_was_not_offered_is_refused, 0, COUNT(bad_answers));
	tcase_add_loop_test(tcase, a_bomb_is_refused_in_bounded_memory, 0, 4);
	tcase_add_loop_test(tcase, a_long_message_streams_in_bounded_memory, 0, 2);
	return wire_run(suite);
}
