/* SPDX-License-Identifier: 0BSD */
/* Hosts, ports and origins (RFC 6454): whose pages may connect. */
#include "http_private.h"

#include <arpa/inet.h>

#define MAX_PORT 65535u
#define MAX_NAME_BYTES 253
#define MAX_LABEL_BYTES 63

/* A host and its port as in a Host header or behind an Origin's scheme; IPv6 keeps its brackets. */
struct authority {
	const char *host;
	size_t host_bytes;
	unsigned port;		/* 0 = absent */
};

/* An Origin, or what is allowed of them. */
struct origin {
	const char *scheme;
	size_t scheme_bytes;
	struct authority authority;
	bool labels;		/* pattern: more of them before the host */
	bool any_port;		/* pattern */
};

/* --- parts --- */

static bool parse_address(const char *host, size_t host_bytes, struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN];

	if (host_bytes < 3 || host[0] != '[' || host_bytes - 2 >= sizeof text)
		return false;
	memcpy(text, host + 1, host_bytes - 2);
	text[host_bytes - 2] = '\0';
	return inet_pton(AF_INET6, text, address) == 1;
}

static bool is_escape(const char *text)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	return text[0] == '%' && text[1] != '\0' && strchr(digits, text[1]) != NULL && text[2] != '\0' &&
	    strchr(digits, text[2]) != NULL;
}

/* The length of the host at the start of text (RFC 3986, section 3.2.2), 0 where there is none. */
static size_t host_length(const char *text)
{
	struct in6_addr address;
	size_t length = 0;

	if (*text == '[') {
		length = strcspn(text, "]");
		return text[length] == ']' && parse_address(text, length + 1, &address) ? length + 1 : 0;
	}
	while (wsf_http_is_alnum(text[length]) || is_escape(text + length) ||
	    (text[length] != '\0' && strchr("-._~!$&'()*+,;=", text[length]) != NULL))
		length++;
	return length;
}

static bool parse_authority(struct authority *authority, const char *text)
{
	authority->host = text;
	authority->host_bytes = host_length(text);
	authority->port = 0;
	if (authority->host_bytes == 0)
		return false;
	text += authority->host_bytes;
	if (*text != ':')
		return *text == '\0';
	for (text++; wsf_http_is_digit(*text); text++) {
		authority->port = authority->port * 10 + (unsigned)(*text - '0');
		if (authority->port > MAX_PORT)
			return false;
	}
	return *text == '\0';
}

bool wsf_http_authority_valid(const char *text)
{
	struct authority authority;

	return parse_authority(&authority, text);
}

/* Past the scheme and its "://" (RFC 3986, section 3.1), or NULL. */
static const char *parse_scheme(struct origin *origin, const char *text)
{
	size_t length = 0;

	while (wsf_http_is_alnum(text[length]) || (text[length] != '\0' && strchr("+-.", text[length]) != NULL))
		length++;
	if (length == 0 || !wsf_http_is_alnum(*text) || wsf_http_is_digit(*text) ||
	    strncmp(text + length, "://", 3) != 0)
		return NULL;
	origin->scheme = text;
	origin->scheme_bytes = length;
	return text + length + 3;
}

static bool parse_origin(struct origin *origin, const char *text)
{
	const char *rest;

	*origin = (struct origin){ 0 };
	rest = parse_scheme(origin, text);
	return rest != NULL && parse_authority(&origin->authority, rest);
}

/* The length of a label, so far as it is one. */
static size_t label_length(const char *text, const char *end)
{
	const char *p = text;

	while (p < end && (wsf_http_is_alnum(*p) || strchr("-_~", *p) != NULL))
		p++;
	return (size_t)(p - text);
}

/* Labels with a dot between them; one may be behind the last. */
static bool labels_valid(const char *text, const char *end, bool *numeric)
{
	size_t length;

	while (text < end) {
		length = label_length(text, end);
		if (length == 0 || length > MAX_LABEL_BYTES)
			return false;
		*numeric = strspn(text, "0123456789") >= length;
		text += length;
		if (text < end && *text++ != '.')
			return false;
	}
	return true;
}

/* --- patterns --- */

static bool parse_port(struct origin *pattern, const char *text)
{
	if (*text != ':')
		return *text == '\0';
	pattern->any_port = strcmp(text, ":*") == 0;
	if (pattern->any_port)
		return true;
	for (text++; wsf_http_is_digit(*text); text++) {
		pattern->authority.port = pattern->authority.port * 10 + (unsigned)(*text - '0');
		if (pattern->authority.port > MAX_PORT)
			return false;
	}
	return *text == '\0' && pattern->authority.port != 0;
}

static bool parse_pattern(struct origin *pattern, const char *text)
{
	struct authority *authority = &pattern->authority;
	struct in6_addr address;
	bool numeric = false;

	*pattern = (struct origin){ 0 };
	text = parse_scheme(pattern, text);
	if (text == NULL)
		return false;
	pattern->labels = strncmp(text, "*.", 2) == 0;
	if (pattern->labels)
		text += 2;
	authority->host = text;
	authority->host_bytes = *text == '[' ? host_length(text) : strcspn(text, ":");
	if (authority->host_bytes == 0 || !parse_port(pattern, text + authority->host_bytes))
		return false;
	if (*text == '[')
		return !pattern->labels && parse_address(text, authority->host_bytes, &address);
	/* Nothing stands before an address. */
	return authority->host_bytes <= MAX_NAME_BYTES &&
	    labels_valid(text, text + authority->host_bytes, &numeric) && !(pattern->labels && numeric);
}

bool wsf_http_origin_valid(const char *text)
{
	struct origin pattern;

	return strcmp(text, "*") == 0 || strcmp(text, "null") == 0 || parse_pattern(&pattern, text);
}

/* --- comparing --- */

/* What stands for an absent one; 0 = not known. */
static unsigned standard_port(const struct origin *origin)
{
	static const struct {
		const char *scheme;
		unsigned port;
	} schemes[] = { { "http", 80 }, { "https", 443 }, { "ws", 80 }, { "wss", 443 } };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		if (strlen(schemes[i].scheme) == origin->scheme_bytes &&
		    wsf_http_equal_bytes(origin->scheme, schemes[i].scheme, origin->scheme_bytes, true))
			return schemes[i].port;
	}
	return 0;
}

static bool same_host(const struct authority *a, const struct authority *b)
{
	struct in6_addr one, other;

	if (parse_address(a->host, a->host_bytes, &one) && parse_address(b->host, b->host_bytes, &other))
		return memcmp(&one, &other, sizeof one) == 0;
	return a->host_bytes == b->host_bytes && wsf_http_equal_bytes(a->host, b->host, a->host_bytes, true);
}

/* One label or more, and a dot, before the pattern's host. */
static bool host_below(const struct authority *host, const struct authority *pattern)
{
	size_t more = host->host_bytes - pattern->host_bytes;
	bool numeric;

	return host->host_bytes > pattern->host_bytes + 1 && host->host[more - 1] == '.' &&
	    wsf_http_equal_bytes(host->host + more, pattern->host, pattern->host_bytes, true) &&
	    labels_valid(host->host, host->host + more - 1, &numeric) && host->host[more - 2] != '.';
}

static bool same_port(const struct authority *a, const struct authority *b, unsigned standard)
{
	return (a->port != 0 ? a->port : standard) == (b->port != 0 ? b->port : standard);
}

static bool matches(const struct origin *origin, const char *text)
{
	struct origin pattern;

	if (!parse_pattern(&pattern, text) || pattern.scheme_bytes != origin->scheme_bytes ||
	    !wsf_http_equal_bytes(pattern.scheme, origin->scheme, origin->scheme_bytes, true))
		return false;
	if (!(pattern.labels ? host_below : same_host)(&origin->authority, &pattern.authority))
		return false;
	return pattern.any_port || same_port(&origin->authority, &pattern.authority, standard_port(origin));
}

/* Only of the web's own schemes: a Host header has none. */
static bool same_origin(const struct origin *origin, const char *host_header)
{
	struct authority ours;

	return origin->scheme_bytes >= 4 && wsf_http_equal_bytes(origin->scheme, "http", 4, true) &&
	    standard_port(origin) != 0 && parse_authority(&ours, host_header) &&
	    same_port(&origin->authority, &ours, standard_port(origin)) && same_host(&origin->authority, &ours);
}

/* Browsers always send an Origin: a request without one comes from no page, and no page can be misused for it. */
bool wsf_http_origin_allowed(const struct wsf_http *http, const char *const *allowed)
{
	const char *text = wsf_http_field(http, "Origin");
	struct origin origin;
	bool parsed;

	if (text == NULL)
		return true;
	if (wsf_http_field_count(http, "Origin") > 1)
		return false;
	parsed = parse_origin(&origin, text);
	if (allowed == NULL)
		return parsed && same_origin(&origin, wsf_http_field(http, "Host"));
	for (; *allowed != NULL; allowed++) {
		if (strcmp(*allowed, "*") == 0 || (strcmp(*allowed, "null") == 0 && strcmp(text, "null") == 0) ||
		    (parsed && matches(&origin, *allowed)))
			return true;
	}
	return false;
}
