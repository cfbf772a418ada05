/* SPDX-License-Identifier: 0BSD */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <check.h>
#include <openssl/evp.h>

#include "peer.h"

#define GIVE_UP_S 20
#define JOIN_GIVE_UP_S 60
#define COUNT_GIVE_UP_MS 10000
#define MAX_FRAME_BYTES ((uint64_t)1 << 30)
#define CHUNK_BYTES 65536

/* ck_assert writes a mark to Check's pipe on success too: far too slow for each frame of a bulk transfer. */
#define insist(condition, ...) \
	do { \
		if (!(condition)) \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

#define insist_os(condition, what) insist(condition, "%s: %s", what, strerror(errno))

static const uint8_t fixed_key[4] = { 0x37, 0xfa, 0x21, 0x3d };

/* --- time --- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For conditions that the kernel offers no event for: they are looked at again and again. */
static void look_again_soon(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
}

/* --- sockets --- */

static void prepare(int fd)
{
	struct timeval limit = { .tv_sec = GIVE_UP_S };
	int on = 1;

	insist_os(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0, "SO_RCVTIMEO");
	insist_os(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0, "SO_SNDTIMEO");
	insist_os(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	insist_os(fd >= 0, "socket");
	prepare(fd);
	return fd;
}

int peer_listen_sized(unsigned *port, int receive_bytes)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = new_socket();

	if (receive_bytes > 0)
		insist_os(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0,
		    "SO_RCVBUF");
	insist_os(bind(fd, (struct sockaddr *)&address, sizeof address) == 0, "bind");
	insist_os(listen(fd, 64) == 0, "listen");
	insist_os(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
	*port = ntohs(address.sin_port);
	return fd;
}

int peer_listen(unsigned *port)
{
	return peer_listen_sized(port, 0);
}

int peer_accept(int listener)
{
	int fd;

	do
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	insist_os(fd >= 0, "peer_accept");
	prepare(fd);
	return fd;
}

int peer_connect_sized(unsigned port, int receive_bytes)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	int fd = new_socket();

	if (receive_bytes > 0)
		insist_os(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0,
		    "SO_RCVBUF");
	int rv = connect(fd, (struct sockaddr *)&address, sizeof address);

	/* In a thread that gets signals: it goes on, and the descriptor tells how it ends. */
	if (rv != 0 && errno == EINTR) {
		struct pollfd done = { .fd = fd, .events = POLLOUT };
		socklen_t size = sizeof rv;

		while (poll(&done, 1, -1) < 0 && errno == EINTR)
			;
		insist_os(getsockopt(fd, SOL_SOCKET, SO_ERROR, &rv, &size) == 0, "SO_ERROR");
		errno = rv;
	}
	insist_os(rv == 0, "peer_connect");
	return fd;
}

int peer_connect(unsigned port)
{
	return peer_connect_sized(port, 0);
}

unsigned peer_url_port(const char *url)
{
	const char *colon = strchr(url, ':');
	unsigned long port;
	char *end;

	insist(colon != NULL, "no port in %s", url);
	colon = strchr(colon + 1, ':');
	insist(colon != NULL, "no port in %s", url);
	port = strtoul(colon + 1, &end, 10);
	insist(end > colon + 1 && port > 0 && port < 65536, "no port in %s", url);
	return (unsigned)port;
}

bool peer_try_send(int fd, const void *data, size_t size)
{
	const uint8_t *next = data;

	while (size > 0) {
		ssize_t sent = send(fd, next, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return false;
		insist_os(sent >= 0, "peer_send");
		next += sent;
		size -= (size_t)sent;
	}
	return true;
}

void peer_send(int fd, const void *data, size_t size)
{
	insist_os(peer_try_send(fd, data, size), "peer_send: the other end is gone");
}

size_t peer_recv(int fd, void *data, size_t size)
{
	uint8_t *next = data;
	size_t done = 0;

	while (done < size) {
		ssize_t got = recv(fd, next + done, size - done, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			break;
		insist_os(got > 0, "peer_recv");
		done += (size_t)got;
	}
	return done;
}

bool peer_at_end(int fd)
{
	char byte;

	return peer_recv(fd, &byte, 1) == 0;
}

bool peer_was_reset(int fd)
{
	static const size_t size = 4096;
	char data[4096];

	for (;;) {
		ssize_t got = recv(fd, data, size, 0);

		if (got == 0)
			return false;
		if (got < 0 && errno == ECONNRESET)
			return true;
		insist_os(got > 0 || errno == EINTR, "peer_was_reset");
	}
}

void peer_fin(int fd)
{
	/* ENOTCONN: the other end has reset the connection. */
	insist_os(shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN, "shutdown");
}

void peer_reset(int fd)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	insist_os(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0, "SO_LINGER");
	insist_os(close(fd) == 0, "close");
}

void peer_wait_sent(int fd)
{
	int64_t limit = now_ms() + GIVE_UP_S * 1000;
	int queued;

	for (;;) {
		insist_os(ioctl(fd, SIOCOUTQ, &queued) == 0, "SIOCOUTQ");
		if (queued == 0)
			return;
		insist(now_ms() < limit, "the other end's kernel took not everything: %d bytes left", queued);
		look_again_soon();
	}
}

void peer_wait_blocked(int fd)
{
	struct pollfd writable = { .fd = fd, .events = POLLOUT };
	int64_t limit = now_ms() + GIVE_UP_S * 1000;

	/* Twenty milliseconds without any room: full, and not only busy. */
	while (poll(&writable, 1, 20) != 0) {
		insist(now_ms() < limit, "the socket never filled");
		look_again_soon();
	}
}

/* --- opening handshake --- */

/* One byte a call, so that nothing behind the blank line is taken. */
static char *read_block(int fd, size_t *size)
{
	size_t capacity = 256 * 1024, used = 0;
	char *text = malloc(capacity);

	insist(text != NULL, "out of memory");
	while (used < capacity - 1 && peer_recv(fd, text + used, 1) == 1) {
		used++;
		if (used >= 4 && memcmp(text + used - 4, "\r\n\r\n", 4) == 0)
			break;
	}
	text[used] = '\0';
	*size = used;
	return text;
}

static void accept_value(const char *key, size_t key_bytes, char out[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_bytes;
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	insist(context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, key, key_bytes) == 1 && EVP_DigestUpdate(context, guid, 36) == 1 &&
	    EVP_DigestFinal_ex(context, digest, &digest_bytes) == 1 && digest_bytes == 20, "SHA-1");
	EVP_MD_CTX_free(context);
	EVP_EncodeBlock((unsigned char *)out, digest, 20);
}

static void accept_for_request(const char *request, char out[29])
{
	static const char name[] = "\r\nSec-WebSocket-Key:";
	const char *key = strcasestr(request, name);
	size_t length;

	out[0] = '\0';
	if (key == NULL)
		return;
	key += sizeof name - 1;
	key += strspn(key, " \t");
	length = strcspn(key, "\r\n");
	while (length > 0 && (key[length - 1] == ' ' || key[length - 1] == '\t'))
		length--;
	accept_value(key, length, out);
}

char *peer_serve_answer(int fd, const char *format)
{
	char accept[29], answer[8192];
	size_t size;
	char *request = read_block(fd, &size);
	int length;

	accept_for_request(request, accept);
	length = snprintf(answer, sizeof answer, format, accept);
	insist(length >= 0 && (size_t)length < sizeof answer, "the answer is too long");
	/* A client may rightly be gone before a long refusal is out. */
	peer_try_send(fd, answer, (size_t)length);
	return request;
}

char *peer_serve_handshake(int fd)
{
	return peer_serve_answer(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n");
}

char *peer_client_raw(int fd, const char *text, size_t size)
{
	size_t used, body, capacity = 65536;
	char *answer;

	peer_try_send(fd, text, size);
	answer = read_block(fd, &used);
	if (strncmp(answer, "HTTP/1.1 101", 12) == 0)
		return answer;
	answer = realloc(answer, used + capacity + 1);
	insist(answer != NULL, "out of memory");
	body = peer_recv(fd, answer + used, capacity);
	answer[used + body] = '\0';
	return answer;
}

void peer_client_handshake(int fd, unsigned port, const char *target, const char *extra)
{
	static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
	char request[8192], accept[29];
	char *answer;
	int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
	    target, port, key, extra);

	insist(length > 0 && (size_t)length < sizeof request, "the request is too long");
	answer = peer_client_raw(fd, request, (size_t)length);
	insist(strncmp(answer, "HTTP/1.1 101", 12) == 0, "the server answered: %s", answer);
	accept_value(key, sizeof key - 1, accept);
	insist(strstr(answer, accept) != NULL, "wrong accept value: %s", answer);
	free(answer);
}

/* --- frames --- */

size_t peer_frame_head(uint8_t head[14], unsigned byte0, bool mask, uint64_t size)
{
	unsigned bit = mask ? 0x80 : 0;
	size_t used = 2;

	head[0] = (uint8_t)byte0;
	if (size < 126) {
		head[1] = (uint8_t)(bit | size);
	} else if (size < 65536) {
		head[1] = (uint8_t)(bit | 126);
		head[used++] = (uint8_t)(size >> 8);
		head[used++] = (uint8_t)size;
	} else {
		head[1] = (uint8_t)(bit | 127);
		for (int shift = 56; shift >= 0; shift -= 8)
			head[used++] = (uint8_t)(size >> shift);
	}
	if (mask) {
		memcpy(head + used, fixed_key, 4);
		used += 4;
	}
	return used;
}

static void apply_mask(uint8_t *out, const uint8_t *in, size_t size, const uint8_t key[4])
{
	for (size_t i = 0; i < size; i++)
		out[i] = in[i] ^ key[i & 3];
}

bool peer_try_frame(int fd, unsigned byte0, bool mask, const void *payload, size_t size)
{
	uint8_t block[14 + CHUNK_BYTES];
	const uint8_t *data = payload;
	size_t head = peer_frame_head(block, byte0, mask, size), done = 0;

	do {
		size_t part = size - done < CHUNK_BYTES ? size - done : CHUNK_BYTES;

		if (mask)
			apply_mask(block + head, data + done, part, fixed_key);
		else if (part > 0)
			memcpy(block + head, data + done, part);
		if (!peer_try_send(fd, block, head + part))
			return false;
		head = 0;
		done += part;
	} while (done < size);
	return true;
}

void peer_frame(int fd, unsigned byte0, bool mask, const void *payload, size_t size)
{
	insist_os(peer_try_frame(fd, byte0, mask, payload, size), "peer_frame: the other end is gone");
}

void peer_close(int fd, bool mask, unsigned code, const char *reason)
{
	uint8_t payload[125];
	size_t length = code != 0 && reason != NULL ? strlen(reason) : 0;

	insist(length <= sizeof payload - 2, "the reason is too long");
	payload[0] = (uint8_t)(code >> 8);
	payload[1] = (uint8_t)code;
	if (length > 0)
		memcpy(payload + 2, reason, length);
	peer_frame(fd, PEER_CLOSE, mask, payload, code != 0 ? length + 2 : 0);
}

static bool read_size(int fd, unsigned byte1, uint64_t *size)
{
	size_t more = (byte1 & 0x7f) == 127 ? 8 : (byte1 & 0x7f) == 126 ? 2 : 0;
	uint8_t bytes[8];

	*size = byte1 & 0x7f;
	if (more == 0)
		return true;
	if (peer_recv(fd, bytes, more) < more)
		return false;
	*size = 0;
	for (size_t i = 0; i < more; i++)
		*size = *size << 8 | bytes[i];
	return true;
}

bool peer_read_frame(int fd, struct peer_frame *frame)
{
	uint8_t head[2], key[4];

	*frame = (struct peer_frame){ 0 };
	if (peer_recv(fd, head, 2) < 2 || !read_size(fd, head[1], &frame->size))
		return false;
	insist(frame->size <= MAX_FRAME_BYTES, "a frame of %llu bytes", (unsigned long long)frame->size);
	frame->byte0 = head[0];
	frame->masked = (head[1] & 0x80) != 0;
	if (frame->masked && peer_recv(fd, key, 4) < 4)
		return false;
	frame->payload = malloc((size_t)frame->size + 1);
	insist(frame->payload != NULL, "out of memory");
	if (peer_recv(fd, frame->payload, (size_t)frame->size) < frame->size) {
		peer_frame_clear(frame);
		return false;
	}
	if (frame->masked)
		apply_mask(frame->payload, frame->payload, (size_t)frame->size, key);
	frame->payload[frame->size] = '\0';
	return true;
}

void peer_frame_clear(struct peer_frame *frame)
{
	free(frame->payload);
	*frame = (struct peer_frame){ 0 };
}

unsigned peer_close_code(const struct peer_frame *frame)
{
	insist(frame->byte0 == PEER_CLOSE && frame->size != 1, "not a Close: 0x%02x, %llu bytes", frame->byte0,
	    (unsigned long long)frame->size);
	return frame->size == 0 ? 1005 : (unsigned)frame->payload[0] << 8 | frame->payload[1];
}

static void append(uint8_t **data, size_t *size, size_t *capacity, const struct peer_frame *frame)
{
	size_t more = (size_t)frame->size;

	if (*size + more + 1 > *capacity) {
		*capacity = (*size + more + 1) * 2;
		*data = realloc(*data, *capacity);
		insist(*data != NULL, "out of memory");
	}
	memcpy(*data + *size, frame->payload, more);
	*size += more;
	(*data)[*size] = '\0';
}

unsigned peer_collect_until_close(bool (*read)(void *from, struct peer_frame *frame), void *from, uint8_t **data,
    size_t *size)
{
	size_t capacity = 0;
	struct peer_frame frame;
	unsigned code = 0;

	if (data != NULL) {
		*data = NULL;
		*size = 0;
	}
	while (code == 0 && read(from, &frame)) {
		if (frame.byte0 == PEER_CLOSE)
			code = peer_close_code(&frame);
		else if (data != NULL && (frame.byte0 & 0x08) == 0)
			append(data, size, &capacity, &frame);
		peer_frame_clear(&frame);
	}
	return code;
}

static bool read_from_socket(void *fd, struct peer_frame *frame)
{
	return peer_read_frame(*(int *)fd, frame);
}

unsigned peer_read_until_close(int fd, uint8_t **data, size_t *size)
{
	return peer_collect_until_close(read_from_socket, &fd, data, size);
}

/* --- threads and leaks --- */

void peer_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
	int error = pthread_create(thread, NULL, body, argument);

	insist(error == 0, "pthread_create: %s", strerror(error));
}

void peer_join(pthread_t thread)
{
	const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");
	long times = multiplier != NULL ? strtol(multiplier, NULL, 10) : 1;
	struct timespec limit;
	int error;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += JOIN_GIVE_UP_S * (times > 1 ? times : 1);
	error = pthread_timedjoin_np(thread, NULL, &limit);
	insist(error == 0, "a thread did not end: %s", strerror(error));
}

static size_t count_entries(const char *path, bool show)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	char target[256];

	insist_os(directory != NULL, path);
	while ((entry = readdir(directory)) != NULL) {
		ssize_t length;

		if (entry->d_name[0] == '.')
			continue;
		count++;
		length = show ? readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1) : -1;
		if (length >= 0) {
			target[length] = '\0';
			fprintf(stderr, "descriptor %s: %s\n", entry->d_name, target);
		}
	}
	closedir(directory);
	return count;
}

static size_t descriptors_before, threads_before;
static unsigned count_depth;

static void *tell_tid(void *argument)
{
	*(pid_t *)argument = gettid();
	return NULL;
}

/* ThreadSanitizer starts a thread of its own with the first one of the program: have it there before counting. */
static void start_first_thread(void)
{
	pthread_t thread;
	char path[64];
	pid_t tid;

	peer_thread(&thread, tell_tid, &tid);
	peer_join(thread);
	/* The kernel takes it out of the directory a little later. */
	snprintf(path, sizeof path, "/proc/self/task/%ld", (long)tid);
	while (access(path, F_OK) == 0)
		look_again_soon();
}

void peer_count_begin(void)
{
	if (count_depth++ > 0)
		return;
	start_first_thread();
	descriptors_before = count_entries("/proc/self/fd", false);
	threads_before = count_entries("/proc/self/task", false);
}

void peer_count_end(void)
{
	int64_t limit = now_ms() + COUNT_GIVE_UP_MS;
	size_t descriptors, threads;

	insist(count_depth > 0, "peer_count_end without peer_count_begin");
	if (--count_depth > 0)
		return;
	for (;;) {
		descriptors = count_entries("/proc/self/fd", false);
		threads = count_entries("/proc/self/task", false);
		/* A thread that was joined before the begin may have been seen there still. */
		if (descriptors == descriptors_before && threads <= threads_before)
			return;
		if (now_ms() >= limit)
			break;
		look_again_soon();
	}
	count_entries("/proc/self/fd", true);
	ck_abort_msg("%zu descriptors and %zu threads before, %zu and %zu after", descriptors_before, threads_before,
	    descriptors, threads);
}
