/* SPDX-License-Identifier: 0BSD */
/* From nothing to an established connection: names, sessions, the handshake, and what is judged behind it. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "tls_private.h"
#include "wait.h"

static bool is_address(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* Ask for the name and have it checked. */
static int set_name(struct wsf_tls *tls, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
	size_t length;

	if (tls->context->server_name != NULL)
		name = tls->context->server_name;
	if ((tls->name = strdup(name)) == NULL)
		return -ENOMEM;
	/* The dot of a fully qualified name is not in certificates, nor in SNI (RFC 6066, section 3). */
	length = strlen(tls->name);
	if (length > 1 && tls->name[length - 1] == '.')
		tls->name[length - 1] = '\0';
	if (is_address(tls->name))
		return !tls->context->verify || X509_VERIFY_PARAM_set1_ip_asc(param, tls->name) == 1 ? 0 : -EINVAL;
	if (SSL_set_tlsext_host_name(tls->ssl, tls->name) != 1)
		return -EINVAL;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return !tls->context->verify || X509_VERIFY_PARAM_set1_host(param, tls->name, 0) == 1 ? 0 : -EINVAL;
}

int wsf_tls_set_up_client(struct wsf_tls *tls, const char *name, const char *session_key)
{
	SSL_SESSION *session;
	int rv = set_name(tls, name);

	if (rv != 0)
		return rv;
	if ((tls->session_key = strdup(session_key)) == NULL)
		return -ENOMEM;
	tls->owner = (struct wsf_tls_session_owner){ .context = tls->context, .key = tls->session_key };
	wsf_tls_session_attach(tls->ssl, &tls->owner);
	session = wsf_tls_session_take(tls->context, tls->session_key);
	if (session != NULL) {
		/* One that does not fit any more is only a longer handshake. */
		(void)SSL_set_session(tls->ssl, session);
		SSL_SESSION_free(session);
	}
	SSL_set_connect_state(tls->ssl);
	return 0;
}

static bool pins_match(const struct wsf_tls *tls)
{
	X509 *certificate = SSL_get_peer_certificate(tls->ssl);
	bool match = wsf_tls_pins_match(tls->context, certificate);

	X509_free(certificate);
	return match;
}

/* What OpenSSL leaves to us once the handshake is done. */
static int judge(struct wsf_tls *tls)
{
	static const char ours[] = "http/1.1";
	const unsigned char *alpn;
	unsigned size;

	SSL_get0_alpn_selected(tls->ssl, &alpn, &size);
	if (size > 0 && (size != sizeof ours - 1 || memcmp(alpn, ours, size) != 0))
		return wsf_fail(&tls->failure, EPROTO, "the other end chose another protocol than HTTP/1.1 (ALPN)");
	if (!pins_match(tls))
		return wsf_tls_explain_pin(&tls->failure, tls->ssl, tls->name);
	tls->established = true;
	return 0;
}

/* A browser or a client of ws:// at our port: tell it in its own language. */
static void answer_http(struct wsf_tls *tls)
{
	static const char text[] =
	    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 39\r\n\r\n"
	    "this port speaks TLS: use wss or https\n";
	const struct iovec iov = { (void *)(uintptr_t)text, sizeof text - 1 };

	tls->out_start = tls->out_end = 0;
	(void)wsf_socket_send(tls->socket, &iov, 1);
}

int wsf_tls_shake_hands(struct wsf_tls *tls)
{
	int rv;

	if (tls->failure.error != 0)
		return -tls->failure.error;
	if (SSL_do_handshake(tls->ssl) == 1) {
		rv = judge(tls);
	} else {
		rv = wsf_tls_outcome(tls);
		if (rv == 0)
			rv = -ECONNRESET;
		if (rv != -EAGAIN && tls->failure.error == 0)
			wsf_fail(&tls->failure, -rv, "the connection was cut in the TLS handshake");
	}
	if (tls->http && tls->failure.error != 0) {
		answer_http(tls);
		return wsf_fail(&tls->failure, EPROTO, "the client sent HTTP in place of TLS");
	}
	return rv;
}

/* Returns 0 to try again, -EINTR, -ETIMEDOUT. */
static int wait_handshake(const struct wsf_tls *tls, int fd, int64_t deadline_ns)
{
	struct pollfd pollfd = { .fd = fd, .events = wsf_tls_owed(tls) > 0 ? POLLOUT : POLLIN };
	int rv;

	/* Something may always be there. */
	if (wsf_deadline_left_ms(deadline_ns) == 0)
		return -ETIMEDOUT;
	wsf_assert_may_wait();
	rv = poll(&pollfd, 1, wsf_deadline_left_ms(deadline_ns));
	return rv < 0 ? -errno : rv == 0 && wsf_deadline_left_ms(deadline_ns) == 0 ? -ETIMEDOUT : 0;
}

int wsf_tls_connect(struct wsf_tls *tls, int fd, int64_t deadline_ns, struct wsf_failure *failure)
{
	struct wsf_socket sock;
	int rv = 0, flushed;
	bool done = false;

	wsf_socket_init(&sock, fd);
	do {
		wsf_tls_enter(tls, &sock);
		if (!done && (rv = wsf_tls_shake_hands(tls)) == 0)
			done = true;
		flushed = wsf_tls_flush_out(tls);
		wsf_tls_leave(tls);
		/* A refusal is more telling than the broken pipe behind it. */
		if (rv == 0 || rv == -EAGAIN)
			rv = flushed != 0 && flushed != -EAGAIN ? flushed : rv;
		if (done && flushed == 0)
			break;
	} while ((rv == 0 || rv == -EAGAIN) && (rv = wait_handshake(tls, fd, deadline_ns)) == 0);
	wsf_socket_destroy(&sock);
	if (rv == 0)
		return 0;
	if (tls->failure.error != 0)
		*failure = tls->failure;
	else if (rv == -EINTR)
		wsf_fail(failure, EINTR, "interrupted by a signal in the TLS handshake");
	else if (rv == -ETIMEDOUT)
		wsf_fail(failure, ETIMEDOUT, "the server did not finish the TLS handshake in time");
	else	/* which of the two a cut is depends on who was faster */
		wsf_fail_errno(failure, rv == -EPIPE ? ECONNRESET : -rv, "the TLS handshake broke off");
	return -failure->error;
}
