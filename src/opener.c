/* SPDX-License-Identifier: 0BSD */
#include <errno.h>

#include "opener.h"
#include "wsfile.h"

static _Thread_local struct wsf_failure last_failure;
static _Thread_local struct ws_error last_error;

void wsf_opener_failed(const struct wsf_failure *failure)
{
	last_failure = *failure;
	errno = failure->error;
}

const struct ws_error *ws_last_error(void)
{
	last_error = (struct ws_error){
		.error = last_failure.error,
		.http_status = last_failure.http_status,
		.text = last_failure.text,
	};
	return &last_error;
}

const char *ws_close_code_name(unsigned code)
{
	return wsf_close_code_name(code);
}

const char *ws_version(void)
{
	return WSFILE_VERSION;
}
