/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#if WSF_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>
#endif

#include "deflate.h"

#if WSF_HAVE_ZLIB

#define MIN_WINDOW_BITS 9
/* Up to here a message may grow as it likes. */
#define FREE_BYTES 65536
/* The most that one byte of deflate can become: four times a length and a distance of one bit each, 258 bytes. */
#define MAX_GROWTH 1032
/* zlib repeats a flush that begins with less room than that. */
#define MIN_ROOM 16

/* RFC 7692, section 7.2.1: what the end of a message's data leaves out. */
static const uint8_t tail[4] = { 0x00, 0x00, 0xff, 0xff };

struct wsf_deflater {
	z_stream z;
	uint8_t *out;
	size_t capacity_bytes;
};

struct wsf_inflater {
	z_stream z;
	uint64_t in_bytes, out_bytes;	/* of this message, its tail not counted */
	size_t admitted_bytes;		/* of in_bytes, still to be taken */
	size_t tail_done;
	bool at_start;			/* nothing was taken since the message began or a final block ended */
	bool full;			/* there was no room: more may come out without more going in */
};

bool wsf_deflate_available(void)
{
	return true;
}

static void free_deflater(struct wsf_deflate *deflate)
{
	if (deflate->deflater == NULL)
		return;
	deflateEnd(&deflate->deflater->z);
	free(deflate->deflater->out);
	free(deflate->deflater);
	deflate->deflater = NULL;
}

void wsf_deflate_clear(struct wsf_deflate *deflate)
{
	if (deflate == NULL)
		return;
	free_deflater(deflate);
	if (deflate->inflater == NULL)
		return;
	inflateEnd(&deflate->inflater->z);
	free(deflate->inflater);
	deflate->inflater = NULL;
}

/* --- compressing --- */

static int make_deflater(struct wsf_deflate *deflate)
{
	int bits = deflate->params.send_window_bits;
	/* zlib's default, 8, is for the largest window; beside a smaller one that would be nearly all of the memory. */
	int memory_level = bits - 7;
	struct wsf_deflater *deflater;

	if (deflate->deflater != NULL)
		return 0;
	deflater = calloc(1, sizeof *deflater);
	if (deflater == NULL)
		return -ENOMEM;
	if (deflateInit2(&deflater->z, deflate->params.level, Z_DEFLATED, -bits, memory_level, Z_DEFAULT_STRATEGY) !=
	    Z_OK) {
		free(deflater);
		return -ENOMEM;
	}
	deflate->deflater = deflater;
	return 0;
}

/* Room for bytes in all, behind what is there. */
static int reserve(struct wsf_deflater *deflater, size_t bytes, size_t filled)
{
	uint8_t *out = deflater->out;

	if (bytes > UINT_MAX)
		return -ENOMEM;
	if (bytes > deflater->capacity_bytes) {
		out = realloc(out, bytes);
		if (out == NULL)
			return -ENOMEM;
		deflater->out = out;
		deflater->capacity_bytes = bytes;
	}
	deflater->z.next_out = out + filled;
	deflater->z.avail_out = (uInt)(deflater->capacity_bytes - filled);
	return 0;
}

static int run(struct wsf_deflater *deflater, int flush)
{
	size_t filled;
	int rv;

	do {
		if (deflater->z.avail_out < MIN_ROOM) {
			filled = deflater->capacity_bytes - deflater->z.avail_out;
			if ((rv = reserve(deflater, deflater->capacity_bytes * 2, filled)) != 0)
				return rv;
		}
		deflate(&deflater->z, flush);
	} while (deflater->z.avail_out == 0 || deflater->z.avail_in > 0);
	return 0;
}

static int compress_all(struct wsf_deflater *deflater, const struct iovec *in, int count, size_t bytes)
{
	int rv = reserve(deflater, deflateBound(&deflater->z, bytes) + 2 * MIN_ROOM, 0);

	for (int i = 0; i < count && rv == 0; i++) {
		if (in[i].iov_len == 0)
			continue;
		deflater->z.next_in = in[i].iov_base;
		deflater->z.avail_in = (uInt)in[i].iov_len;
		rv = run(deflater, Z_NO_FLUSH);
	}
	return rv != 0 ? rv : run(deflater, Z_SYNC_FLUSH);
}

int wsf_deflate_message(struct wsf_deflate *deflate, const struct iovec *in, int count, const uint8_t **out,
    size_t *out_bytes)
{
	static const uint8_t nothing = 0;	/* RFC 7692, section 7.2.3.6; zlib would not flush again */
	struct wsf_deflater *deflater;
	size_t bytes = 0, made;
	int rv;

	if (deflate->params.send_window_bits < MIN_WINDOW_BITS)
		return -EOPNOTSUPP;
	for (int i = 0; i < count; i++)
		bytes += in[i].iov_len;
	if (bytes == 0) {
		*out = &nothing;
		*out_bytes = sizeof nothing;
		return 0;
	}
	if ((rv = make_deflater(deflate)) != 0)
		return rv;
	deflater = deflate->deflater;
	if ((rv = compress_all(deflater, in, count, bytes)) != 0)
		return rv;
	made = deflater->capacity_bytes - deflater->z.avail_out - sizeof tail;
	if (deflate->params.send_no_context_takeover) {
		deflateReset(&deflater->z);
		if (made >= bytes)
			return -EOPNOTSUPP;
	}
	*out = deflater->out;
	*out_bytes = made;
	return 0;
}

void wsf_deflate_idle(struct wsf_deflate *deflate)
{
	if (deflate->deflater == NULL)
		return;
	if (deflate->params.send_no_context_takeover) {
		free_deflater(deflate);
		return;
	}
	free(deflate->deflater->out);
	deflate->deflater->out = NULL;
	deflate->deflater->capacity_bytes = 0;
}

/* --- inflating --- */

static int make_inflater(struct wsf_deflate *deflate)
{
	int bits = deflate->params.recv_window_bits;
	struct wsf_inflater *inflater;

	if (deflate->inflater != NULL)
		return 0;
	inflater = calloc(1, sizeof *inflater);
	if (inflater == NULL)
		return -ENOMEM;
	/* Old zlibs that are told 8 bits use 9. */
	if (inflateInit2(&inflater->z, -(bits < MIN_WINDOW_BITS ? MIN_WINDOW_BITS : bits)) != Z_OK) {
		free(inflater);
		return -ENOMEM;
	}
	inflater->at_start = true;
	deflate->inflater = inflater;
	return 0;
}

/* What so many bytes of a message may become. */
static uint64_t allowed(uint64_t in_bytes, unsigned max_ratio)
{
	uint64_t bytes = in_bytes > UINT64_MAX / max_ratio ? UINT64_MAX : in_bytes * max_ratio;

	return bytes > FREE_BYTES ? bytes : FREE_BYTES;
}

/*
 * The ratio is judged behind each byte, so that no cut of the input changes the verdict: of bytes that can't break it
 * in between as many are let in as there are, else one.
 */
static void admit(struct wsf_inflater *inflater, unsigned max_ratio, size_t size)
{
	uint64_t safe;

	if (max_ratio != 0 && size > 1) {
		safe = (allowed(inflater->in_bytes + 1, max_ratio) - inflater->out_bytes) / MAX_GROWTH;
		if (safe < size)
			size = safe > 1 ? (size_t)safe : 1;
	}
	inflater->admitted_bytes = size;
	inflater->in_bytes += size;
}

/*
 * How much of the tail goes in at once. It is judged as the message's own bytes are: behind a block that is not
 * complete it can become as much.
 */
static size_t tail_piece(const struct wsf_inflater *inflater, unsigned max_ratio)
{
	size_t left = sizeof tail - inflater->tail_done;

	if (inflater->full)
		return 0;
	if (max_ratio != 0 && allowed(inflater->in_bytes, max_ratio) - inflater->out_bytes < left * MAX_GROWTH)
		return 1;
	return left;
}

/* One step of zlib's; *used and *put grow. The tail's turn comes when the message's own bytes have all come out. */
static int step(struct wsf_inflater *inflater, unsigned max_ratio, const uint8_t *in, size_t in_bytes, size_t *used,
    uint8_t *out, size_t room, size_t *put)
{
	bool in_tail = in_bytes == *used && inflater->admitted_bytes == 0 &&
	    (inflater->tail_done > 0 || !inflater->full);
	size_t n = in_tail ? tail_piece(inflater, max_ratio) : inflater->admitted_bytes, taken, made;
	int rv;

	if (!in_tail && n > in_bytes - *used)
		n = in_bytes - *used;
	if (n > UINT_MAX)
		n = UINT_MAX;
	if (room > UINT_MAX)
		room = UINT_MAX;
	inflater->z.next_in = in_tail ? tail + inflater->tail_done : n > 0 ? in + *used : NULL;
	inflater->z.avail_in = (uInt)n;
	inflater->z.next_out = out + *put;
	inflater->z.avail_out = (uInt)room;
	rv = inflate(&inflater->z, Z_SYNC_FLUSH);
	taken = n - inflater->z.avail_in;
	made = room - inflater->z.avail_out;
	*put += made;
	inflater->out_bytes += made;
	if (in_tail) {
		inflater->tail_done += taken;
	} else {
		*used += taken;
		inflater->admitted_bytes -= taken;
	}
	inflater->full = inflater->z.avail_out == 0 && rv != Z_STREAM_END;
	if (rv == Z_STREAM_END) {
		/* RFC 7692, section 7.2.3.4: the next block follows, and the window remains. */
		inflateResetKeep(&inflater->z);
		inflater->at_start = true;
	} else if (taken > 0) {
		inflater->at_start = false;
	}
	if (rv == Z_MEM_ERROR)
		return -ENOMEM;
	return rv == Z_OK || rv == Z_BUF_ERROR || rv == Z_STREAM_END ? 0 : -EPROTO;
}

/* Bits 0 to 5: bits not used yet; 64: in the last block; 128: between blocks. */
static bool between_blocks(const struct wsf_inflater *inflater)
{
	return inflater->at_start || (inflater->z.data_type & 0xff) == 128;
}

static int finish(struct wsf_deflate *deflate)
{
	struct wsf_inflater *inflater = deflate->inflater;

	/* What the tail did not complete would swallow the start of the next message. */
	if (!between_blocks(inflater))
		return -EPROTO;
	if (deflate->params.recv_no_context_takeover)
		inflateReset(&inflater->z);
	inflater->in_bytes = inflater->out_bytes = 0;
	inflater->tail_done = 0;
	inflater->at_start = true;
	return 1;
}

int wsf_deflate_inflate(struct wsf_deflate *deflate, const uint8_t *in, size_t in_bytes, bool last, size_t *used,
    uint8_t *out, size_t out_bytes, size_t *put)
{
	unsigned max_ratio = deflate->params.max_ratio;
	struct wsf_inflater *inflater;
	int rv;

	*used = *put = 0;
	if ((rv = make_inflater(deflate)) != 0)
		return rv;
	inflater = deflate->inflater;
	while (rv == 0) {
		if (!inflater->full && inflater->admitted_bytes == 0) {
			if (max_ratio != 0 && inflater->out_bytes > allowed(inflater->in_bytes, max_ratio))
				return -EMSGSIZE;
			if (*used < in_bytes)
				admit(inflater, max_ratio, in_bytes - *used);
			else if (!last)
				return 0;
			else if (inflater->tail_done == sizeof tail || (inflater->tail_done == 0 && inflater->at_start))
				return finish(deflate);
		}
		if (*put == out_bytes || (!inflater->full && inflater->admitted_bytes > 0 && *used == in_bytes))
			return 0;
		rv = step(inflater, max_ratio, in, in_bytes, used, out, out_bytes - *put, put);
	}
	return rv;
}

#else

bool wsf_deflate_available(void)
{
	return false;
}

void wsf_deflate_clear(struct wsf_deflate *deflate)
{
	(void)deflate;
}

int wsf_deflate_message(struct wsf_deflate *deflate, const struct iovec *in, int count, const uint8_t **out,
    size_t *out_bytes)
{
	(void)deflate, (void)in, (void)count, (void)out, (void)out_bytes;
	return -EOPNOTSUPP;
}

void wsf_deflate_idle(struct wsf_deflate *deflate)
{
	(void)deflate;
}

int wsf_deflate_inflate(struct wsf_deflate *deflate, const uint8_t *in, size_t in_bytes, bool last, size_t *used,
    uint8_t *out, size_t out_bytes, size_t *put)
{
	(void)deflate, (void)in, (void)in_bytes, (void)last, (void)out, (void)out_bytes;
	*used = *put = 0;
	return -EPROTO;
}

#endif
