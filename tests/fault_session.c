/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault_keys.h"
#include "fault_session.h"
#include "peer.h"
#include "wire.h"

#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

#define STEP_MAX 4096

/* --- one end --- */

/* The flow leads to the end. */
struct acting {
	struct fault_end *end;
	enum fault_flow flow;
	FILE *stream;
};

uint8_t fault_byte(enum fault_flow flow, size_t offset)
{
	uint8_t byte;

	wire_pattern(offset + (flow == TO_CLIENT ? 7000 : 0), &byte, 1);
	/* Few letters, so that they can be compressed. */
	return (uint8_t)('a' + byte % 8);
}

static bool write_bytes(struct acting *acting, size_t size)
{
	struct fault_end *end = acting->end;
	uint8_t data[STEP_MAX];

	for (size_t i = 0; i < size; i++)
		data[i] = fault_byte(acting->flow == TO_SERVER ? TO_CLIENT : TO_SERVER, end->tried_bytes + i);
	end->tried_bytes += size;
	if (fwrite(data, 1, size, acting->stream) == size && fflush(acting->stream) == 0) {
		end->wrote_bytes += size;
		return true;
	}
	end->write_error = errno;
	return false;
}

static size_t read_bytes(struct acting *acting, size_t size)
{
	struct fault_end *end = acting->end;
	uint8_t data[STEP_MAX];
	size_t got = fread(data, 1, size, acting->stream);
	int saved = errno;

	for (size_t i = 0; i < got; i++)
		end->wrong |= data[i] != fault_byte(acting->flow, end->read_bytes + i);
	end->read_bytes += got;
	errno = saved;
	return got;
}

static int end_of(FILE *stream)
{
	return feof(stream) && !ferror(stream) ? 0 : errno;
}

static void read_to_the_end(struct acting *acting)
{
	struct fault_end *end = acting->end;
	struct ws_status status = WS_STATUS_INIT;

	/* A read that failed has said so already. */
	clearerr(acting->stream);
	while (read_bytes(acting, STEP_MAX) == STEP_MAX)
		;
	end->read_to_the_end = true;
	end->read_error = end_of(acting->stream);
	clearerr(acting->stream);
	insist(ws_status(acting->stream, &status) == 0, "ws_status: %s", strerror(errno));
	end->gave_up = end->read_error == ETIMEDOUT && status.error == 0;
	if (end->gave_up)
		return;
	errno = 0;
	end->unsteady = read_bytes(acting, 1) > 0 || end_of(acting->stream) != end->read_error;
	if (end->read_error != 0) {
		clearerr(acting->stream);
		errno = 0;
		end->probe_error = fputc('!', acting->stream) == EOF || fflush(acting->stream) == EOF ? errno : 0;
	}
}

static bool do_step(struct acting *acting, char step, size_t size)
{
	errno = 0;
	switch (step) {
	case 'w':
		return write_bytes(acting, size);
	case 'r':
		return read_bytes(acting, size) == size;
	case 'p':
		return ws_ping(acting->stream, "ping", 4) == 0;
	case 's':
		return ws_shutdown(acting->stream, 1000, NULL) == 0;
	default:
		insist(step == 'e', "no step %c", step);
		read_to_the_end(acting);
		return true;
	}
}

static void act(struct fault_end *end, enum fault_flow flow, FILE *stream, const char *steps)
{
	struct acting acting = { end, flow, stream };
	bool good = true;
	char *behind;

	end->opened = true;
	for (const char *at = steps; good && *at != '\0'; at = behind) {
		char step = *at++;
		size_t size = strtoul(at, &behind, 10);

		insist(size <= STEP_MAX, "%zu bytes at once", size);
		good = do_step(&acting, step, size);
		behind += strspn(behind, " ");
	}
	if (!good && !end->read_to_the_end)
		read_to_the_end(&acting);
	errno = 0;
	end->close_error = fclose(stream) == 0 ? 0 : errno;
}

/* --- the server's --- */

/*
 * The client is gone, and the server has nothing yet. What has passed says whether it must get a stream; a reset, or a
 * time limit, may have come before its answer.
 */
static bool must_accept(struct fault_worker *worker)
{
	struct bytes passed = { 0 }, plain = { 0 };
	struct fault_view view;
	enum fault_kind told;
	size_t start;
	bool notified, must;

	fault_proxy_passed(&worker->proxy, TO_SERVER, &passed, &told);
	if (worker->secure)
		fault_keys_read(&passed, &passed, true, &plain, &start, &notified);
	fault_view(&view, worker->secure ? plain.data : passed.data, worker->secure ? plain.size : passed.size);
	must = view.opened && told != FAULT_RESET && !worker->session->hurried;
	fault_view_clear(&view);
	free(plain.data);
	free(passed.data);
	return must;
}

static bool is_of_session(FILE *stream, unsigned number)
{
	struct ws_status status = WS_STATUS_INIT;
	char path[32];

	insist(ws_status(stream, &status) == 0, "ws_status: %s", strerror(errno));
	snprintf(path, sizeof path, "/%06u", number);
	return strstr(status.url, path) != NULL;
}

static void *serve(void *argument)
{
	struct fault_worker *worker = argument;
	struct fault_session *session = worker->session;
	struct fault_end *end = &session->ends[TO_SERVER];
	struct pollfd fds[2] = { { .fd = ws_listener_pollfd(worker->listener), .events = POLLIN },
		{ .fd = worker->over, .events = POLLIN } };
	FILE *stream;

	insist(fds[0].fd >= 0, "ws_listener_pollfd: %s", strerror(errno));
	while (poll(fds, 2, -1) < 0)
		insist(errno == EINTR, "poll: %s", strerror(errno));
	if (fds[0].revents == 0 && !must_accept(worker))
		return NULL;
	stream = ws_accept(worker->listener, "r+");
	insist(stream != NULL, "ws_accept: %s", ws_last_error()->text);
	if (is_of_session(stream, worker->number)) {
		act(end, TO_SERVER, stream, session->script->steps[TO_SERVER]);
	} else {
		end->stale = true;
		fclose(stream);
	}
	return NULL;
}

/* --- both --- */

static void listen_anew(struct fault_worker *worker)
{
	ws_listener_close(worker->listener);
	worker->listener = ws_listen(worker->secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/",
	    worker->listener_options);
	insist(worker->listener != NULL, "%s", ws_last_error()->text);
	worker->renew = false;
}

void fault_worker_start(struct fault_worker *worker, bool secure, const struct ws_options *client,
    const struct ws_options *listener)
{
	*worker = (struct fault_worker){ .secure = secure, .client_options = client, .listener_options = listener };
	listen_anew(worker);
	fault_proxy_start(&worker->proxy, peer_url_port(ws_listener_url(worker->listener)));
	worker->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	insist(worker->over >= 0, "eventfd: %s", strerror(errno));
}

void fault_worker_stop(struct fault_worker *worker)
{
	fault_proxy_stop(&worker->proxy);
	ws_listener_close(worker->listener);
	close(worker->over);
}

static void run_client(struct fault_worker *worker)
{
	struct fault_session *session = worker->session;
	struct fault_end *end = &session->ends[TO_CLIENT];
	char url[64];
	FILE *stream;

	snprintf(url, sizeof url, "%s://127.0.0.1:%u/%06u", worker->secure ? "wss" : "ws", worker->proxy.port,
	    worker->number);
	stream = ws_fopen_with(url, "r+", worker->client_options);
	if (stream != NULL)
		act(end, TO_CLIENT, stream, session->script->steps[TO_CLIENT]);
	else
		end->open_error = errno;
}

static void look(struct fault_worker *worker, enum fault_flow flow)
{
	struct fault_session *session = worker->session;
	const struct bytes *wire = &session->records[flow].passed;
	struct bytes plain = { 0 };
	size_t start = 0;
	bool notified = false;

	if (worker->secure) {
		fault_keys_read(wire, &session->records[TO_SERVER].passed, flow == TO_SERVER, &plain, &start,
		    &notified);
		wire = &plain;
	}
	fault_view(&session->views[flow], wire->data, wire->size);
	session->views[flow].notified = notified;
	session->data_start[flow] = worker->secure ? start : session->views[flow].head_bytes;
	free(plain.data);
}

void fault_session_run(struct fault_worker *worker, struct fault_session *session)
{
	uint64_t one = 1;
	pthread_t thread;

	if (worker->renew) {
		listen_anew(worker);
		fault_proxy_set_upstream(&worker->proxy, peer_url_port(ws_listener_url(worker->listener)));
	}
	worker->session = session;
	worker->number = (worker->number + 1) % 1000000;
	fault_proxy_plan(&worker->proxy, &session->plan);
	peer_thread(&thread, serve, worker);
	run_client(worker);
	insist(write(worker->over, &one, sizeof one) == sizeof one, "eventfd: %s", strerror(errno));
	peer_join(thread);
	insist(read(worker->over, &one, sizeof one) == sizeof one, "eventfd: %s", strerror(errno));
	fault_proxy_end(&worker->proxy);
	session->fired = worker->proxy.fired;
	session->records = worker->proxy.records;
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++)
		look(worker, flow);
	/* What passed when nobody looked any more. */
	worker->renew |= session->views[TO_SERVER].opened && !session->ends[TO_SERVER].opened;
	if (worker->secure)
		fault_keys_forget(&session->records[TO_SERVER].passed);
}

void fault_session_clear(struct fault_session *session)
{
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++)
		fault_view_clear(&session->views[flow]);
}
