/* SPDX-License-Identifier: 0BSD */
/* OpenSSL's error queue of this thread, set aside and put back: it may be the program's. */
#include <stdlib.h>
#include <string.h>

#include "tls_private.h"

#define QUEUE_ENTRIES 16		/* OpenSSL's own bound */

struct entry {
	unsigned long code;
	int line;
	char *file, *function, *data;	/* NULL = none, or no memory for it */
};

struct wsf_tls_errors {
	size_t count;
	struct entry entries[QUEUE_ENTRIES];
};

static char *duplicate(const char *text)
{
	return text != NULL && *text != '\0' ? strdup(text) : NULL;
}

/* The oldest error, which leaves the queue; false where there is none. */
static bool pull(struct entry *entry)
{
	const char *file = NULL, *function = NULL, *data = NULL;
	int flags = 0;

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	entry->code = ERR_get_error_all(&file, &entry->line, &function, &data, &flags);
#else
	entry->code = ERR_get_error_line_data(&file, &entry->line, &data, &flags);
#endif
	if (entry->code == 0)
		return false;
	entry->file = duplicate(file);
	entry->function = duplicate(function);
	entry->data = (flags & ERR_TXT_STRING) != 0 ? duplicate(data) : NULL;
	return true;
}

static void push(const struct entry *entry)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	ERR_new();
	ERR_set_debug(entry->file, entry->line, entry->function);
	if (entry->data != NULL)
		ERR_set_error(ERR_GET_LIB(entry->code), ERR_GET_REASON(entry->code), "%s", entry->data);
	else
		ERR_set_error(ERR_GET_LIB(entry->code), ERR_GET_REASON(entry->code), NULL);
#else
	/* The file's name has to outlive the queue here. */
	ERR_put_error(ERR_GET_LIB(entry->code), ERR_GET_FUNC(entry->code), ERR_GET_REASON(entry->code), "",
	    entry->line);
	if (entry->data != NULL)
		ERR_add_error_data(1, entry->data);
#endif
}

struct wsf_tls_errors *wsf_tls_errors_aside(void)
{
	struct wsf_tls_errors *errors;

	if (ERR_peek_error() == 0)
		return NULL;
	errors = calloc(1, sizeof(*errors));
	if (errors != NULL) {
		while (errors->count < QUEUE_ENTRIES && pull(&errors->entries[errors->count]))
			errors->count++;
	}
	ERR_clear_error();
	return errors;
}

void wsf_tls_errors_back(struct wsf_tls_errors *errors)
{
	ERR_clear_error();
	if (errors == NULL)
		return;
	for (size_t i = 0; i < errors->count; i++) {
		push(&errors->entries[i]);
		free(errors->entries[i].file);
		free(errors->entries[i].function);
		free(errors->entries[i].data);
	}
	free(errors);
}
