/* SPDX-License-Identifier: 0BSD */
/* epoll on Linux, kqueue on the BSDs and macOS; both level-triggered. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "process.h"
#include "service_poller.h"

#ifdef __linux__

#include <sys/epoll.h>

static uint32_t to_epoll(unsigned what)
{
	return ((what & WSF_POLL_READ) != 0 ? (uint32_t)EPOLLIN : 0) |
	    ((what & WSF_POLL_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0);
}

static unsigned from_epoll(uint32_t events)
{
	return ((events & EPOLLIN) != 0 ? WSF_POLL_READ : 0U) | ((events & EPOLLOUT) != 0 ? WSF_POLL_WRITE : 0U) |
	    ((events & (EPOLLHUP | EPOLLERR)) != 0 ? WSF_POLL_OVER : 0U);
}

int wsf_poller_open(void)
{
	int fd = WSF_OWNED(epoll_create1(EPOLL_CLOEXEC));

	return fd >= 0 ? fd : -errno;
}

int wsf_poller_add(int poller, int fd, unsigned what, void *owner)
{
	struct epoll_event event = { .events = to_epoll(what), .data.ptr = owner };

	return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int wsf_poller_change(int poller, int fd, unsigned before, unsigned what, void *owner)
{
	struct epoll_event event = { .events = to_epoll(what), .data.ptr = owner };
	int operation = what == 0 ? EPOLL_CTL_DEL : before == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	return epoll_ctl(poller, operation, fd, &event) == 0 ? 0 : -errno;
}

/* Closing is not enough: a child of the program may have the socket, too. */
void wsf_poller_remove(int poller, int fd)
{
	struct epoll_event event = { 0 };

	epoll_ctl(poller, EPOLL_CTL_DEL, fd, &event);
}

int wsf_poller_take(int poller, struct wsf_poll_event events[WSF_POLL_EVENTS_MAX])
{
	struct epoll_event taken[WSF_POLL_EVENTS_MAX];
	int count = epoll_wait(poller, taken, WSF_POLL_EVENTS_MAX, 0);

	for (int i = 0; i < count; i++)
		events[i] = (struct wsf_poll_event){ taken[i].data.ptr, from_epoll(taken[i].events) };
	return count < 0 ? 0 : count;
}

#else

#include <poll.h>
#include <sys/event.h>
#include <time.h>

#define CHANGES_MAX 2

/* The filters in which before and what differ. Returns 0 or a negative errno. */
static int apply(int poller, int fd, unsigned before, unsigned what, void *owner)
{
	static const struct {
		unsigned bit;
		short filter;
	} filters[CHANGES_MAX] = { { WSF_POLL_READ, EVFILT_READ }, { WSF_POLL_WRITE, EVFILT_WRITE } };
	struct kevent changes[CHANGES_MAX];
	int count = 0;

	for (int i = 0; i < CHANGES_MAX; i++) {
		if (((before ^ what) & filters[i].bit) == 0)
			continue;
		EV_SET(&changes[count], (uintptr_t)fd, filters[i].filter,
		    (what & filters[i].bit) != 0 ? EV_ADD : EV_DELETE, 0, 0, owner);
		count++;
	}
	return kevent(poller, changes, count, NULL, 0, NULL) < 0 ? -errno : 0;
}

int wsf_poller_open(void)
{
	int fd = WSF_OWNED(kqueue());

	return fd >= 0 ? fd : -errno;
}

int wsf_poller_add(int poller, int fd, unsigned what, void *owner)
{
	return apply(poller, fd, 0, what, owner);
}

int wsf_poller_change(int poller, int fd, unsigned before, unsigned what, void *owner)
{
	return apply(poller, fd, before, what, owner);
}

void wsf_poller_remove(int poller, int fd)
{
	/* One by one: the first that is not there ends the list. */
	(void)apply(poller, fd, WSF_POLL_READ, 0, NULL);
	(void)apply(poller, fd, WSF_POLL_WRITE, 0, NULL);
}

/* The end of one direction is none of the connection. */
static unsigned over(const struct kevent *event)
{
	struct pollfd pollfd = { .fd = (int)event->ident };

	return (event->flags & EV_EOF) != 0 && poll(&pollfd, 1, 0) > 0 ? WSF_POLL_OVER : 0U;
}

int wsf_poller_take(int poller, struct wsf_poll_event events[WSF_POLL_EVENTS_MAX])
{
	struct kevent taken[WSF_POLL_EVENTS_MAX];
	const struct timespec now = { 0, 0 };
	int count = kevent(poller, NULL, 0, taken, WSF_POLL_EVENTS_MAX, &now);

	for (int i = 0; i < count; i++)
		events[i] = (struct wsf_poll_event){ (void *)taken[i].udata,
		    (taken[i].filter == EVFILT_READ ? WSF_POLL_READ : WSF_POLL_WRITE) | over(&taken[i]) };
	return count < 0 ? 0 : count;
}

#endif
