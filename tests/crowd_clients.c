/* SPDX-License-Identifier: 0BSD */
/*
 * Many clients at once of a server that sends everything back, each with a thread that writes and one that reads, and
 * every byte checked: for the example of ws_pollfd(3). Only the public interface, and no Check.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsfile.h>

#define CLIENTS_MAX 1000

struct client {
	FILE *half[2];
	pthread_t writer, reader;
	unsigned number;
	unsigned long size;
	const char *failed;
	int error;
};

static struct client clients[CLIENTS_MAX];

static unsigned char byte_at(unsigned number, unsigned long offset)
{
	return (unsigned char)((offset * 2654435761u >> 13) + offset + number * 97u);
}

static void fail(struct client *client, const char *what)
{
	if (client->failed == NULL) {
		client->error = errno;
		client->failed = what;
	}
}

static void *write_all(void *argument)
{
	struct client *client = argument;
	unsigned long i;

	for (i = 0; i < client->size; i++)
		if (putc(byte_at(client->number, i), client->half[1]) == EOF)
			break;
	/* The half-close. */
	if (fclose(client->half[1]) == EOF || i < client->size)
		return "cannot write";
	return NULL;
}

static void *read_all(void *argument)
{
	struct client *client = argument;
	unsigned long i;
	int c;

	for (i = 0; (c = getc(client->half[0])) != EOF; i++)
		if (i >= client->size || c != byte_at(client->number, i))
			return "wrong bytes";
	if (ferror(client->half[0]))
		return "cannot read";
	return i == client->size ? NULL : "too few bytes";
}

static int finish(struct client *client)
{
	void *written, *read;

	pthread_join(client->writer, &written);
	pthread_join(client->reader, &read);
	if (written != NULL)
		fail(client, written);
	if (read != NULL)
		fail(client, read);
	errno = 0;
	if (fclose(client->half[0]) == EOF)
		fail(client, "cannot close");
	if (client->failed != NULL)
		fprintf(stderr, "client %u: %s: %s\n", client->number, client->failed, strerror(client->error));
	return client->failed == NULL ? 0 : -1;
}

int main(int argc, char *argv[])
{
	unsigned i, count;
	int result = 0;

	if (argc != 4)
		return 2;
	count = (unsigned)strtoul(argv[2], NULL, 10);
	for (i = 0; i < count && i < CLIENTS_MAX; i++) {
		clients[i].number = i;
		clients[i].size = strtoul(argv[3], NULL, 10);
		if (ws_fopen_pair(argv[1], NULL, clients[i].half) == -1) {
			fprintf(stderr, "client %u: %s\n", i, ws_last_error()->text);
			return 1;
		}
	}
	/* All are connected before any begins. */
	for (i = 0; i < count; i++)
		if (pthread_create(&clients[i].writer, NULL, write_all, &clients[i]) != 0 ||
		    pthread_create(&clients[i].reader, NULL, read_all, &clients[i]) != 0)
			return 1;
	for (i = 0; i < count; i++)
		if (finish(&clients[i]) == -1)
			result = 1;
	return result;
}
