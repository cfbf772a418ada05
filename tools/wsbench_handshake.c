/* SPDX-License-Identifier: 0BSD */
/*
 * Handshakes per second, one connection after another, as openssl-s_time(1) does it: TCP, TLS, and the connection is
 * dropped; with new sessions, or one session resumed again and again. The same client meets a loop of accept and
 * SSL_accept, and a wsfile listener; and for information a wsfile client opens and closes whole streams.
 */
#include "wsbench.h"
#include "wsbench_tls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wsfile.h>

#define TICKET_TIMEOUT_MS 10000

enum server { OPENSSL, WSFILE, SERVERS };
enum kind { FULL, RESUMED, STREAM, KINDS };

static const char *const kind_names[KINDS] = { "full handshake", "resumed handshake", "ws_fopen_with, fclose" };
static const char *const kind_keys[KINDS] = { "full", "resumed", "stream" };

struct handshake_rates {
	double rate[KINDS][SERVERS][MAX_ROUNDS];
	double ratio[KINDS][MAX_ROUNDS];
};

struct handshake_rates *bench_handshakes_new(void)
{
	struct handshake_rates *rates = calloc(1, sizeof *rates);

	if (!rates)
		bench_die("%s", strerror(errno));
	return rates;
}

/* --- the servers --- */

struct openssl_server {
	SSL_CTX *ctx;
	int listener;
};

static void *accept_for_ever(void *argument)
{
	struct openssl_server *server = argument;

	for (;;) {
		int fd = bench_accept(server->listener);
		SSL *ssl = bench_ssl(server->ctx, fd);
		SSL_accept(ssl);
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(ssl);
		close(fd);
	}
	return NULL;
}

static _Noreturn void serve_openssl(int announcement)
{
	struct openssl_server server = { .ctx = bench_server_context() };
	char port[ADDRESS_SIZE];
	pthread_t thread;

	/* Tickets for a client that is gone already. */
	signal(SIGPIPE, SIG_IGN);
	server.listener = bench_listen(port, sizeof port);
	bench_announce(announcement, port);
	if (pthread_create(&thread, NULL, accept_for_ever, &server) != 0)
		bench_die("no thread");
	pthread_join(thread, NULL);
	_exit(0);
}

static _Noreturn void serve_wsfile(int announcement)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	options.cert_file = bench_certificate_file();
	options.key_file = bench_key_file();
	listener = ws_listen("wss://127.0.0.1:0/", &options);
	if (!listener)
		bench_die("%s", ws_last_error()->text);
	bench_announce(announcement, ws_listener_url(listener));
	for (;;) {
		FILE *stream = ws_accept(listener, "r+");
		if (!stream)
			bench_die("%s", ws_last_error()->text);
		while (getc(stream) != EOF)
			;
		fclose(stream);
	}
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
			bench_die("a %s is none", kind_names[kind]);
		drop(ssl);
		count++;
	} while (bench_now() < end);
	return count;
}

static unsigned count_streams(const char *url, double end)
{
	struct ws_options options = WS_OPTIONS_INIT;
	unsigned count = 0;

	options.ca_file = bench_certificate_file();
	do {
		FILE *stream = ws_fopen_with(url, "r+", &options);
		if (!stream)
			bench_die("%s", ws_last_error()->text);
		if (fclose(stream) != 0)
			bench_die("closing: %s", strerror(errno));
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

static _Noreturn void client_process(enum kind kind, const char *address, double seconds, int report)
{
	double begin = bench_now(), rate;
	unsigned count;

	bench_who = "client: ";
	count = kind == STREAM ? count_streams(address, begin + seconds) :
	    count_handshakes(kind, port_of(address), begin + seconds);
	rate = count / (bench_now() - begin);
	_exit(write(report, &rate, sizeof rate) == sizeof rate ? 0 : 1);
}

/* --- rounds and report --- */

static pid_t start_server(enum server server, char address[ADDRESS_SIZE])
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0 || (pid = fork()) < 0)
		bench_die("%s", strerror(errno));
	if (pid == 0) {
		bench_who = "listener: ";
		close(ends[0]);
		if (server == OPENSSL)
			serve_openssl(ends[1]);
		serve_wsfile(ends[1]);
	}
	close(ends[1]);
	if (read(ends[0], address, ADDRESS_SIZE) != ADDRESS_SIZE)
		*address = '\0';
	close(ends[0]);
	return pid;
}

static bool run_client(enum kind kind, const char *address, double seconds, double *rate)
{
	int ends[2];
	pid_t pid;
	bool good;

	if (pipe(ends) != 0 || (pid = fork()) < 0)
		return false;
	if (pid == 0)
		client_process(kind, address, seconds, ends[1]);
	close(ends[1]);
	good = read(ends[0], rate, sizeof *rate) == sizeof *rate;
	close(ends[0]);
	waitpid(pid, NULL, 0);
	return good;
}

static double measure(enum server server, enum kind kind, double seconds)
{
	char address[ADDRESS_SIZE];
	pid_t pid = start_server(server, address);
	double rate = 0;
	bool good = *address != '\0' && run_client(kind, address, seconds, &rate);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!good)
		bench_die("%s failed", kind_names[kind]);
	return rate;
}

void bench_handshakes_run(struct handshake_rates *rates, unsigned round, double seconds)
{
	for (int kind = FULL; kind < STREAM; kind++) {
		for (int server = 0; server < SERVERS; server++)
			rates->rate[kind][server][round] = measure((enum server)server, (enum kind)kind, seconds);
		rates->ratio[kind][round] = rates->rate[kind][WSFILE][round] / rates->rate[kind][OPENSSL][round];
	}
	rates->rate[STREAM][WSFILE][round] = measure(WSFILE, STREAM, seconds);
}

static void print_table(struct handshake_rates *rates, unsigned rounds, double seconds)
{
	printf("\n%u rounds of %g s, one connection after another, P-256 and TLS 1.3; medians\n", rounds, seconds);
	printf("%-26s %21s %21s\n", "", "SSL_accept", "wsfile listener");
	printf("%-26s %21s %21s %8s\n", "", "per second", "per second", "ratio");
	for (int kind = FULL; kind < STREAM; kind++)
		printf("%-26s %21.0f %21.0f %8.2f\n", kind_names[kind],
		    bench_median(rates->rate[kind][OPENSSL], rounds), bench_median(rates->rate[kind][WSFILE], rounds),
		    bench_median(rates->ratio[kind], rounds));
	printf("%-26s %21s %21.0f\n", kind_names[STREAM], "", bench_median(rates->rate[STREAM][WSFILE], rounds));
}

void bench_handshakes_print(struct handshake_rates *rates, unsigned rounds, double seconds, bool json)
{
	if (!json) {
		print_table(rates, rounds, seconds);
		return;
	}
	printf(", \"handshakes\": {");
	for (int kind = FULL; kind < STREAM; kind++)
		printf("\"%s\": {\"openssl_s\": %.1f, \"wsfile_s\": %.1f, \"ratio\": %.3f}, ", kind_keys[kind],
		    bench_median(rates->rate[kind][OPENSSL], rounds), bench_median(rates->rate[kind][WSFILE], rounds),
		    bench_median(rates->ratio[kind], rounds));
	printf("\"%s\": {\"wsfile_s\": %.1f}}", kind_keys[STREAM], bench_median(rates->rate[STREAM][WSFILE], rounds));
}
