/* SPDX-License-Identifier: 0BSD */
/* What the system that starts a service says and wants to hear: inherited sockets, and the state of the service. */
#include "wspipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wspipe_args.h"

#define FIRST_INHERITED 3

/* As sd_listen_fds(3) has it. */
bool wspipe_inherited_socket(int *fd)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	uint64_t pid, count;

	*fd = -1;
	if (!pid_text || !count_text || !wspipe_parse_number(pid_text, 10, INT32_MAX, &pid) || (pid_t)pid != getpid() ||
	    !wspipe_parse_number(count_text, 10, INT32_MAX, &count) || count == 0)
		return true;
	if (count > 1) {
		wspipe_complain(EINVAL, "LISTEN_FDS", "more than one socket");
		return false;
	}
	if (fcntl(FIRST_INHERITED, F_SETFD, FD_CLOEXEC) != 0) {
		wspipe_complain(errno, "LISTEN_FDS", strerror(errno));
		return false;
	}
	*fd = FIRST_INHERITED;
	return true;
}

void wspipe_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t size = path ? strlen(path) : 0;
	int fd;

	if (size < 2 || size >= sizeof address.sun_path || (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, size);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nothing can be done when nobody listens. */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
	close(fd);
}

static bool is_same_file(int one, int other)
{
	struct stat a, b;

	return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int wspipe_take_standard_socket(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), error = 0;
	int fd = null < 0 ? -1 : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FIRST_INHERITED);

	/* A word on standard error would land in the middle of a frame. */
	if (fd < 0 || (is_same_file(STDERR_FILENO, STDIN_FILENO) && dup2(null, STDERR_FILENO) < 0) ||
	    dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
		error = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	if (null >= 0)
		close(null);
	errno = error;
	return fd;
}
