/* SPDX-License-Identifier: 0BSD */
/*
 * ws_fdopen: a stream over a descriptor that is there already. The stream gets a descriptor of its own for the socket,
 * so that the caller's is closed when nothing can fail any more, and is untouched when something does.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cancel.h"
#include "cookie.h"
#include "deflate.h"
#include "dial.h"
#include "observe.h"
#include "opener.h"
#include "process.h"
#include "service.h"
#include "tls.h"
#include "url.h"
#include "wait.h"

#define DEFAULT_URL "ws://localhost/"
/* The stream does not take the number of a standard stream that is closed. */
#define LEAST_FD 3

struct adoption {
	int fd;				/* the caller's */
	enum ws_role role;
	const struct wsf_url *url;
	struct wsf_options *options;
};

/* --- what is checked before anything is sent --- */

static int check_descriptor(int fd, struct wsf_failure *failure)
{
	struct sockaddr_storage peer;
	int type = 0, listening = 0;
	socklen_t size = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
		return wsf_fail_errno(failure, errno, "descriptor %d", fd);
	if (type != SOCK_STREAM)
		return wsf_fail(failure, EPROTOTYPE, "descriptor %d is no stream socket", fd);
	size = sizeof listening;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0)
		return wsf_fail(failure, EINVAL, "descriptor %d is a listening socket: that is for ws_listen", fd);
	size = sizeof peer;
	/* EINVAL is how some systems say that it was connected once. */
	if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
		return wsf_fail_errno(failure, errno == EINVAL ? ENOTCONN : errno, "descriptor %d", fd);
	return 0;
}

static int check_use(const struct adoption *adoption, struct wsf_failure *failure)
{
	const struct wsf_url *url = adoption->url;

	if (url->socket != NULL)
		return wsf_fail(failure, EINVAL, "url: it is ws or wss that is spoken on a descriptor");
	if (adoption->role == WS_ROLE_CLIENT)
		return 0;
	if (url->userinfo != NULL || strchr(url->target, '?') != NULL)
		return wsf_fail(failure, EINVAL, "url: a server's URL has no user and no query");
	if (wsf_options_get(adoption->options)->compression == WS_COMPRESSION_ON && !wsf_deflate_available())
		return wsf_fail(failure, EPROTONOSUPPORT, "compression: this build has none");
	return 0;
}

/* --- a server's opening --- */

static int start_tls(const struct adoption *adoption, struct wsf_tls **tls, struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(adoption->options);
	struct wsf_tls_context *context;
	int rv;

	*tls = NULL;
	if (!adoption->url->secure)
		return 0;
	if ((rv = wsf_tls_server_context(&context, values, failure)) != 0)
		return rv;
	rv = wsf_tls_create(tls, context, NULL, NULL);
	wsf_tls_context_unref(context);
	if (rv == 0 && (rv = wsf_tls_feed(*tls, values->initial_bytes, values->initial_size)) != 0)
		wsf_tls_free(*tls);
	return rv == 0 ? 0 : wsf_fail_errno(failure, -rv, "cannot start TLS");
}

static int admit(void *user, struct wsf_stream *stream, struct wsf_admission *admission)
{
	(void)user;
	return wsf_stream_authorize(stream, admission);
}

/* Takes over fd. On success the stream's handshake is under way. */
static int start_server(struct wsf_service *service, int fd, const struct adoption *adoption,
    struct wsf_stream **stream, struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(adoption->options);
	struct wsf_stream_setup setup = {
		.role = WSF_SERVER,
		.options = adoption->options,
		.path = values->path,
		.owner = { .admit = admit },
		.handshake_deadline_ns = wsf_deadline_ns(values->handshake_timeout_ms),
		.fd = fd,
	};
	struct wsf_tls *tls;
	int rv = start_tls(adoption, &tls, failure);

	if (rv != 0) {
		wsf_process_close(fd);
		return rv;
	}
	if (setup.path == NULL && strcmp(adoption->url->target, "/") != 0)
		setup.path = adoption->url->target;
	if (tls == NULL) {
		setup.initial = values->initial_bytes;
		setup.initial_bytes = values->initial_size;
	}
	rv = wsf_stream_create(stream, &setup);
	if (rv == 0 && (rv = wsf_service_adopt(service, fd, tls, *stream)) != 0)
		wsf_stream_unref(*stream);
	if (rv == 0)
		return 0;
	wsf_tls_free(tls);
	wsf_process_close(fd);
	return wsf_fail_errno(failure, -rv, "cannot start the connection");
}

static int serve(struct wsf_service *service, int fd, const struct adoption *adoption, struct wsf_stream **stream,
    struct wsf_failure *failure)
{
	int rv = start_server(service, fd, adoption, stream, failure);

	if (rv == 0 && (rv = wsf_stream_wait_open(*stream, failure)) != 0)
		wsf_stream_discard(*stream);
	if (rv != 0)
		wsf_observe_failure(wsf_options_get(adoption->options), -rv, failure->text);
	return rv;
}

/* --- both --- */

/* On failure the socket is as it was; whether it blocks is a property that all its descriptors share. */
static int open_stream(struct wsf_service *service, const struct adoption *adoption, struct wsf_stream **stream,
    struct wsf_failure *failure)
{
	int flags = fcntl(adoption->fd, F_GETFL), fd = WSF_OWNED(fcntl(adoption->fd, F_DUPFD_CLOEXEC, LEAST_FD)), rv;

	if (flags < 0 || fd < 0)
		return wsf_fail_errno(failure, errno, "cannot duplicate descriptor %d", adoption->fd);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (adoption->role == WS_ROLE_CLIENT)
		rv = wsf_dial_over(service, fd, adoption->url, adoption->options, stream, failure);
	else
		rv = serve(service, fd, adoption, stream, failure);
	if (rv != 0)
		fcntl(adoption->fd, F_SETFL, flags);
	return rv;
}

static int open_files(const struct adoption *adoption, const struct wsf_mode *mode, struct wsf_files *files,
    struct wsf_failure *failure)
{
	const struct ws_options *values = wsf_options_get(adoption->options);
	struct wsf_service *service;
	struct wsf_stream *stream;
	int on = 1, rv = wsf_service_acquire(&service, values->helper_threads);

	if (rv != 0)
		return wsf_fail_errno(failure, -rv, "cannot start the helper threads");
	rv = wsf_files_create(files, mode, false, values->stdio_buffer_bytes);
	if (rv != 0) {
		wsf_fail_errno(failure, -rv, "cannot make a stream");
	} else if ((rv = open_stream(service, adoption, &stream, failure)) == 0) {
		setsockopt(adoption->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		wsf_process_close(adoption->fd);
		wsf_stream_take(stream, mode, wsf_service_leave, service);
		wsf_files_bind(files, stream);
		return 0;
	} else {
		wsf_files_drop(files);
	}
	wsf_service_release(service);
	return rv;
}

static int open_url(struct adoption *adoption, const struct wsf_mode *mode, struct wsf_files *files,
    struct wsf_failure *failure)
{
	const char *text = wsf_options_get(adoption->options)->url;
	enum wsf_url_use use = adoption->role == WS_ROLE_CLIENT ? WSF_URL_CONNECT : WSF_URL_LISTEN;
	struct wsf_url url;
	char reason[160];
	int rv = wsf_url_parse(&url, text != NULL ? text : DEFAULT_URL, use, reason, sizeof reason);

	if (rv != 0)
		return wsf_fail(failure, -rv, "url: %s", reason);
	adoption->url = &url;
	rv = check_use(adoption, failure);
	if (rv == 0)
		rv = check_descriptor(adoption->fd, failure);
	if (rv == 0)
		rv = open_files(adoption, mode, files, failure);
	wsf_url_clear(&url);
	return rv;
}

static int adopt(int fd, const char *mode_text, enum ws_role role, const struct ws_options *options_in,
    struct wsf_files *files, struct wsf_failure *failure)
{
	struct adoption adoption = { .fd = fd, .role = role };
	struct wsf_mode mode;
	int rv = wsf_mode_parse(&mode, mode_text, failure);

	if (rv == 0 && role != WS_ROLE_CLIENT && role != WS_ROLE_SERVER)
		rv = wsf_fail(failure, EINVAL, "the role is neither WS_ROLE_CLIENT nor WS_ROLE_SERVER");
	if (rv == 0)
		rv = wsf_options_copy(&adoption.options, options_in, failure);
	if (rv != 0)
		return rv;
	rv = open_url(&adoption, &mode, files, failure);
	wsf_options_unref(adoption.options);
	return rv;
}

FILE *ws_fdopen(int fd, const char *mode, enum ws_role role, const struct ws_options *options)
{
	struct wsf_failure failure = { 0 };
	struct wsf_files files;
	int cancel = wsf_cancel_off(), rv = adopt(fd, mode, role, options, &files, &failure);

	wsf_cancel_back(cancel);
	if (rv != 0) {
		wsf_opener_failed(&failure);
		return NULL;
	}
	return files.file[0];
}
