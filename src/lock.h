/* SPDX-License-Identifier: 0BSD */
/*
 * The library's mutexes, and the order in which a thread takes them. It knows no other room. Called from any thread.
 *
 * Without NDEBUG each thread keeps which ranks it holds. It takes a lock only when it holds none of that rank or a
 * higher one, so that no two threads can wait for each other; it never waits for anything else, and never calls the
 * program, while it holds one. With NDEBUG these are the plain calls. The rank stands at each call, and not in the
 * lock, so that it costs a handful of instructions: what the test "counts" holds is counted with it.
 *
 * Not kept: what a fork holds (wsf_lock_to_fork), and the gate of process.h that it closes, behind which any lock but
 * those of its parts may be held; and, where there is no futex, the mutex inside struct wsf_event, which is taken last
 * and only for the wait itself.
 */
#ifndef WSF_LOCK_H
#define WSF_LOCK_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

/* The lock order, from the first taken to the last. Whose lock it is, and what it guards, stands where it is. */
enum wsf_rank {
	WSF_RANK_LIFE,			/* service.c: the group of helper threads; never on a helper thread */
	WSF_RANK_COOKIES,		/* from a FILE to its cookie; at exit, held while streams are told to end */
	WSF_RANK_FEED,			/* a hub's: connections of a program's libwebsockets come in */
	WSF_RANK_CALL,			/* a wire's: its stream is called as by a helper */
	WSF_RANK_LISTENER,
	WSF_RANK_SERVER,		/* a listener's TLS context */
	WSF_RANK_TRANSMIT,		/* a stream's, of its sending half */
	WSF_RANK_STREAM,
	WSF_RANK_WIRE,			/* what goes both ways between a stream and a program's libwebsockets */
	WSF_RANK_HUB,			/* which wires are to be served */
	WSF_RANK_HELPER,		/* a helper thread's queue */
	WSF_RANK_TLS,			/* a connection's SSL object */
	WSF_RANK_CACHE,			/* client contexts */
	WSF_RANK_SESSIONS,		/* a context's */
	WSF_RANK_OBSERVERS,		/* observe_thread.c: the life of the observing thread */
	WSF_RANK_OBSERVING,		/* events on their way to observers */
	WSF_RANK_WARM,			/* which FILEs' buffers are in use; a FILE's own lock comes before */
	WSF_RANK_PAIRS,			/* the descriptors of ws_socket */
	WSF_RANK_DESCRIPTORS,		/* which descriptors are ours; also while one is being opened */
	WSF_RANKS,
};

#ifdef NDEBUG

static inline void wsf_lock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	(void)rank;
	pthread_mutex_lock(lock);
}

static inline bool wsf_try_lock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	(void)rank;
	return pthread_mutex_trylock(lock) == 0;
}

static inline void wsf_unlock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	(void)rank;
	pthread_mutex_unlock(lock);
}

static inline void wsf_assert_locked(const pthread_mutex_t *lock, enum wsf_rank rank)
{
	(void)lock;
	(void)rank;
}

static inline void wsf_assert_may_wait(void)
{
}

static inline void wsf_assert_unlocked(void)
{
}

#else

struct wsf_locks {
	unsigned ranks;			/* held: a bit for each */
	const pthread_mutex_t *lock[WSF_RANKS];	/* the one of that rank, where it is held */
};

#ifdef __ELF__
#define WSF_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#else
#define WSF_THREAD_LOCAL _Thread_local
#endif

extern WSF_THREAD_LOCAL struct wsf_locks wsf_locks;	/* this thread's */

static inline void wsf_lock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	assert(wsf_locks.ranks >> rank == 0 && "this thread holds a lock that comes behind");
	pthread_mutex_lock(lock);
	wsf_locks.ranks |= 1U << rank;
	wsf_locks.lock[rank] = lock;
}

static inline bool wsf_try_lock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	assert(wsf_locks.ranks >> rank == 0 && "this thread holds a lock that comes behind");
	if (pthread_mutex_trylock(lock) != 0)
		return false;
	wsf_locks.ranks |= 1U << rank;
	wsf_locks.lock[rank] = lock;
	return true;
}

/* This thread holds this one. */
static inline void wsf_assert_locked(const pthread_mutex_t *lock, enum wsf_rank rank)
{
	assert((wsf_locks.ranks >> rank & 1) != 0 && wsf_locks.lock[rank] == lock);
	(void)lock;
	(void)rank;
}

static inline void wsf_unlock(pthread_mutex_t *lock, enum wsf_rank rank)
{
	wsf_assert_locked(lock, rank);
	wsf_locks.ranks &= ~(1U << rank);
	pthread_mutex_unlock(lock);
}

/*
 * Before this thread waits: it holds no lock, but the life lock while a helper thread starts or ends, and at exit that
 * of the cookies while a stream's last bytes are written.
 */
static inline void wsf_assert_may_wait(void)
{
	assert((wsf_locks.ranks & ~(1U << WSF_RANK_LIFE | 1U << WSF_RANK_COOKIES)) == 0);
}

/* Before the program is called. */
static inline void wsf_assert_unlocked(void)
{
	assert(wsf_locks.ranks == 0);
}

#endif

/* For a fork alone, which takes many of one rank. */
void wsf_lock_to_fork(pthread_mutex_t *lock);
void wsf_unlock_forked(pthread_mutex_t *lock);

#endif
