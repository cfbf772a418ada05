/* SPDX-License-Identifier: 0BSD */
/*
 * What signals do: all threads block them, and one of its own waits for them. SIGHUP has the certificates read again,
 * SIGTERM and SIGINT stop the service or the connection, and SIGCHLD tells that a command has ended.
 */
#include "wspipe.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static struct {
	sigset_t found;			/* main thread's, before others: what was blocked at the start */
	sigset_t waited_for;		/* the same */
	struct ws_listener *listener;
	bool (*stop)(int signal_number);
	int patience_ms;
	pthread_t thread;
	atomic_bool end;
	bool running;			/* main thread's */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hears;			/* the lock's: the thread is there */
	unsigned asked, answered;	/* the same: of wspipe_signals_settle */
} signals = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

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

void wspipe_end_by(int signal_number)
{
	sigset_t set;

	wspipe_children_kill(SIGTERM);
	wspipe_status_leave();
	signal(signal_number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal_number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(signal_number);
	/* The first process of a container is not ended so. */
	_exit(128 + signal_number);
}

/* Returns 0 when time is over. */
static int next_signal(bool stopped)
{
	int signal_number;

	if (!stopped || signals.patience_ms < 0)
		return sigwait(&signals.waited_for, &signal_number) == 0 ? signal_number : SIGTERM;
	struct timespec patience = {
		.tv_sec = signals.patience_ms / 1000, .tv_nsec = signals.patience_ms % 1000 * 1000000L,
	};
	do
		signal_number = sigtimedwait(&signals.waited_for, NULL, &patience);
	while (signal_number < 0 && errno == EINTR);
	return signal_number < 0 ? 0 : signal_number;
}

static void answer(void)
{
	pthread_mutex_lock(&signals.lock);
	signals.answered = signals.asked;
	pthread_cond_broadcast(&signals.changed);
	pthread_mutex_unlock(&signals.lock);
}

static void *wait_for_signals(void *unused)
{
	int signal_number, first = 0;

	(void)unused;
	for (;;) {
		signal_number = next_signal(first != 0);
		if (atomic_load(&signals.end))
			break;
		if (signal_number == SIGHUP) {
			reload();
		} else if (signal_number == SIGCHLD) {
			wspipe_children_check();
			answer();
		} else {
			if (first != 0 || !signals.stop(signal_number))
				wspipe_end_by(signal_number != 0 ? signal_number : first);
			first = signal_number;
		}
	}
	pthread_mutex_lock(&signals.lock);
	signals.hears = false;
	pthread_cond_broadcast(&signals.changed);
	pthread_mutex_unlock(&signals.lock);
	return NULL;
}

/* One that is still pending is taken before SIGCHLD is, as its number is lower, or the next time. */
void wspipe_signals_settle(void)
{
	sigset_t pending;
	unsigned mine;

	pthread_mutex_lock(&signals.lock);
	do {
		/* A connection may outlast the stop. */
		if (!signals.hears)
			break;
		mine = ++signals.asked;
		pthread_kill(signals.thread, SIGCHLD);
		while (signals.hears && (int)(signals.answered - mine) < 0)
			pthread_cond_wait(&signals.changed, &signals.lock);
	} while (sigpending(&pending) == 0 &&
	    ((sigismember(&pending, SIGINT) == 1 && sigismember(&signals.waited_for, SIGINT) == 1) ||
	    (sigismember(&pending, SIGTERM) == 1 && sigismember(&signals.waited_for, SIGTERM) == 1)));
	pthread_mutex_unlock(&signals.lock);
}

int wspipe_signals_start(struct ws_listener *listener, bool (*stop)(int signal_number), int patience_ms)
{
	int error;

	signals.listener = listener;
	signals.stop = stop;
	signals.patience_ms = patience_ms;
	pthread_mutex_lock(&signals.lock);
	error = pthread_create(&signals.thread, NULL, wait_for_signals, NULL);
	signals.running = signals.hears = error == 0;
	pthread_mutex_unlock(&signals.lock);
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
