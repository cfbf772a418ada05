/* SPDX-License-Identifier: 0BSD */
/* A stream's end: the closing handshake, its time limits, the verdict; and what is cut. */
#include <errno.h>

#include "stream_private.h"

/* How long the helper waits for a peer when the program set no limit for closing. */
#define BACKGROUND_MS 5000

static int background_ms(const struct wsf_stream *stream)
{
	return stream->values->close_timeout_ms >= 0 ? stream->values->close_timeout_ms : BACKGROUND_MS;
}

void wsf_stream_bound_closing(struct wsf_stream *stream)
{
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (stream->closing_deadline_ns == WSF_NO_DEADLINE)
		stream->closing_deadline_ns = wsf_deadline_ns(background_ms(stream));
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	stream->ops->want_timer(stream->link);
}

void wsf_stream_settle_locked(struct wsf_stream *stream)
{
	bool out, both, failed, finish, end, timer = false;

	wsf_assert_locked(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	out = stream->close_flushed || stream->refusal_out;
	both = stream->close_received && stream->close_flushed;
	failed = stream->error != 0;
	if (failed && stream->refusal_out)
		wsf_event_notify(&stream->state_event);
	if ((both || failed) && stream->closing_deadline_ns == WSF_NO_DEADLINE) {
		stream->closing_deadline_ns = wsf_deadline_ns(background_ms(stream));
		timer = true;
	}
	/*
	 * RFC 6455, section 7.1.1: the server ends TCP first. Who fails a connection does not wait for the other. And
	 * TLS wants a last word of its own.
	 */
	finish = out && !stream->finished &&
	    (failed || (both && stream->role == WSF_SERVER) || stream->fin_received);
	end = out && stream->fin_received;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (finish) {
		stream->finished = true;
		stream->ops->finish(stream->link);
	}
	if (end)
		stream->ops->end(stream->link);
	else if (timer)
		stream->ops->want_timer(stream->link);
}

/* When linger_ms ends, WSF_NO_DEADLINE where it does not run. */
static int64_t linger_end_locked(const struct wsf_stream *stream)
{
	int linger_ms = stream->values->linger_ms;

	if (!stream->taken || !stream->close_received || stream->close_code_sent != 0)
		return WSF_NO_DEADLINE;
	if (!stream->program_writes)
		return 0;
	return linger_ms < 0 ? WSF_NO_DEADLINE : stream->linger_from_ns + linger_ms * INT64_C(1000000);
}

/*
 * linger_ms is over: our answer to the peer's Close. The program may have been about to say more, or is held up in a
 * write: the peer must not take what it has for the whole.
 */
static void answer_close(struct wsf_stream *stream)
{
	wsf_stream_lock_transmit(stream);
	if (stream->writer_waiting && !stream->writer_drains)
		wsf_stream_write_failed_locked(stream, EPIPE);
	else if (stream->program_writes)
		wsf_stream_put_close_locked(stream, 1011, "linger_ms is over");
	else
		wsf_stream_put_close_locked(stream, 1000, NULL);
	wsf_stream_settle_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

static void sooner(int64_t *next, int64_t deadline)
{
	if (deadline < *next)
		*next = deadline;
}

void wsf_stream_timer(struct wsf_stream *stream)
{
	int64_t now = wsf_now_ns(), next;
	bool answer, taken_back, end = false;
	enum wsf_alive alive;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	if (!stream->opened && now >= stream->handshake_deadline_ns) {
		wsf_stream_fail_locked(stream, ETIMEDOUT, "the handshake took too long", 0);
		end = true;
	}
	end |= now >= stream->closing_deadline_ns;
	answer = !end && now >= linger_end_locked(stream);
	(void)wsf_stream_look_alive_locked(stream, now, &alive);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (answer)
		answer_close(stream);
	wsf_stream_keep_alive(stream, alive);
	if (end || alive == WSF_ALIVE_DEAD) {
		stream->ops->end(stream->link);
		return;
	}
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	next = stream->closing_deadline_ns;
	if (!stream->opened)
		sooner(&next, stream->handshake_deadline_ns);
	sooner(&next, linger_end_locked(stream));
	sooner(&next, stream->look_alive_ns);
	sooner(&next, wsf_stream_take_back_locked(stream, now, &taken_back));
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (taken_back)
		stream->ops->want_read(stream->link);
	stream->ops->set_timer(stream->link, next);
}

void wsf_stream_gone(struct wsf_stream *stream, bool more)
{
	bool opened;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	opened = stream->opened;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	/* Before anybody can learn of the end: whoever waits for it may free the owner's object then. */
	if (!opened && stream->owner.failed != NULL)
		stream->owner.failed(stream->owner.user, stream);
	else if (opened && stream->owner.ended != NULL)
		stream->owner.ended(stream->owner.user, stream);
	/* A Close that is just leaving has left before this: let its sender note that. */
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	atomic_store(&stream->cut, true);
	stream->gone = true;
	more &= opened && !stream->receive_ended && !atomic_load(&stream->aborted);
	stream->receive_owner = more ? WSF_OWNER_READER : WSF_OWNER_HELPER;
	if (stream->receive_owner == WSF_OWNER_HELPER && !stream->close_received)
		wsf_stream_fail_locked(stream, ECONNRESET, "the connection ended without a Close",
		    WS_EVENT_TRANSPORT_ERROR);
	/* What is left to be received may hold more events, but behind the peer's Close nothing counts. */
	if (stream->receive_owner == WSF_OWNER_HELPER || stream->close_received)
		wsf_stream_tell_closed_locked(stream);
	wsf_stream_read_changed_locked(stream);
	wsf_event_notify(&stream->state_event);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_show_writable_locked(stream);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_stream_unref(stream);
}

int wsf_stream_shutdown(struct wsf_stream *stream, unsigned code, const char *reason)
{
	int rv;

	wsf_stream_lock_transmit(stream);
	if ((rv = wsf_stream_write_state_locked(stream)) != 0) {
		;
	} else if (wsf_endpoint_holds_text(&stream->endpoint)) {
		wsf_stream_write_failed_locked(stream, EILSEQ);
		rv = -EILSEQ;
	} else if (stream->write_parted) {
		/* It waits for the socket, and is cut off here: the peer must not take its part for the whole. */
		wsf_stream_write_failed_locked(stream, EPIPE);
		wsf_stream_settle_locked(stream);
		rv = -EPIPE;
	} else {
		wsf_stream_put_close_locked(stream, code, reason);
		wsf_stream_settle_locked(stream);
	}
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv;
}

/*
 * And so all before it. Asked when the peer's Close or its end of TCP has come:
 * where that is an answer to ours, it came with the acknowledgement, and where it is not, the two have crossed.
 */
bool wsf_stream_acknowledged_locked(const struct wsf_stream *stream)
{
	return stream->close_flushed &&
	    (stream->ops->acknowledged == NULL || stream->ops->acknowledged(stream->link, stream->finished));
}

/* What fclose returns: 0 only when the peer surely has everything. See ws_fopen(3). Both locks held. */
static int verdict_locked(const struct wsf_stream *stream)
{
	bool wrote = stream->bytes_sent > 0;
	const char *text;

	if (stream->write_failure != 0 || stream->error != 0)
		return -wsf_stream_error_locked(stream, &text);
	if (!stream->close_received)
		return stream->cut ? -ECONNRESET : -ETIMEDOUT;
	if (!stream->close_flushed)
		return stream->cut || stream->fin_received ? (wrote ? -ECONNRESET : 0) : -ETIMEDOUT;
	/* The peer answered our Close: it has read up to there. */
	if (stream->answered_us)
		return 0;
	/* It closed first: only its orderly end of TCP, behind our Close, says that it has. */
	if (stream->fin_received && !stream->fin_early && !stream->reset)
		return 0;
	return stream->cut || stream->fin_received ? (wrote ? -ECONNRESET : 0) : -ETIMEDOUT;
}

void wsf_stream_wait_gone_locked(struct wsf_stream *stream, int64_t deadline)
{
	unsigned seen;
	int rv = 0;

	while (rv != -ETIMEDOUT && !stream->gone) {
		seen = wsf_event_seen(&stream->state_event);
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		rv = wsf_event_wait(&stream->state_event, seen, deadline);
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	}
}

/* And nobody else reads. */
static void wait_gone(struct wsf_stream *stream, int64_t deadline)
{
	bool pull;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_wait_gone_locked(stream, deadline);
	/* What the peer sent before its end may still hold its Close. */
	pull = stream->gone && stream->receive_owner == WSF_OWNER_READER;
	while (pull && stream->error == 0 && !stream->receive_ended)
		wsf_stream_pull_rest_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
}

bool wsf_stream_deadlocks(struct wsf_stream *stream)
{
	return stream->ops->deadlocks != NULL && stream->ops->deadlocks(stream->link);
}

void wsf_stream_let_go(struct wsf_stream *stream)
{
	if (stream->ops != NULL && stream->ops->let_go != NULL)
		stream->ops->let_go(stream->link);
	else
		wsf_stream_cut(stream);
}

int64_t wsf_stream_ending_ns(const struct wsf_stream *stream)
{
	return background_ms(stream) * INT64_C(1000000);
}

int64_t wsf_stream_closing_until_ns(const struct wsf_stream *stream)
{
	return wsf_deadline_ns(stream->values->close_timeout_ms);
}

int wsf_stream_conclude(struct wsf_stream *stream, int64_t until_ns)
{
	bool deadlock;
	int rv;

	wsf_stream_shutdown(stream, 1000, NULL);
	wsf_stream_stop_reading(stream);
	deadlock = wsf_stream_observing(stream) || wsf_stream_deadlocks(stream);
	if (!deadlock)
		wait_gone(stream, until_ns);
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	rv = deadlock && !stream->gone ? -EDEADLK : verdict_locked(stream);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv;
}

int wsf_stream_close(struct wsf_stream *stream, int64_t until_ns)
{
	void (*leave)(void *) = stream->leave;
	void *argument = stream->leave_argument;
	int rv = wsf_stream_conclude(stream, until_ns);

	wsf_stream_let_go(stream);
	wait_gone(stream, WSF_NO_DEADLINE);
	wsf_stream_end_observers(stream);
	wsf_stream_unref(stream);
	if (leave != NULL)
		leave(argument);
	return rv;
}

void wsf_stream_cut(struct wsf_stream *stream)
{
	if (stream->ops != NULL)
		stream->ops->end(stream->link);
}

void wsf_stream_discard(struct wsf_stream *stream)
{
	wsf_stream_let_go(stream);
	wait_gone(stream, WSF_NO_DEADLINE);
	wsf_stream_end_observers(stream);
	wsf_stream_unref(stream);
}

void wsf_stream_turn_away(struct wsf_stream *stream, unsigned code)
{
	wsf_stream_lock_transmit(stream);
	wsf_stream_put_close_locked(stream, code, NULL);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_stream_let_go(stream);
}
