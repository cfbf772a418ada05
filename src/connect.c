/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"
#include "lock.h"
#include "process.h"
#include "wait.h"

/* RFC 8305, section 5: the next address is tried while the earlier ones still may answer. */
#define STAGGER_NS INT64_C(250000000)
#define ATTEMPTS_MAX 16
/* The kernel has no event for a listener's queue that has room again. */
#define QUEUE_RETRY_MS 10

/* --- look-up --- */

/*
 * getaddrinfo can neither be interrupted nor limited in time: it runs in a thread of its own, which the caller leaves
 * behind when it has waited long enough. Who comes last frees.
 */
struct look_up {
	atomic_uint refs;		/* [A] */
	struct wsf_event done;
	struct addrinfo hints;		/* [I] */
	char *host;			/* [I] */
	char port[8];			/* [I] */
	struct addrinfo *addresses;	/* the thread's, then, once done, the caller's */
	int code, saved_errno;
};

static void look_up_unref(struct look_up *look_up)
{
	if (atomic_fetch_sub(&look_up->refs, 1) != 1)
		return;
	wsf_resolve_free(look_up->addresses);
	wsf_event_destroy(&look_up->done);
	free(look_up->host);
	free(look_up);
}

static void *look_up_main(void *argument)
{
	struct look_up *look_up = argument;

	look_up->code = getaddrinfo(look_up->host, look_up->port, &look_up->hints, &look_up->addresses);
	look_up->saved_errno = errno;
	if (look_up->code != 0)
		look_up->addresses = NULL;
	wsf_event_notify(&look_up->done);
	look_up_unref(look_up);
	return NULL;
}

static struct look_up *look_up_new(const char *host, const char *port, const struct addrinfo *hints)
{
	struct look_up *look_up = calloc(1, sizeof *look_up);

	if (look_up == NULL || (look_up->host = strdup(host)) == NULL) {
		free(look_up);
		return NULL;
	}
	atomic_init(&look_up->refs, 2);
	wsf_event_init(&look_up->done);
	look_up->hints = *hints;
	snprintf(look_up->port, sizeof look_up->port, "%s", port);
	return look_up;
}

static int start_look_up(struct look_up *look_up, pthread_t *thread)
{
	sigset_t all, before;
	int rv;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rv = -pthread_create(thread, NULL, look_up_main, look_up);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rv;
}

static int look_up_in_time(struct look_up *look_up, int64_t deadline_ns, struct wsf_failure *failure)
{
	pthread_t thread;
	int rv = start_look_up(look_up, &thread);

	if (rv != 0) {
		look_up_unref(look_up);
		return wsf_fail_errno(failure, -rv, "cannot look up %s", look_up->host);
	}
	while (wsf_event_seen(&look_up->done) == 0 && rv == 0)
		rv = wsf_event_wait(&look_up->done, 0, deadline_ns);
	if (wsf_event_seen(&look_up->done) != 0) {
		wsf_assert_may_wait();
		pthread_join(thread, NULL);
		return 0;
	}
	pthread_detach(thread);
	if (rv == -EINTR)
		return wsf_fail(failure, EINTR, "interrupted by a signal while looking up %s", look_up->host);
	return wsf_fail(failure, ETIMEDOUT, "looking up %s took too long", look_up->host);
}

int wsf_resolve(const char *host, unsigned port, int passive, int64_t deadline_ns, struct addrinfo **addresses,
    struct wsf_failure *failure)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST | (passive ? AI_PASSIVE : 0),
	};
	struct look_up *look_up;
	char port_text[8];
	int code, rv;

	snprintf(port_text, sizeof port_text, "%u", port);
	if (getaddrinfo(host, port_text, &hints, addresses) == 0)
		return 0;
	hints.ai_flags &= ~AI_NUMERICHOST;
	look_up = look_up_new(host, port_text, &hints);
	if (look_up == NULL)
		return wsf_fail(failure, ENOMEM, "out of memory");
	if ((rv = look_up_in_time(look_up, deadline_ns, failure)) == 0) {
		*addresses = look_up->addresses;
		look_up->addresses = NULL;
		code = look_up->code;
		if (code != 0)
			rv = wsf_fail(failure, wsf_errno_from_gai(code, look_up->saved_errno),
			    "cannot look up %s: %s", host, gai_strerror(code));
	}
	look_up_unref(look_up);
	return rv;
}

void wsf_resolve_free(struct addrinfo *addresses)
{
	if (addresses != NULL)
		freeaddrinfo(addresses);
}

/* --- connect --- */

struct race {
	struct pollfd pollfd[ATTEMPTS_MAX];
	nfds_t count;
	struct addrinfo *order[ATTEMPTS_MAX];
	size_t order_count, started;
	int winner;
	int first_error;		/* the best address's reason is the one to tell */
};

/* RFC 8305, section 4: the resolver's order, with the address families taking turns. */
static void sort(struct race *race, struct addrinfo *addresses)
{
	struct addrinfo *a = addresses, *b = addresses;
	int family = addresses->ai_family;

	while (race->order_count < ATTEMPTS_MAX && (a != NULL || b != NULL)) {
		while (a != NULL && a->ai_family != family)
			a = a->ai_next;
		if (a != NULL) {
			race->order[race->order_count++] = a;
			a = a->ai_next;
		}
		while (b != NULL && b->ai_family == family)
			b = b->ai_next;
		if (b != NULL && race->order_count < ATTEMPTS_MAX) {
			race->order[race->order_count++] = b;
			b = b->ai_next;
		}
	}
}

static void attempt_failed(struct race *race, int error)
{
	if (race->first_error == 0)
		race->first_error = error;
}

static void attempt(struct race *race)
{
	const struct addrinfo *address = race->order[race->started++];
	const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int on = 1, fd = WSF_OWNED(socket(address->ai_family, type, address->ai_protocol));

	if (fd < 0) {
		attempt_failed(race, errno);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR) {
		attempt_failed(race, errno);
		wsf_process_close(fd);
		return;
	}
	race->pollfd[race->count++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
}

static void look_at(struct race *race)
{
	socklen_t size;
	int error;

	for (nfds_t i = 0; i < race->count && race->winner < 0;) {
		size = sizeof error;
		error = 0;
		if (race->pollfd[i].revents == 0) {
			i++;
		} else if (getsockopt(race->pollfd[i].fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
			race->winner = race->pollfd[i].fd;
			race->pollfd[i] = race->pollfd[--race->count];
		} else {
			attempt_failed(race, error);
			wsf_process_close(race->pollfd[i].fd);
			race->pollfd[i] = race->pollfd[--race->count];
		}
	}
}

/* Returns 0 when there is a winner. */
static int run(struct race *race, int64_t deadline_ns)
{
	int64_t next_ns = wsf_now_ns(), until_ns;
	int rv;

	while (race->winner < 0) {
		if (race->started < race->order_count && (race->count == 0 || wsf_now_ns() >= next_ns)) {
			attempt(race);
			next_ns = wsf_now_ns() + STAGGER_NS;
			continue;
		}
		if (race->count == 0)
			return -(race->first_error != 0 ? race->first_error : EADDRNOTAVAIL);
		until_ns = race->started < race->order_count && next_ns < deadline_ns ? next_ns : deadline_ns;
		wsf_assert_may_wait();
		rv = poll(race->pollfd, race->count, wsf_deadline_left_ms(until_ns));
		if (rv < 0)
			return -errno;
		if (rv == 0 && wsf_deadline_left_ms(deadline_ns) == 0)
			return -ETIMEDOUT;
		look_at(race);
	}
	return 0;
}

int wsf_connect(const char *host, unsigned port, int64_t deadline_ns, struct wsf_failure *failure)
{
	struct addrinfo *addresses;
	struct race race = { .winner = -1 };
	int rv = wsf_resolve(host, port, 0, deadline_ns, &addresses, failure);

	if (rv != 0)
		return rv;
	sort(&race, addresses);
	rv = run(&race, deadline_ns);
	for (nfds_t i = 0; i < race.count; i++)
		wsf_process_close(race.pollfd[i].fd);
	wsf_resolve_free(addresses);
	if (rv == -EINTR)
		return wsf_fail(failure, EINTR, "interrupted by a signal while connecting to %s", host);
	if (rv < 0)
		return wsf_fail_errno(failure, -rv, "cannot connect to %s port %u", host, port);
	return race.winner;
}

/* --- local sockets --- */

int wsf_local_address(const char *path, struct sockaddr_un *address)
{
	size_t length = strlen(path);
	bool abstract = path[0] == '@';

#ifndef __linux__
	if (abstract)
		return -EPROTONOSUPPORT;
#endif
	/* An abstract name has a NUL in front and none behind: its length is what counts (unix(7)). */
	if (length + !abstract > sizeof address->sun_path)
		return -ENAMETOOLONG;
	if (length == 0)
		return -EINVAL;
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	if (abstract)
		address->sun_path[0] = '\0';
	return (int)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
}

static int wait_for_queue(int64_t deadline_ns)
{
	int left = wsf_deadline_left_ms(deadline_ns);

	if (left == 0)
		return -ETIMEDOUT;
	wsf_assert_may_wait();
	return poll(NULL, 0, left > 0 && left < QUEUE_RETRY_MS ? left : QUEUE_RETRY_MS) < 0 ? -errno : 0;
}

static int connect_local(const struct sockaddr_un *address, socklen_t size, int64_t deadline_ns)
{
	int rv = 0, fd = WSF_OWNED(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (fd < 0)
		return -errno;
	while (rv == 0 && connect(fd, (const struct sockaddr *)address, size) != 0)
		rv = errno == EAGAIN ? wait_for_queue(deadline_ns) : -errno;
	if (rv == 0)
		return fd;
	wsf_process_close(fd);
	return rv;
}

int wsf_connect_local(const char *path, int64_t deadline_ns, struct wsf_failure *failure)
{
	struct sockaddr_un address;
	int size = wsf_local_address(path, &address), rv;

	rv = size < 0 ? size : connect_local(&address, (socklen_t)size, deadline_ns);
	if (rv == -EINTR)
		return wsf_fail(failure, EINTR, "interrupted by a signal while connecting to %s", path);
	if (rv == -ETIMEDOUT)
		return wsf_fail(failure, ETIMEDOUT, "the listener of the local socket %s took nobody in time", path);
	if (rv < 0)
		return wsf_fail_errno(failure, -rv, "cannot connect to the local socket %s", path);
	return rv;
}
