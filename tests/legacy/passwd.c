/* SPDX-License-Identifier: 0BSD */
/*
 * fgetpwent_r(3) and putpwent(3): a table of users, as in /etc/passwd.
 *
 * fgetpwent_r returns an error number, ENOENT at the end of file and that of the stream at a cut. fgetpwent(3) without
 * the _r is not for streams, nor for pipes: it notes the place of each line with fgetpos(3).
 */
#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "legacy.h"

static enum verdict read_users(FILE *in, FILE *out)
{
	struct passwd entry, *found;
	char buffer[1024];
	int error;

	while ((error = fgetpwent_r(in, &entry, buffer, sizeof(buffer), &found)) == 0)
		fprintf(out, "%s is %u, %s, at %s\n", entry.pw_name, entry.pw_uid, entry.pw_gecos, entry.pw_dir);
	if (error != ENOENT) {
		fprintf(stderr, "fgetpwent_r: %s\n", strerror(error));
		return REFUSED;
	}
	return WHOLE;
}

static int write_users(FILE *out, int records)
{
	for (int i = 0; i < records; i++) {
		struct passwd entry = { .pw_name = "jürgen", .pw_passwd = "x", .pw_uid = 1000 + (uid_t)i, .pw_gid = 100,
			.pw_gecos = "Jürgen,,,", .pw_dir = "/home/jürgen", .pw_shell = "/bin/sh" };

		if (putpwent(&entry, out) != 0)
			return -1;
	}
	return 0;
}

const struct consumer consumer = {
	.read = read_users, .write = write_users,
	.at_cut = REFUSED, .live = true, .keeps_records = true,
};
