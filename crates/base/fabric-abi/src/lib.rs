//! Layout of the maps that the fabric's eBPF programs share with user space.
//!
//! Mirrors `bpf/fabric.h` field by field. Fields called `*_be` hold the bytes of an address or a
//! port in network order; everything else is in the machine's order. Addresses of both families
//! have 16 bytes ([`address_bytes`]). No structure has padding that is not a field, which the
//! derives of zerocopy prove; sizes are asserted below.

#![forbid(unsafe_code)]

mod address;
mod keys;
mod values;

pub use address::{address_bytes, address_of, prefix_bits};
pub use keys::{
    AddressKey, BranchKey, Caller, FlowKey, LossKey, MemberKey, RouteKey, RulesKey, TrackKey,
};
pub use values::{
    Allowance, Flow, NatGateway, Owner, Port, Route, Rule, RuleChunk, Settings, Track, Tracking,
};

/// Security groups that a port can carry.
pub const GROUPS_PER_PORT: usize = 16;
/// Rules in one entry of `group_rules`.
pub const RULES_PER_CHUNK: usize = 32;
/// Entries that are asked for one group or network ACL and direction.
pub const CHUNKS_PER_LIST: usize = 32;
/// Bytes of the largest IP packet that passes.
pub const MTU: u16 = 9001;

/// Direction of a packet that arrives at the ENI's owner.
pub const INGRESS: u8 = 0;
/// Direction of a packet that leaves the ENI's owner.
pub const EGRESS: u8 = 1;

/// The packet passed the ENI's groups and its subnet's network ACL.
pub const ACCEPT: u8 = 0;
/// The ENI's groups or its subnet's network ACL refused the packet.
pub const REJECT: u8 = 1;

/// The VPC's mapping says where the packet goes.
pub const ROUTE_LOCAL: u32 = 1;
/// The packet goes to the ENI of the route.
pub const ROUTE_ENI: u32 = 2;
/// The packet is dropped.
pub const ROUTE_BLACKHOLE: u32 = 3;
/// The packet leaves the VPC, by the internet gateway.
pub const ROUTE_INTERNET: u32 = 4;
/// The packet leaves the VPC, and only answers come back.
pub const ROUTE_EGRESS_ONLY: u32 = 5;
/// The packet goes to the NAT gateway whose ENI the route names.
pub const ROUTE_NAT: u32 = 6;
/// The mapping of the VPC that the route names says where the packet goes.
pub const ROUTE_PEERING: u32 = 7;

/// The peer of a rule is an IPv4 block.
pub const PEER_CIDR_V4: u16 = 0;
/// The peer of a rule is an IPv6 block.
pub const PEER_CIDR_V6: u16 = 1;
/// The peer of a rule is the ENIs that carry a group.
pub const PEER_GROUP: u16 = 2;
/// The peer of a rule is the blocks of a prefix list.
pub const PEER_LIST: u16 = 3;

/// Flag of a rule: its peer is every address of a family.
pub const RULE_EVERYONE: u32 = 1;
/// Flag of a network ACL's entry: what it matches is refused.
pub const RULE_DENY: u32 = 2;

/// Every answer over TCP and IPv4 may pass, whoever it is for or from.
pub const ANSWERS_TCP_V4: u32 = 1;
/// The same over UDP and IPv4.
pub const ANSWERS_UDP_V4: u32 = 2;
/// The same over TCP and IPv6.
pub const ANSWERS_TCP_V6: u32 = 4;
/// The same over UDP and IPv6.
pub const ANSWERS_UDP_V6: u32 = 8;

/// Flag of whoever has a public address: it stands for a private one.
pub const OWNER_TRANSLATES: u32 = 1;
/// Flag of whoever has a public block: without an internet gateway, only answers come in.
pub const OWNER_EGRESS_ONLY: u32 = 2;

/// Bits in front of an IPv4 address.
pub const V4_BITS: u8 = 96;
/// Bits of an address.
pub const ADDRESS_BITS: u32 = 128;
/// Bits of an ENI's IPv4 prefix, a /28.
pub const PREFIX_V4_BITS: u32 = 96 + 28;
/// Bits of an ENI's IPv6 prefix, a /80.
pub const PREFIX_V6_BITS: u32 = 80;

/// A rule's protocol: any.
pub const PROTOCOL_ANY: u16 = 0xffff;
/// A rule's ICMP type or code: any.
pub const ICMP_ANY: u16 = 0xffff;

/// Flag of a port: packets must come from and go to the ENI's own addresses.
pub const PORT_SOURCE_DEST_CHECK: u32 = 1;
/// Flag of a port: it is a NAT gateway's and has no device.
pub const PORT_NAT: u32 = 2;

/// Addresses that a NAT gateway can have.
pub const NAT_ADDRESSES: usize = 8;

/// Programs that a packet goes on to, as indices of the `gates` map, by their names.
pub const GATES: [&str; 5] = [
    "send_on",
    "internet_out",
    "internet_in",
    "nat_out",
    "nat_in",
];

/// What happened to packets, as indices of the `counters` map, with the names that people see.
pub const COUNTERS: [&str; 34] = [
    "delivered",
    "delivered-to-service",
    "delivered-from-service",
    "arp-answered",
    "arp-ignored",
    "drop-not-ip",
    "drop-multicast",
    "drop-malformed",
    "drop-no-port",
    "drop-mtu",
    "drop-source-check",
    "drop-egress-groups",
    "drop-no-route",
    "drop-blackhole",
    "drop-unknown-address",
    "drop-dest-check",
    "drop-ingress-groups",
    "drop-fragment",
    "drop-service-table-full",
    "drop-egress-acl",
    "drop-ingress-acl",
    "drop-tracking-full",
    "neighbour-answered",
    "neighbour-ignored",
    "router-advertised",
    "too-big-answered",
    "delivered-to-outside",
    "drop-egress-only",
    "drop-link-local-allowance",
    "drop-nat-no-flow",
    "drop-nat-ports",
    "drop-nat-protocol",
    "drop-no-public-address",
    "nat-resets",
];
