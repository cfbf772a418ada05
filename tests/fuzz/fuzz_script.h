/* SPDX-License-Identifier: 0BSD */
/*
 * Frames as a short script, so that a fuzzer need not find out how they are masked, and how long they say they are.
 */
#ifndef WSF_TESTS_FUZZ_SCRIPT_H
#define WSF_TESTS_FUZZ_SCRIPT_H

#include "endpoint.h"
#include "fuzz.h"

/* What the peer of an end with this role sends first, in order. */
void fuzz_script_handshake(struct fuzz_buffer *wire, enum wsf_role role, bool deflate);

/* One frame with this first byte. */
void fuzz_script_frame(struct fuzz_buffer *wire, unsigned byte0, bool masked, const void *payload, size_t size);

/*
 * For each frame of the input: its first byte as on the wire; one that tells the payload's length (64 and more: each
 * byte of it is repeated) and, if 128 is in it, that the payload is deflated; then one that tells, of a deflated one,
 * in how many frames it comes, of a repeated one, how often.
 */
void fuzz_script_frames(struct fuzz_buffer *wire, struct fuzz_input *in, bool masked,
    const struct wsf_deflate_params *params);

#endif
