/* SPDX-License-Identifier: 0BSD */
/* System calls on the connection of interleave_world.h. What goes on other descriptors is real. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "interleave.h"
#include "interleave_world.h"
#include "wait.h"

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags);
ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags);
ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags);
ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags);
int WRAP(poll)(struct pollfd *pollfd, nfds_t count, int timeout_ms);
int WRAP(shutdown)(int fd, int how);
void WRAP(wsf_process_close)(int fd);
void WRAP(wsf_process_disown)(int fd);
int WRAP(fcntl64)(int fd, int command, ...);
int WRAP(fcntl)(int fd, int command, ...);
void REAL(wsf_process_close)(int fd);

struct world world;

void world_reset(void)
{
	memset(&world, 0, sizeof world);
	world.out_room = sizeof world.out;
	world.open[0] = true;
}

uint64_t world_hash(void)
{
	uint64_t hash = il_mix(world.in_bytes, world.in_taken);

	hash = il_mix_bytes(hash, world.out, world.out_bytes);
	hash = il_mix(hash, world.out_room);
	return il_mix_bytes(hash, &world.in_end, sizeof world - offsetof(struct world, in_end));
}

bool world_is_open(int fd)
{
	return fd >= WORLD_FD && fd < WORLD_FD + WORLD_FDS && world.open[fd - WORLD_FD];
}

static void check(int fd, const char *call)
{
	if (!world_is_open(fd))
		il_fail("%s on a descriptor that is not open", call);
}

static bool at_end(void)
{
	return world.in_end || world.in_reset || world.shut;
}

int world_events(void)
{
	int events = 0;

	if (world.in_taken < world.in_bytes || at_end())
		events |= POLLIN;
	if (world.out_bytes < world.out_room || world.out_end || world.in_reset)
		events |= POLLOUT;
	if (world.in_reset || world.shut || (world.in_end && world.out_end))
		events |= POLLHUP;
	return events;
}

static bool in_ready(const void *unused)
{
	(void)unused;
	return (world_events() & POLLIN) != 0;
}

static bool out_ready(const void *unused)
{
	(void)unused;
	return (world_events() & (POLLOUT | POLLHUP)) != 0;
}

static bool never(const void *unused)
{
	(void)unused;
	return false;
}

static int to_errno(int error)
{
	il_note((uint64_t)error);
	errno = error;
	return -1;
}

ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags)
{
	size_t done = 0, n;

	(void)flags;
	check(fd, "sendmsg");
	il_point("send");
	check(fd, "sendmsg");
	if (world.out_end || world.shut || world.in_reset)
		return to_errno(EPIPE);
	if (world.out_bytes >= world.out_room)
		return to_errno(EAGAIN);
	for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) {
		n = message->msg_iov[i].iov_len;
		if (n > world.out_room - world.out_bytes)
			n = world.out_room - world.out_bytes;
		memcpy(world.out + world.out_bytes, message->msg_iov[i].iov_base, n);
		world.out_bytes += n;
		done += n;
	}
	il_note(done);
	return (ssize_t)done;
}

ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags)
{
	struct iovec piece = { (void *)(uintptr_t)data, size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	return WRAP(sendmsg)(fd, &message, flags);
}

/* 1 = something can be taken, 0 = the end, -1 with errno. */
static int receive_state(int fd, int flags)
{
	bool look = (flags & MSG_PEEK) != 0;

	if (!world.blocking || (flags & MSG_DONTWAIT) != 0)
		il_point(look ? "look at what came" : "receive");
	else
		(void)il_wait(look ? "wait for something" : "receive or wait", in_ready, NULL, IL_NEVER);
	check(fd, "recv");
	if (world.in_taken < world.in_bytes && !world.shut)
		return 1;
	if (world.in_reset && !world.reset_told) {
		world.reset_told = (flags & MSG_PEEK) == 0;
		return to_errno(ECONNRESET);
	}
	return at_end() ? 0 : to_errno(EAGAIN);
}

ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags)
{
	size_t done = 0, n;
	int rv;

	check(fd, "recvmsg");
	world.receiving();
	rv = receive_state(fd, flags);
	for (size_t i = 0; rv == 1 && i < (size_t)message->msg_iovlen; i++) {
		n = message->msg_iov[i].iov_len;
		if (n > world.in_bytes - world.in_taken)
			n = world.in_bytes - world.in_taken;
		memcpy(message->msg_iov[i].iov_base, world.in + world.in_taken, n);
		world.in_taken += n;
		done += n;
	}
	if (rv >= 0)
		il_note(world.in_taken);
	return rv == 1 ? (ssize_t)done : rv;
}

ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags)
{
	struct iovec piece = { data, size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	int rv;

	if ((flags & MSG_PEEK) == 0)
		return WRAP(recvmsg)(fd, &message, flags);
	check(fd, "recv");
	if (size != 1)
		il_fail("a look at more than one byte");
	rv = receive_state(fd, flags);
	if (rv == 1)
		*(uint8_t *)data = world.in[world.in_taken];
	if (rv >= 0)
		il_note((uint64_t)rv);
	return rv;
}

int WRAP(poll)(struct pollfd *pollfd, nfds_t count, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? IL_NEVER : il_now_ns() + timeout_ms * INT64_C(1000000);
	bool (*ready)(const void *) = never;

	if (count > 0) {
		check(pollfd->fd, "poll");
		ready = (pollfd->events & POLLOUT) != 0 ? out_ready : in_ready;
	}
	if (timeout_ms == 0)
		il_point("poll");
	else
		(void)il_wait("poll", ready, NULL, until);
	if (count == 0)
		return 0;
	check(pollfd->fd, "poll");
	pollfd->revents = (short)(world_events() & (pollfd->events | POLLHUP));
	il_note((uint64_t)pollfd->revents);
	return pollfd->revents != 0;
}

int WRAP(shutdown)(int fd, int how)
{
	check(fd, "shutdown");
	il_point("shutdown");
	world.out_end = true;
	world.shut |= how != SHUT_WR;
	return 0;
}

void WRAP(wsf_process_close)(int fd)
{
	if (fd < WORLD_FD || fd >= WORLD_FD + WORLD_FDS) {
		REAL(wsf_process_close)(fd);
		return;
	}
	check(fd, "close");
	il_point("close");
	world.open[fd - WORLD_FD] = false;
	if (memchr(world.open, true, sizeof world.open) == NULL)
		world.out_end = true;
}

/* Nothing forks here. */
void WRAP(wsf_process_disown)(int fd)
{
	(void)fd;
}

static int duplicate(void)
{
	for (int i = 0; i < WORLD_FDS; i++) {
		if (!world.open[i]) {
			world.open[i] = true;
			return WORLD_FD + i;
		}
	}
	return to_errno(EMFILE);
}

int WRAP(fcntl)(int fd, int command, ...)
{
	va_list arguments;
	int flags;

	check(fd, "fcntl");
	if (command == F_GETFL)
		return world.blocking ? 0 : O_NONBLOCK;
	il_point("fcntl");
	if (command != F_SETFL)
		return duplicate();
	va_start(arguments, command);
	flags = va_arg(arguments, int);
	va_end(arguments);
	world.blocking = (flags & O_NONBLOCK) == 0;
	return 0;
}

int WRAP(fcntl64)(int fd, int command, ...)
{
	va_list arguments;
	int argument;

	va_start(arguments, command);
	argument = va_arg(arguments, int);
	va_end(arguments);
	return WRAP(fcntl)(fd, command, argument);
}
