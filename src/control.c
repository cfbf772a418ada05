/* SPDX-License-Identifier: 0BSD */
/* The public functions that work on a FILE of ours, beside stdio's own. */
#include <errno.h>
#include <string.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif

#include "cancel.h"
#include "cookie_private.h"
#include "errmap.h"
#include "utf8.h"
#include "wsfile.h"

static bool reason_valid(const char *reason)
{
	struct wsf_utf8 utf8 = { 0 };
	size_t size = strlen(reason);

	return size <= WSF_REASON_MAX && wsf_utf8_feed(&utf8, reason, size) && wsf_utf8_complete(&utf8);
}

int ws_shutdown(FILE *file, unsigned code, const char *reason)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	int rv, cancel;

	if (cookie == NULL)
		return -1;
	if (!wsf_close_code_sendable(code) || (reason != NULL && !reason_valid(reason))) {
		errno = EINVAL;
		return -1;
	}
	cancel = wsf_cancel_off();
	flockfile(file);
	rv = cookie->writes && fflush(file) != 0 ? -errno : 0;
	if (rv == 0)
		rv = wsf_stream_shutdown(cookie->stream, code, reason);
	funlockfile(file);
	wsf_cancel_back(cancel);
	if (rv < 0) {
		errno = -rv;
		return -1;
	}
	return 0;
}

int ws_status(FILE *file, struct ws_status *status)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);

	if (cookie == NULL)
		return -1;
	if (status == NULL || wsf_stream_status(cookie->stream, status) != 0) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

const char *ws_header(FILE *file, const char *name)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	const char *value;

	if (cookie == NULL)
		return NULL;
	value = name != NULL ? wsf_stream_header(cookie->stream, name) : NULL;
	if (value == NULL)
		errno = ENOENT;
	return value;
}

/* Bytes that stdio has read ahead; those of ungetc alone, while there are any. */
static size_t read_ahead(FILE *file)
{
#if defined(__GLIBC__)
	return (size_t)(file->_IO_read_end - file->_IO_read_ptr);
#elif defined(__linux__)
	return __freadahead(file);
#else
	return file->_r > 0 ? (size_t)file->_r : 0;
#endif
}

static bool has_pushed_back(FILE *file)
{
#if defined(__GLIBC__)
	return (file->_flags & 0x100) != 0;
#else
	(void)file;
	return false;
#endif
}

static bool read_goes_on(int error)
{
	return error == EINTR || error == EAGAIN || error == ETIMEDOUT;
}

static ssize_t read_some(struct wsf_cookie *cookie, void *buffer, size_t size)
{
	FILE *file = cookie->file;
	size_t ahead = read_ahead(file);
	ssize_t n;
	int c, saved_errno;

	if (ahead > 0)
		return (ssize_t)fread(buffer, 1, ahead < size ? ahead : size, file);
	if (has_pushed_back(file)) {
		/* They were read; behind them may be what stdio had before. */
		if ((c = getc(file)) == EOF)
			return ferror(file) ? -1 : 0;
		*(unsigned char *)buffer = (unsigned char)c;
		ahead = read_ahead(file) < size - 1 ? read_ahead(file) : size - 1;
		return 1 + (ssize_t)fread((char *)buffer + 1, 1, ahead, file);
	}
	/* As stdio does when it turns from writing to reading. */
	if (cookie->writes && fflush(file) != 0)
		return -1;
	n = wsf_cookie_read(cookie, buffer, size, WSF_READ_SOME);
	saved_errno = errno;
	/* Let stdio see a lasting end, too, so that feof and ferror tell. */
	if (n == 0 || (n < 0 && !read_goes_on(saved_errno)))
		(void)getc(file);
	errno = saved_errno;
	return n;
}

ssize_t ws_read_some(FILE *file, void *buffer, size_t size)
{
	struct wsf_cookie *cookie = wsf_cookie_find(file);
	ssize_t n;
	int cancel;

	if (cookie == NULL)
		return -1;
	/* Before it is looked at: its bits are changed under the lock. And no lock may be left behind. */
	cancel = wsf_cancel_off();
	flockfile(file);
	if (!cookie->reads) {
		errno = EBADF;
		n = -1;
	} else {
		n = size > 0 ? read_some(cookie, buffer, size) : 0;
	}
	funlockfile(file);
	wsf_cancel_back(cancel);
	return n;
}
