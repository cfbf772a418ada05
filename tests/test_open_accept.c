/* SPDX-License-Identifier: 0BSD */
/* From a good handshake to an accepted stream: order, threads, slow clients, the end of the listener, headers. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define REQUEST "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static struct ws_listener *listen_with(const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

static FILE *accept_one(struct ws_listener *listener)
{
	FILE *stream = ws_accept(listener, "r+");

	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	return stream;
}

/* A raw client that is through its handshake. */
static int join(unsigned port)
{
	int fd = peer_connect(port);

	peer_client_handshake(fd, port, "/", "");
	return fd;
}

/* The peer's half of an orderly end that the library begins. Returns the code of the library's Close. */
static unsigned leave(int fd)
{
	unsigned code = peer_read_until_close(fd, NULL, NULL);

	if (code != 0)
		peer_close(fd, true, code == 1005 ? 0 : code, NULL);
	peer_at_end(fd);
	close(fd);
	return code;
}

static void *leave_thread(void *argument)
{
	ck_assert_uint_eq(leave(*(int *)argument), 1000);
	return NULL;
}

static void end(FILE *stream, int fd)
{
	pthread_t thread;

	peer_thread(&thread, leave_thread, &fd);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(thread);
}

START_TEST(frames_right_behind_the_request_are_not_lost)
{
	static const struct duo_piece hello = DUO_PIECE(0x82, "hello"), goodbye = DUO_PIECE(0x88, "\x03\xe8");
	struct duo_bytes bytes = { NULL, 0, 0 };
	struct ws_listener *listener;
	char data[16], *answer;
	unsigned port;
	FILE *stream;
	int fd, way;
	size_t i;

	peer_count_begin();
	listener = listen_with(NULL, &port);
	duo_append(&bytes, REQUEST, sizeof REQUEST - 1);
	duo_put(&bytes, true, &hello);
	duo_put(&bytes, true, &goodbye);
	for (way = 0; way < 2; way++) {
		fd = peer_connect(port);
		for (i = 0; way == 1 && i < bytes.size; i++)
			peer_send(fd, bytes.data + i, 1);
		answer = peer_client_raw(fd, (const char *)bytes.data, way == 0 ? bytes.size : 0);
		ck_assert_int_eq(strncmp(answer, "HTTP/1.1 101 ", 13), 0);
		free(answer);
		stream = accept_one(listener);
		ck_assert_uint_eq(fread(data, 1, sizeof data, stream), 5);
		ck_assert_mem_eq(data, "hello", 5);
		ck_assert_int_ne(feof(stream), 0);
		end(stream, fd);
	}
	duo_clear(&bytes);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- clients that don't get on --- */

/* Give a slow client's next byte every now and then until the listener has had enough of it. */
static char *dawdle(int fd)
{
	static const char request[] = REQUEST;
	struct pollfd answer = { fd, POLLIN, 0 };
	size_t i = 0;

	while (poll(&answer, 1, 20) == 0) {
		ck_assert_uint_lt(i, sizeof request - 3);
		if (!peer_try_send(fd, request + i++, 1))
			break;
	}
	return peer_client_raw(fd, "", 0);
}

static void check_dropped(char *answer)
{
	ck_assert_msg(*answer == '\0' || strncmp(answer, "HTTP/1.1 408 ", 13) == 0, "answered: %s", answer);
	free(answer);
}

START_TEST(a_slow_client_is_dropped_and_others_are_served)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	int silent, slow, good;
	unsigned port;
	FILE *stream;
	char line[16];

	peer_count_begin();
	options.handshake_timeout_ms = 300;
	listener = listen_with(&options, &port);
	silent = peer_connect(port);
	slow = peer_connect(port);
	peer_send(slow, "G", 1);
	good = join(port);
	stream = accept_one(listener);
	check_dropped(peer_client_raw(silent, "", 0));
	close(silent);
	/* The time is up for this one too, or nearly; a new one that dawdles gets no more of it for its bytes. */
	check_dropped(peer_client_raw(slow, "", 0));
	close(slow);
	slow = peer_connect(port);
	check_dropped(dawdle(slow));
	close(slow);
	/* Long after its own handshake, the good one is unharmed. */
	peer_frame(good, PEER_BINARY, true, "still here\n", 11);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	ck_assert_str_eq(line, "still here\n");
	end(stream, good);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- headers and subprotocols --- */

static const struct {
	const char *accepted[4], *offered[4], *agreed;
} negotiations[] = {
	{ { "b", "a", NULL }, { "a", "b", NULL }, "b" },
	{ { "a", NULL }, { "z", "a", NULL }, "a" },
	{ { "x", "y", NULL }, { "a", "b", NULL }, "" },
	{ { NULL }, { "a", "b", NULL }, "" },
	{ { "a", NULL }, { NULL }, "" },
	{ { "A", NULL }, { "a", NULL }, "" },
};

START_TEST(the_servers_best_offered_subprotocol_is_agreed)
{
	struct ws_options options = WS_OPTIONS_INIT, offer = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	FILE *client, *server;
	unsigned port;

	peer_count_begin();
	options.subprotocols = (const char *const *)negotiations[_i].accepted;
	offer.subprotocols = (const char *const *)negotiations[_i].offered;
	listener = listen_with(&options, &port);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &offer);
	ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
	server = accept_one(listener);
	ck_assert_int_eq(ws_status(client, &status), 0);
	ck_assert_str_eq(status.subprotocol, negotiations[_i].agreed);
	ck_assert_int_eq(ws_status(server, &status), 0);
	ck_assert_str_eq(status.subprotocol, negotiations[_i].agreed);
	ck_assert_int_eq(ws_header(client, "Sec-WebSocket-Protocol") != NULL, *negotiations[_i].agreed != '\0');
	duo_close_both(client, server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void check_no_header(FILE *stream, const char *name, int error)
{
	errno = 0;
	ck_assert_ptr_null(ws_header(stream, name));
	ck_assert_int_eq(errno, error);
}

START_TEST(each_side_sees_the_others_headers)
{
	static const char *const answered[] = { "X-Server: one", "X-Twice: 1", "X-Twice: 2", NULL };
	static const char *const asked[] = { "X-Client: two words", "X-Many: a", "x-many: b", "X-Many: c", NULL };
	struct ws_options options = WS_OPTIONS_INIT, client_options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	FILE *client, *server, *other;
	unsigned port;

	peer_count_begin();
	options.headers = answered;
	client_options.headers = asked;
	client_options.user_agent = "tester/1";
	listener = listen_with(&options, &port);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &client_options);
	ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
	server = accept_one(listener);
	ck_assert_str_eq(ws_header(client, "X-Server"), "one");
	ck_assert_str_eq(ws_header(client, "x-sERVER"), "one");
	ck_assert_str_eq(ws_header(client, "X-Twice"), "1, 2");
	check_no_header(client, "X-Client", ENOENT);
	ck_assert_str_eq(ws_header(server, "X-Client"), "two words");
	ck_assert_str_eq(ws_header(server, "X-Many"), "a, b, c");
	ck_assert_str_eq(ws_header(server, "User-Agent"), "tester/1");
	ck_assert_ptr_nonnull(ws_header(server, "Host"));
	check_no_header(server, "X-Server", ENOENT);
	check_no_header(server, "Origin", ENOENT);
	other = tmpfile();
	ck_assert_ptr_nonnull(other);
	check_no_header(other, "Host", EBADF);
	fclose(other);
	duo_close_both(client, server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(both_sides_know_their_addresses)
{
	struct ws_status client_status = WS_STATUS_INIT, server_status = WS_STATUS_INIT;
	struct ws_listener *listener;
	FILE *client, *server;
	unsigned port;
	char address[64];

	peer_count_begin();
	listener = listen_with(NULL, &port);
	client = ws_fopen(ws_listener_url(listener), "r+");
	ck_assert_msg(client != NULL, "%s", ws_last_error()->text);
	server = accept_one(listener);
	ck_assert_int_eq(ws_status(client, &client_status), 0);
	ck_assert_int_eq(ws_status(server, &server_status), 0);
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	ck_assert_str_eq(client_status.peer_address, address);
	ck_assert_str_eq(server_status.local_address, address);
	ck_assert_str_eq(client_status.local_address, server_status.peer_address);
	ck_assert_int_eq(server_status.http_status, 101);
	duo_close_both(client, server);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_bad_mode_takes_no_connection)
{
	struct ws_listener *listener;
	unsigned port;
	char line[16];
	FILE *stream;
	int fd;

	peer_count_begin();
	listener = listen_with(NULL, &port);
	fd = join(port);
	errno = 0;
	ck_assert_ptr_null(ws_accept(listener, "a"));
	ck_assert_int_eq(errno, EINVAL);
	errno = 0;
	ck_assert_ptr_null(ws_accept(listener, NULL));
	ck_assert_int_eq(errno, EINVAL);
	stream = accept_one(listener);
	peer_frame(fd, PEER_BINARY, true, "here\n", 5);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	ck_assert_str_eq(line, "here\n");
	end(stream, fd);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- many --- */

START_TEST(connections_are_accepted_in_order)
{
	enum { CLIENTS = 12 };
	struct ws_listener *listener;
	FILE *streams[CLIENTS];
	int fds[CLIENTS], i;
	unsigned port;
	char line[16];

	peer_count_begin();
	listener = listen_with(NULL, &port);
	for (i = 0; i < CLIENTS; i++)
		fds[i] = join(port);
	for (i = 0; i < CLIENTS; i++)
		streams[i] = accept_one(listener);
	for (i = CLIENTS - 1; i >= 0; i--) {
		snprintf(line, sizeof line, "%d\n", i);
		peer_frame(fds[i], PEER_BINARY, true, line, strlen(line));
	}
	for (i = 0; i < CLIENTS; i++) {
		ck_assert_ptr_nonnull(fgets(line, sizeof line, streams[i]));
		ck_assert_int_eq(strtol(line, NULL, 10), i);
		end(streams[i], fds[i]);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

struct visitor {
	unsigned port;
	int number;
};

/* Says its number and must hear it again. */
static void *visit(void *argument)
{
	const struct visitor *visitor = argument;
	int fd = join(visitor->port);
	char line[16];
	uint8_t *data;
	size_t size;

	snprintf(line, sizeof line, "%d\n", visitor->number);
	peer_frame(fd, PEER_BINARY, true, line, strlen(line));
	ck_assert_uint_eq(peer_read_until_close(fd, &data, &size), 1000);
	ck_assert_uint_eq(size, strlen(line));
	ck_assert_mem_eq(data, line, size);
	free(data);
	peer_close(fd, true, 1000, NULL);
	peer_at_end(fd);
	close(fd);
	return NULL;
}

/* Answer a visitor. Returns its number. */
static int answer(FILE *stream)
{
	char line[16];
	int number;

	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	number = (int)strtol(line, NULL, 10);
	fputs(line, stream);
	ck_assert_int_eq(fclose(stream), 0);
	return number;
}

START_TEST(two_hundred_at_once_come_through_a_backlog_of_four)
{
	enum { CLIENTS = 200 };
	static struct visitor visitors[CLIENTS];
	static pthread_t threads[CLIENTS];
	static bool seen[CLIENTS];
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	unsigned port;
	int i, number;

	peer_count_begin();
	options.backlog = 4;
	listener = listen_with(&options, &port);
	for (i = 0; i < CLIENTS; i++) {
		visitors[i].port = port;
		visitors[i].number = i;
		peer_thread(&threads[i], visit, &visitors[i]);
	}
	for (i = 0; i < CLIENTS; i++) {
		number = answer(accept_one(listener));
		ck_assert_int_ge(number, 0);
		ck_assert_int_lt(number, CLIENTS);
		ck_assert_msg(!seen[number], "%d was accepted twice", number);
		seen[number] = true;
	}
	for (i = 0; i < CLIENTS; i++)
		peer_join(threads[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- several threads, and the end of the listener --- */

struct acceptor {
	struct ws_listener *listener;
	pthread_t thread;
	_Atomic long tid;		/* set while it is about to wait or waits in ws_accept, else 0 */
	int served[64];			/* by number of the visitor */
	int error;			/* of the ws_accept that failed */
};

static void *accept_until_closed(void *argument)
{
	struct acceptor *acceptor = argument;
	FILE *stream;

	for (;;) {
		atomic_store(&acceptor->tid, syscall(SYS_gettid));
		stream = ws_accept(acceptor->listener, "r+");
		if (stream == NULL)
			break;
		atomic_store(&acceptor->tid, 0);
		acceptor->served[answer(stream)]++;
	}
	acceptor->error = errno;
	return NULL;
}

/* The thread's state and how often it has gone to sleep; false while it has no tid. */
static bool look(const struct acceptor *acceptor, char *state, unsigned long *sleeps)
{
	long tid = atomic_load(&acceptor->tid);
	char path[64], line[256];
	FILE *file;

	*state = '?';
	*sleeps = 0;
	if (tid == 0)
		return false;
	snprintf(path, sizeof path, "/proc/self/task/%ld/status", tid);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof line, file) != NULL) {
		sscanf(line, "State: %c", state);
		sscanf(line, "voluntary_ctxt_switches: %lu", sleeps);
	}
	fclose(file);
	return true;
}

/*
 * Wait until the thread sleeps in ws_accept: asleep at every look of a row, without having woken in between. The kernel
 * has no event for that, and the listener may not be closed before.
 */
static void wait_until_it_waits(const struct acceptor *acceptor)
{
	const struct timespec pause = { 0, 2000000 };
	unsigned long sleeps, before = 0;
	int looks, quiet = 0;
	char state;

	for (looks = 0; quiet < 5; looks++) {
		ck_assert_msg(looks < 10000, "the thread never waits in ws_accept");
		quiet = look(acceptor, &state, &sleeps) && state == 'S' && sleeps == before ? quiet + 1 : 0;
		before = sleeps;
		nanosleep(&pause, NULL);
	}
}

START_TEST(several_threads_accept_and_are_let_go)
{
	enum { THREADS = 4, CLIENTS = 40 };
	static struct acceptor acceptors[THREADS];
	struct visitor visitor;
	struct ws_listener *listener;
	int i, j, total;

	peer_count_begin();
	listener = listen_with(NULL, &visitor.port);
	for (i = 0; i < THREADS; i++) {
		acceptors[i].listener = listener;
		peer_thread(&acceptors[i].thread, accept_until_closed, &acceptors[i]);
	}
	for (visitor.number = 0; visitor.number < CLIENTS; visitor.number++)
		visit(&visitor);
	for (i = 0; i < THREADS; i++)
		wait_until_it_waits(&acceptors[i]);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	for (i = 0; i < THREADS; i++) {
		peer_join(acceptors[i].thread);
		ck_assert_msg(acceptors[i].error == EBADF, "%s", strerror(acceptors[i].error));
	}
	for (j = 0; j < CLIENTS; j++) {
		for (total = 0, i = 0; i < THREADS; i++)
			total += acceptors[i].served[j];
		ck_assert_int_eq(total, 1);
	}
	peer_count_end();
}
END_TEST

START_TEST(the_listeners_end_closes_what_was_not_accepted)
{
	struct ws_listener *listener;
	int accepted, waiting[3], half_way, i;
	unsigned port;
	FILE *stream;
	char line[16];

	peer_count_begin();
	listener = listen_with(NULL, &port);
	accepted = join(port);
	stream = accept_one(listener);
	for (i = 0; i < COUNT(waiting); i++)
		waiting[i] = join(port);
	half_way = peer_connect(port);
	peer_send(half_way, REQUEST, 10);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	for (i = 0; i < COUNT(waiting); i++)
		ck_assert_uint_eq(leave(waiting[i]), 1001);
	/* No handshake, no Close: an answer or the end of TCP. */
	free(peer_client_raw(half_way, "", 0));
	close(half_way);
	peer_frame(accepted, PEER_BINARY, true, "unharmed\n", 9);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, stream));
	ck_assert_str_eq(line, "unharmed\n");
	end(stream, accepted);
	peer_count_end();
}
END_TEST

START_TEST(a_closed_listener_leaves_its_port_free)
{
	struct ws_listener *listener;
	unsigned port, again;
	char url[64];
	FILE *stream;
	int fd;

	peer_count_begin();
	listener = listen_with(NULL, &port);
	fd = join(port);
	stream = accept_one(listener);
	snprintf(url, sizeof url, "%s", ws_listener_url(listener));
	ck_assert_int_eq(ws_listener_close(listener), 0);
	duo_expect_failure(url, "r+", NULL, ECONNREFUSED);
	/* An accepted connection of the old listener does not keep a new one from the port. */
	listener = ws_listen(url, NULL);
	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	again = peer_url_port(ws_listener_url(listener));
	ck_assert_uint_eq(again, port);
	end(stream, fd);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open_accept");
	TCase *tcase = tcase_create("accepted");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, frames_right_behind_the_request_are_not_lost);
	tcase_add_test(tcase, a_slow_client_is_dropped_and_others_are_served);
	tcase_add_loop_test(tcase, the_servers_best_offered_subprotocol_is_agreed, 0, COUNT(negotiations));
	tcase_add_test(tcase, each_side_sees_the_others_headers);
	tcase_add_test(tcase, both_sides_know_their_addresses);
	tcase_add_test(tcase, a_bad_mode_takes_no_connection);
	tcase_add_test(tcase, connections_are_accepted_in_order);
	tcase_add_test(tcase, two_hundred_at_once_come_through_a_backlog_of_four);
	tcase_add_test(tcase, several_threads_accept_and_are_let_go);
	tcase_add_test(tcase, the_listeners_end_closes_what_was_not_accepted);
	tcase_add_test(tcase, a_closed_listener_leaves_its_port_free);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
