/* SPDX-License-Identifier: Apache-2.0 */
/* What user space and the programs of branch ENIs share; mirrored in crates/base/datapath-abi. */
#ifndef UNDERLAY_BRANCH_H
#define UNDERLAY_BRANCH_H

#include <linux/bpf.h>
#include <linux/if_ether.h>

#define BRANCH_MARK 0x40000000
#define BRANCH_MARK_SHIFT 20
#define BRANCH_VLAN_MASK 0x3ff
#define ROUTER_ALIAS_BASE 0xa9fe0400 /* 169.254.4.0 */

struct branch_key {
	__u32 trunk; /* index of its device */
	__u32 vlan;
};

struct branch {
	__be32 address;
	__be32 router;
	__u8 mac[ETH_ALEN];
	__u8 pad[2];
};

enum counter {
	SENT = 0,
	RECEIVED,
	ROUTER_ASKED,
	DROP_UNKNOWN_BRANCH,
	DROP_FOREIGN_ADDRESS,
	DROP_NOT_IPV4,
	COUNTERS
};

#endif
