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
#include "wspipe_table.h"

/* wspipe_help.c. NULL = the first screen, "all", or the name of a group. Returns false for any other. */
bool wspipe_help_print(const char *topic);

/* wspipe_suggest.c. The word that was meant by the first size bytes, NULL = none is near. */
const char *wspipe_nearest(const char *word, size_t size, const char *const words[], size_t count);
const char *wspipe_nearest_option(const char *word, size_t size);
/* How many options begin with these bytes, or have them as a part; their names stand in list. */
size_t wspipe_list_options(char list[WSPIPE_LINE], const char *word, size_t size, bool at_begin);

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
