/* SPDX-License-Identifier: 0BSD */
/*
 * Reading and writing by two threads. A pair has two halves, and a thread waits in each. A stream that stands for both
 * is non-blocking, as whoever waits in it keeps the other one out, and threads take turns: there is one in a process.
 */
#include "wspipe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Called with the turn, waits without. */
static bool wait_for(FILE *stream, short events)
{
	struct pollfd ready = { .fd = ws_pollfd(stream, events), .events = POLLIN };
	bool good;

	pthread_mutex_unlock(&turn);
	good = ready.fd >= 0 && (poll(&ready, 1, -1) >= 0 || errno == EINTR);
	pthread_mutex_lock(&turn);
	return good;
}

static ssize_t receive_in_turn(FILE *stream, char *block)
{
	ssize_t size;

	pthread_mutex_lock(&turn);
	while ((size = ws_read_some(stream, block, WSPIPE_BLOCK)) < 0 && errno == EAGAIN) {
		clearerr(stream);
		if (!wait_for(stream, POLLIN))
			break;
	}
	pthread_mutex_unlock(&turn);
	return size;
}

static bool send_in_turn(FILE *stream, const char *data, size_t size)
{
	bool good = true;

	pthread_mutex_lock(&turn);
	while (good && size > 0) {
		ssize_t n = ws_write_some(stream, data, size);
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		} else {
			good = errno == EAGAIN && wait_for(stream, POLLOUT);
		}
	}
	pthread_mutex_unlock(&turn);
	return good;
}

ssize_t wspipe_receive(FILE *half[2], char *block)
{
	return half[0] == half[1] ? receive_in_turn(half[0], block) : ws_read_some(half[0], block, WSPIPE_BLOCK);
}

bool wspipe_send(FILE *half[2], const char *data, size_t size)
{
	return half[0] == half[1] ? send_in_turn(half[1], data, size) : fwrite(data, 1, size, half[1]) == size;
}

bool wspipe_flush(FILE *half[2])
{
	return half[0] == half[1] || fflush(half[1]) == 0;
}

bool wspipe_shutdown(FILE *half[2], unsigned code, const char *reason)
{
	bool shared = half[0] == half[1], good;

	if (shared)
		pthread_mutex_lock(&turn);
	/* EPIPE with nothing left to write: a Close was sent before. */
	good = ws_shutdown(half[1], code, reason) == 0 || (errno == EPIPE && !ferror(half[1]));
	if (shared)
		pthread_mutex_unlock(&turn);
	return good;
}
