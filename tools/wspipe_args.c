/* SPDX-License-Identifier: 0BSD */
#include "wspipe_args.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct option long_options[] = {
	{ "listen", no_argument, NULL, 'l' },
	{ "keep", no_argument, NULL, 'k' },
	{ "echo", no_argument, NULL, OPT_ECHO },
	{ "exec", required_argument, NULL, OPT_EXEC },
	{ "kill-after", required_argument, NULL, OPT_KILL_AFTER },
	{ "inetd", no_argument, NULL, OPT_INETD },
	{ "path", required_argument, NULL, OPT_PATH },
	{ "max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS },
	{ "ping", required_argument, NULL, OPT_PING },
	{ "events", no_argument, NULL, 'v' },
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
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "client-ca", required_argument, NULL, OPT_CLIENT_CA },
	{ "socket-mode", required_argument, NULL, OPT_SOCKET_MODE },
	{ "compress", no_argument, NULL, OPT_COMPRESS },
	{ "user", required_argument, NULL, OPT_USER },
	{ "user-file", required_argument, NULL, OPT_USER_FILE },
	{ "bearer-file", required_argument, NULL, OPT_BEARER_FILE },
	{ "proxy", required_argument, NULL, OPT_PROXY },
	{ "max-redirects", required_argument, NULL, OPT_MAX_REDIRECTS },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "pin", required_argument, NULL, OPT_PIN },
	{ "server-name", required_argument, NULL, OPT_SERVER_NAME },
	{ "insecure", no_argument, NULL, OPT_INSECURE },
	{ "client-cert", required_argument, NULL, OPT_CLIENT_CERT },
	{ "client-key", required_argument, NULL, OPT_CLIENT_KEY },
	{ "tls-min", required_argument, NULL, OPT_TLS_MIN },
	{ "key-password-file", required_argument, NULL, OPT_KEY_PASSWORD_FILE },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Where an option has an effect. */
enum {
	LISTENING = 1,
	CONNECTING = 2,
	SECURE = 4,			/* over TLS */
	LOCAL = 8,			/* on a local socket */
	BINDING = 16,			/* where there is a listening socket: not with --inetd */
};

static const struct {
	int opt;
	unsigned where;
} rules[] = {
	{ 'k', LISTENING | BINDING },
	{ OPT_ECHO, LISTENING },
	{ OPT_EXEC, LISTENING },
	{ OPT_KILL_AFTER, LISTENING },
	{ OPT_PATH, LISTENING },
	{ OPT_MAX_CONNECTIONS, LISTENING | BINDING },
	{ OPT_ORIGIN_ALLOW, LISTENING },
	{ OPT_CERT, LISTENING | SECURE },
	{ OPT_KEY, LISTENING | SECURE },
	{ OPT_CLIENT_CA, LISTENING | SECURE },
	{ OPT_SOCKET_MODE, LISTENING | BINDING | LOCAL },
	{ OPT_ORIGIN, CONNECTING },
	{ OPT_CONNECT_TIMEOUT, CONNECTING },
	{ OPT_USER, CONNECTING },
	{ OPT_USER_FILE, CONNECTING },
	{ OPT_BEARER_FILE, CONNECTING },
	{ OPT_PROXY, CONNECTING },
	{ OPT_MAX_REDIRECTS, CONNECTING },
	{ OPT_CA, CONNECTING | SECURE },
	{ OPT_SERVER_NAME, CONNECTING | SECURE },
	{ OPT_INSECURE, CONNECTING | SECURE },
	{ OPT_CLIENT_CERT, CONNECTING | SECURE },
	{ OPT_CLIENT_KEY, CONNECTING | SECURE },
	{ OPT_PIN, SECURE },
	{ OPT_TLS_MIN, SECURE },
	{ OPT_KEY_PASSWORD_FILE, SECURE },
};

/* Read when all else is known to be good. */
struct secret_files {
	const char *user, *bearer, *key_password;
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

	/* The value of a misspelt --user may be a secret. */
	if (is_long)
		snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
	else
		option_name(optopt, name, sizeof name);
	text = name;
	if (result == ':')
		return usage_error("option %s needs a value", text);
	if (is_long && optopt != 0)
		return usage_error("option %s takes no value", text);
	return usage_error("unknown option %s", text);
}

static int no_memory(void)
{
	wspipe_say("", strerror(ENOMEM));
	return WSPIPE_BROKEN;
}

static int set_key(struct wspipe_config *config, const char *value)
{
	size_t count = config->certificate_count;

	if (count == 0)
		return usage_error("--key needs its --cert before it");
	if (config->certificates[count - 1].key_file)
		return usage_error("--key: the --cert before it has one already");
	config->certificates[count - 1].key_file = value;
	return -1;
}

static int set_user(struct wspipe_config *config, char *value)
{
	wspipe_secret_clear(&config->userinfo);
	config->userinfo = wspipe_secret_take(value);
	if (!config->userinfo)
		return no_memory();
	return strchr(config->userinfo, ':') ? -1 : usage_error("--user: the value is no USER:PASSWORD");
}

static int set_proxy(struct wspipe_config *config, char *value)
{
	wspipe_secret_clear(&config->proxy);
	config->proxy = strcmp(value, "none") == 0 ? strdup("") : wspipe_secret_take_url(value);
	return config->proxy ? -1 : no_memory();
}

static int set_option(struct wspipe_config *config, struct secret_files *files, int opt, char *value)
{
	char name[64];
	const char **file = opt == OPT_USER_FILE ? &files->user : opt == OPT_BEARER_FILE ? &files->bearer :
	    opt == OPT_KEY_PASSWORD_FILE ? &files->key_password : NULL;

	option_name(opt, name, sizeof name);
	if (file) {
		*file = value;
		return strcmp(value, "-") != 0 ? -1 : usage_error("%s: standard input is for data, name a file", name);
	}
	switch (opt) {
	case OPT_EXEC:
		config->exec = value;
		return *value != '\0' ? -1 : usage_error("%s: no command", name);
	case OPT_KEY:
		return set_key(config, value);
	case OPT_USER:
		return set_user(config, value);
	case OPT_PROXY:
		return set_proxy(config, value);
	default:
		return wspipe_set(config, opt, value) ? -1 : usage_error("%s: bad value '%s'", name, value);
	}
}

/* Options that would have no effect are refused, so that nobody trusts them. */
static int check_places(const struct wspipe_config *config, const bool seen[OPT_LAST])
{
	const char *url = config->url;
	/* What no URL is at all, the library complains about. */
	bool plain = strncasecmp(url, "ws:", 3) == 0 || strncasecmp(url, "ws+unix:", 8) == 0;
	/* A redirect may lead from ws to wss. But none has to come: a pin would be trusted in vain. */
	bool secure = !plain || (config->options.max_redirects > 0 && !seen[OPT_PIN] && !seen[OPT_TLS_MIN]);
	bool local = strncasecmp(url, "ws+unix:", 8) == 0 || strncasecmp(url, "wss+unix:", 9) == 0;
	char name[64];

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		unsigned where = rules[i].where;
		if (!seen[rules[i].opt])
			continue;
		option_name(rules[i].opt, name, sizeof name);
		if ((where & LISTENING) != 0 && !config->listen)
			return usage_error("%s needs -l", name);
		if ((where & BINDING) != 0 && config->inetd)
			return usage_error("%s has no use with --inetd", name);
		if ((where & CONNECTING) != 0 && config->listen)
			return usage_error("%s has no use with -l", name);
		if ((where & SECURE) != 0 && !secure)
			return usage_error("%s needs a wss URL", name);
		if ((where & LOCAL) != 0 && !local)
			return usage_error("%s needs the URL of a local socket, such as ws+unix:///file", name);
	}
	return -1;
}

static int check_combination(const struct wspipe_config *config, const bool seen[OPT_LAST])
{
	if (config->echo && config->exec)
		return usage_error("only one of --echo and --exec can be done");
	if ((config->echo || config->exec) && seen['q'])
		return usage_error("-q has no use with %s", config->echo ? "--echo" : "--exec");
	if (config->inetd && !config->echo && !config->exec)
		return usage_error("--inetd needs --echo or --exec: standard output is the socket");
	if (seen[OPT_KILL_AFTER] && !config->keep && !config->exec)
		return usage_error("--kill-after needs --exec or -k");
	if (seen[OPT_USER] + seen[OPT_USER_FILE] + seen[OPT_BEARER_FILE] > 1)
		return usage_error("only one of --user, --user-file and --bearer-file can be sent");
	if (seen[OPT_CA] && seen[OPT_INSECURE])
		return usage_error("--ca has no use with --insecure");
	if (seen[OPT_CLIENT_KEY] && !seen[OPT_CLIENT_CERT])
		return usage_error("--client-key needs --client-cert");
	if (seen[OPT_KEY_PASSWORD_FILE] && !seen[OPT_CERT] && !seen[OPT_CLIENT_CERT])
		return usage_error("--key-password-file needs %s", config->listen ? "--cert" : "--client-cert");
	if (config->listen && strncasecmp(config->url, "wss", 3) == 0 && !seen[OPT_CERT])
		return usage_error("-l with a wss URL needs --cert");
	return -1;
}

static int parse_operands(struct wspipe_config *config, int argc, char **argv)
{
	if (optind >= argc)
		return usage_error("no URL given");
	config->url = wspipe_secret_take_url(argv[optind]);
	if (!config->url)
		return no_memory();
	for (int i = optind + 1; i < argc; i++)
		wspipe_secret_hide_userinfo(argv[i]);
	if (optind + 1 < argc)
		return usage_error("one URL is enough: '%s' is too much", argv[optind + 1]);
	return -1;
}

static int read_secrets(struct wspipe_config *config, const struct secret_files *files)
{
	int rv = -1;

	if (files->user)
		rv = wspipe_secret_read(files->user, &config->userinfo);
	if (rv < 0 && files->user && !strchr(config->userinfo, ':')) {
		char text[WSPIPE_LINE];
		snprintf(text, sizeof text, "%s: the first line is no USER:PASSWORD", files->user);
		wspipe_say("", text);
		rv = WSPIPE_BROKEN;
	}
	if (rv < 0 && files->bearer)
		rv = wspipe_secret_read(files->bearer, &config->bearer);
	if (rv < 0 && files->key_password)
		rv = wspipe_secret_read(files->key_password, &config->key_password);
	return rv;
}

static void fill_options(struct wspipe_config *config)
{
	struct ws_options *options = &config->options;

	options->headers = config->lists[WSPIPE_HEADERS][0] ? config->lists[WSPIPE_HEADERS] : NULL;
	options->subprotocols = config->lists[WSPIPE_SUBPROTOCOLS][0] ? config->lists[WSPIPE_SUBPROTOCOLS] : NULL;
	options->allowed_origins = config->lists[WSPIPE_ORIGINS][0] ? config->lists[WSPIPE_ORIGINS] : NULL;
	options->pin_sha256 = config->lists[WSPIPE_PINS][0] ? config->lists[WSPIPE_PINS] : NULL;
	if (config->certificate_count > 0) {
		options->cert_file = config->certificates[0].cert_file;
		options->key_file = config->certificates[0].key_file;
	}
	if (config->certificate_count > 1)
		options->certificates = &config->certificates[1];
	/* However long a command takes for its answer: the client waits, or goes. */
	if (config->exec)
		options->linger_ms = -1;
	options->userinfo = config->userinfo;
	options->bearer = config->bearer;
	options->key_password = config->key_password;
	options->proxy = config->proxy;
}

static int init_config(struct wspipe_config *config, int argc)
{
	size_t count = (size_t)argc + 1;
	bool good;

	*config = (struct wspipe_config){ .options = WS_OPTIONS_INIT, .close_code = 1000, .kill_after_ms = 5000 };
	config->certificates = calloc(count, sizeof *config->certificates);
	good = config->certificates != NULL;
	for (size_t i = 0; i < WSPIPE_LISTS; i++) {
		config->lists[i] = calloc(count, sizeof *config->lists[i]);
		good = good && config->lists[i];
	}
	return good ? -1 : no_memory();
}

static int print_and_end(int opt)
{
	if (opt == 'h')
		fputs(wspipe_help, stdout);
	else
		printf("wspipe %s\n", ws_version());
	return fflush(stdout) == 0 ? WSPIPE_CLEAN : WSPIPE_BROKEN;
}

int wspipe_parse(struct wspipe_config *config, int argc, char **argv)
{
	bool seen[OPT_LAST] = { false };
	struct secret_files files = { NULL, NULL, NULL };
	int opt, rv = init_config(config, argc);

	opterr = 0;
	while (rv < 0 && (opt = getopt_long(argc, argv, ":lktvq:H:Vh", long_options, NULL)) != -1) {
		if (opt == 'h' || opt == 'V')
			return print_and_end(opt);
		if (opt == '?' || opt == ':')
			return bad_option(opt, argv);
		seen[opt] = true;
		rv = set_option(config, &files, opt, optarg);
	}
	if (rv < 0)
		rv = parse_operands(config, argc, argv);
	if (rv < 0)
		rv = check_places(config, seen);
	if (rv < 0)
		rv = check_combination(config, seen);
	if (rv < 0)
		rv = read_secrets(config, &files);
	fill_options(config);
	return rv;
}

void wspipe_config_forget(struct wspipe_config *config)
{
	char **const secrets[] = {
		&config->url, &config->proxy, &config->userinfo, &config->bearer, &config->key_password,
	};
	struct ws_options *options = &config->options;

	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		wspipe_secret_clear(secrets[i]);
	options->userinfo = options->bearer = options->key_password = options->proxy = NULL;
}

void wspipe_config_clear(struct wspipe_config *config)
{
	wspipe_config_forget(config);
	for (size_t i = 0; i < WSPIPE_LISTS; i++) {
		free(config->lists[i]);
		config->lists[i] = NULL;
	}
	free(config->certificates);
	config->certificates = NULL;
}
