/* SPDX-License-Identifier: 0BSD */
/*
 * fclose returns 0 only for what the peer's system has taken. The peer here has a small receive buffer and reads
 * nothing, so that part of what was written, and our Close, stay in this end's kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "wire.h"

#define PEER_BYTES 4096
#define STAYS_BYTES 100000		/* more than the peer's kernel takes, less than ours */

enum end { END_FIN, END_RESET, END_NEVER, ENDS };

static void open_wire(struct wire *wire, enum wire_role role, int close_timeout_ms)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.close_timeout_ms = close_timeout_ms;
	wire_open(wire, role, "r+", &options, PEER_BYTES);
}

static void write_what_stays(const struct wire *wire)
{
	static const uint8_t zeros[STAYS_BYTES];

	ck_assert_uint_eq(fwrite(zeros, 1, sizeof zeros, wire->stream), sizeof zeros);
	ck_assert_int_eq(fflush(wire->stream), 0);
}

static void expect_our_close_in_the_kernel(const struct wire *wire, unsigned code)
{
	struct ws_status status = WS_STATUS_INIT;

	ck_assert_uint_eq(ws_unsent(wire->stream), 0);
	ck_assert_int_eq(ws_status(wire->stream, &status), 0);
	ck_assert_uint_eq(status.close_code_sent, code);
}

static void end_tcp(struct wire *wire, enum end end)
{
	if (end == END_FIN)
		peer_fin(wire->peer);
	if (end != END_RESET)
		return;
	peer_reset(wire->peer);
	wire->peer = -1;
}

/* Where TCP never ends the library ends it: in fclose, or before, as both Closes have gone by. */
static void expect_no_receipt(struct wire *wire, enum end end)
{
	int result, saved;

	errno = 0;
	result = fclose(wire->stream);
	saved = errno;
	ck_assert_msg(result == EOF && (saved == ECONNRESET || (end == END_NEVER && saved == ETIMEDOUT)),
	    "fclose: %d, %s", result, strerror(saved));
}

/* _i: role, then how the peer ends TCP */
START_TEST(a_close_that_crosses_ours_is_no_answer_to_it)
{
	struct wire wire;

	open_wire(&wire, (enum wire_role)(_i / ENDS), 200);
	write_what_stays(&wire);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	expect_our_close_in_the_kernel(&wire, 1000);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	end_tcp(&wire, (enum end)(_i % ENDS));
	expect_no_receipt(&wire, (enum end)(_i % ENDS));
	wire_end(&wire);
}
END_TEST

/* The same, but our Close is an answer that the peer had no time to see. */
START_TEST(a_fin_that_crosses_our_close_is_no_orderly_end)
{
	struct wire wire;

	open_wire(&wire, (enum wire_role)(_i / ENDS), 200);
	write_what_stays(&wire);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	expect_our_close_in_the_kernel(&wire, 1000);
	end_tcp(&wire, (enum end)(_i % ENDS));
	expect_no_receipt(&wire, (enum end)(_i % ENDS));
	wire_end(&wire);
}
END_TEST

/* Closes that cross on their way are a clean end all the same, where both arrive. */
START_TEST(closes_that_cross_and_arrive_are_a_receipt)
{
	struct wire wire;

	/* However long the peer takes to read what is before our Close. */
	open_wire(&wire, (enum wire_role)_i, -1);
	write_what_stays(&wire);
	ck_assert_int_eq(ws_shutdown(wire.stream, 1000, NULL), 0);
	expect_our_close_in_the_kernel(&wire, 1000);
	wire_goodbye(&wire, 1000, "");
	wire_expect_end(wire.stream, 0);
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 1000);
	ck_assert_uint_eq(wire.size, STAYS_BYTES);
	wire_end(&wire);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("receipt");
	TCase *tcase = wire_case(suite, "receipt");

	tcase_add_loop_test(tcase, a_close_that_crosses_ours_is_no_answer_to_it, 0, WIRE_ROLES * ENDS);
	tcase_add_loop_test(tcase, a_fin_that_crosses_our_close_is_no_orderly_end, 0, WIRE_ROLES * ENDS);
	tcase_add_loop_test(tcase, closes_that_cross_and_arrive_are_a_receipt, 0, WIRE_ROLES);
	return wire_run(suite);
}
