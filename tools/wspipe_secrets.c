/* SPDX-License-Identifier: 0BSD */
#include "wspipe_args.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No header that we could send is longer. */
#define MAX_SECRET 16384

char *wspipe_secret_take(char *argument)
{
	char *copy = strdup(argument);

	memset(argument, '*', strlen(argument));
	return copy;
}

void wspipe_secret_hide_userinfo(char *url)
{
	char *begin = strstr(url, "://");
	size_t size;

	begin = begin ? begin + 3 : url;
	for (size = strcspn(begin, "/?#"); size > 0 && begin[size - 1] != '@'; size--)
		;
	if (size > 0)
		memset(begin, '*', size - 1);
}

char *wspipe_secret_take_url(char *argument)
{
	char *copy = strdup(argument);

	wspipe_secret_hide_userinfo(argument);
	return copy;
}

static int complain(const char *file, int error, const char *why)
{
	wspipe_complain(error, file, why ? why : strerror(error));
	return WSPIPE_BROKEN;
}

/* Reads on to the first newline: what is behind it may come much later, from a pipe. Returns false with errno. */
static bool read_line(int fd, char *line, size_t max)
{
	size_t size = 0;
	ssize_t n;

	do {
		n = read(fd, line + size, max - size);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			size += (size_t)n;
	} while (n != 0 && size < max && !memchr(line, '\n', size));
	char *end = memchr(line, '\n', size);
	if (!end && size == max) {
		errno = EFBIG;
		return false;
	}
	size = end ? (size_t)(end - line) : size;
	line[size > 0 && line[size - 1] == '\r' ? size - 1 : size] = '\0';
	return true;
}

int wspipe_secret_read(const char *file, char **secret)
{
	char *line = calloc(1, MAX_SECRET + 1);
	int fd = open(file, O_RDONLY | O_CLOEXEC), rv = -1;

	if (!line || fd < 0)
		rv = complain(file, errno, NULL);
	else if (!read_line(fd, line, MAX_SECRET))
		rv = complain(file, errno, errno == EFBIG ? "the first line is too long" : NULL);
	else if (*line == '\0')
		rv = complain(file, EINVAL, "the first line is empty");
	else if (!(*secret = strdup(line)))
		rv = complain(file, ENOMEM, NULL);
	if (line)
		explicit_bzero(line, MAX_SECRET);
	free(line);
	if (fd >= 0)
		close(fd);
	return rv;
}

void wspipe_secret_clear(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}
