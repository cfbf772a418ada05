/* SPDX-License-Identifier: 0BSD */
/* ws_fdopen on plain sockets: both roles, first bytes that were read already, and whose the descriptor is then. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "deflate.h"
#include "joined.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

#define REQUEST(target, lines) "GET " target " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" \
	"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" lines \
	"\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* --- a stream over a descriptor, with the raw peer at the other end: a struct wire without a listener --- */

struct peers_part {
	enum wire_role role;
	int fd;
	char *request;
};

static void *open_peer(void *argument)
{
	struct peers_part *part = argument;

	if (part->role == LIBRARY_IS_CLIENT)
		part->request = peer_serve_handshake(part->fd);
	else
		peer_client_handshake(part->fd, 80, "/", "");
	return NULL;
}

static enum ws_role role_of(enum wire_role role)
{
	return role == LIBRARY_IS_CLIENT ? WS_ROLE_CLIENT : WS_ROLE_SERVER;
}

/* Ends with wire_end. The peer's thread returns the request where it got one, to be freed. */
static char *open_wire(struct wire *wire, const struct joined *joined, enum wire_role role, const char *mode,
    const struct ws_options *options)
{
	struct peers_part part = { role, joined->peer, NULL };
	struct joined_fd before;
	pthread_t thread;

	peer_count_begin();
	*wire = (struct wire){ .role = role, .peer = joined->peer, .peer_listener = -1,
		.peer_masks = role == LIBRARY_IS_SERVER };
	joined_note(&before, joined->fd);
	peer_thread(&thread, open_peer, &part);
	wire->stream = ws_fdopen(joined->fd, mode, role_of(role), options);
	ck_assert_msg(wire->stream != NULL, "%s", ws_last_error()->text);
	peer_join(thread);
	joined_is_the_streams(&before);
	return part.request;
}

/* It must fail, and the descriptor must be what it was. */
static void expect_failure(int fd, enum ws_role role, const struct ws_options *options, int error, const char *word)
{
	struct joined_fd before;

	joined_note(&before, fd);
	errno = 0;
	ck_assert_ptr_null(ws_fdopen(fd, "r+", role, options));
	ck_assert_msg(errno == error, "%s: %s", strerror(errno), ws_last_error()->text);
	ck_assert_int_eq(ws_last_error()->error, error);
	ck_assert_msg(strstr(ws_last_error()->text, word) != NULL, "\"%s\" has no \"%s\"", ws_last_error()->text, word);
	joined_is_the_callers(&before);
}

/* --- streams --- */

/* _i: the role, the kind of socket, and whether it blocks */
START_TEST(both_roles_talk_half_close_and_get_a_receipt)
{
	enum wire_role role = (enum wire_role)(_i % WIRE_ROLES);
	struct joined joined;
	struct wire wire;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i / WIRE_ROLES % JOINED_KINDS));
	if (_i >= WIRE_ROLES * JOINED_KINDS)
		ck_assert_int_eq(fcntl(joined.fd, F_SETFL, O_NONBLOCK), 0);
	free(open_wire(&wire, &joined, role, "r+", NULL));
	wire_say(&wire, "how do you do\n");
	wire_expect_line(wire.stream, "how do you do\n");
	ck_assert_int_ge(fputs("how do you do?\n", wire.stream), 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, "that is all"), 0);
	/* Our side is closed; the peer's is not. */
	wire_say(&wire, "one more thing\n");
	wire_expect_line(wire.stream, "one more thing\n");
	wire_finish(&wire, 1000);
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((const char *)wire.data, "how do you do?\n");
	wire_end(&wire);
	peer_count_end();
}
END_TEST

START_TEST(a_cut_is_an_error_and_the_end_of_the_socket)
{
	enum wire_role role = (enum wire_role)(_i % WIRE_ROLES);
	struct joined joined;
	struct wire wire;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i / WIRE_ROLES));
	free(open_wire(&wire, &joined, role, "r+", NULL));
	wire_say(&wire, "half of\n");
	peer_fin(wire.peer);
	wire_expect_line(wire.stream, "half of\n");
	wire_expect_end(wire.stream, ECONNRESET);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

START_TEST(modes_are_those_of_ws_fopen)
{
	enum wire_role role = (enum wire_role)_i;
	struct joined joined;
	struct wire wire;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	free(open_wire(&wire, &joined, role, "wt", NULL));
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert_int_eq(errno, EBADF);
	clearerr(wire.stream);
	wire_say(&wire, "nobody reads this");
	ck_assert_int_ge(fputs("text", wire.stream), 0);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_str_eq((const char *)wire.data, "text");
	wire_end(&wire);
	peer_count_end();
}
END_TEST

struct told {
	atomic_uint count;
	enum ws_event_type first, last;
};

static void note_event(const struct ws_event *event, void *user)
{
	struct told *told = user;

	if (atomic_fetch_add(&told->count, 1) == 0)
		told->first = event->type;
	told->last = event->type;
}

START_TEST(an_observer_misses_neither_the_opening_nor_the_end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct told told = { 0 };
	struct joined joined;
	struct wire wire;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.observer = note_event;
	options.observer_user = &told;
	free(open_wire(&wire, &joined, (enum wire_role)_i, "r+", &options));
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	ck_assert_int_eq(told.first, WS_EVENT_OPEN);
	ck_assert_int_eq(told.last, WS_EVENT_CLOSED);
	ck_assert_uint_eq(told.count, 3);
	wire_finished(&wire);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

START_TEST(an_observer_is_told_of_an_opening_that_fails)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct told told = { 0 };
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.observer = note_event;
	options.observer_user = &told;
	peer_fin(joined.peer);
	expect_failure(joined.fd, role_of((enum wire_role)_i), &options, EPROTO, "");
	ck_assert_int_eq(told.first, WS_EVENT_TRANSPORT_ERROR);
	ck_assert_int_eq(told.last, WS_EVENT_CLOSED);
	ck_assert_uint_eq(told.count, 2);
	/* Bad arguments are no connection. */
	options.url = "http://localhost/";
	expect_failure(joined.fd, role_of((enum wire_role)_i), &options, EINVAL, "url");
	ck_assert_uint_eq(told.count, 2);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* --- what the two ends say of themselves --- */

START_TEST(a_client_asks_for_what_the_url_says)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;
	struct wire wire;
	char *request;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.url = "ws://user:word@example.org:8080/a/b?c=d";
	options.origin = "https://example.org";
	request = open_wire(&wire, &joined, LIBRARY_IS_CLIENT, "r+", &options);
	ck_assert_ptr_eq(strstr(request, "GET /a/b?c=d HTTP/1.1\r\n"), request);
	ck_assert_ptr_nonnull(strstr(request, "\r\nHost: example.org:8080\r\n"));
	ck_assert_ptr_nonnull(strstr(request, "\r\nAuthorization: Basic dXNlcjp3b3Jk\r\n"));
	ck_assert_ptr_nonnull(strstr(request, "\r\nOrigin: https://example.org\r\n"));
	free(request);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

START_TEST(without_a_url_it_is_the_root_of_localhost)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;
	struct wire wire;
	char *request;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.bearer = "t0ken";
	request = open_wire(&wire, &joined, LIBRARY_IS_CLIENT, "r+", &options);
	ck_assert_ptr_eq(strstr(request, "GET / HTTP/1.1\r\n"), request);
	ck_assert_ptr_nonnull(strstr(request, "\r\nHost: localhost\r\n"));
	ck_assert_ptr_nonnull(strstr(request, "\r\nAuthorization: Bearer t0ken\r\n"));
	free(request);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

/* The addresses as a struct ws_status has them. */
static void expect_addresses(FILE *stream, const char *local, const char *peer)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_str_eq(status.local_address, local);
	ck_assert_str_eq(status.peer_address, peer);
}

static void tcp_address(char *out, size_t out_bytes, int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof address;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(out, out_bytes, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
}

/* _i: the role and the kind of socket */
START_TEST(the_status_has_the_addresses_of_the_socket)
{
	enum joined_kind kind = (enum joined_kind)(_i / WIRE_ROLES);
	char own[80] = "unix:", others[80] = "unix:";
	struct joined joined;
	struct wire wire;

	peer_count_begin();
	joined_open(&joined, kind);
	if (kind == JOINED_TCP) {
		tcp_address(own, sizeof own, joined.fd);
		tcp_address(others, sizeof others, joined.peer);
	} else {
		snprintf(own, sizeof own, "unix:%s", joined.path);
	}
	free(open_wire(&wire, &joined, (enum wire_role)(_i % WIRE_ROLES), "r+", NULL));
	expect_addresses(wire.stream, own, others);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

/* --- first bytes that the program has read --- */

struct record {
	char bytes[512];
	size_t size;
};

static void append(struct record *record, const void *data, size_t size)
{
	ck_assert_uint_le(record->size + size, sizeof record->bytes);
	memcpy(record->bytes + record->size, data, size);
	record->size += size;
}

static void append_frame(struct record *record, unsigned byte0, const char *payload, size_t size)
{
	static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t head[14], masked[125];

	append(record, head, peer_frame_head(head, byte0, true, size));
	for (size_t i = 0; i < size; i++)
		masked[i] = (uint8_t)payload[i] ^ key[i % 4];
	append(record, masked, size);
}

/* What a client sends that does not wait for the answer: two lines, a ping between them, and its Close. */
static void make_record(struct record *record, bool deflated)
{
	/* "Hello" of RFC 7692, section 7.2.3.1, and a line's end that is not deflated. */
	static const char hello[] = "\xf2\x48\xcd\xc9\xc9\x07", plain[] = "Hello";
	static const char request[] = REQUEST("/", ""), offer[] = REQUEST("/",
	    "Sec-WebSocket-Extensions: permessage-deflate\r\n");

	record->size = 0;
	if (deflated) {
		append(record, offer, sizeof offer - 1);
		append_frame(record, PEER_BINARY | 0x40, hello, sizeof hello);
	} else {
		append(record, request, sizeof request - 1);
		append_frame(record, PEER_BINARY, plain, sizeof plain - 1);
	}
	append_frame(record, PEER_BINARY, "\n", 1);
	append_frame(record, PEER_PING, "are you there?", 14);
	append_frame(record, PEER_BINARY, "bye\n", 4);
	append_frame(record, PEER_CLOSE, "\x03\xe8", 2);
}

/* The library's answers: 101, a pong and a Close, in this order. */
static void expect_answers(int fd, bool deflated)
{
	struct peer_frame frame;
	char answer[512];
	size_t size = 0;

	while (size < 4 || memcmp(answer + size - 4, "\r\n\r\n", 4) != 0)
		ck_assert_uint_eq(peer_recv(fd, answer + size++, 1), 1);
	answer[size] = '\0';
	ck_assert_ptr_eq(strstr(answer, "HTTP/1.1 101 "), answer);
	ck_assert_ptr_nonnull(strstr(answer, ACCEPT));
	ck_assert_int_eq(strstr(answer, "permessage-deflate") != NULL, deflated);
	ck_assert(peer_read_frame(fd, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	ck_assert_str_eq((const char *)frame.payload, "are you there?");
	peer_frame_clear(&frame);
	ck_assert_uint_eq(peer_read_until_close(fd, NULL, NULL), 1000);
	ck_assert(peer_at_end(fd));
}

static void serve_split(const struct record *record, size_t position, bool deflated)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char *initial = malloc(position + 1);
	struct joined joined;
	struct wire wire = { .role = LIBRARY_IS_SERVER };

	joined_open(&joined, JOINED_PAIR);
	options.compression = deflated ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
	/* Of its own size, for the sanitizer, and overwritten when the call is over. */
	ck_assert_ptr_nonnull(initial);
	memcpy(initial, record->bytes, position);
	options.initial_bytes = initial;
	options.initial_size = position;
	peer_send(joined.peer, record->bytes + position, record->size - position);
	wire.stream = ws_fdopen(joined.fd, "r+", WS_ROLE_SERVER, &options);
	memset(initial, '#', position);
	free(initial);
	ck_assert_msg(wire.stream != NULL, "split at %zu: %s", position, ws_last_error()->text);
	wire_expect_line(wire.stream, "Hello\n");
	wire_expect_line(wire.stream, "bye\n");
	wire_expect_end(wire.stream, 0);
	peer_fin(joined.peer);
	wire_fclose(&wire, 0);
	expect_answers(joined.peer, deflated);
	close(joined.peer);
}

/* Wherever the program stopped reading; _i: plain, deflated */
START_TEST(first_bytes_may_end_anywhere)
{
	struct record record;

	if (_i == 1 && !wsf_deflate_available())
		return;
	peer_count_begin();
	make_record(&record, _i == 1);
	for (size_t position = 0; position <= record.size; position++)
		serve_split(&record, position, _i == 1);
	peer_count_end();
}
END_TEST

/* A message of so many bytes of the pattern, masked. */
static void put_message(char **out, uint64_t *offset, size_t size)
{
	static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t head[14];
	size_t head_bytes = peer_frame_head(head, PEER_BINARY, true, size);

	memcpy(*out, head, head_bytes);
	*out += head_bytes;
	wire_pattern(*offset, *out, size);
	for (size_t i = 0; i < size; i++)
		(*out)[i] = (char)((uint8_t)(*out)[i] ^ key[i % 4]);
	*out += size;
	*offset += size;
}

/* More of them than the ring holds. _i: the ring's size, and whether somebody reads */
START_TEST(first_bytes_may_be_more_than_there_is_room_for)
{
	static const char request[] = REQUEST("/", "");
	static const size_t sizes[] = { 1, 125, 126, 4096, 8192, 60000, 100000 };
	enum { MOST = 1048576 };
	struct ws_options options = WS_OPTIONS_INIT;
	char *initial = malloc(MOST), *out = initial, block[3000];
	uint64_t offset = 0, done = 0;
	struct joined joined;
	struct wire wire;
	size_t n;

	peer_count_begin();
	ck_assert_ptr_nonnull(initial);
	memcpy(out, request, sizeof request - 1);
	out += sizeof request - 1;
	for (int i = 0; out + 100020 < initial + MOST; i++)
		put_message(&out, &offset, sizes[i % COUNT(sizes)]);
	joined_open(&joined, JOINED_PAIR);
	options.recv_buffer_bytes = _i % 2 == 0 ? 4096 : 65536;
	options.initial_bytes = initial;
	options.initial_size = (size_t)(out - initial);
	wire = (struct wire){ .role = LIBRARY_IS_SERVER, .peer = joined.peer, .peer_listener = -1, .peer_masks = true };
	wire.stream = ws_fdopen(joined.fd, _i / 2 == 0 ? "r+" : "w", WS_ROLE_SERVER, &options);
	ck_assert_msg(wire.stream != NULL, "%s", ws_last_error()->text);
	free(initial);
	wire_say(&wire, "and the rest");
	while (_i / 2 == 0 && done < offset) {
		n = offset - done < sizeof block ? (size_t)(offset - done) : sizeof block;
		ck_assert_uint_eq(fread(block, 1, n, wire.stream), n);
		ck_assert(wire_pattern_matches(done, block, n));
		done += n;
	}
	if (_i / 2 == 0) {
		ck_assert_uint_eq(fread(block, 1, 12, wire.stream), 12);
		ck_assert_int_eq(memcmp(block, "and the rest", 12), 0);
	} else {
		wire_wait_received(wire.stream, offset + 12);
	}
	for (size_t end = 0; end < 4;) {
		ck_assert_uint_eq(peer_recv(wire.peer, block, 1), 1);
		end = block[0] == "\r\n\r\n"[end] ? end + 1 : block[0] == '\r';
	}
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* All that will ever come, from a client that is gone. */
START_TEST(first_bytes_are_served_though_the_peer_is_gone)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct record record;
	struct joined joined;
	struct wire wire = { .role = LIBRARY_IS_SERVER };

	peer_count_begin();
	make_record(&record, false);
	joined_open(&joined, (enum joined_kind)_i);
	peer_fin(joined.peer);
	options.initial_bytes = record.bytes;
	options.initial_size = record.size;
	wire.stream = ws_fdopen(joined.fd, "r", WS_ROLE_SERVER, &options);
	ck_assert_msg(wire.stream != NULL, "%s", ws_last_error()->text);
	wire_expect_line(wire.stream, "Hello\n");
	wire_expect_line(wire.stream, "bye\n");
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, 0);
	expect_answers(joined.peer, false);
	close(joined.peer);
	peer_count_end();
}
END_TEST

START_TEST(first_bytes_that_are_no_answer_fail_a_client)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.initial_bytes = "HTTP/1.1 404 Not Found\r\n\r\n";
	options.initial_size = strlen(options.initial_bytes);
	expect_failure(joined.fd, WS_ROLE_CLIENT, &options, ECONNABORTED, "404");
	ck_assert_int_eq(ws_last_error()->http_status, 404);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* --- refused, late, cut: the descriptor stays the caller's --- */

static const struct {
	const char *request;
	const char *url, *path;
	int status;
} refusals[] = {
	{ REQUEST("/other", ""), "ws://localhost/chat", NULL, 404 },
	{ REQUEST("/chat", ""), "ws://localhost/chat", "/served", 404 },
	{ REQUEST("/", "Origin: https://foreign.example\r\n"), NULL, NULL, 403 },
	{ "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL, NULL, 426 },
	{ "no request at all\r\n\r\n", NULL, NULL, 400 },
};

/* Nobody waits for the peer's end, and the descriptor still receives. _i: the case, and whether it blocks */
START_TEST(a_refusal_leaves_the_descriptor_to_the_caller)
{
	char answer[1024], status[32];
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i % JOINED_KINDS));
	if (_i % 2 == 1)
		ck_assert_int_eq(fcntl(joined.fd, F_SETFL, O_NONBLOCK), 0);
	options.url = refusals[_i].url;
	options.path = refusals[_i].path;
	options.handshake_timeout_ms = -1;
	options.close_timeout_ms = INT_MAX;
	peer_send(joined.peer, refusals[_i].request, strlen(refusals[_i].request));
	expect_failure(joined.fd, WS_ROLE_SERVER, &options, EPROTO, "");
	ck_assert_int_eq(ws_last_error()->http_status, refusals[_i].status);
	snprintf(status, sizeof status, "HTTP/1.1 %d ", refusals[_i].status);
	answer[peer_recv(joined.peer, answer, sizeof answer - 1)] = '\0';
	ck_assert_msg(strncmp(answer, status, strlen(status)) == 0, "%s", answer);
	peer_send(joined.peer, "x", 1);
	ck_assert_int_eq(fcntl(joined.fd, F_SETFL, 0), 0);
	ck_assert_uint_eq(peer_recv(joined.fd, answer, 1), 1);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

static int judge(const struct ws_request *request, struct ws_response *response, void *user)
{
	static const char *const headers[] = { "X-Judged: yes", NULL };

	response->headers = headers;
	ck_assert_str_eq(request->path, "/");
	return *(const int *)user;
}

/* _i: let in, refused */
START_TEST(the_authorize_callback_of_the_options_decides)
{
	static const char request[] = REQUEST("/", "");
	int status = _i == 0 ? 0 : 429;
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;
	char answer[1024];
	FILE *stream;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	options.authorize = judge;
	options.authorize_user = &status;
	options.close_timeout_ms = 0;
	peer_send(joined.peer, request, sizeof request - 1);
	if (_i == 0) {
		stream = ws_fdopen(joined.fd, "r+", WS_ROLE_SERVER, &options);
		ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
		(void)fclose(stream);
	} else {
		expect_failure(joined.fd, WS_ROLE_SERVER, &options, EPROTO, "");
		ck_assert_int_eq(ws_last_error()->http_status, 429);
		close(joined.fd);
	}
	answer[peer_recv(joined.peer, answer, sizeof answer - 1)] = '\0';
	ck_assert_msg(strncmp(answer, _i == 0 ? "HTTP/1.1 101 " : "HTTP/1.1 429 ", 13) == 0, "%s", answer);
	ck_assert_ptr_nonnull(strstr(answer, "\r\nX-Judged: yes\r\n"));
	close(joined.peer);
	peer_count_end();
}
END_TEST

START_TEST(the_path_of_the_url_or_of_the_options_is_served)
{
	static const char *const table[][3] = {
		{ "/", NULL, "/any" }, { "/chat", NULL, "/chat?x" }, { "/chat", "/served", "/served" },
		{ "/chat", "/", "/" },
	};
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;
	char url[64], request[512];
	FILE *stream;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	snprintf(url, sizeof url, "ws://localhost%s", table[_i][0]);
	snprintf(request, sizeof request, REQUEST("%s", ""), table[_i][2]);
	options.url = url;
	options.path = table[_i][1];
	options.close_timeout_ms = 0;
	options.initial_bytes = request;
	options.initial_size = strlen(request);
	stream = ws_fdopen(joined.fd, "r+", WS_ROLE_SERVER, &options);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	(void)fclose(stream);
	close(joined.peer);
	peer_count_end();
}
END_TEST

START_TEST(a_silent_peer_is_etimedout_and_can_be_tried_again)
{
	enum wire_role role = (enum wire_role)(_i % WIRE_ROLES);
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;
	struct wire wire;
	char request[1024];

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i / WIRE_ROLES));
	options.handshake_timeout_ms = 30;
	expect_failure(joined.fd, role_of(role), &options, ETIMEDOUT, "");
	/* What a client has sent in vain. */
	if (role == LIBRARY_IS_CLIENT)
		ck_assert_int_gt(recv(joined.peer, request, sizeof request, 0), 0);
	free(open_wire(&wire, &joined, role, "r+", NULL));
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	peer_count_end();
}
END_TEST

struct interruption {
	pthread_t thread;
	atomic_bool done;
};

static void nothing(int number)
{
	(void)number;
}

static void *interrupt(void *argument)
{
	struct interruption *job = argument;

	/* Until it has hit the wait: before that it ends nothing. */
	while (!atomic_load(&job->done)) {
		pthread_kill(job->thread, SIGUSR1);
		usleep(2000);
	}
	return NULL;
}

START_TEST(a_signal_is_eintr)
{
	struct sigaction action = { .sa_handler = nothing };
	struct interruption job = { .thread = pthread_self() };
	struct joined joined;
	pthread_t thread;

	peer_count_begin();
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	joined_open(&joined, JOINED_PAIR);
	peer_thread(&thread, interrupt, &job);
	expect_failure(joined.fd, role_of((enum wire_role)_i), NULL, EINTR, "interrupted");
	atomic_store(&job.done, true);
	peer_join(thread);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

START_TEST(a_peer_that_ends_in_the_handshake_is_an_error)
{
	enum wire_role role = (enum wire_role)(_i % WIRE_ROLES);
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i / WIRE_ROLES));
	peer_send(joined.peer, role == LIBRARY_IS_CLIENT ? "HTTP/1.1 1" : "GET / HT", 8);
	peer_fin(joined.peer);
	expect_failure(joined.fd, role_of(role), NULL, EPROTO, "inside the handshake");
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

static const struct {
	const char *answer;
	int error, status;
} answers[] = {
	{ "HTTP/1.1 404 Not Found\r\n\r\n", ECONNABORTED, 404 },
	{ "HTTP/1.1 401 Unauthorized\r\n\r\n", EACCES, 401 },
	{ "HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n", ECONNABORTED, 302 },
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", EPROTO, 101 },
	{ "SSH-2.0-server\r\n\r\n", EPROTO, 0 },
};

/* No redirect is followed: there is nothing to connect to. */
START_TEST(an_answer_that_is_no_101_fails_a_client)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined joined;

	peer_count_begin();
	joined_open(&joined, (enum joined_kind)(_i % JOINED_KINDS));
	options.max_redirects = 5;
	peer_send(joined.peer, answers[_i].answer, strlen(answers[_i].answer));
	expect_failure(joined.fd, WS_ROLE_CLIENT, &options, answers[_i].error, "");
	ck_assert_int_eq(ws_last_error()->http_status, answers[_i].status);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

/* --- what is refused before anything is sent --- */

static int make_bad(int kind)
{
	char name[] = "/tmp/wsfile-file-XXXXXX";
	int fd[2] = { -1, -1 };
	unsigned port;

	switch (kind) {
	case 0:
		return -1;
	case 1:				/* closed: nothing else opens one meanwhile */
		fd[0] = dup(0);
		close(fd[0]);
		return fd[0];
	case 2:
		fd[0] = mkostemp(name, O_CLOEXEC);
		ck_assert_int_eq(unlink(name), 0);
		return fd[0];
	case 3:
		ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
		close(fd[1]);
		return fd[0];
	case 4:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 5:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 6:
		return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case 7:
	case 8:
		ck_assert_int_eq(socketpair(AF_UNIX, kind == 7 ? SOCK_DGRAM : SOCK_SEQPACKET, 0, fd), 0);
		close(fd[1]);
		return fd[0];
	default:
		return peer_listen(&port);
	}
}

/* _i: the role and the kind */
START_TEST(what_is_no_connected_stream_socket_is_refused)
{
	static const int errors[] = { EBADF, EBADF, ENOTSOCK, ENOTSOCK, ENOTCONN, ENOTCONN, EPROTOTYPE, EPROTOTYPE,
		EPROTOTYPE, EINVAL };
	enum ws_role role = role_of((enum wire_role)(_i % WIRE_ROLES));
	int kind = _i / WIRE_ROLES, fd;

	peer_count_begin();
	fd = make_bad(kind);
	if (kind >= 2) {
		expect_failure(fd, role, NULL, errors[kind], "descriptor");
		close(fd);
	} else {
		errno = 0;
		ck_assert_ptr_null(ws_fdopen(fd, "r+", role, NULL));
		ck_assert_int_eq(errno, errors[kind]);
	}
	peer_count_end();
}
END_TEST

static const struct {
	const char *mode;
	int role;
	const char *url;
	int linger_ms;
	enum ws_verify verify;
	const char *userinfo, *word;
} arguments[] = {
	{ "a", WS_ROLE_SERVER, NULL, 0, WS_VERIFY_ON, NULL, "mode" },
	{ NULL, WS_ROLE_CLIENT, NULL, 0, WS_VERIFY_ON, NULL, "mode" },
	{ "r+", 2, NULL, 0, WS_VERIFY_ON, NULL, "role" },
	{ "r+", -1, NULL, 0, WS_VERIFY_ON, NULL, "role" },
	{ "r+", WS_ROLE_SERVER, NULL, -2, WS_VERIFY_ON, NULL, "linger_ms" },
	{ "r+", WS_ROLE_SERVER, "http://localhost/", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_CLIENT, "", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_CLIENT, "ws+unix:///tmp/x", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_SERVER, "wss+unix:///tmp/x", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_SERVER, "ws://u:p@localhost/", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_SERVER, "ws://localhost/?q", 0, WS_VERIFY_ON, NULL, "url" },
	{ "r+", WS_ROLE_SERVER, "wss://localhost/", 0, WS_VERIFY_ON, NULL, "cert_file" },
	{ "r+", WS_ROLE_CLIENT, NULL, 0, WS_VERIFY_IF_GIVEN, NULL, "verify" },
	{ "r+", WS_ROLE_CLIENT, "ws://u:p@localhost/", 0, WS_VERIFY_ON, "x:y", "user" },
};

START_TEST(bad_arguments_are_einval_and_send_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct joined_fd before;
	struct joined joined;
	char byte;

	peer_count_begin();
	joined_open(&joined, JOINED_PAIR);
	joined_note(&before, joined.fd);
	options.url = arguments[_i].url;
	options.linger_ms = arguments[_i].linger_ms;
	options.verify = arguments[_i].verify;
	options.userinfo = arguments[_i].userinfo;
	errno = 0;
	ck_assert_ptr_null(ws_fdopen(joined.fd, arguments[_i].mode, (enum ws_role)arguments[_i].role, &options));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_msg(strstr(ws_last_error()->text, arguments[_i].word) != NULL, "%s", ws_last_error()->text);
	joined_is_the_callers(&before);
	ck_assert_int_eq(recv(joined.peer, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(joined.fd);
	close(joined.peer);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("adopt");
	TCase *tcase = wire_case(suite, "streams");

	tcase_add_loop_test(tcase, both_roles_talk_half_close_and_get_a_receipt, 0, 2 * WIRE_ROLES * JOINED_KINDS);
	tcase_add_loop_test(tcase, a_cut_is_an_error_and_the_end_of_the_socket, 0, WIRE_ROLES * JOINED_KINDS);
	tcase_add_loop_test(tcase, modes_are_those_of_ws_fopen, 0, WIRE_ROLES);
	tcase_add_loop_test(tcase, an_observer_misses_neither_the_opening_nor_the_end, 0, WIRE_ROLES);
	tcase_add_loop_test(tcase, an_observer_is_told_of_an_opening_that_fails, 0, WIRE_ROLES);
	tcase_add_test(tcase, a_client_asks_for_what_the_url_says);
	tcase_add_test(tcase, without_a_url_it_is_the_root_of_localhost);
	tcase_add_loop_test(tcase, the_status_has_the_addresses_of_the_socket, 0, WIRE_ROLES * JOINED_KINDS);
	tcase = wire_case(suite, "first bytes");
	tcase_add_loop_test(tcase, first_bytes_may_end_anywhere, 0, 2);
	tcase_add_loop_test(tcase, first_bytes_may_be_more_than_there_is_room_for, 0, 4);
	tcase_add_loop_test(tcase, first_bytes_are_served_though_the_peer_is_gone, 0, JOINED_KINDS);
	tcase_add_test(tcase, first_bytes_that_are_no_answer_fail_a_client);
	tcase = wire_case(suite, "failures");
	tcase_add_loop_test(tcase, a_refusal_leaves_the_descriptor_to_the_caller, 0, COUNT(refusals));
	tcase_add_loop_test(tcase, the_authorize_callback_of_the_options_decides, 0, 2);
	tcase_add_loop_test(tcase, the_path_of_the_url_or_of_the_options_is_served, 0, 4);
	tcase_add_loop_test(tcase, a_silent_peer_is_etimedout_and_can_be_tried_again, 0, WIRE_ROLES * JOINED_KINDS);
	tcase_add_loop_test(tcase, a_signal_is_eintr, 0, WIRE_ROLES);
	tcase_add_loop_test(tcase, a_peer_that_ends_in_the_handshake_is_an_error, 0, WIRE_ROLES * JOINED_KINDS);
	tcase_add_loop_test(tcase, an_answer_that_is_no_101_fails_a_client, 0, COUNT(answers));
	tcase_add_loop_test(tcase, what_is_no_connected_stream_socket_is_refused, 0, WIRE_ROLES * 10);
	tcase_add_loop_test(tcase, bad_arguments_are_einval_and_send_nothing, 0, COUNT(arguments));
	return wire_run(suite);
}
