/* SPDX-License-Identifier: Apache-2.0 */
/* What user space and the programs of branch ENIs share; mirrored in crates/base/datapath-abi. */
#ifndef UNDERLAY_BRANCH_H
#define UNDERLAY_BRANCH_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#define BRANCH_MARK 0x40000000
#define BRANCH_MARK_SHIFT 18
#define BRANCH_VLAN_MASK 0xfff
#define ROUTER_ALIAS_BASE 0xa9fe1000 /* 169.254.16.0 */
#define ROUTER_ALIAS_V6 0xfe80756e /* fe80:756e::, the tag in the last two bytes */

struct address_v6 {
	__be32 words[4];
};

struct branch_key {
	__u32 trunk; /* index of its device */
	__u32 vlan;
};

/* An address that it does not have is zero. */
struct branch {
	__be32 address;
	__be32 router;
	struct address_v6 address_v6;
	struct address_v6 asker; /* the node's link-local address, from its last question over IPv6 */
	__u8 mac[ETH_ALEN];
	__u8 pad[2];
};

enum counter {
	SENT = 0,
	RECEIVED,
	ROUTER_ASKED,
	DROP_UNKNOWN_BRANCH,
	DROP_FOREIGN_ADDRESS,
	DROP_NOT_IP,
	COUNTERS
};

#endif
