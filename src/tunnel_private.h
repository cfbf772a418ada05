/* SPDX-License-Identifier: 0BSD */
/*
 * What tunnel.c (the socket's side) shares with tunnel_http.c and tunnel_socks.c (what is said): blocking sends and
 * receives within one deadline. All of it runs in the program's thread.
 */
#ifndef WSF_TUNNEL_PRIVATE_H
#define WSF_TUNNEL_PRIVATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tunnel.h"

/* The arguments of wsf_tunnel. */
struct wsf_tunnel_call {
	int fd;
	const struct wsf_proxy *proxy;
	const struct wsf_url *url;
	const char *user_agent;
	size_t max_header_bytes;
	int64_t deadline_ns;
	struct wsf_failure *failure;
};

/* The start of each text. */
#define WSF_TUNNEL_PROXY "the proxy %s port %u"
#define WSF_TUNNEL_PROXY_ARGUMENTS(call) (call)->proxy->host, (call)->proxy->port

/* All of them return a negative errno with the failure filled. Send all, or receive exactly size bytes: 0. */
int wsf_tunnel_send(const struct wsf_tunnel_call *call, const void *data, size_t size);
int wsf_tunnel_receive(const struct wsf_tunnel_call *call, void *data, size_t size);
/* What is there, at least one byte, at most size; it stays there: how many. */
ssize_t wsf_tunnel_peek(const struct wsf_tunnel_call *call, void *data, size_t size);
/* 0 when there is nothing behind the answer: the host behind the proxy never speaks first. */
int wsf_tunnel_check_end(const struct wsf_tunnel_call *call);

/* The two ways to ask. */
int wsf_tunnel_http(const struct wsf_tunnel_call *call);
int wsf_tunnel_socks(const struct wsf_tunnel_call *call);

#endif
