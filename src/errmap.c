/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "errmap.h"
#include "utf8.h"

/* Bytes of the character at text, 0 where no valid one begins. */
static size_t character_bytes(const char *text)
{
	struct wsf_utf8 state = { 0 };
	size_t size = 0;

	do {
		if (text[size] == '\0' || !wsf_utf8_feed(&state, text + size, 1))
			return 0;
		size++;
	} while (!wsf_utf8_complete(&state));
	return size;
}

/* ASCII's controls, and U+0080 to U+009F: terminals obey both. Of the latter the second byte alone is invalid, too. */
static bool is_control(const char *text)
{
	unsigned char first = (unsigned char)text[0];

	return first < 0x20 || first == 0x7f || (first == 0xc2 && (unsigned char)text[1] < 0xa0);
}

/* The text may quote a peer, and ends up on terminals and in logs: one line, and valid UTF-8. */
static void sanitise(char *text)
{
	while (*text != '\0') {
		size_t size = character_bytes(text);

		if (size == 0 || is_control(text))
			*text++ = '?';
		else
			text += size;
	}
}

static void fill(struct wsf_failure *failure, int error, const char *tail, const char *format, va_list arguments)
{
	char text[sizeof(failure->text)];	/* an argument may point into the failure itself */
	size_t size;

	if (vsnprintf(text, sizeof(text), format, arguments) < 0)
		text[0] = '\0';
	if (tail) {
		size = strlen(text);
		snprintf(text + size, sizeof(text) - size, ": %s", tail);
	}
	sanitise(text);
	memcpy(failure->text, text, strlen(text) + 1);
	failure->error = error;
}

int wsf_fail(struct wsf_failure *failure, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fill(failure, error, NULL, format, arguments);
	va_end(arguments);
	return -error;
}

static const char *describe(int error, char *buffer, size_t size)
{
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
	return strerror_r(error, buffer, size);
#else
	if (strerror_r(error, buffer, size) != 0)
		snprintf(buffer, size, "error %d", error);
	return buffer;
#endif
}

int wsf_fail_errno(struct wsf_failure *failure, int error, const char *format, ...)
{
	char buffer[128];
	va_list arguments;

	va_start(arguments, format);
	fill(failure, error, describe(error, buffer, sizeof(buffer)), format, arguments);
	va_end(arguments);
	return -error;
}

int wsf_errno_from_gai(int code, int saved_errno)
{
	switch (code) {
	case 0:
		return 0;
	case EAI_NONAME:
#if defined(EAI_NODATA) && EAI_NODATA != EAI_NONAME
	case EAI_NODATA:
#endif
#if defined(EAI_ADDRFAMILY) && EAI_ADDRFAMILY != EAI_NONAME
	case EAI_ADDRFAMILY:
#endif
		return ENOENT;
	case EAI_AGAIN:
		return EAGAIN;
	case EAI_MEMORY:
		return ENOMEM;
	case EAI_SYSTEM:
		return saved_errno != 0 ? saved_errno : EIO;
	case EAI_FAMILY:
		return EAFNOSUPPORT;
	case EAI_BADFLAGS:
	case EAI_SERVICE:
	case EAI_SOCKTYPE:
		return EINVAL;
#ifdef EAI_OVERFLOW
	case EAI_OVERFLOW:
		return ENAMETOOLONG;
#endif
	default:
		return EIO;
	}
}

int wsf_errno_from_close(unsigned code)
{
	return code == 1000 || code == 1001 || code == 1005 ? 0 : ECONNABORTED;
}

const char *wsf_close_code_name(unsigned code)
{
	/* The WebSocket Close Code Number Registry of IANA. */
	static const struct {
		unsigned code;
		const char *name;
	} names[] = {
		{ 1000, "normal closure" },
		{ 1001, "going away" },
		{ 1002, "protocol error" },
		{ 1003, "unsupported data" },
		{ 1004, "reserved" },
		{ 1005, "no status received" },
		{ 1006, "abnormal closure" },
		{ 1007, "invalid frame payload data" },
		{ 1008, "policy violation" },
		{ 1009, "message too big" },
		{ 1010, "mandatory extension" },
		{ 1011, "internal error" },
		{ 1012, "service restart" },
		{ 1013, "try again later" },
		{ 1014, "bad gateway" },
		{ 1015, "TLS handshake" },
		{ 3000, "unauthorized" },
		{ 3003, "forbidden" },
		{ 3008, "timeout" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (names[i].code == code)
			return names[i].name;
	}
	return "unknown";
}

bool wsf_close_code_sendable(unsigned code)
{
	return code == 1000 || code == 1001 || code == 1003 || (code >= 1007 && code <= 1011) ||
	    (code >= 3000 && code <= 4999);
}
