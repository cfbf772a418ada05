/* SPDX-License-Identifier: 0BSD */
/* Section 13 of the strictness suite: the parameters of permessage-deflate, RFC 7692, 5 and 7.1. */
#include "strict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "duet.h"

#define NAME "permessage-deflate"
#define FLAG "RFC 7692, 7.1.1: no value, once"
#define WINDOW "RFC 7692, 7.1.2: 8 to 15, without leading zeros, once"
#define SYNTAX "RFC 6455, 9.1: malformed: MUST fail the connection"

/* What the library is told; 0 = its default. */
struct wanted {
	bool off;
	int send_bits, recv_bits;
	bool send_resets, recv_resets;
};

static struct ws_options options_of(const struct wanted *wanted)
{
	struct ws_options options = strict_options();

	options.compression = wanted->off ? WS_COMPRESSION_OFF : WS_COMPRESSION_ON;
	options.send_window_bits = wanted->send_bits != 0 ? wanted->send_bits : options.send_window_bits;
	options.recv_window_bits = wanted->recv_bits != 0 ? wanted->recv_bits : options.recv_window_bits;
	options.send_no_context_takeover = wanted->send_resets;
	options.recv_no_context_takeover = wanted->recv_resets;
	options.max_inflate_ratio = 0;
	return options;
}

/* --- 13.1: messages under each set of parameters --- */

static const int peer_bits[] = { 9, 11, 15 };
static const int library_bits[] = { 8, 9, 12, 15 };

#define MESSAGES 4
#define MESSAGE_BYTES 12000

/* As the peer says it, and as a listener must answer; the client's own parameters are the peer's where it is one. */
static void describe(const struct strict_deflate *agreed, bool peer_is_server, bool answer, char *out, size_t size)
{
	int server = peer_is_server ? agreed->peer_bits : agreed->library_bits;
	int client = peer_is_server ? agreed->library_bits : agreed->peer_bits;
	bool server_resets = peer_is_server ? agreed->peer_resets : agreed->library_resets;
	bool client_resets = peer_is_server ? agreed->library_resets : agreed->peer_resets;
	char window[64];

	snprintf(window, sizeof window, "; client_max_window_bits=%d", client);
	snprintf(out, size, NAME "%s%s; server_max_window_bits=%d%s", server_resets ? "; server_no_context_takeover"
	    : "",
	    client_resets ? "; client_no_context_takeover" : "", server, answer && client == 15 ? "" : window);
}

static void put_message(struct strict_peer *peer, enum duet_kind kind, struct duo_bytes *data, struct duo_bytes *wire)
{
	struct duo_bytes out = { NULL, 0, 0 };
	struct duo_piece piece = { .byte0 = 0xc2 };

	duet_fill(kind, 0, 0, data->data, data->size);
	strict_deflate(peer->codec, data, &out);
	piece.payload = (const char *)out.data;
	piece.size = out.size;
	wire->size = 0;
	duo_put(wire, !peer->tls.server, &piece);
	duo_clear(&out);
}

static void say_goodbye(struct strict_peer *peer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8");
	struct duo_bytes wire = { NULL, 0, 0 }, unused = { NULL, 0, 0 };

	strict_put_step(&goodbye, !peer->tls.server, &wire, &unused);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	strict_take_to_close(peer);
	strict_take_end(peer, true);
	duo_clear(&wire);
}

static void talk(struct strict_peer *peer)
{
	static const enum duet_kind kinds[MESSAGES] = { DUET_TEXT, DUET_ZEROS, DUET_TEXT, DUET_NOISE };
	const struct strict_deflate *agreed = peer->argument;
	struct duo_bytes wire = { NULL, 0, 0 }, data = { malloc(MESSAGE_BYTES), MESSAGE_BYTES, MESSAGE_BYTES };
	char right[256];

	strict_handshake(peer, NULL);
	if (!peer->tls.server) {
		describe(agreed, false, true, right, sizeof right);
		strict_insist(strcmp(peer->agreed, right) == 0, "the answer is \"%s\", not \"%s\"", peer->agreed,
		    right);
	}
	for (int i = 0; i < MESSAGES; i++) {
		put_message(peer, kinds[i], &data, &wire);
		strict_send_in(peer, &wire, STRICT_WHOLE);
		peer->data.size = 0;
		while (peer->data.size < data.size)
			strict_insist(strict_take_frame(peer) && peer->code == 0, "the echo of message %d ends", i);
		strict_insist(memcmp(peer->data.data, data.data, data.size) == 0, "the echo of message %d is another",
		    i);
	}
	say_goodbye(peer);
	duo_clear(&wire);
	duo_clear(&data);
}

/* _i: the peer's window, the library's, then whether each starts anew with each message */
START_TEST(what_is_agreed_is_spoken)
{
	const struct wanted wanted = { .off = false };
	struct strict_deflate agreed = { peer_bits[_i / 4 % 3], library_bits[_i / 12], (_i & 1) != 0, (_i & 2) != 0 };
	struct ws_options options = options_of(&wanted);
	struct strict_peer peer = { .text = false };
	struct strict_link link;
	char what[256];
	FILE *stream;

	describe(&agreed, strict.role == LIBRARY_IS_CLIENT, false, what, sizeof what);
	strict_case_begin("13.1", _i, what, "RFC 7692, 7.1 and 7.2");
	peer.extensions = what;
	peer.codec = strict_codec_new(&agreed);
	strict_listen(&link, &options);
	strict_begin(&peer, &link, talk, &agreed);
	stream = strict_stream(&link, "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_echo(stream, MESSAGE_BYTES);
	strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	strict_join(&peer);
	strict_insist(peer.code == 1000, "the library's Close has %u", peer.code);
	strict_clear(&peer);
	strict_unlisten(&link);
	strict_case_end();
}
END_TEST

/* --- 13.2: offers and the listener's answers; 13.3: answers and what the client makes of them --- */

struct negotiation {
	const char *text, *source;
	const char *said;		/* by the peer; NULL = nothing */
	const char *right;		/* the library's answer or offer; "" = none */
	struct wanted wanted;
	bool refused;			/* by the client; a listener answers 400 */
};

#define SERVER_RESETS "; server_no_context_takeover"
#define CLIENT_RESETS "; client_no_context_takeover"
#define SERVER_BITS(bits) "; server_max_window_bits=" bits
#define CLIENT_BITS(bits) "; client_max_window_bits=" bits
#define AGREES(text, source, offer, answer) { text, source, offer, answer, .refused = false }
#define PASSES(text, source, offer) { text, source, offer, "", .refused = false }
#define REFUSES(text, source, offer) { text, source, offer, NULL, .refused = true }
#define WANTS(text, source, offer, answer, ...) { text, source, offer, answer, { __VA_ARGS__ }, .refused = false }

static const struct negotiation offers[] = {
	AGREES("no offer", "RFC 7692, 5", NULL, ""),
	AGREES("the name alone", "RFC 7692, 7.1", NAME, NAME),
	AGREES("the client may be told its window", "RFC 7692, 7.1.2.2", NAME "; client_max_window_bits", NAME),
	AGREES("the client's window", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("10"), NAME CLIENT_BITS("10")),
	AGREES("the client's largest window", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("15"), NAME),
	AGREES("the client's smallest window", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("8"), NAME CLIENT_BITS("8")),
	AGREES("a window for the server", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("10"), NAME SERVER_BITS("10")),
	AGREES("the largest window for the server", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("15"),
	    NAME SERVER_BITS("15")),
	AGREES("the smallest window for the server", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("8"), NAME SERVER_BITS("8")),
	AGREES("the server starts anew", "RFC 7692, 7.1.1.1", NAME SERVER_RESETS, NAME SERVER_RESETS),
	AGREES("the client starts anew", "RFC 7692, 7.1.1.2", NAME CLIENT_RESETS, NAME CLIENT_RESETS),
	AGREES("all of it", "RFC 7692, 7.1", NAME CLIENT_BITS("9") SERVER_BITS("11") CLIENT_RESETS SERVER_RESETS,
	    NAME SERVER_RESETS CLIENT_RESETS SERVER_BITS("11") CLIENT_BITS("9")),
	AGREES("blanks wherever they may be", "RFC 6455, 9.1",
	    NAME " ;\tserver_max_window_bits = 10 ; client_max_window_bits",
	    NAME SERVER_BITS("10")),
	AGREES("a value in quotes", "RFC 6455, 9.1", NAME "; server_max_window_bits=\"10\"", NAME SERVER_BITS("10")),
	AGREES("a value with an escape in quotes", "RFC 6455, 9.1", NAME "; server_max_window_bits=\"1\\0\"",
	    NAME SERVER_BITS("10")),
	AGREES("the second of two offers", "RFC 7692, 5.1", NAME "; unknown, " NAME SERVER_RESETS, NAME SERVER_RESETS),
	AGREES("the first of two offers", "RFC 7692, 5: in order of preference", NAME SERVER_RESETS ", " NAME,
	    NAME SERVER_RESETS),
	AGREES("an offer in the second field", "RFC 6455, 9.1", "x\r\nSec-WebSocket-Extensions: " NAME, NAME),
	AGREES("among others", "RFC 6455, 9.1", "x-one; a=b, " NAME ", x-two", NAME),
	PASSES("another extension", "RFC 6455, 9.1", "x-webkit-deflate-frame"),
	PASSES("the name in other case", "RFC 7692, 7: case-sensitive", "Permessage-Deflate"),
	PASSES("a part of the name", "RFC 6455, 9.1", "permessage"),
	PASSES("the name and more", "RFC 6455, 9.1", "permessage-deflate2"),
	PASSES("an unknown parameter", "RFC 7692, 7.1: an offer to decline", NAME "; unknown"),
	PASSES("an unknown parameter with a value", "RFC 7692, 7.1", NAME "; unknown=1"),
	PASSES("a parameter in other case", "RFC 7692, 7.1", NAME "; Server_No_Context_Takeover"),
	PASSES("server_no_context_takeover with a value", FLAG, NAME SERVER_RESETS "=1"),
	PASSES("client_no_context_takeover with a value", FLAG, NAME CLIENT_RESETS "=true"),
	PASSES("server_no_context_takeover twice", FLAG, NAME SERVER_RESETS SERVER_RESETS),
	PASSES("client_no_context_takeover twice", FLAG, NAME CLIENT_RESETS CLIENT_RESETS),
	PASSES("server_max_window_bits without a value", WINDOW, NAME "; server_max_window_bits"),
	PASSES("server_max_window_bits of 7", WINDOW, NAME SERVER_BITS("7")),
	PASSES("server_max_window_bits of 16", WINDOW, NAME SERVER_BITS("16")),
	PASSES("server_max_window_bits of 0", WINDOW, NAME SERVER_BITS("0")),
	PASSES("server_max_window_bits of 08", WINDOW, NAME SERVER_BITS("08")),
	PASSES("server_max_window_bits of +9", WINDOW, NAME SERVER_BITS("+9")),
	PASSES("server_max_window_bits of -9", WINDOW, NAME SERVER_BITS("-9")),
	PASSES("server_max_window_bits of 9.0", WINDOW, NAME SERVER_BITS("9.0")),
	PASSES("server_max_window_bits of 4294967305", WINDOW, NAME SERVER_BITS("4294967305")),
	PASSES("server_max_window_bits of a word", WINDOW, NAME SERVER_BITS("ten")),
	PASSES("server_max_window_bits twice", WINDOW, NAME SERVER_BITS("10") SERVER_BITS("10")),
	PASSES("client_max_window_bits of 7", WINDOW, NAME CLIENT_BITS("7")),
	PASSES("client_max_window_bits of 16", WINDOW, NAME CLIENT_BITS("16")),
	PASSES("client_max_window_bits of 010", WINDOW, NAME CLIENT_BITS("010")),
	PASSES("client_max_window_bits twice", WINDOW, NAME CLIENT_BITS("10") "; client_max_window_bits"),
	REFUSES("an empty parameter", SYNTAX, NAME ";"),
	REFUSES("a parameter without a value behind its =", SYNTAX, NAME "; server_max_window_bits="),
	REFUSES("an empty value in quotes", SYNTAX, NAME "; server_max_window_bits=\"\""),
	REFUSES("quotes that don't end", SYNTAX, NAME "; server_max_window_bits=\"10"),
	REFUSES("a good offer and a malformed one", SYNTAX, NAME ", " NAME "; ="),
	REFUSES("a space in the name", SYNTAX, "permessage deflate"),
	WANTS("a listener with a smaller window of its own", "RFC 7692, 7.1.2.1", NAME, NAME SERVER_BITS("10"),
	    .send_bits = 10),
	WANTS("a smaller window than the client's wish", "RFC 7692, 7.1.2.1: equal to or smaller",
	    NAME SERVER_BITS("12"),
	    NAME SERVER_BITS("10"), .send_bits = 10),
	WANTS("a larger window than the client's wish", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("9"),
	    NAME SERVER_BITS("9"), .send_bits = 10),
	WANTS("a listener that lets the client have less", "RFC 7692, 7.1.2.2", NAME "; client_max_window_bits",
	    NAME CLIENT_BITS("10"), .recv_bits = 10),
	WANTS("a client that can't be told", "RFC 7692, 7.1.2.2: MUST NOT be in the answer", NAME, "", .recv_bits = 10),
	WANTS("a listener that starts anew", "RFC 7692, 7.1.1.1", NAME, NAME SERVER_RESETS, .send_resets = true),
	WANTS("a listener that has the client start anew", "RFC 7692, 7.1.1.2", NAME, NAME CLIENT_RESETS,
	    .recv_resets = true),
	WANTS("a listener that wants none", "RFC 7692, 5", NAME, "", .off = true),
};

static const struct negotiation answers[] = {
	AGREES("no answer", "RFC 7692, 5", NULL, NAME "; client_max_window_bits"),
	AGREES("the name alone", "RFC 7692, 7.1", NAME, NULL),
	AGREES("a window of the server's own", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("10"), NULL),
	AGREES("the smallest window of the server's own", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("8"), NULL),
	AGREES("a window for the client", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("10"), NULL),
	AGREES("the smallest window for the client", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("8"), NULL),
	AGREES("the largest window for the client", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("15"), NULL),
	AGREES("the server starts anew", "RFC 7692, 7.1.1.1", NAME SERVER_RESETS, NULL),
	AGREES("the client starts anew", "RFC 7692, 7.1.1.2", NAME CLIENT_RESETS, NULL),
	AGREES("all of it", "RFC 7692, 7.1", NAME CLIENT_BITS("9") SERVER_BITS("11") CLIENT_RESETS SERVER_RESETS, NULL),
	AGREES("blanks wherever they may be", "RFC 6455, 9.1",
	    NAME " ;\tserver_max_window_bits = 10 ;client_no_context_takeover",
	    NULL),
	AGREES("a value in quotes", "RFC 6455, 9.1", NAME "; server_max_window_bits=\"10\"", NULL),
	AGREES("empty elements around it", "RFC 9110, 5.6.1.2", ", ," NAME ",", NULL),
	REFUSES("an empty answer", SYNTAX, ""),
	REFUSES("an answer of empty elements", SYNTAX, ", ,"),
	REFUSES("another extension", "RFC 6455, 4.1, client's item 5", "x-webkit-deflate-frame"),
	REFUSES("another extension beside it", "RFC 6455, 4.1, client's item 5", NAME ", x-webkit-deflate-frame"),
	REFUSES("the name in other case", "RFC 6455, 4.1, client's item 5", "Permessage-Deflate"),
	REFUSES("it twice", "RFC 7692, 5", NAME ", " NAME),
	REFUSES("it twice, in two fields", "RFC 7692, 5", NAME "\r\nSec-WebSocket-Extensions: " NAME),
	REFUSES("an unknown parameter", "RFC 7692, 7.1: MUST fail", NAME "; unknown"),
	REFUSES("a parameter in other case", "RFC 7692, 7.1", NAME "; Server_No_Context_Takeover"),
	REFUSES("server_no_context_takeover with a value", FLAG, NAME SERVER_RESETS "=1"),
	REFUSES("client_no_context_takeover with a value", FLAG, NAME CLIENT_RESETS "=1"),
	REFUSES("server_no_context_takeover twice", FLAG, NAME SERVER_RESETS SERVER_RESETS),
	REFUSES("client_no_context_takeover twice", FLAG, NAME CLIENT_RESETS CLIENT_RESETS),
	REFUSES("server_max_window_bits without a value", WINDOW, NAME "; server_max_window_bits"),
	REFUSES("client_max_window_bits without a value", "RFC 7692, 7.1.2.2: an answer has one",
	    NAME "; client_max_window_bits"),
	REFUSES("server_max_window_bits of 7", WINDOW, NAME SERVER_BITS("7")),
	REFUSES("server_max_window_bits of 16", WINDOW, NAME SERVER_BITS("16")),
	REFUSES("server_max_window_bits of 010", WINDOW, NAME SERVER_BITS("010")),
	REFUSES("server_max_window_bits twice", WINDOW, NAME SERVER_BITS("10") SERVER_BITS("10")),
	REFUSES("client_max_window_bits of 7", WINDOW, NAME CLIENT_BITS("7")),
	REFUSES("client_max_window_bits of 16", WINDOW, NAME CLIENT_BITS("16")),
	REFUSES("client_max_window_bits twice", WINDOW, NAME CLIENT_BITS("10") CLIENT_BITS("10")),
	REFUSES("an empty parameter", SYNTAX, NAME ";"),
	REFUSES("a parameter without a value behind its =", SYNTAX, NAME "; server_max_window_bits="),
	REFUSES("quotes that don't end", SYNTAX, NAME "; server_max_window_bits=\"10"),
	REFUSES("a space behind the name", SYNTAX, NAME " x"),
	{ "a larger window than was offered", "RFC 7692, 7.1.2.1: equal to or smaller", NAME SERVER_BITS("11"),
	    NAME SERVER_BITS("10") "; client_max_window_bits", { .recv_bits = 10 }, .refused = true },
	{ "no window where one was offered", "RFC 7692, 7.1.2.1: MUST be in the answer", NAME,
	    NAME SERVER_BITS("10") "; client_max_window_bits", { .recv_bits = 10 }, .refused = true },
	WANTS("a smaller window than was offered", "RFC 7692, 7.1.2.1", NAME SERVER_BITS("9"),
	    NAME SERVER_BITS("10") "; client_max_window_bits", .recv_bits = 10),
	WANTS("the hint of a client's window", "RFC 7692, 7.1.2.2", NAME CLIENT_BITS("10"), NAME CLIENT_BITS("10"),
	    .send_bits = 10),
	{ "a window where the server was to start anew", "RFC 7692, 7.1.1.1: MUST be in the answer", NAME,
	    NAME SERVER_RESETS "; client_max_window_bits", { .recv_resets = true }, .refused = true },
	WANTS("the server starts anew as it was to", "RFC 7692, 7.1.1.1", NAME SERVER_RESETS,
	    NAME SERVER_RESETS "; client_max_window_bits", .recv_resets = true),
	WANTS("the hint that the client starts anew", "RFC 7692, 7.1.1.2", NAME, NAME CLIENT_RESETS
	    "; client_max_window_bits", .send_resets = true),
	{ "it, where none was offered", "RFC 6455, 4.1, client's item 5", NAME, "", { .off = true }, .refused = true },
};

static void offer(struct strict_peer *peer)
{
	const struct negotiation *one = peer->argument;
	char request[1024], *answer;
	size_t size;

	if (!one->refused) {
		strict_handshake(peer, NULL);
		strict_insist(strcmp(peer->agreed, one->right) == 0, "the answer is \"%s\", not \"%s\"", peer->agreed,
		    one->right);
		say_goodbye(peer);
		return;
	}
	size = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Key: " STRICT_KEY "\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Extensions: %s\r\n\r\n", one->said);
	strict_send(peer, request, size);
	answer = strict_read_block(peer);
	strict_insist(strncmp(answer, "HTTP/1.1 400 ", 13) == 0, "the answer is: %s", answer);
	free(answer);
}

static void answer(struct strict_peer *peer)
{
	const struct negotiation *one = peer->argument;
	uint8_t byte;

	strict_handshake(peer, NULL);
	strict_insist(one->right == NULL ||
	    strcmp(strict_field(peer->request, "Sec-WebSocket-Extensions", true), one->right) == 0,
	    "the offer is not \"%s\" in: %s", one->right, peer->request);
	if (!one->refused) {
		say_goodbye(peer);
		return;
	}
	strict_fin(peer);
	strict_insist(tls_peer_recv(&peer->tls, &byte, 1) == 0, "a byte 0x%02x for a bad answer", byte);
}

static void check_stream(FILE *stream, const struct negotiation *one)
{
	struct ws_status status = WS_STATUS_INIT;
	bool compressed = strict.role == LIBRARY_IS_CLIENT ? one->said != NULL : one->right[0] != '\0';

	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_insist(fgetc(stream) == EOF && feof(stream), "no EOF: %s", strerror(errno));
	strict_insist(ws_status(stream, &status) == 0, "ws_status: %s", strerror(errno));
	strict_insist(status.compressed == compressed && (status.extensions[0] != '\0') == compressed,
	    "the status tells of \"%s\"", status.extensions);
	strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
}

static void run(const char *section, int row, const struct negotiation *one, void (*body)(struct strict_peer *peer))
{
	struct ws_options options = options_of(&one->wanted);
	struct strict_peer peer = { .extensions = one->said };
	struct strict_link link;
	FILE *stream = NULL;

	strict_case_begin(section, row, one->text, one->source);
	strict_listen(&link, &options);
	strict_begin(&peer, &link, body, (void *)(uintptr_t)one);
	if (!one->refused || strict.role == LIBRARY_IS_CLIENT)
		stream = strict_stream(&link, "r+");
	if (!one->refused)
		check_stream(stream, one);
	else if (strict.role == LIBRARY_IS_CLIENT)
		strict_insist(stream == NULL && ws_last_error()->error == EPROTO, "it was opened, or: %s",
		    ws_last_error()->text);
	strict_join(&peer);
	strict_clear(&peer);
	strict_unlisten(&link);
	strict_case_end();
}

START_TEST(an_offer_is_answered)
{
	run("13.2", _i, &offers[_i], offer);
}
END_TEST

START_TEST(an_answer_is_what_was_offered)
{
	run("13.3", _i, &answers[_i], answer);
}
END_TEST

void strict_add_negotiation(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "13");

	tcase_add_loop_test(tcase, what_is_agreed_is_spoken, 0, 48);
	if (strict.role == LIBRARY_IS_SERVER)
		tcase_add_loop_test(tcase, an_offer_is_answered, 0, STRICT_COUNT(offers));
	else
		tcase_add_loop_test(tcase, an_answer_is_what_was_offered, 0, STRICT_COUNT(answers));
}
