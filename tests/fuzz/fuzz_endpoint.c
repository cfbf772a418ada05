/* SPDX-License-Identifier: 0BSD */
/*
 * One end of a connection that is told anything. The same bytes are taken one by one with all the room there is, and
 * then in other pieces, into other room, thrown away, or received straight to their place: payload, events, what is to
 * be sent and the verdict are the same.
 *
 * The input: a byte for the role and the like, one for the limits, one for the pieces; then what comes on the wire, or
 * a script of frames, see fuzz_script.h.
 */
#include <errno.h>

#include "endpoint.h"
#include "fuzz.h"
#include "fuzz_script.h"
#include "mask.h"

#define REFERENCE_ROOM_BYTES 1024
#define ROOM_MAX_BYTES 3000
#define BULK_BYTES 500		/* of a frame's payload: more need not come one by one */
#define IDLE_STEPS_MAX 1000	/* that may do nothing, one behind the other, for want of room */

struct options {
	enum wsf_role role;
	bool deflate, handshake, script, text_is_data, discard, admit;
	struct wsf_deflate_params params;
	uint64_t max_message_bytes;
	size_t max_header_bytes;
	uint32_t seed;
};

static struct options read_options(struct fuzz_input *in)
{
	static const uint64_t messages[] = { 0, 5, 130, 70000 };
	static const unsigned ratios[] = { 200, 1, 3, 20 };
	unsigned how = fuzz_byte(in), limits = fuzz_byte(in);

	return (struct options){
		.role = (how & 1) != 0 ? WSF_SERVER : WSF_CLIENT, .deflate = (how & 2) != 0,
		.handshake = (how & 4) != 0, .script = (how & 8) != 0, .text_is_data = (how & 16) != 0,
		.discard = (how & 32) != 0, .admit = (how & 64) != 0,
		.params = { .on = (how & 2) != 0 && wsf_deflate_available(), .level = 6,
		    .send_window_bits = (limits & 1) != 0 ? 9 : 15, .recv_window_bits = (limits & 1) != 0 ? 9 : 15,
		    .recv_no_context_takeover = (limits & 2) != 0, .send_no_context_takeover = (limits & 4) != 0,
		    .max_ratio = ratios[limits >> 5 & 3] },
		.max_message_bytes = messages[limits >> 3 & 3],
		.max_header_bytes = (limits & 128) != 0 ? 256 : 16384, .seed = fuzz_byte(in),
	};
}

/* --- what comes of it --- */

struct seen {
	struct wsf_control control;
	size_t end;			/* the bytes of the wire up to there */
};

struct result {
	struct fuzz_buffer payload, answer, seen;	/* seen: of struct seen */
	bool opened, close, compressed, in_message;
	size_t opened_at;
	unsigned close_code, fault_code;
	int fault, http_status;
	char close_reason[WSF_REASON_MAX + 1], text[160], extensions[160], subprotocol[160];
	enum wsf_phase phase;
	uint64_t bytes_received, messages_received, message_bytes;
};

static void result_clear(struct result *result)
{
	fuzz_buffer_clear(&result->payload);
	fuzz_buffer_clear(&result->answer);
	fuzz_buffer_clear(&result->seen);
}

static const struct seen *seen_of(const struct result *result, size_t *count)
{
	*count = result->seen.size / sizeof(struct seen);
	return (const struct seen *)(const void *)result->seen.data;
}

/* --- one run --- */

struct run {
	const struct options *options;
	const struct result *reference;		/* NULL = this is it */
	struct wsf_endpoint endpoint;
	struct fuzz_lot lot, room_lot;
	struct result *result;
};

static int admit(void *user, struct wsf_admission *admission)
{
	static const char *const headers[] = { "X-Why: because", NULL };
	const char *target = wsf_http_target(admission->http);

	REQUIRE(user != NULL && target[0] == '/');
	admission->headers = headers;
	if (strstr(target, "403") != NULL) {
		admission->reason = "not\r\nyou";
		return 403;
	}
	if (strstr(target, "other") != NULL)
		admission->subprotocol = admission->memory = fuzz_copy("other", sizeof("other"));
	return 101;
}

static void begin(struct run *run)
{
	static const char *const subprotocols[] = { "chat", "superchat", NULL };
	static const char *const headers[] = { "X-One: 1", NULL };
	const struct options *options = run->options;
	const struct wsf_endpoint_config config = {
		.role = options->role, .max_header_bytes = options->max_header_bytes, .headers = headers,
		.subprotocols = subprotocols, .host = "server.example.com", .target = "/chat",
		.origin = "http://server.example.com", .deflate = options->params,
		.admit = options->admit ? admit : NULL, .admit_user = run, .text_is_data = options->text_is_data,
		.max_message_bytes = options->max_message_bytes, .max_frame_bytes = 65536,
	};
	char *request;
	size_t size;

	fuzz_repeat_randomness();
	REQUIRE(wsf_endpoint_init(&run->endpoint, &config) == 0);
	if (!options->handshake) {
		run->endpoint.phase = WSF_PHASE_HEADER;
		run->endpoint.deflate.params = options->params;
	} else if (options->role == WSF_CLIENT) {
		REQUIRE(wsf_endpoint_request(&run->endpoint, &request, &size) == 0 && size == strlen(request));
		REQUIRE(strstr(request, "\r\nSec-WebSocket-Key: " FUZZ_KEY "\r\n") != NULL);
		free(request);
	}
}

/* What this end would send in answer; the frame is read again as the other end would. */
static void check_sent(struct wsf_endpoint *endpoint, const uint8_t *bytes, int size, enum wsf_opcode opcode,
    const uint8_t *payload, size_t payload_bytes)
{
	struct wsf_frame_decoder decoder = { .have = 0 };
	struct wsf_frame frame;
	uint8_t plain[WSF_CONTROL_PAYLOAD_MAX];
	const char *reason;
	size_t used;

	REQUIRE(size >= 2 && wsf_frame_decode(&decoder, bytes, (size_t)size, &used, &frame, &reason) == 1);
	REQUIRE(frame.fin && frame.rsv == 0 && frame.opcode == opcode);
	REQUIRE(frame.masked == (endpoint->role == WSF_CLIENT) && frame.payload_bytes == payload_bytes);
	REQUIRE((size_t)size == used + payload_bytes);
	if (frame.masked)
		wsf_mask_copy(plain, bytes + used, payload_bytes, frame.key, 0);
	else
		memcpy(plain, bytes + used, payload_bytes);
	REQUIRE(memcmp(plain, payload, payload_bytes) == 0);
}

static void send_pong(struct wsf_endpoint *endpoint, const struct wsf_events *events)
{
	uint8_t *frame = fuzz_memory(WSF_CONTROL_FRAME_MAX);
	int size = wsf_endpoint_control_frame(endpoint, WSF_PONG, events->ping_payload, events->ping_bytes, frame);

	check_sent(endpoint, frame, size, WSF_PONG, events->ping_payload, events->ping_bytes);
	free(frame);
}

/* An echo of the peer's, or what a fault demands. */
static void send_close(struct wsf_endpoint *endpoint, const struct result *result)
{
	unsigned code = result->close ? result->close_code : result->fault_code;
	const char *reason = result->close ? result->close_reason : result->text;
	size_t reason_bytes = strlen(reason);
	uint8_t *frame = fuzz_memory(WSF_CONTROL_FRAME_MAX), payload[WSF_CONTROL_PAYLOAD_MAX];

	if (reason_bytes > WSF_REASON_MAX)
		reason_bytes = WSF_REASON_MAX;
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	memcpy(payload + 2, reason, reason_bytes);
	REQUIRE(result->close || wsf_close_code_valid(code) || code == 0);
	if (code != 0)
		check_sent(endpoint, frame, wsf_endpoint_close_frame(endpoint, code, reason, frame), WSF_CLOSE, payload,
		    code == WSF_NO_CODE ? 0 : 2 + reason_bytes);
	free(frame);
}

/* The reference saw them one by one: of those from start on up to end the last of them must be these. */
static void check_controls(const struct run *run, const struct wsf_events *events, size_t start, size_t end)
{
	const struct wsf_control *ping = NULL;
	const struct seen *all;
	size_t count, first = 0, last;

	all = seen_of(run->reference, &count);
	while (first < count && all[first].end <= start)
		first++;
	for (last = first; last < count && all[last].end <= end; last++)
		ping = all[last].control.pong ? ping : &all[last].control;
	REQUIRE(events->control_count == (last - first < WSF_CONTROLS_MAX ? last - first : WSF_CONTROLS_MAX));
	for (unsigned i = 0; i < events->control_count; i++) {
		const struct wsf_control *one = &events->controls[i], *other;

		other = &all[last - events->control_count + i].control;
		REQUIRE(one->pong == other->pong && one->size == other->size);
		REQUIRE(memcmp(one->payload, other->payload, one->size) == 0);
	}
	REQUIRE(events->ping == (ping != NULL));
	if (ping != NULL)
		REQUIRE(events->ping_bytes == ping->size &&
		    memcmp(events->ping_payload, ping->payload, ping->size) == 0);
}

static void note_controls(struct run *run, const struct wsf_events *events, size_t end)
{
	struct seen seen = { .end = end };

	REQUIRE(events->control_count <= 1);
	if (events->control_count == 0)
		return;
	seen.control = events->controls[0];
	REQUIRE(seen.control.size <= WSF_CONTROL_PAYLOAD_MAX && events->ping == !seen.control.pong);
	fuzz_put(&run->result->seen, &seen, sizeof(seen));
}

/* A verdict is the last there is. */
static void note_events(struct run *run, struct wsf_events *events, size_t start, size_t end)
{
	struct result *result = run->result;

	REQUIRE(!result->close && result->fault == 0);
	if (run->reference != NULL)
		check_controls(run, events, start, end);
	else
		note_controls(run, events, end);
	if (events->ping)
		send_pong(&run->endpoint, events);
	if (events->answer != NULL) {
		REQUIRE(events->answer_bytes == strlen(events->answer) && result->answer.size == 0);
		fuzz_put(&result->answer, events->answer, events->answer_bytes);
		free(events->answer);
	}
	if (events->opened) {
		REQUIRE(!result->opened && run->options->handshake && run->endpoint.opening == NULL);
		REQUIRE(run->reference == NULL ||
		    (run->reference->opened_at > start && run->reference->opened_at <= end));
		result->opened = true;
		result->opened_at = end;
	}
	if (events->http_status != 0)
		result->http_status = events->http_status;
	result->close = events->close;
	if (events->close) {
		result->close_code = events->close_code;
		REQUIRE(memchr(events->close_reason, 0, sizeof(events->close_reason)) != NULL);
		memcpy(result->close_reason, events->close_reason, strlen(events->close_reason));
	}
	result->fault = events->fault;
	if (events->fault != 0) {
		REQUIRE(!events->close && fuzz_one_line(events->text, sizeof(events->text)));
		result->fault_code = events->fault_code;
		memcpy(result->text, events->text, strlen(events->text));
	}
	REQUIRE((events->close || events->fault != 0) == (run->endpoint.phase == WSF_PHASE_DONE));
}

static void prepare(struct wsf_events *events)
{
	/* What need not be set must not be used. */
	memset(events, 0xa5, sizeof(*events));
	events->answer = NULL;
	events->opened = events->ping = events->close = false;
	events->control_count = 0;
	events->fault = events->http_status = 0;
}

/* Into three spans of just their size. */
static size_t receive(struct run *run, const uint8_t *at, size_t size, size_t room, struct wsf_events *events)
{
	size_t first = fuzz_draw(&run->room_lot, (uint32_t)room + 1);
	size_t second = fuzz_draw(&run->room_lot, (uint32_t)(room - first) + 1), used;
	const size_t sizes[3] = { first, second, room - first - second };
	bool discard = run->reference != NULL && run->options->discard;
	struct wsf_sink sink = { .discard = discard };
	uint8_t *piece = fuzz_copy(at, size);

	for (int i = 0; i < 3 && !discard; i++)
		sink.span[i] = (struct iovec){ fuzz_memory(sizes[i]), sizes[i] };
	used = wsf_endpoint_receive(&run->endpoint, piece, size, &sink, events);
	REQUIRE(used <= size && sink.bytes <= room && (!discard || sink.bytes == 0));
	REQUIRE(used == size || (!discard && sink.bytes == room));
	for (size_t i = 0, left = sink.bytes; i < 3 && !discard; i++) {
		size_t n = left < sizes[i] ? left : sizes[i];

		fuzz_put(&run->result->payload, sink.span[i].iov_base, n);
		left -= n;
		free(sink.span[i].iov_base);
	}
	free(piece);
	return used;
}

/* Straight to their place, where all of them are payload. */
static void receive_there(struct run *run, const uint8_t *at, size_t size, struct wsf_events *events)
{
	uint8_t *place = fuzz_copy(at, size);
	size_t good = wsf_endpoint_received(&run->endpoint, place, size, events);

	REQUIRE(good <= size && (good == size || events->fault != 0));
	fuzz_put(&run->result->payload, place, good);
	free(place);
}

/* Returns how many bytes were taken. */
static size_t step(struct run *run, const uint8_t *at, size_t left, struct wsf_events *events)
{
	uint64_t payload = wsf_endpoint_payload_left(&run->endpoint);
	size_t n = run->reference != NULL ? fuzz_piece(&run->lot, left) : left > 0;
	size_t room = REFERENCE_ROOM_BYTES;

	/* What is left of a long payload, up to its last bytes, is only that. */
	if (payload > BULK_BYTES && left > BULK_BYTES && (run->reference == NULL || fuzz_draw(&run->room_lot, 2) == 0))
		n = (left < payload ? left : (size_t)payload) - fuzz_draw(&run->room_lot, BULK_BYTES);
	if (run->reference == NULL)
		return receive(run, at, n, room, events);
	if (n > 0 && payload > 0 && fuzz_draw(&run->room_lot, 3) == 0) {
		if (n > payload)
			n = (size_t)payload;
		receive_there(run, at, n, events);
		return n;
	}
	room = fuzz_piece(&run->room_lot, 1 + fuzz_draw(&run->room_lot, ROOM_MAX_BYTES)) +
	    (run->result->payload.size > ROOM_MAX_BYTES ? fuzz_draw(&run->room_lot, ROOM_MAX_BYTES) : 0);
	/* No room at all is no harm. */
	return receive(run, at, n, fuzz_draw(&run->room_lot, 16) == 0 ? 0 : room, events);
}

/* In the reference each message is looked at as it grows. */
static void check_limit(const struct run *run, size_t *start, uint64_t *messages)
{
	uint64_t limit = run->options->max_message_bytes, grown = run->result->payload.size - *start;
	const struct wsf_endpoint *endpoint = &run->endpoint;

	if (run->reference != NULL || limit == 0)
		return;
	REQUIRE(grown <= limit);
	/* And not before it is reached. */
	if (run->result->fault == EMSGSIZE && strcmp(run->result->text, "a message over the limit") == 0)
		REQUIRE(endpoint->message_is_deflated ? grown == limit : grown + endpoint->frame.payload_bytes > limit);
	if (run->endpoint.messages_received == *messages)
		return;
	*start = run->result->payload.size;
	*messages = run->endpoint.messages_received;
}

static void finish(struct run *run)
{
	const struct wsf_endpoint *endpoint = &run->endpoint;
	struct result *result = run->result;

	result->phase = endpoint->phase;
	result->in_message = endpoint->in_message;
	result->bytes_received = endpoint->bytes_received;
	result->messages_received = endpoint->messages_received;
	result->message_bytes = endpoint->message_bytes;
	result->compressed = endpoint->deflate.params.on;
	if (endpoint->extensions != NULL)
		strncpy(result->extensions, endpoint->extensions, sizeof(result->extensions) - 1);
	if (endpoint->subprotocol != NULL)
		strncpy(result->subprotocol, endpoint->subprotocol, sizeof(result->subprotocol) - 1);
	REQUIRE(run->reference != NULL || endpoint->bytes_received == result->payload.size);
	if (result->close || result->fault != 0)
		send_close(&run->endpoint, result);
	wsf_endpoint_clear(&run->endpoint);
}

static void run_wire(const struct options *options, const struct fuzz_buffer *wire, const struct result *reference,
    struct result *result)
{
	struct run run = {
		.options = options, .reference = reference, .result = result, .lot = fuzz_lot(options->seed),
		.room_lot = fuzz_lot(options->seed * 7 + 3),
	};
	uint64_t messages = 0, received = 0;
	size_t at = 0, start = 0;
	unsigned idle = 0;

	memset(result, 0, sizeof(*result));
	begin(&run);
	while (run.endpoint.phase != WSF_PHASE_DONE && (at < wire->size || wsf_endpoint_pending(&run.endpoint))) {
		struct wsf_events events;
		size_t used;

		prepare(&events);
		/* With a smaller one it depends on the room how far back zlib lets a distance lead. */
		run.endpoint.deflate.params.recv_window_bits = 15;
		used = step(&run, wire->data + at, wire->size - at, &events);
		note_events(&run, &events, at, at + used);
		at += used;
		check_limit(&run, &start, &messages);
		idle = used > 0 || run.endpoint.bytes_received > received ? 0 : idle + 1;
		REQUIRE(idle < IDLE_STEPS_MAX);
		received = run.endpoint.bytes_received;
	}
	finish(&run);
}

/* --- both --- */

static void compare(const struct options *options, const struct result *a, const struct result *b)
{
	REQUIRE(options->discard || fuzz_same(&a->payload, &b->payload));
	REQUIRE(fuzz_same(&a->answer, &b->answer) && a->opened == b->opened && a->http_status == b->http_status);
	REQUIRE(a->close == b->close && a->close_code == b->close_code);
	REQUIRE(strcmp(a->close_reason, b->close_reason) == 0);
	REQUIRE(a->fault == b->fault && a->fault_code == b->fault_code && strcmp(a->text, b->text) == 0);
	REQUIRE(a->phase == b->phase && a->in_message == b->in_message && a->compressed == b->compressed);
	REQUIRE(strcmp(a->extensions, b->extensions) == 0 && strcmp(a->subprotocol, b->subprotocol) == 0);
	REQUIRE(a->bytes_received == b->bytes_received && a->messages_received == b->messages_received);
	REQUIRE(a->message_bytes == b->message_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct options options = read_options(&in);
	struct fuzz_buffer wire = { 0 };
	struct result reference, other;

	if (options.script && options.handshake)
		fuzz_script_handshake(&wire, options.role, options.params.on);
	if (options.script)
		fuzz_script_frames(&wire, &in, options.role == WSF_SERVER, &options.params);
	else
		fuzz_put(&wire, in.at, in.left);
	run_wire(&options, &wire, NULL, &reference);
	run_wire(&options, &wire, &reference, &other);
	compare(&options, &reference, &other);
	result_clear(&reference);
	result_clear(&other);
	fuzz_buffer_clear(&wire);
	return 0;
}
