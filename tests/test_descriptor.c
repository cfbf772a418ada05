/* SPDX-License-Identifier: 0BSD */
/* A WebSocket connection as a descriptor: both directions, and how each of them ends. */
#include <fcntl.h>
#include <poll.h>
#include <stdio_ext.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "descriptor.h"

#define MUCH_BYTES (UINT64_C(100) << 20)
#define PIECE_BYTES 100003

/* --- data --- */

struct flow {
	int fd;				/* or */
	FILE *file;
	uint64_t bytes;
};

static void *flow_in(void *argument)
{
	struct flow *flow = argument;
	uint8_t *piece = malloc(PIECE_BYTES);
	uint64_t done = 0;
	ssize_t n;

	for (;;) {
		n = flow->file != NULL ? ws_read_some(flow->file, piece, PIECE_BYTES) :
		    read(flow->fd, piece, PIECE_BYTES);
		if (n <= 0)
			break;
		ck_assert_msg(wire_pattern_matches(done, piece, (size_t)n), "other data behind %ju", (uintmax_t)done);
		done += (uint64_t)n;
	}
	ck_assert_msg(n == 0, "behind %ju bytes: %s", (uintmax_t)done, strerror(errno));
	ck_assert_uint_eq(done, flow->bytes);
	free(piece);
	return NULL;
}

static void *flow_out(void *argument)
{
	struct flow *flow = argument;
	uint8_t *piece = malloc(PIECE_BYTES);
	uint64_t done = 0;
	size_t size;

	for (; done < flow->bytes; done += size) {
		size = flow->bytes - done < PIECE_BYTES ? (size_t)(flow->bytes - done) : PIECE_BYTES;
		wire_pattern(done, piece, size);
		if (flow->file != NULL)
			ck_assert_uint_eq(fwrite(piece, 1, size, flow->file), size);
		else
			line_write(flow->fd, piece, size);
	}
	if (flow->file != NULL)
		ck_assert_int_eq(fclose(flow->file), 0);
	else
		ck_assert_int_eq(shutdown(flow->fd, SHUT_WR), 0);
	free(piece);
	return NULL;
}

static void *accept_pair(void *argument)
{
	struct flow *flows = argument;
	struct ws_listener *listener = (struct ws_listener *)flows[0].file;
	FILE *half[2];

	ck_assert_int_eq(ws_accept_pair(listener, half), 0);
	flows[0].file = half[0];
	flows[1].file = half[1];
	return NULL;
}

START_TEST(bytes_go_both_ways_at_once)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct flow server[2], client;
	pthread_t threads[3];
	int fd;

	/* One direction may be done long before the other. */
	options.linger_ms = -1;
	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	server[0] = (struct flow){ -1, (FILE *)listener, MUCH_BYTES };
	server[1] = (struct flow){ -1, NULL, MUCH_BYTES };
	peer_thread(&threads[0], accept_pair, server);
	fd = ws_socket(ws_listener_url(listener), &options);
	ck_assert_int_ge(fd, 0);
	peer_join(threads[0]);
	client = (struct flow){ fd, NULL, MUCH_BYTES };
	peer_thread(&threads[0], flow_in, &server[0]);
	peer_thread(&threads[1], flow_out, &server[1]);
	peer_thread(&threads[2], flow_out, &client);
	flow_in(&client);
	for (int i = 0; i < 3; i++)
		peer_join(threads[i]);
	ck_assert_int_eq(fclose(server[0].file), 0);
	ck_assert_int_eq(close(fd), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(single_bytes_go_there_and_back)
{
	struct peer_frame frame;
	struct line line;
	uint8_t byte;

	line_open(&line, NULL, 0);
	for (int i = 0; i < 500; i++) {
		byte = (uint8_t)i;
		line_write(line.fd, &byte, 1);
		ck_assert(peer_read_frame(line.peer, &frame));
		ck_assert_uint_eq(frame.size, 1);
		ck_assert_uint_eq(frame.payload[0], (uint8_t)i);
		peer_frame(line.peer, PEER_BINARY, false, frame.payload, 1);
		peer_frame_clear(&frame);
		ck_assert_int_eq(read(line.fd, &byte, 1), 1);
		ck_assert_uint_eq(byte, (uint8_t)i);
	}
	line_close_fd(&line);
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

START_TEST(descriptor_is_blocking_and_close_on_exec)
{
	struct line line;

	line_open(&line, NULL, 0);
	ck_assert_int_eq(fcntl(line.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(line.fd, F_GETFL) & O_NONBLOCK, 0);
	line_close_fd(&line);
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

START_TEST(poll_and_select_tell_what_would_not_block)
{
	struct line line;
	struct pollfd ask;
	struct timeval none = { 0, 0 };
	uint8_t *piece = calloc(1, PIECE_BYTES);
	int waiting;
	fd_set set;

	line_open(&line, NULL, 4096);
	FD_ZERO(&set);
	FD_SET(line.fd, &set);
	ck_assert_int_eq(select(line.fd + 1, &set, NULL, NULL, &none), 0);
	ck_assert_int_eq(ioctl(line.fd, FIONREAD, &waiting), 0);
	ck_assert_int_eq(waiting, 0);
	line_say(&line, "hello");
	FD_SET(line.fd, &set);
	ck_assert_int_eq(select(line.fd + 1, &set, NULL, NULL, NULL), 1);
	line_expect(line.fd, "hello");

	/* The peer reads nothing: not for ever can there be room. */
	ck_assert_int_eq(fcntl(line.fd, F_SETFL, O_NONBLOCK), 0);
	ask = (struct pollfd){ line.fd, POLLOUT, 0 };
	while (poll(&ask, 1, 1000) == 1)
		while (write(line.fd, piece, PIECE_BYTES) > 0)
			;
	peer_reset(line.peer);
	line.peer = -1;
	ask.events = POLLIN;
	ck_assert_int_eq(poll(&ask, 1, -1), 1);
	ck_assert_int_eq(ask.revents & POLLIN, POLLIN);
	line_expect_end(line.fd, ECONNRESET);
	free(piece);
	line_end(&line);
}
END_TEST

/* The byte that always waits at our end must not keep poll from seeing room again. */
START_TEST(poll_sees_room_again_after_the_longest_pieces)
{
	struct peer_frame frame;
	struct line line;
	struct pollfd ask;
	uint8_t *much = calloc(1, 1 << 20);
	size_t left = 0;
	ssize_t n;

	line_open(&line, NULL, 0);
	ck_assert_int_eq(fcntl(line.fd, F_SETFL, O_NONBLOCK), 0);
	ask = (struct pollfd){ line.fd, POLLOUT, 0 };
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(poll(&ask, 1, 20000), 1);
		n = write(line.fd, much, 1 << 20);
		ck_assert_int_gt(n, 0);
		for (left = (size_t)n; left > 0; left -= (size_t)frame.size, peer_frame_clear(&frame))
			ck_assert(peer_read_frame(line.peer, &frame));
	}
	free(much);
	line_close_fd(&line);
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

/* _i: stdio's own buffer, none, or a long one */
START_TEST(fdopen_gives_a_file_with_fileno_and_setvbuf)
{
	static const size_t sizes[] = { BUFSIZ, 0, 1 << 20 };
	struct peer_frame frame;
	struct line line;
	char text[64];
	FILE *file;

	line_open(&line, NULL, 0);
	file = fdopen(line.fd, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fileno(file), line.fd);
	if (_i > 0)
		ck_assert_int_eq(setvbuf(file, NULL, sizes[_i] > 0 ? _IOFBF : _IONBF, sizes[_i]), 0);
	fputs("question\n", file);
	ck_assert_uint_eq(__fpending(file), _i == 1 ? 0 : 9);
	ck_assert_int_eq(fflush(file), 0);
	for (size_t size = 0; size < 9; size += (size_t)frame.size, peer_frame_clear(&frame))
		ck_assert(peer_read_frame(line.peer, &frame));
	line_say(&line, "answer\n");
	ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
	ck_assert_str_eq(text, "answer\n");
	ck_assert_int_eq(fclose(file), 0);
	line.fd = -1;
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

START_TEST(read_timeout_does_not_end_a_silent_connection)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct pollfd ask;
	struct line line;

	options.read_timeout_ms = 1;
	line_open(&line, &options, 0);
	ask = (struct pollfd){ line.fd, POLLIN, 0 };
	ck_assert_int_eq(poll(&ask, 1, 100), 0);
	line_say(&line, "late\n");
	line_expect(line.fd, "late\n");
	line_close_fd(&line);
	line_expect_close(&line, 1000, "", true);
	line_end(&line);
}
END_TEST

/* --- orderly ends --- */

START_TEST(shutdown_sends_close_and_reading_goes_on)
{
	struct line line;
	uint8_t *data;
	size_t size;

	line_open(&line, NULL, 0);
	line_write(line.fd, "question\n", 9);
	ck_assert_int_eq(shutdown(line.fd, SHUT_WR), 0);
	ck_assert_uint_eq(peer_read_until_close(line.peer, &data, &size), 1000);
	ck_assert_str_eq((char *)data, "question\n");
	free(data);
	line_say(&line, "the ");
	line_expect(line.fd, "the ");
	line_say(&line, "answer\n");
	peer_close(line.peer, false, 1000, "");
	line_expect(line.fd, "answer\n");
	line_expect_end(line.fd, 0);
	line_expect_end(line.fd, 0);
	line_end(&line);
}
END_TEST

START_TEST(close_of_the_peer_is_the_end_of_file_and_writing_goes_on)
{
	struct line line;

	line_open(&line, NULL, 0);
	line_say(&line, "question\n");
	peer_close(line.peer, false, 1000, "");
	line_expect(line.fd, "question\n");
	line_expect_end(line.fd, 0);
	line_write(line.fd, "the ", 4);
	line_write(line.fd, "answer\n", 7);
	line_close_fd(&line);
	line_expect_close(&line, 1000, "the answer\n", false);
	line_end(&line);
}
END_TEST

START_TEST(linger_bounds_writing_after_the_close_of_the_peer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct line line;

	options.linger_ms = 50;
	line_open(&line, &options, 0);
	peer_close(line.peer, false, 1000, "");
	line_expect_end(line.fd, 0);
	line_expect_close(&line, 1011, "", false);
	while (send(line.fd, "x", 1, MSG_NOSIGNAL) == 1)
		;
	ck_assert_int_eq(errno, EPIPE);
	line_expect_end(line.fd, 0);
	line_end(&line);
}
END_TEST

START_TEST(much_written_before_close_arrives_whole)
{
	struct line line;
	struct flow flow;
	pthread_t thread;
	uint8_t *data = NULL;
	size_t size = 0;

	line_open(&line, NULL, 4096);
	flow = (struct flow){ line.fd, NULL, 8 << 20 };
	peer_thread(&thread, flow_out, &flow);
	ck_assert_uint_eq(peer_read_until_close(line.peer, &data, &size), 1000);
	peer_join(thread);
	line_close_fd(&line);
	ck_assert_uint_eq(size, 8 << 20);
	ck_assert(wire_pattern_matches(0, data, size));
	free(data);
	peer_close(line.peer, false, 1000, "");
	line_end(&line);
}
END_TEST

/* Written and closed before the peer has read anything, with data of the peer's that nobody will read. */
START_TEST(early_close_loses_nothing_that_was_written)
{
	struct line line;
	uint8_t *data = malloc(300000), *got = NULL;
	size_t size = 0;

	line_open(&line, NULL, 4096);
	line_say(&line, "first\nnever read\n");
	line_expect(line.fd, "first\n");
	wire_pattern(0, data, 300000);
	line_write(line.fd, data, 300000);
	line_close_fd(&line);
	line_say(&line, "never read either\n");
	ck_assert_uint_eq(peer_read_until_close(line.peer, &got, &size), 1000);
	ck_assert_uint_eq(size, 300000);
	ck_assert(wire_pattern_matches(0, got, size));
	free(got);
	free(data);
	line_say(&line, "nor this\n");
	peer_close(line.peer, false, 1000, "");
	peer_fin(line.peer);
	ck_assert(peer_at_end(line.peer));
	line_end(&line);
}
END_TEST

/* _i: the peer reads our Close and does not answer; it reads nothing, and all buffers are full */
START_TEST(close_timeout_bounds_a_peer_that_does_not_answer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct line line;
	uint8_t *data = calloc(1, PIECE_BYTES);
	struct pollfd ask;

	options.close_timeout_ms = 100;
	line_open(&line, &options, 4096);
	ask = (struct pollfd){ line.fd, POLLOUT, 0 };
	if (_i == 1) {
		ck_assert_int_eq(fcntl(line.fd, F_SETFL, O_NONBLOCK), 0);
		while (poll(&ask, 1, 500) == 1)
			while (write(line.fd, data, PIECE_BYTES) > 0)
				;
	}
	line_close_fd(&line);
	if (_i == 0)
		ck_assert_uint_eq(peer_read_until_close(line.peer, NULL, NULL), 1000);
	else
		while (peer_recv(line.peer, data, PIECE_BYTES) == PIECE_BYTES)
			;
	ck_assert(peer_at_end(line.peer));
	free(data);
	line_end(&line);
}
END_TEST

/* It sends on and on, and never closes. */
START_TEST(close_timeout_bounds_a_peer_that_talks)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct line line;
	char text[1000] = "";

	options.close_timeout_ms = 100;
	line_open(&line, &options, 0);
	line_say(&line, "hello");
	line_expect(line.fd, "hello");
	line_close_fd(&line);
	while (peer_try_frame(line.peer, PEER_BINARY, false, text, sizeof text))
		;
	line_end(&line);
}
END_TEST

/* --- other ends --- */

enum breakage { RESET, FIN, BAD_FRAME, TEXT, ABNORMAL_CLOSE, UNFINISHED, BREAKAGES };

static void break_it(struct line *line, enum breakage how)
{
	peer_wait_sent(line->peer);
	switch (how) {
	case RESET:
		peer_reset(line->peer);
		line->peer = -1;
		break;
	case FIN:
		peer_fin(line->peer);
		break;
	case BAD_FRAME:
		peer_frame(line->peer, 0xf2, false, "x", 1);
		break;
	case TEXT:
		peer_frame(line->peer, PEER_TEXT, false, "x", 1);
		break;
	case ABNORMAL_CLOSE:
		peer_close(line->peer, false, 1011, "");
		break;
	case UNFINISHED:
		peer_send(line->peer, "\x82\x05""ab", 4);
		peer_fin(line->peer);
		break;
	default:
		ck_abort();
	}
}

/* _i: breakage, then whether the program reads before, or only when all buffers of ours are in use */
START_TEST(whatever_else_ends_it_is_a_reset_behind_all_data)
{
	enum breakage how = (enum breakage)(_i % BREAKAGES);
	bool late = _i >= BREAKAGES;
	struct pollfd ask;
	struct line line;
	uint8_t *data = malloc(700000);
	size_t done = 0;
	ssize_t n;

	line_open(&line, NULL, 0);
	ask = (struct pollfd){ line.fd, POLLHUP, 0 };
	wire_pattern(0, data, 700000);
	if (late) {
		peer_frame(line.peer, PEER_BINARY, false, data, 700000);
		break_it(&line, how);
		ck_assert_int_eq(poll(&ask, 1, 100), 0);
		while (done < 700000 && (n = read(line.fd, data, 700000 - done)) > 0) {
			ck_assert(wire_pattern_matches(done, data, (size_t)n));
			done += (size_t)n;
		}
		ck_assert_uint_eq(done, 700000);
	} else {
		line_say(&line, "some");
		line_expect(line.fd, "some");
		break_it(&line, how);
	}
	if (how == UNFINISHED)
		line_expect(line.fd, "ab");
	line_expect_end(line.fd, ECONNRESET);
	free(data);
	line_end(&line);
}
END_TEST

START_TEST(a_write_does_not_take_the_error_away_from_the_reader)
{
	struct pollfd ask;
	struct line line;

	line_open(&line, NULL, 0);
	line_say(&line, "some");
	peer_wait_sent(line.peer);
	peer_reset(line.peer);
	line.peer = -1;
	ask = (struct pollfd){ line.fd, 0, 0 };
	ck_assert_int_eq(poll(&ask, 1, -1), 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(send(line.fd, "x", 1, MSG_NOSIGNAL), -1);
		ck_assert_int_eq(errno, EPIPE);
	}
	line_expect(line.fd, "some");
	line_expect_end(line.fd, ECONNRESET);
	line_end(&line);
}
END_TEST

START_TEST(program_that_is_in_the_middle_of_a_write_learns_of_the_end)
{
	struct line line;
	uint8_t *data = calloc(1, PIECE_BYTES);

	line_open(&line, NULL, 4096);
	for (int i = 0; i < 5; i++)
		line_write(line.fd, data, PIECE_BYTES);
	peer_reset(line.peer);
	line.peer = -1;
	while (send(line.fd, data, PIECE_BYTES, MSG_NOSIGNAL) > 0)
		;
	ck_assert_int_eq(errno, EPIPE);
	line_expect_end(line.fd, ECONNRESET);
	free(data);
	line_end(&line);
}
END_TEST

START_TEST(write_timeout_ends_both_directions)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct line line;
	uint8_t *data = calloc(1, PIECE_BYTES);

	options.write_timeout_ms = 100;
	options.close_timeout_ms = 100;
	line_open(&line, &options, 4096);
	while (send(line.fd, data, PIECE_BYTES, MSG_NOSIGNAL) > 0)
		;
	ck_assert_int_eq(errno, EPIPE);
	peer_close(line.peer, false, 1000, "");
	line_expect_end(line.fd, ECONNRESET);
	free(data);
	line_end(&line);
}
END_TEST

START_TEST(bad_text_is_not_sent_and_is_no_clean_end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct line line;

	options.text_frames = true;
	line_open(&line, &options, 0);
	line_write(line.fd, "gr\xc3\xbc\xff", 5);
	ck_assert_uint_eq(peer_read_until_close(line.peer, NULL, NULL), 1011);
	peer_close(line.peer, false, 1000, "");
	line_expect_end(line.fd, ECONNRESET);
	line_end(&line);
}
END_TEST

/* --- many, and bad input --- */

#define MANY 100

START_TEST(a_hundred_at_once_leave_nothing_behind)
{
	static struct line line[MANY];
	char text[16];

	peer_count_begin();
	for (int i = 0; i < MANY; i++)
		line_join(&line[i], NULL, 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "number %d\n", i);
		line_say(&line[i], text);
		line_write(line[i].fd, text, strlen(text));
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "number %d\n", i);
		line_expect(line[i].fd, text);
		line_close_fd(&line[i]);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof text, "number %d\n", i);
		line_expect_close(&line[i], 1000, text, true);
		line_part(&line[i]);
	}
	peer_count_end();
}
END_TEST

static void expect_failure(const char *url, const struct ws_options *options, int error)
{
	errno = 0;
	ck_assert_int_eq(ws_socket(url, options), -1);
	ck_assert_msg(errno == error, "%s: %s", url != NULL ? url : "NULL", strerror(errno));
	ck_assert_int_eq(ws_last_error()->error, error);
	ck_assert_str_ne(ws_last_error()->text, "");
}

START_TEST(bad_input_is_refused_and_leaves_nothing_behind)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char url[64];
	unsigned port;
	int listener;

	peer_count_begin();
	expect_failure(NULL, NULL, EINVAL);
	expect_failure("", NULL, EINVAL);
	expect_failure("http://127.0.0.1/", NULL, EINVAL);
	expect_failure("ws://127.0.0.1:65536/", NULL, EINVAL);
	options.close_timeout_ms = -2;
	expect_failure("ws://127.0.0.1:9/", &options, EINVAL);
	listener = peer_listen(&port);
	ck_assert_int_eq(close(listener), 0);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	expect_failure(url, NULL, ECONNREFUSED);
	peer_count_end();
}
END_TEST

/* In a process of its own, with descriptors enough: one connection. Exits 0 when our Close came. */
static pid_t serve_one(int listener)
{
	pid_t pid = fork();
	unsigned code;
	int fd;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	fd = peer_accept(listener);
	free(peer_serve_handshake(fd));
	code = peer_read_until_close(fd, NULL, NULL);
	peer_close(fd, false, 1000, "");
	_exit(code == 1000 ? 0 : 1);
}

/* Each number of descriptors that is left, until it is enough. */
START_TEST(lack_of_descriptors_is_told_and_leaves_nothing_behind)
{
	struct rlimit limit, before;
	int fd = -1, free_fd, listener, failures = 0, status;
	unsigned port;
	char url[64];
	pid_t pid;

	listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	pid = serve_one(listener);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	free_fd = dup(0);
	ck_assert_int_eq(close(free_fd), 0);
	for (rlim_t n = (rlim_t)free_fd; fd < 0; n++) {
		peer_count_begin();
		limit = (struct rlimit){ n, before.rlim_max };
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		errno = 0;
		fd = ws_socket(url, NULL);
		ck_assert_msg(fd >= 0 || errno == EMFILE, "%s", strerror(errno));
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (fd >= 0)
			ck_assert_int_eq(close(fd), 0);
		else
			failures++;
		peer_count_end();
	}
	ck_assert_int_ge(failures, 3);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(close(listener), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("descriptor");
	TCase *data = wire_case(suite, "data"), *ends = wire_case(suite, "ends");
	TCase *other = wire_case(suite, "other ends"), *rest = wire_case(suite, "rest");

	tcase_add_test(data, bytes_go_both_ways_at_once);
	tcase_add_test(data, single_bytes_go_there_and_back);
	tcase_add_test(data, descriptor_is_blocking_and_close_on_exec);
	tcase_add_test(data, poll_and_select_tell_what_would_not_block);
	tcase_add_test(data, poll_sees_room_again_after_the_longest_pieces);
	tcase_add_loop_test(data, fdopen_gives_a_file_with_fileno_and_setvbuf, 0, 3);
	tcase_add_test(data, read_timeout_does_not_end_a_silent_connection);

	tcase_add_test(ends, shutdown_sends_close_and_reading_goes_on);
	tcase_add_test(ends, close_of_the_peer_is_the_end_of_file_and_writing_goes_on);
	tcase_add_test(ends, linger_bounds_writing_after_the_close_of_the_peer);
	tcase_add_test(ends, much_written_before_close_arrives_whole);
	tcase_add_test(ends, early_close_loses_nothing_that_was_written);
	tcase_add_loop_test(ends, close_timeout_bounds_a_peer_that_does_not_answer, 0, 2);
	tcase_add_test(ends, close_timeout_bounds_a_peer_that_talks);

	tcase_add_loop_test(other, whatever_else_ends_it_is_a_reset_behind_all_data, 0, BREAKAGES * 2);
	tcase_add_test(other, a_write_does_not_take_the_error_away_from_the_reader);
	tcase_add_test(other, program_that_is_in_the_middle_of_a_write_learns_of_the_end);
	tcase_add_test(other, write_timeout_ends_both_directions);
	tcase_add_test(other, bad_text_is_not_sent_and_is_no_clean_end);

	tcase_add_test(rest, a_hundred_at_once_leave_nothing_behind);
	tcase_add_test(rest, bad_input_is_refused_and_leaves_nothing_behind);
	tcase_add_test(rest, lack_of_descriptors_is_told_and_leaves_nothing_behind);
	return wire_run(suite);
}
