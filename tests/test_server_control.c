/* SPDX-License-Identifier: 0BSD */
/* A listener under control: polled, bounded, and stopped with its streams told. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "wire.h"

#define GIVE_UP_MS 20000
#define SOON_MS 50
#define REQUEST "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static struct ws_listener *listen_to(const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

/* A raw client whose handshake is done. */
static int join(unsigned port)
{
	int fd = peer_connect(port);

	peer_client_handshake(fd, port, "/", "");
	return fd;
}

static FILE *accept_one(struct ws_listener *listener)
{
	FILE *stream = ws_accept(listener, "r+");

	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	return stream;
}

/* A client goes as it should; nothing was written to it. */
static void part(FILE *stream, int fd)
{
	peer_close(fd, true, 1000, "");
	peer_fin(fd);
	ck_assert_int_eq(fgetc(stream), EOF);
	ck_assert_int_eq(fclose(stream), 0);
	close(fd);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int count = poll(&poll_fd, 1, timeout_ms);

	ck_assert_int_ge(count, 0);
	ck_assert(count == 0 || poll_fd.revents == POLLIN);
	return count == 1;
}

static int pollfd_of(struct ws_listener *listener)
{
	int fd = ws_listener_pollfd(listener);

	ck_assert_msg(fd >= 0, "%s", strerror(errno));
	ck_assert_int_eq(ws_listener_pollfd(listener), fd);
	return fd;
}

static void expect_no_accept(struct ws_listener *listener)
{
	errno = 0;
	ck_assert_ptr_null(ws_accept(listener, "r+"));
	ck_assert_int_eq(errno, EBADF);
}

/* --- polled --- */

START_TEST(a_listener_is_readable_exactly_while_a_connection_is_ready)
{
	struct ws_listener *listener;
	int fd, silent, clients[2];
	FILE *streams[2];
	unsigned port;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	fd = pollfd_of(listener);
	ck_assert(!readable(fd, 0));
	silent = peer_connect(port);
	clients[0] = join(port);
	ck_assert(readable(fd, GIVE_UP_MS));
	ck_assert(readable(fd, 0));
	streams[0] = accept_one(listener);
	/* The silent one may open its connection, but has not. */
	ck_assert(!readable(fd, 0));
	clients[1] = join(port);
	ck_assert(readable(fd, GIVE_UP_MS));
	streams[1] = accept_one(listener);
	ck_assert(!readable(fd, 0));
	for (int i = 0; i < 2; i++)
		part(streams[i], clients[i]);
	ck_assert(!readable(fd, 0));
	close(silent);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_pollfd_made_late_knows_what_is_ready)
{
	struct ws_listener *listener;
	int fd, clients[2];
	FILE *streams[2];
	unsigned port;

	peer_count_begin();
	setenv("WSFILE_HELPERS", "1", 1);
	listener = listen_to(NULL, &port);
	/* One helper does them in turn: when the second has its answer, the first is ready. */
	for (int i = 0; i < 2; i++)
		clients[i] = join(port);
	fd = pollfd_of(listener);
	ck_assert(readable(fd, 0));
	for (int i = 0; i < 2; i++)
		streams[i] = accept_one(listener);
	ck_assert(!readable(fd, 0));
	for (int i = 0; i < 2; i++)
		part(streams[i], clients[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_connection_that_ended_unaccepted_is_still_one_to_accept)
{
	struct ws_listener *listener;
	char line[16];
	FILE *stream;
	unsigned port;
	int fd, client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	fd = pollfd_of(listener);
	client = join(port);
	peer_frame(client, PEER_BINARY, true, "last\n", 5);
	peer_close(client, true, 1000, "");
	close(client);
	ck_assert(readable(fd, GIVE_UP_MS));
	stream = accept_one(listener);
	ck_assert(!readable(fd, 0));
	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	ck_assert_str_eq(line, "last\n");
	fclose(stream);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_pollfd_that_can_not_be_is_an_error)
{
	struct ws_listener *listener;
	struct rlimit limit, none;
	unsigned port;
	int rv, error;

	peer_count_begin();
	errno = 0;
	ck_assert_int_eq(ws_listener_pollfd(NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	listener = listen_to(NULL, &port);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	rv = ws_listener_pollfd(listener);
	error = errno;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(rv, -1);
	ck_assert_int_eq(error, EMFILE);
	ck_assert(!readable(pollfd_of(listener), 0));
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- bounded --- */

static void expect_refusal(unsigned port)
{
	int fd = peer_connect(port);
	char *answer = peer_client_raw(fd, REQUEST, strlen(REQUEST));

	ck_assert_msg(strncmp(answer, "HTTP/1.1 503 Service Unavailable\r\n", 34) == 0, "%s", answer);
	ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\ntoo many connections\n"));
	free(answer);
	close(fd);
}

START_TEST(one_connection_more_than_the_most_is_refused)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	FILE *streams[3];
	int clients[3];
	unsigned port;
	char url[64];

	peer_count_begin();
	options.max_connections = 2;
	listener = listen_to(&options, &port);
	for (int i = 0; i < 2; i++)
		clients[i] = join(port);
	expect_refusal(port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	ck_assert_ptr_null(ws_fopen(url, "r+"));
	duo_check_failure(ECONNABORTED, 503);
	for (int i = 0; i < 2; i++)
		streams[i] = accept_one(listener);
	expect_refusal(port);
	/* When fclose is back its connection is over. */
	part(streams[0], clients[0]);
	clients[2] = join(port);
	expect_refusal(port);
	streams[2] = accept_one(listener);
	for (int i = 1; i < 3; i++)
		part(streams[i], clients[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(who_is_not_let_in_takes_no_place)
{
	static const char wrong[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	int silent[5], refused[5], client;
	unsigned port;

	peer_count_begin();
	options.max_connections = 1;
	listener = listen_to(&options, &port);
	for (int i = 0; i < 5; i++) {
		silent[i] = peer_connect(port);
		refused[i] = peer_connect(port);
		free(peer_client_raw(refused[i], wrong, strlen(wrong)));
	}
	client = join(port);
	for (int i = 0; i < 5; i++)
		expect_refusal(port);
	part(accept_one(listener), client);
	client = join(port);
	part(accept_one(listener), client);
	for (int i = 0; i < 5; i++) {
		close(silent[i]);
		close(refused[i]);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

#define MOST 3
#define CROWD 8
#define TRIES 25

struct crowd {
	char url[64];
	atomic_int open, most, let_in;
};

static void *come_and_go(void *argument)
{
	struct crowd *crowd = argument;
	FILE *stream;
	int open, most;

	for (int i = 0; i < TRIES; i++) {
		stream = ws_fopen(crowd->url, "r+");
		if (stream == NULL) {
			ck_assert_int_eq(ws_last_error()->http_status, 503);
			continue;
		}
		open = atomic_fetch_add(&crowd->open, 1) + 1;
		for (most = atomic_load(&crowd->most); most < open;)
			if (atomic_compare_exchange_weak(&crowd->most, &most, open))
				break;
		atomic_fetch_add(&crowd->let_in, 1);
		fputs("x\n", stream);
		fflush(stream);
		fgetc(stream);
		atomic_fetch_sub(&crowd->open, 1);
		ck_assert_int_eq(fclose(stream), 0);
	}
	return NULL;
}

static void *echo(void *argument)
{
	FILE *stream = argument;
	int c;

	while ((c = fgetc(stream)) != EOF) {
		fputc(c, stream);
		fflush(stream);
	}
	fclose(stream);
	return NULL;
}

static void *serve_all(void *argument)
{
	struct ws_listener *listener = argument;
	pthread_t threads[CROWD * TRIES];
	FILE *stream;
	int count = 0;

	while ((stream = ws_accept(listener, "r+")) != NULL) {
		ck_assert_int_lt(count, CROWD * TRIES);
		peer_thread(&threads[count++], echo, stream);
	}
	ck_assert_int_eq(errno, EBADF);
	while (count > 0)
		peer_join(threads[--count]);
	return NULL;
}

START_TEST(never_more_are_open_than_the_most)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct crowd crowd = { .open = 0 };
	pthread_t clients[CROWD], server;
	unsigned port;

	peer_count_begin();
	options.max_connections = MOST;
	options.helper_threads = 3;
	listener = listen_to(&options, &port);
	snprintf(crowd.url, sizeof crowd.url, "ws://127.0.0.1:%u/", port);
	peer_thread(&server, serve_all, listener);
	for (int i = 0; i < CROWD; i++)
		peer_thread(&clients[i], come_and_go, &crowd);
	for (int i = 0; i < CROWD; i++)
		peer_join(clients[i]);
	ck_assert_int_le(atomic_load(&crowd.most), MOST);
	ck_assert_int_ge(atomic_load(&crowd.let_in), MOST);
	ck_assert_int_eq(ws_listener_stop(listener, GIVE_UP_MS), 0);
	peer_join(server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* More handshakes than may be under way, and so many of them at once that one look of the helper finds several. */
#define UNDER_WAY 1024
#define FIRST (UNDER_WAY + 76)
#define SILENT (FIRST + 100)

struct flood {
	unsigned port;
	int silent[SILENT];
	bool done;
};

static int let_them_come(const struct ws_request *request, struct ws_response *response, void *user)
{
	struct flood *flood = user;
	bool done = flood->done;

	(void)request;
	(void)response;
	for (int i = FIRST; i < SILENT && !done; i++)
		flood->silent[i] = peer_connect(flood->port);
	flood->done = true;
	return done ? 0 : 403;
}

START_TEST(of_too_many_silent_clients_the_oldest_go)
{
	static struct flood flood;
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct rlimit limit;
	int asking, client;

	peer_count_begin();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_ge(limit.rlim_cur, 2 * SILENT + 100);
	options.authorize = let_them_come;
	options.authorize_user = &flood;
	options.handshake_timeout_ms = -1;
	listener = listen_to(&options, &flood.port);
	for (int i = 0; i < FIRST; i++)
		flood.silent[i] = peer_connect(flood.port);
	asking = peer_connect(flood.port);
	free(peer_client_raw(asking, REQUEST, strlen(REQUEST)));
	/* It comes behind them all. */
	client = join(flood.port);
	for (int i = 0; i < SILENT; i++) {
		ck_assert(i >= SILENT - UNDER_WAY || peer_at_end(flood.silent[i]));
		close(flood.silent[i]);
	}
	part(accept_one(listener), client);
	close(asking);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- stopped --- */

struct stop {
	struct ws_listener *listener;
	int timeout_ms, rv, error;
	atomic_bool done;
};

static void *stop_it(void *argument)
{
	struct stop *stop = argument;

	errno = 0;
	stop->rv = ws_listener_stop(stop->listener, stop->timeout_ms);
	stop->error = errno;
	atomic_store(&stop->done, true);
	return NULL;
}

static void stop_begin(struct stop *stop, pthread_t *thread, struct ws_listener *listener)
{
	*stop = (struct stop){ .listener = listener, .timeout_ms = -1 };
	peer_thread(thread, stop_it, stop);
}

static void stop_end(struct stop *stop, pthread_t thread)
{
	peer_join(thread);
	ck_assert_msg(stop->rv == 0, "%s", strerror(stop->error));
}

static void expect_stop(struct ws_listener *listener, int timeout_ms, int error)
{
	errno = 0;
	ck_assert_int_eq(ws_listener_stop(listener, timeout_ms), error == 0 ? 0 : -1);
	if (error != 0)
		ck_assert_int_eq(errno, error);
}

START_TEST(a_stopped_listener_takes_nobody)
{
	struct ws_listener *listener;
	unsigned port;
	char url[64];
	int fd;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	fd = pollfd_of(listener);
	expect_stop(listener, GIVE_UP_MS, 0);
	ck_assert(readable(fd, 0));
	expect_no_accept(listener);
	expect_no_accept(listener);
	ck_assert(readable(fd, 0));
	ck_assert_ptr_null(ws_fopen(url, "r+"));
	duo_check_failure(ECONNREFUSED, 0);
	ck_assert_str_eq(ws_listener_url(listener), url);
	expect_stop(listener, -1, 0);
	expect_stop(listener, 0, 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(nothing_open_needs_no_time_to_stop)
{
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	expect_stop(listener, 0, 0);
	expect_no_accept(listener);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(an_open_stream_is_told_behind_its_data_and_waited_for)
{
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread;
	uint8_t *data;
	size_t size;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	fputs("written", stream);
	ck_assert_int_eq(fflush(stream), 0);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, &data, &size), 1001);
	ck_assert_uint_eq(size, 7);
	ck_assert_str_eq((char *)data, "written");
	free(data);
	/* Our side is closed, theirs is not. */
	peer_frame(client, PEER_BINARY, true, "answer\n", 7);
	ck_assert(!atomic_load(&stop.done));
	peer_close(client, true, 1001, "");
	ck_assert(peer_at_end(client));
	close(client);
	stop_end(&stop, thread);
	ck_assert_int_eq(fgetc(stream), 'a');
	while (fgetc(stream) != EOF)
		;
	ck_assert(!ferror(stream));
	ck_assert_int_eq(fclose(stream), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(what_was_not_flushed_comes_too_late)
{
	struct ws_listener *listener;
	uint8_t *data;
	size_t size;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	fputs("not flushed", stream);
	expect_stop(listener, 0, ETIMEDOUT);
	errno = 0;
	ck_assert_int_eq(fflush(stream), EOF);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_uint_eq(peer_read_until_close(client, &data, &size), 1001);
	ck_assert_uint_eq(size, 0);
	peer_close(client, true, 1001, "");
	close(client);
	errno = 0;
	ck_assert_int_eq(fclose(stream), EOF);
	ck_assert_int_eq(errno, EPIPE);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(all_that_was_written_comes_before_the_close)
{
	enum { BYTES = 200000 };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread;
	uint8_t *data, *out = malloc(BYTES);
	size_t size;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	ck_assert_ptr_nonnull(out);
	listener = listen_to(&options, &port);
	client = peer_connect_sized(port, 4096);
	peer_client_handshake(client, port, "/", "");
	stream = accept_one(listener);
	wire_pattern(0, out, BYTES);
	ck_assert_uint_eq(fwrite(out, 1, BYTES, stream), BYTES);
	ck_assert_int_eq(fflush(stream), 0);
	free(out);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, &data, &size), 1001);
	ck_assert_uint_eq(size, BYTES);
	ck_assert(wire_pattern_matches(0, data, size));
	free(data);
	peer_close(client, true, 1000, "");
	close(client);
	stop_end(&stop, thread);
	ck_assert_int_eq(fgetc(stream), EOF);
	ck_assert_int_eq(fclose(stream), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void *write_on(void *argument)
{
	FILE *stream = argument;
	char block[4096];
	uint64_t written = 0;

	do {
		wire_pattern(written, block, sizeof block);
		written += sizeof block;
	} while (fwrite(block, 1, sizeof block, stream) == sizeof block && fflush(stream) == 0);
	ck_assert_int_eq(errno, EPIPE);
	return NULL;
}

START_TEST(a_blocked_writer_is_let_go_and_the_peer_sees_no_hole)
{
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread, writer;
	uint8_t *data;
	size_t size;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = peer_connect_sized(port, 4096);
	peer_client_handshake(client, port, "/", "");
	stream = accept_one(listener);
	peer_thread(&writer, write_on, stream);
	ck_assert_int_gt(recv(client, &(char){ 0 }, 1, MSG_PEEK), 0);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, &data, &size), 1001);
	ck_assert(wire_pattern_matches(0, data, size));
	free(data);
	peer_join(writer);
	peer_close(client, true, 1001, "");
	close(client);
	stop_end(&stop, thread);
	ck_assert_int_eq(fclose(stream), EOF);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void *write_much(void *argument)
{
	enum { BYTES = 4 << 20 };
	uint8_t *data = malloc(BYTES);

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, BYTES);
	ck_assert_uint_lt(fwrite(data, 1, BYTES, argument), BYTES);
	ck_assert_int_eq(errno, EPIPE);
	free(data);
	return NULL;
}

/* A part of one write has gone: 1001 would be the end of file behind it. */
START_TEST(a_stop_amid_a_write_is_no_end_of_file)
{
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread, writer;
	uint8_t *data;
	size_t size;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = peer_connect_sized(port, 4096);
	peer_client_handshake(client, port, "/", "");
	stream = accept_one(listener);
	peer_thread(&writer, write_much, stream);
	ck_assert_int_gt(recv(client, &(char){ 0 }, 1, MSG_PEEK), 0);
	stop_begin(&stop, &thread, listener);
	do
		ck_assert_int_eq(ws_status(stream, &status), 0);
	while (status.close_code_sent == 0);
	ck_assert_uint_eq(peer_read_until_close(client, &data, &size), 1011);
	ck_assert_uint_lt(size, 4 << 20);
	ck_assert(wire_pattern_matches(0, data, size));
	free(data);
	peer_join(writer);
	peer_close(client, true, 1011, "");
	close(client);
	stop_end(&stop, thread);
	errno = 0;
	ck_assert_int_eq(fclose(stream), EOF);
	ck_assert_int_eq(errno, EPIPE);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_stop_that_takes_too_long_can_be_waited_for_again)
{
	struct ws_listener *listener;
	char line[16];
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	expect_stop(listener, _i == 0 ? 0 : SOON_MS, ETIMEDOUT);
	expect_no_accept(listener);
	expect_stop(listener, 0, ETIMEDOUT);
	/* The stream goes on as after ws_shutdown. */
	errno = 0;
	ck_assert_int_eq(ws_shutdown(stream, 1000, NULL), -1);
	ck_assert_int_eq(errno, EPIPE);
	peer_frame(client, PEER_BINARY, true, "late\n", 5);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	ck_assert_str_eq(line, "late\n");
	peer_close(client, true, 1001, "");
	ck_assert_int_eq(fgetc(stream), EOF);
	ck_assert(!ferror(stream));
	close(client);
	expect_stop(listener, -1, 0);
	ck_assert_int_eq(fclose(stream), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_listener_that_was_not_waited_for_can_be_closed)
{
	struct ws_listener *listener;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	expect_stop(listener, 0, ETIMEDOUT);
	ws_listener_close(listener);
	ck_assert_uint_eq(peer_read_until_close(client, NULL, NULL), 1001);
	peer_close(client, true, 1001, "");
	ck_assert_int_eq(fgetc(stream), EOF);
	close(client);
	ck_assert_int_eq(fclose(stream), 0);
	peer_count_end();
}
END_TEST

START_TEST(closing_ends_the_wait_of_a_stop)
{
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, NULL, NULL), 1001);
	ws_listener_close(listener);
	peer_join(thread);
	ck_assert_int_eq(stop.rv, -1);
	ck_assert_int_eq(stop.error, ETIMEDOUT);
	peer_close(client, true, 1001, "");
	ck_assert_int_eq(fgetc(stream), EOF);
	close(client);
	ck_assert_int_eq(fclose(stream), 0);
	peer_count_end();
}
END_TEST

START_TEST(who_was_not_accepted_is_turned_away)
{
	struct ws_listener *listener;
	int ready[2], silent, half;
	unsigned port;

	peer_count_begin();
	setenv("WSFILE_HELPERS", "1", 1);
	listener = listen_to(NULL, &port);
	silent = peer_connect(port);
	half = peer_connect(port);
	peer_send(half, REQUEST, 20);
	for (int i = 0; i < 2; i++)
		ready[i] = join(port);
	expect_stop(listener, GIVE_UP_MS, 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(peer_read_until_close(ready[i], NULL, NULL), 1001);
		ck_assert(peer_at_end(ready[i]));
		close(ready[i]);
	}
	ck_assert(peer_at_end(silent));
	ck_assert(peer_at_end(half));
	close(silent);
	close(half);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void *fail_to_accept(void *argument)
{
	expect_no_accept(argument);
	return NULL;
}

START_TEST(blocked_acceptors_are_let_go)
{
	struct ws_listener *listener;
	pthread_t threads[3];
	unsigned port;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	for (int i = 0; i < 3; i++)
		peer_thread(&threads[i], fail_to_accept, listener);
	expect_stop(listener, GIVE_UP_MS, 0);
	for (int i = 0; i < 3; i++)
		peer_join(threads[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void on_signal(int number)
{
	(void)number;
}

START_TEST(a_signal_handler_interrupts_the_wait)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	stop_begin(&stop, &thread, listener);
	/* One that comes too early interrupts nothing. */
	while (!atomic_load(&stop.done)) {
		pthread_kill(thread, SIGUSR1);
		usleep(1000);
	}
	peer_join(thread);
	ck_assert_int_eq(stop.rv, -1);
	ck_assert_int_eq(stop.error, EINTR);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, NULL, NULL), 1001);
	peer_close(client, true, 1001, "");
	close(client);
	stop_end(&stop, thread);
	ck_assert_int_eq(fclose(stream), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_stop_without_a_listener_or_time_is_einval)
{
	struct ws_listener *listener;
	unsigned port;
	int client;

	peer_count_begin();
	expect_stop(NULL, 0, EINVAL);
	listener = listen_to(NULL, &port);
	expect_stop(listener, -2, EINVAL);
	/* It has not stopped. */
	client = join(port);
	part(accept_one(listener), client);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_peer_that_vanishes_ends_the_wait)
{
	struct ws_listener *listener;
	struct stop stop;
	pthread_t thread;
	FILE *stream;
	unsigned port;
	int client;

	peer_count_begin();
	listener = listen_to(NULL, &port);
	client = join(port);
	stream = accept_one(listener);
	stop_begin(&stop, &thread, listener);
	ck_assert_uint_eq(peer_read_until_close(client, NULL, NULL), 1001);
	peer_reset(client);
	stop_end(&stop, thread);
	ck_assert_int_eq(fclose(stream), EOF);
	ck_assert_int_eq(errno, ECONNRESET);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

#define MANY 60

static void *read_to_the_end(void *argument)
{
	FILE *stream = argument;

	ck_assert_int_eq(fgetc(stream), 'x');
	ck_assert_int_eq(fgetc(stream), EOF);
	ck_assert(!ferror(stream));
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

START_TEST(many_streams_are_told_at_once)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	FILE *streams[MANY], *client;
	pthread_t threads[MANY];
	unsigned port;

	peer_count_begin();
	options.helper_threads = 2;
	listener = listen_to(&options, &port);
	for (int i = 0; i < MANY; i++) {
		client = ws_fopen(ws_listener_url(listener), "r+");
		ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
		peer_thread(&threads[i], read_to_the_end, client);
		streams[i] = accept_one(listener);
		fputc('x', streams[i]);
		ck_assert_int_eq(fflush(streams[i]), 0);
	}
	expect_stop(listener, GIVE_UP_MS, 0);
	for (int i = 0; i < MANY; i++) {
		peer_join(threads[i]);
		ck_assert_int_eq(fgetc(streams[i]), EOF);
		ck_assert_int_eq(fclose(streams[i]), 0);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* Connections come, end and are accepted while the listener stops: each end is one of those that are allowed. */
static void *come_anyway(void *argument)
{
	struct crowd *crowd = argument;
	FILE *stream;

	for (int i = 0; i < TRIES; i++) {
		stream = ws_fopen(crowd->url, "r+");
		if (stream == NULL)
			break;
		atomic_fetch_add(&crowd->let_in, 1);
		fputs("x\n", stream);
		fflush(stream);
		while (fgetc(stream) != EOF && i % 2 == 0)
			;
		fclose(stream);
	}
	return NULL;
}

START_TEST(a_stop_amid_arrivals_comes_to_its_end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct crowd crowd = { .open = 0 };
	pthread_t clients[CROWD], server;
	unsigned port;

	peer_count_begin();
	options.helper_threads = 2;
	options.max_connections = CROWD;
	listener = listen_to(&options, &port);
	snprintf(crowd.url, sizeof crowd.url, "ws://127.0.0.1:%u/", port);
	peer_thread(&server, serve_all, listener);
	for (int i = 0; i < CROWD; i++)
		peer_thread(&clients[i], come_anyway, &crowd);
	while (atomic_load(&crowd.let_in) < CROWD)
		usleep(100);
	if (_i % 2 == 0)
		expect_stop(listener, -1, 0);
	else
		ck_assert(ws_listener_stop(listener, 0) == 0 || errno == ETIMEDOUT);
	peer_join(server);
	ws_listener_close(listener);
	for (int i = 0; i < CROWD; i++)
		peer_join(clients[i]);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_control");
	TCase *tcase = wire_case(suite, "polled");

	tcase_add_test(tcase, a_listener_is_readable_exactly_while_a_connection_is_ready);
	tcase_add_test(tcase, a_pollfd_made_late_knows_what_is_ready);
	tcase_add_test(tcase, a_connection_that_ended_unaccepted_is_still_one_to_accept);
	tcase_add_test(tcase, a_pollfd_that_can_not_be_is_an_error);
	tcase = wire_case(suite, "bounded");
	tcase_add_test(tcase, one_connection_more_than_the_most_is_refused);
	tcase_add_test(tcase, who_is_not_let_in_takes_no_place);
	tcase_add_test(tcase, never_more_are_open_than_the_most);
	tcase_add_test(tcase, of_too_many_silent_clients_the_oldest_go);
	tcase = wire_case(suite, "stopped");
	tcase_add_test(tcase, a_stopped_listener_takes_nobody);
	tcase_add_test(tcase, nothing_open_needs_no_time_to_stop);
	tcase_add_test(tcase, an_open_stream_is_told_behind_its_data_and_waited_for);
	tcase_add_test(tcase, what_was_not_flushed_comes_too_late);
	tcase_add_test(tcase, all_that_was_written_comes_before_the_close);
	tcase_add_test(tcase, a_blocked_writer_is_let_go_and_the_peer_sees_no_hole);
	tcase_add_test(tcase, a_stop_amid_a_write_is_no_end_of_file);
	tcase_add_loop_test(tcase, a_stop_that_takes_too_long_can_be_waited_for_again, 0, 2);
	tcase_add_test(tcase, a_listener_that_was_not_waited_for_can_be_closed);
	tcase_add_test(tcase, closing_ends_the_wait_of_a_stop);
	tcase_add_test(tcase, who_was_not_accepted_is_turned_away);
	tcase_add_test(tcase, blocked_acceptors_are_let_go);
	tcase_add_test(tcase, a_signal_handler_interrupts_the_wait);
	tcase_add_test(tcase, a_stop_without_a_listener_or_time_is_einval);
	tcase_add_test(tcase, a_peer_that_vanishes_ends_the_wait);
	tcase_add_test(tcase, many_streams_are_told_at_once);
	tcase_add_loop_test(tcase, a_stop_amid_arrivals_comes_to_its_end, 0, 4);
	return wire_run(suite);
}
