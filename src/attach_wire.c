/* SPDX-License-Identifier: 0BSD */
/* The wire between a stream and libwebsockets: two bounded rings of frames, and who is to look at them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attach_private.h"
#include "process.h"

#define IN_BYTES (4 * WSF_CHUNK_MAX)
/*
 * Flow control stops libwebsockets behind a chunk. But of a deflated one (its own permessage-deflate) it gives all that
 * comes out, which is up to 1032 times as much.
 */
#define IN_MOST_BYTES ((size_t)2048 * WSF_CHUNK_MAX)

/* The wire that this thread is serving; and by its address, the thread. */
static _Thread_local const struct wsf_wire *serving;

bool wsf_wire_is_served(const struct wsf_wire *wire)
{
	return serving == wire;
}

const void *wsf_wire_this_thread(void)
{
	return &serving;
}

/* --- life --- */

void wsf_wire_init(struct wsf_wire *wire, void (*wake)(struct wsf_wire *), void (*free)(struct wsf_wire *))
{
	memset(wire, 0, sizeof *wire);
	atomic_init(&wire->refs, 1);
	atomic_init(&wire->server, NULL);
	wire->wake = wake;
	wire->free = free;
	wire->timer_ns = WSF_NO_DEADLINE;
	wire->fin_fd = -1;
	pthread_mutex_init(&wire->call_lock, NULL);
	pthread_mutex_init(&wire->lock, NULL);
	wsf_event_init(&wire->event);
	wsf_ring_init(&wire->in, IN_BYTES);
	wsf_ring_init(&wire->out, WSF_WIRE_OUT_BYTES);
}

void wsf_wire_ref(struct wsf_wire *wire)
{
	atomic_fetch_add(&wire->refs, 1);
}

void wsf_wire_unref(struct wsf_wire *wire)
{
	if (atomic_fetch_sub(&wire->refs, 1) != 1)
		return;
	if (wire->fin_fd >= 0)
		wsf_process_close(wire->fin_fd);
	wsf_ring_clear(&wire->in);
	wsf_ring_clear(&wire->out);
	wsf_event_destroy(&wire->event);
	pthread_mutex_destroy(&wire->lock);
	pthread_mutex_destroy(&wire->call_lock);
	wire->free(wire);
}

void wsf_wire_want(struct wsf_wire *wire, unsigned bits)
{
	bool wake;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	/* Who is serving looks again. And what is wanted may be waiting for something: only more of it is news. */
	wake = (bits & ~wire->wanted) != 0 && serving != wire;
	wire->wanted |= bits;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	if (wake)
		wire->wake(wire);
}

/* --- rings; the wire's lock held --- */

void wsf_wire_put_locked(struct wsf_ring *ring, const void *data, size_t size)
{
	struct iovec span[2];
	const uint8_t *p = data;
	int count = wsf_ring_write_span(ring, size, span);

	for (int i = 0; i < count; i++) {
		memcpy(span[i].iov_base, p, span[i].iov_len);
		p += span[i].iov_len;
	}
	wsf_ring_commit(ring, size);
}

void wsf_wire_get_locked(struct wsf_ring *ring, void *out, size_t size)
{
	struct iovec span[2];
	uint8_t *p = out;
	int count = wsf_ring_read_span(ring, size, span);

	for (int i = 0; i < count; i++) {
		memcpy(p, span[i].iov_base, span[i].iov_len);
		p += span[i].iov_len;
	}
	wsf_ring_consume(ring, size, 0);
	if (wsf_ring_used(ring) == 0)
		wsf_ring_forget(ring);
}

bool wsf_wire_flushed_locked(const struct wsf_wire *wire)
{
	return wsf_ring_used(&wire->out) == 0 && wire->choked_bytes == 0;
}

/* Not at once when there is a little room again: that would be a wake-up for each piece. */
bool wsf_wire_may_send_locked(const struct wsf_wire *wire)
{
	return wire->over ||
	    (wire->cut_short ? wsf_ring_room(&wire->out) >= WSF_WIRE_OUT_BYTES / 2 : wsf_wire_flushed_locked(wire));
}

void wsf_wire_over_locked(struct wsf_wire *wire)
{
	wire->over = true;
	wsf_event_notify(&wire->event);
}

/* --- what libwebsockets says --- */

/* A larger ring with the same in it. Returns 0, -ENOBUFS or -ENOMEM. */
static int grow_locked(struct wsf_ring *ring)
{
	struct wsf_ring larger;
	struct iovec span[2];
	int count;

	if (ring->capacity_bytes >= IN_MOST_BYTES)
		return -ENOBUFS;
	wsf_ring_init(&larger, 2 * ring->capacity_bytes);
	if (wsf_ring_reserve(&larger, larger.capacity_bytes) != 0)
		return -ENOMEM;
	count = wsf_ring_read_span(ring, SIZE_MAX, span);
	for (int i = 0; i < count; i++)
		wsf_wire_put_locked(&larger, span[i].iov_base, span[i].iov_len);
	wsf_ring_clear(ring);
	*ring = larger;
	return 0;
}

static int put_both(struct wsf_wire *wire, const void *head, size_t head_bytes, const void *data, size_t size)
{
	int rv = 0;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	while (rv == 0 && wsf_ring_room(&wire->in) < head_bytes + size)
		rv = grow_locked(&wire->in);
	if (rv == 0)
		rv = wsf_ring_reserve(&wire->in, head_bytes + size);
	if (rv == 0) {
		wsf_wire_put_locked(&wire->in, head, head_bytes);
		wsf_wire_put_locked(&wire->in, data, size);
		wire->wanted |= WSF_WIRE_READ;
	}
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return rv;
}

int wsf_wire_put(struct wsf_wire *wire, uint8_t opcode, bool fin, const void *payload, size_t size)
{
	/* Masked, as a server insists on, with a key that changes nothing. */
	const struct wsf_frame frame = { .fin = fin, .opcode = opcode, .masked = true, .payload_bytes = size };
	uint8_t head[WSF_FRAME_HEADER_MAX];
	size_t head_bytes = wsf_frame_encode(head, &frame);

	return put_both(wire, head, head_bytes, payload, size);
}

int wsf_wire_put_chunk(struct wsf_wire *wire, bool text, bool last, const void *payload, size_t size)
{
	uint8_t opcode = wire->receiving ? WSF_CONTINUATION : text ? WSF_TEXT : WSF_BINARY;

	wire->receiving = !last;
	return wsf_wire_put(wire, opcode, last, payload, size);
}

bool wsf_wire_full(struct wsf_wire *wire)
{
	bool full;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	full = wsf_ring_used(&wire->in) > 0;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return full;
}

int wsf_wire_attach(struct wsf_wire *wire, struct wsf_stream *stream, const void *request, size_t size)
{
	int rv = put_both(wire, request, size, NULL, 0);

	if (rv != 0)
		return rv;
	wsf_wire_ref(wire);
	wsf_lock(&wire->call_lock, WSF_RANK_CALL);
	wire->stream = stream;
	wsf_stream_attach(stream, &wsf_wire_ops, wire);
	wsf_unlock(&wire->call_lock, WSF_RANK_CALL);
	return 0;
}

/* --- serving --- */

/* What can be done now. */
static unsigned take_wanted(struct wsf_wire *wire)
{
	unsigned now;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	now = wire->wanted;
	if ((now & WSF_WIRE_WRITE) != 0 && !wsf_wire_may_send_locked(wire))
		now &= ~(unsigned)WSF_WIRE_WRITE;
	wire->wanted &= ~now;
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return now;
}

/* Returns whether the connection is to be closed. */
static bool read_stream(struct wsf_wire *wire)
{
	uint8_t scratch[WSF_CHUNK_MAX];
	enum wsf_next next;

	do
		next = wsf_stream_readable(wire->stream, scratch, sizeof scratch);
	while (next == WSF_NEXT_GO && wsf_stream_pending(wire->stream));
	return next == WSF_NEXT_END;
}

/* The call lock is held. Returns whether the stream is to go. */
static bool call_stream(struct wsf_wire *wire, unsigned bits)
{
	bool end = (bits & WSF_WIRE_END) != 0;

	if ((bits & WSF_WIRE_READ) != 0)
		end |= read_stream(wire);
	if ((bits & WSF_WIRE_WRITE) != 0)
		wsf_stream_writable(wire->stream);
	if ((bits & WSF_WIRE_TIMER) != 0)
		wsf_stream_timer(wire->stream);
	return end;
}

/* As the stream's helper, until nothing more is wanted. Returns the stream where it is to go. */
static struct wsf_stream *call_all(struct wsf_wire *wire, unsigned *left)
{
	struct wsf_stream *gone = NULL;
	unsigned bits;

	wsf_lock(&wire->call_lock, WSF_RANK_CALL);
	serving = wire;
	atomic_store(&wire->server, wsf_wire_this_thread());
	while ((bits = take_wanted(wire)) != 0) {
		*left |= bits & (WSF_WIRE_SEND | WSF_WIRE_SWEEP | WSF_WIRE_END);
		if (wire->stream != NULL && call_stream(wire, bits)) {
			gone = wire->stream;
			wire->stream = NULL;
		}
	}
	serving = NULL;
	wsf_unlock(&wire->call_lock, WSF_RANK_CALL);
	return gone;
}

/* Without the call lock: whoever learns of it may let go of everything. */
static void stream_goes(struct wsf_wire *wire, struct wsf_stream *stream)
{
	bool more;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	more = wire->over && (wsf_ring_used(&wire->in) > 0 || wire->fin_fd >= 0);
	wsf_wire_over_locked(wire);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	wsf_stream_gone(stream, more);
}

bool wsf_wire_sweep(struct wsf_wire *wire)
{
	bool again;

	wsf_lock(&wire->call_lock, WSF_RANK_CALL);
	serving = wire;
	again = wire->stream != NULL && wsf_stream_release_idle(wire->stream);
	serving = NULL;
	wsf_unlock(&wire->call_lock, WSF_RANK_CALL);
	return again;
}

unsigned wsf_wire_serve(struct wsf_wire *wire)
{
	unsigned left = 0;
	struct wsf_stream *gone = call_all(wire, &left);

	if (gone != NULL) {
		left |= WSF_WIRE_END;
		stream_goes(wire, gone);
	}
	return left;
}

void wsf_wire_end(struct wsf_wire *wire, int error, const char *text, int fin_fd, int fin_ms)
{
	unsigned left = 0;
	struct wsf_stream *gone;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	wire->error = error;
	snprintf(wire->text, sizeof wire->text, "%s", text);
	wire->fin_fd = fin_fd;
	wire->fin_until_ns = wsf_deadline_ns(fin_ms);
	wire->wanted |= WSF_WIRE_READ;
	wsf_wire_over_locked(wire);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	gone = call_all(wire, &left);
	if (gone == NULL) {
		wsf_lock(&wire->call_lock, WSF_RANK_CALL);
		gone = wire->stream;
		wire->stream = NULL;
		wsf_unlock(&wire->call_lock, WSF_RANK_CALL);
	}
	if (gone != NULL)
		stream_goes(wire, gone);
}

/* --- what the stream sends --- */

/*
 * The answer to the request that was put together for it is for nobody. Returns whether it is gone, and was "HTTP/1.1
 * 101 …": behind any other, no frames come.
 */
static bool skip_answer_locked(struct wsf_wire *wire)
{
	static const char end[4] = { '\r', '\n', '\r', '\n' };
	char byte;

	while (wire->answer_end < sizeof end && wsf_ring_used(&wire->out) > 0) {
		wsf_wire_get_locked(&wire->out, &byte, 1);
		wire->refused |= wire->answer_bytes == 9 && byte != '1';
		wire->answer_bytes++;
		wire->answer_end = byte == end[wire->answer_end] ? wire->answer_end + 1 : byte == '\r';
	}
	return wire->answer_end == sizeof end && !wire->refused;
}

/* Returns whether a frame's header is there. What the stream sends is in order. */
static bool in_frame_locked(struct wsf_wire *wire)
{
	const char *reason;
	uint8_t byte;
	size_t used;

	while (!wire->in_frame && wsf_ring_used(&wire->out) > 0) {
		wsf_wire_get_locked(&wire->out, &byte, 1);
		wire->in_frame = wsf_frame_decode(&wire->decoder, &byte, 1, &used, &wire->frame, &reason) == 1;
		wire->left_bytes = wire->frame.payload_bytes;
		wire->continued = false;
	}
	return wire->in_frame;
}

bool wsf_wire_next(struct wsf_wire *wire, struct wsf_piece *piece)
{
	bool there = false;

	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	if (skip_answer_locked(wire) && in_frame_locked(wire)) {
		piece->bytes = wire->left_bytes < WSF_PIECE_MAX ? (size_t)wire->left_bytes : WSF_PIECE_MAX;
		piece->opcode = wire->continued ? WSF_CONTINUATION : wire->frame.opcode;
		piece->fin = wire->frame.fin && piece->bytes == wire->left_bytes;
		there = wsf_ring_used(&wire->out) >= piece->bytes;
	}
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
	return there;
}

/* Somebody may wait for room. The wire's lock held. */
static void tell_room_locked(struct wsf_wire *wire)
{
	if (wsf_wire_may_send_locked(wire))
		wsf_event_notify(&wire->event);
}

void wsf_wire_take(struct wsf_wire *wire, const struct wsf_piece *piece, uint8_t *out)
{
	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	wsf_wire_get_locked(&wire->out, out, piece->bytes);
	/* Until wsf_wire_sent: it is not with the kernel yet. */
	wire->choked_bytes = piece->bytes + 1;
	wire->left_bytes -= piece->bytes;
	wire->in_frame = wire->left_bytes > 0;
	wire->continued = true;
	tell_room_locked(wire);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
}

void wsf_wire_sent(struct wsf_wire *wire, bool choked)
{
	wsf_lock(&wire->lock, WSF_RANK_WIRE);
	if (!choked)
		wire->choked_bytes = 0;
	tell_room_locked(wire);
	wsf_unlock(&wire->lock, WSF_RANK_WIRE);
}
