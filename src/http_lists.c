/* SPDX-License-Identifier: 0BSD */
/* The syntax of lists in a handshake: RFC 6455, sections 4.2.1 and 9.1, has what breaks its grammar refused. */
#include "http_private.h"

/* So that comparing each with each stays cheap. */
#define MAX_UNIQUE 128

struct piece {
	const char *start;
	size_t length;
};

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

static bool take_token(const char **text, struct piece *token)
{
	token->start = *text;
	token->length = wsf_http_token_length(*text);
	*text = skip_blanks(*text + token->length);
	return token->length > 0;
}

/* One that stands for a token, which is all that may be in it. */
static bool take_quoted(const char **text)
{
	const char *p = *text + 1;
	size_t length = 0;

	for (; *p != '"'; p++, length++) {
		if (*p == '\\')
			p++;
		if (wsf_http_token_length(p) == 0)
			return false;
	}
	*text = skip_blanks(p + 1);
	return length > 0;
}

static bool take_parameter(const char **text)
{
	struct piece token;

	if (!take_token(text, &token))
		return false;
	if (**text != '=')
		return true;
	*text = skip_blanks(*text + 1);
	return **text == '"' ? take_quoted(text) : take_token(text, &token);
}

static bool take_extension(const char **text)
{
	struct piece token;

	if (!take_token(text, &token))
		return false;
	while (**text == ';') {
		*text = skip_blanks(*text + 1);
		if (!take_parameter(text))
			return false;
	}
	return true;
}

/* What one element is; it leaves the text at the comma behind. */
typedef bool take_element(const char **text, void *user);

/*
 * All fields of that name are one list (RFC 9110, section 5.3), where empty elements don't count (section 5.6.1) and
 * one at least must be another. True where there is no such field.
 */
static bool list_valid(const struct wsf_http *http, const char *name, take_element *take, void *user)
{
	struct wsf_http_field field = { 0 };
	bool any = false, found = false;

	while (wsf_http_next_field(http, &field)) {
		const char *text = field.value;

		if (!wsf_http_equal_fold(field.name, name))
			continue;
		any = true;
		for (text = skip_blanks(text); *text != '\0'; text = skip_blanks(text)) {
			if (*text != ',') {
				found = true;
				if (!take(&text, user) || (*text != ',' && *text != '\0'))
					return false;
			}
			text += *text == ',';
		}
	}
	return found || !any;
}

static bool is_token(const char **text, void *user)
{
	struct piece token;

	(void)user;
	return take_token(text, &token);
}

static bool is_extension(const char **text, void *user)
{
	(void)user;
	return take_extension(text);
}

struct seen {
	struct piece tokens[MAX_UNIQUE];
	size_t count;
};

static bool is_new_token(const char **text, void *user)
{
	struct seen *seen = user;
	struct piece token;

	if (!take_token(text, &token) || seen->count == MAX_UNIQUE)
		return false;
	for (size_t i = 0; i < seen->count; i++) {
		if (seen->tokens[i].length == token.length &&
		    wsf_http_equal_bytes(seen->tokens[i].start, token.start, token.length, false))
			return false;
	}
	seen->tokens[seen->count++] = token;
	return true;
}

bool wsf_http_tokens_valid(const struct wsf_http *http, const char *name)
{
	return list_valid(http, name, is_token, NULL);
}

bool wsf_http_tokens_unique(const struct wsf_http *http, const char *name)
{
	struct seen seen;

	seen.count = 0;
	return list_valid(http, name, is_new_token, &seen);
}

bool wsf_http_extensions_valid(const struct wsf_http *http)
{
	return list_valid(http, "Sec-WebSocket-Extensions", is_extension, NULL);
}
