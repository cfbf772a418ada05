/* SPDX-License-Identifier: 0BSD */
#include "wspipe.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: wspipe [options] URL     standard input -> WebSocket -> standard output\n"
    "       wspipe -l [options] URL  listen on URL, and serve one connection\n"
    "\n"
    "Listening (-l):\n"
    "  -k, --keep                 serve each connection that comes, not only one\n"
    "      --echo                 send back what arrives\n"
    "      --origin-allow ORIGIN  let web pages of ORIGIN connect, '*' = any\n"
    "Data:\n"
    "  -t, --text                 send text messages, and accept them\n"
    "      --max-message SIZE     refuse longer messages; bytes, or with K, M, G\n"
    "Closing:\n"
    "  -q SECONDS                 wait from the end of input to our Close, or 'none'\n"
    "      --close-code CODE      1000 (default), 1001, 1003, 1007-1011, 3000-4999\n"
    "      --close-reason TEXT    at most 123 bytes\n"
    "Handshake:\n"
    "  -H, --header 'NAME: VALUE' --subprotocol NAME    --origin ORIGIN\n"
    "Time limits (seconds such as 2.5, or 'none'):\n"
    "      --connect-timeout 30   --handshake-timeout 10\n"
    "      --read-timeout none    --close-timeout 5\n"
    "Other:\n"
    "      --progress             bytes, rate and time, on a terminal\n"
    "  -V, --version              -h, --help\n"
    "\n"
    "Examples:\n"
    "  wspipe -l -k --echo ws://127.0.0.1:8080/\n"
    "  tar c . | wspipe -H 'Authorization: Bearer x' ws://example.org/backup\n";

enum {
	OPT_ECHO = 256, OPT_SUBPROTOCOL, OPT_ORIGIN, OPT_ORIGIN_ALLOW, OPT_CONNECT_TIMEOUT, OPT_HANDSHAKE_TIMEOUT,
	OPT_READ_TIMEOUT, OPT_CLOSE_TIMEOUT, OPT_MAX_MESSAGE, OPT_CLOSE_CODE, OPT_CLOSE_REASON, OPT_PROGRESS, OPT_LAST,
};

static const struct option long_options[] = {
	{ "listen", no_argument, NULL, 'l' },
	{ "keep", no_argument, NULL, 'k' },
	{ "echo", no_argument, NULL, OPT_ECHO },
	{ "text", no_argument, NULL, 't' },
	{ "header", required_argument, NULL, 'H' },
	{ "subprotocol", required_argument, NULL, OPT_SUBPROTOCOL },
	{ "origin", required_argument, NULL, OPT_ORIGIN },
	{ "origin-allow", required_argument, NULL, OPT_ORIGIN_ALLOW },
	{ "connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT },
	{ "handshake-timeout", required_argument, NULL, OPT_HANDSHAKE_TIMEOUT },
	{ "read-timeout", required_argument, NULL, OPT_READ_TIMEOUT },
	{ "close-timeout", required_argument, NULL, OPT_CLOSE_TIMEOUT },
	{ "max-message", required_argument, NULL, OPT_MAX_MESSAGE },
	{ "close-code", required_argument, NULL, OPT_CLOSE_CODE },
	{ "close-reason", required_argument, NULL, OPT_CLOSE_REASON },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

__attribute__((format(printf, 1, 2))) static int usage_error(const char *format, ...)
{
	char text[WSPIPE_LINE];
	size_t length;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	length = strlen(text);
	snprintf(text + length, sizeof text - length, "; try wspipe --help");
	wspipe_say("", text);
	return WSPIPE_USAGE;
}

static bool parse_digits(const char **text, uint64_t *value)
{
	const char *c = *text;
	uint64_t v = 0;

	for (; *c >= '0' && *c <= '9'; c++) {
		unsigned digit = (unsigned)(*c - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (c == *text)
		return false;
	*text = c;
	*value = v;
	return true;
}

/* Seconds with decimals; what is shorter than a millisecond counts as one, since 0 may mean something else. */
static bool parse_seconds(const char *text, int *ms)
{
	uint64_t seconds, fraction = 0, scale = 1000;
	bool rest = false;

	if (strcmp(text, "none") == 0) {
		*ms = -1;
		return true;
	}
	if (!parse_digits(&text, &seconds) || seconds > INT_MAX / 1000 - 1)
		return false;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++) {
			scale /= 10;
			fraction += (uint64_t)(*text - '0') * scale;
			rest = rest || *text != '0';
		}
	}
	if (*text != '\0')
		return false;
	*ms = (int)(seconds * 1000 + fraction);
	if (*ms == 0 && rest)
		*ms = 1;
	return true;
}

static bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMG";
	uint64_t value;
	unsigned shift = 0;

	if (!parse_digits(&text, &value))
		return false;
	if (*text != '\0') {
		const char *unit = strchr(units, *text >= 'a' ? *text - 'a' + 'A' : *text);
		if (!unit || text[1] != '\0')
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (value == 0 || value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

static bool parse_close_code(const char *text, unsigned *code)
{
	uint64_t value;

	if (!parse_digits(&text, &value) || *text != '\0')
		return false;
	if (value != 1000 && value != 1001 && value != 1003 && !(value >= 1007 && value <= 1011) &&
	    !(value >= 3000 && value <= 4999))
		return false;
	*code = (unsigned)value;
	return true;
}

static unsigned utf8_trail_count(const unsigned char *c)
{
	if (c[0] >= 0xc2 && c[0] <= 0xdf)
		return 1;
	if (c[0] >= 0xe0 && c[0] <= 0xef && !(c[0] == 0xe0 && c[1] < 0xa0) && !(c[0] == 0xed && c[1] > 0x9f))
		return 2;
	if (c[0] >= 0xf0 && c[0] <= 0xf4 && !(c[0] == 0xf0 && c[1] < 0x90) && !(c[0] == 0xf4 && c[1] > 0x8f))
		return 3;
	return 0;
}

/* The library refuses a bad reason too, but only when the transfer is over. */
static bool is_close_reason(const char *text)
{
	if (strlen(text) > 123)
		return false;
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		if (*c < 0x80)
			continue;
		unsigned trail = utf8_trail_count(c);
		if (trail == 0)
			return false;
		for (; trail > 0; trail--)
			if ((*++c & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static void append(const char **list, const char *value)
{
	while (*list)
		list++;
	*list = value;
}

/* Options that take one value and check it. Returns false for a bad one. */
static bool set_value(struct wspipe_config *config, int opt, const char *value)
{
	struct ws_options *options = &config->options;

	switch (opt) {
	case 'q':
		return parse_seconds(value, &config->quit_ms);
	case OPT_CONNECT_TIMEOUT:
		return parse_seconds(value, &options->connect_timeout_ms);
	case OPT_HANDSHAKE_TIMEOUT:
		return parse_seconds(value, &options->handshake_timeout_ms);
	case OPT_READ_TIMEOUT:
		/* A peer that takes nothing for so long is as dead as one that sends nothing. */
		if (!parse_seconds(value, &options->read_timeout_ms))
			return false;
		options->write_timeout_ms = options->read_timeout_ms;
		return true;
	case OPT_CLOSE_TIMEOUT:
		return parse_seconds(value, &options->close_timeout_ms);
	case OPT_MAX_MESSAGE:
		return parse_size(value, &options->max_message_bytes);
	case OPT_CLOSE_CODE:
		return parse_close_code(value, &config->close_code);
	case OPT_CLOSE_REASON:
		config->close_reason = value;
		return is_close_reason(value);
	default:
		return false;
	}
}

/* Options that can't be wrong in themselves. Returns false for any other. */
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
	case 't':
		config->options.text_frames = true;
		config->options.on_text = WS_TEXT_BYTES;
		return true;
	case 'H':
		append(config->lists[0], value);
		return true;
	case OPT_SUBPROTOCOL:
		append(config->lists[1], value);
		return true;
	case OPT_ORIGIN_ALLOW:
		append(config->lists[2], value);
		return true;
	case OPT_ORIGIN:
		config->options.origin = value;
		return true;
	case OPT_PROGRESS:
		config->progress = true;
		return true;
	default:
		return false;
	}
}

/* "-q" or "--echo". */
static const char *option_name(int opt, char *name, size_t size)
{
	snprintf(name, size, "-%c", opt);
	for (const struct option *o = long_options; opt >= 256 && o->name; o++)
		if (o->val == opt)
			snprintf(name, size, "--%s", o->name);
	return name;
}

/* getopt_long names a long option only by the word it has just passed. */
static int bad_option(int result, char **argv)
{
	char name[64];
	const char *text = argv[optind - 1];
	bool is_long = strncmp(text, "--", 2) == 0;

	if (!is_long)
		text = option_name(optopt, name, sizeof name);
	if (result == ':')
		return usage_error("option %s needs a value", text);
	if (is_long && optopt != 0)
		return usage_error("option %s takes no value", text);
	return usage_error("unknown option %s", text);
}

/* Options that would have no effect are refused, so that nobody trusts them. */
static int check_combination(const struct wspipe_config *config, const bool seen[OPT_LAST])
{
	static const int listening[] = { 'k', OPT_ECHO, OPT_ORIGIN_ALLOW };
	static const int connecting[] = { OPT_ORIGIN, OPT_CONNECT_TIMEOUT };
	char name[64];

	for (size_t i = 0; !config->listen && i < sizeof listening / sizeof *listening; i++)
		if (seen[listening[i]])
			return usage_error("%s needs -l", option_name(listening[i], name, sizeof name));
	for (size_t i = 0; config->listen && i < sizeof connecting / sizeof *connecting; i++)
		if (seen[connecting[i]])
			return usage_error("%s has no use with -l", option_name(connecting[i], name, sizeof name));
	if (config->echo && seen['q'])
		return usage_error("-q has no use with --echo");
	return -1;
}

static int parse_operands(struct wspipe_config *config, int argc, char **argv)
{
	if (optind >= argc)
		return usage_error("no URL given");
	if (optind + 1 < argc)
		return usage_error("one URL is enough: '%s' is too much", argv[optind + 1]);
	config->url = argv[optind];
	return -1;
}

static int init_config(struct wspipe_config *config, int argc)
{
	*config = (struct wspipe_config){ .options = WS_OPTIONS_INIT, .close_code = 1000 };
	for (size_t i = 0; i < sizeof config->lists / sizeof *config->lists; i++) {
		config->lists[i] = calloc((size_t)argc + 1, sizeof *config->lists[i]);
		if (!config->lists[i]) {
			wspipe_say("", strerror(ENOMEM));
			return WSPIPE_BROKEN;
		}
	}
	return -1;
}

int wspipe_parse(struct wspipe_config *config, int argc, char **argv)
{
	bool seen[OPT_LAST] = { false };
	char name[64];
	int opt, rv = init_config(config, argc);

	if (rv >= 0)
		return rv;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":lktq:H:Vh", long_options, NULL)) != -1) {
		if (opt == 'h' || opt == 'V') {
			if (opt == 'h')
				fputs(help, stdout);
			else
				printf("wspipe %s\n", ws_version());
			return fflush(stdout) == 0 ? WSPIPE_CLEAN : WSPIPE_BROKEN;
		}
		if (opt == '?' || opt == ':')
			return bad_option(opt, argv);
		seen[opt] = true;
		if (!set_plain(config, opt, optarg) && !set_value(config, opt, optarg))
			return usage_error("%s: bad value '%s'", option_name(opt, name, sizeof name), optarg);
	}
	rv = parse_operands(config, argc, argv);
	if (rv < 0)
		rv = check_combination(config, seen);
	config->options.headers = config->lists[0][0] ? config->lists[0] : NULL;
	config->options.subprotocols = config->lists[1][0] ? config->lists[1] : NULL;
	config->options.allowed_origins = config->lists[2][0] ? config->lists[2] : NULL;
	return rv;
}

void wspipe_config_clear(struct wspipe_config *config)
{
	for (size_t i = 0; i < sizeof config->lists / sizeof *config->lists; i++) {
		free(config->lists[i]);
		config->lists[i] = NULL;
	}
}
