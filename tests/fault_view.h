/* SPDX-License-Identifier: 0BSD */
/*
 * What bytes of one direction are, as an end that receives exactly these sees them: a header block, data, a Close. An
 * own reading of RFC 6455 and 7692 that shares no code with the library. It knows no sockets.
 */
#ifndef FAULT_VIEW_H
#define FAULT_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

struct fault_view {
	bool opened;			/* the header block is whole, and a request or a 101 */
	bool refused;			/* it is another answer */
	size_t head_bytes;		/* of it, 0 = it is not whole */
	struct bytes data;		/* of data messages, as far as it is there */
	unsigned close_code;		/* of a whole Close, 0 = none, 1005 = without a code */
	size_t close_end;		/* where it ends, in the bytes */
	bool more;			/* something follows the Close */
	bool notified;			/* TLS: close_notify is behind it all */
	const char *wrong;		/* a rule that the sender broke, NULL = none */
};

/* view is overwritten. */
void fault_view(struct fault_view *view, const void *bytes, size_t size);
void fault_view_clear(struct fault_view *view);

#endif
