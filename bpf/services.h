/* SPDX-License-Identifier: Apache-2.0 */
/* Link-local services. A caller is known by its port: its source address is replaced by an id that stands for (ENI,
 * source address), so that two callers with one address differ, and answers find their way back. The time to live is
 * left alone: an answer with 1 reaches the instance's own sockets and dies where the instance would forward it. */
#ifndef UNDERLAY_SERVICES_H
#define UNDERLAY_SERVICES_H

#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "deliver.h"

#define LINK_LOCAL_SERVICE(last) (__bpf_constant_htonl(0xa9fea900 + (last))) /* 169.254.169.last */

static __always_inline int is_service(const struct address *address)
{
	__be32 v4 = address->words[3];

	if (!is_v4(address))
		return 0;
	return v4 == LINK_LOCAL_SERVICE(254) || v4 == LINK_LOCAL_SERVICE(253) || v4 == LINK_LOCAL_SERVICE(123);
}

#define CALLER_ID_TRIES 8

/* The id of a caller, given out on its first packet, and anew when the caller or its id had to make room for others. An
 * id that stands for somebody is never given to another. 0 when none was found. */
static __always_inline __be32 caller_id(const struct caller *caller, const struct settings *settings)
{
	__u32 zero = 0;
	struct address id, *known = bpf_map_lookup_elem(&caller_ids, caller);
	struct caller *holder;
	__u64 *tried, serial;
	int i;

	if (known) {
		id = *known;
		holder = bpf_map_lookup_elem(&callers, &id);
		if (holder && holder->eni == caller->eni && is_same(&holder->address, &caller->address))
			return id.words[3];
	}
	tried = bpf_map_lookup_elem(&service_ids_tried, &zero);
	if (!tried || !settings->service_ids)
		return 0;
	for (i = 0; i < CALLER_ID_TRIES; i++) {
		serial = __sync_fetch_and_add(tried, 1) % settings->service_ids;
		id = v4_mapped(bpf_htonl(settings->service_ids_base + (__u32)serial));
		if (bpf_map_update_elem(&callers, &id, caller, BPF_NOEXIST))
			continue;
		/* Two processors may give one caller an id each: both stand for it. */
		bpf_map_update_elem(&caller_ids, caller, &id, BPF_ANY);
		return id.words[3];
	}
	return 0;
}

static __always_inline int replace_address(struct __sk_buff *skb, const struct packet *packet, __u32 offset,
					   __be32 old, __be32 new)
{
	if (!packet->later_fragment) {
		if (packet->protocol == IPPROTO_TCP)
			bpf_l4_csum_replace(skb, packet->l4_offset + __builtin_offsetof(struct tcphdr, check),
					    old, new, BPF_F_PSEUDO_HDR | sizeof(new));
		else if (packet->protocol == IPPROTO_UDP)
			bpf_l4_csum_replace(skb, packet->l4_offset + __builtin_offsetof(struct udphdr, check),
					    old, new,
					    BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(new));
	}
	if (bpf_l3_csum_replace(skb, IP_OFFSET + __builtin_offsetof(struct iphdr, check), old, new,
				sizeof(new)))
		return -1;
	return (int)bpf_skb_store_bytes(skb, IP_OFFSET + offset, &new, sizeof(new), 0);
}

static __always_inline int to_service(struct __sk_buff *skb, __u32 eni,
				      const struct settings *settings, const struct packet *packet)
{
	struct caller caller = { .eni = eni, .address = packet->source };
	__be32 id = caller_id(&caller, settings);

	if (!id) {
		count(DROP_SERVICE_TABLE_FULL);
		return TC_ACT_SHOT;
	}
	if (replace_address(skb, packet, __builtin_offsetof(struct iphdr, saddr), packet->source.words[3], id))
		return TC_ACT_SHOT;
	count(DELIVERED_TO_SERVICE);
	return deliver(skb, settings->services_ifindex, settings->services_mac,
		       settings->services_gateway_mac);
}

static __always_inline int from_service(struct __sk_buff *skb, const struct packet *packet)
{
	struct caller *caller = bpf_map_lookup_elem(&callers, &packet->destination);
	struct port *port;
	__be32 address;

	if (!caller || !is_service(&packet->source)) {
		count(DROP_UNKNOWN_ADDRESS);
		return TC_ACT_SHOT;
	}
	port = bpf_map_lookup_elem(&ports, &caller->eni);
	if (!port) {
		count(DROP_NO_PORT);
		return TC_ACT_SHOT;
	}
	address = caller->address.words[3];
	if (replace_address(skb, packet, __builtin_offsetof(struct iphdr, daddr),
			    packet->destination.words[3], address))
		return TC_ACT_SHOT;
	count(DELIVERED_FROM_SERVICE);
	return deliver(skb, port->ifindex, port->mac, port->gateway_mac);
}

#endif
