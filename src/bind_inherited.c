/* SPDX-License-Identifier: 0BSD */
/* A listening socket that somebody else has bound: from systemd, inetd or the program itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bind.h"
#include "process.h"

static int get_int(int fd, int option, int *value)
{
	socklen_t size = sizeof *value;

	return getsockopt(fd, SOL_SOCKET, option, value, &size) == 0 ? 0 : -errno;
}

static int check_socket(int fd, struct wsf_failure *failure)
{
	int type, listening, rv;

	if ((rv = get_int(fd, SO_TYPE, &type)) != 0 || (rv = get_int(fd, SO_ACCEPTCONN, &listening)) != 0)
		return wsf_fail_errno(failure, -rv, "cannot listen on listen_fd %d", fd);
	if (type != SOCK_STREAM)
		return wsf_fail(failure, EINVAL, "listen_fd %d is no stream socket", fd);
	if (!listening)
		return wsf_fail(failure, EINVAL, "listen_fd %d is a socket that does not listen", fd);
	return 0;
}

/* The file's path, or "@" and an abstract name, whatever bytes that has: the URL can't show a NUL. */
static char *local_name(const struct sockaddr_un *address, size_t size)
{
	size_t start = offsetof(struct sockaddr_un, sun_path), length = size > start ? size - start : 0;
	bool abstract = length > 0 && address->sun_path[0] == '\0';
	char *name = strndup(address->sun_path + abstract, length - abstract), *marked;

	if (name == NULL || !abstract)
		return name;
	length = strlen(name) + 1;
	marked = malloc(1 + length);
	if (marked != NULL) {
		marked[0] = '@';
		memcpy(marked + 1, name, length);
	}
	free(name);
	return marked;
}

static int find_name(struct wsf_bound *bound)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un local;
	} address = { 0 };
	socklen_t size = sizeof address;
	const void *from = &address.in.sin_addr;
	char text[INET6_ADDRSTRLEN];

	if (getsockname(bound->fd, &address.any, &size) != 0)
		return -errno;
	switch (address.any.sa_family) {
	case AF_UNIX:
		bound->socket = local_name(&address.local, size);
		return bound->socket != NULL ? 0 : -ENOMEM;
	case AF_INET6:
		bound->ipv6 = true;
		from = &address.in6.sin6_addr;
		break;
	case AF_INET:
		break;
	default:
		return -EINVAL;
	}
	bound->port = ntohs(bound->ipv6 ? address.in6.sin6_port : address.in.sin_port);
	if (inet_ntop(address.any.sa_family, from, text, sizeof text) == NULL)
		return -errno;
	bound->host = strdup(text);
	return bound->host != NULL ? 0 : -ENOMEM;
}

static int set_flags(struct wsf_bound *bound)
{
	bound->status_flags = fcntl(bound->fd, F_GETFL);
	bound->fd_flags = fcntl(bound->fd, F_GETFD);
	if (bound->status_flags < 0 || bound->fd_flags < 0 ||
	    fcntl(bound->fd, F_SETFL, bound->status_flags | O_NONBLOCK) != 0)
		return -errno;
	(void)fcntl(bound->fd, F_SETFD, bound->fd_flags | FD_CLOEXEC);
	wsf_process_own(bound->fd);
	return 0;
}

int wsf_bind_inherited(struct wsf_bound *bound, int fd, struct wsf_failure *failure)
{
	int rv = check_socket(fd, failure);

	if (rv != 0)
		return rv;
	bound->fd = fd;
	bound->inherited = true;
	rv = find_name(bound);
	if (rv == 0)
		rv = set_flags(bound);
	if (rv == 0)
		return 0;
	wsf_bound_clear(bound);
	return wsf_fail_errno(failure, -rv, "cannot listen on listen_fd %d", fd);
}

void wsf_bound_give_back(struct wsf_bound *bound)
{
	wsf_process_disown(bound->fd);
	fcntl(bound->fd, F_SETFL, bound->status_flags);
	fcntl(bound->fd, F_SETFD, bound->fd_flags);
}
