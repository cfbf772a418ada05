/* SPDX-License-Identifier: 0BSD */
/*
 * Secrets are in no byte of the process's memory once a stream is open, or has failed to open. The test has them only
 * XORed, the peer is another process, and all that can be read is searched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "memcheck.h"
#include "pki.h"
#include "tls_wire.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define KEY 0x5a
#define MAPPINGS_MAX 1024
/* The memory of an idle stream is given back after a tenth of a second or so; on a busy machine later. */
#define LATE_MS 2500

/* --- the secrets --- */

#define H(letter) ((letter) ^ KEY)

/* "K7v-quiet-Lantern-93x" */
static const volatile unsigned char password[] = { H('K'), H('7'), H('v'), H('-'), H('q'), H('u'), H('i'), H('e'),
	H('t'), H('-'), H('L'), H('a'), H('n'), H('t'), H('e'), H('r'), H('n'), H('-'), H('9'), H('3'), H('x') };

/* The base64 of "wanda:" and the password, without the first 8, which are of the name. */
static const volatile unsigned char encoded[] = { H('S'), H('z'), H('d'), H('2'), H('L'), H('X'), H('F'), H('1'),
	H('a'), H('W'), H('V'), H('0'), H('L'), H('U'), H('x'), H('h'), H('b'), H('n'), H('R'), H('l'), H('c'), H('m'),
	H('4'), H('t'), H('O'), H('T'), H('N'), H('4') };

/* Behind text, byte by byte: no function gets to copy it. */
static void reveal(char *text, const volatile unsigned char *secret, size_t size)
{
	size_t used = strlen(text);

	for (size_t i = 0; i < size; i++)
		text[used + i] = (char)(secret[i] ^ KEY);
	text[used + size] = '\0';
}

/* --- looking through memory --- */

struct mapping {
	const volatile unsigned char *start, *end;
};

static size_t list_mappings(struct mapping out[MAPPINGS_MAX])
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], mode[8], name[256];
	unsigned long start, end;
	size_t count = 0;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof line, maps) != NULL) {
		name[0] = '\0';
		ck_assert_int_ge(sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &end, mode, name), 3);
		/* [vvar] and [vsyscall] are the kernel's. */
		if (mode[0] != 'r' || strncmp(name, "[v", 2) == 0)
			continue;
		ck_assert_uint_lt(count, MAPPINGS_MAX);
		out[count].start = (const volatile unsigned char *)start;
		out[count++].end = (const volatile unsigned char *)end;
	}
	fclose(maps);
	return count;
}

static const volatile unsigned char *find(const struct mapping *mapping, const volatile unsigned char *secret,
    size_t size)
{
	const volatile unsigned char *end = mapping->end - size;
	unsigned char first = secret[0] ^ KEY;

	for (const volatile unsigned char *at = mapping->start; at <= end; at++) {
		size_t i;

		if (*at != first)
			continue;
		for (i = 1; i < size && at[i] == (secret[i] ^ KEY); i++)
			;
		if (i == size)
			return at;
	}
	return NULL;
}

static bool memory_has(const volatile unsigned char *secret, size_t size)
{
	static struct mapping mappings[MAPPINGS_MAX];
	size_t count = list_mappings(mappings);

	for (size_t i = 0; i < count; i++) {
		if (find(&mappings[i], secret, size) != NULL)
			return true;
	}
	return false;
}

/* Sanitizers and valgrind keep copies and much memory of their own. */
static bool can_look(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
	return false;
#endif
#endif
	return !under_valgrind();
}

START_TEST(a_secret_that_is_there_is_found)
{
	char *kept;

	if (!can_look())
		return;
	kept = calloc(1, 64);
	ck_assert_ptr_nonnull(kept);
	ck_assert(!memory_has(password, sizeof password));
	reveal(kept, password, sizeof password);
	ck_assert(memory_has(password, sizeof password));
	explicit_bzero(kept, 64);
	ck_assert(!memory_has(password, sizeof password));
	free(kept);
}
END_TEST

/* --- the peer, a process of its own --- */

enum answer { ANSWER_OPEN, ANSWER_401, ANSWER_CUT, ANSWER_GARBAGE, ANSWER_NO_TLS, ANSWERS };

struct other {
	pid_t pid;
	unsigned port;
	bool late;			/* the answer comes LATE_MS behind the request */
};

static const char *const refusals[] = {
	[ANSWER_401] = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\r\n",
	[ANSWER_CUT] = "HTTP/1.1 101 Switch",
	[ANSWER_GARBAGE] = "220 mail.example ESMTP\r\n",
};

/* Returns whether the request had the secret. */
static bool serve(struct tls_peer *peer, enum answer answer, bool proxied, const volatile unsigned char *secret,
    size_t size)
{
	char expected[64] = "", *request;
	bool told;

	reveal(expected, secret, size);
	if (proxied) {
		request = tls_peer_serve_answer(peer, "HTTP/1.1 200 OK\r\n\r\n");
		told = strstr(request, expected) != NULL;
		free(request);
		request = tls_peer_serve_handshake(peer);
	} else {
		request = answer == ANSWER_OPEN ? tls_peer_serve_handshake(peer) :
		    tls_peer_serve_answer(peer, refusals[answer]);
		told = strstr(request, expected) != NULL;
	}
	free(request);
	if (answer == ANSWER_OPEN)
		return tls_peer_finish(peer, NULL, NULL) == 1000 && told;
	tls_peer_fin(peer);
	tls_peer_end(peer);
	return told;
}

static void start_other(struct other *other, enum answer answer, bool tls, bool proxied,
    const volatile unsigned char *secret, size_t size)
{
	struct tls_setup setup = { .plain = !tls, .cert_file = pki_file("server.pem"),
		.key_file = pki_file("server.key") };
	int listener = peer_listen(&other->port);
	struct tls_peer peer;

	other->pid = fork();
	ck_assert_int_ge(other->pid, 0);
	if (other->pid == 0) {
		int fd = peer_accept(listener);

		if (answer == ANSWER_NO_TLS) {
			peer_try_send(fd, "220 no TLS here\r\n", 17);
			peer_fin(fd);
			peer_was_reset(fd);
			_exit(0);
		}
		tls_peer_open(&peer, fd, true, &setup);
		peer.hesitate_ms = other->late ? LATE_MS : 0;
		_exit(serve(&peer, answer, proxied, secret, size) ? 0 : 3);
	}
	close(listener);
}

static void end_other(const struct other *other)
{
	int status;

	ck_assert_int_eq(waitpid(other->pid, &status, 0), other->pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the peer ended with 0x%x: %s", (unsigned)status,
	    WIFEXITED(status) && WEXITSTATUS(status) == 3 ? "it was not told the secret" : "it failed");
}

/* --- what is told, and by which means --- */

enum means { BY_URL, BY_USERINFO, BY_BEARER, BY_HEADER, BY_PROXY, MEANS };

/* The call, with everything it is given wiped behind it. */
static FILE *open_with(enum means means, bool tls, const struct other *other)
{
	struct ws_options options = tls_client_options();
	char url[256], secret[256] = "", host[64];
	const char *headers[] = { secret, NULL };
	FILE *stream;
	int error;

	snprintf(host, sizeof host, "localhost:%u/", other->port);
	snprintf(url, sizeof url, "%s://%s", tls ? "wss" : "ws", means == BY_URL ? "wanda:" : "");
	if (means == BY_URL) {
		reveal(url, password, sizeof password);
		strncat(url, "@", sizeof url - strlen(url) - 1);
	}
	strncat(url, means == BY_PROXY ? "name.invalid/" : host, sizeof url - strlen(url) - 1);
	if (means == BY_USERINFO || means == BY_PROXY)
		snprintf(secret, sizeof secret, "%swanda:", means == BY_PROXY ? "http://" : "");
	else if (means == BY_HEADER)
		snprintf(secret, sizeof secret, "X-Api-Key: ");
	if (means != BY_URL)
		reveal(secret, password, sizeof password);
	if (means == BY_PROXY) {
		strncat(secret, "@", sizeof secret - strlen(secret) - 1);
		strncat(secret, host, sizeof secret - strlen(secret) - 1);
		options.proxy = secret;
	}
	options.userinfo = means == BY_USERINFO ? secret : NULL;
	options.bearer = means == BY_BEARER ? secret : NULL;
	options.headers = means == BY_HEADER ? headers : NULL;
	/* A small one, so that it comes from malloc and others may get it, unwiped. */
	if (other->late)
		options.send_buffer_bytes = 4096;
	stream = ws_fopen_with(url, "r+", &options);
	error = errno;
	explicit_bzero(url, sizeof url);
	explicit_bzero(secret, sizeof secret);
	errno = error;
	return stream;
}

static void check_memory(const char *when)
{
	ck_assert_msg(!memory_has(password, sizeof password), "the secret is in memory %s", when);
	ck_assert_msg(!memory_has(encoded, sizeof encoded), "the secret is in memory as base64 %s", when);
}

static void start(struct other *other, enum answer answer, bool tls, enum means means)
{
	if (means == BY_BEARER || means == BY_HEADER)
		start_other(other, answer, tls, false, password, sizeof password);
	else
		start_other(other, answer, tls, means == BY_PROXY, encoded, sizeof encoded);
}

/* _i: the means, then ws or wss */
START_TEST(an_open_stream_has_wiped_its_secrets)
{
	bool tls = _i % 2 == 1;
	enum means means = (enum means)(_i / 2);
	struct other other = { .late = false };
	FILE *stream;

	if (!can_look() || (tls && means == BY_PROXY))
		return;
	start(&other, ANSWER_OPEN, tls, means);
	stream = open_with(means, tls, &other);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	check_memory("while the stream is open");
	ck_assert_int_eq(fclose(stream), 0);
	check_memory("after fclose");
	end_other(&other);
}
END_TEST

/* The request is sent and forgotten long before the answer. _i: the means, then ws or wss */
START_TEST(a_late_answer_finds_no_secret)
{
	static const enum means all[] = { BY_USERINFO, BY_HEADER };
	struct other other = { .late = true };
	bool tls = _i % 2 == 1;
	FILE *stream;

	if (!can_look())
		return;
	start(&other, ANSWER_OPEN, tls, all[_i / 2]);
	stream = open_with(all[_i / 2], tls, &other);
	ck_assert_msg(stream != NULL, "%s", ws_last_error()->text);
	check_memory("while the stream is open");
	ck_assert_int_eq(fclose(stream), 0);
	check_memory("after fclose");
	end_other(&other);
}
END_TEST

/* _i: the means, ws or wss, then how it fails */
START_TEST(a_failed_opening_has_wiped_its_secrets)
{
	enum answer answer = (enum answer)(_i % ANSWERS);
	bool tls = _i / ANSWERS % 2 == 1;
	enum means means = (enum means)(_i / ANSWERS / 2);
	struct other other = { .late = false };

	if (!can_look() || answer == ANSWER_OPEN || means == BY_PROXY || (answer == ANSWER_NO_TLS && !tls))
		return;
	start(&other, answer, tls, means);
	ck_assert_ptr_null(open_with(means, tls, &other));
	check_memory("after the failure");
	end_other(&other);
}
END_TEST

/* _i: the means. Nobody listens; and URLs that are none. */
START_TEST(an_opening_that_never_began_has_wiped_its_secrets)
{
	struct other nobody = { .port = 0 };
	char url[256] = "ws://wanda:";

	if (!can_look())
		return;
	/* Port 0 is no port: EINVAL. */
	ck_assert_ptr_null(open_with((enum means)_i, false, &nobody));
	check_memory("after the failure");
	reveal(url, password, sizeof password);
	strncat(url, "@127.0.0.1:1/#", sizeof url - strlen(url) - 1);
	ck_assert_ptr_null(ws_fopen(url, "r"));
	explicit_bzero(url, sizeof url);
	check_memory("after a bad URL");
}
END_TEST

/*
 * A function that is bound at its first call has the vector registers put on the stack by the dynamic linker, with what
 * strlen or memcpy left in them; so all are bound at the start.
 */
static void bind_at_once(char *const argv[])
{
	if (getenv("LD_BIND_NOW") != NULL)
		return;
	setenv("LD_BIND_NOW", "1", 1);
	execv("/proc/self/exe", argv);
	perror("/proc/self/exe");
	exit(EXIT_FAILURE);
}

int main(int argc, char *argv[])
{
	Suite *suite;
	TCase *tcase;
	int result;

	(void)argc;
	bind_at_once(argv);
	suite = suite_create("wiped");
	tcase = wire_case(suite, "wiped");
	pki_begin();
	tcase_add_test(tcase, a_secret_that_is_there_is_found);
	tcase_add_loop_test(tcase, an_open_stream_has_wiped_its_secrets, 0, MEANS * 2);
	tcase_add_loop_test(tcase, a_late_answer_finds_no_secret, 0, 4);
	tcase_add_loop_test(tcase, a_failed_opening_has_wiped_its_secrets, 0, MEANS * 2 * ANSWERS);
	tcase_add_loop_test(tcase, an_opening_that_never_began_has_wiped_its_secrets, 0, MEANS);
	result = wire_run(suite);
	pki_end();
	return result;
}
