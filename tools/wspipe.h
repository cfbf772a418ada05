/* SPDX-License-Identifier: 0BSD */
/*
 * The parts of the command wspipe: its settings, one connection's copying, and what it prints. All of it is written
 * with <wsfile.h> alone. All but the counters and the messages is called by the thread that serves the connection.
 */
#ifndef WSPIPE_H
#define WSPIPE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wsfile.h>

#include "wspipe_print.h"

enum wspipe_exit {
	WSPIPE_CLEAN = 0,
	WSPIPE_BROKEN = 1,
	WSPIPE_USAGE = 2,
};

/* The block that is read and written at once: a pipe's capacity, and the default buffer of a stream. */
#define WSPIPE_BLOCK 65536

/* Arrays that options point to. */
enum wspipe_list { WSPIPE_HEADERS, WSPIPE_SUBPROTOCOLS, WSPIPE_ORIGINS, WSPIPE_PINS, WSPIPE_LISTS };

struct wspipe_config {
	struct ws_options options;
	const char **lists[WSPIPE_LISTS];
	struct ws_certificate *certificates;	/* a listener's, in the order given */
	size_t certificate_count;
	char *url, *proxy;		/* these two may hold userinfo */
	char *userinfo, *bearer, *key_password;
	char *exec;			/* a command for sh(1), NULL = none */
	int kill_after_ms;		/* grace time of commands and of a stop, -1 = no limit */
	bool listen, keep, echo, progress, inetd;
	uint64_t progress_size;		/* 0 = not told */
	int quit_ms;			/* wait between the end of standard input and our Close, -1 = do not close */
	unsigned close_code;
	const char *close_reason;	/* NULL = none */
};

/* wspipe_args.c. Returns -1 to go on, else the exit status (--help, --version or a usage error, which was printed). */
int wspipe_parse(struct wspipe_config *config, int argc, char **argv);
/* Wipe what only opening needs: the URL and every secret. */
void wspipe_config_forget(struct wspipe_config *config);
void wspipe_config_clear(struct wspipe_config *config);

/* wspipe_serve.c. Each returns the exit status. */
int wspipe_listen(struct wspipe_config *config);
/* Serves the connection that is descriptor 0. */
int wspipe_inetd(struct wspipe_config *config);
/* Whether a signal has asked for an end of the service. From any thread. */
bool wspipe_stopping(void);

/* wspipe_signal.c. Block before there is any other thread; what comes is remembered until start. */
void wspipe_signals_block(bool hangup, bool stop);
/*
 * Returns 0 or an errno. stop is called once, by a thread of its own. The process ends by the signal when stop returns
 * false, when patience_ms, -1 = no limit, are over after it, and with a second signal.
 */
int wspipe_signals_start(struct ws_listener *listener, bool (*stop)(int signal_number), int patience_ms);
/* When it returns, stop was called for every signal that had come. */
void wspipe_signals_settle(void);
/* As if nobody had blocked the signal. */
void wspipe_end_by(int signal_number);
/* Before the listener is closed. Does nothing without a start. */
void wspipe_signals_end(void);
/* What was blocked before. */
const sigset_t *wspipe_signals_found(void);

/* wspipe_system.c. The listening socket of systemd(1), -1 = none. Returns false, and says why, if it is of no use. */
bool wspipe_inherited_socket(int *fd);
/* Tells systemd(1), if it wants to hear. */
void wspipe_notify(const char *state);
/* Descriptor 0 becomes another; standard input and output, and error where it is the socket, too, become /dev/null. */
int wspipe_take_standard_socket(void);

/* wspipe_copy.c: standard input to half[1] and half[0] to standard output, until both directions have ended. */
struct wspipe_input {
	bool ended;			/* standard input is at its end, or broken */
};

/* How a connection ended. */
struct wspipe_verdict {
	bool broken;
	bool fatal;			/* standard input or output failed: no use in another connection */
	int error;			/* errno, 0 = there is none for it */
	uint64_t stream_id;
	char peer[64];			/* the peer's address, "" = not known */
	char text[WSPIPE_LINE];		/* why, when broken */
};

/* The stop of one connection with standard input and output: whether there is one that has something to send still. */
bool wspipe_interrupt(int signal_number);
/* The signal that has done so, 0 = none. */
int wspipe_interrupted(void);
/* They take the halves over and close them. */
void wspipe_copy(const struct wspipe_config *config, struct wspipe_input *input, FILE *half[2],
    struct wspipe_verdict *verdict);
void wspipe_echo(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict);
/* wspipe_exec.c. The halves may be one stream that is non-blocking. */
void wspipe_exec(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict);

/* wspipe_child.c: the commands of all connections. From any thread. */
void wspipe_children_check(void);
void wspipe_children_kill(int signal_number);
/* Writes a byte to a non-blocking pipe; one that is full has rung already. */
void wspipe_ring(int fd);

/* wspipe_verdict.c. What comes first counts. */
/* error 0 = there is no errno for it; why NULL = what strerror(3) says of it. */
void wspipe_verdict_set(struct wspipe_verdict *verdict, int error, const char *what, const char *why);
void wspipe_note_peer(FILE *half, struct wspipe_verdict *verdict);
/* Why the stream ended. half is any half still open; error is the errno if the library knows no more. */
void wspipe_explain(FILE *half, int error, struct wspipe_verdict *verdict);
/* After a failed read. A timeout that the stream survived is the one of --read-timeout. */
void wspipe_explain_read(FILE *half, int error, struct wspipe_verdict *verdict);
void wspipe_explain_write(FILE *half, int error, struct wspipe_verdict *verdict);
/* Whether it is the errno of what a stop of the service, which has sent our Close already, kept from being sent. */
bool wspipe_cut_short(int error);
/* Closes both halves: the last one gives the verdict of the closing handshake. */
void wspipe_close_halves(FILE *half[2], struct wspipe_verdict *verdict);
void wspipe_turn_away(FILE *half[2], unsigned code, const char *reason, struct wspipe_verdict *verdict);

/* wspipe_stream.c: for a pair, or one stream for both, as wspipe_exec has it. Each fails with errno. */
/* A block of WSPIPE_BLOCK bytes at most, as by ws_read_some(3). */
ssize_t wspipe_receive(FILE *half[2], char *block);
/* All of data, as by fwrite(3). */
bool wspipe_send(FILE *half[2], const char *data, size_t size);
bool wspipe_flush(FILE *half[2]);
/* Sends a Close, unless one was sent before. */
bool wspipe_shutdown(FILE *half[2], unsigned code, const char *reason);

/* wspipe.c. Both return the exit status. */
int wspipe_report(const struct wspipe_verdict *verdict, bool with_peer);
int wspipe_report_last_error(const struct wspipe_config *config);
void wspipe_show_progress(const struct wspipe_config *config);
/* wspipe_words.c: what the library says of its options, in the words of ours. */
const char *wspipe_in_our_words(char line[WSPIPE_LINE], const char *text, bool listening);
/* What could help, NULL = nothing known. */
const char *wspipe_hint(const struct ws_error *error);

#endif
