/* SPDX-License-Identifier: Apache-2.0 */
/* Security groups: allow-only, the union of all groups of the ENI. */
#ifndef UNDERLAY_GROUPS_H
#define UNDERLAY_GROUPS_H

#include "rules.h"

/* What the groups say of a packet. */
#define GROUPS_ALLOW 1
#define GROUPS_ALLOW_EVERYONE 2 /* by a rule whose peer is everyone */
#define GROUPS_ALLOW_ANSWERS 4  /* and answers to everyone, from any port */

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
			question->found |= GROUPS_ALLOW;
			if (chunk->rules[i].flags & RULE_EVERYONE)
				question->found |= GROUPS_ALLOW_EVERYONE;
			/* Which rule allows it matters only where it decides about tracking. */
			if (!question->answers || (question->found & GROUPS_ALLOW_EVERYONE))
				return 1;
		}
	}
	return 0;
}

static __always_inline int is_answered(const struct question *question)
{
	__u8 all = GROUPS_ALLOW | GROUPS_ALLOW_EVERYONE | GROUPS_ALLOW_ANSWERS;

	return question->answers ? question->found == all : question->found != 0;
}

static long ask_group(__u32 index, struct question *question)
{
	struct port *port = bpf_map_lookup_elem(&ports, &question->eni);
	__u32 direction = question->key.direction;
	struct rule_chunk *back;

	if (!port || index >= GROUPS_PER_PORT || index >= port->group_count)
		return 1;
	question->key.list = port->groups[index];
	bpf_loop(CHUNKS_PER_LIST, ask_chunk, question, 0);
	if (question->answers) {
		question->key.direction = direction == EGRESS ? INGRESS : EGRESS;
		question->key.chunk = 0;
		back = bpf_map_lookup_elem(&group_rules, &question->key);
		if (back && (back->answers & question->answers))
			question->found |= GROUPS_ALLOW_ANSWERS;
		question->key.direction = direction;
	}
	/* The verifier wants 0 or 1 of a callback. */
	return is_answered(question) != 0;
}

VERIFIED_ONCE int ask_groups(const struct question *question)
{
	struct question own; /* bpf_loop takes nothing but this frame's stack */

	if (!question)
		return 0;
	own = *question;
	bpf_loop(GROUPS_PER_PORT, ask_group, &own, 0);
	return own.found;
}

VERIFIED_ONCE int eni_of(__u32 vpc, const struct address *address)
{
	struct address_key key = { .vpc = vpc, .prefix_length = ADDRESS_BITS };
	__u32 *eni;

	if (!address)
		return 0;
	key.address = *address;
	eni = bpf_map_lookup_elem(&addresses, &key);
	if (!eni) {
		if (is_v4(address)) {
			key.address.words[3] &= bpf_htonl(0xfffffff0);
			key.prefix_length = PREFIX_V4_BITS;
		} else {
			key.address.words[3] = 0;
			key.address.words[2] &= bpf_htonl(0xffff0000);
			key.prefix_length = PREFIX_V6_BITS;
		}
		eni = bpf_map_lookup_elem(&addresses, &key);
	}
	return eni ? *eni : 0;
}

static __always_inline __u8 answers_of(const struct packet *packet)
{
	if (!has_ports(packet->protocol))
		return 0;
	if (packet->is_v6)
		return packet->protocol == IPPROTO_TCP ? ANSWERS_TCP_V6 : ANSWERS_UDP_V6;
	return packet->protocol == IPPROTO_TCP ? ANSWERS_TCP_V4 : ANSWERS_UDP_V4;
}

/* Asks the ENI's groups; GROUPS_* are the answer. */
static __always_inline int groups_say(const struct packet *packet, __u32 eni, enum direction direction)
{
	struct question question = { .eni = eni };

	ask_about(&question, packet, direction);
	question.answers = answers_of(packet);
	question.remote_eni = packet->remote_vpc ? eni_of(packet->remote_vpc, &question.remote) : 0;
	return ask_groups(&question);
}

/* Whether the packet may be the answer within a flow that needs no tracking: everyone may begin such flows the other
 * way, and everything may pass this way. A first packet of TCP answers nothing. */
static __always_inline int answers_untracked(const struct packet *packet, __u32 eni,
					     enum direction direction)
{
	__u8 both = GROUPS_ALLOW_EVERYONE | GROUPS_ALLOW_ANSWERS;
	struct question question = { .eni = eni };

	if (packet->protocol == IPPROTO_TCP && is_first_of_tcp(packet))
		return 0;
	ask_about(&question, packet, direction);
	question.key.direction = direction == EGRESS ? INGRESS : EGRESS;
	question.first = bpf_ntohs(packet->l4.source_port);
	question.answers = answers_of(packet);
	return (ask_groups(&question) & both) == both;
}

#endif
