/* SPDX-License-Identifier: 0BSD */
/*
 * What http.c (parsing, look-ups), http_handshake.c, http_lists.c, http_origin.c and http_connect.c (formatting,
 * judging) share: characters and comparisons, for the C library's depend on the program's locale and HTTP's don't, and
 * a text that grows.
 */
#ifndef WSF_HTTP_PRIVATE_H
#define WSF_HTTP_PRIVATE_H

#include <string.h>

#include "http.h"

static inline char wsf_http_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static inline bool wsf_http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool wsf_http_is_alnum(char c)
{
	char lower = wsf_http_lower(c);

	return wsf_http_is_digit(c) || (lower >= 'a' && lower <= 'z');
}

static inline bool wsf_http_equal_bytes(const char *a, const char *b, size_t size, bool fold)
{
	for (size_t i = 0; i < size; i++) {
		if (a[i] != b[i] && (!fold || wsf_http_lower(a[i]) != wsf_http_lower(b[i])))
			return false;
	}
	return true;
}

static inline bool wsf_http_equal_fold(const char *a, const char *b)
{
	size_t size = strlen(a);

	return size == strlen(b) && wsf_http_equal_bytes(a, b, size, true);
}

/* As wsf_http_has_token, but the case counts unless fold. */
bool wsf_http_lists_have(const struct wsf_http *http, const char *name, const char *token, bool fold);

/*
 * Whether the list of all fields of that name has an element, and all are tokens; tokens that differ; or extensions and
 * their parameters as in RFC 6455, section 9.1. True where there is no such field.
 */
bool wsf_http_tokens_valid(const struct wsf_http *http, const char *name);
bool wsf_http_tokens_unique(const struct wsf_http *http, const char *name);
bool wsf_http_extensions_valid(const struct wsf_http *http);

/* Whether text is a host with or without a port, as in a Host header. */
bool wsf_http_authority_valid(const char *text);
/* Whether a request may come from where it says; allowed as in ws_options. */
bool wsf_http_origin_allowed(const struct wsf_http *http, const char *const *allowed);

/* Zero-initialised = empty. Once memory has run out it stays so. What it held is wiped wherever it is freed. */
struct wsf_http_text {
	char *bytes;
	size_t length, capacity;
	bool failed;
};

void wsf_http_append(struct wsf_http_text *text, const char *piece);
/* "Name: value" and each of lines (NULL-terminated, or NULL), with their line ends. */
void wsf_http_append_field(struct wsf_http_text *text, const char *name, const char *value);
void wsf_http_append_lines(struct wsf_http_text *text, const char *const *lines);
/* The text, the caller's from now on, and its length; NULL = out of memory. */
char *wsf_http_finish(struct wsf_http_text *text, size_t *size);

#endif
