/* SPDX-License-Identifier: 0BSD */
/*
 * What signals do to a listener: all threads block them, and one of its own waits for them. SIGHUP has the certificates
 * read again, SIGTERM and SIGINT stop the service, and SIGCHLD tells that a command has ended.
 */
#include "wspipe.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct {
	sigset_t found;			/* main thread's, before others: what was blocked at the start */
	sigset_t waited_for;		/* the same */
	struct ws_listener *listener;
	void (*stop)(void);
	pthread_t thread;
	atomic_bool end;
	bool running;			/* main thread's */
} signals;

const sigset_t *wspipe_signals_found(void)
{
	return &signals.found;
}

static void do_nothing(int signal_number)
{
	(void)signal_number;
}

static bool is_ignored(int signal_number)
{
	struct sigaction action;

	return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void wspipe_signals_block(bool hangup, bool stop)
{
	/* With no handler at all the system may drop it, or reap a child by itself. */
	struct sigaction action = { .sa_handler = do_nothing, .sa_flags = SA_NOCLDSTOP | SA_RESTART };

	sigemptyset(&signals.waited_for);
	sigaddset(&signals.waited_for, SIGCHLD);
	sigaction(SIGCHLD, &action, NULL);
	if (hangup)
		sigaddset(&signals.waited_for, SIGHUP);
	/* nohup(1), and a shell that starts it in the background, want them to stay ignored. */
	if (stop && !is_ignored(SIGTERM))
		sigaddset(&signals.waited_for, SIGTERM);
	if (stop && !is_ignored(SIGINT))
		sigaddset(&signals.waited_for, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals.waited_for, &signals.found);
}

static void reload(void)
{
	char line[WSPIPE_LINE];

	if (ws_listener_reload(signals.listener) == 0)
		wspipe_say("certificates read again");
	else
		wspipe_complain(ws_last_error()->error, "", wspipe_in_our_words(line, ws_last_error()->text, true));
}

/* As if nobody had blocked it. */
static void end_at_once(int signal_number)
{
	sigset_t set;

	wspipe_children_kill(SIGTERM);
	signal(signal_number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal_number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(signal_number);
}

static void *wait_for_signals(void *unused)
{
	bool stopped = false;
	int signal_number;

	(void)unused;
	while (sigwait(&signals.waited_for, &signal_number) == 0 && !atomic_load(&signals.end)) {
		switch (signal_number) {
		case SIGHUP:
			reload();
			break;
		case SIGCHLD:
			wspipe_children_check();
			break;
		default:
			if (stopped)
				end_at_once(signal_number);
			stopped = true;
			signals.stop();
		}
	}
	return NULL;
}

int wspipe_signals_start(struct ws_listener *listener, void (*stop)(void))
{
	int error;

	signals.listener = listener;
	signals.stop = stop;
	error = pthread_create(&signals.thread, NULL, wait_for_signals, NULL);
	signals.running = error == 0;
	return error;
}

void wspipe_signals_end(void)
{
	if (!signals.running)
		return;
	atomic_store(&signals.end, true);
	pthread_kill(signals.thread, SIGCHLD);
	pthread_join(signals.thread, NULL);
	signals.running = false;
}
