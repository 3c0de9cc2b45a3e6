// SPDX-License-Identifier: Apache-2.0
/* The VPC's packet fabric. `from_eni` runs where a packet leaves an instance: at the ingress of the fabric's end of an
 * ENI's veth. It decides everything and hands the packet to the receiving instance's device. `from_services` does the
 * same for answers of the link-local services. Nothing passes the fabric's own network stack. */
#include <linux/pkt_cls.h>

#include "acl.h"
#include "arp.h"
#include "deliver.h"
#include "flow.h"
#include "neighbours.h"
#include "services.h"
#include "too_big.h"
#include "track.h"

static __always_inline int drop(__u32 counter)
{
	count(counter);
	return TC_ACT_SHOT;
}

/* Not 224.0.0.0/4 and above, 0.0.0.0/8, nor the broadcast address of the subnet; of IPv6, not multicast, loopback, the
 * unspecified and link-local addresses. */
static __always_inline int is_for_one(const struct packet *packet, const struct port *port)
{
	const __be32 *words = packet->destination.words;
	__u32 first = bpf_ntohl(words[0]), address = bpf_ntohl(words[3]);

	if (packet->is_v6)
		return (first >> 24) != 0xff && (first >> 22) != (0xfe80 >> 6) &&
		       (words[0] || words[1] || words[2] || address > 1);
	return address < 0xe0000000 && address >= 0x01000000 &&
	       !is_same(&packet->destination, &port->broadcast);
}

/* Where the sender's route table and the VPC's mapping lead. */
struct way {
	const struct port *to;
	__u32 eni;
	__u32 mtu;
	__u32 fault; /* the counter of the drop, or DELIVERED */
	int is_mapped;
};

static __always_inline void find_way(struct way *way, const struct port *port, const struct packet *packet)
{
	struct route_key key = {
		.prefix_length = 32 + ADDRESS_BITS,
		.table = bpf_htonl(2 * port->route_table + packet->is_v6),
		.destination = packet->destination,
	};
	struct route *route = bpf_map_lookup_elem(&routes, &key);

	way->fault = route ? DROP_BLACKHOLE : DROP_NO_ROUTE;
	if (!route || (route->kind != ROUTE_LOCAL && route->kind != ROUTE_ENI))
		return;
	way->fault = DROP_UNKNOWN_ADDRESS;
	way->mtu = route->mtu;
	way->is_mapped = route->kind == ROUTE_LOCAL;
	way->eni = way->is_mapped ? eni_of(port->vpc, &packet->destination) : route->eni;
	way->to = bpf_map_lookup_elem(&ports, &way->eni);
	if (way->to)
		way->fault = DELIVERED;
}

static __always_inline int refuse(__u32 eni, const struct packet *packet, __u32 counter)
{
	record_flow(eni, packet, EGRESS, REJECT);
	return drop(counter);
}

/* What the receiving ENI and its subnet say of the packet. Answers the counter of the drop, or DELIVERED. */
static __always_inline __u32 arrive(struct __sk_buff *skb, const struct way *way, const struct packet *packet,
				    int crosses)
{
	__u32 fault = DELIVERED;
	int passing = REFUSED;

	if (crosses && !acl_allows(way->to->acl, packet, INGRESS))
		fault = DROP_INGRESS_ACL;
	else
		passing = pass_groups(skb, way->eni, INGRESS, packet);
	if (passing == NO_ROOM)
		return DROP_TRACKING_FULL;
	if (fault == DELIVERED && passing == REFUSED)
		fault = DROP_INGRESS_GROUPS;
	record_flow(way->eni, packet, INGRESS, fault == DELIVERED ? ACCEPT : REJECT);
	return fault;
}

static __always_inline int forward(struct __sk_buff *skb, __u32 eni, const struct port *from,
				   const struct packet *packet)
{
	int crosses, passing = pass_groups(skb, eni, EGRESS, packet);
	struct way way = {};
	__u32 fault;

	if (passing == NO_ROOM)
		return drop(DROP_TRACKING_FULL);
	if (passing == REFUSED)
		return refuse(eni, packet, DROP_EGRESS_GROUPS);
	find_way(&way, from, packet);
	/* Who is not in the subnet is beyond its edge, where its ACL is asked. */
	crosses = !way.to || way.to->subnet != from->subnet;
	if (crosses && !acl_allows(from->acl, packet, EGRESS))
		return refuse(eni, packet, DROP_EGRESS_ACL);
	record_flow(eni, packet, EGRESS, ACCEPT);
	if (way.fault != DELIVERED || !way.to)
		return drop(way.fault);
	/* What may be fragmented is taken as a whole: it would be put together at its end. */
	if (packet->segment > way.mtu && packet->dont_fragment)
		return answer_too_big(skb, eni, packet, way.mtu, passing == TRACKED);
	if (!way.is_mapped && (way.to->flags & PORT_SOURCE_DEST_CHECK) &&
	    (__u32)eni_of(way.to->vpc, &packet->destination) != way.eni)
		return drop(DROP_DEST_CHECK);
	fault = arrive(skb, &way, packet, crosses);
	if (fault != DELIVERED)
		return drop(fault);
	count(DELIVERED);
	return deliver(skb, way.to->ifindex, way.to->mac, crosses ? way.to->gateway_mac : from->mac);
}

static __always_inline int judge(struct __sk_buff *skb, __u32 eni, const struct port *port,
				 const struct settings *settings)
{
	struct packet packet = {};
	__u32 fault = read_packet(skb, &packet);

	if (fault != DELIVERED)
		return drop(fault);
	if (is_discovery(&packet))
		return answer_discovery(skb, eni, &packet);
	if (!is_for_one(&packet, port))
		return drop(DROP_MULTICAST);
	if ((port->flags & PORT_SOURCE_DEST_CHECK) && (__u32)eni_of(port->vpc, &packet.source) != eni)
		return drop(DROP_SOURCE_CHECK);
	if (is_service(&packet.destination))
		return to_service(skb, eni, settings, &packet);
	if (!resolve_fragment(eni, &packet))
		return drop(DROP_FRAGMENT);
	/* The router answers nothing and is not logged. */
	if (is_same(&packet.destination, &port->router))
		return drop(DROP_UNKNOWN_ADDRESS);
	packet.now = bpf_ktime_get_ns();
	return forward(skb, eni, port, &packet);
}

SEC("classifier")
int from_eni(struct __sk_buff *skb)
{
	__u32 zero = 0, ifindex = skb->ifindex;
	struct settings *settings = bpf_map_lookup_elem(&settings_table, &zero);
	__u32 *eni = bpf_map_lookup_elem(&enis, &ifindex);
	struct port *port;

	if (!eni || !settings)
		return drop(DROP_NO_PORT);
	port = bpf_map_lookup_elem(&ports, eni);
	if (!port)
		return drop(DROP_NO_PORT);
	if (skb->vlan_present)
		return drop(DROP_NOT_IP);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, *eni, port);
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return drop(DROP_NOT_IP);
	return judge(skb, *eni, port, settings);
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
		return drop(DROP_NOT_IP);
	fault = read_packet(skb, &packet);
	if (fault != DELIVERED)
		return drop(fault);
	return from_service(skb, &packet);
}

char LICENSE[] SEC("license") = "GPL";
