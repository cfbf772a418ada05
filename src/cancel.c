/* SPDX-License-Identifier: 0BSD */
#include <pthread.h>

#include "cancel.h"

int wsf_cancel_off(void)
{
	int before = PTHREAD_CANCEL_ENABLE;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

void wsf_cancel_back(int before)
{
	pthread_setcancelstate(before, &before);
}
