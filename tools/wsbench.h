/* SPDX-License-Identifier: 0BSD */
/*
 * The parts of the benchmark: transports that move bytes, the certificate that those with TLS use, and the rate of
 * handshakes. A transport runs in two processes of its own, each of one thread when it starts; the rest is the main
 * process's, which never uses the library.
 */
#ifndef WSBENCH_H
#define WSBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BLOCK 65536
#define MAX_ROUNDS 1000
#define ADDRESS_SIZE 64

/* --- wsbench.c --- */

extern const char *bench_who;		/* of this process, before its messages */
extern char bench_sent[BLOCK];
extern char bench_received[BLOCK];

__attribute__((format(printf, 1, 2))) _Noreturn void bench_die(const char *format, ...);
double bench_now(void);
double bench_cpu(void);
/* Tells the main process where the listener is. Closes the descriptor. */
void bench_announce(int fd, const char *address);
double bench_median(double *values, size_t count);

/* --- transports --- */

enum job { C2S, S2C, ECHO, JOBS };

struct result {
	double seconds, cpu_seconds;
};

struct transport {
	const char *title, *key;
	/* Both open, run the job and close; the listener's announces its address as soon as it listens. */
	void (*run_listener)(enum job job, uint64_t bytes, int announcement, struct result *result);
	void (*run_client)(enum job job, uint64_t bytes, const char *address, struct result *result);
};

extern const struct transport bench_tcp, bench_ws, bench_wss;	/* wsbench_stream.c */
extern const struct transport bench_openssl;			/* wsbench_openssl.c */

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

/* --- wsbench_handshake.c --- */

struct handshake_rates;

struct handshake_rates *bench_handshakes_new(void);
/* One round: every kind with every listener, each for so long. */
void bench_handshakes_run(struct handshake_rates *rates, unsigned round, double seconds);
void bench_handshakes_print(struct handshake_rates *rates, unsigned rounds, double seconds, bool json);

#endif
