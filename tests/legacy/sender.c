/* SPDX-License-Identifier: 0BSD */
#include "sender.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "bytes.h"
#include "cookie_private.h"
#include "pki.h"

#define GIVE_UP_MS 30000

/* Check's own asserts write to a pipe each time. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The library has every byte that was sent and, with taken, its reader has got them all. */
static bool is_there(const struct sender *sender, bool taken)
{
	struct ws_status status = WS_STATUS_INIT;

	insist(wsf_stream_status(sender->looked_at, &status) == 0, "no status");
	return status.bytes_received == sender->sent_bytes &&
	    (!taken || wsf_stream_readable_bytes(sender->looked_at) == 0);
}

/* There is no event for what somebody else's call of fread has taken, so it is looked at again and again. */
static void keep_pace(const struct sender *sender, bool taken)
{
	int64_t until = now_ms() + GIVE_UP_MS;

	/* Behind a descriptor nobody can look. */
	if (sender->descriptor) {
		peer_wait_sent(sender->server.peer.fd);
		return;
	}
	while (!atomic_load(&sender->abandoned) && !is_there(sender, taken)) {
		insist(now_ms() < until, "%zu bytes were sent, and not all of them read", sender->sent_bytes);
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
}

/* One piece is a message, or a fragment of one, and sometimes a ping is between them. */
static void send_piece(struct sender *sender, const uint8_t *data, size_t size, bool last)
{
	bool begins = sender->fragments == 0, ends = last || next_number(&sender->lot) % 3 != 0;

	sender->fragments = ends ? 0 : sender->fragments + 1;
	tls_peer_frame(&sender->server.peer, (ends ? 0x80U : 0) | (begins ? 0x02U : 0), data, size);
	sender->sent_bytes += size;
	if (next_number(&sender->lot) % 16 == 0)
		tls_peer_frame(&sender->server.peer, PEER_PING, "between", 7);
}

static void await_life(const struct plan *plan)
{
	size_t got = 0;

	while (got < plan->live_size) {
		ssize_t more = read(plan->live_fd, plan->live_data + got, plan->live_size - got);

		insist(more > 0, "the consumer gave nothing more: %s", more < 0 ? strerror(errno) : "end");
		got += (size_t)more;
	}
}

static void send_all(struct sender *sender)
{
	const struct plan *plan = &sender->plan;
	size_t size;

	while (sender->sent_bytes < plan->size) {
		size_t stop = sender->sent_bytes < plan->live_at ? plan->live_at : plan->size;

		size = 1 + next_number(&sender->lot) % plan->most;
		if (size > stop - sender->sent_bytes)
			size = stop - sender->sent_bytes;
		send_piece(sender, plan->data + sender->sent_bytes, size, sender->sent_bytes + size == plan->size);
		if (plan->paced)
			keep_pace(sender, true);
		if (sender->sent_bytes == plan->live_at)
			await_life(plan);
	}
	/* What a cut leaves behind in the kernels is nobody's promise. */
	if (plan->ending != END_GOODBYE)
		keep_pace(sender, false);
}

static void take(struct sender *sender)
{
	struct peer_frame frame;
	size_t bytes = 0;

	while (bytes < sender->plan.take_bytes) {
		insist(tls_peer_read_frame(&sender->server.peer, &frame), "the stream ended behind %zu bytes", bytes);
		bytes += frame.byte0 < PEER_CLOSE ? (size_t)frame.size : 0;
		peer_frame_clear(&frame);
	}
}

static void tell_sent(struct sender *sender)
{
	pthread_mutex_lock(&sender->lock);
	sender->sent = true;
	pthread_cond_signal(&sender->turn);
	pthread_mutex_unlock(&sender->lock);
}

static void *serve(void *argument)
{
	struct sender *sender = argument;
	struct tls_peer *peer = &sender->server.peer;

	send_all(sender);
	take(sender);
	if (sender->plan.ending == END_RESET) {
		peer_reset(peer->fd);
		peer->fd = -1;
	} else if (sender->plan.ending == END_FIN) {
		tls_peer_fin(peer);
	} else if (sender->plan.size > 0) {
		tls_peer_close(peer, 1000, "");
	}
	tell_sent(sender);
	if (sender->plan.ending == END_GOODBYE)
		sender->close_code = tls_peer_read_until_close(peer, &sender->data, &sender->size);
	if (sender->close_code != 0) {
		if (sender->plan.size == 0)
			tls_peer_close(peer, 1000, "");
		tls_peer_notify(peer);
		tls_peer_fin(peer);
		tls_peer_end(peer);
	}
	return NULL;
}

static void serve_handshake(struct tls_server *server)
{
	free(tls_peer_serve_handshake(&server->peer));
}

void sender_open(struct sender *sender, const char *mode)
{
	struct ws_options options = tls_client_options();
	const char *url;
	int fd;

	options.stdio_buffer_bytes = sender->stdio_bytes;
	options.handshake_timeout_ms = options.close_timeout_ms = GIVE_UP_MS;
	sender->setup = (struct tls_setup){ .plain = !sender->secure, .cert_file = pki_file("server.pem"),
		.key_file = pki_file("server.key") };
	sender->server = (struct tls_server){ .setup = &sender->setup, .body = serve_handshake };
	tls_server_start(&sender->server);
	url = tls_url(sender->secure ? "wss" : "ws", "localhost", sender->server.port);
	if (sender->descriptor) {
		fd = ws_socket(url, &options);
		sender->stream = fd >= 0 ? fdopen(fd, mode) : NULL;
	} else {
		sender->stream = ws_fopen_with(url, mode, &options);
	}
	ck_assert_msg(sender->stream != NULL, "%s", ws_last_error()->text);
	/* Some consumers close the FILE themselves, whenever they like. */
	if (!sender->descriptor)
		sender->looked_at = wsf_stream_ref(wsf_cookie_find(sender->stream)->stream);
	tls_server_join(&sender->server);
	ck_assert_msg(sender->server.opened, "%s", sender->server.peer.error);
	pthread_mutex_init(&sender->lock, NULL);
	pthread_cond_init(&sender->turn, NULL);
	peer_thread(&sender->thread, serve, sender);
}

void sender_sent(struct sender *sender)
{
	atomic_store(&sender->abandoned, true);
	pthread_mutex_lock(&sender->lock);
	while (!sender->sent)
		pthread_cond_wait(&sender->turn, &sender->lock);
	pthread_mutex_unlock(&sender->lock);
}

void sender_join(struct sender *sender)
{
	peer_join(sender->thread);
	wsf_stream_unref(sender->looked_at);
	tls_server_clear(&sender->server);
	pthread_cond_destroy(&sender->turn);
	pthread_mutex_destroy(&sender->lock);
}
