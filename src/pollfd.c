/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "pollfd.h"
#include "process.h"

#ifdef __linux__

int wsf_pollfd_open(struct wsf_pollfd *pollfd)
{
	int fd = WSF_OWNED(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	if (fd < 0)
		return -errno;
	*pollfd = (struct wsf_pollfd){ fd, fd, false };
	return 0;
}

#else

int wsf_pollfd_open(struct wsf_pollfd *pollfd)
{
	int pair[2];

	if (pipe(pair) != 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		fcntl(pair[i], F_SETFD, FD_CLOEXEC);
		fcntl(pair[i], F_SETFL, O_NONBLOCK);
	}
	*pollfd = (struct wsf_pollfd){ pair[0], pair[1], false };
	return 0;
}

#endif

/* An eventfd's counter is never over 1, and a pipe never holds more than these bytes: neither blocks or fails. */
void wsf_pollfd_set(struct wsf_pollfd *pollfd, bool raised)
{
	uint64_t one = 1;

	if (pollfd->fd < 0 || pollfd->raised == raised)
		return;
	pollfd->raised = raised;
	while ((raised ? write(pollfd->write_fd, &one, sizeof one) : read(pollfd->fd, &one, sizeof one)) < 0 &&
	    errno == EINTR)
		;
}

void wsf_pollfd_close(struct wsf_pollfd *pollfd)
{
	if (pollfd->fd >= 0)
		wsf_process_close(pollfd->fd);
	if (pollfd->write_fd != pollfd->fd)
		wsf_process_close(pollfd->write_fd);
	pollfd->fd = pollfd->write_fd = -1;
}
