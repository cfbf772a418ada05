/* SPDX-License-Identifier: 0BSD */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>

#include "fault_keys.h"

#define RANDOM_AT 11			/* in a ClientHello's record */
#define RANDOM_BYTES 32
#define SECRET_MAX 48
#define TAG_BYTES 16
#define IV_BYTES 12
#define HEAD_BYTES 5

#define insist(condition, what) \
	do { \
		if (!(condition)) \
			ck_abort_msg("%s", what); \
	} while (0)

struct secret {
	struct secret *next;
	bool client;
	uint8_t random[RANDOM_BYTES], secret[SECRET_MAX];
	size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct secret *secrets;

/* --- the log --- */

static size_t from_hex(const char *text, uint8_t *out, size_t room)
{
	size_t size = 0;
	unsigned byte;

	while (size < room && sscanf(text + 2 * size, "%2x", &byte) == 1)
		out[size++] = (uint8_t)byte;
	return size;
}

static void logged(const SSL *ssl, const char *line)
{
	bool client = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
	struct secret *secret;

	(void)ssl;
	if (!client && strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
		return;
	secret = calloc(1, sizeof *secret);
	insist(secret != NULL, "out of memory");
	secret->client = client;
	insist(from_hex(line + 24, secret->random, RANDOM_BYTES) == RANDOM_BYTES, line);
	secret->size = from_hex(line + 24 + 2 * RANDOM_BYTES + 1, secret->secret, SECRET_MAX);
	pthread_mutex_lock(&lock);
	secret->next = secrets;
	secrets = secret;
	pthread_mutex_unlock(&lock);
}

/* The linker puts this in the place of OpenSSL's. */
SSL_CTX *__real_SSL_CTX_new(const SSL_METHOD *method);
SSL_CTX *__wrap_SSL_CTX_new(const SSL_METHOD *method);
SSL_CTX *__wrap_SSL_CTX_new(const SSL_METHOD *method)
{
	SSL_CTX *context = __real_SSL_CTX_new(method);

	if (context != NULL)
		SSL_CTX_set_keylog_callback(context, logged);
	return context;
}

/* No session is resumed: handshakes of two kinds would have two lengths. */
int __wrap_SSL_set_session(SSL *ssl, SSL_SESSION *session);
int __wrap_SSL_set_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	(void)session;
	return 1;
}

static bool find(const uint8_t *random, bool client, struct secret *out)
{
	struct secret *at;

	pthread_mutex_lock(&lock);
	for (at = secrets; at != NULL; at = at->next)
		if (at->client == client && memcmp(at->random, random, RANDOM_BYTES) == 0)
			break;
	if (at != NULL)
		*out = *at;
	pthread_mutex_unlock(&lock);
	return at != NULL;
}

void fault_keys_forget(const struct bytes *hello)
{
	struct secret **at = &secrets, *gone;

	if (hello != NULL && hello->size < RANDOM_AT + RANDOM_BYTES)
		return;
	pthread_mutex_lock(&lock);
	while ((gone = *at) != NULL) {
		if (hello != NULL && memcmp(gone->random, hello->data + RANDOM_AT, RANDOM_BYTES) != 0) {
			at = &gone->next;
			continue;
		}
		*at = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&lock);
}

/* --- records --- */

struct opener {
	const EVP_CIPHER *cipher;
	uint8_t key[32], iv[IV_BYTES];
	uint64_t number;		/* of the next record */
};

/* RFC 8446, section 7.1: HKDF-Expand-Label without a context. */
static void expand(const struct secret *secret, const char *label, uint8_t *out, size_t size)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	uint8_t info[64];
	int used = snprintf((char *)info + 3, sizeof info - 4, "tls13 %s", label);

	info[0] = 0;
	info[1] = (uint8_t)size;
	info[2] = (uint8_t)used;
	info[3 + used] = 0;
	insist(context != NULL && EVP_PKEY_derive_init(context) == 1 &&
	    EVP_PKEY_CTX_set_hkdf_mode(context, EVP_PKEY_HKDEF_MODE_EXPAND_ONLY) == 1 &&
	    EVP_PKEY_CTX_set_hkdf_md(context, secret->size == 48 ? EVP_sha384() : EVP_sha256()) == 1 &&
	    EVP_PKEY_CTX_set1_hkdf_key(context, secret->secret, (int)secret->size) == 1 &&
	    EVP_PKEY_CTX_add1_hkdf_info(context, info, used + 4) == 1 &&
	    EVP_PKEY_derive(context, out, &size) == 1, "HKDF");
	EVP_PKEY_CTX_free(context);
}

/* Returns the size of what was in it, the type behind it; -1 = it is none of these keys'. */
static int open_record(struct opener *opener, EVP_CIPHER_CTX *context, const uint8_t *record, size_t size, uint8_t *out)
{
	size_t body = size - TAG_BYTES;
	uint8_t nonce[IV_BYTES];
	int used = 0, rest = 0;

	memcpy(nonce, opener->iv, IV_BYTES);
	for (int i = 0; i < 8; i++)
		nonce[IV_BYTES - 1 - i] ^= (uint8_t)(opener->number >> (8 * i));
	if (EVP_DecryptInit_ex(context, opener->cipher, NULL, opener->key, nonce) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
		(void *)(uintptr_t)(record + HEAD_BYTES + body)) != 1 ||
	    EVP_DecryptUpdate(context, NULL, &rest, record, HEAD_BYTES) != 1 ||
	    EVP_DecryptUpdate(context, out, &used, record + HEAD_BYTES, (int)body) != 1 ||
	    EVP_DecryptFinal_ex(context, out + used, &rest) != 1)
		return -1;
	opener->number++;
	while (used > 0 && out[used - 1] == 0)
		used--;
	return used - 1;
}

/* The records of the handshake have other keys, and are passed over. */
static void read_records(const struct bytes *wire, struct opener *opener, struct bytes *plain, size_t *start,
    bool *notified)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	static const size_t room = 1 << 15;
	uint8_t *out = malloc(room);
	size_t size;
	int used;

	insist(context != NULL && out != NULL, "out of memory");
	for (size_t at = 0; wire->size - at >= HEAD_BYTES; at += HEAD_BYTES + size) {
		const uint8_t *record = wire->data + at;

		size = (size_t)record[3] << 8 | record[4];
		if (wire->size - at - HEAD_BYTES < size)
			break;
		if (record[0] != 23 || size < TAG_BYTES + 1 || size > room)
			continue;
		used = open_record(opener, context, record, size, out);
		if (used < 0)
			continue;
		if (out[used] == 23 && *start == 0)
			*start = at;
		if (out[used] == 23)
			put(plain, out, (size_t)used);
		else if (out[used] == 21 && used == 2 && out[1] == 0)
			*notified = true;
	}
	free(out);
	EVP_CIPHER_CTX_free(context);
}

void fault_keys_read(const struct bytes *wire, const struct bytes *hello, bool from_client, struct bytes *plain,
    size_t *start, bool *notified)
{
	struct secret secret;
	struct opener opener = { 0 };

	*start = 0;
	*notified = false;
	if (hello->size < RANDOM_AT + RANDOM_BYTES || !find(hello->data + RANDOM_AT, from_client, &secret))
		return;
	/* Both ends prefer AES. */
	opener.cipher = secret.size == 48 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
	expand(&secret, "key", opener.key, (size_t)EVP_CIPHER_get_key_length(opener.cipher));
	expand(&secret, "iv", opener.iv, sizeof opener.iv);
	read_records(wire, &opener, plain, start, notified);
}
