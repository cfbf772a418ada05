/* SPDX-License-Identifier: 0BSD */
#include "fuzz.h"

#include <stdio.h>

#include <openssl/rand.h>

uint32_t fuzz_variation;

/* RFC 6455, section 1.3; its base64 is FUZZ_KEY. */
static const unsigned char nonce[] = "the sample nonce";
static size_t nonce_at;

void fuzz_repeat_randomness(void)
{
	nonce_at = 0;
}

/*
 * In place of OpenSSL's: the room crypto is the product's own, and what it draws can be foretold. The prototype is
 * OpenSSL's.
 */
int RAND_bytes(unsigned char *out, int size)
{
	for (int i = 0; i < size; i++)
		out[i] = nonce[nonce_at++ % (sizeof(nonce) - 1)];
	return 1;
}

void fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
	abort();
}

void *fuzz_memory(size_t size)
{
	void *memory = malloc(size > 0 ? size : 1);

	REQUIRE(memory != NULL);
	return memory;
}

void *fuzz_copy(const void *data, size_t size)
{
	void *copy = fuzz_memory(size);

	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

uint32_t fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint32_t number = 0;

	while (bytes-- > 0)
		number = number << 8 | fuzz_byte(in);
	return number;
}

const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t *size)
{
	const uint8_t *start = in->at;

	if (*size > in->left)
		*size = in->left;
	in->at += *size;
	in->left -= *size;
	return start;
}

static char *text_of(const uint8_t *bytes, size_t size)
{
	char *text;

	if (size > 0 && memchr(bytes, 0, size) != NULL)
		size = strlen((const char *)bytes);
	text = fuzz_memory(size + 1);
	if (size > 0)
		memcpy(text, bytes, size);
	text[size] = '\0';
	return text;
}

char *fuzz_line(struct fuzz_input *in)
{
	const uint8_t *newline = in->left > 0 ? memchr(in->at, '\n', in->left) : NULL;
	size_t size = newline != NULL ? (size_t)(newline - in->at) : in->left;
	char *text = text_of(fuzz_bytes(in, &size), size);

	fuzz_byte(in);
	return text;
}

char *fuzz_rest(struct fuzz_input *in)
{
	size_t size = in->left;
	const uint8_t *bytes = fuzz_bytes(in, &size);

	return text_of(bytes, size);
}

struct fuzz_lot fuzz_lot(uint32_t seed)
{
	struct fuzz_lot lot = { .state = (seed ^ fuzz_variation * 2654435761u) * 2246822519u + 1 };

	lot.kind = fuzz_draw(&lot, 6);
	return lot;
}

uint32_t fuzz_draw(struct fuzz_lot *lot, uint32_t below)
{
	lot->state = lot->state * 1664525u + 1013904223u;
	return (lot->state >> 8) % below;
}

size_t fuzz_piece(struct fuzz_lot *lot, size_t left)
{
	static const uint32_t most[] = { 0, 1, 3, 20, 600 };
	size_t size = left;

	if (left <= 1)
		return left;
	if (lot->kind == COUNT(most))
		size = fuzz_draw(lot, (uint32_t)left) + 1;
	else if (most[lot->kind] > 0)
		size = fuzz_draw(lot, most[lot->kind]) + 1;
	return size < left ? size : left;
}

void fuzz_put(struct fuzz_buffer *buffer, const void *data, size_t size)
{
	if (buffer->capacity - buffer->size < size) {
		buffer->capacity = (buffer->size + size) * 2;
		buffer->data = realloc(buffer->data, buffer->capacity);
		REQUIRE(buffer->data != NULL);
	}
	if (size > 0)
		memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

bool fuzz_same(const struct fuzz_buffer *a, const struct fuzz_buffer *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

void fuzz_buffer_clear(struct fuzz_buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}

bool fuzz_one_line(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '\0')
			return true;
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return false;
}
