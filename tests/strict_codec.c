/* SPDX-License-Identifier: 0BSD */
/* The strictness suite's own permessage-deflate (RFC 7692, section 7.2), with zlib of its own. */
#include "strict.h"

#include <stdlib.h>
#include <string.h>

#if STRICT_DEFLATE
#include <zlib.h>

struct strict_codec {
	struct strict_deflate agreed;
	z_stream deflate, inflate;
};

struct strict_codec *strict_codec_new(const struct strict_deflate *agreed)
{
	struct strict_codec *codec = calloc(1, sizeof *codec);

	strict_insist(codec != NULL, "out of memory");
	codec->agreed = *agreed;
	/* A window of 8 bits is what zlib can't deflate for; 9 would be too large. */
	strict_insist(deflateInit2(&codec->deflate, 6, Z_DEFLATED, -agreed->peer_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK,
	    "deflateInit2");
	strict_insist(inflateInit2(&codec->inflate, -agreed->library_bits) == Z_OK, "inflateInit2");
	return codec;
}

void strict_codec_free(struct strict_codec *codec)
{
	if (codec == NULL)
		return;
	deflateEnd(&codec->deflate);
	inflateEnd(&codec->inflate);
	free(codec);
}

void strict_deflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out)
{
	z_stream *z = &codec->deflate;
	uint8_t piece[65536];

	z->next_in = in->data;
	z->avail_in = (uInt)in->size;
	do {
		z->next_out = piece;
		z->avail_out = sizeof piece;
		deflate(z, Z_SYNC_FLUSH);
		duo_append(out, piece, sizeof piece - z->avail_out);
	} while (z->avail_out == 0);
	/* An empty message adds nothing to what is flushed: section 7.2.3.6 has the byte for it. */
	if (out->size >= 4 && memcmp(out->data + out->size - 4, "\0\0\xff\xff", 4) == 0)
		out->size -= 4;
	if (out->size == 0)
		duo_append(out, "", 1);
	if (codec->agreed.peer_resets)
		deflateReset(z);
}

void strict_inflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out)
{
	static const uint8_t tail[4] = { 0x00, 0x00, 0xff, 0xff };
	struct duo_bytes all = { NULL, 0, 0 };
	z_stream *z = &codec->inflate;
	uint8_t piece[65536];
	int result = Z_OK;

	strict_insist(in->size > 0, "a deflated message without any payload");
	strict_insist(in->size < 4 || memcmp(in->data + in->size - 4, tail, 4) != 0, "a message with its tail");
	duo_append(&all, in->data, in->size);
	duo_append(&all, tail, sizeof tail);
	z->next_in = all.data;
	z->avail_in = (uInt)all.size;
	do {
		z->next_out = piece;
		z->avail_out = sizeof piece;
		result = inflate(z, Z_SYNC_FLUSH);
		strict_insist(result == Z_OK || result == Z_BUF_ERROR, "what the library deflated is wrong: %s",
		    z->msg != NULL ? z->msg : "no reason");
		duo_append(out, piece, sizeof piece - z->avail_out);
	} while (z->avail_out == 0);
	strict_insist(z->avail_in == 0, "%u bytes are left of a deflated message", z->avail_in);
	/* It must not count on what came before. */
	if (codec->agreed.library_resets)
		inflateReset(z);
	duo_clear(&all);
}

#else

struct strict_codec *strict_codec_new(const struct strict_deflate *agreed)
{
	(void)agreed;
	strict_fail("this build has no zlib");
}

void strict_codec_free(struct strict_codec *codec)
{
	(void)codec;
}

void strict_deflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out)
{
	(void)codec, (void)in, (void)out;
}

void strict_inflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out)
{
	(void)codec, (void)in, (void)out;
}

#endif
