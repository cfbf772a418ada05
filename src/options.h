/* SPDX-License-Identifier: 0BSD */
/*
 * The options of a connection: defaults, validation, deep copy. It knows what values mean, not what is done with them.
 * Called by the openers, in the program's thread; a copy is immutable and may be read from any thread.
 */
#ifndef WSF_OPTIONS_H
#define WSF_OPTIONS_H

#include <stddef.h>

#include "errmap.h"
#include "wsfile.h"

#define WSF_HELPERS_MAX 64		/* helper_threads */

/* A deep copy, shared by reference between a listener and its streams. */
struct wsf_options;

/*
 * Copy and check; in may be NULL (defaults) or of an older, shorter size. Returns 0, or -EINVAL, -ENOMEM with the
 * failure's text naming the field. Free with wsf_options_unref.
 */
int wsf_options_copy(struct wsf_options **out, const struct ws_options *in, struct wsf_failure *failure);
struct wsf_options *wsf_options_ref(struct wsf_options *options);
void wsf_options_unref(struct wsf_options *options);
/*
 * The values; every pointer lives as long as the copy, but observer_user, authorize_user and initial_bytes, which are
 * the caller's: the last is only for the call that got the options. recv and send buffers are powers of two here.
 */
const struct ws_options *wsf_options_get(const struct wsf_options *options);

/* Whether headers have an Authorization line. */
bool wsf_options_name_authorization(const struct ws_options *values);

/*
 * Wipe what is only needed for opening: userinfo, bearer, proxy, url, key_password and the values of headers; the
 * pointers become NULL, headers empty. Only for a copy that one thread has: a client's, once the stream is open or has
 * failed. The last wsf_options_unref wipes, too. A listener keeps its headers and key_password.
 */
void wsf_options_forget_secrets(struct wsf_options *options);

/* A parsed mode string. */
struct wsf_mode {
	bool read, write;		/* by the program; a stream it can't read discards what arrives */
	bool text;			/* "t" */
	const char *stdio;		/* "r", "w" or "r+" */
};

/* "r", "w", "r+", "w+", then any of "b", "e", "t" once, "+" at any place behind the first. Returns 0 or -EINVAL. */
int wsf_mode_parse(struct wsf_mode *mode, const char *text, struct wsf_failure *failure);

#endif
