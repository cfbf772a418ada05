/* SPDX-License-Identifier: 0BSD */
/* A connection whose library end is a descriptor of ws_socket, with a raw peer at the other. */
#ifndef DESCRIPTOR_H
#define DESCRIPTOR_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

struct line {
	int fd;				/* the program's; -1 = closed by the test */
	int peer, listener;
};

static inline void *line_serve(void *argument)
{
	struct line *line = argument;

	line->peer = peer_accept(line->listener);
	free(peer_serve_handshake(line->peer));
	return NULL;
}

/* Without a count: the test's own. */
static inline void line_join(struct line *line, const struct ws_options *options, int peer_receive_bytes)
{
	pthread_t thread;
	unsigned port;
	char url[64];

	line->peer = -1;
	line->listener = peer_listen_sized(&port, peer_receive_bytes);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&thread, line_serve, line);
	line->fd = ws_socket(url, options);
	ck_assert_msg(line->fd >= 0, "%s", ws_last_error()->text);
	peer_join(thread);
}

static inline void line_open(struct line *line, const struct ws_options *options, int peer_receive_bytes)
{
	peer_count_begin();
	line_join(line, options, peer_receive_bytes);
}

static inline void line_close_fd(struct line *line)
{
	ck_assert_int_eq(close(line->fd), 0);
	line->fd = -1;
}

static inline void line_part(struct line *line)
{
	if (line->fd >= 0)
		ck_assert_int_eq(close(line->fd), 0);
	if (line->peer >= 0)
		ck_assert_int_eq(close(line->peer), 0);
	ck_assert_int_eq(close(line->listener), 0);
}

/* Threads and descriptors of the library are gone, too. */
static inline void line_end(struct line *line)
{
	line_part(line);
	peer_count_end();
}

static inline void line_say(struct line *line, const char *text)
{
	peer_frame(line->peer, PEER_BINARY, false, text, strlen(text));
}

static inline void line_write(int fd, const void *data, size_t size)
{
	const char *at = data;
	ssize_t n;

	for (; size > 0; at += n, size -= (size_t)n) {
		n = send(fd, at, size, MSG_NOSIGNAL);
		ck_assert_msg(n > 0, "send: %s", strerror(errno));
	}
}

static inline void line_expect(int fd, const char *text)
{
	size_t size = strlen(text), done = 0;
	char *got = calloc(1, size + 1);
	ssize_t n;

	for (; done < size; done += (size_t)n) {
		n = read(fd, got + done, size - done);
		ck_assert_msg(n > 0, "read %zd (%s) behind %zu bytes", n, n < 0 ? strerror(errno) : "end", done);
	}
	ck_assert_str_eq(got, text);
	free(got);
}

/* The next read: the end of file (error 0), or that error. */
static inline void line_expect_end(int fd, int error)
{
	char byte;
	ssize_t n;

	errno = 0;
	n = read(fd, &byte, 1);
	if (error == 0)
		ck_assert_msg(n == 0, "read %zd: %s", n, strerror(errno));
	else
		ck_assert_msg(n == -1 && errno == error, "read %zd: %s", n, strerror(errno));
}

/* Our Close comes with that code, behind exactly that data; with a Close in answer, TCP ends in order. */
static inline void line_expect_close(struct line *line, unsigned code, const char *data, bool answer)
{
	uint8_t *got = NULL;
	size_t size = 0;

	ck_assert_uint_eq(peer_read_until_close(line->peer, &got, &size), code);
	ck_assert_uint_eq(size, strlen(data));
	ck_assert(size == 0 || memcmp(got, data, size) == 0);
	free(got);
	if (answer)
		peer_close(line->peer, false, 1000, "");
	peer_fin(line->peer);
	ck_assert_msg(peer_at_end(line->peer), "data behind our Close");
}

#endif
