/* SPDX-License-Identifier: 0BSD */
/*
 * The library against other people's WebSockets, in both roles: "test_interop node|python DIRECTORY", where DIRECTORY
 * has the peers' scripts. Exit 77: that peer is not on this machine.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "interop/party.h"
#include "peer.h"
#include "wsfile.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define TOTAL_BYTES ((size_t)64 << 20)

/* --- tests: _i & 1 is the library's role --- */

START_TEST(megabytes_go_both_ways_and_we_close)
{
	struct party party;
	struct party_writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, NULL, "transfer", "library", NULL, NULL);
	writing = (struct party_writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, party_write, &writing);
	party_expect(party.half[0], "peer", TOTAL_BYTES);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, "library is done"), 0);
	party_expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(megabytes_go_both_ways_and_the_peer_closes)
{
	struct party party;
	struct party_writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, NULL, "transfer", "peer", NULL, NULL);
	writing = (struct party_writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, party_write, &writing);
	party_expect(party.half[0], "peer", TOTAL_BYTES);
	party_expect_end(party.half[0], 0, 1000, "peer is done");
	peer_join(thread);
	party_end(&party, 0);
}
END_TEST

struct close_case {
	unsigned code;			/* 0 = none */
	const char *reason;
	int error;			/* of our reader, where the peer closes */
	unsigned answer;		/* what the peer sees then */
};

static const struct close_case closes[] = {
	{ 1000, "", 0, 1000 },
	{ 1000, "done", 0, 1000 },
	{ 1001, "going away", 0, 1000 },
	{ 1003, "unsupported", ECONNABORTED, 1003 },
	{ 1008, "policy", ECONNABORTED, 1008 },
	{ 1011, "crash", ECONNABORTED, 1011 },
	{ 3000, "registered", ECONNABORTED, 3000 },
	{ 4999, "private \xe2\x82\xac", ECONNABORTED, 4999 },
};

/* The peer answers with the same code: that is no failure of its side. */
START_TEST(our_close_arrives_with_code_and_reason)
{
	const struct close_case *one = &closes[_i / 2];
	struct party party;
	char code[16];

	snprintf(code, sizeof code, "%u", one->code);
	party_open(&party, _i & 1, NULL, NULL, "closed", code, one->reason, NULL);
	ck_assert_int_eq(ws_shutdown(party.half[1], one->code, one->reason), 0);
	party_expect_end(party.half[0], 0, one->code, NULL);
	party_end(&party, 0);
}
END_TEST

static void peer_closes(const struct close_case *one, bool library_is_server)
{
	struct party party;
	char code[16], answer[16], data[6];

	snprintf(code, sizeof code, "%u", one->code);
	snprintf(answer, sizeof answer, "%u", one->answer);
	party_open(&party, library_is_server, NULL, NULL, "close", code, one->reason, answer);
	ck_assert_uint_eq(fread(data, 1, sizeof data, party.half[0]), sizeof data);
	ck_assert_mem_eq(data, "before", sizeof data);
	party_expect_end(party.half[0], one->error, one->code != 0 ? one->code : 1005, one->reason);
	party_end(&party, one->error);
}

START_TEST(the_peers_close_arrives_with_code_and_reason)
{
	peer_closes(&closes[_i / 2], _i & 1);
}
END_TEST

START_TEST(texts_go_both_ways)
{
	static const char want[] = "plain" "gr\xc3\xbc\xc3\x9f dich" "\xe2\x82\xac" "\xf0\x9f\x91\x8b" "caf\xc3\xa9 "
	    "\xf0\x9f\x98\x80 \xe4\xbd\xa0\xe5\xa5\xbd" "\xf0\x9f\x91\x8b!";
	struct ws_options options = WS_OPTIONS_INIT;
	struct party party;
	char got[sizeof want];

	options.text_frames = true;
	options.on_text = WS_TEXT_BYTES;
	party_open(&party, _i & 1, &options, NULL, "text", NULL, NULL, NULL);
	ck_assert_uint_eq(fread(got, 1, sizeof want - 1, party.half[0]), sizeof want - 1);
	ck_assert_mem_eq(got, want, sizeof want - 1);
	fputs("h\xc3\xa9llo ", party.half[1]);
	ck_assert_int_eq(fflush(party.half[1]), 0);
	fputs("\xe2\x82\xac \xf0\x9f", party.half[1]);
	ck_assert_int_eq(fflush(party.half[1]), 0);
	fputs("\x91\x8b", party.half[1]);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, NULL), 0);
	party_expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(an_answer_computed_after_the_peers_close_arrives)
{
	struct party party;
	struct party_writing writing;

	party_open(&party, _i & 1, NULL, NULL, "late", NULL, NULL, NULL);
	party_expect(party.half[0], "question", 1048576);
	party_expect_end(party.half[0], 0, 1000, "that was all");
	writing = (struct party_writing){ party.half[1], "answer", 1048576 };
	party_write(&writing);
	party_end(&party, 0);
}
END_TEST

/* --- Node alone: its streams, and a Close without a code --- */

START_TEST(a_node_stream_echoes)
{
	struct party party;
	struct party_writing writing;
	pthread_t thread;

	party_open(&party, _i & 1, NULL, NULL, "echo", NULL, NULL, NULL);
	writing = (struct party_writing){ party.half[1], "library", TOTAL_BYTES };
	peer_thread(&thread, party_write, &writing);
	party_expect(party.half[0], "library", TOTAL_BYTES);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, "library is done"), 0);
	party_expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}
END_TEST

START_TEST(a_node_stream_ends)
{
	struct party party;

	party_open(&party, _i & 1, NULL, NULL, "source", NULL, NULL, NULL);
	party_expect(party.half[0], "peer", TOTAL_BYTES);
	party_expect_end(party.half[0], 0, 1005, "");
	party_end(&party, 0);
}
END_TEST

START_TEST(a_close_without_a_code_is_clean)
{
	static const struct close_case none = { 0, "", 0, 1000 };

	peer_closes(&none, _i & 1);
}
END_TEST

static void add_tests(TCase *tcase, bool node)
{
	tcase_add_loop_test(tcase, megabytes_go_both_ways_and_we_close, 0, 2);
	tcase_add_loop_test(tcase, megabytes_go_both_ways_and_the_peer_closes, 0, 2);
	tcase_add_loop_test(tcase, our_close_arrives_with_code_and_reason, 0, 2 * COUNT(closes));
	tcase_add_loop_test(tcase, the_peers_close_arrives_with_code_and_reason, 0, 2 * COUNT(closes));
	tcase_add_loop_test(tcase, texts_go_both_ways, 0, 2);
	tcase_add_loop_test(tcase, an_answer_computed_after_the_peers_close_arrives, 0, 2);
	if (!node)
		return;
	tcase_add_loop_test(tcase, a_node_stream_echoes, 0, 2);
	tcase_add_loop_test(tcase, a_node_stream_ends, 0, 2);
	tcase_add_loop_test(tcase, a_close_without_a_code_is_clean, 0, 2);
}

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failed;

	if (argc != 3 || (strcmp(argv[1], "node") != 0 && strcmp(argv[1], "python") != 0)) {
		fprintf(stderr, "usage: test_interop node|python DIRECTORY\n");
		return 2;
	}
	if (!party_find(argv[1], argv[2]))
		return PARTY_SKIPPED;
	suite = suite_create(argv[1]);
	tcase = tcase_create("interop");
	runner = srunner_create(suite);
	tcase_set_timeout(tcase, 120);
	add_tests(tcase, strcmp(argv[1], "node") == 0);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
