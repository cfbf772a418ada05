/* SPDX-License-Identifier: 0BSD */
#include <stdint.h>

#include "fault_view.h"

#ifdef FAULT_ZLIB
#include <zlib.h>
#endif

struct frame {
	unsigned byte0;
	size_t head_bytes, size;
	const uint8_t *key;		/* NULL = not masked */
};

struct reader {
	struct fault_view *view;
	const uint8_t *next;
	size_t left, offset;
	bool in_message, deflated;
#ifdef FAULT_ZLIB
	z_stream inflater;
#endif
};

/* --- data --- */

#ifdef FAULT_ZLIB
static void inflate_part(struct reader *reader, const uint8_t *data, size_t size)
{
	uint8_t out[4096];
	int rv;

	reader->inflater.next_in = (Bytef *)(uintptr_t)data;
	reader->inflater.avail_in = (uInt)size;
	do {
		reader->inflater.next_out = out;
		reader->inflater.avail_out = sizeof out;
		rv = inflate(&reader->inflater, Z_SYNC_FLUSH);
		if (rv != Z_OK && rv != Z_BUF_ERROR)
			reader->view->wrong = "data that is not deflated";
		put(&reader->view->data, out, sizeof out - reader->inflater.avail_out);
	} while (rv == Z_OK && reader->inflater.avail_out == 0);
}
#endif

static void add_data(struct reader *reader, const uint8_t *data, size_t size)
{
#ifdef FAULT_ZLIB
	if (reader->deflated) {
		inflate_part(reader, data, size);
		return;
	}
#endif
	put(&reader->view->data, data, size);
}

static void end_message(struct reader *reader)
{
#ifdef FAULT_ZLIB
	static const uint8_t tail[] = { 0x00, 0x00, 0xff, 0xff };

	if (reader->deflated)
		inflate_part(reader, tail, sizeof tail);
#endif
	reader->in_message = reader->deflated = false;
}

/* --- frames --- */

/* False = the header is not whole. */
static bool read_head(const struct reader *reader, struct frame *frame)
{
	const uint8_t *at = reader->next;
	size_t length_bytes, mask_bytes;

	if (reader->left < 2)
		return false;
	frame->byte0 = at[0];
	frame->size = at[1] & 0x7f;
	mask_bytes = (at[1] & 0x80) != 0 ? 4 : 0;
	length_bytes = frame->size == 127 ? 8 : frame->size == 126 ? 2 : 0;
	frame->head_bytes = 2 + length_bytes + mask_bytes;
	if (reader->left < frame->head_bytes)
		return false;
	if (length_bytes > 0)
		frame->size = 0;
	for (size_t i = 0; i < length_bytes; i++)
		frame->size = frame->size << 8 | at[2 + i];
	frame->key = mask_bytes > 0 ? at + 2 + length_bytes : NULL;
	return true;
}

static void read_data(struct reader *reader, const struct frame *frame, const uint8_t *payload, size_t size)
{
	unsigned opcode = frame->byte0 & 0x0f;

	if (reader->in_message != (opcode == 0))
		reader->view->wrong = "messages inside each other, or a part of none";
	if (opcode != 0)
		reader->deflated = (frame->byte0 & 0x40) != 0;
	reader->in_message = true;
	add_data(reader, payload, size);
	if (size == frame->size && (frame->byte0 & 0x80) != 0)
		end_message(reader);
}

static void read_close(struct reader *reader, const struct frame *frame, const uint8_t *payload)
{
	struct fault_view *view = reader->view;

	view->close_code = frame->size >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;
	view->close_end = reader->offset + frame->head_bytes + frame->size;
	if (reader->in_message && view->close_code <= 1001)
		view->wrong = "a Close inside a message";
}

/* False = what is left is no whole frame. */
static bool read_frame(struct reader *reader)
{
	struct frame frame;
	uint8_t *payload;
	size_t size;

	if (!read_head(reader, &frame))
		return false;
	size = reader->left - frame.head_bytes < frame.size ? reader->left - frame.head_bytes : frame.size;
	payload = malloc(size + 1);
	if (payload == NULL)
		ck_abort_msg("out of memory");
	for (size_t i = 0; i < size; i++)
		payload[i] = reader->next[frame.head_bytes + i] ^ (frame.key != NULL ? frame.key[i % 4] : 0);
	if ((frame.byte0 & 0x08) == 0)
		read_data(reader, &frame, payload, size);
	else if ((frame.byte0 & 0x0f) == 8 && size == frame.size)
		read_close(reader, &frame, payload);
	free(payload);
	reader->next += frame.head_bytes + size;
	reader->left -= frame.head_bytes + size;
	reader->offset += frame.head_bytes + size;
	return size == frame.size && reader->view->close_code == 0;
}

/* Returns its size, 0 = it is not whole. */
static size_t header_block(const uint8_t *bytes, size_t size)
{
	for (size_t i = 4; i <= size; i++)
		if (memcmp(bytes + i - 4, "\r\n\r\n", 4) == 0)
			return i;
	return 0;
}

void fault_view(struct fault_view *view, const void *bytes, size_t size)
{
	size_t head = size > 0 ? header_block(bytes, size) : 0;
	struct reader reader = { .view = view };

	*view = (struct fault_view){ .head_bytes = head };
	put(&view->data, NULL, 0);
	view->opened = head > 12 && (memcmp(bytes, "GET ", 4) == 0 || memcmp(bytes, "HTTP/1.1 101", 12) == 0);
	view->refused = head > 0 && !view->opened;
	if (!view->opened)
		return;
	reader.next = (const uint8_t *)bytes + head;
	reader.left = size - head;
	reader.offset = head;
#ifdef FAULT_ZLIB
	if (inflateInit2(&reader.inflater, -15) != Z_OK)
		ck_abort_msg("inflateInit2");
#endif
	while (reader.left > 0 && read_frame(&reader))
		;
#ifdef FAULT_ZLIB
	inflateEnd(&reader.inflater);
#endif
	view->more = view->close_code != 0 && reader.left > 0;
}

void fault_view_clear(struct fault_view *view)
{
	free(view->data.data);
	*view = (struct fault_view){ 0 };
}
