/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzzer over files, and over each file of the folders named: what a compiler without libFuzzer
 * makes of the corpora, in the ordinary test run. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int replay_file(const char *path)
{
	_cleanup_free_ uint8_t *data = NULL;
	FILE *f = fopen(path, "rbe");
	struct stat st;
	size_t n = 0;

	if (!f || fstat(fileno(f), &st) < 0) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		if (f)
			(void)fclose(f);
		return -1;
	}
	data = malloc((size_t)st.st_size + 1);
	if (data)
		n = fread(data, 1, (size_t)st.st_size, f);
	(void)fclose(f);
	if (!data || n != (size_t)st.st_size)
		return -1;
	(void)LLVMFuzzerTestOneInput(data, n);
	return 1;
}

static int replay(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		return replay_file(path);
	for (struct dirent *e = readdir(d); e && n >= 0; e = readdir(d)) {
		char file[4096];
		int r;

		if (e->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, e->d_name) >= (int)sizeof(file))
			r = -1;
		else
			r = replay_file(file);
		n = r < 0 ? -1 : n + r;
	}
	(void)closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	(void)printf("%d inputs\n", total);
	return total == 0; /* an empty corpus tests nothing */
}
