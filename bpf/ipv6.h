/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of IPv6. */
#ifndef UNDERLAY_IPV6_H
#define UNDERLAY_IPV6_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "fabric.h"

/* <linux/in6.h> needs the C library. */
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60

#define V6_EXTENSIONS 6
#define V6_FRAGMENT_OFFSET 0xfff8
#define V6_FRAGMENT_MORE 1

struct ipv6_header {
	__u8 version_class;
	__u8 class_label;
	__be16 label;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	struct address source;
	struct address destination;
};

/* Where the transport header begins. */
struct v6_walk {
	__u32 offset;
	__be32 fragment_id;
	__u16 fragment; /* offset and flag, host order; 0 when it is no fragment */
	__u8 next;
	__u8 pad;
};

/* Passes over extension headers. 0 for a packet with too many, with a routing header of the retired type 0 (RFC 5095),
 * or one that ends within them. Global, so that it is verified once. */
__attribute__((noinline)) int walk_v6(struct __sk_buff *skb, struct v6_walk *walk)
{
	__u8 head[8];
	int i;

	if (!walk)
		return 0;
	walk->fragment = 0;
	walk->fragment_id = 0;
	for (i = 0; i < V6_EXTENSIONS; i++) {
		__u8 next = walk->next;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_FRAGMENT &&
		    next != IPPROTO_DSTOPTS)
			return 1;
		if (bpf_skb_load_bytes(skb, walk->offset, head, sizeof(head)))
			return 0;
		if (next == IPPROTO_ROUTING && head[2] == 0)
			return 0;
		walk->next = head[0];
		if (next != IPPROTO_FRAGMENT) {
			walk->offset += (head[1] + 1) * 8;
			continue;
		}
		walk->offset += sizeof(head);
		walk->fragment = bpf_ntohs(*(__be16 *)&head[2]);
		walk->fragment_id = *(__be32 *)&head[4];
		/* Behind the first fragment's header nothing can be read. */
		if (walk->fragment & V6_FRAGMENT_OFFSET)
			return 1;
	}
	return 0;
}

#endif
