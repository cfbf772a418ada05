/* SPDX-License-Identifier: 0BSD */
/*
 * permessage-deflate against other people's WebSockets, in both roles, with every parameter:
 * "test_interop_deflate node|python DIRECTORY [--full]", where DIRECTORY has the peers' scripts; --full: 100 MB each
 * way in place of 8. Exit 77: that peer is not on this machine.
 */
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "interop/party.h"
#include "peer.h"
#include "wsfile.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
/* Many times the largest window. */
#define GRID_BYTES ((size_t)1000000)

static size_t total_bytes = 8000000;

/* What one end may do, as both have to see it. */
struct end {
	int bits;
	bool fresh;			/* no context takeover */
};

struct agreement {
	bool none;
	struct end server, client;
};

/* What the library wants, of both ends: bits 0 = the default. */
struct wish {
	bool off;
	struct end send, recv;
};

struct deflate_case {
	const char *peer;		/* its parameters */
	struct wish wish;
	struct agreement agreed;
};

/* --- what was agreed --- */

static const char *how(const struct end *end)
{
	return end->fresh ? "fresh" : "kept";
}

/* "--agreed=" and what the peer has to see. */
static void describe(const struct agreement *agreed, char *text, size_t size)
{
	if (agreed->none)
		snprintf(text, size, "--agreed=none");
	else
		snprintf(text, size, "--agreed=server:%d:%s,client:%d:%s", agreed->server.bits, how(&agreed->server),
		    agreed->client.bits, how(&agreed->client));
}

static int bits_in(const char *extensions, const char *name)
{
	const char *found = strstr(extensions, name);

	return found == NULL ? 15 : (int)strtol(found + strlen(name), NULL, 10);
}

/*
 * As the answer says it; a client may do with less by its own wish, which its answer need not name (RFC 7692, sections
 * 7.1.1.2 and 7.1.2.2).
 */
static void expect_agreed(const struct party *party, const struct agreement *agreed, const struct wish *wish)
{
	struct ws_status status = WS_STATUS_INIT;
	struct end client = agreed->client;

	ck_assert_int_eq(ws_status(party->half[0], &status), 0);
	ck_assert_int_eq(status.compressed, !agreed->none);
	if (agreed->none) {
		ck_assert_str_eq(status.extensions, "");
		return;
	}
	ck_assert_int_eq(strncmp(status.extensions, "permessage-deflate", 18), 0);
	ck_assert_int_eq(bits_in(status.extensions, "server_max_window_bits="), agreed->server.bits);
	ck_assert_int_eq(strstr(status.extensions, "server_no_context_takeover") != NULL, agreed->server.fresh);
	if (!party->library_is_server && wish->send.bits != 0 && strstr(status.extensions, "client_max") == NULL)
		client.bits = 15;
	if (!party->library_is_server && wish->send.fresh)
		client.fresh = strstr(status.extensions, "client_no_context_takeover") != NULL;
	ck_assert_int_eq(bits_in(status.extensions, "client_max_window_bits="), client.bits);
	ck_assert_int_eq(strstr(status.extensions, "client_no_context_takeover") != NULL, client.fresh);
}

/* --- one transfer --- */

static void set_options(struct ws_options *options, const struct wish *wish)
{
	*options = (struct ws_options)WS_OPTIONS_INIT;
	options->compression = wish->off ? WS_COMPRESSION_OFF : WS_COMPRESSION_ON;
	if (wish->send.bits != 0)
		options->send_window_bits = wish->send.bits;
	if (wish->recv.bits != 0)
		options->recv_window_bits = wish->recv.bits;
	options->send_no_context_takeover = wish->send.fresh;
	options->recv_no_context_takeover = wish->recv.fresh;
}

static void transfer(bool library_is_server, const struct deflate_case *one, size_t total)
{
	char deflate[256], agreed[128], bytes[64];
	const char *settings[] = { deflate, agreed, bytes, NULL };
	struct party_writing writing;
	struct ws_options options;
	struct party party;
	pthread_t thread;

	snprintf(deflate, sizeof deflate, "--deflate=%s", one->peer);
	snprintf(bytes, sizeof bytes, "--total=%zu", total);
	describe(&one->agreed, agreed, sizeof agreed);
	set_options(&options, &one->wish);
	party_open(&party, library_is_server, &options, settings, "transfer", "library", NULL, NULL);
	expect_agreed(&party, &one->agreed, &one->wish);
	writing = (struct party_writing){ party.half[1], "library", total };
	peer_thread(&thread, party_write, &writing);
	party_expect(party.half[0], "peer", total);
	peer_join(thread);
	ck_assert_int_eq(ws_shutdown(party.half[1], 1000, "library is done"), 0);
	party_expect_end(party.half[0], 0, 1000, NULL);
	party_end(&party, 0);
}

/* --- cases --- */

#define KEPT(bits) { bits, false }
#define FRESH(bits) { bits, true }
#define NO_WISH { false, KEPT(0), KEPT(0) }
#define AGREED(server, client) { false, server, client }
#define NONE { true, KEPT(0), KEPT(0) }

/* The library is the client: it sends as the client does. */
static const struct deflate_case to_server[] = {
	{ "", NO_WISH, AGREED(KEPT(15), KEPT(15)) },
	{ "off", NO_WISH, NONE },
	{ "", { true, KEPT(0), KEPT(0) }, NONE },
	{ "server_no_context_takeover", NO_WISH, AGREED(FRESH(15), KEPT(15)) },
	{ "client_no_context_takeover", NO_WISH, AGREED(KEPT(15), FRESH(15)) },
	{ "server_max_window_bits=9", NO_WISH, AGREED(KEPT(9), KEPT(15)) },
	{ "client_max_window_bits=9", NO_WISH, AGREED(KEPT(15), KEPT(9)) },
	/* zlib can't compress for that one: the library sends as it is. */
	{ "client_max_window_bits=8", NO_WISH, AGREED(KEPT(15), KEPT(8)) },
	{ "server_no_context_takeover,client_no_context_takeover,server_max_window_bits=10,client_max_window_bits=11",
	    NO_WISH, AGREED(FRESH(10), FRESH(11)) },
	{ "", { false, KEPT(10), KEPT(0) }, AGREED(KEPT(15), KEPT(10)) },
	{ "", { false, KEPT(0), KEPT(10) }, AGREED(KEPT(10), KEPT(15)) },
	{ "", { false, FRESH(0), KEPT(0) }, AGREED(KEPT(15), FRESH(15)) },
	{ "", { false, KEPT(0), FRESH(0) }, AGREED(FRESH(15), KEPT(15)) },
	{ "", { false, FRESH(9), FRESH(9) }, AGREED(FRESH(9), FRESH(9)) },
	/* Both wish: the smaller window counts. */
	{ "server_max_window_bits=10", { false, KEPT(0), KEPT(12) }, AGREED(KEPT(10), KEPT(15)) },
	{ "client_max_window_bits=10", { false, KEPT(12), KEPT(0) }, AGREED(KEPT(15), KEPT(10)) },
	{ "server_no_context_takeover,client_no_context_takeover", { false, FRESH(13), FRESH(14) },
	    AGREED(FRESH(14), FRESH(13)) },
};

/* The library is the server. */
static const struct deflate_case to_client[] = {
	{ "client_max_window_bits", NO_WISH, AGREED(KEPT(15), KEPT(15)) },
	{ "", NO_WISH, AGREED(KEPT(15), KEPT(15)) },
	{ "off", NO_WISH, NONE },
	{ "client_max_window_bits", { true, KEPT(0), KEPT(0) }, NONE },
	{ "server_no_context_takeover", NO_WISH, AGREED(FRESH(15), KEPT(15)) },
	{ "client_no_context_takeover", NO_WISH, AGREED(KEPT(15), FRESH(15)) },
	{ "server_max_window_bits=9", NO_WISH, AGREED(KEPT(9), KEPT(15)) },
	{ "server_max_window_bits=8", NO_WISH, AGREED(KEPT(8), KEPT(15)) },
	{ "client_max_window_bits=9", NO_WISH, AGREED(KEPT(15), KEPT(9)) },
	{ "server_no_context_takeover,client_no_context_takeover,server_max_window_bits=10,client_max_window_bits=11",
	    NO_WISH, AGREED(FRESH(10), FRESH(11)) },
	{ "client_max_window_bits", { false, KEPT(10), KEPT(0) }, AGREED(KEPT(10), KEPT(15)) },
	{ "client_max_window_bits", { false, KEPT(0), KEPT(10) }, AGREED(KEPT(15), KEPT(10)) },
	/* A client that can't be told so would use the largest window. */
	{ "", { false, KEPT(0), KEPT(10) }, NONE },
	{ "client_max_window_bits", { false, FRESH(0), KEPT(0) }, AGREED(FRESH(15), KEPT(15)) },
	{ "", { false, KEPT(0), FRESH(0) }, AGREED(KEPT(15), FRESH(15)) },
	{ "client_max_window_bits", { false, FRESH(9), FRESH(9) }, AGREED(FRESH(9), FRESH(9)) },
	{ "server_max_window_bits=12,client_max_window_bits=10", { false, KEPT(10), KEPT(12) },
	    AGREED(KEPT(10), KEPT(10)) },
	{ "server_max_window_bits=10,client_max_window_bits=12", { false, KEPT(12), KEPT(10) },
	    AGREED(KEPT(10), KEPT(10)) },
	{ "server_no_context_takeover,client_no_context_takeover,client_max_window_bits",
	    { false, FRESH(13), FRESH(14) }, AGREED(FRESH(13), FRESH(14)) },
};

START_TEST(a_peers_server_agrees_and_megabytes_go_both_ways)
{
	transfer(false, &to_server[_i], total_bytes);
}
END_TEST

START_TEST(a_peers_client_agrees_and_megabytes_go_both_ways)
{
	transfer(true, &to_client[_i], total_bytes);
}
END_TEST

/* --- the grid: every window at both ends, kept or fresh, asked for by the library or by the peer --- */

#define WINDOWS 7
#define GRID (WINDOWS * 4 * 2 * 2)

static void ask_peer(char *text, size_t size, const struct agreement *agreed)
{
	snprintf(text, size, "server_max_window_bits=%d,client_max_window_bits=%d%s%s", agreed->server.bits,
	    agreed->client.bits, agreed->server.fresh ? ",server_no_context_takeover" : "",
	    agreed->client.fresh ? ",client_no_context_takeover" : "");
}

START_TEST(every_window_at_both_ends)
{
	bool library_is_server = (_i & 1) != 0, library_asks = (_i & 2) != 0;
	int window = _i / 16;
	const struct agreement agreed = {
		.server = { 9 + window, (_i & 4) != 0 },
		/* Other ones at the other end, and each of them, too. */
		.client = { 9 + (window * 3 + 2) % WINDOWS, (_i & 8) != 0 },
	};
	struct deflate_case one = { "", NO_WISH, agreed };
	char text[200];

	if (library_asks) {
		one.wish.send = library_is_server ? agreed.server : agreed.client;
		one.wish.recv = library_is_server ? agreed.client : agreed.server;
		if (library_is_server)
			one.peer = "client_max_window_bits";
	} else {
		ask_peer(text, sizeof text, &agreed);
		one.peer = text;
	}
	transfer(library_is_server, &one, GRID_BYTES);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	SRunner *runner;
	int failed;

	if (argc < 3 || argc > 4 || (strcmp(argv[1], "node") != 0 && strcmp(argv[1], "python") != 0) ||
	    (argc == 4 && strcmp(argv[3], "--full") != 0)) {
		fprintf(stderr, "usage: test_interop_deflate node|python DIRECTORY [--full]\n");
		return 2;
	}
	if (argc == 4)
		total_bytes = 100000000;
	if (!party_find(argv[1], argv[2]))
		return PARTY_SKIPPED;
	suite = suite_create(argv[1]);
	tcase = tcase_create("deflate");
	runner = srunner_create(suite);
	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, a_peers_server_agrees_and_megabytes_go_both_ways, 0, COUNT(to_server));
	tcase_add_loop_test(tcase, a_peers_client_agrees_and_megabytes_go_both_ways, 0, COUNT(to_client));
	tcase_add_loop_test(tcase, every_window_at_both_ends, 0, GRID);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
