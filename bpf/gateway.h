/* SPDX-License-Identifier: Apache-2.0 */
/* The internet gateway: one public address for one private one, without memory. And the way on between programs. */
#ifndef UNDERLAY_GATEWAY_H
#define UNDERLAY_GATEWAY_H

#include "deliver.h"
#include "groups.h"
#include "rewrite.h"

/* A verdict that is none yet: the packet goes on at a gate. */
#define GO_ON 0x1000

/* Has the packet go on at a gate, in the name of an ENI; whether it crosses the edge of that ENI's subnet. */
static __always_inline int go_on(struct __sk_buff *skb, enum gate gate, __u32 eni, int crosses)
{
	skb->cb[0] = eni;
	skb->cb[1] = crosses;
	return GO_ON + gate;
}

/* The last step of a program. The kernel's limit of such steps ends what goes round in circles: a NAT gateway whose own
 * route leads to itself. */
static __always_inline int finish(struct __sk_buff *skb, int verdict)
{
	if (verdict < GO_ON)
		return verdict;
	bpf_tail_call(skb, &gates, (verdict - GO_ON) & 7);
	return drop(DROP_NO_PORT);
}

static __always_inline struct owner *owner_of(const struct packet *packet)
{
	struct route_key key = {
		.prefix_length = 32 + ADDRESS_BITS,
		.table = bpf_htonl(packet->is_v6),
		.destination = packet->destination,
	};

	return bpf_map_lookup_elem(&owners, &key);
}

/* Hands the packet to the internet; to somebody of this Region it comes back in at once. */
static __always_inline int to_internet(struct __sk_buff *skb, const struct port *from,
				       const struct settings *settings, const struct packet *packet)
{
	struct address_key key = { .vpc = from->vpc, .address = packet->source, .prefix_length = ADDRESS_BITS };
	struct address *public;

	if (!packet->is_v6) {
		public = bpf_map_lookup_elem(&publics, &key);
		if (!public)
			return drop(DROP_NO_PUBLIC_ADDRESS);
		if (rewrite_end(skb, packet, SOURCE_END, public->words[3], 0, 0))
			return drop(DROP_MALFORMED);
	} else if (!eni_of(from->vpc, &packet->source)) {
		/* IPv6 addresses are public, but only the VPC's own come back to it. */
		return drop(DROP_NO_PUBLIC_ADDRESS);
	}
	if (owner_of(packet))
		return go_on(skb, GATE_INTERNET_IN, 0, 1);
	count(DELIVERED_TO_OUTSIDE);
	return deliver(skb, settings->outside_ifindex, settings->outside_mac, settings->outside_gateway_mac);
}

/* Finds the ENI that a packet from the internet is for, and gives the packet its private address. 0 when nobody is. */
static __always_inline __u32 from_internet(struct __sk_buff *skb, struct packet *packet,
					   const struct owner *owner)
{
	if (owner->flags & OWNER_TRANSLATES) {
		if (rewrite_end(skb, packet, DESTINATION_END, owner->private.words[3], 0, 0))
			return 0;
		packet->destination = owner->private;
	}
	return eni_of(owner->vpc, &packet->destination);
}

#endif
