/* SPDX-License-Identifier: 0BSD */
/*
 * A stream of the library in either role with the raw peer at its other end, and cases: frames that the peer sends, and
 * what must come of them. It knows no rule of the protocol beyond how to build a frame, right or wrong. Called by the
 * tests, in the test's thread.
 */
#ifndef DUO_H
#define DUO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wsfile.h"

/* A growing string of bytes. Zero-initialised = empty. */
struct duo_bytes {
	uint8_t *data;
	size_t size, capacity;
};

void duo_append(struct duo_bytes *bytes, const void *data, size_t size);
void duo_clear(struct duo_bytes *bytes);

/* How a length is written: DUO_SHORTEST is the only legal one. */
enum duo_form { DUO_SHORTEST, DUO_16, DUO_64 };

/* One frame of a case. A piece without payload (NULL) ends the list. */
struct duo_piece {
	unsigned byte0;			/* FIN, RSV, opcode */
	const char *payload;
	size_t size;
	enum duo_form form;
	uint64_t declared;		/* the length in the header, 0 = size */
	bool wrong_mask;		/* masked from a server, bare from a client */
};

#define DUO_PIECE(byte0, text) { byte0, text, sizeof(text) - 1, DUO_SHORTEST, 0, false }
#define DUO_FORM(byte0, text, form) { byte0, text, sizeof(text) - 1, form, 0, false }
#define DUO_DECLARED(byte0, text, form, declared) { byte0, text, sizeof(text) - 1, form, declared, false }
#define DUO_WRONG_MASK(byte0, text) { byte0, text, sizeof(text) - 1, DUO_SHORTEST, 0, true }
#define DUO_END { 0, NULL, 0, DUO_SHORTEST, 0, false }
#define DUO_TEXT_25 "abcdefghijklmnopqrstuvwxy"
#define DUO_TEXT_125 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25

void duo_put(struct duo_bytes *bytes, bool mask, const struct duo_piece *piece);

/* The two ends. duo_finish fills the members behind the blank line. */
struct duo {
	bool library_is_server;
	FILE *stream;
	struct ws_listener *listener;
	int fd;				/* of the peer */
	bool peer_closed;		/* the peer has sent its Close, or must not send one */

	int result, error;		/* of fclose */
	unsigned code;			/* of the Close that the peer saw; 0 = none, 1005 = without a code */
	struct duo_bytes received;	/* by the peer, up to that Close */
};

void duo_open(struct duo *duo, bool library_is_server, const char *mode, const struct ws_options *options);
/* Send bytes from the peer; stops without a word when the library has gone. */
void duo_send(struct duo *duo, const struct duo_bytes *bytes, bool one_at_a_time);
void duo_send_piece(struct duo *duo, const struct duo_piece *piece);
/* Read the stream to its end. Returns 0 for EOF, else the errno. */
int duo_read(FILE *stream, struct duo_bytes *bytes);
/* fclose, while the peer reads up to our Close, answers it where it has not sent its own, and ends TCP. */
void duo_finish(struct duo *duo);

/* A frame as the peer sees it, with its key. */
struct duo_frame {
	unsigned byte0;
	uint8_t key[4];
	struct duo_bytes payload;	/* unmasked */
};

/* The next frame, which must come and must be masked as the library's role demands. */
void duo_read_frame(struct duo *duo, struct duo_frame *frame);

struct duo_case {
	const char *name;
	struct duo_piece pieces[7];
	const char *data;		/* what the reader gets before the end */
	unsigned code;			/* of the Close that the peer sees */
	int error;			/* of the reader; 0: the peer closes with 1000 and the reader sees EOF */
	enum ws_on_text on_text;
	uint64_t max_message_bytes;
};

/* Run a case in both roles, sent in one piece and byte by byte: all four must come to the same. */
void duo_run(const struct duo_case *one);

/* This thread's last opener failed with error, and its text is one line. */
void duo_check_failure(int error, int http_status);
/* ws_fopen_with must fail with error, without any answer. */
void duo_expect_failure(const char *url, const char *mode, const struct ws_options *options, int error);

/* fclose both ends of one connection at once: both must succeed. */
void duo_close_both(FILE *one, FILE *other);

#endif
