/* SPDX-License-Identifier: 0BSD */
/* What an HTTP proxy is asked, and the realm in which it or a server wants to know the user. */
#include "http_private.h"

#include <string.h>

char *wsf_http_format_connect(const char *authority, const char *user_agent, const char *proxy_authorization,
    size_t *size)
{
	struct wsf_http_text text = {0};

	/* RFC 9110, section 9.3.6; Host is the target's, not the proxy's (RFC 9112, section 3.2). */
	wsf_http_append(&text, "CONNECT ");
	wsf_http_append(&text, authority);
	wsf_http_append(&text, " HTTP/1.1\r\n");
	wsf_http_append_field(&text, "Host", authority);
	if (user_agent != NULL && *user_agent != '\0')
		wsf_http_append_field(&text, "User-Agent", user_agent);
	if (proxy_authorization != NULL)
		wsf_http_append_field(&text, "Proxy-Authorization", proxy_authorization);
	wsf_http_append(&text, "\r\n");
	return wsf_http_finish(&text, size);
}

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

/*
 * The value of a parameter, a token or a quoted string (RFC 9110, sections 5.6.4 and 11.2), into out, cut to fit.
 * Returns what follows; a string without its second quote goes on to the end.
 */
static const char *take_value(const char *in, char *out, size_t out_bytes)
{
	bool quoted = *in == '"';
	size_t used = 0;

	if (quoted)
		in++;
	while (*in != '\0' && (quoted ? *in != '"' : strchr(" \t,\"", *in) == NULL)) {
		if (quoted && *in == '\\' && in[1] != '\0')
			in++;
		if (used + 1 < out_bytes)
			out[used++] = *in;
		in++;
	}
	out[used] = '\0';
	return quoted && *in == '"' ? in + 1 : in;
}

/*
 * The first realm that is not empty in one field's challenges: schemes, each with one token or with parameters (RFC
 * 9110, section 11.6.1). What is in quotes is never taken for a parameter's name. out is "" where there is none.
 */
static void find_realm(const char *in, char *out, size_t out_bytes)
{
	static const char name[] = "realm";

	out[0] = '\0';
	while (*in != '\0' && out[0] == '\0') {
		char ignored[1];
		const char *word;
		size_t length;

		word = in + strspn(in, " \t,=");
		length = strcspn(word, " \t,=\"");
		in = skip_blanks(word + length);
		if (*in == '"') {
			in = take_value(in, ignored, sizeof(ignored));
		} else if (*in == '=') {
			bool wanted = length == strlen(name) && wsf_http_equal_bytes(word, name, length, true);

			in = take_value(skip_blanks(in + 1), wanted ? out : ignored, wanted ? out_bytes :
			    sizeof(ignored));
		}
	}
}

void wsf_http_realm(const struct wsf_http *http, char *out, size_t out_bytes)
{
	struct wsf_http_field field = { 0 };
	const char *name = http->status == 407 ? "Proxy-Authenticate" : "WWW-Authenticate";

	if (out_bytes == 0)
		return;
	out[0] = '\0';
	if (!http->complete || (http->status != 401 && http->status != 407))
		return;
	while (out[0] == '\0' && wsf_http_next_field(http, &field)) {
		if (wsf_http_equal_fold(field.name, name))
			find_realm(field.value, out, out_bytes);
	}
}
