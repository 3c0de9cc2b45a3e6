/* SPDX-License-Identifier: Apache-2.0 */
/* Link-local services. A caller is known by its port: its source address is replaced by an id that stands for (ENI,
 * source address), so that two callers with one address differ, and answers find their way back. The time to live is
 * left alone: an answer with 1 reaches the instance's own sockets and dies where the instance would forward it. */
#ifndef UNDERLAY_SERVICES_H
#define UNDERLAY_SERVICES_H

#include <linux/pkt_cls.h>

#include "deliver.h"
#include "rewrite.h"

#define LINK_LOCAL_SERVICE(last) (__bpf_constant_htonl(0xa9fea900 + (last))) /* 169.254.169.last */

#define SERVICES_V6 (__bpf_constant_htonl(0xfd000ec2)) /* fd00:ec2::/32 */
#define SERVICE_V6(last) (__bpf_constant_htonl(last))

static __always_inline int is_service(const struct address *address)
{
	__be32 v4 = address->words[3];

	if (!is_v4(address))
		return address->words[0] == SERVICES_V6 && !address->words[1] && !address->words[2] &&
		       (v4 == SERVICE_V6(0x254) || v4 == SERVICE_V6(0x253) || v4 == SERVICE_V6(0x123));
	return v4 == LINK_LOCAL_SERVICE(254) || v4 == LINK_LOCAL_SERVICE(253) || v4 == LINK_LOCAL_SERVICE(123);
}

/* Whether a port's owner reaches a service by this address. */
static __always_inline int is_service_of(const struct port *port, const struct address *address)
{
	return is_service(address) || is_same(address, &port->resolver);
}

/* Takes one packet of what the ENI may send to services in this second. 0 when there is none left. */
static __always_inline int within_allowance(__u32 eni, const struct settings *settings)
{
	__u64 second = bpf_ktime_get_ns() / 1000000000;
	struct allowance fresh = { .second = second, .packets = 1 };
	struct allowance *used = bpf_map_lookup_elem(&allowances, &eni);

	if (!used) {
		bpf_map_update_elem(&allowances, &eni, &fresh, BPF_NOEXIST);
		return 1;
	}
	if (used->second != second) {
		used->second = second;
		used->packets = 0;
	}
	if (__sync_fetch_and_add(&used->packets, 1) < settings->link_local_packets)
		return 1;
	__sync_fetch_and_add(&used->exceeded, 1);
	return 0;
}

/* As the services see a caller: the id, of IPv6 behind a prefix that nobody else has. */
static __always_inline struct address id_address(__be32 id, int is_v6)
{
	struct address address = v4_mapped(id);

	if (is_v6) {
		address.words[0] = SERVICES_V6;
		address.words[1] = __bpf_constant_htonl(0xffff0000);
		address.words[2] = 0;
	}
	return address;
}

#define CALLER_ID_TRIES 8

/* The id of a caller, given out on its first packet, and anew when the caller or its id had to make room for others. An
 * id that stands for somebody is never given to another. 0 when none was found. */
static __always_inline __be32 caller_id(const struct caller *caller, const struct settings *settings, int is_v6)
{
	__u32 zero = 0;
	struct address id, *known = bpf_map_lookup_elem(&caller_ids, caller);
	struct caller *holder;
	__u64 *tried, serial;
	int i;

	if (known) {
		id = *known;
		holder = bpf_map_lookup_elem(&callers, &id);
		if (holder && holder->eni == caller->eni && is_same(&holder->address, &caller->address) &&
		    is_same(&holder->service, &caller->service))
			return id.words[3];
	}
	tried = bpf_map_lookup_elem(&service_ids_tried, &zero);
	if (!tried || !settings->service_ids)
		return 0;
	for (i = 0; i < CALLER_ID_TRIES; i++) {
		serial = __sync_fetch_and_add(tried, 1) % settings->service_ids;
		id = id_address(bpf_htonl(settings->service_ids_base + (__u32)serial), is_v6);
		if (bpf_map_update_elem(&callers, &id, caller, BPF_NOEXIST))
			continue;
		/* Two processors may give one caller an id each: both stand for it. */
		bpf_map_update_elem(&caller_ids, caller, &id, BPF_ANY);
		return id.words[3];
	}
	return 0;
}

VERIFIED_ONCE int to_service(struct __sk_buff *skb, __u32 eni, const struct packet *packet)
{
	__u32 zero = 0;
	struct settings *settings = bpf_map_lookup_elem(&settings_table, &zero);
	struct address resolver = v4_mapped(LINK_LOCAL_SERVICE(253)), as;
	struct caller caller = { .eni = eni };
	__be32 id;

	if (!settings || !packet)
		return TC_ACT_SHOT;
	caller.address = packet->source;
	caller.service = packet->destination;
	if (!within_allowance(eni, settings))
		return drop(DROP_LINK_LOCAL_ALLOWANCE);
	id = caller_id(&caller, settings, packet->is_v6);
	if (!id)
		return drop(DROP_SERVICE_TABLE_FULL);
	as = id_address(id, packet->is_v6);
	if (replace_address(skb, packet, SOURCE_END, &as) ||
	    (!is_service(&packet->destination) && replace_address(skb, packet, DESTINATION_END, &resolver)))
		return TC_ACT_SHOT;
	count(DELIVERED_TO_SERVICE);
	return deliver(skb, settings->services_ifindex, settings->services_mac,
		       settings->services_gateway_mac);
}

static __always_inline int from_service(struct __sk_buff *skb, const struct packet *packet)
{
	struct caller *found = bpf_map_lookup_elem(&callers, &packet->destination);
	struct caller caller;
	struct port *port;

	if (!is_unicast(packet))
		return drop(DROP_MULTICAST);
	if (!found || !is_service(&packet->source))
		return drop(DROP_UNKNOWN_ADDRESS);
	caller = *found;
	port = bpf_map_lookup_elem(&ports, &caller.eni);
	if (!port)
		return drop(DROP_NO_PORT);
	if (replace_address(skb, packet, DESTINATION_END, &caller.address) ||
	    (!is_same(&caller.service, &packet->source) &&
	     replace_address(skb, packet, SOURCE_END, &caller.service)))
		return TC_ACT_SHOT;
	count(DELIVERED_FROM_SERVICE);
	return deliver_to(skb, port, port->gateway_mac);
}

#endif
