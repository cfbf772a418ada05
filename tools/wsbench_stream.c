/* SPDX-License-Identifier: 0BSD */
/* Streams: FILE *s over a TCP socket, and those of wsfile. */
#include "wsbench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <wsfile.h>

/* --- stdio, over either --- */

static void put(struct bench_link *link, const void *data, size_t size)
{
	if (fwrite(data, 1, size, link->out) != size)
		bench_die("writing: %s", strerror(errno));
}

static void flush(struct bench_link *link)
{
	if (fflush(link->out) != 0)
		bench_die("writing: %s", strerror(errno));
}

static size_t get(struct bench_link *link, void *data, size_t size)
{
	size_t n = fread(data, 1, size, link->in);

	if (n < size && ferror(link->in))
		bench_die("reading: %s", strerror(errno));
	return n;
}

static void close_link(struct bench_link *link)
{
	if (link->out != link->in && fclose(link->out) != 0)
		bench_die("closing: %s", strerror(errno));
	if (fclose(link->in) != 0)
		bench_die("closing: %s", strerror(errno));
	free(link->buffer[0]);
	free(link->buffer[1]);
}

struct putting {
	struct bench_link *link;
	uint64_t bytes;
};

static void *run_putting(void *argument)
{
	struct putting *putting = argument;

	for (uint64_t left = putting->bytes; left > 0; left -= BLOCK)
		put(putting->link, bench_sent, BLOCK);
	flush(putting->link);
	return NULL;
}

static void exchange(struct bench_link *link, uint64_t bytes)
{
	struct putting putting = { .link = link, .bytes = bytes };
	char block[BLOCK];
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_putting, &putting) != 0)
		bench_die("no thread");
	for (uint64_t left = bytes; left > 0; left -= BLOCK)
		bench_get(link, block, BLOCK);
	pthread_join(thread, NULL);
}

/* --- over a socket --- */

static void listen_tcp(struct bench_port *port, char address[ADDRESS_SIZE])
{
	port->fd = bench_listen(address, ADDRESS_SIZE);
}

static void unlisten_tcp(struct bench_port *port)
{
	close(port->fd);
}

/* glibc ignores a size without a buffer. */
static char *give_buffer(FILE *file)
{
	char *buffer = bench_allocate(1, BLOCK);

	setvbuf(file, buffer, _IOFBF, BLOCK);
	return buffer;
}

/*
 * One stream for both directions where they take turns: nothing unread is there when it changes. Two streams may not
 * share a descriptor, as each closes it.
 */
static void wrap(int fd, struct bench_link *link, enum shape shape)
{
	int copy = shape == SHAPE_PAIR ? dup(fd) : -1;

	*link = (struct bench_link){ .transport = &bench_tcp, .fd = fd };
	link->in = fdopen(fd, shape == SHAPE_PAIR ? "r" : "r+");
	link->out = shape == SHAPE_PAIR ? fdopen(copy, "w") : link->in;
	if (!link->in || !link->out)
		bench_die("fdopen: %s", strerror(errno));
	if (shape != SHAPE_DEFAULT)
		link->buffer[0] = give_buffer(link->in);
	if (shape == SHAPE_PAIR)
		link->buffer[1] = give_buffer(link->out);
}

static void accept_tcp(struct bench_port *port, struct bench_link *link, enum shape shape)
{
	wrap(bench_accept(port->fd), link, shape);
}

static void connect_tcp(const char *address, struct bench_link *link, enum shape shape)
{
	wrap(bench_connect(address), link, shape);
}

/* --- wsfile's; their buffers are as they come --- */

static _Noreturn void die_opening(void)
{
	bench_die("%s", ws_last_error()->text);
}

static void listen_with(struct bench_port *port, char address[ADDRESS_SIZE], bool secure)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.cert_file = secure ? bench_certificate_file() : NULL;
	options.key_file = secure ? bench_key_file() : NULL;
	port->listener = ws_listen(secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &options);
	if (!port->listener)
		die_opening();
	snprintf(address, ADDRESS_SIZE, "%s", ws_listener_url(port->listener));
}

static void listen_ws(struct bench_port *port, char address[ADDRESS_SIZE])
{
	listen_with(port, address, false);
}

static void listen_wss(struct bench_port *port, char address[ADDRESS_SIZE])
{
	listen_with(port, address, true);
}

static void unlisten_ws(struct bench_port *port)
{
	ws_listener_close(port->listener);
}

static void take(struct bench_link *link, const struct transport *transport, FILE *const half[2])
{
	*link = (struct bench_link){ .transport = transport, .in = half[0], .out = half[1], .fd = -1 };
}

static void accept_with(struct bench_port *port, struct bench_link *link, enum shape shape,
    const struct transport *transport)
{
	FILE *half[2] = { NULL, NULL };

	if (shape != SHAPE_PAIR)
		half[0] = half[1] = ws_accept(port->listener, "r+");
	else if (ws_accept_pair(port->listener, half) != 0)
		half[0] = NULL;
	if (!half[0])
		die_opening();
	take(link, transport, half);
}

static void accept_ws(struct bench_port *port, struct bench_link *link, enum shape shape)
{
	accept_with(port, link, shape, &bench_ws);
}

static void accept_wss(struct bench_port *port, struct bench_link *link, enum shape shape)
{
	accept_with(port, link, shape, &bench_wss);
}

static void connect_with(const char *url, struct bench_link *link, enum shape shape, const struct ws_options *options,
    const struct transport *transport)
{
	FILE *half[2] = { NULL, NULL };

	if (shape != SHAPE_PAIR)
		half[0] = half[1] = ws_fopen_with(url, "r+", options);
	else if (ws_fopen_pair(url, options, half) != 0)
		half[0] = NULL;
	if (!half[0])
		die_opening();
	take(link, transport, half);
}

static void connect_ws(const char *url, struct bench_link *link, enum shape shape)
{
	connect_with(url, link, shape, NULL, &bench_ws);
}

static void connect_wss(const char *url, struct bench_link *link, enum shape shape)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;

	options.ca_file = bench_certificate_file();
	connect_with(url, link, shape, &options, &bench_wss);
	ws_status(link->in, &status);
	if (strcmp(status.tls_cipher, BENCH_CIPHER) != 0)
		bench_die("wsfile uses %s, which is no match for %s", status.tls_cipher, BENCH_CIPHER);
}

const struct transport bench_tcp = {
	.title = "TCP FILE *", .key = "tcp", .listen = listen_tcp, .unlisten = unlisten_tcp, .accept = accept_tcp,
	.connect = connect_tcp, .put = put, .flush = flush, .get = get, .close = close_link, .exchange = exchange,
};
const struct transport bench_ws = {
	.title = "wsfile, ws", .key = "wsfile", .settles = true, .listen = listen_ws, .unlisten = unlisten_ws,
	.accept = accept_ws, .connect = connect_ws, .put = put, .flush = flush, .get = get, .close = close_link,
	.exchange = exchange,
};
const struct transport bench_wss = {
	.title = "wsfile, wss", .key = "wsfile", .settles = true, .listen = listen_wss, .unlisten = unlisten_ws,
	.accept = accept_wss, .connect = connect_wss, .put = put, .flush = flush, .get = get, .close = close_link,
	.exchange = exchange,
};
