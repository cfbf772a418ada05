/* SPDX-License-Identifier: 0BSD */
/* A stream's life: creation, opening, closing, timers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_private.h"
#include "wipe.h"

/* How long the helper waits for a peer when the program set no limit for closing. */
#define BACKGROUND_MS 5000

/* --- life --- */

static int copy_string(char **out, const char *in)
{
	*out = in != NULL ? strdup(in) : NULL;
	return in != NULL && *out == NULL ? -ENOMEM : 0;
}

static int init_endpoint(struct wsf_stream *stream, const struct wsf_stream_setup *setup)
{
	const struct ws_options *values = stream->values;
	size_t half = values->send_buffer_bytes / 2;
	struct wsf_endpoint_config config = {
		.role = setup->role,
		.max_header_bytes = values->max_header_bytes,
		.headers = setup->bare ? NULL : values->headers,
		.authorization = setup->authorization,
		.deflate = {
			.on = values->compression == WS_COMPRESSION_ON,
			.send_window_bits = values->send_window_bits,
			.recv_window_bits = values->recv_window_bits,
			.send_no_context_takeover = values->send_no_context_takeover,
			.recv_no_context_takeover = values->recv_no_context_takeover,
			.level = values->compression_level,
			.max_ratio = values->max_inflate_ratio,
		},
		.subprotocols = values->subprotocols,
		.origin = values->origin,
		.user_agent = values->user_agent,
		.allowed_origins = values->allowed_origins,
		.text_is_data = values->on_text == WS_TEXT_BYTES,
		.text_frames = values->text_frames,
		.max_message_bytes = values->max_message_bytes,
		.max_frame_bytes = values->max_frame_bytes < half ? values->max_frame_bytes : half,
	};

	if (copy_string(&stream->strings[0], setup->host) != 0 ||
	    copy_string(&stream->strings[1], setup->target) != 0 ||
	    copy_string(&stream->strings[2], setup->path) != 0)
		return -ENOMEM;
	config.host = stream->strings[0];
	config.target = stream->strings[1];
	config.path = stream->strings[2];
	if (config.user_agent[0] == '\0')
		config.user_agent = NULL;
	return wsf_endpoint_init(&stream->endpoint, &config);
}

static int put_request(struct wsf_stream *stream)
{
	char *request;
	size_t size;
	int rv = wsf_endpoint_request(&stream->endpoint, &request, &size);

	if (rv != 0)
		return rv;
	pthread_mutex_lock(&stream->transmit_lock);
	rv = wsf_stream_put_raw_locked(stream, request, size);
	stream->request_bytes = size;
	pthread_mutex_unlock(&stream->transmit_lock);
	wsf_wipe_free(request);
	return rv;
}

int wsf_stream_create(struct wsf_stream **out, const struct wsf_stream_setup *setup)
{
	struct wsf_stream *stream = calloc(1, sizeof *stream);
	int rv;

	if (stream == NULL)
		return -ENOMEM;
	atomic_init(&stream->refs, 1);
	atomic_init(&stream->cut, false);
	atomic_init(&stream->warm, false);
	stream->options = wsf_options_ref(setup->options);
	stream->values = wsf_options_get(setup->options);
	stream->role = setup->role;
	stream->owner = setup->owner;
	pthread_mutex_init(&stream->transmit_lock, NULL);
	pthread_mutex_init(&stream->lock, NULL);
	wsf_event_init(&stream->receive_event);
	wsf_event_init(&stream->state_event);
	wsf_stream_init_send(stream);
	wsf_ring_init(&stream->receive_ring, stream->values->recv_buffer_bytes);
	stream->program_reads = stream->program_writes = true;
	stream->handshake_deadline_ns = setup->handshake_deadline_ns;
	stream->closing_deadline_ns = WSF_NO_DEADLINE;
	wsf_stream_find_addresses(stream, setup->fd, setup->local_path);
	rv = init_endpoint(stream, setup);
	if (rv == 0 && setup->role == WSF_CLIENT)
		rv = put_request(stream);
	if (rv != 0) {
		wsf_stream_unref(stream);
		return rv;
	}
	*out = stream;
	return 0;
}

struct wsf_stream *wsf_stream_ref(struct wsf_stream *stream)
{
	atomic_fetch_add(&stream->refs, 1);
	return stream;
}

void wsf_stream_unref(struct wsf_stream *stream)
{
	if (stream == NULL || atomic_fetch_sub(&stream->refs, 1) != 1)
		return;
	if (stream->ops != NULL)
		stream->ops->free(stream->link);
	wsf_stream_free_joined(stream);
	wsf_stream_forget_request(stream);
	free(stream->held);
	free(stream->pong);
	free(stream->close_reason_sent);
	free(stream->close_reason_received);
	free(stream->error_text);
	free(stream->local_address);
	free(stream->peer_address);
	wsf_endpoint_clear(&stream->endpoint);
	wsf_ring_clear(&stream->send_ring);
	wsf_ring_clear(&stream->receive_ring);
	wsf_event_destroy(&stream->receive_event);
	wsf_event_destroy(&stream->state_event);
	pthread_mutex_destroy(&stream->transmit_lock);
	pthread_mutex_destroy(&stream->lock);
	for (size_t i = 0; i < sizeof stream->strings / sizeof stream->strings[0]; i++)
		free(stream->strings[i]);
	wsf_options_unref(stream->options);
	free(stream);
}

void wsf_stream_forget_request(struct wsf_stream *stream)
{
	/* It lies at the beginning of the storage, unless that has been given back already. */
	if (stream->request_bytes > 0 && stream->send_ring.data != NULL)
		wsf_wipe(stream->send_ring.data, stream->request_bytes);
	stream->request_bytes = 0;
}

void wsf_stream_attach(struct wsf_stream *stream, const struct wsf_stream_ops *ops, void *link)
{
	wsf_stream_ref(stream);
	stream->ops = ops;
	stream->link = link;
}

/* --- opening --- */

void wsf_stream_take(struct wsf_stream *stream, const struct wsf_mode *mode, void (*leave)(void *), void *argument)
{
	bool answer;

	stream->leave = leave;
	stream->leave_argument = argument;
	pthread_mutex_lock(&stream->transmit_lock);
	stream->endpoint.text_frames |= mode->text;
	pthread_mutex_unlock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	stream->taken = true;
	stream->program_reads = mode->read;
	stream->program_writes = mode->write;
	stream->linger_from_ns = wsf_now_ns();
	/* A Close may have come before there was anybody to answer it. */
	answer = stream->close_received && stream->ops != NULL;
	pthread_mutex_unlock(&stream->lock);
	if (!mode->read)
		wsf_stream_stop_reading(stream);
	if (answer)
		stream->ops->want_timer(stream->link);
}

int wsf_stream_wait_open(struct wsf_stream *stream, struct wsf_failure *failure)
{
	unsigned seen;
	int rv = 0;

	pthread_mutex_lock(&stream->lock);
	while (!stream->opened && !stream->gone && rv == 0) {
		seen = wsf_event_seen(&stream->state_event);
		pthread_mutex_unlock(&stream->lock);
		rv = wsf_event_wait(&stream->state_event, seen, stream->handshake_deadline_ns);
		pthread_mutex_lock(&stream->lock);
	}
	if (stream->opened) {
		rv = 0;
	} else if (stream->gone && stream->error != 0) {
		failure->http_status = stream->http_status;
		rv = wsf_fail(failure, stream->error, "%s",
		    stream->error_text != NULL ? stream->error_text : strerror(stream->error));
	} else if (rv == -EINTR) {
		wsf_fail(failure, EINTR, "interrupted by a signal while opening");
	} else {
		rv = wsf_fail(failure, ETIMEDOUT, "the server did not answer the handshake within %d ms",
		    stream->values->handshake_timeout_ms);
	}
	pthread_mutex_unlock(&stream->lock);
	return rv;
}

/* --- failing and closing --- */

void wsf_stream_fail_locked(struct wsf_stream *stream, int error, const char *text)
{
	struct wsf_failure failure;

	wsf_assert_locked(&stream->lock);
	if (stream->error == 0) {
		wsf_fail(&failure, error, "%s", text);
		stream->error = error;
		stream->error_text = strdup(failure.text);
	}
	wsf_event_notify(&stream->receive_event);
}

static int background_ms(const struct wsf_stream *stream)
{
	return stream->values->close_timeout_ms >= 0 ? stream->values->close_timeout_ms : BACKGROUND_MS;
}

void wsf_stream_settle_locked(struct wsf_stream *stream)
{
	bool out, both, failed, finish, end, timer = false;

	wsf_assert_locked(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	out = stream->close_flushed || stream->refusal_out;
	both = stream->close_received && stream->close_flushed;
	failed = stream->error != 0;
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
	pthread_mutex_unlock(&stream->lock);
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

void wsf_stream_timer(struct wsf_stream *stream)
{
	int64_t now = wsf_now_ns(), linger_end, next, idle_end;
	bool answer, taken_back, end = false;

	pthread_mutex_lock(&stream->lock);
	if (!stream->opened && now >= stream->handshake_deadline_ns) {
		wsf_stream_fail_locked(stream, ETIMEDOUT, "the handshake took too long");
		end = true;
	}
	end |= now >= stream->closing_deadline_ns;
	linger_end = linger_end_locked(stream);
	answer = !end && now >= linger_end;
	pthread_mutex_unlock(&stream->lock);
	if (answer) {
		pthread_mutex_lock(&stream->transmit_lock);
		/* A write that the peer holds up is cut off here: the peer must not take its part for the whole. */
		if (stream->writer_waiting)
			wsf_stream_write_failed_locked(stream, EPIPE);
		else
			wsf_stream_put_close_locked(stream, 1000, NULL);
		wsf_stream_settle_locked(stream);
		pthread_mutex_unlock(&stream->transmit_lock);
	}
	if (end) {
		stream->ops->end(stream->link);
		return;
	}
	pthread_mutex_lock(&stream->lock);
	next = stream->closing_deadline_ns;
	if (!stream->opened && stream->handshake_deadline_ns < next)
		next = stream->handshake_deadline_ns;
	linger_end = linger_end_locked(stream);
	if (linger_end < next)
		next = linger_end;
	idle_end = wsf_stream_take_back_locked(stream, now, &taken_back);
	if (idle_end < next)
		next = idle_end;
	pthread_mutex_unlock(&stream->lock);
	if (taken_back)
		stream->ops->want_read(stream->link);
	stream->ops->set_timer(stream->link, next);
}

void wsf_stream_gone(struct wsf_stream *stream, bool more)
{
	bool opened;

	pthread_mutex_lock(&stream->lock);
	opened = stream->opened;
	pthread_mutex_unlock(&stream->lock);
	/* Before anybody can learn of the end: whoever waits for it may free the owner's object then. */
	if (!opened && stream->owner.failed != NULL)
		stream->owner.failed(stream->owner.user, stream);
	pthread_mutex_lock(&stream->lock);
	atomic_store(&stream->cut, true);
	stream->gone = true;
	stream->receive_owner = more && opened ? WSF_OWNER_READER : WSF_OWNER_HELPER;
	if (stream->receive_owner == WSF_OWNER_HELPER && !stream->close_received)
		wsf_stream_fail_locked(stream, ECONNRESET, "the connection ended without a Close");
	wsf_event_notify(&stream->receive_event);
	wsf_event_notify(&stream->state_event);
	pthread_mutex_unlock(&stream->lock);
	wsf_stream_unref(stream);
}

int wsf_stream_shutdown(struct wsf_stream *stream, unsigned code, const char *reason)
{
	int rv = 0;

	pthread_mutex_lock(&stream->transmit_lock);
	if (stream->close_put || stream->write_failure != 0 || atomic_load(&stream->cut)) {
		rv = -EPIPE;
	} else if (wsf_endpoint_holds_text(&stream->endpoint)) {
		wsf_stream_write_failed_locked(stream, EILSEQ);
		rv = -EILSEQ;
	} else {
		wsf_stream_put_close_locked(stream, code, reason);
		wsf_stream_settle_locked(stream);
	}
	pthread_mutex_unlock(&stream->transmit_lock);
	return rv;
}

/* What fclose returns: 0 only when the peer surely has everything. See ws_fopen(3). Both locks held. */
static int verdict_locked(const struct wsf_stream *stream)
{
	bool wrote = stream->bytes_sent > 0;

	/* EPIPE says only that something else ended the writing: that comes first. */
	if (stream->write_failure != 0 && (stream->write_failure != EPIPE || stream->error == 0))
		return -stream->write_failure;
	if (stream->error != 0)
		return -stream->error;
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

static void wait_gone(struct wsf_stream *stream, int64_t deadline)
{
	unsigned seen;
	bool pull;
	int rv = 0;

	pthread_mutex_lock(&stream->lock);
	while (rv != -ETIMEDOUT && !stream->gone) {
		seen = wsf_event_seen(&stream->state_event);
		pthread_mutex_unlock(&stream->lock);
		rv = wsf_event_wait(&stream->state_event, seen, deadline);
		pthread_mutex_lock(&stream->lock);
	}
	/* What the peer sent before its end may still hold its Close. */
	pull = stream->gone && stream->receive_owner == WSF_OWNER_READER;
	while (pull && stream->error == 0 && !stream->receive_ended)
		wsf_stream_pull_rest_locked(stream);
	pthread_mutex_unlock(&stream->lock);
}

int64_t wsf_stream_closing_until_ns(const struct wsf_stream *stream)
{
	return wsf_deadline_ns(stream->values->close_timeout_ms);
}

int wsf_stream_close(struct wsf_stream *stream, int64_t until_ns)
{
	void (*leave)(void *) = stream->leave;
	void *argument = stream->leave_argument;
	int rv;

	wsf_stream_shutdown(stream, 1000, NULL);
	wsf_stream_stop_reading(stream);
	wait_gone(stream, until_ns);
	pthread_mutex_lock(&stream->transmit_lock);
	pthread_mutex_lock(&stream->lock);
	rv = verdict_locked(stream);
	pthread_mutex_unlock(&stream->lock);
	pthread_mutex_unlock(&stream->transmit_lock);
	stream->ops->end(stream->link);
	wait_gone(stream, WSF_NO_DEADLINE);
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
	wsf_stream_cut(stream);
	wait_gone(stream, WSF_NO_DEADLINE);
	wsf_stream_unref(stream);
}

void wsf_stream_turn_away(struct wsf_stream *stream, unsigned code)
{
	pthread_mutex_lock(&stream->transmit_lock);
	wsf_stream_put_close_locked(stream, code, NULL);
	pthread_mutex_unlock(&stream->transmit_lock);
	stream->ops->end(stream->link);
}
