/* SPDX-License-Identifier: 0BSD */
/*
 * The inside of a stream, shared by stream.c (life, closing), stream_idle.c, stream_receive.c, stream_read.c,
 * stream_send.c and stream_status.c only. See stream.h for who calls from which thread and for the lock order.
 */
#ifndef WSF_STREAM_PRIVATE_H
#define WSF_STREAM_PRIVATE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

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
 *   READER -> HELPER   the helper, when the reader has been elsewhere for a while; the reader, when it will never read
 *                      again (stop_reading); the helper then watches the socket again
 *   any -> READER      the helper, when the connection is over and received bytes are left
 *   any -> HELPER      the helper, when it is over and none are
 */
enum wsf_receive_owner { WSF_OWNER_HELPER, WSF_OWNER_ASKED, WSF_OWNER_READER };

struct wsf_stream {
	atomic_uint refs;		/* [A] */
	struct wsf_options *options;	/* [I] */
	const struct ws_options *values;	/* [I] options' */
	enum wsf_role role;		/* [I] */
	char *strings[3];		/* [I] host, target, path that the endpoint points to */
	struct wsf_stream_owner owner;	/* [I] */
	char *local_address, *peer_address;	/* [I] NULL = not known */
	const struct wsf_stream_ops *ops;	/* [I] after attach */
	void *link;			/* [I] after attach */
	void (*leave)(void *);		/* [I] after take */
	void *leave_argument;		/* [I] after take */

	struct wsf_endpoint endpoint;	/* its receiving half [R], its sending half [T] */

	pthread_mutex_t transmit_lock;
	struct wsf_ring send_ring;	/* [T] */
	uint8_t *pong;			/* [T] payload of one that found no room yet; NULL = none */
	uint8_t pong_bytes;		/* [T] */
	bool close_put;			/* [T] our Close is in the send ring or out */
	bool refused, refusal_out;	/* [T] the handshake's refusal is in the send ring; is with the kernel */
	size_t request_bytes;		/* [T] client: of the request, which may hold secrets; 0 = wiped */
	bool writer_waiting;		/* [T] a writer waits for the socket and will send the ring itself */
	int64_t write_until_ns;		/* [T] the limit of the write under way, besides write_timeout_ms */
	bool write_asked;		/* [T] the helper will call wsf_stream_writable */
	bool finished;			/* [T] FIN sent */
	bool sent_since_sweep;		/* [T] */
	int write_failure;		/* [TL] errno of the write that failed */
	unsigned close_code_sent;	/* [TL] */
	char *close_reason_sent;	/* [TL] NULL = none */
	uint64_t bytes_sent, messages_sent;	/* [T] */

	pthread_mutex_t lock;
	struct wsf_event receive_event;	/* something to read, or a change that ends a read */
	struct wsf_event state_event;	/* opened, gone */
	struct wsf_ring receive_ring;	/* [L] */
	bool filling, draining;		/* [L] spans of the ring are in use by the receiver, the reader */
	enum wsf_receive_owner receive_owner;	/* [L] */
	bool reading;			/* [L] a reader is inside wsf_stream_read */
	struct iovec unused_buffer;	/* [L] of the reader that waits: see WSF_READ_FILL; .iov_len 0 = none */
	bool watched;			/* [L] the helper's timer looks after an idle reader that owns receiving */
	unsigned pulls, pulls_seen;	/* [L] how often a reader received; as of the helper's last look */
	int64_t look_ns;		/* [L] when the helper looks again */
	uint8_t *held;			/* [R] received bytes of a deflated message that find no room yet */
	size_t held_start, held_bytes;	/* [R] */
	bool paused;			/* [L] the helper does not read until ops->want_read */
	bool discarding;		/* [L] nobody will read */
	bool received_since_sweep;	/* [L] */
	bool taken;			/* [L] a program has it */
	bool program_reads, program_writes;	/* [L] */
	bool opened;			/* [L] */
	bool close_received;		/* [L] */
	bool close_flushed;		/* [TL] our Close has left for the kernel */
	bool answered_us;		/* [L] the peer's Close came after close_flushed */
	bool fin_received;		/* [L] */
	bool receive_ended;		/* [L] nothing more can be received */
	bool fin_early;			/* [L] it came before our Close left: the peer can't have seen that */
	bool reset;			/* [L] TCP ended by an error */
	atomic_bool cut;		/* [A] nothing can be sent any more */
	atomic_bool warm;		/* [A] the helper was asked to look whether storage can be given back */
	bool gone;			/* [L] the transport has let go */
	unsigned close_code_received;	/* [L] */
	char *close_reason_received;	/* [L] NULL = none */
	int64_t linger_from_ns;		/* [L] */
	int64_t handshake_deadline_ns;	/* [L] */
	int64_t closing_deadline_ns;	/* [L] the connection is cut then */
	int error;			/* [L] errno of what ended the stream, the first; 0 = nothing yet */
	char *error_text;		/* [L] one line on it; NULL = none */
	int http_status;		/* [L] of the opening handshake; 0 = none yet */
	uint64_t bytes_received, messages_received;	/* [L] the endpoint's, as of the last receive */
	struct wsf_joined *joined;	/* [L] header fields joined for wsf_stream_header */
};

static inline void wsf_assert_locked(pthread_mutex_t *mutex)
{
#ifndef NDEBUG
	assert(pthread_mutex_trylock(mutex) != 0);
#else
	(void)mutex;
#endif
}

/* --- stream.c --- */

/* Remember the first failure and wake who waits. */
void wsf_stream_fail_locked(struct wsf_stream *stream, int error, const char *text);
/* Transmit lock held: after a Close came or went, see whether TCP can be ended. */
void wsf_stream_settle_locked(struct wsf_stream *stream);

/* Transmit lock held, or nobody else left: wipe the request out of the send ring's storage. */
void wsf_stream_forget_request(struct wsf_stream *stream);

/* --- stream_idle.c --- */

/* Storage is held that is to be given back when the stream is idle. Any lock may be held. */
void wsf_stream_warm(struct wsf_stream *stream);

/* --- stream_status.c --- */

void wsf_stream_free_joined(struct wsf_stream *stream);
/* When it is created: the addresses of both ends. */
void wsf_stream_find_addresses(struct wsf_stream *stream, int fd, const char *local_path);

/* --- stream_send.c; transmit lock held --- */

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

/* The connection is over: take the next bytes that are left, or see that there are none. */
void wsf_stream_pull_rest_locked(struct wsf_stream *stream);
/* The helper looks at a reader that owns receiving: it takes that back if there is no read until its next look. */
void wsf_stream_watch_reader_locked(struct wsf_stream *stream, int64_t now);
/* On the helper's timer: take receiving back from an idle reader. Returns when to look again. */
int64_t wsf_stream_take_back_locked(struct wsf_stream *stream, int64_t now, bool *taken_back);

#endif
