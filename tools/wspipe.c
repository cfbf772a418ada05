/* SPDX-License-Identifier: 0BSD */
/* wspipe: standard input and output over a WebSocket. */
#include "wspipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A connection of its own thread. */
struct guest {
	const struct wspipe_config *config;
	FILE *half[2];
};

static int report(const struct wspipe_verdict *verdict, bool with_peer)
{
	if (!verdict->broken)
		return WSPIPE_CLEAN;
	wspipe_say(with_peer ? verdict->peer : "", verdict->text);
	return WSPIPE_BROKEN;
}

static int report_last_error(void)
{
	wspipe_say("", ws_last_error()->text);
	return WSPIPE_BROKEN;
}

static int connect_once(struct wspipe_config *config)
{
	struct wspipe_input input = { .ended = false };
	struct wspipe_verdict verdict;
	FILE *half[2];
	int rv = ws_fopen_pair(config->url, &config->options, half);

	wspipe_config_forget(config);
	if (rv != 0)
		return report_last_error();
	if (config->progress)
		wspipe_progress_start();
	wspipe_copy(config, &input, half, &verdict);
	wspipe_progress_stop();
	return report(&verdict, false);
}

/* Returns 0 with a connection, else -1 when there is no use in going on. */
static int accept_next(const struct wspipe_config *config, struct ws_listener *listener, FILE *half[2])
{
	for (bool told = false;; told = true) {
		int error = ws_accept_pair(listener, half) == 0 ? 0 : errno;
		if (error == 0)
			break;
		if (!told)
			report_last_error();
		if (!config->keep || error == EBADF || error == EINVAL)
			return -1;
		/* Out of descriptors or memory: what others give back helps, so look again a little later. */
		poll(NULL, 0, 200);
	}
	if (config->progress)
		wspipe_progress_start();
	return 0;
}

static void *serve_guest(void *argument)
{
	struct guest *guest = argument;
	struct wspipe_verdict verdict;

	wspipe_echo(guest->config, guest->half, &verdict);
	report(&verdict, true);
	free(guest);
	return NULL;
}

static void turn_away(FILE *half[2], int error)
{
	wspipe_say("", strerror(error));
	ws_shutdown(half[1], 1011, NULL);
	fclose(half[1]);
	fclose(half[0]);
}

static int echo_for_all(const struct wspipe_config *config, struct ws_listener *listener)
{
	FILE *half[2];
	pthread_t thread;

	while (accept_next(config, listener, half) == 0) {
		struct guest *guest = malloc(sizeof *guest);
		if (!guest) {
			turn_away(half, ENOMEM);
			continue;
		}
		*guest = (struct guest){ .config = config, .half = { half[0], half[1] } };
		int error = pthread_create(&thread, NULL, serve_guest, guest);
		if (error == 0) {
			pthread_detach(thread);
		} else {
			turn_away(half, error);
			free(guest);
		}
	}
	return WSPIPE_BROKEN;
}

static int serve(const struct wspipe_config *config, struct ws_listener *listener)
{
	struct wspipe_input input = { .ended = false };
	struct wspipe_verdict verdict;
	FILE *half[2];
	int status;

	do {
		if (accept_next(config, listener, half) != 0)
			return WSPIPE_BROKEN;
		if (config->echo)
			wspipe_echo(config, half, &verdict);
		else
			wspipe_copy(config, &input, half, &verdict);
		if (!config->keep || verdict.fatal)
			wspipe_progress_stop();
		status = report(&verdict, config->keep);
	} while (config->keep && !verdict.fatal);
	return status;
}

static int serve_all(const struct wspipe_config *config, struct ws_listener *listener)
{
	int status, error = config->certificate_count > 0 ? wspipe_reload_start(listener) : 0;

	if (error != 0) {
		wspipe_say("", strerror(error));
		return WSPIPE_BROKEN;
	}
	fprintf(stderr, "listening on %s\n", ws_listener_url(listener));
	status = config->keep && config->echo ? echo_for_all(config, listener) : serve(config, listener);
	wspipe_reload_stop();
	return status;
}

static int listen_and_serve(struct wspipe_config *config)
{
	struct ws_listener *listener;
	int status;

	if (config->certificate_count > 0)
		wspipe_reload_block();
	listener = ws_listen(config->url, &config->options);
	wspipe_config_forget(config);
	if (!listener)
		return report_last_error();
	status = serve_all(config, listener);
	ws_listener_close(listener);
	return status;
}

/* A descriptor that is closed would be taken by a socket. What was to use it must get an error or the end of input. */
static bool open_missing_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct wspipe_config config;
	int status;

	if (!open_missing_descriptors())
		return WSPIPE_BROKEN;
	signal(SIGPIPE, SIG_IGN);
	status = wspipe_parse(&config, argc, argv);
	if (status < 0)
		status = config.listen ? listen_and_serve(&config) : connect_once(&config);
	wspipe_config_clear(&config);
	return status;
}
