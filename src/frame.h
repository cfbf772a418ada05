/* SPDX-License-Identifier: 0BSD */
/*
 * The RFC 6455 frame header: encode, and an incremental, strict decode. It knows no connection state beyond one header:
 * fragmentation and masking by role are the endpoint's. Called from whichever thread moves the bytes.
 */
#ifndef WSF_FRAME_H
#define WSF_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WSF_FRAME_HEADER_MAX 14
#define WSF_CONTROL_PAYLOAD_MAX 125

enum wsf_opcode {
	WSF_CONTINUATION = 0x0,
	WSF_TEXT = 0x1,
	WSF_BINARY = 0x2,
	WSF_CLOSE = 0x8,
	WSF_PING = 0x9,
	WSF_PONG = 0xa,
};

struct wsf_frame {
	bool fin;
	uint8_t rsv;			/* the three bits, RSV1 = 4 */
	uint8_t opcode;
	bool masked;
	uint8_t key[4];			/* meaningful where masked */
	uint64_t payload_bytes;
};

/* Zero-initialised = at the start of a header. */
struct wsf_frame_decoder {
	uint8_t header[WSF_FRAME_HEADER_MAX];
	uint8_t have;
};

/* Write the header, shortest form; returns its length, 2 to 14. payload_bytes is below 2^63. */
size_t wsf_frame_encode(uint8_t out[WSF_FRAME_HEADER_MAX], const struct wsf_frame *frame);

/*
 * Take bytes of a header; *used says how many were taken. Returns 1 when the header is complete (frame is filled and
 * the decoder starts anew), 0 when all size bytes were taken and more are needed, or -EPROTO with a static reason in
 * *reason: a reserved opcode, a control frame that is fragmented or over 125 bytes, a length not in its shortest form
 * or with the top bit set. What the first two bytes can tell is refused at once. RSV bits are returned, not judged.
 */
int wsf_frame_decode(struct wsf_frame_decoder *decoder, const void *in, size_t size, size_t *used,
    struct wsf_frame *frame, const char **reason);

static inline bool wsf_opcode_is_control(unsigned opcode)
{
	return (opcode & 0x8) != 0;
}

/* Whether a code may stand in a Close that came from a peer (RFC 6455, section 7.4; IANA registry). */
bool wsf_close_code_valid(unsigned code);

#endif
