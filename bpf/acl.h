/* SPDX-License-Identifier: Apache-2.0 */
/* Network ACLs: stateless, at the edge of a subnet. Of the entries, in their order, the first that matches decides. */
#ifndef UNDERLAY_ACL_H
#define UNDERLAY_ACL_H

#include "rules.h"

#define ACL_ALLOWED 1

static long ask_acl_chunk(__u32 index, struct question *question)
{
	struct rule_chunk *chunk;
	__u32 i;

	question->key.chunk = index;
	chunk = bpf_map_lookup_elem(&acl_rules, &question->key);
	if (!chunk)
		return 1;
	for (i = 0; i < RULES_PER_CHUNK; i++) {
		if (i >= chunk->count)
			return 1;
		if (rule_matches(question, &chunk->rules[i])) {
			if (!(chunk->rules[i].flags & RULE_DENY))
				question->found = ACL_ALLOWED;
			return 1;
		}
	}
	return 0;
}

/* `acl` 0 lets everything pass. */
VERIFIED_ONCE int acl_allows(__u32 acl, const struct packet *packet, __u32 direction)
{
	struct question question = { .key.list = acl };

	if (!acl || !packet)
		return 1;
	ask_about(&question, packet, direction);
	bpf_loop(CHUNKS_PER_LIST, ask_acl_chunk, &question, 0);
	return question.found != 0;
}

#endif
