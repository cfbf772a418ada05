/* SPDX-License-Identifier: 0BSD */
/*
 * Pings of ours, and whether the peer is still there. A program that does not read for long may pause receiving: that
 * is not the peer's silence, and our pings go on, so that the peer does not take it for ours.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream_private.h"

/* That are remembered for their pongs. */
#define SENT_PINGS_MAX 16
#define NS_PER_MS INT64_C(1000000)

struct wsf_sent_ping {
	struct wsf_sent_ping *next;
	int64_t sent_ns;
	size_t size;
	uint8_t payload[];
};

/* --- pings and their pongs --- */

/* Drop this one and all that were sent before it. */
static void drop(struct wsf_sent_ping **at)
{
	struct wsf_sent_ping *ping = *at, *next;

	*at = NULL;
	for (; ping != NULL; ping = next) {
		next = ping->next;
		free(ping);
	}
}

void wsf_stream_free_pings(struct wsf_stream *stream)
{
	drop(&stream->pings);
}

/* Transmit lock held. Returns 0, -EAGAIN, -EPIPE, -ECONNABORTED, -ENOMEM. */
static int send_ping(struct wsf_stream *stream, const void *payload, size_t size)
{
	struct wsf_sent_ping *ping, **at = &stream->pings;
	int rv = wsf_stream_write_state_locked(stream);

	if (rv != 0)
		return rv;
	ping = malloc(sizeof *ping + size);
	if (ping == NULL)
		return -ENOMEM;
	ping->size = size;
	if (size > 0)
		memcpy(ping->payload, payload, size);
	ping->sent_ns = wsf_now_ns();
	if ((rv = wsf_stream_put_ping_locked(stream, payload, size)) != 0) {
		free(ping);
		return rv;
	}
	ping->next = stream->pings;
	stream->pings = ping;
	for (int i = 0; i < SENT_PINGS_MAX && *at != NULL; i++)
		at = &(*at)->next;
	drop(at);
	return 0;
}

int wsf_stream_ping(struct wsf_stream *stream, const void *payload, size_t size)
{
	int rv;

	wsf_stream_lock_transmit(stream);
	rv = send_ping(stream, payload, size);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return rv;
}

/* RFC 6455, section 5.5.3: a pong answers the last ping, and the earlier ones with it. */
int64_t wsf_stream_pong_arrived(struct wsf_stream *stream, const void *payload, size_t size)
{
	struct wsf_sent_ping **at;
	int64_t round_trip_us = -1;

	wsf_stream_lock_transmit(stream);
	for (at = &stream->pings; *at != NULL; at = &(*at)->next)
		if ((*at)->size == size && memcmp((*at)->payload, payload, size) == 0)
			break;
	if (*at != NULL) {
		round_trip_us = (wsf_now_ns() - (*at)->sent_ns) / 1000;
		/* 0 would say that there was none. */
		if (round_trip_us < 1)
			round_trip_us = 1;
		stream->round_trip_us = (uint64_t)round_trip_us;
		drop(at);
	}
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	return round_trip_us;
}

/* --- keepalive --- */

static int64_t interval_ns(const struct wsf_stream *stream)
{
	return stream->values->ping_interval_ms * NS_PER_MS;
}

void wsf_stream_heard_locked(struct wsf_stream *stream)
{
	if (stream->values->ping_interval_ms > 0)
		stream->heard_ns = wsf_coarse_ns();
}

void wsf_stream_start_alive_locked(struct wsf_stream *stream)
{
	stream->look_alive_ns = WSF_NO_DEADLINE;
	if (stream->values->ping_interval_ms <= 0)
		return;
	stream->heard_ns = stream->pinged_ns = wsf_coarse_ns();
	stream->look_alive_ns = wsf_now_ns() + interval_ns(stream);
}

/*
 * Behind either Close there is nothing to be asked: our side may not ping any more, or the peer's has nothing to say.
 * The look moves only when it is due, so that what is received costs no timer. Nobody is dead who was not asked, and
 * a look that comes late asks again: the process was stopped, or the machine busy, and what the peer said may still be
 * in the socket. heard_ns and pinged_ns are of one clock, so that they tell which came last.
 */
int64_t wsf_stream_look_alive_locked(struct wsf_stream *stream, int64_t now, enum wsf_alive *due)
{
	int64_t from, planned = stream->look_alive_ns;
	bool asked, dead;

	*due = WSF_ALIVE;
	if (now < stream->look_alive_ns)
		return stream->look_alive_ns;
	stream->look_alive_ns = WSF_NO_DEADLINE;
	if (stream->gone || stream->error != 0 || stream->close_received || stream->close_code_sent != 0)
		return WSF_NO_DEADLINE;
	/* Or this thread was held up, and has not got round to it. */
	if (stream->paused || (now >= stream->heard_ns + 2 * interval_ns(stream) && stream->ops->arrived(stream->link)))
		stream->heard_ns = now;
	asked = stream->pinged_ns > stream->heard_ns;
	from = stream->paused || asked ? stream->pinged_ns : stream->heard_ns;
	if (now >= from + interval_ns(stream)) {
		dead = asked && now - planned < interval_ns(stream) / 2;
		*due = dead ? WSF_ALIVE_DEAD : WSF_ALIVE_PING;
		if (dead)
			return WSF_NO_DEADLINE;
		stream->pinged_ns = wsf_coarse_ns();
		from = now;
	}
	stream->look_alive_ns = from + interval_ns(stream);
	return stream->look_alive_ns;
}

static void keepalive_ping(struct wsf_stream *stream)
{
	uint8_t payload[8];

	wsf_stream_lock_transmit(stream);
	stream->keepalives++;
	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t)(stream->keepalives >> (56 - 8 * i));
	(void)send_ping(stream, payload, sizeof payload);
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

static void peer_is_silent(struct wsf_stream *stream)
{
	char text[sizeof ((struct wsf_failure *)0)->text];

	snprintf(text, sizeof text, "nothing came from the peer for %lld ms, two ping intervals",
	    2LL * stream->values->ping_interval_ms);
	wsf_stream_lock_transmit(stream);
	wsf_lock(&stream->lock, WSF_RANK_STREAM);
	wsf_stream_fail_locked(stream, ETIMEDOUT, text, WS_EVENT_TRANSPORT_ERROR);
	wsf_unlock(&stream->lock, WSF_RANK_STREAM);
	/* No code that reads as the end of file: who hears it after all must not take what it has for all. */
	wsf_stream_put_close_locked(stream, 1011, "no answer to pings");
	wsf_unlock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
}

void wsf_stream_keep_alive(struct wsf_stream *stream, enum wsf_alive due)
{
	if (due == WSF_ALIVE_PING)
		keepalive_ping(stream);
	else if (due == WSF_ALIVE_DEAD)
		peer_is_silent(stream);
}
