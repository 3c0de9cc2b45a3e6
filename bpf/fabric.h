/* SPDX-License-Identifier: Apache-2.0 */
/* What the fabric's programs and user space share. crates/base/fabric-abi mirrors this file, field by field, and checks
 * sizes and offsets at compile time. Addresses and ports are in network order (__be), all else in host order. */
#ifndef UNDERLAY_FABRIC_H
#define UNDERLAY_FABRIC_H

#include <linux/types.h>

#define GROUPS_PER_PORT 16
#define RULES_PER_CHUNK 32
#define CHUNKS_PER_GROUP 32
#define MTU 9001

/* Seen from the ENI's owner: egress leaves the instance. */
enum direction { INGRESS = 0, EGRESS = 1 };

enum action { ACCEPT = 0, REJECT = 1 };

enum route_kind { ROUTE_LOCAL = 1, ROUTE_ENI = 2, ROUTE_BLACKHOLE = 3 };

enum rule_peer { PEER_CIDR = 0, PEER_GROUP = 1 };

#define PROTOCOL_ANY 0xffff
#define ICMP_ANY 0xffff

#define PORT_SOURCE_DEST_CHECK 1

/* Why a packet ended in the fabric, or that it went through. Index into `counters`. */
enum counter {
	DELIVERED = 0,
	DELIVERED_TO_SERVICE,
	DELIVERED_FROM_SERVICE,
	ARP_ANSWERED,
	ARP_IGNORED,
	DROP_NOT_IPV4,
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
	COUNTERS,
};

struct settings {
	__u32 services_ifindex; /* the services device on the fabric's side */
	__u8 services_mac[6];   /* of its other end */
	__u8 services_gateway_mac[6];
	__u32 service_ids_base; /* first address that stands for a caller, host order */
	__u32 service_ids;      /* how many there are */
	__u64 tcp_half_open_ns;
	__u64 tcp_closing_ns;
	__u64 icmp_ns;
	__u64 other_ns;
};

/* An ENI that has a device. */
struct port {
	__u32 ifindex; /* on the fabric's side */
	__u32 vpc;
	__u32 route_table;
	__u32 flags;
	__be32 subnet_address;
	__be32 subnet_mask;
	__be32 router_address;
	__u8 mac[6];
	__u8 gateway_mac[6];
	__u32 group_count;
	__u32 groups[GROUPS_PER_PORT];
	__u32 pad;
	__u64 tcp_established_ns;
	__u64 udp_ns;
	__u64 udp_stream_ns;
};

struct address_key {
	__u32 vpc;
	__be32 address;
	__u32 prefix_length; /* 32 or 28 */
};

/* Of a longest-prefix trie: prefix_length counts the 32 bits of the table too. */
struct route_key {
	__u32 prefix_length;
	__be32 table;
	__be32 destination;
};

struct route {
	__u32 kind;
	__u32 eni;
};

struct rules_key {
	__u32 group;
	__u32 direction;
	__u32 chunk;
};

struct rule {
	__u16 protocol;
	__u16 peer; /* enum rule_peer */
	__u16 from; /* port, or ICMP type */
	__u16 to;   /* port, or ICMP code */
	__be32 address_or_group;
	__be32 mask;
};

struct rule_chunk {
	__u32 count;
	struct rule rules[RULES_PER_CHUNK];
};

struct member_key {
	__u32 eni;
	__u32 group;
};

/* A flow as one ENI sees it. */
struct track_key {
	__u32 eni;
	__be32 local;
	__be32 remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 pad[3];
};

struct track {
	__u64 last_ns;
	__u8 phase;
	__u8 flags;
	__u8 pad[6];
};

struct flow_key {
	__u32 window;
	__u32 eni;
	__be32 source;
	__be32 destination;
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
	__be32 address;
};

struct fragment_key {
	__u32 eni;
	__be32 source;
	__be32 destination;
	__be16 id;
	__u8 protocol;
	__u8 pad;
};

struct transport {
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 icmp_code;
	__be16 icmp_id;
};

#endif
