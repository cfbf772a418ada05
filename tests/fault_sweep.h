/* SPDX-License-Identifier: 0BSD */
/*
 * A scene run again and again with another fault each time, until one run has none left: what must be true behind each
 * run, and what counts as a stream that did not lie. It knows the library by its public header only, and of faults only
 * how to arm them. Called from the test's thread; everything asserts (Check).
 */
#ifndef FAULT_SWEEP_H
#define FAULT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <check.h>

#include "fault_memory.h"
#include "fault_system.h"
#include "wsfile.h"

/* ck_assert writes a mark to Check's pipe on success too; and a failure shows which fault it was. */
#define sweep_insist(condition, ...) \
	do { \
		if (!(condition)) { \
			sweep_show(); \
			ck_abort_msg(__VA_ARGS__); \
		} \
	} while (0)

struct sweep {
	const char *name;
	void (*scene)(const void *argument);
	const void *argument;
	struct fault_memory_plan plan;
	const struct fault_system_plan *system;	/* in place of the plan: calls fail. NULL = memory is refused */
	const struct fault_system_plan *besides;	/* what calls do meanwhile, in each run; NULL = nothing */
	bool harmless;			/* no operation may fail by that */
	unsigned runs;			/* 0 = until nothing is left to fail; else so many, with no number */
	unsigned long stride;		/* between the requests refused; 0 = 1. The environment's WSF_FAULTS=all: 1 */
	void (*forget)(void);		/* what is kept between runs; NULL = nothing is */
	unsigned leaking;		/* kinds that leave something behind, which is not ours to change */
	bool fails;			/* without any fault, too */
	bool bystander;			/* another connection of the process stays, and must not notice */
};

/* The whole sweep. Its figures go to standard error where WSF_FAULTS is set. Returns how many faults there were. */
unsigned long sweep_run(const struct sweep *sweep);
/* Where we are, on standard error. */
void sweep_show(void);
/* A thread of the program's; what it takes to start and to join it is not refused. */
void sweep_thread(pthread_t *thread, void *(*body)(void *), void *argument);
void sweep_join(pthread_t thread);

/* --- one connection, and what came of it --- */

/* One direction. All zero = nothing happened yet. */
struct sweep_flow {
	FILE *out, *in;			/* NULL = not there */
	uint64_t tried, got;		/* bytes handed to stdio, bytes read; of wire_pattern */
	int write_error;		/* 0 = none */
	bool ended, whole;		/* reading has come to the end, to EOF */
};

enum sweep_op { SWEEP_LISTEN, SWEEP_OPEN, SWEEP_ACCEPT, SWEEP_READ, SWEEP_WRITE, SWEEP_CLOSE, SWEEP_ASK, SWEEP_OPS };

/* Before an operation, but for those below. */
void sweep_begin_op(void);
/* errno of an operation that failed is one that it may have. */
void sweep_failed(enum sweep_op op, int error);
/* ws_accept or ws_accept_pair, but gives up when the client's stream is over. pair NULL = one stream into *one. */
bool sweep_accept(struct ws_listener *listener, FILE *client, const char *mode, FILE **one, FILE *pair[2]);
void sweep_write(struct sweep_flow *flow, size_t size);
/* So much, or to the end. */
void sweep_read(struct sweep_flow *flow, size_t size);
void sweep_read_to_end(struct sweep_flow *flow);
/* What reading found is true of what was written; back is the other direction. */
void sweep_check(const struct sweep_flow *flow, const struct sweep_flow *back);
/* fclose; NULL does nothing. Returns whether it returned 0. */
bool sweep_fclose(FILE *stream);

/* A test case with its timeout; run the suite and return what main returns. */
int sweep_main(Suite *suite);
TCase *sweep_case(Suite *suite, const char *name);

#endif
