/* SPDX-License-Identifier: 0BSD */
/*
 * What tests of resource attacks share: a good stream whose progress is counted while others misbehave, what the
 * process holds, and a flood that a thread sends in rounds. It knows no rule of the protocol. Called from the test's
 * thread; everything asserts (Check).
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "wsfile.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define HOSTILE_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define HOSTILE_SANITIZED 1
#endif
#ifndef HOSTILE_SANITIZED
#define HOSTILE_SANITIZED 0
#endif

/* ck_assert writes a mark to Check's pipe on success too: far too slow inside a flood. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

/* How much more a flood sends with WSF_TEST_HOSTILE, a factor; 1 without. */
unsigned hostile_factor(void);
/* So many, or a share of them where each costs many times as much: under valgrind, and with a sanitizer. */
size_t hostile_share(size_t count);
/* Room for so many descriptors. */
void hostile_descriptors(size_t count);

/* --- a stream of ours through the same helper thread, both ends in this process --- */

struct good {
	FILE *client, *server;
};

/* The next that ws_accept gives is this one. client may be NULL. */
void good_open(struct good *good, struct ws_listener *listener, const struct ws_options *client);
/* So many lines there and back. */
void good_exchange(const struct good *good, unsigned count);
void good_close(struct good *good);
/* Open, exchange, close: a new client still gets in. */
void good_expect(struct ws_listener *listener, const struct ws_options *client);

/* --- what is held --- */

/* What malloc has given out; 0 where a sanitizer has its own. */
size_t hostile_heap(void);
/* Wait until no more than that is: what was let go of by other threads takes a moment. */
void hostile_expect_heap(size_t most, const char *what);
/* Resident memory of the process, in bytes. */
size_t hostile_resident(void);
void hostile_expect_resident(size_t most, const char *what);
/* Processor time of the process in nanoseconds, less that of the thread that asks and of floods that are over. */
int64_t hostile_cpu_ns(void);

/* --- a flood --- */

struct flood {
	int fd;				/* of the attacker; stays open */
	const void *block;
	size_t size;			/* of a round */
	bool reads;			/* what comes back, and throws it away */
	uint64_t most_rounds;
	atomic_uint_fast64_t rounds;	/* sent whole */
	atomic_bool stop;
	atomic_bool refused;		/* the other end is gone */
	pthread_t thread;
};

void flood_begin(struct flood *flood);
void flood_end(struct flood *flood);
/* Wait until so many rounds are out, or the flood came to its end. */
void flood_wait(struct flood *flood, uint64_t rounds);

#endif
