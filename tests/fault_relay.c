/* SPDX-License-Identifier: 0BSD */
#include "fault_relay.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault_memory.h"
#include "fault_sweep.h"
#include "peer.h"

#define REQUEST_MAX 2048
#define PORT_AT 8			/* in the SOCKS request for an IPv4 address */

struct relay {
	int listener;
	unsigned port;
	bool socks;
	pthread_t thread;
};

static bool take(int fd, void *data, size_t size)
{
	return recv(fd, data, size, MSG_WAITALL) == (ssize_t)size;
}

/* Returns the port asked for, 0 = none. */
static unsigned hear_http(int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n\r\n";
	char text[REQUEST_MAX + 1];
	size_t size = 0;
	const char *colon;

	while (size < REQUEST_MAX && take(fd, text + size, 1)) {
		text[++size] = '\0';
		if (size > 4 && strcmp(text + size - 4, "\r\n\r\n") == 0) {
			colon = strchr(text, ':');
			return peer_try_send(fd, answer, sizeof answer - 1) && colon != NULL ?
			    (unsigned)strtoul(colon + 1, NULL, 10) : 0;
		}
	}
	return 0;
}

static unsigned hear_socks(int fd)
{
	uint8_t greeting[3], request[10];

	if (!take(fd, greeting, sizeof greeting) || !peer_try_send(fd, "\5\0", 2) ||
	    !take(fd, request, sizeof request) || !peer_try_send(fd, "\5\0\0\1\0\0\0\0\0\0", 10))
		return 0;
	return (unsigned)request[PORT_AT] << 8 | request[PORT_AT + 1];
}

/* Returns whether there may be more. */
static bool move(int from, int to)
{
	char data[16384];
	ssize_t size = recv(from, data, sizeof data, 0);

	if (size > 0 && peer_try_send(to, data, (size_t)size))
		return true;
	shutdown(to, SHUT_WR);
	return false;
}

static void copy(int one, int other)
{
	struct pollfd fds[2] = { { one, POLLIN, 0 }, { other, POLLIN, 0 } };

	while ((fds[0].fd >= 0 || fds[1].fd >= 0) && poll(fds, 2, -1) > 0) {
		for (int i = 0; i < 2; i++)
			if (fds[i].revents != 0 && !move(fds[i].fd, i == 0 ? other : one))
				fds[i].fd = -1;
	}
}

/* The library's listener may be gone already. Returns -1 then. */
static int connect_on(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void *serve(void *argument)
{
	const struct relay *relay = argument;
	int fd, onward;
	unsigned port;

	fault_memory_spare();
	fd = accept(relay->listener, NULL, NULL);
	if (fd < 0)
		return NULL;
	port = relay->socks ? hear_socks(fd) : hear_http(fd);
	onward = port != 0 ? connect_on(port) : -1;
	if (onward >= 0) {
		copy(fd, onward);
		close(onward);
	}
	close(fd);
	return NULL;
}

struct relay *relay_start(bool socks)
{
	struct relay *relay;

	fault_memory_spare();
	relay = malloc(sizeof *relay);
	ck_assert_ptr_nonnull(relay);
	relay->socks = socks;
	relay->listener = peer_listen(&relay->port);
	fault_memory_spare_end();
	sweep_thread(&relay->thread, serve, relay);
	return relay;
}

void relay_url(const struct relay *relay, char *out, size_t size)
{
	snprintf(out, size, "%s://127.0.0.1:%u", relay->socks ? "socks5" : "http", relay->port);
}

void relay_end(struct relay *relay)
{
	if (relay == NULL)
		return;
	/* Wakes an accept that nobody came for. */
	shutdown(relay->listener, SHUT_RDWR);
	sweep_join(relay->thread);
	close(relay->listener);
	free(relay);
}
