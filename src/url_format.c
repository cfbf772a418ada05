/* SPDX-License-Identifier: 0BSD */
/* A URL written from its parts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "url.h"

/* What would end a local socket's path, or can't stand in a URL. */
static bool has_to_be_encoded(unsigned char c)
{
	return c <= ' ' || c > '~' || strchr(":?#%", c) != NULL;
}

static char *encode(const char *path)
{
	char *out = malloc(3 * strlen(path) + 1), *p = out;

	for (; out != NULL && *path != '\0'; path++) {
		if (has_to_be_encoded((unsigned char)*path))
			p += snprintf(p, 4, "%%%02X", (unsigned char)*path);
		else
			*p++ = *path;
	}
	if (out != NULL)
		*p = '\0';
	return out;
}

char *wsf_url_format(const struct wsf_url *url, unsigned port, const char *target)
{
	char *socket = url->socket != NULL ? encode(url->socket) : NULL, *text;
	const char *name = url->socket != NULL ? socket : url->host;
	size_t size;

	if (name == NULL)
		return NULL;
	size = strlen(name) + strlen(target) + sizeof "wss+unix://[]:65535";
	text = malloc(size);
	if (text == NULL)
		;
	else if (url->socket != NULL)
		snprintf(text, size, "%s://%s:%s", url->secure ? "wss+unix" : "ws+unix", name, target);
	else
		snprintf(text, size, url->ipv6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s", url->secure ? "wss" : "ws", name,
		    port, target);
	free(socket);
	return text;
}
