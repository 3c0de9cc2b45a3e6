/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour and router discovery of IPv6 (RFC 4861), answered where it is asked. Nothing is learnt and nothing is
 * flooded. */
#ifndef UNDERLAY_NEIGHBOURS_H
#define UNDERLAY_NEIGHBOURS_H

#include <linux/pkt_cls.h>

#include "deliver.h"
#include "groups.h"
#include "services.h"

#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERTISE 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERTISE 136
#define ND_REDIRECT 137
#define ND_HOP_LIMIT 255

#define ND_ROUTER 0x80000000
#define ND_SOLICITED 0x40000000
#define ND_OVERRIDE 0x20000000
#define ND_OPTION_SOURCE 1
#define ND_OPTION_TARGET 2
#define ND_OPTION_PREFIX 3
#define ND_ON_LINK 0x80
#define RA_MANAGED 0x80
#define RA_LIFETIME_SECONDS 1800
#define FOREVER 0xffffffff

struct nd_solicit {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags;
	struct address target;
};

struct nd_link_option {
	__u8 type;
	__u8 length; /* of 8 bytes each */
	__u8 mac[ETH_ALEN];
};

struct nd_advertise {
	struct ipv6_header ip;
	struct nd_solicit message;
	struct nd_link_option target;
};

struct nd_router_advertise {
	struct ipv6_header ip;
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u8 hop_limit;
	__u8 flags;
	__be16 lifetime;
	__be32 reachable;
	__be32 retransmit;
	struct nd_link_option source;
	__u8 prefix_type;
	__u8 prefix_length;
	__u8 prefix_bits;
	__u8 prefix_flags;
	__be32 valid;
	__be32 preferred;
	__be32 reserved;
	struct address prefix;
};

_Static_assert(sizeof(struct nd_advertise) == 40 + 24 + 8, "no padding");
_Static_assert(sizeof(struct nd_router_advertise) == 40 + 16 + 8 + 32, "no padding");

static __always_inline int is_discovery(const struct packet *packet)
{
	return packet->is_v6 && packet->protocol == IPPROTO_ICMPV6 &&
	       packet->l4.icmp_type >= ND_ROUTER_SOLICIT && packet->l4.icmp_type <= ND_REDIRECT;
}

/* fe80:ec2::1, which every subnet's router has. */
static __always_inline struct address router_link_local(void)
{
	struct address address = { .words = { __bpf_constant_htonl(0xfe800ec2), 0, 0,
					      __bpf_constant_htonl(1) } };

	return address;
}

/* And the one made of its Ethernet address (RFC 4291, appendix A). */
static __always_inline struct address link_local_of(const __u8 *mac)
{
	struct address address = {
		.words = { __bpf_constant_htonl(0xfe800000), 0,
			   bpf_htonl(((mac[0] ^ 2) << 24) | (mac[1] << 16) | (mac[2] << 8) | 0xff),
			   bpf_htonl((0xfeU << 24) | (mac[3] << 16) | (mac[4] << 8) | mac[5]) }
	};

	return address;
}

static __always_inline int is_router(const struct address *address, const struct port *port)
{
	struct address link_local = router_link_local(), made = link_local_of(port->gateway_mac);

	return is_same(address, &link_local) || is_same(address, &made) || is_same(address, &port->router);
}

/* RFC 4443 section 2.3. `message` begins with an IPv6 header and has `length` bytes, a multiple of 4. */
static __always_inline __u16 icmpv6_checksum(const void *message, __u32 length)
{
	const struct ipv6_header *ip = message;
	__u32 words[2] = { bpf_htonl(length - sizeof(*ip)), bpf_htonl(IPPROTO_ICMPV6) };
	__s64 sum;

	sum = bpf_csum_diff(0, 0, (__be32 *)&ip->source, 2 * sizeof(ip->source), 0);
	sum = bpf_csum_diff(0, 0, words, sizeof(words), sum);
	sum = bpf_csum_diff(0, 0, (__be32 *)(message + sizeof(*ip)), length - sizeof(*ip), sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static __always_inline void address_answer(struct ipv6_header *ip, __u32 message,
					   const struct address *source, const struct address *destination)
{
	ip->version_class = 0x60;
	ip->class_label = 0;
	ip->label = 0;
	ip->payload_length = bpf_htons(message - sizeof(*ip));
	ip->next_header = IPPROTO_ICMPV6;
	ip->hop_limit = ND_HOP_LIMIT;
	ip->source = *source;
	ip->destination = *destination;
}

/* Replaces the packet by `answer`, and hands it back to the asker. */
static __always_inline int hand_back(struct __sk_buff *skb, const struct port *port, const void *answer,
				     __u32 length, const __u8 *from_mac)
{
	if (bpf_skb_change_tail(skb, IP_OFFSET + length, 0) ||
	    bpf_skb_store_bytes(skb, IP_OFFSET, answer, length, 0))
		return TC_ACT_SHOT;
	return deliver_to(skb, port, from_mac);
}

static __always_inline int ignore_neighbour(void)
{
	count(NEIGHBOUR_IGNORED);
	return TC_ACT_SHOT;
}

static __attribute__((noinline)) int advertise_neighbour(struct __sk_buff *skb, const struct port *port,
							 const struct packet *packet,
							 const struct address *target,
							 const __u8 *mac)
{
	struct nd_advertise answer = {};
	__u32 flags = ND_SOLICITED | ND_OVERRIDE;

	if (mac == port->gateway_mac)
		flags |= ND_ROUTER;
	address_answer(&answer.ip, sizeof(answer), target, &packet->source);
	answer.message.type = ND_NEIGHBOUR_ADVERTISE;
	answer.message.flags = bpf_htonl(flags);
	answer.message.target = *target;
	answer.target.type = ND_OPTION_TARGET;
	answer.target.length = 1;
	__builtin_memcpy(answer.target.mac, mac, ETH_ALEN);
	answer.message.checksum = icmpv6_checksum(&answer, sizeof(answer));
	count(NEIGHBOUR_ANSWERED);
	return hand_back(skb, port, &answer, sizeof(answer), mac);
}

static __always_inline int answer_neighbour(struct __sk_buff *skb, __u32 eni, const struct port *port,
					    const struct packet *packet)
{
	struct nd_solicit question;
	struct address target;
	struct port *peer;
	__u32 owner;

	/* An address that is being tried out (its own, then) has nobody to answer to. */
	if (bpf_skb_load_bytes(skb, packet->l4_offset, &question, sizeof(question)) ||
	    !(packet->source.words[0] | packet->source.words[3]))
		return ignore_neighbour();
	target = question.target;
	if (is_router(&target, port) || is_service_of(port, &target))
		return advertise_neighbour(skb, port, packet, &target, port->gateway_mac);
	owner = eni_of(port->vpc, &target);
	if (!owner || owner == eni)
		return ignore_neighbour();
	peer = bpf_map_lookup_elem(&ports, &owner);
	if (!peer || peer->subnet != port->subnet)
		return ignore_neighbour();
	return advertise_neighbour(skb, port, packet, &target, peer->mac);
}

/* EC2's router says that addresses are had by DHCPv6 and which block is on the link. Lifetime and flags are what
 * instances are seen to get; no document gives them. */
static __attribute__((noinline)) int advertise_router(struct __sk_buff *skb, const struct port *port,
						      const struct packet *packet)
{
	struct nd_router_advertise answer = {};
	struct address router = link_local_of(port->gateway_mac);

	address_answer(&answer.ip, sizeof(answer), &router, &packet->source);
	answer.type = ND_ROUTER_ADVERTISE;
	answer.hop_limit = ND_HOP_LIMIT;
	answer.flags = RA_MANAGED;
	answer.lifetime = bpf_htons(RA_LIFETIME_SECONDS);
	answer.source.type = ND_OPTION_SOURCE;
	answer.source.length = 1;
	__builtin_memcpy(answer.source.mac, port->gateway_mac, ETH_ALEN);
	answer.prefix_type = ND_OPTION_PREFIX;
	answer.prefix_length = 4;
	answer.prefix_bits = port->v6_bits;
	answer.prefix_flags = ND_ON_LINK;
	answer.valid = FOREVER;
	answer.preferred = FOREVER;
	answer.prefix = port->subnet_v6;
	answer.checksum = icmpv6_checksum(&answer, sizeof(answer));
	count(ROUTER_ADVERTISED);
	return hand_back(skb, port, &answer, sizeof(answer), port->gateway_mac);
}

VERIFIED_ONCE int answer_discovery(struct __sk_buff *skb, __u32 eni, const struct packet *packet)
{
	struct port *port = bpf_map_lookup_elem(&ports, &eni);
	__u8 hop_limit = 0;

	if (!port || !packet)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, IP_OFFSET + __builtin_offsetof(struct ipv6_header, hop_limit),
			       &hop_limit, 1) ||
	    hop_limit != ND_HOP_LIMIT || packet->l4.icmp_code)
		return ignore_neighbour();
	if (packet->l4.icmp_type == ND_NEIGHBOUR_SOLICIT)
		return answer_neighbour(skb, eni, port, packet);
	/* To an address, so from one: the asker asks again once it has its own. */
	if (packet->l4.icmp_type == ND_ROUTER_SOLICIT && port->v6_bits && packet->source.words[0])
		return advertise_router(skb, port, packet);
	return ignore_neighbour();
}

#endif
