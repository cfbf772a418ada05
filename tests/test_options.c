/* SPDX-License-Identifier: 0BSD */
/* The options: what is taken, what is refused and why, and that all of it is copied. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "options.h"
#include "secrets.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define GIB ((size_t)1 << 30)
#define PIN "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="	/* of nothing at all */

/* Check that the options are accepted, or refused with a text that names the field. */
static void check_accepted(const struct ws_options *in)
{
	struct wsf_options *options = NULL;
	struct wsf_failure failure = { 0 };

	if (wsf_options_copy(&options, in, &failure) != 0)
		ck_abort_msg("refused: %s", failure.text);
	ck_assert_ptr_nonnull(options);
	wsf_options_unref(options);
}

static void check_refused(const struct ws_options *in, const char *field)
{
	struct wsf_options *options = (struct wsf_options *)&options;
	struct wsf_failure failure = { 0 };

	if (wsf_options_copy(&options, in, &failure) != -EINVAL)
		ck_abort_msg("a bad %s was accepted", field);
	ck_assert_ptr_null(options);
	ck_assert_int_eq(failure.error, EINVAL);
	if (strncmp(failure.text, field, strlen(field)) != 0)
		ck_abort_msg("text \"%s\" does not name %s", failure.text, field);
}

static void check_defaults(const struct ws_options *values)
{
	ck_assert_uint_eq(values->size, sizeof(*values));
	ck_assert_ptr_null(values->subprotocols);
	ck_assert_ptr_null(values->headers);
	ck_assert_ptr_null(values->origin);
	ck_assert_str_eq(values->user_agent, "wsfile/" WSFILE_VERSION);
	ck_assert_uint_eq(values->max_header_bytes, 16384);
	ck_assert(!values->text_frames);
	ck_assert_int_eq(values->on_text, WS_TEXT_REJECT);
	ck_assert_uint_eq(values->max_message_bytes, 0);
	ck_assert_uint_eq(values->max_frame_bytes, 65536);
	ck_assert_uint_eq(values->recv_buffer_bytes, 1048576);
	ck_assert_uint_eq(values->send_buffer_bytes, 262144);
	ck_assert_uint_eq(values->stdio_buffer_bytes, 65536);
	ck_assert_int_eq(values->connect_timeout_ms, 30000);
	ck_assert_int_eq(values->handshake_timeout_ms, 10000);
	ck_assert_int_eq(values->read_timeout_ms, -1);
	ck_assert_int_eq(values->write_timeout_ms, -1);
	ck_assert_int_eq(values->close_timeout_ms, 5000);
	ck_assert_int_eq(values->linger_ms, 5000);
	ck_assert_ptr_null(values->allowed_origins);
	ck_assert_ptr_null(values->path);
	ck_assert_int_eq(values->backlog, 128);
	ck_assert(!values->reuse_port);
	ck_assert_ptr_null(values->ca_file);
	ck_assert_ptr_null(values->ca_dir);
	ck_assert_ptr_null(values->cert_file);
	ck_assert_ptr_null(values->key_file);
	ck_assert_ptr_null(values->key_password);
	ck_assert_ptr_null(values->certificates);
	ck_assert_ptr_null(values->server_name);
	ck_assert_ptr_null(values->pin_sha256);
	ck_assert_int_eq(values->verify, WS_VERIFY_ON);
	ck_assert_int_eq(values->min_tls, WS_TLS_1_2);
	ck_assert_ptr_null(values->userinfo);
	ck_assert_ptr_null(values->bearer);
	ck_assert_ptr_null(values->proxy);
	ck_assert_int_eq(values->max_redirects, 0);
	ck_assert_int_eq(values->socket_mode, 0600);
	ck_assert_int_eq(values->compression, WS_COMPRESSION_OFF);
	ck_assert_int_eq(values->compression_level, 6);
	ck_assert_int_eq(values->send_window_bits, 15);
	ck_assert_int_eq(values->recv_window_bits, 15);
	ck_assert(!values->send_no_context_takeover);
	ck_assert(!values->recv_no_context_takeover);
	ck_assert_uint_eq(values->max_inflate_ratio, 200);
	ck_assert_uint_eq(values->helper_threads, 0);
	ck_assert_int_eq(values->ping_interval_ms, 30000);
	ck_assert(values->observer == NULL);
	ck_assert_ptr_null(values->observer_user);
	ck_assert_uint_eq(values->observer_mask, WS_EVENT_ALL);
	ck_assert_uint_eq(values->max_connections, 0);
	ck_assert(values->authorize == NULL);
	ck_assert_ptr_null(values->authorize_user);
	ck_assert_int_eq(values->listen_fd, -1);
	ck_assert_ptr_null(values->url);
	ck_assert_ptr_null(values->initial_bytes);
	ck_assert_uint_eq(values->initial_size, 0);
}

START_TEST(no_options_are_the_defaults)
{
	struct ws_options initial = WS_OPTIONS_INIT;
	struct wsf_options *options;
	struct wsf_failure failure;

	ck_assert_int_eq(wsf_options_copy(&options, NULL, &failure), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);
	ck_assert_int_eq(wsf_options_copy(&options, &initial, &failure), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);
}
END_TEST

START_TEST(the_copy_needs_nothing_of_the_original)
{
	char first[] = "chat.v2", second[] = "chat", header[] = "X-Token: a b", allowed[] = "https://example.org";
	char origin[] = "https://a.example", agent[] = "test/1", path[] = "/feed", url[] = "wss://b.example/x";
	const char *subprotocols[] = { first, second, NULL }, *headers[] = { header, NULL };
	const char *allowed_origins[] = { allowed, "*", NULL };
	char *texts[] = { first, second, header, allowed, origin, agent, path, url };
	struct ws_options in = WS_OPTIONS_INIT;
	const struct ws_options *values;
	struct wsf_options *options;
	struct wsf_failure failure;

	in.subprotocols = subprotocols;
	in.headers = headers;
	in.allowed_origins = allowed_origins;
	in.origin = origin;
	in.user_agent = agent;
	in.path = path;
	in.url = url;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	for (size_t i = 0; i < COUNT(texts); i++)
		memset(texts[i], '#', strlen(texts[i]));
	memset(subprotocols, 0, sizeof(subprotocols));
	memset(headers, 0, sizeof(headers));
	memset(allowed_origins, 0, sizeof(allowed_origins));
	memset(&in, 0, sizeof(in));
	values = wsf_options_get(options);
	ck_assert_str_eq(values->subprotocols[0], "chat.v2");
	ck_assert_str_eq(values->subprotocols[1], "chat");
	ck_assert_ptr_null(values->subprotocols[2]);
	ck_assert_str_eq(values->headers[0], "X-Token: a b");
	ck_assert_ptr_null(values->headers[1]);
	ck_assert_str_eq(values->allowed_origins[0], "https://example.org");
	ck_assert_str_eq(values->allowed_origins[1], "*");
	ck_assert_ptr_null(values->allowed_origins[2]);
	ck_assert_str_eq(values->origin, "https://a.example");
	ck_assert_str_eq(values->user_agent, "test/1");
	ck_assert_str_eq(values->path, "/feed");
	ck_assert_str_eq(values->url, "wss://b.example/x");
	wsf_options_unref(options);
}
END_TEST

START_TEST(the_copy_needs_nothing_of_the_original_files_and_secrets)
{
	static const char *const fields[] = { "ca.pem", "ca.d", "cert.pem", "key.pem", "word", "a.example", "u:p",
		"http://p:1" };
	char texts[COUNT(fields)][32], pin[] = "sha256//" PIN, first_cert[] = "1.pem", first_key[] = "1.key";
	char second_cert[] = "2.pem";
	const char *pins[] = { pin, pin, NULL };
	struct ws_certificate certificates[] = { { first_cert, first_key }, { second_cert, NULL }, { NULL, NULL } };
	struct ws_options in = WS_OPTIONS_INIT;
	const struct ws_options *values;
	struct wsf_options *options;
	struct wsf_failure failure;

	for (size_t i = 0; i < COUNT(fields); i++)
		memcpy(texts[i], fields[i], strlen(fields[i]) + 1);
	in.ca_file = texts[0], in.ca_dir = texts[1], in.cert_file = texts[2], in.key_file = texts[3];
	in.key_password = texts[4], in.server_name = texts[5], in.userinfo = texts[6], in.proxy = texts[7];
	in.pin_sha256 = pins;
	in.certificates = certificates;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	memset(texts, '#', sizeof(texts));
	memset(pin, '#', sizeof(pin));
	memset(first_cert, '#', sizeof(first_cert));
	memset(first_key, '#', sizeof(first_key));
	memset(second_cert, '#', sizeof(second_cert));
	memset(pins, 0, sizeof(pins));
	memset(certificates, 0, sizeof(certificates));
	memset(&in, 0, sizeof(in));
	values = wsf_options_get(options);
	ck_assert_str_eq(values->ca_file, "ca.pem");
	ck_assert_str_eq(values->ca_dir, "ca.d");
	ck_assert_str_eq(values->cert_file, "cert.pem");
	ck_assert_str_eq(values->key_file, "key.pem");
	ck_assert_str_eq(values->key_password, "word");
	ck_assert_str_eq(values->server_name, "a.example");
	ck_assert_str_eq(values->userinfo, "u:p");
	ck_assert_str_eq(values->proxy, "http://p:1");
	ck_assert_str_eq(values->pin_sha256[0], "sha256//" PIN);
	ck_assert_str_eq(values->pin_sha256[1], "sha256//" PIN);
	ck_assert_ptr_null(values->pin_sha256[2]);
	ck_assert_str_eq(values->certificates[0].cert_file, "1.pem");
	ck_assert_str_eq(values->certificates[0].key_file, "1.key");
	ck_assert_str_eq(values->certificates[1].cert_file, "2.pem");
	ck_assert_ptr_null(values->certificates[1].key_file);
	ck_assert_ptr_null(values->certificates[2].cert_file);
	wsf_options_unref(options);
}
END_TEST

/* No origin allowed is not the same as the default rule. */
START_TEST(an_empty_list_stays_an_empty_list)
{
	static const char *const none[] = { NULL };
	struct ws_options in = WS_OPTIONS_INIT;
	struct wsf_options *options;
	struct wsf_failure failure;

	in.subprotocols = in.headers = in.allowed_origins = none;
	in.user_agent = "";
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	ck_assert_ptr_nonnull(wsf_options_get(options)->allowed_origins);
	ck_assert_ptr_null(wsf_options_get(options)->allowed_origins[0]);
	ck_assert_ptr_null(wsf_options_get(options)->subprotocols[0]);
	ck_assert_ptr_null(wsf_options_get(options)->headers[0]);
	ck_assert_str_eq(wsf_options_get(options)->user_agent, "");
	wsf_options_unref(options);
}
END_TEST

static void observe(const struct ws_event *event, void *user)
{
	(void)event;
	(void)user;
}

static int authorize(const struct ws_request *request, struct ws_response *response, void *user)
{
	(void)request;
	(void)response;
	(void)user;
	return 0;
}

/* What the callbacks' arguments and the first bytes are is the program's business: they are handed on, not copied. */
START_TEST(callbacks_and_first_bytes_are_kept_as_they_are)
{
	struct ws_options in = WS_OPTIONS_INIT;
	const struct ws_options *values;
	struct wsf_options *options;
	struct wsf_failure failure;
	int first, second;

	in.ping_interval_ms = -1;
	in.observer = observe;
	in.observer_user = &first;
	in.observer_mask = WS_EVENT_PONG | WS_EVENT_CLOSED;
	in.max_connections = UINT_MAX;
	in.authorize = authorize;
	in.authorize_user = &second;
	in.listen_fd = 0;
	in.initial_bytes = "GET / HTTP/1.1";
	in.initial_size = 14;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	values = wsf_options_get(options);
	ck_assert_int_eq(values->ping_interval_ms, -1);
	ck_assert(values->observer == observe);
	ck_assert_ptr_eq(values->observer_user, &first);
	ck_assert_uint_eq(values->observer_mask, WS_EVENT_PONG | WS_EVENT_CLOSED);
	ck_assert_uint_eq(values->max_connections, UINT_MAX);
	ck_assert(values->authorize == authorize);
	ck_assert_ptr_eq(values->authorize_user, &second);
	ck_assert_int_eq(values->listen_fd, 0);
	ck_assert_ptr_eq(values->initial_bytes, in.initial_bytes);
	ck_assert_uint_eq(values->initial_size, 14);
	wsf_options_unref(options);
}
END_TEST

START_TEST(a_mask_has_only_events)
{
	struct ws_options in = WS_OPTIONS_INIT;

	in.observer = observe;
	for (unsigned bit = 0; bit < 32; bit++) {
		in.observer_mask = 1U << bit;
		if ((in.observer_mask & WS_EVENT_ALL) != 0)
			check_accepted(&in);
		else
			check_refused(&in, "observer_mask");
	}
	in.observer_mask = 0;
	check_accepted(&in);
	in.observer_mask = UINT_MAX;
	check_refused(&in, "observer_mask");
	in.observer = NULL;
	check_refused(&in, "observer_mask");
}
END_TEST

START_TEST(a_descriptor_to_listen_on_is_one_or_none)
{
	static const int good[] = { -1, 0, 3, INT_MAX }, bad[] = { -2, INT_MIN };
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(good); i++) {
		in.listen_fd = good[i];
		check_accepted(&in);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		in.listen_fd = bad[i];
		check_refused(&in, "listen_fd");
	}
}
END_TEST

START_TEST(first_bytes_are_there_and_bounded)
{
	static const size_t good[] = { 0, 1, 1048576 }, bad[] = { 1048577, SIZE_MAX };
	struct ws_options in = WS_OPTIONS_INIT;

	/* They are not looked at here. */
	in.initial_bytes = "x";
	for (size_t i = 0; i < COUNT(good); i++) {
		in.initial_size = good[i];
		check_accepted(&in);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		in.initial_size = bad[i];
		check_refused(&in, "initial_size");
	}
	in.initial_bytes = NULL;
	in.initial_size = 1;
	check_refused(&in, "initial_bytes");
	in.initial_size = 0;
	check_accepted(&in);
}
END_TEST

START_TEST(values_are_kept)
{
	struct ws_options in = WS_OPTIONS_INIT;
	const struct ws_options *values;
	struct wsf_options *options;
	struct wsf_failure failure;

	in.max_header_bytes = 256;
	in.text_frames = true;
	in.on_text = WS_TEXT_BYTES;
	in.max_message_bytes = UINT64_MAX;
	in.linger_ms = 0;
	in.backlog = 7;
	in.reuse_port = true;
	in.verify = WS_VERIFY_OFF;
	in.min_tls = WS_TLS_1_3;
	in.bearer = "t0ken";
	in.max_redirects = 3;
	in.socket_mode = 0;
	in.compression = WS_COMPRESSION_ON;
	in.compression_level = 1;
	in.send_window_bits = 9;
	in.recv_window_bits = 10;
	in.send_no_context_takeover = true;
	in.max_inflate_ratio = UINT_MAX;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	values = wsf_options_get(options);
	ck_assert_uint_eq(values->max_header_bytes, 256);
	ck_assert(values->text_frames);
	ck_assert_int_eq(values->on_text, WS_TEXT_BYTES);
	ck_assert_uint_eq(values->max_message_bytes, UINT64_MAX);
	ck_assert_int_eq(values->linger_ms, 0);
	ck_assert_int_eq(values->backlog, 7);
	ck_assert(values->reuse_port);
	ck_assert_int_eq(values->verify, WS_VERIFY_OFF);
	ck_assert_int_eq(values->min_tls, WS_TLS_1_3);
	ck_assert_str_eq(values->bearer, "t0ken");
	ck_assert_int_eq(values->max_redirects, 3);
	ck_assert_int_eq(values->socket_mode, 0);
	ck_assert_int_eq(values->compression, WS_COMPRESSION_ON);
	ck_assert_int_eq(values->compression_level, 1);
	ck_assert_int_eq(values->send_window_bits, 9);
	ck_assert_int_eq(values->recv_window_bits, 10);
	ck_assert(values->send_no_context_takeover);
	ck_assert(!values->recv_no_context_takeover);
	ck_assert_uint_eq(values->max_inflate_ratio, UINT_MAX);
	wsf_options_unref(options);
}
END_TEST

START_TEST(sizes_have_their_limits)
{
	static const struct {
		const char *field;
		size_t offset, least, most;
	} table[] = {
		{ "max_header_bytes", offsetof(struct ws_options, max_header_bytes), 256, 1048576 },
		{ "max_frame_bytes", offsetof(struct ws_options, max_frame_bytes), 1, GIB },
		{ "recv_buffer_bytes", offsetof(struct ws_options, recv_buffer_bytes), 4096, GIB },
		{ "send_buffer_bytes", offsetof(struct ws_options, send_buffer_bytes), 4096, GIB },
	};
	const size_t bad[] = { 0, table[_i].least - 1, table[_i].most + 1, SIZE_MAX };
	const size_t good[] = { table[_i].least, table[_i].least + 1, table[_i].most - 1, table[_i].most };
	struct ws_options in = WS_OPTIONS_INIT;

	in.stdio_buffer_bytes = 0;
	for (size_t i = 0; i < COUNT(good); i++) {
		memcpy((char *)&in + table[_i].offset, &good[i], sizeof(size_t));
		check_accepted(&in);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		memcpy((char *)&in + table[_i].offset, &bad[i], sizeof(size_t));
		check_refused(&in, table[_i].field);
	}
}
END_TEST

START_TEST(buffers_are_rounded_up_to_powers_of_two)
{
	static const struct { size_t asked, got; } table[] = {
		{ 4096, 4096 }, { 4097, 8192 }, { 100000, 131072 }, { GIB - 1, GIB }, { GIB, GIB },
	};
	struct ws_options in = WS_OPTIONS_INIT;
	struct wsf_options *options;
	struct wsf_failure failure;

	in.stdio_buffer_bytes = 1024;
	for (size_t i = 0; i < COUNT(table); i++) {
		in.recv_buffer_bytes = in.send_buffer_bytes = table[i].asked;
		ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
		ck_assert_uint_eq(wsf_options_get(options)->recv_buffer_bytes, table[i].got);
		ck_assert_uint_eq(wsf_options_get(options)->send_buffer_bytes, table[i].got);
		wsf_options_unref(options);
	}
}
END_TEST

START_TEST(stdio_buffer_may_be_none_and_longer_than_the_receive_buffer)
{
	struct ws_options in = WS_OPTIONS_INIT;

	in.recv_buffer_bytes = 5000;
	check_accepted(&in);
	in.stdio_buffer_bytes = 0;
	check_accepted(&in);
	in.stdio_buffer_bytes = GIB;
	check_accepted(&in);
	in.stdio_buffer_bytes = (size_t)GIB + 1;
	check_refused(&in, "stdio_buffer_bytes");
	in.stdio_buffer_bytes = SIZE_MAX;
	check_refused(&in, "stdio_buffer_bytes");
}
END_TEST

START_TEST(times_have_their_limits)
{
	static const struct {
		const char *field;
		size_t offset;
		bool zero;
	} table[] = {
		{ "connect_timeout_ms", offsetof(struct ws_options, connect_timeout_ms), false },
		{ "handshake_timeout_ms", offsetof(struct ws_options, handshake_timeout_ms), false },
		{ "read_timeout_ms", offsetof(struct ws_options, read_timeout_ms), false },
		{ "write_timeout_ms", offsetof(struct ws_options, write_timeout_ms), false },
		{ "close_timeout_ms", offsetof(struct ws_options, close_timeout_ms), true },
		{ "linger_ms", offsetof(struct ws_options, linger_ms), true },
		{ "ping_interval_ms", offsetof(struct ws_options, ping_interval_ms), false },
	};
	static const int values[] = { -1, 0, 1, INT_MAX, -2, INT_MIN };
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(values); i++) {
		memcpy((char *)&in + table[_i].offset, &values[i], sizeof(int));
		if (values[i] < -1 || (values[i] == 0 && !table[_i].zero))
			check_refused(&in, table[_i].field);
		else
			check_accepted(&in);
	}
}
END_TEST

static const struct {
	const char *field;
	size_t offset;
	int least, most;
} numbers[] = {
	{ "backlog", offsetof(struct ws_options, backlog), 1, 4096 },
	{ "max_redirects", offsetof(struct ws_options, max_redirects), 0, 20 },
	{ "socket_mode", offsetof(struct ws_options, socket_mode), 0, 0777 },
	{ "compression_level", offsetof(struct ws_options, compression_level), 1, 9 },
	{ "send_window_bits", offsetof(struct ws_options, send_window_bits), 9, 15 },
	{ "recv_window_bits", offsetof(struct ws_options, recv_window_bits), 9, 15 },
	{ "helper_threads", offsetof(struct ws_options, helper_threads), 0, 64 },
	{ "on_text", offsetof(struct ws_options, on_text), WS_TEXT_REJECT, WS_TEXT_BYTES },
	{ "verify", offsetof(struct ws_options, verify), WS_VERIFY_ON, WS_VERIFY_OFF },
	{ "min_tls", offsetof(struct ws_options, min_tls), WS_TLS_1_2, WS_TLS_1_3 },
	{ "compression", offsetof(struct ws_options, compression), WS_COMPRESSION_OFF, WS_COMPRESSION_ON },
};

START_TEST(numbers_and_enums_have_their_limits)
{
	const int bad[] = { numbers[_i].least - 1, numbers[_i].most + 1, INT_MAX, INT_MIN };
	struct ws_options in = WS_OPTIONS_INIT;
	struct wsf_options *options;
	struct wsf_failure failure;

	for (int value = numbers[_i].least; value <= numbers[_i].most; value++) {
		int kept;

		memcpy((char *)&in + numbers[_i].offset, &value, sizeof(value));
		ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
		memcpy(&kept, (const char *)wsf_options_get(options) + numbers[_i].offset, sizeof(kept));
		ck_assert_int_eq(kept, value);
		wsf_options_unref(options);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		memcpy((char *)&in + numbers[_i].offset, &bad[i], sizeof(bad[i]));
		check_refused(&in, numbers[_i].field);
	}
}
END_TEST

START_TEST(file_names_are_not_empty)
{
	static const struct {
		const char *field;
		size_t offset;
	} table[] = {
		{ "ca_file", offsetof(struct ws_options, ca_file) }, { "ca_dir", offsetof(struct ws_options, ca_dir) },
		{ "cert_file", offsetof(struct ws_options, cert_file) },
		{ "key_file", offsetof(struct ws_options, key_file) },
	};
	const char *empty = "";

	for (size_t i = 0; i < COUNT(table); i++) {
		struct ws_options in = WS_OPTIONS_INIT;

		in.ca_file = in.ca_dir = in.cert_file = in.key_file = "x";
		check_accepted(&in);
		memcpy((char *)&in + table[i].offset, &empty, sizeof(empty));
		check_refused(&in, table[i].field);
	}
}
END_TEST

START_TEST(further_certificates_and_keys_need_the_first_certificate)
{
	static const struct ws_certificate none[] = { { NULL, NULL } };
	static const struct ws_certificate two[] = { { "1", NULL }, { "2", "3" }, { NULL, NULL } };
	static const struct ws_certificate no_cert[] = { { "1", NULL }, { "", "3" }, { NULL, NULL } };
	static const struct ws_certificate no_key[] = { { "1", "" }, { NULL, NULL } };
	struct ws_options in = WS_OPTIONS_INIT;

	in.certificates = none;
	check_accepted(&in);
	in.certificates = two;
	check_refused(&in, "certificates ");
	in.cert_file = "x";
	check_accepted(&in);
	in.certificates = no_cert;
	check_refused(&in, "certificates[1].cert_file");
	in.certificates = no_key;
	check_refused(&in, "certificates[0].key_file");
	in.certificates = NULL;
	in.key_file = "y";
	in.key_password = "";
	check_accepted(&in);
	in.cert_file = NULL;
	check_refused(&in, "key_file");
}
END_TEST

START_TEST(a_server_name_is_a_host_name_or_an_address)
{
	static char long_good[256], long_bad[257];
	static const struct {
		const char *name;
		bool good;
	} table[] = {
		{ "example.org", true }, { "localhost", true }, { "a-b_c.EXAMPLE.org.", true }, { "192.0.2.1", true },
		{ "::1", true }, { "2001:DB8::a", true }, { long_good, true },
		{ "", false }, { "[::1]", false }, { "::1::2", false }, { "fe80::1%lo", false },
		{ "example.org:443", false }, { "a b", false }, { "caf\xc3\xa9", false }, { "a\n", false },
		{ ".", false }, { ".example.org", false }, { "..", false },
		{ "*.example.org", false }, { "https://example.org", false }, { "a/b", false }, { long_bad, false },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	memset(long_good, 'n', 255);
	memset(long_bad, 'n', 256);
	for (size_t i = 0; i < COUNT(table); i++) {
		in.server_name = table[i].name;
		if (table[i].good)
			check_accepted(&in);
		else
			check_refused(&in, "server_name");
	}
}
END_TEST

START_TEST(pins_are_the_base64_of_32_bytes)
{
	static const struct {
		const char *pin;
		bool good;
	} table[] = {
		{ PIN, true }, { "sha256//" PIN, true }, { "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true },
		{ "//////////////////////////////////////////8=", true }, { "sha256//sha256//" PIN, false },
		{ "", false }, { "sha256//", false }, { "SHA256//" PIN, false }, { "sha256/" PIN, false },
		{ "sha1//" PIN, false }, { PIN "=", false }, { PIN " ", false }, { " " PIN, false },
		{ PIN "\n", false },
		{ PIN ";sha256//" PIN, false },
		/* 42, 43 without "=", 44 and 45 characters; 31 and 33 bytes */
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA=", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", false },	/* bits behind the 256 */
		{ "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", false },	/* base64url */
		{ "47DEQpj8HBSa+/TImW+5JCeu eRkm5NMpJWZG3hSuFU=", false },
		{ "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF\xc3=", false },
		{ "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(table); i++) {
		const char *list[] = { PIN, table[i].pin, NULL };

		in.pin_sha256 = list;
		if (table[i].good)
			check_accepted(&in);
		else
			check_refused(&in, "pin_sha256[1]");
	}
}
END_TEST

START_TEST(there_are_1_to_32_pins)
{
	const char *list[34] = { NULL };
	struct ws_options in = WS_OPTIONS_INIT;

	in.pin_sha256 = list;
	check_refused(&in, "pin_sha256");
	for (size_t i = 0; i < 32; i++) {
		list[i] = PIN;
		check_accepted(&in);
	}
	list[32] = PIN;
	check_refused(&in, "pin_sha256");
}
END_TEST

START_TEST(userinfo_and_bearer_fit_into_a_header)
{
	static const struct {
		const char *text;
		bool userinfo, bearer;
	} table[] = {
		{ "user:password", true, true }, { ":", true, true }, { "user:", true, true }, { ":p:q", true, true },
		{ "us er:pass word", true, false }, { "us\xc3\xa9r:p", true, false },
		{ "user", false, true }, { "", false, false },
		{ "u\n:p", false, false }, { "u:p\r\nX: y", false, false }, { "u:p\t", false, false },
		{ "u:\x01", false, false }, { "u:\x1f", false, false }, { "u:\x7f", false, false },
		{ "mF_9.B5f-4.1JqM", false, true }, { "abc+/~==", false, true }, { "1|abc", false, true },
		{ " a", false, false }, { "a ", false, false },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct ws_options in = WS_OPTIONS_INIT;

		in.userinfo = table[i].text;
		if (table[i].userinfo)
			check_accepted(&in);
		else
			check_refused(&in, "userinfo");
		in.userinfo = NULL;
		in.bearer = table[i].text;
		if (table[i].bearer)
			check_accepted(&in);
		else
			check_refused(&in, "bearer");
	}
}
END_TEST

START_TEST(a_request_has_one_authentication)
{
	static const char *const authorized[] = { "X-A: b", "authorization: Basic eDp5", NULL };
	static const char *const others[] = { "Proxy-Authorization: x", "Authorization-X: y", "X: Authorization: z",
		NULL };
	struct ws_options in = WS_OPTIONS_INIT;

	in.headers = authorized;
	check_accepted(&in);
	in.userinfo = "u:p";
	check_refused(&in, "userinfo");
	in.headers = others;
	check_accepted(&in);
	in.bearer = "t";
	check_refused(&in, "userinfo and bearer");
	in.userinfo = NULL;
	check_accepted(&in);
	in.headers = authorized;
	check_refused(&in, "bearer");
}
END_TEST

START_TEST(a_refused_secret_is_not_shown)
{
	static const char *const header[] = { "Authorization: s3cret", NULL }, *const pins[] = { "s3cret", NULL };
	static const struct ws_options table[] = {
		{ .userinfo = "s3cret" }, { .userinfo = "s3cret:s3cret\n" }, { .bearer = "s3cret " },
		{ .userinfo = "s3cret:s3cret", .bearer = "s3cret" }, { .userinfo = "s3cret:", .headers = header },
		{ .bearer = "s3cret", .headers = header }, { .pin_sha256 = pins },
		{ .key_password = "s3cret", .key_file = "k" },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct ws_options in = WS_OPTIONS_INIT;
		struct wsf_options *options;
		struct wsf_failure failure = { 0 };

		in.userinfo = table[i].userinfo;
		in.bearer = table[i].bearer;
		in.headers = table[i].headers;
		in.pin_sha256 = table[i].pin_sha256;
		in.key_password = table[i].key_password;
		in.key_file = table[i].key_file;
		ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), -EINVAL);
		ck_assert_ptr_null(strstr(failure.text, "s3cret"));
	}
}
END_TEST

static void assert_wiped(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		ck_assert_msg(text[i] == '\0', "byte %zu of %zu is still there", i, length);
}

/* The copy lives on, and so does the memory where its secrets were. */
START_TEST(forgotten_secrets_are_wiped_and_the_rest_stays)
{
	static const char *const headers[] = { "X-Token: one", "Cookie: two", NULL };
	struct ws_options in = WS_OPTIONS_INIT;
	const struct ws_options *values;
	const char *secrets[7];
	struct wsf_options *options;
	struct wsf_failure failure;

	in.headers = headers;
	in.userinfo = "user:password";
	in.proxy = "http://u:p@h";
	in.url = "wss://u:p@host/";
	in.key_password = "word";
	in.key_file = in.cert_file = "cert.pem";
	in.origin = "https://example.org";
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	values = wsf_options_get(options);
	secrets[0] = values->userinfo, secrets[1] = values->proxy, secrets[2] = values->key_password;
	secrets[3] = values->headers[0], secrets[4] = values->headers[1], secrets[6] = values->url;
	wsf_options_forget_secrets(options);
	assert_wiped(secrets[0], strlen("user:password"));
	assert_wiped(secrets[1], strlen("http://u:p@h"));
	assert_wiped(secrets[2], strlen("word"));
	assert_wiped(secrets[3], strlen("X-Token: one"));
	assert_wiped(secrets[4], strlen("Cookie: two"));
	assert_wiped(secrets[6], strlen("wss://u:p@host/"));
	ck_assert_ptr_null(values->url);
	ck_assert_ptr_null(values->userinfo);
	ck_assert_ptr_null(values->proxy);
	ck_assert_ptr_null(values->key_password);
	ck_assert_ptr_null(values->headers[0]);
	ck_assert_str_eq(values->cert_file, "cert.pem");
	ck_assert_str_eq(values->key_file, "cert.pem");
	ck_assert_str_eq(values->origin, "https://example.org");
	ck_assert_str_eq(values->user_agent, "wsfile/" WSFILE_VERSION);
	wsf_options_forget_secrets(options);
	wsf_options_unref(options);
	in = (struct ws_options)WS_OPTIONS_INIT;
	in.bearer = "t0ken";
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	values = wsf_options_get(options);
	secrets[5] = values->bearer;
	wsf_options_forget_secrets(options);
	assert_wiped(secrets[5], strlen("t0ken"));
	ck_assert_ptr_null(values->bearer);
	ck_assert_ptr_null(values->headers);
	wsf_options_unref(options);
}
END_TEST

START_TEST(subprotocols_are_tokens_without_duplicates)
{
	static char long_good[128], long_bad[129];
	static const struct {
		const char *list[4];
		const char *refused;
	} table[] = {
		{ { "chat" }, NULL },
		{ { "chat", "Chat", "v1.chat+x" }, NULL },
		{ { long_good }, NULL },
		{ { "" }, "subprotocols[0]" },
		{ { "chat", "a b" }, "subprotocols[1]" },
		{ { "a,b" }, "subprotocols[0]" },
		{ { "a\r\nX: y" }, "subprotocols[0]" },
		{ { "caf\xc3\xa9" }, "subprotocols[0]" },
		{ { "a", "b", "a" }, "subprotocols[2]" },
		{ { long_bad }, "subprotocols[0]" },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	memset(long_good, 'p', 127);
	memset(long_bad, 'p', 128);
	for (size_t i = 0; i < COUNT(table); i++) {
		in.subprotocols = table[i].list;
		if (table[i].refused)
			check_refused(&in, table[i].refused);
		else
			check_accepted(&in);
	}
}
END_TEST

START_TEST(headers_are_whole_lines_that_the_handshake_leaves_free)
{
	static const struct {
		const char *line;
		bool good;
	} table[] = {
		{ "Authorization: Bearer abc", true }, { "X-Empty:", true }, { "Cookie: a=1; b=2", true },
		{ "no colon", false }, { ": no name", false }, { "", false }, { "A b: c", false }, { "A : c", false },
		{ "A: b\r\nC: d", false }, { "A: b\n", false }, { "A: b\r", false }, { "A: \x01", false },
		{ "A\xc3: b", false },
		{ "Host: example.org", false }, { "host: example.org", false }, { "UPGRADE: h2c", false },
		{ "Connection: close", false }, { "Sec-WebSocket-Key: x", false },
		{ "sec-websocket-protocol: x", false },
		{ "Sec-WebSocket-Extensions: permessage-deflate", false }, { "Content-Length: 5", false },
		{ "Transfer-Encoding: chunked", false },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(table); i++) {
		const char *list[] = { "X-First: fine", table[i].line, NULL };

		in.headers = list;
		if (table[i].good)
			check_accepted(&in);
		else
			check_refused(&in, "headers[1]");
	}
}
END_TEST

START_TEST(a_refused_header_is_not_shown)
{
	static const char *const list[] = { "Authorization: Bearer s3cret\r\n", NULL };
	struct ws_options in = WS_OPTIONS_INIT;
	struct wsf_options *options;
	struct wsf_failure failure = { 0 };

	in.headers = list;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), -EINVAL);
	ck_assert_ptr_null(strstr(failure.text, "s3cret"));
}
END_TEST

START_TEST(origin_and_user_agent_are_header_values)
{
	static const char *const bad[] = { "a\r\nX: y", "a\nb", "a\rb", "a\x01", "\x7f" };
	struct ws_options in = WS_OPTIONS_INIT;

	in.origin = "https://example.org";
	in.user_agent = "browser/1.0 (of sorts)";
	check_accepted(&in);
	in.origin = "null";
	in.user_agent = "";
	check_accepted(&in);
	for (size_t i = 0; i < COUNT(bad); i++) {
		in.origin = bad[i];
		check_refused(&in, "origin");
		in.origin = NULL;
		in.user_agent = bad[i];
		check_refused(&in, "user_agent");
		in.user_agent = NULL;
	}
	in.origin = "";
	check_refused(&in, "origin");
}
END_TEST

START_TEST(allowed_origins_have_a_scheme_and_no_path)
{
	static const struct {
		const char *origin;
		bool good;
	} table[] = {
		{ "*", true }, { "null", true }, { "https://example.org", true }, { "http://localhost:8080", true },
		{ "http://[::1]", true }, { "http://[2001:db8::1]:81", true }, { "http://127.0.0.1:65535", true },
		{ "chrome-extension://abcdefghijklmnop", true }, { "HTTPS://Example.ORG", true },
		{ "", false }, { "example.org", false }, { "https://", false }, { "://example.org", false },
		{ "https:/example.org", false }, { "https//example.org", false }, { "1http://a", false },
		{ "-http://a", false }, { "ht tp://a", false },
		{ "https://example.org/", false }, { "https://example.org/a", false },
		{ "https://example.org?", false },
		{ "https://example.org#a", false }, { "https://user@example.org", false },
		{ "https://exam ple.org", false },
		{ "https://example.org:", false }, { "https://example.org:0", false },
		{ "https://example.org:65536", false },
		{ "https://example.org:99999999999999999999", false }, { "https://example.org:8a", false },
		{ "https://:80", false }, { "http://[::1", false }, { "http://[]", false }, { "http://::1", false },
		{ "http://[::1]x", false }, { "http://[g]", false }, { "https://a, https://b", false },
		{ "https://a\r\n", false }, { "https://*.example.org", true }, { "**", false },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(table); i++) {
		const char *list[] = { "https://first.example", table[i].origin, NULL };

		in.allowed_origins = list;
		if (table[i].good)
			check_accepted(&in);
		else
			check_refused(&in, "allowed_origins[1]");
	}
}
END_TEST

START_TEST(the_path_is_absolute_and_has_no_query)
{
	static const struct {
		const char *path;
		bool good;
	} table[] = {
		{ "/", true }, { "/a/b.c~d", true }, { "/%20x", true }, { "//", true }, { "/a:@!$&'()*+,;=", true },
		{ "", false }, { "a", false }, { "a/", false }, { "/a?b", false }, { "/a#b", false },
		{ "/a b", false },
		{ "/\x7f", false }, { "/\xc3\xa9", false }, { "/a\r\n", false }, { "/a\t", false },
		{ "ws://h/", false },
	};
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(table); i++) {
		in.path = table[i].path;
		if (table[i].good)
			check_accepted(&in);
		else
			check_refused(&in, "path");
	}
}
END_TEST

/* A program compiled with a header that ended before a field: the bytes there are not its options. */
START_TEST(an_older_shorter_struct_gets_defaults_for_the_rest)
{
	struct ws_options in;
	struct wsf_options *options;
	struct wsf_failure failure;

	memset(&in, 0xa5, sizeof(in));
	in.size = offsetof(struct ws_options, headers);
	in.subprotocols = NULL;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);

	memset(&in, 0xa5, sizeof(in));
	memcpy(&in, &(struct ws_options)WS_OPTIONS_INIT, offsetof(struct ws_options, recv_buffer_bytes));
	in.size = offsetof(struct ws_options, recv_buffer_bytes);
	in.max_frame_bytes = 1000;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	ck_assert_uint_eq(wsf_options_get(options)->max_frame_bytes, 1000);
	ck_assert_uint_eq(wsf_options_get(options)->recv_buffer_bytes, 1048576);
	ck_assert_uint_eq(wsf_options_get(options)->size, sizeof(in));
	wsf_options_unref(options);
}
END_TEST

/* The first release's struct ended behind reuse_port. */
START_TEST(the_first_struct_is_taken)
{
	struct first_options {
		size_t size;
		const char *const *subprotocols, *const *headers;
		const char *origin, *user_agent;
		size_t max_header_bytes;
		bool text_frames;
		enum ws_on_text on_text;
		uint64_t max_message_bytes;
		size_t max_frame_bytes, recv_buffer_bytes, send_buffer_bytes, stdio_buffer_bytes;
		int connect_timeout_ms, handshake_timeout_ms, read_timeout_ms, write_timeout_ms, close_timeout_ms;
		int linger_ms;
		const char *const *allowed_origins;
		const char *path;
		int backlog;
		bool reuse_port;
	};
	struct ws_options in;
	struct wsf_options *options;
	struct wsf_failure failure;

	ck_assert_uint_eq(offsetof(struct first_options, reuse_port), offsetof(struct ws_options, reuse_port));
	memset(&in, 0xa5, sizeof(in));
	memcpy(&in, &(struct ws_options)WS_OPTIONS_INIT, sizeof(struct first_options));
	in.size = sizeof(struct first_options);
	in.reuse_port = true;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	ck_assert(wsf_options_get(options)->reuse_port);
	wsf_options_unref(options);
	in.reuse_port = false;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);
}
END_TEST

/* helper_threads begins where the struct before it ended: no older program has set what is there. */
START_TEST(the_struct_before_helper_threads_is_taken)
{
	struct ws_options in;
	struct wsf_options *options;
	struct wsf_failure failure;

	ck_assert_uint_eq(offsetof(struct ws_options, helper_threads) % _Alignof(struct ws_options), 0);
	memset(&in, 0xa5, sizeof(in));
	memcpy(&in, &(struct ws_options)WS_OPTIONS_INIT, offsetof(struct ws_options, helper_threads));
	in.size = offsetof(struct ws_options, helper_threads);
	in.max_inflate_ratio = 7;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	ck_assert_uint_eq(wsf_options_get(options)->max_inflate_ratio, 7);
	ck_assert_uint_eq(wsf_options_get(options)->helper_threads, 0);
	wsf_options_unref(options);
}
END_TEST

/* It ended with helper_threads and four bytes of padding, which nobody has set: where ping_interval_ms is now. */
START_TEST(the_struct_before_ping_interval_ms_is_taken)
{
	struct before {
		_Alignas(struct ws_options) char fields[offsetof(struct ws_options, helper_threads)];
		unsigned helper_threads;
	};
	struct ws_options in;
	struct wsf_options *options;
	struct wsf_failure failure;

	memset(&in, 0xa5, sizeof(in));
	memcpy(&in, &(struct ws_options)WS_OPTIONS_INIT, offsetof(struct ws_options, ping_interval_ms));
	in.size = sizeof(struct before);
	in.helper_threads = 3;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	ck_assert_uint_eq(wsf_options_get(options)->helper_threads, 3);
	wsf_options_unref(options);
	in.helper_threads = 0;
	in.ping_interval_ms = 0;
	ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);
}
END_TEST

START_TEST(a_newer_longer_struct_is_taken_where_what_is_new_is_unused)
{
	union {
		struct ws_options ours;
		unsigned char bytes[sizeof(struct ws_options) + 64];
	} in;
	struct wsf_options *options;
	struct wsf_failure failure;

	memset(&in, 0, sizeof(in));
	in.ours = (struct ws_options)WS_OPTIONS_INIT;
	in.ours.size = sizeof(in);
	in.ours.backlog = 9;
	ck_assert_int_eq(wsf_options_copy(&options, &in.ours, &failure), 0);
	ck_assert_int_eq(wsf_options_get(options)->backlog, 9);
	ck_assert_uint_eq(wsf_options_get(options)->size, sizeof(in.ours));
	wsf_options_unref(options);
	for (size_t at = sizeof(in.ours); at < sizeof(in); at++) {
		in.bytes[at] = 1;
		check_refused(&in.ours, "size");
		in.bytes[at] = 0;
	}
	in.bytes[sizeof(in) - 1] = 1;
	in.ours.size = sizeof(in.ours);
	check_accepted(&in.ours);
}
END_TEST

START_TEST(an_impossible_size_is_refused)
{
	static const size_t sizes[] = { 0, 1, sizeof(size_t), offsetof(struct ws_options, headers) - 1,
		sizeof(struct ws_options) - 1, sizeof(struct ws_options) + 1, 1 << 20, SIZE_MAX, SIZE_MAX - 7 };
	struct ws_options in = WS_OPTIONS_INIT;

	for (size_t i = 0; i < COUNT(sizes); i++) {
		in.size = sizes[i];
		check_refused(&in, "size");
	}
}
END_TEST

/* All zero behind our fields, and still no struct: whatever its size says, not more than 4096 bytes are looked at. */
START_TEST(a_size_that_no_struct_has_is_refused)
{
	static union {
		struct ws_options ours;
		unsigned char bytes[8192];
	} in;

	in.ours = (struct ws_options)WS_OPTIONS_INIT;
	in.ours.size = 4096;
	check_accepted(&in.ours);
	in.ours.size = 4096 + _Alignof(struct ws_options);
	check_refused(&in.ours, "size");
}
END_TEST

static void *ref_and_unref(void *argument)
{
	struct wsf_options *options = argument;

	for (unsigned i = 0; i < 10000; i++)
		wsf_options_unref(wsf_options_ref(options));
	wsf_options_unref(options);
	return NULL;
}

START_TEST(the_copy_lives_until_the_last_reference_in_any_thread)
{
	struct wsf_options *options;
	struct wsf_failure failure;
	pthread_t threads[4];

	ck_assert_int_eq(wsf_options_copy(&options, NULL, &failure), 0);
	for (size_t i = 0; i < COUNT(threads); i++) {
		ck_assert_ptr_eq(wsf_options_ref(options), options);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, ref_and_unref, options), 0);
	}
	for (size_t i = 0; i < COUNT(threads); i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	check_defaults(wsf_options_get(options));
	wsf_options_unref(options);
	wsf_options_unref(NULL);
}
END_TEST

START_TEST(modes_are_parsed)
{
	static const struct {
		const char *text;
		bool read, write, text_frames;
		const char *stdio;
	} table[] = {
		{ "r", true, false, false, "r" }, { "w", false, true, false, "w" }, { "r+", true, true, false, "r+" },
		{ "w+", true, true, false, "r+" }, { "rb", true, false, false, "r" },
		{ "wb", false, true, false, "w" },
		{ "re", true, false, false, "r" }, { "rt", true, false, true, "r" }, { "wt", false, true, true, "w" },
		{ "rb+", true, true, false, "r+" }, { "r+b", true, true, false, "r+" },
		{ "re+b", true, true, false, "r+" },
		{ "w+bet", true, true, true, "r+" }, { "wteb+", true, true, true, "r+" },
		{ "rbe", true, false, false, "r" },
	};
	struct wsf_failure failure;

	for (size_t i = 0; i < COUNT(table); i++) {
		struct wsf_mode mode;

		memset(&mode, 0, sizeof(mode));
		ck_assert_int_eq(wsf_mode_parse(&mode, table[i].text, &failure), 0);
		ck_assert_int_eq(mode.read, table[i].read);
		ck_assert_int_eq(mode.write, table[i].write);
		ck_assert_int_eq(mode.text, table[i].text_frames);
		ck_assert_str_eq(mode.stdio, table[i].stdio);
	}
}
END_TEST

START_TEST(other_modes_are_refused)
{
	static const char *const table[] = {
		NULL, "", "a", "a+", "x", "wx", "w+x", "rw", "wr", "rr", "ww", "r++", "rbb", "ree", "rtt", "r+b+", "+r",
		"+", "b", "br", "R", "r ", " r", "rm", "rc", "r,ccs=UTF-8", "r\n", "r\xff",
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct wsf_failure failure = { 0 };
		struct wsf_mode mode;

		if (wsf_mode_parse(&mode, table[i], &failure) != -EINVAL)
			ck_abort_msg("mode %s was accepted", table[i]);
		ck_assert_int_eq(failure.error, EINVAL);
		ck_assert_ptr_nonnull(strstr(failure.text, "mode"));
	}
}
END_TEST

/* Accepted options give them up with the last reference, refused ones at once. */
START_TEST(no_secret_is_in_memory_after_the_last_reference)
{
	static const size_t fields[] = { offsetof(struct ws_options, userinfo), offsetof(struct ws_options, bearer),
		offsetof(struct ws_options, proxy), offsetof(struct ws_options, url),
		offsetof(struct ws_options, key_password), 0 };

	for (unsigned i = 0; secret_searchable() && i < 2 * COUNT(fields); i++) {
		char secret[SECRET_BYTES + 1], text[100];
		const char *field = text, *headers[] = { text, NULL };
		struct ws_options in = WS_OPTIONS_INIT;
		struct wsf_options *options;
		struct wsf_failure failure;

		secret_reveal(i, secret);
		snprintf(text, sizeof(text), "a:%s", secret);
		if (fields[i / 2] != 0)
			memcpy((char *)&in + fields[i / 2], &field, sizeof(field));
		else
			in.headers = headers;
		in.backlog = i % 2 ? -1 : 1;
		ck_assert_int_eq(wsf_options_copy(&options, &in, &failure), i % 2 ? -EINVAL : 0);
		ck_assert_uint_eq(secret_copies(i), i % 2 ? 0 : 1);
		wsf_options_unref(options);
		ck_assert_uint_eq(secret_copies(i), 0);
	}
}
END_TEST

static void add_tests(TCase *tcase)
{
	tcase_add_test(tcase, no_options_are_the_defaults);
	tcase_add_test(tcase, the_copy_needs_nothing_of_the_original);
	tcase_add_test(tcase, the_copy_needs_nothing_of_the_original_files_and_secrets);
	tcase_add_test(tcase, an_empty_list_stays_an_empty_list);
	tcase_add_test(tcase, values_are_kept);
	tcase_add_test(tcase, callbacks_and_first_bytes_are_kept_as_they_are);
	tcase_add_test(tcase, a_mask_has_only_events);
	tcase_add_test(tcase, a_descriptor_to_listen_on_is_one_or_none);
	tcase_add_test(tcase, first_bytes_are_there_and_bounded);
	tcase_add_loop_test(tcase, sizes_have_their_limits, 0, 4);
	tcase_add_test(tcase, buffers_are_rounded_up_to_powers_of_two);
	tcase_add_test(tcase, stdio_buffer_may_be_none_and_longer_than_the_receive_buffer);
	tcase_add_loop_test(tcase, times_have_their_limits, 0, 7);
	tcase_add_loop_test(tcase, numbers_and_enums_have_their_limits, 0, COUNT(numbers));
	tcase_add_test(tcase, file_names_are_not_empty);
	tcase_add_test(tcase, further_certificates_and_keys_need_the_first_certificate);
	tcase_add_test(tcase, a_server_name_is_a_host_name_or_an_address);
	tcase_add_test(tcase, pins_are_the_base64_of_32_bytes);
	tcase_add_test(tcase, there_are_1_to_32_pins);
	tcase_add_test(tcase, userinfo_and_bearer_fit_into_a_header);
	tcase_add_test(tcase, a_request_has_one_authentication);
	tcase_add_test(tcase, a_refused_secret_is_not_shown);
	tcase_add_test(tcase, forgotten_secrets_are_wiped_and_the_rest_stays);
	tcase_add_test(tcase, no_secret_is_in_memory_after_the_last_reference);
	tcase_add_test(tcase, subprotocols_are_tokens_without_duplicates);
	tcase_add_test(tcase, headers_are_whole_lines_that_the_handshake_leaves_free);
	tcase_add_test(tcase, a_refused_header_is_not_shown);
	tcase_add_test(tcase, origin_and_user_agent_are_header_values);
	tcase_add_test(tcase, allowed_origins_have_a_scheme_and_no_path);
	tcase_add_test(tcase, the_path_is_absolute_and_has_no_query);
	tcase_add_test(tcase, an_older_shorter_struct_gets_defaults_for_the_rest);
	tcase_add_test(tcase, the_first_struct_is_taken);
	tcase_add_test(tcase, the_struct_before_helper_threads_is_taken);
	tcase_add_test(tcase, the_struct_before_ping_interval_ms_is_taken);
	tcase_add_test(tcase, a_newer_longer_struct_is_taken_where_what_is_new_is_unused);
	tcase_add_test(tcase, an_impossible_size_is_refused);
	tcase_add_test(tcase, a_size_that_no_struct_has_is_refused);
	tcase_add_test(tcase, the_copy_lives_until_the_last_reference_in_any_thread);
	tcase_add_test(tcase, modes_are_parsed);
	tcase_add_test(tcase, other_modes_are_refused);
}

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = tcase_create("options");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	add_tests(tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
