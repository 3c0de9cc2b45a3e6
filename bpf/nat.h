/* SPDX-License-Identifier: Apache-2.0 */
/* NAT gateways. TCP, UDP and ICMP echoes leave by an address of the gateway, from a port that no other flow to the same
 * destination has; answers go back. */
#ifndef UNDERLAY_NAT_H
#define UNDERLAY_NAT_H

#include "session.h"

/* Random ports that are tried before a flow is refused: at 55,000 flows to one destination, EC2's limit, one flow in
 * 200 is. */
#define NAT_TRIES 32
#define NAT_FIRST_PORT 1024
#define NAT_PORTS (65536 - NAT_FIRST_PORT)

static __always_inline __u32 nat_fault(const struct packet *packet)
{
	int fragment = packet->later_fragment || packet->more_fragments;

	if (!is_v4(&packet->source))
		return DROP_NAT_PROTOCOL;
	switch (packet->protocol) {
	case IPPROTO_UDP:
		return DELIVERED;
	case IPPROTO_TCP:
	case IPPROTO_ICMP:
		return fragment ? DROP_FRAGMENT : DELIVERED;
	default:
		return DROP_NAT_PROTOCOL;
	}
}

/* Whether a packet from inside may begin a flow. */
static __always_inline int begins_flow(const struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
	case IPPROTO_UDP:
		return 1;
	default:
		return packet->l4.icmp_type == ICMP_ECHO;
	}
}

/* Finds the flow a port; 0 when none is free. `made` says what the local end is translated to. */
static __always_inline int open_session(const struct session_key *inside, const struct settings *settings,
					__u64 now, struct session *made)
{
	struct nat_gateway *gateway = bpf_map_lookup_elem(&nat_gateways, &inside->gateway);
	struct session back = { .last_ns = now, .address = inside->local.words[3], .port = inside->local_port };
	struct session_key outside = *inside;
	struct session *taken;
	__u32 i, dice, index;

	if (!gateway || !gateway->count)
		return 0;
	outside.side = NAT_OUTSIDE;
	for (i = 0; i < NAT_TRIES; i++) {
		dice = bpf_get_prandom_u32();
		index = (dice % gateway->count) & (NAT_ADDRESSES - 1);
		outside.local = v4_mapped(gateway->addresses[index]);
		outside.local_port = bpf_htons(NAT_FIRST_PORT + (dice >> 8) % NAT_PORTS);
		taken = bpf_map_lookup_elem(&sessions, &outside);
		if (taken && is_live(taken, settings, now))
			continue;
		if (bpf_map_update_elem(&sessions, &outside, &back, taken ? BPF_EXIST : BPF_NOEXIST))
			continue;
		made->last_ns = now;
		made->address = outside.local.words[3];
		made->port = outside.local_port;
		return bpf_map_update_elem(&sessions, inside, made, BPF_ANY) == 0;
	}
	return 0;
}

/* The other entry of a flow lives as long. */
static __always_inline void touch_other(const struct session_key *key, const struct session *session,
					enum session_side side, const struct packet *packet, int outward, __u64 now)
{
	struct session_key other = *key;
	struct session *found;

	other.side = side;
	other.local = v4_mapped(session->address);
	other.local_port = session->port;
	found = bpf_map_lookup_elem(&sessions, &other);
	if (found)
		touch(found, packet, outward, now);
}

/* Turns a segment of a flow that is no more into the RST that answers it. 0 when it cannot be. */
static __always_inline int make_reset(struct __sk_buff *skb, const struct packet *packet)
{
	struct {
		__be32 source, destination;
		__u8 zero, protocol;
		__be16 length;
	} pseudo = { packet->destination.words[3], packet->source.words[3], 0, IPPROTO_TCP,
		     bpf_htons(sizeof(struct tcphdr)) };
	struct tcphdr was, tcp = {};
	struct iphdr ip = {};

	if (bpf_skb_load_bytes(skb, packet->l4_offset, &was, sizeof(was)))
		return 0;
	ip.version = 4;
	ip.ihl = 5;
	ip.ttl = 64;
	ip.protocol = IPPROTO_TCP;
	ip.tot_len = bpf_htons(sizeof(ip) + sizeof(tcp));
	ip.saddr = packet->destination.words[3];
	ip.daddr = packet->source.words[3];
	ip.check = folded(bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0));
	tcp.doff = 5;
	tcp.rst = 1;
	tcp.source = was.dest;
	tcp.dest = was.source;
	if (was.ack) {
		tcp.seq = was.ack_seq;
	} else {
		tcp.ack = 1;
		tcp.ack_seq = bpf_htonl(bpf_ntohl(was.seq) + skb->len - packet->l4_offset - was.doff * 4 +
					was.syn + was.fin);
	}
	tcp.check = folded(bpf_csum_diff(0, 0, (__be32 *)&tcp, sizeof(tcp),
				       bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof(pseudo), 0)));
	return !bpf_skb_change_tail(skb, IP_OFFSET + sizeof(ip) + sizeof(tcp), 0) &&
	       !bpf_skb_store_bytes(skb, IP_OFFSET, &ip, sizeof(ip), 0) &&
	       !bpf_skb_store_bytes(skb, IP_OFFSET + sizeof(ip), &tcp, sizeof(tcp), 0);
}

/* A packet at the gateway, with what the gateway knows of its flow. */
struct at_nat {
	struct settings *settings;
	struct session *session; /* 0: none that lives */
	struct session_key key;
	int is_error;
};

/* Answers the counter of the drop, or DELIVERED. */
static __always_inline __u32 look_at_nat(struct __sk_buff *skb, __u32 nat, enum session_side side,
					 const struct packet *packet, struct at_nat *at)
{
	int outward = side == NAT_INSIDE;
	__u32 zero = 0;

	at->settings = bpf_map_lookup_elem(&settings_table, &zero);
	if (!at->settings)
		return DROP_NO_PORT;
	at->is_error = is_icmp_error(packet);
	if (!at->is_error)
		session_key_of(&at->key, nat, side, packet, outward);
	else if (!quoted_session_key(skb, &at->key, nat, side, packet, outward))
		return DROP_MALFORMED;
	at->session = live_session(&at->key, at->settings, packet->now);
	return DELIVERED;
}

static __always_inline void touch_both(const struct at_nat *at, enum session_side other,
				       const struct packet *packet)
{
	int outward = other == NAT_OUTSIDE;

	if (at->is_error)
		return;
	touch(at->session, packet, outward, packet->now);
	touch_other(&at->key, at->session, other, packet, outward, packet->now);
}

/* A packet from inside, at the gateway's interface. */
VERIFIED_ONCE int nat_outward(struct __sk_buff *skb, __u32 nat, const struct packet *packet)
{
	struct session made = {};
	struct at_nat at = {};
	__u32 fault;

	if (!packet)
		return drop(DROP_NO_PORT);
	fault = look_at_nat(skb, nat, NAT_INSIDE, packet, &at);
	if (fault != DELIVERED)
		return drop(fault);
	if (at.session && at.session->ended == SESSION_ENDED && begins_flow(packet))
		at.session = 0;
	if (at.session) {
		touch_both(&at, NAT_OUTSIDE, packet);
	} else if (!at.is_error && begins_flow(packet)) {
		if (!open_session(&at.key, at.settings, packet->now, &made))
			return drop(DROP_NAT_PORTS);
		at.session = &made;
	} else {
		if (packet->protocol != IPPROTO_TCP || (packet->tcp_flags & TCP_RST) ||
		    !make_reset(skb, packet))
			return drop(DROP_NAT_NO_FLOW);
		count(NAT_RESETS);
		return go_on(skb, GATE_SEND_ON, nat, 0);
	}
	if (rewrite_end(skb, packet, SOURCE_END, at.session->address, at.key.local_port, at.session->port))
		return drop(DROP_MALFORMED);
	return go_on(skb, GATE_SEND_ON, nat, 0);
}

/* A packet to an address of the gateway. */
VERIFIED_ONCE int nat_inward(struct __sk_buff *skb, __u32 nat, const struct packet *packet)
{
	struct at_nat at = {};
	__u32 fault;

	if (!packet)
		return drop(DROP_NO_PORT);
	fault = look_at_nat(skb, nat, NAT_OUTSIDE, packet, &at);
	if (fault != DELIVERED)
		return drop(fault);
	if (!at.session)
		return drop(DROP_NAT_NO_FLOW);
	touch_both(&at, NAT_INSIDE, packet);
	if (rewrite_end(skb, packet, DESTINATION_END, at.session->address, at.key.local_port, at.session->port))
		return drop(DROP_MALFORMED);
	return go_on(skb, GATE_SEND_ON, nat, 0);
}

#endif
