/* SPDX-License-Identifier: 0BSD */
/* An HTTP message as it is put together: a text that grows, and remembers that memory ran out. */
#include "http_private.h"

#include <stdlib.h>

#include "wipe.h"

#define FIRST_CAPACITY_BYTES 512

static void release(struct wsf_http_text *text)
{
	wsf_wipe(text->bytes, text->length);
	free(text->bytes);
	text->bytes = NULL;
}

/* As realloc, but what is left behind is wiped. */
static void grow(struct wsf_http_text *text, size_t capacity)
{
	char *bytes = malloc(capacity);

	if (bytes != NULL && text->length > 0)
		memcpy(bytes, text->bytes, text->length);
	release(text);
	text->bytes = bytes;
	text->capacity = capacity;
	text->failed = bytes == NULL;
}

void wsf_http_append(struct wsf_http_text *text, const char *piece)
{
	size_t size = strlen(piece);

	if (!text->failed && size >= text->capacity - text->length)
		grow(text, FIRST_CAPACITY_BYTES + (text->length + size) * 2);
	if (text->failed)
		return;
	memcpy(text->bytes + text->length, piece, size + 1);
	text->length += size;
}

void wsf_http_append_field(struct wsf_http_text *text, const char *name, const char *value)
{
	wsf_http_append(text, name);
	wsf_http_append(text, ": ");
	wsf_http_append(text, value);
	wsf_http_append(text, "\r\n");
}

void wsf_http_append_lines(struct wsf_http_text *text, const char *const *lines)
{
	for (size_t i = 0; lines != NULL && lines[i] != NULL; i++) {
		wsf_http_append(text, lines[i]);
		wsf_http_append(text, "\r\n");
	}
}

char *wsf_http_finish(struct wsf_http_text *text, size_t *size)
{
	*size = text->failed ? 0 : text->length;
	return text->bytes;
}
