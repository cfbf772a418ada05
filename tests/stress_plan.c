/* SPDX-License-Identifier: 0BSD */
/* What is to happen in a session, out of the seed and its number. */
#include <string.h>

#include "stress.h"

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a + (b + 1) * UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
	return x ^ x >> 31;
}

uint64_t draw(uint64_t *state, uint64_t limit)
{
	*state += UINT64_C(0x9E3779B97F4A7C15);
	return mix(*state, 0) % limit;
}

static bool one_in(uint64_t *state, uint64_t n)
{
	return draw(state, n) == 0;
}

/* Most are small, some fill every buffer. */
static uint64_t amount(uint64_t *state)
{
	switch (draw(state, 8)) {
	case 0:
		return draw(state, 4);
	case 1:
	case 2:
		return draw(state, settings.large / 8 + 1);
	case 3:
		return draw(state, settings.large + 1);
	default:
		return draw(state, 4000);
	}
}

static enum fault choose_fault(uint64_t *state, enum shape shape)
{
	enum fault fault = (enum fault)draw(state, FAULTS);

	if (one_in(state, 2))
		return NO_FAULT;
	if ((fault == RESET || fault == CUT) && shape != ADOPTED)
		return NO_FAULT;
	/* A descriptor has no ws_abort, ws_shutdown or limits. */
	if (shape == SOCKET && (fault == ABORT_CLIENT || fault == CODE_CLIENT || fault == SLOW_READER))
		return NO_FAULT;
	/* Only who writes can close with a code so that it is the end of something. */
	if ((shape == FETCH && fault == CODE_CLIENT) || (shape == PUSH && fault == CODE_SERVER))
		return NO_FAULT;
	return fault;
}

struct plan plan_of(uint64_t session)
{
	uint64_t state = mix(settings.seed, session);
	struct plan plan = { .shape = (enum shape)draw(&state, SHAPES) };

	plan.fault = choose_fault(&state, plan.shape);
	plan.secure = settings.secure && plan.shape != ADOPTED;
	plan.compressed = one_in(&state, 3);
	plan.text = one_in(&state, 2);
	plan.observed = one_in(&state, 2);
	plan.churn = plan.shape != ADOPTED && plan.shape != DUPLEX && one_in(&state, 6);
	plan.rounds = plan.shape == TURNS || plan.shape == ADOPTED ? 1 + (unsigned)draw(&state, 12) : 1;
	for (int i = 0; i < SIDES; i++) {
		plan.bytes[i] = amount(&state);
		plan.short_reads[i] = one_in(&state, 4);
		plan.half_close[i] = one_in(&state, 2);
	}
	if (plan.shape == PUSH)
		plan.bytes[SERVER] = 0;
	if (plan.shape == FETCH)
		plan.bytes[CLIENT] = 0;
	plan.fault_at = draw(&state, plan.bytes[CLIENT] + plan.bytes[SERVER] + 1);
	return plan;
}

void fill(uint64_t session, enum side from, bool text, uint64_t offset, void *out, size_t size)
{
	const uint64_t key = mix(mix(settings.seed, session), (uint64_t)from + 17);
	unsigned char *at = out;
	uint64_t word = mix(key, offset / 8);

	for (size_t i = 0; i < size; i++) {
		uint64_t place = offset + i;
		unsigned char byte;

		if (place % 8 == 0)
			word = mix(key, place / 8);
		byte = (unsigned char)(word >> place % 8 * 8);

		at[i] = !text ? byte : byte < 8 ? '\n' : (unsigned char)('a' + byte % 26);
	}
}

const char *shape_name(enum shape shape)
{
	static const char *const names[] = { "turns", "duplex", "push", "fetch", "polled", "socket", "adopted" };

	return names[shape];
}

const char *fault_name(enum fault fault)
{
	static const char *const names[] = { "none", "abort by client", "abort by server", "client quits",
	    "server quits", "code by client", "code by server", "slow reader", "reset", "cut" };

	return names[fault];
}

const char *operation_name(enum operation operation)
{
	static const char *const names[] = { "-", "open", "write", "print", "write some", "flush", "drain", "read",
	    "gets", "read some", "switch", "poll", "ping", "status", "header", "timeouts", "observe", "counts", "abort",
	    "shutdown", "close", "cut", "reload", "stop", "listen" };

	return names[operation];
}

void options_of(const struct plan *plan, enum side side, struct ws_options *options)
{
	*options = (struct ws_options)WS_OPTIONS_INIT;
	options->compression = plan->compressed ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
	options->max_inflate_ratio = 0;
	options->connect_timeout_ms = options->handshake_timeout_ms = settings.faulty ? 20000 : 120000;
	options->close_timeout_ms = settings.faulty ? 10000 : 120000;
	options->linger_ms = settings.faulty ? 20000 : -1;
	options->ping_interval_ms = settings.faulty ? 2000 : 60000;
	options->helper_threads = settings.helpers;
	options->proxy = "";
	if (plan->bytes[side] % 3 == 0)
		options->recv_buffer_bytes = options->send_buffer_bytes = 8192;
	if (plan->bytes[side] % 5 == 0)
		options->stdio_buffer_bytes = 0;
	if (plan->bytes[side] % 7 == 0)
		options->max_frame_bytes = 127;
}
