/* SPDX-License-Identifier: 0BSD */
/* --events: a line for each, without times, so that two runs can be compared. */
#include "wspipe.h"

#include <stdarg.h>
#include <string.h>

static const char *type_name(enum ws_event_type type)
{
	switch (type) {
	case WS_EVENT_OPEN:
		return "open";
	case WS_EVENT_PING:
		return "ping";
	case WS_EVENT_PONG:
		return "pong";
	case WS_EVENT_CLOSE_RECEIVED:
		return "close-received";
	case WS_EVENT_TEXT_REJECTED:
		return "text-rejected";
	case WS_EVENT_PROTOCOL_ERROR:
		return "protocol-error";
	case WS_EVENT_TRANSPORT_ERROR:
		return "transport-error";
	case WS_EVENT_CLOSED:
		return "closed";
	}
	return "unknown";
}

struct line {
	char text[2 * WSPIPE_LINE];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(line->text + line->size, sizeof line->text - line->size, format, args);
	va_end(args);
	if (size > 0)
		line->size += (size_t)size;
	if (line->size >= sizeof line->text)
		line->size = sizeof line->text - 1;
}

/* In quotation marks; whatever is no plain ASCII, as \x and two digits. */
static void add_quoted(struct line *line, const char *name, const void *data, size_t size)
{
	const unsigned char *c = data;

	add(line, " %s=\"", name);
	for (size_t i = 0; i < size; i++)
		if (c[i] < 0x20 || c[i] > 0x7e || c[i] == '"' || c[i] == '\\')
			add(line, "\\x%02x", c[i]);
		else
			add(line, "%c", c[i]);
	add(line, "\"");
}

static void add_text(struct line *line, const char *name, const char *text)
{
	if (text && *text != '\0')
		add_quoted(line, name, text, strlen(text));
}

void wspipe_print_event(const struct ws_event *event, void *unused)
{
	struct line line = { .size = 0 };

	(void)unused;
	add(&line, "%llu %s", (unsigned long long)event->stream_id, type_name(event->type));
	if (event->type == WS_EVENT_PING || event->type == WS_EVENT_PONG)
		add_quoted(&line, "payload", event->payload, event->payload_bytes);
	if (event->type == WS_EVENT_PONG)
		add(&line, " asked=%s", event->round_trip_us >= 0 ? "yes" : "no");
	if (event->type == WS_EVENT_CLOSED)
		add(&line, " clean=%s", event->clean ? "yes" : "no");
	if (event->type == WS_EVENT_CLOSED || event->type == WS_EVENT_CLOSE_RECEIVED) {
		add(&line, " received=%u", event->close_code_received);
		add_text(&line, "received-reason", event->close_reason_received);
	}
	if (event->type == WS_EVENT_CLOSED) {
		add(&line, " sent=%u", event->close_code_sent);
		add_text(&line, "sent-reason", event->close_reason_sent);
	}
	add_text(&line, "error", event->text);
	if (event->missed > 0)
		add(&line, " missed=%u", event->missed);
	wspipe_say("event", line.text);
}
