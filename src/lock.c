/* SPDX-License-Identifier: 0BSD */
#include "lock.h"

#ifndef NDEBUG
WSF_THREAD_LOCAL struct wsf_locks wsf_locks;

_Static_assert(WSF_RANKS <= sizeof(wsf_locks.ranks) * 8, "a bit for each rank");
#endif

void wsf_lock_to_fork(pthread_mutex_t *lock)
{
	pthread_mutex_lock(lock);
}

void wsf_unlock_forked(pthread_mutex_t *lock)
{
	pthread_mutex_unlock(lock);
}
