/* SPDX-License-Identifier: Apache-2.0 */
/* Handing a packet to the namespace at the other end of a device. */
#ifndef UNDERLAY_DELIVER_H
#define UNDERLAY_DELIVER_H

#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "packet.h"

static __always_inline __u16 folded(__s64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* Checksums and segmentation stay as the sender's stack left them: a veth takes both as they are. */
static __always_inline int deliver_tagged(struct __sk_buff *skb, __u32 ifindex, __u32 vlan, const __u8 *to_mac,
					  const __u8 *from_mac)
{
	__u8 macs[2 * ETH_ALEN];

	__builtin_memcpy(macs, to_mac, ETH_ALEN);
	__builtin_memcpy(macs + ETH_ALEN, from_mac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return TC_ACT_SHOT;
	if (vlan && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), vlan))
		return TC_ACT_SHOT;
	/* The kernel judged the type by the fabric's own device. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

static __always_inline int deliver(struct __sk_buff *skb, __u32 ifindex, const __u8 *to_mac,
				   const __u8 *from_mac)
{
	return deliver_tagged(skb, ifindex, 0, to_mac, from_mac);
}

/* To an ENI's owner, a branch's with its tag. */
static __always_inline int deliver_to(struct __sk_buff *skb, const struct port *port, const __u8 *from_mac)
{
	return deliver_tagged(skb, port->ifindex, port->vlan, port->mac, from_mac);
}

static __always_inline int drop(__u32 counter)
{
	count(counter);
	return TC_ACT_SHOT;
}

#endif
