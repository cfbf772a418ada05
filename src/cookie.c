/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#ifdef __linux__
#include <stdio_ext.h>
#endif

#include "cancel.h"
#include "cookie.h"
#include "cookie_private.h"
#include "process.h"
#include "wait.h"

/*
 * The position that every seek reports. glibc rounds it down to a multiple of the buffer's size, which leaves a power
 * of two as it is, and no program asks for it by itself.
 */
#define POSITION (INT64_C(1) << 40)

/* --- what the C library calls --- */

/*
 * glibc remembers a position once a seek told one, and later turns fseek(f, 0, SEEK_CUR) into a seek to a block's start
 * and a read from there, which no stream can do. It has no position of a stream that never sought: make it so again.
 */
static void forget_position(struct wsf_cookie *cookie)
{
	cookie->just_sought = false;
#ifdef __GLIBC__
	cookie->file->_offset = -1;
#endif
}

/* What each read and each write begins with. Returns 0 or -EBADF. */
static int begin(struct wsf_cookie *cookie, bool goes_there)
{
	forget_position(cookie);
	if (!goes_there || wsf_cookie_inherited(cookie))
		return -EBADF;
	wsf_cookie_warm_up(cookie);
	return 0;
}

/* Whether stdio fills its own buffer, from which bytes can come back, or goes past it for a long fread. */
static enum wsf_read_kind read_kind(FILE *file, const char *buffer, size_t size)
{
#if defined(__GLIBC__)
	(void)size;
	return buffer == file->_IO_buf_base ? WSF_READ_KEEP : WSF_READ_ALL;
#elif defined(__linux__)
	(void)buffer;
	/* One byte of an unbuffered stream can come back, too: by ungetc. */
	return size <= 1 || size <= __fbufsize(file) ? WSF_READ_KEEP : WSF_READ_SOME;
#else
	(void)size;
	return (const unsigned char *)buffer == file->_bf._base ? WSF_READ_KEEP : WSF_READ_SOME;
#endif
}

ssize_t wsf_cookie_read(struct wsf_cookie *cookie, char *buffer, size_t size, enum wsf_read_kind kind)
{
	ssize_t n;
	int cancel;

	if (begin(cookie, cookie->reads) != 0) {
		errno = EBADF;
		return -1;
	}
	if (wsf_stream_observing(cookie->stream)) {
		errno = EDEADLK;
		return -1;
	}
	/* Nothing in a buffer of our own counts before it is filled again. */
	if (kind == WSF_READ_KEEP && cookie->mapped_kib > 0 && buffer == cookie->buffer)
		kind = WSF_READ_FILL;
	cancel = wsf_cancel_off();
	n = wsf_stream_read(cookie->stream, buffer, size, kind);
	wsf_cancel_back(cancel);
	if (n < 0) {
		errno = (int)-n;
		return -1;
	}
	return n;
}

/*
 * Whether fclose has begun: its flush comes before the close cookie and must not outlast close_timeout_ms either. glibc
 * takes the FILE off its list first; elsewhere only write_timeout_ms bounds that flush.
 */
static int64_t write_until_ns(struct wsf_cookie *cookie)
{
#ifdef __GLIBC__
	if ((cookie->file->_flags & 0x80) == 0 && cookie->closing_until_ns == 0)
		cookie->closing_until_ns = wsf_stream_closing_until_ns(cookie->stream);
#endif
	return cookie->closing_until_ns != 0 ? cookie->closing_until_ns : WSF_NO_DEADLINE;
}

/* fopencookie(3): 0 is glibc's error, -1 is not looked at in every place; libbsd's funopen passes it on. */
#ifdef __GLIBC__
#define WRITE_FAILED 0
#else
#define WRITE_FAILED (-1)
#endif

static ssize_t do_write(struct wsf_cookie *cookie, const char *buffer, size_t size)
{
	ssize_t n;
	int cancel;

	if (begin(cookie, cookie->writes) != 0) {
		errno = EBADF;
		return WRITE_FAILED;
	}
	cancel = wsf_cancel_off();
	n = wsf_stream_write(cookie->stream, buffer, size, write_until_ns(cookie));
	wsf_cancel_back(cancel);
	if (n < 0) {
		errno = (int)-n;
		return WRITE_FAILED;
	}
	return n;
}

ssize_t wsf_cookie_write_some(struct wsf_cookie *cookie, const void *buffer, size_t size)
{
	int rv = begin(cookie, cookie->writes);

	if (rv != 0)
		return rv;
	return wsf_stream_write_some(cookie->stream, buffer, size);
}

#ifdef __GLIBC__
/*
 * Whether this seek only gives back what stdio has read ahead: for ISO C's switch between reading and writing, and for
 * what stdio does by itself when a write follows unread input (it is putting already then, and its word is taken).
 */
static bool gives_back(const struct wsf_cookie *cookie, int64_t back)
{
	const FILE *file = cookie->file;

	return (file->_flags & 0x800) != 0 || back == file->_IO_read_end - file->_IO_read_ptr;
}
#elif defined(__linux__)
/* musl takes off what it has read ahead before it asks: whatever else comes is a way to another place. */
static bool gives_back(const struct wsf_cookie *cookie, int64_t back)
{
	return back == (int64_t)__freadahead(cookie->file);
}
#else
static bool gives_back(const struct wsf_cookie *cookie, int64_t back)
{
	(void)cookie;
	return back >= 0;
}
#endif

/* A stream has no positions to go to. Returns 0 or -1. */
static int do_seek(struct wsf_cookie *cookie, int64_t offset, int whence)
{
	if (wsf_cookie_inherited(cookie)) {
		errno = EBADF;
		return -1;
	}
	if (whence == SEEK_CUR && offset <= 0 && gives_back(cookie, -offset) &&
	    (offset == 0 || wsf_stream_unread(cookie->stream, (size_t)-offset) == 0)) {
		cookie->just_sought = true;
		return 0;
	}
	/* glibc's second fseek(f, 0, SEEK_CUR) in a row. */
	if (whence == SEEK_SET && offset == POSITION && cookie->just_sought)
		return 0;
	errno = ESPIPE;
	return -1;
}

static bool last_half(const struct wsf_cookie *cookie)
{
	if (cookie->halves == NULL)
		return true;
	if (atomic_fetch_sub(cookie->halves, 1) != 1)
		return false;
	free(cookie->halves);
	return true;
}

static int close_stream(struct wsf_cookie *cookie)
{
	bool inside = wsf_stream_observing(cookie->stream);
	int rv = 0;

	/* While this half still counts: when the last one has closed, the helper thread may be gone. */
	if (cookie->halves != NULL && cookie->writes)
		rv = wsf_stream_shutdown(cookie->stream, 1000, NULL);
	else if (cookie->halves != NULL)
		wsf_stream_stop_reading(cookie->stream);
	if (last_half(cookie)) {
		/* At exit the process's end takes the rest; and others may hold the stream. */
		if (wsf_process_over())
			return wsf_stream_conclude(cookie->stream,
			    wsf_process_over_ns() + wsf_stream_ending_ns(cookie->stream));
		if (inside) {
			wsf_stream_abandon(cookie->stream);
			return -EDEADLK;
		}
		if (cookie->closing_until_ns == 0)
			cookie->closing_until_ns = wsf_stream_closing_until_ns(cookie->stream);
		return wsf_stream_close(cookie->stream, cookie->closing_until_ns);
	}
	wsf_stream_unref(cookie->stream);
	/* A Close sent before is no failure of this one. */
	return rv == -EPIPE ? 0 : rv;
}

static int do_close(struct wsf_cookie *cookie)
{
	int saved_errno = errno, cancel = wsf_cancel_off(), rv = 0;

	wsf_cookie_unregister(cookie);
	wsf_cookie_forget_warm(cookie);
	if (wsf_cookie_inherited(cookie))
		rv = -EBADF;
	else if (cookie->stream != NULL)
		rv = close_stream(cookie);
	else
		(void)last_half(cookie);
	wsf_cookie_buffer_free(cookie);
	free(cookie);
	wsf_cancel_back(cancel);
	errno = rv < 0 ? -rv : saved_errno;
	return rv < 0 ? -1 : 0;
}

#ifdef WSF_FOPENCOOKIE

static ssize_t cookie_read(void *cookie, char *buffer, size_t size)
{
	return wsf_cookie_read(cookie, buffer, size, read_kind(((struct wsf_cookie *)cookie)->file, buffer, size));
}

static ssize_t cookie_write(void *cookie, const char *buffer, size_t size)
{
	return do_write(cookie, buffer, size);
}

/* off_t: musl has no off64_t since 1.2.4, and Meson makes off_t one of 64 bits everywhere. */
static int cookie_seek(void *cookie, off_t *offset, int whence)
{
	int rv = do_seek(cookie, *offset, whence);

	*offset = POSITION;
	return rv;
}

static int cookie_close(void *cookie)
{
	return do_close(cookie);
}

static FILE *open_file(struct wsf_cookie *cookie, const char *mode)
{
	const cookie_io_functions_t functions = {
		.read = cookie_read,
		.write = cookie_write,
		.seek = cookie_seek,
		.close = cookie_close,
	};

	return fopencookie(cookie, mode, functions);
}

#else /* funopen: BSD, macOS, libbsd */

static int fun_read(void *cookie, char *buffer, int size)
{
	return (int)wsf_cookie_read(cookie, buffer, (size_t)size,
	    read_kind(((struct wsf_cookie *)cookie)->file, buffer, (size_t)size));
}

static int fun_write(void *cookie, const char *buffer, int size)
{
	return (int)do_write(cookie, buffer, (size_t)size);
}

/* Where it is an fpos_t (FreeBSD, OpenBSD, macOS), that is an off_t. */
static off_t fun_seek(void *cookie, off_t offset, int whence)
{
	return do_seek(cookie, offset, whence) == 0 ? (off_t)POSITION : -1;
}

static int fun_close(void *cookie)
{
	return do_close(cookie);
}

static FILE *open_file(struct wsf_cookie *cookie, const char *mode)
{
	(void)mode;
	return funopen(cookie, cookie->reads ? fun_read : NULL, cookie->writes ? fun_write : NULL, fun_seek, fun_close);
}

#endif

/* --- files --- */

static struct wsf_cookie *cookie_create(const char *mode, bool reads, bool writes, atomic_uint *halves,
    size_t buffer_bytes)
{
	struct wsf_cookie *cookie = calloc(1, sizeof *cookie);

	if (cookie == NULL)
		return NULL;
	cookie->reads = reads;
	cookie->writes = writes;
	cookie->halves = halves;
	if (wsf_cookie_buffer_create(cookie, buffer_bytes) != 0)
		goto fail;
	cookie->file = open_file(cookie, mode);
	if (cookie->file == NULL)
		goto fail;
	setvbuf(cookie->file, cookie->buffer, buffer_bytes > 0 ? _IOFBF : _IONBF, buffer_bytes);
	wsf_cookie_buffer_bind(cookie);
	wsf_cookie_register(cookie);
	return cookie;
fail:
	wsf_cookie_buffer_free(cookie);
	free(cookie);
	return NULL;
}

int wsf_files_create(struct wsf_files *files, const struct wsf_mode *mode, bool pair, size_t stdio_buffer_bytes)
{
	atomic_uint *halves = pair ? malloc(sizeof *halves) : NULL;
	struct wsf_cookie *first, *second = NULL;

	if (pair && halves == NULL)
		return -ENOMEM;
	/* The failure of the second half would free the count with the first. */
	if (pair)
		atomic_init(halves, 2);
	first = cookie_create(pair ? "r" : mode->stdio, mode->read, mode->write && !pair, halves, stdio_buffer_bytes);
	if (first == NULL) {
		free(halves);
		return -ENOMEM;
	}
	if (pair && (second = cookie_create("w", false, true, halves, stdio_buffer_bytes)) == NULL) {
		atomic_store(halves, 1);
		fclose(first->file);
		return -ENOMEM;
	}
	*files = (struct wsf_files){
		.file = { first->file, second != NULL ? second->file : NULL },
		.cookie = { first, second },
	};
	return 0;
}

void wsf_files_bind(struct wsf_files *files, struct wsf_stream *stream)
{
	wsf_cookie_bind(files->cookie[0], stream);
	if (files->cookie[1] != NULL)
		wsf_cookie_bind(files->cookie[1], wsf_stream_ref(stream));
}

void wsf_files_drop(struct wsf_files *files)
{
	for (int i = 0; i < 2; i++)
		if (files->file[i] != NULL)
			fclose(files->file[i]);
}
