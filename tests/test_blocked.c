/* SPDX-License-Identifier: 0BSD */
/* Reads and writes that block: timeouts, signals, full queues. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "wire.h"

#define SMALL_BYTES 32768		/* the peer's SO_RCVBUF where it is to be full soon */
#define MUCH_BYTES ((size_t)16 << 20)	/* more than all kernel buffers take */

/* --- reads --- */

START_TEST(read_timeout_loses_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	char bytes[8];
	struct wire wire;

	options.read_timeout_ms = 20;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_say(&wire, "abc");
	wire_wait_received(wire.stream, 3);
	errno = 0;
	ck_assert_uint_eq(fread(bytes, 1, 8, wire.stream), 3);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert(ferror(wire.stream) && !feof(wire.stream));
	ck_assert_mem_eq(bytes, "abc", 3);
	clearerr(wire.stream);
	errno = 0;
	ck_assert_int_eq(fgetc(wire.stream), EOF);
	ck_assert_int_eq(errno, ETIMEDOUT);
	clearerr(wire.stream);
	wire_say(&wire, "defgh\n");
	wire_wait_received(wire.stream, 9);
	wire_expect_line(wire.stream, "defgh\n");
	fputs("fine", wire.stream);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_str_eq((char *)wire.data, "fine");
	wire_end(&wire);
}
END_TEST

static atomic_int signals_seen;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals_seen, 1);
}

static void handle_signal(int flags)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	atomic_store(&signals_seen, 0);
}

struct nuisance {
	pthread_t target, thread;
	atomic_bool stop;
	struct wire *wire;
	int until_signals;
};

static void *send_signals(void *argument)
{
	struct nuisance *nuisance = argument;

	while (!atomic_load(&nuisance->stop) && atomic_load(&signals_seen) < nuisance->until_signals) {
		pthread_kill(nuisance->target, SIGUSR1);
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	return NULL;
}

/* Signals to this thread until end_nuisance, or so many of them. */
static void start_nuisance(struct nuisance *nuisance, int until_signals)
{
	*nuisance = (struct nuisance){ .target = pthread_self(), .until_signals = until_signals };
	peer_thread(&nuisance->thread, send_signals, nuisance);
}

static void end_nuisance(struct nuisance *nuisance)
{
	atomic_store(&nuisance->stop, true);
	peer_join(nuisance->thread);
}

START_TEST(signal_interrupts_a_read_and_nothing_is_lost)
{
	struct nuisance nuisance;
	char bytes[8];
	struct wire wire;

	handle_signal(0);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	for (int round = 0; round < 5; round++) {
		wire_say(&wire, "abc");
		ck_assert_int_eq(fgetc(wire.stream), 'a');
		start_nuisance(&nuisance, 1 << 30);
		errno = 0;
		ck_assert_uint_eq(fread(bytes, 1, 8, wire.stream), 2);
		ck_assert_int_eq(errno, EINTR);
		ck_assert(ferror(wire.stream) && !feof(wire.stream));
		end_nuisance(&nuisance);
		ck_assert_mem_eq(bytes, "bc", 2);
		clearerr(wire.stream);
		wire_say(&wire, "defgh\n");
		wire_expect_line(wire.stream, "defgh\n");
	}
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

#ifndef __SANITIZE_THREAD__
/* ThreadSanitizer runs a handler only once the blocked system call has returned, which it never does here. */
static void *disturb_then_say(void *argument)
{
	struct nuisance *nuisance = argument;

	send_signals(nuisance);
	wire_say(nuisance->wire, "defgh\n");
	return NULL;
}

START_TEST(read_goes_on_after_a_signal_with_sa_restart)
{
	struct nuisance nuisance = { .target = pthread_self(), .until_signals = 20 };
	struct wire wire;

	handle_signal(SA_RESTART);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_say(&wire, "abc");
	nuisance.wire = &wire;
	peer_thread(&nuisance.thread, disturb_then_say, &nuisance);
	wire_expect_line(wire.stream, "abcdefgh\n");
	peer_join(nuisance.thread);
	ck_assert_int_ge(atomic_load(&signals_seen), 20);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST
#endif

static atomic_bool nibbling, answered;

/* The data comes while the reader waits, the ping when it has begun to read. */
static void *send_and_ping(void *argument)
{
	const struct timespec moment = { .tv_nsec = 50000000 };
	static const char data[3000];
	struct wire *wire = argument;
	struct peer_frame frame;

	nanosleep(&moment, NULL);
	wire_frame(wire, PEER_BINARY, data, sizeof data);
	while (!atomic_load(&nibbling))
		nanosleep(&moment, NULL);
	wire_frame(wire, PEER_PING, "there?", 6);
	ck_assert(peer_read_frame(wire->peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PONG);
	peer_frame_clear(&frame);
	atomic_store(&answered, true);
	return NULL;
}

/* A reader that lives off what it has received already leaves pings to the helper. */
START_TEST(a_reader_that_nibbles_answers_pings)
{
	const struct timespec moment = { .tv_nsec = 5000000 };
	size_t left = 3000;
	pthread_t thread;
	struct wire wire;
	char byte;

	atomic_store(&nibbling, false);
	atomic_store(&answered, false);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	peer_thread(&thread, send_and_ping, &wire);
	for (; left > 0 && !atomic_load(&answered); left--) {
		ck_assert_int_eq((int)ws_read_some(wire.stream, &byte, 1), 1);
		atomic_store(&nibbling, true);
		nanosleep(&moment, NULL);
	}
	ck_assert_uint_gt(left, 0);
	peer_join(thread);
	while (left-- > 0)
		ck_assert_int_eq(fgetc(wire.stream), 0);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* --- cancellation --- */

static void *read_one(void *stream)
{
	return (void *)(intptr_t)fgetc(stream);
}

/* It is put off until the read is over; whatever became of the thread, this and other streams work on. */
START_TEST(a_cancelled_reader_leaves_nothing_behind)
{
	struct wire wire, other;
	pthread_t thread;
	void *value;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	for (int round = 0; round < 3; round++) {
		peer_thread(&thread, read_one, wire.stream);
		nanosleep(&(struct timespec){ .tv_nsec = round * 30000000 }, NULL);
		ck_assert_int_eq(pthread_cancel(thread), 0);
		wire_say(&wire, "x");
		ck_assert_int_eq(pthread_join(thread, &value), 0);
	}
	wire_open(&other, (enum wire_role)_i, "r+", NULL, 0);
	wire_finish(&other, 1000);
	wire_fclose(&other, 0);
	wire_finished(&other);
	wire_end(&other);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

/* --- writes --- */

static uint8_t *much(void)
{
	uint8_t *data = malloc(MUCH_BYTES);

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, MUCH_BYTES);
	return data;
}

static void *disturb_then_read(void *argument)
{
	struct nuisance *nuisance = argument;

	send_signals(nuisance);
	wire_finish(nuisance->wire, 1000);
	return NULL;
}

/* _i: role, then whether the handler has SA_RESTART */
START_TEST(signals_do_not_fail_a_blocked_write)
{
	struct nuisance nuisance = { .target = pthread_self(), .until_signals = 20 };
	uint8_t *data = much();
	struct wire wire;

	handle_signal(_i % 2 == 0 ? 0 : SA_RESTART);
	wire_open(&wire, (enum wire_role)(_i / 2), "r+", NULL, SMALL_BYTES);
	nuisance.wire = &wire;
	peer_thread(&nuisance.thread, disturb_then_read, &nuisance);
	ck_assert_uint_eq(fwrite(data, 1, MUCH_BYTES, wire.stream), MUCH_BYTES);
	peer_join(nuisance.thread);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_uint_eq(wire.size, MUCH_BYTES);
	ck_assert(wire_pattern_matches(0, wire.data, wire.size));
	free(data);
	wire_end(&wire);
}
END_TEST

/*
 * A failed write is final: what the peer reads is the start of what was written, and then an error, whatever the
 * program does with clearerr. _i: role, then large or small writes.
 */
START_TEST(write_timeout_is_final)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	uint8_t *data = much();
	size_t step = _i % 2 == 0 ? MUCH_BYTES : 999, done = 0, count;
	struct wire wire;

	options.write_timeout_ms = 40;
	wire_open(&wire, (enum wire_role)(_i / 2), "r+", &options, SMALL_BYTES);
	do {
		size_t part = MUCH_BYTES - done < step ? MUCH_BYTES - done : step;

		errno = 0;
		count = fwrite(data + done, 1, part, wire.stream);
		done += count;
		if (count < part)
			break;
	} while (done < MUCH_BYTES);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert(ferror(wire.stream));
	for (int i = 0; i < 3; i++)
		wire_expect_unwritable(wire.stream, EPIPE);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_ne((int)status.close_code_sent, 1000);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, ETIMEDOUT);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1011);
	ck_assert_uint_lt(wire.size, MUCH_BYTES);
	ck_assert(wire_pattern_matches(0, wire.data, wire.size));
	free(data);
	wire_end(&wire);
}
END_TEST

START_TEST(reading_goes_on_after_a_failed_write)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	struct wire wire;

	options.write_timeout_ms = 40;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	errno = 0;
	ck_assert_uint_lt(fwrite(data, 1, MUCH_BYTES, wire.stream), MUCH_BYTES);
	ck_assert_int_eq(errno, ETIMEDOUT);
	clearerr(wire.stream);
	wire_say(&wire, "one\n");
	wire_expect_line(wire.stream, "one\n");
	ck_assert_uint_eq(peer_read_until_close(wire.peer, NULL, NULL), 1011);
	wire_say(&wire, "two\n");
	wire_goodbye(&wire, 1000, "");
	wire_expect_line(wire.stream, "two\n");
	wire_expect_end(wire.stream, 0);
	wire_end_tcp(&wire);
	wire_fclose(&wire, ETIMEDOUT);
	free(data);
	wire_end(&wire);
}
END_TEST

static void *write_much(void *argument)
{
	uint8_t *data = much();

	errno = 0;
	ck_assert_uint_lt(fwrite(data, 1, MUCH_BYTES, argument), MUCH_BYTES);
	ck_assert_int_eq(errno, EPIPE);
	free(data);
	return NULL;
}

/* Without lingering a Close is answered at once; with 1000, the part would pass for the whole. */
START_TEST(a_close_amid_a_write_is_answered_with_an_error)
{
	struct ws_options options = WS_OPTIONS_INIT;
	pthread_t writer;
	uint8_t *data;
	size_t size;
	struct wire wire;

	options.linger_ms = 0;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	peer_thread(&writer, write_much, wire.stream);
	ck_assert_int_gt(recv(wire.peer, &(char){ 0 }, 1, MSG_PEEK), 0);
	wire_goodbye(&wire, 1000, "");
	ck_assert_uint_eq(peer_read_until_close(wire.peer, &data, &size), 1011);
	ck_assert_uint_lt(size, MUCH_BYTES);
	ck_assert(wire_pattern_matches(0, data, size));
	free(data);
	peer_join(writer);
	wire_end_tcp(&wire);
	wire_fclose(&wire, EPIPE);
	wire_end(&wire);
}
END_TEST

START_TEST(text_that_is_no_utf8_fails_the_write_for_good)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+t", NULL, 0);
	ck_assert_int_gt(fputs("caf\xc3", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	ck_assert_int_gt(fputs("\xa9\n", wire.stream), 0);
	ck_assert_int_eq(fflush(wire.stream), 0);
	errno = 0;
	ck_assert(fputs("\xff", wire.stream) == EOF || fflush(wire.stream) == EOF);
	ck_assert_int_eq(errno, EILSEQ);
	wire_expect_unwritable(wire.stream, EPIPE);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, EILSEQ);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1011);
	ck_assert_str_eq((char *)wire.data, "caf\xc3\xa9\n");
	wire_end(&wire);
}
END_TEST

/* --- a full send queue --- */

/* The ring takes what the kernel does not, so nothing here blocks before the Close is queued. */
START_TEST(close_behind_a_full_send_queue_completes)
{
	struct ws_options options = WS_OPTIONS_INIT;
	size_t size = MUCH_BYTES * 3 / 4;
	uint8_t *data = much();
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	options.close_timeout_ms = 60000;
	wire_open(&wire, (enum wire_role)(_i / 2), "r+", &options, SMALL_BYTES);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	if (_i % 2 == 0)
		ck_assert_int_eq(ws_shutdown(wire.stream, 1001, "behind it all"), 0);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, _i % 2 == 0 ? 1001 : 1000);
	ck_assert_uint_eq(wire.size, size);
	ck_assert(wire_pattern_matches(0, wire.data, size));
	free(data);
	wire_end(&wire);
}
END_TEST

/* The same where the peer's Close and pings come while our data is still queued: none of it is lost. */
START_TEST(peers_close_does_not_overtake_our_queue)
{
	struct ws_options options = WS_OPTIONS_INIT;
	size_t size = MUCH_BYTES * 3 / 4;
	uint8_t *data = much();
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	options.close_timeout_ms = 60000;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	for (int i = 0; i < 100; i++)
		wire_frame(&wire, PEER_PING, "ping", 4);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_uint_eq(wire.size, size);
	ck_assert(wire_pattern_matches(0, wire.data, size));
	free(data);
	wire_end(&wire);
}
END_TEST

static void *reset_when_blocked(void *argument)
{
	struct wire *wire = argument;
	uint8_t bytes[1000];

	/* The writer is under way; what it has still to write no buffer could hold. */
	ck_assert_uint_eq(peer_recv(wire->peer, bytes, sizeof bytes), sizeof bytes);
	peer_reset(wire->peer);
	wire->peer = -1;
	return NULL;
}

START_TEST(reset_ends_a_blocked_write)
{
	uint8_t *data = much();
	pthread_t thread;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, SMALL_BYTES);
	peer_thread(&thread, reset_when_blocked, &wire);
	errno = 0;
	ck_assert_uint_lt(fwrite(data, 1, MUCH_BYTES, wire.stream), MUCH_BYTES);
	ck_assert_int_eq(errno, EPIPE);
	peer_join(thread);
	wire_expect_unwritable(wire.stream, EPIPE);
	wire_expect_end(wire.stream, ECONNRESET);
	wire_fclose(&wire, ECONNRESET);
	free(data);
	wire_end(&wire);
}
END_TEST

static void *close_abnormally_when_blocked(void *argument)
{
	struct wire *wire = argument;
	uint8_t bytes[1000];

	ck_assert_uint_eq(peer_recv(wire->peer, bytes, sizeof bytes), sizeof bytes);
	wire_goodbye(wire, 1011, "");
	while (peer_recv(wire->peer, bytes, sizeof bytes) == sizeof bytes)
		;
	peer_fin(wire->peer);
	return NULL;
}

/* A writer that waits must not wait for a peer that has given up. */
START_TEST(abnormal_close_ends_a_blocked_write)
{
	uint8_t *data = much();
	pthread_t thread;
	struct wire wire;
	size_t count;
	int saved;

	wire_open(&wire, LIBRARY_IS_SERVER, "r+", NULL, SMALL_BYTES);
	peer_thread(&thread, close_abnormally_when_blocked, &wire);
	do {
		errno = 0;
		count = fwrite(data, 1, MUCH_BYTES, wire.stream);
		saved = errno;
	} while (count == MUCH_BYTES);
	ck_assert_int_eq(saved, EPIPE);
	wire_expect_end(wire.stream, ECONNABORTED);
	wire_fclose(&wire, ECONNABORTED);
	peer_join(thread);
	free(data);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("blocked");
	TCase *reads = wire_case(suite, "reads"), *writes = wire_case(suite, "writes");
	TCase *queue = wire_case(suite, "queue");

	tcase_add_loop_test(reads, read_timeout_loses_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(reads, signal_interrupts_a_read_and_nothing_is_lost, 0, WIRE_ROLES);
#ifndef __SANITIZE_THREAD__
	tcase_add_loop_test(reads, read_goes_on_after_a_signal_with_sa_restart, 0, WIRE_ROLES);
#endif

	tcase_add_loop_test(reads, a_reader_that_nibbles_answers_pings, 0, WIRE_ROLES);
	tcase_add_loop_test(reads, a_cancelled_reader_leaves_nothing_behind, 0, WIRE_ROLES);

	tcase_add_loop_test(writes, signals_do_not_fail_a_blocked_write, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(writes, write_timeout_is_final, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(writes, reading_goes_on_after_a_failed_write, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, a_close_amid_a_write_is_answered_with_an_error, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, text_that_is_no_utf8_fails_the_write_for_good, 0, WIRE_ROLES);

	tcase_add_loop_test(queue, close_behind_a_full_send_queue_completes, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(queue, peers_close_does_not_overtake_our_queue, 0, WIRE_ROLES);
	tcase_add_loop_test(queue, reset_ends_a_blocked_write, 0, WIRE_ROLES);
	tcase_add_test(queue, abnormal_close_ends_a_blocked_write);
	return wire_run(suite);
}
