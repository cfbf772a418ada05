/* SPDX-License-Identifier: 0BSD */
#include "wsbench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define DAY_S (24 * 60 * 60L)

/* Any cipher of any other side would be another measurement. */
static const char configuration_text[] =
    "openssl_conf = openssl\n"
    "[openssl]\n"
    "ssl_conf = ssl\n"
    "[ssl]\n"
    "system_default = both\n"
    "[both]\n"
    "Ciphersuites = " BENCH_CIPHER "\n"
    "MinProtocol = TLSv1.3\n";

static struct {
	pid_t owner;			/* 0 = there is nothing to remove */
	char directory[200];
	char certificate[256], key[256], configuration[256];
} files;

const char *bench_certificate_file(void)
{
	return files.certificate;
}

const char *bench_key_file(void)
{
	return files.key;
}

void bench_certificate_remove(void)
{
	if (files.owner == 0 || files.owner != getpid())
		return;
	unlink(files.certificate);
	unlink(files.key);
	unlink(files.configuration);
	rmdir(files.directory);
	files.owner = 0;
}

/* As unlink and rmdir may be called from a handler. */
static void remove_and_end(int signal_number)
{
	bench_certificate_remove();
	raise(signal_number);
}

static void make_directory(void)
{
	const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	const char *top = getenv("TMPDIR");
	int length = snprintf(files.directory, sizeof files.directory, "%s/wsbench.XXXXXX", top && *top ? top : "/tmp");

	if (length < 0 || (size_t)length >= sizeof files.directory || !mkdtemp(files.directory))
		bench_die("no directory %s: %s", files.directory, strerror(errno));
	snprintf(files.certificate, sizeof files.certificate, "%s/certificate.pem", files.directory);
	snprintf(files.key, sizeof files.key, "%s/key.pem", files.directory);
	snprintf(files.configuration, sizeof files.configuration, "%s/openssl.cnf", files.directory);
	files.owner = getpid();
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		struct sigaction action = { .sa_handler = remove_and_end, .sa_flags = (int)SA_RESETHAND };
		sigaction(ends[i], &action, NULL);
	}
}

static FILE *create(const char *name)
{
	FILE *file = fopen(name, "w");

	if (!file)
		bench_die("%s: %s", name, strerror(errno));
	return file;
}

static void finish(FILE *file, const char *name, bool good)
{
	if (fclose(file) != 0 || !good)
		bench_die("%s can't be written", name);
}

static bool add_names(X509 *certificate)
{
	X509V3_CTX context;
	X509_EXTENSION *names;
	int good;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	names = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
	good = names && X509_add_ext(certificate, names, -1);
	X509_EXTENSION_free(names);
	return good;
}

static X509 *sign_itself(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = certificate ? X509_get_subject_name(certificate) : NULL;

	if (!name || !X509_set_version(certificate, X509_VERSION_3) ||
	    !ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S) ||
	    !X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * DAY_S) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"wsbench", -1, -1, 0) ||
	    !X509_set_issuer_name(certificate, name) || !X509_set_pubkey(certificate, key) || !add_names(certificate) ||
	    !X509_sign(certificate, key, EVP_sha256()))
		bench_die("OpenSSL makes no certificate");
	return certificate;
}

void bench_certificate_make(void)
{
	X509 *certificate;
	EVP_PKEY *key;
	FILE *file;

	make_directory();
	file = create(files.configuration);
	finish(file, files.configuration, fputs(configuration_text, file) >= 0);
	if (setenv("OPENSSL_CONF", files.configuration, 1) != 0)
		bench_die("%s", strerror(errno));
	key = EVP_EC_gen("P-256");
	if (!key)
		bench_die("OpenSSL makes no key");
	certificate = sign_itself(key);
	file = create(files.certificate);
	finish(file, files.certificate, PEM_write_X509(file, certificate));
	file = create(files.key);
	finish(file, files.key, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
	X509_free(certificate);
	EVP_PKEY_free(key);
}
