/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzzer over every file of the directories given as arguments, without libFuzzer. A directory
 * that is missing or holds no file is an error, for a corpus that got lost would pass for ever. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The input lies in memory of exactly its size, so that a sanitizer sees the first byte beyond. */
static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data = NULL;
	int r = -1;

	if (f && fstat(fileno(f), &st) == 0) {
		size_t n = (size_t)st.st_size;

		data = malloc(n ? n : 1);
		if (data && fread(data, 1, n, f) == n) {
			(void)LLVMFuzzerTestOneInput(data, n);
			r = 0;
		}
	}
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
	free(data);
	if (f)
		(void)fclose(f);
	return r;
}

/* The number of files, or -1. */
static int replay_directory(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (struct dirent *e; n >= 0 && (e = readdir(d));) {
		char file[4096];
		struct stat st;

		if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >= (int)sizeof(file) ||
				stat(file, &st) < 0) {
			(void)fprintf(stderr, "%s/%s: cannot be read\n", path, e->d_name);
			n = -1;
		} else if (S_ISREG(st.st_mode)) {
			n = replay_file(file) < 0 ? -1 : n + 1;
		}
	}
	(void)closedir(d);
	if (n == 0) {
		(void)fprintf(stderr, "%s: no files\n", path);
		return -1;
	}
	return n;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		int n = replay_directory(argv[i]);

		if (n < 0)
			return 1;
		(void)printf("%s: %d files\n", argv[i], n);
	}
	return 0;
}
