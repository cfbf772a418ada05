/* SPDX-License-Identifier: 0BSD */
/* --events: a line for each, without times, so that two runs can be compared; or --json, with them. */
#include "wspipe_print.h"

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

static void print_line(const struct ws_event *event)
{
	struct line line = { .size = 0 };

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
	wspipe_say_event(line.text);
}

static void print_object(const struct ws_event *event)
{
	bool closed = event->type == WS_EVENT_CLOSED;
	struct wspipe_json json;

	wspipe_json_begin(&json, type_name(event->type));
	wspipe_json_number(&json, "stream", event->stream_id);
	if (event->type == WS_EVENT_PING || event->type == WS_EVENT_PONG) {
		wspipe_json_bytes(&json, "payload", event->payload, event->payload_bytes);
		wspipe_json_hex(&json, "payload_hex", event->payload, event->payload_bytes);
	}
	if (event->type == WS_EVENT_PONG)
		wspipe_json_bool(&json, "asked", event->round_trip_us >= 0);
	if (event->type == WS_EVENT_PONG && event->round_trip_us >= 0)
		wspipe_json_number(&json, "round_trip_us", (uint64_t)event->round_trip_us);
	if (closed)
		wspipe_json_bool(&json, "clean", event->clean);
	if (closed || event->type == WS_EVENT_CLOSE_RECEIVED) {
		wspipe_json_number(&json, "received_code", event->close_code_received);
		wspipe_json_text(&json, "received_reason", event->close_reason_received);
	}
	if (closed) {
		wspipe_json_number(&json, "sent_code", event->close_code_sent);
		wspipe_json_text(&json, "sent_reason", event->close_reason_sent);
	}
	wspipe_json_errno(&json, event->error);
	wspipe_json_text(&json, "text", event->text);
	if (event->missed > 0)
		wspipe_json_number(&json, "missed", event->missed);
	wspipe_json_end(&json, false);
}

void wspipe_print_event(const struct ws_event *event, void *unused)
{
	(void)unused;
	if (wspipe_prints_json())
		print_object(event);
	else
		print_line(event);
}
