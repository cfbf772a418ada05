/* SPDX-License-Identifier: 0BSD */
/* Reading what is there and writing what fits, beside stdio and in step with it. */
#include <errno.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif

#include "control_private.h"
#include "wsfile.h"

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

size_t wsf_stdio_unread(FILE *file)
{
	size_t unread = read_ahead(file);

#if defined(__GLIBC__)
	/* What stdio had before the first ungetc is put aside meanwhile. */
	if (has_pushed_back(file))
		unread += (size_t)(file->_IO_save_end - file->_IO_save_base);
	/* What a write follows is given back with the flush, and can be read then. */
	if ((file->_flags & 0x800) != 0 && file->_IO_read_end > file->_IO_write_base)
		unread += (size_t)(file->_IO_read_end - file->_IO_write_base);
#endif
	return unread;
}

static bool goes_on(int error)
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
			return ferror(file) ? -errno : 0;
		*(unsigned char *)buffer = (unsigned char)c;
		ahead = read_ahead(file) < size - 1 ? read_ahead(file) : size - 1;
		return 1 + (ssize_t)fread((char *)buffer + 1, 1, ahead, file);
	}
	/* As stdio does when it turns from writing to reading. */
	if (cookie->writes && fflush(file) != 0)
		return -errno;
	n = wsf_cookie_read(cookie, buffer, size, WSF_READ_SOME);
	saved_errno = errno;
	/* Let stdio see a lasting end, too, so that feof and ferror tell. */
	if (n == 0 || (n < 0 && !goes_on(saved_errno)))
		(void)getc(file);
	return n < 0 ? -saved_errno : n;
}

/* Neither is left to the caller to clear: nothing was lost. */
static ssize_t write_some(struct wsf_cookie *cookie, const void *buffer, size_t size)
{
	if (fflush(cookie->file) != 0)
		return -errno;
	return wsf_cookie_write_some(cookie, buffer, size);
}

static ssize_t returned(ssize_t rv)
{
	return rv < 0 ? wsf_returned((int)rv) : rv;
}

ssize_t ws_read_some(FILE *file, void *buffer, size_t size)
{
	struct wsf_held held;
	ssize_t rv = wsf_hold(&held, file, WSF_READ_HALF);

	if (rv == 0) {
		rv = size > 0 ? read_some(held.cookie, buffer, size) : 0;
		wsf_let_go(&held);
	}
	return returned(rv);
}

ssize_t ws_write_some(FILE *file, const void *buffer, size_t size)
{
	struct wsf_held held;
	ssize_t rv = wsf_hold(&held, file, WSF_WRITE_HALF);

	if (rv == 0) {
		rv = size > 0 ? write_some(held.cookie, buffer, size) : 0;
		wsf_let_go(&held);
	}
	return returned(rv);
}
