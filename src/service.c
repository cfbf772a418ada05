/* SPDX-License-Identifier: 0BSD */
/* The running group of helper threads, and which of them a socket goes to. */
#include <errno.h>
#include <stdlib.h>

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

	pthread_mutex_lock(&life_lock);
	service = current != NULL ? current : calloc(1, sizeof *service);
	if (service != NULL)
		rv = grow_locked(service, helpers != 0 ? helpers : default_helpers());
	if (rv == 0) {
		service->users++;
		current = *out = service;
	} else if (service != NULL && service != current) {
		service_free(service);
	}
	pthread_mutex_unlock(&life_lock);
	return rv;
}

void wsf_service_share(struct wsf_service *service)
{
	pthread_mutex_lock(&life_lock);
	service->users++;
	pthread_mutex_unlock(&life_lock);
}

void wsf_service_release(struct wsf_service *service)
{
	bool last;

	pthread_mutex_lock(&life_lock);
	last = --service->users == 0;
	if (last)
		current = NULL;
	pthread_mutex_unlock(&life_lock);
	if (last)
		service_free(service);
}

void wsf_service_leave(void *service)
{
	wsf_service_release(service);
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
