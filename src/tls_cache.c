/* SPDX-License-Identifier: 0BSD */
/*
 * The client contexts of a process, each under a digest of all that it was made of: options, and which file is behind
 * each name, and since when. So a file that is replaced makes a new context, and secrets are in no key.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "process.h"
#include "tls_private.h"

#define CACHE_MAX 16
#define KEY_BYTES 32

#ifdef __APPLE__
#define MODIFIED st_mtimespec
#define CHANGED st_ctimespec
#else
#define MODIFIED st_mtim
#define CHANGED st_ctim
#endif

struct place {
	unsigned char key[KEY_BYTES];
	struct wsf_tls_context *context;	/* with a reference of the cache's */
};

/* A fork takes its lock, then the session locks in the order of the contexts' addresses. Legend: [C] its lock. */
static struct {
	pthread_mutex_t lock;
	struct place places[CACHE_MAX];		/* [C] the one used last first */
	size_t count;				/* [C] */
	bool over;				/* [C] the process ends: nothing is kept any more */
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- keys --- */

struct digest {
	EVP_MD_CTX *md;
	bool good;
};

static void mix(struct digest *digest, const void *data, size_t size)
{
	digest->good = digest->good && EVP_DigestUpdate(digest->md, data, size) == 1;
}

static void mix_number(struct digest *digest, uint64_t number)
{
	mix(digest, &number, sizeof(number));
}

/* With the length before it, so that no two lists of texts give the same bytes. 0 = NULL. */
static void mix_text(struct digest *digest, const char *text)
{
	mix_number(digest, text != NULL ? (uint64_t)strlen(text) + 1 : 0);
	if (text != NULL)
		mix(digest, text, strlen(text));
}

static void mix_file(struct digest *digest, const char *path)
{
	struct stat status;
	bool there = path != NULL && stat(path, &status) == 0;

	mix_text(digest, path);
	mix_number(digest, there);
	if (!there)
		return;
	mix_number(digest, (uint64_t)status.st_dev);
	mix_number(digest, (uint64_t)status.st_ino);
	mix_number(digest, (uint64_t)status.st_size);
	mix_number(digest, (uint64_t)status.MODIFIED.tv_sec);
	mix_number(digest, (uint64_t)status.MODIFIED.tv_nsec);
	/* A program that keeps a file's time, such as one that restores it from an archive, can't keep this one. */
	mix_number(digest, (uint64_t)status.CHANGED.tv_sec);
	mix_number(digest, (uint64_t)status.CHANGED.tv_nsec);
}

/* As OpenSSL finds it, which does not hear the environment of a program with more rights than its user. */
static void mix_system_path(struct digest *digest, const char *variable, const char *otherwise)
{
#ifdef __GLIBC__
	const char *path = secure_getenv(variable);
#else
	const char *path = getenv(variable);
#endif

	mix_file(digest, path != NULL ? path : otherwise);
}

static void mix_options(struct digest *digest, const struct ws_options *values)
{
	mix_number(digest, (uint64_t)values->verify);
	mix_number(digest, (uint64_t)values->min_tls);
	mix_text(digest, values->server_name);
	mix_file(digest, values->ca_file);
	mix_file(digest, values->ca_dir);
	mix_file(digest, values->cert_file);
	mix_file(digest, values->key_file);
	mix_text(digest, values->key_password);
	for (const char *const *pin = values->pin_sha256; pin != NULL && *pin != NULL; pin++)
		mix_text(digest, *pin);
	mix_text(digest, NULL);
	if (values->ca_file == NULL && values->ca_dir == NULL) {
		mix_system_path(digest, X509_get_default_cert_file_env(), X509_get_default_cert_file());
		mix_system_path(digest, X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
	}
}

/* The files are looked at before they are read: one that changes in between has another key the next time. */
static bool make_key(unsigned char key[KEY_BYTES], const struct ws_options *values)
{
	struct digest digest = { EVP_MD_CTX_new(), true };
	unsigned size = 0;

	digest.good = digest.md != NULL && EVP_DigestInit_ex(digest.md, EVP_sha256(), NULL) == 1;
	mix_options(&digest, values);
	digest.good = digest.good && EVP_DigestFinal_ex(digest.md, key, &size) == 1 && size == KEY_BYTES;
	EVP_MD_CTX_free(digest.md);
	return digest.good;
}

/* --- places, under the cache's lock --- */

static void to_front_locked(size_t i)
{
	struct place place = cache.places[i];

	memmove(cache.places + 1, cache.places, i * sizeof(*cache.places));
	cache.places[0] = place;
}

/* With a reference for the caller, or NULL. */
static struct wsf_tls_context *find_locked(const unsigned char key[KEY_BYTES])
{
	for (size_t i = 0; i < cache.count; i++) {
		if (memcmp(cache.places[i].key, key, KEY_BYTES) == 0) {
			to_front_locked(i);
			return wsf_tls_context_ref(cache.places[0].context);
		}
	}
	return NULL;
}

/* Returns the context that has lost its place, to be let go of without the lock, or NULL. */
static struct wsf_tls_context *insert_locked(const unsigned char key[KEY_BYTES], struct wsf_tls_context *context)
{
	struct wsf_tls_context *old = NULL;

	if (cache.over)
		return NULL;
	if (cache.count == CACHE_MAX)
		old = cache.places[CACHE_MAX - 1].context;
	else
		cache.count++;
	memcpy(cache.places[cache.count - 1].key, key, KEY_BYTES);
	cache.places[cache.count - 1].context = wsf_tls_context_ref(context);
	to_front_locked(cache.count - 1);
	return old;
}

/* --- the process --- */

void wsf_tls_cache_clear(void)
{
	struct place places[CACHE_MAX];
	size_t count;

	wsf_lock(&cache.lock, WSF_RANK_CACHE);
	cache.over = true;
	count = cache.count;
	memcpy(places, cache.places, sizeof(places));
	cache.count = 0;
	wsf_unlock(&cache.lock, WSF_RANK_CACHE);
	for (size_t i = 0; i < count; i++)
		wsf_tls_context_unref(places[i].context);
}

static void clear_at_exit(void)
{
	wsf_lock(&cache.lock, WSF_RANK_CACHE);
	cache.over = true;
	wsf_unlock(&cache.lock, WSF_RANK_CACHE);
	wsf_tls_cache_clear();
}

/* The cached context with the lowest address behind this one, NULL = the first or none. */
static struct wsf_tls_context *next_locked(const struct wsf_tls_context *last)
{
	struct wsf_tls_context *next = NULL;

	for (size_t i = 0; i < cache.count; i++) {
		struct wsf_tls_context *context = cache.places[i].context;

		if ((uintptr_t)context > (uintptr_t)last && (next == NULL || (uintptr_t)context < (uintptr_t)next))
			next = context;
	}
	return next;
}

/* A child finds all locks free, whatever the parent's other threads were at. */
static void lock_for_fork(void)
{
	wsf_lock_to_fork(&cache.lock);
	for (struct wsf_tls_context *context = next_locked(NULL); context != NULL; context = next_locked(context))
		wsf_lock_to_fork(&context->session_lock);
}

static void unlock_after_fork(void)
{
	for (struct wsf_tls_context *context = next_locked(NULL); context != NULL; context = next_locked(context))
		wsf_unlock_forked(&context->session_lock);
	wsf_unlock_forked(&cache.lock);
}

static const struct wsf_process_part part = {
	.before_fork = lock_for_fork,
	.in_parent = unlock_after_fork,
	.in_child = unlock_after_fork,
	.end = clear_at_exit,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_TLS, &part);
}

static int get(struct wsf_tls_context **out, const struct ws_options *values, struct wsf_failure *failure)
{
	unsigned char key[KEY_BYTES];
	struct wsf_tls_context *fresh, *known, *old = NULL;
	bool made;
	int rv;

	wsf_process_enter();
	made = make_key(key, values);
	wsf_process_leave();
	if (!made)
		return wsf_fail(failure, ENOMEM, "no TLS context to be had");
	wsf_lock(&cache.lock, WSF_RANK_CACHE);
	*out = find_locked(key);
	wsf_unlock(&cache.lock, WSF_RANK_CACHE);
	if (*out != NULL)
		return 0;
	rv = wsf_tls_context_build(&fresh, values, false, failure);
	if (rv != 0)
		return rv;
	/* Another thread may have been faster: with one context for both, their sessions are, too. */
	wsf_lock(&cache.lock, WSF_RANK_CACHE);
	known = find_locked(key);
	if (known == NULL)
		old = insert_locked(key, fresh);
	wsf_unlock(&cache.lock, WSF_RANK_CACHE);
	wsf_tls_context_unref(known != NULL ? fresh : old);
	*out = known != NULL ? known : fresh;
	return 0;
}

int wsf_tls_client_context(struct wsf_tls_context **context, const struct ws_options *values,
    struct wsf_failure *failure)
{
	struct wsf_tls_errors *errors = wsf_tls_errors_aside();
	int rv;

	*context = NULL;
	rv = get(context, values, failure);
	wsf_tls_errors_back(errors);
	return rv;
}
