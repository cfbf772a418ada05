/* SPDX-License-Identifier: 0BSD */
/*
 * Listening. Each connection has a thread of its own; the main thread accepts, waits for their ends, and sees to it
 * that a stop comes to an end, too.
 */
#include "wspipe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A connection of its own thread. */
struct guest {
	const struct wspipe_config *config;
	FILE *half[2];
};

/* [L] the lock's, [M] the main thread's before any other, [A] atomic. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ws_listener *listener;	/* [M] */
	struct wspipe_input input;	/* of the one connection at a time that gets it */
	size_t guests;			/* [L] open connections */
	struct wspipe_verdict last;	/* [L] */
	atomic_bool stopping;		/* [A] a service sets it with the lock held */
} service = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool wspipe_stopping(void)
{
	return atomic_load(&service.stopping);
}

static bool has_threads_for_all(const struct wspipe_config *config)
{
	return config->keep && (config->echo || config->exec);
}

/* One with a stop of its own. The others are stopped as a client is. */
static bool is_service(const struct wspipe_config *config)
{
	return config->keep || config->exec;
}

static void serve_one(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict)
{
	if (config->exec)
		wspipe_exec(config, half, verdict);
	else if (config->echo)
		wspipe_echo(config, half, verdict);
	else
		wspipe_copy(config, &service.input, half, verdict);
}

static void note_end(const struct wspipe_verdict *verdict)
{
	pthread_mutex_lock(&service.lock);
	service.guests--;
	service.last = *verdict;
	pthread_cond_signal(&service.changed);
	pthread_mutex_unlock(&service.lock);
}

static void *serve_guest(void *argument)
{
	struct guest *guest = argument;
	struct wspipe_verdict verdict;

	serve_one(guest->config, guest->half, &verdict);
	if (guest->config->keep)
		wspipe_report(&verdict, true);
	free(guest);
	note_end(&verdict);
	return NULL;
}

static void receive_guest(const struct wspipe_config *config, FILE *half[2])
{
	struct guest *guest = malloc(sizeof *guest);
	struct wspipe_verdict verdict = { .broken = false };
	pthread_t thread;
	int error = ENOMEM;

	pthread_mutex_lock(&service.lock);
	service.guests++;
	pthread_mutex_unlock(&service.lock);
	if (guest) {
		*guest = (struct guest){ .config = config, .half = { half[0], half[1] } };
		error = pthread_create(&thread, NULL, serve_guest, guest);
	}
	if (error == 0) {
		pthread_detach(thread);
		return;
	}
	free(guest);
	wspipe_note_peer(half[0], &verdict);
	wspipe_verdict_set(&verdict, error, "", NULL);
	wspipe_turn_away(half, 1011, NULL, &verdict);
	if (config->keep)
		wspipe_report(&verdict, true);
	note_end(&verdict);
}

/* Returns 0 with a connection, else -1 when there is no use in going on. */
static int accept_next(const struct wspipe_config *config, FILE *half[2])
{
	for (bool told = false;; told = true) {
		int error = ws_accept_pair(service.listener, half) == 0 ? 0 : errno;
		if (error == 0)
			break;
		if (wspipe_stopping())
			return -1;
		if (!told)
			wspipe_report_last_error(config);
		if (!config->keep || error == EBADF || error == EINVAL)
			return -1;
		/* Out of descriptors or memory: what others give back helps, so look again a little later. */
		poll(NULL, 0, 200);
	}
	wspipe_show_progress(config);
	return 0;
}

/* Until all connections have ended, or until a stop. */
static void wait_for_guests(void)
{
	pthread_mutex_lock(&service.lock);
	while (service.guests > 0 && !wspipe_stopping())
		pthread_cond_wait(&service.changed, &service.lock);
	pthread_mutex_unlock(&service.lock);
}

/* --- the stop --- */

static bool stop(int signal_number)
{
	(void)signal_number;
	pthread_mutex_lock(&service.lock);
	atomic_store(&service.stopping, true);
	pthread_cond_signal(&service.changed);
	pthread_mutex_unlock(&service.lock);
	wspipe_notify("STOPPING=1");
	/* The main thread waits, this one has to hear the next signal. */
	ws_listener_stop(service.listener, 0);
	return true;
}

/* Of a listener that is no service: with no input left to send it ends at once, and takes its socket away. */
static bool interrupt(int signal_number)
{
	if (wspipe_interrupt(signal_number))
		return true;
	/* The main thread is not to complain; it waits for this one at the end. */
	atomic_store(&service.stopping, true);
	ws_listener_stop(service.listener, 0);
	return false;
}

/* Returns whether all of them have ended in time. */
static bool wait_until(const struct timespec *deadline)
{
	bool ended;
	int error = 0;

	pthread_mutex_lock(&service.lock);
	while (service.guests > 0 && error != ETIMEDOUT)
		error = deadline ? pthread_cond_timedwait(&service.changed, &service.lock, deadline) :
		    pthread_cond_wait(&service.changed, &service.lock);
	ended = service.guests == 0;
	pthread_mutex_unlock(&service.lock);
	return ended;
}

static bool wait_for_ms(int ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += ms / 1000;
	deadline.tv_nsec += ms % 1000 * 1000000L;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	return wait_until(ms < 0 ? NULL : &deadline);
}

/* Commands get the end of their input when their peer has answered the Close, and signals when that does not do. */
static int finish_stop(const struct wspipe_config *config)
{
	bool in_time = ws_listener_stop(service.listener, config->kill_after_ms) == 0;

	if (wait_for_ms(in_time ? config->kill_after_ms : 0)) {
		int status = config->keep ? WSPIPE_CLEAN : wspipe_report(&service.last, false);
		return in_time ? status : WSPIPE_BROKEN;
	}
	wspipe_complain(ETIMEDOUT, "", "not all connections ended in time");
	wspipe_children_kill(SIGTERM);
	if (!wait_for_ms(config->kill_after_ms))
		wspipe_children_kill(SIGKILL);
	return WSPIPE_BROKEN;
}

/* --- the service --- */

static int serve(const struct wspipe_config *config)
{
	FILE *half[2];
	bool fatal = false;

	while (!wspipe_stopping() && !fatal) {
		if (accept_next(config, half) != 0)
			break;
		receive_guest(config, half);
		if (has_threads_for_all(config))
			continue;
		wait_for_guests();
		if (wspipe_stopping())
			break;
		fatal = service.last.fatal;
		if (config->keep && !fatal)
			continue;
		wspipe_progress_stop();
		return config->keep ? WSPIPE_BROKEN : wspipe_report(&service.last, false);
	}
	if (!wspipe_stopping())
		return WSPIPE_BROKEN;
	int status = finish_stop(config);
	wspipe_progress_stop();
	return status;
}

static int serve_all(const struct wspipe_config *config)
{
	pthread_condattr_t attributes;
	int error, status;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	error = pthread_cond_init(&service.changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (error == 0)
		error = is_service(config) ? wspipe_signals_start(service.listener, stop, -1) :
		    wspipe_signals_start(service.listener, interrupt, config->options.close_timeout_ms);
	if (error != 0) {
		wspipe_complain(error, "", strerror(error));
		return WSPIPE_BROKEN;
	}
	wspipe_say_listening(ws_listener_url(service.listener));
	wspipe_notify("READY=1");
	status = serve(config);
	wspipe_signals_end();
	return status;
}

int wspipe_listen(struct wspipe_config *config)
{
	int status;

	if (!wspipe_inherited_socket(&config->options.listen_fd))
		return WSPIPE_BROKEN;
	wspipe_signals_block(config->certificate_count > 0, true);
	service.listener = ws_listen(config->url, &config->options);
	wspipe_config_forget(config);
	if (!service.listener)
		return wspipe_report_last_error(config);
	status = serve_all(config);
	ws_listener_close(service.listener);
	return status;
}

/* --- one connection that somebody else has accepted --- */

static bool stop_commands(int signal_number)
{
	(void)signal_number;
	atomic_store(&service.stopping, true);
	wspipe_children_kill(SIGTERM);
	return true;
}

int wspipe_inetd(struct wspipe_config *config)
{
	struct wspipe_verdict verdict;
	FILE *stream, *half[2];
	int fd = wspipe_take_standard_socket(), error = fd < 0 ? errno : 0;

	wspipe_signals_block(false, config->exec);
	if (error == 0)
		error = wspipe_signals_start(NULL, stop_commands, -1);
	if (error != 0) {
		wspipe_complain(error, "", strerror(error));
		return WSPIPE_BROKEN;
	}
	config->options.url = config->url;
	stream = ws_fdopen(fd, "r+", WS_ROLE_SERVER, &config->options);
	config->options.url = NULL;
	wspipe_config_forget(config);
	if (!stream) {
		close(fd);
		return wspipe_report_last_error(config);
	}
	half[0] = half[1] = stream;
	/* Two threads use it. */
	if (config->exec)
		ws_set_nonblocking(stream, true);
	wspipe_show_progress(config);
	serve_one(config, half, &verdict);
	wspipe_progress_stop();
	wspipe_signals_end();
	return wspipe_report(&verdict, false);
}
