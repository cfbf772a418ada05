/* SPDX-License-Identifier: 0BSD */
#include "duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "peer.h"

void duo_append(struct duo_bytes *bytes, const void *data, size_t size)
{
	if (bytes->capacity - bytes->size < size) {
		bytes->capacity = bytes->capacity * 2 + size + 64;
		bytes->data = realloc(bytes->data, bytes->capacity);
		ck_assert_ptr_nonnull(bytes->data);
	}
	if (size > 0)
		memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
}

void duo_clear(struct duo_bytes *bytes)
{
	free(bytes->data);
	memset(bytes, 0, sizeof *bytes);
}

static void put_length(struct duo_bytes *bytes, bool mask, enum duo_form form, uint64_t length)
{
	uint8_t out[9];
	size_t size = 1, i;

	if (form == DUO_SHORTEST && length > 125)
		form = length > 65535 ? DUO_64 : DUO_16;
	if (form == DUO_SHORTEST)
		out[0] = (uint8_t)length;
	else {
		out[0] = form == DUO_64 ? 127 : 126;
		size += form == DUO_64 ? 8 : 2;
		for (i = 1; i < size; i++)
			out[i] = (uint8_t)(length >> (8 * (size - 1 - i)));
	}
	out[0] = (uint8_t)(out[0] | (mask ? 0x80 : 0));
	duo_append(bytes, out, size);
}

void duo_put(struct duo_bytes *bytes, bool mask, const struct duo_piece *piece)
{
	static uint8_t serial;
	uint8_t byte0 = (uint8_t)piece->byte0, key[4] = { 0x37, 0xfa, 0x21, ++serial };
	size_t start, i;

	mask = mask != piece->wrong_mask;
	duo_append(bytes, &byte0, 1);
	put_length(bytes, mask, piece->form, piece->declared ? piece->declared : piece->size);
	if (mask)
		duo_append(bytes, key, sizeof key);
	start = bytes->size;
	duo_append(bytes, piece->payload, piece->size);
	for (i = 0; mask && i < piece->size; i++)
		bytes->data[start + i] ^= key[i & 3];
}

struct serving {
	int listener, fd;
};

static void *serve(void *argument)
{
	struct serving *serving = argument;

	serving->fd = peer_accept(serving->listener);
	free(peer_serve_handshake(serving->fd));
	return NULL;
}

static void open_client(struct duo *duo, const char *mode, const struct ws_options *options)
{
	struct serving serving = { -1, -1 };
	pthread_t thread;
	unsigned port;
	char url[64];

	serving.listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&thread, serve, &serving);
	duo->stream = ws_fopen_with(url, mode, options);
	ck_assert_msg(duo->stream != NULL, "%s", ws_last_error()->text);
	peer_join(thread);
	close(serving.listener);
	duo->fd = serving.fd;
}

static void open_server(struct duo *duo, const char *mode, const struct ws_options *options)
{
	unsigned port;

	duo->listener = ws_listen("ws://127.0.0.1:0/", options);
	ck_assert_msg(duo->listener != NULL, "%s", ws_last_error()->text);
	port = peer_url_port(ws_listener_url(duo->listener));
	duo->fd = peer_connect(port);
	peer_client_handshake(duo->fd, port, "/", "");
	duo->stream = ws_accept(duo->listener, mode);
	ck_assert_msg(duo->stream != NULL, "%s", ws_last_error()->text);
}

void duo_open(struct duo *duo, bool library_is_server, const char *mode, const struct ws_options *options)
{
	memset(duo, 0, sizeof *duo);
	duo->library_is_server = library_is_server;
	if (library_is_server)
		open_server(duo, mode, options);
	else
		open_client(duo, mode, options);
}

void duo_send(struct duo *duo, const struct duo_bytes *bytes, bool one_at_a_time)
{
	size_t i;

	if (!one_at_a_time)
		peer_try_send(duo->fd, bytes->data, bytes->size);
	else
		for (i = 0; i < bytes->size && peer_try_send(duo->fd, bytes->data + i, 1); i++)
			;
}

void duo_send_piece(struct duo *duo, const struct duo_piece *piece)
{
	struct duo_bytes bytes = { NULL, 0, 0 };

	duo_put(&bytes, duo->library_is_server, piece);
	duo_send(duo, &bytes, false);
	duo_clear(&bytes);
}

int duo_read(FILE *stream, struct duo_bytes *bytes)
{
	char piece[4096];
	size_t got;
	int error;

	do {
		errno = 0;
		got = fread(piece, 1, sizeof piece, stream);
		error = errno;
		duo_append(bytes, piece, got);
	} while (got == sizeof piece);
	ck_assert(ferror(stream) != 0 || feof(stream) != 0);
	if (!ferror(stream))
		return 0;
	ck_assert_int_ne(error, 0);
	return error;
}

/* Up to the Close or the end of TCP; each frame must be masked as the library's role demands. */
static void read_to_close(struct duo *duo)
{
	struct peer_frame frame;

	while (duo->code == 0 && peer_read_frame(duo->fd, &frame)) {
		if (frame.masked == duo->library_is_server)
			ck_abort_msg("frame 0x%02x is%s masked", frame.byte0, frame.masked ? "" : " not");
		if (frame.byte0 == PEER_CLOSE)
			duo->code = peer_close_code(&frame);
		else if ((frame.byte0 & 0x08) == 0)
			duo_append(&duo->received, frame.payload, (size_t)frame.size);
		peer_frame_clear(&frame);
	}
}

static void *finish(void *argument)
{
	struct duo *duo = argument;
	uint8_t code[2];

	read_to_close(duo);
	if (duo->code != 0 && !duo->peer_closed) {
		code[0] = (uint8_t)(duo->code >> 8);
		code[1] = (uint8_t)duo->code;
		peer_try_frame(duo->fd, PEER_CLOSE, duo->library_is_server, code, duo->code == 1005 ? 0 : 2);
	}
	/* RFC 6455, section 7.1.1: the server ends TCP first. */
	if (duo->code != 0 && duo->library_is_server)
		peer_at_end(duo->fd);
	close(duo->fd);
	return NULL;
}

void duo_finish(struct duo *duo)
{
	pthread_t thread;

	peer_thread(&thread, finish, duo);
	errno = 0;
	duo->result = fclose(duo->stream);
	duo->error = duo->result == 0 ? 0 : errno;
	peer_join(thread);
	ws_listener_close(duo->listener);
}

static uint64_t read_length(int fd, uint8_t byte1)
{
	uint8_t in[8];
	uint64_t length = byte1 & 0x7f;
	size_t size = length == 127 ? 8 : length == 126 ? 2 : 0, i;

	if (size == 0)
		return length;
	ck_assert_uint_eq(peer_recv(fd, in, size), size);
	for (length = 0, i = 0; i < size; i++)
		length = length << 8 | in[i];
	ck_assert_msg(length > (size == 8 ? 65535u : 125u), "a length of %ju in %zu bytes", (uintmax_t)length, size);
	return length;
}

void duo_read_frame(struct duo *duo, struct duo_frame *frame)
{
	uint8_t head[2];
	uint64_t length;
	bool masked;
	size_t i;

	memset(frame, 0, sizeof *frame);
	ck_assert_uint_eq(peer_recv(duo->fd, head, 2), 2);
	frame->byte0 = head[0];
	masked = (head[1] & 0x80) != 0;
	ck_assert_int_eq(masked, !duo->library_is_server);
	length = read_length(duo->fd, head[1]);
	ck_assert_uint_le(length, 1u << 30);
	if (masked)
		ck_assert_uint_eq(peer_recv(duo->fd, frame->key, 4), 4);
	frame->payload.size = (size_t)length;
	frame->payload.capacity = frame->payload.size + 1;
	frame->payload.data = calloc(1, frame->payload.capacity);
	ck_assert_ptr_nonnull(frame->payload.data);
	ck_assert_uint_eq(peer_recv(duo->fd, frame->payload.data, frame->payload.size), frame->payload.size);
	for (i = 0; masked && i < frame->payload.size; i++)
		frame->payload.data[i] ^= frame->key[i & 3];
}

static void put_case(const struct duo_case *one, bool mask, struct duo_bytes *out)
{
	static const struct duo_piece goodbye = DUO_PIECE(0x88, "\x03\xe8"), after = DUO_PIECE(0x82, "after");
	const struct duo_piece *piece;

	for (piece = one->pieces; piece->payload != NULL; piece++)
		duo_put(out, mask, piece);
	duo_put(out, mask, one->error == 0 ? &goodbye : &after);
}

static void read_case(const struct duo_case *one, struct duo *duo, const char *how)
{
	struct duo_bytes got = { NULL, 0, 0 };
	int error = duo_read(duo->stream, &got);
	char again[8];

	ck_assert_msg(got.size == strlen(one->data) && (got.size == 0 || memcmp(got.data, one->data, got.size) == 0),
	    "%s, %s: read \"%.*s\", not \"%s\"", one->name, how, (int)got.size,
	    got.size > 0 ? (const char *)got.data : "", one->data);
	ck_assert_msg(error == one->error, "%s, %s: the reader got %s, not %s", one->name, how, strerror(error),
	    strerror(one->error));
	clearerr(duo->stream);
	errno = 0;
	ck_assert_uint_eq(fread(again, 1, sizeof again, duo->stream), 0);
	ck_assert_msg(errno == one->error, "%s, %s: the second read got %s", one->name, how, strerror(errno));
	duo_clear(&got);
}

static void run(const struct duo_case *one, bool library_is_server, bool one_at_a_time)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct duo_bytes out = { NULL, 0, 0 };
	struct duo duo;
	char how[64];

	snprintf(how, sizeof how, "library as %s, %s", library_is_server ? "server" : "client",
	    one_at_a_time ? "byte by byte" : "in one piece");
	options.on_text = one->on_text;
	options.max_message_bytes = one->max_message_bytes;
	duo_open(&duo, library_is_server, "r+", &options);
	put_case(one, library_is_server, &out);
	duo.peer_closed = true;
	duo_send(&duo, &out, one_at_a_time);
	read_case(one, &duo, how);
	duo_finish(&duo);
	ck_assert_msg(duo.code == one->code, "%s, %s: Close %u, not %u", one->name, how, duo.code, one->code);
	ck_assert_msg(duo.error == one->error, "%s, %s: fclose got %s", one->name, how, strerror(duo.error));
	ck_assert_msg(duo.received.size == 0, "%s, %s: data for the peer", one->name, how);
	duo_clear(&out);
	duo_clear(&duo.received);
}

void duo_run(const struct duo_case *one)
{
	peer_count_begin();
	run(one, false, false);
	run(one, false, true);
	run(one, true, false);
	run(one, true, true);
	peer_count_end();
}

void duo_check_failure(int error, int http_status)
{
	const struct ws_error *last = ws_last_error();

	ck_assert_msg(last->error == error, "%s: %s", strerror(last->error), last->text);
	ck_assert_int_eq(last->http_status, http_status);
	ck_assert_ptr_nonnull(last->text);
	ck_assert_str_ne(last->text, "");
	ck_assert_msg(strpbrk(last->text, "\r\n") == NULL, "several lines: %s", last->text);
}

void duo_expect_failure(const char *url, const char *mode, const struct ws_options *options, int error)
{
	FILE *stream;
	int got;

	errno = 0;
	stream = ws_fopen_with(url, mode, options);
	got = errno;
	ck_assert_msg(stream == NULL, "%s was opened", url != NULL ? url : "no URL");
	ck_assert_msg(got == error, "%s, %s: %s: %s", url != NULL ? url : "no URL", mode != NULL ? mode : "no mode",
	    strerror(got), ws_last_error()->text);
	duo_check_failure(error, 0);
}

static void *close_stream(void *argument)
{
	if (fclose(argument) != 0)
		ck_abort_msg("fclose: %s", strerror(errno));
	return NULL;
}

void duo_close_both(FILE *one, FILE *other)
{
	pthread_t thread;

	peer_thread(&thread, close_stream, one);
	close_stream(other);
	peer_join(thread);
}
