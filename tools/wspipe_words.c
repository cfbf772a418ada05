/* SPDX-License-Identifier: 0BSD */
/*
 * The library names a wrong option by its field in struct ws_options. Whoever uses the command knows another name. And
 * what the library can only tell, the command may have an option against.
 */
#include "wspipe.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *field, *connecting, *listening;
} words[] = {
	{ "allowed_origins", "--origin-allow", "--origin-allow" },
	{ "bearer", "--bearer-file", "--bearer-file" },
	{ "ca_dir", "--ca", "--client-ca" },
	{ "ca_file", "--ca", "--client-ca" },
	{ "cert_file", "--client-cert", "--cert" },
	{ "close_timeout_ms", "--close-timeout", "--close-timeout" },
	{ "connect_timeout_ms", "--connect-timeout", "--connect-timeout" },
	{ "handshake_timeout_ms", "--handshake-timeout", "--handshake-timeout" },
	{ "headers", "--header", "--header" },
	{ "key_file", "--client-key", "--key" },
	{ "key_password", "--key-password-file", "--key-password-file" },
	{ "origin", "--origin", "--origin" },
	{ "pin_sha256", "--pin", "--pin" },
	{ "ping_interval_ms", "--ping", "--ping" },
	{ "server_name", "--server-name", "--server-name" },
	{ "subprotocols", "--subprotocol", "--subprotocol" },
	{ "userinfo", "--user", "--user" },
};

static const char *find(const char *word, size_t size, bool listening)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strlen(words[i].field) == size && strncmp(words[i].field, word, size) == 0)
			return listening ? words[i].listening : words[i].connecting;
	return NULL;
}

/* A field's index says nothing to whoever has given the option once. "certificates[1].cert_file" is --cert, too. */
static const char *skip_index(const char *text)
{
	const char *end = *text == '[' ? strchr(text, ']') : NULL;

	return end ? end + 1 : text;
}

static size_t word_size(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789");
}

/* Of what is English, too, only a word where a field's name stands is meant. */
const char *wspipe_in_our_words(char line[WSPIPE_LINE], const char *text, bool listening)
{
	const char *at = strncmp(text, "cannot read ", 12) == 0 ? text + 12 :
	    strncmp(text, "cannot use ", 11) == 0 ? text + 11 : text;
	const char *field = at, *option;
	size_t size = word_size(field);

	if (size == 12 && strncmp(field, "certificates", size) == 0 && *skip_index(field + size) == '.') {
		field = skip_index(field + size) + 1;
		size = word_size(field);
	}
	option = find(field, size, listening);
	if (!option)
		return text;
	snprintf(line, WSPIPE_LINE, "%.*s%s%s", (int)(at - text), text, option, skip_index(field + size));
	return line;
}

static bool is_redirect(int status)
{
	return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

const char *wspipe_hint(const struct ws_error *error)
{
	if (error->http_status == 401)
		return "--user-file or --bearer-file logs in";
	if (error->http_status == 407)
		return "a proxy's user and password stand in its URL";
	if (is_redirect(error->http_status))
		return "--max-redirects follows it";
	if (error->error != EKEYREJECTED)
		return NULL;
	/* In the words of OpenSSL. */
	if (strstr(error->text, "self-signed certificate") || strstr(error->text, "issuer certificate"))
		return "--ca says whom to trust";
	return strstr(error->text, "mismatch") ? "--server-name says which name to look for" : NULL;
}
