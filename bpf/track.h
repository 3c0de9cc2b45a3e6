/* SPDX-License-Identifier: Apache-2.0 */
/* Stateful tracking, per ENI. Rules are asked only for a packet that belongs to no tracked flow. */
#ifndef UNDERLAY_TRACK_H
#define UNDERLAY_TRACK_H

#include "groups.h"

enum phase {
	OPENING,     /* packets one way only */
	ESTABLISHED, /* answered */
	STREAM,      /* UDP: more than one request and answer */
	CLOSED,      /* TCP: both FINs or a RST seen */
};

#define BEGUN_OUTWARD 1
#define FIN_OUTWARD 2
#define FIN_INWARD 4

static __always_inline void track_key_of(struct track_key *key, __u32 eni, enum direction direction,
					 __u8 protocol, const struct address *source,
					 const struct address *destination,
					 const struct transport *l4)
{
	__be16 local_port = 0, remote_port = 0;

	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		local_port = direction == EGRESS ? l4->source_port : l4->destination_port;
		remote_port = direction == EGRESS ? l4->destination_port : l4->source_port;
	} else if (protocol == IPPROTO_ICMP) {
		/* Which side asks is part of the flow: an answer must not open the way for questions. */
		if (l4->icmp_type == ICMP_ECHO || l4->icmp_type == ICMP_ECHOREPLY) {
			local_port = l4->icmp_id;
			remote_port = (l4->icmp_type == ICMP_ECHO) == (direction == EGRESS);
		} else {
			/* No answer belongs to it: each way is a flow of its own. */
			local_port = l4->icmp_type;
			remote_port = (direction == EGRESS ? 0x200 : 0x100) + l4->icmp_code;
		}
	}
	__builtin_memset(key, 0, sizeof(*key));
	key->eni = eni;
	key->local = direction == EGRESS ? *source : *destination;
	key->remote = direction == EGRESS ? *destination : *source;
	key->local_port = local_port;
	key->remote_port = remote_port;
	key->protocol = protocol;
}

static __always_inline __u64 idle_limit(const struct track *track, const struct port *port,
					const struct settings *settings, __u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		if (track->phase == OPENING)
			return settings->tcp_half_open_ns;
		return track->phase == CLOSED ? settings->tcp_closing_ns : port->tcp_established_ns;
	case IPPROTO_UDP:
		return track->phase == STREAM ? port->udp_stream_ns : port->udp_ns;
	case IPPROTO_ICMP:
		return settings->icmp_ns;
	default:
		return settings->other_ns;
	}
}

static __always_inline void advance_tcp(struct track *track, __u8 tcp_flags, int outward, int answer)
{
	__u8 fins = FIN_OUTWARD | FIN_INWARD;

	if (tcp_flags & TCP_RST) {
		track->phase = CLOSED;
		return;
	}
	if (tcp_flags & TCP_FIN)
		track->flags |= outward ? FIN_OUTWARD : FIN_INWARD;
	if ((track->flags & fins) == fins)
		track->phase = CLOSED;
	else if (track->phase == OPENING && answer)
		track->phase = ESTABLISHED;
}

static __always_inline void advance(struct track *track, const struct packet *packet,
				    enum direction direction, __u64 now)
{
	int outward = direction == EGRESS;
	int answer = outward != ((track->flags & BEGUN_OUTWARD) != 0);

	track->last_ns = now;
	if (packet->protocol == IPPROTO_TCP)
		advance_tcp(track, packet->tcp_flags, outward, answer);
	else if (track->phase == OPENING && answer)
		track->phase = ESTABLISHED;
	else if (track->phase == ESTABLISHED && !answer)
		track->phase = STREAM;
}

/* An ICMP error passes with the flow that it speaks of. */
static __always_inline int is_related(struct __sk_buff *skb, __u32 eni, const struct port *port,
				      const struct settings *settings, const struct packet *packet,
				      enum direction direction, __u64 now)
{
	struct transport l4 = {};
	struct track_key key;
	struct address source, destination;
	struct track *track;
	struct iphdr inner;
	__u32 offset = packet->l4_offset + ICMP_HEADER;

	if (bpf_skb_load_bytes(skb, offset, &inner, sizeof(inner)) || inner.ihl < 5)
		return 0;
	if (!read_transport(skb, offset + inner.ihl * 4, inner.protocol, &l4))
		return 0;
	source = v4_mapped(inner.saddr);
	destination = v4_mapped(inner.daddr);
	track_key_of(&key, eni, direction == EGRESS ? INGRESS : EGRESS, inner.protocol, &source,
		     &destination, &l4);
	track = bpf_map_lookup_elem(&tracks, &key);
	return track && now - track->last_ns <= idle_limit(track, port, settings, inner.protocol);
}

/* Whether the ENI's groups let the packet pass, tracked flows included. */
static __always_inline int passes_groups(struct __sk_buff *skb, __u32 eni, const struct port *port,
					 const struct settings *settings, const struct packet *packet,
					 enum direction direction, __u64 now)
{
	struct track_key key;
	struct track fresh = {};
	struct track *track;

	if (is_icmp_error(packet) && !packet->later_fragment) {
		if (is_related(skb, eni, port, settings, packet, direction, now))
			return 1;
		return groups_allow(packet, eni, port, direction);
	}
	track_key_of(&key, eni, direction, packet->protocol, &packet->source, &packet->destination,
		     &packet->l4);
	track = bpf_map_lookup_elem(&tracks, &key);
	if (track && now - track->last_ns <= idle_limit(track, port, settings, packet->protocol)) {
		/* A SYN after the end begins another connection: the rules are asked again. */
		int reopens = track->phase == CLOSED &&
			      (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

		if (!reopens) {
			advance(track, packet, direction, now);
			return 1;
		}
	}
	if (!groups_allow(packet, eni, port, direction)) {
		if (track)
			bpf_map_delete_elem(&tracks, &key);
		return 0;
	}
	fresh.last_ns = now;
	fresh.phase = OPENING;
	fresh.flags = direction == EGRESS ? BEGUN_OUTWARD : 0;
	if (packet->tcp_flags & TCP_FIN)
		fresh.flags |= direction == EGRESS ? FIN_OUTWARD : FIN_INWARD;
	bpf_map_update_elem(&tracks, &key, &fresh, BPF_ANY);
	return 1;
}

#endif
