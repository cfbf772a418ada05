/* SPDX-License-Identifier: 0BSD */
/* The running group of helper threads, and which of them a socket goes to. */
#include <errno.h>
#include <stdlib.h>

#include "process.h"
#include "service_private.h"

struct wsf_service {
	unsigned users;			/* [G] */
	struct wsf_helper *helpers[WSF_HELPERS_MAX];	/* [I] those below count */
	atomic_uint count;		/* [A] grows only; written [G] */
};

/* Guards the current service and its users. */
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wsf_service *current;

/* --- life --- */

/* What the environment says, or 1. */
static unsigned default_helpers(void)
{
	const char *text = getenv("WSFILE_HELPERS");
	unsigned long value;
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return 1;
	errno = 0;
	value = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' && value >= 1 && value <= WSF_HELPERS_MAX ? (unsigned)value : 1;
}

static void service_free(struct wsf_service *service)
{
	for (unsigned i = 0; i < atomic_load(&service->count); i++)
		wsf_helper_stop(service->helpers[i]);
	free(service);
}

/* On failure those that run stay. */
static int grow_locked(struct wsf_service *service, unsigned helpers)
{
	unsigned count = atomic_load(&service->count);
	int rv = 0;

	while (rv == 0 && count < helpers && count < WSF_HELPERS_MAX) {
		rv = wsf_helper_start(&service->helpers[count]);
		if (rv == 0)
			atomic_store(&service->count, ++count);
	}
	return rv;
}

int wsf_service_acquire(struct wsf_service **out, unsigned helpers)
{
	struct wsf_service *service;
	int rv = -ENOMEM;

	wsf_lock(&life_lock, WSF_RANK_LIFE);
	if (wsf_process_over()) {
		wsf_unlock(&life_lock, WSF_RANK_LIFE);
		return -ECANCELED;
	}
	service = current != NULL ? current : calloc(1, sizeof *service);
	if (service != NULL)
		rv = grow_locked(service, helpers != 0 ? helpers : default_helpers());
	if (rv == 0) {
		service->users++;
		current = *out = service;
	} else if (service != NULL && service != current) {
		service_free(service);
	}
	wsf_unlock(&life_lock, WSF_RANK_LIFE);
	return rv;
}

void wsf_service_share(struct wsf_service *service)
{
	wsf_lock(&life_lock, WSF_RANK_LIFE);
	service->users++;
	wsf_unlock(&life_lock, WSF_RANK_LIFE);
}

void wsf_service_release(struct wsf_service *service)
{
	bool last;

	wsf_lock(&life_lock, WSF_RANK_LIFE);
	last = --service->users == 0 && !wsf_process_over();
	if (last)
		current = NULL;
	wsf_unlock(&life_lock, WSF_RANK_LIFE);
	if (last)
		service_free(service);
}

void wsf_service_leave(void *service)
{
	wsf_service_release(service);
}

/* --- the process --- */

static void before_fork(void)
{
	wsf_lock_to_fork(&life_lock);
}

static void in_parent(void)
{
	wsf_unlock_forked(&life_lock);
}

/* The helper threads are not there. Their memory may be in any state. */
static void in_child(void)
{
	current = NULL;
	wsf_unlock_forked(&life_lock);
}

/* What other libraries tidy up from here on, no helper uses any more. */
static void end(void)
{
	wsf_lock(&life_lock, WSF_RANK_LIFE);
	if (current != NULL)
		for (unsigned i = 0; i < atomic_load(&current->count); i++)
			wsf_helper_end(current->helpers[i]);
	wsf_unlock(&life_lock, WSF_RANK_LIFE);
}

static const struct wsf_process_part part = {
	.before_fork = before_fork,
	.in_parent = in_parent,
	.in_child = in_child,
	.end = end,
};

__attribute__((constructor)) static void join(void)
{
	wsf_process_join(WSF_PROCESS_SERVICE, &part);
}

/* --- placing --- */

/* The helper with the fewest of that kind, the first of them: few streams keep to few threads. */
static struct wsf_helper *choose(struct wsf_service *service, enum wsf_load kind)
{
	unsigned count = atomic_load(&service->count), best = 0, least, load;

	least = atomic_load(&service->helpers[0]->load[kind]);
	for (unsigned i = 1; i < count && least > 0; i++) {
		load = atomic_load(&service->helpers[i]->load[kind]);
		if (load < least) {
			least = load;
			best = i;
		}
	}
	return service->helpers[best];
}

int wsf_service_adopt(struct wsf_service *service, int fd, struct wsf_tls *tls, struct wsf_stream *stream)
{
	return wsf_link_adopt(choose(service, WSF_LOAD_STREAMS), fd, tls, stream);
}

int wsf_service_listen(struct wsf_service *service, int fd, const struct wsf_listen_ops *ops, void *user,
    struct wsf_link **link)
{
	return wsf_link_listen(choose(service, WSF_LOAD_LISTENERS), fd, ops, user, link);
}
