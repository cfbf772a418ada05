/* SPDX-License-Identifier: 0BSD */
/* The files that TLS needs, at both ends: what is wrong with them is told by the call that names them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum field { CERT_FILE, KEY_FILE, CA_FILE, CA_DIR, PASSWORD };

struct change {
	enum field field;
	const char *name;		/* of a file, or the text; NULL = NULL */
};

static const struct bad_files {
	struct change changes[3];
	int count;
	int error;
	const char *words;
} bad_files[] = {
	{ { { CERT_FILE, "absent.pem" } }, 1, ENOENT, "absent.pem" },
	{ { { KEY_FILE, "absent.key" } }, 1, ENOENT, "absent.key" },
	{ { { CA_FILE, "absent-ca.pem" } }, 1, ENOENT, "absent-ca.pem" },
	{ { { CA_DIR, "absent-dir" } }, 1, ENOENT, "absent-dir" },
	{ { { CERT_FILE, "empty.pem" } }, 1, EKEYREJECTED, "empty.pem" },
	{ { { CERT_FILE, "garbage.pem" } }, 1, EKEYREJECTED, "garbage.pem" },
	{ { { CERT_FILE, "server.key" } }, 1, EKEYREJECTED, "server.key" },
	{ { { KEY_FILE, "empty.pem" } }, 1, EKEYREJECTED, "empty.pem" },
	{ { { KEY_FILE, "garbage.pem" } }, 1, EKEYREJECTED, "garbage.pem" },
	{ { { KEY_FILE, "server.pem" } }, 1, EKEYREJECTED, "server.pem" },
	{ { { KEY_FILE, NULL } }, 1, EKEYREJECTED, "server.pem" },
	{ { { KEY_FILE, "other.key" } }, 1, EKEYREJECTED, "other.key|server.pem|not that of" },
	{ { { KEY_FILE, "rsa.key" } }, 1, EKEYREJECTED, "rsa.key" },
	{ { { KEY_FILE, "locked.key" }, { PASSWORD, "open sesame" } }, 2, EKEYREJECTED, "locked.key|password" },
	{ { { KEY_FILE, "locked.key" } }, 1, EKEYREJECTED, "locked.key|password" },
	{ { { CA_FILE, "empty.pem" } }, 1, EKEYREJECTED, "empty.pem" },
	{ { { CA_FILE, "garbage.pem" } }, 1, EKEYREJECTED, "garbage.pem" },
};

static void change(struct ws_options *options, const struct change *change)
{
	switch (change->field) {
	case CERT_FILE:
		options->cert_file = pki_file(change->name);
		break;
	case KEY_FILE:
		options->key_file = change->name != NULL ? pki_file(change->name) : NULL;
		break;
	case CA_FILE:
		options->ca_file = pki_file(change->name);
		break;
	case CA_DIR:
		options->ca_file = NULL;
		options->ca_dir = pki_file(change->name);
		break;
	case PASSWORD:
		options->key_password = change->name;
		break;
	}
}

static void check_no_secret(void)
{
	ck_assert_msg(strstr(ws_last_error()->text, "sesame") == NULL, "%s", ws_last_error()->text);
}

/* At ws_listen, not at the first client. */
START_TEST(a_listeners_bad_files_are_told_at_once)
{
	const struct bad_files *bad = &bad_files[_i];
	struct ws_options options = tls_listener_options("server.pem", "server.key");

	peer_count_begin();
	for (int i = 0; i < bad->count; i++)
		change(&options, &bad->changes[i]);
	errno = 0;
	ck_assert_ptr_null(ws_listen("wss://127.0.0.1:0/", &options));
	ck_assert_msg(errno == bad->error, "%s: %s", strerror(errno), ws_last_error()->text);
	tls_check_failure(bad->error, bad->words);
	check_no_secret();
	peer_count_end();
}
END_TEST

/* At ws_fopen_with, whatever the server has to say. */
START_TEST(a_clients_bad_files_are_told_at_once)
{
	const struct bad_files *bad = &bad_files[_i];
	struct ws_options options = tls_client_options();
	unsigned port;
	int listener;

	peer_count_begin();
	listener = peer_listen(&port);
	options.cert_file = pki_file("server.pem");
	options.key_file = pki_file("server.key");
	for (int i = 0; i < bad->count; i++)
		change(&options, &bad->changes[i]);
	tls_expect_refusal(tls_url("wss", "localhost", port), &options, bad->error, bad->words);
	check_no_secret();
	close(listener);
	peer_count_end();
}
END_TEST

START_TEST(unreadable_files_are_eacces)
{
	struct ws_options options = tls_listener_options("server.pem", "sealed.key");
	int fd;

	if (geteuid() == 0)
		return;
	fd = open(pki_file("sealed.key"), O_CREAT | O_WRONLY | O_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	close(fd);
	errno = 0;
	ck_assert_ptr_null(ws_listen("wss://127.0.0.1:0/", &options));
	ck_assert_int_eq(errno, EACCES);
	tls_check_failure(EACCES, "sealed.key");
	ck_assert_int_eq(unlink(pki_file("sealed.key")), 0);
}
END_TEST

START_TEST(a_directory_is_no_key)
{
	struct ws_options options = tls_listener_options("server.pem", "cadir");

	errno = 0;
	ck_assert_ptr_null(ws_listen("wss://127.0.0.1:0/", &options));
	ck_assert_msg(errno != 0, "no errno: %s", ws_last_error()->text);
	tls_check_failure(errno, "cadir");
}
END_TEST

START_TEST(a_wss_listener_needs_a_certificate)
{
	errno = 0;
	ck_assert_ptr_null(ws_listen("wss://127.0.0.1:0/", NULL));
	ck_assert_int_eq(errno, EINVAL);
	tls_check_failure(EINVAL, "cert_file");
}
END_TEST

START_TEST(a_key_with_a_password_is_opened_by_it)
{
	struct ws_options options = tls_listener_options("server.pem", "locked.key"), client = tls_client_options();
	struct ws_listener *listener;
	unsigned port;

	peer_count_begin();
	options.key_password = "secret";
	listener = tls_listen(&options, &port);
	tls_expect_service(listener, &client, "server");
	ck_assert_int_eq(ws_listener_reload(listener), 0);
	tls_expect_service(listener, &client, "server");
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

START_TEST(a_malformed_pin_is_einval)
{
	static const char *const pins[] = { "", "sha256//", "AAAA", "not base64!",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "md5//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=x" };
	const char *list[] = { pins[_i], NULL };
	struct ws_options options = tls_client_options();

	options.pin_sha256 = list;
	tls_expect_refusal("wss://127.0.0.1:1/", &options, EINVAL, "pin_sha256");
}
END_TEST

START_TEST(a_further_certificate_without_its_key_is_told_at_once)
{
	struct ws_certificate more[] = { { pki_file("other.pem"), pki_file("wild.key") }, { NULL, NULL } };
	struct ws_options options = tls_listener_options("server.pem", "server.key");

	options.certificates = more;
	errno = 0;
	ck_assert_ptr_null(ws_listen("wss://127.0.0.1:0/", &options));
	ck_assert_int_eq(errno, EKEYREJECTED);
	tls_check_failure(EKEYREJECTED, "wild.key");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure_files");
	TCase *tcase = wire_case(suite, "files");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, a_listeners_bad_files_are_told_at_once, 0, COUNT(bad_files));
	tcase_add_loop_test(tcase, a_clients_bad_files_are_told_at_once, 0, COUNT(bad_files));
	tcase_add_test(tcase, unreadable_files_are_eacces);
	tcase_add_test(tcase, a_directory_is_no_key);
	tcase_add_test(tcase, a_wss_listener_needs_a_certificate);
	tcase_add_test(tcase, a_key_with_a_password_is_opened_by_it);
	tcase_add_loop_test(tcase, a_malformed_pin_is_einval, 0, 7);
	tcase_add_test(tcase, a_further_certificate_without_its_key_is_told_at_once);
	result = wire_run(suite);
	pki_end();
	return result;
}
