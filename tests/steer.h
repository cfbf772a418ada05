/* SPDX-License-Identifier: 0BSD */
/* What test_steer_abort.c and test_steer_limits.c share, in the test's own thread. Everything asserts (Check). */
#ifndef STEER_H
#define STEER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define SMALL_BYTES 32768		/* the peer's SO_RCVBUF where it is to be full soon */
#define MUCH_BYTES ((size_t)16 << 20)	/* more than all kernel buffers take */
#define RING_BYTES 65536

#define expect_errno(call, value, error) \
	do { \
		errno = 0; \
		ck_assert_msg((call) == (value), #call " did not return " #value); \
		ck_assert_msg(errno == (error), #call ": %s, not %s", strerror(errno), strerror(error)); \
	} while (0)

static uint8_t *much(void)
{
	uint8_t *data = malloc(MUCH_BYTES);

	ck_assert_ptr_nonnull(data);
	wire_pattern(0, data, MUCH_BYTES);
	return data;
}

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
}

#endif
