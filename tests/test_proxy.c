/* SPDX-License-Identifier: 0BSD */
/* Which proxy a client goes through, by the option and by the environment. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "proxy.h"
#include "secrets.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

#define NONE WSF_PROXY_NONE
#define HTTP WSF_PROXY_HTTP
#define SOCKS5 WSF_PROXY_SOCKS5

/* The environment of the case at hand: "name=value", ends with NULL. */
static const char *const *environment;

static char *look_up(const char *name)
{
	static char value[1000];
	size_t length = strlen(name);

	for (const char *const *entry = environment; *entry != NULL; entry++) {
		if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
			ck_assert_uint_lt(strlen(*entry + length + 1), sizeof(value));
			memcpy(value, *entry + length + 1, strlen(*entry + length + 1) + 1);
			return value;
		}
	}
	return NULL;
}

static int choose(struct wsf_proxy *proxy, const char *url_text, const char *option, char *reason, size_t reason_bytes)
{
	struct wsf_url url;
	int rv = wsf_url_parse(&url, url_text, WSF_URL_CONNECT, reason, reason_bytes);

	ck_assert_msg(rv == 0, "%s: %s", url_text, reason);
	memset(proxy, 0xff, sizeof(*proxy));
	rv = wsf_proxy_choose(proxy, &url, option, look_up, reason, reason_bytes);
	wsf_url_clear(&url);
	return rv;
}

static void assert_none(const struct wsf_proxy *proxy)
{
	ck_assert_int_eq(proxy->kind, NONE);
	ck_assert_ptr_null(proxy->host);
	ck_assert_ptr_null(proxy->userinfo);
	ck_assert_uint_eq(proxy->port, 0);
}

static const struct good {
	const char *text;
	enum wsf_proxy_kind kind;
	const char *host;
	unsigned port;
	const char *userinfo;
} good_proxies[] = {
	{ "http://proxy.example:3128", HTTP, "proxy.example", 3128, NULL },
	{ "http://proxy.example:3128/", HTTP, "proxy.example", 3128, NULL },
	{ "HTTP://Proxy.Example:3128", HTTP, "proxy.example", 3128, NULL },
	{ "http://proxy.example", HTTP, "proxy.example", 1080, NULL },
	{ "http://proxy.example:", HTTP, "proxy.example", 1080, NULL },
	{ "http://proxy.example:80", HTTP, "proxy.example", 80, NULL },
	{ "http://127.0.0.1:65535", HTTP, "127.0.0.1", 65535, NULL },
	{ "http://[::1]:8080", HTTP, "::1", 8080, NULL },
	{ "http://[2001:DB8::1]", HTTP, "2001:db8::1", 1080, NULL },
	/* without a scheme */
	{ "proxy.example:3128", HTTP, "proxy.example", 3128, NULL },
	{ "proxy.example", HTTP, "proxy.example", 1080, NULL },
	{ "proxy/", HTTP, "proxy", 1080, NULL },
	{ "[::1]:8080", HTTP, "::1", 8080, NULL },
	{ "user:secret@proxy:8080", HTTP, "proxy", 8080, "user:secret" },
	{ "socks5:1081", HTTP, "socks5", 1081, NULL },
	/* SOCKS5 */
	{ "socks5://proxy", SOCKS5, "proxy", 1080, NULL },
	{ "socks5h://proxy:9050/", SOCKS5, "proxy", 9050, NULL },
	{ "SOCKS5H://[fe80::1]:9050", SOCKS5, "fe80::1", 9050, NULL },
	{ "socks5://u:p@127.0.0.1:1", SOCKS5, "127.0.0.1", 1, "u:p" },
	/* userinfo */
	{ "http://user:secret@proxy:8080/", HTTP, "proxy", 8080, "user:secret" },
	{ "http://User:SeCret@Proxy", HTTP, "proxy", 1080, "User:SeCret" },
	{ "http://user@proxy", HTTP, "proxy", 1080, "user:" },
	{ "http://user:@proxy", HTTP, "proxy", 1080, "user:" },
	{ "http://:secret@proxy", HTTP, "proxy", 1080, ":secret" },
	{ "http://@proxy", HTTP, "proxy", 1080, NULL },
	{ "socks5://u%40x:%2f%3A%3f%23%25%20%c3%A9:@h", SOCKS5, "h", 1080, "u@x:/:?#% \xc3\xa9:" },
};

static void assert_good(const struct good *want, const struct wsf_proxy *proxy)
{
	ck_assert_msg(proxy->kind == want->kind, "%s: kind %d", want->text, (int)proxy->kind);
	ck_assert_str_eq(proxy->host, want->host);
	ck_assert_msg(proxy->port == want->port, "%s: port %u", want->text, proxy->port);
	ck_assert_pstr_eq(proxy->userinfo, want->userinfo);
}

/* no_proxy is the environment's word on the environment's proxies. */
START_TEST(the_option_counts_whatever_the_environment_says)
{
	static const char *const entries[] = { "https_proxy=http://other:1", "all_proxy=http://other:2", "no_proxy=*",
		NULL };

	environment = entries;
	for (size_t i = 0; i < COUNT(good_proxies); i++) {
		struct wsf_proxy proxy;
		char reason[200] = "?";

		ck_assert_msg(choose(&proxy, i % 2 ? "wss://h/" : "ws://h/", good_proxies[i].text, reason,
		    sizeof(reason)) == 0, "%s: %s", good_proxies[i].text, reason);
		assert_good(&good_proxies[i], &proxy);
		ck_assert_str_eq(reason, "");
		wsf_proxy_clear(&proxy);
		assert_none(&proxy);
	}
}
END_TEST

START_TEST(the_environment_is_read_like_the_option)
{
	for (size_t i = 0; i < COUNT(good_proxies); i++) {
		char entry[200] = "https_proxy=";
		const char *const entries[] = { entry, NULL };
		struct wsf_proxy proxy;
		char reason[200] = "?";

		memcpy(entry + strlen(entry), good_proxies[i].text, strlen(good_proxies[i].text) + 1);
		environment = entries;
		ck_assert_int_eq(choose(&proxy, "wss://h/", NULL, reason, sizeof(reason)), 0);
		assert_good(&good_proxies[i], &proxy);
		wsf_proxy_clear(&proxy);
	}
}
END_TEST

START_TEST(an_empty_option_is_no_proxy)
{
	static const char *const entries[] = { "https_proxy=http://other:1", "http_proxy=http://other:2", NULL };
	static const char *const urls[] = { "ws://h/", "wss://h/" };

	environment = entries;
	for (size_t i = 0; i < COUNT(urls); i++) {
		struct wsf_proxy proxy;
		char reason[200];

		ck_assert_int_eq(choose(&proxy, urls[i], "", reason, sizeof(reason)), 0);
		assert_none(&proxy);
	}
}
END_TEST

START_TEST(a_local_socket_has_no_proxy)
{
	static const char *const entries[] = { "https_proxy=http://p:1", "http_proxy=http://p:2",
		"all_proxy=http://p:3", NULL };
	static const char *const urls[] = { "ws+unix:///run/x", "wss+unix://@x" };
	static const char *const options[] = { NULL, "", "http://p:4" };

	environment = entries;
	for (size_t i = 0; i < COUNT(urls) * COUNT(options); i++) {
		struct wsf_proxy proxy;
		char reason[200];

		ck_assert_int_eq(choose(&proxy, urls[i % 2], options[i / 2], reason, sizeof(reason)), 0);
		assert_none(&proxy);
	}
}
END_TEST

static const struct from_environment {
	const char *entries[8];
	unsigned secure_port, plain_port;	/* of the proxy for wss and for ws; 0 = none */
} environments[] = {
	{ { NULL }, 0, 0 },
	{ { "wss_proxy=p:1" }, 1, 0 },
	{ { "WSS_PROXY=p:1" }, 1, 0 },
	{ { "https_proxy=p:1" }, 1, 0 },
	{ { "HTTPS_PROXY=p:1" }, 1, 0 },
	{ { "ws_proxy=p:1" }, 0, 1 },
	{ { "WS_PROXY=p:1" }, 0, 1 },
	{ { "http_proxy=p:1" }, 0, 1 },
	{ { "HTTP_PROXY=p:1" }, 0, 0 },
	{ { "all_proxy=p:1" }, 1, 1 },
	{ { "ALL_PROXY=p:1" }, 1, 1 },
	{ { "HTTP_PROXY=p:1", "ALL_PROXY=p:2" }, 2, 2 },
	/* the order */
	{ { "ALL_PROXY=p:1", "all_proxy=p:2" }, 2, 2 },
	{ { "all_proxy=p:1", "HTTPS_PROXY=p:2" }, 2, 1 },
	{ { "HTTPS_PROXY=p:1", "https_proxy=p:2" }, 2, 0 },
	{ { "https_proxy=p:1", "WSS_PROXY=p:2" }, 2, 0 },
	{ { "WSS_PROXY=p:1", "wss_proxy=p:2" }, 2, 0 },
	{ { "all_proxy=p:1", "http_proxy=p:2" }, 1, 2 },
	{ { "http_proxy=p:1", "WS_PROXY=p:2" }, 0, 2 },
	{ { "WS_PROXY=p:1", "ws_proxy=p:2" }, 0, 2 },
	/* an empty one is not set */
	{ { "wss_proxy=", "https_proxy=", "HTTPS_PROXY=p:1", "ws_proxy=", "http_proxy=", "all_proxy=p:2" }, 1, 2 },
	{ { "all_proxy=", "ALL_PROXY=" }, 0, 0 },
	/* exceptions */
	{ { "all_proxy=p:1", "no_proxy=h" }, 0, 0 },
	{ { "all_proxy=p:1", "NO_PROXY=h" }, 0, 0 },
	{ { "all_proxy=p:1", "NO_PROXY=h", "no_proxy=other" }, 1, 1 },
	{ { "all_proxy=p:1", "NO_PROXY=h", "no_proxy=" }, 0, 0 },
	{ { "all_proxy=p:1", "No_Proxy=h" }, 1, 1 },
};

START_TEST(the_first_variable_that_is_set_counts)
{
	for (size_t i = 0; i < COUNT(environments); i++) {
		const struct from_environment *want = &environments[i];
		struct wsf_proxy proxy;
		char reason[200];

		environment = want->entries;
		ck_assert_int_eq(choose(&proxy, "wss://h/", NULL, reason, sizeof(reason)), 0);
		ck_assert_msg(proxy.port == want->secure_port, "case %zu: wss by port %u", i, proxy.port);
		ck_assert_int_eq(proxy.kind, want->secure_port ? HTTP : NONE);
		wsf_proxy_clear(&proxy);
		ck_assert_int_eq(choose(&proxy, "ws://h/", NULL, reason, sizeof(reason)), 0);
		ck_assert_msg(proxy.port == want->plain_port, "case %zu: ws by port %u", i, proxy.port);
		ck_assert_int_eq(proxy.kind, want->plain_port ? HTTP : NONE);
		wsf_proxy_clear(&proxy);
	}
}
END_TEST

static const struct exception {
	const char *list;
	const char *url;
	bool excepted;
} exceptions[] = {
	{ "*", "ws://example.org/", true },
	{ "*", "ws://192.0.2.1/", true },
	{ "*", "ws://[::1]/", true },
	{ "a, *", "ws://example.org/", true },
	{ "*.example.org", "ws://www.example.org/", false },
	{ "**", "ws://example.org/", false },
	{ "", "ws://example.org/", false },
	{ ",, ,\t", "ws://example.org/", false },
	/* names, and all below them */
	{ "example.org", "ws://example.org/", true },
	{ "example.org", "ws://www.example.org:81/", true },
	{ "example.org", "ws://a.b.example.org/", true },
	{ "example.org", "ws://anexample.org/", false },
	{ "example.org", "ws://example.org.evil/", false },
	{ "example.org", "ws://org/", false },
	{ "example.org", "ws://example.com/", false },
	{ "www.example.org", "ws://example.org/", false },
	{ "org", "ws://example.org/", true },
	{ "rg", "ws://example.org/", false },
	{ ".example.org", "ws://example.org/", true },
	{ ".example.org", "ws://www.example.org/", true },
	{ ".example.org", "ws://anexample.org/", false },
	{ "EXAMPLE.org", "ws://WWW.Example.ORG/", true },
	{ "example.org.", "ws://example.org/", true },
	{ "example.org", "ws://example.org./", true },
	{ ".example.org.", "ws://www.example.org./", true },
	{ ".", "ws://example.org/", false },
	{ "..", "ws://example.org./", false },
	{ "example.org:80", "ws://example.org/", false },
	{ "localhost", "ws://localhost:9/", true },
	/* lists */
	{ "a,example.org,b", "ws://example.org/", true },
	{ "a example.org b", "ws://example.org/", true },
	{ " a ,\texample.org ", "ws://example.org/", true },
	{ "example.org,", "ws://example.org/", true },
	{ "exam ple.org", "ws://example.org/", false },
	{ "a;example.org", "ws://example.org/", false },
	/* IPv4 */
	{ "192.0.2.1", "ws://192.0.2.1/", true },
	{ "192.0.2.1", "ws://192.0.2.10/", false },
	{ "2.1", "ws://192.0.2.1/", false },
	{ "0.2.1", "ws://192.0.2.1/", false },
	{ "192.0.2.1", "ws://x.192.0.2.1/", true },
	{ "192.0.2.0/24", "ws://192.0.2.255/", true },
	{ "192.0.2.77/24", "ws://192.0.2.255/", true },
	{ "192.0.2.0/24", "ws://192.0.3.0/", false },
	{ "192.0.2.0/23", "ws://192.0.3.255/", true },
	{ "192.0.2.0/23", "ws://192.0.4.0/", false },
	{ "10.0.0.0/8", "ws://10.255.255.255/", true },
	{ "10.0.0.0/8", "ws://11.0.0.0/", false },
	{ "10.0.0.0/9", "ws://10.127.0.1/", true },
	{ "10.0.0.0/9", "ws://10.128.0.1/", false },
	{ "192.0.2.1/32", "ws://192.0.2.1/", true },
	{ "192.0.2.1/32", "ws://192.0.2.0/", false },
	{ "192.0.2.0/31", "ws://192.0.2.1/", true },
	{ "0.0.0.0/0", "ws://192.0.2.1/", true },
	{ "0.0.0.0/0", "ws://[::1]/", false },
	{ "0.0.0.0/0", "ws://example.org/", false },
	{ "192.0.2.0/33", "ws://192.0.2.0/", false },
	{ "192.0.2.0/", "ws://192.0.2.0/", false },
	{ "192.0.2.0/-1", "ws://192.0.2.0/", false },
	{ "192.0.2.0/+8", "ws://192.0.2.0/", false },
	{ "192.0.2.0/8x", "ws://192.0.2.0/", false },
	{ "192.0.2.0/4294967304", "ws://192.0.2.0/", false },
	{ "192.0.2.0/24/24", "ws://192.0.2.0/", false },
	{ "192.0.2/24", "ws://192.0.2.0/", false },
	{ "/24", "ws://192.0.2.0/", false },
	{ "example.org 10.0.0.0/8,192.0.2.0/24", "ws://192.0.2.9/", true },
	/* IPv6, however it is written */
	{ "::1", "ws://[::1]/", true },
	{ "[::1]", "ws://[::1]/", true },
	{ "0:0:0:0:0:0:0:1", "ws://[::1]/", true },
	{ "2001:DB8::A", "ws://[2001:db8:0:0::a]/", true },
	{ "::1", "ws://[::2]/", false },
	{ "2001:db8::/32", "ws://[2001:db8:ffff::1]/", true },
	{ "[2001:db8::]/32", "ws://[2001:db8:ffff::1]/", true },
	{ "2001:db8::/32", "ws://[2001:db9::1]/", false },
	{ "2001:db8::/33", "ws://[2001:db8:7fff::1]/", true },
	{ "2001:db8::/33", "ws://[2001:db8:8000::1]/", false },
	{ "::1/128", "ws://[::1]/", true },
	{ "::1/128", "ws://[::]/", false },
	{ "::/0", "ws://[2001:db8::1]/", true },
	{ "::/0", "ws://192.0.2.1/", false },
	{ "::1/129", "ws://[::1]/", false },
	{ "[::1", "ws://[::1]/", false },
	{ "::1]", "ws://[::1]/", false },
	{ "[]", "ws://[::1]/", false },
	{ "[", "ws://[::1]/", false },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128", "ws://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]/",
	    true },
	{ "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]/128", "ws://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]/",
	    true },
	{ "[0ffff:ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]/128000000000", "ws://[::1]/", false },
};

START_TEST(no_proxy_excepts_names_addresses_and_networks)
{
	for (size_t i = 0; i < COUNT(exceptions); i++) {
		char entry[200] = "no_proxy=";
		const char *const entries[] = { entry, "all_proxy=http://p:1", NULL };
		struct wsf_proxy proxy;
		char reason[200];

		memcpy(entry + strlen(entry), exceptions[i].list, strlen(exceptions[i].list) + 1);
		environment = entries;
		ck_assert_int_eq(choose(&proxy, exceptions[i].url, NULL, reason, sizeof(reason)), 0);
		ck_assert_msg((proxy.kind == NONE) == exceptions[i].excepted, "\"%s\" for %s", exceptions[i].list,
		    exceptions[i].url);
		wsf_proxy_clear(&proxy);
	}
}
END_TEST

/* The proxy is not asked for, so its URL is not judged. */
START_TEST(an_exception_hides_a_bad_proxy)
{
	static const char *const entries[] = { "all_proxy=gopher://p", "no_proxy=h", NULL };
	struct wsf_proxy proxy;
	char reason[200];

	environment = entries;
	ck_assert_int_eq(choose(&proxy, "ws://h/", NULL, reason, sizeof(reason)), 0);
	assert_none(&proxy);
	ck_assert_int_eq(choose(&proxy, "ws://other/", NULL, reason, sizeof(reason)), -EPROTONOSUPPORT);
	assert_none(&proxy);
}
END_TEST

static const struct bad {
	const char *text;
	int rv;
	const char *reason;	/* behind the name of what holds the text */
} bad_proxies[] = {
	{ "https://p:1", -EPROTONOSUPPORT, "'s scheme is https, not http or socks5" },
	{ "socks4://p:1", -EPROTONOSUPPORT, "'s scheme is socks4, not http or socks5" },
	{ "socks4a://p:1", -EPROTONOSUPPORT, "'s scheme is socks4a, not http or socks5" },
	{ "socks://p:1", -EPROTONOSUPPORT, "'s scheme is socks, not http or socks5" },
	{ "SOCKS6://p:1", -EPROTONOSUPPORT, "'s scheme is SOCKS6, not http or socks5" },
	{ "ws://p:1", -EPROTONOSUPPORT, "'s scheme is ws, not http or socks5" },
	{ "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop://h", -EPROTONOSUPPORT,
	    "'s scheme is abcdefghijklmnopqrstuvwxyzabcdef, not http or socks5" },
	{ "http://", -EINVAL, " has no host" },
	{ "http:///", -EINVAL, " has no host" },
	{ "http://:8080", -EINVAL, " has no host" },
	{ ":8080", -EINVAL, " has no host" },
	{ "/", -EINVAL, " has no host" },
	{ "user:secret@", -EINVAL, " has no host" },
	{ "://p", -EINVAL, " has text behind its host and port" },
	{ "http:/p:8080", -EINVAL, " has text behind its host and port" },
	{ "http://p:8080/path", -EINVAL, " has text behind its host and port" },
	{ "http://p:8080//", -EINVAL, " has text behind its host and port" },
	{ "p?q", -EINVAL, " has text behind its host and port" },
	{ "p#f", -EINVAL, " has text behind its host and port" },
	{ "http://u:secret/x@p:8080", -EINVAL, " has text behind its host and port" },
	{ "socks5://u:secret#x@p:8080", -EINVAL, " has text behind its host and port" },
	{ "http://p:0", -EINVAL, "'s port is 0" },
	{ "p:65536", -EINVAL, "'s port is above 65535" },
	{ "p:80x", -EINVAL, "'s port is not a number" },
	{ "p:secret:80", -EINVAL, "'s port is not a number" },
	{ "::1", -EINVAL, " has no host" },
	{ "http://[::1", -EINVAL, "'s host has a [ without a ]" },
	{ "http://[::1]x:1", -EINVAL, "'s host has text behind its ]" },
	{ "http://[h]:1", -EINVAL, "'s host in brackets is not an IPv6 address" },
	{ "http://a\\b:1", -EINVAL, "'s host has a character that no host name has" },
	{ "http://u:secret@v@p:1", -EINVAL, " has more than one @ before its path" },
	{ "http://u:secret%4@p:1", -EINVAL, "'s user or password has a bad %-escape" },
	{ "http://u:secret%0d%0aX:y@p:1", -EINVAL, "'s user or password has an escaped control character" },
	{ "socks5://u:secret%00@p:1", -EINVAL, "'s user or password has an escaped control character" },
	{ "socks5://secret%3a:p@p:1", -EINVAL, "'s user has an escaped colon" },
	{ " http://p:1", -EINVAL, "'s byte 1 is a space, a control character or not ASCII" },
	{ "http://p:1\n", -EINVAL, "'s byte 11 is a space, a control character or not ASCII" },
	{ "http://secret\xc3\xa9:x@p", -EINVAL, "'s byte 14 is a space, a control character or not ASCII" },
};

static void assert_refused(const struct bad *bad, const char *option, const char *name)
{
	struct wsf_proxy proxy;
	char reason[200] = "";
	int rv = choose(&proxy, "wss://h/", option, reason, sizeof(reason));

	ck_assert_msg(rv == bad->rv, "%s: %d", bad->text, rv);
	ck_assert_msg(strncmp(reason, name, strlen(name)) == 0, "%s: %s", bad->text, reason);
	ck_assert_str_eq(reason + strlen(name), bad->reason);
	ck_assert_msg(strstr(reason, "secret") == NULL, "%s: %s", bad->text, reason);
	assert_none(&proxy);
}

START_TEST(a_bad_proxy_is_refused_with_its_reason_and_its_variable)
{
	for (size_t i = 0; i < COUNT(bad_proxies); i++) {
		char entry[200] = "https_proxy=", any[200] = "ALL_PROXY=";
		const char *const none[] = { NULL }, *const one[] = { entry, NULL }, *const other[] = { any, NULL };

		memcpy(entry + strlen(entry), bad_proxies[i].text, strlen(bad_proxies[i].text) + 1);
		memcpy(any + strlen(any), bad_proxies[i].text, strlen(bad_proxies[i].text) + 1);
		environment = none;
		assert_refused(&bad_proxies[i], bad_proxies[i].text, "the proxy");
		environment = one;
		assert_refused(&bad_proxies[i], NULL, "https_proxy");
		environment = other;
		assert_refused(&bad_proxies[i], NULL, "ALL_PROXY");
	}
}
END_TEST

START_TEST(a_short_buffer_cuts_the_reason)
{
	static const char *const none[] = { NULL };
	struct wsf_proxy proxy;
	struct wsf_url url;
	char reason[200], cut[12];

	environment = none;
	ck_assert_int_eq(wsf_url_parse(&url, "ws://h/", WSF_URL_CONNECT, reason, sizeof(reason)), 0);
	ck_assert_int_eq(wsf_proxy_choose(&proxy, &url, "p:0", look_up, cut, sizeof(cut)), -EINVAL);
	ck_assert_str_eq(cut, "the proxy's");
	ck_assert_int_eq(wsf_proxy_choose(&proxy, &url, "p:0", look_up, cut, 4), -EINVAL);
	ck_assert_str_eq(cut, "the");
	ck_assert_int_eq(wsf_proxy_choose(&proxy, &url, "p:0", look_up, NULL, 0), -EINVAL);
	wsf_url_clear(&url);
	wsf_proxy_clear(&proxy);
	wsf_proxy_clear(NULL);
}
END_TEST

START_TEST(userinfo_is_nowhere_in_memory_once_the_proxy_is_cleared)
{
	static const struct {
		const char *format;
		bool good;
	} table[] = { { "http://user:%s@h", true }, { "socks5://%s@h", true }, { "user:%s@h:x", false } };

	for (unsigned i = 0; secret_searchable() && i < COUNT(table); i++) {
		char secret[SECRET_BYTES + 1], text[100], reason[200];
		struct wsf_proxy proxy;

		secret_reveal(i, secret);
		snprintf(text, sizeof(text), table[i].format, secret);
		ck_assert_int_eq(choose(&proxy, "ws://h/", text, reason, sizeof(reason)), table[i].good ? 0 : -EINVAL);
		ck_assert_uint_eq(secret_copies(i), table[i].good ? 1 : 0);
		wsf_proxy_clear(&proxy);
		ck_assert_uint_eq(secret_copies(i), 0);
	}
}
END_TEST

static Suite *proxy_suite(void)
{
	Suite *suite = suite_create("proxy");
	TCase *tcase = tcase_create("proxy");

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, the_option_counts_whatever_the_environment_says);
	tcase_add_test(tcase, the_environment_is_read_like_the_option);
	tcase_add_test(tcase, an_empty_option_is_no_proxy);
	tcase_add_test(tcase, a_local_socket_has_no_proxy);
	tcase_add_test(tcase, the_first_variable_that_is_set_counts);
	tcase_add_test(tcase, no_proxy_excepts_names_addresses_and_networks);
	tcase_add_test(tcase, an_exception_hides_a_bad_proxy);
	tcase_add_test(tcase, a_bad_proxy_is_refused_with_its_reason_and_its_variable);
	tcase_add_test(tcase, a_short_buffer_cuts_the_reason);
	tcase_add_test(tcase, userinfo_is_nowhere_in_memory_once_the_proxy_is_cleared);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(proxy_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
