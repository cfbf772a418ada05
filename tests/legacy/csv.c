/* SPDX-License-Identifier: 0BSD */
/*
 * libcsv: csv_parse over the lines of getline(3), and csv_fwrite.
 *
 * It gets bytes from the program, and takes what comes before csv_fini for rows. csv_fini makes a row of an unfinished
 * line, so ask ferror(3) first.
 */
#include <csv.h>
#include <stdlib.h>
#include <string.h>

#include "legacy.h"

static void field(void *text, size_t size, void *out)
{
	fprintf(out, "[%.*s]", (int)size, (const char *)text);
}

static void row(int end, void *out)
{
	(void)end;
	fprintf(out, "\n");
}

static enum verdict read_csv(FILE *in, FILE *out)
{
	struct csv_parser parser;
	enum verdict verdict = WHOLE;
	size_t capacity = 0;
	char *line = NULL;
	ssize_t size;

	csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
	while (verdict == WHOLE && (size = getline(&line, &capacity, in)) != -1)
		if (csv_parse(&parser, line, (size_t)size, field, row, out) != (size_t)size)
			verdict = REFUSED;
	if (ferror(in))
		verdict = CUT;
	else if (verdict == WHOLE && csv_fini(&parser, field, row, out) != 0)
		verdict = REFUSED;
	if (verdict == REFUSED)
		fprintf(stderr, "csv: %s\n", csv_strerror(csv_error(&parser)));
	csv_free(&parser);
	free(line);
	return verdict;
}

static int write_csv(FILE *out, int records)
{
	static const char quoted[] = "smörgås, \"très\" 美味しい";

	for (int i = 0; i < records; i++)
		if (fprintf(out, "%d,", i) < 0 || csv_fwrite(out, quoted, strlen(quoted)) != 0 ||
		    putc('\n', out) == EOF)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_csv, .write = write_csv,
	.at_cut = CUT, .live = true, .keeps_records = true,
};
