/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the ends of a packet. Checksums follow; one that the sender left to the device stays so. */
#ifndef UNDERLAY_REWRITE_H
#define UNDERLAY_REWRITE_H

#include <linux/tcp.h>
#include <linux/udp.h>

#include "packet.h"

#define ICMP_CHECK 2
#define ICMP_ID 4

enum end { SOURCE_END, DESTINATION_END };

/* Where the transport's checksum is, with the flags of its update; 0 when there is none. */
static __always_inline __u32 check_of(const struct packet *packet, __u64 *flags)
{
	if (packet->later_fragment)
		return 0;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return packet->l4_offset + __builtin_offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		*flags |= BPF_F_MARK_MANGLED_0;
		return packet->l4_offset + __builtin_offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return packet->l4_offset + ICMP_CHECK;
	default:
		return 0;
	}
}

static __always_inline int replace_v6(struct __sk_buff *skb, const struct packet *packet, enum end end,
				      const struct address *old, const struct address *new)
{
	__u32 offset = end == SOURCE_END ? __builtin_offsetof(struct ipv6_header, source) :
					   __builtin_offsetof(struct ipv6_header, destination);
	__u64 flags = BPF_F_PSEUDO_HDR | sizeof(__be32);
	__u32 i, check = check_of(packet, &flags);

	if (check)
		for (i = 0; i < 4; i++)
			if (bpf_l4_csum_replace(skb, check, old->words[i], new->words[i], flags))
				return -1;
	return (int)bpf_skb_store_bytes(skb, IP_OFFSET + offset, new, sizeof(*new), 0);
}

static __always_inline int replace_v4(struct __sk_buff *skb, const struct packet *packet, enum end end,
				      __be32 old, __be32 new)
{
	__u32 offset = end == SOURCE_END ? __builtin_offsetof(struct iphdr, saddr) :
					   __builtin_offsetof(struct iphdr, daddr);
	__u64 flags = BPF_F_PSEUDO_HDR | sizeof(new);
	__u32 check = check_of(packet, &flags);

	/* ICMP of IPv4 does not sum addresses. */
	if (check && has_ports(packet->protocol) && bpf_l4_csum_replace(skb, check, old, new, flags))
		return -1;
	if (bpf_l3_csum_replace(skb, IP_OFFSET + __builtin_offsetof(struct iphdr, check), old, new,
				sizeof(new)))
		return -1;
	return (int)bpf_skb_store_bytes(skb, IP_OFFSET + offset, &new, sizeof(new), 0);
}

/* Gives one end of a packet another address of the same family. */
static __always_inline int replace_address(struct __sk_buff *skb, const struct packet *packet, enum end end,
					   const struct address *new)
{
	const struct address *old = end == SOURCE_END ? &packet->source : &packet->destination;

	if (packet->is_v6)
		return replace_v6(skb, packet, end, old, new);
	return replace_v4(skb, packet, end, old->words[3], new->words[3]);
}

/* A port, or the id of an ICMP echo. */
static __always_inline int replace_port(struct __sk_buff *skb, const struct packet *packet, enum end end,
					__be16 old, __be16 new)
{
	__u32 at = packet->l4_offset + (end == SOURCE_END ? 0 : 2);
	__u64 flags = sizeof(new);
	__u32 check = check_of(packet, &flags);

	if (old == new || !check)
		return 0;
	if (is_icmp(packet->protocol))
		at = packet->l4_offset + ICMP_ID;
	if (bpf_l4_csum_replace(skb, check, old, new, flags))
		return -1;
	return (int)bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0);
}

/* The packet that an ICMP error of IPv4 speaks of went the other way: its other end is changed. Its own transport
 * checksum is left alone, as nobody looks at that of a quotation. */
static __always_inline int rewrite_quoted(struct __sk_buff *skb, const struct packet *packet, enum end end,
					  __be32 address, __be16 old_port, __be16 port)
{
	__u32 ip = packet->l4_offset + ICMP_HEADER, at;
	struct iphdr inner;
	__be32 old;

	if (bpf_skb_load_bytes(skb, ip, &inner, sizeof(inner)) || inner.ihl < 5)
		return -1;
	old = end == SOURCE_END ? inner.daddr : inner.saddr;
	at = ip + (end == SOURCE_END ? __builtin_offsetof(struct iphdr, daddr) :
				       __builtin_offsetof(struct iphdr, saddr));
	/* The header's sum stays what it was, and with it the sum of the message. */
	if (bpf_l3_csum_replace(skb, ip + __builtin_offsetof(struct iphdr, check), old, address, sizeof(old)) ||
	    bpf_skb_store_bytes(skb, at, &address, sizeof(address), 0))
		return -1;
	if (old_port == port)
		return 0;
	at = ip + inner.ihl * 4;
	if (inner.protocol == IPPROTO_ICMP)
		at += ICMP_ID;
	else if (end == SOURCE_END)
		at += 2;
	if (bpf_l4_csum_replace(skb, packet->l4_offset + ICMP_CHECK, old_port, port, sizeof(port)))
		return -1;
	return (int)bpf_skb_store_bytes(skb, at, &port, sizeof(port), 0);
}

/* Gives one end of an IPv4 packet another address and port. */
static __always_inline int rewrite_end(struct __sk_buff *skb, const struct packet *packet, enum end end,
				       __be32 address, __be16 old_port, __be16 port)
{
	__be32 old = end == SOURCE_END ? packet->source.words[3] : packet->destination.words[3];

	if (replace_v4(skb, packet, end, old, address))
		return -1;
	if (is_icmp_error(packet) && !packet->later_fragment)
		return rewrite_quoted(skb, packet, end, address, old_port, port);
	return replace_port(skb, packet, end, old_port, port);
}

#endif
