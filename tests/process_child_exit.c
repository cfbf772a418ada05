/* SPDX-License-Identifier: 0BSD */
/* Ways for a process to end, with streams open. What the other ends must see is in test_exit.c. */
#include "process_child.h"
#include "process_late.h"

#include <signal.h>

/* Until the process ends. */
static void *sleep_on(void)
{
	for (;;)
		pause();
	return NULL;
}

static void *exit_in_thread(void *code)
{
	exit((int)(intptr_t)code);
}

/* option begins with the way. */
static int leave(const char *option)
{
	pthread_t thread;

	if (strncmp(option, "exit", 4) == 0)
		exit(0);
	if (strncmp(option, "thread", 6) == 0) {
		start_thread(&thread, exit_in_thread, NULL);
		(void)sleep_on();
	}
	if (strncmp(option, "_exit", 5) == 0)
		_exit(0);
	if (strncmp(option, "quick_exit", 10) == 0)
		quick_exit(0);
	if (strncmp(option, "abort", 5) == 0)
		abort();
	if (strncmp(option, "term", 4) == 0)
		raise(SIGTERM);
	if (strncmp(option, "kill", 4) == 0)
		raise(SIGKILL);
	return 0;
}

/* With an authority's file behind a comma where it is wss. */
static int run_written(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	const char *comma = strchr(option, ',');
	FILE *stream;

	options.ca_file = comma != NULL ? comma + 1 : NULL;
	stream = open_end(url, "r+", &options);
	insist(fputs("in the kernel, ", stream) >= 0 && ws_drain(stream, -1) == 0, "ws_drain");
	insist(fputs("in the buffer", stream) >= 0, "fputs");
	return leave(option);
}

static int run_pair(const char *url, const char *option)
{
	FILE *half[2];

	open_pair_end(url, NULL, half);
	insist(fputs("by half", half[1]) >= 0, "fputs");
	return leave(option);
}

static int run_much(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	options.close_timeout_ms = 30000 * multiplier();
	stream = open_end(url, "w", &options);
	insist(fwrite(much_pattern(), 1, MUCH_BYTES, stream) == MUCH_BYTES, "fwrite");
	return leave(option);
}

/* option: how many */
static int run_many(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	int count = (int)strtol(option, NULL, 10);

	options.close_timeout_ms = 2000 * multiplier();
	for (int i = 0; i < count; i++)
		insist(fprintf(open_end(url, "r+", &options), "this is %d", i) > 0, "fprintf");
	return 0;
}

/* One stream has to be over at once, the other one has time. */
static int run_unequal(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;

	(void)option;
	options.close_timeout_ms = 1;
	insist(fputs("soon", open_end(url, "r+", &options)) >= 0, "fputs");
	options.close_timeout_ms = 30000 * multiplier();
	insist(fputs("late", open_end(url, "r+", &options)) >= 0, "fputs");
	return 0;
}

/* Everything is full, stdio's buffer included. */
static int run_stalled(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	uint8_t *data = much_pattern();
	uint64_t done = 0;
	FILE *stream;
	ssize_t n;

	(void)option;
	options.close_timeout_ms = 300;
	stream = open_end(url, "r+", &options);
	insist(ws_set_nonblocking(stream, true) == 0, "ws_set_nonblocking");
	while ((n = ws_write_some(stream, data + done % 65521, 65536)) > 0)
		done += (uint64_t)n;
	insist(errno == EAGAIN, "ws_write_some");
	insist(fwrite(data + done % 65521, 1, 1000, stream) == 1000, "fwrite");
	return 0;
}

static void *read_some(void *stream)
{
	insist(fgetc(stream) == EOF, "a byte came");
	/* It may have been closed under its hands. */
	return sleep_on();
}

static int run_reader(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);
	pthread_t thread;

	insist(fputs("before it reads", stream) >= 0, "fputs");
	start_thread(&thread, read_some, stream);
	wait_locked(stream);
	return leave(option);
}

/* Once the exit step has sent the Close. */
static void *close_beside(void *stream)
{
	struct ws_status status = WS_STATUS_INIT;

	while (ws_status(stream, &status) == 0 && status.close_code_sent == 0)
		usleep(1000);
	say(fclose(stream) == 0 ? "closed" : strerror(errno));
	return sleep_on();
}

/* The other stream keeps the step going. */
static int run_beside(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	pthread_t thread;
	FILE *stream;

	options.close_timeout_ms = 30000 * multiplier();
	stream = open_end(url, "r+", &options);
	insist(fputs("first", stream) >= 0 && fputs("second", open_end(url, "r+", &options)) >= 0, "fputs");
	start_thread(&thread, close_beside, stream);
	return leave(option);
}

static int run_pair_reader(const char *url, const char *option)
{
	pthread_t thread;
	FILE *half[2];

	open_pair_end(url, NULL, half);
	start_thread(&thread, read_some, half[0]);
	wait_locked(half[0]);
	insist(fputs("while it reads", half[1]) >= 0, "fputs");
	return leave(option);
}

static void *write_much(void *stream)
{
	(void)fwrite(much_pattern(), 1, MUCH_BYTES, stream);
	return sleep_on();
}

/* option: close_timeout_ms */
static int run_writer(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	pthread_t thread;
	FILE *stream;

	options.close_timeout_ms = (int)strtol(option, NULL, 10);
	stream = open_end(url, "r+", &options);
	start_thread(&thread, write_much, stream);
	wait_locked(stream);
	say("exits");
	return 0;
}

static int run_failed(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	(void)option;
	options.write_timeout_ms = 50;
	options.close_timeout_ms = 30000 * multiplier();
	stream = open_end(url, "r+", &options);
	insist(fwrite(much_pattern(), 1, MUCH_BYTES, stream) < MUCH_BYTES && errno == ETIMEDOUT, "fwrite");
	say("failed");
	return 0;
}

static int run_shut_down(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);

	(void)option;
	insist(fputs("the end", stream) >= 0 && ws_shutdown(stream, 4000, "bye") == 0, "ws_shutdown");
	return 0;
}

static int run_aborted(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);

	(void)option;
	insist(fputs("in the kernel", stream) >= 0 && ws_drain(stream, -1) == 0 &&
	    fputs(", in the buffer", stream) >= 0 && ws_abort(stream) == 0, "ws_abort");
	return 0;
}

/* The peer has closed before. */
static int run_answer(const char *url, const char *option)
{
	FILE *stream = open_end(url, "r+", NULL);
	char line[64];

	insist(fgets(line, sizeof line, stream) != NULL && strcmp(line, "question") == 0 && feof(stream), "fgets");
	insist(fputs("answer", stream) >= 0, "fputs");
	return leave(option);
}

/* --- from inside --- */

static void exit_at_ping(const struct ws_event *event, void *user)
{
	(void)user;
	if (event->type == WS_EVENT_PING)
		exit(7);
}

static int run_observer(const char *url, const char *option)
{
	FILE *other = open_end(url, "r+", NULL), *stream = open_end(url, "r+", NULL);

	(void)option;
	insist(ws_observe(stream, WS_EVENT_ALL, exit_at_ping, NULL) == 0, "ws_observe");
	insist(fputs("other", other) >= 0 && fputs("own", stream) >= 0 && fflush(stream) == 0, "fputs");
	say("ready");
	(void)fgetc(stream);
	return sleep_on() == NULL;
}

static int exit_on_request(const struct ws_request *request, struct ws_response *response, void *user)
{
	(void)request;
	(void)response;
	(void)user;
	exit(5);
}

static int run_authorize(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;

	(void)url;
	(void)option;
	options.authorize = exit_on_request;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	insist(listener != NULL, "%s", ws_last_error()->text);
	say(ws_listener_url(listener));
	(void)ws_accept(listener, "r+");
	return sleep_on() == NULL;
}

/* --- in the midst of other calls --- */

static void *open_one(void *url)
{
	(void)ws_fopen(url, "r+");
	return sleep_on();
}

static int run_opening(const char *url, const char *option)
{
	pthread_t thread;
	FILE *stream = open_end(url, "r+", NULL);

	insist(fputs("meanwhile", stream) >= 0, "fputs");
	start_thread(&thread, open_one, (void *)(uintptr_t)url);
	await("go");
	return leave(option);
}

static void *accept_one(void *listener)
{
	(void)ws_accept(listener, "r+");
	return sleep_on();
}

static int run_accepting(const char *url, const char *option)
{
	struct ws_listener *listener = ws_listen("ws://127.0.0.1:0/", NULL);
	pthread_t thread;

	(void)url;
	insist(listener != NULL, "%s", ws_last_error()->text);
	say(ws_listener_url(listener));
	start_thread(&thread, accept_one, listener);
	await("go");
	return leave(option);
}

static void *come_and_go(void *url)
{
	FILE *stream;

	while ((stream = ws_fopen(url, "r+")) != NULL) {
		if (fputs("coming and going\n", stream) >= 0 && fflush(stream) == 0)
			(void)fgetc(stream);
		(void)fclose(stream);
	}
	return sleep_on();
}

static void *answer_all(void *listener)
{
	char line[64];
	FILE *stream;

	while ((stream = ws_accept(listener, "r+")) != NULL) {
		if (fgets(line, sizeof line, stream) != NULL)
			(void)fputs(line, stream);
		(void)fclose(stream);
	}
	return sleep_on();
}

static int run_busy(const char *url, const char *option)
{
	struct ws_options options = WS_OPTIONS_INIT;
	struct ws_listener *listener;
	pthread_t thread;

	(void)url;
	options.close_timeout_ms = 1000;
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	insist(listener != NULL, "%s", ws_last_error()->text);
	for (int i = 0; i < 4; i++) {
		start_thread(&thread, come_and_go, (void *)(uintptr_t)ws_listener_url(listener));
		start_thread(&thread, answer_all, listener);
	}
	usleep((useconds_t)strtoul(option, NULL, 10));
	return 0;
}

/* --- before main and behind it --- */

static FILE *kept;
static const char *kept_url;

static void write_at_exit(void)
{
	insist(fputs(", at exit", kept) >= 0 && fflush(kept) == 0 && fputs(", unflushed", kept) >= 0, "fputs");
}

static void read_at_exit(void)
{
	char line[64];

	insist(fputs("question", kept) >= 0 && fflush(kept) == 0 && fgets(line, sizeof line, kept) != NULL &&
	    strcmp(line, "answer\n") == 0, "fgets");
}

static void open_at_exit(void)
{
	kept = open_end(kept_url, "r+", NULL);
	insist(fputs("opened at exit", kept) >= 0, "fputs");
}

static void close_at_exit(void)
{
	open_at_exit();
	insist(fclose(kept) == 0, "fclose");
	say("closed");
}

static int run_at_exit(const char *url, const char *option)
{
	kept_url = url;
	if (strcmp(option, "open") == 0)
		return atexit(open_at_exit);
	if (strcmp(option, "close") == 0)
		return atexit(close_at_exit);
	if (strcmp(option, "read") == 0)
		insist(atexit(read_at_exit) == 0, "atexit");
	else
		insist(atexit(write_at_exit) == 0, "atexit");
	kept = open_end(url, "r+", NULL);
	if (strcmp(option, "write") == 0)
		insist(fputs("in main", kept) >= 0, "fputs");
	return 0;
}

__attribute__((destructor)) static void write_in_destructor(void)
{
	if (kept != NULL && kept_url == NULL)
		insist(fputs(", in a destructor", kept) >= 0, "fputs");
}

void early_scenario(const char *name, const char *url)
{
	if (strcmp(name, "early") != 0)
		return;
	kept = open_end(url, "r+", NULL);
	insist(fputs("early", kept) >= 0 && fflush(kept) == 0, "fputs");
}

static int run_early(const char *url, const char *option)
{
	(void)url;
	(void)option;
	insist(fputs(", in main", kept) >= 0, "fputs");
	return 0;
}

static unsigned threads_before;

static void look_late(void)
{
	char text[64];

	insist(fputs("more", kept) == EOF || fflush(kept) == EOF, "a write passes");
	insist(errno == EPIPE, "a write fails otherwise");
	/* The kernel takes one that was joined out of the directory a little later. */
	for (int i = 0; i < 5000 && count_threads() > threads_before; i++)
		usleep(1000);
	snprintf(text, sizeof text, "threads %d", (int)count_threads() - (int)threads_before);
	say(text);
}

static void *nothing(void *argument)
{
	return argument;
}

static int run_after(const char *url, const char *option)
{
	pthread_t thread;

	(void)option;
	/* A sanitizer may start one of its own with the first. */
	start_thread(&thread, nothing, NULL);
	pthread_join(thread, NULL);
	threads_before = count_threads();
	process_late = look_late;
	kept = open_end(url, "r+", NULL);
	kept_url = url;
	insist(fputs("before", kept) >= 0, "fputs");
	return 0;
}

/* --- a descriptor --- */

/* What is written; at the end nothing of it has been closed. */
static int run_descriptor(const char *url, const char *option)
{
	const uint8_t *data = much_pattern();
	int fd = ws_socket(url, NULL);
	size_t size = 1 << 20;
	ssize_t n;

	insist(fd >= 0, "%s", ws_last_error()->text);
	for (; size > 0; size -= (size_t)n, data += n) {
		n = write(fd, data, size);
		insist(n > 0, "write");
	}
	return leave(option);
}

const struct scenario exit_scenarios[] = {
	{ "written", run_written }, { "pair", run_pair }, { "much", run_much }, { "many", run_many },
	{ "unequal", run_unequal }, { "stalled", run_stalled }, { "reader", run_reader }, { "beside", run_beside },
	{ "pair_reader", run_pair_reader }, { "writer", run_writer }, { "failed", run_failed },
	{ "shut_down", run_shut_down }, { "aborted", run_aborted }, { "answer", run_answer },
	{ "observer", run_observer }, { "authorize", run_authorize }, { "opening", run_opening },
	{ "accepting", run_accepting }, { "busy", run_busy }, { "at_exit", run_at_exit }, { "early", run_early },
	{ "after", run_after }, { "descriptor", run_descriptor }, { NULL, NULL },
};
