/* SPDX-License-Identifier: 0BSD */
/*
 * The close table of ws_fopen(3) as a judge of sessions: from what a fault proxy let pass to each end it derives what
 * that end may have read, written and been told by fclose. It knows no sockets and no streams.
 */
#ifndef FAULT_TABLE_H
#define FAULT_TABLE_H

#include "fault_session.h"

struct fault_verdict {
	bool good;			/* both ends are inside the table */
	bool relayed;			/* a receipt rests on the relay's own orderly end of TCP: see fault_table.c */
	char complaints[1024];		/* one a line */
};

void fault_judge(const struct fault_session *session, struct fault_verdict *verdict);

/* One line of what happened, for a complaint. */
void fault_describe(const struct fault_session *session, char *text, size_t room);

#endif
