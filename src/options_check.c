/* SPDX-License-Identifier: 0BSD */
/* Whether the values of options are in range, each with the text that says why not. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "http.h"
#include "options_private.h"
#include "uri.h"

#define SUBPROTOCOL_MAX_BYTES (sizeof(((struct ws_status *)0)->subprotocol) - 1)
#define ONE_GIB ((size_t)1 << 30)
#define MAX_PINS 32

static int check_sizes(struct ws_options *values, struct wsf_failure *failure)
{
	const struct {
		const char *name;
		size_t value, least, most;
	} table[] = {
		{ "max_header_bytes", values->max_header_bytes, 256, 1048576 },
		{ "max_frame_bytes", values->max_frame_bytes, 1, ONE_GIB },
		{ "recv_buffer_bytes", values->recv_buffer_bytes, 4096, ONE_GIB },
		{ "send_buffer_bytes", values->send_buffer_bytes, 4096, ONE_GIB },
		{ "stdio_buffer_bytes", values->stdio_buffer_bytes, 0, ONE_GIB },
		{ "helper_threads", values->helper_threads, 0, WSF_HELPERS_MAX },
		{ "initial_size", values->initial_size, 0, 1048576 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].value < table[i].least || table[i].value > table[i].most)
			return wsf_fail(failure, EINVAL, "%s is %zu: it must be %zu to %zu", table[i].name,
			    table[i].value, table[i].least, table[i].most);
	}
	return 0;
}

static size_t round_up(size_t size)
{
	size_t power = 1;

	while (power < size)
		power *= 2;
	return power;
}

static void round_buffers(struct ws_options *values)
{
	values->recv_buffer_bytes = round_up(values->recv_buffer_bytes);
	values->send_buffer_bytes = round_up(values->send_buffer_bytes);
}

static int check_times(const struct ws_options *values, struct wsf_failure *failure)
{
	const struct {
		const char *name;
		int value;
		bool zero;			/* means something */
	} table[] = {
		{ "connect_timeout_ms", values->connect_timeout_ms, false },
		{ "handshake_timeout_ms", values->handshake_timeout_ms, false },
		{ "read_timeout_ms", values->read_timeout_ms, false },
		{ "write_timeout_ms", values->write_timeout_ms, false },
		{ "close_timeout_ms", values->close_timeout_ms, true },
		{ "linger_ms", values->linger_ms, true },
		{ "ping_interval_ms", values->ping_interval_ms, false },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].value < -1 || (table[i].value == 0 && !table[i].zero))
			return wsf_fail(failure, EINVAL, "%s is %d: it must be -1 (no limit) or at least %d",
			    table[i].name, table[i].value, table[i].zero ? 0 : 1);
	}
	return 0;
}

static int check_subprotocols(const char *const *list, struct wsf_failure *failure)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (!wsf_http_token_valid(list[i]))
			return wsf_fail(failure, EINVAL, "subprotocols[%zu] is not a token", i);
		if (strlen(list[i]) > SUBPROTOCOL_MAX_BYTES)
			return wsf_fail(failure, EINVAL, "subprotocols[%zu] is over %zu bytes", i,
			    SUBPROTOCOL_MAX_BYTES);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(list[i], list[j]) == 0)
				return wsf_fail(failure, EINVAL, "subprotocols[%zu] is there twice", i);
		}
	}
	return 0;
}

/* The text names a line by its number: its value may be a secret. */
static int check_headers(const char *const *list, struct wsf_failure *failure)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (!wsf_http_line_valid(list[i]))
			return wsf_fail(failure, EINVAL, "headers[%zu] is not a \"Name: value\" line", i);
		if (wsf_http_line_reserved(list[i]))
			return wsf_fail(failure, EINVAL, "headers[%zu] is one that the handshake itself sets", i);
	}
	return 0;
}

/* Past a run of ASCII letters, digits and others; not of <ctype.h>, which obeys the locale. */
static const char *skip(const char *text, const char *others)
{
	while ((*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
	    (*text != '\0' && strchr(others, *text)))
		text++;
	return text;
}

static int check_origins(const char *const *list, struct wsf_failure *failure)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (!wsf_http_origin_valid(list[i]))
			return wsf_fail(failure, EINVAL, "allowed_origins[%zu] is not \"*\" or scheme://host[:port]",
			    i);
	}
	return 0;
}

/* As a request target can hold it (what url accepts, too); query and fragment are no part of a path. */
static bool path_valid(const char *path)
{
	if (*path != '/')
		return false;
	for (; *path != '\0'; path++) {
		if (*path <= ' ' || *path > '~' || *path == '?' || *path == '#')
			return false;
	}
	return true;
}

static int check_texts(const struct ws_options *values, struct wsf_failure *failure)
{
	int error = check_subprotocols(values->subprotocols, failure);

	if (!error)
		error = check_headers(values->headers, failure);
	if (!error)
		error = check_origins(values->allowed_origins, failure);
	if (error)
		return error;
	if (values->origin && (*values->origin == '\0' || !wsf_http_value_valid(values->origin)))
		return wsf_fail(failure, EINVAL, "origin is not a header's value");
	if (!wsf_http_value_valid(values->user_agent))
		return wsf_fail(failure, EINVAL, "user_agent is not a header's value");
	if (values->path && !path_valid(values->path))
		return wsf_fail(failure, EINVAL, "path is not an absolute path without query");
	return 0;
}

bool wsf_options_name_authorization(const struct ws_options *values)
{
	for (size_t i = 0; values->headers && values->headers[i]; i++) {
		if (wsf_http_line_names(values->headers[i], "Authorization"))
			return true;
	}
	return false;
}

/* RFC 7617, section 2: a colon ends the user, and there are no control characters. */
static bool userinfo_valid(const char *text)
{
	if (!strchr(text, ':'))
		return false;
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

/* More than the b64token of RFC 6750, section 2.1, since not every issuer keeps to it; nothing that ends a value. */
static bool bearer_valid(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~')
			return false;
	}
	return true;
}

/* The texts show none of the values: they are secrets. */
static int check_authentication(const struct ws_options *values, struct wsf_failure *failure)
{
	const char *field = values->userinfo ? "userinfo" : "bearer";

	if (values->userinfo && !userinfo_valid(values->userinfo))
		return wsf_fail(failure, EINVAL, "userinfo is not \"user:password\" without control characters");
	if (values->bearer && !bearer_valid(values->bearer))
		return wsf_fail(failure, EINVAL, "bearer is not a token: one byte or more of ASCII without spaces");
	if (values->userinfo && values->bearer)
		return wsf_fail(failure, EINVAL, "userinfo and bearer are both set: a request has one authentication");
	if ((values->userinfo || values->bearer) && wsf_options_name_authorization(values))
		return wsf_fail(failure, EINVAL, "%s is set, and headers have an Authorization line, too", field);
	return 0;
}

static int check_file(const char *name, const char *file, struct wsf_failure *failure)
{
	return file && *file == '\0' ? wsf_fail(failure, EINVAL, "%s is an empty file name", name) : 0;
}

static int check_certificates(const struct ws_options *values, struct wsf_failure *failure)
{
	const struct ws_certificate *list = values->certificates;

	for (size_t i = 0; list && list[i].cert_file; i++) {
		if (*list[i].cert_file == '\0')
			return wsf_fail(failure, EINVAL, "certificates[%zu].cert_file is an empty file name", i);
		if (list[i].key_file && *list[i].key_file == '\0')
			return wsf_fail(failure, EINVAL, "certificates[%zu].key_file is an empty file name", i);
	}
	if (list && list[0].cert_file && !values->cert_file)
		return wsf_fail(failure, EINVAL, "certificates are further ones: cert_file must be set, too");
	if (values->key_file && !values->cert_file)
		return wsf_fail(failure, EINVAL, "key_file is the key of a certificate: cert_file must be set, too");
	return 0;
}

static int check_files(const struct ws_options *values, struct wsf_failure *failure)
{
	int error = check_file("ca_file", values->ca_file, failure);

	if (!error)
		error = check_file("ca_dir", values->ca_dir, failure);
	if (!error)
		error = check_file("cert_file", values->cert_file, failure);
	if (!error)
		error = check_file("key_file", values->key_file, failure);
	return error ? error : check_certificates(values, failure);
}

/* The base64 of exactly 32 bytes: 43 characters, of the last one only 4 bits (RFC 4648, section 3.5), and one "=". */
static bool pin_valid(const char *pin)
{
	static const char prefix[] = "sha256//", whole_sextets[] = "AEIMQUYcgkosw048";
	const char *digits = strncmp(pin, prefix, strlen(prefix)) == 0 ? pin + strlen(prefix) : pin;
	const char *end = skip(digits, "+/");

	return end - digits == 43 && strchr(whole_sextets, end[-1]) && strcmp(end, "=") == 0;
}

/* An empty list must not read as "any key": it is refused. */
static int check_pins(const char *const *list, struct wsf_failure *failure)
{
	if (list && !list[0])
		return wsf_fail(failure, EINVAL, "pin_sha256 has no pin: no key at all would be accepted");
	for (size_t i = 0; list && list[i]; i++) {
		if (i == MAX_PINS)
			return wsf_fail(failure, EINVAL, "pin_sha256 has more than %d pins", MAX_PINS);
		if (!pin_valid(list[i]))
			return wsf_fail(failure, EINVAL, "pin_sha256[%zu] is not the base64 of a SHA-256 (44 "
			    "characters)", i);
	}
	return 0;
}

static int check_tls(const struct ws_options *values, struct wsf_failure *failure)
{
	unsigned char address[16];
	int error = check_files(values, failure);

	if (!error)
		error = check_pins(values->pin_sha256, failure);
	if (error)
		return error;
	if (values->server_name && !wsf_uri_name_valid(values->server_name) &&
	    inet_pton(AF_INET6, values->server_name, address) != 1)
		return wsf_fail(failure, EINVAL, "server_name is neither a host name nor an address");
	return 0;
}

static int check_enums(const struct ws_options *values, struct wsf_failure *failure)
{
	const struct {
		const char *name, *type;
		unsigned value, most;
	} table[] = {
		{ "on_text", "ws_on_text", (unsigned)values->on_text, WS_TEXT_BYTES },
		{ "verify", "ws_verify", (unsigned)values->verify, WS_VERIFY_OFF },
		{ "min_tls", "ws_tls_version", (unsigned)values->min_tls, WS_TLS_1_3 },
		{ "compression", "ws_compression", (unsigned)values->compression, WS_COMPRESSION_ON },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].value > table[i].most)
			return wsf_fail(failure, EINVAL, "%s is none of enum %s", table[i].name, table[i].type);
	}
	return 0;
}

static int check_numbers(const struct ws_options *values, struct wsf_failure *failure)
{
	const struct {
		const char *name;
		int value, least, most;
	} table[] = {
		{ "backlog", values->backlog, 1, 4096 },
		{ "max_redirects", values->max_redirects, 0, 20 },
		{ "compression_level", values->compression_level, 1, 9 },
		{ "send_window_bits", values->send_window_bits, 9, 15 },
		{ "recv_window_bits", values->recv_window_bits, 9, 15 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].value < table[i].least || table[i].value > table[i].most)
			return wsf_fail(failure, EINVAL, "%s is %d: it must be %d to %d", table[i].name,
			    table[i].value, table[i].least, table[i].most);
	}
	if (values->socket_mode < 0 || values->socket_mode > 0777)
		return wsf_fail(failure, EINVAL, "socket_mode is %#o: it must be 0 to 0777",
		    (unsigned)values->socket_mode);
	if (values->listen_fd < -1)
		return wsf_fail(failure, EINVAL, "listen_fd is %d: it must be -1 (none) or a descriptor",
		    values->listen_fd);
	if ((values->observer_mask & ~WS_EVENT_ALL) != 0)
		return wsf_fail(failure, EINVAL, "observer_mask has %#x, which is no event",
		    values->observer_mask & ~WS_EVENT_ALL);
	if (values->initial_bytes == NULL && values->initial_size > 0)
		return wsf_fail(failure, EINVAL, "initial_bytes is NULL: there can't be %zu of them",
		    values->initial_size);
	return 0;
}

int wsf_options_check(struct ws_options *values, struct wsf_failure *failure)
{
	int error = check_sizes(values, failure);

	if (!error)
		round_buffers(values);
	if (!error)
		error = check_times(values, failure);
	if (!error)
		error = check_texts(values, failure);
	if (!error)
		error = check_authentication(values, failure);
	if (!error)
		error = check_tls(values, failure);
	if (!error)
		error = check_enums(values, failure);
	return error ? error : check_numbers(values, failure);
}
