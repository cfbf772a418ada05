/* SPDX-License-Identifier: 0BSD */
/*
 * An observer that remembers what it was told, for a test to wait for. It knows no stream: the test hands witness_tell
 * and a struct witness to the library. Everything asserts (Check) in the test's threads only.
 */
#ifndef WITNESS_H
#define WITNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsfile.h"

#define WITNESS_MAX 256

struct seen {
	enum ws_event_type type;
	uint64_t stream_id;
	uint8_t payload[125];
	size_t payload_bytes;
	int64_t round_trip_us;
	unsigned missed, code_received, code_sent;
	char reason_received[124], reason_sent[124], text[160];
	bool clean;
	int error;
};

struct witness {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned count;			/* of all events, also of those past the last place */
	struct seen seen[WITNESS_MAX];
};

void witness_init(struct witness *witness);
/* The observer; user is the witness. */
ws_observer witness_tell;
/* The event of that type with that number, from 0: waits for it, at most 20 s. */
const struct seen *witness_wait(struct witness *witness, enum ws_event_type type, unsigned number);
/* How many of that type there are now. */
unsigned witness_count(struct witness *witness, enum ws_event_type type);
/* CLOSED came, once, and nothing behind it. When the stream has been closed, nothing more can come. */
const struct seen *witness_end(struct witness *witness);

#endif
