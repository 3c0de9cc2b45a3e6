//! Values of the maps.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{GROUPS_PER_PORT, RULES_PER_CHUNK};

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
    /// Idle limit of a TCP flow that was not answered yet.
    pub tcp_half_open_ns: u64,
    /// Idle limit of a TCP flow after its end.
    pub tcp_closing_ns: u64,
    /// Idle limit of ICMP questions.
    pub icmp_ns: u64,
    /// Idle limit of other protocols.
    pub other_ns: u64,
}
const _: () = assert!(size_of::<Settings>() == 4 + 6 + 6 + 4 + 4 + 4 * 8);
const _: () = assert!(offset_of!(Settings, tcp_half_open_ns) == 24);

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
    /// [`crate::PORT_SOURCE_DEST_CHECK`] or 0.
    pub flags: u32,
    /// Number of the subnet.
    pub subnet: u32,
    /// The subnet's router.
    pub router_be: [u8; 16],
    /// The subnet's last IPv4 address.
    pub broadcast_be: [u8; 16],
    /// The ENI's Ethernet address.
    pub mac: [u8; 6],
    /// The router's Ethernet address.
    pub gateway_mac: [u8; 6],
    /// How many of `groups` count.
    pub group_count: u32,
    /// Numbers of the ENI's groups.
    pub groups: [u32; GROUPS_PER_PORT],
    /// Zero.
    pub pad: u32,
    /// Idle limit of an answered TCP flow.
    pub tcp_established_ns: u64,
    /// Idle limit of a UDP flow.
    pub udp_ns: u64,
    /// Idle limit of a UDP flow with more than one request and answer.
    pub udp_stream_ns: u64,
}
const _: () = assert!(size_of::<Port>() == 5 * 4 + 2 * 16 + 2 * 6 + 4 + 16 * 4 + 4 + 3 * 8);
const _: () = assert!(offset_of!(Port, groups) == 68);
const _: () = assert!(offset_of!(Port, tcp_established_ns) == 68 + 16 * 4 + 4);

/// Of `routes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Route {
    /// [`crate::ROUTE_LOCAL`], [`crate::ROUTE_ENI`] or [`crate::ROUTE_BLACKHOLE`].
    pub kind: u32,
    /// Number of the ENI that the packet goes to; else 0.
    pub eni: u32,
}
const _: () = assert!(size_of::<Route>() == 4 + 4);

/// One rule of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Rule {
    /// IANA number, or [`crate::PROTOCOL_ANY`].
    pub protocol: u16,
    /// [`crate::PEER_CIDR_V4`], [`crate::PEER_CIDR_V6`] or [`crate::PEER_GROUP`].
    pub peer: u16,
    /// First port, or ICMP type.
    pub from: u16,
    /// Last port, or ICMP code.
    pub to: u16,
    /// First address of the block; of a group, its number in the machine's order, then zeros.
    pub address_or_group: [u8; 16],
    /// Mask of the block.
    pub mask_be: [u8; 16],
}
const _: () = assert!(size_of::<Rule>() == 4 * 2 + 2 * 16);

/// Of `group_rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleChunk {
    /// How many of `rules` count.
    pub count: u32,
    /// The rules.
    pub rules: [Rule; RULES_PER_CHUNK],
}
const _: () = assert!(size_of::<RuleChunk>() == 4 + 32 * 40);

/// Of `tracks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Track {
    /// Monotonic time of the last packet.
    pub last_ns: u64,
    /// How far the flow is (`enum phase` of bpf/track.h).
    pub phase: u8,
    /// Who began, and who ended it.
    pub flags: u8,
    /// Zero.
    pub pad: [u8; 6],
}
const _: () = assert!(size_of::<Track>() == 8 + 2 + 6);

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
