/* SPDX-License-Identifier: 0BSD */
/* What observers of real connections are told, and what they may do. */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "wire.h"

#define NOTES_MAX 256

/* --- an observer that takes notes --- */

struct note {
	struct ws_event event;		/* what it points to is below */
	char payload[126], received[124], sent[124], text[200];
};

struct log {
	pthread_mutex_t lock;
	pthread_cond_t grown;
	int count;
	char story[NOTES_MAX + 1];	/* a letter for each event, see letter_of */
	struct note notes[NOTES_MAX];
	void (*act)(struct log *log, const struct ws_event *event);	/* called first; may be NULL */
	FILE *stream;			/* for act */
	sem_t entered, gate;
	atomic_bool acted;
};

static char letter_of(enum ws_event_type type)
{
	switch (type) {
	case WS_EVENT_OPEN:
		return 'O';
	case WS_EVENT_PING:
		return 'i';
	case WS_EVENT_PONG:
		return 'o';
	case WS_EVENT_CLOSE_RECEIVED:
		return 'R';
	case WS_EVENT_TEXT_REJECTED:
		return 'T';
	case WS_EVENT_PROTOCOL_ERROR:
		return 'P';
	case WS_EVENT_TRANSPORT_ERROR:
		return 'E';
	case WS_EVENT_CLOSED:
		return 'C';
	}
	return '?';
}

static void log_init(struct log *log)
{
	memset(log, 0, sizeof *log);
	ck_assert_int_eq(pthread_mutex_init(&log->lock, NULL), 0);
	ck_assert_int_eq(pthread_cond_init(&log->grown, NULL), 0);
	ck_assert_int_eq(sem_init(&log->entered, 0, 0), 0);
	ck_assert_int_eq(sem_init(&log->gate, 0, 0), 0);
}

static void observer(const struct ws_event *event, void *user)
{
	struct log *log = user;
	void (*act)(struct log *, const struct ws_event *);
	struct note *note;

	pthread_mutex_lock(&log->lock);
	act = log->act;
	pthread_mutex_unlock(&log->lock);
	if (act != NULL)
		act(log, event);
	pthread_mutex_lock(&log->lock);
	ck_assert_int_lt(log->count, NOTES_MAX);
	ck_assert_uint_eq(event->size, sizeof *event);
	ck_assert_uint_lt(event->payload_bytes, sizeof note->payload);
	note = &log->notes[log->count];
	note->event = *event;
	if (event->payload_bytes > 0)
		memcpy(note->payload, event->payload, event->payload_bytes);
	snprintf(note->received, sizeof note->received, "%s", event->close_reason_received);
	snprintf(note->sent, sizeof note->sent, "%s", event->close_reason_sent);
	snprintf(note->text, sizeof note->text, "%s", event->text);
	log->story[log->count++] = letter_of(event->type);
	pthread_cond_broadcast(&log->grown);
	pthread_mutex_unlock(&log->lock);
}

static void act_from_now_on(struct log *log, FILE *stream, void (*act)(struct log *log, const struct ws_event *event))
{
	pthread_mutex_lock(&log->lock);
	log->stream = stream;
	log->act = act;
	pthread_mutex_unlock(&log->lock);
}

/* Until so many events have come. Their notes do not change any more. */
static const struct note *wait_note(struct log *log, int number)
{
	pthread_mutex_lock(&log->lock);
	while (log->count <= number)
		pthread_cond_wait(&log->grown, &log->lock);
	pthread_mutex_unlock(&log->lock);
	return &log->notes[number];
}

static void expect_story(struct log *log, const char *story)
{
	pthread_mutex_lock(&log->lock);
	ck_assert_str_eq(log->story, story);
	pthread_mutex_unlock(&log->lock);
}

static struct ws_options watched_by(struct log *log)
{
	struct ws_options options = WS_OPTIONS_INIT;

	log_init(log);
	options.observer = observer;
	options.observer_user = log;
	return options;
}

static void open_watched(struct wire *wire, int role, struct log *log)
{
	struct ws_options options = watched_by(log);

	wire_open(wire, (enum wire_role)role, "r+", &options, 0);
}

static void end_well(struct wire *wire)
{
	wire_finish(wire, 1000);
	wire_fclose(wire, 0);
	wire_finished(wire);
	wire_end(wire);
}

static void pass(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		ck_assert_int_eq(errno, EINTR);
}

/* The last event says how it ended, and is there when fclose returns. */
static void expect_closed(struct log *log, unsigned sent, unsigned received, bool clean, int error)
{
	const struct note *last = &log->notes[log->count - 1];

	ck_assert_int_eq(last->event.type, WS_EVENT_CLOSED);
	ck_assert_uint_eq(last->event.close_code_sent, sent);
	ck_assert_uint_eq(last->event.close_code_received, received);
	ck_assert_int_eq(last->event.clean, clean);
	ck_assert_int_eq(last->event.error, error);
	ck_assert_int_eq(last->text[0] != '\0', error != 0);
	for (int i = 0; i < log->count; i++)
		ck_assert_uint_eq(log->notes[i].event.missed, 0);
}

/* --- what is told --- */

START_TEST(open_is_told_first_and_closed_last)
{
	struct ws_status status = WS_STATUS_INIT;
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(wait_note(&log, 0)->event.stream_id, status.id);
	end_well(&wire);
	expect_story(&log, "ORC");
	expect_closed(&log, 1000, 1000, true, 0);
	ck_assert_uint_eq(log.notes[2].event.stream_id, status.id);
}
END_TEST

START_TEST(ping_is_told_with_its_payload)
{
	static struct log log;
	struct peer_frame frame;
	const struct note *note;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wire_frame(&wire, PEER_PING, "in the middle", 13);
	note = wait_note(&log, 1);
	ck_assert_uint_eq(note->event.payload_bytes, 13);
	ck_assert_mem_eq(note->payload, "in the middle", 13);
	wire_frame(&wire, PEER_PING, "", 0);
	ck_assert_uint_eq(wait_note(&log, 2)->event.payload_bytes, 0);
	for (int i = 0; i < 2; i++) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PONG);
		peer_frame_clear(&frame);
	}
	end_well(&wire);
	expect_story(&log, "OiiRC");
}
END_TEST

START_TEST(pong_is_told_with_its_round_trip)
{
	struct ws_status status = WS_STATUS_INIT;
	static struct log log;
	struct peer_frame frame;
	const struct note *note;
	struct wire wire;

	open_watched(&wire, _i, &log);
	ck_assert_int_eq(ws_ping(wire.stream, "are you there", 13), 0);
	ck_assert(peer_read_frame(wire.peer, &frame));
	ck_assert_uint_eq(frame.byte0, PEER_PING);
	ck_assert_str_eq((char *)frame.payload, "are you there");
	wire_frame(&wire, PEER_PONG, frame.payload, frame.size);
	peer_frame_clear(&frame);
	note = wait_note(&log, 1);
	ck_assert_int_eq(note->event.type, WS_EVENT_PONG);
	ck_assert_mem_eq(note->payload, "are you there", 13);
	ck_assert_int_ge(note->event.round_trip_us, 0);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_uint_eq(status.round_trip_us, (uint64_t)note->event.round_trip_us);
	/* Nobody asked for this one. */
	wire_frame(&wire, PEER_PONG, "by the way", 10);
	note = wait_note(&log, 2);
	ck_assert_mem_eq(note->payload, "by the way", 10);
	ck_assert_int_eq(note->event.round_trip_us, -1);
	end_well(&wire);
	expect_story(&log, "OooRC");
}
END_TEST

START_TEST(close_is_told_with_code_and_reason)
{
	static struct log log;
	const struct note *note;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wire_goodbye(&wire, 3001, "enough");
	note = wait_note(&log, 1);
	ck_assert_int_eq(note->event.type, WS_EVENT_CLOSE_RECEIVED);
	ck_assert_uint_eq(note->event.close_code_received, 3001);
	ck_assert_str_eq(note->received, "enough");
	wire_finish(&wire, WIRE_NO_ANSWER);
	wire_fclose(&wire, ECONNABORTED);
	wire_finished(&wire);
	wire_end(&wire);
	expect_story(&log, "ORC");
	expect_closed(&log, 3001, 3001, false, ECONNABORTED);
	ck_assert_str_eq(log.notes[2].received, "enough");
}
END_TEST

START_TEST(closed_tells_our_own_code_and_reason)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wire_finish(&wire, 1000);
	ck_assert_int_eq(ws_shutdown(wire.stream, 4000, "we go"), 0);
	wire_expect_end(wire.stream, 0);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.close_code, 4000);
	wire_end(&wire);
	expect_story(&log, "ORC");
	expect_closed(&log, 4000, 1000, true, 0);
	ck_assert_str_eq(log.notes[2].sent, "we go");
	ck_assert_str_eq(log.notes[2].received, "");
}
END_TEST

static void end_by_fault(struct wire *wire, unsigned code, int error)
{
	wire_expect_end(wire->stream, error);
	ck_assert_uint_eq(peer_read_until_close(wire->peer, NULL, NULL), code);
	peer_fin(wire->peer);
	wire_fclose(wire, error);
	wire_end(wire);
}

START_TEST(refused_text_is_told)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wire_frame(&wire, PEER_TEXT, "text", 4);
	end_by_fault(&wire, 1003, EBADMSG);
	expect_story(&log, "OTC");
	expect_closed(&log, 1003, 0, false, EBADMSG);
}
END_TEST

START_TEST(broken_rule_is_told)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wire_frame(&wire, PEER_BINARY | 0x40, "x", 1);
	end_by_fault(&wire, 1002, EPROTO);
	expect_story(&log, "OPC");
	ck_assert_int_eq(log.notes[1].event.error, EPROTO);
	ck_assert_str_ne(log.notes[1].text, "");
	expect_closed(&log, 1002, 0, false, EPROTO);
}
END_TEST

START_TEST(broken_limit_is_told)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct wire wire;

	options.max_message_bytes = 4;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_frame(&wire, PEER_BINARY, "12345", 5);
	end_by_fault(&wire, 1009, EMSGSIZE);
	expect_story(&log, "OPC");
	ck_assert_int_eq(log.notes[1].event.error, EMSGSIZE);
	expect_closed(&log, 1009, 0, false, EMSGSIZE);
}
END_TEST

START_TEST(cut_is_told)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	peer_reset(wire.peer);
	wire.peer = -1;
	/* Told while the program does nothing. */
	wait_note(&log, 2);
	expect_story(&log, "OEC");
	ck_assert_int_eq(log.notes[1].event.error, ECONNRESET);
	ck_assert_str_ne(log.notes[1].text, "");
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
	expect_story(&log, "OEC");
	expect_closed(&log, 0, 0, false, ECONNRESET);
}
END_TEST

START_TEST(abort_is_told)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	ck_assert_int_eq(ws_abort(wire.stream), 0);
	wire_fclose(&wire, ECONNABORTED);
	wire_end(&wire);
	expect_story(&log, "OEC");
	ck_assert_int_eq(log.notes[1].event.error, ECONNABORTED);
	expect_closed(&log, 0, 0, false, ECONNABORTED);
}
END_TEST

/* The end came first: a write behind it fails, and neither fclose nor the status takes that for the reason. */
START_TEST(write_behind_a_cut_does_not_hide_the_cut)
{
	struct ws_status status = WS_STATUS_INIT;
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	peer_reset(wire.peer);
	wire.peer = -1;
	wait_note(&log, 2);
	wire_expect_unwritable(wire.stream, EPIPE);
	ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	ck_assert_int_eq(status.error, ECONNRESET);
	ck_assert_str_eq(status.error_text, log.notes[2].text);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
}
END_TEST

START_TEST(failed_write_is_told_in_words)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct wire wire;

	options.text_frames = true;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_finish(&wire, 1000);
	fputs("\xff", wire.stream);
	ck_assert_int_eq(fflush(wire.stream), EOF);
	ck_assert_int_eq(errno, EILSEQ);
	wire_fclose(&wire, EILSEQ);
	wire_finished(&wire);
	wire_end(&wire);
	expect_story(&log, "ORC");
	expect_closed(&log, 1011, 1000, false, EILSEQ);
}
END_TEST

START_TEST(both_ends_of_one_connection_are_told)
{
	static struct log client_log, server_log;
	struct ws_options client_options = watched_by(&client_log), server_options = watched_by(&server_log);
	struct ws_listener *listener;
	FILE *client, *server;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &server_options);
	ck_assert_ptr_nonnull(listener);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &client_options);
	ck_assert_ptr_nonnull(client);
	server = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(server);
	ck_assert_int_eq(ws_ping(client, "one", 3), 0);
	wait_note(&client_log, 1);
	ck_assert_int_eq(ws_ping(server, "two", 3), 0);
	wait_note(&server_log, 2);
	ck_assert_int_eq(ws_shutdown(client, 1001, "done"), 0);
	wire_expect_end(server, 0);
	ck_assert_int_eq(fclose(server), 0);
	ck_assert_int_eq(fclose(client), 0);
	ws_listener_close(listener);
	peer_count_end();
	expect_story(&client_log, "OoiRC");
	expect_story(&server_log, "OioRC");
	ck_assert_mem_eq(server_log.notes[1].payload, "one", 3);
	ck_assert_mem_eq(server_log.notes[2].payload, "two", 3);
	ck_assert_uint_eq(server_log.notes[3].event.close_code_received, 1001);
	ck_assert_str_eq(server_log.notes[4].received, "done");
	ck_assert_str_eq(client_log.notes[4].sent, "done");
	ck_assert(client_log.notes[4].event.clean && server_log.notes[4].event.clean);
}
END_TEST

/*
 * Its peer ended TCP behind its Close, while the program may still answer; then it is gone. The other stream, of the
 * same helper, shows that the end was seen.
 */
START_TEST(a_peer_that_goes_behind_its_close_is_told)
{
	static struct log log;
	struct wire wire, other;

	open_watched(&wire, _i, &log);
	wire_open(&other, (enum wire_role)_i, "r+", NULL, 0);
	wire_goodbye(&wire, 1000, NULL);
	peer_fin(wire.peer);
	wait_note(&log, 1);
	wire_say(&other, "there\n");
	wire_expect_line(other.stream, "there\n");
	peer_reset(wire.peer);
	wire.peer = -1;
	wait_note(&log, 2);
	expect_story(&log, "ORC");
	expect_closed(&log, 0, 1000, false, 0);
	end_well(&other);
	wire_expect_end(wire.stream, 0);
	ck_assert_int_eq(fclose(wire.stream), 0);
	wire_end(&wire);
	expect_story(&log, "ORC");
}
END_TEST

/* The peer is gone, and what it sent is left to whoever reads, when the program wants nothing of it any more. */
START_TEST(abort_of_what_is_left_is_told)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct ws_status status = WS_STATUS_INIT;
	static uint8_t data[65536];
	struct wire wire;

	options.recv_buffer_bytes = 4096;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	wire_frame(&wire, PEER_BINARY, data, sizeof data);
	peer_wait_sent(wire.peer);
	peer_reset(wire.peer);
	wire.peer = -1;
	while (status.bytes_received < 1024) {
		poll(NULL, 0, 1);
		ck_assert_int_eq(ws_status(wire.stream, &status), 0);
	}
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	ck_assert_int_eq(ws_abort(wire.stream), 0);
	wait_note(&log, 2);
	expect_story(&log, "OEC");
	wire_fclose(&wire, ECONNABORTED);
	wire_end(&wire);
	expect_story(&log, "OEC");
	expect_closed(&log, 0, 0, false, ECONNABORTED);
}
END_TEST

/* --- openings that fail --- */

struct refusal {
	int listener;
	const char *answer;		/* NULL = the connection is cut */
};

static void *refuse(void *argument)
{
	struct refusal *refusal = argument;
	int fd = peer_accept(refusal->listener);

	if (refusal->answer != NULL) {
		free(peer_serve_answer(fd, refusal->answer));
		peer_fin(fd);
		(void)peer_at_end(fd);
	} else {
		char head[4];

		/* In the middle of the request. */
		ck_assert_uint_eq(peer_recv(fd, head, sizeof head), sizeof head);
	}
	close(fd);
	return NULL;
}

static const char *const refusals[] = {
	"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
	"no HTTP\r\n\r\n",
	NULL,
};

START_TEST(failed_opening_is_told_before_it_returns)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct refusal refusal = { .answer = refusals[_i] };
	pthread_t thread;
	unsigned port;
	char url[64];
	int error;

	peer_count_begin();
	refusal.listener = peer_listen(&port);
	snprintf(url, sizeof url, "ws://127.0.0.1:%u/", port);
	peer_thread(&thread, refuse, &refusal);
	ck_assert_ptr_null(ws_fopen_with(url, "r+", &options));
	error = errno;
	expect_story(&log, "EC");
	ck_assert_int_eq(log.notes[0].event.error, error);
	ck_assert_str_ne(log.notes[0].text, "");
	expect_closed(&log, 0, 0, false, error);
	peer_join(thread);
	close(refusal.listener);
	peer_count_end();
}
END_TEST

START_TEST(opening_that_reaches_nobody_is_told)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	int error;

	peer_count_begin();
	ck_assert_ptr_null(ws_fopen_with("ws+unix:///nonexistent/socket", "r+", &options));
	error = errno;
	expect_story(&log, "EC");
	ck_assert_int_eq(log.notes[0].event.error, error);
	ck_assert_uint_eq(log.notes[0].event.stream_id, 0);
	expect_closed(&log, 0, 0, false, error);
	peer_count_end();
}
END_TEST

static void nothing(int signal)
{
	(void)signal;
}

static void *accept_and_close(void *argument)
{
	sigset_t all;
	FILE *stream;

	sigfillset(&all);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	while ((stream = ws_accept(argument, "r+")) != NULL)
		(void)fclose(stream);
	return NULL;
}

/* At every moment of the handshake: either it was opened, or it was not. */
START_TEST(interrupted_opening_is_told_once)
{
	const struct itimerval off = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = nothing };
	struct ws_options quick = WS_OPTIONS_INIT, options;
	struct ws_listener *listener;
	static struct log log;
	pthread_t thread;
	FILE *stream;

	peer_count_begin();
	quick.close_timeout_ms = 0;
	listener = ws_listen("ws://127.0.0.1:0/", &quick);
	ck_assert_ptr_nonnull(listener);
	peer_thread(&thread, accept_and_close, listener);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	for (int i = 0; i < 1000; i++) {
		const struct itimerval soon = { { 0, 0 }, { 0, 30 + i % 300 } };

		options = watched_by(&log);
		options.close_timeout_ms = 0;
		setitimer(ITIMER_REAL, &soon, NULL);
		stream = ws_fopen_with(ws_listener_url(listener), "r+", &options);
		setitimer(ITIMER_REAL, &off, NULL);
		if (stream != NULL)
			(void)fclose(stream);
		else
			expect_story(&log, "EC");
		ck_assert_ptr_eq(strchr(log.story, 'C'), &log.story[log.count - 1]);
	}
	/* Before the listener goes: the thread may be about to accept again. */
	(void)ws_listener_stop(listener, 0);
	peer_join(thread);
	ws_listener_close(listener);
	peer_count_end();
}
END_TEST

static void open_in_vain(struct log *log, const struct ws_event *event)
{
	struct ws_options options = WS_OPTIONS_INIT;

	if (event->type != WS_EVENT_PING)
		return;
	options.observer = observer;
	options.observer_user = log;
	ck_assert_ptr_null(ws_fopen_with("ws+unix:///nonexistent/socket", "r+", &options));
	atomic_store(&log->acted, true);
}

/* The observing thread itself opens: its own events can't wait for it. */
START_TEST(failed_opening_from_inside_is_told_before_it_returns)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, open_in_vain);
	wire_frame(&wire, PEER_PING, "x", 1);
	wait_note(&log, 3);
	ck_assert(atomic_load(&log.acted));
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	expect_story(&log, "OECiRC");
}
END_TEST

/* --- coming and going --- */

START_TEST(late_observer_is_told_what_comes_from_then_on)
{
	static struct log first, late, both;
	struct peer_frame frame;
	struct wire wire;

	open_watched(&wire, _i, &first);
	wire_frame(&wire, PEER_PING, "1", 1);
	wait_note(&first, 1);
	log_init(&late);
	log_init(&both);
	ck_assert_int_eq(ws_observe(wire.stream, WS_EVENT_ALL, observer, &late), 0);
	ck_assert_int_eq(ws_observe(wire.stream, WS_EVENT_ALL, observer, &both), 0);
	wire_frame(&wire, PEER_PING, "2", 1);
	ck_assert_mem_eq(wait_note(&late, 0)->payload, "2", 1);
	wait_note(&first, 2);
	wait_note(&both, 0);
	ck_assert_int_eq(ws_observe(wire.stream, 0, observer, &first), 0);
	ck_assert_int_eq(ws_observe(wire.stream, WS_EVENT_CLOSED, observer, &both), 0);
	wire_frame(&wire, PEER_PING, "3", 1);
	wait_note(&late, 1);
	for (int i = 0; i < 3; i++) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		peer_frame_clear(&frame);
	}
	end_well(&wire);
	expect_story(&first, "Oii");
	expect_story(&late, "iiRC");
	expect_story(&both, "iC");
}
END_TEST

START_TEST(observer_of_what_is_over_is_told_closed_alone)
{
	static struct log log;
	struct wire wire;

	log_init(&log);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	peer_reset(wire.peer);
	wire.peer = -1;
	wire_wait_state(wire.stream, WS_STATE_CLOSED);
	ck_assert_int_eq(ws_observe(wire.stream, WS_EVENT_ALL, observer, &log), 0);
	wait_note(&log, 0);
	wire_fclose(&wire, ECONNRESET);
	wire_end(&wire);
	expect_story(&log, "C");
	expect_closed(&log, 0, 0, false, ECONNRESET);
}
END_TEST

START_TEST(either_half_of_a_pair_is_the_same_stream)
{
	static struct log log, other;
	struct wire wire;

	log_init(&log);
	log_init(&other);
	wire_open_pair(&wire, (enum wire_role)_i, NULL, 0);
	ck_assert_int_eq(ws_observe(wire.half[0], WS_EVENT_ALL, observer, &log), 0);
	ck_assert_int_eq(ws_observe(wire.half[1], WS_EVENT_ALL, observer, &other), 0);
	ck_assert_int_eq(ws_observe(wire.half[1], WS_EVENT_CLOSED, observer, &log), 0);
	wire_finish(&wire, 1000);
	wire_fclose_half(&wire, 1, 0);
	wire_fclose_half(&wire, 0, 0);
	wire_finished(&wire);
	wire_end(&wire);
	expect_story(&log, "C");
	expect_story(&other, "RC");
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *foreign = tmpfile();
	static struct log log;
	struct wire wire;

	ck_assert_ptr_nonnull(foreign);
	open_watched(&wire, _i, &log);
	errno = 0;
	ck_assert_int_eq(ws_observe(NULL, WS_EVENT_ALL, observer, &log), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(ws_observe(foreign, WS_EVENT_ALL, observer, &log), -1);
	ck_assert_int_eq(errno, EBADF);
	errno = 0;
	ck_assert_int_eq(ws_observe(wire.stream, WS_EVENT_ALL, NULL, &log), -1);
	ck_assert_int_eq(errno, EINVAL);
	errno = 0;
	ck_assert_int_eq(ws_observe(wire.stream, 0x100, observer, &log), -1);
	ck_assert_int_eq(errno, EINVAL);
	errno = 0;
	ck_assert_int_eq(ws_observe(wire.stream, 0, observer, NULL), -1);
	ck_assert_int_eq(errno, ENOENT);
	options.observer = observer;
	options.observer_mask = 0x100;
	errno = 0;
	ck_assert_ptr_null(ws_fopen_with("ws://127.0.0.1:1/", "r+", &options));
	ck_assert_int_eq(errno, EINVAL);
	end_well(&wire);
	fclose(foreign);
	expect_story(&log, "ORC");
}
END_TEST

/* --- from inside --- */

#define EXPECT_EDEADLK(failed) \
	do { \
		errno = 0; \
		ck_assert(failed); \
		ck_assert_int_eq(errno, EDEADLK); \
		clearerr(log->stream); \
	} while (0)

static void read_inside(struct log *log, const struct ws_event *event)
{
	char line[16];

	if (event->type != WS_EVENT_PING)
		return;
	EXPECT_EDEADLK(fgets(line, sizeof line, log->stream) == NULL);
	EXPECT_EDEADLK(ws_read_some(log->stream, line, sizeof line) == -1);
	atomic_store(&log->acted, true);
}

START_TEST(reading_from_inside_is_EDEADLK_and_loses_nothing)
{
	static struct log log;
	struct peer_frame frame;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, read_inside);
	wire_say(&wire, "a line\n");
	wire_wait_received(wire.stream, 7);
	wire_frame(&wire, PEER_PING, "x", 1);
	wait_note(&log, 1);
	ck_assert(atomic_load(&log.acted));
	wire_expect_line(wire.stream, "a line\n");
	ck_assert(peer_read_frame(wire.peer, &frame));
	peer_frame_clear(&frame);
	end_well(&wire);
	expect_story(&log, "OiRC");
}
END_TEST

static void steer_inside(struct log *log, const struct ws_event *event)
{
	struct ws_status status = WS_STATUS_INIT;

	if (event->type != WS_EVENT_PING)
		return;
	EXPECT_EDEADLK(ws_shutdown(log->stream, 1000, NULL) == -1);
	EXPECT_EDEADLK(ws_drain(log->stream, -1) == -1);
	EXPECT_EDEADLK(ws_write_some(log->stream, "x", 1) == -1);
	ck_assert_int_eq(ws_status(log->stream, &status), 0);
	ck_assert_uint_eq(status.id, event->stream_id);
	ck_assert_int_eq(ws_ping(log->stream, "back", 4), 0);
	ck_assert_int_eq(ws_observe(log->stream, WS_EVENT_PING, observer, log), 0);
	ck_assert_int_eq(ws_observe(log->stream, 0, observer, log), 0);
	atomic_store(&log->acted, true);
}

START_TEST(what_may_be_called_from_inside_works_and_the_rest_is_EDEADLK)
{
	static struct log log;
	struct peer_frame frame;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, steer_inside);
	wire_frame(&wire, PEER_PING, "x", 1);
	wait_note(&log, 1);
	ck_assert(atomic_load(&log.acted));
	for (int i = 0; i < 2; i++) {
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, i == 0 ? PEER_PONG : PEER_PING);
		peer_frame_clear(&frame);
	}
	end_well(&wire);
	expect_story(&log, "Oi");
}
END_TEST

static void write_inside(struct log *log, const struct ws_event *event)
{
	if (event->type != WS_EVENT_PING)
		return;
	errno = 0;
	ck_assert(fputs("x", log->stream) == EOF || fflush(log->stream) == EOF);
	ck_assert_int_eq(errno, EDEADLK);
	atomic_store(&log->acted, true);
}

START_TEST(writing_from_inside_is_EDEADLK)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, write_inside);
	wire_frame(&wire, PEER_PING, "x", 1);
	wait_note(&log, 1);
	ck_assert(atomic_load(&log.acted));
	wire_finish(&wire, 1000);
	/* Whether a failed write was final is not this test's; nothing of it went out, and the end is bounded. */
	(void)fclose(wire.stream);
	wire_finished(&wire);
	ck_assert_uint_eq(wire.size, 0);
	wire_end(&wire);
	ck_assert_int_eq(log.story[log.count - 1], 'C');
}
END_TEST

static void close_inside(struct log *log, const struct ws_event *event)
{
	if (event->type != WS_EVENT_PING)
		return;
	errno = 0;
	ck_assert_int_eq(fclose(log->stream), EOF);
	ck_assert_int_eq(errno, EDEADLK);
	atomic_store(&log->acted, true);
}

/* wire_end sees that no descriptor and no thread is left. */
START_TEST(closing_from_inside_is_EDEADLK_and_frees_the_stream)
{
	static struct log log;
	struct wire wire;
	int count;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, close_inside);
	wire_frame(&wire, PEER_PING, "x", 1);
	wire_finish(&wire, 1000);
	for (count = 1; wait_note(&log, count)->event.type != WS_EVENT_CLOSED; count++)
		;
	ck_assert(atomic_load(&log.acted));
	wire_finished(&wire);
	wire_end(&wire);
	ck_assert_int_eq(log.count, count + 1);
}
END_TEST

static void close_at_closed(struct log *log, const struct ws_event *event)
{
	if (event->type != WS_EVENT_CLOSED)
		return;
	errno = 0;
	ck_assert_int_eq(fclose(log->stream), EOF);
	ck_assert_int_eq(errno, EDEADLK);
}

START_TEST(closing_from_inside_closed_frees_the_stream)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, close_at_closed);
	peer_reset(wire.peer);
	wire.peer = -1;
	wait_note(&log, 2);
	wire_end(&wire);
	expect_story(&log, "OEC");
}
END_TEST

static struct ws_listener *second_listener;
static struct log second_log;

static void use_another(struct log *log, const struct ws_event *event)
{
	struct ws_options options = WS_OPTIONS_INIT;
	FILE *stream;

	if (event->type != WS_EVENT_PING)
		return;
	options.observer = observer;
	options.observer_user = &second_log;
	stream = ws_fopen_with(ws_listener_url(second_listener), "r+", &options);
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(ws_ping(stream, "", 0), 0);
	wire_expect_line(stream, "from there\n");
	ck_assert_int_eq(fclose(stream), 0);
	/* This thread has delivered them itself, inside fclose. */
	expect_story(&second_log, "OoRC");
	atomic_store(&log->acted, true);
}

START_TEST(another_stream_can_be_opened_used_and_closed_from_inside)
{
	static struct log log;
	struct wire wire;
	FILE *stream;

	log_init(&second_log);
	open_watched(&wire, _i, &log);
	second_listener = ws_listen("ws://127.0.0.1:0/", NULL);
	ck_assert_ptr_nonnull(second_listener);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, use_another);
	wire_frame(&wire, PEER_PING, "x", 1);
	stream = ws_accept(second_listener, "r+");
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_gt(fputs("from there\n", stream), 0);
	ck_assert_int_eq(fflush(stream), 0);
	wire_expect_end(stream, 0);
	ck_assert_int_eq(fclose(stream), 0);
	wait_note(&log, 1);
	ck_assert(atomic_load(&log.acted));
	ws_listener_close(second_listener);
	wire_finish(&wire, 1000);
	wire_fclose(&wire, 0);
	wire_finished(&wire);
	wire_end(&wire);
	expect_story(&log, "OiRC");
}
END_TEST

static void abort_inside(struct log *log, const struct ws_event *event)
{
	if (event->type == WS_EVENT_PING)
		ck_assert_int_eq(ws_abort(log->stream), 0);
}

START_TEST(abort_from_inside_cuts)
{
	static struct log log;
	struct wire wire;

	open_watched(&wire, _i, &log);
	wait_note(&log, 0);
	act_from_now_on(&log, wire.stream, abort_inside);
	wire_frame(&wire, PEER_PING, "x", 1);
	wire_expect_end(wire.stream, ECONNABORTED);
	wire_fclose(&wire, ECONNABORTED);
	wire_end(&wire);
	expect_story(&log, "OiEC");
}
END_TEST

/* --- slow ones --- */

static void block_at_open(struct log *log, const struct ws_event *event)
{
	if (event->type != WS_EVENT_OPEN)
		return;
	sem_post(&log->entered);
	pass(&log->gate);
}

static void pass_lines(struct wire *wire)
{
	struct peer_frame frame;

	for (int i = 0; i < 10; i++) {
		wire_say(wire, "there\n");
		wire_expect_line(wire->stream, "there\n");
		ck_assert_int_gt(fputs("back\n", wire->stream), 0);
		ck_assert_int_eq(fflush(wire->stream), 0);
		ck_assert(peer_read_frame(wire->peer, &frame));
		ck_assert_str_eq((char *)frame.payload, "back\n");
		peer_frame_clear(&frame);
	}
}

/* Its own stream's data, pongs and those of others go on; what it can't hear meanwhile is bounded and counted. */
START_TEST(slow_observer_delays_events_alone)
{
	const int pings = 100, kept = 64;
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct peer_frame frame;
	struct wire wire, other;

	log.act = block_at_open;
	wire_open(&wire, (enum wire_role)_i, "r+", &options, 0);
	pass(&log.entered);
	pass_lines(&wire);
	for (int i = 0; i < pings; i++) {
		wire_frame(&wire, PEER_PING, "x", 1);
		ck_assert(peer_read_frame(wire.peer, &frame));
		ck_assert_uint_eq(frame.byte0, PEER_PONG);
		peer_frame_clear(&frame);
	}
	wire_open(&other, (enum wire_role)_i, "r+", NULL, 0);
	pass_lines(&other);
	end_well(&other);
	pass_lines(&wire);
	expect_story(&log, "");
	sem_post(&log.gate);
	end_well(&wire);
	ck_assert_int_eq(log.count, kept + 3);
	ck_assert_int_eq(log.notes[1].event.type, WS_EVENT_PING);
	ck_assert_uint_eq(log.notes[1].event.missed, (unsigned)(pings - kept));
	ck_assert_int_eq(log.notes[kept + 2].event.type, WS_EVENT_CLOSED);
}
END_TEST

/* The peer of the first connection goes while its observer is blocked, and nobody has accepted it. */
START_TEST(slow_observer_of_what_nobody_accepted_delays_no_other)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct ws_listener *listener;
	struct wire wire;
	unsigned port;
	int fd;

	log.act = block_at_open;
	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	fd = peer_connect(port);
	peer_client_handshake(fd, port, "/", "");
	pass(&log.entered);
	peer_reset(fd);
	wire_open(&wire, (enum wire_role)_i, "r+", NULL, 0);
	pass_lines(&wire);
	end_well(&wire);
	sem_post(&log.gate);
	wait_note(&log, 2);
	ws_listener_close(listener);
	peer_count_end();
	expect_story(&log, "OEC");
}
END_TEST

START_TEST(listener_that_closes_tells_of_what_nobody_accepted)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct ws_listener *listener;
	unsigned port;
	int fd;

	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	fd = peer_connect(port);
	peer_client_handshake(fd, port, "/", "");
	wait_note(&log, 0);
	ws_listener_close(listener);
	ck_assert_int_ge(log.count, 2);
	ck_assert_int_eq(log.story[0], 'O');
	ck_assert_ptr_eq(strchr(log.story, 'C'), &log.story[log.count - 1]);
	ck_assert_uint_eq(log.notes[log.count - 1].event.close_code_sent, 1001);
	close(fd);
	peer_count_end();
}
END_TEST

static void *close_listener(void *argument)
{
	ws_listener_close(argument);
	return NULL;
}

/* Its observer is blocked, and its listener closes, which waits for that; nobody else does. */
START_TEST(slow_observer_of_what_is_turned_away_delays_no_other)
{
	static struct log log;
	struct ws_options options = watched_by(&log);
	struct ws_listener *listener;
	pthread_t closing;
	struct wire wire;
	unsigned port;
	int fd;

	log.act = block_at_open;
	peer_count_begin();
	listener = ws_listen("ws://127.0.0.1:0/", &options);
	ck_assert_ptr_nonnull(listener);
	port = peer_url_port(ws_listener_url(listener));
	fd = peer_connect(port);
	peer_client_handshake(fd, port, "/", "");
	pass(&log.entered);
	if (_i / WIRE_ROLES == 1) {
		peer_reset(fd);
		fd = -1;
	}
	wire_open(&wire, (enum wire_role)(_i % WIRE_ROLES), "r+", NULL, 0);
	peer_thread(&closing, close_listener, listener);
	if (fd >= 0) {
		ck_assert_uint_eq(peer_read_until_close(fd, NULL, NULL), 1001);
		ck_assert(peer_at_end(fd));
		close(fd);
	}
	pass_lines(&wire);
	end_well(&wire);
	expect_story(&log, "");
	sem_post(&log.gate);
	peer_join(closing);
	ck_assert_ptr_eq(strchr(log.story, 'C'), &log.story[log.count - 1]);
	peer_count_end();
}
END_TEST

/* --- many --- */

#define CROWD 4
#define CROWD_ROUNDS 8
#define CROWD_PINGS 20

struct crowd {
	struct log server, client;
};

static void use_both_ends(struct ws_listener *listener, struct log *client_log, struct log *server_log)
{
	struct ws_options options = watched_by(client_log);
	FILE *client, *server;
	int pongs = 0;

	log_init(server_log);
	client = ws_fopen_with(ws_listener_url(listener), "r+", &options);
	ck_assert_ptr_nonnull(client);
	server = ws_accept(listener, "r+");
	ck_assert_ptr_nonnull(server);
	ck_assert_int_eq(ws_observe(server, WS_EVENT_ALL, observer, server_log), 0);
	for (int i = 0; i < CROWD_PINGS; i++) {
		ck_assert_int_eq(ws_ping(client, "x", 1), 0);
		ck_assert_int_gt(fputs("line\n", client), 0);
		ck_assert_int_eq(fflush(client), 0);
		wire_expect_line(server, "line\n");
		if (i == CROWD_PINGS / 2)
			ck_assert_int_eq(ws_observe(server, WS_EVENT_CLOSED, observer, server_log), 0);
	}
	ck_assert_int_eq(ws_shutdown(client, 1000, NULL), 0);
	wire_expect_end(server, 0);
	ck_assert_int_eq(fclose(server), 0);
	ck_assert_int_eq(fclose(client), 0);
	for (int i = 0; i < client_log->count; i++)
		pongs += client_log->story[i] == 'o';
	ck_assert_int_eq(client_log->story[0], 'O');
	ck_assert_int_gt(pongs, 0);
	ck_assert_int_eq(client_log->count, pongs + 3);
	ck_assert_ptr_eq(strchr(client_log->story, 'C'), &client_log->story[client_log->count - 1]);
	ck_assert_ptr_eq(strchr(server_log->story, 'C'), &server_log->story[server_log->count - 1]);
}

static void *use_streams(void *argument)
{
	struct crowd *crowd = argument;
	struct ws_listener *listener;

	for (int i = 0; i < CROWD_ROUNDS; i++) {
		listener = ws_listen("ws://127.0.0.1:0/", NULL);
		ck_assert_ptr_nonnull(listener);
		use_both_ends(listener, &crowd->client, &crowd->server);
		ws_listener_close(listener);
	}
	return NULL;
}

START_TEST(many_observed_streams_in_many_threads)
{
	static struct crowd crowds[CROWD];
	pthread_t threads[CROWD];

	peer_count_begin();
	for (int i = 0; i < CROWD; i++)
		peer_thread(&threads[i], use_streams, &crowds[i]);
	for (int i = 0; i < CROWD; i++)
		peer_join(threads[i]);
	peer_count_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("observe_stream");
	TCase *told = wire_case(suite, "told"), *failed = wire_case(suite, "failed");
	TCase *come = wire_case(suite, "come and go"), *inside = wire_case(suite, "inside");
	TCase *slow = wire_case(suite, "slow"), *many = wire_case(suite, "many");

	tcase_add_loop_test(told, open_is_told_first_and_closed_last, 0, WIRE_ROLES);
	tcase_add_loop_test(told, ping_is_told_with_its_payload, 0, WIRE_ROLES);
	tcase_add_loop_test(told, pong_is_told_with_its_round_trip, 0, WIRE_ROLES);
	tcase_add_loop_test(told, close_is_told_with_code_and_reason, 0, WIRE_ROLES);
	tcase_add_loop_test(told, closed_tells_our_own_code_and_reason, 0, WIRE_ROLES);
	tcase_add_loop_test(told, refused_text_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, broken_rule_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, broken_limit_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, cut_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, abort_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, write_behind_a_cut_does_not_hide_the_cut, 0, WIRE_ROLES);
	tcase_add_loop_test(told, failed_write_is_told_in_words, 0, WIRE_ROLES);
	tcase_add_loop_test(told, abort_of_what_is_left_is_told, 0, WIRE_ROLES);
	tcase_add_loop_test(told, a_peer_that_goes_behind_its_close_is_told, 0, WIRE_ROLES);
	tcase_add_test(told, both_ends_of_one_connection_are_told);
	tcase_add_loop_test(failed, failed_opening_is_told_before_it_returns, 0,
	    (int)(sizeof refusals / sizeof refusals[0]));
	tcase_add_test(failed, opening_that_reaches_nobody_is_told);
	tcase_add_test(failed, interrupted_opening_is_told_once);
	tcase_add_loop_test(failed, failed_opening_from_inside_is_told_before_it_returns, 0, WIRE_ROLES);
	tcase_add_loop_test(come, late_observer_is_told_what_comes_from_then_on, 0, WIRE_ROLES);
	tcase_add_loop_test(come, observer_of_what_is_over_is_told_closed_alone, 0, WIRE_ROLES);
	tcase_add_loop_test(come, either_half_of_a_pair_is_the_same_stream, 0, WIRE_ROLES);
	tcase_add_loop_test(come, bad_arguments_change_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, reading_from_inside_is_EDEADLK_and_loses_nothing, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, what_may_be_called_from_inside_works_and_the_rest_is_EDEADLK, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, writing_from_inside_is_EDEADLK, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, closing_from_inside_is_EDEADLK_and_frees_the_stream, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, closing_from_inside_closed_frees_the_stream, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, another_stream_can_be_opened_used_and_closed_from_inside, 0, WIRE_ROLES);
	tcase_add_loop_test(inside, abort_from_inside_cuts, 0, WIRE_ROLES);
	tcase_add_loop_test(slow, slow_observer_delays_events_alone, 0, WIRE_ROLES);
	tcase_add_loop_test(slow, slow_observer_of_what_nobody_accepted_delays_no_other, 0, WIRE_ROLES);
	tcase_add_test(slow, listener_that_closes_tells_of_what_nobody_accepted);
	tcase_add_loop_test(slow, slow_observer_of_what_is_turned_away_delays_no_other, 0, 2 * WIRE_ROLES);
	tcase_add_test(many, many_observed_streams_in_many_threads);
	return wire_run(suite);
}
