/* SPDX-License-Identifier: 0BSD */
/* From a FILE to its cookie; and what becomes of all of them when the process forks or ends. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif
#include <string.h>

#include "cookie_private.h"
#include "lock.h"
#include "process.h"
#include "wait.h"

#define BUCKETS 256
/* At exit: how often to try again what has to wait. */
#define RETRY_MS 10

/* At exit, streams' locks and the helpers' queue locks come behind it. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wsf_cookie *registry[BUCKETS];

static struct wsf_cookie **bucket(const FILE *file)
{
	return &registry[((uintptr_t)file >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

void wsf_cookie_register(struct wsf_cookie *cookie)
{
	struct wsf_cookie **head = bucket(cookie->file);

	cookie->generation = wsf_process_generation();
	wsf_lock(&registry_lock, WSF_RANK_COOKIES);
	cookie->next = *head;
	*head = cookie;
	wsf_unlock(&registry_lock, WSF_RANK_COOKIES);
}

void wsf_cookie_bind(struct wsf_cookie *cookie, struct wsf_stream *stream)
{
	wsf_lock(&registry_lock, WSF_RANK_COOKIES);
	cookie->stream = stream;
	wsf_unlock(&registry_lock, WSF_RANK_COOKIES);
}

void wsf_cookie_unregister(struct wsf_cookie *cookie)
{
	struct wsf_cookie **at = bucket(cookie->file);

	wsf_lock(&registry_lock, WSF_RANK_COOKIES);
	while (*at != NULL && *at != cookie)
		at = &(*at)->next;
	if (*at != NULL)
		*at = cookie->next;
	wsf_unlock(&registry_lock, WSF_RANK_COOKIES);
}

struct wsf_cookie *wsf_cookie_find(FILE *file)
{
	struct wsf_cookie *cookie = NULL;

	if (file != NULL) {
		wsf_lock(&registry_lock, WSF_RANK_COOKIES);
		for (cookie = *bucket(file); cookie != NULL && cookie->file != file;)
			cookie = cookie->next;
		wsf_unlock(&registry_lock, WSF_RANK_COOKIES);
	}
	if (cookie == NULL || cookie->stream == NULL) {
		errno = EBADF;
		return NULL;
	}
	return cookie;
}

bool wsf_cookie_inherited(const struct wsf_cookie *cookie)
{
	return cookie->generation != wsf_process_generation();
}

/* --- fork --- */

static void before_fork(void)
{
	wsf_lock_to_fork(&registry_lock);
}

static void in_parent(void)
{
	wsf_unlock_forked(&registry_lock);
}

static void in_child(void)
{
	memset(registry, 0, sizeof registry);
	wsf_unlock_forked(&registry_lock);
}

/* --- exit --- */

/* The streams whose Close is under way. */
struct ending {
	struct wsf_stream *first;
	unsigned left;			/* cookies that have to wait */
	int64_t start_ns, until_ns;	/* now, and the end of the longest time limit */
};

size_t wsf_stdio_unflushed(FILE *file)
{
#if defined(__linux__)
	return __fpending(file);
#else
	return file->_p != NULL && file->_bf._base != NULL && file->_w >= 0 && file->_r <= 0 ?
	    (size_t)(file->_p - file->_bf._base) : 0;
#endif
}

static void put_close(struct wsf_cookie *cookie, struct ending *ending)
{
	wsf_stream_shutdown(cookie->stream, 1000, NULL);
	cookie->ended = true;
	wsf_stream_end_later(cookie->stream, ending->start_ns + wsf_stream_ending_ns(cookie->stream), &ending->first);
}

/*
 * Whoever has locked the FILE may be blocked in it. If that is in a read, nothing waits in stdio's buffer. If it
 * writes, a Close would pass a part for the whole.
 */
static bool is_only_read(const struct wsf_cookie *cookie)
{
	return cookie->reads && wsf_stream_is_reading(cookie->stream);
}

static void end_locked(struct wsf_cookie *cookie, struct ending *ending)
{
	if (cookie->ended || cookie->stream == NULL)
		return;
	if (!cookie->writes && cookie->halves != NULL) {
		cookie->ended = true;	/* the other half is the one to close */
	} else if (ftrylockfile(cookie->file) != 0) {
		if (is_only_read(cookie))
			put_close(cookie, ending);
		else
			ending->left++;
	} else {
		/* Its turn comes again, rather than that others wait for it. */
		if (cookie->writes && !wsf_stream_takes(cookie->stream, wsf_stdio_unflushed(cookie->file))) {
			ending->left++;
		} else {
			cookie->closing_until_ns = ending->start_ns + wsf_stream_ending_ns(cookie->stream);
			if (cookie->writes)
				(void)fflush(cookie->file);
			put_close(cookie, ending);
		}
		funlockfile(cookie->file);
	}
}

/* Whether something is left to be tried again, in time. */
static bool try_all(struct ending *ending)
{
	struct wsf_cookie *cookie;
	int64_t until_ns;

	ending->left = 0;
	wsf_lock(&registry_lock, WSF_RANK_COOKIES);
	for (size_t i = 0; i < BUCKETS; i++) {
		for (cookie = registry[i]; cookie != NULL; cookie = cookie->next) {
			end_locked(cookie, ending);
			if (cookie->ended || cookie->stream == NULL)
				continue;
			until_ns = ending->start_ns + wsf_stream_ending_ns(cookie->stream);
			if (until_ns > ending->until_ns)
				ending->until_ns = until_ns;
		}
	}
	wsf_unlock(&registry_lock, WSF_RANK_COOKIES);
	return ending->left > 0 && wsf_now_ns() < ending->until_ns;
}

/* A locked FILE's stream stays without a Close: what comes of it looks like what it is. */
static void end(void)
{
	struct ending ending = { .start_ns = wsf_process_over_ns() };

	while (try_all(&ending))
		(void)poll(NULL, 0, RETRY_MS);
	wsf_stream_end_all(ending.first);
}

static const struct wsf_process_part part = {
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
	.end = end,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_COOKIE, &part);
}
