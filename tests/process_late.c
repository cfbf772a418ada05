/* SPDX-License-Identifier: 0BSD */
/* A library that ends after wsfile, as it was loaded before: see the scenario "after" of process_child_exit.c. */
#include <stddef.h>

#include "process_late.h"

void (*process_late)(void);

__attribute__((destructor)) static void run_late(void)
{
	if (process_late != NULL)
		process_late();
}
