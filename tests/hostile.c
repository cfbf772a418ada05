/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "duo.h"
#include "hostile.h"
#include "memcheck.h"
#include "peer.h"

#define SETTLE_LOOKS 4000
#define SHARE 8

unsigned hostile_factor(void)
{
	const char *text = getenv("WSF_TEST_HOSTILE");
	unsigned long factor = text != NULL ? strtoul(text, NULL, 10) : 1;

	return factor >= 1 && factor <= 1000 ? (unsigned)factor : 1;
}

size_t hostile_share(size_t count)
{
	return HOSTILE_SANITIZED || under_valgrind() ? count / SHARE : count;
}

void hostile_descriptors(size_t count)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_msg(limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= count, "the hard limit is %llu descriptors",
	    (unsigned long long)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void look_again_soon(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

/* --- a good stream --- */

void good_open(struct good *good, struct ws_listener *listener, const struct ws_options *client)
{
	good->client = ws_fopen_with(ws_listener_url(listener), "r+", client);
	ck_assert_msg(good->client != NULL, "%s", ws_last_error()->text);
	good->server = ws_accept(listener, "r+");
	ck_assert_msg(good->server != NULL, "%s", ws_last_error()->text);
	/* With these the helper threads receive, which the attackers' streams are on, too. */
	ck_assert_int_ge(ws_pollfd(good->client, POLLIN), 0);
	ck_assert_int_ge(ws_pollfd(good->server, POLLIN), 0);
}

static void send_line(FILE *from, FILE *to, unsigned number)
{
	char line[32], got[32];

	snprintf(line, sizeof line, "line %u\n", number);
	insist(fputs(line, from) >= 0 && fflush(from) == 0, "cannot write: %s", strerror(errno));
	insist(fgets(got, sizeof got, to) != NULL, "cannot read: feof %d, %s", feof(to), strerror(errno));
	insist(strcmp(line, got) == 0, "%s came as %s", line, got);
}

void good_exchange(const struct good *good, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		send_line(good->client, good->server, i);
		send_line(good->server, good->client, i);
	}
}

void good_close(struct good *good)
{
	duo_close_both(good->client, good->server);
}

void good_expect(struct ws_listener *listener, const struct ws_options *client)
{
	struct good good;

	good_open(&good, listener, client);
	good_exchange(&good, 3);
	good_close(&good);
}

/* --- what is held --- */

size_t hostile_heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return HOSTILE_SANITIZED ? 0 : info.uordblks + info.hblkhd;
}

size_t hostile_resident(void)
{
	unsigned long pages[2] = { 0, 0 };
	FILE *file = fopen("/proc/self/statm", "re");

	insist(file != NULL && fscanf(file, "%lu %lu", &pages[0], &pages[1]) == 2, "/proc/self/statm");
	fclose(file);
	return pages[1] * (size_t)sysconf(_SC_PAGESIZE);
}

static void expect(size_t (*held)(void), size_t most, const char *what)
{
	size_t now = 0;

	for (int i = 0; i < SETTLE_LOOKS; i++) {
		if ((now = held()) <= most)
			return;
		look_again_soon();
	}
	ck_abort_msg("%s: %zu bytes where at most %zu are in order", what, now, most);
}

void hostile_expect_heap(size_t most, const char *what)
{
	if (!HOSTILE_SANITIZED)
		expect(hostile_heap, most, what);
}

void hostile_expect_resident(size_t most, const char *what)
{
	/* valgrind's own memory is not ours. */
	if (!HOSTILE_SANITIZED && !under_valgrind())
		expect(hostile_resident, most, what);
}

static atomic_uint_fast64_t floods_cpu_ns;

static uint64_t cpu_ns(int who)
{
	struct rusage usage;

	ck_assert_int_eq(getrusage(who, &usage), 0);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000U +
	    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000U;
}

int64_t hostile_cpu_ns(void)
{
	return (int64_t)(cpu_ns(RUSAGE_SELF) - cpu_ns(RUSAGE_THREAD) - atomic_load(&floods_cpu_ns));
}

/* --- a flood --- */

static void throw_away(int fd)
{
	char bytes[65536];

	while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		;
}

/* Returns whether it may go on. */
static bool send_round(struct flood *flood)
{
	const char *next = flood->block;
	size_t left = flood->size;
	struct pollfd pollfd = { .fd = flood->fd, .events = (short)(POLLOUT | (flood->reads ? POLLIN : 0)) };
	ssize_t sent;

	while (left > 0 && !atomic_load(&flood->stop)) {
		if (flood->reads)
			throw_away(flood->fd);
		sent = send(flood->fd, next, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			next += sent;
			left -= (size_t)sent;
		} else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			atomic_store(&flood->refused, true);
			return false;
		} else {
			poll(&pollfd, 1, 50);
		}
	}
	return left == 0;
}

static void *flood_main(void *argument)
{
	struct flood *flood = argument;

	while (atomic_load(&flood->rounds) < flood->most_rounds && send_round(flood))
		atomic_fetch_add(&flood->rounds, 1);
	atomic_store(&flood->stop, true);
	atomic_fetch_add(&floods_cpu_ns, cpu_ns(RUSAGE_THREAD));
	return NULL;
}

void flood_begin(struct flood *flood)
{
	peer_thread(&flood->thread, flood_main, flood);
}

void flood_wait(struct flood *flood, uint64_t rounds)
{
	while (atomic_load(&flood->rounds) < rounds && !atomic_load(&flood->stop))
		look_again_soon();
}

void flood_end(struct flood *flood)
{
	atomic_store(&flood->stop, true);
	peer_join(flood->thread);
}
