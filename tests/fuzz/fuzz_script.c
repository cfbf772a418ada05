/* SPDX-License-Identifier: 0BSD */
#include "fuzz_script.h"

#include "mask.h"

#define WIRE_MAX 70000	/* more than a length of 16 bits can tell */

static const uint8_t key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static void put_text(struct fuzz_buffer *wire, const char *text)
{
	fuzz_put(wire, text, strlen(text));
}

void fuzz_script_handshake(struct fuzz_buffer *wire, enum wsf_role role, bool deflate)
{
	if (role == WSF_SERVER)
		put_text(wire, "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nSec-WebSocket-Key: " FUZZ_KEY "\r\n"
		    "Sec-WebSocket-Version: 13\r\n");
	else
		put_text(wire, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " FUZZ_ACCEPT "\r\n");
	put_text(wire, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
	if (deflate && role == WSF_SERVER)
		put_text(wire, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
	else if (deflate)
		put_text(wire, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
		    "server_max_window_bits=9\r\n");
	put_text(wire, "\r\n");
}

void fuzz_script_frame(struct fuzz_buffer *wire, unsigned byte0, bool masked, const void *payload, size_t size)
{
	uint8_t head[10] = { (uint8_t)byte0 }, *place;
	size_t extended = size < 126 ? 0 : size < 65536 ? 2 : 8;

	head[1] = (uint8_t)((masked ? 128 : 0) | (extended == 0 ? size : extended == 2 ? 126 : 127));
	for (size_t i = 0; i < extended; i++)
		head[2 + i] = (uint8_t)((uint64_t)size >> 8 * (extended - 1 - i));
	fuzz_put(wire, head, 2 + extended);
	if (masked)
		fuzz_put(wire, key, sizeof(key));
	fuzz_put(wire, payload, size);
	place = wire->data + wire->size - size;
	if (masked && size > 0)
		wsf_mask_copy(place, place, size, key, 0);
}

/* One message in many frames, with a ping behind each but the last. */
static void put_fragments(struct fuzz_buffer *wire, unsigned byte0, bool masked, const uint8_t *payload, size_t size,
    unsigned count)
{
	bool pings = (count & 4) != 0;

	count = (count & 3) + 1;
	for (unsigned i = 0; i < count; i++) {
		size_t start = size * i / count, end = size * (i + 1) / count;
		bool last = i + 1 == count;

		fuzz_script_frame(wire, i == 0 ? byte0 & (last ? 255 : 127) : last ? 128 : 0, masked, payload + start,
		    end - start);
		if (pings && !last)
			fuzz_script_frame(wire, 0x89, masked, payload, size < 9 ? size : 9);
	}
}

static void repeat(struct fuzz_buffer *payload, const uint8_t *bytes, size_t size, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		fuzz_put(payload, bytes, size);
}

void fuzz_script_frames(struct fuzz_buffer *wire, struct fuzz_input *in, bool masked,
    const struct wsf_deflate_params *params)
{
	struct wsf_deflate peer = { .params = *params };

	/* With takeover where the other end must not expect it all the same. */
	while (in->left > 0 && wire->size < WIRE_MAX) {
		unsigned byte0 = fuzz_byte(in), how = fuzz_byte(in), more = (how & 192) != 0 ? fuzz_byte(in) : 0;
		struct fuzz_buffer payload = { 0 };
		size_t size = how & 63, out_bytes;
		const uint8_t *bytes = fuzz_bytes(in, &size), *out;
		struct iovec iov;

		repeat(&payload, bytes, size, (how & 64) != 0 ? more * 6 : 1);
		iov = (struct iovec){ payload.data, payload.size };
		if ((how & 128) != 0 && wsf_deflate_message(&peer, &iov, 1, &out, &out_bytes) == 0)
			put_fragments(wire, byte0, masked, out, out_bytes, more);
		else
			fuzz_script_frame(wire, byte0, masked, payload.data, payload.size);
		fuzz_buffer_clear(&payload);
	}
	wsf_deflate_clear(&peer);
}
