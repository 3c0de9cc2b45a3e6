/* SPDX-License-Identifier: Apache-2.0 */
/* Stateful tracking, per ENI. Rules are asked only for a packet that belongs to no tracked flow. A flow of TCP or UDP is
 * not tracked when a rule for everyone allows it and another allows all answers to everyone, from any port: without
 * those rules it ends at once. */
#ifndef UNDERLAY_TRACK_H
#define UNDERLAY_TRACK_H

#include "groups.h"

/* <errno.h> and <time.h> need the C library. */
#define EEXIST 17
#define CLOCK_MONOTONIC 1

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
	struct flow_ports ports = ports_of_flow(direction == EGRESS, protocol, l4);

	__builtin_memset(key, 0, sizeof(*key));
	key->eni = eni;
	key->local = direction == EGRESS ? *source : *destination;
	key->remote = direction == EGRESS ? *destination : *source;
	key->local_port = ports.local;
	key->remote_port = ports.remote;
	key->protocol = protocol;
}

/* Another processor may have seen a later packet of the flow meanwhile. */
static __always_inline __u64 idle_ns(__u64 last_ns, __u64 now)
{
	return now > last_ns ? now - last_ns : 0;
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
	case IPPROTO_ICMPV6:
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

struct side {
	const struct port *port;
	const struct settings *settings;
	__u64 now;
	__u32 eni;
	enum direction direction;
};

enum passing { REFUSED, UNTRACKED, TRACKED, NO_ROOM };

static __always_inline int is_alive(const struct track *track, const struct side *side, __u8 protocol)
{
	/* Who moved to another instance left its flows behind. */
	return track->holder == side->port->holder &&
	       idle_ns(track->last_ns, side->now) <= idle_limit(track, side->port, side->settings, protocol);
}

static __always_inline void forget(const struct track_key *key, __u32 holder)
{
	struct tracking *tracking = bpf_map_lookup_elem(&trackings, &holder);

	/* Whoever removes it counts it. */
	if (!bpf_map_delete_elem(&tracks, key) && tracking)
		__sync_fetch_and_add(&tracking->used, -1);
}

/* An idle flow makes room for others. It is looked at again after its limit, or after a while, since its ENI may be gone
 * by then. */
#define LONGEST_WAIT_NS (60ULL * 1000000000)

static int expire(void *map, struct track_key *key, struct track *track)
{
	__u64 limit = 0, idle = idle_ns(track->last_ns, bpf_ktime_get_ns());
	__u32 zero = 0, eni = key->eni;
	struct settings *settings = bpf_map_lookup_elem(&settings_table, &zero);
	struct port *port = bpf_map_lookup_elem(&ports, &eni);

	(void)map;
	if (settings && port && port->holder == track->holder)
		limit = idle_limit(track, port, settings, key->protocol);
	if (idle >= limit) {
		forget(key, track->holder);
		return 0;
	}
	limit -= idle;
	bpf_timer_start(&track->timer, limit < LONGEST_WAIT_NS ? limit : LONGEST_WAIT_NS, 0);
	return 0;
}

/* The holder's count; 0 when its allowance is used up. */
static __always_inline struct tracking *take_room(const struct port *port)
{
	struct tracking none = {}, *tracking = bpf_map_lookup_elem(&trackings, &port->holder);

	if (!tracking) {
		bpf_map_update_elem(&trackings, &port->holder, &none, BPF_NOEXIST);
		tracking = bpf_map_lookup_elem(&trackings, &port->holder);
	}
	if (!tracking)
		return 0;
	if (__sync_fetch_and_add(&tracking->used, 1) < port->allowance)
		return tracking;
	__sync_fetch_and_add(&tracking->used, -1);
	__sync_fetch_and_add(&tracking->exceeded, 1);
	return 0;
}

static __always_inline void begin(struct track *track, const struct side *side, __u8 tcp_flags)
{
	track->last_ns = side->now;
	track->holder = side->port->holder;
	track->phase = OPENING;
	track->flags = side->direction == EGRESS ? BEGUN_OUTWARD : 0;
	if (tcp_flags & TCP_FIN)
		track->flags |= side->direction == EGRESS ? FIN_OUTWARD : FIN_INWARD;
}

static __always_inline enum passing track_flow(const struct track_key *key, const struct side *side,
					       const struct packet *packet)
{
	struct tracking *tracking = take_room(side->port);
	struct track fresh = {}, *track;
	long fault;

	if (!tracking)
		return NO_ROOM;
	begin(&fresh, side, packet->tcp_flags);
	fault = bpf_map_update_elem(&tracks, key, &fresh, BPF_NOEXIST);
	if (fault) {
		__sync_fetch_and_add(&tracking->used, -1);
		if (fault == -EEXIST) /* another processor was first */
			return TRACKED;
		__sync_fetch_and_add(&tracking->exceeded, 1);
		return NO_ROOM;
	}
	track = bpf_map_lookup_elem(&tracks, key);
	if (track && !bpf_timer_init(&track->timer, &tracks, CLOCK_MONOTONIC)) {
		bpf_timer_set_callback(&track->timer, expire);
		bpf_timer_start(&track->timer, idle_limit(track, side->port, side->settings, key->protocol), 0);
	}
	return TRACKED;
}

/* An ICMP error passes with the flow that it speaks of. */
static __always_inline int is_related(struct __sk_buff *skb, const struct side *side,
				      const struct packet *packet)
{
	struct quoted quoted = {};
	struct track_key key;
	struct track *track;

	if (!read_quoted(skb, packet, &quoted))
		return 0;
	track_key_of(&key, side->eni, side->direction == EGRESS ? INGRESS : EGRESS, quoted.protocol,
		     &quoted.source, &quoted.destination, &quoted.l4);
	track = bpf_map_lookup_elem(&tracks, &key);
	return track && is_alive(track, side, quoted.protocol);
}

/* TCP is tracked from its first packet on: could a later one begin a tracked flow, the next segment of the one side would
 * revive what the removal of a rule has cut for the other. */
static __always_inline int may_begin(const struct packet *packet)
{
	return packet->protocol != IPPROTO_TCP || is_first_of_tcp(packet);
}

/* What the rules say of a packet that belongs to no tracked flow. */
static __always_inline enum passing ask_rules(const struct track_key *key, const struct side *side,
					      const struct packet *packet, struct track *track)
{
	__u8 open = GROUPS_ALLOW_EVERYONE | GROUPS_ALLOW_ANSWERS;
	__u32 zero = 0;
	__u64 *age = bpf_map_lookup_elem(&rules_age, &zero), asked;
	int said, untracked_both_ways;

	if (!age)
		return REFUSED;
	/* Read before the rules are: who changes them counts afterwards. */
	asked = *(volatile __u64 *)age;
	said = groups_say(packet, side->eni, side->direction);
	if (track && (!(said & GROUPS_ALLOW) || track->holder != side->port->holder)) {
		forget(key, track->holder);
		track = 0;
	}
	if (!(said & GROUPS_ALLOW))
		return REFUSED;
	untracked_both_ways = has_ports(packet->protocol) && !packet->must_track &&
			      ((said & open) == open || answers_untracked(packet, side->eni, side->direction));
	if (untracked_both_ways)
		bpf_map_update_elem(&untracked, key, &asked, BPF_ANY);
	if (untracked_both_ways || !may_begin(packet)) {
		if (track)
			forget(key, track->holder);
		return UNTRACKED;
	}
	if (!track)
		return track_flow(key, side, packet);
	begin(track, side, packet->tcp_flags);
	return TRACKED;
}

static __always_inline int is_known_untracked(const struct track_key *key)
{
	__u64 *since = bpf_map_lookup_elem(&untracked, key), *age;
	__u32 zero = 0;

	if (!since)
		return 0;
	age = bpf_map_lookup_elem(&rules_age, &zero);
	return age && *age == *since;
}

static __always_inline enum passing pass_side(struct __sk_buff *skb, const struct side *side,
					      const struct packet *packet)
{
	struct track_key key;
	struct track *track;

	if (is_icmp_error(packet) && !packet->later_fragment && is_related(skb, side, packet))
		return TRACKED;
	track_key_of(&key, side->eni, side->direction, packet->protocol, &packet->source,
		     &packet->destination, &packet->l4);
	track = bpf_map_lookup_elem(&tracks, &key);
	if (track && is_alive(track, side, packet->protocol)) {
		/* A SYN after the end begins another connection: the rules are asked again. */
		int reopens = track->phase == CLOSED && is_first_of_tcp(packet);

		if (!reopens) {
			advance(track, packet, side->direction, side->now);
			return TRACKED;
		}
	}
	if (!track && !packet->must_track && has_ports(packet->protocol) && is_known_untracked(&key))
		return UNTRACKED;
	return ask_rules(&key, side, packet, track);
}

/* Whether the ENI's groups let the packet pass, tracked flows included: enum passing. */
VERIFIED_ONCE int pass_groups(struct __sk_buff *skb, __u32 eni, __u32 direction, const struct packet *packet)
{
	__u32 zero = 0;
	struct side side = {
		.port = bpf_map_lookup_elem(&ports, &eni),
		.settings = bpf_map_lookup_elem(&settings_table, &zero),
		.eni = eni,
		.direction = direction,
	};

	if (!side.port || !side.settings || !packet)
		return REFUSED;
	side.now = packet->now;
	return pass_side(skb, &side, packet);
}

#endif
