/* SPDX-License-Identifier: 0BSD */
/* Cipher bytes between OpenSSL and the socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls_private.h"

/* Answers that TLS itself owes and the other end does not take: more is an attack. */
#define OWED_MAX_BYTES (256 * 1024)

/* In one call: a peer whose records hold little or nothing must not keep the thread, or the lock. */
#define TAKE_MAX_BYTES (128 * 1024)

/* For a short message, and where malloc is at its fastest. */
#define OUT_MIN_BYTES 512
/* A longer gathering buffer serves a bulk of data, and stays as long as that lasts. */
#define OUT_SMALL_BYTES 8192

/*
 * Key updates, session tickets and the like behind the handshake, without data between them. Each costs new keys or a
 * session, many times as much as to send a byte, and OpenSSL takes any number of them.
 */
#define MESSAGES_MAX 32

size_t wsf_tls_owed(const struct wsf_tls *tls)
{
	return tls->out_end - tls->out_start;
}

static int append_out(struct wsf_tls *tls, const void *data, size_t size)
{
	size_t capacity = tls->out_capacity > 0 ? tls->out_capacity : OUT_MIN_BYTES;
	uint8_t *out;

	if (wsf_tls_owed(tls) + size > OWED_MAX_BYTES)
		return -ENOBUFS;
	if (tls->out_start > 0) {
		memmove(tls->out, tls->out + tls->out_start, wsf_tls_owed(tls));
		tls->out_end -= tls->out_start;
		tls->out_start = 0;
	}
	while (tls->out_end + size > capacity)
		capacity *= 2;
	if (capacity > tls->out_capacity) {
		if ((out = realloc(tls->out, capacity)) == NULL)
			return -ENOMEM;
		tls->out = out;
		tls->out_capacity = capacity;
	}
	memcpy(tls->out + tls->out_end, data, size);
	tls->out_end += size;
	return 0;
}

int wsf_tls_flush_out(struct wsf_tls *tls)
{
	struct iovec iov;
	ssize_t sent;

	while (wsf_tls_owed(tls) > 0) {
		iov = (struct iovec){ tls->out + tls->out_start, wsf_tls_owed(tls) };
		sent = wsf_socket_send(tls->socket, &iov, 1);
		/* EPIPE is no news: the end of the socket was told, or is still there to be received. */
		if (sent < 0 && sent != -EAGAIN && sent != -EPIPE)
			tls->send_error = (int)sent;
		if (sent < 0)
			return (int)sent;
		tls->out_start += (size_t)sent;
	}
	tls->out_start = tls->out_end = 0;
	return 0;
}

void wsf_tls_release_out(struct wsf_tls *tls, bool idle)
{
	if (wsf_tls_owed(tls) > 0 || (tls->out_capacity > OUT_SMALL_BYTES && !idle))
		return;
	free(tls->out);
	tls->out = NULL;
	tls->out_start = tls->out_end = tls->out_capacity = 0;
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct wsf_tls *tls = BIO_get_data(bio);

	int rv;

	BIO_clear_retry_flags(bio);
	rv = append_out(tls, data, (size_t)size);
	/* OpenSSL has nothing to say of it. */
	if (rv == -ENOMEM && tls->failure.error == 0)
		wsf_fail_errno(&tls->failure, ENOMEM, "TLS failed");
	else if (rv != 0 && tls->failure.error == 0)
		wsf_fail(&tls->failure, EPROTO, "TLS failed: the other end takes no answers");
	return rv == 0 ? size : -1;
}

/* What was received before all else. Returns how much of it there was. */
static size_t take_fed(struct wsf_tls *tls, void *data, size_t size)
{
	size_t left = tls->in_end - tls->in_start, n = size < left ? size : left;

	memcpy(data, tls->in + tls->in_start, n);
	tls->in_start += n;
	if (n == left) {
		free(tls->in);
		tls->in = NULL;
	}
	return n;
}

/* A handshake record begins with 22. */
static void note_received(struct wsf_tls *tls, const char *data, size_t size)
{
	atomic_store(&tls->drained, false);
	tls->taken_bytes += size;
	if (!tls->begun && tls->context->server && size > 0)
		tls->http = data[0] >= 'A' && data[0] <= 'Z';
	tls->begun |= size > 0;
}

/* OpenSSL's, of each message in either direction. */
static void count_message(int sent, int version, int type, const void *data, size_t size, SSL *ssl, void *opaque)
{
	struct wsf_tls *tls = opaque;

	(void)version, (void)data, (void)size, (void)ssl;
	if (!sent && type == SSL3_RT_HANDSHAKE && tls->established && tls->messages <= MESSAGES_MAX)
		tls->messages++;
}

void wsf_tls_count_messages(struct wsf_tls *tls)
{
	SSL_set_msg_callback(tls->ssl, count_message);
	SSL_set_msg_callback_arg(tls->ssl, tls);
}

static int bio_read(BIO *bio, char *data, int size)
{
	struct wsf_tls *tls = BIO_get_data(bio);
	struct iovec iov = { data, (size_t)size };
	ssize_t received;

	BIO_clear_retry_flags(bio);
	if (tls->messages > MESSAGES_MAX && tls->failure.error == 0)
		wsf_fail(&tls->failure, EPROTO, "the other end sent more than %d messages of TLS without data",
		    MESSAGES_MAX);
	if (tls->socket_error != 0 || tls->failure.error != 0)
		return -1;
	if (tls->ended)
		return 0;
	if (tls->in != NULL) {
		received = (ssize_t)take_fed(tls, data, (size_t)size);
		note_received(tls, data, (size_t)received);
		return (int)received;
	}
	tls->emptied |= tls->taken_bytes >= TAKE_MAX_BYTES;
	received = tls->emptied ? -EAGAIN : wsf_socket_receive(tls->socket, &iov, 1);
	if (received == -EAGAIN) {
		tls->emptied = true;
		BIO_set_retry_read(bio);
		return -1;
	}
	/* A reset that a send was told of. */
	if (received == 0 && tls->send_error != 0)
		received = tls->send_error;
	if (received < 0) {
		tls->socket_error = (int)received;
		return -1;
	}
	tls->ended = received == 0;
	tls->emptied = received < size;
	note_received(tls, data, (size_t)received);
	return (int)received;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	const struct wsf_tls *tls = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return tls->ended;
	default:
		return 0;
	}
}

/* For the process's life: connections of other threads may outlive any exit handler. */
static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wsfile");
	if (bio_method == NULL)
		return;
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

BIO *wsf_tls_new_bio(struct wsf_tls *tls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_bio_method);
	bio = bio_method != NULL ? BIO_new(bio_method) : NULL;
	if (bio != NULL) {
		BIO_set_data(bio, tls);
		BIO_set_init(bio, 1);
	}
	return bio;
}
