/* SPDX-License-Identifier: Apache-2.0 */
/* What the fabric's programs and user space share. crates/base/fabric-abi mirrors this file, field by field, and checks
 * sizes and offsets at compile time. Addresses and ports are in network order (__be), all else in host order. An
 * address has 16 bytes, whatever its family: an IPv4 address is v4-mapped (::ffff:a.b.c.d), and lengths of its
 * prefixes count from there. */
#ifndef UNDERLAY_FABRIC_H
#define UNDERLAY_FABRIC_H

#include <linux/bpf.h>
#include <linux/types.h>

#define GROUPS_PER_PORT 16
#define RULES_PER_CHUNK 32
#define CHUNKS_PER_LIST 32
#define MTU 9001
#define NAT_ADDRESSES 8

/* Seen from the ENI's owner: egress leaves the instance. */
enum direction { INGRESS = 0, EGRESS = 1 };

enum action { ACCEPT = 0, REJECT = 1 };

/* What one packet is to a rule. */
#define RULE_EVERYONE 1 /* its peer is every address of a family */
#define RULE_DENY 2     /* of a network ACL */

/* Of a chunk: every answer of a kind may pass, whoever it is for or from. */
#define ANSWERS_TCP_V4 1
#define ANSWERS_UDP_V4 2
#define ANSWERS_TCP_V6 4
#define ANSWERS_UDP_V6 8

enum route_kind {
	ROUTE_LOCAL = 1,
	ROUTE_ENI = 2,
	ROUTE_BLACKHOLE = 3,
	ROUTE_INTERNET = 4,
	ROUTE_EGRESS_ONLY = 5,
	ROUTE_NAT = 6,
	ROUTE_PEERING = 7,
};

enum rule_peer { PEER_CIDR_V4 = 0, PEER_CIDR_V6 = 1, PEER_GROUP = 2, PEER_LIST = 3 };

#define V4_BITS 96 /* in front of an IPv4 address */
#define ADDRESS_BITS 128
#define PREFIX_V4_BITS (V4_BITS + 28)
#define PREFIX_V6_BITS 80

#define PROTOCOL_ANY 0xffff
#define ICMP_ANY 0xffff

#define PORT_SOURCE_DEST_CHECK 1
#define PORT_NAT 2 /* of a NAT gateway: no device */

/* Why a packet ended in the fabric, or that it went through. Index into `counters`. */
enum counter {
	DELIVERED = 0,
	DELIVERED_TO_SERVICE,
	DELIVERED_FROM_SERVICE,
	ARP_ANSWERED,
	ARP_IGNORED,
	DROP_NOT_IP,
	DROP_MULTICAST,
	DROP_MALFORMED,
	DROP_NO_PORT,
	DROP_MTU,
	DROP_SOURCE_CHECK,
	DROP_EGRESS_GROUPS,
	DROP_NO_ROUTE,
	DROP_BLACKHOLE,
	DROP_UNKNOWN_ADDRESS,
	DROP_DEST_CHECK,
	DROP_INGRESS_GROUPS,
	DROP_FRAGMENT,
	DROP_SERVICE_TABLE_FULL,
	DROP_EGRESS_ACL,
	DROP_INGRESS_ACL,
	DROP_TRACKING_FULL,
	NEIGHBOUR_ANSWERED,
	NEIGHBOUR_IGNORED,
	ROUTER_ADVERTISED,
	TOO_BIG_ANSWERED,
	DELIVERED_TO_OUTSIDE,
	DROP_EGRESS_ONLY,
	DROP_LINK_LOCAL_ALLOWANCE,
	DROP_NAT_NO_FLOW,
	DROP_NAT_PORTS,
	DROP_NAT_PROTOCOL,
	DROP_NO_PUBLIC_ADDRESS,
	NAT_RESETS,
	COUNTERS,
};

struct address {
	__be32 words[4];
};

struct settings {
	__u32 services_ifindex; /* the services device on the fabric's side */
	__u8 services_mac[6];   /* of its other end */
	__u8 services_gateway_mac[6];
	__u32 service_ids_base; /* first IPv4 address that stands for a caller, host order */
	__u32 service_ids;      /* how many there are */
	__u32 outside_ifindex;  /* the outside world's device on the fabric's side */
	__u8 outside_mac[6];    /* of its other end */
	__u8 outside_gateway_mac[6];
	__u32 link_local_packets; /* that an ENI may send to link-local services in a second */
	__u32 pad;
	__u64 nat_idle_ns;
	__u64 tcp_half_open_ns;
	__u64 tcp_closing_ns;
	__u64 icmp_ns;
	__u64 other_ns;
};

/* An ENI that has a device, its own or its trunk's, or is a NAT gateway's. */
struct port {
	__u32 ifindex; /* on the fabric's side */
	__u32 vpc;
	__u32 route_table;
	__u32 flags;
	__u32 subnet;
	__u32 acl;         /* 0: lets everything pass */
	__u32 holder;      /* whose allowance its tracked flows count against */
	__u32 allowance;   /* how many tracked flows the holder may have */
	__u32 v6_bits;     /* length of the subnet's IPv6 block; 0 without one */
	struct address router;
	struct address broadcast;
	struct address resolver; /* beside the link-local one: the VPC's base plus two */
	struct address subnet_v6; /* first address of the IPv6 block */
	__u8 mac[6];
	__u8 gateway_mac[6];
	__u32 group_count;
	__u32 groups[GROUPS_PER_PORT];
	__u32 vlan; /* of a branch ENI: its tag on the trunk's device; else 0 */
	__u64 tcp_established_ns;
	__u64 udp_ns;
	__u64 udp_stream_ns;
};

struct address_key {
	__u32 vpc;
	struct address address;
	__u32 prefix_length; /* ADDRESS_BITS, PREFIX_V4_BITS or PREFIX_V6_BITS */
};

/* Of a longest-prefix trie: prefix_length counts the 32 bits of the table too. A table has a number for each family, as
 * ::/0 would cover the v4-mapped addresses else: twice the table's own, plus 1 for IPv6. */
struct route_key {
	__u32 prefix_length;
	__be32 table;
	struct address destination;
};

struct route {
	__u32 kind;
	__u32 eni; /* the NAT gateway's too; of a peering, the other VPC's number */
	__u32 mtu; /* of the way beyond; at most MTU */
};

#define OWNER_TRANSLATES 1  /* to a private address */
#define OWNER_EGRESS_ONLY 2 /* no internet gateway: answers come in, and nothing else */

/* Whose a public address is. */
struct owner {
	__u32 vpc;
	__u32 flags;
	struct address private; /* what the public address is translated to, if it is */
};

struct nat_gateway {
	__u32 count;
	__be32 addresses[NAT_ADDRESSES];
};

enum session_side { NAT_INSIDE = 0, NAT_OUTSIDE = 1, EGRESS_ONLY = 2 };

/* A flow through a gateway: inside, by the address of who began it; outside, by the gateway's own. */
struct session_key {
	__u32 gateway; /* ENI; of an egress-only gateway, VPC */
	__u32 side;
	struct address local;
	struct address remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};

struct session {
	__u64 last_ns;
	__be32 address; /* what the local end is translated to */
	__be16 port;
	__u8 ended; /* FIN_OUTWARD, FIN_INWARD; both after a RST */
	__u8 pad;
};

/* What an ENI sent to link-local services in a second. */
struct allowance {
	__u64 second;
	__u64 packets;
	__u64 exceeded; /* since the beginning */
};

/* Of a branch ENI on its trunk. */
struct branch_key {
	__u32 trunk;
	__u32 vlan;
};

/* Of `group_rules` and `acl_rules`. */
struct rules_key {
	__u32 list; /* number of the group or of the ACL */
	__u32 direction;
	__u32 chunk;
};

struct rule {
	__u16 protocol;
	__u16 peer; /* enum rule_peer */
	__u16 from; /* port, or ICMP type */
	__u16 to;   /* port, or ICMP code */
	__u32 flags;
	struct address address; /* of a group or prefix list, its number in the first word, host order */
	struct address mask;
};

struct rule_chunk {
	__u32 count;
	__u32 answers; /* in the first chunk: ANSWERS_* of all chunks */
	struct rule rules[RULES_PER_CHUNK];
};

struct member_key {
	__u32 eni;
	__u32 group;
};

/* A flow as one ENI sees it. */
struct track_key {
	__u32 eni;
	struct address local;
	struct address remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};

struct track {
	__u64 last_ns;
	__u32 holder;
	__u8 phase;
	__u8 flags;
	__u8 pad[2];
	struct bpf_timer timer; /* ends it when it was idle for too long */
};

/* Tracked flows of an instance. */
struct tracking {
	__u64 used;
	__u64 exceeded; /* packets that found no room */
};

struct flow_key {
	__u32 window;
	__u32 eni;
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 direction;
	__u8 action;
	__u8 pad;
};

struct flow {
	__u64 first_ns;
	__u64 last_ns;
	__u64 packets;
	__u64 bytes;
	__u32 tcp_flags;
	__u32 pad;
};

struct loss_key {
	__u32 window;
	__u32 eni;
};

/* A caller of a link-local service. */
struct caller {
	__u32 eni;
	struct address address;
	struct address service; /* as the caller calls it */
};

struct fragment_key {
	__u32 eni;
	struct address source;
	struct address destination;
	__be32 id;
	__u8 protocol;
	__u8 pad[3];
};

struct transport {
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 icmp_code;
	__be16 icmp_id;
};

#endif
