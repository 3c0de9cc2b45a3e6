/* SPDX-License-Identifier: Apache-2.0 */
/* A packet, read once. Bytes are read with bpf_skb_load_bytes, which also sees what lies outside the linear part. */
#ifndef UNDERLAY_PACKET_H
#define UNDERLAY_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>

#include "ipv6.h"
#include "maps.h"

#define IP_OFFSET ETH_HLEN
#define FRAGMENT_DONT 0x4000
#define FRAGMENT_OFFSET_MASK 0x1fff
#define FRAGMENT_MORE 0x2000
/* <linux/icmp.h> needs the C library. */
#define ICMP_HEADER 8
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMPV6_ECHO 128
#define ICMPV6_ECHOREPLY 129
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

/* A function that is verified once, on its own: inlined, or static, its paths multiply with those around it. Pointers that
 * it takes may be null to the verifier. */
#define VERIFIED_ONCE __attribute__((noinline))

struct packet {
	__u64 now; /* when it came, monotonic */
	struct address source;
	struct address destination;
	struct transport l4;
	__u32 l4_offset;
	__u32 count;   /* segments: more than one behind segmentation offload */
	__u32 bytes;   /* of all segments, IP headers included */
	__u32 segment; /* bytes of the largest segment */
	__u32 remote_vpc; /* whose ENIs the other side is looked for among; 0: nobody's */
	__be32 id;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 is_v6;
	__u8 dont_fragment;
	__u8 later_fragment;
	__u8 more_fragments;
	__u8 must_track; /* by a gateway that has every flow tracked */
	__u8 pad;
};

static __always_inline struct address v4_mapped(__be32 address)
{
	struct address mapped = { .words = { 0, 0, __bpf_constant_htonl(0xffff), address } };

	return mapped;
}

static __always_inline int is_same(const struct address *one, const struct address *other)
{
	return one->words[3] == other->words[3] && one->words[2] == other->words[2] &&
	       one->words[1] == other->words[1] && one->words[0] == other->words[0];
}

static __always_inline int is_v4(const struct address *address)
{
	return !address->words[0] && !address->words[1] &&
	       address->words[2] == __bpf_constant_htonl(0xffff);
}

/* Not 224.0.0.0/4 and above, nor 0.0.0.0/8; of IPv6, not multicast, loopback, the unspecified and link-local addresses. */
static __always_inline int is_unicast(const struct packet *packet)
{
	const __be32 *words = packet->destination.words;
	__u32 first = bpf_ntohl(words[0]), address = bpf_ntohl(words[3]);

	if (packet->is_v6)
		return (first >> 24) != 0xff && (first >> 22) != (0xfe80 >> 6) &&
		       (words[0] || words[1] || words[2] || address > 1);
	return address < 0xe0000000 && address >= 0x01000000;
}

static __always_inline int is_icmp_error(const struct packet *packet)
{
	__u8 type = packet->l4.icmp_type;

	/* ICMPv6: the lower half of the types are errors (RFC 4443 section 2.1). */
	if (packet->protocol == IPPROTO_ICMPV6)
		return type < 128;
	return packet->protocol == IPPROTO_ICMP &&
	       (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
}

/* Of a packet of TCP. */
static __always_inline int is_first_of_tcp(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static __always_inline int is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* Reads ports, or ICMP type, code and id. 0 when the packet is too short for its protocol. */
static __always_inline int read_transport(struct __sk_buff *skb, __u32 offset, __u8 protocol,
					  struct transport *l4)
{
	__u8 head[8] = {};

	if (has_ports(protocol))
		return bpf_skb_load_bytes(skb, offset, l4, 4) == 0;
	if (!is_icmp(protocol))
		return 1;
	if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
		return 0;
	l4->icmp_type = head[0];
	l4->icmp_code = head[1];
	l4->icmp_id = *(__be16 *)&head[4];
	return 1;
}

/* Length of the transport header, for the size of a segment. */
static __always_inline __u32 transport_header(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 offset = 0;

	if (packet->protocol != IPPROTO_TCP)
		return 8;
	if (bpf_skb_load_bytes(skb, packet->l4_offset + 12, &offset, 1))
		return 20;
	return (offset >> 4) * 4;
}

/* Reads the IPv4 header; answers its length, 0 for a header that is none. */
static __always_inline __u32 read_v4(struct __sk_buff *skb, struct packet *packet, __u32 *length)
{
	struct iphdr ip;
	__u16 offset;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return 0;
	offset = bpf_ntohs(ip.frag_off);
	*length = bpf_ntohs(ip.tot_len);
	packet->source = v4_mapped(ip.saddr);
	packet->destination = v4_mapped(ip.daddr);
	packet->protocol = ip.protocol;
	packet->id = ip.id;
	packet->dont_fragment = (offset & FRAGMENT_DONT) != 0;
	packet->later_fragment = (offset & FRAGMENT_OFFSET_MASK) != 0;
	packet->more_fragments = (offset & FRAGMENT_MORE) != 0;
	/* A fragment that begins inside the TCP header would rewrite what was judged (RFC 1858). */
	if ((offset & FRAGMENT_OFFSET_MASK) == 1 && ip.protocol == IPPROTO_TCP)
		return 0;
	return ip.ihl * 4;
}

/* Reads the IPv6 header and those behind it; answers the length of all, 0 for what is none. */
static __always_inline __u32 read_v6(struct __sk_buff *skb, struct packet *packet, __u32 *length)
{
	struct ipv6_header ip;
	struct v6_walk walk;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, &ip, sizeof(ip)) || (ip.version_class & 0xf0) != 0x60)
		return 0;
	/* A mapped address on the wire would be taken for an IPv4 one. */
	if (is_v4(&ip.source) || is_v4(&ip.destination))
		return 0;
	*length = sizeof(ip) + bpf_ntohs(ip.payload_length);
	walk.offset = IP_OFFSET + sizeof(ip);
	walk.next = ip.next_header;
	if (!walk_v6(skb, &walk))
		return 0;
	packet->is_v6 = 1;
	packet->source = ip.source;
	packet->destination = ip.destination;
	packet->protocol = walk.next;
	packet->id = walk.fragment_id;
	/* Routers never fragment IPv6. */
	packet->dont_fragment = 1;
	packet->later_fragment = (walk.fragment & V6_FRAGMENT_OFFSET) != 0;
	packet->more_fragments = (walk.fragment & V6_FRAGMENT_MORE) != 0;
	return walk.offset - IP_OFFSET;
}

/* Reads the packet; answers the counter that names the fault, or DELIVERED. */
VERIFIED_ONCE int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	__u32 headers, said = 0, length = skb->len - ETH_HLEN;

	if (!packet)
		return DROP_MALFORMED;

	headers = skb->protocol == bpf_htons(ETH_P_IP) ? read_v4(skb, packet, &said) :
							 read_v6(skb, packet, &said);
	if (!headers)
		return DROP_MALFORMED;
	if (!skb->gso_size) {
		/* A short frame may be padded: what IP says counts. */
		if (said > length || said < headers)
			return DROP_MALFORMED;
		length = said;
	}
	packet->l4_offset = IP_OFFSET + headers;
	packet->count = 1;
	packet->bytes = length;
	packet->segment = length;
	if (packet->later_fragment)
		return length > MTU ? DROP_MTU : DELIVERED;

	if (!read_transport(skb, packet->l4_offset, packet->protocol, &packet->l4))
		return DROP_MALFORMED;
	if (packet->protocol == IPPROTO_TCP &&
	    bpf_skb_load_bytes(skb, packet->l4_offset + 13, &packet->tcp_flags, 1))
		return DROP_MALFORMED;
	if (skb->gso_size) {
		headers += transport_header(skb, packet);
		if (skb->gso_segs > 1) {
			packet->count = skb->gso_segs;
			packet->bytes += (packet->count - 1) * headers;
		}
		packet->segment = headers + skb->gso_size;
		if (packet->segment > packet->bytes)
			packet->segment = packet->bytes;
	}
	return packet->segment > MTU ? DROP_MTU : DELIVERED;
}

/* What an ICMP error quotes of the packet that it is about. */
struct quoted {
	struct address source;
	struct address destination;
	struct transport l4;
	__u8 protocol;
	__u8 pad[3];
};

/* Reads what an ICMP error quotes; extension headers inside are not passed over. 0 if the message does not say. */
VERIFIED_ONCE int read_quoted(struct __sk_buff *skb, const struct packet *packet, struct quoted *quoted)
{
	__u32 offset;

	if (!packet || !quoted)
		return 0;
	offset = packet->l4_offset + ICMP_HEADER;
	if (packet->is_v6) {
		struct ipv6_header inner;

		if (bpf_skb_load_bytes(skb, offset, &inner, sizeof(inner)))
			return 0;
		quoted->source = inner.source;
		quoted->destination = inner.destination;
		quoted->protocol = inner.next_header;
		offset += sizeof(inner);
	} else {
		struct iphdr inner;

		if (bpf_skb_load_bytes(skb, offset, &inner, sizeof(inner)) || inner.ihl < 5)
			return 0;
		quoted->source = v4_mapped(inner.saddr);
		quoted->destination = v4_mapped(inner.daddr);
		quoted->protocol = inner.protocol;
		offset += inner.ihl * 4;
	}
	return read_transport(skb, offset, quoted->protocol, &quoted->l4);
}

/* The ports of a flow, the near side's first. Of an ICMP echo its id, and which side asks: an answer must not open the way
 * for questions. No answer belongs to other ICMP: each way is a flow of its own. */
struct flow_ports {
	__be16 local;
	__be16 remote;
};

static __always_inline struct flow_ports ports_of_flow(int outward, __u8 protocol, const struct transport *l4)
{
	__u8 echo = protocol == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO;
	__u8 reply = protocol == IPPROTO_ICMP ? ICMP_ECHOREPLY : ICMPV6_ECHOREPLY;
	struct flow_ports ports = {};
	__u8 type = l4->icmp_type;

	if (has_ports(protocol)) {
		ports.local = outward ? l4->source_port : l4->destination_port;
		ports.remote = outward ? l4->destination_port : l4->source_port;
	} else if (is_icmp(protocol) && (type == echo || type == reply)) {
		ports.local = l4->icmp_id;
		ports.remote = (type == echo) == (outward != 0);
	} else if (is_icmp(protocol)) {
		ports.local = type;
		ports.remote = (outward ? 0x200 : 0x100) + l4->icmp_code;
	}
	return ports;
}

/* The subnet's router; of IPv6, its address in the subnet's block. */
static __always_inline struct address router_of(const struct port *port, int is_v6)
{
	struct address router = is_v6 ? port->subnet_v6 : port->router;

	if (is_v6)
		router.words[3] |= __bpf_constant_htonl(1);
	return router;
}

/* A later fragment has no ports: it takes those of the first one, seen before it. */
static __always_inline int resolve_fragment(__u32 eni, struct packet *packet)
{
	struct fragment_key key = {
		.eni = eni,
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->id,
		.protocol = packet->protocol,
	};
	struct transport *first;

	if (!packet->later_fragment) {
		if (packet->more_fragments)
			bpf_map_update_elem(&fragments, &key, &packet->l4, BPF_ANY);
		return 1;
	}
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first)
		return 0;
	packet->l4 = *first;
	return 1;
}

#endif
