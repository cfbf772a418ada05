/* SPDX-License-Identifier: 0BSD */
/*
 * The pieces of reading the command line: the help, values as text, what an option sets, and secrets. Called by
 * wspipe_args.c in the main thread.
 */
#ifndef WSPIPE_ARGS_H
#define WSPIPE_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "wspipe.h"

extern const char wspipe_help[];

/* Options that are no letter. */
enum {
	OPT_ECHO = 256, OPT_SUBPROTOCOL, OPT_ORIGIN, OPT_ORIGIN_ALLOW, OPT_CONNECT_TIMEOUT, OPT_HANDSHAKE_TIMEOUT,
	OPT_READ_TIMEOUT, OPT_CLOSE_TIMEOUT, OPT_MAX_MESSAGE, OPT_CLOSE_CODE, OPT_CLOSE_REASON, OPT_PROGRESS, OPT_CERT,
	OPT_KEY, OPT_CLIENT_CA, OPT_SOCKET_MODE, OPT_COMPRESS, OPT_USER, OPT_USER_FILE, OPT_BEARER_FILE, OPT_PROXY,
	OPT_MAX_REDIRECTS, OPT_CA, OPT_PIN, OPT_SERVER_NAME, OPT_INSECURE, OPT_CLIENT_CERT, OPT_CLIENT_KEY, OPT_TLS_MIN,
	OPT_KEY_PASSWORD_FILE, OPT_EXEC, OPT_KILL_AFTER, OPT_PING, OPT_MAX_CONNECTIONS, OPT_PATH, OPT_INETD,
	OPT_LAST,
};

/* wspipe_set.c: options that stand for themselves. Returns false for a bad value. */
bool wspipe_set(struct wspipe_config *config, int opt, const char *value);

/* --- wspipe_values.c: each returns false for what it can't be --- */

bool wspipe_parse_number(const char *text, unsigned base, uint64_t max, uint64_t *value);
/* "2.5", or "none", which is -1. */
bool wspipe_parse_seconds(const char *text, int *ms);
/* "64K". */
bool wspipe_parse_size(const char *text, uint64_t *bytes);
bool wspipe_parse_close_code(const char *text, unsigned *code);
bool wspipe_is_close_reason(const char *text);

/* --- wspipe_secrets.c --- */

/* A copy of an argument, which is made unreadable for ps(1); NULL without memory. */
char *wspipe_secret_take(char *argument);
/* The same for a URL: only its userinfo becomes unreadable. */
char *wspipe_secret_take_url(char *argument);
void wspipe_secret_hide_userinfo(char *url);
/* The first line of a file. Returns -1, or the exit status: why was printed. */
int wspipe_secret_read(const char *file, char **secret);
/* Wipes and frees; NULL does nothing. */
void wspipe_secret_clear(char **secret);

#endif
