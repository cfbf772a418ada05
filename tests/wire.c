/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

struct serve {
	int listener;
	int fd;
};

static void *serve(void *argument)
{
	struct serve *job = argument;

	job->fd = peer_accept(job->listener);
	free(peer_serve_handshake(job->fd));
	return NULL;
}

static void open_streams(struct wire *wire, const char *url, const char *mode, const struct ws_options *options)
{
	if (mode == NULL && wire->role == LIBRARY_IS_CLIENT)
		ck_assert_msg(ws_fopen_pair(url, options, wire->half) == 0, "%s", ws_last_error()->text);
	else if (mode == NULL)
		ck_assert_msg(ws_accept_pair(wire->listener, wire->half) == 0, "%s", ws_last_error()->text);
	else if (wire->role == LIBRARY_IS_CLIENT)
		wire->stream = ws_fopen_with(url, mode, options);
	else
		wire->stream = ws_accept(wire->listener, mode);
	if (mode != NULL)
		ck_assert_msg(wire->stream != NULL, "%s", ws_last_error()->text);
}

static void open_wire(struct wire *wire, enum wire_role role, const char *mode, const struct ws_options *options,
    int peer_receive_bytes)
{
	char url[64];
	unsigned port;

	peer_count_begin();
	*wire = (struct wire){ .role = role, .peer = -1, .peer_listener = -1 };
	wire->peer_masks = role == LIBRARY_IS_SERVER;
	if (role == LIBRARY_IS_SERVER) {
		wire->listener = ws_listen("ws://127.0.0.1:0/", options);
		ck_assert_msg(wire->listener != NULL, "%s", ws_last_error()->text);
		port = peer_url_port(ws_listener_url(wire->listener));
		wire->peer = peer_connect_sized(port, peer_receive_bytes);
		peer_client_handshake(wire->peer, port, "/", "");
		open_streams(wire, NULL, mode, options);
	} else {
		struct serve job = { .fd = -1 };
		pthread_t thread;

		wire->peer_listener = job.listener = peer_listen_sized(&port, peer_receive_bytes);
		snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
		peer_thread(&thread, serve, &job);
		open_streams(wire, url, mode, options);
		peer_join(thread);
		wire->peer = job.fd;
	}
}

void wire_open(struct wire *wire, enum wire_role role, const char *mode, const struct ws_options *options,
    int peer_receive_bytes)
{
	open_wire(wire, role, mode, options, peer_receive_bytes);
}

void wire_open_pair(struct wire *wire, enum wire_role role, const struct ws_options *options, int peer_receive_bytes)
{
	open_wire(wire, role, NULL, options, peer_receive_bytes);
}

void wire_end(struct wire *wire)
{
	if (wire->peer >= 0)
		ck_assert_int_eq(close(wire->peer), 0);
	if (wire->peer_listener >= 0)
		ck_assert_int_eq(close(wire->peer_listener), 0);
	ck_assert_int_eq(ws_listener_close(wire->listener), 0);
	free(wire->data);
	peer_count_end();
}

void wire_frame(struct wire *wire, unsigned byte0, const void *payload, size_t size)
{
	peer_frame(wire->peer, byte0, wire->peer_masks, payload, size);
}

void wire_say(struct wire *wire, const char *text)
{
	wire_frame(wire, PEER_BINARY, text, strlen(text));
}

void wire_goodbye(struct wire *wire, unsigned code, const char *reason)
{
	peer_close(wire->peer, wire->peer_masks, code, reason);
}

void wire_end_tcp(struct wire *wire)
{
	if (wire->role == LIBRARY_IS_SERVER)
		ck_assert_msg(peer_at_end(wire->peer), "data behind the server's Close");
	peer_fin(wire->peer);
	if (wire->role == LIBRARY_IS_CLIENT)
		ck_assert_msg(peer_at_end(wire->peer), "data behind the client's Close");
}

static void *finish(void *argument)
{
	struct wire *wire = argument;

	wire->close_code = peer_read_until_close(wire->peer, &wire->data, &wire->size);
	if (wire->close_code == 0)
		return NULL;
	if (wire->answer >= 0)
		wire_goodbye(wire, (unsigned)wire->answer, "");
	wire_end_tcp(wire);
	return NULL;
}

void wire_finish(struct wire *wire, int answer)
{
	wire->answer = answer;
	peer_thread(&wire->thread, finish, wire);
}

void wire_finished(struct wire *wire)
{
	peer_join(wire->thread);
}

static void close_stream(FILE **stream, int error)
{
	int result, saved;

	errno = 0;
	result = fclose(*stream);
	saved = errno;
	*stream = NULL;
	if (error == 0)
		ck_assert_msg(result == 0, "fclose: %s", strerror(saved));
	else
		ck_assert_msg(result == EOF && saved == error, "fclose: %d, %s, not %s", result, strerror(saved),
		    strerror(error));
}

void wire_fclose(struct wire *wire, int error)
{
	close_stream(&wire->stream, error);
}

void wire_fclose_half(struct wire *wire, int which, int error)
{
	close_stream(&wire->half[which], error);
}

void wire_expect_line(FILE *stream, const char *text)
{
	char line[4096];

	errno = 0;
	ck_assert_msg(fgets(line, sizeof line, stream) != NULL, "no line: feof %d, ferror %d, %s", feof(stream),
	    ferror(stream), strerror(errno));
	ck_assert_str_eq(line, text);
}

void wire_expect_end(FILE *stream, int error)
{
	char byte[8];

	for (int i = 0; i < 3; i++) {
		size_t count;
		int saved;

		clearerr(stream);
		errno = 0;
		count = fread(byte, 1, sizeof byte, stream);
		saved = errno;
		ck_assert_msg(count == 0, "%zu more bytes", count);
		if (error == 0)
			ck_assert_msg(feof(stream) && !ferror(stream), "no EOF: %s", strerror(saved));
		else
			ck_assert_msg(ferror(stream) && !feof(stream) && saved == error, "%s: %s, not %s",
			    feof(stream) ? "EOF" : "an error", strerror(saved), strerror(error));
	}
}

void wire_expect_unwritable(FILE *stream, int error)
{
	int result, saved;

	clearerr(stream);
	errno = 0;
	result = fputs("more", stream);
	if (result != EOF)
		result = fflush(stream);
	saved = errno;
	ck_assert_msg(result == EOF, "the write passed");
	ck_assert_msg(saved == error, "%s, not %s", strerror(saved), strerror(error));
}

static void look(FILE *stream, struct ws_status *status)
{
	static const struct timespec pause = { .tv_nsec = 500000 };

	if (ws_status(stream, status) != 0)
		ck_abort_msg("ws_status: %s", strerror(errno));
	nanosleep(&pause, NULL);
}

/* What ws_status tells has no event to wait for: it is looked at again and again, for 10 s at least. */
#define LOOKS 20000

void wire_wait_state(FILE *stream, enum ws_state state)
{
	struct ws_status status = WS_STATUS_INIT;

	for (int i = 0; i < LOOKS; i++) {
		look(stream, &status);
		if (status.state == state)
			return;
	}
	ck_abort_msg("the state stays %d", (int)status.state);
}

void wire_wait_received(FILE *stream, uint64_t size)
{
	struct ws_status status = WS_STATUS_INIT;

	for (int i = 0; i < LOOKS; i++) {
		look(stream, &status);
		if (status.bytes_received >= size)
			return;
	}
	ck_abort_msg("%llu bytes received, not %llu", (unsigned long long)status.bytes_received,
	    (unsigned long long)size);
}

/* --- a pattern that knows its place --- */

/* A prime, so that no confusion of power-of-two blocks goes unseen. */
#define PERIOD 65521

static uint8_t table[2 * PERIOD];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
	uint32_t state = 2463534242;

	for (size_t i = 0; i < PERIOD; i++) {
		state ^= state << 13;
		state ^= state >> 17;
		state ^= state << 5;
		table[i] = table[i + PERIOD] = (uint8_t)(state >> 11);
	}
}

void wire_pattern(uint64_t offset, void *out, size_t size)
{
	uint8_t *next = out;

	pthread_once(&table_once, fill_table);
	while (size > 0) {
		size_t part = size < PERIOD ? size : PERIOD;

		memcpy(next, table + offset % PERIOD, part);
		next += part;
		offset += part;
		size -= part;
	}
}

bool wire_pattern_matches(uint64_t offset, const void *in, size_t size)
{
	const uint8_t *next = in;

	pthread_once(&table_once, fill_table);
	while (size > 0) {
		size_t part = size < PERIOD ? size : PERIOD;

		if (memcmp(next, table + offset % PERIOD, part) != 0)
			return false;
		next += part;
		offset += part;
		size -= part;
	}
	return true;
}

/* --- running --- */

TCase *wire_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return tcase;
}

const char *wire_program(void)
{
	static char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

	ck_assert_int_gt(size, 0);
	path[size] = '\0';
	return path;
}

int wire_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
