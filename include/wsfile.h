/* SPDX-License-Identifier: 0BSD */
/*
 * wsfile: a WebSocket connection as a plain stdio FILE *.
 *
 * This header and the manual are the contract: ws_fopen(3), ws_fdopen(3), ws_socket(3), ws_listen(3), ws_shutdown(3),
 * ws_pollfd(3), ws_observe(3), ws_status(3), ws_options(3), ws_lws(3), ws_tls(7), ws_security(7) and ws_process(7).
 * wsfile(7) is where to begin.
 * Unless a comment says otherwise every function may be called from any thread, calls on one stream are serialised by
 * stdio's own lock, and a function that fails sets errno.
 */
#ifndef WSFILE_H
#define WSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WSFILE_VERSION "0.1.0"

#if defined(__GNUC__)
#define WS_EXPORT __attribute__((visibility("default")))
#else
#define WS_EXPORT
#endif

/* What a received text message does to a byte stream. */
enum ws_on_text {
	WS_TEXT_REJECT = 0,	/* Close 1003; the reader gets EBADMSG after all earlier data */
	WS_TEXT_BYTES = 1,	/* its bytes are data; bad UTF-8 closes with 1007, EILSEQ */
};

/* Whether the other end of a TLS connection has to prove who it is. See ws_tls(7). */
enum ws_verify {
	WS_VERIFY_ON = 0,	/* client: chain, time and name of the server's certificate; listener with ca_file or
				 * ca_dir: every client must have a certificate, else none is asked for one */
	WS_VERIFY_IF_GIVEN = 1,	/* listener: a client without a certificate is let in, a bad one is not */
	WS_VERIFY_OFF = 2,	/* anybody may be at the other end. Pins are still checked */
};

/* The oldest TLS version spoken. */
enum ws_tls_version {
	WS_TLS_1_2 = 0,
	WS_TLS_1_3 = 1,
};

/* permessage-deflate, RFC 7692. */
enum ws_compression {
	WS_COMPRESSION_OFF = 0,	/* neither offered nor accepted */
	WS_COMPRESSION_ON = 1,	/* offered, or accepted where it is offered */
};

/* A listener's further certificate. */
struct ws_certificate {
	const char *cert_file;		/* PEM: the certificate, then its intermediates */
	const char *key_file;		/* PEM; NULL = in cert_file */
};

/* Which end of a connection: ws_fdopen(3). */
enum ws_role {
	WS_ROLE_CLIENT = 0,
	WS_ROLE_SERVER = 1,
};

/* What an observer is told of. The values are bits of a mask. */
enum ws_event_type {
	WS_EVENT_OPEN = 1,		/* the opening handshake is done */
	WS_EVENT_PING = 2,		/* came, with payload; it is answered by the library */
	WS_EVENT_PONG = 4,		/* came, with payload, and round_trip_us where it answers a ping of ours */
	WS_EVENT_CLOSE_RECEIVED = 8,	/* close_code_received and its reason */
	WS_EVENT_TEXT_REJECTED = 16,	/* on_text is WS_TEXT_REJECT, and text came */
	WS_EVENT_PROTOCOL_ERROR = 32,	/* the peer broke a rule or a limit: error, text */
	WS_EVENT_TRANSPORT_ERROR = 64,	/* cut, silent, aborted, or TLS broke: error, text */
	WS_EVENT_CLOSED = 128,		/* the connection is over; always the last: both codes and reasons, clean,
					 * error, text */
};

#define WS_EVENT_ALL 0xffU		/* those above */

/* One event. It and what it points to live until the observer returns. Members that say nothing are 0 or "". */
struct ws_event {
	size_t size;			/* sizeof (struct ws_event) of the library that is running */
	enum ws_event_type type;
	unsigned missed;		/* events left out before this one: too many pings and pongs waited for the
					 * observer, or memory had run out */
	uint64_t stream_id;		/* as ws_status(3) tells it; 0 = it could not be opened */
	const void *payload;		/* PING, PONG */
	size_t payload_bytes;
	int64_t round_trip_us;		/* PONG: -1 = none of our pings is answered by it */
	unsigned close_code_received;	/* CLOSE_RECEIVED, CLOSED; as in struct ws_status */
	unsigned close_code_sent;	/* CLOSED */
	const char *close_reason_received;	/* UTF-8 */
	const char *close_reason_sent;
	bool clean;			/* CLOSED: as in struct ws_status */
	int error;			/* errno of what ended the stream */
	const char *text;		/* one line on error */
};

/*
 * Called on a thread of the library's own that serves all observers of the process in turn, with no lock held: a slow
 * observer delays other events, and nothing else but fclose(3) of its stream. Calls of stdio, and of this library, on
 * the same stream from inside fail with EDEADLK, but ws_abort(3), ws_ping(3), ws_status(3), ws_header(3),
 * ws_set_timeouts(3), ws_set_nonblocking(3) and ws_observe(3).
 */
typedef void ws_observer(const struct ws_event *event, void *user);

/* A client's request, as an authorize callback sees it. All of it lives until the callback returns. */
struct ws_request {
	size_t size;			/* sizeof (struct ws_request) of the library that is running */
	const char *path;		/* without the query; as it came, not decoded */
	const char *query;		/* behind the "?", NULL = none */
	const char *origin;		/* NULL = none */
	const char *peer_address;	/* as in struct ws_status */
	const char *tls_peer;		/* subject of the client's certificate, "" = none */
	const char *const *subprotocols;	/* asked for, best first; ends with NULL */
	const char *(*header)(const struct ws_request *request, const char *name);	/* the first, NULL = none */
	const void *internal;
};

/* What becomes of it. Everything starts as NULL; what is pointed to must stay until the next call in this thread. */
struct ws_response {
	size_t size;			/* sizeof (struct ws_response) of the library that is running */
	const char *subprotocol;	/* to agree on, one that was asked for; NULL = as the listener's options say */
	const char *const *headers;	/* "Name: value", added to the answer, also to a refusal; ends with NULL */
	const char *reason;		/* of a refusal: its short text. NULL = that of the status */
};

/*
 * Whether a connection is let in: 0, or the HTTP status of the refusal, 400 to 599 (anything else is 500). Asked when
 * path and origin are found to be in order, on a helper thread, which it must not block for long: all streams there
 * wait. No lock is held; the listener's functions may be called but ws_listener_close(3) and ws_accept(3), and no
 * function that opens.
 */
typedef int ws_authorize(const struct ws_request *request, struct ws_response *response, void *user);

/*
 * How a connection is opened and run. Start from WS_OPTIONS_INIT, then change fields. The library copies everything:
 * nothing need outlive the call. A time is in milliseconds, -1 = no limit; a size is in bytes. A value out of range is
 * EINVAL, before any packet is sent.
 */
struct ws_options {
	size_t size;			/* sizeof (struct ws_options), set by WS_OPTIONS_INIT: lets the struct grow (new
					 * fields start behind its padding) */

	/* handshake; arrays end with NULL, NULL = none */
	const char *const *subprotocols;	/* client: offered, best first; listener: accepted, best first. NULL */
	const char *const *headers;	/* "Name: value", added to the client's request or the listener's 101. NULL */
	const char *origin;		/* client: the Origin header. NULL = none sent */
	const char *user_agent;		/* client: NULL = "wsfile/" and the version, "" = none sent */
	size_t max_header_bytes;	/* bound of the peer's header block, 256 to 1048576. 16384 */

	/* data */
	bool text_frames;		/* send text messages: what is written must be UTF-8, else EILSEQ. false */
	enum ws_on_text on_text;	/* what a received text message does. WS_TEXT_REJECT */
	uint64_t max_message_bytes;	/* a longer message from the peer: Close 1009, EMSGSIZE. 0 = no limit:
					 * streamed */
	size_t max_frame_bytes;		/* longest frame sent, 1 to 2^30, never over half of send_buffer_bytes; each is
					 * a message of its own. For text frames never below 4: a character is not
					 * cut. 65536 */

	/* memory for each stream; storage is given back while it is idle */
	size_t recv_buffer_bytes;	/* received, not yet read: 4096 to 2^30, rounded up to a power of two.
					 * 1048576 */
	size_t send_buffer_bytes;	/* written, not yet taken by the kernel: as above. 262144 */
	size_t stdio_buffer_bytes;	/* buffer of the FILE, 0 = unbuffered, at most 2^30. 65536 */

	/* time */
	int connect_timeout_ms;		/* name look-up, TCP connection, and the way through a proxy. 30000 */
	int handshake_timeout_ms;	/* TLS and HTTP upgrade, both sides. 10000 */
	int read_timeout_ms;		/* one blocked read: ETIMEDOUT, clearerr and go on. -1 */
	int write_timeout_ms;		/* one blocked write: ETIMEDOUT, the write side is finished. -1 */
	int close_timeout_ms;		/* fclose waits this long for the peer, 0 = not at all. 5000 */
	int linger_ms;			/* after the peer's Close, how long our side may still write, counted from the
					 * program's last read or write, then Close 1011; 0 = answer at once. 5000 */

	/* listener only */
	const char *const *allowed_origins;	/* NULL = a request with an Origin header must name the Host itself;
					 * { "*", NULL } = any; else origins such as "https://example.org", where
					 * "*." before a host stands for one label or more, and ":*" for any port.
					 * NULL */
	const char *path;		/* the only path served, others get 404. NULL = the URL's; "/" there = every
					 * path */
	int backlog;			/* connections ready and not yet accepted, 1 to 4096. 128 */
	bool reuse_port;		/* SO_REUSEPORT: several processes on one port. false */

	/* TLS, for wss and wss+unix; see ws_tls(7). Files are PEM and are read by the call that gets the options */
	const char *ca_file;		/* trusted roots in place of the system's; listener: of the clients, which must
					 * have a certificate then. NULL */
	const char *ca_dir;		/* the same as a directory made by openssl-rehash(1). NULL */
	const char *cert_file;		/* our certificate, then its intermediates; a wss listener needs one. NULL */
	const char *key_file;		/* its private key. NULL = in cert_file */
	const char *key_password;	/* of the private keys; wiped from memory once they are read. NULL */
	const struct ws_certificate *certificates;	/* listener: further ones, for clients that ask for a name
					 * they are made for (SNI); ends with cert_file NULL. NULL */
	const char *server_name;	/* client: the name to ask for and to check. NULL = the URL's host */
	const char *const *pin_sha256;	/* base64 of the SHA-256 of the only public keys (SubjectPublicKeyInfo) accepted
					 * in the other end's own certificate, ends with NULL; "sha256//" may stand
					 * before. NULL = any */
	enum ws_verify verify;		/* WS_VERIFY_ON */
	enum ws_tls_version min_tls;	/* WS_TLS_1_2 */

	/* client: authentication; one of the two, or userinfo in the URL; wiped from memory when the stream is open */
	const char *userinfo;		/* "user:password", not percent-encoded, for HTTP Basic. NULL */
	const char *bearer;		/* token of an "Authorization: Bearer" header. NULL */

	/* client: the way there */
	const char *proxy;		/* "http://[user:password@]host:port" or "socks5://…"; "" = none, NULL = from
					 * the environment. NULL */
	int max_redirects;		/* how many HTTP redirects to follow, at most 20. 0 */

	/* ws+unix and wss+unix listener */
	int socket_mode;		/* permission bits of the socket's file. 0600 */

	/* permessage-deflate, both sides */
	enum ws_compression compression;	/* WS_COMPRESSION_OFF */
	int compression_level;		/* 1 = fast to 9 = small. 6 */
	int send_window_bits;		/* of what we compress: 2^bits bytes of memory, 9 to 15. 15 */
	int recv_window_bits;		/* what the peer may use, 9 to 15. 15 */
	bool send_no_context_takeover;	/* compress each message for itself. false */
	bool recv_no_context_takeover;	/* have the peer do so. false */
	unsigned max_inflate_ratio;	/* a message that grows by more than this, past its first 64 KiB: Close 1009,
					 * EMSGSIZE. 0 = no limit. 200 */

	/* the process */
	unsigned helper_threads;	/* how many threads watch and receive for all streams of the process: as many as
					 * any opener asks for, as long as there are streams; at most 64. 0 = what the
					 * environment's WSFILE_HELPERS says, else 1 */

	/* watching, both sides */
	int ping_interval_ms;		/* nothing came for so long: a ping is sent; nothing came for two of these:
					 * ETIMEDOUT, Close 1011. Not while our own ring is full. -1 = none. 30000 */
	ws_observer *observer;		/* told of events from WS_EVENT_OPEN on, as by ws_observe(3). Of what could not
					 * be opened: TRANSPORT_ERROR and CLOSED, with stream_id 0. NULL */
	void *observer_user;		/* its argument. NULL */
	unsigned observer_mask;		/* WS_EVENT bits. WS_EVENT_ALL */

	/* listener only */
	unsigned max_connections;	/* open at once; more are refused with 503. 0 = no limit */
	ws_authorize *authorize;	/* who is let in. NULL = everybody */
	void *authorize_user;		/* its argument. NULL */
	int listen_fd;			/* ws_listen: a listening socket that is there already, from systemd or inetd;
					 * taken over on success. The URL then only says scheme and path. -1 = none */

	/* ws_fdopen only */
	const char *url;		/* what is spoken on the descriptor: ws or wss; client: host and target to ask
					 * for; server: the path served, "/" = every one. NULL = "ws://localhost/" */
	const void *initial_bytes;	/* received and read by the program already: they come first. Not used behind
					 * the call. NULL */
	size_t initial_size;		/* of them, at most 1048576. 0 */
};

#define WS_OPTIONS_INIT { \
	sizeof(struct ws_options), \
	NULL, NULL, NULL, NULL, 16384, \
	false, WS_TEXT_REJECT, 0, 65536, \
	1048576, 262144, 65536, \
	30000, 10000, -1, -1, 5000, 5000, \
	NULL, NULL, 128, false, \
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, WS_VERIFY_ON, WS_TLS_1_2, \
	NULL, NULL, \
	NULL, 0, \
	0600, \
	WS_COMPRESSION_OFF, 6, 15, 15, false, false, 200, \
	0, \
	30000, NULL, NULL, WS_EVENT_ALL, \
	0, NULL, NULL, -1, \
	NULL, NULL, 0 }

enum ws_state {
	WS_STATE_OPEN = 0,		/* both directions work */
	WS_STATE_CLOSING = 1,		/* at least one Close has been sent or received */
	WS_STATE_CLOSED = 2,		/* the connection is over */
};

/* What is known of a stream. Start from WS_STATUS_INIT: size lets the struct grow. */
struct ws_status {
	size_t size;			/* sizeof (struct ws_status), set by WS_STATUS_INIT */
	enum ws_state state;
	bool clean;			/* both Closes were exchanged, the peer's with 1000, 1001, no code, or
					 * our own code in answer; and no write failed */
	int error;			/* errno that ended the stream, 0 = none */
	unsigned close_code_sent;	/* 0 = no Close sent yet, 1005 = sent without a code */
	unsigned close_code_received;	/* 0 = no Close came yet, 1005 = it had no code */
	char close_reason_sent[124];	/* UTF-8, "" = none */
	char close_reason_received[124];
	char error_text[160];		/* one line on error, "" = none */
	int http_status;		/* of the handshake: 101 */
	char subprotocol[128];		/* agreed, "" = none */
	char local_address[64];		/* numeric "host:port", IPv6 in brackets; "unix:" and the path, cut */
	char peer_address[64];
	uint64_t bytes_received;	/* payload read by the library so far */
	uint64_t bytes_sent;		/* payload taken from the program so far */
	uint64_t messages_received;	/* complete data messages */
	uint64_t messages_sent;
	char tls_version[16];		/* "TLSv1.3", "" = no TLS */
	char tls_cipher[48];		/* "TLS_AES_128_GCM_SHA256", OpenSSL's name */
	char tls_peer[256];		/* subject of the other end's certificate, cut, "" = it has shown none */
	bool tls_resumed;		/* the session is one from an earlier connection */
	bool compressed;		/* permessage-deflate is agreed */
	char extensions[160];		/* as agreed, "permessage-deflate; …", "" = none */
	uint64_t id;			/* of the stream, unique in the process, from 1 */
	uint64_t round_trip_us;		/* from the last ping that was answered, in microseconds; 0 = none was yet */
	char url[256];			/* what was asked for, from Host and target, without userinfo, cut; of a local
					 * socket the host is "localhost" */
};

#define WS_STATUS_INIT { \
	sizeof(struct ws_status), WS_STATE_OPEN, false, 0, 0, 0, "", "", "", 0, "", "", "", 0, 0, 0, 0, \
	"", "", "", false, false, "", 0, 0, "" }

/* Why this thread's last opener failed. */
struct ws_error {
	int error;			/* the errno */
	int http_status;		/* the peer's answer where there was one, else 0 */
	const char *text;		/* one line, no newline */
};

struct ws_listener;

/*
 * Open a WebSocket connection as a stream.
 *
 * url is "ws://[user:password@]host[:port][/path][?query]", "wss://…", or for a local socket
 * "ws+unix:///socket/file[:/path][?query]" or "wss+unix://…" ("@name" in place of the file: an abstract one, on Linux);
 * mode is "r", "w", "r+" or "w+", with "b" and "e" accepted and "t" for text messages. Blocks for at most
 * connect_timeout_ms + handshake_timeout_ms, and as long again for each redirect. The stream is freed by fclose(3),
 * which returns 0 only when the peer has received every byte and the closing handshake is complete.
 *
 * Returns NULL with errno EINVAL (URL, mode), ENOENT (host name not found), ECONNREFUSED and its kin, ETIMEDOUT, EINTR,
 * EACCES (HTTP 401, 403, 407), EPROTO (no WebSocket or TLS answer), ECONNABORTED (another HTTP status), EKEYREJECTED (a
 * certificate or key, ours or theirs), EPROTONOSUPPORT (what this build does not speak), EMFILE, ENFILE, ENOMEM,
 * EAGAIN (no thread, or no answer from the name service for now); ws_last_error(3) says more. Source: RFC 6455,
 * section 4.1.
 */
WS_EXPORT FILE *ws_fopen(const char *url, const char *mode);

/* As ws_fopen(3), with options; NULL = the defaults. */
WS_EXPORT FILE *ws_fopen_with(const char *url, const char *mode, const struct ws_options *options);

/*
 * As ws_fopen_with(3), as two streams over one connection, so that two threads can use them at once: half[0] reads,
 * half[1] writes. fclose(3) of half[1] is ws_shutdown(3) with 1000 where no Close was sent yet; fclose of half[0] first
 * discards what still arrives. fclose of the last one waits and gives the verdict. Returns 0, or -1 with errno as
 * ws_fopen(3), half unchanged.
 */
WS_EXPORT int ws_fopen_pair(const char *url, const struct ws_options *options, FILE *half[2]);

/*
 * A WebSocket over a connected stream socket: TCP, local, or of a pair. mode is as for ws_fopen(3). For a server the
 * opening handshake is waited for, and options are those of a listener; options->url says what is spoken, and
 * options->initial_bytes is what the program has read already. Blocks for at most handshake_timeout_ms.
 *
 * On success the descriptor belongs to the stream. On failure it is the caller's still, though bytes may have gone
 * either way. Returns NULL with errno as ws_fopen(3), or EBADF, ENOTSOCK, ENOTCONN, EPROTOTYPE (no stream socket).
 */
WS_EXPORT FILE *ws_fdopen(int fd, const char *mode, enum ws_role role, const struct ws_options *options);

/*
 * As ws_fopen_with(3), as one end of a connected pair of sockets, close-on-exec: for dup2(2), select(2), fdopen(3), a
 * child's standard input and output, other languages. shutdown(fd, SHUT_WR) sends Close; the peer's Close is the end of
 * file; whatever else ends the connection is ECONNRESET. Threads of the library move the bytes. Returns the descriptor,
 * the caller's to close, or -1 with errno as ws_fopen(3).
 */
WS_EXPORT int ws_socket(const char *url, const struct ws_options *options);

/*
 * Listen for WebSocket connections. The host of url is the address to bind, port 0 lets the system choose one, and a
 * path other than "/" is the only one served. Connections are accepted and their handshakes done from now on, by the
 * helper threads; up to options->backlog of them wait for ws_accept(3). Freed by ws_listener_close(3).
 *
 * A wss listener needs cert_file. A socket file of ws+unix that nobody listens on any more is replaced.
 *
 * Returns NULL with errno EINVAL, ENOENT, EADDRINUSE, EADDRNOTAVAIL, EACCES, EKEYREJECTED, EPROTONOSUPPORT, EMFILE,
 * ENFILE, ENOMEM, EAGAIN, and of listen_fd EBADF, ENOTSOCK; see ws_last_error(3).
 */
WS_EXPORT struct ws_listener *ws_listen(const char *url, const struct ws_options *options);

/*
 * The next connection as a stream, in order of their handshakes' ends. Blocks until there is one. mode is as for
 * ws_fopen(3). Any number of threads may wait on one listener.
 *
 * Returns NULL with errno EINVAL, EINTR, EBADF (the listener was closed or stopped meanwhile), ENOMEM.
 */
WS_EXPORT FILE *ws_accept(struct ws_listener *listener, const char *mode);

/* As ws_accept(3), as two streams: see ws_fopen_pair(3). Returns 0 or -1. */
WS_EXPORT int ws_accept_pair(struct ws_listener *listener, FILE *half[2]);

/*
 * A descriptor that poll(2) finds readable (POLLIN) while ws_accept(3) would not block. It belongs to the listener: it
 * is not to be read or closed. Returns -1 with errno EINVAL, EMFILE, ENFILE, ENOMEM.
 */
WS_EXPORT int ws_listener_pollfd(struct ws_listener *listener);

/*
 * Graceful stop: no connection comes any more, those nobody accepted are closed with 1001, and so is our side of each
 * open stream that was accepted, behind what it has written so far. Waits until they are all over, at most timeout_ms
 * (-1 = no limit). Calls in ws_accept(3) return EBADF. ws_listener_close(3) still has to be called.
 *
 * Returns 0, or -1 with errno ETIMEDOUT (streams are left), EINTR, EINVAL, EDEADLK (see ws_lws(3)).
 */
WS_EXPORT int ws_listener_stop(struct ws_listener *listener, int timeout_ms);

/* The URL with the port actually bound; lives as long as the listener. Never fails. */
WS_EXPORT const char *ws_listener_url(const struct ws_listener *listener);

/*
 * Read the certificates, keys and client authorities again from their files, for connections that come from now on;
 * open streams keep theirs. On failure the old ones stay in use. Does nothing for a listener without TLS.
 *
 * Returns 0, or -1 with errno EINVAL, EKEYREJECTED, ENOENT, EACCES, ENOMEM; see ws_last_error(3).
 */
WS_EXPORT int ws_listener_reload(struct ws_listener *listener);

/*
 * Stop listening and free the listener: connections not yet accepted are closed with 1001, accepted streams are
 * unharmed, calls blocked in ws_accept(3) return EBADF; the caller sees to it that none starts later. NULL does
 * nothing. Returns 0.
 */
WS_EXPORT int ws_listener_close(struct ws_listener *listener);

/*
 * Send what stdio holds, then a Close; the stream can still be read until the peer's Close. code is 1000, 1001, 1003,
 * 1007 to 1011, or 3000 to 4999; reason is UTF-8 of at most 123 bytes, NULL = none. Does not wait for the peer, only
 * for room in the send buffer. Later writes fail with EPIPE.
 *
 * Returns -1 with errno EINVAL (code, reason), EBADF (not an open stream of ours), EPIPE (a Close was sent already),
 * ECONNABORTED (ws_abort(3)), or that of the flush. Source: RFC 6455, section 7.
 */
WS_EXPORT int ws_shutdown(FILE *stream, unsigned code, const char *reason);

/*
 * Cut the connection, from any thread, without waiting for the stream's lock: calls blocked on the stream, and later
 * ones, fail with ECONNABORTED. The stream still has to be closed. Returns 0, or -1 with errno EBADF.
 */
WS_EXPORT int ws_abort(FILE *stream);

/*
 * Flush, then wait until the kernel has every byte, at most timeout_ms (-1 = no limit); nothing is lost when that does
 * not suffice. Returns 0, or -1 with errno EINVAL (below -1), ETIMEDOUT, EINTR, EBADF (not a stream of ours that
 * writes), or that of the flush; EPIPE where the connection ended first, ECONNABORTED where ws_abort(3) did that.
 */
WS_EXPORT int ws_drain(FILE *stream, int timeout_ms);

/*
 * Send a ping of at most 125 bytes behind what has been sent; observers are told of the pong, and ws_status(3) of the
 * time it took. Never blocks and may be called from any thread.
 *
 * Returns 0, or -1 with errno EMSGSIZE, EINVAL (payload NULL), EAGAIN (no room now), EPIPE (our Close was sent, or the
 * connection is over), ECONNABORTED (ws_abort(3)), EBADF, ENOMEM. Source: RFC 6455, section 5.5.2.
 */
WS_EXPORT int ws_ping(FILE *stream, const void *payload, size_t size);

/*
 * Read what is there: at most size bytes, at least one, what stdio has buffered first. Blocks only while there is
 * nothing at all. Returns 0 at EOF (as for size 0), or -1 with errno as for fread(3) and EBADF (not a stream of ours
 * that reads). Mixes freely with stdio's own reading.
 */
WS_EXPORT ssize_t ws_read_some(FILE *stream, void *buffer, size_t size);

/*
 * Write what fits: at most size bytes, at least one, behind what stdio has buffered, which is flushed first. Blocks
 * only while there is no room at all, in non-blocking mode EAGAIN. Unlike a failed fwrite(3), EAGAIN, EINTR and
 * ETIMEDOUT here lose nothing: the rest can be written again. Only the flush, where stdio holds something, is a write
 * as any. Returns the number of bytes, or -1 with errno as for fwrite(3) and EBADF (not a stream of ours that writes).
 */
WS_EXPORT ssize_t ws_write_some(FILE *stream, const void *buffer, size_t size);

/*
 * A descriptor for poll(2), select(2) and their kin, always to be asked for POLLIN. For events = POLLIN it is readable
 * while ws_read_some(3) would not block for want of bytes, for POLLOUT while ws_write_some(3) would not for want of
 * room; an end or an error counts as ready. What stdio itself has buffered does not count: ask ws_readable(3) before
 * waiting. Made by the first call; belongs to the stream: not to be read or closed.
 *
 * Returns -1 with errno EINVAL (events), EBADF (not a stream of ours that does this), EMFILE, ENFILE, ENOMEM.
 */
WS_EXPORT int ws_pollfd(FILE *stream, short events);

/* Bytes that can be read without blocking, stdio's buffer included. 0 with errno EBADF: not ours, or does not read. */
WS_EXPORT size_t ws_readable(FILE *stream);
/*
 * Bytes that can be written and flushed now without waiting; what stdio holds is counted off. 0 with errno EBADF: not
 * ours, or it does not write.
 */
WS_EXPORT size_t ws_writable(FILE *stream);
/* Bytes written, by this stream, that the kernel has not taken yet, stdio's buffer included; frames' headers count. */
WS_EXPORT size_t ws_unsent(FILE *stream);

/*
 * How long a blocked read and a blocked write wait from now on, in milliseconds, -1 = no limit: in place of the options
 * read_timeout_ms and write_timeout_ms. Returns 0, or -1 with errno EINVAL (below -1), EBADF.
 */
WS_EXPORT int ws_set_timeouts(FILE *stream, int read_ms, int write_ms);

/*
 * Non-blocking: reads with nothing there, and ws_write_some(3) without room, fail with EAGAIN; clearerr(3) and go on.
 * stdio's own writes still wait, as they could not be resumed. Returns 0, or -1 with errno EBADF.
 */
WS_EXPORT int ws_set_nonblocking(FILE *stream, bool on);

/*
 * Have observer(event, user) called for the events in mask (WS_EVENT bits) from now on; any number of them. A pair that
 * is there already gets the new mask, and 0 removes it: then it is not called any more when this returns, but for the
 * call this is made from. fclose(3) returns when all of them have been told WS_EVENT_CLOSED, which comes last and once.
 *
 * Returns 0, or -1 with errno EBADF, EINVAL (observer NULL, mask), ENOENT (nothing to remove), ENOMEM, EAGAIN.
 */
WS_EXPORT int ws_observe(FILE *stream, unsigned mask, ws_observer *observer, void *user);

/* In C++ the function hides the constructor of the struct, as that of stat(2) does; g++ warns of it. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
/* What is known of the stream. Does not block. Returns -1 with errno EBADF or EINVAL (status->size). */
WS_EXPORT int ws_status(FILE *stream, struct ws_status *status);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/*
 * A header of the peer's handshake by name, case ignored; several of one name are joined with ", ". The string lives
 * as long as the stream. Returns NULL where there is none (errno ENOENT) or stream is not ours (EBADF).
 */
WS_EXPORT const char *ws_header(FILE *stream, const char *name);

/*
 * This thread's last failed opener (ws_fopen, ws_fopen_with, ws_fopen_pair, ws_fdopen, ws_socket, ws_listen,
 * ws_listen_lws, ws_listener_reload, ws_accept, ws_accept_pair). Never NULL; lives until the next.
 */
WS_EXPORT const struct ws_error *ws_last_error(void);

/* The registered name of a close code, "normal closure" for 1000; "unknown" where there is none. Static. */
WS_EXPORT const char *ws_close_code_name(unsigned code);

/* The version of the library that is running, such as "0.1.0". Static. */
WS_EXPORT const char *ws_version(void);

#ifdef __cplusplus
}
#endif

#endif
