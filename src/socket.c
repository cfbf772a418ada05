/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lock.h"
#include "process.h"
#include "socket.h"

/* Where send(2) takes no notice of MSG_DONTWAIT, the socket stays non-blocking, and who waits for it polls. */
#if defined(__APPLE__) || defined(__NetBSD__)
#define BLOCKS false
#else
#define BLOCKS true
#endif

void wsf_socket_init(struct wsf_socket *sock, int fd)
{
	atomic_init(&sock->fd, fd);
	atomic_init(&sock->users, 0);
	wsf_event_init(&sock->unused);
}

int wsf_socket_fd(const struct wsf_socket *sock)
{
	return atomic_load(&sock->fd);
}

void wsf_socket_set_blocking(const struct wsf_socket *sock)
{
	int fd = wsf_socket_fd(sock), flags = fcntl(fd, F_GETFL);

	if (BLOCKS && flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* Either close sees this user, or this user finds no descriptor. */
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

/* TCP that gave up by itself is as broken as any: ETIMEDOUT is a limit of ours, behind which the caller may go on. */
static int to_error(int error)
{
	return error == EWOULDBLOCK ? -EAGAIN : error == ETIMEDOUT ? -ECONNRESET : -error;
}

/* One piece costs the kernel less work as send and recv. */
static ssize_t send_pieces(int fd, const struct iovec *iov, int count)
{
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	return count == 1 ? send(fd, iov->iov_base, iov->iov_len, flags) : sendmsg(fd, &message, flags);
}

static ssize_t receive_pieces(int fd, const struct iovec *iov, int count, int flags)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	return count == 1 ? recv(fd, iov->iov_base, iov->iov_len, flags) : recvmsg(fd, &message, flags);
}

ssize_t wsf_socket_send(void *opaque, const struct iovec *iov, int count)
{
	struct wsf_socket *sock = opaque;
	int fd = use(sock);
	ssize_t rv = -EPIPE;

	if (fd >= 0) {
		do
			rv = send_pieces(fd, iov, count);
		while (rv < 0 && errno == EINTR);
		/* The kernel is short of memory for a moment: as a full socket. */
		if (rv < 0)
			rv = errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : to_error(errno);
	}
	unuse(sock);
	return rv;
}

static ssize_t receive(struct wsf_socket *sock, const struct iovec *iov, int count, int flags)
{
	int fd = use(sock);
	ssize_t rv = fd >= 0 ? receive_pieces(fd, iov, count, flags) : -ECONNRESET;

	if (fd >= 0 && rv < 0)
		rv = to_error(errno);
	/* The end may be that of wsf_socket_close, and not the peer's. */
	if (rv == 0 && wsf_socket_fd(sock) != fd)
		rv = -ECONNRESET;
	unuse(sock);
	return rv;
}

ssize_t wsf_socket_receive(void *opaque, const struct iovec *iov, int count)
{
	ssize_t rv;

	do
		rv = receive(opaque, iov, count, MSG_DONTWAIT);
	while (rv == -EINTR);
	return rv;
}

/* poll(2) for it, as wsf_socket_wait_readable. */
static int poll_readable(struct wsf_socket *sock, int64_t deadline_ns)
{
	struct pollfd pollfd = { .fd = use(sock), .events = POLLIN };
	int rv = -ECONNRESET;

	wsf_assert_may_wait();
	if (pollfd.fd >= 0)
		rv = (rv = poll(&pollfd, 1, wsf_deadline_left_ms(deadline_ns))) < 0 ? -errno : rv == 0 ? -ETIMEDOUT : 0;
	unuse(sock);
	return rv == -EAGAIN ? 0 : rv;
}

/* Without a deadline it is one blocking receive, which a handler with SA_RESTART does not end. */
ssize_t wsf_socket_receive_wait(void *opaque, const struct iovec *iov, int count, int64_t until_ns)
{
	struct wsf_socket *sock = opaque;
	ssize_t rv = -EAGAIN;

	wsf_assert_may_wait();
	if (until_ns == WSF_NO_DEADLINE)
		rv = receive(sock, iov, count, 0);
	/* Or whoever else has the socket, as a child of the program does, made it non-blocking. */
	if (rv == -EAGAIN && (rv = poll_readable(sock, until_ns)) == 0)
		rv = receive(sock, iov, count, MSG_DONTWAIT);
	return rv;
}

int wsf_socket_wait_writable(void *opaque, int64_t deadline_ns)
{
	struct wsf_socket *sock = opaque;
	struct pollfd pollfd = { .fd = use(sock), .events = POLLOUT };
	int rv = 1, error = 0;

	wsf_assert_may_wait();
	if (pollfd.fd >= 0 && (rv = poll(&pollfd, 1, wsf_deadline_left_ms(deadline_ns))) < 0)
		error = errno;
	unuse(sock);
	return rv == 0 ? -ETIMEDOUT : error == EINTR ? -EINTR : 0;
}

/* Without a deadline it is a blocking receive, which a handler with SA_RESTART does not end, and poll always. */
int wsf_socket_wait_readable(struct wsf_socket *sock, int64_t deadline_ns)
{
	char byte;
	ssize_t rv = -EAGAIN;

	wsf_assert_may_wait();
	if (deadline_ns == WSF_NO_DEADLINE)
		rv = receive(sock, &(struct iovec){ &byte, 1 }, 1, MSG_PEEK);
	if (rv == -EAGAIN)
		rv = poll_readable(sock, deadline_ns);
	return rv < 0 ? (int)rv : 0;
}

/* As recv(2) would say, of one byte. */
static ssize_t peek(struct wsf_socket *sock)
{
	int fd = use(sock);
	char byte;
	ssize_t rv = fd >= 0 ? recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : -1;

	unuse(sock);
	return rv;
}

bool wsf_socket_at_end(void *sock)
{
	return peek(sock) == 0;
}

bool wsf_socket_arrived(void *sock)
{
	return peek(sock) > 0;
}

size_t wsf_socket_unacknowledged(struct wsf_socket *sock)
{
	int fd = use(sock), bytes = 0;

#ifdef __linux__
	/* Of a local socket: what the other end has not read. */
	if (fd >= 0 && ioctl(fd, TIOCOUTQ, &bytes) != 0)
		bytes = 0;
#endif
	unuse(sock);
	return bytes > 0 ? (size_t)bytes : 0;
}

void wsf_socket_watch(struct wsf_socket *sock, int interval_ms)
{
	int fd = use(sock), on = 1;
#if defined(TCP_KEEPIDLE) && defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
	int seconds = interval_ms > 1000 ? interval_ms / 1000 : 1, probes = 1;

	if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) == 0)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#else
	(void)interval_ms;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#endif
	unuse(sock);
}

void wsf_socket_finish(void *opaque)
{
	struct wsf_socket *sock = opaque;
	int fd = use(sock);

	if (fd >= 0)
		shutdown(fd, SHUT_WR);
	unuse(sock);
}

void wsf_socket_close(struct wsf_socket *sock)
{
	int fd = atomic_exchange(&sock->fd, -1);
	struct linger linger = { 0 };
	socklen_t size = sizeof linger;
	unsigned seen;

	if (fd < 0)
		return;
	/* Wakes those who are blocked in it. */
	if (atomic_load(&sock->users) != 0)
		shutdown(fd, SHUT_RDWR);
	for (;;) {
		seen = wsf_event_seen(&sock->unused);
		if (atomic_load(&sock->users) == 0)
			break;
		(void)wsf_event_wait(&sock->unused, seen, WSF_NO_DEADLINE);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff != 0 && linger.l_linger > 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 0 }, sizeof linger);
	wsf_process_close(fd);
}

void wsf_socket_destroy(struct wsf_socket *sock)
{
	wsf_event_destroy(&sock->unused);
}
