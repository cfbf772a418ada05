/* SPDX-License-Identifier: 0BSD */
/* SOCKS5 (RFC 1928) with user and password (RFC 1929). */
#include "tunnel_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "wipe.h"

#define VERSION 5
#define AUTHENTICATION_VERSION 1
#define TEXT_MAX 255			/* of a name, a user, a password */

enum method { METHOD_NONE = 0, METHOD_PASSWORD = 2, METHOD_NOT_ONE = 0xff };
enum address_type { ADDRESS_IPV4 = 1, ADDRESS_NAME = 3, ADDRESS_IPV6 = 4 };

static int fail_protocol(const struct wsf_tunnel_call *call, const char *what)
{
	return wsf_fail(call->failure, EPROTO, WSF_TUNNEL_PROXY " did not answer as a SOCKS5 proxy: %s",
	    WSF_TUNNEL_PROXY_ARGUMENTS(call), what);
}

/* --- who we are --- */

static size_t user_bytes(const char *userinfo)
{
	return strcspn(userinfo, ":");
}

static const char *password_of(const char *userinfo)
{
	const char *colon = strchr(userinfo, ':');

	return colon != NULL ? colon + 1 : "";
}

/* Before anything is sent. */
static int check_lengths(const struct wsf_tunnel_call *call)
{
	const char *userinfo = call->proxy->userinfo;

	if (strlen(call->url->host) > TEXT_MAX)
		return wsf_fail(call->failure, EINVAL, "the host's name is longer than 255 bytes");
	if (userinfo != NULL && (user_bytes(userinfo) > TEXT_MAX || strlen(password_of(userinfo)) > TEXT_MAX))
		return wsf_fail(call->failure, EINVAL, "the user or password for " WSF_TUNNEL_PROXY
		    " is longer than 255 bytes", WSF_TUNNEL_PROXY_ARGUMENTS(call));
	return 0;
}

static int authenticate(const struct wsf_tunnel_call *call)
{
	const char *userinfo = call->proxy->userinfo, *password = password_of(userinfo);
	size_t user = user_bytes(userinfo), length = strlen(password);
	uint8_t request[3 + 2 * TEXT_MAX], answer[2];
	int rv;

	request[0] = AUTHENTICATION_VERSION;
	request[1] = (uint8_t)user;
	memcpy(request + 2, userinfo, user);
	request[2 + user] = (uint8_t)length;
	memcpy(request + 3 + user, password, length);
	rv = wsf_tunnel_send(call, request, 3 + user + length);
	wsf_wipe(request, sizeof(request));
	if (rv != 0 || (rv = wsf_tunnel_receive(call, answer, sizeof(answer))) != 0)
		return rv;
	/* The version is not looked at: there are proxies that send SOCKS's in its place. */
	if (answer[1] != 0)
		return wsf_fail(call->failure, EACCES, WSF_TUNNEL_PROXY " refused the user and password",
		    WSF_TUNNEL_PROXY_ARGUMENTS(call));
	return 0;
}

static int greet(const struct wsf_tunnel_call *call)
{
	bool known = call->proxy->userinfo != NULL;
	const uint8_t request[] = { VERSION, known ? 2 : 1, METHOD_NONE, METHOD_PASSWORD };
	uint8_t answer[2];
	int rv = wsf_tunnel_send(call, request, known ? 4 : 3);

	if (rv != 0 || (rv = wsf_tunnel_receive(call, answer, sizeof(answer))) != 0)
		return rv;
	if (answer[0] != VERSION)
		return fail_protocol(call, "another version");
	if (answer[1] == METHOD_NONE)
		return 0;
	if (answer[1] == METHOD_PASSWORD && known)
		return authenticate(call);
	if (answer[1] != METHOD_NOT_ONE)
		return fail_protocol(call, "an authentication that was not offered");
	return wsf_fail(call->failure, EACCES, known ? WSF_TUNNEL_PROXY " accepts no user and password" :
	    WSF_TUNNEL_PROXY " asks for a user and password", WSF_TUNNEL_PROXY_ARGUMENTS(call));
}

/* --- where to --- */

/* An address as such: a proxy need not resolve it. Returns the size of type and address. */
static size_t put_address(uint8_t *out, const char *host)
{
	size_t length = strlen(host);

	if (inet_pton(AF_INET, host, out + 1) == 1) {
		out[0] = ADDRESS_IPV4;
		return 1 + 4;
	}
	if (inet_pton(AF_INET6, host, out + 1) == 1) {
		out[0] = ADDRESS_IPV6;
		return 1 + 16;
	}
	out[0] = ADDRESS_NAME;
	out[1] = (uint8_t)length;
	memcpy(out + 2, host, length);
	return 2 + length;
}

static int send_connect(const struct wsf_tunnel_call *call)
{
	uint8_t request[3 + 2 + TEXT_MAX + 2] = { VERSION, 1 };	/* 1 = CONNECT */
	size_t used = 3 + put_address(request + 3, call->url->host);

	request[used++] = (uint8_t)(call->url->port >> 8);
	request[used++] = (uint8_t)call->url->port;
	return wsf_tunnel_send(call, request, used);
}

static int fail_reply(const struct wsf_tunnel_call *call, uint8_t reply)
{
	/* RFC 1928, section 6. */
	static const struct {
		int error;
		const char *text;
	} replies[] = {
		[1] = { ECONNABORTED, "general failure" },
		[2] = { EACCES, "not allowed by its rules" },
		[3] = { ENETUNREACH, "network unreachable" },
		[4] = { EHOSTUNREACH, "host unreachable" },
		[5] = { ECONNREFUSED, "connection refused" },
		[6] = { EHOSTUNREACH, "TTL expired" },
		[7] = { ECONNABORTED, "command not supported" },
		[8] = { ECONNABORTED, "address type not supported" },
	};
	bool known = reply < sizeof(replies) / sizeof(*replies);

	return wsf_fail(call->failure, known ? replies[reply].error : ECONNABORTED,
	    WSF_TUNNEL_PROXY " did not connect to %s port %u: %s (SOCKS5 reply %u)", WSF_TUNNEL_PROXY_ARGUMENTS(call),
	    call->url->host, call->url->port, known ? replies[reply].text : "unknown failure", reply);
}

/* The address that the proxy is bound to comes with the answer, and is of no use. */
static int skip_bound_address(const struct wsf_tunnel_call *call)
{
	uint8_t head[2], address[TEXT_MAX + 2], name_bytes = 0;
	size_t size;
	int rv = wsf_tunnel_receive(call, head, sizeof(head));

	if (rv != 0)
		return rv;
	switch (head[1]) {
	case ADDRESS_IPV4:
		size = 4;
		break;
	case ADDRESS_IPV6:
		size = 16;
		break;
	case ADDRESS_NAME:
		if ((rv = wsf_tunnel_receive(call, &name_bytes, 1)) != 0)
			return rv;
		size = name_bytes;
		break;
	default:
		return fail_protocol(call, "an unknown type of address");
	}
	return wsf_tunnel_receive(call, address, size + 2);
}

int wsf_tunnel_socks(const struct wsf_tunnel_call *call)
{
	uint8_t answer[2];
	int rv = check_lengths(call);

	if (rv != 0 || (rv = greet(call)) != 0 || (rv = send_connect(call)) != 0 ||
	    (rv = wsf_tunnel_receive(call, answer, sizeof(answer))) != 0)
		return rv;
	if (answer[0] != VERSION)
		return fail_protocol(call, "another version");
	/* Proxies that refuse do not always send the rest. */
	if (answer[1] != 0)
		return fail_reply(call, answer[1]);
	rv = skip_bound_address(call);
	return rv != 0 ? rv : wsf_tunnel_check_end(call);
}
