/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a packet is one that a rule speaks of: a rule of a group, or an entry of a network ACL. */
#ifndef UNDERLAY_RULES_H
#define UNDERLAY_RULES_H

#include "packet.h"

struct question {
	struct rules_key key; /* of the chunk of rules being asked */
	__u32 eni;
	__u32 remote_eni; /* 0: no ENI of this VPC has the remote address */
	struct address remote;
	__u16 first;  /* destination port, or ICMP type */
	__u16 second; /* ICMP code */
	__u8 protocol;
	__u8 family; /* PEER_CIDR_V4 or PEER_CIDR_V6 */
	__u8 found;  /* what was found so far */
	__u8 answers; /* the ANSWERS_* that its protocol and family want */
};

static __always_inline int is_within(const struct address *address, const struct rule *rule)
{
	return (address->words[3] & rule->mask.words[3]) == rule->address.words[3] &&
	       (address->words[2] & rule->mask.words[2]) == rule->address.words[2] &&
	       (address->words[1] & rule->mask.words[1]) == rule->address.words[1] &&
	       (address->words[0] & rule->mask.words[0]) == rule->address.words[0];
}

static __always_inline int is_in_list(const struct question *question, __u32 list)
{
	struct route_key key = {
		.prefix_length = 32 + ADDRESS_BITS,
		.table = bpf_htonl(2 * list + (question->family == PEER_CIDR_V6)),
		.destination = question->remote,
	};

	return bpf_map_lookup_elem(&list_blocks, &key) != 0;
}

static __always_inline int is_peer(const struct question *question, const struct rule *rule)
{
	struct member_key member;

	switch (rule->peer) {
	case PEER_CIDR_V4:
	case PEER_CIDR_V6:
		return rule->peer == question->family && is_within(&question->remote, rule);
	case PEER_LIST:
		return is_in_list(question, rule->address.words[0]);
	default:
		if (!question->remote_eni)
			return 0;
		member.eni = question->remote_eni;
		member.group = rule->address.words[0];
		return bpf_map_lookup_elem(&members, &member) != 0;
	}
}

VERIFIED_ONCE int rule_matches(const struct question *question, const struct rule *rule)
{
	if (!question || !rule)
		return 0;
	if (rule->protocol != PROTOCOL_ANY) {
		if (rule->protocol != question->protocol)
			return 0;
		if (has_ports(question->protocol)) {
			if (question->first < rule->from || question->first > rule->to)
				return 0;
		} else if (is_icmp(question->protocol)) {
			if (rule->from != ICMP_ANY && question->first != rule->from)
				return 0;
			if (rule->to != ICMP_ANY && question->second != rule->to)
				return 0;
		}
	}
	return is_peer(question, rule);
}

static __always_inline void ask_about(struct question *question, const struct packet *packet,
				      enum direction direction)
{
	question->key.direction = direction;
	question->remote = direction == EGRESS ? packet->destination : packet->source;
	question->protocol = packet->protocol;
	question->family = packet->is_v6 ? PEER_CIDR_V6 : PEER_CIDR_V4;
	if (is_icmp(packet->protocol)) {
		question->first = packet->l4.icmp_type;
		question->second = packet->l4.icmp_code;
	} else {
		question->first = bpf_ntohs(packet->l4.destination_port);
	}
}

#endif
