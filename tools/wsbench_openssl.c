/* SPDX-License-Identifier: 0BSD */
/* Plain SSL_write and SSL_read over a blocking socket: what any TLS stream costs at least, as OpenSSL is. */
#include "wsbench.h"
#include "wsbench_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

_Noreturn void bench_die_tls(const char *what)
{
	unsigned long error = ERR_get_error();
	const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;

	bench_die("%s: %s", what, reason ? reason : errno != 0 ? strerror(errno) : "failed");
}

static SSL_CTX *context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, BENCH_CIPHER))
		bench_die_tls("OpenSSL");
	return ctx;
}

SSL_CTX *bench_server_context(void)
{
	SSL_CTX *ctx = context(TLS_server_method());

	if (SSL_CTX_use_certificate_file(ctx, bench_certificate_file(), SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, bench_key_file(), SSL_FILETYPE_PEM) != 1)
		bench_die_tls("the certificate");
	return ctx;
}

SSL_CTX *bench_client_context(void)
{
	SSL_CTX *ctx = context(TLS_client_method());

	if (SSL_CTX_load_verify_file(ctx, bench_certificate_file()) != 1)
		bench_die_tls("the certificate");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(ctx), "127.0.0.1"))
		bench_die_tls("OpenSSL");
	return ctx;
}

SSL *bench_ssl(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl || !SSL_set_fd(ssl, fd))
		bench_die_tls("OpenSSL");
	return ssl;
}

static void put(SSL *ssl, const char *data, int size)
{
	if (SSL_write(ssl, data, size) != size)
		bench_die_tls("SSL_write");
}

static void get(SSL *ssl, char *data, int size)
{
	while (size > 0) {
		int n = SSL_read(ssl, data, size);
		if (n <= 0)
			bench_die_tls("SSL_read");
		data += n;
		size -= n;
	}
}

static void put_all(SSL *ssl, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		put(ssl, bench_sent, BLOCK);
}

static void get_all(SSL *ssl, uint64_t bytes)
{
	for (; bytes > 0; bytes -= BLOCK)
		get(ssl, bench_received, BLOCK);
}

static void serve(enum job job, SSL *ssl, uint64_t bytes)
{
	char mark = 'A';

	switch (job) {
	case C2S:
		get_all(ssl, bytes);
		put(ssl, &mark, 1);
		break;
	case S2C:
		get(ssl, &mark, 1);
		put_all(ssl, bytes);
		get(ssl, &mark, 1);
		break;
	default:
		for (; bytes > 0; bytes -= BLOCK) {
			get(ssl, bench_received, BLOCK);
			put(ssl, bench_received, BLOCK);
		}
	}
}

/* How much of a try went through: 0 = the socket has to be waited for. */
static uint64_t moved(SSL *ssl, int n)
{
	if (n > 0)
		return (uint64_t)n;
	int error = SSL_get_error(ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		bench_die_tls("both ways");
	return 0;
}

/* An SSL object can't be used by two threads at once, so one does both, and never blocks in either. */
static void exchange(SSL *ssl, uint64_t bytes)
{
	struct pollfd socket = { .fd = SSL_get_fd(ssl) };
	uint64_t left = bytes;

	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (fcntl(socket.fd, F_SETFL, fcntl(socket.fd, F_GETFL) | O_NONBLOCK) != 0)
		bench_die("fcntl: %s", strerror(errno));
	while (bytes > 0) {
		uint64_t out = 0, in;
		if (left > 0)
			out = moved(ssl, SSL_write(ssl, bench_sent, left < BLOCK ? (int)left : BLOCK));
		left -= out;
		in = moved(ssl, SSL_read(ssl, bench_received, BLOCK));
		bytes -= in;
		socket.events = left > 0 ? POLLIN | POLLOUT : POLLIN;
		if (out == 0 && in == 0)
			poll(&socket, 1, -1);
	}
}

static double ask(enum job job, SSL *ssl, uint64_t bytes)
{
	char mark = 'A';
	double begin = bench_now(), seconds;

	switch (job) {
	case C2S:
		put_all(ssl, bytes);
		get(ssl, &mark, 1);
		return bench_now() - begin;
	case S2C:
		put(ssl, &mark, 1);
		get_all(ssl, bytes);
		seconds = bench_now() - begin;
		put(ssl, &mark, 1);
		return seconds;
	default:
		exchange(ssl, bytes);
		return bench_now() - begin;
	}
}

static void finish(SSL *ssl, SSL_CTX *ctx, int fd)
{
	SSL_shutdown(ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
}

static void run_listener(enum job job, uint64_t bytes, int announcement, struct result *result)
{
	SSL_CTX *ctx = bench_server_context();
	char port[ADDRESS_SIZE];
	int listener = bench_listen(port, sizeof port), fd;
	SSL *ssl;

	bench_announce(announcement, port);
	fd = bench_accept(listener);
	close(listener);
	ssl = bench_ssl(ctx, fd);
	if (SSL_accept(ssl) != 1)
		bench_die_tls("SSL_accept");
	double cpu = bench_cpu();
	serve(job, ssl, bytes);
	result->cpu_seconds = bench_cpu() - cpu;
	finish(ssl, ctx, fd);
}

static void run_client(enum job job, uint64_t bytes, const char *address, struct result *result)
{
	SSL_CTX *ctx = bench_client_context();
	int fd = bench_connect(address);
	SSL *ssl = bench_ssl(ctx, fd);

	if (SSL_connect(ssl) != 1)
		bench_die_tls("SSL_connect");
	double cpu = bench_cpu();
	result->seconds = ask(job, ssl, bytes);
	result->cpu_seconds = bench_cpu() - cpu;
	finish(ssl, ctx, fd);
}

const struct transport bench_openssl = { "SSL_write, SSL_read", "openssl", run_listener, run_client };
