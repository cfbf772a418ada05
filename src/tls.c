/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "tls_private.h"

/* Plain bytes of a full record (RFC 8446, section 5.1). */
#define RECORD_BYTES 16384
/* Cipher bytes gathered for one send. Measured against SSL_write alone: 16 KiB 0.70, 32 KiB 0.84, 64 KiB 1.00. */
#define GATHER_BYTES 65536

/* --- fork --- */

/*
 * In a forked child the parent's connections are not ours: what stdio still holds would go out under a nonce that the
 * parent uses, too, which gives AES-GCM's key away. Asked before the lock, which another thread may have held then.
 */
static bool is_inherited(const struct wsf_tls *tls)
{
	return tls->generation != wsf_process_generation();
}

/* --- life --- */

static int set_up(struct wsf_tls *tls, const char *name, const char *session_key)
{
	BIO *bio = wsf_tls_new_bio(tls);

	tls->ssl = SSL_new(tls->context->ctx);
	if (tls->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		return -ENOMEM;
	}
	SSL_set_bio(tls->ssl, bio, bio);
	wsf_tls_count_messages(tls);
	if (!tls->context->server)
		return wsf_tls_set_up_client(tls, name, session_key);
	SSL_set_accept_state(tls->ssl);
	return 0;
}

int wsf_tls_create(struct wsf_tls **out, struct wsf_tls_context *context, const char *name, const char *session_key)
{
	struct wsf_tls *tls = calloc(1, sizeof *tls);
	struct wsf_tls_errors *errors;
	int rv;

	if (tls == NULL)
		return -ENOMEM;
	tls->generation = wsf_process_generation();
	tls->context = wsf_tls_context_ref(context);
	atomic_init(&tls->more, false);
	atomic_init(&tls->drained, false);
	atomic_init(&tls->stalled, false);
	pthread_mutex_init(&tls->lock, NULL);
	wsf_process_enter();
	errors = wsf_tls_errors_aside();
	rv = set_up(tls, name, session_key);
	wsf_tls_errors_back(errors);
	wsf_process_leave();
	if (rv != 0) {
		wsf_tls_free(tls);
		return rv;
	}
	*out = tls;
	return 0;
}

int wsf_tls_feed(struct wsf_tls *tls, const void *data, size_t size)
{
	if (size == 0)
		return 0;
	if ((tls->in = malloc(size)) == NULL)
		return -ENOMEM;
	memcpy(tls->in, data, size);
	tls->in_end = size;
	atomic_store(&tls->more, true);
	return 0;
}

void wsf_tls_free(struct wsf_tls *tls)
{
	if (tls == NULL)
		return;
	/* OpenSSL forgets the session of a connection that was not shut down, and other connections may use it. */
	if (tls->ssl != NULL && tls->established)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	wsf_process_enter();
	SSL_free(tls->ssl);
	wsf_process_leave();
	wsf_tls_context_unref(tls->context);
	pthread_mutex_destroy(&tls->lock);
	free(tls->in);
	free(tls->out);
	free(tls->name);
	free(tls->session_key);
	free(tls);
}

/* --- calls --- */

void wsf_tls_enter(struct wsf_tls *tls, struct wsf_socket *sock)
{
	wsf_lock(&tls->lock, WSF_RANK_TLS);
	wsf_process_enter();
	tls->socket = sock;
	tls->emptied = false;
	tls->taken_bytes = 0;
	tls->errors = wsf_tls_errors_aside();
}

void wsf_tls_leave(struct wsf_tls *tls)
{
	wsf_tls_errors_back(tls->errors);
	wsf_tls_release_out(tls, false);
	tls->socket = NULL;
	wsf_process_leave();
	wsf_unlock(&tls->lock, WSF_RANK_TLS);
}

int wsf_tls_outcome(struct wsf_tls *tls)
{
	if (tls->failure.error != 0)
		return -tls->failure.error;
	if (tls->socket_error != 0)
		return tls->socket_error;
	/* A fatal alert counts as a shutdown for OpenSSL, so errors come first. */
	if (ERR_peek_error() == 0 && ((SSL_get_shutdown(tls->ssl) & SSL_RECEIVED_SHUTDOWN) != 0 || tls->ended))
		return 0;
	if (ERR_peek_error() == 0 && SSL_want_read(tls->ssl))
		return -EAGAIN;
	(void)wsf_tls_explain(&tls->failure, tls->ssl, tls->name);
	return -tls->failure.error;
}

/* --- data --- */

/* Where a send goes on: the piece, and how much of it has gone. */
struct cursor {
	const struct iovec *iov;
	int count;
	size_t done;
};

static void skip_empty(struct cursor *cursor)
{
	while (cursor->count > 0 && cursor->done == cursor->iov->iov_len) {
		cursor->iov++;
		cursor->count--;
		cursor->done = 0;
	}
}

/* The next record's plain bytes: where they lie, or gathered where they are of several pieces. Returns their number. */
static size_t next_record(struct cursor *cursor, uint8_t gathered[RECORD_BYTES], const uint8_t **data)
{
	size_t n, total = 0;

	skip_empty(cursor);
	if (cursor->count == 0)
		return 0;
	*data = (const uint8_t *)cursor->iov->iov_base + cursor->done;
	n = cursor->iov->iov_len - cursor->done;
	if (n >= RECORD_BYTES || cursor->count == 1) {
		n = n < RECORD_BYTES ? n : RECORD_BYTES;
		cursor->done += n;
		return n;
	}
	*data = gathered;
	while (total < RECORD_BYTES && cursor->count > 0) {
		n = cursor->iov->iov_len - cursor->done;
		if (n > RECORD_BYTES - total)
			n = RECORD_BYTES - total;
		memcpy(gathered + total, (const uint8_t *)cursor->iov->iov_base + cursor->done, n);
		total += n;
		cursor->done += n;
		skip_empty(cursor);
	}
	return total;
}

/* Encrypt records until one send's worth is gathered. Returns the plain bytes taken, or a negative errno. */
static ssize_t encrypt(struct wsf_tls *tls, struct cursor *cursor)
{
	uint8_t gathered[RECORD_BYTES];
	const uint8_t *data;
	size_t n, taken = 0;
	int rv;

	while (wsf_tls_owed(tls) < GATHER_BYTES && (n = next_record(cursor, gathered, &data)) > 0) {
		if (SSL_write(tls->ssl, data, (int)n) <= 0) {
			rv = wsf_tls_outcome(tls);
			if (rv != -EAGAIN)
				return rv < 0 ? rv : -EPIPE;
			/* In the middle of a message of TLS's own (a ticket), whose rest has to come first. */
			atomic_store(&tls->stalled, true);
			cursor->count = 0;
			return taken > 0 ? (ssize_t)taken : -EAGAIN;
		}
		taken += n;
	}
	return (ssize_t)taken;
}

ssize_t wsf_tls_send(struct wsf_tls *tls, struct wsf_socket *sock, const struct iovec *iov, int count)
{
	struct cursor cursor = { .iov = iov, .count = count };
	ssize_t taken, total = 0;
	int rv;

	if (is_inherited(tls))
		return -EPIPE;
	wsf_tls_enter(tls, sock);
	rv = tls->established ? wsf_tls_flush_out(tls) : -EAGAIN;
	while (rv == 0 && (taken = encrypt(tls, &cursor)) != 0) {
		if (taken < 0)
			rv = (int)taken;
		else
			total += taken;
		if (rv == 0)
			rv = wsf_tls_flush_out(tls);
	}
	wsf_tls_leave(tls);
	return total > 0 ? total : rv;
}

ssize_t wsf_tls_receive(struct wsf_tls *tls, struct wsf_socket *sock, const struct iovec *iov, int count)
{
	size_t total = 0, done = 0;
	int n, i = 0, rv = 0;

	if (is_inherited(tls))
		return -ECONNRESET;
	wsf_tls_enter(tls, sock);
	if (!tls->established)
		rv = wsf_tls_shake_hands(tls);
	while (rv == 0 && i < count) {
		if (done == iov[i].iov_len) {
			done = 0;
			i++;
			continue;
		}
		n = SSL_read(tls->ssl, (uint8_t *)iov[i].iov_base + done, (int)(iov[i].iov_len - done));
		if (n <= 0)
			break;
		done += (size_t)n;
		total += (size_t)n;
		tls->messages = 0;
	}
	if (rv == 0 && i < count)
		rv = wsf_tls_outcome(tls);
	/* An end or an error behind data is told by the next call, and the socket has nothing more to wake it. */
	atomic_store(&tls->drained, i < count && rv == -EAGAIN && tls->emptied);
	atomic_store(&tls->more, i == count ? SSL_has_pending(tls->ssl) == 1 || tls->in != NULL :
	    total > 0 && rv != -EAGAIN);
	if (tls->taken_bytes > 0 && atomic_exchange(&tls->stalled, false))
		tls->resumed = true;
	if (wsf_tls_owed(tls) > 0)
		(void)wsf_tls_flush_out(tls);
	wsf_tls_leave(tls);
	return total > 0 ? (ssize_t)total : rv;
}

int wsf_tls_flush(struct wsf_tls *tls, struct wsf_socket *sock)
{
	int rv;

	if (is_inherited(tls))
		return -EPIPE;
	wsf_tls_enter(tls, sock);
	rv = wsf_tls_flush_out(tls);
	/* Sending can be tried again: as if something had been left to send. */
	if (rv == 0 && tls->resumed)
		rv = -EAGAIN;
	tls->resumed = false;
	wsf_tls_leave(tls);
	return rv;
}

bool wsf_tls_stalled(struct wsf_tls *tls)
{
	return atomic_load(&tls->stalled);
}

size_t wsf_tls_unsent(struct wsf_tls *tls)
{
	size_t bytes;

	wsf_lock(&tls->lock, WSF_RANK_TLS);
	bytes = wsf_tls_owed(tls);
	wsf_unlock(&tls->lock, WSF_RANK_TLS);
	return bytes;
}

bool wsf_tls_at_end(struct wsf_tls *tls, struct wsf_socket *sock)
{
	bool end = false;
	char byte;

	if (is_inherited(tls))
		return true;
	wsf_tls_enter(tls, sock);
	if (tls->established && tls->failure.error == 0)
		end = SSL_peek(tls->ssl, &byte, 1) <= 0 && wsf_tls_outcome(tls) == 0;
	/* The close_notify is out of the socket now: whoever receives has to be told. */
	if (end)
		atomic_store(&tls->more, true);
	wsf_tls_leave(tls);
	return end;
}

void wsf_tls_finish(struct wsf_tls *tls, struct wsf_socket *sock)
{
	if (is_inherited(tls))
		return;
	wsf_tls_enter(tls, sock);
	if (tls->established && !tls->notified) {
		tls->notified = true;
		(void)SSL_shutdown(tls->ssl);
	}
	/* The end of TCP follows: what finds no room now never does. */
	if (wsf_tls_flush_out(tls) != 0)
		tls->out_start = tls->out_end = 0;
	wsf_tls_leave(tls);
}

void wsf_tls_idle(struct wsf_tls *tls)
{
	wsf_lock(&tls->lock, WSF_RANK_TLS);
	wsf_tls_release_out(tls, true);
	wsf_unlock(&tls->lock, WSF_RANK_TLS);
}

bool wsf_tls_pending(struct wsf_tls *tls)
{
	return atomic_load(&tls->more);
}

bool wsf_tls_drained(struct wsf_tls *tls)
{
	return atomic_load(&tls->drained);
}

bool wsf_tls_failure(struct wsf_tls *tls, struct wsf_failure *failure)
{
	bool failed;

	if (is_inherited(tls))
		return false;
	wsf_lock(&tls->lock, WSF_RANK_TLS);
	failed = tls->failure.error != 0;
	if (failed)
		*failure = tls->failure;
	wsf_unlock(&tls->lock, WSF_RANK_TLS);
	return failed;
}

static void copy_text(char *out, size_t out_bytes, const char *text)
{
	size_t length = strnlen(text, out_bytes - 1);

	memcpy(out, text, length);
	out[length] = '\0';
}

void wsf_tls_status(struct wsf_tls *tls, struct ws_status *status)
{
	X509 *certificate;

	if (is_inherited(tls))
		return;
	wsf_tls_enter(tls, NULL);
	if (tls->established) {
		copy_text(status->tls_version, sizeof status->tls_version, SSL_get_version(tls->ssl));
		copy_text(status->tls_cipher, sizeof status->tls_cipher, SSL_get_cipher_name(tls->ssl));
		status->tls_resumed = SSL_session_reused(tls->ssl) == 1;
		certificate = SSL_get_peer_certificate(tls->ssl);
		if (certificate != NULL)
			wsf_tls_subject(certificate, status->tls_peer, sizeof status->tls_peer);
		X509_free(certificate);
	}
	wsf_tls_leave(tls);
}
