/* SPDX-License-Identifier: 0BSD */
/*
 * One end of a WebSocket connection as a state machine without I/O: bytes in, payload and events out, and frames out on
 * request. It knows no sockets, threads, locks or errnos' texts of the system. The stream calls the receiving half from
 * the thread that owns receiving and the sending half under its transmit lock; the halves share only the configuration.
 */
#ifndef WSF_ENDPOINT_H
#define WSF_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "crypto.h"
#include "deflate.h"
#include "frame.h"
#include "http.h"
#include "utf8.h"

enum wsf_role { WSF_CLIENT, WSF_SERVER };

#define WSF_REASON_MAX 123
#define WSF_CONTROL_FRAME_MAX (2 + 4 + WSF_CONTROL_PAYLOAD_MAX)
#define WSF_NO_CODE 1005
#define WSF_RSV1 4			/* of a frame's rsv: the message is deflated (RFC 7692, section 6) */

/* A request in order: whether it is let in, and what goes into the answer. */
struct wsf_admission {
	const struct wsf_http *http;
	const char *subprotocol;	/* to agree on, NULL = none; may be changed to another that was asked for */
	const char *const *headers;	/* to add, also to a refusal; NULL = none */
	const char *reason;		/* of a refusal; NULL = the status's own */
	void *memory;			/* freed when the answer is made; NULL = none */
};

struct wsf_endpoint_config {
	enum wsf_role role;
	size_t max_header_bytes;
	const char *const *headers;	/* of the request or the 101 */
	const char *const *subprotocols;	/* offered or accepted */
	const char *host, *target, *origin, *user_agent;	/* client */
	const char *authorization;	/* client, NULL = none; a secret, not used behind wsf_endpoint_request */
	struct wsf_deflate_params deflate;	/* wanted */
	const char *path;		/* server: the only one served, NULL = every one */
	const char *const *allowed_origins;	/* server */
	/* server: asked about a request in order; 101, or the status of a refusal. NULL = 101 */
	int (*admit)(void *user, struct wsf_admission *admission);
	void *admit_user;
	bool text_is_data;		/* received text messages are data */
	bool text_frames;		/* sent messages are text */
	uint64_t max_message_bytes;	/* 0 = no limit */
	size_t max_frame_bytes;		/* of a sent frame */
};

/* A ping or pong as it came. */
struct wsf_control {
	bool pong;
	uint8_t size;
	uint8_t payload[WSF_CONTROL_PAYLOAD_MAX];
};

#define WSF_CONTROLS_MAX 8

/* Where received payload goes, or nowhere. */
struct wsf_sink {
	struct iovec span[3];
	size_t bytes;			/* put so far */
	bool discard;
};

/*
 * What one call of wsf_endpoint_receive found, in the order of the fields. answer, opened, ping, control_count, close,
 * fault and http_status start from 0; the others count only where one of these says so.
 */
struct wsf_events {
	char *answer;			/* handshake bytes to send, malloc'd, the caller's */
	size_t answer_bytes;
	bool opened;			/* the handshake is done */
	bool ping;			/* answer it; an earlier one of the same call is overtaken */
	uint8_t ping_bytes;
	uint8_t ping_payload[WSF_CONTROL_PAYLOAD_MAX];
	unsigned control_count;		/* of the pings and pongs, in order; of more the last */
	struct wsf_control controls[WSF_CONTROLS_MAX];
	bool close;			/* the peer's Close; nothing after it counts */
	unsigned close_code;		/* 1005 = none */
	char close_reason[WSF_REASON_MAX + 1];
	int fault;			/* errno of a handshake that failed or of the peer's violation, 0 = none */
	unsigned fault_code;		/* Close to send for it, 0 = none: not open yet */
	int http_status;		/* of a handshake that failed, 0 = none */
	char text[160];			/* one line on the fault; a refusal's names the realm */
};

enum wsf_phase { WSF_PHASE_HANDSHAKE, WSF_PHASE_HEADER, WSF_PHASE_PAYLOAD, WSF_PHASE_CONTROL, WSF_PHASE_DONE };

/* What only the opening handshake needs. */
struct wsf_opening {
	struct wsf_endpoint_config config;
	char accept[WSF_ACCEPT_TEXT_BYTES];	/* client: the answer must have it */
};

struct wsf_endpoint {
	/* from the configuration, [I] */
	enum wsf_role role;
	bool text_is_data;
	bool text_frames;		/* the sending half's */
	uint64_t max_message_bytes;
	size_t max_frame_bytes;

	/* receiving half */
	enum wsf_phase phase;
	struct wsf_opening *opening;	/* NULL once open */
	struct wsf_http http;		/* the peer's header block; immutable once open */
	const char *subprotocol;	/* agreed, NULL = none; immutable once open */
	char *admitted;			/* what it points to if that is none of the configuration's, else NULL */
	char *extensions;		/* agreed, NULL = none; immutable once open */
	struct wsf_deflate deflate;	/* its inflater; the deflater is of the sending half */
	struct wsf_frame_decoder decoder;
	struct wsf_frame frame;
	uint64_t frame_done;		/* payload bytes of frame taken */
	bool in_message, message_is_text, message_is_deflated;
	bool pending;			/* the inflater has or may have more, without more input */
	uint64_t message_bytes;		/* inflated */
	struct wsf_utf8 utf8;
	uint8_t *control;		/* of a control frame that comes in pieces, else NULL */
	uint64_t bytes_received, messages_received;

	/* sending half */
	struct wsf_mask_keys *keys;	/* client: from the first frame on */
	struct wsf_utf8 sent_utf8;
	uint8_t held[4];		/* text: start of a character whose rest was not written yet */
	uint8_t held_bytes;
};

/* The configuration is copied, what it points to must outlive the endpoint. Returns 0 or -ENOMEM. */
int wsf_endpoint_init(struct wsf_endpoint *endpoint, const struct wsf_endpoint_config *config);
void wsf_endpoint_clear(struct wsf_endpoint *endpoint);

/* Client: the request to send, malloc'd; it may hold secrets. Returns 0, -ENOMEM or -EIO. */
int wsf_endpoint_request(struct wsf_endpoint *endpoint, char **request, size_t *size);

/* --- receiving half --- */

/*
 * Feed size bytes; returns how many were taken. All are where the sink has room for as many, or discards, or nothing
 * counts any more; but a deflated message can become longer than it came: it stops where the sink is full, and wants
 * the rest again, with more room.
 */
size_t wsf_endpoint_receive(struct wsf_endpoint *endpoint, const void *in, size_t size, struct wsf_sink *sink,
    struct wsf_events *events);
/*
 * Whether payload is ready that found no room: call wsf_endpoint_receive again, with size 0 if there is nothing more.
 */
bool wsf_endpoint_pending(const struct wsf_endpoint *endpoint);

/*
 * How many of the next bytes on the wire are certainly data payload, not deflated: these may be received straight to
 * their place and then told with wsf_endpoint_received, which unmasks and validates them there, in order, and returns
 * how many of them are to be delivered: all but those behind a fault.
 */
uint64_t wsf_endpoint_payload_left(const struct wsf_endpoint *endpoint);
size_t wsf_endpoint_received(struct wsf_endpoint *endpoint, void *data, size_t size, struct wsf_events *events);
/* Whether a header comes next, and the frame before had so much payload: the next may be its like. */
bool wsf_endpoint_expects_long(const struct wsf_endpoint *endpoint, size_t size);

/* --- sending half --- */

/* The next message out of what the program writes. */
struct wsf_message {
	uint8_t prefix[4];		/* goes in front: the start of a character that earlier writes held back */
	size_t prefix_bytes;
	size_t take_bytes;		/* then so many bytes of the data */
	size_t used_bytes;		/* of the data, those held back now included */
};

/* Whether messages are to be deflated before they are sent. */
bool wsf_endpoint_deflates(const struct wsf_endpoint *endpoint);
/*
 * The message deflated, in memory that lives until the next call: its size may be larger than it was. Returns 0,
 * -ENOMEM, or -EOPNOTSUPP: send this one as it is.
 */
int wsf_endpoint_deflate(struct wsf_endpoint *endpoint, const struct wsf_message *message, const void *data,
    const uint8_t **out, size_t *out_bytes);
/* Nothing was sent for a while. */
void wsf_endpoint_idle(struct wsf_endpoint *endpoint);

/* A data frame's header for the next payload_bytes; key is filled where the frame is masked. */
struct wsf_frame_start {
	uint8_t header[WSF_FRAME_HEADER_MAX];
	uint8_t header_bytes;
	bool masked;
	uint8_t key[4];
};

/* Returns 0, -EIO (no randomness) or -ENOMEM. */
int wsf_endpoint_start_frame(struct wsf_endpoint *endpoint, size_t payload_bytes, bool deflated,
    struct wsf_frame_start *start);

/*
 * Cut the next message off: up to max_frame_bytes, for text up to the last whole character, the rest of which is held
 * back. prefix_bytes + take_bytes == 0 = nothing to send yet. Returns 0 or -EILSEQ (text that is not UTF-8).
 */
int wsf_endpoint_next_message(struct wsf_endpoint *endpoint, const void *data, size_t size,
    struct wsf_message *message);
/* Whether text is held back that can't be sent: the end would cut a character. */
bool wsf_endpoint_holds_text(const struct wsf_endpoint *endpoint);

/* A whole control frame. Returns its size, -EIO or -ENOMEM. */
int wsf_endpoint_control_frame(struct wsf_endpoint *endpoint, enum wsf_opcode opcode, const void *payload, size_t size,
    uint8_t out[WSF_CONTROL_FRAME_MAX]);
/* A Close; WSF_NO_CODE = without payload, reason may be NULL. Returns as the former. */
int wsf_endpoint_close_frame(struct wsf_endpoint *endpoint, unsigned code, const char *reason,
    uint8_t out[WSF_CONTROL_FRAME_MAX]);

#endif
