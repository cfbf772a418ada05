/* SPDX-License-Identifier: 0BSD */
/*
 * inih: ini_parse_file.
 *
 * It reads with fgets(3) until that returns NULL, and does not ask why: a stream that is cut is a shorter file to it,
 * without the line that was not finished. So the settings are kept back here until ferror(3) has been asked.
 */
#include <ini.h>
#include <stdlib.h>

#include "legacy.h"

static int take(void *out, const char *section, const char *name, const char *value)
{
	return fprintf(out, "%s.%s = %s\n", section, name, value) > 0;	/* 1 = go on */
}

static enum verdict read_ini(FILE *in, FILE *out)
{
	char *settings = NULL;
	size_t size = 0;
	FILE *kept = open_memstream(&settings, &size);
	int line = ini_parse_file(in, take, kept);
	enum verdict verdict = line != 0 ? REFUSED : ferror(in) ? CUT : WHOLE;

	fclose(kept);
	if (verdict == WHOLE)
		fwrite(settings, 1, size, out);
	else
		fprintf(stderr, "the settings are not used: %s\n", line != 0 ? "bad line" : "the stream was cut");
	free(settings);
	return verdict;
}

static int write_ini(FILE *out, int records)
{
	for (int i = 0; i < records; i++)
		if (fprintf(out, "[server%d]\n; größter\nname = Ærø\nport=%d\n", i, 1024 + i) < 0)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_ini, .write = write_ini,
	.at_cut = CUT,
};
