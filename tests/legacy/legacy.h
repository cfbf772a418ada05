/* SPDX-License-Identifier: 0BSD */
/*
 * A consumer: a library, or a page of code, that knows stdio's FILE and nothing of WebSockets. Each file here that
 * defines one is an example. What a program adds is
 *
 *	FILE *in = ws_fopen("wss://example.org/", "r");		read(in, stdout)
 *	FILE *out = ws_fopen("wss://example.org/", "w");	write(out, records)
 *
 * and fclose(3), which returns 0 only if all of it went well. test_legacy.c does so, and more. This header knows no
 * library.
 */
#ifndef LEGACY_H
#define LEGACY_H

#include <stdbool.h>
#include <stdio.h>

/* What came of reading. As bits, since where a stream is cut decides which. */
enum verdict {
	WHOLE = 1,			/* everything was there */
	REFUSED = 2,			/* the library itself says that something is wrong */
	CUT = 4,			/* the library noticed nothing; ferror(3), or fclose(3), did */
};

struct consumer {
	/* Print each record of in to out, one a line; what is wrong goes to standard error. */
	enum verdict (*read)(FILE *in, FILE *out);
	/* Write so many records. Returns 0, or -1 when the library says that it failed. */
	int (*write)(FILE *out, int records);

	unsigned at_cut;		/* what read returns when the stream is cut: each of these at some place */
	bool live;			/* a record is there when its last byte is */
	bool keeps_records;		/* what came whole before a cut is there */
	bool knows_its_end;		/* the last byte is enough: it does not read on to the end of file */
	bool closes;			/* read closes the stream */
	bool needs_descriptor;		/* of ws_socket(3), with fdopen(3) */
};

extern const struct consumer consumer;

#endif
