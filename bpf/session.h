/* SPDX-License-Identifier: Apache-2.0 */
/* Flows that a gateway remembers: those of NAT and of egress-only gateways. */
#ifndef UNDERLAY_SESSION_H
#define UNDERLAY_SESSION_H

#include "gateway.h"
#include "track.h"

#define SESSION_ENDED (FIN_OUTWARD | FIN_INWARD)

/* The flow of a packet, as seen from the gateway: the local end is the sender's of what goes out. */
static __always_inline void session_key_of(struct session_key *key, __u32 gateway, enum session_side side,
					   const struct packet *packet, int outward)
{
	struct flow_ports ports = ports_of_flow(outward, packet->protocol, &packet->l4);

	__builtin_memset(key, 0, sizeof(*key));
	key->gateway = gateway;
	key->side = side;
	key->local = outward ? packet->source : packet->destination;
	key->remote = outward ? packet->destination : packet->source;
	key->protocol = packet->protocol;
	key->local_port = ports.local;
	key->remote_port = ports.remote;
}

/* The flow that an ICMP error speaks of, which went the other way. 0 if the message does not say. */
static __always_inline int quoted_session_key(struct __sk_buff *skb, struct session_key *key, __u32 gateway,
					      enum session_side side, const struct packet *packet, int outward)
{
	struct quoted quoted = {};
	struct flow_ports ports;

	if (!read_quoted(skb, packet, &quoted))
		return 0;
	ports = ports_of_flow(!outward, quoted.protocol, &quoted.l4);
	__builtin_memset(key, 0, sizeof(*key));
	key->gateway = gateway;
	key->side = side;
	key->local = outward ? quoted.destination : quoted.source;
	key->remote = outward ? quoted.source : quoted.destination;
	key->protocol = quoted.protocol;
	key->local_port = ports.local;
	key->remote_port = ports.remote;
	return 1;
}

static __always_inline int is_live(const struct session *session, const struct settings *settings, __u64 now)
{
	__u64 limit = session->ended == SESSION_ENDED ? settings->tcp_closing_ns : settings->nat_idle_ns;

	return idle_ns(session->last_ns, now) <= limit;
}

static __always_inline struct session *live_session(const struct session_key *key,
						    const struct settings *settings, __u64 now)
{
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	return session && is_live(session, settings, now) ? session : 0;
}

static __always_inline void touch(struct session *session, const struct packet *packet, int outward, __u64 now)
{
	session->last_ns = now;
	if (packet->protocol != IPPROTO_TCP)
		return;
	if (packet->tcp_flags & TCP_RST)
		session->ended = SESSION_ENDED;
	else if (packet->tcp_flags & TCP_FIN)
		session->ended |= outward ? FIN_OUTWARD : FIN_INWARD;
}

/* An egress-only gateway lets in what belongs to a flow that began inside. */
VERIFIED_ONCE int remember_egress(__u32 vpc, const struct packet *packet)
{
	struct session fresh = {};
	struct session_key key;

	if (!packet)
		return 0;
	fresh.last_ns = packet->now;
	session_key_of(&key, vpc, EGRESS_ONLY, packet, 1);
	return (int)bpf_map_update_elem(&sessions, &key, &fresh, BPF_ANY);
}

/* An error about such a flow comes in too, and does not keep it alive. */
static __always_inline int is_egress_answer(struct __sk_buff *skb, __u32 vpc, const struct packet *packet,
					    const struct settings *settings)
{
	struct session_key key;
	struct session *session;
	int is_error = is_icmp_error(packet);

	if (is_error) {
		if (!quoted_session_key(skb, &key, vpc, EGRESS_ONLY, packet, 0))
			return 0;
	} else {
		session_key_of(&key, vpc, EGRESS_ONLY, packet, 0);
	}
	session = live_session(&key, settings, packet->now);
	if (session && !is_error)
		session->last_ns = packet->now;
	return session != 0;
}

#endif
