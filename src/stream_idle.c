/* SPDX-License-Identifier: 0BSD */
/* What an idle stream gives back. */
#include <sys/mman.h>
#include <unistd.h>

#include "stream_private.h"

void wsf_stream_warm(struct wsf_stream *stream)
{
	/* Before attach there is nobody to tell; the service looks when it adopts. */
	if (stream->ops != NULL && !atomic_load(&stream->warm) && !atomic_exchange(&stream->warm, true))
		stream->ops->want_sweep(stream->link);
}

/* Returns whether something was sent since the last look. */
static bool sweep_send_locked(struct wsf_stream *stream)
{
	if (stream->sent_since_sweep) {
		stream->sent_since_sweep = false;
		return true;
	}
	wsf_endpoint_idle(&stream->endpoint);
	/* Sent long ago, and not yet answered: memory that is given back must not hold it. */
	if (wsf_ring_used(&stream->send_ring) == 0)
		wsf_stream_forget_request(stream);
	(void)wsf_ring_release(&stream->send_ring);
	stream->ops->idle(stream->link);
	return false;
}

/* Whole pages of memory that is ours and holds nothing. */
static void give_pages_back(struct iovec *unused)
{
#ifdef MADV_DONTNEED
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)unused->iov_base + page - 1) & -page;
	uintptr_t end = ((uintptr_t)unused->iov_base + unused->iov_len) & -page;

	if (begin < end)
		madvise((void *)begin, end - begin, MADV_DONTNEED);
#endif
	unused->iov_len = 0;
}

/* Returns whether something was received or read since the last look. */
static bool sweep_receive_locked(struct wsf_stream *stream)
{
	if (stream->received_since_sweep) {
		stream->received_since_sweep = false;
		return true;
	}
	if (stream->unused_buffer.iov_len > 0)
		give_pages_back(&stream->unused_buffer);
	if (stream->filling || stream->draining)
		return false;
	/* Nobody will read what is there. */
	if (stream->discarding)
		wsf_ring_consume(&stream->receive_ring, wsf_ring_used(&stream->receive_ring), 0);
	(void)wsf_ring_release(&stream->receive_ring);
	return false;
}

/* What can't be given back stays until something moves again, and that asks for the next look. */
bool wsf_stream_release_idle(struct wsf_stream *stream)
{
	bool busy;

	/* Whatever is taken from here on asks for the next call. */
	atomic_store(&stream->warm, false);
	wsf_stream_lock_transmit(stream);
	busy = sweep_send_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	busy |= sweep_receive_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (busy)
		atomic_store(&stream->warm, true);
	return busy;
}
