/* SPDX-License-Identifier: 0BSD */
#include "fault_scene.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault_relay.h"
#include "fault_sweep.h"
#include "memcheck.h"
#include "peer.h"
#include "pki.h"
#include "wire.h"

#define SOME_BYTES 700
/* The library's own limits, far more than anything here takes. */
#define WAIT_MS (under_valgrind() ? 20000 : 2000)

struct stage {
	const struct scene *scene;
	struct ws_options client_options, server_options;
	struct ws_listener *listener;
	struct relay *relay;
	FILE *client[2], *server[2];	/* reads, writes; the same stream twice where it is one */
	int socket;			/* SCENE_SOCKET: the client's end, -1 = none */
	struct sweep_flow up, down;	/* to the server, to the client */
	pthread_t thread;
	int fd;				/* SCENE_FDOPEN: the server's */
	atomic_uint events;
};

static void count_event(const struct ws_event *event, void *user)
{
	struct stage *stage = user;

	if (event->type == WS_EVENT_CLOSED)
		atomic_fetch_add(&stage->events, 1);
}

static int let_in(const struct ws_request *request, struct ws_response *response, void *user)
{
	(void)user;
	response->subprotocol = request->subprotocols[0];
	return request->header(request, "Authorization") != NULL ? 0 : 401;
}

/* All that makes the handshake long. */
static void set_handshake(struct ws_options *client, struct ws_options *server)
{
	static const char *const subprotocols[] = { "one.example", "two.example", NULL };
	static const char *const headers[] = { "X-One: 1", "X-Two: 2", NULL };
	static const char *const any[] = { "*", NULL };

	client->subprotocols = server->subprotocols = subprotocols;
	client->headers = server->headers = headers;
	client->userinfo = "somebody:something";
	client->origin = "http://example.org";
	server->allowed_origins = any;
	server->authorize = let_in;
	server->max_connections = 10;
}

static bool secure(const struct scene *scene)
{
	return strncmp(scene->url, "wss", 3) == 0;
}

static void set_options(struct stage *stage)
{
	struct ws_options *client = &stage->client_options, *server = &stage->server_options;

	*client = (struct ws_options)WS_OPTIONS_INIT;
	client->connect_timeout_ms = client->handshake_timeout_ms = client->close_timeout_ms = WAIT_MS;
	client->ping_interval_ms = -1;
	client->compression = stage->scene->compress ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
	client->url = stage->scene->url;
	if (stage->scene->ask) {
		client->observer = count_event;
		client->observer_user = stage;
	}
	*server = *client;
	client->proxy = "";
	if (stage->scene->ask && stage->scene->how != SCENE_FDOPEN)
		set_handshake(client, server);
	if (secure(stage->scene)) {
		client->ca_file = pki_file("ca.pem");
		server->cert_file = pki_file(stage->scene->strange ? "unknown.pem" : "both.pem");
		server->key_file = stage->scene->strange ? pki_file("unknown.key") : NULL;
	}
}

/* --- opening --- */

static bool one_stream(FILE *half[2], FILE *stream)
{
	half[0] = half[1] = stream;
	return stream != NULL;
}

static void *open_adopted(void *argument)
{
	struct stage *stage = argument;

	fault_memory_mine();
	sweep_begin_op();
	if (!one_stream(stage->server, ws_fdopen(stage->fd, "r+", WS_ROLE_SERVER, &stage->server_options))) {
		sweep_failed(SWEEP_OPEN, errno);
		close(stage->fd);
	}
	return NULL;
}

static void adopt_both(struct stage *stage)
{
	int fds[2];

	sweep_insist(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "socketpair: %s", strerror(errno));
	stage->fd = fds[1];
	sweep_thread(&stage->thread, open_adopted, stage);
	sweep_begin_op();
	if (!one_stream(stage->client, ws_fdopen(fds[0], "r+", WS_ROLE_CLIENT, &stage->client_options))) {
		sweep_failed(SWEEP_OPEN, errno);
		close(fds[0]);
	}
	sweep_join(stage->thread);
}

static bool open_client(struct stage *stage)
{
	const char *url = ws_listener_url(stage->listener);
	char proxy[64];
	bool good;

	if (stage->scene->proxy != SCENE_DIRECT) {
		stage->relay = relay_start(stage->scene->proxy == SCENE_SOCKS);
		relay_url(stage->relay, proxy, sizeof proxy);
		stage->client_options.proxy = proxy;
	}
	sweep_begin_op();
	if (stage->scene->how == SCENE_SOCKET)
		good = (stage->socket = ws_socket(url, &stage->client_options)) >= 0;
	else if (stage->scene->how == SCENE_PAIR)
		good = ws_fopen_pair(url, &stage->client_options, stage->client) == 0;
	else
		good = one_stream(stage->client, ws_fopen_with(url, "r+", &stage->client_options));
	if (!good)
		sweep_failed(SWEEP_OPEN, errno);
	sweep_insist(!good || !stage->scene->strange, "a strange certificate is good enough");
	return good;
}

static void open_both(struct stage *stage)
{
	FILE *stream = NULL;

	if (stage->scene->how == SCENE_FDOPEN) {
		adopt_both(stage);
		return;
	}
	if (stage->listener == NULL || !open_client(stage))
		return;
	if (stage->scene->how == SCENE_PAIR) {
		sweep_accept(stage->listener, stage->client[0], "r+", NULL, stage->server);
	} else if (sweep_accept(stage->listener, stage->client[0], "r+", &stream, NULL)) {
		one_stream(stage->server, stream);
	}
}

static void listen_first(struct stage *stage)
{
	if (stage->scene->how == SCENE_FDOPEN)
		return;
	sweep_begin_op();
	stage->listener = ws_listen(stage->scene->url, &stage->server_options);
	if (stage->listener == NULL)
		sweep_failed(SWEEP_LISTEN, errno);
}

/* --- what can be asked --- */

static void asked(bool good)
{
	if (!good)
		sweep_failed(SWEEP_ASK, errno);
}

static void ask(FILE *half[2], bool client)
{
	struct ws_status status = WS_STATUS_INIT;
	const char *header;
	char byte;

	if (half[0] == NULL)
		return;
	asked(ws_status(half[0], &status) == 0);
	sweep_insist(client || strcmp(status.subprotocol, "one.example") == 0, "the subprotocol is %s",
	    status.subprotocol);
	errno = 0;
	header = ws_header(half[0], client ? "Upgrade" : "Host");
	sweep_insist(header != NULL || errno == ENOMEM, "no header: %s", strerror(errno));
	asked(ws_pollfd(half[0], POLLIN) >= 0);
	asked(ws_pollfd(half[1], POLLOUT) >= 0);
	asked(ws_ping(half[1], "hello", 5) == 0);
	asked(ws_observe(half[0], WS_EVENT_ALL, count_event, &byte) == 0 || errno == EAGAIN);
	ws_observe(half[0], 0, count_event, &byte);
	asked(ws_set_timeouts(half[0], -1, -1) == 0);
	asked(ws_drain(half[1], WAIT_MS) == 0);
}

/* --- bytes --- */

static void carry(struct sweep_flow *flow, size_t size)
{
	sweep_write(flow, size);
	sweep_read(flow, size);
}

static void carry_both(struct stage *stage)
{
	for (int i = 0; i < 2; i++) {
		carry(&stage->up, SOME_BYTES);
		carry(&stage->down, SOME_BYTES);
	}
	carry(&stage->up, stage->scene->bytes);
	carry(&stage->down, stage->scene->bytes);
}

/* --- closing --- */

static void half_close(struct sweep_flow *flow)
{
	if (flow->out == NULL || flow->in == NULL)
		return;
	sweep_begin_op();
	if (ws_shutdown(flow->out, 1000, NULL) != 0)
		sweep_failed(SWEEP_WRITE, errno);
	sweep_read_to_end(flow);
}

struct closing {
	FILE *half[2];
	bool good;
};

static void *close_both_halves(void *argument)
{
	struct closing *closing = argument;

	fault_memory_mine();
	if (closing->half[1] != closing->half[0])
		sweep_fclose(closing->half[1]);
	closing->good = sweep_fclose(closing->half[0]);
	return NULL;
}

static void close_both(struct stage *stage)
{
	struct closing client = { { stage->client[0], stage->client[1] }, false };
	struct closing server = { { stage->server[0], stage->server[1] }, false };
	pthread_t thread;

	if (stage->scene->halves) {
		half_close(&stage->up);
		half_close(&stage->down);
	}
	sweep_thread(&thread, close_both_halves, &client);
	sweep_read_to_end(&stage->up);
	close_both_halves(&server);
	sweep_join(thread);
	sweep_check(&stage->up, &stage->down);
	sweep_check(&stage->down, &stage->up);
	if (client.good && stage->up.in != NULL)
		sweep_insist(stage->up.whole, "a receipt, but %llu of %llu bytes and no EOF",
		    (unsigned long long)stage->up.got, (unsigned long long)stage->up.tried);
}

static void end_listener(struct stage *stage)
{
	if (stage->listener != NULL && stage->scene->stop) {
		asked(ws_listener_reload(stage->listener) == 0);
		asked(ws_listener_stop(stage->listener, WAIT_MS) == 0);
	}
	ws_listener_close(stage->listener);
	stage->listener = NULL;
}

/* --- the descriptor --- */

/* Returns 1 = all of it, 0 = the end came before, -1 = an error, which the kernel tells only once. */
static int read_all(int fd, uint8_t *data, size_t size)
{
	ssize_t n;

	for (size_t done = 0; done < size; done += (size_t)n)
		if ((n = read(fd, data + done, size - done)) <= 0)
			return (int)n;
	return 1;
}

/* Nobody accepted: the listener's end is the socket's. */
static void end_alone(struct stage *stage)
{
	char byte;

	end_listener(stage);
	sweep_insist(read(stage->socket, &byte, 1) <= 0, "the socket gives what nobody sent");
	close(stage->socket);
}

static void use_socket(struct stage *stage)
{
	struct sweep_flow *up = &stage->up, *down = &stage->down;
	uint8_t data[SOME_BYTES], byte;
	bool sent;
	int came, end = -1;

	fault_memory_spare();
	wire_pattern(0, data, sizeof data);
	sent = send(stage->socket, data, sizeof data, MSG_NOSIGNAL) == (ssize_t)sizeof data;
	fault_memory_spare_end();
	*up = (struct sweep_flow){ .in = stage->server[0], .out = stage->server[0], .tried = sizeof data };
	down->in = down->out = stage->server[1];
	sweep_read(up, sizeof data);
	sweep_write(down, sizeof data);
	came = read_all(stage->socket, data, sizeof data);
	sweep_insist(came != 1 || wire_pattern_matches(0, data, sizeof data), "the socket gives wrong bytes");
	shutdown(stage->socket, SHUT_WR);
	sweep_read_to_end(up);
	(void)sweep_fclose(stage->server[0]);
	if (came == 1)
		end = (int)read(stage->socket, &byte, 1);
	sweep_insist(end <= 0, "the socket gives more");
	/* The end is an end only of the whole. */
	sweep_insist(came < 0 || end < 0 || (came == 1 && sent && down->write_error == 0),
	    "the socket tells of the end, and not of the loss");
	sweep_insist(!up->whole || up->got == up->tried, "EOF behind %llu", (unsigned long long)up->got);
	close(stage->socket);
}

/* --- all of it --- */

static void one_connection(struct stage *stage)
{
	stage->socket = -1;
	stage->client[0] = stage->client[1] = stage->server[0] = stage->server[1] = NULL;
	open_both(stage);
	if (stage->socket >= 0 && stage->server[0] == NULL) {
		end_alone(stage);
	} else if (stage->socket >= 0) {
		use_socket(stage);
	} else {
		stage->up = (struct sweep_flow){ .out = stage->client[1], .in = stage->server[0] };
		stage->down = (struct sweep_flow){ .out = stage->server[1], .in = stage->client[0] };
		if (stage->scene->ask) {
			ask(stage->client, true);
			ask(stage->server, false);
		}
		carry_both(stage);
		/* A stream that nobody accepted answers no Close. */
		if (stage->server[0] == NULL)
			end_listener(stage);
		close_both(stage);
	}
	relay_end(stage->relay);
	stage->relay = NULL;
}

void scene_run(const void *argument)
{
	struct stage stage = { .scene = argument };

	set_options(&stage);
	listen_first(&stage);
	one_connection(&stage);
	/* With the session of the first. */
	if (secure(stage.scene) && (stage.listener != NULL || stage.scene->how == SCENE_FDOPEN))
		one_connection(&stage);
	end_listener(&stage);
}
