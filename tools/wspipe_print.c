/* SPDX-License-Identifier: 0BSD */
#include "wspipe_print.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RED "\033[1;31m"
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[m"

/* [I] immutable once there is a second thread, [L] the lock's. */
static struct {
	enum wspipe_color color;	/* [I] */
	bool json;			/* [I] */
	pthread_mutex_t lock;
	size_t status_width;		/* [L] columns of the status line that stands there, 0 = none does */
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

/* C0 controls, DEL and the C1 controls in their UTF-8 form: what a terminal might obey. */
static void make_harmless(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
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

static void print_line(const char *style, const char *label, const char *prefix, const char *text)
{
	char line[2 * WSPIPE_LINE + 256];
	bool colored = wspipe_is_colored(stderr);

	snprintf(line, sizeof line, "%s%s%s", prefix, *prefix != '\0' ? ": " : "", text);
	make_harmless(line);
	pthread_mutex_lock(&output.lock);
	clear_status_locked();
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

void wspipe_say_exit(int status)
{
	static const char *const verdicts[] = { "clean", "broken", "usage" };
	struct wspipe_json json;

	if (!output.json)
		return;
	wspipe_json_begin(&json, "exit");
	wspipe_json_text(&json, "verdict", verdicts[status]);
	wspipe_json_number(&json, "status", (uint64_t)status);
	wspipe_json_number(&json, "sent", wspipe_sent());
	wspipe_json_number(&json, "received", wspipe_received());
	wspipe_json_end(&json, true);
}

void wspipe_status_show(const char *text, bool last)
{
	size_t width = strlen(text);

	pthread_mutex_lock(&output.lock);
	/* What is shorter than the line before must not leave its end. */
	if (output.status_width > width || last)
		clear_status_locked();
	fprintf(stderr, "\r%s%s", text, last ? "\n" : "");
	output.status_width = last ? 0 : width;
	pthread_mutex_unlock(&output.lock);
}
