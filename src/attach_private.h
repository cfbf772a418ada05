/* SPDX-License-Identifier: 0BSD */
/*
 * A connection of libwebsockets' ws role as a stream's transport in memory: a wire, on which frames go both ways
 * between the stream and attach_link.c, which calls libwebsockets. The wire itself knows nothing of that. Shared by the
 * attach files only; the program's threads come in through the stream, the rest is the service thread's.
 *
 * The stream at the wire's end is always a server: so nothing has to be masked, and its opening handshake is a request
 * that attach_request.c puts together, whether libwebsockets was asked or has asked.
 */
#ifndef WSF_ATTACH_PRIVATE_H
#define WSF_ATTACH_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "lock.h"
#include "ring.h"
#include "stream.h"
#include "wait.h"

/* So much of a message is given to libwebsockets at once: a longer one becomes fragments. */
#define WSF_PIECE_MAX 65536
/* So much payload libwebsockets gives at once. */
#define WSF_CHUNK_MAX 8192
/* A whole piece, with its frame's header and a pong, a ping and a Close behind it. */
#define WSF_WIRE_OUT_BYTES (2 * WSF_PIECE_MAX)

/* What is to be done on the service thread. */
enum {
	WSF_WIRE_READ = 1,
	WSF_WIRE_WRITE = 2,		/* wsf_stream_writable, when sending may work */
	WSF_WIRE_TIMER = 4,
	WSF_WIRE_SWEEP = 8,
	WSF_WIRE_SEND = 16,		/* something waits for libwebsockets to take it */
	WSF_WIRE_END = 32,
};

/*
 * Legend: [I] immutable once a stream has it, [W] the wire's lock, [C] call lock, [S] the service thread, [A] atomic.
 * The call lock is held while the stream is called as by its helper; wake is called with neither. lock.h has the order.
 */
struct wsf_wire {
	atomic_uint refs;		/* [A] */
	void (*wake)(struct wsf_wire *);	/* [I] any thread: call wsf_wire_serve soon */
	void (*free)(struct wsf_wire *);	/* [I] */
	_Atomic(const void *) server;	/* [A] the thread that served it last; NULL = none does any more */

	pthread_mutex_t call_lock;
	struct wsf_stream *stream;	/* [C] NULL = none yet, or let go */
	int64_t timer_ns;		/* [C] when wsf_stream_timer is due */

	pthread_mutex_t lock;
	struct wsf_event event;		/* room for more, all is sent, over */
	struct wsf_ring in, out;	/* [W] */
	unsigned wanted;		/* [W] WSF_WIRE bits */
	bool cut_short;			/* [W] the last send found too little room */
	size_t choked_bytes;		/* [W] of these, libwebsockets has taken more than the kernel has; 0 = none */
	bool over;			/* [W] nothing can be sent any more, nothing comes any more */
	int error;			/* [W] of the end: errno */
	char text[128];			/* [W] one line on it; "" = nothing to say */
	int fin_fd;			/* [W] the socket, where only its end is waited for; -1 = none */
	int64_t fin_until_ns;		/* [W] */

	struct wsf_frame_decoder decoder;	/* [S] of what the stream sends */
	struct wsf_frame frame;		/* [S] */
	uint64_t left_bytes;		/* [S] of its payload */
	bool in_frame;			/* [S] */
	bool continued;			/* [S] a piece of it was taken */
	uint16_t answer_bytes;		/* [S] of the handshake's answer so far */
	uint8_t answer_end;		/* [S] how much of the empty line behind it has come */
	bool refused;			/* [S] the answer is no 101 */
	bool receiving;			/* [S] inside a message */
};

/* A frame of the stream, or a part of one. */
struct wsf_piece {
	uint8_t opcode;			/* WSF_CONTINUATION for all but the first part */
	bool fin;
	size_t bytes;
};

/* --- attach_ops.c --- */

extern const struct wsf_stream_ops wsf_wire_ops;

/* --- attach_wire.c: for attach_ops.c, any thread; _locked: the wire's lock is held --- */

void wsf_wire_put_locked(struct wsf_ring *ring, const void *data, size_t size);	/* there is room */
void wsf_wire_get_locked(struct wsf_ring *ring, void *out, size_t size);	/* so much is there */
/* Whether the kernel has all that was sent. */
bool wsf_wire_flushed_locked(const struct wsf_wire *wire);
/* Whether what the last send or flush waited for is there. */
bool wsf_wire_may_send_locked(const struct wsf_wire *wire);
void wsf_wire_over_locked(struct wsf_wire *wire);
/* Whether this thread is serving the wire just now. */
bool wsf_wire_is_served(const struct wsf_wire *wire);
/* Tells threads apart. */
const void *wsf_wire_this_thread(void);

/* --- attach_wire.c; the service thread unless it says otherwise --- */

/* One reference, the caller's. */
void wsf_wire_init(struct wsf_wire *wire, void (*wake)(struct wsf_wire *), void (*free)(struct wsf_wire *));
void wsf_wire_ref(struct wsf_wire *wire);
void wsf_wire_unref(struct wsf_wire *wire);	/* any thread */

/* Give the wire to a stream, with the request that opens it. Returns 0, or -ENOMEM: nothing was done. */
int wsf_wire_attach(struct wsf_wire *wire, struct wsf_stream *stream, const void *request, size_t size);
/* The peer said this. Returns 0, -ENOBUFS or -ENOMEM: it can't go on. */
int wsf_wire_put(struct wsf_wire *wire, uint8_t opcode, bool fin, const void *payload, size_t size);
/* A part of a message: the frame it comes as is put together from what libwebsockets says. */
int wsf_wire_put_chunk(struct wsf_wire *wire, bool text, bool last, const void *payload, size_t size);
/* Whether something waits to be read, as the stream has no room. */
bool wsf_wire_full(struct wsf_wire *wire);

/* Any thread: have something done on the service thread. */
void wsf_wire_want(struct wsf_wire *wire, unsigned bits);
/* Do what is wanted. Returns the bits that are left to libwebsockets: SEND; SWEEP; END: the stream has let go. */
unsigned wsf_wire_serve(struct wsf_wire *wire);
/* Behind SWEEP, after a while: give storage back. Returns whether to call it again. */
bool wsf_wire_sweep(struct wsf_wire *wire);

/* The next piece that the stream sends, if all of it is there; wsf_wire_take copies its payload and goes on. */
bool wsf_wire_next(struct wsf_wire *wire, struct wsf_piece *piece);
void wsf_wire_take(struct wsf_wire *wire, const struct wsf_piece *piece, uint8_t *out);
/* Whether libwebsockets has more than the kernel took. */
void wsf_wire_sent(struct wsf_wire *wire, bool choked);

/*
 * The connection is over. The stream reads what is left; then the end is error, with the text, or where fin_fd is
 * given, which the wire closes, whatever that socket says before so many milliseconds have passed.
 */
void wsf_wire_end(struct wsf_wire *wire, int error, const char *text, int fin_fd, int fin_ms);

#endif
