/* SPDX-License-Identifier: 0BSD */
/* Section 15 of the strictness suite: answers to a client of the library's, RFC 6455, 4.1, and RFC 9112. */
#include "strict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Stands for the right accept value. */
#define RIGHT "{accept}"

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: " RIGHT "\r\n"
#define END "\r\n"
#define FIELDS UPGRADE CONNECTION ACCEPT
#define GOOD SWITCHING FIELDS
#define WITH_LINE(line) line FIELDS END
#define WITH_UPGRADE(field) SWITCHING field CONNECTION ACCEPT END
#define WITH_CONNECTION(field) SWITCHING UPGRADE field ACCEPT END
#define WITH_ACCEPT(field) SWITCHING UPGRADE CONNECTION field END
#define WITH(fields) GOOD fields END
#define STATUS(line) "HTTP/1.1 " line "\r\nContent-Length: 3\r\n\r\nno\n"

#define TEXT_100 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
#define TEXT_1000 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100
#define FIELDS_10 "a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n"
#define FIELDS_100 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10

static const char *const asked[] = { "chat", "chat.v2", NULL };

struct answer {
	const char *text, *source;
	const char *bytes;
	size_t size;
	int error;			/* 0 = it opens */
	int http_status;
	const char *const *subprotocols;	/* asked for */
	const char *subprotocol;	/* agreed; NULL = none */
};

#define ROW(text, source, bytes, error, status) \
	{ text, source, bytes, sizeof(bytes) - 1, error, status, NULL, NULL }
#define OPENS(text, source, bytes) ROW(text, source, bytes, 0, 101)
/* A whole header block, and what it says is wrong; or none that could be. */
#define WRONG(text, source, bytes) ROW(text, source, bytes, EPROTO, 101)
#define BROKEN(text, source, bytes) ROW(text, source, bytes, EPROTO, 0)
#define CUT(text, bytes) ROW(text, "RFC 9112, 8: an incomplete answer", bytes, EPROTO, 0)
#define AGREES(text, bytes, chosen) { text, "RFC 6455, 4.1", bytes, sizeof(bytes) - 1, 0, 101, asked, chosen }
#define DISAGREES(text, source, bytes) { text, source, bytes, sizeof(bytes) - 1, EPROTO, 101, asked, NULL }

/* --- the status line --- */

#define LINE "RFC 9112, 4"
#define HTTP_VERSION "RFC 9112, 2.3"
#define NOT_101 "RFC 6455, 4.1: not 101: as HTTP says"

static const struct answer lines[] = {
	OPENS("as it should be", "RFC 6455, 4.2.2", GOOD END),
	OPENS("another phrase", "RFC 9112, 4: to be ignored",
	    WITH_LINE("HTTP/1.1 101 Web Socket Protocol Handshake\r\n")),
	OPENS("an empty phrase", LINE, WITH_LINE("HTTP/1.1 101 \r\n")),
	OPENS("no space before an empty phrase", "RFC 9112, 4 wants one; servers leave it out",
	    WITH_LINE("HTTP/1.1 101\r\n")),
	OPENS("a phrase with bytes above ASCII", LINE, WITH_LINE("HTTP/1.1 101 caf\xc3\xa9\r\n")),
	OPENS("HTTP/1.2", "RFC 9110, 2.5", WITH_LINE("HTTP/1.2 101 Switching Protocols\r\n")),
	WRONG("HTTP/1.0", "RFC 6455, 4.1; RFC 9110, 15.2: no 101 before HTTP/1.1",
	    WITH_LINE("HTTP/1.0 101 Switching Protocols\r\n")),
	BROKEN("HTTP/2", HTTP_VERSION, WITH_LINE("HTTP/2 101 Switching Protocols\r\n")),
	BROKEN("HTTP/2.0", HTTP_VERSION, WITH_LINE("HTTP/2.0 101 Switching Protocols\r\n")),
	BROKEN("HTTP/1.10", HTTP_VERSION, WITH_LINE("HTTP/1.10 101 Switching Protocols\r\n")),
	BROKEN("HTTP/1.", HTTP_VERSION, WITH_LINE("HTTP/1. 101 Switching Protocols\r\n")),
	BROKEN("http/1.1", HTTP_VERSION, WITH_LINE("http/1.1 101 Switching Protocols\r\n")),
	BROKEN("ICY", HTTP_VERSION, WITH_LINE("ICY 101 Switching Protocols\r\n")),
	BROKEN("no version", LINE, WITH_LINE("101 Switching Protocols\r\n")),
	BROKEN("no status", LINE, WITH_LINE("HTTP/1.1\r\n")),
	BROKEN("a status of two digits", LINE, WITH_LINE("HTTP/1.1 10 Switching Protocols\r\n")),
	BROKEN("a status of four digits", LINE, WITH_LINE("HTTP/1.1 1010 Switching Protocols\r\n")),
	BROKEN("a status that begins with 0", "RFC 9110, 15", WITH_LINE("HTTP/1.1 010 Switching Protocols\r\n")),
	BROKEN("a status with a letter", LINE, WITH_LINE("HTTP/1.1 1O1 Switching Protocols\r\n")),
	BROKEN("a negative status", LINE, WITH_LINE("HTTP/1.1 -101 Switching Protocols\r\n")),
	BROKEN("two spaces before the status", LINE, WITH_LINE("HTTP/1.1  101 Switching Protocols\r\n")),
	BROKEN("a tab before the status", LINE, WITH_LINE("HTTP/1.1\t101 Switching Protocols\r\n")),
	BROKEN("a tab behind the status", LINE, WITH_LINE("HTTP/1.1 101\tSwitching Protocols\r\n")),
	BROKEN("a phrase at the status", LINE, WITH_LINE("HTTP/1.1 101Switching Protocols\r\n")),
	BROKEN("a space before the version", LINE, WITH_LINE(" HTTP/1.1 101 Switching Protocols\r\n")),
	BROKEN("an empty line before", LINE, WITH_LINE("\r\nHTTP/1.1 101 Switching Protocols\r\n")),
	BROKEN("a NUL in the phrase", LINE, WITH_LINE("HTTP/1.1 101 Switching\0Protocols\r\n")),
	BROKEN("a control character in the phrase", LINE, WITH_LINE("HTTP/1.1 101 Switching\x01Protocols\r\n")),
	BROKEN("a bare CR in the phrase", "RFC 9112, 2.2", WITH_LINE("HTTP/1.1 101 Switching\rProtocols\r\n")),
	BROKEN("a line end of LF alone", "RFC 9112, 2.2: may be refused",
	    WITH_LINE("HTTP/1.1 101 Switching Protocols\n")),
	BROKEN("a line end of CR alone", "RFC 9112, 2.2", WITH_LINE("HTTP/1.1 101 Switching Protocols\r")),
	BROKEN("a request", LINE, "GET / HTTP/1.1\r\n" FIELDS END),
	BROKEN("a frame", LINE, "\x82\x05hello"),
	BROKEN("another protocol", LINE, "220 mail.example ESMTP\r\n"),
	BROKEN("a TLS alert", LINE, "\x15\x03\x01\0\x02\x02\x46"),
	BROKEN("a line longer than the block may be", "a bound", WITH_LINE("HTTP/1.1 101 " TEXT_1000 TEXT_1000 "\r\n")),
	ROW("200, with all the fields", NOT_101, WITH_LINE("HTTP/1.1 200 OK\r\n"), ECONNABORTED, 200),
	ROW("201, with all the fields", NOT_101, WITH_LINE("HTTP/1.1 201 Created\r\n"), ECONNABORTED, 201),
	ROW("204", NOT_101, "HTTP/1.1 204 No Content\r\n\r\n", ECONNABORTED, 204),
	ROW("301", NOT_101, STATUS("301 Moved Permanently\r\nLocation: ws://127.0.0.1:1/"), ECONNABORTED, 301),
	ROW("307", NOT_101, STATUS("307 Temporary Redirect\r\nLocation: /"), ECONNABORTED, 307),
	ROW("400", NOT_101, STATUS("400 Bad Request"), ECONNABORTED, 400),
	ROW("401", NOT_101, STATUS("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\""), EACCES, 401),
	ROW("403", NOT_101, STATUS("403 Forbidden"), EACCES, 403),
	ROW("404", NOT_101, STATUS("404 Not Found"), ECONNABORTED, 404),
	ROW("407", NOT_101, STATUS("407 Proxy Authentication Required"), EACCES, 407),
	ROW("426", NOT_101, STATUS("426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7"), ECONNABORTED, 426),
	ROW("500", NOT_101, STATUS("500 Internal Server Error"), ECONNABORTED, 500),
	ROW("503 without a phrase", NOT_101, STATUS("503 "), ECONNABORTED, 503),
	ROW("999", NOT_101, STATUS("999 Beyond"), ECONNABORTED, 999),
	ROW("200 over HTTP/1.0", NOT_101, "HTTP/1.0 200 OK\r\n\r\nbody", ECONNABORTED, 200),
};

/* --- the field lines --- */

#define FIELD "RFC 9112, 5"
#define NAME "RFC 9112, 5.1; RFC 9110, 5.1: a token, and no space before the colon"
#define VALUE "RFC 9110, 5.5: no CR, LF, NUL, and no other controls"
#define LINE_END "RFC 9112, 2.2"
#define FOLDED "RFC 9112, 5.2: obs-fold may be refused"

static const struct answer fields[] = {
	OPENS("fields in another order", FIELD, SWITCHING ACCEPT CONNECTION UPGRADE END),
	OPENS("names in other case", "RFC 9110, 5.1", SWITCHING "uPGRADE: websocket\r\nCONNECTION: Upgrade\r\n"
	    "sec-websocket-accept: " RIGHT "\r\n\r\n"),
	OPENS("no space behind the colons", FIELD, SWITCHING "Upgrade:websocket\r\nConnection:Upgrade\r\n"
	    "Sec-WebSocket-Accept:" RIGHT "\r\n\r\n"),
	OPENS("spaces and tabs around the values", FIELD,
	    SWITCHING "Upgrade: \twebsocket \t\r\nConnection:\tUpgrade\t\r\n"
	    "Sec-WebSocket-Accept: \t " RIGHT " \t\r\n\r\n"),
	OPENS("fields nobody knows", FIELD, WITH("Server: x/1\r\nDate: now\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n")),
	OPENS("an empty value", FIELD, WITH("X:\r\n")),
	OPENS("bytes above ASCII in a value", "RFC 9110, 5.5: obs-text", WITH("X: caf\xc3\xa9\r\n")),
	BROKEN("a space before a colon", NAME, WITH("X : y\r\n")),
	BROKEN("a space before the colon of Upgrade", NAME, WITH_UPGRADE("Upgrade : websocket\r\n")),
	BROKEN("a tab before the colon of the accept value", NAME, WITH_ACCEPT("Sec-WebSocket-Accept\t: "
	    RIGHT "\r\n")),
	BROKEN("a space in a name", NAME, WITH("X Y: z\r\n")),
	BROKEN("a space before a name", FOLDED, WITH(" X: y\r\n")),
	BROKEN("a space before the first name", "RFC 9112, 2.2", SWITCHING " X: y\r\n" FIELDS END),
	BROKEN("a folded value", FOLDED, WITH("X: a\r\n b\r\n")),
	BROKEN("a value folded with a tab", FOLDED, WITH("X: a\r\n\tb\r\n")),
	BROKEN("a folded accept value", FOLDED, WITH_ACCEPT("Sec-WebSocket-Accept:\r\n " RIGHT "\r\n")),
	BROKEN("a line without a colon", FIELD, WITH("no colon\r\n")),
	BROKEN("a name alone", FIELD, WITH("name\r\n")),
	BROKEN("an empty name", NAME, WITH(": value\r\n")),
	BROKEN("a NUL in a name", NAME, WITH("X\0Y: z\r\n")),
	BROKEN("a control character in a name", NAME, WITH("X\x01Y: z\r\n")),
	BROKEN("a byte above ASCII in a name", NAME, WITH("X\xc3\xa9: z\r\n")),
	BROKEN("a separator in a name", NAME, WITH("X(Y): z\r\n")),
	BROKEN("a NUL in a value", VALUE, WITH("X: y\0z\r\n")),
	BROKEN("a NUL behind the accept value", VALUE, WITH_ACCEPT("Sec-WebSocket-Accept: " RIGHT "\0\r\n")),
	BROKEN("a control character in a value", VALUE, WITH("X: y\x1bz\r\n")),
	BROKEN("a DEL in a value", VALUE, WITH("X: y\x7fz\r\n")),
	BROKEN("a bare CR in a value", VALUE, WITH("X: y\rz\r\n")),
	BROKEN("a bare LF in a value", VALUE, WITH("X: y\nz: a\r\n")),
	BROKEN("a line end of LF alone", LINE_END, WITH("X: y\n")),
	BROKEN("line ends of LF alone", LINE_END, "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n"
	    "Connection: Upgrade\nSec-WebSocket-Accept: " RIGHT "\n\n"),
	BROKEN("an end of LF alone", LINE_END, GOOD "\n"),
	BROKEN("an end of CR CR LF", LINE_END, GOOD "\r\r\n"),
	BROKEN("an end of CR and something else", LINE_END, GOOD "\rX: y\r\n\r\n"),
	BROKEN("a value longer than the block may be", "a bound", WITH("X: " TEXT_1000 TEXT_1000 "\r\n")),
	BROKEN("a value without an end", "a bound", GOOD "X: " TEXT_1000 TEXT_1000),
	BROKEN("too many fields", "RFC 9110, 5.4: a limit", WITH(FIELDS_100 FIELDS_10 FIELDS_10 FIELDS_10)),
	OPENS("a hundred fields", "RFC 9110, 5.4", WITH(FIELDS_100)),
};

/* --- the fields of a handshake --- */

#define UPGRADE_RULE "RFC 6455, 4.1, client's item 2"
#define CONNECTION_RULE "RFC 6455, 4.1, client's item 3"
#define ACCEPT_RULE "RFC 6455, 4.1, client's item 4"
#define EXTENSION_RULE "RFC 6455, 4.1, client's item 5"
#define PROTOCOL_RULE "RFC 6455, 4.1, client's item 6; 11.3.4"
#define BODY "RFC 9110, 8.6; RFC 9112, 6.1: MUST NOT be in a 101"
#define ACCEPT_VALUE(value) WITH_ACCEPT("Sec-WebSocket-Accept: " value "\r\n")
#define PROTOCOL(value) WITH("Sec-WebSocket-Protocol: " value "\r\n")
#define EXTENSION(value) WITH("Sec-WebSocket-Extensions: " value "\r\n")

static const struct answer handshakes[] = {
	OPENS("websocket in other case", UPGRADE_RULE, WITH_UPGRADE("Upgrade: WebSocket\r\n")),
	WRONG("no Upgrade", UPGRADE_RULE, WITH_UPGRADE("")),
	WRONG("an empty Upgrade", UPGRADE_RULE, WITH_UPGRADE("Upgrade:\r\n")),
	WRONG("another Upgrade", UPGRADE_RULE, WITH_UPGRADE("Upgrade: h2c\r\n")),
	WRONG("websocket and more", UPGRADE_RULE, WITH_UPGRADE("Upgrade: websockets\r\n")),
	WRONG("websocket with a version", UPGRADE_RULE, WITH_UPGRADE("Upgrade: websocket/13\r\n")),
	WRONG("websocket among others", UPGRADE_RULE, WITH_UPGRADE("Upgrade: h2c, websocket\r\n")),
	WRONG("two Upgrades", UPGRADE_RULE, WITH_UPGRADE(UPGRADE "Upgrade: h2c\r\n")),
	WRONG("two Upgrades that are alike", UPGRADE_RULE, WITH_UPGRADE(UPGRADE UPGRADE)),
	OPENS("keep-alive, upgrade", CONNECTION_RULE, WITH_CONNECTION("Connection: keep-alive, upgrade\r\n")),
	OPENS("Upgrade in the second of two", "RFC 9110, 5.3",
	    WITH_CONNECTION("Connection: x\r\nConnection: Upgrade\r\n")),
	WRONG("no Connection", CONNECTION_RULE, WITH_CONNECTION("")),
	WRONG("an empty Connection", CONNECTION_RULE, WITH_CONNECTION("Connection:\r\n")),
	WRONG("another Connection", CONNECTION_RULE, WITH_CONNECTION("Connection: close\r\n")),
	WRONG("Upgrade and more", CONNECTION_RULE, WITH_CONNECTION("Connection: Upgrades\r\n")),
	WRONG("a Connection that is no list of tokens", "RFC 9110, 7.6.1",
	    WITH_CONNECTION("Connection: Upgrade, @\r\n")),
	WRONG("no accept value", ACCEPT_RULE, WITH_ACCEPT("")),
	WRONG("an empty accept value", ACCEPT_RULE, ACCEPT_VALUE("")),
	WRONG("the accept value of another key", ACCEPT_RULE, ACCEPT_VALUE("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
	WRONG("a key as the accept value", ACCEPT_RULE, ACCEPT_VALUE(STRICT_KEY)),
	WRONG("the accept value and more", ACCEPT_RULE, ACCEPT_VALUE(RIGHT "x")),
	WRONG("the accept value behind more", ACCEPT_RULE, ACCEPT_VALUE("x" RIGHT)),
	WRONG("the accept value with more padding", ACCEPT_RULE, ACCEPT_VALUE(RIGHT "=")),
	WRONG("the accept value in quotes", ACCEPT_RULE, ACCEPT_VALUE("\"" RIGHT "\"")),
	WRONG("the accept value in a list", ACCEPT_RULE, ACCEPT_VALUE(RIGHT ", " RIGHT)),
	WRONG("two accept values", "RFC 6455, 11.3.3: MUST NOT appear more than once", WITH_ACCEPT(ACCEPT
	    "Sec-WebSocket-Accept: x\r\n")),
	WRONG("two accept values that are alike", "RFC 6455, 11.3.3", WITH_ACCEPT(ACCEPT ACCEPT)),
	WRONG("a body", BODY, WITH("Content-Length: 5\r\n") "hello"),
	WRONG("a chunked body", BODY, WITH("Transfer-Encoding: chunked\r\n") "0\r\n\r\n"),
	WRONG("two lengths", BODY, WITH("Content-Length: 0\r\nContent-Length: 5\r\n")),
	OPENS("a length of 0", BODY ", but says nothing", WITH("Content-Length: 0\r\n")),
	AGREES("none chosen", GOOD END, NULL),
	AGREES("the first chosen", PROTOCOL("chat"), "chat"),
	AGREES("the second chosen", PROTOCOL("chat.v2"), "chat.v2"),
	WRONG("a subprotocol where none was asked for", PROTOCOL_RULE, PROTOCOL("chat")),
	WRONG("an empty subprotocol where none was asked for", PROTOCOL_RULE, PROTOCOL("")),
	DISAGREES("another subprotocol", PROTOCOL_RULE, PROTOCOL("other")),
	DISAGREES("a subprotocol in other case", PROTOCOL_RULE, PROTOCOL("Chat")),
	DISAGREES("a part of a subprotocol", PROTOCOL_RULE, PROTOCOL("cha")),
	DISAGREES("a subprotocol and more", PROTOCOL_RULE, PROTOCOL("chat2")),
	DISAGREES("an empty subprotocol", PROTOCOL_RULE, PROTOCOL("")),
	DISAGREES("several subprotocols in one", PROTOCOL_RULE, PROTOCOL("chat, chat.v2")),
	DISAGREES("a subprotocol in quotes", PROTOCOL_RULE, PROTOCOL("\"chat\"")),
	DISAGREES("two subprotocols", PROTOCOL_RULE, PROTOCOL("chat\r\nSec-WebSocket-Protocol: chat.v2")),
	DISAGREES("two subprotocols that are alike", PROTOCOL_RULE, PROTOCOL("chat\r\nSec-WebSocket-Protocol: chat")),
	WRONG("permessage-deflate where it was not offered", EXTENSION_RULE, EXTENSION("permessage-deflate")),
	WRONG("an extension nobody knows", EXTENSION_RULE, EXTENSION("x-unknown")),
	WRONG("an empty list of extensions", EXTENSION_RULE, EXTENSION("")),
};

/* --- 1xx before the answer --- */

#define INTERIM "RFC 9110, 15.2: a client MUST be able to parse it"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define CONTINUE_10 CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE CONTINUE

static const struct answer interims[] = {
	OPENS("100 before it", INTERIM, CONTINUE GOOD END),
	OPENS("102 before it", INTERIM, "HTTP/1.1 102 Processing\r\n\r\n" GOOD END),
	OPENS("103 before it, with fields", INTERIM, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n"
	    "Link: </b>\r\n\r\n" GOOD END),
	OPENS("199 before it", INTERIM, "HTTP/1.1 199 Whatever\r\n\r\n" GOOD END),
	OPENS("ten of them before it", INTERIM, CONTINUE_10 GOOD END),
	OPENS("103 with the fields of a 101 that is wrong", INTERIM, "HTTP/1.1 103 Early Hints\r\n" UPGRADE
	    "Sec-WebSocket-Accept: x\r\n\r\n" GOOD END),
	WRONG("the fields in a 103, and not in the 101", INTERIM, "HTTP/1.1 103 Early Hints\r\n" FIELDS "\r\n"
	    "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
	ROW("100, then a refusal", INTERIM, CONTINUE STATUS("403 Forbidden"), EACCES, 403),
	ROW("100 over HTTP/1.0", "RFC 9110, 15.2: MUST NOT be sent", "HTTP/1.0 100 Continue\r\n\r\n" GOOD END,
	    ECONNABORTED, 100),
	CUT("100 alone", CONTINUE),
	CUT("100 and half an answer", CONTINUE GOOD),
	BROKEN("100, then a bad line", LINE, CONTINUE "HTTP/2 101\r\n" FIELDS END),
	BROKEN("100 with a folded line", FOLDED, "HTTP/1.1 100 Continue\r\nX: a\r\n b\r\n\r\n" GOOD END),
	BROKEN("100 again and again", "a bound: as one header block", CONTINUE_10 CONTINUE_10 CONTINUE_10 CONTINUE_10
	    CONTINUE_10 CONTINUE_10 CONTINUE_10 CONTINUE_10 CONTINUE_10 GOOD END),
};

/* --- answers that end too soon --- */

static const struct answer cuts[] = {
	CUT("nothing", ""),
	CUT("one byte", "H"),
	CUT("half a status line", "HTTP/1.1 10"),
	CUT("a status line without its LF", "HTTP/1.1 101 Switching Protocols\r"),
	CUT("a status line", SWITCHING),
	CUT("half a value", SWITCHING "Upgrade: websock"),
	CUT("all but the blank line", GOOD),
	CUT("all but the last byte", GOOD "\r"),
};

/* --- the run --- */

struct attempt {
	const struct answer *answer;
	enum strict_way way;
};

static void put_answer(const struct answer *answer, const char *request, struct duo_bytes *out)
{
	static const size_t mark = sizeof(RIGHT) - 1;
	char accept[29];
	size_t at = 0;

	strict_accept_value(request, accept);
	while (at < answer->size) {
		if (answer->size - at >= mark && memcmp(answer->bytes + at, RIGHT, mark) == 0) {
			duo_append(out, accept, strlen(accept));
			at += mark;
		} else {
			duo_append(out, answer->bytes + at++, 1);
		}
	}
}

static void serve(struct strict_peer *peer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8");
	const struct attempt *attempt = peer->argument;
	struct duo_bytes out = { NULL, 0, 0 }, unused = { NULL, 0, 0 };
	uint8_t byte;

	peer->request = strict_read_block(peer);
	strict_check_request(peer, peer->request);
	strict_insist(strict_field(peer->request, "Sec-WebSocket-Extensions", true)[0] == '\0', "an offer in: %s",
	    peer->request);
	put_answer(attempt->answer, peer->request, &out);
	if (attempt->answer->error == 0)
		strict_put_step(&goodbye, false, &out, &unused);
	strict_send_in(peer, &out, attempt->way);
	duo_clear(&out);
	if (attempt->answer->error != 0) {
		/* RFC 6455, section 7.1.7: it fails the connection, and no frame may come of it. */
		strict_fin(peer);
		strict_insist(tls_peer_recv(&peer->tls, &byte, 1) == 0, "a byte 0x%02x for a bad answer", byte);
		return;
	}
	strict_take_to_close(peer);
	strict_take_end(peer, true);
}

static void check_opened(FILE *stream, const struct answer *answer)
{
	struct ws_status status = WS_STATUS_INIT;

	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_insist(fgetc(stream) == EOF && feof(stream), "no EOF: %s", strerror(errno));
	strict_insist(ws_status(stream, &status) == 0, "ws_status: %s", strerror(errno));
	strict_insist(strcmp(status.subprotocol, answer->subprotocol != NULL ? answer->subprotocol : "") == 0,
	    "the status tells of \"%s\"", status.subprotocol);
	strict_insist(status.http_status == 101 && status.extensions[0] == '\0', "the status tells of %d, \"%s\"",
	    status.http_status, status.extensions);
	strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
}

static void check_failed(FILE *stream, int error, const struct answer *answer)
{
	const struct ws_error *last = ws_last_error();

	strict_insist(stream == NULL, "it was opened");
	strict_insist(error == answer->error, "it failed with %s, not %s: %s", strerror(error), strerror(answer->error),
	    last->text);
	strict_insist(last->error == error && last->http_status == answer->http_status, "it is told as %s, status %d",
	    strerror(last->error), last->http_status);
	strict_insist(last->text[0] != '\0' && strpbrk(last->text, "\r\n") == NULL, "it is told as \"%s\"", last->text);
}

static void run(struct strict_link *link, const struct answer *answer, enum strict_way way)
{
	struct attempt attempt = { answer, way };
	struct strict_peer peer = { .text = false };
	FILE *stream;
	int error;

	strict_way_is(way);
	strict_begin(&peer, link, serve, &attempt);
	errno = 0;
	stream = strict_stream(link, "r+");
	error = errno;
	if (answer->error == 0)
		check_opened(stream, answer);
	else
		check_failed(stream, error, answer);
	strict_join(&peer);
	strict_clear(&peer);
}

static void run_answer(const char *section, int row, const struct answer *answer)
{
	struct ws_options options = strict_options();
	struct strict_link link;

	strict_case_begin(section, row, answer->text, answer->source);
	options.subprotocols = answer->subprotocols;
	options.max_header_bytes = 2000;
	strict_listen(&link, &options);
	run(&link, answer, STRICT_WHOLE);
	run(&link, answer, STRICT_BYTES);
	strict_unlisten(&link);
	strict_case_end();
}

START_TEST(a_status_line_is_good_or_refused)
{
	run_answer("15.1", _i, &lines[_i]);
}
END_TEST

START_TEST(a_field_line_is_good_or_refused)
{
	run_answer("15.2", _i, &fields[_i]);
}
END_TEST

START_TEST(the_fields_of_a_handshake_are_good_or_refused)
{
	run_answer("15.3", _i, &handshakes[_i]);
}
END_TEST

START_TEST(what_comes_before_an_answer_is_none)
{
	run_answer("15.4", _i, &interims[_i]);
}
END_TEST

START_TEST(half_an_answer_is_no_answer)
{
	run_answer("15.5", _i, &cuts[_i]);
}
END_TEST

void strict_add_answers(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "15");

	tcase_add_loop_test(tcase, a_status_line_is_good_or_refused, 0, STRICT_COUNT(lines));
	tcase_add_loop_test(tcase, a_field_line_is_good_or_refused, 0, STRICT_COUNT(fields));
	tcase_add_loop_test(tcase, the_fields_of_a_handshake_are_good_or_refused, 0, STRICT_COUNT(handshakes));
	tcase_add_loop_test(tcase, what_comes_before_an_answer_is_none, 0, STRICT_COUNT(interims));
	tcase_add_loop_test(tcase, half_an_answer_is_no_answer, 0, STRICT_COUNT(cuts));
}
