/* SPDX-License-Identifier: Apache-2.0 */
/* Security groups: allow-only, the union of all groups of the ENI. */
#ifndef UNDERLAY_GROUPS_H
#define UNDERLAY_GROUPS_H

#include "packet.h"

struct question {
	struct rules_key key; /* of the chunk of rules being asked */
	__u32 eni;
	struct address remote;
	__u32 remote_eni; /* 0: no ENI of this VPC has the remote address */
	__u16 first;      /* destination port, or ICMP type */
	__u16 second;     /* ICMP code */
	__u16 protocol;
	__u16 allowed;
};

static __always_inline int is_within(const struct address *address, const struct rule *rule)
{
	return (address->words[3] & rule->mask.words[3]) == rule->address.words[3] &&
	       (address->words[2] & rule->mask.words[2]) == rule->address.words[2] &&
	       (address->words[1] & rule->mask.words[1]) == rule->address.words[1] &&
	       (address->words[0] & rule->mask.words[0]) == rule->address.words[0];
}

/* Global functions are verified once, on their own: inlined, the paths through the rules multiply. */
__attribute__((noinline)) int rule_matches(const struct question *question, const struct rule *rule)
{
	struct member_key member;

	if (!question || !rule)
		return 0;
	if (rule->protocol != PROTOCOL_ANY) {
		if (rule->protocol != question->protocol)
			return 0;
		if (question->protocol == IPPROTO_TCP || question->protocol == IPPROTO_UDP) {
			if (question->first < rule->from || question->first > rule->to)
				return 0;
		} else if (question->protocol == IPPROTO_ICMP) {
			if (rule->from != ICMP_ANY && question->first != rule->from)
				return 0;
			if (rule->to != ICMP_ANY && question->second != rule->to)
				return 0;
		}
	}
	if (rule->peer == PEER_CIDR_V4)
		return is_within(&question->remote, rule);
	if (rule->peer != PEER_GROUP || !question->remote_eni)
		return 0;
	member.eni = question->remote_eni;
	member.group = rule->address.words[0];
	return bpf_map_lookup_elem(&members, &member) != 0;
}

static long ask_chunk(__u32 index, struct question *question)
{
	struct rule_chunk *chunk;
	__u32 i;

	question->key.chunk = index;
	chunk = bpf_map_lookup_elem(&group_rules, &question->key);
	if (!chunk)
		return 1;
	for (i = 0; i < RULES_PER_CHUNK; i++) {
		if (i >= chunk->count)
			return 1;
		if (rule_matches(question, &chunk->rules[i])) {
			question->allowed = 1;
			return 1;
		}
	}
	return 0;
}

static long ask_group(__u32 index, struct question *question)
{
	struct port *port = bpf_map_lookup_elem(&ports, &question->eni);

	if (!port || index >= GROUPS_PER_PORT || index >= port->group_count)
		return 1;
	question->key.group = port->groups[index];
	bpf_loop(CHUNKS_PER_GROUP, ask_chunk, question, 0);
	/* The verifier wants 0 or 1 of a callback. */
	return question->allowed != 0;
}

__attribute__((noinline)) int ask_groups(const struct question *question)
{
	struct question own; /* bpf_loop takes nothing but this frame's stack */

	if (!question)
		return 0;
	own = *question;
	bpf_loop(GROUPS_PER_PORT, ask_group, &own, 0);
	return own.allowed != 0;
}

static __always_inline __u32 eni_of(__u32 vpc, const struct address *address)
{
	struct address_key key = { .vpc = vpc, .address = *address, .prefix_length = ADDRESS_BITS };
	__u32 *eni = bpf_map_lookup_elem(&addresses, &key);

	if (!eni) {
		key.address.words[3] &= bpf_htonl(0xfffffff0);
		key.prefix_length = PREFIX_V4_BITS;
		eni = bpf_map_lookup_elem(&addresses, &key);
	}
	return eni ? *eni : 0;
}

static __always_inline int groups_allow(const struct packet *packet, __u32 eni, const struct port *port,
					enum direction direction)
{
	struct question question = {
		.key.direction = direction,
		.eni = eni,
		.remote = direction == EGRESS ? packet->destination : packet->source,
		.protocol = packet->protocol,
	};

	if (packet->protocol == IPPROTO_ICMP) {
		question.first = packet->l4.icmp_type;
		question.second = packet->l4.icmp_code;
	} else {
		question.first = bpf_ntohs(packet->l4.destination_port);
	}
	question.remote_eni = eni_of(port->vpc, &question.remote);
	return ask_groups(&question);
}

#endif
