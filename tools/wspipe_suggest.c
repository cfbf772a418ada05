/* SPDX-License-Identifier: 0BSD */
/* What somebody may have meant: the nearest of some words, by the number of letters to change. */
#include "wspipe_args.h"

#include <string.h>

#define LONGEST 32

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/*
 * Optimal string alignment: letters inserted, left out, changed, and two neighbours that changed places, count one
 * each. Three rows of the matrix are enough.
 */
static unsigned distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_size; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a_size; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_size; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		unsigned *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[b_size];
}

/* Of long words more letters may be wrong. */
const char *wspipe_nearest(const char *word, size_t size, const char *const words[], size_t count)
{
	unsigned best = 2U + (size > 3) + (size > 7);
	const char *found = NULL;

	if (size > LONGEST)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(words[i]);
		unsigned letters = length > LONGEST ? best : distance(word, size, words[i], length);
		if (letters >= best || letters >= length)
			continue;
		best = letters;
		found = words[i];
	}
	return found;
}

const char *wspipe_nearest_option(const char *word, size_t size)
{
	const char *names[OPT_LAST];
	size_t count = 0;

	for (size_t i = 0; i < wspipe_option_count; i++)
		if (wspipe_options[i].name)
			names[count++] = wspipe_options[i].name;
	return wspipe_nearest(word, size, names, count);
}

static bool has_part(const char *name, const char *word, size_t size)
{
	for (; strlen(name) >= size; name++)
		if (strncmp(name, word, size) == 0)
			return true;
	return false;
}

size_t wspipe_list_options(char list[WSPIPE_LINE], const char *word, size_t size, bool at_begin)
{
	size_t count = 0, length = 0;

	*list = '\0';
	for (size_t i = 0; i < wspipe_option_count && size > 1; i++) {
		const char *name = wspipe_options[i].name;
		if (!name || !(at_begin ? strncmp(name, word, size) == 0 : has_part(name, word, size)))
			continue;
		snprintf(list + length, WSPIPE_LINE - length, "%s--%s", count++ > 0 ? ", " : "", name);
		length = strlen(list);
	}
	return count;
}
