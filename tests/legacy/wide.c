/* SPDX-License-Identifier: 0BSD */
/*
 * Wide characters: fwide, fgetws and fputws, in a UTF-8 locale.
 *
 * glibc's fopencookie(3) makes streams of bytes only: there fwide(3) refuses, and what would read wide characters
 * crashes. ws_socket(3) gives a descriptor, and fdopen(3) a stream with either orientation, as the one that this gets;
 * but fclose(3) of it is no receipt. On a stream of ws_fopen(3), fprintf(3) with "%ls" writes wide characters, and
 * getline(3) with mbstowcs(3) reads them.
 */
#include <locale.h>
#include <wchar.h>

#include "legacy.h"

static enum verdict read_wide(FILE *in, FILE *out)
{
	wchar_t line[64];

	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL || fwide(in, 1) <= 0)
		return REFUSED;
	while (fgetws(line, 64, in) != NULL)
		fprintf(out, "%zu characters: %ls", wcslen(line), line);
	return ferror(in) ? CUT : WHOLE;
}

static int write_wide(FILE *out, int records)
{
	wchar_t line[64];

	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL || fwide(out, 1) <= 0)
		return -1;
	for (int i = 0; i < records; i++) {
		swprintf(line, 64, L"%d: na\u00efve \u6771\u4eac \U0001F5FC\n", i);
		if (fputws(line, out) == -1)
			return -1;
	}
	return 0;
}

const struct consumer consumer = {
	.read = read_wide, .write = write_wide,
	.at_cut = CUT, .live = true, .keeps_records = true, .needs_descriptor = true,
};
