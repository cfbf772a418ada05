/* SPDX-License-Identifier: 0BSD */
/*
 * fscanf(3).
 *
 * A number that the cut ends is a number: of "1234.5" that lost its end 12 may be left, with nothing to tell. So ask
 * ferror(3) before a record is used, not only behind the last one.
 */
#include "legacy.h"

static enum verdict read_table(FILE *in, FILE *out)
{
	char name[32];
	unsigned number;
	double value;

	while (fscanf(in, "%31s %x %lf", name, &number, &value) == 3 && !ferror(in))
		fprintf(out, "%s: %u, %.3f\n", name, number, value);
	return ferror(in) ? CUT : feof(in) ? WHOLE : REFUSED;
}

static int write_table(FILE *out, int records)
{
	for (int i = 0; i < records; i++)
		if (fprintf(out, "señor%d\t0x%x %.2e\n", i, (unsigned)i * 4711, i * 2.5) < 0)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_table, .write = write_table,
	.at_cut = CUT, .live = true, .keeps_records = true,
};
