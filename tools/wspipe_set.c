/* SPDX-License-Identifier: 0BSD */
#include "wspipe_args.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static void append(const char **list, const char *value)
{
	while (*list)
		list++;
	*list = value;
}

/* A file or a directory, by what it is now. What is neither, the library complains about as of a file. */
static void set_authorities(struct ws_options *options, const char *path)
{
	struct stat status;
	bool directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);

	options->ca_file = directory ? NULL : path;
	options->ca_dir = directory ? path : NULL;
}

static bool set_tls_min(struct ws_options *options, const char *value)
{
	options->min_tls = strcmp(value, "1.3") == 0 ? WS_TLS_1_3 : WS_TLS_1_2;
	return strcmp(value, "1.2") == 0 || strcmp(value, "1.3") == 0;
}

static bool set_color(const char *value)
{
	static const char *const words[] = {
		[WSPIPE_COLOR_AUTO] = "auto", [WSPIPE_COLOR_ALWAYS] = "always", [WSPIPE_COLOR_NEVER] = "never",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(words[i], value) != 0)
			continue;
		wspipe_print_color((enum wspipe_color)i);
		return true;
	}
	return false;
}

/* No time at all would be over before anything begins. */
static bool set_limit(const char *value, int *ms)
{
	return wspipe_parse_seconds(value, ms) && *ms != 0;
}

static bool set_ping(struct ws_options *options, const char *value)
{
	if (!wspipe_parse_seconds(value, &options->ping_interval_ms))
		return false;
	if (options->ping_interval_ms == 0)
		options->ping_interval_ms = -1;
	return true;
}

/* Of a listener. Returns false for a bad value, and for any other option. */
static bool set_service(struct wspipe_config *config, int opt, const char *value)
{
	struct ws_options *options = &config->options;
	uint64_t number;

	switch (opt) {
	case OPT_KILL_AFTER:
		return wspipe_parse_seconds(value, &config->kill_after_ms);
	case OPT_MAX_CONNECTIONS:
		if (!wspipe_parse_number(value, 10, UINT_MAX, &number) || number == 0)
			return false;
		options->max_connections = (unsigned)number;
		return true;
	case OPT_PATH:
		options->path = value;
		return *value == '/';
	case OPT_SOCKET_MODE:
		if (!wspipe_parse_number(value, 8, 0777, &number))
			return false;
		options->socket_mode = (int)number;
		return true;
	default:
		return false;
	}
}

/* Options that take one value and check it. Returns false for a bad one. */
static bool set_value(struct wspipe_config *config, int opt, const char *value)
{
	struct ws_options *options = &config->options;
	uint64_t number;

	switch (opt) {
	case 'q':
		return wspipe_parse_seconds(value, &config->quit_ms);
	case OPT_CONNECT_TIMEOUT:
		return set_limit(value, &options->connect_timeout_ms);
	case OPT_HANDSHAKE_TIMEOUT:
		return set_limit(value, &options->handshake_timeout_ms);
	case OPT_READ_TIMEOUT:
		/* A peer that takes nothing for so long is as dead as one that sends nothing. */
		if (!set_limit(value, &options->read_timeout_ms))
			return false;
		options->write_timeout_ms = options->read_timeout_ms;
		return true;
	case OPT_CLOSE_TIMEOUT:
		return wspipe_parse_seconds(value, &options->close_timeout_ms);
	case OPT_MAX_MESSAGE:
		return wspipe_parse_size(value, &options->max_message_bytes);
	case OPT_CLOSE_CODE:
		return wspipe_parse_close_code(value, &config->close_code);
	case OPT_CLOSE_REASON:
		config->close_reason = value;
		return wspipe_is_close_reason(value);
	case OPT_MAX_REDIRECTS:
		if (!wspipe_parse_number(value, 10, 20, &number))
			return false;
		options->max_redirects = (int)number;
		return true;
	case OPT_TLS_MIN:
		return set_tls_min(options, value);
	case OPT_SIZE:
		return wspipe_parse_size(value, &config->progress_size);
	case OPT_COLOR:
		return set_color(value);
	case OPT_PING:
		return set_ping(options, value);
	default:
		return set_service(config, opt, value);
	}
}

/* Options of TLS that can't be wrong in themselves. Returns false for any other. */
static bool set_tls(struct wspipe_config *config, int opt, const char *value)
{
	struct ws_options *options = &config->options;

	switch (opt) {
	case OPT_CERT:
		config->certificates[config->certificate_count++].cert_file = value;
		return true;
	case OPT_CLIENT_CA:
	case OPT_CA:
		set_authorities(options, value);
		return true;
	case OPT_CLIENT_CERT:
		options->cert_file = value;
		return true;
	case OPT_CLIENT_KEY:
		options->key_file = value;
		return true;
	case OPT_SERVER_NAME:
		options->server_name = value;
		return true;
	case OPT_INSECURE:
		options->verify = WS_VERIFY_OFF;
		return true;
	case OPT_PIN:
		append(config->lists[WSPIPE_PINS], value);
		return true;
	default:
		return false;
	}
}

/* All others that can't be wrong in themselves. */
static bool set_plain(struct wspipe_config *config, int opt, const char *value)
{
	switch (opt) {
	case 'l':
		config->listen = true;
		return true;
	case 'k':
		config->keep = true;
		return true;
	case OPT_ECHO:
		config->echo = true;
		return true;
	case OPT_INETD:
		config->inetd = config->listen = true;
		return true;
	case 'v':
		config->options.observer = wspipe_print_event;
		return true;
	case 't':
		config->options.text_frames = true;
		config->options.on_text = WS_TEXT_BYTES;
		return true;
	case 'H':
		append(config->lists[WSPIPE_HEADERS], value);
		return true;
	case OPT_SUBPROTOCOL:
		append(config->lists[WSPIPE_SUBPROTOCOLS], value);
		return true;
	case OPT_ORIGIN_ALLOW:
		append(config->lists[WSPIPE_ORIGINS], value);
		return true;
	case OPT_ORIGIN:
		config->options.origin = value;
		return true;
	case OPT_COMPRESS:
		config->options.compression = WS_COMPRESSION_ON;
		return true;
	case OPT_PROGRESS:
		config->progress = true;
		return true;
	case OPT_JSON:
		config->options.observer = wspipe_print_event;
		wspipe_print_json();
		return true;
	default:
		return false;
	}
}

bool wspipe_set(struct wspipe_config *config, int opt, const char *value)
{
	return set_plain(config, opt, value) || set_tls(config, opt, value) || set_value(config, opt, value);
}
