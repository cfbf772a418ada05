/* SPDX-License-Identifier: 0BSD */
/* A stream's life: creation, opening, failing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stream_private.h"
#include "wipe.h"

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
	wsf_stream_configure_admission(stream, &config);
	return wsf_endpoint_init(&stream->endpoint, &config);
}

static int put_request(struct wsf_stream *stream)
{
	char *request;
	size_t size;
	int rv = wsf_endpoint_request(&stream->endpoint, &request, &size);

	if (rv != 0)
		return rv;
	wsf_stream_lock_transmit(stream);
	rv = wsf_stream_put_raw_locked(stream, request, size);
	stream->request_bytes = size;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_wipe_free(request);
	return rv;
}

/* Held, as if there had been no room for them until now. */
static int keep_initial(struct wsf_stream *stream, const struct wsf_stream_setup *setup)
{
	if (setup->initial_bytes == 0)
		return 0;
	if ((stream->held = malloc(setup->initial_bytes)) == NULL)
		return -ENOMEM;
	memcpy(stream->held, setup->initial, setup->initial_bytes);
	stream->held_bytes = setup->initial_bytes;
	return 0;
}

/* All zero before, and not shared yet. */
static void init(struct wsf_stream *stream, const struct wsf_stream_setup *setup)
{
	static atomic_uint_fast64_t ids = 1;

	atomic_init(&stream->refs, 1);
	atomic_init(&stream->cut, false);
	atomic_init(&stream->warm, false);
	stream->readable_fd = stream->writable_fd = (struct wsf_pollfd)WSF_POLLFD_NONE;
	stream->options = wsf_options_ref(setup->options);
	stream->values = wsf_options_get(setup->options);
	atomic_init(&stream->read_timeout_ms, stream->values->read_timeout_ms);
	atomic_init(&stream->write_timeout_ms, stream->values->write_timeout_ms);
	atomic_init(&stream->nonblocking, false);
	atomic_init(&stream->aborted, false);
	atomic_init(&stream->may_linger, false);
	atomic_init(&stream->observed, NULL);
	stream->id = atomic_fetch_add(&ids, 1);
	stream->role = setup->role;
	stream->owner = setup->owner;
	pthread_mutex_init(&stream->transmit_lock, NULL);
	atomic_init(&stream->transmit_wanted, 0);
	wsf_event_init(&stream->transmit_had);
	pthread_mutex_init(&stream->lock, NULL);
	wsf_event_init(&stream->receive_event);
	wsf_event_init(&stream->state_event);
	wsf_stream_init_send(stream);
	wsf_ring_init(&stream->receive_ring, stream->values->recv_buffer_bytes);
	stream->program_reads = stream->program_writes = true;
	stream->handshake_deadline_ns = setup->handshake_deadline_ns;
	stream->closing_deadline_ns = stream->look_alive_ns = WSF_NO_DEADLINE;
	wsf_stream_find_addresses(stream, setup->fd, setup->local_path);
}

/* Observers from the beginning, as the options say. */
static int init_observer(struct wsf_stream *stream)
{
	const struct ws_options *values = stream->values;

	if (values->observer == NULL || values->observer_mask == 0)
		return 0;
	return wsf_stream_observe(stream, values->observer_mask, values->observer, values->observer_user);
}

int wsf_stream_create(struct wsf_stream **out, const struct wsf_stream_setup *setup)
{
	struct wsf_stream *stream = calloc(1, sizeof *stream);
	int rv;

	if (stream == NULL)
		return -ENOMEM;
	init(stream, setup);
	rv = init_endpoint(stream, setup);
	if (rv == 0)
		rv = keep_initial(stream, setup);
	if (rv == 0)
		rv = init_observer(stream);
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
	wsf_stream_end_observers(stream);
	wsf_pollfd_close(&stream->readable_fd);
	wsf_pollfd_close(&stream->writable_fd);
	wsf_stream_free_pings(stream);
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
	wsf_event_destroy(&stream->transmit_had);
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
	wsf_stream_lock_transmit(stream);
	stream->endpoint.text_frames |= mode->text;
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	stream->taken = true;
	stream->program_reads = mode->read;
	stream->program_writes = mode->write;
	stream->linger_from_ns = wsf_now_ns();
	/* A Close may have come before there was anybody to answer it. */
	answer = stream->close_received && stream->ops != NULL;
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	if (!mode->read)
		wsf_stream_stop_reading(stream);
	if (answer)
		stream->ops->want_timer(stream->link);
}

/* Whether it was not opened and never will be; a refusal is with the kernel then. */
static bool is_over_locked(const struct wsf_stream *stream)
{
	return stream->gone || (stream->refusal_out && stream->error != 0);
}

int wsf_stream_wait_open(struct wsf_stream *stream, struct wsf_failure *failure)
{
	struct wsf_observed *none = NULL;
	unsigned seen;
	int rv = 0;

	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	while (!stream->opened && !is_over_locked(stream) && rv == 0) {
		seen = wsf_event_seen(&stream->state_event);
		wsf_unlock(&stream->lock, WSF_RANK_STREAM);
		rv = wsf_event_wait(&stream->state_event, seen, stream->handshake_deadline_ns);
		wsf_lock(&stream->lock, WSF_RANK_STREAM);
	}
	if (stream->opened) {
		rv = 0;
	} else if (is_over_locked(stream) && stream->error != 0) {
		failure->http_status = stream->http_status;
		rv = wsf_fail(failure, stream->error, "%s",
		    stream->error_text != NULL ? stream->error_text : strerror(stream->error));
	} else if (rv == -EINTR) {
		wsf_fail(failure, EINTR, "interrupted by a signal while opening");
	} else {
		rv = wsf_fail(failure, ETIMEDOUT, "the %s within %d ms", stream->role == WSF_CLIENT ?
		    "server did not answer the handshake" : "client did not finish the handshake",
		    stream->values->handshake_timeout_ms);
	}
	/* That it was not opened is what is told, though its handshake may still end well. Nothing was told yet. */
	if (rv != 0)
		none = atomic_exchange(&stream->observed, NULL);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	(void)wsf_observed_end(none, NULL, NULL);
	return rv;
}

/* --- failing --- */

void wsf_stream_fail_locked(struct wsf_stream *stream, int error, const char *text, unsigned event)
{
	struct wsf_failure failure;

	wsf_assert_locked(&stream->lock, WSF_RANK_STREAM);
	if (stream->error == 0) {
		wsf_fail(&failure, error, "%s", text);
		stream->error = error;
		stream->error_text = strdup(failure.text);
		if (event != 0)
			wsf_stream_tell_locked(stream,
			    &(struct ws_event){ .type = event, .error = error, .text = failure.text });
	}
	wsf_stream_read_changed_locked(stream);
}
