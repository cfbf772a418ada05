/* SPDX-License-Identifier: 0BSD */
/*
 * wsstress: random sessions, both ends of each, checked byte by byte and against the close table. It uses the public
 * header only. A session is what becomes of one connection. All that either end does follows from the seed and the
 * session's number, so that each end knows what the other will send; what happened is kept in records in shared memory,
 * and judged when both ends have finished.
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <wsfile.h>

#define SLOTS_MAX 256
#define LOG_MAX 48

enum side { CLIENT, SERVER, SIDES };

enum shape {
	TURNS,				/* one FILE each, question and answer */
	DUPLEX,				/* pairs, a thread for each half */
	PUSH,				/* the client's mode is "w", the server's "r" */
	FETCH,				/* the other way round */
	POLLED,				/* non-blocking, ws_pollfd, one thread for both directions */
	SOCKET,				/* the client's end is a descriptor of ws_socket */
	ADOPTED,			/* as TURNS, over ws_fdopen */
	SHAPES,
};

enum fault {
	NO_FAULT,
	ABORT_CLIENT, ABORT_SERVER,	/* ws_abort from another thread */
	QUIT_CLIENT, QUIT_SERVER,	/* fclose long before the end */
	CODE_CLIENT, CODE_SERVER,	/* ws_shutdown with a code that is an error */
	SLOW_READER,			/* and writers with a short limit */
	RESET, CUT,			/* of TCP; ADOPTED only */
	FAULTS,
};

struct plan {
	enum shape shape;
	enum fault fault;
	uint64_t fault_at;		/* bytes sent and received by that side before */
	bool secure, compressed, text, observed, churn;
	bool short_reads[SIDES];	/* a read_timeout_ms of 1 */
	bool half_close[SIDES];		/* ws_shutdown, then reading to the end */
	unsigned rounds;
	uint64_t bytes[SIDES];		/* sent by each; of all rounds */
};

/* Where the server's end comes from. */
enum { FILES, PAIRS, CHURN, PLAIN, PORTS };

enum reading { READING, READ_EOF, READ_ERROR, READ_ENOUGH, READ_QUIT };

enum operation {
	OP_NONE, OP_OPEN, OP_WRITE, OP_PRINT, OP_WRITE_SOME, OP_FLUSH, OP_DRAIN, OP_READ, OP_GETS, OP_READ_SOME,
	OP_SWITCH, OP_POLL, OP_PING, OP_STATUS, OP_HEADER, OP_TIMEOUTS, OP_OBSERVE, OP_COUNTS, OP_ABORT, OP_SHUTDOWN,
	OP_CLOSE, OP_CUT, OP_RELOAD, OP_STOP, OP_LISTEN, OPERATIONS,
};

struct entry {
	uint8_t operation;
	int32_t error;
	int64_t size, result;
};

/* What happened at one end. */
struct end {
	bool attached;			/* there was one */
	uint64_t wrote, flushed;	/* bytes, for certain written; and flushed, too */
	int write_error;		/* errno of a write that failed; 0 = none */
	bool said_bye;			/* it closed as it does with success */
	bool said_code;			/* or with a code that is an error */
	uint64_t got;
	enum reading reading;
	int read_error;
	bool aborted;
	bool has_verdict;
	int verdict;			/* errno of the fclose that had one */
	unsigned events, closed_events;
	bool event_behind_closed;
	atomic_flag noting;
	atomic_llong since_ns;		/* when it was last heard of */
	unsigned entries;
	struct entry log[LOG_MAX];
};

/* state: the session's number * 4, and how far its server's end is. */
enum { WAITED_FOR, ATTACHED, DONE, GONE };

struct record {
	_Atomic uint64_t state;
	struct end end[SIDES];
	/* What other threads may do to its streams: of one process only. */
	atomic_bool busy[SIDES];
	struct live {
		atomic_flag busy;
		FILE *file[2];
		bool abort;
		unsigned users;
	} live[SIDES];
};

struct sample {
	unsigned descriptors, threads, heap_kib, resident_kib;
};

struct shared {
	struct record record[SLOTS_MAX];
	atomic_ullong operations[OPERATIONS], sessions[FAULTS], shapes[SHAPES], clean, disturbed, not_opened, late;
	atomic_ullong bytes;
	atomic_bool stop, failed;
	atomic_bool stop_serving;
	atomic_uint serving;		/* connections */
	/* Quiet, to be sampled: no session begins; a slot has none; the listener that comes and goes stays. */
	atomic_bool paused, idle[SLOTS_MAX], holding;
	struct sample sample[SIDES];
	atomic_uint sample_asked, sample_answered;
	atomic_uint port[PORTS];	/* 0 = just not there */
};

struct settings {
	uint64_t seed;
	unsigned seconds, streams, threads, helpers, pause_ms, large;
	bool secure, two, faulty, sampled;
	char certificate[256], key[256], authority[256];	/* for wss */
};

extern struct shared *shared;
extern struct settings settings;
extern bool own_side[SIDES];	/* this process has these ends */

/*
 * ThreadSanitizer does not see the lock of a FILE: it is told here, around all calls that take it. For any other build
 * this is nothing, and the calls lock by themselves.
 */
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);

static inline void hold(FILE *file)
{
	flockfile(file);
	__tsan_acquire(file);
}

static inline void let_go(FILE *file)
{
	__tsan_release(file);
	funlockfile(file);
}
#else
static inline void hold(FILE *file)
{
	(void)file;
}

static inline void let_go(FILE *file)
{
	(void)file;
}
#endif

/* --- stress_plan.c --- */

uint64_t mix(uint64_t a, uint64_t b);
/* A generator: the next number, below limit. */
uint64_t draw(uint64_t *state, uint64_t limit);
struct plan plan_of(uint64_t session);
/* Bytes of what a side sends, from offset on. */
void fill(uint64_t session, enum side from, bool text, uint64_t offset, void *out, size_t size);
const char *shape_name(enum shape shape);
const char *fault_name(enum fault fault);
const char *operation_name(enum operation operation);
void options_of(const struct plan *plan, enum side side, struct ws_options *options);

/* --- stress_judge.c --- */

int64_t now_ns(void);
void note(struct end *end, enum operation operation, uint64_t size, int64_t result, int error);
/* Prints what the session did, and ends the program. */
_Noreturn void violation(const struct record *record, uint64_t session, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Both ends have finished; the client's could be opened. */
void judge(const struct record *record, uint64_t session);
bool is_disturbed(const struct plan *plan);

/* --- stress_end.c --- */

/* A side at work. */
struct work {
	struct record *record;
	struct end *end;
	struct live *live;
	uint64_t session;
	struct plan plan;
	enum side side;
	FILE *in, *out;			/* the same, or halves; NULL = it does not read, write */
	int fd;				/* of ws_socket, or -1 */
	int under;			/* a copy of the descriptor below, or -1 */
	uint64_t random, random_out;	/* of the reading and the writing thread */
	atomic_bool stopping;		/* nothing more is to be sent or received */
};

/* Runs one end of the session to its end, and closes it. */
void run_end(struct work *work);
void observe(const struct ws_event *event, void *user);

/* --- stress_live.c --- */

/* Others may use the streams from now on; and not any more, when it returns. */
void live_begin(struct live *live, FILE *in, FILE *out);
void live_end(struct live *live);
void live_abort(struct live *live);
/* A thread that uses streams of others, until the program stops. */
void *meddle(void *argument);

/* --- stress_sample.c --- */

unsigned count_entries(const char *directory);
void sample_self(struct sample *sample);
void take_sample(unsigned minute);	/* in the clients' process */
void answer_sample(void);		/* in the servers' */
bool samples_are_flat(void);

/* --- stress_serve.c --- */

/* Starts listeners, with a certificate for wss, and their threads; and ends them when all connections have ended. */
void serve_begin(void);
void serve_end(void);

#endif
