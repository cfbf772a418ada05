/* SPDX-License-Identifier: 0BSD */
/*
 * One end of a connection that will vanish, for test_vanish.py: prints a line when it is open, and one with the error
 * when its read returns. Only the public interface, and no Check.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsfile.h>

static FILE *open_end(const char *role, const char *url, const struct ws_options *options)
{
	struct ws_listener *listener;
	FILE *stream;

	if (strcmp(role, "client") == 0)
		return ws_fopen_with(url, "r+", options);
	listener = ws_listen(url, options);
	if (listener == NULL)
		return NULL;
	printf("listening on %s\n", ws_listener_url(listener));
	fflush(stdout);
	stream = ws_accept(listener, "r+");
	ws_listener_close(listener);
	return stream;
}

int main(int argc, char *argv[])
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_status status = WS_STATUS_INIT;
	FILE *stream;
	int c, error;

	if (argc != 5)
		return 2;
	options.ping_interval_ms = (int)strtol(argv[3], NULL, 10);
	options.linger_ms = -1;
	stream = open_end(argv[1], argv[2], &options);
	if (stream == NULL) {
		fprintf(stderr, "%s\n", ws_last_error()->text);
		return 1;
	}
	printf("open\n");
	fflush(stdout);
	/* Says goodbye and goes on reading; or leaves that unanswered. */
	if (strcmp(argv[4], "leaves") == 0 && ws_shutdown(stream, 1000, NULL) != 0)
		return 1;
	c = fgetc(stream);
	error = errno;
	if (strcmp(argv[4], "stays") == 0 && c == EOF && !ferror(stream)) {
		printf("stays\n");
		fflush(stdout);
		(void)getchar();
	}
	if (ws_status(stream, &status) != 0)
		return 1;
	printf("%s: %s\n", c == EOF && ferror(stream) ? strerror(error) : "no error", status.error_text);
	fflush(stdout);
	(void)fclose(stream);
	return 0;
}
