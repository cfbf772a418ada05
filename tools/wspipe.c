/* SPDX-License-Identifier: 0BSD */
/* wspipe: standard input and output over a WebSocket. */
#include "wspipe.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int wspipe_report(const struct wspipe_verdict *verdict, bool with_peer)
{
	if (!verdict->broken && wspipe_interrupted() == 0)
		return WSPIPE_CLEAN;
	/* Whoever has stopped it needs no word of that. */
	if (wspipe_interrupted() == 0)
		wspipe_complain_of(verdict->stream_id, with_peer || wspipe_prints_json() ? verdict->peer : "",
		    verdict->error, verdict->text);
	return WSPIPE_BROKEN;
}

int wspipe_report_last_error(const struct wspipe_config *config)
{
	const struct ws_error *error = ws_last_error();
	char line[WSPIPE_LINE];

	wspipe_complain_opening(error, wspipe_in_our_words(line, error->text, config->listen),
	    config->listen ? NULL : wspipe_hint(error));
	return WSPIPE_BROKEN;
}

/* A regular file has a size. It may be in use already, up to where we find it. */
static uint64_t input_size(void)
{
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	struct stat status;

	return at >= 0 && fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > at ?
	    (uint64_t)(status.st_size - at) : 0;
}

void wspipe_show_progress(const struct wspipe_config *config)
{
	bool ask = config->progress_size == 0 && !config->echo && !config->exec;

	if (config->progress)
		wspipe_progress_start(ask ? input_size() : config->progress_size, ask);
}

static int connect_once(struct wspipe_config *config)
{
	struct wspipe_input input = { .ended = false };
	struct wspipe_verdict verdict;
	FILE *half[2];
	int rv, error;

	wspipe_signals_block(false, true);
	error = wspipe_signals_start(NULL, wspipe_interrupt, config->options.close_timeout_ms);
	if (error != 0) {
		wspipe_complain(error, "", strerror(error));
		return WSPIPE_BROKEN;
	}
	rv = ws_fopen_pair(config->url, &config->options, half);
	wspipe_config_forget(config);
	if (rv == 0) {
		wspipe_show_progress(config);
		wspipe_copy(config, &input, half, &verdict);
		wspipe_progress_stop();
		rv = wspipe_report(&verdict, false);
	} else {
		rv = wspipe_report_last_error(config);
	}
	wspipe_signals_end();
	return rv;
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
	wspipe_say_exit(status, wspipe_interrupted());
	if (wspipe_interrupted() != 0)
		wspipe_end_by(wspipe_interrupted());
	return status;
}
