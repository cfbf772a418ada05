/* SPDX-License-Identifier: 0BSD */
/*
 * The shared library is loaded, unloaded and loaded again, by itself and below a plugin; this program is not linked
 * with it, and the peers are raw ones. usage: test_plugin LIBRARY PLUGIN
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "memcheck.h"
#include "peer.h"

static const char *library_path, *plugin_path;

struct host {
	int listener, peer;
	char url[64];
	pthread_t thread;
};

static void begin(struct host *host)
{
	unsigned port;

	peer_count_begin();
	host->listener = peer_listen(&port);
	host->peer = -1;
	snprintf(host->url, sizeof host->url, "ws://127.0.0.1:%u/", port);
}

static void end(struct host *host)
{
	if (host->peer >= 0)
		close(host->peer);
	close(host->listener);
	peer_count_end();
}

static void *serve(void *argument)
{
	struct host *host = argument;

	host->peer = peer_accept(host->listener);
	free(peer_serve_handshake(host->peer));
	return NULL;
}

/* Its Close has to come, with 1000, behind that text; then TCP ends in order. */
static void expect_close(struct host *host, const char *text)
{
	uint8_t *data = NULL;
	size_t size = 0;
	char byte;

	ck_assert_uint_eq(peer_read_until_close(host->peer, &data, &size), 1000);
	ck_assert_uint_eq(size, strlen(text));
	ck_assert(size == 0 || memcmp(data, text, size) == 0);
	free(data);
	peer_close(host->peer, false, 1000, "");
	peer_fin(host->peer);
	ck_assert_int_eq((int)recv(host->peer, &byte, 1, 0), 0);
}

static void *serve_close(void *argument)
{
	struct host *host = argument;

	serve(host);
	expect_close(host, "hello");
	close(host->peer);
	host->peer = -1;
	return NULL;
}

static void *load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	ck_assert_msg(handle != NULL, "%s", dlerror());
	return handle;
}

static FILE *(*opener(void *handle, const char *name))(const char *url, const char *mode)
{
	FILE *(*function)(const char *, const char *);
	void *symbol = dlsym(handle, name);

	ck_assert_msg(symbol != NULL, "%s", dlerror());
	/* ISO C knows no such conversion; POSIX does. */
	memcpy(&function, &symbol, sizeof function);
	return function;
}

START_TEST(library_is_loaded_again_and_again)
{
	struct host host;
	void *handle;
	FILE *stream;

	begin(&host);
	for (int round = 0; round < 20; round++) {
		peer_thread(&host.thread, serve_close, &host);
		handle = load(library_path);
		stream = opener(handle, "ws_fopen")(host.url, "r+");
		ck_assert_ptr_nonnull(stream);
		ck_assert_int_ge(fputs("hello", stream), 0);
		ck_assert_int_eq(fclose(stream), 0);
		ck_assert_int_eq(dlclose(handle), 0);
		peer_join(host.thread);
	}
	end(&host);
}
END_TEST

/* Its threads run, so it has to be there. */
START_TEST(stream_lives_on_when_the_library_is_closed)
{
	struct host host;
	void *handle, *again;
	FILE *stream;

	begin(&host);
	peer_thread(&host.thread, serve_close, &host);
	handle = load(library_path);
	stream = opener(handle, "ws_fopen")(host.url, "r+");
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(dlclose(handle), 0);
	again = dlopen(library_path, RTLD_NOW | RTLD_NOLOAD);
	ck_assert_ptr_nonnull(again);
	ck_assert_int_eq(dlclose(again), 0);
	ck_assert_int_ge(fputs("hello", stream), 0);
	ck_assert_int_eq(fclose(stream), 0);
	peer_join(host.thread);
	end(&host);
}
END_TEST

/* --- processes that exit --- */

static pid_t start(const char *path, const char *name, const char *url, bool unload)
{
	pid_t pid = fork();
	FILE *stream;
	void *handle;

	ck_assert_int_ge(pid, 0);
	if (pid != 0)
		return pid;
	memcheck_leaks_are_meant();
	handle = dlopen(path, RTLD_NOW);
	if (handle == NULL)
		_exit(71);
	stream = name != NULL ? opener(handle, name)(url, "r+") : NULL;
	if (name != NULL && (stream == NULL || fputs("never closed", stream) < 0))
		_exit(72);
	if (unload && dlclose(handle) != 0)
		_exit(73);
	exit(0);
}

static void expect_exit(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

/* _i: unloaded before, or not; then by the library itself or a plugin of its own */
START_TEST(exit_closes_what_a_library_opened)
{
	struct host host;
	pid_t pid;

	begin(&host);
	pid = _i < 2 ? start(library_path, "ws_fopen", host.url, _i % 2 == 1) :
	    start(plugin_path, "plugin_open", host.url, _i % 2 == 1);
	serve(&host);
	expect_close(&host, "never closed");
	expect_exit(pid);
	end(&host);
}
END_TEST

START_TEST(plugin_uses_a_stream_from_its_constructor_to_its_destructor)
{
	struct host host;
	pid_t pid;

	begin(&host);
	ck_assert_int_eq(setenv("WSF_PLUGIN_URL", host.url, 1), 0);
	pid = start(plugin_path, NULL, NULL, _i == 1);
	serve(&host);
	expect_close(&host, "from a constructor, from a destructor");
	expect_exit(pid);
	end(&host);
}
END_TEST

int main(int argc, char *argv[])
{
	Suite *suite = suite_create("plugin");
	TCase *loading = tcase_create("loading");
	SRunner *runner = srunner_create(suite);
	int failed;

	if (argc != 3)
		return 2;
	library_path = argv[1];
	plugin_path = argv[2];
	tcase_set_timeout(loading, 60);
	suite_add_tcase(suite, loading);
	tcase_add_test(loading, library_is_loaded_again_and_again);
	tcase_add_test(loading, stream_lives_on_when_the_library_is_closed);
	tcase_add_loop_test(loading, exit_closes_what_a_library_opened, 0, 4);
	tcase_add_loop_test(loading, plugin_uses_a_stream_from_its_constructor_to_its_destructor, 0, 2);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
