/* SPDX-License-Identifier: 0BSD */
/*
 * Code that was written for popen(3): lines by fgets, and at the end the status. Of it only the opener has changed, and
 * pclose(3) to fclose(3): what the exit status of the command was, its return value is.
 *
 * fgets(3) returns NULL at the end as at a cut, and drops a line that the cut left unfinished. The status tells one
 * from the other, so ferror(3) need not be asked.
 */
#include <string.h>

#include "legacy.h"

static enum verdict read_lines(FILE *in, FILE *out)
{
	char line[256];

	while (fgets(line, sizeof(line), in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		fprintf(out, "> %s\n", line);
	}
	if (fclose(in) != 0) {
		perror("the command failed");
		return CUT;
	}
	return WHOLE;
}

static int write_lines(FILE *out, int records)
{
	for (int i = 0; i < records; i++)
		if (fprintf(out, "drwxr-xr-x %2d root root 4096 Jän %2d naïve%d\n", i, i % 28 + 1, i) < 0)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_lines, .write = write_lines,
	.at_cut = CUT, .live = true, .keeps_records = true, .closes = true,
};
