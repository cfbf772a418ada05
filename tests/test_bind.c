/* SPDX-License-Identifier: 0BSD */
/* Listening sockets, and connecting to local ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "bind.h"
#include "connect.h"
#include "peer.h"
#include "wait.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define HOUR_MS 3600000
#define SOON_MS 50
#define QUEUE_MAX 16			/* connections that fill a short queue */
#define NOBODY 65534
#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* --- a directory for all of them --- */

static char directory[64];

static void make_directory(void)
{
	const char *parent = getenv("TMPDIR");

	/* A local socket's path is short. */
	if (parent == NULL || strlen(parent) > 30)
		parent = "/tmp";
	snprintf(directory, sizeof directory, "%s/wsfile-bind-XXXXXX", parent);
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

/* What a failed test left behind, too. */
static void remove_tree(const char *path)
{
	DIR *entries;
	struct dirent *entry;
	char name[512];

	if (unlink(path) == 0 || errno == ENOENT)
		return;
	ck_assert_int_eq(chmod(path, 0700), 0);
	entries = opendir(path);
	ck_assert_ptr_nonnull(entries);
	while ((entry = readdir(entries)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		ck_assert_int_lt(snprintf(name, sizeof name, "%s/%s", path, entry->d_name), (int)sizeof name);
		remove_tree(name);
	}
	closedir(entries);
	ck_assert_int_eq(rmdir(path), 0);
}

static void remove_directory(void)
{
	remove_tree(directory);
}

/* A name in that directory; the caller's storage. */
static char *in_directory(char path[PATH_BYTES], const char *name)
{
	int length = snprintf(path, PATH_BYTES, "%s/%s", directory, name);

	ck_assert(length > 0 && (size_t)length < PATH_BYTES);
	return path;
}

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	ck_assert_int_eq(lstat(path, &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	return status.st_mode & 07777;
}

/* In the C library's place: no file may have a wider mode before than behind it. */
static unsigned modes_set, modes_too_wide;

int fchmodat(int at, const char *path, mode_t mode, int flags)
{
	struct stat status;

	ck_assert_int_eq(at, AT_FDCWD);
	ck_assert_int_eq(flags, AT_SYMLINK_NOFOLLOW);
	ck_assert_int_eq(lstat(path, &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	modes_set++;
	modes_too_wide += (status.st_mode & 07777 & ~mode) != 0;
	return chmod(path, mode);
}

/* --- both ends --- */

static int bind_path(struct wsf_bound *bound, char *path, const struct ws_options *options, struct wsf_failure *failure)
{
	static const struct ws_options standard = WS_OPTIONS_INIT;
	char host[] = "localhost", target[] = "/";
	const struct wsf_url url = { .socket = path, .host = host, .port = 80, .target = target };

	*failure = (struct wsf_failure){ 0 };
	return wsf_bind(bound, &url, options != NULL ? options : &standard, failure);
}

static int bind_host(struct wsf_bound *bound, char *host, unsigned port, const struct ws_options *options,
    struct wsf_failure *failure)
{
	static const struct ws_options standard = WS_OPTIONS_INIT;
	char target[] = "/";
	const struct wsf_url url = { .host = host, .port = port, .target = target };

	*failure = (struct wsf_failure){ 0 };
	return wsf_bind(bound, &url, options != NULL ? options : &standard, failure);
}

static void bind_well(struct wsf_bound *bound, char *path, const struct ws_options *options)
{
	struct wsf_failure failure;

	ck_assert_msg(bind_path(bound, path, options, &failure) == 0, "%s", failure.text);
	ck_assert_int_eq(failure.error, 0);
	ck_assert_int_ge(bound->fd, 0);
	ck_assert_uint_eq(bound->port, 0);
}

static void end(struct wsf_bound *bound)
{
	wsf_bound_clear(bound);
	ck_assert_int_eq(close(bound->fd), 0);
}

/* It fails so, the text names the path, and nothing is open. */
static void bind_badly(char *path, int error)
{
	struct wsf_failure failure;
	struct wsf_bound bound;

	peer_count_begin();
	ck_assert_int_eq(bind_path(&bound, path, NULL, &failure), -error);
	ck_assert_int_eq(failure.error, error);
	ck_assert_msg(strstr(failure.text, path) != NULL, "%s", failure.text);
	ck_assert_ptr_null(bound.path);
	peer_count_end();
}

static int connect_well(const char *path)
{
	struct wsf_failure failure = { 0 };
	int fd = wsf_connect_local(path, wsf_deadline_ns(HOUR_MS), &failure);

	ck_assert_msg(fd >= 0, "%s", failure.text);
	ck_assert_int_eq(failure.error, 0);
	return fd;
}

static void connect_badly(const char *path, int timeout_ms, int error)
{
	struct wsf_failure failure = { 0 };

	peer_count_begin();
	ck_assert_int_eq(wsf_connect_local(path, wsf_deadline_ns(timeout_ms), &failure), -error);
	ck_assert_int_eq(failure.error, error);
	ck_assert_msg(strstr(failure.text, path) != NULL, "%s", failure.text);
	peer_count_end();
}

static void check_flags(int fd)
{
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

/* A byte from the client arrives at the listener. */
static void check_connection(const struct wsf_bound *bound, int client)
{
	char byte = '\0';
	int server;

	ck_assert_int_eq(fcntl(bound->fd, F_SETFL, 0), 0);
	server = accept(bound->fd, NULL, NULL);
	ck_assert_int_ge(server, 0);
	peer_send(client, "x", 1);
	ck_assert_uint_eq(peer_recv(server, &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
	close(server);
	close(client);
}

static void check_reachable(const struct wsf_bound *bound, const char *path)
{
	check_connection(bound, connect_well(path));
}

/* A socket that nobody listens on any more, as a killed server leaves it. */
static void leave_stale(const char *path)
{
	struct sockaddr_un address;
	int size = wsf_local_address(path, &address), fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert_int_gt(size, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, (socklen_t)size), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

/* --- TCP --- */

START_TEST(a_tcp_socket_listens_on_the_port_it_tells)
{
	char host[] = "127.0.0.1";
	struct wsf_failure failure;
	struct wsf_bound bound;

	peer_count_begin();
	ck_assert_int_eq(bind_host(&bound, host, 0, NULL, &failure), 0);
	ck_assert_uint_gt(bound.port, 0);
	ck_assert_ptr_null(bound.path);
	check_flags(bound.fd);
	check_connection(&bound, peer_connect(bound.port));
	end(&bound);
	peer_count_end();
}
END_TEST

START_TEST(a_port_in_use_is_told_by_name)
{
	char host[] = "127.0.0.1", port[16];
	struct wsf_failure failure;
	struct wsf_bound bound;
	unsigned used;
	int listener;

	peer_count_begin();
	listener = peer_listen(&used);
	ck_assert_int_eq(bind_host(&bound, host, used, NULL, &failure), -EADDRINUSE);
	ck_assert_int_eq(failure.error, EADDRINUSE);
	snprintf(port, sizeof port, "port %u", used);
	ck_assert_ptr_nonnull(strstr(failure.text, "127.0.0.1"));
	ck_assert_ptr_nonnull(strstr(failure.text, port));
	close(listener);
	peer_count_end();
}
END_TEST

START_TEST(two_sockets_share_a_port_only_with_reuse_port)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char host[] = "127.0.0.1";
	struct wsf_failure failure;
	struct wsf_bound one, other;

	options.reuse_port = true;
	ck_assert_int_eq(bind_host(&one, host, 0, &options, &failure), 0);
	ck_assert_int_eq(bind_host(&other, host, one.port, NULL, &failure), -EADDRINUSE);
	ck_assert_int_eq(bind_host(&other, host, one.port, &options, &failure), 0);
	ck_assert_uint_eq(one.port, other.port);
	end(&one);
	end(&other);
}
END_TEST

START_TEST(an_address_of_another_machine_can_not_be_bound)
{
	char host[] = "192.0.2.1";
	struct wsf_failure failure;
	struct wsf_bound bound;

	ck_assert_int_eq(bind_host(&bound, host, 0, NULL, &failure), -EADDRNOTAVAIL);
	ck_assert_ptr_nonnull(strstr(failure.text, host));
}
END_TEST

START_TEST(an_ipv6_port_is_told_too)
{
	char host[] = "::1";
	struct wsf_failure failure;
	struct wsf_bound bound;
	int rv = bind_host(&bound, host, 0, NULL, &failure);

	/* A machine may have no IPv6. */
	if (rv == -EADDRNOTAVAIL || rv == -EAFNOSUPPORT)
		return;
	ck_assert_int_eq(rv, 0);
	ck_assert_uint_gt(bound.port, 0);
	end(&bound);
}
END_TEST

/* --- local sockets: binding --- */

START_TEST(a_local_socket_is_reachable_until_it_is_cleared)
{
	char path[PATH_BYTES];
	struct wsf_bound bound;

	peer_count_begin();
	bind_well(&bound, in_directory(path, "plain"), NULL);
	check_flags(bound.fd);
	ck_assert_str_eq(bound.path, path);
	check_reachable(&bound, path);
	end(&bound);
	ck_assert(!exists(path));
	connect_badly(path, HOUR_MS, ENOENT);
	/* Nothing, and nothing again. */
	wsf_bound_clear(&bound);
	wsf_bound_clear(NULL);
	peer_count_end();
}
END_TEST

static const struct {
	mode_t mask;
	int mode;
} modes[] = { { 0, 0600 }, { 0, 0666 }, { 0022, 0660 }, { 0077, 0666 }, { 0777, 0777 }, { 0777, 0600 }, { 0, 0 } };

START_TEST(the_file_has_socket_mode_whatever_the_umask)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char path[PATH_BYTES];
	struct wsf_bound bound;
	mode_t before = umask(modes[_i].mask);

	modes_set = 0;
	options.socket_mode = modes[_i].mode;
	bind_well(&bound, in_directory(path, "mode"), &options);
	ck_assert_uint_eq(umask(before), modes[_i].mask);
	ck_assert_uint_eq(mode_of(path), (mode_t)modes[_i].mode);
	ck_assert_uint_eq(modes_set, (modes[_i].mask & (mode_t)modes[_i].mode) != 0 ? 1 : 0);
	ck_assert_uint_eq(modes_too_wide, 0);
	end(&bound);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(a_stale_socket_is_replaced)
{
	char path[PATH_BYTES];
	struct ws_options options = WS_OPTIONS_INIT;
	struct wsf_bound bound;

	peer_count_begin();
	leave_stale(in_directory(path, "stale"));
	ck_assert(exists(path));
	options.socket_mode = 0640;
	bind_well(&bound, path, &options);
	ck_assert_uint_eq(mode_of(path), 0640);
	check_reachable(&bound, path);
	end(&bound);
	ck_assert(!exists(path));
	peer_count_end();
}
END_TEST

START_TEST(a_socket_in_use_is_left_alone)
{
	char path[PATH_BYTES];
	struct wsf_bound bound;
	int probe;

	bind_well(&bound, in_directory(path, "used"), NULL);
	bind_badly(path, EADDRINUSE);
	/* The attempt to see whether it is stale came as a connection. */
	probe = accept(bound.fd, NULL, NULL);
	ck_assert_int_ge(probe, 0);
	ck_assert(peer_at_end(probe));
	close(probe);
	check_reachable(&bound, path);
	end(&bound);
}
END_TEST

/* Connect until the listener takes no more: how many sockets that took, the refused one included. */
static int fill_queue(const char *path, int fds[QUEUE_MAX])
{
	struct sockaddr_un address;
	int size = wsf_local_address(path, &address), used = 0;

	ck_assert_int_gt(size, 0);
	for (;;) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_lt(used, QUEUE_MAX);
		fds[used++] = fd;
		if (connect(fd, (struct sockaddr *)&address, (socklen_t)size) != 0) {
			ck_assert_int_eq(errno, EAGAIN);
			return used;
		}
	}
}

static void close_all(const int fds[], int count)
{
	for (int i = 0; i < count; i++)
		close(fds[i]);
}

/* A listener of the test's with a short queue. */
static int listen_shortly(const char *path)
{
	struct sockaddr_un address;
	int size = wsf_local_address(path, &address), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(size, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, (socklen_t)size), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(a_socket_whose_queue_is_full_is_in_use)
{
	char path[PATH_BYTES];
	int listener = listen_shortly(in_directory(path, "full")), fds[QUEUE_MAX], count = fill_queue(path, fds);

	bind_badly(path, EADDRINUSE);
	ck_assert(exists(path));
	close_all(fds, count);
	close(listener);
	unlink(path);
}
END_TEST

START_TEST(a_datagram_socket_is_in_use)
{
	char path[PATH_BYTES];
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = wsf_local_address(in_directory(path, "datagram"), &address);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, (socklen_t)size), 0);
	bind_badly(path, EADDRINUSE);
	ck_assert(exists(path));
	close(fd);
	unlink(path);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_never_removed)
{
	char path[PATH_BYTES], socket_path[PATH_BYTES], text[8] = "";
	FILE *file;

	write_file(in_directory(path, "regular"), "precious");
	bind_badly(path, EADDRINUSE);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fread(text, 1, sizeof text, file), sizeof text);
	fclose(file);
	ck_assert_mem_eq(text, "precious", sizeof text);
	unlink(path);

	/* Nor a link, even to a stale socket or to nothing; nor a directory. */
	leave_stale(in_directory(socket_path, "target"));
	ck_assert_int_eq(symlink(socket_path, in_directory(path, "link")), 0);
	bind_badly(path, EADDRINUSE);
	ck_assert(exists(path) && exists(socket_path));
	unlink(socket_path);
	bind_badly(path, EADDRINUSE);
	ck_assert(exists(path) && !exists(socket_path));
	unlink(path);

	ck_assert_int_eq(mkdir(in_directory(path, "directory"), 0700), 0);
	bind_badly(path, EADDRINUSE);
	ck_assert(exists(path));
	rmdir(path);
}
END_TEST

START_TEST(what_another_put_in_its_place_is_not_removed)
{
	char path[PATH_BYTES];
	struct wsf_bound bound, other;

	bind_well(&bound, in_directory(path, "file"), NULL);
	unlink(path);
	write_file(path, "another's");
	end(&bound);
	ck_assert(exists(path));
	unlink(path);

	bind_well(&bound, in_directory(path, "socket"), NULL);
	unlink(path);
	bind_well(&other, path, NULL);
	end(&bound);
	ck_assert(exists(path));
	check_reachable(&other, path);
	end(&other);
	ck_assert(!exists(path));

	bind_well(&bound, in_directory(path, "gone"), NULL);
	unlink(path);
	end(&bound);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(a_relative_path_is_removed_from_another_directory)
{
	char path[PATH_BYTES], name[] = "relative", *real;
	struct wsf_bound bound;

	ck_assert_int_eq(chdir(directory), 0);
	bind_well(&bound, name, NULL);
	real = realpath(in_directory(path, name), NULL);
	ck_assert_ptr_nonnull(real);
	ck_assert_str_eq(bound.path, real);
	free(real);
	check_reachable(&bound, name);
	ck_assert_int_eq(chdir("/"), 0);
	end(&bound);
	ck_assert(!exists(path));
}
END_TEST

START_TEST(a_place_that_is_not_there_is_told)
{
	char path[PATH_BYTES];

	bind_badly(in_directory(path, "none/socket"), ENOENT);
	write_file(in_directory(path, "file"), "");
	bind_badly(in_directory(path, "file/socket"), ENOTDIR);
	unlink(in_directory(path, "file"));
}
END_TEST

/* Without the power to pass any mode. */
static void become_nobody(void)
{
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(NOBODY), 0);
}

static void become_root(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(a_forbidden_place_is_told)
{
	char locked[PATH_BYTES], path[PATH_BYTES];

	ck_assert_int_eq(mkdir(in_directory(locked, "locked"), 0700), 0);
	leave_stale(in_directory(path, "locked/socket"));
	ck_assert_int_eq(chmod(locked, 0), 0);
	become_nobody();
	bind_badly(path, EACCES);
	connect_badly(path, HOUR_MS, EACCES);
	become_root();
	ck_assert_int_eq(chmod(locked, 0700), 0);
	ck_assert(exists(path));
	unlink(path);
	rmdir(locked);
}
END_TEST

#ifdef __linux__

START_TEST(an_abstract_socket_has_no_file)
{
	char name[64];
	struct wsf_bound bound;

	snprintf(name, sizeof name, "@wsfile-test-%ld", (long)getpid());
	peer_count_begin();
	bind_well(&bound, name, NULL);
	check_flags(bound.fd);
	ck_assert_ptr_null(bound.path);
	ck_assert(!exists(name));
	check_reachable(&bound, name);
	bind_badly(name, EADDRINUSE);
	end(&bound);
	connect_badly(name, HOUR_MS, ECONNREFUSED);
	bind_well(&bound, name, NULL);
	end(&bound);
	peer_count_end();
}
END_TEST

#endif

/* --- addresses --- */

START_TEST(a_path_fits_or_is_refused)
{
	const size_t most = PATH_BYTES - 1, offset = offsetof(struct sockaddr_un, sun_path);
	struct sockaddr_un address;
	char path[PATH_BYTES + 2];

	memset(path, 'p', sizeof path);
	path[most] = '\0';
	ck_assert_int_eq(wsf_local_address(path, &address), (int)(offset + most + 1));
	ck_assert_int_eq(address.sun_family, AF_UNIX);
	ck_assert_str_eq(address.sun_path, path);
	path[most] = 'p';
	path[most + 1] = '\0';
	ck_assert_int_eq(wsf_local_address(path, &address), -ENAMETOOLONG);
	bind_badly(path, ENAMETOOLONG);
	connect_badly(path, HOUR_MS, ENAMETOOLONG);
	/* An empty one would stand for any abstract name. */
	path[0] = '\0';
	ck_assert_int_eq(wsf_local_address(path, &address), -EINVAL);
	bind_badly(path, EINVAL);
	connect_badly(path, HOUR_MS, EINVAL);
}
END_TEST

START_TEST(an_abstract_name_has_its_nul_in_front)
{
	struct sockaddr_un address;
	char name[PATH_BYTES + 2];

	memset(name, 'n', sizeof name);
	name[0] = '@';
	name[PATH_BYTES] = '\0';
#ifdef __linux__
	ck_assert_int_eq(wsf_local_address(name, &address), (int)sizeof address);
	ck_assert_int_eq(address.sun_path[0], '\0');
	ck_assert_mem_eq(address.sun_path + 1, name + 1, PATH_BYTES - 1);
	name[PATH_BYTES] = 'n';
	name[PATH_BYTES + 1] = '\0';
	ck_assert_int_eq(wsf_local_address(name, &address), -ENAMETOOLONG);
	ck_assert_int_eq(wsf_local_address("@ab", &address), (int)offsetof(struct sockaddr_un, sun_path) + 3);
#else
	ck_assert_int_eq(wsf_local_address(name, &address), -EPROTONOSUPPORT);
#endif
}
END_TEST

/* --- local sockets: connecting --- */

START_TEST(a_local_connection_does_not_block)
{
	char path[PATH_BYTES];
	struct wsf_bound bound;
	int fd;

	bind_well(&bound, in_directory(path, "flags"), NULL);
	fd = connect_well(path);
	check_flags(fd);
	check_connection(&bound, fd);
	end(&bound);
}
END_TEST

START_TEST(a_socket_that_nobody_serves_is_told_by_its_path)
{
	char path[PATH_BYTES];

	connect_badly(in_directory(path, "nothing"), HOUR_MS, ENOENT);
	leave_stale(in_directory(path, "dead"));
	connect_badly(path, HOUR_MS, ECONNREFUSED);
	unlink(path);
	write_file(in_directory(path, "nosocket"), "");
	connect_badly(path, HOUR_MS, ECONNREFUSED);
	unlink(path);
}
END_TEST

/* Other systems refuse at once when the queue is full. */
#ifdef __linux__

START_TEST(a_full_queue_is_waited_for_until_the_deadline)
{
	char path[PATH_BYTES];
	int listener = listen_shortly(in_directory(path, "queue")), fds[QUEUE_MAX], count = fill_queue(path, fds);

	connect_badly(path, SOON_MS, ETIMEDOUT);
	connect_badly(path, 0, ETIMEDOUT);
	close_all(fds, count);
	close(listener);
	unlink(path);
}
END_TEST

struct caller {
	pthread_t thread;
	const char *path;
	struct wsf_failure failure;
	int rv;
	atomic_int tid;			/* 0 = not running yet */
	atomic_bool returned;
};

static void *call(void *argument)
{
	struct caller *caller = argument;

	atomic_store(&caller->tid, gettid());
	caller->rv = wsf_connect_local(caller->path, WSF_NO_DEADLINE, &caller->failure);
	atomic_store(&caller->returned, true);
	return NULL;
}

static bool is_asleep(int tid)
{
	char path[64], text[512] = "";
	const char *behind_name;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	behind_name = strrchr(text, ')');
	return behind_name != NULL && strncmp(behind_name, ") S", 3) == 0;
}

START_TEST(a_connection_is_made_once_the_queue_has_room)
{
	char path[PATH_BYTES], byte = '\0';
	int listener = listen_shortly(in_directory(path, "room")), fds[QUEUE_MAX], count = fill_queue(path, fds);
	struct caller caller = { .path = path };
	int server = -1;

	peer_thread(&caller.thread, call, &caller);
	while (atomic_load(&caller.tid) == 0 || !is_asleep(atomic_load(&caller.tid)))
		sched_yield();
	/* One of them was refused: the last that is accepted is the caller's. */
	for (int i = 0; i < count; i++) {
		if (server >= 0)
			close(server);
		server = accept(listener, NULL, NULL);
		ck_assert_int_ge(server, 0);
	}
	peer_join(caller.thread);
	ck_assert_msg(caller.rv >= 0, "%s", caller.failure.text);
	peer_send(caller.rv, "x", 1);
	ck_assert_uint_eq(peer_recv(server, &byte, 1), 1);
	close(server);
	close(caller.rv);
	close_all(fds, count);
	close(listener);
	unlink(path);
}
END_TEST

static void handler(int number)
{
	(void)number;
}

START_TEST(a_signal_handler_interrupts_the_wait)
{
	struct sigaction action = { .sa_handler = handler };
	char path[PATH_BYTES];
	int listener = listen_shortly(in_directory(path, "signal")), fds[QUEUE_MAX], count = fill_queue(path, fds);
	struct caller caller = { .path = path };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	peer_thread(&caller.thread, call, &caller);
	while (!atomic_load(&caller.returned)) {
		ck_assert_int_eq(pthread_kill(caller.thread, SIGUSR1), 0);
		sched_yield();
	}
	peer_join(caller.thread);
	ck_assert_int_eq(caller.rv, -EINTR);
	ck_assert_int_eq(caller.failure.error, EINTR);
	ck_assert_ptr_nonnull(strstr(caller.failure.text, "interrupted by a signal"));
	close_all(fds, count);
	close(listener);
	unlink(path);
}
END_TEST

#endif

static TCase *new_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, make_directory, remove_directory);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int main(void)
{
	Suite *suite = suite_create("bind");
	TCase *tcp = new_case(suite, "tcp"), *local = new_case(suite, "local"), *client = new_case(suite, "connect");
	SRunner *runner;
	int failed;

	tcase_add_test(tcp, a_tcp_socket_listens_on_the_port_it_tells);
	tcase_add_test(tcp, a_port_in_use_is_told_by_name);
	tcase_add_test(tcp, two_sockets_share_a_port_only_with_reuse_port);
	tcase_add_test(tcp, an_address_of_another_machine_can_not_be_bound);
	tcase_add_test(tcp, an_ipv6_port_is_told_too);
	tcase_add_test(local, a_local_socket_is_reachable_until_it_is_cleared);
	tcase_add_loop_test(local, the_file_has_socket_mode_whatever_the_umask, 0, (int)COUNT(modes));
	tcase_add_test(local, a_stale_socket_is_replaced);
	tcase_add_test(local, a_socket_in_use_is_left_alone);
	tcase_add_test(local, a_datagram_socket_is_in_use);
	tcase_add_test(local, a_file_that_is_no_socket_is_never_removed);
	tcase_add_test(local, what_another_put_in_its_place_is_not_removed);
	tcase_add_test(local, a_relative_path_is_removed_from_another_directory);
	tcase_add_test(local, a_place_that_is_not_there_is_told);
	tcase_add_test(local, a_forbidden_place_is_told);
	tcase_add_test(client, a_path_fits_or_is_refused);
	tcase_add_test(client, an_abstract_name_has_its_nul_in_front);
	tcase_add_test(client, a_local_connection_does_not_block);
	tcase_add_test(client, a_socket_that_nobody_serves_is_told_by_its_path);
#ifdef __linux__
	tcase_add_test(local, a_socket_whose_queue_is_full_is_in_use);
	tcase_add_test(local, an_abstract_socket_has_no_file);
	tcase_add_test(client, a_full_queue_is_waited_for_until_the_deadline);
	tcase_add_test(client, a_connection_is_made_once_the_queue_has_room);
	tcase_add_test(client, a_signal_handler_interrupts_the_wait);
#endif
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
