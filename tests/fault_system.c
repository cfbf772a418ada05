/* SPDX-License-Identifier: 0BSD */
#include "fault_system.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name
#define TRACE_MAX 32
#define PIECES_MAX 4
#define NS_PER_S INT64_C(1000000000)

int REAL(socket)(int domain, int type, int protocol);
int REAL(connect)(int fd, const struct sockaddr *address, socklen_t size);
int REAL(bind)(int fd, const struct sockaddr *address, socklen_t size);
int REAL(listen)(int fd, int backlog);
int REAL(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
int REAL(epoll_create1)(int flags);
int REAL(epoll_ctl)(int poller, int operation, int fd, struct epoll_event *event);
int REAL(epoll_wait)(int poller, struct epoll_event *events, int count, int timeout_ms);
int REAL(eventfd)(unsigned value, int flags);
int REAL(socketpair)(int domain, int type, int protocol, int fds[2]);
int REAL(fcntl64)(int fd, int command, ...);
ssize_t REAL(send)(int fd, const void *data, size_t size, int flags);
ssize_t REAL(sendmsg)(int fd, const struct msghdr *message, int flags);
ssize_t REAL(recv)(int fd, void *data, size_t size, int flags);
ssize_t REAL(recvmsg)(int fd, struct msghdr *message, int flags);
int REAL(poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
int REAL(clock_gettime)(clockid_t clock, struct timespec *time);
time_t REAL(time)(time_t *out);
long REAL(syscall)(long number, ...);

int WRAP(socket)(int domain, int type, int protocol);
int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(bind)(int fd, const struct sockaddr *address, socklen_t size);
int WRAP(listen)(int fd, int backlog);
int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags);
int WRAP(epoll_create1)(int flags);
int WRAP(epoll_ctl)(int poller, int operation, int fd, struct epoll_event *event);
int WRAP(epoll_wait)(int poller, struct epoll_event *events, int count, int timeout_ms);
int WRAP(eventfd)(unsigned value, int flags);
int WRAP(socketpair)(int domain, int type, int protocol, int fds[2]);
int WRAP(fcntl64)(int fd, int command, ...);
int WRAP(fcntl)(int fd, int command, ...);
ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags);
ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags);
ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags);
ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags);
int WRAP(poll)(struct pollfd *fds, nfds_t count, int timeout_ms);
int WRAP(clock_gettime)(clockid_t clock, struct timespec *time);
time_t WRAP(time)(time_t *out);
long WRAP(syscall)(long number, ...);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault_system_plan plan;
static bool armed;
static unsigned long at, calls, strikes;
static void *trace[TRACE_MAX];
static int trace_size;
static _Atomic int64_t monotonic_ahead_ns, real_ahead_ns;

/* --- which call fails --- */

static bool is_meant_locked(enum fault_call call)
{
	return armed && (plan.calls & FAULT_BIT(call)) != 0 && !fault_memory_is_spared() &&
	    (plan.who == FAULT_ANYBODY || (plan.who == FAULT_PROGRAM) == fault_memory_is_mine());
}

/* Whether this call fails, with errno set. fd -1 = it has none that could die. */
static bool fails(enum fault_call call, int fd)
{
	bool strike = false, dead = false;
	int error = 0;

	pthread_mutex_lock(&lock);
	if (is_meant_locked(call) && (plan.error != 0 || plan.eai != 0)) {
		calls++;
		strike = plan.every > 0 ? calls % plan.every == 0 :
		    at != 0 && (calls == at || (plan.lasting && calls > at));
		if (strike && strikes++ == 0)
			trace_size = backtrace(trace, TRACE_MAX);
		error = plan.error;
		dead = plan.dead;
	}
	pthread_mutex_unlock(&lock);
	if (strike && dead && fd >= 0)
		shutdown(fd, SHUT_RDWR);
	if (strike)
		errno = error;
	return strike;
}

static size_t most_of(enum fault_call call, size_t size)
{
	size_t most;

	pthread_mutex_lock(&lock);
	most = is_meant_locked(call) && plan.most > 0 && plan.most < size ? plan.most : size;
	pthread_mutex_unlock(&lock);
	return most;
}

/* A copy of the message's pieces that has no more bytes than may be moved. */
static void shorten(enum fault_call call, const struct msghdr *message, struct msghdr *out,
    struct iovec iov[PIECES_MAX])
{
	size_t left = 0;
	int count = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		left += message->msg_iov[i].iov_len;
	*out = *message;
	if (message->msg_iovlen > PIECES_MAX || most_of(call, left) == left)
		return;
	left = most_of(call, left);
	for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
		size_t part = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;

		iov[count++] = (struct iovec){ message->msg_iov[i].iov_base, part };
		left -= part;
	}
	out->msg_iov = iov;
	out->msg_iovlen = (size_t)count;
}

/* --- descriptors --- */

int WRAP(socket)(int domain, int type, int protocol)
{
	return fails(FAULT_SOCKET, -1) ? -1 : REAL(socket)(domain, type, protocol);
}

int WRAP(connect)(int fd, const struct sockaddr *address, socklen_t size)
{
	return fails(FAULT_CONNECT, -1) ? -1 : REAL(connect)(fd, address, size);
}

int WRAP(bind)(int fd, const struct sockaddr *address, socklen_t size)
{
	return fails(FAULT_BIND, -1) ? -1 : REAL(bind)(fd, address, size);
}

int WRAP(listen)(int fd, int backlog)
{
	return fails(FAULT_LISTEN, -1) ? -1 : REAL(listen)(fd, backlog);
}

int WRAP(accept4)(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return fails(FAULT_ACCEPT, -1) ? -1 : REAL(accept4)(fd, address, size, flags);
}

int WRAP(epoll_create1)(int flags)
{
	return fails(FAULT_EPOLL_CREATE, -1) ? -1 : REAL(epoll_create1)(flags);
}

/* What is taken out needs no memory. */
int WRAP(epoll_ctl)(int poller, int operation, int fd, struct epoll_event *event)
{
	return operation != EPOLL_CTL_DEL && fails(FAULT_EPOLL_CTL, -1) ? -1 :
	    REAL(epoll_ctl)(poller, operation, fd, event);
}

int WRAP(epoll_wait)(int poller, struct epoll_event *events, int count, int timeout_ms)
{
	return fails(FAULT_EPOLL_WAIT, -1) ? -1 : REAL(epoll_wait)(poller, events, count, timeout_ms);
}

int WRAP(eventfd)(unsigned value, int flags)
{
	return fails(FAULT_EVENTFD, -1) ? -1 : REAL(eventfd)(value, flags);
}

int WRAP(socketpair)(int domain, int type, int protocol, int fds[2])
{
	return fails(FAULT_SOCKETPAIR, -1) ? -1 : REAL(socketpair)(domain, type, protocol, fds);
}

static int control(int fd, int command, va_list list)
{
	/* All commands in use take an int, or nothing. */
	int argument = va_arg(list, int);

	return command == F_DUPFD_CLOEXEC && fails(FAULT_DUP, -1) ? -1 : REAL(fcntl64)(fd, command, argument);
}

int WRAP(fcntl64)(int fd, int command, ...)
{
	va_list list;
	int rv;

	va_start(list, command);
	rv = control(fd, command, list);
	va_end(list);
	return rv;
}

int WRAP(fcntl)(int fd, int command, ...)
{
	va_list list;
	int rv;

	va_start(list, command);
	rv = control(fd, command, list);
	va_end(list);
	return rv;
}

int fault_system_getaddrinfo(void)
{
	if (!fails(FAULT_GETADDRINFO, -1))
		return 0;
	return plan.eai != 0 ? plan.eai : EAI_SYSTEM;
}

/* --- bytes --- */

ssize_t WRAP(send)(int fd, const void *data, size_t size, int flags)
{
	return fails(FAULT_SEND, fd) ? -1 : REAL(send)(fd, data, most_of(FAULT_SEND, size), flags);
}

ssize_t WRAP(sendmsg)(int fd, const struct msghdr *message, int flags)
{
	struct iovec iov[PIECES_MAX];
	struct msghdr part;

	shorten(FAULT_SEND, message, &part, iov);
	return fails(FAULT_SEND, fd) ? -1 : REAL(sendmsg)(fd, &part, flags);
}

ssize_t WRAP(recv)(int fd, void *data, size_t size, int flags)
{
	return fails(FAULT_RECV, fd) ? -1 : REAL(recv)(fd, data, most_of(FAULT_RECV, size), flags);
}

ssize_t WRAP(recvmsg)(int fd, struct msghdr *message, int flags)
{
	struct iovec iov[PIECES_MAX];
	struct msghdr part;

	shorten(FAULT_RECV, message, &part, iov);
	return fails(FAULT_RECV, fd) ? -1 : REAL(recvmsg)(fd, &part, flags);
}

int WRAP(poll)(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return fails(FAULT_POLL, -1) ? -1 : REAL(poll)(fds, count, timeout_ms);
}

/* --- time --- */

static void move(struct timespec *time, int64_t ns)
{
	ns += (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec;
	time->tv_sec = (time_t)(ns / NS_PER_S);
	time->tv_nsec = (long)(ns % NS_PER_S);
}

int WRAP(clock_gettime)(clockid_t clock, struct timespec *time)
{
	int rv = REAL(clock_gettime)(clock, time);

	if (fault_memory_is_spared())
		return rv;
	if (clock == CLOCK_REALTIME)
		move(time, atomic_load(&real_ahead_ns));
	else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)
		move(time, atomic_load(&monotonic_ahead_ns));
	return rv;
}

time_t WRAP(time)(time_t *out)
{
	time_t now = REAL(time)(NULL) + (time_t)(atomic_load(&real_ahead_ns) / NS_PER_S);

	if (out != NULL)
		*out = now;
	return now;
}

/* A futex waits by the kernel's clock. */
long WRAP(syscall)(long number, ...)
{
	const struct timespec *until;
	struct timespec real;
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	until = (const struct timespec *)a[3];
	if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && until != NULL) {
		real = *until;
		move(&real, -atomic_load(&monotonic_ahead_ns));
		if (real.tv_sec < 0 || real.tv_nsec < 0)
			real = (struct timespec){ 0 };
		a[3] = (long)&real;
	}
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void fault_system_set_clocks(int64_t monotonic_ns, int64_t real_ns)
{
	atomic_store(&monotonic_ahead_ns, monotonic_ns);
	atomic_store(&real_ahead_ns, real_ns);
}

/* --- the test's thread --- */

void fault_system_arm(const struct fault_system_plan *new_plan, unsigned long n)
{
	pthread_mutex_lock(&lock);
	plan = *new_plan;
	at = n;
	calls = strikes = 0;
	trace_size = 0;
	armed = true;
	pthread_mutex_unlock(&lock);
}

unsigned long fault_system_disarm(unsigned long *seen)
{
	unsigned long struck;

	pthread_mutex_lock(&lock);
	armed = false;
	struck = strikes;
	if (seen != NULL)
		*seen = calls;
	pthread_mutex_unlock(&lock);
	return struck;
}

unsigned long fault_system_strikes(void)
{
	unsigned long struck;

	pthread_mutex_lock(&lock);
	struck = strikes;
	pthread_mutex_unlock(&lock);
	return struck;
}

void fault_system_show_strike(void)
{
	backtrace_symbols_fd(trace, trace_size, 2);
}
