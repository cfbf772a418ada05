/* SPDX-License-Identifier: 0BSD */
/*
 * What a test says to valgrind, or asks of it. Where its header is missing nothing of this does anything: valgrind
 * brings it along, so that what was built without it is not run under it.
 */
#ifndef WSF_TESTS_MEMCHECK_H
#define WSF_TESTS_MEMCHECK_H

#include <stdbool.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

static inline bool under_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
	return RUNNING_ON_VALGRIND != 0;
#else
	return false;
#endif
}

/*
 * From here on nothing is looked for that was lost, by this process or its children: for one that ends with threads, or
 * as a fork of one that has some, whose stacks and all that only they point to seem lost. Errors count as before.
 */
static inline void memcheck_leaks_are_meant(void)
{
#ifdef VALGRIND_CLO_CHANGE
	VALGRIND_CLO_CHANGE("--leak-check=no");
#endif
}

#endif
