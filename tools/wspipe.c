/* SPDX-License-Identifier: 0BSD */
/* wspipe: standard input and output over a WebSocket. */
#include "wspipe.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

int wspipe_report(const struct wspipe_verdict *verdict, bool with_peer)
{
	if (!verdict->broken)
		return WSPIPE_CLEAN;
	wspipe_say(with_peer ? verdict->peer : "", verdict->text);
	return WSPIPE_BROKEN;
}

int wspipe_report_last_error(void)
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
		return wspipe_report_last_error();
	if (config->progress)
		wspipe_progress_start();
	wspipe_copy(config, &input, half, &verdict);
	wspipe_progress_stop();
	return wspipe_report(&verdict, false);
}

/*
 * A descriptor that is closed would be taken by a socket. What was to use it must get an error: input that is missing
 * is not the end of input.
 */
static bool open_missing_descriptors(void)
{
	static const int flags[] = { O_WRONLY, O_RDONLY, O_RDWR };

	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", flags[fd]) != fd)
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	/* Connections that a stop did not wait for may look at it until the process has ended. */
	static struct wspipe_config config;
	int status;

	if (!open_missing_descriptors())
		return WSPIPE_BROKEN;
	signal(SIGPIPE, SIG_IGN);
	status = wspipe_parse(&config, argc, argv);
	if (status < 0)
		status = config.inetd ? wspipe_inetd(&config) : config.listen ? wspipe_listen(&config) :
		    connect_once(&config);
	wspipe_config_clear(&config);
	return status;
}
