/* SPDX-License-Identifier: 0BSD */
/*
 * The parts of the command wspipe: its settings, one connection's copying, and what it prints. All of it is written
 * with <wsfile.h> alone. All but the counters and the messages is called by the thread that serves the connection.
 */
#ifndef WSPIPE_H
#define WSPIPE_H

#include <stdbool.h>
#include <stddef.h>

#include <wsfile.h>

enum wspipe_exit {
	WSPIPE_CLEAN = 0,
	WSPIPE_BROKEN = 1,
	WSPIPE_USAGE = 2,
};

/* The block that is read and written at once: a pipe's capacity, and the default buffer of a stream. */
#define WSPIPE_BLOCK 65536

#define WSPIPE_LINE 1024

/* Arrays that options point to. */
enum wspipe_list { WSPIPE_HEADERS, WSPIPE_SUBPROTOCOLS, WSPIPE_ORIGINS, WSPIPE_PINS, WSPIPE_LISTS };

struct wspipe_config {
	struct ws_options options;
	const char **lists[WSPIPE_LISTS];
	struct ws_certificate *certificates;	/* a listener's, in the order given */
	size_t certificate_count;
	char *url, *proxy;		/* these two may hold userinfo */
	char *userinfo, *bearer, *key_password;
	bool listen, keep, echo, progress;
	int quit_ms;			/* wait between the end of standard input and our Close, -1 = do not close */
	unsigned close_code;
	const char *close_reason;	/* NULL = none */
};

/* wspipe_args.c. Returns -1 to go on, else the exit status (--help, --version or a usage error, which was printed). */
int wspipe_parse(struct wspipe_config *config, int argc, char **argv);
/* Wipe what only opening needs: the URL and every secret. */
void wspipe_config_forget(struct wspipe_config *config);
void wspipe_config_clear(struct wspipe_config *config);

/* wspipe_reload.c: SIGHUP. Block it before there is any other thread; it is remembered until start. */
void wspipe_reload_block(void);
/* Returns 0 or an errno. */
int wspipe_reload_start(struct ws_listener *listener);
/* Before the listener is closed. Does nothing without a start. */
void wspipe_reload_stop(void);

/* wspipe_copy.c: standard input to half[1] and half[0] to standard output, until both directions have ended. */
struct wspipe_input {
	bool ended;			/* standard input is at its end, or broken */
};

/* How a connection ended. */
struct wspipe_verdict {
	bool broken;
	bool fatal;			/* standard input or output failed: no use in another connection */
	char peer[64];			/* the peer's address, "" = not known */
	char text[WSPIPE_LINE];		/* why, when broken */
};

/* Both take the halves over and close them. */
void wspipe_copy(const struct wspipe_config *config, struct wspipe_input *input, FILE *half[2],
    struct wspipe_verdict *verdict);
void wspipe_echo(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict);

/* wspipe_print.c: standard error. One line, with control characters made harmless, as a peer may have sent the text. */
void wspipe_say(const char *prefix, const char *text);
void wspipe_count_sent(size_t size);
void wspipe_count_received(size_t size);
/* Show progress from now on, if standard error is a terminal. Both are the main thread's, and do nothing twice. */
void wspipe_progress_start(void);
/* The status line goes away, and a last summary stays. */
void wspipe_progress_stop(void);

#endif
