// SPDX-License-Identifier: Apache-2.0
/* The VPC's packet fabric. `from_eni` runs where a packet leaves an instance: at the ingress of the fabric's end of an
 * ENI's veth. It decides everything and hands the packet to the receiving instance's device. `from_services` does the
 * same for answers of the link-local services. Nothing passes the fabric's own network stack. */
#include <linux/pkt_cls.h>

#include "arp.h"
#include "deliver.h"
#include "flow.h"
#include "services.h"
#include "track.h"

static __always_inline int drop(__u32 counter)
{
	count(counter);
	return TC_ACT_SHOT;
}

/* 224.0.0.0/4 and above, 0.0.0.0/8, and the broadcast address of the subnet. */
static __always_inline int is_for_one(const struct address *destination, const struct port *port)
{
	__u32 address = bpf_ntohl(destination->words[3]);

	return address < 0xe0000000 && address >= 0x01000000 && !is_same(destination, &port->broadcast);
}

/* Which ENI the packet goes to, by the sender's route table and the VPC's mapping. Answers the counter of the drop. */
static __always_inline __u32 route_packet(const struct port *port, const struct packet *packet, __u32 *target)
{
	struct route_key key = {
		.prefix_length = 32 + ADDRESS_BITS,
		.table = bpf_htonl(2 * port->route_table),
		.destination = packet->destination,
	};
	struct route *route = bpf_map_lookup_elem(&routes, &key);

	if (!route)
		return DROP_NO_ROUTE;
	switch (route->kind) {
	case ROUTE_LOCAL:
		*target = eni_of(port->vpc, &packet->destination);
		return *target ? DELIVERED : DROP_UNKNOWN_ADDRESS;
	case ROUTE_ENI:
		*target = route->eni;
		return DELIVERED;
	default:
		return DROP_BLACKHOLE;
	}
}

static __always_inline int forward(struct __sk_buff *skb, __u32 eni, const struct port *from,
				   const struct settings *settings, struct packet *packet)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 fault, target = 0;
	const struct port *to;

	if (!resolve_fragment(eni, packet))
		return drop(DROP_FRAGMENT);
	/* The router answers nothing and is not logged. */
	if (is_same(&packet->destination, &from->router))
		return drop(DROP_UNKNOWN_ADDRESS);
	if (!passes_groups(skb, eni, from, settings, packet, EGRESS, now)) {
		record_flow(eni, packet, EGRESS, REJECT, now);
		return drop(DROP_EGRESS_GROUPS);
	}
	record_flow(eni, packet, EGRESS, ACCEPT, now);

	fault = route_packet(from, packet, &target);
	if (fault != DELIVERED)
		return drop(fault);
	to = bpf_map_lookup_elem(&ports, &target);
	if (!to)
		return drop(DROP_UNKNOWN_ADDRESS);
	if ((to->flags & PORT_SOURCE_DEST_CHECK) && eni_of(to->vpc, &packet->destination) != target)
		return drop(DROP_DEST_CHECK);
	if (!passes_groups(skb, target, to, settings, packet, INGRESS, now)) {
		record_flow(target, packet, INGRESS, REJECT, now);
		return drop(DROP_INGRESS_GROUPS);
	}
	record_flow(target, packet, INGRESS, ACCEPT, now);
	count(DELIVERED);
	return deliver(skb, to->ifindex, to->mac,
		       to->subnet == from->subnet ? from->mac : to->gateway_mac);
}

SEC("classifier")
int from_eni(struct __sk_buff *skb)
{
	__u32 zero = 0, ifindex = skb->ifindex, fault;
	struct settings *settings = bpf_map_lookup_elem(&settings_table, &zero);
	__u32 *eni = bpf_map_lookup_elem(&enis, &ifindex);
	struct packet packet = {};
	struct port *port;

	if (!eni || !settings)
		return drop(DROP_NO_PORT);
	port = bpf_map_lookup_elem(&ports, eni);
	if (!port)
		return drop(DROP_NO_PORT);
	if (skb->vlan_present)
		return drop(DROP_NOT_IPV4);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, *eni, port);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_NOT_IPV4);

	fault = read_packet(skb, &packet);
	if (fault != DELIVERED)
		return drop(fault);
	if (!is_for_one(&packet.destination, port))
		return drop(DROP_MULTICAST);
	if ((port->flags & PORT_SOURCE_DEST_CHECK) && eni_of(port->vpc, &packet.source) != *eni)
		return drop(DROP_SOURCE_CHECK);
	if (is_service(&packet.destination))
		return to_service(skb, *eni, settings, &packet);
	return forward(skb, *eni, port, settings, &packet);
}

SEC("classifier")
int from_services(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct settings *settings = bpf_map_lookup_elem(&settings_table, &zero);
	struct packet packet = {};
	__u32 fault;

	if (!settings)
		return drop(DROP_NO_PORT);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_service_arp(skb, settings);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return drop(DROP_NOT_IPV4);
	fault = read_packet(skb, &packet);
	if (fault != DELIVERED)
		return drop(fault);
	return from_service(skb, &packet);
}

char LICENSE[] SEC("license") = "GPL";
