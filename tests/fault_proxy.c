/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "fault_proxy.h"
#include "peer.h"

#define HELD_BYTES 65536
#define NS_PER_US INT64_C(1000)
#define NEVER_NS INT64_MAX

/* ck_assert writes a mark to Check's pipe on success too: far too slow here. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

struct held {
	uint8_t data[HELD_BYTES];
	size_t size;
	int64_t due_ns;			/* when the next of them go on */
};

/* One connection. The end with the number of a flow is the one that it leads to. */
struct relay {
	struct fault_proxy *proxy;
	int fd[FAULT_FLOWS];		/* -1 = reset */
	struct held held[FAULT_FLOWS];
};

static enum fault_flow other(enum fault_flow flow)
{
	return flow == TO_SERVER ? TO_CLIENT : TO_SERVER;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- what an end is told --- */

/* An end that is reset loses nothing that was sent to it before: its kernel has it, even unread. */
static void reset_end(struct relay *relay, enum fault_flow end)
{
	int unsent = 1;

	if (relay->fd[end] < 0)
		return;
	for (int i = 0; i < 2000 && unsent > 0; i++) {
		insist(ioctl(relay->fd[end], SIOCOUTQNSD, &unsent) == 0, "SIOCOUTQNSD: %s", strerror(errno));
		if (unsent > 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	insist(unsent == 0, "%d bytes did not leave before the reset", unsent);
	peer_reset(relay->fd[end]);
	relay->fd[end] = -1;
}

static void tell(struct relay *relay, enum fault_flow flow, enum fault_kind kind)
{
	struct fault_record *record = &relay->proxy->records[flow];

	if (record->told != FAULT_PASS && !(record->told == FAULT_FIN && kind == FAULT_RESET))
		return;
	if (kind == FAULT_FIN)
		peer_fin(relay->fd[flow]);
	else if (kind == FAULT_RESET)
		reset_end(relay, flow);
	record->told = kind;
	relay->held[flow].size = 0;
}

static void fire(struct relay *relay)
{
	const struct fault_plan *plan = &relay->proxy->plan;
	enum fault_flow flow = plan->flow;

	relay->proxy->fired = true;
	if (plan->ahead != FAULT_PASS)
		tell(relay, flow, plan->ahead);
	if (plan->behind != FAULT_PASS)
		tell(relay, other(flow), plan->behind);
}

static void fire_if_due(struct relay *relay)
{
	struct fault_proxy *proxy = relay->proxy;

	if (!proxy->fired && proxy->records[proxy->plan.flow].passed.size >= proxy->plan.at)
		fire(relay);
}

/* --- moving bytes --- */

static int64_t pause_ns(struct fault_proxy *proxy, enum fault_flow flow)
{
	const struct fault_pace *pace = &proxy->plan.pace[flow];
	uint32_t jitter = pace->jitter_us > 0 ? next_number(&proxy->lot) % pace->jitter_us : 0;

	return ((int64_t)pace->quiet_us + pace->gap_us + jitter) * NS_PER_US;
}

/* The sender of flow has closed or was reset. */
static void source_ended(struct relay *relay, enum fault_flow flow, enum fault_kind kind)
{
	struct fault_record *record = &relay->proxy->records[flow];

	record->source = kind;
	if (kind == FAULT_RESET)
		tell(relay, flow, FAULT_RESET);
	else if (relay->held[flow].size == 0)
		tell(relay, flow, FAULT_FIN);
}

static void take(struct relay *relay, enum fault_flow flow)
{
	struct fault_record *record = &relay->proxy->records[flow];
	struct held *held = &relay->held[flow];
	uint8_t waste[4096];
	bool wasted = record->told != FAULT_PASS;
	ssize_t n;

	do
		n = wasted ? recv(relay->fd[other(flow)], waste, sizeof waste, MSG_DONTWAIT) :
		    recv(relay->fd[other(flow)], held->data + held->size, HELD_BYTES - held->size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return;
	insist(n >= 0 || errno == ECONNRESET || errno == EPIPE, "recv: %s", strerror(errno));
	if (n <= 0) {
		source_ended(relay, flow, n == 0 ? FAULT_FIN : FAULT_RESET);
		return;
	}
	record->taken_bytes += (size_t)n;
	if (wasted)
		return;
	if (held->size == 0 || relay->proxy->plan.pace[flow].quiet_us > 0)
		held->due_ns = now_ns() + pause_ns(relay->proxy, flow);
	held->size += (size_t)n;
}

static void pass(struct relay *relay, enum fault_flow flow)
{
	struct fault_proxy *proxy = relay->proxy;
	struct fault_record *record = &proxy->records[flow];
	struct held *held = &relay->held[flow];
	size_t size = held->size, piece = proxy->plan.pace[flow].piece_bytes;

	if (piece > 0 && size > piece)
		size = piece;
	if (!proxy->fired && proxy->plan.flow == flow && size > proxy->plan.at - record->passed.size)
		size = proxy->plan.at - record->passed.size;
	if (!peer_try_send(relay->fd[flow], held->data, size)) {
		/* The receiver is gone, and so says its own direction. */
		record->told = FAULT_RESET;
		held->size = 0;
		if (proxy->records[other(flow)].source == FAULT_PASS)
			source_ended(relay, other(flow), FAULT_RESET);
		return;
	}
	put(&record->passed, held->data, size);
	held->size -= size;
	memmove(held->data, held->data + size, held->size);
	held->due_ns = now_ns() + pause_ns(proxy, flow);
	fire_if_due(relay);
	if (held->size == 0 && record->source == FAULT_FIN)
		tell(relay, flow, FAULT_FIN);
}

static bool wants_more(const struct relay *relay, enum fault_flow flow)
{
	const struct fault_record *record = &relay->proxy->records[flow];

	/* What is stalled is not taken either. */
	return record->source == FAULT_PASS && record->told != FAULT_STALL && relay->fd[other(flow)] >= 0 &&
	    (record->told != FAULT_PASS || relay->held[flow].size < HELD_BYTES);
}

static void wait_for_more(struct relay *relay, int64_t due_ns)
{
	struct fault_proxy *proxy = relay->proxy;
	struct pollfd fds[FAULT_FLOWS + 1];
	int64_t left = due_ns == NEVER_NS ? 0 : due_ns - now_ns();
	struct timespec limit = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };

	if (left < 0)
		limit = (struct timespec){ 0 };
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++)
		fds[flow] = (struct pollfd){ .fd = wants_more(relay, flow) ? relay->fd[other(flow)] : -1,
			.events = POLLIN };
	fds[FAULT_FLOWS] = (struct pollfd){ .fd = proxy->wake, .events = POLLIN };
	pthread_mutex_unlock(&proxy->lock);
	ppoll(fds, FAULT_FLOWS + 1, due_ns == NEVER_NS ? NULL : &limit, NULL);
	pthread_mutex_lock(&proxy->lock);
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++)
		if (fds[flow].fd >= 0 && fds[flow].revents != 0 && wants_more(relay, flow))
			take(relay, flow);
}

/* With the lock, but while it waits. */
static void serve(struct relay *relay)
{
	struct fault_proxy *proxy = relay->proxy;

	fire_if_due(relay);
	while (!proxy->end_connection) {
		int64_t next = NEVER_NS;

		for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++) {
			struct held *held = &relay->held[flow];

			if (held->size > 0 && held->due_ns <= now_ns())
				pass(relay, flow);
			if (held->size > 0 && held->due_ns < next)
				next = held->due_ns;
		}
		wait_for_more(relay, next);
	}
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++)
		if (relay->fd[flow] >= 0)
			close(relay->fd[flow]);
}

/* --- its thread --- */

static void clear_wake(struct fault_proxy *proxy)
{
	uint64_t count;

	insist(read(proxy->wake, &count, sizeof count) == sizeof count || errno == EAGAIN, "eventfd");
}

/* A client that gave up before it was looked at must not be taken for the next one. */
static void refuse_rest(struct fault_proxy *proxy)
{
	struct pollfd waiting = { .fd = proxy->listener, .events = POLLIN };

	while (poll(&waiting, 1, 0) == 1)
		close(peer_accept(proxy->listener));
}

static void begin(struct relay *relay, struct fault_proxy *proxy)
{
	relay->proxy = proxy;
	relay->held[TO_SERVER].size = relay->held[TO_CLIENT].size = 0;
	relay->fd[TO_CLIENT] = peer_accept(proxy->listener);
	relay->fd[TO_SERVER] = peer_connect(proxy->upstream_port);
}

static void *run(void *argument)
{
	struct fault_proxy *proxy = argument;
	struct relay *relay = malloc(sizeof *relay);

	insist(relay != NULL, "out of memory");
	pthread_mutex_lock(&proxy->lock);
	while (!proxy->stop) {
		struct pollfd fds[2] = { { .fd = proxy->listener, .events = POLLIN },
			{ .fd = proxy->wake, .events = POLLIN } };

		pthread_mutex_unlock(&proxy->lock);
		poll(fds, 2, -1);
		pthread_mutex_lock(&proxy->lock);
		if (fds[0].revents != 0 && !proxy->stop && !proxy->end_connection) {
			begin(relay, proxy);
			serve(relay);
		}
		if (proxy->end_connection) {
			clear_wake(proxy);
			refuse_rest(proxy);
			proxy->end_connection = proxy->busy = false;
			pthread_cond_broadcast(&proxy->idle);
		}
	}
	pthread_mutex_unlock(&proxy->lock);
	free(relay);
	return NULL;
}

static void wake(struct fault_proxy *proxy)
{
	uint64_t one = 1;

	insist(write(proxy->wake, &one, sizeof one) == sizeof one, "eventfd: %s", strerror(errno));
}

void fault_proxy_start(struct fault_proxy *proxy, unsigned upstream_port)
{
	*proxy = (struct fault_proxy){ .upstream_port = upstream_port, .lot = 4711 };
	proxy->listener = peer_listen(&proxy->port);
	proxy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	insist(proxy->wake >= 0, "eventfd: %s", strerror(errno));
	pthread_mutex_init(&proxy->lock, NULL);
	pthread_cond_init(&proxy->idle, NULL);
	peer_thread(&proxy->thread, run, proxy);
}

static void forget(struct fault_proxy *proxy)
{
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++) {
		free(proxy->records[flow].passed.data);
		proxy->records[flow] = (struct fault_record){ 0 };
	}
}

void fault_proxy_stop(struct fault_proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->stop = true;
	wake(proxy);
	pthread_mutex_unlock(&proxy->lock);
	peer_join(proxy->thread);
	forget(proxy);
	close(proxy->listener);
	close(proxy->wake);
	pthread_cond_destroy(&proxy->idle);
	pthread_mutex_destroy(&proxy->lock);
}

void fault_proxy_set_upstream(struct fault_proxy *proxy, unsigned port)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->upstream_port = port;
	pthread_mutex_unlock(&proxy->lock);
}

void fault_proxy_plan(struct fault_proxy *proxy, const struct fault_plan *plan)
{
	pthread_mutex_lock(&proxy->lock);
	insist(!proxy->busy, "the proxy has a connection already");
	forget(proxy);
	proxy->plan = *plan;
	proxy->busy = true;
	proxy->fired = false;
	pthread_mutex_unlock(&proxy->lock);
}

void fault_proxy_end(struct fault_proxy *proxy)
{
	pthread_mutex_lock(&proxy->lock);
	proxy->end_connection = true;
	wake(proxy);
	while (proxy->busy)
		pthread_cond_wait(&proxy->idle, &proxy->lock);
	pthread_mutex_unlock(&proxy->lock);
}

void fault_proxy_passed(struct fault_proxy *proxy, enum fault_flow flow, struct bytes *passed, enum fault_kind *told)
{
	pthread_mutex_lock(&proxy->lock);
	put(passed, proxy->records[flow].passed.data, proxy->records[flow].passed.size);
	*told = proxy->records[flow].told;
	pthread_mutex_unlock(&proxy->lock);
}
