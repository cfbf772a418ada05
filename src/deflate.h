/* SPDX-License-Identifier: 0BSD */
/*
 * permessage-deflate (RFC 7692) over zlib: the negotiation of its parameters and the two compressors of one connection.
 * It knows no frames and does no I/O. Called by the endpoint: the sending half under the stream's transmit lock, the
 * receiving half by the owner of receiving; they share nothing.
 */
#ifndef WSF_DEFLATE_H
#define WSF_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "http.h"

/* Whether this build has zlib. Without it nothing is offered or accepted. */
bool wsf_deflate_available(void);

/* What one end wants, or what both agreed. */
struct wsf_deflate_params {
	bool on;
	int send_window_bits, recv_window_bits;	/* 8 to 15 once agreed */
	bool send_no_context_takeover, recv_no_context_takeover;
	int level;			/* ours alone */
	unsigned max_ratio;		/* ours alone; 0 = no limit */
};

/* --- negotiation (deflate_params.c) --- */

/* The longest value there is, every parameter in it, and a NUL. */
#define WSF_EXTENSIONS_MAX 160

/* Client: the value of Sec-WebSocket-Extensions to offer, "" = none. */
void wsf_deflate_offer(const struct wsf_deflate_params *wanted, char out[WSF_EXTENSIONS_MAX]);
/*
 * Client: judge the server's answer against the offer, and write what is agreed to out in its usual form. No such
 * header leaves agreed->on false and out "". Returns 0 or -EPROTO with a static reason: an extension not offered, a
 * second one, an unknown, repeated or out-of-range parameter, a server_max_window_bits over what was offered, or what
 * the offer demanded left out.
 */
int wsf_deflate_check_answer(const struct wsf_http *http, const struct wsf_deflate_params *wanted,
    struct wsf_deflate_params *agreed, char out[WSF_EXTENSIONS_MAX], const char **reason);
/*
 * Server: choose the first of the client's offers that can be met, and write the answer's value to out, "" where there
 * is none (agreed->on false). Offers that are malformed or ask for the unknown are passed over (RFC 7692, section 5).
 */
void wsf_deflate_choose(const struct wsf_http *http, const struct wsf_deflate_params *wanted,
    struct wsf_deflate_params *agreed, char out[WSF_EXTENSIONS_MAX]);

/* --- compressing and inflating (deflate.c) --- */

/* Zero-initialised = nothing agreed. The zlib streams are made when first used. */
struct wsf_deflate {
	struct wsf_deflate_params params;	/* as agreed */
	struct wsf_deflater *deflater;
	struct wsf_inflater *inflater;
};

void wsf_deflate_clear(struct wsf_deflate *deflate);

/*
 * Compress one whole message. *out and *out_bytes are set to memory of the deflater's, valid until the next call.
 * Returns 0 or -ENOMEM; or -EOPNOTSUPP: send it as it is, with a window of 8 bits, which zlib can't compress for, or
 * where it would not become shorter and no later message needs it.
 */
int wsf_deflate_message(struct wsf_deflate *deflate, const struct iovec *in, int count, const uint8_t **out,
    size_t *out_bytes);
/* Nothing was sent for a while: give back what the next message can do without. */
void wsf_deflate_idle(struct wsf_deflate *deflate);

/*
 * Inflate a piece of a message's payload, last = with the end of the message (the tail 00 00 ff ff is added here).
 * Takes *used of in_bytes and puts *put of at most out_bytes. Returns 1 when the message is done (last, all taken and
 * put), 0 = all was taken, or out is full: call again with what is left (in_bytes may then be 0) and more room,
 * -EPROTO (not deflate), -EMSGSIZE (over max_ratio), -ENOMEM; what was put before an error counts. out may not be
 * NULL; a caller that discards gives a scratch. However a message is cut and whatever the room, the same bytes come
 * out, and then the same error; but for a peer that goes behind a window it agreed to, of less than 32 KiB: zlib
 * refuses that only where it does not have the bytes any more, so the error may come earlier or later.
 */
int wsf_deflate_inflate(struct wsf_deflate *deflate, const uint8_t *in, size_t in_bytes, bool last, size_t *used,
    uint8_t *out, size_t out_bytes, size_t *put);

#endif
