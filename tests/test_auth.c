/* SPDX-License-Identifier: 0BSD */
/* Who we are: Basic, Bearer and other headers as they are sent; how a refusal is told; and no text shows a secret. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static struct ws_options plain_options(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.proxy = "";
	return options;
}

/* --- what is sent --- */

static void keep_request(struct tls_server *server)
{
	server->argument = tls_peer_serve_handshake(&server->peer);
	server->close_code = tls_peer_finish(&server->peer, NULL, NULL);
}

/* The values of all fields of that name in a request, by newline: "" = none. */
static void fields(const char *request, const char *name, char *out, size_t out_bytes)
{
	size_t length = strlen(name), used = 0;

	out[0] = '\0';
	for (const char *line = strstr(request, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
		const char *value = line + 2 + length + 2;

		if (strncasecmp(line + 2, name, length) != 0 || strncmp(line + 2 + length, ": ", 2) != 0)
			continue;
		used += (size_t)snprintf(out + used, out_bytes - used, "%s%.*s", used > 0 ? "\n" : "",
		    (int)strcspn(value, "\r"), value);
		ck_assert_uint_lt(used, out_bytes);
	}
}

static const struct sent {
	const char *user;		/* in the URL, with its @ */
	const char *userinfo, *bearer, *header;	/* options */
	const char *authorization;	/* what comes of it */
} sent[] = {
	{ "", NULL, NULL, NULL, "" },
	{ "user:pass@", NULL, NULL, NULL, "Basic dXNlcjpwYXNz" },
	{ "user:p%40ss%20w%C3%B6rd:%2541@", NULL, NULL, NULL, "Basic dXNlcjpwQHNzIHfDtnJkOiU0MQ==" },
	{ "user:@", NULL, NULL, NULL, "Basic dXNlcjo=" },
	/* RFC 7617, section 2: the colon belongs to the credentials. */
	{ "user@", NULL, NULL, NULL, "Basic dXNlcjo=" },
	{ ":only@", NULL, NULL, NULL, "Basic Om9ubHk=" },
	{ "", "user:p%40ss", NULL, NULL, "Basic dXNlcjpwJTQwc3M=" },
	{ "", "user:p@ss w\xc3\xb6rd:%41", NULL, NULL, "Basic dXNlcjpwQHNzIHfDtnJkOiU0MQ==" },
	{ "", NULL, "mF_9.B5f-4.1JqM", NULL, "Bearer mF_9.B5f-4.1JqM" },
	{ "", NULL, NULL, "Authorization: Negotiate abc=", "Negotiate abc=" },
};

/* _i: over ws, then over wss */
START_TEST(credentials_are_sent_as_they_should_be)
{
	const struct sent *one = &sent[_i / 2];
	struct tls_setup setup = { .plain = _i % 2 == 0, .cert_file = pki_file("server.pem"),
		.key_file = pki_file("server.key") };
	struct tls_server server = { .setup = &setup, .body = keep_request };
	struct ws_options options = tls_client_options();
	const char *headers[] = { one->header, NULL };
	char url[256], got[512];
	FILE *stream;

	peer_count_begin();
	options.userinfo = one->userinfo;
	options.bearer = one->bearer;
	options.headers = headers;
	tls_server_start(&server);
	snprintf(url, sizeof url, "%s://%slocalhost:%u/x?y", setup.plain ? "ws" : "wss", one->user, server.port);
	stream = ws_fopen_with(url, "r+", &options);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	ck_assert_int_eq(fclose(stream), 0);
	tls_server_join(&server);
	fields(server.argument, "Authorization", got, sizeof got);
	ck_assert_str_eq(got, one->authorization);
	/* The user stands nowhere else: not in the target, not in Host. */
	ck_assert_int_eq(strncmp(server.argument, "GET /x?y HTTP/1.1\r\n", 19), 0);
	fields(server.argument, "Host", got, sizeof got);
	ck_assert_int_eq(strncmp(got, "localhost:", 10), 0);
	free(server.argument);
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

/* Two ways to say who we are contradict each other. */
static const struct sent conflicts[] = {
	{ "user:sesame@", "user:sesame", NULL, NULL, "" },
	{ "user:sesame@", NULL, "sesame", NULL, "" },
	{ "", "user:sesame", "sesame", NULL, "" },
	{ "user:sesame@", NULL, NULL, "Authorization: Basic sesame", "" },
	{ "", "user:sesame", NULL, "authorization: Basic sesame", "" },
	{ "", NULL, "sesame", "AUTHORIZATION: Basic sesame", "" },
	/* And these are none at all. */
	{ "", NULL, "sesame\r\nX: y", NULL, "" },
	{ "", NULL, "sesame open", NULL, "" },
	{ "", NULL, "", NULL, "" },
	{ "", "user:sesame\n", NULL, NULL, "" },
	{ "user:sesame%0d%0aX:y@", NULL, NULL, NULL, "" },
	{ "", NULL, NULL, "X-Secret: sesame\r\nX: y", "" },
};

static void check_no_secret(const char *what)
{
	const char *text = ws_last_error()->text;

	ck_assert_msg(strcasestr(text, "sesame") == NULL, "%s: %s", what, text);
	/* "user:sesame" */
	ck_assert_msg(strstr(text, "dXNlcjpzZXNhbWU") == NULL, "%s: %s", what, text);
}

START_TEST(contradictions_are_einval)
{
	const struct sent *one = &conflicts[_i];
	struct ws_options options = plain_options();
	const char *headers[] = { one->header, NULL };
	char url[256];

	options.userinfo = one->userinfo;
	options.bearer = one->bearer;
	options.headers = headers;
	snprintf(url, sizeof url, "ws://%s127.0.0.1:1/", one->user);
	tls_expect_refusal(url, &options, EINVAL, "");
	check_no_secret(url);
}
END_TEST

/* --- refusals --- */

static const struct refusal {
	const char *answer;
	int error, http_status;
	const char *words;
} refusals[] = {
	{ "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"the vault\"\r\nContent-Length: 0\r\n\r\n",
	    EACCES, 401, "401|Unauthorized|the vault" },
	{ "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=vault, error=\"invalid_token\"\r\n\r\n",
	    EACCES, 401, "401|vault" },
	{ "HTTP/1.1 401 No\r\nwww-authenticate: Negotiate\r\nWWW-Authenticate: basic charset=\"UTF-8\", "
	    "REALM = \"a \\\"quoted\\\" one\"\r\n\r\n", EACCES, 401, "401|quoted" },
	{ "HTTP/1.1 401 No\r\n\r\n", EACCES, 401, "401" },
	{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n", EACCES, 403, "403|Forbidden" },
	{ "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"the gate\"\r\n\r\n",
	    EACCES, 407, "407|the gate" },
	{ "HTTP/1.1 404 Not Found\r\n\r\n", ECONNABORTED, 404, "404" },
	{ "HTTP/1.1 500 Oops\r\n\r\n", ECONNABORTED, 500, "500" },
	{ "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n", ECONNABORTED, 302, "302" },
	{ "HTTP/1.1 200 OK\r\n\r\n", ECONNABORTED, 200, "200" },
	{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", EPROTO, 101, "" },
	{ "SSH-2.0\r\n", EPROTO, 0, "" },
};

static void refuse(struct tls_server *server)
{
	char *request = tls_peer_serve_answer(&server->peer, server->argument);

	/* It was really told. */
	ck_assert_ptr_nonnull(strstr(request, "sesame"));
	free(request);
	tls_peer_notify(&server->peer);
	tls_peer_fin(&server->peer);
	tls_peer_end(&server->peer);
}

/* _i: over ws, then over wss */
START_TEST(a_refusal_is_told_with_status_and_realm)
{
	const struct refusal *one = &refusals[_i / 2];
	struct tls_setup setup = { .plain = _i % 2 == 0, .cert_file = pki_file("server.pem"),
		.key_file = pki_file("server.key") };
	struct tls_server server = { .setup = &setup, .body = refuse, .argument = (void *)(uintptr_t)one->answer };
	struct ws_options options = tls_client_options();
	const char *headers[] = { "X-Secret: sesame", NULL };

	peer_count_begin();
	options.userinfo = "user:sesame";
	options.headers = headers;
	tls_server_start(&server);
	tls_expect_refusal(tls_url(setup.plain ? "ws" : "wss", "localhost", server.port), &options, one->error,
	    one->words);
	ck_assert_int_eq(ws_last_error()->http_status, one->http_status);
	check_no_secret(one->answer);
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

/* A realm comes from anybody: one line, and not without end. */
START_TEST(a_realm_can_not_forge_the_text)
{
	char answer[4096], text[2048];
	struct tls_setup setup = { .plain = true };
	struct tls_server server = { .setup = &setup, .body = refuse, .argument = answer };
	struct ws_options options = plain_options();

	peer_count_begin();
	memset(text, 'r', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	snprintf(answer, sizeof answer, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"\x1b[2Jred%s\"\r\n\r\n",
	    _i == 0 ? "" : text);
	options.bearer = "sesame";
	tls_server_start(&server);
	/* An escape in a header's value is no HTTP: either way nothing of it is shown. */
	ck_assert_ptr_null(ws_fopen_with(tls_url("ws", "localhost", server.port), "r", &options));
	ck_assert_msg(strchr(ws_last_error()->text, '\x1b') == NULL, "%s", ws_last_error()->text);
	ck_assert_uint_lt(strlen(ws_last_error()->text), 256);
	tls_server_clear(&server);
	peer_count_end();
}
END_TEST

/* --- no text shows a secret --- */

static const char *const bad_urls[] = {
	"ws://user:sesame@127.0.0.1:99999/",
	"ws://user:sesame@127.0.0.1:port/",
	"ws://user:sesame@/",
	"ws://user:sesame@[::1/",
	"ws://user:sesame@ho st/",
	"ws://user:sesame@host/ /",
	"ws://user:ses%zzame@host/sesame%",
	"ws://user:sesame@host/#part",
	"ws://user:sesame@no-such-host.invalid/",
	"ws://user:sesame@127.0.0.1:1/",
	"wss://user:sesame@127.0.0.1:1/",
	"http://user:sesame@127.0.0.1/",
	"user:sesame@127.0.0.1",
	"wss://user:sesame\x01@127.0.0.1/",
	"ws+unix://user:sesame@/no/such/socket",
	"ws:/user:sesame@127.0.0.1/",
};

START_TEST(a_failing_url_keeps_its_secret)
{
	struct ws_options options = plain_options();

	options.connect_timeout_ms = 5000;
	errno = 0;
	ck_assert_ptr_null(ws_fopen_with(bad_urls[_i], "r+", &options));
	ck_assert_int_ne(errno, 0);
	check_no_secret(bad_urls[_i]);
}
END_TEST

static const char *const bad_proxies[] = {
	"http://user:sesame@127.0.0.1:1",
	"socks5://user:sesame@127.0.0.1:1",
	"user:sesame@127.0.0.1:1",
	"ftp://user:sesame@127.0.0.1:1",
	"https://user:sesame@127.0.0.1:1",
	"http://user:sesame@127.0.0.1:99999",
	"http://user:sesame@",
	"http://user:sesame%zz@127.0.0.1:1",
	"http://user:sesame@no-such-host.invalid:1",
};

START_TEST(a_failing_proxy_keeps_its_secret)
{
	struct ws_options options = plain_options();

	options.proxy = bad_proxies[_i];
	options.connect_timeout_ms = 5000;
	errno = 0;
	ck_assert_ptr_null(ws_fopen_with("ws://127.0.0.1:1/", "r+", &options));
	ck_assert_int_ne(errno, 0);
	check_no_secret(bad_proxies[_i]);
}
END_TEST

/* A listener's own answer, when it refuses, shows nothing of the request either. */
START_TEST(a_listener_does_not_repeat_what_it_was_told)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpzZXNhbWU=\r\n"
	    "X-Secret: sesame\r\n\r\n";
	struct ws_listener *listener;
	char *answer;
	int fd;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(listener);
	fd = peer_connect(peer_url_port(ws_listener_url(listener)));
	answer = peer_client_raw(fd, request, sizeof request - 1);
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 4", 10), 0);
	ck_assert_ptr_null(strstr(answer, "esame"));
	ck_assert_ptr_null(strstr(answer, "dXNlcjpz"));
	free(answer);
	close(fd);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth");
	TCase *tcase = wire_case(suite, "auth");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, credentials_are_sent_as_they_should_be, 0, COUNT(sent) * 2);
	tcase_add_loop_test(tcase, contradictions_are_einval, 0, COUNT(conflicts));
	tcase_add_loop_test(tcase, a_refusal_is_told_with_status_and_realm, 0, COUNT(refusals) * 2);
	tcase_add_loop_test(tcase, a_realm_can_not_forge_the_text, 0, 2);
	tcase_add_loop_test(tcase, a_failing_url_keeps_its_secret, 0, COUNT(bad_urls));
	tcase_add_loop_test(tcase, a_failing_proxy_keeps_its_secret, 0, COUNT(bad_proxies));
	tcase_add_test(tcase, a_listener_does_not_repeat_what_it_was_told);
	result = wire_run(suite);
	pki_end();
	return result;
}
