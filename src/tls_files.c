/* SPDX-License-Identifier: 0BSD */
/* Certificates and keys from their files, each error with the name of the file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "process.h"
#include "tls_private.h"
#include "wipe.h"

/* More than any bundle of the world's authorities has. */
#define FILE_MAX_BYTES ((size_t)16 << 20)

/* --- files --- */

/* A file's bytes, and a NUL behind them; maybe a secret. */
struct text {
	char *data;
	size_t size, capacity;
};

static void forget(struct text *text)
{
	if (text->data != NULL)
		wsf_wipe(text->data, text->capacity);
	free(text->data);
	*text = (struct text){ NULL, 0, 0 };
}

/* Not realloc: that leaves a copy behind. */
static int grow(struct text *text)
{
	size_t capacity = text->capacity == 0 ? 16384 : text->capacity * 2;
	char *data;

	if (capacity > FILE_MAX_BYTES)
		return -EFBIG;
	data = malloc(capacity);
	if (data == NULL)
		return -ENOMEM;
	if (text->data != NULL) {
		memcpy(data, text->data, text->size);
		wsf_wipe(text->data, text->capacity);
		free(text->data);
	}
	text->data = data;
	text->capacity = capacity;
	return 0;
}

static int read_all(int fd, struct text *text)
{
	for (;;) {
		ssize_t got;

		if (text->capacity - text->size < 2) {
			int rv = grow(text);

			if (rv != 0)
				return rv;
		}
		got = read(fd, text->data + text->size, text->capacity - text->size - 1);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0) {
			text->data[text->size] = '\0';
			return 0;
		}
		if (got > 0)
			text->size += (size_t)got;
	}
}

static int read_file(struct text *text, const char *what, const char *path, struct wsf_failure *failure)
{
	int rv = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	*text = (struct text){ NULL, 0, 0 };
	if (fd < 0) {
		rv = -errno;
	} else {
		rv = read_all(fd, text);
		wsf_process_close(fd);
	}
	if (rv != 0) {
		forget(text);
		return wsf_fail_errno(failure, -rv, "cannot read %s \"%s\"", what, wsf_tls_path_tail(path));
	}
	return 0;
}

static BIO *open_text(const struct text *text)
{
	return text->size <= INT_MAX ? BIO_new_mem_buf(text->data, (int)text->size) : NULL;
}

/* --- passwords --- */

struct password {
	const char *text;		/* NULL = none */
	bool wanted;			/* something is encrypted */
};

/* In place of OpenSSL's own, which asks at the terminal. */
static int give_password(char *buffer, int size, int writing, void *user)
{
	struct password *password = user;
	size_t length;

	(void)writing;
	password->wanted = true;
	if (password->text == NULL)
		return -1;
	length = strlen(password->text);
	if (size < 0 || length > (size_t)size)
		return -1;
	memcpy(buffer, password->text, length);
	return (int)length;
}

/* --- certificates --- */

static X509 *next_certificate(BIO *bio)
{
	struct password none = { NULL, false };

	return PEM_read_bio_X509_AUX(bio, NULL, give_password, &none);
}

/* What made next_certificate end: 0 = nothing more to read, which is not an error. */
static int end_of_certificates(size_t count, const char *what, const char *path, struct wsf_failure *failure)
{
	unsigned long code = ERR_peek_last_error();

	if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE)
		return wsf_tls_explain_file(failure, what, path);
	ERR_clear_error();
	if (count == 0)
		return wsf_fail(failure, EKEYREJECTED, "%s \"%s\" has no certificate in it (PEM is expected)", what,
		    wsf_tls_path_tail(path));
	return 0;
}

/* The first is ours, the others lead to a root. */
static int use_chain(SSL_CTX *ctx, BIO *bio, const char *path, struct wsf_failure *failure)
{
	size_t count = 0;
	X509 *certificate;

	while ((certificate = next_certificate(bio)) != NULL) {
		bool used = (count == 0 ? SSL_CTX_use_certificate(ctx, certificate) :
		    SSL_CTX_add1_chain_cert(ctx, certificate)) == 1;

		X509_free(certificate);
		if (!used)
			return wsf_tls_explain_file(failure, "cert_file", path);
		count++;
	}
	return end_of_certificates(count, "cert_file", path, failure);
}

static int use_chain_file(SSL_CTX *ctx, const char *path, struct wsf_failure *failure)
{
	struct text text;
	BIO *bio;
	int rv = read_file(&text, "cert_file", path, failure);

	if (rv != 0)
		return rv;
	bio = open_text(&text);
	rv = bio != NULL ? use_chain(ctx, bio, path, failure) : wsf_fail_errno(failure, ENOMEM, "cert_file");
	BIO_free(bio);
	forget(&text);		/* the key may be in it */
	return rv;
}

/* --- keys --- */

/* Where the key is: what to call the file, and its path. */
struct source {
	const char *what, *path;
};

static int no_key(const struct text *text, const struct password *password, const struct source *source,
    struct wsf_failure *failure)
{
	const char *tail = wsf_tls_path_tail(source->path);

	if (password->wanted && password->text == NULL)
		return wsf_fail(failure, EKEYREJECTED, "the private key in %s \"%s\" needs a password",
		    source->what, tail);
	if (password->wanted)
		return wsf_fail(failure, EKEYREJECTED, "the password for the private key in %s \"%s\" is wrong",
		    source->what, tail);
	if (strstr(text->data, "PRIVATE KEY-----") == NULL)
		return wsf_fail(failure, EKEYREJECTED, "%s \"%s\" has no private key in it (PEM is expected)",
		    source->what, tail);
	return wsf_tls_explain_file(failure, source->what, source->path);
}

static int read_key(EVP_PKEY **key, const struct source *source, const char *password_text, struct wsf_failure *failure)
{
	struct password password = { password_text, false };
	struct text text;
	BIO *bio;
	int rv = read_file(&text, source->what, source->path, failure);

	if (rv != 0)
		return rv;
	bio = open_text(&text);
	if (bio == NULL) {
		rv = wsf_fail_errno(failure, ENOMEM, "%s", source->what);
	} else {
		*key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &password);
		if (*key == NULL)
			rv = no_key(&text, &password, source, failure);
	}
	ERR_clear_error();	/* what the wrong readers said before the right one */
	BIO_free(bio);
	forget(&text);
	return rv;
}

static int use_key(SSL_CTX *ctx, EVP_PKEY *key, const struct source *source, const char *cert_file,
    struct wsf_failure *failure)
{
	if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1) {
		ERR_clear_error();
		return wsf_fail(failure, EKEYREJECTED,
		    "the private key in %s \"%s\" is not that of the certificate in \"%s\"", source->what,
		    wsf_tls_path_tail(source->path), wsf_tls_path_tail(cert_file));
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return wsf_tls_explain_file(failure, source->what, source->path);
	return 0;
}

int wsf_tls_use_certificate(SSL_CTX *ctx, const struct ws_certificate *files, const char *password,
    struct wsf_failure *failure)
{
	struct source source = { "key_file", files->key_file };
	EVP_PKEY *key = NULL;
	int rv = use_chain_file(ctx, files->cert_file, failure);

	if (source.path == NULL)
		source = (struct source){ "cert_file", files->cert_file };
	if (rv == 0)
		rv = read_key(&key, &source, password, failure);
	if (rv == 0)
		rv = use_key(ctx, key, &source, files->cert_file, failure);
	EVP_PKEY_free(key);
	return rv;
}

/* --- trust --- */

/* names is NULL on a client. */
static int add_roots(SSL_CTX *ctx, BIO *bio, STACK_OF(X509_NAME) *names, const char *path, struct wsf_failure *failure)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	size_t count = 0;
	X509 *root;

	while ((root = next_certificate(bio)) != NULL) {
		bool added = X509_STORE_add_cert(store, root) == 1;
		X509_NAME *name = added && names != NULL ? X509_NAME_dup(X509_get_subject_name(root)) : NULL;

		if (names != NULL && (name == NULL || sk_X509_NAME_push(names, name) == 0)) {
			X509_NAME_free(name);
			added = false;
		}
		X509_free(root);
		if (!added)
			return wsf_tls_explain_file(failure, "ca_file", path);
		count++;
	}
	return end_of_certificates(count, "ca_file", path, failure);
}

static int use_root_file(SSL_CTX *ctx, const char *path, STACK_OF(X509_NAME) *names, struct wsf_failure *failure)
{
	struct text text;
	BIO *bio;
	int rv = read_file(&text, "ca_file", path, failure);

	if (rv != 0)
		return rv;
	bio = open_text(&text);
	rv = bio != NULL ? add_roots(ctx, bio, names, path, failure) : wsf_fail_errno(failure, ENOMEM, "ca_file");
	BIO_free(bio);
	forget(&text);
	return rv;
}

/* OpenSSL looks into the directory when it needs a root: by then, the program may be in another directory. */
static int use_root_directory(SSL_CTX *ctx, const char *path, struct wsf_failure *failure)
{
	struct stat status;
	char *real = realpath(path, NULL);
	int error = 0, rv = 0;

	if (real == NULL || stat(real, &status) != 0)
		error = errno;
	else if (!S_ISDIR(status.st_mode))
		error = ENOTDIR;
	else if (faccessat(AT_FDCWD, real, X_OK, AT_EACCESS) != 0)
		error = errno;
	if (error != 0)
		rv = wsf_fail_errno(failure, error, "cannot use ca_dir \"%s\"", wsf_tls_path_tail(path));
	else if (SSL_CTX_load_verify_locations(ctx, NULL, real) != 1)
		rv = wsf_tls_explain_file(failure, "ca_dir", path);
	free(real);
	return rv;
}

int wsf_tls_use_roots(SSL_CTX *ctx, const char *ca_file, const char *ca_dir, bool server, struct wsf_failure *failure)
{
	STACK_OF(X509_NAME) *names = server ? sk_X509_NAME_new_null() : NULL;
	int rv = 0;

	if (server && names == NULL)
		return wsf_fail_errno(failure, ENOMEM, "ca_file");
	if (ca_file != NULL)
		rv = use_root_file(ctx, ca_file, names, failure);
	if (rv == 0 && ca_dir != NULL)
		rv = use_root_directory(ctx, ca_dir, failure);
	/*
	 * A client may keep a certificate back whose authority is not named, and those of the directory are not known:
	 * no names at all means any (RFC 5246, section 7.4.4; RFC 8446, section 4.2.4).
	 */
	if (rv == 0 && ca_dir == NULL && server)
		SSL_CTX_set_client_CA_list(ctx, names);
	else
		sk_X509_NAME_pop_free(names, X509_NAME_free);
	return rv;
}
