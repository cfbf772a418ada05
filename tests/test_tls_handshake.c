/* SPDX-License-Identifier: 0BSD */
/* Both ends of a handshake in memory, between two contexts of ours or one of another's: what comes of it, in words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <openssl/x509v3.h>

#include "pki.h"
#include "tls_pair.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static void expect(const struct pair_end *end, int error, const char *text)
{
	ck_assert_msg(end->failure.error == error && strcmp(end->failure.text, text) == 0, "%d \"%s\", not \"%s\"",
	    end->failure.error, end->failure.text, text);
}

/* --- the server's certificate --- */

static const struct server_case {
	const char *cert, *key, *ca, *name, *client, *server;
} server_cases[] = {
	{ "server.pem", "server.key", "ca.pem", "localhost", "", "" },
	{ "rsa.pem", "rsa.key", "ca.pem", "localhost", "", "" },
	{ "wild.pem", "wild.key", "ca.pem", "a.wild.example", "", "" },
	{ "short.pem", "server.key", "intermediate.pem", "localhost", "", "" },
	{ "self.pem", "self.key", "self.pem", "localhost", "", "" },
	{ "wild.pem", "wild.key", "ca.pem", "wild.example",
	  "the certificate for \"wild.example\" is refused: hostname mismatch (subject \"CN=wild\")",
	  "the other end refused our certificate: " },
	{ "wrong.pem", "wrong.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: hostname mismatch (subject \"CN=wrong\")",
	  "the other end refused our certificate: " },
	{ "expired.pem", "expired.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: certificate has expired (subject \"CN=expired\")",
	  "the other end refused our certificate: " },
	{ "future.pem", "future.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: certificate is not yet valid (subject \"CN=future\")",
	  "the other end refused our certificate: " },
	{ "self.pem", "self.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: self-signed certificate "
	  "(subject \"CN=self\", issuer \"CN=self\")",
	  "the other end refused our certificate: " },
	{ "unknown.pem", "unknown.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: self-signed certificate in certificate chain "
	  "(subject \"CN=unknown\", issuer \"CN=strangers' root\")", "the other end refused our certificate: " },
	{ "short.pem", "server.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: unable to get local issuer certificate "
	  "(subject \"CN=server\", issuer \"CN=tests' intermediate\")", "the other end refused our certificate: " },
	{ "server.pem", "server.key", "ca2.pem", "localhost",
	  "the certificate for \"localhost\" is refused: unable to get local issuer certificate "
	  "(subject \"CN=server\", issuer \"CN=tests' root\")", "the other end refused our certificate: " },
	{ "client.pem", "client.key", "ca.pem", "localhost",
	  "the certificate for \"localhost\" is refused: unsuitable certificate purpose (subject \"CN=client\")",
	  "the other end refused our certificate: " },
};

START_TEST(servers_certificate_is_checked_and_the_reason_told)
{
	const struct server_case *test = &server_cases[_i];
	struct ws_options theirs = pair_options(test->cert, test->key), ours = WS_OPTIONS_INIT;
	struct wsf_tls_context *server = pair_context(&theirs, true), *client;
	struct pair pair;

	for (int version = 0; version < 2; version++) {
		ours.ca_file = pair_file(test->ca);
		client = pair_context(&ours, false);
		pair_open(&pair, client->ctx, server->ctx, test->name);
		SSL_set_max_proto_version(pair.client.ssl, version == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
		pair_run(&pair);
		ck_assert_int_eq(pair.client.done, *test->client == '\0');
		expect(&pair.client, *test->client == '\0' ? 0 : EKEYREJECTED, test->client);
		ck_assert_int_eq(pair.server.failure.error, *test->client == '\0' ? 0 : EKEYREJECTED);
		ck_assert_msg(strncmp(pair.server.failure.text, test->server, strlen(test->server)) == 0, "%s",
		    pair.server.failure.text);
		pair_close(&pair);
		wsf_tls_context_unref(client);
	}
	wsf_tls_context_unref(server);
}
END_TEST

START_TEST(without_verification_anybody_may_be_there)
{
	struct ws_options theirs = pair_options("expired.pem", "expired.key"), ours = WS_OPTIONS_INIT;
	struct wsf_tls_context *server = pair_context(&theirs, true), *client;
	struct pair pair;

	ours.verify = WS_VERIFY_OFF;
	client = pair_context(&ours, false);
	pair_open(&pair, client->ctx, server->ctx, "elsewhere.example");
	pair_run(&pair);
	ck_assert(pair.client.done && pair.server.done && !pair.client.failed && !pair.server.failed);
	pair_close(&pair);
	wsf_tls_context_unref(client);
	wsf_tls_context_unref(server);
}
END_TEST

static void read_pin(const char *name, char *pin, int size)
{
	FILE *in = fopen(pki_file(name), "r");

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(fgets(pin, size, in));
	fclose(in);
	pin[strcspn(pin, "\n")] = '\0';
}

START_TEST(a_refused_pin_is_told_with_the_pin_that_was_there)
{
	struct ws_options theirs = pair_options("server.pem", "server.key"), ours = WS_OPTIONS_INIT;
	struct wsf_tls_context *server = pair_context(&theirs, true), *client;
	struct wsf_failure failure = { 0 };
	char pin[64], text[sizeof(failure.text)];
	struct pair pair;

	read_pin("server.pin", pin, sizeof(pin));
	ours.ca_file = pair_file("ca.pem");
	client = pair_context(&ours, false);
	pair_open(&pair, client->ctx, server->ctx, "localhost");
	pair_run(&pair);
	ck_assert_int_eq(wsf_tls_explain_pin(&failure, pair.client.ssl, "localhost"), -EKEYREJECTED);
	snprintf(text, sizeof(text),
	    "the certificate for \"localhost\" is refused: its key is not pinned "
	    "(sha256//%s, subject \"CN=server\")", pin);
	ck_assert_str_eq(failure.text, text);
	ck_assert_int_eq(wsf_tls_explain_pin(&failure, pair.server.ssl, NULL), -EKEYREJECTED);
	ck_assert_str_eq(failure.text, "the client has shown no certificate, and its key is pinned");
	pair_close(&pair);
	wsf_tls_context_unref(client);
	wsf_tls_context_unref(server);
}
END_TEST

/* --- the client's certificate --- */

#define SHOWS_NONE "the client has shown no certificate: peer did not return a certificate"
#define UNKNOWN_CA "the client's certificate is refused: self-signed certificate in certificate chain " \
	"(subject \"CN=stranger\", issuer \"CN=strangers' root\")"

#define NOT_PINNED "the client's certificate is refused: certificate rejected"

static const struct client_case {
	const char *ca, *dir;
	enum ws_verify verify;
	enum { NO_PIN, WRONG_PIN, CLIENTS_PIN } pin;
	const char *cert, *key;
	const char *server;		/* "" = let in */
} client_cases[] = {
	{ NULL, NULL, WS_VERIFY_ON, NO_PIN, NULL, NULL, "" },
	{ NULL, NULL, WS_VERIFY_ON, NO_PIN, "stranger.pem", "stranger.key", "" },
	{ "ca.pem", NULL, WS_VERIFY_ON, NO_PIN, "client.pem", "client.key", "" },
	{ NULL, "cadir", WS_VERIFY_ON, NO_PIN, "client.pem", "client.key", "" },
	{ "ca.pem", NULL, WS_VERIFY_ON, NO_PIN, NULL, NULL, SHOWS_NONE },
	{ "ca.pem", NULL, WS_VERIFY_ON, NO_PIN, "stranger.pem", "stranger.key", UNKNOWN_CA },
	{ NULL, "cadir", WS_VERIFY_ON, NO_PIN, "stranger.pem", "stranger.key", UNKNOWN_CA },
	{ "ca.pem", NULL, WS_VERIFY_ON, NO_PIN, "server.pem", "server.key",
	  "the client's certificate is refused: unsuitable certificate purpose (subject \"CN=server\")" },
	{ "ca.pem", NULL, WS_VERIFY_IF_GIVEN, NO_PIN, NULL, NULL, "" },
	{ "ca.pem", NULL, WS_VERIFY_IF_GIVEN, NO_PIN, "client.pem", "client.key", "" },
	{ "ca.pem", NULL, WS_VERIFY_IF_GIVEN, NO_PIN, "stranger.pem", "stranger.key", UNKNOWN_CA },
	{ "ca.pem", NULL, WS_VERIFY_OFF, NO_PIN, "stranger.pem", "stranger.key", "" },
	{ "ca.pem", NULL, WS_VERIFY_OFF, NO_PIN, NULL, NULL, "" },
	{ NULL, NULL, WS_VERIFY_OFF, WRONG_PIN, "stranger.pem", "stranger.key", NOT_PINNED },
	{ NULL, NULL, WS_VERIFY_OFF, WRONG_PIN, NULL, NULL, SHOWS_NONE },
	{ NULL, NULL, WS_VERIFY_OFF, CLIENTS_PIN, "client.pem", "client.key", "" },
	{ NULL, NULL, WS_VERIFY_ON, WRONG_PIN, "stranger.pem", "stranger.key", NOT_PINNED },
	{ NULL, NULL, WS_VERIFY_ON, CLIENTS_PIN, "client.pem", "client.key", "" },
	{ NULL, NULL, WS_VERIFY_ON, WRONG_PIN, NULL, NULL, SHOWS_NONE },
	{ "ca.pem", NULL, WS_VERIFY_ON, WRONG_PIN, "stranger.pem", "stranger.key", UNKNOWN_CA },
	{ "ca.pem", NULL, WS_VERIFY_ON, WRONG_PIN, "client.pem", "client.key", NOT_PINNED },
	{ "ca.pem", NULL, WS_VERIFY_ON, CLIENTS_PIN, "client.pem", "client.key", "" },
	{ "ca.pem", NULL, WS_VERIFY_IF_GIVEN, WRONG_PIN, NULL, NULL, "" },
};

/* By the listener's first name, and by a further one, whose context is to trust the same. */
START_TEST(clients_certificate_is_asked_for_and_checked)
{
	static const char *const names[] = { "localhost", "other.example" };
	const struct client_case *test = &client_cases[_i];
	const struct ws_certificate further[] = { { pair_file("other.pem"), pair_file("other.key") }, { NULL, NULL } };
	char clients_pin[64];
	const char *const wrong[] = { "KHGakgLop7OI6WeziSEqiTcv37J3JFnfvJl5QwgMC8k=", NULL };
	const char *const right[] = { wrong[0], clients_pin, NULL };
	struct ws_options theirs = pair_options("server.pem", "server.key");
	struct ws_options ours = pair_options(test->cert, test->key);
	struct wsf_tls_context *server, *client;
	struct pair pair;

	theirs.certificates = further;
	theirs.ca_file = pair_file(test->ca);
	theirs.ca_dir = pair_file(test->dir);
	theirs.verify = test->verify;
	read_pin("client.pin", clients_pin, sizeof(clients_pin));
	theirs.pin_sha256 = test->pin == WRONG_PIN ? wrong : test->pin == CLIENTS_PIN ? right : NULL;
	ours.ca_file = pair_file("ca.pem");
	server = pair_context(&theirs, true);
	client = pair_context(&ours, false);
	for (size_t i = 0; i < 2 * COUNT(names); i++) {
		pair_open(&pair, client->ctx, server->ctx, names[i / 2]);
		SSL_set_max_proto_version(pair.client.ssl, i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
		pair_run(&pair);
		expect(&pair.server, *test->server == '\0' ? 0 : EKEYREJECTED, test->server);
		ck_assert_int_eq(pair.server.done, *test->server == '\0');
		ck_assert_int_eq(pair.client.failed, *test->server != '\0');
		if (pair.client.failed && i % 2 == 0)
			ck_assert_int_eq(pair.client.failure.error, EKEYREJECTED);
		pair_close(&pair);
	}
	wsf_tls_context_unref(client);
	wsf_tls_context_unref(server);
}
END_TEST

START_TEST(the_authorities_names_are_told_to_clients)
{
	struct ws_options options = pair_options("server.pem", "server.key");
	struct wsf_tls_context *server;

	options.ca_file = pair_file("ca.pem");
	server = pair_context(&options, true);
	ck_assert_int_eq(sk_X509_NAME_num(SSL_CTX_get_client_CA_list(server->ctx)), 1);
	wsf_tls_context_unref(server);
	options.ca_dir = pair_file("cadir");
	server = pair_context(&options, true);
	ck_assert_int_eq(sk_X509_NAME_num(SSL_CTX_get_client_CA_list(server->ctx)), 0);
	wsf_tls_context_unref(server);
}
END_TEST

/* --- names --- */

START_TEST(the_certificate_is_chosen_by_name)
{
	static const struct {
		const char *name, *subject;
	} cases[] = {
		{ "localhost", "CN=server" }, { "other.example", "CN=other" }, { "OTHER.example", "CN=other" },
		{ "x.wild.example", "CN=wild" }, { "wild.example", "CN=server" }, { "x.y.wild.example", "CN=server" },
		{ "nobody.example", "CN=server" }, { NULL, "CN=server" },
	};
	const struct ws_certificate further[] = {
		{ pair_file("other.pem"), pair_file("other.key") }, { pair_file("wild.pem"), pair_file("wild.key") },
		{ NULL, NULL },
	};
	struct ws_options theirs = pair_options("server.pem", "server.key"), ours = WS_OPTIONS_INIT;
	struct wsf_tls_context *server, *client;

	theirs.certificates = further;
	ours.verify = WS_VERIFY_OFF;
	server = pair_context(&theirs, true);
	client = pair_context(&ours, false);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char subject[64];
		const unsigned char *protocol;
		unsigned size;
		struct pair pair;
		X509 *certificate;

		pair_open(&pair, client->ctx, server->ctx, cases[i].name);
		pair_run(&pair);
		ck_assert(pair.client.done && pair.server.done);
		certificate = SSL_get_peer_certificate(pair.client.ssl);
		wsf_tls_subject(certificate, subject, sizeof(subject));
		ck_assert_str_eq(subject, cases[i].subject);
		X509_free(certificate);
		SSL_get0_alpn_selected(pair.client.ssl, &protocol, &size);
		ck_assert_uint_eq(size, 8);
		ck_assert_mem_eq(protocol, "http/1.1", 8);
		pair_close(&pair);
	}
	wsf_tls_context_unref(client);
	wsf_tls_context_unref(server);
}
END_TEST

static X509 *named(const char *common_name, const char *host)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	if (common_name != NULL)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
		    (const unsigned char *)common_name, -1, -1, 0), 1);
	if (host != NULL) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, host);

		ck_assert_ptr_nonnull(extension);
		X509_add_ext(certificate, extension, -1);
		X509_EXTENSION_free(extension);
	}
	return certificate;
}

START_TEST(subjects_are_one_harmless_line)
{
	static const struct {
		const char *common_name, *host;
		size_t size;
		const char *subject;
	} cases[] = {
		{ "plain", NULL, 64, "CN=plain" },
		{ "m\xc3\xbcller \xe6\xbc\xa2", NULL, 64, "CN=m\xc3\xbcller \xe6\xbc\xa2" },
		{ "two\nlines", NULL, 64, "CN=two\\0Alines" },
		{ "\x1b[31m", NULL, 64, "CN=\\1B[31m" },
		{ "c1 \xc2\x9b" "31m", NULL, 64, "CN=c1 ??31m" },
		{ "a,b\"c", NULL, 64, "CN=a\\,b\\\"c" },
		{ "m\xc3\xbcller", NULL, 6, "CN=m" },
		{ "m\xc3\xbcller", NULL, 7, "CN=m\xc3\xbc" },
		{ NULL, "IP:127.0.0.1,DNS:host.example", 64, "host.example" },
		{ NULL, NULL, 64, "" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		X509 *certificate = named(cases[i].common_name, cases[i].host);
		char subject[64];

		wsf_tls_subject(certificate, subject, cases[i].size);
		ck_assert_str_eq(subject, cases[i].subject);
		X509_free(certificate);
	}
}
END_TEST

/* --- others --- */

/* Another's client or server, of TLS from min to max. */
static SSL_CTX *others(bool server, int min, int max, const char *ciphers)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	ck_assert_ptr_nonnull(ctx);
	SSL_CTX_set_security_level(ctx, 0);
	ck_assert_int_eq(SSL_CTX_set_min_proto_version(ctx, min), 1);
	ck_assert_int_eq(SSL_CTX_set_max_proto_version(ctx, max), 1);
	ck_assert_int_eq(SSL_CTX_set_cipher_list(ctx, ciphers), 1);
	if (server) {
		ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(ctx, pki_file("rsa.pem")), 1);
		ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(ctx, pki_file("rsa.key"), SSL_FILETYPE_PEM), 1);
	}
	return ctx;
}

#define ALL "ALL:@SECLEVEL=0"
#define NOTHING "the other end and we have nothing in common in TLS: "
#define MAYBE_NOTHING "the other end found nothing in common in TLS, or misses a certificate of ours: "

static const struct other_case {
	bool server;			/* the other end is one */
	int min, max;
	const char *ciphers, *alpn;
	enum ws_tls_version min_tls;	/* of ours */
	const char *ours;		/* the beginning; "" = agreed */
} other_cases[] = {
	{ false, TLS1_2_VERSION, TLS1_3_VERSION, ALL, NULL, WS_TLS_1_2, "" },
	{ false, TLS1_2_VERSION, TLS1_2_VERSION, ALL, "\x02h2\x08http/1.1", WS_TLS_1_2, "" },
	{ false, TLS1_VERSION, TLS1_VERSION, ALL, NULL, WS_TLS_1_2, "the other end speaks no TLS from 1.2 on: " },
	{ false, TLS1_1_VERSION, TLS1_1_VERSION, ALL, NULL, WS_TLS_1_2, "the other end speaks no TLS from 1.2 on: " },
	{ false, TLS1_2_VERSION, TLS1_2_VERSION, ALL, NULL, WS_TLS_1_3, "the other end speaks no TLS from 1.3 on: " },
	{ false, TLS1_2_VERSION, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, WS_TLS_1_2, NOTHING },
	{ false, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", NULL, WS_TLS_1_2, NOTHING },
	{ false, TLS1_2_VERSION, TLS1_3_VERSION, ALL, "\x02h2", WS_TLS_1_2,
	  "the other end wants another protocol than http/1.1 (ALPN): " },
	{ true, TLS1_2_VERSION, TLS1_3_VERSION, ALL, NULL, WS_TLS_1_2, "" },
	{ true, TLS1_VERSION, TLS1_VERSION, ALL, NULL, WS_TLS_1_2, "the other end speaks no TLS from 1.2 on: " },
	{ true, TLS1_1_VERSION, TLS1_1_VERSION, ALL, NULL, WS_TLS_1_2, "the other end speaks no TLS from 1.2 on: " },
	{ true, TLS1_2_VERSION, TLS1_2_VERSION, ALL, NULL, WS_TLS_1_3, "the other end speaks no TLS from 1.3 on: " },
	{ true, TLS1_2_VERSION, TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, WS_TLS_1_2, MAYBE_NOTHING },
	{ true, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", NULL, WS_TLS_1_2, MAYBE_NOTHING },
};

START_TEST(old_and_weak_tls_is_not_spoken)
{
	const struct other_case *test = &other_cases[_i];
	struct ws_options options = WS_OPTIONS_INIT;
	SSL_CTX *other = others(test->server, test->min, test->max, test->ciphers);
	struct wsf_tls_context *context;
	const struct pair_end *ours;
	struct pair pair;

	if (test->server)
		options.ca_file = pair_file("ca.pem");
	else
		options = pair_options("rsa.pem", "rsa.key");
	options.min_tls = test->min_tls;
	context = pair_context(&options, !test->server);
	pair_open(&pair, test->server ? context->ctx : other, test->server ? other : context->ctx, "localhost");
	if (test->alpn != NULL)
		ck_assert_int_eq(SSL_set_alpn_protos(pair.client.ssl, (const unsigned char *)test->alpn,
		    (unsigned)strlen(test->alpn)), 0);
	pair_run(&pair);
	ours = test->server ? &pair.client : &pair.server;
	ck_assert_int_eq(ours->failure.error, *test->ours == '\0' ? 0 : EPROTO);
	ck_assert_msg(strncmp(ours->failure.text, test->ours, strlen(test->ours)) == 0, "%s", ours->failure.text);
	ck_assert_int_eq(ours->done, *test->ours == '\0');
	pair_close(&pair);
	SSL_CTX_free(other);
	wsf_tls_context_unref(context);
}
END_TEST

#define BYTES(text) text, sizeof(text) - 1

static const struct garbage_case {
	bool server;			/* we are one */
	const char *bytes;
	size_t size;
	const char *text;
} garbage_cases[] = {
	{ true, BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "the other end sent HTTP in place of TLS: " },
	{ true, BYTES("CONNECT localhost:443 HTTP/1.1\r\n\r\n"), "the other end sent HTTP in place of TLS: " },
	{ true, BYTES("SSH-2.0-OpenSSH_9.2p1\r\n"), "the other end does not speak TLS: " },
	{ true, BYTES("\x16\x03\x01\xff\xff\x01\xff\xff\xff\x03\x03 and so on"), "the other end does not speak TLS: " },
	{ false, BYTES("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "the other end does not speak TLS: " },
	{ false, BYTES("220 mail.example ESMTP\r\n"), "the other end does not speak TLS: " },
	{ false, BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "the other end does not speak TLS: " },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\x28"), MAYBE_NOTHING },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\x46"), "the other end speaks no TLS from 1.2 on: " },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\x70"), "the other end does not know the name it was asked for: " },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\x78"), "the other end does not speak http/1.1 (ALPN): " },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\x50"), "the other end gave TLS up: " },
	{ false, BYTES("\x15\x03\x03\0\x02\x02\xfe"), "the other end gave TLS up: " },
};

START_TEST(what_is_no_tls_is_told_apart)
{
	const struct garbage_case *test = &garbage_cases[_i];
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_tls_context *context;
	struct pair_end *ours;
	struct pair pair;

	if (test->server)
		options = pair_options("server.pem", "server.key");
	context = pair_context(&options, test->server);
	pair_open(&pair, context->ctx, context->ctx, NULL);
	ours = test->server ? &pair.server : &pair.client;
	pair_step(ours);
	ck_assert_int_eq(BIO_write(SSL_get_wbio(test->server ? pair.client.ssl : pair.server.ssl), test->bytes,
	    (int)test->size), (int)test->size);
	ck_assert(pair_step(ours));
	ck_assert_int_eq(ours->failure.error, EPROTO);
	ck_assert_msg(strncmp(ours->failure.text, test->text, strlen(test->text)) == 0, "%s", ours->failure.text);
	pair_close(&pair);
	wsf_tls_context_unref(context);
}
END_TEST

/* Records of the other end behind the handshake, which nobody has encrypted. */
START_TEST(a_broken_record_is_no_absence_of_tls)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		{ BYTES("\x17\x03\x03\0\x20 0123456789012345678901234567890") },
		{ BYTES("\x17\x03\x03\xff\xff 0123456789012345678901234567890") },
		{ BYTES("HTTP/1.1 400 Bad Request\r\n\r\n") },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ws_options theirs = pair_options("server.pem", "server.key"), ours = WS_OPTIONS_INIT;
		struct wsf_tls_context *server = pair_context(&theirs, true), *client;
		static const char text[] = "the other end broke the rules of TLS: ";
		struct pair pair;

		ours.ca_file = pair_file("ca.pem");
		client = pair_context(&ours, false);
		pair_open(&pair, client->ctx, server->ctx, "localhost");
		pair_run(&pair);
		ck_assert_int_eq(BIO_write(SSL_get_wbio(pair.client.ssl), cases[i].bytes, (int)cases[i].size),
		    (int)cases[i].size);
		ck_assert(pair_step(&pair.server));
		ck_assert_int_eq(pair.server.failure.error, EPROTO);
		ck_assert_msg(strncmp(pair.server.failure.text, text, sizeof(text) - 1) == 0, "%s",
		    pair.server.failure.text);
		pair_close(&pair);
		wsf_tls_context_unref(client);
		wsf_tls_context_unref(server);
	}
}
END_TEST

static Suite *handshake_suite(void)
{
	Suite *suite = suite_create("tls_handshake");
	TCase *tcase = tcase_create("core");

	tcase_add_loop_test(tcase, servers_certificate_is_checked_and_the_reason_told, 0, (int)COUNT(server_cases));
	tcase_add_test(tcase, without_verification_anybody_may_be_there);
	tcase_add_test(tcase, a_refused_pin_is_told_with_the_pin_that_was_there);
	tcase_add_loop_test(tcase, clients_certificate_is_asked_for_and_checked, 0, (int)COUNT(client_cases));
	tcase_add_test(tcase, the_authorities_names_are_told_to_clients);
	tcase_add_test(tcase, the_certificate_is_chosen_by_name);
	tcase_add_test(tcase, subjects_are_one_harmless_line);
	tcase_add_loop_test(tcase, old_and_weak_tls_is_not_spoken, 0, (int)COUNT(other_cases));
	tcase_add_loop_test(tcase, what_is_no_tls_is_told_apart, 0, (int)COUNT(garbage_cases));
	tcase_add_test(tcase, a_broken_record_is_no_absence_of_tls);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner;
	int failed;

	pki_begin();
	runner = srunner_create(handshake_suite());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pki_end();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
