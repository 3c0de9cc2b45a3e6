/* SPDX-License-Identifier: Apache-2.0 */
/* The router of a branch over IPv6 (RFC 4861). Its address is the same in every subnet, so that the node asks for an alias,
 * as with ARP; question and answer are put in the branch's words and back. */
#ifndef UNDERLAY_BRANCH_DISCOVERY_H
#define UNDERLAY_BRANCH_DISCOVERY_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "branch.h"

#define IPPROTO_ICMPV6 58
#define ROUTER_SOLICIT 133
#define NEIGHBOUR_SOLICIT 135
#define NEIGHBOUR_ADVERTISE 136
#define REDIRECT 137
/* What a router has forwarded has less. */
#define FROM_THE_LINK 255
#define OPTION_SOURCE_MAC 1

struct header_v6 {
	__be32 version_class_label;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	struct address_v6 source;
	struct address_v6 destination;
};

/* A question or an answer. */
struct neighbour {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags;
	struct address_v6 target;
};

struct advertisement {
	struct header_v6 ip;
	struct neighbour message;
};

struct solicitation {
	struct header_v6 ip;
	struct neighbour message;
	__u8 option;
	__u8 option_length; /* of 8 bytes each */
	__u8 mac[ETH_ALEN];
};

_Static_assert(sizeof(struct solicitation) == 40 + 24 + 8, "no padding");

static __always_inline int is_same_v6(const struct address_v6 *left, const struct address_v6 *right)
{
	return left->words[0] == right->words[0] && left->words[1] == right->words[1] &&
	       left->words[2] == right->words[2] && left->words[3] == right->words[3];
}

static __always_inline int is_none_v6(const struct address_v6 *address)
{
	return !(address->words[0] | address->words[1] | address->words[2] | address->words[3]);
}

/* fe80:ec2::1, which every subnet's router has. */
static __always_inline struct address_v6 router_v6(void)
{
	struct address_v6 address = { .words = { __bpf_constant_htonl(0xfe800ec2), 0, 0,
						 __bpf_constant_htonl(1) } };

	return address;
}

static __always_inline struct address_v6 alias_v6(__u32 vlan)
{
	struct address_v6 address = { .words = { __bpf_constant_htonl(ROUTER_ALIAS_V6), 0, 0,
						 bpf_htonl(vlan) } };

	return address;
}

static __always_inline int is_alias_v6(const struct address_v6 *address)
{
	return address->words[0] == bpf_htonl(ROUTER_ALIAS_V6) && !address->words[1] && !address->words[2] &&
	       !(bpf_ntohl(address->words[3]) & ~BRANCH_VLAN_MASK);
}

/* Where who solicits the router's address sends to (RFC 4291 section 2.7.1). */
static __always_inline struct address_v6 router_solicited(void)
{
	struct address_v6 address = { .words = { __bpf_constant_htonl(0xff020000), 0, __bpf_constant_htonl(1),
						 __bpf_constant_htonl(0xff000001) } };

	return address;
}

/* The link-local address made of an Ethernet address (RFC 4291, appendix A), as a device of the branch's own would have. */
static __always_inline struct address_v6 link_local_of(const __u8 *mac)
{
	struct address_v6 address = {
		.words = { __bpf_constant_htonl(0xfe800000), 0,
			   bpf_htonl(((mac[0] ^ 2) << 24) | (mac[1] << 16) | (mac[2] << 8) | 0xff),
			   bpf_htonl((0xfeU << 24) | (mac[3] << 16) | (mac[4] << 8) | mac[5]) }
	};

	return address;
}

/* Of a packet of ICMPv6. */
static __always_inline int is_discovery(const struct advertisement *packet)
{
	return packet->message.type >= ROUTER_SOLICIT && packet->message.type <= REDIRECT;
}

static __always_inline __u16 folded(__s64 sum)
{
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* Makes the node's question the branch's, for the real router. RFC 4443 section 2.3 has the checksum. */
static __always_inline void ask_as_branch(struct solicitation *asked, const struct branch *branch)
{
	struct address_v6 router = router_v6();
	__u32 words[2] = { bpf_htonl(sizeof(*asked) - sizeof(asked->ip)), bpf_htonl(IPPROTO_ICMPV6) };
	__s64 sum;

	/* Else the node only makes sure that the router is still there. */
	if ((bpf_ntohl(asked->ip.destination.words[0]) >> 24) == 0xff)
		asked->ip.destination = router_solicited();
	else
		asked->ip.destination = router;
	asked->ip.source = link_local_of(branch->mac);
	asked->message.target = router;
	asked->message.checksum = 0;
	__builtin_memcpy(asked->mac, branch->mac, ETH_ALEN);
	sum = bpf_csum_diff(0, 0, (__be32 *)&asked->ip.source, 2 * sizeof(asked->ip.source), 0);
	sum = bpf_csum_diff(0, 0, words, sizeof(words), sum);
	sum = bpf_csum_diff(0, 0, (__be32 *)&asked->message, sizeof(*asked) - sizeof(asked->ip), sum);
	asked->message.checksum = folded(sum);
}

/* Makes the router's answer the alias', for the node. */
static __always_inline void answer_as_alias(struct advertisement *answer, const struct branch *branch, __u32 vlan)
{
	struct address_v6 before[2] = { answer->ip.destination, answer->message.target };
	struct address_v6 after[2] = { branch->asker, alias_v6(vlan) };
	__s64 sum = bpf_csum_diff((__be32 *)before, sizeof(before), (__be32 *)after, sizeof(after),
				  ~answer->message.checksum & 0xffff);

	answer->ip.destination = after[0];
	answer->message.target = after[1];
	answer->message.checksum = folded(sum);
}

#endif
