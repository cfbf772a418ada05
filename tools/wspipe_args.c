/* SPDX-License-Identifier: 0BSD */
#include "wspipe_args.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HINT "; try wspipe --help"

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
	vsnprintf(text, sizeof text - sizeof HINT, format, args);
	va_end(args);
	length = strlen(text);
	snprintf(text + length, sizeof text - length, HINT);
	wspipe_complain(EINVAL, "", text);
	return WSPIPE_USAGE;
}

/* "-q" or "--echo". */
static const char *option_name(int opt, char name[64])
{
	const struct wspipe_option *option = opt < 256 ? NULL : wspipe_option_find(opt);

	if (option)
		snprintf(name, 64, "--%s", option->name);
	else
		snprintf(name, 64, "-%c", opt);
	return name;
}

/* The value of a misspelt --user may be a secret: what follows "=" is not shown. */
static int unknown_long(const char *word)
{
	const char *name = word + strspn(word, "-"), *meant;
	size_t size = strcspn(name, "=");
	int shown = (int)(name - word + (ptrdiff_t)size);
	char list[WSPIPE_LINE];

	/* An abbreviation that is good for one option is no error. */
	if (wspipe_list_options(list, name, size, true) > 1)
		return usage_error("option %.*s can be %s", shown, word, list);
	meant = wspipe_nearest_option(name, size);
	if (meant)
		return usage_error("unknown option %.*s (did you mean --%s?)", shown, word, meant);
	if (wspipe_list_options(list, name, size, false) > 0)
		return usage_error("unknown option %.*s (did you mean %s?)", shown, word, list);
	return usage_error("unknown option %.*s", shown, word);
}

/* A word such as "-keep", of which getopt_long has understood only letters so far. NULL = it is no such word. */
static const char *long_with_one_dash(const char *word)
{
	return word && word[0] == '-' && word[1] != '-' && strlen(word) > 3 ?
	    wspipe_nearest_option(word + 1, strcspn(word + 1, "=")) : NULL;
}

/* getopt_long is still in the word of a letter, unless that was the last one in it. */
static const char *word_of_letter(char **argv)
{
	const char *last = argv[optind - 1];

	return last[0] == '-' && last[1] != '-' && last[strlen(last) - 1] == optopt ? last : argv[optind];
}

/* getopt_long names a long option only by the word it has just passed. */
static int bad_option(int result, char **argv)
{
	char name[64];
	const char *word, *meant;

	if (result == ':')
		return usage_error("option %s needs a value", strncmp(argv[optind - 1], "--", 2) == 0 ?
		    argv[optind - 1] : option_name(optopt, name));
	if (optopt == 0)
		return unknown_long(argv[optind - 1]);
	if (wspipe_option_find(optopt))
		return usage_error("option %.*s takes no value", (int)strcspn(argv[optind - 1], "="), argv[optind - 1]);
	word = word_of_letter(argv);
	meant = long_with_one_dash(word);
	if (meant)
		return usage_error("unknown option -%c in %.*s (did you mean --%s?)", optopt,
		    (int)strcspn(word, "="), word, meant);
	return usage_error("unknown option -%c", optopt);
}

static int no_memory(void)
{
	wspipe_complain(ENOMEM, "", strerror(ENOMEM));
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
	/* A variable that is not set must not lead past the proxy. */
	if (*value == '\0')
		return usage_error("--proxy: the value is empty: a URL is needed, or 'none'");
	config->proxy = strcmp(value, "none") == 0 ? strdup("") : wspipe_secret_take_url(value);
	return config->proxy ? -1 : no_memory();
}

static int bad_value(const struct wspipe_option *option, const char *name, const char *value)
{
	static const char *const words[] = { "auto", "always", "never", "none" };
	bool is_time = option->argument && strcmp(option->argument, "TIME") == 0;
	const char *expected = wspipe_option_expects(option);
	int ms;
	const char *meant = option->opt == OPT_COLOR ? wspipe_nearest(value, strlen(value), words, 3) :
	    is_time ? wspipe_nearest(value, strlen(value), words + 3, 1) : NULL;

	if (meant)
		return usage_error("%s: bad value '%s' (did you mean %s?)", name, value, meant);
	if (is_time && wspipe_parse_seconds(value, &ms))
		expected = "it must be more than 0, or 'none'";
	return usage_error("%s: bad value '%s'%s%s", name, value, expected ? ": " : "", expected ? expected : "");
}

static int set_option(struct wspipe_config *config, struct secret_files *files, int opt, char *value)
{
	char name[64];
	const char **file = opt == OPT_USER_FILE ? &files->user : opt == OPT_BEARER_FILE ? &files->bearer :
	    opt == OPT_KEY_PASSWORD_FILE ? &files->key_password : NULL;

	option_name(opt, name);
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
		return wspipe_set(config, opt, value) ? -1 : bad_value(wspipe_option_find(opt), name, value);
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

	for (size_t i = 0; i < wspipe_option_count; i++) {
		unsigned where = wspipe_options[i].where;
		if (!seen[wspipe_options[i].opt])
			continue;
		option_name(wspipe_options[i].opt, name);
		if ((where & WSPIPE_WITH_LISTEN) != 0 && !config->listen)
			return usage_error("%s needs -l", name);
		if ((where & WSPIPE_BOUND) != 0 && config->inetd)
			return usage_error("%s has no use with --inetd", name);
		if ((where & WSPIPE_WITHOUT_LISTEN) != 0 && config->listen)
			return usage_error("%s has no use with -l", name);
		if ((where & WSPIPE_OVER_TLS) != 0 && !secure)
			return usage_error("%s needs a wss URL", name);
		if ((where & WSPIPE_LOCAL) != 0 && !local)
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
	if (seen[OPT_SIZE] && !seen[OPT_PROGRESS])
		return usage_error("--size needs --progress");
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
		wspipe_complain(EINVAL, files->user, "the first line is no USER:PASSWORD");
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

static int end_of_output(void)
{
	if (fflush(stdout) == 0)
		return WSPIPE_CLEAN;
	wspipe_complain(errno, "standard output", strerror(errno));
	return WSPIPE_BROKEN;
}

/* The word behind counts, too: "wspipe --help tls" is what one types. */
static int help(char **argv)
{
	static const char all[] = "all";
	const char *names[WSPIPE_GROUPS + 1] = { all }, *meant, *topic = optarg ? optarg : argv[optind];

	/* Letters are left in a word such as "-header", which has asked for something else. */
	if (!optarg && topic && topic[0] == '-' && topic[1] == 'h' && topic[2] != '\0') {
		meant = long_with_one_dash(topic);
		if (meant && strcmp(meant, "help") != 0)
			return usage_error("unknown option %.*s (did you mean --%s?)", (int)strcspn(topic, "="),
			    topic, meant);
	}
	if (wspipe_help_print(topic))
		return end_of_output();
	for (size_t i = 0; i < WSPIPE_GROUPS; i++)
		names[i + 1] = wspipe_groups[i].name;
	meant = topic ? wspipe_nearest(topic, strlen(topic), names, WSPIPE_GROUPS + 1) : NULL;
	if (optarg && meant)
		return usage_error("--help has no group '%s' (did you mean %s?)", topic, meant);
	if (optarg)
		return usage_error("--help has no group '%s'", topic);
	wspipe_help_print(NULL);
	return end_of_output();
}

static void fill_long_options(struct option long_options[OPT_LAST])
{
	size_t count = 0;

	for (size_t i = 0; i < wspipe_option_count; i++) {
		const struct wspipe_option *option = &wspipe_options[i];
		if (!option->name)
			continue;
		long_options[count++] = (struct option){
			.name = option->name, .val = option->opt,
			.has_arg = !option->argument ? no_argument :
			    *option->argument == '[' ? optional_argument : required_argument,
		};
	}
	long_options[count] = (struct option){ .name = NULL };
}

/* It counts for what is wrong in front of it, too: whoever reads our lines reads no others. */
static void look_for_json(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--json") == 0)
			wspipe_print_json();
}

int wspipe_parse(struct wspipe_config *config, int argc, char **argv)
{
	static struct option long_options[OPT_LAST];
	bool seen[OPT_LAST] = { false };
	struct secret_files files = { NULL, NULL, NULL };
	int opt, rv = init_config(config, argc);

	fill_long_options(long_options);
	opterr = 0;
	look_for_json(argv + 1);
	while (rv < 0 && (opt = getopt_long(argc, argv, ":lktvq:H:Vh", long_options, NULL)) != -1) {
		if (opt == 'h')
			return help(argv);
		if (opt == 'V') {
			printf("wspipe %s\n", ws_version());
			return end_of_output();
		}
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
