/* SPDX-License-Identifier: 0BSD */
#include "wspipe_exec.h"

#include <errno.h>
#include <paths.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wspipe.h"

/*
 * [I] immutable after creation, [R] the lock of all that run. A child that has ended is reaped when it is released and
 * not before: until then neither its number nor that of its process group can become another's, and be killed.
 */
struct wspipe_child {
	struct wspipe_child *next;	/* [R] */
	pid_t pid;			/* [I] */
	int bell;			/* [R] -1 = released */
	bool ended;			/* [R] */
	int code, status;		/* [R] as in siginfo_t */
};

static struct {
	pthread_mutex_t lock;
	struct wspipe_child *first;	/* [R] */
} running = { .lock = PTHREAD_MUTEX_INITIALIZER };

void wspipe_ring(int fd)
{
	(void)!write(fd, "", 1);
}

/* Signals as wspipe found them, but SIGPIPE: a command must end when nobody reads what it writes. */
static int spawn(pid_t *pid, char *command, char **environment, int input, int output)
{
	char name[] = "sh", option[] = "-c";
	char *const arguments[] = { name, option, command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int error;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	error = posix_spawnattr_init(&attributes);
	if (error != 0)
		return error;
	error = posix_spawn_file_actions_init(&actions);
	if (error != 0)
		goto out;
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, wspipe_signals_found());
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	if (error == 0)
		error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (error == 0)
		error = posix_spawn(pid, _PATH_BSHELL, &actions, &attributes, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
out:
	posix_spawnattr_destroy(&attributes);
	return error;
}

int wspipe_child_start(struct wspipe_child **child, char *command, char **environment, int input, int output, int bell)
{
	struct wspipe_child *new = calloc(1, sizeof *new);
	int error;

	if (!new)
		return ENOMEM;
	new->bell = bell;
	/* With the lock held: the child may end before it is in the list, but not be looked for. */
	pthread_mutex_lock(&running.lock);
	error = spawn(&new->pid, command, environment, input, output);
	if (error == 0) {
		new->next = running.first;
		running.first = new;
	}
	pthread_mutex_unlock(&running.lock);
	if (error != 0) {
		free(new);
		return error;
	}
	*child = new;
	return 0;
}

static void look_locked(struct wspipe_child *child)
{
	siginfo_t info = { .si_pid = 0 };

	if (child->ended || waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
	    info.si_pid == 0)
		return;
	child->ended = true;
	child->code = info.si_code;
	child->status = info.si_status;
	if (child->bell >= 0)
		wspipe_ring(child->bell);
}

static void reap_released_locked(void)
{
	struct wspipe_child **at = &running.first, *child;

	while ((child = *at) != NULL) {
		if (!child->ended || child->bell >= 0) {
			at = &child->next;
			continue;
		}
		*at = child->next;
		while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
			;
		free(child);
	}
}

void wspipe_children_check(void)
{
	pthread_mutex_lock(&running.lock);
	for (struct wspipe_child *child = running.first; child; child = child->next)
		look_locked(child);
	reap_released_locked();
	pthread_mutex_unlock(&running.lock);
}

int wspipe_child_result(struct wspipe_child *child, char *text, size_t size)
{
	int result = -1;

	pthread_mutex_lock(&running.lock);
	look_locked(child);
	if (child->ended) {
		result = child->code != CLD_EXITED || child->status != 0;
		snprintf(text, size, "%s %d", child->code == CLD_EXITED ? "exit status" : "killed by signal",
		    child->status);
	}
	pthread_mutex_unlock(&running.lock);
	return result;
}

void wspipe_child_kill(struct wspipe_child *child, int signal_number)
{
	kill(-child->pid, signal_number);
}

void wspipe_children_kill(int signal_number)
{
	pthread_mutex_lock(&running.lock);
	for (struct wspipe_child *child = running.first; child; child = child->next)
		if (child->bell >= 0)
			wspipe_child_kill(child, signal_number);
	pthread_mutex_unlock(&running.lock);
}

void wspipe_child_release(struct wspipe_child *child)
{
	pthread_mutex_lock(&running.lock);
	child->bell = -1;
	look_locked(child);
	reap_released_locked();
	pthread_mutex_unlock(&running.lock);
}
