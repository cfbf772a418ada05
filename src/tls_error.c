/* SPDX-License-Identifier: 0BSD */
/* What went wrong with TLS, as an errno and in words. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "tls_private.h"

#define NAME_BYTES 64			/* of a certificate's names in a failure's one line */
#define PATH_CHARACTERS 100
#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* --- names --- */

/* One line, without a terminal's commands; cut between characters. */
static void copy_clean(char *out, size_t out_bytes, const char *text)
{
	struct wsf_failure clean = { 0 };
	size_t length;

	wsf_fail(&clean, 0, "%s", text);
	length = strlen(clean.text);
	if (length >= out_bytes) {
		length = out_bytes - 1;
		while (length > 0 && ((unsigned char)clean.text[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(out, clean.text, length);
	out[length] = '\0';
}

static void print_name(const X509_NAME *name, char *out, size_t out_bytes)
{
	/* UTF-8 may stay as it is. */
	const unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
	BIO *bio = BIO_new(BIO_s_mem());
	char text[256];
	int length = 0;

	if (bio != NULL && X509_NAME_print_ex(bio, name, 0, flags) >= 0)
		length = BIO_read(bio, text, (int)sizeof(text) - 1);
	text[length > 0 ? length : 0] = '\0';
	BIO_free(bio);
	copy_clean(out, out_bytes, text);
}

/* Certificates for hosts may have no subject at all (RFC 5280, section 4.1.2.6). */
static void print_first_host(X509 *certificate, char *out, size_t out_bytes)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char text[256] = "";

	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS) {
			size_t length = (size_t)ASN1_STRING_length(name->d.dNSName);

			if (length >= sizeof(text))
				length = sizeof(text) - 1;
			memcpy(text, ASN1_STRING_get0_data(name->d.dNSName), length);
			text[length] = '\0';
			break;
		}
	}
	GENERAL_NAMES_free(names);
	copy_clean(out, out_bytes, text);
}

void wsf_tls_subject(X509 *certificate, char *out, size_t out_bytes)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);

	if (X509_NAME_entry_count(subject) > 0)
		print_name(subject, out, out_bytes);
	else
		print_first_host(certificate, out, out_bytes);
}

const char *wsf_tls_path_tail(const char *path)
{
	size_t length = strlen(path);

	if (length <= PATH_CHARACTERS)
		return path;
	path += length - PATH_CHARACTERS;
	while (((unsigned char)*path & 0xc0) == 0x80)
		path++;
	return path;
}

/* --- which certificate was refused --- */

struct refusal {
	X509 *shown;			/* the other end's own */
	X509 *bad;			/* the one of the chain that failed */
};

static int refusal_index = -1;

static void free_refusal(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number, void *pointer)
{
	struct refusal *refusal = data;

	(void)parent;
	(void)all;
	(void)index;
	(void)number;
	(void)pointer;
	if (refusal == NULL)
		return;
	X509_free(refusal->shown);
	X509_free(refusal->bad);
	free(refusal);
}

static void make_refusal_index(void)
{
	refusal_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_refusal);
}

static int get_refusal_index(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_refusal_index);
	return refusal_index;
}

static X509 *another(X509 *certificate)
{
	return certificate != NULL && X509_up_ref(certificate) == 1 ? certificate : NULL;
}

int wsf_tls_note_refusal(int good, X509_STORE_CTX *verification)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct refusal *refusal;

	if (good || ssl == NULL || get_refusal_index() < 0 || SSL_get_ex_data(ssl, get_refusal_index()) != NULL)
		return good;
	refusal = calloc(1, sizeof(*refusal));
	if (refusal == NULL)
		return good;
	refusal->shown = another(X509_STORE_CTX_get0_cert(verification));
	refusal->bad = another(X509_STORE_CTX_get_current_cert(verification));
	if (SSL_set_ex_data(ssl, get_refusal_index(), refusal) != 1)
		free_refusal(NULL, refusal, NULL, 0, 0, NULL);
	return good;
}

/* --- certificates --- */

static bool is_unknown_issuer(long result)
{
	switch (result) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return true;
	default:
		return false;
	}
}

/* " (subject "…", issuer "…")", as far as it is known */
static void describe(char *out, size_t out_bytes, const struct refusal *refusal, long result)
{
	char subject[NAME_BYTES], other[NAME_BYTES];

	out[0] = '\0';
	if (refusal == NULL || refusal->shown == NULL)
		return;
	wsf_tls_subject(refusal->shown, subject, sizeof(subject));
	if (is_unknown_issuer(result) && refusal->bad != NULL) {
		print_name(X509_get_issuer_name(refusal->bad), other, sizeof(other));
		snprintf(out, out_bytes, " (subject \"%s\", issuer \"%s\")", subject, other);
	} else if (refusal->bad != NULL && X509_cmp(refusal->bad, refusal->shown) != 0) {
		wsf_tls_subject(refusal->bad, other, sizeof(other));
		snprintf(out, out_bytes, " (subject \"%s\", through \"%s\")", subject, other);
	} else {
		snprintf(out, out_bytes, " (subject \"%s\")", subject);
	}
}

/* "the certificate for "host" is refused", or the client's */
static int refuse(struct wsf_failure *failure, const char *name, const char *reason, const char *details)
{
	if (name == NULL)
		return wsf_fail(failure, EKEYREJECTED, "the client's certificate is refused: %s%s", reason, details);
	return wsf_fail(failure, EKEYREJECTED, "the certificate for \"%.80s\" is refused: %s%s", name, reason, details);
}

static int explain_verification(struct wsf_failure *failure, const SSL *ssl, const char *name)
{
	long result = SSL_get_verify_result(ssl);
	const struct refusal *refusal = get_refusal_index() >= 0 ? SSL_get_ex_data(ssl, get_refusal_index()) : NULL;
	char details[2 * NAME_BYTES + 32];

	describe(details, sizeof(details), refusal, result);
	if (result == X509_V_OK)
		return refuse(failure, name, "verification failed", details);
	return refuse(failure, name, X509_verify_cert_error_string(result), details);
}

int wsf_tls_explain_pin(struct wsf_failure *failure, const SSL *ssl, const char *name)
{
	X509 *certificate = SSL_get_peer_certificate(ssl);
	unsigned char pin[WSF_PIN_BYTES], text[(WSF_PIN_BYTES + 2) / 3 * 4 + 1] = "?";
	char subject[NAME_BYTES], details[sizeof(text) + sizeof(subject) + 40];

	if (certificate == NULL)
		return wsf_fail(failure, EKEYREJECTED, "%s has shown no certificate, and its key is pinned",
		    name != NULL ? "the server" : "the client");
	if (wsf_tls_pin_of(certificate, pin) == 0)
		EVP_EncodeBlock(text, pin, sizeof(pin));
	wsf_tls_subject(certificate, subject, sizeof(subject));
	X509_free(certificate);
	ERR_clear_error();
	snprintf(details, sizeof(details), " (sha256//%s, subject \"%s\")", (const char *)text, subject);
	return refuse(failure, name, "its key is not pinned", details);
}

/* --- alerts of the other end (RFC 8446, section 6) --- */

/* What a reason or an alert means. */
struct meaning {
	int reason;
	int error;
	const char *text;		/* NULL = their TLS is too old */
};

#define OURS_REFUSED "the other end refused our certificate"
#define TOO_OLD NULL
#define NOTHING_SHARED "the other end and we have nothing in common in TLS"
#define MAYBE_NOTHING_SHARED "the other end found nothing in common in TLS, or misses a certificate of ours"
#define NO_TLS "the other end does not speak TLS"
#define BROKEN "the other end broke the rules of TLS"

static const struct meaning alerts[] = {
	{ SSL_AD_HANDSHAKE_FAILURE, EPROTO, MAYBE_NOTHING_SHARED },
	{ SSL3_AD_NO_CERTIFICATE, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_BAD_CERTIFICATE, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_UNSUPPORTED_CERTIFICATE, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_CERTIFICATE_REVOKED, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_CERTIFICATE_EXPIRED, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_CERTIFICATE_UNKNOWN, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_UNKNOWN_CA, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_ACCESS_DENIED, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE, EKEYREJECTED, OURS_REFUSED },
	{ SSL_AD_CERTIFICATE_REQUIRED, EKEYREJECTED, "the other end wants a certificate of ours" },
	{ SSL_AD_PROTOCOL_VERSION, EPROTO, TOO_OLD },
	{ SSL_AD_INSUFFICIENT_SECURITY, EPROTO, NOTHING_SHARED },
	{ SSL_AD_UNRECOGNIZED_NAME, EPROTO, "the other end does not know the name it was asked for" },
	{ SSL_AD_NO_APPLICATION_PROTOCOL, EPROTO, "the other end does not speak http/1.1 (ALPN)" },
};

/* --- what we have against it --- */

static const struct meaning reasons[] = {
	{ SSL_R_HTTP_REQUEST, EPROTO, "the other end sent HTTP in place of TLS" },
	{ SSL_R_HTTPS_PROXY_REQUEST, EPROTO, "the other end sent HTTP in place of TLS" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, EPROTO, TOO_OLD },
	{ SSL_R_VERSION_TOO_LOW, EPROTO, TOO_OLD },
	{ SSL_R_WRONG_SSL_VERSION, EPROTO, TOO_OLD },
	{ SSL_R_NO_PROTOCOLS_AVAILABLE, EPROTO, TOO_OLD },
	{ SSL_R_INAPPROPRIATE_FALLBACK, EPROTO, TOO_OLD },
	{ SSL_R_NO_SHARED_CIPHER, EPROTO, NOTHING_SHARED },
	{ SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, EPROTO, NOTHING_SHARED },
	{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, EPROTO, NOTHING_SHARED },
	{ SSL_R_NO_SUITABLE_KEY_SHARE, EPROTO, NOTHING_SHARED },
	{ SSL_R_UNKNOWN_CIPHER_RETURNED, EPROTO, NOTHING_SHARED },
	{ SSL_R_WRONG_CIPHER_RETURNED, EPROTO, NOTHING_SHARED },
	{ SSL_R_NO_APPLICATION_PROTOCOL, EPROTO, "the other end wants another protocol than http/1.1 (ALPN)" },
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, EKEYREJECTED, "the client has shown no certificate" },
	{ SSL_R_NO_RENEGOTIATION, EPROTO, "TLS is not renegotiated here" },
	{ SSL_R_RENEGOTIATION_MISMATCH, EPROTO, "TLS is not renegotiated here" },
	{ SSL_R_RENEGOTIATION_ENCODING_ERR, EPROTO, "TLS is not renegotiated here" },
	{ SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, EPROTO, "the other end does not renegotiate TLS safely" },
	{ SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, EPROTO, BROKEN },
	{ SSL_R_ENCRYPTED_LENGTH_TOO_LONG, EPROTO, BROKEN },
	{ SSL_R_DATA_LENGTH_TOO_LONG, EPROTO, BROKEN },
	{ SSL_R_BAD_RECORD_TYPE, EPROTO, BROKEN },
	{ SSL_R_UNEXPECTED_RECORD, EPROTO, BROKEN },
	{ SSL_R_UNEXPECTED_MESSAGE, EPROTO, BROKEN },
	{ SSL_R_WRONG_VERSION_NUMBER, EPROTO, BROKEN },
	{ SSL_R_PACKET_LENGTH_TOO_LONG, EPROTO, BROKEN },
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	{ SSL_R_UNEXPECTED_EOF_WHILE_READING, ECONNRESET, "the other end cut the connection" },
#endif
};

static const struct meaning *find(const struct meaning *table, size_t count, int reason)
{
	for (size_t i = 0; i < count; i++) {
		if (table[i].reason == reason)
			return &table[i];
	}
	return NULL;
}

/* Bytes that can't be a record mean something else where they are the first that ever came. */
static bool is_no_tls(const SSL *ssl, int reason)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

	if (state != TLS_ST_BEFORE && state != TLS_ST_CW_CLNT_HELLO)
		return false;
	switch (reason) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
	case SSL_R_DATA_LENGTH_TOO_LONG:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_UNEXPECTED_RECORD:
	case SSL_R_RECORD_LENGTH_MISMATCH:
	case SSL_R_RECORD_TOO_SMALL:
	case SSL_R_BAD_PACKET_LENGTH:
		return true;
	default:
		return false;
	}
}

static const char *words(unsigned long code)
{
	const char *text = ERR_reason_error_string(code);

	return text != NULL ? text : "no reason given";
}

/* --- the queue --- */

static bool is_memory(unsigned long code)
{
	return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
}

/*
 * A lack of memory, or the first error of TLS itself, or else the first of all: those behind it are its consequences.
 * Empties the queue.
 */
static unsigned long cause(void)
{
	unsigned long first = 0, code;

	while ((code = ERR_get_error()) != 0) {
		if (first != 0 && is_memory(first))
			continue;
		if (first == 0 || is_memory(code) ||
		    (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_LIB(first) != ERR_LIB_SSL))
			first = code;
	}
	return first;
}

static int explain_reason(struct wsf_failure *failure, const SSL *ssl, unsigned long code)
{
	int reason = ERR_GET_REASON(code);
	const struct meaning *meaning;

	if (is_no_tls(ssl, reason))
		return wsf_fail(failure, EPROTO, NO_TLS ": %s", words(code));
	if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + UCHAR_MAX) {
		meaning = find(alerts, COUNT(alerts), reason - SSL_AD_REASON_OFFSET);
		if (meaning == NULL)
			return wsf_fail(failure, EPROTO, "the other end gave TLS up: %s", words(code));
	} else {
		meaning = find(reasons, COUNT(reasons), reason);
		if (meaning == NULL)
			return wsf_fail(failure, EPROTO, "TLS failed: %s", words(code));
	}
	if (meaning->text == NULL)
		return wsf_fail(failure, meaning->error, "the other end speaks no TLS from %s on: %s",
		    SSL_CTX_get_min_proto_version(SSL_get_SSL_CTX(ssl)) >= TLS1_3_VERSION ? "1.3" : "1.2", words(code));
	return wsf_fail(failure, meaning->error, "%s: %s", meaning->text, words(code));
}

int wsf_tls_explain(struct wsf_failure *failure, const SSL *ssl, const char *name)
{
	unsigned long code = cause();

	/* Without memory the queue itself can't be had. */
	if (code == 0 || is_memory(code))
		return wsf_fail_errno(failure, ENOMEM, "TLS failed");
	if (ERR_GET_LIB(code) != ERR_LIB_SSL)
		return wsf_fail(failure, EPROTO, "TLS failed: %s", words(code));
	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return explain_verification(failure, ssl, name);
	return explain_reason(failure, ssl, code);
}

int wsf_tls_explain_file(struct wsf_failure *failure, const char *what, const char *file)
{
	unsigned long code = ERR_get_error(), later;

	/* Readers that were tried in vain may have said something of their own first. */
	while ((later = ERR_get_error()) != 0)
		code = is_memory(later) ? later : code;
	file = wsf_tls_path_tail(file);
	if (ERR_GET_LIB(code) == ERR_LIB_SYS && ERR_GET_REASON(code) > 0)
		return wsf_fail_errno(failure, ERR_GET_REASON(code), "cannot use %s \"%s\"", what, file);
	if (is_memory(code))
		return wsf_fail_errno(failure, ENOMEM, "cannot use %s \"%s\"", what, file);
	return wsf_fail(failure, EKEYREJECTED, "cannot use %s \"%s\": %s", what, file, words(code));
}
