/* SPDX-License-Identifier: 0BSD */
/* How a connection ended, in one line, and the end of its halves. */
#include "wspipe.h"

#include <errno.h>
#include <string.h>

void wspipe_verdict_set(struct wspipe_verdict *verdict, int error, const char *what, const char *why)
{
	if (verdict->broken)
		return;
	verdict->broken = true;
	verdict->error = error;
	snprintf(verdict->text, sizeof verdict->text, "%s%s%s", what, *what != '\0' ? ": " : "",
	    why ? why : strerror(error));
}

void wspipe_explain(FILE *half, int error, struct wspipe_verdict *verdict)
{
	struct ws_status status = WS_STATUS_INIT;

	if (ws_status(half, &status) == 0 && *status.error_text != '\0')
		wspipe_verdict_set(verdict, status.error, "", status.error_text);
	else
		wspipe_verdict_set(verdict, error, "", NULL);
}

void wspipe_explain_read(FILE *half, int error, struct wspipe_verdict *verdict)
{
	struct ws_status status = WS_STATUS_INIT;

	if (error == ETIMEDOUT && ws_status(half, &status) == 0 && status.error == 0)
		wspipe_verdict_set(verdict, error, "", "nothing received for as long as --read-timeout allows");
	else
		wspipe_explain(half, error, verdict);
}

void wspipe_explain_write(FILE *half, int error, struct wspipe_verdict *verdict)
{
	struct ws_status status = WS_STATUS_INIT;

	if (error == EILSEQ)
		wspipe_verdict_set(verdict, error, "",
		    "what was to be sent as text is not UTF-8; without -t any bytes will do");
	else if (error == EPIPE && ws_status(half, &status) == 0 && status.error == 0)
		wspipe_verdict_set(verdict, error, "", "the peer closed before it had received everything");
	else
		wspipe_explain(half, error, verdict);
}

void wspipe_note_peer(FILE *half, struct wspipe_verdict *verdict)
{
	struct ws_status status = WS_STATUS_INIT;

	*verdict = (struct wspipe_verdict){ .broken = false };
	if (ws_status(half, &status) != 0)
		return;
	verdict->stream_id = status.id;
	snprintf(verdict->peer, sizeof verdict->peer, "%s", status.peer_address);
	wspipe_say_connected(&status);
}

bool wspipe_cut_short(int error)
{
	return error == EPIPE && wspipe_stopping();
}

void wspipe_close_halves(FILE *half[2], struct wspipe_verdict *verdict)
{
	if (half[1] != half[0] && fclose(half[1]) != 0 && !wspipe_cut_short(errno))
		wspipe_explain(half[0], errno, verdict);
	if (fclose(half[0]) != 0 && !wspipe_cut_short(errno))
		wspipe_verdict_set(verdict, errno, "closing", NULL);
}

void wspipe_turn_away(FILE *half[2], unsigned code, const char *reason, struct wspipe_verdict *verdict)
{
	ws_shutdown(half[1], code, reason);
	wspipe_close_halves(half, verdict);
}
