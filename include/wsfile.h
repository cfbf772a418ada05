/* SPDX-License-Identifier: 0BSD */
/*
 * wsfile: a WebSocket connection as a plain stdio FILE *.
 *
 * This header and the pages ws_fopen(3), ws_listen(3), ws_shutdown(3), ws_options(3) and ws_tls(7) are the contract.
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
	size_t stdio_buffer_bytes;	/* buffer of the FILE, 0 = unbuffered, at most 2^30. 16384 */

	/* time */
	int connect_timeout_ms;		/* name look-up, TCP connection, and the way through a proxy. 30000 */
	int handshake_timeout_ms;	/* TLS and HTTP upgrade, both sides. 10000 */
	int read_timeout_ms;		/* one blocked read: ETIMEDOUT, clearerr and go on. -1 */
	int write_timeout_ms;		/* one blocked write: ETIMEDOUT, the write side is finished. -1 */
	int close_timeout_ms;		/* fclose waits this long for the peer, 0 = not at all. 5000 */
	int linger_ms;			/* after the peer's Close, how long our side may still write, counted from the
					 * program's last read; 0 = answer at once. 5000 */

	/* listener only */
	const char *const *allowed_origins;	/* NULL = a request with an Origin header must name the Host itself;
					 * { "*", NULL } = any; else exact origins such as "https://example.org".
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
};

#define WS_OPTIONS_INIT { \
	sizeof(struct ws_options), \
	NULL, NULL, NULL, NULL, 16384, \
	false, WS_TEXT_REJECT, 0, 65536, \
	1048576, 262144, 16384, \
	30000, 10000, -1, -1, 5000, 5000, \
	NULL, NULL, 128, false, \
	NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, WS_VERIFY_ON, WS_TLS_1_2, \
	NULL, NULL, \
	NULL, 0, \
	0600, \
	WS_COMPRESSION_OFF, 6, 15, 15, false, false, 200, \
	0 }

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
};

#define WS_STATUS_INIT { \
	sizeof(struct ws_status), WS_STATE_OPEN, false, 0, 0, 0, "", "", "", 0, "", "", "", 0, 0, 0, 0, \
	"", "", "", false, false, "" }

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
 * certificate or key, ours or theirs), EPROTONOSUPPORT (what this build does not speak), EMFILE, ENOMEM;
 * ws_last_error(3) says more. Source: RFC 6455, section 4.1.
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
 * Listen for WebSocket connections. The host of url is the address to bind, port 0 lets the system choose one, and a
 * path other than "/" is the only one served. Connections are accepted and their handshakes done from now on, by the
 * helper threads; up to options->backlog of them wait for ws_accept(3). Freed by ws_listener_close(3).
 *
 * A wss listener needs cert_file. A socket file of ws+unix that nobody listens on any more is replaced.
 *
 * Returns NULL with errno EINVAL, ENOENT, EADDRINUSE, EADDRNOTAVAIL, EACCES, EKEYREJECTED, EPROTONOSUPPORT, EMFILE,
 * ENFILE, ENOMEM, EAGAIN; see ws_last_error(3).
 */
WS_EXPORT struct ws_listener *ws_listen(const char *url, const struct ws_options *options);

/*
 * The next connection as a stream, in order of their handshakes' ends. Blocks until there is one. mode is as for
 * ws_fopen(3). Any number of threads may wait on one listener.
 *
 * Returns NULL with errno EINVAL, EINTR, EBADF (the listener was closed meanwhile), EMFILE, ENOMEM.
 */
WS_EXPORT FILE *ws_accept(struct ws_listener *listener, const char *mode);

/* As ws_accept(3), as two streams: see ws_fopen_pair(3). Returns 0 or -1. */
WS_EXPORT int ws_accept_pair(struct ws_listener *listener, FILE *half[2]);

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
 * or that of the flush. Source: RFC 6455, section 7.
 */
WS_EXPORT int ws_shutdown(FILE *stream, unsigned code, const char *reason);

/*
 * Read what is there: at most size bytes, at least one, what stdio has buffered first. Blocks only while there is
 * nothing at all. Returns 0 at EOF (as for size 0), or -1 with errno as for fread(3) and EBADF (not a stream of ours
 * that reads). Mixes freely with stdio's own reading.
 */
WS_EXPORT ssize_t ws_read_some(FILE *stream, void *buffer, size_t size);

/* What is known of the stream. Does not block. Returns -1 with errno EBADF or EINVAL (status->size). */
WS_EXPORT int ws_status(FILE *stream, struct ws_status *status);

/*
 * A header of the peer's handshake by name, case ignored; several of one name are joined with ", ". The string lives
 * as long as the stream. Returns NULL where there is none (errno ENOENT) or stream is not ours (EBADF).
 */
WS_EXPORT const char *ws_header(FILE *stream, const char *name);

/*
 * This thread's last failed opener (ws_fopen, ws_fopen_with, ws_fopen_pair, ws_listen, ws_listener_reload, ws_accept,
 * ws_accept_pair). Never NULL; lives until the next.
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
