// SPDX-License-Identifier: Apache-2.0
/* Pods on branch ENIs: the tag of 802.1Q, without the kernel's vlan devices.
 *
 * Both programs stand at the device of a trunk ENI. `to_trunk`, at its egress, gives packets that have the mark of a branch
 * the branch's Ethernet address and its tag. `from_trunk`, at its ingress, takes the tag off and hands the packet to the
 * node's stack, which knows the pod. So Services, tracking and all other rules of the node apply as to any pod.
 *
 * The router of a branch is asked for by the node's own ARP: the next hop of the branch's routes is an alias, which has the
 * tag in its low bits. The question leaves as the branch's, for the real router; its answer comes back as the alias'. */
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "branch.h"

/* <linux/if_arp.h> needs the C library. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2
#define SOURCE_MAC ETH_ALEN

struct arp {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct branch_key);
	__type(value, struct branch);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} branches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, COUNTERS);
} branch_counters SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&branch_counters, &counter);

	if (value)
		*value += 1;
}

static __always_inline int drop(__u32 counter)
{
	count(counter);
	return TC_ACT_SHOT;
}

static __always_inline struct branch *branch_of(struct __sk_buff *skb, __u32 vlan)
{
	struct branch_key key = { .trunk = skb->ifindex, .vlan = vlan };

	return bpf_map_lookup_elem(&branches, &key);
}

static __always_inline int read_arp(struct __sk_buff *skb, struct arp *arp, __u16 operation)
{
	return bpf_skb_load_bytes(skb, ETH_HLEN, arp, sizeof(*arp)) == 0 &&
	       arp->hardware == bpf_htons(ARPHRD_ETHER) && arp->protocol == bpf_htons(ETH_P_IP) &&
	       arp->hardware_length == ETH_ALEN && arp->protocol_length == 4 &&
	       arp->operation == bpf_htons(operation);
}

/* Sends the frame as the branch's. */
static __always_inline int send(struct __sk_buff *skb, const struct branch *branch, __u32 vlan, __u32 counter)
{
	if (bpf_skb_store_bytes(skb, SOURCE_MAC, branch->mac, ETH_ALEN, 0) ||
	    bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), vlan))
		return TC_ACT_SHOT;
	count(counter);
	return TC_ACT_UNSPEC;
}

/* The node asks for an alias: the branch asks for its router. Other questions are the trunk's own. */
static __always_inline int ask_router(struct __sk_buff *skb)
{
	struct branch *branch;
	struct arp arp;
	__u32 target, vlan;

	if (!read_arp(skb, &arp, ARPOP_REQUEST))
		return TC_ACT_UNSPEC;
	target = bpf_ntohl(arp.target);
	if ((target & ~BRANCH_VLAN_MASK) != ROUTER_ALIAS_BASE)
		return TC_ACT_UNSPEC;
	vlan = target & BRANCH_VLAN_MASK;
	branch = branch_of(skb, vlan);
	if (!branch)
		return drop(DROP_UNKNOWN_BRANCH);
	__builtin_memcpy(arp.sender_mac, branch->mac, ETH_ALEN);
	arp.sender = branch->address;
	arp.target = branch->router;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return send(skb, branch, vlan, ROUTER_ASKED);
}

SEC("classifier")
int to_trunk(struct __sk_buff *skb)
{
	__u32 vlan = (skb->mark >> BRANCH_MARK_SHIFT) & BRANCH_VLAN_MASK;
	struct branch *branch;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_ARP) && !skb->vlan_present)
		return ask_router(skb);
	if (!(skb->mark & BRANCH_MARK))
		return TC_ACT_UNSPEC;
	/* From here on nothing leaves without a tag: as the trunk's own it would pass other groups. */
	branch = branch_of(skb, vlan);
	if (!branch || skb->vlan_present)
		return drop(DROP_UNKNOWN_BRANCH);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_NOT_IPV4);
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.saddr != branch->address)
		return drop(DROP_FOREIGN_ADDRESS);
	return send(skb, branch, vlan, SENT);
}

/* Hands the packet to the node's stack. The kernel judged its type by the trunk's own Ethernet address. */
static __always_inline int receive(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		return TC_ACT_SHOT;
	count(RECEIVED);
	return TC_ACT_UNSPEC;
}

/* The router's answer, as the alias'. Nobody else is asked, and questions are the VPC's to answer. */
static __always_inline int hear_router(struct __sk_buff *skb, const struct branch *branch, __u32 vlan)
{
	struct arp arp;

	if (!read_arp(skb, &arp, ARPOP_REPLY) || arp.sender != branch->router)
		return TC_ACT_SHOT;
	arp.sender = bpf_htonl(ROUTER_ALIAS_BASE | vlan);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return receive(skb);
}

SEC("classifier")
int from_trunk(struct __sk_buff *skb)
{
	__u32 vlan = skb->vlan_tci & 0xfff;
	struct branch *branch;
	struct iphdr ip;

	/* Not tagged, or with a tag that is somebody else's. */
	if (!skb->vlan_present || skb->vlan_proto != bpf_htons(ETH_P_8021Q))
		return TC_ACT_UNSPEC;
	branch = branch_of(skb, vlan);
	if (!branch)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return hear_router(skb, branch, vlan);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_NOT_IPV4);
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.daddr != branch->address)
		return drop(DROP_FOREIGN_ADDRESS);
	return receive(skb);
}

char LICENSE[] SEC("license") = "GPL";
