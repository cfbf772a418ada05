/* SPDX-License-Identifier: 0BSD */
/*
 * stdio's buffers: where they lie, and how their pages go back to the system. A program with thousands of streams uses
 * few of them at a time; the pages of the others would be most of its memory.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cookie_private.h"
#include "lock.h"
#include "process.h"
#include "wait.h"

/* From this size on a buffer is a mapping of its own; neighbours become one for the kernel. */
#define MAPPED_MIN 4096

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Where the inside of a FILE is known, and pages given back read as zeros. */
#if defined(__GLIBC__) && defined(__linux__)
#define CAN_COOL
#endif

static char *map(size_t size)
{
	char *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (buffer == MAP_FAILED)
		return NULL;
#ifdef MADV_NOHUGEPAGE
	/* One byte would make 2 MiB of neighbours resident. */
	madvise(buffer, size, MADV_NOHUGEPAGE);
#endif
	return buffer;
}

static size_t mapped_bytes(const struct wsf_cookie *cookie)
{
	return (size_t)cookie->mapped_kib * 1024;
}

int wsf_cookie_buffer_create(struct wsf_cookie *cookie, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	cookie->mapped_kib = size >= MAPPED_MIN ? (uint32_t)((size + page - 1) / page * page / 1024) : 0;
	atomic_init(&cookie->warmth, cookie->mapped_kib > 0 ? WSF_COLD : WSF_USED);
	if (size == 0)
		return 0;
	cookie->buffer = cookie->mapped_kib > 0 ? map(mapped_bytes(cookie)) : malloc(size);
	return cookie->buffer != NULL ? 0 : -ENOMEM;
}

void wsf_cookie_buffer_free(struct wsf_cookie *cookie)
{
	if (cookie->mapped_kib == 0)
		free(cookie->buffer);
	else if (cookie->buffer != NULL)
		munmap(cookie->buffer, mapped_bytes(cookie));
}

#ifdef CAN_COOL

/*
 * The cookies whose buffers may be resident, in a queue. Who comes in looks at the oldest, and gives the pages of one
 * that was not used for a while back if its FILE is not in use. That is for stdio to say, and a program may use
 * putc_unlocked and its like, so that a lock alone proves nothing. But it is the program's own thread that asks, out of
 * another FILE's read or write, and the one that used this FILE last: so it is not inside this one, too, unless through
 * a callback, which the depth of the lock shows; and a thread that has taken the FILE over since has to lock it, as
 * POSIX says. Never from the helper thread, of which the program knows nothing.
 *
 * Pages that go and come again cost more than the message for which they came: so not by number alone.
 *
 * Lock order: this, then a FILE's, which is only tried; fclose comes with its FILE's and takes this.
 */
#define WARM_MAX 1024
#define WARM_FEW 16
#define WARM_NS INT64_C(5000000)
#define LOOKS 2				/* of one that comes in: so the queue becomes shorter */

static pthread_mutex_t warm_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct wsf_cookie *cookie;	/* NULL = it was closed */
	int64_t since_ns;
} queue[WARM_MAX];
static unsigned oldest, next_place;	/* counted on, modulo WARM_MAX */
static _Thread_local char here;		/* its address tells threads apart */
static int single_depth;		/* of a FILE locked once; it is 1 or 0, as glibc's version is */

/* How often its owner has locked it. */
static int lock_depth(const FILE *file)
{
	const struct {
		int word, depth;
	} *lock = (const void *)file->_lock;

	return lock->depth;
}

/* Whether nothing in the buffer counts any more; the FILE is locked. */
static bool is_empty(const struct wsf_cookie *cookie)
{
	const int unbuffered = 0x2, locked_by_caller = 0x8000;
	const FILE *file = cookie->file;

	return lock_depth(file) == single_depth && (file->_flags & (unbuffered | locked_by_caller)) == 0 &&
	    file->_mode <= 0 && file->_IO_buf_base == cookie->buffer && file->_IO_save_base == NULL &&
	    file->_IO_read_ptr == file->_IO_read_end && file->_IO_write_ptr == file->_IO_write_base;
}

static void cool(struct wsf_cookie *cookie)
{
	atomic_store_explicit(&cookie->warmth, WSF_COLD, memory_order_relaxed);
	if (atomic_load_explicit(&cookie->user, memory_order_relaxed) != &here || ftrylockfile(cookie->file) != 0)
		return;
	if (is_empty(cookie))
		madvise(cookie->buffer, mapped_bytes(cookie), MADV_DONTNEED);
	funlockfile(cookie->file);
}

static void enqueue(struct wsf_cookie *cookie, enum wsf_warmth warmth, int64_t now_ns)
{
	cookie->place = (uint16_t)(next_place++ % WARM_MAX);
	queue[cookie->place].cookie = cookie;
	queue[cookie->place].since_ns = now_ns;
	atomic_store_explicit(&cookie->warmth, warmth, memory_order_relaxed);
}

/* Whoever was used since it was looked at last gets another turn. */
static void make_room(int64_t now_ns)
{
	struct wsf_cookie *cookie;
	bool full, used;

	for (int i = 0; i < LOOKS && next_place - oldest > WARM_FEW; i++) {
		full = next_place - oldest == WARM_MAX;
		cookie = queue[oldest % WARM_MAX].cookie;
		if (cookie != NULL && !full && now_ns - queue[oldest % WARM_MAX].since_ns < WARM_NS)
			return;
		oldest++;
		used = cookie != NULL && atomic_load_explicit(&cookie->warmth, memory_order_relaxed) == WSF_USED;
		if (used && !full)
			enqueue(cookie, WSF_WARM, now_ns);
		else if (cookie != NULL)
			cool(cookie);
	}
}

void wsf_cookie_warm_up(struct wsf_cookie *cookie)
{
	int64_t now_ns;

	atomic_store_explicit(&cookie->user, &here, memory_order_relaxed);
	if (atomic_load_explicit(&cookie->warmth, memory_order_relaxed) == WSF_USED)
		return;
	now_ns = wsf_now_ns();
	/* A fork may have it, and wait for the lock of all FILEs that fflush(NULL) holds: the next will do. */
	if (!wsf_try_lock(&warm_lock, WSF_RANK_WARM))
		return;
	if (atomic_load_explicit(&cookie->warmth, memory_order_relaxed) == WSF_COLD) {
		make_room(now_ns);
		enqueue(cookie, WSF_USED, now_ns);
	} else {
		atomic_store_explicit(&cookie->warmth, WSF_USED, memory_order_relaxed);
	}
	wsf_unlock(&warm_lock, WSF_RANK_WARM);
}

void wsf_cookie_forget_warm(struct wsf_cookie *cookie)
{
	wsf_lock(&warm_lock, WSF_RANK_WARM);
	if (queue[cookie->place].cookie == cookie)
		queue[cookie->place].cookie = NULL;
	wsf_unlock(&warm_lock, WSF_RANK_WARM);
}

/* Nobody else has the FILE yet. */
void wsf_cookie_buffer_bind(struct wsf_cookie *cookie)
{
	if (cookie->mapped_kib == 0 || ftrylockfile(cookie->file) != 0)
		return;
	wsf_lock(&warm_lock, WSF_RANK_WARM);
	single_depth = lock_depth(cookie->file);
	wsf_unlock(&warm_lock, WSF_RANK_WARM);
	funlockfile(cookie->file);
}

/* --- the process --- */

static void before_fork(void)
{
	wsf_lock_to_fork(&warm_lock);
}

static void in_parent(void)
{
	wsf_unlock_forked(&warm_lock);
}

/* The parent's buffers stay as they are. */
static void in_child(void)
{
	for (; oldest != next_place; oldest++)
		queue[oldest % WARM_MAX].cookie = NULL;
	wsf_unlock_forked(&warm_lock);
}

static const struct wsf_process_part part = {
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_BUFFER, &part);
}

#else

void wsf_cookie_warm_up(struct wsf_cookie *cookie)
{
	(void)cookie;
}

void wsf_cookie_forget_warm(struct wsf_cookie *cookie)
{
	(void)cookie;
}

void wsf_cookie_buffer_bind(struct wsf_cookie *cookie)
{
	(void)cookie;
}

#endif
