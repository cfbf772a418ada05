/* SPDX-License-Identifier: 0BSD */
/* A stream over TLS, with the library in either role and a raw peer: what TLS adds to the ends and may do between. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <check.h>

#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

/* _i of every test with both: the role, then the version. */
#define BOTH (WIRE_ROLES * 2)

static struct tls_setup version_of(int i)
{
	return (struct tls_setup){ .max_version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION };
}

static void open_both(struct tls_wire *wire, int i, const char *mode, const struct ws_options *options)
{
	struct tls_setup setup = version_of(i);
	struct ws_status status = WS_STATUS_INIT;

	tls_wire_open(wire, (enum wire_role)(i / 2), mode, &setup, options);
	ck_assert_int_eq(ws_status(wire->stream, &status), 0);
	ck_assert_str_eq(status.tls_version, i % 2 == 0 ? "TLSv1.2" : "TLSv1.3");
	ck_assert_str_eq(status.tls_cipher, SSL_get_cipher_name(wire->peer->ssl));
}

/* --- the end --- */

/* Data, our Close, the peer's, and a close_notify from us before TCP's end. */
START_TEST(fclose_is_clean_and_says_so_in_tls)
{
	struct tls_wire wire;

	open_both(&wire, _i, "r+", NULL);
	fputs("hello\n", wire.stream);
	tls_wire_say(&wire, "one\n");
	wire_expect_line(wire.stream, "one\n");
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello\n");
	ck_assert_int_eq(tls_peer_end(wire.peer), TLS_END_NOTIFIED);
	tls_wire_end(&wire);
}
END_TEST

/* The same with a peer that ends TCP and says nothing in TLS. */
static void *finish_without_notify(void *argument)
{
	struct tls_wire *wire = argument;

	wire->close_code = tls_peer_read_until_close(wire->peer, &wire->data, &wire->size);
	tls_peer_close(wire->peer, 1000, "");
	if (!wire->peer->server)
		tls_peer_end(wire->peer);
	tls_peer_fin(wire->peer);
	return NULL;
}

START_TEST(a_missing_close_notify_after_both_closes_is_no_error)
{
	struct tls_wire wire;
	pthread_t thread;

	open_both(&wire, _i, "r+", NULL);
	fputs("hello\n", wire.stream);
	peer_thread(&thread, finish_without_notify, &wire);
	tls_wire_fclose(&wire.stream, 0);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello\n");
	tls_wire_end(&wire);
}
END_TEST

static void *close_stream(void *argument)
{
	struct tls_wire *wire = argument;

	tls_wire_fclose(&wire->stream, 0);
	return NULL;
}

/* The peer closes first and we answer later; its close_notify comes behind that, or not: _i % 2. */
START_TEST(the_peers_close_is_eof_and_we_may_still_answer)
{
	struct tls_wire wire;
	pthread_t thread;

	open_both(&wire, _i / 2, "r+", NULL);
	tls_wire_say(&wire, "one\n");
	tls_peer_close(wire.peer, 1000, "");
	wire_expect_line(wire.stream, "one\n");
	wire_expect_end(wire.stream, 0);
	fputs("answer", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), 0);
	fputs(" and more", wire.stream);
	peer_thread(&thread, close_stream, &wire);
	ck_assert_uint_eq(tls_peer_read_until_close(wire.peer, &wire.data, &wire.size), 1000);
	if (!wire.peer->server)
		ck_assert_int_eq(tls_peer_end(wire.peer), TLS_END_NOTIFIED);
	if (_i % 2 == 0)
		tls_peer_notify(wire.peer);
	tls_peer_fin(wire.peer);
	peer_join(thread);
	ck_assert_str_eq((char *)wire.data, "answer and more");
	tls_wire_end(&wire);
}
END_TEST

enum cut { CUT_NOTIFY, CUT_FIN, CUT_RESET, CUTS };

static void cut(struct tls_wire *wire, enum cut how)
{
	if (how == CUT_NOTIFY)
		tls_peer_notify(wire->peer);
	if (how != CUT_RESET) {
		tls_peer_fin(wire->peer);
		return;
	}
	peer_wait_sent(wire->peer->fd);
	peer_reset(wire->peer->fd);
	wire->peer->fd = -1;
}

/* TLS's end in all order is no Close: truncation all the same. */
START_TEST(an_end_without_a_close_is_an_error_behind_all_data)
{
	struct tls_wire wire;

	open_both(&wire, _i / CUTS, "r+", NULL);
	tls_wire_say(&wire, "one\ntwo\nhal");
	cut(&wire, (enum cut)(_i % CUTS));
	wire_expect_line(wire.stream, "one\n");
	wire_expect_line(wire.stream, "two\n");
	for (const char *next = "hal"; *next != '\0'; next++)
		ck_assert_int_eq(fgetc(wire.stream), *next);
	wire_expect_end(wire.stream, ECONNRESET);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	wire_expect_unwritable(wire.stream, EPIPE);
	tls_wire_fclose(&wire.stream, ECONNRESET);
	tls_wire_end(&wire);
}
END_TEST

/* Our Close is out, and the peer goes without one. */
struct leaving {
	struct tls_wire *wire;
	enum cut how;
};

static void *leave_without_a_close(void *argument)
{
	struct leaving *leaving = argument;
	struct tls_wire *wire = leaving->wire;

	wire->close_code = tls_peer_read_until_close(wire->peer, &wire->data, &wire->size);
	cut(wire, leaving->how);
	return NULL;
}

START_TEST(our_close_that_is_not_answered_is_no_receipt)
{
	struct tls_wire wire;
	struct leaving leaving = { &wire, (enum cut)(_i % CUTS) };
	pthread_t thread;

	open_both(&wire, _i / CUTS, "r+", NULL);
	fputs("hello", wire.stream);
	peer_thread(&thread, leave_without_a_close, &leaving);
	tls_wire_fclose(&wire.stream, ECONNRESET);
	peer_join(thread);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_str_eq((char *)wire.data, "hello");
	tls_wire_end(&wire);
}
END_TEST

START_TEST(a_half_close_leaves_the_other_direction)
{
	struct tls_wire wire;
	uint8_t *data;
	size_t size;

	open_both(&wire, _i, "r+", NULL);
	fputs("question\n", wire.stream);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, "that was all"), 0);
	ck_assert_uint_eq(tls_peer_read_until_close(wire.peer, &data, &size), 1000);
	ck_assert_str_eq((char *)data, "question\n");
	free(data);
	for (int i = 0; i < 100; i++)
		tls_wire_say(&wire, "answer\n");
	for (int i = 0; i < 50; i++)
		wire_expect_line(wire.stream, "answer\n");
	tls_peer_close(wire.peer, 1000, "");
	for (int i = 0; i < 50; i++)
		wire_expect_line(wire.stream, "answer\n");
	wire_expect_end(wire.stream, 0);
	tls_peer_notify(wire.peer);
	tls_peer_fin(wire.peer);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_end(&wire);
}
END_TEST

/* --- in between --- */

#define ROUNDS 24
#define ROUND_BYTES ((size_t)70000)

/* Each round of data comes back; now and then the peer takes new keys, with the wish for ours or without. */
static void *echo_rounds(void *argument)
{
	struct tls_wire *wire = argument;
	struct tls_peer *peer = wire->peer;
	struct peer_frame frame;
	size_t got = 0;

	for (int i = 0; got < ROUNDS * ROUND_BYTES; i++) {
		if (!tls_peer_read_frame(peer, &frame))
			ck_abort_msg("the stream ended behind %zu", got);
		tls_peer_key_update(peer, i % 3 != 2);
		got += (size_t)frame.size;
		tls_peer_frame(peer, PEER_BINARY, frame.payload, (size_t)frame.size);
		peer_frame_clear(&frame);
	}
	wire->close_code = tls_peer_finish(peer, NULL, NULL);
	return NULL;
}

static void *write_rounds(void *argument)
{
	struct tls_wire *wire = argument;
	uint8_t block[ROUND_BYTES];

	for (size_t i = 0; i < ROUNDS; i++) {
		wire_pattern(i * ROUND_BYTES, block, ROUND_BYTES);
		if (fwrite(block, 1, ROUND_BYTES, wire->half[1]) != ROUND_BYTES || fflush(wire->half[1]) != 0)
			ck_abort_msg("cannot write: %s", strerror(errno));
	}
	return NULL;
}

static void read_rounds(struct tls_wire *wire)
{
	uint8_t block[ROUND_BYTES];

	for (size_t i = 0; i < ROUNDS; i++) {
		errno = 0;
		if (fread(block, 1, ROUND_BYTES, wire->half[0]) != ROUND_BYTES)
			ck_abort_msg("cannot read: feof %d, %s", feof(wire->half[0]), strerror(errno));
		if (!wire_pattern_matches(i * ROUND_BYTES, block, ROUND_BYTES))
			ck_abort_msg("wrong bytes in round %zu", i);
	}
}

/* _i: the role, then a small buffer, where a round does not fit. */
START_TEST(keys_are_updated_in_mid_transfer)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct tls_wire wire;
	pthread_t echo, writer;

	if (_i % 2 == 1)
		options.recv_buffer_bytes = options.send_buffer_bytes = 4096;
	tls_wire_open_pair(&wire, (enum wire_role)(_i / 2), NULL, &options);
	peer_thread(&echo, echo_rounds, &wire);
	peer_thread(&writer, write_rounds, &wire);
	read_rounds(&wire);
	peer_join(writer);
	tls_wire_fclose(&wire.half[1], 0);
	tls_wire_fclose(&wire.half[0], 0);
	peer_join(echo);
	ck_assert_uint_eq(wire.close_code, 1000);
	/* The library has taken new keys itself, as it was asked to. */
	ck_assert_uint_ge(wire.peer->key_updates, 1);
	tls_wire_end(&wire);
}
END_TEST

/* Records of one byte, and of every size about the greatest. */
START_TEST(records_may_have_any_size)
{
	static const size_t sizes[] = { 1, 2, 3, 5, 16, 1000, 16383, 16384 };
	uint8_t head[14], block[16384], got[16384];
	struct tls_wire wire;

	open_both(&wire, _i, "r+", NULL);
	for (int i = 0; i < COUNT(sizes) * 4; i++) {
		size_t size = sizes[i % COUNT(sizes)], head_bytes;

		wire_pattern((uint64_t)i, block, size);
		head_bytes = peer_frame_head(head, PEER_BINARY, false, size);
		if (wire.role == LIBRARY_IS_SERVER) {
			tls_peer_frame(wire.peer, PEER_BINARY, block, size);
		} else {
			for (size_t j = 0; j < head_bytes; j++)
				tls_peer_send(wire.peer, head + j, 1);
			tls_peer_send(wire.peer, block, size);
		}
		ck_assert_uint_eq(fread(got, 1, size, wire.stream), size);
		ck_assert(memcmp(got, block, size) == 0);
	}
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	tls_wire_end(&wire);
}
END_TEST

static const struct rubbish {
	const char *bytes;
	size_t size;
} rubbish[] = {
#define TEXT(text) { text, sizeof(text) - 1 }
	/* a record that is longer than any may be, with and without its content */
	TEXT("\x17\x03\x03\xff\xff"),
	TEXT("\x17\x03\x03\x48\x01" "0123456789abcdef0123456789abcdef"),
	/* one that nobody's key made */
	TEXT("\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef"),
	TEXT("\x17\x03\x03\x00\x01" "0"),
	/* no record */
	TEXT("\x81\x05hello\x81\x05hello\x81\x05hello"),
	TEXT("GET / HTTP/1.1\r\n\r\n"),
	/* an alert in the clear */
	TEXT("\x15\x03\x03\x00\x02\x02\x28"),
};

/* _i: the role and the version, then which. */
START_TEST(rubbish_in_mid_transfer_is_a_protocol_error)
{
	const struct rubbish *one = &rubbish[_i / BOTH];
	struct ws_status status = WS_STATUS_INIT;
	struct tls_wire wire;

	open_both(&wire, _i % BOTH, "r+", NULL);
	tls_wire_say(&wire, "one\n");
	peer_send(wire.peer->fd, one->bytes, one->size);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_end(wire.stream, EPROTO);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.error, EPROTO);
	ck_assert_str_ne(status.error_text, "");
	wire_expect_unwritable(wire.stream, EPIPE);
	tls_wire_fclose(&wire.stream, EPROTO);
	tls_wire_end(&wire);
}
END_TEST

/* Nobody gets a second handshake (RFC 7540, section 9.2.1, has the reasons; TLS 1.3 has none). */
START_TEST(renegotiation_is_refused)
{
	struct tls_setup setup = { .max_version = TLS1_2_VERSION, .renegotiation = true };
	struct ws_status status = WS_STATUS_INIT;
	struct tls_wire wire;

	tls_wire_open(&wire, (enum wire_role)_i, "r+", &setup, NULL);
	tls_wire_say(&wire, "one\n");
	wire_expect_line(wire.stream, "one\n");
	ck_assert(!tls_peer_renegotiate(wire.peer));
	/* The peer gives up when it is refused, and says so. */
	tls_peer_fin(wire.peer);
	wire_expect_end(wire.stream, EPROTO);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_str_ne(status.error_text, "");
	tls_wire_fclose(&wire.stream, EPROTO);
	tls_wire_end(&wire);
}
END_TEST

START_TEST(a_violation_is_answered_in_tls)
{
	struct tls_wire wire;

	open_both(&wire, _i, "r+", NULL);
	tls_wire_say(&wire, "one\n");
	tls_peer_frame(wire.peer, 0x83, "", 0);
	wire_expect_line(wire.stream, "one\n");
	wire_expect_end(wire.stream, EPROTO);
	ck_assert_uint_eq(tls_peer_read_until_close(wire.peer, NULL, NULL), 1002);
	tls_peer_fin(wire.peer);
	tls_wire_fclose(&wire.stream, EPROTO);
	tls_wire_end(&wire);
}
END_TEST

#define MUCH_BYTES ((size_t)8 << 20)

/* Until nothing new has arrived here for 50 ms: the sender waits. The kernel has no event for it. */
static void wait_until_full(int fd)
{
	int before = -1, now = 0;

	for (int looks = 0; now == 0 || now != before; looks++) {
		ck_assert_msg(looks < 400, "the socket never filled");
		before = now;
		poll(NULL, 0, 50);
		ck_assert_int_eq(ioctl(fd, FIONREAD, &now), 0);
	}
}

static void *write_much(void *argument)
{
	struct tls_wire *wire = argument;
	uint8_t *block = malloc(MUCH_BYTES);

	ck_assert_ptr_nonnull(block);
	wire_pattern(0, block, MUCH_BYTES);
	if (fwrite(block, 1, MUCH_BYTES, wire->stream) != MUCH_BYTES || fflush(wire->stream) != 0)
		ck_abort_msg("cannot write: %s", strerror(errno));
	free(block);
	return NULL;
}

/* Far more than the sockets take, to a peer that reads nothing before they are full; its pings are answered between. */
START_TEST(a_peer_that_reads_late_gets_everything)
{
	struct peer_frame frame;
	struct tls_wire wire;
	pthread_t thread;
	size_t got = 0;
	bool pong = false;

	open_both(&wire, _i, "r+", NULL);
	peer_thread(&thread, write_much, &wire);
	wait_until_full(wire.peer->fd);
	tls_peer_frame(wire.peer, PEER_PING, "still there?", 12);
	while (!pong || got < MUCH_BYTES) {
		ck_assert(tls_peer_read_frame(wire.peer, &frame));
		if (frame.byte0 == PEER_PONG) {
			ck_assert_str_eq((char *)frame.payload, "still there?");
			pong = true;
		} else if (!wire_pattern_matches(got, frame.payload, (size_t)frame.size)) {
			ck_abort_msg("wrong bytes behind %zu", got);
		} else {
			got += (size_t)frame.size;
		}
		peer_frame_clear(&frame);
	}
	peer_join(thread);
	tls_wire_finish(&wire);
	tls_wire_fclose(&wire.stream, 0);
	tls_wire_finished(&wire);
	tls_wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("secure_wire");
	TCase *tcase = wire_case(suite, "wire");
	int result;

	pki_begin();
	tcase_add_loop_test(tcase, fclose_is_clean_and_says_so_in_tls, 0, BOTH);
	tcase_add_loop_test(tcase, a_missing_close_notify_after_both_closes_is_no_error, 0, BOTH);
	tcase_add_loop_test(tcase, the_peers_close_is_eof_and_we_may_still_answer, 0, BOTH * 2);
	tcase_add_loop_test(tcase, an_end_without_a_close_is_an_error_behind_all_data, 0, BOTH * CUTS);
	tcase_add_loop_test(tcase, our_close_that_is_not_answered_is_no_receipt, 0, BOTH * CUTS);
	tcase_add_loop_test(tcase, a_half_close_leaves_the_other_direction, 0, BOTH);
	tcase_add_loop_test(tcase, keys_are_updated_in_mid_transfer, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(tcase, records_may_have_any_size, 0, BOTH);
	tcase_add_loop_test(tcase, rubbish_in_mid_transfer_is_a_protocol_error, 0, BOTH * COUNT(rubbish));
	tcase_add_loop_test(tcase, renegotiation_is_refused, 0, WIRE_ROLES);
	tcase_add_loop_test(tcase, a_violation_is_answered_in_tls, 0, BOTH);
	tcase_add_loop_test(tcase, a_peer_that_reads_late_gets_everything, 0, BOTH);
	result = wire_run(suite);
	pki_end();
	return result;
}
