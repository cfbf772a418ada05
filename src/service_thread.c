/* SPDX-License-Identifier: 0BSD */
/* The helper thread's life, and how other threads tell it what to do. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "service_private.h"
#include "wait.h"

/* Guards the current service and its users. */
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static struct wsf_service *current;

/* --- commands --- */

void wsf_service_command(struct wsf_service *service, struct wsf_commands *commands, unsigned bits)
{
	pthread_mutex_lock(&service->queue_lock);
	if (commands->bits == 0) {
		if (commands->stream != NULL)
			wsf_stream_ref(commands->stream);
		commands->next = NULL;
		*service->queue_tail = commands;
		service->queue_tail = &commands->next;
		if (!service->woken) {
			service->woken = true;
			wsf_loop_wake(service->loop);
		}
	}
	commands->bits |= bits;
	pthread_mutex_unlock(&service->queue_lock);
}

/* Wake-ups coalesce: take the whole queue; what is asked for meanwhile waits until the sockets have had their turn. */
bool wsf_service_drain(struct wsf_service *service)
{
	bool more;
	struct wsf_commands *commands, *next;
	struct wsf_stream *stream;
	unsigned bits;

	pthread_mutex_lock(&service->queue_lock);
	service->woken = false;
	commands = service->queue;
	service->queue = NULL;
	service->queue_tail = &service->queue;
	for (; commands != NULL; commands = next) {
		next = commands->next;
		bits = commands->bits;
		commands->bits = 0;
		stream = commands->stream;
		pthread_mutex_unlock(&service->queue_lock);
		wsf_loop_carry_out(commands, bits);
		/* May free what the commands are part of; a listener's is freed by its owner, after closed. */
		wsf_stream_unref(stream);
		pthread_mutex_lock(&service->queue_lock);
	}
	more = service->queue != NULL;
	pthread_mutex_unlock(&service->queue_lock);
	return more;
}

/* --- life --- */

static void *helper_main(void *argument)
{
	struct wsf_service *service = argument;

	service->start_error = wsf_loop_start(service->loop, service);
	wsf_event_notify(&service->ready);
	if (service->start_error == 0)
		while (wsf_event_seen(&service->stopping) == 0 && wsf_loop_turn(service->loop))
			;
	/* Takes the queue lock: behind the last wsf_loop_wake. */
	while (wsf_service_drain(service))
		;
	wsf_loop_stop(service->loop);
	return NULL;
}

static void service_free(struct wsf_service *service)
{
	wsf_event_destroy(&service->ready);
	wsf_event_destroy(&service->stopping);
	pthread_mutex_destroy(&service->queue_lock);
	wsf_loop_free(service->loop);
	free(service);
}

static struct wsf_service *service_new(void)
{
	struct wsf_service *service = calloc(1, sizeof *service);

	if (service == NULL)
		return NULL;
	service->loop = wsf_loop_new();
	if (service->loop == NULL) {
		free(service);
		return NULL;
	}
	wsf_event_init(&service->ready);
	wsf_event_init(&service->stopping);
	pthread_mutex_init(&service->queue_lock, NULL);
	service->queue_tail = &service->queue;
	return service;
}

static int start(struct wsf_service **out)
{
	struct wsf_service *service = service_new();
	sigset_t all, before;
	int rv;

	if (service == NULL)
		return -ENOMEM;
	/* The helper takes no signals: they are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rv = -pthread_create(&service->thread, NULL, helper_main, service);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rv == 0) {
		while (wsf_event_seen(&service->ready) == 0)
			(void)wsf_event_wait(&service->ready, 0, WSF_NO_DEADLINE);
		rv = service->start_error;
		if (rv != 0)
			pthread_join(service->thread, NULL);
	}
	if (rv != 0) {
		service_free(service);
		return rv;
	}
	*out = service;
	return 0;
}

int wsf_service_acquire(struct wsf_service **service)
{
	int rv = 0;

	pthread_mutex_lock(&life_lock);
	if (current == NULL)
		rv = start(&current);
	if (rv == 0) {
		current->users++;
		*service = current;
	}
	pthread_mutex_unlock(&life_lock);
	return rv;
}

void wsf_service_release(struct wsf_service *service)
{
	bool last;

	pthread_mutex_lock(&life_lock);
	last = --service->users == 0;
	if (last)
		current = NULL;
	pthread_mutex_unlock(&life_lock);
	if (!last)
		return;
	/* The lock keeps the helper from stopping the loop before it is woken. */
	pthread_mutex_lock(&service->queue_lock);
	wsf_event_notify(&service->stopping);
	wsf_loop_wake(service->loop);
	pthread_mutex_unlock(&service->queue_lock);
	pthread_join(service->thread, NULL);
	service_free(service);
}

void wsf_service_leave(void *service)
{
	wsf_service_release(service);
}
