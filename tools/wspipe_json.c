/* SPDX-License-Identifier: 0BSD */
#include "wspipe_print.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* RFC 3339, in UTC. */
static void add_time(struct wspipe_json *json)
{
	struct timespec now;
	struct tm parts;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	if (!gmtime_r(&now.tv_sec, &parts) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
		return;
	fprintf(json->out, ",\"time\":\"%s.%03ldZ\"", text, now.tv_nsec / 1000000);
}

void wspipe_json_begin(struct wspipe_json *json, const char *event)
{
	*json = (struct wspipe_json){ .text = NULL };
	json->out = open_memstream(&json->text, &json->size);
	if (!json->out)
		return;
	fprintf(json->out, "{\"event\":\"%s\"", event);
	add_time(json);
}

static void put_character(FILE *out, const unsigned char *c, int size)
{
	if (size <= 0)
		fputs("\\ufffd", out);
	else if (*c == '"' || *c == '\\')
		fprintf(out, "\\%c", *c);
	else if (*c == '\n')
		fputs("\\n", out);
	else if (*c < 0x20 || *c == 0x7f)
		fprintf(out, "\\u%04x", *c);
	else if (size == 2 && c[0] == 0xc2 && c[1] < 0xa0)
		/* C1 controls: whoever looks at the line on a terminal is safe from them. */
		fprintf(out, "\\u%04x", c[1]);
	else
		fwrite(c, 1, (size_t)size, out);
}

void wspipe_json_bytes(struct wspipe_json *json, const char *name, const void *data, size_t size)
{
	const unsigned char *c = data, *end = c + size;

	if (!json->out)
		return;
	fprintf(json->out, ",\"%s\":\"", name);
	while (c < end) {
		int length = wspipe_utf8_size(c, (size_t)(end - c));
		put_character(json->out, c, length);
		c += length > 0 ? length : 1;
	}
	fputc('"', json->out);
}

void wspipe_json_text(struct wspipe_json *json, const char *name, const char *text)
{
	if (text && *text != '\0')
		wspipe_json_bytes(json, name, text, strlen(text));
}

void wspipe_json_hex(struct wspipe_json *json, const char *name, const void *data, size_t size)
{
	const unsigned char *c = data;

	if (!json->out)
		return;
	fprintf(json->out, ",\"%s\":\"", name);
	for (size_t i = 0; i < size; i++)
		fprintf(json->out, "%02x", c[i]);
	fputc('"', json->out);
}

void wspipe_json_number(struct wspipe_json *json, const char *name, uint64_t value)
{
	if (json->out)
		fprintf(json->out, ",\"%s\":%llu", name, (unsigned long long)value);
}

void wspipe_json_real(struct wspipe_json *json, const char *name, double value)
{
	if (json->out)
		fprintf(json->out, ",\"%s\":%.3f", name, value);
}

void wspipe_json_bool(struct wspipe_json *json, const char *name, bool value)
{
	if (json->out)
		fprintf(json->out, ",\"%s\":%s", name, value ? "true" : "false");
}

#define NAME(e) { e, #e }

/* strerrorname_np(3) is glibc's alone. */
static const struct {
	int number;
	const char *name;
} names[] = {
	NAME(EACCES), NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(EAFNOSUPPORT), NAME(EAGAIN), NAME(EBADF),
	NAME(EBADMSG), NAME(ECANCELED), NAME(ECONNABORTED), NAME(ECONNREFUSED), NAME(ECONNRESET), NAME(EDEADLK),
	NAME(EDQUOT), NAME(EFBIG), NAME(EHOSTUNREACH), NAME(EILSEQ), NAME(EINTR), NAME(EINVAL), NAME(EIO),
	NAME(EISDIR), NAME(EKEYREJECTED), NAME(ELOOP), NAME(EMFILE), NAME(EMSGSIZE), NAME(ENAMETOOLONG),
	NAME(ENETDOWN), NAME(ENETUNREACH), NAME(ENFILE), NAME(ENOBUFS), NAME(ENODEV), NAME(ENOENT), NAME(ENOMEM),
	NAME(ENOSPC), NAME(ENOTCONN), NAME(ENOTDIR), NAME(ENOTSOCK), NAME(ENXIO), NAME(EPERM), NAME(EPIPE),
	NAME(EPROTO), NAME(EPROTONOSUPPORT), NAME(EROFS), NAME(ETIMEDOUT),
};

void wspipe_json_errno(struct wspipe_json *json, int error)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].number == error) {
			wspipe_json_text(json, "errno", names[i].name);
			return;
		}
	if (error != 0 && json->out)
		fprintf(json->out, ",\"errno\":\"%d\"", error);
}

static struct {
	pthread_mutex_t lock;
	bool over;			/* the lock's */
} lines = { .lock = PTHREAD_MUTEX_INITIALIZER };

void wspipe_json_end(struct wspipe_json *json, bool last)
{
	if (!json->out)
		return;
	fputs("}\n", json->out);
	if (fclose(json->out) == 0) {
		pthread_mutex_lock(&lines.lock);
		/* By one write(2), whatever else writes there. */
		if (!lines.over)
			fwrite(json->text, 1, json->size, stderr);
		lines.over = lines.over || last;
		pthread_mutex_unlock(&lines.lock);
	}
	free(json->text);
}
