/* SPDX-License-Identifier: 0BSD */
#include "tls_pair.h"

#include <check.h>

#include "pki.h"

const char *pair_file(const char *name)
{
	return name != NULL ? pki_file(name) : NULL;
}

void pair_open(struct pair *pair, SSL_CTX *client, SSL_CTX *server, const char *name)
{
	BIO *near, *far;

	*pair = (struct pair){ .client.name = name };
	ck_assert_int_eq(BIO_new_bio_pair(&near, 0, &far, 0), 1);
	pair->client.ssl = SSL_new(client);
	pair->server.ssl = SSL_new(server);
	SSL_set_bio(pair->client.ssl, near, near);
	SSL_set_bio(pair->server.ssl, far, far);
	SSL_set_connect_state(pair->client.ssl);
	SSL_set_accept_state(pair->server.ssl);
	if (name == NULL)
		return;
	ck_assert_int_eq(SSL_set_tlsext_host_name(pair->client.ssl, name), 1);
	ck_assert_int_eq(SSL_set1_host(pair->client.ssl, name), 1);
}

void pair_close(struct pair *pair)
{
	/* As of a connection that was closed in order: its session stays good. */
	SSL_set_shutdown(pair->client.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(pair->client.ssl);
	SSL_free(pair->server.ssl);
}

bool pair_step(struct pair_end *end)
{
	char byte;
	int rv;

	if (end->failed)
		return false;
	rv = end->done ? SSL_read(end->ssl, &byte, 1) : SSL_do_handshake(end->ssl);
	if (rv == 1 && !end->done) {
		end->done = true;
		return true;
	}
	ck_assert_int_le(rv, 0);
	if (SSL_get_error(end->ssl, rv) != SSL_ERROR_SSL)
		return false;
	end->failed = true;
	ck_assert_int_eq(wsf_tls_explain(&end->failure, end->ssl, end->name), -end->failure.error);
	ck_assert_int_gt(end->failure.error, 0);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	return true;
}

void pair_run(struct pair *pair)
{
	/* The flights of any version, and what comes behind the handshake. */
	for (int i = 0; i < 8; i++) {
		pair_step(&pair->client);
		pair_step(&pair->server);
	}
}

struct wsf_tls_context *pair_context(const struct ws_options *options, bool server)
{
	struct wsf_tls_context *context = NULL;
	struct wsf_failure failure = { 0 };
	int rv = server ? wsf_tls_server_context(&context, options, &failure) :
	    wsf_tls_client_context(&context, options, &failure);

	ck_assert_msg(rv == 0, "%s", failure.text);
	return context;
}

struct ws_options pair_options(const char *cert, const char *key)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.cert_file = pair_file(cert);
	options.key_file = pair_file(key);
	return options;
}
