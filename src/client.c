/* SPDX-License-Identifier: 0BSD */
/* ws_fopen and its kin: one opener from URL to FILE. */
#include <errno.h>

#include "cancel.h"
#include "cookie.h"
#include "dial.h"
#include "opener.h"

static int dial_url(const char *url, const char *mode_text, bool pair, const struct ws_options *options,
    struct wsf_files *files, struct wsf_failure *failure)
{
	struct wsf_dialing dialing;
	struct wsf_stream *stream;
	struct wsf_mode mode;
	int rv;

	if ((rv = wsf_mode_parse(&mode, mode_text, failure)) != 0)
		return rv;
	if ((rv = wsf_dialing_begin(&dialing, url, options, failure)) != 0)
		return rv;
	rv = wsf_files_create(files, &mode, pair, wsf_options_get(dialing.options)->stdio_buffer_bytes);
	if (rv != 0)
		wsf_fail_errno(failure, -rv, "cannot make a stream");
	else if ((rv = wsf_dialing_open(&dialing, &mode, &stream, failure)) == 0)
		wsf_files_bind(files, stream);
	else
		wsf_files_drop(files);
	wsf_dialing_end(&dialing);
	return rv;
}

static int open_url(const char *url, const char *mode_text, bool pair, const struct ws_options *options,
    struct wsf_files *files, struct wsf_failure *failure)
{
	int cancel = wsf_cancel_off(), rv = dial_url(url, mode_text, pair, options, files, failure);

	wsf_cancel_back(cancel);
	return rv;
}

FILE *ws_fopen_with(const char *url, const char *mode, const struct ws_options *options)
{
	struct wsf_failure failure = { 0 };
	struct wsf_files files;

	if (open_url(url, mode, false, options, &files, &failure) != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return files.file[0];
}

FILE *ws_fopen(const char *url, const char *mode)
{
	return ws_fopen_with(url, mode, NULL);
}

int ws_fopen_pair(const char *url, const struct ws_options *options, FILE *half[2])
{
	struct wsf_failure failure = { 0 };
	struct wsf_files files;

	if (half == NULL)
		wsf_fail(&failure, EINVAL, "no place for the two streams");
	else if (open_url(url, "r+", true, options, &files, &failure) == 0) {
		half[0] = files.file[0];
		half[1] = files.file[1];
		return 0;
	}
	wsf_opener_failed(&failure);
	return -1;
}
