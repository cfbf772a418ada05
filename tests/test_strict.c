/* SPDX-License-Identifier: 0BSD */
/* The strictness suite (strict.h), one run of it: test_strict client|server ws|wss. */
#include <stdlib.h>
#include <string.h>

#include "pki.h"
#include "strict.h"

#define USAGE 2
#define HARD_ERROR 99			/* Meson's: not a test that failed, but one that could not run */

static bool read_arguments(int argc, char **argv)
{
	if (argc != 3)
		return false;
	strict.role = strcmp(argv[1], "client") == 0 ? LIBRARY_IS_CLIENT : LIBRARY_IS_SERVER;
	strict.secure = strcmp(argv[2], "wss") == 0;
	strict.thorough = getenv("WSF_STRICT_LONG") != NULL;
	return (strict.role == LIBRARY_IS_CLIENT || strcmp(argv[1], "server") == 0) &&
	    (strict.secure || strcmp(argv[2], "ws") == 0);
}

static void add_sections(Suite *suite)
{
	strict_add_framing(suite);
	strict_add_text(suite);
	strict_add_closing(suite);
	strict_add_sizes(suite);
#if STRICT_DEFLATE
	strict_add_deflate(suite);
	strict_add_negotiation(suite);
#endif
	if (strict.role == LIBRARY_IS_SERVER)
		strict_add_requests(suite);
	else
		strict_add_answers(suite);
}

int main(int argc, char **argv)
{
	Suite *suite;
	int status;

	if (!read_arguments(argc, argv)) {
		fprintf(stderr, "usage: test_strict client|server ws|wss\n");
		return USAGE;
	}
	if (!strict_count_begin()) {
		perror("mmap");
		return HARD_ERROR;
	}
	pki_begin();
	suite = suite_create("strict");
	add_sections(suite);
	status = wire_run(suite);
	pki_end();
	strict_count_end();
	return status;
}
