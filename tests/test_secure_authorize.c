/* SPDX-License-Identifier: 0BSD */
/* Who is let in, where clients have certificates. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* Only a client that shows a certificate of that name may come in. */
static int only_client(const struct ws_request *request, struct ws_response *response, void *user)
{
	char *seen = user;

	snprintf(seen, 256, "%s", request->tls_peer);
	response->reason = "no certificate of yours is known here";
	return strstr(request->tls_peer, "CN=client") != NULL || strstr(request->tls_peer, "CN = client") != NULL ? 0 :
	    403;
}

static const struct {
	const char *cert, *key;		/* the client's */
	bool let_in;
} clients[] = {
	{ "client.pem", "client.key", true },
	{ NULL, NULL, false },
};

START_TEST(the_subject_of_the_clients_certificate_is_shown)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_listener *listener;
	struct ws_status status = WS_STATUS_INIT;
	char seen[256] = "nothing";
	struct duet duet;
	unsigned port;

	peer_count_begin();
	options.ca_file = pki_file("ca.pem");
	options.verify = WS_VERIFY_IF_GIVEN;
	options.authorize = only_client;
	options.authorize_user = seen;
	if (clients[_i].cert != NULL) {
		client.cert_file = pki_file(clients[_i].cert);
		client.key_file = pki_file(clients[_i].key);
	}
	listener = tls_listen(&options, &port);
	if (clients[_i].let_in) {
		duet_join(&duet, listener, NULL, &client, "r+");
		ck_assert_int_eq(ws_status(duet.server, &status), 0);
		ck_assert_str_eq(seen, status.tls_peer);
		duet_greet(&duet);
		duet_close(&duet);
	} else {
		tls_expect_refusal(tls_url("wss", "localhost", port), &client, EACCES, "403");
		ck_assert_int_eq(ws_last_error()->http_status, 403);
		ck_assert_str_eq(seen, "");
	}
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(streams_are_told_over_tls_that_the_listener_stops)
{
	struct ws_options options = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_status status = WS_STATUS_INIT;
	struct ws_listener *listener;
	struct duet duet;
	unsigned port;

	peer_count_begin();
	listener = tls_listen(&options, &port);
	duet_join(&duet, listener, NULL, &client, "r+");
	duet_greet(&duet);
	errno = 0;
	ck_assert_int_eq(ws_listener_stop(listener, 0), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert_int_eq(fgetc(duet.client), EOF);
	ck_assert(!ferror(duet.client));
	ck_assert_int_eq(ws_status(duet.client, &status), 0);
	ck_assert_uint_eq(status.close_code_received, 1001);
	duet_close(&duet);
	ck_assert_int_eq(ws_listener_stop(listener, -1), 0);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure_authorize");
	TCase *tcase = wire_case(suite, "certificates");
	int rv;

	tcase_add_loop_test(tcase, the_subject_of_the_clients_certificate_is_shown, 0, COUNT(clients));
	tcase_add_test(tcase, streams_are_told_over_tls_that_the_listener_stops);
	pki_begin();
	rv = wire_run(suite);
	pki_end();
	return rv;
}
