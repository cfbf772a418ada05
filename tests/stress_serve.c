/* SPDX-License-Identifier: 0BSD */
/* The servers: listeners that stay, one that comes and goes, and a plain socket whose connections are adopted. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

struct connection {
	FILE *half[2];
	int fd;				/* to be adopted, or -1 */
};

static struct ws_listener *listeners[CHURN];
static pthread_t acceptors[PORTS];
static int plain_fd = -1;

static void rest(int64_t ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static void server_options(struct ws_options *options)
{
	struct plan plan = { .compressed = true, .bytes = { 1, 1 } };

	options_of(&plan, SERVER, options);
	options->on_text = WS_TEXT_BYTES;
	if (settings.secure) {
		options->cert_file = settings.certificate;
		options->key_file = settings.key;
	}
}

/* --- a connection --- */

static bool find_session(FILE *file, uint64_t *session)
{
	struct ws_status status = WS_STATUS_INIT;
	const char *at;

	if (ws_status(file, &status) != 0 || (at = strstr(status.url, "?id=")) == NULL)
		return false;
	*session = strtoull(at + 4, NULL, 10);
	return true;
}

static void serve(struct connection *connection, uint64_t session)
{
	struct record *record = &shared->record[session % settings.streams];
	uint64_t waited_for = session * 4 + WAITED_FOR;
	struct work work = { .record = record, .end = &record->end[SERVER], .live = &record->live[SERVER],
	    .side = SERVER,
	    .session = session, .in = connection->half[0], .out = connection->half[1], .fd = -1, .under = -1 };

	if (!atomic_compare_exchange_strong(&record->state, &waited_for, session * 4 + ATTACHED)) {
		/* The client has gone. */
		atomic_fetch_add(&shared->late, 1);
		(void)fclose(work.out);
		if (work.in != work.out)
			(void)fclose(work.in);
		return;
	}
	work.plan = plan_of(session);
	note(work.end, OP_OPEN, 0, 0, 0);
	atomic_store(&record->busy[SERVER], true);
	if (work.plan.observed && ws_observe(work.in, WS_EVENT_ALL, observe, work.end) != 0)
		violation(record, session, "ws_observe: %s", strerror(errno));
	run_end(&work);
	atomic_store(&record->busy[SERVER], false);
	atomic_store(&record->state, session * 4 + DONE);
}

static void *connection_main(void *argument)
{
	struct connection *connection = argument;
	struct ws_options options;
	uint64_t session;

	if (connection->fd >= 0) {
		server_options(&options);
		options.url = "ws://localhost/";
		connection->half[0] = connection->half[1] = ws_fdopen(connection->fd, "r+", WS_ROLE_SERVER, &options);
		if (connection->half[0] == NULL)
			close(connection->fd);
	}
	if (connection->half[0] != NULL) {
		if (!find_session(connection->half[0], &session))
			violation(NULL, 0, "a connection without a number");
		serve(connection, session);
	}
	free(connection);
	atomic_fetch_sub(&shared->serving, 1);
	return NULL;
}

static void start(FILE *in, FILE *out, int fd)
{
	struct connection *connection = calloc(1, sizeof *connection);
	pthread_attr_t attributes;
	pthread_t thread;

	if (connection == NULL)
		abort();
	*connection = (struct connection){ { in, out }, fd };
	atomic_fetch_add(&shared->serving, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, connection_main, connection) != 0)
		violation(NULL, 0, "no thread for a connection");
	pthread_attr_destroy(&attributes);
}

/* --- those who accept --- */

static void *accept_files(void *argument)
{
	struct ws_listener *listener = argument;
	FILE *file;

	while ((file = ws_accept(listener, "r+")) != NULL)
		start(file, file, -1);
	if (errno != EBADF)
		violation(NULL, 0, "ws_accept: %s", strerror(errno));
	return NULL;
}

static void *accept_pairs(void *argument)
{
	struct ws_listener *listener = argument;
	FILE *half[2];

	while (ws_accept_pair(listener, half) == 0)
		start(half[0], half[1], -1);
	if (errno != EBADF)
		violation(NULL, 0, "ws_accept_pair: %s", strerror(errno));
	return NULL;
}

static void *accept_plain(void *argument)
{
	int fd;

	while (!atomic_load(&shared->stop_serving)) {
		fd = accept4(plain_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			start(NULL, NULL, fd);
	}
	return argument;
}

static unsigned port_of(const struct ws_listener *listener)
{
	const char *colon = strrchr(ws_listener_url(listener), ':');

	return colon != NULL ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

/* On the port that it had before, if there is one: TLS sessions are kept for each. */
static struct ws_listener *listen_on(unsigned kind, unsigned port, const struct ws_options *options)
{
	struct ws_listener *listener;
	char url[64];

	snprintf(url, sizeof url, "%s://127.0.0.1:%u/", settings.secure ? "wss" : "ws", port);
	listener = ws_listen(url, options);
	if (listener == NULL && port != 0 && ws_last_error()->error == EADDRINUSE)
		return listen_on(kind, 0, options);
	note(NULL, OP_LISTEN, kind, 0, 0);
	if (listener == NULL)
		violation(NULL, 0, "ws_listen: %s", ws_last_error()->text);
	atomic_store(&shared->port[kind], port_of(listener));
	return listener;
}

/* Stopped or closed at any moment, with connections in all states. */
static void *come_and_go(void *argument)
{
	uint64_t random = mix(settings.seed, 4711);
	struct ws_options options;
	struct ws_listener *listener;
	unsigned port = 0;
	pthread_t acceptor;

	server_options(&options);
	options.max_connections = 2;
	while (!atomic_load(&shared->stop_serving)) {
		listener = listen_on(CHURN, port, &options);
		port = atomic_load(&shared->port[CHURN]);
		if (pthread_create(&acceptor, NULL, accept_files, listener) != 0)
			violation(NULL, 0, "no thread to accept");
		rest((int64_t)draw(&random, settings.pause_ms > 0 ? 4000 : 800));
		while (atomic_load(&shared->paused)) {
			atomic_store(&shared->holding, true);
			rest(20);
		}
		atomic_store(&shared->holding, false);
		note(NULL, OP_RELOAD, 0, 0, 0);
		if (ws_listener_reload(listener) != 0)
			violation(NULL, 0, "ws_listener_reload: %s", ws_last_error()->text);
		rest((int64_t)draw(&random, 20));
		note(NULL, OP_STOP, 0, 0, 0);
		atomic_store(&shared->port[CHURN], 0);
		/* Before it is closed: a thread may be about to call ws_accept. */
		if (ws_listener_stop(listener, (int)draw(&random, 300)) != 0 && errno != ETIMEDOUT)
			violation(NULL, 0, "ws_listener_stop: %s", strerror(errno));
		pthread_join(acceptor, NULL);
		(void)ws_listener_close(listener);
	}
	return argument;
}

static void listen_plain(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;

	plain_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (plain_fd < 0 || bind(plain_fd, (struct sockaddr *)&address, size) != 0 || listen(plain_fd, 64) != 0 ||
	    getsockname(plain_fd, (struct sockaddr *)&address, &size) != 0)
		violation(NULL, 0, "no plain socket: %s", strerror(errno));
	atomic_store(&shared->port[PLAIN], ntohs(address.sin_port));
}

void serve_begin(void)
{
	struct ws_options options;

	server_options(&options);
	listeners[FILES] = listen_on(FILES, 0, &options);
	listeners[PAIRS] = listen_on(PAIRS, 0, &options);
	listen_plain();
	if (pthread_create(&acceptors[FILES], NULL, accept_files, listeners[FILES]) != 0 ||
	    pthread_create(&acceptors[PAIRS], NULL, accept_pairs, listeners[PAIRS]) != 0 ||
	    pthread_create(&acceptors[CHURN], NULL, come_and_go, NULL) != 0 ||
	    pthread_create(&acceptors[PLAIN], NULL, accept_plain, NULL) != 0)
		violation(NULL, 0, "no threads to accept");
}

void serve_end(void)
{
	atomic_store(&shared->stop_serving, true);
	for (unsigned i = 0; i < CHURN; i++) {
		if (ws_listener_stop(listeners[i], 60000) != 0)
			violation(NULL, 0, "ws_listener_stop: %s", strerror(errno));
	}
	shutdown(plain_fd, SHUT_RDWR);
	for (unsigned i = 0; i < PORTS; i++)
		pthread_join(acceptors[i], NULL);
	for (unsigned i = 0; i < CHURN; i++)
		(void)ws_listener_close(listeners[i]);
	close(plain_fd);
	while (atomic_load(&shared->serving) > 0)
		rest(5);
}
