/* SPDX-License-Identifier: 0BSD */
/* What observers are told, from the moment the stream is open. */
#include <errno.h>

#include "stream_private.h"

void wsf_stream_tell_locked(struct wsf_stream *stream, const struct ws_event *event)
{
	struct wsf_observed *observed = atomic_load(&stream->observed);

	wsf_assert_locked(&stream->lock, WSF_RANK_STREAM);
	if (observed != NULL && stream->opened)
		wsf_observed_tell(observed, event);
}

/* What closes both ends is over, so that nothing changes any more but under the stream lock. */
static void tell_closed_locked(struct wsf_stream *stream, struct wsf_observed *observed)
{
	const char *text;
	int error = wsf_stream_error_locked(stream, &text);
	const struct ws_event event = {
		.type = WS_EVENT_CLOSED,
		.close_code_received = stream->close_code_received,
		.close_code_sent = stream->close_code_sent,
		.close_reason_received = stream->close_reason_received,
		.close_reason_sent = stream->close_reason_sent,
		.clean = wsf_stream_clean_locked(stream),
		.error = error,
		.text = text,
	};

	wsf_observed_tell(observed, &event);
}

void wsf_stream_tell_closed_locked(struct wsf_stream *stream)
{
	struct wsf_observed *observed = atomic_load(&stream->observed);

	wsf_assert_locked(&stream->lock, WSF_RANK_STREAM);
	if (stream->closed_told)
		return;
	stream->closed_told = true;
	if (observed != NULL && stream->opened)
		tell_closed_locked(stream, observed);
}

int wsf_stream_observe(struct wsf_stream *stream, unsigned mask, ws_observer *observer, void *user)
{
	struct wsf_observed *observed = atomic_load(&stream->observed), *made = NULL;
	int rv;

	if (observed == NULL) {
		if (mask == 0)
			return -ENOENT;
		if ((rv = wsf_observed_create(&made, stream->id)) != 0)
			return rv;
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
		/* Another thread may have been faster. */
		observed = atomic_load(&stream->observed);
		if (observed == NULL) {
			observed = made;
			made = NULL;
			atomic_store(&stream->observed, observed);
			if (stream->closed_told)
				tell_closed_locked(stream, observed);
		}
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		(void)wsf_observed_end(made, NULL, NULL);
	}
	return wsf_observed_add(observed, mask, observer, user);
}

bool wsf_stream_observing(const struct wsf_stream *stream)
{
	struct wsf_observed *observed = atomic_load(&((struct wsf_stream *)stream)->observed);

	return observed != NULL && wsf_observed_inside(observed);
}

void wsf_stream_end_observers(struct wsf_stream *stream)
{
	struct wsf_observed *observed;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_tell_closed_locked(stream);
	observed = atomic_exchange(&stream->observed, NULL);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	(void)wsf_observed_end(observed, NULL, NULL);
}

static void abandoned(void *stream)
{
	(void)wsf_stream_close(stream, wsf_now_ns());
}

void wsf_stream_abandon(struct wsf_stream *stream)
{
	struct wsf_observed *observed;

	wsf_stream_abort(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_tell_closed_locked(stream);
	observed = atomic_exchange(&stream->observed, NULL);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (!wsf_observed_end(observed, abandoned, stream))
		abandoned(stream);
}
