/* SPDX-License-Identifier: 0BSD */
/* Contexts of OpenSSL made from options: versions, authorities, verification, pins, ALPN, names (SNI). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "process.h"
#include "tls_private.h"

/* Forward secrecy and AEAD only, as far as TLS 1.2 has them; those of 1.3 are all so. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
/* Intermediates between a certificate and a root. Real chains have up to three. */
#define CHAIN_MAX 9
/* 112 bits: RSA keys from 2048 bits on, no SHA-1. */
#define SECURITY_LEVEL 2
/* Sessions without tickets, of TLS 1.2 clients: the server's memory. */
#define SERVER_SESSIONS 1024

#define PIN_TEXT_BYTES 44		/* base64 of 32 bytes */

/* --- pins --- */

static int parse_pin(unsigned char pin[WSF_PIN_BYTES], const char *text)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char prefix[] = "sha256//";
	unsigned char decoded[PIN_TEXT_BYTES / 4 * 3];

	if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		text += sizeof(prefix) - 1;
	if (strspn(text, alphabet) != PIN_TEXT_BYTES - 1 || strcmp(text + PIN_TEXT_BYTES - 1, "=") != 0)
		return -EINVAL;
	EVP_DecodeBlock(decoded, (const unsigned char *)text, PIN_TEXT_BYTES);
	memcpy(pin, decoded, WSF_PIN_BYTES);
	return 0;
}

static int set_pins(struct wsf_tls_context *context, const char *const *pins, struct wsf_failure *failure)
{
	size_t count = 0;

	while (pins != NULL && pins[count] != NULL)
		count++;
	if (count == 0)
		return 0;
	context->pins = calloc(count, sizeof(*context->pins));
	if (context->pins == NULL)
		return wsf_fail_errno(failure, ENOMEM, "pin_sha256");
	for (size_t i = 0; i < count; i++) {
		if (parse_pin(context->pins[i], pins[i]) != 0)
			return wsf_fail(failure, EINVAL, "pin_sha256: \"%.60s\" is not the base64 of a SHA-256",
			    pins[i]);
	}
	context->pin_count = count;
	return 0;
}

int wsf_tls_pin_of(X509 *certificate, unsigned char pin[WSF_PIN_BYTES])
{
	unsigned char *der = NULL;
	unsigned size = 0;
	int der_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der), rv = 0;

	if (der_bytes <= 0)
		return -ENOMEM;
	if (EVP_Digest(der, (size_t)der_bytes, pin, &size, EVP_sha256(), NULL) != 1 || size != WSF_PIN_BYTES)
		rv = -EIO;
	OPENSSL_free(der);
	return rv;
}

bool wsf_tls_pins_match(const struct wsf_tls_context *context, X509 *certificate)
{
	unsigned char pin[WSF_PIN_BYTES];

	if (context->pin_count == 0)
		return true;
	if (certificate == NULL)
		return context->optional;
	if (wsf_tls_pin_of(certificate, pin) != 0)
		return false;
	for (size_t i = 0; i < context->pin_count; i++) {
		if (memcmp(pin, context->pins[i], sizeof(pin)) == 0)
			return true;
	}
	return false;
}

/* --- callbacks --- */

static const unsigned char protocols[] = "\x08http/1.1";
#define PROTOCOLS_BYTES ((unsigned)sizeof(protocols) - 1)

/* A client that offers protocols, and not ours, is refused (RFC 7301, section 3.2). */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *offered,
    unsigned offered_bytes, void *user)
{
	unsigned char *selected = NULL;

	(void)ssl;
	(void)user;
	if (SSL_select_next_proto(&selected, out_bytes, protocols, PROTOCOLS_BYTES, offered, offered_bytes) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

/* A name that no certificate is made for gets the default one: the client is to judge (RFC 6066, section 3). */
static int select_certificate(SSL *ssl, int *alert, void *user)
{
	const struct wsf_tls_context *context = user;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	for (size_t i = 0; name != NULL && i < context->named_count; i++) {
		SSL_CTX *ctx = context->named[i];

		if (X509_check_host(SSL_CTX_get0_certificate(ctx), name, 0, 0, NULL) == 1) {
			if (SSL_set_SSL_CTX(ssl, ctx) == NULL)
				return SSL_TLSEXT_ERR_ALERT_FATAL;
			break;
		}
	}
	return name != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/*
 * In place of the verification of a client's certificate: pins belong to it, so that the client is told by an alert.
 * That it holds the certificate's key, the client has still to prove.
 */
static int verify_client(X509_STORE_CTX *verification, void *user)
{
	const struct wsf_tls_context *context = user;

	if (context->verify && X509_verify_cert(verification) <= 0)
		return 0;
	if (!wsf_tls_pins_match(context, X509_STORE_CTX_get0_cert(verification))) {
		X509_STORE_CTX_set_error(verification, X509_V_ERR_CERT_REJECTED);
		return 0;
	}
	X509_STORE_CTX_set_error(verification, X509_V_OK);
	return 1;
}

/* --- OpenSSL's contexts --- */

static uint64_t common_options(void)
{
	uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA;

#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
	/* WebSocket's Close tells a whole stream from a cut one. */
	options |= SSL_OP_IGNORE_UNEXPECTED_EOF;
#endif
	return options;
}

/* The system's own configuration may ask for more than we do, and has its way. */
static bool set_minimum(SSL_CTX *ctx, enum ws_tls_version min_tls)
{
	int version = min_tls == WS_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;

	if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL)
		SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	return SSL_CTX_get_min_proto_version(ctx) >= version || SSL_CTX_set_min_proto_version(ctx, version) == 1;
}

static bool set_basics(SSL_CTX *ctx, const struct ws_options *values, bool server)
{
	static const unsigned char session_id_context[] = "wsfile";

	SSL_CTX_set_options(ctx, common_options());
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
	if (!set_minimum(ctx, values->min_tls) || SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) != 1)
		return false;
	if (!server) {
		wsf_tls_session_watch(ctx);
		return SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER) == 1 &&
		    SSL_CTX_set_alpn_protos(ctx, protocols, PROTOCOLS_BYTES) == 0;	/* 0 is success here */
	}
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
	SSL_CTX_sess_set_cache_size(ctx, SERVER_SESSIONS);
	return SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 &&
	    SSL_CTX_set_session_id_context(ctx, session_id_context, sizeof(session_id_context) - 1) == 1;
}

static int new_ctx(SSL_CTX **out, const struct ws_options *values, bool server, struct wsf_failure *failure)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (ctx == NULL || !set_basics(ctx, values, server)) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		return wsf_fail(failure, ENOMEM, "no TLS context to be had");
	}
	*out = ctx;
	return 0;
}

/* --- whom to trust --- */

static int set_roots(struct wsf_tls_context *context, const struct ws_options *values, struct wsf_failure *failure)
{
	if (values->ca_file != NULL || values->ca_dir != NULL) {
		/* What was named in person is trusted: a root, an intermediate, or the other end's certificate. */
		X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context->ctx), X509_V_FLAG_PARTIAL_CHAIN);
		return wsf_tls_use_roots(context->ctx, values->ca_file, values->ca_dir, context->server, failure);
	}
	if (!context->server && values->verify != WS_VERIFY_OFF && SSL_CTX_set_default_verify_paths(context->ctx) != 1)
		return wsf_tls_explain_file(failure, "the system's trust store", X509_get_default_cert_file());
	return 0;
}

static void set_client_verification(struct wsf_tls_context *context, const struct ws_options *values)
{
	context->verify = values->verify != WS_VERIFY_OFF;
	SSL_CTX_set_verify(context->ctx, context->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, wsf_tls_note_refusal);
}

/*
 * Where there are no authorities to judge a client's certificate, or nobody wants it judged, its pinned key is the
 * whole proof; without pins none is asked for.
 */
static void set_server_verification(struct wsf_tls_context *context, const struct ws_options *values)
{
	bool judged = (values->ca_file != NULL || values->ca_dir != NULL) && values->verify != WS_VERIFY_OFF;
	int mode = SSL_VERIFY_NONE;

	context->verify = judged;
	context->optional = values->verify == WS_VERIFY_IF_GIVEN;
	if (judged || context->pin_count > 0)
		mode = SSL_VERIFY_PEER | (context->optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
	SSL_CTX_set_verify(context->ctx, mode, wsf_tls_note_refusal);
	SSL_CTX_set_cert_verify_callback(context->ctx, verify_client, context);
}

/* --- several names --- */

/* SSL_set_SSL_CTX has a connection take its trust from the new context, and its callbacks: all are as in the first. */
static int share_trust(SSL_CTX *ctx, const struct wsf_tls_context *context)
{
	STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(context->ctx);

	SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(context->ctx));
	if (X509_VERIFY_PARAM_set1(SSL_CTX_get0_param(ctx), SSL_CTX_get0_param(context->ctx)) != 1)
		return -ENOMEM;
	SSL_CTX_set_verify(ctx, SSL_CTX_get_verify_mode(context->ctx), wsf_tls_note_refusal);
	SSL_CTX_set_cert_verify_callback(ctx, verify_client, (void *)(uintptr_t)context);
	if (names != NULL) {
		names = SSL_dup_CA_list(names);
		if (names == NULL)
			return -ENOMEM;
		SSL_CTX_set_client_CA_list(ctx, names);
	}
	return 0;
}

static int add_name(struct wsf_tls_context *context, const struct ws_options *values,
    const struct ws_certificate *files, struct wsf_failure *failure)
{
	SSL_CTX *ctx = NULL;
	int rv = new_ctx(&ctx, values, true, failure);

	if (rv == 0 && share_trust(ctx, context) != 0)
		rv = wsf_fail_errno(failure, ENOMEM, "certificates");
	if (rv == 0)
		rv = wsf_tls_use_certificate(ctx, files, values->key_password, failure);
	if (rv == 0)
		context->named[context->named_count++] = ctx;
	else
		SSL_CTX_free(ctx);
	return rv;
}

static int add_names(struct wsf_tls_context *context, const struct ws_options *values, struct wsf_failure *failure)
{
	const struct ws_certificate *files = values->certificates;
	size_t count = 0;

	while (files != NULL && files[count].cert_file != NULL)
		count++;
	if (count == 0)
		return 0;
	context->named = calloc(count, sizeof(*context->named));
	if (context->named == NULL)
		return wsf_fail_errno(failure, ENOMEM, "certificates");
	for (size_t i = 0; i < count; i++) {
		int rv = add_name(context, values, &files[i], failure);

		if (rv != 0)
			return rv;
	}
	SSL_CTX_set_tlsext_servername_callback(context->ctx, select_certificate);
	SSL_CTX_set_tlsext_servername_arg(context->ctx, context);
	return 0;
}

/* --- life --- */

static int fill(struct wsf_tls_context *context, const struct ws_options *values, struct wsf_failure *failure)
{
	const struct ws_certificate ours = { values->cert_file, values->key_file };
	int rv = set_pins(context, values->pin_sha256, failure);

	if (rv == 0)
		rv = new_ctx(&context->ctx, values, context->server, failure);
	if (rv == 0)
		rv = set_roots(context, values, failure);
	if (rv == 0 && context->server)
		set_server_verification(context, values);
	else if (rv == 0)
		set_client_verification(context, values);
	if (rv == 0 && ours.cert_file != NULL)
		rv = wsf_tls_use_certificate(context->ctx, &ours, values->key_password, failure);
	if (rv == 0 && context->server)
		rv = add_names(context, values, failure);
	if (rv == 0 && !context->server && values->server_name != NULL) {
		context->server_name = strdup(values->server_name);
		if (context->server_name == NULL)
			rv = wsf_fail_errno(failure, ENOMEM, "server_name");
	}
	return rv;
}

int wsf_tls_context_build(struct wsf_tls_context **out, const struct ws_options *values, bool server,
    struct wsf_failure *failure)
{
	struct wsf_tls_context *context;
	int rv;

	if (values->cert_file == NULL && (server || values->key_file != NULL))
		return wsf_fail(failure, EINVAL, server ? "a listener for wss needs cert_file" :
		    "key_file is of no use without cert_file");
	context = calloc(1, sizeof(*context));
	if (context == NULL)
		return wsf_fail_errno(failure, ENOMEM, "no TLS context to be had");
	atomic_init(&context->refs, 1);
	pthread_mutex_init(&context->session_lock, NULL);
	context->server = server;
	wsf_process_enter();
	rv = fill(context, values, failure);
	wsf_process_leave();
	if (rv != 0)
		wsf_tls_context_unref(context);
	else
		*out = context;
	return rv;
}

int wsf_tls_server_context(struct wsf_tls_context **context, const struct ws_options *values,
    struct wsf_failure *failure)
{
	struct wsf_tls_errors *errors = wsf_tls_errors_aside();
	int rv = wsf_tls_context_build(context, values, true, failure);

	wsf_tls_errors_back(errors);
	return rv;
}

struct wsf_tls_context *wsf_tls_context_ref(struct wsf_tls_context *context)
{
	atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
	return context;
}

void wsf_tls_context_unref(struct wsf_tls_context *context)
{
	if (context == NULL || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1)
		return;
	wsf_process_enter();
	wsf_tls_sessions_clear(context);
	for (size_t i = 0; i < context->named_count; i++)
		SSL_CTX_free(context->named[i]);
	SSL_CTX_free(context->ctx);
	wsf_process_leave();
	pthread_mutex_destroy(&context->session_lock);
	free(context->named);
	free(context->pins);
	free(context->server_name);
	free(context);
}

/*
 * OpenSSL tidies up in an exit handler, before stdio flushes our streams for the last time and while the helper thread
 * still runs: it has to stay as it is until the process is gone. Only the first to initialise it can say so.
 */
__attribute__((constructor)) static void keep_openssl(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}
