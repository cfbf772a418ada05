/* SPDX-License-Identifier: 0BSD */
/*
 * SQLite: a dump, read statement by statement with getline(3) and executed, and one written.
 *
 * A dump is one transaction, so that a part of it changes nothing: where the stream is cut, the COMMIT has not come.
 * Only ferror(3) tells that there was to be more.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "legacy.h"

static int print_row(void *out, int columns, char **values, char **names)
{
	(void)names;
	return fprintf(out, "%s %s\n", values[0], columns > 1 ? values[1] : "") < 0;
}

static int execute_all(FILE *in, sqlite3 *database)
{
	char *line = NULL, *statement = NULL;
	size_t capacity = 0;
	int result = SQLITE_OK;

	/* A statement may go over several lines. */
	while (result == SQLITE_OK && getline(&line, &capacity, in) != -1) {
		char *longer = sqlite3_mprintf("%s%s", statement != NULL ? statement : "", line);

		sqlite3_free(statement);
		statement = longer;
		if (!sqlite3_complete(statement))
			continue;
		result = sqlite3_exec(database, statement, NULL, NULL, NULL);
		sqlite3_free(statement);
		statement = NULL;
	}
	sqlite3_free(statement);
	free(line);
	return result;
}

static enum verdict read_dump(FILE *in, FILE *out)
{
	sqlite3 *database;
	int result;

	sqlite3_open(":memory:", &database);
	result = execute_all(in, database);
	if (result != SQLITE_OK)
		fprintf(stderr, "sqlite3_exec: %s\n", sqlite3_errmsg(database));
	else if (!sqlite3_get_autocommit(database))
		sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
	else
		sqlite3_exec(database, "SELECT * FROM towns ORDER BY number", print_row, out, NULL);
	sqlite3_close(database);
	return result != SQLITE_OK ? REFUSED : ferror(in) ? CUT : WHOLE;
}

static int write_dump(FILE *out, int records)
{
	fprintf(out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE towns (number INT, name TEXT);\n");
	for (int i = 0; i < records; i++) {
		char *statement = sqlite3_mprintf("INSERT INTO towns VALUES(%d,%Q);", i, "L'Aquila;\nin 'Łódź'");

		fprintf(out, "%s\n", statement);
		sqlite3_free(statement);
	}
	fprintf(out, "COMMIT;\n");
	return ferror(out) ? -1 : 0;
}

const struct consumer consumer = {
	.read = read_dump, .write = write_dump,
	.at_cut = CUT,
};
