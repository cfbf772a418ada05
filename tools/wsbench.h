/* SPDX-License-Identifier: 0BSD */
/*
 * The parts of the benchmark. A group is a table: its rows, and how one row is measured over one transport. A
 * measurement is a job that runs in two processes of its own, a listener's and a client's; the main process never uses
 * the library. Transports move bytes, and know nothing of groups.
 */
#ifndef WSBENCH_H
#define WSBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define BLOCK 65536
#define MAX_MESSAGE (16u << 20)
#define MAX_ROUNDS 1000
#define MAX_ROWS 24
#define MAX_COLUMNS 6
#define ADDRESS_SIZE 64
#define FIGURES 8

/* --- wsbench_system.c: what the system tells, and failing --- */

extern const char *bench_who;		/* of this process, before its messages */
extern char bench_sent[MAX_MESSAGE];	/* what is sent where nobody looks at it */

__attribute__((format(printf, 1, 2))) _Noreturn void bench_die(const char *format, ...);
double bench_now(void);			/* s */
double bench_cpu(void);			/* s, user and system, of this process */
void bench_sleep(double seconds);
double bench_resident_bytes(void);	/* of this process; NAN where it isn't Linux */
double bench_peak_bytes(void);		/* the most it ever was */
double bench_median(double *values, size_t count);	/* sorts them. NAN among them: NAN */
void *bench_allocate(size_t count, size_t size);	/* zeroed, never NULL */
unsigned bench_cores(void);		/* that this process can be pinned to; 0 = it can't be */
void bench_pin(unsigned core);		/* this thread and those it starts, below bench_cores() */
void bench_raise_descriptors(void);
double bench_descriptors(void);		/* how many a process may have */
unsigned bench_open_descriptors(void);	/* among the first 1024 */

/* --- transports --- */

struct transport;

enum shape {
	SHAPE_DEFAULT,			/* one stream as the C library or wsfile makes it */
	SHAPE_BULK,			/* with a buffer of 64 KiB, for stdio over TCP */
	SHAPE_PAIR,			/* as SHAPE_BULK, and two threads may use the two directions at once */
};

/* One connection. Which members are used is the transport's business. */
struct bench_link {
	const struct transport *transport;
	FILE *in, *out;			/* the same one unless it is a pair */
	char *buffer[2];		/* stdio's, freed after it */
	void *ssl;
	int fd;
};

struct bench_port {
	int fd;
	void *context;			/* of TLS */
	void *listener;			/* wsfile's */
};

/* Everything blocks, and ends the process where it fails. */
struct transport {
	const char *title, *key;
	bool settles;			/* memory is given back some time later, not at once */
	void (*listen)(struct bench_port *port, char address[ADDRESS_SIZE]);
	void (*unlisten)(struct bench_port *port);
	void (*accept)(struct bench_port *port, struct bench_link *link, enum shape shape);
	void (*connect)(const char *address, struct bench_link *link, enum shape shape);
	void (*put)(struct bench_link *link, const void *data, size_t size);
	void (*flush)(struct bench_link *link);
	size_t (*get)(struct bench_link *link, void *data, size_t size);	/* less only at the end */
	void (*close)(struct bench_link *link);		/* both ends at once */
	void (*exchange)(struct bench_link *link, uint64_t bytes);	/* client: with one that echoes */
};

extern const struct transport bench_tcp, bench_ws, bench_wss;	/* wsbench_stream.c */
extern const struct transport bench_openssl;			/* wsbench_openssl.c */

/* --- wsbench_link.c: what all transports do alike --- */

void bench_put(struct bench_link *link, const void *data, size_t size);		/* and flush */
void bench_get(struct bench_link *link, void *data, size_t size);		/* all of it */
void bench_put_mark(struct bench_link *link);
void bench_get_mark(struct bench_link *link);
/* How long a round trip of 64 bytes takes: times[0] to times[count - 1], in seconds, and sorts them. */
void bench_round_trips_ask(struct bench_link *link, double *times, size_t count);
void bench_round_trips_serve(struct bench_link *link, size_t count);

/* --- wsbench_socket.c: loopback; an address is a port --- */

int bench_listen(char *port, size_t size);
int bench_accept(int listener);
int bench_connect(const char *port);

/* --- wsbench_certificate.c: files in a directory of their own --- */

#define BENCH_CIPHER "TLS_AES_128_GCM_SHA256"

/* Before anything else uses OpenSSL: the files are its configuration, too, by which both sides use the same cipher. */
void bench_certificate_make(void);
/* Does nothing in other processes than the one that made it. */
void bench_certificate_remove(void);
const char *bench_certificate_file(void);
const char *bench_key_file(void);

/* --- wsbench_run.c: the two processes of a measurement --- */

struct bench_end {
	const struct transport *transport;
	const void *parameters;
	int control;			/* to the other end */
	double figures[FIGURES];	/* NAN until they are set */
};

struct bench_job {
	const char *name;		/* in messages */
	const struct transport *transport;
	const void *parameters;		/* the job's own, in both processes */
	void (*begin)(struct bench_end *end, bool listener);	/* before anything else; NULL = nothing */
	void (*listener)(struct bench_end *end, struct bench_port *port);
	void (*client)(struct bench_end *end, const char *address);
	bool endless;			/* killed when the client's figures are there */
	double seconds;			/* how long it may take beside what every job may */
};

struct bench_figures {
	double listener[FIGURES], client[FIGURES];
};

void bench_run(const struct bench_job *job, struct bench_figures *figures);
/* A byte to the other end, or from it; bench_await wants this one. */
void bench_tell(struct bench_end *end, char word);
char bench_hear(struct bench_end *end);
void bench_await(struct bench_end *end, char word);

/* --- wsbench_many.c: many streams at once --- */

struct bench_many {
	struct bench_end *end;
	struct bench_port *port;	/* the listener's, or NULL and */
	const char *address;		/* the client's */
	struct bench_link *links;	/* room for all; the same index at both ends is the same stream */
	size_t count;
	double open_seconds;		/* client: how long the last growth took */
};

/*
 * Called by both ends: open more streams until there are so many, each with one echo of 64 bytes. Returns false at both
 * ends when a process can't have the descriptors; then nothing more is to be done.
 */
bool bench_many_grow(struct bench_many *many, size_t count);
void bench_many_close(struct bench_many *many);

/* --- groups --- */

struct settings {
	uint64_t mib;			/* of a run in bulk */
	unsigned rounds;
	size_t stream_count;		/* 0 = as the group thinks */
	uint64_t stream_mib;
	bool quick, json;
	bool all;			/* no group is named: nothing that takes minutes */
};

/* Two transports side by side: what there was before, and ours. */
enum side { THEIRS, OURS, SIDES };

struct bench_class {
	const char *key, *title;
	const struct transport *side[SIDES];
	bool secure;
};

struct bench_row {
	char key[32], title[48];
	unsigned variant;		/* these two are the group's own */
	size_t number;
};

struct bench_column {
	const char *key, *heading;
	int decimals;
	bool ratio;			/* ours by theirs is worth a column */
};

struct bench_group {
	const char *key, *option, *title;
	struct bench_column columns[MAX_COLUMNS];	/* ends with key NULL where it is shorter */
	bool secure_only;
	/* Returns how many. */
	size_t (*rows)(const struct settings *settings, const struct bench_class *class,
	    struct bench_row rows[MAX_ROWS]);
	/* One value a column; NAN = there is none. */
	void (*measure)(const struct settings *settings, const struct transport *transport, const struct bench_row *row,
	    double values[MAX_COLUMNS]);
};

void bench_row_set(struct bench_row *row, unsigned variant, size_t number, const char *key, const char *title);

extern const struct bench_group bench_bulk, bench_sweep, bench_messages;	/* wsbench_oneway.c */
extern const struct bench_group bench_round_trips;		/* wsbench_roundtrip.c */
extern const struct bench_group bench_connections;		/* wsbench_connection.c */
extern const struct bench_group bench_handshakes;		/* wsbench_handshake.c */
extern const struct bench_group bench_memory;			/* wsbench_memory.c */
extern const struct bench_group bench_scale;			/* wsbench_scale.c */
extern const struct bench_group bench_transfer;			/* wsbench_transfer.c */
extern const struct bench_group bench_fairness;			/* wsbench_fairness.c */

/* --- wsbench_table.c: the values of a group over a class of transports, and how they are printed --- */

struct bench_table;

struct bench_table *bench_table_new(const struct bench_group *group, const struct bench_class *class,
    const struct settings *settings);
/* One round: every row over both transports, one after the other. */
void bench_table_run(struct bench_table *table, unsigned round);
void bench_table_print(struct bench_table *table);
void bench_table_print_json(struct bench_table *table);
void bench_table_free(struct bench_table *table);

#endif
