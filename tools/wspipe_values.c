/* SPDX-License-Identifier: 0BSD */
#include "wspipe_args.h"

#include <limits.h>
#include <string.h>

static bool parse_digits(const char **text, unsigned base, uint64_t *value)
{
	const char *c = *text;
	uint64_t v = 0;

	for (; *c >= '0' && *c < '0' + (int)base; c++) {
		unsigned digit = (unsigned)(*c - '0');
		if (v > (UINT64_MAX - digit) / base)
			return false;
		v = v * base + digit;
	}
	if (c == *text)
		return false;
	*text = c;
	*value = v;
	return true;
}

bool wspipe_parse_number(const char *text, unsigned base, uint64_t max, uint64_t *value)
{
	return parse_digits(&text, base, value) && *text == '\0' && *value <= max;
}

/* What is shorter than a millisecond counts as one, since 0 may mean something else. */
bool wspipe_parse_seconds(const char *text, int *ms)
{
	uint64_t seconds, fraction = 0, scale = 1000;
	bool rest = false;

	if (strcmp(text, "none") == 0) {
		*ms = -1;
		return true;
	}
	if (!parse_digits(&text, 10, &seconds) || seconds > INT_MAX / 1000 - 1)
		return false;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++) {
			scale /= 10;
			fraction += (uint64_t)(*text - '0') * scale;
			rest = rest || *text != '0';
		}
	}
	if (*text != '\0')
		return false;
	*ms = (int)(seconds * 1000 + fraction);
	if (*ms == 0 && rest)
		*ms = 1;
	return true;
}

bool wspipe_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	uint64_t value;
	unsigned shift = 0;

	if (!parse_digits(&text, 10, &value))
		return false;
	if (*text != '\0') {
		const char *unit = strchr(units, *text >= 'a' ? *text - 'a' + 'A' : *text);
		if (!unit || text[1] != '\0')
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (value == 0 || value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

bool wspipe_parse_close_code(const char *text, unsigned *code)
{
	uint64_t value;

	if (!wspipe_parse_number(text, 10, 4999, &value))
		return false;
	if (value != 1000 && value != 1001 && value != 1003 && !(value >= 1007 && value <= 1011) && value < 3000)
		return false;
	*code = (unsigned)value;
	return true;
}

/* The library refuses a bad reason too, but only when the transfer is over. */
bool wspipe_is_close_reason(const char *text)
{
	if (strlen(text) > 123)
		return false;
	for (size_t left = strlen(text); left > 0;) {
		int size = wspipe_utf8_size((const unsigned char *)text, left);
		if (size <= 0)
			return false;
		text += size;
		left -= (size_t)size;
	}
	return true;
}
