/* SPDX-License-Identifier: 0BSD */
/*
 * Handshakes per second, one connection after another, as openssl-s_time(1) does it: TCP, TLS, and the connection is
 * dropped; with new sessions, or one session resumed again and again. The same client meets a loop of accept and
 * SSL_accept, and a wsfile listener.
 */
#include "wsbench.h"
#include "wsbench_tls.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <wsfile.h>

#define TICKET_TIMEOUT_MS 10000

enum kind { FULL, RESUMED };

struct handshakes {
	enum kind kind;
	double seconds;
};

/* --- the servers --- */

static void accept_openssl(const struct bench_port *port)
{
	for (;;) {
		int fd = bench_accept(port->fd);
		SSL *ssl = bench_ssl(port->context, fd);
		/* Tickets for a client that is gone already may fail. */
		SSL_accept(ssl);
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(ssl);
		close(fd);
	}
}

static void accept_streams(const struct bench_port *port)
{
	for (;;) {
		FILE *stream = ws_accept(port->listener, "r+");
		if (!stream)
			bench_die("%s", ws_last_error()->text);
		while (getc(stream) != EOF)
			;
		fclose(stream);
	}
}

static void run_listener(struct bench_end *end, struct bench_port *port)
{
	(void)end;
	(port->listener ? accept_streams : accept_openssl)(port);
}

/* --- the clients --- */

static SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	if (ticket)
		return 0;
	ticket = session;
	return 1;
}

static SSL *handshake(SSL_CTX *ctx, const char *port)
{
	SSL *ssl = bench_ssl(ctx, bench_connect(port));

	if (ticket && !SSL_set_session(ssl, ticket))
		bench_die_tls("the session");
	if (SSL_connect(ssl) != 1)
		bench_die_tls("SSL_connect");
	return ssl;
}

static void drop(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
	close(fd);
}

/* In TLS 1.3 the session comes behind the handshake, so something has to be read, though no data comes. */
static void fetch_ticket(SSL_CTX *ctx, const char *port)
{
	char byte;
	SSL *ssl;

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
	ssl = handshake(ctx, port);
	SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
	while (!ticket) {
		struct pollfd socket = { .fd = SSL_get_fd(ssl), .events = POLLIN };
		int n = -1;
		if (SSL_has_pending(ssl) || poll(&socket, 1, TICKET_TIMEOUT_MS) == 1)
			n = SSL_read(ssl, &byte, 1);
		if (!ticket && SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
			bench_die_tls("no session");
	}
	drop(ssl);
	/* A client with a cache has OpenSSL forbid a session of TLS 1.3 its second use. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
}

static unsigned count_handshakes(enum kind kind, const char *address, double end)
{
	SSL_CTX *ctx = bench_client_context();
	unsigned count = 0;

	if (kind == RESUMED)
		fetch_ticket(ctx, address);
	do {
		SSL *ssl = handshake(ctx, address);
		if (SSL_session_reused(ssl) != (kind == RESUMED))
			bench_die("a handshake is %s", kind == RESUMED ? "not resumed" : "resumed");
		drop(ssl);
		count++;
	} while (bench_now() < end);
	return count;
}

/* The port of a URL, which is all that the plain client wants. */
static const char *port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon ? colon + 1 : address;
}

static void run_client(struct bench_end *end, const char *address)
{
	const struct handshakes *handshakes = end->parameters;
	double begin = bench_now(), until = begin + handshakes->seconds;
	unsigned count = count_handshakes(handshakes->kind, port_of(address), until);

	end->figures[0] = count / (bench_now() - begin);
}

/* --- the group --- */

static size_t rows(const struct settings *settings, const struct bench_class *class, struct bench_row rows[])
{
	(void)settings;
	(void)class;
	bench_row_set(&rows[0], FULL, 0, "full", "full handshake");
	bench_row_set(&rows[1], RESUMED, 0, "resumed", "resumed handshake");
	return 2;
}

static void measure(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
    double values[])
{
	struct handshakes handshakes = { (enum kind)row->variant, settings->quick ? 0.1 : 1 };
	struct bench_job job = {
		.name = row->title, .transport = transport, .parameters = &handshakes, .listener = run_listener,
		.client = run_client, .endless = true,
	};
	struct bench_figures figures;

	bench_run(&job, &figures);
	values[0] = figures.client[0];
}

const struct bench_group bench_handshakes = {
	.key = "handshakes", .option = "handshakes", .title = "TLS handshakes at the listener, P-256",
	.columns = { { "per_s", "per second", 0, true } },
	.secure_only = true, .rows = rows, .measure = measure,
};
