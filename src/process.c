/* SPDX-License-Identifier: 0BSD */
#include <pthread.h>
#include <stdatomic.h>

#include "process.h"

static atomic_uint generation;

static void count_child(void)
{
	atomic_fetch_add(&generation, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, count_child);
}

unsigned wsf_process_generation(void)
{
	return atomic_load(&generation);
}
