/* SPDX-License-Identifier: Apache-2.0 */
/* A packet, read once. Bytes are read with bpf_skb_load_bytes, which also sees what lies outside the linear part. */
#ifndef UNDERLAY_PACKET_H
#define UNDERLAY_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#define IP_OFFSET ETH_HLEN
#define FRAGMENT_OFFSET_MASK 0x1fff
#define FRAGMENT_MORE 0x2000
/* <linux/icmp.h> needs the C library. */
#define ICMP_HEADER 8
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

struct packet {
	struct address source;
	struct address destination;
	struct transport l4;
	__u32 l4_offset;
	__u32 count; /* segments: more than one behind segmentation offload */
	__u32 bytes; /* of all segments, IP headers included */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 later_fragment;
	__u8 more_fragments;
	__be16 id;
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

static __always_inline int is_icmp_error(const struct packet *packet)
{
	__u8 type = packet->l4.icmp_type;

	return packet->protocol == IPPROTO_ICMP &&
	       (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
}

/* Reads ports, or ICMP type, code and id. 0 when the packet is too short for its protocol. */
static __always_inline int read_transport(struct __sk_buff *skb, __u32 offset, __u8 protocol,
					  struct transport *l4)
{
	__u8 head[8] = {};

	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return bpf_skb_load_bytes(skb, offset, l4, 4) == 0;
	case IPPROTO_ICMP:
		if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
			return 0;
		l4->icmp_type = head[0];
		l4->icmp_code = head[1];
		l4->icmp_id = *(__be16 *)&head[4];
		return 1;
	default:
		return 1;
	}
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

/* Reads the IPv4 packet; answers the counter that names the fault, or DELIVERED. */
static __always_inline __u32 read_packet(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;
	__u32 headers, length = skb->len - ETH_HLEN;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return DROP_MALFORMED;
	headers = ip.ihl * 4;
	if (!skb->gso_size) {
		/* A short frame may be padded: what IP says counts. */
		if (bpf_ntohs(ip.tot_len) > length || bpf_ntohs(ip.tot_len) < headers)
			return DROP_MALFORMED;
		length = bpf_ntohs(ip.tot_len);
	}
	packet->source = v4_mapped(ip.saddr);
	packet->destination = v4_mapped(ip.daddr);
	packet->protocol = ip.protocol;
	packet->id = ip.id;
	packet->later_fragment = (ip.frag_off & bpf_htons(FRAGMENT_OFFSET_MASK)) != 0;
	packet->more_fragments = (ip.frag_off & bpf_htons(FRAGMENT_MORE)) != 0;
	packet->l4_offset = IP_OFFSET + headers;
	packet->count = 1;
	packet->bytes = length;
	if (packet->later_fragment)
		return length > MTU ? DROP_MTU : DELIVERED;

	if (!read_transport(skb, packet->l4_offset, ip.protocol, &packet->l4))
		return DROP_MALFORMED;
	if (ip.protocol == IPPROTO_TCP &&
	    bpf_skb_load_bytes(skb, packet->l4_offset + 13, &packet->tcp_flags, 1))
		return DROP_MALFORMED;
	if (skb->gso_size) {
		headers += transport_header(skb, packet);
		if (skb->gso_segs > 1) {
			packet->count = skb->gso_segs;
			packet->bytes += (packet->count - 1) * headers;
		}
		length = headers + skb->gso_size;
		if (length > packet->bytes)
			length = packet->bytes;
	}
	return length > MTU ? DROP_MTU : DELIVERED;
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
