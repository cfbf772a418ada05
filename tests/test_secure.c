/* SPDX-License-Identifier: 0BSD */
/* wss with the library at both ends: who is let in, and that a stream over TLS is a stream like any other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static struct ws_status status_of(FILE *stream)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_int_eq(ws_status(stream, &status), 0);
	return status;
}

/* --- the server's certificate --- */

static const struct good {
	const char *host, *cert, *key;	/* the URL's host; the listener's files, key NULL = in cert */
	const char *server_name;
	const char *subject;
	bool ca_dir;
} good[] = {
	{ "localhost", "server.pem", "server.key", NULL, "server", false },
	{ "127.0.0.1", "server.pem", "server.key", NULL, "server", false },
	{ "LocalHost", "server.pem", "server.key", NULL, "server", false },
	{ "localhost", "both.pem", NULL, NULL, "server", false },
	{ "localhost", "rsa.pem", "rsa.key", NULL, "rsa", false },
	{ "127.0.0.1", "rsa.pem", "rsa.key", NULL, "rsa", true },
	{ "localhost", "server.pem", "server.key", NULL, "server", true },
	{ "127.0.0.1", "other.pem", "other.key", "other.example", "other", false },
	{ "localhost", "other.pem", "other.key", "Other.Example", "other", false },
	{ "localhost", "wild.pem", "wild.key", "any.wild.example", "wild", false },
	{ "localhost", "server.pem", "server.key", "127.0.0.1", "server", false },
	{ "localhost", "server.pem", "server.key", "::1", "server", false },
};

START_TEST(a_good_certificate_is_accepted)
{
	const struct good *one = &good[_i];
	struct ws_options listener = tls_listener_options(one->cert, "server.key"), client = tls_client_options();
	struct ws_listener *own;
	struct ws_status status;
	struct duet duet;
	unsigned port;

	peer_count_begin();
	listener.key_file = one->key != NULL ? pki_file(one->key) : NULL;
	client.server_name = one->server_name;
	if (one->ca_dir) {
		client.ca_file = NULL;
		client.ca_dir = pki_file("cadir");
	}
	own = tls_listen(&listener, &port);
	duet_join(&duet, own, tls_url("wss", one->host, port), &client, "r+");
	duet_greet(&duet);
	status = status_of(duet.client);
	ck_assert_str_eq(status.tls_version, "TLSv1.3");
	ck_assert_msg(strncmp(status.tls_cipher, "TLS_", 4) == 0, "%s", status.tls_cipher);
	ck_assert_msg(strstr(status.tls_peer, one->subject) != NULL, "%s", status.tls_peer);
	ck_assert_int_eq(status.http_status, 101);
	status = status_of(duet.server);
	ck_assert_str_eq(status.tls_version, "TLSv1.3");
	ck_assert_str_eq(status.tls_peer, "");
	ck_assert(!status.tls_resumed);
	duet_close(&duet);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

START_TEST(ipv6_addresses_are_checked_too)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *own;
	struct duet duet;

	if (access("/proc/net/if_inet6", R_OK) != 0)
		return;
	peer_count_begin();
	own = ws_listen("wss://[::1]:0/", &listener);
	if (own == NULL && errno == EADDRNOTAVAIL) {
		peer_count_end();
		return;
	}
	ck_assert_msg(own != NULL, "%s", ws_last_error()->text);
	duet_join(&duet, own, NULL, &client, "r+");
	duet_greet(&duet);
	duet_close(&duet);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

START_TEST(a_plain_stream_says_nothing_of_tls)
{
	struct ws_options client = WS_OPTIONS_INIT;
	struct ws_status status;
	struct duet duet;

	peer_count_begin();
	client.proxy = "";
	duet_open(&duet, "ws://127.0.0.1:0/", NULL, &client, "r+");
	status = status_of(duet.client);
	ck_assert_str_eq(status.tls_version, "");
	ck_assert_str_eq(status.tls_cipher, "");
	ck_assert_str_eq(status.tls_peer, "");
	ck_assert(!status.tls_resumed);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* What is wrong with the certificate does not matter with verify = off, and only then. */
START_TEST(verify_off_lets_anybody_be_there)
{
	static const char *const names[] = { "expired", "future", "wrong", "self", "unknown" };
	struct ws_options listener, client = tls_client_options();
	char cert[32], key[32];
	struct duet duet;

	peer_count_begin();
	snprintf(cert, sizeof cert, "%s.pem", names[_i]);
	snprintf(key, sizeof key, "%s.key", names[_i]);
	listener = tls_listener_options(cert, key);
	client.ca_file = NULL;
	client.verify = WS_VERIFY_OFF;
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_greet(&duet);
	ck_assert_ptr_nonnull(strstr(status_of(duet.client).tls_peer, names[_i]));
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* --- the client's certificate --- */

static const struct admission {
	enum ws_verify verify;
	const char *cert, *key;		/* the client's */
	const char *subject;		/* what the server knows then */
} admissions[] = {
	{ WS_VERIFY_ON, "client.pem", "client.key", "client" },
	{ WS_VERIFY_IF_GIVEN, "client.pem", "client.key", "client" },
	{ WS_VERIFY_IF_GIVEN, NULL, NULL, "" },
	{ WS_VERIFY_OFF, NULL, NULL, "" },
	{ WS_VERIFY_OFF, "stranger.pem", "stranger.key", NULL },
};

START_TEST(a_client_with_a_good_certificate_is_let_in)
{
	const struct admission *one = &admissions[_i / 2];
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_status status;
	struct duet duet;

	peer_count_begin();
	listener.verify = one->verify;
	if (_i % 2 == 0)
		listener.ca_file = pki_file("ca.pem");
	else
		listener.ca_dir = pki_file("cadir");
	if (one->cert != NULL) {
		client.cert_file = pki_file(one->cert);
		client.key_file = pki_file(one->key);
	}
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_greet(&duet);
	status = status_of(duet.server);
	if (one->subject != NULL && one->subject[0] != '\0')
		ck_assert_msg(strstr(status.tls_peer, one->subject) != NULL, "%s", status.tls_peer);
	else if (one->subject != NULL)
		ck_assert_str_eq(status.tls_peer, "");
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* --- pins --- */

static void read_pin(const char *name, const char *prefix, char out[64])
{
	FILE *file = fopen(pki_file(name), "r");
	char line[64];

	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	snprintf(out, 64, "%s%s", prefix, line);
}

/* _i: with "sha256//" before it; verify off; as the second of two */
START_TEST(a_pinned_key_is_accepted)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	char right[64], other[64];
	const char *pins[3] = { right, NULL, NULL };
	struct duet duet;

	peer_count_begin();
	read_pin("server.pin", _i % 2 == 1 ? "sha256//" : "", right);
	read_pin("other.pin", "", other);
	if (_i / 4 == 1) {
		pins[0] = other;
		pins[1] = right;
	}
	client.pin_sha256 = pins;
	if (_i / 2 % 2 == 1) {
		client.ca_file = NULL;
		client.verify = WS_VERIFY_OFF;
	}
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_greet(&duet);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(a_listener_pins_its_clients)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	const char *pins[2] = { NULL, NULL };
	struct ws_listener *own;
	struct duet duet;
	char pin[64];
	unsigned port;

	peer_count_begin();
	read_pin(_i == 0 ? "client.pin" : "other.pin", "", pin);
	pins[0] = pin;
	listener.pin_sha256 = pins;
	listener.ca_file = pki_file("ca.pem");
	client.cert_file = pki_file("client.pem");
	client.key_file = pki_file("client.key");
	own = tls_listen(&listener, &port);
	if (_i == 0) {
		duet_join(&duet, own, NULL, &client, "r+");
		duet_greet(&duet);
		duet_close(&duet);
	} else {
		tls_expect_refusal(tls_url("wss", "localhost", port), &client, EKEYREJECTED, "refused our certificate");
	}
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* --- resumption --- */

/* _i: whether the client shows a certificate, which the server still knows then */
START_TEST(the_second_connection_resumes_the_session)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *own;
	struct duet duet;
	unsigned port;

	peer_count_begin();
	if (_i == 1) {
		listener.ca_file = pki_file("ca.pem");
		client.cert_file = pki_file("client.pem");
		client.key_file = pki_file("client.key");
	}
	own = tls_listen(&listener, &port);
	for (int i = 0; i < 3; i++) {
		duet_join(&duet, own, NULL, &client, "r+");
		duet_greet(&duet);
		ck_assert_int_eq(status_of(duet.client).tls_resumed, i > 0);
		ck_assert_int_eq(status_of(duet.server).tls_resumed, i > 0);
		ck_assert_ptr_nonnull(strstr(status_of(duet.client).tls_peer, "server"));
		if (_i == 1)
			ck_assert_ptr_nonnull(strstr(status_of(duet.server).tls_peer, "client"));
		duet_close(&duet);
	}
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* What was agreed under other rules is not resumed: each of these asks for a check that the session never saw. */
START_TEST(a_session_serves_only_the_options_it_was_made_under)
{
	struct ws_options listener = tls_listener_options("unknown.pem", "unknown.key"), client = tls_client_options();
	struct ws_options lax = client, named = client;
	struct ws_listener *own;
	struct duet duet;
	unsigned port;
	const char *url;

	peer_count_begin();
	lax.verify = WS_VERIFY_OFF;
	named.ca_file = pki_file("ca2.pem");
	named.server_name = "elsewhere.example";
	own = tls_listen(&listener, &port);
	url = tls_url("wss", "localhost", port);
	for (int i = 0; i < 2; i++) {
		duet_join(&duet, own, url, &lax, "r+");
		duet_greet(&duet);
		duet_close(&duet);
	}
	tls_expect_refusal(url, &client, EKEYREJECTED, "certificate");
	client.ca_file = pki_file("ca2.pem");
	duet_join(&duet, own, url, &client, "r+");
	duet_greet(&duet);
	ck_assert(!status_of(duet.client).tls_resumed);
	duet_close(&duet);
	tls_expect_refusal(url, &named, EKEYREJECTED, "elsewhere.example");
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* --- a stream like any other --- */

START_TEST(both_sides_half_close)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;
	int lines = 0;
	char line[64];

	peer_count_begin();
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	for (int i = 0; i < 1000; i++)
		fprintf(duet.client, "question %d\n", i);
	ck_assert_int_eq(ws_shutdown(duet.client, 1000, NULL), 0);
	while (fgets(line, sizeof line, duet.server) != NULL)
		lines++;
	ck_assert_int_eq(lines, 1000);
	ck_assert(feof(duet.server) && !ferror(duet.server));
	for (int i = 0; i < 2000; i++)
		fprintf(duet.server, "answer %d\n", i);
	ck_assert_int_eq(ws_shutdown(duet.server, 1000, NULL), 0);
	while (fgets(line, sizeof line, duet.client) != NULL)
		lines++;
	ck_assert_int_eq(lines, 3000);
	ck_assert(feof(duet.client) && !ferror(duet.client));
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* A smaller buffer than a record: 4096 bytes hold a quarter of one. */
static const struct bulk {
	uint64_t bytes;
	size_t most, buffer_bytes, stdio_bytes;
} bulks[] = {
	{ 16 << 20, 100000, 0, 32768 },
	{ 4 << 20, 3000000, 0, 0 },
	{ 1 << 20, 20000, 4096, 1024 },
	{ 1 << 20, 5000, 4096, 0 },
};

START_TEST(much_goes_both_ways_at_once)
{
	const struct bulk *bulk = &bulks[_i];
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;

	peer_count_begin();
	if (bulk->buffer_bytes > 0) {
		listener.recv_buffer_bytes = listener.send_buffer_bytes = bulk->buffer_bytes;
		client.recv_buffer_bytes = client.send_buffer_bytes = bulk->buffer_bytes;
	}
	listener.stdio_buffer_bytes = client.stdio_buffer_bytes = bulk->stdio_bytes;
	duet_open_pairs(&duet, "wss://127.0.0.1:0/", &listener, &client);
	duet_exchange(&duet, DUET_NOISE, bulk->bytes, bulk->most);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(one_byte_at_a_time_comes_through)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;

	peer_count_begin();
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_pass_bytes(&duet);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(reading_and_writing_alternate_with_unread_input)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;

	peer_count_begin();
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_alternate(&duet, 500);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* What is queued in OpenSSL or the ring goes out before the Close. */
START_TEST(fclose_is_a_receipt_for_what_was_just_written)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;

	peer_count_begin();
	duet_open(&duet, "wss://127.0.0.1:0/", &listener, &client, "r+");
	duet_carry(&duet, (unsigned)_i, DUET_NOISE, 8 << 20, 200000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure");
	TCase *tcase = wire_case(suite, "secure");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, a_good_certificate_is_accepted, 0, COUNT(good));
	tcase_add_test(tcase, ipv6_addresses_are_checked_too);
	tcase_add_test(tcase, a_plain_stream_says_nothing_of_tls);
	tcase_add_loop_test(tcase, verify_off_lets_anybody_be_there, 0, 5);
	tcase_add_loop_test(tcase, a_client_with_a_good_certificate_is_let_in, 0, COUNT(admissions) * 2);
	tcase_add_loop_test(tcase, a_pinned_key_is_accepted, 0, 8);
	tcase_add_loop_test(tcase, a_listener_pins_its_clients, 0, 2);
	tcase_add_loop_test(tcase, the_second_connection_resumes_the_session, 0, 2);
	tcase_add_test(tcase, a_session_serves_only_the_options_it_was_made_under);
	tcase_add_test(tcase, both_sides_half_close);
	tcase_add_loop_test(tcase, much_goes_both_ways_at_once, 0, COUNT(bulks));
	tcase_add_test(tcase, one_byte_at_a_time_comes_through);
	tcase_add_test(tcase, reading_and_writing_alternate_with_unread_input);
	tcase_add_loop_test(tcase, fclose_is_a_receipt_for_what_was_just_written, 0, 2);
	result = wire_run(suite);
	pki_end();
	return result;
}
