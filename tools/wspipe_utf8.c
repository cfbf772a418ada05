/* SPDX-License-Identifier: 0BSD */
#include "wspipe_print.h"

static int wanted_size(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

/* Overlong forms, surrogates, and what is above U+10FFFF are told by the second byte. */
static bool is_second(unsigned char first, unsigned char second)
{
	unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return second >= low && second <= high;
}

int wspipe_utf8_size(const unsigned char *text, size_t left)
{
	int size = wanted_size(text[0]);

	for (int i = 1; i < size; i++) {
		if ((size_t)i == left)
			return -1;
		if (i == 1 ? !is_second(text[0], text[1]) : (text[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}
