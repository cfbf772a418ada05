/* SPDX-License-Identifier: 0BSD */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "witness.h"

#define GIVE_UP_S 20

void witness_init(struct witness *witness)
{
	*witness = (struct witness){ .count = 0 };
	ck_assert_int_eq(pthread_mutex_init(&witness->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&witness->more, NULL), 0);
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

static void remember(struct seen *seen, const struct ws_event *event)
{
	seen->type = event->type;
	seen->stream_id = event->stream_id;
	seen->payload_bytes = event->payload_bytes;
	if (event->payload_bytes > 0)
		memcpy(seen->payload, event->payload, event->payload_bytes);
	seen->round_trip_us = event->round_trip_us;
	seen->missed = event->missed;
	seen->code_received = event->close_code_received;
	seen->code_sent = event->close_code_sent;
	seen->clean = event->clean;
	seen->error = event->error;
	copy_text(seen->reason_received, sizeof seen->reason_received, event->close_reason_received);
	copy_text(seen->reason_sent, sizeof seen->reason_sent, event->close_reason_sent);
	copy_text(seen->text, sizeof seen->text, event->text);
}

void witness_tell(const struct ws_event *event, void *user)
{
	struct witness *witness = user;

	pthread_mutex_lock(&witness->lock);
	if (witness->count < WITNESS_MAX)
		remember(&witness->seen[witness->count], event);
	witness->count++;
	pthread_cond_broadcast(&witness->more);
	pthread_mutex_unlock(&witness->lock);
}

static const struct seen *find_locked(struct witness *witness, enum ws_event_type type, unsigned number)
{
	for (unsigned i = 0; i < witness->count && i < WITNESS_MAX; i++)
		if (witness->seen[i].type == type && number-- == 0)
			return &witness->seen[i];
	return NULL;
}

const struct seen *witness_wait(struct witness *witness, enum ws_event_type type, unsigned number)
{
	const struct seen *seen;
	struct timespec until;
	int rv = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GIVE_UP_S;
	pthread_mutex_lock(&witness->lock);
	while ((seen = find_locked(witness, type, number)) == NULL && rv == 0)
		rv = pthread_cond_timedwait(&witness->more, &witness->lock, &until);
	pthread_mutex_unlock(&witness->lock);
	ck_assert_msg(seen != NULL, "event %u number %u did not come", (unsigned)type, number);
	return seen;
}

unsigned witness_count(struct witness *witness, enum ws_event_type type)
{
	unsigned count = 0;

	pthread_mutex_lock(&witness->lock);
	while (find_locked(witness, type, count) != NULL)
		count++;
	pthread_mutex_unlock(&witness->lock);
	return count;
}

const struct seen *witness_end(struct witness *witness)
{
	const struct seen *last;

	(void)witness_wait(witness, WS_EVENT_CLOSED, 0);
	ck_assert_uint_eq(witness_count(witness, WS_EVENT_CLOSED), 1);
	pthread_mutex_lock(&witness->lock);
	ck_assert_uint_le(witness->count, WITNESS_MAX);
	last = &witness->seen[witness->count - 1];
	pthread_mutex_unlock(&witness->lock);
	ck_assert_uint_eq(last->type, WS_EVENT_CLOSED);
	return last;
}
