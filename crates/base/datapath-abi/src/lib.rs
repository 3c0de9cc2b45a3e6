//! Layout of the maps that the node's eBPF programs share with user space.
//!
//! Mirrors `bpf/branch.h` field by field. Fields called `*_be` hold the bytes of an address in
//! network order; everything else is in the machine's order. No structure has padding that is not
//! a field, which the derives of zerocopy prove; sizes are asserted below.

#![forbid(unsafe_code)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The bit of a packet's mark that says: of a pod with a branch ENI.
pub const BRANCH_MARK: u32 = 0x4000_0000;
/// How far the tag is shifted in the mark of such a packet.
pub const BRANCH_MARK_SHIFT: u32 = 18;
/// The bits that a tag has.
pub const BRANCH_VLAN_MASK: u32 = 0xfff;
/// The first of the addresses that stand for the routers of branch ENIs on the node: the tag is
/// added. None is ever seen outside of the node.
pub const ROUTER_ALIAS_BASE: [u8; 4] = [169, 254, 16, 0];
/// The same for IPv6.
pub const ROUTER_ALIAS_BASE_V6: [u16; 8] = [0xfe80, 0x756e, 0, 0, 0, 0, 0, 0];
/// The router of every subnet over IPv6.
pub const ROUTER_V6: [u16; 8] = [0xfe80, 0x0ec2, 0, 0, 0, 0, 0, 1];

/// Of `branches`: a branch ENI on its trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BranchKey {
    /// Index of the trunk's device.
    pub trunk: u32,
    /// The tag.
    pub vlan: u32,
}
const _: () = assert!(size_of::<BranchKey>() == 4 + 4);

/// Value of `branches`. An address that the branch does not have is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Branch {
    /// The IPv4 address of the branch ENI, which is the pod's.
    pub address_be: [u8; 4],
    /// The IPv4 router of its subnet.
    pub router_be: [u8; 4],
    /// Its IPv6 address.
    pub address_v6_be: [u8; 16],
    /// Who on the node asked for the IPv6 router; the programs' own.
    pub asker_be: [u8; 16],
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Zero.
    pub pad: [u8; 2],
}
const _: () = assert!(size_of::<Branch>() == 4 + 4 + 16 + 16 + 6 + 2);

/// What happened to packets, as indices of the `branch_counters` map, with the names that people
/// see.
pub const COUNTERS: [&str; 6] = [
    "sent",
    "received",
    "router-asked",
    "drop-unknown-branch",
    "drop-foreign-address",
    "drop-not-ip",
];

/// The priority of our filters at a trunk's device: the smaller, the sooner asked.
pub const FILTER_PRIORITY: u16 = 7000;
/// Their handle.
pub const FILTER_HANDLE: u32 = 0x756e;
/// What their names start with.
pub const FILTER_NAME_PREFIX: &str = "underlay-";
