/* SPDX-License-Identifier: 0BSD */
/*
 * Clients that want a listener's resources and no connection: half-open ones, slow ones, floods of them, headers
 * without end. Others get in meanwhile, and what is held stays bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "hostile.h"
#include "memcheck.h"
#include "pki.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
/* As ws_listen(3) says. */
#define HANDSHAKES_MOST 1024
#define HEAD "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define REQUEST HEAD UPGRADE KEY "\r\n"

static struct ws_options listener_options(bool secure)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.handshake_timeout_ms = -1;	/* nothing but the other limits helps */
	options.close_timeout_ms = 200;
	if (secure) {
		options.cert_file = pki_file("server.pem");
		options.key_file = pki_file("server.key");
	}
	return options;
}

static struct ws_options client_options(bool secure)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.connect_timeout_ms = options.handshake_timeout_ms = -1;
	if (secure)
		options.ca_file = pki_file("ca.pem");
	return options;
}

static struct ws_listener *listen_with(const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener =
	    ws_listen(options->cert_file != NULL ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

/* --- a crowd of attackers --- */

struct crowd {
	int *fd;
	size_t count;
};

static void crowd_open(struct crowd *crowd, size_t count, unsigned port, const void *data, size_t size)
{
	*crowd = (struct crowd){ calloc(count, sizeof *crowd->fd), count };
	ck_assert_ptr_nonnull(crowd->fd);
	for (size_t i = 0; i < count; i++) {
		crowd->fd[i] = peer_connect(port);
		if (size > 0)
			(void)peer_try_send(crowd->fd[i], data, size);
	}
}

static void crowd_close(struct crowd *crowd)
{
	for (size_t i = 0; i < crowd->count; i++)
		close(crowd->fd[i]);
	free(crowd->fd);
}

/* --- half-open --- */

/* A TLS record with the beginning of a ClientHello whose declared length is the longest that OpenSSL takes. */
#define LONG_HELLO "\x16\x03\x01\x00\x06\x01\x02\x00\x00\x03\x03"

static const struct {
	const char *name;
	bool secure;
	const char *data;
	size_t size;
	size_t each_bytes;		/* at most so much memory for each */
} half_open[] = {
	{ "nothing", false, "", 0, 4096 },
	{ "half a request", false, HEAD "Upgrade: webs", sizeof(HEAD "Upgrade: webs") - 1, 4096 },
	{ "a long request's beginning", false, NULL, 16000, 40960 },
	{ "nothing, over TLS", true, "", 0, 16384 },
	{ "half a ClientHello", true, "\x16\x03\x01\x01", 4, 98304 },
	/* Some releases of OpenSSL 3.0 set the whole of it aside once they know the length, 128 KiB. */
	{ "half of the longest ClientHello", true, LONG_HELLO, sizeof LONG_HELLO - 1, 262144 },
};

/* A header's value that goes on for so long. */
static char *long_request(size_t size)
{
	char *text = malloc(size + sizeof HEAD);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', size);
	memcpy(text, HEAD "X-Long: ", sizeof HEAD "X-Long: " - 1);
	return text;
}

START_TEST(half_open_connections_keep_nobody_out)
{
	size_t count = hostile_share(1000), before;
	bool secure = half_open[_i].secure;
	struct ws_options options = listener_options(secure), client = client_options(secure);
	char *made = half_open[_i].data == NULL ? long_request(half_open[_i].size) : NULL;
	const char *data = made != NULL ? made : half_open[_i].data;
	struct ws_listener *listener;
	struct crowd crowd;
	struct good good;
	unsigned port;

	peer_count_begin();
	hostile_descriptors(2 * count + 100);
	listener = listen_with(&options, &port);
	good_open(&good, listener, &client);
	good_exchange(&good, 10);
	before = hostile_heap();
	crowd_open(&crowd, count, port, data, half_open[_i].size);
	good_exchange(&good, 100);
	good_expect(listener, &client);
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%s: %.1f KB each\n", half_open[_i].name,
		    (double)(hostile_heap() - before) / (double)count / 1000);
	hostile_expect_heap(before + count * half_open[_i].each_bytes + 1048576, half_open[_i].name);
	good_exchange(&good, 100);
	crowd_close(&crowd);
	good_expect(listener, &client);
	hostile_expect_heap(before + 1048576, "when they are gone");
	good_close(&good);
	ws_listener_close(listener);
	free(made);
	peer_count_end();
}
END_TEST

/* Beyond the most the oldest are dropped, and that is the end of them. */
START_TEST(a_dropped_handshake_leaves_nothing_behind)
{
	size_t more = hostile_share(2000), before;
	bool secure = _i == 1;
	struct ws_options options = listener_options(secure), client = client_options(secure);
	struct ws_listener *listener;
	struct crowd first, second;
	unsigned port;

	peer_count_begin();
	hostile_descriptors(2 * HANDSHAKES_MOST + more + 100);
	listener = listen_with(&options, &port);
	crowd_open(&first, HANDSHAKES_MOST, port, "G", 1);
	good_expect(listener, &client);
	before = hostile_heap();
	crowd_open(&second, more, port, "G", 1);
	/* Through the same queue: all before it have been taken. */
	good_expect(listener, &client);
	for (size_t i = 0; i < HANDSHAKES_MOST && i < more; i++)
		ck_assert_msg(peer_at_end(first.fd[i]), "number %zu was not dropped", i);
	hostile_expect_heap(before + 262144, "dropped handshakes");
	crowd_close(&first);
	crowd_close(&second);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- descriptors --- */

/* Sockets with numbers over any limit that is set later. */
#define HIGH 4000

static int high_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
	struct timeval limit = { .tv_sec = 20 };

	ck_assert_msg(high >= HIGH, "%s", strerror(errno));
	close(fd);
	ck_assert_int_eq(setsockopt(high, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	return high;
}

static void connect_socket(int fd, unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };

	ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "%s", strerror(errno));
}

static void limit_descriptors(rlim_t most)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = most;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* _i: helper threads */
START_TEST(half_open_connections_that_take_all_descriptors_keep_nobody_out)
{
	struct ws_options options = listener_options(false);
	struct ws_listener *listener;
	int attackers[200], friends[10];
	FILE *stream;
	unsigned port;

	peer_count_begin();
	hostile_descriptors(HIGH + 400);
	for (int i = 0; i < COUNT(attackers); i++)
		attackers[i] = high_socket();
	for (int i = 0; i < COUNT(friends); i++)
		friends[i] = high_socket();
	options.helper_threads = (unsigned)_i;
	listener = listen_with(&options, &port);
	limit_descriptors(100);
	for (int i = 0; i < COUNT(attackers); i++)
		connect_socket(attackers[i], port);
	for (int i = 0; i < COUNT(friends); i++) {
		connect_socket(friends[i], port);
		peer_client_handshake(friends[i], port, "/", "");
		stream = ws_accept(listener, "r");
		ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
		peer_close(friends[i], true, 1000, "");
		ck_assert_msg(fclose(stream) == 0 || errno == ETIMEDOUT, "%s", strerror(errno));
	}
	hostile_descriptors(HIGH);
	for (int i = 0; i < COUNT(attackers); i++)
		close(attackers[i]);
	for (int i = 0; i < COUNT(friends); i++)
		close(friends[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* The program, and what is open, have the other half. */
START_TEST(handshakes_take_no_more_than_half_of_the_descriptors)
{
	struct ws_options options = listener_options(false);
	struct ws_listener *listener;
	int attackers[200], taken[90], friend;
	FILE *stream;
	unsigned port;

	peer_count_begin();
	hostile_descriptors(HIGH + 400);
	for (int i = 0; i < COUNT(attackers); i++)
		attackers[i] = high_socket();
	friend = high_socket();
	limit_descriptors(240);
	listener = listen_with(&options, &port);
	for (int i = 0; i < COUNT(attackers); i++)
		connect_socket(attackers[i], port);
	connect_socket(friend, port);
	peer_client_handshake(friend, port, "/", "");
	stream = ws_accept(listener, "r");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	for (int i = 0; i < COUNT(taken); i++) {
		taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ck_assert_msg(taken[i] >= 0, "number %d: %s", i, strerror(errno));
	}
	for (int i = 0; i < COUNT(taken); i++)
		close(taken[i]);
	peer_reset(friend);
	ck_assert_int_eq(fclose(stream), EOF);
	hostile_descriptors(HIGH);
	for (int i = 0; i < COUNT(attackers); i++)
		close(attackers[i]);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_listener_without_descriptors_recovers)
{
	struct ws_options options = listener_options(false);
	struct ws_listener *listener;
	int taken[100], count = 0, friend;
	FILE *stream;
	unsigned port;

	peer_count_begin();
	hostile_descriptors(HIGH + 100);
	friend = high_socket();
	listener = listen_with(&options, &port);
	limit_descriptors(60);
	while (count < COUNT(taken) && (taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	ck_assert_int_lt(count, COUNT(taken));
	connect_socket(friend, port);
	peer_send(friend, REQUEST, sizeof REQUEST - 1);
	/* It looks again and again; none of that is to be seen from here. */
	nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
	ck_assert_msg(recv(friend, &options, 1, MSG_DONTWAIT | MSG_PEEK) < 0, "an answer without a descriptor");
	while (count > 0)
		close(taken[--count]);
	stream = ws_accept(listener, "r");
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	peer_reset(friend);
	ck_assert_int_eq(fclose(stream), EOF);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- slow ones --- */

static const struct {
	bool secure;
	const char *text;		/* sent byte by byte, again and again */
} trickles[] = {
	{ false, "GET / HTTP/1.1\r\n" },
	{ false, "x" },
	{ true, "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" "a random number of thirty-two by" "\x20" },
	{ true, "\x14\x03\x03\x00\x01\x01" },
};

/* The limit is one for the whole, which no byte moves. */
START_TEST(a_trickle_does_not_move_the_limit_of_the_handshake)
{
	bool secure = trickles[_i].secure;
	struct ws_options options = listener_options(secure);
	size_t length = strlen(trickles[_i].text), sent;
	struct ws_listener *listener;
	unsigned port;
	int fd;

	peer_count_begin();
	/* The text is not to be wrong, or that ends it; headers may be as long as that. */
	options.max_header_bytes = 1048576;
	options.handshake_timeout_ms = 300;
	listener = listen_with(&options, &port);
	fd = peer_connect(port);
	for (sent = 0; sent < 1000; sent++) {
		size_t at = sent < length ? sent : trickles[_i].secure ? length - 1 : sent % length;
		char byte = sent >= length && !secure && length > 1 ? 'x' : trickles[_i].text[at];

		if (!peer_try_send(fd, &byte, 1))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	ck_assert_msg(sent < 1000, "still there after 1000 bytes");
	close(fd);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- headers --- */

/* What comes back up to the end, 0 = nothing. */
static int status_of(int fd)
{
	char answer[13] = "";

	if (peer_recv(fd, answer, 12) < 12)
		return 0;
	ck_assert_msg(strncmp(answer, "HTTP/1.1 ", 9) == 0, "answered: %s", answer);
	return (int)strtol(answer + 9, NULL, 10);
}

static const struct {
	const char *line;		/* again and again behind HEAD */
	size_t bytes;			/* so much in all */
	int status;
} headers[] = {
	{ "X-Long: abcdefghijklmnopqrstuvwxyz 0123456789\r\n", 65536, 431 },
	{ "x", 65536, 431 },
	{ "a:\r\n", 65536, 431 },
	{ "Sec-WebSocket-Protocol: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z\r\n", 65536, 431 },
	{ "Host: a\r\n", 65536, 431 },
	{ "\r\n", 65536, 426 },
};

START_TEST(a_header_block_without_end_is_refused)
{
	struct ws_options options = listener_options(false);
	struct ws_listener *listener;
	size_t before, length = strlen(headers[_i].line), sent = 0;
	struct good good;
	unsigned port;
	int fd;

	peer_count_begin();
	listener = listen_with(&options, &port);
	good_open(&good, listener, NULL);
	before = hostile_heap();
	for (int i = 0; i < 20; i++) {
		fd = peer_connect(port);
		for (sent = peer_try_send(fd, HEAD, sizeof HEAD - 1); sent > 0 && sent < headers[_i].bytes;
		    sent += length)
			if (!peer_try_send(fd, headers[_i].line, length))
				break;
		ck_assert_int_eq(status_of(fd), headers[_i].status);
		close(fd);
	}
	good_exchange(&good, 10);
	hostile_expect_heap(before + 131072, "refused headers");
	good_close(&good);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* A refusal is not read, and the request goes on: close_timeout_ms is the end of it. */
START_TEST(who_goes_on_behind_a_refusal_is_cut)
{
	struct ws_options options = listener_options(false);
	static char block[65536];
	struct ws_listener *listener;
	struct flood flood = { .block = block, .size = sizeof block, .most_rounds = UINT64_MAX };
	struct good good;
	unsigned port;

	peer_count_begin();
	memset(block, 'x', sizeof block);
	listener = listen_with(&options, &port);
	good_open(&good, listener, NULL);
	flood.fd = peer_connect(port);
	flood_begin(&flood);
	while (!atomic_load(&flood.refused))
		good_exchange(&good, 1);
	flood_end(&flood);
	close(flood.fd);
	good_close(&good);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- coming and going --- */

static const struct {
	bool secure;
	const char *data;
	size_t size;
	bool reads;			/* the answer's beginning, so that the handshake is done */
} visits[] = {
	{ false, "", 0, false },
	{ false, HEAD, sizeof HEAD - 1, false },
	{ false, REQUEST, sizeof REQUEST - 1, false },
	{ false, REQUEST, sizeof REQUEST - 1, true },
	{ true, "", 0, false },
	{ true, LONG_HELLO, sizeof LONG_HELLO - 1, false },
};

/* Those whose handshakes were complete are the program's to accept and to close; they are over, all of them. */
static unsigned accept_all(struct ws_listener *listener)
{
	struct pollfd pollfd = { .fd = ws_listener_pollfd(listener), .events = POLLIN };
	unsigned count = 0;

	while (poll(&pollfd, 1, 0) == 1) {
		FILE *stream = ws_accept(listener, "r");

		ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
		ck_assert_int_eq(fclose(stream), EOF);
		count++;
	}
	return count;
}

START_TEST(coming_and_going_leaves_nothing_behind)
{
	size_t count = hostile_share(1600), before;
	bool secure = visits[_i].secure;
	struct ws_options options = listener_options(secure), client = client_options(secure);
	struct ws_listener *listener;
	struct good good;
	unsigned port;
	char byte;
	int fd;

	peer_count_begin();
	listener = listen_with(&options, &port);
	good_open(&good, listener, &client);
	before = hostile_heap();
	for (size_t i = 0; i < count; i++) {
		fd = peer_connect(port);
		if (visits[_i].size > 0)
			peer_send(fd, visits[_i].data, visits[_i].size);
		if (visits[_i].reads)
			ck_assert_uint_eq(peer_recv(fd, &byte, 1), 1);
		peer_reset(fd);
		if (i % 64 == 63) {
			good_exchange(&good, 1);
			(void)accept_all(listener);
		}
	}
	while (accept_all(listener) > 0)
		;
	hostile_expect_heap(before + 262144, "visitors that have gone");
	good_exchange(&good, 10);
	good_close(&good);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_listener");
	TCase *open_case = wire_case(suite, "half_open"), *descriptors = wire_case(suite, "descriptors");
	TCase *slow = wire_case(suite, "slow"), *header = wire_case(suite, "headers");
	TCase *visit = wire_case(suite, "visits");
	int result;

	pki_begin();
	tcase_add_loop_test(open_case, half_open_connections_keep_nobody_out, 0, COUNT(half_open));
	tcase_add_loop_test(open_case, a_dropped_handshake_leaves_nothing_behind, 0, 2);
	/* Over the limit valgrind lets the kernel accept, closes what came, and only then says EMFILE. */
	if (!under_valgrind()) {
		tcase_add_loop_test(descriptors, half_open_connections_that_take_all_descriptors_keep_nobody_out, 1, 3);
		tcase_add_test(descriptors, a_listener_without_descriptors_recovers);
	}
	tcase_add_test(descriptors, handshakes_take_no_more_than_half_of_the_descriptors);
	tcase_add_loop_test(slow, a_trickle_does_not_move_the_limit_of_the_handshake, 0, COUNT(trickles));
	tcase_add_loop_test(header, a_header_block_without_end_is_refused, 0, COUNT(headers));
	tcase_add_test(header, who_goes_on_behind_a_refusal_is_cut);
	tcase_add_loop_test(visit, coming_and_going_leaves_nothing_behind, 0, COUNT(visits));
	result = wire_run(suite);
	pki_end();
	return result;
}
