/* SPDX-License-Identifier: 0BSD */
/* wsstress: see stress.h. Here: the clients, the processes, and what is printed. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pki.h"
#include "stress.h"

#define HANG_NS (INT64_C(180) * 1000000000)

struct shared *shared;
bool own_side[SIDES] = { true, true };
struct settings settings = { .seconds = 10, .streams = 8, .threads = 2, .helpers = 2, .large = 300000 };

#ifdef WITH_TSAN
const char *__tsan_default_suppressions(void);

/*
 * What it can't see: OpenSSL, which is not built with it, counts references by atomic operations, and looks so whether
 * a certificate was examined; and a forked child makes the gate of its forks anew.
 */
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:libcrypto.so.3\ncalled_from_lib:libssl.so.3\nrace:SSL_SESSION_free\n"
	    "mutex:wsf_process_enter\n";
}
#endif

static void rest(int64_t ms)
{
	const struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* --- one session --- */

static void reset_record(struct record *record, uint64_t session)
{
	for (int i = 0; i < SIDES; i++)
		memset(&record->end[i], 0, sizeof record->end[i]);
	atomic_store(&record->state, session * 4 + WAITED_FOR);
}

static int plain_socket(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((in_port_t)port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		violation(NULL, 0, "no plain connection: %s", strerror(errno));
	return fd;
}

static bool open_adopted(struct work *work, const struct ws_options *options)
{
	int fd = plain_socket(atomic_load(&shared->port[PLAIN]));

	if (work->plan.fault == RESET || work->plan.fault == CUT)
		work->under = dup(fd);
	work->in = work->out = ws_fdopen(fd, "r+", WS_ROLE_CLIENT, options);
	if (work->in != NULL)
		return true;
	close(fd);
	return false;
}

static bool open_as(struct work *work, const char *url, const struct ws_options *options)
{
	FILE *half[2] = { NULL, NULL };

	switch (work->plan.shape) {
	case ADOPTED:
		return open_adopted(work, options);
	case SOCKET:
		work->fd = ws_socket(url, options);
		return work->fd >= 0;
	case DUPLEX:
		if (ws_fopen_pair(url, options, half) != 0)
			return false;
		break;
	case PUSH:
		half[1] = ws_fopen_with(url, "w", options);
		break;
	case FETCH:
		half[0] = ws_fopen_with(url, "r", options);
		break;
	default:
		half[0] = half[1] = ws_fopen_with(url, "r+", options);
		break;
	}
	work->in = half[0];
	work->out = half[1];
	return half[0] != NULL || half[1] != NULL;
}

static bool open_client(struct work *work)
{
	struct ws_options options;
	unsigned kind = work->plan.churn ? CHURN : work->plan.shape == DUPLEX ? PAIRS : FILES;
	char url[128];
	bool good;
	int error;

	options_of(&work->plan, CLIENT, &options);
	options.on_text = WS_TEXT_BYTES;
	options.text_frames = work->plan.text;
	if (work->plan.secure)
		options.ca_file = settings.authority;
	/* close(2) of a descriptor does not wait for observers. */
	if (work->plan.observed && work->plan.shape != SOCKET) {
		options.observer = observe;
		options.observer_user = work->end;
	}
	snprintf(url, sizeof url, "%s://localhost:%u/?id=%" PRIu64, work->plan.secure ? "wss" : "ws",
	    atomic_load(&shared->port[kind]), work->session);
	if (work->plan.shape == ADOPTED)
		options.url = url;
	if (work->plan.churn && atomic_load(&shared->port[kind]) == 0)
		return false;
	good = open_as(work, url, &options);
	error = errno;
	note(work->end, OP_OPEN, 0, good, good ? 0 : error);
	if (good)
		return true;
	if (!work->plan.churn && !settings.faulty)
		violation(work->record, work->session, "can't open: %s", ws_last_error()->text);
	if (error != ECONNREFUSED && error != ECONNRESET && error != ECONNABORTED && error != ETIMEDOUT &&
	    error != EPROTO)
		violation(work->record, work->session, "opens with %s: %s", strerror(error), ws_last_error()->text);
	return false;
}

/* Both ends have come to their end. With must, there is a server's end, though it may be late. */
static void await_server(struct record *record, uint64_t session, bool must)
{
	uint64_t state = session * 4 + WAITED_FOR;

	if (!must && atomic_compare_exchange_strong(&record->state, &state, session * 4 + GONE))
		return;
	while (atomic_load(&record->state) != session * 4 + DONE && !atomic_load(&shared->failed))
		rest(1);
}

static void run_session(struct record *record, uint64_t session)
{
	struct work work = { .record = record, .end = &record->end[CLIENT], .live = &record->live[CLIENT],
	    .side = CLIENT,
	    .session = session, .plan = plan_of(session), .fd = -1, .under = -1 };
	bool opened;

	reset_record(record, session);
	atomic_store(&work.end->since_ns, now_ns());
	atomic_store(&record->busy[CLIENT], true);
	opened = open_client(&work);
	if (opened)
		run_end(&work);
	if (work.under >= 0)
		close(work.under);
	atomic_store(&record->busy[CLIENT], false);
	await_server(record, session, opened && !is_disturbed(&work.plan));
	if (opened && !atomic_load(&shared->failed))
		judge(record, session);
	else if (!opened)
		atomic_fetch_add(&shared->not_opened, 1);
}

static void *client_main(void *argument)
{
	unsigned slot = *(unsigned *)argument;

	for (uint64_t i = 1; !atomic_load(&shared->stop) && !atomic_load(&shared->failed); i++) {
		while (atomic_load(&shared->paused)) {
			atomic_store(&shared->idle[slot], true);
			rest(20);
		}
		atomic_store(&shared->idle[slot], false);
		run_session(&shared->record[slot], i * settings.streams + slot);
		if (settings.pause_ms > 0)
			rest(settings.pause_ms);
	}
	return NULL;
}

/* --- the run --- */

/* What the library had open is closed, and its threads have ended. Threads that were not joined need a moment. */
static void check_left(unsigned descriptors, unsigned threads)
{
	for (int i = 0; i < 1000 && (count_entries("/proc/self/fd") != descriptors ||
	    count_entries("/proc/self/task") != threads); i++)
		rest(10);
	if (count_entries("/proc/self/fd") != descriptors)
		violation(NULL, 0, "%u descriptors, before %u", count_entries("/proc/self/fd"), descriptors);
	if (count_entries("/proc/self/task") != threads)
		violation(NULL, 0, "%u threads, before %u", count_entries("/proc/self/task"), threads);
}

static void check_hangs(void)
{
	int64_t now = now_ns();

	for (unsigned i = 0; i < settings.streams; i++)
		for (int side = 0; side < SIDES; side++) {
			struct record *record = &shared->record[i];
			int64_t since = atomic_load(&record->end[side].since_ns);

			if (atomic_load(&record->busy[side]) && since != 0 && now - since > HANG_NS)
				violation(record, atomic_load(&record->state) / 4, "the %s hangs",
				    side == CLIENT ? "client" : "server");
		}
}

/* The meddlers of one process. */
static void start_meddlers(pthread_t *thread, uint64_t *number)
{
	for (unsigned i = 0; i < settings.threads; i++) {
		number[i] = 1000 + i + own_side[SERVER] * 100U;
		if (pthread_create(&thread[i], NULL, meddle, &number[i]) != 0)
			violation(NULL, 0, "no thread");
	}
}

static void run_clients(void)
{
	pthread_t clients[SLOTS_MAX], meddlers[SLOTS_MAX];
	unsigned slot[SLOTS_MAX];
	uint64_t number[SLOTS_MAX];
	unsigned minute = 1;
	int64_t end = now_ns() + (int64_t)settings.seconds * 1000000000;

	start_meddlers(meddlers, number);
	for (unsigned i = 0; i < settings.streams; i++) {
		slot[i] = i;
		if (pthread_create(&clients[i], NULL, client_main, &slot[i]) != 0)
			violation(NULL, 0, "no thread");
	}
	while (now_ns() < end && !atomic_load(&shared->failed)) {
		if (settings.sampled && (end - now_ns()) / 1000000000 < (int64_t)settings.seconds - 60 * minute)
			take_sample(minute++);
		rest(settings.seconds < 2 ? 100 : 500);
		check_hangs();
	}
	atomic_store(&shared->stop, true);
	for (unsigned i = 0; i < settings.streams; i++)
		pthread_join(clients[i], NULL);
	for (unsigned i = 0; i < settings.threads; i++)
		pthread_join(meddlers[i], NULL);
}

static void print_counts(void)
{
	printf("operations:");
	for (int i = OP_OPEN; i < OPERATIONS; i++)
		printf(" %s %llu%s", operation_name((enum operation)i), atomic_load(&shared->operations[i]),
		    i + 1 < OPERATIONS ? "," : "\nsessions:");
	for (int i = 0; i < SHAPES; i++)
		printf(" %s %llu%s", shape_name((enum shape)i), atomic_load(&shared->shapes[i]),
		    i + 1 < SHAPES ? "," : "\nfaults:");
	for (int i = 0; i < FAULTS; i++)
		printf(" %s %llu%s", fault_name((enum fault)i), atomic_load(&shared->sessions[i]),
		    i + 1 < FAULTS ? "," : "\noutcomes:");
	printf(" clean %llu, ended by an error %llu, not opened %llu, accepted late %llu; %llu bytes checked\n",
	    atomic_load(&shared->clean), atomic_load(&shared->disturbed), atomic_load(&shared->not_opened),
	    atomic_load(&shared->late), atomic_load(&shared->bytes));
}

/* --- the processes --- */

static int run_server_process(pid_t parent)
{
	pthread_t meddlers[SLOTS_MAX];
	uint64_t number[SLOTS_MAX];

	own_side[CLIENT] = false;
	serve_begin();
	start_meddlers(meddlers, number);
	while (!atomic_load(&shared->stop_serving) && !atomic_load(&shared->failed) && getppid() == parent) {
		rest(20);
		answer_sample();
	}
	for (unsigned i = 0; i < settings.threads; i++)
		pthread_join(meddlers[i], NULL);
	if (!atomic_load(&shared->failed))
		serve_end();
	return atomic_load(&shared->failed);
}

static int run_two(void)
{
	pid_t parent = getpid(), child = fork();
	int status;

	if (child == 0)
		_exit(run_server_process(parent));
	if (child < 0)
		return 1;
	printf("processes: client %d, server %d\n", (int)getpid(), (int)child);
	fflush(stdout);
	own_side[SERVER] = false;
	while (atomic_load(&shared->port[PLAIN]) == 0 && !atomic_load(&shared->failed))
		rest(10);
	run_clients();
	atomic_store(&shared->stop_serving, true);
	if (waitpid(child, &status, 0) != child || status != 0) {
		fprintf(stderr, "wsstress: the server's process ended with status %#x\n", status);
		return 1;
	}
	return 0;
}

static void *nothing(void *argument)
{
	return argument;
}

static int run_one(void)
{
	unsigned descriptors = count_entries("/proc/self/fd"), threads;
	pthread_t thread;

	/* A sanitizer may start one of its own with the first. */
	if (pthread_create(&thread, NULL, nothing, NULL) == 0)
		pthread_join(thread, NULL);
	threads = count_entries("/proc/self/task");
	serve_begin();
	run_clients();
	serve_end();
	check_left(descriptors, threads);
	return 0;
}

static const struct option long_options[] = {
	{ "seconds", required_argument, NULL, 's' },
	{ "streams", required_argument, NULL, 'n' },
	{ "threads", required_argument, NULL, 't' },
	{ "helpers", required_argument, NULL, 'p' },
	{ "seed", required_argument, NULL, 'r' },
	{ "large", required_argument, NULL, 'l' },
	{ "pause", required_argument, NULL, 'w' },
	{ "wss", no_argument, NULL, 'S' },
	{ "two", no_argument, NULL, '2' },
	{ "sample", no_argument, NULL, 'm' },
	{ "faulty", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void usage(FILE *out)
{
	fputs("usage: wsstress [options]\n"
	    "  --seconds N   how long new sessions are begun (10)\n"
	    "  --streams N   sessions at once, 1 to 256 (8)\n"
	    "  --threads N   that use streams of others, 1 to 256 (2)\n"
	    "  --helpers N   helper threads of the library (2)\n"
	    "  --seed N      of the plan; printed, by default another one each time\n"
	    "  --large N     bytes of a large transfer in one direction (300000)\n"
	    "  --pause MS    between the sessions of a stream (0)\n"
	    "  --wss         over TLS; WSF_TEST_SOURCE says where make_certificates.sh is\n"
	    "  --two         the servers are a process of their own\n"
	    "  --sample      implies --two; each minute what both hold is printed, and has to stay the same\n"
	    "  --faulty      somebody stops the processes meanwhile: any session may end with an error\n"
	    "Exit status: 0, or 1 at the first violation of the close table.\n", out);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < least || value > most) {
		fprintf(stderr, "wsstress: %s is not a number from %u to %u\n", text, least, most);
		exit(2);
	}
	return (unsigned)value;
}

static void parse(int argc, char *argv[])
{
	int option;

	settings.seed = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		switch (option) {
		case 's': settings.seconds = number(optarg, 1, 1000000); break;
		case 'n': settings.streams = number(optarg, 1, SLOTS_MAX); break;
		case 't': settings.threads = number(optarg, 1, SLOTS_MAX); break;
		case 'p': settings.helpers = number(optarg, 1, 64); break;
		case 'r': settings.seed = strtoull(optarg, NULL, 10); break;
		case 'l': settings.large = number(optarg, 1, 1 << 30); break;
		case 'w': settings.pause_ms = number(optarg, 0, 60000); break;
		case 'S': settings.secure = true; break;
		case '2': settings.two = true; break;
		case 'f': settings.faulty = true; break;
		case 'm': settings.sampled = settings.two = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (optind != argc) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char *argv[])
{
	int status;

	parse(argc, argv);
	signal(SIGPIPE, SIG_DFL);
	printf("seed %" PRIu64 "\n", settings.seed);
	fflush(stdout);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	if (settings.secure) {
		pki_begin();
		snprintf(settings.certificate, sizeof settings.certificate, "%s", pki_file("server.pem"));
		snprintf(settings.key, sizeof settings.key, "%s", pki_file("server.key"));
		snprintf(settings.authority, sizeof settings.authority, "%s", pki_file("ca.pem"));
	}
	status = settings.two ? run_two() : run_one();
	if (settings.secure)
		pki_end();
	if (settings.sampled && status == 0 && !samples_are_flat())
		status = 1;
	print_counts();
	return status != 0 || atomic_load(&shared->failed);
}
