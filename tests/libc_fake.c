/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libc_fake.h"
#include "wait.h"

struct wsf_stream *fake_create(struct fake_record *record, const char *input, size_t input_bytes)
{
	struct wsf_stream *stream = calloc(1, sizeof *stream);

	if (stream == NULL)
		return NULL;
	stream->references = 1;
	stream->record = record;
	stream->input = input;
	stream->input_bytes = input_bytes;
	return stream;
}

struct wsf_stream *wsf_stream_ref(struct wsf_stream *stream)
{
	stream->references++;
	return stream;
}

void wsf_stream_unref(struct wsf_stream *stream)
{
	if (--stream->references == 0)
		free(stream);
}

/* --- reading --- */

static ssize_t read_once(struct wsf_stream *stream, char *buffer, size_t size, bool keep)
{
	struct fake_record *record = stream->record;
	size_t n = stream->input_bytes - stream->taken;
	int error = stream->once;

	if (record->reads < sizeof record->read_sizes / sizeof record->read_sizes[0])
		record->read_sizes[record->reads] = size;
	record->reads++;
	if (error != 0 && stream->taken == stream->once_at) {
		stream->once = 0;
		return -error;
	}
	if (error != 0 && stream->taken < stream->once_at && stream->once_at - stream->taken < n)
		n = stream->once_at - stream->taken;
	if (n == 0)
		return -stream->end;
	n = n < size ? n : size;
	n = stream->chunk != 0 && n > stream->chunk ? stream->chunk : n;
	memcpy(buffer, stream->input + stream->taken, n);
	stream->taken += n;
	stream->kept = keep ? n : 0;
	return (ssize_t)n;
}

ssize_t wsf_stream_read(struct wsf_stream *stream, void *buffer, size_t size, enum wsf_read_kind kind)
{
	bool keep = kind == WSF_READ_KEEP || kind == WSF_READ_FILL;
	size_t done = 0;
	ssize_t n;

	if (size == 0)
		return 0;
	do {
		n = read_once(stream, (char *)buffer + done, size - done, keep);
		done += n > 0 ? (size_t)n : 0;
	} while (kind == WSF_READ_ALL && n > 0 && done < size);
	return done > 0 ? (ssize_t)done : n;
}

int wsf_stream_unread(struct wsf_stream *stream, size_t size)
{
	stream->record->unreads++;
	if (size > stream->kept)
		return -ESPIPE;
	stream->taken -= size;
	stream->kept -= size;
	return 0;
}

void wsf_stream_stop_reading(struct wsf_stream *stream)
{
	stream->taken = stream->input_bytes;
}

size_t wsf_stream_readable_bytes(struct wsf_stream *stream)
{
	return stream->input_bytes - stream->taken;
}

/* --- writing --- */

ssize_t wsf_stream_write(struct wsf_stream *stream, const void *buffer, size_t size, int64_t until_ns)
{
	struct fake_record *record = stream->record;

	if (size == 0) {
		record->empty_writes++;
		return 0;
	}
	if (stream->write_failed)
		return -EPIPE;
	if (stream->write_error != 0 && record->output_bytes + size > stream->room) {
		stream->write_failed = true;
		return -stream->write_error;
	}
	if (size > FAKE_OUTPUT_MAX - record->output_bytes)
		return -ENOMEM;
	memcpy(record->output + record->output_bytes, buffer, size);
	record->output_bytes += size;
	record->writes++;
	record->bounded_writes += until_ns != WSF_NO_DEADLINE;
	record->longest_write = size > record->longest_write ? size : record->longest_write;
	return (ssize_t)size;
}

ssize_t wsf_stream_write_some(struct wsf_stream *stream, const void *buffer, size_t size)
{
	return wsf_stream_write(stream, buffer, size, WSF_NO_DEADLINE);
}

size_t wsf_stream_writable_bytes(struct wsf_stream *stream)
{
	return 1000 - stream->record->output_bytes;
}

size_t wsf_stream_unsent_bytes(struct wsf_stream *stream)
{
	(void)stream;
	return 0;
}

/* --- its end --- */

int wsf_stream_shutdown(struct wsf_stream *stream, unsigned code, const char *reason)
{
	(void)code;
	(void)reason;
	stream->record->shutdowns++;
	return 0;
}

int64_t wsf_stream_closing_until_ns(const struct wsf_stream *stream)
{
	(void)stream;
	return wsf_now_ns() + INT64_C(5000000000);
}

int wsf_stream_close(struct wsf_stream *stream, int64_t until_ns)
{
	int error = stream->write_failed ? stream->write_error : stream->close_error;

	(void)until_ns;
	stream->record->closes++;
	wsf_stream_unref(stream);
	return -error;
}

int wsf_stream_conclude(struct wsf_stream *stream, int64_t until_ns)
{
	(void)until_ns;
	return stream->write_failed ? -stream->write_error : 0;
}

bool wsf_stream_takes(struct wsf_stream *stream, size_t size)
{
	(void)stream;
	(void)size;
	return true;
}

bool wsf_stream_is_reading(struct wsf_stream *stream)
{
	(void)stream;
	return false;
}

int64_t wsf_stream_ending_ns(const struct wsf_stream *stream)
{
	(void)stream;
	return INT64_C(5000000000);
}

void wsf_stream_end_later(struct wsf_stream *stream, int64_t until_ns, struct wsf_stream **list)
{
	(void)until_ns;
	(void)list;
	stream->record->endings++;
}

void wsf_stream_end_all(struct wsf_stream *list)
{
	(void)list;
}

void wsf_stream_abandon(struct wsf_stream *stream)
{
	wsf_stream_unref(stream);
}

void wsf_stream_abort(struct wsf_stream *stream)
{
	stream->end = ECONNABORTED;
}

/* --- of no use here, but the layer can call them --- */

bool wsf_stream_observing(const struct wsf_stream *stream)
{
	(void)stream;
	return false;
}

int wsf_stream_drain(struct wsf_stream *stream, int64_t until_ns)
{
	(void)stream;
	(void)until_ns;
	return 0;
}

int wsf_stream_status(struct wsf_stream *stream, struct ws_status *status)
{
	(void)stream;
	(void)status;
	return -EINVAL;
}

const char *wsf_stream_header(struct wsf_stream *stream, const char *name)
{
	(void)stream;
	(void)name;
	return NULL;
}

void wsf_stream_set_nonblocking(struct wsf_stream *stream, bool on)
{
	(void)stream;
	(void)on;
}

void wsf_stream_set_timeouts(struct wsf_stream *stream, int read_ms, int write_ms)
{
	(void)stream;
	(void)read_ms;
	(void)write_ms;
}

int wsf_stream_pollfd(struct wsf_stream *stream, bool writing)
{
	(void)stream;
	(void)writing;
	return -ENOMEM;
}

int wsf_stream_ping(struct wsf_stream *stream, const void *payload, size_t size)
{
	(void)stream;
	(void)payload;
	(void)size;
	return -EPIPE;
}

int wsf_stream_observe(struct wsf_stream *stream, unsigned mask, ws_observer *observer, void *user)
{
	(void)stream;
	(void)mask;
	(void)observer;
	(void)user;
	return -EAGAIN;
}

/* --- the clock: src/wait.c has futexes, too, and their header is the kernel's, not every C library's --- */

int64_t wsf_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t wsf_deadline_ns(int timeout_ms)
{
	return timeout_ms < 0 ? WSF_NO_DEADLINE : wsf_now_ns() + timeout_ms * INT64_C(1000000);
}

/* Only a fork waits here, for threads that are inside the gate. */

int wsf_event_init(struct wsf_event *event)
{
	atomic_init(&event->count, 0);
	return 0;
}

unsigned wsf_event_seen(struct wsf_event *event)
{
	return atomic_load(&event->count);
}

int wsf_event_wait(struct wsf_event *event, unsigned seen, int64_t deadline_ns)
{
	while (atomic_load(&event->count) == seen) {
		if (wsf_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		poll(NULL, 0, 1);
	}
	return 0;
}

void wsf_event_notify(struct wsf_event *event)
{
	atomic_fetch_add(&event->count, 1);
}
