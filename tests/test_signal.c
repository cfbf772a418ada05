/* SPDX-License-Identifier: 0BSD */
/*
 * Signals are the program's: no helper thread takes one, no handler is changed, none is raised, and a handler that runs
 * in the midst of a call loses nothing. What a blocked read and write on a stream do is in test_blocked.c, too.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "memcheck.h"
#include "pki.h"
#include "wire.h"

#define SIGNALS 20			/* before the peer does what is waited for */

/* ck_assert writes a mark to Check's pipe on success too. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

static atomic_int signals_seen;
static pthread_t test_thread;

static void on_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals_seen, 1);
}

static void handle(int number, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(number, &action, NULL), 0);
	atomic_store(&signals_seen, 0);
	test_thread = pthread_self();
}

/* --- the other threads --- */

static unsigned list_threads(pid_t *tids, unsigned most)
{
	DIR *directory = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)) != NULL && count < most)
		if (entry->d_name[0] != '.')
			tids[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
	closedir(directory);
	return count;
}

static uint64_t blocked_signals(pid_t tid)
{
	char path[64], line[256];
	uint64_t mask = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%ld/status", (long)tid);
	file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof line, file) != NULL)
		if (strncmp(line, "SigBlk:", 7) == 0)
			mask = strtoull(line + 7, NULL, 16);
	fclose(file);
	return mask;
}

static void see(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

START_TEST(threads_of_the_library_block_all_signals)
{
	struct ws_options options = WS_OPTIONS_INIT;
	unsigned before, after, checked = 0;
	pid_t old[64], tids[64];
	struct wire wire, other;
	bool is_old;
	int fd;

	options.helper_threads = 3;
	options.observer = see;
	before = list_threads(old, 64);
	wire_open(&wire, LIBRARY_IS_SERVER, "r+", &options, 0);
	wire_open(&other, LIBRARY_IS_SERVER, "r+", &options, 0);
	fd = ws_socket(ws_listener_url(wire.listener), &options);
	ck_assert_int_ge(fd, 0);
	after = list_threads(tids, 64);
	for (unsigned i = 0; i < after; i++) {
		is_old = false;
		for (unsigned j = 0; j < before; j++)
			is_old |= tids[i] == old[j];
		if (is_old)
			continue;
		/* But those that nothing blocks, and the two that glibc keeps for itself. */
		ck_assert_msg((blocked_signals(tids[i]) | 1u << (SIGKILL - 1) | 1u << (SIGSTOP - 1) |
		    UINT64_C(1) << 31 | UINT64_C(1) << 32) == UINT64_MAX, "thread %u: %#llx", i,
		    (unsigned long long)blocked_signals(tids[i]));
		checked++;
	}
	ck_assert_uint_ge(checked, 4);
	ck_assert_int_eq(close(fd), 0);
	for (int i = 0; i < 2; i++) {
		struct wire *one = i == 0 ? &other : &wire;

		wire_finish(one, 1000);
		wire_fclose(one, 0);
		wire_finished(one);
		wire_end(one);
	}
}
END_TEST

static void use_it_all(bool secure)
{
	struct ws_options listening = WS_OPTIONS_INIT, opening = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	FILE *client, *server;

	listening.cert_file = secure ? pki_file("server.pem") : NULL;
	listening.key_file = secure ? pki_file("server.key") : NULL;
	opening.ca_file = secure ? pki_file("ca.pem") : NULL;
	listener = ws_listen(secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &listening);
	ck_assert_ptr_nonnull(listener);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &opening);
	ck_assert_ptr_nonnull(client);
	server = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(server);
	ck_assert(fputs("line\n", client) >= 0 && fflush(client) == 0);
	wire_expect_line(server, "line\n");
	ck_assert_int_eq(ws_abort(client), 0);
	wire_expect_end(server, ECONNRESET);
	wire_expect_unwritable(server, EPIPE);
	wire_expect_unwritable(client, ECONNABORTED);
	ck_assert_int_eq(fclose(client), EOF);
	ck_assert_int_eq(fclose(server), EOF);
	ck_assert_int_eq(ws_listener_close(listener), 0);
}

/* SIGPIPE's default is the end of the process. */
START_TEST(no_handler_and_no_mask_is_touched)
{
	struct sigaction before[65], after;
	sigset_t mask_before, mask_after;

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	for (int i = 1; i <= 64; i++)
		if (sigaction(i, NULL, &before[i]) != 0)
			before[i].sa_flags = -1;
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask_before), 0);
	use_it_all(_i == 1);
	for (int i = 1; i <= 64; i++) {
		if (before[i].sa_flags == -1)
			continue;
		ck_assert_int_eq(sigaction(i, NULL, &after), 0);
		ck_assert_msg(after.sa_handler == before[i].sa_handler && after.sa_flags == before[i].sa_flags,
		    "signal %d", i);
	}
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &mask_after), 0);
	for (int i = 1; i <= 64; i++)
		ck_assert_int_eq(sigismember(&mask_after, i), sigismember(&mask_before, i));
}
END_TEST

/* --- calls that block --- */

struct nuisance {
	pthread_t thread;
	atomic_bool stop;
	int until;			/* so many signals; then */
	void (*then)(void *);
	void *argument;
};

static void *disturb(void *argument)
{
	struct nuisance *nuisance = argument;

	while (!atomic_load(&nuisance->stop) && atomic_load(&signals_seen) < nuisance->until) {
		pthread_kill(test_thread, SIGUSR1);
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	if (nuisance->then != NULL)
		nuisance->then(nuisance->argument);
	return NULL;
}

static void start_nuisance(struct nuisance *nuisance, int until, void (*then)(void *), void *argument)
{
	*nuisance = (struct nuisance){ .until = until, .then = then, .argument = argument };
	peer_thread(&nuisance->thread, disturb, nuisance);
}

static void end_nuisance(struct nuisance *nuisance)
{
	atomic_store(&nuisance->stop, true);
	peer_join(nuisance->thread);
}

struct client {
	unsigned port;
	int fd;
};

static void connect_client(void *argument)
{
	struct client *client = argument;

	client->fd = peer_connect(client->port);
	peer_client_handshake(client->fd, client->port, "/", "");
}

static void close_clients_stream(struct client *client, FILE *stream)
{
	peer_close(client->fd, true, 1000, "");
	peer_fin(client->fd);
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_uint_eq(peer_read_until_close(client->fd, NULL, NULL), 1000);
	ck_assert_int_eq(close(client->fd), 0);
}

START_TEST(accept_is_interrupted_and_no_connection_is_lost)
{
	struct nuisance nuisance;
	struct ws_listener *listener;
	struct client client;
	FILE *stream;

	peer_count_begin();
	handle(SIGUSR1, 0);
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	client.port = peer_url_port(ws_listener_url(listener));
	for (int round = 0; round < 5; round++) {
		start_nuisance(&nuisance, 1 << 30, NULL, NULL);
		errno = 0;
		ck_assert_ptr_null(ws_accept(listener, "r+"));
		ck_assert_int_eq(errno, EINTR);
		ck_assert_int_eq(ws_last_error()->error, EINTR);
		/* While the handshake is under way, and once it is done. */
		connect_client(&client);
		while ((stream = ws_accept(listener, "r+")) == NULL)
			ck_assert_int_eq(errno, EINTR);
		end_nuisance(&nuisance);
		close_clients_stream(&client, stream);
	}
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

/*
 * _i: while TCP connects (a full backlog takes none), in the handshake of TLS, in that of HTTP; then the same with
 * SA_RESTART, which is for waits that have no limit.
 */
START_TEST(opening_is_interrupted)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct nuisance nuisance;
	int listener, filler = -1;
	char url[64];
	unsigned port;

	peer_count_begin();
	handle(SIGUSR1, _i < 3 ? 0 : SA_RESTART);
	listener = peer_listen(&port);
	if (_i % 3 == 0) {
		ck_assert_int_eq(listen(listener, 0), 0);
		filler = peer_connect(port);
	}
	options.ca_file = pki_file("ca.pem");
	snprintf(url, sizeof url, "%s://127.0.0.1:%u/", _i % 3 == 1 ? "wss" : "ws", port);
	start_nuisance(&nuisance, 1 << 30, NULL, NULL);
	errno = 0;
	ck_assert_ptr_null(ws_fopen_with(url, "r+", &options));
	ck_assert_int_eq(errno, EINTR);
	ck_assert_int_eq(ws_last_error()->error, EINTR);
	errno = 0;
	ck_assert_int_eq(ws_socket(url, &options), -1);
	ck_assert_int_eq(errno, EINTR);
	end_nuisance(&nuisance);
	if (filler >= 0)
		ck_assert_int_eq(close(filler), 0);
	ck_assert_int_eq(close(listener), 0);
	peer_count_end();
}
END_TEST

static void say_line(void *argument)
{
	wire_say(argument, "at last\n");
}

/* _i: role; then with SA_RESTART, but with a time limit, as recv(2) with SO_RCVTIMEO. */
START_TEST(read_some_is_interrupted_and_nothing_is_lost)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct nuisance nuisance;
	struct wire wire;
	char bytes[16];

	handle(SIGUSR1, _i < 2 ? 0 : SA_RESTART);
	options.read_timeout_ms = _i < 2 ? -1 : 1000000;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, 0);
	start_nuisance(&nuisance, 1 << 30, NULL, NULL);
	errno = 0;
	ck_assert_int_eq((int)ws_read_some(wire.stream, bytes, sizeof bytes), -1);
	ck_assert_int_eq(errno, EINTR);
	end_nuisance(&nuisance);
	say_line(&wire);
	ck_assert_int_eq((int)ws_read_some(wire.stream, bytes, sizeof bytes), 8);
	ck_assert_mem_eq(bytes, "at last\n", 8);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

static void finish_wire(void *wire)
{
	wire_finish(wire, 1000);
}

/* _i: role, then without SA_RESTART or with it */
START_TEST(fclose_goes_on)
{
	struct nuisance nuisance;
	struct wire wire;

	handle(SIGUSR1, _i < 2 ? 0 : SA_RESTART);
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", NULL, 0);
	ck_assert_int_ge(fputs("whole", wire.stream), 0);
	start_nuisance(&nuisance, SIGNALS, finish_wire, &wire);
	wire_fclose(&wire, 0);
	end_nuisance(&nuisance);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "whole");
	wire_end(&wire);
}
END_TEST

#ifndef __SANITIZE_THREAD__
/* ThreadSanitizer runs a handler only once the blocked system call has returned, which it never does here. */

START_TEST(accept_goes_on_with_sa_restart)
{
	struct nuisance nuisance;
	struct ws_listener *listener;
	struct client client;
	FILE *stream;

	peer_count_begin();
	handle(SIGUSR1, SA_RESTART);
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	client.port = peer_url_port(ws_listener_url(listener));
	start_nuisance(&nuisance, SIGNALS, connect_client, &client);
	stream = ws_accept(listener, "r+");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	end_nuisance(&nuisance);
	ck_assert_int_ge(atomic_load(&signals_seen), SIGNALS);
	close_clients_stream(&client, stream);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

START_TEST(read_some_goes_on_with_sa_restart)
{
	struct nuisance nuisance;
	struct wire wire;
	char bytes[16];

	handle(SIGUSR1, SA_RESTART);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	start_nuisance(&nuisance, SIGNALS, say_line, &wire);
	ck_assert_int_eq((int)ws_read_some(wire.stream, bytes, sizeof bytes), 8);
	ck_assert_mem_eq(bytes, "at last\n", 8);
	end_nuisance(&nuisance);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST
#endif

/* --- a timer, while much is read and written --- */

#define STORM_BYTES ((uint64_t)8 << 20)

static void *write_pattern(void *stream)
{
	uint8_t block[10000];
	uint64_t done;

	for (done = 0; done < STORM_BYTES; done += sizeof block) {
		wire_pattern(done, block, sizeof block);
		insist(fwrite(block, 1, sizeof block, stream) == sizeof block, "fwrite: %s", strerror(errno));
	}
	insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	return NULL;
}

/* To the end; an interrupted read is begun again. */
static void read_pattern(FILE *stream)
{
	uint8_t block[7777];
	uint64_t done = 0;
	size_t size;

	for (;;) {
		errno = 0;
		size = fread(block, 1, sizeof block, stream);
		insist(wire_pattern_matches(done, block, size), "other bytes than were written");
		done += size;
		if (size == sizeof block)
			continue;
		if (feof(stream))
			break;
		insist(ferror(stream) && errno == EINTR, "%s", strerror(errno));
		clearerr(stream);
	}
	ck_assert_uint_ge(done, STORM_BYTES);
}

/* A millisecond's timer without SA_RESTART, for all threads of the program. _i: ws, wss */
START_TEST(storm_of_signals_loses_nothing)
{
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct ws_options listening = WS_OPTIONS_INIT, opening = WS_OPTIONS_INIT;
	FILE *client[2], *server[2];
	struct ws_listener *listener;
	pthread_t threads[2];

	peer_count_begin();
	handle(SIGALRM, 0);
	listening.cert_file = _i == 1 ? pki_file("server.pem") : NULL;
	listening.key_file = _i == 1 ? pki_file("server.key") : NULL;
	opening.ca_file = _i == 1 ? pki_file("ca.pem") : NULL;
	listener = ws_listen(_i == 1 ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &listening);
	ck_assert_ptr_nonnull(listener);
	ck_assert_int_eq(ws_fopen_pair(ws_listener_url(listener), &opening, client), 0);
	ck_assert_int_eq(ws_accept_pair(listener, server), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &every, NULL), 0);
	peer_thread(&threads[0], write_pattern, client[1]);
	peer_thread(&threads[1], write_pattern, server[1]);
	read_pattern(server[0]);
	read_pattern(client[0]);
	peer_join(threads[0]);
	peer_join(threads[1]);
	ck_assert_int_eq(fclose(server[0]), 0);
	ck_assert_int_eq(fclose(client[0]), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	ck_assert_int_gt(atomic_load(&signals_seen), 0);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("signal");
	TCase *others = wire_case(suite, "others"), *calls = wire_case(suite, "calls"),
	    *storm = wire_case(suite, "storm");
	int status;

	/* The masks that the kernel has of threads under valgrind are valgrind's. */
	if (!under_valgrind())
		tcase_add_test(others, threads_of_the_library_block_all_signals);
	tcase_add_loop_test(others, no_handler_and_no_mask_is_touched, 0, 2);

	tcase_add_test(calls, accept_is_interrupted_and_no_connection_is_lost);
	tcase_add_loop_test(calls, opening_is_interrupted, 0, 6);
	tcase_add_loop_test(calls, read_some_is_interrupted_and_nothing_is_lost, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(calls, fclose_goes_on, 0, WIRE_ROLES * 2);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(calls, accept_goes_on_with_sa_restart);
	tcase_add_loop_test(calls, read_some_goes_on_with_sa_restart, 0, WIRE_ROLES);
#endif
	tcase_add_loop_test(storm, storm_of_signals_loses_nothing, 0, 2);
	pki_begin();
	status = wire_run(suite);
	pki_end();
	return status;
}
