/* SPDX-License-Identifier: 0BSD */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "uri.h"
#include "wipe.h"

#define DEFAULT_PORT 1080
#define SHOWN_SCHEME_BYTES 32
#define SEPARATORS ", \t"
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

typedef char *lookup_function(const char *name);

/* Of each pair that counts for a scheme the lower-case name, then the upper-case one. */
static const char *const secure_names[] = {
	"wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"
};
/* A CGI program finds its client's header Proxy in HTTP_PROXY. */
static const char *const plain_names[] = { "ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY" };
static const char *const exception_names[] = { "no_proxy", "NO_PROXY" };

/* The name of the first variable that is set, or NULL. */
static const char *first_set(const char *const *names, size_t count, lookup_function *lookup)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = lookup(names[i]);

		if (value != NULL && *value != '\0')
			return names[i];
	}
	return NULL;
}

/* --- no_proxy --- */

/* An address in network order; its bytes are 4 or 16, or 0 where text is none. */
struct address {
	unsigned char bytes[16];
	size_t size;
};

static struct address read_address(const char *text)
{
	struct address address = { .size = 0 };

	if (inet_pton(AF_INET, text, address.bytes) == 1)
		address.size = 4;
	else if (inet_pton(AF_INET6, text, address.bytes) == 1)
		address.size = 16;
	return address;
}

/* The digits of a prefix's length, or -1. */
static int prefix_length(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 3 || text[digits] != '\0')
		return -1;
	return (int)strtol(text, NULL, 10);
}

static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* entry is "address" or "address/bits", and may be in brackets. */
static bool network_contains(struct wsf_span entry, const struct address *host)
{
	char text[sizeof("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]/128")];
	size_t length = wsf_span_bytes(entry);
	struct address network;
	char *slash, *start = text;
	int bits = (int)host->size * 8;

	if (length >= sizeof(text))
		return false;
	memcpy(text, entry.start, length);
	text[length] = '\0';
	slash = strchr(text, '/');
	if (slash != NULL) {
		*slash = '\0';
		bits = prefix_length(slash + 1);
	}
	length = strlen(text);
	if (length > 1 && text[0] == '[' && text[length - 1] == ']') {
		text[length - 1] = '\0';
		start++;
	}
	network = read_address(start);
	return network.size == host->size && bits >= 0 && bits <= (int)host->size * 8 &&
	    same_prefix(network.bytes, host->bytes, (unsigned)bits);
}

static struct wsf_span without_last_dot(struct wsf_span name)
{
	if (name.start < name.end && name.end[-1] == '.')
		name.end--;
	return name;
}

/* "example.org" and ".example.org" stand for example.org and www.example.org, not for anexample.org. */
static bool domain_contains(struct wsf_span entry, struct wsf_span host)
{
	size_t entry_bytes, host_bytes = wsf_span_bytes(host);
	const char *tail;

	if (entry.start < entry.end && *entry.start == '.')
		entry.start++;
	entry = without_last_dot(entry);
	entry_bytes = wsf_span_bytes(entry);
	if (entry_bytes == 0 || entry_bytes > host_bytes)
		return false;
	tail = host.end - entry_bytes;
	return strncasecmp(tail, entry.start, entry_bytes) == 0 && (tail == host.start || tail[-1] == '.');
}

static bool is_exception(const char *list, const char *host)
{
	const struct address address = read_address(host);
	const struct wsf_span name = without_last_dot((struct wsf_span){ host, host + strlen(host) });

	for (const char *p = list + strspn(list, SEPARATORS); *p != '\0'; p += strspn(p, SEPARATORS)) {
		const struct wsf_span entry = { p, p + strcspn(p, SEPARATORS) };

		if (wsf_span_equals(entry, "*"))
			return true;
		if (address.size > 0 ? network_contains(entry, &address) : domain_contains(entry, name))
			return true;
		p = entry.end;
	}
	return false;
}

/* --- the proxy's URL --- */

static int find_kind(enum wsf_proxy_kind *kind, struct wsf_span scheme, const struct wsf_uri_reason *reason)
{
	size_t shown = wsf_span_bytes(scheme);

	if (wsf_span_equals(scheme, "http")) {
		*kind = WSF_PROXY_HTTP;
	} else if (wsf_span_equals(scheme, "socks5") || wsf_span_equals(scheme, "socks5h")) {
		*kind = WSF_PROXY_SOCKS5;
	} else {
		if (shown > SHOWN_SCHEME_BYTES)
			shown = SHOWN_SCHEME_BYTES;
		wsf_uri_refuse(reason, "'s scheme is %.*s, not http or socks5", (int)shown, scheme.start);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

static int parse(struct wsf_proxy *proxy, const char *text, const struct wsf_uri_reason *reason)
{
	struct wsf_authority authority;
	struct wsf_span scheme, in;
	enum wsf_proxy_kind kind = WSF_PROXY_HTTP;
	const char *rest = text;
	int rv = wsf_uri_check(text, reason);

	if (rv != 0)
		return rv;
	if (!wsf_uri_scheme(text, &scheme, &rest))
		rest = text;
	else if ((rv = find_kind(&kind, scheme, reason)) != 0)
		return rv;
	in = (struct wsf_span){ rest, rest + strcspn(rest, "/?#") };
	/* What follows would mean nothing; it may be the end of a password with an unescaped slash, and in no host. */
	if (*in.end != '\0' && strcmp(in.end, "/") != 0)
		return wsf_uri_refuse(reason, " has text behind its host and port");
	rv = wsf_authority_parse(&authority, in, DEFAULT_PORT, false, reason);
	if (rv != 0)
		return rv;
	proxy->kind = kind;
	proxy->host = authority.host;
	proxy->port = authority.port;
	proxy->userinfo = authority.userinfo;
	return 0;
}

/* The name of the variable that holds the proxy's URL, or NULL. */
static const char *choose_variable(const struct wsf_url *url, lookup_function *lookup)
{
	const char *exceptions = first_set(exception_names, COUNT(exception_names), lookup);

	if (exceptions != NULL && is_exception(lookup(exceptions), url->host))
		return NULL;
	return url->secure ? first_set(secure_names, COUNT(secure_names), lookup) :
	    first_set(plain_names, COUNT(plain_names), lookup);
}

int wsf_proxy_choose(struct wsf_proxy *proxy, const struct wsf_url *url, const char *option,
    char *(*lookup)(const char *name), char *reason, size_t reason_bytes)
{
	struct wsf_uri_reason where = { "the proxy", reason, reason_bytes };
	const char *text = option, *name;
	int rv;

	memset(proxy, 0, sizeof(*proxy));
	if (reason_bytes > 0)
		reason[0] = '\0';
	if (url->socket != NULL)
		return 0;
	if (option == NULL && (name = choose_variable(url, lookup)) != NULL) {
		text = lookup(name);
		where.subject = name;
	}
	if (text == NULL || *text == '\0')
		return 0;
	rv = parse(proxy, text, &where);
	if (rv == -ENOMEM)
		snprintf(reason, reason_bytes, "out of memory");
	return rv;
}

void wsf_proxy_clear(struct wsf_proxy *proxy)
{
	if (proxy == NULL)
		return;
	wsf_wipe_free(proxy->userinfo);
	free(proxy->host);
	memset(proxy, 0, sizeof(*proxy));
}
