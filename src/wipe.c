/* SPDX-License-Identifier: 0BSD */
#include <stdlib.h>
#include <string.h>

#include "wipe.h"

void wsf_wipe(void *data, size_t size)
{
	if (size > 0)
		explicit_bzero(data, size);
}

void wsf_wipe_free(char *text)
{
	if (text != NULL)
		wsf_wipe(text, strlen(text));
	free(text);
}
