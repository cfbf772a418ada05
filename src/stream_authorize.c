/* SPDX-License-Identifier: 0BSD */
/* A server's request as the program's authorize callback sees it, and what the program makes of it. */
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "stream_private.h"

/* One piece of memory, with the strings behind it: the answer may be made of them. */
struct asked {
	struct ws_request request;
	struct ws_status status;	/* peer_address, tls_peer */
	const char **subprotocols;
	char *texts;			/* where the next string goes */
};

/* In which process, + 1: a child may be forked inside. 0 = this thread is not. */
static _Thread_local unsigned authorizing;

bool wsf_stream_authorizing(void)
{
	return authorizing == wsf_process_generation() + 1;
}

static const char *find_header(const struct ws_request *request, const char *name)
{
	return request != NULL && name != NULL ? wsf_http_field(request->internal, name) : NULL;
}

static const char *put_text(struct asked *asked, const char *text, size_t size)
{
	char *out = asked->texts;

	memcpy(out, text, size);
	out[size] = '\0';
	asked->texts += size + 1;
	return out;
}

/* The tokens of one list (RFC 9110, section 5.6.1); what is none is left out. Returns how many. */
static size_t put_list(struct asked *asked, const char *list, size_t count)
{
	size_t length;

	while (*list != '\0') {
		list += strspn(list, " \t,");
		length = wsf_http_token_length(list);
		if (length > 0 && strchr(" \t,", list[length]) != NULL &&
		    strchr(",", list[length + strspn(list + length, " \t")]) != NULL)
			asked->subprotocols[count++] = put_text(asked, list, length);
		list += strcspn(list, ",");
	}
	return count;
}

static struct asked *asked_new(const struct wsf_http *http)
{
	static const char name[] = "Sec-WebSocket-Protocol";
	const char *target = wsf_http_target(http), *query = strchr(target, '?'), *list;
	size_t path_bytes = strcspn(target, "?"), texts_bytes = strlen(target) + 2, most = 1, count = 0;
	struct asked *asked;

	for (size_t i = 0; (list = wsf_http_field_at(http, name, i)) != NULL; i++) {
		texts_bytes += strlen(list) + 1;
		most += strlen(list) / 2 + 1;
	}
	asked = malloc(sizeof *asked + most * sizeof(char *) + texts_bytes);
	if (asked == NULL)
		return NULL;
	asked->subprotocols = (const char **)(void *)(asked + 1);
	asked->texts = (char *)(asked->subprotocols + most);
	for (size_t i = 0; (list = wsf_http_field_at(http, name, i)) != NULL; i++)
		count = put_list(asked, list, count);
	asked->subprotocols[count] = NULL;
	asked->request = (struct ws_request){
		.size = sizeof asked->request,
		.path = put_text(asked, target, path_bytes),
		.query = query != NULL ? put_text(asked, query + 1, strlen(query + 1)) : NULL,
		.origin = wsf_http_field(http, "Origin"),
		.peer_address = asked->status.peer_address,
		.tls_peer = asked->status.tls_peer,
		.subprotocols = asked->subprotocols,
		.header = find_header,
		.internal = http,
	};
	return asked;
}

static bool asked_for(const struct asked *asked, const char *subprotocol)
{
	for (const char **one = asked->subprotocols; *one != NULL; one++) {
		if (strcmp(*one, subprotocol) == 0)
			return true;
	}
	return false;
}

static bool headers_valid(const char *const *headers)
{
	for (; headers != NULL && *headers != NULL; headers++) {
		if (!wsf_http_line_valid(*headers) || wsf_http_line_reserved(*headers))
			return false;
	}
	return true;
}

/* The program's own mistakes: nothing that it said gets into the answer. */
static int mistaken(struct wsf_admission *admission, const char *reason)
{
	admission->reason = reason;
	return 500;
}

int wsf_stream_authorize(struct wsf_stream *stream, struct wsf_admission *admission)
{
	ws_authorize *authorize = stream->values->authorize;
	struct ws_response response = { .size = sizeof response };
	struct asked *asked;
	int status;

	if (wsf_process_over()) {
		admission->reason = "the server is going away";
		return 503;
	}
	if (authorize == NULL)
		return 101;
	asked = asked_new(admission->http);
	if (asked == NULL)
		return mistaken(admission, "out of memory");
	admission->memory = asked;
	asked->status = (struct ws_status)WS_STATUS_INIT;
	wsf_stream_status(stream, &asked->status);
	authorizing = wsf_process_generation() + 1;
	wsf_assert_unlocked();
	status = authorize(&asked->request, &response, stream->values->authorize_user);
	authorizing = 0;
	if (status != 0 && (status < 400 || status > 599))
		return mistaken(admission, "the server's decision is no status of a refusal");
	if (!headers_valid(response.headers))
		return mistaken(admission, "the server's decision has a header that can't be sent");
	if (status == 0 && response.subprotocol != NULL && !asked_for(asked, response.subprotocol))
		return mistaken(admission, "the server chose a subprotocol that was not asked for");
	admission->headers = response.headers;
	if (status == 0 && response.subprotocol != NULL)
		admission->subprotocol = response.subprotocol;
	admission->reason = response.reason;
	return status == 0 ? 101 : status;
}

static int ask_owner(void *user, struct wsf_admission *admission)
{
	struct wsf_stream *stream = user;

	return stream->owner.admit(stream->owner.user, stream, admission);
}

static int ask_program(void *user, struct wsf_admission *admission)
{
	return wsf_stream_authorize(user, admission);
}

void wsf_stream_configure_admission(struct wsf_stream *stream, struct wsf_endpoint_config *config)
{
	config->admit_user = stream;
	if (stream->owner.admit != NULL)
		config->admit = ask_owner;
	else if (stream->values->authorize != NULL)
		config->admit = ask_program;
}
