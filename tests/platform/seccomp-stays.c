/* SPDX-License-Identifier: BSD-2-Clause */
/* A seccomp filter stays over execve(), which is why a fresh engine is a new process; and a filter loaded
 * by one thread misses the others unless SECCOMP_FILTER_FLAG_TSYNC is given. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "platform.h"

/* Filters are added up: each forbids getpgid() with an error of its own. */
static long forbid_getpgid(unsigned int flags)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {.len = ARRAY_SIZE(f), .filter = f};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

static bool is_forbidden(void)
{
	return syscall(SYS_getpgid, 0) < 0 && errno == EXDEV;
}

static void *load(void *arg)
{
	return forbid_getpgid(*(unsigned int *)arg) == 0 ? arg : NULL;
}

static void load_in_thread(unsigned int flags)
{
	pthread_t t;
	void *ok = NULL;

	ASSUME(pthread_create(&t, NULL, load, &flags) == 0, "no thread");
	ASSUME(pthread_join(t, &ok) == 0 && ok, "a thread cannot load a filter");
}

int main(int argc, char **argv)
{
	char status[4096] = "";
	_cleanup_close_ int fd = -1;
	bool missed;

	if (argc > 1) {
		ASSUME(is_forbidden(), "the filter ended at execve()");
		fd = MUST(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
		MUST(read(fd, status, sizeof(status) - 1));
		ASSUME(strstr(status, "NoNewPrivs:\t1\n"), "NoNewPrivs ended at execve()");
		ASSUME(strstr(status, "Seccomp:\t2\n"), "/proc/self/status does not show the filter");
		platform_says("a seccomp filter stays over execve(); one of a thread's own %s the others",
			strcmp(argv[1], "missed") == 0 ? "misses" : "hits");
		return 0;
	}
	load_in_thread(0);
	missed = !is_forbidden();
	load_in_thread(SECCOMP_FILTER_FLAG_TSYNC);
	ASSUME(is_forbidden(), "SECCOMP_FILTER_FLAG_TSYNC misses the other threads");
	(void)execl("/proc/self/exe", argv[0], missed ? "missed" : "hit", NULL);
	platform_fail("execve(): %s", strerror(errno));
}
