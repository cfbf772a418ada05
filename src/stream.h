/* SPDX-License-Identifier: 0BSD */
/*
 * One WebSocket connection as a byte stream: the locks, the rings, waiting, deadlines, backpressure, closing. It knows
 * the endpoint, and the service only as a table of operations; it does not know stdio or libwebsockets. The program's
 * threads call the first part, through the cookie; the service's helper thread calls the second.
 *
 * The order of locks is written, and kept, in lock.h: a stream's transmit lock, then its stream lock. No lock of a
 * stream is held while a callback of the listener (struct wsf_stream_owner) runs, and none at all while the program is
 * called, or while a thread waits, but for what wsf_assert_may_wait names.
 */
#ifndef WSF_STREAM_H
#define WSF_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "endpoint.h"
#include "errmap.h"
#include "options.h"
#include "wsfile.h"

struct wsf_stream;

/*
 * What a stream asks of its transport. "Any thread" calls only leave word for the helper thread. link is the service's
 * own object, freed with the stream.
 */
struct wsf_stream_ops {
	/* Never block. Bytes moved, 0 = end of TCP (receive), or a negative errno, -EAGAIN among them. */
	ssize_t (*send)(void *link, const struct iovec *iov, int count);	/* transmit lock held */
	ssize_t (*receive)(void *link, const struct iovec *iov, int count);	/* the owner of receiving */
	/* The same, but blocks until there is something; also -EINTR, -ETIMEDOUT; -EAGAIN = look again. */
	ssize_t (*receive_wait)(void *link, const struct iovec *iov, int count, int64_t until_ns);
	/* Block, no lock held, until sending may work. 0 (check again), -ETIMEDOUT, -EINTR, -EDEADLK. */
	int (*wait_writable)(void *link, int64_t deadline_ns);
	bool (*at_end)(void *link);		/* whether the next thing to receive is the orderly end */
	bool (*arrived)(void *link);		/* whether anything is there that was not received yet */
	/*
	 * Whether the peer's system has all that was sent, our last word among it; finished = finish was called behind
	 * that. NULL = not known.
	 */
	bool (*acknowledged)(void *link, bool finished);
	/* Have TCP itself find out when the peer is gone: for two intervals nothing answers. NULL = it can't. */
	void (*watch)(void *link, int interval_ms);
	int (*flush)(void *link);		/* whether all that send took is with the kernel: 0, or as send */
	size_t (*unsent)(void *link);		/* bytes that send took and the kernel has not; transmit lock held */
	bool (*stalled)(void *link);		/* whether sending waits for something to be received */
	bool (*pending)(void *link);		/* whether receive may give something that the socket does not show */
	void (*finish)(void *link);		/* no more will be sent (FIN); transmit lock held */
	void (*idle)(void *link);		/* give memory back that is not in use */
	bool (*failure)(void *link, struct wsf_failure *failure);	/* why send or receive failed, if known */
	void (*status)(void *link, struct ws_status *status);	/* fill what it knows */
	void (*want_write)(void *link);		/* any thread: wsf_stream_writable when sending may work */
	void (*want_read)(void *link);		/* any thread: go on reading after WSF_NEXT_PAUSE or a hand-over */
	void (*want_hand_over)(void *link);	/* any thread: call wsf_stream_hand_over soon */
	void (*want_timer)(void *link);		/* any thread: call wsf_stream_timer soon */
	/* Any thread: storage is in use; call wsf_stream_release_idle now and then until it returns false. */
	void (*want_sweep)(void *link);
	void (*end)(void *link);		/* any thread: close the connection, then wsf_stream_gone */
	/*
	 * A program's thread, no lock held: the same, but wsf_stream_gone is called before this returns, or was. NULL =
	 * end is as quick.
	 */
	void (*let_go)(void *link);
	/* Whether this thread is the one that everything is waited for; NULL = it never is. */
	bool (*deadlocks)(void *link);
	void (*set_timer)(void *link, int64_t deadline_ns);	/* helper thread: when to call wsf_stream_timer */
	void (*free)(void *link);
};

/* Who is told about a stream that no program has yet: the listener. Called on the helper thread, no lock held. */
struct wsf_stream_owner {
	/* A request is in order: 101, or the status of a refusal; see wsf_stream_authorize. NULL = that alone. */
	int (*admit)(void *user, struct wsf_stream *stream, struct wsf_admission *admission);
	void (*opened)(void *user, struct wsf_stream *stream);	/* the handshake is done */
	void (*failed)(void *user, struct wsf_stream *stream);	/* gone before it was */
	void (*ended)(void *user, struct wsf_stream *stream);	/* gone, after it was opened; may be NULL */
	void *user;
};

/* --- life --- */

struct wsf_stream_setup {
	enum wsf_role role;
	struct wsf_options *options;	/* one more reference is taken */
	const char *host, *target;	/* client; copied */
	const char *authorization;	/* client: NULL = none; only used by the call */
	bool bare;			/* client: without the headers that the program added */
	int64_t handshake_deadline_ns;
	const char *path;		/* server: the only one served, NULL = every one; copied */
	struct wsf_stream_owner owner;	/* server */
	int fd;				/* only to ask for addresses */
	const char *local_path;		/* of a local socket, NULL = none; for the addresses */
	const void *initial;		/* received already: they come before what the transport gives; copied */
	size_t initial_bytes;
};

/* Returns 0 or -ENOMEM, -EIO. One reference, the caller's. A client's request waits in the send ring. */
int wsf_stream_create(struct wsf_stream **stream, const struct wsf_stream_setup *setup);
struct wsf_stream *wsf_stream_ref(struct wsf_stream *stream);
void wsf_stream_unref(struct wsf_stream *stream);

/* --- the program's threads --- */

/*
 * The program takes the stream: how it will use it, and what to call, in its thread, when it has closed it. Before that
 * a stream reads and never answers a Close.
 */
void wsf_stream_take(struct wsf_stream *stream, const struct wsf_mode *mode, void (*leave)(void *), void *argument);
/*
 * Wait for the handshake's end, or its deadline; a server's for the end of a refusal's way to the kernel. Returns 0 or
 * a negative errno with the failure filled; -EINTR too. A server's owner is nobody then.
 */
int wsf_stream_wait_open(struct wsf_stream *stream, struct wsf_failure *failure);

enum wsf_read_kind {
	WSF_READ_KEEP,			/* into stdio's buffer: can be un-read until the next read */
	WSF_READ_FILL,			/* the same, and whole pages of it may be given back before it is filled */
	WSF_READ_ALL,			/* past it, for an fread: waits for all of size */
	WSF_READ_SOME,			/* past it: what is there */
};

/*
 * At least one byte unless size is 0; 0 = EOF; a negative errno, after the bytes before it. One thread at a time.
 */
ssize_t wsf_stream_read(struct wsf_stream *stream, void *buffer, size_t size, enum wsf_read_kind kind);
/* Put the last size bytes read back. Returns 0 or -ESPIPE. */
int wsf_stream_unread(struct wsf_stream *stream, size_t size);
/*
 * All of size, or a negative errno, after which the write side is finished. One thread at a time. write_timeout_ms
 * bounds each wait without progress, until_ns the whole.
 */
ssize_t wsf_stream_write(struct wsf_stream *stream, const void *buffer, size_t size, int64_t until_ns);
/* Send a Close behind all data. Returns 0, or -EPIPE if one was sent before or the connection is over. */
int wsf_stream_shutdown(struct wsf_stream *stream, unsigned code, const char *reason);
/* The program reads no more: what is there and what comes is discarded. */
void wsf_stream_stop_reading(struct wsf_stream *stream);
/* When a closing that begins now has to be over, as close_timeout_ms says. */
int64_t wsf_stream_closing_until_ns(const struct wsf_stream *stream);
/* The closing handshake, bounded by until_ns. Returns 0 = the peer has everything, or a negative errno. */
int wsf_stream_conclude(struct wsf_stream *stream, int64_t until_ns);
/* The same, and then the connection is over. Takes over the caller's reference. */
int wsf_stream_close(struct wsf_stream *stream, int64_t until_ns);
/* Have the connection closed, without a word; wsf_stream_gone follows. Any thread. */
void wsf_stream_cut(struct wsf_stream *stream);
/* The same, and where the transport can do without its helper, it does; see let_go. No lock held. */
void wsf_stream_let_go(struct wsf_stream *stream);
/* Whether waiting in this thread would be for itself. Any lock may be held. */
bool wsf_stream_deadlocks(struct wsf_stream *stream);
/* Drop a stream that the program never got: cut it, wait until it is over, drop the caller's reference. */
void wsf_stream_discard(struct wsf_stream *stream);

/* --- what stdio alone can't say; any thread unless it says otherwise --- */

/* As wsf_stream_write, but takes what fits: at least one byte, or -EAGAIN, -EINTR, -ETIMEDOUT, and nothing is lost. */
ssize_t wsf_stream_write_some(struct wsf_stream *stream, const void *buffer, size_t size);
/* Reading, and wsf_stream_write_some, say -EAGAIN rather than wait. */
void wsf_stream_set_nonblocking(struct wsf_stream *stream, bool on);
void wsf_stream_set_timeouts(struct wsf_stream *stream, int read_ms, int write_ms);
/* The descriptor of ws_pollfd(3), the stream's; or a negative errno. With reading, no other thread is reading. */
int wsf_stream_pollfd(struct wsf_stream *stream, bool writing);
/* What reading gives without waiting, what writing takes without waiting, what is not with the kernel yet; in bytes. */
size_t wsf_stream_readable_bytes(struct wsf_stream *stream);
size_t wsf_stream_writable_bytes(struct wsf_stream *stream);
size_t wsf_stream_unsent_bytes(struct wsf_stream *stream);
/* Wait until the kernel has everything. Returns 0, -ETIMEDOUT, -EINTR, -EPIPE. */
int wsf_stream_drain(struct wsf_stream *stream, int64_t until_ns);
/* Returns 0, -EAGAIN (no room), -EPIPE, -ENOMEM. At most 125 bytes. */
int wsf_stream_ping(struct wsf_stream *stream, const void *payload, size_t size);
/* Cut the connection; blocked calls and later ones say -ECONNABORTED. */
void wsf_stream_abort(struct wsf_stream *stream);
/* As ws_observe(3): 0, -ENOENT, -ENOMEM, -EAGAIN. */
int wsf_stream_observe(struct wsf_stream *stream, unsigned mask, ws_observer *observer, void *user);
/*
 * fclose from inside one of its observers, where nothing may wait: cut, and everything else is done when that has
 * returned. Takes over the caller's reference.
 */
void wsf_stream_abandon(struct wsf_stream *stream);
/* Whether this is called from inside one of its observers. */
bool wsf_stream_observing(const struct wsf_stream *stream);

/* --- exit(3), the thread that called it --- */

/* Whether a write of size bytes would not have to wait, or waiting is of no use. */
bool wsf_stream_takes(struct wsf_stream *stream, size_t size);
/* Whether another thread is inside wsf_stream_read. */
bool wsf_stream_is_reading(struct wsf_stream *stream);
/* How long an ending may take: close_timeout_ms, or a default where that has no limit. */
int64_t wsf_stream_ending_ns(const struct wsf_stream *stream);
/* A Close was put: put the stream into the list, if it is not in one, to be waited for until then. Nobody reads. */
void wsf_stream_end_later(struct wsf_stream *stream, int64_t until_ns, struct wsf_stream **list);
void wsf_stream_end_all(struct wsf_stream *list);

/* --- status --- */

/* Fill what fits into status->size bytes. Returns 0 or -EINVAL. */
int wsf_stream_status(struct wsf_stream *stream, struct ws_status *status);
/* As ws_header(3): NULL where there is none. Also of an answer that was no 101. */
const char *wsf_stream_header(struct wsf_stream *stream, const char *name);

/* --- the helper thread --- */

enum wsf_next { WSF_NEXT_GO, WSF_NEXT_PAUSE, WSF_NEXT_END };

/* Before anything else: the transport. From now on it holds a reference, until wsf_stream_gone. */
void wsf_stream_attach(struct wsf_stream *stream, const struct wsf_stream_ops *ops, void *link);
/*
 * The socket can be read: take what there is, then say whether to go on, pause, or close the connection. scratch is the
 * helper's own, for bytes that can't be received in place.
 */
enum wsf_next wsf_stream_readable(struct wsf_stream *stream, uint8_t *scratch, size_t scratch_bytes);
/* Whether the helper would find something to read though the socket shows nothing: call wsf_stream_readable again. */
bool wsf_stream_pending(struct wsf_stream *stream);
/* Whether the service is to stop watching the socket for reading: the program's reader does from now on. */
bool wsf_stream_hand_over(struct wsf_stream *stream);
void wsf_stream_writable(struct wsf_stream *stream);
void wsf_stream_timer(struct wsf_stream *stream);
/*
 * The connection is over: nothing can be sent. With more, received bytes may be left that ops->receive gives to whoever
 * reads, to the end of TCP.
 */
void wsf_stream_gone(struct wsf_stream *stream, bool more);
/* Give storage back if the stream was idle since the last call. Returns whether it was not: call again. */
bool wsf_stream_release_idle(struct wsf_stream *stream);
/* What options->authorize says of a request; 101 where there is none. No lock held. Returns as owner.admit. */
int wsf_stream_authorize(struct wsf_stream *stream, struct wsf_admission *admission);
/* Whether an authorize callback called this. Any thread. */
bool wsf_stream_authorizing(void);
/* Send a Close now and let the connection end behind it: a listener that closes, for a stream nobody accepted. */
void wsf_stream_turn_away(struct wsf_stream *stream, unsigned code);

#endif
