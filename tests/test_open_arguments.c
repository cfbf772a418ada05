/* SPDX-License-Identifier: 0BSD */
/* Opening as a client with arguments that no packet should be sent for. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "peer.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static int silent;			/* a server that would notice a connection */
static unsigned silent_port;

static void silent_begin(void)
{
	peer_count_begin();
	silent = peer_listen(&silent_port);
}

static void silent_end(void)
{
	struct pollfd pending = { silent, POLLIN, 0 };

	ck_assert_msg(poll(&pending, 1, 0) == 0, "a connection was made");
	close(silent);
	peer_count_end();
}

static const struct {
	const char *format;		/* %u = the port of the silent server */
	int error;
} bad_urls[] = {
	{ "", EINVAL },
	{ "ws", EINVAL },
	{ "ws:", EINVAL },
	{ "ws://", EINVAL },
	{ "ws:///path", EINVAL },
	{ "127.0.0.1:%u", EINVAL },
	{ "//127.0.0.1:%u/", EINVAL },
	{ "http://127.0.0.1:%u/", EINVAL },
	{ "https://127.0.0.1:%u/", EINVAL },
	{ "ftp://127.0.0.1:%u/", EINVAL },
	{ "wsx://127.0.0.1:%u/", EINVAL },
	{ "ws:/127.0.0.1:%u/", EINVAL },
	{ "ws://:%u/", EINVAL },
	{ "ws://127.0.0.1:%u/#fragment", EINVAL },
	{ "ws://127.0.0.1:%u/a b", EINVAL },
	{ "ws://127.0.0.1:%u/a\r\nX: y", EINVAL },
	{ "ws://127.0.0.1:%u/\x01", EINVAL },
	{ "ws://127.0.0.1:%u/\xc3\xa9", EINVAL },
	{ "ws://127.0.0.1:%ux/", EINVAL },
	{ "ws://127.0.0.1:-%u/", EINVAL },
	{ "ws://127.0.0.1:+%u/", EINVAL },
	{ "ws://127.0.0.1: %u/", EINVAL },
	{ "ws://127.0.0.1:0/", EINVAL },
	{ "ws://127.0.0.1:65536/", EINVAL },
	{ "ws://127.0.0.1:4294967376/", EINVAL },
	{ "ws://127.0.0.1:99999999999999999999/", EINVAL },
	{ "ws://[127.0.0.1:%u/", EINVAL },
	{ "ws://[::1:%u/", EINVAL },
	{ "ws://::1:%u/", EINVAL },
	{ "wss://127.0.0.1:%u/#fragment", EINVAL },
	{ "ws+unix://", EINVAL },
	{ "ws+unix://@:/", EINVAL },
};

START_TEST(a_bad_url_is_refused_before_any_packet)
{
	char url[128];

	silent_begin();
	snprintf(url, sizeof url, bad_urls[_i].format, silent_port);
	duo_expect_failure(url, "r+", NULL, bad_urls[_i].error);
	silent_end();
}
END_TEST

START_TEST(no_url_at_all_is_refused)
{
	silent_begin();
	duo_expect_failure(NULL, "r+", NULL, EINVAL);
	silent_end();
}
END_TEST

static const char *const bad_modes[] = { "", "a", "a+", "x", "rw", "wr", "R", "r++", "+", "+r", "rx", "r,ccs=utf-8",
	" r", "r ", "b", "t", "rbb", "w+bx" };

START_TEST(a_bad_mode_is_refused_before_any_packet)
{
	char url[64];

	silent_begin();
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", silent_port);
	duo_expect_failure(url, bad_modes[_i], NULL, EINVAL);
	duo_expect_failure(url, NULL, NULL, EINVAL);
	silent_end();
}
END_TEST

static const char *const bad_headers[] = { "", "no colon", ": no name", "X", "X : y", "X: y\r\nInjected: 1", "X: y\n",
	"X: y\r", "X\r\n: y", "X y: z", "X: \x01", "Host: other", "Upgrade: h2c", "connection: close",
	"Sec-WebSocket-Key: abc", "sec-websocket-version: 8" };

START_TEST(a_bad_header_is_refused_before_any_packet)
{
	struct ws_options options = WS_OPTIONS_INIT;
	const char *headers[] = { "X-Good: yes", bad_headers[_i], NULL };
	char url[64];

	silent_begin();
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", silent_port);
	options.headers = headers;
	duo_expect_failure(url, "r+", &options, EINVAL);
	silent_end();
}
END_TEST

#define SET(name, value) static void set_##name##_##value(struct ws_options *options) { options->name = bad_##value; }
enum { bad_minus_two = -2, bad_zero = 0, bad_one = 1, bad_huge = 0x7fffffff };
static const char bad_line[] = "x\r\ny: z";
static const char *const bad_list[] = { "good", "not a token", NULL };
static const char *const bad_twice[] = { "same", "same", NULL };

SET(size, one)
SET(origin, line)
SET(user_agent, line)
SET(subprotocols, list)
SET(subprotocols, twice)
SET(max_header_bytes, one)
SET(max_header_bytes, huge)
SET(max_frame_bytes, zero)
SET(max_frame_bytes, huge)
SET(recv_buffer_bytes, one)
SET(recv_buffer_bytes, huge)
SET(send_buffer_bytes, one)
SET(send_buffer_bytes, huge)
SET(stdio_buffer_bytes, huge)
SET(connect_timeout_ms, minus_two)
SET(handshake_timeout_ms, minus_two)
SET(read_timeout_ms, minus_two)
SET(write_timeout_ms, minus_two)
SET(close_timeout_ms, minus_two)
SET(linger_ms, minus_two)

static void set_on_text(struct ws_options *options)
{
	options->on_text = (enum ws_on_text)2;
}

static void (*const bad_options[])(struct ws_options *) = { set_size_one, set_origin_line, set_user_agent_line,
	set_subprotocols_list, set_subprotocols_twice, set_max_header_bytes_one, set_max_header_bytes_huge,
	set_max_frame_bytes_zero, set_max_frame_bytes_huge, set_recv_buffer_bytes_one, set_recv_buffer_bytes_huge,
	set_send_buffer_bytes_one, set_send_buffer_bytes_huge, set_stdio_buffer_bytes_huge,
	set_connect_timeout_ms_minus_two, set_handshake_timeout_ms_minus_two, set_read_timeout_ms_minus_two,
	set_write_timeout_ms_minus_two, set_close_timeout_ms_minus_two, set_linger_ms_minus_two, set_on_text };

START_TEST(a_bad_option_is_refused_before_any_packet)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char url[64];

	silent_begin();
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", silent_port);
	bad_options[_i](&options);
	duo_expect_failure(url, "r+", &options, EINVAL);
	silent_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open_arguments");
	TCase *tcase = tcase_create("before any packet");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_bad_url_is_refused_before_any_packet, 0, COUNT(bad_urls));
	tcase_add_test(tcase, no_url_at_all_is_refused);
	tcase_add_loop_test(tcase, a_bad_mode_is_refused_before_any_packet, 0, COUNT(bad_modes));
	tcase_add_loop_test(tcase, a_bad_header_is_refused_before_any_packet, 0, COUNT(bad_headers));
	tcase_add_loop_test(tcase, a_bad_option_is_refused_before_any_packet, 0, COUNT(bad_options));
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
