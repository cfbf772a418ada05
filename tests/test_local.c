/* SPDX-License-Identifier: 0BSD */
/* ws+unix and wss+unix: the socket's file, its name and permissions, and streams over it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "duet.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* --- names; each test case is a process of its own, and pki_end removes what it leaves --- */

static const char *socket_path(void)
{
	return pki_file("app.sock");
}

/* "scheme://path" and the rest. Lives until the next call. */
static const char *local_url(const char *scheme, const char *path, const char *rest)
{
	static char url[512];

	snprintf(url, sizeof url, "%s://%s%s", scheme, path, rest);
	return url;
}

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static struct ws_listener *listen_at(const char *url, const struct ws_options *options)
{
	struct ws_listener *listener = ws_listen(url, options);

	ck_assert_msg(listener != NULL, "%s: %s", url, ws_last_error()->text);
	return listener;
}

static void expect_no_listener(const char *url, const struct ws_options *options, int error, const char *words)
{
	errno = 0;
	ck_assert_ptr_null(ws_listen(url, options));
	ck_assert_msg(errno == error, "%s: %s: %s", url, strerror(errno), ws_last_error()->text);
	tls_check_failure(error, words);
}

static void expect_service(struct ws_listener *listener, const struct ws_options *client)
{
	struct duet duet;

	duet_join(&duet, listener, NULL, client, "r+");
	duet_greet(&duet);
	duet_close(&duet);
}

/* A socket of somebody else's. */
static int bind_raw(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
	memcpy(address.sun_path, path, strlen(path));
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 4), 0);
	return fd;
}

/* --- streams --- */

/* _i: ws+unix or wss+unix, then a file or an abstract name */
START_TEST(streams_work_over_a_local_socket)
{
	bool tls = _i % 2 == 1, abstract = _i / 2 == 1;
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct ws_status status = WS_STATUS_INIT;
	char path[128], address[sizeof status.local_address];
	struct duet duet;

	peer_count_begin();
	if (abstract)
		snprintf(path, sizeof path, "@wsfile-test-%ld", (long)getpid());
	else
		snprintf(path, sizeof path, "%s", socket_path());
	duet_open(&duet, local_url(tls ? "wss+unix" : "ws+unix", path, ":/chat"), &listener, &client, "r+");
	ck_assert_int_eq(exists(path), !abstract);
	duet_greet(&duet);
	snprintf(address, sizeof address, "unix:%.50s", path);
	ck_assert_int_eq(ws_status(duet.client, &status), 0);
	ck_assert_str_eq(status.peer_address, address);
	ck_assert_int_eq(strncmp(status.local_address, "unix:", 5), 0);
	ck_assert_str_eq(status.tls_version, tls ? "TLSv1.3" : "");
	ck_assert_int_eq(ws_status(duet.server, &status), 0);
	ck_assert_str_eq(status.local_address, address);
	ck_assert_int_eq(strncmp(status.peer_address, "unix:", 5), 0);
	ck_assert_str_eq(ws_header(duet.server, "Host"), "localhost");
	duet_close(&duet);
	ck_assert(!exists(path));
	peer_count_end();
}
END_TEST

START_TEST(much_goes_both_ways_over_a_local_socket)
{
	struct ws_options listener = tls_listener_options("server.pem", "server.key"), client = tls_client_options();
	struct duet duet;

	peer_count_begin();
	listener.recv_buffer_bytes = client.recv_buffer_bytes = 65536;
	duet_open_pairs(&duet, local_url(_i == 0 ? "ws+unix" : "wss+unix", socket_path(), ""), &listener, &client);
	duet_exchange(&duet, DUET_NOISE, 8 << 20, 100000);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

/* The certificate is for "localhost", unless another name is given. */
START_TEST(tls_checks_a_name_there_too)
{
	struct ws_options listener = tls_listener_options("other.pem", "other.key"), client = tls_client_options();
	struct ws_listener *own;

	peer_count_begin();
	own = listen_at(local_url("wss+unix", socket_path(), ""), &listener);
	tls_expect_refusal(ws_listener_url(own), &client, EKEYREJECTED, "mismatch|localhost");
	client.server_name = "other.example";
	expect_service(own, &client);
	ws_listener_close(own);
	peer_count_end();
}
END_TEST

/* --- URLs --- */

START_TEST(the_path_behind_the_socket_is_served)
{
	static const char *const targets[][2] = { { "", "/" }, { ":/", "/" }, { ":/a/b", "/a/b" } };
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;
	char url[512];

	peer_count_begin();
	listener = listen_at(local_url("ws+unix", socket_path(), targets[_i][0]), NULL);
	snprintf(url, sizeof url, "ws+unix://%s:%s", socket_path(), targets[_i][1]);
	ck_assert_str_eq(ws_listener_url(listener), url);
	expect_service(listener, &client);
	if (_i == 2)
		tls_expect_refusal(local_url("ws+unix", socket_path(), ":/other"), &client, ECONNABORTED, "404");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(the_sockets_name_is_percent_decoded)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;
	char url[512];

	peer_count_begin();
	snprintf(url, sizeof url, "ws+unix://%s:/x", pki_file("a%3ab%20c%3Fd"));
	listener = listen_at(url, NULL);
	ck_assert(exists(pki_file("a:b c?d")));
	expect_service(listener, &client);
	ws_listener_close(listener);
	ck_assert(!exists(pki_file("a:b c?d")));
	peer_count_end();
}
END_TEST

START_TEST(a_relative_name_is_one_of_the_working_directory)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;

	peer_count_begin();
	ck_assert_int_eq(chdir(pki_file("cadir")), 0);
	listener = listen_at("ws+unix://near.sock:/", NULL);
	ck_assert(exists("near.sock"));
	expect_service(listener, &client);
	ws_listener_close(listener);
	ck_assert(!exists("near.sock"));
	peer_count_end();
}
END_TEST

START_TEST(bad_urls_are_einval)
{
	static const char *const urls[] = { "ws+unix://", "ws+unix://:/x", "ws+unix:///tmp/a%00b:/",
		"ws+unix:///tmp/a%zz", "ws+unix:///tmp/a:b", "ws+unix:///tmp/a#x", "ws+unix:///tmp/a b", "ws+unix:///"
		"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567" };

	tls_expect_refusal(urls[_i], NULL, EINVAL, "");
	expect_no_listener(urls[_i], NULL, EINVAL, "");
}
END_TEST

/* --- nobody there --- */

START_TEST(an_absent_socket_is_enoent_and_a_dead_one_refuses)
{
	struct ws_options client = tls_client_options();
	char name[64];

	peer_count_begin();
	tls_expect_refusal(local_url("ws+unix", socket_path(), ":/"), &client, ENOENT, "app.sock");
	close(bind_raw(socket_path(), false));
	tls_expect_refusal(local_url("ws+unix", socket_path(), ":/"), &client, ECONNREFUSED, "app.sock");
	ck_assert_int_eq(unlink(socket_path()), 0);
	snprintf(name, sizeof name, "@wsfile-nobody-%ld", (long)getpid());
	tls_expect_refusal(local_url("ws+unix", name, ":/"), &client, ECONNREFUSED, "nobody");
	peer_count_end();
}
END_TEST

/* The environment's proxies are for hosts. */
START_TEST(no_proxy_leads_to_a_local_socket)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;

	peer_count_begin();
	client.proxy = "http://127.0.0.1:1";
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), NULL);
	expect_service(listener, &client);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

/* --- the file --- */

START_TEST(a_stale_socket_is_replaced)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;

	peer_count_begin();
	close(bind_raw(socket_path(), true));
	ck_assert(exists(socket_path()));
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), NULL);
	expect_service(listener, &client);
	ws_listener_close(listener);
	ck_assert(!exists(socket_path()));
	peer_count_end();
}
END_TEST

START_TEST(a_socket_in_use_is_left_alone)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;
	int fd;

	peer_count_begin();
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), NULL);
	expect_no_listener(local_url("ws+unix", socket_path(), ":/"), NULL, EADDRINUSE, "app.sock");
	expect_no_listener(local_url("ws+unix", socket_path(), ":/other"), NULL, EADDRINUSE, "app.sock");
	expect_service(listener, &client);
	ws_listener_close(listener);
	/* And one of somebody else's, who accepts nothing: its queue is full. */
	fd = bind_raw(socket_path(), true);
	expect_no_listener(local_url("ws+unix", socket_path(), ":/"), NULL, EADDRINUSE, "app.sock");
	ck_assert(exists(socket_path()));
	close(fd);
	ck_assert_int_eq(unlink(socket_path()), 0);
	peer_count_end();
}
END_TEST

/* _i: a file, a directory, a link to a file, a link to a stale socket */
START_TEST(what_is_no_socket_is_left_alone)
{
	struct stat before, after;
	int fd;

	peer_count_begin();
	if (_i == 1) {
		ck_assert_int_eq(mkdir(socket_path(), 0700), 0);
	} else if (_i == 3) {
		close(bind_raw(pki_file("stale.sock"), true));
		ck_assert_int_eq(symlink(pki_file("stale.sock"), socket_path()), 0);
	} else {
		fd = open(pki_file(_i == 0 ? "app.sock" : "precious"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		ck_assert_int_eq(write(fd, "precious\n", 9), 9);
		close(fd);
		if (_i == 2)
			ck_assert_int_eq(symlink(pki_file("precious"), socket_path()), 0);
	}
	ck_assert_int_eq(lstat(socket_path(), &before), 0);
	expect_no_listener(local_url("ws+unix", socket_path(), ":/"), NULL, EADDRINUSE, "app.sock");
	ck_assert_int_eq(lstat(socket_path(), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(before.st_size, after.st_size);
	if (_i == 1)
		ck_assert_int_eq(rmdir(socket_path()), 0);
	else
		ck_assert_int_eq(unlink(socket_path()), 0);
	if (_i == 2)
		ck_assert_int_eq(unlink(pki_file("precious")), 0);
	if (_i == 3)
		ck_assert_int_eq(unlink(pki_file("stale.sock")), 0);
	peer_count_end();
}
END_TEST

START_TEST(the_file_has_the_permissions_asked_for)
{
	static const int modes[] = { -1, 0600, 0660, 0666, 0777, 0200 };
	static const mode_t masks[] = { 0, 077, 0777 };
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	struct stat status;
	mode_t old;

	peer_count_begin();
	if (modes[_i / COUNT(masks)] >= 0)
		options.socket_mode = modes[_i / COUNT(masks)];
	old = umask(masks[_i % COUNT(masks)]);
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), &options);
	/* The program's own mask is as it was. */
	ck_assert_int_eq(umask(old), masks[_i % COUNT(masks)]);
	ck_assert_int_eq(lstat(socket_path(), &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	ck_assert_int_eq(status.st_mode & 07777, modes[_i / COUNT(masks)] >= 0 ? modes[_i / COUNT(masks)] : 0600);
	ws_listener_close(listener);
	ck_assert(!exists(socket_path()));
	peer_count_end();
}
END_TEST

START_TEST(bad_permissions_are_einval)
{
	static const int modes[] = { -1, 01000, 010600, 07777 };
	struct ws_options options = WS_OPTIONS_INIT;

	options.socket_mode = modes[_i];
	expect_no_listener(local_url("ws+unix", socket_path(), ":/"), &options, EINVAL, "socket_mode");
	ck_assert(!exists(socket_path()));
}
END_TEST

/* What another has put there meanwhile is not ours to remove. */
START_TEST(only_our_own_file_is_removed)
{
	struct ws_listener *listener;
	int fd;

	peer_count_begin();
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), NULL);
	/* Kept by a link, its inode can't be given to the next file. */
	ck_assert_int_eq(rename(socket_path(), pki_file("moved.sock")), 0);
	fd = bind_raw(socket_path(), true);
	ws_listener_close(listener);
	ck_assert(exists(socket_path()));
	close(fd);
	ck_assert_int_eq(unlink(socket_path()), 0);
	ck_assert_int_eq(unlink(pki_file("moved.sock")), 0);
	peer_count_end();
}
END_TEST

/* Accepted streams live on when the listener and its file are gone. */
START_TEST(streams_outlive_the_listener)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;
	struct duet duet;

	peer_count_begin();
	listener = listen_at(local_url("ws+unix", socket_path(), ":/"), NULL);
	duet_join(&duet, listener, NULL, &client, "r+");
	ws_listener_close(listener);
	ck_assert(!exists(socket_path()));
	duet_greet(&duet);
	duet_close(&duet);
	peer_count_end();
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_enoent)
{
	expect_no_listener(local_url("ws+unix", pki_file("absent/app.sock"), ":/"), NULL, ENOENT, "app.sock");
}
END_TEST

/* A listener whose certificate is no good leaves no file behind. */
START_TEST(a_listener_that_fails_leaves_no_file)
{
	struct ws_options options = tls_listener_options("server.pem", "other.key");

	expect_no_listener(local_url("wss+unix", socket_path(), ":/"), &options, EKEYREJECTED, "other.key");
	ck_assert(!exists(socket_path()));
}
END_TEST

START_TEST(an_abstract_name_is_free_again_when_closed)
{
	struct ws_options client = tls_client_options();
	struct ws_listener *listener;
	char name[64], url[128];

	peer_count_begin();
	snprintf(name, sizeof name, "@wsfile-again-%ld", (long)getpid());
	snprintf(url, sizeof url, "ws+unix://%s:/x", name);
	for (int i = 0; i < 2; i++) {
		listener = listen_at(url, NULL);
		ck_assert_str_eq(ws_listener_url(listener), url);
		expect_no_listener(url, NULL, EADDRINUSE, "again");
		expect_service(listener, &client);
		ws_listener_close(listener);
		ck_assert(!exists(name));
	}
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("local");
	TCase *tcase = wire_case(suite, "local");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, streams_work_over_a_local_socket, 0, 4);
	tcase_add_loop_test(tcase, much_goes_both_ways_over_a_local_socket, 0, 2);
	tcase_add_test(tcase, tls_checks_a_name_there_too);
	tcase_add_loop_test(tcase, the_path_behind_the_socket_is_served, 0, 3);
	tcase_add_test(tcase, the_sockets_name_is_percent_decoded);
	tcase_add_test(tcase, a_relative_name_is_one_of_the_working_directory);
	tcase_add_loop_test(tcase, bad_urls_are_einval, 0, 8);
	tcase_add_test(tcase, an_absent_socket_is_enoent_and_a_dead_one_refuses);
	tcase_add_test(tcase, no_proxy_leads_to_a_local_socket);
	tcase_add_test(tcase, a_stale_socket_is_replaced);
	tcase_add_test(tcase, a_socket_in_use_is_left_alone);
	tcase_add_loop_test(tcase, what_is_no_socket_is_left_alone, 0, 4);
	tcase_add_loop_test(tcase, the_file_has_the_permissions_asked_for, 0, 18);
	tcase_add_loop_test(tcase, bad_permissions_are_einval, 0, 4);
	tcase_add_test(tcase, only_our_own_file_is_removed);
	tcase_add_test(tcase, streams_outlive_the_listener);
	tcase_add_test(tcase, a_directory_that_is_not_there_is_enoent);
	tcase_add_test(tcase, a_listener_that_fails_leaves_no_file);
	tcase_add_test(tcase, an_abstract_name_is_free_again_when_closed);
	result = wire_run(suite);
	pki_end();
	return result;
}
