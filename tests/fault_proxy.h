/* SPDX-License-Identifier: 0BSD */
/*
 * A TCP relay between a client and a listener that misbehaves as it is told: it splits, merges, delays, holds back, and
 * at one byte of one direction cuts or goes silent; and it remembers what it let pass. It knows no WebSocket. A thread
 * of its own serves one connection at a time; everything asserts (Check) on a local failure.
 */
#ifndef FAULT_PROXY_H
#define FAULT_PROXY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

/* The directions, and with them the ends: the one a direction leads to. */
enum fault_flow { TO_SERVER, TO_CLIENT, FAULT_FLOWS };

/* What an end is told by TCP, instead of what comes next. PASS = nothing is done to it. */
enum fault_kind { FAULT_PASS, FAULT_FIN, FAULT_RESET, FAULT_STALL };

/* How a direction's bytes go on. Zero-initialised = at once, as they come. */
struct fault_pace {
	size_t piece_bytes;		/* at most so many in one packet; 0 = all there are */
	unsigned gap_us;		/* between packets, and before the first */
	unsigned quiet_us;		/* held back until nothing has come for so long, then all at once */
	unsigned jitter_us;		/* and up to so long more, by lot */
};

#define FAULT_NEVER SIZE_MAX

/*
 * When at bytes of flow have been let pass, ahead is what the end gets that they went to, and behind the one that they
 * came from. With FIN, what comes from the other end is taken and thrown away, as by a relay that is being ended.
 */
struct fault_plan {
	enum fault_flow flow;
	size_t at;			/* FAULT_NEVER = no fault */
	enum fault_kind ahead, behind;
	struct fault_pace pace[FAULT_FLOWS];
};

/* What became of one direction. */
struct fault_record {
	struct bytes passed;		/* with the other end's kernel */
	size_t taken_bytes;		/* from the sender: the relay's kernel has acknowledged them */
	enum fault_kind source;		/* how the sender ended: PASS = it has not, FIN, RESET */
	enum fault_kind told;		/* to the receiver, behind the bytes that passed */
};

struct fault_proxy {
	unsigned port;			/* to connect to */

	/* private */
	unsigned upstream_port;
	int listener, wake;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	bool busy, end_connection, stop;	/* under the lock, as are the records */
	bool fired;
	struct fault_plan plan;
	struct fault_record records[FAULT_FLOWS];
	uint32_t lot;
};

void fault_proxy_start(struct fault_proxy *proxy, unsigned upstream_port);
void fault_proxy_stop(struct fault_proxy *proxy);
void fault_proxy_set_upstream(struct fault_proxy *proxy, unsigned port);

/* For the next connection, while there is none. */
void fault_proxy_plan(struct fault_proxy *proxy, const struct fault_plan *plan);
/* Both ends have done with the connection: close it. The records are the caller's to look at until the next plan. */
void fault_proxy_end(struct fault_proxy *proxy);
/* While it runs: what has passed so far, data is the caller's; and what the receiver was told. */
void fault_proxy_passed(struct fault_proxy *proxy, enum fault_flow flow, struct bytes *passed, enum fault_kind *told);

#endif
