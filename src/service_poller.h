/* SPDX-License-Identifier: 0BSD */
/*
 * The sockets of one helper thread, in one descriptor that libwebsockets watches: what an event costs does not depend
 * on how many sockets are silent. It knows the kernel only, no links. The helper thread calls it.
 */
#ifndef WSF_SERVICE_POLLER_H
#define WSF_SERVICE_POLLER_H

/*
 * What is watched for. WSF_POLL_OVER, neither direction works any more, comes with either of the others, too; kqueue
 * has no word for it alone.
 */
enum { WSF_POLL_READ = 1, WSF_POLL_WRITE = 2, WSF_POLL_OVER = 4 };

struct wsf_poll_event {
	void *owner;			/* of the socket, as given to add */
	unsigned what;
};

/* A descriptor, readable while there are events; or a negative errno. */
int wsf_poller_open(void);
/* Returns 0 or a negative errno. */
int wsf_poller_add(int poller, int fd, unsigned what, void *owner);
/*
 * From what to what, as add; 0 is not to be watched at all, which spares the kernel a look for each thing that comes.
 */
int wsf_poller_change(int poller, int fd, unsigned before, unsigned what, void *owner);
/* Whether it is watched or not. */
void wsf_poller_remove(int poller, int fd);
#define WSF_POLL_EVENTS_MAX 64
/* Events that are there; never waits. The same socket may come twice. Returns how many. */
int wsf_poller_take(int poller, struct wsf_poll_event events[WSF_POLL_EVENTS_MAX]);

#endif
