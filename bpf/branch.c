// SPDX-License-Identifier: Apache-2.0
/* Pods on branch ENIs: the tag of 802.1Q, without the kernel's vlan devices.
 *
 * Both programs stand at the device of a trunk ENI. `to_trunk`, at its egress, gives packets that have the mark of a branch
 * the branch's Ethernet address and its tag. `from_trunk`, at its ingress, takes the tag off and hands the packet to the
 * node's stack, which knows the pod. So Services, tracking and all other rules of the node apply as to any pod.
 *
 * The router of a branch is asked for by the node's own ARP: the next hop of the branch's routes is an alias, which has the
 * tag in its low bits. The question leaves as the branch's, for the real router; its answer comes back as the alias'. Over
 * IPv6 the same is done with neighbour discovery (branch_discovery.h). */
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "branch.h"
#include "branch_discovery.h"

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
	__uint(max_entries, 4096);
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
	if (!branch || !branch->address)
		return drop(DROP_UNKNOWN_BRANCH);
	__builtin_memcpy(arp.sender_mac, branch->mac, ETH_ALEN);
	arp.sender = branch->address;
	arp.target = branch->router;
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return send(skb, branch, vlan, ROUTER_ASKED);
}

/* The same over IPv6. */
static __always_inline int ask_router_v6(struct __sk_buff *skb)
{
	static const __u8 solicited_mac[ETH_ALEN] = { 0x33, 0x33, 0xff, 0, 0, 1 };
	struct solicitation asked;
	struct branch *branch;
	__u32 vlan;

	/* The shortest question. */
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &asked, sizeof(struct advertisement)) ||
	    asked.ip.next_header != IPPROTO_ICMPV6 || asked.message.type != NEIGHBOUR_SOLICIT ||
	    !is_alias_v6(&asked.message.target))
		return TC_ACT_UNSPEC;
	vlan = bpf_ntohl(asked.message.target.words[3]);
	branch = branch_of(skb, vlan);
	/* The kernel asks with its Ethernet address, but for an address that it only tries out. */
	if (!branch || is_none_v6(&branch->address_v6) || asked.ip.hop_limit != FROM_THE_LINK ||
	    asked.ip.payload_length != bpf_htons(sizeof(asked) - sizeof(asked.ip)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &asked, sizeof(asked)) || asked.option != OPTION_SOURCE_MAC)
		return drop(DROP_UNKNOWN_BRANCH);
	branch->asker = asked.ip.source;
	if ((bpf_ntohl(asked.ip.destination.words[0]) >> 24) == 0xff &&
	    bpf_skb_store_bytes(skb, 0, solicited_mac, ETH_ALEN, 0))
		return TC_ACT_SHOT;
	ask_as_branch(&asked, branch);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &asked, sizeof(asked), 0))
		return TC_ACT_SHOT;
	return send(skb, branch, vlan, ROUTER_ASKED);
}

static __always_inline int is_from(struct __sk_buff *skb, const struct branch *branch)
{
	struct header_v6 ip_v6;
	struct iphdr ip;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		return branch->address && !bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) &&
		       ip.saddr == branch->address;
	return !is_none_v6(&branch->address_v6) && !bpf_skb_load_bytes(skb, ETH_HLEN, &ip_v6, sizeof(ip_v6)) &&
	       is_same_v6(&ip_v6.source, &branch->address_v6);
}

static __always_inline int is_ip(const struct __sk_buff *skb)
{
	return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}

SEC("classifier")
int to_trunk(struct __sk_buff *skb)
{
	__u32 vlan = (skb->mark >> BRANCH_MARK_SHIFT) & BRANCH_VLAN_MASK;
	struct branch *branch;

	if (skb->protocol == bpf_htons(ETH_P_ARP) && !skb->vlan_present)
		return ask_router(skb);
	if (!(skb->mark & BRANCH_MARK)) {
		if (skb->protocol == bpf_htons(ETH_P_IPV6) && !skb->vlan_present)
			return ask_router_v6(skb);
		return TC_ACT_UNSPEC;
	}
	/* From here on nothing leaves without a tag: as the trunk's own it would pass other groups. */
	branch = branch_of(skb, vlan);
	if (!branch || skb->vlan_present)
		return drop(DROP_UNKNOWN_BRANCH);
	if (!is_ip(skb))
		return drop(DROP_NOT_IP);
	if (!is_from(skb, branch))
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

	if (!read_arp(skb, &arp, ARPOP_REPLY) || !branch->address || arp.sender != branch->router)
		return TC_ACT_SHOT;
	arp.sender = bpf_htonl(ROUTER_ALIAS_BASE | vlan);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return receive(skb);
}

/* The same over IPv6. */
static __always_inline int hear_router_v6(struct __sk_buff *skb, const struct branch *branch, __u32 vlan,
					  struct advertisement *answer)
{
	struct address_v6 router = router_v6(), asked_as = link_local_of(branch->mac);

	if (answer->message.type != NEIGHBOUR_ADVERTISE || answer->message.code ||
	    answer->ip.hop_limit != FROM_THE_LINK || !is_same_v6(&answer->message.target, &router) ||
	    !is_same_v6(&answer->ip.destination, &asked_as) || is_none_v6(&branch->asker))
		return TC_ACT_SHOT;
	answer_as_alias(answer, branch, vlan);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, answer, sizeof(*answer), BPF_F_RECOMPUTE_CSUM))
		return TC_ACT_SHOT;
	return receive(skb);
}

static __always_inline int receive_v6(struct __sk_buff *skb, const struct branch *branch, __u32 vlan)
{
	struct advertisement packet;
	struct header_v6 ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return drop(DROP_FOREIGN_ADDRESS);
	/* What is too short for an answer may be a pod's. */
	if (ip.next_header == IPPROTO_ICMPV6 && !bpf_skb_load_bytes(skb, ETH_HLEN, &packet, sizeof(packet)) &&
	    is_discovery(&packet))
		return hear_router_v6(skb, branch, vlan, &packet);
	if (is_none_v6(&branch->address_v6) || !is_same_v6(&ip.destination, &branch->address_v6))
		return drop(DROP_FOREIGN_ADDRESS);
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
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return receive_v6(skb, branch, vlan);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_NOT_IP);
	if (!branch->address || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.daddr != branch->address)
		return drop(DROP_FOREIGN_ADDRESS);
	return receive(skb);
}

char LICENSE[] SEC("license") = "GPL";
