/* SPDX-License-Identifier: 0BSD */
#include "fault_memory.h"

#include <errno.h>
#include <execinfo.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <libwebsockets.h>
#include <openssl/crypto.h>
#include <zlib.h>

#include "fault_system.h"

/* What ld's --wrap makes of a call of name; __real_ is the one that was meant. */
#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name
#define TABLE_SIZE ((size_t)1 << 18)	/* a power of two, far more than there ever are */
#define TRACE_MAX 32

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *old, size_t size);
void REAL(free)(void *old);
void *REAL(mmap)(void *place, size_t size, int protection, int flags, int fd, off_t offset);
int REAL(munmap)(void *place, size_t size);
FILE *REAL(fopencookie)(void *cookie, const char *mode, cookie_io_functions_t functions);
int REAL(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int REAL(getaddrinfo)(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int REAL(inflateInit2_)(z_streamp stream, int bits, const char *version, int size);
int REAL(deflateInit2_)(z_streamp stream, int level, int method, int bits, int memory, int strategy,
    const char *version, int size);

void *WRAP(malloc)(size_t size);
void *WRAP(calloc)(size_t count, size_t size);
void *WRAP(realloc)(void *old, size_t size);
void WRAP(free)(void *old);
char *WRAP(strdup)(const char *text);
char *WRAP(strndup)(const char *text, size_t size);
void *WRAP(mmap)(void *place, size_t size, int protection, int flags, int fd, off_t offset);
void *WRAP(mmap64)(void *place, size_t size, int protection, int flags, int fd, off_t offset);
int WRAP(munmap)(void *place, size_t size);
FILE *WRAP(fopencookie)(void *cookie, const char *mode, cookie_io_functions_t functions);
int WRAP(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);
int WRAP(getaddrinfo)(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int WRAP(inflateInit2_)(z_streamp stream, int bits, const char *version, int size);
int WRAP(deflateInit2_)(z_streamp stream, int level, int method, int bits, int memory, int strategy,
    const char *version, int size);

struct block {
	void *place;			/* NULL = no block */
	size_t size;
	enum fault_kind kind;
	unsigned long number;		/* of its request since the arming */
	unsigned run;
	void *caller;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block table[TABLE_SIZE];
static size_t blocks, blocks_of[FAULT_KINDS];
static struct fault_memory_plan plan;
static bool armed;
static unsigned run;
static unsigned long at, requests, strikes;
static void *trace[TRACE_MAX];
static int trace_size;
static _Thread_local bool mine;
static _Thread_local unsigned spared;
static _Thread_local bool struck_here;

/* --- what there is --- */

static size_t home(const void *place)
{
	return (size_t)(((uintptr_t)place >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (TABLE_SIZE - 1);
}

static void note(void *place, size_t size, enum fault_kind kind, void *caller)
{
	size_t i = home(place);

	if (place == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (blocks >= TABLE_SIZE / 2)
		abort();
	while (table[i].place != NULL)
		i = (i + 1) & (TABLE_SIZE - 1);
	table[i] = (struct block){ place, size, kind, requests, run, caller };
	blocks++;
	blocks_of[kind]++;
	pthread_mutex_unlock(&lock);
}

/* Those behind it that would not be found any more move up (Knuth, volume 3, algorithm 6.4R). */
static void forget(const void *place)
{
	size_t hole = home(place), i;

	if (place == NULL)
		return;
	pthread_mutex_lock(&lock);
	while (table[hole].place != NULL && table[hole].place != place)
		hole = (hole + 1) & (TABLE_SIZE - 1);
	if (table[hole].place != NULL) {
		blocks--;
		blocks_of[table[hole].kind]--;
		table[hole].place = NULL;
		for (i = (hole + 1) & (TABLE_SIZE - 1); table[i].place != NULL; i = (i + 1) & (TABLE_SIZE - 1)) {
			size_t wanted = home(table[i].place);

			if (((i - wanted) & (TABLE_SIZE - 1)) < ((i - hole) & (TABLE_SIZE - 1)))
				continue;
			table[hole] = table[i];
			table[i].place = NULL;
			hole = i;
		}
	}
	pthread_mutex_unlock(&lock);
}

/* Whether this request is refused. */
static bool refused(enum fault_kind kind)
{
	bool strike = false;

	if (spared > 0)
		return false;
	pthread_mutex_lock(&lock);
	if (armed && (plan.kinds & 1U << kind) != 0 &&
	    (plan.who == FAULT_ANYBODY || (plan.who == FAULT_PROGRAM) == mine)) {
		requests++;
		strike = at != 0 && (requests == at || (plan.lasting && requests > at));
		if (strike && strikes++ == 0)
			trace_size = backtrace(trace, TRACE_MAX);
	}
	pthread_mutex_unlock(&lock);
	if (strike) {
		struck_here = true;
		errno = ENOMEM;
	}
	return strike;
}

/* --- the allocators --- */

static void *get(enum fault_kind kind, size_t size, bool zero, void *caller)
{
	void *place;

	if (refused(kind))
		return NULL;
	place = zero ? REAL(calloc)(1, size) : REAL(malloc)(size);
	note(place, size, kind, caller);
	return place;
}

static void *change(enum fault_kind kind, void *old, size_t size, void *caller)
{
	void *place;

	if (refused(kind))
		return NULL;
	forget(old);
	place = REAL(realloc)(old, size);
	note(place, size, kind, caller);
	return place;
}

static void drop(void *old)
{
	forget(old);
	REAL(free)(old);
}

void *WRAP(malloc)(size_t size)
{
	return get(FAULT_OWN, size, false, __builtin_return_address(0));
}

void *WRAP(calloc)(size_t count, size_t size)
{
	return count == 0 || size <= SIZE_MAX / count ? get(FAULT_OWN, count * size, true,
	    __builtin_return_address(0)) : NULL;
}

void *WRAP(realloc)(void *old, size_t size)
{
	return change(FAULT_OWN, old, size, __builtin_return_address(0));
}

void WRAP(free)(void *old)
{
	drop(old);
}

char *WRAP(strndup)(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	char *copy = get(FAULT_OWN, length + 1, true, __builtin_return_address(0));

	if (copy != NULL)
		memcpy(copy, text, length);
	return copy;
}

char *WRAP(strdup)(const char *text)
{
	size_t length = strlen(text);
	char *copy = get(FAULT_OWN, length + 1, true, __builtin_return_address(0));

	if (copy != NULL)
		memcpy(copy, text, length);
	return copy;
}

void *WRAP(mmap)(void *place, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (refused(FAULT_OWN))
		return MAP_FAILED;
	place = REAL(mmap)(place, size, protection, flags, fd, offset);
	if (place != MAP_FAILED)
		note(place, size, FAULT_OWN, __builtin_return_address(0));
	return place;
}

/* What mmap is called where off_t is made one of 64 bits. */
void *WRAP(mmap64)(void *place, size_t size, int protection, int flags, int fd, off_t offset)
{
	return WRAP(mmap)(place, size, protection, flags, fd, offset);
}

int WRAP(munmap)(void *place, size_t size)
{
	forget(place);
	return REAL(munmap)(place, size);
}

/* --- what the C library makes --- */

FILE *WRAP(fopencookie)(void *cookie, const char *mode, cookie_io_functions_t functions)
{
	return refused(FAULT_SYSTEM) ? NULL : REAL(fopencookie)(cookie, mode, functions);
}

int WRAP(pthread_create)(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	return refused(FAULT_SYSTEM) ? EAGAIN : REAL(pthread_create)(thread, attributes, start, argument);
}

int WRAP(getaddrinfo)(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
	int rv = refused(FAULT_SYSTEM) ? EAI_MEMORY : fault_system_getaddrinfo();

	return rv != 0 ? rv : REAL(getaddrinfo)(host, port, hints, list);
}

/* --- the libraries' --- */

static void *openssl_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size > 0 ? get(FAULT_OPENSSL, size, false, __builtin_return_address(0)) : NULL;
}

static void openssl_free(void *old, const char *file, int line)
{
	(void)file;
	(void)line;
	drop(old);
}

static void *openssl_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size > 0)
		return change(FAULT_OPENSSL, old, size, __builtin_return_address(0));
	drop(old);
	return NULL;
}

static void *lws_change(void *old, size_t size, const char *reason)
{
	(void)reason;
	if (size > 0)
		return change(FAULT_LWS, old, size, __builtin_return_address(0));
	drop(old);
	return NULL;
}

static void *zlib_get(void *opaque, unsigned count, unsigned size)
{
	(void)opaque;
	return get(FAULT_ZLIB, (size_t)count * size, false, __builtin_return_address(0));
}

static void zlib_drop(void *opaque, void *old)
{
	(void)opaque;
	drop(old);
}

int WRAP(inflateInit2_)(z_streamp stream, int bits, const char *version, int size)
{
	stream->zalloc = zlib_get;
	stream->zfree = zlib_drop;
	return REAL(inflateInit2_)(stream, bits, version, size);
}

int WRAP(deflateInit2_)(z_streamp stream, int level, int method, int bits, int memory, int strategy,
    const char *version, int size)
{
	stream->zalloc = zlib_get;
	stream->zfree = zlib_drop;
	return REAL(deflateInit2_)(stream, level, method, bits, memory, strategy, version, size);
}

/* --- the test's thread --- */

/* libcrypto's own constructor asks for memory, and from then on it is too late. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void hook_openssl(int argc, char **argv,
    char **environment)
{
	(void)argc;
	(void)argv;
	(void)environment;
	CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) = hook_openssl;

void fault_memory_begin(void)
{
	CRYPTO_malloc_fn get_function = NULL;

	CRYPTO_get_mem_functions(&get_function, NULL, NULL);
	if (get_function != openssl_malloc)
		abort();
	lws_set_allocator(lws_change);
	/* The first call makes room for itself. */
	trace_size = backtrace(trace, TRACE_MAX);
	trace_size = 0;
	fault_memory_mine();
}

void fault_memory_mine(void)
{
	mine = true;
}

void fault_memory_spare(void)
{
	spared++;
}

void fault_memory_spare_end(void)
{
	spared--;
}

bool fault_memory_is_mine(void)
{
	return mine;
}

bool fault_memory_is_spared(void)
{
	return spared > 0;
}

void fault_memory_arm(const struct fault_memory_plan *new_plan, unsigned long n)
{
	pthread_mutex_lock(&lock);
	plan = *new_plan;
	at = n;
	requests = strikes = 0;
	trace_size = 0;
	run++;
	armed = true;
	pthread_mutex_unlock(&lock);
}

unsigned long fault_memory_disarm(unsigned long *seen)
{
	unsigned long struck;

	pthread_mutex_lock(&lock);
	armed = false;
	struck = strikes;
	if (seen != NULL)
		*seen = requests;
	pthread_mutex_unlock(&lock);
	return struck;
}

bool fault_memory_struck_here(void)
{
	bool struck = struck_here;

	struck_here = false;
	return struck;
}

void fault_memory_show_strike(void)
{
	backtrace_symbols_fd(trace, trace_size, 2);
}

size_t fault_memory_blocks(unsigned kinds)
{
	size_t count = 0;

	pthread_mutex_lock(&lock);
	for (int kind = 0; kind < FAULT_KINDS; kind++)
		if ((kinds & 1U << kind) != 0)
			count += blocks_of[kind];
	pthread_mutex_unlock(&lock);
	return count;
}

void fault_memory_show_blocks(void)
{
	static const char *const names[FAULT_KINDS] = { "library", "libwebsockets", "OpenSSL", "zlib", "system" };

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		const struct block *block = &table[i];

		if (block->place == NULL || block->run != run)
			continue;
		fprintf(stderr, "%s: %zu bytes, behind request %lu, ", names[block->kind], block->size, block->number);
		backtrace_symbols_fd((void *const *)&block->caller, 1, 2);
	}
	pthread_mutex_unlock(&lock);
}
