/* SPDX-License-Identifier: 0BSD */
/* SIGHUP has a listener read its certificates again. All threads block it, and one of its own waits for it. */
#include "wspipe.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct {
	struct ws_listener *listener;
	pthread_t thread;
	atomic_bool stop;
	bool running;			/* main thread's */
} reload;

static sigset_t hangup_alone(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	return set;
}

void wspipe_reload_block(void)
{
	sigset_t set = hangup_alone();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *wait_for_hangups(void *unused)
{
	sigset_t set = hangup_alone();
	int signal_number;

	(void)unused;
	while (sigwait(&set, &signal_number) == 0 && !atomic_load(&reload.stop)) {
		if (ws_listener_reload(reload.listener) == 0)
			wspipe_say("", "certificates read again");
		else
			wspipe_say("", ws_last_error()->text);
	}
	return NULL;
}

int wspipe_reload_start(struct ws_listener *listener)
{
	int error;

	reload.listener = listener;
	error = pthread_create(&reload.thread, NULL, wait_for_hangups, NULL);
	reload.running = error == 0;
	return error;
}

void wspipe_reload_stop(void)
{
	if (!reload.running)
		return;
	atomic_store(&reload.stop, true);
	pthread_kill(reload.thread, SIGHUP);
	pthread_join(reload.thread, NULL);
	reload.running = false;
}
