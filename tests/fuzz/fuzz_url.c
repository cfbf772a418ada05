/* SPDX-License-Identifier: 0BSD */
/*
 * The URLs of streams and listeners. The first byte says which ('c' or 'l'), the rest is the text. What is accepted is
 * in order in every part, and as text again it stands for the same.
 */
#include <errno.h>
#include <stdio.h>

#include "fuzz.h"
#include "url.h"

#define REASON_BYTES 160

static bool is_visible(const char *text)
{
	while (*text > ' ' && *text <= '~')
		text++;
	return *text == '\0';
}

static void check_refusal(const struct wsf_url *url, int rv, const char *reason)
{
	const struct wsf_url nothing = { 0 };

	REQUIRE(rv == -EINVAL);
	REQUIRE(reason[0] != '\0' && fuzz_one_line(reason, REASON_BYTES));
	REQUIRE(url->userinfo == NULL && url->socket == NULL && url->host == NULL && url->target == NULL);
	REQUIRE(url->port == nothing.port && url->secure == nothing.secure && url->ipv6 == nothing.ipv6);
}

static void check_parts(const struct wsf_url *url, enum wsf_url_use use)
{
	size_t host_bytes = strlen(url->host);

	REQUIRE(host_bytes >= 1 && host_bytes <= 255 && is_visible(url->host) && url->host[0] != '.');
	REQUIRE(strpbrk(url->host, "/?#@[]%ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
	REQUIRE(url->ipv6 == (strchr(url->host, ':') != NULL));
	REQUIRE(url->port <= 65535 && (url->port > 0 || (use == WSF_URL_LISTEN && url->socket == NULL)));
	REQUIRE(url->target[0] == '/' && is_visible(url->target) && strchr(url->target, '#') == NULL);
	if (url->userinfo != NULL) {
		REQUIRE(strchr(url->userinfo, ':') != NULL && url->socket == NULL);
		for (const char *p = url->userinfo; *p != '\0'; p++)
			REQUIRE((unsigned char)*p >= ' ' && *p != 0x7f);
	}
	if (url->socket != NULL) {
		REQUIRE(strlen(url->socket) >= 1 && strlen(url->socket) <= 107 && strcmp(url->socket, "@") != 0);
		REQUIRE(strcmp(url->host, "localhost") == 0 && url->port == (url->secure ? 443u : 80u));
	}
}

static bool same_text(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void check_again(const struct wsf_url *url, enum wsf_url_use use)
{
	char reason[REASON_BYTES], *text = wsf_url_format(url, url->port, url->target);
	struct wsf_url again;

	REQUIRE(text != NULL && is_visible(text) && strchr(text, '#') == NULL);
	REQUIRE(wsf_url_parse(&again, text, use, reason, sizeof(reason)) == 0);
	REQUIRE(again.secure == url->secure && again.port == url->port && again.ipv6 == url->ipv6);
	REQUIRE(same_text(again.socket, url->socket) && same_text(again.host, url->host));
	REQUIRE(same_text(again.target, url->target) && again.userinfo == NULL);
	wsf_url_clear(&again);
	free(text);
}

/* In just as much room as it needs, and in one byte less. */
static void check_host_header(const struct wsf_url *url)
{
	char whole[300], *exact;
	size_t size;

	REQUIRE(wsf_url_host_header(url, whole, sizeof(whole)) == 0);
	REQUIRE(is_visible(whole));
	size = strlen(whole) + 1;
	exact = fuzz_memory(size);
	REQUIRE(wsf_url_host_header(url, exact, size) == 0 && strcmp(exact, whole) == 0);
	REQUIRE(wsf_url_host_header(url, exact, size - 1) == -ENAMETOOLONG);
	free(exact);
}

/* With a reason that fits nowhere the verdict is the same. */
static void check_short_reason(const char *text, enum wsf_url_use use, int rv, size_t room)
{
	char *reason = fuzz_memory(room);
	struct wsf_url url;

	REQUIRE(wsf_url_parse(&url, text, use, reason, room) == rv);
	REQUIRE(room == 0 || memchr(reason, 0, room) != NULL);
	wsf_url_clear(&url);
	free(reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	enum wsf_url_use use = fuzz_byte(&in) % 2 == 1 ? WSF_URL_CONNECT : WSF_URL_LISTEN;
	char reason[REASON_BYTES], *text = fuzz_rest(&in);
	struct wsf_url url;
	int rv = wsf_url_parse(&url, text, use, reason, sizeof(reason));

	if (rv != 0) {
		check_refusal(&url, rv, reason);
	} else {
		REQUIRE(reason[0] == '\0');
		check_parts(&url, use);
		check_again(&url, use);
		check_host_header(&url);
	}
	check_short_reason(text, use, rv, fuzz_variation % 12);
	wsf_url_clear(&url);
	free(text);
	return 0;
}
