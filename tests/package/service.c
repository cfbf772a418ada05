/* SPDX-License-Identifier: 0BSD */
/* Calls both libraries that a user of <wsfile_lws.h> does, for test_install.py and test_subproject.py. */
#include <stdio.h>

#include <libwebsockets.h>
#include <wsfile.h>
#include <wsfile_lws.h>

int main(void)
{
	struct ws_listener *listener = ws_listen_lws("lines", NULL);

	if (listener == NULL)
		return 1;
	printf("%s %s\n", ws_lws_protocol(listener)->name, *lws_get_library_version() != '\0' ? "linked" : "");
	return ws_listener_close(listener);
}
