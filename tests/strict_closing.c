/* SPDX-License-Identifier: 0BSD */
/* Section 7 of the strictness suite: the closing handshake: its order, codes, reasons, and ends without it. */
#include "strict.h"

#include <errno.h>
#include <string.h>

/* --- 7.1: the order --- */

#define CLOSE "RFC 6455, 5.5.1"
#define NOTHING_BEHIND "RFC 6455, 5.5.1: no data behind a Close; 1.4: what comes is discarded"
#define UNCLEAN "RFC 6455, 7.1.5: 1006"
#define ENDS(text, ...) { text, UNCLEAN, 0, ECONNRESET, { __VA_ARGS__ }, .fin = true }
#define NORMAL P(0x88, "\x03\xe8")

static const struct strict_frames orders[] = {
	FINE("a Close alone", CLOSE, NORMAL),
	FINE("a Close behind data", CLOSE, P(0x82, "data"), NORMAL),
	FINE("a Close behind fragments", CLOSE, P(0x02, "da"), P(0x80, "ta"), NORMAL),
	FINE("a Close behind 256 KiB", CLOSE, FILL(0x82, 262144), NORMAL),
	FINE("data behind a Close", NOTHING_BEHIND, P(0x82, "a"), NORMAL, LOST(0x82, "late")),
	FINE("a text behind a Close", NOTHING_BEHIND, P(0x82, "a"), NORMAL, LOST(0x81, "late")),
	FINE("a fragment behind a Close", NOTHING_BEHIND, P(0x82, "a"), NORMAL, LOST(0x02, "late")),
	FINE("a ping behind a Close", NOTHING_BEHIND, P(0x82, "a"), NORMAL, LOST(0x89, "late")),
	FINE("another Close behind a Close", NOTHING_BEHIND, P(0x82, "a"), NORMAL, LOST(0x88, "\x03\xe9")),
	FINE("a bad Close behind a Close", NOTHING_BEHIND, NORMAL, LOST(0x88, "\x03")),
	FINE("a reserved opcode behind a Close", NOTHING_BEHIND, NORMAL, LOST(0x83, "late")),
	FINE("garbage behind a Close", NOTHING_BEHIND, NORMAL, RAW("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
	FINE("64 KiB behind a Close", NOTHING_BEHIND, NORMAL, { .piece = DUO_PIECE(0x82, ""), .fill_bytes = 65536,
	    .lost = true }),
	BREAKS("a Close inside a message", "RFC 6455, 5.4 lets it come; half a message is no clean end", P(0x02, "a"),
	    NORMAL),
	BREAKS("a Close with 1001 inside a message", "as above", P(0x02, "a"), P(0x88, "\x03\xe9")),
	BREAKS("an empty Close inside a message", "as above", P(0x02, "a"), P(0x00, "b"), P(0x88, "")),
	BREAKS("a Close inside a message without bytes", "as above", P(0x02, ""), NORMAL),
	{ "a Close with 1011 inside a message", "RFC 6455, 5.4 and 7.4.1", 1011, ECONNABORTED,
	    { P(0x02, "a"), P(0x88, "\x03\xf3") }, .received = 1011 },
	BREAKS("a Close in fragments", "RFC 6455, 5.5", P(0x82, "a"), LOST(0x08, "\x03\xe8"), LOST(0x80, "bye")),
	BREAKS("a Close of 126 bytes", "RFC 6455, 5.5", P(0x82, "a"),
	    LOST(0x88, "\x03\xe8" DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 "abcdefghijklmnopqrstuvwx")),
	BREAKS_AT_ONCE("a Close that declares 126 bytes", "RFC 6455, 5.5", P(0x82, "a"),
	    DECLARED(0x88, "\x03\xe8", DUO_16, 126)),
	ENDS("the end of TCP at once", RAW("")),
	ENDS("the end of TCP behind a message", P(0x82, "data")),
	ENDS("the end of TCP behind one byte of a header", P(0x82, "data"), RAW("\x82")),
	ENDS("the end of TCP inside a length of 16 bits", P(0x82, "data"), DECLARED(0x82, "", DUO_16, 500)),
	ENDS("the end of TCP inside a length of 64 bits", P(0x82, "data"), RAW("\x82\xff\0\0\0")),
	ENDS("the end of TCP behind a header", P(0x82, "data"), DECLARED(0x82, "", DUO_SHORTEST, 5)),
	ENDS("the end of TCP inside a payload", P(0x82, "data"),
	    { .piece = DUO_DECLARED(0x82, "hell", DUO_SHORTEST, 5), .lost = true, .keep_bytes = 4 }),
	ENDS("the end of TCP inside 2^62 bytes", { .piece = DUO_DECLARED(0x82, "hell", DUO_64, UINT64_C(1) << 62),
	    .lost = true, .keep_bytes = 4 }),
	ENDS("the end of TCP inside 2^63 - 1 bytes", { .piece = DUO_DECLARED(0x82, "hell", DUO_64, INT64_MAX),
	    .lost = true, .keep_bytes = 4 }),
	ENDS("the end of TCP between fragments", P(0x02, "da"), P(0x00, "ta")),
	ENDS("the end of TCP inside a ping", P(0x82, "data"), DECLARED(0x89, "x", DUO_SHORTEST, 2)),
	ENDS("the end of TCP inside a Close", P(0x82, "data"), DECLARED(0x88, "\x03", DUO_SHORTEST, 2)),
	ENDS("the end of TCP behind a Close's header", P(0x82, "data"), DECLARED(0x88, "", DUO_SHORTEST, 2)),
	ENDS("the end of TCP inside a Close's reason", P(0x82, "data"),
	    DECLARED(0x88, "\x03\xe8" "bye", DUO_SHORTEST, 6)),
};

START_TEST(a_close_is_the_end)
{
	strict_run_frames("7.1", _i, &orders[_i]);
}
END_TEST

/* --- 7.2: codes --- */

enum verdict { CLEAN, ABNORMAL, INVALID };

static const struct {
	unsigned code;
	enum verdict verdict;
	const char *source;
} codes[] = {
	{ 0, INVALID, "RFC 6455, 7.4.2: 0 to 999 are not used" },
	{ 1, INVALID, "RFC 6455, 7.4.2: 0 to 999 are not used" },
	{ 100, INVALID, "RFC 6455, 7.4.2: 0 to 999 are not used" },
	{ 999, INVALID, "RFC 6455, 7.4.2: 0 to 999 are not used" },
	{ 1000, CLEAN, "RFC 6455, 7.4.1: normal" },
	{ 1001, CLEAN, "RFC 6455, 7.4.1: going away" },
	{ 1002, ABNORMAL, "RFC 6455, 7.4.1: protocol error" },
	{ 1003, ABNORMAL, "RFC 6455, 7.4.1: a type that can't be accepted" },
	{ 1004, INVALID, "RFC 6455, 7.4.1: reserved" },
	{ 1005, INVALID, "RFC 6455, 7.4.1: MUST NOT be sent" },
	{ 1006, INVALID, "RFC 6455, 7.4.1: MUST NOT be sent" },
	{ 1007, ABNORMAL, "RFC 6455, 7.4.1: data that does not fit its type" },
	{ 1008, ABNORMAL, "RFC 6455, 7.4.1: policy" },
	{ 1009, ABNORMAL, "RFC 6455, 7.4.1: too big" },
	{ 1010, ABNORMAL, "RFC 6455, 7.4.1: an extension is missing" },
	{ 1011, ABNORMAL, "RFC 6455, 7.4.1: unexpected condition" },
	{ 1012, ABNORMAL, "IANA's registry: service restart" },
	{ 1013, ABNORMAL, "IANA's registry: try again later" },
	{ 1014, ABNORMAL, "IANA's registry: bad gateway" },
	{ 1015, INVALID, "RFC 6455, 7.4.1: MUST NOT be sent" },
	{ 1016, INVALID, "RFC 6455, 7.4.2: reserved for the protocol" },
	{ 1100, INVALID, "RFC 6455, 7.4.2: reserved for the protocol" },
	{ 1999, INVALID, "RFC 6455, 7.4.2: reserved for the protocol" },
	{ 2000, INVALID, "RFC 6455, 7.4.2: reserved for the protocol" },
	{ 2999, INVALID, "RFC 6455, 7.4.2: reserved for the protocol" },
	{ 3000, ABNORMAL, "RFC 6455, 7.4.2: registered by libraries" },
	{ 3999, ABNORMAL, "RFC 6455, 7.4.2: registered by libraries" },
	{ 4000, ABNORMAL, "RFC 6455, 7.4.2: private use" },
	{ 4999, ABNORMAL, "RFC 6455, 7.4.2: private use" },
	{ 5000, INVALID, "RFC 6455, 7.4: beyond what is defined" },
	{ 32768, INVALID, "RFC 6455, 7.4: beyond what is defined" },
	{ 65535, INVALID, "RFC 6455, 7.4: beyond what is defined" },
};

static void run_close(const char *section, int row, const char *text, const char *source, const char *payload,
    size_t size, unsigned code, enum verdict verdict)
{
	struct strict_frames one = BREAKS(text, source, P(0x82, "before"), P(0x88, ""));

	one.steps[1].piece.payload = payload;
	one.steps[1].piece.size = size;
	if (verdict != INVALID) {
		one.code = verdict == CLEAN ? 1000 : code;
		one.error = verdict == CLEAN ? 0 : ECONNABORTED;
		one.received = code;
		one.reason = size > 2 ? payload + 2 : "";
	}
	strict_run_frames(section, row, &one);
}

/* _i: the code, then whether there is a reason */
START_TEST(a_code_is_valid_or_refused)
{
	unsigned code = codes[_i / 2].code;
	char payload[16] = { (char)(code >> 8), (char)code, 'b', 'y', 'e' }, text[64];

	snprintf(text, sizeof text, "code %u%s", code, _i % 2 == 0 ? "" : " and a reason");
	run_close("7.2", _i, text, codes[_i / 2].source, payload, _i % 2 == 0 ? 2 : 5, code, codes[_i / 2].verdict);
}
END_TEST

/* --- 7.3: payloads --- */

static const struct strict_frames payloads[] = {
	{ "an empty Close", "RFC 6455, 5.5.1 and 7.1.5: 1005", 1000, 0, { P(0x82, "before"), P(0x88, "") },
	    .received = 1005 },
	BREAKS("a Close of one byte", "RFC 6455, 5.5.1: a body begins with two bytes", P(0x82, "before"),
	    P(0x88, "\x03")),
	BREAKS("a Close of one byte 0", "RFC 6455, 5.5.1: a body begins with two bytes", P(0x88, "\0")),
	{ "a reason of 123 bytes", "RFC 6455, 5.5", 1000, 0, { P(0x88, "\x03\xe8" DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
	    DUO_TEXT_25 "abcdefghijklmnopqrstuvw") }, .reason = DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
	    "abcdefghijklmnopqrstuvw" },
	{ "a reason of 122 bytes", "RFC 6455, 5.5", 1000, 0, { P(0x88, "\x03\xe8" DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
	    DUO_TEXT_25 "abcdefghijklmnopqrstuv") }, .reason = DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
	    "abcdefghijklmnopqrstuv" },
	BREAKS("a bad code and a reason that is not UTF-8", "RFC 6455, 7.4", P(0x88, "\x03\xec\xff")),
};

START_TEST(a_payload_is_valid_or_refused)
{
	strict_run_frames("7.3", _i, &payloads[_i]);
}
END_TEST

/* --- 7.4: reasons --- */

START_TEST(a_reason_is_valid_or_refused)
{
	const struct strict_utf8 *row = strict_utf8_row(_i);
	struct strict_frames one = { row->text, "RFC 6455, 5.5.1 and 8.1", 1000, 0, { P(0x82, "before"), P(0x88, "") },
		.received = 1000 };
	char payload[128] = "\x03\xe8";

	ck_assert_uint_le(row->size, 123);
	memcpy(payload + 2, row->bytes, row->size);
	one.steps[1].piece.payload = payload;
	one.steps[1].piece.size = 2 + row->size;
	one.reason = payload + 2;
	if (!row->valid) {
		one.code = 1007;
		one.error = EILSEQ;
		one.received = 0;
		one.reason = NULL;
	}
	strict_run_frames("7.4", _i, &one);
}
END_TEST

/* --- 7.5: begun by the library --- */

#define ANSWER "RFC 6455, 5.5.1 and 7.1.2"

static const struct begun {
	const char *text, *source;
	unsigned code;			/* of the library's Close */
	const char *reason;
	struct strict_step steps[STRICT_STEPS];	/* the peer's answer */
	int error;			/* of the reader, and of fclose */
	const char *data;		/* for the reader */
	bool fin;			/* TCP ends behind the answer, whoever should end it */
} begun[] = {
	{ "answered by the same", ANSWER, 1000, NULL, { NORMAL }, 0, "", false },
	{ "with a reason", ANSWER, 1000, "bye", { NORMAL }, 0, "", false },
	{ "with a reason of 123 bytes", "RFC 6455, 5.5", 1000, DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25 DUO_TEXT_25
	    "abcdefghijklmnopqrstuvw", { NORMAL }, 0, "", false },
	{ "with a reason beyond ASCII", ANSWER, 1000, "caf\xc3\xa9 \xf0\x9f\x91\x8b", { NORMAL }, 0, "", false },
	{ "with 1001", ANSWER, 1001, NULL, { P(0x88, "\x03\xe9") }, 0, "", false },
	{ "with 1003", ANSWER, 1003, NULL, { P(0x88, "\x03\xeb") }, 0, "", false },
	{ "with 1007", ANSWER, 1007, NULL, { P(0x88, "\x03\xef") }, 0, "", false },
	{ "with 1008", ANSWER, 1008, NULL, { P(0x88, "\x03\xf0") }, 0, "", false },
	{ "with 1009", ANSWER, 1009, NULL, { P(0x88, "\x03\xf1") }, 0, "", false },
	{ "with 1010", ANSWER, 1010, NULL, { P(0x88, "\x03\xf2") }, 0, "", false },
	{ "with 1011", ANSWER, 1011, NULL, { P(0x88, "\x03\xf3") }, 0, "", false },
	{ "with 3000", ANSWER, 3000, "x", { P(0x88, "\x0b\xb8") }, 0, "", false },
	{ "with 4999", ANSWER, 4999, "x", { P(0x88, "\x13\x87") }, 0, "", false },
	{ "with 4000, answered by 1000", ANSWER, 4000, NULL, { NORMAL }, 0, "", false },
	{ "answered by an empty Close", ANSWER, 1000, NULL, { P(0x88, "") }, 0, "", false },
	{ "answered by 1001", ANSWER, 1000, NULL, { P(0x88, "\x03\xe9") }, 0, "", false },
	{ "answered by 1011", ANSWER, 1000, NULL, { P(0x88, "\x03\xf3") }, ECONNABORTED, "", false },
	{ "answered behind more data", "RFC 6455, 5.5.1: until the answer data may come", 1000, NULL,
	    { P(0x82, "more"), P(0x02, " and"), P(0x80, " more"), NORMAL }, 0, "more and more", false },
	{ "answered behind 64 KiB", "RFC 6455, 5.5.1", 1000, NULL, { FILL(0x82, 65536), NORMAL }, 0, NULL, false },
	{ "answered behind a ping", "RFC 6455, 5.5.1: nothing is sent behind a Close", 1000, NULL,
	    { P(0x89, "ping"), NORMAL }, 0, "", false },
	{ "answered behind a pong", "RFC 6455, 5.5.3", 1000, NULL, { P(0x8a, "pong"), NORMAL }, 0, "", false },
	{ "answered, then data", "RFC 6455, 5.5.1", 1000, NULL, { NORMAL, LOST(0x82, "late") }, 0, "", false },
	{ "answered by a bad code", "RFC 6455, 7.4", 1000, NULL, { P(0x88, "\x03\xed") }, EPROTO, "", false },
	{ "answered by one byte", "RFC 6455, 5.5.1", 1000, NULL, { P(0x88, "\x03") }, EPROTO, "", false },
	{ "answered by a bad reason", "RFC 6455, 8.1", 1000, NULL, { P(0x88, "\x03\xe8\xff") }, EILSEQ, "", false },
	{ "answered by a reserved opcode", "RFC 6455, 5.2", 1000, NULL, { P(0x82, "a"), LOST(0x83, "x") }, EPROTO, "a",
	    false },
	{ "answered by a reserved bit", "RFC 6455, 5.2", 1000, NULL, { P(0x82, "a"), LOST(0xa2, "x") }, EPROTO, "a",
	    false },
	{ "answered by a text", "RFC 6455, 7.4.1", 1000, NULL, { P(0x82, "a"), LOST(0x81, "x") }, EBADMSG, "a", false },
	{ "answered by the wrong mask", "RFC 6455, 5.1", 1000, NULL, { { .piece = DUO_WRONG_MASK(0x88, "\x03\xe8") } },
	    EPROTO, "", false },
	{ "answered inside a message", "half a message is no clean end", 1000, NULL, { P(0x02, "a"), NORMAL }, EPROTO,
	    "a", false },
	{ "answered by the end of TCP", UNCLEAN, 1000, NULL, { RAW("") }, ECONNRESET, "", true },
	{ "answered by data and the end of TCP", UNCLEAN, 1000, NULL, { P(0x82, "data") }, ECONNRESET, "data", true },
	{ "answered by half a Close and the end of TCP", UNCLEAN, 1000, NULL,
	    { DECLARED(0x88, "\x03", DUO_SHORTEST, 2) }, ECONNRESET, "", true },
};

static void answer_close(struct strict_peer *peer)
{
	const struct begun *one = peer->argument;
	struct duo_bytes wire = { NULL, 0, 0 }, data = { NULL, 0, 0 };

	strict_handshake(peer, NULL);
	strict_take_to_close(peer);
	strict_insist(peer->code == one->code, "the library's Close has %u", peer->code);
	strict_insist(strcmp(peer->reason, one->reason != NULL ? one->reason : "") == 0, "and the reason \"%s\"",
	    peer->reason);
	for (const struct strict_step *step = one->steps; step->piece.payload != NULL; step++)
		strict_put_step(step, !peer->tls.server, &wire, &data);
	strict_send_in(peer, &wire, STRICT_WHOLE);
	if (one->fin)
		strict_fin(peer);
	strict_take_end(peer, one->error == 0);
	duo_clear(&wire);
	duo_clear(&data);
}

static void run_begun(struct strict_link *link, const struct begun *one)
{
	struct duo_bytes got = { NULL, 0, 0 };
	struct strict_peer peer = { .text = false };
	FILE *stream;
	int error, result;

	strict_begin(&peer, link, answer_close, (void *)(uintptr_t)one);
	stream = strict_stream(link, "r+");
	strict_insist(stream != NULL, "%s", ws_last_error()->text);
	strict_insist(fputs("farewell", stream) >= 0, "%s", strerror(errno));
	strict_insist(ws_shutdown(stream, one->code, one->reason) == 0, "ws_shutdown: %s", strerror(errno));
	error = duo_read(stream, &got);
	strict_insist(error == one->error, "the reader got %s, not %s", strerror(error), strerror(one->error));
	strict_insist(one->data == NULL ? got.size == 65536 : got.size == strlen(one->data) &&
	    (got.size == 0 || memcmp(got.data, one->data, got.size) == 0), "read %zu bytes", got.size);
	errno = 0;
	result = fclose(stream);
	strict_insist(one->error == 0 ? result == 0 : result == EOF && errno == one->error, "fclose: %d, %s", result,
	    strerror(errno));
	strict_join(&peer);
	strict_insist(peer.data.size == 8 && memcmp(peer.data.data, "farewell", 8) == 0, "the peer got not all");
	duo_clear(&got);
	strict_clear(&peer);
}

START_TEST(a_close_of_ours_is_answered)
{
	struct ws_options options = strict_options();
	struct strict_link link;

	strict_case_begin("7.5", _i, begun[_i].text, begun[_i].source);
	strict_listen(&link, &options);
	run_begun(&link, &begun[_i]);
	strict_unlisten(&link);
	strict_case_end();
}
END_TEST

void strict_add_closing(Suite *suite)
{
	TCase *tcase = strict_tcase(suite, "7");

	tcase_add_loop_test(tcase, a_close_is_the_end, 0, STRICT_COUNT(orders));
	tcase_add_loop_test(tcase, a_code_is_valid_or_refused, 0, 2 * STRICT_COUNT(codes));
	tcase_add_loop_test(tcase, a_payload_is_valid_or_refused, 0, STRICT_COUNT(payloads));
	tcase_add_loop_test(tcase, a_reason_is_valid_or_refused, 0, strict_utf8_count());
	tcase_add_loop_test(tcase, a_close_of_ours_is_answered, 0, STRICT_COUNT(begun));
}
