/* SPDX-License-Identifier: 0BSD */
/*
 * The two programs behind quickstart.sh.
 *
 *     wsquickstart listen           prints its URL, then sends one client's bytes back
 *     wsquickstart send URL IN OUT  sends the file IN, and writes what comes back to OUT
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <wsfile.h>

static void print_codes(const char *who, const struct ws_status *status)
{
	printf("%s: fclose() == 0; closing code sent %u (%s), received %u (%s)\n", who,
	    status->close_code_sent, ws_close_code_name(status->close_code_sent),
	    status->close_code_received, ws_close_code_name(status->close_code_received));
}

static int fail(const char *what)
{
	fprintf(stderr, "wsquickstart: %s: %s\n", what, strerror(errno));
	return 1;
}

static int fail_open(void)
{
	fprintf(stderr, "wsquickstart: %s\n", ws_last_error()->text);
	return 1;
}

/* Copies until the end of from, and tells whether all of it arrived. */
static bool copy(FILE *from, FILE *to, uint64_t *bytes)
{
	static _Thread_local char block[65536];
	size_t size;

	while ((size = fread(block, 1, sizeof block, from)) > 0) {
		if (fwrite(block, 1, size, to) != size)
			return false;
		*bytes += size;
	}
	return !ferror(from);
}

/* --- listen --- */

static int run_listener(void)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	struct ws_status status = WS_STATUS_INIT;
	FILE *half[2];
	uint64_t bytes = 0;

	if (!listener)
		return fail_open();
	printf("%s\n", ws_listener_url(listener));
	fflush(stdout);
	if (ws_accept_pair(listener, half) != 0)
		return fail_open();
	bool copied = copy(half[0], half[1], &bytes);
	if (fclose(half[1]) != 0 || !copied)
		return fail("echo");
	ws_status(half[0], &status);
	if (fclose(half[0]) != 0)
		return fail("close");
	print_codes("listener", &status);
	return ws_listener_close(listener);
}

/* --- send --- */

struct sending {
	FILE *file, *stream;
	uint64_t bytes;
	int error;
};

static void *run_sending(void *argument)
{
	struct sending *sending = argument;

	if (!copy(sending->file, sending->stream, &sending->bytes))
		sending->error = errno;
	/* Closing the writing half tells the listener that this was all; what it sends back still arrives. */
	if (fclose(sending->stream) != 0 && sending->error == 0)
		sending->error = errno;
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_sender(const char *url, const char *in, const char *out)
{
	struct sending sending = { .file = fopen(in, "rb") };
	struct ws_status status = WS_STATUS_INIT;
	FILE *half[2], *file = fopen(out, "wb");
	pthread_t thread;
	uint64_t bytes = 0;

	if (!sending.file)
		return fail(in);
	if (!file)
		return fail(out);
	if (ws_fopen_pair(url, NULL, half) != 0)
		return fail_open();
	sending.stream = half[1];
	double begin = now();
	errno = pthread_create(&thread, NULL, run_sending, &sending);
	if (errno != 0)
		return fail("thread");
	bool copied = copy(half[0], file, &bytes);
	int error = errno;
	pthread_join(thread, NULL);
	double seconds = now() - begin;
	errno = sending.error != 0 ? sending.error : error;
	if (!copied || sending.error != 0)
		return fail("transfer");
	ws_status(half[0], &status);
	if (fclose(half[0]) != 0)
		return fail("close");
	if (fclose(file) != 0)
		return fail(out);
	fclose(sending.file);
	printf("%.1f MB there and back in %.2f s: %.0f MB/s each way at once\n", (double)bytes / 1e6, seconds,
	    (double)bytes / 1e6 / seconds);
	print_codes("client  ", &status);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "listen") == 0)
		return run_listener();
	if (argc == 5 && strcmp(argv[1], "send") == 0)
		return run_sender(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: wsquickstart listen | wsquickstart send URL IN OUT\n");
	return 2;
}
