/* SPDX-License-Identifier: 0BSD */
/*
 * A stream as a stdio FILE: fopencookie or funopen, one-way halves, un-reading, and the way back from a FILE to its
 * stream. It knows no sockets and no libwebsockets. Called from the program's threads.
 */
#ifndef WSF_COOKIE_H
#define WSF_COOKIE_H

#include <stdio.h>

#include "stream.h"

/*
 * FILEs that have no stream yet, so that what can fail is done before a connection is opened: one for both directions
 * as the mode says, or a pair. wsf_files_bind gives them the stream, wsf_files_drop frees them instead.
 */
struct wsf_files {
	FILE *file[2];			/* [0] reads (or is the only one), [1] writes or NULL */
	struct wsf_cookie *cookie[2];
};

/* Returns 0, -ENOMEM or -EMFILE. */
int wsf_files_create(struct wsf_files *files, const struct wsf_mode *mode, bool pair, size_t stdio_buffer_bytes);
/* Takes over one reference to stream. Each file's fclose lets it go. */
void wsf_files_bind(struct wsf_files *files, struct wsf_stream *stream);
void wsf_files_drop(struct wsf_files *files);

#endif
