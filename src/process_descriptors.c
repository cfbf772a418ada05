/* SPDX-License-Identifier: 0BSD */
/* Which descriptors are ours: a bit for each number. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lock.h"
#include "process.h"

#define WORD_BITS 64
#define LEAST_WORDS 16

/* A leaf: nothing else is locked while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *owned;
static size_t words;

/* Without memory a descriptor stays unknown, and a child keeps it: the connection is not to fail for that. */
static void set_locked(int fd)
{
	size_t word = (size_t)fd / WORD_BITS, more = words > LEAST_WORDS / 2 ? words * 2 : LEAST_WORDS;
	uint64_t *larger;

	if (word >= words) {
		if (more <= word)
			more = word + 1;
		larger = realloc(owned, more * sizeof *owned);
		if (larger == NULL)
			return;
		memset(larger + words, 0, (more - words) * sizeof *owned);
		owned = larger;
		words = more;
	}
	owned[word] |= UINT64_C(1) << fd % WORD_BITS;
}

static void clear_locked(int fd)
{
	size_t word = (size_t)fd / WORD_BITS;

	if (fd >= 0 && word < words)
		owned[word] &= ~(UINT64_C(1) << fd % WORD_BITS);
}

void wsf_process_begin_own(void)
{
	wsf_lock(&lock, WSF_RANK_DESCRIPTORS);
}

int wsf_process_end_own(int fd)
{
	int saved_errno = errno;

	if (fd >= 0)
		set_locked(fd);
	wsf_unlock(&lock, WSF_RANK_DESCRIPTORS);
	errno = saved_errno;
	return fd;
}

void wsf_process_own(int fd)
{
	wsf_process_begin_own();
	(void)wsf_process_end_own(fd);
}

void wsf_process_disown(int fd)
{
	wsf_lock(&lock, WSF_RANK_DESCRIPTORS);
	clear_locked(fd);
	wsf_unlock(&lock, WSF_RANK_DESCRIPTORS);
}

void wsf_process_close(int fd)
{
	int saved_errno = errno;

	/* Until the lock is let go no fork sees the number free, and so another's soon, but still ours. */
	wsf_lock(&lock, WSF_RANK_DESCRIPTORS);
	clear_locked(fd);
	close(fd);
	wsf_unlock(&lock, WSF_RANK_DESCRIPTORS);
	errno = saved_errno;
}

void wsf_process_descriptors_before_fork(void)
{
	wsf_lock_to_fork(&lock);
}

void wsf_process_descriptors_in_parent(void)
{
	wsf_unlock_forked(&lock);
}

void wsf_process_descriptors_in_child(void)
{
	for (size_t word = 0; word < words; word++)
		for (unsigned bit = 0; owned[word] != 0; bit++)
			if ((owned[word] >> bit & 1) != 0) {
				close((int)(word * WORD_BITS + bit));
				owned[word] &= ~(UINT64_C(1) << bit);
			}
	wsf_unlock_forked(&lock);
}
