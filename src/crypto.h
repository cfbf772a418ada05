/* SPDX-License-Identifier: 0BSD */
/*
 * What the protocol needs of cryptography, from OpenSSL: accept values, nonces, masking keys, base64. It knows nothing
 * of TLS or connections. Called from any thread.
 */
#ifndef WSF_CRYPTO_H
#define WSF_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define WSF_KEY_TEXT_BYTES 25		/* base64 of 16 bytes and a NUL */
#define WSF_ACCEPT_TEXT_BYTES 29	/* base64 of 20 bytes and a NUL */

/* A fresh Sec-WebSocket-Key. Returns 0 or -EIO (no randomness to be had). */
int wsf_crypto_key(char out[WSF_KEY_TEXT_BYTES]);
/* The Sec-WebSocket-Accept for a key (RFC 6455, section 4.2.2). Returns 0 or -EIO. */
int wsf_crypto_accept(const char *key, char out[WSF_ACCEPT_TEXT_BYTES]);

/*
 * "Basic " and the base64 of "user:password" (RFC 7617), malloc'd, a secret: free with wsf_wipe_free. NULL = no memory.
 */
char *wsf_crypto_basic(const char *userinfo);

/*
 * A store of unpredictable masking keys (RFC 6455, section 10.3), filled a block at a time. Zero-initialised = empty.
 * One thread at a time.
 */
struct wsf_mask_keys {
	uint8_t block[256];
	uint16_t left_bytes;
	unsigned owner;			/* wsf_process_generation, when block was filled */
};

/* Returns 0 or -EIO. A store carried into a forked child is refilled there, never reused. */
int wsf_crypto_mask_key(struct wsf_mask_keys *keys, uint8_t out[4]);

#endif
