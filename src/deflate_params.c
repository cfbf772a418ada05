/* SPDX-License-Identifier: 0BSD */
/* The negotiation of permessage-deflate: RFC 7692, sections 5 and 7.1, in the syntax of RFC 6455, section 9.1. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "deflate.h"

#define HEADER "Sec-WebSocket-Extensions"
#define MIN_BITS 8
#define MAX_BITS 15
#define BITS_ABSENT 0
#define BITS_WITHOUT_VALUE (-1)

/* The parameters as they stand in an offer or an answer. */
struct offer {
	bool server_no_context_takeover, client_no_context_takeover;
	int server_max_window_bits, client_max_window_bits;
};

/* --- syntax --- */

struct piece {
	const char *start;
	size_t length;
};

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

static bool take_token(const char **text, struct piece *token)
{
	token->start = *text;
	token->length = wsf_http_token_length(*text);
	*text += token->length;
	return token->length > 0;
}

static bool piece_is(const struct piece *piece, const char *text)
{
	return piece->length == strlen(text) && memcmp(piece->start, text, piece->length) == 0;
}

/* A value, quoted or not: what counts is the token it stands for. False where it is none or longer than any of ours. */
static bool take_value(const char **text, char value[4])
{
	bool quoted = **text == '"';
	size_t length = 0;
	const char *p;

	for (p = *text + quoted; *p != '\0' && *p != '"'; p++) {
		if (quoted && *p == '\\')
			p++;
		if (!quoted && wsf_http_token_length(p) == 0)
			break;
		if (wsf_http_token_length(p) == 0 || length == 3)
			return false;
		value[length++] = *p;
	}
	value[length] = '\0';
	if (quoted && *p++ != '"')
		return false;
	*text = p;
	return length > 0;
}

/* The end of this element of the list: a comma in quotes is none. */
static const char *element_end(const char *text)
{
	bool quoted = false;

	for (; *text != '\0' && (quoted || *text != ','); text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (quoted && *text == '\\' && text[1] != '\0')
			text++;
	}
	return text;
}

/* A decimal number without leading zeros. */
static bool take_bits(const char *value, int *bits)
{
	static const char *const numbers[] = { "8", "9", "10", "11", "12", "13", "14", "15" };

	for (int i = 0; i <= MAX_BITS - MIN_BITS; i++) {
		if (strcmp(value, numbers[i]) == 0) {
			*bits = MIN_BITS + i;
			return true;
		}
	}
	return false;
}

static bool set_flag(bool *flag, bool has_value)
{
	bool repeated = *flag;

	*flag = true;
	return !repeated && !has_value;
}

static bool set_bits(int *bits, const char *value, bool optional)
{
	if (*bits != BITS_ABSENT)
		return false;
	if (*value == '\0') {
		*bits = BITS_WITHOUT_VALUE;
		return optional;
	}
	return take_bits(value, bits);
}

/* Whether the parameter is known, not yet there, and its value fits. */
static bool set(struct offer *offer, const struct piece *name, const char *value, bool from_client)
{
	if (piece_is(name, "server_no_context_takeover"))
		return set_flag(&offer->server_no_context_takeover, *value != '\0');
	if (piece_is(name, "client_no_context_takeover"))
		return set_flag(&offer->client_no_context_takeover, *value != '\0');
	if (piece_is(name, "server_max_window_bits"))
		return set_bits(&offer->server_max_window_bits, value, false);
	if (piece_is(name, "client_max_window_bits"))
		return set_bits(&offer->client_max_window_bits, value, from_client);
	return false;
}

/* Why one element of the list is no offer or answer that can be met, or NULL. */
static const char *parse(const char *text, bool from_client, struct offer *offer)
{
	struct piece token;
	char value[4];

	memset(offer, 0, sizeof *offer);
	if (!take_token(&text, &token))
		return "the server's Sec-WebSocket-Extensions is malformed";
	if (!piece_is(&token, "permessage-deflate"))
		return "the server chose an extension that was not offered";
	for (text = skip_blanks(text); *text == ';'; text = skip_blanks(text)) {
		text = skip_blanks(text + 1);
		if (!take_token(&text, &token))
			return "the server's Sec-WebSocket-Extensions is malformed";
		text = skip_blanks(text);
		value[0] = '\0';
		if (*text == '=') {
			text = skip_blanks(text + 1);
			if (!take_value(&text, value))
				return "the server gave permessage-deflate a bad value";
		}
		if (!set(offer, &token, value, from_client))
			return "the server gave permessage-deflate a bad parameter";
	}
	return *text == ',' || *text == '\0' ? NULL : "the server's Sec-WebSocket-Extensions is malformed";
}

/* Walks over the elements of the lists of all fields, in order. */
struct walk {
	const struct wsf_http *http;
	size_t fields;
	const char *text;
};

/* Empty elements are none (RFC 9110, section 5.6.1). */
static const char *next_element(struct walk *walk)
{
	const char *element;

	for (;;) {
		while (walk->text == NULL || *walk->text == '\0') {
			walk->text = wsf_http_field_at(walk->http, HEADER, walk->fields++);
			if (walk->text == NULL)
				return NULL;
		}
		element = skip_blanks(walk->text);
		walk->text = element_end(element);
		if (*walk->text == ',')
			walk->text++;
		if (*element != ',' && *element != '\0')
			return element;
	}
}

static void append(char out[WSF_EXTENSIONS_MAX], const char *text, int bits)
{
	size_t length = strlen(out);

	if (bits > 0)
		snprintf(out + length, WSF_EXTENSIONS_MAX - length, "%s=%d", text, bits);
	else
		snprintf(out + length, WSF_EXTENSIONS_MAX - length, "%s", text);
}

static void format(const struct offer *offer, char out[WSF_EXTENSIONS_MAX])
{
	out[0] = '\0';
	append(out, "permessage-deflate", 0);
	if (offer->server_no_context_takeover)
		append(out, "; server_no_context_takeover", 0);
	if (offer->client_no_context_takeover)
		append(out, "; client_no_context_takeover", 0);
	if (offer->server_max_window_bits != BITS_ABSENT)
		append(out, "; server_max_window_bits", offer->server_max_window_bits);
	if (offer->client_max_window_bits != BITS_ABSENT)
		append(out, "; client_max_window_bits", offer->client_max_window_bits);
}

/* --- what is offered and agreed --- */

static int at_most(int bits, int limit)
{
	return limit > 0 && limit < bits ? limit : bits;
}

static bool offers(const struct wsf_deflate_params *wanted)
{
	return wanted->on && wsf_deflate_available();
}

void wsf_deflate_offer(const struct wsf_deflate_params *wanted, char out[WSF_EXTENSIONS_MAX])
{
	/* Without a value the last one only says that the server may set it. */
	const struct offer offer = {
		.server_no_context_takeover = wanted->recv_no_context_takeover,
		.client_no_context_takeover = wanted->send_no_context_takeover,
		.server_max_window_bits = wanted->recv_window_bits < MAX_BITS ? wanted->recv_window_bits : BITS_ABSENT,
		.client_max_window_bits =
		    wanted->send_window_bits < MAX_BITS ? wanted->send_window_bits : BITS_WITHOUT_VALUE,
	};

	out[0] = '\0';
	if (offers(wanted))
		format(&offer, out);
}

int wsf_deflate_check_answer(const struct wsf_http *http, const struct wsf_deflate_params *wanted,
    struct wsf_deflate_params *agreed, char out[WSF_EXTENSIONS_MAX], const char **reason)
{
	struct walk walk = { .http = http };
	const char *element;
	struct offer answer;

	*agreed = *wanted;
	agreed->on = false;
	out[0] = '\0';
	if (wsf_http_field(http, HEADER) == NULL)
		return 0;
	*reason = "the server chose an extension, and none was offered";
	if (!offers(wanted))
		return -EPROTO;
	*reason = "the server's Sec-WebSocket-Extensions is empty";
	if ((element = next_element(&walk)) == NULL || (*reason = parse(element, false, &answer)) != NULL)
		return -EPROTO;
	*reason = "the server chose more than one extension";
	if (next_element(&walk) != NULL)
		return -EPROTO;
	*reason = "the server does not keep to the window that was offered";
	if (wanted->recv_window_bits < MAX_BITS && (answer.server_max_window_bits == BITS_ABSENT ||
	    answer.server_max_window_bits > wanted->recv_window_bits))
		return -EPROTO;
	*reason = "the server does not do without context takeover";
	if (wanted->recv_no_context_takeover && !answer.server_no_context_takeover)
		return -EPROTO;
	agreed->on = true;
	agreed->recv_window_bits = at_most(wanted->recv_window_bits, answer.server_max_window_bits);
	agreed->send_window_bits = at_most(wanted->send_window_bits, answer.client_max_window_bits);
	agreed->recv_no_context_takeover = answer.server_no_context_takeover;
	agreed->send_no_context_takeover |= answer.client_no_context_takeover;
	format(&answer, out);
	return 0;
}

/* Whether the offer can be met; what is agreed, and the answer that says so. */
static bool meet(const struct wsf_deflate_params *wanted, const struct offer *offer, struct wsf_deflate_params *agreed,
    struct offer *answer)
{
	/* A client that can't be told will use the largest window. */
	if (offer->client_max_window_bits == BITS_ABSENT && wanted->recv_window_bits < MAX_BITS)
		return false;
	*agreed = *wanted;
	agreed->send_window_bits = at_most(wanted->send_window_bits, offer->server_max_window_bits);
	agreed->recv_window_bits = at_most(wanted->recv_window_bits, offer->client_max_window_bits);
	agreed->send_no_context_takeover |= offer->server_no_context_takeover;
	agreed->recv_no_context_takeover |= offer->client_no_context_takeover;
	answer->server_no_context_takeover = agreed->send_no_context_takeover;
	answer->client_no_context_takeover = agreed->recv_no_context_takeover;
	answer->server_max_window_bits = offer->server_max_window_bits != BITS_ABSENT ||
	    agreed->send_window_bits < MAX_BITS ? agreed->send_window_bits : BITS_ABSENT;
	answer->client_max_window_bits =
	    agreed->recv_window_bits < MAX_BITS ? agreed->recv_window_bits : BITS_ABSENT;
	return true;
}

void wsf_deflate_choose(const struct wsf_http *http, const struct wsf_deflate_params *wanted,
    struct wsf_deflate_params *agreed, char out[WSF_EXTENSIONS_MAX])
{
	struct walk walk = { .http = http };
	struct offer offer, answer;
	const char *element;

	out[0] = '\0';
	while (offers(wanted) && (element = next_element(&walk)) != NULL) {
		if (parse(element, true, &offer) == NULL && meet(wanted, &offer, agreed, &answer)) {
			format(&answer, out);
			return;
		}
	}
	*agreed = *wanted;
	agreed->on = false;
}
