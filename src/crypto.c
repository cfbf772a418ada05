/* SPDX-License-Identifier: 0BSD */
#include "crypto.h"
#include "process.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define KEY_BYTES 16
#define ACCEPT_BYTES 20

_Static_assert(WSF_KEY_TEXT_BYTES == (KEY_BYTES + 2) / 3 * 4 + 1, "base64 of a key and a NUL");
_Static_assert(WSF_ACCEPT_TEXT_BYTES == (ACCEPT_BYTES + 2) / 3 * 4 + 1, "base64 of a SHA-1 and a NUL");
_Static_assert(sizeof(((struct wsf_mask_keys *)0)->block) % 4 == 0, "a block holds whole keys");

/* OpenSSL's error queue belongs to the program's thread: it is left as it was. */
static int random_bytes(void *out, int size)
{
	int rv;

	wsf_process_enter();
	ERR_set_mark();
	rv = RAND_bytes(out, size) == 1 ? 0 : -EIO;
	ERR_pop_to_mark();
	wsf_process_leave();
	return rv;
}

int wsf_crypto_key(char out[WSF_KEY_TEXT_BYTES])
{
	unsigned char nonce[KEY_BYTES];
	int rv = random_bytes(nonce, sizeof(nonce));

	if (rv != 0)
		return rv;
	EVP_EncodeBlock((unsigned char *)out, nonce, sizeof(nonce));
	return 0;
}

int wsf_crypto_accept(const char *key, char out[WSF_ACCEPT_TEXT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";	/* RFC 6455, section 1.3 */
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context;
	bool done;

	wsf_process_enter();
	ERR_set_mark();
	context = EVP_MD_CTX_new();
	done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, key, strlen(key)) == 1 &&
	    EVP_DigestUpdate(context, guid, strlen(guid)) == 1 && EVP_DigestFinal_ex(context, digest, NULL) == 1;
	EVP_MD_CTX_free(context);
	ERR_pop_to_mark();
	wsf_process_leave();
	if (!done)
		return -EIO;
	EVP_EncodeBlock((unsigned char *)out, digest, ACCEPT_BYTES);
	return 0;
}

char *wsf_crypto_basic(const char *userinfo)
{
	static const char scheme[] = "Basic ";
	size_t lead = sizeof(scheme) - 1, length = strlen(userinfo);
	char *text;

	if (length > INT_MAX / 2)
		return NULL;
	text = malloc(lead + (length + 2) / 3 * 4 + 1);
	if (text == NULL)
		return NULL;
	memcpy(text, scheme, lead);
	EVP_EncodeBlock((unsigned char *)text + lead, (const unsigned char *)userinfo, (int)length);
	return text;
}

int wsf_crypto_mask_key(struct wsf_mask_keys *keys, uint8_t out[4])
{
	unsigned self = wsf_process_generation();

	if (keys->left_bytes == 0 || keys->owner != self) {
		int rv;

		keys->left_bytes = 0;
		rv = random_bytes(keys->block, sizeof(keys->block));
		if (rv != 0)
			return rv;
		keys->left_bytes = sizeof(keys->block);
		keys->owner = self;
	}
	memcpy(out, keys->block + sizeof(keys->block) - keys->left_bytes, 4);
	keys->left_bytes = (uint16_t)(keys->left_bytes - 4);
	return 0;
}
