/* SPDX-License-Identifier: 0BSD */
/*
 * getmntent(3): a table of file systems, as in /etc/fstab.
 *
 * It returns NULL at the end as at a cut: ask ferror(3). Its counterpart addmntent(3) is not for streams, nor for
 * pipes: it seeks to the end of the file first.
 */
#include <mntent.h>

#include "legacy.h"

static enum verdict read_table(FILE *in, FILE *out)
{
	const struct mntent *entry;

	while ((entry = getmntent(in)) != NULL)
		fprintf(out, "%s on %s type %s (%s) %d %d\n", entry->mnt_fsname, entry->mnt_dir, entry->mnt_type,
		    entry->mnt_opts, entry->mnt_freq, entry->mnt_passno);
	return ferror(in) ? CUT : WHOLE;
}

static int write_table(FILE *out, int records)
{
	for (int i = 0; i < records; i++)
		if (fprintf(out, "# Größe\nserver:/export/%d /mnt/a\\040place/%d nfs ro,hard 0 %d\n", i, i, i) < 0)
			return -1;
	return 0;
}

const struct consumer consumer = {
	.read = read_table, .write = write_table,
	.at_cut = CUT, .live = true, .keeps_records = true,
};
