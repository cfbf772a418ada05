/* SPDX-License-Identifier: 0BSD */
#include "pki.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define HARD_ERROR 99			/* Meson's: not a test that failed, but one that could not run */

struct path {
	struct path *next;
	char text[];
};

static char directory[4096];
static struct path *paths;
static pid_t maker;

static void give_up(const char *what)
{
	perror(what);
	pki_end();
	exit(HARD_ERROR);
}

static const char *join(const char *base, const char *name)
{
	size_t size = strlen(base) + 1 + strlen(name) + 1;
	struct path *path = malloc(sizeof(*path) + size);

	if (path == NULL)
		give_up("pki");
	snprintf(path->text, size, "%s/%s", base, name);
	path->next = paths;
	paths = path;
	return path->text;
}

static void make(const char *script, const char *only)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		execlp("sh", "sh", script, directory, only, (char *)NULL);
		_exit(127);
	}
	if (child == -1 || waitpid(child, &status, 0) != child)
		give_up("sh");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "%s failed\n", script);
		pki_end();
		exit(HARD_ERROR);
	}
}

static void begin(const char *only)
{
	const char *source = getenv("WSF_TEST_SOURCE"), *parent = getenv("TMPDIR");

	if (source == NULL) {
		fprintf(stderr, "WSF_TEST_SOURCE is not set\n");
		exit(HARD_ERROR);
	}
	snprintf(directory, sizeof(directory), "%s/wsfile-pki-XXXXXX", parent != NULL ? parent : "/tmp");
	if (mkdtemp(directory) == NULL)
		give_up(directory);
	maker = getpid();
	make(join(source, "make_certificates.sh"), only);
}

void pki_begin(void)
{
	begin(NULL);
}

void pki_begin_server(void)
{
	begin("server");
}

const char *pki_file(const char *name)
{
	for (struct path *path = paths; path != NULL; path = path->next) {
		const char *base = strrchr(path->text, '/') + 1;

		if (strcmp(base, name) == 0 && strncmp(path->text, directory, strlen(directory)) == 0)
			return path->text;
	}
	return join(directory, name);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

void pki_end(void)
{
	while (paths != NULL) {
		struct path *next = paths->next;

		free(paths);
		paths = next;
	}
	if (maker != 0 && maker == getpid())
		nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	maker = 0;
}
