/* SPDX-License-Identifier: 0BSD */
/* HTTP redirects: not followed unless asked for, never downwards, and no secret goes along to another place. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>

#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define STEPS_MAX 24

/* Two servers, one of which may speak TLS; the client is led through steps. */
struct step {
	int at;				/* which server the connection must come to */
	int status;			/* 101 = the end of the way */
	const char *location;		/* "{0}" and "{1}" stand for the servers' host:port; NULL = none */
	const char *target;		/* that the request must have; NULL = any */
	bool secrets;			/* whether Authorization and the added header must come */
};

struct way {
	int listeners[2];
	unsigned ports[2];
	struct tls_setup setups[2];
	const struct step *steps;
	int count, done;
	unsigned close_code;
	pthread_t thread;
};

static void fill_in(const struct way *way, const char *text, char *out, size_t out_bytes)
{
	size_t used = 0;

	for (; *text != '\0'; text++) {
		ck_assert_uint_lt(used + 32, out_bytes);
		if (strncmp(text, "{0}", 3) == 0 || strncmp(text, "{1}", 3) == 0) {
			used += (size_t)snprintf(out + used, out_bytes - used, "127.0.0.1:%u",
			    way->ports[text[1] - '0']);
			text += 2;
		} else {
			out[used++] = *text;
		}
	}
	out[used] = '\0';
}

static void check_request(const struct way *way, const struct step *step, const char *request)
{
	char line[512];

	if (step->target != NULL) {
		snprintf(line, sizeof line, "GET %s HTTP/1.1\r\n", step->target);
		ck_assert_msg(strncmp(request, line, strlen(line)) == 0, "not %s: %s", step->target, request);
	}
	snprintf(line, sizeof line, "\r\nHost: 127.0.0.1:%u\r\n", way->ports[step->at]);
	ck_assert_msg(strstr(request, line) != NULL, "%s", request);
	ck_assert_msg((strcasestr(request, "\r\nAuthorization: ") != NULL) == step->secrets, "step %d: %s", way->done,
	    request);
	ck_assert_msg((strstr(request, "\r\nX-Api-Key: sesame\r\n") != NULL) == step->secrets, "step %d: %s", way->done,
	    request);
	/* What is no secret is the same everywhere. */
	ck_assert_msg(strstr(request, "\r\nSec-WebSocket-Protocol: chat\r\n") != NULL, "%s", request);
}

static void serve_step(struct way *way, const struct step *step)
{
	static const char open[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
	char answer[8000], location[7000];
	struct tls_peer peer;
	char *request;

	tls_peer_open(&peer, peer_accept(way->listeners[step->at]), true, &way->setups[step->at]);
	if (step->location != NULL)
		fill_in(way, step->location, location, sizeof location);
	if (step->status != 101)
		snprintf(answer, sizeof answer, "HTTP/1.1 %d Go\r\n%s%s%sContent-Length: 3\r\n\r\ngo\n", step->status,
		    step->location != NULL ? "Location: " : "", step->location != NULL ? location : "",
		    step->location != NULL ? "\r\n" : "");
	request = tls_peer_serve_answer(&peer, step->status == 101 ? open : answer);
	check_request(way, step, request);
	free(request);
	if (step->status == 101) {
		way->close_code = tls_peer_finish(&peer, NULL, NULL);
	} else {
		tls_peer_notify(&peer);
		tls_peer_fin(&peer);
		tls_peer_end(&peer);
	}
	tls_peer_clear(&peer);
}

static void *lead(void *argument)
{
	struct way *way = argument;

	for (; way->done < way->count; way->done++)
		serve_step(way, &way->steps[way->done]);
	return NULL;
}

/* tls: which of the two speaks TLS. */
static void start_way(struct way *way, const bool tls[2], const struct step *steps)
{
	*way = (struct way){ .steps = steps };
	while (way->count < STEPS_MAX && steps[way->count].status != 0)
		way->count++;
	for (int i = 0; i < 2; i++) {
		way->listeners[i] = peer_listen(&way->ports[i]);
		way->setups[i] = (struct tls_setup){ .plain = !tls[i], .cert_file = pki_file("server.pem"),
			.key_file = pki_file("server.key") };
	}
	peer_thread(&way->thread, lead, way);
}

/* All steps were taken, and nobody waits at either door. */
static void end_way(struct way *way)
{
	peer_join(way->thread);
	ck_assert_int_eq(way->done, way->count);
	for (int i = 0; i < 2; i++) {
		struct pollfd door = { .fd = way->listeners[i], .events = POLLIN };

		ck_assert_msg(poll(&door, 1, 0) == 0, "one connection more at %d", i);
		close(way->listeners[i]);
	}
}

static const char *const subprotocols[] = { "chat", NULL };
static const char *const headers[] = { "X-Api-Key: sesame", NULL };

static struct ws_options options_with(int max_redirects)
{
	struct ws_options options = tls_client_options();

	options.subprotocols = subprotocols;
	options.headers = headers;
	options.userinfo = "user:sesame";
	options.max_redirects = max_redirects;
	return options;
}

static void expect_open(const char *url, const struct ws_options *options)
{
	struct ws_status status = WS_STATUS_INIT;
	FILE *stream = ws_fopen_with(url, "r+", options);

	ck_assert_msg(stream != NULL, "%s: %s", url, ws_last_error()->text);
	ck_assert_int_eq(ws_status(stream, &status), 0);
	ck_assert_int_eq(status.http_status, 101);
	ck_assert_str_eq(status.subprotocol, "chat");
	ck_assert_int_eq(fclose(stream), 0);
}

/* --- off by default --- */

START_TEST(redirects_are_not_followed_unless_asked_for)
{
	static const int statuses[] = { 301, 302, 303, 307, 308 };
	const struct step steps[] = { { 0, statuses[_i], "ws://{1}/there", "/", true }, { 0, 0, NULL, NULL, false } };
	struct ws_options options = options_with(0);
	struct way way;

	peer_count_begin();
	start_way(&way, (const bool[2]){ false, false }, steps);
	tls_expect_refusal(tls_url("ws", "127.0.0.1", way.ports[0]), &options, ECONNABORTED, "redirect");
	ck_assert_int_eq(ws_last_error()->http_status, statuses[_i]);
	end_way(&way);
	peer_count_end();
}
END_TEST

/* --- followed --- */

static const struct trip {
	bool tls[2];
	const char *url;
	int max_redirects;
	struct step steps[5];
} trips[] = {
	/* every way to name a place */
	{ { false, false }, "ws://{0}/here", 1,
	    { { 0, 302, "ws://{0}/there?x=1", "/here", true }, { 0, 101, NULL, "/there?x=1", true } } },
	{ { false, false }, "ws://{0}/here", 1,
	    { { 0, 301, "http://{0}/there", "/here", true }, { 0, 101, NULL, "/there", true } } },
	{ { false, false }, "ws://{0}/here", 1,
	    { { 0, 307, "HTTP://{0}", "/here", true }, { 0, 101, NULL, "/", true } } },
	{ { false, false }, "ws://{0}/a/b/c?q", 1,
	    { { 0, 308, "/d/e?f", "/a/b/c?q", true }, { 0, 101, NULL, "/d/e?f", true } } },
	{ { false, false }, "ws://{0}/a/b/c?q/r", 1,
	    { { 0, 303, "d?f", "/a/b/c?q/r", true }, { 0, 101, NULL, "/a/b/d?f", true } } },
	{ { false, false }, "ws://{0}/a/b/c?q", 1,
	    { { 0, 302, "?f", "/a/b/c?q", true }, { 0, 101, NULL, "/a/b/c?f", true } } },
	{ { false, false }, "ws://{0}/a/b", 1,
	    { { 0, 302, "//{0}/c", "/a/b", true }, { 0, 101, NULL, "/c", true } } },
	{ { false, false }, "ws://{0}/a", 1,
	    { { 0, 302, "/b#part", "/a", true }, { 0, 101, NULL, "/b", true } } },
	/* RFC 3986, section 5.2.4: dots */
	{ { false, false }, "ws://{0}/a/b/c", 1,
	    { { 0, 302, "../d", "/a/b/c", true }, { 0, 101, NULL, "/a/d", true } } },
	{ { false, false }, "ws://{0}/a/b/c", 1,
	    { { 0, 302, "./d/../e", "/a/b/c", true }, { 0, 101, NULL, "/a/b/e", true } } },
	/* another port is another place: no secrets, and not on the way back either */
	{ { false, false }, "ws://{0}/", 3,
	    { { 0, 302, "ws://{1}/x", "/", true }, { 1, 302, "ws://{0}/y", "/x", false },
	    { 0, 101, NULL, "/y", false } } },
	/* nor the one that a Location brings along */
	{ { false, false }, "ws://{0}/", 3,
	    { { 0, 302, "ws://eve:open@{1}/x", "/", true }, { 1, 101, NULL, "/x", false } } },
	/* in TLS the same */
	{ { true, true }, "wss://{0}/", 2,
	    { { 0, 302, "/x", "/", true }, { 0, 302, "wss://{1}/y", "/x", true }, { 1, 101, NULL, "/y", false } } },
	{ { true, true }, "wss://{0}/", 2,
	    { { 0, 302, "https://{0}/x", "/", true }, { 0, 101, NULL, "/x", true } } },
	/* upwards is another place, too */
	{ { false, true }, "ws://{0}/", 1,
	    { { 0, 302, "https://{1}/x", "/", true }, { 1, 101, NULL, "/x", false } } },
};

START_TEST(redirects_are_followed)
{
	const struct trip *trip = &trips[_i];
	struct ws_options options = options_with(trip->max_redirects);
	struct way way;
	char url[256];

	peer_count_begin();
	start_way(&way, trip->tls, trip->steps);
	fill_in(&way, trip->url, url, sizeof url);
	expect_open(url, &options);
	end_way(&way);
	ck_assert_uint_eq(way.close_code, 1000);
	peer_count_end();
}
END_TEST

/* A user in the URL, and a bearer's token, are secrets as well. */
START_TEST(the_urls_user_stays_at_its_place)
{
	static const struct step steps[] = { { 0, 302, "/x", "/", true }, { 0, 302, "ws://{1}/y", "/x", true },
		{ 1, 101, NULL, "/y", false }, { 0, 0, NULL, NULL, false } };
	struct ws_options options = options_with(2);
	struct way way;
	char url[256];

	peer_count_begin();
	start_way(&way, (const bool[2]){ false, false }, steps);
	options.userinfo = NULL;
	options.bearer = _i == 1 ? "sesame" : NULL;
	fill_in(&way, _i == 1 ? "ws://{0}/" : "ws://user:sesame@{0}/", url, sizeof url);
	expect_open(url, &options);
	end_way(&way);
	peer_count_end();
}
END_TEST

/* --- not followed --- */

START_TEST(a_loop_ends_after_max_redirects)
{
	static const int maxima[] = { 1, 3, 20 };
	struct step steps[STEPS_MAX + 1] = { { 0 } };
	struct ws_options options = options_with(maxima[_i]);
	struct way way;

	peer_count_begin();
	for (int i = 0; i < maxima[_i] + 1; i++)
		steps[i] = (struct step){ 0, 302, "/again", NULL, true };
	start_way(&way, (const bool[2]){ false, false }, steps);
	tls_expect_refusal(tls_url("ws", "127.0.0.1", way.ports[0]), &options, ECONNABORTED, "redirects");
	ck_assert_int_eq(ws_last_error()->http_status, 302);
	end_way(&way);
	peer_count_end();
}
END_TEST

START_TEST(max_redirects_has_its_bounds)
{
	struct ws_options options = options_with(_i == 0 ? -1 : 21);

	tls_expect_refusal("ws://127.0.0.1:1/", &options, EINVAL, "max_redirects");
}
END_TEST

static const struct astray {
	bool tls;			/* the first server */
	const char *location;
	const char *words;
} astray[] = {
	{ false, NULL, "Location" },
	{ false, "", "" },
	{ false, "ftp://{1}/", "" },
	{ false, "mailto:someone@example.org", "" },
	{ false, "file:///etc/passwd", "" },
	{ false, "ws+unix:///tmp/socket", "" },
	{ false, "http:///x", "" },
	{ false, "ws://{1}:99999/", "" },
	{ false, "ws://no such host/", "" },
	{ false, "/a b", "" },
	{ false, "/caf\xc3\xa9", "" },
	{ true, "ws://{1}/", "wss to ws" },
	{ true, "http://{1}/", "wss to ws" },
	{ true, "HTTP://{0}/", "wss to ws" },
};

START_TEST(a_redirect_that_leads_nowhere_is_refused)
{
	const struct astray *one = &astray[_i];
	const struct step steps[] = { { 0, 302, one->location, "/", true }, { 0, 0, NULL, NULL, false } };
	struct ws_options options = options_with(5);
	struct way way;

	peer_count_begin();
	start_way(&way, (const bool[2]){ one->tls, false }, steps);
	tls_expect_refusal(tls_url(one->tls ? "wss" : "ws", "127.0.0.1", way.ports[0]), &options, EPROTO, one->words);
	ck_assert_int_eq(ws_last_error()->http_status, 302);
	ck_assert_ptr_null(strstr(ws_last_error()->text, "sesame"));
	end_way(&way);
	peer_count_end();
}
END_TEST

/* One that names another host, or another scheme, is not taken for a path at the same one. */
START_TEST(a_location_that_is_too_long_leads_nowhere)
{
	static const char *const starts[] = { "//other/", "http://other/", "ws://{1}/", "/" };
	char location[5100];
	const struct step steps[] = { { 0, 302, location, "/", true }, { 0, 0, NULL, NULL, false } };
	struct ws_options options = options_with(5);
	size_t length = strlen(starts[_i]);
	struct way way;

	peer_count_begin();
	memcpy(location, starts[_i], length);
	memset(location + length, 'x', 5000);
	location[length + 5000] = '\0';
	start_way(&way, (const bool[2]){ false, false }, steps);
	tls_expect_refusal(tls_url("ws", "127.0.0.1", way.ports[0]), &options, EPROTO, "");
	ck_assert_int_eq(ws_last_error()->http_status, 302);
	end_way(&way);
	peer_count_end();
}
END_TEST

/* 300, 304 and 305 lead nowhere, whatever Location says. */
START_TEST(other_statuses_are_no_redirects)
{
	static const int statuses[] = { 200, 201, 300, 304, 305, 401, 404, 503 };
	const struct step steps[] = { { 0, statuses[_i], "/there", "/", true }, { 0, 0, NULL, NULL, false } };
	struct ws_options options = options_with(5);
	struct way way;

	peer_count_begin();
	start_way(&way, (const bool[2]){ false, false }, steps);
	tls_expect_refusal(tls_url("ws", "127.0.0.1", way.ports[0]), &options,
	    statuses[_i] == 401 ? EACCES : ECONNABORTED, "");
	ck_assert_int_eq(ws_last_error()->http_status, statuses[_i]);
	end_way(&way);
	peer_count_end();
}
END_TEST

/* The new place is refused for what it is: its own error, and no status of the step before. */
START_TEST(the_error_of_the_new_place_is_told)
{
	static const struct step steps[] = { { 0, 302, "wss://{1}/", "/", true }, { 0, 0, NULL, NULL, false } };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct ws_options options = options_with(1);
	socklen_t size = sizeof address;
	struct way way;
	int holder;

	peer_count_begin();
	start_way(&way, (const bool[2]){ false, true }, steps);
	/* Bound and not listening: nobody else can have the port meanwhile. */
	holder = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(holder, (struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(getsockname(holder, (struct sockaddr *)&address, &size), 0);
	way.ports[1] = ntohs(address.sin_port);
	tls_expect_refusal(tls_url("ws", "127.0.0.1", way.ports[0]), &options, ECONNREFUSED, "");
	ck_assert_int_eq(ws_last_error()->http_status, 0);
	close(holder);
	end_way(&way);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("redirect");
	TCase *tcase = wire_case(suite, "redirect");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, redirects_are_not_followed_unless_asked_for, 0, 5);
	tcase_add_loop_test(tcase, redirects_are_followed, 0, COUNT(trips));
	tcase_add_loop_test(tcase, the_urls_user_stays_at_its_place, 0, 2);
	tcase_add_loop_test(tcase, a_loop_ends_after_max_redirects, 0, 3);
	tcase_add_loop_test(tcase, max_redirects_has_its_bounds, 0, 2);
	tcase_add_loop_test(tcase, a_redirect_that_leads_nowhere_is_refused, 0, COUNT(astray));
	tcase_add_loop_test(tcase, a_location_that_is_too_long_leads_nowhere, 0, 4);
	tcase_add_loop_test(tcase, other_statuses_are_no_redirects, 0, 8);
	tcase_add_test(tcase, the_error_of_the_new_place_is_told);
	result = wire_run(suite);
	pki_end();
	return result;
}
