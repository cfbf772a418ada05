/* SPDX-License-Identifier: 0BSD */
/*
 * A fuzz target without a fuzzer: runs each file of the directories named once as it is, cut in many ways. Exit status:
 * 0 = none of them did harm, 1 = there was no file. The target itself ends the process where something does not hold.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

#define VARIATIONS 24
#define MAX_FILE_BYTES (1 << 20)
#define MAX_PATH_BYTES 4096

/* Told when the process ends in the middle. */
static void replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = fuzz_memory(MAX_FILE_BYTES), *data;
	size_t size;

	REQUIRE(file != NULL);
	size = fread(bytes, 1, MAX_FILE_BYTES, file);
	REQUIRE(ferror(file) == 0 && size < MAX_FILE_BYTES);
	fclose(file);
	data = fuzz_copy(bytes, size);
	free(bytes);
	printf("%s\n", path);
	fflush(stdout);
	for (fuzz_variation = 0; fuzz_variation < VARIATIONS; fuzz_variation++)
		LLVMFuzzerTestOneInput(data, size);
	free(data);
}

/* A directory of findings need not be there. Returns how many files were run. */
static unsigned replay_directory(const char *name)
{
	DIR *directory = opendir(name);
	struct dirent *entry;
	unsigned count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		char path[MAX_PATH_BYTES];
		struct stat status;
		int length = snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);

		REQUIRE(length > 0 && (size_t)length < sizeof(path));
		if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
			continue;
		replay(path);
		count++;
	}
	if (directory != NULL)
		closedir(directory);
	return count;
}

int main(int argc, char *argv[])
{
	unsigned count = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		count += replay_directory(argv[i]);
	printf("%u files, each in %d ways\n", count, VARIATIONS);
	return count > 0 ? 0 : 1;
}
