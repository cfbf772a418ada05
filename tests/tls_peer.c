/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <check.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "tls_peer.h"

#define MAX_FRAME_BYTES ((uint64_t)1 << 30)
#define CHUNK_BYTES 16384

/* ck_assert writes a mark to Check's pipe on success too: far too slow for each frame of a bulk transfer. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

static const uint8_t fixed_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* --- OpenSSL over a socket, without SIGPIPE, and with a place where TCP is cut --- */

/* What of size may still be sent; the cut is made when nothing is left. */
static size_t before_cut(struct tls_peer *peer, size_t size)
{
	if (peer->left_bytes == SIZE_MAX)
		return size;
	if (size > peer->left_bytes)
		size = peer->left_bytes;
	peer->left_bytes -= size;
	return size;
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct tls_peer *peer = BIO_get_data(bio);
	size_t part = peer->byte_by_byte ? 1 : (size_t)size, done = before_cut(peer, (size_t)size);

	for (size_t i = 0; i < done; i += part) {
		if (!peer_try_send(peer->fd, data + i, part < done - i ? part : done - i))
			return -1;
	}
	if (peer->left_bytes == 0) {
		peer_fin(peer->fd);
		return -1;
	}
	return (int)done;
}

static int bio_read(BIO *bio, char *data, int size)
{
	struct tls_peer *peer = BIO_get_data(bio);
	ssize_t got;

	if (peer->left_bytes == 0)
		return 0;
	do
		got = recv(peer->fd, data, (size_t)size, 0);
	while (got < 0 && errno == EINTR);
	insist(got >= 0 || errno == ECONNRESET || errno == EPIPE, "the TLS peer waits in vain: %s", strerror(errno));
	return (int)got;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void free_bio_method(void)
{
	BIO_meth_free(bio_method);
}

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tls_peer");
	insist(bio_method != NULL, "out of memory");
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_control);
	atexit(free_bio_method);
}

static BIO *new_bio(struct tls_peer *peer)
{
	BIO *bio;

	pthread_once(&bio_once, make_bio_method);
	bio = BIO_new(bio_method);
	insist(bio != NULL, "out of memory");
	BIO_set_data(bio, peer);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- contexts --- */

static const char *queue_text(char *out, size_t size)
{
	unsigned long code = ERR_peek_last_error();

	if (code == 0)
		snprintf(out, size, "cut");
	else
		ERR_error_string_n(code, out, size);
	ERR_clear_error();
	return out;
}

static void insist_tls(bool good, const char *what)
{
	char text[256];

	if (!good)
		ck_abort_msg("%s: %s", what, queue_text(text, sizeof text));
}

static size_t alpn_list(const char *alpn, unsigned char out[64])
{
	size_t length = strlen(alpn);

	insist(length < 63, "ALPN %s is too long", alpn);
	out[0] = (unsigned char)length;
	memcpy(out + 1, alpn, length);
	return length + 1;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
    unsigned in_bytes, void *argument)
{
	const struct tls_setup *setup = argument;
	size_t length = strlen(setup->alpn);

	(void)ssl;
	*out = (const unsigned char *)setup->alpn;
	*out_bytes = (unsigned char)length;
	if (setup->alpn_unasked)
		return SSL_TLSEXT_ERR_OK;
	for (unsigned i = 0; i < in_bytes; i += in[i] + 1u) {
		if (in[i] == length && i + 1 + length <= in_bytes && memcmp(in + i + 1, setup->alpn, length) == 0)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_alpn(SSL_CTX *context, bool server, const struct tls_setup *setup)
{
	unsigned char list[64];
	size_t size;

	if (setup->alpn == NULL)
		return;
	if (server) {
		SSL_CTX_set_alpn_select_cb(context, choose_alpn, (void *)(uintptr_t)setup);
		return;
	}
	size = alpn_list(setup->alpn, list);
	insist_tls(SSL_CTX_set_alpn_protos(context, list, (unsigned)size) == 0, "ALPN");
}

static void set_versions(SSL_CTX *context, const struct tls_setup *setup)
{
	int least = setup->min_version != 0 ? setup->min_version : TLS1_2_VERSION;

	/* OpenSSL's own level 1 allows no signature that TLS 1.0 and 1.1 have. */
	if (least < TLS1_2_VERSION)
		SSL_CTX_set_security_level(context, 0);
	insist_tls(SSL_CTX_set_min_proto_version(context, least) == 1, "least version");
	insist_tls(SSL_CTX_set_max_proto_version(context, setup->max_version) == 1, "greatest version");
	if (setup->ciphers != NULL)
		insist_tls(SSL_CTX_set_cipher_list(context, setup->ciphers) == 1, setup->ciphers);
}

SSL_CTX *tls_context(bool server, const struct tls_setup *setup)
{
	static const unsigned char id[] = "tls_peer";
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	insist_tls(context != NULL, "SSL_CTX_new");
	set_versions(context, setup);
	set_alpn(context, server, setup);
	if (!setup->renegotiation)
		SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
	if (setup->cert_file != NULL)
		insist_tls(SSL_CTX_use_certificate_chain_file(context, setup->cert_file) == 1, setup->cert_file);
	if (setup->key_file != NULL)
		insist_tls(SSL_CTX_use_PrivateKey_file(context, setup->key_file, SSL_FILETYPE_PEM) == 1,
		    setup->key_file);
	if (setup->ca_file != NULL) {
		insist_tls(SSL_CTX_load_verify_locations(context, setup->ca_file, NULL) == 1, setup->ca_file);
		SSL_CTX_set_verify(context, setup->demand ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT :
		    SSL_VERIFY_PEER, NULL);
	}
	if (server)
		insist_tls(SSL_CTX_set_session_id_context(context, id, sizeof id - 1) == 1, "session id context");
	return context;
}

/* --- one connection --- */

/* KeyUpdate is message type 24 (RFC 8446, section 4). */
static void count_key_updates(int sent, int version, int type, const void *data, size_t size, SSL *ssl, void *argument)
{
	struct tls_peer *peer = argument;

	(void)version;
	(void)ssl;
	if (!sent && type == SSL3_RT_HANDSHAKE && size > 0 && *(const unsigned char *)data == SSL3_MT_KEY_UPDATE)
		peer->key_updates++;
}

static void set_up(struct tls_peer *peer, const struct tls_setup *setup)
{
	SSL_CTX *context = setup->context != NULL ? setup->context : tls_context(peer->server, setup);
	BIO *bio = new_bio(peer);

	peer->ssl = SSL_new(context);
	insist_tls(peer->ssl != NULL, "SSL_new");
	if (setup->context == NULL)
		SSL_CTX_free(context);
	SSL_set_bio(peer->ssl, bio, bio);
	SSL_set_msg_callback(peer->ssl, count_key_updates);
	SSL_set_msg_callback_arg(peer->ssl, peer);
	if (setup->server_name != NULL)
		insist_tls(SSL_set_tlsext_host_name(peer->ssl, setup->server_name) == 1, "server name");
	if (setup->session != NULL)
		insist_tls(SSL_set_session(peer->ssl, setup->session) == 1, "session");
}

bool tls_peer_try_open(struct tls_peer *peer, int fd, bool server, const struct tls_setup *setup)
{
	int result;

	*peer = (struct tls_peer){ .fd = fd, .server = server, .byte_by_byte = setup->byte_by_byte };
	peer->left_bytes = setup->cut_after_bytes > 0 ? setup->cut_after_bytes : SIZE_MAX;
	if (setup->plain)
		return true;
	set_up(peer, setup);
	ERR_clear_error();
	result = server ? SSL_accept(peer->ssl) : SSL_connect(peer->ssl);
	if (result != 1)
		queue_text(peer->error, sizeof peer->error);
	return result == 1;
}

void tls_peer_open(struct tls_peer *peer, int fd, bool server, const struct tls_setup *setup)
{
	insist(tls_peer_try_open(peer, fd, server, setup), "TLS handshake of the peer: %s", peer->error);
}

void tls_peer_clear(struct tls_peer *peer)
{
	SSL_free(peer->ssl);
	if (peer->fd >= 0)
		insist(close(peer->fd) == 0, "close: %s", strerror(errno));
	*peer = (struct tls_peer){ .fd = -1 };
}

/* --- bytes --- */

bool tls_peer_try_send(struct tls_peer *peer, const void *data, size_t size)
{
	bool sent;

	if (size == 0)
		return true;
	if (peer->ssl == NULL)
		return peer_try_send(peer->fd, data, size);
	ERR_clear_error();
	sent = SSL_write(peer->ssl, data, (int)size) == (int)size;
	ERR_clear_error();
	return sent;
}

void tls_peer_send(struct tls_peer *peer, const void *data, size_t size)
{
	insist(tls_peer_try_send(peer, data, size), "tls_peer_send: the other end is gone");
}

size_t tls_peer_recv(struct tls_peer *peer, void *data, size_t size)
{
	size_t done = 0, got;

	if (peer->ssl == NULL)
		return peer_recv(peer->fd, data, size);
	ERR_clear_error();
	while (done < size && SSL_read_ex(peer->ssl, (uint8_t *)data + done, size - done, &got) == 1)
		done += got;
	ERR_clear_error();
	return done;
}

enum tls_end tls_peer_end(struct tls_peer *peer)
{
	char data[4096];
	int error, got;

	if (peer->ssl == NULL) {
		while (peer_recv(peer->fd, data, sizeof data) == sizeof data)
			;
		return TLS_END_CUT;
	}
	ERR_clear_error();
	do
		got = SSL_read(peer->ssl, data, sizeof data);
	while (got > 0);
	error = SSL_get_error(peer->ssl, got);
	if (error == SSL_ERROR_ZERO_RETURN)
		return TLS_END_NOTIFIED;
	if (error == SSL_ERROR_SYSCALL ||
	    (error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)) {
		ERR_clear_error();
		return TLS_END_CUT;
	}
	queue_text(peer->error, sizeof peer->error);
	return TLS_END_ERROR;
}

void tls_peer_notify(struct tls_peer *peer)
{
	if (peer->ssl != NULL)
		insist_tls(SSL_shutdown(peer->ssl) >= 0, "close_notify");
}

void tls_peer_fin(struct tls_peer *peer)
{
	peer_fin(peer->fd);
}

void tls_peer_key_update(struct tls_peer *peer, bool both)
{
	insist_tls(SSL_key_update(peer->ssl, both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
	    SSL_do_handshake(peer->ssl) == 1, "key update");
}

bool tls_peer_renegotiate(struct tls_peer *peer)
{
	char byte;
	bool agreed;

	insist_tls(SSL_renegotiate(peer->ssl) == 1, "renegotiation");
	ERR_clear_error();
	/* A server has only asked then; it learns the answer while it reads. */
	agreed = SSL_do_handshake(peer->ssl) == 1;
	if (agreed && peer->server)
		agreed = SSL_read(peer->ssl, &byte, 1) > 0 && SSL_num_renegotiations(peer->ssl) > 0 &&
		    !SSL_renegotiate_pending(peer->ssl);
	queue_text(peer->error, sizeof peer->error);
	return agreed;
}

/* --- the opening handshake --- */

static char *read_block(struct tls_peer *peer, size_t *size)
{
	size_t capacity = 256 * 1024, used = 0;
	char *text = malloc(capacity);

	insist(text != NULL, "out of memory");
	while (used < capacity - 1 && tls_peer_recv(peer, text + used, 1) == 1) {
		used++;
		if (used >= 4 && memcmp(text + used - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	text[used] = '\0';
	*size = used;
	return text;
}

static void accept_for_request(const char *request, char out[29])
{
	static const char name[] = "\r\nSec-WebSocket-Key: ", guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strcasestr(request, name);
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[128];
	int length;

	out[0] = '\0';
	if (key == NULL)
		return;
	key += sizeof name - 1;
	length = snprintf(text, sizeof text, "%.*s%s", (int)strcspn(key, "\r\n"), key, guid);
	insist(length > 0 && (size_t)length < sizeof text &&
	    EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha1(), NULL) == 1, "SHA-1");
	EVP_EncodeBlock((unsigned char *)out, digest, 20);
}

char *tls_peer_serve_answer(struct tls_peer *peer, const char *format)
{
	struct pollfd silent = { .fd = peer->fd, .events = POLLIN };
	char accept[29], answer[8192];
	size_t size;
	char *request = read_block(peer, &size);
	int length;

	if (peer->hesitate_ms > 0)
		insist(poll(&silent, 1, peer->hesitate_ms) == 0, "the client does not wait for its answer");
	accept_for_request(request, accept);
	length = snprintf(answer, sizeof answer, format, accept);
	insist(length >= 0 && (size_t)length < sizeof answer, "the answer is too long");
	/* A client may rightly be gone before a long refusal is out. */
	tls_peer_try_send(peer, answer, (size_t)length);
	return request;
}

char *tls_peer_serve_handshake(struct tls_peer *peer)
{
	return tls_peer_serve_answer(peer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n");
}

char *tls_peer_client_raw(struct tls_peer *peer, const char *text, size_t size)
{
	size_t used, body, capacity = 65536;
	char *answer;

	tls_peer_try_send(peer, text, size);
	answer = read_block(peer, &used);
	if (strncmp(answer, "HTTP/1.1 101", 12) == 0)
		return answer;
	answer = realloc(answer, used + capacity + 1);
	insist(answer != NULL, "out of memory");
	body = tls_peer_recv(peer, answer + used, capacity);
	answer[used + body] = '\0';
	return answer;
}

void tls_peer_client_handshake(struct tls_peer *peer, const char *host, const char *target, const char *extra)
{
	char request[8192], accept[29];
	char *answer;
	int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
	    target, host, extra);

	insist(length > 0 && (size_t)length < sizeof request, "the request is too long");
	answer = tls_peer_client_raw(peer, request, (size_t)length);
	insist(strncmp(answer, "HTTP/1.1 101", 12) == 0, "the server answered: %s", answer);
	accept_for_request(request, accept);
	insist(strstr(answer, accept) != NULL, "wrong accept value: %s", answer);
	free(answer);
}

/* --- frames; a client masks --- */

static void apply_mask(uint8_t *out, const uint8_t *in, size_t size, const uint8_t key[4])
{
	for (size_t i = 0; i < size; i++)
		out[i] = in[i] ^ key[i & 3];
}

bool tls_peer_try_frame(struct tls_peer *peer, unsigned byte0, const void *payload, size_t size)
{
	uint8_t block[14 + CHUNK_BYTES];
	const uint8_t *data = payload;
	bool mask = !peer->server;
	size_t head = peer_frame_head(block, byte0, mask, size), done = 0;

	do {
		size_t part = size - done < CHUNK_BYTES ? size - done : CHUNK_BYTES;

		if (mask)
			apply_mask(block + head, data + done, part, fixed_key);
		else if (part > 0)
			memcpy(block + head, data + done, part);
		if (!tls_peer_try_send(peer, block, head + part))
			return false;
		head = 0;
		done += part;
	} while (done < size);
	return true;
}

void tls_peer_frame(struct tls_peer *peer, unsigned byte0, const void *payload, size_t size)
{
	insist(tls_peer_try_frame(peer, byte0, payload, size), "tls_peer_frame: the other end is gone");
}

void tls_peer_close(struct tls_peer *peer, unsigned code, const char *reason)
{
	uint8_t payload[125];
	size_t length = code != 0 && reason != NULL ? strlen(reason) : 0;

	insist(length <= sizeof payload - 2, "the reason is too long");
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	if (length > 0)
		memcpy(payload + 2, reason, length);
	tls_peer_frame(peer, PEER_CLOSE, payload, code != 0 ? length + 2 : 0);
}

static bool read_size(struct tls_peer *peer, unsigned byte1, uint64_t *size)
{
	size_t more = (byte1 & 0x7f) == 127 ? 8 : (byte1 & 0x7f) == 126 ? 2 : 0;
	uint8_t bytes[8];

	*size = byte1 & 0x7f;
	if (more == 0)
		return true;
	if (tls_peer_recv(peer, bytes, more) < more)
		return false;
	*size = 0;
	for (size_t i = 0; i < more; i++)
		*size = *size << 8 | bytes[i];
	return true;
}

bool tls_peer_read_frame(struct tls_peer *peer, struct peer_frame *frame)
{
	uint8_t head[2], key[4];

	*frame = (struct peer_frame){ 0 };
	if (tls_peer_recv(peer, head, 2) < 2 || !read_size(peer, head[1], &frame->size))
		return false;
	insist(frame->size <= MAX_FRAME_BYTES, "a frame of %llu bytes", (unsigned long long)frame->size);
	frame->byte0 = head[0];
	frame->masked = (head[1] & 0x80) != 0;
	insist(frame->masked == peer->server, "a frame is masked: %d", frame->masked);
	if (frame->masked && tls_peer_recv(peer, key, 4) < 4)
		return false;
	frame->payload = malloc((size_t)frame->size + 1);
	insist(frame->payload != NULL, "out of memory");
	if (tls_peer_recv(peer, frame->payload, (size_t)frame->size) < frame->size) {
		peer_frame_clear(frame);
		return false;
	}
	if (frame->masked)
		apply_mask(frame->payload, frame->payload, (size_t)frame->size, key);
	frame->payload[frame->size] = '\0';
	return true;
}

static bool read_from_peer(void *peer, struct peer_frame *frame)
{
	return tls_peer_read_frame(peer, frame);
}

unsigned tls_peer_read_until_close(struct tls_peer *peer, uint8_t **data, size_t *size)
{
	return peer_collect_until_close(read_from_peer, peer, data, size);
}

unsigned tls_peer_finish(struct tls_peer *peer, uint8_t **data, size_t *size)
{
	unsigned code = tls_peer_read_until_close(peer, data, size);

	if (code == 0)
		return 0;
	tls_peer_close(peer, 1000, "");
	if (!peer->server)
		tls_peer_end(peer);
	tls_peer_notify(peer);
	tls_peer_fin(peer);
	if (peer->server)
		tls_peer_end(peer);
	return code;
}

/* --- a server in a thread --- */

static void *serve(void *argument)
{
	struct tls_server *server = argument;

	server->opened = tls_peer_try_open(&server->peer, peer_accept(server->listener), true, server->setup);
	if (server->body != NULL) {
		if (server->opened)
			server->body(server);
	} else if (server->opened) {
		free(tls_peer_serve_handshake(&server->peer));
		server->close_code = tls_peer_finish(&server->peer, &server->data, &server->size);
	}
	/* What is refused is not waited for: the other end sees TCP end. */
	if (!server->opened)
		peer_fin(server->peer.fd);
	return NULL;
}

void tls_server_start(struct tls_server *server)
{
	server->listener = peer_listen(&server->port);
	server->peer.fd = -1;
	peer_thread(&server->thread, serve, server);
}

void tls_server_join(struct tls_server *server)
{
	peer_join(server->thread);
	insist(close(server->listener) == 0, "close: %s", strerror(errno));
	server->listener = -1;
}

void tls_server_clear(struct tls_server *server)
{
	if (server->listener >= 0)
		tls_server_join(server);
	tls_peer_clear(&server->peer);
	free(server->data);
	server->data = NULL;
}
