/* SPDX-License-Identifier: 0BSD */
/*
 * What went wrong, as an errno with a line of text, and the names of close codes. It knows no state; the failure is an
 * object of the caller's. Called from any thread.
 */
#ifndef WSF_ERRMAP_H
#define WSF_ERRMAP_H

#include <stdbool.h>
#include <stddef.h>

struct wsf_failure {
	int error;			/* errno, 0 = none */
	int http_status;		/* 0 = none */
	char text[240];			/* one line: control characters are replaced by '?' */
};

/* Fill the failure and return -error. http_status is kept. */
int wsf_fail(struct wsf_failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with ": " and strerror's text behind. */
int wsf_fail_errno(struct wsf_failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * getaddrinfo's code as an errno (EAI_NONAME → ENOENT, EAI_AGAIN → EAGAIN, EAI_MEMORY → ENOMEM, EAI_SYSTEM → errno, …).
 */
int wsf_errno_from_gai(int code, int saved_errno);

/* What a valid received Close code means for the reader: 0 (1000, 1001, 1005) or ECONNABORTED. */
int wsf_errno_from_close(unsigned code);

/* "normal closure" for 1000, …; "unknown" where there is none. Static. */
const char *wsf_close_code_name(unsigned code);

/* Whether a program may send this code: 1000, 1001, 1003, 1007 to 1011, 3000 to 4999. */
bool wsf_close_code_sendable(unsigned code);

#endif
