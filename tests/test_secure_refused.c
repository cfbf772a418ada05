/* SPDX-License-Identifier: 0BSD */
/* wss to and from those who are not to be trusted, or do not speak TLS: refused, with the reason. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* --- the server's certificate --- */

enum trust { TRUST_CA, TRUST_SYSTEM, TRUST_NONE };

static const struct bad {
	const char *cert, *key, *host, *server_name;
	enum trust trust;
	const char *pin;		/* a pin's file */
	const char *words;		/* of the text */
} bads[] = {
	{ "expired.pem", "expired.key", "localhost", NULL, TRUST_CA, NULL, "expired|localhost|CN" },
	{ "future.pem", "future.key", "localhost", NULL, TRUST_CA, NULL, "not yet valid|localhost" },
	{ "wrong.pem", "wrong.key", "localhost", NULL, TRUST_CA, NULL, "hostname mismatch|\"localhost\"|wrong" },
	{ "wrong.pem", "wrong.key", "127.0.0.1", NULL, TRUST_CA, NULL, "ip address mismatch|\"127.0.0.1\"|wrong" },
	{ "server.pem", "server.key", "localhost", "other.example", TRUST_CA, NULL, "mismatch|\"other.example\"" },
	{ "server.pem", "server.key", "localhost", "10.0.0.1", TRUST_CA, NULL, "mismatch|\"10.0.0.1\"" },
	{ "wild.pem", "wild.key", "localhost", "a.b.wild.example", TRUST_CA, NULL, "mismatch|wild" },
	{ "wild.pem", "wild.key", "localhost", "wild.example", TRUST_CA, NULL, "mismatch|wild" },
	{ "self.pem", "self.key", "localhost", NULL, TRUST_CA, NULL, "self-signed certificate|self" },
	{ "unknown.pem", "unknown.key", "localhost", NULL, TRUST_CA, NULL, "certificate|localhost" },
	{ "short.pem", "server.key", "localhost", NULL, TRUST_CA, NULL, "issuer certificate|CN" },
	{ "server.pem", "server.key", "localhost", NULL, TRUST_SYSTEM, NULL, "certificate|localhost" },
	{ "server.pem", "server.key", "localhost", NULL, TRUST_CA, "other.pin", "pin|server" },
	{ "server.pem", "server.key", "localhost", NULL, TRUST_NONE, "other.pin", "pin|server" },
	{ "client.pem", "client.key", "localhost", "unused", TRUST_CA, NULL, "purpose" },
};

static void read_pin(const char *name, char out[64])
{
	FILE *file = fopen(pki_file(name), "r");

	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(out, 64, file));
	fclose(file);
	out[strcspn(out, "\n")] = '\0';
}

START_TEST(a_bad_certificate_is_refused_with_the_reason)
{
	const struct bad *bad = &bads[_i];
	struct ws_options listener = tls_listener_options(bad->cert, bad->key), client = tls_client_options();
	struct ws_options careless = WS_OPTIONS_INIT;
	struct ws_listener *own;
	const char *pins[2] = { NULL, NULL };
	char pin[64];
	unsigned port;

	peer_count_begin();
	if (bad->trust != TRUST_CA)
		client.ca_file = NULL;
	if (bad->trust == TRUST_NONE)
		client.verify = WS_VERIFY_OFF;
	if (bad->pin != NULL) {
		read_pin(bad->pin, pin);
		pins[0] = pin;
		client.pin_sha256 = pins;
	}
	client.server_name = bad->server_name;
	own = tls_listen(&listener, &port);
	tls_expect_refusal(tls_url("wss", bad->host, port), &client, EKEYREJECTED, bad->words);
	ck_assert_int_eq(ws_last_error()->http_status, 0);
	careless.verify = WS_VERIFY_OFF;
	careless.proxy = "";
	tls_expect_service(own, &careless, NULL);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* --- the client's certificate --- */

static const struct unwelcome {
	enum ws_verify verify;		/* the listener's */
	const char *cert, *key;		/* the client's */
	int max_version;		/* of a raw client; the library's own speaks 1.3 */
} unwelcome[] = {
	{ WS_VERIFY_ON, NULL, NULL, TLS1_3_VERSION },
	{ WS_VERIFY_ON, "stranger.pem", "stranger.key", TLS1_3_VERSION },
	{ WS_VERIFY_IF_GIVEN, "stranger.pem", "stranger.key", TLS1_3_VERSION },
	{ WS_VERIFY_ON, "server.pem", "server.key", TLS1_3_VERSION },
	{ WS_VERIFY_ON, NULL, NULL, TLS1_2_VERSION },
	{ WS_VERIFY_ON, "stranger.pem", "stranger.key", TLS1_2_VERSION },
	{ WS_VERIFY_IF_GIVEN, "stranger.pem", "stranger.key", TLS1_2_VERSION },
};

START_TEST(a_listener_turns_unwelcome_clients_away)
{
	const struct unwelcome *one = &unwelcome[_i];
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), welcome = tls_client_options();
	struct tls_setup setup = { .max_version = one->max_version };
	struct ws_listener *own;
	struct tls_peer peer;
	unsigned port;

	peer_count_begin();
	listener.verify = one->verify;
	listener.ca_file = pki_file("ca.pem");
	own = tls_listen(&listener, &port);
	if (one->cert != NULL) {
		setup.cert_file = pki_file(one->cert);
		setup.key_file = pki_file(one->key);
	}
	/* In TLS 1.3 a client is done before the server has looked at its certificate. */
	if (tls_peer_try_open(&peer, peer_connect(port), false, &setup)) {
		ck_assert_int_eq(one->max_version, TLS1_3_VERSION);
		ck_assert_int_eq(tls_peer_end(&peer), TLS_END_ERROR);
	}
	ck_assert_msg(strstr(peer.error, "alert") != NULL, "%s", peer.error);
	tls_peer_clear(&peer);
	welcome.cert_file = pki_file("client.pem");
	welcome.key_file = pki_file("client.key");
	tls_expect_service(own, &welcome, NULL);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/*
 * The client's side of the same, against a raw server, which can speak 1.2. There a missing certificate is a
 * handshake_failure as many others (RFC 5246, section 7.4.6), which the text has to leave open.
 */
static const struct told {
	int version;
	bool stranger;
	int error;
	const char *words;
} told[] = {
	{ TLS1_2_VERSION, false, EPROTO, "certificate of ours|alert" },
	{ TLS1_2_VERSION, true, EKEYREJECTED, "refused our certificate|alert" },
	{ TLS1_3_VERSION, false, EKEYREJECTED, "certificate of ours|alert certificate required" },
	{ TLS1_3_VERSION, true, EKEYREJECTED, "refused our certificate|alert" },
};

START_TEST(a_client_is_told_that_its_certificate_is_refused)
{
	struct tls_setup setup = { .cert_file = pki_file("server.pem"), .key_file = pki_file("server.key"),
		.ca_file = pki_file("ca.pem"), .demand = true };
	struct tls_server server = { .setup = &setup };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	setup.max_version = told[_i].version;
	if (told[_i].stranger) {
		client.cert_file = pki_file("stranger.pem");
		client.key_file = pki_file("stranger.key");
	}
	tls_server_start(&server);
	tls_expect_refusal(tls_url("wss", "localhost", server.port), &client, told[_i].error, told[_i].words);
	tls_server_join(&server);
	ck_assert(!server.opened);
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

/* --- versions and protocols --- */

static const struct mismatch {
	int least, most;		/* the raw server's versions */
	enum ws_tls_version min_tls;
	const char *alpn;
	bool alpn_unasked;
	const char *words;
} mismatches[] = {
	{ TLS1_VERSION, TLS1_VERSION, WS_TLS_1_2, NULL, false, "version" },
	{ TLS1_1_VERSION, TLS1_1_VERSION, WS_TLS_1_2, NULL, false, "version" },
	{ TLS1_VERSION, TLS1_1_VERSION, WS_TLS_1_3, NULL, false, "version" },
	{ TLS1_2_VERSION, TLS1_2_VERSION, WS_TLS_1_3, NULL, false, "version" },
	{ 0, 0, WS_TLS_1_2, "h2", false, "application protocol" },
	{ 0, TLS1_2_VERSION, WS_TLS_1_2, "h2", false, "application protocol" },
	{ 0, 0, WS_TLS_1_2, "h2", true, "" },
	{ 0, TLS1_2_VERSION, WS_TLS_1_2, "h2", true, "" },
};

START_TEST(a_server_with_nothing_in_common_is_refused)
{
	const struct mismatch *one = &mismatches[_i];
	struct tls_setup setup = { .cert_file = pki_file("server.pem"), .key_file = pki_file("server.key"),
		.min_version = one->least, .max_version = one->most, .alpn = one->alpn,
		.alpn_unasked = one->alpn_unasked };
	struct tls_server server = { .setup = &setup };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	client.min_tls = one->min_tls;
	tls_server_start(&server);
	tls_expect_refusal(tls_url("wss", "localhost", server.port), &client, EPROTO, one->words);
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

START_TEST(a_client_with_nothing_in_common_is_refused)
{
	const struct mismatch *one = &mismatches[_i];
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct tls_setup setup = { .min_version = one->least, .max_version = one->most, .alpn = one->alpn };
	struct ws_listener *own;
	struct tls_peer peer;
	unsigned port;

	peer_count_begin();
	listener.min_tls = one->min_tls;
	own = tls_listen(&listener, &port);
	ck_assert(!tls_peer_try_open(&peer, peer_connect(port), false, &setup));
	ck_assert_msg(strstr(peer.error, "alert") != NULL, "%s", peer.error);
	tls_peer_clear(&peer);
	tls_expect_service(own, &client, NULL);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* A server that agrees on http/1.1, or that has never heard of ALPN, is fine. */
START_TEST(http_1_1_is_offered_and_its_silence_accepted)
{
	struct tls_setup setup = { .alpn = _i == 0 ? "http/1.1" : NULL };
	struct tls_wire wire;

	tls_wire_open(&wire, LIBRARY_IS_CLIENT, "r+", &setup, NULL);
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	tls_wire_end(&wire);
}
END_TEST

/* --- no TLS --- */

struct plain {
	int listener;
	const char *answer;
	size_t size;
	bool reset;
	pthread_t thread;
	unsigned port;
};

/* What the client says is read first: a reset could destroy the answer. */
static void *answer_plainly(void *argument)
{
	struct plain *plain = argument;
	int fd = peer_accept(plain->listener);
	char byte;

	ck_assert_uint_eq(peer_recv(fd, &byte, 1), 1);
	peer_send(fd, plain->answer, plain->size);
	if (plain->reset) {
		peer_reset(fd);
		return NULL;
	}
	peer_fin(fd);
	peer_was_reset(fd);
	close(fd);
	return NULL;
}

static void start_plain(struct plain *plain)
{
	plain->listener = peer_listen(&plain->port);
	peer_thread(&plain->thread, answer_plainly, plain);
}

static void end_plain(struct plain *plain)
{
	peer_join(plain->thread);
	close(plain->listener);
}

#define TEXT(text) text, sizeof(text) - 1

static const struct garbage {
	const char *answer;
	size_t size;
	const char *words;
} garbages[] = {
	{ TEXT("HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak TLS" },
	{ TEXT("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "does not speak TLS" },
	{ TEXT("\x81\x05hello\x81\x05hello"), "does not speak TLS" },
	{ TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "does not speak TLS" },
	/* a record of 65535 bytes */
	{ TEXT("\x16\x03\x03\xff\xff" "0123456789abcdef"), "" },
	/* a handshake message of 16 MiB */
	{ TEXT("\x16\x03\x03\x00\x05\x02\xff\xff\xff\x03"), "" },
	/* application data before any handshake */
	{ TEXT("\x17\x03\x03\x00\x05hello"), "" },
	/* a ServerHello of nothing */
	{ TEXT("\x16\x03\x03\x00\x04\x02\0\0\0"), "" },
	/* a record of an unknown kind, and an alert of no known level */
	{ TEXT("\x1f\x03\x03\x00\x02\x01\x01"), "" },
	{ TEXT("\x15\x03\x03\x00\x02\x09\x09"), "" },
	/* a fatal alert: handshake_failure, internal_error */
	{ TEXT("\x15\x03\x03\x00\x02\x02\x28"), "alert|handshake failure" },
	{ TEXT("\x15\x03\x03\x00\x02\x02\x50"), "alert|internal error" },
};

START_TEST(garbage_in_place_of_tls_is_refused)
{
	struct plain plain = { .answer = garbages[_i].answer, .size = garbages[_i].size };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	start_plain(&plain);
	tls_expect_refusal(tls_url("wss", "localhost", plain.port), &client, EPROTO, garbages[_i].words);
	end_plain(&plain);
	peer_count_end();
}
END_TEST

/* _i: nothing, or half a ServerHello; FIN or RST */
START_TEST(tcp_that_ends_in_the_handshake_is_a_reset)
{
	static const char half[] = "\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
	struct plain plain = { .answer = half, .size = _i / 2 == 0 ? 0 : sizeof half - 1, .reset = _i % 2 == 1 };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	start_plain(&plain);
	tls_expect_refusal(tls_url("wss", "localhost", plain.port), &client, ECONNRESET, "");
	end_plain(&plain);
	peer_count_end();
}
END_TEST

/* A real server's flight, cut in the header, in ServerHello, behind it, in the certificates. */
START_TEST(a_servers_flight_that_is_cut_is_a_reset)
{
	static const size_t cuts[] = { 1, 4, 5, 6, 50, 127, 128, 200, 900, 1000 };
	struct tls_setup setup = { .cert_file = pki_file("server.pem"), .key_file = pki_file("server.key"),
		.cut_after_bytes = cuts[_i / 2], .max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
	struct tls_server server = { .setup = &setup };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	tls_server_start(&server);
	tls_expect_refusal(tls_url("wss", "localhost", server.port), &client, ECONNRESET, "");
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

START_TEST(a_silent_server_is_given_up)
{
	struct ws_options client = tls_client_options();
	unsigned port;
	int listener;

	peer_count_begin();
	listener = peer_listen(&port);
	client.handshake_timeout_ms = 150;
	tls_expect_refusal(tls_url("wss", "localhost", port), &client, ETIMEDOUT, "");
	close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_slow_but_steady_peer_is_waited_for)
{
	struct tls_setup setup = { .byte_by_byte = true,
		.max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
	struct tls_wire wire;

	tls_wire_open(&wire, (enum wire_role)(_i / 2), "r+", &setup, NULL);
	tls_wire_say(&wire, "drop by drop\n");
	wire_expect_line(wire.stream, "drop by drop\n");
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	tls_wire_end(&wire);
}
END_TEST

/* --- TLS here, none there --- */

START_TEST(wss_to_a_plain_listener_says_so)
{
	struct ws_options client = tls_client_options(), plain = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	plain.proxy = "";
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	tls_expect_refusal(tls_url("wss", "localhost", port), &client, EPROTO, "does not speak TLS");
	tls_expect_service(listener, &plain, NULL);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* A server that answers in TLS, as OpenSSL, nginx without its 400, and others do: an alert. */
START_TEST(ws_to_a_port_that_answers_with_a_tls_alert_says_so)
{
	static const char alert[] = "\x15\x03\x01\x00\x02\x02\x46";
	struct plain plain = { .answer = alert, .size = sizeof alert - 1 };
	struct ws_options client = tls_client_options();

	peer_count_begin();
	start_plain(&plain);
	tls_expect_refusal(tls_url("ws", "localhost", plain.port), &client, EPROTO, "TLS");
	end_plain(&plain);
	peer_count_end();
}
END_TEST

/* Our own listener answers in plain HTTP, so that the other end can read what is wrong. */
START_TEST(ws_to_a_tls_listener_says_so)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *own;
	unsigned port;

	peer_count_begin();
	own = tls_listen(&listener, &port);
	tls_expect_refusal(tls_url("ws", "localhost", port), &client, ECONNABORTED, "400");
	ck_assert_int_eq(ws_last_error()->http_status, 400);
	tls_expect_service(own, &client, NULL);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure_refused");
	TCase *tcase = wire_case(suite, "refused");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, a_bad_certificate_is_refused_with_the_reason, 0, COUNT(bads));
	tcase_add_loop_test(tcase, a_listener_turns_unwelcome_clients_away, 0, COUNT(unwelcome));
	tcase_add_loop_test(tcase, a_client_is_told_that_its_certificate_is_refused, 0, COUNT(told));
	tcase_add_loop_test(tcase, a_server_with_nothing_in_common_is_refused, 0, COUNT(mismatches));
	/* Those behind choose where nobody asked: only a server can. */
	tcase_add_loop_test(tcase, a_client_with_nothing_in_common_is_refused, 0, COUNT(mismatches) - 2);
	tcase_add_loop_test(tcase, http_1_1_is_offered_and_its_silence_accepted, 0, 2);
	tcase_add_loop_test(tcase, garbage_in_place_of_tls_is_refused, 0, COUNT(garbages));
	tcase_add_loop_test(tcase, tcp_that_ends_in_the_handshake_is_a_reset, 0, 4);
	tcase_add_loop_test(tcase, a_servers_flight_that_is_cut_is_a_reset, 0, 20);
	tcase_add_test(tcase, a_silent_server_is_given_up);
	tcase_add_loop_test(tcase, a_slow_but_steady_peer_is_waited_for, 0, 4);
	tcase_add_test(tcase, wss_to_a_plain_listener_says_so);
	tcase_add_test(tcase, ws_to_a_port_that_answers_with_a_tls_alert_says_so);
	tcase_add_test(tcase, ws_to_a_tls_listener_says_so);
	result = wire_run(suite);
	pki_end();
	return result;
}
