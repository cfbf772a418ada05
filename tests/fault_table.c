/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fault_table.h"

/* What came to an end, last of all. */
enum situation { GOODBYE, TROUBLE, CUT, SILENCE };

/*
 * The rows of the table that a network can bring about. fclose may also be 0, see receipt; or EPIPE, where it is EPIPE
 * that a write has failed with.
 */
static const struct row {
	const char *what;
	int read_error;			/* what the reader gets behind all data; 0 = EOF */
	int close_error;		/* fclose, where there is no receipt */
} rows[] = {
	[GOODBYE] = { "the peer's Close passed whole", 0, ECONNRESET },
	[TROUBLE] = { "the peer's Close passed whole, with an error's code", ECONNABORTED, ECONNABORTED },
	[CUT] = { "TCP ended without a Close", ECONNRESET, ECONNRESET },
	/* Only in a session that is hurried: nothing ends the others. */
	[SILENCE] = { "nothing came any more", ETIMEDOUT, ETIMEDOUT },
};

/* Why the client could not be opened, by what it was told. A reset may tell its name to the request's send. */
static const int open_errors[][2] = {
	[FAULT_PASS] = { ETIMEDOUT },
	[FAULT_FIN] = { EPROTO, ECONNRESET },
	[FAULT_RESET] = { ECONNRESET, EPROTO },
	[FAULT_STALL] = { ETIMEDOUT },
};

struct judge {
	const struct fault_session *session;
	struct fault_verdict *verdict;
	enum fault_flow flow;		/* the one that leads to the end that is judged */
	const struct fault_end *end, *peer;
	const struct fault_view *in, *out;	/* what passed to it, and what passed of its own */
};

static const char *const names[FAULT_FLOWS] = { [TO_SERVER] = "server", [TO_CLIENT] = "client" };

static enum fault_flow other(enum fault_flow flow)
{
	return flow == TO_SERVER ? TO_CLIENT : TO_SERVER;
}

__attribute__((format(printf, 2, 3)))
static void complain(struct judge *judge, const char *format, ...)
{
	char *text = judge->verdict->complaints;
	size_t room = sizeof judge->verdict->complaints, used = strlen(text);
	va_list arguments;

	judge->verdict->good = false;
	snprintf(text + used, room - used, "  the %s: ", names[judge->flow]);
	used = strlen(text);
	va_start(arguments, format);
	vsnprintf(text + used, room - used, format, arguments);
	va_end(arguments);
	used = strlen(text);
	snprintf(text + used, room - used, "\n");
}

/* Short time limits may pass by themselves, on a busy machine. */
static bool ran_out(const struct judge *judge, int error)
{
	return judge->session->hurried && error == ETIMEDOUT;
}

static enum situation situation_of(const struct judge *judge)
{
	unsigned code = judge->in->close_code;
	enum fault_kind told = judge->session->records[judge->flow].told;

	if (code != 0)
		return code == 1000 || code == 1001 || code == 1005 ? GOODBYE : TROUBLE;
	return told == FAULT_FIN || told == FAULT_RESET ? CUT : SILENCE;
}

/* --- opening --- */

static void judge_opening(struct judge *judge)
{
	const struct fault_end *end = judge->end;
	enum fault_kind told = judge->session->records[judge->flow].told;

	if (end->stale)
		complain(judge, "accepted a connection whose request had not come whole");
	if (end->opened && !judge->in->opened)
		complain(judge, "is open, and the handshake did not pass whole");
	if (end->opened || judge->flow == TO_SERVER)
		return;
	if (judge->in->opened && !ran_out(judge, end->open_error))
		complain(judge, "is not open (%s), and the handshake passed whole", strerror(end->open_error));
	else if (!judge->in->opened && !ran_out(judge, end->open_error) &&
	    !(judge->in->refused && end->open_error == ECONNABORTED) &&
	    end->open_error != open_errors[told][0] && end->open_error != open_errors[told][1])
		complain(judge, "could not be opened: %s", strerror(end->open_error));
}

/* --- reading --- */

/* What passed is what the peer wrote, from its beginning, and what was read is from the beginning of that. */
static void judge_data(struct judge *judge)
{
	const struct bytes *passed = &judge->in->data;

	if (judge->in->wrong != NULL)
		complain(judge, "the peer sent %s", judge->in->wrong);
	if (judge->in->more)
		complain(judge, "the peer sent something behind its Close");
	if (passed->size > judge->peer->tried_bytes)
		complain(judge, "%zu bytes of %zu that were written", passed->size, judge->peer->tried_bytes);
	for (size_t i = 0; i < passed->size; i++)
		if (passed->data[i] != fault_byte(judge->flow, i)) {
			complain(judge, "the peer sent wrong bytes from %zu on", i);
			break;
		}
	if (judge->end->wrong)
		complain(judge, "read bytes that were not written there");
	if (judge->end->read_bytes > passed->size)
		complain(judge, "read %zu bytes of %zu that came", judge->end->read_bytes, passed->size);
}

static void judge_reading(struct judge *judge)
{
	const struct fault_end *end = judge->end;
	const struct row *row = &rows[situation_of(judge)];

	if (end->gave_up && !judge->session->hurried)
		complain(judge, "a read timed out that has no limit");
	if (!end->read_to_the_end || end->gave_up)
		return;
	if (end->read_error != row->read_error && !ran_out(judge, end->read_error))
		complain(judge, "%s, and the read said %s", row->what,
		    end->read_error == 0 ? "EOF" : strerror(end->read_error));
	if (end->read_bytes < judge->in->data.size)
		complain(judge, "read only %zu of %zu bytes that came", end->read_bytes, judge->in->data.size);
	if (end->unsteady)
		complain(judge, "another read went on behind the end");
	if (end->read_error != 0 && end->probe_error != EPIPE)
		complain(judge, "a write behind the end: %s", end->probe_error == 0 ? "passed" :
		    strerror(end->probe_error));
}

/* --- fclose --- */

/*
 * fclose may say 0: the peer's Close has come, and the peer has everything and our Close. Or we have written nothing,
 * and the peer has ended TCP behind its Close.
 *
 * Where the peer has not closed in answer to us, only TCP says that it has our Close: by acknowledging it, and by its
 * orderly end. A relay between that ends TCP connections, as this proxy does, says both in its own name, and lies where
 * it then loses what it has taken. ws_fopen(3) and ws_tls(7) say so.
 */
static bool receipt(struct judge *judge)
{
	const struct fault_record *out = &judge->session->records[other(judge->flow)];
	enum fault_kind told = judge->session->records[judge->flow].told;
	bool crossed = judge->session->script->first < 0, lost = out->told != FAULT_PASS;

	if (judge->in->close_code == 0)
		return false;
	if (judge->out->close_code != 0 && judge->out->data.size == judge->end->tried_bytes)
		return true;
	if (judge->end->tried_bytes == 0 && told != FAULT_STALL)
		return true;
	judge->verdict->relayed = lost && (crossed || told == FAULT_FIN);
	return judge->verdict->relayed;
}

static void judge_closing(struct judge *judge)
{
	const struct fault_end *end = judge->end;
	const struct row *row = &rows[situation_of(judge)];
	bool answered = judge->session->script->first == (int)judge->flow && judge->in->close_code != 0 &&
	    judge->out->close_code != 0 && judge->peer->read_to_the_end && judge->peer->read_error == 0;

	if (!end->opened)
		return;
	if (end->close_error == 0 && !receipt(judge))
		complain(judge, "fclose said 0; %s, of %zu bytes %zu came, %s Close", row->what, end->tried_bytes,
		    judge->out->data.size, judge->out->close_code != 0 ? "and our" : "but not our");
	if (end->close_error == 0)
		return;
	if (answered && !ran_out(judge, end->close_error))
		complain(judge, "fclose: %s, and our Close was answered", strerror(end->close_error));
	else if (end->close_error != row->close_error && !ran_out(judge, end->close_error) &&
	    !(end->close_error == EPIPE && end->write_error == EPIPE))
		complain(judge, "%s, and fclose: %s", row->what, strerror(end->close_error));
	if (end->write_error != 0 && end->write_error != EPIPE)
		complain(judge, "a write: %s", strerror(end->write_error));
	if (end->read_to_the_end && end->read_error != 0 && !end->gave_up && end->close_error != end->read_error)
		complain(judge, "read: %s, but fclose: %s", strerror(end->read_error), strerror(end->close_error));
}

/* --- all --- */

/* Where nothing was broken, nothing may break. */
static void judge_whole(struct judge *judge)
{
	const struct fault_end *end = judge->end;

	if (judge->session->fired || judge->session->hurried)
		return;
	if (!end->opened)
		complain(judge, "is not open: %s", strerror(end->open_error));
	else if (end->close_error != 0 || end->wrote_bytes != end->tried_bytes ||
	    (end->read_to_the_end && end->read_bytes != judge->peer->tried_bytes))
		complain(judge, "wrote %zu of %zu, read %zu of %zu, fclose %s", end->wrote_bytes, end->tried_bytes,
		    end->read_bytes, judge->peer->tried_bytes, strerror(end->close_error));
}

void fault_judge(const struct fault_session *session, struct fault_verdict *verdict)
{
	*verdict = (struct fault_verdict){ .good = true };
	for (enum fault_flow flow = 0; flow < FAULT_FLOWS; flow++) {
		struct judge judge = { session, verdict, flow, &session->ends[flow], &session->ends[other(flow)],
			&session->views[flow], &session->views[other(flow)] };

		judge_opening(&judge);
		judge_data(&judge);
		judge_reading(&judge);
		judge_closing(&judge);
		judge_whole(&judge);
	}
}

void fault_describe(const struct fault_session *session, char *text, size_t room)
{
	static const char *const kinds[] = { "pass", "FIN", "RST", "stall" };
	const struct fault_plan *plan = &session->plan;
	const struct fault_record *records = session->records;
	const struct fault_end *ends = session->ends;

	snprintf(text, room, "%s%s, byte %zu to the %s, %s ahead, %s behind%s\n"
	    "  to the server %zu of %zu taken, told %s, Close %u; to the client %zu of %zu, told %s, Close %u\n"
	    "  server: open %d, wrote %zu, read %zu, end %d %s, fclose %s\n"
	    "  client: open %d, wrote %zu, read %zu, end %d %s, fclose %s\n",
	    session->secure ? "wss, " : "", session->script->name, plan->at, names[plan->flow], kinds[plan->ahead],
	    kinds[plan->behind], session->fired ? "" : " (not reached)",
	    records[TO_SERVER].passed.size, records[TO_SERVER].taken_bytes, kinds[records[TO_SERVER].told],
	    session->views[TO_SERVER].close_code, records[TO_CLIENT].passed.size, records[TO_CLIENT].taken_bytes,
	    kinds[records[TO_CLIENT].told], session->views[TO_CLIENT].close_code,
	    ends[TO_SERVER].opened, ends[TO_SERVER].wrote_bytes, ends[TO_SERVER].read_bytes,
	    ends[TO_SERVER].read_to_the_end, strerror(ends[TO_SERVER].read_error),
	    strerror(ends[TO_SERVER].close_error), ends[TO_CLIENT].opened, ends[TO_CLIENT].wrote_bytes,
	    ends[TO_CLIENT].read_bytes, ends[TO_CLIENT].read_to_the_end, strerror(ends[TO_CLIENT].read_error),
	    strerror(ends[TO_CLIENT].close_error));
}
