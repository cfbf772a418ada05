/* SPDX-License-Identifier: 0BSD */
/* A client's sessions, by server, to be resumed; only those of connections that passed verification. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_private.h"

/* The sessions with one server, newest first. */
struct wsf_tls_session {
	struct wsf_tls_session *next;
	size_t count;			/* never 0 in the list */
	SSL_SESSION *kept[WSF_TLS_SESSIONS_A_KEY];
	char key[];
};

/* --- the store, under the session lock --- */

static void free_entry(struct wsf_tls_session *entry)
{
	for (size_t i = 0; i < entry->count; i++)
		SSL_SESSION_free(entry->kept[i]);
	free(entry);
}

/* The entry leaves the list; NULL where there is none. */
static struct wsf_tls_session *unlink_locked(struct wsf_tls_context *context, const char *key)
{
	for (struct wsf_tls_session **place = &context->sessions; *place != NULL; place = &(*place)->next) {
		struct wsf_tls_session *entry = *place;

		if (strcmp(entry->key, key) == 0) {
			*place = entry->next;
			return entry;
		}
	}
	return NULL;
}

/* To the front, and what is too much at the other end away. */
static void link_locked(struct wsf_tls_context *context, struct wsf_tls_session *entry)
{
	struct wsf_tls_session **place = &context->sessions;

	entry->next = context->sessions;
	context->sessions = entry;
	for (size_t i = 0; i < WSF_TLS_SESSION_KEYS && *place != NULL; i++)
		place = &(*place)->next;
	while (*place != NULL) {
		struct wsf_tls_session *old = *place;

		*place = old->next;
		free_entry(old);
	}
}

static struct wsf_tls_session *new_entry(const char *key)
{
	size_t size = strlen(key) + 1;
	struct wsf_tls_session *entry = calloc(1, sizeof(*entry) + size);

	if (entry != NULL)
		memcpy(entry->key, key, size);
	return entry;
}

static void drop(struct wsf_tls_session *entry, size_t i)
{
	entry->count--;
	memmove(entry->kept + i, entry->kept + i + 1, (entry->count - i) * sizeof(*entry->kept));
}

static void add(struct wsf_tls_session *entry, SSL_SESSION *session)
{
	if (entry->count == WSF_TLS_SESSIONS_A_KEY)
		SSL_SESSION_free(entry->kept[--entry->count]);
	memmove(entry->kept + 1, entry->kept, entry->count * sizeof(*entry->kept));
	entry->kept[0] = session;
	entry->count++;
}

static bool is_single_use(const SSL_SESSION *session)
{
	return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

/*
 * Whether the server may still take it. A lifetime of 0 is no lifetime at all in TLS 1.3 (RFC 8446, section 4.6.1), and
 * not told in older versions (RFC 5077, section 3.3).
 */
static bool is_alive(const SSL_SESSION *session)
{
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);
	time_t start = (time_t)SSL_SESSION_get_time(session), now = time(NULL);
	double age = difftime(now, start);

	if (SSL_SESSION_is_resumable(session) != 1 || age < 0 || (hint == 0 && is_single_use(session)))
		return false;
	return age < (double)SSL_SESSION_get_timeout(session) && (hint == 0 || age < (double)hint);
}

void wsf_tls_session_put(struct wsf_tls_context *context, const char *key, SSL_SESSION *session)
{
	struct wsf_tls_session *entry;

	wsf_lock(&context->session_lock, WSF_RANK_SESSIONS);
	entry = unlink_locked(context, key);
	if (entry == NULL)
		entry = new_entry(key);
	if (entry != NULL) {
		add(entry, session);
		link_locked(context, entry);
	}
	wsf_unlock(&context->session_lock, WSF_RANK_SESSIONS);
	if (entry == NULL)
		SSL_SESSION_free(session);
}

/* The newest that lives, with a reference for the caller; those that don't, and what is used once, leave the entry. */
static SSL_SESSION *take_from(struct wsf_tls_session *entry)
{
	while (entry->count > 0) {
		SSL_SESSION *session = entry->kept[0];

		if (!is_alive(session)) {
			drop(entry, 0);
			SSL_SESSION_free(session);
		} else if (is_single_use(session)) {
			drop(entry, 0);
			return session;
		} else {
			return SSL_SESSION_up_ref(session) == 1 ? session : NULL;
		}
	}
	return NULL;
}

SSL_SESSION *wsf_tls_session_take(struct wsf_tls_context *context, const char *key)
{
	struct wsf_tls_session *entry;
	SSL_SESSION *session = NULL;

	wsf_lock(&context->session_lock, WSF_RANK_SESSIONS);
	entry = unlink_locked(context, key);
	if (entry != NULL) {
		session = take_from(entry);
		if (entry->count > 0)
			link_locked(context, entry);
		else
			free_entry(entry);
	}
	wsf_unlock(&context->session_lock, WSF_RANK_SESSIONS);
	return session;
}

void wsf_tls_sessions_clear(struct wsf_tls_context *context)
{
	struct wsf_tls_session *entry, *next;

	wsf_lock(&context->session_lock, WSF_RANK_SESSIONS);
	entry = context->sessions;
	context->sessions = NULL;
	wsf_unlock(&context->session_lock, WSF_RANK_SESSIONS);
	for (; entry != NULL; entry = next) {
		next = entry->next;
		free_entry(entry);
	}
}

/* --- where they come from --- */

static int owner_index = -1;		/* of a connection's owner among its ex_data */

static void make_owner_index(void)
{
	owner_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static int get_owner_index(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_owner_index);
	return owner_index;
}

/* TLS 1.2 gives a session before the handshake's end is judged: one that would be refused later stays out. */
static bool has_passed(const struct wsf_tls_context *context, SSL *ssl)
{
	X509 *certificate;
	bool match;

	if (context->verify && SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	if (context->pin_count == 0)
		return true;
	certificate = SSL_get_peer_certificate(ssl);
	match = wsf_tls_pins_match(context, certificate);
	X509_free(certificate);
	return match;
}

/* OpenSSL's callback: 1 = the reference is ours now. */
static int keep_new(SSL *ssl, SSL_SESSION *session)
{
	const struct wsf_tls_session_owner *owner = SSL_get_ex_data(ssl, get_owner_index());

	if (owner == NULL || !has_passed(owner->context, ssl))
		return 0;
	wsf_tls_session_put(owner->context, owner->key, session);
	return 1;
}

void wsf_tls_session_watch(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_new);
}

void wsf_tls_session_attach(SSL *ssl, struct wsf_tls_session_owner *owner)
{
	/* Where there is no memory for it, the next connection's handshake is a full one. */
	if (get_owner_index() >= 0)
		(void)SSL_set_ex_data(ssl, get_owner_index(), owner);
}
