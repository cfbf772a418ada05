/* SPDX-License-Identifier: 0BSD */
/* What every client's opener does around wsf_dial. */
#include "dial.h"

int wsf_dialing_begin(struct wsf_dialing *dialing, const char *url, const struct ws_options *options,
    struct wsf_failure *failure)
{
	char reason[sizeof failure->text];
	int rv = wsf_options_copy(&dialing->options, options, failure);

	if (rv != 0)
		return rv;
	rv = wsf_url_parse(&dialing->url, url, WSF_URL_CONNECT, reason, sizeof reason);
	if (rv != 0) {
		wsf_fail(failure, -rv, "%s", reason);
		wsf_options_unref(dialing->options);
		return rv;
	}
	rv = wsf_service_acquire(&dialing->service, wsf_options_get(dialing->options)->helper_threads);
	if (rv != 0) {
		wsf_fail_errno(failure, -rv, "cannot start the helper threads");
		dialing->service = NULL;
		wsf_dialing_end(dialing);
	}
	return rv;
}

int wsf_dialing_open(struct wsf_dialing *dialing, const struct wsf_mode *mode, struct wsf_stream **stream,
    struct wsf_failure *failure)
{
	int rv = wsf_dial(dialing->service, &dialing->url, dialing->options, stream, failure);

	if (rv != 0)
		return rv;
	wsf_stream_take(*stream, mode, wsf_service_leave, dialing->service);
	dialing->service = NULL;
	return 0;
}

void wsf_dialing_end(struct wsf_dialing *dialing)
{
	if (dialing->service != NULL)
		wsf_service_release(dialing->service);
	wsf_url_clear(&dialing->url);
	wsf_options_unref(dialing->options);
}
