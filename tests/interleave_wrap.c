/* SPDX-License-Identifier: 0BSD */
/* What the library gets in place of its mutexes, events, clock and memory: see interleave.h. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "interleave_private.h"

#define ARENA_BYTES ((size_t)4 * 1024 * 1024)
#define FILL_BYTES 8192
#define FRESH 0xA5
#define FREED 0xDB

/* What ld's --wrap makes of a call of name; __real_ is the one that was meant. */
#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

int WRAP(pthread_mutex_init)(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int WRAP(pthread_mutex_destroy)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_lock)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_trylock)(pthread_mutex_t *mutex);
int WRAP(pthread_mutex_unlock)(pthread_mutex_t *mutex);
int WRAP(wsf_event_init)(struct wsf_event *event);
void WRAP(wsf_event_destroy)(struct wsf_event *event);
unsigned WRAP(wsf_event_seen)(struct wsf_event *event);
int WRAP(wsf_event_wait)(struct wsf_event *event, unsigned seen, int64_t deadline_ns);
void WRAP(wsf_event_notify)(struct wsf_event *event);
int64_t WRAP(wsf_now_ns)(void);
int64_t WRAP(wsf_deadline_ns)(int timeout_ms);
int WRAP(wsf_deadline_left_ms)(int64_t deadline_ns);
void *WRAP(malloc)(size_t size);
void *WRAP(calloc)(size_t count, size_t size);
void WRAP(free)(void *data);
char *WRAP(strdup)(const char *text);
char *WRAP(strndup)(const char *text, size_t size);
/* What the test's framework calls between the runs. */
int REAL(pthread_mutex_init)(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int REAL(pthread_mutex_destroy)(pthread_mutex_t *mutex);
int REAL(pthread_mutex_lock)(pthread_mutex_t *mutex);
int REAL(pthread_mutex_trylock)(pthread_mutex_t *mutex);
int REAL(pthread_mutex_unlock)(pthread_mutex_t *mutex);
void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void REAL(free)(void *data);

/* --- mutexes, in the place of the real ones --- */

struct mutex {
	uint32_t sign;
	int32_t owner;			/* thread + 1, 0 = free */
};

#define ALIVE 0x600D
#define DEAD 0xDEAD

static struct mutex *mutex_of(pthread_mutex_t *from)
{
	struct mutex *mutex = (struct mutex *)(void *)from;

	if (mutex->sign != ALIVE)
		il_fail("%s a mutex that %s", il.threads[il_self()].name,
		    mutex->sign == DEAD ? "uses behind its end" : "does not make, or uses behind free,");
	return mutex;
}

int WRAP(pthread_mutex_init)(pthread_mutex_t *from, const pthread_mutexattr_t *attributes)
{
	struct mutex *mutex = (struct mutex *)(void *)from;

	if (!il.running)
		return REAL(pthread_mutex_init)(from, attributes);
	memset(from, 0, sizeof *from);
	mutex->sign = ALIVE;
	return 0;
}

int WRAP(pthread_mutex_destroy)(pthread_mutex_t *from)
{
	struct mutex *mutex;

	if (!il.running)
		return REAL(pthread_mutex_destroy)(from);
	mutex = mutex_of(from);
	if (mutex->owner != 0)
		il_fail("a mutex is destroyed that %s holds", il.threads[mutex->owner - 1].name);
	mutex->sign = DEAD;
	return 0;
}

static bool is_free(const void *from)
{
	const struct mutex *mutex = from;

	/* One that has ended meanwhile: whoever waits for it goes on, to fail. */
	return mutex->sign != ALIVE || mutex->owner == 0;
}

int WRAP(pthread_mutex_lock)(pthread_mutex_t *from)
{
	struct thread *self = &il.threads[il_self()];
	struct mutex *mutex;

	if (!il.running)
		return REAL(pthread_mutex_lock)(from);
	mutex = mutex_of(from);
	if (mutex->owner == il_self() + 1)
		il_fail("%s takes a lock that it holds", self->name);
	if (self->held > 0 && il.plan->rank(from) <= self->rank[self->held - 1])
		il_fail("%s takes locks in the wrong order", self->name);
	/* Locks taken one in the other are one step. */
	if (self->held == 0 || self->past || !is_free(mutex))
		il_point_at("lock", from, is_free, mutex, IL_NEVER);
	else
		il_note(il.plan->shared(from));
	mutex_of(from)->owner = il_self() + 1;
	if (self->held == sizeof self->rank / sizeof self->rank[0])
		il_fail("%s holds too many locks", self->name);
	self->rank[self->held++] = il.plan->rank(from);
	return 0;
}

int WRAP(pthread_mutex_trylock)(pthread_mutex_t *from)
{
	struct mutex *mutex;

	if (!il.running)
		return REAL(pthread_mutex_trylock)(from);
	/* Only asserts call it. */
	mutex = mutex_of(from);
	if (mutex->owner == 0)
		il_fail("a lock that has to be held is free");
	if (mutex->owner != il_self() + 1)
		il_fail("a lock that has to be held is another thread's");
	return EBUSY;
}

int WRAP(pthread_mutex_unlock)(pthread_mutex_t *from)
{
	struct thread *self = &il.threads[il_self()];
	struct mutex *mutex;

	if (!il.running)
		return REAL(pthread_mutex_unlock)(from);
	mutex = mutex_of(from);
	if (mutex->owner != il_self() + 1)
		il_fail("%s lets a lock go that it does not hold", self->name);
	mutex->owner = 0;
	for (int i = 0; i < self->held; i++)
		if (self->rank[i] == il.plan->rank(from))
			self->rank[i] = self->rank[self->held - 1];
	self->held--;
	self->past = true;
	il.plan->unlocked(from);
	return 0;
}

/* --- events --- */

#define EVENT_ALIVE 0x600Du

static void check_event(struct wsf_event *event)
{
	if (atomic_load(&event->waiters) != EVENT_ALIVE)
		il_fail("%s uses an event that is not, or not any more", il.threads[il_self()].name);
}

int WRAP(wsf_event_init)(struct wsf_event *event)
{
	atomic_init(&event->count, 0);
	atomic_init(&event->waiters, EVENT_ALIVE);
	return 0;
}

void WRAP(wsf_event_destroy)(struct wsf_event *event)
{
	check_event(event);
	atomic_store(&event->waiters, 0);
}

unsigned WRAP(wsf_event_seen)(struct wsf_event *event)
{
	struct thread *self = &il.threads[il_self()];

	check_event(event);
	if (il.running) {
		if (self->held == 0)
			il_point("look at an event");
		self->event = event;
		self->event_seen = atomic_load(&event->count);
	}
	return atomic_load(&event->count);
}

static bool notified(const void *argument)
{
	const struct thread *thread = argument;

	return atomic_load(&thread->event->waiters) != EVENT_ALIVE ||
	    atomic_load(&thread->event->count) != thread->event_seen;
}

int WRAP(wsf_event_wait)(struct wsf_event *event, unsigned seen, int64_t deadline_ns)
{
	struct thread *self = &il.threads[il_self()];
	bool rv;

	check_event(event);
	if (self->held > 0)
		il_fail("%s waits with a lock held", self->name);
	self->event = event;
	self->event_seen = seen;
	rv = il_wait("wait for an event", notified, self, deadline_ns == WSF_NO_DEADLINE ? IL_NEVER : deadline_ns);
	check_event(event);
	self->event = NULL;
	return rv ? 0 : -ETIMEDOUT;
}

void WRAP(wsf_event_notify)(struct wsf_event *event)
{
	bool looked_at = false;

	check_event(event);
	for (int i = 0; i < IL_THREADS_MAX; i++)
		looked_at |= il.threads[i].event == event;
	/* Under a lock: who is woken needs that lock first. */
	if (il.running && looked_at && il.threads[il_self()].held == 0)
		il_point("notify");
	check_event(event);
	atomic_fetch_add(&event->count, 1);
}

/* --- the clock --- */

int64_t WRAP(wsf_now_ns)(void)
{
	if (il.running)
		il_note((uint64_t)il_now_ns());
	return il_now_ns();
}

int64_t WRAP(wsf_deadline_ns)(int timeout_ms)
{
	return timeout_ms < 0 ? WSF_NO_DEADLINE : WRAP(wsf_now_ns)() + timeout_ms * INT64_C(1000000);
}

int WRAP(wsf_deadline_left_ms)(int64_t deadline_ns)
{
	int64_t left_ns = deadline_ns == WSF_NO_DEADLINE ? -1 : deadline_ns - WRAP(wsf_now_ns)();

	if (deadline_ns == WSF_NO_DEADLINE)
		return -1;
	return left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000);
}

/* --- memory: each run's starts anew, at the same addresses, and none of it is used twice --- */

struct block {
	_Alignas(16) size_t size;
	struct block *next;
	bool freed;
};

static _Alignas(16) uint8_t arena[ARENA_BYTES];
static size_t arena_used;
static struct block *blocks;

void il_memory_reset(void)
{
	arena_used = 0;
	blocks = NULL;
}

static size_t filled(const struct block *block)
{
	return block->size < FILL_BYTES ? block->size : FILL_BYTES;
}

void *WRAP(malloc)(size_t size)
{
	struct block *block = (struct block *)(void *)(arena + arena_used);

	if (!il.running)
		return REAL(malloc)(size);
	arena_used += (sizeof *block + size + 15) / 16 * 16;
	if (arena_used > sizeof arena)
		il_fail("out of the arena's memory");
	*block = (struct block){ .size = size, .next = blocks };
	blocks = block;
	memset(block + 1, FRESH, filled(block));
	return block + 1;
}

void *WRAP(calloc)(size_t count, size_t size)
{
	void *data;

	if (!il.running)
		return REAL(calloc)(count, size);
	data = WRAP(malloc)(count * size);
	memset(data, 0, count * size);
	return data;
}

void WRAP(free)(void *data)
{
	struct block *block = (struct block *)data - 1;

	if ((uint8_t *)data < arena || (uint8_t *)data >= arena + sizeof arena) {
		REAL(free)(data);
		return;
	}
	if (block->freed)
		il_fail("%s frees twice", il.threads[il_self()].name);
	block->freed = true;
	memset(data, FREED, filled(block));
}

char *WRAP(strndup)(const char *text, size_t size)
{
	size_t bytes = strnlen(text, size);
	char *copy = WRAP(calloc)(1, bytes + 1);

	return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

char *WRAP(strdup)(const char *text)
{
	return WRAP(strndup)(text, strlen(text));
}

size_t il_block_bytes(const void *data)
{
	const struct block *block = (const struct block *)data - 1;

	return block->freed ? 0 : block->size;
}

void il_memory_check(void)
{
	for (const struct block *block = blocks; block != NULL; block = block->next) {
		const uint8_t *data = (const uint8_t *)(block + 1);

		if (!block->freed)
			il_fail("%zu bytes are not freed", block->size);
		for (size_t i = 0; i < filled(block); i++)
			if (data[i] != FREED)
				il_fail("written to behind free: byte %zu of %zu", i, block->size);
	}
}
