/* SPDX-License-Identifier: 0BSD */
/*
 * Thread cancellation is put off while locks are held, a socket is in use or a buffer lent out: many a system call is a
 * cancellation point, and what a thread left behind there would stop the helper thread, and with it every stream. It
 * knows no other room. Called from any thread.
 */
#ifndef WSF_CANCEL_H
#define WSF_CANCEL_H

/* Returns what wsf_cancel_back needs. They may be nested. */
int wsf_cancel_off(void);
void wsf_cancel_back(int before);

#endif
