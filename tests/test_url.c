/* SPDX-License-Identifier: 0BSD */
/* URLs: what is taken, what is refused, and how they are written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "secrets.h"
#include "url.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const struct good {
	const char *text;
	enum wsf_url_use use;
	bool secure;
	const char *userinfo, *host;
	unsigned port;
	const char *target;
	bool ipv6;
	const char *host_header;
} good_urls[] = {
	{"ws://example.org", WSF_URL_CONNECT, false, NULL, "example.org", 80, "/", false, "example.org"},
	{"wss://example.org", WSF_URL_CONNECT, true, NULL, "example.org", 443, "/", false, "example.org"},
	{"ws://example.org/", WSF_URL_CONNECT, false, NULL, "example.org", 80, "/", false, "example.org"},
	{"ws://example.org", WSF_URL_LISTEN, false, NULL, "example.org", 80, "/", false, "example.org"},
	{"WS://EXAMPLE.Org/A", WSF_URL_CONNECT, false, NULL, "example.org", 80, "/A", false, "example.org"},
	{"wSs://h/", WSF_URL_CONNECT, true, NULL, "h", 443, "/", false, "h"},
	/* ports */
	{"ws://h:80/", WSF_URL_CONNECT, false, NULL, "h", 80, "/", false, "h"},
	{"ws://h:443/", WSF_URL_CONNECT, false, NULL, "h", 443, "/", false, "h:443"},
	{"wss://h:443/", WSF_URL_CONNECT, true, NULL, "h", 443, "/", false, "h"},
	{"wss://h:80/", WSF_URL_CONNECT, true, NULL, "h", 80, "/", false, "h:80"},
	{"ws://h:1", WSF_URL_CONNECT, false, NULL, "h", 1, "/", false, "h:1"},
	{"ws://h:65535", WSF_URL_CONNECT, false, NULL, "h", 65535, "/", false, "h:65535"},
	{"ws://h:", WSF_URL_CONNECT, false, NULL, "h", 80, "/", false, "h"},
	{"wss://h:/x", WSF_URL_CONNECT, true, NULL, "h", 443, "/x", false, "h"},
	{"ws://h:0008080/", WSF_URL_CONNECT, false, NULL, "h", 8080, "/", false, "h:8080"},
	{"ws://127.0.0.1:0/", WSF_URL_LISTEN, false, NULL, "127.0.0.1", 0, "/", false, "127.0.0.1:0"},
	{"ws://[::1]:0", WSF_URL_LISTEN, false, NULL, "::1", 0, "/", true, "[::1]:0"},
	/* IPv6 literals */
	{"ws://[::1]", WSF_URL_CONNECT, false, NULL, "::1", 80, "/", true, "[::1]"},
	{"ws://[::]:9/x", WSF_URL_CONNECT, false, NULL, "::", 9, "/x", true, "[::]:9"},
	{"wss://[2001:DB8::A]:443/", WSF_URL_CONNECT, true, NULL, "2001:db8::a", 443, "/", true, "[2001:db8::a]"},
	{"ws://[::ffff:192.0.2.1]?q", WSF_URL_CONNECT, false, NULL, "::ffff:192.0.2.1", 80, "/?q", true,
	    "[::ffff:192.0.2.1]"},
	{"ws://[1:2:3:4:5:6:7:8]:", WSF_URL_CONNECT, false, NULL, "1:2:3:4:5:6:7:8", 80, "/", true,
	    "[1:2:3:4:5:6:7:8]"},
	/* targets are sent as they stand */
	{"ws://h/a/b?c=d&e=f", WSF_URL_CONNECT, false, NULL, "h", 80, "/a/b?c=d&e=f", false, "h"},
	{"ws://h?q", WSF_URL_CONNECT, false, NULL, "h", 80, "/?q", false, "h"},
	{"ws://h:8?", WSF_URL_CONNECT, false, NULL, "h", 8, "/?", false, "h:8"},
	{"ws://h/%00%0d%0A%zz", WSF_URL_CONNECT, false, NULL, "h", 80, "/%00%0d%0A%zz", false, "h"},
	{"ws://h//x/../y", WSF_URL_CONNECT, false, NULL, "h", 80, "//x/../y", false, "h"},
	{"ws://h/a@b:c", WSF_URL_CONNECT, false, NULL, "h", 80, "/a@b:c", false, "h"},
	{"ws://h/~", WSF_URL_CONNECT, false, NULL, "h", 80, "/~", false, "h"},
	{"ws://a-b_c.d~e.", WSF_URL_CONNECT, false, NULL, "a-b_c.d~e.", 80, "/", false, "a-b_c.d~e."},
	/* userinfo */
	{"ws://user:secret@h/", WSF_URL_CONNECT, false, "user:secret", "h", 80, "/", false, "h"},
	{"ws://User:SeCret@H:81/", WSF_URL_CONNECT, false, "User:SeCret", "h", 81, "/", false, "h:81"},
	{"ws://user@h", WSF_URL_CONNECT, false, "user:", "h", 80, "/", false, "h"},
	{"ws://user:@h", WSF_URL_CONNECT, false, "user:", "h", 80, "/", false, "h"},
	{"ws://:secret@h", WSF_URL_CONNECT, false, ":secret", "h", 80, "/", false, "h"},
	{"ws://@h", WSF_URL_CONNECT, false, NULL, "h", 80, "/", false, "h"},
	{"ws://us%65r%3b@h", WSF_URL_CONNECT, false, "user;:", "h", 80, "/", false, "h"},
	{"ws://u:p%3Aq@h", WSF_URL_CONNECT, false, "u:p:q", "h", 80, "/", false, "h"},
	{"ws://u:a:b@[::1]:8/", WSF_URL_CONNECT, false, "u:a:b", "::1", 8, "/", true, "[::1]:8"},
	{"ws://u%40x:%2f%3A%3f%23%25%20%c3%A9@h", WSF_URL_CONNECT, false, "u@x:/:?#% \xc3\xa9", "h", 80, "/", false,
	    "h"},
};

START_TEST(a_good_url_is_split_into_its_parts)
{
	for (size_t i = 0; i < COUNT(good_urls); i++) {
		const struct good *want = &good_urls[i];
		struct wsf_url url;
		char reason[200] = "?", header[300];

		ck_assert_msg(wsf_url_parse(&url, want->text, want->use, reason, sizeof(reason)) == 0, "%s: %s",
		    want->text, reason);
		ck_assert_msg(url.secure == want->secure, "%s: secure", want->text);
		ck_assert_msg(url.ipv6 == want->ipv6, "%s: ipv6", want->text);
		ck_assert_msg(url.port == want->port, "%s: port %u", want->text, url.port);
		ck_assert_pstr_eq(url.userinfo, want->userinfo);
		ck_assert_ptr_null(url.socket);
		ck_assert_str_eq(url.host, want->host);
		ck_assert_str_eq(url.target, want->target);
		ck_assert_int_eq(wsf_url_host_header(&url, header, sizeof(header)), 0);
		ck_assert_str_eq(header, want->host_header);
		wsf_url_clear(&url);
	}
}
END_TEST

static char *long_text(const char *prefix, char fill, size_t length, const char *suffix)
{
	size_t start = strlen(prefix), end = strlen(suffix);
	char *text = malloc(start + length + end + 1);

	ck_assert_ptr_nonnull(text);
	memcpy(text, prefix, start);
	memset(text + start, fill, length);
	memcpy(text + start + length, suffix, end + 1);
	return text;
}

static const struct local {
	const char *text;
	bool secure;
	const char *socket, *target;
} local_urls[] = {
	{"ws+unix:///run/app.sock", false, "/run/app.sock", "/"},
	{"wss+unix:///run/app.sock", true, "/run/app.sock", "/"},
	{"WSS+Unix:///Run/App", true, "/Run/App", "/"},
	{"ws+unix:///run/app.sock:/", false, "/run/app.sock", "/"},
	{"ws+unix:///run/app.sock:/a/b?c=d", false, "/run/app.sock", "/a/b?c=d"},
	{"ws+unix:///run/app.sock?c=d", false, "/run/app.sock", "/?c=d"},
	{"ws+unix:///run/app.sock?", false, "/run/app.sock", "/?"},
	{"wss+unix:///run/app.sock:/a:b@c?:/%zz", true, "/run/app.sock", "/a:b@c?:/%zz"},
	{"ws+unix:///x?a:/b", false, "/x", "/?a:/b"},
	/* relative and abstract */
	{"ws+unix://app.sock:/a", false, "app.sock", "/a"},
	{"ws+unix://./a/../b", false, "./a/../b", "/"},
	{"ws+unix://@app", false, "@app", "/"},
	{"ws+unix://@/run/app:/x", false, "@/run/app", "/x"},
	{"ws+unix://%40app", false, "@app", "/"},
	{"ws+unix://./@app", false, "./@app", "/"},
	/* no authority: what would be one is a part of the path */
	{"ws+unix://user@host/x", false, "user@host/x", "/"},
	/* escapes are the socket's, not the target's */
	{"ws+unix:///a%3ab%3Fc%25d%20e%23f%c3%a9:/%41", false, "/a:b?c%d e#f\xc3\xa9", "/%41"},
	{"ws+unix:///%01%7f%ff", false, "/\x01\x7f\xff", "/"},
};

START_TEST(a_local_url_is_split_into_socket_and_target)
{
	static const enum wsf_url_use uses[] = {WSF_URL_CONNECT, WSF_URL_LISTEN};

	for (size_t i = 0; i < 2 * COUNT(local_urls); i++) {
		const struct local *want = &local_urls[i / 2];
		struct wsf_url url;
		char reason[200] = "?", header[64];

		ck_assert_msg(wsf_url_parse(&url, want->text, uses[i % 2], reason, sizeof(reason)) == 0, "%s: %s",
		    want->text, reason);
		ck_assert_msg(url.secure == want->secure, "%s: secure", want->text);
		ck_assert_str_eq(url.socket, want->socket);
		ck_assert_str_eq(url.target, want->target);
		ck_assert_str_eq(url.host, "localhost");
		ck_assert_uint_eq(url.port, want->secure ? 443 : 80);
		ck_assert(!url.ipv6);
		ck_assert_ptr_null(url.userinfo);
		ck_assert_int_eq(wsf_url_host_header(&url, header, sizeof(header)), 0);
		ck_assert_str_eq(header, "localhost");
		wsf_url_clear(&url);
	}
}
END_TEST

static void check_round_trip(const char *text, enum wsf_url_use use)
{
	struct wsf_url url, again;
	char reason[200], *formatted;

	ck_assert_int_eq(wsf_url_parse(&url, text, use, reason, sizeof(reason)), 0);
	formatted = wsf_url_format(&url, url.port, url.target);
	ck_assert_ptr_nonnull(formatted);
	ck_assert_msg(wsf_url_parse(&again, formatted, use, reason, sizeof(reason)) == 0, "%s: %s", formatted, reason);
	ck_assert_int_eq(again.secure, url.secure);
	ck_assert_pstr_eq(again.socket, url.socket);
	ck_assert_str_eq(again.host, url.host);
	ck_assert_uint_eq(again.port, url.port);
	ck_assert_str_eq(again.target, url.target);
	ck_assert_int_eq(again.ipv6, url.ipv6);
	ck_assert_ptr_null(again.userinfo);
	free(formatted);
	wsf_url_clear(&url);
	wsf_url_clear(&again);
}

START_TEST(a_formatted_url_names_the_same_place_without_userinfo)
{
	for (size_t i = 0; i < COUNT(good_urls); i++)
		check_round_trip(good_urls[i].text, good_urls[i].use);
	for (size_t i = 0; i < COUNT(local_urls); i++)
		check_round_trip(local_urls[i].text, WSF_URL_LISTEN);
}
END_TEST

START_TEST(a_url_is_formatted_with_another_port_and_target)
{
	static const struct {
		const char *text, *formatted;
	} table[] = {{"ws://u:p@h:0/a?b", "ws://h:4711/x"}, {"wss://[::1]", "wss://[::1]:4711/x"},
	    {"ws+unix:///a%3ab%20%e9", "ws+unix:///a%3Ab%20%E9:/x"}, {"wss+unix://@%25?q", "wss+unix://@%25:/x"}};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct wsf_url url;
		char reason[200], *formatted;

		ck_assert_int_eq(wsf_url_parse(&url, table[i].text, WSF_URL_LISTEN, reason, sizeof(reason)), 0);
		formatted = wsf_url_format(&url, 4711, "/x");
		ck_assert_ptr_nonnull(formatted);
		ck_assert_str_eq(formatted, table[i].formatted);
		free(formatted);
		wsf_url_clear(&url);
	}
}
END_TEST

/* Escapes count as the byte they stand for. */
START_TEST(a_socket_has_at_most_107_bytes)
{
	static const struct {
		const char *prefix, *suffix;
		size_t most;
	} table[] = {{"ws+unix:///", "", 106}, {"ws+unix://%2f", ":/x", 106}, {"wss+unix://", "?x", 107},
	    {"ws+unix://@", ":/", 106}, {"ws+unix://%41%42%43", "", 104}};

	for (size_t i = 0; i < COUNT(table); i++) {
		char *fits = long_text(table[i].prefix, 's', table[i].most, table[i].suffix);
		char *over = long_text(table[i].prefix, 's', table[i].most + 1, table[i].suffix);
		struct wsf_url url;
		char reason[200];

		ck_assert_int_eq(wsf_url_parse(&url, fits, WSF_URL_CONNECT, reason, sizeof(reason)), 0);
		ck_assert_uint_eq(strlen(url.socket), 107);
		wsf_url_clear(&url);
		ck_assert_int_eq(wsf_url_parse(&url, over, WSF_URL_LISTEN, reason, sizeof(reason)), -EINVAL);
		ck_assert_ptr_nonnull(strstr(reason, "socket is longer than 107"));
		free(fits);
		free(over);
	}
}
END_TEST

static const struct bad {
	const char *text;
	enum wsf_url_use use;
	int rv;
	const char *reason;	/* part of it */
} bad_urls[] = {
	{NULL, WSF_URL_CONNECT, -EINVAL, "empty"},
	{"", WSF_URL_CONNECT, -EINVAL, "empty"},
	/* schemes */
	{"example.org", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"example.org:80", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"example.org/ws://h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"://h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"//h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"1ws://h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"ws:h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"ws:/h", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"ws", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"http://h/", WSF_URL_CONNECT, -EINVAL, "scheme is http,"},
	{"HTTPS://h/", WSF_URL_CONNECT, -EINVAL, "scheme is HTTPS,"},
	{"wsss://h/", WSF_URL_CONNECT, -EINVAL, "scheme is wsss,"},
	{"w://h/", WSF_URL_LISTEN, -EINVAL, "scheme is w,"},
	{"a+b-c.1://h/", WSF_URL_CONNECT, -EINVAL, "scheme is a+b-c.1,"},
	{"ws+unix:/run/x", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"ws+unix:%2f%2fx", WSF_URL_CONNECT, -EINVAL, "does not begin with ws://"},
	{"ws+tcp://h/", WSF_URL_CONNECT, -EINVAL, "scheme is ws+tcp,"},
	{"unix:///run/x", WSF_URL_CONNECT, -EINVAL, "scheme is unix,"},
	/* local sockets */
	{"ws+unix://", WSF_URL_CONNECT, -EINVAL, "no socket"},
	{"wss+unix://", WSF_URL_LISTEN, -EINVAL, "no socket"},
	{"ws+unix://:/path", WSF_URL_CONNECT, -EINVAL, "no socket"},
	{"ws+unix://?q", WSF_URL_CONNECT, -EINVAL, "no socket"},
	{"ws+unix://@", WSF_URL_CONNECT, -EINVAL, "no socket"},
	{"ws+unix://@:/path", WSF_URL_LISTEN, -EINVAL, "no socket"},
	{"ws+unix://%40", WSF_URL_CONNECT, -EINVAL, "no socket"},
	{"ws+unix:///run/x:", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix:///run/x:path", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix:///run/x:?q", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix:///run/x:8080/", WSF_URL_LISTEN, -EINVAL, "does not begin with /"},
	{"ws+unix:///run/x::/", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix://[::1]/", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix://user:secret@/run/x", WSF_URL_CONNECT, -EINVAL, "does not begin with /"},
	{"ws+unix:///run/%00x", WSF_URL_CONNECT, -EINVAL, "escaped NUL"},
	{"ws+unix://%00x", WSF_URL_CONNECT, -EINVAL, "escaped NUL"},
	{"ws+unix:///run/%", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws+unix:///run/%4:/1", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws+unix:///run/%4g", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws+unix:///run/x#f", WSF_URL_CONNECT, -EINVAL, "fragment"},
	{"wss+unix:///run/x:/#f", WSF_URL_LISTEN, -EINVAL, "fragment"},
	{"ws+unix:///run/a b", WSF_URL_CONNECT, -EINVAL, "byte 17 "},
	{"ws+unix:///run/\xc3\xa9", WSF_URL_CONNECT, -EINVAL, "byte 16 "},
	/* hosts */
	{"ws://", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws:///path", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://?q", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://:80/", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://:80/", WSF_URL_LISTEN, -EINVAL, "no host"},
	{"ws://user:secret@", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://user:secret@:80/", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://.example.org/", WSF_URL_CONNECT, -EINVAL, "begins with a dot"},
	{"wss://.", WSF_URL_CONNECT, -EINVAL, "begins with a dot"},
	{"wss://user:secret@.example.org:443", WSF_URL_CONNECT, -EINVAL, "begins with a dot"},
	{"ws://.h:0/", WSF_URL_LISTEN, -EINVAL, "begins with a dot"},
	{"ws://a\\b/", WSF_URL_CONNECT, -EINVAL, "host has a character"},
	{"ws://a%41/", WSF_URL_CONNECT, -EINVAL, "host has a character"},
	{"ws://a]/", WSF_URL_CONNECT, -EINVAL, "host has a character"},
	{"ws://a[::1]/", WSF_URL_CONNECT, -EINVAL, "host has a character"},
	{"ws://*/", WSF_URL_LISTEN, -EINVAL, "host has a character"},
	/* IPv6 literals */
	{"ws://[]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[::1/", WSF_URL_CONNECT, -EINVAL, "[ without a ]"},
	{"ws://[/]", WSF_URL_CONNECT, -EINVAL, "[ without a ]"},
	{"ws://[::1]x/", WSF_URL_CONNECT, -EINVAL, "behind its ]"},
	{"ws://[::1]]:1/", WSF_URL_CONNECT, -EINVAL, "behind its ]"},
	{"ws://[127.0.0.1]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[h]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[1:2:3]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[::1::2]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[1:2:3:4:5:6:7:8:9]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[::12345]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[fe80::1%25lo]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://[v1.x]/", WSF_URL_CONNECT, -EINVAL, "not an IPv6 address"},
	{"ws://::1/", WSF_URL_CONNECT, -EINVAL, "no host"},
	{"ws://2001:db8::1/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	/* ports */
	{"ws://h:0/", WSF_URL_CONNECT, -EINVAL, "port is 0"},
	{"ws://h:000", WSF_URL_CONNECT, -EINVAL, "port is 0"},
	{"ws://h:65536/", WSF_URL_CONNECT, -EINVAL, "above 65535"},
	{"ws://h:65536/", WSF_URL_LISTEN, -EINVAL, "above 65535"},
	{"ws://h:4294967376/", WSF_URL_CONNECT, -EINVAL, "above 65535"},
	{"ws://h:18446744073709551696/", WSF_URL_CONNECT, -EINVAL, "above 65535"},
	{"ws://h:80x/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	{"ws://h:-1/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	{"ws://h:+80/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	{"ws://h:0x50/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	{"ws://h:80:80/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	{"ws://[::1]:x/", WSF_URL_CONNECT, -EINVAL, "port is not a number"},
	/* fragments */
	{"ws://h/#f", WSF_URL_CONNECT, -EINVAL, "fragment"},
	{"ws://h#", WSF_URL_CONNECT, -EINVAL, "fragment"},
	{"ws://h/?q#f", WSF_URL_LISTEN, -EINVAL, "fragment"},
	{"ws://user:secret#@h/", WSF_URL_CONNECT, -EINVAL, "fragment"},
	/* userinfo */
	{"ws://user:%@h/", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws://user:secret%4@h/", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws://user:secret%4g@h/", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws://user:%g4secret@h/", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws://user:secret%%41@h/", WSF_URL_CONNECT, -EINVAL, "%-escape"},
	{"ws://user:secret%00@h/", WSF_URL_CONNECT, -EINVAL, "escaped control"},
	{"ws://user:secret%0d%0aX:y@h/", WSF_URL_CONNECT, -EINVAL, "escaped control"},
	{"ws://user:secret%0A@h/", WSF_URL_CONNECT, -EINVAL, "escaped control"},
	{"ws://user:secret%1f@h/", WSF_URL_CONNECT, -EINVAL, "escaped control"},
	{"ws://user:secret%7F@h/", WSF_URL_CONNECT, -EINVAL, "escaped control"},
	{"ws://us%3aer:secret@h/", WSF_URL_CONNECT, -EINVAL, "escaped colon"},
	{"ws://user:secret@evil@h/", WSF_URL_CONNECT, -EINVAL, "more than one @"},
	/* spaces, control characters, bytes above 126 */
	{" ws://h/", WSF_URL_CONNECT, -EINVAL, "byte 1 "},
	{"ws://h/ ", WSF_URL_CONNECT, -EINVAL, "byte 8 "},
	{"ws://h/a b", WSF_URL_CONNECT, -EINVAL, "byte 9 "},
	{"ws://h /", WSF_URL_CONNECT, -EINVAL, "byte 7 "},
	{"ws://h/\r\nX: y", WSF_URL_CONNECT, -EINVAL, "byte 8 "},
	{"ws://h/\xc3\xa9", WSF_URL_CONNECT, -EINVAL, "byte 8 "},
	{"ws://user:secret \x01@h/", WSF_URL_CONNECT, -EINVAL, "byte 17 "},
};

static void assert_empty(const struct wsf_url *url)
{
	ck_assert_ptr_null(url->userinfo);
	ck_assert_ptr_null(url->socket);
	ck_assert_ptr_null(url->host);
	ck_assert_ptr_null(url->target);
	ck_assert_uint_eq(url->port, 0);
	ck_assert(!url->secure && !url->ipv6);
}

START_TEST(a_bad_url_is_refused_with_its_reason)
{
	for (size_t i = 0; i < COUNT(bad_urls); i++) {
		const struct bad *bad = &bad_urls[i];
		const char *text = bad->text != NULL ? bad->text : "NULL";
		struct wsf_url url;
		char reason[200] = "";
		int rv;

		memset(&url, 0xff, sizeof(url));
		rv = wsf_url_parse(&url, bad->text, bad->use, reason, sizeof(reason));
		ck_assert_msg(rv == bad->rv, "%s: %d", text, rv);
		ck_assert_msg(strstr(reason, bad->reason) != NULL, "%s: %s", text, reason);
		ck_assert_msg(strpbrk(reason, "\r\n") == NULL, "%s: %s", text, reason);
		assert_empty(&url);
	}
}
END_TEST

START_TEST(every_byte_outside_33_to_126_is_refused_wherever_it_stands)
{
	static const char *const templates[] = {"*ws://h/", "w*s://h/", "ws://u*u:p@h/", "ws://h*h/", "ws://h:8*0/",
	    "ws://h/*", "ws://h/?*x", "ws+unix:///*", "ws+unix:///x:/*"};

	for (unsigned byte = 1; byte < 256; byte++) {
		if (byte > 32 && byte < 127)
			continue;
		for (size_t i = 0; i < COUNT(templates); i++) {
			struct wsf_url url;
			char reason[200], *text = strdup(templates[i]);

			ck_assert_ptr_nonnull(text);
			*strchr(text, '*') = (char)byte;
			ck_assert_int_eq(wsf_url_parse(&url, text, WSF_URL_CONNECT, reason, sizeof(reason)), -EINVAL);
			ck_assert_ptr_nonnull(strstr(reason, "not ASCII"));
			free(text);
		}
	}
}
END_TEST

START_TEST(a_reason_never_shows_userinfo)
{
	/* The password has each character that ends an early part of a URL, so halves of it look like other parts. */
	static const char *const texts[] = {"hunter2:hunter2@h", "ws:hunter2@h", "hunter2", "//hunter2:hunter2@h",
	    "ws://u:hunter2/hunter2@h/", "ws://u:hunter2?hunter2@h/", "ws://u:hunter2#@h/", "ws://hunter2[@h:x/",
	    "ws://hunter2@hunter2@h/", "ws://hunter2%zz@h/", "ws://hunter2%3a:hunter2@h/", "ws://hunter2%00@h/",
	    "ws://hunter2:hunter2@/", "ws://hunter2:hunter2@[x]/", "ws://hunter2:hunter2@h:0/", "ws://hunter2 @h/",
	    "http://hunter2:hunter2@h/", "ws+unix://u:hunter2@h/", "ws://[hunter2@h]/", "ws://[hunter2]/@h"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct wsf_url url;
		char reason[200];
		int rv = wsf_url_parse(&url, texts[i], WSF_URL_CONNECT, reason, sizeof(reason));

		ck_assert_msg(rv < 0, "%s", texts[i]);
		ck_assert_msg(*reason != '\0' && strstr(reason, "hunter2") == NULL, "%s: %s", texts[i], reason);
	}
}
END_TEST

START_TEST(a_long_target_and_userinfo_are_kept_whole)
{
	char *target = long_text("ws://h/", 'x', 1000000, "?end"), *user = long_text("ws://", 'u', 100000, ":p@h");
	struct wsf_url url;
	char reason[200];

	ck_assert_int_eq(wsf_url_parse(&url, target, WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	ck_assert_str_eq(url.target, target + strlen("ws://h"));
	wsf_url_clear(&url);
	ck_assert_int_eq(wsf_url_parse(&url, user, WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	ck_assert_uint_eq(strlen(url.userinfo), 100002);
	wsf_url_clear(&url);
	free(target);
	free(user);
}
END_TEST

START_TEST(a_host_has_at_most_255_bytes)
{
	char *fits = long_text("ws://", 'h', 255, "/"), *over = long_text("ws://", 'h', 256, "/");
	struct wsf_url url;
	char reason[200];

	ck_assert_int_eq(wsf_url_parse(&url, fits, WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	ck_assert_uint_eq(strlen(url.host), 255);
	wsf_url_clear(&url);
	ck_assert_int_eq(wsf_url_parse(&url, over, WSF_URL_CONNECT, reason, sizeof(reason)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(reason, "longer than 255"));
	free(fits);
	free(over);
}
END_TEST

START_TEST(a_long_scheme_and_a_short_buffer_cut_the_reason)
{
	char *text = long_text("", 's', 100000, "://h/");
	char *digits = long_text("ws://h:", '9', 100000, "/");
	struct wsf_url url;
	char reason[200], shorter[8];

	ck_assert_int_eq(wsf_url_parse(&url, text, WSF_URL_CONNECT, reason, sizeof(reason)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(reason, "scheme is ssss"));
	ck_assert_ptr_nonnull(strstr(reason, ", not ws or wss"));
	ck_assert_int_eq(wsf_url_parse(&url, text, WSF_URL_CONNECT, shorter, sizeof(shorter)), -EINVAL);
	ck_assert_str_eq(shorter, "the URL");
	ck_assert_int_eq(wsf_url_parse(&url, text, WSF_URL_CONNECT, NULL, 0), -EINVAL);
	ck_assert_int_eq(wsf_url_parse(&url, digits, WSF_URL_CONNECT, reason, sizeof(reason)), -EINVAL);
	free(text);
	free(digits);
}
END_TEST

START_TEST(clearing_twice_or_nothing_is_harmless)
{
	struct wsf_url url;
	char reason[200];

	ck_assert_int_eq(wsf_url_parse(&url, "ws://u:p@h/", WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	wsf_url_clear(&url);
	assert_empty(&url);
	ck_assert_int_eq(wsf_url_parse(&url, "ws+unix:///x", WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	wsf_url_clear(&url);
	assert_empty(&url);
	wsf_url_clear(&url);
	wsf_url_clear(NULL);
}
END_TEST

/* Of good URLs, and of bad ones whose userinfo had already been read. */
START_TEST(userinfo_is_nowhere_in_memory_once_the_url_is_cleared)
{
	static const struct {
		const char *format;
		bool good;
	} table[] = {{"wss://user:%s@h/", true}, {"wss://%s@h/", true}, {"wss://user:%s@h:0/", false},
	    {"wss://user:%s@/", false}, {"wss://user:%s%%zz@h/", false}, {"wss://%s:%%0d@h/", false}};

	for (unsigned i = 0; secret_searchable() && i < COUNT(table); i++) {
		char secret[SECRET_BYTES + 1], text[100], reason[200];
		struct wsf_url url;
		int rv;

		secret_reveal(i, secret);
		snprintf(text, sizeof(text), table[i].format, secret);
		rv = wsf_url_parse(&url, text, WSF_URL_CONNECT, reason, sizeof(reason));
		ck_assert_int_eq(rv, table[i].good ? 0 : -EINVAL);
		ck_assert_uint_eq(secret_copies(i), table[i].good ? 1 : 0);
		wsf_url_clear(&url);
		ck_assert_uint_eq(secret_copies(i), 0);
	}
}
END_TEST

START_TEST(a_host_header_that_does_not_fit_is_refused)
{
	static const char *const texts[] = {"ws://host:81/", "ws://host/", "ws://[::1]:81/"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct wsf_url url;
		char reason[200], whole[64], *exact;
		size_t length;

		ck_assert_int_eq(wsf_url_parse(&url, texts[i], WSF_URL_CONNECT, reason, sizeof(reason)), 0);
		ck_assert_int_eq(wsf_url_host_header(&url, whole, sizeof(whole)), 0);
		length = strlen(whole);
		exact = malloc(length + 1);
		ck_assert_ptr_nonnull(exact);
		ck_assert_int_eq(wsf_url_host_header(&url, exact, length + 1), 0);
		ck_assert_str_eq(exact, whole);
		ck_assert_int_eq(wsf_url_host_header(&url, exact, length), -ENAMETOOLONG);
		ck_assert_int_eq(wsf_url_host_header(&url, exact, 0), -ENAMETOOLONG);
		free(exact);
		wsf_url_clear(&url);
	}
}
END_TEST

static Suite *url_suite(void)
{
	Suite *suite = suite_create("url");
	TCase *tcase = tcase_create("url");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, a_good_url_is_split_into_its_parts);
	tcase_add_test(tcase, a_local_url_is_split_into_socket_and_target);
	tcase_add_test(tcase, a_formatted_url_names_the_same_place_without_userinfo);
	tcase_add_test(tcase, a_url_is_formatted_with_another_port_and_target);
	tcase_add_test(tcase, a_socket_has_at_most_107_bytes);
	tcase_add_test(tcase, a_bad_url_is_refused_with_its_reason);
	tcase_add_test(tcase, every_byte_outside_33_to_126_is_refused_wherever_it_stands);
	tcase_add_test(tcase, a_reason_never_shows_userinfo);
	tcase_add_test(tcase, a_long_target_and_userinfo_are_kept_whole);
	tcase_add_test(tcase, a_host_has_at_most_255_bytes);
	tcase_add_test(tcase, a_long_scheme_and_a_short_buffer_cut_the_reason);
	tcase_add_test(tcase, clearing_twice_or_nothing_is_harmless);
	tcase_add_test(tcase, userinfo_is_nowhere_in_memory_once_the_url_is_cleared);
	tcase_add_test(tcase, a_host_header_that_does_not_fit_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(url_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
