/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines whose networks are joined by vhost-user, and lines of which they are not, and why. QEMU's descriptors
 * are 50, 51, ... here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "qemu_vhost.h"

#define ARGS_MAX 64
#define CHARDEV(id, fd) "-chardev socket,id=" id "-socket,path=/proc/self/fd/" fd ",reconnect=1 "
#define VHOST(id, fd) CHARDEV(id, fd) "-netdev vhost-user,id=" id ",chardev=" id "-socket"
#define STREAM(id, fd) "-netdev stream,id=" id ",server=off,addr.type=fd,addr.str=" fd
#define MEMORY(size) " -object memory-backend-memfd,id=vmlan-memory,size=" size ",share=on " \
	"-machine memory-backend=vmlan-memory"
#define NO_MSIX " -global virtio-net-pci.vectors=0"

struct sample {
	const char *line;
	const char *expect; /* the new line; NULL: no network is joined by vhost-user */
	const char *why;    /* of the one network that is not; NULL: all are */
	struct qemu_version version; /* 0.0 stands for 10.0 */
	bool has_kvm; /* also where the line begins with "kvm" */
};

static const struct sample samples[] = {
	/* Every form of a virtio NIC. */
	{"qemu-system-x86_64 -m 2048 a.img -net nic,model=virtio -net user",
		"qemu-system-x86_64 -m 2048 a.img -net nic,model=virtio,netdev=vmlan0 "
		"-chardev socket,id=vmlan0-socket,path=/proc/self/fd/50,reconnect-ms=200 "
		"-netdev vhost-user,id=vmlan0,chardev=vmlan0-socket" MEMORY("2048M")},
	{"kvm -net nic,model=virtio-net-pci -net user",
		"kvm -net nic,model=virtio-net-pci,netdev=vmlan0 " VHOST("vmlan0", "50") MEMORY("128M"), NULL,
		{9, 1}},
	{"kvm -m 1G -nic user,model=virtio-net-pci,mac=52:54:00:11:22:33,id=u",
		"kvm -m 1G " CHARDEV("u", "50")
		"-nic vhost-user,id=u,chardev=u-socket,model=virtio-net-pci,mac=52:54:00:11:22:33"
		MEMORY("1024M"), NULL, {9, 1}},
	{"kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n,mac=52:54:00:11:22:33,mq=on",
		"kvm -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n,mac=52:54:00:11:22:33,mq=on"
		MEMORY("1024M"), NULL, {9, 1}},
	{"kvm -M microvm -m 1G -netdev user,id=n -device virtio-net-device,netdev=n",
		"kvm -M microvm -m 1G " VHOST("n", "50") " -device virtio-net-device,netdev=n" MEMORY("1024M"),
		NULL, {9, 1}},
	{"kvm -m 1G -netdev user,id=n -device driver=virtio-net,netdev=n",
		"kvm -m 1G " VHOST("n", "50") " -device driver=virtio-net,netdev=n" MEMORY("1024M"), NULL, {9, 1}},
	{"qemu-system-s390x -m 1G -netdev user,id=n -device virtio-net-ccw,netdev=n",
		"qemu-system-s390x -m 1G " VHOST("n", "50") " -device virtio-net-ccw,netdev=n" MEMORY("1024M"),
		NULL, {7, 2}},
	{"kvm -m 1G -netdev user,id=a -device virtio-net-pci,netdev=a -netdev user,id=b -device e1000,netdev=b",
		"kvm -m 1G " VHOST("a", "50") " -device virtio-net-pci,netdev=a " STREAM("b", "51")
		" -device e1000,netdev=b" MEMORY("1024M"), "the NIC is e1000", {9, 1}},

	/* Sizes. */
	{"kvm -m 1.5G -nic user,model=virtio", "kvm -m 1.5G " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio" MEMORY("1536M"), NULL, {9, 1}},
	{"kvm -m 524300K -nic user,model=virtio", "kvm -m 524300K " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio" MEMORY("536887296"), NULL, {9, 1}},
	{"kvm -m size=2G,slots=2,maxmem=4G -nic user,model=virtio",
		"kvm -m size=2G,slots=2,maxmem=4G " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio" MEMORY("2048M"), NULL, {9, 1}},
	{"kvm -m 1G -m slots=2,maxmem=4G -m 2G -nic user,model=virtio",
		"kvm -m 1G -m slots=2,maxmem=4G -m 2G " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio" MEMORY("2048M"), NULL, {9, 1}},
	{"kvm -m 0x800 -nic user,model=virtio", NULL, "-m 0x800"},
	{"kvm -m 1e9 -nic user,model=virtio", NULL, "-m 1e9"},
	{"kvm -m 0 -nic user,model=virtio", NULL, "-m 0"},
	{"qemu-system-aarch64 -M virt -nic user,model=virtio", NULL, "how much memory"},

	/* Memory of the line's own. */
	{"kvm -m 1G -numa node,mem=512M -numa node,mem=512M -nic user,model=virtio",
		"kvm -m 1G -numa node,mem=512M -numa node,mem=512M " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio" MEMORY("1024M"), NULL, {9, 1}},
	{"kvm -m 1G -object memory-backend-memfd,id=a,size=512M -object memory-backend-file,id=b,size=512M,"
	 "mem-path=/dev/shm,share=yes -numa node,memdev=a -numa node,memdev=b -nic user,model=virtio",
		"kvm -m 1G -object memory-backend-memfd,id=a,size=512M -object memory-backend-file,id=b,"
		"size=512M,mem-path=/dev/shm,share=yes -numa node,memdev=a -numa node,memdev=b "
		CHARDEV("vmlan0", "50") "-nic vhost-user,chardev=vmlan0-socket,model=virtio", NULL, {9, 1}},
	{"kvm -m 1G -object {\"qom-type\":\"memory-backend-memfd\",\"id\":\"a\",\"share\":true} -machine "
	 "q35,memory-backend=a -nic user,model=virtio",
		"kvm -m 1G -object {\"qom-type\":\"memory-backend-memfd\",\"id\":\"a\",\"share\":true} "
		"-machine q35,memory-backend=a " CHARDEV("vmlan0", "50")
		"-nic vhost-user,chardev=vmlan0-socket,model=virtio", NULL, {9, 1}},
	{"kvm -m 1G -object memory-backend-ram,id=r,size=1G -numa node,memdev=r -nic user,model=virtio", NULL,
		"memory back end r is not shared"},
	{"kvm -m 1G -object qom-type=memory-backend-ram,id=r,size=1G,share=on -machine memory-backend=r "
	 "-nic user,model=virtio", NULL, "memory back end r is not shared"},
	{"kvm -m 1G -object memory-backend-file,id=f,size=1G,mem-path=/x -machine memory-backend=f "
	 "-nic user,model=virtio", NULL, "memory back end f is not shared"},
	{"kvm -m 1G -object memory-backend-memfd,id=f,size=1G,share=off -device pc-dimm,memdev=f "
	 "-nic user,model=virtio", NULL, "memory back end f is not shared"},
	{"kvm -m 1G -object {\"qom-type\":\"memory-backend-ram\",\"id\":\"a\"} -nic user,model=virtio", NULL,
		"is not shared"},
	{"kvm -m 1G -mem-path /dev/hugepages -nic user,model=virtio", NULL, "-mem-path"},
	{"kvm -m 1G -readconfig f -nic user,model=virtio", NULL, "-readconfig"},
	{"kvm -m 1G -object memory-backend-ram,size=1G,,x -nic user,model=virtio", NULL, "without an id"},

	/* NICs that do not take it. */
	{"kvm -m 1G -net nic -net user", NULL, "default"},
	{"kvm -m 1G", NULL, "default"},
	{"kvm -m 1G -nic user", NULL, "default"},
	{"kvm -m 1G -net nic,model=rtl8139 -net user", NULL, "rtl8139"},
	{"kvm -m 1G -netdev user,id=n", NULL, "no NIC of the line has netdev=n"},
	{"kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=nn", NULL, "no NIC of the line"},
	{"kvm -m 1G -net nic,model=virtio -net nic,model=virtio -net user", NULL, "hub"},
	{"kvm -m 1G -netdev user,id=n -netdev hubport,id=h,hubid=3,netdev=n -device virtio-net-pci,netdev=h", NULL,
		"hub"},
	{"kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n -object filter-dump,id=f,netdev=n,file=x",
		NULL, "filter-dump"},
	{"kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n -object "
	 "{\"qom-type\":\"filter-dump\",\"id\":\"f\",\"netdev\":\"n\",\"file\":\"x\"}", NULL, "filter-dump"},
	{"kvm -m 1G -netdev user,id=n -netdev {\"type\":\"hubport\",\"id\":\"h\",\"hubid\":3,\"netdev\":\"n\"} "
	 "-device virtio-net-pci,netdev=h", NULL, "hub"},
	{"kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n,iommu_platform=on", NULL, "iommu_platform"},
	{"kvm -m 1G -netdev user,id=n -device {\"driver\":\"virtio-net-pci\",\"netdev\":\"n\"}", NULL, "JSON"},

	/* Machines and QEMUs that do not. */
	{"kvm -M none -m 1G -nic user,model=virtio", NULL, "machine 'none'"},
	{"kvm -machine type=xenfv,accel=xen -m 1G -nic user,model=virtio", NULL, "machine"},
	{"kvm -m 1G -nic user,model=virtio", NULL, "older than 7.2", {7, 1}},
	{"kvm -m 1G -nic user,model=virtio", NULL, "version", {1, 0}},

	/* QEMU 7.2 without KVM. */
	{"qemu-system-x86_64 -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"qemu-system-x86_64 -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n" MEMORY("1024M")
		NO_MSIX, NULL, {7, 2}},
	{"qemu-system-x86_64 -enable-kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"qemu-system-x86_64 -enable-kvm -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n"
		MEMORY("1024M"), NULL, {7, 2}},
	{"qemu-system-x86_64 -M q35,accel=kvm:tcg -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"qemu-system-x86_64 -M q35,accel=kvm:tcg -m 1G " VHOST("n", "50")
		" -device virtio-net-pci,netdev=n" MEMORY("1024M") NO_MSIX, NULL, {7, 2}},
	{"qemu-system-x86_64 -accel kvm -accel tcg -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"qemu-system-x86_64 -accel kvm -accel tcg -m 1G " VHOST("n", "50")
		" -device virtio-net-pci,netdev=n" MEMORY("1024M"), NULL, {7, 2}, true},
	{"/usr/bin/kvm -accel tcg,thread=single -m 1G -netdev user,id=n -device virtio-net-pci-transitional,netdev=n",
		"/usr/bin/kvm -accel tcg,thread=single -m 1G " VHOST("n", "50")
		" -device virtio-net-pci-transitional,netdev=n" MEMORY("1024M")
		" -global virtio-net-pci-transitional.vectors=0", NULL, {7, 2}, true},
	/* By the name of kvm QEMU falls back. */
	{"/usr/bin/kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"/usr/bin/kvm -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n" MEMORY("1024M") NO_MSIX,
		NULL, {7, 2}},
	{"/usr/bin/kvm -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n",
		"/usr/bin/kvm -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n" MEMORY("1024M"), NULL,
		{7, 2}, true},
	{"qemu-system-x86_64 -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n,vectors=0",
		"qemu-system-x86_64 -m 1G " VHOST("n", "50") " -device virtio-net-pci,netdev=n,vectors=0"
		MEMORY("1024M"), NULL, {7, 2}},
	{"qemu-system-x86_64 -m 1G -netdev user,id=n -device virtio-net-pci,netdev=n,vectors=4", NULL,
		"7.2 without KVM", {7, 2}},

	/* Names that are taken. */
	{"kvm -m 1G -chardev null,id=n-socket -netdev user,id=n -device virtio-net-pci,netdev=n",
		"kvm -m 1G -chardev null,id=n-socket -chardev socket,id=n-socket-,path=/proc/self/fd/50,reconnect=1 "
		"-netdev vhost-user,id=n,chardev=n-socket- -device virtio-net-pci,netdev=n" MEMORY("1024M"), NULL,
		{9, 1}},
};

static unsigned int split(char *line, char **argv)
{
	unsigned int n = 0;

	for (char *p = strtok(line, " "); p; p = strtok(NULL, " ")) {
		assert_true(n < ARGS_MAX - 1);
		argv[n++] = p;
	}
	argv[n] = NULL;
	return n;
}

static char *text_of(const struct qemu_plan *p)
{
	static const int fds[] = {50, 51, 52, 53};
	struct qemu_text t = {0};
	char **argv = qemu_plan_argv(p, fds);

	assert_non_null(argv);
	for (char **a = argv; *a; a++)
		qemu_text_addf(&t, "%s%s", a == argv ? "" : " ", *a);
	argv = qemu_argv_free(argv);
	assert_false(t.bad);
	return t.p;
}

static void make(const char *line, char *copy, size_t n, const struct qemu_version *v, struct qemu_plan *ret)
{
	struct qemu_error e;
	struct qemu_line l = {0};
	char *argv[ARGS_MAX];

	(void)snprintf(copy, n, "%s", line);
	assert_int_equal(qemu_line_parse((int)split(copy, argv), argv, &l, &e), 0);
	assert_int_equal(qemu_plan_make(&l, v, ret, &e), 0);
	qemu_line_done(&l);
}

static void run_sample(const struct sample *s)
{
	struct qemu_vhost_options o = {.has_kvm = s->has_kvm || strncmp(s->line, "kvm ", 4) == 0};
	struct qemu_version v = s->version;
	struct qemu_plan p = {0};
	unsigned int n_streams = 0;
	char copy[1024], *before, *after;

	if (!v.major)
		v = (struct qemu_version){10, 0};
	else if (v.major == 1)
		v = (struct qemu_version){0, 0};
	make(s->line, copy, sizeof(copy), &v, &p);
	before = text_of(&p);
	assert_int_equal(qemu_vhost_apply(&p, &v, &o), 0);
	after = text_of(&p);
	assert_string_equal(after, s->expect ? s->expect : before);
	for (unsigned int i = 0; i < p.n_networks; i++) {
		n_streams += !p.networks[i].by_vhost;
		assert_int_equal(p.networks[i].by_vhost, !p.networks[i].why_stream[0]);
		if (!p.networks[i].by_vhost && !strstr(p.networks[i].why_stream, s->why ? s->why : "-"))
			fail_msg("%s: %s", s->line, p.networks[i].why_stream);
	}
	assert_int_equal(n_streams, s->why ? 1 : 0);
	free(before);
	free(after);
	qemu_plan_done(&p);
}

static void test_samples(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(samples); i++)
		run_sample(&samples[i]);
}

static void test_off(void **state)
{
	struct qemu_vhost_options o = {.off = true};
	struct qemu_version v = {10, 0};
	struct qemu_plan p = {0};
	char copy[256], *text;

	make("kvm -m 1G -nic user,model=virtio", copy, sizeof(copy), &v, &p);
	assert_int_equal(qemu_vhost_apply(&p, &v, &o), 0);
	text = text_of(&p);
	assert_string_equal(text, "kvm -m 1G -nic socket,fd=50,model=virtio");
	assert_false(p.networks[0].by_vhost);
	assert_string_equal(p.networks[0].why_stream, "");
	free(text);
	qemu_plan_done(&p);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} sizes[] = {
		{"1", 1 << 20}, {"2048", (uint64_t)2 << 30}, {"2048M", (uint64_t)2 << 30},
		{"2g", (uint64_t)2 << 30}, {"1.5G", (uint64_t)3 << 29}, {"1T", (uint64_t)1 << 40},
		{"2097152B", 2 << 20}, {"2097153B", (2 << 20) + 8192}, {"", 0}, {"G", 0}, {"1GB", 0}, {"1GiB", 0},
		{"1 G", 0}, {"-1", 0}, {"1..5G", 0}, {".", 0}, {"1E", (uint64_t)1 << 60}, {"8E", 0},
		{"99999999999999999999E", 0}, {"1p", (uint64_t)1 << 50}, {"0x10", 0}, {"1e3", 0}, {"nan", 0},
		{"512K", 0}, {"1024k", 1 << 20},
	};
	uint64_t bytes;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		bool ok = qemu_memory_parse(sizes[i].text, &bytes);

		if (ok != (sizes[i].bytes != 0) || (ok && bytes != sizes[i].bytes))
			fail_msg("%s: %d %llu", sizes[i].text, ok, ok ? (unsigned long long)bytes : 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
