/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric's tables. Sizes are defaults: user space sets them when it loads the object. */
#ifndef UNDERLAY_MAPS_H
#define UNDERLAY_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "fabric.h"

#define TABLE_WITH(name, kind, key_type, value_type, entries, flags) \
	struct {                                                     \
		__uint(type, kind);                                  \
		__type(key, key_type);                               \
		__type(value, value_type);                           \
		__uint(max_entries, entries);                        \
		__uint(map_flags, flags);                            \
	} name SEC(".maps")

/* Filled by packets: memory is taken at load, so that filling never allocates. */
#define TABLE(name, kind, key_type, value_type, entries) \
	TABLE_WITH(name, kind, key_type, value_type, entries, 0)

/* Filled by user space, seldom: memory is taken when needed. */
#define MODEL(name, kind, key_type, value_type, entries) \
	TABLE_WITH(name, kind, key_type, value_type, entries, BPF_F_NO_PREALLOC)

TABLE(settings_table, BPF_MAP_TYPE_ARRAY, __u32, struct settings, 1);
/* The flow-log window now open. */
TABLE(window, BPF_MAP_TYPE_ARRAY, __u32, __u32, 1);
TABLE(counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, COUNTERS);
/* How many service ids have been tried, over and over again from the first. */
TABLE(service_ids_tried, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1);

MODEL(enis, BPF_MAP_TYPE_HASH, __u32, __u32, 65536); /* ifindex to ENI */
MODEL(ports, BPF_MAP_TYPE_HASH, __u32, struct port, 65536);
MODEL(addresses, BPF_MAP_TYPE_HASH, struct address_key, __u32, 1048576);
MODEL(routes, BPF_MAP_TYPE_LPM_TRIE, struct route_key, struct route, 262144);
MODEL(group_rules, BPF_MAP_TYPE_HASH, struct rules_key, struct rule_chunk, 65536);
/* Of network ACLs. */
MODEL(acl_rules, BPF_MAP_TYPE_HASH, struct rules_key, struct rule_chunk, 65536);
/* Blocks of prefix lists: the table of the key is the list's number, as with route tables. */
MODEL(list_blocks, BPF_MAP_TYPE_LPM_TRIE, struct route_key, __u32, 262144);
MODEL(members, BPF_MAP_TYPE_HASH, struct member_key, __u32, 1048576);

MODEL(publics, BPF_MAP_TYPE_HASH, struct address_key, struct address, 65536);
/* By public address or block; the table of the key is 0. */
MODEL(owners, BPF_MAP_TYPE_LPM_TRIE, struct route_key, struct owner, 65536);
MODEL(nat_gateways, BPF_MAP_TYPE_HASH, __u32, struct nat_gateway, 4096);
MODEL(branches, BPF_MAP_TYPE_HASH, struct branch_key, __u32, 65536);

/* Grows with each change of what groups allow. */
TABLE(rules_age, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1);

/* Full, it takes no new flow: none that is tracked is forgotten for it. */
TABLE(tracks, BPF_MAP_TYPE_HASH, struct track_key, struct track, 262144);
MODEL(trackings, BPF_MAP_TYPE_HASH, __u32, struct tracking, 65536);
/* Flows that need no tracking, with the age of the rules that say so: a shortcut, asked for again when it is lost. */
TABLE(untracked, BPF_MAP_TYPE_LRU_HASH, struct track_key, __u64, 65536);
TABLE(fragments, BPF_MAP_TYPE_LRU_HASH, struct fragment_key, struct transport, 4096);
TABLE(sessions, BPF_MAP_TYPE_LRU_HASH, struct session_key, struct session, 131072);
TABLE(allowances, BPF_MAP_TYPE_LRU_HASH, __u32, struct allowance, 16384);
TABLE(flows, BPF_MAP_TYPE_HASH, struct flow_key, struct flow, 131072);
TABLE(flow_losses, BPF_MAP_TYPE_HASH, struct loss_key, __u64, 8192);
/* The longest silent caller makes room for a new one. The two may disagree: `callers` is right. */
TABLE(callers, BPF_MAP_TYPE_LRU_HASH, struct address, struct caller, 65536);
TABLE(caller_ids, BPF_MAP_TYPE_LRU_HASH, struct caller, struct address, 65536);

/* The programs that a packet goes on to. */
enum gate { GATE_SEND_ON = 0, GATE_INTERNET_OUT, GATE_INTERNET_IN, GATE_NAT_OUT, GATE_NAT_IN, GATES };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, GATES);
} gates SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
}

#endif
