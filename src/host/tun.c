/* SPDX-License-Identifier: BSD-2-Clause */
#include "tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define HEADER_BYTES 10 /* struct virtio_net_hdr; another QEMU may have left another length */

int tun_open_queue(char name[IFNAMSIZ], const struct tun_options *o)
{
	_cleanup_close_ int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	unsigned int features = 0;
	int n_bytes = HEADER_BYTES;

	if (fd < 0)
		return -errno;
	(void)snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (o->vnet_hdr && ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR))
		r.ifr_flags |= IFF_VNET_HDR;
	else if (o->vnet_hdr_required)
		return -EOPNOTSUPP;
	if (o->multi_queue)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		return -errno;
	if (r.ifr_flags & IFF_VNET_HDR)
		(void)ioctl(fd, TUNSETVNETHDRSZ, &n_bytes);
	(void)snprintf(name, IFNAMSIZ, "%s", r.ifr_name);
	return TAKE_FD(fd);
}
