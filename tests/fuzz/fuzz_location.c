/* SPDX-License-Identifier: 0BSD */
/*
 * Where a redirect leads. The first line of the input is the URL we are at, the rest what a server says as Location:
 * what comes of it is refused or a URL of ours, never a local socket, with no dot segments left of a relative one, and
 * resolves to itself. The functions are static, so their file is taken in here.
 */
#include "../../src/dial.c"

#include "fuzz.h"

/* Of the path; what follows a "?" may have them. */
static bool has_dot_segment(const char *target)
{
	const char *end = target + strcspn(target, "?");

	for (const char *p = target; p < end;) {
		size_t length = strcspn(p + 1, "/?");

		if ((length == 1 && p[1] == '.') || (length == 2 && p[1] == '.' && p[2] == '.'))
			return true;
		p += 1 + length;
	}
	return false;
}

static bool is_relative(const char *location)
{
	return location[strcspn(location, ":/?#")] != ':' && strncmp(location, "//", 2) != 0;
}

/* In just the room that is asked for. */
static int resolve(const struct wsf_url *base, const char *location, size_t room, struct wsf_url *next, char **text)
{
	char reason[160];
	int rv;

	*text = fuzz_memory(room);
	memset(next, 0, sizeof(*next));
	rv = resolve_location(base, location, *text, room);
	REQUIRE(rv == 0 || rv == -EPROTO);
	if (rv == 0) {
		REQUIRE(memchr(*text, 0, room) != NULL);
		rv = wsf_url_parse(next, *text, WSF_URL_CONNECT, reason, sizeof(reason));
	}
	return rv;
}

static void check(const struct wsf_url *base, const char *location, size_t room)
{
	struct wsf_url next, again;
	char *text, *same;

	if (resolve(base, location, room, &next, &text) == 0) {
		REQUIRE(next.socket == NULL && next.target[0] == '/' && next.port > 0);
		if (is_relative(location)) {
			REQUIRE(same_place(base, &next) && next.userinfo == NULL);
			REQUIRE(!has_dot_segment(next.target));
		}
		if (2 * strlen(text) <= room) {
			REQUIRE(resolve(base, text, room, &again, &same) == 0 && strcmp(text, same) == 0);
			wsf_url_clear(&again);
			free(same);
		}
	}
	wsf_url_clear(&next);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	char *text = fuzz_line(&in), *location = fuzz_rest(&in), reason[160];
	struct wsf_url base;

	if (wsf_url_parse(&base, text, WSF_URL_CONNECT, reason, sizeof(reason)) == 0) {
		check(&base, location, LOCATION_MAX);
		check(&base, location, 64 + fuzz_variation * 9);
	}
	wsf_url_clear(&base);
	free(location);
	free(text);
	return 0;
}
