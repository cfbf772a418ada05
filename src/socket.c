/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "socket.h"

void wsf_socket_init(struct wsf_socket *sock, int fd)
{
	atomic_init(&sock->fd, fd);
	atomic_init(&sock->users, 0);
	sock->detached = false;
	wsf_event_init(&sock->unused);
}

int wsf_socket_fd(const struct wsf_socket *sock)
{
	return atomic_load(&sock->fd);
}

void wsf_socket_set_blocking(const struct wsf_socket *sock)
{
	int fd = wsf_socket_fd(sock), flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* Either detach sees this user, or this user sees the new descriptor. */
static int use(struct wsf_socket *sock)
{
	atomic_fetch_add(&sock->users, 1);
	return atomic_load(&sock->fd);
}

static void unuse(struct wsf_socket *sock)
{
	if (atomic_fetch_sub(&sock->users, 1) == 1)
		wsf_event_notify(&sock->unused);
}

static int to_error(int error)
{
	return error == EWOULDBLOCK ? -EAGAIN : -error;
}

ssize_t wsf_socket_send(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_socket *sock = opaque;
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	int fd = use(sock);
	ssize_t rv = -EPIPE;

	if (fd >= 0) {
		do
			rv = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (rv < 0 && errno == EINTR);
		/* The kernel is short of memory for a moment: as a full socket. */
		if (rv < 0)
			rv = errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : to_error(errno);
	}
	unuse(sock);
	return rv;
}

ssize_t wsf_socket_receive(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_socket *sock = opaque;
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	int fd = use(sock);
	ssize_t rv = -ECONNRESET;

	if (fd >= 0) {
		do
			rv = recvmsg(fd, &message, MSG_DONTWAIT);
		while (rv < 0 && errno == EINTR);
		if (rv < 0)
			rv = to_error(errno);
	}
	unuse(sock);
	return rv;
}

int wsf_socket_wait_writable(void *opaque, int64_t deadline_ns)
{
	struct wsf_socket *sock = opaque;
	struct pollfd pollfd = { .fd = use(sock), .events = POLLOUT };
	int rv = 1;

	if (pollfd.fd >= 0)
		rv = poll(&pollfd, 1, wsf_deadline_left_ms(deadline_ns));
	unuse(sock);
	return rv == 0 ? -ETIMEDOUT : 0;
}

/* Without a deadline it is a blocking receive, which a handler with SA_RESTART does not end, and poll always. */
int wsf_socket_wait_readable(void *opaque, int64_t deadline_ns)
{
	struct wsf_socket *sock = opaque;
	struct pollfd pollfd = { .fd = use(sock), .events = POLLIN };
	int rv = -ECONNRESET;
	char byte;

	if (pollfd.fd >= 0 && deadline_ns == WSF_NO_DEADLINE)
		rv = recv(pollfd.fd, &byte, 1, MSG_PEEK) < 0 ? -errno : 0;
	else if (pollfd.fd >= 0)
		rv = (rv = poll(&pollfd, 1, wsf_deadline_left_ms(deadline_ns))) < 0 ? -errno : rv == 0 ? -ETIMEDOUT : 0;
	unuse(sock);
	return rv == -EAGAIN ? 0 : rv;
}

bool wsf_socket_at_end(void *opaque)
{
	struct wsf_socket *sock = opaque;
	int fd = use(sock);
	char byte;
	bool end = fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;

	unuse(sock);
	return end;
}

void wsf_socket_finish(void *opaque)
{
	struct wsf_socket *sock = opaque;
	int fd = use(sock);

	if (fd >= 0)
		shutdown(fd, SHUT_WR);
	unuse(sock);
}

int wsf_socket_duplicate(const struct wsf_socket *sock)
{
	return fcntl(wsf_socket_fd(sock), F_DUPFD_CLOEXEC, 0);
}

bool wsf_socket_hung_up(const struct wsf_socket *sock)
{
	struct pollfd pollfd = { .fd = wsf_socket_fd(sock) };

	return poll(&pollfd, 1, 0) > 0;
}

bool wsf_socket_detach(struct wsf_socket *sock, bool keep, bool close_fd)
{
	int fd = atomic_load(&sock->fd), kept = -1;
	unsigned seen;

	if (keep)
		kept = wsf_socket_duplicate(sock);
	sock->detached = kept >= 0;
	atomic_store(&sock->fd, kept);
	/* Wakes a writer in poll; with keep the socket has hung up, so that none can be blocked. */
	if (!keep && atomic_load(&sock->users) != 0)
		shutdown(fd, SHUT_RDWR);
	for (;;) {
		seen = wsf_event_seen(&sock->unused);
		if (atomic_load(&sock->users) == 0)
			break;
		(void)wsf_event_wait(&sock->unused, seen, WSF_NO_DEADLINE);
	}
	if (close_fd)
		close(fd);
	return sock->detached;
}

void wsf_socket_close(struct wsf_socket *sock)
{
	if (sock->detached)
		close(atomic_load(&sock->fd));
	wsf_event_destroy(&sock->unused);
}
