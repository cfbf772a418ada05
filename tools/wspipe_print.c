/* SPDX-License-Identifier: 0BSD */
#include "wspipe_print.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RED "\033[1;31m"
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[m"

/* [I] immutable once there is a second thread, [L] the lock's, [D] of the thread that writes data. */
static struct {
	enum wspipe_color color;	/* [I] */
	bool json;			/* [I] */
	pthread_mutex_t lock;
	size_t status_width;		/* [L] columns of the status line that stands there, 0 = none does */
	bool in_line;			/* [L] data has left the terminal's cursor in the middle of a line */
	unsigned char part[4];		/* [D] the begin of a character */
	size_t part_size;		/* [D] */
} output = { .lock = PTHREAD_MUTEX_INITIALIZER };

void wspipe_print_color(enum wspipe_color color)
{
	output.color = color;
}

void wspipe_print_json(void)
{
	output.json = true;
}

bool wspipe_prints_json(void)
{
	return output.json;
}

static bool is_dumb(void)
{
	const char *term = getenv("TERM");

	return !term || *term == '\0' || strcmp(term, "dumb") == 0;
}

bool wspipe_is_colored(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR");

	if (output.color != WSPIPE_COLOR_AUTO)
		return output.color == WSPIPE_COLOR_ALWAYS;
	return (!no_color || *no_color == '\0') && !is_dumb() && isatty(fileno(stream));
}

/* C0 controls, DEL, the C1 controls in their UTF-8 form, and what is no UTF-8: what a terminal might obey. */
static void make_harmless(char *text)
{
	unsigned char *c = (unsigned char *)text;

	for (size_t left = strlen(text); left > 0;) {
		int size = wspipe_utf8_size(c, left);
		size_t step = size > 0 ? (size_t)size : 1;
		if (size <= 0 || *c < 0x20 || *c == 0x7f || (size == 2 && c[0] == 0xc2 && c[1] < 0xa0))
			memset(c, '?', step);
		c += step;
		left -= step;
	}
}

/* --- lines --- */

/* A terminal that is dumb gets blanks, not a command. */
static void clear_status_locked(void)
{
	if (output.status_width > 0 && is_dumb())
		fprintf(stderr, "\r%*s\r", (int)output.status_width, "");
	else if (output.status_width > 0)
		fputs("\r\033[K", stderr);
	output.status_width = 0;
}

/* Data without a newline at its end may stand on the same terminal. */
static void end_line_locked(void)
{
	if (output.in_line && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	output.in_line = false;
}

static void print_line(const char *style, const char *label, const char *prefix, const char *text)
{
	char line[2 * WSPIPE_LINE + 256];
	bool colored = wspipe_is_colored(stderr);

	snprintf(line, sizeof line, "%s%s%s", prefix, *prefix != '\0' ? ": " : "", text);
	make_harmless(line);
	pthread_mutex_lock(&output.lock);
	clear_status_locked();
	end_line_locked();
	fprintf(stderr, "%s%s%s %s\n", colored ? style : "", label, colored ? PLAIN : "", line);
	pthread_mutex_unlock(&output.lock);
}

void wspipe_say(const char *text)
{
	struct wspipe_json json;

	if (!output.json) {
		print_line(BOLD, "wspipe:", "", text);
		return;
	}
	wspipe_json_begin(&json, "notice");
	wspipe_json_text(&json, "text", text);
	wspipe_json_end(&json, false);
}

void wspipe_complain_of(uint64_t stream_id, const char *peer, int error, const char *text)
{
	struct wspipe_json json;

	if (!output.json) {
		print_line(RED, "wspipe:", peer, text);
		return;
	}
	wspipe_json_begin(&json, "error");
	if (stream_id != 0)
		wspipe_json_number(&json, "stream", stream_id);
	wspipe_json_text(&json, "peer", peer);
	wspipe_json_errno(&json, error);
	wspipe_json_text(&json, "text", text);
	wspipe_json_end(&json, false);
}

void wspipe_complain(int error, const char *prefix, const char *text)
{
	char line[2 * WSPIPE_LINE];

	snprintf(line, sizeof line, "%s%s%s", prefix, *prefix != '\0' ? ": " : "", text);
	wspipe_complain_of(0, "", error, line);
}

void wspipe_complain_opening(const struct ws_error *error, const char *text, const char *hint)
{
	struct wspipe_json json;
	char line[2 * WSPIPE_LINE];

	if (!output.json) {
		snprintf(line, sizeof line, "%s%s%s", text, hint ? "; " : "", hint ? hint : "");
		print_line(RED, "wspipe:", "", line);
		return;
	}
	wspipe_json_begin(&json, "error");
	wspipe_json_errno(&json, error->error);
	if (error->http_status != 0)
		wspipe_json_number(&json, "http_status", (uint64_t)error->http_status);
	wspipe_json_text(&json, "text", text);
	wspipe_json_text(&json, "hint", hint);
	wspipe_json_end(&json, false);
}

void wspipe_say_event(const char *text)
{
	print_line(DIM, "wspipe: event:", "", text);
}

void wspipe_say_listening(const char *url)
{
	struct wspipe_json json;
	bool colored = wspipe_is_colored(stderr);

	if (!output.json) {
		fprintf(stderr, "listening on %s%s%s\n", colored ? BOLD : "", url, colored ? PLAIN : "");
		return;
	}
	wspipe_json_begin(&json, "listening");
	wspipe_json_text(&json, "url", url);
	wspipe_json_end(&json, false);
}

void wspipe_say_connected(const struct ws_status *status)
{
	struct wspipe_json json;

	if (!output.json)
		return;
	wspipe_json_begin(&json, "connected");
	wspipe_json_number(&json, "stream", status->id);
	wspipe_json_text(&json, "url", status->url);
	wspipe_json_text(&json, "peer", status->peer_address);
	wspipe_json_text(&json, "local", status->local_address);
	wspipe_json_text(&json, "subprotocol", status->subprotocol);
	wspipe_json_text(&json, "extensions", status->extensions);
	wspipe_json_text(&json, "tls_version", status->tls_version);
	wspipe_json_text(&json, "tls_cipher", status->tls_cipher);
	wspipe_json_text(&json, "tls_peer", status->tls_peer);
	wspipe_json_end(&json, false);
}

void wspipe_say_exit(int status, int signal_number)
{
	static const char *const verdicts[] = { "clean", "broken", "usage" };
	struct wspipe_json json;

	if (!output.json)
		return;
	wspipe_json_begin(&json, "exit");
	wspipe_json_text(&json, "verdict", signal_number != 0 ? "interrupted" : verdicts[status]);
	wspipe_json_number(&json, "status", (uint64_t)(signal_number != 0 ? 128 + signal_number : status));
	wspipe_json_number(&json, "sent", wspipe_sent());
	wspipe_json_number(&json, "received", wspipe_received());
	wspipe_json_end(&json, true);
}

void wspipe_status_show(const char *text, bool last)
{
	size_t width = strlen(text);

	pthread_mutex_lock(&output.lock);
	/* Data on the same terminal comes first: its line is not cut. */
	if (last)
		end_line_locked();
	if (!output.in_line || last) {
		/* What is shorter than the line before must not leave its end. */
		if (output.status_width > width || last)
			clear_status_locked();
		fprintf(stderr, "\r%s%s", text, last ? "\n" : "");
		output.status_width = last ? 0 : width;
		output.in_line = false;
	}
	pthread_mutex_unlock(&output.lock);
}

/* Whoever has the lock may be waiting for the terminal. */
void wspipe_status_leave(void)
{
	if (pthread_mutex_trylock(&output.lock) != 0)
		return;
	if (output.status_width > 0)
		fputc('\n', stderr);
	output.status_width = 0;
	pthread_mutex_unlock(&output.lock);
}

/* --- data on a terminal --- */

struct shown {
	char text[4096];
	size_t size;
};

static bool flush_shown(struct shown *shown)
{
	size_t done = 0;

	while (done < shown->size) {
		ssize_t n = write(STDOUT_FILENO, shown->text + done, shown->size - done);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	shown->size = 0;
	return true;
}

/* As cat(1) -v has it: ^X for a control character, \xNN for what is no character at all. */
static void add_shown(struct shown *shown, const unsigned char *c, int size)
{
	char *at = shown->text + shown->size;
	size_t room = sizeof shown->text - shown->size;

	if (size <= 0)
		shown->size += (size_t)snprintf(at, room, "\\x%02x", *c);
	else if (size == 2 && c[0] == 0xc2 && c[1] < 0xa0)
		shown->size += (size_t)snprintf(at, room, "\\x%02x\\x%02x", c[0], c[1]);
	else if ((*c < 0x20 && *c != '\n' && *c != '\t' && *c != '\r') || *c == 0x7f)
		shown->size += (size_t)snprintf(at, room, "^%c", *c ^ 0x40);
	else {
		memcpy(at, c, (size_t)size);
		shown->size += (size_t)size;
	}
}

static bool show_locked(const unsigned char *text, size_t size, bool end)
{
	struct shown shown = { .size = 0 };

	for (size_t i = 0; i < size;) {
		int length = wspipe_utf8_size(text + i, size - i);
		if (length < 0 && !end) {
			output.part_size = size - i;
			memcpy(output.part, text + i, output.part_size);
			break;
		}
		add_shown(&shown, text + i, length);
		output.in_line = text[i] != '\n';
		i += length > 0 ? (size_t)length : 1;
		if (shown.size > sizeof shown.text - 16 && !flush_shown(&shown))
			return false;
	}
	return flush_shown(&shown);
}

static bool show(const char *data, size_t size, bool end)
{
	unsigned char *text = malloc(size + sizeof output.part);
	size_t part = output.part_size;
	bool good;

	if (!text)
		return false;
	memcpy(text, output.part, part);
	memcpy(text + part, data, size);
	output.part_size = 0;
	pthread_mutex_lock(&output.lock);
	clear_status_locked();
	good = show_locked(text, part + size, end);
	pthread_mutex_unlock(&output.lock);
	free(text);
	return good;
}

bool wspipe_terminal_write(const char *data, size_t size)
{
	return show(data, size, false);
}

bool wspipe_terminal_end(void)
{
	return output.part_size == 0 || show("", 0, true);
}
