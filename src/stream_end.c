/* SPDX-License-Identifier: 0BSD */
/* What exit(3) asks of a stream that the program did not close. One thread; others may still use the stream. */
#include "stream_private.h"

bool wsf_stream_takes(struct wsf_stream *stream, size_t size)
{
	bool takes;

	wsf_stream_lock_transmit(stream);
	takes = wsf_stream_write_state_locked(stream) != 0 || wsf_stream_room_locked(stream) >= size ||
	    wsf_ring_used(&stream->send_ring) == 0;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return takes;
}

bool wsf_stream_is_reading(struct wsf_stream *stream)
{
	bool reading;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	reading = stream->reading;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	return reading;
}

void wsf_stream_end_later(struct wsf_stream *stream, int64_t until_ns, struct wsf_stream **list)
{
	/* The other half of a pair may have been here. */
	if (stream->end_until_ns != 0)
		return;
	wsf_stream_stop_reading(stream);
	stream->end_until_ns = until_ns;
	stream->end_next = *list;
	*list = wsf_stream_ref(stream);
}

void wsf_stream_end_all(struct wsf_stream *list)
{
	struct wsf_stream *next;

	for (; list != NULL; list = next) {
		next = list->end_next;
		/* This thread may be the one that the connections need to get over. */
		if (!wsf_stream_authorizing() && !wsf_stream_deadlocks(list)) {
			wsf_lock(&list->lock, WSF_RANK_STREAM);
			wsf_stream_wait_gone_locked(list, list->end_until_ns);
			wsf_unlock(&list->lock, WSF_RANK_STREAM);
		}
		wsf_stream_unref(list);
	}
}
