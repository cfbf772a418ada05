/* SPDX-License-Identifier: 0BSD */
/*
 * What http.c (parsing, look-ups) and http_handshake.c (formatting, judging) share: characters and comparisons. The C
 * library's depend on the program's locale; HTTP's don't.
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

#endif
