/* SPDX-License-Identifier: 0BSD */
/*
 * What a program or its environment gives as text: a mode, options, and the way through a proxy. The input is lines:
 * "name value", a name at a time of those in the tables below or of an environment variable; "host " is what is asked
 * for. Accepted options are copied whole and could be sent as they are; the list of exceptions is read as by a second,
 * plainer reader.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <strings.h>

#include "fuzz.h"
#include "http.h"
#include "options.h"
#include "proxy.h"

#define LINES_MAX 60
#define REASON_BYTES 200

/* The input's lines; both strings of each are in one piece of memory. */
static struct line {
	char *name, *value;
} lines[LINES_MAX];
static size_t line_count;

static void read_lines(struct fuzz_input *in)
{
	for (line_count = 0; line_count < LINES_MAX && in->left > 0; line_count++) {
		char *name = fuzz_line(in), *space = strchr(name, ' ');

		if (space != NULL)
			*space = '\0';
		lines[line_count] = (struct line){ name, space != NULL ? space + 1 : name + strlen(name) };
	}
}

static void free_lines(void)
{
	while (line_count > 0)
		free(lines[--line_count].name);
}

/* The first of that name, or NULL. */
static char *look_up(const char *name)
{
	for (size_t i = 0; i < line_count; i++) {
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].value;
	}
	return NULL;
}

/* All of that name, ended with NULL; NULL = none. */
static const char *const *list_of(const char *name, const char **list)
{
	size_t count = 0;

	for (size_t i = 0; i < line_count; i++) {
		if (strcmp(lines[i].name, name) == 0)
			list[count++] = lines[i].value;
	}
	list[count] = NULL;
	return count > 0 ? list : NULL;
}

/* --- options --- */

static const struct {
	const char *name;
	size_t offset;
} texts[] = {
	{ "origin", offsetof(struct ws_options, origin) }, { "user_agent", offsetof(struct ws_options, user_agent) },
	{ "path", offsetof(struct ws_options, path) }, { "server_name", offsetof(struct ws_options, server_name) },
	{ "userinfo", offsetof(struct ws_options, userinfo) }, { "bearer", offsetof(struct ws_options, bearer) },
	{ "cert_file", offsetof(struct ws_options, cert_file) }, { "key_file", offsetof(struct ws_options, key_file) },
	{ "proxy", offsetof(struct ws_options, proxy) }, { "url", offsetof(struct ws_options, url) },
}, lists[] = {
	{ "subprotocol", offsetof(struct ws_options, subprotocols) },
	{ "header", offsetof(struct ws_options, headers) },
	{ "allow", offsetof(struct ws_options, allowed_origins) },
	{ "pin", offsetof(struct ws_options, pin_sha256) },
};

static const char *text_at(const struct ws_options *values, size_t offset)
{
	const char *text;

	memcpy(&text, (const char *)values + offset, sizeof(text));
	return text;
}

static const char *const *list_at(const struct ws_options *values, size_t offset)
{
	const char *const *list;

	memcpy(&list, (const char *)values + offset, sizeof(list));
	return list;
}

static void check_copied(const struct ws_options *in, const struct ws_options *out)
{
	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *one = text_at(in, texts[i].offset), *other = text_at(out, texts[i].offset);

		REQUIRE((one == NULL && (other == NULL || strcmp(texts[i].name, "user_agent") == 0)) ||
		    (one != NULL && one != other && strcmp(one, other) == 0));
	}
	for (size_t i = 0; i < COUNT(lists); i++) {
		const char *const *one = list_at(in, lists[i].offset), *const *other = list_at(out, lists[i].offset);
		size_t at = 0;

		REQUIRE((one == NULL) == (other == NULL) && (one == NULL || one != other));
		for (; one != NULL && one[at] != NULL; at++)
			REQUIRE(other[at] != NULL && one[at] != other[at] && strcmp(one[at], other[at]) == 0);
		REQUIRE(other == NULL || other[at] == NULL);
	}
}

/* Sent as they are, they are one header block of as many fields as were asked for. */
static void check_sendable(const struct ws_options *values)
{
	const struct wsf_http_upgrade upgrade = {
		.host = "h", .target = "/", .key = FUZZ_KEY, .origin = values->origin,
		.user_agent = values->user_agent, .subprotocols = values->subprotocols, .headers = values->headers,
	};
	size_t size, used, count = 5, headers = 0;
	char *text = wsf_http_format_upgrade(&upgrade, &size);
	struct wsf_http http;
	const char *reason;

	while (values->headers != NULL && values->headers[headers] != NULL)
		headers++;
	count += headers + (values->origin != NULL) + (values->user_agent[0] != '\0') + (values->subprotocols != NULL);
	wsf_http_init(&http, WSF_HTTP_REQUEST, 1 << 20);
	REQUIRE(text != NULL && wsf_http_feed(&http, text, size, &used, &reason) == 1 && used == size);
	REQUIRE(http.field_count == count && wsf_http_field_count(&http, "Host") == 1);
	REQUIRE(wsf_http_field_count(&http, "Sec-WebSocket-Key") == 1);
	wsf_http_clear(&http);
	free(text);
}

static void check_options(void)
{
	static const char *list_store[COUNT(lists)][LINES_MAX + 1];
	struct ws_options in = WS_OPTIONS_INIT;
	struct wsf_failure failure = { 0 };
	struct wsf_options *options;
	int rv;

	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *text = look_up(texts[i].name);

		memcpy((char *)&in + texts[i].offset, &text, sizeof(text));
	}
	for (size_t i = 0; i < COUNT(lists); i++) {
		const char *const *list = list_of(lists[i].name, list_store[i]);

		memcpy((char *)&in + lists[i].offset, &list, sizeof(list));
	}
	rv = wsf_options_copy(&options, &in, &failure);
	REQUIRE(rv == 0 || rv == -EINVAL);
	if (rv != 0) {
		REQUIRE(options == NULL && failure.text[0] != '\0');
		REQUIRE(fuzz_one_line(failure.text, sizeof(failure.text)));
		return;
	}
	check_copied(&in, wsf_options_get(options));
	check_sendable(wsf_options_get(options));
	wsf_options_forget_secrets(options);
	REQUIRE(wsf_options_get(options)->bearer == NULL && wsf_options_get(options)->proxy == NULL);
	wsf_options_unref(options);
}

static void check_mode(const char *text)
{
	struct wsf_failure failure = { 0 };
	struct wsf_mode mode;
	int rv = wsf_mode_parse(&mode, text, &failure);

	REQUIRE(rv == 0 || (rv == -EINVAL && failure.text[0] != '\0'));
	if (rv != 0)
		return;
	REQUIRE((text[0] == 'r' || text[0] == 'w') && strspn(text + 1, "+bet") == strlen(text + 1));
	REQUIRE(strlen(text) <= 5 && (mode.read || mode.write) && mode.text == (strchr(text, 't') != NULL));
	REQUIRE((mode.read && mode.write) == (strchr(text, '+') != NULL));
}

/* --- a proxy --- */

/* Whether a name is one of the list, or below one; of addresses only the plain ones are looked at. */
static bool is_named(const char *list, const char *host)
{
	size_t host_bytes = strlen(host);

	if (host_bytes > 0 && host[host_bytes - 1] == '.')
		host_bytes--;
	for (const char *p = list; *p != '\0';) {
		size_t length = strcspn(p, ", \t"), skipped = *p == '.' && length > 0, dot;

		dot = length > skipped && p[length - 1] == '.';
		if (length == 1 && *p == '*')
			return true;
		if (length > skipped + dot && length - skipped - dot <= host_bytes) {
			size_t bytes = length - skipped - dot, before = host_bytes - bytes;

			if (strncasecmp(host + before, p + skipped, bytes) == 0 &&
			    (before == 0 || host[before - 1] == '.'))
				return true;
		}
		p += length + (p[length] != '\0');
	}
	return false;
}

/* As if there were no exceptions. */
static char *look_up_proxy(const char *name)
{
	return strcasecmp(name, "no_proxy") == 0 ? NULL : look_up(name);
}

/* Whether an address is one of the list as it is written there; networks are not looked at. */
static bool has_entry(const char *list, const char *text)
{
	for (const char *p = list; *p != '\0';) {
		size_t length = strcspn(p, ", \t");

		if ((length == 1 && *p == '*') || (length == strlen(text) && strncmp(p, text, length) == 0))
			return true;
		p += length + (p[length] != '\0');
	}
	return false;
}

static void check_exceptions(const struct wsf_proxy *proxy, int rv, const struct wsf_url *url)
{
	const char *list = look_up("no_proxy");
	unsigned char address[16];
	char reason[REASON_BYTES];
	struct wsf_proxy other;
	int other_rv;

	if (list == NULL || *list == '\0')
		list = look_up("NO_PROXY");
	if (list == NULL)
		list = "";
	if (inet_pton(AF_INET, url->host, address) == 1 || url->ipv6) {
		REQUIRE(!has_entry(list, url->host) || proxy->kind == WSF_PROXY_NONE);
		return;
	}
	other_rv = wsf_proxy_choose(&other, url, NULL, look_up_proxy, reason, sizeof(reason));
	if (is_named(list, url->host))
		REQUIRE(rv == 0 && proxy->kind == WSF_PROXY_NONE);
	else
		REQUIRE(rv == other_rv && proxy->kind == other.kind);
	wsf_proxy_clear(&other);
}

static void check_proxy(const char *option)
{
	char reason[REASON_BYTES];
	const char *host = look_up("host");
	struct wsf_proxy proxy;
	struct wsf_url url;
	int rv;

	if (host == NULL || wsf_url_parse(&url, host, WSF_URL_CONNECT, reason, sizeof(reason)) != 0)
		return;
	rv = wsf_proxy_choose(&proxy, &url, option, look_up, reason, sizeof(reason));
	REQUIRE(rv == 0 || rv == -EINVAL || rv == -EPROTONOSUPPORT);
	if (rv != 0)
		REQUIRE(reason[0] != '\0' && fuzz_one_line(reason, sizeof(reason)));
	REQUIRE((proxy.host != NULL) == (proxy.kind != WSF_PROXY_NONE) && (rv == 0 || proxy.kind == WSF_PROXY_NONE));
	if (proxy.kind != WSF_PROXY_NONE) {
		REQUIRE(proxy.host[0] != '\0' && proxy.port >= 1 && proxy.port <= 65535 && url.socket == NULL);
		REQUIRE(proxy.userinfo == NULL || strchr(proxy.userinfo, ':') != NULL);
	}
	if (option == NULL && url.socket == NULL)
		check_exceptions(&proxy, rv, &url);
	wsf_proxy_clear(&proxy);
	wsf_url_clear(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	const char *mode;

	read_lines(&in);
	mode = look_up("mode");
	if (mode != NULL)
		check_mode(mode);
	check_options();
	check_proxy(NULL);
	check_proxy(look_up("proxy"));
	free_lines();
	return 0;
}
