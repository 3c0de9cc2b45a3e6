/* SPDX-License-Identifier: Apache-2.0 */
/* What the router answers to a packet that does not fit the way beyond it. */
#ifndef UNDERLAY_TOO_BIG_H
#define UNDERLAY_TOO_BIG_H

#include "neighbours.h"
#include "track.h"

#define ICMP_FRAG_NEEDED 4
#define ICMPV6_PACKET_TOO_BIG 2
#define ROUTER_TTL 255
/* Of the packet that did not fit: its headers and the ports. The stack has no room for more. */
#define QUOTE 64

struct too_big_v4 {
	struct iphdr ip;
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be16 unused;
	__be16 mtu;
	__u8 quote[QUOTE];
};

struct too_big_v6 {
	struct ipv6_header ip;
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 mtu;
	__u8 quote[QUOTE];
};

_Static_assert(sizeof(struct too_big_v4) == 20 + 8 + QUOTE, "no padding");
_Static_assert(sizeof(struct too_big_v6) == 40 + 8 + QUOTE, "no padding");

static __attribute__((noinline)) int answer_too_big_v4(struct __sk_buff *skb, const struct port *port,
						       const struct packet *packet, __u32 mtu)
{
	struct too_big_v4 answer = {};

	if (bpf_skb_load_bytes(skb, IP_OFFSET, answer.quote, QUOTE))
		return TC_ACT_SHOT;
	answer.ip.version = 4;
	answer.ip.ihl = 5;
	answer.ip.tot_len = bpf_htons(sizeof(answer));
	answer.ip.ttl = ROUTER_TTL;
	answer.ip.protocol = IPPROTO_ICMP;
	answer.ip.saddr = port->router.words[3];
	answer.ip.daddr = packet->source.words[3];
	answer.ip.check = folded(bpf_csum_diff(0, 0, (__be32 *)&answer.ip, sizeof(answer.ip), 0));
	answer.type = ICMP_DEST_UNREACH;
	answer.code = ICMP_FRAG_NEEDED;
	answer.mtu = bpf_htons(mtu);
	answer.checksum = folded(
		bpf_csum_diff(0, 0, (__be32 *)&answer.type, sizeof(answer) - sizeof(answer.ip), 0));
	return hand_back(skb, port, &answer, sizeof(answer), port->gateway_mac);
}

/* From the second address of the subnet, which is the router's: from a link-local one it would not be forwarded to
 * whoever lives behind the instance. */
static __attribute__((noinline)) int answer_too_big_v6(struct __sk_buff *skb, const struct port *port,
						       const struct packet *packet, __u32 mtu)
{
	struct too_big_v6 answer = {};
	struct address router = router_of(port, 1);

	if (bpf_skb_load_bytes(skb, IP_OFFSET, answer.quote, QUOTE))
		return TC_ACT_SHOT;
	address_answer(&answer.ip, sizeof(answer), &router, &packet->source);
	answer.type = ICMPV6_PACKET_TOO_BIG;
	answer.mtu = bpf_htonl(mtu);
	answer.checksum = icmpv6_checksum(&answer, sizeof(answer));
	return hand_back(skb, port, &answer, sizeof(answer), port->gateway_mac);
}

/* The answer is ICMP that arrives at the ENI: it passes with a tracked flow, else by rule; and the ACL is asked, which
 * keeps no state. The router's own packets are not in flow logs. */
VERIFIED_ONCE int may_be_told(__u32 eni, const struct packet *packet, int tracked)
{
	struct port *port = bpf_map_lookup_elem(&ports, &eni);
	struct packet answer = {
		.l4.icmp_type = ICMP_DEST_UNREACH,
		.l4.icmp_code = ICMP_FRAG_NEEDED,
		.protocol = IPPROTO_ICMP,
	};

	if (!port || !packet)
		return 0;
	answer.source = router_of(port, packet->is_v6);
	answer.destination = packet->source;
	if (packet->is_v6) {
		answer.is_v6 = 1;
		answer.l4.icmp_type = ICMPV6_PACKET_TOO_BIG;
		answer.l4.icmp_code = 0;
		answer.protocol = IPPROTO_ICMPV6;
	}
	if (!acl_allows(port->acl, &answer, INGRESS))
		return 0;
	return tracked || (groups_say(&answer, eni, INGRESS) & GROUPS_ALLOW);
}

VERIFIED_ONCE int answer_too_big(struct __sk_buff *skb, __u32 eni, const struct packet *packet, __u32 mtu,
				 int tracked)
{
	struct port *port = bpf_map_lookup_elem(&ports, &eni);

	if (!port || !packet)
		return TC_ACT_SHOT;
	if (!may_be_told(eni, packet, tracked)) {
		count(DROP_MTU);
		return TC_ACT_SHOT;
	}
	count(TOO_BIG_ANSWERED);
	if (packet->is_v6)
		return answer_too_big_v6(skb, port, packet, mtu);
	return answer_too_big_v4(skb, port, packet, mtu);
}

#endif
