/* SPDX-License-Identifier: 0BSD */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "options_private.h"
#include "wipe.h"

/* No struct ws_options will ever be this large: more is a size never set, and not to be read up to. */
#define LARGEST_STRUCT 4096

/* One allocation: the struct, the arrays, the text they point to. */
struct wsf_options {
	atomic_uint references;			/* [A] */
	size_t bytes;				/* [I] of all of it */
	struct ws_options values;		/* [I] until its secrets are forgotten */
	struct ws_certificate certificates[];	/* [I] then the arrays of pointers */
};

_Static_assert(sizeof(struct wsf_options) % _Alignof(struct ws_certificate) == 0, "the array begins behind the struct");
_Static_assert(_Alignof(struct ws_certificate) == _Alignof(const char *), "arrays of pointers begin behind it");

/* What is still free of the arrays and the text, or how much of them is needed. */
struct store {
	struct ws_certificate *certificate;
	const char **pointer;
	char *text;
};

struct need {
	size_t certificates, pointers, text_bytes;
};

static const size_t text_fields[] = {
	offsetof(struct ws_options, origin), offsetof(struct ws_options, user_agent), offsetof(struct ws_options, path),
	offsetof(struct ws_options, ca_file), offsetof(struct ws_options, ca_dir),
	offsetof(struct ws_options, cert_file), offsetof(struct ws_options, key_file),
	offsetof(struct ws_options, key_password),
	offsetof(struct ws_options, server_name), offsetof(struct ws_options, userinfo),
	offsetof(struct ws_options, bearer), offsetof(struct ws_options, proxy), offsetof(struct ws_options, url),
};
static const size_t list_fields[] = {
	offsetof(struct ws_options, subprotocols), offsetof(struct ws_options, headers),
	offsetof(struct ws_options, allowed_origins), offsetof(struct ws_options, pin_sha256),
};
/* Beside the headers; of a URL the userinfo is one. */
static const size_t secret_fields[] = {
	offsetof(struct ws_options, key_password), offsetof(struct ws_options, userinfo),
	offsetof(struct ws_options, bearer), offsetof(struct ws_options, proxy), offsetof(struct ws_options, url),
};

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static const char **text_field(struct ws_options *values, size_t offset)
{
	return (const char **)(void *)((char *)values + offset);
}

static const char *const **list_field(struct ws_options *values, size_t offset)
{
	return (const char *const **)(void *)((char *)values + offset);
}

static size_t count(const char *const *list)
{
	size_t size = 0;

	while (list && list[size])
		size++;
	return size;
}

static size_t count_certificates(const struct ws_certificate *list)
{
	size_t size = 0;

	while (list && list[size].cert_file)
		size++;
	return size;
}

static void measure_text(const char *text, struct need *need)
{
	if (text)
		need->text_bytes += strlen(text) + 1;
}

static struct need measure(struct ws_options *in)
{
	struct need need = { 0, 0, 0 };
	size_t certificates = count_certificates(in->certificates);

	for (size_t i = 0; i < COUNT(text_fields); i++)
		measure_text(*text_field(in, text_fields[i]), &need);
	for (size_t i = 0; i < COUNT(list_fields); i++) {
		const char *const *list = *list_field(in, list_fields[i]);
		size_t size = count(list);

		for (size_t j = 0; j < size; j++)
			measure_text(list[j], &need);
		need.pointers += list ? size + 1 : 0;
	}
	for (size_t i = 0; i < certificates; i++) {
		measure_text(in->certificates[i].cert_file, &need);
		measure_text(in->certificates[i].key_file, &need);
	}
	need.certificates = in->certificates ? certificates + 1 : 0;
	return need;
}

static void keep_text(const char **field, struct store *store)
{
	size_t size;

	if (!*field)
		return;
	size = strlen(*field) + 1;
	memcpy(store->text, *field, size);
	*field = store->text;
	store->text += size;
}

static void keep_list(const char *const **field, struct store *store)
{
	const char **list = store->pointer;
	size_t size = count(*field);

	if (!*field)
		return;
	for (size_t i = 0; i < size; i++) {
		list[i] = (*field)[i];
		keep_text(&list[i], store);
	}
	list[size] = NULL;
	store->pointer += size + 1;
	*field = list;
}

static void keep_certificates(const struct ws_certificate **field, struct store *store)
{
	struct ws_certificate *list = store->certificate;
	size_t size = count_certificates(*field);

	if (!*field)
		return;
	for (size_t i = 0; i < size; i++) {
		list[i] = (*field)[i];
		keep_text(&list[i].cert_file, store);
		keep_text(&list[i].key_file, store);
	}
	list[size] = (struct ws_certificate){ NULL, NULL };
	*field = list;
}

static struct wsf_options *duplicate(struct ws_options *in)
{
	struct need need = measure(in);
	size_t bytes = sizeof(struct wsf_options) + need.certificates * sizeof(struct ws_certificate) +
	    need.pointers * sizeof(char *) + need.text_bytes;
	struct wsf_options *options = malloc(bytes);
	struct store store;

	if (!options)
		return NULL;
	atomic_init(&options->references, 1);
	options->bytes = bytes;
	options->values = *in;
	store.certificate = options->certificates;
	store.pointer = (const char **)(void *)(options->certificates + need.certificates);
	store.text = (char *)(store.pointer + need.pointers);
	for (size_t i = 0; i < COUNT(text_fields); i++)
		keep_text(text_field(&options->values, text_fields[i]), &store);
	for (size_t i = 0; i < COUNT(list_fields); i++)
		keep_list(list_field(&options->values, list_fields[i]), &store);
	keep_certificates(&options->values.certificates, &store);
	return options;
}

/*
 * The caller's struct as ours. A shorter one is of an older header: what it lacks is at its default. A longer one is of
 * a newer header: what we don't know must be zero, which there has to mean "not used".
 */
static int import(struct ws_options *values, const struct ws_options *in, struct wsf_failure *failure)
{
	const unsigned char *bytes = (const unsigned char *)in;

	*values = (struct ws_options)WS_OPTIONS_INIT;
	if (!in)
		return 0;
	if (in->size < offsetof(struct ws_options, headers) || in->size > LARGEST_STRUCT ||
	    in->size % _Alignof(struct ws_options) != 0)
		return wsf_fail(failure, EINVAL, "size is %zu: start from WS_OPTIONS_INIT", in->size);
	for (size_t i = sizeof(*values); i < in->size; i++) {
		if (bytes[i] != 0)
			return wsf_fail(failure, EINVAL, "size is %zu: an option is set that this version lacks",
			    in->size);
	}
	memcpy(values, in, in->size < sizeof(*values) ? in->size : sizeof(*values));
	values->size = sizeof(*values);
	/* It lies in the padding of the struct that ended with helper_threads. */
	if (in->size <= offsetof(struct ws_options, observer))
		values->ping_interval_ms = ((const struct ws_options)WS_OPTIONS_INIT).ping_interval_ms;
	return 0;
}

int wsf_options_copy(struct wsf_options **out, const struct ws_options *in, struct wsf_failure *failure)
{
	struct ws_options values;
	struct wsf_options *options;
	int error = import(&values, in, failure);

	*out = NULL;
	if (error)
		return error;
	if (!values.user_agent)
		values.user_agent = "wsfile/" WSFILE_VERSION;
	options = duplicate(&values);
	if (!options)
		return wsf_fail(failure, ENOMEM, "out of memory");
	error = wsf_options_check(&options->values, failure);
	if (error) {
		wsf_options_unref(options);
		return error;
	}
	*out = options;
	return 0;
}

struct wsf_options *wsf_options_ref(struct wsf_options *options)
{
	atomic_fetch_add_explicit(&options->references, 1, memory_order_relaxed);
	return options;
}

void wsf_options_unref(struct wsf_options *options)
{
	/* The last one out must see all that the others did before. */
	if (!options || atomic_fetch_sub_explicit(&options->references, 1, memory_order_acq_rel) != 1)
		return;
	wsf_wipe(options, options->bytes);
	free(options);
}

/* The text is in our own allocation, where nothing is really const. */
static void wipe_text(const char *text)
{
	if (text)
		wsf_wipe((char *)text, strlen(text));
}

void wsf_options_forget_secrets(struct wsf_options *options)
{
	struct ws_options *values = &options->values;
	const char **headers = (const char **)values->headers;

	for (size_t i = 0; i < COUNT(secret_fields); i++) {
		const char **field = text_field(values, secret_fields[i]);

		wipe_text(*field);
		*field = NULL;
	}
	for (size_t i = 0; headers && headers[i]; i++) {
		wipe_text(headers[i]);
		headers[i] = NULL;
	}
}

const struct ws_options *wsf_options_get(const struct wsf_options *options)
{
	return &options->values;
}

static bool take_letters(const char *text, const char *letters, bool *seen)
{
	for (; *text != '\0'; text++) {
		const char *letter = strchr(letters, *text);

		if (!letter || seen[letter - letters])
			return false;
		seen[letter - letters] = true;
	}
	return true;
}

int wsf_mode_parse(struct wsf_mode *mode, const char *text, struct wsf_failure *failure)
{
	bool seen[4] = { false };

	if (!text)
		return wsf_fail(failure, EINVAL, "the mode is NULL");
	if ((*text != 'r' && *text != 'w') || !take_letters(text + 1, "+tbe", seen))
		return wsf_fail(failure, EINVAL, "mode \"%.20s\" is not r, w, r+ or w+, with b, e and t once at most",
		    text);
	mode->read = *text == 'r' || seen[0];
	mode->write = *text == 'w' || seen[0];
	mode->text = seen[1];
	mode->stdio = seen[0] ? "r+" : *text == 'r' ? "r" : "w";
	return 0;
}
