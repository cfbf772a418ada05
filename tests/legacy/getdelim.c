/* SPDX-License-Identifier: 0BSD */
/*
 * getdelim(3): records that end with a NUL, as "find -print0" writes them.
 *
 * The last record of a file may lack its delimiter. Of a stream that is cut such a rest comes, too, as in getline(3):
 * whoever needs to know looks for the delimiter, and asks ferror(3) when -1 is returned.
 */
#include <stdlib.h>

#include "legacy.h"

static enum verdict read_names(FILE *in, FILE *out)
{
	char *name = NULL;
	size_t capacity = 0;
	ssize_t size;

	while ((size = getdelim(&name, &capacity, '\0', in)) > 0 && name[size - 1] == '\0')
		fprintf(out, "%zd: %s\n", size, name);
	free(name);
	return ferror(in) ? CUT : WHOLE;
}

static int write_names(FILE *out, int records)
{
	for (int i = 0; i < records; i++)
		if (fprintf(out, "./größe/a file with spaces %d", i) < 0 || putc('\0', out) == EOF)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_names, .write = write_names,
	.at_cut = CUT, .live = true, .keeps_records = true,
};
