/* SPDX-License-Identifier: 0BSD */
/*
 * Keys and certificates for a test, made by make_certificates.sh in a temporary directory; that script's head says
 * which file is what. The environment's WSF_TEST_SOURCE is the directory of the script. Called by a test's main before
 * and after its cases, which may be processes of their own, and by the cases.
 */
#ifndef PKI_H
#define PKI_H

/* Make them. Where that fails, the reason is printed and the program ends with status 99. */
void pki_begin(void);
/* The same with those of ca, intermediate and server alone, which takes a fifth of the time. */
void pki_begin_server(void);
/* The path of a file in the directory, whether it is there or not. Lives until pki_end; NULL never. */
const char *pki_file(const char *name);
/* Remove the directory and all that a test has put there. Only does so in the process of pki_begin. */
void pki_end(void);

#endif
