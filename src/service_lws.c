/* SPDX-License-Identifier: 0BSD */
/*
 * A helper's libwebsockets context: the event loop, its timer, the wake-up from other threads. It watches one
 * descriptor of ours, the poller, adopted in the raw-file role, and no sockets: its own poll back end looks at every
 * descriptor for each event and its table of them is as large as RLIMIT_NOFILE was at the start; its libuv and libev
 * back ends handle signals, which are the program's. A socket of its own costs more than our whole link, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "process.h"
#include "service_private.h"

/* The poller and the wake-up, with room to spare: libwebsockets counts from the end. */
#define DESCRIPTORS 8
/* What libwebsockets opens at most: two for the wake-up, the random device, a netlink socket. */
#define OPENED 4
/* It waits for whole milliseconds, rounded down: with one more it neither spins nor wakes too early. */
#define ROUNDING_US 1000
/* Between attempts when it can't even wait. */
#define BROKEN_MS 10
/* The first wake-up is there at once, or never. */
#define PROBE_NS INT64_C(20000000)

struct wsf_engine {
	struct lws_context *context;	/* [I] once ready */
	struct wsf_helper *helper;	/* [I] once ready */
	lws_sorted_usec_list_t alarm;	/* [H] */
	bool wakes;			/* [H] a wake-up has come */
};

static int lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
	struct wsf_engine *engine = lws_context_user(lws_get_context(wsi));

	(void)user;
	(void)in;
	(void)size;
	switch (reason) {
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		engine->wakes = true;
		(void)wsf_helper_drain(engine->helper);
		return 0;
	case LWS_CALLBACK_RAW_RX_FILE:
		wsf_helper_serve(engine->helper);
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "wsfile", .callback = lws_callback },
	{ 0 },
};

/* libwebsockets prints to standard error unless told not to; a program that chose levels of its own keeps them. */
static void silence(void)
{
	if (lwsl_visible(LLL_ERR) && lwsl_visible(LLL_WARN) && lwsl_visible(LLL_NOTICE) && !lwsl_visible(LLL_INFO))
		lws_set_log_level(0, NULL);
}

struct wsf_engine *wsf_engine_new(void)
{
	silence();
	return calloc(1, sizeof(struct wsf_engine));
}

void wsf_engine_free(struct wsf_engine *engine)
{
	free(engine);
}

/*
 * libwebsockets does not say why it failed, and goes on without a wake-up where there was no descriptor for it: so
 * there must be enough of them. Returns 0 or a negative errno.
 */
static int find_descriptors(int fd)
{
	int copies[OPENED], count, rv = 0;

	for (count = 0; count < OPENED && rv == 0; count++) {
		copies[count] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (copies[count] < 0)
			rv = -errno;
	}
	while (count > 0)
		if (copies[--count] >= 0)
			wsf_process_close(copies[count]);
	return rv;
}

/*
 * Out of memory, 4.1 closes the random device before it has opened it: that is descriptor 0, the program's. Returns a
 * copy of it, or -1.
 */
static int keep_first_descriptor(int *flags)
{
	*flags = fcntl(0, F_GETFD);
	return *flags >= 0 ? fcntl(0, F_DUPFD_CLOEXEC, 0) : -1;
}

static void restore_first_descriptor(int copy, int flags)
{
	if (copy < 0)
		return;
	if (fcntl(0, F_GETFD) < 0 && dup2(copy, 0) == 0)
		fcntl(0, F_SETFD, flags);
	close(copy);
}

static int create_context(struct wsf_engine *engine)
{
	const struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.user = engine,
		.vhost_name = "wsfile",
		.fd_limit_per_thread = DESCRIPTORS,
	};
	struct sigaction pipe_action;
	int first, flags;

	first = keep_first_descriptor(&flags);
	/* lws_create_context sets SIGPIPE to be ignored: that is the program's to decide. */
	sigaction(SIGPIPE, NULL, &pipe_action);
	engine->context = lws_create_context(&info);
	sigaction(SIGPIPE, &pipe_action, NULL);
	restore_first_descriptor(first, flags);
	return engine->context != NULL ? 0 : -ENOMEM;
}

/* Another thread may have been faster. */
static bool can_wake(struct wsf_engine *engine)
{
	wsf_engine_set_alarm(engine, wsf_now_ns() + PROBE_NS);
	wsf_engine_wake(engine);
	wsf_engine_turn(engine);
	lws_sul_cancel(&engine->alarm);
	return engine->wakes;
}

int wsf_engine_start(struct wsf_engine *engine, struct wsf_helper *helper, int poller)
{
	lws_adopt_desc_t info = {
		.type = LWS_ADOPT_RAW_FILE_DESC,
		.vh_prot_name = "wsfile",
		.fd.filefd = poller,
	};
	int rv;

	engine->helper = helper;
	if ((rv = find_descriptors(poller)) != 0 || (rv = create_context(engine)) != 0)
		return rv;
	if (!can_wake(engine)) {
		/* 5.0 crashes when it destroys such a one. */
		engine->context = NULL;
		return -EMFILE;
	}
	info.vh = lws_get_vhost_by_name(engine->context, "wsfile");
	return info.vh != NULL && lws_adopt_descriptor_vhost_via_info(&info) != NULL ? 0 : -ENOMEM;
}

void wsf_engine_stop(struct wsf_engine *engine)
{
	if (engine->context == NULL)
		return;
	lws_sul_cancel(&engine->alarm);
	lws_context_destroy(engine->context);
}

void wsf_engine_turn(struct wsf_engine *engine)
{
	if (lws_service(engine->context, 0) < 0)
		poll(NULL, 0, BROKEN_MS);
}

/*
 * All that is needed is that the turn ends. Where the thread was held up before it, this is called ahead of the wait,
 * which would know of no alarm any more: so there is another, and it is due.
 */
static void alarm_fired(lws_sorted_usec_list_t *alarm)
{
	struct wsf_engine *engine = lws_container_of(alarm, struct wsf_engine, alarm);

	lws_sul_schedule(engine->context, 0, alarm, alarm_fired, 1);
}

void wsf_engine_set_alarm(struct wsf_engine *engine, int64_t deadline_ns)
{
	int64_t left_ns;

	if (deadline_ns == WSF_NO_DEADLINE) {
		lws_sul_cancel(&engine->alarm);
		return;
	}
	left_ns = deadline_ns - wsf_now_ns();
	lws_sul_schedule(engine->context, 0, &engine->alarm, alarm_fired,
	    left_ns > 0 ? left_ns / 1000 + ROUNDING_US : 1);
}

void wsf_engine_wake(struct wsf_engine *engine)
{
	lws_cancel_service(engine->context);
}
