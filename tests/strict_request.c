/* SPDX-License-Identifier: 0BSD */
/* Section 14 of the strictness suite: requests to a listener of the library's, RFC 6455, 4.2, and RFC 9112. */
#include "strict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: localhost\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: " STRICT_KEY "\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define END "\r\n"
#define FIELDS HOST UPGRADE CONNECTION KEY VERSION
#define GOOD GET FIELDS
/* Around one field that is another, or is not there. */
#define WITH_HOST(field) GET field UPGRADE CONNECTION KEY VERSION END
#define WITH_UPGRADE(field) GET HOST field CONNECTION KEY VERSION END
#define WITH_CONNECTION(field) GET HOST UPGRADE field KEY VERSION END
#define WITH_KEY(field) GET HOST UPGRADE CONNECTION field VERSION END
#define WITH_VERSION(field) GET HOST UPGRADE CONNECTION KEY field END
#define WITH_LINE(line) line FIELDS END
#define WITH(fields) GOOD fields END

#define TEXT_100 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
#define TEXT_1000 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100 TEXT_100
#define FIELDS_10 "a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n"
#define FIELDS_100 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10 FIELDS_10

static const char *const served[] = { "chat.v2", "chat", NULL };
static const char *const one_origin[] = { "https://example.org", NULL };
static const char *const any_origin[] = { "*", NULL };

struct request {
	const char *text, *source;
	const char *bytes;
	size_t size;
	int status;			/* of the answer; 0 = none, for the request is never whole */
	const char *const *subprotocols;	/* the listener's */
	const char *subprotocol;	/* agreed; NULL = none */
	const char *const *origins;	/* the listener's */
};

#define ROW(text, source, bytes, status) { text, source, bytes, sizeof(bytes) - 1, status, NULL, NULL, NULL }
#define OPENS(text, source, bytes) ROW(text, source, bytes, 101)
#define BAD(text, source, bytes) ROW(text, source, bytes, 400)
#define NOT_THIS(text, source, bytes) ROW(text, source, bytes, 426)
#define CUT(text, bytes) ROW(text, "RFC 9112, 8: an incomplete request", bytes, 0)
#define CHOOSES(text, bytes, chosen) { text, "RFC 6455, 4.2.2", bytes, sizeof(bytes) - 1, 101, served, chosen, NULL }
#define REFUSES(text, source, bytes) { text, source, bytes, sizeof(bytes) - 1, 400, served, NULL, NULL }
#define ORIGIN(text, value, status, allowed) \
	{ text, "RFC 6455, 4.2.2 and 10.2; RFC 6454", WITH("Origin: " value "\r\n"), \
	sizeof(WITH("Origin: " value "\r\n")) - 1, status, NULL, NULL, allowed }

/* --- the request line --- */

#define LINE "RFC 9112, 3"
#define METHOD "RFC 6455, 4.1: GET"
#define HTTP_VERSION "RFC 6455, 4.1: HTTP/1.1 or higher"
#define TARGET "RFC 6455, 3 and 4.1; RFC 9112, 3.2"

static const struct request lines[] = {
	OPENS("as it should be", "RFC 6455, 4.2.1", GOOD END),
	OPENS("HTTP/1.2", "RFC 9110, 2.5: as the highest minor version that is known", WITH_LINE("GET / HTTP/1.2\r\n")),
	OPENS("a path and a query", TARGET, WITH_LINE("GET /a/b;c=%20?d=e&f HTTP/1.1\r\n")),
	BAD("HTTP/1.0", HTTP_VERSION, WITH_LINE("GET / HTTP/1.0\r\n")),
	BAD("HTTP/0.9", HTTP_VERSION, "GET /\r\n"),
	BAD("HTTP/2.0", HTTP_VERSION, WITH_LINE("GET / HTTP/2.0\r\n")),
	BAD("HTTP/2", HTTP_VERSION, WITH_LINE("GET / HTTP/2\r\n")),
	BAD("the preface of HTTP/2", "RFC 9113, 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	BAD("HTTP/1.", "RFC 9112, 2.3", WITH_LINE("GET / HTTP/1.\r\n")),
	BAD("HTTP/1.10", "RFC 9112, 2.3: one digit", WITH_LINE("GET / HTTP/1.10\r\n")),
	BAD("HTTP/01.1", "RFC 9112, 2.3: one digit", WITH_LINE("GET / HTTP/01.1\r\n")),
	BAD("HTTP/1,1", "RFC 9112, 2.3", WITH_LINE("GET / HTTP/1,1\r\n")),
	BAD("http/1.1", "RFC 9112, 2.3: case-sensitive", WITH_LINE("GET / http/1.1\r\n")),
	BAD("HTTPS/1.1", "RFC 9112, 2.3", WITH_LINE("GET / HTTPS/1.1\r\n")),
	BAD("no version", LINE, WITH_LINE("GET /\r\n")),
	BAD("no version, but its space", LINE, WITH_LINE("GET / \r\n")),
	BAD("no target", LINE, WITH_LINE("GET HTTP/1.1\r\n")),
	BAD("an empty target", LINE, WITH_LINE("GET  HTTP/1.1\r\n")),
	BAD("no method", LINE, WITH_LINE(" / HTTP/1.1\r\n")),
	BAD("a space before the method", LINE, WITH_LINE(" GET / HTTP/1.1\r\n")),
	BAD("two spaces before the target", LINE, WITH_LINE("GET  / HTTP/1.1\r\n")),
	BAD("two spaces before the version", LINE, WITH_LINE("GET /  HTTP/1.1\r\n")),
	BAD("a space behind the version", LINE, WITH_LINE("GET / HTTP/1.1 \r\n")),
	BAD("a tab before the target", LINE, WITH_LINE("GET\t/ HTTP/1.1\r\n")),
	BAD("a tab before the version", LINE, WITH_LINE("GET /\tHTTP/1.1\r\n")),
	BAD("a vertical tab before the version", LINE, WITH_LINE("GET /\vHTTP/1.1\r\n")),
	BAD("more behind the version", LINE, WITH_LINE("GET / HTTP/1.1 x\r\n")),
	BAD("a space in the target", LINE, WITH_LINE("GET /a b HTTP/1.1\r\n")),
	BAD("a line end of LF alone", "RFC 9112, 2.2: may be refused", WITH_LINE("GET / HTTP/1.1\n")),
	BAD("a line end of CR alone", "RFC 9112, 2.2: bare CR", WITH_LINE("GET / HTTP/1.1\r")),
	BAD("a line end of CR CR LF", "RFC 9112, 2.2: bare CR", WITH_LINE("GET / HTTP/1.1\r\r\n")),
	BAD("a line end of LF CR", "RFC 9112, 2.2", WITH_LINE("GET / HTTP/1.1\n\r")),
	BAD("a bare CR inside", "RFC 9112, 2.2: bare CR", WITH_LINE("GET /\r HTTP/1.1\r\n")),
	BAD("an empty line before", "RFC 9112, 2.2: need not be skipped", WITH_LINE("\r\nGET / HTTP/1.1\r\n")),
	BAD("a NUL in the target", LINE, WITH_LINE("GET /\0 HTTP/1.1\r\n")),
	BAD("a NUL in the method", LINE, WITH_LINE("G\0ET / HTTP/1.1\r\n")),
	BAD("a control character in the target", LINE, WITH_LINE("GET /\x01 HTTP/1.1\r\n")),
	BAD("a DEL in the target", LINE, WITH_LINE("GET /\x7f HTTP/1.1\r\n")),
	BAD("bytes above ASCII in the target", "RFC 3986, 2", WITH_LINE("GET /caf\xc3\xa9 HTTP/1.1\r\n")),
	BAD("a separator in the method", "RFC 9110, 9.1: a token", WITH_LINE("GE(T / HTTP/1.1\r\n")),
	BAD("a colon behind the method", "RFC 9110, 9.1: a token", WITH_LINE("GET: / HTTP/1.1\r\n")),
	ROW("the method get", "RFC 9110, 9.1: case-sensitive", WITH_LINE("get / HTTP/1.1\r\n"), 405),
	ROW("the method HEAD", METHOD, WITH_LINE("HEAD / HTTP/1.1\r\n"), 405),
	ROW("the method POST", METHOD, WITH_LINE("POST / HTTP/1.1\r\n"), 405),
	ROW("the method PUT", METHOD, WITH_LINE("PUT / HTTP/1.1\r\n"), 405),
	ROW("the method OPTIONS", METHOD, WITH_LINE("OPTIONS * HTTP/1.1\r\n"), 405),
	ROW("the method CONNECT", METHOD, WITH_LINE("CONNECT localhost:80 HTTP/1.1\r\n"), 405),
	ROW("a method nobody knows", METHOD, WITH_LINE("GETT / HTTP/1.1\r\n"), 405),
	BAD("an absolute target", "an origin server's own; RFC 9112, 3.2.2 knows it",
	    WITH_LINE("GET http://localhost/ HTTP/1.1\r\n")),
	BAD("an absolute target of another host", "RFC 6455, 4.1: host and port match",
	    WITH_LINE("GET http://evil.example/ HTTP/1.1\r\n")),
	BAD("an absolute target of ws", TARGET, WITH_LINE("GET ws://localhost/ HTTP/1.1\r\n")),
	BAD("an authority as the target", "RFC 9112, 3.2.3: only for CONNECT",
	    WITH_LINE("GET localhost:80 HTTP/1.1\r\n")),
	BAD("an asterisk as the target", "RFC 9112, 3.2.4: only for OPTIONS", WITH_LINE("GET * HTTP/1.1\r\n")),
	BAD("a target without its slash", TARGET, WITH_LINE("GET chat HTTP/1.1\r\n")),
	BAD("a query alone as the target", TARGET, WITH_LINE("GET ?a HTTP/1.1\r\n")),
	BAD("a fragment in the target", "RFC 6455, 3: no fragment", WITH_LINE("GET /#a HTTP/1.1\r\n")),
	BAD("a fragment behind the query", "RFC 6455, 3: no fragment", WITH_LINE("GET /?a#b HTTP/1.1\r\n")),
	BAD("a TLS hello, or none behind TLS", LINE, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
	BAD("another protocol", LINE, "SSH-2.0-OpenSSH_9.2p1\r\n"),
	BAD("a frame", LINE, "\x82\x85\x01\x02\x03\x04hello"),
	BAD("an answer", LINE, "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE CONNECTION END),
	ROW("a line longer than the block may be", "RFC 9112, 3; RFC 6585, 5", WITH_LINE("GET /" TEXT_1000 TEXT_1000
	    " HTTP/1.1\r\n"), 431),
	ROW("a method without an end", "RFC 9112, 3; RFC 6585, 5", TEXT_1000 TEXT_1000 "x", 431),
};

/* --- the field lines --- */

#define FIELD "RFC 9112, 5"
#define NAME "RFC 9112, 5.1; RFC 9110, 5.1: a token, and no space before the colon"
#define VALUE "RFC 9110, 5.5: no CR, LF, NUL, and no other controls"
#define LINE_END "RFC 9112, 2.2"
#define FOLDED "RFC 9112, 5.2: obs-fold is refused"
#define BLOCK "RFC 6585, 5"

static const struct request fields[] = {
	OPENS("fields in another order", "RFC 6455, 4.2.1: the order is not important",
	    GET VERSION KEY CONNECTION UPGRADE HOST END),
	OPENS("names in other case", "RFC 9110, 5.1",
	    GET "hOST: localhost\r\nUPGRADE: websocket\r\nconnection: Upgrade\r\n"
	    "SEC-WEBSOCKET-KEY: " STRICT_KEY "\r\nsec-websocket-version: 13\r\n\r\n"),
	OPENS("no space behind the colons", FIELD, GET "Host:localhost\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
	    "Sec-WebSocket-Key:" STRICT_KEY "\r\nSec-WebSocket-Version:13\r\n\r\n"),
	OPENS("spaces and tabs around the values", FIELD, GET "Host: \t localhost \t \r\nUpgrade:\twebsocket\t\r\n"
	    "Connection:  Upgrade  \r\nSec-WebSocket-Key: \t" STRICT_KEY "\t \r\nSec-WebSocket-Version:\t13 \r\n\r\n"),
	OPENS("an empty value", FIELD, WITH("X-Empty:\r\nX-Blank: \t\r\n")),
	OPENS("every character of a token in a name", "RFC 9110, 5.6.2", WITH("!#$%&'*+-.^_`|~09azAZ: x\r\n")),
	OPENS("bytes above ASCII in a value", "RFC 9110, 5.5: obs-text", WITH("X: caf\xc3\xa9 \xff\r\n")),
	OPENS("a tab in a value", "RFC 9110, 5.5", WITH("X: a\tb\r\n")),
	OPENS("colons in a value", FIELD, WITH("X: a:b: c\r\n")),
	OPENS("fields nobody knows", "RFC 6455, 4.2.1", WITH("X-One: 1\r\nX-One: 2\r\nCookie: a=b; c=\"d\"\r\n")),
	BAD("a space before the colon of Host", NAME, WITH_HOST("Host : localhost\r\n")),
	BAD("a tab before the colon of Host", NAME, WITH_HOST("Host\t: localhost\r\n")),
	BAD("a space before a colon", NAME, WITH("X : y\r\n")),
	BAD("a space in a name", NAME, WITH("X Y: z\r\n")),
	BAD("a space before a name", FOLDED, WITH(" X: y\r\n")),
	BAD("a space before the first name", "RFC 9112, 2.2: whitespace behind the request line", GET " X: y\r\n" FIELDS
	    END),
	BAD("a tab before a name", FOLDED, WITH("\tX: y\r\n")),
	BAD("a folded value", FOLDED, WITH("X: a\r\n b\r\n")),
	BAD("a value folded with a tab", FOLDED, WITH("X: a\r\n\tb\r\n")),
	BAD("a folded Host", FOLDED, WITH_HOST("Host:\r\n localhost\r\n")),
	BAD("a line of spaces", FOLDED, WITH("X: a\r\n  \r\n")),
	BAD("a line without a colon", FIELD, WITH("no colon\r\n")),
	BAD("a name alone", FIELD, WITH("name\r\n")),
	BAD("an empty name", NAME, WITH(": value\r\n")),
	BAD("a NUL in a name", NAME, WITH("X\0Y: z\r\n")),
	BAD("a NUL behind a name", NAME, WITH("Host\0: evil.example\r\n")),
	BAD("a control character in a name", NAME, WITH("X\x01Y: z\r\n")),
	BAD("a DEL in a name", NAME, WITH("X\x7fY: z\r\n")),
	BAD("a byte above ASCII in a name", NAME, WITH("X\xc3\xa9: z\r\n")),
	BAD("a parenthesis in a name", NAME, WITH("X(Y): z\r\n")),
	BAD("a slash in a name", NAME, WITH("X/Y: z\r\n")),
	BAD("a quote in a name", NAME, WITH("\"X\": z\r\n")),
	BAD("a comma in a name", NAME, WITH("X,Y: z\r\n")),
	BAD("a semicolon in a name", NAME, WITH("X;Y: z\r\n")),
	BAD("an at sign in a name", NAME, WITH("X@Y: z\r\n")),
	BAD("brackets in a name", NAME, WITH("X[Y]: z\r\n")),
	BAD("braces in a name", NAME, WITH("X{Y}: z\r\n")),
	BAD("a backslash in a name", NAME, WITH("X\\Y: z\r\n")),
	BAD("a NUL in a value", VALUE, WITH("X: y\0z\r\n")),
	BAD("a NUL at the end of a value", VALUE, WITH("X: y\0\r\n")),
	BAD("a NUL in Host", VALUE, WITH_HOST("Host: localhost\0.evil.example\r\n")),
	BAD("a NUL behind the key", VALUE, WITH_KEY("Sec-WebSocket-Key: " STRICT_KEY "\0\r\n")),
	BAD("a control character in a value", VALUE, WITH("X: y\x01z\r\n")),
	BAD("a backspace in a value", VALUE, WITH("X: y\bz\r\n")),
	BAD("a vertical tab in a value", VALUE, WITH("X: y\vz\r\n")),
	BAD("a form feed in a value", VALUE, WITH("X: y\fz\r\n")),
	BAD("an escape in a value", VALUE, WITH("X: y\x1bz\r\n")),
	BAD("a DEL in a value", VALUE, WITH("X: y\x7fz\r\n")),
	BAD("a bare CR in a value", VALUE, WITH("X: y\rz\r\n")),
	BAD("a bare CR at the end of a value", LINE_END, WITH("X: y\r\r\n")),
	BAD("a bare LF in a value", VALUE, WITH("X: y\nz\r\n")),
	BAD("a bare LF that hides a field", LINE_END, WITH("X: y\nHost: evil.example\r\n")),
	BAD("a bare CR that hides a field", LINE_END, WITH("X: y\rHost: evil.example\r\n")),
	BAD("a line end of LF alone", LINE_END, WITH("X: y\n")),
	BAD("line ends of LF alone", LINE_END, GET "Host: localhost\nUpgrade: websocket\nConnection: Upgrade\n"
	    "Sec-WebSocket-Key: " STRICT_KEY "\nSec-WebSocket-Version: 13\n\n"),
	BAD("an end of LF alone", LINE_END, GOOD "\n"),
	BAD("an end of CR and something else", LINE_END, GOOD "\rX: y\r\n\r\n"),
	BAD("an end of CR CR LF", LINE_END, GOOD "\r\r\n"),
	ROW("a value longer than the block may be", BLOCK, WITH("X: " TEXT_1000 TEXT_1000 "\r\n"), 431),
	ROW("a name longer than the block may be", BLOCK, WITH(TEXT_1000 TEXT_1000 ": y\r\n"), 431),
	ROW("a value without an end", BLOCK, GOOD "X: " TEXT_1000 TEXT_1000, 431),
	ROW("too many fields", "RFC 6585, 5", WITH(FIELDS_100 FIELDS_10 FIELDS_10 FIELDS_10), 431),
	OPENS("a hundred fields", "RFC 9110, 5.4", WITH(FIELDS_100)),
};

/* --- the fields of a handshake --- */

#define HOST_RULE "RFC 9112, 3.2: a 400 where there is none, more than one, or an invalid one"
#define UPGRADE_RULE "RFC 6455, 4.2.1, item 3"
#define CONNECTION_RULE "RFC 6455, 4.2.1, item 4"
#define KEY_RULE "RFC 6455, 4.2.1, item 5"
#define KEY_ONCE "RFC 6455, 11.3.1: MUST NOT appear more than once"
#define VERSION_RULE "RFC 6455, 4.2.1, item 6; 4.4: 426 and the versions"
#define BODY "RFC 9112, 6.3: what it announces would be taken for frames"
#define WITH_KEY_VALUE(value) WITH_KEY("Sec-WebSocket-Key: " value "\r\n")
#define WITH_VERSION_VALUE(value) WITH_VERSION("Sec-WebSocket-Version: " value "\r\n")

static const struct request handshakes[] = {
	OPENS("a Host with its port", HOST_RULE, WITH_HOST("Host: localhost:8080\r\n")),
	OPENS("a Host with an empty port", "RFC 3986, 3.2.3", WITH_HOST("Host: localhost:\r\n")),
	OPENS("an IPv4 Host", HOST_RULE, WITH_HOST("Host: 127.0.0.1:80\r\n")),
	OPENS("an IPv6 Host", HOST_RULE, WITH_HOST("Host: [::1]:80\r\n")),
	OPENS("an IPv6 Host with IPv4 in it", "RFC 3986, 3.2.2", WITH_HOST("Host: [::ffff:127.0.0.1]\r\n")),
	OPENS("a Host with an escape", "RFC 3986, 3.2.2", WITH_HOST("Host: caf%C3%A9.example\r\n")),
	BAD("no Host", HOST_RULE, WITH_HOST("")),
	BAD("two Hosts", HOST_RULE, WITH_HOST(HOST "Host: evil.example\r\n")),
	BAD("two Hosts that are alike", HOST_RULE, WITH_HOST(HOST HOST)),
	BAD("two Hosts, far apart", HOST_RULE, WITH("host: evil.example\r\n")),
	BAD("an empty Host", HOST_RULE, WITH_HOST("Host:\r\n")),
	BAD("a Host of blanks", HOST_RULE, WITH_HOST("Host: \t \r\n")),
	BAD("two hosts in a Host", HOST_RULE, WITH_HOST("Host: localhost, evil.example\r\n")),
	BAD("a Host with a space", HOST_RULE, WITH_HOST("Host: local host\r\n")),
	BAD("a Host with a path", HOST_RULE, WITH_HOST("Host: localhost/\r\n")),
	BAD("a Host with a query", HOST_RULE, WITH_HOST("Host: localhost?a\r\n")),
	BAD("a Host with a user", HOST_RULE, WITH_HOST("Host: user@localhost\r\n")),
	BAD("a Host with a scheme", HOST_RULE, WITH_HOST("Host: http://localhost\r\n")),
	BAD("a Host with a port beyond 65535", HOST_RULE, WITH_HOST("Host: localhost:65536\r\n")),
	BAD("a Host with a port of a letter", HOST_RULE, WITH_HOST("Host: localhost:a\r\n")),
	BAD("a Host with a negative port", HOST_RULE, WITH_HOST("Host: localhost:-1\r\n")),
	BAD("a Host with two ports", HOST_RULE, WITH_HOST("Host: localhost:80:80\r\n")),
	BAD("a Host that is only a port", HOST_RULE, WITH_HOST("Host: :80\r\n")),
	BAD("a bare IPv6 Host", HOST_RULE, WITH_HOST("Host: ::1\r\n")),
	BAD("a Host with a bracket alone", HOST_RULE, WITH_HOST("Host: [::1\r\n")),
	BAD("a Host with empty brackets", HOST_RULE, WITH_HOST("Host: []\r\n")),
	BAD("a Host with no address in brackets", HOST_RULE, WITH_HOST("Host: [:::]\r\n")),
	BAD("a Host with too long an address in brackets", HOST_RULE, WITH_HOST("Host: [1:2:3:4:5:6:7:8:9]\r\n")),
	BAD("a Host with an IPv4 address in brackets", HOST_RULE, WITH_HOST("Host: [127.0.0.1]\r\n")),
	BAD("a Host with more behind its brackets", HOST_RULE, WITH_HOST("Host: [::1]x\r\n")),
	BAD("a Host with half an escape", "RFC 3986, 2.1", WITH_HOST("Host: local%2host%4\r\n")),
	BAD("a Host with a bad escape", "RFC 3986, 2.1", WITH_HOST("Host: local%zzhost\r\n")),
	BAD("a Host with a backslash", HOST_RULE, WITH_HOST("Host: localhost\\evil.example\r\n")),
	BAD("a Host with a bracket inside", HOST_RULE, WITH_HOST("Host: local[host\r\n")),
	BAD("a Host with a byte above ASCII", HOST_RULE, WITH_HOST("Host: caf\xc3\xa9.example\r\n")),
	OPENS("WebSocket in other case", UPGRADE_RULE, WITH_UPGRADE("Upgrade: WebSocket\r\n")),
	OPENS("websocket among others", UPGRADE_RULE, WITH_UPGRADE("Upgrade: h2c, websocket, IRC/6.9\r\n")),
	OPENS("websocket in the second of two", "RFC 9110, 5.3",
	    WITH_UPGRADE("Upgrade: h2c\r\nUpgrade: websocket\r\n")),
	OPENS("websocket between empty elements", "RFC 9110, 5.6.1.2", WITH_UPGRADE("Upgrade: , ,websocket,\r\n")),
	NOT_THIS("no Upgrade", UPGRADE_RULE, WITH_UPGRADE("")),
	NOT_THIS("an empty Upgrade", UPGRADE_RULE, WITH_UPGRADE("Upgrade:\r\n")),
	NOT_THIS("another Upgrade", UPGRADE_RULE, WITH_UPGRADE("Upgrade: h2c\r\n")),
	NOT_THIS("websocket and more", UPGRADE_RULE, WITH_UPGRADE("Upgrade: websockets\r\n")),
	NOT_THIS("websocket with a version", UPGRADE_RULE, WITH_UPGRADE("Upgrade: websocket/13\r\n")),
	NOT_THIS("web socket", UPGRADE_RULE, WITH_UPGRADE("Upgrade: web socket\r\n")),
	NOT_THIS("websocket in quotes", UPGRADE_RULE, WITH_UPGRADE("Upgrade: \"websocket\"\r\n")),
	OPENS("keep-alive, Upgrade", CONNECTION_RULE, WITH_CONNECTION("Connection: keep-alive, Upgrade\r\n")),
	OPENS("upgrade in other case", CONNECTION_RULE, WITH_CONNECTION("Connection: uPGRADE\r\n")),
	OPENS("Upgrade in the second of two", CONNECTION_RULE, WITH_CONNECTION("Connection: keep-alive\r\n"
	    "Connection: Upgrade\r\n")),
	OPENS("Upgrade between empty elements", "RFC 9110, 5.6.1.2", WITH_CONNECTION("Connection: ,, Upgrade ,\r\n")),
	NOT_THIS("no Connection", CONNECTION_RULE, WITH_CONNECTION("")),
	NOT_THIS("an empty Connection", CONNECTION_RULE, WITH_CONNECTION("Connection:\r\n")),
	NOT_THIS("another Connection", CONNECTION_RULE, WITH_CONNECTION("Connection: keep-alive\r\n")),
	NOT_THIS("Upgrade and more", CONNECTION_RULE, WITH_CONNECTION("Connection: Upgrades\r\n")),
	BAD("a Connection that is no list of tokens", "RFC 6455, 4.2.1: any violation of the ABNF; RFC 9110, 7.6.1",
	    WITH_CONNECTION("Connection: Upgrade, @\r\n")),
	BAD("a Connection with a space in a token", "RFC 6455, 4.2.1; RFC 9110, 7.6.1",
	    WITH_CONNECTION("Connection: keep alive, Upgrade\r\n")),
	NOT_THIS("a request of a browser's", "RFC 9110, 15.5.22: 426", GET HOST "Accept: text/html\r\n\r\n"),
	OPENS("a key of zeros", KEY_RULE, WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAA==")),
	OPENS("a key with both signs", KEY_RULE, WITH_KEY_VALUE("+/+/+/+/+/+/+/+/+/+/+A==")),
	OPENS("a key with bits behind its 16 bytes",
	    "RFC 4648, 3.5: may be refused; RFC 6455, 4.2.2: need not be decoded",
	    WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAB==")),
	BAD("no key", KEY_RULE, WITH_KEY("")),
	BAD("an empty key", KEY_RULE, WITH_KEY("Sec-WebSocket-Key:\r\n")),
	BAD("two keys", KEY_ONCE, WITH_KEY(KEY "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
	BAD("two keys that are alike", KEY_ONCE, WITH_KEY(KEY KEY)),
	BAD("two keys in one", KEY_RULE, WITH_KEY_VALUE(STRICT_KEY ", " STRICT_KEY)),
	BAD("a key of 15 bytes", KEY_RULE, WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAA")),
	BAD("a key of 17 bytes", KEY_RULE, WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAAA=")),
	BAD("a key of 18 bytes", KEY_RULE, WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAAAA")),
	BAD("a key without its padding", "RFC 4648, 3.2", WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAA")),
	BAD("a key with half its padding", "RFC 4648, 3.2", WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAA=")),
	BAD("a key with too much padding", "RFC 4648, 3.2", WITH_KEY_VALUE("AAAAAAAAAAAAAAAAAAAAAA===")),
	BAD("a key with padding inside", "RFC 4648, 3.3", WITH_KEY_VALUE("AAAAAAAAAA==AAAAAAAAAA==")),
	BAD("a key with a space inside", "RFC 4648, 3.3", WITH_KEY_VALUE("AAAAAAAAAA AAAAAAAAAAA==")),
	BAD("a key of base64url", "RFC 4648, 5: another alphabet", WITH_KEY_VALUE("-_-_-_-_-_-_-_-_-_-_-A==")),
	BAD("a key in quotes", KEY_RULE, WITH_KEY_VALUE("\"" STRICT_KEY "\"")),
	BAD("a key with more behind it", KEY_RULE, WITH_KEY_VALUE(STRICT_KEY "x")),
	NOT_THIS("no version", VERSION_RULE, WITH_VERSION("")),
	NOT_THIS("an empty version", VERSION_RULE, WITH_VERSION("Sec-WebSocket-Version:\r\n")),
	NOT_THIS("version 0", VERSION_RULE, WITH_VERSION_VALUE("0")),
	NOT_THIS("version 8", VERSION_RULE, WITH_VERSION_VALUE("8")),
	NOT_THIS("version 12", VERSION_RULE, WITH_VERSION_VALUE("12")),
	NOT_THIS("version 14", VERSION_RULE, WITH_VERSION_VALUE("14")),
	NOT_THIS("version 255", VERSION_RULE, WITH_VERSION_VALUE("255")),
	NOT_THIS("version 130", VERSION_RULE, WITH_VERSION_VALUE("130")),
	NOT_THIS("version 013", "RFC 6455, 4.3: no leading zero", WITH_VERSION_VALUE("013")),
	NOT_THIS("version +13", "RFC 6455, 4.3", WITH_VERSION_VALUE("+13")),
	NOT_THIS("version 13.0", "RFC 6455, 4.3", WITH_VERSION_VALUE("13.0")),
	NOT_THIS("version 0x0d", "RFC 6455, 4.3", WITH_VERSION_VALUE("0x0d")),
	NOT_THIS("versions 13, 8", "RFC 6455, 4.3: a client has one", WITH_VERSION_VALUE("13, 8")),
	NOT_THIS("a version that is a word", "RFC 6455, 4.3", WITH_VERSION_VALUE("thirteen")),
	BAD("two versions", "RFC 6455, 11.3.5: MUST NOT appear more than once", WITH_VERSION(VERSION VERSION)),
	BAD("two versions that differ", "RFC 6455, 11.3.5", WITH_VERSION(VERSION "Sec-WebSocket-Version: 8\r\n")),
	OPENS("a length of 0", "RFC 9110, 8.6: no body", WITH("Content-Length: 0\r\n")),
	BAD("a length", BODY, WITH("Content-Length: 5\r\n") "hello"),
	BAD("a length without its body", BODY, WITH("Content-Length: 1\r\n")),
	BAD("an empty length", BODY, WITH("Content-Length:\r\n")),
	BAD("a length of 00", BODY, WITH("Content-Length: 00\r\n")),
	BAD("a length of -0", BODY, WITH("Content-Length: -0\r\n")),
	BAD("a length of +0", BODY, WITH("Content-Length: +0\r\n")),
	BAD("a length of 0, 0", BODY, WITH("Content-Length: 0, 0\r\n")),
	BAD("a length of 0x0", BODY, WITH("Content-Length: 0x0\r\n")),
	BAD("lengths of 0 and 5", BODY, WITH("Content-Length: 0\r\nContent-Length: 5\r\n")),
	BAD("lengths of 5 and 0", BODY, WITH("Content-Length: 5\r\nContent-Length: 0\r\n")),
	BAD("lengths of 0 and 0", "RFC 9112, 6.3: may be refused", WITH("Content-Length: 0\r\nContent-Length: 0\r\n")),
	BAD("a chunked body", BODY, WITH("Transfer-Encoding: chunked\r\n") "0\r\n\r\n"),
	BAD("an encoding that is none", BODY, WITH("Transfer-Encoding: identity\r\n")),
	BAD("an empty encoding", BODY, WITH("Transfer-Encoding:\r\n")),
	BAD("an encoding and a length", BODY, WITH("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")),
	BAD("an encoding in other case", BODY, WITH("tRANSFER-eNCODING: Chunked\r\n")),
};

/* --- what is chosen --- */

#define PROTOCOL(value) WITH("Sec-WebSocket-Protocol: " value "\r\n")
#define EXTENSION(value) WITH("Sec-WebSocket-Extensions: " value "\r\n")
#define PROTOCOL_RULE "RFC 6455, 4.2.1: any violation of the ABNF; 4.3: 1#token"
#define EXTENSION_RULE "RFC 6455, 9.1: malformed: MUST fail the connection"

static const struct request choices[] = {
	CHOOSES("none is asked for", GOOD END, NULL),
	CHOOSES("the only one", PROTOCOL("chat"), "chat"),
	CHOOSES("the listener's best", PROTOCOL("chat, chat.v2"), "chat.v2"),
	CHOOSES("one among others", PROTOCOL("a,chat ,\tb"), "chat"),
	CHOOSES("in the second of two", PROTOCOL("a\r\nSec-WebSocket-Protocol: chat"), "chat"),
	CHOOSES("between empty elements", PROTOCOL(",chat, ,"), "chat"),
	CHOOSES("none in common", PROTOCOL("a, b"), NULL),
	CHOOSES("in other case", PROTOCOL("Chat"), NULL),
	CHOOSES("a part of one", PROTOCOL("cha, chatt, chat.v"), NULL),
	OPENS("asked for where there is none", "RFC 6455, 4.2.2", PROTOCOL("chat")),
	REFUSES("an empty list", PROTOCOL_RULE, PROTOCOL("")),
	REFUSES("a list of empty elements", PROTOCOL_RULE, PROTOCOL(", ,")),
	REFUSES("a space in a name", PROTOCOL_RULE, PROTOCOL("chat, a b")),
	REFUSES("a separator in a name", PROTOCOL_RULE, PROTOCOL("chat, a/b")),
	REFUSES("a parameter", PROTOCOL_RULE, PROTOCOL("chat;q=1")),
	REFUSES("a name in quotes", PROTOCOL_RULE, PROTOCOL("\"chat\"")),
	REFUSES("a byte above ASCII", PROTOCOL_RULE, PROTOCOL("chat, caf\xc3\xa9")),
	REFUSES("a tab in a name", PROTOCOL_RULE, PROTOCOL("chat, a\tb")),
	REFUSES("one asked for twice", "RFC 6455, 4.1, item 10: all unique", PROTOCOL("chat, a, chat")),
	REFUSES("one asked for twice, in two fields", "RFC 6455, 4.1, item 10: all unique",
	    PROTOCOL("chat\r\nSec-WebSocket-Protocol: chat")),
	BAD("malformed where there is none", PROTOCOL_RULE, PROTOCOL("a b")),
	OPENS("an extension nobody knows", "RFC 6455, 9.1", EXTENSION("x-unknown; a; b=c; d=\"e\"")),
	OPENS("permessage-deflate where it is not wanted", "RFC 6455, 9.1", EXTENSION("permessage-deflate")),
	OPENS("several extensions", "RFC 6455, 9.1", EXTENSION("a, b;c ,d ; e = f\r\nSec-WebSocket-Extensions: g")),
	OPENS("an escape in quotes", "RFC 6455, 9.1", EXTENSION("a; b=\"c\\d\"")),
	BAD("an empty list of extensions", EXTENSION_RULE, EXTENSION("")),
	BAD("extensions of empty elements", EXTENSION_RULE, EXTENSION(", ,")),
	BAD("an extension without a name", EXTENSION_RULE, EXTENSION("; a")),
	BAD("an extension with a space in its name", EXTENSION_RULE, EXTENSION("a b")),
	BAD("an extension that ends with a semicolon", EXTENSION_RULE, EXTENSION("a;")),
	BAD("an empty parameter", EXTENSION_RULE, EXTENSION("a; ; b")),
	BAD("a parameter without a name", EXTENSION_RULE, EXTENSION("a; =b")),
	BAD("a parameter without its value", EXTENSION_RULE, EXTENSION("a; b=")),
	BAD("a parameter with an empty value in quotes", "RFC 6455, 9.1: unquoted, a token", EXTENSION("a; b=\"\"")),
	BAD("a parameter with a space in quotes", "RFC 6455, 9.1: unquoted, a token", EXTENSION("a; b=\"c d\"")),
	BAD("a parameter with a comma in quotes", "RFC 6455, 9.1: unquoted, a token", EXTENSION("a; b=\"c,d\"")),
	BAD("a parameter with quotes that don't end", EXTENSION_RULE, EXTENSION("a; b=\"c")),
	BAD("a parameter with two values", EXTENSION_RULE, EXTENSION("a; b=c=d")),
	BAD("a parameter with a space in its value", EXTENSION_RULE, EXTENSION("a; b=c d")),
	BAD("a parameter with more behind its quotes", EXTENSION_RULE, EXTENSION("a; b=\"c\"d")),
	BAD("a slash in an extension's name", EXTENSION_RULE, EXTENSION("a/b")),
	BAD("a byte above ASCII in an extension's name", EXTENSION_RULE, EXTENSION("caf\xc3\xa9")),
	BAD("a good extension and a malformed one", EXTENSION_RULE, EXTENSION("permessage-deflate, a;")),
	BAD("a malformed extension in the second field", EXTENSION_RULE,
	    EXTENSION("permessage-deflate\r\nSec-WebSocket-Extensions: a b")),
	ORIGIN("the Host's own origin", "http://localhost", 101, NULL),
	ORIGIN("the Host's own origin, over TLS", "https://localhost", 101, NULL),
	ORIGIN("another origin", "http://evil.example", 403, NULL),
	ORIGIN("an origin that begins with the Host", "http://localhost.evil.example", 403, NULL),
	ORIGIN("an origin that ends with the Host", "http://evil-localhost", 403, NULL),
	ORIGIN("another port", "http://localhost:8080", 403, NULL),
	ORIGIN("the origin null", "null", 403, NULL),
	ORIGIN("an empty origin", "", 403, NULL),
	ORIGIN("two origins in one", "http://localhost http://evil.example", 403, NULL),
	ORIGIN("two origins", "http://localhost\r\nOrigin: http://evil.example", 403, NULL),
	ORIGIN("two origins that are alike", "http://localhost\r\nOrigin: http://localhost", 403, NULL),
	ORIGIN("an origin with a path", "http://localhost/", 403, NULL),
	ORIGIN("an origin with a user", "http://localhost@evil.example", 403, NULL),
	ORIGIN("an origin without a scheme", "localhost", 403, NULL),
	ORIGIN("an origin that is allowed", "https://example.org", 101, one_origin),
	ORIGIN("the same over http", "http://example.org", 403, one_origin),
	ORIGIN("the Host's where another is allowed", "http://localhost", 403, one_origin),
	ORIGIN("an origin below the one allowed", "https://www.example.org", 403, one_origin),
	ORIGIN("any origin", "http://evil.example", 101, any_origin),
	ORIGIN("two of any", "http://a\r\nOrigin: http://b", 403, any_origin),
};

/* --- requests that end too soon --- */

static const struct request cuts[] = {
	CUT("nothing", ""),
	CUT("one byte", "G"),
	CUT("half a method", "GE"),
	CUT("half a request line", "GET / HTTP/1"),
	CUT("a request line without its LF", "GET / HTTP/1.1\r"),
	CUT("a request line", GET),
	CUT("half a name", GET "Ho"),
	CUT("half a value", GET "Host: local"),
	CUT("all but the blank line", GOOD),
	CUT("all but the last byte", GOOD "\r"),
};

/* --- the run --- */

struct attempt {
	const struct request *request;
	enum strict_way way;
};

/* RFC 9110, 15; RFC 9112, 6.3: a whole answer, with a body of the length that it tells. */
static void check_refusal(const char *answer, const char *body, size_t body_bytes, int status)
{
	strict_insist(strtoul(strict_field(answer, "Content-Length", false), NULL, 10) == body_bytes,
	    "%zu bytes of body in: %s%.*s", body_bytes, answer, (int)body_bytes, body);
	strict_insist(strcasecmp(strict_field(answer, "Connection", false), "close") == 0, "Connection in: %s", answer);
	strict_insist(strict_field(answer, "Sec-WebSocket-Accept", true)[0] == '\0', "an accept value in: %s", answer);
	if (status == 426)
		strict_insist(strcmp(strict_field(answer, "Sec-WebSocket-Version", false), "13") == 0 &&
		    strcmp(strict_field(answer, "Upgrade", false), "websocket") == 0, "a 426 without: %s", answer);
	if (status == 405)
		strict_insist(strcmp(strict_field(answer, "Allow", false), "GET") == 0, "a 405 without: %s", answer);
}

static void check_opened(struct strict_peer *peer, const struct request *request, const char *answer)
{
	static const struct strict_step goodbye = P(PEER_CLOSE, "\x03\xe8");
	struct duo_bytes wire = { NULL, 0, 0 }, unused = { NULL, 0, 0 };

	strict_check_accept(peer, request->bytes, answer);
	strict_insist(strcmp(strict_field(answer, "Sec-WebSocket-Protocol", true),
	    request->subprotocol != NULL ? request->subprotocol : "") == 0, "the subprotocol in: %s", answer);
	strict_insist(peer->agreed[0] == '\0', "an extension in: %s", answer);
	strict_put_step(&goodbye, true, &wire, &unused);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	strict_take_to_close(peer);
	strict_take_end(peer, true);
	duo_clear(&wire);
}

static void ask(struct strict_peer *peer)
{
	const struct attempt *attempt = peer->argument;
	const struct request *request = attempt->request;
	const struct duo_bytes bytes = { (uint8_t *)(uintptr_t)request->bytes, request->size, request->size };
	char *answer, start[32], body[1024];
	size_t got;

	strict_send_in(peer, &bytes, attempt->way);
	if (request->status == 0)
		strict_fin(peer);
	answer = strict_read_block(peer);
	if (request->status == 101) {
		check_opened(peer, request, answer);
	} else if (request->status != 0) {
		snprintf(start, sizeof start, "HTTP/1.1 %d ", request->status);
		strict_insist(strncmp(answer, start, strlen(start)) == 0, "the answer is not %d but: %s",
		    request->status, answer);
		got = tls_peer_recv(&peer->tls, body, sizeof body);
		check_refusal(answer, body, got, request->status);
		strict_fin(peer);
	} else {
		strict_insist(answer[0] == '\0', "an answer to half a request: %s", answer);
	}
	free(answer);
}

static void run(struct strict_link *link, const struct request *request, enum strict_way way)
{
	struct attempt attempt = { request, way };
	struct strict_peer peer = { .text = false };
	struct ws_status status = WS_STATUS_INIT;
	FILE *stream;

	strict_way_is(way);
	strict_begin(&peer, link, ask, &attempt);
	if (request->status == 101) {
		stream = strict_stream(link, "r+");
		strict_insist(stream != NULL, "%s", ws_last_error()->text);
		strict_insist(fgetc(stream) == EOF && feof(stream), "no EOF: %s", strerror(errno));
		strict_insist(ws_status(stream, &status) == 0, "ws_status: %s", strerror(errno));
		strict_insist(strcmp(status.subprotocol, request->subprotocol != NULL ? request->subprotocol : "") == 0,
		    "the status tells of \"%s\"", status.subprotocol);
		strict_insist(fclose(stream) == 0, "fclose: %s", strerror(errno));
	}
	strict_join(&peer);
	strict_clear(&peer);
}

static void run_request(const char *section, int row, const struct request *request)
{
	static const struct request good = OPENS("a good one", "", GOOD END);
	struct ws_options options = strict_options();
	struct strict_link link;

	strict_case_begin(section, row, request->text, request->source);
	options.subprotocols = request->subprotocols;
	options.allowed_origins = request->origins;
	options.max_header_bytes = 2000;
	strict_listen(&link, &options);
	run(&link, request, STRICT_WHOLE);
	run(&link, request, STRICT_BYTES);
	/* What was refused is not what is accepted next, nor has it done any harm. */
	if (request->status != 101)
		run(&link, &good, STRICT_WHOLE);
	strict_unlisten(&link);
	strict_case_end();
}

START_TEST(a_request_line_is_good_or_refused)
{
	run_request("14.1", _i, &lines[_i]);
}
END_TEST

START_TEST(a_field_line_is_good_or_refused)
{
	run_request("14.2", _i, &fields[_i]);
}
END_TEST

START_TEST(the_fields_of_a_handshake_are_good_or_refused)
{
	run_request("14.3", _i, &handshakes[_i]);
}
END_TEST

START_TEST(what_is_asked_for_is_chosen_or_refused)
{
	run_request("14.4", _i, &choices[_i]);
}
END_TEST

START_TEST(half_a_request_is_no_request)
{
	run_request("14.5", _i, &cuts[_i]);
}
END_TEST

void strict_add_requests(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "14");

	tcase_add_loop_test(tcase, a_request_line_is_good_or_refused, 0, STRICT_COUNT(lines));
	tcase_add_loop_test(tcase, a_field_line_is_good_or_refused, 0, STRICT_COUNT(fields));
	tcase_add_loop_test(tcase, the_fields_of_a_handshake_are_good_or_refused, 0, STRICT_COUNT(handshakes));
	tcase_add_loop_test(tcase, what_is_asked_for_is_chosen_or_refused, 0, STRICT_COUNT(choices));
	tcase_add_loop_test(tcase, half_a_request_is_no_request, 0, STRICT_COUNT(cuts));
}
