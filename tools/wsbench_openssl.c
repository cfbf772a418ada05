/* SPDX-License-Identifier: 0BSD */
/*
 * Plain SSL_write and SSL_read over a blocking socket: what any TLS stream costs at least, as OpenSSL is. A listener
 * greets with one byte, behind which its tickets come, and a client resumes its last session, as wsfile's does.
 */
#include "wsbench.h"
#include "wsbench_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
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

/* --- moving bytes --- */

static void put(struct bench_link *link, const void *data, size_t size)
{
	if (SSL_write(link->ssl, data, (int)size) != (int)size)
		bench_die_tls("SSL_write");
}

/* Each SSL_write is sent at once. */
static void flush(struct bench_link *link)
{
	(void)link;
}

static size_t get(struct bench_link *link, void *data, size_t size)
{
	size_t have = 0;

	while (have < size) {
		int n = SSL_read(link->ssl, (char *)data + have, (int)(size - have));
		if (n <= 0 && SSL_get_error(link->ssl, n) == SSL_ERROR_ZERO_RETURN)
			break;
		if (n <= 0)
			bench_die_tls("SSL_read");
		have += (size_t)n;
	}
	return have;
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

static void set_blocking(int fd, bool blocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) != 0)
		bench_die("fcntl: %s", strerror(errno));
}

/* An SSL object can't be used by two threads at once, so one does both, and never blocks in either. */
static void exchange(struct bench_link *link, uint64_t bytes)
{
	struct pollfd socket = { .fd = link->fd };
	SSL *ssl = link->ssl;
	uint64_t left = bytes;
	char block[BLOCK];

	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	set_blocking(link->fd, false);
	while (bytes > 0) {
		uint64_t out = 0, in;
		if (left > 0)
			out = moved(ssl, SSL_write(ssl, bench_sent, left < BLOCK ? (int)left : BLOCK));
		left -= out;
		in = moved(ssl, SSL_read(ssl, block, BLOCK));
		bytes -= in;
		socket.events = left > 0 ? POLLIN | POLLOUT : POLLIN;
		if (out == 0 && in == 0)
			poll(&socket, 1, -1);
	}
	set_blocking(link->fd, true);
}

/* --- opening and closing --- */

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	SSL_CTX *context;		/* the client's */
	SSL_SESSION *session;		/* under the lock: the last one, NULL = used or none yet */
} client = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static void replace_session(SSL_SESSION *session)
{
	pthread_mutex_lock(&client.lock);
	SSL_SESSION_free(client.session);
	client.session = session;
	pthread_mutex_unlock(&client.lock);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	replace_session(session);
	return 1;
}

static void make_client_context(void)
{
	client.context = bench_client_context();
	SSL_CTX_set_session_cache_mode(client.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client.context, keep_session);
}

static void resume(SSL *ssl)
{
	SSL_SESSION *session;

	pthread_mutex_lock(&client.lock);
	session = client.session;
	client.session = NULL;
	pthread_mutex_unlock(&client.lock);
	if (session && !SSL_set_session(ssl, session))
		bench_die_tls("the session");
	SSL_SESSION_free(session);
}

static void listen_openssl(struct bench_port *port, char address[ADDRESS_SIZE])
{
	port->context = bench_server_context();
	port->fd = bench_listen(address, ADDRESS_SIZE);
}

static void unlisten_openssl(struct bench_port *port)
{
	SSL_CTX_free(port->context);
	close(port->fd);
}

static void accept_openssl(struct bench_port *port, struct bench_link *link, enum shape shape)
{
	int fd = bench_accept(port->fd);

	(void)shape;
	*link = (struct bench_link){ .transport = &bench_openssl, .ssl = bench_ssl(port->context, fd), .fd = fd };
	if (SSL_accept(link->ssl) != 1)
		bench_die_tls("SSL_accept");
	bench_put_mark(link);
}

static void connect_openssl(const char *address, struct bench_link *link, enum shape shape)
{
	int fd = bench_connect(address);

	(void)shape;
	pthread_once(&client.once, make_client_context);
	*link = (struct bench_link){ .transport = &bench_openssl, .ssl = bench_ssl(client.context, fd), .fd = fd };
	resume(link->ssl);
	if (SSL_connect(link->ssl) != 1)
		bench_die_tls("SSL_connect");
	bench_get_mark(link);
}

/* Until both sides' close_notify. One that finds the socket closed has the other's already. */
static void close_openssl(struct bench_link *link)
{
	if (SSL_shutdown(link->ssl) == 0)
		SSL_shutdown(link->ssl);
	SSL_free(link->ssl);
	close(link->fd);
}

const struct transport bench_openssl = {
	.title = "SSL_write, SSL_read", .key = "openssl", .listen = listen_openssl, .unlisten = unlisten_openssl,
	.accept = accept_openssl, .connect = connect_openssl, .put = put, .flush = flush, .get = get,
	.close = close_openssl, .exchange = exchange,
};
