/* SPDX-License-Identifier: 0BSD */
/*
 * The HTTP/1.1 of the opening handshake (RFC 9112, RFC 6455 section 4): formats requests and answers, and parses one
 * header block of the peer, incrementally and strictly. It knows no sockets, options or keys' arithmetic. Called by the
 * endpoint, from whichever thread moves the bytes.
 */
#ifndef WSF_HTTP_H
#define WSF_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wsf_http_kind { WSF_HTTP_REQUEST, WSF_HTTP_RESPONSE };

#define WSF_HTTP_MAX_FIELDS 128

struct wsf_http_field {
	const char *name;
	const char *value;		/* outer spaces and tabs removed */
	unsigned number;		/* it is the first, second, … */
};

/* One header block, of one connection as long as that lives. */
struct wsf_http {
	char *block;			/* once complete, pieces with a NUL each: of the start line, names, values */
	const char *reason;
	int error;			/* negative errno once the block is refused, with its reason: both are final */
	uint32_t limit_bytes;		/* of the whole block, start line and blank line included */
	uint32_t used_bytes;		/* taken */
	uint32_t block_bytes;		/* of block's memory */
	uint32_t matched_bytes;		/* of the part of the start line that state is in */
	uint16_t status;		/* response */
	uint16_t field_count;
	uint8_t kind;			/* enum wsf_http_kind */
	uint8_t state;			/* of the parser: what the next byte belongs to */
	uint8_t minor_version;		/* the 1 of HTTP/1.1 */
	bool complete;
};

void wsf_http_init(struct wsf_http *http, enum wsf_http_kind kind, size_t limit_bytes);
void wsf_http_clear(struct wsf_http *http);

/*
 * Take bytes up to the end of the header block and not one more; *used says how many, up to the first bad byte where
 * there is one. A block that is complete or refused stays so, and takes nothing more. Returns 1 = complete, 0 = all
 * were taken and more are needed, or a negative errno with a static one-line reason: -EPROTO (malformed: bare CR or LF,
 * NUL or other control characters, obsolete folding, space before the colon, an empty or non-token name, not an HTTP
 * start line), -EMSGSIZE (over limit_bytes, or WSF_HTTP_MAX_FIELDS fields), -ENOMEM. Garbage is refused as soon as it
 * can't become a start line. Work is linear in the bytes, however they are split.
 */
int wsf_http_feed(struct wsf_http *http, const void *in, size_t size, size_t *used, const char **reason);

/* Of a complete block, each NULL where there is none; every pointer lives until wsf_http_clear. */
const char *wsf_http_method(const struct wsf_http *http);	/* request */
const char *wsf_http_target(const struct wsf_http *http);	/* request */
const char *wsf_http_phrase(const struct wsf_http *http);	/* response, may be "" */
/* The next field, in order; start from { 0 }. Returns false behind the last. */
bool wsf_http_next_field(const struct wsf_http *http, struct wsf_http_field *field);

/* The first field of that name, case ignored, or NULL; and how many there are. */
const char *wsf_http_field(const struct wsf_http *http, const char *name);
size_t wsf_http_field_count(const struct wsf_http *http, const char *name);
/* The one with so many of that name before it, or NULL. */
const char *wsf_http_field_at(const struct wsf_http *http, const char *name, size_t index);
/* Whether token stands in the comma-separated lists of all fields of that name, case ignored. */
bool wsf_http_has_token(const struct wsf_http *http, const char *name, const char *token);

/*
 * Whether a string may be sent as a field value, is a token, and is a whole "Name: value" line: no control characters
 * but tabs, and no space or tab at either end of a value that stands alone. NULL is none of them.
 */
bool wsf_http_value_valid(const char *value);
bool wsf_http_token_valid(const char *token);
bool wsf_http_line_valid(const char *line);
/* How many characters of a token text starts with. */
size_t wsf_http_token_length(const char *text);
/* Whether "Name: value" is a line of that name, case ignored, whatever the program's locale. */
bool wsf_http_line_names(const char *line, const char *name);
/*
 * Whether "Name: value" names a field that the handshake itself sets, or that would announce a body: Host, Upgrade,
 * Connection, Origin, User-Agent, Sec-WebSocket-*, Content-Length, Transfer-Encoding, Trailer, TE.
 */
bool wsf_http_line_reserved(const char *line);

struct wsf_http_upgrade {
	const char *host;		/* the Host header's text */
	const char *target;
	const char *key;		/* base64 of 16 bytes */
	const char *origin;		/* NULL or "" = none */
	const char *user_agent;		/* NULL or "" = none */
	const char *const *subprotocols;	/* NULL-terminated, or NULL */
	const char *authorization;	/* value of the Authorization header, NULL = none; a secret */
	const char *extensions;		/* value of Sec-WebSocket-Extensions, NULL or "" = none offered */
	const char *const *headers;	/* "Name: value", NULL-terminated, or NULL */
};

/*
 * The upgrade request, malloc'd, NUL-terminated, its length in *size; NULL = out of memory. It may hold secrets, which
 * are nowhere else in memory that was freed on the way.
 */
char *wsf_http_format_upgrade(const struct wsf_http_upgrade *upgrade, size_t *size);

/* A CONNECT request for authority ("host:port", IPv6 in brackets), as above; the last two may be NULL. */
char *wsf_http_format_connect(const char *authority, const char *user_agent, const char *proxy_authorization,
    size_t *size);

/*
 * The realm that a 401 (WWW-Authenticate) or 407 (Proxy-Authenticate) names, unquoted, into out, cut to fit; "" where
 * it names none.
 */
void wsf_http_realm(const struct wsf_http *http, char *out, size_t out_bytes);

/*
 * Judge a server's answer (RFC 6455, section 4.1): 101 with Upgrade: websocket, Connection: upgrade, the exact accept
 * value once, no body announced, at most one subprotocol and it among the offered; extensions are not judged. Returns
 * 0, or -EACCES (401, 403, 407; the reason names the realm), -ECONNABORTED (another status), -EPROTO, with a one-line
 * reason. *subprotocol is one of the offered or NULL.
 */
int wsf_http_check_answer(const struct wsf_http *http, const char *accept, const char *const *offered,
    const char **subprotocol, char *reason, size_t reason_bytes);

/* What a server accepts. */
struct wsf_http_rules {
	const char *path;		/* the only one served, NULL = every one */
	const char *const *allowed_origins;	/* as in ws_options */
	const char *const *subprotocols;	/* accepted, best first, or NULL */
};

/*
 * Judge a client's request (RFC 6455, section 4.2.1). Returns the HTTP status to answer with and a short reason: 101,
 * 400 (no, several or a malformed Host, bad key, a body announced, a target that is not an absolute path or has a
 * fragment, HTTP/1.0, Sec-WebSocket-Key or -Version repeated, malformed lists in Connection, Sec-WebSocket-Protocol or
 * -Extensions, a subprotocol named twice or over 128 of them), 403 (origin), 404 (path), 405 (method not GET), 426 (no
 * upgrade to websocket, or a version other than 13). The default origin rule: the Origin is of http or https, and its
 * host and port equal the Host header's (the default port of the Origin's scheme stands for an absent one); "null"
 * never matches but by "*" or by name, and several Origins never do. Named origins are compared part by part, case
 * ignored, as wsf_http_origin_valid tells.
 * *subprotocol is the server's best that the client offers, exactly as spelled there, or NULL: none in common opens
 * without one.
 */
int wsf_http_check_request(const struct wsf_http *http, const struct wsf_http_rules *rules, const char **subprotocol,
    const char **reason);

/*
 * Whether text is one of allowed_origins: "*", "null", or scheme://host[:port], where "*." before the host stands for
 * one label or more, and the port may be "*". Hosts are names, IPv4 addresses or IPv6 addresses in brackets; these are
 * compared as addresses. An absent port is that of the scheme.
 */
bool wsf_http_origin_valid(const char *text);

/* The 101 answer, malloc'd; extensions, headers and more headers as in wsf_http_upgrade. */
char *wsf_http_format_accept(const char *accept, const char *subprotocol, const char *extensions,
    const char *const *headers, const char *const *more, size_t *size);

/*
 * A refusal, malloc'd: status line, Connection: close, Content-Type: text/plain, Content-Length and reason with a
 * newline as the body; 426 adds Upgrade: websocket and Sec-WebSocket-Version: 13, 405 adds Allow: GET. headers are as
 * in wsf_http_upgrade; a Content-Type or Allow there takes the place of ours. reason NULL = the status's phrase.
 */
char *wsf_http_format_refusal(int status, const char *reason, const char *const *headers, size_t *size);

#endif
