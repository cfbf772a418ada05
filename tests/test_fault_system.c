/* SPDX-License-Identifier: 0BSD */
/* System calls that fail, each of them in turn, in opening, in use and in closing. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <check.h>

#include "fault_scene.h"
#include "fault_sweep.h"
#include "pki.h"
#include "tls_private.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define BULK 150000

static char local_url[64];

static const struct scene scenes[] = {
	{ .url = "ws://localhost:0/", .ask = true, .stop = true, .bytes = BULK },
	{ .url = local_url, .how = SCENE_PAIR, .halves = true },
	{ .url = "wss://127.0.0.1:0/", .proxy = SCENE_HTTP, .bytes = BULK },
	{ .url = "ws://127.0.0.1:0/", .how = SCENE_SOCKET },
	{ .url = "wss://localhost/", .how = SCENE_FDOPEN },
};

/* One call fails: what comes of it is an error, to both ends, and nothing else. */
static const struct fault {
	const char *name;
	struct fault_system_plan plan;
	bool harmless;
} faults[] = {
	{ "socket EMFILE", { .calls = FAULT_BIT(FAULT_SOCKET), .error = EMFILE }, false },
	{ "socket ENFILE", { .calls = FAULT_BIT(FAULT_SOCKET), .error = ENFILE }, false },
	{ "socket ENOBUFS", { .calls = FAULT_BIT(FAULT_SOCKET), .error = ENOBUFS }, false },
	{ "socket ENOMEM, all", { .calls = FAULT_BIT(FAULT_SOCKET), .error = ENOMEM, .lasting = true }, false },
	{ "connect ECONNREFUSED", { .calls = FAULT_BIT(FAULT_CONNECT), .error = ECONNREFUSED }, false },
	{ "connect ENOBUFS", { .calls = FAULT_BIT(FAULT_CONNECT), .error = ENOBUFS, .lasting = true }, false },
	{ "bind EADDRINUSE", { .calls = FAULT_BIT(FAULT_BIND), .error = EADDRINUSE }, false },
	{ "listen ENOBUFS", { .calls = FAULT_BIT(FAULT_LISTEN), .error = ENOBUFS }, false },
	{ "getaddrinfo EAI_AGAIN", { .calls = FAULT_BIT(FAULT_GETADDRINFO), .eai = EAI_AGAIN }, false },
	{ "getaddrinfo EAI_NONAME", { .calls = FAULT_BIT(FAULT_GETADDRINFO), .eai = EAI_NONAME }, false },
	{ "getaddrinfo EMFILE", { .calls = FAULT_BIT(FAULT_GETADDRINFO), .error = EMFILE }, false },
	{ "getaddrinfo ENOMEM", { .calls = FAULT_BIT(FAULT_GETADDRINFO), .error = ENOMEM }, false },
	{ "epoll_create1 EMFILE", { .calls = FAULT_BIT(FAULT_EPOLL_CREATE), .error = EMFILE }, false },
	{ "epoll_create1 ENOMEM", { .calls = FAULT_BIT(FAULT_EPOLL_CREATE), .error = ENOMEM }, false },
	{ "epoll_ctl ENOMEM", { .calls = FAULT_BIT(FAULT_EPOLL_CTL), .error = ENOMEM }, false },
	{ "epoll_ctl ENOSPC", { .calls = FAULT_BIT(FAULT_EPOLL_CTL), .error = ENOSPC }, false },
	{ "eventfd EMFILE", { .calls = FAULT_BIT(FAULT_EVENTFD), .error = EMFILE }, false },
	{ "eventfd ENFILE", { .calls = FAULT_BIT(FAULT_EVENTFD), .error = ENFILE, .lasting = true }, false },
	{ "socketpair EMFILE", { .calls = FAULT_BIT(FAULT_SOCKETPAIR), .error = EMFILE }, false },
	{ "dup EMFILE", { .calls = FAULT_BIT(FAULT_DUP), .error = EMFILE }, false },
	{ "dup EMFILE, all", { .calls = FAULT_BIT(FAULT_DUP), .error = EMFILE, .lasting = true }, false },
	{ "poll ENOMEM", { .calls = FAULT_BIT(FAULT_POLL), .error = ENOMEM }, false },
	{ "poll EINTR", { .calls = FAULT_BIT(FAULT_POLL), .error = EINTR, .who = FAULT_PROGRAM }, false },
	{ "send ECONNRESET", { .calls = FAULT_BIT(FAULT_SEND), .error = ECONNRESET, .dead = true }, false },
	{ "send EPIPE", { .calls = FAULT_BIT(FAULT_SEND), .error = EPIPE, .dead = true }, false },
	{ "send ETIMEDOUT", { .calls = FAULT_BIT(FAULT_SEND), .error = ETIMEDOUT, .dead = true }, false },
	{ "recv ECONNRESET", { .calls = FAULT_BIT(FAULT_RECV), .error = ECONNRESET, .dead = true }, false },
	{ "recv ETIMEDOUT", { .calls = FAULT_BIT(FAULT_RECV), .error = ETIMEDOUT, .dead = true }, false },
	{ "recv ENOMEM", { .calls = FAULT_BIT(FAULT_RECV), .error = ENOMEM, .dead = true }, false },
	{ "recv EIO", { .calls = FAULT_BIT(FAULT_RECV), .error = EIO, .who = FAULT_HELPERS }, false },
	/* Each concerns one attempt, or a moment, and nobody is to notice. */
	{ "accept4 EMFILE", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = EMFILE }, true },
	{ "accept4 ENFILE", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = ENFILE }, true },
	{ "accept4 ENOBUFS", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = ENOBUFS }, true },
	{ "accept4 ENOMEM", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = ENOMEM }, true },
	{ "accept4 ECONNABORTED", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = ECONNABORTED }, true },
	{ "accept4 EAGAIN", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = EAGAIN }, true },
	{ "accept4 EINTR", { .calls = FAULT_BIT(FAULT_ACCEPT), .error = EINTR }, true },
	{ "epoll_wait EINTR", { .calls = FAULT_BIT(FAULT_EPOLL_WAIT), .error = EINTR }, true },
	{ "send EINTR", { .calls = FAULT_BIT(FAULT_SEND), .error = EINTR, .who = FAULT_HELPERS }, true },
	{ "send ENOBUFS", { .calls = FAULT_BIT(FAULT_SEND), .error = ENOBUFS, .who = FAULT_HELPERS }, true },
	{ "send EAGAIN", { .calls = FAULT_BIT(FAULT_SEND), .error = EAGAIN, .who = FAULT_HELPERS }, true },
	{ "recv EINTR", { .calls = FAULT_BIT(FAULT_RECV), .error = EINTR, .who = FAULT_HELPERS }, true },
	{ "recv EAGAIN", { .calls = FAULT_BIT(FAULT_RECV), .error = EAGAIN, .who = FAULT_HELPERS }, true },
};

/* Whether a scene makes that call at all. */
static bool is_asked(int scene, unsigned calls, int error)
{
	switch (calls) {
	case FAULT_BIT(FAULT_SOCKETPAIR):
		return scene == 3;
	case FAULT_BIT(FAULT_GETADDRINFO):
		return scene != 1 && scene != 4;
	case FAULT_BIT(FAULT_EVENTFD):
		return scene == 0;
	case FAULT_BIT(FAULT_SOCKET):
	case FAULT_BIT(FAULT_CONNECT):
	case FAULT_BIT(FAULT_BIND):
	case FAULT_BIT(FAULT_LISTEN):
	case FAULT_BIT(FAULT_ACCEPT):
		return scene != 4;
	case FAULT_BIT(FAULT_POLL):	/* of one descriptor; it can't fail */
	case FAULT_BIT(FAULT_SEND):
	case FAULT_BIT(FAULT_RECV):
		return scene != 3 || error == EIO;	/* its pair of sockets is no connection that could break */
	default:
		return true;
	}
}

START_TEST(a_failing_call_is_an_error_and_no_more)
{
	const struct fault *fault = &faults[_i];
	unsigned long struck = 0;
	struct sweep sweep = { .name = fault->name, .scene = scene_run, .system = &fault->plan,
		.harmless = fault->harmless, .forget = wsf_tls_cache_clear };

	snprintf(local_url, sizeof local_url, "ws+unix:///tmp/wsfile-fault-system-%ld", (long)getpid());
	for (int i = 0; i < COUNT(scenes); i++) {
		if (!is_asked(i, fault->plan.calls, fault->plan.error))
			continue;
		sweep.argument = &scenes[i];
		/* Where the service is there already, and where it is not. What the bystander itself asks may fail. */
		sweep.bystander = i % 2 == 1 && fault->plan.calls != FAULT_BIT(FAULT_EPOLL_CTL);
		struck += sweep_run(&sweep);
	}
	ck_assert_uint_gt(struck, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_system");
	TCase *tcase;
	int rv;

	fault_memory_begin();
	pki_begin();
	tcase = sweep_case(suite, "calls");
	tcase_add_loop_test(tcase, a_failing_call_is_an_error_and_no_more, 0, COUNT(faults));
	rv = sweep_main(suite);
	pki_end();
	return rv;
}
