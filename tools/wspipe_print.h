/* SPDX-License-Identifier: 0BSD */
/*
 * What the command says, on standard error: lines for people, or lines of JSON, and a status line on a terminal. It
 * knows nothing of how connections are served. From any thread, unless that is said.
 */
#ifndef WSPIPE_PRINT_H
#define WSPIPE_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <wsfile.h>

#define WSPIPE_LINE 1024

enum wspipe_color { WSPIPE_COLOR_AUTO, WSPIPE_COLOR_ALWAYS, WSPIPE_COLOR_NEVER };

/* --- wspipe_print.c. The settings are the main thread's, before there is another. --- */

void wspipe_print_color(enum wspipe_color color);
void wspipe_print_json(void);
bool wspipe_prints_json(void);
bool wspipe_is_colored(FILE *stream);

/* In one line, with control characters made harmless, as a peer may have sent the text. */
void wspipe_say(const char *text);
/* Of an error; prefix may be "", and error 0: there is no errno for it. */
void wspipe_complain(int error, const char *prefix, const char *text);
/* Of one that could not be opened, with what the library knows of it; text is what to say, hint NULL = none. */
void wspipe_complain_opening(const struct ws_error *error, const char *text, const char *hint);
/* The same of a connection; stream_id 0 = it has none. */
void wspipe_complain_of(uint64_t stream_id, const char *peer, int error, const char *text);
void wspipe_say_listening(const char *url);
/* Who is at the other end. Nothing without --json. */
void wspipe_say_connected(const struct ws_status *status);
/* The last line of --json. signal_number 0 = none. */
void wspipe_say_exit(int status, int signal_number);
/* An observer. */
void wspipe_print_event(const struct ws_event *event, void *unused);
/* For wspipe_events.c: a line behind "wspipe: event: ". */
void wspipe_say_event(const char *text);

/* A line at the bottom of the terminal that is standard error; the next one, or any other line, takes its place. */
void wspipe_status_show(const char *text, bool last);
/* It stays there: the process ends. */
void wspipe_status_leave(void);
/* Data to a terminal, with nothing in it that could command one. Returns false with errno. One thread's at a time. */
bool wspipe_terminal_write(const char *data, size_t size);
/* What is left of a character that never became whole. */
bool wspipe_terminal_end(void);

/* --- wspipe_progress.c --- */

void wspipe_count_sent(size_t size);
void wspipe_count_received(size_t size);
uint64_t wspipe_sent(void);
uint64_t wspipe_received(void);
/* From now on, on a terminal or with --json. size 0 = not known. Both are the main thread's, and do nothing twice. */
void wspipe_progress_start(uint64_t size, bool size_is_sent);
/* The status line goes away, and a last summary stays. */
void wspipe_progress_stop(void);

/* --- wspipe_json.c: one object in one line. Out of memory, it has none. --- */

struct wspipe_json {
	FILE *out;
	char *text;
	size_t size;
};

/* With the event's name and the time. */
void wspipe_json_begin(struct wspipe_json *json, const char *event);
/* What is no UTF-8 becomes U+FFFD. NULL or "" adds nothing. */
void wspipe_json_text(struct wspipe_json *json, const char *name, const char *text);
void wspipe_json_bytes(struct wspipe_json *json, const char *name, const void *data, size_t size);
/* Two digits a byte. */
void wspipe_json_hex(struct wspipe_json *json, const char *name, const void *data, size_t size);
void wspipe_json_number(struct wspipe_json *json, const char *name, uint64_t value);
void wspipe_json_real(struct wspipe_json *json, const char *name, double value);
void wspipe_json_bool(struct wspipe_json *json, const char *name, bool value);
/* The name of an errno, such as "ECONNRESET"; 0 adds nothing. */
void wspipe_json_errno(struct wspipe_json *json, int error);
/* Prints it. Behind the last one there is no other. */
void wspipe_json_end(struct wspipe_json *json, bool last);

/* --- wspipe_utf8.c --- */

/* The size of the character that begins there, 0 = none does, -1 = left ends in one. left is not 0. */
int wspipe_utf8_size(const unsigned char *text, size_t left);

#endif
