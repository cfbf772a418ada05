/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of a stream, shared by stream.c (life) and stream_*.c only. See stream.h for who calls from which thread,
 * and lock.h for the order of locks.
 */
#ifndef WSF_STREAM_PRIVATE_H
#define WSF_STREAM_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "lock.h"
#include "observe.h"
#include "pollfd.h"
#include "ring.h"
#include "stream.h"
#include "wait.h"

/*
 * Legend: [I] immutable after creation (or after take / attach, before other threads see it), [T] transmit lock,
 * [L] stream lock, [R] the owner of receiving, [A] atomic. [TL] written with both locks held, read with either.
 *
 * The owner of receiving: the helper thread, while receive_owner is WSF_OWNER_HELPER or _ASKED; the program's one
 * reading or closing thread, while it is WSF_OWNER_READER. It changes only under the stream lock:
 *   HELPER -> ASKED    the reader, about to wait: it would receive by itself
 *   ASKED -> READER    the helper, between two receives, when it has stopped watching the socket
 *   ASKED -> HELPER    the helper, when the reader has left meanwhile
 *   READER -> HELPER   the helper, when the reader has been elsewhere for a while; the reader, when it will never read
 *                      again (stop_reading), or never block (while it is not inside a read); the helper then watches
 *                      the socket again
 *   any -> READER      the helper, when the connection is over and received bytes are left
 *   any -> HELPER      the helper, when it is over and none are
 */
enum wsf_receive_owner { WSF_OWNER_HELPER, WSF_OWNER_ASKED, WSF_OWNER_READER };

struct wsf_sent_ping;

struct wsf_stream {
	atomic_uint refs;		/* [A] */
	struct wsf_options *options;	/* [I] */
	const struct ws_options *values;	/* [I] options' */
	enum wsf_role role;		/* [I] */
	char *strings[3];		/* [I] host, target, path that the endpoint points to */
	uint64_t id;			/* [I] */
	struct wsf_stream_owner owner;	/* [I] */
	char *local_address, *peer_address;	/* [I] NULL = not known */
	const struct wsf_stream_ops *ops;	/* [I] after attach */
	void *link;			/* [I] after attach */
	void (*leave)(void *);		/* [I] after take */
	void *leave_argument;		/* [I] after take */

	_Atomic(struct wsf_observed *) observed;	/* [A] changed and told with the stream lock; NULL = none */
	atomic_int read_timeout_ms, write_timeout_ms;	/* [A] */
	atomic_bool nonblocking;	/* [A] */
	atomic_bool aborted;		/* [A] by the program; error is set, too */

	struct wsf_endpoint endpoint;	/* its receiving half [R], its sending half [T] */

	pthread_mutex_t transmit_lock;
	atomic_uint transmit_wanted;	/* [A] threads that wait for the transmit lock */
	struct wsf_event transmit_had;	/* one of them has got it */
	bool writer_yields;		/* [T] the writer waits until they all have */
	struct wsf_ring send_ring;	/* [T] */
	uint8_t *pong;			/* [T] payload of one that found no room yet; NULL = none */
	uint8_t pong_bytes;		/* [T] */
	bool close_put;			/* [T] our Close is in the send ring or out */
	bool refused;			/* [T] the handshake's refusal is in the send ring */
	bool refusal_out;		/* [TL] and with the kernel */
	size_t request_bytes;		/* [T] client: of the request, which may hold secrets; 0 = wiped */
	bool writer_waiting;		/* [T] a writer waits for the socket and will send the ring itself */
	bool write_parted;		/* [T] a part of the write under way has gone; it must not pass for the whole */
	bool writer_drains;		/* [T] and has nothing to add: our Close may be put behind the ring */
	int64_t write_until_ns;		/* [T] the limit of the write under way, besides write_timeout_ms */
	bool write_asked;		/* [T] the helper will call wsf_stream_writable */
	bool finished;			/* [T] FIN sent */
	bool sent_since_sweep;		/* [T] */
	int write_failure;		/* [TL] errno of the write that failed */
	unsigned close_code_sent;	/* [TL] */
	char *close_reason_sent;	/* [TL] NULL = none */
	uint64_t bytes_sent, messages_sent;	/* [T] */
	struct wsf_sent_ping *pings;	/* [T] that no pong has answered yet, the newest first */
	uint64_t keepalives;		/* [T] pings of our own so far */
	uint64_t round_trip_us;		/* [T] 0 = not known */
	struct wsf_pollfd writable_fd;	/* [T] */

	pthread_mutex_t lock;
	struct wsf_event receive_event;	/* something to read, or a change that ends a read */
	struct wsf_event state_event;	/* opened, refused, gone */
	struct wsf_ring receive_ring;	/* [L] */
	bool filling, draining;		/* [L] spans of the ring are in use by the receiver, the reader */
	enum wsf_receive_owner receive_owner;	/* [L] */
	bool reading;			/* [L] a reader is inside wsf_stream_read */
	struct iovec unused_buffer;	/* [L] of the reader that waits: see WSF_READ_FILL; .iov_len 0 = none */
	bool watched;			/* [L] the helper's timer looks after an idle reader that owns receiving */
	unsigned pulls, pulls_seen;	/* [L] how often a reader received; as of the helper's last look */
	int64_t look_ns;		/* [L] when the helper looks again */
	uint8_t *held;			/* [R] received: of a deflated message, and no room for it; or the setup's */
	size_t held_start, held_bytes;	/* [R] */
	struct wsf_pollfd readable_fd;	/* [L] while there is one, the helper owns receiving */
	bool paused;			/* [L] the helper does not read until ops->want_read */
	bool discarding;		/* [L] nobody will read */
	bool received_since_sweep;	/* [L] */
	bool taken;			/* [L] a program has it */
	bool program_reads, program_writes;	/* [L] */
	bool opened;			/* [L] */
	bool close_received;		/* [L] */
	atomic_bool may_linger;		/* [A] set with it: writes are answers, and count */
	bool close_flushed;		/* [TL] our Close has left for the kernel */
	bool answered_us;		/* [L] the peer's Close came when its system had ours */
	bool fin_received;		/* [L] */
	bool receive_ended;		/* [L] nothing more can be received */
	bool fin_early;			/* [L] it came before the peer's system had our Close */
	bool reset;			/* [L] TCP ended by an error */
	atomic_bool cut;		/* [A] nothing can be sent any more */
	atomic_bool warm;		/* [A] the helper was asked to look whether storage can be given back */
	bool gone;			/* [L] the transport has let go */
	unsigned close_code_received;	/* [L] */
	char *close_reason_received;	/* [L] NULL = none */
	bool closed_told;		/* [L] the last event */
	int64_t heard_ns;		/* [L] when something was received, or could be again */
	int64_t pinged_ns;		/* [L] when the last keepalive ping was due */
	int64_t look_alive_ns;		/* [L] when the helper looks whether the peer is still there */
	int64_t linger_from_ns;		/* [L] */
	int64_t handshake_deadline_ns;	/* [L] */
	int64_t closing_deadline_ns;	/* [L] the connection is cut then */
	int error;			/* [L] errno of what ended the stream, the first; 0 = nothing yet */
	char *error_text;		/* [L] one line on it; NULL = none */
	int http_status;		/* [L] of the opening handshake; 0 = none yet */
	uint64_t bytes_received, messages_received;	/* [L] the endpoint's, as of the last receive */
	struct wsf_joined *joined;	/* [L] header fields joined for wsf_stream_header */
	struct wsf_stream *end_next;	/* of the thread that exits: its list */
	int64_t end_until_ns;		/* of the thread that exits: when to wait no more; 0 = not in the list */
};

/*
 * Take the transmit lock, as everybody but a writer: one that has many messages to send lets the others in between two
 * of them, helper threads among them, which have all other streams to look after.
 */
static inline void wsf_stream_lock_transmit(struct wsf_stream *stream)
{
	atomic_fetch_add(&stream->transmit_wanted, 1);
	wsf_lock(&stream->transmit_lock, WSF_RANK_TRANSMIT);
	atomic_fetch_sub(&stream->transmit_wanted, 1);
	if (stream->writer_yields)
		wsf_event_notify(&stream->transmit_had);
}

/* --- stream.c --- */

/* Remember the first failure, tell it as that event (0 = as none), and wake who waits. */
void wsf_stream_fail_locked(struct wsf_stream *stream, int error, const char *text, unsigned event);
/* Transmit lock held: after a Close came or went, see whether TCP can be ended. */
void wsf_stream_settle_locked(struct wsf_stream *stream);
/* Both locks held: whether the peer's system has our Close. */
bool wsf_stream_acknowledged_locked(const struct wsf_stream *stream);

/* Transmit lock held, or nobody else left: wipe the request out of the send ring's storage. */
void wsf_stream_forget_request(struct wsf_stream *stream);

/* --- stream_close.c --- */

/* Wait, with the lock let go, until the transport has let go. */
void wsf_stream_wait_gone_locked(struct wsf_stream *stream, int64_t until_ns);
/* The connection has close_timeout_ms from now. */
void wsf_stream_bound_closing(struct wsf_stream *stream);

/* --- stream_alive.c --- */

enum wsf_alive { WSF_ALIVE, WSF_ALIVE_PING, WSF_ALIVE_DEAD };

/* On the helper's timer: what the peer's silence asks for, to be done without the lock. Returns when to look again. */
int64_t wsf_stream_look_alive_locked(struct wsf_stream *stream, int64_t now, enum wsf_alive *due);
void wsf_stream_keep_alive(struct wsf_stream *stream, enum wsf_alive due);
/* When it is open: the first look. */
void wsf_stream_start_alive_locked(struct wsf_stream *stream);
/* Something came, or may come again. */
void wsf_stream_heard_locked(struct wsf_stream *stream);
/* A pong came. Returns the time since its ping in microseconds, -1 = it is no answer. No lock held. */
int64_t wsf_stream_pong_arrived(struct wsf_stream *stream, const void *payload, size_t size);
void wsf_stream_free_pings(struct wsf_stream *stream);

/* --- stream_events.c --- */

/* The stream lock is held: tell observers, if it is open and there are any. */
void wsf_stream_tell_locked(struct wsf_stream *stream, const struct ws_event *event);
/* The last event, if it was not told; both codes, if they are known at all, are known now. */
void wsf_stream_tell_closed_locked(struct wsf_stream *stream);
/* Nobody else uses the stream: wait until observers were told everything, and let go of them. */
void wsf_stream_end_observers(struct wsf_stream *stream);

/* --- stream_steer.c --- */

/* What a read would say has changed: wake who waits for it. */
void wsf_stream_read_changed_locked(struct wsf_stream *stream);
void wsf_stream_set_readable_locked(struct wsf_stream *stream);
void wsf_stream_set_writable_locked(struct wsf_stream *stream);

/* What a read would say may have changed, and nobody waits for that. Nearly no stream has the descriptor. */
static inline void wsf_stream_show_readable_locked(struct wsf_stream *stream)
{
	if (stream->readable_fd.fd >= 0)
		wsf_stream_set_readable_locked(stream);
}

/* Transmit lock held: what a write would say may have changed. */
static inline void wsf_stream_show_writable_locked(struct wsf_stream *stream)
{
	if (stream->writable_fd.fd >= 0)
		wsf_stream_set_writable_locked(stream);
}
/* The reader takes no part in receiving any more, unless it is inside a read. Returns whether ops->want_read is due. */
bool wsf_stream_leave_receiving_locked(struct wsf_stream *stream);

/* --- stream_authorize.c --- */

/* A server's configuration: whom to ask about a request. */
void wsf_stream_configure_admission(struct wsf_stream *stream, struct wsf_endpoint_config *config);

/* --- stream_idle.c --- */

/* Storage is held that is to be given back when the stream is idle. Any lock may be held. */
void wsf_stream_warm(struct wsf_stream *stream);

/* --- stream_status.c --- */

/* What struct ws_status and the last event tell of the end, in words too (NULL = nothing). The stream lock is held. */
bool wsf_stream_clean_locked(const struct wsf_stream *stream);
int wsf_stream_error_locked(const struct wsf_stream *stream, const char **text);
void wsf_stream_free_joined(struct wsf_stream *stream);
/* When it is created: the addresses of both ends. */
void wsf_stream_find_addresses(struct wsf_stream *stream, int fd, const char *local_path);

/* --- stream_send.c; transmit lock held --- */

/* Always left free by data, so that a ping, a pong and a Close fit behind it; and by a ping. */
#define WSF_CONTROL_ROOM (3 * WSF_CONTROL_FRAME_MAX)

/* Storage for size more bytes in the send ring. Returns 0 or -ENOMEM. */
int wsf_stream_reserve_locked(struct wsf_stream *stream, size_t size);
/* Copy into the ring, masked if key is given; there is room. offset counts the payload before. */
void wsf_stream_put_locked(struct wsf_stream *stream, const void *data, size_t size, const uint8_t *key,
    uint64_t offset);
/* Whether data of size bytes, its frame's header included, may go into the ring. */
bool wsf_stream_has_room_locked(const struct wsf_stream *stream, size_t size);
/* Nothing can be sent any more. The receiving side finds the end by itself, behind all bytes that came. */
void wsf_stream_send_failed_locked(struct wsf_stream *stream);

/* Put a Close behind all data, if none was, and send what the socket takes. */
void wsf_stream_put_close_locked(struct wsf_stream *stream, unsigned code, const char *reason);
void wsf_stream_put_pong_locked(struct wsf_stream *stream, const void *payload, size_t size);
/* Bytes of the opening handshake. Returns 0 or -ENOMEM. */
int wsf_stream_put_raw_locked(struct wsf_stream *stream, const void *data, size_t size);
/* Send what the socket takes, and have the helper send the rest. */
void wsf_stream_push_locked(struct wsf_stream *stream);
void wsf_stream_init_send(struct wsf_stream *stream);
/* A write came to nothing: the write side is finished, the Close says 1011. */
void wsf_stream_write_failed_locked(struct wsf_stream *stream, int error);
/* Why nothing more may be written: 0, -EPIPE, -ECONNABORTED. */
int wsf_stream_write_state_locked(const struct wsf_stream *stream);
/* Send what waits: 0 = the kernel has everything, -EAGAIN, -EPIPE. */
int wsf_stream_flush_locked(struct wsf_stream *stream);
/* Have the helper send what waits, when the socket takes more. */
void wsf_stream_ask_helper_locked(struct wsf_stream *stream);
/* Wait, with the lock let go, until sending may work: 0, -ETIMEDOUT, -EINTR. */
int wsf_stream_wait_writable_locked(struct wsf_stream *stream, int64_t until_ns);
/* A ping behind all data. Returns 0, -EAGAIN (no room), -ENOMEM. */
int wsf_stream_put_ping_locked(struct wsf_stream *stream, const void *payload, size_t size);
/* How many bytes can be written as messages without waiting for room; 0 = too few to be worth it. */
size_t wsf_stream_room_locked(const struct wsf_stream *stream);

/* --- stream_found.c --- */

/* Act on what the endpoint found. No lock held. */
void wsf_stream_act(struct wsf_stream *stream, struct wsf_events *events);

/* --- stream_receive.c --- */

/* So much is copied or decoded with the stream lock held: faster than to let it go and take it again. */
#define WSF_QUICK_BYTES 4096
/* From so much payload to come, it is received in place, with only a little behind it for the next header. */
#define WSF_IN_PLACE_MIN 8192

/*
 * Where received bytes go: payload into the sink, straight where it is certain to be payload, and through scratch
 * otherwise. With direct, the sink starts in the reader's own memory and goes on in the ring, which is empty then.
 */
struct wsf_receive {
	struct iovec direct;		/* .iov_len 0 = not direct */
	uint8_t *scratch;
	size_t scratch_bytes;
	bool wait;			/* until there is something, or */
	int64_t until_ns;
	struct wsf_sink sink;
	struct iovec iov[4];
	int count;			/* pieces of iov */
	size_t moved_bytes;
};

/* All but the pieces of iov, which count says nothing of yet: they would be most of the work for a short message. */
static inline void wsf_receive_init(struct wsf_receive *receive, uint8_t *scratch, size_t scratch_bytes)
{
	receive->direct.iov_len = 0;
	receive->scratch = scratch;
	receive->scratch_bytes = scratch_bytes;
	receive->wait = false;
	for (int i = 0; i < 3; i++)
		receive->sink.span[i].iov_len = 0;
	receive->sink.bytes = 0;
	receive->sink.discard = false;
	receive->count = 0;
	receive->moved_bytes = 0;
}

/*
 * The owner of receiving: one receive from the transport into what receive says. Returns 1 = bytes came, 0 = TCP ended
 * or will be closed, -EAGAIN = nothing there, paused, or look again; with wait, -EINTR and -ETIMEDOUT, too. The stream
 * lock is held, and let go meanwhile.
 */
int wsf_stream_receive_locked(struct wsf_stream *stream, struct wsf_receive *receive);
/* TCP ended, in order (error 0) or not. Returns whether the connection is to be closed now. No lock held. */
bool wsf_stream_transport_ended(struct wsf_stream *stream, int error);

/* --- stream_read.c --- */

/* What a reader gets when the ring is empty: 0, a negative errno, 1 = it has to wait. */
int wsf_stream_end_state_locked(const struct wsf_stream *stream);

/* The connection is over: take the next bytes that are left, or see that there are none. */
void wsf_stream_pull_rest_locked(struct wsf_stream *stream);
/* The helper looks at a reader that owns receiving: it takes that back if there is no read until its next look. */
void wsf_stream_watch_reader_locked(struct wsf_stream *stream, int64_t now);
/* On the helper's timer: take receiving back from an idle reader. Returns when to look again. */
int64_t wsf_stream_take_back_locked(struct wsf_stream *stream, int64_t now, bool *taken_back);

#endif
