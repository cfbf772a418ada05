/* SPDX-License-Identifier: 0BSD */
/* The library's own threads, one and several, and the limit of descriptors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "peer.h"
#include "wire.h"
#include "wsfile.h"

#define PAIRS 9
#define TASKS_MAX 80
#define WAIT_MS 20000

/* --- threads of this process --- */

struct tasks {
	long tid[TASKS_MAX];
	int count;
};

static struct tasks tasks_now(void)
{
	struct tasks tasks = { .count = 0 };
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)) != NULL && tasks.count < TASKS_MAX)
		if (entry->d_name[0] != '.')
			tasks.tid[tasks.count++] = strtol(entry->d_name, NULL, 10);
	closedir(directory);
	return tasks;
}

/* How often a thread has gone to sleep. */
static long sleeps_of(long tid)
{
	static const char name[] = "voluntary_ctxt_switches:";
	char path[64], line[128];
	long count = -1;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%ld/status", tid);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof line, file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			count = strtol(line + strlen(name), NULL, 10);
	fclose(file);
	ck_assert(count >= 0);
	return count;
}

static void moment(void)
{
	const struct timespec time = { .tv_nsec = 5000000 };

	nanosleep(&time, NULL);
}

static void expect_helpers(const struct tasks *before, int helpers)
{
	struct tasks now = { .count = 0 };

	for (int waited = 0; waited < WAIT_MS; waited += 5) {
		now = tasks_now();
		if (now.count == before->count + helpers)
			return;
		moment();
	}
	ck_abort_msg("%d threads of the library, not %d", now.count - before->count, helpers);
}

/* --- connections --- */

struct pair {
	FILE *near, *far;
};

static struct ws_listener *listen_with(unsigned helpers)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	options.helper_threads = helpers;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	return listener;
}

static struct pair connect_with(struct ws_listener *listener, unsigned helpers)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct pair pair;

	options.helper_threads = helpers;
	pair.near = ws_fopen_with(ws_listener_url(listener), "r+", &options);
	ck_assert_msg(pair.near != NULL, "%s", ws_last_error()->text);
	pair.far = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(pair.far);
	return pair;
}

static void greet(struct pair *pair)
{
	fputs("there\n", pair->near);
	ck_assert_int_eq(fflush(pair->near), 0);
	wire_expect_line(pair->far, "there\n");
	fputs("and back\n", pair->far);
	ck_assert_int_eq(fflush(pair->far), 0);
	wire_expect_line(pair->near, "and back\n");
}

static void *close_it(void *stream)
{
	ck_assert_int_eq(fclose(stream), 0);
	return NULL;
}

static void part(struct pair *pair)
{
	pthread_t thread;

	peer_thread(&thread, close_it, pair->far);
	ck_assert_int_eq(fclose(pair->near), 0);
	peer_join(thread);
}

/* --- several helpers --- */

/* What comes for a stream that nobody reads at the moment is received by its helper. */
static void send_to_all(struct pair *pairs)
{
	struct ws_status status = WS_STATUS_INIT;
	uint64_t before;

	for (int i = 0; i < PAIRS; i++) {
		ck_assert_int_eq(ws_status(pairs[i].far, &status), 0);
		before = status.bytes_received;
		fputs("unread\n", pairs[i].near);
		ck_assert_int_eq(fflush(pairs[i].near), 0);
		wire_wait_received(pairs[i].far, before + 7);
	}
}

START_TEST(the_streams_of_a_listener_are_spread_over_all_helpers)
{
	struct tasks before, now;
	struct pair pairs[PAIRS];
	struct ws_listener *listener;
	long sleeps[TASKS_MAX];
	int waited;

	peer_count_begin();
	before = tasks_now();
	listener = listen_with(3);
	expect_helpers(&before, 3);
	for (int i = 0; i < PAIRS; i++) {
		pairs[i] = connect_with(listener, 0);
		greet(&pairs[i]);
	}
	now = tasks_now();
	for (int i = 0; i < now.count; i++)
		sleeps[i] = sleeps_of(now.tid[i]);
	send_to_all(pairs);
	for (int i = before.count; i < now.count; i++) {
		for (waited = 0; waited < WAIT_MS && sleeps_of(now.tid[i]) == sleeps[i]; waited += 5)
			moment();
		ck_assert_msg(waited < WAIT_MS, "helper %d has slept through it", i - before.count);
	}
	for (int i = 0; i < PAIRS; i++) {
		wire_expect_line(pairs[i].far, "unread\n");
		part(&pairs[i]);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(helpers_become_more_while_streams_are_open_and_end_with_the_last)
{
	struct tasks before;
	struct pair pairs[3];
	struct ws_listener *listener;

	peer_count_begin();
	before = tasks_now();
	listener = listen_with(1);
	expect_helpers(&before, 1);
	pairs[0] = connect_with(listener, 0);
	expect_helpers(&before, 1);
	pairs[1] = connect_with(listener, 4);
	expect_helpers(&before, 4);
	pairs[2] = connect_with(listener, 2);
	expect_helpers(&before, 4);
	for (int i = 0; i < 3; i++)
		greet(&pairs[i]);
	ws_listener_close(listener);
	part(&pairs[1]);
	greet(&pairs[0]);
	part(&pairs[0]);
	expect_helpers(&before, 4);
	greet(&pairs[2]);
	part(&pairs[2]);
	expect_helpers(&before, 0);
	listener = listen_with(0);
	expect_helpers(&before, 1);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(the_environment_says_how_many_where_the_options_do_not)
{
	static const struct {
		const char *text;
		unsigned option;
		int helpers;
	} table[] = {
		{ NULL, 0, 1 }, { "2", 0, 2 }, { "3", 1, 1 }, { "1", 2, 2 }, { "64", 0, 64 },
		{ "0", 0, 1 }, { "65", 0, 1 }, { "-2", 0, 1 }, { "+2", 0, 1 }, { " 2", 0, 1 }, { "2 ", 0, 1 },
		{ "two", 0, 1 }, { "", 0, 1 }, { "2x", 0, 1 }, { "18446744073709551618", 0, 1 },
	};
	struct ws_listener *listener;
	struct tasks before;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		peer_count_begin();
		before = tasks_now();
		if (table[i].text != NULL)
			ck_assert_int_eq(setenv("WSFILE_HELPERS", table[i].text, 1), 0);
		listener = listen_with(table[i].option);
		expect_helpers(&before, table[i].helpers);
		ws_listener_close(listener);
		peer_count_end();
	}
}
END_TEST

struct crowd {
	struct ws_listener *listener;
	unsigned helpers;
};

#define CROWD 4
#define ROUNDS 25

static void *come_and_go(void *argument)
{
	const struct crowd *crowd = argument;
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	options.helper_threads = crowd->helpers;
	for (int i = 0; i < ROUNDS; i++) {
		stream = ws_fopen_with(ws_listener_url(crowd->listener), "r+", &options);
		ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
		fputs("hello\n", stream);
		ck_assert_int_eq(fflush(stream), 0);
		wire_expect_line(stream, "hello\n");
		ck_assert_int_eq(fclose(stream), 0);
	}
	return NULL;
}

static void *echo_lines(void *argument)
{
	char line[64];
	FILE *stream;

	for (int i = 0; i < ROUNDS; i++) {
		stream = ws_accept(argument, "r+");
		ck_assert_ptr_nonnull(stream);
		while (fgets(line, sizeof line, stream) != NULL) {
			fputs(line, stream);
			ck_assert_int_eq(fflush(stream), 0);
		}
		ck_assert(!ferror(stream));
		ck_assert_int_eq(fclose(stream), 0);
	}
	return NULL;
}

START_TEST(streams_come_and_go_from_many_threads_while_helpers_become_more)
{
	struct crowd crowds[CROWD];
	pthread_t clients[CROWD], servers[CROWD];
	struct ws_listener *listener;

	peer_count_begin();
	listener = listen_with(2);
	for (unsigned i = 0; i < CROWD; i++) {
		crowds[i] = (struct crowd){ listener, i + 1 };
		peer_thread(&servers[i], echo_lines, listener);
		peer_thread(&clients[i], come_and_go, &crowds[i]);
	}
	for (int i = 0; i < CROWD; i++) {
		peer_join(clients[i]);
		peer_join(servers[i]);
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- descriptors --- */

static int lowest_free_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	close(fd);
	return fd;
}

static void limit_descriptors(int limit)
{
	struct rlimit before;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	before.rlim_cur = (rlim_t)limit;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void expect_advice(int limit)
{
	char text[64];

	snprintf(text, sizeof text, "no descriptor left (limit %d)", limit);
	ck_assert_int_eq(errno, EMFILE);
	ck_assert_int_eq(ws_last_error()->error, EMFILE);
	ck_assert_msg(strstr(ws_last_error()->text, text) != NULL, "%s", ws_last_error()->text);
	ck_assert_msg(strstr(ws_last_error()->text, "ulimit -n") != NULL, "%s", ws_last_error()->text);
}

/* Each time one descriptor more, so that every one of those that an opener needs is once the one that is missing. */
START_TEST(an_opener_without_descriptors_says_what_to_do)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener = NULL;
	unsigned port;
	char url[64];
	int base, limit, silent = peer_listen(&port);

	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	options.handshake_timeout_ms = 50;
	peer_count_begin();
	base = lowest_free_descriptor();
	for (limit = base;; limit++) {
		limit_descriptors(limit);
		ck_assert_ptr_null(ws_fopen_with(url, "r", &options));
		if (ws_last_error()->error == ETIMEDOUT)
			break;
		expect_advice(limit);
	}
	ck_assert_int_ge(limit, base + 3);
	for (limit = base;; limit++) {
		limit_descriptors(limit);
		listener = ws_listen("ws://127.0.0.1:0/", NULL);
		if (listener != NULL)
			break;
		expect_advice(limit);
	}
	ck_assert_int_ge(limit, base + 3);
	limit = lowest_free_descriptor();
	limit_descriptors(limit);
	ck_assert_ptr_null(ws_fopen_with(url, "r", &options));
	expect_advice(limit);
	limit_descriptors(limit + 20);
	ws_listener_close(listener);
	peer_count_end();
	close(silent);
}
END_TEST

START_TEST(a_limit_raised_behind_the_first_stream_counts)
{
	struct pair pairs[PAIRS + 20];
	struct ws_listener *listener;
	int base;

	peer_count_begin();
	base = lowest_free_descriptor();
	limit_descriptors(base + 16);
	listener = listen_with(2);
	pairs[0] = connect_with(listener, 0);
	greet(&pairs[0]);
	limit_descriptors(base + 200);
	for (int i = 1; i < PAIRS + 20; i++)
		pairs[i] = connect_with(listener, 0);
	for (int i = 0; i < PAIRS + 20; i++)
		greet(&pairs[i]);
	ck_assert_int_gt(lowest_free_descriptor(), base + 16);
	for (int i = 0; i < PAIRS + 20; i++)
		part(&pairs[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* The one listening socket of this process. */
static int listening_socket(void)
{
	int on;
	socklen_t size;

	for (int fd = 0; fd < 256; fd++) {
		on = 0;
		size = sizeof on;
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on != 0)
			return fd;
	}
	ck_abort_msg("no listening socket");
	return -1;
}

/* Another listener keeps the helper, and with it what its queue may still hold, until the end. */
START_TEST(a_listener_whose_socket_broke_can_be_closed)
{
	struct ws_listener *broken, *keeper;

	peer_count_begin();
	broken = listen_with(1);
	ck_assert_int_eq(shutdown(listening_socket(), SHUT_RDWR), 0);
	keeper = listen_with(1);
	errno = 0;
	ck_assert_ptr_null(ws_accept(broken, "r+"));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(ws_listener_close(broken), 0);
	ck_assert_int_eq(ws_listener_close(keeper), 0);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helpers");
	TCase *tcase = wire_case(suite, "threads");

	tcase_add_test(tcase, the_streams_of_a_listener_are_spread_over_all_helpers);
	tcase_add_test(tcase, helpers_become_more_while_streams_are_open_and_end_with_the_last);
	tcase_add_test(tcase, the_environment_says_how_many_where_the_options_do_not);
	tcase_add_test(tcase, streams_come_and_go_from_many_threads_while_helpers_become_more);
	tcase_add_test(tcase, a_listener_whose_socket_broke_can_be_closed);
	tcase = wire_case(suite, "descriptors");
	tcase_add_test(tcase, an_opener_without_descriptors_says_what_to_do);
	tcase_add_test(tcase, a_limit_raised_behind_the_first_stream_counts);
	return wire_run(suite);
}
