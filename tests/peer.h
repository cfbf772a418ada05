/* SPDX-License-Identifier: 0BSD */
/*
 * A raw WebSocket peer for the tests: plain blocking sockets and its own few lines of RFC 6455, so that it can
 * misbehave and shares no code with the library. Everything asserts (Check) on a local failure. It runs in the test's
 * thread or in a thread started with peer_thread.
 */
#ifndef PEER_H
#define PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* --- sockets: loopback only, port 0 only; every blocking call gives up (assert) after 20 s --- */
int peer_listen(unsigned *port);		/* a listening descriptor */
int peer_accept(int listener);
int peer_connect(unsigned port);
/* The same with a small SO_RCVBUF, to be filled soon; 0 = the system's. */
int peer_listen_sized(unsigned *port, int receive_bytes);
int peer_connect_sized(unsigned port, int receive_bytes);
unsigned peer_url_port(const char *url);	/* the port of "ws://127.0.0.1:PORT/…" */
void peer_send(int fd, const void *data, size_t size);	/* all of it */
bool peer_try_send(int fd, const void *data, size_t size);	/* false when the other end is gone; never a signal */
size_t peer_recv(int fd, void *data, size_t size);	/* exactly size, or fewer at the end of TCP (or a reset) */
bool peer_at_end(int fd);			/* waits for the TCP end (true: FIN or RST; false: a byte came) */
bool peer_was_reset(int fd);			/* waits: true for RST, false for FIN; data before it is discarded */
void peer_fin(int fd);				/* shutdown(SHUT_WR) */
void peer_reset(int fd);			/* RST and close */
void peer_wait_sent(int fd);			/* until the other end's kernel has acknowledged every byte */
void peer_wait_blocked(int fd);			/* until fd would not take another byte: the other end has paused */

/* --- opening handshake --- */
/* As a server: read a request and answer 101. Returns the request text, to be freed. */
char *peer_serve_handshake(int fd);
/* The same with the answer given (printf-like, %s once for the right accept value, or none). */
char *peer_serve_answer(int fd, const char *format);
/* As a client: send a good upgrade for target and insist on 101; extra is "" or whole header lines with CRLF. */
void peer_client_handshake(int fd, unsigned port, const char *target, const char *extra);
/* As a client: send text as it is, read the answer's header block and body until the end of TCP or of the header of a
 * 101. Returns it, to be freed. */
char *peer_client_raw(int fd, const char *text, size_t size);

/* --- frames --- */
struct peer_frame {
	unsigned byte0;				/* FIN, RSV, opcode */
	bool masked;
	uint64_t size;
	uint8_t *payload;			/* malloc'd, unmasked, a NUL behind it */
};
#define PEER_TEXT 0x81
#define PEER_BINARY 0x82
#define PEER_CLOSE 0x88
#define PEER_PING 0x89
#define PEER_PONG 0x8a
/* Send a frame; masked with a fixed key when mask. */
void peer_frame(int fd, unsigned byte0, bool mask, const void *payload, size_t size);
/* false when the other end is gone. */
bool peer_try_frame(int fd, unsigned byte0, bool mask, const void *payload, size_t size);
/* Only a frame's header, with the fixed key 37 fa 21 3d when mask: its length. */
size_t peer_frame_head(uint8_t head[14], unsigned byte0, bool mask, uint64_t size);
/* A Close frame: code 0 = empty payload. */
void peer_close(int fd, bool mask, unsigned code, const char *reason);
/* Read the next frame. Returns false at the end of TCP. */
bool peer_read_frame(int fd, struct peer_frame *frame);
void peer_frame_clear(struct peer_frame *frame);
unsigned peer_close_code(const struct peer_frame *frame);	/* of a Close; 1005 = none */
/* Read frames until a Close and return its code (1005 = none), 0 when TCP ended first; data frames are appended to
 * *data if not NULL (malloc'd, a NUL behind its *size bytes, NULL when there were none). */
unsigned peer_read_until_close(int fd, uint8_t **data, size_t *size);
/* The same with frames that read gets from elsewhere. */
unsigned peer_collect_until_close(bool (*read)(void *from, struct peer_frame *frame), void *from, uint8_t **data,
    size_t *size);

/* --- threads and leaks --- */
void peer_thread(pthread_t *thread, void *(*body)(void *), void *argument);
void peer_join(pthread_t thread);		/* asserts that it ends within 60 s, times CK_TIMEOUT_MULTIPLIER */
/*
 * Call at a test's start and end: the end waits up to 10 s until descriptors and threads are as many as before. They
 * may be nested, then the outermost count. Only in the test's own thread.
 */
void peer_count_begin(void);
void peer_count_end(void);

#endif
