/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"

struct ws_options tls_listener_options(const char *cert_name, const char *key_name)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.cert_file = pki_file(cert_name);
	options.key_file = pki_file(key_name);
	return options;
}

struct ws_options tls_client_options(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.ca_file = pki_file("ca.pem");
	options.proxy = "";
	return options;
}

const char *tls_url(const char *scheme, const char *host, unsigned port)
{
	static char url[256];

	snprintf(url, sizeof url, "%s://%s:%u/", scheme, host, port);
	return url;
}

/* --- opening --- */

static void serve_handshake(struct tls_server *server)
{
	free(tls_peer_serve_handshake(&server->peer));
}

static void open_client(struct tls_wire *wire, const char *mode, const struct tls_setup *setup,
    const struct ws_options *options)
{
	const char *url;

	wire->server.setup = setup;
	wire->server.body = serve_handshake;
	tls_server_start(&wire->server);
	url = tls_url("wss", "localhost", wire->server.port);
	if (mode != NULL)
		wire->stream = ws_fopen_with(url, mode, options);
	else
		ck_assert_msg(ws_fopen_pair(url, options, wire->half) == 0, "%s", ws_last_error()->text);
	ck_assert_msg(mode == NULL || wire->stream != NULL, "%s", ws_last_error()->text);
	tls_server_join(&wire->server);
	ck_assert_msg(wire->server.opened, "%s", wire->server.peer.error);
	wire->peer = &wire->server.peer;
}

static void open_server(struct tls_wire *wire, const char *mode, const struct tls_setup *setup,
    const struct ws_options *options)
{
	unsigned port;

	wire->listener = ws_listen("wss://127.0.0.1:0/", options);
	ck_assert_msg(wire->listener != NULL, "%s", ws_last_error()->text);
	port = peer_url_port(ws_listener_url(wire->listener));
	wire->peer = &wire->client;
	tls_peer_open(wire->peer, peer_connect(port), false, setup);
	tls_peer_client_handshake(wire->peer, "localhost", "/", "");
	if (mode != NULL)
		wire->stream = ws_accept(wire->listener, mode);
	else
		ck_assert_msg(ws_accept_pair(wire->listener, wire->half) == 0, "%s", ws_last_error()->text);
	ck_assert_msg(mode == NULL || wire->stream != NULL, "%s", ws_last_error()->text);
}

static void open_wire(struct tls_wire *wire, enum wire_role role, const char *mode, const struct tls_setup *setup_in,
    const struct ws_options *options_in)
{
	struct tls_setup setup = setup_in != NULL ? *setup_in : (struct tls_setup){ 0 };
	struct ws_options options = WS_OPTIONS_INIT;

	peer_count_begin();
	*wire = (struct tls_wire){ .role = role };
	wire->server.listener = wire->server.peer.fd = wire->client.fd = -1;
	if (options_in != NULL)
		options = *options_in;
	if (role == LIBRARY_IS_SERVER) {
		if (options.cert_file == NULL)
			options.cert_file = pki_file("both.pem");
		open_server(wire, mode, &setup, &options);
		return;
	}
	if (setup.cert_file == NULL) {
		setup.cert_file = pki_file("server.pem");
		setup.key_file = pki_file("server.key");
	}
	if (options.ca_file == NULL)
		options.ca_file = pki_file("ca.pem");
	options.proxy = "";
	open_client(wire, mode, &setup, &options);
}

void tls_wire_open(struct tls_wire *wire, enum wire_role role, const char *mode, const struct tls_setup *setup,
    const struct ws_options *options)
{
	open_wire(wire, role, mode, setup, options);
}

void tls_wire_open_pair(struct tls_wire *wire, enum wire_role role, const struct tls_setup *setup,
    const struct ws_options *options)
{
	open_wire(wire, role, NULL, setup, options);
}

void tls_wire_end(struct tls_wire *wire)
{
	tls_peer_clear(wire->peer);
	ck_assert_int_eq(ws_listener_close(wire->listener), 0);
	free(wire->data);
	peer_count_end();
}

/* --- talking and closing --- */

void tls_wire_say(struct tls_wire *wire, const char *text)
{
	tls_peer_frame(wire->peer, PEER_BINARY, text, strlen(text));
}

static void *finish(void *argument)
{
	struct tls_wire *wire = argument;

	wire->close_code = tls_peer_finish(wire->peer, &wire->data, &wire->size);
	return NULL;
}

void tls_wire_finish(struct tls_wire *wire)
{
	peer_thread(&wire->thread, finish, wire);
}

void tls_wire_finished(struct tls_wire *wire)
{
	peer_join(wire->thread);
}

void tls_wire_fclose(FILE **stream, int error)
{
	int result, saved;

	errno = 0;
	result = fclose(*stream);
	saved = errno;
	*stream = NULL;
	if (error == 0)
		ck_assert_msg(result == 0, "fclose: %s", strerror(saved));
	else
		ck_assert_msg(result == EOF && saved == error, "fclose: %d, %s, not %s", result, strerror(saved),
		    strerror(error));
}

/* --- listeners --- */

struct ws_listener *tls_listen(const struct ws_options *options, unsigned *port)
{
	struct ws_listener *listener = ws_listen("wss://127.0.0.1:0/", options);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	ck_assert_msg(strncmp(ws_listener_url(listener), "wss://127.0.0.1:", 16) == 0, "%s",
	    ws_listener_url(listener));
	*port = peer_url_port(ws_listener_url(listener));
	return listener;
}

void tls_expect_service(struct ws_listener *listener, const struct ws_options *client, const char *subject)
{
	struct ws_status status = WS_STATUS_INIT;
	struct duet duet;

	duet_join(&duet, listener, NULL, client, "r+");
	duet_greet(&duet);
	ck_assert_int_eq(ws_status(duet.client, &status), 0);
	ck_assert_msg(subject == NULL || strstr(status.tls_peer, subject) != NULL, "%s", status.tls_peer);
	duet_close(&duet);
}

/* --- failures --- */

static bool has_words(const char *text, const char *words)
{
	char word[128];

	for (const char *next = words; *next != '\0';) {
		size_t length = strcspn(next, "|");

		snprintf(word, sizeof word, "%.*s", (int)length, next);
		if (strcasestr(text, word) == NULL)
			return false;
		next += length + (next[length] == '|');
	}
	return true;
}

void tls_check_failure(int error, const char *words)
{
	const struct ws_error *last = ws_last_error();

	ck_assert_msg(last->error == error, "%s, not %s: %s", strerror(last->error), strerror(error), last->text);
	ck_assert_msg(last->text[0] != '\0' && strpbrk(last->text, "\r\n") == NULL, "not one line: %s", last->text);
	ck_assert_msg(has_words(last->text, words), "\"%s\" has not all of \"%s\"", last->text, words);
}

void tls_expect_refusal(const char *url, const struct ws_options *options, int error, const char *words)
{
	FILE *stream;
	int got;

	errno = 0;
	stream = ws_fopen_with(url, "r+", options);
	got = errno;
	ck_assert_msg(stream == NULL, "%s was opened", url);
	ck_assert_msg(got == error, "%s: %s, not %s: %s", url, strerror(got), strerror(error), ws_last_error()->text);
	tls_check_failure(error, words);
}
