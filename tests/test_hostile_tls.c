/* SPDX-License-Identifier: 0BSD */
/*
 * What an enemy can do behind a good handshake of TLS: key updates and tickets without end, and a write that never has
 * to wait.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <check.h>
#include <openssl/err.h>

#include "hostile.h"
#include "pki.h"
#include "tls_wire.h"

#define MESSAGES 2000
#define EXCHANGES 20

static struct ws_listener *listen_aside(void)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);

	ck_assert_msg(listener != NULL, "%s", ws_last_error()->text);
	return listener;
}

/* What the peer sends from now on gathers in memory. */
static BIO *gather(struct tls_peer *peer)
{
	BIO *memory = BIO_new(BIO_s_mem());

	ck_assert_ptr_nonnull(memory);
	SSL_set0_wbio(peer->ssl, memory);
	return memory;
}

enum message { KEY_UPDATE, KEY_UPDATE_BOTH, TICKET, MESSAGE_KINDS };

static void make_message(struct tls_peer *peer, enum message message)
{
	if (message != TICKET) {
		tls_peer_key_update(peer, message == KEY_UPDATE_BOTH);
		return;
	}
	insist(SSL_new_session_ticket(peer->ssl) == 1 && SSL_do_handshake(peer->ssl) == 1, "no ticket");
}

/* Sends it all while the other stream goes on; the attacked one may be gone before. */
static void send_gathered(const struct tls_peer *peer, BIO *memory)
{
	struct ws_listener *aside = listen_aside();
	struct flood flood = { .fd = peer->fd, .reads = true, .most_rounds = 1 };
	struct good good;
	char *data;

	good_open(&good, aside, NULL);
	flood.size = (size_t)BIO_get_mem_data(memory, &data);
	flood.block = data;
	flood_begin(&flood);
	good_exchange(&good, EXCHANGES);
	flood_wait(&flood, 1);
	flood_end(&flood);
	good_close(&good);
	ws_listener_close(aside);
}

/* Each costs new keys or a session, and says nothing: nobody needs so many without a byte of data. */
START_TEST(messages_of_tls_without_data_come_to_an_end)
{
	enum message message = (enum message)(_i % MESSAGE_KINDS);
	enum wire_role role = message == TICKET ? LIBRARY_IS_CLIENT : (enum wire_role)(_i / MESSAGE_KINDS);
	struct tls_setup setup = { .min_version = TLS1_3_VERSION };
	struct ws_options options = WS_OPTIONS_INIT;
	struct tls_wire wire;
	int64_t cpu;
	BIO *memory;

	options.close_timeout_ms = 200;
	tls_wire_open(&wire, role, "r", &setup, &options);
	memory = gather(wire.peer);
	for (size_t i = 0; i < hostile_share(MESSAGES); i++)
		make_message(wire.peer, message);
	cpu = hostile_cpu_ns();
	send_gathered(wire.peer, memory);
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert_msg(errno == EPROTO, "%s", strerror(errno));
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%.1f ms\n", (double)(hostile_cpu_ns() - cpu) / 1e6);
	tls_wire_fclose(&wire.stream, EPROTO);
	tls_wire_end(&wire);
}
END_TEST

/* With data in between they are welcome, however many. */
START_TEST(messages_of_tls_with_data_between_are_taken)
{
	enum message message = (enum message)(_i % MESSAGE_KINDS);
	enum wire_role role = message == TICKET ? LIBRARY_IS_CLIENT : (enum wire_role)(_i / MESSAGE_KINDS);
	struct tls_setup setup = { .min_version = TLS1_3_VERSION };
	struct tls_wire wire;
	char line[16];

	tls_wire_open(&wire, role, "r", &setup, NULL);
	for (int i = 0; i < 10; i++) {
		for (int j = 0; j < 16; j++)
			make_message(wire.peer, message);
		tls_wire_say(&wire, "line\n");
		ck_assert_ptr_nonnull(fgets(line, sizeof line, wire.stream));
		ck_assert_str_eq(line, "line\n");
	}
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	tls_wire_end(&wire);
}
END_TEST

/* --- a long write --- */

#define PINGS 4000

struct reader {
	struct tls_peer *peer;
	const char *pings;
	size_t pings_bytes;
	atomic_bool done;
};

/* Throws away what comes without deciphering it, which is faster than to encipher it, and pings now and then. */
static void *read_and_ping(void *argument)
{
	struct reader *reader = argument;
	static char bytes[1 << 20];
	struct pollfd pollfd = { .fd = reader->peer->fd, .events = POLLIN };
	size_t sent = 0, step = reader->pings_bytes / PINGS;

	while (!atomic_load(&reader->done)) {
		if (poll(&pollfd, 1, 10) == 1 && recv(reader->peer->fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
			break;
		if (sent + step <= reader->pings_bytes) {
			peer_send(reader->peer->fd, reader->pings + sent, step);
			sent += step;
		}
	}
	return NULL;
}

struct writer {
	FILE *stream;
	const void *data;
	size_t size;
	atomic_bool done;
};

static void *write_long(void *argument)
{
	struct writer *writer = argument;

	insist(fwrite(writer->data, 1, writer->size, writer->stream) == writer->size, "%s", strerror(errno));
	atomic_store(&writer->done, true);
	return NULL;
}

START_TEST(a_long_write_over_tls_holds_up_nobody)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct writer writer = { .size = hostile_share((size_t)512 << 20) };
	struct reader reader = { .done = false };
	struct ws_listener *aside;
	unsigned exchanges = 0;
	pthread_t threads[2];
	struct tls_wire wire;
	struct good good;
	BIO *memory;
	char *pings;

	options.close_timeout_ms = 200;
	tls_wire_open(&wire, LIBRARY_IS_SERVER, "w", NULL, &options);
	aside = listen_aside();
	good_open(&good, aside, NULL);
	memory = gather(wire.peer);
	for (int i = 0; i < PINGS; i++)
		tls_peer_frame(wire.peer, PEER_PING, "", 0);
	reader.pings_bytes = (size_t)BIO_get_mem_data(memory, &pings);
	reader.pings = pings;
	reader.peer = wire.peer;
	writer.stream = wire.stream;
	writer.data = mmap(NULL, writer.size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(writer.data, MAP_FAILED);
	peer_thread(&threads[0], read_and_ping, &reader);
	peer_thread(&threads[1], write_long, &writer);
	while (!atomic_load(&writer.done)) {
		good_exchange(&good, 1);
		exchanges++;
	}
	peer_join(threads[1]);
	atomic_store(&reader.done, true);
	peer_join(threads[0]);
	if (getenv("WSF_TEST_SHOW") != NULL)
		fprintf(stderr, "%u exchanges\n", exchanges);
	ck_assert_msg(exchanges >= 20, "only %u exchanges during a long write", exchanges);
	munmap((void *)(uintptr_t)writer.data, writer.size);
	good_close(&good);
	ws_listener_close(aside);
	tls_wire_fclose(&wire.stream, ETIMEDOUT);
	tls_wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hostile_tls");
	TCase *messages = wire_case(suite, "messages"), *writes = wire_case(suite, "long_write");
	int result;

	pki_begin();
	tcase_add_loop_test(messages, messages_of_tls_without_data_come_to_an_end, 0, 2 * MESSAGE_KINDS - 1);
	tcase_add_loop_test(messages, messages_of_tls_with_data_between_are_taken, 0, 2 * MESSAGE_KINDS - 1);
	tcase_add_test(writes, a_long_write_over_tls_holds_up_nobody);
	result = wire_run(suite);
	pki_end();
	return result;
}
