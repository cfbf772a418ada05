/* SPDX-License-Identifier: 0BSD */
/*
 * The table of all options. It knows nothing of what they do. Read by the parser, the help and the suggestions, in the
 * main thread.
 */
#ifndef WSPIPE_TABLE_H
#define WSPIPE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Options that are no letter. */
enum {
	OPT_ECHO = 256, OPT_SUBPROTOCOL, OPT_ORIGIN, OPT_ORIGIN_ALLOW, OPT_CONNECT_TIMEOUT, OPT_HANDSHAKE_TIMEOUT,
	OPT_READ_TIMEOUT, OPT_CLOSE_TIMEOUT, OPT_MAX_MESSAGE, OPT_CLOSE_CODE, OPT_CLOSE_REASON, OPT_PROGRESS, OPT_CERT,
	OPT_KEY, OPT_CLIENT_CA, OPT_SOCKET_MODE, OPT_COMPRESS, OPT_USER, OPT_USER_FILE, OPT_BEARER_FILE, OPT_PROXY,
	OPT_MAX_REDIRECTS, OPT_CA, OPT_PIN, OPT_SERVER_NAME, OPT_INSECURE, OPT_CLIENT_CERT, OPT_CLIENT_KEY, OPT_TLS_MIN,
	OPT_KEY_PASSWORD_FILE, OPT_EXEC, OPT_KILL_AFTER, OPT_PING, OPT_MAX_CONNECTIONS, OPT_PATH, OPT_INETD, OPT_JSON,
	OPT_SIZE, OPT_COLOR,
	OPT_LAST,
};

enum wspipe_group_id {
	WSPIPE_LISTENING, WSPIPE_CONNECTION, WSPIPE_SECURITY, WSPIPE_DATA, WSPIPE_TIME, WSPIPE_OUTPUT, WSPIPE_GROUPS,
};

/* Where an option has an effect; 0 = anywhere. */
enum {
	WSPIPE_WITH_LISTEN = 1,
	WSPIPE_WITHOUT_LISTEN = 2,
	WSPIPE_OVER_TLS = 4,
	WSPIPE_LOCAL = 8,		/* on a local socket */
	WSPIPE_BOUND = 16,		/* where there is a listening socket: not with --inetd */
};

struct wspipe_option {
	const char *name;		/* without the dashes, NULL = only a letter */
	int opt;			/* the letter, or OPT_ */
	enum wspipe_group_id group;
	unsigned where;
	bool common;			/* on the first screen of the help */
	const char *argument;		/* NULL = takes none; "[=" = may be left out */
	const char *help;
};

struct wspipe_group {
	const char *name, *title;
};

extern const struct wspipe_option wspipe_options[];
extern const size_t wspipe_option_count;
extern const struct wspipe_group wspipe_groups[WSPIPE_GROUPS];

/* NULL = there is none. */
const struct wspipe_option *wspipe_option_find(int opt);
/* What a value has to be like, NULL = that says the option's name. */
const char *wspipe_option_expects(const struct wspipe_option *option);

#endif
