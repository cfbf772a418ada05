/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stress_io.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- faults, when so many bytes have gone by --- */

static void reset(struct work *work)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	note(work->end, OP_CUT, 0, 0, 0);
	if (work->plan.fault == RESET)
		(void)connect(work->under, &none, sizeof none);
	else
		(void)shutdown(work->under, SHUT_RDWR);
	close(work->under);
	work->under = -1;
}

/* Whether this side goes on. */
static bool fault_due(struct work *work)
{
	enum fault fault = work->plan.fault;

	if (atomic_load(&work->stopping))
		return false;
	/* The writing thread of a pair leaves it to the reading one. */
	if (work->plan.shape == DUPLEX ? work->end->got < work->plan.fault_at :
	    work->end->wrote + work->end->got < work->plan.fault_at)
		return true;
	if (fault == (work->side == CLIENT ? ABORT_CLIENT : ABORT_SERVER) && !work->end->aborted) {
		work->end->aborted = true;
		live_abort(work->live);
	}
	if ((fault == RESET || fault == CUT) && work->under >= 0)
		reset(work);
	if (fault == (work->side == CLIENT ? QUIT_CLIENT : QUIT_SERVER)) {
		atomic_store(&work->stopping, true);
		if (work->end->reading == READING)
			work->end->reading = READ_QUIT;
		return false;
	}
	return true;
}

/* For who sends: not to look at what the reading thread does. */
static bool goes_on(struct work *work)
{
	return work->plan.shape == DUPLEX ? !atomic_load(&work->stopping) : fault_due(work);
}

/* --- sending --- */

static bool write_failed(struct work *work, int error)
{
	work->end->write_error = error;
	return false;
}

static void wait_for(struct work *work, FILE *file, short events)
{
	struct pollfd pollfd = { .fd = ws_pollfd(file, events), .events = POLLIN };

	/* Where there is none, as of a pair: look again. */
	note(work->end, OP_POLL, (uint64_t)events, pollfd.fd, 0);
	(void)poll(&pollfd, pollfd.fd >= 0, 100);
}

static void wait_for_either(struct work *work)
{
	struct pollfd pollfd[2] = {
		{ .fd = ws_pollfd(work->in, POLLIN), .events = POLLIN },
		{ .fd = ws_pollfd(work->out, POLLOUT), .events = POLLIN },
	};

	clearerr(work->in);
	if (pollfd[0].fd < 0 || pollfd[1].fd < 0)
		violation(work->record, work->session, "ws_pollfd: %s", strerror(errno));
	note(work->end, OP_POLL, POLLIN | POLLOUT, poll(pollfd, 2, 100), 0);
}

static ssize_t write_some(struct work *work, const char *data, size_t size)
{
	ssize_t n;
	int error;

	hold(work->out);
	n = ws_write_some(work->out, data, size);
	error = n < 0 ? errno : 0;
	let_go(work->out);
	note(work->end, OP_WRITE_SOME, size, n, error);
	if (n >= 0)
		return n;
	errno = error;
	if (error != EAGAIN && error != EINTR)
		return -1;
	wait_for(work, work->out, POLLOUT);
	return 0;
}

static ssize_t write_chunk_held(struct work *work, const char *data, size_t size)
{
	int error;
	size_t n;

	switch (draw(&work->random_out, work->plan.text ? 3 : 2)) {
	case 0:
		return write_some(work, data, size);
	case 1:
		errno = 0;
		n = fwrite(data, 1, size, work->out);
		error = errno;
		note(work->end, OP_WRITE, size, (int64_t)n, n < size ? error : 0);
		break;
	default:
		errno = 0;
		n = fprintf(work->out, "%.*s", (int)size, data) == (int)size ? size : 0;
		error = errno;
		note(work->end, OP_PRINT, size, (int64_t)n, n < size ? error : 0);
		break;
	}
	errno = error != 0 ? error : EIO;
	return n == size ? (ssize_t)n : -1;
}

static ssize_t write_chunk(struct work *work, const char *data, size_t size)
{
	ssize_t n;
	int error;

	hold(work->out);
	n = write_chunk_held(work, data, size);
	error = errno;
	let_go(work->out);
	errno = error;
	return n;
}

bool flush(struct work *work)
{
	int rv, error;

	hold(work->out);
	if (draw(&work->random_out, 4) == 0) {
		do
			rv = ws_drain(work->out, 50);
		while (rv != 0 && errno == ETIMEDOUT && work->plan.fault != SLOW_READER && !ferror(work->out));
		error = rv != 0 ? errno : 0;
		note(work->end, OP_DRAIN, 0, rv, error);
		/* That the kernel does not have all of it yet is no failure. */
		if (error == ETIMEDOUT && !ferror(work->out))
			error = 0;
	} else {
		rv = fflush(work->out);
		error = rv != 0 ? errno : 0;
		note(work->end, OP_FLUSH, 0, rv, error);
	}
	let_go(work->out);
	if (error != 0)
		return write_failed(work, error);
	work->end->flushed = work->end->wrote;
	return true;
}

bool give(struct work *work, uint64_t bytes)
{
	static _Thread_local char data[CHUNK];
	struct end *end = work->end;
	ssize_t n;

	while (bytes > 0) {
		uint64_t limit = draw(&work->random_out, 4) == 0 ? CHUNK : 600;
		size_t size = (size_t)least(bytes, 1 + draw(&work->random_out, limit));

		if (!goes_on(work))
			return false;
		fill(work->session, work->side, work->plan.text, end->wrote, data, size);
		if ((n = write_chunk(work, data, size)) < 0)
			return write_failed(work, errno);
		end->wrote += (uint64_t)n;
		bytes -= (uint64_t)n;
		if (draw(&work->random_out, 8) == 0 && !flush(work))
			return false;
	}
	return goes_on(work);
}

/* --- receiving --- */

void check(struct work *work, const void *data, size_t size)
{
	static _Thread_local char expected[CHUNK];
	enum side from = (enum side)(1 - work->side);

	if (size > sizeof expected || work->end->got + size > work->plan.bytes[from])
		violation(work->record, work->session, "%zu bytes come behind the %llu there are", size,
		    (unsigned long long)work->end->got);
	fill(work->session, from, work->plan.text, work->end->got, expected, size);
	for (size_t i = 0; i < size; i++)
		if (expected[i] != ((const char *)data)[i])
			violation(work->record, work->session, "byte %llu is wrong, from the %s",
			    (unsigned long long)(work->end->got + i), from == CLIENT ? "client" : "server");
	work->end->got += size;
}

static size_t read_chunk_held(struct work *work, char *data, size_t size, int *error)
{
	bool lines = work->plan.text && !work->plan.short_reads[work->side] && work->plan.shape != POLLED;
	ssize_t n;

	errno = 0;
	switch (draw(&work->random, lines ? 3 : 2)) {
	case 0:
		n = ws_read_some(work->in, data, size);
		*error = n < 0 ? errno : 0;
		note(work->end, OP_READ_SOME, size, n, *error);
		return n < 0 ? 0 : (size_t)n;
	case 1:
		n = (ssize_t)fread(data, 1, size, work->in);
		*error = ferror(work->in) ? errno : 0;
		note(work->end, OP_READ, size, n, *error);
		return (size_t)n;
	default:
		n = fgets(data, (int)size + 1, work->in) != NULL ? (ssize_t)strlen(data) : 0;
		*error = ferror(work->in) ? errno : 0;
		note(work->end, OP_GETS, size, n, *error);
		return (size_t)n;
	}
}

static size_t read_chunk(struct work *work, char *data, size_t size, int *error)
{
	size_t n;

	hold(work->in);
	n = read_chunk_held(work, data, size, error);
	let_go(work->in);
	return n;
}

static bool is_over(FILE *file)
{
	struct ws_status status = WS_STATUS_INIT;

	return ws_status(file, &status) != 0 || status.error != 0;
}

static bool read_ends(struct work *work, int error)
{
	struct end *end = work->end;

	if (error == EAGAIN || error == EINTR || (error == ETIMEDOUT && !is_over(work->in))) {
		clearerr(work->in);
		if (error == EAGAIN)
			wait_for(work, work->in, POLLIN);
		return false;
	}
	end->reading = error != 0 ? READ_ERROR : READ_EOF;
	end->read_error = error;
	return true;
}

bool take(struct work *work, uint64_t bytes)
{
	static _Thread_local char data[CHUNK + 1];
	int error;
	size_t n;

	while (bytes > 0) {
		uint64_t limit = draw(&work->random, 4) == 0 ? CHUNK : 600;
		size_t size = (size_t)least(bytes, 1 + draw(&work->random, limit));

		if (!fault_due(work))
			return false;
		if (work->plan.fault == SLOW_READER)
			usleep(2000);
		n = read_chunk(work, data, size, &error);
		check(work, data, n);
		bytes -= n;
		if ((error != 0 || n == 0) && read_ends(work, error))
			return false;
	}
	return fault_due(work);
}

/* --- both at once --- */

static void shut(struct work *work)
{
	int rv, error;

	work->end->said_bye = true;
	hold(work->out);
	rv = ws_shutdown(work->out, 1000, "done");
	error = rv != 0 ? errno : 0;
	let_go(work->out);
	note(work->end, OP_SHUTDOWN, 1000, rv, error);
	if (rv != 0 && work->end->write_error == 0)
		work->end->write_error = error;
}

void give_and_take(struct work *work)
{
	struct end *end = work->end;
	uint64_t total = work->plan.bytes[work->side];
	static _Thread_local char data[CHUNK];
	bool sending = true;

	while (end->reading == READING || sending) {
		size_t size = (size_t)least(total - end->wrote, 1 + draw(&work->random_out, CHUNK));
		ssize_t n = 0;
		int error;

		if (!fault_due(work))
			return;
		if (sending && size > 0) {
			fill(work->session, work->side, work->plan.text, end->wrote, data, size);
			hold(work->out);
			n = ws_write_some(work->out, data, size);
			error = n < 0 ? errno : 0;
			let_go(work->out);
			note(end, OP_WRITE_SOME, size, n, error);
			end->wrote += n > 0 ? (uint64_t)n : 0;
			end->flushed = end->wrote;
			if (error != 0 && error != EAGAIN && error != EINTR)
				sending = write_failed(work, error);
		} else if (sending) {
			sending = false;
			shut(work);
		}
		if (end->reading != READING)
			continue;
		hold(work->in);
		n = ws_read_some(work->in, data, sizeof data);
		error = n < 0 ? errno : 0;
		let_go(work->in);
		note(end, OP_READ_SOME, sizeof data, n, error);
		if (n > 0)
			check(work, data, (size_t)n);
		else if (error == EAGAIN && sending)
			wait_for_either(work);
		else
			(void)read_ends(work, error);
	}
}

void give_and_take_fd(struct work *work)
{
	struct end *end = work->end;
	uint64_t total = work->plan.bytes[CLIENT];
	static _Thread_local char data[CHUNK];
	bool sending = true;

	while (end->reading == READING || sending) {
		struct pollfd pollfd = { .fd = work->fd, .events =
		    (short)((sending ? POLLOUT : 0) | (end->reading == READING ? POLLIN : 0)) };
		size_t size = (size_t)least(total - end->wrote, 1 + draw(&work->random_out, CHUNK));
		ssize_t n;

		if (!fault_due(work))
			return;
		(void)poll(&pollfd, 1, 1000);
		note(end, OP_POLL, (uint64_t)pollfd.events, pollfd.revents, 0);
		if (sending && size > 0 && (pollfd.revents & (POLLOUT | POLLERR | POLLHUP)) != 0) {
			fill(work->session, CLIENT, work->plan.text, end->wrote, data, size);
			n = send(work->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
			note(end, OP_WRITE, size, n, n < 0 ? errno : 0);
			end->wrote += n > 0 ? (uint64_t)n : 0;
			if (n < 0 && errno != EAGAIN)
				sending = write_failed(work, errno);
		} else if (sending && size == 0) {
			sending = false;
			end->said_bye = true;
			end->flushed = end->wrote;
			shutdown(work->fd, SHUT_WR);
		}
		if (end->reading != READING) {
			sending = sending && end->reading == READ_EOF;
			continue;
		}
		n = recv(work->fd, data, sizeof data, MSG_DONTWAIT);
		note(end, OP_READ, sizeof data, n, n < 0 ? errno : 0);
		if (n > 0) {
			check(work, data, (size_t)n);
		} else if (n == 0 || errno != EAGAIN) {
			end->reading = n == 0 ? READ_EOF : READ_ERROR;
			end->read_error = n == 0 ? 0 : errno;
		}
	}
}
