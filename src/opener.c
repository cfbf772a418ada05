/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "opener.h"
#include "wsfile.h"

static _Thread_local struct wsf_failure last_failure;
static _Thread_local struct ws_error last_error;

/* What to do about it, behind what happened. */
static void advise(struct wsf_failure *failure)
{
	size_t size = strlen(failure->text), room = sizeof failure->text - size;
	struct rlimit limit;

	if (failure->error == ENFILE)
		snprintf(failure->text + size, room, ": the system has no descriptor left");
	else if (failure->error == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(failure->text + size, room,
		    ": no descriptor left (limit %ju): raise RLIMIT_NOFILE, see ulimit -n", (uintmax_t)limit.rlim_cur);
}

void wsf_opener_failed(const struct wsf_failure *failure)
{
	last_failure = *failure;
	advise(&last_failure);
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
