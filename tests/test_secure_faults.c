/* SPDX-License-Identifier: 0BSD */
/* TLS where it went wrong once: peers that cut, hold back or flood, and processes that fork or leave. */
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "memcheck.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* _i of every test with both: the role, then the version. */
#define BOTH (WIRE_ROLES * 2)

static struct tls_setup version_of(int i)
{
	return (struct tls_setup){ .max_version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
}

static void open_both(struct tls_wire *wire, int i, const struct ws_options *options)
{
	struct tls_setup setup = version_of(i);

	tls_wire_open(wire, (enum wire_role)(i / 2), "r+", &setup, options);
}

/* --- what the peer has sent --- */

/* The library's end of the connection, in this process, has nothing to be received. False too if it is not there. */
static bool is_taken(int fd)
{
	struct sockaddr_in own = { 0 }, address;
	socklen_t size = sizeof own;
	int left;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&own, &size), 0);
	for (int other = 0; other < FD_SETSIZE; other++) {
		size = sizeof address;
		if (getpeername(other, (struct sockaddr *)&address, &size) == 0 && size == sizeof own &&
		    address.sin_port == own.sin_port)
			return ioctl(other, FIONREAD, &left) == 0 && left == 0;
	}
	return false;
}

/* For what the kernel has no event for: it is looked at again and again. */
static void look_again_soon(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

/* Until the library has received all that was sent. */
static void wait_until_taken(int fd)
{
	peer_wait_sent(fd);
	while (!is_taken(fd))
		look_again_soon();
}

/* --- records and messages of TLS --- */

#define MUCH_BYTES ((size_t)100000)

static void *write_pattern(void *stream)
{
	static uint8_t block[MUCH_BYTES];

	wire_pattern(0, block, MUCH_BYTES);
	if (fwrite(block, 1, MUCH_BYTES, stream) != MUCH_BYTES || fflush(stream) != 0)
		ck_abort_msg("cannot write: %s", strerror(errno));
	return NULL;
}

static void check_pattern(const struct tls_wire *wire, size_t before)
{
	ck_assert_uint_eq(wire->close_code, 1000);
	ck_assert_uint_eq(wire->size, before + MUCH_BYTES);
	ck_assert(wire_pattern_matches(0, wire->data + before, MUCH_BYTES));
}

/* Every write is of several records then (RFC 6066, section 4). _i: the version */
START_TEST(a_peer_with_small_records_gets_everything)
{
	struct tls_setup setup = version_of(_i);
	struct tls_wire wire;

	setup.context = tls_context(false, &setup);
	SSL_CTX_set_tlsext_max_fragment_length(setup.context, TLSEXT_max_fragment_length_512);
	tls_wire_open(&wire, LIBRARY_IS_SERVER, "r+", &setup, NULL);
	ck_assert_uint_eq(SSL_SESSION_get_max_fragment_length(SSL_get_session(wire.peer->ssl)),
	    TLSEXT_max_fragment_length_512);
	tls_wire_finish(&wire);
	write_pattern(wire.stream);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	check_pattern(&wire, 0);
	tls_wire_end(&wire);
	SSL_CTX_free(setup.context);
}
END_TEST

static int enlarge_ticket(SSL *ssl, void *argument)
{
	static const char data[1500];

	(void)argument;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data, sizeof data);
}

/* A server whose ticket is longer than its records, and is not sent, but given to the caller. */
static BIO *open_ticketing(struct tls_wire *wire)
{
	struct tls_setup setup = { .min_version = TLS1_3_VERSION };
	struct ws_options options = WS_OPTIONS_INIT;
	SSL *ssl;

	options.send_buffer_bytes = 4096;
	setup.cert_file = setup.key_file = pki_file("both.pem");
	setup.context = tls_context(true, &setup);
	ck_assert(SSL_CTX_set_num_tickets(setup.context, 0) == 1 &&
	    SSL_CTX_set_max_send_fragment(setup.context, 512) == 1 &&
	    SSL_CTX_set_session_ticket_cb(setup.context, enlarge_ticket, NULL, NULL) == 1);
	tls_wire_open_pair(wire, LIBRARY_IS_CLIENT, &setup, &options);
	SSL_CTX_free(setup.context);
	ssl = wire->peer->ssl;
	ck_assert_int_eq(BIO_up_ref(SSL_get_rbio(ssl)), 1);
	SSL_set0_wbio(ssl, BIO_new(BIO_s_mem()));
	ck_assert(SSL_set_num_tickets(ssl, 1) == 1 && SSL_new_session_ticket(ssl) == 1 && SSL_do_handshake(ssl) == 1);
	return SSL_get_wbio(ssl);
}

/* OpenSSL sends nothing between the records of a message that it receives. */
START_TEST(a_write_waits_for_the_rest_of_a_ticket)
{
	static const size_t half = 700;
	struct ws_status status = WS_STATUS_INIT;
	struct tls_wire wire;
	pthread_t writer;
	char *ticket;
	size_t size;

	size = (size_t)BIO_get_mem_data(open_ticketing(&wire), &ticket);
	ck_assert_uint_gt(size, 2 * half);
	peer_send(wire.peer->fd, ticket, half);
	wait_until_taken(wire.peer->fd);
	fputs("hello\n", wire.half[1]);
	ck_assert_int_eq(fflush(wire.half[1]), 0);
	peer_thread(&writer, write_pattern, wire.half[1]);
	for (; status.bytes_sent <= 6; look_again_soon())
		ck_assert_int_eq(ws_status(wire.half[0], &status), 0);
	peer_send(wire.peer->fd, ticket + half, size - half);
	SSL_set0_wbio(wire.peer->ssl, SSL_get_rbio(wire.peer->ssl));
	tls_wire_finish(&wire);
	peer_join(writer);
	tls_wire_fclose(&wire.half[1], 0);
	tls_wire_fclose(&wire.half[0], 0);
	tls_wire_finished(&wire);
	ck_assert(memcmp(wire.data, "hello\n", 6) == 0);
	check_pattern(&wire, 6);
	tls_wire_end(&wire);
}
END_TEST

/* --- the end --- */

/* Slower than the reader, who so comes to receive by itself. */
static void *say_slowly_and_close(void *argument)
{
	struct tls_wire *wire = argument;

	for (int i = 0; i < 20; i++) {
		tls_wire_say(wire, "line\n");
		wait_until_taken(wire->peer->fd);
	}
	tls_peer_close(wire->peer, 1000, "");
	return NULL;
}

/* TCP ends only behind the close_notify of the library. */
static void *end_behind_it(void *argument)
{
	struct tls_wire *wire = argument;

	wire->close_code = tls_peer_read_until_close(wire->peer, NULL, NULL);
	ck_assert_int_eq(tls_peer_end(wire->peer), TLS_END_NOTIFIED);
	tls_peer_fin(wire->peer);
	return NULL;
}

/* Nobody receives any more behind the peer's Close, so its close_notify lies there when ours is sent. */
START_TEST(a_peer_may_wait_for_our_close_notify)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct tls_wire wire;
	pthread_t thread;

	options.close_timeout_ms = 10000;
	open_both(&wire, _i, &options);
	peer_thread(&thread, say_slowly_and_close, &wire);
	for (int i = 0; i < 20; i++)
		wire_expect_line(wire.stream, "line\n");
	wire_expect_end(wire.stream, 0);
	peer_join(thread);
	tls_peer_notify(wire.peer);
	peer_wait_sent(wire.peer->fd);
	peer_thread(&thread, end_behind_it, &wire);
	tls_wire_fclose(&wire.stream, 0);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	tls_wire_end(&wire);
}
END_TEST

/* --- HTTP where TLS is spoken --- */

static const struct beginning {
	const char *first, *second, *answer;
	size_t first_bytes;
} beginnings[] = {
	/* A ClientHello of 32 bytes, with nothing good in it; then no ClientHello. */
	{ "\x16\x03\x01\x00\x20\x01\x00\x00\x1c\x03\x03", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "\x15\x03", 11 },
	{ "\x16\x03\x01\x00\x20", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x15\x03", 5 },
	{ "GET", " / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400", 3 },
};

START_TEST(only_the_first_byte_tells_http_from_tls)
{
	const struct beginning *beginning = &beginnings[_i];
	struct ws_options options = tls_listener_options("server.pem", "server.key");
	char answer[512] = "";
	unsigned port;
	struct ws_listener *listener = tls_listen(&options, &port);
	int fd = peer_connect(port);

	peer_send(fd, beginning->first, beginning->first_bytes);
	wait_until_taken(fd);
	peer_send(fd, beginning->second, strlen(beginning->second));
	peer_recv(fd, answer, sizeof answer - 1);
	ck_assert_mem_eq(answer, beginning->answer, strlen(beginning->answer));
	close(fd);
	ws_listener_close(listener);
}
END_TEST

/* --- processes that leave --- */

/*
 * LeakSanitizer asks; valgrind is told. A child has no threads, nor has a process at its end, and what only their
 * stacks pointed to seems lost.
 */
static bool has_lost_threads;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return has_lost_threads; }

static void leaks_are_meant(void)
{
	has_lost_threads = true;
	memcheck_leaks_are_meant();
}

/* This program, run with arguments: it writes to a URL or listens, and leaves main without closing anything. */
static int leave_open(char *argv[])
{
	static struct ws_listener *listener;
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	leaks_are_meant();
	if (argv[2] != NULL) {
		options.ca_file = argv[1];
		options.proxy = "";
		options.handshake_timeout_ms = 60000;	/* under valgrind, with others at work */
		stream = ws_fopen_with(argv[2], "w", &options);
		return stream != NULL && fprintf(stream, "hello %s\n", "world") > 0 ? 0 : 2;
	}
	options.cert_file = argv[1];
	listener = ws_listen("wss://127.0.0.1:0/", &options);
	if (listener == NULL || puts(ws_listener_url(listener)) < 0 || fflush(stdout) != 0)
		return 2;
	return getchar() == EOF ? 0 : 2;
}

/* Its standard input and output are talk's other end. */
static pid_t start_program(const char *pem_file, const char *url, int *talk)
{
	int pair[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	*talk = pair[0];
	pid = fork();
	if (pid == 0) {
		dup2(pair[1], STDIN_FILENO);
		dup2(pair[1], STDOUT_FILENO);
		/* The helper thread is there to the end. */
		setenv("TSAN_OPTIONS", "report_thread_leaks=0", 1);
		execl(wire_program(), "secure_faults", pem_file, url, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	return pid;
}

static void expect_success(pid_t pid)
{
	int status;

	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	ck_assert_msg(status == 0, "the program ended with 0x%x", (unsigned)status);
}

/* _i: the version */
START_TEST(what_was_printed_is_sent_at_exit)
{
	struct tls_setup setup = version_of(_i);
	struct tls_server server = { .setup = &setup };
	pid_t pid;
	int talk;

	setup.cert_file = setup.key_file = pki_file("both.pem");
	tls_server_start(&server);
	pid = start_program(pki_file("ca.pem"), tls_url("wss", "localhost", server.port), &talk);
	expect_success(pid);
	tls_server_join(&server);
	ck_assert_str_eq((char *)server.data, "hello world\n");
	tls_server_clear(&server);
	close(talk);
}
END_TEST

static atomic_int met;			/* strangers who had their handshake */

/* Until nobody listens any more. */
static void *bring_strangers(void *argument)
{
	const struct sockaddr_in *address = argument;
	struct tls_setup setup = { 0 };
	struct tls_peer peer;
	int fd;

	setup.context = tls_context(false, &setup);
	while ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0 &&
	    connect(fd, (const struct sockaddr *)address, sizeof *address) == 0) {
		if (tls_peer_try_open(&peer, fd, false, &setup))
			atomic_fetch_add(&met, 1);
		tls_peer_clear(&peer);
	}
	close(fd);
	SSL_CTX_free(setup.context);
	return NULL;
}

/* Its helper thread is in the middle of TLS meanwhile. _i: each time at another moment */
START_TEST(a_busy_listener_does_not_disturb_exit)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char url[128] = "";
	pthread_t thread;
	int talk;
	pid_t pid = start_program(pki_file("both.pem"), NULL, &talk);

	ck_assert_int_gt(read(talk, url, sizeof url - 1), 0);
	address.sin_port = htons((uint16_t)peer_url_port(url));
	peer_thread(&thread, bring_strangers, &address);
	while (atomic_load(&met) <= _i)
		look_again_soon();
	close(talk);
	expect_success(pid);
	peer_join(thread);
}
END_TEST

/* stdio flushes all streams at exit. */
START_TEST(a_child_sends_nothing_on_its_parents_stream)
{
	struct tls_wire wire;
	pid_t pid;

	open_both(&wire, _i, NULL);
	tls_wire_finish(&wire);
	fputs("one\n", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	fputs("two\n", wire.stream);
	pid = fork();
	if (pid == 0) {
		leaks_are_meant();
		exit(0);
	}
	expect_success(pid);
	fputs("three\n", wire.stream);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "one\ntwo\nthree\n");
	tls_wire_end(&wire);
}
END_TEST

/* --- floods --- */

#define BATCH_BYTES ((size_t)65536)

struct flood {
	struct tls_peer peer;
	bool tiny;			/* records of one byte, or bombs */
	atomic_bool over;
};

/* A message that zlib makes of 65536 zeros, so that no limit on growth forbids it. The mask is 0. */
static const uint8_t bomb[6 + 79] = { 0xc2, 0x80 | 79, 0, 0, 0, 0,
	0xec, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a, [6 + 77] = 0x6a };

/* The head of a message that has no end. */
static const uint8_t endless[14] = { 0x82, 0xff, 0x7f };

static void *flood_until_over(void *argument)
{
	struct flood *flood = argument;
	struct tls_peer *peer = &flood->peer;
	BIO *memory = BIO_new(BIO_s_mem());
	uint8_t bombs[150][sizeof bomb];
	char *data;
	long size;

	for (int i = 0; i < COUNT(bombs); i++)
		memcpy(bombs[i], bomb, sizeof bomb);
	/* Far more than a record goes out at once. */
	SSL_set0_wbio(peer->ssl, memory);
	if (flood->tiny)
		tls_peer_send(peer, endless, sizeof endless);
	while (!atomic_load(&flood->over)) {
		while ((size_t)BIO_pending(memory) < BATCH_BYTES)
			tls_peer_send(peer, bombs, flood->tiny ? 1 : sizeof bombs);
		size = BIO_get_mem_data(memory, &data);
		peer_send(peer->fd, data, (size_t)size);
		BIO_reset(memory);
	}
	return NULL;
}

/* The flood goes on for as long as the others need. */
static void expect_other_connections(void)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *listener;
	unsigned port;

	options.handshake_timeout_ms = options.close_timeout_ms = -1;
	client.connect_timeout_ms = client.handshake_timeout_ms = client.close_timeout_ms = -1;
	listener = tls_listen(&options, &port);
	for (int i = 0; i < 12; i++)
		tls_expect_service(listener, &client, NULL);
	ws_listener_close(listener);
}

/* _i: records of one byte, or bombs */
START_TEST(a_flood_leaves_time_for_other_connections)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key");
	struct flood flood = { .tiny = _i == 0 };
	struct tls_setup setup = { 0 };
	struct ws_listener *listener;
	pthread_t thread;
	FILE *flooded;

	options.compression = flood.tiny ? WS_COMPRESSION_OFF : WS_COMPRESSION_ON;
	options.close_timeout_ms = 0;
	listener = ws_listen("wss://127.0.0.1:0/", &options);
	/* A build without zlib. */
	if (listener == NULL && !flood.tiny && errno == EPROTONOSUPPORT)
		return;
	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	tls_peer_open(&flood.peer, peer_connect(peer_url_port(ws_listener_url(listener))), false, &setup);
	tls_peer_client_handshake(&flood.peer, "localhost", "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
	/* What comes is discarded, and so never waits for a reader. */
	flooded = ws_accept(listener, "w");
	ck_assert_ptr_nonnull(flooded);
	peer_thread(&thread, flood_until_over, &flood);
	wire_wait_received(flooded, BATCH_BYTES);
	expect_other_connections();
	atomic_store(&flood.over, true);
	peer_join(thread);
	ck_assert_int_eq(fclose(flooded), EOF);
	tls_peer_clear(&flood.peer);
	ws_listener_close(listener);
}
END_TEST

/* Sanitizers make the attacked as slow as the attacker is fast. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_LOAD 0
#else
#define UNDER_LOAD 2
#endif

int main(int argc, char *argv[])
{
	Suite *suite;
	TCase *tcase;
	int result;

	if (argc > 1)
		return leave_open(argv);
	suite = suite_create("secure_faults");
	tcase = wire_case(suite, "faults");
	pki_begin();
	tcase_add_loop_test(tcase, a_peer_with_small_records_gets_everything, 0, 2);
	tcase_add_test(tcase, a_write_waits_for_the_rest_of_a_ticket);
	tcase_add_loop_test(tcase, a_peer_may_wait_for_our_close_notify, 0, BOTH);
	tcase_add_loop_test(tcase, only_the_first_byte_tells_http_from_tls, 0, COUNT(beginnings));
	tcase_add_loop_test(tcase, what_was_printed_is_sent_at_exit, 0, 2);
	tcase_add_loop_test(tcase, a_busy_listener_does_not_disturb_exit, 0, 8);
	tcase_add_loop_test(tcase, a_child_sends_nothing_on_its_parents_stream, 0, BOTH);
	tcase_add_loop_test(tcase, a_flood_leaves_time_for_other_connections, 0, UNDER_LOAD);
	result = wire_run(suite);
	pki_end();
	return result;
}
