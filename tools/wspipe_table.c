/* SPDX-License-Identifier: 0BSD */
/* All options, in the order of --help=all: what getopt_long(3) knows, what the help says, where each has an effect. */
#include "wspipe_table.h"

#include <string.h>

#define TIME "TIME"
#define FILE_NAME "FILE"

const struct wspipe_group wspipe_groups[WSPIPE_GROUPS] = {
	[WSPIPE_LISTENING] = { "listening", "Listening, with -l" },
	[WSPIPE_CONNECTION] = { "connection", "Connection" },
	[WSPIPE_SECURITY] = { "security", "Security, for wss" },
	[WSPIPE_DATA] = { "data", "Data and closing" },
	[WSPIPE_TIME] = { "time", "Time limits; TIME is seconds such as 2.5, or 'none'" },
	[WSPIPE_OUTPUT] = { "output", "Output" },
};

#define L WSPIPE_LISTENING
#define C WSPIPE_CONNECTION
#define S WSPIPE_SECURITY
#define D WSPIPE_DATA
#define T WSPIPE_TIME
#define O WSPIPE_OUTPUT
#define SERVER WSPIPE_WITH_LISTEN
#define CLIENT WSPIPE_WITHOUT_LISTEN
#define TLS WSPIPE_OVER_TLS

const struct wspipe_option wspipe_options[] = {
	{ "listen", 'l', L, 0, false, NULL, "be the server: listen on URL" },
	{ "keep", 'k', L, SERVER | WSPIPE_BOUND, true, NULL, "serve each connection that comes, not only one" },
	{ "exec", OPT_EXEC, L, SERVER, true, "COMMAND", "a shell command for each, its input and output" },
	{ "echo", OPT_ECHO, L, SERVER, true, NULL, "send back what arrives" },
	{ "kill-after", OPT_KILL_AFTER, L, SERVER, false, TIME, "grace of commands whose peer is gone (5)" },
	{ "max-connections", OPT_MAX_CONNECTIONS, L, SERVER | WSPIPE_BOUND, false, "N", "refuse more at once" },
	{ "path", OPT_PATH, L, SERVER, false, "PATH", "refuse any other path than this" },
	{ "origin-allow", OPT_ORIGIN_ALLOW, L, SERVER, false, "ORIGIN", "let web pages of ORIGIN connect, '*' = any" },
	{ "socket-mode", OPT_SOCKET_MODE, L, SERVER | WSPIPE_BOUND | WSPIPE_LOCAL, false, "OCTAL",
	    "permissions of a local socket's file (600)" },
	{ "inetd", OPT_INETD, L, 0, false, NULL, "serve the connection that is standard input" },
	{ "header", 'H', C, 0, true, "'NAME: VALUE'", "add this to the request or the answer" },
	{ "subprotocol", OPT_SUBPROTOCOL, C, 0, false, "NAME", "offer or accept it; several, best first" },
	{ "origin", OPT_ORIGIN, C, CLIENT, false, "ORIGIN", "send this Origin header" },
	{ "user", OPT_USER, C, CLIENT, false, "USER:PASSWORD", "log in; other users may see it" },
	{ "user-file", OPT_USER_FILE, C, CLIENT, false, FILE_NAME, "the same from the first line of FILE" },
	{ "bearer-file", OPT_BEARER_FILE, C, CLIENT, true, FILE_NAME, "send the token in the first line of FILE" },
	{ "proxy", OPT_PROXY, C, CLIENT, false, "URL", "http://, socks5:// or 'none'" },
	{ "max-redirects", OPT_MAX_REDIRECTS, C, CLIENT, false, "N", "follow so many (0)" },
	{ "ca", OPT_CA, S, CLIENT | TLS, true, FILE_NAME, "trust these authorities only; or a directory" },
	{ "insecure", OPT_INSECURE, S, CLIENT | TLS, true, NULL, "do not check who the server is" },
	{ "pin", OPT_PIN, S, TLS, false, "SHA256", "accept this public key only, or several" },
	{ "server-name", OPT_SERVER_NAME, S, CLIENT | TLS, false, "NAME", "check this name, not the URL's" },
	{ "client-cert", OPT_CLIENT_CERT, S, CLIENT | TLS, false, FILE_NAME, "show the server this certificate" },
	{ "client-key", OPT_CLIENT_KEY, S, CLIENT | TLS, false, FILE_NAME, "its private key, if not in there" },
	{ "cert", OPT_CERT, S, SERVER | TLS, true, FILE_NAME, "the certificate of -l; more for more names" },
	{ "key", OPT_KEY, S, SERVER | TLS, false, FILE_NAME, "key of the --cert before, if not in there" },
	{ "client-ca", OPT_CLIENT_CA, S, SERVER | TLS, false, FILE_NAME, "clients need a certificate from these" },
	{ "key-password-file", OPT_KEY_PASSWORD_FILE, S, TLS, false, FILE_NAME, "first line decrypts private keys" },
	{ "tls-min", OPT_TLS_MIN, S, TLS, false, "VERSION", "the oldest one spoken, 1.2 or 1.3 (1.2)" },
	{ "text", 't', D, 0, true, NULL, "send text messages, and accept them" },
	{ "max-message", OPT_MAX_MESSAGE, D, 0, false, "SIZE", "refuse longer messages" },
	{ "compress", OPT_COMPRESS, D, 0, false, NULL, "offer or accept permessage-deflate" },
	{ NULL, 'q', D, 0, true, TIME, "from the end of input to our Close (0)" },
	{ "close-code", OPT_CLOSE_CODE, D, 0, false, "CODE", "1000, 1001, 1003, 1007-1011 or 3000-4999" },
	{ "close-reason", OPT_CLOSE_REASON, D, 0, false, "TEXT", "at most 123 bytes of UTF-8" },
	{ "connect-timeout", OPT_CONNECT_TIMEOUT, T, CLIENT, false, TIME, "name look-up and connection (30)" },
	{ "handshake-timeout", OPT_HANDSHAKE_TIMEOUT, T, 0, false, TIME, "TLS, request and answer (10)" },
	{ "read-timeout", OPT_READ_TIMEOUT, T, 0, false, TIME, "nothing comes, or is taken (none)" },
	{ "close-timeout", OPT_CLOSE_TIMEOUT, T, 0, false, TIME, "the closing handshake (5)" },
	{ "ping", OPT_PING, T, 0, false, TIME, "silence before a ping, 0 = no pings (30)" },
	{ "events", 'v', O, 0, true, NULL, "a line for each event on standard error" },
	{ "json", OPT_JSON, O, 0, true, NULL, "standard error is lines of JSON, events too" },
	{ "progress", OPT_PROGRESS, O, 0, true, NULL, "bytes, time, rates and, with a size, the rest" },
	{ "size", OPT_SIZE, O, 0, false, "SIZE", "what --progress is to expect" },
	{ "color", OPT_COLOR, O, 0, false, "WHEN", "auto, always or never (auto)" },
	{ "help", 'h', O, 0, false, "[=GROUP]", "this, all of it, or one group" },
	{ "version", 'V', O, 0, false, NULL, "the version of the library" },
};

const size_t wspipe_option_count = sizeof wspipe_options / sizeof *wspipe_options;

const struct wspipe_option *wspipe_option_find(int opt)
{
	for (size_t i = 0; i < wspipe_option_count; i++)
		if (wspipe_options[i].opt == opt)
			return &wspipe_options[i];
	return NULL;
}

/* By the name of its argument, as the help has it. */
const char *wspipe_option_expects(const struct wspipe_option *option)
{
	static const struct {
		const char *argument, *text;
	} texts[] = {
		{ TIME, "a time is seconds such as 2.5, or 'none'" },
		{ "SIZE", "a size is a number of bytes, or with K, M, G or T" },
		{ "N", "a number in the range of the manual is needed" },
		{ "CODE", "codes are 1000, 1001, 1003, 1007 to 1011, and 3000 to 4999" },
		{ "TEXT", "a reason is UTF-8 of at most 123 bytes" },
		{ "OCTAL", "permissions are octal, such as 660" },
		{ "PATH", "a path begins with a slash" },
		{ "VERSION", "versions are 1.2 and 1.3" },
		{ "WHEN", "it is auto, always or never" },
	};

	for (size_t i = 0; option->argument && i < sizeof texts / sizeof *texts; i++)
		if (strcmp(texts[i].argument, option->argument) == 0)
			return texts[i].text;
	return NULL;
}
