/* SPDX-License-Identifier: 0BSD */
/*
 * What test_plugin.c loads: a module that is linked with the library, as a plugin of a program that is not. Its
 * constructor opens a stream where the environment's WSF_PLUGIN_URL says so. Only the public interface.
 */
#include <stdio.h>
#include <stdlib.h>

#include <wsfile.h>

#include "plugin.h"

static FILE *early;

__attribute__((constructor)) static void open_early(void)
{
	const char *url = getenv("WSF_PLUGIN_URL");

	if (url == NULL)
		return;
	early = ws_fopen(url, "r+");
	if (early == NULL)
		fprintf(stderr, "%s\n", ws_last_error()->text);
	else
		fputs("from a constructor", early);
}

/* Destructors of a module run when it is unloaded, or at exit. */
__attribute__((destructor)) static void write_late(void)
{
	if (early != NULL)
		fputs(", from a destructor", early);
}

FILE *plugin_open(const char *url, const char *mode)
{
	return ws_fopen(url, mode);
}
