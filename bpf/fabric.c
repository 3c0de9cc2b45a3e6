// SPDX-License-Identifier: Apache-2.0
/* The VPC's packet fabric. `from_eni` runs where a packet leaves an instance: at the ingress of the fabric's end of an
 * ENI's veth. It decides everything and hands the packet to the receiving instance's device. `from_services` does the
 * same for answers of the link-local services. Nothing passes the fabric's own network stack. */
#include <linux/pkt_cls.h>

#include "acl.h"
#include "arp.h"
#include "deliver.h"
#include "flow.h"
#include "nat.h"
#include "neighbours.h"
#include "services.h"
#include "too_big.h"
#include "track.h"

/* One receiver, and not the broadcast address of the subnet. */
static __always_inline int is_for_one(const struct packet *packet, const struct port *port)
{
	return is_unicast(packet) && !is_same(&packet->destination, &port->broadcast);
}

/* Where the sender's route table and the VPC's mapping lead. */
struct way {
	__u32 eni; /* 0: out of the VPC */
	__u32 mtu;
	__u32 fault; /* the counter of the drop, or DELIVERED */
	__u32 remote_vpc; /* in which the receiver is looked for */
	__u32 kind; /* enum route_kind */
};

static __always_inline struct route *route_of(__u32 table, const struct address *destination, int is_v6)
{
	struct route_key key = {
		.prefix_length = 32 + ADDRESS_BITS,
		.table = bpf_htonl(2 * table + is_v6),
		.destination = *destination,
	};

	return bpf_map_lookup_elem(&routes, &key);
}

VERIFIED_ONCE int find_way(__u32 vpc, __u32 table, const struct packet *packet, struct way *way)
{
	struct route *route;

	if (!packet || !way)
		return 0;
	route = route_of(table, &packet->destination, packet->is_v6);
	way->remote_vpc = vpc;
	way->fault = DROP_NO_ROUTE;
	if (!route)
		return 0;
	way->fault = DELIVERED;
	way->mtu = route->mtu;
	way->kind = route->kind;
	switch (route->kind) {
	case ROUTE_INTERNET:
	case ROUTE_EGRESS_ONLY:
		return 0;
	case ROUTE_ENI:
	case ROUTE_NAT:
		way->eni = route->eni;
		/* Behind a middlebox nobody is known by its groups. */
		if (route->kind == ROUTE_ENI && (__u32)eni_of(vpc, &packet->destination) != way->eni)
			way->remote_vpc = 0;
		break;
	case ROUTE_PEERING:
		way->remote_vpc = route->eni;
		/* Not transitive: from one of this VPC to one of the other. */
		if (!eni_of(vpc, &packet->source))
			break;
		way->eni = eni_of(way->remote_vpc, &packet->destination);
		break;
	case ROUTE_LOCAL:
		way->eni = eni_of(vpc, &packet->destination);
		break;
	default:
		way->fault = DROP_BLACKHOLE;
		return 0;
	}
	if (!way->eni)
		way->fault = DROP_UNKNOWN_ADDRESS;
	return 0;
}

static __always_inline int refuse(__u32 eni, const struct packet *packet, __u32 counter)
{
	record_flow(eni, packet, EGRESS, REJECT);
	return drop(counter);
}

/* What the receiving ENI and its subnet say of the packet. Answers the counter of the drop, or DELIVERED. */
static __always_inline __u32 arrive(struct __sk_buff *skb, __u32 eni, const struct port *to,
				    const struct packet *packet, int crosses)
{
	__u32 fault = DELIVERED;
	int passing = REFUSED;

	if (crosses && !acl_allows(to->acl, packet, INGRESS))
		fault = DROP_INGRESS_ACL;
	else
		passing = pass_groups(skb, eni, INGRESS, packet);
	if (passing == NO_ROOM)
		return DROP_TRACKING_FULL;
	if (fault == DELIVERED && passing == REFUSED)
		fault = DROP_INGRESS_GROUPS;
	record_flow(eni, packet, INGRESS, fault == DELIVERED ? ACCEPT : REJECT);
	return fault;
}

/* Sends a packet on the way that was found, once the sender's groups let it. `tracked` is whether they follow its flow. */
static __always_inline int follow(struct __sk_buff *skb, __u32 eni, const struct port *from, struct packet *packet,
				  const struct way *way, int tracked)
{
	__u32 target = way->eni, fault = way->fault;
	const struct port *to = bpf_map_lookup_elem(&ports, &target);
	/* Who is not in the subnet is beyond its edge, where its ACL is asked. */
	int crosses = !to || to->subnet != from->subnet;

	if (crosses && !acl_allows(from->acl, packet, EGRESS))
		return refuse(eni, packet, DROP_EGRESS_ACL);
	record_flow(eni, packet, EGRESS, ACCEPT);
	/* The peer's gateways are its own. */
	if (fault == DELIVERED && target && (!to || (way->kind == ROUTE_PEERING && (to->flags & PORT_NAT))))
		fault = DROP_UNKNOWN_ADDRESS;
	if (fault != DELIVERED)
		return drop(fault);
	/* What may be fragmented is taken as a whole: it would be put together at its end. */
	if (packet->segment > way->mtu && packet->dont_fragment)
		return from->flags & PORT_NAT ? drop(DROP_MTU) :
						answer_too_big(skb, eni, packet, way->mtu, tracked);
	if (way->kind == ROUTE_EGRESS_ONLY)
		remember_egress(from->vpc, packet);
	if (!to)
		return go_on(skb, GATE_INTERNET_OUT, eni, 1);
	if (to->flags & PORT_NAT)
		return go_on(skb, way->kind == ROUTE_NAT ? GATE_NAT_OUT : GATE_NAT_IN, target, crosses);
	if (way->kind == ROUTE_ENI && (to->flags & PORT_SOURCE_DEST_CHECK) &&
	    (__u32)eni_of(to->vpc, &packet->destination) != target)
		return drop(DROP_DEST_CHECK);
	/* Who sends for others is a middlebox. */
	packet->remote_vpc = (__u32)eni_of(from->vpc, &packet->source) == eni ? from->vpc : 0;
	fault = arrive(skb, target, to, packet, crosses);
	if (fault != DELIVERED)
		return drop(fault);
	count(DELIVERED);
	return deliver_to(skb, to, crosses ? to->gateway_mac : from->mac);
}

static __always_inline int forward(struct __sk_buff *skb, __u32 eni, const struct port *from,
				   struct packet *packet)
{
	struct way way = {};
	int passing;

	find_way(from->vpc, from->route_table, packet, &way);
	packet->remote_vpc = way.remote_vpc;
	packet->must_track = way.kind == ROUTE_NAT || way.kind == ROUTE_EGRESS_ONLY;
	passing = pass_groups(skb, eni, EGRESS, packet);
	if (passing == NO_ROOM)
		return drop(DROP_TRACKING_FULL);
	if (passing == REFUSED)
		return refuse(eni, packet, DROP_EGRESS_GROUPS);
	return follow(skb, eni, from, packet, &way, passing == TRACKED);
}

static __always_inline int judge(struct __sk_buff *skb, __u32 eni, const struct port *port)
{
	struct packet packet = {};
	__u32 fault = read_packet(skb, &packet);
	struct address router;

	if (fault != DELIVERED)
		return drop(fault);
	if (is_discovery(&packet))
		return answer_discovery(skb, eni, &packet);
	if (!is_for_one(&packet, port))
		return drop(DROP_MULTICAST);
	if ((port->flags & PORT_SOURCE_DEST_CHECK) && (__u32)eni_of(port->vpc, &packet.source) != eni)
		return drop(DROP_SOURCE_CHECK);
	if (is_service_of(port, &packet.destination))
		return to_service(skb, eni, &packet);
	if (!resolve_fragment(eni, &packet))
		return drop(DROP_FRAGMENT);
	/* The router answers nothing and is not logged. */
	router = router_of(port, packet.is_v6);
	if (is_same(&packet.destination, &router))
		return drop(DROP_UNKNOWN_ADDRESS);
	packet.now = bpf_ktime_get_ns();
	return forward(skb, eni, port, &packet);
}

/* The branch ENI whose tag the packet carries; the tag is taken off. */
static __always_inline __u32 *untag(struct __sk_buff *skb, __u32 trunk)
{
	struct branch_key key = { .trunk = trunk, .vlan = skb->vlan_tci & 0xfff };
	__u32 *branch = bpf_map_lookup_elem(&branches, &key);

	if (!branch || skb->vlan_proto != bpf_htons(ETH_P_8021Q) || bpf_skb_vlan_pop(skb))
		return 0;
	return branch;
}

SEC("classifier")
int from_eni(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	__u32 *eni = bpf_map_lookup_elem(&enis, &ifindex);
	struct port *port;

	if (eni && skb->vlan_present)
		eni = untag(skb, *eni);
	if (!eni)
		return drop(DROP_NO_PORT);
	port = bpf_map_lookup_elem(&ports, eni);
	if (!port)
		return drop(DROP_NO_PORT);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return answer_arp(skb, *eni, port);
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return drop(DROP_NOT_IP);
	return finish(skb, judge(skb, *eni, port));
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
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return drop(DROP_NOT_IP);
	fault = read_packet(skb, &packet);
	if (fault != DELIVERED)
		return drop(fault);
	return from_service(skb, &packet);
}

/* What a program at a gate begins with: the packet as it is now. Answers the counter of the drop, or DELIVERED. */
static __always_inline __u32 resume(struct __sk_buff *skb, struct packet *packet)
{
	__u32 fault = read_packet(skb, packet);

	packet->now = bpf_ktime_get_ns();
	if (fault == DELIVERED && !resolve_fragment(skb->cb[0], packet))
		return DROP_FRAGMENT;
	return fault;
}

static __always_inline struct settings *settings_now(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings_table, &zero);
}

/* A packet leaves an ENI without device: a NAT gateway's. */
SEC("classifier")
int send_on(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct way way = {};
	__u32 eni = skb->cb[0], fault = resume(skb, &packet);
	struct port *port = bpf_map_lookup_elem(&ports, &eni);

	if (fault != DELIVERED)
		return drop(fault);
	if (!port)
		return drop(DROP_NO_PORT);
	find_way(port->vpc, port->route_table, &packet, &way);
	/* No gateway behind a gateway, and none over peering. */
	if (way.kind == ROUTE_NAT || way.kind == ROUTE_PEERING) {
		way.fault = DROP_NO_ROUTE;
		way.eni = 0;
	}
	return finish(skb, follow(skb, eni, port, &packet, &way, 0));
}

SEC("classifier")
int internet_out(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 eni = skb->cb[0], fault = resume(skb, &packet);
	struct port *port = bpf_map_lookup_elem(&ports, &eni);
	struct settings *settings = settings_now();

	if (fault != DELIVERED)
		return drop(fault);
	if (!port || !settings)
		return drop(DROP_NO_PORT);
	return finish(skb, to_internet(skb, port, settings, &packet));
}

/* Whether IPv6 comes in: answers only to an ENI whose way to the sender is an egress-only gateway. Answers DELIVERED, or
 * the counter of the drop. */
static __always_inline __u32 entry_fault(struct __sk_buff *skb, const struct port *port,
					 const struct packet *packet, __u32 owner_flags)
{
	struct route *route = route_of(port->route_table, &packet->source, packet->is_v6);
	struct settings *settings = settings_now();

	if (!route || route->kind != ROUTE_EGRESS_ONLY)
		return owner_flags & OWNER_EGRESS_ONLY ? DROP_UNKNOWN_ADDRESS : DELIVERED;
	return settings && is_egress_answer(skb, port->vpc, packet, settings) ? DELIVERED : DROP_EGRESS_ONLY;
}

SEC("classifier")
int internet_in(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 eni, flags, fault = resume(skb, &packet);
	struct owner *owner;
	struct port *port;

	if (fault != DELIVERED)
		return drop(fault);
	if (!is_unicast(&packet))
		return drop(DROP_MULTICAST);
	owner = owner_of(&packet);
	if (!owner)
		return drop(DROP_UNKNOWN_ADDRESS);
	flags = owner->flags;
	eni = from_internet(skb, &packet, owner);
	port = bpf_map_lookup_elem(&ports, &eni);
	if (!port)
		return drop(DROP_UNKNOWN_ADDRESS);
	if (packet.is_v6)
		fault = entry_fault(skb, port, &packet, flags);
	if (fault != DELIVERED)
		return drop(fault);
	if (port->flags & PORT_NAT)
		return finish(skb, go_on(skb, GATE_NAT_IN, eni, 1));
	fault = arrive(skb, eni, port, &packet, 1);
	if (fault != DELIVERED)
		return drop(fault);
	count(DELIVERED);
	return deliver_to(skb, port, port->gateway_mac);
}

/* What arrives at a NAT gateway's interface, in flow logs whether or not it is translated then. */
static __always_inline __u32 reach_nat(struct __sk_buff *skb, __u32 nat, struct packet *packet)
{
	__u32 fault = resume(skb, packet);
	struct port *port = bpf_map_lookup_elem(&ports, &nat);

	if (fault != DELIVERED)
		return fault;
	if (!port)
		return DROP_NO_PORT;
	if (skb->cb[1] && !acl_allows(port->acl, packet, INGRESS)) {
		record_flow(nat, packet, INGRESS, REJECT);
		return DROP_INGRESS_ACL;
	}
	record_flow(nat, packet, INGRESS, ACCEPT);
	return nat_fault(packet);
}

SEC("classifier")
int nat_out(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 nat = skb->cb[0], fault = reach_nat(skb, nat, &packet);

	if (fault != DELIVERED)
		return drop(fault);
	return finish(skb, nat_outward(skb, nat, &packet));
}

SEC("classifier")
int nat_in(struct __sk_buff *skb)
{
	struct packet packet = {};
	__u32 nat = skb->cb[0], fault = reach_nat(skb, nat, &packet);

	if (fault != DELIVERED)
		return drop(fault);
	return finish(skb, nat_inward(skb, nat, &packet));
}

/* Packets of the outside world. */
SEC("classifier")
int from_outside(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return drop(DROP_NOT_IP);
	return finish(skb, go_on(skb, GATE_INTERNET_IN, 0, 1));
}

char LICENSE[] SEC("license") = "GPL";
