/* SPDX-License-Identifier: 0BSD */
/* How long and how far a call goes: timeouts, non-blocking mode, resumed writes, draining. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "steer.h"

/* All that was written, in order, and then a good end. */
static void end_with(struct wire *wire, size_t size)
{
	if (wire->stream != NULL)
		wire_fclose(wire, 0);
	wire_finished(wire);
	ck_assert_uint_eq(wire->close_code, 1000);
	ck_assert_uint_eq(wire->size, size);
	ck_assert(wire_pattern_matches(0, wire->data, size));
	wire_end(wire);
}

/* --- reads --- */

START_TEST(read_timeout_can_be_set_and_loses_nothing)
{
	char bytes[8];
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, 20, -1), 0);
	wire_say(&wire, "abc");
	wire_wait_received(wire.stream, 3);
	errno = 0;
	ck_assert_uint_eq(fread(bytes, 1, 8, wire.stream), 3);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ck_assert(ferror(wire.stream) && !feof(wire.stream));
	clearerr(wire.stream);
	expect_errno(ws_read_some(wire.stream, bytes, 8), -1, ETIMEDOUT);
	clearerr(wire.stream);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, 0, -1), 0);
	expect_errno(fgetc(wire.stream), EOF, ETIMEDOUT);
	clearerr(wire.stream);
	/* Without a limit again: it waits as long as it takes. */
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, -1), 0);
	wire_say(&wire, "defgh\n");
	wire_expect_line(wire.stream, "defgh\n");
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(bad_timeouts_change_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct wire wire;

	options.read_timeout_ms = 20;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	expect_errno(ws_set_timeouts(wire.stream, -2, -1), -1, EINVAL);
	expect_errno(ws_set_timeouts(wire.stream, -1, -2), -1, EINVAL);
	expect_errno(ws_set_timeouts(wire.stream, -2147483647 - 1, -1), -1, EINVAL);
	/* With -1 taken over this would hang. */
	expect_errno(fgetc(wire.stream), EOF, ETIMEDOUT);
	clearerr(wire.stream);
	end_well(&wire);
	wire_end(&wire);
}
END_TEST

START_TEST(nonblocking_reads_say_eagain_and_lose_nothing)
{
	char bytes[16] = "";
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	for (int i = 0; i < 3; i++) {
		expect_errno(fgetc(wire.stream), EOF, EAGAIN);
		ck_assert(ferror(wire.stream) && !feof(wire.stream));
		clearerr(wire.stream);
		expect_errno(fgets(bytes, sizeof bytes, wire.stream), NULL, EAGAIN);
		clearerr(wire.stream);
		expect_errno(fread(bytes, 1, sizeof bytes, wire.stream), 0, EAGAIN);
		ck_assert(ferror(wire.stream) && !feof(wire.stream));
		clearerr(wire.stream);
	}
	/* A part of what is asked for. */
	wire_say(&wire, "abc");
	wire_wait_received(wire.stream, 3);
	expect_errno(fread(bytes, 1, 8, wire.stream), 3, EAGAIN);
	ck_assert_mem_eq(bytes, "abc", 3);
	clearerr(wire.stream);
	/* Past stdio's buffer, too. */
	{
		static uint8_t large[100000];

		wire_pattern(0, large, sizeof large / 2);
		wire_frame(&wire, PEER_BINARY, large, sizeof large / 2);
		wire_wait_received(wire.stream, 3 + sizeof large / 2);
		memset(large, 0, sizeof large);
		expect_errno(fread(large, 1, sizeof large, wire.stream), sizeof large / 2, EAGAIN);
		ck_assert(wire_pattern_matches(0, large, sizeof large / 2));
		clearerr(wire.stream);
	}
	wire_say(&wire, "line\n");
	wire_wait_received(wire.stream, 50008);
	wire_expect_line(wire.stream, "line\n");
	/* And it can be left. */
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, false), 0);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, 20, -1), 0);
	expect_errno(fgetc(wire.stream), EOF, ETIMEDOUT);
	clearerr(wire.stream);
	wire_goodbye(&wire, 1000, "");
	wire_wait_state(wire.stream, WS_STATE_CLOSING);
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

#ifdef __GLIBC__
START_TEST(half_a_line_stays_in_the_programs_hands)
{
	char line[32] = "";
	size_t have;
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	wire_say(&wire, "half a ");
	wire_wait_received(wire.stream, 7);
	errno = 0;
	/* glibc's fgets gives what it has when the error is EAGAIN. */
	ck_assert_ptr_nonnull(fgets(line, sizeof line, wire.stream));
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert(ferror(wire.stream));
	ck_assert_str_eq(line, "half a ");
	clearerr(wire.stream);
	wire_say(&wire, "line\n");
	wire_wait_received(wire.stream, 12);
	have = strlen(line);
	ck_assert_ptr_nonnull(fgets(line + have, (int)(sizeof line - have), wire.stream));
	ck_assert_str_eq(line, "half a line\n");
	end_well(&wire);
	wire_end(&wire);
}
END_TEST
#endif

/* --- writes --- */

/* Until there is no room, and for so long that the kernel takes no more either. Returns how much went. */
static size_t write_until(FILE *stream, const uint8_t *data, size_t from, int error)
{
	size_t done = from;
	ssize_t n;

	while (done < MUCH_BYTES) {
		errno = 0;
		n = ws_write_some(stream, data + done, MUCH_BYTES - done < 50000 ? MUCH_BYTES - done : 50000);
		if (n < 0)
			break;
		ck_assert_int_gt(n, 0);
		done += (size_t)n;
	}
	ck_assert_uint_lt(done, MUCH_BYTES);
	ck_assert_msg(errno == error, "%s, not %s", strerror(errno), strerror(error));
	return done;
}

static void write_rest(FILE *stream, const uint8_t *data, size_t done)
{
	ssize_t n;

	while (done < MUCH_BYTES) {
		errno = 0;
		n = ws_write_some(stream, data + done, MUCH_BYTES - done);
		if (n > 0)
			done += (size_t)n;
		else
			ck_assert_msg(n < 0 && (errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR), "%zd, %s",
			    n, strerror(errno));
		if (n < 0 && errno == EAGAIN) {
			struct pollfd one = { .fd = ws_pollfd(stream, POLLOUT), .events = POLLIN };

			ck_assert_int_eq(poll(&one, 1, 20000), 1);
		}
	}
}

START_TEST(write_some_goes_on_after_eagain)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t done;
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	done = write_until(wire.stream, data, 0, EAGAIN);
	for (int i = 0; i < 10; i++)
		done = write_until(wire.stream, data, done, EAGAIN);
	ck_assert(!ferror(wire.stream));
	wire_finish(&wire, 1000);
	write_rest(wire.stream, data, done);
	end_with(&wire, MUCH_BYTES);
	free(data);
}
END_TEST

START_TEST(write_some_goes_on_after_a_timeout)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t done = 0;
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	options.write_timeout_ms = 20;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	for (int i = 0; i < 3; i++)
		done = write_until(wire.stream, data, done, ETIMEDOUT);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, 0), 0);
	done = write_until(wire.stream, data, done, ETIMEDOUT);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, -1), 0);
	wire_finish(&wire, 1000);
	write_rest(wire.stream, data, done);
	end_with(&wire, MUCH_BYTES);
	free(data);
}
END_TEST

static atomic_int signals_seen;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals_seen, 1);
}

struct nuisance {
	pthread_t target, thread;
	atomic_bool stop;
};

static void *send_signals(void *argument)
{
	struct nuisance *nuisance = argument;

	while (!atomic_load(&nuisance->stop)) {
		pthread_kill(nuisance->target, SIGUSR1);
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	return NULL;
}

static void start_nuisance(struct nuisance *nuisance, pthread_t target)
{
	struct sigaction action = { .sa_handler = count_signal };

	sigemptyset(&action.sa_mask);
	ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
	*nuisance = (struct nuisance){ .target = target };
	peer_thread(&nuisance->thread, send_signals, nuisance);
}

static void end_nuisance(struct nuisance *nuisance)
{
	atomic_store(&nuisance->stop, true);
	peer_join(nuisance->thread);
}

START_TEST(write_some_goes_on_after_a_signal)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct nuisance nuisance;
	uint8_t *data = much();
	size_t done = 0;
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	start_nuisance(&nuisance, pthread_self());
	for (int i = 0; i < 5; i++)
		done = write_until(wire.stream, data, done, EINTR);
	wire_finish(&wire, 1000);
	write_rest(wire.stream, data, done);
	end_nuisance(&nuisance);
	end_with(&wire, MUCH_BYTES);
	free(data);
}
END_TEST

START_TEST(write_some_stays_behind_what_stdio_holds)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	ck_assert_int_ge(fputs("one ", wire.stream), 0);
	ck_assert_int_eq(ws_write_some(wire.stream, "two ", 4), 4);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	ck_assert_int_ge(fputs("three ", wire.stream), 0);
	ck_assert_int_eq(ws_write_some(wire.stream, "four ", 5), 5);
	ck_assert_int_ge(fputs("five", wire.stream), 0);
	end_well(&wire);
	ck_assert_str_eq((char *)wire.data, "one two three four five");
	wire_end(&wire);
}
END_TEST

/* What does not fit can't be taken back from stdio: so its writes wait, in non-blocking mode too. */
START_TEST(stdios_writes_wait_in_nonblocking_mode)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t done;
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_int_eq(ws_set_nonblocking(wire.stream, true), 0);
	done = write_until(wire.stream, data, 0, EAGAIN);
	wire_finish(&wire, 1000);
	errno = 0;
	ck_assert_msg(fwrite(data + done, 1, MUCH_BYTES - done, wire.stream) == MUCH_BYTES - done, "fwrite: %s",
	    strerror(errno));
	ck_assert_int_eq(fflush(wire.stream), 0);
	end_with(&wire, MUCH_BYTES);
	free(data);
}
END_TEST

START_TEST(a_set_write_timeout_is_final_for_stdio)
{
	uint8_t *data = much();
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, SMALL_BYTES);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, 20), 0);
	errno = 0;
	ck_assert_uint_lt(fwrite(data, 1, MUCH_BYTES, wire.stream), MUCH_BYTES);
	ck_assert_int_eq(errno, ETIMEDOUT);
	wire_expect_unwritable(wire.stream, EPIPE);
	clearerr(wire.stream);
	expect_errno(ws_write_some(wire.stream, "x", 1), -1, EPIPE);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, ETIMEDOUT);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1011);
	free(data);
	wire_end(&wire);
}
END_TEST

/* As many bytes as ws_writable says can be written and flushed where no wait at all is allowed. */
START_TEST(ws_writable_bytes_go_without_waiting)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t done = 0, room, before;
	struct wire wire;

	options.send_buffer_bytes = RING_BYTES;
	options.stdio_buffer_bytes = _i / 2 == 0 ? 16384 : 0;
	wire_open(&wire, (enum wire_role)(_i % 2), "r+", &options, SMALL_BYTES);
	ck_assert_int_eq(ws_set_timeouts(wire.stream, -1, 0), 0);
	ck_assert_int_ge(fputc(data[done++], wire.stream), 0);
	for (int i = 0; i < 2000 && (room = ws_writable(wire.stream)) > 0 && done + room < MUCH_BYTES; i++) {
		/* What stdio holds is counted off. */
		ck_assert_int_ge(fputc(data[done], wire.stream), 0);
		done++;
		before = room;
		room = ws_writable(wire.stream);
		if (options.stdio_buffer_bytes > 0 && i == 0)
			ck_assert_uint_lt(room, before);
		errno = 0;
		ck_assert_uint_eq(fwrite(data + done, 1, room, wire.stream), room);
		ck_assert_msg(fflush(wire.stream) == 0, "round %d, %zu bytes: %s", i, room, strerror(errno));
		done += room;
	}
	ck_assert_uint_gt(done, RING_BYTES);
	ck_assert(!ferror(wire.stream));
	wire_finish(&wire, 1000);
	end_with(&wire, done);
	free(data);
}
END_TEST

/* --- draining --- */

START_TEST(drain_waits_for_the_kernel)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t size = MUCH_BYTES * 3 / 4;
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_int_eq(ws_drain(wire.stream, 0), 0);
	ck_assert_uint_eq(ws_unsent(wire.stream), 0);
	ck_assert_uint_eq(fwrite(data, 1, 5, wire.stream), 5);
	ck_assert_uint_ge(ws_unsent(wire.stream), 5);
	ck_assert_int_eq(ws_drain(wire.stream, -1), 0);
	ck_assert_uint_eq(ws_unsent(wire.stream), 0);
	ck_assert_uint_eq(fwrite(data + 5, 1, size - 5, wire.stream), size - 5);
	for (int i = 0; i < 2; i++) {
		expect_errno(ws_drain(wire.stream, i * 20), -1, ETIMEDOUT);
		ck_assert_uint_gt(ws_unsent(wire.stream), 0);
	}
	wire_finish(&wire, 1000);
	ck_assert_int_eq(ws_drain(wire.stream, -1), 0);
	ck_assert_uint_eq(ws_unsent(wire.stream), 0);
	ck_assert_int_eq(ws_drain(wire.stream, 0), 0);
	end_with(&wire, size);
	free(data);
}
END_TEST

START_TEST(a_signal_ends_draining_and_loses_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct nuisance nuisance;
	uint8_t *data = much();
	size_t size = MUCH_BYTES * 3 / 4;
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	start_nuisance(&nuisance, pthread_self());
	expect_errno(ws_drain(wire.stream, -1), -1, EINTR);
	end_nuisance(&nuisance);
	wire_finish(&wire, 1000);
	ck_assert_int_eq(ws_drain(wire.stream, -1), 0);
	end_with(&wire, size);
	free(data);
}
END_TEST

static void *reset_after_a_part(void *argument)
{
	struct wire *wire = argument;
	uint8_t bytes[1000];

	ck_assert_uint_eq(peer_recv(wire->peer, bytes, sizeof bytes), sizeof bytes);
	peer_reset(wire->peer);
	wire->peer = -1;
	return NULL;
}

START_TEST(drain_tells_of_an_end_that_came_first)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much();
	size_t size = MUCH_BYTES * 3 / 4;
	pthread_t thread;
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	peer_thread(&thread, reset_after_a_part, &wire);
	expect_errno(ws_drain(wire.stream, -1), -1, EPIPE);
	peer_join(thread);
	wire_fclose(&wire, ECONNRESET);
	free(data);
	wire_end(&wire);
}
END_TEST

static void *drain_all(void *argument)
{
	ck_assert_int_eq(ws_drain(argument, -1), 0);
	return NULL;
}

START_TEST(linger_that_ends_while_draining_fails_no_write)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	uint8_t *data = much();
	size_t size = MUCH_BYTES * 3 / 4;
	pthread_t thread;
	struct wire wire;

	options.send_buffer_bytes = MUCH_BYTES;
	options.linger_ms = 200;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, SMALL_BYTES);
	ck_assert_uint_eq(fwrite(data, 1, size, wire.stream), size);
	ck_assert_int_eq(fflush(wire.stream), 0);
	peer_thread(&thread, drain_all, wire.stream);
	wire_goodbye(&wire, 1000, NULL);
	while (status.close_code_sent == 0) {
		poll(NULL, 0, 1);
		ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	}
	wire_finish(&wire, WIRE_NO_ANSWER);
	peer_join(thread);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1011);
	ck_assert_uint_eq(wire.size, size);
	wire_end(&wire);
	free(data);
}
END_TEST

START_TEST(what_went_before_a_good_end_is_drained)
{
	struct wire wire;

	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	wire_finish(&wire, 1000);
	ck_assert_int_ge(fputs("all", wire.stream), 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	wire_expect_end(wire.stream, 0);
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	ck_assert_int_eq(ws_drain(wire.stream, 0), 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("steer_limits");
	TCase *reads = wire_case(suite, "reads"), *writes = wire_case(suite, "writes");
	TCase *drains = wire_case(suite, "drains");

	tcase_add_loop_test(reads, read_timeout_can_be_set_and_loses_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(reads, bad_timeouts_change_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(reads, nonblocking_reads_say_eagain_and_lose_nothing, 0, WIRE_ROLES);
#ifdef __GLIBC__
	tcase_add_loop_test(reads, half_a_line_stays_in_the_programs_hands, 0, WIRE_ROLES);
#endif
	tcase_add_loop_test(writes, write_some_goes_on_after_eagain, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, write_some_goes_on_after_a_timeout, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, write_some_goes_on_after_a_signal, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, write_some_stays_behind_what_stdio_holds, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, stdios_writes_wait_in_nonblocking_mode, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, a_set_write_timeout_is_final_for_stdio, 0, WIRE_ROLES);
	tcase_add_loop_test(writes, ws_writable_bytes_go_without_waiting, 0, WIRE_ROLES * 2);
	tcase_add_loop_test(drains, drain_waits_for_the_kernel, 0, WIRE_ROLES);
	tcase_add_loop_test(drains, a_signal_ends_draining_and_loses_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(drains, drain_tells_of_an_end_that_came_first, 0, WIRE_ROLES);
	tcase_add_loop_test(drains, linger_that_ends_while_draining_fails_no_write, 0, WIRE_ROLES);
	tcase_add_loop_test(drains, what_went_before_a_good_end_is_drained, 0, WIRE_ROLES);
	return wire_run(suite);
}
