/* SPDX-License-Identifier: 0BSD */
/* The search: threads, points, choices, states. What replaces the library's own is in interleave_wrap.c. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "interleave_private.h"

#define STACK_BYTES (256 * 1024)
#define STEPS_MAX 4000
#define CLOCK (IL_THREADS_MAX)

/* Where more than one could go on, or a value is chosen. */
struct node {
	uint8_t count, at;
	uint8_t choice[IL_THREADS_MAX + 1];
	unsigned step;			/* so many steps before it */
};

struct engine il;

static struct node nodes[STEPS_MAX];
static unsigned node_count, depth;	/* of this run; where it is */
static uint64_t step_seen[STEPS_MAX];	/* what each step saw, for the beginnings that are repeated */
static unsigned known_steps;		/* so many of them are known */
static struct { uint8_t thread; const char *what; } trace[STEPS_MAX];
static unsigned step;
static ucontext_t main_context;
static struct il_result *result;
static int last, preemptions, early;
static bool loud;
static int64_t now_ns, idle_ns;
static bool must_wait;			/* nobody but the clock can go on */

/* --- states met before, each with the fewest preemptions it was met with --- */

static struct { uint64_t *key; uint8_t *cost; size_t size, used; } met;

static void met_insert(uint64_t key, uint8_t cost, size_t size)
{
	size_t i = (size_t)(key & (size - 1));

	while (met.key[i] != 0 && met.key[i] != key)
		i = (i + 1) & (size - 1);
	met.key[i] = key;
	met.cost[i] = cost;
}

static void met_grow(void)
{
	uint64_t *old_key = met.key;
	uint8_t *old_cost = met.cost;
	size_t old_size = met.size;
	bool running = il.running;

	il.running = false;		/* not of the run's memory */
	met.size = old_size == 0 ? 65536 : old_size * 2;
	met.key = calloc(met.size, sizeof *met.key);
	met.cost = malloc(met.size);
	if (met.key == NULL || met.cost == NULL)
		abort();
	for (size_t i = 0; i < old_size; i++)
		if (old_key[i] != 0)
			met_insert(old_key[i], old_cost[i], met.size);
	free(old_key);
	free(old_cost);
	il.running = running;
}

/* Whether this state was met with no more preemptions; notes it. */
static bool met_before(uint64_t key, uint8_t cost)
{
	size_t i;

	if (met.used * 2 >= met.size)
		met_grow();
	key |= key == 0;
	i = (size_t)(key & (met.size - 1));
	while (met.key[i] != 0 && met.key[i] != key)
		i = (i + 1) & (met.size - 1);
	if (met.key[i] == key && met.cost[i] <= cost)
		return true;
	met.used += met.key[i] == 0;
	met.key[i] = key;
	met.cost[i] = cost;
	return false;
}

uint64_t il_mix_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t word;

	for (; size >= sizeof word; size -= sizeof word, p += sizeof word) {
		memcpy(&word, p, sizeof word);
		hash = il_mix(hash, word);
	}
	for (; size > 0; size--)
		hash = il_mix(hash, *p++);
	return hash;
}

static bool stale(const struct thread *thread)
{
	return thread->event != NULL && atomic_load(&thread->event->count) != thread->event_seen;
}

static uint64_t state(void)
{
	uint64_t hash = il_mix(il.plan->shared(NULL), (uint64_t)now_ns);

	for (int i = 0; i <= CLOCK; i++) {
		const struct thread *thread = &il.threads[i];

		hash = il_mix(hash, thread->own);
		hash = il_mix(hash, (uint64_t)(uintptr_t)thread->what);
		hash = il_mix(hash, (uint64_t)thread->done << 2 | (uint64_t)stale(thread) << 1 | thread->past);
	}
	hash = il_mix(il_mix(hash, (uint64_t)early), (uint64_t)idle_ns);
	return il.plan->preemptions == IL_ANY_PREEMPTIONS ? hash : il_mix(hash, (uint64_t)last);
}

/* --- who can go on --- */

static bool can_run(const struct thread *thread)
{
	if (thread->done || (thread->late && !loud))
		return false;
	return thread->ready == NULL || thread->ready(thread->argument) || now_ns >= thread->deadline_ns;
}

/* The clock moves when something waits for a later moment and nothing for an earlier one. */
static int64_t next_moment(void)
{
	int64_t next = il.plan->next_deadline();

	for (int i = 0; i < CLOCK; i++)
		if (!il.threads[i].done && il.threads[i].ready != NULL && il.threads[i].deadline_ns < next)
			next = il.threads[i].deadline_ns;
	return next;
}

static bool time_can_pass(const void *unused)
{
	int64_t next = next_moment();

	(void)unused;
	return loud && next > now_ns && next != IL_NEVER;
}

static void clock_main(void)
{
	for (;;) {
		il_forget(0);
		il_wait("time passes", time_can_pass, NULL, IL_NEVER);
		if (must_wait)
			idle_ns += next_moment() - now_ns;
		now_ns = next_moment();
	}
}

static int cost_of(int thread, bool last_can, bool others_can)
{
	if (thread == CLOCK)
		return others_can;
	return thread != last && last_can && last != CLOCK;
}

/* The threads that may go on, within the bounds; the one that ran first. */
static int candidates(uint8_t choice[IL_THREADS_MAX + 1])
{
	bool last_can = can_run(&il.threads[last]), others_can = false;
	int count = 0;

	if (last_can && last != CLOCK)
		choice[count++] = (uint8_t)last;
	for (int i = 0; i < CLOCK; i++) {
		if (i == last || !can_run(&il.threads[i]))
			continue;
		others_can = true;
		if (loud && preemptions + cost_of(i, last_can, false) > il.plan->preemptions)
			continue;
		choice[count++] = (uint8_t)i;
	}
	others_can |= last_can && last != CLOCK;
	if (can_run(&il.threads[CLOCK]) && (!others_can || (early < il.plan->early &&
	    preemptions + 1 <= il.plan->preemptions)))
		choice[count++] = CLOCK;
	return count;
}

/* --- runs --- */

_Noreturn static void leave(void)
{
	il.running = false;
#ifndef NDEBUG
	memset(&wsf_locks, 0, sizeof wsf_locks);	/* of the thread that is left here */
#endif
	setcontext(&main_context);
	abort();
}

static size_t put_schedule(char *out, size_t size)
{
	size_t n = 0;
	int before = -1;

	for (unsigned i = 0; i < step && n < size; i++) {
		if (trace[i].thread != before)
			n += (size_t)snprintf(out + n, size - n, "\n    %-8s", il.threads[trace[i].thread].name);
		before = trace[i].thread;
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, " %s,", trace[i].what);
	}
	return n < size ? n : size - 1;
}

void il_fail(const char *format, ...)
{
	size_t n, size = sizeof result->text;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(result->text, size / 4, format, arguments);
	va_end(arguments);
	n = strlen(result->text);
	n += (size_t)snprintf(result->text + n, size - n, "\n  schedule:");
	put_schedule(result->text + n, size - n);
	result->failed = true;
	if (!il.running)
		longjmp(il.outside, 1);
	leave();
}

static void crashed(int signal)
{
	char *text = result->text;
	size_t n = (size_t)snprintf(text, sizeof result->text, "signal %d in %s\n  schedule:", signal,
	    il.threads[last].name);

	n += put_schedule(text + n, sizeof result->text - n);
	(void)!write(STDERR_FILENO, text, n);
	_exit(1);
}

/* Nobody can go on. */
_Noreturn static void stuck(void)
{
	char text[1024];
	size_t n = 0;

	for (int i = 0; i < CLOCK; i++)
		if (!il.threads[i].done && !il.threads[i].daemon && n < sizeof text)
			n += (size_t)snprintf(text + n, sizeof text - n, "; %s waits: %s", il.threads[i].name,
			    il.threads[i].what);
	if (n == 0)
		leave();
	il_fail("nobody can go on%s", text);
}

/* One of the choices: as before in a beginning that is repeated, else the first, to be followed by the others. */
static uint8_t decide(const uint8_t *choice, int count)
{
	struct node *node = &nodes[depth];

	if (depth++ < node_count)
		return node->choice[node->at];
	if (loud && met_before(state(), (uint8_t)preemptions)) {
		depth--;
		leave();
	}
	node->count = (uint8_t)count;
	node->at = 0;
	node->step = step;
	memcpy(node->choice, choice, (size_t)count);
	node_count++;
	return choice[0];
}

static int pick(void)
{
	uint8_t choice[IL_THREADS_MAX + 1];
	int count = candidates(choice), next;
	bool last_can;

	if (count == 0)
		stuck();
	next = count > 1 && loud ? decide(choice, count) : choice[0];
	if (loud) {
		last_can = can_run(&il.threads[last]);
		must_wait = next == CLOCK && count == 1;
		if (next == CLOCK)
			early += count > 1;
		preemptions += cost_of(next, last_can, count > 1);
	}
	last = next;
	return next;
}

/* The thread that ran goes on, or another does until this one's turn comes. */
static void switch_over(void)
{
	struct thread *self = &il.threads[last];
	int next = pick();

	if (&il.threads[next] == self)
		return;
#ifndef NDEBUG
	self->locks = wsf_locks;
	wsf_locks = il.threads[next].locks;
#endif
	swapcontext(&self->context, &il.threads[next].context);
}

static void note_step(struct thread *self)
{
	if (step == STEPS_MAX)
		il_fail("no end after %d steps", STEPS_MAX);
	trace[step].thread = (uint8_t)(self - il.threads);
	trace[step].what = self->what;
	if (step >= known_steps) {
		step_seen[step] = self->mutex != NULL ? il.plan->shared(self->mutex) : 0;
		known_steps = step + 1;
		result->steps++;
	}
	self->own = il_mix(self->own, step_seen[step]);
	self->own = il_mix(self->own, (uint64_t)(uintptr_t)self->what);
	step++;
}

bool il_point_at(const char *what, const void *mutex, bool (*ready)(const void *), const void *argument,
    int64_t deadline_ns)
{
	struct thread *self = &il.threads[last];

	self->what = what;
	self->mutex = mutex;
	self->ready = ready;
	self->argument = argument;
	self->deadline_ns = deadline_ns;
	switch_over();
	self->past = false;
	note_step(self);
	return ready == NULL || ready(argument);
}

void il_point(const char *what)
{
	struct thread *self = &il.threads[last];

	/* The first access under a lock belongs to the step that took it. */
	if (self->held > 0 && !self->past) {
		self->past = true;
		return;
	}
	il_point_at(what, NULL, NULL, NULL, IL_NEVER);
	self->past = true;
}

bool il_wait(const char *what, bool (*ready)(const void *), const void *argument, int64_t deadline_ns)
{
	bool rv = il_point_at(what, NULL, ready, argument, deadline_ns);

	il.threads[last].past = true;
	il_note(rv);
	return rv;
}

unsigned il_choose(const char *what, unsigned count)
{
	uint8_t choice[IL_THREADS_MAX + 1];
	unsigned rv;

	(void)what;
	if (!loud || count < 2)
		return 0;
	for (unsigned i = 0; i < count; i++)
		choice[i] = (uint8_t)i;
	il_note(count + 100);
	rv = decide(choice, (int)count);
	il_note(rv);
	return rv;
}

void il_forget(uint64_t own)
{
	il.threads[last].own = own;
}

void il_note(uint64_t value)
{
	il.threads[last].own = il_mix(il.threads[last].own, value + 1);
}

void il_loud(void)
{
	loud = true;
}

int il_self(void)
{
	return last;
}

int64_t il_now_ns(void)
{
	return now_ns;
}

int64_t il_idle_ns(void)
{
	return idle_ns;
}

static void thread_main(void)
{
	struct thread *self = &il.threads[last];

	note_step(self);
	self->run();
	self->done = true;
	self->what = "done";
	self->own = 0;
	if (self->held > 0)
		il_fail("%s ends with a lock held", self->name);
	switch_over();
	abort();
}

static void make_thread(int i, const struct il_thread *from)
{
	struct thread *thread = &il.threads[i];
	char *stack = thread->stack;

	if (stack == NULL) {
		stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) != 0)
			abort();
	}
	*thread = (struct thread){ .stack = stack, .name = from->name, .run = from->run, .late = from->late,
	    .daemon = from->daemon, .done = from->run == NULL, .what = "start", .deadline_ns = IL_NEVER };
	getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = stack;
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, thread_main, 0);
}

/* One run. Where it ended is seen by what is left: node_count. */
static void run(void)
{
	static const struct il_thread clock = { "clock", clock_main, true, true };
	volatile bool back = false;

	il_memory_reset();
	for (int i = 0; i < IL_THREADS_MAX; i++)
		make_thread(i, &il.plan->threads[i]);
	make_thread(CLOCK, &clock);
	depth = step = 0;
	last = preemptions = early = 0;
	loud = false;
	now_ns = 1000000000;
	idle_ns = 0;
	il.plan->begin();
	il.running = true;
	getcontext(&main_context);
	if (!back) {
		back = true;
		setcontext(&il.threads[0].context);
	}
}

static bool all_done(void)
{
	for (int i = 0; i < IL_THREADS_MAX; i++)
		if (!il.threads[i].done && !il.threads[i].daemon)
			return false;
	return true;
}

/* The next schedule: the last choice that has another. Returns whether there is one. */
static bool advance(void)
{
	while (node_count > 0 && nodes[node_count - 1].at + 1 == nodes[node_count - 1].count)
		node_count--;
	if (node_count == 0)
		return false;
	nodes[node_count - 1].at++;
	/* Steps behind it will see other things; those before are repeated. */
	known_steps = nodes[node_count - 1].step;
	return true;
}

void il_explore(const struct il_plan *plan, struct il_result *out)
{
	memset(out, 0, sizeof *out);
	result = out;
	il.plan = plan;
	free(met.key);
	free(met.cost);
	memset(&met, 0, sizeof met);
	node_count = known_steps = 0;
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	signal(SIGABRT, crashed);
	do {
		if (setjmp(il.outside) == 0) {
			run();
			if (!out->failed && all_done())
				plan->end();
			if (!out->failed && all_done())
				il_memory_check();
		}
		out->runs++;
		if (step > out->longest)
			out->longest = step;
	} while (!out->failed && advance());
	out->states = met.used;
}
