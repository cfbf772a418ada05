/* SPDX-License-Identifier: 0BSD */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "joined.h"
#include "peer.h"

#define GIVE_UP_S 20

static void set_limits(int fd)
{
	struct timeval limit = { .tv_sec = GIVE_UP_S };

	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
}

static void open_tcp(struct joined *joined)
{
	unsigned port;
	int listener = peer_listen(&port);

	joined->peer = peer_connect(port);
	joined->fd = peer_accept(listener);
	close(listener);
}

static void open_unix(struct joined *joined)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char directory[] = "/tmp/wsfile-joined-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(joined->path, sizeof joined->path, "%s/socket", directory);
	memcpy(address.sun_path, joined->path, strlen(joined->path));
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	joined->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(joined->peer, (struct sockaddr *)&address, sizeof address), 0);
	joined->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(joined->fd, 0);
	close(listener);
	ck_assert_int_eq(unlink(joined->path), 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

void joined_open(struct joined *joined, enum joined_kind kind)
{
	int fd[2];

	*joined = (struct joined){ 0 };
	if (kind == JOINED_TCP) {
		open_tcp(joined);
	} else if (kind == JOINED_UNIX) {
		open_unix(joined);
	} else {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
		joined->fd = fd[0];
		joined->peer = fd[1];
	}
	set_limits(joined->fd);
	set_limits(joined->peer);
}

/* What /proc says a descriptor is: to ask the descriptor itself could hit one that a thread is just closing. */
static bool target(const char *number, char out[JOINED_TARGET_MAX])
{
	char path[64];
	ssize_t size;

	snprintf(path, sizeof path, "/proc/self/fd/%.20s", number);
	size = readlink(path, out, JOINED_TARGET_MAX - 1);
	if (size < 0)
		return false;
	out[size] = '\0';
	return true;
}

void joined_note(struct joined_fd *before, int fd)
{
	char number[24];

	*before = (struct joined_fd){ .fd = fd, .flags = fcntl(fd, F_GETFL), .descriptor_flags = fcntl(fd, F_GETFD) };
	snprintf(number, sizeof number, "%d", fd);
	ck_assert_msg(target(number, before->target), "descriptor %d is not open", fd);
}

/* How many descriptors the same file has, and one of them. */
static int count(const struct joined_fd *before, int *one)
{
	DIR *directory = opendir("/proc/self/fd");
	char text[JOINED_TARGET_MAX];
	struct dirent *entry;
	int found = 0;

	ck_assert_ptr_nonnull(directory);
	while ((entry = readdir(directory)) != NULL)
		if (target(entry->d_name, text) && strcmp(text, before->target) == 0) {
			*one = (int)strtol(entry->d_name, NULL, 10);
			found++;
		}
	closedir(directory);
	return found;
}

void joined_is_the_callers(const struct joined_fd *before)
{
	int fd = -1;

	ck_assert_int_eq(count(before, &fd), 1);
	ck_assert_int_eq(fd, before->fd);
	ck_assert_int_eq(fcntl(fd, F_GETFL), before->flags);
	ck_assert_int_eq(fcntl(fd, F_GETFD), before->descriptor_flags);
}

void joined_is_the_streams(const struct joined_fd *before)
{
	int fd = -1;

	ck_assert_int_eq(count(before, &fd), 1);
	ck_assert_int_ge(fd, 3);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
}
