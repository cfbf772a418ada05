/* SPDX-License-Identifier: 0BSD */
/*
 * The scene of a sweep: one connection with the library at both ends, from listening to the listener's end. It goes on
 * as far as it can, and asserts (Check) what must be true wherever it broke. It knows no fault. Called from the test's
 * thread.
 */
#ifndef FAULT_SCENE_H
#define FAULT_SCENE_H

#include <stdbool.h>
#include <stddef.h>

enum scene_how { SCENE_STREAM, SCENE_PAIR, SCENE_FDOPEN, SCENE_SOCKET };
enum scene_proxy { SCENE_DIRECT, SCENE_HTTP, SCENE_SOCKS };

struct scene {
	const char *url;		/* to listen at; of SCENE_FDOPEN what is spoken */
	enum scene_how how;
	enum scene_proxy proxy;
	bool compress;
	bool ask;			/* status, headers, observers, descriptors, pings, timeouts */
	bool stop;			/* the listener is told to stop and reads its files again */
	bool halves;			/* each side half-closes, and the other reads EOF, before fclose */
	bool strange;			/* the listener's certificate is one that the client does not trust */
	size_t bytes;			/* that go each way, beside a few */
};

/* argument is a struct scene. */
void scene_run(const void *argument);

#endif
