/* SPDX-License-Identifier: 0BSD */
/*
 * Masking of payload (RFC 6455, section 5.3): XOR with a repeating four-byte key, fused with the copy. It knows nothing
 * of frames. Called from whichever thread moves the bytes.
 */
#ifndef WSF_MASK_H
#define WSF_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Copy size bytes from in to out, XORed with key rotated by offset (bytes of this payload already done; only its low
 * two bits count). in == out masks in place; other overlap is not allowed. No alignment is needed. A vector or a word
 * at a time: no byte loop but for the last few.
 */
void wsf_mask_copy(void *out, const void *in, size_t size, const uint8_t key[4], uint64_t offset);

#endif
