/* SPDX-License-Identifier: 0BSD */
#include <errno.h>

#include "descriptor_pair.h"

#ifdef __linux__

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "process.h"
#include "lock.h"
#include "wait.h"

/*
 * The kernel lets poll say that the program can write while at most a quarter of its buffer is taken, and the byte that
 * is always there takes up all of the piece it was written in, of up to 48 KiB and some. The system's own default
 * suffices for that, unless somebody made it smaller.
 */
#define BUFFER_BYTES 212992
/*
 * A write that is blocked when the error is set takes it away from the reader. So writing is ended first, and those
 * that are blocked have this long to leave.
 */
#define LEAVE_MS 250

/* --- life --- */

static int prepare(struct wsf_pair *pair, int theirs)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
	int bytes = BUFFER_BYTES;

	pair->poller = WSF_OWNED(epoll_create1(EPOLL_CLOEXEC));
	if (pair->poller < 0)
		return -errno;
	setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	setsockopt(pair->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	if (send(theirs, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 &&
	    epoll_ctl(pair->poller, EPOLL_CTL_ADD, pair->fd, &event) == 0)
		return 0;
	bytes = errno;
	wsf_process_close(pair->poller);
	return -bytes;
}

int wsf_pair_open(struct wsf_pair *pair, int *theirs)
{
	int ends[2], rv;

	/* Ours, from the moment that it is there. */
	wsf_process_begin_own();
	rv = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 ? -errno : 0;
	(void)wsf_process_end_own(rv == 0 ? ends[0] : -1);
	if (rv != 0)
		return rv;
	pair->fd = ends[0];
	rv = prepare(pair, ends[1]);
	if (rv != 0) {
		wsf_process_close(ends[0]);
		wsf_process_close(ends[1]);
		return rv;
	}
	*theirs = ends[1];
	return 0;
}

/* --- to the program --- */

int wsf_pair_give(const struct wsf_pair *pair, const void *data, size_t size)
{
	const uint8_t *at = data;
	ssize_t n;

	while (size > 0) {
		n = send(pair->fd, at, size, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -EPIPE;
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

void wsf_pair_give_end(const struct wsf_pair *pair)
{
	shutdown(pair->fd, SHUT_WR);
}

/* --- from the program --- */

/* The old byte counts. */
static size_t queued(const struct wsf_pair *pair)
{
	int bytes;

	return ioctl(pair->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

static short events(const struct wsf_pair *pair)
{
	struct pollfd ask = { pair->fd, POLLRDHUP, 0 };

	return poll(&ask, 1, 0) == 1 ? ask.revents : 0;
}

ssize_t wsf_pair_take(const struct wsf_pair *pair, void *buffer, size_t size)
{
	uint8_t old, *out = buffer;
	struct iovec iov[2] = { { &old, 1 }, { out, 0 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t bytes = queued(pair);
	bool ended;
	ssize_t n;

	if (bytes < 2) {
		/* In this order: what came before the end is there when the end is. */
		ended = (events(pair) & (POLLRDHUP | POLLHUP)) != 0;
		bytes = queued(pair);
		if (bytes < 2)
			return ended ? 0 : -EAGAIN;
	}
	/* All but the last byte, which is only looked at: it is the old one the next time. */
	iov[1].iov_len = (bytes - 1 < size ? bytes - 1 : size) - 1;
	n = recvmsg(pair->fd, &message, MSG_DONTWAIT);
	if (n < 1 || recv(pair->fd, out + n - 1, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return -EIO;
	return n;
}

void wsf_pair_refuse(const struct wsf_pair *pair)
{
	shutdown(pair->fd, SHUT_RD);
}

bool wsf_pair_over(const struct wsf_pair *pair)
{
	return (events(pair) & POLLHUP) != 0;
}

void wsf_pair_wait(const struct wsf_pair *pair, int64_t until_ns)
{
	struct epoll_event event;

	wsf_assert_may_wait();
	(void)epoll_wait(pair->poller, &event, 1, wsf_deadline_left_ms(until_ns));
}

void wsf_pair_wake(const struct wsf_pair *pair)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

	/* Asked for anew, what is there counts as a change. */
	epoll_ctl(pair->poller, EPOLL_CTL_MOD, pair->fd, &event);
}

/* --- the end --- */

void wsf_pair_close(struct wsf_pair *pair, bool broken)
{
	uint8_t rest[4096];

	wsf_assert_may_wait();
	shutdown(pair->fd, broken ? SHUT_RD : SHUT_RDWR);
	if (!broken)
		while (recv(pair->fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
			;
	else if (queued(pair) > 1)
		poll(NULL, 0, LEAVE_MS);
	wsf_process_close(pair->poller);
	wsf_process_close(pair->fd);
}

#else

int wsf_pair_open(struct wsf_pair *pair, int *theirs)
{
	(void)pair;
	(void)theirs;
	return -EPROTONOSUPPORT;
}

int wsf_pair_give(const struct wsf_pair *pair, const void *data, size_t size)
{
	(void)pair;
	(void)data;
	(void)size;
	return -EPIPE;
}

void wsf_pair_give_end(const struct wsf_pair *pair)
{
	(void)pair;
}

ssize_t wsf_pair_take(const struct wsf_pair *pair, void *buffer, size_t size)
{
	(void)pair;
	(void)buffer;
	(void)size;
	return -EIO;
}

void wsf_pair_refuse(const struct wsf_pair *pair)
{
	(void)pair;
}

bool wsf_pair_over(const struct wsf_pair *pair)
{
	(void)pair;
	return true;
}

void wsf_pair_wait(const struct wsf_pair *pair, int64_t until_ns)
{
	(void)pair;
	(void)until_ns;
}

void wsf_pair_wake(const struct wsf_pair *pair)
{
	(void)pair;
}

void wsf_pair_close(struct wsf_pair *pair, bool broken)
{
	(void)pair;
	(void)broken;
}

#endif
