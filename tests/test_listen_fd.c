/* SPDX-License-Identifier: 0BSD */
/* Listening on a socket that is there already. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static int tcp_socket(int family, bool listening)
{
	const struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const void *address = family == AF_INET ? (const void *)&in : (const void *)&in6;
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, address, family == AF_INET ? sizeof in : sizeof in6) != 0) {
		ck_assert_msg(family == AF_INET6, "%s", strerror(errno));
		close(fd);
		return -1;
	}
	ck_assert_int_eq(listening ? listen(fd, 16) : 0, 0);
	return fd;
}

static int local_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	ck_assert_int_ge(fd, 0);
	ck_assert_msg(bind(fd, (struct sockaddr *)&address, size) == 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

static struct ws_listener *listen_on(const char *url, int fd)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	options.listen_fd = fd;
	listener = ws_listen(url, &options);
	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	return listener;
}

/* A line comes through; then all is over, and the descriptor with it. */
static void expect_service(struct ws_listener *listener, int fd)
{
	FILE *client = ws_fopen(ws_listener_url(listener), "r+"), *server;
	char line[16];

	ck_assert_msg(client != NULL, "%s: %s", ws_listener_url(listener), ws_last_error()->text);
	server = ws_accept(listener, "r+");
	ck_assert_msg(server != NULL, "%s", ws_last_error()->text);
	fputs("line\n", client);
	ck_assert_int_eq(fflush(client), 0);
	ck_assert_ptr_nonnull(fgets(line, sizeof line, server));
	ck_assert_str_eq(line, "line\n");
	duo_close_both(client, server);
	ws_listener_close(listener);
	errno = 0;
	ck_assert_int_eq(fcntl(fd, F_GETFL), -1);
	ck_assert_int_eq(errno, EBADF);
}

static unsigned port_of(int fd)
{
	struct sockaddr_in6 address;
	socklen_t size = sizeof address;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin6_port);	/* at the same place as sin_port */
}

/* Of the URL's host and port nothing counts. */
static const struct {
	int family;
	const char *url, *shown;
} networks[] = {
	{ AF_INET, "ws://localhost/", "ws://127.0.0.1:%u/" },
	{ AF_INET, "ws://nobody.example:1/path", "ws://127.0.0.1:%u/path" },
	{ AF_INET, "ws+unix:///no/such/place:/path", "ws://127.0.0.1:%u/path" },
	{ AF_INET6, "ws://0.0.0.0/app", "ws://[::1]:%u/app" },
};

START_TEST(a_tcp_socket_is_listened_on_where_it_is_bound)
{
	struct ws_listener *listener;
	char shown[64];
	int fd;

	peer_count_begin();
	fd = tcp_socket(networks[_i].family, true);
	if (fd < 0)
		return;		/* no IPv6 here */
	snprintf(shown, sizeof shown, networks[_i].shown, port_of(fd));
	listener = listen_on(networks[_i].url, fd);
	ck_assert_str_eq(ws_listener_url(listener), shown);
	expect_service(listener, fd);
	peer_count_end();
}
END_TEST

START_TEST(a_client_that_came_before_is_served)
{
	struct ws_listener *listener;
	FILE *server;
	int fd, client;

	peer_count_begin();
	fd = tcp_socket(AF_INET, true);
	client = peer_connect(port_of(fd));
	listener = listen_on("ws://localhost/", fd);
	peer_client_handshake(client, port_of(fd), "/", "");
	server = ws_accept(listener, "r");
	ck_assert_ptr_nonnull(server);
	peer_close(client, true, 1000, "");
	peer_fin(client);
	ck_assert_int_eq(fgetc(server), EOF);
	ck_assert_int_eq(fclose(server), 0);
	close(client);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_local_sockets_file_stays)
{
	char directory[] = "/tmp/wsfile-fd-XXXXXX", path[64], shown[128];
	struct ws_listener *listener;
	int fd;

	peer_count_begin();
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/a b", directory);
	snprintf(shown, sizeof shown, "ws+unix://%s/a%%20b:/x", directory);
	fd = local_socket(path);
	listener = listen_on(_i == 0 ? "ws+unix:///other:/x" : "ws://localhost/x", fd);
	ck_assert_str_eq(ws_listener_url(listener), shown);
	expect_service(listener, fd);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(directory), 0);
	peer_count_end();
}
END_TEST

START_TEST(an_abstract_socket_keeps_its_name)
{
	struct ws_listener *listener;
	char name[64], shown[128];
	int fd;

	peer_count_begin();
	snprintf(name, sizeof name, "@wsfile-test-%ld", (long)getpid());
	snprintf(shown, sizeof shown, "ws+unix://%s:/", name);
	fd = local_socket(name);
	listener = listen_on("ws+unix://x", fd);
	ck_assert_str_eq(ws_listener_url(listener), shown);
	expect_service(listener, fd);
	peer_count_end();
}
END_TEST

/* --- what is no such socket --- */

static void expect_refused(int fd, const char *url, int error)
{
	struct ws_options options = WS_OPTIONS_INIT;
	int status_flags = fcntl(fd, F_GETFL), fd_flags = fcntl(fd, F_GETFD);

	options.listen_fd = fd;
	errno = 0;
	ck_assert_ptr_null(ws_listen(url, &options));
	ck_assert_msg(errno == error, "%s: %s", strerror(errno), ws_last_error()->text);
	duo_check_failure(error, 0);
	/* It is the caller's, as it was. */
	ck_assert_int_eq(fcntl(fd, F_GETFL), status_flags);
	ck_assert_int_eq(fcntl(fd, F_GETFD), fd_flags);
}

START_TEST(what_is_no_listening_stream_socket_is_refused)
{
	int fd, pair[2];

	peer_count_begin();
	fd = dup(0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	expect_refused(fd, "ws://localhost/", EBADF);
	expect_refused(1 << 20, "ws://localhost/", EBADF);
	ck_assert_int_eq(pipe(pair), 0);
	expect_refused(pair[0], "ws://localhost/", ENOTSOCK);
	close(pair[0]);
	close(pair[1]);
	fd = open("/dev/null", O_RDWR);
	expect_refused(fd, "ws://localhost/", ENOTSOCK);
	close(fd);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	expect_refused(pair[0], "ws://localhost/", EINVAL);
	close(pair[0]);
	close(pair[1]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	expect_refused(fd, "ws://localhost/", EINVAL);
	close(fd);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	expect_refused(fd, "ws://localhost/", EINVAL);
	close(fd);
	fd = tcp_socket(AF_INET, false);
	expect_refused(fd, "ws://localhost/", EINVAL);
	close(fd);
	peer_count_end();
}
END_TEST

START_TEST(a_failure_leaves_the_socket_as_it_was)
{
	struct rlimit limit, none;
	unsigned port;
	int fd;

	peer_count_begin();
	fd = tcp_socket(AF_INET, true);
	port = port_of(fd);
	expect_refused(fd, "http://localhost/", EINVAL);
	expect_refused(fd, "ws://localhost/?query", EINVAL);
	expect_refused(fd, "wss://localhost/", EINVAL);	/* no certificate */
	/* No descriptor for the helper thread. */
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect_refused(fd, "ws://localhost/", EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(peer_connect(port));
	expect_service(listen_on("ws://localhost/", fd), fd);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listen_fd");
	TCase *tcase = wire_case(suite, "taken");

	tcase_add_loop_test(tcase, a_tcp_socket_is_listened_on_where_it_is_bound, 0, COUNT(networks));
	tcase_add_test(tcase, a_client_that_came_before_is_served);
	tcase_add_loop_test(tcase, a_local_sockets_file_stays, 0, 2);
	tcase_add_test(tcase, an_abstract_socket_keeps_its_name);
	tcase = wire_case(suite, "refused");
	tcase_add_test(tcase, what_is_no_listening_stream_socket_is_refused);
	tcase_add_test(tcase, a_failure_leaves_the_socket_as_it_was);
	return wire_run(suite);
}
