/* SPDX-License-Identifier: 0BSD */
/* A wss listener: names by SNI, reload, sessions, and clients that are slow, broken or not of TLS at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* --- several names --- */

static const struct asked {
	const char *name;
	const char *subject;		/* of the certificate that comes then */
} asked[] = {
	{ NULL, "server" },
	{ "localhost", "server" },
	{ "nobody.example", "server" },
	{ "other.example", "other" },
	{ "OTHER.example", "other" },
	{ "x.wild.example", "wild" },
	{ "a.b.wild.example", "server" },
	{ "wild.example", "server" },
};

START_TEST(the_certificate_is_chosen_by_the_name_asked_for)
{
	const struct asked *one = &asked[_i / 2];
	struct ws_certificate more[] = { { pki_file("other.pem"), pki_file("other.key") },
		{ pki_file("wild.pem"), pki_file("wild.key") }, { NULL, NULL } };
	struct ws_options options = tls_listener_options("server.pem", "server.key");
	struct tls_setup setup = { .server_name = one->name,
		.max_version = _i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
	struct ws_listener *listener;
	struct tls_peer peer;
	char subject[256];
	unsigned port;

	peer_count_begin();
	options.certificates = more;
	listener = tls_listen(&options, &port);
	tls_peer_open(&peer, peer_connect(port), false, &setup);
	X509_NAME_oneline(X509_get_subject_name(SSL_get0_peer_certificate(peer.ssl)), subject, sizeof subject);
	ck_assert_msg(strstr(subject, one->subject) != NULL, "%s", subject);
	tls_peer_clear(&peer);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_client_checks_the_name_it_asked_for)
{
	struct ws_certificate more[] = { { pki_file("other.pem"), pki_file("other.key") }, { NULL, NULL } };
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	options.certificates = more;
	listener = tls_listen(&options, &port);
	client.server_name = "other.example";
	tls_expect_service(listener, &client, "other");
	client.server_name = NULL;
	tls_expect_service(listener, &client, "server");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- reload --- */

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(pki_file(from), "r"), *out = fopen(pki_file(to), "w");
	int byte;

	ck_assert(in != NULL && out != NULL);
	while ((byte = fgetc(in)) != EOF)
		fputc(byte, out);
	fclose(in);
	ck_assert_int_eq(fclose(out), 0);
}

START_TEST(a_reload_serves_the_new_certificate_and_open_streams_go_on)
{
	struct ws_options options = tls_listener_options("live.pem", "live.key"), client = tls_client_options();
	struct ws_listener *listener;
	struct duet before;
	unsigned port;

	peer_count_begin();
	copy_file("server.pem", "live.pem");
	copy_file("server.key", "live.key");
	listener = tls_listen(&options, &port);
	duet_join(&before, listener, NULL, &client, "r+");
	duet_greet(&before);
	copy_file("rsa.pem", "live.pem");
	copy_file("rsa.key", "live.key");
	tls_expect_service(listener, &client, "server");
	ck_assert_msg(ws_listener_reload(listener) == 0, "%s", ws_last_error()->text);
	/* The client has a session of the old certificate, which is worth nothing now. */
	tls_expect_service(listener, &client, "rsa");
	duet_greet(&before);

	/* What fails changes nothing. */
	copy_file("wild.key", "live.key");
	errno = 0;
	ck_assert_int_eq(ws_listener_reload(listener), -1);
	ck_assert_int_eq(errno, EKEYREJECTED);
	tls_check_failure(EKEYREJECTED, "live.key");
	tls_expect_service(listener, &client, "rsa");
	ck_assert_int_eq(unlink(pki_file("live.pem")), 0);
	errno = 0;
	ck_assert_int_eq(ws_listener_reload(listener), -1);
	ck_assert_int_eq(errno, ENOENT);
	tls_expect_service(listener, &client, "rsa");
	duet_greet(&before);
	duet_close(&before);
	ws_listener_close(listener);
	ck_assert_int_eq(unlink(pki_file("live.key")), 0);
	peer_count_end();
}
END_TEST

/* An old session is no way round the new rules: clients need a certificate from now on. */
START_TEST(a_reload_takes_the_new_client_authorities)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_options stranger;
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	copy_file("ca2.pem", "clients.pem");
	options.ca_file = pki_file("clients.pem");
	listener = tls_listen(&options, &port);
	client.cert_file = pki_file("client.pem");
	client.key_file = pki_file("client.key");
	stranger = client;
	stranger.cert_file = pki_file("stranger.pem");
	stranger.key_file = pki_file("stranger.key");
	tls_expect_service(listener, &stranger, "server");
	tls_expect_refusal(ws_listener_url(listener), &client, EKEYREJECTED, "refused");
	copy_file("ca.pem", "clients.pem");
	ck_assert_int_eq(ws_listener_reload(listener), 0);
	tls_expect_service(listener, &client, "server");
	tls_expect_refusal(ws_listener_url(listener), &stranger, EKEYREJECTED, "refused");
	ws_listener_close(listener);
	ck_assert_int_eq(unlink(pki_file("clients.pem")), 0);
	peer_count_end();
}
END_TEST

START_TEST(a_plain_listener_reloads_nothing)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);

	ck_assert_ptr_nonnull(listener);
	ck_assert_int_eq(ws_listener_reload(listener), 0);
	ws_listener_close(listener);
}
END_TEST

/* --- clients that are slow, broken, or no clients of ours --- */

/* Each is stuck somewhere else; a good client is served meanwhile; then each sees TCP's end. */
START_TEST(stuck_clients_are_cut_and_others_are_served)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct tls_setup setup = { 0 };
	struct ws_listener *listener;
	struct tls_peer silent;
	int stuck[3];
	unsigned port;

	peer_count_begin();
	options.handshake_timeout_ms = 1500;
	listener = tls_listen(&options, &port);
	for (int i = 0; i < COUNT(stuck); i++)
		stuck[i] = peer_connect(port);
	peer_send(stuck[1], hello, 1);
	peer_send(stuck[2], hello, sizeof hello - 1);
	/* One that comes through TLS, and says nothing in HTTP. */
	tls_peer_open(&silent, peer_connect(port), false, &setup);
	tls_expect_service(listener, &client, "server");
	for (int i = 0; i < COUNT(stuck); i++) {
		peer_was_reset(stuck[i]);
		close(stuck[i]);
	}
	tls_peer_end(&silent);
	tls_peer_clear(&silent);
	tls_expect_service(listener, &client, "server");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static const struct intruder {
	const char *bytes;
	size_t size;
	bool answered;			/* in plain HTTP */
} intruders[] = {
#define TEXT(text) text, sizeof(text) - 1
	{ TEXT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), true },
	{ TEXT("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"), true },
	{ TEXT("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"), true },
	{ TEXT("\x16\x03\x03\xff\xff" "0123456789"), false },
	/* a ClientHello of SSL 2 */
	{ TEXT("\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x01\x00\x80" "0123456789abcdef"), false },
	{ TEXT("\0\0\0\0\0\0\0\0\0\0\0\0"), false },
	{ TEXT("\x1b[2J\x1b[1;1H\r\n"), false },
	{ TEXT("\x15\x03\x03\x00\x02\x02\x28"), false },
	{ TEXT("\x17\x03\x03\x00\x05hello"), false },
};

START_TEST(what_is_not_tls_is_turned_away_and_others_are_served)
{
	const struct intruder *one = &intruders[_i];
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *listener;
	char answer[2048];
	unsigned port;
	size_t got;
	int fd;

	peer_count_begin();
	listener = tls_listen(&options, &port);
	fd = peer_connect(port);
	peer_send(fd, one->bytes, one->size);
	got = peer_recv(fd, answer, sizeof answer - 1);
	answer[got] = '\0';
	if (one->answered) {
		ck_assert_msg(strncmp(answer, "HTTP/1.1 400 ", 13) == 0, "%s", answer);
		ck_assert_ptr_nonnull(strstr(answer, "\r\n\r\n"));
		ck_assert_uint_lt(got, 600);
	} else {
		/* Nothing, or a fatal alert. */
		ck_assert_msg(got == 0 || (answer[0] == 0x15 && got == 7), "%zu bytes: %s", got, answer);
	}
	close(fd);
	tls_expect_service(listener, &client, "server");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* TCP is cut in the middle of a client's part of the handshake. */
START_TEST(clients_that_are_cut_do_no_harm)
{
	static const size_t cuts[] = { 1, 5, 6, 100, 250, 300, 320, 340 };
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *listener;
	struct tls_peer peer;
	unsigned port;

	peer_count_begin();
	listener = tls_listen(&options, &port);
	for (int i = 0; i < COUNT(cuts) * 2; i++) {
		struct tls_setup setup = { .cut_after_bytes = cuts[i / 2],
			.max_version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };

		tls_peer_try_open(&peer, peer_connect(port), false, &setup);
		tls_peer_clear(&peer);
	}
	tls_expect_service(listener, &client, "server");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* A raw client resumes what it got here; the library's own does in test_secure.c. _i: TLS 1.2, 1.3 */
static SSL_SESSION *visit(unsigned port, SSL_CTX *context, SSL_SESSION *session, bool *resumed)
{
	struct tls_setup setup = { .context = context, .session = session };
	struct tls_peer peer;

	tls_peer_open(&peer, peer_connect(port), false, &setup);
	/* TLS 1.3's tickets come with the first data. */
	tls_peer_client_handshake(&peer, "localhost", "/", "");
	*resumed = SSL_session_reused(peer.ssl) == 1;
	SSL_SESSION_free(session);
	session = SSL_get1_session(peer.ssl);
	/* Without a close_notify OpenSSL takes the session for broken. */
	SSL_set_shutdown(peer.ssl, SSL_SENT_SHUTDOWN);
	tls_peer_clear(&peer);
	return session;
}

START_TEST(sessions_are_resumed_in_both_versions)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key");
	struct tls_setup setup = { .max_version = _i == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
	struct ws_listener *listener;
	SSL_SESSION *session = NULL;
	SSL_CTX *context;
	unsigned port;
	bool resumed;

	peer_count_begin();
	listener = tls_listen(&options, &port);
	context = tls_context(false, &setup);
	for (int i = 0; i < 3; i++) {
		session = visit(port, context, session, &resumed);
		ck_assert_int_eq(resumed, i > 0);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(context);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure_listener");
	TCase *tcase = wire_case(suite, "listener");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, the_certificate_is_chosen_by_the_name_asked_for, 0, COUNT(asked) * 2);
	tcase_add_test(tcase, a_client_checks_the_name_it_asked_for);
	tcase_add_test(tcase, a_reload_serves_the_new_certificate_and_open_streams_go_on);
	tcase_add_test(tcase, a_reload_takes_the_new_client_authorities);
	tcase_add_test(tcase, a_plain_listener_reloads_nothing);
	tcase_add_test(tcase, stuck_clients_are_cut_and_others_are_served);
	tcase_add_loop_test(tcase, what_is_not_tls_is_turned_away_and_others_are_served, 0, COUNT(intruders));
	tcase_add_test(tcase, clients_that_are_cut_do_no_harm);
	tcase_add_loop_test(tcase, sessions_are_resumed_in_both_versions, 0, 2);
	result = wire_run(suite);
	pki_end();
	return result;
}
