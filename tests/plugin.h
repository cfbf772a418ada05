/* SPDX-License-Identifier: 0BSD */
/* The one function of plugin.c. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <stdio.h>

FILE *plugin_open(const char *url, const char *mode);

#endif
