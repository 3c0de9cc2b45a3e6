/* SPDX-License-Identifier: Apache-2.0 */
/* ARP, answered where it is asked. Nothing is learnt and nothing is flooded. */
#ifndef UNDERLAY_ARP_H
#define UNDERLAY_ARP_H

#include <linux/pkt_cls.h>

#include "groups.h"
#include "services.h"

/* <linux/if_arp.h> needs the C library. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));

static __always_inline int read_request(struct __sk_buff *skb, struct arp *arp)
{
	return bpf_skb_load_bytes(skb, ETH_HLEN, arp, sizeof(*arp)) == 0 &&
	       arp->hardware == bpf_htons(ARPHRD_ETHER) && arp->protocol == bpf_htons(ETH_P_IP) &&
	       arp->hardware_length == ETH_ALEN && arp->protocol_length == 4 &&
	       arp->operation == bpf_htons(ARPOP_REQUEST);
}

static __always_inline struct address address_of(const __u8 *bytes)
{
	__be32 address;

	__builtin_memcpy(&address, bytes, sizeof(address));
	return v4_mapped(address);
}

/* Turns the request into its answer and hands it back. Not by sending it: a device that was just set up does not send
 * until the kernel's link watch has run, and a lost answer costs the asker a second. */
static __always_inline int send_answer(struct __sk_buff *skb, struct arp *arp, __u32 vlan, const __u8 *mac)
{
	__u8 target[4];

	__builtin_memcpy(target, arp->target, sizeof(target));
	arp->operation = bpf_htons(ARPOP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	__builtin_memcpy(arp->target, arp->sender, sizeof(target));
	__builtin_memcpy(arp->sender_mac, mac, ETH_ALEN);
	__builtin_memcpy(arp->sender, target, sizeof(target));
	if (bpf_skb_store_bytes(skb, ETH_HLEN, arp, sizeof(*arp), 0))
		return TC_ACT_SHOT;
	count(ARP_ANSWERED);
	return deliver_tagged(skb, skb->ifindex, vlan, arp->target_mac, mac);
}

static __always_inline int ignore_arp(void)
{
	count(ARP_IGNORED);
	return TC_ACT_SHOT;
}

static __always_inline int answer_arp(struct __sk_buff *skb, __u32 eni, const struct port *port)
{
	struct arp arp;
	struct address target;
	struct port *peer;
	__u32 owner;

	if (!read_request(skb, &arp))
		return ignore_arp();
	target = address_of(arp.target);
	/* The router comes first: its address is never an ENI's. */
	if (is_same(&target, &port->router) || is_service_of(port, &target))
		return send_answer(skb, &arp, port->vlan, port->gateway_mac);
	owner = eni_of(port->vpc, &target);
	/* Asking for an address of one's own is a probe or an announcement. */
	if (!owner || owner == eni)
		return ignore_arp();
	peer = bpf_map_lookup_elem(&ports, &owner);
	/* Only neighbours are asked for: who else is reached by the router. */
	if (!peer || peer->subnet != port->subnet)
		return ignore_arp();
	return send_answer(skb, &arp, port->vlan, peer->mac);
}

static __always_inline int answer_service_arp(struct __sk_buff *skb, const struct settings *settings)
{
	struct address target;
	struct arp arp;

	if (!read_request(skb, &arp))
		return ignore_arp();
	target = address_of(arp.target);
	if (is_service(&target))
		return ignore_arp();
	return send_answer(skb, &arp, 0, settings->services_gateway_mac);
}

#endif
