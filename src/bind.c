/* SPDX-License-Identifier: 0BSD */
#include "bind.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"
#include "process.h"
#include "wait.h"

#define PERMISSIONS 0777

/* --- TCP --- */

static int listen_on(const struct addrinfo *address, const struct ws_options *values)
{
	/* backlog bounds our queue; clients beyond it wait in the kernel's: a short one would have them try again. */
	int on = 1, error;
	int fd = WSF_OWNED(socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (fd < 0)
		return -errno;
	/* A server that starts again need not wait for the old connections' TIME_WAIT. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    (!values->reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
	    bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	error = errno;
	wsf_process_close(fd);
	return -error;
}

static unsigned bound_port(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof address;

	if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		return 0;
	return address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port) :
	    ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

static int bind_tcp(struct wsf_bound *bound, const struct wsf_url *url, const struct ws_options *values,
    struct wsf_failure *failure)
{
	struct addrinfo *addresses;
	int64_t deadline = wsf_deadline_ns(values->connect_timeout_ms);
	int rv = wsf_resolve(url->host, url->port, 1, deadline, &addresses, failure), first = 0;

	if (rv != 0)
		return rv;
	rv = -EADDRNOTAVAIL;
	for (const struct addrinfo *address = addresses; address != NULL && rv < 0; address = address->ai_next) {
		rv = listen_on(address, values);
		if (rv < 0 && first == 0)
			first = rv;
	}
	wsf_resolve_free(addresses);
	if (rv < 0)
		return wsf_fail_errno(failure, first != 0 ? -first : -rv, "cannot listen on %s port %u", url->host,
		    url->port);
	bound->fd = rv;
	bound->port = bound_port(rv);
	return 0;
}

/* --- local sockets --- */

struct local {
	const char *path;
	mode_t mode;
	struct sockaddr_un address;
	socklen_t size;
	struct wsf_failure *failure;
};

static int fail_local(const struct local *local, int error)
{
	return wsf_fail_errno(local->failure, error, "cannot listen on the local socket %s", local->path);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* A file system may give a removed file's inode to the next one: then the times differ. */
static bool same_untouched_file(const struct stat *a, const struct stat *b)
{
	return same_file(a, b) && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* What a connection attempt comes to: 0 or a negative errno. */
static int probe(const struct local *local)
{
	int rv, fd = WSF_OWNED(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (fd < 0)
		return -errno;
	rv = connect(fd, (const struct sockaddr *)&local->address, local->size) != 0 ? -errno : 0;
	wsf_process_close(fd);
	return rv;
}

/* Something has the name. Returns 0 when it has it no more, else the failure. Only a socket is ever removed. */
static int remove_stale(const struct local *local)
{
	struct stat before, now;
	int rv;

	if (lstat(local->path, &before) != 0)
		return errno == ENOENT ? 0 : fail_local(local, errno);
	if (!S_ISSOCK(before.st_mode))
		return wsf_fail(local->failure, EADDRINUSE, "cannot listen on the local socket %s: a file that is no "
		    "socket has that name", local->path);
	rv = probe(local);
	if (rv == -EMFILE || rv == -ENFILE || rv == -ENOMEM)
		return fail_local(local, -rv);
	if (rv != -ECONNREFUSED && rv != -ENOENT)
		return fail_local(local, EADDRINUSE);
	/* Another listener may have replaced it just now. */
	if (lstat(local->path, &now) != 0)
		return errno == ENOENT ? 0 : fail_local(local, errno);
	if (!same_untouched_file(&before, &now))
		return fail_local(local, EADDRINUSE);
	if (unlink(local->path) != 0 && errno != ENOENT)
		return wsf_fail_errno(local->failure, errno, "cannot remove the local socket %s, which nobody listens "
		    "on", local->path);
	return 0;
}

static int bind_name(const struct local *local, int fd)
{
	int rv;

	if (bind(fd, (const struct sockaddr *)&local->address, local->size) == 0)
		return 0;
	if (errno != EADDRINUSE || local->path[0] == '@')
		return fail_local(local, errno);
	rv = remove_stale(local);
	if (rv != 0)
		return rv;
	return bind(fd, (const struct sockaddr *)&local->address, local->size) == 0 ? 0 : fail_local(local, errno);
}

static int remember_file(struct wsf_bound *bound, const struct local *local)
{
	struct stat status;

	if (lstat(local->path, &status) != 0)
		return -errno;
	/* The program may change its working directory. */
	bound->path = realpath(local->path, NULL);
	if (bound->path == NULL && (bound->path = strdup(local->path)) == NULL) {
		unlink(local->path);
		return -ENOMEM;
	}
	bound->device = status.st_dev;
	bound->inode = status.st_ino;
	/* What the umask took away comes back. No connection is possible before listen. */
	if ((status.st_mode & PERMISSIONS) != local->mode &&
	    fchmodat(AT_FDCWD, local->path, local->mode, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	return 0;
}

static bool is_ours(const struct wsf_bound *bound)
{
	const struct stat ours = { .st_dev = bound->device, .st_ino = bound->inode };
	struct stat status;

	return lstat(bound->path, &status) == 0 && same_file(&ours, &status);
}

/*
 * Until listen a starting listener looks like a stale one: another that starts at the same moment may take the name
 * away, and is not to do so unnoticed.
 */
static int listen_local(struct wsf_bound *bound, const struct local *local, int fd)
{
	int rv = 0;

	if (local->path[0] != '@')
		rv = remember_file(bound, local);
	if (rv == 0 && listen(fd, SOMAXCONN) != 0)
		rv = -errno;
	if (rv == 0 && bound->path != NULL && !is_ours(bound))
		rv = -EADDRINUSE;
	return rv == 0 ? 0 : fail_local(local, -rv);
}

static int bind_local(struct wsf_bound *bound, const struct local *local)
{
	int rv, fd = WSF_OWNED(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	if (fd < 0)
		return fail_local(local, errno);
	/* Linux gives the file the socket's own mode, less the umask; systems that can't do so say EINVAL. */
	if (fchmod(fd, local->mode) != 0 && errno != EINVAL)
		rv = fail_local(local, errno);
	else if ((rv = bind_name(local, fd)) == 0)
		rv = listen_local(bound, local, fd);
	if (rv == 0) {
		bound->fd = fd;
	} else {
		wsf_bound_clear(bound);
		wsf_process_close(fd);
	}
	return rv;
}

int wsf_bind(struct wsf_bound *bound, const struct wsf_url *url, const struct ws_options *values,
    struct wsf_failure *failure)
{
	struct local local = { .path = url->socket, .mode = (mode_t)values->socket_mode, .failure = failure };
	int size;

	*bound = (struct wsf_bound){ .fd = -1 };
	if (values->listen_fd != -1)
		return wsf_bind_inherited(bound, values->listen_fd, failure);
	if (url->socket == NULL)
		return bind_tcp(bound, url, values, failure);
	size = wsf_local_address(url->socket, &local.address);
	if (size < 0)
		return fail_local(&local, -size);
	local.size = (socklen_t)size;
	return bind_local(bound, &local);
}

void wsf_bound_clear(struct wsf_bound *bound)
{
	if (bound == NULL)
		return;
	if (bound->path != NULL && is_ours(bound))
		unlink(bound->path);
	free(bound->path);
	free(bound->host);
	free(bound->socket);
	bound->path = bound->host = bound->socket = NULL;
}

void wsf_bound_drop(struct wsf_bound *bound)
{
	wsf_bound_clear(bound);
	if (bound->inherited)
		wsf_bound_give_back(bound);
	else
		wsf_process_close(bound->fd);
}
