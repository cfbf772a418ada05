/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "options.h"

#define SUBPROTOCOL_MAX_BYTES (sizeof(((struct ws_status *)0)->subprotocol) - 1)
#define ONE_GIB ((size_t)1 << 30)
/* No struct ws_options will ever be this large: more is a size never set, and not to be read up to. */
#define LARGEST_STRUCT 4096

/* One allocation: the struct, the arrays of pointers, the text they point to. */
struct wsf_options {
	atomic_uint references;			/* [A] */
	struct ws_options values;		/* [I] */
	const char *pointers[];			/* [I] */
};

/* What is still free of the pointers and the text. */
struct store {
	const char **pointer;
	char *text;
};

static size_t count(const char *const *list)
{
	size_t size = 0;

	while (list && list[size])
		size++;
	return size;
}

static void measure_text(const char *text, size_t *text_bytes)
{
	if (text)
		*text_bytes += strlen(text) + 1;
}

static void measure_list(const char *const *list, size_t *pointers, size_t *text_bytes)
{
	if (!list)
		return;
	for (size_t i = 0; list[i]; i++)
		measure_text(list[i], text_bytes);
	*pointers += count(list) + 1;
}

static void keep_text(const char **field, struct store *store)
{
	size_t size;

	if (!*field)
		return;
	size = strlen(*field) + 1;
	memcpy(store->text, *field, size);
	*field = store->text;
	store->text += size;
}

static void keep_list(const char *const **field, struct store *store)
{
	const char **list = store->pointer;
	size_t size = count(*field);

	if (!*field)
		return;
	for (size_t i = 0; i < size; i++) {
		list[i] = (*field)[i];
		keep_text(&list[i], store);
	}
	list[size] = NULL;
	store->pointer += size + 1;
	*field = list;
}

static struct wsf_options *duplicate(const struct ws_options *in)
{
	struct wsf_options *options;
	struct store store;
	size_t pointers = 0, text_bytes = 0;

	measure_list(in->subprotocols, &pointers, &text_bytes);
	measure_list(in->headers, &pointers, &text_bytes);
	measure_list(in->allowed_origins, &pointers, &text_bytes);
	measure_text(in->origin, &text_bytes);
	measure_text(in->user_agent, &text_bytes);
	measure_text(in->path, &text_bytes);
	options = malloc(sizeof(*options) + pointers * sizeof(*options->pointers) + text_bytes);
	if (!options)
		return NULL;
	atomic_init(&options->references, 1);
	options->values = *in;
	store.pointer = options->pointers;
	store.text = (char *)(options->pointers + pointers);
	keep_list(&options->values.subprotocols, &store);
	keep_list(&options->values.headers, &store);
	keep_list(&options->values.allowed_origins, &store);
	keep_text(&options->values.origin, &store);
	keep_text(&options->values.user_agent, &store);
	keep_text(&options->values.path, &store);
	return options;
}

/*
 * The caller's struct as ours. A shorter one is of an older header: what it lacks is at its default. A longer one is of
 * a newer header: what we don't know must be zero, which there has to mean "not used".
 */
static int import(struct ws_options *values, const struct ws_options *in, struct wsf_failure *failure)
{
	const unsigned char *bytes = (const unsigned char *)in;

	*values = (struct ws_options)WS_OPTIONS_INIT;
	if (!in)
		return 0;
	if (in->size < offsetof(struct ws_options, headers) || in->size > LARGEST_STRUCT ||
	    in->size % _Alignof(struct ws_options) != 0)
		return wsf_fail(failure, EINVAL, "size is %zu: start from WS_OPTIONS_INIT", in->size);
	for (size_t i = sizeof(*values); i < in->size; i++) {
		if (bytes[i] != 0)
			return wsf_fail(failure, EINVAL, "size is %zu: an option is set that this version lacks",
			    in->size);
	}
	memcpy(values, in, in->size < sizeof(*values) ? in->size : sizeof(*values));
	values->size = sizeof(*values);
	return 0;
}

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

static bool port_valid(const char *text)
{
	unsigned port = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned)(*text - '0');
		if (port > UINT16_MAX)
			return false;
	}
	return port != 0;
}

/* A serialised origin (RFC 6454, section 6.2): scheme, host, port if any; never a path. "null" is one. */
static bool origin_valid(const char *text)
{
	const char *end = skip(text, "+-.");
	const char *host;

	if (strcmp(text, "null") == 0 || strcmp(text, "*") == 0)
		return true;
	if (end == text || strchr("+-.0123456789", *text) || strncmp(end, "://", 3) != 0)
		return false;
	host = end + 3;
	if (*host == '[') {
		end = host + 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
		if (end == host + 1 || *end++ != ']')
			return false;
	} else {
		end = skip(host, "-._~");
		if (end == host)
			return false;
	}
	return *end == '\0' || (*end == ':' && port_valid(end + 1));
}

static int check_origins(const char *const *list, struct wsf_failure *failure)
{
	for (size_t i = 0; list && list[i]; i++) {
		if (!origin_valid(list[i]))
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

static int check(struct ws_options *values, struct wsf_failure *failure)
{
	int error = check_sizes(values, failure);

	if (!error)
		round_buffers(values);
	if (!error)
		error = check_times(values, failure);
	if (!error)
		error = check_texts(values, failure);
	if (error)
		return error;
	if ((unsigned)values->on_text > WS_TEXT_BYTES)
		return wsf_fail(failure, EINVAL, "on_text is none of enum ws_on_text");
	if (values->backlog < 1 || values->backlog > 4096)
		return wsf_fail(failure, EINVAL, "backlog is %d: it must be 1 to 4096", values->backlog);
	return 0;
}

int wsf_options_copy(struct wsf_options **out, const struct ws_options *in, struct wsf_failure *failure)
{
	struct ws_options values;
	struct wsf_options *options;
	int error = import(&values, in, failure);

	*out = NULL;
	if (error)
		return error;
	if (!values.user_agent)
		values.user_agent = "wsfile/" WSFILE_VERSION;
	options = duplicate(&values);
	if (!options)
		return wsf_fail(failure, ENOMEM, "out of memory");
	error = check(&options->values, failure);
	if (error) {
		wsf_options_unref(options);
		return error;
	}
	*out = options;
	return 0;
}

struct wsf_options *wsf_options_ref(struct wsf_options *options)
{
	atomic_fetch_add_explicit(&options->references, 1, memory_order_relaxed);
	return options;
}

void wsf_options_unref(struct wsf_options *options)
{
	/* The last one out must see all that the others did before. */
	if (options && atomic_fetch_sub_explicit(&options->references, 1, memory_order_acq_rel) == 1)
		free(options);
}

const struct ws_options *wsf_options_get(const struct wsf_options *options)
{
	return &options->values;
}

static bool take_letters(const char *text, const char *letters, bool *seen)
{
	for (; *text != '\0'; text++) {
		const char *letter = strchr(letters, *text);

		if (!letter || seen[letter - letters])
			return false;
		seen[letter - letters] = true;
	}
	return true;
}

int wsf_mode_parse(struct wsf_mode *mode, const char *text, struct wsf_failure *failure)
{
	bool seen[4] = { false };

	if (!text)
		return wsf_fail(failure, EINVAL, "the mode is NULL");
	if ((*text != 'r' && *text != 'w') || !take_letters(text + 1, "+tbe", seen))
		return wsf_fail(failure, EINVAL, "mode \"%.20s\" is not r, w, r+ or w+, with b, e and t once at most",
		    text);
	mode->read = *text == 'r' || seen[0];
	mode->write = *text == 'w' || seen[0];
	mode->text = seen[1];
	mode->stdio = seen[0] ? "r+" : *text == 'r' ? "r" : "w";
	return 0;
}
