//! Values of the maps.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{GROUPS_PER_PORT, NAT_ADDRESSES, RULES_PER_CHUNK};

/// The one entry of `settings_table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Settings {
    /// Index of the services device, on the fabric's side.
    pub services_ifindex: u32,
    /// Ethernet address of its other end.
    pub services_mac: [u8; 6],
    /// Ethernet address that the services see the fabric as.
    pub services_gateway_mac: [u8; 6],
    /// The first IPv4 address that stands for a caller, as a number.
    pub service_ids_base: u32,
    /// How many such addresses there are.
    pub service_ids: u32,
    /// Index of the outside world's device, on the fabric's side.
    pub outside_ifindex: u32,
    /// Ethernet address of its other end.
    pub outside_mac: [u8; 6],
    /// Ethernet address that the outside world sees the fabric as.
    pub outside_gateway_mac: [u8; 6],
    /// Packets that an ENI may send to link-local services in a second.
    pub link_local_packets: u32,
    /// Zero.
    pub pad: u32,
    /// Idle limit of a flow through a NAT or an egress-only gateway.
    pub nat_idle_ns: u64,
    /// Idle limit of a TCP flow that was not answered yet.
    pub tcp_half_open_ns: u64,
    /// Idle limit of a TCP flow after its end.
    pub tcp_closing_ns: u64,
    /// Idle limit of ICMP questions.
    pub icmp_ns: u64,
    /// Idle limit of other protocols.
    pub other_ns: u64,
}
const _: () = assert!(size_of::<Settings>() == 2 * (4 + 6 + 6) + 4 * 4 + 5 * 8);
const _: () = assert!(offset_of!(Settings, tcp_half_open_ns) == 56);

/// Of `ports`: an ENI that has a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Port {
    /// Index of the device on the fabric's side.
    pub ifindex: u32,
    /// Number of the VPC.
    pub vpc: u32,
    /// Number of the route table of the ENI's subnet.
    pub route_table: u32,
    /// [`crate::PORT_SOURCE_DEST_CHECK`] and [`crate::PORT_NAT`].
    pub flags: u32,
    /// Number of the subnet.
    pub subnet: u32,
    /// Number of the subnet's network ACL; 0 when it lets everything pass.
    pub acl: u32,
    /// Number of the instance whose tracked flows those of the ENI are.
    pub holder: u32,
    /// How many tracked flows the instance may have.
    pub allowance: u32,
    /// Length of the subnet's IPv6 block; 0 without one.
    pub v6_bits: u32,
    /// The subnet's router.
    pub router_be: [u8; 16],
    /// The subnet's last IPv4 address.
    pub broadcast_be: [u8; 16],
    /// The VPC's resolver, beside the link-local one.
    pub resolver_be: [u8; 16],
    /// First address of the subnet's IPv6 block.
    pub subnet_v6_be: [u8; 16],
    /// The ENI's Ethernet address.
    pub mac: [u8; 6],
    /// The router's Ethernet address.
    pub gateway_mac: [u8; 6],
    /// How many of `groups` count.
    pub group_count: u32,
    /// Numbers of the ENI's groups.
    pub groups: [u32; GROUPS_PER_PORT],
    /// Of a branch ENI, its tag on the trunk's device; else 0.
    pub vlan: u32,
    /// Idle limit of an answered TCP flow.
    pub tcp_established_ns: u64,
    /// Idle limit of a UDP flow.
    pub udp_ns: u64,
    /// Idle limit of a UDP flow with more than one request and answer.
    pub udp_stream_ns: u64,
}
const _: () = assert!(size_of::<Port>() == 9 * 4 + 4 * 16 + 2 * 6 + 4 + 16 * 4 + 4 + 3 * 8);
const _: () = assert!(offset_of!(Port, groups) == 116);
const _: () = assert!(offset_of!(Port, tcp_established_ns) == 116 + 16 * 4 + 4);

/// Of `routes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Route {
    /// [`crate::ROUTE_LOCAL`], [`crate::ROUTE_ENI`] or [`crate::ROUTE_BLACKHOLE`].
    pub kind: u32,
    /// Number of the ENI that the packet goes to, or of a peering's other VPC; else 0.
    pub eni: u32,
    /// Bytes of the largest IP packet that the way beyond takes.
    pub mtu: u32,
}
const _: () = assert!(size_of::<Route>() == 4 + 4 + 4);

/// Of `owners`: whose a public address or block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Owner {
    /// Number of the VPC.
    pub vpc: u32,
    /// [`OWNER_TRANSLATES`](crate::OWNER_TRANSLATES) and
    /// [`OWNER_EGRESS_ONLY`](crate::OWNER_EGRESS_ONLY).
    pub flags: u32,
    /// The private address that it is translated to.
    pub private_be: [u8; 16],
}
const _: () = assert!(size_of::<Owner>() == 2 * 4 + 16);

/// Of `nat_gateways`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NatGateway {
    /// How many of `addresses_be` count.
    pub count: u32,
    /// Its private IPv4 addresses.
    pub addresses_be: [[u8; 4]; NAT_ADDRESSES],
}
const _: () = assert!(size_of::<NatGateway>() == 4 + 8 * 4);

/// Of `allowances`: what an ENI sent to link-local services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Allowance {
    /// Which second of the monotonic clock.
    pub second: u64,
    /// Packets in that second.
    pub packets: u64,
    /// Packets that were dropped since the beginning.
    pub exceeded: u64,
}
const _: () = assert!(size_of::<Allowance>() == 3 * 8);

/// One rule of a group, or entry of a network ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rule {
    /// IANA number, or [`crate::PROTOCOL_ANY`].
    pub protocol: u16,
    /// One of [`crate::PEER_CIDR_V4`] and its like.
    pub peer: u16,
    /// First port, or ICMP type.
    pub from: u16,
    /// Last port, or ICMP code.
    pub to: u16,
    /// [`crate::RULE_EVERYONE`] and [`crate::RULE_DENY`].
    pub flags: u32,
    /// First address of the block; of a group or prefix list, its number in the machine's order,
    /// then zeros.
    pub address_or_number: [u8; 16],
    /// Mask of the block.
    pub mask_be: [u8; 16],
}
const _: () = assert!(size_of::<Rule>() == 4 * 2 + 4 + 2 * 16);

/// Of `group_rules` and `acl_rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleChunk {
    /// How many of `rules` count.
    pub count: u32,
    /// In the first chunk: [`crate::ANSWERS_TCP_V4`] and its like, of all chunks.
    pub answers: u32,
    /// The rules.
    pub rules: [Rule; RULES_PER_CHUNK],
}
const _: () = assert!(size_of::<RuleChunk>() == 4 + 4 + 32 * 44);

/// Of `tracks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Track {
    /// Monotonic time of the last packet.
    pub last_ns: u64,
    /// Number of the instance that it counts for.
    pub holder: u32,
    /// How far the flow is (`enum phase` of bpf/track.h).
    pub phase: u8,
    /// Who began, and who ended it.
    pub flags: u8,
    /// Zero.
    pub pad: [u8; 2],
    /// The kernel's; reads as zero.
    pub timer: [u64; 2],
}
const _: () = assert!(size_of::<Track>() == 8 + 4 + 2 + 2 + 16);

/// Of `trackings`: tracked flows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tracking {
    /// How many there are.
    pub used: u64,
    /// Packets that found no room.
    pub exceeded: u64,
}
const _: () = assert!(size_of::<Tracking>() == 8 + 8);

/// Of `flows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// Monotonic time of the first packet.
    pub first_ns: u64,
    /// Monotonic time of the last packet.
    pub last_ns: u64,
    /// Packets; of a segmented one, its segments.
    pub packets: u64,
    /// Bytes, IP headers included.
    pub bytes: u64,
    /// FIN 1, SYN 2, RST 4, and 16 for ACK beside SYN, of all packets together.
    pub tcp_flags: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Flow>() == 4 * 8 + 2 * 4);
