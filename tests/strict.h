/* SPDX-License-Identifier: 0BSD */
/*
 * The strictness suite: a raw peer against the library, in one of its roles, over ws or wss. What the peer sends is
 * data, in tables of cases that name the section of the RFC which they are taken from; what must come of it is in the
 * same row. The peer's half knows the RFCs by itself and shares no code with the library. A run is of one role and one
 * transport, which the command line tells; a case sends its bytes in several ways, each over a connection of its own,
 * and all must come to the same.
 */
#ifndef STRICT_H
#define STRICT_H

#include <check.h>

#include "duo.h"
#include "tls_peer.h"
#include "wire.h"

#define STRICT_COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* What this run is. The library's role; true = wss. */
struct strict {
	enum wire_role role;
	bool secure;
	bool thorough;			/* WSF_STRICT_LONG is set: the longer form */
};

extern struct strict strict;

/* ck_assert writes a mark to a pipe each time; this only where it fails, with the case's id and how it was sent. */
#define strict_insist(condition, ...) \
	do { \
		if (!(condition)) \
			strict_fail(__VA_ARGS__); \
	} while (0)

void strict_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A case begins and has passed; row counts from 0, its id is "section.row", from 1. */
void strict_case_begin(const char *section, int row, const char *text, const char *source);
void strict_case_end(void);

/* In main, before and after all cases, which are processes of their own. The end prints how many there were. */
bool strict_count_begin(void);
void strict_count_end(void);

/* How the peer's bytes are cut. */
enum strict_way { STRICT_WHOLE, STRICT_BEHIND_HANDSHAKE, STRICT_FRAMES, STRICT_BYTES, STRICT_CHOPS, STRICT_WAYS };

void strict_way_is(enum strict_way way);	/* for strict_fail */

/* --- a place to connect to, and connections --- */

struct strict_link {
	struct ws_options options;	/* the library's */
	struct ws_listener *listener;	/* the library's, or NULL */
	int peer_listener;		/* the peer's, or -1 */
	unsigned port;
};

/* WS_OPTIONS_INIT, with time enough for a slow machine and no pings. */
struct ws_options strict_options(void);
void strict_listen(struct strict_link *link, const struct ws_options *options);
void strict_unlisten(struct strict_link *link);
/* The library's end: ws_accept, or ws_fopen_with, which may return NULL. */
FILE *strict_stream(struct strict_link *link, const char *mode);

/* The peer's half of permessage-deflate: what is agreed, and its zlib. */
struct strict_deflate {
	int peer_bits, library_bits;	/* windows of what each sends */
	bool peer_resets, library_resets;	/* no context takeover */
};

struct strict_codec;

struct strict_peer {
	struct strict_link *link;
	struct tls_peer tls;
	pthread_t thread;
	void (*body)(struct strict_peer *peer);
	void *argument;			/* body's own */
	const char *extensions;		/* offered or answered, NULL = none */
	char agreed[256];		/* a peer that is a client: what the library answered, "" = none */
	char *request;			/* a peer that is a server: the library's */
	struct strict_codec *codec;	/* NULL = no frame may have RSV1 */
	size_t chop_bytes;		/* of STRICT_CHOPS */
	bool text;			/* data that comes must be text */
	/* what has come */
	bool in_message, deflated;
	struct duo_bytes message;	/* so far, as it came */
	struct duo_bytes pongs;		/* each a length byte and its payload */
	struct duo_bytes data;
	unsigned messages;
	unsigned code;			/* of the Close, 1005 = none, 0 = it did not come */
	char reason[124];
	uint8_t key[4];			/* of the last masked frame */
	bool has_key;
};

/* Body runs in a thread of the peer's once the transport is there. */
void strict_begin(struct strict_peer *peer, struct strict_link *link, void (*body)(struct strict_peer *peer),
    void *argument);
void strict_join(struct strict_peer *peer);	/* wait for the thread */
void strict_clear(struct strict_peer *peer);

/* --- the peer's half of the handshake --- */

/* The peer's own, well-formed one, with more bytes in the same packet. Whatever the library sends is checked. */
void strict_handshake(struct strict_peer *peer, const struct duo_bytes *behind);
/* One header block, malloc'd; "" where the end came first. */
char *strict_read_block(struct strict_peer *peer);
void strict_accept_value(const char *request, char out[29]);
/* The library's request and its 101 must be what RFC 6455 demands. */
void strict_check_request(const struct strict_peer *peer, const char *request);
void strict_check_accept(struct strict_peer *peer, const char *request, const char *answer);
/* The value of a field that must be there once, or with optional not at all; "" = it is not. Lives until the next. */
const char *strict_field(const char *block, const char *name, bool optional);
#define STRICT_KEY "dGhlIHNhbXBsZSBub25jZQ=="

/* --- frames --- */

bool strict_send(struct strict_peer *peer, const void *data, size_t size);
void strict_send_in(struct strict_peer *peer, const struct duo_bytes *bytes, enum strict_way way);
/*
 * The next frame from the library. All that RFC 6455 (and 7692, with a codec) says of it is checked. False = the end,
 * at a frame's end.
 */
bool strict_take_frame(struct strict_peer *peer);
void strict_take_to_close(struct strict_peer *peer);
void strict_take_pong(struct strict_peer *peer, const void *payload, size_t size);
/* The end of TCP: nothing may come before it. clean = behind both Closes, a server first. */
void strict_take_end(struct strict_peer *peer, bool clean);
void strict_fin(struct strict_peer *peer);
bool strict_utf8_valid(const uint8_t *data, size_t size);

/* --- cases of frames --- */

struct strict_step {
	struct duo_piece piece;		/* a frame; without payload (NULL) it ends the list */
	size_t fill_bytes;		/* in place of the payload: so many bytes of a pattern, for text of ASCII */
	size_t cut_bytes;		/* as a message in fragments of at most so many bytes, 0 = one frame */
	unsigned times;			/* so many of them, 0 = one */
	bool lost;			/* the stream does not give its payload */
	size_t keep_bytes;		/* but for so many bytes */
	bool await;			/* a ping: its pong is waited for before anything more is sent */
	bool raw;			/* the payload is bytes of the wire, no frame */
	const char *gives;		/* what the stream gives in place of the payload, which is deflated */
	size_t gives_bytes;
};

#define P(byte0, text) { .piece = DUO_PIECE(byte0, text) }
#define LOST(byte0, text) { .piece = DUO_PIECE(byte0, text), .lost = true }
#define KEPT(byte0, text, keep) { .piece = DUO_PIECE(byte0, text), .lost = true, .keep_bytes = keep }
#define FORM(byte0, text, form) { .piece = DUO_FORM(byte0, text, form), .lost = true }
#define DECLARED(byte0, text, form, declared) { .piece = DUO_DECLARED(byte0, text, form, declared), .lost = true }
#define FILL(byte0, bytes) { .piece = DUO_PIECE(byte0, ""), .fill_bytes = bytes }
#define FILL_CUT(byte0, bytes, cut) { .piece = DUO_PIECE(byte0, ""), .fill_bytes = bytes, .cut_bytes = cut }
#define TIMES(n, byte0, text) { .piece = DUO_PIECE(byte0, text), .times = n }
#define FILL_TIMES(n, byte0, bytes) { .piece = DUO_PIECE(byte0, ""), .fill_bytes = bytes, .times = n }
#define AWAIT(text) { .piece = DUO_PIECE(PEER_PING, text), .await = true }
#define DEFLATED(byte0, bytes, text) \
	{ .piece = DUO_PIECE(byte0, bytes), .lost = true, .gives = text, .gives_bytes = sizeof(text) - 1 }
#define RAW(bytes) { .piece = DUO_PIECE(0, bytes), .raw = true }

#define STRICT_STEPS 9

struct strict_frames {
	const char *text;
	const char *source;		/* "RFC 6455, 5.2" */
	unsigned code;			/* of the Close that the peer sees, 0 = none comes */
	int error;			/* of the reader; 0: the peer closes with 1000, and the reader sees EOF */
	struct strict_step steps[STRICT_STEPS];
	enum ws_on_text on_text;
	uint64_t max_message_bytes;
	bool echo_text;			/* what is read goes back as text */
	bool silent;			/* nothing is sent behind the steps */
	bool fin;			/* but the end of TCP */
	unsigned received;		/* the Close that ws_status tells of; 0 = 1000 at EOF, else none */
	const char *reason;		/* and its reason, NULL = "" */
	size_t chop_bytes;		/* sent only in pieces of so many bytes */
	const char *extensions;		/* offered or answered by the peer, agreed, and used with deflate */
	struct strict_deflate deflate;
	unsigned max_inflate_ratio;
};

#define FINE(text, source, ...) { text, source, 1000, 0, { __VA_ARGS__ }, .on_text = WS_TEXT_REJECT }
#define BREAKS(text, source, ...) { text, source, 1002, EPROTO, { __VA_ARGS__ }, .on_text = WS_TEXT_REJECT }
#define REFUSED(text, source, ...) { text, source, 1003, EBADMSG, { __VA_ARGS__ }, .on_text = WS_TEXT_REJECT }
#define TEXT(text, source, ...) \
	{ text, source, 1000, 0, { __VA_ARGS__ }, .on_text = WS_TEXT_BYTES, .echo_text = true }
#define BAD_TEXT(text, source, ...) { text, source, 1007, EILSEQ, { __VA_ARGS__ }, .on_text = WS_TEXT_BYTES }
/* The peer waits in the middle: the fault must be found without what it has not sent. */
#define BAD_TEXT_AT_ONCE(text, source, ...) \
	{ text, source, 1007, EILSEQ, { __VA_ARGS__ }, .on_text = WS_TEXT_BYTES, .silent = true }
#define BREAKS_AT_ONCE(text, source, ...) { text, source, 1002, EPROTO, { __VA_ARGS__ }, .silent = true }

void strict_run_frames(const char *section, int row, const struct strict_frames *one);
/* The frames of a step as bytes of the wire, and what of its payload the stream gives. */
void strict_put_step(const struct strict_step *step, bool mask, struct duo_bytes *wire, struct duo_bytes *data);

/* Read so many bytes at a time, and write each of these back; to the end, which must be EOF. */
void strict_echo(FILE *stream, size_t size);

/* --- characters, good and bad: of texts and of a Close's reason --- */

struct strict_utf8 {
	const char *text;
	const char *bytes;
	size_t size;
	bool valid;
	size_t good_bytes;		/* before the first byte that can't be; all = the end comes too early */
};

int strict_utf8_count(void);
const struct strict_utf8 *strict_utf8_row(int row);

/* --- the sections: each adds its cases to the suite --- */

TCase *strict_tcase(Suite *suite, const char *name);
void strict_add_framing(Suite *suite);		/* 1 to 5 */
void strict_add_text(Suite *suite);		/* 6 */
void strict_add_closing(Suite *suite);		/* 7 */
void strict_add_sizes(Suite *suite);		/* 9 */
void strict_add_deflate(Suite *suite);		/* 12 */
void strict_add_negotiation(Suite *suite);	/* 13 */
void strict_add_requests(Suite *suite);		/* 14, library = listener */
void strict_add_answers(Suite *suite);		/* 15, library = client */

/* --- the peer's zlib: strict_codec.c --- */

struct strict_codec *strict_codec_new(const struct strict_deflate *agreed);
void strict_codec_free(struct strict_codec *codec);
/* Append a message for the library, deflated, without its tail; or one of the library's, which must be as agreed. */
void strict_deflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out);
void strict_inflate(struct strict_codec *codec, const struct duo_bytes *in, struct duo_bytes *out);

#endif
