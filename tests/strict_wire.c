/* SPDX-License-Identifier: 0BSD */
/* The strictness suite's peer: its half of the handshake, and what it insists on in all that the library sends. */
#include "strict.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#define CHOP_BYTES 997
#define BLOCK_BYTES 65536
#define FRAME_MAX ((uint64_t)1 << 26)

/* --- bytes --- */

bool strict_send(struct strict_peer *peer, const void *data, size_t size)
{
	return tls_peer_try_send(&peer->tls, data, size);
}

/* The length of the frame at the start of the bytes, as its header has it; what is cut short goes to the end. */
static size_t frame_length(const uint8_t *in, size_t size)
{
	size_t more = size < 2 ? 0 : (in[1] & 0x7f) == 127 ? 8 : (in[1] & 0x7f) == 126 ? 2 : 0, head = 2 + more;
	uint64_t length = size < 2 || more > 0 ? 0 : in[1] & 0x7f;

	if (size < head)
		return size;
	for (size_t i = 0; i < more; i++)
		length = length << 8 | in[2 + i];
	head += (in[1] & 0x80) != 0 ? 4 : 0;
	return head > size || length > size - head ? size : head + (size_t)length;
}

void strict_send_in(struct strict_peer *peer, const struct duo_bytes *bytes, enum strict_way way)
{
	size_t part, chop = peer->chop_bytes > 0 ? peer->chop_bytes : CHOP_BYTES;

	for (size_t done = 0; done < bytes->size; done += part) {
		part = bytes->size - done;
		if (way == STRICT_FRAMES)
			part = frame_length(bytes->data + done, part);
		else if (way == STRICT_BYTES)
			part = 1;
		else if (way == STRICT_CHOPS && part > chop)
			part = chop;
		if (!strict_send(peer, bytes->data + done, part))
			return;
	}
}

void strict_fin(struct strict_peer *peer)
{
	if (peer->tls.ssl != NULL) {
		SSL_shutdown(peer->tls.ssl);
		ERR_clear_error();
	}
	peer_fin(peer->tls.fd);
}

void strict_take_end(struct strict_peer *peer, bool clean)
{
	bool first = clean && peer->tls.server;
	uint8_t byte;

	if (first)
		strict_fin(peer);
	strict_insist(tls_peer_recv(&peer->tls, &byte, 1) == 0, "a byte 0x%02x behind the library's Close", byte);
	if (!first)
		strict_fin(peer);
}

/* --- the handshake --- */

char *strict_read_block(struct strict_peer *peer)
{
	char *text = malloc(BLOCK_BYTES + 1);
	size_t used = 0;

	strict_insist(text != NULL, "out of memory");
	while (used < BLOCK_BYTES && tls_peer_recv(&peer->tls, text + used, 1) == 1) {
		used++;
		if (used >= 4 && memcmp(text + used - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	text[used] = '\0';
	strict_insist(strlen(text) == used, "a NUL in the library's header block: %s", text);
	return text;
}

const char *strict_field(const char *block, const char *name, bool optional)
{
	static _Thread_local char value[512];
	size_t length = strlen(name), size, count = 0;

	value[0] = '\0';
	for (const char *line = strstr(block, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		line += strspn(line, " \t");
		size = strcspn(line, "\r");
		while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
			size--;
		snprintf(value, sizeof value, "%.*s", (int)size, line);
		count++;
	}
	strict_insist(count == 1 || (optional && count == 0), "%zu times %s in: %s", count, name, block);
	return value;
}

/* RFC 9112, section 5: each line is a token, a colon,
    and a value without control characters; CR and LF only as a pair. */
static void check_lines(const char *block)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *line = strstr(block, "\r\n");

	strict_insist(line != NULL, "no line in: %s", block);
	for (line += 2; strncmp(line, "\r\n", 2) != 0; line += 2) {
		size_t name = strspn(line, token);

		strict_insist(name > 0 && line[name] == ':', "a bad field name in: %s", block);
		for (line += name + 1; *line != '\r'; line++)
			strict_insist((unsigned char)*line >= ' ' && *line != 0x7f, "a bad byte in: %s", block);
		strict_insist(line[1] == '\n', "a bare CR in: %s", block);
	}
	strict_insist(line[2] == '\0', "something behind: %s", block);
}

void strict_accept_value(const char *request, char out[29])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[128];
	int length = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
	    strict_field(request, "Sec-WebSocket-Key", false));

	strict_insist(EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha1(), NULL) == 1, "SHA-1");
	EVP_EncodeBlock((unsigned char *)out, digest, 20);
}

/* RFC 6455, section 4.1; RFC 4648, section 4: 16 bytes, and the bits behind them are 0. */
static void check_key(const char *key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	strict_insist(strlen(key) == 24 && strspn(key, alphabet) == 22 && strcmp(key + 22, "==") == 0 &&
	    strchr("AQgw", key[21]) != NULL, "the key is \"%s\"", key);
}

void strict_check_request(const struct strict_peer *peer, const char *request)
{
	char host[64];

	snprintf(host, sizeof host, "%s:%u", strict.secure ? "localhost" : "127.0.0.1", peer->link->port);
	strict_insist(strncmp(request, "GET / HTTP/1.1\r\n", 16) == 0, "the request is: %s", request);
	check_lines(request);
	strict_insist(strcmp(strict_field(request, "Host", false), host) == 0, "the Host in: %s", request);
	strict_insist(strcasecmp(strict_field(request, "Upgrade", false), "websocket") == 0, "Upgrade in: %s", request);
	strict_insist(strcasecmp(strict_field(request, "Connection", false), "Upgrade") == 0, "Connection in: %s",
	    request);
	strict_insist(strcmp(strict_field(request, "Sec-WebSocket-Version", false), "13") == 0, "the version in: %s",
	    request);
	check_key(strict_field(request, "Sec-WebSocket-Key", false));
	strict_insist(strict_field(request, "Content-Length", true)[0] == '\0' &&
	    strict_field(request, "Transfer-Encoding", true)[0] == '\0', "a body is announced in: %s", request);
}

void strict_check_accept(struct strict_peer *peer, const char *request, const char *answer)
{
	char accept[29];

	strict_insist(strncmp(answer, "HTTP/1.1 101 ", 13) == 0, "the answer is: %s", answer);
	check_lines(answer);
	strict_accept_value(request, accept);
	strict_insist(strcmp(strict_field(answer, "Sec-WebSocket-Accept", false), accept) == 0,
	    "the accept value in: %s",
	    answer);
	strict_insist(strcasecmp(strict_field(answer, "Upgrade", false), "websocket") == 0, "Upgrade in: %s", answer);
	strict_insist(strcasecmp(strict_field(answer, "Connection", false), "Upgrade") == 0, "Connection in: %s",
	    answer);
	strict_insist(strict_field(answer, "Content-Length", true)[0] == '\0' &&
	    strict_field(answer, "Transfer-Encoding", true)[0] == '\0', "a body is announced in: %s", answer);
	snprintf(peer->agreed, sizeof peer->agreed, "%s", strict_field(answer, "Sec-WebSocket-Extensions", true));
}

static size_t put_extensions(const struct strict_peer *peer, char *text, size_t size)
{
	if (peer->extensions == NULL)
		return (size_t)snprintf(text, size, "\r\n");
	return (size_t)snprintf(text, size, "Sec-WebSocket-Extensions: %s\r\n\r\n", peer->extensions);
}

static void be_server(struct strict_peer *peer, const struct duo_bytes *behind)
{
	struct duo_bytes out = { NULL, 0, 0 };
	char answer[1024], accept[29];
	size_t size;

	peer->request = strict_read_block(peer);
	strict_check_request(peer, peer->request);
	strict_accept_value(peer->request, accept);
	size = (size_t)snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n", accept);
	size += put_extensions(peer, answer + size, sizeof answer - size);
	duo_append(&out, answer, size);
	if (behind != NULL)
		duo_append(&out, behind->data, behind->size);
	strict_send(peer, out.data, out.size);
	duo_clear(&out);
}

static void be_client(struct strict_peer *peer, const struct duo_bytes *behind)
{
	struct duo_bytes out = { NULL, 0, 0 };
	char request[1024], *answer;
	size_t size = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: localhost:%u\r\n"
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " STRICT_KEY "\r\n"
	    "Sec-WebSocket-Version: 13\r\n", peer->link->port);

	size += put_extensions(peer, request + size, sizeof request - size);
	duo_append(&out, request, size);
	if (behind != NULL)
		duo_append(&out, behind->data, behind->size);
	strict_send(peer, out.data, out.size);
	duo_clear(&out);
	answer = strict_read_block(peer);
	strict_check_accept(peer, request, answer);
	free(answer);
}

void strict_handshake(struct strict_peer *peer, const struct duo_bytes *behind)
{
	if (peer->tls.server)
		be_server(peer, behind);
	else
		be_client(peer, behind);
}

/* --- frames --- */

/* RFC 3629, section 3: by the value of each character, where the library goes by the bytes' ranges. */
bool strict_utf8_valid(const uint8_t *data, size_t size)
{
	static const uint32_t least[4] = { 0, 0x80, 0x800, 0x10000 };

	for (size_t at = 0; at < size;) {
		uint8_t byte = data[at++];
		unsigned more = byte < 0x80 ? 0 : (byte & 0xe0) == 0xc0 ? 1 : (byte & 0xf0) == 0xe0 ? 2 :
		    (byte & 0xf8) == 0xf0 ? 3 : 9;
		uint32_t value = more == 0 ? byte : byte & (0x3fu >> more);

		if (more > size - at)
			return false;
		for (unsigned i = 0; i < more; i++) {
			if ((data[at] & 0xc0) != 0x80)
				return false;
			value = value << 6 | (data[at++] & 0x3f);
		}
		if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			return false;
	}
	return true;
}

struct head {
	unsigned byte0, opcode;
	uint64_t length;
};

static bool take(struct strict_peer *peer, void *out, size_t size)
{
	return tls_peer_recv(&peer->tls, out, size) == size;
}

/* RFC 6455, section 5.2: the shortest form of a length; section 5.1: who masks; 5.3: with keys that nobody foresees. */
static bool take_head(struct strict_peer *peer, struct head *head)
{
	uint8_t first[2], bytes[8], key[4];
	size_t got = tls_peer_recv(&peer->tls, first, 2), more;

	if (got == 0)
		return false;
	strict_insist(got == 2, "the end, inside a header");
	*head = (struct head){ first[0], first[0] & 0x0f, first[1] & 0x7f };
	more = head->length == 127 ? 8 : head->length == 126 ? 2 : 0;
	strict_insist(take(peer, bytes, more), "the end, inside a header");
	for (size_t i = 0; i < more; i++)
		head->length = (i == 0 ? 0 : head->length << 8) | bytes[i];
	strict_insist(more == 0 || head->length > (more == 8 ? 65535u : 125u), "a length of %ju in %zu bytes",
	    (uintmax_t)head->length, more);
	strict_insist(head->length <= FRAME_MAX, "a frame of %ju bytes", (uintmax_t)head->length);
	strict_insist(((first[1] & 0x80) != 0) == peer->tls.server, "the mask bit of frame 0x%02x", head->byte0);
	if (!peer->tls.server)
		return true;
	strict_insist(take(peer, key, 4), "the end, inside a header");
	strict_insist(!peer->has_key || memcmp(key, peer->key, 4) != 0, "the key of the frame before again");
	memcpy(peer->key, key, 4);
	peer->has_key = true;
	return true;
}

/* Sections 5.2, 5.4 and 5.5; RFC 7692, section 6. */
static void check_head(struct strict_peer *peer, const struct head *head)
{
	bool control = (head->opcode & 8) != 0, may_deflate = peer->codec != NULL && !control && !peer->in_message;

	strict_insist((head->byte0 & 0x70 & ~(may_deflate ? 0x40u : 0)) == 0, "reserved bits in 0x%02x", head->byte0);
	strict_insist(head->opcode <= 2 || (head->opcode >= 8 && head->opcode <= 10), "opcode 0x%02x", head->byte0);
	if (control) {
		strict_insist((head->byte0 & 0x80) != 0 && head->length <= 125, "a control frame 0x%02x of %ju bytes",
		    head->byte0, (uintmax_t)head->length);
		strict_insist(head->opcode != 9, "a ping that nobody asked for");
		return;
	}
	strict_insist((head->opcode == 0) == peer->in_message, "0x%02x inside or outside a message", head->byte0);
	strict_insist(head->opcode == 0 || head->opcode == (peer->text ? 1u : 2u), "a message of type 0x%02x",
	    head->byte0);
}

static void take_data(struct strict_peer *peer, const struct head *head, const struct duo_bytes *payload)
{
	size_t before = peer->data.size;

	if (head->opcode != 0)
		peer->deflated = (head->byte0 & 0x40) != 0;
	duo_append(&peer->message, payload->data, payload->size);
	peer->in_message = (head->byte0 & 0x80) == 0;
	if (peer->in_message)
		return;
	if (peer->deflated)
		strict_inflate(peer->codec, &peer->message, &peer->data);
	else
		duo_append(&peer->data, peer->message.data, peer->message.size);
	peer->message.size = 0;
	peer->messages++;
	if (peer->text)
		strict_insist(strict_utf8_valid(peer->data.data + before, peer->data.size - before),
		    "a text message that is not UTF-8");
}

/* Sections 5.5.1 and 7.4 */
static void take_close(struct strict_peer *peer, const struct duo_bytes *payload)
{
	size_t reason = payload->size < 2 ? 0 : payload->size - 2;

	strict_insist(!peer->in_message, "a Close inside a message");
	strict_insist(payload->size != 1, "a Close with one byte");
	peer->code = payload->size == 0 ? 1005 : (unsigned)payload->data[0] << 8 | payload->data[1];
	strict_insist(payload->size == 0 || (peer->code >= 1000 && peer->code <= 4999 && peer->code != 1004 &&
	    peer->code != 1005 && peer->code != 1006 && (peer->code <= 1014 || peer->code >= 3000)), "a Close with %u",
	    peer->code);
	if (reason > 0)
		memcpy(peer->reason, payload->data + 2, reason);
	peer->reason[reason] = '\0';
	strict_insist(strict_utf8_valid((uint8_t *)peer->reason, reason), "a reason that is not UTF-8");
}

bool strict_take_frame(struct strict_peer *peer)
{
	struct duo_bytes payload = { NULL, 0, 0 };
	struct head head;
	uint8_t length;

	if (!take_head(peer, &head))
		return false;
	check_head(peer, &head);
	payload.size = (size_t)head.length;
	payload.data = malloc(payload.size + 1);
	strict_insist(payload.data != NULL, "out of memory");
	strict_insist(take(peer, payload.data, payload.size), "the end, inside a frame");
	for (size_t i = 0; peer->tls.server && i < payload.size; i++)
		payload.data[i] ^= peer->key[i & 3];
	length = (uint8_t)payload.size;
	if (head.opcode < 8) {
		take_data(peer, &head, &payload);
	} else if (head.opcode == 8) {
		take_close(peer, &payload);
	} else {
		duo_append(&peer->pongs, &length, 1);
		duo_append(&peer->pongs, payload.data, payload.size);
	}
	free(payload.data);
	return true;
}

void strict_take_to_close(struct strict_peer *peer)
{
	while (peer->code == 0 && strict_take_frame(peer))
		;
}

void strict_take_pong(struct strict_peer *peer, const void *payload, size_t size)
{
	for (;;) {
		size_t before = peer->pongs.size;

		strict_insist(strict_take_frame(peer) && peer->code == 0, "a ping was not answered");
		if (peer->pongs.size - before == size + 1 && memcmp(peer->pongs.data + before + 1, payload, size) == 0)
			return;
	}
}
