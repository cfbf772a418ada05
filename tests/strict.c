/* SPDX-License-Identifier: 0BSD */
/* Cases and connections of the strictness suite, and the run of a case of frames. */
#include "strict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pki.h"

#define PATIENCE_MS 60000
/* Up to here a case is sent byte by byte, from here on in larger pieces. */
#define BYTES_MAX 2500
#define CHOPS_MAX ((size_t)1 << 20)
#define BEHIND_MAX 65536

struct strict strict;

/* --- cases --- */

/* Of all processes of the run. */
struct counts {
	atomic_uint cases, connections;
};

static struct counts *counts;
static char case_name[512];
static const char *way_name = "";

static const char *role_name(void)
{
	return strict.role == LIBRARY_IS_CLIENT ? "client" : "server";
}

static const char *transport_name(void)
{
	return strict.secure ? "wss" : "ws";
}

bool strict_count_begin(void)
{
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return counts != MAP_FAILED;
}

void strict_count_end(void)
{
	printf("strict: %u cases, %s, %s (%u connections)\n", atomic_load(&counts->cases), role_name(),
	    transport_name(), atomic_load(&counts->connections));
	munmap(counts, sizeof *counts);
}

void strict_fail(const char *format, ...)
{
	char text[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	ck_abort_msg("%s; %s, %s%s: %s", case_name, role_name(), transport_name(), way_name, text);
}

void strict_case_begin(const char *section, int row, const char *text, const char *source)
{
	snprintf(case_name, sizeof case_name, "%s.%d %s (%s)", section, row + 1, text, source);
	way_name = "";
	peer_count_begin();
}

void strict_case_end(void)
{
	peer_count_end();
	atomic_fetch_add(&counts->cases, 1);
}

void strict_way_is(enum strict_way way)
{
	static const char *const names[STRICT_WAYS] = { ", in one piece", ", behind the handshake", ", frame by frame",
		", byte by byte", ", in pieces" };

	way_name = names[way];
}

TCase *strict_tcase(Suite *suite, const char *name)
{
	return wire_case(suite, name);
}

/* --- a place to connect to --- */

struct ws_options strict_options(void)
{
	struct ws_options options = WS_OPTIONS_INIT;

	options.proxy = "";
	options.handshake_timeout_ms = options.close_timeout_ms = options.linger_ms = PATIENCE_MS;
	options.ping_interval_ms = -1;
	return options;
}

void strict_listen(struct strict_link *link, const struct ws_options *options)
{
	*link = (struct strict_link){ .options = *options, .peer_listener = -1 };
	if (strict.role == LIBRARY_IS_CLIENT) {
		if (strict.secure)
			link->options.ca_file = pki_file("ca.pem");
		link->peer_listener = peer_listen(&link->port);
		return;
	}
	if (strict.secure)
		link->options.cert_file = pki_file("both.pem");
	link->listener = ws_listen(strict.secure ? "wss://127.0.0.1:0/" : "ws://127.0.0.1:0/", &link->options);
	strict_insist(link->listener != NULL, "%s", ws_last_error()->text);
	link->port = peer_url_port(ws_listener_url(link->listener));
}

void strict_unlisten(struct strict_link *link)
{
	if (link->peer_listener >= 0)
		close(link->peer_listener);
	ws_listener_close(link->listener);
}

FILE *strict_stream(struct strict_link *link, const char *mode)
{
	char url[64];

	if (link->listener != NULL)
		return ws_accept(link->listener, mode);
	snprintf(url, sizeof url, strict.secure ? "wss://localhost:%u/" : "ws://127.0.0.1:%u/", link->port);
	return ws_fopen_with(url, mode, &link->options);
}

/* --- the peer's end --- */

static SSL_CTX *context;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;

/* One for all of a process's connections, so that a test need not read its files again and again. */
static void make_context(void)
{
	struct tls_setup setup = { 0 };

	if (strict.role == LIBRARY_IS_CLIENT) {
		setup.cert_file = pki_file("server.pem");
		setup.key_file = pki_file("server.key");
	}
	context = tls_context(strict.role == LIBRARY_IS_CLIENT, &setup);
}

static void *run_peer(void *argument)
{
	struct strict_peer *peer = argument;
	bool server = strict.role == LIBRARY_IS_CLIENT;
	int fd = server ? peer_accept(peer->link->peer_listener) : peer_connect(peer->link->port);
	const struct tls_setup setup = { .plain = !strict.secure, .context = context };

	strict_insist(tls_peer_try_open(&peer->tls, fd, server, &setup), "TLS of the peer: %s", peer->tls.error);
	peer->body(peer);
	return NULL;
}

void strict_begin(struct strict_peer *peer, struct strict_link *link, void (*body)(struct strict_peer *peer),
    void *argument)
{
	if (strict.secure)
		pthread_once(&context_once, make_context);
	peer->link = link;
	peer->body = body;
	peer->argument = argument;
	atomic_fetch_add(&counts->connections, 1);
	peer_thread(&peer->thread, run_peer, peer);
}

void strict_join(struct strict_peer *peer)
{
	peer_join(peer->thread);
}

void strict_clear(struct strict_peer *peer)
{
	tls_peer_clear(&peer->tls);
	strict_codec_free(peer->codec);
	free(peer->request);
	duo_clear(&peer->message);
	duo_clear(&peer->pongs);
	duo_clear(&peer->data);
}

/* --- steps --- */

static void put_frame(const struct strict_step *step, unsigned byte0, const void *payload, size_t size, bool mask,
    struct duo_bytes *wire)
{
	struct duo_piece piece = step->piece;

	piece.byte0 = byte0;
	piece.payload = payload;
	piece.size = size;
	duo_put(wire, mask, &piece);
}

/* The payload of a step; NULL where it is the step's own. */
static uint8_t *make_fill(const struct strict_step *step, size_t offset)
{
	uint8_t *payload = step->fill_bytes > 0 ? malloc(step->fill_bytes) : NULL;

	strict_insist(payload != NULL || step->fill_bytes == 0, "out of memory");
	if (step->fill_bytes > 0 && (step->piece.byte0 & 0x0f) == 2)
		wire_pattern(offset, payload, step->fill_bytes);
	for (size_t i = 0; (step->piece.byte0 & 0x0f) != 2 && i < step->fill_bytes; i++)
		payload[i] = (uint8_t)('!' + i % 89);
	return payload;
}

static void put_cut(const struct strict_step *step, const uint8_t *payload, size_t size, bool mask,
    struct duo_bytes *wire)
{
	unsigned opcode = step->piece.byte0 & 0x0f;
	size_t part;

	for (size_t done = 0; done < size; done += part) {
		part = size - done <= step->cut_bytes ? size - done : step->cut_bytes;
		put_frame(step, (done == 0 ? opcode : 0) | (part == size - done ? step->piece.byte0 & 0x80 : 0),
		    payload + done, part, mask, wire);
	}
}

static void put_once(const struct strict_step *step, bool mask, struct duo_bytes *wire, struct duo_bytes *data)
{
	uint8_t *fill = make_fill(step, data->size);
	const uint8_t *payload = fill != NULL ? fill : (const uint8_t *)step->piece.payload;
	size_t size = fill != NULL ? step->fill_bytes : step->piece.size;

	if (step->raw)
		duo_append(wire, payload, size);
	else if (step->cut_bytes > 0)
		put_cut(step, payload, size, mask, wire);
	else
		put_frame(step, step->piece.byte0, payload, size, mask, wire);
	if (step->gives != NULL)
		duo_append(data, step->gives, step->gives_bytes);
	else if (!step->raw && (step->piece.byte0 & 8) == 0)
		duo_append(data, payload, step->lost ? step->keep_bytes : size);
	free(fill);
}

void strict_put_step(const struct strict_step *step, bool mask, struct duo_bytes *wire, struct duo_bytes *data)
{
	for (unsigned i = 0; i < (step->times > 0 ? step->times : 1); i++)
		put_once(step, mask, wire, data);
}

/* --- a case of frames --- */

struct play {
	const struct strict_frames *one;
	enum strict_way way;
	struct duo_bytes ready;		/* not yet sent */
	bool opened;
};

static void send_ready(struct strict_peer *peer, struct play *play)
{
	bool behind = play->way == STRICT_BEHIND_HANDSHAKE && !play->opened;

	if (!play->opened)
		strict_handshake(peer, behind ? &play->ready : NULL);
	if (!behind)
		strict_send_in(peer, &play->ready, play->way);
	play->opened = true;
	play->ready.size = 0;
}

static bool is_close(const struct strict_step *step)
{
	return step->piece.byte0 == PEER_CLOSE && !step->raw && !step->lost;
}

static bool closes(const struct strict_frames *one)
{
	for (const struct strict_step *step = one->steps; step->piece.payload != NULL; step++) {
		if (is_close(step))
			return true;
	}
	return false;
}

static void play(struct strict_peer *peer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8"), after = P(PEER_BINARY, "after");
	struct play *play = peer->argument;
	const struct strict_frames *one = play->one;
	struct duo_bytes unused = { NULL, 0, 0 };
	bool mask = !peer->tls.server, silent = one->silent || one->fin;

	for (const struct strict_step *step = one->steps; step->piece.payload != NULL; step++) {
		strict_put_step(step, mask, &play->ready, &unused);
		if (!step->await)
			continue;
		send_ready(peer, play);
		strict_take_pong(peer, step->piece.payload, step->piece.size);
	}
	if (!silent && (one->error != 0 || closes(one)))
		strict_put_step(&after, mask, &play->ready, &unused);
	else if (!silent)
		strict_put_step(&goodbye, mask, &play->ready, &unused);
	send_ready(peer, play);
	if (one->fin)
		strict_fin(peer);
	strict_take_to_close(peer);
	strict_take_end(peer, one->error == 0);
	duo_clear(&unused);
	duo_clear(&play->ready);
}

static void check_read(const struct duo_bytes *got, const struct duo_bytes *want, int error, int want_error)
{
	size_t same = 0;

	while (same < got->size && same < want->size && got->data[same] == want->data[same])
		same++;
	strict_insist(same == got->size && same == want->size, "read %zu bytes, not %zu, as right up to %zu: \"%.*s\"",
	    got->size, want->size, same, got->size > 200 ? 200 : (int)got->size,
	    got->size > 0 ? (const char *)got->data : "");
	strict_insist(error == want_error, "the reader got %s, not %s", strerror(error), strerror(want_error));
}

/* An error stays, and nothing can be written any more. */
static void check_finished(FILE *stream, int error)
{
	char byte;

	clearerr(stream);
	errno = 0;
	strict_insist(fread(&byte, 1, 1, stream) == 0 && ferror(stream) && errno == error, "a second read got %s",
	    strerror(errno));
	clearerr(stream);
	errno = 0;
	strict_insist(fputs("more", stream) == EOF || fflush(stream) == EOF, "more can be written");
	strict_insist(errno == EPIPE, "a write got %s", strerror(errno));
}

static void check_status(FILE *stream, const struct strict_frames *one)
{
	unsigned received = one->received != 0 ? one->received : one->error == 0 ? 1000 : 0;
	const char *reason = one->reason != NULL ? one->reason : "";
	struct ws_status status = WS_STATUS_INIT;

	strict_insist(ws_status(stream, &status) == 0, "ws_status: %s", strerror(errno));
	strict_insist(status.error == one->error, "the status tells %s", strerror(status.error));
	strict_insist((status.error_text[0] != '\0') == (one->error != 0), "the status says \"%s\"", status.error_text);
	strict_insist(status.close_code_received == received, "a Close with %u is said to have come, not %u",
	    status.close_code_received, received);
	strict_insist(strcmp(status.close_reason_received, reason) == 0, "the reason is said to be \"%s\"",
	    status.close_reason_received);
}

static void check_closed(FILE *stream, int error)
{
	int result, got;

	errno = 0;
	result = fclose(stream);
	got = errno;
	if (error == 0)
		strict_insist(result == 0, "fclose: %s", strerror(got));
	else
		strict_insist(result == EOF && got == error, "fclose: %d, %s, not %s", result, strerror(got),
		    strerror(error));
}

/* Each pong is a ping's, in their order, and the last ping was answered where all ended well. */
static void check_pongs(const struct strict_peer *peer, const struct strict_frames *one)
{
	size_t at = 0, answered = 1;

	for (const struct strict_step *step = one->steps; step->piece.payload != NULL && !is_close(step); step++) {
		if (step->piece.byte0 != PEER_PING || step->lost || step->raw)
			continue;
		for (unsigned i = 0; i < (step->times > 0 ? step->times : 1); i++) {
			answered = at < peer->pongs.size && peer->pongs.data[at] == step->piece.size &&
			    memcmp(peer->pongs.data + at + 1, step->piece.payload, step->piece.size) == 0;
			at += answered * (step->piece.size + 1);
		}
	}
	strict_insist(at == peer->pongs.size, "a pong that answers nothing");
	strict_insist(answered || one->error != 0, "the last ping was not answered");
}

static void run(struct strict_link *link, const struct strict_frames *one, enum strict_way way,
    const struct duo_bytes *want)
{
	struct play job = { .one = one, .way = way };
	struct strict_peer peer = { .text = one->echo_text, .chop_bytes = one->chop_bytes,
		.extensions = one->extensions };
	struct duo_bytes got = { NULL, 0, 0 };
	FILE *stream;
	int error;

	strict_way_is(way);
	if (one->extensions != NULL)
		peer.codec = strict_codec_new(&one->deflate);
	strict_begin(&peer, link, play, &job);
	stream = strict_stream(link, one->echo_text ? "r+t" : "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	error = duo_read(stream, &got);
	check_read(&got, want, error, one->error);
	check_status(stream, one);
	if (one->error != 0)
		check_finished(stream, one->error);
	else
		strict_insist(got.size == 0 || fwrite(got.data, 1, got.size, stream) == got.size, "the echo: %s",
		    strerror(errno));
	check_closed(stream, one->error);
	strict_join(&peer);
	strict_insist(peer.code == one->code, "the library's Close has %u, not %u", peer.code, one->code);
	strict_insist(one->error != 0 || (peer.data.size == got.size &&
	    (got.size == 0 || memcmp(peer.data.data, got.data, got.size) == 0)), "the echo is not what was read");
	strict_insist(one->error == 0 || peer.data.size == 0, "data for the peer");
	check_pongs(&peer, one);
	duo_clear(&got);
	strict_clear(&peer);
}

/* Each handshake of TLS costs: there the coarsest cut and the finest, each byte a record of its own. */
static bool fits(const struct strict_frames *one, enum strict_way way, size_t size)
{
	if (one->chop_bytes > 0)
		return way == STRICT_CHOPS;
	if (strict.secure && !strict.thorough && (way == STRICT_BEHIND_HANDSHAKE || way == STRICT_FRAMES))
		return false;
	switch (way) {
	case STRICT_WHOLE:
		return true;
	case STRICT_BEHIND_HANDSHAKE:
		return size <= BEHIND_MAX;
	case STRICT_BYTES:
		return size <= BYTES_MAX;
	case STRICT_CHOPS:
		return size > BYTES_MAX && size <= CHOPS_MAX;
	default:
		return size <= CHOPS_MAX;
	}
}

void strict_run_frames(const char *section, int row, const struct strict_frames *one)
{
	struct ws_options options = strict_options();
	struct duo_bytes wire = { NULL, 0, 0 }, want = { NULL, 0, 0 };
	struct strict_link link;

	strict_case_begin(section, row, one->text, one->source);
	for (const struct strict_step *step = one->steps; step->piece.payload != NULL; step++)
		strict_put_step(step, true, &wire, &want);
	options.on_text = one->on_text;
	options.max_message_bytes = one->max_message_bytes;
	options.compression = one->extensions != NULL ? WS_COMPRESSION_ON : WS_COMPRESSION_OFF;
	options.max_inflate_ratio = one->max_inflate_ratio;
	strict_listen(&link, &options);
	for (enum strict_way way = STRICT_WHOLE; way < STRICT_WAYS; way++) {
		if (fits(one, way, wire.size))
			run(&link, one, way, &want);
	}
	strict_unlisten(&link);
	duo_clear(&wire);
	duo_clear(&want);
	strict_case_end();
}

void strict_echo(FILE *stream, size_t size)
{
	uint8_t *bytes = malloc(size);
	size_t got;

	strict_insist(bytes != NULL, "out of memory");
	while ((got = fread(bytes, 1, size, stream)) > 0) {
		strict_insist(got == size, "%zu bytes of %zu", got, size);
		strict_insist(fwrite(bytes, 1, got, stream) == got && fflush(stream) == 0, "%s", strerror(errno));
	}
	strict_insist(feof(stream), "the reader got %s", strerror(errno));
	free(bytes);
}
