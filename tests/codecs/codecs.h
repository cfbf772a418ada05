/* SPDX-License-Identifier: 0BSD */
/*
 * What the tests of the codecs of ws_codecs(7) share: a peer that sends bytes in pieces and ends in a given way, and
 * one that never stops. Called from the test's thread.
 */
#ifndef CODECS_H
#define CODECS_H

#include "wire.h"

/* How the peer ends its side, and what the reader gets then. */
enum ending { GOODBYE, FIN, RESET, ENDINGS };

/* Loops over both roles and pieces of 1 to 7 bytes: CASES of them. */
#define PIECES 7
#define CASES (WIRE_ROLES * PIECES)
enum wire_role case_role(int i);
size_t case_piece(int i);

/* The peer sends data as messages of piece bytes each, the last one shorter. */
void say_in_pieces(struct wire *wire, const void *data, size_t size, size_t piece);
/* The peer sends that, and ends so. Of all that came the library knows when this returns. */
void say_and_end(struct wire *wire, const void *data, size_t size, size_t piece, enum ending how);
/* The errno of a read behind everything, 0 = EOF. */
int ending_error(enum ending how);
/* fclose, with what it has to return behind say_and_end, and the rest. */
void close_behind(struct wire *wire, enum ending how);

/* A peer that sends byte over and over, in a thread, until it is cut off. */
void say_for_ever(struct wire *wire, unsigned char byte);
/* Cut it, and check that of all it sent no more than limit bytes came in. */
void cut_off(struct wire *wire, uint64_t limit);

/* The peer has collected (wire_finish, wire_finished) just these bytes. */
void expect_answer(const struct wire *wire, const void *data, size_t size);

#endif
