/* SPDX-License-Identifier: 0BSD */
/*
 * A process forks, or starts another one, with streams open: what the child has inherited is dead, it opens its own,
 * and the parent goes on as if nothing had happened. The processes are in process_child_fork.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "memcheck.h"
#include "pki.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define SMALL_BYTES 32768
#define MUCH_BYTES ((size_t)16 << 20)

static void close_well(struct meeting *meeting, unsigned number, const char *text)
{
	meeting_expect_close(meeting, number, 1000, text);
	meeting_answer(meeting, number);
}

/* --- what is inherited --- */

static const char *const misuses[] = { "exit", "return", "_exit", "fclose", "fflush", "flush all", "fputs", "execve",
	"abort" };

/* _i: role, then what the child does; some bytes are in stdio's buffers, both ways. */
START_TEST(child_takes_and_sends_nothing_of_the_parents)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)(_i % 2), "misuse", misuses[_i / 2], 0);
	meeting_say(&meeting, 0, "one\ntwo\n");
	close_well(&meeting, 0, "the parent's bytes");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* The same over TLS, where the library is at this end, too. */
START_TEST(child_sends_nothing_over_tls)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct child child;
	char option[4200], got[64] = "";
	const char *arguments[] = { "misuse", NULL, option, NULL };
	FILE *stream;

	peer_count_begin();
	options.cert_file = pki_file("server.pem");
	options.key_file = pki_file("server.key");
	listener = ws_listen("wss://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	arguments[1] = ws_listener_url(listener);
	snprintf(option, sizeof option, "%s,%s", misuses[_i], pki_file("ca.pem"));
	child_run(&child, "process_child", arguments);
	stream = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(stream);
	ck_assert(fputs("one\ntwo\n", stream) >= 0 && fflush(stream) == 0);
	ck_assert_uint_eq(fread(got, 1, sizeof got - 1, stream), strlen("the parent's bytes"));
	ck_assert_str_eq(got, "the parent's bytes");
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	child_exits(&child, 0);
	ck_assert_int_eq(ws_listener_close(listener), 0);
	peer_count_end();
}
END_TEST

START_TEST(everything_inherited_is_ebadf)
{
	struct meeting meeting;

	meeting_begin(&meeting, (enum wire_role)_i, "dead", NULL, 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	close_well(&meeting, 0, "stream");
	close_well(&meeting, 1, "half");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

static bool refused(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool failed = connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;

	close(fd);
	return failed;
}

static const char *const ends[] = { "kill", "exit", "abort", "close" };

/* _i: role, then the parent's end. A child that lives on holds neither connection nor port. */
START_TEST(child_holds_nothing_open)
{
	const char *end = ends[_i / 2];
	struct meeting meeting;
	unsigned port;
	char line[300];

	meeting_open(&meeting, (enum wire_role)(_i % 2), "outlived", end, 0);
	child_read(&meeting.child, line);
	port = peer_url_port(line);
	ck_assert(!refused(port));
	child_expect(&meeting.child, "forked");
	child_tell(&meeting.child, "go");
	if (strcmp(end, "exit") == 0 || strcmp(end, "close") == 0)
		close_well(&meeting, 0, "");
	else
		meeting_expect_cut(&meeting, 0, "");
	if (strcmp(end, "close") == 0 || strcmp(end, "abort") == 0)
		child_expect(&meeting.child, "closed");
	else
		ck_assert_int_eq(waitid(P_PID, (id_t)meeting.child.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	ck_assert(refused(port));
	/* All that time it has lived. */
	ck_assert_int_eq(close(meeting.child.in), 0);
	meeting.child.in = -1;
	child_expect(&meeting.child, "the forked process ends");
	child_expect_silence(&meeting.child);
	if (strcmp(end, "kill") == 0)
		child_dies(&meeting.child, SIGKILL);
	else
		child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* --- its own --- */

START_TEST(child_opens_its_own)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "own", _i == 0 ? "exit" : "fclose", 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	meeting_say(&meeting, 1, "go\n");
	close_well(&meeting, 1, "the child's own");
	close_well(&meeting, 0, "the parent's own");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(child_works_on_when_the_parent_has_exited)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "daemon", NULL, 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	close_well(&meeting, 0, "the parent's");
	ck_assert_int_eq(waitid(P_PID, (id_t)meeting.child.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	child_tell(&meeting.child, "go");
	close_well(&meeting, 1, "the child's");
	child_expect_silence(&meeting.child);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(child_of_the_child_is_one_as_well)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "grandchild", NULL, 0);
	for (int i = 0; i < 3; i++)
		(void)meeting_join(&meeting);
	close_well(&meeting, 2, "third");
	close_well(&meeting, 1, "second");
	close_well(&meeting, 0, "first");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* --- masking keys and nonces --- */

enum { KEY_STREAMS = 4, KEY_MESSAGES = 50 };

static uint32_t keys[KEY_STREAMS * (KEY_MESSAGES + 1)];
static unsigned key_count;

/* Small frames, up to the Close. */
static void collect_keys(int fd)
{
	uint8_t head[6], payload[125];

	do {
		ck_assert_uint_eq(peer_recv(fd, head, 6), 6);
		ck_assert_uint_gt(head[1], 0x80);
		ck_assert_uint_le(head[1] & 0x7f, 125);
		ck_assert_uint_eq(peer_recv(fd, payload, head[1] & 0x7f), head[1] & 0x7f);
		ck_assert_uint_lt(key_count, COUNT(keys));
		memcpy(&keys[key_count++], head + 2, 4);
	} while (head[0] != PEER_CLOSE);
}

static int compare_keys(const void *one, const void *other)
{
	uint32_t a, b;

	memcpy(&a, one, sizeof a);
	memcpy(&b, other, sizeof b);
	return a < b ? -1 : a > b;
}

START_TEST(no_key_and_no_nonce_is_shared)
{
	char *request[KEY_STREAMS], *nonce[KEY_STREAMS];
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "keys", NULL, 0);
	for (int i = 0; i < KEY_STREAMS; i++) {
		meeting.peer[i] = peer_accept(meeting.listener);
		meeting.count++;
		request[i] = peer_serve_handshake(meeting.peer[i]);
		nonce[i] = strcasestr(request[i], "\r\nSec-WebSocket-Key:");
		ck_assert_ptr_nonnull(nonce[i]);
		*strstr(nonce[i] + 2, "\r\n") = '\0';
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(nonce[i], nonce[j]);
	}
	/* The first one is the last to be closed. */
	for (int i = 1; i <= KEY_STREAMS; i++) {
		collect_keys(meeting.peer[i % KEY_STREAMS]);
		meeting_answer(&meeting, (unsigned)(i % KEY_STREAMS));
	}
	ck_assert_uint_eq(key_count, COUNT(keys));
	qsort(keys, key_count, sizeof keys[0], compare_keys);
	for (unsigned i = 1; i < key_count; i++)
		ck_assert_msg(keys[i] != keys[i - 1], "a masking key twice: %08x", keys[i]);
	for (int i = 0; i < KEY_STREAMS; i++)
		free(request[i]);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* --- in the midst of everything --- */

START_TEST(fork_while_threads_open_read_write_and_close)
{
	const char *few = under_valgrind() ? "10" : "60";
	const char *arguments[] = { "busy_fork", "none", few, NULL };
	struct child child;

	peer_count_begin();
	child_run(&child, "process_child", arguments);
	child_exits(&child, 0);
	peer_count_end();
}
END_TEST

/* All of the pattern, without a Close behind it. */
static void expect_much(int fd)
{
	struct peer_frame frame;
	uint64_t done = 0;

	for (; done < MUCH_BYTES; done += frame.size, peer_frame_clear(&frame)) {
		if (!peer_read_frame(fd, &frame) || frame.byte0 == PEER_CLOSE ||
		    !wire_pattern_matches(done, frame.payload, (size_t)frame.size))
			ck_abort_msg("a hole behind %llu bytes", (unsigned long long)done);
	}
	ck_assert_uint_eq(done, MUCH_BYTES);
}

START_TEST(fork_while_threads_are_blocked)
{
	struct meeting meeting;

	meeting_begin(&meeting, (enum wire_role)_i, "blocked_fork", NULL, SMALL_BYTES);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	child_expect(&meeting.child, "forked");
	meeting_say(&meeting, 0, "go\n");
	/* Its write ends while this reads, and then it closes the reader first. */
	expect_much(meeting.peer[1]);
	close_well(&meeting, 0, "");
	close_well(&meeting, 1, "");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(fork_in_an_observer)
{
	struct meeting meeting;

	meeting_open(&meeting, (enum wire_role)_i, "observer_fork", NULL, 0);
	peer_frame(meeting.peer[0], PEER_PING, _i == LIBRARY_IS_SERVER, "now", 3);
	child_expect(&meeting.child, "forked");
	meeting_say(&meeting, 0, "go\n");
	close_well(&meeting, 0, "done");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

/* --- other ways to start a process --- */

static const char *const starts[] = { "posix_spawn", "vfork", "fork", "system", "popen" };

START_TEST(started_process_inherits_nothing)
{
	struct meeting meeting;

	meeting_begin(&meeting, LIBRARY_IS_CLIENT, "started", starts[_i], 0);
	(void)meeting_join(&meeting);
	(void)meeting_join(&meeting);
	child_expect(&meeting.child, "0");
	close_well(&meeting, 0, "whole");
	/* That of the descriptor: the process has exited with it open. */
	meeting_expect_close(&meeting, 1, 1011, "");
	meeting_answer(&meeting, 1);
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

START_TEST(descriptor_is_the_childs_as_well)
{
	struct meeting meeting;

	meeting_open(&meeting, LIBRARY_IS_CLIENT, "descriptor_fork", NULL, 0);
	meeting_say(&meeting, 0, "go\n");
	close_well(&meeting, 0, "child, parent");
	child_tell(&meeting.child, "end");
	child_exits(&meeting.child, 0);
	meeting_end(&meeting);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork");
	TCase *inherited = wire_case(suite, "inherited"), *own = wire_case(suite, "own"),
	    *midst = wire_case(suite, "midst"), *started = wire_case(suite, "started");
	int status;

	tcase_add_loop_test(inherited, child_takes_and_sends_nothing_of_the_parents, 0, WIRE_ROLES * COUNT(misuses));
	tcase_add_loop_test(inherited, child_sends_nothing_over_tls, 0, COUNT(misuses));
	tcase_add_loop_test(inherited, everything_inherited_is_ebadf, 0, WIRE_ROLES);
	tcase_add_loop_test(inherited, child_holds_nothing_open, 0, WIRE_ROLES * COUNT(ends));

	/* ThreadSanitizer ends a child that starts a thread: it may have the number of one that the parent had. */
#ifdef __SANITIZE_THREAD__
	puts("SKIP: what starts threads in a forked child: ThreadSanitizer can't follow");
#else
	tcase_add_loop_test(own, child_opens_its_own, 0, 2);
	tcase_add_test(own, child_works_on_when_the_parent_has_exited);
	tcase_add_test(own, child_of_the_child_is_one_as_well);
	tcase_add_test(own, no_key_and_no_nonce_is_shared);

	tcase_add_test(midst, fork_while_threads_open_read_write_and_close);
	tcase_add_loop_test(midst, fork_while_threads_are_blocked, 0, WIRE_ROLES);
	tcase_add_loop_test(midst, fork_in_an_observer, 0, WIRE_ROLES);
#endif

	tcase_add_loop_test(started, started_process_inherits_nothing, 0, COUNT(starts));
	tcase_add_test(started, descriptor_is_the_childs_as_well);
	pki_begin();
	status = wire_run(suite);
	pki_end();
	return status;
}
